//! Segments as they lie on the disk: as they were written, or sealed, which is packed in frames that can be read one by one.
//!
//! A sealed segment is Zstandard (RFC 8878) in frames of whole lines, with a table of them in a skippable frame at its end
//! (the seekable format of the Zstandard project, version 0.1.0). Any program that unpacks Zstandard reads it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use zstd::zstd_safe::CParameter;

/// Lines of a frame, unpacked, in bytes: so much is unpacked for one of them. A frame begins without knowing what lines look
/// like, so that few long ones take less room than many short ones.
const FRAME_BYTES: usize = 2 << 20;
/// No frame is longer, unpacked; a line has 256 KiB at most.
const FRAME_BYTES_MAX: u32 = 4 << 20;
/// Frames of a segment, at most.
const FRAMES_MAX: u32 = 1 << 20;
const SKIPPABLE: u32 = 0x184d_2a5e;
const SEEKABLE: u32 = 0x8f92_eab1;
/// The number of frames, a byte of flags, and [`SEEKABLE`].
const FOOTER_BYTES: u64 = 9;
/// What packs well enough, and keeps up with any gate: see benches/README.md.
const LEVEL: i32 = 12;
/// Entries of the packer's table, in powers of two. The level's own table would take four times the memory, and packs no better.
const HASH_LOG: u32 = 20;
/// Shorter repetitions are not looked for: those of hashes are chance, and hide what repeats behind them.
const MATCH_BYTES_MIN: u32 = 6;

/// What a sealed segment's name ends with, behind the name it had.
const ENDING: &str = ".zst";

/// Where a segment lies when it is sealed.
pub(super) fn sealed_path(segment: &Path) -> PathBuf {
    let mut path = segment.as_os_str().to_owned();
    path.push(ENDING);
    path.into()
}

/// The name that a segment has whether it is sealed or not; `None` for what is no segment.
pub(super) fn segment_path(path: &Path) -> Option<PathBuf> {
    let name = path.to_str()?;
    let name = name.strip_suffix(ENDING).unwrap_or(name);
    name.ends_with(".jsonl").then(|| name.into())
}

/// One that is on the disk, whichever way: as it was written where it is there, as that is what the gate writes to.
pub(super) fn on_disk(segment: &Path) -> PathBuf {
    if matches!(segment.try_exists(), Ok(false)) { sealed_path(segment) } else { segment.to_owned() }
}

/// A segment to be read, as if it were not packed.
#[derive(Debug)]
pub(super) enum SegmentFile {
    Plain(File),
    Sealed(Box<Frames>),
}

impl SegmentFile {
    /// Opens a segment by the name that it has unsealed.
    pub(super) fn open(segment: &Path) -> io::Result<Self> {
        match File::open(segment) {
            // It may have been sealed just now.
            Err(error) if error.kind() == io::ErrorKind::NotFound => match File::open(sealed_path(segment)) {
                Ok(file) => Ok(Self::Sealed(Box::new(Frames::open(file)?))),
                Err(_) => Err(error),
            },
            file => Ok(Self::Plain(file?)),
        }
    }

    /// Its length, unpacked.
    pub(super) fn plain_bytes(&self) -> io::Result<u64> {
        match self {
            Self::Plain(file) => Ok(file.metadata()?.len()),
            Self::Sealed(frames) => Ok(frames.plain_bytes()),
        }
    }

    /// Where the frame ends that has this byte; `None` where it is not packed, or behind the end.
    pub(super) fn frame_end(&self, byte: u64) -> Option<u64> {
        match self {
            Self::Plain(_) => None,
            Self::Sealed(frames) => {
                let ends = frames.frames.iter().map(|frame| frame.plain_at + u64::from(frame.plain_length));
                ends.into_iter().find(|end| *end > byte)
            }
        }
    }

    /// Goes to a byte of it, unpacked.
    pub(super) fn go_to(&mut self, byte: u64) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.seek(SeekFrom::Start(byte)).map(drop),
            Self::Sealed(frames) => {
                frames.go_to(byte);
                Ok(())
            }
        }
    }
}

impl Read for SegmentFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read(buffer),
            Self::Sealed(frames) => frames.read(buffer),
        }
    }
}

/// The frames of a sealed segment. Of one that is damaged the read fails once, and goes on behind it.
#[derive(Debug)]
pub(super) struct Frames {
    file: File,
    frames: Vec<Frame>,
    /// The next frame to be unpacked.
    next: usize,
    unpacked: Vec<u8>,
    /// So much of it was read.
    read: usize,
    /// So much of the next one is passed over.
    skip: usize,
}

/// Where a frame begins and how long it is: packed, and unpacked.
#[derive(Debug, Clone, Copy)]
struct Frame {
    at: u64,
    length: u32,
    plain_at: u64,
    plain_length: u32,
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a sealed segment is damaged: {what}"))
}

fn number(bytes: &[u8], at: usize) -> io::Result<u32> {
    let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
    four.map(u32::from_le_bytes).ok_or_else(|| damaged("its table ends early"))
}

impl Frames {
    fn open(mut file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let footer_at = length.checked_sub(FOOTER_BYTES).ok_or_else(|| damaged("it has no table"))?;
        let mut footer = [0; FOOTER_BYTES as usize];
        file.seek(SeekFrom::Start(footer_at))?;
        file.read_exact(&mut footer)?;
        let count = number(&footer, 0)?;
        // Where frames have checksums in the table, which ours have not, an entry is longer.
        if number(&footer, 5)? != SEEKABLE || footer.get(4) != Some(&0) || count > FRAMES_MAX {
            return Err(damaged("it has no table"));
        }
        let table_bytes = u64::from(count) * 8;
        let table_at = footer_at.checked_sub(table_bytes).ok_or_else(|| damaged("its table ends early"))?;
        let mut table = vec![0; table_bytes as usize];
        file.seek(SeekFrom::Start(table_at))?;
        file.read_exact(&mut table)?;
        let (mut at, mut plain_at) = (0_u64, 0_u64);
        let mut frames = Vec::with_capacity(count as usize);
        for entry in table.chunks_exact(8) {
            let (length, plain_length) = (number(entry, 0)?, number(entry, 4)?);
            if plain_length > FRAME_BYTES_MAX || length > FRAME_BYTES_MAX + 1024 {
                return Err(damaged("a frame is too long"));
            }
            frames.push(Frame { at, length, plain_at, plain_length });
            (at, plain_at) = (at + u64::from(length), plain_at + u64::from(plain_length));
        }
        if at > table_at {
            return Err(damaged("its table does not fit"));
        }
        Ok(Self { file, frames, next: 0, unpacked: Vec::new(), read: 0, skip: 0 })
    }

    fn plain_bytes(&self) -> u64 {
        self.frames.last().map_or(0, |frame| frame.plain_at + u64::from(frame.plain_length))
    }

    fn go_to(&mut self, byte: u64) {
        self.next = self.frames.partition_point(|frame| frame.plain_at + u64::from(frame.plain_length) <= byte);
        self.skip = self.frames.get(self.next).map_or(0, |frame| (byte - frame.plain_at) as usize);
        (self.unpacked, self.read) = (Vec::new(), 0);
    }

    fn unpack(&mut self, frame: Frame) -> io::Result<()> {
        let mut packed = vec![0; frame.length as usize];
        self.file.seek(SeekFrom::Start(frame.at))?;
        self.file.read_exact(&mut packed)?;
        let unpacked = zstd::bulk::decompress(&packed, frame.plain_length as usize);
        self.unpacked = unpacked.map_err(|error| damaged(&error.to_string()))?;
        if self.unpacked.len() != frame.plain_length as usize {
            self.unpacked.clear();
            return Err(damaged("a frame is shorter than its table says"));
        }
        Ok(())
    }
}

impl Read for Frames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let rest = self.unpacked.get(self.read..).unwrap_or_default();
            if !rest.is_empty() {
                let count = rest.len().min(buffer.len());
                buffer[..count].copy_from_slice(&rest[..count]);
                self.read += count;
                return Ok(count);
            }
            let Some(frame) = self.frames.get(self.next).copied() else { return Ok(0) };
            self.next += 1;
            (self.read, self.unpacked) = (0, Vec::new());
            let skip = std::mem::take(&mut self.skip);
            self.unpack(frame)?;
            self.read = skip;
        }
    }
}

/// Packs whole lines.
pub(super) struct Packer<W> {
    into: W,
    compressor: zstd::bulk::Compressor<'static>,
    lines: Vec<u8>,
    table: Vec<u8>,
}

impl<W: Write> Packer<W> {
    pub(super) fn new(into: W) -> io::Result<Self> {
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        compressor.set_parameter(CParameter::HashLog(HASH_LOG))?;
        compressor.set_parameter(CParameter::MinMatch(MATCH_BYTES_MIN))?;
        Ok(Self { into, compressor, lines: Vec::with_capacity(FRAME_BYTES + 1024), table: Vec::new() })
    }

    /// Takes a line without its end.
    pub(super) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        if self.lines.len() >= FRAME_BYTES { self.frame() } else { Ok(()) }
    }

    fn frame(&mut self) -> io::Result<()> {
        let packed = self.compressor.compress(&self.lines)?;
        for length in [packed.len(), self.lines.len()] {
            let length = u32::try_from(length).map_err(|_| io::Error::other("a frame is too long"))?;
            self.table.extend_from_slice(&length.to_le_bytes());
        }
        self.into.write_all(&packed)?;
        self.lines.clear();
        Ok(())
    }

    /// Writes what is left, and the table.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.lines.is_empty() {
            self.frame()?;
        }
        let count = (self.table.len() / 8) as u32;
        let length = self.table.len() as u32 + FOOTER_BYTES as u32;
        for number in [SKIPPABLE, length] {
            self.into.write_all(&number.to_le_bytes())?;
        }
        self.into.write_all(&self.table)?;
        self.into.write_all(&count.to_le_bytes())?;
        self.into.write_all(&[0])?;
        self.into.write_all(&SEEKABLE.to_le_bytes())?;
        Ok(self.into)
    }
}

#[cfg(test)]
mod tests;
