use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::facts::{Breakglass, Timestamp};

/// The breakglass that a person has put in force, if any. It ends with the process.
#[derive(Debug, Default)]
pub struct Glass {
    broken: Mutex<Option<Broken>>,
    /// Exchanges that passed on the strength of one since the start.
    pub passed: AtomicU64,
}

#[derive(Debug, Clone)]
struct Broken {
    breakglass: Arc<Breakglass>,
    at: Timestamp,
    since: Instant,
}

impl Broken {
    /// The present, by whichever clock has gone further: the wall's can be set back, and the other one
    /// stands still while a machine sleeps.
    fn now(&self, elapsed: Duration, wall: Timestamp) -> Timestamp {
        let elapsed = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        Timestamp(self.at.0.saturating_add(elapsed)).max(wall)
    }

    fn holds(&self) -> (bool, Timestamp) {
        let now = self.now(self.since.elapsed(), clock::now());
        (self.breakglass.holds(now), now)
    }
}

impl Glass {
    fn broken(&self) -> MutexGuard<'_, Option<Broken>> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Breaks it for so long from now, or anew.
    pub fn break_for(&self, time: Duration, reason: &str) {
        let at = clock::now();
        let until = Timestamp(at.0.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)));
        let breakglass = Arc::new(Breakglass { until, reason: reason.into() });
        *self.broken() = Some(Broken { breakglass, at, since: Instant::now() });
    }

    /// Ends it before its time; false if none was in force.
    pub fn mend(&self) -> bool {
        self.broken().take().is_some()
    }

    /// Takes out one that is over, and says whether there was one. Called about once a second.
    pub fn expire(&self) -> bool {
        let mut broken = self.broken();
        let over = broken.as_ref().is_some_and(|broken| !broken.holds().0);
        if over {
            *broken = None;
        }
        over
    }

    /// The one that holds, and the present by which it is judged.
    pub fn holding(&self) -> (Option<Arc<Breakglass>>, Timestamp) {
        match &*self.broken() {
            Some(broken) => {
                let (holds, now) = broken.holds();
                (holds.then(|| broken.breakglass.clone()), now)
            }
            None => (None, clock::now()),
        }
    }

    pub(super) fn count_passage(&self) {
        self.passed.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_over_holds_no_more_and_is_taken_out_once() {
        let glass = Glass::default();
        assert!(!glass.expire() && glass.holding().0.is_none());
        glass.break_for(Duration::from_secs(600), "fire");
        assert!(!glass.expire());
        assert_eq!(glass.holding().0.unwrap().reason.as_ref(), "fire");
        glass.break_for(Duration::ZERO, "over at once");
        assert!(glass.holding().0.is_none(), "before anybody has taken it out");
        assert!(glass.expire() && !glass.expire());
        glass.break_for(Duration::from_secs(600), "fire");
        assert!(glass.mend() && !glass.mend() && glass.holding().0.is_none());
    }

    #[test]
    fn neither_clock_makes_it_last_longer() {
        let at = Timestamp(1_000_000_000);
        let breakglass = Arc::new(Breakglass { until: Timestamp(at.0 + 60_000_000), reason: "r".into() });
        let broken = Broken { breakglass, at, since: Instant::now() };
        let holds = |elapsed: u64, wall: u64| {
            broken.breakglass.holds(broken.now(Duration::from_secs(elapsed), Timestamp(at.0 + wall * 1_000_000)))
        };
        assert!(holds(59, 59));
        assert!(!holds(60, 0), "the wall's clock was set back");
        assert!(!holds(5, 60), "the machine slept");
    }
}
