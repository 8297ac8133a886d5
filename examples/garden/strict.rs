//! A reader of HTTP/1.1 requests that shares nothing with the gate and takes only what every reader
//! takes in the same way.

/// What stands at the beginning of the bytes.
pub(crate) enum Read {
    /// One request, and how many bytes it took.
    Whole(Line, usize),
    /// Well-formed as far as it goes; the first line once it is there.
    Cut(Option<Line>),
    /// It can be read in more than one way, or in none.
    Wrong(String),
}

/// Method and target of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) method: String,
    pub(crate) target: String,
}

/// Reads one request meant for the origin of this authority.
pub(crate) fn request(bytes: &[u8], authority: &str) -> Read {
    read(bytes, authority).unwrap_or_else(Read::Wrong)
}

fn read(bytes: &[u8], authority: &str) -> Result<Read, String> {
    let end = find(bytes, b"\r\n\r\n");
    let mut lines = Vec::new();
    let mut rest = &bytes[..end.unwrap_or(bytes.len())];
    while let Some(end) = find(rest, b"\r\n") {
        lines.push(&rest[..end]);
        rest = &rest[end + 2..];
    }
    let unfinished = rest.strip_suffix(b"\r").filter(|_| end.is_none()).unwrap_or(rest);
    lines.push(unfinished);
    for line in &lines {
        if line.iter().any(|byte| *byte != b'\t' && byte.is_ascii_control()) {
            return Err(format!("a control byte in {}", line.escape_ascii()));
        }
    }
    let Some(end) = end else {
        return Ok(Read::Cut(if lines.len() > 1 { Some(first_line(lines[0])?) } else { None }));
    };
    let line = first_line(lines[0])?;
    let at = end + 4;
    let body_end = match body(&lines[1..], authority)? {
        Body::Length(length) => Some(at + length).filter(|end| *end <= bytes.len()),
        Body::Chunked => dechunk(&bytes[at..])?.map(|taken| at + taken),
    };
    Ok(match body_end {
        Some(taken) => Read::Whole(line, taken),
        None => Read::Cut(Some(line)),
    })
}

fn first_line(line: &[u8]) -> Result<Line, String> {
    let bad = || format!("the request line {}", line.escape_ascii());
    let parts: Vec<&str> = str::from_utf8(line).map_err(|_| bad())?.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else { return Err(bad()) };
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'-');
    let is_target = target.starts_with('/') && target.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_method || !is_target {
        return Err(bad());
    }
    Ok(Line { method: method.to_owned(), target: target.to_owned() })
}

enum Body {
    Length(usize),
    Chunked,
}

/// Exactly one Host, and either one length or the one coding, or neither.
fn body(fields: &[&[u8]], authority: &str) -> Result<Body, String> {
    let (mut hosts, mut lengths, mut codings) = (Vec::new(), Vec::new(), Vec::new());
    for field in fields {
        let bad = || format!("the field {}", field.escape_ascii());
        let colon = field.iter().position(|byte| *byte == b':').ok_or_else(bad)?;
        let (name, value) = (&field[..colon], field[colon + 1..].trim_ascii());
        if name.is_empty() || !name.iter().copied().all(is_token) {
            return Err(bad());
        }
        match name.to_ascii_lowercase().as_slice() {
            b"host" => hosts.push(value),
            b"content-length" => lengths.push(value),
            b"transfer-encoding" => codings.push(value),
            _ => {}
        }
    }
    if hosts != [authority.as_bytes()] {
        return Err(format!("{} Host fields, or another host", hosts.len()));
    }
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Body::Length(0)),
        ([], [b"chunked"]) => Ok(Body::Chunked),
        ([digits], []) if (1..19).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) => {
            Ok(Body::Length(digits.iter().fold(0, |sum, digit| sum * 10 + usize::from(digit - b'0'))))
        }
        _ => Err(format!("{} Content-Length and {} Transfer-Encoding, or odd ones", lengths.len(), codings.len())),
    }
}

/// How many bytes a chunked body takes, `None` while it has not ended. No extensions.
fn dechunk(bytes: &[u8]) -> Result<Option<usize>, String> {
    let mut at = 0;
    loop {
        let Some(digits) = line(&bytes[at..], 16)? else { return Ok(None) };
        let bad = || format!("the chunk size {}", digits.escape_ascii());
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(bad());
        }
        let size = str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let size = size.ok_or_else(bad)?;
        at += digits.len() + 2;
        if size == 0 {
            break;
        }
        match bytes[at..].get(size..) {
            Some([b'\r', b'\n', ..]) => at += size + 2,
            Some([] | [b'\r']) | None => return Ok(None),
            Some(_) => return Err("a chunk longer than its size".to_owned()),
        }
    }
    loop {
        let Some(trailer) = line(&bytes[at..], 8192)? else { return Ok(None) };
        at += trailer.len() + 2;
        if trailer.is_empty() {
            return Ok(Some(at));
        }
        let name = trailer.split(|byte| *byte == b':').next().unwrap_or_default();
        if name.len() == trailer.len() || name.is_empty() || !name.iter().copied().all(is_token) {
            return Err(format!("the trailer {}", trailer.escape_ascii()));
        }
    }
}

/// The line at the beginning, without its end; `None` while it has none.
fn line(bytes: &[u8], most: usize) -> Result<Option<&[u8]>, String> {
    let end = find(bytes, b"\r\n");
    let line = &bytes[..end.unwrap_or(bytes.len())];
    let unfinished = line.strip_suffix(b"\r").filter(|_| end.is_none()).unwrap_or(line);
    if unfinished.len() > most || unfinished.iter().any(|byte| *byte != b'\t' && byte.is_ascii_control()) {
        return Err(format!("the line {}", line.escape_ascii()));
    }
    Ok(end.map(|_| line))
}

pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
