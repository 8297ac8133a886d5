use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::disk::DiskFile;

/// A thread that waits for the disk, so that the one that writes does not.
pub(super) struct Syncer {
    /// Taken when the thread is to end.
    requests: Option<SyncSender<Box<dyn DiskFile>>>,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    busy: AtomicBool,
    failed: Mutex<Option<io::Error>>,
}

impl Syncer {
    /// Starts the thread; it calls `done` after each sync.
    pub(super) fn start(done: impl Fn() + Send + 'static) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(1);
        let state = Arc::new(State::default());
        let shared = state.clone();
        let thread = std::thread::Builder::new()
            .name("journal-sync".to_owned())
            .spawn(move || run(&receiver, &shared, &done))?;
        Ok(Self { requests: Some(sender), state, thread: Some(thread) })
    }

    /// Whether a sync is under way.
    pub(super) fn busy(&self) -> bool {
        self.state.busy.load(Ordering::Acquire)
    }

    /// Begins to sync what has been written to this file; only while none is under way.
    pub(super) fn begin(&self, file: &dyn DiskFile) -> io::Result<()> {
        let file = file.try_clone()?;
        self.state.busy.store(true, Ordering::Release);
        let sent = self.requests.as_ref().is_some_and(|requests| requests.try_send(file).is_ok());
        if sent {
            return Ok(());
        }
        self.state.busy.store(false, Ordering::Release);
        Err(io::Error::other("the thread that syncs has ended"))
    }

    /// What went wrong with a sync since this was last asked. The kernel tells of each failure once,
    /// and does not try those pages again.
    pub(super) fn take_failure(&self) -> Option<io::Error> {
        self.state.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Syncer {
    /// Waits for the sync under way and ends the thread; none can begin any more.
    pub(super) fn end(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(requests: &Receiver<Box<dyn DiskFile>>, state: &State, done: &impl Fn()) {
    while let Ok(file) = requests.recv() {
        if let Err(error) = file.sync() {
            *state.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
        state.busy.store(false, Ordering::Release);
        done();
    }
}
