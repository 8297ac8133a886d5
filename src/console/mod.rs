//! The web console: what happens at the gate, to be looked at rather than read, and where people act.
//!
//! In: requests of people who have logged in, the index and the journal, and the gate by its [`Gatehouse`]. Out: pages drawn on
//! the server, in English and in Japanese. Who may do what ([`Role`]), what becomes of text of others and how pictures are drawn
//! are functions of data. What a person looks up or does is on record before it is shown or done.
//!
//! It has a thread and a runtime of its own, and nothing of a session's waits for it: what it reads it reads behind the gate, so
//! many questions at a time, and its connections, forms, sessions and live tails are bounded. So is what it takes of the
//! processor: beyond its share questions wait, and then are refused; a sweep, and the report that verifies the journal, run on a thread that
//! gives way to all others, one at a time. Every answer has a
//! Content-Security-Policy that lets in nothing but the console's own style, its one script and its own forms.

mod access;
mod asked;
mod budget;
mod chart;
mod doorkeeper;
mod errands;
mod gatehouse;
mod html;
mod live;
mod metrics;
mod pages;
mod request;
mod routes;
mod serve;
mod service;
mod sessions;
mod users;
mod words;
#[doc(hidden)]
pub mod properties;

pub use access::{Act, Role};
pub use gatehouse::{AlertStanding, Deed, DetectionStanding, Gatehouse, Held, JournalStanding, Standing};
pub use serve::{Listening, serve};
pub use service::{Plan, Service};
pub use users::{USERS_BYTES_MAX, User, Users, is_user_name, with_user, without_user};

#[cfg(test)]
mod tests;
