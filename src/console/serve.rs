use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::{Interval, interval, timeout};
use tokio_rustls::TlsAcceptor;

use super::budget::Paid;
use super::routes::answer;
use super::service::Service;
use super::sessions::SessionId;
use crate::listen;

/// Where a console listens, and by what it is spoken to.
pub struct Listening {
    pub listeners: Vec<TcpListener>,
    /// Absent where it is spoken to in the clear, on this machine alone.
    pub tls: Option<Arc<ServerConfig>>,
    /// Connections at the same time; more wait in the kernel's queue.
    pub connections_max: usize,
}

/// A head comes within this time, on a connection that stands as well.
const HEAD_LIMIT: Duration = Duration::from_secs(30);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 32 << 10;
/// How often a live tail shows that it is there; whoever has left is noticed by it, and whoever is logged out.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// What is under way when the gate ends has this long.
const LAST: Duration = Duration::from_millis(200);

/// Serves the console until `stop` resolves.
///
/// # Errors
/// A listener cannot be used.
pub async fn serve(service: Arc<Service>, listening: Listening, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let room = Arc::new(Semaphore::new(listening.connections_max));
    let acceptor = listening.tls.map(TlsAcceptor::from);
    let mut accepting = JoinSet::new();
    for listener in listening.listeners {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        accepting.spawn(accept(listener, service.clone(), acceptor.clone(), room.clone()));
    }
    tokio::select! {
        () = stop => {}
        () = service.follow() => {}
        _ = accepting.join_next() => {}
    }
    accepting.abort_all();
    tokio::join!(tokio::time::sleep(LAST), service.errands.end());
    Ok(())
}

async fn accept(
    listener: tokio::net::TcpListener,
    service: Arc<Service>,
    acceptor: Option<TlsAcceptor>,
    room: Arc<Semaphore>,
) {
    let failures = AtomicU64::new(0);
    listen::accept(listener, std::future::pending(), &failures, |stream, address| {
        // One more than may be is closed at once.
        let Ok(permit) = room.clone().try_acquire_owned() else { return };
        let (service, acceptor) = (service.clone(), acceptor.clone());
        tokio::spawn(async move {
            let _permit = permit;
            connection(service, acceptor, stream, address).await;
        });
    })
    .await;
}

async fn connection(service: Arc<Service>, acceptor: Option<TlsAcceptor>, stream: TcpStream, address: SocketAddr) {
    match acceptor {
        None => requests(service, stream, address).await,
        Some(acceptor) => {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                requests(service, stream, address).await;
            }
        }
    }
}

async fn requests(service: Arc<Service>, stream: impl AsyncRead + AsyncWrite + Unpin, address: SocketAddr) {
    let (purse, is_known) = (service.purse.clone(), Arc::new(AtomicBool::new(false)));
    let known = is_known.clone();
    let answering = service_fn(move |request: Request<Incoming>| {
        let (service, known) = (service.clone(), known.clone());
        async move { Ok::<_, Infallible>(secured(&service, answer(&service, (address.ip(), known), request).await)) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT).max_buf_size(HEAD_BYTES_MAX);
    let _ = Paid::new(builder.serve_connection(TokioIo::new(stream), answering), purse, is_known).await;
}

/// What a browser may do with any answer.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

fn secured(service: &Service, mut response: Response<Page>) -> Response<Page> {
    let fields = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        fields.insert(name, HeaderValue::from_static(value));
    }
    fields.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if service.plan.is_secured {
        let name = HeaderName::from_static("strict-transport-security");
        fields.insert(name, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

/// What an answer holds: a text, or what comes while it is looked at.
pub(super) enum Page {
    Whole(Option<Bytes>),
    Live(Box<Live>),
}

/// A live tail.
pub(super) struct Live {
    from: Receiver<Bytes>,
    service: Arc<Service>,
    session: SessionId,
    beat: Interval,
}

impl Page {
    pub(super) fn live(from: Receiver<Bytes>, service: Arc<Service>, session: SessionId) -> Self {
        Self::Live(Box::new(Live { from, service, session, beat: interval(HEARTBEAT) }))
    }
}

/// An answer that is a text.
pub(super) fn whole(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Page> {
    let mut response = Response::new(Page::Whole(Some(text.into())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

impl Body for Page {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Page::Whole(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Page::Live(live) => live.poll(context).map(|text| text.map(|text| Ok(Frame::data(text)))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Page::Whole(text) => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Page::Live(_) => SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Page::Whole(None))
    }
}

impl Live {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.beat.poll_tick(context).is_ready() {
            if !self.service.holds(&self.session) {
                return Poll::Ready(None);
            }
            // A comment, which browsers pass over.
            return Poll::Ready(Some(Bytes::from_static(b":\n\n")));
        }
        self.from.poll_recv(context)
    }
}
