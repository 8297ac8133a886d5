use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::Response;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::time::timeout;

use crate::parse::{request_body, take_request_head};
use crate::tls::{FarEnd, Stream};

use super::body::{Cut, pull, push};
use super::message::{has_no_body, request_message, response_text};
use super::{Bounds, OWN_HEAD};

/// A connection to an origin, shared by those who have requests for it. It ends once nobody holds it any more and its
/// streams are done.
#[derive(Debug, Clone)]
pub struct Client {
    send: SendRequest<Bytes>,
    state: Arc<State>,
    bounds: Bounds,
}

#[derive(Debug, Default)]
struct State {
    /// Streams now open.
    open: AtomicUsize,
    /// The connection has ended.
    ended: AtomicBool,
    /// The origin wants HTTP/1.1 (RFC 9113 §7).
    wants_http1: AtomicBool,
}

/// A connection is given no more streams at a time, whatever the origin takes.
const STREAMS_MAX: usize = 100;
/// Of bodies so much is taken before somebody reads it: of one, and of all together.
const WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 2 << 20;
/// What is to be sent of a body is held up to here.
const SEND_BYTES: usize = 64 * 1024;

impl Client {
    /// Opens a connection on which HTTP/2 was agreed; what comes beside carries it, and has to be polled.
    ///
    /// # Errors
    /// The connection has ended.
    pub async fn handshake(
        stream: Stream,
        bounds: Bounds,
    ) -> Result<(Self, impl Future<Output = ()> + Send + use<>), h2::Error> {
        let head_bytes = u32::try_from(bounds.head.bytes_max).unwrap_or(u32::MAX);
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(0)
            .enable_push(false)
            .max_header_list_size(head_bytes)
            .max_send_buffer_size(SEND_BYTES)
            .handshake(stream)
            .await?;
        let state = Arc::<State>::default();
        let carried = state.clone();
        let carrying = async move {
            let _ = connection.await;
            carried.ended.store(true, Ordering::Relaxed);
        };
        Ok((Self { send, state, bounds }, carrying))
    }

    /// Whether another request can be sent on it now.
    pub fn has_room(&mut self) -> bool {
        let open = self.state.open.load(Ordering::Relaxed);
        let most = self.send.current_max_send_streams().min(STREAMS_MAX);
        let is_ready = |send: &mut SendRequest<Bytes>| {
            !matches!(send.poll_ready(&mut Context::from_waker(Waker::noop())), Poll::Ready(Err(_)))
        };
        !self.state.ended.load(Ordering::Relaxed) && open < most && is_ready(&mut self.send)
    }

    /// Whether any stream is open.
    pub fn is_busy(&self) -> bool {
        self.state.open.load(Ordering::Relaxed) > 0
    }

    /// Whether the origin has said that it wants HTTP/1.1.
    pub fn wants_http1(&self) -> bool {
        self.state.wants_http1.load(Ordering::Relaxed)
    }

    /// A stream of its own for one request, which is written to it as HTTP/1.1; so is the answer read from it. What
    /// comes beside carries it.
    pub fn open(&self) -> (Stream, impl Future<Output = ()> + Send + use<>) {
        let (near, far) = Stream::pipe();
        let (send, bounds) = (self.send.clone(), self.bounds);
        let opened = Opened::new(self.state.clone());
        let carrying = async move {
            if exchange(send, far, &bounds).await.is_err_and(|why| why == Failed::WantsHttp1) {
                opened.0.wants_http1.store(true, Ordering::Relaxed);
            }
        };
        (near, carrying)
    }
}

/// A stream, counted for as long as this lives.
struct Opened(Arc<State>);

impl Opened {
    fn new(state: Arc<State>) -> Self {
        state.open.fetch_add(1, Ordering::Relaxed);
        Self(state)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Failed {
    WantsHttp1,
    /// Whoever asked, or the origin, has gone.
    Cut,
}

impl From<h2::Error> for Failed {
    fn from(error: h2::Error) -> Self {
        if error.reason() == Some(Reason::HTTP_1_1_REQUIRED) { Self::WantsHttp1 } else { Self::Cut }
    }
}

impl From<std::io::Error> for Failed {
    fn from(_: std::io::Error) -> Self {
        Self::Cut
    }
}

impl From<Cut> for Failed {
    fn from(Cut: Cut) -> Self {
        Self::Cut
    }
}

/// Carries one request to the origin, and its answer back. What goes wrong ends the pipe, as a connection would end.
async fn exchange(send: SendRequest<Bytes>, far: FarEnd, bounds: &Bounds) -> Result<(), Failed> {
    let (pipe, _forsaken) = far.split();
    let (mut read, mut write) = split(pipe);
    let (mut buffer, mut scanned) = (BytesMut::new(), 0);
    let head = loop {
        match take_request_head(&mut buffer, &OWN_HEAD, &mut scanned) {
            Ok(Some(head)) => break head,
            Ok(None) => {}
            Err(_) => return Err(Failed::Cut),
        }
        buffer.reserve(4096);
        if read.read_buf(&mut buffer).await? == 0 {
            return Err(Failed::Cut);
        }
    };
    let request = request_message(&head).map_err(|_| Failed::Cut)?;
    let body = request_body(&head).map_err(|_| Failed::Cut)?;
    let ends = has_no_body(body);
    let mut send = timeout(bounds.limit, send.ready()).await.map_err(|_| Failed::Cut)??;
    let (mut response, mut to) = send.send_request(request, ends)?;
    drop(send);
    let up = async {
        // An origin that refuses a body may say why: that is worth more than that it stopped reading.
        if !ends && push(&mut read, buffer, body, &mut to, bounds.limit).await.is_err() {
            return pending().await;
        }
        // Nothing more is asked for here: what comes is the end.
        let mut one = [0];
        let _ = read.read(&mut one).await;
        Err(Failed::Cut)
    };
    let down = async {
        let (response, mut body) = answer(&mut response, &mut write).await?;
        let (text, framing) = response_text(&response, head.method(), body.is_end_stream());
        write.write_all(&text).await?;
        pull(&mut body, &mut write, framing).await?;
        Ok(())
    };
    let mut up = pin!(up);
    let mut down = pin!(down);
    tokio::select! {
        biased;
        done = &mut down => done,
        done = &mut up => done,
    }
}

/// The answer, once those that come before it have been written.
async fn answer(
    response: &mut ResponseFuture,
    to: &mut (impl AsyncWrite + Unpin),
) -> Result<(Response<()>, RecvStream), Failed> {
    loop {
        let polled = poll_fn(|context| match response.poll_informational(context) {
            Poll::Ready(Some(interim)) => Poll::Ready(Err(interim)),
            Poll::Ready(None) | Poll::Pending => Pin::new(&mut *response).poll(context).map(Ok),
        });
        match polled.await {
            Ok(answered) => {
                let (parts, body) = answered?.into_parts();
                return Ok((Response::from_parts(parts, ()), body));
            }
            Err(interim) => {
                let (text, _) = response_text(&interim?, "GET", true);
                to.write_all(&text).await?;
            }
        }
    }
}
