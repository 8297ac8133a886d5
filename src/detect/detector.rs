use serde::Serialize;

use crate::evidence::{Burst, Finding, Observed};
use crate::facts::Timestamp;

use super::beacons::Beacons;
use super::draft::Drafts;
use super::event::{Event, What};
use super::joins::Joins;
use super::network::Network;
use super::order::Order;
use super::pairs::Pair;
use super::settings::Settings;
use super::strangers::Strangers;
use super::volume::Volume;

/// How much a detector keeps.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Pairs of client and host.
    pub pairs_max: usize,
    /// Hosts and domains.
    pub hosts_max: usize,
    pub clients_max: usize,
    /// Exchanges that are open.
    pub open_max: usize,
    /// Findings that are remembered, not to be told twice.
    pub told_max: usize,
    /// How far lines may be out of order, in microseconds.
    pub window: u64,
    /// Events that wait for older ones.
    pub waiting_max: usize,
}

impl Limits {
    /// Behind a journal: a tunnel tells of its bursts once a minute.
    pub const LIVE: Self = Self {
        pairs_max: 1_000_000,
        hosts_max: 1_000_000,
        clients_max: 100_000,
        open_max: 200_000,
        told_max: 100_000,
        window: 90_000_000,
        waiting_max: 262_144,
    };
    /// Over logs that tell of a tunnel when it ends.
    pub const LOGS: Self = Self { window: 3_600_000_000, waiting_max: 1_000_000, ..Self::LIVE };
}

/// What was taken, and what was lost at a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Requests, tunnels and bursts.
    pub events: u64,
    /// Of them, those that came after a later one of their pair.
    pub late: u64,
    /// Things that were told twice in one line's place, and count once.
    pub repeated: u64,
    pub clients: u64,
    pub hosts: u64,
    pub pairs: u64,
    /// Pairs that had to go for others.
    pub pairs_evicted: u64,
    /// Clients, hosts and programs that had to go for others.
    pub names_evicted: u64,
    /// Clients, pairs and programs of which it was forgotten how much they usually send, for others.
    pub volumes_evicted: u64,
    /// Exchanges of which only the beginning counts, because too many were open.
    pub exchanges_beyond: u64,
    /// Findings that are not told, because too many are remembered.
    pub findings_beyond: u64,
}

/// Finds what calls home, what tunnels to strangers and what leaks, in what logs tell.
#[derive(Debug)]
pub struct Detector {
    joins: Joins,
    order: Order,
    network: Network,
    beacons: Beacons,
    strangers: Strangers,
    volume: Volume,
    drafts: Drafts,
    /// What was taken last.
    last: Option<Event>,
    found: Vec<Finding>,
    counts: Counts,
}

impl Detector {
    pub fn new(limits: Limits, settings: &Settings) -> Self {
        Self {
            joins: Joins::new(limits.open_max),
            order: Order::new(limits.window, limits.waiting_max),
            network: Network::new(limits.clients_max, limits.hosts_max, settings),
            beacons: Beacons::new(limits.pairs_max),
            strangers: Strangers,
            volume: Volume::new(&limits),
            drafts: Drafts::new(limits.told_max),
            last: None,
            found: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Takes what a line tells, and of a tunnel its bursts.
    pub fn observe(&mut self, seen: &Observed<'_>, bursts: &[Burst]) {
        self.joins.take(seen, bursts, &mut self.network, &mut self.order);
        while let Some(event) = self.order.pop() {
            self.take(event);
        }
    }

    /// Time goes on, though no line came.
    pub fn tick(&mut self, now: Timestamp) {
        self.order.tick(now.0);
        while let Some(event) = self.order.pop() {
            self.take(event);
        }
    }

    /// The log is over: nothing waits for older lines any more.
    pub fn finish(&mut self) {
        while let Some(event) = self.order.pop_any() {
            self.take(event);
        }
    }

    /// What was found since this was asked last, in the order in which it was.
    pub fn findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.found)
    }

    /// The strongest evidence so far, in decades, that a client calls a host at steady intervals, told of or not; of `*.`
    /// and a registrable domain that of all hosts below it together, from the second host on. 0 for who was never seen, and
    /// for whom there was no room.
    pub fn score_of(&self, client: &str, host: &str) -> f32 {
        let key = self.network.clients.find(client).zip(self.network.hosts.find(host));
        key.and_then(|key| self.beacons.pairs.get(key)).map_or(0.0, Pair::evidence)
    }

    pub fn counts(&self) -> Counts {
        Counts {
            late: self.beacons.late,
            clients: self.network.clients.len() as u64,
            hosts: self.network.hosts.len() as u64,
            pairs: self.beacons.pairs.len() as u64,
            pairs_evicted: self.beacons.pairs.evicted,
            names_evicted: self.network.evicted(),
            volumes_evicted: self.volume.evicted(),
            exchanges_beyond: self.joins.beyond,
            findings_beyond: self.drafts.beyond,
            ..self.counts
        }
    }

    fn take(&mut self, event: Event) {
        // Lines that come twice stand beside each other once they are in order.
        if self.last.as_ref() == Some(&event) && event.line != 0 {
            self.counts.repeated += 1;
            return;
        }
        self.counts.events += u64::from(matches!(event.what, What::Call { .. } | What::Burst { .. }));
        let Self { network, drafts, .. } = self;
        network.meet(&event);
        if let Some(facts) = event.what.whole() {
            network.learn(&event, facts);
        }
        self.beacons.take(&event, network, drafts);
        self.strangers.take(&event, network, drafts);
        self.volume.take(&event, network, drafts);
        self.found.extend(drafts.take(&network.clients));
        self.last = Some(event);
    }
}
