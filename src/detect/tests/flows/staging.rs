use crate::evidence::{Asked, FindingKind, Part, Severity};

use super::super::traffic::{DAY, Entry, HOUR, More};
use super::*;

const MIB: u64 = 1 << 20;
const GATHERER: &str = "10.20.1.9";
const BACKUP: &str = "10.30.0.100";

/// PCs that speak a little to a server on each of so many days.
fn usual(days: u32) -> Vec<Line> {
    let of_day = |day: u32| {
        (0..10).map(move |pc| {
            let at = f64::from(day) * DAY + f64::from(pc);
            ended(at, &format!("10.20.1.{pc}"), SERVER, 445, (40_000, 900_000))
        })
    };
    flows((0..days).flat_map(of_day))
}

/// A machine takes so much from each of so many others.
fn gather(from: f64, host: &str, peers: u32, each: u64) -> Vec<Line> {
    flows(
        (0..peers).map(|peer| {
            ended(from + 60.0 * f64::from(peer), host, &format!("10.30.0.{}", 10 + peer), 445, (90_000, each))
        }),
    )
}

/// It goes out through the gate, in a tunnel that tells of it as it goes on.
fn upload(from: f64, client: &str, bytes: u64) -> Vec<Line> {
    let part = |at: f64, part: Part, up: u64| {
        let more = More { bytes_up: Some(up), bytes_down: Some(9_000), ..More::default() };
        let entry = Entry::request(from + at, client, "drop.example.net");
        Line::Exchange(Box::new(Entry { part, id: 4_711, what: Asked::Tunnel, more, ..entry }))
    };
    vec![part(0.0, Part::Begun, 0), part(60.0, Part::Going, MIB), part(120.0, Part::Ended, bytes)]
}

#[test]
fn what_was_gathered_and_goes_out_within_72_hours_is_one_finding_with_both_halves() {
    let at = 9.0 * DAY;
    let lines = [usual(12), gather(at, GATHERER, 12, 200 * MIB), upload(at + 30.0 * HOUR, GATHERER, 1_500 * MIB)];
    let found = of_kind(FindingKind::Staging, lines);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((&*finding.client, &*finding.target, finding.severity), (GATHERER, "", Severity::High));
    assert_eq!(codes(finding), ["gathered", "sent_outside"]);
    assert_eq!(finding.number("gathered", "bytes"), Some((12 * 200 * MIB + 900_000) as f64));
    assert_eq!(finding.number("sent_outside", "bytes"), Some((1_500 * MIB) as f64), "each byte once");
    let english = finding.in_english();
    let peers = finding.number("gathered", "peers").unwrap();
    assert!((12.0..=15.0).contains(&peers) && english.starts_with("it gathered 2.3 GiB from about "), "{english}");
    assert!(english.contains("most of it to drop.example.net"), "{english}");
    let japanese = finding.in_japanese();
    assert!(
        japanese.contains("台から1日で2.3 GiBを集積") && japanese.contains("主な宛先はdrop.example.net"),
        "{japanese}"
    );
}

#[test]
fn what_was_handed_on_goes_out_by_a_peer_and_past_the_gate() {
    let at = 9.0 * DAY;
    let handed = flows([ended(at + HOUR, GATHERER, "10.20.2.2", 445, (900 * MIB, 9_000))]);
    let out = flows([ended(at + 2.0 * HOUR, "10.20.2.2", STRANGER, 22, (800 * MIB, 9_000))]);
    let found = of_kind(FindingKind::Staging, [usual(12), gather(at, GATHERER, 12, 200 * MIB), handed.clone(), out]);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert!(finding.in_english().contains("through 10.20.2.2, to which it was handed on"), "{}", finding.in_english());
    assert!(finding.in_japanese().contains("受け渡し先の10.20.2.2から"));
    // A machine to which nothing was handed on has nothing to do with it.
    let other = flows([ended(at + 2.0 * HOUR, "10.20.2.3", STRANGER, 22, (800 * MIB, 9_000))]);
    assert_eq!(of_kind(FindingKind::Staging, [usual(12), gather(at, GATHERER, 12, 200 * MIB), handed, other]), []);
}

#[test]
fn either_half_alone_and_both_too_far_apart_are_let_be() {
    let at = 9.0 * DAY;
    let gathered = || gather(at, GATHERER, 12, 200 * MIB);
    let of = |parts: Vec<Vec<Line>>| of_kind(FindingKind::Staging, parts.into_iter().chain([usual(16)]));
    assert_eq!(of(vec![gathered()]), []);
    assert_eq!(of(vec![upload(at, GATHERER, 1_500 * MIB)]), []);
    assert_eq!(of(vec![gathered(), upload(at + 74.0 * HOUR, GATHERER, 1_500 * MIB)]), []);
    assert_eq!(of(vec![gathered(), upload(at - 5.0 * HOUR, GATHERER, 1_500 * MIB)]), [], "it went before");
    assert_eq!(of(vec![gathered(), upload(at + HOUR, GATHERER, 9 * MIB)]), [], "next to nothing went");
    assert_eq!(of(vec![gather(at, GATHERER, 3, 900 * MIB), upload(at + HOUR, GATHERER, 1_500 * MIB)]), []);
}

#[test]
fn a_backup_server_that_gathers_each_night_and_sends_as_ever_is_let_be() {
    let night = |day: u32, each: u64| gather(f64::from(day) * DAY, BACKUP, 30, each);
    let sends = |day: u32| upload(f64::from(day) * DAY + 2.0 * HOUR, BACKUP, 3_000 * MIB);
    let mut lines = vec![usual(28)];
    (0..28).for_each(|day| lines.extend([night(day, 300 * MIB), sends(day)]));
    assert_eq!(of_kind(FindingKind::Staging, lines.clone()), []);
    // A full one gathers more than ever, and no more goes out.
    lines.push(gather(27.0 * DAY + HOUR, BACKUP, 30, 3_000 * MIB));
    assert_eq!(of_kind(FindingKind::Staging, lines), []);
}

#[test]
fn in_the_first_week_nobody_knows_what_is_usual() {
    let lines = [usual(6), gather(3.0 * DAY, GATHERER, 12, 200 * MIB), upload(4.0 * DAY, GATHERER, 1_500 * MIB)];
    assert_eq!(of_kind(FindingKind::Staging, lines), []);
}
