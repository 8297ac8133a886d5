use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use proptest::prelude::*;

use super::disguise::DisguiseKind;
use super::ranges::{IPV4, IPV6};
use super::*;

/// Every registry range: its prefix and name, addresses inside (first and last, where no narrower range has them), and the nearest
/// addresses outside (where these are ordinary).
type Case = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("0.0.0.0/32", "This host on this network", &["0.0.0.0"], &[]),
    ("0.0.0.0/8", "This network", &["0.0.0.1", "0.255.255.255"], &["1.0.0.0"]),
    ("10.0.0.0/8", "Private-Use", &["10.0.0.0", "10.255.255.255"], &["9.255.255.255", "11.0.0.0"]),
    ("100.64.0.0/10", "Shared Address Space", &["100.64.0.0", "100.127.255.255"], &["100.63.255.255", "100.128.0.0"]),
    ("127.0.0.0/8", "Loopback", &["127.0.0.0", "127.255.255.255"], &["126.255.255.255", "128.0.0.0"]),
    ("169.254.0.0/16", "Link Local", &["169.254.0.0", "169.254.255.255"], &["169.253.255.255", "169.255.0.0"]),
    ("172.16.0.0/12", "Private-Use", &["172.16.0.0", "172.31.255.255"], &["172.15.255.255", "172.32.0.0"]),
    ("192.0.0.0/29", "IPv4 Service Continuity Prefix", &["192.0.0.0", "192.0.0.7"], &["191.255.255.255"]),
    ("192.0.0.8/32", "IPv4 dummy address", &["192.0.0.8"], &[]),
    ("192.0.0.9/32", "Port Control Protocol Anycast", &["192.0.0.9"], &[]),
    ("192.0.0.10/32", "Traversal Using Relays around NAT Anycast", &["192.0.0.10"], &[]),
    ("192.0.0.170/31", "NAT64/DNS64 Discovery", &["192.0.0.170", "192.0.0.171"], &[]),
    ("192.0.0.0/24", "IETF Protocol Assignments", &["192.0.0.11", "192.0.0.169", "192.0.0.172", "192.0.0.255"], &["192.0.1.0"]),
    ("192.0.2.0/24", "Documentation (TEST-NET-1)", &["192.0.2.0", "192.0.2.255"], &["192.0.1.255", "192.0.3.0"]),
    ("192.31.196.0/24", "AS112-v4", &["192.31.196.0", "192.31.196.255"], &["192.31.195.255", "192.31.197.0"]),
    ("192.52.193.0/24", "AMT", &["192.52.193.0", "192.52.193.255"], &["192.52.192.255", "192.52.194.0"]),
    ("192.88.99.2/32", "6a44-relay anycast address", &["192.88.99.2"], &[]),
    ("192.88.99.0/24", "Deprecated (6to4 Relay Anycast)", &["192.88.99.0", "192.88.99.1", "192.88.99.3", "192.88.99.255"], &["192.88.98.255", "192.88.100.0"]),
    ("192.168.0.0/16", "Private-Use", &["192.168.0.0", "192.168.255.255"], &["192.167.255.255", "192.169.0.0"]),
    ("192.175.48.0/24", "Direct Delegation AS112 Service", &["192.175.48.0", "192.175.48.255"], &["192.175.47.255", "192.175.49.0"]),
    ("198.18.0.0/15", "Benchmarking", &["198.18.0.0", "198.19.255.255"], &["198.17.255.255", "198.20.0.0"]),
    ("198.51.100.0/24", "Documentation (TEST-NET-2)", &["198.51.100.0", "198.51.100.255"], &["198.51.99.255", "198.51.101.0"]),
    ("203.0.113.0/24", "Documentation (TEST-NET-3)", &["203.0.113.0", "203.0.113.255"], &["203.0.112.255", "203.0.114.0"]),
    ("224.0.0.0/4", "Multicast", &["224.0.0.0", "239.255.255.255"], &["223.255.255.255"]),
    ("240.0.0.0/4", "Reserved", &["240.0.0.0", "255.255.255.254"], &[]),
    ("255.255.255.255/32", "Limited Broadcast", &["255.255.255.255"], &[]),

    ("::/128", "Unspecified Address", &["::"], &[]),
    ("::1/128", "Loopback Address", &["::1"], &[]),
    // The edges of the next five, and of 6to4 and Teredo, carry special IPv4 addresses and are named after these.
    ("::/96", "IPv4-compatible Address (deprecated)", &["::1.0.0.0", "::8.8.8.8", "::223.255.255.255"], &[]),
    ("::ffff:0:0/96", "IPv4-mapped Address", &["::ffff:1.0.0.0", "::ffff:8.8.8.8", "::ffff:223.255.255.255"], &[]),
    ("::ffff:0:0:0/96", "IPv4-translated Address (obsolete)", &["::ffff:0:1.0.0.0", "::ffff:0:8.8.8.8", "::ffff:0:223.255.255.255"], &[]),
    ("64:ff9b::/96", "IPv4-IPv6 Translat.", &["64:ff9b::1.0.0.0", "64:ff9b::8.8.8.8", "64:ff9b::223.255.255.255"], &[]),
    ("64:ff9b:1::/48", "IPv4-IPv6 Translat.", &["64:ff9b:1::1.0.0.0", "64:ff9b:1::8.8.8.8", "64:ff9b:1:ffff:ffff:ffff:dfff:ffff"], &[]),
    ("100::/64", "Discard-Only Address Block", &["100::", "100::ffff:ffff:ffff:ffff"], &[]),
    ("100:0:0:1::/64", "Dummy IPv6 Prefix", &["100:0:0:1::", "100::1:ffff:ffff:ffff:ffff"], &[]),
    ("2001::/32", "TEREDO", &["2001:0:808:808::f7f7:f7f7", "2001:0:dfff:ffff:ffff:ffff:f7f7:f7f7"], &["2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]),
    ("2001:1::1/128", "Port Control Protocol Anycast", &["2001:1::1"], &[]),
    ("2001:1::2/128", "Traversal Using Relays around NAT Anycast", &["2001:1::2"], &[]),
    ("2001:1::3/128", "DNS-SD Service Registration Protocol Anycast", &["2001:1::3"], &[]),
    ("2001:2::/48", "Benchmarking", &["2001:2::", "2001:2:0:ffff:ffff:ffff:ffff:ffff"], &[]),
    ("2001:3::/32", "AMT", &["2001:3::", "2001:3:ffff:ffff:ffff:ffff:ffff:ffff"], &[]),
    ("2001:4:112::/48", "AS112-v6", &["2001:4:112::", "2001:4:112:ffff:ffff:ffff:ffff:ffff"], &[]),
    ("2001:10::/28", "Deprecated (previously ORCHID)", &["2001:10::", "2001:1f:ffff:ffff:ffff:ffff:ffff:ffff"], &[]),
    ("2001:20::/28", "ORCHIDv2", &["2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff"], &[]),
    ("2001:30::/28", "Drone Remote ID Protocol Entity Tags (DETs) Prefix", &["2001:30::", "2001:3f:ffff:ffff:ffff:ffff:ffff:ffff"], &[]),
    ("2001::/23", "IETF Protocol Assignments", &["2001:1::", "2001:1::4", "2001:2:1::", "2001:40::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"], &["2001:200::"]),
    ("2001:db8::/32", "Documentation", &["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"], &["2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"]),
    ("2002::/16", "6to4", &["2002:100::", "2002:808:808::1", "2002:dfff:ffff:ffff:ffff:ffff:ffff:ffff"], &["2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"]),
    ("2620:4f:8000::/48", "Direct Delegation AS112 Service", &["2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff"], &["2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::"]),
    ("3fff::/20", "Documentation", &["3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"], &["3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"]),
    ("5f00::/16", "Segment Routing (SRv6) SIDs", &["5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], &[]),
    ("fc00::/7", "Unique-Local", &["fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], &[]),
    ("fe80::/10", "Link-Local Unicast", &["fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], &[]),
    ("fec0::/10", "Site-Local (deprecated)", &["fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], &[]),
    ("ff00::/8", "Multicast", &["ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], &[]),
    ("outside 2000::/3", "Reserved by IETF", &[
        "::1:0:0:0", "64:ff9b:0:0:0:1::", "64:ff9b:2::", "ff:ffff::", "100:0:0:2::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "4000::", "5eff:ffff::", "5f01::", "fbff:ffff::", "fe00::", "fe7f:ffff::",
    ], &["2000::", "3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]),
    ("interface identifier ::5efe:0:0", "ISATAP", &["2a00::5efe:8.8.8.8", "2a00::200:5efe:8.8.8.8", "2a00::300:5efe:8.8.8.8"],
        &["2a00::5efd:8.8.8.8", "2a00::5eff:8.8.8.8", "2a00::400:5efe:8.8.8.8", "2a00::5efe:0:8.8.8.8"]),
];

/// Every way to write an IPv4 address, with no other one inside that is special.
fn disguised(inner: &str) -> Vec<(DisguiseKind, Ipv6Addr)> {
    let bits = u128::from(inner.parse::<Ipv4Addr>().unwrap().to_bits());
    let over = |prefix: &str| Ipv6Addr::from_bits(prefix.parse::<Ipv6Addr>().unwrap().to_bits() | bits);
    let at =
        |prefix: &str, shift: u32| Ipv6Addr::from_bits(prefix.parse::<Ipv6Addr>().unwrap().to_bits() | bits << shift);
    let inverted = bits ^ 0xffff_ffff;
    let teredo_client = "2001:0:808:808::".parse::<Ipv6Addr>().unwrap().to_bits() | inverted;
    vec![
        (DisguiseKind::Ipv4Mapped, over("::ffff:0:0")),
        (DisguiseKind::Ipv4Compatible, over("::")),
        (DisguiseKind::Ipv4Translated, over("::ffff:0:0:0")),
        (DisguiseKind::Nat64WellKnown, over("64:ff9b::")),
        (DisguiseKind::Nat64LocalUse, over("64:ff9b:1::")),
        (DisguiseKind::Nat64LocalUse, over("64:ff9b:1:abcd:ef01:2345::")),
        (DisguiseKind::SixToFour, at("2002::1", 80)),
        (DisguiseKind::SixToFour, at("2002:0:0:ffff:ffff:ffff:ffff:ffff", 80)),
        (DisguiseKind::TeredoServer, at("2001:0:0:0:8000:1:f7f7:f7f7", 64)),
        (DisguiseKind::TeredoClient, Ipv6Addr::from_bits(teredo_client)),
        (DisguiseKind::Isatap, over("2a00::5efe:0:0")),
        (DisguiseKind::Isatap, over("2a00::200:5efe:0:0")),
        (DisguiseKind::Isatap, over("fe80::5efe:0:0")),
    ]
}

fn nobody() -> OwnEndpoints {
    OwnEndpoints { listeners: vec![], interfaces: vec![] }
}

fn gate(listeners: &[&str], interfaces: &[&str]) -> OwnEndpoints {
    OwnEndpoints {
        listeners: listeners.iter().map(|text| text.parse().unwrap()).collect(),
        interfaces: interfaces.iter().map(|text| ip(text)).collect(),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn nets(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn judge(address: &str, opened: &[&str]) -> Result<CheckedAddress, AddressRefused> {
    judge_address(ip(address), 443, &nets(opened), &nobody())
}

fn judge_for(own: &OwnEndpoints, target: &str) -> Result<CheckedAddress, AddressRefused> {
    let target: SocketAddr = target.parse().unwrap();
    let everything = nets(&["0.0.0.0/0", "::/0"]);
    judge_address(target.ip(), target.port(), &everything, own)
}

#[track_caller]
fn assert_special(
    verdict: Result<CheckedAddress, AddressRefused>,
    expected_range: &str,
    expected_name: &str,
) -> Option<Disguise> {
    match verdict {
        Err(AddressRefused::Special { range, name, disguise, .. }) => {
            assert_eq!((range, name), (expected_range, expected_name));
            disguise
        }
        other => panic!("expected {expected_range} ({expected_name}), got {other:?}"),
    }
}

#[track_caller]
fn assert_passes(verdict: Result<CheckedAddress, AddressRefused>, target: &str) {
    let passed = verdict.map(CheckedAddress::socket_address);
    assert_eq!(passed, Ok(SocketAddr::new(ip(target), 443)));
}

#[track_caller]
fn assert_own(own: &OwnEndpoints, target: &str) {
    let address = target.parse().unwrap();
    assert_eq!(judge_for(own, target), Err(AddressRefused::Own { address }));
}

#[track_caller]
fn assert_not_own(own: &OwnEndpoints, target: &str) {
    let verdict = judge_for(own, target).map(CheckedAddress::socket_address);
    assert_eq!(verdict, Ok(target.parse().unwrap()));
}

#[test]
fn every_special_range_is_refused_by_name_and_its_neighbours_pass() {
    for (range, name, inside, outside) in CASES {
        for address in *inside {
            assert_special(judge(address, &[]), range, name);
            assert!(!is_global(ip(address)), "{address} in {range}");
        }
        for address in *outside {
            assert_passes(judge(address, &[]), address);
            assert!(is_global(ip(address)), "{address} next to {range}");
        }
    }
}

#[test]
fn every_row_of_the_tables_has_a_case() {
    let rows = IPV4.iter().map(|row| row.range);
    for range in rows.chain(IPV6.iter().map(|row| row.range)) {
        let found = CASES.iter().any(|case| case.0 == range.prefix && case.1 == range.name);
        assert!(found, "{range:?}");
    }
}

#[test]
fn every_row_of_the_tables_is_written_as_it_is_matched() {
    let v4 = IPV4.iter().map(|row| (IpAddr::V4(row.bits), row.length, row.range));
    let v6 = IPV6.iter().map(|row| (IpAddr::V6(row.bits), row.length, row.range));
    for (bits, length, range) in v4.chain(v6) {
        let written: IpNet = range.prefix.parse().unwrap();
        assert_eq!((written.network(), u32::from(written.prefix_len())), (bits, length));
        assert_eq!(written.addr(), bits, "{range:?} has host bits");
    }
}

#[test]
fn no_row_of_the_tables_is_hidden_by_a_wider_one_above_it() {
    let v4: Vec<&str> = IPV4.iter().map(|row| row.range.prefix).collect();
    let v6: Vec<&str> = IPV6.iter().map(|row| row.range.prefix).collect();
    for table in [nets(&v4), nets(&v6)] {
        for (place, row) in table.iter().enumerate() {
            let above = table[..place].iter().find(|above| above.contains(row));
            assert_eq!(above, None, "hides {row}");
        }
    }
}

#[test]
fn ordinary_public_addresses_pass_as_given() {
    for address in ["8.8.8.8", "1.1.1.1", "93.184.215.14", "2606:4700::1111", "2a00:1450:4001::200e"] {
        assert_passes(judge(address, &[]), address);
        assert!(is_global(ip(address)));
    }
}

#[test]
fn every_disguise_of_a_special_address_is_refused_by_the_name_of_what_is_inside() {
    let special = [
        ("127.0.0.1", "127.0.0.0/8", "Loopback"),
        ("10.0.0.1", "10.0.0.0/8", "Private-Use"),
        ("169.254.169.254", "169.254.0.0/16", "Link Local"),
    ];
    for (inner, range, name) in special {
        for (kind, address) in disguised(inner) {
            // Opening all of IPv6 changes nothing: the address inside is still closed.
            for opened in [&[][..], &["::/0"]] {
                let found = assert_special(judge(&address.to_string(), opened), range, name);
                let embedded = inner.parse().unwrap();
                assert_eq!(found, Some(Disguise { kind, embedded }), "{address}");
            }
            assert!(!is_global(address.into()), "{address}");
        }
    }
}

#[test]
fn a_disguised_public_address_needs_its_ipv6_prefix_opened() {
    for (kind, address) in disguised("8.8.8.8") {
        let address = address.to_string();
        match judge(&address, &["0.0.0.0/0"]) {
            Err(AddressRefused::Special { disguise: Some(found), .. }) => {
                // Both addresses of this Teredo form are 8.8.8.8; the client is named first.
                let is_teredo = kind == DisguiseKind::TeredoServer;
                assert!(found.kind == kind || is_teredo, "{address}: {found:?}");
            }
            other => panic!("{address}: {other:?}"),
        }
        assert_passes(judge(&address, &["::/0"]), &address);
    }
}

#[test]
fn an_ipv4_prefix_never_opens_a_disguised_form() {
    for (_, address) in disguised("10.0.0.1") {
        let verdict = judge(&address.to_string(), &["10.0.0.0/8", "0.0.0.0/0"]);
        let Err(AddressRefused::Special { range, .. }) = verdict else {
            panic!("{address}: {verdict:?}");
        };
        assert_ne!(range, "10.0.0.0/8", "{address}");
    }
    let found = assert_special(judge("::ffff:10.0.0.1", &["10.0.0.0/8"]), "::ffff:0:0/96", "IPv4-mapped Address");
    assert_eq!(found.map(|found| found.kind), Some(DisguiseKind::Ipv4Mapped));
}

#[test]
fn an_opened_nat64_prefix_lets_public_ipv4_through_and_nothing_private() {
    let opened = ["64:ff9b::/96"];
    assert_passes(judge("64:ff9b::8.8.8.8", &opened), "64:ff9b::8.8.8.8");
    assert_special(judge("64:ff9b::10.0.0.1", &opened), "10.0.0.0/8", "Private-Use");
    assert_special(judge("64:ff9b::224.0.0.1", &opened), "224.0.0.0/4", "Multicast");
    assert_special(judge("64:ff9b:1::8.8.8.8", &opened), "64:ff9b:1::/48", "IPv4-IPv6 Translat.");
    assert_special(judge("64:ff9b:0:0:0:1:808:808", &opened), "outside 2000::/3", "Reserved by IETF");
}

#[test]
fn nat64_and_its_private_inside_pass_only_when_both_are_opened() {
    let address = "64:ff9b::10.0.0.1";
    assert_passes(judge(address, &["64:ff9b::/96", "10.0.0.0/8"]), address);
    assert_special(judge(address, &["64:ff9b::/96", "10.1.0.0/16"]), "10.0.0.0/8", "Private-Use");
    assert_special(judge(address, &["10.0.0.0/8"]), "64:ff9b::/96", "IPv4-IPv6 Translat.");
}

#[test]
fn local_use_nat64_is_read_at_the_place_its_opened_length_gives() {
    // RFC 6052 §2.2, figure 1, for 8.8.4.4 and 10.0.0.1.
    let layouts = [
        ("64:ff9b:1::/48", "64:ff9b:1:808:4:400::", "64:ff9b:1:a00:0:100::"),
        ("64:ff9b:1:ab00::/56", "64:ff9b:1:ab08:8:404::", "64:ff9b:1:ab0a::1:0:0"),
        ("64:ff9b:1:abcd::/64", "64:ff9b:1:abcd:8:804:400:0", "64:ff9b:1:abcd:a:0:100:0"),
        ("64:ff9b:1:abcd::/96", "64:ff9b:1:abcd::808:404", "64:ff9b:1:abcd::a00:1"),
    ];
    for (opened, public, private) in layouts {
        assert_passes(judge(public, &[opened]), public);
        let found = assert_special(judge(private, &[opened]), "10.0.0.0/8", "Private-Use");
        let kind = DisguiseKind::Nat64LocalUse;
        assert_eq!(found, Some(Disguise { kind, embedded: Ipv4Addr::new(10, 0, 0, 1) }));
        assert_passes(judge(private, &[opened, "10.0.0.0/8"]), private);
    }
}

#[test]
fn local_use_nat64_with_a_filled_suffix_or_octet_8_is_read_both_ways() {
    let opened = ["64:ff9b:1::/48"];
    assert_special(judge("64:ff9b:1:808:4:400:a00:1", &opened), "10.0.0.0/8", "Private-Use");
    assert_special(judge("64:ff9b:1:a00:0:100:808:808", &opened), "10.0.0.0/8", "Private-Use");
    // Octet 8 is filled and the last 32 bits are zero.
    assert_special(judge("64:ff9b:1:808:104:400::", &opened), "0.0.0.0/32", "This host on this network");
    // Only the first octet of the suffix is filled.
    assert_special(judge("64:ff9b:1:808:4:401::", &opened), "0.0.0.0/32", "This host on this network");
    assert_special(judge("64:ff9b:1:ab08:8:404:a00:0", &["64:ff9b:1:ab00::/56"]), "10.0.0.0/8", "Private-Use");
    assert_special(judge("64:ff9b:1:abcd:8:808:a01:0", &["64:ff9b:1:abcd::/64"]), "10.0.0.0/8", "Private-Use");
    // A rule that opens the whole /48 for a translator at a /96 fails closed.
    assert_special(judge("64:ff9b:1::8.8.8.8", &opened), "0.0.0.0/32", "This host on this network");
    assert_passes(judge("64:ff9b:1::8.8.8.8", &["64:ff9b:1::/48", "64:ff9b:1::/96"]), "64:ff9b:1::8.8.8.8");
}

#[test]
fn both_addresses_of_a_teredo_form_are_judged() {
    let opened = ["2001::/32"];
    assert_passes(judge("2001:0:808:808::f7f7:f7f7", &opened), "2001:0:808:808::f7f7:f7f7");
    assert_special(judge("2001:0:a00:1::f7f7:f7f7", &opened), "10.0.0.0/8", "Private-Use");
    assert_special(judge("2001:0:808:808::80ff:fffe", &opened), "127.0.0.0/8", "Loopback");
}

#[test]
fn a_disguise_within_a_disguise_is_judged_twice() {
    let opened = ["2002::/16"];
    let found = assert_special(judge("2002:808:808::5efe:127.0.0.1", &opened), "127.0.0.0/8", "Loopback");
    assert_eq!(found.map(|found| found.kind), Some(DisguiseKind::Isatap));
    let found = assert_special(judge("2002:7f00:1::5efe:8.8.8.8", &opened), "127.0.0.0/8", "Loopback");
    assert_eq!(found.map(|found| found.kind), Some(DisguiseKind::SixToFour));
    assert_passes(judge("2002:808:808::5efe:8.8.8.8", &opened), "2002:808:808::5efe:8.8.8.8");
}

#[test]
fn an_opened_prefix_opens_what_it_contains_and_not_its_neighbours() {
    let opened = ["10.1.0.0/16", "fd00:1::/32", "100.64.0.7/32", "127.0.0.1/32", "192.0.2.0/24"];
    for address in ["10.1.0.0", "10.1.255.255", "fd00:1::", "fd00:1:ffff::1", "100.64.0.7", "127.0.0.1", "192.0.2.1"] {
        assert_passes(judge(address, &opened), address);
    }
    assert_special(judge("10.0.255.255", &opened), "10.0.0.0/8", "Private-Use");
    assert_special(judge("10.2.0.0", &opened), "10.0.0.0/8", "Private-Use");
    assert_special(judge("fd00:2::", &opened), "fc00::/7", "Unique-Local");
    assert_special(judge("100.64.0.8", &opened), "100.64.0.0/10", "Shared Address Space");
    assert_special(judge("127.0.0.2", &opened), "127.0.0.0/8", "Loopback");
    assert_special(judge("::1", &opened), "::1/128", "Loopback Address");
    assert_special(judge("192.168.0.1", &opened), "192.168.0.0/16", "Private-Use");
}

#[test]
fn an_opened_prefix_closes_nothing() {
    assert_passes(judge("8.8.8.8", &["10.0.0.0/8"]), "8.8.8.8");
    assert_passes(judge("2606:4700::1111", &["10.0.0.0/8"]), "2606:4700::1111");
}

#[test]
fn unspecified_multicast_and_broadcast_never_open() {
    #[rustfmt::skip]
    let sealed = [
        ("0.0.0.0", "0.0.0.0/32", "This host on this network"),
        ("0.1.2.3", "0.0.0.0/8", "This network"),
        ("224.0.0.251", "224.0.0.0/4", "Multicast"),
        ("239.255.255.255", "224.0.0.0/4", "Multicast"),
        ("255.255.255.255", "255.255.255.255/32", "Limited Broadcast"),
        ("::", "::/128", "Unspecified Address"),
        ("ff02::1", "ff00::/8", "Multicast"),
        ("ff0e::5efe:8.8.8.8", "ff00::/8", "Multicast"),
        ("::ffff:0.0.0.0", "0.0.0.0/32", "This host on this network"),
        ("::ffff:255.255.255.255", "255.255.255.255/32", "Limited Broadcast"),
        ("::2", "0.0.0.0/8", "This network"),
    ];
    for (address, range, name) in sealed {
        let exactly = format!("{address}/{}", if address.contains(':') { 128 } else { 32 });
        let opened = ["0.0.0.0/0", "::/0", &exactly];
        assert_special(judge(address, &opened), range, name);
    }
    // The neighbour that may be opened.
    assert_passes(judge("255.255.255.254", &["240.0.0.0/4"]), "255.255.255.254");
}

#[test]
fn loopback_may_be_opened_except_at_a_listeners_port() {
    let own = gate(&["127.0.0.1:3128", "[::1]:9000"], &["127.0.0.1", "::1"]);
    assert_own(&own, "127.0.0.1:3128");
    assert_own(&own, "[::1]:9000");
    assert_not_own(&own, "127.0.0.1:8080");
    assert_not_own(&own, "127.0.0.1:9000");
    assert_not_own(&own, "127.0.0.2:3128");
    assert_not_own(&own, "[::1]:3128");
}

#[test]
fn a_wildcard_listener_holds_its_port_on_all_of_loopback() {
    for wildcard in ["0.0.0.0:3128", "[::]:3128", "[::ffff:0.0.0.0]:3128"] {
        let own = gate(&[wildcard], &["127.0.0.1", "192.0.2.7"]);
        for target in ["127.0.0.1:3128", "127.9.9.9:3128", "[::1]:3128", "192.0.2.7:3128", "192.0.2.7:22"] {
            assert_own(&own, target);
        }
        assert_not_own(&own, "127.0.0.1:3129");
        assert_not_own(&own, "192.0.2.8:3128");
    }
}

#[test]
fn interface_and_listener_addresses_are_own_at_any_port() {
    let own = gate(&["10.0.0.5:3128", "[::ffff:10.0.0.6]:3128"], &["8.8.4.4", "2a00::5", "fe80::5"]);
    for target in ["10.0.0.5:3128", "10.0.0.5:80", "10.0.0.6:80", "8.8.4.4:443", "[2a00::5]:443", "[fe80::5]:22"] {
        assert_own(&own, target);
    }
    for target in ["10.0.0.4:3128", "10.0.0.7:80", "8.8.4.5:443", "[2a00::6]:443", "[fe80::6]:22"] {
        assert_not_own(&own, target);
    }
}

#[test]
fn the_gate_is_recognised_through_every_disguise() {
    let own = gate(&["127.0.0.1:3128"], &["8.8.4.4", "10.0.0.5"]);
    for inner in ["8.8.4.4", "10.0.0.5"] {
        for (_, address) in disguised(inner) {
            assert_own(&own, &format!("[{address}]:443"));
        }
    }
    for (_, address) in disguised("127.0.0.1") {
        assert_own(&own, &format!("[{address}]:3128"));
        assert_not_own(&own, &format!("[{address}]:3129"));
    }
    for (_, address) in disguised("8.8.4.5") {
        assert_not_own(&own, &format!("[{address}]:443"));
    }
}

#[test]
fn the_gates_own_address_is_named_before_its_range() {
    let own = gate(&["127.0.0.1:3128"], &["10.0.0.5"]);
    for target in ["127.0.0.1:3128", "10.0.0.5:80", "[::ffff:10.0.0.5]:80"] {
        let address: SocketAddr = target.parse().unwrap();
        let verdict = judge_address(address.ip(), address.port(), &[], &own);
        assert_eq!(verdict, Err(AddressRefused::Own { address }));
    }
}

#[test]
fn port_zero_is_refused_for_any_address() {
    for address in ["8.8.8.8", "10.0.0.1"].map(ip) {
        let verdict = judge_address(address, 0, &[], &nobody());
        assert_eq!(verdict, Err(AddressRefused::BadPort { address }));
    }
}

#[test]
fn a_refusal_says_what_and_why_in_one_line() {
    let text = |verdict: Result<CheckedAddress, AddressRefused>| verdict.unwrap_err().to_string();
    assert_eq!(text(judge("10.0.0.1", &[])), "10.0.0.1 is in 10.0.0.0/8 (Private-Use)");
    assert_eq!(
        text(judge("::ffff:169.254.169.254", &[])),
        "::ffff:169.254.169.254 (IPv4-mapped form of 169.254.169.254) is in 169.254.0.0/16 (Link Local)"
    );
    assert_eq!(
        text(judge("64:ff9b::8.8.8.8", &[])),
        "64:ff9b::808:808 (NAT64 form of 8.8.8.8) is in 64:ff9b::/96 (IPv4-IPv6 Translat.)"
    );
    let own = gate(&["[::]:3128"], &[]);
    assert_eq!(text(judge_for(&own, "[::1]:3128")), "[::1]:3128 is the gate itself");
    let no_port = judge_address(ip("8.8.8.8"), 0, &[], &own);
    assert_eq!(text(no_port), "8.8.8.8 has no port to dial");
}

/// Addresses near the ends of the ranges as often as anywhere.
fn any_address() -> impl Strategy<Value = IpAddr> {
    let ends: Vec<IpAddr> = CASES
        .iter()
        .filter_map(|case| case.0.parse::<IpNet>().ok())
        .flat_map(|net| [net.network(), net.broadcast()])
        .collect();
    let near = (proptest::sample::select(ends), -2_i8..=2).prop_map(|(end, step)| match end {
        IpAddr::V4(end) => Ipv4Addr::from_bits(end.to_bits().wrapping_add_signed(step.into())).into(),
        IpAddr::V6(end) => Ipv6Addr::from_bits(end.to_bits().wrapping_add_signed(step.into())).into(),
    });
    let v4 = any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into());
    let v6 = any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into());
    let unicast = any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits >> 3 | 1 << 125).into());
    prop_oneof![near, v4, v6, unicast]
}

proptest! {
    #[test]
    fn global_is_what_no_written_range_contains(address in any_address()) {
        let listed = CASES
            .iter()
            .filter_map(|case| case.0.parse::<IpNet>().ok())
            .any(|net| net.contains(&address));
        let outside = match address {
            IpAddr::V4(_) => false,
            IpAddr::V6(address) => {
                let octets = address.octets();
                !nets(&["2000::/3"])[0].contains(&IpAddr::V6(address))
                    || (octets[8] <= 3 && octets[9..12] == [0, 0x5e, 0xfe])
            }
        };
        prop_assert_eq!(is_global(address), !listed && !outside);
    }

    #[test]
    fn with_nothing_opened_only_global_addresses_pass(address in any_address(), port in 1..=u16::MAX) {
        let verdict = judge_address(address, port, &[], &nobody());
        prop_assert_eq!(verdict.is_ok(), is_global(address));
    }

    #[test]
    fn opening_more_never_lets_a_private_inside_out(inner in any::<u32>(), port in 1..=u16::MAX) {
        let inner = Ipv4Addr::from_bits(inner);
        let plain = judge_address(inner.into(), port, &[], &nobody());
        for (_, address) in disguised(&inner.to_string()) {
            let verdict = judge_address(address.into(), port, &nets(&["::/0"]), &nobody());
            prop_assert_eq!(verdict.is_ok(), plain.is_ok(), "{}", address);
        }
    }
}
