//! What the gate itself answers: the page of a refusal, its own status page, and what may go no further.
//!
//! In: plain data. Out: a whole HTTP/1.1 response. Everything from a peer is escaped; no script, a
//! strict Content-Security-Policy. Pure in effect: nothing is read or written here.

mod deny;
mod recipient;
mod words;

pub use deny::{Refusal, refusal, welcome};
pub use recipient::final_answer;
