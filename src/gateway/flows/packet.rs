//! Where a packet came from and where it was to go: the headers of IPv4 (RFC 791) and IPv6 (RFC 8200).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::evidence::Protocol;

/// What the headers of a packet tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) from: IpAddr,
    pub(super) to: IpAddr,
    /// The protocol behind all headers of IP that are understood.
    pub(super) protocol: Protocol,
    /// Where it was to go, if its protocol has ports and this is the fragment that tells them.
    pub(super) port: Option<u16>,
}

impl Packet {
    /// Reads as much of a packet as there is; `None` for what is no header of IP, or is cut off within the first one.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => read4(bytes),
            6 => read6(bytes),
            _ => None,
        }
    }
}

fn read4(bytes: &[u8]) -> Option<Packet> {
    let header: &[u8; 20] = bytes.first_chunk()?;
    let [first, _, _, _, _, _, f0, f1, _, protocol, _, _, s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    let length = usize::from(first & 0xf) * 4;
    if length < header.len() {
        return None;
    }
    let fragment = u16::from_be_bytes([f0, f1]) & 0x1fff;
    let protocol = Protocol(protocol);
    let rest = bytes.get(length..).filter(|_| fragment == 0);
    Some(Packet {
        from: Ipv4Addr::new(s0, s1, s2, s3).into(),
        to: Ipv4Addr::new(d0, d1, d2, d3).into(),
        protocol,
        port: port(protocol, rest),
    })
}

/// Headers that are passed over before a packet is taken for one of nothing better known.
const EXTENSIONS_MAX: usize = 8;

fn read6(bytes: &[u8]) -> Option<Packet> {
    let (header, mut rest) = bytes.split_first_chunk::<40>()?;
    let [_, _, _, _, _, _, mut next, _, addresses @ ..] = *header;
    let (from, to) = addresses.split_first_chunk::<16>()?;
    let mut is_first = true;
    for _ in 0..EXTENSIONS_MAX {
        let length = match (next, rest) {
            // Hop-by-hop options, routing, options of the destination.
            (0 | 43 | 60, [_, length, ..]) => (usize::from(*length) + 1) * 8,
            (44, [_, _, f0, f1, ..]) => {
                is_first &= u16::from_be_bytes([*f0, *f1]) & 0xfff8 == 0;
                8
            }
            // What is authenticated counts in words of four bytes.
            (51, [_, length, ..]) => (usize::from(*length) + 2) * 4,
            _ => break,
        };
        let Some(behind) = rest.get(length..) else {
            // What comes behind is not there to be read.
            next = rest.first().copied().unwrap_or(next);
            is_first = false;
            break;
        };
        next = rest.first().copied().unwrap_or(next);
        rest = behind;
    }
    let protocol = Protocol(next);
    Some(Packet {
        from: Ipv6Addr::from(*from).to_canonical(),
        to: Ipv6Addr::from(*to.first_chunk::<16>()?).to_canonical(),
        protocol,
        port: port(protocol, Some(rest).filter(|_| is_first)),
    })
}

fn port(protocol: Protocol, rest: Option<&[u8]>) -> Option<u16> {
    match rest? {
        [_, _, p0, p1, ..] if protocol.has_ports() => Some(u16::from_be_bytes([*p0, *p1])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(protocol: u8, fragment: u16, options: usize, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45 + u8::try_from(options).unwrap(), 0, 0, 0, 0, 0];
        bytes.extend(fragment.to_be_bytes());
        bytes.extend([64, protocol, 0, 0, 10, 20, 0, 2, 11, 77, 0, 80]);
        bytes.extend(vec![1; options * 4]);
        bytes.extend(rest);
        bytes
    }

    fn v6(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 0, next, 64];
        bytes.extend("fd00::2".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend("2001:db8::80".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend(rest);
        bytes
    }

    fn told(bytes: &[u8]) -> Option<(String, String, String, Option<u16>)> {
        let read = Packet::read(bytes)?;
        Some((read.from.to_string(), read.to.to_string(), read.protocol.to_string(), read.port))
    }

    fn tells(bytes: &[u8], from: &str, to: &str, protocol: &str, port: Option<u16>) {
        assert_eq!(told(bytes), Some((from.to_owned(), to.to_owned(), protocol.to_owned(), port)), "{bytes:x?}");
    }

    #[test]
    fn headers_of_version_4_are_read_with_options_and_fragments() {
        let ports = [0xc0, 0, 0x11, 0x5c];
        for (bytes, protocol, port) in [
            (v4(6, 0, 0, &ports), "tcp", Some(4444)),
            (v4(17, 0, 10, &ports), "udp", Some(4444)),
            // More fragments follow the first one, which has the ports.
            (v4(17, 0x2000, 0, &ports), "udp", Some(4444)),
            (v4(17, 0x2001, 0, &ports), "udp", None),
            (v4(1, 0, 0, &ports), "icmp", None),
            (v4(47, 0, 0, &ports), "47", None),
            (v4(6, 0, 0, &ports[..3]), "tcp", None),
            (v4(6, 0, 3, &[]), "tcp", None),
        ] {
            tells(&bytes, "10.20.0.2", "11.77.0.80", protocol, port);
        }
        let mut short = v4(6, 0, 0, &ports);
        short[0] = 0x44;
        assert_eq!(told(&short), None, "a header is no shorter than its fields");
        assert_eq!(told(&v4(6, 0, 0, &[])[..19]), None);
    }

    #[test]
    fn headers_of_version_6_are_read_through_those_between() {
        let ports = [0xc0, 0, 0, 53];
        let behind = |extensions: &[u8]| [extensions, &ports].concat();
        for (bytes, protocol, port) in [
            (v6(6, &ports), "tcp", Some(53)),
            (v6(58, &ports), "icmpv6", None),
            (v6(0, &behind(&[17, 0, 0, 0, 0, 0, 0, 0])), "udp", Some(53)),
            (
                v6(60, &behind(&[43, 0, 0, 0, 0, 0, 0, 0, 6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
                "tcp",
                Some(53),
            ),
            (v6(44, &behind(&[17, 0, 0, 1, 0, 0, 0, 0])), "udp", Some(53)),
            (v6(44, &behind(&[17, 0, 0, 8, 0, 0, 0, 0])), "udp", None),
            (v6(51, &behind(&[6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])), "tcp", Some(53)),
            (v6(0, &[6, 200, 0, 0]), "tcp", None),
            (v6(0, &[]), "0", None),
            (v6(59, &[]), "59", None),
        ] {
            tells(&bytes, "fd00::2", "2001:db8::80", protocol, port);
        }
        assert_eq!(told(&v6(6, &[])[..39]), None);
    }

    #[test]
    fn an_endless_row_of_headers_ends() {
        let row = vec![0; 4000];
        tells(&v6(0, &row), "fd00::2", "2001:db8::80", "0", None);
    }

    #[test]
    fn what_is_neither_is_nothing() {
        for bytes in [&[][..], &[0x50; 60], &[0], &[0x45], &[0x60]] {
            assert_eq!(told(bytes), None);
        }
    }
}
