//! HTTP/2 connections as exchanges of HTTP/1.1: each stream is a pipe at whose near end a request is read, or an answer,
//! by the one codec that reads all others.
//!
//! In: a connection on which HTTP/2 was agreed, with a client ([`Server`]) or an origin ([`Client`]). Out: heads and
//! bodies as HTTP/1.1 would have them, which are judged, rebuilt and framed as such. What HTTP/2 could smuggle into
//! HTTP/1.1 is so seen by the same strict reader as what came over it (RFC 9113 §10.3). It decides nothing of an
//! exchange, and holds as much of a body as its pipes and windows do.

mod body;
mod client;
mod message;
mod server;

pub use client::Client;
pub use server::{Arrived, Door, Server};

use std::time::Duration;

use crate::parse::HeadLimits;

/// What the gate itself writes at the near end of a pipe was held to the limits of heads before it was added to.
const OWN_HEAD: HeadLimits = HeadLimits { bytes_max: usize::MAX, fields_max: usize::MAX };

/// Bounds on what the other side of a connection may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub head: HeadLimits,
    /// For each step of an exchange that waits for the other side.
    pub limit: Duration,
}
