use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::facts::Client;
use crate::parse::{Fault, Form, RequestHead, keep_alive, take_request_head, understand};
use crate::site::{self, Refusal};

use super::account::{Account, Why};
use super::gate::{Counted, Gate};
use super::{connect, forward};

/// A client's socket and the bytes read ahead of it.
pub(super) struct Io {
    pub(super) stream: TcpStream,
    pub(super) buffer: BytesMut,
}

/// Whether the connection can take another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Continue,
    Close,
}

/// Serves one client connection to its end.
pub async fn serve(gate: &Gate, stream: TcpStream, address: SocketAddr) {
    let _counted = Counted::new(&gate.counters.connections);
    let client = Client { address, user: None };
    let _ = stream.set_nodelay(true);
    let mut io = Io { stream, buffer: BytesMut::new() };
    loop {
        let head = match read_head(gate, &mut io).await {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(why) => return refuse_bytes(gate, &mut io, &client, why).await,
        };
        let request = match understand(head) {
            Ok(request) => request,
            Err(fault) => return refuse_bytes(gate, &mut io, &client, Why::of_fault(fault)).await,
        };
        let then = match request.form {
            Form::Connect(target) => return connect::serve(gate, io, client, request.head, target).await,
            Form::Absolute(target) => {
                forward::serve(gate, &mut io, &client, &request.head, &target, request.body).await
            }
            Form::Origin(_) => {
                let keep =
                    keep_alive(request.head.version, &request.head.fields) && request.body == crate::parse::Body::None;
                write(&mut io.stream, &site::welcome(keep), gate.limits.body_timeout).await;
                if keep { Then::Continue } else { Then::Close }
            }
        };
        if then == Then::Close {
            return linger(&mut io.stream).await;
        }
    }
}

impl Why {
    pub(super) fn of_fault(fault: Fault) -> Self {
        let status = match fault {
            Fault::HeadTooLong | Fault::TooManyFields => 431,
            _ => 400,
        };
        Self { status, code: fault.name(), detail: Some(fault.to_string()) }
    }
}

/// The next head, or `None` when the client has gone or kept silent between requests.
async fn read_head(gate: &Gate, io: &mut Io) -> Result<Option<RequestHead>, Why> {
    let mut scanned = 0;
    if io.buffer.is_empty() {
        // Nothing is held for an idle connection.
        io.buffer = BytesMut::new();
        match timeout(gate.limits.keep_alive_timeout, io.stream.readable()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Ok(None),
        }
    }
    let reading = async {
        loop {
            match take_request_head(&mut io.buffer, &gate.limits.head, &mut scanned) {
                Ok(Some(head)) => return Ok(Some(head)),
                Ok(None) => {}
                Err(fault) => return Err(Why::of_fault(fault)),
            }
            io.buffer.reserve(4096);
            match io.stream.read_buf(&mut io.buffer).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Ok(None),
            }
        }
    };
    timeout(gate.limits.head_timeout, reading).await.unwrap_or(Err(Why::new(408, "head_timeout")))
}

async fn refuse_bytes(gate: &Gate, io: &mut Io, client: &Client, why: Why) {
    let account = Account::new(gate, None);
    account.refuse_bytes(&gate.policy(), client, &why);
    answer(gate, io, &account, &why, "-", None, false).await;
    linger(&mut io.stream).await;
}

/// Sends the page of a refusal.
pub(super) async fn answer(
    gate: &Gate,
    io: &mut Io,
    account: &Account<'_>,
    why: &Why,
    host: &str,
    head: Option<&RequestHead>,
    keep: bool,
) {
    let refusal = Refusal {
        status: why.status,
        host,
        reason: why.code,
        detail: why.detail.as_deref(),
        id: account.id,
        contact: gate.contact.as_deref(),
    };
    let page = site::refusal(&refusal, head.map(|head| &head.fields), keep);
    write(&mut io.stream, &page, gate.limits.body_timeout).await;
}

pub(super) async fn write(stream: &mut TcpStream, bytes: &[u8], limit: Duration) -> bool {
    matches!(timeout(limit, stream.write_all(bytes)).await, Ok(Ok(())))
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
