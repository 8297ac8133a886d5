use crate::facts::{Hello, Host};
use crate::parse::{Fields, RequestHead, Version};

use super::browsers::{Browser, Claim, Connect, Plain, Tls};
use super::ground::{Ground, Grounds};
use super::inner::{InnerSeen, check_inner};
use super::learnt::Learnt;

/// What a program has shown of itself in one exchange.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub head: &'a RequestHead,
    /// The host and port of a CONNECT; absent for any other request.
    pub connect: Option<(&'a Host, u16)>,
    /// Of a request that was read inside TLS; absent for a CONNECT and for a plain request.
    pub inner: Option<InnerSeen<'a>>,
    pub hello: Option<&'a Hello>,
    /// Further stable keys that the operator knows such a browser by, such as that of an antivirus in its way.
    pub faces: &'a [Box<str>],
    /// What clients have shown of versions that are newer than what was measured.
    pub learnt: Option<&'a Learnt>,
}

impl Claim {
    /// All that does not fit the claim in what was seen. Nothing speaks against a claim that says nothing.
    pub fn check(&self, seen: &Seen<'_>) -> Grounds {
        let mut grounds = Grounds::NONE;
        let Claim::Browser { browser, major } = self else { return grounds };
        match (seen.inner, seen.connect) {
            (Some(inner), _) => {
                for expected in browser.inner.iter().filter(|inner| (inner.from..=inner.until).contains(major)) {
                    check_inner(expected, *major, seen.head, &inner, &mut grounds);
                }
            }
            (None, Some(authority)) => {
                browser.connect.iter().for_each(|expected| check_connect(expected, seen.head, authority, &mut grounds));
            }
            (None, None) => {
                browser.plain.iter().for_each(|expected| check_plain(expected, seen.head, &mut grounds));
            }
        }
        if let Some(hello) = seen.hello.filter(|hello| !is_face(seen.faces, hello)) {
            for expected in self.hellos() {
                check_tls(expected, hello, &mut grounds);
            }
            let unlike = |learnt: &Learnt| learnt.contradicts(&browser.name, *major, &hello.stable_key);
            grounds.add_if(Ground::TlsUnlikeVersion, seen.learnt.is_some_and(unlike));
        }
        grounds
    }
}

impl Claim {
    /// Whether a stable key is one that this browser was measured with, in whatever version, that the operator names,
    /// or that clients of this network have shown with this version.
    pub fn knows_face(&self, key: &str, faces: &[Box<str>], learnt: Option<&Learnt>) -> bool {
        let Claim::Browser { browser, major } = self else { return false };
        faces.iter().any(|face| **face == *key)
            || browser.tls.iter().any(|tls| tls.shows(key))
            || learnt.is_some_and(|learnt| learnt.expects(&browser.name, *major, key))
    }
}

impl Tls {
    /// Whether it was measured with this stable key.
    fn shows(&self, key: &str) -> bool {
        self.keys.iter().chain(&self.return_keys).any(|known| **known == *key)
    }
}

impl Browser {
    /// Whether a plain head has the shape of this browser's: whatever it asks for, all of its requests have.
    pub(super) fn has_shape(&self, head: &RequestHead) -> bool {
        let mut grounds = Grounds::NONE;
        match &self.plain {
            Some(expected) => check_plain(expected, head, &mut grounds),
            None => return false,
        }
        !grounds.iter().any(|ground| matches!(ground, Ground::PlainBegin | Ground::PlainOrder | Ground::PlainExtra))
    }
}

fn is_face(faces: &[Box<str>], hello: &Hello) -> bool {
    faces.contains(&hello.stable_key)
}

/// What browsers send with a CONNECT over HTTP/2, its authority in the words of HTTP/1.1.
const STREAM_FIELDS: [&str; 3] = ["host", "user-agent", "proxy-authorization"];

fn check_connect(expected: &Connect, head: &RequestHead, (host, port): (&Host, u16), grounds: &mut Grounds) {
    if head.version == Version::Http2 {
        let is_expected = |name: &str| STREAM_FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name));
        grounds.add_if(Ground::ConnectFields, !head.fields.iter().all(|(name, _)| is_expected(name)));
        return;
    }
    grounds.add_if(Ground::ConnectVersion, head.version != Version::Http11);
    let mut names = head.fields.iter().map(|(name, _)| name);
    let begins = expected.fields.iter().all(|field| names.next() == Some(field));
    let follows = names.all(|name| expected.may_follow.iter().any(|field| **field == *name));
    grounds.add_if(Ground::ConnectFields, !(begins && follows));
    let authority = head.fields.get("host").is_some_and(|field| is_authority(field, host, port));
    grounds.add_if(Ground::ConnectHost, !authority);
    let keep_alive = head.fields.get("proxy-connection");
    grounds.add_if(Ground::ConnectKeepAlive, keep_alive.is_some_and(|value| value != expected.keep_alive.as_bytes()));
}

/// Whether a Host names the port too; that it names the same host was seen where it was read.
fn is_authority(field: &[u8], _: &Host, port: u16) -> bool {
    let digits = field.iter().rposition(|byte| *byte == b':').and_then(|at| field.get(at + 1..));
    digits.and_then(|digits| str::from_utf8(digits).ok()).is_some_and(|digits| digits.parse() == Ok(port))
}

fn check_plain(expected: &Plain, head: &RequestHead, grounds: &mut Grounds) {
    let fields = &head.fields;
    // In which order and case they come over HTTP/2 was not measured.
    if head.version == Version::Http2 {
        return check_plain_values(expected, fields, grounds);
    }
    if fields.get("sec-websocket-key").is_some() {
        let begins = begins_with(fields, &expected.websocket);
        grounds.add_if(Ground::PlainBegin, !begins);
        return;
    }
    grounds.add_if(Ground::PlainBegin, !begins_with(fields, &expected.begins));
    grounds.add_if(Ground::PlainOrder, !in_order(fields, &expected.order));
    let is_without = |found: &str| expected.without.iter().any(|name| name.eq_ignore_ascii_case(found));
    let extra = fields.iter().any(|(found, _)| is_without(found));
    grounds.add_if(Ground::PlainExtra, extra);
    check_plain_values(expected, fields, grounds);
}

fn check_plain_values(expected: &Plain, fields: &Fields, grounds: &mut Grounds) {
    if let Some(encoding) = &expected.encoding {
        // A range of a file is asked for as it is.
        let is_range = fields.get("range").is_some();
        let found = fields.get("accept-encoding");
        grounds.add_if(Ground::PlainEncoding, !is_range && found != Some(encoding.as_bytes()));
    }
    // What Chromium asks for by itself, such as the time, has none of these.
    let of_page = ["accept", "referer", "upgrade-insecure-requests"].iter().any(|name| fields.get(name).is_some());
    grounds.add_if(Ground::PlainLanguage, of_page && fields.get("accept-language").is_none());
}

fn begins_with(fields: &Fields, names: &[Box<str>]) -> bool {
    let mut found = fields.iter().map(|(name, _)| name);
    names.iter().all(|name| found.next() == Some(name))
}

/// Whether those of the names that are there stand in this order and letter case.
fn in_order(fields: &Fields, names: &[Box<str>]) -> bool {
    let mut next = 0;
    for (found, _) in fields.iter() {
        if let Some(at) = names.iter().position(|name| name.eq_ignore_ascii_case(found)) {
            if at < next || *names[at] != *found {
                return false;
            }
            next = at + 1;
        }
    }
    true
}

fn check_tls(expected: &Tls, hello: &Hello, grounds: &mut Grounds) {
    let known = expected.keys.is_empty() || expected.shows(&hello.stable_key);
    grounds.add_if(Ground::TlsKey, !known);
    let traits = hello.traits;
    for (ground, expected, found) in [
        (Ground::TlsGrease, expected.grease, traits.grease),
        (Ground::TlsSignatureGrease, expected.grease_signatures, traits.grease_signatures),
        (Ground::TlsEch, expected.ech, hello.ech),
        (Ground::TlsKeyShare, expected.mlkem, traits.mlkem),
        (Ground::TlsCompression, expected.compresses, traits.compresses),
    ] {
        grounds.add_if(ground, expected.is_some_and(|expected| expected != found));
    }
    let same = |names: &Vec<Box<str>>| {
        names.len() == hello.alpn.len() && names.iter().zip(&hello.alpn).all(|(a, b)| *a.as_bytes() == **b)
    };
    grounds.add_if(Ground::TlsAlpn, !expected.alpn.is_empty() && !expected.alpn.iter().any(same));
}
