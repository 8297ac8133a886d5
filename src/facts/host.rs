use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The host of a target: a DNS name or an address literal, normalised once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    Name(Name),
    V4(Ipv4Addr),
    V6(Ipv6Addr),
}

/// A DNS name in lower-case A-label form, without the trailing dot: labels of 1 to 63 octets of
/// letters, digits, `-` and `_`, 253 octets in all (RFC 1035 §2.3.4, RFC 5890 §2.3.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

/// Why bytes are not a host. The gate refuses these rather than guess what an origin would read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    #[error("the host is empty")]
    Empty,
    #[error("the host is longer than 253 octets or has a label longer than 63")]
    TooLong,
    #[error("the host has an empty label")]
    EmptyLabel,
    #[error("the host has bytes outside ASCII; write it as A-labels (xn--…)")]
    NonAscii,
    #[error("the host is percent-encoded")]
    Percent,
    #[error("the host has a character that no DNS name has")]
    Character,
    #[error("the brackets hold no IPv6 address")]
    Bracket,
    #[error("the host looks like an IPv4 address in octal, hexadecimal or short form")]
    LegacyIpv4,
    #[error("the host has a label that is not valid Punycode")]
    Punycode,
}

impl Host {
    /// Reads the host part of an authority: a name, a dotted quad, or `[IPv6]` without a zone.
    ///
    /// Case and one trailing dot are normalised. A name whose last label is a number, which
    /// browsers would read as an IPv4 address (WHATWG URL §3.5), is refused unless it is a strict
    /// dotted quad.
    pub fn parse(text: &[u8]) -> Result<Self, BadHost> {
        if text.is_empty() {
            return Err(BadHost::Empty);
        }
        if let Some(inner) = text.strip_prefix(b"[") {
            let inner = inner.strip_suffix(b"]").ok_or(BadHost::Bracket)?;
            let inner = std::str::from_utf8(inner).map_err(|_| BadHost::Bracket)?;
            return inner.parse().map(Host::V6).map_err(|_| BadHost::Bracket);
        }
        if !text.is_ascii() {
            return Err(BadHost::NonAscii);
        }
        let text = std::str::from_utf8(text).map_err(|_| BadHost::NonAscii)?;
        let text = text.strip_suffix('.').unwrap_or(text);
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Host::V4(address));
        }
        Name::parse(text).map(Host::Name)
    }

    /// The literal address, where the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Host::Name(_) => None,
            Host::V4(address) => Some(IpAddr::V4(*address)),
            Host::V6(address) => Some(IpAddr::V6(*address)),
        }
    }
}

impl Name {
    fn parse(text: &str) -> Result<Self, BadHost> {
        if text.is_empty() {
            return Err(BadHost::Empty);
        }
        if text.len() > 253 {
            return Err(BadHost::TooLong);
        }
        for label in text.split('.') {
            check_label(label)?;
        }
        let last = text.rsplit('.').next().unwrap_or(text);
        if last.bytes().all(|b| b.is_ascii_digit()) || is_hex_number(last) {
            return Err(BadHost::LegacyIpv4);
        }
        let name = text.to_ascii_lowercase();
        if name.contains("xn--") && !is_of_a_labels(&name) {
            return Err(BadHost::Punycode);
        }
        Ok(Self(name.into()))
    }

    /// The name as text, lower case, no trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Host {
    /// A name that is another in Unicode, in that form. Names that look alike to the eye differ in the first one.
    pub fn to_unicode(&self) -> Option<String> {
        let Self::Name(name) = self else { return None };
        let (unicode, read) = idna::domain_to_unicode(name.as_str());
        (read.is_ok() && unicode != name.as_str()).then_some(unicode)
    }

    /// As people are shown it: in A-labels, by which it is judged, and behind that in Unicode where this is
    /// another.
    pub fn readable(&self) -> String {
        match self.to_unicode() {
            Some(unicode) => format!("{self} ({unicode})"),
            None => self.to_string(),
        }
    }
}

fn check_label(label: &str) -> Result<(), BadHost> {
    if label.is_empty() {
        return Err(BadHost::EmptyLabel);
    }
    if label.len() > 63 {
        return Err(BadHost::TooLong);
    }
    for byte in label.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => {}
            b'%' => return Err(BadHost::Percent),
            b'[' | b']' => return Err(BadHost::Bracket),
            _ => return Err(BadHost::Character),
        }
    }
    Ok(())
}

/// Whether each `xn--` label is an A-label: Punycode of what encodes to it again (RFC 5890 §2.3.2.1).
fn is_of_a_labels(name: &str) -> bool {
    let (unicode, read) = idna::domain_to_unicode(name);
    read.is_ok() && idna::domain_to_ascii(&unicode).is_ok_and(|again| again == name)
}

fn is_hex_number(label: &str) -> bool {
    label
        .strip_prefix("0x")
        .or_else(|| label.strip_prefix("0X"))
        .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name.as_str()),
            Host::V4(address) => address.fmt(f),
            Host::V6(address) => write!(f, "[{address}]"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_shown_in_both_forms_where_they_differ() {
        let readable = |text: &str| Host::parse(text.as_bytes()).unwrap().readable();
        assert_eq!(readable("x.xn--bcher-kva.example"), "x.xn--bcher-kva.example (x.bücher.example)");
        assert_eq!(readable("xn--80a.example"), "xn--80a.example (а.example)", "Cyrillic, told apart by its A-label");
        assert_eq!(readable("a.example"), "a.example");
        assert_eq!(readable("192.0.2.1"), "192.0.2.1");
        assert_eq!(readable("[2001:db8::1]"), "[2001:db8::1]");
    }

    #[test]
    fn a_name_is_lower_cased_and_loses_one_trailing_dot() {
        assert_eq!(Host::parse(b"WWW.Example.COM.").unwrap().to_string(), "www.example.com");
        assert_eq!(Host::parse(b"a.example.."), Err(BadHost::EmptyLabel));
    }

    #[test]
    fn an_address_in_legacy_form_is_refused_and_its_strict_form_is_not() {
        for text in ["0x7f.1", "127.1", "2130706433", "0177.0.0.1", "127.0.0.0x1", "1.2.3.4.5", "a.09"] {
            assert_eq!(Host::parse(text.as_bytes()), Err(BadHost::LegacyIpv4), "{text}");
        }
        assert_eq!(Host::parse(b"127.0.0.1").unwrap(), Host::V4(Ipv4Addr::LOCALHOST));
        assert!(matches!(Host::parse(b"1.2.3.4.example"), Ok(Host::Name(_))));
    }

    #[test]
    fn brackets_hold_an_ipv6_address_and_nothing_else() {
        assert_eq!(Host::parse(b"[::1]").unwrap(), Host::V6(Ipv6Addr::LOCALHOST));
        for text in ["[fe80::1%25eth0]", "[a.example]", "[::1", "::1]", "[127.0.0.1]"] {
            assert!(Host::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn bytes_no_name_has_are_refused_by_their_kind() {
        assert_eq!(Host::parse("日本.example".as_bytes()), Err(BadHost::NonAscii));
        assert_eq!(Host::parse(b"a%2eexample"), Err(BadHost::Percent));
        assert_eq!(Host::parse(b"a b"), Err(BadHost::Character));
        assert_eq!(Host::parse(b"a..b"), Err(BadHost::EmptyLabel));
        assert_eq!(Host::parse(b"xn--zzzzzzz99999.example"), Err(BadHost::Punycode));
        // It decodes to a label that begins with xn-- itself and that nothing encodes to this.
        assert_eq!(Host::parse(b"xn--xn--wgv-xn--wgv0e-wme.example"), Err(BadHost::Punycode));
        assert!(Host::parse(b"xn--wgv71a.example").is_ok());
        assert!(Host::parse(b"my_host.example").is_ok());
    }
}
