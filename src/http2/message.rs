//! Heads of HTTP/2 as those of HTTP/1.1, and back (RFC 9113 §8).

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri, Version};

use crate::parse::{Body, Fault, Fields, HopByHop, RequestHead, ResponseHead, hop_by_hop};

use super::server::Door;

/// What a stream is for, by its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// A head alone.
    None,
    /// As many bytes as its Content-Length says: HTTP/2 has checked that it is one number and holds it to that.
    Length,
    /// The chunked coding.
    Chunked,
}

impl Framing {
    fn of(fields: &HeaderMap, ended: bool) -> Self {
        match (ended, fields.contains_key(CONTENT_LENGTH)) {
            (true, _) => Self::None,
            (false, true) => Self::Length,
            (false, false) => Self::Chunked,
        }
    }
}

/// A request as HTTP/1.1 has it: what a client asks of a proxy in the forms for that, what it asks of an origin by its
/// path. A Host beside an `:authority` that says the same is left out; of two that differ both stay, for the reader
/// to refuse. Crumbs of cookies are put together (RFC 9113 §8.2.3).
pub(super) fn request_text(request: &Request<()>, ended: bool, door: Door) -> (BytesMut, Framing) {
    let (uri, fields) = (request.uri(), request.headers());
    let mut text = BytesMut::with_capacity(1024);
    let authority = uri.authority().map(|authority| authority.as_str());
    let path = uri.path_and_query().map_or("", |path| path.as_str());
    put(&mut text, &[request.method().as_str().as_bytes(), b" "]);
    let is_own_scheme = uri.scheme_str() == Some("https");
    match (door, authority) {
        _ if *request.method() == Method::CONNECT => put(&mut text, &[authority.unwrap_or("-").as_bytes()]),
        // `*` is of the server as a whole.
        (Door::Inside, _) if is_own_scheme => put(&mut text, &[path.as_bytes()]),
        (Door::Inside | Door::Proxy, authority) => {
            let scheme = uri.scheme_str().unwrap_or("-");
            let path = if path == "*" { "" } else { path };
            put(&mut text, &[scheme.as_bytes(), b"://", authority.unwrap_or("-").as_bytes(), path.as_bytes()]);
        }
    }
    put(&mut text, &[b" HTTP/1.1\r\n"]);
    if let Some(authority) = authority {
        put(&mut text, &[b"host: ", authority.as_bytes(), b"\r\n"]);
    }
    let says_the_same =
        |value: &HeaderValue| authority.is_some_and(|authority| value.as_bytes() == authority.as_bytes());
    let mut crumbs = Vec::new();
    for (name, value) in fields {
        if *name == COOKIE {
            crumbs.push(value.as_bytes());
        } else if !(*name == HOST && says_the_same(value)) {
            put(&mut text, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
        }
    }
    if !crumbs.is_empty() {
        put(&mut text, &[b"cookie: ", &crumbs.join(&b"; "[..]), b"\r\n"]);
    }
    let framing = Framing::of(fields, ended);
    if framing == Framing::Chunked && *request.method() != Method::CONNECT {
        put(&mut text, &[b"transfer-encoding: chunked\r\n"]);
    }
    put(&mut text, &[b"\r\n"]);
    (text, framing)
}

/// The message for an origin: all that is of one connection stays behind, but for TE, which says that trailers are
/// taken.
pub(super) fn request_message(head: &RequestHead) -> Result<Request<()>, Fault> {
    let hops = hop_by_hop(&head.fields)?;
    let host = head.fields.get("host").and_then(|host| str::from_utf8(host).ok()).ok_or(Fault::MissingHost)?;
    let path = str::from_utf8(head.target()).map_err(|_| Fault::BadTarget)?;
    let uri = Uri::builder().scheme("https").authority(host).path_and_query(path).build();
    let mut request = Request::new(());
    *request.uri_mut() = uri.map_err(|_| Fault::BadTarget)?;
    *request.method_mut() = Method::from_bytes(head.method().as_bytes()).map_err(|_| Fault::BadMethod)?;
    *request.version_mut() = Version::HTTP_2;
    copy_fields(&head.fields, &hops, |name| name == HOST, request.headers_mut())?;
    if head.fields.elements("te").any(|coding| coding.eq_ignore_ascii_case(b"trailers")) {
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
    }
    Ok(request)
}

/// The message for a client.
pub(super) fn response_message(head: &ResponseHead) -> Result<Response<()>, Fault> {
    let hops = hop_by_hop(&head.fields)?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status).map_err(|_| Fault::BadStatusLine)?;
    *response.version_mut() = Version::HTTP_2;
    copy_fields(&head.fields, &hops, |_| false, response.headers_mut())?;
    Ok(response)
}

fn copy_fields(
    from: &Fields,
    hops: &HopByHop<'_>,
    is_left_out: impl Fn(&HeaderName) -> bool,
    to: &mut HeaderMap,
) -> Result<(), Fault> {
    for (name, value) in from.iter().filter(|(name, _)| !hops.drops(name)) {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Fault::BadFieldName)?;
        if !is_left_out(&name) {
            let value = HeaderValue::from_bytes(value).map_err(|_| Fault::BadFieldValue)?;
            to.try_append(name, value).map_err(|_| Fault::TooManyFields)?;
        }
    }
    Ok(())
}

/// An answer of an origin to a request of this method, as HTTP/1.1 has it. `ended` says that no body follows.
pub(super) fn response_text(response: &Response<()>, method: &str, ended: bool) -> (BytesMut, Framing) {
    let status = response.status();
    let mut text = BytesMut::with_capacity(1024);
    put(&mut text, &[b"HTTP/1.1 ", status.as_str().as_bytes(), b" "]);
    put(&mut text, &[status.canonical_reason().unwrap_or_default().as_bytes(), b"\r\n"]);
    for (name, value) in response.headers() {
        put(&mut text, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    let framing = Framing::of(response.headers(), ended);
    let has_none = method == "HEAD" || status.is_informational() || matches!(status.as_u16(), 204 | 304);
    match framing {
        Framing::Chunked if !has_none => put(&mut text, &[b"transfer-encoding: chunked\r\n"]),
        Framing::None if !has_none && !response.headers().contains_key(CONTENT_LENGTH) => {
            put(&mut text, &[b"content-length: 0\r\n"]);
        }
        Framing::None | Framing::Length | Framing::Chunked => {}
    }
    put(&mut text, &[b"\r\n"]);
    (text, if has_none { Framing::None } else { framing })
}

/// The end of a chunked body, with the trailers of a stream.
pub(super) fn last_chunk(trailers: Option<&HeaderMap>) -> Bytes {
    let mut text = BytesMut::from(&b"0\r\n"[..]);
    for (name, value) in trailers.into_iter().flatten() {
        put(&mut text, &[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"]);
    }
    put(&mut text, &[b"\r\n"]);
    text.freeze()
}

/// The trailers of a chunked body, for a stream.
pub(super) fn trailers_message(trailers: &Fields) -> Result<HeaderMap, Fault> {
    let mut message = HeaderMap::new();
    copy_fields(trailers, &hop_by_hop(trailers)?, |_| false, &mut message)?;
    Ok(message)
}

/// Whether nothing is read behind a head with this body.
pub(super) fn has_no_body(body: Body) -> bool {
    matches!(body, Body::None | Body::Length(0))
}

fn put(text: &mut BytesMut, parts: &[&[u8]]) {
    for part in parts {
        text.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests;
