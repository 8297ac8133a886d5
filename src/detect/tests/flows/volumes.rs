use crate::evidence::{FindingKind, Severity};

use super::super::traffic::{DAY, HOUR, Source};
use super::*;

const GIB: u64 = 1 << 30;

/// Twenty PCs that speak to a server in working hours, each hour but one in ten, and back up at night.
fn office(days: u32, backup: bool) -> Vec<Line> {
    let mut source = Source(7);
    let mut lines = Vec::new();
    for day in 0..days {
        for pc in 0..20 {
            let client = format!("10.20.1.{pc}");
            for hour in 0..9 {
                if source.below(10) > 0 {
                    let at = f64::from(day) * DAY + f64::from(hour) * HOUR + source.even(0.0, HOUR);
                    let carried = (source.lognormal(2e6, 0.5) as u64, source.lognormal(2e7, 0.5) as u64);
                    let many = 5 + source.below(40) as u64;
                    lines.push(Line::Flow(Seen { count: many, ..ended(at, &client, SERVER, 443, carried) }));
                }
            }
            if backup {
                let at = f64::from(day) * DAY + 16.0 * HOUR + source.even(0.0, 600.0);
                lines.push(Line::Flow(ended(
                    at,
                    &client,
                    "10.30.0.100",
                    873,
                    (source.lognormal(4e9, 0.2) as u64, 9_000),
                )));
            }
        }
    }
    lines
}

#[test]
fn a_client_that_carries_far_more_than_at_any_such_hour_is_told() {
    let burst = flows([ended(22.0 * DAY + 2.0 * HOUR, "10.20.1.3", SERVER, 445, (1_000_000, 30 * GIB))]);
    let found = of_kind(FindingKind::FlowVolume, [office(24, false), burst]);
    let of_client: Vec<_> = found.iter().filter(|finding| !finding.client.is_empty()).collect();
    let [finding] = &of_client[..] else { panic!("{found:#?}") };
    assert_eq!((&*finding.client, &*finding.target), ("10.20.1.3", ""));
    assert_eq!((codes(finding), finding.severity), (vec!["sudden_bytes"], Severity::High));
    let english = finding.in_english();
    assert!(english.starts_with("flows carried 30."), "{english}");
    assert!(english.contains("is usual at this time of the week, and up to"), "{english}");
    assert!(finding.in_japanese().contains("1時間のフローの通信量が30."), "{}", finding.in_japanese());
    let segments: Vec<_> = found.iter().filter(|finding| finding.client.is_empty()).collect();
    let [segment] = &segments[..] else { panic!("{found:#?}") };
    assert_eq!((&*segment.target, segment.rarity), ("segment office", None));
}

#[test]
fn far_more_flows_are_told_of_client_and_segment_and_the_client_behind_it_is_named() {
    let at = 22.0 * DAY + 3.0 * HOUR;
    let burst = flows(
        (0..100)
            .map(|second| Seen { count: 500, ..ended(at + f64::from(second), "10.20.1.3", SERVER, 389, (500, 500)) }),
    );
    let found = of_kind(FindingKind::FlowVolume, [office(24, false), burst]);
    let named: Vec<_> = found.iter().map(|finding| (&*finding.client, &*finding.target)).collect();
    assert_eq!(named, [("10.20.1.3", ""), ("", "segment office")], "{found:#?}");
    assert!(codes(&found[0]).contains(&"sudden_flows"));
    assert!(found[1].in_english().contains("most of its flows may be of 10.20.1.3"), "{}", found[1].in_english());
    assert!(found[1].in_japanese().contains("フローの多くは10.20.1.3による可能性"));
}

#[test]
fn a_backup_window_that_was_there_before_is_let_be() {
    assert_eq!(of_kind(FindingKind::FlowVolume, [office(28, true)]), []);
}

#[test]
fn nothing_is_told_while_nothing_is_usual() {
    let burst = flows([ended(3.0 * HOUR, "10.20.1.3", SERVER, 445, (1_000_000, 30 * GIB))]);
    assert_eq!(of_kind(FindingKind::FlowVolume, [office(2, false), burst]), []);
}
