//! Looks at the first bytes a client sends through a tunnel.

use bytes::BytesMut;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::facts::{Hello, Host};
use crate::parse::{HelloFault, HelloRead, Sniffed, is_connect, read_hello, sniff};

use super::gate::Gate;
use super::why::Why;

/// TLS alert 112, `unrecognized_name`, fatal: neither Chromium nor Firefox retries on it.
pub(super) const ALERT_UNRECOGNIZED_NAME: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// What the first bytes are.
#[derive(Debug)]
pub(super) enum Look {
    Tls(Box<Hello>),
    /// A TLS handshake record, and no well-formed ClientHello in it.
    BadTls(HelloFault),
    Http,
    NestedConnect,
    Ssh,
    Other,
    /// Nothing came in the time a hello may take.
    Silent,
}

impl Look {
    /// The word used in records.
    pub(super) fn carries(&self) -> &'static str {
        match self {
            Look::Tls(_) | Look::BadTls(_) => "tls",
            Look::Http | Look::NestedConnect => "http",
            Look::Ssh => "ssh",
            Look::Other => "other",
            Look::Silent => "nothing",
        }
    }
}

/// What a client that has said too little to be recognised is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until it is plain what it speaks.
    Any,
    /// Only while it may become TLS or a nested CONNECT: any protocol may pass, and the origin may be
    /// waiting for these few bytes.
    WhatIsHeld,
}

/// Reads until it is plain what the client speaks, for TLS to a whole ClientHello; what was read
/// stays in the buffer, whose growth the hello's limits bound.
///
/// # Errors
/// The client closed, or said too little in the time a hello may take.
pub(super) async fn first_bytes(
    gate: &Gate,
    stream: &mut TcpStream,
    buffer: &mut BytesMut,
    patience: Patience,
) -> Result<Look, Why> {
    let reading = async {
        loop {
            if let Some(look) = look_at(gate, buffer) {
                return Ok(look);
            }
            if patience == Patience::WhatIsHeld && !buffer.is_empty() && !may_be_held(buffer) {
                return Ok(Look::Other);
            }
            buffer.reserve(2048);
            match stream.read_buf(buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(Why::new(403, "client_closed")),
            }
        }
    };
    timeout(gate.limits.hello_timeout, reading).await.unwrap_or(Err(Why::new(408, "hello_timeout")))
}

fn look_at(gate: &Gate, bytes: &BytesMut) -> Option<Look> {
    match sniff(bytes)? {
        Sniffed::Tls => match read_hello(bytes, &gate.limits.hello) {
            Ok(HelloRead::Hello(hello)) => Some(Look::Tls(Box::new(hello))),
            Ok(HelloRead::Incomplete) => None,
            Err(fault) => Some(Look::BadTls(fault)),
        },
        Sniffed::Http if is_connect(bytes) => Some(Look::NestedConnect),
        Sniffed::Http => Some(Look::Http),
        Sniffed::Ssh => Some(Look::Ssh),
        Sniffed::Other => Some(Look::Other),
    }
}

/// Whether these first bytes may go on as a TLS handshake record or as a CONNECT.
fn may_be_held(bytes: &[u8]) -> bool {
    let prefix_of = |whole: &[u8]| {
        let length = bytes.len().min(whole.len());
        bytes.get(..length).is_some_and(|start| start.eq_ignore_ascii_case(whole.get(..length).unwrap_or_default()))
    };
    prefix_of(b"\x16\x03") || prefix_of(b"CONNECT ") || matches!(bytes.first(), Some(b'\r' | b'\n'))
}

/// The SNI must name the CONNECT's host. A tunnel to an address has no name to compare, and sends
/// none (RFC 6066 §3).
pub(super) fn sni_agrees(hello: &Hello, host: &Host) -> bool {
    match (&hello.sni, host) {
        (Some(sni), host) => Host::parse(sni.as_bytes()).is_ok_and(|named| named == *host),
        (None, Host::V4(_) | Host::V6(_)) => true,
        (None, Host::Name(_)) => false,
    }
}
