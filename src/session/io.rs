use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::upstream::Connected;

use super::tunnel::Tunnelled;

/// A client's socket, the bytes read ahead of it, and the origin's connection it may own alone.
pub(super) struct Io {
    pub(super) stream: TcpStream,
    pub(super) buffer: BytesMut,
    /// A connection that authenticated this client (NTLM, Negotiate): no other client may use it.
    pub(super) pinned: Option<Box<Connected>>,
}

/// What becomes of the client's connection.
#[expect(clippy::large_enum_variant, reason = "made once a request, in a box of its own")]
pub(super) enum Next {
    /// It can take another request.
    Again,
    /// Our last answer is sent; the client may still be reading it.
    Close,
    /// There is nobody to talk to.
    Gone,
    /// It carries a tunnel from here on.
    Tunnel(Tunnelled),
}

impl Next {
    pub(super) fn after(keep: bool) -> Self {
        if keep { Self::Again } else { Self::Close }
    }
}

/// Writes all of it, with at most `limit` between two successes.
pub(super) async fn write_all(to: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8], limit: Duration) -> Result<(), ()> {
    while !bytes.is_empty() {
        match timeout(limit, to.write(bytes)).await {
            Ok(Ok(count @ 1..)) => bytes = bytes.get(count..).unwrap_or_default(),
            Ok(Ok(0) | Err(_)) | Err(_) => return Err(()),
        }
    }
    Ok(())
}

/// Ends a connection so that the client still reads our last answer: a close with unread bytes would
/// send RST, which discards it (RFC 9112 §9.6). Drains at most 64 KiB for at most a second.
pub(super) async fn linger(stream: &mut TcpStream) {
    const DRAIN_BYTES_MAX: usize = 64 * 1024;
    if stream.shutdown().await.is_err() {
        return;
    }
    let drain = async {
        let mut scratch = [0; 1024];
        let mut drained = 0;
        while let Ok(count @ 1..) = stream.read(&mut scratch).await {
            drained += count;
            if drained >= DRAIN_BYTES_MAX {
                break;
            }
        }
    };
    let _ = timeout(Duration::from_secs(1), drain).await;
}
