use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use crate::evidence::{Break, Chain, Verifier};

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot use {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("another gate is writing to {0}")]
    Locked(PathBuf),
    #[error("the journal in {segment} is broken: {source}")]
    Broken { segment: PathBuf, source: Break },
}

/// What stood at the end of the journal.
#[derive(Debug)]
pub struct Found {
    pub chain: Chain,
    /// Bytes of an unfinished last line that were cut off.
    pub torn_bytes: u64,
}

/// What `verify` read.
#[derive(Debug)]
pub struct VerifyReport {
    pub segments: usize,
    pub records: u64,
    pub hash: String,
    /// Bytes after the last whole line: a crash, mended at the next start.
    pub torn_bytes: u64,
}

/// The segments of a data directory, oldest first. Their names begin with the number of their first
/// record, so name order is record order.
pub(super) fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

pub(super) fn name(first_seq: u64, time: &str) -> String {
    let time: String = time.chars().take(19).filter(|c| c.is_ascii_digit() || *c == 'T').collect();
    format!("{first_seq:014}-{time}Z.jsonl")
}

/// Reads the journal to its end, cutting a torn last line of the last segment. A last segment without
/// one whole line is removed: the journal ends in the one before it.
pub(super) fn recover(directory: &Path) -> Result<Found, OpenError> {
    let mut paths = list(directory).map_err(|source| io_error(directory, source))?;
    let mut torn_bytes = 0;
    while let Some(last) = paths.pop() {
        let whole = last_whole_line(&last)?;
        let length = std::fs::metadata(&last).map_err(|source| io_error(&last, source))?.len();
        match whole {
            Some((chain, whole_bytes)) => {
                if length > whole_bytes {
                    torn_bytes += length - whole_bytes;
                    let file = OpenOptions::new().write(true).open(&last);
                    file.and_then(|file| file.set_len(whole_bytes).and_then(|()| file.sync_all()))
                        .map_err(|source| io_error(&last, source))?;
                }
                return Ok(Found { chain, torn_bytes });
            }
            None => {
                torn_bytes += length;
                std::fs::remove_file(&last).map_err(|source| io_error(&last, source))?;
            }
        }
    }
    Ok(Found { chain: Chain::start(), torn_bytes })
}

/// The chain at the end of one segment, taken from the `prev` of its first line and carried through,
/// and the length of its whole lines; `None` when it has none.
fn last_whole_line(path: &Path) -> Result<Option<(Chain, u64)>, OpenError> {
    let mut lines = Lines::open(path)?;
    let mut verifier: Option<Verifier> = None;
    let mut whole = 0;
    while let Some(line) = lines.next()? {
        let mut reader =
            match verifier.take() {
                Some(reader) => reader,
                None => Verifier::new(before_segment(line).ok_or_else(|| OpenError::Broken {
                    segment: path.into(),
                    source: Break::NotARecord { after: 0 },
                })?),
            };
        reader.line(line).map_err(|source| OpenError::Broken { segment: path.into(), source })?;
        whole += line.len() as u64 + 1;
        verifier = Some(reader);
    }
    Ok(verifier.map(|reader| (reader.chain(), whole)))
}

/// The chain just before a segment's first line, as that line tells it.
fn before_segment(line: &[u8]) -> Option<Chain> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    let seq = value.get("seq")?.as_u64()?.checked_sub(1)?;
    let hash = blake3::Hash::from_hex(value.get("prev")?.as_str()?).ok()?;
    Some(Chain { seq, hash: *hash.as_bytes() })
}

/// Checks the whole journal below a data directory.
///
/// # Errors
/// The first segment and record that was altered, removed or moved, or what could not be read.
pub fn verify(directory: &Path) -> Result<VerifyReport, OpenError> {
    let directory = directory.join("journal");
    let paths = list(&directory).map_err(|source| io_error(&directory, source))?;
    let mut verifier: Option<Verifier> = None;
    let mut torn_bytes = 0;
    let mut records = 0;
    for path in &paths {
        let mut lines = Lines::open(path)?;
        while let Some(line) = lines.next()? {
            let mut reader = match verifier.take() {
                Some(reader) => reader,
                None => Verifier::new(Chain::start()),
            };
            reader.line(line).map_err(|source| OpenError::Broken { segment: path.clone(), source })?;
            records += 1;
            verifier = Some(reader);
        }
        torn_bytes = lines.torn_bytes;
        if torn_bytes > 0 && Some(path) != paths.last() {
            let after = verifier.as_ref().map_or(0, |reader| reader.chain().seq);
            return Err(OpenError::Broken { segment: path.clone(), source: Break::NotARecord { after } });
        }
    }
    let chain = verifier.map_or_else(Chain::start, |reader| reader.chain());
    Ok(VerifyReport { segments: paths.len(), records, hash: chain.hash_hex(), torn_bytes })
}

pub(super) fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: path.into(), source }
}

/// Whole lines of a file, one at a time, bounded.
struct Lines {
    path: PathBuf,
    reader: BufReader<File>,
    line: Vec<u8>,
    torn_bytes: u64,
}

/// No record is longer: every field of one is bounded, and there are few.
const LINE_BYTES_MAX: u64 = 256 * 1024;

impl Lines {
    fn open(path: &Path) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(|source| io_error(path, source))?;
        let reader = BufReader::with_capacity(256 * 1024, file);
        Ok(Self { path: path.into(), reader, line: Vec::new(), torn_bytes: 0 })
    }

    fn next(&mut self) -> Result<Option<&[u8]>, OpenError> {
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

/// Makes a new segment file, and its directory entry durable.
pub(super) fn create(directory: &Path, name: &str) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create_new(true).open(directory.join(name))?;
    File::open(directory)?.sync_all()?;
    Ok(file)
}

pub(super) fn write_whole(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)
}
