use super::super::*;

/// Any bytes as the first of a connection that ought to be HTTP/2.
///
/// What they are is unknown up to some byte and the same from there on, told at the latest where the bound is, and
/// the same to a tap that gets them in pieces.
pub fn http2_opening(bytes: &[u8]) {
    let whole = read_http2_opening(bytes);
    let mut told = false;
    for length in (0..=bytes.len()).filter(|length| *length <= 128 || length % 97 == 0) {
        let read = read_http2_opening(&bytes[..length]);
        assert!(read.is_some() || length < OPENING_BYTES_MAX, "nothing is told of {length} bytes");
        told |= read.is_some();
        if told {
            assert_eq!(read, whole, "after {length} bytes");
        }
    }
    for size in [1, 7, 1000] {
        let mut tap = Http2Tap::new();
        bytes.chunks(size).for_each(|piece| tap.feed(piece));
        // A tap that got nothing has nothing to tell.
        assert!(bytes.is_empty() || tap.read() == whole.as_ref(), "in pieces of {size}");
    }
    match whole {
        Some(Http2Read::Opening(opening)) => consistent(bytes, &opening),
        Some(Http2Read::NotHttp2 | Http2Read::Unfinished) | None => {}
    }
}

/// By a look of its own at the bytes.
fn consistent(bytes: &[u8], opening: &Http2Opening) {
    assert!(bytes.starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    assert!(opening.settings.len() <= 32 && opening.window_update != Some(0));
    let fields = &opening.pseudo_fields;
    assert!((1..=5).contains(&fields.len()));
    assert!(fields.iter().enumerate().all(|(at, field)| !fields[..at].contains(field)), "{fields:?}");
    for (number, value) in &opening.settings {
        let written = [&number.to_be_bytes()[..], &value.to_be_bytes()].concat();
        assert!(bytes.windows(6).any(|six| six == written), "{number}");
    }
}
