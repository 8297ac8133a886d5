use crate::evidence::{FindingKind, Severity};

use super::super::traffic::DAY;
use super::*;

fn mails(from: f64, client: &str, servers: u32, gap: f64, port: u16, state: FlowState) -> Vec<Line> {
    flows((0..servers).map(|server| {
        let to = format!("198.51.{}.{}", server / 200, server % 200);
        seen(from + f64::from(server) * gap, client, &to, port, state)
    }))
}

#[test]
fn mail_to_many_servers_is_told_whether_or_not_it_came_through() {
    for state in [Refused, Established] {
        let found = of_kind(FindingKind::MailBurst, [mails(0.0, PC, 60, 20.0, 25, state)]);
        let [finding] = &found[..] else { panic!("{found:#?}") };
        assert_eq!((&*finding.client, &*finding.target, codes(finding)), (PC, "", vec!["mail_servers"]), "{state:?}");
        assert!(finding.severity >= Severity::Medium);
        assert!(finding.in_english().contains("different mail servers outside within an hour"));
        assert!(finding.in_japanese().contains("台のメールサーバへ接続"));
    }
}

#[test]
fn a_mail_server_as_ever_and_a_pc_with_its_provider_are_let_be() {
    let weeks = (0..21).map(|day| mails(f64::from(day) * DAY, "10.30.0.25", 12, 100.0, 25, Established));
    let monday = mails(21.0 * DAY, "10.30.0.25", 22, 100.0, 25, Established);
    assert_eq!(of_kind(FindingKind::MailBurst, weeks.chain([monday])), []);
    let newsletter = flows((0..400).map(|mail| seen(f64::from(mail), PC, STRANGER, 587, Established)));
    let inside = flows((0..60).map(|mail| seen(f64::from(mail), PC, &format!("10.30.0.{mail}"), 25, Established)));
    assert_eq!(of_kind(FindingKind::MailBurst, [newsletter, inside]), []);
}

#[test]
fn a_mail_server_that_sends_to_far_more_than_ever_is_told() {
    let weeks = (0..21).map(|day| mails(f64::from(day) * DAY, "10.30.0.25", 12, 100.0, 25, Established));
    let burst = mails(21.0 * DAY, "10.30.0.25", 300, 5.0, 25, Established);
    let found = of_kind(FindingKind::MailBurst, weeks.chain([burst]));
    assert_eq!(found.iter().map(codes).collect::<Vec<_>>(), [["mail_servers", "more_than_usual"]]);
}

/// So many attempts a second for a minute and a half.
fn flood(client: &str, a_second: u64, state: FlowState) -> Vec<Line> {
    flows((0..90).map(|second| Seen { count: a_second, ..seen(f64::from(second), client, STRANGER, 443, state) }))
}

#[test]
fn attempts_without_end_are_a_flood() {
    let found = of_kind(FindingKind::Flood, [flood(PC, 5_000, Refused)]);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((&*finding.client, codes(finding)), (PC, vec!["attempts_a_minute"]));
    assert!(finding.in_english().contains("attempts within a minute came to nothing"), "{}", finding.in_english());
    assert!(finding.in_japanese().contains("件の接続試行が失敗"));
}

#[test]
fn a_flood_of_more_clients_than_can_be_told_apart_is_one_of_nobody() {
    let lines =
        (0..60).map(|second| Seen { count: 50_000, keys: 4_000, ..seen(f64::from(second), "", "", 0, Refused) });
    let finding = only(FindingKind::Flood, [flows(lines)]);
    assert_eq!((&*finding.client, codes(&finding)), ("", vec!["attempts_a_minute", "many_clients"]));
}

#[test]
fn what_tries_again_without_a_pause_and_what_is_answered_and_scanners_flood_nothing() {
    assert_eq!(of_kind(FindingKind::Flood, [flood(PC, 20, Refused)]), []);
    assert_eq!(of_kind(FindingKind::Flood, [flood("10.30.0.53", 5_000, Closed)]), []);
    assert_eq!(of_kind(FindingKind::Flood, [flood(SCANNER, 5_000, Refused)]), []);
    let hour = (0..3_600).map(|second| Seen { count: 150, ..seen(f64::from(second), PC, STRANGER, 443, Refused) });
    assert_eq!(of_kind(FindingKind::Flood, [flows(hour)]), [], "9,000 a minute");
}
