use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use rusqlite::Connection;

use crate::evidence::{lines_of, read_record};

use super::super::reader::Reader;
use super::super::segment::OpenError;
use super::fill::note_unread;
use super::{Filler, INDEX_FILE, IndexError, Indexed};

/// What came of building the index anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    pub indexed: Indexed,
    /// The length of the file.
    pub bytes: u64,
    /// Sealed segments of which something could not be unpacked, with why: the rest is in it.
    pub damaged: Vec<(PathBuf, String)>,
}

/// Records between two commits.
const COMMIT_RECORDS: u64 = 500_000;
/// Blocks of the journal that are read ahead.
const BLOCKS_AHEAD: usize = 4;

/// Builds the index of a data directory anew from its journal, in a new file that takes the place of the old one once it is
/// whole. `progress` is told how many bytes of how many were read.
///
/// # Errors
/// The journal cannot be read, or the file not be written: then the old one stays.
pub fn reindex(data_dir: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Rebuilt, IndexError> {
    let path = data_dir.join(INDEX_FILE);
    let new = data_dir.join(format!("{INDEX_FILE}.new"));
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| IndexError::Io { path, source }
    };
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(&new)(error)),
        Ok(()) | Err(_) => {}
    }
    let mut reader = Reader::open(data_dir, None)?;
    let connection = Connection::open(&new)?;
    make_private(&new).map_err(failed(&new))?;
    connection.execute_batch(
        "PRAGMA page_size = 8192; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
         PRAGMA cache_size = -131072; PRAGMA temp_store = MEMORY;",
    )?;
    let filler = Filler::new(connection, true)?;
    let (full, blocks) = sync_channel(BLOCKS_AHEAD);
    let (done, empty) = sync_channel(BLOCKS_AHEAD + 1);
    let built = thread::scope(|scope| {
        let reading = scope.spawn(move || read_ahead(&mut reader, &full, &empty));
        let filled = fill(filler, &blocks, &done, &mut progress);
        // Where filling has failed, whoever reads is told so by this.
        drop((blocks, done));
        let read = reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok((filled?, read?))
    });
    let (indexed, damaged) = match built {
        Ok(built) => built,
        Err(error) => {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
    };
    if !damaged.is_empty() {
        let connection = Connection::open(&new)?;
        damaged.iter().try_for_each(|(segment, why)| note_unread(&connection, segment, why))?;
        connection.close().map_err(|(_, error)| error)?;
    }
    fs::File::open(&new).and_then(|file| file.sync_all()).map_err(failed(&new))?;
    for ending in ["-wal", "-shm", "-journal"] {
        // What belongs to the old file must not be taken for the new one's.
        let _ = fs::remove_file(data_dir.join(format!("{INDEX_FILE}{ending}")));
    }
    fs::rename(&new, &path).map_err(failed(&path))?;
    fs::File::open(data_dir).and_then(|directory| directory.sync_all()).map_err(failed(data_dir))?;
    let bytes = fs::metadata(&path).map_err(failed(&path))?.len();
    Ok(Rebuilt { indexed, bytes, damaged })
}

/// A block of the journal, how many bytes were read with it, and how many there are.
struct Block {
    lines: Vec<u8>,
    read: u64,
    all: u64,
}

fn read_ahead(
    reader: &mut Reader,
    full: &SyncSender<Block>,
    empty: &Receiver<Vec<u8>>,
) -> Result<Vec<(PathBuf, String)>, OpenError> {
    loop {
        let mut lines = empty.try_recv().unwrap_or_default();
        if !reader.next(&mut lines)? {
            return Ok(reader.damaged().to_vec());
        }
        if full.send(Block { lines, read: reader.bytes_read(), all: reader.bytes() }).is_err() {
            return Ok(Vec::new());
        }
    }
}

fn fill(
    mut filler: Filler,
    blocks: &Receiver<Block>,
    done: &SyncSender<Vec<u8>>,
    progress: &mut impl FnMut(u64, u64),
) -> Result<Indexed, IndexError> {
    let mut committed = 0;
    while let Ok(block) = blocks.recv() {
        for line in lines_of(&block.lines) {
            match read_record(line) {
                Ok(record) => filler.record(&record, line)?,
                Err(_) => filler.line(line)?,
            }
        }
        if filler.indexed().records >= committed + COMMIT_RECORDS {
            filler.commit()?;
            committed = filler.indexed().records;
        }
        progress(block.read, block.all);
        let _ = done.try_send(block.lines);
    }
    let connection = filler.finish()?;
    connection.execute_batch("PRAGMA locking_mode = NORMAL; PRAGMA journal_mode = WAL;")?;
    let indexed = super::indexed(&connection)?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(indexed)
}

/// Its owner alone may read it.
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}
