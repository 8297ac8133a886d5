//! What the gate itself answers: the page of a refusal, its own status page, by which way
//! browsers are sent out, and what may go no further.
//!
//! In: plain data. Out: a whole HTTP/1.1 response. Everything from a peer is escaped; a strict
//! Content-Security-Policy, and no script but that of the page that challenges a browser. Pure in effect: nothing
//! is read or written here.

mod challenge;
mod deny;
mod pac;
mod recipient;
mod why;
mod words;

pub use challenge::{ChallengePage, challenge_page, challenge_solved, challenge_waited};
pub use deny::{ProxySetting, Refusal, escape, refusal, welcome};
pub use pac::Pac;
pub use recipient::final_answer;
pub use why::{OWN_NAME, WhyPage, WhyRefusal, why_page};
