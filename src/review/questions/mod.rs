//! What a person asks of the evidence, each question by one function.
//!
//! In: the index, opened to be read, and what is asked: a range of time, a client or device, a host, a row. Out: an
//! [`Answer`], tables as plain data that a terminal, JSON, CSV and pages show alike. Counts come from the summaries of days;
//! where a range begins or ends within a day, from that day's exchanges: there one counts where it
//! began, with its last judgement and program. Texts in an answer are
//! those of clients and origins: whoever shows them escapes them. Nothing is written here: that a person's records were
//! looked up is put on record by who asks, before.

mod answer;
mod around;
mod ask;
mod blocked;
mod client;
mod errors;
mod finding;
mod findings;
mod flows;
mod gaps;
mod host;
mod indicators;
mod like;
mod programs;
mod room;
mod rows;
mod rules;
mod sweep;
mod unknown;
mod when;
mod who;

pub use crate::store::newest_record;
pub use answer::{Answer, Cell, Column, Shape, Table};
pub use around::around;
pub use ask::{Evidence, QuestionError, Range};
pub use blocked::blocked;
pub use client::{client, current_clients};
pub use errors::errors;
pub use finding::{GroundSaid, WholeFinding, finding};
pub use findings::{FindingsOf, findings};
pub use gaps::gaps;
pub use host::host;
pub use indicators::{Indicator, Indicators, NotUnderstood, Value};
pub use like::{By, like, like_value};
pub use programs::programs;
pub use room::FULL;
pub use rules::{rules, stopped};
pub use sweep::sweep;
pub use unknown::unknown;
pub use when::{BadMoment, Moment, read_span};

#[cfg(test)]
mod tests;
