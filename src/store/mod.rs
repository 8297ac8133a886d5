//! Keeps the journal: appends records in groups, syncs them, rotates segments, mends a torn or damaged tail.
//!
//! In: records. Out: the word that a record is accepted, which must be had before anything is
//! forwarded. One thread writes, another waits for the disk; a lock on the data directory keeps a second process out. It never
//! judges what it writes.

mod desk;
mod journal;
mod segment;
mod syncer;
mod writer;

pub use desk::Desk;
pub use journal::{Durability, Journal, JournalConfig, JournalFull, JournalHandle, JournalHealth};
pub use segment::{Damaged, Found, OpenError, VerifyReport, verify};
