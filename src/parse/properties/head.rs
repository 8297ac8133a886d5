use std::num::NonZeroUsize;

use bytes::BytesMut;

use super::super::*;

/// Any bytes as what a client or an origin sends: heads, and behind a head a chunked body.
///
/// In whatever pieces they arrive, the outcome is the same. What is accepted says what the bytes
/// say line by line, is free of controls, and once written out is read as the same value. Where a
/// request goes and where its body ends is told in one way.
pub fn head(bytes: &[u8]) {
    let behind = request(bytes);
    response(bytes);
    chunked(&bytes[behind..]);
}

/// Any bytes as what an origin sends: a head, and behind it the body that its framing announces.
///
/// As for `head`. To every method it has one framing, and none where it must have no body; a body in
/// chunks is read in one way. Its body has a type if it has a byte, and its fields give a bounded name or none.
pub fn response(bytes: &[u8]) {
    let Some((head, taken)) = response_head(bytes) else { return };
    saved(&head, &bytes[taken..]);
    for method in ["GET", "HEAD", "POST"] {
        match response_body(method, &head) {
            Ok(Body::Chunked) => chunked(&bytes[taken..]),
            Ok(Body::Length(_) | Body::UntilClose) => {
                assert!(method != "HEAD" && head.status >= 200 && !matches!(head.status, 204 | 304));
            }
            Ok(Body::None) | Err(_) => {}
        }
    }
}

/// As what the body of the answer would be saved.
fn saved(head: &ResponseHead, body: &[u8]) {
    let stated = String::from_utf8_lossy(head.fields.get("content-type").unwrap_or_default()).into_owned();
    let kind = BodyType::of(body);
    assert_eq!(kind, BodyType::of(&body[..body.len().min(BODY_TYPE_BYTES)]));
    assert_eq!(kind.is_none(), body.is_empty());
    assert!(
        kind.is_none_or(|kind| kind.fits("application/octet-stream") && (kind.fits(&stated) || !stated.is_empty()))
    );
    let Some(name) = FileName::of(&head.fields, str::from_utf8(body).ok()) else { return };
    let text = name.as_str();
    assert!(!text.is_empty() && text.len() <= 255 && !text.contains(['/', '\\']), "{text:?}");
    assert_eq!(name.deceives(), turns_direction(text) || double_extension(text).is_some());
    assert!(!name.is_given || head.fields.count("content-disposition") > 0);
}

type Take<H> = fn(&mut BytesMut, &HeadLimits, &mut usize) -> Result<Option<H>, Fault>;

/// The head that comes of `bytes` in pieces of this length, and how many bytes it took.
fn read<H>(take: Take<H>, bytes: &[u8], piece: usize, limits: &HeadLimits) -> Result<Option<(H, usize)>, Fault> {
    let (mut buffer, mut scanned, mut fed) = (BytesMut::new(), 0, 0);
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        fed += piece.len();
        if let Some(head) = take(&mut buffer, limits, &mut scanned)? {
            return Ok(Some((head, fed - buffer.len())));
        }
        assert_eq!(buffer, bytes[..fed], "asking for more leaves the buffer as it was");
    }
    Ok(None)
}

/// Reads whole and in pieces, under usual and narrow limits, and compares.
fn read_every_way<H>(take: Take<H>, bytes: &[u8], written: fn(&H) -> Vec<u8>) -> Option<(H, usize)> {
    let narrow = HeadLimits { bytes_max: 96, fields_max: 3 };
    for limits in [narrow, HeadLimits::default()] {
        let shown =
            |piece| read(take, bytes, piece, &limits).map(|taken| taken.map(|(head, taken)| (written(&head), taken)));
        let whole = shown(bytes.len().max(1));
        for piece in [1, 7] {
            assert_eq!(shown(piece), whole, "in pieces of {piece} and whole");
        }
    }
    read(take, bytes, bytes.len().max(1), &HeadLimits::default()).ok().flatten()
}

/// How many bytes the request head took.
fn request(bytes: &[u8]) -> usize {
    let Some((head, taken)) = read_every_way(take_request_head, bytes, write_request) else { return 0 };
    let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let written = write_request(&head);
    same_lines(&bytes[start..taken], &written);
    assert!(head.method().bytes().all(|byte| byte.is_ascii_graphic()) && head.method().len() <= 32);
    assert!(!head.target().is_empty() && head.target().iter().all(u8::is_ascii_graphic));
    connection(&head.fields);

    let again = read(take_request_head, &written, written.len(), &HeadLimits::default());
    let (again, all) = again.expect("accepted again").expect("whole");
    assert_eq!((write_request(&again), all), (written.clone(), written.len()));
    understanding(head, again);
    taken
}

fn response_head(bytes: &[u8]) -> Option<(ResponseHead, usize)> {
    let (head, taken) = read_every_way(take_response_head, bytes, write_response)?;
    let written = write_response(&head);
    // A space before an empty reason is added where it was missing.
    let line_end = bytes.iter().position(|byte| *byte == b'\r').expect("a first line");
    let mut raw = bytes[..taken].to_vec();
    if line_end == "HTTP/1.1 200".len() {
        raw.insert(line_end, b' ');
    }
    same_lines(&raw, &written);
    assert!((100..1000).contains(&head.status));
    connection(&head.fields);

    let again = read(take_response_head, &written, written.len(), &HeadLimits::default());
    let (again, all) = again.expect("accepted again").expect("whole");
    assert_eq!((write_response(&again), all), (written.clone(), written.len()));
    for method in ["GET", "HEAD"] {
        let body = response_body(method, &head);
        assert_eq!(body, response_body(method, &again));
        if let Ok(body @ (Body::Length(_) | Body::Chunked)) = body {
            announces(&head.fields, body);
        }
    }
    Some((head, taken))
}

/// By a reader of its own: the raw lines and the written ones say the same, and hold no control.
fn same_lines(raw: &[u8], written: &[u8]) {
    let lines = |bytes: &[u8]| -> Vec<Vec<u8>> {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let text = text.strip_suffix("\r\n\r\n").expect("an empty line ends a head");
        let lines = text.split("\r\n").map(|line| line.chars().map(|c| c as u8).collect::<Vec<u8>>());
        lines.collect()
    };
    let (raw, written) = (lines(raw), lines(written));
    assert_eq!(raw.len(), written.len());
    assert_eq!(raw[0], written[0]);
    for line in &raw {
        assert!(line.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control()), "{}", line.escape_ascii());
    }
    for (raw, written) in raw.iter().zip(&written).skip(1) {
        let colon = raw.iter().position(|byte| *byte == b':').expect("a colon in each field line");
        let (name, value) = raw.split_at(colon);
        assert!(!name.is_empty() && name.iter().all(u8::is_ascii_graphic), "{}", raw.escape_ascii());
        let space = |byte: &u8| matches!(byte, b' ' | b'\t');
        let value: Vec<u8> = value[1..].iter().copied().skip_while(|byte| space(byte)).collect();
        let end = value.iter().rposition(|byte| !space(byte)).map_or(0, |last| last + 1);
        assert_eq!([name, b": ", &value[..end]].concat(), *written);
    }
}

/// What belongs to the connection is never what routes, frames or authenticates.
fn connection(fields: &Fields) {
    let Ok(hops) = hop_by_hop(fields) else { return };
    for name in ["Connection", "Proxy-Connection", "Keep-Alive", "TE", "Transfer-Encoding", "Upgrade"] {
        assert!(hops.drops(name), "{name}");
    }
    for name in ["Host", "Content-Length", "Content-Type", "Authorization", "Cookie"] {
        assert!(!hops.drops(name), "{name}");
    }
}

/// The same value is understood in the same way, and only in one.
fn understanding(head: RequestHead, again: RequestHead) {
    let tunnel = parse_connect(b"a.example:80").expect("a plain target");
    let judges: [fn(RequestHead) -> Result<Request, Fault>; 2] =
        [understand, |head| understand_inner(head, &parse_connect(b"a.example:80")?, crate::facts::Scheme::Http)];
    for judge in judges {
        let (one, two) = (judge(head.clone()), judge(again.clone()));
        let shown = |request: &Request| (request.form.clone(), request.body);
        assert_eq!(one.as_ref().map(shown).map_err(|fault| *fault), two.as_ref().map(shown).map_err(|fault| *fault));
    }
    if let Ok(inner) = understand_inner(head.clone(), &tunnel, crate::facts::Scheme::Http) {
        let Form::Absolute(target) = inner.form else { panic!("a request in a tunnel has a target") };
        assert_eq!((target.host, target.port), (tunnel.host, tunnel.port));
    }
    let Ok(Request { head, form, body }) = understand(head) else { return };
    assert!(head.fields.count("host") <= 1);
    announces(&head.fields, body);
    match form {
        Form::Absolute(target) => {
            assert_ne!(head.method(), "CONNECT");
            let rebuilt = super::target::absolute(&target);
            assert_eq!(parse_absolute(rebuilt.as_bytes()), Ok(target));
        }
        Form::Connect(target) => {
            assert_eq!((head.method(), body), ("CONNECT", Body::None));
            assert_eq!(parse_connect(target.to_string().as_bytes()), Ok(target));
        }
        Form::Origin(path) => assert_eq!(path.as_str().as_bytes(), head.target()),
    }
}

/// A length is announced by one field, and not two of a kind or one of each.
fn announces(fields: &Fields, body: Body) {
    let (lengths, codings) = (fields.count("content-length"), fields.count("transfer-encoding"));
    match body {
        Body::None => assert!(lengths <= 1 && codings == 0),
        Body::Length(length) => {
            assert_eq!((lengths, codings), (1, 0));
            let digits = fields.get("content-length").map(|value| value.iter().copied().skip_while(|b| *b == b'0'));
            let digits: String = digits.expect("counted").map(char::from).collect();
            assert_eq!(digits, if length == 0 { String::new() } else { length.to_string() });
        }
        Body::Chunked => {
            assert_eq!((lengths, codings), (0, 1));
            assert!(fields.get("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked")));
        }
        Body::UntilClose => assert_eq!((lengths, codings), (0, 0)),
    }
}

/// What a chunked body came to: its data, its trailers, and how many bytes it took.
#[derive(Debug, PartialEq, Eq)]
struct Dechunked {
    data: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
    taken: usize,
    end: Result<(), Fault>,
}

/// Any bytes as a chunked body.
///
/// The reader gives the same data, end or fault however the bytes are split; a plain reader finds
/// the same; and what it gave, written again, is read again.
pub fn chunked(bytes: &[u8]) {
    let whole = dechunk(bytes, bytes.len().max(1));
    for piece in [1, 5] {
        assert_eq!(dechunk(bytes, piece), whole, "in pieces of {piece} and whole");
    }
    let Dechunked { data, trailers, taken, end: Ok(()) } = whole else { return };
    assert!(trailers.len() <= 32 && taken <= bytes.len());
    assert_eq!(plainly_dechunked(&bytes[..taken]), data);

    let mut out = BytesMut::new();
    for chunk in data.chunks(9) {
        encode_chunk_head(&mut out, NonZeroUsize::new(chunk.len()).expect("chunks are not empty"));
        out.extend_from_slice(chunk);
        out.extend_from_slice(CHUNK_DATA_END);
    }
    out.extend_from_slice(b"0\r\n");
    for (name, value) in &trailers {
        out.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    out.extend_from_slice(b"\r\n");
    assert_eq!(dechunk(&out, out.len()), Dechunked { data, trailers, taken: out.len(), end: Ok(()) });
}

fn dechunk(bytes: &[u8], piece: usize) -> Dechunked {
    let mut reader = ChunkedReader::new();
    let mut found = Dechunked { data: Vec::new(), trailers: Vec::new(), taken: 0, end: Ok(()) };
    for piece in bytes.chunks(piece) {
        let mut at = 0;
        while at < piece.len() {
            match reader.step(&piece[at..]) {
                Ok(Step::Data { data, consumed }) => {
                    assert!(!data.is_empty() && consumed >= data.len());
                    found.data.extend_from_slice(data);
                    at += consumed;
                }
                Ok(Step::NeedMore { consumed }) => {
                    assert_eq!(consumed, piece.len() - at);
                    at += consumed;
                }
                Ok(Step::End { consumed, trailers }) => {
                    found.trailers = trailers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
                    found.taken += at + consumed;
                    assert_eq!(reader.finish(), Ok(()));
                    return found;
                }
                Err(fault) => {
                    assert_eq!((reader.step(b"0\r\n\r\n").err(), reader.finish()), (Some(fault), Err(fault)));
                    // How much is taken before a fault depends on the pieces; nothing rests on it.
                    found.taken = 0;
                    found.end = Err(fault);
                    return found;
                }
            }
        }
        found.taken += piece.len();
    }
    found.end = reader.finish();
    found
}

/// The data of a whole chunked body by RFC 9112 section 7.1, without extensions.
fn plainly_dechunked(mut rest: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("a size line");
        let digits = str::from_utf8(&rest[..end]).expect("digits are ascii");
        assert!((1..=16).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let size = usize::from_str_radix(digits, 16).expect("below 2^63");
        rest = &rest[end + 2..];
        if size == 0 {
            assert!(rest.ends_with(b"\r\n") && (rest.len() == 2 || rest.ends_with(b"\r\n\r\n")));
            return data;
        }
        data.extend_from_slice(&rest[..size]);
        rest = rest[size..].strip_prefix(b"\r\n").expect("the end of a chunk");
    }
}

fn version(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"HTTP/1.0",
        Version::Http11 => b"HTTP/1.1",
        Version::Http2 => unreachable!("no head says so"),
    }
}

fn write_request(head: &RequestHead) -> Vec<u8> {
    let line = [head.method().as_bytes(), b" ", head.target(), b" ", version(head.version)].concat();
    write(line, &head.fields)
}

fn write_response(head: &ResponseHead) -> Vec<u8> {
    let status = head.status.to_string();
    write([version(head.version), b" ", status.as_bytes(), b" ", head.reason()].concat(), &head.fields)
}

fn write(mut out: Vec<u8>, fields: &Fields) -> Vec<u8> {
    out.extend_from_slice(b"\r\n");
    for (name, value) in fields.iter() {
        out.extend_from_slice(&[name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    out.extend_from_slice(b"\r\n");
    out
}
