//! The same findings of the same lines, in whatever order and however often they come.

use proptest::prelude::*;

use crate::detect::{Detector, Limits, Settings};
use crate::evidence::Finding;

use super::traffic::{Entry, HOUR, MINUTE, Source, log, requests, told_of, tunnel};

/// A small network in which a few things are told of.
pub(super) fn network(seed: u64) -> Vec<Entry> {
    let mut source = Source(seed);
    let mut parts = Vec::new();
    for client in 0..12 {
        let client = format!("10.0.0.{}", 100 - client);
        let times: Vec<f64> = source.browsing(1).into_iter().filter(|at| *at < 4.0 * HOUR).collect();
        parts.push(requests(&times, &client, "news.example.net"));
        let (period, host) = (source.even(0.5, 8.0) * MINUTE, format!("a{}.example.org", source.below(4)));
        parts.push(requests(&source.beats(period, 0.2, 4.0 * HOUR), &client, &host));
        let (period, hosts) = (source.even(1.0, 5.0) * MINUTE, 1 + source.below(6));
        for at in source.beats(period, 0.2, 4.0 * HOUR) {
            let host = format!("n{}.relay.com", source.below(hosts));
            parts.push(requests(&[at], &client, &host));
        }
    }
    log(parts)
}

fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_key(|finding| (finding.last, finding.id));
    findings
}

/// What does not count lines.
fn judged(findings: &[Finding]) -> Vec<String> {
    let judged = |finding: &Finding| {
        format!(
            "{} {} {:?} {:?}",
            finding.id,
            finding.score,
            finding.beat.as_ref().unwrap().strip,
            (finding.first, finding.last)
        )
    };
    findings.iter().map(judged).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn lines_out_of_order_within_the_window_give_the_same_findings(seed: u64) {
        let entries = network(seed);
        let expected = in_order(told_of(&entries, Limits::LIVE));
        prop_assert!(!expected.is_empty());
        let mut source = Source(!seed);
        let mut late: Vec<(u64, Entry)> =
            entries.into_iter().map(|entry| (entry.time + source.below(89_000_000) as u64, entry)).collect();
        late.sort_by_key(|(arrives, _)| *arrives);
        let late: Vec<Entry> = late.into_iter().map(|(_, entry)| entry).collect();
        prop_assert!(in_order(told_of(&late, Limits::LIVE)) == expected);
    }

    #[test]
    fn lines_that_come_twice_change_no_score(seed: u64) {
        let mut source = Source(seed);
        let beats = source.beats(source_period(seed), 0.2, 4.0 * HOUR);
        let entries = log([network(seed), tunnel(&beats, "10.0.0.7", "tunnel.example.net")]);
        let twice: Vec<Entry> =
            entries.iter().flat_map(|entry| vec![entry.clone(); 1 + source.below(3)]).collect();
        let expected = told_of(&entries, Limits::LIVE);
        let (of_twice, expected) = (judged(&told_of(&twice, Limits::LIVE)), judged(&expected));
        let differs = of_twice.iter().zip(&expected).find(|(one, other)| one != other);
        prop_assert!(of_twice == expected, "{:?}", differs);
    }

    #[test]
    fn a_replay_gives_equal_findings_however_they_are_asked_for(seed: u64) {
        let entries = network(seed);
        let (expected, mut asked) = (told_of(&entries, Limits::LIVE), Vec::new());
        let mut detector = Detector::new(Limits::LIVE, &Settings::default());
        for entry in &entries {
            entry.give(&mut detector);
            asked.append(&mut detector.findings());
        }
        detector.finish();
        asked.append(&mut detector.findings());
        prop_assert!(asked == expected);
    }
}

#[test]
fn a_finding_counts_the_clients_of_its_time_though_lines_of_others_came_before() {
    let beats: Vec<f64> = (0..20).map(|beat| 60.0 * f64::from(beat)).collect();
    let beats = requests(&beats, "10.0.0.1", "c2.example.net");
    let others: Vec<Entry> = (2..90)
        .map(|client| Entry::request(330.0 + f64::from(client) * 0.9, &format!("10.0.0.{client}"), "c2.example.net"))
        .collect();
    let entries = log([beats, others]);
    let mut early = entries.clone();
    early.sort_by_key(|entry| if entry.client == "10.0.0.1" { entry.time } else { entry.time - 80_000_000 });
    assert_ne!(early, entries);
    let findings = told_of(&entries, Limits::LIVE);
    assert_eq!(
        (findings[0].rarity.unwrap().clients, findings[0].rarity.unwrap().of),
        (1, 1),
        "{}",
        findings[0].in_english()
    );
    assert!(findings.last().unwrap().rarity.unwrap().of > 80);
    assert_eq!(told_of(&early, Limits::LIVE), findings);
}

fn source_period(seed: u64) -> f64 {
    Source(seed).even(20.0, 300.0)
}
