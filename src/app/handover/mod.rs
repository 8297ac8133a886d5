//! An upgrade: the next gate takes the data directory, the journal and the listeners over while this one goes on with the
//! exchanges and tunnels that it has, and carries what they still tell to the one that writes.
//!
//! Two conversations, both over the control socket, which the gate's own user alone can open.
//!
//! 1. `sekisho run --take-over` asks the running gate ([`Wants`]), which answers with what it has ([`OfOld::Offered`]) and its
//!    listeners. The next gate binds and reads all that it can without the data directory; until here nothing has changed, and
//!    a next gate that fails leaves the running one as it is. Then it says [`TAKE`]. The running gate ends what belongs to the one
//!    that writes, stops accepting, closes the journal, lets the data directory go and says so ([`OfOld::Left`]).
//! 2. The gate that drains connects to the one that has the journal by now ([`Carrier`]) and sends loads of records
//!    ([`OfDraining`]), each with those behind it as lines; the next one is sent when the one before is answered
//!    ([`OfWriter`]). The other way come what people and findings impose, and which policy is in force.
//!
//! Of a carried record the gate that drains sets the time and all that it tells; number, hash and whose journal it is, the one
//! that writes. Where that one dies, a load without an answer is sent again to the next, without what of it stands in the
//! journal. Where none comes, whoever drains closes all that it holds, takes the data directory back, as soon as nobody else has
//! it, and writes what is left.
//!
//! `offer` is the running gate, up to its last word; `taking` the next one, up to there; `carrying` the one that drains and
//! `writing` the one that writes, from then on.

mod carrying;
mod offer;
mod taking;
mod writing;

use serde::{Deserialize, Serialize};

use super::NotDone;
use super::restraints::Standing;

pub(super) use carrying::{Carrying, Draining};
pub(super) use offer::{Asked, Offer};
pub use taking::TakeOverError;
pub(super) use taking::{TakenOver, Taking};
pub use writing::DrainingStatus;
pub(super) use writing::{Drainers, serve};

/// What both sides speak. Another number is another tongue.
const PROTOCOL: u32 = 1;

/// By which the next gate takes over what it was offered.
const TAKE: &[u8] = b"\"take\"\n";

/// A line that is no record is at most so long: thousands of restraints.
const LINE_BYTES_MAX: usize = 8 << 20;

/// Who asks to take over.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wants {
    protocol: u32,
}

/// What the running gate answers it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OfOld {
    /// It can; so many listeners follow.
    Offered {
        protocol: u32,
        pid: u32,
        listeners: usize,
    },
    /// The data directory is free. Ids of exchanges from here on are the next gate's.
    Left {
        first_id: u64,
    },
    Refused(NotDone),
}

/// Who drains, and asks to have its records written.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carrier {
    protocol: u32,
    pid: u32,
}

/// What it says then.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum OfDraining {
    /// So many records follow, each a line; and so many more there are not.
    Load { number: u64, records: usize, lost: u64 },
    /// What is still open.
    Holds { connections: u64, tunnels: u64 },
    /// Nothing is open any more, and nothing follows.
    Ended,
}

/// What it is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OfWriter {
    /// Loads are taken.
    Welcome,
    /// All of this one is written.
    Taken(u64),
    /// Not all of it was, and what is missing is counted.
    NotTaken(u64),
    /// All that is imposed, in place of what was before.
    Imposed(Standing),
    Policy(PolicyInForce),
    /// Its last word: it hands over itself, and another will be there soon.
    HandsOver,
    Refused(NotDone),
}

/// Which policy is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PolicyInForce {
    hash: String,
    /// It says that standing tunnels are held to it.
    is_strict: bool,
}
