use serde::{Deserialize, Serialize};

/// From when to when somebody was listening: what is on record while a gate runs, and its clock. In microseconds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Listening {
    /// By the newest record.
    recorded: u64,
    /// By the clock; 0 where it was not asked.
    ticked: u64,
    /// The last time without a record, from when to when.
    quiet: (u64, u64),
}

/// A clock that says nothing for longer has stood still, with the gate.
const STILL: u64 = 600_000_000;
/// What is off for less is soon made up for.
const QUIET_MIN: u64 = 120_000_000;
/// A gate that starts begins to read its sources within this time after its first record.
const STARTS: u64 = 60_000_000;

impl Listening {
    /// A record of this time was read, which may say that a source of flows is read from now on: then the gate has
    /// just started, where nothing was on record before. Says from when to when it was off.
    pub(super) fn record(&mut self, time: u64, begins: bool) -> Option<(u64, u64)> {
        let last = self.recorded;
        // Who has a clock knows without being told.
        if let Some(off) = self.stood_still(time) {
            return Some(off);
        }
        if last > 0 && time > last.saturating_add(QUIET_MIN) {
            self.quiet = (last, time);
        }
        self.recorded = last.max(time);
        let (from, to) = self.quiet;
        let is_start = begins && to > 0 && time >= to && time <= to.saturating_add(STARTS);
        is_start.then(|| {
            self.quiet = (0, 0);
            (from, to)
        })
    }

    /// The clock says this. Says from when to when it stood still, where nothing was on record either.
    pub(super) fn tick(&mut self, now: u64) -> Option<(u64, u64)> {
        let off = self.stood_still(now);
        self.ticked = self.ticked.max(now);
        off
    }

    fn stood_still(&mut self, now: u64) -> Option<(u64, u64)> {
        let last = self.ticked.max(self.recorded);
        if self.ticked == 0 || now <= last.saturating_add(STILL) {
            return None;
        }
        // A record that says so comes too, and is about the same time.
        (self.recorded, self.quiet) = (now, (0, 0));
        Some((last, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;
    const HOUR: u64 = 3_600 * SECOND;

    #[test]
    fn a_gate_that_starts_was_off_since_its_last_record() {
        let mut listening = Listening::default();
        assert_eq!(listening.record(HOUR, true), None, "nothing is known from before");
        assert_eq!(listening.record(2 * HOUR, false), None);
        assert_eq!(listening.record(5 * HOUR, false), None, "it may have been quiet");
        assert_eq!(listening.record(5 * HOUR + SECOND, true), Some((2 * HOUR, 5 * HOUR)));
        assert_eq!(listening.record(5 * HOUR + 2 * SECOND, true), None, "another source of the same start");
    }

    #[test]
    fn a_source_that_is_read_again_while_the_gate_runs_is_no_start() {
        let mut listening = Listening::default();
        listening.record(HOUR, false);
        listening.record(2 * HOUR, false);
        assert_eq!(listening.record(2 * HOUR + 120 * SECOND, true), None);
    }

    #[test]
    fn a_clock_that_goes_on_listens_and_one_that_stood_still_did_not() {
        let mut listening = Listening::default();
        listening.record(HOUR, false);
        assert_eq!(listening.tick(HOUR + SECOND), None);
        for minute in 0..600 {
            assert_eq!(listening.tick(HOUR + SECOND + minute * 60 * SECOND), None, "nothing is on record for hours");
        }
        assert_eq!(listening.tick(60 * HOUR), Some((HOUR + SECOND + 599 * 60 * SECOND, 60 * HOUR)));
        assert_eq!(listening.record(60 * HOUR + SECOND, true), None, "the same start");
    }

    #[test]
    fn the_first_record_after_a_clock_stood_still_says_so_too() {
        let mut listening = Listening::default();
        listening.record(HOUR, false);
        listening.tick(2 * HOUR);
        assert_eq!(listening.record(60 * HOUR, false), Some((2 * HOUR, 60 * HOUR)), "whatever it is of");
        assert_eq!(listening.tick(60 * HOUR + SECOND), None);
        assert_eq!(listening.record(60 * HOUR + 2 * SECOND, true), None);
    }
}
