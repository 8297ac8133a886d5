use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, Rarity, Severity};

use super::channels::Channels;
use super::growth::{Growth, SIZES};
use super::history::Scheme;
use super::meter::{Meter, Place, Sent, Span, Window};
use super::recent::{HEAP_MIN, PIECE_MIN, Recent, is_piece};
use super::sayings::Whose;
use crate::detect::detector::Limits;
use crate::detect::draft::{Draft, Drafts};
use crate::detect::event::{Event, Facts, What};
use crate::detect::grounds::Grounds;
use crate::detect::names::Name;
use crate::detect::network::Network;
use crate::detect::table::Table;

/// Finds where more goes out than is usual, and where it goes out in pieces or in ever larger ones.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::detect) struct Volume {
    clients: Table<Name, Client>,
    pairs: Table<(Name, Name), Pair>,
    programs: Table<Name, Meter>,
    channels: Channels,
    tunnels: HashMap<u64, Tunnel, RandomState>,
    tunnels_max: usize,
    /// When tunnels whose end was never told were looked for, in microseconds.
    swept: u64,
}

/// What all that a client sends comes to.
#[derive(Debug, Serialize, Deserialize)]
struct Client {
    hour: Sum,
    day: Sum,
}

#[derive(Debug, Serialize, Deserialize)]
struct Sum {
    meter: Meter,
    /// The host that most of this window may have gone to, and at least so much of it (Boyer and Moore, MJRTY: a fast
    /// majority vote algorithm, 1991, with bytes as votes).
    most: Option<(Name, u64)>,
}

/// What a client sends to a host.
#[derive(Debug, Serialize, Deserialize)]
struct Pair {
    meter: Meter,
    /// All of it, which is looked at while nothing is usual.
    all: Recent,
    /// What is small.
    pieces: Recent,
    growth: Growth,
}

/// A tunnel that stands.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Tunnel {
    /// What was counted of it, in bytes.
    counted: u64,
    /// Its small uploads were.
    has_pieces: bool,
    /// In microseconds.
    heard: u64,
}

/// Of a client: by the hour of the week, five weeks, so that what comes once a month was there before.
const HOURS: Scheme = Scheme {
    window: HOUR,
    slots: 168,
    slots_of_day: 24,
    kept: 5,
    near: 1,
    near_values_min: 6,
    values_min: 24,
    bytes_min: 20 * MIB,
    cold_limit: u64::MAX,
};
/// Of a client, by the day of the week: what is little each hour.
const DAYS: Scheme = Scheme {
    window: 24 * HOUR,
    slots: 7,
    slots_of_day: 1,
    kept: 5,
    near: 0,
    near_values_min: 4,
    values_min: 5,
    bytes_min: 64 * MIB,
    cold_limit: u64::MAX,
};
/// Of a client and a host: by quarters of a day, at weekends and else.
const PAIR: Scheme = Scheme {
    window: 6 * HOUR,
    slots: 8,
    slots_of_day: 4,
    kept: 8,
    near: 0,
    near_values_min: 6,
    values_min: 10,
    bytes_min: 32 * MIB,
    cold_limit: u64::MAX,
};
/// Of a program, wherever it is.
const PROGRAM: Scheme = Scheme { values_min: 12, bytes_min: 64 * MIB, cold_limit: u64::MAX, ..PAIR };

const MIB: u64 = 1024 * 1024;
/// In microseconds.
const HOUR: u64 = 3_600_000_000;
/// What a host that few talk to may get from one client in a day before anybody knows what is usual, in bytes,
const RARE_MAX: u64 = 64 * MIB;
/// and on the first day, when every host seems rare.
const FIRST_DAY_MAX: u64 = 256 * MIB;
/// The first day, in seconds.
const FIRST_DAY: u64 = 24 * 3_600;
/// In a network of fewer clients it says little that few talk to a host.
const CLIENTS_MIN: u32 = 10;
/// What grows and ends below is not worth telling, in bytes.
const GROWN_MIN: u64 = 16 * 1024;
/// What must speak for a finding for it to be told of, with a severity each.
const SEVERITIES: [(f32, Severity); 3] = [(4.5, Severity::High), (3.0, Severity::Medium), (2.0, Severity::Low)];
/// For so many pairs of the network one is kept here: to most hosts nothing is sent but questions.
const PAIRS_SHARE: usize = 10;
/// Programs, by TLS key.
const PROGRAMS_MAX: usize = 16_384;
/// A tunnel of which so long nothing was heard goes, where there are too many, and how often that is looked for, in
/// microseconds.
const FORGOTTEN: u64 = 24 * HOUR;
const SWEEP: u64 = HOUR;

impl Volume {
    pub(in crate::detect) fn new(limits: &Limits) -> Self {
        Self {
            clients: Table::new(limits.clients_max),
            pairs: Table::new(limits.pairs_max.div_ceil(PAIRS_SHARE)),
            programs: Table::new(PROGRAMS_MAX.min(limits.hosts_max)),
            channels: Channels::new(limits.pairs_max.div_ceil(PAIRS_SHARE)),
            tunnels: HashMap::default(),
            tunnels_max: limits.open_max,
            swept: 0,
        }
    }

    /// Says how many bytes went up with it that no event before told of.
    pub(in crate::detect) fn take(&mut self, event: &Event, network: &mut Network, drafts: &mut Drafts) -> u64 {
        if let What::Call { denied, .. } = event.what {
            let draft = self.channels.take(event, denied, network);
            tell(draft, network, drafts);
        }
        match &event.what {
            What::Call { facts: Some(facts), .. } if facts.bytes_up > 0 => {
                self.count(event, facts, facts.bytes_up, network, drafts);
                self.ended(event, facts, false, network, drafts);
                facts.bytes_up
            }
            What::Going(facts) => {
                let Some(tunnel) = self.tunnel(facts.id, event.time) else { return 0 };
                let more = facts.bytes_up.saturating_sub(tunnel.counted);
                tunnel.counted = tunnel.counted.saturating_add(more);
                if more > 0 {
                    self.count(event, facts, more, network, drafts);
                }
                more
            }
            What::Done(facts) => {
                let tunnel = self.tunnels.remove(&facts.id).unwrap_or_default();
                let more = facts.bytes_up.saturating_sub(tunnel.counted);
                if more > 0 {
                    self.count(event, facts, more, network, drafts);
                }
                self.ended(event, facts, tunnel.has_pieces, network, drafts);
                more
            }
            What::Burst { tunnel, up, down } => {
                let bytes = u64::from(*up);
                if is_piece(bytes, u64::from(*down))
                    && let Some(tunnel) = self.tunnel(*tunnel, event.time)
                {
                    tunnel.has_pieces = true;
                    self.piece(event, bytes, network, drafts);
                }
                0
            }
            What::Call { .. } | What::Shown(_) | What::Challenge(_) => 0,
        }
    }

    /// Clients, pairs, programs and domains that had to go for others.
    pub(in crate::detect) fn evicted(&self) -> u64 {
        self.clients.evicted + self.pairs.evicted + self.programs.evicted + self.channels.evicted()
    }

    /// What is known of a tunnel that stands; `None` where there is no room. What goes through it is counted at its end then.
    fn tunnel(&mut self, id: u64, time: u64) -> Option<&mut Tunnel> {
        if self.tunnels.len() >= self.tunnels_max && time >= self.swept.saturating_add(SWEEP) {
            self.swept = time;
            self.tunnels.retain(|_, tunnel| tunnel.heard.saturating_add(FORGOTTEN) > time);
        }
        if self.tunnels.len() >= self.tunnels_max && !self.tunnels.contains_key(&id) {
            return None;
        }
        let tunnel = self.tunnels.entry(id).or_default();
        tunnel.heard = tunnel.heard.max(time);
        Some(tunnel)
    }

    /// Counts bytes up for all whose they are. What one is told of is no reason to tell of the next.
    fn count(&mut self, event: &Event, facts: &Facts, bytes: u64, network: &mut Network, drafts: &mut Drafts) {
        let is_end = !matches!(event.what, What::Going(_));
        // Where one line tells of hours, nobody knows in which of them it went up.
        let took = if matches!(event.what, What::Call { .. }) { facts.duration } else { 0 };
        let sent = |scheme: &Scheme, is_told| {
            let bytes = bytes / took.div_ceil(scheme.window).max(1);
            Sent { bytes, is_end, is_told }
        };
        let mut is_told = self.count_for_pair(event, sent(&PAIR, false), network, drafts);
        let (hour, day) = (hour(event, network), day(event, network));
        let client = self.clients.entry(event.client, || Client { hour: Sum::new(hour), day: Sum::new(day) });
        is_told |= client.hour.count(Whose::Client, &HOURS, hour, event, sent(&HOURS, is_told), network, drafts);
        is_told |= client.day.count(Whose::ClientDay, &DAYS, day, event, sent(&DAYS, is_told), network, drafts);
        if let Some(program) = facts.program {
            self.count_for_program(program, event, sent(&PROGRAM, is_told), network, drafts);
        }
    }

    /// Says whether that was or is told of in this window.
    fn count_for_pair(&mut self, event: &Event, sent: Sent, network: &mut Network, drafts: &mut Drafts) -> bool {
        let at = quarter(event, network);
        let Some(Pair { meter, all, .. }) = self.pair(event, sent.bytes, at) else { return false };
        let is_over = meter.add(&PAIR, at, sent);
        let heap = all.add(event.time, event.line, sent.bytes, RARE_MAX);
        if !is_over && heap.is_none() {
            return meter.is_told;
        }
        let rarity = network.rarity(event.host, event.time);
        let age = network.age_seconds(event.time);
        let mut grounds = Grounds::default();
        let span = match (meter.usual(&PAIR), heap) {
            (Some(usual), _) if is_over => {
                grounds.usual(Whose::Pair, meter.unexplained(), usual);
                grounds.young(event.time.saturating_sub(meter.since));
                meter.span()
            }
            (None, Some(heap)) if is_rare(rarity) && (age >= FIRST_DAY || heap.bytes >= FIRST_DAY_MAX) => {
                grounds.rare_upload(heap, RARE_MAX, event.time);
                Span { first: heap.first, line: heap.line, exchanges: meter.span().exchanges, denied: 0 }
            }
            (Some(_) | None, _) => return meter.is_told,
        };
        grounds.host(rarity, is_rare(rarity), age);
        let target = network.hosts.text(event.host);
        let draft = draft(FindingKind::UnusualVolume, event, target, Some(rarity), span, grounds);
        meter.is_told |= tell(draft, network, drafts);
        meter.is_told
    }

    fn count_for_program(
        &mut self,
        program: Name,
        event: &Event,
        sent: Sent,
        network: &mut Network,
        drafts: &mut Drafts,
    ) {
        let at = quarter(event, network);
        let meter = self.programs.entry(program, || Meter::new(&PROGRAM, at));
        if !meter.add(&PROGRAM, at, sent) {
            return;
        }
        let Some(usual) = meter.usual(&PROGRAM) else { return };
        let mut grounds = Grounds::default();
        grounds.usual(Whose::Program, meter.unexplained(), usual);
        grounds.young(event.time.saturating_sub(meter.since));
        let rarity = network.rarity_of_program(program, event.time);
        grounds.program(rarity, is_rare(rarity));
        let target = network.programs.text(program);
        let draft = draft(FindingKind::UnusualVolume, event, target, None, meter.span(), grounds);
        tell(draft, network, drafts);
    }

    /// An exchange has ended: what all of it was.
    fn ended(&mut self, event: &Event, facts: &Facts, has_pieces: bool, network: &mut Network, drafts: &mut Drafts) {
        let bytes = facts.bytes_up;
        if !has_pieces && is_piece(bytes, facts.bytes_down) {
            self.piece(event, bytes, network, drafts);
        }
        if bytes < PIECE_MIN {
            return;
        }
        let at = quarter(event, network);
        let Some(pair) = self.pair(event, bytes, at) else { return };
        let Some(grown) = pair.growth.add(event.time, event.line, bytes) else { return };
        let rarity = network.rarity(event.host, event.time);
        if grown.to < GROWN_MIN || !is_rare(rarity) {
            return;
        }
        let mut grounds = Grounds::default();
        grounds.grown(grown);
        grounds.host(rarity, true, network.age_seconds(event.time));
        let span = Span { first: grown.first, line: grown.line, exchanges: SIZES as u32, denied: 0 };
        let target = network.hosts.text(event.host);
        let draft = draft(FindingKind::GrowingBodies, event, target, Some(rarity), span, grounds);
        tell(draft, network, drafts);
    }

    /// A small upload.
    fn piece(&mut self, event: &Event, bytes: u64, network: &mut Network, drafts: &mut Drafts) {
        let at = quarter(event, network);
        let Some(pair) = self.pair(event, bytes, at) else { return };
        let Some(heap) = pair.pieces.add(event.time, event.line, bytes, HEAP_MIN) else { return };
        let rarity = network.rarity(event.host, event.time);
        if !is_rare(rarity) {
            return;
        }
        let mut grounds = Grounds::default();
        grounds.heap(heap, event.time);
        grounds.host(rarity, true, network.age_seconds(event.time));
        let span = Span { first: heap.first, line: heap.line, exchanges: heap.count, denied: 0 };
        let target = network.hosts.text(event.host);
        let draft = draft(FindingKind::SmallUploads, event, target, Some(rarity), span, grounds);
        tell(draft, network, drafts);
    }

    /// What is kept of the pair of an event; `None` where nothing is, and what was sent is no reason to begin.
    fn pair(&mut self, event: &Event, bytes: u64, at: Place) -> Option<&mut Pair> {
        let key = (event.client, event.host);
        if bytes < PIECE_MIN {
            return self.pairs.get_mut(key);
        }
        let new = || Pair {
            meter: Meter::new(&PAIR, at),
            all: Recent::default(),
            pieces: Recent::default(),
            growth: Growth::default(),
        };
        Some(self.pairs.entry(key, new))
    }
}

impl Sum {
    fn new(at: Place) -> Self {
        Self { meter: Meter::new(&HOURS, at), most: None }
    }

    /// Says whether that was or is told of in this window.
    #[expect(clippy::too_many_arguments, reason = "the window, what was sent, and where to tell of it")]
    fn count(
        &mut self,
        whose: Whose,
        scheme: &Scheme,
        at: Place,
        event: &Event,
        sent: Sent,
        network: &Network,
        drafts: &mut Drafts,
    ) -> bool {
        let Self { meter, most } = self;
        let is_over = meter.add(scheme, at, sent);
        if meter.began_with(sent.bytes) {
            *most = None;
        }
        if !sent.is_told {
            vote(most, event.host, sent.bytes);
        }
        if !is_over {
            return meter.is_told;
        }
        let Some(usual) = meter.usual(scheme) else { return false };
        let sum = meter.unexplained();
        let mut grounds = Grounds::default();
        grounds.usual(whose, sum, usual);
        grounds.young(event.time.saturating_sub(meter.since));
        let (mut target, mut rarity) = (None, None);
        if let Some((host, bytes)) = most.filter(|(_, bytes)| bytes.saturating_mul(2) >= sum) {
            let how = network.rarity(host, event.time);
            grounds.most(bytes);
            grounds.host(how, is_rare(how), network.age_seconds(event.time));
            (target, rarity) = (network.hosts.text(host), Some(how));
        }
        let draft = draft(FindingKind::UnusualVolume, event, target, rarity, meter.span(), grounds);
        meter.is_told |= tell(draft, network, drafts);
        meter.is_told
    }
}

/// The hour, by the week.
fn hour(event: &Event, network: &mut Network) -> Place {
    let local = network.local(event.time);
    let slot = local.weekday * 24 + local.hour;
    // Hours as they pass: none comes twice where clocks are set back.
    (Window { number: (event.time / HOUR) as i64, slot }, event.time, event.line)
}

fn day(event: &Event, network: &mut Network) -> Place {
    let local = network.local(event.time);
    (Window { number: local.day, slot: local.weekday }, event.time, event.line)
}

/// The quarter of a day here.
fn quarter(event: &Event, network: &mut Network) -> Place {
    let local = network.local(event.time);
    let quarter = local.hour / 6;
    let number = local.day.saturating_mul(4).saturating_add(i64::from(quarter));
    (Window { number, slot: u8::from(local.is_weekend()) * 4 + quarter }, event.time, event.line)
}

pub(super) fn is_rare(rarity: Rarity) -> bool {
    rarity.of >= CLIENTS_MIN && rarity.is_rare()
}

fn vote(most: &mut Option<(Name, u64)>, host: Name, bytes: u64) {
    match most {
        Some((leader, votes)) if *leader == host => *votes = votes.saturating_add(bytes),
        Some((_, votes)) if *votes >= bytes => *votes -= bytes,
        Some((_, votes)) => *most = Some((host, bytes - *votes)),
        None => *most = Some((host, bytes)),
    }
}

pub(super) fn draft(
    kind: FindingKind,
    event: &Event,
    target: Option<Arc<str>>,
    rarity: Option<Rarity>,
    span: Span,
    grounds: Grounds,
) -> Option<Draft> {
    let score = grounds.score();
    let severity = grounds.severity(&SEVERITIES)?;
    Some(Draft {
        kind,
        severity,
        score,
        weight: None,
        client: event.client,
        target,
        port: if rarity.is_some() { event.port } else { 0 },
        first: span.first.min(event.time),
        last: event.time,
        requests: span.exchanges,
        denied: span.denied,
        beat: None,
        grounds: grounds.sorted(),
        rarity,
        records: [span.line, event.line],
    })
}

/// Says whether it is worth telling.
fn tell(draft: Option<Draft>, network: &Network, drafts: &mut Drafts) -> bool {
    let Some(draft) = draft else { return false };
    drafts.add_if_news(draft, &network.clients);
    true
}
