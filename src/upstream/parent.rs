//! Asks a parent for a tunnel (RFC 9110 §9.3.6). What it answers is read as strictly as an origin's
//! answer, and what stands behind its 2xx belongs to the tunnel.

use std::net::SocketAddr;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::parse::{HeadLimits, RequestHead, ResponseHead, take_response_head, via_line};
use crate::policy::{CheckedAddress, Parent, ResolvedBy};

use super::credentials::{Credentials, KeyRing};
use super::failure::{DialError, ParentFailure};
use super::race::race;

/// The head of an answer to CONNECT, at most: a 2xx needs next to nothing, and no other is passed on. It
/// is what each connection holds without asking the room for large heads, so that answers of parents
/// need none of it.
const ANSWER_BYTES_MAX: usize = 8 * 1024;

/// Interim answers to one CONNECT, at most.
const INTERIMS_MAX: usize = 16;

/// The request that a dial is for, as far as a parent is told of it: by whom it has come so far, and what
/// the gate shows.
#[derive(Debug, Clone, Copy)]
pub struct Passing<'a> {
    pub head: &'a RequestHead,
    /// It may go over a connection with others at the same time. What is to switch protocols, or vouches for its
    /// connection, may not.
    pub may_share: bool,
    /// What the gate adds to `Via`; absent means nothing.
    pub pseudonym: Option<&'a str>,
    /// What the parents of the policy that judged it are shown.
    pub credentials: &'a KeyRing,
}

/// A parent whose addresses the guard has let through, and what it is told.
pub(super) struct Uplink<'a> {
    pub(super) parent: &'a Parent,
    pub(super) addresses: Vec<CheckedAddress>,
    pub(super) credentials: Option<&'a Credentials>,
    pub(super) limits: &'a HeadLimits,
    pub(super) passing: Passing<'a>,
}

/// A connection to a parent, or the tunnel that it has become.
pub(super) struct Opened {
    pub(super) stream: TcpStream,
    /// Where the parent was reached.
    pub(super) parent: SocketAddr,
    /// What came behind the parent's answer: the other end's first bytes.
    pub(super) early: BytesMut,
}

impl Uplink<'_> {
    /// A connection to the parent.
    pub(super) async fn connect(&self) -> Result<Opened, DialError> {
        let raced = race(self.addresses.clone()).await;
        let (stream, parent) = raced.map_err(|error| error.on_the_way_to(self.parent))?;
        let _ = stream.set_nodelay(true);
        Ok(Opened { stream, parent, early: BytesMut::new() })
    }

    /// Asks for each of these addresses in their order until the parent reaches one. Another is tried
    /// only where the parent says that it cannot reach this one; any other refusal holds for all.
    pub(super) async fn first_of(&self, targets: &[CheckedAddress]) -> Result<(Opened, SocketAddr), DialError> {
        let mut unreached = ParentFailure::NoAnswer;
        for target in targets {
            let target = target.socket_address();
            match self.tunnel(&target.to_string(), ResolvedBy::Gate).await {
                Ok(opened) => return Ok((opened, target)),
                Err(DialError::Parent { failure: failure @ ParentFailure::CannotReach { .. }, .. }) => {
                    unreached = failure;
                }
                Err(error) => return Err(error),
            }
        }
        Err(self.failed(unreached))
    }

    /// Asks for one place, by name.
    pub(super) async fn to(&self, authority: &str) -> Result<Opened, DialError> {
        self.tunnel(authority, ResolvedBy::Parent).await
    }

    /// A tunnel to `authority` over a connection of its own.
    async fn tunnel(&self, authority: &str, resolved_by: ResolvedBy) -> Result<Opened, DialError> {
        let mut opened = self.connect().await?;
        // One that refuses may close before it has read all, and its answer says more than that.
        let _ = opened.stream.write_all(&self.request(authority)).await;
        let answer = self.answer(&mut opened).await.map_err(|failure| self.failed(failure))?;
        Err(self.failed(match answer.status {
            200..=299 => return Ok(opened),
            407 => ParentFailure::Unauthorised,
            status @ 502..=504 => ParentFailure::CannotReach { status },
            status => ParentFailure::Refused { status, authority: authority.into(), resolved_by },
        }))
    }

    /// The final answer's head. A length or coding in a 2xx means nothing (RFC 9112 §6.3): all behind it
    /// stays in `early`.
    async fn answer(&self, opened: &mut Opened) -> Result<ResponseHead, ParentFailure> {
        let Opened { stream, early: buffer, .. } = opened;
        let limits = HeadLimits { bytes_max: self.limits.bytes_max.min(ANSWER_BYTES_MAX), ..*self.limits };
        let (mut scanned, mut interims) = (0, 0);
        loop {
            match take_response_head(buffer, &limits, &mut scanned).map_err(ParentFailure::BadAnswer)? {
                Some(head) if head.status >= 200 => return Ok(head),
                Some(head) if head.status == 101 || interims == INTERIMS_MAX => return Err(ParentFailure::NoAnswer),
                Some(_) => {
                    interims += 1;
                    continue;
                }
                None => {}
            }
            if buffer.len() == buffer.capacity() {
                buffer.reserve(ANSWER_BYTES_MAX / 2);
            }
            if !matches!(stream.read_buf(buffer).await, Ok(1..)) {
                return Err(ParentFailure::NoAnswer);
            }
        }
    }

    fn request(&self, authority: &str) -> Vec<u8> {
        let mut out = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n").into_bytes();
        let Passing { head, pseudonym, .. } = self.passing;
        for via in head.fields.get_all("via") {
            out.extend_from_slice(&[b"Via: ", via, b"\r\n"].concat());
        }
        if let Some(name) = pseudonym {
            out.extend_from_slice(via_line(head.version, name).as_bytes());
        }
        if let Some(credentials) = self.credentials {
            out.extend_from_slice(format!("Proxy-Authorization: {}\r\n", credentials.field_value()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        out
    }

    fn failed(&self, failure: ParentFailure) -> DialError {
        DialError::of_parent(self.parent, failure)
    }
}
