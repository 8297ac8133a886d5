use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::names::Name;

/// One event of a pair: a request, a tunnel, or a burst within one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    /// In microseconds.
    pub time: u64,
    /// The number of the record or line.
    pub line: u64,
    pub client: Name,
    pub host: Name,
    pub port: u16,
    pub denied: bool,
}

/// Brings events that came out of order within a window back into it.
#[derive(Debug)]
pub(super) struct Order {
    waiting: BinaryHeap<Reverse<Event>>,
    /// In microseconds.
    window: u64,
    waiting_max: usize,
    latest: u64,
}

impl Order {
    pub(super) fn new(window: u64, waiting_max: usize) -> Self {
        Self { waiting: BinaryHeap::new(), window, waiting_max, latest: 0 }
    }

    pub(super) fn push(&mut self, event: Event) {
        self.latest = self.latest.max(event.time);
        self.waiting.push(Reverse(event));
    }

    /// Time goes on without events.
    pub(super) fn tick(&mut self, now: u64) {
        self.latest = self.latest.max(now);
    }

    /// The next event before which none is to come any more, or that there is no room for.
    pub(super) fn pop(&mut self) -> Option<Event> {
        let Reverse(next) = self.waiting.peek()?;
        let is_due = next.time.saturating_add(self.window) <= self.latest || self.waiting.len() > self.waiting_max;
        if is_due { self.pop_any() } else { None }
    }

    /// The next event, at the end of a log.
    pub(super) fn pop_any(&mut self) -> Option<Event> {
        self.waiting.pop().map(|Reverse(event)| event)
    }
}
