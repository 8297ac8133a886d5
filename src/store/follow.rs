use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::facts::Timestamp;

use super::segment::{OpenError, begun, io_error, list};

/// Reads the journal as it is written, whole lines at a time, and goes on where it stood.
#[derive(Debug)]
pub struct Follower {
    directory: PathBuf,
    since: Timestamp,
    /// The segment that is read, and how much of it was.
    at: Option<(PathBuf, u64)>,
}

/// A block is at most this long; no line of a journal comes near it.
const BLOCK_BYTES: u64 = 256 << 10;

impl Follower {
    /// Follows the journal below a data directory. Segments that by the name of the next one were ended before `since` are
    /// left out.
    pub fn new(data_dir: &Path, since: Timestamp) -> Self {
        Self { directory: data_dir.join("journal"), since, at: None }
    }

    /// Fills `block` with the next whole lines; false where nothing more is written yet.
    ///
    /// # Errors
    /// The directory or a segment cannot be read; the next call tries again.
    pub fn next(&mut self, block: &mut Vec<u8>) -> Result<bool, OpenError> {
        loop {
            block.clear();
            let Some((path, read)) = self.at.clone().or_else(|| self.first()) else { return Ok(false) };
            let failed = |source| io_error(&path, source);
            // Which it is must be asked before the end is seen: only the newest segment grows.
            let newer = self.after(&path).map_err(|source| io_error(&self.directory, source))?;
            let mut file = File::open(&path).map_err(failed)?;
            file.seek(SeekFrom::Start(read)).map_err(failed)?;
            file.take(BLOCK_BYTES).read_to_end(block).map_err(failed)?;
            let is_full = block.len() as u64 == BLOCK_BYTES;
            match block.iter().rposition(|byte| *byte == b'\n') {
                Some(end) => block.truncate(end + 1),
                // What has no end in a whole block is no record.
                None if is_full => {}
                None => block.clear(),
            }
            self.at = Some((path, read + block.len() as u64));
            match (block.is_empty(), newer) {
                (false, _) => return Ok(true),
                (true, Some(newer)) => self.at = Some((newer, 0)),
                (true, None) => return Ok(false),
            }
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
    fn after(&self, path: &Path) -> std::io::Result<Option<PathBuf>> {
        Ok(list(&self.directory)?.into_iter().find(|other| other.as_path() > path))
    }
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
}
