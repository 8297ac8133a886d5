use std::collections::BTreeSet;

use crate::evidence::Severity;
use crate::facts::Timestamp;
use crate::parse::{Placed, Section, did_you_mean};

use super::fold::kinds;

/// What a receiver wants to hear, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Less pressing ones are nothing to it.
    pub severity: Severity,
    /// Kinds of findings, and `health`; `None` for all.
    pub kinds: Option<BTreeSet<&'static str>>,
    /// So many in an hour, 1 to 1,000: of what is more pressing, what is less takes no place.
    pub per_hour: u32,
    /// What goes on is told again after so long, 1 to 720 hours.
    pub repeat_hours: u64,
    pub quiet: Option<Quiet>,
    /// Whether `high` is told in quiet hours too.
    pub high_when_quiet: bool,
}

/// Hours of each day in which nothing comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    /// In minutes of the receiver's day: from the one up to the other, over midnight where that is less.
    pub from: u16,
    pub until: u16,
    /// What its clock is ahead of UTC, in minutes.
    pub offset: i16,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            severity: Severity::Medium,
            kinds: None,
            per_hour: 60,
            repeat_hours: 24,
            quiet: None,
            high_when_quiet: true,
        }
    }
}

impl Rules {
    /// Reads the keys of a table `[alerts.NAME]` that are about this.
    pub fn read(section: &mut Section<'_, '_>) -> Self {
        let mut rules = Self::default();
        let severities = [Severity::Low, Severity::Medium, Severity::High].map(|one| (one.as_str(), one));
        rules.severity = section.word("severity", &severities).unwrap_or(rules.severity);
        if let Some(named) = section.strings("kinds") {
            rules.kinds = Some(named.iter().filter_map(|kind| kind_named(section, kind)).collect());
            section.need_some("kinds", "[\"beacon\", \"health\"], or leave it out");
        }
        if let Some(number) = section.integer("per_hour", 1..=1000) {
            rules.per_hour = u32::try_from(number).unwrap_or(rules.per_hour);
        }
        rules.repeat_hours = section.integer("repeat_hours", 1..=720).unwrap_or(rules.repeat_hours);
        let offset = section.string("utc_offset");
        let minutes = offset.as_ref().map_or(Some(0), |text| offset_minutes(&text.value));
        if let (Some(text), None) = (&offset, minutes) {
            let what = format!("`{}` is no offset from UTC", text.value);
            section.problem(&text.place, what, "write hours, such as \"+9\", \"-5\" or \"+5:30\"");
        }
        if let Some(text) = section.string("quiet") {
            rules.quiet = Quiet::parse(&text.value, minutes.unwrap_or_default());
            if rules.quiet.is_none() {
                let what = format!("`{}` are no quiet hours", text.value);
                section.problem(&text.place, what, "write from when to when, such as \"22:00-06:00\"");
            }
        }
        rules.high_when_quiet = section.boolean("high_when_quiet").unwrap_or(rules.high_when_quiet);
        rules
    }

    pub(super) fn wants(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
    }

    pub(super) fn is_quiet(&self, now: Timestamp) -> bool {
        self.quiet.is_some_and(|quiet| quiet.covers(now))
    }

    /// Whether it is held back now.
    pub(super) fn holds(&self, severity: Severity, now: Timestamp) -> bool {
        self.is_quiet(now) && !(self.high_when_quiet && severity == Severity::High)
    }
}

impl Quiet {
    /// Reads `22:00-06:00`; `None` where it is not that, or no time lies between.
    pub fn parse(text: &str, offset: i16) -> Option<Self> {
        let (from, until) = text.split_once('-')?;
        let (from, until) = (minutes(from, 24)?, minutes(until, 24)?);
        (from != until).then_some(Self { from: from % DAY, until: until % DAY, offset }).filter(|q| q.from != q.until)
    }

    pub fn covers(&self, now: Timestamp) -> bool {
        let utc = i64::try_from(now.0 / 60_000_000).unwrap_or_default();
        let Ok(minute) = u16::try_from((utc + i64::from(self.offset)).rem_euclid(i64::from(DAY))) else { return false };
        match self.from < self.until {
            true => (self.from..self.until).contains(&minute),
            false => minute >= self.from || minute < self.until,
        }
    }
}

/// Minutes of a day.
const DAY: u16 = 1440;

/// `HH:MM` in minutes, up to so many hours.
fn minutes(text: &str, hours_max: u16) -> Option<u16> {
    let (hours, rest) = text.trim().split_once(':')?;
    let is_number = |text: &str| matches!(text.len(), 1..=2) && text.bytes().all(|b| b.is_ascii_digit());
    if !is_number(hours) || !is_number(rest) {
        return None;
    }
    let (hours, rest): (u16, u16) = (hours.parse().ok()?, rest.parse().ok()?);
    let all = hours * 60 + rest;
    (rest < 60 && all <= hours_max * 60).then_some(all)
}

/// `+9` or `-5:30` in minutes; at most 14 hours.
fn offset_minutes(text: &str) -> Option<i16> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let whole = if rest.contains(':') { rest.to_owned() } else { format!("{rest}:00") };
    Some(sign * i16::try_from(minutes(&whole, 14)?).ok()?)
}

fn kind_named(section: &Section<'_, '_>, kind: &Placed<String>) -> Option<&'static str> {
    let found = kinds().find(|known| *known == kind.value);
    if found.is_none() {
        let fix = did_you_mean(&kind.value, kinds())
            .unwrap_or_else(|| "write kinds of findings as records have them, or `health`".to_owned());
        section.problem(&kind.place, format!("nothing found is called `{}`", kind.value), fix);
    }
    found
}
