use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, Severity};

use crate::detect::grounds::{Grounds, growing};
use crate::detect::hour::{Hour, SLOTS};
use crate::detect::inside::{Whereabouts, ZoneRole};
use crate::detect::names::Estimate;
use crate::detect::table::Table;

use super::event::{FlowEvent, TCP, UNKNOWN, hash};
use super::telling::{Around, Told};
use super::usual::Most;

/// Finds clients that suddenly speak to many machines inside: what has one PC looks for the next.
///
/// Fifteen machines that answered within an hour are told where that is more than twice the most of an hour in
/// earlier weeks: a PC speaks to a domain controller, a file server, printers and some more. Its benign twins: what
/// brings software or looks after machines has done so before, is in the management segment, or is named as a
/// scanner; and Windows shares updates between PCs at a port of its own, which does not count. Nothing is told in the
/// first week, in which nobody knows what is usual.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Peers {
    /// About 270 bytes each.
    clients: Table<IpAddr, Speaking>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Speaking {
    first: u64,
    first_line: u64,
    hour: Hour<Estimate>,
    attempts: u32,
    /// In an hour, by weeks.
    most: Most,
}

const CLIENTS_MAX: usize = 16_384;
/// Machines within an hour from which on it is told.
const PEERS_MIN: u32 = 15;
/// Delivery Optimization of Windows.
const SHARING: u16 = 7680;
/// In microseconds.
const WEEK: u64 = 7 * 24 * 3_600_000_000;
const HOUR: u64 = 3_600_000_000;
const SEVERITIES: [(f32, Severity); 3] = [(1.5, Severity::Low), (3.0, Severity::Medium), (4.5, Severity::High)];

impl Peers {
    pub(super) fn new(clients_max: usize) -> Self {
        Self { clients: Table::new(CLIENTS_MAX.min(clients_max)) }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.clients.evicted
    }

    pub(super) fn take(&mut self, event: &FlowEvent, client: IpAddr, to: IpAddr, around: &mut Around<'_>) {
        let Whereabouts::Inside(zone) = around.inside.whereabouts(client) else { return };
        let is_for_many = zone.is_some_and(|zone| zone.role == ZoneRole::Management);
        let is_counted = event.answered() && matches!(event.protocol, TCP | UNKNOWN) && event.port != SHARING;
        if !is_counted || is_for_many || client == to || around.inside.is_scanner(client) {
            return;
        }
        if !matches!(around.inside.whereabouts(to), Whereabouts::Inside(_)) {
            return;
        }
        let new = || Speaking {
            first: event.time,
            first_line: event.line,
            hour: Hour::new(event.time),
            attempts: 0,
            most: Most::default(),
        };
        let speaking = self.clients.entry(client, new);
        speaking.attempts = speaking.attempts.saturating_add(event.count32());
        if !speaking.hour.at(event.time).add(hash(to, 0)) {
            return;
        }
        let peers = speaking.hour.last(SLOTS).fold(Estimate::default(), Estimate::with).count();
        if peers <= 1 {
            (speaking.first, speaking.first_line, speaking.attempts) = (event.time, event.line, event.count32());
        }
        speaking.most.add(event.time / WEEK, peers);
        let usual = speaking.most.before();
        let is_news = usual.is_none_or(|usual| peers > usual.saturating_mul(2));
        if peers < PEERS_MIN || !is_news || around.age(event.time) < WEEK {
            return;
        }
        let mut grounds = Grounds::default();
        grounds.add(
            growing(2.5, peers, PEERS_MIN, 0.7, 4.5),
            "peers",
            &[("peers", f64::from(peers))],
            format!("about {peers} machines inside answered it within an hour"),
            format!("1時間に内部の約{peers}台と通信"),
        );
        match usual {
            Some(usual) => grounds.add(
                0.5,
                "more_than_usual",
                &[("usual", f64::from(usual))],
                format!("at most {usual} were usual within an hour of earlier weeks"),
                format!("これまでの週は1時間に最大{usual}台"),
            ),
            None => grounds.add(
                0.0,
                "no_usual",
                &[],
                "it spoke to no machine inside in the weeks before".to_owned(),
                "これまでの週に内部との通信なし".to_owned(),
            ),
        }
        let told = Told {
            kind: FindingKind::PeerSpread,
            client: Some(client),
            target: String::new(),
            port: event.port,
            first: speaking.first.max(event.time.saturating_sub(HOUR)).min(event.time),
            last: event.last,
            attempts: speaking.attempts,
            refused: 0,
            records: [speaking.first_line, event.line],
            beat: None,
            rarity: None,
            grounds,
        };
        around.tell(told, &SEVERITIES);
    }
}
