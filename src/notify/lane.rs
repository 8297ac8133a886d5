use crate::alert::Alert;
use crate::facts::Timestamp;

use super::queue::Queue;

/// One receiver's queue, and when the next of it is to be tried: one at a time, the oldest first.
#[derive(Debug)]
pub struct Lane {
    pub queue: Queue,
    /// The one that is under way.
    sending: Option<u64>,
    /// After failures nothing is tried before.
    due: Timestamp,
    /// How long it is waited after the next failure, in microseconds.
    patience: u64,
    failure: Option<Failure>,
}

/// Why nothing is taken, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub since: Timestamp,
    pub why: String,
}

/// What has changed with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    No,
    /// The first that was not taken.
    Fails,
    /// One was taken, as none was since then.
    Takes {
        since: Timestamp,
    },
}

/// After a failure it is tried again after five seconds, then after twice as long, up to ten minutes.
const AGAIN: u64 = 5_000_000;
const AGAIN_MAX: u64 = 600_000_000;

impl Lane {
    pub fn new(queue: Queue) -> Self {
        Self { queue, sending: None, due: Timestamp(0), patience: AGAIN, failure: None }
    }

    /// What is to be sent now; it is under way then.
    pub fn next(&mut self, now: Timestamp) -> Option<Alert> {
        // A clock that was set back holds nothing up for longer than a failure does.
        let is_due = now >= self.due || self.due.0 - now.0 > AGAIN_MAX;
        if self.sending.is_some() || !is_due {
            return None;
        }
        let (number, alert) = self.queue.front()?;
        self.sending = Some(number);
        Some(alert.clone())
    }

    /// What came of it. That a file could not be written is told, and changes nothing here.
    pub fn done(&mut self, outcome: Result<(), String>, now: Timestamp) -> (Change, std::io::Result<()>) {
        let Some(number) = self.sending.take() else { return (Change::No, Ok(())) };
        match outcome {
            Ok(()) => {
                (self.due, self.patience) = (Timestamp(0), AGAIN);
                let since = self.failure.take().map(|failure| failure.since);
                (since.map_or(Change::No, |since| Change::Takes { since }), self.queue.taken(number))
            }
            Err(why) => {
                self.due = Timestamp(now.0.saturating_add(self.patience));
                self.patience = (2 * self.patience).min(AGAIN_MAX);
                let since = self.failure.as_ref().map(|failure| failure.since);
                self.failure = Some(Failure { since: since.unwrap_or(now), why });
                (if since.is_none() { Change::Fails } else { Change::No }, Ok(()))
            }
        }
    }

    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}
