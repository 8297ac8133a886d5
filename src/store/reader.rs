use std::collections::VecDeque;
use std::io::{self, Read, Take};
use std::path::{Path, PathBuf};

use crate::facts::Timestamp;

use super::sealed::SegmentFile;
use super::segment::{OpenError, begun, first_seq, io_error, list};

/// Reads the journal in order, a block of whole lines at a time, also while a gate is writing to it. It
/// ends where the journal ended when it was opened, at the last whole line.
///
/// Nothing is verified, and nothing of it is held but one block.
#[derive(Debug)]
pub struct Reader {
    left: VecDeque<(PathBuf, u64)>,
    open: Option<(PathBuf, Take<SegmentFile>)>,
    /// The beginning of a line whose end comes with the next block.
    carried: Vec<u8>,
    bytes: u64,
    bytes_read: u64,
    damaged: Vec<(PathBuf, String)>,
}

/// A block is at most this long. No line of a journal comes near it.
const BLOCK_BYTES: u64 = 2 << 20;
/// A segment is named by the second in which it was begun.
const NAMED_US: u64 = 999_999;

impl Reader {
    /// Opens the journal below a data directory. With `since`, segments that by the name of the next one
    /// were ended before it are left out; the first that is read may begin before it all the same.
    ///
    /// # Errors
    /// The directory or a segment cannot be read.
    pub fn open(data_dir: &Path, since: Option<Timestamp>) -> Result<Self, OpenError> {
        let directory = data_dir.join("journal");
        let mut paths = VecDeque::from(list(&directory).map_err(|source| io_error(&directory, source))?);
        while let (Some(since), Some(next)) = (since, paths.get(1).and_then(|path| begun(path)))
            && next.0.saturating_add(NAMED_US) <= since.0
        {
            paths.pop_front();
        }
        let (mut left, mut damaged) = (VecDeque::with_capacity(paths.len()), Vec::new());
        for path in paths {
            match SegmentFile::open(&path).and_then(|file| file.plain_bytes()) {
                Ok(length) => left.push_back((path, length)),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => damaged.push((path, error.to_string())),
                // Its day went meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(io_error(&path, error)),
            }
        }
        let bytes = left.iter().map(|(_, length)| length).sum();
        Ok(Self { left, open: None, carried: Vec::new(), bytes, bytes_read: 0, damaged })
    }

    /// How much there is to read in all, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How much of it was read.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// Sealed segments of which something could not be unpacked, with why: what could be was read.
    pub fn damaged(&self) -> &[(PathBuf, String)] {
        &self.damaged
    }

    /// Leaves out the segments in front of the one that holds this record, or would. Names are in the order of the records,
    /// whatever the clock did.
    pub fn skip_to(&mut self, seq: u64) {
        while self.left.get(1).and_then(|(path, _)| first_seq(path)).is_some_and(|next| next <= seq) {
            self.left.pop_front();
        }
        self.bytes = self.left.iter().map(|(_, length)| length).sum();
    }

    /// Fills `block` with the next whole lines, each with its end; false where there are none left. Bytes
    /// without a line end for a whole block come as they are, since no record is so long.
    ///
    /// # Errors
    /// What could not be read.
    pub fn next(&mut self, block: &mut Vec<u8>) -> Result<bool, OpenError> {
        block.clear();
        loop {
            let (path, mut file) = match self.open.take() {
                Some(open) => open,
                None => match self.left.pop_front() {
                    Some((path, length)) => {
                        let file = match SegmentFile::open(&path) {
                            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                            file => file.map_err(|source| io_error(&path, source))?,
                        };
                        (path, file.take(length))
                    }
                    None => return Ok(false),
                },
            };
            block.append(&mut self.carried);
            let ended = match self.fill(&mut file, block) {
                Ok(ended) => ended,
                // What was before the damage is whole, as frames are; the next read goes on behind it.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    if self.damaged.last().is_none_or(|(damaged, _)| *damaged != path) {
                        self.damaged.push((path.clone(), error.to_string()));
                    }
                    false
                }
                Err(error) => return Err(io_error(&path, error)),
            };
            let whole = block.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            if ended {
                // A torn last line: a write under way, or a crash.
                block.truncate(whole);
            } else {
                if whole > 0 {
                    self.carried = block.split_off(whole);
                }
                self.open = Some((path, file));
            }
            if !block.is_empty() {
                return Ok(true);
            }
        }
    }

    /// Reads until the block is full, or the segment has ended, which it says.
    fn fill(&mut self, file: &mut Take<SegmentFile>, block: &mut Vec<u8>) -> io::Result<bool> {
        let room = BLOCK_BYTES.saturating_sub(block.len() as u64);
        let read = file.by_ref().take(room).read_to_end(block)? as u64;
        self.bytes_read += read;
        Ok(read < room)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HOUR: u64 = 3_600_000_000;

    fn journal(segments: &[(u64, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("journal")).unwrap();
        for (number, (hour, text)) in segments.iter().enumerate() {
            let name = super::super::segment::name(number as u64 + 1, Timestamp(500_000 * HOUR + hour * HOUR));
            fs::write(directory.path().join("journal").join(name), text).unwrap();
        }
        directory
    }

    fn lines(reader: &mut Reader) -> Vec<String> {
        let (mut block, mut lines) = (Vec::new(), Vec::new());
        while reader.next(&mut block).unwrap() {
            assert!(block.ends_with(b"\n") && block.len() as u64 <= BLOCK_BYTES);
            lines.extend(String::from_utf8(block.clone()).unwrap().lines().map(str::to_owned));
        }
        lines
    }

    #[test]
    fn whole_lines_come_in_order_and_torn_ends_are_left_out() {
        let directory = journal(&[(0, "one\ntwo\nto"), (1, ""), (2, "three\n"), (3, "four\nfi")]);
        let mut reader = Reader::open(directory.path(), None).unwrap();
        assert_eq!(lines(&mut reader), ["one", "two", "three", "four"]);
        assert_eq!(reader.bytes_read(), reader.bytes());
    }

    #[test]
    fn lines_across_the_borders_of_blocks_stay_whole() {
        let long: Vec<String> = (0..50_000).map(|n| format!("{n}{}", "x".repeat(n % 300))).collect();
        let directory = journal(&[(0, &format!("{}\n", long.join("\n"))), (1, "end\n")]);
        let read = lines(&mut Reader::open(directory.path(), None).unwrap());
        assert_eq!(read.len(), long.len() + 1);
        assert!(read[..long.len()] == long[..] && read[long.len()] == "end");
    }

    #[test]
    fn what_comes_after_it_was_opened_is_not_read() {
        let directory = journal(&[(0, "one\n")]);
        let mut reader = Reader::open(directory.path(), None).unwrap();
        let path = list(&directory.path().join("journal")).unwrap().remove(0);
        fs::write(path, "one\ntwo\n").unwrap();
        assert_eq!(lines(&mut reader), ["one"]);
    }

    #[test]
    fn segments_that_ended_before_are_left_out_and_the_one_under_way_then_is_not() {
        let directory = journal(&[(0, "a\n"), (1, "b\n"), (2, "c\n")]);
        let named = HOUR + 999_999;
        for (since, expected) in
            [(0, "abc"), (HOUR, "abc"), (named - 1, "abc"), (named, "bc"), (named + HOUR, "c"), (9 * HOUR, "c")]
        {
            let since = Timestamp(500_000 * HOUR + since);
            let read = lines(&mut Reader::open(directory.path(), Some(since)).unwrap());
            assert_eq!(read.concat(), expected, "{since:?}");
        }
    }

    #[test]
    fn bytes_without_any_line_end_come_in_blocks_that_are_bounded() {
        let directory = journal(&[(0, &"x".repeat(5 << 20))]);
        let mut reader = Reader::open(directory.path(), None).unwrap();
        let (mut block, mut lengths) = (Vec::new(), Vec::new());
        while reader.next(&mut block).unwrap() {
            lengths.push(block.len() as u64);
        }
        assert_eq!(lengths, [BLOCK_BYTES, BLOCK_BYTES]);
    }
}
