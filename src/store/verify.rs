//! Whether the journal stands as it was written, and who vouches for it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::evidence::{
    Break, Chain, Checkpoint, CheckpointKey, HASH_ZERO, NO_CHECKPOINT, NoCheckpoint, Verifier, first_outside, joined,
    read_retention,
};

use super::reserve;
use super::seal::{checkpoint_path, checkpoints, read_checkpoint};
use super::sealed::sealed_path;
use super::segment::{Lines, OpenError, before_segment, io_error, list};

/// What a journal is checked by.
#[derive(Debug, Clone, Default)]
pub struct VerifyBy {
    /// The first record that is to be there; those before it were moved away. 0 and 1 for all.
    pub from: u64,
    /// By whose key checkpoints are to be signed.
    pub key: Option<CheckpointKey>,
    /// Lines of checkpoints that were sent off the machine, in any order.
    pub elsewhere: Vec<String>,
}

/// What `verify` read.
#[derive(Debug)]
pub struct VerifyReport {
    pub segments: usize,
    /// Those of them that are sealed.
    pub sealed: usize,
    pub records: u64,
    pub hash: String,
    /// The last record that a checkpoint vouches for; of what is behind it only the chain is known.
    pub vouched_to: u64,
    /// Records that are not there, of days that went as the config has it: a record that a checkpoint vouches for says so.
    pub dropped: u64,
    /// So many checkpoints from elsewhere are those that are here.
    pub elsewhere: usize,
    /// Bytes after the last whole line: a crash, mended at the next start.
    pub torn_bytes: u64,
    /// Short records in the reserve that the journal has not taken yet.
    pub reserve_records: u64,
}

/// What does not fit between the journal and its checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointBreak {
    #[error("the segment was sealed, and its checkpoint is missing")]
    Missing,
    #[error("its checkpoint cannot be taken: {0}")]
    NotOurs(NoCheckpoint),
    #[error("what the segment holds is not what its checkpoint says: it was altered after it was sealed")]
    Altered,
    #[error("its checkpoint does not name the one before it: one was removed, added or moved")]
    Order,
    #[error("a checkpoint vouches for a segment that is missing: records {first} to {last}")]
    SegmentMissing { first: u64, last: u64 },
    #[error("the checkpoint that was sent off the machine is another: history was written anew")]
    OtherElsewhere,
    #[error(
        "a checkpoint that was sent off the machine, for records {first} to {last}, has no segment here: the end was cut off"
    )]
    CutOff { first: u64, last: u64 },
    #[error("what was sent off the machine holds a line that is no checkpoint of this key: {0}")]
    BadElsewhere(NoCheckpoint),
}

/// Checks the journal below a data directory: from its record 1 on, or from a later one with which one of
/// its segments begins, where the segments before were moved away. Such a start is taken at its own word for
/// what the hash was before it.
///
/// # Errors
/// The first segment and record that was altered, removed or moved, or what could not be read.
pub fn verify(data_dir: &Path, by: &VerifyBy) -> Result<VerifyReport, OpenError> {
    let reserve_records = reserve::held(data_dir).map_err(|source| io_error(data_dir, source))?;
    let directory = data_dir.join("journal");
    let paths = list(&directory).map_err(|source| io_error(&directory, source))?;
    let mut checking = Checking {
        by,
        previous: NO_CHECKPOINT.to_owned(),
        elsewhere: elsewhere(&directory, by)?,
        found_elsewhere: 0,
        vouched_to: 0,
        holes: Vec::new(),
        told: None,
        dropped: Vec::new(),
    };
    let mut left = checkpoints(&directory).map_err(|source| io_error(&directory, source))?;
    left.reverse();
    let mut verifier: Option<Verifier> = None;
    let (mut torn_bytes, mut records, mut sealed) = (0, 0, 0);
    for path in &paths {
        let own = checkpoint_path(path);
        while left.last().is_some_and(|checkpoint| *checkpoint < own) {
            let orphan = left.pop().unwrap_or_default();
            checking.without_segment(&orphan, &mut verifier)?;
        }
        let begins = verifier.as_ref().map(Verifier::chain);
        let mut lines = match Lines::open(path) {
            // Its day went meanwhile: its checkpoint comes next, as one without a segment.
            Err(OpenError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
            lines => lines.map_err(|error| unpacked(error, path, begins))?,
        };
        let mut before = None;
        let mut bytes = 0;
        loop {
            let line = match lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => return Err(unpacked(error, path, verifier.as_ref().map(Verifier::chain))),
            };
            let mut reader = match verifier.take() {
                Some(reader) => reader,
                None => Verifier::new(starts_at(line, by.from)),
            };
            before.get_or_insert(reader.chain());
            reader.line(line).map_err(|source| OpenError::Broken { segment: path.clone(), source })?;
            (records, bytes) = (records + 1, bytes + line.len() as u64 + 1);
            checking.hear(line);
            verifier = Some(reader);
        }
        torn_bytes = lines.torn_bytes;
        let after = verifier.as_ref().map_or_else(Chain::start, Verifier::chain);
        if torn_bytes > 0 && Some(path) != paths.last() {
            return Err(OpenError::Broken { segment: path.clone(), source: Break::NotARecord { after: after.seq } });
        }
        sealed += usize::from(!path.exists());
        if left.last() == Some(&own) {
            left.pop();
            checking.segment(path, &own, (before.unwrap_or(after), after), bytes)?;
        } else if !path.exists() && !own.exists() {
            return Err(OpenError::Checkpoint { path: sealed_path(path), source: CheckpointBreak::Missing });
        }
        // With a checkpoint that was not there when they were looked for, a gate that runs has sealed it meanwhile: that is
        // for the next time. The checkpoint comes before the segment as it was written goes.
    }
    while let Some(orphan) = left.pop() {
        checking.without_segment(&orphan, &mut verifier)?;
    }
    let dropped = checking.excused()?;
    if let Some((_, checkpoint)) = checking.elsewhere.values().next() {
        let (first, last) = (checkpoint.first_seq, checkpoint.last_seq);
        let source = if last <= checking.vouched_to {
            CheckpointBreak::OtherElsewhere
        } else {
            CheckpointBreak::CutOff { first, last }
        };
        return Err(OpenError::Checkpoint { path: directory.join(&checkpoint.segment), source });
    }
    let chain = verifier.map_or_else(Chain::start, |reader| reader.chain());
    Ok(VerifyReport {
        segments: paths.len(),
        sealed,
        records,
        hash: chain.hash_hex(),
        vouched_to: checking.vouched_to,
        dropped,
        elsewhere: checking.found_elsewhere,
        torn_bytes,
        reserve_records,
    })
}

/// What a damaged frame is, in the terms of records.
fn unpacked(error: OpenError, path: &Path, at: Option<Chain>) -> OpenError {
    match error {
        OpenError::Io { source, .. } if source.kind() == io::ErrorKind::InvalidData => OpenError::Broken {
            segment: sealed_path(path),
            source: Break::NotARecord { after: at.map_or(0, |chain| chain.seq) },
        },
        error => error,
    }
}

/// Checkpoints from elsewhere, by the names of their segments.
type Elsewhere = BTreeMap<String, (String, Checkpoint)>;

fn elsewhere(directory: &Path, by: &VerifyBy) -> Result<Elsewhere, OpenError> {
    let mut found = BTreeMap::new();
    for line in &by.elsewhere {
        let read = match &by.key {
            Some(key) => Checkpoint::read(line, key),
            None => Checkpoint::peek(line),
        };
        let checkpoint = read.map_err(|source| OpenError::Checkpoint {
            path: directory.to_owned(),
            source: CheckpointBreak::BadElsewhere(source),
        })?;
        // Of what was moved away nothing is checked.
        if checkpoint.first_seq >= by.from {
            found.insert(checkpoint.segment.clone(), (line.trim_end().to_owned(), checkpoint));
        }
    }
    Ok(found)
}

struct Checking<'a> {
    by: &'a VerifyBy,
    /// The hash of the checkpoint before.
    previous: String,
    elsewhere: Elsewhere,
    found_elsewhere: usize,
    vouched_to: u64,
    /// Checkpoints without their segments, and of which records.
    holes: Vec<(PathBuf, (u64, u64))>,
    /// All records that have gone, by the newest record that says so: one that no checkpoint vouches for yet, and one for
    /// which one does.
    told: Option<Vec<(u64, u64)>>,
    dropped: Vec<(u64, u64)>,
}

impl Checking<'_> {
    /// A checkpoint with its segment.
    fn segment(
        &mut self,
        segment: &Path,
        path: &Path,
        (before, after): (Chain, Chain),
        bytes: u64,
    ) -> Result<(), OpenError> {
        let checkpoint = self.take(path)?;
        let name = segment.file_name().unwrap_or_default().to_string_lossy();
        let fits = checkpoint.segment == name
            && (checkpoint.first_seq, checkpoint.last_seq) == (before.seq + 1, after.seq)
            && (checkpoint.before, checkpoint.after) == (before.hash_hex(), after.hash_hex())
            && checkpoint.bytes == bytes;
        if !fits {
            return Err(OpenError::Checkpoint { path: path.to_owned(), source: CheckpointBreak::Altered });
        }
        self.vouched_to = checkpoint.last_seq;
        // What it vouches for is believed, and what is only in the file of a running gate is not.
        if let Some(told) = self.told.take() {
            self.dropped = joined(told);
        }
        Ok(())
    }

    /// A checkpoint whose segment is not there: it may be one that was moved away, or of a day that went. Its own word stands
    /// for the hash behind it.
    fn without_segment(&mut self, path: &Path, verifier: &mut Option<Verifier>) -> Result<(), OpenError> {
        let Checkpoint { first_seq: first, last_seq: last, before, after, .. } = self.take(path)?;
        if last < self.by.from {
            return Ok(());
        }
        let missing = CheckpointBreak::SegmentMissing { first, last };
        let broken = |source| OpenError::Checkpoint { path: path.to_owned(), source };
        let chain = match verifier {
            Some(reader) => reader.chain(),
            None if self.by.from > 1 => {
                Chain { seq: first.saturating_sub(1), hash: hash(&before).unwrap_or(HASH_ZERO) }
            }
            None => Chain::start(),
        };
        if chain.seq.checked_add(1) != Some(first) || first > last || chain.hash_hex() != before {
            return Err(broken(missing));
        }
        let behind = hash(&after).map(|hash| Chain { seq: last, hash });
        *verifier = Some(Verifier::new(behind.ok_or_else(|| broken(CheckpointBreak::NotOurs(NoCheckpoint::NotOne)))?));
        self.holes.push((path.to_owned(), (first, last)));
        Ok(())
    }

    /// Takes up what a record says of records that have gone.
    fn hear(&mut self, line: &[u8]) {
        if let Some(retention) = read_retention(line) {
            self.told = Some(retention.records);
        }
    }

    /// How many records have gone, all of them by records that a checkpoint vouches for.
    fn excused(&self) -> Result<u64, OpenError> {
        let mut dropped = 0;
        for (path, (first, last)) in &self.holes {
            let first = (*first).max(self.by.from);
            if first_outside((first, *last), &self.dropped).is_some() {
                let source = CheckpointBreak::SegmentMissing { first, last: *last };
                return Err(OpenError::Checkpoint { path: path.clone(), source });
            }
            dropped += last - first + 1;
        }
        Ok(dropped)
    }

    /// Reads one, and looks whether it follows the one before.
    fn take(&mut self, path: &Path) -> Result<Checkpoint, OpenError> {
        let broken = |source| OpenError::Checkpoint { path: path.to_owned(), source };
        let line = read_checkpoint(path).map_err(|source| io_error(path, source))?;
        let read = match &self.by.key {
            Some(key) => Checkpoint::read(&line, key),
            None => Checkpoint::peek(&line),
        };
        let checkpoint = read.map_err(|source| broken(CheckpointBreak::NotOurs(source)))?;
        let is_first = self.previous == NO_CHECKPOINT;
        if checkpoint.previous != self.previous && !(is_first && self.by.from > 1) {
            return Err(broken(CheckpointBreak::Order));
        }
        if let Some((sent, _)) = self.elsewhere.remove(&checkpoint.segment) {
            if sent != line.trim_end() {
                return Err(broken(CheckpointBreak::OtherElsewhere));
            }
            self.found_elsewhere += 1;
        }
        self.previous = Checkpoint::hash(&line);
        Ok(checkpoint)
    }
}

/// The chain in front of the first line that is there, where that is the record asked for; else one behind
/// which any line is a break.
fn starts_at(line: &[u8], from: u64) -> Chain {
    let wanted = Chain { seq: from.saturating_sub(1), ..Chain::start() };
    before_segment(line).filter(|before| from > 1 && before.seq == wanted.seq).unwrap_or(wanted)
}

fn hash(hex: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(hex).ok().map(|hash| *hash.as_bytes())
}

/// The lines of checkpoints in a file, or in the files of a directory, as they were sent. What a log puts in front of them, such
/// as the header of syslog, is left out, and so is what else it holds.
///
/// # Errors
/// Something cannot be read, or a file holds no such line.
pub fn read_checkpoints(path: &Path) -> io::Result<Vec<String>> {
    let files: Vec<PathBuf> = if path.is_dir() { checkpoints(path)? } else { vec![path.to_owned()] };
    let mut lines = Vec::new();
    for file in files {
        let before = lines.len();
        let bytes = fs::read(&file)?;
        for line in bytes.split(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            lines.extend(line.find(BEGINS).and_then(|begin| line.get(begin..)).map(|line| line.trim_end().to_owned()));
        }
        if lines.len() == before {
            let why = format!("{} holds no checkpoint", file.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
    }
    Ok(lines)
}

/// What every line of a checkpoint begins with.
const BEGINS: &str = "{\"v\":";
