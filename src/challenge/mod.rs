//! How a program shows that it is the browser that it claims to be.
//!
//! In: what a program asked for, and when. Out: what becomes of it, and what it has shown. No sockets, no clock.

pub mod auth;
mod canary;
mod clearance;
mod navigation;
pub mod properties;
mod token;

pub use canary::{Canary, Change, Version};
pub use clearance::{Asked, Clearance, Listed, Means, Now, PROGRAMS_MAX, Programs, Settled, Spans, Step, Ticket};
pub use navigation::is_navigation;
pub use token::{BITS, Bound, TOKEN_SPAN, TokenFault, Tokens};
