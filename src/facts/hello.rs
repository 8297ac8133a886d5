/// A whole and well-formed ClientHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The `host_name` sent: printable ASCII in lower case, not yet judged to be a host. It is what
    /// the client claims, and with ECH only the outer, public name.
    pub sni: Option<Box<str>>,
    /// Protocol names in the client's order, none of them empty.
    pub alpn: Vec<Box<[u8]>>,
    /// For example `t13d1517h2_8daaf6152771_cb7bf5808d99`.
    pub ja4: Box<str>,
    /// `hash(sorted ciphers)_hash(signature algorithms)_hash(groups)`, the latter two as ordered by
    /// the client; GREASE left out; each twelve hexadecimal digits of SHA-256, zeros if absent.
    pub stable_key: Box<str>,
    /// The `encrypted_client_hello` extension is there. Browsers send a meaningless one as GREASE,
    /// which by design cannot be told from a real one.
    pub ech: bool,
    /// The highest version offered.
    pub version: TlsVersion,
    pub traits: HelloTraits,
}

/// What else tells TLS libraries apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloTraits {
    /// A GREASE value (RFC 8701) stands among the ciphers.
    pub grease: bool,
    /// One stands among the signature algorithms.
    pub grease_signatures: bool,
    /// A key share of X25519MLKEM768 is there.
    pub mlkem: bool,
    /// Certificates may come compressed (RFC 8879).
    pub compresses: bool,
}

impl HelloTraits {
    /// None of them, or nothing known of them.
    pub const NONE: Self = Self { grease: false, grease_signatures: false, mlkem: false, compresses: false };
}

/// A protocol version as offered; GREASE is never one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    Ssl30,
    Tls10,
    Tls11,
    Tls12,
    Tls13,
    /// The number on the wire, such as that of a draft.
    Other(u16),
}

impl From<u16> for TlsVersion {
    fn from(wire: u16) -> Self {
        match wire {
            0x0300 => Self::Ssl30,
            0x0301 => Self::Tls10,
            0x0302 => Self::Tls11,
            0x0303 => Self::Tls12,
            0x0304 => Self::Tls13,
            other => Self::Other(other),
        }
    }
}
