//! The thread that fills the index behind the journal, never in its way.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::facts::Timestamp;
use crate::store::{IndexError, LiveIndex};

/// How the index stands, as `status` shows it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct IndexingStatus {
    pub live: bool,
    /// The number of the newest record in it.
    pub record: u64,
    /// How old that is, where newer ones wait.
    pub behind_seconds: u64,
    /// Lines of the journal that are no record.
    pub unreadable: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The time of the newest record, where it lags.
    #[serde(skip)]
    read_up_to: Option<Timestamp>,
}

impl IndexingStatus {
    /// With how far it is behind by now.
    pub(super) fn now(&self) -> Self {
        let behind = self.read_up_to.map_or(0, |read_up_to| clock::now().0.saturating_sub(read_up_to.0));
        Self { behind_seconds: behind / 1_000_000, ..self.clone() }
    }
}

/// The thread, and what it says of itself.
pub(super) struct Indexing {
    end: Sender<()>,
    thread: JoinHandle<()>,
    status: Arc<Mutex<IndexingStatus>>,
}

/// How often it is looked for what is new; after an error less often.
const EVERY: Duration = Duration::from_millis(500);
const AFTER_ERROR: Duration = Duration::from_secs(30);
/// At the end what is still to be read is read for so long.
const END_READS: Duration = Duration::from_secs(2);

/// Starts the thread.
///
/// # Errors
/// There is no thread to be had.
pub(super) fn start(data_dir: PathBuf) -> io::Result<Indexing> {
    let (end, ended) = channel();
    let status = Arc::new(Mutex::new(IndexingStatus { live: true, ..IndexingStatus::default() }));
    let told = status.clone();
    let thread = std::thread::Builder::new().name("index".to_owned()).spawn(move || run(&data_dir, &told, &ended))?;
    Ok(Indexing { end, thread, status })
}

impl Indexing {
    pub(super) fn status(&self) -> Arc<Mutex<IndexingStatus>> {
        self.status.clone()
    }

    /// Ends the thread; what it has not read is read at the next start.
    pub(super) fn end(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}

fn run(data_dir: &Path, status: &Mutex<IndexingStatus>, ended: &Receiver<()>) {
    let mut index: Option<LiveIndex> = None;
    let mut is_of_no_use = false;
    let mut wait = Duration::ZERO;
    while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        let begun = Instant::now();
        let opened = match index.take() {
            Some(index) => Ok(index),
            None => open(data_dir, is_of_no_use),
        };
        let stepped = opened.and_then(|mut index| Ok((index.step()?, index)));
        let error = match stepped {
            Ok((is_more, now)) => {
                publish(status, &now, is_more);
                // Of a long journal half of a processor's time is taken at most.
                wait = if is_more { begun.elapsed() } else { EVERY };
                index = Some(now);
                is_of_no_use = false;
                None
            }
            Err(error) => {
                is_of_no_use = error.is_of_no_use();
                wait = if is_of_no_use { EVERY } else { AFTER_ERROR };
                Some(error.to_string())
            }
        };
        let before = std::mem::replace(&mut lock(status).error, error.clone());
        if let (None, Some(error)) = (before, error) {
            eprintln!("sekisho: warning: the index is not filled: {error}");
        }
    }
    let begun = Instant::now();
    while let Some(now) = index.as_mut().filter(|_| begun.elapsed() < END_READS) {
        if !matches!(now.step(), Ok(true)) {
            return;
        }
    }
}

fn open(data_dir: &Path, anew: bool) -> Result<LiveIndex, IndexError> {
    if anew {
        return LiveIndex::anew(data_dir);
    }
    LiveIndex::open(data_dir, |why| eprintln!("sekisho: warning: {why}"))
}

fn publish(status: &Mutex<IndexingStatus>, index: &LiveIndex, is_more: bool) {
    let indexed = index.indexed();
    let mut status = lock(status);
    (status.record, status.unreadable) = (index.committed(), indexed.unreadable);
    status.read_up_to = is_more.then_some(indexed.time);
}

fn lock(status: &Mutex<IndexingStatus>) -> std::sync::MutexGuard<'_, IndexingStatus> {
    status.lock().unwrap_or_else(PoisonError::into_inner)
}
