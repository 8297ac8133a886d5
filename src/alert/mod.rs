//! What a person is told of, of what the journal holds, and in which words: a fold over records.
//!
//! In: lines of the journal, the time, and the rules of a receiver. Out: alerts for it, each once: a finding that goes on is told
//! again when it has become more pressing or after some hours; more than a receiver takes in an hour, and what is held back in its
//! quiet hours, are counted and told of together. Then an alert as text, CEF, JSON or a mail, with everything that others
//! chose escaped for where it goes.
//!
//! Never: sends anything, or reads a file or a clock.

mod bundle;
mod event;
mod form;
mod fold;
mod mail;
mod message;
mod rules;
mod template;

pub use event::{Event, What, read_event};
pub use fold::{Fold, Kept, Known};
pub use form::Form;
pub use mail::{MailParts, is_mail_address, mail_text};
pub use message::{Alert, Origin, Words};
pub use rules::{Quiet, Rules};
pub use template::{PLACEHOLDERS, Template};

#[cfg(test)]
mod tests;
