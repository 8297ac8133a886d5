//! What calls steadily on a host that is browsed as well.

use crate::evidence::{Finding, FindingKind};

use super::traffic::{BEATS, DAY, Entry, MINUTE, Source, found, log};

const PC: &str = "10.0.0.5";
const PATHS: [&str; 6] = ["/", "/news/2026", "/img/a.png", "/style.css", "/app.js", "/search"];

fn of_path(at: f64, method: &'static str, path: &str) -> Entry {
    let mut entry = Entry::request(at, PC, "www.example.net");
    (entry.more.method, entry.more.path) = (method, path.to_owned());
    entry
}

fn browsed(source: &mut Source) -> Vec<Entry> {
    source.browsing(1).iter().map(|at| of_path(*at, "GET", PATHS[source.below(PATHS.len())])).collect()
}

#[test]
fn a_beacon_on_a_host_that_is_browsed_is_found_by_the_kind_of_its_requests() {
    let mut hits = 0;
    for seed in 0..10 {
        let mut source = Source(seed);
        let beats = source.beats(2.0 * MINUTE, 0.2, DAY).iter().map(|at| of_path(*at, "POST", "/status/7")).collect();
        let findings = found(&log([browsed(&mut source), beats]));
        let Some(finding) = findings.iter().find(|finding| finding.kind == FindingKind::Beacon) else { continue };
        let period = finding.beat.as_ref().unwrap().period_seconds;
        assert!((period / (2.0 * MINUTE) - 1.0).abs() < 0.1, "seed {seed}: {}", finding.in_english());
        hits += usize::from(finding.in_english().contains("requests of one kind among"));
    }
    assert!(hits >= 8, "{hits} of 10");
}

#[test]
fn the_kinds_of_what_a_person_asks_for_are_let_be_whatever_the_seed() {
    let seed = Source::drawn();
    let mut source = Source(seed);
    let mut told = Vec::new();
    for _ in 0..60 {
        let findings = found(&log([browsed(&mut source)]));
        told.extend(findings.iter().filter(|finding| BEATS.contains(&finding.kind)).map(Finding::in_english));
    }
    // Of people's pairs about one in ten thousand is told of.
    assert!(told.len() <= 1, "seed {seed}: {told:#?}");
}
