use std::collections::HashMap;

use serde::Serialize;

use crate::evidence::{Asked, Burst, Observed, Part, Verdict};
use crate::facts::Timestamp;

use super::beacon::Best;
use super::finding::{Finding, FindingId, FindingKind, Grounds, Rarity, Severity, Stage};
use super::names::{Name, Names};
use super::order::{Event, Order};
use super::pairs::{Pair, PairKey, Pairs, Taken};

/// How much a detector keeps.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Pairs of client and host.
    pub pairs_max: usize,
    /// Hosts and domains.
    pub hosts_max: usize,
    pub clients_max: usize,
    /// Tunnels that are open.
    pub tunnels_max: usize,
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
        tunnels_max: 200_000,
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
    /// Events that came after a later one of their pair.
    pub late: u64,
    pub clients: u64,
    pub hosts: u64,
    pub pairs: u64,
    /// Pairs that had to go for others.
    pub pairs_evicted: u64,
    /// Clients and hosts that had to go for others.
    pub names_evicted: u64,
    /// Tunnels whose bursts are not told apart, because too many were open.
    pub tunnels_beyond: u64,
}

/// Evidence in decades from which a pair is told of, and from which on it is pressing where the host is rare.
const TOLD: f32 = 3.5;
const HIGH: f32 = 5.0;
/// What the evidence must gain for a finding to be told again.
const GAIN: u16 = 10;
/// Hours of a day in which a pair must have been seen to be always on.
const ALWAYS_HOURS: u32 = 20;

/// A tunnel of which so long nothing was heard goes, where there are too many, in microseconds.
const FORGOTTEN: u64 = 24 * 3_600_000_000;
/// Such tunnels are looked for no more often.
const SWEEP: u64 = 3_600_000_000;

/// Finds what calls home, in what logs tell.
#[derive(Debug)]
pub struct Detector {
    order: Order,
    clients: Names,
    hosts: Names,
    pairs: Pairs,
    tunnels: HashMap<u64, Tunnel>,
    tunnels_max: usize,
    /// When tunnels whose end was never told were looked for.
    swept: u64,
    found: Vec<Finding>,
    counts: Counts,
}

/// A tunnel that is open.
#[derive(Debug)]
struct Tunnel {
    client: Name,
    host: Name,
    port: u16,
    /// When it stood, then when its last burst began.
    at: u64,
    /// The newest record of it.
    line: u64,
}

impl Detector {
    pub fn new(limits: Limits) -> Self {
        Self {
            order: Order::new(limits.window, limits.waiting_max),
            clients: Names::new(limits.clients_max),
            hosts: Names::new(limits.hosts_max),
            pairs: Pairs::new(limits.pairs_max),
            tunnels: HashMap::new(),
            tunnels_max: limits.tunnels_max,
            swept: 0,
            found: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Takes what a line tells, and of a tunnel its bursts.
    pub fn observe(&mut self, seen: &Observed<'_>, bursts: &[Burst]) {
        match seen.part {
            Part::Whole | Part::Begun if !seen.client.is_empty() && !seen.host.is_empty() => self.begin(seen),
            Part::Shown if seen.what == Asked::Tunnel => {
                if let Some(tunnel) = self.tunnels.get_mut(&seen.id) {
                    tunnel.at = tunnel.at.max(seen.time.0);
                }
            }
            Part::Going => self.bursts(seen, bursts),
            Part::Ended => {
                self.bursts(seen, bursts);
                self.tunnels.remove(&seen.id);
            }
            Part::Whole | Part::Begun | Part::Shown | Part::Waits => {}
        }
        while let Some(event) = self.order.pop() {
            self.take(event);
        }
    }

    fn begin(&mut self, seen: &Observed<'_>) {
        let time = seen.time.0;
        let (client, host) = (self.clients.of(seen.client, time), self.hosts.of(seen.host, time));
        let denied = seen.verdict != Verdict::Allowed;
        self.order.push(Event { time, client, host, port: seen.port, denied, line: seen.line });
        if seen.what == Asked::Tunnel && seen.part == Part::Begun && seen.id != 0 {
            if self.tunnels.len() >= self.tunnels_max && time >= self.swept.saturating_add(SWEEP) {
                self.swept = time;
                self.tunnels.retain(|_, tunnel| tunnel.at.saturating_add(FORGOTTEN) > time);
            }
            if self.tunnels.len() < self.tunnels_max || self.tunnels.contains_key(&seen.id) {
                let tunnel = Tunnel { client, host, port: seen.port, at: time, line: seen.line };
                self.tunnels.insert(seen.id, tunnel);
            } else {
                self.counts.tunnels_beyond += 1;
            }
        }
    }

    fn bursts(&mut self, seen: &Observed<'_>, bursts: &[Burst]) {
        let Some(tunnel) = self.tunnels.get_mut(&seen.id) else { return };
        // Gaps add up, so a record that is read twice would move all that come after it.
        if seen.line <= tunnel.line {
            return;
        }
        tunnel.line = seen.line;
        let Tunnel { client, host, port, .. } = *tunnel;
        for burst in bursts {
            tunnel.at = tunnel.at.saturating_add(u64::from(burst.after_cs) * 10_000);
            self.order.push(Event { time: tunnel.at, client, host, port, denied: false, line: seen.line });
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
        let key = self.clients.find(client).zip(self.hosts.find(host));
        key.and_then(|key| self.pairs.get(key)).map_or(0.0, Pair::evidence)
    }

    pub fn counts(&self) -> Counts {
        Counts {
            clients: self.clients.len() as u64,
            hosts: self.hosts.len() as u64,
            pairs: self.pairs.len() as u64,
            pairs_evicted: self.pairs.evicted,
            names_evicted: self.clients.evicted + self.hosts.evicted,
            ..self.counts
        }
    }

    fn take(&mut self, event: Event) {
        self.counts.events += 1;
        let host = event.host;
        let is_found = self.take_for(event, FindingKind::Beacon);
        let Some(domain) = self.hosts.domain(host, event.time) else { return };
        self.hosts.add_part(domain, host);
        if !is_found && self.hosts.parts(domain) > 1 {
            self.take_for(Event { host: domain, ..event }, FindingKind::RotatingBeacon);
        }
    }

    /// Counts an event towards its pair; says whether that was or is told of.
    fn take_for(&mut self, event: Event, kind: FindingKind) -> bool {
        let Event { time, client, host, port, denied, line } = event;
        let key = (client, host);
        let (pair, is_new) = self.pairs.entry(key, || Pair::new(time, port, line));
        let taken = pair.event(time, denied, line);
        let (told, told_always, hours) = (pair.told, pair.told_always, pair.hours_of_day());
        let place = self.clients.meet(client);
        if is_new {
            self.hosts.add_other(host, place);
        }
        let mut is_told = told > 0;
        match taken {
            Taken::Late => self.counts.late += 1,
            Taken::Scanned(best) if best.score >= TOLD && tenths(best.score) >= told.saturating_add(GAIN.min(told)) => {
                self.tell(key, kind, best);
                is_told = true;
            }
            Taken::Counted | Taken::Scanned(_) => {}
        }
        if hours >= ALWAYS_HOURS && !told_always && kind == FindingKind::Beacon && self.rarity(key, time).is_rare() {
            self.tell(key, FindingKind::AlwaysOn, Best::default());
        }
        is_told
    }

    fn rarity(&self, (_, host): PairKey, now: u64) -> Rarity {
        let (clients, first) = self.hosts.known(host).map_or((1, now), |known| (known.others.count(), known.first));
        let of = self.clients.met();
        Rarity { clients: clients.clamp(1, of.max(1)), of, known_seconds: now.saturating_sub(first) / 1_000_000 }
    }

    fn tell(&mut self, key: PairKey, kind: FindingKind, best: Best) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let Some(gaps) = pair.gaps() else { return };
        let mut grounds = Grounds::new(gaps.scan(best.level), gaps.strip(best.level));
        grounds.requests = pair.requests;
        grounds.denied = pair.denied;
        grounds.hours_of_day = pair.hours_of_day();
        let (first, last, port, records) = (pair.first, pair.last, pair.port, [pair.first_line, pair.last_line]);
        match kind {
            FindingKind::AlwaysOn => pair.told_always = true,
            FindingKind::Beacon | FindingKind::RotatingBeacon => pair.told = tenths(best.score),
        }
        let rarity = self.rarity(key, last);
        // A name that had to go meanwhile is nobody's any more.
        let (Some(client), Some(host)) = (self.clients.known(key.0), self.hosts.known(key.1)) else { return };
        let (client, target) = (&client.text, &host.text);
        let severity = if best.score >= HIGH && rarity.is_rare() { Severity::High } else { Severity::Medium };
        self.found.push(Finding {
            id: FindingId::new(kind, client, target),
            kind,
            severity,
            score: f64::from(best.score),
            client: (**client).into(),
            target: (**target).into(),
            port,
            first: Timestamp(first),
            last: Timestamp(last),
            stage: Stage::Foothold,
            grounds,
            rarity,
            records,
        });
    }
}

/// A score in tenths.
fn tenths(score: f32) -> u16 {
    (score * 10.0) as u16
}
