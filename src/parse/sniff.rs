//! What a client speaks, told from its first bytes. It decides who parses next and is never a
//! verdict: the parser chosen must still accept what follows.

use super::fields::is_token_byte;

/// No protocol needs more to be recognised: a method of fifteen letters and its space.
const SNIFF_BYTES_MAX: usize = 16;

/// A protocol whose client speaks first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sniffed {
    /// The header of a handshake record.
    Tls,
    /// The identification string of RFC 4253 section 4.2.
    Ssh,
    /// A request line of HTTP/1, or the HTTP/2 preface.
    Http,
    Other,
}

/// Names the protocol as soon as the bytes allow only one; `None` asks for more. Sixteen bytes behind
/// any empty lines are always enough; of those the caller bounds how many it takes.
///
/// HTTP is any method token and a space, after any empty lines (RFC 9112 section 2.2 has servers
/// skip them), in either case and not only well-known methods: a lenient server would serve
/// those, so they go to our strict head parser instead of passing as something unknown.
pub fn sniff(bytes: &[u8]) -> Option<Sniffed> {
    const TLS: &[&[u8]] = &[b"\x16\x03\0", b"\x16\x03\x01", b"\x16\x03\x02", b"\x16\x03\x03", b"\x16\x03\x04"];
    const SSH: &[u8] = b"SSH-";

    if TLS.iter().any(|header| bytes.starts_with(header)) {
        return Some(Sniffed::Tls);
    }
    if bytes.starts_with(SSH) {
        return Some(Sniffed::Ssh);
    }
    if TLS.iter().any(|header| header.starts_with(bytes)) || SSH.starts_with(bytes) {
        return None;
    }

    // Some servers skip any number of them, so a request could be hidden behind as many as are not counted.
    let line = after_empty_lines(bytes);
    let seen = &line[..line.len().min(SNIFF_BYTES_MAX)];
    let token_bytes = seen.iter().take_while(|byte| is_token_byte(**byte)).count();
    match seen.get(token_bytes) {
        Some(b' ') if token_bytes > 0 => Some(Sniffed::Http),
        None if seen.len() < SNIFF_BYTES_MAX => None,
        Some(_) | None => Some(Sniffed::Other),
    }
}

/// A CONNECT inside what a CONNECT opened: a second proxy behind ours. Ask once `sniff` said
/// [`Sniffed::Http`]; with fewer bytes the answer may still be a premature no.
pub fn is_connect(bytes: &[u8]) -> bool {
    // Case is ignored because lenient proxies ignore it (RFC 9110 section 9.1 does not).
    after_empty_lines(bytes).split_first_chunk::<8>().is_some_and(|(start, _)| start.eq_ignore_ascii_case(b"CONNECT "))
}

fn after_empty_lines(bytes: &[u8]) -> &[u8] {
    let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    &bytes[empty..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_protocol_is_named_at_the_earliest_byte() {
        let cases: &[(&[u8], usize, Sniffed)] = &[
            (b"\x16\x03\x01\x02\0\x01", 3, Sniffed::Tls),
            (b"\x16\x03\x00\x02\0\x01", 3, Sniffed::Tls),
            (b"\x16\x03\x04\x02\0\x01", 3, Sniffed::Tls),
            (b"\x16\x03\x05\x02\0\x01", 3, Sniffed::Other),
            (b"\x16\x02\x01", 2, Sniffed::Other),
            (b"\x15\x03\x01\0\x02", 1, Sniffed::Other),
            (b"\x80\x2e\x01\x03\x01", 1, Sniffed::Other),
            (b"SSH-2.0-OpenSSH_9.2\r\n", 4, Sniffed::Ssh),
            (b"SSH_x", 16, Sniffed::Other),
            (b"SSH 2.0", 4, Sniffed::Http),
            (b"GET / HTTP/1.1\r\n", 4, Sniffed::Http),
            (b"CONNECT a.test:443 HTTP/1.1", 8, Sniffed::Http),
            (b"connect a.test:443 HTTP/1.1", 8, Sniffed::Http),
            (b"M-SEARCH * HTTP/1.1", 9, Sniffed::Http),
            (b"VERSION-CONTROL /x HTTP/1.1", 16, Sniffed::Http),
            (b"BASELINE-CONTROL /x HTTP/1.1", 16, Sniffed::Other),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 4, Sniffed::Http),
            (b"\r\nGET / HTTP/1.1", 6, Sniffed::Http),
            (b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1", 20, Sniffed::Http),
            (b"\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\0", 18, Sniffed::Other),
            (b" GET / HTTP/1.1", 1, Sniffed::Other),
            (b"GET\t/ HTTP/1.1", 4, Sniffed::Other),
            (b"GET\r\n", 4, Sniffed::Other),
            (b"\0\0\0\0", 1, Sniffed::Other),
            (b"\xffSMB", 1, Sniffed::Other),
            (b"\x05\x01\0", 1, Sniffed::Other),
            (b"AAAAAAAAAAAAAAAAAAAAAAA", 16, Sniffed::Other),
        ];
        for (bytes, needed, expected) in cases {
            let padded = [*bytes, &[b'x'; SNIFF_BYTES_MAX]].concat();
            for length in 0..padded.len() {
                let answer = (length >= *needed).then_some(*expected);
                assert_eq!(sniff(&padded[..length]), answer, "{length} of {}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn nested_connect_is_told_from_its_neighbours() {
        for yes in ["CONNECT a:1 HTTP/1.1", "connect a:1", "\r\nCONNECT a:1", "CONNECT "] {
            assert!(is_connect(yes.as_bytes()), "{yes:?}");
        }
        for no in ["", "CONNECT", "CONNECTED a:1", "CONNECT\n", " CONNECT a:1", "GET /CONNECT "] {
            assert!(!is_connect(no.as_bytes()), "{no:?}");
        }
    }
}
