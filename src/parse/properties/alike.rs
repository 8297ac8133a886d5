//! Another reader of requests, which shares nothing with ours and forgives what readers out there forgive: a line that
//! ends with LF alone, folded lines, spaces around a name, lengths that are repeated, a user in an authority. What ours
//! takes, this one must read in the same way.

use bytes::BytesMut;

use super::super::*;

/// Requests read in a row from one connection.
const REQUESTS_MAX: usize = 8;

/// Any bytes as what a client sends on one connection: requests, one behind the other.
///
/// Each that we take and understand has, to a reader that forgives, the same method, target, fields, host and port, and
/// its body the same bytes, so that both find the next request at the same place.
pub fn read_alike(mut bytes: &[u8]) {
    for _ in 0..REQUESTS_MAX {
        let mut buffer = BytesMut::from(bytes);
        let Ok(Some(head)) = take_request_head(&mut buffer, &HeadLimits::default(), &mut 0) else { return };
        let taken = bytes.len() - buffer.len();
        let Ok(request) = understand(head) else { return };
        let shown = || bytes.escape_ascii().to_string();
        let theirs = Theirs::read(bytes).unwrap_or_else(|| panic!("nobody else reads a head: {}", shown()));
        assert_eq!(theirs.taken, taken, "where the head ends: {}", shown());
        let head = &request.head;
        assert_eq!((theirs.method.as_slice(), theirs.target.as_slice()), (head.method().as_bytes(), head.target()));
        let ours: Vec<_> = head.fields.iter().map(|(name, value)| (lower(name.as_bytes()), value.to_vec())).collect();
        assert_eq!(theirs.fields, ours, "{}", shown());
        match &request.form {
            Form::Absolute(target) | Form::Connect(target) => same_place(&theirs, target),
            Form::Origin(_) => {}
        }
        let Some(used) = same_body(&theirs, request.body, &bytes[taken..]) else { return };
        bytes = &bytes[taken + used..];
    }
}

/// How long the body is, if all of it is there.
fn same_body(theirs: &Theirs, ours: Body, rest: &[u8]) -> Option<usize> {
    let shown = || rest.escape_ascii().to_string();
    match (ours, theirs.chunked) {
        (Body::None, false) => assert_eq!(theirs.length.unwrap_or(0), 0),
        (Body::Length(length), false) => {
            assert_eq!(theirs.length, Some(length));
            return usize::try_from(length).ok().filter(|length| *length <= rest.len());
        }
        (Body::Chunked, true) => {
            let (mut reader, mut at, mut data) = (ChunkedReader::new(), 0, Vec::new());
            loop {
                match reader.step(&rest[at..]).ok()? {
                    Step::Data { data: more, consumed } => (at, _) = (at + consumed, data.extend_from_slice(more)),
                    Step::NeedMore { .. } => return None,
                    Step::End { consumed, .. } => {
                        let read = dechunked(rest).unwrap_or_else(|| panic!("nobody else reads this: {}", shown()));
                        assert_eq!(read, (data, at + consumed), "{}", shown());
                        return Some(at + consumed);
                    }
                }
            }
        }
        (Body::None | Body::Length(_) | Body::Chunked | Body::UntilClose, _) => {
            panic!("{ours:?} of {:?} and chunked {}", theirs.length, theirs.chunked)
        }
    }
    Some(0)
}

/// The host and port of the target are those that they would dial.
fn same_place(theirs: &Theirs, ours: &crate::facts::Target) {
    let target = String::from_utf8_lossy(&theirs.target).into_owned();
    let authority = target.split_once("://").map_or(&*target, |(_, rest)| rest);
    let authority = authority.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let colon = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let (host, port) = colon.map_or((authority, "80"), |at| (&authority[..at], &authority[at + 1..]));
    assert_eq!(port.parse(), Ok(ours.port), "{target}");
    let address = |text: &str| text.trim_matches(['[', ']']).parse::<std::net::IpAddr>().ok();
    let ours = ours.host.to_string();
    match (address(host), address(&ours)) {
        (Some(theirs), Some(ours)) => assert_eq!(theirs.to_canonical(), ours.to_canonical(), "{target}"),
        _ => assert_eq!(host.trim_end_matches('.').to_ascii_lowercase(), ours.trim_end_matches('.'), "{target}"),
    }
}

/// A request as others read it.
struct Theirs {
    method: Vec<u8>,
    target: Vec<u8>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    chunked: bool,
    length: Option<u64>,
    taken: usize,
}

impl Theirs {
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut at = 0;
        let mut first = line(bytes, &mut at)?;
        while first.is_empty() {
            first = line(bytes, &mut at)?;
        }
        let mut words = first.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (method, target) = (words.next()?.to_vec(), words.next()?.to_vec());
        words.next().filter(|version| version.starts_with(b"HTTP/1."))?;
        let mut fields: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        loop {
            let line = line(bytes, &mut at)?;
            match line.first() {
                None => break,
                Some(b' ' | b'\t') => {
                    let (_, value) = fields.last_mut()?;
                    value.extend_from_slice(&[b" ", line.trim_ascii()].concat());
                }
                Some(_) => {
                    let colon = line.iter().position(|byte| *byte == b':')?;
                    fields.push((lower(line[..colon].trim_ascii()), line[colon + 1..].trim_ascii().to_vec()));
                }
            }
        }
        let all = |name: &[u8]| {
            let values = fields.iter().filter(|(known, _)| *known == name).map(|(_, value)| lower(value));
            values.collect::<Vec<_>>().join(&b","[..])
        };
        let codings = all(b"transfer-encoding");
        let chunked = codings.rsplit(|byte| *byte == b',').next().is_some_and(|last| last.trim_ascii() == b"chunked");
        let lengths = all(b"content-length");
        let length = str::from_utf8(lengths.split(|byte| *byte == b',').next()?.trim_ascii()).ok()?.parse().ok();
        Some(Self { method, target, fields, chunked, length, taken: at })
    }
}

/// The next line, without its end.
fn line<'b>(bytes: &'b [u8], at: &mut usize) -> Option<&'b [u8]> {
    let rest = bytes.get(*at..)?;
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    *at += end + 1;
    Some(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]))
}

fn lower(bytes: &[u8]) -> Vec<u8> {
    bytes.to_ascii_lowercase()
}

/// The data of a chunked body, and how many bytes it took.
fn dechunked(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut at, mut data) = (0, Vec::new());
    loop {
        let size = line(bytes, &mut at)?.split(|byte| *byte == b';').next()?.trim_ascii();
        let size = usize::from_str_radix(str::from_utf8(size).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        data.extend_from_slice(bytes.get(at..at.checked_add(size)?)?);
        at += size;
        // What stands between the data and the end of its line is passed over.
        line(bytes, &mut at)?;
    }
    while !line(bytes, &mut at)?.is_empty() {}
    Some((data, at))
}
