use crate::evidence::{FindingKind, FlowSource, Severity};

use super::super::traffic::{DAY, HOUR, MINUTE};
use super::*;

/// Connections of so many bytes each way, so many seconds apart.
fn short(from: f64, client: &str, port: u16, many: u32, gap: f64, bytes: u64) -> Vec<Line> {
    flows((0..many).map(|at| ended(from + f64::from(at) * gap, client, SERVER, port, (bytes, bytes))))
}

#[test]
fn many_short_connections_to_a_service_for_people_are_guesses() {
    let finding = only(FindingKind::BruteForce, [short(0.0, PC, 22, 120, 3.0, 3_000)]);
    assert_eq!((&*finding.client, &*finding.target, finding.port), (PC, SERVER, 22));
    assert_eq!((codes(&finding), finding.severity), (vec!["many_tries", "log_in_service"], Severity::Medium));
    let english = finding.in_english();
    let expected = "connections that carried next to nothing and 0 that were refused, to port 22 within 10 min";
    assert!(english.contains(expected), "{english}");
    assert!(finding.in_japanese().contains("ポート22へ、ほとんど通信のない接続が"), "{}", finding.in_japanese());
}

#[test]
fn slow_guesses_count_by_the_hour_and_an_old_password_in_a_program_is_let_be() {
    let slow = only(FindingKind::BruteForce, [short(0.0, PC, 3389, 200, 25.0, 2_000)]);
    assert_eq!(slow.number("many_tries", "minutes"), Some(60.0));
    nothing([short(0.0, PC, 993, 600, MINUTE, 2_000)]);
}

#[test]
fn both_sensors_telling_of_the_same_count_it_once() {
    let conntrack = short(0.0, PC, 22, 24, 5.0, 3_000);
    let zeek: Vec<Line> = conntrack
        .iter()
        .map(|line| match line {
            Line::Flow(seen) => Line::Flow(Seen { source: FlowSource::Zeek, ..seen.clone() }),
            Line::Exchange(_) => unreachable!(),
        })
        .collect();
    nothing([conntrack, zeek]);
}

#[test]
fn a_backup_window_and_a_dead_server_and_a_scanner_are_let_be() {
    nothing([short(0.0, PC, 22, 300, 2.0, 4_000_000)]);
    let dead = (0..600).map(|at| seen(f64::from(at) * 6.0, PC, SERVER, 22, Refused));
    nothing([flows(dead)]);
    nothing([short(0.0, SCANNER, 22, 900, 1.0, 3_000)]);
}

#[test]
fn knocking_without_an_end_at_a_service_that_refuses_is_told() {
    let knocking = (0..1_200).map(|at| seen(f64::from(at) * 0.5, PC, SERVER, 22, Refused));
    let finding = only(FindingKind::BruteForce, [flows(knocking)]);
    assert_eq!(codes(&finding), ["many_tries"]);
    assert_eq!(finding.denied, finding.requests);
}

#[test]
fn a_web_server_with_its_database_is_usual_and_ten_times_that_is_not() {
    let mut days = Vec::new();
    for day in 0..4 {
        days.push(short(f64::from(day) * DAY, "10.30.0.80", 5432, 2_000, 0.3, 2_000));
    }
    nothing(days.clone());
    days.push(short(4.0 * DAY, "10.30.0.80", 5432, 40_000, 0.05, 2_000));
    let finding = only(FindingKind::BruteForce, days);
    assert_eq!(codes(&finding), ["many_tries", "more_than_usual"]);
    nothing([short(2.0 * HOUR, PC, 443, 5_000, 0.1, 2_000)]);
}
