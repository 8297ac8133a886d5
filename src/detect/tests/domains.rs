//! Hosts of one registrable domain, seen together.

use crate::evidence::{Finding, FindingKind};

use super::traffic::{DAY, Entry, MINUTE, Source, found, log, requests, the_one};

const PC: &str = "10.0.0.5";

fn of_eight(source: &mut Source, times: &[f64]) -> Vec<Entry> {
    times.iter().map(|at| Entry::request(*at, PC, &format!("n{}.cdn-relay.com", source.below(8)))).collect()
}

#[test]
fn a_beacon_that_rotates_over_eight_hosts_is_found_by_their_domain() {
    let mut of_hosts = 0;
    for seed in 0..5 {
        let mut source = Source(seed);
        let times = source.beats(5.0 * MINUTE, 0.15, DAY);
        let findings = found(&log([of_eight(&mut source, &times)]));
        let (of_domain, others): (Vec<_>, Vec<_>) =
            findings.into_iter().partition(|finding| finding.kind == FindingKind::RotatingBeacon);
        let [finding] = &*of_domain else { panic!("seed {seed}: {of_domain:?}") };
        assert_eq!(&*finding.target, "*.cdn-relay.com");
        assert!(finding.score >= 3.5, "{}", finding.score);
        assert!(
            (finding.beat.as_ref().unwrap().period_seconds / (5.0 * MINUTE) - 1.0).abs() < 0.1,
            "{}",
            finding.in_english()
        );
        assert!(others.iter().all(|other| other.score < 0.1 * finding.score), "{others:?}");
        of_hosts += others.iter().filter(|other| other.kind == FindingKind::Beacon).count();
    }
    // Beats of which each host gets some at random keep a little of the rhythm.
    assert!(of_hosts <= 4, "{of_hosts} of 40 hosts are told of for themselves");
}

#[test]
fn a_person_who_browses_eight_hosts_of_a_domain_is_let_be() {
    for seed in 0..20 {
        let mut source = Source(seed);
        let times = source.browsing(3);
        let findings = found(&log([of_eight(&mut source, &times)]));
        assert!(findings.is_empty(), "seed {seed}: {:?}", findings[0].in_english());
    }
}

#[test]
fn a_beacon_of_one_host_is_not_told_of_once_more_by_its_domain() {
    let visit = requests(&[1.0], PC, "www.cdn-relay.com");
    let beats = requests(&Source(1).beats(MINUTE, 0.1, 4.0 * 60.0 * MINUTE), PC, "c2.cdn-relay.com");
    let finding = the_one(&log([visit, beats]), FindingKind::Beacon);
    assert_eq!(&*finding.target, "c2.cdn-relay.com");
}

#[test]
fn hosts_under_a_public_suffix_are_not_of_one_domain() {
    let mut source = Source(2);
    let times = source.beats(5.0 * MINUTE, 0.1, DAY);
    let calls = times.iter().map(|at| Entry::request(*at, PC, &format!("n{}.co.jp", source.below(8)))).collect();
    let findings = found(&log([calls]));
    assert!(findings.iter().all(|finding| finding.kind != FindingKind::RotatingBeacon), "{findings:?}");
}

#[test]
fn addresses_are_not_of_one_domain() {
    let mut source = Source(2);
    let times = source.beats(5.0 * MINUTE, 0.1, DAY);
    let calls = times.iter().map(|at| Entry::request(*at, PC, &format!("203.0.113.{}", source.below(8)))).collect();
    let targets: Vec<Box<str>> = found(&log([calls])).into_iter().map(|Finding { target, .. }| target).collect();
    assert!(targets.iter().all(|target| !target.starts_with('*')), "{targets:?}");
}

/// Of so many hosts that share no domain, at one address.
fn at_one_address(source: &mut Source, times: &[f64], address: &str) -> Vec<Entry> {
    let of = |at: &f64, host: usize| {
        let mut entry = Entry::request(*at, PC, &format!("www.site{host}.example{host}.com"));
        entry.more.address = format!("{address}:443");
        entry
    };
    times.iter().map(|at| of(at, source.below(6))).collect()
}

#[test]
fn a_beacon_that_rotates_over_unrelated_hosts_at_one_address_is_found_by_it() {
    for seed in [0, 1, 2, 3, Source::drawn()] {
        let mut source = Source(seed);
        let times = source.beats(5.0 * MINUTE, 0.15, DAY);
        let findings = found(&log([at_one_address(&mut source, &times, "192.0.2.7")]));
        let finding = findings.iter().find(|finding| finding.kind == FindingKind::AddressBeacon);
        let finding = finding.unwrap_or_else(|| panic!("seed {seed}: {findings:?}"));
        assert_eq!((&*finding.client, &*finding.target), (PC, "192.0.2.7"));
        let period = finding.beat.as_ref().unwrap().period_seconds;
        // By chance beats that nobody heard make the gaps that are looked at twice as wide.
        let near = if seed < 4 { 0.1 } else { 0.5 };
        assert!((period / (5.0 * MINUTE) - 1.0).abs() < near, "seed {seed}: {}", finding.in_english());
    }
}

#[test]
fn who_browses_hosts_at_one_address_is_let_be_and_what_many_share_is_not_summed_up() {
    for seed in (0..10).chain([Source::drawn()]) {
        let mut source = Source(seed);
        let times = source.browsing(3);
        let findings = found(&log([at_one_address(&mut source, &times, "192.0.2.7")]));
        // A window of gaps at random is told of in about one pair in ten thousand.
        let beats = findings.iter().filter(|finding| finding.score >= 5.0).count();
        assert_eq!(beats, 0, "seed {seed}: {:?}", findings[0].in_english());
    }
    let mut source = Source(11);
    let times = source.beats(5.0 * MINUTE, 0.15, DAY);
    let beats = at_one_address(&mut source, &times, "192.0.2.7");
    let others = (0..60).map(|client| {
        let mut entry = Entry::request(f64::from(client), &format!("10.0.1.{client}"), "cdn.example.net");
        entry.more.address = "192.0.2.7".to_owned();
        entry
    });
    let findings = found(&log([beats, others.collect()]));
    assert!(findings.iter().all(|finding| finding.kind != FindingKind::AddressBeacon), "{findings:?}");
}
