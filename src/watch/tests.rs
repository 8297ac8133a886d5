use serde_json::json;

use crate::evidence::{Record, format_time};

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
