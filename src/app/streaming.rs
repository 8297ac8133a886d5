//! The thread that writes the journal out as it is written, into files in the form of other programs' logs, never in its way.
//!
//! How far each file goes is noted now and then, behind what was synced of it: after a crash what is in it beyond that is cut off
//! and written again, so that no line is missing and none stands there twice. A file that was moved away is begun anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::evidence::{Health, Record, lines_of};
use crate::facts::Timestamp;
use crate::review::{Stream, StreamSettings};
use crate::store::{Follower, JournalHandle, Place};

use super::kept;

/// How a file that goes on with the journal stands, as `status` shows it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct StreamStatus {
    pub name: String,
    pub file: String,
    /// Bytes that were written to it since the start.
    pub written_bytes: u64,
    /// Why nothing is written to it now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The thread.
pub(super) struct Streaming {
    end: Sender<()>,
    thread: JoinHandle<()>,
    statuses: StreamStatuses,
}

pub(super) type StreamStatuses = Arc<Mutex<Vec<StreamStatus>>>;

/// How far a file goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct State {
    /// Up to where the journal was read, and the last record of an exchange in front of that.
    place: Place,
    last: u64,
    /// The first record of what was open then.
    oldest: Option<u64>,
    /// Which file it was, and how long.
    inode: u64,
    length: u64,
}

/// How often it is looked for what is new; after an error less often.
const EVERY: Duration = Duration::from_secs(1);
const AFTER_ERROR: Duration = Duration::from_secs(10);
/// How far files go is noted so often.
const NOTE_EVERY: Duration = Duration::from_secs(30);
/// At the end what is still to be read is read for so long.
const END_READS: Duration = Duration::from_secs(2);

/// Starts it.
///
/// # Errors
/// There is no thread to be had.
pub(super) fn start(
    data_dir: &Path,
    settings: &[StreamSettings],
    (journal, ended_before): (&JournalHandle, Timestamp),
) -> io::Result<Streaming> {
    let status = |settings: &StreamSettings| StreamStatus {
        name: settings.name.clone(),
        file: settings.file.display().to_string(),
        ..StreamStatus::default()
    };
    let statuses: StreamStatuses = Arc::new(Mutex::new(settings.iter().map(status).collect()));
    let started = clock::now();
    let one = |settings: &StreamSettings| One::take_up(data_dir, settings.clone(), (started, ended_before));
    let mut all: Vec<_> = settings.iter().map(one).collect();
    let (end, ended) = channel();
    let (told, journal) = (statuses.clone(), journal.clone());
    let named = std::thread::Builder::new().name("streams".to_owned());
    let thread = named.spawn(move || run(&mut all, &told, &journal, &ended))?;
    Ok(Streaming { end, thread, statuses })
}

impl Streaming {
    pub(super) fn statuses(&self) -> StreamStatuses {
        self.statuses.clone()
    }

    /// Ends it; what it has not written is written after the next start.
    pub(super) fn end(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}

pub(super) fn lock(statuses: &StreamStatuses) -> MutexGuard<'_, Vec<StreamStatus>> {
    statuses.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run(all: &mut [One], statuses: &StreamStatuses, journal: &JournalHandle, ended: &Receiver<()>) {
    let mut wait = Duration::ZERO;
    while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        let begun = Instant::now();
        let (mut is_all, mut is_well) = (true, true);
        for (place, one) in all.iter_mut().enumerate() {
            let stepped = one.step();
            is_all &= !matches!(stepped, Ok(true));
            is_well &= stepped.is_ok();
            say(statuses, place, one, stepped.err(), Some(journal));
        }
        wait = match (is_all, is_well) {
            // Of a long journal half of a processor's time is taken at most.
            (false, _) => begun.elapsed(),
            (true, true) => EVERY,
            (true, false) => AFTER_ERROR,
        };
    }
    // The journal is closed: whatever was open has its end on record.
    let begun = Instant::now();
    for (place, one) in all.iter_mut().enumerate() {
        let mut stepped = one.step();
        while begun.elapsed() < END_READS && matches!(stepped, Ok(true)) {
            stepped = one.step();
        }
        let noted = stepped.and_then(|_| one.note());
        say(statuses, place, one, noted.err(), None);
    }
}

/// Publishes how a file stands; where that has changed, the journal and whoever runs the gate hear of it.
fn say(statuses: &StreamStatuses, place: usize, one: &One, error: Option<String>, journal: Option<&JournalHandle>) {
    let mut statuses = lock(statuses);
    let Some(status) = statuses.get_mut(place) else { return };
    status.written_bytes = one.written;
    let before = std::mem::replace(&mut status.error, error);
    let (level, detail) = match (&before, &status.error) {
        (None, Some(why)) => ("waiting", format!("the stream {} is not written: {why}", status.name)),
        (Some(_), None) => ("sent", format!("the stream {} is written again", status.name)),
        (None, None) | (Some(_), Some(_)) => return,
    };
    if level == "waiting" {
        eprintln!("sekisho: warning: {detail}; it is tried again");
    }
    if let Some(journal) = journal {
        let health = Health { subject: "streams", level, detail: detail.as_str().into() };
        journal.tell(&Record::Health(health), clock::now());
    }
}

/// One file.
struct One {
    settings: StreamSettings,
    stream: Stream,
    follower: Follower,
    /// Where how far it goes is noted.
    path: PathBuf,
    /// Records of before are in no file.
    since: Timestamp,
    /// What began before this and is open when all of the journal was read has no end.
    ended_before: Timestamp,
    is_taken_up: bool,
    /// Up to this record lines are in the file already.
    is_in_file: u64,
    last: u64,
    /// What is to be written first.
    pending: Vec<u8>,
    written: u64,
    /// When how far it goes was; at first as soon as something was read.
    noted: Option<Instant>,
    is_noted: bool,
}

impl One {
    /// Goes on behind what is in the file. Where nothing is known of that, nothing of the past is written.
    fn take_up(data_dir: &Path, settings: StreamSettings, (started, ended_before): (Timestamp, Timestamp)) -> Self {
        let path = data_dir.join(format!("stream-{}.jsonl", settings.name));
        let resumed = kept::read::<State>(&path, 1).pop().and_then(|state| {
            // Only to know that it is this journal; of what was open then all is read again.
            let follower = Follower::resume(data_dir, state.place.clone()).ok()??;
            let follower = match state.oldest {
                Some(oldest) => Follower::at_record(data_dir, oldest).ok()?,
                None => follower,
            };
            cut_back(&settings.file, &state);
            Some((follower, state.last))
        });
        let is_resumed = resumed.is_some();
        let (follower, last) = resumed.unwrap_or_else(|| (Follower::new(data_dir, started), 0));
        Self {
            stream: Stream::new(settings.form),
            settings,
            follower,
            path,
            since: if is_resumed { Timestamp(0) } else { started },
            ended_before,
            is_taken_up: false,
            is_in_file: last,
            last,
            pending: Vec::new(),
            written: 0,
            noted: None,
            is_noted: true,
        }
    }

    /// Reads a block and writes what ends in it; true where there may be more.
    ///
    /// # Errors
    /// The journal cannot be read or the file not be written; the next step tries again.
    fn step(&mut self) -> Result<bool, String> {
        self.write()?;
        let mut block = Vec::new();
        let is_more = self.follower.next(&mut block).map_err(|error| error.to_string())?;
        for line in lines_of(&block) {
            let before = self.pending.len();
            let Some(seq) = self.stream.read(line, self.since, &mut self.pending) else { continue };
            if seq <= self.is_in_file {
                self.pending.truncate(before);
            }
            self.last = self.last.max(seq);
        }
        if !is_more && !std::mem::replace(&mut self.is_taken_up, true) {
            self.stream.end_before(self.ended_before, &mut self.pending);
        }
        self.is_noted &= block.is_empty() && self.pending.is_empty();
        self.write()?;
        if !self.is_noted && self.noted.is_none_or(|noted| noted.elapsed() >= NOTE_EVERY) {
            self.note()?;
        }
        Ok(is_more)
    }

    /// Writes what is to be written, all or nothing, into the file that is there now.
    fn write(&mut self) -> Result<(), String> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let file = &self.settings.file;
        let failed = |error: io::Error| format!("{}: {error}", file.display());
        let mut out = OpenOptions::new().append(true).create(true).mode(0o640).open(file).map_err(failed)?;
        let length = out.metadata().map_err(failed)?.len();
        let mut bytes = Vec::new();
        if length == 0 {
            self.stream.begin(&mut bytes);
        }
        bytes.extend_from_slice(&self.pending);
        if let Err(error) = out.write_all(&bytes) {
            let _ = out.set_len(length);
            return Err(failed(error));
        }
        self.written += bytes.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Notes how far the file goes, once that is on the disk.
    fn note(&mut self) -> Result<(), String> {
        self.noted = Some(Instant::now());
        let Some(place) = self.follower.place() else { return Ok(()) };
        let failed = |error: io::Error| format!("how far it goes cannot be noted: {error}");
        let (inode, length) = match File::open(&self.settings.file) {
            Ok(file) => {
                file.sync_all().map_err(failed)?;
                let metadata = file.metadata().map_err(failed)?;
                (metadata.ino(), metadata.len())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => (0, 0),
            Err(error) => return Err(failed(error)),
        };
        let state = State { place, last: self.last, oldest: self.stream.oldest(), inode, length };
        kept::replace(&self.path, [state]).map_err(failed)?;
        self.is_noted = true;
        Ok(())
    }
}

/// Cuts off what was written behind what is noted, where the file is still that one.
fn cut_back(file: &Path, state: &State) {
    let is_that = fs::metadata(file).is_ok_and(|found| found.ino() == state.inode && found.len() > state.length);
    if is_that {
        let cut = OpenOptions::new().write(true).open(file).and_then(|file| file.set_len(state.length));
        if let Err(error) = cut {
            eprintln!("sekisho: warning: lines may stand twice in {}: {error}", file.display());
        }
    }
}
