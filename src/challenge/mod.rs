//! How a program shows that it is the browser that it claims to be.
//!
//! In: what a program asked for, and when. Out: what becomes of it, and what it has shown. No sockets, no clock.

mod afresh;
mod answer;
pub mod auth;
mod canary;
mod clearance;
mod navigation;
pub mod properties;
mod rounds;
mod token;

pub use afresh::{Afresh, Asker};
pub use answer::{ANSWER_PATH, Answer, Proof, read_answer, waited};
pub use canary::{Canary, Change, Version};
pub use clearance::{Asked, Clearance, Listed, Means, Now, PROGRAMS_MAX, Programs, Settled, Spans, Step, Ticket};
pub use navigation::is_navigation;
pub use token::{Asks, BITS, Bound, Issued, TOKEN_SPAN, TokenFault, Tokens, WAIT};
