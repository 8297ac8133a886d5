use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::evidence::{Admin, Gap, Health, Record};

use super::book::{BATCH_RECORDS_MAX, Book};
use super::journal::{
    Durability, Duty, Group, Inbox, JournalHealth, NotAccepted, Passage, ReserveHealth, Room, Shared, Sleep, TELLS_MAX,
    Weight,
};
use super::reserve::{self, Reserve};
use super::syncer::Syncer;

/// A group is synced when it holds a batch of records, or after this long.
pub(super) const BATCH_DELAY: Duration = Duration::from_millis(20);
/// Records written and not yet synced, at most, while a sync takes long: then writing waits for it.
const AHEAD_RECORDS_MAX: u64 = 8 * BATCH_RECORDS_MAX as u64;
/// What one turn writes at most: records of the inbox, and the gate's own: some gaps, the opening of a
/// segment, and the batches that were full before, within and behind.
const TURN_RECORDS_MAX: u64 = BATCH_RECORDS_MAX as u64 + 8 + TELLS_MAX as u64;
/// How often a full disk is looked at; doubled up to the second while it seems to have room and has none.
const PROBE: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(30);
/// So much must be free beyond the ballast before a disk that was full counts as having room.
const ROOM_BYTES_MIN: u64 = 1 << 20;

/// The one that writes: a thread of its own, which alone knows the chain.
pub(super) struct Writer {
    shared: Arc<Shared>,
    durability: Durability,
    data_dir: PathBuf,
    /// Held for as long as the writer lives: a second process would fork the chain.
    _lock: File,
    book: Book,
    syncer: Syncer,
    /// How long the reserve is to be; 0 for none.
    reserve_bytes: u64,
    reserve: Option<Reserve>,
    /// So many of its records stand in the journal already, though it could not be cleared yet.
    absorbed: usize,
    room: Room,
    probed: Instant,
    probe_pause: Duration,
    /// Records that the sync under way is for, while there is one.
    in_sync: u64,
    /// The last of them, until it is known what came of that sync.
    in_sync_to: Option<u64>,
    first_unsynced: Option<Instant>,
    /// So many lost records a gap record has told of.
    lost_told: u64,
    /// What the gate itself has to say, as soon as it can be written; encoded.
    untold: VecDeque<Vec<u8>>,
}

/// What there is to do.
#[derive(Default)]
struct Turn {
    groups: Vec<Group>,
    passages: Vec<Passage>,
    tells: VecDeque<Vec<u8>>,
    ended: bool,
}

impl Writer {
    /// Ready to write behind the book's end; the thread that syncs is started.
    pub(super) fn new(
        shared: Arc<Shared>,
        (durability, reserve_bytes): (Durability, u64),
        data_dir: PathBuf,
        lock: File,
        book: Book,
    ) -> io::Result<Self> {
        let bell = shared.clone();
        let syncer = Syncer::start(move || {
            // Taken so that the bell does not ring between a look and the wait behind it.
            drop(bell.inbox.lock().unwrap_or_else(PoisonError::into_inner));
            bell.arrived.notify_one();
        })?;
        let mut writer = Self {
            shared,
            durability,
            data_dir,
            _lock: lock,
            book,
            syncer,
            reserve_bytes,
            reserve: None,
            absorbed: 0,
            room: Room::Ample,
            probed: Instant::now(),
            probe_pause: PROBE,
            in_sync: 0,
            in_sync_to: None,
            first_unsynced: None,
            lost_told: 0,
            untold: VecDeque::new(),
        };
        let was_there = reserve::is_there(&writer.data_dir);
        writer.open_reserve();
        if was_there && writer.reserve.as_ref().is_some_and(|reserve| reserve.missing() > 0) {
            // It was given up on a full disk, which is no less full now: that is no room for anything new.
            writer.room = Room::LastRecords;
            writer.health(|health| health.last_error = Some("the disk is full".to_owned()));
            writer.tell_health();
        }
        Ok(writer)
    }

    /// Writes until the inbox has ended.
    ///
    /// # Errors
    /// The closing record could not be written, or what is written last not be synced.
    pub(super) fn run(mut self) -> io::Result<()> {
        self.absorb();
        loop {
            let turn = self.wait();
            if turn.ended {
                return self.close();
            }
            turn.tells.into_iter().for_each(|members| self.keep_untold(members));
            self.tell_losses();
            self.probe();
            if !turn.groups.is_empty() {
                self.write_groups(turn.groups);
            }
            if !turn.passages.is_empty() {
                self.write_passages(turn.passages);
            }
            self.end_sync();
            if self.durability == Durability::Batch && self.due() && !self.syncer.busy() {
                self.begin_sync();
            }
        }
    }

    /// What has come of the sync under way, if it has ended.
    fn end_sync(&mut self) {
        // Asked first: a failure is told before the sync has ended.
        let ended = !self.syncer.busy();
        let failed = self.tell_failed_sync().is_err();
        if let Some(to) = self.in_sync_to.take_if(|_| ended) {
            if failed { self.book.sync_has_failed() } else { self.book.is_synced(to) }
        }
    }

    fn due(&self) -> bool {
        let old = self.first_unsynced.is_some_and(|since| since.elapsed() >= BATCH_DELAY);
        old || self.book.unsynced >= BATCH_RECORDS_MAX as u64
    }

    fn close(mut self) -> io::Result<()> {
        // The kernel tells a failure once: to the sync under way, not to the one below.
        self.syncer.end();
        let synced = self.tell_failed_sync();
        self.tell_losses();
        self.absorb();
        self.leave_losses();
        let told = self.lost_told;
        let handing = self.inbox(|inbox| {
            // Who carries what comes from here on tells of what is left.
            inbox.health.lost -= if inbox.handing { told.min(inbox.health.lost) } else { 0 };
            inbox.handing
        });
        let action = if handing { "journal_handed_over" } else { "journal_closed" };
        let closing = Record::Admin(Admin { action, detail: None });
        let closed = self.write_own(&closing).and_then(|()| self.book.sync());
        if let Err(error) = &closed {
            self.fail(error);
        }
        closed.and(synced)
    }

    /// Tells the journal that a sync has failed, if one has: of the thread's, or of the book's own.
    fn tell_failed_sync(&mut self) -> io::Result<()> {
        let failed = self.book.take_failed_sync().map(io::Error::other);
        let Some(error) = self.syncer.take_failure().or(failed) else { return Ok(()) };
        self.fail(&error);
        self.health(|health| health.sync_failures += 1);
        self.tell(&Record::Gap(Gap {
            cause: "sync_failed",
            detail: error.to_string().as_str().into(),
            bytes: None,
            count: None,
        }));
        Err(error)
    }

    /// Waits for records, the end, or the moment at which something falls due. The end is told when
    /// nothing waits any more.
    fn wait(&self) -> Turn {
        let mut inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if inbox.handing {
                return Turn { ended: true, ..Turn::default() };
            }
            let passages: Vec<_> = inbox.passages.drain(..).collect();
            let tells = std::mem::take(&mut inbox.tells);
            let writes = !inbox.groups.is_empty() && !self.stalled();
            if writes || !passages.is_empty() || !tells.is_empty() {
                let groups = if writes { inbox.take(BATCH_RECORDS_MAX) } else { Vec::new() };
                return Turn { groups, passages, tells, ended: false };
            }
            if inbox.groups.is_empty() && inbox.ended {
                return Turn { ended: true, ..Turn::default() };
            }
            let (arrived, patience) = (&self.shared.arrived, self.patience());
            if patience == Some(Duration::ZERO) {
                return Turn::default();
            }
            inbox.sleep = if self.stalled() { Sleep::None } else { Sleep::of(patience) };
            inbox = match patience {
                Some(limit) => arrived.wait_timeout(inbox, limit).unwrap_or_else(PoisonError::into_inner).0,
                None => arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner),
            };
            inbox.sleep = Sleep::None;
        }
    }

    /// How long nothing falls due. Strict syncs with each group; otherwise a sync under way rings the bell
    /// when it has ended.
    fn patience(&self) -> Option<Duration> {
        let sync = match self.first_unsynced {
            Some(since) if self.durability == Durability::Batch && !self.syncer.busy() => {
                Some(BATCH_DELAY.saturating_sub(since.elapsed()))
            }
            Some(_) | None => None,
        };
        let probe = self.probes().then(|| self.probe_pause.saturating_sub(self.probed.elapsed()));
        match (sync, probe) {
            (Some(sync), Some(probe)) => Some(sync.min(probe)),
            (sync, probe) => sync.or(probe),
        }
    }

    /// Whether another turn could write further ahead of the sync under way than is allowed.
    fn stalled(&self) -> bool {
        self.syncer.busy() && self.in_sync + self.book.unsynced + TURN_RECORDS_MAX > AHEAD_RECORDS_MAX
    }

    /// Writes what may be written: everything while there is room; of a full disk's last room only what
    /// tells of exchanges that were let out before.
    fn write_groups(&mut self, mut groups: Vec<Group>) {
        groups.iter_mut().for_each(Group::leave_out_what_is_too_late);
        let entries = || groups.iter().flat_map(|group| &group.entries);
        let last = || entries().filter(|entry| entry.duty == Duty::After);
        let mut written = Room::None;
        if self.room == Room::Ample {
            match self.try_write(entries().map(|entry| entry.members.as_slice())) {
                Ok(()) => written = Room::Ample,
                Err(error) => self.out_of_room(&error),
            }
        }
        if self.room == Room::LastRecords {
            match self.try_write(last().map(|entry| entry.members.as_slice())) {
                Ok(()) => written = Room::LastRecords,
                Err(error) => self.out_of_room(&error),
            }
        }
        let (all, notes) = (entries().count(), entries().filter(|entry| entry.duty != Duty::Before).count());
        let (taken, lost) = match written {
            Room::Ample => (all, 0),
            Room::LastRecords => (last().count(), notes - last().count()),
            Room::None => (0, notes),
        };
        self.inbox(|inbox| {
            inbox.health.records += taken as u64;
            inbox.health.lost += lost as u64;
            inbox.answered(groups.len());
        });
        let answer = if written == Room::Ample { Ok(()) } else { Err(NotAccepted::Disk) };
        groups.into_iter().for_each(|group| group.answer(answer));
        if written == Room::Ample {
            self.wrote();
        }
    }

    /// Writes records, all or none; with strict durability they are synced when this returns.
    fn try_write<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let mut records = records.peekable();
        if records.peek().is_none() {
            return Ok(());
        }
        let written = self.book.write(records);
        let done = match (written, self.durability) {
            (Ok(()), Durability::Strict) => self.book.sync_with_batch_line().inspect_err(|_| self.book.retreat()),
            (written, Durability::Strict | Durability::Batch) => written,
        };
        self.first_unsynced = match self.book.unsynced {
            0 => None,
            _ => self.first_unsynced.or_else(|| Some(Instant::now())),
        };
        self.note_growth();
        done.inspect_err(|error| self.fail(error))
    }

    fn write_own(&mut self, record: &Record) -> io::Result<()> {
        let members = record.encode(clock::now());
        self.try_write(std::iter::once(members.as_slice()))
    }

    /// Records are written: what had failed before is over, and what waited for it is told.
    fn wrote(&mut self) {
        self.health(|health| health.last_error = None);
        self.absorb();
    }

    /// Has something written as soon as it can be.
    pub(super) fn tell(&mut self, record: &Record) {
        self.keep_untold(record.encode(clock::now()));
        self.tell_losses();
    }

    fn keep_untold(&mut self, members: Vec<u8>) {
        if self.untold.len() >= TELLS_MAX {
            self.untold.pop_front();
        }
        self.untold.push_back(members);
    }

    /// Writes what waits to be told, and how much there is no record of.
    fn tell_losses(&mut self) {
        if self.room != Room::Ample {
            return;
        }
        while let Some(members) = self.untold.pop_front() {
            if let Err(error) = self.try_write(std::iter::once(members.as_slice())) {
                self.untold.push_front(members);
                self.out_of_room(&error);
                return;
            }
            self.health(|health| health.last_error = None);
        }
        let Some((gap, lost)) = self.losses() else { return };
        match self.write_own(&gap) {
            Ok(()) => {
                self.lost_told = lost;
                self.health(|health| health.last_error = None);
            }
            Err(error) => self.out_of_room(&error),
        }
    }

    /// The record of what was lost since one told of it, and the count that it brings that to.
    fn losses(&self) -> Option<(Record, u64)> {
        let lost = self.inbox(|inbox| inbox.health.lost);
        let untold = lost.saturating_sub(self.lost_told);
        let detail = format!("{untold} ends of exchanges, or requests refused meanwhile, have no record");
        let gap = Record::Gap(Gap { cause: "records_lost", detail: detail.as_str().into(), bytes: None, count: None });
        (untold > 0).then_some((gap, lost))
    }

    /// At the end of a gate whose disk is full: leaves in the reserve what could not be told.
    fn leave_losses(&mut self) {
        let (losses, lost) = self.losses().map(|(gap, lost)| (gap.encode(clock::now()), lost)).unzip();
        let left: Vec<_> = self.untold.drain(..).chain(losses).collect();
        let chain = self.book.chain;
        if let Some(reserve) = self.reserve.as_mut().filter(|_| !left.is_empty()) {
            let kept = reserve.write(&left, Weight::Own, chain, clock::now());
            if let (Ok(()), Some(lost)) = (kept, lost) {
                self.lost_told = lost;
            }
        }
    }

    /// Closes the batch, if that is due, and lets the other thread wait for the disk. Where the `batch` record finds no
    /// room, what was accepted is synced all the same, and a later one counts it.
    fn begin_sync(&mut self) {
        if let Err(error) = self.book.close_batch_if_due() {
            self.fail(&error);
        }
        self.note_growth();
        let Some(open) = &self.book.open else {
            self.first_unsynced = None;
            return;
        };
        match self.syncer.begin(open.file.as_ref()) {
            Ok(()) => {
                self.in_sync = self.book.unsynced;
                self.in_sync_to = Some(self.book.chain.seq);
                self.book.unsynced = 0;
                self.first_unsynced = None;
            }
            Err(error) => {
                self.fail(&error);
                // Tried again with the next batch, not in a tight loop.
                self.first_unsynced = Some(Instant::now());
            }
        }
    }

    fn inbox<T>(&self, change: impl FnOnce(&mut Inbox) -> T) -> T {
        change(&mut self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn health(&self, change: impl FnOnce(&mut JournalHealth)) {
        self.inbox(|inbox| change(&mut inbox.health));
    }

    fn fail(&self, error: &io::Error) {
        self.health(|health| health.last_error = Some(error.to_string()));
    }

    fn note_growth(&self) {
        let Some(open) = &self.book.open else { return };
        self.inbox(|inbox| {
            if inbox.segment != Some(open.begun) {
                inbox.segment = Some(open.begun);
                inbox.usage.begin(open.begun, open.bytes);
            }
            inbox.usage.grown_to(open.bytes);
        });
    }
}

/// A full disk, and the reserve that is held for it.
impl Writer {
    /// Opens the reserve, and makes it whole.
    fn open_reserve(&mut self) {
        let opened = match &mut self.reserve {
            Some(reserve) => reserve.refill(),
            // Where none is wanted any more, one may still hold records.
            None if self.reserve_bytes == 0 && !reserve::is_there(&self.data_dir) => Ok(()),
            None => Reserve::open(&self.data_dir, self.reserve_bytes).and_then(|mut reserve| {
                let filled = reserve.refill();
                self.reserve = Some(reserve);
                filled
            }),
        };
        let error = opened.err().map(|error| error.to_string());
        self.health(|health| health.reserve_error = error);
        self.tell_health();
    }

    /// A write has failed: if that is for want of room, the ballast makes some for the last records.
    fn out_of_room(&mut self, error: &io::Error) {
        if !matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return;
        }
        let first = self.room == Room::Ample;
        let released = first && self.reserve.as_mut().is_some_and(Reserve::release);
        self.room = if released { Room::LastRecords } else { Room::None };
        self.probed = Instant::now();
        self.tell_health();
        if released {
            let detail = "the disk is full: the reserve is given up for the last records, and nothing new is let out";
            let full = Record::Health(Health { subject: "disk", level: "full", detail: detail.into() });
            let _ = self.write_own(&full);
        }
    }

    /// Whether the disk is to be looked at now and then.
    fn probes(&self) -> bool {
        self.room != Room::Ample
            || match &self.reserve {
                Some(reserve) => reserve.missing() > 0,
                None => self.reserve_bytes > 0,
            }
    }

    /// Looks whether a full disk has room again. The reserve is made whole before anything else, and there
    /// is room only once a record was written and synced.
    fn probe(&mut self) {
        if !self.probes() || self.probed.elapsed() < self.probe_pause {
            return;
        }
        self.probed = Instant::now();
        let missing = self.reserve.as_ref().map_or(self.reserve_bytes, Reserve::missing);
        let Ok(free) = self.book.disk.free_bytes(&self.data_dir) else { return };
        if free < missing + ROOM_BYTES_MIN {
            self.probe_pause = PROBE;
            return;
        }
        self.open_reserve();
        let whole = self.reserve.as_ref().map_or(self.reserve_bytes, Reserve::missing) == 0;
        if self.room == Room::Ample || !whole {
            return;
        }
        let detail = "the disk has room again, and records are taken";
        let ample = Record::Health(Health { subject: "disk", level: "ample", detail: detail.into() });
        if self.write_own(&ample).and_then(|()| self.book.sync()).is_err() {
            // It has bytes, and something else is missing: inodes, or what a quota allows.
            if self.room == Room::LastRecords {
                self.reserve.as_mut().map(Reserve::release);
            }
            self.probe_pause = PROBE_MAX.min(self.probe_pause * 2);
            self.tell_health();
            return;
        }
        self.probe_pause = PROBE;
        self.room = Room::Ample;
        self.tell_health();
        self.tell_losses();
        self.wrote();
    }

    /// Writes the short records of exchanges that pass under a breakglass to the reserve, and what the gate
    /// itself has to say.
    fn write_passages(&mut self, passages: Vec<Passage>) {
        let count = passages.len();
        let (own, exchanges): (Vec<_>, Vec<_>) =
            passages.into_iter().partition(|passage| passage.weight == Weight::Own);
        let mut answers = Vec::with_capacity(count);
        for (weight, passages) in [(Weight::Exchange, exchanges), (Weight::Own, own)] {
            let (records, waiting): (Vec<_>, Vec<_>) =
                passages.into_iter().map(|passage| (passage.members, passage.accepted)).unzip();
            let chain = self.book.chain;
            let written = match &mut self.reserve {
                Some(_) if records.is_empty() => continue,
                Some(reserve) => reserve.write(&records, weight, chain, clock::now()).map_err(|_| NotAccepted::Disk),
                None => Err(NotAccepted::Disk),
            };
            answers.extend(waiting.into_iter().map(|accepted| (accepted, written)));
        }
        self.inbox(|inbox| inbox.answered(count));
        self.tell_health();
        for (accepted, written) in answers {
            let _ = accepted.send(written);
        }
    }

    /// Takes the records of the reserve into the journal, as soon as it can be written. If the gate dies
    /// in between they are taken twice, under the same ids.
    fn absorb(&mut self) {
        if self.room != Room::Ample {
            return;
        }
        let Some(reserve) = self.reserve.as_ref().filter(|reserve| reserve.passages() > 0) else { return };
        // On a disk that keeps nothing they would be taken again and again.
        if self.syncer.busy() || self.book.sync().is_err() {
            return;
        }
        let Ok(records) = reserve.records() else { return };
        // Failures from before bear on nothing that is written below.
        let _ = self.tell_failed_sync();
        let detail = format!(
            "no full record could be written for a time: {} short ones of the reserve follow, and what came of their \
             exchanges may be missing",
            records.len()
        );
        let gap = Record::Gap(Gap { cause: "reserve", detail: detail.as_str().into(), bytes: None, count: None });
        let gap = gap.encode(clock::now());
        for batch in records.get(self.absorbed..).unwrap_or_default().chunks(BATCH_RECORDS_MAX) {
            let first = (self.absorbed == 0).then_some(&gap);
            if let Err(error) = self.try_write(first.into_iter().chain(batch).map(Vec::as_slice)) {
                self.out_of_room(&error);
                return;
            }
            self.absorbed += batch.len();
            self.health(|health| health.records += batch.len() as u64);
        }
        // What is not kept yet must not be forgotten: the kernel tells of a failure once, to whoever syncs
        // first, and a later sync says nothing of it. Then all of it is taken again.
        if self.syncer.busy() {
            return;
        }
        if self.book.sync().is_err() | self.tell_failed_sync().is_err() {
            self.absorbed = 0;
            return;
        }
        self.absorbed = 0;
        if let Some(Err(error)) = self.reserve.as_mut().map(Reserve::clear) {
            // What cannot be cleared would be taken again and again.
            (self.reserve, self.reserve_bytes) = (None, 0);
            self.health(|health| health.reserve_error = Some(error.to_string()));
        }
        if self.reserve_bytes == 0 {
            // It was there for these records alone.
            self.reserve = None;
            let _ = std::fs::remove_file(self.data_dir.join(reserve::FILE_NAME));
        }
        self.tell_health();
    }

    /// Lets whoever asks know how the disk and the reserve stand.
    fn tell_health(&self) {
        let room = self.room;
        let reserve = self.reserve.as_ref().map(|reserve| ReserveHealth {
            room_bytes: reserve.room(),
            used_bytes: reserve.used(),
            passages: reserve.passages(),
            has_ballast: reserve.has_ballast(),
        });
        self.health(|health| {
            health.room = room;
            health.reserve = reserve;
        });
    }
}

#[cfg(test)]
mod tests;
