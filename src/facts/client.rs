use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The machine that speaks to the gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub address: SocketAddr,
    /// The authenticated proxy user, where there is one.
    pub user: Option<User>,
    /// Where it meant to connect, past the gate, where the connection was captured on its way there.
    pub captured: Option<SocketAddr>,
}

impl Client {
    /// One that speaks to the gate by itself, and has not said who uses it.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, user: None, captured: None }
    }
}

/// A client as what it does is counted: an IPv4 address, or the /64 of an IPv6 one, since one
/// machine may take every address of that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientKey(IpAddr);

impl ClientKey {
    /// By the address of its socket.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IpAddr::V4(address)),
            IpAddr::V6(address) => Self(IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))),
        }
    }

    /// All addresses that it may have.
    pub fn network(self) -> IpNet {
        match self.0 {
            IpAddr::V4(address) => IpNet::V4(Ipv4Net::from(address)),
            IpAddr::V6(address) => IpNet::V6(Ipv6Net::new(address, 64).unwrap_or_else(|_| Ipv6Net::from(address))),
        }
    }

    /// As it is written: an address, or `…/64`.
    pub fn parse(text: &str) -> Option<Self> {
        text.strip_suffix("/64").unwrap_or(text).parse().ok().map(Self::of)
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => write!(f, "{address}"),
            IpAddr::V6(address) => write!(f, "{address}/64"),
        }
    }
}

/// A person or account that has shown who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: Box<str>,
    /// The groups it is in, as far as whoever authenticates it knows them.
    pub groups: Box<[Box<str>]>,
}

/// What the program on a client says it is, as the head carried it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Program<'a> {
    /// The User-Agent field, raw bytes of an attacker's choice.
    pub user_agent: Option<&'a [u8]>,
}

/// One program on one client or of one user: a hash of all three parts of its name. Two that differ are two programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProgramKey(pub [u8; 16]);

/// As 32 hexadecimal digits.
impl fmt::Display for ProgramKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A fact that comes later than the head, or never.
#[derive(Debug, Clone, Copy)]
pub enum Stage<T> {
    /// It is known.
    Known(T),
    /// It could still be learnt before anything is dialled.
    NotYet,
    /// This exchange will never show it.
    Never,
}

impl<T> Stage<T> {
    /// The fact, if known by now.
    pub fn known(self) -> Option<T> {
        match self {
            Stage::Known(fact) => Some(fact),
            Stage::NotYet | Stage::Never => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> ClientKey {
        ClientKey::of(address.parse().unwrap())
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_the_64_of_an_ipv6_one() {
        assert_eq!(client("::ffff:10.0.0.1"), client("10.0.0.1"), "as a socket for both families sees it");
        assert_ne!(client("10.0.0.1"), client("10.0.0.2"));
        assert_eq!(client("2001:db8:1:2::1"), client("2001:db8:1:2:ffff::"));
        assert_ne!(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
        assert_eq!(client("2001:db8:1:2::1").to_string(), "2001:db8:1:2::/64");
        assert_eq!(client("10.0.0.1").to_string(), "10.0.0.1");
    }
}
