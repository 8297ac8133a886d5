//! What attacks a gate, and judges what it did: for so many rounds as a caller wants. Tests (`tests/it/fire_*.rs`) want a
//! few, and `examples/soak.rs` many.
//!
//! Each attack panics where the gate broke a promise, says how far it is and is told whether to go on, and gives the figures.

pub(crate) mod chance;
pub(crate) mod crowd;

pub(crate) mod kills;
pub(crate) mod reloads;

use crate::origin::{Log, Origin, each};
use crate::peer::{Message, Peer};

/// An origin that gives this answer to everything, waits for the next request for as long as the gate keeps the
/// connection, and says of each that it was seen.
fn patient_origin(answer: &'static str, seen: impl Fn() + Send + Sync + 'static) -> Origin {
    let serve = each(move |_: &Message| {
        seen();
        answer
    });
    Origin::serving(move |peer: Peer, log: &Log| {
        peer.stream().set_read_timeout(None).unwrap();
        serve(peer, log);
    })
}
