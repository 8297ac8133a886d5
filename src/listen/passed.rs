//! Listeners that whoever starts this process has bound for it and keeps (sd_listen_fds(3)): over a restart clients wait in the
//! kernel's queue, and none is turned away.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::SockRef;

use super::{BindError, Bound, Taking};

/// So many are passed at most.
const PASSED_MAX: usize = 256;

/// Why what was passed cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PassedError {
    #[error("what LISTEN_FDS says is no number up to {PASSED_MAX}")]
    Count,
    #[error("the socket {number} that this process was given listens for no TCP: {source}")]
    NoListener { number: usize, source: io::Error },
    #[error("this process was given sockets that the config does not name: {}", list(.0))]
    Unnamed(Vec<SocketAddr>),
    #[error("this process was given more sockets for {0} than it has workers")]
    TooMany(SocketAddr),
}

fn list(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Those that are not in use yet, each with its address.
#[derive(Debug, Default)]
pub struct Passed {
    given: Vec<(SocketAddr, TcpListener)>,
    /// From the process that this one takes over from.
    taken: Vec<(SocketAddr, TcpListener)>,
}

impl Passed {
    /// Takes them over: no program that this one starts has them, nor hears of them. None where there are none, or where they are
    /// another process's. To be called once, before there is another thread.
    ///
    /// # Errors
    /// One is no listener of TCP.
    pub fn take() -> Result<Self, PassedError> {
        let of = |name: &str| std::env::var(name).ok();
        if of("LISTEN_PID").and_then(|pid| pid.parse().ok()) != Some(std::process::id()) {
            return Ok(Self::default());
        }
        let count = of("LISTEN_FDS").and_then(|count| count.parse::<usize>().ok());
        if count.is_none_or(|count| count > PASSED_MAX) {
            return Err(PassedError::Count);
        }
        let mut given = ListenFd::from_env();
        let taken = (0..given.len()).map(|number| {
            let listener = given.take_tcp_listener(number).and_then(|listener| {
                let listener = listener.ok_or(io::ErrorKind::NotFound)?;
                match SockRef::from(&listener).is_listener()? {
                    true => Ok((listener.local_addr()?, listener)),
                    false => Err(io::Error::other("it is bound and does not listen")),
                }
            });
            listener.map_err(|source| PassedError::NoListener { number, source })
        });
        Ok(Self { given: taken.collect::<Result<_, _>>()?, taken: Vec::new() })
    }

    /// Adds those of the process that this one takes over from. Of them the config need not name all: what it does not is
    /// closed.
    ///
    /// # Errors
    /// One is bound to no address.
    pub fn take_over(&mut self, listeners: Vec<TcpListener>) -> io::Result<()> {
        for listener in listeners {
            self.taken.push((listener.local_addr()?, listener));
        }
        Ok(())
    }

    /// Binds an address for so many workers, as [`super::bind`] does, unless it was passed.
    ///
    /// # Errors
    /// As [`super::bind`], or it was passed in a way that does not serve.
    pub fn or_bind(&mut self, address: SocketAddr, workers: usize) -> Result<Bound, ListenError> {
        self.or_bind_taking(address, workers, Taking::Own)
    }

    /// The same, as [`super::bind_transparent`] does.
    ///
    /// # Errors
    /// As [`Passed::or_bind`].
    pub fn or_bind_transparent(&mut self, address: SocketAddr, workers: usize) -> Result<Bound, ListenError> {
        self.or_bind_taking(address, workers, Taking::Any)
    }

    fn or_bind_taking(&mut self, address: SocketAddr, workers: usize, taking: Taking) -> Result<Bound, ListenError> {
        let given = of_address(&mut self.given, address);
        let taken = of_address(&mut self.taken, address);
        let ours = if given.is_empty() { taken } else { given };
        if ours.len() > workers {
            return Err(PassedError::TooMany(address).into());
        }
        if ours.is_empty() {
            return Ok(super::bind_taking(address, workers, taking)?);
        }
        let failed = |source| BindError { address, source };
        for listener in &ours {
            prepare(listener, taking).map_err(failed)?;
        }
        // Of one socket all workers take connections, whoever comes first.
        let of_worker = |worker: usize| ours[worker % ours.len()].try_clone();
        let listeners = (0..workers).map(of_worker).collect::<io::Result<Vec<_>>>().map_err(failed)?;
        Ok(Bound { address, listeners })
    }

    /// To be called when all that the config names is bound.
    ///
    /// # Errors
    /// Some were passed that nobody wanted: clients would wait there in vain.
    pub fn finish(self) -> Result<(), PassedError> {
        match self.given.is_empty() {
            true => Ok(()),
            false => Err(PassedError::Unnamed(self.given.into_iter().map(|(address, _)| address).collect())),
        }
    }
}

fn of_address(listeners: &mut Vec<(SocketAddr, TcpListener)>, address: SocketAddr) -> Vec<TcpListener> {
    listeners.extract_if(.., |(at, _)| *at == address).map(|(_, listener)| listener).collect()
}

/// Whatever else can be set for a socket is up to who bound it.
fn prepare(listener: &TcpListener, taking: Taking) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    SockRef::from(listener).set_tcp_nodelay(true)?;
    if taking == Taking::Any {
        setsockopt(listener, sockopt::IpTransparent, &true)?;
    }
    Ok(())
}

/// Why an address is not listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Passed(#[from] PassedError),
}
