//! The gate as a whole, on real sockets and a real journal.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cli;
mod gate;
mod lab;
mod readme;
mod wire;
