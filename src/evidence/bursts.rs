use std::time::Duration;

use crate::facts::Moment;

use super::observed::Burst;

/// The bursts of one tunnel that no record has told of yet. Judged by moments and by what the tunnel has
/// carried in all; what moves between two bursts costs nothing here.
///
/// At most [`Bursts::PER_RECORD_MAX`] are held. What would be one more is none: its bytes are those of the one
/// before, and the next that is kept tells of its distance from that one.
#[derive(Debug)]
pub struct Bursts {
    /// When the last burst began that was kept; before the first, when the tunnel stood.
    begun: Moment,
    /// What the tunnel had carried by then, up and down.
    carried: (u64, u64),
    /// The last burst, whose bytes are not all known yet: how long after the one before it began.
    growing: Option<u32>,
    /// Those before it.
    whole: Vec<Burst>,
}

impl Bursts {
    /// So long a client must have written nothing for its next write to begin a burst.
    pub const SILENCE_MIN: Duration = Duration::from_millis(500);
    /// Bursts that are kept begin so far from each other.
    pub const APART_MIN: Duration = Duration::from_secs(1);
    /// So many one record tells of.
    pub const PER_RECORD_MAX: usize = 128;

    /// Of a tunnel that stands since then.
    pub fn since(stood: Moment) -> Self {
        Self { begun: stood, carried: (0, 0), growing: None, whole: Vec::new() }
    }

    /// Whether a client that was last heard then, and is heard now, begins a burst.
    pub fn begins(heard: Moment, now: Moment) -> bool {
        now - heard >= Self::SILENCE_MIN
    }

    /// A burst begins, before which the tunnel has carried so many bytes up and down, all told.
    pub fn begin(&mut self, now: Moment, carried: (u64, u64)) {
        if let Some(after_cs) = self.growing {
            if now - self.begun < Self::APART_MIN || self.whole.len() + 1 >= Self::PER_RECORD_MAX {
                return;
            }
            self.whole.push(self.grown(after_cs, carried));
        }
        // Of moments in hundredths, so that what is cut off does not add up over many bursts.
        let after_cs = hundredths(now).saturating_sub(hundredths(self.begun));
        *self = Self {
            begun: now,
            carried,
            growing: Some(u32::try_from(after_cs).unwrap_or(u32::MAX)),
            whole: std::mem::take(&mut self.whole),
        };
    }

    /// Those whose bytes are all known, for a record; they are in no other.
    pub fn take(&mut self) -> Vec<Burst> {
        std::mem::take(&mut self.whole)
    }

    /// All that are left, when the tunnel has ended and carried so much.
    pub fn end(mut self, carried: (u64, u64)) -> Vec<Burst> {
        let last = self.growing.map(|after_cs| self.grown(after_cs, carried));
        self.whole.extend(last);
        self.whole
    }

    fn grown(&self, after_cs: u32, carried: (u64, u64)) -> Burst {
        let since = |now: u64, then: u64| u32::try_from(now.saturating_sub(then)).unwrap_or(u32::MAX);
        Burst { after_cs, up: since(carried.0, self.carried.0), down: since(carried.1, self.carried.1) }
    }
}

fn hundredths(moment: Moment) -> u64 {
    moment.0 / 10_000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tunnel that stands since a moment that is no whole hundredth, and a client whose writes are told of
    /// by milliseconds from then on.
    struct Fed {
        stood: Moment,
        heard: Moment,
        carried: (u64, u64),
        bursts: Bursts,
    }

    impl Fed {
        fn new() -> Self {
            let stood = Moment(7_654_321);
            Self { stood, heard: stood, carried: (0, 0), bursts: Bursts::since(stood) }
        }

        fn wrote(&mut self, at_ms: u64, bytes: u64) {
            let now = self.stood + Duration::from_millis(at_ms);
            if Bursts::begins(self.heard, now) {
                self.bursts.begin(now, self.carried);
            }
            self.heard = now;
            self.carried.0 += bytes;
        }

        fn answered(&mut self, bytes: u64) {
            self.carried.1 += bytes;
        }

        fn taken(&mut self) -> Vec<(u32, u32, u32)> {
            self.bursts.take().into_iter().map(Into::into).collect()
        }

        fn ended(self) -> Vec<(u32, u32, u32)> {
            self.bursts.end(self.carried).into_iter().map(Into::into).collect()
        }
    }

    #[test]
    fn what_moves_until_the_next_burst_is_of_the_one_before_and_what_came_before_the_first_of_none() {
        let mut fed = Fed::new();
        fed.wrote(20, 500);
        fed.answered(3000);
        fed.wrote(499, 90);
        fed.wrote(2000, 10);
        fed.answered(20);
        fed.wrote(2400, 1);
        fed.answered(2);
        fed.wrote(5000, 7);
        fed.answered(8);
        assert_eq!(fed.ended(), [(200, 11, 22), (300, 7, 8)]);
    }

    #[test]
    fn half_a_second_of_silence_makes_a_burst_and_a_little_less_does_not() {
        for (silence, bursts) in [(499, vec![]), (500, vec![(50, 1, 0)])] {
            let mut fed = Fed::new();
            fed.wrote(silence, 1);
            assert_eq!(fed.ended(), bursts);
        }
    }

    #[test]
    fn a_client_that_never_pauses_makes_no_burst_however_long_it_writes() {
        let mut fed = Fed::new();
        (0..1000).for_each(|n| fed.wrote(n * 400, 1));
        assert!(fed.ended().is_empty());
    }

    #[test]
    fn of_two_within_a_second_the_first_is_kept_with_the_bytes_of_both() {
        let mut fed = Fed::new();
        fed.wrote(600, 1);
        fed.wrote(1599, 2);
        fed.wrote(2199, 4);
        assert_eq!(fed.ended(), [(60, 3, 0), (160, 4, 0)], "the second tells of its distance from what was kept");
    }

    #[test]
    fn what_a_record_has_told_of_is_not_repeated_and_what_still_grows_waits_for_the_next() {
        let mut fed = Fed::new();
        assert!(fed.taken().is_empty());
        fed.wrote(10_000, 1);
        assert!(fed.taken().is_empty());
        fed.answered(5);
        fed.wrote(20_000, 2);
        assert_eq!(fed.taken(), [(1000, 1, 5)]);
        assert!(fed.taken().is_empty());
        fed.wrote(20_100, 2);
        fed.wrote(90_000, 9);
        assert_eq!(fed.taken(), [(1000, 4, 0)]);
        assert_eq!(fed.ended(), [(7000, 9, 0)]);
    }

    #[test]
    fn no_record_tells_of_more_than_its_bound_and_no_byte_or_gap_is_lost_there() {
        let mut fed = Fed::new();
        let writes = 2 * Bursts::PER_RECORD_MAX as u64;
        (1..=writes).for_each(|n| fed.wrote(n * 1000, 1));
        let bound = Bursts::PER_RECORD_MAX;
        let told = fed.taken();
        assert_eq!(told, vec![(100, 1, 0); bound - 1]);
        assert!(fed.bursts.whole.capacity() == 0, "what was handed out takes no room");
        let begun = 1000 * (writes + 3);
        fed.wrote(begun, 1);
        let left = fed.ended();
        let merged = writes as u32 - (bound as u32 - 1);
        let gap = (begun / 10) as u32 - 100 * bound as u32;
        assert_eq!(left, [(100, merged, 0), (gap, 1, 0)]);

        let mut fed = Fed::new();
        (1..=writes).for_each(|n| fed.wrote(n * 1000, 1));
        assert_eq!(fed.ended().len(), bound, "an end tells of what grows as well");
    }

    #[test]
    fn gaps_add_up_to_when_each_burst_began_to_a_hundredth_however_many_there_are() {
        let mut fed = Fed::new();
        let (mut at, mut sum) = (0, 0);
        for n in 0..10_000 {
            at += 1000 + n % 10;
            fed.wrote(at, 1);
            sum += fed.taken().iter().map(|burst| u64::from(burst.0)).sum::<u64>();
        }
        sum += fed.ended().iter().map(|burst| u64::from(burst.0)).sum::<u64>();
        assert!((at / 10).abs_diff(sum) <= 1, "{sum} for {at} ms");
    }

    #[test]
    fn what_32_bits_do_not_hold_is_the_most_that_they_do() {
        let mut fed = Fed::new();
        fed.wrote(u64::from(u32::MAX) * 10 + 1000, u64::MAX / 2);
        fed.answered(u64::from(u32::MAX) + 1);
        assert_eq!(fed.ended(), [(u32::MAX, u32::MAX, u32::MAX)]);
    }

    #[test]
    fn a_moment_before_the_last_is_no_burst_and_no_harm() {
        let mut fed = Fed::new();
        fed.wrote(5000, 1);
        fed.bursts.begin(Moment(0), fed.carried);
        assert_eq!(fed.ended(), [(500, 1, 0)]);
    }
}
