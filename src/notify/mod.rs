//! Brings alerts to people: each receiver's queue on the disk, and the ways there.
//!
//! In: tables `[alerts.NAME]` of the config, and alerts. Out: that a receiver has taken one, in its own words, or why not. What
//! waits lies in a file of its own, so that nothing is lost while a receiver is down or the gate does not run; of more than it
//! holds the oldest of the least pressing go first, and are counted.
//!
//! Mail is handed to a server by a client of submission that knows no more of SMTP than that needs: a well-kept crate for it
//! would bring its own resolver, pool and TLS, and the guard could not judge where it connects.
//!
//! Never: decides who is told what, starts a thread, or shows a secret.

mod lane;
mod mail;
mod queue;
mod receiver;
mod secret;
mod send;
mod smtp;

pub use lane::{Change, Failure, Lane};
pub use mail::{Mail, Security};
pub use queue::{Queue, WAITING_MAX};
pub use receiver::{AlertReceiver, AlertWay};
pub use secret::NoSecret;
pub use send::{NotDelivered, Notifier};
pub use smtp::SmtpError;

#[cfg(test)]
mod tests;
