use serde::{Deserialize, Serialize};

/// What came in the last hour, by slots of five minutes: 12 times the size of a slot, and 8 bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Hour<T> {
    /// The number of the newest slot, counted from 1970.
    newest: u64,
    slots: [T; SLOTS],
}

/// Of an hour.
pub(super) const SLOTS: usize = 12;
/// The newest slots that make ten minutes, and no more than that.
pub(super) const TEN_MINUTES: usize = 2;
/// In microseconds.
const SLOT: u64 = 300_000_000;

impl<T: Copy + Default> Hour<T> {
    pub(super) fn new(time: u64) -> Self {
        Self { newest: time / SLOT, slots: [T::default(); SLOTS] }
    }

    /// The slot of a time in microseconds. What is late counts as new; what is later than an hour is of a clock that was set
    /// back, and nothing before it is of this hour any more.
    pub(super) fn at(&mut self, time: u64) -> &mut T {
        let slot = time / SLOT;
        let all = SLOTS as u64;
        if slot > self.newest {
            for passed in 1..=(slot - self.newest).min(all) {
                self.slots[((self.newest + passed) % all) as usize] = T::default();
            }
            self.newest = slot;
        } else if slot + all <= self.newest {
            *self = Self::new(time);
        }
        &mut self.slots[(self.newest % all) as usize]
    }

    /// The newest so many slots, the newest first.
    pub(super) fn last(&self, slots: usize) -> impl Iterator<Item = T> {
        let all = SLOTS as u64;
        (0..slots.min(SLOTS) as u64).map(move |back| self.slots[((self.newest + all - back) % all) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of what was counted at these minutes, how many are left of ten minutes and of an hour.
    fn left(minutes: &[u64]) -> (u32, u32) {
        let mut hour = Hour::<u32>::new(minutes[0] * 60_000_000);
        minutes.iter().for_each(|minute| *hour.at(minute * 60_000_000) += 1);
        (hour.last(TEN_MINUTES).sum(), hour.last(SLOTS).sum())
    }

    #[test]
    fn an_hour_forgets_what_is_older_also_when_it_jumps_or_the_clock_is_set_back() {
        assert_eq!(left(&[100, 101, 104, 109]), (4, 4));
        assert_eq!(left(&[100, 110]), (1, 2));
        assert_eq!(left(&[100, 155, 160]), (2, 2));
        assert_eq!(left(&[100, 1_000_000]), (1, 1));
        assert_eq!(left(&[200, 199]), (2, 2), "late, and counted with what is new");
        assert_eq!(left(&[200, 100]), (1, 1), "set back");
        let mut hour = Hour::<u8>::new(u64::MAX);
        *hour.at(0) += 1;
        *hour.at(u64::MAX) += 1;
        assert_eq!(hour.last(99).map(u32::from).sum::<u32>(), 1);
    }
}
