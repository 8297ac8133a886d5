//! Where a body ends (RFC 9112 section 6), whether the connection outlives the message (section
//! 9.3), and whether the client waits for a go-ahead (RFC 9110 section 10.1.1).

use super::chunked::{ChunkedReader, Step};
use super::fault::Fault;
use super::fields::Fields;
use super::head::{RequestHead, ResponseHead, Version};

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// No byte of body follows.
    None,
    /// Exactly this many bytes follow; 0 when a length of 0 was announced.
    Length(u64),
    /// The chunked coding follows.
    Chunked,
    /// Everything until the connection ends. Responses only.
    UntilClose,
}

/// The body of a request (RFC 9112 section 6.3), or why its length could be read in two ways.
///
/// CONNECT may announce nothing but a length of 0: bytes behind it belong to the tunnel.
pub fn request_body(head: &RequestHead) -> Result<Body, Fault> {
    let body = announced(head.version, &head.fields, Fault::SeveralContentLengths)?;
    match body {
        None => Ok(Body::None),
        Some(body) if head.method() != "CONNECT" => Ok(body),
        Some(Body::Length(0)) => Ok(Body::None),
        Some(_) => Err(Fault::BodyOnConnect),
    }
}

/// The body of the response to a request of this method (RFC 9112 section 6.3).
///
/// A 2xx to CONNECT opens a tunnel and is the caller's. A response to HEAD and a 304 may announce
/// what they do not carry; a 1xx or 204 that announces a body is refused, since a reader that
/// believes it takes the next response for that body.
pub fn response_body(request_method: &str, head: &ResponseHead) -> Result<Body, Fault> {
    let body = announced(head.version, &head.fields, Fault::SeveralLengths)?;
    match (head.status, body) {
        (100..=199 | 204, None | Some(Body::Length(0))) => Ok(Body::None),
        (100..=199 | 204, Some(Body::Length(_))) => Err(Fault::BadContentLength),
        (100..=199 | 204, Some(_)) => Err(Fault::BadTransferEncoding),
        (304, _) => Ok(Body::None),
        _ if request_method == "HEAD" => Ok(Body::None),
        (_, Some(body)) => Ok(body),
        (_, None) => Ok(Body::UntilClose),
    }
}

/// Looks at what has arrived behind a head: the fault that the body has already, if any. Nothing is
/// taken, and a body that is not whole yet is no fault.
pub fn check_ahead(body: Body, arrived: &[u8]) -> Result<(), Fault> {
    if body != Body::Chunked {
        return Ok(());
    }
    let mut reader = ChunkedReader::new();
    let mut at = 0;
    loop {
        match reader.step(arrived.get(at..).unwrap_or_default())? {
            Step::Data { consumed, .. } => at += consumed,
            Step::NeedMore { .. } | Step::End { .. } => return Ok(()),
        }
    }
}

/// Whether the sender of this head keeps its connection open behind the message (RFC 9112 section
/// 9.3): `close` wins, then the version's habit, then `keep-alive`.
pub fn keep_alive(version: Version, fields: &Fields) -> bool {
    let mut asked = false;
    for option in fields.elements("connection") {
        if option.eq_ignore_ascii_case(b"close") {
            return false;
        }
        asked |= option.eq_ignore_ascii_case(b"keep-alive");
    }
    match version {
        Version::Http11 | Version::Http2 => true,
        Version::Http10 => asked,
    }
}

/// Whether the client waits for `100 Continue`. An HTTP/1.0 client cannot, so its Expect counts
/// for nothing; any other expectation cannot be met.
pub fn expects_continue(head: &RequestHead) -> Result<bool, Fault> {
    if head.version == Version::Http10 {
        return Ok(false);
    }
    let mut values = head.fields.get_all("expect");
    match (values.next(), values.next()) {
        (None, _) => Ok(false),
        (Some(value), None) if value.eq_ignore_ascii_case(b"100-continue") => Ok(true),
        _ => Err(Fault::BadExpect),
    }
}

/// What the framing fields announce, `None` when there are none.
fn announced(version: Version, fields: &Fields, several: Fault) -> Result<Option<Body>, Fault> {
    let mut lengths = fields.get_all("content-length");
    let mut codings = fields.get_all("transfer-encoding");
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(Fault::ContentLengthAndTransferEncoding),
        (Some(_), None) if lengths.next().is_some() => Err(several),
        (Some(length), None) => content_length(length).map(|length| Some(Body::Length(length))),
        (None, Some(_)) if version == Version::Http10 => Err(Fault::TransferEncodingInHttp10),
        (None, Some(coding)) => {
            if codings.next().is_none() && coding.eq_ignore_ascii_case(b"chunked") {
                Ok(Some(Body::Chunked))
            } else {
                Err(Fault::BadTransferEncoding)
            }
        }
    }
}

/// Below 2^63, as readers that hold lengths in a signed number go astray from there on.
fn content_length(value: &[u8]) -> Result<u64, Fault> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return Err(Fault::BadContentLength);
    }
    let length = value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    if length >= 1 << 63 { Err(Fault::BadContentLength) } else { Ok(length) }
}

#[cfg(test)]
mod tests;
