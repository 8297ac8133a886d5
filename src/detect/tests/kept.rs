//! Bounds hold whatever comes, and what is lost at them is counted.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::detect::{Counts, Detector, Limits, Settings};
use crate::evidence::{Asked, Burst, Failure, FindingKind, Part, Shown, Verdict};
use crate::facts::Timestamp;

use super::traffic::{Entry, More, START};

pub(super) const SMALL: Limits = Limits {
    pairs_max: 8,
    hosts_max: 8,
    clients_max: 4,
    open_max: 2,
    told_max: 4,
    window: 90_000_000,
    waiting_max: 16,
};

fn counts_of(entries: &[Entry]) -> Counts {
    let mut detector = Detector::new(SMALL, &Settings::default());
    entries.iter().for_each(|entry| entry.give(&mut detector));
    detector.finish();
    detector.counts()
}

fn tunnel(id: u64, part: Part) -> Entry {
    let line = if part == Part::Begun { id } else { 100 };
    Entry { id, line, part, what: Asked::Tunnel, ..Entry::request(id as f64, "10.0.0.1", "a.example") }
}

#[test]
fn clients_and_hosts_beyond_the_bound_drive_others_out_and_that_is_counted() {
    let of = |client: u32, host: u32| {
        Entry::request(f64::from(host), &format!("10.0.0.{client}"), &format!("h{host}.example"))
    };
    let hosts: Vec<Entry> = (0..20).map(|host| of(1, host)).collect();
    let counts = counts_of(&hosts);
    assert_eq!((counts.events, counts.hosts, counts.names_evicted), (20, 8, 12));
    let clients: Vec<Entry> = (0..20).map(|client| of(client, 1)).collect();
    let counts = counts_of(&clients);
    assert_eq!((counts.events, counts.clients, counts.names_evicted), (20, 4, 16));
}

#[test]
fn tunnels_whose_end_was_never_told_make_room_after_a_day() {
    let begun = |id: u64, hours: u32| {
        let at = f64::from(hours) * 3600.0;
        Entry { id, part: Part::Begun, what: Asked::Tunnel, ..Entry::request(at, "10.0.0.1", "a.example") }
    };
    let full = [begun(1, 0), begun(2, 0), begun(3, 10)];
    assert_eq!(counts_of(&full).exchanges_beyond, 1);
    assert_eq!(counts_of(&[full.as_slice(), &[begun(4, 25), begun(5, 25)]].concat()).exchanges_beyond, 1);
}

#[test]
fn pairs_beyond_the_bound_go_and_are_counted() {
    let entries: Vec<Entry> = (0..32)
        .map(|pair| Entry::request(f64::from(pair), &format!("10.0.0.{}", pair % 4), &format!("h{}.example", pair / 4)))
        .collect();
    let counts = counts_of(&entries);
    assert_eq!((counts.events, counts.pairs, counts.pairs_evicted, counts.names_evicted), (32, 8, 24, 0));
}

#[test]
fn a_beacon_keeps_its_place_among_many_pairs_that_are_seen_once() {
    let mut entries = Vec::new();
    for beat in 0..60 {
        entries.push(Entry::request(f64::from(beat) * 60.0, "10.0.0.1", "c2.example"));
        for other in 0..3 {
            let host = format!("h{}.example", (beat + other) % 6);
            entries.push(Entry::request(f64::from(beat) * 60.0 + 7.0, &format!("10.0.0.{}", 2 + other % 2), &host));
        }
    }
    let mut detector = Detector::new(SMALL, &Settings::default());
    entries.iter().for_each(|entry| entry.give(&mut detector));
    detector.finish();
    assert!(detector.counts().pairs_evicted > 50, "{:?}", detector.counts());
    assert!(detector.findings().iter().any(|finding| &*finding.target == "c2.example"));
}

#[test]
fn exchanges_beyond_the_bound_are_counted_until_others_end() {
    let begun: Vec<Entry> = (1..=5).map(|id| tunnel(id, Part::Begun)).collect();
    assert_eq!(counts_of(&begun).exchanges_beyond, 3);
    let ended = [tunnel(1, Part::Begun), tunnel(2, Part::Begun), tunnel(1, Part::Ended), tunnel(3, Part::Begun)];
    assert_eq!(counts_of(&ended).exchanges_beyond, 0);
}

#[test]
fn a_tunnel_that_is_told_of_twice_takes_one_place() {
    let twice = [tunnel(1, Part::Begun), tunnel(2, Part::Begun), tunnel(2, Part::Begun), tunnel(1, Part::Begun)];
    assert_eq!(counts_of(&twice).exchanges_beyond, 0);
}

#[test]
fn a_clock_that_is_set_back_by_a_day_does_not_hide_a_beacon() {
    let step = |from: f64| (0..30).map(move |beat| from + 60.0 * f64::from(beat));
    let times: Vec<f64> = step(10.0 * 86_400.0).chain(step(9.0 * 86_400.0)).collect();
    let mut detector = Detector::new(Limits { window: 0, ..SMALL }, &Settings::default());
    for (number, at) in times.iter().enumerate() {
        Entry { line: number as u64, ..Entry::request(*at, "10.0.0.1", "c2.example") }.give(&mut detector);
    }
    detector.finish();
    assert_eq!(detector.counts().late, 1);
    let findings = detector.findings();
    let last = findings.last().unwrap();
    assert!((last.beat.as_ref().unwrap().period_seconds - 60.0).abs() < 1.0, "{}", last.in_english());
    assert!(last.last < Timestamp(START + 10 * 86_400_000_000), "it goes on by the new clock");
}

pub(super) fn times() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        select(vec![0, 1, u64::MAX, u64::MAX - 1, i64::MAX as u64, START]),
        (0u64..1 << 44).prop_map(|after| START + after),
    ]
}

fn names() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just(String::new()),
        1 => (0usize..4).prop_map(|number| "語".repeat(3_333 + number)),
        1 => "(\\*\\.)?[a-z.]{1,12}",
        4 => (0u32..12).prop_map(|number| format!("n{number}.example.co.jp")),
        4 => (0u32..12).prop_map(|number| format!("10.0.0.{number}")),
        1 => any::<String>(),
    ]
}

fn bodies() -> impl Strategy<Value = More> {
    let file_name = prop_oneof![
        any::<String>(),
        Just("\u{202e}".repeat(85)),
        (0usize..4).prop_map(|number| format!("{}.pdf.exe", "語".repeat(80 + number))),
    ];
    let kinds = select(vec!["", "pe", "zip", "text", "encoded", "none of them"]);
    let stated = select(vec!["", "/", "image/png", "text/plain", "関所/\u{1b}[2J\u{202e}"]);
    let hash = prop_oneof![Just("0f".repeat(32)), "[0-9a-g]{64}", "語{21}0", any::<String>()];
    (file_name, kinds, stated, hash).prop_map(|(file_name, body_type, content_type, body_sha256)| More {
        file_name,
        body_type,
        content_type,
        body_sha256,
        ..More::default()
    })
}

fn more() -> impl Strategy<Value = More> {
    let users = select(vec!["", "sato", "\u{1b}[31m", "語"]);
    let agents = select(vec![
        "",
        "Go-http-client/1.1",
        "Mozilla/5.0 (Windows NT 10.0) Chrome/148.0 Safari/537.36",
        "Mozilla/5.0 (Macintosh) Firefox/1",
        "語 / ( zzzz",
    ]);
    let keys = select(vec!["", "chrome", "go-http"]);
    let standings = select(vec![Shown::Unasked, Shown::Uncleared, Shown::Cleared, Shown::Failed, Shown::Mimic]);
    let failures = select(vec![Failure::None, Failure::NoName, Failure::Refused, Failure::Unanswered, Failure::Other]);
    let reasons = select(vec!["", "log_in_needed", "log_in_wrong"]);
    let carries = select(vec!["", "tls", "ssh"]);
    (users, agents, keys, (any::<u8>(), standings), failures, reasons, carries).prop_map(
        |(user, user_agent, tls_key, (contradictions, standing), failure, reason, carries)| More {
            user,
            user_agent,
            tls_key,
            contradictions,
            standing,
            failure,
            reason,
            carries,
            ..More::default()
        },
    )
}

fn sizes() -> impl Strategy<Value = More> {
    let many = || prop_oneof![Just(None), any::<Option<u64>>(), (0u64..1 << 31).prop_map(Some)];
    let ends = select(vec!["", "closed", "lifetime_limit"]);
    (many(), many(), many(), any::<bool>(), ends).prop_map(|(bytes_up, bytes_down, duration_us, cut, closed_how)| {
        More { bytes_up, bytes_down, duration_us, cut, closed_how, ..More::default() }
    })
}

pub(super) fn entries() -> impl Strategy<Value = Entry> {
    let part = select(vec![Part::Whole, Part::Waits, Part::Begun, Part::Shown, Part::Going, Part::Ended]);
    let what = select(vec![Asked::Request, Asked::Tunnel]);
    let verdict = select(vec![Verdict::Allowed, Verdict::Challenged, Verdict::Denied]);
    let burst = (any::<u32>(), any::<u32>(), any::<u32>()).prop_map(Burst::from);
    let kinds = (part, what, verdict);
    let more = prop_oneof![bodies(), more(), sizes(), uploads()];
    (times(), any::<u64>(), 0u64..5, kinds, names(), names(), (vec(burst, 0..6), more)).prop_map(
        |(time, line, id, (part, what, verdict), client, host, (bursts, more))| Entry {
            time,
            line,
            part,
            id,
            what,
            verdict,
            client,
            host,
            port: 443,
            bursts,
            more,
        },
    )
}

fn uploads() -> impl Strategy<Value = More> {
    let number = || prop_oneof![Just(None), any::<u64>().prop_map(Some), (0u64..1 << 32).prop_map(Some)];
    let key = select(vec!["", "one", "other"]);
    (number(), number(), number(), key).prop_map(|(bytes_up, bytes_down, duration_us, tls_key)| More {
        bytes_up,
        bytes_down,
        duration_us,
        tls_key,
        ..More::default()
    })
}

proptest! {
    #[test]
    fn nothing_that_a_log_may_hold_breaks_a_bound(
        entries in vec((entries(), 1u32..20), 0..120), ticks in vec(times(), 0..4), window in select(vec![0, 90_000_000, u64::MAX])
    ) {
        let mut detector = Detector::new(Limits { window, ..SMALL }, &Settings::default());
        for (number, (entry, times)) in entries.iter().enumerate() {
            for more in 0..u64::from(*times) {
                let mut given =
                    Entry { time: entry.time.wrapping_add(more * (entry.line % 400_000_000)), ..entry.clone() };
                given.more.bytes_down = (entry.line % 3 > 0).then_some(entry.line);
                given.give(&mut detector);
            }
            if let Some(now) = ticks.get(number) {
                detector.tick(Timestamp(*now));
            }
            let counts = detector.counts();
            prop_assert!(counts.clients <= 4 && counts.hosts <= 8 && counts.pairs <= 8, "{:?}", counts);
        }
        detector.finish();
        for finding in detector.findings() {
            prop_assert!(finding.score.is_finite());
            prop_assert!(finding.beat.as_ref().is_none_or(|beat| beat.period_seconds.is_finite()));
            prop_assert!(finding.client.len() <= 255 && finding.target.len() <= 255);
            prop_assert!(finding.first <= finding.last);
            prop_assert!(finding.in_english().len() < 3_000 && finding.in_japanese().len() < 4_000);
        }
    }
}

#[test]
fn a_client_that_makes_findings_by_the_thousand_hides_none_of_another() {
    let tunnel = |number: usize, client: &str| Entry {
        what: Asked::Tunnel,
        line: number as u64 + 1,
        port: 22,
        more: More { carries: "ssh", contradictions: 2, ..More::default() },
        ..Entry::request(number as f64, client, &format!("relay{number}.example{number}.org"))
    };
    let flood: Vec<Entry> = (0..3_000).map(|number| tunnel(number, "10.0.0.1")).collect();
    let entries = [flood, vec![tunnel(3_000, "10.0.0.2")]].concat();
    let mut detector = Detector::new(Limits { told_max: 300, ..Limits::LIVE }, &Settings::default());
    entries.iter().for_each(|entry| entry.give(&mut detector));
    detector.finish();
    let findings = detector.findings();
    let of = |client: &str| {
        let tunnels = findings.iter().filter(|finding| finding.kind == FindingKind::UnknownTunnel);
        tunnels.filter(|finding| &*finding.client == client).count()
    };
    assert_eq!((of("10.0.0.1"), of("10.0.0.2")), (200, 1));
    assert_eq!(detector.counts().findings_beyond, 2_800, "{:?}", detector.counts());
}
