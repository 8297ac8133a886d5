//! The threads that work beside those that serve: what seals the journal, what fills the index, and what reads attempts past
//! the proxy.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Config;
use crate::gateway::flows::{Flows, SourceStatus, Sources};
use crate::store::JournalHandle;

use super::flows::{self, Reading};
use super::indexing::{self, Indexing, IndexingStatus};
use super::sealing::{self, Sealing, SealingStatus};

/// The threads.
pub(super) struct Background {
    sealing: Sealing,
    indexing: Option<Indexing>,
    flows: Option<Reading>,
}

/// What they say of themselves.
#[derive(Clone)]
pub(super) struct SeenBackground {
    sealing: Arc<Mutex<SealingStatus>>,
    index: Arc<Mutex<IndexingStatus>>,
    flows: Sources,
}

/// Starts them.
///
/// # Errors
/// There are no threads to be had.
pub(super) fn start(data_dir: &Path, config: &Config, journal: &JournalHandle, flows: Flows) -> io::Result<Background> {
    Ok(Background {
        sealing: sealing::start(data_dir.to_owned(), config.name.clone(), journal.clone())?,
        indexing: config.indexes.then(|| indexing::start(data_dir.to_owned())).transpose()?,
        flows: flows::start(flows, journal.clone())?,
    })
}

impl Background {
    pub(super) fn seen(&self) -> SeenBackground {
        let index = self.indexing.as_ref().map(Indexing::status).unwrap_or_default();
        let flows = self.flows.as_ref().map(Reading::sources).unwrap_or_default();
        SeenBackground { sealing: self.sealing.status(), index, flows }
    }

    /// Ends those that write records, before the journal is closed. What they have not come to they come to after the next
    /// start. What fills the index goes on until the last record.
    pub(super) fn end_writers(self) -> Option<Indexing> {
        if let Some(flows) = self.flows {
            flows.end();
        }
        self.sealing.end();
        self.indexing
    }
}

impl SeenBackground {
    pub(super) fn sealing(&self) -> SealingStatus {
        self.sealing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn flows(&self) -> Vec<SourceStatus> {
        self.flows.status()
    }

    pub(super) fn index(&self) -> IndexingStatus {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).now()
    }
}
