use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::net::runtime::iocompat::AsyncIoTokioAsStd;
use hickory_resolver::net::runtime::{RuntimeProvider, TokioHandle, TokioTime};
use tokio::net::{TcpStream, UdpSocket};

use crate::evidence::{Own, Record};

/// What the gate itself connects for. Everything it ever connects for is in this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Purpose {
    /// Asking a name server named in the config, or in the system's.
    Dns,
    /// Asking a name server for an internal name.
    DnsInternal,
    /// Fetching a host list that the config names.
    List,
    /// Sending a checkpoint of the journal off the machine.
    Checkpoint,
    /// Telling a hook that a client is cut off, or no longer.
    Hook,
    /// Telling a person of an alert.
    Alert,
}

impl Purpose {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Purpose::Dns => "dns",
            Purpose::DnsInternal => "dns_internal",
            Purpose::List => "list",
            Purpose::Checkpoint => "checkpoint",
            Purpose::Hook => "hook",
            Purpose::Alert => "alert",
        }
    }
}

/// The gate's own connections, counted by purpose and address until they are put on record.
#[derive(Debug, Clone, Default)]
pub struct OwnConnections {
    counts: Arc<Mutex<HashMap<(Purpose, SocketAddr), u64>>>,
}

/// Addresses counted apart, at most; a name server beyond them is not asked.
const ADDRESSES_MAX: usize = 256;
/// Without a connection for this long a TCP dial has failed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

impl OwnConnections {
    /// The records of what was connected since this was last asked, in the order of purpose and address.
    pub fn take(&self) -> Vec<Record> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<_> = std::mem::take(&mut *counts).into_iter().collect();
        drop(counts);
        taken.sort_unstable();
        let record = |((purpose, address), connections): ((Purpose, SocketAddr), u64)| {
            Record::Own(Own { purpose: purpose.as_str(), address: address.to_string(), connections })
        };
        taken.into_iter().map(record).collect()
    }

    fn count(&self, purpose: Purpose, address: SocketAddr) -> io::Result<()> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= ADDRESSES_MAX && !counts.contains_key(&(purpose, address)) {
            return Err(io::Error::other("too many different addresses for the gate's own connections"));
        }
        *counts.entry((purpose, address)).or_default() += 1;
        Ok(())
    }

    /// The one function by which the gate connects for itself over TCP.
    pub(super) async fn connect(
        &self,
        purpose: Purpose,
        address: SocketAddr,
        limit: Duration,
    ) -> io::Result<TcpStream> {
        self.count(purpose, address)?;
        let stream = tokio::time::timeout(limit, TcpStream::connect(address))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A datagram that nothing answers.
    pub(super) async fn send(&self, purpose: Purpose, address: SocketAddr, bytes: &[u8]) -> io::Result<()> {
        let local: SocketAddr = match address {
            SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = self.bind_udp(purpose, local, address).await?;
        let sent = socket.send_to(bytes, address).await?;
        if sent == bytes.len() { Ok(()) } else { Err(io::Error::other("it was cut short")) }
    }

    /// The same for a datagram socket: counted by the address it is opened for.
    async fn bind_udp(&self, purpose: Purpose, local: SocketAddr, remote: SocketAddr) -> io::Result<UdpSocket> {
        self.count(purpose, remote)?;
        UdpSocket::bind(local).await
    }
}

/// Gives the resolver its sockets, each by [`OwnConnections`].
#[derive(Clone)]
pub(super) struct DnsSockets {
    own: OwnConnections,
    purpose: Purpose,
    handle: TokioHandle,
}

impl DnsSockets {
    pub(super) fn new(own: OwnConnections, purpose: Purpose) -> Self {
        Self { own, purpose, handle: TokioHandle::default() }
    }
}

type Opening<T> = Pin<Box<dyn Send + Future<Output = io::Result<T>>>>;

impl RuntimeProvider for DnsSockets {
    type Handle = TokioHandle;
    type Timer = TokioTime;
    type Udp = UdpSocket;
    type Tcp = AsyncIoTokioAsStd<TcpStream>;

    fn create_handle(&self) -> Self::Handle {
        self.handle.clone()
    }

    fn connect_tcp(
        &self,
        server: SocketAddr,
        _local: Option<SocketAddr>,
        limit: Option<Duration>,
    ) -> Opening<Self::Tcp> {
        let (own, purpose) = (self.own.clone(), self.purpose);
        Box::pin(async move {
            let stream = own.connect(purpose, server, limit.unwrap_or(CONNECT_TIMEOUT)).await?;
            Ok(AsyncIoTokioAsStd(stream))
        })
    }

    fn bind_udp(&self, local: SocketAddr, server: SocketAddr) -> Opening<Self::Udp> {
        let (own, purpose) = (self.own.clone(), self.purpose);
        Box::pin(async move { own.bind_udp(purpose, local, server).await })
    }
}
