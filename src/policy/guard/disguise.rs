//! IPv4 addresses carried inside IPv6 ones.
//!
//! The host or a translator on the path unwraps these, so the IPv4 address inside is where the bytes may end up.
//! A NAT64 under a prefix of the operator's own (RFC 6052 §2.2) looks like any other address and cannot be seen here.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// An IPv4 address found inside an IPv6 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disguise {
    /// How it is carried.
    pub kind: DisguiseKind,
    /// What is carried.
    pub embedded: Ipv4Addr,
}

/// The ways an IPv6 address carries an IPv4 one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisguiseKind {
    /// `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2).
    Ipv4Mapped,
    /// `::a.b.c.d` (RFC 4291 §2.5.5.1, deprecated).
    Ipv4Compatible,
    /// `::ffff:0:a.b.c.d` (RFC 2765 §2.1, obsolete).
    Ipv4Translated,
    /// `64:ff9b::a.b.c.d`, the well-known NAT64 prefix (RFC 6052 §2.1).
    Nat64WellKnown,
    /// Within 64:ff9b:1::/48, the local-use NAT64 prefix (RFC 8215), laid out by RFC 6052 §2.2.
    Nat64LocalUse,
    /// `2002:ab:cd::`, the router of a 6to4 site (RFC 3056 §2).
    SixToFour,
    /// The server of a Teredo client (RFC 4380 §4).
    TeredoServer,
    /// The outer address of a Teredo client, stored inverted (RFC 4380 §4).
    TeredoClient,
    /// Interface identifier `0:5efe:a.b.c.d` or `200:5efe:a.b.c.d`, under any prefix (RFC 5214 §6.1).
    Isatap,
}

/// Every IPv4 address that `address` may carry.
///
/// `opened_length` is the length of the narrowest opened prefix around `address`. It tells where a local-use NAT64 keeps the IPv4
/// address; without it, or for a length RFC 6052 does not define, the last 32 bits count.
pub(super) fn disguises(address: Ipv6Addr, opened_length: Option<u8>) -> [Option<Disguise>; 3] {
    let bits = address.to_bits();
    let tail = Ipv4Addr::from_bits(bits as u32);
    let found = |kind, embedded| Some(Disguise { kind, embedded });

    let (first, second) = match address.segments() {
        // The two that the registry lists as plain addresses.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => (None, None),
        [0, 0, 0, 0, 0, 0, ..] => (found(DisguiseKind::Ipv4Compatible, tail), None),
        [0, 0, 0, 0, 0, 0xffff, ..] => (found(DisguiseKind::Ipv4Mapped, tail), None),
        [0, 0, 0, 0, 0xffff, 0, ..] => (found(DisguiseKind::Ipv4Translated, tail), None),
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => (found(DisguiseKind::Nat64WellKnown, tail), None),
        [0x64, 0xff9b, 1, ..] => {
            let (inner, also) = local_use_nat64(bits, opened_length);
            let also = also.and_then(|also| found(DisguiseKind::Nat64LocalUse, also));
            (found(DisguiseKind::Nat64LocalUse, inner), also)
        }
        [0x2002, ..] => {
            let router = Ipv4Addr::from_bits((bits >> 80) as u32);
            (found(DisguiseKind::SixToFour, router), None)
        }
        [0x2001, 0, ..] => {
            let client = Ipv4Addr::from_bits(!(bits as u32));
            let server = Ipv4Addr::from_bits((bits >> 64) as u32);
            (found(DisguiseKind::TeredoClient, client), found(DisguiseKind::TeredoServer, server))
        }
        _ => (None, None),
    };
    let third = is_isatap(address).then_some(Disguise { kind: DisguiseKind::Isatap, embedded: tail });
    [first, second, third]
}

/// Whether the interface identifier is `000000ug 00000000 5e fe` and an IPv4 address.
pub(super) fn is_isatap(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    segments[4] & !0x0300 == 0 && segments[5] == 0x5efe
}

/// The IPv4 address at the place that a prefix of `length` bits gives it, and the last 32 bits where these are also filled:
/// RFC 6052 §2.2 wants octet 8 and the suffix zero, and a translator may be laxer or have another prefix than the rule says.
fn local_use_nat64(bits: u128, length: Option<u8>) -> (Ipv4Addr, Option<Ipv4Addr>) {
    let tail = bits as u32;
    // Octet 8 is skipped, so the IPv4 address is split around bits 64 to 71.
    let low_64 = bits as u64;
    let (inner, suffix) = match length {
        Some(48) => (((bits >> 64) as u32) << 16 | (low_64 >> 40) as u16 as u32, low_64 << 24),
        Some(56) => (((bits >> 64) as u32) << 24 | (low_64 >> 32) as u32 & 0x00ff_ffff, low_64 << 32),
        Some(64) => ((low_64 >> 24) as u32, low_64 << 40),
        _ => return (Ipv4Addr::from_bits(tail), None),
    };
    let octet_8 = low_64 >> 56;
    let tidy = octet_8 == 0 && suffix == 0;
    (Ipv4Addr::from_bits(inner), (!tidy).then_some(Ipv4Addr::from_bits(tail)))
}

impl fmt::Display for Disguise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} form of {}", self.kind, self.embedded)
    }
}

impl fmt::Display for DisguiseKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4Mapped => "IPv4-mapped",
            Self::Ipv4Compatible => "IPv4-compatible",
            Self::Ipv4Translated => "IPv4-translated",
            Self::Nat64WellKnown => "NAT64",
            Self::Nat64LocalUse => "local-use NAT64",
            Self::SixToFour => "6to4",
            Self::TeredoServer => "Teredo server",
            Self::TeredoClient => "Teredo client",
            Self::Isatap => "ISATAP",
        })
    }
}
