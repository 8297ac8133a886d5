use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::clock;
use crate::facts::Timestamp;
use crate::listen;

use super::form::{self, ASKED_BYTES_MAX, Form, Read};
use super::ping::{self, Echo};
use super::question::{Key, Question};
use super::tls;

/// Connections at the same time on which nothing is proven yet; for one more the oldest of them is closed.
const UNPROVEN_MAX: usize = 128;
/// Connections at the same time that have asked a question; one more is closed at once.
const ANSWERED_MAX: usize = 128;
/// Until the first byte, and until the question is there.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(2);
const QUESTION_TIMEOUT: Duration = Duration::from_secs(10);
/// For an answer, from its begin until the other side has closed.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Questions a second, of all sources together: beyond, nobody is answered and nothing is told but their number.
const QUESTIONS_PER_SECOND_MAX: u64 = 500;
/// The same of strangers, who take no room of questions.
const STRANGERS_PER_SECOND_MAX: u64 = 100;
/// What was heard and is not told yet; strangers have no more than the half of it.
const UNTOLD_MAX: usize = 1024;
/// The first byte of a record with a ClientHello.
const HANDSHAKE: u8 = 22;

/// What a responder listens on, and for whom.
#[derive(Clone)]
pub struct RespondSettings {
    /// Own addresses, such as the unspecified ones for all.
    pub listen: Vec<IpAddr>,
    pub tcp: Vec<u16>,
    pub udp: Vec<u16>,
    /// Whether echo requests are answered too, beside the kernel's own answers; root alone may.
    pub icmp: bool,
    pub key: Key,
}

/// A responder that has bound what it could.
pub struct Responder {
    listeners: Vec<(TcpListener, SocketAddr)>,
    sockets: Vec<(UdpSocket, SocketAddr)>,
    pings: Vec<(UdpSocket, IpAddr)>,
    not_bound: Vec<NotBound>,
    key: Key,
}

/// What could not be bound.
#[derive(Debug)]
pub struct NotBound {
    /// `tcp`, `udp` or `icmp`.
    pub layer: &'static str,
    /// For ICMP the port is 0.
    pub address: SocketAddr,
    pub source: io::Error,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    pub at: Timestamp,
    pub from: SocketAddr,
    /// `tcp`, `tls`, `udp` or `icmp`.
    pub layer: &'static str,
    /// The port at which it came; 0 for ICMP.
    pub port: u16,
    /// The question, which was answered, and its dress; nothing for strangers.
    pub question: Option<(Form, Question)>,
}

/// What a responder has to say in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// What it neither answered nor told: too much at a time.
    pub beyond: u64,
}

impl Responder {
    /// Binds each port at each address. What cannot be bound is kept as that.
    pub fn bind(settings: &RespondSettings) -> Self {
        let (mut listeners, mut sockets, mut pings, mut not_bound) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for ip in &settings.listen {
            for port in &settings.tcp {
                let address = SocketAddr::new(*ip, *port);
                match listen::bind(address, 1) {
                    Ok(bound) => listeners.extend(bound.listeners.into_iter().map(|one| (one, bound.address))),
                    Err(error) => not_bound.push(NotBound { layer: "tcp", address, source: error.source }),
                }
            }
            for port in &settings.udp {
                let address = SocketAddr::new(*ip, *port);
                match listen::bind_udp(address) {
                    Ok(bound) => sockets.push(bound),
                    Err(error) => not_bound.push(NotBound { layer: "udp", address, source: error.source }),
                }
            }
        }
        for ip in settings.pinged() {
            match ping::answering(ip) {
                Ok(socket) => pings.push((socket, ip)),
                Err(source) => not_bound.push(NotBound { layer: "icmp", address: (ip, 0).into(), source }),
            }
        }
        Self { listeners, sockets, pings, not_bound, key: settings.key.clone() }
    }

    pub fn not_bound(&self) -> &[NotBound] {
        &self.not_bound
    }

    /// Where it listens: `tcp`, `udp` or `icmp`, and the address.
    pub fn listening(&self) -> Vec<(&'static str, SocketAddr)> {
        let tcp = self.listeners.iter().map(|(_, address)| ("tcp", *address));
        let udp = self.sockets.iter().map(|(_, address)| ("udp", *address));
        tcp.chain(udp).chain(self.pings.iter().map(|(_, ip)| ("icmp", (*ip, 0).into()))).collect()
    }

    /// Answers whoever knows the word, until `stop` resolves; tells what it hears.
    ///
    /// # Errors
    /// The runtime takes no more sockets, or no certificate can be made.
    pub async fn serve(self, stop: impl Future<Output = ()>, mut heard: impl FnMut(Heard)) -> io::Result<Served> {
        let tls = tls::server().map_err(io::Error::other)?;
        let (tell, mut told) = channel(UNTOLD_MAX);
        let room = Arc::new(Room::new(self.key, tls, tell));
        let mut tasks = JoinSet::new();
        for (listener, address) in self.listeners {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            tasks.spawn(room.clone().accept(listener, address.port()));
        }
        for (socket, address) in self.sockets {
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            tasks.spawn(room.clone().datagrams(socket, address.port()));
        }
        for (socket, at) in self.pings {
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            tasks.spawn(room.clone().pings(socket, at));
        }
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(one) = told.recv() => heard(one),
            }
        }
        tasks.shutdown().await;
        while let Ok(one) = told.try_recv() {
            heard(one);
        }
        Ok(Served { beyond: room.beyond.load(Ordering::Relaxed) })
    }
}

impl RespondSettings {
    /// All addresses of this machine, of IPv6 where it has that.
    pub fn everywhere() -> Vec<IpAddr> {
        let [v4, v6] = ping::ANY;
        if listen::bind_udp((v6, 0).into()).is_ok() { vec![v6] } else { vec![v4] }
    }

    /// The addresses at which echo requests are heard: an unspecified one hears those of both families.
    fn pinged(&self) -> Vec<IpAddr> {
        let both = IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED);
        match self.icmp {
            false => Vec::new(),
            true if self.listen.contains(&both) => ping::ANY.to_vec(),
            true => self.listen.clone(),
        }
    }
}

/// What all that is served shares.
struct Room {
    key: Key,
    tls: Arc<ServerConfig>,
    answered: Semaphore,
    unproven: Mutex<Unproven>,
    tell: Sender<Heard>,
    questions: Rate,
    strangers: Rate,
    beyond: AtomicU64,
}

/// Connections on which nothing is proven yet, oldest first: each ends once its sender is dropped.
#[derive(Default)]
struct Unproven {
    came: u64,
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
}

/// So many a second.
struct Rate {
    most: u64,
    /// The second that is counted, and what has come in it.
    second: AtomicU64,
    came: AtomicU64,
}

impl Rate {
    fn new(most: u64) -> Self {
        Self { most, second: AtomicU64::new(0), came: AtomicU64::new(0) }
    }

    fn takes(&self, now: Timestamp) -> bool {
        let second = now.0 / 1_000_000;
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.came.store(0, Ordering::Relaxed);
        }
        self.came.fetch_add(1, Ordering::Relaxed) < self.most
    }
}

/// A connection on which a question was asked.
struct Asked {
    stream: Box<dyn Stream>,
    layer: &'static str,
    heard: form::Heard,
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Room {
    fn new(key: Key, tls: Arc<ServerConfig>, tell: Sender<Heard>) -> Self {
        Self {
            key,
            tls,
            answered: Semaphore::new(ANSWERED_MAX),
            unproven: Mutex::default(),
            tell,
            questions: Rate::new(QUESTIONS_PER_SECOND_MAX),
            strangers: Rate::new(STRANGERS_PER_SECOND_MAX),
            beyond: AtomicU64::new(0),
        }
    }

    fn unproven(&self) -> MutexGuard<'_, Unproven> {
        self.unproven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection, and what says that it must go for a newer one.
    fn enter(&self) -> (u64, oneshot::Receiver<()>) {
        let (stays, goes) = oneshot::channel();
        let mut unproven = self.unproven();
        if unproven.waiting.len() >= UNPROVEN_MAX {
            // It is told of as a stranger.
            unproven.waiting.pop_front();
        }
        unproven.came += 1;
        let number = unproven.came;
        unproven.waiting.push_back((number, stays));
        (number, goes)
    }

    fn leave(&self, number: u64) {
        self.unproven().waiting.retain(|(other, _)| *other != number);
    }

    async fn accept(self: Arc<Self>, listener: tokio::net::TcpListener, port: u16) {
        let mut connections = JoinSet::new();
        let failures = AtomicU64::new(0);
        let take = |stream: TcpStream, from: SocketAddr| {
            while connections.try_join_next().is_some() {}
            let room = self.clone();
            // Here and not in the task: who comes later must find who came before.
            let (number, goes) = room.enter();
            connections.spawn(async move {
                let from = canonical(from);
                let asked = tokio::select! {
                    biased;
                    _ = goes => None,
                    asked = timeout(QUESTION_TIMEOUT, room.question(stream, from)) => asked.ok().flatten(),
                };
                room.leave(number);
                match asked {
                    Some(asked) => room.answer(asked, from, port).await,
                    None => room.stranger(from, "tcp", port),
                }
            });
        };
        listen::accept(listener, pending(), &failures, take).await;
    }

    /// `None` for who asks nothing of ours.
    async fn question(&self, stream: TcpStream, from: SocketAddr) -> Option<Asked> {
        let mut first = [0];
        let length = timeout(FIRST_BYTE_TIMEOUT, stream.peek(&mut first)).await.ok()?.ok()?;
        if length == 1 && first == [HANDSHAKE] {
            let stream = TlsAcceptor::from(self.tls.clone()).accept(stream).await.ok()?;
            return self.asked(stream, from, "tls").await;
        }
        self.asked(stream, from, "tcp").await
    }

    async fn asked(&self, mut stream: impl Stream + 'static, from: SocketAddr, layer: &'static str) -> Option<Asked> {
        let mut came = Vec::with_capacity(256);
        let mut piece = [0; 512];
        let heard = loop {
            match form::read_stream(&came, from, &self.key) {
                Read::Heard(heard) => break heard,
                Read::Stranger => return None,
                Read::Part if came.len() > ASKED_BYTES_MAX => return None,
                Read::Part => {}
            }
            match stream.read(&mut piece).await.ok()? {
                0 => return None,
                length => came.extend(piece.get(..length)?),
            }
        };
        Some(Asked { stream: Box::new(stream), layer, heard })
    }

    async fn answer(&self, asked: Asked, from: SocketAddr, port: u16) {
        let Asked { mut stream, layer, heard } = asked;
        let Ok(_place) = self.answered.try_acquire() else {
            self.beyond.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if !self.tell(from, layer, port, Some((heard.form, heard.question))) {
            return;
        }
        let answering = async {
            stream.write_all(&heard.answer).await?;
            stream.shutdown().await?;
            // Closed with something unread, the answer could be lost on the way.
            let mut piece = [0; 512];
            while stream.read(&mut piece).await? > 0 {}
            io::Result::Ok(())
        };
        let _ = timeout(ANSWER_TIMEOUT, answering).await;
    }

    async fn datagrams(self: Arc<Self>, socket: tokio::net::UdpSocket, port: u16) {
        let mut buffer = vec![0; ASKED_BYTES_MAX];
        loop {
            // An error is that of some answer before, which nobody took.
            let Ok((length, to)) = socket.recv_from(&mut buffer).await else { continue };
            let from = canonical(to);
            match form::read_datagram(buffer.get(..length).unwrap_or_default(), from, &self.key) {
                Some(heard) => {
                    if self.tell(from, "udp", port, Some((heard.form, heard.question))) {
                        let _ = socket.send_to(&heard.answer, to).await;
                    }
                }
                None => self.stranger(from, "udp", port),
            }
        }
    }

    async fn pings(self: Arc<Self>, socket: tokio::net::UdpSocket, at: IpAddr) {
        let mut buffer = vec![0; ASKED_BYTES_MAX];
        loop {
            let Ok((length, to)) = socket.recv_from(&mut buffer).await else { continue };
            let Some(echo) = ping::read(buffer.get(..length).unwrap_or_default(), at, false) else { continue };
            let from = canonical(SocketAddr::new(to.ip(), 0));
            let Some(heard) = form::read_datagram(echo.content, from, &self.key) else { continue };
            if self.tell(from, "icmp", 0, Some((heard.form, heard.question))) {
                let answer = ping::written(Echo { mark: echo.mark, content: &heard.answer }, at, true);
                let _ = socket.send_to(&answer, to).await;
            }
        }
    }

    fn stranger(&self, from: SocketAddr, layer: &'static str, port: u16) {
        self.tell(from, layer, port, None);
    }

    /// Tells what was heard. False where there is too much of it: then it is not answered either.
    fn tell(&self, from: SocketAddr, layer: &'static str, port: u16, question: Option<(Form, Question)>) -> bool {
        let at = clock::now();
        let is_within = match question {
            Some(_) => self.questions.takes(at),
            None => self.strangers.takes(at) && self.tell.capacity() > UNTOLD_MAX / 2,
        };
        let is_told = is_within && self.tell.try_send(Heard { at, from, layer, port, question }).is_ok();
        if !is_told {
            self.beyond.fetch_add(1, Ordering::Relaxed);
        }
        is_told
    }
}

/// An address of IPv4 as that, whatever the socket.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests;
