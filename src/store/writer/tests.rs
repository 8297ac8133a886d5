use std::fs::OpenOptions;
use std::io::Write;

use serde_json::Value;
use tokio::sync::oneshot;

use super::*;

/// A writer of a new journal, and where it writes.
fn writer(durability: Durability) -> (tempfile::TempDir, Writer) {
    let directory = tempfile::tempdir().unwrap();
    let config = JournalConfig {
        data_dir: directory.path().into(),
        durability,
        gate: "g".to_owned(),
        site: None,
        segment_bytes_max: u64::MAX,
    };
    let journal = directory.path().join("journal");
    fs::create_dir(&journal).unwrap();
    let lock = File::create(directory.path().join("lock")).unwrap();
    let writer = Writer::new(Arc::default(), config, journal, lock, Chain::start()).unwrap();
    (directory, writer)
}

fn group(records: usize) -> Group {
    Group { records: vec![b"\"kind\":\"exchange\"".to_vec(); records], accepted: oneshot::channel().0 }
}

fn records(directory: &tempfile::TempDir) -> Vec<Value> {
    let paths = segment::list(&directory.path().join("journal")).unwrap();
    let text: String = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the batch records say, each checked against the records that stand before it.
fn batches(records: &[Value]) -> Vec<u64> {
    let mut said = Vec::new();
    let mut before = 0;
    for record in records {
        if record["kind"] == "batch" {
            assert_eq!(record["records"], before);
            said.push(before);
            before = 0;
        } else {
            before += 1;
        }
    }
    said
}

/// A disk that is full, and that nothing can be cut on.
fn full() -> File {
    OpenOptions::new().append(true).open("/dev/full").unwrap()
}

#[test]
fn no_batch_record_says_more_than_a_batch_holds() {
    for durability in [Durability::Batch, Durability::Strict] {
        let (directory, mut writer) = writer(durability);
        for records in [1, 1024, 1024, 5, 3000, 1023] {
            writer.write_groups(vec![group(records)]);
        }
        writer.begin_sync();
        drop(writer);
        let records = records(&directory);
        let batches = batches(&records);
        assert!(batches.iter().all(|said| *said <= 1024), "{batches:?}");
        assert_eq!(batches.iter().sum::<u64>(), 1 + 1 + 1024 + 1024 + 5 + 3000 + 1023, "with the segment's opening");
        assert_eq!(records.last().unwrap()["kind"], "batch");
        segment::verify(directory.path()).unwrap();
    }
}

#[test]
fn a_turn_takes_whole_groups_up_to_a_batch() {
    let (_directory, writer) = writer(Durability::Batch);
    let sizes = [1000, 24, 1, 1024, 2000, 3];
    {
        let mut inbox = writer.shared.inbox.lock().unwrap();
        inbox.groups.extend(sizes.map(group));
        inbox.waiting = sizes.iter().sum();
        inbox.ended = true;
    }
    let mut turns = Vec::new();
    loop {
        let (groups, ended) = writer.wait();
        if ended {
            break;
        }
        turns.push(groups.iter().map(|group| group.records.len()).collect::<Vec<_>>());
    }
    assert_eq!(turns, [vec![1000, 24], vec![1], vec![1024], vec![2000], vec![3]]);
    assert_eq!(writer.shared.inbox.lock().unwrap().waiting, 0);
}

#[test]
fn what_was_accepted_is_synced_though_the_batch_record_finds_no_room() {
    let (_directory, mut writer) = writer(Durability::Batch);
    writer.write_groups(vec![group(3)]);
    let written = writer.chain;
    writer.open.as_mut().unwrap().file = full();
    writer.begin_sync();
    assert_eq!(writer.chain, written, "the batch record was not written");
    assert_eq!((writer.unsynced, writer.in_sync, writer.first_unsynced), (0, 4, None), "a sync was begun");
    assert_eq!(writer.in_batch, 4, "the next batch record counts them");
}

#[test]
fn a_line_that_could_not_be_cut_off_is_cut_before_the_next_is_written() {
    let (directory, mut writer) = writer(Durability::Batch);
    writer.write_groups(vec![group(2)]);
    let path = segment::list(&directory.path().join("journal")).unwrap().remove(0);
    let mut file = std::mem::replace(&mut writer.open.as_mut().unwrap().file, full());
    writer.write_groups(vec![group(2)]);
    assert!(writer.open.as_ref().unwrap().torn);
    // Even if a new segment is due by now.
    writer.config.segment_bytes_max = 0;
    writer.write_groups(vec![group(2)]);
    assert_eq!(segment::list(path.parent().unwrap()).unwrap().len(), 1, "no other segment behind a torn line");

    file.write_all(b"{\"v\":1,\"seq\":4,\"kind").unwrap();
    writer.open.as_mut().unwrap().file = file;
    writer.write_groups(vec![group(2)]);
    drop(writer);
    let records = records(&directory);
    assert_eq!(segment::list(path.parent().unwrap()).unwrap().len(), 3);
    assert_eq!(records.iter().filter(|record| record["kind"] == "exchange").count(), 4);
    assert!(records.iter().any(|record| record["cause"] == "records_lost"));
    segment::verify(directory.path()).unwrap();
}

#[test]
fn a_journal_that_cannot_be_closed_says_so() {
    let (_directory, mut writer) = writer(Durability::Batch);
    writer.write_groups(vec![group(1)]);
    writer.open.as_mut().unwrap().file = full();
    writer.shared.inbox.lock().unwrap().ended = true;
    assert_eq!(writer.run().unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_failed_sync_under_way_at_the_end_is_said() {
    let (directory, mut writer) = writer(Durability::Batch);
    writer.write_groups(vec![group(1)]);
    // A device that cannot be synced.
    writer.syncer.begin(&full()).unwrap();
    writer.shared.inbox.lock().unwrap().ended = true;
    writer.run().unwrap_err();
    let records = records(&directory);
    assert!(records.iter().any(|record| record["cause"] == "sync_failed"), "{records:#?}");
    assert_eq!(records.last().unwrap()["action"], "journal_closed");
}
