//! Users at several clients.

use crate::evidence::{Finding, FindingKind, Severity};

use super::traffic::{DAY, Entry, HOUR, MINUTE, More, Source, found, log};

fn at(time: f64, user: &'static str, client: usize) -> Entry {
    let more = More { user, status: 200, ..More::default() };
    Entry { more, ..Entry::request(time, &format!("10.0.1.{client}"), "portal.example.net") }
}

/// For so many days a user at so many clients, each for some minutes.
fn usual(user: &'static str, days: usize, clients: usize) -> Vec<Entry> {
    (0..days)
        .flat_map(|day| (0..clients).map(move |client| at(day as f64 * DAY + client as f64 * MINUTE, user, client)))
        .collect()
}

fn told(parts: impl IntoIterator<Item = Vec<Entry>>) -> Vec<Finding> {
    let mut findings = found(&log(parts));
    findings.retain(|finding| finding.kind == FindingKind::UserOnSeveralClients);
    findings
}

#[test]
fn a_user_that_goes_from_client_to_client_is_told_of_once() {
    let spree = (0..12).map(|client| at(9.0 * DAY + 4.0 * MINUTE * f64::from(client), "sato", 10 + client as usize));
    let findings = told([usual("sato", 9, 1), spree.collect()]);
    let [finding] = &*findings else { panic!("{findings:#?}") };
    assert_eq!((&*finding.client, &*finding.target), ("10.0.1.12", "sato"));
    assert_eq!(finding.severity, Severity::Medium);
    assert_eq!(
        finding.in_english(),
        "sato was at 10 clients within an hour; at most 1 were usual (known here for 9.0 d)."
    );
    assert_eq!(finding.in_japanese(), "satoが1時間に10台の端末で通信。これまでは最大1台（9.0日前から）。");
}

#[test]
fn an_account_that_many_share_and_a_person_with_two_machines_are_let_be() {
    assert_eq!(told([usual("kiosk", 30, 8), usual("tanaka", 30, 2)]), []);
}

#[test]
fn who_comes_when_the_network_is_known_is_told_of_from_three_on() {
    let new = (0..3).map(|client| at(8.0 * DAY + 60.0 * f64::from(client), "suzuki", client as usize)).collect();
    let findings = told([usual("sato", 9, 1), new]);
    let [finding] = &*findings else { panic!("{findings:#?}") };
    assert_eq!((&*finding.target, finding.severity), ("suzuki", Severity::Low));
    let slow = (0..9).map(|client| at(8.0 * DAY + HOUR * f64::from(client), "suzuki", client as usize)).collect();
    assert_eq!(told([usual("sato", 9, 1), slow]), [], "one after the other, an hour each");
}

#[test]
fn sprees_are_found_and_shared_accounts_are_not_whatever_the_seed() {
    let seed = Source::drawn();
    let mut source = Source(seed);
    for _ in 0..20 {
        let clients = 1 + source.below(10);
        let shared = usual("kiosk", 20, clients);
        assert_eq!(told([shared.clone()]), [], "seed {seed}");
        let many = 3 + 2 * clients + source.below(8);
        let spree = (0..many).map(|client| at(15.5 * DAY + source.even(0.0, 0.8 * HOUR), "kiosk", client)).collect();
        assert_eq!(told([shared, spree]).len(), 1, "seed {seed}: {many} instead of {clients}");
    }
}
