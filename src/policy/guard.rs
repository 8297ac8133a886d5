//! Judges every address a name resolved to, or a client wrote, before anything dials it.
//!
//! In: an address and port, the prefixes the matched rule opens, the gate's own endpoints. Out: a [`CheckedAddress`], which is all that
//! `upstream` can dial, or the reason. A pure function of its arguments; it never resolves a name, so a rebound name gains nothing:
//! each dial attempt brings its address here again.
//!
//! Denied by default: a special-purpose address passes only inside an opened prefix, and the gate itself never.

mod disguise;
mod ranges;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use disguise::{Disguise, disguises, is_isatap};
use ranges::{Range, special_v4, special_v6};

/// What the gate listens on and is reachable at; never a target.
///
/// A client that reaches the gate through the gate arrives with the gate's identity, or loops.
#[derive(Debug, Clone)]
pub struct OwnEndpoints {
    /// Bound addresses of every listener, proxy and control alike; a wildcard stands for every local address.
    pub listeners: Vec<SocketAddr>,
    /// Addresses of the host's interfaces. Loopback ones are ignored here: only the listeners' ports are closed on loopback.
    pub interfaces: Vec<IpAddr>,
}

/// An address that passed; made by [`judge_address`] alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckedAddress(SocketAddr);

impl CheckedAddress {
    /// The address and port to dial, exactly as judged.
    pub fn socket_address(self) -> SocketAddr {
        self.0
    }
}

/// Why an address is not dialled, or a name not given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressRefused {
    /// The gate itself, plainly or in disguise. Nothing opens it.
    #[error("{address} is the gate itself")]
    Own {
        /// What was to be dialled.
        address: SocketAddr,
    },
    /// A special-purpose address that the rule does not open, or that no rule can.
    #[error("{address}{} is in {range} ({name})", in_brackets(.disguise))]
    Special {
        /// What was to be dialled.
        address: IpAddr,
        /// The range at fault, such as `10.0.0.0/8`. With a disguise, the range of the IPv4 address inside; or, where that one
        /// would pass by itself, of the IPv6 address around it.
        range: &'static str,
        /// The registry's name of the range, such as `Private-Use`.
        name: &'static str,
        /// The IPv4 address inside, where there is one.
        disguise: Option<Disguise>,
    },
    /// An internal name leads where no internal name lives.
    #[error("{address} is none of the [internal] addresses, and internal names live nowhere else")]
    OutsideInternal {
        /// What the name led to.
        address: IpAddr,
    },
    /// A name from outside leads inside. Nothing opens that.
    #[error("{address} is one of the [internal] addresses, or carries one, and only internal names lead there")]
    InsideInternal {
        /// What the name led to.
        address: IpAddr,
    },
    /// A parent would look an internal name up.
    #[error(
        "it is one of the [internal] names, which are asked of their own name servers alone: the rule needs resolve = \"gate\""
    )]
    LeftToParent,
    /// Port 0 cannot be dialled.
    #[error("{address} has no port to dial")]
    BadPort {
        /// What was to be dialled.
        address: IpAddr,
    },
}

/// Judges one address for one dial attempt.
///
/// Refuses, in this order: port 0; the gate's own endpoints; special-purpose addresses (IANA registries, RFC 6890) that no prefix in
/// `opened` contains. "This network", multicast, broadcast and the unspecified address are refused whatever is opened.
///
/// An IPv6 address that carries an IPv4 one passes only if `opened` contains the IPv6 address and every IPv4 address inside would
/// pass too: 64:ff9b::/96 lets a NAT64 network reach public IPv4, and still nothing private. An IPv4 prefix never opens an IPv6 form.
/// For a local-use NAT64 (RFC 8215) `opened` has to name the translator's very prefix, as its length says where the IPv4 address is.
pub fn judge_address(
    address: IpAddr,
    port: u16,
    opened: &[IpNet],
    own: &OwnEndpoints,
) -> Result<CheckedAddress, AddressRefused> {
    if port == 0 {
        return Err(AddressRefused::BadPort { address });
    }
    let target = SocketAddr::new(address, port);
    let inside = match address {
        IpAddr::V4(_) => [None; 3],
        IpAddr::V6(address) => disguises(address, narrowest_length(address, opened)),
    };
    let inside = || inside.iter().flatten().copied();

    let is_own = own.include(target) || inside().any(|found| own.include(SocketAddr::new(found.embedded.into(), port)));
    if is_own {
        return Err(AddressRefused::Own { address: target });
    }

    let refused = |range: Range, disguise| {
        Err(AddressRefused::Special { address, range: range.prefix, name: range.name, disguise })
    };
    for found in inside() {
        if let Some(range) = closed(found.embedded.into(), opened) {
            return refused(range, Some(found));
        }
    }
    match closed(address, opened) {
        Some(range) => refused(range, inside().next()),
        None => Ok(CheckedAddress(target)),
    }
}

/// Every IPv4 address that `address` carries, as [`judge_address`] finds them.
pub(super) fn carried(address: IpAddr, opened: &[IpNet]) -> impl Iterator<Item = Ipv4Addr> {
    let found = match address {
        IpAddr::V4(_) => [None; 3],
        IpAddr::V6(address) => disguises(address, narrowest_length(address, opened)),
    };
    found.into_iter().flatten().map(|disguise| disguise.embedded)
}

/// Whether `address` is an ordinary public host's: outside every special-purpose range, and carrying no IPv4 address.
///
/// Narrower than the registries' "Globally Reachable" column: AS112, AMT, PCP and TURN anycast, NAT64, ORCHIDv2 are not global here.
pub fn is_global(address: IpAddr) -> bool {
    special(address).is_none()
}

/// The special-purpose range of `address`, if `opened` leaves it closed.
fn closed(address: IpAddr, opened: &[IpNet]) -> Option<Range> {
    let range = special(address)?;
    let is_opened = !range.sealed && opened.iter().any(|prefix| prefix.contains(&address));
    (!is_opened).then_some(range)
}

fn special(address: IpAddr) -> Option<Range> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address).or_else(|| is_isatap(address).then_some(ranges::ISATAP)),
    }
}

fn narrowest_length(address: Ipv6Addr, opened: &[IpNet]) -> Option<u8> {
    let address = IpAddr::V6(address);
    let around = opened.iter().filter(|prefix| prefix.contains(&address));
    around.map(IpNet::prefix_len).max()
}

impl OwnEndpoints {
    /// Whether dialling `target` would reach the gate. On loopback other services may live beside it, so there the port decides.
    pub fn include(&self, target: SocketAddr) -> bool {
        let address = target.ip();
        let mut listeners = self.listeners.iter().map(|listener| {
            let bound = listener.ip().to_canonical();
            (bound, listener.port())
        });
        if address.is_loopback() {
            return listeners
                .any(|(bound, port)| port == target.port() && (bound == address || bound.is_unspecified()));
        }
        listeners.any(|(bound, _)| bound == address)
            || self.interfaces.iter().any(|interface| interface.to_canonical() == address)
    }
}

fn in_brackets(disguise: &Option<Disguise>) -> String {
    disguise.map_or_else(String::new, |found| format!(" ({found})"))
}

#[cfg(test)]
mod tests;
