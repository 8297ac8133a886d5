//! One end of a TCP connection, or of TLS over one: every read has a deadline, and a message is read by its framing.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::ops::DerefMut;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, ConnectionCommon, ServerConfig, ServerConnection, SideData, StreamOwned};

/// How long any one read may take before the test has failed.
const READ_TIMEOUT: Duration = Duration::from_secs(20);

/// A connection, and what was read from it and not yet asked for.
pub(crate) struct Peer {
    stream: TcpStream,
    /// What is read and written, where that is not what goes over the wire.
    secured: Option<Box<dyn Secured>>,
    held: Vec<u8>,
    log: Option<Arc<Mutex<Vec<u8>>>>,
}

/// TLS over a connection.
trait Secured: Read + Write + Send {
    /// Says that nothing more will be sent.
    fn finish(&mut self);
}

impl<C, S: SideData> Secured for StreamOwned<C, TcpStream>
where
    C: DerefMut<Target = ConnectionCommon<S>> + Send,
{
    fn finish(&mut self) {
        self.conn.send_close_notify();
        let _ = self.flush();
    }
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Closed,
    Reset,
}

/// One message as it was on the wire, its body decoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    /// Start line and fields with their line ends, the empty line included.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: String,
    /// False when the stream ended before the message did.
    pub(crate) whole: bool,
}

impl Message {
    fn new(head: String) -> Self {
        Self { head, whole: true, ..Self::default() }
    }

    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub(crate) fn status(&self) -> u16 {
        self.line().split(' ').nth(1).and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    /// The names of the fields as sent, in their order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.head.lines().skip(1).filter_map(|line| Some(line.split_once(':')?.0)).collect()
    }

    /// The values of all fields of this name, in any letter case.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(named, _)| named.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether the sender says that it closes.
    pub(crate) fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap(), None)
    }

    /// A connection from this address of the machine, such as another one of loopback.
    pub(crate) fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::new(socket.into(), None)
    }

    /// Wraps a stream; all that is read is copied to `log`.
    pub(crate) fn new(stream: TcpStream, log: Option<Arc<Mutex<Vec<u8>>>>) -> Self {
        stream.set_read_timeout(Some(READ_TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(READ_TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, secured: None, held: Vec::new(), log }
    }

    /// Shakes hands as a client that asks for this name.
    pub(crate) fn secure(self, config: Arc<ClientConfig>, name: &str) -> std::io::Result<Self> {
        self.secured(ClientConnection::new(config, name.to_owned().try_into().unwrap()).unwrap())
    }

    /// Shakes hands as a server.
    pub(crate) fn serve_secured(self, config: Arc<ServerConfig>) -> std::io::Result<Self> {
        self.secured(ServerConnection::new(config).unwrap())
    }

    /// Goes on to the end of this handshake; what is sent and read from then on is what TLS carries.
    pub(crate) fn secured<C, S>(mut self, mut connection: C) -> std::io::Result<Self>
    where
        C: DerefMut<Target = ConnectionCommon<S>> + Send + 'static,
        S: SideData + 'static,
    {
        assert!(self.held.is_empty() && self.secured.is_none());
        connection.complete_io(&mut self.stream)?;
        self.secured = Some(Box::new(StreamOwned::new(connection, self.stream.try_clone()?)));
        Ok(self)
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        match &mut self.secured {
            Some(secured) => secured.write_all(bytes.as_ref()).and_then(|()| secured.flush()),
            None => self.stream.write_all(bytes.as_ref()),
        }
    }

    /// Says so within TLS alone: the connection stays open both ways.
    pub(crate) fn finish_secured(&mut self) {
        self.secured.as_mut().expect("TLS is spoken").finish();
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) {
        if let Some(secured) = &mut self.secured {
            secured.finish();
        }
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection by RST.
    pub(crate) fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match &mut self.secured {
            Some(secured) => secured.read(buffer),
            None => self.stream.read(buffer),
        }
    }

    /// Reads once; `None` when bytes came, else how the stream ended.
    fn fill(&mut self) -> Option<End> {
        let mut buffer = [0; 16 * 1024];
        match self.read(&mut buffer) {
            Ok(0) => Some(End::Closed),
            Ok(count) => {
                self.held.extend_from_slice(&buffer[..count]);
                if let Some(log) = &self.log {
                    log.lock().unwrap().extend_from_slice(&buffer[..count]);
                }
                None
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                panic!("nothing was read in time; before that: {}", String::from_utf8_lossy(&self.held))
            }
            Err(_) => Some(End::Reset),
        }
    }

    /// At most `count` bytes; fewer only where the stream ended.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        while self.held.len() < count && self.fill().is_none() {}
        let count = count.min(self.held.len());
        self.held.drain(..count).collect()
    }

    /// What has come or comes next; nothing at the end of the stream.
    pub(crate) fn some(&mut self) -> Vec<u8> {
        if self.held.is_empty() {
            self.fill();
        }
        std::mem::take(&mut self.held)
    }

    /// Everything up to the end of the stream, and how it ended.
    pub(crate) fn rest(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Some(end) = self.fill() {
                return (std::mem::take(&mut self.held), end);
            }
        }
    }

    /// Everything up to and with `end`; `None` when the stream ended before.
    fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            if let Some(at) = self.held.windows(end.len()).position(|window| window == end) {
                let bytes: Vec<u8> = self.held.drain(..at + end.len()).collect();
                return Some(String::from_utf8_lossy(&bytes).into_owned());
            }
            if self.fill().is_some() {
                return None;
            }
        }
    }

    /// A head alone.
    pub(crate) fn head(&mut self) -> Option<Message> {
        self.until(b"\r\n\r\n").map(Message::new)
    }

    /// A head alone, if it comes within the stream's own limit.
    pub(crate) fn try_head(&mut self) -> Option<Message> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(at) = self.held.windows(4).position(|window| window == b"\r\n\r\n") {
                let bytes: Vec<u8> = self.held.drain(..at + 4).collect();
                return Some(Message::new(String::from_utf8_lossy(&bytes).into_owned()));
            }
            match self.read(&mut buffer) {
                Ok(count @ 1..) => self.held.extend_from_slice(&buffer[..count]),
                Ok(0) | Err(_) => return None,
            }
        }
    }

    /// The next request, with its body.
    pub(crate) fn request(&mut self) -> Option<Message> {
        let message = self.head()?;
        let bodiless = message.field("content-length").is_none() && message.field("transfer-encoding").is_none();
        Some(if bodiless { message } else { self.body(message) })
    }

    /// The next answer, interim ones included, to a request of this method.
    pub(crate) fn answer_to(&mut self, method: &str) -> Message {
        let message = self.head().expect("the connection ended before an answer");
        let status = message.status();
        let bodiless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        if bodiless { message } else { self.body(message) }
    }

    /// The next answer to a GET.
    pub(crate) fn answer(&mut self) -> Message {
        self.answer_to("GET")
    }

    /// Reads the body that this head announces.
    pub(crate) fn body(&mut self, mut message: Message) -> Message {
        if message.field("transfer-encoding").is_some() {
            message.whole = self.chunks(&mut message).is_some();
        } else if let Some(length) = message.field("content-length") {
            let length: usize = length.parse().unwrap();
            message.body = self.take(length);
            message.whole = message.body.len() == length;
        } else {
            let (body, end) = self.rest();
            message.body = body;
            message.whole = end == End::Closed;
        }
        message
    }

    fn chunks(&mut self, message: &mut Message) -> Option<()> {
        loop {
            let line = self.until(b"\r\n")?;
            let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
            if size == 0 {
                break;
            }
            let data = self.take(size);
            message.body.extend_from_slice(&data);
            if data.len() < size || self.take(2) != b"\r\n" {
                return None;
            }
        }
        loop {
            let line = self.until(b"\r\n")?;
            if line == "\r\n" {
                return Some(());
            }
            message.trailers.push_str(&line);
        }
    }
}
