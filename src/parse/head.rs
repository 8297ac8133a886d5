//! Request and response heads, read strictly (RFC 9112 sections 2 to 5).

use bytes::{Bytes, BytesMut};

use super::fault::Fault;
use super::fields::{Fields, Section, find_end, is_token};

/// No head is read beyond this many bytes, whatever the limit asked for.
const HEAD_BYTES_CEILING: usize = 1 << 20;
const METHOD_BYTES_MAX: usize = 32;

/// How much of a head is taken before it is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes from the first to the empty line, both included; more than 1 MiB counts as 1 MiB.
    pub bytes_max: usize,
    /// Fields; more than 256 count as 256.
    pub fields_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { bytes_max: 64 * 1024, fields_max: 128 }
    }
}

/// The version that a message came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
    /// Never read of a head itself: it came on a stream, and was put into the words of HTTP/1.1.
    Http2,
}

impl Version {
    /// The number, as `Via` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
            Version::Http2 => "2",
        }
    }
}

/// The head of one request.
#[derive(Debug, Clone)]
pub struct RequestHead {
    line: Bytes,
    method_len: usize,
    target_len: usize,
    pub version: Version,
    pub fields: Fields,
}

impl RequestHead {
    /// The method as sent: a token of at most 32 bytes. Methods are case-sensitive.
    pub fn method(&self) -> &str {
        str::from_utf8(&self.line[..self.method_len]).unwrap_or_default()
    }

    /// The target as sent: at least one byte, all from 0x21 to 0x7e. In which form it is has not
    /// been judged.
    pub fn target(&self) -> &[u8] {
        let at = self.method_len + 1;
        &self.line[at..at + self.target_len]
    }
}

/// The head of one response.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    line: Bytes,
    /// From 100 to 999.
    pub status: u16,
    pub version: Version,
    pub fields: Fields,
}

impl ResponseHead {
    /// The reason phrase as sent, often empty.
    pub fn reason(&self) -> &[u8] {
        self.line.get(STATUS_LINE_REASON_AT..).unwrap_or_default()
    }
}

/// `HTTP/1.1 200 `
const STATUS_LINE_REASON_AT: usize = 13;

/// Takes one request head off the front of `buffer` and leaves what follows it in place.
///
/// `Ok(None)` asks for more bytes; `buffer` is then as it was, and the next call must see the same
/// bytes with more behind them. `scanned` starts at 0, belongs to the buffer, and is 0 again behind
/// each head; it keeps the cost linear when bytes come one by one. One empty line before the
/// request is passed over (RFC 9112 section 2.2). After a fault the connection cannot be resumed.
pub fn take_request_head(
    buffer: &mut BytesMut,
    limits: &HeadLimits,
    scanned: &mut usize,
) -> Result<Option<RequestHead>, Fault> {
    let start = if buffer.starts_with(b"\r\n") { 2 } else { 0 };
    let check = |line: &[u8]| request_line(line).map(|_| ());
    let Some(head) = take_head(Section::Request, buffer, start, limits, scanned, check)? else {
        return Ok(None);
    };
    let (method_len, target_len, version) = request_line(&head.line)?;
    Ok(Some(RequestHead { line: head.line, method_len, target_len, version, fields: head.fields }))
}

/// Takes one response head off the front of `buffer`; otherwise as [`take_request_head`].
pub fn take_response_head(
    buffer: &mut BytesMut,
    limits: &HeadLimits,
    scanned: &mut usize,
) -> Result<Option<ResponseHead>, Fault> {
    let check = |line: &[u8]| status_line(line).map(|_| ());
    let Some(head) = take_head(Section::Response, buffer, 0, limits, scanned, check)? else {
        return Ok(None);
    };
    let (version, status) = status_line(&head.line)?;
    Ok(Some(ResponseHead { line: head.line, status, version, fields: head.fields }))
}

struct TakenHead {
    line: Bytes,
    fields: Fields,
}

fn take_head(
    section: Section,
    buffer: &mut BytesMut,
    start: usize,
    limits: &HeadLimits,
    scanned: &mut usize,
    first_line: impl Fn(&[u8]) -> Result<(), Fault>,
) -> Result<Option<TakenHead>, Fault> {
    let bytes_max = limits.bytes_max.min(HEAD_BYTES_CEILING);
    let seen = &buffer[..buffer.len().min(bytes_max)];
    let Some(end) = find_end(section, seen, start, scanned, first_line)? else {
        return if seen.len() == bytes_max { Err(Fault::HeadTooLong) } else { Ok(None) };
    };
    let head = buffer.split_to(end).freeze();
    *scanned = 0;
    let line_len = head[start..].iter().position(|&byte| byte == b'\r').unwrap_or_default();
    let line = head.slice(start..start + line_len);
    let fields = Fields::read(head, start + line_len + 2, limits.fields_max)?;
    Ok(Some(TakenHead { line, fields }))
}

/// The lengths of method and target, and the version.
fn request_line(line: &[u8]) -> Result<(usize, usize, Version), Fault> {
    if line.is_empty() {
        return Err(Fault::LeadingEmptyLine);
    }
    if line == b"PRI * HTTP/2.0" {
        return Err(Fault::Http2Preface);
    }
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Fault::BadRequestLine);
    };
    if method.is_empty() || target.is_empty() || version.is_empty() || line.contains(&b'\t') {
        return Err(Fault::BadRequestLine);
    }
    if method.len() > METHOD_BYTES_MAX || !is_token(method) {
        return Err(Fault::BadMethod);
    }
    if !target.iter().all(u8::is_ascii_graphic) {
        let in_host = authority_part(target).iter().any(|byte| !byte.is_ascii());
        return Err(if in_host { Fault::NonAsciiHost } else { Fault::BadTarget });
    }
    let version = version_of(version).ok_or(Fault::BadVersion)?;
    Ok((method.len(), target.len(), version))
}

/// Where a target that is refused anyway would have its host: behind `://`, or all of what CONNECT is
/// given.
fn authority_part(target: &[u8]) -> &[u8] {
    let rest = match target.windows(3).position(|window| window == b"://") {
        Some(at) => &target[at + 3..],
        None if target.starts_with(b"/") => return &[],
        None => target,
    };
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    &rest[..end]
}

/// The space before an empty reason may be missing: many servers leave it out, and nothing else
/// can be meant.
fn status_line(line: &[u8]) -> Result<(Version, u16), Fault> {
    let (version, rest) = line.split_at_checked(8).ok_or(Fault::BadStatusLine)?;
    if !version.starts_with(b"HTTP/") {
        return Err(Fault::BadStatusLine);
    }
    let version = version_of(version).ok_or(Fault::BadVersion)?;
    let ([b' ', digits @ ..], None | Some(b' ')) = (rest.get(..4).unwrap_or_default(), rest.get(4)) else {
        return Err(Fault::BadStatusLine);
    };
    if digits.first() == Some(&b'0') || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Fault::BadStatusLine);
    }
    Ok((version, digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'))))
}

fn version_of(bytes: &[u8]) -> Option<Version> {
    match bytes {
        b"HTTP/1.1" => Some(Version::Http11),
        b"HTTP/1.0" => Some(Version::Http10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
