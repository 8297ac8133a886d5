use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf, split};
use tokio::sync::oneshot;

use crate::parse::{
    Body, Http2Opening, Http2Tap, ResponseHead, asks_to_vouch_for_connection, response_body, take_response_head,
};
use crate::tls::{FarEnd, Stream, write_through};

use super::body::{Cut, pull, push};
use super::message::{Framing, has_no_body, request_text, response_message};
use super::{Bounds, OWN_HEAD};

/// What the requests on a connection are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The proxy: they say where they go.
    Proxy,
    /// The host of a tunnel that is looked into.
    Inside,
}

impl Door {
    /// Streams that a connection carries at a time. Browsers put all their tunnels into one connection with a proxy,
    /// and none that is not for the host into one with an origin.
    pub fn streams_max(self) -> u32 {
        match self {
            Self::Proxy => 500,
            Self::Inside => 100,
        }
    }
}

/// A client's connection.
///
/// What it can make the gate hold is bounded: streams at a time and those reset before they were taken, by number;
/// heads; the windows of bodies. A client that goes beyond is sent away with ENHANCE_YOUR_CALM (RFC 9113 §10.5).
pub struct Server {
    connection: Connection<Tapped, Bytes>,
    opening: Arc<OnceLock<Http2Opening>>,
    door: Door,
    bounds: Bounds,
}

/// A request that has come on a stream.
#[derive(Debug)]
pub struct Arrived {
    /// As HTTP/1.1 has it.
    pub head: BytesMut,
    request: Request<()>,
    framing: Framing,
    body: RecvStream,
    respond: SendResponse<Bytes>,
    bounds: Bounds,
}

/// Of bodies so much is taken before somebody reads it: of one, and of all together.
const WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// What is to be sent of a body is held up to here.
const SEND_BYTES: usize = 64 * 1024;
/// So many streams may be reset before they were taken.
const RESETS_MAX: usize = 20;
/// So many streams may be at fault.
const FAULTS_MAX: usize = 100;

impl Server {
    /// Reads the opening of a connection on which HTTP/2 was agreed.
    ///
    /// It has no limit of time: the caller sets one.
    ///
    /// # Errors
    /// The client does not speak HTTP/2, or has gone.
    pub async fn handshake(stream: Stream, door: Door, bounds: Bounds) -> Result<Self, h2::Error> {
        let opening = Arc::<OnceLock<Http2Opening>>::default();
        let tapped = Tapped { stream, tap: Some(Http2Tap::new()), opening: opening.clone() };
        let head_bytes = u32::try_from(bounds.head.bytes_max).unwrap_or(u32::MAX);
        let connection = h2::server::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(door.streams_max())
            .max_header_list_size(head_bytes)
            .max_send_buffer_size(SEND_BYTES)
            .max_pending_accept_reset_streams(RESETS_MAX)
            .max_local_error_reset_streams(Some(FAULTS_MAX))
            .handshake(tapped)
            .await?;
        Ok(Self { connection, opening, door, bounds })
    }

    /// The next request; `None` at the connection's end, of whatever kind. It carries all streams and has to be asked
    /// as long as there are any, by whoever `may_take` no request as well. Dropped before it is ready, it loses
    /// nothing.
    pub async fn next(&mut self, may_take: bool) -> Option<Arrived> {
        if !may_take {
            let _ = poll_fn(|context| self.connection.poll_closed(context)).await;
            return None;
        }
        let (request, respond) = self.connection.accept().await?.ok()?;
        let (parts, body) = request.into_parts();
        let request = Request::from_parts(parts, ());
        let (head, framing) = request_text(&request, body.is_end_stream(), self.door);
        Some(Arrived { head, request, framing, body, respond, bounds: self.bounds })
    }

    /// What the client said up to its first request.
    pub fn opening(&self) -> Arc<OnceLock<Http2Opening>> {
        self.opening.clone()
    }

    /// Lets what has begun come to its end, and the connection with it (RFC 9113 §6.8).
    pub fn close(&mut self) {
        self.connection.graceful_shutdown();
    }
}

impl Arrived {
    /// Refuses it unread: its client may ask again (RFC 9113 §8.7).
    pub fn refuse(mut self) {
        self.respond.send_reset(Reason::REFUSED_STREAM);
    }

    /// Carries the body to the far end of a pipe, and the answer that is written at its near end to the client.
    pub async fn carry(self, far: FarEnd) {
        let Self { request, framing, mut body, mut respond, bounds, .. } = self;
        let (pipe, forsaken) = far.split();
        let (mut read, mut write) = split(pipe);
        let is_tunnel = request.method() == http::Method::CONNECT;
        let (stand, stands) = oneshot::channel();
        let up = async {
            // What is of a tunnel has no reader before it stands.
            if is_tunnel && stands.await.is_err() {
                return Ok(());
            }
            let framing = if is_tunnel { Framing::Length } else { framing };
            if framing != Framing::None && pull(&mut body, &mut write, framing).await.is_err() {
                return Err(Cut);
            }
            if is_tunnel {
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut write).await;
            }
            Ok(())
        };
        let down = async {
            let mut buffer = BytesMut::new();
            let head = answer(&mut read, &mut buffer, &mut respond).await?;
            let opens = is_tunnel && (200..300).contains(&head.status);
            let body = match response_body(request.method().as_str(), &head) {
                _ if opens => Body::UntilClose,
                Ok(body) => body,
                Err(_) => return Err(refused(&mut respond, Reason::INTERNAL_ERROR)),
            };
            // Many streams share the connection: the client is to ask again over HTTP/1.1 (RFC 9113 §7).
            if asks_to_vouch_for_connection(&head.fields) {
                return Err(refused(&mut respond, Reason::HTTP_1_1_REQUIRED));
            }
            let Ok(message) = response_message(&head) else {
                return Err(refused(&mut respond, Reason::INTERNAL_ERROR));
            };
            let ends = has_no_body(body);
            let mut to = respond.send_response(message, ends)?;
            if opens {
                let _ = stand.send(());
            }
            if ends { Ok(()) } else { push(&mut read, buffer, body, &mut to, bounds.limit).await }
        };
        let (mut up, mut down, mut forsaken) = (pin!(up), pin!(down), pin!(forsaken));
        let mut uploading = true;
        loop {
            tokio::select! {
                biased;
                answered = &mut down => {
                    if answered.is_err() || !is_tunnel {
                        return;
                    }
                    // The other way of a tunnel goes on to its own end, while there is somebody to take it.
                    if uploading {
                        tokio::select! {
                            _ = up => {}
                            () = &mut forsaken => {}
                        }
                    }
                    return;
                }
                carried = &mut up, if uploading => {
                    uploading = false;
                    if carried.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// The head of the answer, once those that come before it have been passed on.
async fn answer(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    respond: &mut SendResponse<Bytes>,
) -> Result<ResponseHead, Cut> {
    let mut scanned = 0;
    loop {
        match take_response_head(buffer, &OWN_HEAD, &mut scanned) {
            Ok(Some(head)) if (100..200).contains(&head.status) => {
                // A switch of protocols was asked for by nobody here.
                let message = response_message(&head).ok().filter(|_| head.status != 101);
                let Some(message) = message else { return Err(refused(respond, Reason::INTERNAL_ERROR)) };
                respond.send_informational(message)?;
            }
            Ok(Some(head)) => return Ok(head),
            Ok(None) => {
                buffer.reserve(4096);
                let count = tokio::select! {
                    biased;
                    count = from.read_buf(buffer) => count?,
                    _ = poll_fn(|context| respond.poll_reset(context)) => return Err(Cut),
                };
                if count == 0 {
                    return Err(refused(respond, Reason::INTERNAL_ERROR));
                }
            }
            Err(_) => return Err(refused(respond, Reason::INTERNAL_ERROR)),
        }
    }
}

fn refused(respond: &mut SendResponse<Bytes>, reason: Reason) -> Cut {
    respond.send_reset(reason);
    Cut
}

/// A connection whose opening is looked at beside.
#[derive(Debug)]
struct Tapped {
    stream: Stream,
    /// Until it is plain what the opening is.
    tap: Option<Http2Tap>,
    opening: Arc<OnceLock<Http2Opening>>,
}

impl AsyncRead for Tapped {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = into.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, into))?;
        if let Some(tap) = &mut this.tap {
            tap.feed(into.filled().get(before..).unwrap_or_default());
            if let Some(opening) = tap.opening() {
                let _ = this.opening.set(opening.clone());
            }
            if tap.read().is_some() {
                this.tap = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

write_through!(Tapped, stream);
