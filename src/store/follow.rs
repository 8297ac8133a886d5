use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::facts::Timestamp;

use super::sealed::SegmentFile;
use super::segment::{OpenError, begun, first_seq, io_error, list};

/// Reads the journal as it is written, whole lines at a time, and goes on where it stood.
#[derive(Debug)]
pub struct Follower {
    directory: PathBuf,
    since: Timestamp,
    /// The segment that was read last, and how much of it was.
    at: Option<(PathBuf, u64)>,
    /// What was read last.
    end: Vec<u8>,
    damaged: Vec<(PathBuf, String)>,
}

/// Up to where a journal was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The file name of a segment, and how many bytes of it were read.
    segment: Box<str>,
    read: u64,
    /// The last of these bytes. A line ends with a hash of all that is before it, so that no other journal ends so.
    end: Vec<u8>,
}

/// A block is at most this long; no line of a journal comes near it.
const BLOCK_BYTES: u64 = 256 << 10;
/// Damaged segments that are told of.
const DAMAGED_MAX: usize = 1000;
/// So much is kept of the end of what was read: a line's hash, and more.
const END_BYTES: usize = 64;

impl Follower {
    /// Follows the journal below a data directory. Segments that by the name of the next one were ended before `since` are
    /// left out.
    pub fn new(data_dir: &Path, since: Timestamp) -> Self {
        Self { directory: data_dir.join("journal"), since, at: None, end: Vec::new(), damaged: Vec::new() }
    }

    /// Goes on behind a place; `None` where this journal does not have it: what was read there is gone, or is another's.
    ///
    /// # Errors
    /// The segment cannot be read.
    pub fn resume(data_dir: &Path, place: Place) -> Result<Option<Self>, OpenError> {
        let Place { segment, read, end } = place;
        let directory = data_dir.join("journal");
        let paths = list(&directory).map_err(|source| io_error(&directory, source))?;
        let is_it = |path: &PathBuf| path.file_name().is_some_and(|name| name == &*segment);
        let Some(path) = paths.into_iter().find(is_it) else { return Ok(None) };
        let is_there = !end.is_empty() && ends_so(&path, read, &end).map_err(|source| io_error(&path, source))?;
        Ok(is_there.then(|| Self {
            directory,
            since: Timestamp::default(),
            at: Some((path, read)),
            end,
            damaged: Vec::new(),
        }))
    }

    /// Follows from the segment on that holds a record, or would: what is in front of the record in it comes again.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn at_record(data_dir: &Path, seq: u64) -> Result<Self, OpenError> {
        let directory = data_dir.join("journal");
        let paths = list(&directory).map_err(|source| io_error(&directory, source))?;
        let begins_by = |path: &PathBuf| first_seq(path).is_some_and(|first| first <= seq);
        let path = paths.iter().rev().find(|path| begins_by(path)).or(paths.first());
        let at = path.map(|path| (path.clone(), 0));
        Ok(Self { directory, since: Timestamp::default(), at, end: Vec::new(), damaged: Vec::new() })
    }

    /// Follows from about so many bytes before the end on, over as many segments as they take; what is read first may be a
    /// part of a line.
    ///
    /// # Errors
    /// The directory or a segment of these cannot be read.
    pub fn near_end(data_dir: &Path, bytes: u64) -> Result<Self, OpenError> {
        let directory = data_dir.join("journal");
        let (mut left, mut at) = (bytes, None);
        for path in list(&directory).map_err(|source| io_error(&directory, source))?.into_iter().rev() {
            let length = SegmentFile::open(&path).and_then(|file| file.plain_bytes());
            let length = length.map_err(|source| io_error(&path, source))?;
            at = Some((path, length.saturating_sub(left)));
            left = left.saturating_sub(length);
            if left == 0 {
                break;
            }
        }
        Ok(Self { directory, since: Timestamp::default(), at, end: Vec::new(), damaged: Vec::new() })
    }

    /// Up to where the journal was read; `None` where nothing was.
    pub fn place(&self) -> Option<Place> {
        let (path, read) = self.at.as_ref()?;
        let segment = path.file_name()?.to_str()?.into();
        Some(Place { segment, read: *read, end: self.end.clone() })
    }

    /// Sealed segments of which something could not be unpacked, with why, since this was asked last: what could be was read.
    pub fn take_damaged(&mut self) -> Vec<(PathBuf, String)> {
        std::mem::take(&mut self.damaged)
    }

    /// Fills `block` with the next whole lines; false where nothing more is written yet. What of a sealed segment cannot be
    /// unpacked is passed over.
    ///
    /// # Errors
    /// The directory or a segment cannot be read; the next call tries again.
    pub fn next(&mut self, block: &mut Vec<u8>) -> Result<bool, OpenError> {
        block.clear();
        let Some((mut path, mut read)) = self.at.clone().or_else(|| self.first()) else { return Ok(false) };
        loop {
            let mut newer = None;
            let mut read_on = lines_at(&path, read, block);
            if !matches!(read_on, Ok(()) if !block.is_empty()) {
                // Which it is must be asked before the end is seen: only the newest segment grows.
                newer = self.after(&path).map_err(|source| io_error(&self.directory, source))?;
                read_on = lines_at(&path, read, block);
            }
            match read_on {
                // What was read of a segment, and is moved away, is over.
                Err(error) if error.kind() == io::ErrorKind::NotFound && newer.is_some() => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.note_damage(&path, &error);
                    // The rest of it, or where its table is damaged all of it.
                    if let Some(behind) = frame_end(&path, read).filter(|behind| *behind > read) {
                        read = behind;
                        continue;
                    }
                    block.clear();
                }
                other => other.map_err(|source| io_error(&path, source))?,
            }
            if !block.is_empty() {
                self.end = block.get(block.len().saturating_sub(END_BYTES)..).unwrap_or_default().to_vec();
                self.at = Some((path, read + block.len() as u64));
                return Ok(true);
            }
            let Some(newer) = newer else { return Ok(false) };
            (path, read) = (newer, 0);
        }
    }

    fn note_damage(&mut self, path: &Path, why: &io::Error) {
        let is_known = self.damaged.iter().any(|(known, _)| known == path);
        if !is_known && self.damaged.len() < DAMAGED_MAX {
            self.damaged.push((path.to_owned(), why.to_string()));
        }
    }

    fn first(&self) -> Option<(PathBuf, u64)> {
        let mut paths = list(&self.directory).ok()?.into_iter().peekable();
        let mut first = paths.next()?;
        while paths.peek().and_then(|next| begun(next)).is_some_and(|next| next <= self.since) {
            first = paths.next()?;
        }
        Some((first, 0))
    }

    /// The segment that follows; one that was removed meanwhile is followed by the next that is left.
    fn after(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        Ok(list(&self.directory)?.into_iter().find(|other| other.as_path() > path))
    }
}

/// Fills `block` with the whole lines of a segment from a byte on, as many as there is room for.
fn lines_at(path: &Path, begin: u64, block: &mut Vec<u8>) -> io::Result<()> {
    block.clear();
    let mut file = SegmentFile::open(path)?;
    file.go_to(begin)?;
    match file.take(BLOCK_BYTES).read_to_end(block) {
        // What was before the damage is whole, as frames are; the next read meets the damage.
        Err(error) if error.kind() == io::ErrorKind::InvalidData && !block.is_empty() => {}
        read => drop(read?),
    }
    match block.iter().rposition(|byte| *byte == b'\n') {
        Some(end) => block.truncate(end + 1),
        // What has no end in a whole block is no record.
        None if block.len() as u64 == BLOCK_BYTES => {}
        None => block.clear(),
    }
    Ok(())
}

/// Where the frame ends that has this byte of a sealed segment; `None` where nothing is known of its frames.
fn frame_end(path: &Path, byte: u64) -> Option<u64> {
    SegmentFile::open(path).ok()?.frame_end(byte)
}

/// Whether a file has these bytes in front of a place.
fn ends_so(path: &Path, read: u64, end: &[u8]) -> io::Result<bool> {
    let Some(begin) = read.checked_sub(end.len() as u64) else { return Ok(false) };
    let mut file = SegmentFile::open(path)?;
    if file.plain_bytes()? < read {
        return Ok(false);
    }
    file.go_to(begin)?;
    let mut found = Vec::new();
    file.take(end.len() as u64).read_to_end(&mut found)?;
    Ok(found == end)
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;

    use super::super::segment::name;
    use super::*;

    const HOUR: u64 = 3_600_000_000;

    fn append(data_dir: &Path, number: u64, text: &str) {
        let path = data_dir.join("journal").join(name(number, Timestamp(500_000 * HOUR + number * HOUR)));
        OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn lines(follower: &mut Follower) -> Vec<String> {
        let (mut block, mut lines) = (Vec::new(), Vec::new());
        while follower.next(&mut block).unwrap() {
            lines.extend(String::from_utf8(block.clone()).unwrap().lines().map(str::to_owned));
        }
        lines
    }

    #[test]
    fn what_is_written_is_read_once_and_a_line_only_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("journal")).unwrap();
        let mut follower = Follower::new(directory.path(), Timestamp(0));
        assert_eq!(lines(&mut follower), [""; 0]);
        append(directory.path(), 1, "a\nb");
        assert_eq!(lines(&mut follower), ["a"]);
        append(directory.path(), 1, "b\n");
        assert_eq!(lines(&mut follower), ["bb"]);
        append(directory.path(), 2, "c\n");
        append(directory.path(), 3, "d\n");
        assert_eq!(lines(&mut follower), ["c", "d"]);
        assert_eq!(lines(&mut follower), [""; 0]);
    }

    #[test]
    fn what_cannot_be_unpacked_is_passed_over_and_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("journal")).unwrap();
        let line = |number: u64| format!("{number}{}", "x".repeat(1000));
        let mut packer = super::super::sealed::Packer::new(Vec::new()).unwrap();
        (0..6000).for_each(|number| packer.line(line(number).as_bytes()).unwrap());
        let whole = packer.finish().unwrap();
        append(directory.path(), 1, "a\n");
        append(directory.path(), 2, "");
        append(directory.path(), 3, "z\n");
        let plain = list(&directory.path().join("journal")).unwrap().remove(1);
        std::fs::remove_file(&plain).unwrap();
        let sealed = super::super::sealed::sealed_path(&plain);
        let read = |packed: &[u8]| {
            std::fs::write(&sealed, packed).unwrap();
            let mut follower = Follower::new(directory.path(), Timestamp(0));
            let lines = lines(&mut follower);
            assert_eq!((lines.first().unwrap().as_str(), lines.last().unwrap().as_str()), ("a", "z"));
            (lines.len() - 2, follower.take_damaged().into_iter().map(|(path, _)| path).collect::<Vec<_>>())
        };
        assert_eq!(read(&whole), (6000, vec![]));
        let mut one = whole.clone();
        one[20] ^= 0x55;
        let (left, damaged) = read(&one);
        assert!((3000..6000).contains(&left), "{left}");
        assert_eq!(damaged, vec![plain.clone()]);
        let mut table = whole.clone();
        let end = table.len();
        table[end - 1] ^= 0x55;
        assert_eq!(read(&table), (0, vec![plain]), "without its table nothing is known of it");
    }

    #[test]
    fn segments_that_were_over_before_are_left_out() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("journal")).unwrap();
        for (number, text) in [(1, "a\n"), (2, "b\n"), (3, "c\n")] {
            append(directory.path(), number, text);
        }
        let since = |hours: u64| Timestamp(500_000 * HOUR + hours * HOUR);
        assert_eq!(lines(&mut Follower::new(directory.path(), since(2))), ["b", "c"]);
        assert_eq!(lines(&mut Follower::new(directory.path(), since(9))), ["c"]);
    }

    #[test]
    fn a_segment_that_is_moved_away_while_it_was_read_is_over() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("journal")).unwrap();
        append(directory.path(), 1, "a\n");
        let mut follower = Follower::new(directory.path(), Timestamp(0));
        assert_eq!(lines(&mut follower), ["a"]);
        append(directory.path(), 2, "b\n");
        std::fs::remove_file(list(&directory.path().join("journal")).unwrap().remove(0)).unwrap();
        assert_eq!(lines(&mut follower), ["b"]);
    }

    #[test]
    fn what_was_read_is_not_read_again_by_one_that_goes_on_from_its_place() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("journal")).unwrap();
        let mut follower = Follower::new(directory.path(), Timestamp(0));
        assert_eq!(follower.place(), None);
        append(directory.path(), 1, "a\nb\nc");
        assert_eq!(lines(&mut follower), ["a", "b"]);
        let place = follower.place().unwrap();
        let resumed = |place: &Place| Follower::resume(directory.path(), place.clone()).unwrap();
        append(directory.path(), 1, "c\n");
        append(directory.path(), 2, "d\n");
        assert_eq!(lines(&mut resumed(&place).unwrap()), ["cc", "d"]);
        // A newer segment that is empty yet is no place to go on from.
        assert_eq!(lines(&mut follower), ["cc", "d"]);
        append(directory.path(), 3, "");
        assert_eq!(lines(&mut follower), [""; 0]);
        std::fs::remove_file(list(&directory.path().join("journal")).unwrap().remove(2)).unwrap();
        append(directory.path(), 4, "e\n");
        assert_eq!(lines(&mut resumed(&follower.place().unwrap()).unwrap()), ["e"]);
    }

    #[test]
    fn the_end_of_a_journal_is_looked_for_in_as_many_segments_as_it_takes() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("journal")).unwrap();
        assert_eq!(lines(&mut Follower::near_end(directory.path(), 10).unwrap()), Vec::<String>::new());
        append(directory.path(), 1, "a1\na2\n");
        append(directory.path(), 2, "b1\nb2\n");
        append(directory.path(), 3, "");
        for (bytes, expected) in
            [(3, ["b2"].as_slice()), (6, &["b1", "b2"]), (9, &["a2", "b1", "b2"]), (900, &["a1", "a2", "b1", "b2"])]
        {
            assert_eq!(lines(&mut Follower::near_end(directory.path(), bytes).unwrap()), expected, "{bytes}");
        }
    }

    #[test]
    fn a_journal_that_does_not_have_the_place_is_not_gone_on_with() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("journal")).unwrap();
        append(directory.path(), 1, "first\nsecond\n");
        let mut follower = Follower::new(directory.path(), Timestamp(0));
        assert_eq!(lines(&mut follower), ["first", "second"]);
        let place = follower.place().unwrap();
        let is_there = || Follower::resume(directory.path(), place.clone()).unwrap().is_some();
        assert!(is_there());
        let path = list(&directory.path().join("journal")).unwrap().remove(0);
        for (text, is_it) in [
            ("first\n", false),
            ("first\nother.\n", false),
            ("first\nother.\nthird\n", false),
            ("first\nsecond\nthird\n", true),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(is_there(), is_it, "{text:?}");
        }
        std::fs::remove_file(&path).unwrap();
        assert!(!is_there());
        for (read, end) in [(3, b"first\n".to_vec()), (u64::MAX, b"first\n".to_vec()), (0, Vec::new())] {
            std::fs::write(&path, "first\nsecond\n").unwrap();
            let place = Place { read, end, ..place.clone() };
            assert!(Follower::resume(directory.path(), place).unwrap().is_none(), "{read}");
        }
    }
}
