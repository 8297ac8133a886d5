//! What the operator knows of.

use crate::detect::{Counts, Detector, Limits, Settings};
use crate::evidence::{Finding, FindingKind};
use crate::parse::Document;

use super::traffic::{Entry, HOUR, MINUTE, Source, log, requests};

const PC: &str = "10.20.0.5";
const HOST: &str = "update.example.com";

fn settings(text: &str) -> Settings {
    Document::read("t.toml", text, |root| Some(Settings::read_all(root, |_| {}))).unwrap()
}

fn refused(text: &str) -> Vec<String> {
    let problems = Document::read("t.toml", text, |root| Some(Settings::read_all(root, |_| {}))).unwrap_err();
    problems.iter().map(ToString::to_string).collect()
}

/// A call each minute for some hours, then at another pace.
fn calls(then: f64) -> Vec<Entry> {
    let mut source = Source(3);
    let mut times = source.beats(10.0 * MINUTE, 0.1, 8.0 * HOUR);
    times.extend(source.beats(then, 0.1, 12.0 * HOUR).iter().map(|at| at + 8.0 * HOUR));
    let mut entries = requests(&times, PC, HOST);
    entries.iter_mut().for_each(|entry| entry.more.bytes_up = Some(600));
    log([entries])
}

fn told(entries: &[Entry], settings: &Settings) -> (Vec<Finding>, Counts) {
    let mut detector = Detector::new(Limits::LIVE, settings);
    entries.iter().for_each(|entry| entry.give(&mut detector));
    detector.finish();
    let mut findings = detector.findings();
    findings.retain(|finding| finding.kind == FindingKind::Beacon);
    (findings, detector.counts())
}

const EXPLAINED: &str = "[explained.patterns]\ntarget = \"update.example.com\"\nperiod_seconds = 600\n\
                         request_bytes = 600\nclients = [\"10.20.0.0/16\"]\n";

#[test]
fn what_is_allowed_is_not_told_and_counted() {
    let entries = calls(10.0 * MINUTE);
    assert!(!told(&entries, &settings("")).0.is_empty());
    for allowed in ["update.example.com", "*.example.com", "UPDATE.example.com"] {
        let (findings, counts) = told(&entries, &settings(&format!("[detect]\nallow = [\"{allowed}\"]")));
        assert_eq!(findings, [], "{allowed}");
        assert!(counts.allowed > 0 && counts.explained == 0, "{counts:?}");
    }
    let (findings, _) =
        told(&entries, &settings("[detect]\nallow = [\"example.com\", \"*.pdate.example.com\", \"*.e.com\"]"));
    assert!(!findings.is_empty());
}

#[test]
fn what_is_explained_is_silent_until_its_pace_changes() {
    let (findings, counts) = told(&calls(10.0 * MINUTE), &settings(EXPLAINED));
    assert_eq!(findings, []);
    assert!(counts.explained > 0);
    let (findings, _) = told(&calls(MINUTE), &settings(EXPLAINED));
    let first = findings.first().expect("its pace has changed");
    assert_eq!(
        (first.grounds[0].english.as_ref(), first.grounds.last().unwrap().english.as_ref()),
        (
            "its period was 10.0 min and is 59.0 s now",
            "explained (patterns) with a period of 10.0 min, and now it is 59.0 s"
        )
    );
    assert!(
        first.in_japanese().contains("周期10.0分として説明済み（patterns）だが、現在は59.0秒"),
        "{}",
        first.in_japanese()
    );
}

#[test]
fn what_is_explained_for_others_or_with_another_size_is_told_with_that() {
    let others = EXPLAINED.replace("10.20.", "10.30.");
    let (findings, _) = told(&calls(10.0 * MINUTE), &settings(&others));
    assert!(findings[0].in_english().contains("explained (patterns), but not for this client"));
    let larger = EXPLAINED.replace("request_bytes = 600", "request_bytes = 6000");
    let (findings, _) = told(&calls(10.0 * MINUTE), &settings(&larger));
    assert!(
        findings[0].in_english().contains("explained (patterns) with 5.9 KiB up each, and now it is 600 bytes"),
        "{}",
        findings[0].in_english()
    );
}

#[test]
fn entries_that_say_nothing_are_refused_with_what_to_write() {
    for (text, part) in [
        ("[detect]\nallow = [\"*\"]", "`*` is no target"),
        ("[detect]\nallow = [\"a b\"]", "`a b` is no target"),
        ("[detect]\ntime_zone = \"Tokyo\"", "there is no such time zone"),
        ("[explained.x]\nwhy = \"x\"", "`target` is missing"),
        ("[explained.x]\ntarget = \"a.example\"\nwhy = \"x\"\nclients = [\"here\"]", "here"),
        ("[explained.x]\ntarget = \"a.example\"\nwhy = \"x\"\nperiod = 5", "period"),
    ] {
        let problems = refused(text);
        assert!(problems.iter().any(|problem| problem.contains(part)), "{text}: {problems:?}");
    }
}
