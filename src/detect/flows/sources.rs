use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, FlowSource, Severity, Span};

use crate::detect::grounds::Grounds;
use crate::detect::network::Network;
use crate::detect::table::Table;
use crate::detect::volume::{History, Scheme, When};

use super::event::FlowEvent;
use super::telling::{Around, Told};

/// Finds what told of attempts past the proxy and does not any more: a firewall that lost its way to the gate, a
/// sensor that died, a log that somebody turned off.
///
/// Each source has a pace of its own. For each hour of the week it is kept how long it had been silent at most, five
/// weeks back. It is told when the silence is longer than that hour and its neighbours know it: more than six robust
/// deviations above their median, and more than twice the longest of them; and never below 15 minutes. At night and
/// at weekends silence is usual, so it takes days there; on a working morning minutes. It is told once two weeks are
/// known; from the eighth day on, when the first weekend has passed, after twice the longest silence that there was.
/// Where nothing else was heard meanwhile, neither from another source nor of an exchange, it may be a holiday, and
/// is low.
///
/// Time goes on by what is on record and, while a gate runs, by its clock. When the gate was off, nothing was silent:
/// see [`Sources::pause`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sources {
    sources: Table<SourceKey, Heard>,
    /// No source has anything to be looked at before, in microseconds.
    due: u64,
    /// What was heard last, and when; and the last that was not of it.
    last: (Option<SourceKey>, u64),
    other: (Option<SourceKey>, u64),
}

/// Which source it is: of syslog each sender, of this machine each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct SourceKey(FlowSource, Option<IpAddr>);

#[derive(Debug, Serialize, Deserialize)]
struct Heard {
    key: SourceKey,
    /// When it was first heard, and last, in microseconds; both move by the time in which the gate was off.
    since: u64,
    heard: u64,
    line: u64,
    /// How long it was silent, at most, in hours past; in milliseconds.
    history: History,
    /// The hour in which it was heard last, counted from 1970, and the longest silence in it so far.
    hour: u64,
    longest: u64,
    /// The hour up to which the silence that goes on was looked at.
    looked: u64,
    /// The longest silence of all, in microseconds.
    longest_ever: u64,
    is_told: bool,
    times_told: u32,
}

const SOURCES_MAX: usize = 1_024;
/// In microseconds.
const HOUR: u64 = 3_600_000_000;
const DAY: u64 = 24 * HOUR;
const FIRST: u64 = 8 * DAY;
const SILENT_MIN: u64 = HOUR / 4;
/// Hours that are looked at one by one: a source that was silent for three weeks begins anew, and was told long before.
const HOURS_MAX: u64 = 21 * 24;
/// Of a silence, in milliseconds.
const SILENCES: Scheme = Scheme {
    window: HOUR,
    slots: 168,
    slots_of_day: 24,
    kept: 5,
    near: 1,
    near_values_min: 6,
    // Two weeks.
    values_min: 336,
    bytes_min: SILENT_MIN / 1_000,
    cold_limit: u64::MAX,
};
const SEVERITIES: [(f32, Severity); 2] = [(1.0, Severity::Low), (3.0, Severity::Medium)];

/// A silence that is too long: since when it is, the most that was usual, in microseconds, and how that is known.
#[derive(Debug, Clone, Copy)]
struct Silence {
    at: u64,
    limit: u64,
    by_week: bool,
}

impl Sources {
    pub(super) fn new() -> Self {
        Self { sources: Table::new(SOURCES_MAX), due: u64::MAX, last: (None, 0), other: (None, 0) }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.sources.evicted
    }

    /// Something of an exchange was heard.
    pub(super) fn hear_other(&mut self, time: u64) {
        self.note(None, time);
    }

    /// A source was heard.
    pub(super) fn hear(&mut self, event: &FlowEvent, network: &mut Network) {
        let key = SourceKey(event.source, event.told_by);
        self.note(Some(key), event.time);
        let heard = self.sources.entry(key, || Heard::new(key, event.time));
        heard.hear(event.time, event.line, network);
        self.due = self.due.min(heard.next(network));
    }

    fn note(&mut self, key: Option<SourceKey>, time: u64) {
        if self.last.0 != key {
            self.other = self.last;
        }
        self.last = (key, time);
    }

    /// When something that is no source, or another one, was heard last.
    fn others(&self, key: SourceKey) -> u64 {
        if self.last.0 == Some(key) { self.other.1 } else { self.last.1 }
    }

    /// Time has gone on to this: tells which sources have been silent for too long by then.
    pub(super) fn pass(&mut self, now: u64, around: &mut Around<'_>) {
        if now < self.due {
            return;
        }
        let mut silent = Vec::new();
        self.due = u64::MAX;
        for heard in self.sources.values_mut() {
            if let Some(silence) = heard.advance(now, around.network) {
                silent.push((heard.key, silence));
            }
            self.due = self.due.min(heard.next(around.network));
        }
        silent.sort_by_key(|(key, silence)| (silence.at, key.name()));
        for (key, silence) in silent {
            let others = self.others(key);
            let Some(heard) = self.sources.get_mut(key) else { continue };
            let told = heard.told(silence, others);
            around.tell_again(told, &SEVERITIES);
        }
    }

    /// From one time to another nobody was listening: that is no silence.
    pub(super) fn pause(&mut self, from: u64, to: u64, around: &mut Around<'_>) {
        self.pass(from, around);
        for heard in self.sources.values_mut() {
            heard.pause(from, to);
        }
        self.due = 0;
    }
}

impl SourceKey {
    fn name(self) -> String {
        let Self(source, told_by) = self;
        let name = match source {
            FlowSource::Nflog => "nflog",
            FlowSource::Conntrack => "conntrack",
            FlowSource::Syslog => "syslog",
            FlowSource::Zeek => "zeek",
        };
        told_by.map_or_else(|| name.to_owned(), |told_by| format!("{name} {told_by}"))
    }
}

impl Heard {
    fn new(key: SourceKey, time: u64) -> Self {
        Self {
            key,
            since: time,
            heard: time,
            line: 0,
            history: History::default(),
            hour: time / HOUR,
            longest: 0,
            looked: time / HOUR,
            longest_ever: 0,
            is_told: false,
            times_told: 0,
        }
    }

    fn hear(&mut self, time: u64, line: u64, network: &mut Network) {
        // A clock that was set back by more than what comes late begins anew.
        if time.saturating_add(HOUR) < self.heard || time / HOUR > self.hour.saturating_add(HOURS_MAX) {
            *self = Self { times_told: self.times_told, ..Self::new(self.key, time) };
        }
        // An outage is nothing that is usual.
        if !std::mem::take(&mut self.is_told) {
            self.learn(time, network);
        }
        self.heard = self.heard.max(time);
        (self.hour, self.line) = (self.heard / HOUR, line);
        self.looked = self.hour;
    }

    /// A silence has ended: so long it was in each hour that it went through.
    fn learn(&mut self, time: u64, network: &mut Network) {
        while self.hour < time / HOUR {
            let end = self.hour.saturating_add(1).saturating_mul(HOUR);
            let silent = self.longest.max(end.saturating_sub(self.heard));
            let slot = network.local(self.hour.saturating_mul(HOUR)).hour_of_week();
            self.history.add(&SILENCES, slot, silent / 1_000);
            (self.hour, self.longest) = (self.hour.saturating_add(1), 0);
        }
        let silent = time.saturating_sub(self.heard);
        self.longest = self.longest.max(silent);
        self.longest_ever = self.longest_ever.max(silent);
    }

    /// Goes through the hours of the silence up to a time, by what was known when it began; says where it became too
    /// long.
    fn advance(&mut self, now: u64, network: &mut Network) -> Option<Silence> {
        // Who was never told by then is not known well enough, and is not looked at until it is heard again.
        self.is_told |= now / HOUR > self.hour.saturating_add(HOURS_MAX);
        if self.is_told {
            return None;
        }
        loop {
            let silence = self.too_long(network).filter(|silence| silence.at <= now);
            if let Some(silence) = silence.filter(|silence| silence.at / HOUR <= self.looked) {
                (self.is_told, self.times_told) = (true, self.times_told.saturating_add(1));
                return Some(silence);
            }
            if now / HOUR <= self.looked {
                return None;
            }
            self.looked += 1;
        }
    }

    /// When the silence that goes on becomes too long, by what is known of this hour.
    fn too_long(&self, network: &mut Network) -> Option<Silence> {
        let begins = self.looked.saturating_mul(HOUR);
        if begins < self.since.saturating_add(FIRST) {
            return None;
        }
        let slot = network.local(begins).hour_of_week();
        let usual = self.history.usual(&SILENCES, slot).filter(|usual| usual.when == When::OfWeek);
        let (limit, by_week) = match usual {
            Some(usual) => (usual.limit.saturating_mul(1_000), true),
            None => (self.longest_ever.saturating_mul(2).max(SILENT_MIN), false),
        };
        Some(Silence { at: self.heard.saturating_add(limit).saturating_add(1).max(begins), limit, by_week })
    }

    /// Before when nothing can change.
    fn next(&self, network: &mut Network) -> u64 {
        if self.is_told {
            return u64::MAX;
        }
        let end = self.looked.saturating_add(1).saturating_mul(HOUR);
        self.too_long(network).map_or(end, |silence| silence.at.min(end))
    }

    fn pause(&mut self, from: u64, to: u64) {
        let off = to.saturating_sub(from);
        self.since = self.since.saturating_add(off);
        self.heard = self.heard.saturating_add(off);
        (self.hour, self.looked, self.longest) = (to / HOUR, to / HOUR, 0);
    }

    fn told(&self, silence: Silence, others: u64) -> Told {
        let name = self.key.name();
        let silent = Span(silence.at.saturating_sub(self.heard) as f64 / 1e6);
        let limit = Span(silence.limit as f64 / 1e6);
        let numbers = [("silent_seconds", silent.0), ("limit_seconds", limit.0)];
        let (how, how_japanese) = if silence.by_week {
            ("at this time of the week", "この曜日・時間帯としては")
        } else {
            ("by what was seen of it so far", "これまでの実績からは")
        };
        let mut grounds = Grounds::default();
        grounds.add(
            2.5,
            "silent",
            &numbers,
            format!("{name} has told of nothing for {silent}; {how} up to {limit} would not have been told"),
            format!(
                "{name}からの記録が{}途絶（{how_japanese}{}までが想定内）",
                silent.in_japanese(),
                limit.in_japanese()
            ),
        );
        if others > self.heard {
            let english = "others were heard meanwhile".to_owned();
            grounds.add(1.0, "others_heard", &[], english, "その間もほかの記録は届いている".to_owned());
        } else {
            let english = "nothing else was heard meanwhile either: it may be a holiday".to_owned();
            grounds.add(-1.0, "all_silent", &[], english, "その間ほかの記録もない（休業日の可能性）".to_owned());
        }
        if self.times_told > 1 {
            let times = f64::from(self.times_told);
            let english = format!("it is the {}. time that it fell silent", self.times_told);
            let japanese = format!("途絶は{}回目", self.times_told);
            grounds.add(0.0, "changed", &[("times", times)], english, japanese);
        }
        Told {
            kind: FindingKind::SilentSource,
            client: None,
            target: name,
            port: 0,
            first: self.heard,
            last: silence.at,
            attempts: 0,
            refused: 0,
            records: [self.line, self.line],
            beat: None,
            rarity: None,
            grounds,
        }
    }
}
