use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use crate::clock;
use crate::facts::{Hello, Moment};
use crate::tls::{ReadHalf, Stream};
use crate::upstream::Connected;

use super::inspect::Inspected;
use super::tunnel::Tunnelled;

/// A client's connection, the bytes read ahead of it, and the origin's connection it may own alone.
pub(super) struct Io {
    pub(super) stream: Stream,
    pub(super) buffer: BytesMut,
    /// When the last byte of the head at hand was read.
    pub(super) head_at: Moment,
    /// What the client said when it began TLS with the gate itself; absent where it speaks to it in clear.
    pub(super) hello: Option<Arc<Hello>>,
    /// The head that comes next is the one of a stream of HTTP/2.
    pub(super) is_stream: bool,
    /// A connection that authenticated this client (NTLM, Negotiate): no other client may use it.
    pub(super) pinned: Option<Box<Connected>>,
}

impl Io {
    pub(super) fn new(stream: Stream, hello: Option<Arc<Hello>>) -> Self {
        Self { stream, buffer: BytesMut::new(), head_at: clock::moment(), hello, is_stream: false, pinned: None }
    }

    /// See [`reset_on_close`].
    pub(super) fn reset_on_close(&self) {
        if let Some(tcp) = self.stream.tcp() {
            reset_on_close(tcp);
        }
    }
}

/// What becomes of the client's connection.
pub(super) enum Next {
    /// It can take another request.
    Again,
    /// Our last answer is sent; the client may still be reading it.
    Close,
    /// There is nobody to talk to.
    Gone,
    /// The answer was cut short, which a client must be able to see.
    Broken,
    /// It carries a tunnel from here on.
    Tunnel(Tunnelled),
    /// The TLS in its tunnel is ended here, and what comes in it is answered.
    Inspect(Box<Inspected>),
}

impl Next {
    pub(super) fn after(keep: bool) -> Self {
        if keep { Self::Again } else { Self::Close }
    }
}

/// How long an exchange may stand still: as long as bytes move one way, the other may wait.
pub(super) struct Pace {
    limit: Duration,
    base: Instant,
    /// When something moved last, in microseconds after `base`.
    moved: AtomicU64,
}

impl Pace {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, base: Instant::now(), moved: AtomicU64::new(0) }
    }

    /// Waits for a read or write; `Err` when nothing has moved either way for the limit.
    pub(super) async fn wait<F: Future>(&self, doing: F) -> Result<F::Output, ()> {
        tokio::pin!(doing);
        loop {
            let deadline = self.base + Duration::from_micros(self.moved.load(Ordering::Relaxed)) + self.limit;
            if let Ok(done) = timeout_at(deadline, &mut doing).await {
                let moved = u64::try_from(self.base.elapsed().as_micros()).unwrap_or(u64::MAX);
                self.moved.fetch_max(moved, Ordering::Relaxed);
                return Ok(done);
            }
            let moved = Duration::from_micros(self.moved.load(Ordering::Relaxed));
            if self.base + moved + self.limit <= Instant::now() {
                return Err(());
            }
        }
    }
}

/// Writes all of it, with at most `limit` between two successes.
pub(super) async fn write_all(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8], limit: Duration) -> Result<(), ()> {
    write_paced(to, bytes, &Pace::new(limit)).await
}

/// Writes all of it at the pace of an exchange.
pub(super) async fn write_paced(to: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8], pace: &Pace) -> Result<(), ()> {
    while !bytes.is_empty() {
        match pace.wait(to.write(bytes)).await {
            Ok(Ok(count @ 1..)) => bytes = bytes.get(count..).unwrap_or_default(),
            Ok(Ok(0) | Err(_)) | Err(()) => return Err(()),
        }
    }
    // What is written inside TLS leaves with this.
    match pace.wait(to.flush()).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(()) => Err(()),
    }
}

/// Reads ahead, at most.
const AHEAD_BYTES: usize = 4096;

/// Waits until the client has ended its way here, where that shows by reading alone. What comes before that is of the next
/// request and kept; beyond 4 KiB nothing is read, and so nothing shows, before that is.
pub(super) async fn leaves(client: &mut ReadHalf<'_>, ahead: &mut BytesMut) {
    poll_fn(|context| {
        while client.tells_by_reading() && ahead.len() < AHEAD_BYTES {
            let mut scratch = [MaybeUninit::uninit(); AHEAD_BYTES];
            let mut come = ReadBuf::uninit(&mut scratch);
            match ready!(Pin::new(&mut *client).poll_read(context, &mut come)) {
                Ok(()) if !come.filled().is_empty() => ahead.extend_from_slice(come.filled()),
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
        Poll::Pending
    })
    .await;
}

/// Makes the close of a connection a reset: what was sent over it must not look whole.
pub(super) fn reset_on_close(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// Ends a connection so that the client still reads our last answer: a close with unread bytes would
/// send RST, which discards it (RFC 9112 §9.6). Drains at most 64 KiB for at most a second.
pub(super) async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    if stream.shutdown().await.is_ok() {
        drain(stream).await;
    }
}

/// Reads what the other side still sends, at most 64 KiB for at most a second.
pub(super) async fn drain(stream: &mut (impl AsyncRead + Unpin)) {
    const DRAIN_BYTES_MAX: usize = 64 * 1024;
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
