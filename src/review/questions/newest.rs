use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::evidence::read_record;
use crate::facts::Timestamp;

/// No record is so long; of the end of a segment so much is read.
const END_BYTES: u64 = 1 << 20;

/// The number and time of the last whole record of the segment that a gate writes to, by which one sees how far an index
/// lags; `None` where there is none.
///
/// # Errors
/// The directory or the segment cannot be read.
pub fn newest_record(data_dir: &Path) -> io::Result<Option<(u64, Timestamp)>> {
    let mut newest = None;
    for entry in fs::read_dir(data_dir.join("journal"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            newest = newest.max(Some(path));
        }
    }
    let Some(path) = newest else { return Ok(None) };
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END_BYTES)))?;
    let mut end = Vec::new();
    file.take(END_BYTES).read_to_end(&mut end)?;
    let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |at| end.get(..at).unwrap_or_default());
    let read = whole.rsplit(|byte| *byte == b'\n').find_map(|line| read_record(line).ok());
    Ok(read.map(|record| (record.seq, record.time)))
}
