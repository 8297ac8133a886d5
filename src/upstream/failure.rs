use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use crate::facts::Party;
use crate::parse::Fault;
use crate::policy::{AddressRefused, Parent, ResolvedBy};

use crate::tls::OriginFault;

use super::resolve::ResolveError;

/// A dial that came to nothing, and what was learnt on the way.
#[derive(Debug)]
pub struct DialFailed {
    pub error: DialError,
    /// Every address DNS gave.
    pub answers: Arc<[IpAddr]>,
    pub dns: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error("{0}")]
    Refused(AddressRefused),
    #[error("cannot connect to {address}: {source}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// The gate itself has no descriptor, port or memory left for another connection.
    #[error("the gate has no room for another connection: {0}")]
    Exhausted(Errno),
    /// No TLS with the origin, or none that can be trusted to be with it.
    #[error(transparent)]
    Tls(OriginFault),
    /// The gate trusts no certificate authority: what is inside TLS cannot be asked for.
    #[error("the gate cannot verify servers: see `sekisho status` and the config")]
    NoTls,
    /// The parent that the rule names did not lead there.
    #[error("parent {name} {failure}")]
    Parent { name: Box<str>, failure: ParentFailure },
}

/// What a parent did instead of leading to the target. Nothing of what it wrote is in here.
#[derive(Debug)]
pub enum ParentFailure {
    /// Its name has no address.
    Unresolved(ResolveError),
    /// The guard refused its address: the gate itself, or no single host.
    Forbidden(AddressRefused),
    Unreachable {
        address: SocketAddr,
        source: io::Error,
    },
    /// Nothing within this time: no connection, or no answer.
    Timeout(Duration),
    /// It answered CONNECT with this status, by which it says that it could not reach the target either.
    CannotReach {
        status: u16,
    },
    /// It answered CONNECT with another status that is no 2xx.
    Refused {
        status: u16,
        /// What it was asked for.
        authority: Box<str>,
        resolved_by: ResolvedBy,
    },
    /// It did not take the gate's credentials, or wants some.
    Unauthorised,
    /// What it answered is no strict HTTP.
    BadAnswer(Fault),
    /// It ended the connection, or switched protocols, instead of answering.
    NoAnswer,
}

impl DialError {
    /// Who is at fault.
    pub fn at_fault(&self) -> Party {
        match self {
            DialError::Resolve(error) => match error {
                ResolveError::NoAddress | ResolveError::Unanswered(_) => Party::Dns,
                ResolveError::Exhausted(_) | ResolveError::Setup(_) => Party::Gate,
            },
            DialError::Refused(_) | DialError::Exhausted(_) | DialError::NoTls => Party::Gate,
            DialError::Connect { .. } | DialError::Timeout(_) | DialError::Tls(_) => Party::Origin,
            DialError::Parent { failure: ParentFailure::Forbidden(_), .. } => Party::Gate,
            DialError::Parent { .. } => Party::Parent,
        }
    }

    /// True when the guard refused an address, so that the exchange is denied after all.
    pub fn is_denial(&self) -> bool {
        matches!(self, DialError::Refused(_) | DialError::Parent { failure: ParentFailure::Forbidden(_), .. })
    }

    pub(super) fn of_connect(address: SocketAddr, source: io::Error) -> Self {
        match exhaustion(&source).or_else(|| used_up_ports(address, &source)) {
            Some(lacking) => Self::Exhausted(lacking),
            None => Self::Connect { address, source },
        }
    }

    /// True when it failed for want of a descriptor, which what lies idle could give back.
    pub(super) fn wants_descriptors(&self) -> bool {
        match self {
            DialError::Exhausted(lacking) | DialError::Resolve(ResolveError::Exhausted(lacking)) => {
                matches!(*lacking, Errno::MFILE | Errno::NFILE)
            }
            DialError::Resolve(_)
            | DialError::Refused(_)
            | DialError::Connect { .. }
            | DialError::Timeout(_)
            | DialError::Tls(_)
            | DialError::NoTls
            | DialError::Parent { .. } => false,
        }
    }

    /// Whether this failure of one address is the one to tell, and not an earlier one of another: that
    /// there is no way to an address from here says less than what another has answered, and an address
    /// that the gate had no room to try may be the one that would have answered.
    pub(super) fn says_no_less_than(&self, earlier: &Self) -> bool {
        let says = |error: &Self| match error {
            DialError::Connect { source, .. } => {
                let no_way = [Errno::ADDRNOTAVAIL, Errno::NETUNREACH, Errno::AFNOSUPPORT];
                if Errno::from_io_error(source).is_some_and(|errno| no_way.contains(&errno)) { 1 } else { 2 }
            }
            DialError::Exhausted(_) => 3,
            DialError::Resolve(_)
            | DialError::Refused(_)
            | DialError::Timeout(_)
            | DialError::Tls(_)
            | DialError::NoTls
            | DialError::Parent { .. } => 0,
        };
        says(self) >= says(earlier)
    }

    pub(super) fn of_parent(parent: &Parent, failure: ParentFailure) -> Self {
        // That the gate cannot ask for an address is no fault of the parent's.
        if let ParentFailure::Unresolved(error @ ResolveError::Exhausted(_)) = failure {
            return Self::Resolve(error);
        }
        Self::Parent { name: parent.name().into(), failure }
    }

    /// The same failure where it was the parent that was dialled.
    pub(super) fn on_the_way_to(self, parent: &Parent) -> Self {
        match self {
            Self::Connect { address, source } => {
                Self::of_parent(parent, ParentFailure::Unreachable { address, source })
            }
            Self::Resolve(error) => Self::of_parent(parent, ParentFailure::Unresolved(error)),
            Self::Refused(refused) => Self::of_parent(parent, ParentFailure::Forbidden(refused)),
            Self::Timeout(limit) => Self::of_parent(parent, ParentFailure::Timeout(limit)),
            Self::Exhausted(_) | Self::Tls(_) | Self::NoTls | Self::Parent { .. } => self,
        }
    }
}

/// What of this machine's a socket failed for want of, whoever was to be reached: descriptors or memory.
pub(super) fn exhaustion(error: &io::Error) -> Option<Errno> {
    let own = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).filter(|errno| own.contains(errno))
}

/// No port of this machine's is left for this address. For IPv6 the same error comes where there is no
/// address to connect from, as with IPv6 switched off, and then nothing is used up.
fn used_up_ports(address: SocketAddr, error: &io::Error) -> Option<Errno> {
    Errno::from_io_error(error).filter(|errno| address.is_ipv4() && *errno == Errno::ADDRNOTAVAIL)
}

/// What to do where a parent refuses addresses, or ports.
const BY_ADDRESS: &str = ": allow that there, for addresses and for ports other than 443 too (Squid: \
                          http_access deny CONNECT !SSL_ports), or say resolve = \"parent\" in the rule";

impl fmt::Display for ParentFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(error) => write!(f, "has no address: {error}"),
            Self::Forbidden(refused) => write!(f, "may not be dialled: {refused}"),
            Self::Unreachable { address, source } => write!(f, "cannot be reached at {address}: {source}"),
            Self::Timeout(limit) => write!(f, "did not answer within {limit:?}"),
            Self::CannotReach { status } => write!(f, "answered {status}: it cannot reach the target"),
            Self::Refused { status, authority, resolved_by } => {
                write!(f, "answered {status} to CONNECT {authority}")?;
                f.write_str(match (status, resolved_by) {
                    (400..=499, ResolvedBy::Gate) => BY_ADDRESS,
                    (400..=499, ResolvedBy::Parent) => ": allow that there",
                    _ => "",
                })
            }
            Self::Unauthorised => f.write_str("answered 407: it does not take the gate's credentials, or wants some"),
            Self::BadAnswer(fault) => write!(f, "answered with {fault}"),
            Self::NoAnswer => f.write_str("ended the connection instead of answering"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_at_fault_is_named_and_a_want_of_this_machine_is_never_the_origins() {
        let parent = Parent::of("uplink", "10.9.0.1:8080");
        let faults = |address: &str, errno: Errno| {
            let address = SocketAddr::new(address.parse().unwrap(), 443);
            let direct = DialError::of_connect(address, errno.into());
            let room = direct.wants_descriptors();
            let through = DialError::of_connect(address, errno.into()).on_the_way_to(&parent);
            assert_eq!(through.wants_descriptors(), room, "{errno}");
            (direct.at_fault(), through.at_fault(), room)
        };
        let (v4, v6) = ("192.0.2.1", "2001:db8::1");
        for address in [v4, v6] {
            for errno in [Errno::MFILE, Errno::NFILE] {
                assert_eq!(faults(address, errno), (Party::Gate, Party::Gate, true), "{address} {errno}");
            }
            for errno in [Errno::NOBUFS, Errno::NOMEM] {
                assert_eq!(faults(address, errno), (Party::Gate, Party::Gate, false), "{address} {errno}");
            }
            let theirs = [Errno::CONNREFUSED, Errno::NETUNREACH, Errno::HOSTUNREACH, Errno::TIMEDOUT, Errno::CONNRESET];
            for errno in theirs {
                assert_eq!(faults(address, errno), (Party::Origin, Party::Parent, false), "{address} {errno}");
            }
        }
        assert_eq!(faults(v4, Errno::ADDRNOTAVAIL), (Party::Gate, Party::Gate, false), "no port is left");
        assert_eq!(faults(v6, Errno::ADDRNOTAVAIL), (Party::Origin, Party::Parent, false), "there is no IPv6 here");
        let timeout = DialError::Timeout(Duration::ZERO);
        assert_eq!(timeout.at_fault(), Party::Origin);
        assert_eq!(timeout.on_the_way_to(&parent).at_fault(), Party::Parent);
        let of_dns = |error: ResolveError| DialError::Resolve(error).at_fault();
        assert_eq!(of_dns(ResolveError::NoAddress), Party::Dns);
        assert_eq!(of_dns(ResolveError::Unanswered(String::new())), Party::Dns);
        assert_eq!(of_dns(ResolveError::Exhausted(Errno::MFILE)), Party::Gate);
        assert!(DialError::Resolve(ResolveError::Exhausted(Errno::MFILE)).wants_descriptors());
        let parents = |error: ResolveError| DialError::Resolve(error).on_the_way_to(&parent).at_fault();
        assert_eq!(parents(ResolveError::NoAddress), Party::Parent);
        assert_eq!(parents(ResolveError::Exhausted(Errno::MFILE)), Party::Gate);
    }

    #[test]
    fn of_several_addresses_the_failure_that_says_most_is_told() {
        let failed = |address: &str, errno: Errno| {
            DialError::of_connect(SocketAddr::new(address.parse().unwrap(), 443), errno.into())
        };
        let (v4, v6) = ("192.0.2.1", "2001:db8::1");
        let rising = [
            DialError::Resolve(ResolveError::NoAddress),
            failed(v6, Errno::ADDRNOTAVAIL),
            failed(v4, Errno::CONNREFUSED),
            failed(v4, Errno::MFILE),
        ];
        for (less, more) in rising.iter().zip(&rising[1..]) {
            assert!(more.says_no_less_than(less) && !less.says_no_less_than(more), "{less} / {more}");
        }
        assert!(failed(v6, Errno::NETUNREACH).says_no_less_than(&rising[1]) && rising[2].says_no_less_than(&rising[2]));
    }
}
