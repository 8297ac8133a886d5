use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

/// How one source stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceStatus {
    /// Which it is, such as `nflog group 5`.
    pub source: String,
    pub reading: bool,
    /// Packets, events or lines of it since the start.
    pub seen: u64,
    /// Those that were missed, as far as it is known how many; gap records tell of them.
    pub lost: u64,
    /// Times that it is not known how many were missed.
    pub overruns: u64,
    /// Lines that could not be read, or packets that tell of no client.
    pub unread: u64,
    /// Why it cannot be read, or what it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How the sources stand, in the order of the config.
#[derive(Debug, Clone, Default)]
pub struct Sources(Arc<[Arc<Cell>]>);

impl Sources {
    pub(super) fn new(cells: Vec<Arc<Cell>>) -> Self {
        Self(cells.into())
    }

    pub fn status(&self) -> Vec<SourceStatus> {
        self.0.iter().map(|cell| cell.status()).collect()
    }
}

/// What one source says of itself.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) name: String,
    pub(super) seen: AtomicU64,
    pub(super) lost: AtomicU64,
    pub(super) overruns: AtomicU64,
    pub(super) unread: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) reading: bool,
    pub(super) error: Option<String>,
}

impl Cell {
    pub(super) fn new(name: String) -> Self {
        let (seen, lost, overruns, unread) = Default::default();
        Self { name, seen, lost, overruns, unread, state: Mutex::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> SourceStatus {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let state = self.state();
        SourceStatus {
            source: self.name.clone(),
            reading: state.reading,
            seen: read(&self.seen),
            lost: read(&self.lost),
            overruns: read(&self.overruns),
            unread: read(&self.unread),
            error: state.error.clone(),
        }
    }
}
