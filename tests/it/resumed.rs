//! What a gate saw of its journal before it ended, it knows when it starts again, and does not read again.

use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sekisho::clock;
use sekisho::evidence::{Chain, compact_time, format_time};
use sekisho::facts::Timestamp;
use serde_json::Value;
use tempfile::TempDir;

use crate::gate::{Gate, Notices, Start, records, segments};

const CONFIG: &str = "[detect]\ndelay_seconds = 1\n";
const BEATS: u64 = 30;

/// A data directory with a journal of the last hour: a client asks for a host each minute, and is refused.
fn hour() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let journal = directory.path().join("data/journal");
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&journal).unwrap();
    let begin = clock::now().0 - 3_600_000_000;
    let (mut chain, mut lines) = (Chain::start(), Vec::new());
    let (time, prev) = (format_time(Timestamp(begin)), chain.hash_hex());
    chain.append(format!("\"time\":\"{time}\",\"kind\":\"segment\",\"prev\":\"{prev}\"").as_bytes(), &mut lines);
    for minute in 0..BEATS {
        let time = format_time(Timestamp(begin + minute * 60_000_000));
        let members = format!(
            "\"time\":\"{time}\",\"kind\":\"exchange\",\"event\":\"refused\",\"client\":\"10.0.0.9\",\"host\":\"c2.test\",\
             \"port\":80,\"verdict\":\"deny\",\"scheme\":\"http\""
        );
        chain.append(members.as_bytes(), &mut lines);
    }
    std::fs::write(journal.join(format!("{:014}-{}.jsonl", 1, compact_time(Timestamp(begin)))), lines).unwrap();
    directory
}

fn data_dir(directory: &TempDir) -> PathBuf {
    directory.path().join("data")
}

fn start(data_dir: &Path, before: &str) -> Gate {
    Start { config: CONFIG, data_dir: Some(data_dir.to_path_buf()), before, ..Start::default() }.gate()
}

/// What `status` tells of detection, as soon as that is so.
fn detection(data_dir: &Path, is: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let told = crate::gate::status_of(data_dir)["detection"].clone();
        if is(&told) {
            return told;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{told:#}");
    }
}

fn findings(data_dir: &Path) -> usize {
    records(data_dir).iter().filter(|record| record["kind"] == "finding" && record["target"] == "c2.test").count()
}

/// Has a gate find the beats, and ends it.
fn found(directory: &TempDir) {
    let data_dir = data_dir(directory);
    let mut gate = start(&data_dir, "");
    let told = detection(&data_dir, |told| told["findings"] == 1 && told["events"] == BEATS);
    assert_eq!((&told["live"], &told["resumed"]), (&true.into(), &false.into()));
    assert_eq!(gate.end("-TERM"), Some(0));
    assert_eq!(findings(&data_dir), 1);
}

#[test]
fn a_gate_that_starts_again_knows_what_it_saw_though_the_records_are_gone() {
    let directory = hour();
    let data_dir = data_dir(&directory);
    found(&directory);
    let snapshot = data_dir.join("detection.snapshot");
    assert_eq!(std::fs::metadata(&snapshot).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!data_dir.join("detection.snapshot.new").exists());
    // The first segment goes, sealed or not.
    let mut files: Vec<_> =
        std::fs::read_dir(data_dir.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let first = files[0].file_stem().unwrap().to_str().unwrap().split('.').next().unwrap().to_owned();
    let is_first = |path: &&std::path::PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&first);
    files.iter().filter(is_first).for_each(|path| std::fs::remove_file(path).unwrap());

    let mut gate = start(&data_dir, "");
    gate.send(b"GET http://c2.test/beat HTTP/1.1\r\nHost: c2.test\r\nConnection: close\r\n\r\n");
    let told = detection(&data_dir, |told| told["events"] == BEATS + 1);
    assert_eq!((&told["resumed"], &told["findings"], &told["pairs"]), (&true.into(), &1.into(), &2.into()));
    let output = Command::new(env!("CARGO_BIN_EXE_sekisho")).arg("status").arg(&data_dir).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let row = text.lines().find(|line| line.starts_with("detection ")).unwrap();
    let since = told["since"].as_str().unwrap();
    let said = format!("31 events since {since} between 2 pairs of client and host; 1 finding told");
    assert!(row.trim_end().ends_with(&said), "{row}");
    assert_eq!(gate.end("-TERM"), Some(0));
    assert_eq!(findings(&data_dir), 1, "what was told is not told again");
}

#[test]
fn without_its_snapshot_or_with_a_damaged_one_a_gate_reads_its_journal_again_and_tells_nothing_twice() {
    let directory = hour();
    let data_dir = data_dir(&directory);
    found(&directory);
    let snapshot = data_dir.join("detection.snapshot");
    let rebuilt = |why: Option<&str>| {
        let notices = Notices::new();
        let mut gate = start(&data_dir, &why.map_or_else(String::new, |_| notices.before()));
        why.into_iter().for_each(|why| {
            notices.until(why);
        });
        let told = detection(&data_dir, |told| told["events"] == BEATS);
        assert_eq!((&told["resumed"], &told["pairs"]), (&false.into(), &1.into()));
        assert_eq!(gate.end("-TERM"), Some(0));
        assert_eq!(findings(&data_dir), 1);
    };
    std::fs::remove_file(&snapshot).unwrap();
    rebuilt(None);
    let mut bytes = std::fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&snapshot, &bytes).unwrap();
    rebuilt(Some("the snapshot is damaged"));
    // Power was lost: the newest records, which were read, are not there.
    std::fs::remove_file(segments(&data_dir).pop().unwrap()).unwrap();
    rebuilt(Some("the snapshot is of records that are not in this journal"));
}
