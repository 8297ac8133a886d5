use std::collections::HashMap;
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::facts::Host;

/// Idle connections to origins, by the host and port they were dialled for.
///
/// Bounded in all and for each origin: at the bound the connection that would be added is closed
/// instead. What was left unused for a while is closed by [`Pool::sweep`].
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: HashMap<(Host, u16), Vec<Idle>>,
    count: usize,
}

#[derive(Debug)]
pub(super) struct Idle {
    pub(super) stream: TcpStream,
    pub(super) dialled: SocketAddr,
    /// When the connection was made.
    pub(super) born: Instant,
    pub(super) since: Instant,
}

const IDLE_MAX: usize = 1024;
const IDLE_PER_ORIGIN_MAX: usize = 256;
/// Shorter than what common servers wait, so that it is mostly we who close.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// A connection is not kept beyond this age: its name may mean another address by then.
const AGE_MAX: Duration = Duration::from_secs(600);

impl Pool {
    /// The connection to this origin that was used last.
    pub(super) fn take(&mut self, host: &Host, port: u16) -> Option<Idle> {
        // The key is borrowed in parts nowhere else, so one clone of the host is the price.
        let idle = self.idle.get_mut(&(host.clone(), port))?.pop()?;
        self.count -= 1;
        Some(idle)
    }

    pub(super) fn put(&mut self, host: Host, port: u16, idle: Idle) {
        if self.count >= IDLE_MAX || idle.born.elapsed() >= AGE_MAX {
            return;
        }
        let same = self.idle.entry((host, port)).or_default();
        if same.len() < IDLE_PER_ORIGIN_MAX {
            same.push(idle);
            self.count += 1;
        }
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
    }
}

/// Whether the origin has neither ended the connection nor said anything unasked.
pub(super) fn is_quiet(stream: &TcpStream) -> bool {
    // Asked of the kernel: what the runtime knows can be older than what the origin has said.
    let mut byte = [MaybeUninit::uninit()];
    SockRef::from(stream).peek(&mut byte).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    async fn connection() -> TcpStream {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).await.unwrap()
    }

    fn idle(stream: TcpStream) -> Idle {
        let now = Instant::now();
        Idle { stream, dialled: ([127, 0, 0, 1], 80).into(), born: now, since: now }
    }

    #[tokio::test]
    async fn a_connection_is_given_to_its_own_host_and_port_alone() {
        let host = |name: &str| Host::parse(name.as_bytes()).unwrap();
        let mut pool = Pool::default();
        pool.put(host("a.example"), 80, idle(connection().await));
        assert!(pool.take(&host("b.example"), 80).is_none());
        assert!(pool.take(&host("a.example"), 81).is_none());
        assert!(pool.take(&host("a.example"), 80).is_some());
        assert!(pool.take(&host("a.example"), 80).is_none());
    }

    #[tokio::test]
    async fn what_the_origin_has_said_or_ended_is_seen_before_the_runtime_knows() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        for say in [b"HTTP/1.1 ".as_slice(), b""] {
            let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (mut origin, _) = listener.accept().unwrap();
            assert!(is_quiet(&stream));
            origin.write_all(say).unwrap();
            drop(origin);
            assert!(!is_quiet(&stream));
        }
    }

    #[tokio::test]
    async fn what_was_idle_too_long_is_closed() {
        let host = Host::parse(b"a.example").unwrap();
        let mut pool = Pool::default();
        pool.put(host.clone(), 80, idle(connection().await));
        pool.sweep(Instant::now() + IDLE_TIME / 2);
        assert_eq!(pool.count, 1);
        pool.sweep(Instant::now() + IDLE_TIME * 2);
        assert_eq!(pool.count, 0);
        assert!(pool.take(&host, 80).is_none());
    }
}
