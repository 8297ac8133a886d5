//! Lines that other firewalls send (RFC 5426 over UDP, RFC 6587 over TCP).

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::clock;
use crate::formats::{FRAME_BYTES_MAX, FirewallLine, Frame, Frames, read_firewall_line};
use crate::listen::{self, BindError, Queued};

use super::outbox::Outbox;
use super::settings::{SyslogAddress, Transport};

/// Firewalls that may be connected at the same time; one more is closed at once, and counted as missed.
const CONNECTIONS_MAX: usize = 64;
/// A connection on which nothing has come for so long is closed: its firewall opens another.
const IDLE: Duration = Duration::from_secs(3600);
const TURN: Duration = Duration::from_millis(200);
/// What lies ready when the gate ends is read for so long.
const END_LIMIT: Duration = Duration::from_millis(200);

/// A socket that waits for lines.
#[derive(Debug)]
pub(super) enum Waiting {
    Udp(UdpSocket),
    Tcp(TcpListener),
}

impl Waiting {
    pub(super) fn bind(to: &SyslogAddress) -> Result<(Self, SocketAddr), BindError> {
        match to.transport {
            Transport::Udp => {
                let (socket, address) = listen::bind_udp(to.address)?;
                Ok((Self::Udp(socket), address))
            }
            Transport::Tcp => {
                let bound = listen::bind(to.address, 1)?;
                let listener = bound.listeners.into_iter().next();
                let missing = || BindError { address: to.address, source: std::io::ErrorKind::NotFound.into() };
                Ok((Self::Tcp(listener.ok_or_else(missing)?), bound.address))
            }
        }
    }
}

/// What all connections of a listener put their lines into.
type Shared = Arc<Mutex<Outbox>>;

fn open(shared: &Shared) -> MutexGuard<'_, Outbox> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads what comes for as long as `stop` has a sender.
pub(super) async fn read(waiting: Waiting, outbox: Outbox, mut stop: watch::Receiver<()>) {
    let shared = Arc::new(Mutex::new(outbox));
    let turning = {
        let shared = shared.clone();
        async move {
            let mut turns = interval(TURN);
            loop {
                turns.tick().await;
                open(&shared).turn(clock::now());
            }
        }
    };
    let reading = async {
        let read = match waiting {
            Waiting::Udp(socket) => datagrams(socket, &shared, &mut stop).await,
            Waiting::Tcp(listener) => connections(listener, &shared, &stop).await,
        };
        if let Err(error) = read {
            open(&shared).fail(&error.to_string());
            let _ = stop.changed().await;
        }
    };
    tokio::select! {
        () = reading => {}
        () = turning => {}
    }
    // Every connection has ended by now.
    if let Some(outbox) = Arc::into_inner(shared) {
        outbox.into_inner().unwrap_or_else(PoisonError::into_inner).end().await;
    }
}

async fn datagrams(socket: UdpSocket, shared: &Shared, stop: &mut watch::Receiver<()>) -> std::io::Result<()> {
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    open(shared).begin();
    // One byte more shows that it was longer.
    let mut buffer = vec![0; FRAME_BYTES_MAX + 1];
    let take = |received: std::io::Result<(usize, SocketAddr)>, buffer: &[u8]| match received {
        Ok((length, from)) => {
            let bytes = buffer.get(..length).unwrap_or_default();
            line(shared, Frame { bytes, is_cut: length > FRAME_BYTES_MAX }, from.ip());
        }
        Err(_) => open(shared).miss(0, "the system could not receive a datagram"),
    };
    loop {
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            received = socket.recv_from(&mut buffer) => {
                let failed = received.is_err();
                take(received, &buffer);
                if failed {
                    sleep(TURN).await;
                }
            }
        }
    }
    while let Ok(received) = timeout(END_LIMIT / 4, socket.recv_from(&mut buffer)).await {
        take(received, &buffer);
    }
    Ok(())
}

async fn connections(listener: TcpListener, shared: &Shared, stop: &watch::Receiver<()>) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    open(shared).begin();
    let open_now = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    let stopped = {
        let mut stop = stop.clone();
        async move {
            let _ = stop.changed().await;
            Queued::Taken
        }
    };
    listen::accept(listener, stopped, &AtomicU64::new(0), |stream, from| {
        while tasks.try_join_next().is_some() {}
        if open_now.load(Ordering::Relaxed) >= CONNECTIONS_MAX {
            open(shared).miss(0, "more firewalls connected than may at the same time");
            return;
        }
        open_now.fetch_add(1, Ordering::Relaxed);
        let (shared, open_now, stop) = (shared.clone(), open_now.clone(), stop.clone());
        tasks.spawn(async move {
            connection(stream, from.ip(), &shared, stop).await;
            open_now.fetch_sub(1, Ordering::Relaxed);
        });
    })
    .await;
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Reads one firewall's lines until it closes, fails, says nothing for too long, or the gate ends.
async fn connection(mut stream: TcpStream, from: IpAddr, shared: &Shared, mut stop: watch::Receiver<()>) {
    let mut frames = Frames::default();
    let mut buffer = vec![0; FRAME_BYTES_MAX];
    let mut is_ending = false;
    loop {
        let limit = if is_ending { END_LIMIT / 4 } else { IDLE };
        let read = tokio::select! {
            biased;
            _ = stop.changed(), if !is_ending => {
                is_ending = true;
                continue;
            }
            read = timeout(limit, stream.read(&mut buffer)) => read,
        };
        match read {
            Ok(Ok(length)) if length > 0 => {
                let bytes = buffer.get(..length).unwrap_or_default();
                frames.take(bytes, |frame| line(shared, frame, from));
            }
            Ok(_) | Err(_) => break,
        }
    }
    frames.end(|frame| line(shared, frame, from));
}

fn line(shared: &Shared, frame: Frame<'_>, from: IpAddr) {
    let (mut seen, is_read) = match read_firewall_line(frame.bytes) {
        FirewallLine::Flow(seen) => (seen, !frame.is_cut),
        FirewallLine::Raw(seen) => (seen, false),
        FirewallLine::Nothing => return,
    };
    seen.key.told_by = Some(from.to_canonical());
    let mut outbox = open(shared);
    if !is_read {
        outbox.count_unread();
    }
    outbox.add(seen, clock::now());
}
