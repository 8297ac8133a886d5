//! What the records show that no single request does: who calls home like clockwork, and to whom nobody else talks.
//!
//! In: what lines of a log tell ([`Observed`](crate::evidence::Observed)), in about the order of their times, ours or another
//! proxy's, and of our own journal what `flow` records tell of attempts past the proxy
//! ([`FlowSeen`](crate::evidence::FlowSeen)). Out: [`Finding`](crate::evidence::Finding)s. A detector is a fold over them, and nothing else: no clock, no files, no randomness that
//! shows. The same lines give the same findings, whether they come from a running gate or from a log of last year.
//!
//! What it goes by can be written down and taken up again ([`Snapshot`]), and is then as if it had never ended.
//!
//! Everything is bounded by [`Limits`]; what had to go is counted in [`Counts`].

mod beacon;
mod beacons;
mod carrier;
mod detector;
mod draft;
mod event;
mod failures;
mod family;
mod flows;
mod grounds;
mod happened;
mod hour;
mod inside;
mod joins;
mod kinds;
mod listening;
mod local;
mod measure;
mod mimicry;
mod names;
mod network;
mod order;
mod pairs;
mod settings;
mod snapshot;
mod spelling;
mod spread;
mod story;
mod strangers;
mod subnames;
mod suffixes;
mod table;
mod tunnels;
mod volume;
mod weight;

pub use detector::{Counts, Detector, Limits};
pub use flows::TRIPWIRE_RULE;
pub use inside::{Inside, Zone, ZoneRole};
pub use measure::{Act, Imposed, Measure, Scope};
pub use settings::{Explained, Settings, Target};
pub use snapshot::{Kept, Snapshot};
pub use story::{STEPS_MAX, Step, Story, stories};

#[cfg(test)]
mod tests;
