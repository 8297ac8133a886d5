//! What is always on, and how soon a person should look.

use crate::evidence::{Finding, FindingKind, Severity};

use super::traffic::{DAY, Entry, HOUR, MINUTE, Source, found, log, requests};

/// Some requests in each hour of a day and a half, at no steady times.
fn around_the_clock(source: &mut Source, client: &str, host: &str) -> Vec<Entry> {
    let mut times = Vec::new();
    for hour in 0..36 {
        times.extend((0..1 + source.below(4)).map(|_| f64::from(hour) * HOUR + source.even(0.0, HOUR)));
    }
    times.sort_by(f64::total_cmp);
    requests(&times, client, host)
}

fn clients(number: usize) -> impl Iterator<Item = String> {
    (0..number).map(|client| format!("10.0.{}.{}", client / 200, 1 + client % 200))
}

/// Each client asks a host of many for something at the start.
fn others(number: usize) -> Vec<Entry> {
    clients(number).enumerate().map(|(at, client)| Entry::request(at as f64, &client, "portal.example.net")).collect()
}

fn of_kind(entries: &[Entry], kind: FindingKind) -> Vec<Finding> {
    found(entries).into_iter().filter(|finding| finding.kind == kind).collect()
}

#[test]
fn a_rare_host_that_is_seen_in_each_hour_of_a_day_is_always_on() {
    for seed in [0, 1, 2, 3, Source::drawn()] {
        let calls = around_the_clock(&mut Source(seed), "10.0.0.1", "rare.example.net");
        let findings = of_kind(&log([others(50), calls]), FindingKind::AlwaysOn);
        let [finding] = &*findings else { panic!("seed {seed}: {findings:?}") };
        assert_eq!((&*finding.client, &*finding.target), ("10.0.0.1", "rare.example.net"));
        assert!(finding.number("always_on", "hours_of_day").unwrap() >= 20.0, "{:?}", finding.grounds);
        assert_eq!((finding.rarity.unwrap().clients, finding.rarity.unwrap().of), (1, 50));
        assert_eq!(finding.severity, Severity::Low, "weaker than a beacon");
    }
}

#[test]
fn a_host_of_fifty_clients_is_not_told_of_as_always_on() {
    let mut source = Source(9);
    let calls =
        clients(50).map(|client| around_the_clock(&mut source, &client, "mail.example.net")).collect::<Vec<_>>();
    let findings = of_kind(&log(calls), FindingKind::AlwaysOn);
    assert!(findings.is_empty(), "{:?}", findings[0].in_english());
}

#[test]
fn a_rare_host_of_working_hours_is_not_always_on() {
    let calls = requests(&Source(4).browsing(3), "10.0.0.1", "rare.example.net");
    assert_eq!(of_kind(&log([others(50), calls]), FindingKind::AlwaysOn), []);
}

#[test]
fn a_beacon_of_one_client_in_twenty_is_pressing() {
    // It begins while the client is watched.
    let times: Vec<f64> = Source(1).beats(MINUTE, 0.2, 6.0 * HOUR).iter().map(|at| at + 2.0 * HOUR).collect();
    let calls = requests(&times, "10.0.0.1", "c2.example.net");
    let findings = of_kind(&log([others(20), calls]), FindingKind::Beacon);
    let [finding] = &*findings else { panic!("{findings:?}") };
    assert_eq!(
        (finding.severity, finding.rarity.unwrap().clients, finding.rarity.unwrap().of),
        (Severity::High, 1, 20)
    );
}

#[test]
fn what_sixty_clients_call_steadily_is_as_certain_and_less_pressing() {
    let mut source = Source(2);
    // A host that everybody is known to use, then calls alike: the last finding of each knows them all.
    let known = clients(60).enumerate().map(|(at, client)| Entry::request(at as f64, &client, "update.example.net"));
    let known = known.collect();
    let calls = clients(60).map(|client| {
        let times: Vec<f64> = source.beats(10.0 * MINUTE, 0.2, DAY).iter().map(|at| at + 100.0).collect();
        requests(&times, &client, "update.example.net")
    });
    let findings = of_kind(&log(calls.chain([known]).collect::<Vec<_>>()), FindingKind::Beacon);
    assert_eq!(findings.len(), 60);
    for finding in findings {
        assert!(finding.score >= 5.0, "{}", finding.score);
        assert_eq!(finding.severity, Severity::Low, "{}", finding.in_english());
        assert_eq!(finding.rarity.unwrap().of, 60);
        assert!(finding.rarity.unwrap().clients.abs_diff(60) <= 8, "{}", finding.in_english());
    }
}
