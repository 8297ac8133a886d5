use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use crate::facts::Party;
use crate::parse::Fault;
use crate::policy::{AddressRefused, Parent};

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
    Exhausted(io::Error),
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
    /// It answered CONNECT with this status, which is no 2xx.
    Refused {
        status: u16,
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
            DialError::Refused(_) | DialError::Exhausted(_) => Party::Gate,
            DialError::Connect { .. } | DialError::Timeout(_) => Party::Origin,
            DialError::Parent { failure: ParentFailure::Forbidden(_), .. } => Party::Gate,
            DialError::Parent { .. } => Party::Parent,
        }
    }

    /// True when the guard refused an address, so that the exchange is denied after all.
    pub fn is_denial(&self) -> bool {
        matches!(self, DialError::Refused(_) | DialError::Parent { failure: ParentFailure::Forbidden(_), .. })
    }

    pub(super) fn of_connect(address: SocketAddr, source: io::Error) -> Self {
        if is_exhaustion(&source) { Self::Exhausted(source) } else { Self::Connect { address, source } }
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
            Self::Exhausted(_) | Self::Parent { .. } => self,
        }
    }
}

/// Whether a socket failed for want of something of this machine's, whoever was to be reached.
pub(super) fn is_exhaustion(error: &io::Error) -> bool {
    let own = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
    own.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

impl fmt::Display for ParentFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved(error) => write!(f, "has no address: {error}"),
            Self::Forbidden(refused) => write!(f, "may not be dialled: {refused}"),
            Self::Unreachable { address, source } => write!(f, "cannot be reached at {address}: {source}"),
            Self::Timeout(limit) => write!(f, "did not answer within {limit:?}"),
            Self::Refused { status } => write!(f, "answered {status}"),
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
        let address = SocketAddr::from(([192, 0, 2, 1], 443));
        let faults = |errno: Errno| {
            let direct = DialError::of_connect(address, errno.into());
            let through = DialError::of_connect(address, errno.into()).on_the_way_to(&parent);
            (direct.at_fault(), through.at_fault())
        };
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL] {
            assert_eq!(faults(errno), (Party::Gate, Party::Gate), "{errno}");
        }
        for errno in [Errno::CONNREFUSED, Errno::NETUNREACH, Errno::HOSTUNREACH, Errno::TIMEDOUT, Errno::CONNRESET] {
            assert_eq!(faults(errno), (Party::Origin, Party::Parent), "{errno}");
        }
        let timeout = DialError::Timeout(Duration::ZERO);
        assert_eq!(timeout.at_fault(), Party::Origin);
        assert_eq!(timeout.on_the_way_to(&parent).at_fault(), Party::Parent);
        let of_dns = |error: ResolveError| DialError::Resolve(error).at_fault();
        assert_eq!(of_dns(ResolveError::NoAddress), Party::Dns);
        assert_eq!(of_dns(ResolveError::Unanswered(String::new())), Party::Dns);
        assert_eq!(of_dns(ResolveError::Exhausted(String::new())), Party::Gate);
        let parents = |error: ResolveError| DialError::Resolve(error).on_the_way_to(&parent).at_fault();
        assert_eq!(parents(ResolveError::NoAddress), Party::Parent);
        assert_eq!(parents(ResolveError::Exhausted(String::new())), Party::Gate);
    }
}
