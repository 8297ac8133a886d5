//! What leaves: bytes up against what is usual at that time of the week, small uploads that add up, and uploads that grow.
//!
//! Bytes up are kept for each client by hours, and for each client and host and for each program by quarters of a day. What is
//! usual is the median of the same time in weeks before, and how far values lie from it; see [`History`](history::History).
//! The sum of a window is judged as it grows, so that a leak is told of while it goes on.
//!
//! # What it costs
//!
//! A client takes about 1 KiB once its second hour has begun, a pair or a program about 300 bytes, and only those pairs are kept
//! to which a request of 4 KiB or more went. An event that brings no bytes up costs a comparison.
//!
//! # How good it is
//!
//! Measured by `leaks_are_told_of_and_offices_are_not` in `tests/volume.rs`.

mod channels;
mod detector;
mod growth;
mod history;
mod meter;
mod pieces;
mod sayings;

pub(super) use detector::Volume;
