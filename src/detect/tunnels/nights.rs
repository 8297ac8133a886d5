use serde::{Deserialize, Serialize};

use crate::evidence::{Bytes, FindingKind, Ground, Severity};

use super::super::draft::Drafts;
use super::super::event::{Event, Facts};
use super::super::network::Network;
use super::super::pairs::PairKey;
use super::super::table::Table;
use super::told::{self, Case};

/// What clients send to hosts by night, beside what they send by day.
///
/// Told of is a night in which much goes to a rare host, or ten times as much as on a day in the middle. What does so each
/// night, or on this night of each week, is a backup.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Nights {
    pairs: Table<PairKey, Sent>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Sent {
    /// The day that counts now, since 1970; days begin when nights end, so that no night is cut in two.
    day: i64,
    /// The first day.
    first: Option<i64>,
    /// When the first bytes of this night went, in microseconds.
    began: u64,
    night_bytes: u64,
    day_bytes: u64,
    /// What went on the days before, in KiB, the last first.
    days: [u32; DAYS],
    /// Nights with much, as bits, this one lowest.
    nights: u32,
    /// So much must have gone for it to be told of again; 0 for the first time.
    next: u64,
    /// The first record of this night.
    line: u64,
}

const DAYS: usize = 7;
/// So much in one night is much, in bytes.
const BULK: u64 = 100 << 20;
/// And so much makes it a night on which much goes.
const HABIT: u64 = BULK / 4;
/// So many times as much as on a day in the middle, of so many days on which anything went.
const TIMES: u64 = 10;
const DAYS_MIN: usize = 3;
/// Nights of the last week with much, from which on it is known; and the nights one to four weeks ago.
const HABIT_NIGHTS: u32 = 3;
const SAME_NIGHTS: u32 = 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28;
/// For so long a host must be known for nights to be a habit, in seconds.
const KNOWN: u64 = 7 * 24 * 3_600;
/// The hour at which a night has ended.
const MORNING: u8 = 6;
const PAIRS_MAX: usize = 65_536;

impl Nights {
    pub(super) fn new(pairs_max: usize) -> Self {
        Self { pairs: Table::new(pairs_max.min(PAIRS_MAX)) }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.pairs.evicted
    }

    /// So many bytes went to a host until then.
    pub(super) fn sent(
        &mut self,
        time: u64,
        bytes: u64,
        event: &Event,
        facts: &Facts,
        network: &mut Network,
        drafts: &mut Drafts,
    ) {
        if bytes == 0 {
            return;
        }
        let local = network.local(time);
        let pair = self.pairs.entry((event.client, event.host), Sent::default);
        pair.turn(if local.hour < MORNING { local.day.saturating_sub(1) } else { local.day });
        pair.day_bytes = pair.day_bytes.saturating_add(bytes);
        if !local.is_night() {
            return;
        }
        if pair.night_bytes == 0 {
            (pair.began, pair.line) = (event.time, event.line);
        }
        pair.night_bytes = pair.night_bytes.saturating_add(bytes);
        pair.nights |= u32::from(pair.night_bytes >= HABIT);
        if pair.night_bytes < pair.next.max(BULK) {
            return;
        }
        pair.next = pair.night_bytes.saturating_mul(2);
        let rarity = network.rarity(event.host, event.time);
        let few = told::rare(event, network).map(told::of_few);
        let usual = pair.usual();
        let unusual = usual.filter(|usual| pair.night_bytes >= usual.saturating_mul(TIMES));
        let is_known_pair = pair.first.is_some_and(|first| pair.day.saturating_sub(first) >= DAYS as i64);
        if pair.is_habit(rarity.known_seconds) || (few.is_none() && (unusual.is_none() || !is_known_pair)) {
            return;
        }
        let mut main = vec![told::heavier(much(pair.night_bytes), few.unwrap_or_default())];
        main.extend(unusual.map(against));
        let case = Case {
            kind: FindingKind::NightBulk,
            main,
            first: pair.began,
            records: [pair.line, event.line],
            severity_max: Severity::High,
            rarity,
        };
        case.tell(event, facts, network, drafts);
    }
}

impl Sent {
    /// It is another day.
    fn turn(&mut self, day: i64) {
        let Some(first) = self.first else {
            (self.first, self.day) = (Some(day), day);
            return;
        };
        let days = day.saturating_sub(self.day);
        self.day = day;
        if days <= 0 {
            // A clock was set back: what was counted stands.
            self.first = Some(first.min(day));
            return;
        }
        self.days.rotate_right(1);
        self.days[0] = u32::try_from(self.day_bytes >> 10).unwrap_or(u32::MAX);
        for _ in 1..days.min(DAYS as i64 + 1) {
            self.days.rotate_right(1);
            self.days[0] = 0;
        }
        self.nights = u32::try_from(days).ok().and_then(|days| self.nights.checked_shl(days)).unwrap_or_default();
        (self.night_bytes, self.day_bytes, self.next) = (0, 0, 0);
    }

    /// What goes on a day in the middle, of those on which anything went, in bytes.
    fn usual(&self) -> Option<u64> {
        let mut days: Vec<u32> = self.days.iter().copied().filter(|sent| *sent > 0).collect();
        days.sort_unstable();
        if days.len() < DAYS_MIN {
            return None;
        }
        days.get(days.len() / 2).map(|sent| u64::from(*sent) << 10)
    }

    fn is_habit(&self, known_seconds: u64) -> bool {
        let of_week = (self.nights >> 1 & 0x7f).count_ones();
        known_seconds >= KNOWN && (self.nights & SAME_NIGHTS != 0 || of_week >= HABIT_NIGHTS)
    }
}

fn much(bytes: u64) -> (f32, Ground) {
    let weight = 1.5 + ((bytes as f64 / BULK as f64).log10() as f32).clamp(0.0, 2.0);
    let sent = Bytes(bytes as f64);
    let numbers = [("weight", f64::from(weight)), ("night_bytes", sent.0)];
    let english = format!("{sent} went to it in one night");
    let japanese = format!("一晩で{sent}を送信");
    (weight, Ground::new("night", &numbers, english, japanese))
}

fn against(usual: u64) -> (f32, Ground) {
    let weight = 0.7_f32;
    let usual = Bytes(usual as f64);
    let numbers = [("weight", f64::from(weight)), ("usual_bytes", usual.0)];
    let english = format!("on other days {usual} in the middle");
    let japanese = format!("普段の1日の中央値は{usual}");
    (weight, Ground::new("usual", &numbers, english, japanese))
}
