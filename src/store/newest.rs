use std::io::{self, Read};
use std::path::Path;

use crate::evidence::read_record;
use crate::facts::Timestamp;

use super::sealed::SegmentFile;
use super::segment::list;

/// No record is so long; of the end of a segment so much is read.
const END_BYTES: u64 = 1 << 20;

/// The number and time of the last whole record of the journal, by which one sees how far an index lags; `None` where there is
/// none. It is that of the newest segment that has one, sealed or not.
///
/// # Errors
/// The directory or a segment cannot be read.
pub fn newest_record(data_dir: &Path) -> io::Result<Option<(u64, Timestamp)>> {
    for path in list(&data_dir.join("journal"))?.into_iter().rev() {
        let mut file = match SegmentFile::open(&path) {
            // Its day went meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        let length = file.plain_bytes()?;
        file.go_to(length.saturating_sub(END_BYTES))?;
        let mut end = Vec::new();
        file.take(END_BYTES).read_to_end(&mut end)?;
        let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |at| end.get(..at).unwrap_or_default());
        let mut lines = whole.rsplit(|byte| *byte == b'\n');
        if let Some(record) = lines.find_map(|line| read_record(line).ok()) {
            return Ok(Some((record.seq, record.time)));
        }
    }
    Ok(None)
}
