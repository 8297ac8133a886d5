//! Which program asks: what it claims to be, and whether what it shows bears that out.
//!
//! In: a User-Agent, heads as they came, a ClientHello, the opening of an HTTP/2 connection. Out: a claim, the program's key, and grounds against the
//! claim. What browsers do is data (`policy/browsers.toml`); nothing is decided here.

mod browsers;
mod check;
mod ground;
mod inner;
mod learnt;
mod program;
mod reading;
#[cfg(test)]
mod tests;

pub use browsers::{Browser, Browsers, Claim, Shows};
pub use check::Seen;
pub use ground::{Ground, Grounds, Group};
pub use inner::InnerSeen;
pub use learnt::{LEARNT_FROM, Learning, Learnt, Lesson};
pub use program::{AGENT_BYTES_MAX, Face, ProgramName, program_key};
