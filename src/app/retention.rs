//! The thread that removes days of the journal which are kept no longer.
//!
//! It takes two steps. What will go is put on record first; once a checkpoint vouches for that record, it is removed, and that
//! goes on record too. So `sekisho verify` never meets a gap that no signature excuses.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::clock;
use crate::evidence::{
    Judged, Keep, KeptSegment, Plan, Record, Retention, RetentionAction, STRETCHES_MAX, day_text, format_time, joined,
    judge, lines_of, outside, read_retention,
};
use crate::review::{Notes, read_notes};
use crate::store::{
    DAY_US, Index, IndexError, JournalHandle, NotAccepted, OpenError, Reader, has_record, is_sealed, kept_segments,
    newest_retention, remove_segments,
};

use super::background::Pace;
use super::holds::{self, Held, StandingHold, standing_holds};
use super::kept;

/// How retention stands, as `status` shows it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RetentionStatus {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_gib: Option<u32>,
    /// The oldest day that is there, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest: Option<String>,
    /// What the journal takes of the disk.
    pub bytes: u64,
    /// Legal holds that stand, and days that would have gone without them.
    pub holds: usize,
    pub held_days: u64,
    /// Days that go once a checkpoint vouches for the record that says so.
    pub announced: usize,
    /// When days were removed last; absent since the start if none were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The thread, and what it says of itself.
pub(super) struct Retiring {
    end: Sender<()>,
    thread: JoinHandle<()>,
    status: Arc<Mutex<RetentionStatus>>,
}

/// Why nothing goes.
#[derive(Debug, thiserror::Error)]
enum NotRetired {
    #[error(transparent)]
    Journal(#[from] OpenError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("what is to go cannot be put on record: {0}")]
    NoRecord(#[from] NotAccepted),
    #[error("what goes would leave more than {STRETCHES_MAX} gaps: release legal holds first")]
    TooManyGaps,
    #[error("days could not be looked through for who is under a legal hold: {0}")]
    Unread(OpenError),
    #[error("holds.jsonl is gone, and {0} legal holds stood: put it back, or place them again")]
    HoldsGone(usize),
    #[error("records of devices are damaged or too many: who is under a legal hold by a name is not known")]
    Devices,
    #[error("the index: {0}")]
    Index(#[from] IndexError),
    #[error("it was broken off")]
    BrokenOff,
}

/// What has gone, and what is about to; in a file, so that a restart forgets neither.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    days: Vec<(i64, i64)>,
    records: Vec<(u64, u64)>,
    /// Legal holds that stood when this was written.
    #[serde(default)]
    holds: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    announced: Option<Announced>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Announced {
    /// The segment in which the record stands that says so, or one behind it.
    recorded_in: String,
    /// When, in microseconds since 1970.
    at: u64,
    days: Vec<i64>,
    /// Names, with their first and last records.
    segments: Vec<(String, (u64, u64))>,
    bytes: u64,
    held: u64,
}

impl Announced {
    fn records(&self) -> Vec<(u64, u64)> {
        joined(self.segments.iter().map(|(_, records)| *records))
    }
}

const STATE_FILE: &str = "retention.jsonl";
/// How often it is looked what may go, and whether what was announced may go now; after an error less often.
const EVERY: Duration = Duration::from_secs(60);
const ANNOUNCED_EVERY: Duration = Duration::from_secs(1);
const AFTER_ERROR: Duration = Duration::from_secs(300);
/// A gate to which nothing comes writes no record that would begin the next segment: after an hour it says so again.
const SAY_AGAIN: u64 = 3_600_000_000;

/// Starts the thread.
///
/// # Errors
/// There is no thread to be had.
pub(super) fn start(data_dir: PathBuf, (keep, indexes): (Keep, bool), journal: JournalHandle) -> io::Result<Retiring> {
    let (end, ended) = channel();
    let status = RetentionStatus { keep_days: keep.days, keep_gib: gib(keep), ..RetentionStatus::default() };
    let status = Arc::new(Mutex::new(status));
    let told = status.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let retire = move || {
        let mut thread =
            Thread { data_dir, keep, indexes, journal, runtime, ended, status: told, known: Known::default() };
        thread.run();
    };
    let thread = std::thread::Builder::new().name("retention".to_owned()).spawn(retire)?;
    Ok(Retiring { end, thread, status })
}

impl Retiring {
    pub(super) fn status(&self) -> Arc<Mutex<RetentionStatus>> {
        self.status.clone()
    }

    /// Ends the thread; what was announced goes after the next start.
    pub(super) fn end(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}

fn gib(keep: Keep) -> Option<u32> {
    keep.bytes.and_then(|bytes| u32::try_from(bytes >> 30).ok())
}

/// Which days are held, and by which holds that was found.
#[derive(Default)]
struct Known {
    holds: Vec<StandingHold>,
    /// Names of devices may have been put on record since.
    on: i64,
    days: BTreeMap<i64, bool>,
}

struct Thread {
    data_dir: PathBuf,
    keep: Keep,
    /// The gate fills its index, which then shrinks with the journal.
    indexes: bool,
    journal: JournalHandle,
    runtime: Runtime,
    ended: Receiver<()>,
    status: Arc<Mutex<RetentionStatus>>,
    known: Known,
}

impl Thread {
    fn run(&mut self) {
        let mut state = None;
        let mut wait = Duration::ZERO;
        while self.ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            let known = state.take().map_or_else(|| read_state(&self.data_dir, &self.ended), Ok);
            let done = known.and_then(|mut known| self.turn(&mut known).map(|()| known));
            let error = match done {
                Ok(known) => {
                    wait = if known.announced.is_some() { ANNOUNCED_EVERY } else { EVERY };
                    state = Some(known);
                    None
                }
                Err(NotRetired::BrokenOff) => return,
                Err(error) => {
                    wait = AFTER_ERROR;
                    Some(error.to_string())
                }
            };
            let before = std::mem::replace(&mut self.say().error, error.clone());
            if let (None, Some(error)) = (before, error) {
                eprintln!("sekisho: warning: no day of the journal is removed: {error}");
            }
        }
    }

    fn say(&self) -> std::sync::MutexGuard<'_, RetentionStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&mut self, state: &mut State) -> Result<(), NotRetired> {
        self.learn_holds(state)?;
        if let Some(announced) = state.announced.take() {
            state.announced = self.remove(state, announced)?;
        }
        if state.announced.is_none() { self.announce(state) } else { Ok(()) }
    }

    /// What was found of days does not hold under other holds.
    fn learn_holds(&mut self, state: &mut State) -> Result<(), NotRetired> {
        let holds = standing_holds(&self.data_dir)?;
        if state.holds > 0 && !holds::has_file(&self.data_dir) {
            return Err(NotRetired::HoldsGone(state.holds));
        }
        if state.holds != holds.len() {
            state.holds = holds.len();
            write_state(&self.data_dir, state)?;
        }
        let today = today();
        if self.known.holds != holds || self.known.on != today {
            self.known = Known { holds, on: today, days: BTreeMap::new() };
        }
        self.say().holds = self.known.holds.len();
        Ok(())
    }

    /// Looks what may go, and puts on record that it will.
    fn announce(&mut self, state: &mut State) -> Result<(), NotRetired> {
        let segments = kept_segments(&self.data_dir)?;
        let (paths, kept): (Vec<PathBuf>, Vec<KeptSegment>) = segments.into_iter().unzip();
        let plan = self.plan(&paths, &kept)?;
        {
            let mut status = self.say();
            status.oldest = kept.iter().map(|segment| segment.day).min().map(day_text);
            status.bytes = kept.iter().map(|segment| segment.bytes).sum();
            status.held_days = plan.held;
            status.announced = plan.days.len();
        }
        if plan.segments.is_empty() {
            return Ok(());
        }
        let of = |place: &usize| {
            let (path, segment) = (paths.get(*place)?, kept.get(*place)?);
            Some((name(path), (segment.first_seq, segment.last_seq)))
        };
        let announced = Announced {
            recorded_in: String::new(),
            at: clock::now().0,
            segments: plan.segments.iter().filter_map(of).collect(),
            days: plan.days,
            bytes: plan.bytes,
            held: plan.held,
        };
        state.announced = Some(self.put_on_record(state, announced)?);
        write_state(&self.data_dir, state)?;
        Ok(())
    }

    /// With the segment up to which a checkpoint must vouch.
    fn put_on_record(&self, state: &State, announced: Announced) -> Result<Announced, NotRetired> {
        self.append(self.record(RetentionAction::Announced, state, &announced)?)?;
        let newest = kept_segments(&self.data_dir)?.pop();
        let recorded_in = newest.map(|(path, _)| name(&path)).unwrap_or_default();
        Ok(Announced { recorded_in, at: clock::now().0, ..announced })
    }

    /// What is said: all that has gone so far, and what goes now.
    fn record(&self, action: RetentionAction, state: &State, announced: &Announced) -> Result<Record, NotRetired> {
        let now_days = announced.days.iter().map(|day| (*day, *day));
        let days = joined(state.days.iter().copied().chain(now_days));
        let records = joined(state.records.iter().copied().chain(announced.records()));
        if days.len() > STRETCHES_MAX || records.len() > STRETCHES_MAX {
            return Err(NotRetired::TooManyGaps);
        }
        Ok(Record::Retention(Retention {
            action,
            keep_days: self.keep.days,
            keep_gib: gib(self.keep),
            segments: announced.segments.len() as u64,
            bytes: announced.bytes,
            held: announced.held,
            days: days.into_iter().map(|(first, last)| (day_text(first), day_text(last))).collect(),
            records,
        }))
    }

    fn append(&self, record: Record) -> Result<(), NotRetired> {
        Ok(self.runtime.block_on(self.journal.append(&record, clock::now()))?)
    }

    /// Removes what was announced, if that may be now; gives it back where it may not be yet.
    fn remove(&mut self, state: &mut State, announced: Announced) -> Result<Option<Announced>, NotRetired> {
        let directory = self.data_dir.join("journal");
        if !is_sealed(&directory.join(&announced.recorded_in))? {
            if clock::now().0.saturating_sub(announced.at) < SAY_AGAIN {
                return Ok(Some(announced));
            }
            let announced = self.put_on_record(state, announced)?;
            write_state(&self.data_dir, &State { announced: Some(announced.clone()), ..state.clone() })?;
            return Ok(Some(announced));
        }
        if !self.is_said(&announced)? {
            // The end of that segment was lost, and what it said with it.
            let announced = self.put_on_record(state, announced)?;
            write_state(&self.data_dir, &State { announced: Some(announced.clone()), ..state.clone() })?;
            return Ok(Some(announced));
        }
        let segments: Vec<PathBuf> = announced.segments.iter().map(|(name, _)| directory.join(name)).collect();
        // A hold that was placed meanwhile counts, and so does a config that was changed.
        let (paths, kept): (Vec<PathBuf>, Vec<KeptSegment>) = kept_segments(&self.data_dir)?.into_iter().unzip();
        let plan = self.plan(&paths, &kept)?;
        let goes: Vec<&PathBuf> = plan.segments.iter().filter_map(|place| paths.get(*place)).collect();
        let stays = |segment: &PathBuf| paths.contains(segment) && !goes.contains(&segment);
        if segments.iter().any(stays) {
            return self.withdraw(state, announced, &paths).map(|()| None);
        }
        {
            // Looking through the days may have taken long: whoever was told since that a client is held is right.
            let _still = holds::still();
            if standing_holds(&self.data_dir)? != self.known.holds {
                return Ok(Some(announced));
            }
            remove_segments(&self.data_dir, &segments)?;
        }
        self.append(self.record(RetentionAction::Dropped, state, &announced)?)?;
        let days = announced.days.iter().map(|day| (*day, *day));
        state.days = joined(state.days.drain(..).chain(days));
        state.records = joined(state.records.drain(..).chain(announced.records()));
        write_state(&self.data_dir, state)?;
        self.say().last = Some(format_time(clock::now()));
        Ok(None)
    }

    /// Whether the record that announces it stands in what a checkpoint vouches for.
    fn is_said(&self, announced: &Announced) -> Result<bool, NotRetired> {
        let (paths, _): (Vec<PathBuf>, Vec<KeptSegment>) = kept_segments(&self.data_dir)?.into_iter().unzip();
        let place = paths.iter().position(|path| name(path) == announced.recorded_in);
        // The record may have been the last of the segment in front.
        let near = place.map_or(&[][..], |place| paths.get(place.saturating_sub(1)..=place).unwrap_or_default());
        for segment in near.iter().rev() {
            if let Some(said) = newest_retention(segment)? {
                let said = joined(said.records);
                return Ok(announced.records().into_iter().all(|records| outside(records, &said).is_empty()));
            }
        }
        Ok(false)
    }

    /// Takes back what was announced, but for what had gone already when that was broken off.
    fn withdraw(&mut self, state: &mut State, announced: Announced, paths: &[PathBuf]) -> Result<(), NotRetired> {
        let is_there = |segment: &str| paths.iter().any(|path| name(path) == segment);
        let segments = announced.segments.into_iter().filter(|(segment, _)| !is_there(segment)).collect();
        let gone = Announced { days: Vec::new(), segments, bytes: 0, ..announced };
        self.append(self.record(RetentionAction::Withdrawn, state, &gone)?)?;
        state.records = joined(state.records.drain(..).chain(gone.records()));
        Ok(write_state(&self.data_dir, state)?)
    }

    fn plan(&mut self, paths: &[PathBuf], kept: &[KeptSegment]) -> Result<Plan, NotRetired> {
        let index_bytes = match Index::open(&self.data_dir).and_then(|index| index.used_bytes()) {
            // One that has not come to what went last is larger than it will be, and never as large as the journal.
            Ok(bytes) if self.indexes => bytes.min(kept.iter().map(|segment| segment.bytes).sum()),
            Ok(_) | Err(IndexError::None(_) | IndexError::Form(_)) => 0,
            Err(error) => return Err(error.into()),
        };
        let mut held = None;
        loop {
            match judge(kept, self.keep, today(), index_bytes, &self.known.days) {
                Judged::Plan(plan) => return Ok(plan),
                Judged::Ask(day) => {
                    let held = match &held {
                        Some(held) => held,
                        None => held.insert(self.held()?),
                    };
                    let of_day = paths.iter().zip(kept).filter(|(_, segment)| segment.day == day);
                    let is_held = self.appears(held, of_day.map(|(path, _)| path))?;
                    self.known.days.insert(day, is_held);
                }
            }
        }
    }

    fn held(&self) -> Result<Held, NotRetired> {
        let has_device = self.known.holds.iter().any(|standing| standing.hold.device.is_some());
        let notes = match has_device {
            true => read_notes(&self.data_dir, |_| {}).map_err(NotRetired::Unread)?,
            false => Notes::default(),
        };
        if notes.unreadable > 0 || notes.devices.beyond() > 0 {
            return Err(NotRetired::Devices);
        }
        Ok(Held::of(&self.known.holds, &notes.devices)?)
    }

    fn appears<'p>(&self, held: &Held, segments: impl Iterator<Item = &'p PathBuf>) -> Result<bool, NotRetired> {
        if held.is_empty() {
            return Ok(false);
        }
        let mut pace = Pace::new();
        for segment in segments {
            let found = has_record(segment, |record| held.has(record), || pace.goes_on(&self.ended));
            if found.map_err(NotRetired::Unread)?.ok_or(NotRetired::BrokenOff)? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn today() -> i64 {
    i64::try_from(clock::now().0).unwrap_or(i64::MAX) / DAY_US
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// What the file says; where there is none, what the newest record in the journal does.
fn read_state(data_dir: &Path, ended: &Receiver<()>) -> Result<State, NotRetired> {
    match fs::read_to_string(data_dir.join(STATE_FILE)) {
        Ok(text) => match serde_json::from_str(&text) {
            Ok(state) => return Ok(state),
            Err(error) => eprintln!("sekisho: warning: {STATE_FILE} cannot be read ({error}): the journal is asked"),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let begun = Instant::now();
    let mut reader = Reader::open(data_dir, None)?;
    let (mut block, mut done, mut announced) = (Vec::new(), None, None);
    let mut pace = Pace::new();
    while reader.next(&mut block)? {
        for retention in lines_of(&block).filter_map(read_retention) {
            match retention.action {
                RetentionAction::Announced => announced = Some(retention),
                RetentionAction::Dropped | RetentionAction::Withdrawn => (done, announced) = (Some(retention), None),
            }
        }
        if !pace.goes_on(ended) {
            return Err(NotRetired::BrokenOff);
        }
    }
    let mut state = done.map_or_else(State::default, |done| State {
        days: done.dropped_days(),
        records: joined(done.records),
        ..State::default()
    });
    if let Some(announced) = announced {
        // Of what was only announced it counts what is not there.
        let there = joined(kept_segments(data_dir)?.iter().map(|(_, kept)| (kept.first_seq, kept.last_seq)));
        let gone = announced.records.into_iter().flat_map(|records| outside(records, &there));
        state.records = joined(state.records.drain(..).chain(gone));
    }
    if !state.records.is_empty() {
        let seconds = begun.elapsed().as_secs();
        eprintln!("sekisho: warning: what has gone of the journal was found in the journal itself, in {seconds} s");
    }
    write_state(data_dir, &state)?;
    Ok(state)
}

fn write_state(data_dir: &Path, state: &State) -> io::Result<()> {
    kept::replace(&data_dir.join(STATE_FILE), [state])
}
