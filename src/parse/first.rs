use crate::facts::Hello;

use super::sniff::{Sniffed, is_connect, sniff};
use super::tls::{HelloFault, HelloLimits, HelloRead, read_hello};

/// What the first bytes of a tunnel are.
#[derive(Debug)]
pub enum FirstBytes {
    Tls(Box<Hello>),
    /// A TLS handshake record, and no well-formed ClientHello in it.
    BadTls(HelloFault),
    Http,
    /// A second proxy behind ours.
    NestedConnect,
    Ssh,
    Other,
    /// Nothing came in the time a hello may take.
    Silent,
    /// They began as TLS or as a CONNECT, and did not go on in that time; or they are empty lines, more
    /// than are waited for.
    Unfinished,
}

impl FirstBytes {
    /// The word used in records.
    pub fn carries(&self) -> &'static str {
        match self {
            FirstBytes::Tls(_) | FirstBytes::BadTls(_) => "tls",
            FirstBytes::Http | FirstBytes::NestedConnect => "http",
            FirstBytes::Ssh => "ssh",
            FirstBytes::Other | FirstBytes::Unfinished => "other",
            FirstBytes::Silent => "nothing",
        }
    }

    /// Whether a TLS alert is an answer that the client understands.
    pub fn speaks_tls(&self) -> bool {
        matches!(self, FirstBytes::Tls(_) | FirstBytes::BadTls(_))
    }
}

/// Tells what a client speaks once it is plain, for TLS at a whole ClientHello; `None` asks for more,
/// and never with `bytes_max` of them.
pub fn read_first_bytes(bytes: &[u8], limits: &HelloLimits) -> Option<FirstBytes> {
    let within = bytes.get(..limits.bytes_max).unwrap_or(bytes);
    let Some(sniffed) = sniff(within) else {
        return (bytes.len() >= limits.bytes_max).then_some(FirstBytes::Unfinished);
    };
    match sniffed {
        Sniffed::Tls => match read_hello(bytes, limits) {
            Ok(HelloRead::Hello(hello)) => Some(FirstBytes::Tls(Box::new(hello))),
            Ok(HelloRead::Incomplete) => None,
            Err(fault) => Some(FirstBytes::BadTls(fault)),
        },
        Sniffed::Http if is_connect(within) => Some(FirstBytes::NestedConnect),
        Sniffed::Http => Some(FirstBytes::Http),
        Sniffed::Ssh => Some(FirstBytes::Ssh),
        Sniffed::Other => Some(FirstBytes::Other),
    }
}

/// Whether these first bytes may go on as a TLS handshake record or as a CONNECT.
pub fn may_become_tls_or_connect(bytes: &[u8]) -> bool {
    let prefix_of = |whole: &[u8]| {
        let length = bytes.len().min(whole.len());
        bytes.get(..length).is_some_and(|start| start.eq_ignore_ascii_case(whole.get(..length).unwrap_or_default()))
    };
    prefix_of(b"\x16\x03") || prefix_of(b"CONNECT ") || matches!(bytes.first(), Some(b'\r' | b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_still_be_held_to_rules_is_told_from_its_neighbours() {
        for yes in [b"\x16".as_slice(), b"\x16\x03\x01", b"C", b"conn", b"CONNECT", b"\r\nCON"] {
            assert!(may_become_tls_or_connect(yes), "{}", yes.escape_ascii());
        }
        for no in [b"ping".as_slice(), b"\x17\x03", b"CONTENT", b"SSH-", b"\0"] {
            assert!(!may_become_tls_or_connect(no), "{}", no.escape_ascii());
        }
    }
}
