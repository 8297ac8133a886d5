use serde::{Deserialize, Serialize};

use crate::evidence::{Burst, Finding, FlowSeen, Observed, RecordLine};
use crate::facts::Timestamp;

use super::beacons::Beacons;
use super::carrier::Carriers;
use super::draft::Drafts;
use super::event::{Event, What};
use super::failures::Failures;
use super::flows::{FlowEvent, Flows};
use super::happened::Happened;
use super::joins::Joins;
use super::listening::Listening;
use super::mimicry::Mimicry;
use super::network::Network;
use super::order::Order;
use super::pairs::Pair;
use super::settings::{Fate, Settings};
use super::snapshot::{Kept, Snapshot};
use super::spread::Spread;
use super::strangers::Strangers;
use super::tunnels::Tunnels;
use super::volume::Volume;

/// How much a detector keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    /// Records of attempts past the proxy; and of them, those of clients that are none of this network's.
    pub flows: u64,
    pub flows_of_strangers: u64,
    /// What was known of attempts past the proxy and had to go for others.
    pub flows_evicted: u64,
    /// Exchanges of which only the beginning counts, because too many were open.
    pub exchanges_beyond: u64,
    /// Findings that are not told, because too many of their kind were told of their client on that day.
    pub findings_beyond: u64,
    /// Findings that the operator has allowed, and those that are as the operator has explained.
    pub allowed: u64,
    pub explained: u64,
}

/// Finds what calls home, what tunnels to strangers and what leaks, in what logs tell.
#[derive(Debug)]
pub struct Detector {
    limits: Limits,
    settings: Settings,
    found: Vec<Finding>,
    state: State,
}

/// All that a detector goes by later on, of what it took: what a [`Snapshot`](super::Snapshot) holds.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct State {
    joins: Joins,
    order: Order,
    network: Network,
    beacons: Beacons,
    strangers: Strangers,
    carriers: Carriers,
    failures: Failures,
    mimicry: Mimicry,
    spread: Spread,
    tunnels: Tunnels,
    volume: Volume,
    flows: Flows,
    listening: Listening,
    drafts: Drafts,
    /// What was taken last.
    last: Option<Happened>,
    counts: Counts,
}

impl Detector {
    pub fn new(limits: Limits, settings: &Settings) -> Self {
        let state = State {
            joins: Joins::new(limits.open_max),
            order: Order::new(limits.window, limits.waiting_max),
            network: Network::new(limits.clients_max, limits.hosts_max, settings),
            beacons: Beacons::new(limits.pairs_max),
            strangers: Strangers,
            carriers: Carriers,
            failures: Failures::new(limits.clients_max),
            mimicry: Mimicry::new(limits.clients_max),
            spread: Spread::new(limits.hosts_max, &settings.publishers),
            tunnels: Tunnels::new(limits.open_max, limits.pairs_max),
            volume: Volume::new(&limits),
            flows: Flows::new(limits.clients_max),
            listening: Listening::default(),
            drafts: Drafts::new(limits.told_max),
            last: None,
            counts: Counts::default(),
        };
        Self { limits, settings: settings.clone(), found: Vec::new(), state }
    }

    /// All that it goes by later on. What was found and not asked for is not in it.
    pub fn snapshot(&self) -> Snapshot<'_> {
        Snapshot { limits: self.limits, state: &self.state }
    }

    /// One that goes on where a snapshot was taken, by the settings of now. `None` where it was made within other limits.
    pub fn resume(limits: Limits, settings: &Settings, kept: Kept) -> Option<Self> {
        let Kept { limits: before, mut state } = kept;
        state.network.set_zone(settings.zone.clone());
        state.spread.set_publishers(&settings.publishers);
        (before == limits).then(|| Self { limits, settings: settings.clone(), found: Vec::new(), state })
    }

    /// Takes a line of the journal: what it tells of an exchange or of attempts past the proxy, and that a gate was there to
    /// write it.
    pub fn read(&mut self, record: &RecordLine<'_>) {
        let begins = record.subject.as_deref() == Some("flows") && record.level.as_deref() == Some("read");
        if let Some((from, to)) = self.state.listening.record(record.time.0, begins) {
            self.state.order.push(Happened::Pause { from, to });
        }
        if let Some(observed) = Observed::of(record) {
            self.observe(&observed, &record.bursts);
        } else if let Some(seen) = FlowSeen::of(record) {
            self.observe_flow(&seen);
        }
    }

    /// Takes what a line tells, and of a tunnel its bursts.
    pub fn observe(&mut self, seen: &Observed<'_>, bursts: &[Burst]) {
        let State { joins, network, order, .. } = &mut self.state;
        joins.take(seen, bursts, network, order);
        self.go_on();
    }

    /// Takes what is known of attempts past the proxy.
    pub fn observe_flow(&mut self, seen: &FlowSeen<'_>) {
        self.state.order.push(Happened::Flow(Box::new(FlowEvent::of(seen))));
        self.go_on();
    }

    /// Time goes on, though no line came.
    pub fn tick(&mut self, now: Timestamp) {
        if let Some((from, to)) = self.state.listening.tick(now.0) {
            self.state.order.push(Happened::Pause { from, to });
        }
        self.state.order.tick(now.0);
        self.go_on();
    }

    /// Takes what no older line can come before any more.
    fn go_on(&mut self) {
        while let Some(event) = self.state.order.pop() {
            self.state.take(event, &self.settings, &mut self.found);
        }
        let passed = self.state.order.passed();
        self.state.pass(passed, &self.settings, &mut self.found);
    }

    /// The log is over: nothing waits for older lines any more.
    pub fn finish(&mut self) {
        while let Some(event) = self.state.order.pop_any() {
            self.state.take(event, &self.settings, &mut self.found);
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
        let State { network, beacons, .. } = &self.state;
        let key = network.clients.find(client).zip(network.hosts.find(host));
        key.and_then(|key| beacons.pairs.get(key)).map_or(0.0, Pair::evidence)
    }

    /// When the first event was that it knows of.
    pub fn began(&self) -> Option<Timestamp> {
        self.state.network.began().map(Timestamp)
    }

    pub fn counts(&self) -> Counts {
        let State { joins, network, beacons, tunnels, volume, flows, drafts, counts, .. } = &self.state;
        Counts {
            late: beacons.late,
            clients: network.clients.len() as u64,
            hosts: network.hosts.len() as u64,
            pairs: beacons.pairs.len() as u64,
            pairs_evicted: beacons.pairs.evicted + tunnels.evicted(),
            names_evicted: network.evicted(),
            volumes_evicted: volume.evicted(),
            flows: flows.taken,
            flows_of_strangers: flows.strangers,
            flows_evicted: flows.evicted(),
            exchanges_beyond: joins.beyond + tunnels.beyond,
            findings_beyond: drafts.beyond,
            ..*counts
        }
    }
}

impl State {
    fn take(&mut self, happened: Happened, settings: &Settings, found: &mut Vec<Finding>) {
        // Lines that come twice stand beside each other once they are in order.
        if self.last.as_ref().is_some_and(|last| happened.repeats(last)) {
            self.counts.repeated += 1;
            return;
        }
        self.pass(happened.time(), settings, found);
        let Self { network, drafts, flows, .. } = self;
        match &happened {
            Happened::Exchange(event) => self.exchange(event, settings),
            Happened::Flow(event) => flows.take(event, &settings.inside, network, drafts),
            Happened::Pause { from, to } => flows.pause((*from, *to), &settings.inside, network, drafts),
        }
        self.tell(settings, found);
        self.last = Some(happened);
    }

    fn exchange(&mut self, event: &Event, settings: &Settings) {
        self.counts.events += u64::from(matches!(event.what, What::Call { .. } | What::Burst { .. }));
        let Self { network, drafts, .. } = self;
        network.meet(event);
        if let Some(facts) = event.what.whole() {
            network.learn(event, facts);
        }
        self.beacons.take(event, network, drafts);
        self.strangers.take(event, network, drafts);
        self.carriers.take(event, network, drafts);
        self.failures.take(event, network, drafts);
        self.mimicry.take(event, network, drafts);
        self.spread.take(event, &self.beacons.pairs, network, drafts);
        self.tunnels.take(event, network, drafts);
        let up = self.volume.take(event, network, drafts);
        // Without flows nobody knows what was gathered, nor is there a source to fall silent.
        if !self.flows.has_begun() {
            return;
        }
        let (client, host) = (network.clients.text(event.client), network.hosts.text(event.host));
        if let Some((client, host)) = client.zip(host) {
            let (whither, when) = ((&*client, &*host, event.port), (event.time, event.line));
            self.flows.exchange(whither, when, up, &settings.inside, network, drafts);
        }
    }

    /// Time has gone on to this: nothing from before is to come.
    fn pass(&mut self, now: u64, settings: &Settings, found: &mut Vec<Finding>) {
        let Self { network, drafts, flows, .. } = self;
        flows.pass(now, &settings.inside, network, drafts);
        self.tell(settings, found);
    }

    fn tell(&mut self, settings: &Settings, found: &mut Vec<Finding>) {
        for finding in self.drafts.take(&self.network.clients) {
            match settings.fate(finding) {
                Fate::Told(finding) => found.push(*finding),
                Fate::Allowed => self.counts.allowed += 1,
                Fate::Explained => self.counts.explained += 1,
            }
        }
    }
}
