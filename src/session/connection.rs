use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::clock;
use crate::facts::{Client, ExchangeId, Hello, Path, Scheme, Stage};
use crate::listen::Capture;
use crate::parse::{
    Body, FirstBytes, Form, Request, RequestHead, Version, examine, examine_captured, take_request_head,
};
use crate::policy::{Policy, draft_rule};
use crate::site::{self, Refusal};
use crate::tls::{Rewound, Stream};

use super::account::{Account, Asked, Refused};
use super::gate::{Admitted, Counted, Gate, Worker};
use super::headroom::{Exhausted, Held};
use super::inspect::is_refusal;
use super::io::{Io, Next, linger, write_all};
use super::log_in::client_of;
use super::look::{Patience, first_bytes};
use super::streams::{self, Asker};
use super::who::Shown;
use super::why::Why;
use super::{captured, connect, forward, own_page};

/// Most heads come in one read of so many bytes.
const READ_BYTES: usize = 4096;

/// Serves one client connection to its end.
///
/// A standing tunnel holds this small future alone; all that comes before it lives in a box that is
/// given back.
pub async fn serve(admitted: Admitted, stream: TcpStream) {
    let io = Io::new(Stream::Plain(stream), None);
    let client = Client::at(admitted.address);
    let Some(carrying) = Box::pin(until_tunnel(&admitted.worker, io, client)).await else { return };
    carrying.await;
}

/// Serves one connection that was captured on its way elsewhere.
pub async fn serve_captured(admitted: Admitted, stream: TcpStream, capture: Capture) {
    // Without a word of where it was going there is nobody there any more.
    let Ok(meant) = capture.destination(&stream) else { return };
    let io = Io::new(Stream::Plain(stream), None);
    let client = Client { captured: Some(meant), ..Client::at(admitted.address) };
    let Some(carrying) = Box::pin(until_tunnel(&admitted.worker, io, client)).await else { return };
    carrying.await;
}

/// Serves one connection of a client that speaks TLS to the gate itself, in HTTP/1.1 or HTTP/2.
pub async fn serve_secured(admitted: Admitted, stream: TcpStream) {
    let worker = &admitted.worker;
    let Some(secured) = Box::pin(shake(worker, stream, admitted.address)).await else { return };
    let (stream, hello, is_http2) = secured;
    if is_http2 {
        let asker = Asker::Proxy { address: admitted.address, hello };
        streams::serve(worker, stream, asker, None).await;
        return;
    }
    let io = Io::new(stream, Some(hello));
    let client = Client::at(admitted.address);
    let Some(carrying) = Box::pin(until_tunnel(worker, io, client)).await else { return };
    carrying.await;
}

/// Reads the hello of a client and shakes hands with it: its connection, the hello, and whether it speaks HTTP/2.
async fn shake(worker: &Worker, mut stream: TcpStream, address: SocketAddr) -> Option<(Stream, Arc<Hello>, bool)> {
    let gate = &*worker.gate;
    let mut buffer = BytesMut::new();
    let seen = first_bytes(gate, &mut stream, &mut buffer, Patience::Any).await;
    let client = Client::at(address);
    let hello: Arc<Hello> = match seen {
        Ok(FirstBytes::Tls(hello)) => Arc::from(hello),
        Ok(FirstBytes::Silent | FirstBytes::Unfinished) => {
            gate.count_silent(address);
            return None;
        }
        Ok(_) => {
            // Who takes this for the plain proxy is told so.
            let mut io = Io::new(Stream::Plain(stream), None);
            let _ = refuse_bytes(worker, &mut io, &client, None, Why::new(400, "tls_expected")).await;
            linger(&mut io.stream).await;
            return None;
        }
        Err(_) => return None,
    };
    let policy = &gate.policy.now().policy;
    let Some(config) = gate.secure_proxy.as_ref()?.shown(gate.minter.as_ref(), hello.sni.as_deref()) else {
        // The authority has ended.
        let why = Why::new(503, "inspection_unavailable");
        let _ = Account::new(worker, None).refuse_bytes(policy, &client, None, &why).await;
        return None;
    };
    let handshake = TlsAcceptor::from(config).accept(Rewound::new(buffer, Stream::Plain(stream)));
    let why = match timeout(gate.limits.hello_timeout, handshake).await {
        Ok(Ok(secured)) => {
            let is_http2 = secured.get_ref().1.alpn_protocol() == Some(b"h2");
            return Some((Stream::Secured(Box::new(secured.into())), hello, is_http2));
        }
        Ok(Err(error)) if is_refusal(&error) => "tls_refused",
        Ok(Err(_)) => "tls_failed",
        Err(_) => "hello_timeout",
    };
    let _ = Account::new(worker, None).refuse_bytes(policy, &client, None, &Why::new(400, why)).await;
    None
}

/// Serves requests until the connection ends, or carries a tunnel.
async fn until_tunnel(worker: &Arc<Worker>, mut io: Io, client: Client) -> Option<impl Future<Output = ()>> {
    let gate = &*worker.gate;
    let mut first = true;
    loop {
        let next = match client.captured.filter(|_| first) {
            Some(meant) => Box::pin(captured::begin(worker, &mut io, &client, meant)).await,
            None => {
                if io.buffer.is_empty() {
                    let limit = if first { gate.limits.first_request_timeout } else { gate.limits.keep_alive_timeout };
                    match timeout(limit, until_something_comes(&mut io)).await {
                        Ok(Ok(())) => {}
                        Err(_) if first => {
                            gate.count_silent(client.address);
                            return None;
                        }
                        Ok(Err(_)) | Err(_) => return None,
                    }
                }
                answer_next(worker, &mut io, &client).await
            }
        };
        first = false;
        match next {
            Next::Again => {}
            Next::Close => {
                Box::pin(linger(&mut io.stream)).await;
                return None;
            }
            Next::Gone => return None,
            Next::Broken => {
                io.reset_on_close();
                return None;
            }
            Next::Tunnel(tunnelled) => return Some(tunnelled.carry(worker, io.stream)),
            Next::Inspect(inspected) => {
                let (tunnelled, client) = Box::pin(inspected.serve(worker, io)).await?;
                return Some(tunnelled.carry(worker, client));
            }
        }
    }
}

/// Reads the next request and answers it.
pub(super) async fn answer_next(worker: &Worker, io: &mut Io, client: &Client) -> Next {
    let gate = &*worker.gate;
    let _busy = Counted::new(&gate.counters.exchanges);
    // A head that comes slowly or never holds its bytes and little else: the box of an exchange is
    // made when there is something to judge.
    let mut held = gate.head_room.claim();
    match read_head(gate, io, &mut held).await {
        Ok(Some(head)) => {
            io.head_at = clock::moment();
            Box::pin(exchange(worker, io, client, head)).await
        }
        Ok(None) => Next::Gone,
        Err(why) => Box::pin(refuse_bytes(worker, io, client, None, why)).await,
    }
}

/// Waits for the first bytes of a request; nothing is held for the connection meanwhile.
///
/// # Errors
/// The client has gone.
pub(super) async fn until_something_comes(io: &mut Io) -> Result<(), Gone> {
    io.buffer = BytesMut::new();
    match read_some(io).await {
        Ok(1..) => Ok(()),
        Ok(0) | Err(_) => Err(Gone),
    }
}

/// There is nobody to talk to.
pub(super) struct Gone;

/// Waits for bytes and puts them behind those that are there; 0 at the end of the stream. Waiting takes
/// no memory for what is to come.
async fn read_some(io: &mut Io) -> io::Result<usize> {
    let Io { stream, buffer, .. } = io;
    poll_fn(|context| {
        let mut scratch = [MaybeUninit::uninit(); READ_BYTES];
        let mut come = ReadBuf::uninit(&mut scratch);
        ready!(Pin::new(&mut *stream).poll_read(context, &mut come))?;
        buffer.extend_from_slice(come.filled());
        Poll::Ready(Ok(come.filled().len()))
    })
    .await
}

/// Answers one request.
async fn exchange(worker: &Worker, io: &mut Io, client: &Client, head: RequestHead) -> Next {
    let gate = &*worker.gate;
    let examined = match client.captured {
        Some(meant) => examine_captured(&head, meant.port()),
        None => examine(&head),
    };
    let request = match examined {
        Ok((form, body)) => Request { head, form, body },
        Err(fault) => return refuse_bytes(worker, io, client, Some(&head), Why::of_fault(fault)).await,
    };
    if client.captured.is_some() {
        return captured::exchange(worker, io, client, &request).await;
    }
    // Whoever asks which proxy to take has not been able to show who they are to one.
    if let (Form::Origin(target), Some(pac)) = (&request.form, &gate.wording.pac)
        && is_pac(target)
        && matches!(request.head.method(), "GET" | "HEAD")
    {
        let keep = gate.keeps(&request.head) && request.body == Body::None;
        let page = pac.answer(request.head.fields.get("host"), keep, request.head.method() != "HEAD");
        return match write_all(&mut io.stream, &page, gate.limits.body_timeout).await {
            Ok(()) => Next::after(keep),
            Err(()) => Next::Gone,
        };
    }
    // Whoever may not pass is to know why, whether or not they could say who they are.
    if let Form::Absolute(target) = &request.form
        && own_page::is_own(target)
        && matches!(request.head.method(), "GET" | "HEAD")
    {
        let keep = gate.keeps(&request.head) && request.body == Body::None;
        let page = own_page::page(gate, client.address.ip(), &request.head, keep);
        return send_page(gate, io, &page, keep).await;
    }
    let asked_by = match client_of(worker, client.clone(), &request.head).await {
        Ok(client) => client,
        Err(why) => return refuse_user(worker, io, client, &request, why).await,
    };
    let client = &asked_by;
    match &request.form {
        Form::Connect(target) => connect::serve(worker, io, client, &request.head, target).await,
        Form::Absolute(target) => {
            let hello = io.hello.clone();
            let shown = Shown::of_plain(hello.as_deref());
            forward::serve(worker, io, client, &request, target, (None, shown)).await
        }
        Form::Origin(_) => {
            let keep = gate.keeps(&request.head) && request.body == Body::None;
            let page = site::welcome(keep, request.head.method() != "HEAD");
            match write_all(&mut io.stream, &page, gate.limits.body_timeout).await {
                Ok(()) => Next::after(keep),
                Err(()) => Next::Gone,
            }
        }
    }
}

/// Whether a request to the gate itself is for the file by which browsers learn which proxy to take; what stands behind `?` is of
/// no matter.
fn is_pac(path: &Path) -> bool {
    matches!(path.path(), "/proxy.pac" | "/wpad.dat")
}

/// The next head, or `None` when the client has gone.
pub(super) async fn read_head(gate: &Gate, io: &mut Io, held: &mut Held<'_>) -> Result<Option<RequestHead>, Why> {
    let mut scanned = 0;
    let reading = async {
        if io.is_stream {
            // It has come whole already.
            held.hold(io.buffer.capacity()).map_err(|Exhausted| Why::head_room())?;
        }
        loop {
            match take_request_head(&mut io.buffer, &gate.limits.head, &mut scanned) {
                Ok(Some(mut head)) => {
                    // What comes behind it is of a tunnel, in whatever is spoken there.
                    if std::mem::take(&mut io.is_stream) {
                        head.version = Version::Http2;
                    }
                    return Ok(Some(head));
                }
                Ok(None) => {}
                Err(fault) => return Err(Why::of_fault(fault)),
            }
            match read_some(io).await {
                Ok(1..) => held.hold(io.buffer.capacity()).map_err(|Exhausted| Why::head_room())?,
                Ok(0) | Err(_) if io.buffer.is_empty() => return Ok(None),
                Ok(0) | Err(_) => return Err(Why::new(400, "client_closed")),
            }
        }
    };
    timeout(gate.limits.head_timeout, reading).await.unwrap_or(Err(Why::new(408, "head_timeout")))
}

pub(super) async fn refuse_bytes(
    worker: &Worker,
    io: &mut Io,
    client: &Client,
    head: Option<&RequestHead>,
    why: Why,
) -> Next {
    let gate = &*worker.gate;
    let account = Account::new(worker, None);
    let id = account.id;
    let recorded = account.refuse_bytes(&gate.policy.now().policy, client, head, &why).await;
    let why = if recorded.is_ok() { why } else { Why::evidence() };
    let page = page(gate, id, &why, "-", head, false);
    send_page(gate, io, &page, false).await
}

/// Refuses a request whose user is not who it says; it may be shown again on the same connection.
async fn refuse_user(worker: &Worker, io: &mut Io, client: &Client, request: &Request, why: Why) -> Next {
    let gate = &*worker.gate;
    let edition = gate.policy.now();
    let account = Account::new(worker, None);
    let keep = gate.keeps(&request.head) && matches!(request.body, Body::None | Body::Length(0));
    match &request.form {
        Form::Connect(target) | Form::Absolute(target) => {
            let to_gate = io.hello.clone();
            let shown = Shown::of_plain(to_gate.as_deref());
            let hello = if target.scheme == Scheme::Tunnel { Stage::NotYet } else { shown.hello };
            let shown = Shown { hello, ..shown };
            let asked = Asked::new((gate, &edition.policy), client, &request.head, target, shown);
            let keep = keep && io.buffer.is_empty();
            refuse(gate, io, account, (&edition.policy, &asked), &Refused::by_gate(&why), keep).await
        }
        Form::Origin(_) => refuse_bytes(worker, io, client, Some(&request.head), why).await,
    }
}

/// Refuses an exchange: records it, and sends the page that says why. The id on the page finds the
/// record, or the page says that there is none.
pub(super) async fn refuse(
    gate: &Gate,
    io: &mut Io,
    account: Account<'_>,
    (policy, asked): (&Policy, &Asked<'_>),
    refused: &Refused<'_>,
    keep: bool,
) -> Next {
    let id = account.id;
    let host = asked.target.host.readable();
    let page = match account.refuse(policy, asked, refused).await {
        // Who can show nothing needs a rule: the page says which.
        Ok(()) if refused.why.code == "not_a_browser" => {
            let draft = draft_rule(asked.target, asked.head.fields.get("user-agent"));
            page_with(gate, id, refused.why, (&host, Some(&draft)), Some(asked.head), keep)
        }
        Ok(()) => page(gate, id, refused.why, &host, Some(asked.head), keep),
        Err(_) => page(gate, id, &Why::evidence(), &host, Some(asked.head), keep),
    };
    send_page(gate, io, &page, keep).await
}

/// The page of a refusal.
pub(super) fn page(
    gate: &Gate,
    id: ExchangeId,
    why: &Why,
    host: &str,
    head: Option<&RequestHead>,
    keep: bool,
) -> Vec<u8> {
    page_with(gate, id, why, (host, None), head, keep)
}

/// The same with the rule that would let it through.
pub(super) fn page_with(
    gate: &Gate,
    id: ExchangeId,
    why: &Why,
    (host, draft): (&str, Option<&str>),
    head: Option<&RequestHead>,
    keep: bool,
) -> Vec<u8> {
    let tries = gate.tried_at().map(|host| host.to_string());
    let bypassed = why.code == "bypassed_proxy";
    let refusal = Refusal {
        status: why.status,
        host,
        reason: why.code,
        detail: why.detail.as_deref(),
        draft,
        retry_after: why.retry_after,
        authenticate: &why.authenticate,
        id,
        contact: gate.wording.contact.as_deref(),
        tries: tries.as_deref(),
        proxy: gate.wording.proxy.as_ref().filter(|_| bypassed),
        has_body: head.is_none_or(|head| head.method() != "HEAD"),
    };
    site::refusal(&refusal, head.map(|head| &head.fields), keep)
}

pub(super) async fn send_page(gate: &Gate, io: &mut Io, page: &[u8], keep: bool) -> Next {
    match write_all(&mut io.stream, page, gate.limits.body_timeout).await {
        Ok(()) => Next::after(keep),
        Err(()) => Next::Gone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_future_of_a_standing_tunnel_stays_small() {
        fn size<F: Future>(_: impl Fn(Admitted, TcpStream) -> F) -> usize {
            size_of::<F>()
        }
        // Nine thousand of these are held at a time; see benches/README.md for the whole of a tunnel.
        assert!(size(serve) <= 512, "{} bytes", size(serve));
    }
}
