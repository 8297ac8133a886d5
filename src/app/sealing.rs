//! The thread that seals segments that have ended, at the most half of a processor's time.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::evidence::{CheckpointRecord, Record, format_time};
use crate::store::{JournalHandle, SealError, Sealed, Sealer};

use super::background::Pace;

/// How sealing stands, as `status` shows it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SealingStatus {
    /// The id of the key that checkpoints are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Segments that have ended and are not sealed.
    pub waiting: u64,
    /// Those of them that do not verify, and are left as they are.
    pub refused: u64,
    /// When one was sealed last; absent since the start if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The thread, and what it says of itself.
pub(super) struct Sealing {
    end: Sender<()>,
    thread: JoinHandle<()>,
    status: Arc<Mutex<SealingStatus>>,
}

/// How often it is looked whether a segment has ended; after an error less often.
const EVERY: Duration = Duration::from_secs(5);
const AFTER_ERROR: Duration = Duration::from_secs(60);
/// Segments that are remembered as not to be sealed; a gate that has more has other troubles.
const REFUSED_MAX: usize = 10_000;

/// Starts the thread. `wakes` is told of each checkpoint.
///
/// # Errors
/// There is no thread to be had.
pub(super) fn start(
    data_dir: PathBuf,
    gate: String,
    journal: JournalHandle,
    wakes: Vec<SyncSender<()>>,
) -> io::Result<Sealing> {
    let (end, ended) = channel();
    let status = Arc::new(Mutex::new(SealingStatus::default()));
    let told = status.clone();
    let seal = move || run(&data_dir, &gate, &journal, &told, (&ended, &wakes));
    let thread = std::thread::Builder::new().name("seal".to_owned()).spawn(seal)?;
    Ok(Sealing { end, thread, status })
}

impl Sealing {
    pub(super) fn status(&self) -> Arc<Mutex<SealingStatus>> {
        self.status.clone()
    }

    /// Ends the thread; what it has not sealed is sealed after the next start.
    pub(super) fn end(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}

fn run(
    data_dir: &std::path::Path,
    gate: &str,
    journal: &JournalHandle,
    status: &Mutex<SealingStatus>,
    (ended, wakes): (&Receiver<()>, &[SyncSender<()>]),
) {
    let mut sealer = None;
    let mut refused = BTreeSet::new();
    let mut wait = Duration::ZERO;
    while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        let done = sealer
            .take()
            .map_or_else(|| Sealer::new(data_dir, gate), Ok)
            .and_then(|sealer| turn(&sealer, journal, status, &mut refused, (ended, wakes)).map(|()| sealer));
        let error = match done {
            Ok(of_now) => {
                say(status, |status| status.key = Some(of_now.key().id()));
                sealer = Some(of_now);
                None
            }
            Err(SealError::BrokenOff) => return,
            Err(error) => Some(error.to_string()),
        };
        wait = if error.is_some() { AFTER_ERROR } else { EVERY };
        say(status, |status| status.error = error);
    }
}

fn say(status: &Mutex<SealingStatus>, change: impl FnOnce(&mut SealingStatus)) {
    change(&mut status.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Seals what has ended.
fn turn(
    sealer: &Sealer,
    journal: &JournalHandle,
    status: &Mutex<SealingStatus>,
    refused: &mut BTreeSet<PathBuf>,
    (ended, wakes): (&Receiver<()>, &[SyncSender<()>]),
) -> Result<(), SealError> {
    let due = sealer.due().map_err(|source| SealError::Io { path: "the journal".into(), source })?;
    let mut waiting = due.len() as u64;
    say(status, |status| (status.waiting, status.refused) = (waiting, refused.len() as u64));
    let mut pace = Pace::new();
    for segment in due.into_iter().filter(|segment| !refused.contains(segment)).collect::<Vec<_>>() {
        let record = match sealer.seal(&segment, clock::now(), || pace.goes_on(ended))? {
            Sealed::Done(record) => {
                waiting -= 1;
                for wake in wakes {
                    // Whoever has not come to the last one yet comes to this one with it.
                    let _ = wake.try_send(());
                }
                say(status, |status| (status.waiting, status.last) = (waiting, Some(format_time(clock::now()))));
                record
            }
            Sealed::Refused { segment: name, why } => {
                eprintln!("sekisho: warning: the segment {name} is not sealed: {why}; `sekisho verify` says more");
                if refused.len() < REFUSED_MAX {
                    refused.insert(segment.clone());
                }
                say(status, |status| status.refused = refused.len() as u64);
                Record::Checkpoint(CheckpointRecord {
                    action: "not_sealed",
                    segment: name.as_str().into(),
                    last_seq: 0,
                    checkpoint: None,
                    key: None,
                    detail: Some(why.as_str().into()),
                })
            }
        };
        journal.tell(&record, clock::now());
    }
    Ok(())
}
