use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// What of this network is inside, as detectors of flows go by it. Where no segment is named, private addresses are
/// inside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inside {
    /// No two share an address.
    pub segments: Vec<Zone>,
    /// Addresses of the gate.
    pub gate: Vec<IpAddr>,
    /// Ports of the gateway, TCP and UDP, that nothing uses: who touches one is told of.
    pub tripwires: Vec<RangeInclusive<u16>>,
    /// Machines that are to look into others: scanners for weaknesses, monitoring, what brings software. Of what they
    /// do to machines inside nothing is told.
    pub scanners: Vec<IpNet>,
}

/// Machines that are treated alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    pub name: Box<str>,
    pub role: ZoneRole,
    pub addresses: Vec<IpNet>,
}

/// What a segment is for, as far as that says what is strange in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ZoneRole {
    /// PCs, servers and all else.
    Ordinary,
    /// From where machines are administered: to reach many is its work.
    Management,
    /// What must not be touched. It reaches nothing, so that one attempt says enough.
    Critical,
}

/// Where an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whereabouts<'a> {
    /// In this segment; `None` where it has none: a private address while no segment is named, or the gate.
    Inside(Option<&'a Zone>),
    Outside,
    /// No one machine: a group, a broadcast, the link or the machine itself.
    Nowhere,
}

/// What is inside while no segment is named (RFC 1918, RFC 6598, RFC 4193).
const PRIVATE_4: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];
const PRIVATE_6: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7);

impl Inside {
    pub(super) fn whereabouts(&self, address: IpAddr) -> Whereabouts<'_> {
        let holds = |zone: &&Zone| zone.addresses.iter().any(|net| net.contains(&address));
        if let Some(zone) = self.segments.iter().find(holds) {
            return Whereabouts::Inside(Some(zone));
        }
        if self.gate.contains(&address) || (self.segments.is_empty() && is_private(address)) {
            return Whereabouts::Inside(None);
        }
        if is_nowhere(address) { Whereabouts::Nowhere } else { Whereabouts::Outside }
    }

    pub(super) fn is_scanner(&self, client: IpAddr) -> bool {
        self.scanners.iter().any(|net| net.contains(&client))
    }

    /// Whether it is a port of the gateway that nothing uses.
    pub(super) fn is_tripwire(&self, address: IpAddr, port: u16) -> bool {
        self.gate.contains(&address) && self.tripwires.iter().any(|ports| ports.contains(&port))
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => PRIVATE_4.iter().any(|net| net.contains(&address)),
        IpAddr::V6(address) => PRIVATE_6.contains(&address),
    }
}

fn is_nowhere(address: IpAddr) -> bool {
    let is_of_link = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast() || address.octets()[0] == 0,
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    is_of_link || address.is_multicast() || address.is_loopback() || address.is_unspecified()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str, role: ZoneRole, net: &str) -> Zone {
        Zone { name: name.into(), role, addresses: vec![net.parse().unwrap()] }
    }

    fn at<'a>(inside: &'a Inside, address: &str) -> Whereabouts<'a> {
        inside.whereabouts(address.parse().unwrap())
    }

    #[test]
    fn where_segments_are_named_all_else_is_outside_and_groups_are_nowhere() {
        let segments =
            vec![zone("office", ZoneRole::Ordinary, "10.20.0.0/16"), zone("plant", ZoneRole::Critical, "fd00:50::/32")];
        let inside = Inside { gate: vec!["10.90.0.1".parse().unwrap()], segments, ..Inside::default() };
        assert_eq!(at(&inside, "10.20.1.1"), Whereabouts::Inside(Some(&inside.segments[0])));
        assert_eq!(at(&inside, "fd00:50::1"), Whereabouts::Inside(Some(&inside.segments[1])));
        assert_eq!(at(&inside, "10.90.0.1"), Whereabouts::Inside(None), "the gate");
        for outside in ["10.21.0.1", "203.0.113.7", "2001:db8::1", "fd00:51::1"] {
            assert_eq!(at(&inside, outside), Whereabouts::Outside, "{outside}");
        }
        for nowhere in ["224.0.0.251", "255.255.255.255", "169.254.1.1", "fe80::1", "ff02::fb", "127.0.0.1", "::"] {
            assert_eq!(at(&inside, nowhere), Whereabouts::Nowhere, "{nowhere}");
        }
    }

    #[test]
    fn where_no_segment_is_named_private_addresses_are_inside() {
        let inside = Inside::default();
        for private in ["10.0.0.1", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd00::1"] {
            assert_eq!(at(&inside, private), Whereabouts::Inside(None), "{private}");
        }
        for outside in ["172.32.0.1", "100.128.0.1", "2001:db8::1"] {
            assert_eq!(at(&inside, outside), Whereabouts::Outside, "{outside}");
        }
    }

    #[test]
    fn a_tripwire_is_a_port_of_the_gate_and_no_other_machine_has_one() {
        let gate: IpAddr = "10.20.0.1".parse().unwrap();
        let inside = Inside { gate: vec![gate], tripwires: vec![23..=23, 3389..=3390], ..Inside::default() };
        assert!(inside.is_tripwire(gate, 23) && inside.is_tripwire(gate, 3390));
        assert!(!inside.is_tripwire(gate, 22) && !inside.is_tripwire("10.20.0.2".parse().unwrap(), 23));
    }
}
