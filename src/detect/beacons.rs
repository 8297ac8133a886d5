use crate::evidence::{Beat, FindingKind, Ground, Severity};

use super::beacon::{Best, Scan};
use super::draft::{Draft, Drafts};
use super::event::{Event, What};
use super::network::Network;
use super::pairs::{Pair, PairKey, Pairs, Taken};

/// Evidence in decades from which a pair is told of, and from which on it is pressing where the host is rare.
const TOLD: f32 = 3.5;
const HIGH: f32 = 5.0;
/// What the evidence must gain for a finding to be told again, in tenths.
const GAIN: u16 = 10;
/// Hours of a day in which a pair must have been seen to be always on.
const ALWAYS_HOURS: u32 = 20;

/// Finds who calls a host, or the hosts of a domain, at steady intervals, and who is always on.
#[derive(Debug)]
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
        let denied = match event.what {
            What::Call { denied, .. } => denied,
            What::Burst { .. } => false,
            What::Shown(_) | What::Going(_) | What::Done(_) | What::Challenge(_) => return,
        };
        let is_found = self.take_for((event.client, event.host), event, denied, FindingKind::Beacon, network, drafts);
        let Some(domain) = network.hosts.domain(event.host, event.time) else { return };
        network.hosts.add_part(domain, event.host);
        if !is_found && network.hosts.parts(domain) > 1 {
            self.take_for((event.client, domain), event, denied, FindingKind::RotatingBeacon, network, drafts);
        }
    }

    /// Counts an event towards a pair; says whether that was or is told of.
    fn take_for(
        &mut self,
        key: PairKey,
        event: &Event,
        denied: bool,
        kind: FindingKind,
        network: &mut Network,
        drafts: &mut Drafts,
    ) -> bool {
        let &Event { time, port, line, .. } = event;
        let (pair, is_new) = self.pairs.entry(key, || Pair::new(time, port, line));
        let taken = pair.event(time, denied, line);
        let (told, told_always, hours) = (pair.told, pair.told_always, pair.hours_of_day());
        let place = network.clients.meet(key.0);
        if is_new {
            network.hosts.add_other(key.1, place);
        }
        let mut is_told = told > 0;
        match taken {
            Taken::Late => self.late += 1,
            Taken::Scanned(best) if best.score >= TOLD && tenths(best.score) >= told.saturating_add(GAIN.min(told)) => {
                self.tell(key, kind, best, network, drafts);
                is_told = true;
            }
            Taken::Counted | Taken::Scanned(_) => {}
        }
        if hours >= ALWAYS_HOURS && !told_always && kind == FindingKind::Beacon && network.rarity(key.1, time).is_rare()
        {
            self.tell(key, FindingKind::AlwaysOn, Best::default(), network, drafts);
        }
        is_told
    }

    fn tell(&mut self, key: PairKey, kind: FindingKind, best: Best, network: &Network, drafts: &mut Drafts) {
        let Some(pair) = self.pairs.get_mut(key) else { return };
        let Some(gaps) = pair.gaps() else { return };
        let beat = beat(gaps.scan(best.level), gaps.strip(best.level));
        let hours = pair.hours_of_day();
        let rarity = network.rarity(key.1, pair.last);
        let mut grounds = Vec::new();
        match kind {
            FindingKind::AlwaysOn => {
                pair.told_always = true;
                grounds.push(always_on(hours));
            }
            _ => pair.told = tenths(best.score),
        }
        drafts.add(Draft {
            kind,
            severity: if best.score >= HIGH && rarity.is_rare() { Severity::High } else { Severity::Medium },
            score: best.score,
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

fn beat(scan: Scan, strip: Vec<f64>) -> Beat {
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
