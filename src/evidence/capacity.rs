//! How long the disk still takes records: judged from what the journal has taken of it so far.

use std::collections::VecDeque;

use crate::facts::Timestamp;

/// What the journal has taken of the disk in the last week, segment by segment.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    /// When each segment was begun and how long it is, oldest first.
    segments: VecDeque<(Timestamp, u64)>,
}

/// How long the disk lasts, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    pub free_bytes: u64,
    /// What the journal takes in a day; absent before it has taken anything.
    pub bytes_per_day: Option<u64>,
}

/// What the days that are left call for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Capacity {
    #[default]
    Ample,
    /// A week or less is left.
    Low,
    /// Two days or less are left.
    Critical,
}

const SECOND: u64 = 1_000_000;
const HOUR: u64 = 3600 * SECOND;
const DAY: u64 = 24 * HOUR;
/// Segments remembered; beyond it the oldest two count as one.
const SEGMENTS_MAX: usize = 4096;
/// Days left at which a person is told, and told again.
const LOW_DAYS: f64 = 7.0;
const CRITICAL_DAYS: f64 = 2.0;
/// A level once reached is left only this many times above its border, so that it does not flap.
const EASED: f64 = 1.1;

impl Usage {
    /// A segment of so many bytes that was begun then; segments come in the order of their beginning.
    pub fn begin(&mut self, begun: Timestamp, bytes: u64) {
        if self.segments.len() >= SEGMENTS_MAX
            && let Some((_, oldest)) = self.segments.pop_front()
            && let Some((_, next)) = self.segments.front_mut()
        {
            *next += oldest;
        }
        while self.segments.front().is_some_and(|(first, _)| first.0 + 7 * DAY < begun.0) {
            self.segments.pop_front();
        }
        self.segments.push_back((begun, bytes));
    }

    /// The last segment is this long now.
    pub fn grown_to(&mut self, bytes: u64) {
        if let Some((_, last)) = self.segments.back_mut() {
            *last = bytes;
        }
    }

    /// Bytes a day: of the last week or of the last day, whichever is more, and of no less than an hour.
    pub fn bytes_per_day(&self, now: Timestamp) -> Option<u64> {
        let rate = |window: u64| {
            let since = now.0.saturating_sub(window);
            let within = || self.segments.iter().filter(|(begun, _)| begun.0 >= since);
            let span = now.0.saturating_sub(within().next()?.0.0).max(HOUR);
            let bytes: u64 = within().map(|(_, bytes)| bytes).sum();
            u64::try_from(u128::from(bytes) * u128::from(DAY) / u128::from(span)).ok()
        };
        rate(7 * DAY).max(rate(DAY)).filter(|rate| *rate > 0)
    }
}

impl Outlook {
    /// Days until no record can be written, at this pace.
    pub fn days_left(&self) -> Option<f64> {
        self.bytes_per_day.map(|per_day| self.free_bytes as f64 / per_day.max(1) as f64)
    }

    /// What that calls for, given what it called for before.
    pub fn capacity(&self, before: Capacity) -> Capacity {
        let Some(days) = self.days_left() else { return Capacity::Ample };
        let within = |border: f64, level: Capacity| {
            let border = if before >= level { border * EASED } else { border };
            days <= border
        };
        if within(CRITICAL_DAYS, Capacity::Critical) {
            Capacity::Critical
        } else if within(LOW_DAYS, Capacity::Low) {
            Capacity::Low
        } else {
            Capacity::Ample
        }
    }
}

impl Capacity {
    /// The word used in records and by `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Capacity::Ample => "ample",
            Capacity::Low => "low",
            Capacity::Critical => "critical",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn usage(segments: &[(u64, u64)]) -> Usage {
        let mut usage = Usage::default();
        for (begun, bytes) in segments {
            usage.begin(Timestamp(*begun), *bytes);
        }
        usage
    }

    #[test]
    fn the_pace_is_that_of_the_last_week_or_of_the_last_day_whichever_is_more() {
        let now = Timestamp(100 * DAY);
        let steady: Vec<_> = (0..7 * 24).map(|hour| (93 * DAY + hour * HOUR, GIB)).collect();
        assert_eq!(usage(&steady).bytes_per_day(now), Some(24 * GIB));
        // A quiet week with a busy last day: what comes is like the last day.
        let rising: Vec<_> =
            steady.iter().map(|(begun, _)| (*begun, if *begun >= 99 * DAY { GIB } else { 0 })).collect();
        assert_eq!(usage(&rising).bytes_per_day(now), Some(24 * GIB));
        // A busy week with a quiet last day: the busy days come again.
        let falling: Vec<_> =
            steady.iter().map(|(begun, _)| (*begun, if *begun < 99 * DAY { GIB } else { 0 })).collect();
        assert_eq!(usage(&falling).bytes_per_day(now), Some(24 * GIB * 6 / 7));
    }

    #[test]
    fn a_journal_of_some_minutes_counts_for_an_hour_and_an_empty_one_for_nothing() {
        let now = Timestamp(100 * DAY);
        assert_eq!(usage(&[(now.0 - 60 * SECOND, 1000)]).bytes_per_day(now), Some(24_000));
        assert_eq!(usage(&[]).bytes_per_day(now), None);
        assert_eq!(usage(&[(now.0, 0)]).bytes_per_day(now), None);
        // A clock that was set back does not make the past negative.
        assert_eq!(usage(&[(now.0 + DAY, 1000)]).bytes_per_day(now), Some(24_000));
    }

    #[test]
    fn the_open_segment_counts_as_it_grows_and_the_old_are_forgotten() {
        let mut usage = usage(&[(DAY, 5 * GIB), (90 * DAY, 1)]);
        assert_eq!(usage.segments.len(), 1);
        usage.grown_to(GIB);
        assert_eq!(usage.bytes_per_day(Timestamp(91 * DAY)), Some(GIB));
    }

    #[test]
    fn however_many_segments_there_are_their_bytes_are_counted() {
        let mut usage = Usage::default();
        for n in 0..3 * SEGMENTS_MAX as u64 {
            usage.begin(Timestamp(100 * DAY + n), 2);
        }
        assert_eq!(usage.segments.len(), SEGMENTS_MAX);
        assert_eq!(usage.segments.iter().map(|(_, bytes)| bytes).sum::<u64>(), 6 * SEGMENTS_MAX as u64);
    }

    #[test]
    fn a_person_is_told_at_seven_days_and_at_two_and_not_in_between() {
        let after = |days: f64, before| {
            let outlook = Outlook { free_bytes: (days * 1000.0) as u64, bytes_per_day: Some(1000) };
            outlook.capacity(before)
        };
        use Capacity::{Ample, Critical, Low};
        for (days, before, expected) in [
            (7.1, Ample, Ample),
            (7.0, Ample, Low),
            (2.1, Low, Low),
            (2.0, Low, Critical),
            (0.0, Ample, Critical),
            // It has to get clearly better before it counts as better.
            (2.1, Critical, Critical),
            (2.3, Critical, Low),
            (7.5, Low, Low),
            (7.8, Low, Ample),
            (7.8, Critical, Ample),
        ] {
            assert_eq!(after(days, before), expected, "{days} days after {before:?}");
        }
        assert_eq!(Outlook { free_bytes: 5, bytes_per_day: None }.capacity(Critical), Ample);
    }
}
