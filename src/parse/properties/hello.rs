use super::super::*;
use crate::facts::Hello;

/// Any bytes as the beginning of a TLS connection.
///
/// What is read depends on the bytes alone, not on how they arrive: it is incomplete up to some
/// byte and the same answer from there on. Nothing beyond the limits is looked at. One handshake
/// message says the same in whatever records it is carried.
pub fn client_hello(bytes: &[u8]) {
    let limits = HelloLimits::default();
    let whole = read_hello(bytes, &limits);
    let mut answered = false;
    for length in prefixes(bytes.len()) {
        let answer = read_hello(&bytes[..length], &limits);
        answered |= answer != Ok(HelloRead::Incomplete);
        if answered {
            assert_eq!(answer, whole, "after {length} bytes");
        }
    }
    sniffed(bytes);
    for bytes_max in [16, 80, bytes.len() / 2, bytes.len()] {
        bounded(bytes, &HelloLimits { bytes_max, records_max: 4 });
    }
    if let Ok(HelloRead::Hello(hello)) = whole {
        assert_eq!(sniff(bytes), Some(Sniffed::Tls));
        well_formed(&hello);
        reframed(bytes, &hello);
    }
}

/// Every length up to 256, then some, then the last ones: every one would cost the square.
fn prefixes(bytes: usize) -> impl Iterator<Item = usize> {
    (0..=bytes).filter(move |length| *length <= 256 || length % 13 == 0 || bytes - length < 8)
}

fn sniffed(bytes: &[u8]) {
    let whole = sniff(bytes);
    let mut named = None;
    let empty = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    for length in empty..=bytes.len().min(empty + 24) {
        let answer = sniff(&bytes[..length]);
        assert!(named.is_none() || answer == named, "after {length} bytes");
        named = answer;
    }
    assert!(named == whole && (named.is_some() || bytes.len() < empty + 16));
    assert!((0..empty).all(|length| sniff(&bytes[..length]).is_none()), "empty lines say nothing");
}

fn bounded(bytes: &[u8], limits: &HelloLimits) {
    let answer = read_hello(bytes, limits);
    let within = &bytes[..bytes.len().min(limits.bytes_max)];
    assert_eq!(read_hello(within, limits), answer, "bytes beyond {limits:?} were looked at");
    assert!(answer != Ok(HelloRead::Incomplete) || bytes.len() < limits.bytes_max);
}

fn well_formed(hello: &Hello) {
    if let Some(name) = &hello.sni {
        assert!((1..=254).contains(&name.len()));
        assert!(name.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase()), "{name:?}");
    }
    assert!(hello.alpn.iter().all(|name| (1..=255).contains(&name.len())));
    let hex = |part: &str| part.len() == 12 && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let parts: Vec<&str> = hello.ja4.split('_').collect();
    let [first, ciphers, rest] = parts[..] else { panic!("{}", hello.ja4) };
    assert!(first.len() == 10 && first.is_ascii() && hex(ciphers) && hex(rest), "{}", hello.ja4);
    // JA4 marks a hello that names no server.
    assert_eq!(first.as_bytes()[3] == b'd', hello.sni.is_some(), "{}", hello.ja4);
    assert_eq!(hello.stable_key.split('_').filter(|part| hex(part)).count(), 3, "{}", hello.stable_key);
}

fn reframed(bytes: &[u8], hello: &Hello) {
    let message = unframed(bytes);
    for payload in [1, 2, 300] {
        let mut records = Vec::with_capacity(message.len() * 6);
        for part in message.chunks(payload) {
            let length = u16::try_from(part.len()).expect("at most 300");
            records.extend_from_slice(&[22, 3, 1]);
            records.extend_from_slice(&length.to_be_bytes());
            records.extend_from_slice(part);
        }
        let limits = HelloLimits { bytes_max: records.len() + 6, records_max: message.len() + 1 };
        assert_eq!(read_hello(&records, &limits), Ok(HelloRead::Hello(hello.clone())), "in records of {payload}");
    }
}

/// The handshake message of an accepted hello.
fn unframed(mut rest: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    loop {
        let length = usize::from(rest[3]) << 8 | usize::from(rest[4]);
        message.extend_from_slice(&rest[5..5 + length]);
        rest = &rest[5 + length..];
        if let [1, high, middle, low, body @ ..] = &message[..]
            && body.len() == usize::from(*high) << 16 | usize::from(*middle) << 8 | usize::from(*low)
        {
            return message;
        }
    }
}
