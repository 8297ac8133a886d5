//! What calls home, and what only looks busy.

use crate::evidence::{Finding, FindingKind, Verdict};

use super::traffic::{DAY, Entry, HOUR, MINUTE, Source, found, log, requests, the_one, tunnel};

const PC: &str = "10.0.0.5";

#[track_caller]
fn beacon_of(period: f64, entries: Vec<Entry>) -> Finding {
    let finding = the_one(&log([entries]), FindingKind::Beacon);
    assert!(finding.score >= 3.5, "{}", finding.score);
    let beat = finding.beat.as_ref().unwrap();
    let centre = beat.period_seconds;
    assert!((centre / period - 1.0).abs() <= 0.1, "{centre} s for {period} s: {}", finding.in_english());
    assert!(beat.low_seconds <= centre && centre <= beat.high_seconds);
    assert!(beat.hits <= beat.gaps && beat.gaps as usize == beat.strip.len());
    finding
}

#[track_caller]
fn silent(seed: u64, entries: Vec<Entry>) {
    let said: Vec<String> = found(&log([entries])).iter().map(Finding::in_english).collect();
    assert!(said.is_empty(), "seed {seed}: {said:#?}");
}

#[test]
fn a_call_each_minute_is_a_beacon() {
    let finding = beacon_of(60.0, requests(&Source(1).beats(60.0, 0.0, 2.0 * HOUR), PC, "c2.example.net"));
    assert_eq!((&*finding.client, &*finding.target, finding.port), (PC, "c2.example.net", 443));
    assert_eq!(finding.denied, 0);
}

#[test]
fn a_call_each_five_minutes_with_30_percent_jitter_is_a_beacon() {
    for seed in 0..5 {
        beacon_of(5.0 * MINUTE, requests(&Source(seed).beats(5.0 * MINUTE, 0.3, DAY), PC, "c2.example.net"));
    }
}

#[test]
fn a_beacon_that_is_denied_is_one_and_says_so() {
    let mut entries = requests(&Source(3).beats(2.0 * MINUTE, 0.2, 6.0 * HOUR), PC, "c2.example.net");
    for (number, entry) in entries.iter_mut().enumerate() {
        entry.verdict = if number == 0 { Verdict::Allowed } else { Verdict::Denied };
    }
    let finding = beacon_of(2.0 * MINUTE, entries);
    assert_eq!(finding.denied, finding.requests - 1);
    assert!(finding.in_english().contains("of them denied"));
}

#[test]
fn bursts_inside_one_long_tunnel_are_a_beacon() {
    for seed in 0..5 {
        let bursts = Source(seed).beats(60.0, 0.2, 3.0 * HOUR);
        let finding = beacon_of(60.0, tunnel(&bursts, PC, "c2.example.net"));
        assert!(finding.requests as usize <= bursts.len() + 1);
    }
}

#[test]
fn a_call_a_day_is_a_beacon_within_ten_days() {
    let times: Vec<f64> = Source(5).times(10.5 * DAY, |_| DAY);
    let mut source = Source(6);
    let times: Vec<f64> = times.iter().map(|at| at + source.even(-30.0, 30.0)).collect();
    beacon_of(DAY, requests(&times, PC, "c2.example.net"));
}

#[test]
fn a_person_who_browses_is_none() {
    for seed in 0..20 {
        silent(seed, requests(&Source(seed).browsing(3), PC, "news.example.net"));
    }
}

#[test]
fn requests_at_random_are_none_at_any_rate() {
    for (seed, mean) in [2.0, 10.0, 60.0, 600.0, 3_600.0].into_iter().enumerate() {
        for more in 0..4 {
            let seed = 10 * seed as u64 + more;
            let times = Source(seed).times(DAY.max(200.0 * mean), |source| source.exponential(mean));
            // Around the clock to a host that nobody else uses: that is told of, but not as a beacon.
            let mut findings = found(&log([requests(&times, PC, "service.example.net")]));
            findings.retain(|finding| finding.kind != FindingKind::AlwaysOn);
            assert!(findings.is_empty(), "seed {seed}, mean {mean} s: {:?}", findings[0].in_english());
        }
    }
}

#[test]
fn times_drawn_evenly_from_a_day_are_none() {
    for seed in 0..10 {
        let mut source = Source(seed);
        let mut times: Vec<f64> = (0..40 + source.below(200)).map(|_| source.even(0.0, 9.0 * HOUR)).collect();
        times.sort_by(f64::total_cmp);
        silent(seed, requests(&times, PC, "service.example.net"));
    }
}

#[test]
fn one_large_download_is_none() {
    let times: Vec<f64> = (0..5_000).map(|part| 0.2 * f64::from(part)).collect();
    silent(0, requests(&times, PC, "files.example.net"));
    silent(0, tunnel(&[0.3], PC, "files.example.net"));
}

#[test]
fn a_tunnel_in_which_a_person_types_is_none() {
    for seed in 0..20 {
        let mut source = Source(seed);
        let (keys, pauses) = (source.even(0.15, 0.35), source.even(2.0, 8.0));
        let writes = source.times(2.0 * HOUR, |source| match source.below(6) {
            0 => source.lognormal(pauses, 1.4),
            _ => source.lognormal(keys, 0.6),
        });
        silent(seed, tunnel(&bursts_of(&writes), PC, "shell.example.net"));
    }
}

/// What a gate tells of writes: those after 500 ms of silence, one a second.
fn bursts_of(writes: &[f64]) -> Vec<f64> {
    let (mut bursts, mut last) = (Vec::<f64>::new(), f64::NEG_INFINITY);
    for write in writes {
        if write - last >= 0.5 && bursts.last().is_none_or(|burst| write - burst >= 1.0) {
            bursts.push(*write);
        }
        last = *write;
    }
    bursts
}

#[test]
fn on_traffic_of_a_new_seed_people_are_let_be_and_beacons_are_found() {
    let seed = Source::drawn();
    let mut source = Source(seed);
    let people = (0..100).filter(|_| !found(&log([requests(&source.browsing(2), PC, "a.example.net")])).is_empty());
    let people = people.count();
    assert!(people <= 1, "seed {seed}: {people} of 100 people are told of");
    let beacons = (0..40).filter(|_| {
        let period = source.lognormal(5.0 * MINUTE, 1.2).clamp(5.0, 2.0 * HOUR);
        let jitter = source.even(0.0, 0.3);
        let times = source.beats(period, jitter, (40.0 * period).max(8.0 * HOUR));
        let findings = found(&log([requests(&times, PC, "c2.example.net")]));
        findings.iter().any(|finding| {
            finding.kind == FindingKind::Beacon
                && (finding.beat.as_ref().unwrap().period_seconds / period - 1.0).abs() <= 0.15
        })
    });
    let beacons = beacons.count();
    assert!(beacons >= 38, "seed {seed}: {beacons} of 40 beacons are found");
}
