use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};

use serde::{Deserialize, Serialize};

use crate::detect::{self, Detector, Limits, Settings};
use crate::facts::Timestamp;
use crate::store::Place;

use super::encoding::{decode, encode};
use super::{FINDINGS_MAX, Told, Watch};

/// Why a snapshot is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("the snapshot cannot be read: {0}")]
    Io(#[from] io::Error),
    #[error("the snapshot is of another version")]
    OtherVersion,
    #[error("the snapshot is damaged")]
    Damaged,
    #[error("the snapshot is not what this version writes: {0}")]
    OtherForm(postcard::Error),
    #[error("the snapshot was taken with another delay, or other limits")]
    OtherLimits,
}

/// What a snapshot holds.
#[derive(Serialize)]
struct Held<'a> {
    place: &'a Place,
    /// In microseconds.
    read_up_to: u64,
    told: &'a HashMap<Box<str>, Told>,
    detector: detect::Snapshot<'a>,
}

/// The same, read again.
#[derive(Deserialize)]
struct Kept {
    place: Place,
    /// In microseconds.
    read_up_to: u64,
    told: HashMap<Box<str>, Told>,
    detector: detect::Kept,
}

/// What is kept, and how it is to be understood: another one with each change of what a detector keeps.
const FORM: u32 = 4;
const SUM_BYTES: u64 = blake3::OUT_LEN as u64;

/// The first line. A snapshot of another version is not understood: the journal is.
fn head() -> String {
    format!("sekisho detection snapshot {FORM} {}\n", env!("CARGO_PKG_VERSION"))
}

impl Watch {
    /// Writes down all that it goes by, and up to where the journal was read: a line that says what it is, the rest, and
    /// the BLAKE3 hash of both. False where something was found and is not on record: the snapshot before knows nothing of
    /// it, and who goes on from that one finds it again.
    ///
    /// # Errors
    /// What the writer says; and [`io::ErrorKind::StorageFull`], where it would be longer than `bytes_max`.
    pub fn write(&self, place: &Place, out: impl Write, bytes_max: u64) -> io::Result<bool> {
        if !self.found.is_empty() {
            return Ok(false);
        }
        let Self { read_up_to, told, detector, .. } = self;
        let held = Held { place, read_up_to: read_up_to.0, told, detector: detector.snapshot() };
        let mut out = BufWriter::with_capacity(1 << 16, Summed { out, sum: blake3::Hasher::new(), left: bytes_max });
        out.write_all(head().as_bytes())?;
        encode(&held, &mut out)?;
        let Summed { mut out, sum, .. } = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        out.write_all(sum.finalize().as_bytes())?;
        Ok(true)
    }

    /// What [`write`](Self::write) wrote, and the place in the journal.
    ///
    /// # Errors
    /// It is something else, or what was written is not all there, or it was made within other limits.
    pub fn read_again(
        limits: Limits,
        settings: &Settings,
        mut from: impl Read + Seek,
    ) -> Result<(Self, Place), Refused> {
        let summed = from.seek(io::SeekFrom::End(0))?.saturating_sub(SUM_BYTES);
        from.rewind()?;
        let head = head();
        let mut sum = blake3::Hasher::new();
        let mut bytes = Vec::new();
        (&mut from).take(summed.min(head.len() as u64)).read_to_end(&mut bytes)?;
        if bytes != head.as_bytes() {
            return Err(Refused::OtherVersion);
        }
        sum.update(&bytes);
        sum.update_reader((&mut from).take(summed - head.len() as u64))?;
        bytes.clear();
        from.read_to_end(&mut bytes)?;
        if bytes != sum.finalize().as_bytes() {
            return Err(Refused::Damaged);
        }
        from.seek(io::SeekFrom::Start(head.len() as u64))?;
        let mut from = BufReader::with_capacity(1 << 16, from.take(summed - head.len() as u64));
        let Kept { place, read_up_to, told, detector } = decode(&mut from).map_err(Refused::OtherForm)?;
        if !from.fill_buf()?.is_empty() || told.len() > FINDINGS_MAX {
            return Err(Refused::Damaged);
        }
        let detector = Detector::resume(limits, settings, detector).ok_or(Refused::OtherLimits)?;
        Ok((Self { detector, told, found: HashMap::new(), read_up_to: Timestamp(read_up_to) }, place))
    }
}

/// Hashes what it writes on, and writes so many bytes at most.
struct Summed<W> {
    out: W,
    sum: blake3::Hasher,
    left: u64,
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::StorageFull)?;
        self.out.write_all(bytes)?;
        self.sum.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
