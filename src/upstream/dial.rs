use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::net::TcpStream;

use crate::facts::Host;
use crate::policy::{AddressRefused, CheckedAddress, OwnEndpoints, Permit, judge_address};

use super::pool::{Idle, Pool, is_quiet};
use super::resolve::{ResolveError, Resolver};

/// Gets connections to origins for permits: new ones, or ones that an earlier exchange left.
pub struct Dialler {
    resolver: Resolver,
    own: Arc<OwnEndpoints>,
    connect_timeout: Duration,
    pool: Mutex<Pool>,
}

/// A connection to an origin, and how it came about.
#[derive(Debug)]
pub struct Connected {
    pub stream: TcpStream,
    /// The host and port of the permit it was dialled for; nothing else is asked of it.
    host: Host,
    port: u16,
    pub dialled: SocketAddr,
    /// Every address DNS gave; empty for an address literal and for a connection used before.
    pub answers: Arc<[IpAddr]>,
    /// Those of them that the guard refused.
    pub refused: Vec<IpAddr>,
    pub timings: Timings,
    /// An exchange before this one has used it.
    pub reused: bool,
    /// It has authenticated a client (NTLM, Negotiate): once set, it is kept for no other.
    pub vouched: bool,
    born: Instant,
}

/// How long the parts of a dial took.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timings {
    pub dns: Duration,
    pub connect: Duration,
}

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
}

/// Who is at fault where there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtFault {
    Gate,
    Dns,
    Origin,
}

impl AtFault {
    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            AtFault::Gate => "gate",
            AtFault::Dns => "dns",
            AtFault::Origin => "origin",
        }
    }
}

impl DialError {
    pub fn at_fault(&self) -> AtFault {
        match self {
            DialError::Resolve(ResolveError::Exhausted(_) | ResolveError::Setup(_)) => AtFault::Gate,
            DialError::Resolve(ResolveError::NoAddress | ResolveError::Unanswered(_)) => AtFault::Dns,
            DialError::Refused(_) | DialError::Exhausted(_) => AtFault::Gate,
            DialError::Connect { .. } | DialError::Timeout(_) => AtFault::Origin,
        }
    }

    fn of_connect(address: SocketAddr, source: io::Error) -> Self {
        if is_exhaustion(&source) { Self::Exhausted(source) } else { Self::Connect { address, source } }
    }
}

/// Whether a socket failed for want of something of this machine's, whoever was to be reached.
pub(super) fn is_exhaustion(error: &io::Error) -> bool {
    let own = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL];
    own.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// RFC 8305 §5: how long one attempt may go on before the next begins beside it.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

impl Dialler {
    pub fn new(resolver: Resolver, own: Arc<OwnEndpoints>, connect_timeout: Duration) -> Self {
        Self { resolver, own, connect_timeout, pool: Mutex::default() }
    }

    /// Spends a permit on a connection that an earlier exchange left for the same host and port, if
    /// its address is still allowed by this permit and the origin has kept it open. `idle_max` bounds
    /// how long it may have lain there.
    ///
    /// # Errors
    /// The permit comes back when there is no such connection.
    pub fn reuse(&self, permit: Permit, idle_max: Duration) -> Result<Connected, Permit> {
        loop {
            let Some(idle) = self.pool().take(permit.host(), permit.port()) else { return Err(permit) };
            if idle.since.elapsed() >= idle_max {
                // Too old for this request, and so are those that were left before it; not for others.
                self.pool().put(permit.host().clone(), permit.port(), idle);
                return Err(permit);
            }
            if self.still_good(&permit, &idle.stream, idle.dialled) {
                return Ok(Connected {
                    stream: idle.stream,
                    host: permit.host().clone(),
                    port: permit.port(),
                    dialled: idle.dialled,
                    answers: Arc::default(),
                    refused: Vec::new(),
                    timings: Timings::default(),
                    reused: true,
                    vouched: false,
                    born: idle.born,
                });
            }
        }
    }

    /// Spends a permit on the connection at hand, which must be to its host and port.
    ///
    /// # Errors
    /// The permit comes back, and the connection is closed, when it does not fit or is not alive.
    pub fn go_on(&self, permit: Permit, connected: Connected) -> Result<Connected, Permit> {
        let same = connected.host == *permit.host() && connected.port == permit.port();
        if same && self.still_good(&permit, &connected.stream, connected.dialled) {
            let (answers, refused) = (Arc::default(), Vec::new());
            return Ok(Connected { reused: true, answers, refused, timings: Timings::default(), ..connected });
        }
        Err(permit)
    }

    fn still_good(&self, permit: &Permit, stream: &TcpStream, dialled: SocketAddr) -> bool {
        judge_address(dialled.ip(), permit.port(), permit.opened(), &self.own).is_ok() && is_quiet(stream)
    }

    /// Leaves a connection whose exchange has ended cleanly for a later one to the same host and port.
    /// One that vouches for a client is closed instead.
    pub fn keep(&self, connected: Connected) {
        if connected.vouched {
            return;
        }
        let Connected { stream, host, port, dialled, born, .. } = connected;
        self.pool().put(host, port, Idle { stream, dialled, born, since: Instant::now() });
    }

    /// Closes connections that nobody came for. Called about once a second.
    pub fn sweep(&self) {
        self.pool().sweep(Instant::now());
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Spends a permit: resolves its host, judges every address, and connects to the first that
    /// answers. An address the guard refuses is never dialled; when it refuses them all, that is
    /// the error.
    ///
    /// # Errors
    /// By the party at fault: DNS, the guard, the origin, or time.
    pub async fn dial(&self, permit: Permit) -> Result<Connected, DialFailed> {
        let begin = Instant::now();
        let named = matches!(permit.host(), Host::Name(_));
        let answers = match permit.host() {
            Host::Name(name) => self.resolver.resolve(name).await,
            Host::V4(address) => Ok([IpAddr::V4(*address)].into()),
            Host::V6(address) => Ok([IpAddr::V6(*address)].into()),
        };
        let dns = begin.elapsed();
        let (answers, error) = match answers {
            Ok(answers) => (answers, None),
            Err(error) => (Arc::default(), Some(error)),
        };
        let begin = Instant::now();
        let dialled = match error {
            None => self.dial_any(&permit, &answers).await,
            Some(error) => Err(error.into()),
        };
        let answers = if named { answers } else { Arc::default() };
        match dialled {
            Ok((stream, dialled, refused)) => Ok(Connected {
                stream,
                host: permit.host().clone(),
                port: permit.port(),
                dialled,
                answers,
                refused,
                timings: Timings { dns, connect: begin.elapsed() },
                reused: false,
                vouched: false,
                born: Instant::now(),
            }),
            Err(error) => Err(DialFailed { error, answers, dns }),
        }
    }

    /// Judges every address and connects to the first that answers; the refused ones come back too.
    async fn dial_any(
        &self,
        permit: &Permit,
        answers: &[IpAddr],
    ) -> Result<(TcpStream, SocketAddr, Vec<IpAddr>), DialError> {
        let mut checked = Vec::with_capacity(answers.len());
        let mut refused = Vec::new();
        let mut first_refusal = None;
        for address in answers {
            match judge_address(*address, permit.port(), permit.opened(), &self.own) {
                Ok(address) => checked.push(address),
                Err(error) => {
                    refused.push(*address);
                    first_refusal = first_refusal.or(Some(error));
                }
            }
        }
        if checked.is_empty() {
            return Err(first_refusal.map_or(DialError::Resolve(ResolveError::NoAddress), DialError::Refused));
        }
        let (stream, dialled) = tokio::time::timeout(self.connect_timeout, race(checked))
            .await
            .map_err(|_| DialError::Timeout(self.connect_timeout))??;
        let _ = stream.set_nodelay(true);
        Ok((stream, dialled, refused))
    }
}

type Attempt = Pin<Box<dyn Future<Output = Result<(TcpStream, SocketAddr), DialError>> + Send>>;

/// Happy eyeballs (RFC 8305): attempts begin one after another, the first connection wins.
async fn race(addresses: Vec<CheckedAddress>) -> Result<(TcpStream, SocketAddr), DialError> {
    if let [only] = addresses.as_slice() {
        return connect(*only).await;
    }
    let mut waiting = addresses.into_iter();
    let mut running: Vec<Attempt> = Vec::new();
    let mut last_error = DialError::Resolve(ResolveError::NoAddress);
    loop {
        if let Some(address) = waiting.next() {
            running.push(Box::pin(connect(address)));
        }
        if running.is_empty() {
            return Err(last_error);
        }
        let more = waiting.len() > 0;
        tokio::select! {
            (index, result) = first_of(&mut running) => {
                drop(running.swap_remove(index));
                match result {
                    Ok(connected) => return Ok(connected),
                    // What one address lacks here (an IPv6 route, say) must not hide what another one said.
                    Err(DialError::Exhausted(_)) if matches!(last_error, DialError::Connect { .. }) => {}
                    Err(error) => last_error = error,
                }
            }
            () = tokio::time::sleep(ATTEMPT_DELAY), if more => {}
        }
    }
}

async fn connect(address: CheckedAddress) -> Result<(TcpStream, SocketAddr), DialError> {
    let address = address.socket_address();
    match TcpStream::connect(address).await {
        Ok(stream) => Ok((stream, address)),
        Err(source) => Err(DialError::of_connect(address, source)),
    }
}

/// The first of several attempts to end, and its index.
async fn first_of(running: &mut [Attempt]) -> (usize, Result<(TcpStream, SocketAddr), DialError>) {
    std::future::poll_fn(|context| {
        for (index, attempt) in running.iter_mut().enumerate() {
            if let std::task::Poll::Ready(result) = attempt.as_mut().poll(context) {
                return std::task::Poll::Ready((index, result));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_at_fault_is_named_and_a_want_of_this_machine_is_never_the_origins() {
        let fault = |errno: Errno| {
            let error = DialError::of_connect(([192, 0, 2, 1], 443).into(), errno.into());
            (matches!(error, DialError::Exhausted(_)), error.at_fault())
        };
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL] {
            assert_eq!(fault(errno), (true, AtFault::Gate), "{errno}");
        }
        for errno in [Errno::CONNREFUSED, Errno::NETUNREACH, Errno::HOSTUNREACH, Errno::TIMEDOUT, Errno::CONNRESET] {
            assert_eq!(fault(errno), (false, AtFault::Origin), "{errno}");
        }
        assert_eq!(DialError::Timeout(Duration::ZERO).at_fault(), AtFault::Origin);
        assert_eq!(DialError::Resolve(ResolveError::NoAddress).at_fault(), AtFault::Dns);
        assert_eq!(DialError::Resolve(ResolveError::Unanswered(String::new())).at_fault(), AtFault::Dns);
        assert_eq!(DialError::Resolve(ResolveError::Exhausted(String::new())).at_fault(), AtFault::Gate);
    }

    #[tokio::test]
    async fn when_the_first_address_refuses_the_next_is_dialled() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let own = OwnEndpoints { listeners: Vec::new(), interfaces: Vec::new() };
        let opened = ["127.0.0.0/8".parse().unwrap()];
        // Nobody listens on the first: the listener has one address of the loopback network.
        let checked = ["127.0.0.2", "127.0.0.1"]
            .map(|address| judge_address(address.parse().unwrap(), port, &opened, &own).unwrap());
        let (_, dialled) = race(checked.to_vec()).await.unwrap();
        assert_eq!(dialled, listener.local_addr().unwrap());
        let error = race(vec![checked[0], checked[0]]).await.unwrap_err();
        assert!(matches!(error, DialError::Connect { .. }), "{error}");
    }
}
