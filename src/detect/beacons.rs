use serde::{Deserialize, Serialize};

use crate::evidence::{Beat, Bytes, FindingKind, Ground, Span};

use super::beacon::{Best, Scan};
use super::draft::{Draft, Drafts};
use super::event::{Event, Facts, What};
use super::kinds::Stream;
use super::network::Network;
use super::pairs::{Pair, PairKey, Pairs, Taken};
use super::weight::{Beside, severity, weight};

/// Evidence in decades from which a pair is told of.
const TOLD: f32 = 3.5;
/// What the evidence must gain for a finding to be told again, in tenths.
const GAIN: u16 = 10;
/// By how much a pace must be another one for that to be told, in ln seconds: by half.
const CHANGED: f32 = 0.41;
/// Hours of a day in which a pair must have been seen to be always on.
const ALWAYS_HOURS: u32 = 20;

/// Bursts are told apart by the size of what went up: their shape is this and its binary logarithm.
const BURST: u32 = 0x8000_0000;

/// Finds who calls a host, or the hosts of a domain, at steady intervals, and who is always on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Beacons {
    pub pairs: Pairs,
    /// Events that came after a later one of their pair.
    pub late: u64,
}

impl Beacons {
    pub(super) fn new(pairs_max: usize) -> Self {
        Self { pairs: Pairs::new(pairs_max), late: 0 }
    }

    /// Takes what is a request, a tunnel, or a burst within one.
    pub(super) fn take(&mut self, event: &Event, network: &mut Network, drafts: &mut Drafts) {
        if let What::Shown(facts) | What::Done(facts) | What::Call { facts: Some(facts), .. } = &event.what {
            self.learn(event, facts, network);
        }
        let (denied, shape) = match event.what {
            What::Call { denied, shape, .. } => (denied, shape),
            What::Burst { up, .. } => (false, BURST | up.saturating_add(1).ilog2()),
            What::Shown(_) | What::Going(_) | What::Done(_) | What::Challenge(_) => return,
        };
        let call = Call { denied, shape, ..Call::of(event) };
        if self.count((event.client, event.host), call, FindingKind::Beacon, network, drafts) {
            return;
        }
        let domain = network.hosts.domain(event.host, event.time);
        let mut hosts = 1;
        if let Some(domain) = domain {
            let place = network.hosts.meet(event.host);
            network.hosts.add_part(domain, place);
            hosts = network.hosts.parts(domain);
            if hosts > 1 && self.count((event.client, domain), call, FindingKind::RotatingBeacon, network, drafts) {
                return;
            }
        }
        // Of what shares an address with half of the world nothing can be said.
        if let Some(address) = network.shared_address(event.host, hosts, event.time) {
            self.count((event.client, address), call, FindingKind::AddressBeacon, network, drafts);
        }
    }

    /// What was learnt of a request is kept with its pair, and with that of its domain.
    fn learn(&mut self, event: &Event, facts: &Facts, network: &mut Network) {
        let domain = network.hosts.domain(event.host, event.time).filter(|domain| network.hosts.parts(*domain) > 1);
        for host in [Some(event.host), domain].into_iter().flatten() {
            if let Some(pair) = self.pairs.get_mut((event.client, host)) {
                pair.learn(facts);
            }
        }
    }

    /// Counts a call towards a pair; says whether that was or is told of.
    fn count(
        &mut self,
        key: PairKey,
        call: Call,
        kind: FindingKind,
        network: &mut Network,
        drafts: &mut Drafts,
    ) -> bool {
        let Call { time, port, line, denied, shape } = call;
        let (pair, is_new) = self.pairs.entry(key, || Pair::new(time, port, line));
        let taken = pair.event(time, denied, shape, line);
        let (told, told_always, hours) = (pair.told, pair.told_always, pair.hours_of_day());
        let told_severity = pair.told_severity;
        let told_pace = Some(pair.told_pace).filter(|_| told > 0);
        let place = network.clients.meet(key.0);
        if is_new {
            network.hosts.add_other(key.1, place);
        }
        let mut is_told = told > 0;
        match taken {
            Taken::Late => self.late += 1,
            Taken::Scanned(best, stream) if best.score >= TOLD => {
                let pair = self.pairs.get(key);
                let weight = pair.map_or(0.0, |pair| weight(kind, best.score, &beside(key, pair, best, network)));
                let is_more = tenths(best.score) >= told.saturating_add(GAIN.min(told));
                if is_more || is_changed(told_pace, best) || severity(weight) > told_severity {
                    self.tell(key, kind, best, stream, network, drafts);
                }
                is_told = true;
            }
            Taken::Counted | Taken::Scanned(..) => {}
        }
        if hours >= ALWAYS_HOURS && !told_always && kind == FindingKind::Beacon && network.rarity(key.1, time).is_rare()
        {
            self.tell(key, FindingKind::AlwaysOn, Best::default(), Stream::All, network, drafts);
        }
        is_told
    }

    fn tell(
        &mut self,
        key: PairKey,
        kind: FindingKind,
        best: Best,
        stream: Stream,
        network: &mut Network,
        drafts: &mut Drafts,
    ) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let weight = weight(kind, best.score, &beside(key, pair, best, network));
        let Some(gaps) = pair.gaps(stream) else { return };
        let beat = beat(gaps.scan(best.level), gaps.strip(best.level));
        let hours = pair.hours_of_day();
        let rarity = network.rarity(key.1, pair.last);
        let mut grounds = Vec::new();
        if let Stream::Kind(place) = stream {
            grounds.push(of_kind(pair.of_kind(place), pair.requests));
        }
        if kind == FindingKind::AlwaysOn {
            pair.told_always = true;
            grounds.push(always_on(hours));
        } else {
            let before = Some(pair.told_pace).filter(|_| pair.told > 0);
            grounds.extend(before.filter(|before| is_changed(Some(*before), best)).map(|before| changed(before, best)));
            pair.told = pair.told.max(tenths(best.score));
            pair.told_pace = (best.level, best.centre);
            pair.told_severity = pair.told_severity.max(severity(weight));
        }
        if pair.bytes_up > 0.0 {
            grounds.push(size(pair.bytes_up));
        }
        drafts.add(Draft {
            kind,
            severity: severity(weight),
            score: best.score,
            weight: Some(weight),
            client: key.0,
            target: network.hosts.text(key.1),
            port: pair.port,
            first: pair.first,
            last: pair.last,
            requests: pair.requests,
            denied: pair.denied,
            beat: Some(beat),
            grounds,
            rarity: Some(rarity),
            records: [pair.first_line, pair.last_line],
        });
    }
}

/// What is known of a pair beside its rhythm.
fn beside((client, host): PairKey, pair: &Pair, best: Best, network: &mut Network) -> Beside {
    let rarity = network.rarity(host, pair.last);
    let users = pair.program.and_then(|program| network.users_of(host, program));
    Beside {
        users: users.unwrap_or(rarity.clients),
        owners: pair.program.map_or(0, |program| network.owners_of(program)),
        standing: pair.standing,
        of: rarity.of,
        network_seconds: network.age_seconds(pair.last),
        client_seconds: network.known_seconds(client, pair.last),
        pair_seconds: pair.last.saturating_sub(pair.first) / 1_000_000,
        period: f64::from(best.centre).exp(),
        requests: pair.requests,
        denied: pair.denied,
    }
}

/// A request, a tunnel or a burst, as far as its time matters.
#[derive(Debug, Clone, Copy)]
struct Call {
    time: u64,
    port: u16,
    line: u64,
    denied: bool,
    shape: u32,
}

impl Call {
    fn of(event: &Event) -> Self {
        Self { time: event.time, port: event.port, line: event.line, denied: false, shape: 0 }
    }
}

/// Whether this is another pace than what was told, seen at the same level.
fn is_changed(told: Option<(u8, f32)>, best: Best) -> bool {
    told.is_some_and(|(level, centre)| level == best.level && (best.centre - centre).abs() > CHANGED)
}

fn changed((_, before): (u8, f32), best: Best) -> Ground {
    let (before, now) = (Span(f64::from(before).exp()), Span(f64::from(best.centre).exp()));
    Ground::new(
        "changed",
        &[("period_before_seconds", before.0)],
        format!("its period was {before} and is {now} now"),
        format!("周期が{}から{}に変化", before.in_japanese(), now.in_japanese()),
    )
}

fn of_kind(count: u32, all: u32) -> Ground {
    Ground::new(
        "one_kind",
        &[("of_kind", f64::from(count)), ("requests", f64::from(all))],
        format!("these are {count} requests of one kind among {all}"),
        format!("全{all}件のうち同じ形の要求{count}件について"),
    )
}

fn size(bytes_up: f32) -> Ground {
    let bytes = Bytes(f64::from(bytes_up));
    Ground::new(
        "size",
        &[("bytes_up", f64::from(bytes_up).round())],
        format!("about {bytes} up each"),
        format!("1件あたり上り約{bytes}"),
    )
}

pub(super) fn beat(scan: Scan, strip: Vec<f64>) -> Beat {
    let (centre, half) = (scan.centre, 0.5 * scan.width);
    Beat {
        period_seconds: centre.exp(),
        low_seconds: (centre - half).exp(),
        high_seconds: (centre + half).exp(),
        hits: scan.hits,
        gaps: scan.gaps,
        multiples: scan.multiples,
        strip,
    }
}

fn always_on(hours: u32) -> Ground {
    Ground::new(
        "always_on",
        &[("hours_of_day", f64::from(hours))],
        format!("Seen in {hours} of the last 24 hours, and hardly anybody else talks to it"),
        format!("直近24時間のうち{hours}時間で通信があり、ほかの端末はほとんど通信していません"),
    )
}

/// A score in tenths.
fn tenths(score: f32) -> u16 {
    (score * 10.0) as u16
}
