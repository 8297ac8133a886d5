use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, Severity, Verdict};

use super::super::draft::{Draft, Drafts};
use super::super::event::{Event, Facts};
use super::super::grounds::{Grounds, growing};
use super::super::hour::{Hour, SLOTS, TEN_MINUTES};
use super::super::names::{Estimate, Name};
use super::super::network::Network;
use super::super::strangers::is_address;
use super::super::table::Table;
use super::{Outage, hash, is_of_known};

/// Finds clients that try many hosts and ports at which nobody answers: a scan through the gate.
///
/// What the policy refuses counts too where it is an address or an unusual port, as those of a scan are. Its benign twins: a
/// dead server that is polled is one place, and where a line is down, hosts fail that were reached before.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FailedConnects {
    /// About 800 bytes each.
    clients: Table<Name, Failed>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Failed {
    first: u64,
    first_line: u64,
    hour: Hour<Tried>,
}

/// What was tried in vain in five minutes.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Tried {
    /// Hosts with their ports.
    places: Estimate,
    hosts: Estimate,
    requests: u32,
    denied: u32,
    by_address: u32,
    /// Hosts that were reached before, at their usual ports.
    known: Estimate,
}

/// Different hosts and ports in ten minutes, or in an hour, from which on they are told of.
const TEN_MINUTES_MIN: u32 = 30;
const HOUR_MIN: u32 = 60;
const SEVERITIES: [(f32, Severity); 3] = [(1.5, Severity::Low), (3.0, Severity::Medium), (4.5, Severity::High)];

impl FailedConnects {
    pub(super) fn new(clients_max: usize) -> Self {
        Self { clients: Table::new(clients_max) }
    }

    /// Takes what was refused, was not answered, or was denied.
    pub(super) fn take(
        &mut self,
        event: &Event,
        facts: &Facts,
        outage: &Outage,
        network: &mut Network,
        drafts: &mut Drafts,
    ) {
        let Some(known) = network.hosts.known(event.host) else { return };
        let is_usual = matches!(event.port, 0 | 80 | 443);
        let by_address = is_address(&known.text);
        let denied = facts.verdict == Verdict::Denied;
        if denied && is_usual && !by_address {
            return;
        }
        let (host, was_reached) = (known.text.clone(), known.was_reached);
        let new = || Failed { first: event.time, first_line: event.line, hour: Hour::new(event.time) };
        let failed = self.clients.entry(event.client, new);
        let slot = failed.hour.at(event.time);
        if was_reached && is_usual {
            slot.known.add(hash(&host, 0));
            return;
        }
        slot.requests = slot.requests.saturating_add(1);
        slot.denied = slot.denied.saturating_add(u32::from(denied));
        slot.by_address = slot.by_address.saturating_add(u32::from(by_address));
        slot.hosts.add(hash(&host, 0));
        if !slot.places.add(hash(&host, event.port)) {
            return;
        }
        let hour = failed.hour.last(SLOTS).fold(Tried::default(), Tried::with);
        if hour.requests == 1 {
            (failed.first, failed.first_line) = (event.time, event.line);
        }
        let ten = failed.hour.last(TEN_MINUTES).fold(Tried::default(), Tried::with);
        let (tried, minutes) = if ten.count() >= TEN_MINUTES_MIN {
            (ten, 10)
        } else if hour.count() >= HOUR_MIN {
            (hour, 60)
        } else {
            return;
        };
        if is_of_known(hour.known.count(), tried.count()) || outage.is_now() {
            return;
        }
        let grounds = tried.grounds(minutes);
        let Some(severity) = grounds.severity(&SEVERITIES) else { return };
        let draft = Draft {
            kind: FindingKind::FailedConnects,
            severity,
            score: grounds.score(),
            client: event.client,
            target: (tried.hosts.count() == 1).then_some(host),
            port: 0,
            first: failed.first.min(event.time),
            last: event.time,
            requests: hour.requests,
            denied: hour.denied,
            beat: None,
            grounds: grounds.sorted(),
            rarity: None,
            records: [failed.first_line, event.line],
        };
        drafts.add_if_news(draft, &network.clients);
    }
}

impl Tried {
    fn with(self, other: Self) -> Self {
        Self {
            places: self.places.with(other.places),
            hosts: self.hosts.with(other.hosts),
            requests: self.requests.saturating_add(other.requests),
            denied: self.denied.saturating_add(other.denied),
            by_address: self.by_address.saturating_add(other.by_address),
            known: self.known.with(other.known),
        }
    }

    /// Different hosts and ports, about.
    fn count(self) -> u32 {
        self.places.count().min(self.requests)
    }

    fn grounds(self, minutes: u32) -> Grounds {
        let places = self.count();
        let hosts = self.hosts.count().min(places);
        let least = if minutes == 10 { TEN_MINUTES_MIN } else { HOUR_MIN };
        let mut grounds = Grounds::default();
        grounds.add(
            growing(1.5, places, least, 0.4, 3.0),
            "failed_connects",
            &[("places", f64::from(places)), ("minutes", f64::from(minutes))],
            format!("{places} different hosts and ports were tried in vain within {minutes} min"),
            format!("{minutes}分間に{places}種類の相手・ポートへの接続に失敗"),
        );
        if hosts.saturating_mul(8) <= places {
            grounds.add(
                1.0,
                "many_ports",
                &[("hosts", f64::from(hosts))],
                format!("many ports of few hosts ({hosts})"),
                format!("少数の相手（{hosts}台）の多数のポートを試行"),
            );
        }
        if self.by_address.saturating_mul(5) >= self.requests.saturating_mul(4) {
            grounds.add(
                0.8,
                "by_address",
                &[("by_address", f64::from(self.by_address))],
                "asked for by address, not by name".to_owned(),
                "名前ではなくIPアドレスを直接指定".to_owned(),
            );
        }
        grounds
    }
}
