//! Whether the gate is the only way out: a PC tries the others, and somebody outside says which of them it heard.
//!
//! In, on a PC: addresses of a responder outside, of the gate, of PCs in other segments, as [`Ways`]. Out: of each way
//! what became of it ([`Attempt`]). A way counts as one that leads out only where the responder proves that it heard
//! the question: its answer is bound to the question's number and to a word that both know, so that what answers in
//! between is told apart. The responder ([`Responder`]) is bounded in connections, bytes, time and lines, answers
//! nobody but who knows the word, and over UDP never by more than it was asked.
//!
//! What is opened here takes no permit and leaves no record: it is not the gate that opens it. No room of the gate
//! comes here, the command line alone does.

pub mod properties;

mod attempt;
mod form;
mod peer;
mod ping;
mod question;
mod respond;
mod run;
mod tls;
mod way;

pub use form::Form;
pub use question::{Key, Question};
pub use respond::{Heard, NotBound, RespondSettings, Responder, Served};
pub use run::{chance, probe, run_name};
pub use way::{Attempt, Layer, Outcome, Route, TCP_PORTS, UDP_PORTS, Way, Ways};
