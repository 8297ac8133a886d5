//! How tunnels behave, whatever they carry: how long they stand, how they come back, which way the bytes go, and at whose
//! pace.
//!
//! In: events of tunnels, and of requests what they sent. Out: findings of six kinds. None looks at what is common: people
//! hold tunnels open to chats, calls and backups all day, and do so where others do as well. So a host that more than a few
//! clients talk to is let be, but for what went there at night and never went there by day.

mod nights;
mod pace;
mod reopened;
mod told;

use std::collections::HashMap;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use crate::evidence::{Asked, Bytes, FindingKind, Ground, Severity, Span};

use super::draft::Drafts;
use super::event::{Cut, Event, Facts, What};
use super::network::Network;
use nights::Nights;
use pace::Pace;
use reopened::Reopened;
use told::Case;

/// Finds tunnels that stand long, are kept open, are typed in, or carry more out than in; those that come back as soon as they
/// are cut; and who sends much at night.
///
/// A tunnel that is open takes about 100 bytes, 240 once something came in bursts; a pair that sends takes 150.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Tunnels {
    open: HashMap<u64, Tunnel, RandomState>,
    open_max: usize,
    /// When tunnels whose end was never told were looked for.
    swept: u64,
    /// Tunnels that there was no room for.
    pub(super) beyond: u64,
    reopened: Reopened,
    nights: Nights,
}

/// What is kept of a tunnel that is open.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Tunnel {
    /// When something was heard of it last, in microseconds.
    heard: u64,
    /// How often it was told of as it went on.
    minutes: u32,
    /// Bytes that are counted towards a night.
    sent: u64,
    /// So much must have gone up for an upload to be told of again; 0 for the first time.
    upload_next: u64,
    /// Once something came in a burst: most tunnels stand idle.
    pace: Option<Box<Pace>>,
    /// How often it was told of as long, and as kept open.
    told_long: u8,
    told_kept: u8,
}

/// A tunnel of which so long nothing was heard goes, where there are too many, in microseconds.
const FORGOTTEN: u64 = 24 * 3_600_000_000;
/// Such tunnels are looked for no more often.
const SWEEP: u64 = 3_600_000_000;
/// Between two records of a tunnel that goes on there is a minute; so much is believed for each, in seconds. A clock that is
/// set ahead makes no tunnel old.
const MINUTE_MAX: u64 = 120;
/// Ages at which a tunnel is long, in seconds. The second is below eight hours, at which the gate cuts tunnels unless it is
/// told otherwise.
const LONG: [u64; 2] = [4 * 3_600, 7 * 3_600 + 1_800];
/// Ages at which a tunnel that is kept open is told of, in seconds.
const KEPT: [u64; 2] = [3_600, LONG[1]];
/// An upload is so large, in bytes, and so many times as large as what came back.
const UPLOAD: u64 = 20 << 20;
const UPLOAD_RATIO: u64 = 5;
/// Less is not counted towards a night by itself, in bytes.
const SENT_MIN: u64 = 4_096;

impl Tunnels {
    pub(super) fn new(open_max: usize, pairs_max: usize) -> Self {
        Self {
            open: HashMap::default(),
            open_max,
            swept: 0,
            beyond: 0,
            reopened: Reopened::new(pairs_max),
            nights: Nights::new(pairs_max),
        }
    }

    /// Pairs of client and host that had to go for others.
    pub(super) fn evicted(&self) -> u64 {
        self.reopened.evicted() + self.nights.evicted()
    }

    pub(super) fn take(&mut self, event: &Event, network: &mut Network, drafts: &mut Drafts) {
        match &event.what {
            What::Burst { tunnel, up, down } => {
                self.tunnel(*tunnel, event.time)
                    .into_iter()
                    .for_each(|tunnel| tunnel.pace.get_or_insert_default().burst(event.time, *up, *down));
            }
            What::Shown(facts) if facts.what == Asked::Tunnel => {
                let is_kept = self.tunnel(facts.id, event.time).is_some();
                self.beyond += u64::from(!is_kept && facts.id != 0);
                self.reopened.opened(event, facts, network, drafts);
            }
            What::Going(facts) if facts.what == Asked::Tunnel => {
                let Some(tunnel) = self.tunnel(facts.id, event.time) else { return };
                tunnel.minutes = tunnel.minutes.saturating_add(1);
                let (age, sent) = (tunnel.age(event, facts), tunnel.sent_since(facts, SENT_MIN));
                tunnel.look(age, event, facts, network, drafts);
                self.nights.sent(event.time, sent, event, facts, network, drafts);
            }
            What::Done(facts) | What::Call { facts: Some(facts), .. } => self.end(event, facts, network, drafts),
            What::Call { facts: None, .. } | What::Shown(_) | What::Going(_) | What::Challenge(_) => {}
        }
    }

    /// What is kept of a tunnel, where there is room; one without a number is not known again.
    fn tunnel(&mut self, id: u64, time: u64) -> Option<&mut Tunnel> {
        if id == 0 {
            return None;
        }
        if self.open.len() >= self.open_max && !self.open.contains_key(&id) {
            if time >= self.swept.saturating_add(SWEEP) {
                self.swept = time;
                self.open.retain(|_, tunnel| tunnel.heard.saturating_add(FORGOTTEN) > time);
            }
            if self.open.len() >= self.open_max {
                return None;
            }
        }
        let tunnel = self.open.entry(id).or_default();
        tunnel.heard = tunnel.heard.max(time);
        Some(tunnel)
    }

    fn end(&mut self, event: &Event, facts: &Facts, network: &mut Network, drafts: &mut Drafts) {
        let is_whole = matches!(event.what, What::Call { .. });
        let ended = if is_whole { event.time.saturating_add(facts.duration) } else { event.time };
        if facts.what == Asked::Request {
            if facts.bytes_up >= SENT_MIN {
                self.nights.sent(ended, facts.bytes_up, event, facts, network, drafts);
            }
            return;
        }
        let known = if is_whole { None } else { self.open.remove(&facts.id) };
        let mut tunnel = known.unwrap_or_default();
        let age = if is_whole { facts.duration / 1_000_000 } else { tunnel.age(event, facts) };
        let sent = tunnel.sent_since(facts, 1);
        tunnel.look(age, event, facts, network, drafts);
        self.nights.sent(ended, sent, event, facts, network, drafts);
        if facts.cut == Cut::Lifetime {
            self.reopened.cut(event, age);
        }
    }
}

impl Tunnel {
    /// How long it has stood, in seconds.
    fn age(&self, event: &Event, facts: &Facts) -> u64 {
        if facts.duration > 0 {
            return facts.duration / 1_000_000;
        }
        let believed = u64::from(self.minutes).saturating_add(1) * MINUTE_MAX;
        (event.time.saturating_sub(facts.begun) / 1_000_000).min(believed)
    }

    /// Bytes that went up since this was asked last, where they are so many.
    fn sent_since(&mut self, facts: &Facts, least: u64) -> u64 {
        let sent = facts.bytes_up.saturating_sub(self.sent);
        if sent < least {
            return 0;
        }
        self.sent = facts.bytes_up;
        sent
    }

    /// Tells what has become of it.
    fn look(&mut self, age: u64, event: &Event, facts: &Facts, network: &mut Network, drafts: &mut Drafts) {
        let steps = |ages: [u64; 2]| ages.iter().filter(|least| age >= **least).count() as u8;
        let is_kept = self.pace.as_ref().is_some_and(|pace| pace.is_kept());
        let (long, kept) = (steps(LONG), if is_kept { steps(KEPT) } else { 0 });
        let is_upload =
            facts.bytes_up >= self.upload_next.max(UPLOAD) && facts.bytes_up / UPLOAD_RATIO >= facts.bytes_down;
        let typing = self.pace.as_mut().and_then(|pace| pace.typing.take());
        if long <= self.told_long && kept <= self.told_kept && !is_upload && typing.is_none() {
            return;
        }
        let Some(rarity) = told::rare(event, network) else { return };
        let case = |kind: FindingKind, main: (f32, Ground)| Case {
            kind,
            main: vec![told::heavier(main, told::of_few(rarity))],
            first: facts.begun,
            records: [event.line, event.line],
            severity_max: Severity::High,
            rarity,
        };
        if long > self.told_long {
            self.told_long = long;
            let main = stands(age, if long > 1 { 2.2 } else { 1.5 }, facts);
            case(FindingKind::LongTunnel, main).tell(event, facts, network, drafts);
        }
        if let Some(pace) = self.pace.as_ref().filter(|_| kept > self.told_kept) {
            self.told_kept = kept;
            let main = pace.kept(if kept > 1 { 2.2 } else { 1.5 }, age);
            case(FindingKind::KeptTunnel, main).tell(event, facts, network, drafts);
        }
        if is_upload {
            self.upload_next = facts.bytes_up.saturating_mul(2);
            case(FindingKind::UploadTunnel, upload(facts)).tell(event, facts, network, drafts);
        }
        if let Some(typing) = typing {
            let mut case = case(FindingKind::InteractiveTunnel, typing.ground());
            // Web pages can be typed in as well.
            if facts.is_browser && !told::is_doubtful(facts) {
                case.severity_max = Severity::Low;
            }
            case.tell(event, facts, network, drafts);
        }
    }
}

fn stands(age: u64, weight: f32, facts: &Facts) -> (f32, Ground) {
    let (span, [up, down]) = (Span(age as f64), [facts.bytes_up, facts.bytes_down].map(|bytes| Bytes(bytes as f64)));
    let numbers =
        [("weight", f64::from(weight)), ("stood_seconds", span.0), ("bytes_up", up.0), ("bytes_down", down.0)];
    let english = format!("one tunnel stood for {span}, with {up} up and {down} down");
    let japanese = format!("1本のトンネルが{}継続（上り{up}、下り{down}）", span.in_japanese());
    (weight, Ground::new("stood", &numbers, english, japanese))
}

fn upload(facts: &Facts) -> (f32, Ground) {
    let (up, down) = (facts.bytes_up as f64, facts.bytes_down as f64);
    let weight = 1.5 + ((up / UPLOAD as f64).log10() as f32).clamp(0.0, 2.0);
    let numbers = [("weight", f64::from(weight)), ("bytes_up", up), ("bytes_down", down)];
    let english = format!("one tunnel carried {} out and {} in", Bytes(up), Bytes(down));
    let japanese = format!("1本のトンネルで上り{}、下り{}", Bytes(up), Bytes(down));
    (weight, Ground::new("upload", &numbers, english, japanese))
}
