use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock;
use crate::evidence::{Batch, Chain, Record, Segment, Source, Text};
use crate::facts::Timestamp;

use super::disk::{Disk, DiskFile};
use super::journal::JournalConfig;
use super::segment;

/// Records in front of one `batch` record, at most.
pub(super) const BATCH_RECORDS_MAX: usize = 1024;
/// With so many records, or after so long, a sync has a `batch` record of its own. At the pace of an office each record is
/// synced by itself, and a line for each would double the journal.
const BATCH_RECORDS: u64 = 256;
const BATCH_SPAN: Duration = Duration::from_secs(1);

pub(super) struct OpenSegment {
    pub(super) file: Box<dyn DiskFile>,
    /// When it was begun.
    pub(super) begun: Timestamp,
    /// The length of its whole lines.
    pub(super) bytes: u64,
    /// Behind them stands part of a write that failed.
    pub(super) torn: bool,
    path: PathBuf,
    /// Where the journal stood before it was begun.
    before: Mark,
    /// Where it stood at the last sync of this segment.
    synced: Option<Mark>,
}

/// A place in the journal to go back to.
#[derive(Debug, Clone, Copy)]
struct Mark {
    chain: Chain,
    in_batch: u64,
    bytes: u64,
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

    fn hour(&self) -> u64 {
        hour(self.begun)
    }
}

fn hour(time: Timestamp) -> u64 {
    time.0 / 3_600_000_000
}

/// The journal as it stands on the disk: lines are chained to its end, whole or not at all, segment
/// after segment.
pub(super) struct Book {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) directory: PathBuf,
    pub(super) segment_bytes_max: u64,
    pub(super) open: Option<OpenSegment>,
    /// A segment that could not be begun, and not yet be removed.
    leftover: Option<PathBuf>,
    pub(super) chain: Chain,
    /// Records since the last `batch` record, a segment's opening among them.
    pub(super) in_batch: u64,
    /// When the last `batch` record was written, or the first was waited for.
    batch_before: Instant,
    /// Records that no sync has begun for.
    pub(super) unsynced: u64,
    /// The number of the last record that is on the disk.
    synced: u64,
    /// A sync of the open segment has failed: what a later one says of it is not known to be so.
    lossy: bool,
    /// A sync of its own has failed since this was last asked.
    failed_sync: Option<String>,
    scratch: Vec<u8>,
    line: Vec<u8>,
    /// What stands on each line: who keeps the journal.
    source: Vec<u8>,
}

impl Book {
    /// Goes on behind `chain`, in a new segment.
    pub(super) fn new(disk: Arc<dyn Disk>, config: &JournalConfig, directory: PathBuf, chain: Chain) -> Self {
        let source =
            Source { gate: config.gate.as_str().into(), site: config.site.as_deref().map(Text::from) }.encode();
        Self {
            disk,
            directory,
            segment_bytes_max: config.segment_bytes_max,
            open: None,
            leftover: None,
            chain,
            in_batch: 0,
            batch_before: Instant::now(),
            unsynced: 0,
            // What was found at the start was read from there.
            synced: chain.seq,
            lossy: false,
            failed_sync: None,
            scratch: Vec::new(),
            line: Vec::new(),
            source,
        }
    }

    /// Writes records whole or not at all, in a new segment where one is due.
    pub(super) fn write<'a>(&mut self, records: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
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
        if let Err(error) = open.file.write_whole(&self.scratch) {
            open.torn = true;
            // If this fails, it is tried again before the next write.
            let _ = open.mend();
            return Err(error);
        }
        open.bytes += self.scratch.len() as u64;
        Ok(())
    }

    fn batch_record(&self) -> Vec<u8> {
        let batch = Record::Batch(Batch { records: self.in_batch, synced: self.synced, chain: self.chain.hash_hex() });
        batch.encode(clock::now())
    }

    /// Writes a `batch` record where one is due.
    pub(super) fn close_batch_if_due(&mut self) -> io::Result<()> {
        let is_due = self.in_batch >= BATCH_RECORDS || self.batch_before.elapsed() >= BATCH_SPAN;
        if is_due { self.close_batch() } else { Ok(()) }
    }

    /// Writes the `batch` record for what stands before it; never in a new segment.
    pub(super) fn close_batch(&mut self) -> io::Result<()> {
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
        self.batch_before = Instant::now();
        self.unsynced += 1;
        Ok(())
    }

    /// Opens a new segment at the first record, at a new hour, and at the size bound.
    fn rotate(&mut self) -> io::Result<()> {
        let now = clock::now();
        let stays = |open: &OpenSegment| open.hour() == hour(now) && open.bytes < self.segment_bytes_max;
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
        let path = self.directory.join(segment::name(self.chain.seq + 1, now));
        let mut file = self.disk.create(&path)?;
        let opening = Record::Segment(Segment { prev: self.chain.hash_hex() });
        let mut line = Vec::new();
        let mut chain = self.chain;
        chain.append(&[self.source.as_slice(), &opening.encode(now)].concat(), &mut line);
        let begun = self.disk.sync_directory(&self.directory).and_then(|()| file.write_whole(&line));
        if let Err(error) = begun {
            self.leftover = Some(path);
            let _ = self.remove_leftover();
            return Err(error);
        }
        let before = Mark { chain: self.chain, in_batch: self.in_batch, bytes: 0 };
        self.chain = chain;
        self.in_batch += 1;
        self.unsynced += 1;
        let bytes = line.len() as u64;
        self.open = Some(OpenSegment { file, begun: now, bytes, torn: false, path, before, synced: None });
        self.lossy = false;
        Ok(())
    }

    /// Takes back what was written since the last sync, as one of its syncs has failed: the kernel may
    /// have dropped those pages, and a later sync would not say so. Only where nothing of it was accepted.
    pub(super) fn retreat(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        let mark = open.synced.unwrap_or(open.before);
        (self.chain, self.in_batch, self.unsynced) = (mark.chain, mark.in_batch, 0);
        if open.synced.is_none() {
            self.leftover = Some(open.path);
            let _ = self.remove_leftover();
            return;
        }
        (open.bytes, open.torn) = (mark.bytes, true);
        let _ = open.mend();
        self.open = Some(open);
    }

    fn remove_leftover(&mut self) -> io::Result<()> {
        if let Some(path) = &self.leftover {
            self.disk.remove(path)?;
            self.leftover = None;
        }
        Ok(())
    }

    /// Why a sync of the book's own failed since this was last asked: the kernel says so once, and the next
    /// one may succeed without what this one lost.
    pub(super) fn take_failed_sync(&mut self) -> Option<String> {
        self.failed_sync.take()
    }

    pub(super) fn sync_with_batch_line(&mut self) -> io::Result<()> {
        self.close_batch_if_due()?;
        self.sync()
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        if let Some(open) = &mut self.open {
            if let Err(error) = open.file.sync() {
                self.failed_sync = Some(error.to_string());
                self.lossy = true;
                return Err(error);
            }
            open.synced = Some(Mark { chain: self.chain, in_batch: self.in_batch, bytes: open.bytes });
        }
        self.unsynced = 0;
        self.is_synced(self.chain.seq);
        Ok(())
    }

    /// A sync of all up to this record has ended well.
    pub(super) fn is_synced(&mut self, seq: u64) {
        if !self.lossy {
            self.synced = self.synced.max(seq);
        }
    }

    /// A sync of the open segment that was not the book's own has failed.
    pub(super) fn sync_has_failed(&mut self) {
        self.lossy = true;
    }
}
