//! What attempts past the proxy tell: who looks around in this network, who calls home directly, what is carried
//! together, and which of those who tell has fallen silent.
//!
//! In: what `flow` records tell ([`FlowEvent`]), in the order of their times, exchanges that were captured past the proxy
//! and refused, which are attempts too, and what exchanges carried up. A
//! firewall tells of strangers too, whose attempts come from outside: they are no clients, and nothing is kept of
//! them, nor of discovery that every PC calls out to its segment. Each detector says what its threshold is, why, and what its benign twin is. Tables are bounded, and go by
//! addresses, which are short whatever anybody sends; what one client may bring into them within an hour is bounded
//! as well, so that a flood of one hides nothing of others.

mod abuse;
mod calls;
mod event;
mod guesses;
mod peers;
mod scans;
mod sources;
mod staging;
mod telling;
mod traps;
mod usual;
mod volumes;

use serde::{Deserialize, Serialize};

use super::draft::Drafts;
use super::inside::{Inside, Whereabouts};
use super::names::Estimate;
use super::network::Network;

use abuse::Abuse;
use calls::Calls;
use guesses::Guesses;
use peers::Peers;
use scans::Scans;
use sources::Sources;
use staging::{Staging, Upload};
use telling::{Around, ToldOf};
use traps::Traps;
use volumes::Volumes;

pub(super) use event::FlowEvent;

/// Finds what attempts past the proxy tell.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Flows {
    scans: Scans,
    guesses: Guesses,
    calls: Calls,
    volumes: Volumes,
    peers: Peers,
    staging: Staging,
    abuse: Abuse,
    traps: Traps,
    sources: Sources,
    told: ToldOf,
    /// When the first flow was seen, in microseconds.
    began: Option<u64>,
    /// Clients inside, about.
    clients: Estimate,
    /// Records that were taken, and those of strangers.
    pub taken: u64,
    pub strangers: u64,
}

impl Flows {
    pub(super) fn new(clients_max: usize) -> Self {
        Self {
            scans: Scans::new(clients_max),
            guesses: Guesses::new(clients_max),
            calls: Calls::new(clients_max),
            volumes: Volumes::new(clients_max),
            peers: Peers::new(clients_max),
            staging: Staging::new(clients_max),
            abuse: Abuse::new(clients_max),
            traps: Traps::new(clients_max),
            sources: Sources::new(),
            told: ToldOf::new(),
            began: None,
            clients: Estimate::default(),
            taken: 0,
            strangers: 0,
        }
    }

    /// Whether any flow was seen.
    pub(super) fn has_begun(&self) -> bool {
        self.began.is_some()
    }

    pub(super) fn take(&mut self, event: &FlowEvent, inside: &Inside, network: &mut Network, drafts: &mut Drafts) {
        if event.is_captured {
            return self.captured(event, inside, network, drafts);
        }
        self.taken += 1;
        // It tells of nobody here, and neither is a source alive by it: it would be, as long as a line to outside is.
        if event.is_background {
            return;
        }
        self.began = Some(self.began.map_or(event.time, |began| began.min(event.time)));
        self.sources.hear(event, network);
        let client = event.client.filter(|client| matches!(inside.whereabouts(*client), Whereabouts::Inside(_)));
        if event.client.is_some() && client.is_none() {
            self.strangers += 1;
            return;
        }
        if let Some(client) = client {
            self.clients.add(event::hash(client, 0));
        }
        let Self { scans, guesses, calls, volumes, peers, staging, abuse, traps, told, .. } = self;
        let (began, clients) = (self.began.unwrap_or(event.time), self.clients.count());
        let around = &mut Around { inside, network, drafts, told, began, clients };
        abuse.flood(event, client, around);
        let Some(client) = client else { return };
        volumes.take(event, client, around);
        let Some(to) = event.address else { return };
        traps.take(event, client, to, around);
        scans.take(event, client, to, around);
        guesses.take(event, client, to, around);
        calls.take(event, client, to, around);
        peers.take(event, client, to, around);
        staging.take(event, client, to, around);
        abuse.mail(event, client, to, around);
    }

    /// The gate took an attempt on its way outside, and refused it. It is one as if the firewall had; what it carried, and
    /// that a source is alive, others tell.
    fn captured(&mut self, event: &FlowEvent, inside: &Inside, network: &mut Network, drafts: &mut Drafts) {
        let client = event.client.filter(|client| matches!(inside.whereabouts(*client), Whereabouts::Inside(_)));
        let Some((client, to)) = client.zip(event.address) else { return };
        self.clients.add(event::hash(client, 0));
        let Self { scans, calls, abuse, traps, told, .. } = self;
        let (began, clients) = (self.began.unwrap_or(event.time), self.clients.count());
        let around = &mut Around { inside, network, drafts, told, began, clients };
        abuse.flood(event, Some(client), around);
        traps.take(event, client, to, around);
        scans.take(event, client, to, around);
        calls.take(event, client, to, around);
    }

    /// An exchange was heard of, and has carried so many bytes up since it was last.
    pub(super) fn exchange(
        &mut self,
        (client, host, port): (&str, &str, u16),
        (time, line): (u64, u64),
        bytes: u64,
        inside: &Inside,
        network: &mut Network,
        drafts: &mut Drafts,
    ) {
        self.sources.hear_other(time);
        let Some(began) = self.began.filter(|_| bytes > 0) else { return };
        let Ok(machine) = client.parse() else { return };
        let clients = self.clients.count();
        let around = &mut Around { inside, network, drafts, told: &mut self.told, began, clients };
        self.staging.upload(Upload { machine, to: host, port, bytes, time, line }, around);
    }

    /// Time has gone on to this, whether or not anything was heard.
    pub(super) fn pass(&mut self, now: u64, inside: &Inside, network: &mut Network, drafts: &mut Drafts) {
        let (began, clients) = (self.began.unwrap_or(now), self.clients.count());
        self.sources.pass(now, &mut Around { inside, network, drafts, told: &mut self.told, began, clients });
    }

    /// Nobody was listening in between.
    pub(super) fn pause(
        &mut self,
        (from, to): (u64, u64),
        inside: &Inside,
        network: &mut Network,
        drafts: &mut Drafts,
    ) {
        let (began, clients) = (self.began.unwrap_or(from), self.clients.count());
        self.sources.pause(from, to, &mut Around { inside, network, drafts, told: &mut self.told, began, clients });
    }

    /// What had to go for others, and what was not taken in because its client brought too much.
    pub(super) fn evicted(&self) -> u64 {
        let tables = [
            self.scans.evicted(),
            self.guesses.evicted(),
            self.calls.evicted(),
            self.volumes.evicted(),
            self.peers.evicted(),
            self.staging.evicted(),
            self.abuse.evicted(),
            self.traps.evicted(),
            self.sources.evicted(),
        ];
        let beyond = [&self.scans.budget, &self.guesses.budget, &self.calls.budget].map(|budget| budget.beyond);
        tables.iter().chain(&beyond).sum()
    }
}
