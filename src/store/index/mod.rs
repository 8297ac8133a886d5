//! The index: what the journal says, arranged for questions, in one SQLite file.
//!
//! In: lines of the journal in their order. Out: the tables of `schema.sql` and `day.sql`, and views over them. It is
//! derived from the journal alone, may lag behind it and says by how much, and is built anew at any time. It proves nothing.

mod day;
mod dialled;
mod dropped;
mod event;
mod fill;
mod interned;
mod live;
mod manner;
mod names;
mod open;
mod rebuild;
mod row;
mod template;
mod told;
mod url;
mod views;

use std::path::{Path, PathBuf};

use rusqlite::ffi::ErrorCode;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::facts::Timestamp;

use super::segment::OpenError;

pub use dialled::dialled_in;
pub use fill::Filler;
pub use interned::domain_of;
pub use live::LiveIndex;
pub use rebuild::{Rebuilt, reindex};
pub use url::{body_hash, query_hash_mark, query_mark, url_mark};
pub use views::{VIEWS, View};

/// The file in the data directory.
pub const INDEX_FILE: &str = "index.db";
/// The form of the file; of another form it is built anew.
const FORM: i64 = 6;
/// Microseconds of a quarter of an hour, by which judgements are summed: days begin at one in every time zone.
pub const QUARTER_US: i64 = 900_000_000;
/// Microseconds of a day.
pub const DAY_US: i64 = 86_400_000_000;

/// Why the index cannot be asked or filled.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    #[error("there is no index at {}", .0.display())]
    None(PathBuf),
    #[error("the index {} is of another form than this version keeps", .0.display())]
    Form(PathBuf),
    #[error("the index is of another journal")]
    OtherJournal,
    #[error("the index: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// What is left is the journal's. It is looked for again soon.
    #[error("the disk has no room for the index: {0} bytes are lacking")]
    NoRoom(u64),
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Journal(#[from] OpenError),
}

impl IndexError {
    /// Whether the file can only be made anew.
    pub fn is_of_no_use(&self) -> bool {
        match self {
            IndexError::Form(_) | IndexError::OtherJournal => true,
            IndexError::Sqlite(error) => {
                matches!(error.sqlite_error_code(), Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt))
            }
            IndexError::None(_) | IndexError::NoRoom(_) | IndexError::Io { .. } | IndexError::Journal(_) => false,
        }
    }
}

/// How far the journal was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Indexed {
    /// The number of the last record that was read, and its time.
    pub seq: u64,
    pub time: Timestamp,
    /// The hash that its line ends with, by which it is known again.
    pub hash: String,
    /// Lines behind it that are no record.
    pub bad_since: u64,
    pub records: u64,
    pub unreadable: u64,
    /// Times that the clock stepped back by more than a second from one record to the next.
    pub backward: u64,
}

/// The index, opened to be asked.
pub struct Index {
    connection: Connection,
}

/// Has every connection of this process keep what it cannot keep in memory in files below this directory; they have no name, and
/// are gone with it. To be called before there is another thread.
///
/// # Errors
/// The directory cannot be written to.
pub fn keep_temporary_files_in(directory: &Path) -> Result<(), IndexError> {
    let directory = directory.to_string_lossy();
    Ok(Connection::open_in_memory()?.pragma_update(None, "temp_store_directory", &*directory)?)
}

/// So much all connections of this process hold together at most: what one of them needs beyond that it does not get. It is far
/// more than the index and its questions need.
const HEAP_BYTES_MAX: i64 = 512 << 20;

/// Bounds what SQLite holds in this process, for good.
///
/// # Errors
/// SQLite cannot be asked.
pub fn bound_memory() -> Result<(), IndexError> {
    Ok(Connection::open_in_memory()?.pragma_update(None, "hard_heap_limit", HEAP_BYTES_MAX)?)
}

/// Of SQLite's machine, before it is asked whether a statement goes on.
const STEPS: i32 = 1_000;

impl Index {
    /// Opens the index of a data directory. Nothing can be written by it.
    ///
    /// # Errors
    /// There is none, it is of another form, or it cannot be read.
    pub fn open(data_dir: &Path) -> Result<Self, IndexError> {
        let index = Self::open_read_only(data_dir)?;
        index.connection.pragma_update(None, "temp_store", "memory")?;
        index.connection.pragma_update(None, "query_only", true)?;
        Ok(index)
    }

    fn open_read_only(data_dir: &Path) -> Result<Self, IndexError> {
        let path = data_dir.join(INDEX_FILE);
        if matches!(path.try_exists(), Ok(false)) {
            return Err(IndexError::None(path));
        }
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        connection.pragma_update(None, "cache_size", -65_536)?;
        if form(&connection) != Some(FORM) {
            return Err(IndexError::Form(path));
        }
        Ok(Self { connection })
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Has it hold 8 MiB of the file in memory at most, for one that stays open.
    ///
    /// # Errors
    /// SQLite cannot be asked.
    pub fn hold_little(&self) -> Result<(), IndexError> {
        Ok(self.connection.pragma_update(None, "cache_size", -8192)?)
    }

    /// Has its statements end, with an error, once this says that they are not to go on. It is asked every few milliseconds
    /// while one runs.
    ///
    /// # Errors
    /// SQLite cannot be asked.
    pub fn answer_while(&mut self, mut goes_on: impl FnMut() -> bool + Send + 'static) -> Result<(), IndexError> {
        Ok(self.connection.progress_handler(STEPS, Some(move || !goes_on()))?)
    }

    /// Takes that back.
    ///
    /// # Errors
    /// SQLite cannot be asked.
    pub fn answer_always(&mut self) -> Result<(), IndexError> {
        Ok(self.connection.progress_handler(0, None::<fn() -> bool>)?)
    }

    /// The days that are indexed, in order, counted from 1970-01-01.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn days(&self) -> Result<Vec<i64>, IndexError> {
        days(&self.connection)
    }

    /// What of the file is in use: what was dropped is free for what comes.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn used_bytes(&self) -> Result<u64, IndexError> {
        let pragma = |name: &str| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        let pages = pragma("page_count")?.saturating_sub(pragma("freelist_count")?);
        Ok(pages.saturating_mul(pragma("page_size")?).max(0).unsigned_abs())
    }

    /// Sealed segments of which something could not be unpacked when they were read, with why.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn unread_segments(&self) -> Result<Vec<(String, String)>, IndexError> {
        let mut statement = self.connection.prepare("SELECT segment, why FROM unread ORDER BY segment")?;
        let unread = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
        Ok(unread)
    }

    /// How far the journal was read.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn indexed(&self) -> Result<Indexed, IndexError> {
        Ok(indexed(&self.connection)?)
    }
}

fn form(connection: &Connection) -> Option<i64> {
    connection.query_row("SELECT form FROM place", [], |row| row.get(0)).optional().ok().flatten()
}

fn days(connection: &Connection) -> Result<Vec<i64>, IndexError> {
    let mut statement = connection.prepare("SELECT day FROM day ORDER BY day")?;
    let days = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(days)
}

fn indexed(connection: &Connection) -> rusqlite::Result<Indexed> {
    connection.query_row("SELECT seq, time, hash, bad_since, records, unreadable, backward FROM place", [], |row| {
        let number = |at: usize| row.get::<_, i64>(at).map(i64::unsigned_abs);
        Ok(Indexed {
            seq: number(0)?,
            time: Timestamp(number(1)?),
            hash: row.get(2)?,
            bad_since: number(3)?,
            records: number(4)?,
            unreadable: number(5)?,
            backward: number(6)?,
        })
    })
}

#[cfg(test)]
mod tests;
