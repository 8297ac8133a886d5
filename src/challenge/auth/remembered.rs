//! Answers that cost a hash, kept for some minutes so that the same question costs none.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::facts::Moment;

/// What was asked: a keyed hash of client, name and password, which tells nothing to whoever reads it.
pub(super) type Question = [u8; 32];

/// Bounded by count and by age: of more the oldest goes, and costs a hash again.
pub(super) struct Remembered {
    count_max: usize,
    lifetime: Duration,
    known: HashMap<Question, Moment>,
    /// In the order of arrival, which is that of expiry.
    order: VecDeque<(Moment, Question)>,
}

impl Remembered {
    pub(super) fn new(count_max: usize, lifetime: Duration) -> Self {
        Self { count_max, lifetime, known: HashMap::new(), order: VecDeque::new() }
    }

    pub(super) fn holds(&self, question: &Question, now: Moment) -> bool {
        self.known.get(question).is_some_and(|since| now - *since < self.lifetime)
    }

    pub(super) fn add(&mut self, question: Question, now: Moment) {
        while let Some((since, oldest)) = self.order.front().copied() {
            if now - since < self.lifetime && self.order.len() < self.count_max {
                break;
            }
            self.order.pop_front();
            // One that was added again since stands further back, too.
            if self.known.get(&oldest) == Some(&since) {
                self.known.remove(&oldest);
            }
        }
        self.known.insert(question, now);
        self.order.push_back((now, question));
    }

    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.order.clear();
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.known.len().max(self.order.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_for_its_time_and_at_the_bound_the_oldest_goes() {
        let mut remembered = Remembered::new(2, Duration::from_micros(10));
        for n in 0..3u8 {
            remembered.add([n; 32], Moment(n.into()));
        }
        let holds = |remembered: &Remembered, now| [0, 1, 2].map(|n| remembered.holds(&[n; 32], Moment(now)));
        assert_eq!(holds(&remembered, 3), [false, true, true]);
        assert_eq!(holds(&remembered, 11), [false, false, true]);
        assert_eq!(holds(&remembered, 12), [false, false, false]);
        assert_eq!(remembered.len(), 2);
    }

    #[test]
    fn one_that_is_added_again_is_kept_from_then_on() {
        let mut remembered = Remembered::new(2, Duration::from_micros(10));
        remembered.add([1; 32], Moment(0));
        remembered.add([1; 32], Moment(5));
        remembered.add([2; 32], Moment(6));
        assert!(remembered.holds(&[1; 32], Moment(14)), "its first arrival went, its second did not");
        assert!(remembered.holds(&[2; 32], Moment(14)));
        remembered.clear();
        assert!(!remembered.holds(&[2; 32], Moment(6)));
    }
}
