use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::form::{self, Form};
use super::peer;
use super::ping::{self, Echo};
use super::question::{Key, Question};
use super::way::{Layer, Outcome, Route, Way};

/// What is read of an answer, at most.
const ANSWER_READ_MAX: usize = 16 << 10;
/// A datagram is sent so many times, as one may get lost.
const SENT_TIMES: u32 = 3;

/// What became of a way, and what is to be said of it.
pub(super) type Ended = (Outcome, String);

/// What each way of a run is tried with.
#[derive(Clone)]
pub(super) struct Means {
    pub(super) key: Key,
    /// For a way, from its first packet to its end.
    pub(super) timeout: Duration,
    pub(super) tls: Arc<ClientConfig>,
}

impl Means {
    /// Tries one way, for as long as the timeout at most.
    pub(super) async fn attempt(&self, way: Way, question: Question) -> Ended {
        let until = Instant::now() + self.timeout;
        match (way.route, way.layer) {
            (Route::Peer, _) | (_, Layer::Smb) => peer::attempt(self, way.to, question, until).await,
            (Route::Connect(proxy), layer) => self.over_tunnel(proxy, way.to, layer, question, until).await,
            (Route::Forward(proxy), _) => self.over_proxy(proxy, way.to, question, until).await,
            (Route::Direct, Layer::Tcp(form)) => {
                let stream = match connected(way.to, until).await {
                    Ok(stream) => stream,
                    Err(ended) => return ended,
                };
                let asked = form.on_stream(&question, &self.key, &way.to.to_string());
                self.of_stream(ask(stream, &asked, &question, &self.key, until).await)
            }
            (Route::Direct, Layer::Tls(form)) => match connected(way.to, until).await {
                Ok(stream) => self.of_stream(self.within_tls(stream, way.to, form, &question, until).await),
                Err(ended) => ended,
            },
            (Route::Direct, Layer::Udp(form)) => match bound_for(way.to).await {
                Ok(socket) => self.datagrams(socket, &form.as_datagram(&question, &self.key), &question, until).await,
                Err(error) => of_error(&error),
            },
            (Route::Direct, Layer::Icmp) => self.ping(way.to.ip(), question, until).await,
        }
    }

    async fn within_tls(
        &self,
        stream: TcpStream,
        to: SocketAddr,
        form: Form,
        question: &Question,
        until: Instant,
    ) -> Came {
        let connector = TlsConnector::from(self.tls.clone());
        let stream = match timeout_at(until, connector.connect(ServerName::from(to.ip()), stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Came::Closed(Some(error.to_string())),
            Err(_) => return Came::Nothing,
        };
        let asked = form.on_stream(question, &self.key, &to.to_string());
        ask(stream, &asked, question, &self.key, until).await
    }

    /// Of a connection that somebody took.
    fn of_stream(&self, came: Came) -> Ended {
        match came {
            Came::Proof(seen) => (Outcome::Through, format!("seen outside as {seen}")),
            Came::Other(bytes) => (Outcome::Answered, first_line(&bytes)),
            Came::Closed(None) => (Outcome::Answered, "the connection was taken, and closed".to_owned()),
            Came::Closed(Some(why)) => (Outcome::Answered, format!("the connection was taken, and broken off: {why}")),
            Came::Nothing => (Outcome::Answered, "the connection was taken, and nothing came".to_owned()),
        }
    }

    async fn over_tunnel(
        &self,
        proxy: SocketAddr,
        to: SocketAddr,
        layer: Layer,
        question: Question,
        until: Instant,
    ) -> Ended {
        let mut stream = match connected(proxy, until).await {
            Ok(stream) => stream,
            Err((outcome, detail)) => return (outcome, format!("the proxy itself: {detail}")),
        };
        let head = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n\r\n");
        let status = match timeout_at(until, answered(&mut stream, head.as_bytes())).await {
            Ok(Ok(status)) => status,
            Ok(Err(error)) => return (Outcome::Refused, format!("the proxy closed the connection: {error}")),
            Err(_) => return (Outcome::Silent, "the proxy says nothing".to_owned()),
        };
        if !(200..300).contains(&status) {
            return (Outcome::Refused, format!("{status} of the proxy"));
        }
        let came = match layer {
            Layer::Tls(form) => self.within_tls(stream, to, form, &question, until).await,
            Layer::Tcp(form) | Layer::Udp(form) => {
                ask(stream, &form.on_stream(&question, &self.key, &to.to_string()), &question, &self.key, until).await
            }
            Layer::Icmp | Layer::Smb => return (Outcome::NotTried, "there is no such tunnel".to_owned()),
        };
        match came {
            Came::Proof(seen) => (Outcome::Through, format!("seen outside as {seen}")),
            Came::Other(_) | Came::Closed(_) => (Outcome::Refused, "the proxy made a tunnel, and ended it".to_owned()),
            Came::Nothing => (Outcome::Silent, "the proxy made a tunnel, and nothing came of it".to_owned()),
        }
    }

    async fn over_proxy(&self, proxy: SocketAddr, to: SocketAddr, question: Question, until: Instant) -> Ended {
        let stream = match connected(proxy, until).await {
            Ok(stream) => stream,
            Err((outcome, detail)) => return (outcome, format!("the proxy itself: {detail}")),
        };
        let url = format!("http://{to}{}", form::http_path(&question, &self.key));
        match ask(stream, &form::http(&url, "*/*", &to.to_string()), &question, &self.key, until).await {
            Came::Proof(seen) => (Outcome::Through, format!("seen outside as {seen}")),
            Came::Other(bytes) => match status_of(&bytes) {
                Some(status) => (Outcome::Refused, format!("{status} of the proxy")),
                None => (Outcome::Refused, "the proxy speaks no HTTP".to_owned()),
            },
            Came::Closed(_) => (Outcome::Refused, "the proxy closed the connection".to_owned()),
            Came::Nothing => (Outcome::Silent, "the proxy says nothing".to_owned()),
        }
    }

    async fn datagrams(&self, socket: UdpSocket, asked: &[u8], question: &Question, until: Instant) -> Ended {
        of_datagrams(self.resent(&socket, asked, until, |bytes| Some(form::proved(question, bytes, &self.key))).await)
    }

    async fn ping(&self, to: IpAddr, question: Question, until: Instant) -> Ended {
        let socket = match ping::asking(to).and_then(UdpSocket::from_std) {
            Ok(socket) => socket,
            Err(error) => {
                let why = format!("this user may not: {error} (root may, and whom net.ipv4.ping_group_range names)");
                return (Outcome::NotTried, why);
            }
        };
        let content = Form::Own.as_datagram(&question, &self.key);
        let echo = Echo { mark: question.mark(), content: &content };
        let asked = ping::written(echo, to, false);
        // A raw socket hears all that comes from there, such as answers to others; one of the other kind has an
        // identifier of the kernel's.
        let read = |bytes: &[u8]| {
            let echo = ping::read(bytes, to, true).filter(|came| came.mark[2..] == echo.mark[2..])?;
            Some(form::proved(&question, echo.content, &self.key))
        };
        match self.resent(&socket, &asked, until, read).await {
            Datagrams::Other => (Outcome::Answered, "an echo came back, and no word of the responder".to_owned()),
            came => of_datagrams(came),
        }
    }

    /// Sends a datagram until an answer proves itself, somebody says no, or the time is over. `read` says what came:
    /// nothing to do with this, something, or a proof.
    async fn resent(
        &self,
        socket: &UdpSocket,
        asked: &[u8],
        until: Instant,
        read: impl Fn(&[u8]) -> Option<Option<SocketAddr>>,
    ) -> Datagrams {
        let (mut other, mut buffer) = (false, vec![0; 4096]);
        for round in 1..=SENT_TIMES {
            if let Err(error) = socket.send(asked).await {
                return Datagrams::Failed(error);
            }
            let left = SENT_TIMES - round;
            let wait = until - self.timeout * left / SENT_TIMES;
            loop {
                match timeout_at(wait, socket.recv(&mut buffer)).await {
                    Err(_) => break,
                    Ok(Err(error)) => return Datagrams::Failed(error),
                    Ok(Ok(length)) => match read(buffer.get(..length).unwrap_or_default()) {
                        Some(Some(seen)) => return Datagrams::Proof(seen),
                        Some(None) => other = true,
                        None => {}
                    },
                }
            }
        }
        if other { Datagrams::Other } else { Datagrams::Nothing }
    }
}

/// What came of datagrams.
enum Datagrams {
    Proof(SocketAddr),
    Other,
    Nothing,
    Failed(io::Error),
}

fn of_datagrams(came: Datagrams) -> Ended {
    match came {
        Datagrams::Proof(seen) => (Outcome::Through, format!("seen outside as {seen}")),
        Datagrams::Other => (Outcome::Answered, "something came back, and no word of the responder".to_owned()),
        Datagrams::Nothing => (Outcome::Silent, String::new()),
        Datagrams::Failed(error) => of_error(&error),
    }
}

/// What came back on a stream.
pub(super) enum Came {
    Proof(SocketAddr),
    Other(Vec<u8>),
    /// Nothing, and an end; and why, where TLS says.
    Closed(Option<String>),
    /// Not even an end, in time.
    Nothing,
}

pub(super) async fn connected(to: SocketAddr, until: Instant) -> Result<TcpStream, Ended> {
    match timeout_at(until, TcpStream::connect(to)).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(of_error(&error)),
        Err(_) => Err((Outcome::Silent, String::new())),
    }
}

/// Sends on a stream, and reads until the answer proves itself, the other side ends, or the time is over.
pub(super) async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    asked: &[u8],
    question: &Question,
    key: &Key,
    until: Instant,
) -> Came {
    let mut came = Vec::new();
    let mut ended = false;
    let asking = async {
        stream.write_all(asked).await?;
        stream.flush().await?;
        while came.len() < ANSWER_READ_MAX {
            if stream.read_buf(&mut came).await? == 0 {
                break;
            }
            if let Some(seen) = form::proved(question, &came, key) {
                return Ok(Some(seen));
            }
        }
        Ok::<_, io::Error>(None)
    };
    match timeout_at(until, asking).await {
        Ok(Ok(Some(seen))) => return Came::Proof(seen),
        Ok(Ok(None) | Err(_)) => ended = true,
        Err(_) => {}
    }
    match (came.is_empty(), ended) {
        (false, _) => Came::Other(came),
        (true, true) => Came::Closed(None),
        (true, false) => Came::Nothing,
    }
}

/// Sends a head, and reads the status of the answer up to the end of its head.
async fn answered(stream: &mut TcpStream, head: &[u8]) -> io::Result<u16> {
    stream.write_all(head).await?;
    let mut came = Vec::new();
    while !came.ends_with(b"\r\n\r\n") && came.len() < ANSWER_READ_MAX {
        // One by one: what comes behind the head belongs to the tunnel.
        match stream.read_u8().await {
            Ok(byte) => came.push(byte),
            Err(error) => match status_of(&came) {
                Some(status) if status >= 300 => return Ok(status),
                _ => return Err(error),
            },
        }
    }
    status_of(&came).ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "it speaks no HTTP"))
}

fn status_of(came: &[u8]) -> Option<u16> {
    let rest = came.strip_prefix(b"HTTP/1.")?.get(2..)?;
    let digits: &[u8; 3] = rest.first_chunk()?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What somebody says of themselves, as far as one line goes.
fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let is_text = line.len() > 3 && line.iter().all(|byte| (b' '..=b'~').contains(byte));
    match is_text {
        true => format!("it says: {}", String::from_utf8_lossy(line.get(..60.min(line.len())).unwrap_or_default())),
        false => "it says something else".to_owned(),
    }
}

/// A socket that is told of refusals, with an address of this machine that reaches there.
async fn bound_for(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    Ok(socket)
}

/// The address by which this machine would go there. Nothing is sent.
///
/// # Errors
/// It has no way there: no address of this family, or no route.
pub(super) fn way_to(to: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    socket.connect((to, 9))?;
    Ok(socket.local_addr()?.ip())
}

pub(super) fn of_error(error: &io::Error) -> Ended {
    let refused = |why: &str| (Outcome::Refused, why.to_owned());
    match error.kind() {
        ErrorKind::ConnectionRefused => refused("refused"),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => refused("reset"),
        ErrorKind::HostUnreachable => refused("said to be unreachable, or forbidden"),
        ErrorKind::NetworkUnreachable => refused("said to be an unreachable network"),
        ErrorKind::PermissionDenied => refused("forbidden"),
        ErrorKind::TimedOut => (Outcome::Silent, String::new()),
        _ => (Outcome::NotTried, error.to_string()),
    }
}
