//! The journal's days on the disk: which segments there are, in which of them a client appears, and their removal.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::evidence::{Checkpoint, KeptSegment, RecordLine, Retention, read_record, read_retention};

use super::index::DAY_US;
use super::seal::{checkpoint_path, read_checkpoint};
use super::sealed::{on_disk, sealed_path};
use super::segment::{Lines, OpenError, begun, first_seq, io_error, list};

/// The segments below a data directory in the order of their records, as retention sees them, by the names that they have
/// unsealed.
///
/// # Errors
/// The directory or a file in it cannot be read.
pub fn kept_segments(data_dir: &Path) -> Result<Vec<(PathBuf, KeptSegment)>, OpenError> {
    let directory = data_dir.join("journal");
    let paths = list(&directory).map_err(|source| io_error(&directory, source))?;
    let mut kept = Vec::with_capacity(paths.len());
    for (place, path) in paths.iter().enumerate() {
        let (Some(begun), Some(first)) = (begun(path), first_seq(path)) else { continue };
        let bytes = match fs::metadata(on_disk(path)) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(io_error(path, error)),
        };
        let vouched = sealed_up_to(path).map_err(|source| io_error(path, source))?;
        let next = paths.get(place + 1).and_then(|next| first_seq(next));
        let last = vouched.or_else(|| next?.checked_sub(1)).unwrap_or(first).max(first);
        let day = i64::try_from(begun.0).unwrap_or(i64::MAX) / DAY_US;
        let segment = KeptSegment { day, first_seq: first, last_seq: last, bytes, is_sealed: vouched.is_some() };
        kept.push((path.clone(), segment));
    }
    Ok(kept)
}

/// The last record of a segment, if it is sealed and its checkpoint is there.
fn sealed_up_to(segment: &Path) -> io::Result<Option<u64>> {
    if segment.try_exists()? || !sealed_path(segment).try_exists()? {
        return Ok(None);
    }
    let line = match read_checkpoint(&checkpoint_path(segment)) {
        Ok(line) => line,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let name = segment.file_name().unwrap_or_default().to_string_lossy();
    Ok(Checkpoint::peek(&line).ok().filter(|found| found.segment == name).map(|found| found.last_seq))
}

/// Whether a segment is sealed, and its checkpoint is there.
///
/// # Errors
/// The directory cannot be read.
pub fn is_sealed(segment: &Path) -> Result<bool, OpenError> {
    sealed_up_to(segment).map(|last| last.is_some()).map_err(|source| io_error(segment, source))
}

/// Whether a segment has a record for which `is_it` says so; `None` where it was broken off. `goes_on` is asked at each
/// line, and may take a while.
///
/// # Errors
/// It cannot be read, or holds a line that is no record: what that is of is not known.
pub fn has_record(
    segment: &Path,
    is_it: impl Fn(&RecordLine<'_>) -> bool,
    mut goes_on: impl FnMut() -> bool,
) -> Result<Option<bool>, OpenError> {
    let mut lines = Lines::open(segment)?;
    while let Some(line) = lines.next()? {
        let record = read_record(line).map_err(|error| {
            io_error(segment, io::Error::new(io::ErrorKind::InvalidData, format!("a line is no record: {error}")))
        })?;
        if is_it(&record) {
            return Ok(Some(true));
        }
        if !goes_on() {
            return Ok(None);
        }
    }
    Ok(Some(false))
}

/// The newest record of kind `retention` in a segment.
///
/// # Errors
/// It cannot be read.
pub fn newest_retention(segment: &Path) -> Result<Option<Retention>, OpenError> {
    let mut lines = Lines::open(segment)?;
    let mut newest = None;
    while let Some(line) = lines.next()? {
        newest = read_retention(line).or(newest);
    }
    Ok(newest)
}

/// Removes sealed segments; their checkpoints stay, so that the chain can be followed over the gap. Those that are not there
/// any more are passed over.
///
/// # Errors
/// One could not be removed: those before it are gone.
pub fn remove_segments(data_dir: &Path, segments: &[PathBuf]) -> Result<(), OpenError> {
    let directory = data_dir.join("journal");
    for segment in segments {
        match fs::remove_file(sealed_path(segment)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => return Err(io_error(segment, source)),
            Ok(()) | Err(_) => {}
        }
    }
    File::open(&directory).and_then(|found| found.sync_all()).map_err(|source| io_error(&directory, source))
}
