use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use serde::{Deserialize, Serialize};

use super::happened::Happened;

/// Brings events that came out of order within a window back into it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    /// Those that came in order.
    straight: VecDeque<Happened>,
    /// Those that came behind a later one.
    behind: BinaryHeap<Reverse<Happened>>,
    /// In microseconds.
    window: u64,
    waiting_max: usize,
    latest: u64,
}

impl Order {
    pub(super) fn new(window: u64, waiting_max: usize) -> Self {
        Self { straight: VecDeque::new(), behind: BinaryHeap::new(), window, waiting_max, latest: 0 }
    }

    pub(super) fn push(&mut self, event: Happened) {
        self.latest = self.latest.max(event.time());
        match self.straight.back() {
            Some(last) if event < *last => self.behind.push(Reverse(event)),
            Some(_) | None => self.straight.push_back(event),
        }
    }

    /// Time goes on without events.
    pub(super) fn tick(&mut self, now: u64) {
        self.latest = self.latest.max(now);
    }

    /// Nothing is to come any more before this, in microseconds.
    pub(super) fn passed(&self) -> u64 {
        self.latest.saturating_sub(self.window)
    }

    /// The next event before which none is to come any more, or that there is no room for.
    pub(super) fn pop(&mut self) -> Option<Happened> {
        let next = match (self.straight.front(), self.behind.peek()) {
            (Some(straight), Some(Reverse(behind))) => straight.min(behind),
            (Some(next), None) | (None, Some(Reverse(next))) => next,
            (None, None) => return None,
        };
        let waiting = self.straight.len() + self.behind.len();
        let is_due = next.time().saturating_add(self.window) <= self.latest || waiting > self.waiting_max;
        if is_due { self.pop_any() } else { None }
    }

    /// The next event, at the end of a log.
    pub(super) fn pop_any(&mut self) -> Option<Happened> {
        let from_behind = match (self.straight.front(), self.behind.peek()) {
            (Some(straight), Some(Reverse(behind))) => behind < straight,
            (straight, _) => straight.is_none(),
        };
        if from_behind { self.behind.pop().map(|Reverse(event)| event) } else { self.straight.pop_front() }
    }
}
