use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;
use crate::evidence::{Admin, Batch, Chain, Gap, Record, Segment, Source, Text, format_time};

use super::journal::{Durability, Group, JournalConfig, JournalHealth, Shared};
use super::segment;
use super::syncer::Syncer;

/// A group is synced when it holds this many records, or after this long. No `batch` record says more.
pub(super) const BATCH_RECORDS_MAX: usize = 1024;
const BATCH_DELAY: Duration = Duration::from_millis(20);
/// Records written and not yet synced, at most, while a sync takes long: then writing waits for it.
const AHEAD_RECORDS_MAX: u64 = 8 * BATCH_RECORDS_MAX as u64;
/// What one turn writes at most: records of the inbox, and the gate's own: two gaps, the opening of a
/// segment, and the batches that were full before, within and behind.
const TURN_RECORDS_MAX: u64 = BATCH_RECORDS_MAX as u64 + 8;

struct OpenSegment {
    file: File,
    /// The length of its whole lines.
    bytes: u64,
    /// Behind them stands part of a write that failed.
    torn: bool,
    hour: u64,
}

impl OpenSegment {
    /// Cuts off what a failed write left.
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.bytes)?;
            self.torn = false;
        }
        Ok(())
    }
}

/// The one that writes: a thread of its own, which alone knows the chain.
pub(super) struct Writer {
    shared: Arc<Shared>,
    config: JournalConfig,
    directory: PathBuf,
    /// Held for as long as the writer lives: a second process would fork the chain.
    _lock: File,
    open: Option<OpenSegment>,
    /// A segment that could not be begun, and not yet be removed.
    leftover: Option<PathBuf>,
    chain: Chain,
    /// Records since the last `batch` record, a segment's opening among them.
    in_batch: u64,
    /// Records that no sync has begun for.
    unsynced: u64,
    /// Records that the sync under way is for, while there is one.
    in_sync: u64,
    first_unsynced: Option<Instant>,
    scratch: Vec<u8>,
    line: Vec<u8>,
    /// What stands on each line: who keeps the journal.
    source: Vec<u8>,
    /// So many lost records a gap record has told of.
    lost_told: u64,
    syncer: Syncer,
}

impl Writer {
    /// Ready to write after `chain`; the thread that syncs is started.
    pub(super) fn new(
        shared: Arc<Shared>,
        config: JournalConfig,
        directory: PathBuf,
        lock: File,
        chain: Chain,
    ) -> io::Result<Self> {
        let bell = shared.clone();
        let syncer = Syncer::start(move || {
            // Taken so that the bell does not ring between a look and the wait behind it.
            drop(bell.inbox.lock().unwrap_or_else(PoisonError::into_inner));
            bell.arrived.notify_one();
        })?;
        let source =
            Source { gate: config.gate.as_str().into(), site: config.site.as_deref().map(Text::from) }.encode();
        Ok(Self {
            shared,
            config,
            directory,
            _lock: lock,
            open: None,
            leftover: None,
            chain,
            in_batch: 0,
            unsynced: 0,
            in_sync: 0,
            first_unsynced: None,
            scratch: Vec::new(),
            line: Vec::new(),
            source,
            lost_told: 0,
            syncer,
        })
    }

    /// Writes until the inbox has ended.
    ///
    /// # Errors
    /// The closing record could not be written, or what is written last not be synced.
    pub(super) fn run(mut self) -> io::Result<()> {
        loop {
            let (groups, ended) = self.wait();
            if ended {
                return self.close();
            }
            if !groups.is_empty() {
                self.write_groups(groups);
            }
            let _ = self.tell_failed_sync();
            if self.config.durability == Durability::Batch && self.due() && !self.syncer.busy() {
                self.begin_sync();
            }
        }
    }

    fn due(&self) -> bool {
        let old = self.first_unsynced.is_some_and(|since| since.elapsed() >= BATCH_DELAY);
        old || self.unsynced >= BATCH_RECORDS_MAX as u64
    }

    fn close(mut self) -> io::Result<()> {
        // The kernel tells a failure once: to the sync under way, not to the one below.
        self.syncer.end();
        let synced = self.tell_failed_sync();
        self.tell_losses();
        let closing = Record::Admin(Admin { action: "journal_closed", detail: None });
        let closed = self.write_own(&closing).and_then(|()| self.sync());
        if let Err(error) = &closed {
            self.fail(error);
        }
        closed.and(synced)
    }

    /// Tells the journal that a sync has failed, if one has.
    fn tell_failed_sync(&mut self) -> io::Result<()> {
        let Some(error) = self.syncer.take_failure() else { return Ok(()) };
        self.fail(&error);
        self.tell_gap("sync_failed", &error.to_string());
        Err(error)
    }

    /// Waits for records, the end, or the moment at which a sync can and must begin. The end is told
    /// when nothing waits any more.
    fn wait(&self) -> (Vec<Group>, bool) {
        let mut inbox = self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if inbox.groups.is_empty() && inbox.ended {
                return (Vec::new(), true);
            }
            if !inbox.groups.is_empty() && !self.stalled() {
                return (inbox.take(BATCH_RECORDS_MAX), false);
            }
            // Strict syncs with each group; otherwise a sync under way rings the bell when it has ended.
            let limit = match self.first_unsynced {
                Some(since) if self.config.durability == Durability::Batch && !self.syncer.busy() => {
                    Some(BATCH_DELAY.saturating_sub(since.elapsed()))
                }
                Some(_) | None => None,
            };
            let arrived = &self.shared.arrived;
            inbox = match limit {
                Some(Duration::ZERO) => return (Vec::new(), false),
                Some(limit) => arrived.wait_timeout(inbox, limit).unwrap_or_else(PoisonError::into_inner).0,
                None => arrived.wait(inbox).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Whether another turn could write further ahead of the sync under way than is allowed.
    fn stalled(&self) -> bool {
        self.syncer.busy() && self.in_sync + self.unsynced + TURN_RECORDS_MAX > AHEAD_RECORDS_MAX
    }

    fn write_groups(&mut self, groups: Vec<Group>) {
        let records = || groups.iter().flat_map(|group| &group.records);
        let count = records().count() as u64;
        self.tell_losses();
        let written = self.try_write(records().map(Vec::as_slice));
        let done = match (written, self.config.durability) {
            (Ok(()), Durability::Strict) => self.sync_with_batch_line(),
            (written, _) => written,
        };
        let accepted = done.is_ok();
        match done {
            Ok(()) => self.health(|health| {
                health.records += count;
                health.last_error = None;
            }),
            Err(error) => {
                self.fail(&error);
                self.health(|health| health.lost += count);
            }
        }
        for group in groups {
            let _ = group.accepted.send(accepted);
        }
    }

    /// Says in the journal how many records it did not get, as soon as it can be said.
    fn tell_losses(&mut self) {
        let mut lost = 0;
        self.health(|health| lost = health.lost);
        let untold = lost - self.lost_told;
        if untold > 0 && self.tell_gap("records_lost", &format!("{untold} records were not accepted")) {
            self.lost_told = lost;
        }
    }

    fn tell_gap(&mut self, cause: &'static str, detail: &str) -> bool {
        let gap = Record::Gap(Gap { cause, detail: detail.into(), bytes: None });
        self.write_own(&gap).is_ok()
    }

    /// Writes records whole or not at all, in a new segment where one is due.
    fn try_write<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        self.rotate()?;
        self.write_lines(records)
    }

    /// Writes to the open segment, with a `batch` record between wherever one is full: what a failed
    /// write left behind is cut off again, now or before the next write.
    fn write_lines<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        let before = (self.chain, self.in_batch);
        self.scratch.clear();
        for members in records {
            if self.in_batch >= BATCH_RECORDS_MAX as u64 {
                let batch = self.batch_record();
                self.encode_line(&batch);
                self.in_batch = 0;
            }
            self.encode_line(members);
            self.in_batch += 1;
        }
        let written = self.write_scratch();
        if written.is_err() {
            (self.chain, self.in_batch) = before;
            return written;
        }
        self.unsynced += self.chain.seq - before.0.seq;
        self.first_unsynced.get_or_insert_with(Instant::now);
        Ok(())
    }

    fn encode_line(&mut self, members: &[u8]) {
        self.line.clear();
        self.line.extend_from_slice(&self.source);
        self.line.extend_from_slice(members);
        self.chain.append(&self.line, &mut self.scratch);
    }

    fn write_scratch(&mut self) -> io::Result<()> {
        let Some(open) = &mut self.open else { return Err(io::Error::other("no open segment")) };
        open.mend()?;
        if let Err(error) = segment::write_whole(&mut open.file, &self.scratch) {
            open.torn = true;
            // If this fails, it is tried again before the next write.
            let _ = open.mend();
            return Err(error);
        }
        open.bytes += self.scratch.len() as u64;
        Ok(())
    }

    fn batch_record(&self) -> Vec<u8> {
        let batch = Record::Batch(Batch { records: self.in_batch, chain: self.chain.hash_hex() });
        batch.encode(clock::now())
    }

    /// Writes the `batch` record for what stands before it; never in a new segment.
    fn close_batch(&mut self) -> io::Result<()> {
        if self.in_batch == 0 || self.open.is_none() {
            return Ok(());
        }
        let before = self.chain;
        let batch = self.batch_record();
        self.scratch.clear();
        self.encode_line(&batch);
        let written = self.write_scratch();
        if written.is_err() {
            self.chain = before;
            return written;
        }
        self.in_batch = 0;
        self.unsynced += 1;
        Ok(())
    }

    pub(super) fn write_own(&mut self, record: &Record) -> io::Result<()> {
        let members = record.encode(clock::now());
        self.try_write(std::iter::once(members.as_slice()))
    }

    /// Opens a new segment at the first record, at a new hour, and at the size bound.
    fn rotate(&mut self) -> io::Result<()> {
        let now = clock::now();
        let hour = now.0 / 3_600_000_000;
        let stays = |open: &OpenSegment| open.hour == hour && open.bytes < self.config.segment_bytes_max;
        if self.open.as_ref().is_some_and(stays) {
            return Ok(());
        }
        if let Some(open) = &mut self.open {
            // Behind a torn line there must be no other segment.
            open.mend()?;
            // It is said with the next batch if it cannot be said here.
            let _ = self.close_batch();
            self.sync()?;
        }
        self.remove_leftover()?;
        let name = segment::name(self.chain.seq + 1, &format_time(now));
        let mut file = segment::create(&self.directory, &name)?;
        let opening = Record::Segment(Segment { prev: self.chain.hash_hex() });
        let mut line = Vec::new();
        let mut chain = self.chain;
        chain.append(&[self.source.as_slice(), &opening.encode(now)].concat(), &mut line);
        if let Err(error) = segment::write_whole(&mut file, &line) {
            self.leftover = Some(self.directory.join(name));
            let _ = self.remove_leftover();
            return Err(error);
        }
        self.chain = chain;
        self.in_batch += 1;
        self.unsynced += 1;
        self.open = Some(OpenSegment { file, bytes: line.len() as u64, torn: false, hour });
        Ok(())
    }

    fn remove_leftover(&mut self) -> io::Result<()> {
        if let Some(path) = &self.leftover {
            fs::remove_file(path)?;
            self.leftover = None;
        }
        Ok(())
    }

    /// Closes the batch and lets the other thread wait for the disk. Where the `batch` record finds no
    /// room, what was accepted is synced all the same, and a later one counts it.
    fn begin_sync(&mut self) {
        if let Err(error) = self.close_batch() {
            self.fail(&error);
        }
        let Some(open) = &self.open else {
            self.first_unsynced = None;
            return;
        };
        match self.syncer.begin(&open.file) {
            Ok(()) => {
                self.in_sync = self.unsynced;
                self.unsynced = 0;
                self.first_unsynced = None;
            }
            Err(error) => {
                self.fail(&error);
                // Tried again with the next batch, not in a tight loop.
                self.first_unsynced = Some(Instant::now());
            }
        }
    }

    fn sync_with_batch_line(&mut self) -> io::Result<()> {
        self.close_batch()?;
        self.sync()
    }

    fn sync(&mut self) -> io::Result<()> {
        if let Some(open) = &self.open {
            open.file.sync_data()?;
        }
        self.unsynced = 0;
        self.first_unsynced = None;
        Ok(())
    }

    fn health(&self, change: impl FnOnce(&mut JournalHealth)) {
        change(&mut self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner).health);
    }

    fn fail(&self, error: &io::Error) {
        self.health(|health| health.last_error = Some(error.to_string()));
    }
}

#[cfg(test)]
mod tests;
