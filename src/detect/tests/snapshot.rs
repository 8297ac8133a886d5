//! A detector that was written down and taken up again is as one that never ended, and one that runs beside its journal as
//! one that reads it afterwards.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::detect::{Counts, Detector, Kept, Limits, Settings};
use crate::evidence::{Asked, Failure, Finding, Part, Shown, Verdict};
use crate::facts::Timestamp;

use super::kept::{SMALL, entries, times};
use super::shuffled::network;
use super::traffic::{Entry, HOUR, More, Source, log, tunnel};

fn bytes(detector: &Detector) -> Vec<u8> {
    postcard::to_extend(&detector.snapshot(), Vec::new()).unwrap()
}

fn again(detector: &Detector, limits: Limits) -> Detector {
    let kept: Kept = postcard::from_bytes(&bytes(detector)).unwrap();
    Detector::resume(limits, &Settings::default(), kept).unwrap()
}

/// All that a run shows: what was found, what was counted, and the bytes of its state, of which the order says nothing.
fn shown(detector: &mut Detector, mut found: Vec<Finding>) -> (Vec<Finding>, Counts, Vec<u8>) {
    detector.finish();
    found.append(&mut detector.findings());
    let mut bytes = bytes(detector);
    bytes.sort_unstable();
    (found, detector.counts(), bytes)
}

/// Beats and browsing, and in between what few lines tell of. What a tunnel tells is less than 80 seconds old.
fn traffic(seed: u64) -> Vec<Entry> {
    let mut source = Source(seed);
    let beats = source.beats(12.0, 0.2, 4.0 * HOUR);
    let mut entries = log([network(seed), tunnel(&beats, "10.0.0.7", "tunnel.example.net")]);
    for entry in &mut entries {
        let chance = source.below(40);
        entry.more = More {
            user: ["", "alice", "bob"][source.below(3)],
            user_agent: ["", "curl/8", "Mozilla/5.0 (X11) Firefox/140.0"][source.below(3)],
            tls_key: ["", "one", "two"][source.below(3)],
            address: format!("192.0.2.{}:443", source.below(9)),
            method: "GET",
            path: format!("/{}", source.below(4)),
            sni: if chance == 3 { "other.example".to_owned() } else { String::new() },
            carries: ["", "tls", "ssh"][source.below(3)],
            bytes_up: Some(source.below(4_000) as u64),
            bytes_down: Some(source.below(90_000) as u64),
            status: [0, 200, 404][source.below(3)],
            duration_us: Some(source.below(3_000_000) as u64),
            content_type: ["", "text/html"][source.below(2)],
            standing: if chance == 1 { Shown::Failed } else { Shown::Unasked },
            failure: if chance == 2 { Failure::NoName } else { Failure::None },
            ..More::default()
        };
        if entry.id == 0 && chance == 4 {
            (entry.what, entry.port, entry.part) = (Asked::Tunnel, 4444, Part::Whole);
            entry.host = format!("203.0.113.{}", source.below(200));
        }
        if entry.id == 0 && chance == 5 {
            (entry.part, entry.id) = (Part::Begun, 1_000 + entry.line);
        }
        if chance == 6 {
            (entry.verdict, entry.more.reason) = (Verdict::Denied, "log_in_wrong");
        }
    }
    entries
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn a_run_with_its_ticks_and_restarts_shows_what_one_pass_over_its_lines_shows(
        seed: u64, cuts in vec(any::<prop::sample::Index>(), 0..6)
    ) {
        let mut source = Source(!seed);
        let mut lines: Vec<(u64, Entry)> =
            traffic(seed).into_iter().map(|entry| (entry.time + source.below(10_000_000) as u64, entry)).collect();
        lines.sort_by_key(|(arrives, _)| *arrives);
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(lines.len())).collect();
        let mut detectors = [(); 3].map(|()| Detector::new(Limits::LIVE, &Settings::default()));
        let mut found = Vec::new();
        for (number, (arrives, entry)) in lines.iter().enumerate() {
            detectors.iter_mut().for_each(|detector| entry.give(detector));
            let [_, live, parted] = &mut detectors;
            if source.below(5) == 0 {
                live.tick(Timestamp(*arrives));
                parted.tick(Timestamp(*arrives));
            }
            if cuts.contains(&number) {
                found.append(&mut parted.findings());
                *parted = again(parted, Limits::LIVE);
            }
        }
        let [mut replay, mut live, mut parted] = detectors;
        let (replay, live) = (shown(&mut replay, Vec::new()), shown(&mut live, Vec::new()));
        let parted = shown(&mut parted, found);
        prop_assert!(!replay.0.is_empty());
        prop_assert!(live.0 == replay.0, "{:?}", live.0.iter().zip(&replay.0).find(|(live, replay)| live != replay));
        prop_assert_eq!(live.1, replay.1);
        prop_assert!(parted.0 == live.0, "{:?}", parted.0.iter().zip(&live.0).find(|(parted, live)| parted != live));
        prop_assert_eq!(parted.1, live.1);
        prop_assert!(parted.2 == live.2, "another state");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_restart_at_every_bound_changes_nothing(
        entries in vec((entries(), 1u32..20), 0..60), ticks in vec(times(), 0..4), cut in 0usize..60,
        window in select(vec![0, 90_000_000, u64::MAX])
    ) {
        let limits = Limits { window, ..SMALL };
        let (mut whole, mut parted) =
            (Detector::new(limits, &Settings::default()), Detector::new(limits, &Settings::default()));
        let mut found = Vec::new();
        for (number, (entry, times)) in entries.iter().enumerate() {
            if number == cut {
                found.append(&mut parted.findings());
                parted = again(&parted, limits);
            }
            for detector in [&mut whole, &mut parted] {
                for more in 0..u64::from(*times) {
                    let time = entry.time.wrapping_add(more * (entry.line % 400_000_000));
                    Entry { time, ..entry.clone() }.give(detector);
                }
                if let Some(now) = ticks.get(number) {
                    detector.tick(Timestamp(*now));
                }
            }
        }
        let (whole, parted) = (shown(&mut whole, Vec::new()), shown(&mut parted, found));
        prop_assert_eq!(parted.0, whole.0);
        prop_assert_eq!(parted.1, whole.1);
        prop_assert!(parted.2 == whole.2);
    }

    #[test]
    fn no_bytes_break_who_reads_them(bytes in vec(any::<u8>(), 0..400), at in any::<prop::sample::Index>(), to: u8) {
        let _ = postcard::from_bytes::<Kept>(&bytes);
        let mut detector = Detector::new(SMALL, &Settings::default());
        network(1).iter().take(60).for_each(|entry| entry.give(&mut detector));
        let mut bytes = self::bytes(&detector);
        let at = at.index(bytes.len());
        bytes[at] = to;
        let _ = postcard::from_bytes::<Kept>(&bytes).map(|kept| Detector::resume(SMALL, &Settings::default(), kept));
    }
}

#[test]
fn a_snapshot_within_other_limits_is_refused_and_the_settings_are_those_of_now() {
    let mut detector = Detector::new(SMALL, &Settings::default());
    let beats: Vec<f64> = (0..60).map(|beat| f64::from(beat) * 60.0).collect();
    let beats = super::traffic::requests(&beats, "10.0.0.1", "c2.example");
    beats[..3].iter().for_each(|entry| entry.give(&mut detector));
    let kept = || postcard::from_bytes::<Kept>(&bytes(&detector)).unwrap();
    let settings = Settings::default();
    assert!(Detector::resume(Limits { pairs_max: 7, ..SMALL }, &settings, kept()).is_none());
    let settings = Settings { allow: vec![crate::detect::Target::new("c2.example").unwrap()], ..settings };
    let mut allowing = Detector::resume(SMALL, &settings, kept()).unwrap();
    beats[3..].iter().for_each(|entry| entry.give(&mut allowing));
    allowing.finish();
    assert!(allowing.findings().is_empty() && allowing.counts().allowed > 0, "{:?}", allowing.counts());
}
