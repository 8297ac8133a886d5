use super::*;

/// 2026-01-01, midnight.
const JANUARY: Timestamp = Timestamp(1_767_225_600_000_000);

/// A segment of these kinds of records behind `chain`, one line each.
fn lines(chain: &mut Chain, kinds: &[&str]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut line = |members: String, chain: &mut Chain| {
        let mut bytes = Vec::new();
        chain.append(members.as_bytes(), &mut bytes);
        out.push(bytes);
    };
    line(format!("\"kind\":\"segment\",\"prev\":\"{}\"", chain.hash_hex()), chain);
    for kind in kinds {
        let synced = match *kind {
            "batch" => chain.seq,
            // One that is synced together with what it closes.
            "batch before its sync" => 2,
            kind => {
                line(format!("\"kind\":\"{kind}\""), chain);
                continue;
            }
        };
        line(format!("\"kind\":\"batch\",\"synced\":{synced}"), chain);
    }
    out
}

fn written(lines: &[Vec<u8>]) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name(1, JANUARY));
    std::fs::write(&path, lines.concat()).unwrap();
    (directory, path)
}

/// Zeros from the middle of the line `from` to the middle of the line `to`: a page never written.
fn zeroed(lines: &[Vec<u8>], from: usize, to: usize) -> Vec<u8> {
    let begin = lines[..from].concat().len() + lines[from].len() / 2;
    let end = lines[..to].concat().len() + lines[to].len() / 2;
    let mut bytes = lines.concat();
    bytes[begin..end].fill(0);
    bytes
}

#[test]
fn a_damaged_end_is_put_aside_and_what_verifies_is_kept() {
    let lines = lines(&mut Chain::start(), &["exchange", "batch", "exchange", "exchange", "exchange", "exchange"]);
    let (directory, path) = written(&lines);
    let damaged = zeroed(&lines, 4, 5);
    std::fs::write(&path, &damaged).unwrap();
    let found = recover(directory.path()).unwrap();
    let kept = lines[..4].concat();
    assert_eq!((found.chain.seq, found.torn_bytes), (4, 0));
    assert_eq!(std::fs::read(&path).unwrap(), kept);
    let [aside] = found.damaged.as_slice() else { panic!("{:?}", found.damaged) };
    assert_eq!(aside.kept_in.to_str().unwrap(), format!("{}.damaged", path.display()));
    assert_eq!(std::fs::read(&aside.kept_in).unwrap(), damaged[kept.len()..], "not a byte is lost");
    assert_eq!(aside.bytes, (damaged.len() - kept.len()) as u64);

    std::fs::write(&path, &damaged).unwrap();
    let again = recover(directory.path()).unwrap();
    assert_eq!(again.damaged[0].kept_in.to_str().unwrap(), format!("{}.damaged.1", path.display()));
    assert_eq!(std::fs::read(&aside.kept_in).unwrap(), damaged[kept.len()..], "nothing is written over");
}

#[test]
fn damage_before_a_batch_is_no_loss_of_power() {
    let kinds = ["exchange", "exchange", "exchange", "exchange", "batch", "exchange"];
    let lines = lines(&mut Chain::start(), &kinds);
    let (directory, path) = written(&lines);
    let mut page_ends_at_the_batch = lines.concat();
    page_ends_at_the_batch[lines[..2].concat().len()..lines[..5].concat().len()].fill(0);
    let altered = [lines[..2].concat(), b"{}\n".to_vec(), lines[3..].concat()].concat();
    let removed = [lines[..4].concat(), lines[5..].concat()].concat();
    for bytes in [zeroed(&lines, 2, 3), page_ends_at_the_batch, altered, removed] {
        std::fs::write(&path, &bytes).unwrap();
        let error = recover(directory.path()).unwrap_err();
        assert!(matches!(error, OpenError::Broken { .. }), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "it is left as it is");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }
    std::fs::write(&path, zeroed(&lines, 4, 5)).unwrap();
    assert_eq!(recover(directory.path()).unwrap().chain.seq, 4, "the batch record is itself damaged");
}

#[test]
fn damage_before_a_batch_that_was_not_on_the_disk_either_is_a_loss_of_power() {
    let kinds = ["exchange", "exchange", "exchange", "batch before its sync", "exchange"];
    let lines = lines(&mut Chain::start(), &kinds);
    let (directory, path) = written(&lines);
    std::fs::write(&path, zeroed(&lines, 2, 3)).unwrap();
    let found = recover(directory.path()).unwrap();
    assert_eq!((found.chain.seq, found.damaged.len()), (2, 1), "the second record was on the disk, the third was not");
    let damaged = zeroed(&lines, 1, 3);
    std::fs::write(&path, &damaged).unwrap();
    let error = recover(directory.path()).unwrap_err();
    assert!(matches!(error, OpenError::Broken { .. }), "the second record was on the disk: {error}");
    assert_eq!(std::fs::read(&path).unwrap(), damaged);
}

#[test]
fn a_last_segment_damaged_from_its_first_line_on_is_put_aside_whole() {
    let mut chain = Chain::start();
    let (directory, _) = written(&lines(&mut chain, &["exchange", "batch"]));
    let path = directory.path().join(name(4, Timestamp(JANUARY.0 + 3_600_000_000)));
    let mut bytes = lines(&mut chain, &["exchange", "exchange"]).concat();
    bytes[..200].fill(0);
    std::fs::write(&path, &bytes).unwrap();
    let found = recover(directory.path()).unwrap();
    assert_eq!(found.chain.seq, 3);
    assert!(!path.exists());
    assert_eq!(std::fs::read(&found.damaged[0].kept_in).unwrap(), bytes);
}

#[test]
fn an_unfinished_last_line_is_torn_and_not_damaged() {
    let lines = lines(&mut Chain::start(), &["exchange"]);
    let (directory, path) = written(&lines);
    for tail in [&b"{\"v\":1,\"seq\":3,\"ki"[..], &[0; 5000]] {
        std::fs::write(&path, [&lines.concat(), tail].concat()).unwrap();
        let found = recover(directory.path()).unwrap();
        assert_eq!((found.chain.seq, found.torn_bytes), (2, tail.len() as u64));
        assert!(found.damaged.is_empty());
    }
}

#[test]
fn the_name_of_a_segment_tells_when_it_was_begun() {
    assert_eq!(name(1, JANUARY), "00000000000001-20260101T000000Z.jsonl");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join(name(1, JANUARY)), [0; 1000]).unwrap();
    std::fs::write(directory.path().join("notes.jsonl"), [0; 5000]).unwrap();
    let now = Timestamp(JANUARY.0 + 2 * 3_600_000_000);
    assert_eq!(usage(directory.path()).bytes_per_day(now), Some(12_000));
}
