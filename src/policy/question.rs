use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use crate::facts::{
    Client, Facts, Hello, HelloTraits, Program, Restraint, Scheme, Stage, Standing, Target, Timestamp, TlsVersion, User,
};
use crate::parse::{is_token_byte, parse_absolute, parse_authority, parse_connect};

/// A request as a person asks about it: for a case, or to have it explained.
#[derive(Debug, Clone)]
pub struct Question {
    client: Client,
    method: Box<str>,
    target: Target,
    user_agent: Option<Box<str>>,
    hello: Option<Hello>,
    standing: Standing,
}

/// Who asks and by what program, as far as a person says it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asker<'a> {
    pub user: Option<&'a str>,
    /// The groups that the user is in.
    pub groups: &'a [String],
    pub user_agent: Option<&'a str>,
    pub ja4: Option<&'a str>,
    pub tls_key: Option<&'a str>,
    /// What it has shown of being a browser; without a word, nothing yet.
    pub standing: Option<Standing>,
    /// It goes past the proxy, and is captured.
    pub captured: bool,
}

/// Why a question makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadQuestion {
    #[error("it is not a method and a URL with one space between")]
    Form,
    #[error("its method is no token in capital letters")]
    Method,
    #[error("it names no host that a request could name")]
    Target,
    #[error("CONNECT is followed by a host and a port")]
    Connect,
}

impl Question {
    /// A request in words: `GET http://a.example/x`, `CONNECT a.example:443`, or, as a person says it,
    /// `POST https://a.example/x`, which reaches the gate as a CONNECT to that host.
    ///
    /// # Errors
    /// What of it makes no sense.
    pub fn read(client: IpAddr, request: &str) -> Result<Self, BadQuestion> {
        let (method, url) = request.split_once(' ').ok_or(BadQuestion::Form)?;
        if url.contains(' ') {
            return Err(BadQuestion::Form);
        }
        let url = &*in_a_labels(url);
        if method.is_empty() || !method.bytes().all(|byte| is_token_byte(byte) && !byte.is_ascii_lowercase()) {
            return Err(BadQuestion::Method);
        }
        let (method, target) = match (method, strip_https(url)) {
            ("CONNECT", _) => (method, parse_connect(url.as_bytes()).map_err(|_| BadQuestion::Connect)?),
            (_, Some(rest)) => ("CONNECT", tunnel_to(rest)?),
            (_, None) => (method, parse_absolute(url.as_bytes()).map_err(|_| BadQuestion::Target)?),
        };
        let client = Client::at(SocketAddr::new(client, 0));
        let standing = Standing::Uncleared;
        Ok(Self { client, method: method.into(), target, user_agent: None, hello: None, standing })
    }

    /// The same from this asker. What is said of its TLS is all that its hello shows.
    #[must_use]
    pub fn by(mut self, asker: &Asker<'_>) -> Self {
        let groups = asker.groups.iter().map(|group| group.as_str().into()).collect();
        self.client.user = asker.user.map(|name| User { name: name.into(), groups });
        self.user_agent = asker.user_agent.map(Into::into);
        // Where to, nothing is judged by.
        self.client.captured = asker.captured.then(|| SocketAddr::from(([0, 0, 0, 0], self.target.port)));
        self.standing = asker.standing.unwrap_or(Standing::Uncleared);
        let shows_tls = asker.ja4.is_some() || asker.tls_key.is_some();
        self.hello = shows_tls.then(|| Hello {
            traits: HelloTraits::NONE,
            sni: None,
            alpn: Vec::new(),
            ja4: asker.ja4.unwrap_or_default().into(),
            stable_key: asker.tls_key.unwrap_or_default().into(),
            ech: false,
            version: TlsVersion::Tls13,
        });
        self
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn method(&self) -> &str {
        &self.method
    }

    /// What is known when it is judged.
    pub(super) fn facts(&self, now: Timestamp) -> Facts<'_> {
        let (hello, inner) = match (self.target.scheme, &self.hello) {
            (Scheme::Http, _) | (Scheme::Https, None) => (Stage::Never, Stage::Never),
            (Scheme::Https, Some(hello)) => (Stage::Known(hello), Stage::Never),
            (Scheme::Tunnel, Some(hello)) => (Stage::Known(hello), Stage::NotYet),
            (Scheme::Tunnel, None) => (Stage::NotYet, Stage::NotYet),
        };
        Facts {
            now,
            client: &self.client,
            method: &self.method,
            target: &self.target,
            program: Program { user_agent: self.user_agent.as_deref().map(str::as_bytes) },
            hello,
            inner,
            standing: self.standing,
            contradictions: crate::facts::Contradictions::NONE,
            restraint: Restraint::NONE,
        }
    }
}

/// The same with the host in A-labels, as a browser sends it; what is no name stays as it is.
fn in_a_labels(url: &str) -> Cow<'_, str> {
    if url.is_ascii() {
        return url.into();
    }
    let begin = url.find("://").map_or(0, |at| at + 3);
    let rest = url.get(begin..).unwrap_or_default();
    let host = rest.get(..rest.find([':', '/', '?', '#', '@']).unwrap_or(rest.len())).unwrap_or_default();
    match idna::domain_to_ascii(host) {
        Ok(ascii) => [&url[..begin], &ascii, &rest[host.len()..]].concat().into(),
        Err(_) => url.into(),
    }
}

fn strip_https(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_at_checked("https://".len())?;
    scheme.eq_ignore_ascii_case("https://").then_some(rest)
}

fn tunnel_to(rest: &str) -> Result<Target, BadQuestion> {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let authority = rest.get(..end).unwrap_or_default();
    let (host, port) = parse_authority(authority.as_bytes()).map_err(|_| BadQuestion::Target)?;
    Ok(Target { scheme: Scheme::Tunnel, host, port: port.unwrap_or(443), path: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(request: &str) -> Result<String, BadQuestion> {
        Question::read([10, 0, 0, 1].into(), request).map(|read| format!("{} {}", read.method(), read.target()))
    }

    #[test]
    fn a_request_is_read_as_a_person_writes_it() {
        assert_eq!(read("GET http://A.example:8080/x?y").unwrap(), "GET http://a.example:8080/x");
        assert_eq!(read("POST https://a.example/orders/7").unwrap(), "CONNECT a.example:443");
        assert_eq!(read("GET HTTPS://[2001:db8::1]:8443?x").unwrap(), "CONNECT [2001:db8::1]:8443");
        assert_eq!(read("CONNECT a.example:443").unwrap(), "CONNECT a.example:443");
        assert_eq!(read("GET http://Bücher.example:81/x").unwrap(), "GET http://xn--bcher-kva.example:81/x");
        assert_eq!(read("GET https://bücher.example").unwrap(), "CONNECT xn--bcher-kva.example:443");
        assert_eq!(read("CONNECT bücher.example:443").unwrap(), "CONNECT xn--bcher-kva.example:443");
    }

    #[test]
    fn what_makes_no_sense_is_refused_for_what_is_wrong() {
        for (request, why) in [
            ("http://a.example/", BadQuestion::Form),
            ("GET http://a.example/ HTTP/1.1", BadQuestion::Form),
            ("get http://a.example/", BadQuestion::Method),
            ("GET a.example", BadQuestion::Target),
            ("GET https://u@a.example/", BadQuestion::Target),
            ("GET https:///x", BadQuestion::Target),
            ("GET http://a.example/ü", BadQuestion::Target),
            ("GET http://\u{301}a.example/", BadQuestion::Target),
            ("CONNECT a.example", BadQuestion::Connect),
            ("CONNECT https://a.example:443", BadQuestion::Connect),
        ] {
            assert_eq!(read(request), Err(why), "{request}");
        }
    }
}
