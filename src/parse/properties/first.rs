use super::super::*;

/// Any bytes as the first of a tunnel.
///
/// What they are depends on the bytes alone, not on how they arrive: unknown up to some byte, and the
/// same from there on; told at the latest where the limits end. What turns out to be TLS or a second
/// proxy is never let go before that is plain, whichever of its bytes have come.
pub fn first_bytes(bytes: &[u8]) {
    for limits in [HelloLimits::default(), HelloLimits { bytes_max: 40, records_max: 3 }] {
        let whole = shown(bytes, &limits);
        let held = whole.as_deref().is_some_and(|name| name.starts_with("Tls") || name.contains("Connect"));
        let mut told = false;
        for length in (0..=bytes.len()).filter(|length| *length <= 64 || length % 29 == 0 || bytes.len() - length < 4) {
            let first = &bytes[..length];
            let answer = shown(first, &limits);
            told |= answer.is_some();
            if told {
                assert_eq!(answer, whole, "after {length} bytes");
            } else {
                assert!(length < limits.bytes_max, "nothing is told of {length} bytes");
                assert!(!held || length == 0 || may_become_tls_or_connect(first), "{} is let go", first.escape_ascii());
            }
        }
        if let Some(seen) = read_first_bytes(bytes, &limits) {
            consistent(&bytes[..bytes.len().min(limits.bytes_max)], bytes.len() < limits.bytes_max, &seen);
        }
    }
}

fn shown(bytes: &[u8], limits: &HelloLimits) -> Option<String> {
    read_first_bytes(bytes, limits).map(|seen| format!("{seen:?}"))
}

/// By a look of its own at the bytes; whether more of them are waited for.
fn consistent(bytes: &[u8], waits: bool, seen: &FirstBytes) {
    let line = bytes.trim_ascii_start();
    match seen {
        FirstBytes::Tls(_) | FirstBytes::BadTls(_) => assert!(bytes.starts_with(b"\x16\x03") && seen.speaks_tls()),
        FirstBytes::Ssh => assert!(bytes.starts_with(b"SSH-")),
        FirstBytes::NestedConnect => assert!(line[..8].eq_ignore_ascii_case(b"CONNECT ")),
        FirstBytes::Http => assert!(!line.to_ascii_uppercase().starts_with(b"CONNECT ")),
        FirstBytes::Other => assert!(!bytes.starts_with(b"\x16\x03\x01") && !bytes.starts_with(b"SSH-")),
        FirstBytes::Unfinished => assert!(!waits && matches!(bytes[0], b'\r' | b'\n')),
        FirstBytes::Silent => panic!("time alone tells that"),
    }
}
