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
    /// The present, by a clock that nobody can set back to make it last.
    fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.since.elapsed().as_micros()).unwrap_or(u64::MAX);
        Timestamp(self.at.0.saturating_add(elapsed))
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
        let over = broken.as_ref().is_some_and(|broken| !broken.breakglass.holds(broken.now()));
        if over {
            *broken = None;
        }
        over
    }

    /// What is in force, and the present by which it is judged.
    pub fn now(&self) -> (Option<Arc<Breakglass>>, Timestamp) {
        match &*self.broken() {
            Some(broken) => (Some(broken.breakglass.clone()), broken.now()),
            None => (None, clock::now()),
        }
    }

    pub(super) fn count_passage(&self) {
        self.passed.fetch_add(1, Ordering::Relaxed);
    }
}
