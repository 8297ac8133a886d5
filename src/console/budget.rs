use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::clock;
use crate::facts::Moment;

/// What of the processor the console may take, as a bucket of CPU time: it fills by so many hundredths of a core, holds two
/// seconds at most, and what was done is taken from it afterwards, also where that leaves it in debt. While it is empty
/// nothing new is begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Budget {
    /// Hundredths of one core.
    percent: u32,
    /// Hundredths of a microsecond of CPU, so that nothing of it is rounded; below zero it is owed.
    left: i64,
    filled: Moment,
}

/// So much is saved up while nobody asks: what one person asks in a row is not waited for.
const SAVED_MAX: i64 = 200_000_000;
/// Live tails leave so much of it to pages.
const OF_PAGES: i64 = SAVED_MAX / 2;
/// So often tails are told in any case: what that takes is owed.
const TOLD_EVERY: Duration = Duration::from_secs(4);

impl Budget {
    pub(super) fn new(percent: u32, now: Moment) -> Self {
        Self { percent: percent.max(1), left: SAVED_MAX, filled: now }
    }

    /// So long from now there is something for a question; none where there is.
    pub(super) fn until_question(&mut self, now: Moment) -> Duration {
        self.until(0, now)
    }

    /// So long from now the tails may be told what is new, four seconds at most.
    pub(super) fn until_tails(&mut self, now: Moment) -> Duration {
        self.until(OF_PAGES, now).min(TOLD_EVERY)
    }

    /// Takes what was spent.
    pub(super) fn spend(&mut self, spent: Duration, now: Moment) {
        self.fill(now);
        self.left = self.left.saturating_sub(i64::try_from(spent.as_nanos() / 10).unwrap_or(i64::MAX));
    }

    fn until(&mut self, reserve: i64, now: Moment) -> Duration {
        self.fill(now);
        let lacking = reserve.saturating_sub(self.left).saturating_add(1).max(0).unsigned_abs();
        Duration::from_micros(lacking.div_ceil(u64::from(self.percent)))
    }

    fn fill(&mut self, now: Moment) {
        let passed = i64::try_from((now - self.filled).as_micros()).unwrap_or(i64::MAX);
        self.left = self.left.saturating_add(passed.saturating_mul(i64::from(self.percent))).min(SAVED_MAX);
        self.filled = self.filled.max(now);
    }
}

/// The budget as all threads of the console share it.
#[derive(Debug)]
pub(super) struct Purse(Mutex<Budget>);

impl Purse {
    pub(super) fn new(percent: u32) -> Self {
        Self(Mutex::new(Budget::new(percent, clock::moment())))
    }

    pub(super) fn until_question(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).until_question(clock::moment())
    }

    pub(super) fn until_tails(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).until_tails(clock::moment())
    }

    fn spend(&self, spent: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).spend(spent, clock::moment());
    }

    /// Does a piece of work, and takes what it costs.
    pub(super) fn pay<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = clock::thread_cpu();
        let done = work();
        self.spend(clock::thread_cpu().saturating_sub(before));
        done
    }
}

/// A connection of which the cost is taken from the budget as soon as somebody is known to be logged in on it: what strangers
/// send keeps nobody from a page.
pub(super) struct Paid<F> {
    connection: Pin<Box<F>>,
    purse: Arc<Purse>,
    counts: Arc<AtomicBool>,
}

impl<F> Paid<F> {
    pub(super) fn new(connection: F, purse: Arc<Purse>, counts: Arc<AtomicBool>) -> Self {
        Self { connection: Box::pin(connection), purse, counts }
    }
}

impl<F: Future> Future for Paid<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let before = clock::thread_cpu();
        let polled = self.connection.as_mut().poll(context);
        if self.counts.load(Ordering::Relaxed) {
            self.purse.spend(clock::thread_cpu().saturating_sub(before));
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERCENT: u32 = 25;

    fn at(ms: u64) -> Moment {
        Moment(1_000_000_000 + ms * 1000)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn one_who_asks_for_a_page_a_second_never_waits() {
        let mut budget = Budget::new(PERCENT, at(0));
        for second in 0..1000 {
            assert_eq!(budget.until_question(at(second * 1000)), Duration::ZERO, "{second}");
            budget.spend(ms(200), at(second * 1000 + 200));
        }
    }

    #[test]
    fn what_is_asked_without_a_pause_takes_the_share_and_no_more() {
        let mut budget = Budget::new(PERCENT, at(0));
        let (mut now, mut spent) = (0, 0);
        while now < 100_000 {
            let wait = budget.until_question(at(now));
            now += u64::try_from(wait.as_micros().div_ceil(1000)).unwrap();
            assert_eq!(budget.until_question(at(now)), Duration::ZERO, "it is told how long to wait");
            budget.spend(ms(40), at(now + 40));
            (now, spent) = (now + 40, spent + 40);
        }
        // A fourth of 100 s, and what was saved up before.
        assert!((26_900..=27_100).contains(&spent), "{spent} ms");
    }

    #[test]
    fn a_question_that_costs_more_than_there_is_is_paid_for_by_those_behind_it() {
        let mut budget = Budget::new(PERCENT, at(0));
        budget.spend(ms(5000), at(0));
        let wait = budget.until_question(at(0));
        assert!((12_000..12_010).contains(&wait.as_millis()), "3 s at a fourth: {wait:?}");
        assert!(budget.until_question(at(11_999)) > Duration::ZERO);
        assert_eq!(budget.until_question(at(12_001)), Duration::ZERO);
    }

    #[test]
    fn nothing_is_saved_beyond_two_seconds_and_small_times_are_not_lost() {
        let mut budget = Budget::new(PERCENT, at(0));
        budget.until_question(at(3_600_000));
        budget.spend(ms(2000), at(3_600_000));
        assert!(budget.until_question(at(3_600_000)) > Duration::ZERO);
        // Asked each microsecond, a bucket fills as one that is asked once.
        let mut often = Budget { left: -3_000_000, filled: at(0), percent: 30 };
        for micro in 0..=100_000 {
            often.until_question(Moment(at(0).0 + micro));
        }
        assert_eq!(often.left, 0);
    }

    #[test]
    fn tails_leave_half_of_it_to_pages_and_are_told_within_seconds_all_the_same() {
        let mut budget = Budget::new(PERCENT, at(0));
        assert_eq!(budget.until_tails(at(0)), Duration::ZERO);
        budget.spend(ms(1100), at(0));
        assert_eq!(budget.until_question(at(0)), Duration::ZERO, "pages have some left");
        assert!((ms(400)..ms(401)).contains(&budget.until_tails(at(0))), "100 ms at a fourth");
        budget.spend(ms(60_000), at(0));
        assert_eq!(budget.until_tails(at(0)), TOLD_EVERY);
    }
}
