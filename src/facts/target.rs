use std::fmt;

use super::Host;

/// How the client asked for the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// A plain HTTP request in absolute-form, or one read inside a tunnel to port 80.
    Http,
    /// A request read inside the TLS of a tunnel.
    Https,
    /// A CONNECT: bytes the gate does not read beyond the TLS ClientHello, unless its rule says `inspect`.
    Tunnel,
}

impl Scheme {
    /// The port a target of this scheme has when none is written.
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https | Scheme::Tunnel => 443,
        }
    }

    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Tunnel => "tunnel",
        }
    }
}

/// Where an exchange wants to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub scheme: Scheme,
    pub host: Host,
    pub port: u16,
    /// Absent for tunnels.
    pub path: Option<Path>,
}

/// A path and query exactly as they will be sent: visible ASCII, beginning with `/`, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Box<str>);

impl Path {
    /// Takes origin-form bytes (RFC 9112 §3.2.1). An empty path is `/` (RFC 9110 §4.2.3).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('#') {
            return None;
        }
        match text.as_bytes().first() {
            None => Some(Self("/".into())),
            Some(b'/') => Some(Self(text.into())),
            Some(b'?') => Some(Self(format!("/{text}").into())),
            Some(_) => None,
        }
    }

    /// The asterisk-form of `OPTIONS *` (RFC 9112 §3.2.4).
    pub fn asterisk() -> Self {
        Self("*".into())
    }

    /// Path and query, as sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        self.0.split_once('?').map_or(&self.0, |(path, _)| path)
    }

    /// The query without its `?`, where there is one.
    pub fn query(&self) -> Option<&str> {
        self.0.split_once('?').map(|(_, query)| query)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.scheme, &self.path) {
            (Scheme::Tunnel, _) => write!(f, "{}:{}", self.host, self.port),
            (Scheme::Http | Scheme::Https, path) => {
                write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
                if self.port != self.scheme.default_port() {
                    write!(f, ":{}", self.port)?;
                }
                f.write_str(path.as_ref().map_or("", Path::path))
            }
        }
    }
}
