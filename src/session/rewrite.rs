//! Rebuilds heads from the values that were judged: order and case of the fields kept, hop-by-hop
//! fields left out, framing written anew (RFC 9110 §7.6, RFC 9112 §6).

use bytes::BytesMut;

use crate::facts::Target;
use crate::parse::{Body, Fault, Fields, RequestHead, ResponseHead, Version, hop_by_hop, via_line};
use crate::policy::SetField;
use crate::upstream::Credentials;

/// The request as it goes to the origin; Host is the judged target's. `forwards` is the Max-Forwards it
/// came with, where that counts.
pub(super) fn request(
    head: &RequestHead,
    target: &Target,
    body: Body,
    upgrade: bool,
    forwards: Option<u32>,
    via: Option<&str>,
) -> Result<BytesMut, Fault> {
    let hops = hop_by_hop(&head.fields)?;
    let mut out = BytesMut::with_capacity(1024);
    let path = target.path.as_ref().map_or("/", |path| path.as_str());
    put(&mut out, &[head.method().as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1\r\n"]);
    let host = authority(target);
    if head.fields.get("host").is_none() {
        put(&mut out, &[b"Host: ", host.as_bytes(), b"\r\n"]);
    }
    // Over HTTP/2 it says nothing else, and remote procedure calls are refused without it. Trailers pass here.
    let takes_trailers = head.version == Version::Http2 && head.fields.get("te").is_some();
    for (name, value) in head.fields.iter() {
        if name.eq_ignore_ascii_case("host") {
            put(&mut out, &[name.as_bytes(), b": ", host.as_bytes(), b"\r\n"]);
        } else if name.eq_ignore_ascii_case("content-length") {
            // As it was understood, where it stood.
            if let Body::Length(length) = body {
                put(&mut out, &[name.as_bytes(), b": ", length.to_string().as_bytes(), b"\r\n"]);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            if body == Body::Chunked {
                put(&mut out, &[name.as_bytes(), b": chunked\r\n"]);
            }
        } else if let Some(forwards) = forwards.filter(|_| name.eq_ignore_ascii_case("max-forwards")) {
            let left = forwards.saturating_sub(1).to_string();
            put(&mut out, &[name.as_bytes(), b": ", left.as_bytes(), b"\r\n"]);
        } else if takes_trailers && name.eq_ignore_ascii_case("te") {
            put(&mut out, &[name.as_bytes(), b": trailers\r\n"]);
        } else if hops.drops(name) || (name.eq_ignore_ascii_case("expect") && head.version == Version::Http10) {
            // What an HTTP/1.0 client expects is ignored (RFC 9110 §10.1.1).
        } else {
            put(&mut out, &[name.as_bytes(), b": ", value, b"\r\n"]);
        }
    }
    put_via(&mut out, via, head.version);
    put(
        &mut out,
        &[match (upgrade, takes_trailers) {
            (true, _) => b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            // It is of this connection (RFC 9110 section 10.1.4).
            (false, true) => b"Connection: TE\r\n\r\n",
            (false, false) => b"\r\n".as_slice(),
        }],
    );
    Ok(out)
}

/// The same with these fields set, in place of what the client has sent under their names. They stand last.
pub(super) fn with_fields(request: &[u8], set: &[SetField]) -> BytesMut {
    let mut out = BytesMut::with_capacity(request.len() + 256);
    // Its lines are our own, each with its end.
    for (number, line) in request.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let is_set = |field: &SetField| name.eq_ignore_ascii_case(field.name.as_bytes());
        if line == b"\r\n" {
            for field in set {
                put(&mut out, &[field.name.as_bytes(), b": ", field.value.as_bytes(), b"\r\n"]);
            }
        }
        if number == 0 || !set.iter().any(is_set) {
            out.extend_from_slice(line);
        }
    }
    out
}

/// The same request for a parent that finds the origin itself: with the whole URL in its line (RFC 9112
/// §3.2.2) and, behind that, what the parent is shown.
pub(super) fn absolute(
    origin_form: &[u8],
    head: &RequestHead,
    target: &Target,
    credentials: Option<&Credentials>,
) -> Vec<u8> {
    let (method, rest) = origin_form.split_at(head.method().len() + 1);
    // To the server as a whole an empty path leads, not an asterisk (RFC 9112 §3.2.4).
    let rest = rest.strip_prefix(b"*").unwrap_or(rest);
    let line_end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |at| at + 1);
    let (line, fields) = rest.split_at(line_end);
    let mut out = [method, b"http://", authority(target).as_bytes(), line].concat();
    if let Some(credentials) = credentials {
        out.extend_from_slice(format!("Proxy-Authorization: {}\r\n", credentials.field_value()).as_bytes());
    }
    out.extend_from_slice(fields);
    out
}

/// Host, and the port where it is not http's own.
fn authority(target: &Target) -> String {
    if target.port == target.scheme.default_port() {
        target.host.to_string()
    } else {
        format!("{}:{}", target.host, target.port)
    }
}

/// What the head of a response says of the client's connection behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// An interim response: the final one is still to come.
    Interim,
    /// The connection carries a WebSocket.
    Upgrade,
    Keep,
    Close,
}

/// The response as it goes to a client of this version.
pub(super) fn response(
    head: &ResponseHead,
    chunked: bool,
    after: After,
    client: Version,
    via: Option<&str>,
) -> Result<BytesMut, Fault> {
    let hops = hop_by_hop(&head.fields)?;
    let mut out = BytesMut::with_capacity(1024);
    let digits = |n: u16| b'0' + u8::try_from(n % 10).unwrap_or_default();
    let status = [digits(head.status / 100), digits(head.status / 10), digits(head.status)];
    put(&mut out, &[b"HTTP/1.1 ", &status, b" ", head.reason(), b"\r\n"]);
    for (name, value) in head.fields.iter() {
        if !hops.drops(name) {
            put(&mut out, &[name.as_bytes(), b": ", value, b"\r\n"]);
        }
    }
    put_via(&mut out, via, head.version);
    if chunked {
        put(&mut out, &[b"Transfer-Encoding: chunked\r\n"]);
    }
    let connection: &[u8] = match after {
        After::Interim => b"\r\n",
        After::Upgrade => b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        After::Keep if client == Version::Http10 => b"Connection: keep-alive\r\n\r\n",
        After::Keep => b"\r\n",
        After::Close => b"Connection: close\r\n\r\n",
    };
    put(&mut out, &[connection]);
    Ok(out)
}

/// A WebSocket handshake (RFC 6455 §4.1), the one upgrade that is passed on.
pub(super) fn is_websocket(head: &RequestHead, body: Body) -> bool {
    head.method() == "GET"
        && head.version == Version::Http11
        && body == Body::None
        && asks_upgrade(&head.fields)
        && head.fields.get("upgrade").is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
}

/// Whether this 101 switches to what was asked for.
pub(super) fn agrees_to_websocket(head: &ResponseHead) -> bool {
    head.fields.get("upgrade").is_some_and(|value| value.eq_ignore_ascii_case(b"websocket"))
}

fn asks_upgrade(fields: &Fields) -> bool {
    fields.elements("connection").any(|option| option.eq_ignore_ascii_case(b"upgrade"))
}

fn put(out: &mut BytesMut, parts: &[&[u8]]) {
    for part in parts {
        out.extend_from_slice(part);
    }
}

fn put_via(out: &mut BytesMut, via: Option<&str>, version: Version) {
    if let Some(name) = via {
        put(out, &[via_line(version, name).as_bytes()]);
    }
}
