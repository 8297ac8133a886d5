use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::facts::{Host, Scheme};
use crate::http2::Client;
use crate::policy::{Permit, Route};
use crate::tls::Stream;

use super::credentials::{Credentials, KeyRing};

/// Idle connections to origins, and those of HTTP/2 that many exchanges share, by what they were dialled for.
///
/// Bounded in all and for each origin: at the bound the connection that would be added is closed
/// instead. What was left unused for a while is closed by [`Pool::sweep`].
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: HashMap<Way, Vec<Idle>>,
    count: usize,
    shared: HashMap<Way, Shared>,
    /// Where the origin has said that it wants HTTP/1.1, though it agreed to HTTP/2. At the bound all are forgotten:
    /// they say so again.
    http1: HashSet<Way>,
}

/// Where a connection leads and by which route, and what a parent was shown on it. One that was made by another
/// route, by another policy's parent of the same name, or with other credentials, is another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Way {
    host: Host,
    port: u16,
    /// Inside TLS, with this very host.
    secured: bool,
    route: Route,
    credentials: Option<Credentials>,
}

impl Way {
    pub(super) fn of(permit: &Permit, ring: &KeyRing) -> Self {
        let credentials = match permit.route() {
            Route::Direct => None,
            Route::Parent { parent, .. } => ring.of(parent).cloned(),
        };
        let (host, secured) = (permit.host().clone(), permit.scheme() == Scheme::Https);
        Self { host, port: permit.port(), secured, route: permit.route().clone(), credentials }
    }

    pub(super) fn route(&self) -> &Route {
        &self.route
    }
}

#[derive(Debug)]
pub(super) struct Idle {
    pub(super) stream: Stream,
    pub(super) dialled: SocketAddr,
    /// When the connection was made.
    pub(super) born: Instant,
    pub(super) since: Instant,
}

/// A connection of HTTP/2.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) dialled: SocketAddr,
    pub(super) born: Instant,
    /// When a stream was opened on it last.
    pub(super) used: Instant,
}

const SHARED_MAX: usize = 1024;
const HTTP1_MAX: usize = 1024;
const IDLE_MAX: usize = 1024;
const IDLE_PER_ORIGIN_MAX: usize = 256;
/// Shorter than what common servers wait, so that it is mostly we who close.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// A connection is not kept beyond this age: its name may mean another address by then.
const AGE_MAX: Duration = Duration::from_secs(600);

impl Pool {
    /// The connection by this way that was used last.
    pub(super) fn take(&mut self, way: &Way) -> Option<Idle> {
        let idle = self.idle.get_mut(way)?.pop()?;
        self.count -= 1;
        Some(idle)
    }

    pub(super) fn put(&mut self, way: Way, idle: Idle) {
        if self.count >= IDLE_MAX || idle.born.elapsed() >= AGE_MAX {
            return;
        }
        let same = self.idle.entry(way).or_default();
        if same.len() < IDLE_PER_ORIGIN_MAX {
            same.push(idle);
            self.count += 1;
        }
    }

    /// The connection by this way that has room for another stream.
    pub(super) fn shared(&mut self, way: &Way) -> Option<&mut Shared> {
        let shared = self.shared.get(way)?;
        if shared.client.wants_http1() && self.http1.len() >= HTTP1_MAX {
            self.http1.clear();
        }
        if shared.client.wants_http1() {
            self.http1.insert(way.clone());
        }
        let is_good = |shared: &mut Shared| {
            !shared.client.wants_http1() && shared.born.elapsed() < AGE_MAX && shared.client.has_room()
        };
        if self.shared.get_mut(way).is_some_and(is_good) {
            return self.shared.get_mut(way);
        }
        // Its streams come to their end without it.
        self.shared.remove(way);
        None
    }

    /// Shares a connection from now on, in place of one by the same way.
    pub(super) fn share(&mut self, way: Way, shared: Shared) {
        if self.shared.len() < SHARED_MAX || self.shared.contains_key(&way) {
            self.shared.insert(way, shared);
        }
    }

    /// Whether the origin wants HTTP/1.1.
    pub(super) fn wants_http1(&mut self, way: &Way) -> bool {
        // What a connection has learnt meanwhile is learnt here.
        let _ = self.shared(way);
        self.http1.contains(way)
    }

    /// Closes all that lie idle.
    pub(super) fn clear(&mut self) {
        (self.idle, self.count) = (HashMap::new(), 0);
        self.shared.retain(|_, shared| shared.client.is_busy());
    }

    /// Closes what was idle too long.
    pub(super) fn sweep(&mut self, now: Instant) {
        let mut count = 0;
        self.idle.retain(|_, same| {
            same.retain(|idle| now.saturating_duration_since(idle.since) < IDLE_TIME);
            count += same.len();
            !same.is_empty()
        });
        self.count = count;
        self.shared
            .retain(|_, shared| shared.client.is_busy() || now.saturating_duration_since(shared.used) < IDLE_TIME);
    }
}

/// Whether the origin has neither ended the connection nor said anything unasked.
pub(super) fn is_quiet(stream: &TcpStream) -> bool {
    // Asked of the kernel: the runtime knows what has come only once it has looked again.
    let mut byte = [MaybeUninit::uninit()];
    SockRef::from(stream).peek(&mut byte).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::policy::{Parent, ResolvedBy};

    async fn connection() -> TcpStream {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()
    }

    fn idle(stream: TcpStream) -> Idle {
        let stream = Stream::Plain(stream);
        let now = Instant::now();
        Idle { stream, dialled: ([127, 0, 0, 1], 80).into(), born: now, since: now }
    }

    fn way(name: &str, port: u16, route: Route) -> Way {
        Way { host: Host::parse(name.as_bytes()).unwrap(), port, secured: false, route, credentials: None }
    }

    fn through(parent: &Arc<Parent>, resolved_by: ResolvedBy) -> Route {
        Route::Parent { parent: parent.clone(), resolved_by }
    }

    #[tokio::test]
    async fn a_connection_is_given_to_its_own_host_port_and_route_alone() {
        let (parent, moved) = (Parent::of("uplink", "10.9.0.1:8080"), Parent::of("uplink", "10.9.0.2:8080"));
        let other = Parent::of("other", "10.9.0.1:8080");
        let routes = [
            Route::Direct,
            through(&parent, ResolvedBy::Gate),
            through(&parent, ResolvedBy::Parent),
            through(&moved, ResolvedBy::Gate),
            through(&other, ResolvedBy::Gate),
        ];
        for mine in &routes {
            let mut pool = Pool::default();
            pool.put(way("a.example", 80, mine.clone()), idle(connection().await));
            assert!(pool.take(&way("b.example", 80, mine.clone())).is_none());
            assert!(pool.take(&way("a.example", 81, mine.clone())).is_none());
            for another in routes.iter().filter(|route| *route != mine) {
                assert!(pool.take(&way("a.example", 80, another.clone())).is_none(), "{mine:?} {another:?}");
            }
            let same = Parent::of("uplink", "10.9.0.1:8080");
            let mine =
                if *mine == through(&parent, ResolvedBy::Gate) { &through(&same, ResolvedBy::Gate) } else { mine };
            assert!(pool.take(&way("a.example", 80, mine.clone())).is_some());
            assert!(pool.take(&way("a.example", 80, mine.clone())).is_none());
        }
    }

    #[tokio::test]
    async fn what_has_come_is_seen_before_the_runtime_has_looked() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut origin, _) = listener.accept().unwrap();
        assert!(is_quiet(&stream));
        // No turn of the runtime lies between these lines.
        std::io::Write::write_all(&mut origin, b"x").unwrap();
        assert!(!is_quiet(&stream), "a byte");
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        drop(listener.accept().unwrap());
        assert!(!is_quiet(&stream), "an end");
    }

    #[tokio::test]
    async fn what_was_idle_too_long_is_closed() {
        let way = way("a.example", 80, Route::Direct);
        let mut pool = Pool::default();
        pool.put(way.clone(), idle(connection().await));
        pool.sweep(Instant::now() + IDLE_TIME / 2);
        assert_eq!(pool.count, 1);
        pool.sweep(Instant::now() + IDLE_TIME * 2);
        assert_eq!(pool.count, 0);
        assert!(pool.take(&way).is_none());
    }
}
