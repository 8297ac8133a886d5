//! Reaches origins: resolves names, judges every address, dials the one that was judged.
//!
//! In: a [`crate::policy::Permit`], which is spent. Out: a connected socket and how it came about,
//! or the failure by its name. It never decides whether an exchange may leave.

mod dial;
mod own;
mod pool;
mod resolve;

pub use dial::{AtFault, Connected, DialError, DialFailed, Dialler, Timings};
pub use own::{OwnConnections, Purpose};
pub use resolve::{ResolveError, Resolver};
