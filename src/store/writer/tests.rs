use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde_json::Value;
use tokio::sync::oneshot;

use crate::evidence::Chain;

use super::super::disk::{Disk, DiskFile, SystemDisk};
use super::super::journal::{Entry, JournalConfig};
use super::super::segment;
use super::*;

/// A writer of a new journal, and where it writes.
fn writer(durability: Durability) -> (tempfile::TempDir, Writer) {
    writer_on(Arc::new(SystemDisk), durability, 0)
}

fn writer_on(disk: Arc<dyn Disk>, durability: Durability, reserve_bytes: u64) -> (tempfile::TempDir, Writer) {
    let directory = tempfile::tempdir().unwrap();
    let config = JournalConfig {
        data_dir: directory.path().into(),
        durability,
        gate: "g".to_owned(),
        site: None,
        segment_bytes_max: u64::MAX,
        reserve_bytes,
    };
    let journal = directory.path().join("journal");
    fs::create_dir(&journal).unwrap();
    let lock = File::open(directory.path()).unwrap();
    let book = Book::new(disk, &config, journal, Chain::start());
    let writer = Writer::new(Arc::default(), (durability, reserve_bytes), config.data_dir, lock, book).unwrap();
    (directory, writer)
}

/// So many records that something waits for, and so many that tell of what has passed.
fn mixed(before: usize, after: usize) -> (Group, oneshot::Receiver<Result<(), NotAccepted>>) {
    let entry = |duty| Entry { members: b"\"kind\":\"exchange\"".to_vec(), duty };
    let entries = (0..before).map(|_| entry(Duty::Before)).chain((0..after).map(|_| entry(Duty::After))).collect();
    let (accepted, receiver) = oneshot::channel();
    (Group { entries, accepted: Some(accepted) }, receiver)
}

const REFUSED: Result<(), NotAccepted> = Err(NotAccepted::Disk);

fn group(records: usize) -> Group {
    let (group, waits) = mixed(records, 0);
    // Somebody waits for the answer: without that the records are not written any more.
    std::mem::forget(waits);
    group
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
fn full() -> Box<dyn DiskFile> {
    Box::new(OpenOptions::new().append(true).open("/dev/full").unwrap())
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
        super::super::verify::verify(directory.path(), &Default::default()).unwrap();
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
        let turn = writer.wait();
        if turn.ended {
            break;
        }
        turns.push(turn.groups.iter().map(|group| group.entries.len()).collect::<Vec<_>>());
    }
    assert_eq!(turns, [vec![1000, 24], vec![1], vec![1024], vec![2000], vec![3]]);
    assert_eq!(writer.shared.inbox.lock().unwrap().waiting, 0);
}

#[test]
fn what_was_accepted_is_synced_though_the_batch_record_finds_no_room() {
    let (_directory, mut writer) = writer(Durability::Batch);
    writer.write_groups(vec![group(300)]);
    let written = writer.book.chain;
    writer.book.open.as_mut().unwrap().file = full();
    writer.begin_sync();
    assert_eq!(writer.book.chain, written, "the batch record was not written");
    assert_eq!((writer.book.unsynced, writer.in_sync, writer.first_unsynced), (0, 301, None), "a sync was begun");
    assert_eq!(writer.book.in_batch, 301, "the next batch record counts them");
}

#[test]
fn a_line_that_could_not_be_cut_off_is_cut_before_the_next_is_written() {
    let (directory, mut writer) = writer(Durability::Batch);
    writer.write_groups(vec![group(2)]);
    let path = segment::list(&directory.path().join("journal")).unwrap().remove(0);
    let file = std::mem::replace(&mut writer.book.open.as_mut().unwrap().file, full());
    writer.write_groups(vec![group(2)]);
    assert!(writer.book.open.as_ref().unwrap().torn);
    probe_now(&mut writer);
    // Even if a new segment is due by now.
    writer.book.segment_bytes_max = 0;
    writer.write_groups(vec![group(2)]);
    assert_eq!(segment::list(path.parent().unwrap()).unwrap().len(), 1, "no other segment behind a torn line");

    let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
    torn.write_all(b"{\"v\":1,\"seq\":4,\"kind").unwrap();
    writer.book.open.as_mut().unwrap().file = file;
    probe_now(&mut writer);
    writer.write_groups(vec![group(2)]);
    drop(writer);
    let records = records(&directory);
    assert_eq!(records.iter().filter(|record| record["kind"] == "exchange").count(), 4);
    super::super::verify::verify(directory.path(), &Default::default()).unwrap();
}

#[test]
fn a_journal_that_cannot_be_closed_says_so() {
    let (_directory, mut writer) = writer(Durability::Batch);
    writer.write_groups(vec![group(1)]);
    writer.book.open.as_mut().unwrap().file = full();
    writer.shared.inbox.lock().unwrap().ended = true;
    assert_eq!(writer.run().unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_failed_sync_under_way_at_the_end_is_said() {
    let (directory, mut writer) = writer(Durability::Batch);
    writer.write_groups(vec![group(1)]);
    // A device that cannot be synced.
    writer.syncer.begin(full().as_ref()).unwrap();
    writer.shared.inbox.lock().unwrap().ended = true;
    writer.run().unwrap_err();
    let records = records(&directory);
    assert!(records.iter().any(|record| record["cause"] == "sync_failed"), "{records:#?}");
    assert_eq!(records.last().unwrap()["action"], "journal_closed");
}

/// A disk with so much room, whose syncs fail at will.
#[derive(Debug, Clone, Default)]
struct SmallDisk(Arc<Small>);

#[derive(Debug, Default)]
struct Small {
    free: AtomicU64,
    syncs_fail: AtomicBool,
    /// What was removed, by name.
    removed: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct SmallFile {
    disk: SmallDisk,
    file: Box<dyn DiskFile>,
}

impl SmallDisk {
    fn with_room(bytes: u64) -> Self {
        let disk = Self::default();
        disk.0.free.store(bytes, Ordering::Relaxed);
        disk
    }

    fn make_room(&self, bytes: u64) {
        self.0.free.store(bytes, Ordering::Relaxed);
    }
}

impl Disk for SmallDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SmallFile { disk: self.clone(), file: SystemDisk.create(path)? }))
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        SystemDisk.sync_directory(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.removed.lock().unwrap().push(path.file_name().unwrap().to_string_lossy().into_owned());
        SystemDisk.remove(path)
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.0.free.load(Ordering::Relaxed))
    }
}

impl DiskFile for SmallFile {
    /// Like the kernel it writes what it can before it fails.
    fn write_whole(&mut self, bytes: &[u8]) -> io::Result<()> {
        let free = self.disk.0.free.load(Ordering::Relaxed);
        let fits = bytes.len().min(usize::try_from(free).unwrap());
        self.file.write_whole(&bytes[..fits])?;
        self.disk.0.free.fetch_sub(fits as u64, Ordering::Relaxed);
        if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        if self.disk.0.syncs_fail.load(Ordering::Relaxed) { Err(io::Error::other("broken")) } else { self.file.sync() }
    }

    fn try_clone(&self) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(SmallFile { disk: self.disk.clone(), file: self.file.try_clone()? }))
    }
}

fn health(writer: &Writer) -> JournalHealth {
    writer.shared.inbox.lock().unwrap().health.clone()
}

/// As if it were time again to look at the disk.
fn probe_now(writer: &mut Writer) {
    writer.probed -= writer.probe_pause;
    writer.probe();
}

const RESERVE: u64 = 1 << 20;

#[test]
fn of_a_full_disks_last_room_only_what_was_let_out_before_gets_its_records() {
    let disk = SmallDisk::with_room(4000);
    let (directory, mut writer) = writer_on(Arc::new(disk.clone()), Durability::Batch, RESERVE);
    writer.write_groups(vec![group(2)]);
    assert_eq!(health(&writer).room, Room::Ample);
    let (full, mut accepted) = mixed(100, 0);
    writer.write_groups(vec![full]);
    assert_eq!(accepted.try_recv(), Ok(REFUSED));
    assert_eq!(health(&writer).room, Room::LastRecords);
    assert!(!health(&writer).reserve.unwrap().has_ballast);

    // What the ballast gave back.
    disk.make_room(10_000);
    let (last, mut accepted) = mixed(3, 5);
    writer.write_groups(vec![last]);
    assert_eq!(accepted.try_recv(), Ok(REFUSED), "nothing new is let out, though there would be room");
    assert_eq!((health(&writer).records, health(&writer).lost), (2 + 5, 0), "whoever is refused tells of it elsewhere");
    writer.write_groups(vec![mixed(0, 1000).0]);
    assert_eq!(health(&writer).room, Room::None);

    probe_now(&mut writer);
    assert_eq!(health(&writer).room, Room::None, "less than the ballast is free");
    disk.make_room(2 * RESERVE);
    probe_now(&mut writer);
    let now = health(&writer);
    assert_eq!((now.room, now.last_error.is_none()), (Room::Ample, true), "also without a record to write");
    assert!(now.reserve.unwrap().has_ballast);
    let (after, mut accepted) = mixed(1, 0);
    writer.write_groups(vec![after]);
    assert_eq!(accepted.try_recv(), Ok(Ok(())));
    drop(writer);
    super::super::verify::verify(directory.path(), &Default::default()).unwrap();
    let records = records(&directory);
    assert_eq!(records.iter().filter(|record| record["kind"] == "exchange").count(), 2 + 5 + 1);
    let lost = records.iter().find(|record| record["cause"] == "records_lost").unwrap();
    assert!(lost["detail"].as_str().unwrap().starts_with("1000 ends of exchanges"), "{lost}");
    let levels: Vec<_> =
        records.iter().filter(|record| record["kind"] == "health").map(|r| r["level"].clone()).collect();
    assert_eq!(levels, ["ample"], "that it was full found no room");
}

#[test]
fn passages_of_a_breakglass_follow_in_the_journal_once_it_takes_records_again() {
    let disk = SmallDisk::with_room(3000);
    let (directory, mut writer) = writer_on(Arc::new(disk.clone()), Durability::Batch, RESERVE);
    writer.write_groups(vec![group(1)]);
    writer.write_groups(vec![group(100)]);
    let mut answers = Vec::new();
    for n in 0..3 {
        let (accepted, receiver) = oneshot::channel();
        let members = format!("\"time\":\"then\",\"kind\":\"exchange\",\"passage\":{n}").into_bytes();
        writer.write_passages(vec![Passage { members, weight: Weight::Exchange, accepted }]);
        answers.push(receiver);
    }
    assert!(answers.iter_mut().all(|answer| answer.try_recv() == Ok(Ok(()))));
    assert_eq!(health(&writer).reserve.unwrap().passages, 3);
    disk.make_room(2 * RESERVE);
    probe_now(&mut writer);
    assert_eq!(health(&writer).reserve.unwrap().passages, 0);
    drop(writer);
    super::super::verify::verify(directory.path(), &Default::default()).unwrap();
    let records = records(&directory);
    let gap = records.iter().position(|record| record["cause"] == "reserve").unwrap();
    assert!(records[gap]["detail"].as_str().unwrap().contains("3 short ones of the reserve follow"));
    for n in 0..3 {
        assert_eq!((&records[gap + 1 + n]["passage"], &records[gap + 1 + n]["time"]), (&n.into(), &"then".into()));
    }
}

#[test]
fn without_a_reserve_no_passage_is_taken() {
    let (_directory, mut writer) = writer(Durability::Batch);
    let (accepted, mut receiver) = oneshot::channel();
    writer.write_passages(vec![Passage { members: Vec::new(), weight: Weight::Own, accepted }]);
    assert_eq!(receiver.try_recv(), Ok(REFUSED));
}

#[test]
fn with_strict_durability_what_a_failed_sync_left_in_doubt_is_taken_back() {
    let disk = SmallDisk::with_room(u64::MAX / 2);
    let (directory, mut writer) = writer_on(Arc::new(disk.clone()), Durability::Strict, 0);
    let write = |writer: &mut Writer, syncs_fail: bool| {
        disk.0.syncs_fail.store(syncs_fail, Ordering::Relaxed);
        let (group, mut accepted) = mixed(3, 0);
        writer.write_groups(vec![group]);
        accepted.try_recv().unwrap().is_ok()
    };
    assert!(!write(&mut writer, true), "not even its segment is there");
    assert_eq!((writer.book.chain, disk.0.removed.lock().unwrap().len()), (Chain::start(), 1));
    assert!(write(&mut writer, false));
    let synced = writer.book.chain;
    assert!(!write(&mut writer, true));
    assert_eq!(writer.book.chain, synced);
    assert!(write(&mut writer, false));
    drop(writer);
    super::super::verify::verify(directory.path(), &Default::default()).unwrap();
    let records = records(&directory);
    assert_eq!(records.iter().filter(|record| record["kind"] == "exchange").count(), 6);
    batches(&records);
}

#[test]
fn a_disk_that_has_bytes_and_still_takes_nothing_does_not_count_as_having_room() {
    let disk = SmallDisk::with_room(2000);
    let (_directory, mut writer) = writer_on(Arc::new(disk.clone()), Durability::Batch, RESERVE);
    writer.write_groups(vec![group(100)]);
    assert_eq!(health(&writer).room, Room::LastRecords);
    // As where there is no inode left, or a quota is used up.
    disk.0.syncs_fail.store(true, Ordering::Relaxed);
    disk.make_room(4 * RESERVE);
    for pause in [2, 4, 8, 16, 30, 30] {
        probe_now(&mut writer);
        assert_eq!(health(&writer).room, Room::LastRecords);
        assert_eq!(writer.probe_pause, Duration::from_secs(pause));
    }
    disk.0.syncs_fail.store(false, Ordering::Relaxed);
    probe_now(&mut writer);
    assert_eq!((health(&writer).room, writer.probe_pause), (Room::Ample, PROBE));
}

#[test]
fn what_tells_of_something_that_goes_on_is_no_last_record() {
    let disk = SmallDisk::with_room(2000);
    let (_directory, mut writer) = writer_on(Arc::new(disk.clone()), Durability::Batch, RESERVE);
    writer.write_groups(vec![group(100)]);
    disk.make_room(10_000);
    let entry = |duty| Entry { members: b"\"kind\":\"progress\"".to_vec(), duty };
    let entries = vec![entry(Duty::Meanwhile), entry(Duty::After), entry(Duty::Meanwhile)];
    writer.write_groups(vec![Group { entries, accepted: Some(oneshot::channel().0) }]);
    assert_eq!((health(&writer).records, health(&writer).lost), (1, 2));
}

#[test]
fn passages_are_taken_once_though_the_disk_does_not_keep_them_at_first() {
    let disk = SmallDisk::with_room(2000);
    let (directory, mut writer) = writer_on(Arc::new(disk.clone()), Durability::Batch, RESERVE);
    writer.write_groups(vec![group(100)]);
    let passages = (0..2 * BATCH_RECORDS_MAX + 5).map(|n| Passage {
        members: format!("\"kind\":\"exchange\",\"passage\":{n}").into_bytes(),
        weight: Weight::Exchange,
        accepted: oneshot::channel().0,
    });
    writer.write_passages(passages.collect());
    disk.make_room(4 * RESERVE);
    writer.room = Room::Ample;
    disk.0.syncs_fail.store(true, Ordering::Relaxed);
    for _ in 0..3 {
        writer.write_groups(vec![group(1)]);
        assert!(health(&writer).reserve.unwrap().passages > 0, "not forgotten before they are kept");
    }
    disk.0.syncs_fail.store(false, Ordering::Relaxed);
    writer.write_groups(vec![group(1)]);
    assert_eq!(health(&writer).reserve.unwrap().passages, 0);
    drop(writer);
    let records = records(&directory);
    let taken: Vec<_> = records.iter().filter_map(|record| record["passage"].as_u64()).collect();
    assert_eq!(taken, (0..2 * BATCH_RECORDS_MAX as u64 + 5).collect::<Vec<_>>());
    assert_eq!(records.iter().filter(|record| record["cause"] == "reserve").count(), 1);
    super::super::verify::verify(directory.path(), &Default::default()).unwrap();
}

#[test]
fn a_sync_that_fails_where_a_segment_ends_is_told() {
    let disk = SmallDisk::with_room(u64::MAX / 2);
    let (directory, mut writer) = writer_on(Arc::new(disk.clone()), Durability::Batch, 0);
    writer.write_groups(vec![group(2)]);
    writer.book.segment_bytes_max = 0;
    disk.0.syncs_fail.store(true, Ordering::Relaxed);
    writer.write_groups(vec![group(2)]);
    disk.0.syncs_fail.store(false, Ordering::Relaxed);
    writer.tell_failed_sync().unwrap_err();
    assert_eq!(health(&writer).sync_failures, 1);
    writer.tell_failed_sync().unwrap();
    drop(writer);
    assert!(records(&directory).iter().any(|record| record["cause"] == "sync_failed"));
}

#[test]
fn what_nobody_waits_for_any_more_is_not_let_out_on_record() {
    let (directory, mut writer) = writer(Durability::Batch);
    let (late, waits) = mixed(2, 3);
    drop(waits);
    writer.write_groups(vec![late, group(1)]);
    drop(writer);
    let records = records(&directory);
    assert_eq!(records.iter().filter(|record| record["kind"] == "exchange").count(), 3 + 1);
}

#[test]
fn a_sync_is_due_twenty_milliseconds_after_the_first_record_that_waits_for_it() {
    let (_directory, mut writer) = writer(Durability::Batch);
    assert_eq!((writer.patience(), writer.due()), (None, false));
    writer.write_groups(vec![group(1)]);
    assert!(writer.patience().unwrap() <= BATCH_DELAY);
    writer.first_unsynced = Some(Instant::now() - BATCH_DELAY);
    writer.write_groups(vec![group(1)]);
    assert_eq!((writer.patience(), writer.due()), (Some(Duration::ZERO), true), "another record puts nothing off");
}

#[test]
fn what_could_not_be_told_at_the_end_is_left_in_the_reserve() {
    let disk = SmallDisk::with_room(2000);
    let (directory, mut writer) = writer_on(Arc::new(disk.clone()), Durability::Batch, RESERVE);
    writer.write_groups(vec![group(100)]);
    disk.make_room(0);
    writer.write_groups(vec![mixed(0, 7).0]);
    assert_eq!(health(&writer).lost, 7);
    writer.shared.inbox.lock().unwrap().ended = true;
    writer.run().unwrap_err();
    let reserve = Reserve::open(directory.path(), RESERVE).unwrap();
    let left = String::from_utf8(reserve.records().unwrap().concat()).unwrap();
    assert!(left.contains("\"cause\":\"records_lost\"") && left.contains("7 ends of exchanges"), "{left}");
}
