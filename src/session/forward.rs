use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::timeout;

use crate::facts::{Client, Stage, Target};
use crate::parse::{
    Body, CHUNK_DATA_END, ChunkedReader, Fault, Fields, RequestHead, ResponseHead, Step, Version, encode_chunk_head,
    encode_last_chunk, hop_by_hop, keep_alive, response_body, take_response_head,
};
use crate::policy::{Outcome, Verdict};

use super::account::{Account, Asked, Why};
use super::connection::{Io, Then, answer};
use super::gate::Gate;
use super::relay;

/// Serves one plain HTTP request: judge, record, dial, send, answer.
pub(super) async fn serve(
    gate: &Gate,
    io: &mut Io,
    client: &Client,
    head: &RequestHead,
    target: &Target,
    body: Body,
) -> Then {
    let policy = gate.policy();
    let mut account = Account::new(gate, None);
    let asked = Asked { client, head, target, hello: Stage::Never };
    let keep = keep_alive(head.version, &head.fields) && matches!(body, Body::None | Body::Length(0));
    let host = target.host.to_string();
    let decision = match account.judge(&policy, &asked) {
        Outcome::Decided(decision) => decision,
        Outcome::Needs(need) => {
            let why = Why::of_need(need);
            account.refuse(&policy, &asked, crate::policy::VerdictKind::Deny, None, &why);
            answer(gate, io, &account, &why, &host, Some(head), keep).await;
            return then(keep);
        }
    };
    let outgoing = match build_request(gate, head, target, body) {
        Ok(outgoing) => outgoing,
        Err(fault) => {
            let why = Why::of_fault(fault);
            account.refuse(&policy, &asked, crate::policy::VerdictKind::Deny, None, &why);
            answer(gate, io, &account, &why, &host, Some(head), false).await;
            return Then::Close;
        }
    };
    if !matches!(decision.verdict, Verdict::Allow(_)) {
        let why = Why::of_decision(&decision);
        account.refuse(&policy, &asked, decision.verdict.kind(), Some(&decision.reason), &why);
        answer(gate, io, &account, &why, &host, Some(head), keep).await;
        return then(keep);
    }
    if account.open(&policy, &asked, &decision).await.is_err() {
        let why = Why::new(503, "evidence_unavailable");
        answer(gate, io, &account, &why, &host, Some(head), false).await;
        return Then::Close;
    }
    let Verdict::Allow(permit) = decision.verdict else { return Then::Close };
    let mut connected = match gate.dialler.dial(permit).await {
        Ok(connected) => connected,
        Err(error) => {
            let why = Why::of_dial(&error);
            answer(gate, io, &account, &why, &host, Some(head), keep).await;
            account.fail("gate", &why);
            return then(keep);
        }
    };
    account.dialled(&connected);
    let mut exchange = Exchange { limit: gate.limits.body_timeout, gate, keep, head, down: 0, sent_head: false };
    let mut up = 0;
    let end = exchange.run(io, &mut connected.stream, &outgoing, (body, &mut up), &mut account).await;
    let (down, sent) = (exchange.down, exchange.sent_head);
    match end {
        Ok(End::Answered { keep }) => {
            account.close("origin", "complete", up, down);
            then(keep)
        }
        Ok(End::Upgraded { origin_bytes }) => {
            let limits = relay::Limits { idle: gate.limits.tunnel_idle, lifetime: gate.limits.tunnel_lifetime };
            let early = std::mem::take(&mut io.buffer);
            let carried = relay::run(&mut io.stream, &mut connected.stream, &early, &origin_bytes, limits).await;
            account.carries("websocket");
            account.close(carried.by, carried.how, up + carried.up, down + carried.down);
            Then::Close
        }
        Err(failure) => {
            if !sent && failure.by != "client" {
                answer(gate, io, &account, &failure.why, &host, Some(head), false).await;
            }
            account.close(failure.by, failure.why.code, up, down);
            Then::Close
        }
    }
}

fn then(keep: bool) -> Then {
    if keep { Then::Continue } else { Then::Close }
}

/// Rebuilds the request from the value that was judged: order and case of the client's fields kept,
/// hop-by-hop fields left out, Host from the target.
pub(super) fn build_request(gate: &Gate, head: &RequestHead, target: &Target, body: Body) -> Result<BytesMut, Fault> {
    let hops = hop_by_hop(&head.fields)?;
    let mut out = BytesMut::with_capacity(1024);
    let path = target.path.as_ref().map_or("/", |path| path.as_str());
    put(&mut out, &[head.method().as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1\r\n"]);
    let mut host = target.host.to_string();
    if target.port != 80 {
        host = format!("{host}:{}", target.port);
    }
    if head.fields.get("host").is_none() {
        put(&mut out, &[b"Host: ", host.as_bytes(), b"\r\n"]);
    }
    for (name, value) in head.fields.iter() {
        if name.eq_ignore_ascii_case("host") {
            put(&mut out, &[name.as_bytes(), b": ", host.as_bytes(), b"\r\n"]);
        } else if !hops.drops(name) && !name.eq_ignore_ascii_case("content-length") {
            put(&mut out, &[name.as_bytes(), b": ", value, b"\r\n"]);
        }
    }
    match body {
        Body::None | Body::UntilClose => {}
        Body::Length(length) => put(&mut out, &[b"Content-Length: ", length.to_string().as_bytes(), b"\r\n"]),
        Body::Chunked => put(&mut out, &[b"Transfer-Encoding: chunked\r\n"]),
    }
    put_via(&mut out, gate, head.version);
    if is_websocket(&head.fields) {
        put(&mut out, &[b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"]);
    } else {
        put(&mut out, &[b"Connection: close\r\n\r\n"]);
    }
    Ok(out)
}

fn is_websocket(fields: &Fields) -> bool {
    let asked = fields.elements("connection").any(|option| option.eq_ignore_ascii_case(b"upgrade"));
    asked && fields.get("upgrade").is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
}

fn put(out: &mut BytesMut, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

fn put_via(out: &mut BytesMut, gate: &Gate, version: Version) {
    if let Some(name) = &gate.via {
        let version = match version {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
        };
        put(out, &[b"Via: ", version.as_bytes(), b" ", name.as_bytes(), b"\r\n"]);
    }
}

/// How an exchange ended well.
enum End {
    Answered {
        keep: bool,
    },
    /// The origin switched protocols; these bytes it sent behind its head.
    Upgraded {
        origin_bytes: BytesMut,
    },
}

/// How it ended badly, and by whom.
struct Failure {
    by: &'static str,
    why: Why,
}

fn failure(by: &'static str, status: u16, code: &'static str) -> Failure {
    Failure { by, why: Why::new(status, code) }
}

struct Exchange<'a> {
    gate: &'a Gate,
    head: &'a RequestHead,
    limit: Duration,
    keep: bool,
    down: u64,
    sent_head: bool,
}

impl Exchange<'_> {
    async fn run(
        &mut self,
        io: &mut Io,
        origin: &mut TcpStream,
        outgoing: &[u8],
        (body, up): (Body, &mut u64),
        account: &mut Account<'_>,
    ) -> Result<End, Failure> {
        write_all(origin, outgoing, self.limit).await.map_err(|()| failure("origin", 502, "origin_closed"))?;
        *up += outgoing.len() as u64;
        let (mut client_read, mut client_write) = io.stream.split();
        let (mut origin_read, mut origin_write) = origin.split();
        let limit = self.limit;
        let upload = async {
            let mut reader = BodyReader::new(&mut client_read, &mut io.buffer, body, limit);
            reader.copy(&mut origin_write, body == Body::Chunked, up, "client", "origin").await
        };
        let download = self.download(&mut origin_read, &mut client_write, account);
        tokio::pin!(upload, download);
        let mut uploaded = false;
        let end = loop {
            tokio::select! {
                biased;
                result = &mut upload, if !uploaded => match result {
                    Ok(()) => uploaded = true,
                    Err(failed) => break Err(failed),
                },
                result = &mut download => break result,
            }
        };
        match end {
            // The origin answered before the request was whole: what is left of it has no reader.
            Ok(End::Answered { .. }) if !uploaded => Ok(End::Answered { keep: false }),
            end => end,
        }
    }

    async fn download(
        &mut self,
        origin: &mut ReadHalf<'_>,
        client: &mut WriteHalf<'_>,
        account: &mut Account<'_>,
    ) -> Result<End, Failure> {
        let mut buffer = BytesMut::with_capacity(4096);
        let response = loop {
            let response = self.response_head(origin, &mut buffer).await?;
            if response.status == 101 && !is_websocket(&self.head.fields) {
                return Err(failure("origin", 502, "unasked_upgrade"));
            }
            if response.status >= 200 || response.status == 101 {
                break response;
            }
            if self.head.version == Version::Http11 {
                let interim = self.build_response(&response, Body::None, false)?;
                self.send(client, &interim).await?;
            }
        };
        account.answered(response.status, response.fields.get("content-type"));
        if response.status == 101 {
            let out = self.build_response(&response, Body::None, true)?;
            self.send(client, &out).await?;
            return Ok(End::Upgraded { origin_bytes: buffer });
        }
        let body = response_body(self.head.method(), &response)
            .map_err(|fault| Failure { by: "origin", why: Why { status: 502, ..Why::of_fault(fault) } })?;
        let chunked = matches!(body, Body::Chunked | Body::UntilClose) && self.head.version == Version::Http11;
        let keep = self.keep && (chunked || matches!(body, Body::None | Body::Length(_)));
        self.keep = keep;
        let out = self.build_response(&response, body, false)?;
        self.send(client, &out).await?;
        self.sent_head = true;
        let mut down = 0;
        let mut reader = BodyReader::new(origin, &mut buffer, body, self.limit);
        let copied = reader.copy(client, chunked, &mut down, "origin", "client").await;
        self.down += down;
        copied?;
        Ok(End::Answered { keep })
    }

    async fn send(&mut self, client: &mut WriteHalf<'_>, bytes: &[u8]) -> Result<(), Failure> {
        write_all(client, bytes, self.limit).await.map_err(|()| failure("client", 499, "client_closed"))?;
        self.down += bytes.len() as u64;
        Ok(())
    }

    async fn response_head(&self, origin: &mut ReadHalf<'_>, buffer: &mut BytesMut) -> Result<ResponseHead, Failure> {
        let mut scanned = 0;
        loop {
            match take_response_head(buffer, &self.gate.limits.head, &mut scanned) {
                Ok(Some(head)) => return Ok(head),
                Ok(None) => {}
                Err(fault) => {
                    return Err(Failure { by: "origin", why: Why { status: 502, ..Why::of_fault(fault) } });
                }
            }
            buffer.reserve(4096);
            match timeout(self.limit, origin.read_buf(buffer)).await {
                Ok(Ok(1..)) => {}
                Ok(Ok(0)) => return Err(failure("origin", 502, "origin_closed")),
                Ok(Err(_)) => return Err(failure("origin", 502, "origin_reset")),
                Err(_) => return Err(failure("gate", 504, "origin_timeout")),
            }
        }
    }

    fn build_response(&self, response: &ResponseHead, body: Body, upgrade: bool) -> Result<BytesMut, Failure> {
        let hops = hop_by_hop(&response.fields)
            .map_err(|fault| Failure { by: "origin", why: Why { status: 502, ..Why::of_fault(fault) } })?;
        let mut out = BytesMut::with_capacity(1024);
        let status = response.status.to_string();
        put(&mut out, &[b"HTTP/1.1 ", status.as_bytes(), b" ", response.reason(), b"\r\n"]);
        for (name, value) in response.fields.iter() {
            if !hops.drops(name) {
                put(&mut out, &[name.as_bytes(), b": ", value, b"\r\n"]);
            }
        }
        put_via(&mut out, self.gate, response.version);
        if response.status < 200 && !upgrade {
            put(&mut out, &[b"\r\n"]);
            return Ok(out);
        }
        let streamed = matches!(body, Body::Chunked | Body::UntilClose);
        if streamed && self.head.version == Version::Http11 {
            put(&mut out, &[b"Transfer-Encoding: chunked\r\n"]);
        }
        let connection: &[u8] = match (upgrade, self.keep) {
            (true, _) => b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            (false, true) => b"Connection: keep-alive\r\n\r\n",
            (false, false) => b"Connection: close\r\n\r\n",
        };
        put(&mut out, &[connection]);
        Ok(out)
    }
}

async fn write_all(to: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8], limit: Duration) -> Result<(), ()> {
    match timeout(limit, to.write_all(bytes)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}

/// Reads one body by its framing and copies it, re-framed, a buffer at a time.
struct BodyReader<'r, 's> {
    from: &'r mut ReadHalf<'s>,
    buffer: &'r mut BytesMut,
    body: Body,
    limit: Duration,
}

impl<'r, 's> BodyReader<'r, 's> {
    fn new(from: &'r mut ReadHalf<'s>, buffer: &'r mut BytesMut, body: Body, limit: Duration) -> Self {
        Self { from, buffer, body, limit }
    }

    async fn copy(
        &mut self,
        to: &mut WriteHalf<'_>,
        chunked: bool,
        count: &mut u64,
        from_name: &'static str,
        to_name: &'static str,
    ) -> Result<(), Failure> {
        let mut left = match self.body {
            Body::None => return Ok(()),
            Body::Length(length) => length,
            Body::Chunked | Body::UntilClose => u64::MAX,
        };
        let mut chunks = (self.body == Body::Chunked).then(ChunkedReader::new);
        let mut out = BytesMut::new();
        while left > 0 {
            out.clear();
            let mut end = None;
            if let Some(reader) = &mut chunks {
                end = decode(reader, self.buffer, &mut out, chunked)
                    .map_err(|fault| Failure { by: from_name, why: Why { status: 502, ..Why::of_fault(fault) } })?;
            } else {
                let take = self.buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                put_data(&mut out, &self.buffer.split_to(take), chunked);
                left -= take as u64;
            }
            if let Some(trailers) = &end {
                if chunked {
                    encode_last_chunk(&mut out, trailers);
                }
                left = 0;
            }
            if !out.is_empty() {
                write_all(to, &out, self.limit).await.map_err(|()| failure(to_name, 502, "write_failed"))?;
                *count += out.len() as u64;
            }
            if left > 0 && !self.read_more(from_name).await? {
                if self.body == Body::UntilClose {
                    break;
                }
                return Err(failure(from_name, 502, "body_too_short"));
            }
        }
        if self.body == Body::UntilClose && chunked {
            write_all(to, b"0\r\n\r\n", self.limit).await.map_err(|()| failure(to_name, 502, "write_failed"))?;
        }
        Ok(())
    }

    /// False at the end of the stream.
    async fn read_more(&mut self, name: &'static str) -> Result<bool, Failure> {
        self.buffer.reserve(16 * 1024);
        match timeout(self.limit, self.from.read_buf(self.buffer)).await {
            Ok(Ok(0)) => Ok(false),
            Ok(Ok(_)) => Ok(true),
            Ok(Err(_)) => Err(failure(name, 502, "reset")),
            Err(_) => Err(failure(name, 504, "body_timeout")),
        }
    }
}

fn put_data(out: &mut BytesMut, data: &[u8], chunked: bool) {
    let Some(length) = NonZeroUsize::new(data.len()) else { return };
    if chunked {
        encode_chunk_head(out, length);
    }
    out.extend_from_slice(data);
    if chunked {
        out.extend_from_slice(CHUNK_DATA_END);
    }
}

/// Decodes what has arrived; the trailers once the body has ended.
fn decode(
    reader: &mut ChunkedReader,
    buffer: &mut BytesMut,
    out: &mut BytesMut,
    chunked: bool,
) -> Result<Option<Fields>, Fault> {
    loop {
        match reader.step(buffer)? {
            Step::Data { data, consumed } => {
                put_data(out, data, chunked);
                let _ = buffer.split_to(consumed);
            }
            Step::NeedMore { consumed } => {
                let _ = buffer.split_to(consumed);
                return Ok(None);
            }
            Step::End { consumed, trailers } => {
                let _ = buffer.split_to(consumed);
                return Ok(Some(trailers));
            }
        }
    }
}
