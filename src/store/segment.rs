use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::evidence::{Break, Chain, Usage, Verifier, compact_time, read_compact_time};
use crate::facts::Timestamp;

use super::sealed::{SegmentFile, on_disk, segment_path};
use super::verify::CheckpointBreak;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("another gate is writing to {0}")]
    Locked(PathBuf),
    #[error("{path} belongs to another user (number {owner}), who could alter the journal")]
    NotOurs { path: PathBuf, owner: u32 },
    #[error("{path} can be written to by other users (mode {mode:04o}), who could alter the journal")]
    WritableByOthers { path: PathBuf, mode: u32 },
    #[error("the journal in {segment} is broken: {source}")]
    Broken { segment: PathBuf, source: Break },
    #[error("{path}: {source}")]
    Checkpoint { path: PathBuf, source: CheckpointBreak },
}

/// What stood at the end of the journal.
#[derive(Debug)]
pub struct Found {
    pub chain: Chain,
    /// Bytes of an unfinished last line that were cut off.
    pub torn_bytes: u64,
    /// What was damaged before the last line, and was put aside.
    pub damaged: Vec<Damaged>,
}

/// The damaged end of a segment, kept in a file of its own.
#[derive(Debug)]
pub struct Damaged {
    pub kept_in: PathBuf,
    pub bytes: u64,
}

/// The segments of a data directory, oldest first, by the names that they have unsealed. These begin with the number of their
/// first record, so name order is record order.
pub(super) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        paths.extend(segment_path(&entry?.path()));
    }
    paths.sort();
    // One that is being sealed lies there in both ways.
    paths.dedup();
    Ok(paths)
}

pub(super) fn name(first_seq: u64, begun: Timestamp) -> String {
    format!("{first_seq:014}-{}.jsonl", compact_time(begun))
}

/// The number of a segment's first record, by its name.
pub(super) fn first_seq(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.split_once('-')?.0.parse().ok()
}

/// When a segment was begun, by its name.
pub(super) fn begun(path: &Path) -> Option<Timestamp> {
    read_compact_time(path.file_stem()?.to_str()?.split_once('-')?.1)
}

/// When each segment was begun, by its name, and how long it is; oldest first.
pub(super) fn usage(directory: &Path) -> Usage {
    let mut usage = Usage::default();
    for path in list(directory).unwrap_or_default() {
        if let (Some(begun), Ok(found)) = (begun(&path), std::fs::metadata(on_disk(&path))) {
            usage.begin(begun, found.len());
        }
    }
    usage
}

/// Reads the journal to its end and cuts off what a loss of power left there: an unfinished last
/// line, or from the first line on that does not verify, which is put aside. A last segment without
/// one whole line is removed: the journal ends in the one before it.
pub(super) fn recover(directory: &Path) -> Result<Found, OpenError> {
    let mut paths = list(directory).map_err(|source| io_error(directory, source))?;
    let (mut torn_bytes, mut damaged) = (0, Vec::new());
    while let Some(last) = paths.pop() {
        let (chain, whole_bytes, is_damaged) = end_of(&last)?;
        let failed = |source| io_error(&last, source);
        if !last.exists() {
            // It is sealed, and its end was on the disk before: nothing of it can be cut off.
            let damaged = is_damaged || chain.is_none();
            let source = Break::NotARecord { after: chain.map_or(0, |chain| chain.seq) };
            return match chain.filter(|_| !damaged) {
                Some(chain) => Ok(Found { chain, torn_bytes, damaged: Vec::new() }),
                None => Err(OpenError::Broken { segment: last, source }),
            };
        }
        let length = std::fs::metadata(&last).map_err(failed)?.len();
        if is_damaged {
            damaged.push(put_aside(&last, whole_bytes).map_err(failed)?);
        } else {
            torn_bytes += length - whole_bytes;
        }
        if let Some(chain) = chain {
            if length > whole_bytes {
                let file = OpenOptions::new().write(true).open(&last);
                file.and_then(|file| file.set_len(whole_bytes).and_then(|()| file.sync_all())).map_err(failed)?;
            }
            return Ok(Found { chain, torn_bytes, damaged });
        }
        std::fs::remove_file(&last).map_err(failed)?;
    }
    Ok(Found { chain: Chain::start(), torn_bytes, damaged })
}

/// The chain at the end of what verifies of one segment, taken from the `prev` of its first line and
/// carried through, `None` when no line does; the length of those lines; and whether a whole line
/// behind them does not verify.
///
/// # Errors
/// [`OpenError::Broken`]: behind that line stands a whole `batch` record which says that it was on the disk.
/// Only what no sync had ended for can have been lost with power, so somebody altered the journal.
fn end_of(path: &Path) -> Result<(Option<Chain>, u64, bool), OpenError> {
    let mut lines = Lines::open(path)?;
    let mut verifier: Option<Verifier> = None;
    let mut whole = 0;
    while let Some(line) = lines.next()? {
        let mut reader = verifier.take().or_else(|| before_segment(line).map(Verifier::new));
        let read = reader.as_mut().map_or(Err(Break::NotARecord { after: 0 }), |reader| reader.line(line));
        if let Err(source) = read {
            // What is missing in front of a whole batch record was damaged before it, too.
            let in_front = matches!(source, Break::Missing { .. } | Break::NotARecord { .. });
            let mut synced = if in_front { synced_before(line) } else { 0 };
            while let Some(line) = lines.next()? {
                synced = synced.max(synced_before(line));
            }
            let chain = reader.filter(|_| whole > 0).map(|reader| reader.chain());
            let verified = chain.as_ref().map(|chain| chain.seq).or_else(|| first_seq(path)?.checked_sub(1));
            if synced > verified.unwrap_or_default() {
                return Err(OpenError::Broken { segment: path.into(), source });
            }
            return Ok((chain, whole, true));
        }
        whole += line.len() as u64 + 1;
        verifier = reader;
    }
    Ok((verifier.map(|reader| reader.chain()), whole, false))
}

/// The last record that was on the disk, as a line says that is a whole `batch` record; of another, 0. A page
/// that was never written reads as zeros, and may end where the line begins.
fn synced_before(line: &[u8]) -> u64 {
    let begin = line.iter().position(|byte| *byte != 0).unwrap_or(line.len());
    let value = serde_json::from_slice::<serde_json::Value>(line.get(begin..).unwrap_or_default());
    let batch = value.ok().filter(|value| value.get("kind").is_some_and(|kind| kind == "batch"));
    batch.and_then(|batch| batch.get("synced")?.as_u64()).unwrap_or_default()
}

/// Copies a segment's bytes from `begin` on to a new file beside it, for whoever looks into it.
fn put_aside(segment: &Path, begin: u64) -> io::Result<Damaged> {
    let mut from = File::open(segment)?;
    from.seek(SeekFrom::Start(begin))?;
    let (kept_in, mut to) = create_damaged(segment)?;
    let bytes = io::copy(&mut from, &mut to)?;
    to.sync_all()?;
    if let Some(directory) = segment.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(Damaged { kept_in, bytes })
}

/// `<segment>.damaged`, or with the first number behind it that is free: nothing is written over.
fn create_damaged(segment: &Path) -> io::Result<(PathBuf, File)> {
    let mut number = 0_u32;
    loop {
        let mut path = segment.as_os_str().to_owned();
        path.push(".damaged");
        if number > 0 {
            path.push(format!(".{number}"));
        }
        let path = PathBuf::from(path);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// The chain just before a segment's first line, as that line tells it.
pub(super) fn before_segment(line: &[u8]) -> Option<Chain> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    let seq = value.get("seq")?.as_u64()?.checked_sub(1)?;
    let hash = blake3::Hash::from_hex(value.get("prev")?.as_str()?).ok()?;
    Some(Chain { seq, hash: *hash.as_bytes() })
}

pub(super) fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: path.into(), source }
}

/// Whole lines of a file, one at a time, bounded.
pub(super) struct Lines {
    path: PathBuf,
    reader: BufReader<SegmentFile>,
    line: Vec<u8>,
    pub(super) torn_bytes: u64,
}

/// No record is longer: every field of one is bounded, and there are few.
const LINE_BYTES_MAX: u64 = 256 * 1024;

impl Lines {
    pub(super) fn open(path: &Path) -> Result<Self, OpenError> {
        let file = SegmentFile::open(path).map_err(|source| io_error(path, source))?;
        let reader = BufReader::with_capacity(256 * 1024, file);
        Ok(Self { path: path.into(), reader, line: Vec::new(), torn_bytes: 0 })
    }

    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, OpenError> {
        self.line.clear();
        let mut bounded = io::Read::take(&mut self.reader, LINE_BYTES_MAX);
        bounded.read_until(b'\n', &mut self.line).map_err(|source| io_error(&self.path, source))?;
        // A line beyond the bound is not torn: what is behind it may be whole, and it is no record.
        let too_long = self.line.len() as u64 == LINE_BYTES_MAX;
        if self.line.pop_if(|last| *last == b'\n').is_some() || too_long {
            return Ok(Some(&self.line));
        }
        self.torn_bytes = self.line.len() as u64;
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
