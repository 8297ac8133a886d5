//! What of the kernel only who has CAP_NET_ADMIN gets: by itself, or by a [`Warden`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::SendFlags;
use serde::{Deserialize, Serialize};

use super::super::warden::{Warden, WardenError};
use super::conntrack;
use super::netlink::open;
use super::nflog;

/// A socket to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::gateway) enum Opened {
    /// To a group that the firewall logs to.
    Log,
    /// That hears of connections.
    Connections,
}

/// A request to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::gateway) enum Asked {
    /// Hand over what is logged to the group.
    BeginLog,
    EndLog,
    /// Tell of all connections there are, in messages of this number.
    Connections(u32),
}

impl Opened {
    pub(in crate::gateway) fn open(self) -> io::Result<OwnedFd> {
        match self {
            Self::Log => open(0),
            Self::Connections => open(conntrack::GROUPS),
        }
    }
}

impl Asked {
    pub(in crate::gateway) fn ask(self, socket: BorrowedFd<'_>, group: Option<u16>) -> io::Result<()> {
        let of_group = |command| group.map(|group| nflog::request(group, command)).ok_or(Errno::PERM);
        let request = match self {
            Self::BeginLog => of_group(nflog::BIND)?,
            Self::EndLog => of_group(nflog::UNBIND)?,
            Self::Connections(number) => conntrack::request(number),
        };
        rustix::net::send(socket, &request, SendFlags::DONTWAIT)?;
        Ok(())
    }
}

/// By whom the kernel is asked.
#[derive(Debug, Clone)]
pub(super) struct By {
    pub(super) warden: Option<Arc<Warden>>,
    pub(super) group: Option<u16>,
}

impl By {
    pub(super) fn open(&self, what: Opened) -> io::Result<OwnedFd> {
        match &self.warden {
            Some(warden) => warden.open(what).map_err(as_io),
            None => what.open(),
        }
    }

    pub(super) fn ask(&self, what: Asked, on: &impl AsFd) -> io::Result<()> {
        match &self.warden {
            Some(warden) => warden.ask(what, on.as_fd()).map_err(as_io),
            None => what.ask(on.as_fd(), self.group),
        }
    }
}

fn as_io(error: WardenError) -> io::Error {
    io::Error::other(error)
}
