use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::detect::Kept;
use crate::evidence::FindingKind;

use super::super::kept::{SMALL, times};
use super::super::traffic::{HOUR, MINUTE, Source};
use super::*;

fn bytes(detector: &Detector) -> Vec<u8> {
    postcard::to_extend(&detector.snapshot(), Vec::new()).unwrap()
}

fn again(detector: &Detector, limits: Limits) -> Detector {
    let kept: Kept = postcard::from_bytes(&bytes(detector)).unwrap();
    Detector::resume(limits, &site(), kept).unwrap()
}

/// Anything that a journal may hold of attempts.
fn any_seen() -> impl Strategy<Value = (u64, FlowSeen<'static>)> {
    let address = || {
        prop_oneof![
            (0u8..40).prop_map(|last| Some(std::net::IpAddr::from([10, 20, 0, last]))),
            (0u8..40).prop_map(|last| Some(std::net::IpAddr::from([10, 50, 0, last]))),
            (0u8..40).prop_map(|last| Some(std::net::IpAddr::from([203, 0, 113, last]))),
            any::<u128>().prop_map(|bits| Some(std::net::IpAddr::from(bits.to_be_bytes()))),
            Just(None),
        ]
    };
    let states = [Refused, Dropped, Unanswered, Reset, Established, Closed].map(Some);
    let state = prop_oneof![9 => select(states.to_vec()), 1 => Just(None)];
    let source = select(vec![FlowSource::Nflog, FlowSource::Conntrack, FlowSource::Syslog, FlowSource::Zeek]);
    let number = || prop_oneof![Just(0), Just(1), Just(u64::MAX), 0u64..1 << 34];
    let many = || prop_oneof![Just(None), number().prop_map(Some)];
    let port = prop_oneof![any::<u16>(), select(vec![0, 22, 23, 25, 443, 445])];
    let rule = select(vec!["", "tripwire", "out-tcp"]);
    let kinds = (state, source, address(), rule, any::<Option<u8>>());
    (times(), any::<u64>(), kinds, address(), address(), port, (number(), many(), many(), number())).prop_map(
        |(time, line, (state, source, told_by, rule, protocol), client, address, port, (count, up, down, keys))| {
            let seen = FlowSeen {
                first: Timestamp(time),
                last: Timestamp(time),
                line,
                source,
                told_by,
                state,
                client,
                address,
                port,
                protocol: protocol.map(Protocol),
                rule,
                count,
                bytes_up: up,
                bytes_down: down,
                rolled_up: keys,
            };
            (line % 6, seen)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn nothing_that_a_journal_may_hold_breaks_a_bound_and_a_restart_changes_nothing(
        given in vec(any_seen(), 0..60), ticks in vec(times(), 0..4), cut in 0usize..60,
        window in select(vec![0, 90_000_000, u64::MAX])
    ) {
        let limits = Limits { window, ..SMALL };
        let (mut whole, mut parted) = (Detector::new(limits, &site()), Detector::new(limits, &site()));
        let mut found = Vec::new();
        for (number, (times, seen)) in given.iter().enumerate() {
            if number == cut {
                found.append(&mut parted.findings());
                parted = again(&parted, limits);
            }
            for detector in [&mut whole, &mut parted] {
                for more in 0..=*times {
                    let at = Timestamp(seen.first.0.wrapping_add(more * (seen.line % 400_000_000)));
                    let port = seen.port.wrapping_add(more as u16);
                    detector.observe_flow(&FlowSeen { first: at, last: at, port, line: seen.line ^ more, ..*seen });
                }
                if let Some(now) = ticks.get(number) {
                    detector.tick(Timestamp(*now));
                }
            }
        }
        whole.finish();
        parted.finish();
        found.append(&mut parted.findings());
        let expected = whole.findings();
        for finding in &expected {
            prop_assert!(finding.score.is_finite() && finding.first <= finding.last);
            prop_assert!(finding.client.len() <= 255 && finding.target.len() <= 255);
            prop_assert!(finding.in_english().len() < 3_000 && finding.in_japanese().len() < 4_000);
        }
        prop_assert!(found == expected, "{:?}", found.iter().zip(&expected).find(|(one, other)| one != other));
        prop_assert_eq!(parted.counts(), whole.counts());
        let [mut one, mut other] = [bytes(&parted), bytes(&whole)];
        one.sort_unstable();
        other.sort_unstable();
        prop_assert!(one == other);
    }
}

/// A day in which several things are told of.
fn eventful(seed: u64) -> Vec<Line> {
    let mut source = Source(seed);
    let beats = source.beats(5.0 * MINUTE, 0.1, 6.0 * HOUR);
    let calls = flows(beats.iter().map(|at| seen(*at, PC, STRANGER, 4444, Refused)));
    let scan = flows((1..200).map(|port| seen(HOUR + f64::from(port), "10.20.0.6", SERVER, port, Reset)));
    let guesses = flows((0..200).map(|at| ended(2.0 * HOUR + f64::from(at), "10.20.0.7", SERVER, 22, (900, 900))));
    let touch = flows([seen(3.0 * HOUR, "10.20.0.8", "10.20.0.1", 23, Refused)]);
    journal([calls, scan, guesses, touch])
}

#[test]
fn lines_out_of_order_within_the_window_and_lines_that_come_twice_give_the_same_findings() {
    let seed = Source::drawn();
    let lines = eventful(seed);
    let expected = run(&site(), &lines);
    assert!(expected.len() >= 4, "{expected:#?}");
    let mut source = Source(!seed);
    let mut late: Vec<(u64, u64, Line)> =
        (1..).zip(lines).map(|(number, line)| (line.time() + source.below(80_000_000) as u64, number, line)).collect();
    late.sort_by_key(|(arrives, number, _)| (*arrives, *number));
    let mut detector = Detector::new(Limits::LIVE, &site());
    for (_, number, line) in &late {
        for _ in 0..1 + source.below(2) {
            line.give(*number, &mut detector);
        }
    }
    detector.finish();
    let mut found: Vec<Finding> = Vec::new();
    for finding in detector.findings() {
        match found.iter_mut().find(|other| other.id == finding.id) {
            Some(other) => *other = finding,
            None => found.push(finding),
        }
    }
    let mut expected: Vec<Finding> = expected.into_iter().map(|(finding, _)| finding).collect();
    expected.sort_by_key(|finding| finding.id);
    found.sort_by_key(|finding| finding.id);
    assert_eq!(found, expected, "seed {seed}");
    assert!(detector.counts().repeated > 0);
}

#[test]
fn a_flood_of_one_client_hides_no_call_of_another() {
    let beats = Source(1).beats(5.0 * MINUTE, 0.1, 6.0 * HOUR);
    let calls = flows(beats.iter().map(|at| seen(*at, PC, STRANGER, 4444, Refused)));
    let mut source = Source(2);
    let flood = flows((0..120_000).map(|number| {
        let to = std::net::Ipv4Addr::from(0xcb00_0000 | source.word() as u32 & 0xff_ffff).to_string();
        let port = 1 + source.below(65_000) as u16;
        seen(f64::from(number) * 0.15, "10.20.0.66", &to, port, Refused)
    }));
    let lines = journal([calls, flood]);
    let mut detector = given(&lines);
    detector.finish();
    let counts = detector.counts();
    assert!(counts.flows_evicted > 50_000, "{counts:?}");
    let found = detector.findings();
    assert!(found.iter().any(|finding| finding.kind == FindingKind::DirectCall && &*finding.client == PC));
    let size = bytes(&detector).len();
    assert!(size < 8 << 20, "{size} bytes");
}

#[test]
fn a_flood_of_made_up_clients_fills_neither_the_tables_nor_the_journal() {
    let forged = flows((0..60_000_u32).map(|number| {
        let client = std::net::Ipv4Addr::from(0x0a32_0000 | (number % 65_536)).to_string();
        seen(f64::from(number) * 0.01, &client, STRANGER, 443, Refused)
    }));
    let strangers = flows((0..60_000_u32).map(|number| {
        let client = std::net::Ipv4Addr::from(0x0100_0000 | number).to_string();
        seen(f64::from(number) * 0.01, &client, "10.20.0.1", 23, Dropped)
    }));
    let mut detector = given(&journal([forged, strangers]));
    detector.finish();
    let (found, counts) = (detector.findings(), detector.counts());
    assert_eq!(found.len(), 1_000, "what is told of a critical segment in a day");
    assert!(counts.findings_beyond >= 50_000 && counts.flows_of_strangers == 60_000, "{counts:?}");
    let size = bytes(&detector).len();
    assert!(size < 24 << 20, "{size} bytes");
}

#[test]
fn what_the_operator_allows_and_has_explained_is_not_told() {
    let beats = Source(1).beats(5.0 * MINUTE, 0.1, 6.0 * HOUR);
    let lines = flows(beats.iter().map(|at| seen(*at, PC, STRANGER, 4444, Refused)));
    let allow = vec![crate::detect::Target::new(STRANGER).unwrap()];
    assert_eq!(run(&Settings { allow, ..site() }, &lines), []);
    assert!(!run(&site(), &lines).is_empty());
}

fn given(lines: &[Line]) -> Detector {
    let mut detector = Detector::new(Limits::LIVE, &site());
    for (number, line) in (1..).zip(lines) {
        line.give(number, &mut detector);
    }
    detector
}
