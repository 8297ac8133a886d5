//! What of the kernel only who has CAP_NET_ADMIN gets: by itself, or by a [`Warden`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::SendFlags;
use serde::{Deserialize, Serialize};

use super::super::warden::{Warden, WardenError};
use super::beyond;
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
    /// Tell what was counted and not logged, in messages of this number.
    Beyond(u32),
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
            Self::Beyond(number) => beyond::request(number),
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
    pub(super) async fn open(&self, what: Opened) -> io::Result<OwnedFd> {
        match self.warden.clone() {
            Some(warden) => apart(move || warden.open(what)).await,
            None => what.open(),
        }
    }

    pub(super) async fn ask(&self, what: Asked, on: &impl AsFd) -> io::Result<()> {
        let Some(warden) = self.warden.clone() else { return what.ask(on.as_fd(), self.group) };
        let on = on.as_fd().try_clone_to_owned()?;
        apart(move || warden.ask(what, on.as_fd())).await
    }
}

/// The warden may be at work for somebody else, or stand still: it is waited for in a thread of its own, and reading goes on.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, WardenError> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?.map_err(io::Error::other)
}
