//! Follows the journal while the gate runs, and puts on record what is found in it.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock;
use crate::detect::{Limits, Settings};
use crate::facts::Timestamp;
use crate::store::{Follower, JournalHandle};
use crate::watch::Watch;

/// The thread that watches.
#[derive(Debug)]
pub(super) struct Watching {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

/// How often the journal is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// So far back the journal is read at the start, in microseconds: a beacon that calls once a day is seen in it.
const LOOK_BACK: u64 = 6 * 24 * 3_600_000_000;

/// Starts the thread.
///
/// # Errors
/// There is no thread to be had.
pub(super) fn start(
    data_dir: &Path,
    delay: Duration,
    settings: &Settings,
    journal: JournalHandle,
) -> io::Result<Watching> {
    let since = Timestamp(clock::now().0.saturating_sub(LOOK_BACK));
    let window = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
    let (follower, watch) = (Follower::new(data_dir, since), Watch::new(Limits { window, ..Limits::LIVE }, settings));
    let (end, ended) = channel();
    let thread = std::thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || Watcher { follower, watch, journal, is_told: false }.run(&ended))?;
    Ok(Watching { end, thread })
}

impl Watching {
    /// Ends the thread; what it has not read yet is read at the next start.
    pub(super) fn end(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}

struct Watcher {
    follower: Follower,
    watch: Watch,
    journal: JournalHandle,
    /// That the journal cannot be read was said.
    is_told: bool,
}

impl Watcher {
    fn run(&mut self, ended: &Receiver<()>) {
        let mut block = Vec::new();
        let mut rest = EVERY;
        while ended.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
            let begun = Instant::now();
            match self.follower.next(&mut block) {
                Ok(true) => {
                    block.split(|byte| *byte == b'\n').for_each(|line| self.watch.read(line));
                    self.is_told = false;
                    // Of a long journal half of a processor's time is taken at most.
                    rest = begun.elapsed();
                }
                Ok(false) => {
                    let now = clock::now();
                    for finding in self.watch.new_findings(now) {
                        self.journal.tell(&finding, now);
                    }
                    rest = EVERY;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.is_told, true) {
                        eprintln!("sekisho: warning: nothing is found in the journal, which cannot be read: {error}");
                    }
                    rest = EVERY;
                }
            }
        }
    }
}
