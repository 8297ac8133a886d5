use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::event::Event;
use super::flows::FlowEvent;

/// What lines tell of, in the place that its time gives it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Happened {
    /// From one time to another nobody was listening.
    Pause {
        from: u64,
        to: u64,
    },
    Exchange(Event),
    Flow(Box<FlowEvent>),
}

impl Happened {
    /// In microseconds.
    pub(super) fn time(&self) -> u64 {
        match self {
            Self::Pause { from, .. } => *from,
            Self::Exchange(event) => event.time,
            Self::Flow(event) => event.time,
        }
    }

    /// Of things at one time from one line, which comes first.
    fn place(&self) -> (u64, u64, u8) {
        match self {
            Self::Pause { from, .. } => (*from, 0, 0),
            Self::Exchange(event) => (event.time, event.line, 1),
            Self::Flow(event) => (event.time, event.line, 2),
        }
    }

    /// Whether it is the same, told twice. Lines that have no number are never.
    pub(super) fn repeats(&self, before: &Self) -> bool {
        self == before && self.place().1 != 0
    }
}

impl PartialEq for Happened {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Happened {}

impl PartialOrd for Happened {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Happened {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place()).then_with(|| match (self, other) {
            (Self::Exchange(one), Self::Exchange(other)) => one.cmp(other),
            (Self::Pause { to: one, .. }, Self::Pause { to: other, .. }) => one.cmp(other),
            (Self::Pause { .. } | Self::Exchange(_) | Self::Flow(_), _) => Ordering::Equal,
        })
    }
}
