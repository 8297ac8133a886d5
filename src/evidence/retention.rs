//! How long evidence is kept: which days of the journal may go, and what is said of that.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::facts::Timestamp;

use super::noted::kind;
use super::text::{format_time, read_time};

/// What an administrator wants kept. Where nothing is said, everything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// So many days (UTC), today among them.
    pub days: Option<u32>,
    /// So many bytes on the disk at most, of the journal and its index together.
    pub bytes: Option<u64>,
}

/// A segment of the journal, as retention sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptSegment {
    /// The UTC day on which it was begun, by its name: days since 1970-01-01.
    pub day: i64,
    pub first_seq: u64,
    pub last_seq: u64,
    /// What it takes of the disk.
    pub bytes: u64,
    /// It is sealed, and a checkpoint vouches for it. Nothing else is dropped.
    pub is_sealed: bool,
}

/// What is to be dropped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The days, oldest first.
    pub days: Vec<i64>,
    /// Places of the segments in the list that was judged.
    pub segments: Vec<usize>,
    pub bytes: u64,
    /// Days that would go and are kept, since a client under a legal hold appears in them.
    pub held: u64,
}

/// What comes of judging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// It has to be known first whether a client under a legal hold appears on this day.
    Ask(i64),
    Plan(Plan),
}

/// Whether whole days of the journal are about to be removed, or have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetentionAction {
    /// They are removed once a checkpoint vouches for this record.
    Announced,
    Dropped,
    /// What was announced stays, but for what had gone already.
    Withdrawn,
}

/// Days of the journal go, as the config has it. As a record it is of kind `retention`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    pub action: RetentionAction,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_gib: Option<u32>,
    /// What goes: segments, and their bytes on the disk.
    pub segments: u64,
    pub bytes: u64,
    /// Days that would go too, and are under a legal hold.
    pub held: u64,
    /// All days (UTC) that have gone so far or go now, as first and last of each stretch.
    pub days: Vec<(String, String)>,
    /// The same as numbers of records: these are not missed by `verify`.
    pub records: Vec<(u64, u64)>,
}

/// Stretches that one record names. With more holes than that nothing more is dropped.
pub const STRETCHES_MAX: usize = 1000;
/// A day counts as today only if the journal has another one so shortly before it: else the clock may be wrong.
const LEAP_DAYS: i64 = 7;

/// The day up to which time has certainly come: the newest of the journal's days that has another one within a week
/// before it, and never later than the clock says. A clock that is years ahead drops nothing for a day, and one that was
/// set back drops nothing at all.
fn today(segments: &[KeptSegment], clock: i64) -> i64 {
    let days: BTreeSet<i64> = segments.iter().map(|segment| segment.day).collect();
    let before = days.iter().zip(days.iter().skip(1));
    let newest = before.rev().find(|(before, day)| *day - *before <= LEAP_DAYS).map(|(_, day)| *day);
    newest.or(days.first().copied()).unwrap_or(clock).min(clock)
}

/// Judges which days go. `segments` are all that are there, in the order of their records; `clock` is the day by the clock;
/// `index_bytes` what the index takes, which shrinks with the journal; `held` what is known of days under a legal hold.
///
/// A day goes whole: only when all its segments are sealed, it is neither today nor the day that is written, and by age
/// only when all that was written before it is as old. Behind a day that stays, the first segment stays too: the last
/// records of a day may have come into it.
pub fn judge(segments: &[KeptSegment], keep: Keep, clock: i64, index_bytes: u64, held: &BTreeMap<i64, bool>) -> Judged {
    let today = today(segments, clock);
    let days = days_of(segments, today);
    let written = segments.last().map(|segment| segment.day);
    let all: u64 = segments.iter().map(|segment| segment.bytes).sum();
    let share = index_bytes as f64 / all.max(1) as f64;
    let mut left = all.saturating_add(index_bytes);
    let mut plan = Plan::default();
    for day in days {
        let is_over = keep.bytes.is_some_and(|bytes| left > bytes);
        let is_old = keep.days.is_some_and(|kept| day.until <= today.saturating_sub(i64::from(kept)));
        if !(is_over || is_old) || !day.is_sealed || Some(day.day) == written || day.until >= today {
            continue;
        }
        match held.get(&day.day) {
            None => return Judged::Ask(day.day),
            Some(true) => plan.held += 1,
            Some(false) => {
                plan.days.push(day.day);
                left = left.saturating_sub(day.bytes + (day.bytes as f64 * share) as u64);
            }
        }
    }
    let goes: BTreeSet<i64> = plan.days.iter().copied().collect();
    let mut before: Option<&KeptSegment> = None;
    for (place, segment) in segments.iter().enumerate() {
        let follows_kept = before.is_some_and(|before| {
            !goes.contains(&before.day) && before.day != segment.day && before.last_seq + 1 == segment.first_seq
        });
        if goes.contains(&segment.day) && !follows_kept {
            plan.segments.push(place);
            plan.bytes += segment.bytes;
        }
        before = Some(segment);
    }
    let touched: BTreeSet<i64> =
        plan.segments.iter().filter_map(|place| segments.get(*place)).map(|segment| segment.day).collect();
    plan.days.retain(|day| touched.contains(day));
    Judged::Plan(plan)
}

struct Day {
    day: i64,
    /// Up to when its records go, at the latest: later than `day` where the clock was ahead before.
    until: i64,
    bytes: u64,
    is_sealed: bool,
}

/// The days of segments, in the order in which they ended.
fn days_of(segments: &[KeptSegment], today: i64) -> Vec<Day> {
    // A day that has not come yet says nothing: it is taken for the one behind it.
    let mut next = today;
    let mut certain: Vec<i64> = segments
        .iter()
        .rev()
        .map(|segment| {
            if segment.day <= today {
                next = segment.day;
            }
            next
        })
        .collect();
    certain.reverse();
    let mut days: Vec<Day> = Vec::new();
    let mut until = i64::MIN;
    for (segment, certain) in segments.iter().zip(certain) {
        // A clock that was set back makes nothing old that was written after what is not.
        until = until.max(certain);
        let known = days.iter().position(|day| day.day == segment.day);
        let mut day = match known {
            Some(place) => days.remove(place),
            None => Day { day: segment.day, until, bytes: 0, is_sealed: true },
        };
        day.until = until;
        day.bytes += segment.bytes;
        day.is_sealed &= segment.is_sealed;
        days.push(day);
    }
    days
}

/// Stretches in order, of which none touches the next. One that ends before it begins is none.
pub fn joined<N: Copy + Ord + Into<i128>>(stretches: impl IntoIterator<Item = (N, N)>) -> Vec<(N, N)> {
    let mut all: Vec<_> = stretches.into_iter().filter(|(first, last)| first <= last).collect();
    all.sort_unstable();
    let mut joined: Vec<(N, N)> = Vec::new();
    for (first, last) in all {
        match joined.last_mut() {
            Some((_, end)) if first.into() <= (*end).into() + 1 => *end = last.max(*end),
            Some(_) | None => joined.push((first, last)),
        }
    }
    joined
}

/// The first record of a stretch that is in none of others, which are [`joined`].
pub fn first_outside((first, last): (u64, u64), of: &[(u64, u64)]) -> Option<u64> {
    let place = of.partition_point(|(begin, _)| *begin <= first);
    let covered = place.checked_sub(1).and_then(|place| of.get(place)).map_or(first, |(_, end)| end.saturating_add(1));
    let outside = first.max(covered);
    (outside <= last).then_some(outside)
}

/// What of a stretch is in none of others, which are [`joined`].
pub fn outside((first, last): (u64, u64), of: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let (mut left, mut begin) = (Vec::new(), Some(first));
    for (from, to) in of.iter().filter(|(from, to)| *to >= first && *from <= last) {
        let Some(at) = begin else { break };
        if *from > at {
            left.push((at, from - 1));
        }
        begin = to.checked_add(1);
    }
    left.extend(begin.filter(|begin| *begin <= last).map(|begin| (begin, last)));
    left
}

/// A day as it is written, such as `2026-11-27`.
pub fn day_text(day: i64) -> String {
    let begins = Timestamp(day.max(0).unsigned_abs().saturating_mul(DAY_US));
    format_time(begins).get(..10).unwrap_or_default().to_owned()
}

/// The day that is written so.
pub fn read_day(text: &str) -> Option<i64> {
    let begins = read_time(&format!("{text}T00:00:00Z"))?;
    i64::try_from(begins.0 / DAY_US).ok()
}

const DAY_US: u64 = 86_400_000_000;

impl Retention {
    /// The days that it says have gone.
    pub fn dropped_days(&self) -> Vec<(i64, i64)> {
        let read = |(first, last): &(String, String)| Some((read_day(first)?, read_day(last)?));
        joined(self.days.iter().filter_map(read))
    }
}

/// Reads a line of the journal where it is of kind `retention`; of any other kind only that is looked at.
pub fn read_retention(line: &[u8]) -> Option<Retention> {
    (kind(line)? == b"retention").then(|| serde_json::from_slice(line).ok()).flatten()
}

#[cfg(test)]
mod tests;
