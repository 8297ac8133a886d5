//! TLS: whom the gate trusts at the other end of a connection of its own.
//!
//! In: which roots. Out: a rustls configuration that verifies by them, and by nothing else: there is no way
//! to have it look away.

mod client;
mod stream;

pub use client::{NoRoots, Roots, client};
pub use stream::{ReadHalf, Rewound, Stream, WriteHalf};
