//! How often a client or a user may be wrong: tried before anything is hashed.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::facts::Moment;

/// So many at once, and one more after each pause.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    pub at_once: u32,
    pub pause: Duration,
}

/// Between two sweeps of a map that is full.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Counts by key (a generic cell rate algorithm), bounded: with `keys_max` keys that are not whole again, no
/// further key is given anything.
pub struct Throttle<K> {
    allowance: Allowance,
    keys_max: usize,
    /// When each is whole again.
    whole_at: HashMap<K, Moment>,
    swept: Option<Moment>,
}

impl<K: Hash + Eq + Copy> Throttle<K> {
    pub fn new(allowance: Allowance, keys_max: usize) -> Self {
        Self { allowance, keys_max, whole_at: HashMap::new(), swept: None }
    }

    /// Takes one.
    ///
    /// # Errors
    /// There is none to take; after this time there is, unless others take it.
    pub fn take(&mut self, key: &K, now: Moment) -> Result<(), Duration> {
        let pause = self.allowance.pause;
        if let Some(whole_at) = self.whole_at.get_mut(key) {
            let until = (*whole_at).max(now);
            // What is taken now is whole after all that was taken before.
            let wait = (until + pause) - (now + pause * self.allowance.at_once);
            if !wait.is_zero() {
                return Err(wait);
            }
            *whole_at = until + pause;
            return Ok(());
        }
        if self.whole_at.len() >= self.keys_max {
            self.sweep(now);
        }
        if self.whole_at.len() >= self.keys_max {
            return Err(pause);
        }
        self.whole_at.insert(*key, now + pause);
        Ok(())
    }

    /// Gives one back that was taken.
    pub fn give_back(&mut self, key: &K) {
        if let Some(whole_at) = self.whole_at.get_mut(key) {
            let pause = u64::try_from(self.allowance.pause.as_micros()).unwrap_or(u64::MAX);
            *whole_at = Moment(whole_at.0.saturating_sub(pause));
        }
    }

    /// Whether there is one to take, without taking it.
    pub(super) fn has_one(&self, key: &K, now: Moment) -> bool {
        let pause = self.allowance.pause;
        self.whole_at.get(key).is_none_or(|whole_at| *whole_at + pause <= now + pause * self.allowance.at_once)
    }

    fn sweep(&mut self, now: Moment) {
        if self.swept.is_some_and(|swept| now - swept < SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now);
        self.whole_at.retain(|_, whole_at| *whole_at > now);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.whole_at.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn throttle(keys_max: usize) -> Throttle<u32> {
        Throttle::new(Allowance { at_once: 3, pause: Duration::from_secs(5) }, keys_max)
    }

    #[test]
    fn so_many_at_once_then_one_a_pause_and_the_wait_is_told() {
        let mut throttle = throttle(9);
        let at = |seconds: u64| Moment(100 * SECOND + seconds * SECOND);
        for _ in 0..3 {
            assert!(throttle.has_one(&1, at(0)));
            assert_eq!(throttle.take(&1, at(0)), Ok(()));
        }
        assert!(!throttle.has_one(&1, at(0)));
        assert_eq!(throttle.take(&1, at(0)), Err(Duration::from_secs(5)));
        assert_eq!(throttle.take(&1, at(4)), Err(Duration::from_secs(1)));
        assert_eq!(throttle.take(&2, at(4)), Ok(()), "another key counts for itself");
        assert_eq!(throttle.take(&1, at(5)), Ok(()));
        assert_eq!(throttle.take(&1, at(5)), Err(Duration::from_secs(5)));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again_and_no_more_than_that() {
        let mut throttle = throttle(9);
        let now = Moment(100 * SECOND);
        for _ in 0..50 {
            assert_eq!(throttle.take(&1, now), Ok(()));
            throttle.give_back(&1);
        }
        assert_eq!((0..9).filter(|_| throttle.take(&1, now).is_ok()).count(), 3);
    }

    #[test]
    fn at_the_bound_a_further_key_gets_nothing_until_another_is_whole_again() {
        let mut throttle = throttle(2);
        let at = |seconds: u64| Moment(seconds * SECOND);
        assert!(throttle.take(&1, at(0)).is_ok());
        assert!(throttle.take(&2, at(3)).is_ok());
        assert_eq!(throttle.take(&3, at(4)), Err(Duration::from_secs(5)));
        assert!(throttle.take(&2, at(4)).is_ok(), "a key that is counted goes on");
        assert_eq!(throttle.take(&3, at(5)), Ok(()), "the first is whole again");
        assert_eq!(throttle.len(), 2);
    }
}
