//! Echo requests (RFC 792, RFC 4443 §4.1) and their answers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// The header of an echo: type, code, checksum, identifier, number.
const HEADER_BYTES: usize = 8;

/// An echo request, or the answer to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Echo<'a> {
    /// Identifier and number, which an answer repeats.
    pub(super) mark: [u8; 4],
    pub(super) content: &'a [u8],
}

/// A socket that sends echo requests and hears what answers them: of the kind that is anybody's where the kernel lets
/// this user, else a raw one, which is root's. Non-blocking; its runtime needs the descriptor alone, and knows how to
/// hold one of UDP.
///
/// # Errors
/// This user may have neither.
pub(super) fn asking(to: IpAddr) -> io::Result<UdpSocket> {
    let (domain, protocol) = of(to);
    let socket =
        Socket::new(domain, Type::DGRAM, Some(protocol)).or_else(|_| Socket::new(domain, Type::RAW, Some(protocol)));
    let socket = socket?;
    socket.set_nonblocking(true)?;
    // What an ICMP message says of a refusal is told to connected sockets alone.
    socket.connect(&SocketAddr::new(to, 0).into())?;
    Ok(UdpSocket::from(socket))
}

/// A socket that hears every echo request to an address, and may answer.
///
/// # Errors
/// It is root's alone, or the address is not ours.
pub(super) fn answering(at: IpAddr) -> io::Result<UdpSocket> {
    let (domain, protocol) = of(at);
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::new(at, 0).into())?;
    Ok(UdpSocket::from(socket))
}

/// The addresses to listen at for every request of either family.
pub(super) const ANY: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

fn of(address: IpAddr) -> (Domain, Protocol) {
    match address {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    }
}

/// An echo as it is sent.
pub(super) fn written(echo: Echo<'_>, to: IpAddr, is_answer: bool) -> Vec<u8> {
    let kind = match (to, is_answer) {
        (IpAddr::V4(_), false) => 8,
        (IpAddr::V4(_), true) => 0,
        (IpAddr::V6(_), false) => 128,
        (IpAddr::V6(_), true) => 129,
    };
    let mut bytes = vec![kind, 0, 0, 0];
    bytes.extend(echo.mark);
    bytes.extend(echo.content);
    // That of IPv6 covers addresses too: the kernel writes it.
    if to.is_ipv4() {
        let sum = checksum(&bytes);
        bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    }
    bytes
}

/// The echo in what a socket gave, which may begin with a header of IPv4.
pub(super) fn read(bytes: &[u8], from: IpAddr, is_answer: bool) -> Option<Echo<'_>> {
    let mut bytes = bytes;
    if from.is_ipv4() && bytes.first()? >> 4 == 4 {
        bytes = bytes.get(usize::from(bytes.first()? & 15) * 4..)?;
    }
    let (header, content) = bytes.split_first_chunk::<HEADER_BYTES>()?;
    let [kind, 0, _, _, mark @ ..] = *header else { return None };
    let expected = match (from, is_answer) {
        (IpAddr::V4(_), false) => 8,
        (IpAddr::V4(_), true) => 0,
        (IpAddr::V6(_), false) => 128,
        (IpAddr::V6(_), true) => 129,
    };
    (kind == expected).then_some(Echo { mark, content })
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0)));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_read_as_it_was_written_behind_a_header_or_without() {
        for to in ["192.0.2.7", "2001:db8::7"].map(|address| address.parse::<IpAddr>().unwrap()) {
            let echo = Echo { mark: [1, 2, 3, 4], content: b"odd" };
            for is_answer in [false, true] {
                let bytes = written(echo, to, is_answer);
                assert_eq!(read(&bytes, to, is_answer), Some(echo));
                assert_eq!(read(&bytes, to, !is_answer), None);
                assert_eq!(read(&bytes[..7], to, is_answer), None);
                if to.is_ipv4() {
                    assert_eq!(checksum(&bytes), 0);
                    let mut packet = [0; 24].to_vec();
                    packet[0] = 0x46;
                    packet.extend(&bytes);
                    assert_eq!(read(&packet, to, is_answer), Some(echo));
                    assert_eq!(read(&packet[..30], to, is_answer), None);
                }
            }
        }
        assert_eq!(read(&[], ANY[0], true), None);
        assert_eq!(read(&[0x4f, 0], ANY[0], true), None);
    }
}
