//! Binds and accepts. Binding is synchronous and comes before the runtime starts a thread, so that a
//! sandbox can be put on in between. It never reads a byte of what it accepted; of a connection that was captured on its way
//! elsewhere it says where that was. A socket may come from whoever starts this process (`passed`).

mod handing;
mod passed;

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use nix::sys::socket::{SockaddrIn, SockaddrIn6, getsockopt, setsockopt, sockopt};
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

pub use handing::{read_line, receive_listeners, send_listeners};
pub use passed::{ListenError, Passed, PassedError};

/// A listener that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct BindError {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// Waiting connections the kernel holds for each listener, at most.
const BACKLOG: i32 = 4096;

/// One address, bound once for each worker: the kernel spreads connections over them.
#[derive(Debug)]
pub struct Bound {
    /// The address, with the port the kernel chose where none was asked for.
    pub address: SocketAddr,
    pub listeners: Vec<TcpListener>,
}

/// How a firewall of this kernel brings connections here that were on their way elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// It has changed their destination, and knows what that was.
    Redirect,
    /// It has left their destination as it was, which is the socket's own address then. Needs [`bind_transparent`].
    Tproxy,
}

impl Capture {
    /// Where a connection was on its way to. One that was made to the listener itself was on its way there.
    ///
    /// # Errors
    /// The socket is not connected any more.
    pub fn destination(self, stream: &TcpStream) -> io::Result<SocketAddr> {
        let local = canonical(stream.local_addr()?);
        let destination = match self {
            Capture::Tproxy => local,
            // The kernel knows nothing of a connection that it did not track, and so did not redirect.
            Capture::Redirect => before_redirect(stream, local.ip()).unwrap_or(local),
        };
        Ok(destination)
    }
}

/// What the kernel had as the destination before it changed that to this machine's (`SO_ORIGINAL_DST`).
fn before_redirect(stream: &TcpStream, local: IpAddr) -> Option<SocketAddr> {
    let address = match local {
        IpAddr::V4(_) => {
            let before = SockaddrIn::from(getsockopt(stream, sockopt::OriginalDst).ok()?);
            SocketAddr::from(SocketAddrV4::from(before))
        }
        IpAddr::V6(_) => {
            let before = SockaddrIn6::from(getsockopt(stream, sockopt::Ip6tOriginalDst).ok()?);
            SocketAddr::new((*SocketAddrV6::from(before).ip()).into(), before.port())
        }
    };
    Some(canonical(address))
}

/// An IPv4 address as such, also on a socket of IPv6.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Binds an address for so many workers, non-blocking.
///
/// # Errors
/// The address is in use, not ours, or not permitted.
pub fn bind(address: SocketAddr, workers: usize) -> Result<Bound, BindError> {
    bind_taking(address, workers, Taking::Own)
}

/// The same, for connections on their way to any address, that a firewall of this kernel hands it (`tproxy`).
///
/// # Errors
/// As [`bind`]; it needs CAP_NET_ADMIN.
pub fn bind_transparent(address: SocketAddr, workers: usize) -> Result<Bound, BindError> {
    bind_taking(address, workers, Taking::Any)
}

/// Which connections a listener takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taking {
    /// Those to its own address.
    Own,
    /// Those to whatever address.
    Any,
}

fn bind_taking(address: SocketAddr, workers: usize, taking: Taking) -> Result<Bound, BindError> {
    let failed = |source| BindError { address, source };
    let open = |address, shared| open(address, shared, taking);
    // Bound alone first: sockets that share a port by SO_REUSEPORT would also share it with a gate
    // that is already running, and take its connections away.
    let probe = open(address, false).map_err(failed)?;
    let bound = probe.local_addr().map_err(failed)?;
    if workers <= 1 {
        return Ok(Bound { address: bound, listeners: vec![probe] });
    }
    drop(probe);
    let listeners = (0..workers).map(|_| open(bound, true)).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    Ok(Bound { address: bound, listeners })
}

/// Bytes that wait on a socket of UDP to be read, at most; the kernel takes as much as it may.
const DATAGRAMS_BYTES: usize = 4 << 20;

/// Binds an address for datagrams, non-blocking; gives it with the port the kernel chose where none was asked for.
///
/// # Errors
/// The address is in use, not ours, or not permitted.
pub fn bind_udp(address: SocketAddr) -> Result<(UdpSocket, SocketAddr), BindError> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(false)?;
        }
        socket.set_recv_buffer_size(DATAGRAMS_BYTES)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from(socket);
        let address = socket.local_addr()?;
        Ok((socket, address))
    };
    bound().map_err(|source| BindError { address, source })
}

fn open(address: SocketAddr, shared: bool, taking: Taking) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    if taking == Taking::Any {
        setsockopt(&socket, sockopt::IpTransparent, &true)?;
    }
    socket.set_nonblocking(true)?;
    // Inherited by every connection accepted here.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// The pauses of a listener that the system has nothing left for: doubled each time, up to the second,
/// and begun anew with a connection that is accepted.
const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// What becomes of connections that the kernel has queued when a listener is closed here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queued {
    /// They are taken.
    Taken,
    /// They are left to the process that has the listener from here on.
    Left,
}

/// Accepts until `stop` resolves, does then as it says with what the kernel has already queued, and closes the
/// listener.
///
/// While the system has no descriptors or no memory left, clients wait in the kernel's queue and are
/// accepted when there are some again; `failures` counts how often it was tried in vain.
pub async fn accept(
    listener: tokio::net::TcpListener,
    stop: impl Future<Output = Queued>,
    failures: &AtomicU64,
    mut take: impl FnMut(TcpStream, SocketAddr),
) {
    let accepting = async {
        let mut pause = PAUSE_MIN;
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    pause = PAUSE_MIN;
                    take(stream, address);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => {
                    failures.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(pause).await;
                    pause = PAUSE_MAX.min(pause * 2);
                }
            }
        }
    };
    let queued = tokio::select! {
        biased;
        queued = stop => queued,
        () = accepting => Queued::Left,
    };
    if queued == Queued::Left {
        return;
    }
    // A connection that the kernel has completed is answered, not reset.
    let queued = std::future::poll_fn(|context| {
        while let Poll::Ready(accepted) = listener.poll_accept(context) {
            match accepted {
                Ok((stream, address)) => take(stream, address),
                Err(error) if is_of_one_connection(&error) => {}
                Err(_) => break,
            }
        }
        Poll::Ready(())
    });
    queued.await;
}

/// Whether an error of accept(2) is that of the connection which was taken from the queue with it: its
/// client has gone, or the network behind it. The next one can be accepted at once.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::OPNOTSUPP
                | Errno::NETUNREACH
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_is_refused_though_workers_share_ports() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0)), 3).unwrap();
        assert_eq!(first.listeners.len(), 3);
        assert_ne!(first.address.port(), 0);
        for workers in [1, 2] {
            let error = bind(first.address, workers).unwrap_err();
            assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        }
    }

    #[test]
    fn what_ails_one_connection_is_told_from_what_ails_the_system() {
        let of_one = |error: Errno| is_of_one_connection(&error.into());
        for error in [Errno::CONNABORTED, Errno::INTR, Errno::PROTO, Errno::NETDOWN, Errno::HOSTUNREACH] {
            assert!(of_one(error), "{error}");
        }
        // Tried again at once, each of these would spin: EPERM leaves the connection in the queue.
        for error in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::PERM] {
            assert!(!of_one(error), "{error}");
        }
        assert!(!is_of_one_connection(&io::Error::other("no errno")));
    }
}
