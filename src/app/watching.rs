//! Follows the journal while the gate runs, puts on record what is found in it, and answers it as the config says.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use crate::clock;
use crate::detect::{Limits, Settings};
use crate::evidence::{Finding, Record};
use crate::facts::Timestamp;
use crate::session::Gate;
use crate::store::Follower;
use crate::watch::Watch;

use super::restraints;

/// The thread that watches.
#[derive(Debug)]
pub(super) struct Watching {
    end: Sender<()>,
    thread: JoinHandle<()>,
}

/// What it needs.
pub(super) struct Plan {
    pub(super) gate: Arc<Gate>,
    pub(super) data_dir: PathBuf,
    /// How long what was seen waits for what is told late.
    pub(super) delay: Duration,
    pub(super) settings: Settings,
    pub(super) runtime: Handle,
}

/// How often the journal is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// So far back the journal is read at the start, in microseconds: a beacon that calls once a day is seen in it.
const LOOK_BACK: u64 = 6 * 24 * 3_600_000_000;

/// Starts the thread.
///
/// # Errors
/// There is no thread to be had.
pub(super) fn start(plan: Plan) -> io::Result<Watching> {
    let since = Timestamp(clock::now().0.saturating_sub(LOOK_BACK));
    let window = u64::try_from(plan.delay.as_micros()).unwrap_or(u64::MAX);
    let follower = Follower::new(&plan.data_dir, since);
    let watch = Watch::new(Limits { window, ..Limits::LIVE }, &plan.settings);
    let (end, ended) = channel();
    let thread = std::thread::Builder::new()
        .name("watch".to_owned())
        .spawn(move || Watcher { follower, watch, plan, is_told: false }.run(&ended))?;
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
    plan: Plan,
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
                    self.tell_new();
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

    /// What the journal takes no record of is told with the next look; what it is answered with does not wait for that.
    fn tell_new(&mut self) {
        let now = clock::now();
        for finding in self.watch.new_findings(now) {
            let Plan { gate, data_dir, settings, runtime, .. } = &self.plan;
            restraints::answer(gate, data_dir, settings, &finding, now);
            let record = Record::Finding(Box::new(finding));
            let is_on_record = runtime.block_on(gate.journal.append(&record, now)).is_ok();
            if let Record::Finding(finding) = record {
                self.settle(*finding, is_on_record);
            }
        }
    }

    fn settle(&mut self, finding: Finding, is_on_record: bool) {
        if is_on_record { self.watch.told(&finding) } else { self.watch.keep(finding) }
    }
}
