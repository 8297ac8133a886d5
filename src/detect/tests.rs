//! Findings on generated traffic: what must be told of, its benign twin that must not, and what is said.

mod traffic;

mod beacons;
mod domains;
mod kept;
mod shuffled;
mod steady;
mod strangers;
mod told;
mod volume;
