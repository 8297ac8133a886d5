use serde::{Deserialize, Serialize};

use super::history::{History, Scheme, Usual};

/// What went up in the window of time that is now, and in those before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::detect) struct Meter {
    history: History,
    /// Since when it is kept, in microseconds.
    pub since: u64,
    now: Window,
    /// In bytes.
    sum: u64,
    /// Of it, what is told of elsewhere.
    elsewhere: u64,
    /// From which on it is told, in bytes.
    limit: u64,
    /// That ended.
    exchanges: u32,
    /// When it began, in microseconds, and its first line.
    first: u64,
    first_line: u64,
    /// It was told in this window.
    pub is_told: bool,
}

/// A window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::detect) struct Window {
    pub number: i64,
    pub slot: u8,
}

/// When something went up: in which window, the time in microseconds, and the line that says so.
pub(in crate::detect) type Place = (Window, u64, u64);

/// What went up.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(in crate::detect) struct Sent {
    pub bytes: u64,
    /// An exchange has ended with it.
    pub is_end: bool,
    /// It is told of elsewhere.
    pub is_told: bool,
}

/// What a finding rests on: since when, in microseconds, the first line, and exchanges.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(in crate::detect) struct Span {
    pub first: u64,
    pub line: u64,
    pub exchanges: u32,
    pub denied: u32,
}

/// What is of an older window by no more counts as of this one; beyond that the clock was set back. In windows.
const LATE: i64 = 2;

impl Meter {
    pub(in crate::detect) fn new(scheme: &Scheme, at: Place) -> Self {
        Self { limit: scheme.cold_limit, ..Self::empty(at.1, at) }
    }

    fn empty(since: u64, (now, first, first_line): Place) -> Self {
        let (history, sum, elsewhere, exchanges) = (History::default(), 0, 0, 0);
        Self { history, since, now, sum, elsewhere, limit: 0, exchanges, first, first_line, is_told: false }
    }

    /// Takes what went up; says whether it is now more than is usual, and half as much again as when that was said last. What is
    /// told of elsewhere belongs to what is usual, but is no reason to tell.
    pub(in crate::detect) fn add(&mut self, scheme: &Scheme, (window, time, line): Place, sent: Sent) -> bool {
        let is_late = window.number < self.now.number && window.number.saturating_add(LATE) >= self.now.number;
        if window.number != self.now.number && !is_late {
            self.history.add(scheme, self.now.slot.into(), self.sum);
            self.open(scheme, (window, time, line));
        }
        self.sum = self.sum.saturating_add(sent.bytes);
        self.exchanges = self.exchanges.saturating_add(u32::from(sent.is_end));
        if sent.is_told {
            self.elsewhere = self.elsewhere.saturating_add(sent.bytes);
        }
        if self.unexplained() < self.limit {
            return false;
        }
        self.limit = self.unexplained().saturating_add(self.unexplained() / 2);
        true
    }

    fn open(&mut self, scheme: &Scheme, (window, time, line): Place) {
        let history = std::mem::take(&mut self.history);
        let limit = history.usual(scheme, window.slot.into()).map_or(scheme.cold_limit, |usual| usual.limit);
        *self = Self { history, limit, ..Self::empty(self.since, (window, time, line)) };
    }

    /// What is usual in this window.
    pub(in crate::detect) fn usual(&self, scheme: &Scheme) -> Option<Usual> {
        self.history.usual(scheme, self.now.slot.into())
    }

    /// Nothing else was counted in this window but so many bytes.
    pub(in crate::detect) fn began_with(&self, bytes: u64) -> bool {
        self.sum == bytes
    }

    /// In bytes, without what is told of elsewhere.
    pub(in crate::detect) fn unexplained(&self) -> u64 {
        self.sum.saturating_sub(self.elsewhere)
    }

    pub(in crate::detect) fn span(&self) -> Span {
        Span { first: self.first, line: self.first_line, exchanges: self.exchanges, denied: 0 }
    }
}
