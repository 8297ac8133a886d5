use crate::evidence::{FindingKind, Severity};

use super::super::traffic::{DAY, HOUR};
use super::*;

/// What PCs speak to each working day for so many days.
fn usual(days: u32) -> Vec<Line> {
    let mut lines = Vec::new();
    for day in 0..days {
        for pc in 0..10 {
            let client = format!("10.20.1.{pc}");
            for server in 0..4 {
                let at = f64::from(day) * DAY + f64::from(pc * 60 + server);
                lines.push(Line::Flow(ended(at, &client, &format!("10.30.0.{server}"), 445, (9_000, 90_000))));
            }
        }
    }
    lines
}

/// One machine to so many others, at a port.
fn to_many(from: f64, client: &str, many: u32, port: u16) -> Vec<Line> {
    flows((0..many).map(|peer| {
        let to = format!("10.20.2.{peer}");
        ended(from + 10.0 * f64::from(peer), client, &to, port, (90_000, 9_000))
    }))
}

#[test]
fn a_pc_that_suddenly_speaks_to_many_is_told() {
    let spread = to_many(15.0 * DAY + HOUR, "10.20.1.3", 40, 445);
    let found = of_kind(FindingKind::PeerSpread, [usual(16), spread]);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((&*finding.client, &*finding.target), ("10.20.1.3", ""));
    assert_eq!((codes(finding), finding.severity), (vec!["peers", "more_than_usual"], Severity::Medium));
    assert!(finding.in_english().contains("machines inside answered it within an hour; at most 4 were usual"));
    assert!(finding.in_japanese().contains("1時間に内部の約"), "{}", finding.in_japanese());
}

#[test]
fn a_roll_out_by_who_does_it_each_week_or_administers_or_is_named_is_let_be() {
    let weekly = (0..3).map(|week| to_many(7.0 * f64::from(week) * DAY, "10.30.0.50", 60, 445));
    let weekly: Vec<_> = weekly.chain([usual(16)]).collect();
    // The first week tells nobody what is usual.
    assert_eq!(of_kind(FindingKind::PeerSpread, weekly), []);
    let from = 15.0 * DAY + HOUR;
    let named = [to_many(from, "10.40.0.3", 60, 445), to_many(from, SCANNER, 60, 445)];
    assert_eq!(of_kind(FindingKind::PeerSpread, named.into_iter().chain([usual(16)])), []);
}

#[test]
fn many_who_fetch_from_one_and_updates_that_pcs_share_are_let_be() {
    let from = 15.0 * DAY + HOUR;
    let fetched = flows(
        (0..200)
            .map(|pc| ended(from + f64::from(pc), &format!("10.20.3.{pc}"), "10.30.0.50", 8530, (9_000, 40_000_000))),
    );
    let shared = to_many(from, "10.20.1.4", 60, 7680);
    let in_vain = flows((0..60).map(|pc| seen(from, "10.20.1.5", &format!("10.20.3.{pc}"), 9999, Unanswered)));
    assert_eq!(of_kind(FindingKind::PeerSpread, [usual(16), fetched, shared, in_vain]), []);
}
