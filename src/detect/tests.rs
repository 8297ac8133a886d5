//! Findings on generated traffic: what must be told of, its benign twin that must not, and what is said.

mod traffic;

mod beacons;
mod carrier;
mod domains;
mod failures;
mod flows;
mod hours;
mod kept;
mod kinds;
mod known;
mod mimicry;
mod shuffled;
mod snapshot;
mod spread;
mod steady;
mod strangers;
mod told;
mod tunnels;
mod users;
mod volume;
