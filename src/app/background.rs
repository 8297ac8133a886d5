//! The threads that work on the journal behind its writer: what seals it, and what fills the index.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Config;
use crate::store::JournalHandle;

use super::indexing::{self, Indexing, IndexingStatus};
use super::sealing::{self, Sealing, SealingStatus};

/// The threads.
pub(super) struct Background {
    sealing: Sealing,
    indexing: Option<Indexing>,
}

/// What they say of themselves.
#[derive(Clone)]
pub(super) struct SeenBackground {
    sealing: Arc<Mutex<SealingStatus>>,
    index: Arc<Mutex<IndexingStatus>>,
}

/// Starts them.
///
/// # Errors
/// There are no threads to be had.
pub(super) fn start(data_dir: &Path, config: &Config, journal: &JournalHandle) -> io::Result<Background> {
    Ok(Background {
        sealing: sealing::start(data_dir.to_owned(), config.name.clone(), journal.clone())?,
        indexing: config.indexes.then(|| indexing::start(data_dir.to_owned())).transpose()?,
    })
}

impl Background {
    pub(super) fn seen(&self) -> SeenBackground {
        let index = self.indexing.as_ref().map(Indexing::status).unwrap_or_default();
        SeenBackground { sealing: self.sealing.status(), index }
    }

    /// Ends those that write records, before the journal is closed. What they have not come to they come to after the next
    /// start. What fills the index goes on until the last record.
    pub(super) fn end_writers(self) -> Option<Indexing> {
        self.sealing.end();
        self.indexing
    }
}

impl SeenBackground {
    pub(super) fn sealing(&self) -> SealingStatus {
        self.sealing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn index(&self) -> IndexingStatus {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).now()
    }
}
