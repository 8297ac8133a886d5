//! Addresses that are not ordinary public hosts, as constant tables.
//!
//! Source: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890, RFC 8190 and the RFCs they index), plus
//! multicast (RFC 5771, RFC 4291 §2.7), deprecated site-local (RFC 3879) and the retired IPv4-carrying forms (RFC 4291 §2.5.5.1, RFC 2765 §2.1).
//! Names are the registries' own. The first match is the answer, so a narrower range stands before the one around it.
//!
//! Entries the registries call globally reachable are in here too: AS112 sinks, AMT relays, PCP and TURN anycast, ORCHIDv2 and
//! drone tags name infrastructure near the gate or nothing at all, never a site a client was allowed to reach by name.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A special-purpose range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    /// As the registry writes it, such as `10.0.0.0/8`.
    pub(super) prefix: &'static str,
    /// The registry's name, such as `Private-Use`.
    pub(super) name: &'static str,
    /// No rule may open it: there is no single host behind it.
    pub(super) sealed: bool,
}

/// The special-purpose range that holds `address`.
pub(super) fn special_v4(address: Ipv4Addr) -> Option<Range> {
    let bits = address.to_bits();
    let row = IPV4.iter().find(|row| (bits ^ row.bits.to_bits()) & mask_v4(row.length) == 0)?;
    Some(row.range)
}

/// The special-purpose range that holds `address`; whatever lies outside global unicast (2000::/3) is in one.
pub(super) fn special_v6(address: Ipv6Addr) -> Option<Range> {
    let bits = address.to_bits();
    let row = IPV6.iter().find(|row| (bits ^ row.bits.to_bits()) & mask_v6(row.length) == 0);
    match row {
        Some(row) => Some(row.range),
        None if bits >> 125 == 0b001 => None,
        None => Some(NOT_GLOBAL_UNICAST),
    }
}

/// Where an address lies that only its interface identifier makes special.
pub(super) const ISATAP: Range = Range { prefix: "interface identifier ::5efe:0:0", name: "ISATAP", sealed: false };

/// IANA has delegated global unicast from 2000::/3 alone (RFC 4291 §2.4, RFC 3587 §3).
const NOT_GLOBAL_UNICAST: Range = Range { prefix: "outside 2000::/3", name: "Reserved by IETF", sealed: false };

/// A row of a table: the leading `length` bits of `bits`, and what they mean.
pub(super) struct Row<A> {
    pub(super) bits: A,
    pub(super) length: u32,
    pub(super) range: Range,
}

const fn mask_v4(length: u32) -> u32 {
    u32::MAX << (32 - length)
}

const fn mask_v6(length: u32) -> u128 {
    u128::MAX << (128 - length)
}

const fn open<A: Copy>(bits: A, length: u32, prefix: &'static str, name: &'static str) -> Row<A> {
    let range = Range { prefix, name, sealed: false };
    Row { bits, length, range }
}

const fn shut<A: Copy>(bits: A, length: u32, prefix: &'static str, name: &'static str) -> Row<A> {
    let range = Range { prefix, name, sealed: true };
    Row { bits, length, range }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

/// The routing half and the interface half of an address.
const fn v6(head: [u16; 4], tail: [u16; 4]) -> Ipv6Addr {
    Ipv6Addr::new(head[0], head[1], head[2], head[3], tail[0], tail[1], tail[2], tail[3])
}

const NONE: [u16; 4] = [0; 4];

#[rustfmt::skip]
pub(super) const IPV4: &[Row<Ipv4Addr>] = &[
    shut(v4(0, 0, 0, 0), 32, "0.0.0.0/32", "This host on this network"),                  // RFC 1122 §3.2.1.3
    shut(v4(0, 0, 0, 0), 8, "0.0.0.0/8", "This network"),                                 // RFC 791 §3.2
    open(v4(10, 0, 0, 0), 8, "10.0.0.0/8", "Private-Use"),                                // RFC 1918
    open(v4(100, 64, 0, 0), 10, "100.64.0.0/10", "Shared Address Space"),                 // RFC 6598
    open(v4(127, 0, 0, 0), 8, "127.0.0.0/8", "Loopback"),                                 // RFC 1122 §3.2.1.3
    open(v4(169, 254, 0, 0), 16, "169.254.0.0/16", "Link Local"),                         // RFC 3927
    open(v4(172, 16, 0, 0), 12, "172.16.0.0/12", "Private-Use"),                          // RFC 1918
    open(v4(192, 0, 0, 0), 29, "192.0.0.0/29", "IPv4 Service Continuity Prefix"),         // RFC 7335
    open(v4(192, 0, 0, 8), 32, "192.0.0.8/32", "IPv4 dummy address"),                     // RFC 7600
    open(v4(192, 0, 0, 9), 32, "192.0.0.9/32", "Port Control Protocol Anycast"),          // RFC 7723
    open(v4(192, 0, 0, 10), 32, "192.0.0.10/32", "Traversal Using Relays around NAT Anycast"), // RFC 8155
    open(v4(192, 0, 0, 170), 31, "192.0.0.170/31", "NAT64/DNS64 Discovery"),              // RFC 7050 §2.2
    open(v4(192, 0, 0, 0), 24, "192.0.0.0/24", "IETF Protocol Assignments"),              // RFC 6890 §2.1
    open(v4(192, 0, 2, 0), 24, "192.0.2.0/24", "Documentation (TEST-NET-1)"),             // RFC 5737
    open(v4(192, 31, 196, 0), 24, "192.31.196.0/24", "AS112-v4"),                         // RFC 7535
    open(v4(192, 52, 193, 0), 24, "192.52.193.0/24", "AMT"),                              // RFC 7450
    open(v4(192, 88, 99, 2), 32, "192.88.99.2/32", "6a44-relay anycast address"),         // RFC 6751
    open(v4(192, 88, 99, 0), 24, "192.88.99.0/24", "Deprecated (6to4 Relay Anycast)"),    // RFC 7526
    open(v4(192, 168, 0, 0), 16, "192.168.0.0/16", "Private-Use"),                        // RFC 1918
    open(v4(192, 175, 48, 0), 24, "192.175.48.0/24", "Direct Delegation AS112 Service"),  // RFC 7534
    open(v4(198, 18, 0, 0), 15, "198.18.0.0/15", "Benchmarking"),                         // RFC 2544
    open(v4(198, 51, 100, 0), 24, "198.51.100.0/24", "Documentation (TEST-NET-2)"),       // RFC 5737
    open(v4(203, 0, 113, 0), 24, "203.0.113.0/24", "Documentation (TEST-NET-3)"),         // RFC 5737
    shut(v4(224, 0, 0, 0), 4, "224.0.0.0/4", "Multicast"),                                // RFC 5771
    shut(v4(255, 255, 255, 255), 32, "255.255.255.255/32", "Limited Broadcast"),          // RFC 919 §7
    open(v4(240, 0, 0, 0), 4, "240.0.0.0/4", "Reserved"),                                 // RFC 1112 §4
];

#[rustfmt::skip]
pub(super) const IPV6: &[Row<Ipv6Addr>] = &[
    shut(v6(NONE, NONE), 128, "::/128", "Unspecified Address"),                           // RFC 4291 §2.5.2
    open(v6(NONE, [0, 0, 0, 1]), 128, "::1/128", "Loopback Address"),                     // RFC 4291 §2.5.3
    open(v6(NONE, NONE), 96, "::/96", "IPv4-compatible Address (deprecated)"),            // RFC 4291 §2.5.5.1
    open(v6(NONE, [0, 0xffff, 0, 0]), 96, "::ffff:0:0/96", "IPv4-mapped Address"),        // RFC 4291 §2.5.5.2
    open(v6(NONE, [0xffff, 0, 0, 0]), 96, "::ffff:0:0:0/96", "IPv4-translated Address (obsolete)"), // RFC 2765 §2.1
    open(v6([0x64, 0xff9b, 0, 0], NONE), 96, "64:ff9b::/96", "IPv4-IPv6 Translat."),      // RFC 6052 §2.1
    open(v6([0x64, 0xff9b, 1, 0], NONE), 48, "64:ff9b:1::/48", "IPv4-IPv6 Translat."),    // RFC 8215
    open(v6([0x100, 0, 0, 0], NONE), 64, "100::/64", "Discard-Only Address Block"),       // RFC 6666
    open(v6([0x100, 0, 0, 1], NONE), 64, "100:0:0:1::/64", "Dummy IPv6 Prefix"),          // RFC 9780
    open(v6([0x2001, 0, 0, 0], NONE), 32, "2001::/32", "TEREDO"),                         // RFC 4380 §2.6
    open(v6([0x2001, 1, 0, 0], [0, 0, 0, 1]), 128, "2001:1::1/128", "Port Control Protocol Anycast"), // RFC 7723
    open(v6([0x2001, 1, 0, 0], [0, 0, 0, 2]), 128, "2001:1::2/128", "Traversal Using Relays around NAT Anycast"), // RFC 8155
    open(v6([0x2001, 1, 0, 0], [0, 0, 0, 3]), 128, "2001:1::3/128", "DNS-SD Service Registration Protocol Anycast"), // RFC 9665
    open(v6([0x2001, 2, 0, 0], NONE), 48, "2001:2::/48", "Benchmarking"),                 // RFC 5180
    open(v6([0x2001, 3, 0, 0], NONE), 32, "2001:3::/32", "AMT"),                          // RFC 7450
    open(v6([0x2001, 4, 0x112, 0], NONE), 48, "2001:4:112::/48", "AS112-v6"),             // RFC 7535
    open(v6([0x2001, 0x10, 0, 0], NONE), 28, "2001:10::/28", "Deprecated (previously ORCHID)"), // RFC 4843
    open(v6([0x2001, 0x20, 0, 0], NONE), 28, "2001:20::/28", "ORCHIDv2"),                 // RFC 7343
    open(v6([0x2001, 0x30, 0, 0], NONE), 28, "2001:30::/28", "Drone Remote ID Protocol Entity Tags (DETs) Prefix"), // RFC 9374
    open(v6([0x2001, 0, 0, 0], NONE), 23, "2001::/23", "IETF Protocol Assignments"),      // RFC 2928
    open(v6([0x2001, 0xdb8, 0, 0], NONE), 32, "2001:db8::/32", "Documentation"),          // RFC 3849
    open(v6([0x2002, 0, 0, 0], NONE), 16, "2002::/16", "6to4"),                           // RFC 3056
    open(v6([0x2620, 0x4f, 0x8000, 0], NONE), 48, "2620:4f:8000::/48", "Direct Delegation AS112 Service"), // RFC 7534
    open(v6([0x3fff, 0, 0, 0], NONE), 20, "3fff::/20", "Documentation"),                  // RFC 9637
    open(v6([0x5f00, 0, 0, 0], NONE), 16, "5f00::/16", "Segment Routing (SRv6) SIDs"),    // RFC 9602
    open(v6([0xfc00, 0, 0, 0], NONE), 7, "fc00::/7", "Unique-Local"),                     // RFC 4193
    open(v6([0xfe80, 0, 0, 0], NONE), 10, "fe80::/10", "Link-Local Unicast"),             // RFC 4291 §2.5.6
    open(v6([0xfec0, 0, 0, 0], NONE), 10, "fec0::/10", "Site-Local (deprecated)"),        // RFC 3879
    shut(v6([0xff00, 0, 0, 0], NONE), 8, "ff00::/8", "Multicast"),                        // RFC 4291 §2.7
];
