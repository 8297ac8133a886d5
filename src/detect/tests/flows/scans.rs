use crate::evidence::{FindingKind, Protocol, Severity};

use super::super::traffic::MINUTE;
use super::*;

/// Ports of a server, so many seconds apart.
fn ports(client: &str, to: &str, many: u16, gap: f64, state: FlowState) -> Vec<Line> {
    flows((1..=many).map(|port| seen(f64::from(port) * gap, client, to, port, state)))
}

fn hosts(client: &str, many: u32, gap: f64, port: u16, state: FlowState) -> Vec<Line> {
    flows((0..many).map(|host| {
        let to = format!("10.30.{}.{}", host / 200, 10 + host % 200);
        seen(f64::from(host) * gap, client, &to, port, state)
    }))
}

#[test]
fn many_ports_of_one_host_are_a_scan() {
    let finding = only(FindingKind::PortScan, [ports(PC, SERVER, 100, 1.0, Reset)]);
    assert_eq!((&*finding.client, &*finding.target, finding.severity), (PC, SERVER, Severity::Medium));
    assert_eq!(codes(&finding), ["ports_tried", "inside"]);
    assert_eq!(finding.records[0], 1);
    assert_eq!(
        finding.in_english(),
        "about 28 different ports of this host were tried in vain within 10 min; inside this network; 28 attempts over \
         27.0 s, 28 of them denied."
    );
    assert_eq!(
        finding.in_japanese(),
        "10分間にこの相手の約28種類のポートへの接続が失敗。網の内側に対して。27.0秒で28件（うち拒否28件）。"
    );
}

#[test]
fn a_slow_scan_counts_by_the_hour_and_one_slower_still_is_let_be() {
    let slow = only(FindingKind::PortScan, [ports(PC, SERVER, 40, 80.0, Refused)]);
    assert_eq!(slow.number("ports_tried", "minutes"), Some(60.0));
    nothing([ports(PC, SERVER, 40, 6.0 * MINUTE, Refused)]);
}

#[test]
fn a_scanner_on_the_list_and_who_looks_for_a_printer_are_let_be() {
    nothing([ports(SCANNER, "10.30.0.3", 1000, 0.1, Reset), hosts(SCANNER, 400, 1.0, 445, Unanswered)]);
    let printer = [515, 631, 9100, 161, 80, 443, 139, 445, 3702];
    nothing([flows(printer.map(|port| seen(f64::from(port), PC, SERVER, port, Reset)))]);
}

#[test]
fn late_answers_of_a_server_to_the_ports_of_clients_are_no_scan() {
    let late = (0..400).map(|number| seen(f64::from(number), SERVER, PC, 40_000 + number * 37, Dropped));
    nothing([flows(late)]);
}

#[test]
fn passive_transfers_that_are_answered_are_no_scan() {
    let transfers = (0..200).map(|number| ended(f64::from(number), PC, SERVER, 20_000 + number, (5_000_000, 900)));
    nothing([flows(transfers)]);
}

#[test]
fn one_port_of_many_hosts_is_a_sweep() {
    let finding = only(FindingKind::Sweep, [hosts(PC, 120, 1.0, 445, Unanswered)]);
    assert_eq!((&*finding.client, &*finding.target, finding.port), (PC, "tcp/445", 445));
    assert_eq!((codes(&finding), finding.severity), (vec!["hosts_tried", "inside"], Severity::Medium));
    let english = finding.in_english();
    assert!(english.contains("different hosts were tried at port 445 in vain within 10 min, and about 0 answered"));
    assert!(finding.in_japanese().contains("台のポート445への接続が失敗、応答があったのは約0台"));
}

#[test]
fn echoes_to_many_hosts_are_a_sweep_too() {
    let echo = |at: u32| {
        let to = format!("10.30.1.{at}");
        Line::Flow(Seen { protocol: Protocol::ICMP, ..seen(f64::from(at), PC, &to, 0, Unanswered) })
    };
    let finding = only(FindingKind::Sweep, [(1..60).map(echo).collect()]);
    assert_eq!((&*finding.target, finding.port), ("icmp", 0));
}

#[test]
fn what_brings_software_to_pcs_of_which_some_are_off_is_no_sweep() {
    let rollout = (0..300_u32).map(|pc| {
        let to = format!("10.20.{}.{}", 1 + pc / 200, pc % 200);
        let at = f64::from(pc) * 1.5;
        match pc % 10 {
            0..3 => seen(at, SERVER, &to, 445, Unanswered),
            _ => ended(at, SERVER, &to, 445, (40_000_000, 90_000)),
        }
    });
    assert_eq!(of_kind(FindingKind::Sweep, [flows(rollout)]), []);
}

#[test]
fn a_pc_without_its_proxy_setting_sweeps_nothing_and_a_worm_outside_does() {
    let outside = |port: u16| {
        flows((0..200_u32).map(|host| {
            let to = format!("198.51.{}.{}", host / 100, host % 100);
            seen(f64::from(host), PC, &to, port, Refused)
        }))
    };
    nothing([outside(443)]);
    let worm = only(FindingKind::Sweep, [outside(23)]);
    assert_eq!((codes(&worm), &*worm.target), (vec!["hosts_tried", "outside"], "tcp/23"));
}

#[test]
fn strangers_who_scan_from_outside_are_none_of_this_networks_clients() {
    nothing([ports(STRANGER, "10.20.0.1", 900, 0.2, Dropped)]);
}
