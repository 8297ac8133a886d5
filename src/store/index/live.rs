use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::evidence::{lines_of, read_record};

use super::super::disk::lacks;
use super::super::follow::Follower;
use super::super::reader::Reader;
use super::fill::hash_of;
use super::{Filler, INDEX_FILE, IndexError, Indexed};

/// The index of a running gate, which is filled behind its journal.
pub struct LiveIndex {
    data_dir: PathBuf,
    path: PathBuf,
    filler: Filler,
    follower: Follower,
    block: Vec<u8>,
    /// Records that are not committed yet, and the number of the last that is.
    uncommitted: u64,
    committed: u64,
    /// Which file it is: `sekisho reindex` may put another into its place.
    inode: u64,
}

/// Records are committed when there are so many, or when there is nothing more to read.
const COMMIT_RECORDS: u64 = 20_000;
/// So many bytes are more than what is committed at a time.
const COMMIT_BYTES: u64 = 8 << 20;

impl LiveIndex {
    /// Opens the index of a data directory, or begins one. What is no index, is of another form or of another journal is
    /// begun anew; `told` is called with why.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn open(data_dir: &Path, mut told: impl FnMut(String)) -> Result<Self, IndexError> {
        let path = data_dir.join(INDEX_FILE);
        let opened = match filler(&path) {
            Err(error) if error.is_of_no_use() => {
                told(format!("{error}; it is built anew"));
                return Self::anew(data_dir);
            }
            opened => opened?,
        };
        match Self::following(data_dir, path, opened) {
            Err(error) if error.is_of_no_use() => {
                told(format!("{error}; it is built anew"));
                Self::anew(data_dir)
            }
            following => following,
        }
    }

    /// Takes away what is there, and begins one.
    ///
    /// # Errors
    /// As [`LiveIndex::open`].
    pub fn anew(data_dir: &Path) -> Result<Self, IndexError> {
        let path = data_dir.join(INDEX_FILE);
        remove(&path)?;
        let filler = filler(&path)?;
        Self::following(data_dir, path, filler)
    }

    fn following(data_dir: &Path, path: PathBuf, filler: Filler) -> Result<Self, IndexError> {
        is_of(data_dir, filler.indexed())?;
        let follower = Follower::at_record(data_dir, filler.indexed().seq)?;
        let (inode, committed) = (inode(&path)?, filler.indexed().seq);
        let data_dir = data_dir.to_owned();
        Ok(Self { data_dir, path, filler, follower, block: Vec::new(), uncommitted: 0, committed, inode })
    }

    /// How far the journal was read.
    pub fn indexed(&self) -> &Indexed {
        self.filler.indexed()
    }

    /// The number of the last record that whoever asks the index sees.
    pub fn committed(&self) -> u64 {
        self.committed
    }

    /// Takes a block of the journal. False where there was none left, and all that was taken is committed.
    ///
    /// # Errors
    /// The journal cannot be read or the index not be written: what is not committed is lost with this value, and taken again
    /// by the next.
    pub fn step(&mut self) -> Result<bool, IndexError> {
        if self.uncommitted == 0
            && let Some(lacking) = lacks(&self.data_dir, COMMIT_BYTES)
                .map_err(|source| IndexError::Io { path: self.data_dir.clone(), source })?
        {
            return Err(IndexError::NoRoom(lacking));
        }
        let mut block = std::mem::take(&mut self.block);
        let read = self.follower.next(&mut block);
        let taken = read.map_err(IndexError::Journal).and_then(|is_more| {
            for line in lines_of(&block) {
                self.filler.line(line)?;
                self.uncommitted += 1;
            }
            Ok(is_more)
        });
        self.block = block;
        for (segment, why) in self.follower.take_damaged() {
            self.filler.unread(&segment, &why)?;
            self.uncommitted += 1;
        }
        let is_more = taken?;
        if self.uncommitted > 0 && (!is_more || self.uncommitted >= COMMIT_RECORDS) {
            self.filler.commit()?;
            (self.uncommitted, self.committed) = (0, self.filler.indexed().seq);
            if inode(&self.path).ok() != Some(self.inode) {
                // Another was put into its place: it goes on with that one.
                *self = Self::following(&self.data_dir, self.path.clone(), filler(&self.path)?)?;
            }
        }
        Ok(is_more)
    }
}

/// Looks whether the journal goes up to where the index does, and has the same record there: one that lost its end with power,
/// or was put there in its place, does not.
fn is_of(data_dir: &Path, indexed: &Indexed) -> Result<(), IndexError> {
    if indexed.seq == 0 {
        return Ok(());
    }
    let mut reader = Reader::open(data_dir, None)?;
    reader.skip_to(indexed.seq);
    let mut block = Vec::new();
    while reader.next(&mut block)? {
        for line in lines_of(&block) {
            match read_record(line) {
                Ok(record) if record.seq == indexed.seq && hash_of(line) != indexed.hash => {
                    return Err(IndexError::OtherJournal);
                }
                // Or a later one, where that one was dropped.
                Ok(record) if record.seq >= indexed.seq => return Ok(()),
                Ok(_) | Err(_) => {}
            }
        }
    }
    Err(IndexError::OtherJournal)
}

fn filler(path: &Path) -> Result<Filler, IndexError> {
    let io = |source| IndexError::Io { path: path.to_owned(), source };
    // Made before SQLite would, so that its owner alone may read it.
    fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io)?;
    let connection = Connection::open(path)?;
    connection.busy_timeout(std::time::Duration::from_secs(10))?;
    connection.execute_batch(
        "PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -1024;",
    )?;
    Filler::new(connection, false)
}

/// Takes the file away, and what SQLite has beside it.
pub(super) fn remove(path: &Path) -> Result<(), IndexError> {
    for ending in ["", "-wal", "-shm", "-journal"] {
        let mut path = path.as_os_str().to_owned();
        path.push(ending);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(IndexError::Io { path: path.into(), source });
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn inode(path: &Path) -> Result<u64, IndexError> {
    fs::metadata(path).map(|found| found.ino()).map_err(|source| IndexError::Io { path: path.to_owned(), source })
}
