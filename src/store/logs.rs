use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::sealed::on_disk;
use super::segment::list;

/// A log of lines in a file: as it is, or packed with gzip or Zstandard, whichever its first bytes say.
pub struct LogFile {
    lines: BufReader<Box<dyn Read>>,
    read: Arc<AtomicU64>,
}

/// A buffer is this long.
const BUFFER_BYTES: usize = 256 << 10;
const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTANDARD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// No window of a Zstandard frame takes more memory: what `zstd` unpacks unless it is told otherwise.
const WINDOW_LOG_MAX: u32 = 27;

/// Counts the bytes that were read of a file, packed as they are.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl LogFile {
    /// Opens a file.
    ///
    /// # Errors
    /// It cannot be read, or is packed in a way that cannot be undone.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut magic = Vec::new();
        file.by_ref().take(4).read_to_end(&mut magic)?;
        file.seek(SeekFrom::Start(0))?;
        Self::unpacking(file, &magic)
    }

    /// Reads what comes on a stream, such as standard input.
    ///
    /// # Errors
    /// It cannot be read, or is packed in a way that cannot be undone.
    pub fn stream(mut stream: impl Read + 'static) -> io::Result<Self> {
        let mut magic = Vec::new();
        stream.by_ref().take(4).read_to_end(&mut magic)?;
        Self::unpacking(io::Cursor::new(magic.clone()).chain(stream), &magic)
    }

    fn unpacking(source: impl Read + 'static, magic: &[u8]) -> io::Result<Self> {
        let read = Arc::new(AtomicU64::new(0));
        let source = Counted(source, read.clone());
        let unpacked: Box<dyn Read> = if magic.starts_with(GZIP) {
            Box::new(flate2::read::MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, source)))
        } else if magic.starts_with(ZSTANDARD) {
            let source = BufReader::with_capacity(BUFFER_BYTES, source);
            let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?;
            decoder.window_log_max(WINDOW_LOG_MAX)?;
            Box::new(decoder)
        } else {
            Box::new(source)
        };
        Ok(Self { lines: BufReader::with_capacity(BUFFER_BYTES, unpacked), read })
    }

    /// Reads the next line into `line`, without its end; false where there is none left. A line of more than `bytes_max` is
    /// given as its first `bytes_max` + 1 bytes; the rest of it is passed over.
    ///
    /// # Errors
    /// What could not be read or unpacked.
    pub fn next(&mut self, line: &mut Vec<u8>, bytes_max: usize) -> io::Result<bool> {
        line.clear();
        let room = bytes_max as u64 + 2;
        if self.lines.by_ref().take(room).read_until(b'\n', line)? == 0 {
            return Ok(false);
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 == room {
            line.truncate(bytes_max + 1);
            self.lines.skip_until(b'\n')?;
        }
        Ok(true)
    }

    /// How many bytes of the file were read so far, packed as they are.
    pub fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// The files that a path means: of a data directory the segments of its journal, of any other directory the files in it, by
/// name, and else the file itself.
///
/// # Errors
/// The path or the directory cannot be read.
pub fn log_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !std::fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let journal = path.join("journal");
    if journal.is_dir() {
        return Ok(list(&journal)?.iter().map(|segment| on_disk(segment)).collect());
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines_of(bytes: Vec<u8>) -> Vec<String> {
        let mut log = LogFile::stream(io::Cursor::new(bytes)).unwrap();
        let (mut line, mut lines) = (Vec::new(), Vec::new());
        while log.next(&mut line, 20).unwrap() {
            lines.push(String::from_utf8(line.clone()).unwrap());
        }
        lines
    }

    #[test]
    fn a_log_is_unpacked_by_what_it_begins_with() {
        let text = b"one\ntwo\nthree";
        let packed = |text: &[u8]| {
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packer.write_all(text).unwrap();
            packer.finish().unwrap()
        };
        let lines = ["one", "two", "three"];
        assert_eq!(lines_of(text.to_vec()), lines);
        assert_eq!(lines_of(packed(text)), lines);
        assert_eq!(lines_of([packed(b"one\ntw"), packed(b"o\nthree")].concat()), lines, "as `cat` joins them");
        let zstd = zstd::encode_all(&text[..], 1).unwrap();
        assert_eq!(lines_of(zstd), lines);
        assert_eq!(lines_of(Vec::new()), [""; 0]);
    }

    #[test]
    fn a_line_without_end_takes_no_more_memory_than_its_bound() {
        let lines =
            lines_of([b"x".repeat(100_000), b"\nshort\n".to_vec(), b"y".repeat(20), b"\nlast".to_vec()].concat());
        assert_eq!(lines, ["x".repeat(21), "short".into(), "y".repeat(20), "last".into()]);
    }

    #[test]
    fn what_is_packed_and_torn_says_so() {
        for (magic, rest) in [(GZIP, &b"no gzip"[..]), (ZSTANDARD, b"\xff\xff")] {
            let mut log = LogFile::stream(io::Cursor::new([magic, rest].concat())).unwrap();
            assert!(log.next(&mut Vec::new(), 20).is_err());
        }
    }
}
