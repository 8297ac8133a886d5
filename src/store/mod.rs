//! Keeps the journal: appends records in groups, syncs them, rotates segments, mends a torn tail.
//!
//! In: records. Out: the word that a record is accepted, which must be had before anything is
//! forwarded. One thread writes; a lock on the data directory keeps a second process out. It never
//! judges what it writes.

mod journal;
mod segment;

pub use journal::{Durability, Journal, JournalConfig, JournalFull, JournalHandle, JournalHealth};
pub use segment::{Found, OpenError, VerifyReport, verify};
