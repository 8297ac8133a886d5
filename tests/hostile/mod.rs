//! What attacks a gate, and judges what it did: for so many rounds as a caller wants. Tests (`tests/it/fire_*.rs`) want a
//! few, and `examples/soak.rs` many.
//!
//! Each attack panics where the gate broke a promise, says how far it is and is told whether to go on, and gives the figures.

pub(crate) mod chance;
pub(crate) mod crowd;

pub(crate) mod kills;
pub(crate) mod reloads;
