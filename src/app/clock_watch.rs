use std::path::Path;

use crate::evidence::{Health, Record, format_time};
use crate::facts::{Moment, Timestamp};
use crate::store::newest_record;

/// The clock counts as set when it is so far from where it would be, in microseconds.
const STEP_US: u64 = 1_000_000;

/// So long it is looked at from the same moment on, in microseconds: steps that are small each add up within that, and a clock
/// that is led slowly, at most by half a second in a thousand, is not seen.
const BASE_US: u64 = 60_000_000;

/// Sees when the clock of the wall was set, by the one that is never set.
#[derive(Debug)]
pub(super) struct ClockWatch {
    base: Option<(Timestamp, Moment)>,
    /// The time of the newest record of a gate that ran before.
    newest: Option<Timestamp>,
}

/// The clock was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// What it showed or would have shown, and what it shows.
    expected: Timestamp,
    now: Timestamp,
}

impl ClockWatch {
    /// Behind the records of this data directory. What of them cannot be read is told by the journal itself.
    pub(super) fn behind(data_dir: &Path) -> Self {
        Self { base: None, newest: newest_record(data_dir).ok().flatten().map(|(_, time)| time) }
    }

    /// To be asked every second or so. Of what was recorded before, time can only have gone on.
    pub(super) fn look(&mut self, now: Timestamp, moment: Moment) -> Option<Step> {
        let before = self.newest.take();
        let (expected, is_first) = match self.base {
            Some((base, since)) => (Timestamp(base.0.saturating_add(moment.0.saturating_sub(since.0))), false),
            None => (before.unwrap_or_default(), true),
        };
        let is_set = now.0.abs_diff(expected.0) > STEP_US && !(is_first && now > expected);
        let is_old = self.base.is_none_or(|(_, since)| moment.0.saturating_sub(since.0) >= BASE_US);
        if is_set || is_old {
            self.base = Some((now, moment));
        }
        is_set.then_some(Step { expected, now })
    }
}

impl Step {
    pub(super) fn record(self) -> Record {
        let level = if self.now < self.expected { "set_back" } else { "set_ahead" };
        Record::Health(Health { subject: "clock", level, detail: self.in_words().as_str().into() })
    }

    pub(super) fn in_words(self) -> String {
        let seconds = self.now.0.abs_diff(self.expected.0) as f64 / 1e6;
        let way = if self.now < self.expected { "back" } else { "ahead" };
        let (expected, now) = (format_time(self.expected), format_time(self.now));
        format!(
            "the clock was set {way} by {seconds:.1} s, from {expected} to {now}: records keep their order by number"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> u64 {
        1_795_568_400_000_000 + (seconds * 1e6) as u64
    }

    #[test]
    fn a_clock_that_is_set_is_seen_and_one_that_drifts_or_is_looked_at_late_is_not() {
        let mut watch = ClockWatch { base: None, newest: None };
        for (wall, moment, expected) in [
            (0.0, 0.0, None),
            (1.0, 1.0, None),
            (61.5, 61.0, None),
            (62.5, 62.9, None),
            (-3600.0, 63.9, Some((true, 3664.4))),
            (-3599.0, 64.9, None),
            (7200.0, 65.9, Some((false, 10_798.0))),
            (7201.0, 66.9, None),
        ] {
            let base = at(10_000.0);
            let now = Timestamp(base.saturating_add_signed((wall * 1e6) as i64));
            let step = watch.look(now, Moment((moment * 1e6) as u64));
            let told = step.map(|step| (step.now < step.expected, step.now.0.abs_diff(step.expected.0) as f64 / 1e6));
            assert_eq!(told, expected, "{wall} at {moment}");
        }
    }

    #[test]
    fn small_steps_add_up_and_a_clock_that_is_led_slowly_is_not_set() {
        for (a_second, expected) in [(-900_000_i64, true), (900_000, true), (500, false), (-500, false)] {
            let mut watch = ClockWatch { base: None, newest: None };
            let looks = (0..3600_u64).map(|second| {
                let now = at(20_000.0) + second * 1_000_000;
                watch.look(Timestamp(now.saturating_add_signed(a_second * second as i64)), Moment(second * 1_000_000))
            });
            assert_eq!(looks.flatten().count() > 0, expected, "{a_second}");
        }
    }

    #[test]
    fn a_clock_behind_the_newest_record_was_set_back_and_one_before_it_was_not_set() {
        for (newest, is_step) in [(-60.0, false), (0.5, false), (2.0, true)] {
            let mut watch = ClockWatch { base: None, newest: Some(Timestamp(at(100.0 + newest))) };
            let step = watch.look(Timestamp(at(100.0)), Moment(5));
            assert_eq!(step.is_some(), is_step, "{newest}");
            assert_eq!(watch.look(Timestamp(at(101.0)), Moment(1_000_005)), None);
        }
        let mut watch = ClockWatch { base: None, newest: Some(Timestamp(at(3_700.0))) };
        let step = watch.look(Timestamp(at(100.0)), Moment(5)).unwrap();
        assert_eq!(
            step.in_words(),
            "the clock was set back by 3600.0 s, from 2026-11-25T02:01:40.000000Z to 2026-11-25T01:01:40.000000Z: \
             records keep their order by number"
        );
        let line = String::from_utf8(step.record().encode(Timestamp(at(100.0)))).unwrap();
        assert!(line.contains(r#""subject":"clock","level":"set_back""#), "{line}");
    }
}
