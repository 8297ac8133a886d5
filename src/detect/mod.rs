//! What the records show that no single request does: who calls home like clockwork, and to whom nobody else talks.
//!
//! In: what lines of a log tell ([`Observed`](crate::evidence::Observed)), in about the order of their times, ours or another
//! proxy's. Out: [`Finding`]s. A detector is a fold over them, and nothing else: no clock, no files, no randomness that
//! shows. The same lines give the same findings, whether they come from a running gate or from a log of last year.
//!
//! Everything is bounded by [`Limits`]; what had to go is counted in [`Counts`].

mod beacon;
mod beacons;
mod detector;
mod draft;
mod event;
mod joins;
mod local;
mod names;
mod network;
mod order;
mod pairs;
mod settings;
#[cfg_attr(not(test), expect(dead_code, reason = "the detectors that call it are not there yet"))]
mod spelling;
mod strangers;
mod subnames;
#[cfg_attr(not(test), expect(dead_code, reason = "the detectors that call it are not there yet"))]
mod suffixes;
mod volume;

pub use detector::{Counts, Detector, Limits};
pub use settings::Settings;

#[cfg(test)]
mod tests;
