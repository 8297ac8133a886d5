//! The TLS ClientHello: what a client says about itself and its target before anything is secret.
//!
//! Strict where a lenient reader could be shown another name than the server sees (lengths that
//! disagree, duplicate extensions, several names); indifferent to what it does not know, as
//! RFC 8446 section 4.2 asks. Layout: RFC 8446 section 4.1.2.

mod records;

use crate::facts::{Hello, HelloTraits};

use super::ja4::{Offer, is_grease};

const RANDOM_BYTES: usize = 32;
const SESSION_ID_BYTES_MAX: usize = 32;
/// X25519MLKEM768, the hybrid group that browsers offer (IANA, TLS Supported Groups, 4588).
const X25519MLKEM768: u16 = 0x11ec;
/// RFC 1035 section 2.3.4, with room for a trailing dot.
const HOST_NAME_BYTES_MAX: usize = 254;

mod extension {
    pub(super) const SERVER_NAME: u16 = 0x0000;
    pub(super) const SUPPORTED_GROUPS: u16 = 0x000a;
    pub(super) const SIGNATURE_ALGORITHMS: u16 = 0x000d;
    pub(super) const ALPN: u16 = 0x0010;
    pub(super) const SUPPORTED_VERSIONS: u16 = 0x002b;
    pub(super) const COMPRESS_CERTIFICATE: u16 = 0x001b;
    pub(super) const KEY_SHARE: u16 = 0x0033;
    pub(super) const ENCRYPTED_CLIENT_HELLO: u16 = 0xfe0d;
}

/// How much of a connection may be spent on its ClientHello.
///
/// Browsers send 1.9 to 2.6 KiB in one record. Records of one byte are legal and used to hide the
/// server name, so the bound on records is wide: such a hello costs six bytes for each of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloLimits {
    /// Record bytes, headers included.
    pub bytes_max: usize,
    pub records_max: usize,
}

impl Default for HelloLimits {
    fn default() -> Self {
        Self { bytes_max: 32 * 1024, records_max: 4096 }
    }
}

/// What came of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloRead {
    /// A good beginning, and always shorter than `bytes_max`.
    Incomplete,
    Hello(Hello),
}

/// Why bytes are not, and cannot become, an acceptable ClientHello. The client is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloFault {
    #[error("not a tls record")]
    NotTls,
    #[error("a tls record that is not of the handshake")]
    NotHandshake,
    #[error("a handshake message other than a client hello")]
    NotClientHello,
    #[error("client hello longer or in more records than allowed")]
    TooLong,
    /// Names the part that is wrong.
    #[error("malformed client hello: {0}")]
    Malformed(&'static str),
    #[error("server name is not one printable ascii host name")]
    BadSni,
}

impl HelloFault {
    /// The stable name for records and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::NotTls => "not_tls",
            Self::NotHandshake => "not_handshake",
            Self::NotClientHello => "not_client_hello",
            Self::TooLong => "hello_too_long",
            Self::Malformed(_) => "malformed_hello",
            Self::BadSni => "bad_sni",
        }
    }
}

/// Reads the ClientHello at the start of `bytes`, all that the client has sent so far.
///
/// The answer depends only on the bytes, not on how they arrived, and a fault is final: no further
/// byte would mend it. What follows the hello in later records (early data) is not looked at.
/// Until the hello is whole a call costs one step a record and copies nothing, so calling again on
/// every segment is cheap.
///
/// # Errors
///
/// As soon as the bytes there cannot be the beginning of a ClientHello within `limits`.
pub fn read_hello(bytes: &[u8], limits: &HelloLimits) -> Result<HelloRead, HelloFault> {
    match records::client_hello(bytes, limits)? {
        Some(body) => parse(&body).map(HelloRead::Hello),
        None => Ok(HelloRead::Incomplete),
    }
}

/// The body of a ClientHello, which must be used up to the last byte.
fn parse(body: &[u8]) -> Result<Hello, HelloFault> {
    let mut reader = Reader { rest: body };
    let legacy_version = reader.u16("version")?;
    if legacy_version >> 8 != 3 {
        return Err(HelloFault::Malformed("version"));
    }
    reader.take(RANDOM_BYTES, "random")?;
    if reader.list_u8("session id")?.len() > SESSION_ID_BYTES_MAX {
        return Err(HelloFault::Malformed("session id"));
    }
    let ciphers = numbers(reader.list_u16("cipher suites")?, "cipher suites")?;
    if reader.list_u8("compression methods")?.is_empty() {
        return Err(HelloFault::Malformed("compression methods"));
    }
    // A hello before TLS 1.3 may end here (RFC 5246 section 7.4.1.2).
    let extensions = if reader.rest.is_empty() { Extensions::default() } else { Extensions::read(&mut reader)? };
    reader.end("bytes after the extensions")?;

    let version = extensions.versions.iter().copied().filter(|version| !is_grease(*version)).max();
    let version = version.unwrap_or(legacy_version);
    let offer = Offer {
        version,
        ciphers: &ciphers,
        extensions: &extensions.kinds,
        signature_algorithms: &extensions.signature_algorithms,
        groups: &extensions.groups,
        alpn_first: extensions.alpn.first().map(|name| &**name),
    };
    Ok(Hello {
        ja4: offer.ja4(),
        stable_key: offer.stable_key(),
        ech: extensions.kinds.contains(&extension::ENCRYPTED_CLIENT_HELLO),
        version: version.into(),
        traits: HelloTraits {
            grease: ciphers.iter().any(|cipher| is_grease(*cipher)),
            grease_signatures: extensions.signature_algorithms.iter().any(|algorithm| is_grease(*algorithm)),
            mlkem: extensions.shares.contains(&X25519MLKEM768),
            compresses: extensions.kinds.contains(&extension::COMPRESS_CERTIFICATE),
        },
        sni: extensions.sni,
        alpn: extensions.alpn,
    })
}

#[derive(Default)]
struct Extensions {
    kinds: Vec<u16>,
    sni: Option<Box<str>>,
    alpn: Vec<Box<[u8]>>,
    groups: Vec<u16>,
    signature_algorithms: Vec<u16>,
    versions: Vec<u16>,
    /// The groups of the key shares.
    shares: Vec<u16>,
}

impl Extensions {
    fn read(reader: &mut Reader<'_>) -> Result<Self, HelloFault> {
        let mut found = Self::default();
        let mut list = Reader { rest: reader.list_u16("extensions")? };
        while !list.rest.is_empty() {
            let kind = list.u16("extension type")?;
            let mut data = Reader { rest: list.list_u16("extension length")? };
            found.kinds.push(kind);
            match kind {
                extension::SERVER_NAME => found.sni = Some(server_name(&mut data)?),
                extension::ALPN => found.alpn = protocol_names(&mut data)?,
                extension::SUPPORTED_GROUPS => {
                    found.groups = numbers(data.list_u16("groups")?, "groups")?;
                    data.end("groups")?;
                }
                extension::SIGNATURE_ALGORITHMS => {
                    let what = "signature algorithms";
                    found.signature_algorithms = numbers(data.list_u16(what)?, what)?;
                    data.end(what)?;
                }
                extension::KEY_SHARE => found.shares = key_shares(&mut data)?,
                extension::SUPPORTED_VERSIONS => {
                    let what = "supported versions";
                    found.versions = numbers(data.list_u8(what)?, what)?;
                    data.end(what)?;
                }
                _ => {}
            }
        }
        // The first and the last of two server names are both read by somebody.
        let mut kinds = found.kinds.clone();
        kinds.sort_unstable();
        if kinds.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(HelloFault::Malformed("duplicate extension"));
        }
        Ok(found)
    }
}

/// RFC 6066 section 3. Only `host_name` was ever defined, and one of each type is allowed, so more
/// than one entry, or another type, is refused rather than searched for a name.
fn server_name(data: &mut Reader<'_>) -> Result<Box<str>, HelloFault> {
    let mut list = Reader { rest: data.list_u16("server name")? };
    data.end("server name")?;
    let kind = list.take(1, "server name")?;
    let name = list.list_u16("server name")?;
    let printable = name.iter().all(u8::is_ascii_graphic);
    if kind != [0] || !list.rest.is_empty() || name.is_empty() || name.len() > HOST_NAME_BYTES_MAX || !printable {
        return Err(HelloFault::BadSni);
    }
    Ok(name.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect::<String>().into())
}

/// RFC 7301 section 3.1: a list of at least one name, none of them empty.
fn protocol_names(data: &mut Reader<'_>) -> Result<Vec<Box<[u8]>>, HelloFault> {
    let mut list = Reader { rest: data.list_u16("alpn")? };
    data.end("alpn")?;
    let mut names = Vec::new();
    while !list.rest.is_empty() {
        let name = list.list_u8("alpn")?;
        if name.is_empty() {
            return Err(HelloFault::Malformed("alpn"));
        }
        names.push(name.into());
    }
    if names.is_empty() {
        return Err(HelloFault::Malformed("alpn"));
    }
    Ok(names)
}

/// RFC 8446 section 4.2.8: the groups of the shares, of which there may be none.
fn key_shares(data: &mut Reader<'_>) -> Result<Vec<u16>, HelloFault> {
    let mut list = Reader { rest: data.list_u16("key shares")? };
    data.end("key shares")?;
    let mut groups = Vec::new();
    while !list.rest.is_empty() {
        groups.push(list.u16("key shares")?);
        list.list_u16("key shares")?;
    }
    Ok(groups)
}

/// Every list of numbers we read must hold at least one.
fn numbers(bytes: &[u8], what: &'static str) -> Result<Vec<u16>, HelloFault> {
    let (pairs, odd) = bytes.as_chunks();
    if pairs.is_empty() || !odd.is_empty() {
        return Err(HelloFault::Malformed(what));
    }
    Ok(pairs.iter().copied().map(u16::from_be_bytes).collect())
}

/// Takes from the front; `what` names the part for the fault when bytes are short.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], HelloFault> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(HelloFault::Malformed(what))?;
        self.rest = rest;
        Ok(taken)
    }

    fn u16(&mut self, what: &'static str) -> Result<u16, HelloFault> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(HelloFault::Malformed(what))?;
        self.rest = rest;
        Ok(u16::from_be_bytes(*taken))
    }

    /// A list led by its length in one byte.
    fn list_u8(&mut self, what: &'static str) -> Result<&'a [u8], HelloFault> {
        let (&length, rest) = self.rest.split_first().ok_or(HelloFault::Malformed(what))?;
        self.rest = rest;
        self.take(length.into(), what)
    }

    /// A list led by its length in two bytes.
    fn list_u16(&mut self, what: &'static str) -> Result<&'a [u8], HelloFault> {
        let length = self.u16(what)?;
        self.take(length.into(), what)
    }

    fn end(&self, what: &'static str) -> Result<(), HelloFault> {
        if self.rest.is_empty() { Ok(()) } else { Err(HelloFault::Malformed(what)) }
    }
}

#[cfg(test)]
mod tests;
