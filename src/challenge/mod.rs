//! How a program shows that it is the browser that it claims to be.
//!
//! In: what a program asked for, and when. Out: what becomes of it, and what it has shown. No sockets, no clock.

pub mod auth;
mod clearance;

pub use clearance::{
    AGENT_BYTES_MAX, Asked, Clearance, Means, Now, PROGRAMS_MAX, ProgramName, Programs, Settled, Spans, Step, Ticket,
};
