//! Reads the first bytes a client sends through a tunnel, for the policy to judge.

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

use crate::facts::Party;
use crate::parse::{FirstBytes, may_become_tls_or_connect, read_first_bytes};

use super::gate::Gate;
use super::headroom::Exhausted;
use super::relay::Ended;

/// TLS alert 112, `unrecognized_name`, fatal: neither Chromium nor Firefox retries on it.
pub(super) const ALERT_UNRECOGNIZED_NAME: &[u8] = &[0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// What a client that has said too little to be recognised is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until it is plain what it speaks.
    Any,
    /// Only while it may become TLS or a nested CONNECT: any protocol may pass, and the origin may be
    /// waiting for these few bytes.
    WhatIsHeld,
}

/// It did not become plain what the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotSeen {
    /// The client closed its side before.
    ClientClosed,
    /// The gate has no room for so large a hello.
    Exhausted,
}

impl NotSeen {
    /// Who ended it, and how.
    pub(super) fn ended(self) -> Ended {
        match self {
            Self::ClientClosed => Ended { by: Party::Client, how: "client_closed" },
            Self::Exhausted => Ended { by: Party::Gate, how: "gate_exhausted" },
        }
    }
}

/// Reads until it is plain what the client speaks, or the time a hello may take is over; what was read
/// stays in the buffer, whose growth the hello's limits bound.
pub(super) async fn first_bytes(
    gate: &Gate,
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    patience: Patience,
) -> Result<FirstBytes, NotSeen> {
    let mut held = gate.head_room.claim();
    let reading = async {
        loop {
            if let Some(seen) = read_first_bytes(buffer, &gate.limits.hello) {
                return Ok(seen);
            }
            if patience == Patience::WhatIsHeld && !buffer.is_empty() && !may_become_tls_or_connect(buffer) {
                return Ok(FirstBytes::Other);
            }
            buffer.reserve(2048);
            held.hold(buffer.capacity()).map_err(|Exhausted| NotSeen::Exhausted)?;
            match stream.read_buf(buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Err(NotSeen::ClientClosed),
            }
        }
    };
    match timeout(gate.limits.hello_timeout, reading).await {
        Ok(seen) => seen,
        Err(_) if buffer.is_empty() => Ok(FirstBytes::Silent),
        Err(_) => Ok(FirstBytes::Unfinished),
    }
}
