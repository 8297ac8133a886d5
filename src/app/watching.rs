//! Follows the journal while the gate runs, puts on record what is found in it, and answers it as the config says.
//!
//! What was seen is written down once an hour and at the end, with the place in the journal up to which it was. A gate that
//! starts goes on from there; where that is not to be had, it reads the journal again from some days back.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::clock;
use crate::detect::{Limits, Settings};
use crate::evidence::{Finding, Record, format_time, lines_of};
use crate::facts::Timestamp;
use crate::session::Gate;
use crate::store::Follower;
use crate::watch::{Refused, Watch};

use super::restraints;
use super::status::DetectionStatus;

/// The thread that watches.
#[derive(Debug)]
pub(super) struct Watching {
    end: Sender<()>,
    thread: JoinHandle<()>,
    seen: Seen,
}

/// What it needs.
pub(super) struct Plan {
    pub(super) gate: Arc<Gate>,
    pub(super) data_dir: PathBuf,
    /// How long what was seen waits for what is told late.
    pub(super) delay: Duration,
    pub(super) settings: Settings,
}

/// How the thread is doing, for whoever asks.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Now>>);

#[derive(Debug, Clone, Default)]
struct Now {
    status: DetectionStatus,
    /// The newest record that was read, where there is more to read.
    behind: Option<Timestamp>,
}

/// How often the journal is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// So far back the journal is read where nothing of it is known, in microseconds: a beacon that calls once a day is seen in it.
const LOOK_BACK: u64 = 6 * 24 * 3_600_000_000;
/// The file in the data directory that keeps what was seen.
const FILE: &str = "detection.snapshot";
/// It is written so soon after the start, if the gate stands so long, and so often.
const FIRST: Duration = Duration::from_secs(600);
const WRITE_EVERY: Duration = Duration::from_secs(3600);
/// Of the free space it takes so large a part at most: what the journal needs comes first.
const SPACE_PART: u64 = 8;
/// At the end what is still to be read is read for so long.
const END_READS: Duration = Duration::from_secs(2);

/// Starts the thread.
///
/// # Errors
/// There is no thread or no timer to be had.
pub(super) fn start(plan: Plan) -> io::Result<Watching> {
    let (end, ended) = channel();
    let seen = Seen::default();
    seen.lock().status.live = true;
    let told = seen.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let watch = move || Watcher::new(plan, runtime, told).run(&ended);
    let thread = std::thread::Builder::new().name("watch".to_owned()).spawn(watch)?;
    Ok(Watching { end, thread, seen })
}

impl Watching {
    pub(super) fn seen(&self) -> Seen {
        self.seen.clone()
    }

    /// Ends the thread; what it has not read yet is read at the next start.
    pub(super) fn end(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}

impl Seen {
    pub(super) fn status(&self) -> DetectionStatus {
        let Now { status, behind } = self.lock().clone();
        let behind = behind.map_or(0, |read_up_to| clock::now().0.saturating_sub(read_up_to.0));
        DetectionStatus { behind_seconds: behind / 1_000_000, ..status }
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Watcher {
    follower: Follower,
    watch: Watch,
    plan: Plan,
    /// For what it waits for.
    runtime: Runtime,
    seen: Seen,
    /// What findings have imposed and is not on record yet: of one finding at most, as there is no next one before it is.
    untold: VecDeque<Record>,
    /// From when on the journal is read, where what it knows was not written down before.
    since: Option<Timestamp>,
    /// That the journal cannot be read was said; and that the snapshot cannot be written.
    is_told: bool,
    is_unwritten_told: bool,
}

impl Watcher {
    fn new(plan: Plan, runtime: Runtime, seen: Seen) -> Self {
        let window = u64::try_from(plan.delay.as_micros()).unwrap_or(u64::MAX);
        let limits = Limits { window, ..Limits::LIVE };
        let kept = read_again(&plan.data_dir, limits, &plan.settings).unwrap_or_else(|why| {
            eprintln!("sekisho: warning: what was seen before is read in the journal again: {why}");
            None
        });
        let since = kept.is_none().then(|| Timestamp(clock::now().0.saturating_sub(LOOK_BACK)));
        let (watch, follower) = kept.unwrap_or_else(|| {
            (Watch::new(limits, &plan.settings), Follower::new(&plan.data_dir, since.unwrap_or_default()))
        });
        let watcher = Self {
            follower,
            watch,
            plan,
            runtime,
            seen,
            untold: VecDeque::new(),
            since,
            is_told: false,
            is_unwritten_told: false,
        };
        watcher.publish(false);
        watcher
    }

    fn run(&mut self, ended: &Receiver<()>) {
        let mut block = Vec::new();
        let (mut rest, mut written, mut write_after) = (EVERY, Instant::now(), FIRST);
        while ended.recv_timeout(rest) == Err(RecvTimeoutError::Timeout) {
            let begun = Instant::now();
            let is_all = self.look(&mut block);
            self.publish(is_all);
            if is_all && written.elapsed() >= write_after {
                self.write();
                (written, write_after) = (Instant::now(), WRITE_EVERY);
            }
            // Of a long journal half of a processor's time is taken at most.
            rest = if is_all { EVERY } else { begun.elapsed() };
        }
        let begun = Instant::now();
        while begun.elapsed() < END_READS && !self.look(&mut block) {}
        self.write();
    }

    /// Reads a block of the journal. True where there is no more, and what is new in it is told.
    fn look(&mut self, block: &mut Vec<u8>) -> bool {
        match self.follower.next(block) {
            Ok(true) => {
                lines_of(block).for_each(|line| self.watch.read(line));
                self.is_told = false;
                return false;
            }
            Ok(false) => self.tell_new(),
            Err(error) => {
                if !std::mem::replace(&mut self.is_told, true) {
                    eprintln!("sekisho: warning: nothing is found in the journal, which cannot be read: {error}");
                }
            }
        }
        true
    }

    fn publish(&self, is_all: bool) {
        let counts = self.watch.counts();
        let status = DetectionStatus {
            live: true,
            resumed: self.since.is_none(),
            since: self.watch.began().map(format_time),
            behind_seconds: 0,
            events: counts.events,
            pairs: counts.pairs,
            pairs_evicted: counts.pairs_evicted,
            findings: self.watch.told_of() as u64,
        };
        let read_up_to = self.watch.read_up_to().max(self.since.unwrap_or_default());
        *self.seen.lock() = Now { status, behind: (!is_all).then_some(read_up_to) };
    }

    /// Writes down what was seen. A disk that has little room left is the journal's.
    fn write(&mut self) {
        let Some(place) = self.follower.place() else { return };
        let outlook = self.plan.gate.journal.outlook(clock::now());
        let bytes_max = outlook.map_or(0, |(outlook, _)| outlook.free_bytes / SPACE_PART);
        let path = self.plan.data_dir.join(FILE);
        let written = replace(&path, |file| self.watch.write(&place, file, bytes_max));
        let failed = written.err().filter(|_| !self.is_unwritten_told);
        if let Some(error) = &failed {
            eprintln!(
                "sekisho: warning: what was seen is not written down ({error}): the next start reads more of the journal again"
            );
        }
        self.is_unwritten_told = failed.is_some();
    }

    /// What the journal takes no record of is told, and answered, with the next look.
    fn tell_new(&mut self) {
        let now = clock::now();
        let mut takes = true;
        for finding in self.watch.new_findings(now) {
            // Nobody waits long for a disk that stands still: what is left is new still.
            takes = takes && self.records_untold(now);
            if takes {
                let Plan { gate, data_dir, settings, .. } = &self.plan;
                self.untold.extend(restraints::answer(gate, data_dir, settings, &finding, now));
                takes = self.put_on_record(finding, now);
            } else {
                self.watch.keep(finding);
            }
        }
        if takes {
            self.records_untold(now);
        }
    }

    /// Puts on record what findings have imposed; false where the journal takes none.
    fn records_untold(&mut self, now: Timestamp) -> bool {
        while let Some(record) = self.untold.front() {
            if self.runtime.block_on(self.plan.gate.journal.append(record, now)).is_err() {
                return false;
            }
            self.untold.pop_front();
        }
        true
    }

    fn put_on_record(&mut self, finding: Finding, now: Timestamp) -> bool {
        let record = Record::Finding(Box::new(finding));
        let is_on_record = self.runtime.block_on(self.plan.gate.journal.append(&record, now)).is_ok();
        let Record::Finding(finding) = record else { return is_on_record };
        if is_on_record {
            self.watch.told(&finding)
        } else {
            self.watch.keep(*finding)
        }
        is_on_record
    }
}

/// What was written down, where there is any.
///
/// # Errors
/// It cannot be gone on from, in words for whoever runs the gate.
fn read_again(data_dir: &Path, limits: Limits, settings: &Settings) -> Result<Option<(Watch, Follower)>, String> {
    let file = match File::open(data_dir.join(FILE)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Refused::Io(error).to_string()),
    };
    let (watch, place) = Watch::read_again(limits, settings, file).map_err(|why| why.to_string())?;
    let follower = Follower::resume(data_dir, place).map_err(|why| why.to_string())?;
    let follower = follower.ok_or("the snapshot is of records that are not in this journal")?;
    Ok(Some((watch, follower)))
}

/// Replaces a file by what is written into a new one, unless that says that it is not to be. Its owner alone may read it.
fn replace(path: &Path, write: impl FnOnce(&File) -> io::Result<bool>) -> io::Result<()> {
    let new = path.with_extension("snapshot.new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = write(&file).and_then(|is_whole| if is_whole { file.sync_all().map(|()| true) } else { Ok(false) });
    match written {
        Ok(true) => fs::rename(&new, path),
        Ok(false) => fs::remove_file(&new),
        Err(error) => {
            let _ = fs::remove_file(&new);
            Err(error)
        }
    }
}
