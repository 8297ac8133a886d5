use std::fmt;

use crate::facts::Contradictions;

/// One thing that does not fit a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ground {
    ConnectVersion,
    ConnectHost,
    ConnectFields,
    ConnectKeepAlive,
    PlainBegin,
    PlainOrder,
    PlainExtra,
    PlainEncoding,
    PlainLanguage,
    TlsKey,
    TlsGrease,
    TlsSignatureGrease,
    TlsEch,
    TlsKeyShare,
    TlsCompression,
    TlsAlpn,
    TlsUnlikeVersion,
    InnerEncoding,
    InnerClientHints,
    InnerFetchMetadata,
    InnerSettings,
    InnerWindow,
    InnerPseudoFields,
}

/// Where a ground was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    Connect,
    Plain,
    Tls,
    Inner,
}

impl Ground {
    /// Every one, in the order of [`Grounds`].
    pub(super) const ALL: [Self; 23] = [
        Self::ConnectVersion,
        Self::ConnectHost,
        Self::ConnectFields,
        Self::ConnectKeepAlive,
        Self::PlainBegin,
        Self::PlainOrder,
        Self::PlainExtra,
        Self::PlainEncoding,
        Self::PlainLanguage,
        Self::TlsKey,
        Self::TlsGrease,
        Self::TlsSignatureGrease,
        Self::TlsEch,
        Self::TlsKeyShare,
        Self::TlsCompression,
        Self::TlsAlpn,
        Self::TlsUnlikeVersion,
        Self::InnerEncoding,
        Self::InnerClientHints,
        Self::InnerFetchMetadata,
        Self::InnerSettings,
        Self::InnerWindow,
        Self::InnerPseudoFields,
    ];

    /// The stable name for records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectVersion => "connect_version",
            Self::ConnectHost => "connect_host",
            Self::ConnectFields => "connect_fields",
            Self::ConnectKeepAlive => "connect_keep_alive",
            Self::PlainBegin => "plain_begin",
            Self::PlainOrder => "plain_order",
            Self::PlainExtra => "plain_extra",
            Self::PlainEncoding => "plain_encoding",
            Self::PlainLanguage => "plain_language",
            Self::TlsKey => "tls_key",
            Self::TlsGrease => "tls_grease",
            Self::TlsSignatureGrease => "tls_signature_grease",
            Self::TlsEch => "tls_ech",
            Self::TlsKeyShare => "tls_key_share",
            Self::TlsCompression => "tls_compression",
            Self::TlsAlpn => "tls_alpn",
            Self::TlsUnlikeVersion => "tls_unlike_version",
            Self::InnerEncoding => "inner_encoding",
            Self::InnerClientHints => "inner_client_hints",
            Self::InnerFetchMetadata => "inner_fetch_metadata",
            Self::InnerSettings => "inner_settings",
            Self::InnerWindow => "inner_window",
            Self::InnerPseudoFields => "inner_pseudo_fields",
        }
    }

    /// The ground of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ground| ground.as_str() == name)
    }

    pub fn group(self) -> Group {
        match self {
            Self::ConnectVersion | Self::ConnectHost | Self::ConnectFields | Self::ConnectKeepAlive => Group::Connect,
            Self::PlainBegin | Self::PlainOrder | Self::PlainExtra | Self::PlainEncoding | Self::PlainLanguage => {
                Group::Plain
            }
            Self::TlsKey
            | Self::TlsGrease
            | Self::TlsSignatureGrease
            | Self::TlsEch
            | Self::TlsKeyShare
            | Self::TlsCompression
            | Self::TlsAlpn
            | Self::TlsUnlikeVersion => Group::Tls,
            Self::InnerEncoding
            | Self::InnerClientHints
            | Self::InnerFetchMetadata
            | Self::InnerSettings
            | Self::InnerWindow
            | Self::InnerPseudoFields => Group::Inner,
        }
    }
}

/// What is wrong, to follow the name of the browser that is claimed.
impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectVersion => "asks for tunnels in HTTP/1.1",
            Self::ConnectHost => "names host and port in the Host of a CONNECT",
            Self::ConnectFields => "sends other fields in a CONNECT, or in another order or letter case",
            Self::ConnectKeepAlive => "writes keep-alive in small letters",
            Self::PlainBegin => "begins a request with other fields",
            Self::PlainOrder => "sends fields in another order",
            Self::PlainExtra => "does not send such a field over http",
            Self::PlainEncoding => "accepts other encodings over http",
            Self::PlainLanguage => "says which languages it accepts",
            Self::TlsKey => "offers other ciphers, signature algorithms or groups",
            Self::TlsGrease => "does otherwise about GREASE",
            Self::TlsSignatureGrease => "does otherwise about GREASE among signature algorithms",
            Self::TlsEch => "does otherwise about encrypted hellos",
            Self::TlsKeyShare => "does otherwise about a post-quantum key share",
            Self::TlsCompression => "does otherwise about compressed certificates",
            Self::TlsAlpn => "offers other protocols",
            Self::TlsUnlikeVersion => {
                "offers, on other clients of this network, other ciphers, signature algorithms or groups"
            }
            Self::InnerEncoding => "accepts other encodings inside TLS",
            Self::InnerClientHints => "says otherwise in sec-ch-ua which version it is, or whether at all",
            Self::InnerFetchMetadata => "says in Sec-Fetch fields what it asks for",
            Self::InnerSettings => "opens HTTP/2 with other settings",
            Self::InnerWindow => "opens HTTP/2 with another window",
            Self::InnerPseudoFields => "sends the pseudo-header fields of HTTP/2 in another order",
        })
    }
}

/// A set of grounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grounds(u32);

impl Grounds {
    /// Nothing speaks against the claim.
    pub const NONE: Self = Self(0);

    pub(super) fn add(&mut self, ground: Ground) {
        self.0 |= 1 << (ground as u32);
    }

    pub(super) fn add_if(&mut self, ground: Ground, found: bool) {
        if found {
            self.add(ground);
        }
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether nothing speaks against the claim but that other clients show something else with this version.
    pub fn is_at_most_unlike(self) -> bool {
        self.iter().all(|ground| ground == Ground::TlsUnlikeVersion)
    }

    pub fn iter(self) -> impl Iterator<Item = Ground> {
        Ground::ALL.into_iter().filter(move |ground| self.0 & (1 << (*ground as u32)) != 0)
    }

    /// In which groups there are some.
    pub fn contradictions(self) -> Contradictions {
        let has = |group: Group| self.iter().any(|ground| ground.group() == group);
        Contradictions {
            connect: has(Group::Connect),
            plain: has(Group::Plain),
            tls: has(Group::Tls),
            inner: has(Group::Inner),
        }
    }
}

impl FromIterator<Ground> for Grounds {
    fn from_iter<I: IntoIterator<Item = Ground>>(grounds: I) -> Self {
        let mut all = Self::NONE;
        grounds.into_iter().for_each(|ground| all.add(ground));
        all
    }
}
