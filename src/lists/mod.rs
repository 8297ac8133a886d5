//! Reads what a policy rests on: its own file, and the files that it names.
//!
//! In: a path. Out: a compiled policy with what its parents are shown, or every problem; and in both
//! cases the list of all files that were looked at, each with how it stood before it was read, so that
//! whoever watches them misses no change. It never puts a policy in force.
//!
//! A host list is compiled once for each content it has had, and kept on a [`Shelf`] in the data directory.

mod credentials;
mod feed;
mod feed_files;
mod fetch;
mod kept;
mod policy;
mod shelf;
mod users;
mod watched;

pub use feed::{Feed, NoProof, Proof, Sum};
pub use feed_files::FeedFiles;
pub use fetch::{FetchError, Fetched, Fetcher};
pub use kept::{Failure, FeedState, Kept};
pub use policy::{ReadError, ReadList, ReadPolicy, Source, read_policy};
pub use shelf::{ListError, ListHash, Origin, Shelf, Shelved};
pub use users::read_users;
pub use watched::Watched;
