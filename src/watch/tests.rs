use std::io::{Cursor, ErrorKind};

use proptest::prelude::*;
use serde_json::json;

use crate::evidence::{Record, format_time};
use crate::store::{Follower, Place};

use super::*;

/// Lines of a client that asks for a host each minute, from a minute to another.
fn beats(minutes: std::ops::Range<u64>) -> Vec<String> {
    let line = |minute: u64| {
        json!({
            "v": 1, "seq": minute + 1, "time": format_time(Timestamp(1_760_000_000_000_000 + minute * 60_000_000)),
            "kind": "exchange", "event": "refused", "client": "10.0.0.9", "host": "c2.example", "port": 80,
            "verdict": "deny", "scheme": "http"
        })
    };
    minutes.map(|minute| line(minute).to_string()).collect()
}

fn at(minutes: u64) -> Timestamp {
    Timestamp(1_760_000_000_000_000 + minutes * 60_000_000)
}

/// What is told, as lines of a journal.
fn told(watch: &mut Watch, now: Timestamp) -> Vec<String> {
    let new = watch.new_findings(now);
    new.iter().for_each(|finding| watch.told(finding));
    let encode = |finding| {
        let record = Record::Finding(Box::new(finding));
        format!("{{\"v\":1,\"seq\":1,{}}}", String::from_utf8(record.encode(now)).unwrap())
    };
    new.into_iter().map(encode).collect()
}

#[test]
fn what_is_found_is_told_once_and_again_when_its_evidence_has_grown() {
    let mut watch = Watch::new(Limits::LIVE, &Settings::default());
    beats(0..12).iter().for_each(|line| watch.read(line.as_bytes()));
    let first = told(&mut watch, at(20));
    assert_eq!(first.len(), 1, "{first:?}");
    let record: serde_json::Value = serde_json::from_str(&first[0]).unwrap();
    assert_eq!(
        (&record["kind"], &record["finding"], &record["client"]),
        (&json!("finding"), &json!("beacon"), &json!("10.0.0.9"))
    );
    assert_eq!((&record["target"], &record["severity"]), (&json!("c2.example"), &json!("high")), "{record:#}");
    assert_eq!(record["denied"], record["requests"], "{record:#}");
    let period = record["beat"]["period_seconds"].as_f64().unwrap();
    assert!((period - 60.0).abs() < 1.0, "{period}");
    assert!(record["english"].as_str().unwrap().contains("gaps lie between"));
    assert_eq!(told(&mut watch, at(21)), [""; 0]);
    beats(12..60).iter().for_each(|line| watch.read(line.as_bytes()));
    assert_eq!(told(&mut watch, at(70)).len(), 1);
}

#[test]
fn a_gate_that_starts_again_knows_what_it_told_and_goes_on() {
    let mut watch = Watch::new(Limits::LIVE, &Settings::default());
    beats(0..12).iter().for_each(|line| watch.read(line.as_bytes()));
    let on_record = told(&mut watch, at(20));
    let mut again = Watch::new(Limits::LIVE, &Settings::default());
    beats(0..12).iter().chain(&on_record).for_each(|line| again.read(line.as_bytes()));
    assert_eq!(told(&mut again, at(20)), [""; 0]);
    for watch in [&mut watch, &mut again] {
        beats(12..60).iter().for_each(|line| watch.read(line.as_bytes()));
    }
    assert_eq!(told(&mut again, at(70)), told(&mut watch, at(70)));
}

#[test]
fn what_is_no_record_is_passed_over() {
    let mut watch = Watch::new(Limits::LIVE, &Settings::default());
    for line in ["", "{", "{\"v\":1,\"seq\":1,\"time\":\"x\",\"kind\":\"finding\"}", "\u{0}"] {
        watch.read(line.as_bytes());
    }
    assert_eq!(told(&mut watch, at(1)), [""; 0]);
}

#[test]
fn what_could_not_be_put_on_record_is_new_still() {
    let mut watch = Watch::new(Limits::LIVE, &Settings::default());
    beats(0..12).iter().for_each(|line| watch.read(line.as_bytes()));
    let finding = watch.new_findings(at(20)).remove(0);
    watch.keep(finding.clone());
    assert_eq!(watch.new_findings(at(21)), std::slice::from_ref(&finding));
    watch.told(&finding);
    assert_eq!(watch.new_findings(at(22)), []);
}

/// A place in a journal.
fn place() -> Place {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("journal")).unwrap();
    std::fs::write(directory.path().join("journal/00000000000001-20261124T090000Z.jsonl"), "{}\n").unwrap();
    let mut follower = Follower::new(directory.path(), Timestamp(0));
    assert!(follower.next(&mut Vec::new()).unwrap());
    follower.place().unwrap()
}

fn written(watch: &Watch) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(watch.write(&place(), &mut bytes, u64::MAX).unwrap());
    bytes
}

fn read_again(bytes: &[u8]) -> Result<(Watch, Place), Refused> {
    Watch::read_again(Limits::LIVE, &Settings::default(), Cursor::new(bytes))
}

/// One that has found something and told of it.
fn watched() -> Watch {
    let mut watch = Watch::new(Limits::LIVE, &Settings::default());
    beats(0..12).iter().for_each(|line| watch.read(line.as_bytes()));
    assert_eq!(told(&mut watch, at(20)).len(), 1);
    watch
}

#[test]
fn a_watch_that_was_written_down_goes_on_as_if_it_had_never_ended() {
    for cut in [0, 5, 12, 40, 60] {
        let (mut whole, mut parted) =
            (Watch::new(Limits::LIVE, &Settings::default()), Watch::new(Limits::LIVE, &Settings::default()));
        let mut said = Vec::new();
        for (minute, line) in beats(0..60).iter().enumerate() {
            if minute == cut {
                let (again, at) = read_again(&written(&parted)).unwrap();
                (parted, _) = (again, assert_eq!(at, place()));
            }
            for watch in [&mut whole, &mut parted] {
                watch.read(line.as_bytes());
                let new = told(watch, at(minute as u64));
                new.iter().for_each(|line| watch.read(line.as_bytes()));
                said.push(new);
            }
        }
        assert!(said.chunks(2).all(|pair| pair[0] == pair[1]) && said.concat().len() >= 4);
        assert_eq!(
            (whole.counts(), whole.read_up_to(), whole.began(), whole.told_of()),
            (parted.counts(), parted.read_up_to(), parted.began(), parted.told_of())
        );
        assert_eq!((whole.began(), whole.told_of()), (Some(at(0)), 1));
    }
}

#[test]
fn what_is_found_and_not_on_record_keeps_it_from_being_written_down() {
    let mut watch = watched();
    beats(12..60).iter().for_each(|line| watch.read(line.as_bytes()));
    let mut bytes = Vec::new();
    assert!(!watch.write(&place(), &mut bytes, u64::MAX).unwrap());
    assert!(bytes.is_empty());
    assert_eq!(told(&mut watch, at(70)).len(), 1);
    assert!(watch.write(&place(), &mut bytes, u64::MAX).unwrap());
}

#[test]
fn no_more_is_written_than_there_is_room_for() {
    let (watch, mut bytes) = (watched(), Vec::new());
    let length = written(&watch).len() as u64;
    let error = watch.write(&place(), &mut bytes, length - blake3::OUT_LEN as u64 - 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::StorageFull);
    assert!(bytes.len() < length as usize);
}

#[test]
fn a_snapshot_of_another_version_or_within_other_limits_is_refused() {
    let bytes = written(&watched());
    let other = Limits { window: 1, ..Limits::LIVE };
    let refused = Watch::read_again(other, &Settings::default(), Cursor::new(&bytes)).unwrap_err();
    assert!(matches!(refused, Refused::OtherLimits), "{refused}");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let head = text.lines().next().unwrap();
    assert_eq!(head, format!("sekisho detection snapshot 4 {}", env!("CARGO_PKG_VERSION")));
    for other in [head.replace(" 4 ", " 3 "), head.replace(env!("CARGO_PKG_VERSION"), "0.0.9")] {
        let rest = &bytes[head.len()..bytes.len() - blake3::OUT_LEN];
        let refused = read_again(&summed(&[other.as_bytes(), rest].concat())).unwrap_err();
        assert!(matches!(refused, Refused::OtherVersion), "{refused}");
    }
    // What is right and has more behind it is something else.
    let longer = summed(&[&bytes[..bytes.len() - blake3::OUT_LEN], b"more"].concat());
    assert!(matches!(read_again(&longer).unwrap_err(), Refused::Damaged));
}

/// With the sum that fits.
fn summed(bytes: &[u8]) -> Vec<u8> {
    [bytes, blake3::hash(bytes).as_bytes().as_slice()].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damage_anywhere_is_found(at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<prop::sample::Index>()) {
        let bytes = written(&watched());
        let mut flipped = bytes.clone();
        flipped[at.index(bytes.len())] ^= flip;
        prop_assert!(read_again(&flipped).is_err());
        prop_assert!(read_again(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert!(read_again(&[bytes.as_slice(), &[flip]].concat()).is_err());
    }

    #[test]
    fn what_fits_its_sum_and_was_never_written_breaks_nothing(at in any::<prop::sample::Index>(), to: Vec<u8>) {
        let bytes = written(&watched());
        let body = &bytes[..bytes.len() - blake3::OUT_LEN];
        let at = at.index(body.len());
        let _ = read_again(&summed(&[&body[..at], to.as_slice(), &body[at..]].concat()));
        let _ = read_again(&summed(&[&body[..at], to.as_slice()].concat()));
    }
}

#[test]
fn of_more_findings_than_are_known_those_seen_last_are_kept() {
    let mut watch = Watch::new(Limits::LIVE, &Settings::default());
    let told = |last: u64| Told { score: 40, severity: Severity::Low, last };
    for number in 0..=FINDINGS_MAX {
        watch.remember(number.to_string().into(), told(number as u64));
        assert!(watch.told.len() <= FINDINGS_MAX);
    }
    assert!(watch.told.contains_key(&*FINDINGS_MAX.to_string()) && !watch.told.contains_key("0"));
    assert!(watch.told.len() > FINDINGS_MAX / 3, "{}", watch.told.len());
}

/// A line of the journal that tells of attempts past the proxy, so many minutes after the first.
fn attempts(seq: u64, minute: u64, client: &str, address: &str, port: u16, rule: &str) -> String {
    let time = format_time(at(minute));
    let line = json!({
        "v": 1, "seq": seq, "time": time, "kind": "flow", "source": "nflog", "state": "refused", "client": client,
        "address": address, "port": port, "protocol": "tcp", "rule": rule, "count": 2, "first": time, "last": time
    });
    line.to_string()
}

#[test]
fn attempts_past_the_proxy_are_found_in_the_journal_and_a_restart_in_between_changes_nothing() {
    let beats: Vec<String> =
        (0..90).map(|beat| attempts(beat + 1, 4 * beat, "10.0.0.9", "203.0.113.66", 4444, "out-tcp")).collect();
    let touch = attempts(1_000, 361, "10.0.0.8", "10.0.0.1", 23, "tripwire");
    let mut watch = Watch::new(Limits::LIVE, &Settings::default());
    beats[..40].iter().for_each(|line| watch.read(line.as_bytes()));
    let first = told(&mut watch, at(165));
    assert_eq!(first.len(), 1, "{first:?}");
    let (mut again, _) = read_again(&written(&watch)).unwrap();
    let mut whole = Vec::new();
    for watch in [&mut watch, &mut again] {
        beats[40..].iter().chain([&touch]).for_each(|line| watch.read(line.as_bytes()));
        whole.push(told(watch, at(370)));
    }
    assert_eq!(whole[0], whole[1]);
    let parse = |line: &String| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let records: Vec<serde_json::Value> = whole[0].iter().map(parse).collect();
    let trap = records.iter().find(|record| record["finding"] == "tripwire").unwrap();
    assert_eq!((&trap["severity"], &trap["client"], &trap["port"]), (&json!("high"), &json!("10.0.0.8"), &json!(23)));
    let call = parse(&first[0]);
    assert_eq!((&call["finding"], &call["target"]), (&json!("direct_call"), &json!("203.0.113.66")));
    assert!(call["japanese"].as_str().unwrap().contains("プロキシを通らない接続の試み"), "{call:#}");
    let later: Vec<_> = records.iter().filter(|record| record["finding"] == "direct_call").collect();
    assert!(later.iter().all(|record| record["finding_id"] == call["finding_id"]), "it goes on as the same finding");
}
