//! Keeps the journal: appends records in groups, syncs them, rotates segments, mends a torn or damaged tail.
//!
//! In: records. Out: the word that a record is accepted, which must be had before anything is
//! forwarded. One thread writes, another waits for the disk; a lock on the data directory keeps a second process out. It never
//! judges what it writes.
//!
//! `writer` is the thread that writes, `book` the lines on the disk, `reserve` the space held for the time
//! when the disk is full, `desk` a worker's way in, `alone` the way in where no gate runs, `handed` what is left
//! to another gate, `reader` the way back, and `disk` what is asked of a file system.

mod alone;
mod book;
mod desk;
mod disk;
mod follow;
mod handed;
mod index;
mod journal;
mod logs;
mod newest;
mod query_key;
mod reader;
mod reserve;
mod retire;
mod seal;
mod sealed;
mod segment;
mod syncer;
mod verify;
mod writer;

pub use alone::{AloneError, append_alone};
pub use desk::Desk;
pub use disk::{Disk, DiskFile, SystemDisk};
pub use follow::{Follower, Place};
pub use handed::{CARRIED_RECORDS_MAX, Handed, Load};
pub use index::{
    DAY_US, Filler, INDEX_FILE, Index, IndexError, Indexed, LiveIndex, QUARTER_US, Rebuilt, VIEWS, View, body_hash,
    bound_memory, dialled_in, domain_of, keep_temporary_files_in, query_hash_mark, query_mark, reindex, url_mark,
};
pub use journal::{
    Durability, Duty, Journal, JournalConfig, JournalHandle, JournalHealth, NotAccepted, ReserveHealth, Room,
    make_private,
};
pub use logs::{LogFile, log_files};
pub use newest::newest_record;
pub use query_key::{QUERY_KEY_BYTES, QUERY_KEY_FILE, read_query_key};
pub use reader::Reader;
pub use retire::{has_record, is_sealed, kept_segments, newest_retention, remove_segments};
pub use seal::{SealError, Sealed, Sealer, checkpoint_files, checkpoint_key, checkpoint_lines};
pub use segment::{Damaged, Found, OpenError};
pub use verify::{CheckpointBreak, VerifyBy, VerifyReport, read_checkpoints, verify};
