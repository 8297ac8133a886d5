//! The life of a client's connection: heads are read, judged, recorded and answered.
//!
//! The page to read is `serve` in `connection.rs`; it calls the rooms in order. In: an accepted
//! socket and the [`Worker`] it came to. Out: bytes on sockets and records in the journal. It never
//! decides whether an exchange may leave: `policy` does.

mod account;
mod body;
mod breakglass;
mod captured;
mod clients;
mod connect;
mod connection;
mod cut;
mod describe;
mod forward;
mod gate;
mod headroom;
mod in_force;
mod inspect;
mod io;
mod log_in;
mod look;
mod own_page;
mod page;
mod pipe;
mod programs;
mod reaches;
mod refusals;
mod restraints;
mod relay;
mod reset;
mod rewrite;
mod secure_proxy;
mod secured;
mod standing;
mod streams;
mod trial;
mod tunnel;
mod tunnels;
mod versions;
mod who;
mod why;

pub use breakglass::Glass;
pub use clients::Clients;
pub use connection::{serve, serve_captured, serve_secured};
pub use gate::{Admitted, Counters, Gate, Limits, Wording, Worker};
pub use headroom::HeadRoom;
pub use in_force::{Edition, InForce};
pub use log_in::LogIns;
pub use page::Pages;
pub use pipe::DESCRIPTORS_MAX as PIPE_DESCRIPTORS_MAX;
pub use programs::{Fallback, Standings};
pub use reaches::Reaches;
pub use refusals::{Reasons, Refusals, Refused as RefusedLately};
pub use restraints::{ByHand, Isolated, NotImposed, Restraints};
pub use secure_proxy::SecureProxy;
pub use versions::Versions;
