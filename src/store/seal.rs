//! Seals segments that have ended: packs them, and signs a checkpoint for each.
//!
//! At each step what is on the disk is whole: the packed file is written beside the segment under another name, synced and
//! renamed; then comes the checkpoint; and the segment as it was written goes last. What a crash left is done again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::signature::Ed25519KeyPair;

use crate::evidence::{
    CHECKPOINT_BYTES_MAX, Chain, Checkpoint, CheckpointKey, CheckpointRecord, NO_CHECKPOINT, Record, SealedSegment,
    Verifier,
};
use crate::facts::Timestamp;

use super::sealed::{Packer, sealed_path};
use super::segment::{Lines, OpenError, before_segment, list};

/// The gate's key, and its public half, in the data directory.
const KEY_FILE: &str = "checkpoint.key";
const PUBLIC_FILE: &str = "checkpoint.pub";

/// What seals the segments of a data directory.
pub struct Sealer {
    directory: PathBuf,
    gate: String,
    pair: Ed25519KeyPair,
    key: CheckpointKey,
}

/// Why there is no sealing.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error("cannot use {path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0} holds no Ed25519 key (PKCS #8)")]
    NoKey(PathBuf),
    #[error("no key could be made")]
    NoChance,
    /// Whoever asked for it did not want to wait.
    #[error("it was broken off")]
    BrokenOff,
}

/// What came of a segment that has ended.
#[derive(Debug)]
pub enum Sealed {
    /// It is sealed; the record says so.
    Done(Record),
    /// It does not verify, and stays as it is.
    Refused { segment: String, why: String },
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> SealError + use<> {
    let path = path.to_owned();
    move |source| SealError::Io { path, source }
}

/// Where a segment's checkpoint is.
pub(super) fn checkpoint_path(segment: &Path) -> PathBuf {
    segment.with_extension("checkpoint")
}

/// The lines of the checkpoints of a data directory, oldest first, as they were signed.
///
/// # Errors
/// They cannot be read.
pub fn checkpoint_lines(data_dir: &Path) -> Result<Vec<String>, SealError> {
    let directory = data_dir.join("journal");
    let paths = checkpoints(&directory).map_err(failed(&directory))?;
    paths.iter().map(|path| read_checkpoint(path).map_err(failed(path))).collect()
}

/// The files of the checkpoints of a data directory, oldest first, with the names of their segments.
///
/// # Errors
/// The directory cannot be read.
pub fn checkpoint_files(data_dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let paths = checkpoints(&data_dir.join("journal"))?;
    let named = |path: PathBuf| Some((path.file_stem()?.to_str()?.to_owned(), path));
    Ok(paths.into_iter().filter_map(named).collect())
}

/// The public key that is beside a journal.
///
/// # Errors
/// It cannot be read; `Ok(None)` where there is none.
pub fn checkpoint_key(data_dir: &Path) -> Result<Option<CheckpointKey>, SealError> {
    let path = data_dir.join(PUBLIC_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => CheckpointKey::parse(&text).map(Some).ok_or(SealError::NoKey(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(&path)(error)),
    }
}

impl Sealer {
    /// Takes the gate's key, or makes one where there is none yet.
    ///
    /// # Errors
    /// The key cannot be read or made.
    pub fn new(data_dir: &Path, gate: &str) -> Result<Self, SealError> {
        let path = data_dir.join(KEY_FILE);
        let pkcs8 = match fs::read(&path) {
            Ok(pkcs8) => pkcs8,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_key(&path)?,
            Err(error) => return Err(failed(&path)(error)),
        };
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| SealError::NoKey(path.clone()))?;
        let key = CheckpointKey::of(&pair).ok_or(SealError::NoKey(path))?;
        let public = data_dir.join(PUBLIC_FILE);
        if fs::read_to_string(&public).ok().and_then(|text| CheckpointKey::parse(&text)).as_ref() != Some(&key) {
            replace(&public, key.to_pem().as_bytes(), 0o644)?;
        }
        Ok(Self { directory: data_dir.join("journal"), gate: gate.to_owned(), pair, key })
    }

    pub fn key(&self) -> &CheckpointKey {
        &self.key
    }

    /// The segments that have ended and are not sealed yet, oldest first. The newest has not ended.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn due(&self) -> io::Result<Vec<PathBuf>> {
        let mut segments = list(&self.directory)?;
        segments.pop();
        segments.retain(|segment| segment.exists() || !checkpoint_path(segment).exists());
        Ok(segments)
    }

    /// Seals one. `goes_on` is asked at each line, and may take a while.
    ///
    /// # Errors
    /// Something could not be read or written, or it does not go on: it is tried again later.
    pub fn seal(&self, segment: &Path, now: Timestamp, mut goes_on: impl FnMut() -> bool) -> Result<Sealed, SealError> {
        let name = segment.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let packed = sealed_path(segment);
        let part = packed.with_extension("zst.part");
        let refused = |why: String| Ok(Sealed::Refused { segment: name.clone(), why });
        let result = self.pack(segment, &part, &mut goes_on);
        let found = match result {
            Ok(Ok(found)) => found,
            Ok(Err(why)) => {
                let _ = fs::remove_file(&part);
                return refused(why);
            }
            Err(error) => {
                let _ = fs::remove_file(&part);
                return Err(error);
            }
        };
        let Ends { first_seq, before, after, bytes } = found;
        let previous = self.previous(segment)?;
        let of = SealedSegment {
            gate: self.gate.clone(),
            segment: name.clone(),
            first_seq,
            last_seq: after.seq,
            bytes,
            before: before.hash_hex(),
            after: after.hash_hex(),
        };
        let line = match self.earlier(segment, &of)? {
            Earlier::None => Checkpoint::sign(of, &previous, &self.pair, now),
            Earlier::Same(line) => Some(line),
            Earlier::Other => {
                let _ = fs::remove_file(&part);
                return refused("it is not what its checkpoint says: it was put there after it was sealed".to_owned());
            }
        };
        let Some(line) = line else { return refused("it has no checkpoint".to_owned()) };
        if segment.exists() {
            fs::rename(&part, &packed).map_err(failed(&packed))?;
        } else {
            let _ = fs::remove_file(&part);
        }
        sync(&self.directory)?;
        replace(&checkpoint_path(segment), line.as_bytes(), 0o600)?;
        match fs::remove_file(segment) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(segment)(error)),
            Ok(()) | Err(_) => {}
        }
        sync(&self.directory)?;
        Ok(Sealed::Done(Record::Checkpoint(CheckpointRecord {
            action: "sealed",
            segment: name.as_str().into(),
            last_seq: after.seq,
            checkpoint: Some(Checkpoint::hash(&line)),
            key: Some(self.key.id()),
            detail: None,
        })))
    }

    /// The checkpoint that a segment has already, where a crash came before it was taken away. No other is signed in its place:
    /// it may have been sent off the machine, and what lies there now may be another's.
    fn earlier(&self, segment: &Path, of: &SealedSegment) -> Result<Earlier, SealError> {
        let path = checkpoint_path(segment);
        let line = match read_checkpoint(&path) {
            Ok(line) => line,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Earlier::None),
            Err(error) => return Err(failed(&path)(error)),
        };
        let is_same = Checkpoint::read(&line, &self.key).is_ok_and(|found| {
            (found.first_seq, found.last_seq, found.bytes) == (of.first_seq, of.last_seq, of.bytes)
                && (found.before, found.after) == (of.before.clone(), of.after.clone())
        });
        Ok(if is_same { Earlier::Same(line) } else { Earlier::Other })
    }

    /// Packs a segment, verifying it as it is read; why not, where it does not verify.
    fn pack(
        &self,
        segment: &Path,
        part: &Path,
        goes_on: &mut impl FnMut() -> bool,
    ) -> Result<Result<Ends, String>, SealError> {
        let mut lines = match Lines::open(segment).map_err(unread) {
            Ok(lines) => lines,
            Err(Ok(why)) => return Ok(Err(why)),
            Err(Err(error)) => return Err(error),
        };
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(part).map_err(failed(part))?;
        let mut packer = Packer::new(BufWriter::new(file)).map_err(failed(part))?;
        let mut verifier: Option<(Chain, Verifier)> = None;
        let mut bytes = 0;
        loop {
            let line = match lines.next().map_err(unread) {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(Ok(why)) => return Ok(Err(why)),
                Err(Err(error)) => return Err(error),
            };
            let (begins, mut reader) = match verifier.take() {
                Some(verifier) => verifier,
                None => match before_segment(line) {
                    Some(before) => (before, Verifier::new(before)),
                    None => return Ok(Err("it does not begin as a segment does".to_owned())),
                },
            };
            if let Err(why) = reader.line(line) {
                return Ok(Err(why.to_string()));
            }
            bytes += line.len() as u64 + 1;
            packer.line(line).map_err(failed(part))?;
            verifier = Some((begins, reader));
            if !goes_on() {
                return Err(SealError::BrokenOff);
            }
        }
        let Some((before, reader)) = verifier.filter(|_| lines.torn_bytes == 0) else {
            return Ok(Err("its last line is not whole".to_owned()));
        };
        let file = packer.finish().and_then(|file| file.into_inner().map_err(io::IntoInnerError::into_error));
        file.and_then(|file| file.sync_all()).map_err(failed(part))?;
        Ok(Ok(Ends { first_seq: before.seq + 1, before, after: reader.chain(), bytes }))
    }

    /// The hash of the newest checkpoint before a segment's.
    fn previous(&self, segment: &Path) -> Result<String, SealError> {
        let checkpoints = checkpoints(&self.directory).map_err(failed(&self.directory))?;
        let own = checkpoint_path(segment);
        let before = checkpoints.into_iter().rev().find(|path| *path < own);
        let Some(path) = before else { return Ok(NO_CHECKPOINT.to_owned()) };
        let line = read_checkpoint(&path).map_err(failed(&path))?;
        Ok(Checkpoint::hash(&line))
    }
}

/// What stands beside a segment already.
enum Earlier {
    None,
    Same(String),
    Other,
}

/// Why a segment cannot be read: it is damaged, or something fails that may not fail later.
fn unread(error: OpenError) -> Result<String, SealError> {
    match error {
        OpenError::Io { path, source } if source.kind() != io::ErrorKind::InvalidData => {
            Err(SealError::Io { path, source })
        }
        error => Ok(error.to_string()),
    }
}

/// How a segment begins and ends.
struct Ends {
    first_seq: u64,
    before: Chain,
    after: Chain,
    bytes: u64,
}

/// The files of checkpoints in a directory, oldest first: names begin with numbers of records.
pub(super) fn checkpoints(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "checkpoint") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// The line of a checkpoint, as it is.
pub(super) fn read_checkpoint(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    io::Read::take(File::open(path)?, CHECKPOINT_BYTES_MAX as u64 + 1).read_to_string_lossy(&mut text)?;
    Ok(text)
}

/// Text that may be anything.
trait ReadLossy {
    fn read_to_string_lossy(&mut self, text: &mut String) -> io::Result<()>;
}

impl<R: io::Read> ReadLossy for R {
    fn read_to_string_lossy(&mut self, text: &mut String) -> io::Result<()> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        text.push_str(&String::from_utf8_lossy(&bytes));
        Ok(())
    }
}

fn make_key(path: &Path) -> Result<Vec<u8>, SealError> {
    let made =
        Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).map_err(|_| SealError::NoChance)?;
    replace(path, made.as_ref(), 0o600)?;
    Ok(made.as_ref().to_vec())
}

/// Writes a file whole, in the place of one that may be there.
fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), SealError> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let write = || {
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&part)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(failed(path))?;
    path.parent().map_or(Ok(()), sync)
}

fn sync(directory: &Path) -> Result<(), SealError> {
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed(directory))
}

#[cfg(test)]
mod tests;
