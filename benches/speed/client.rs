//! The other side of [`crate::origin`], straight to it or through a gate. It blocks: a thread for each.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What hangs this long will not go on.
const PATIENCE: Duration = Duration::from_secs(60);

fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// One connection on which a request is asked again and again.
pub(crate) struct KeptAlive {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
}

impl KeptAlive {
    /// Asks `origin` for so many bytes, through `gate` if there is one.
    pub(crate) fn new(gate: Option<SocketAddr>, origin: SocketAddr, bytes: u64) -> io::Result<Self> {
        let stream = BufReader::with_capacity(64 << 10, connect(gate.unwrap_or(origin))?);
        let prefix = if gate.is_some() { format!("http://{origin}") } else { String::new() };
        let request =
            format!("GET {prefix}/{bytes} HTTP/1.1\r\nHost: {origin}\r\nUser-Agent: load/1.0\r\nAccept: */*\r\n\r\n");
        Ok(Self { stream, request: request.into_bytes() })
    }

    /// Asks once, reads the whole answer and gives its status.
    pub(crate) fn exchange(&mut self) -> io::Result<u16> {
        self.stream.get_mut().write_all(&self.request)?;
        let (status, length) = read_head(&mut self.stream)?;
        let body = io::copy(&mut (&mut self.stream).take(length), &mut io::sink())?;
        if body == length { Ok(status) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

/// A tunnel to an origin, or a plain connection that is used like one.
pub(crate) struct Tunnel {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Tunnel {
    /// `first` goes in as soon as it stands.
    pub(crate) fn open(gate: Option<SocketAddr>, origin: SocketAddr, first: &[u8]) -> io::Result<Self> {
        Self::open_as("User-Agent: load/1.0\r\n", gate, origin, first)
    }

    /// The same with these fields behind `Host`.
    pub(crate) fn open_as(
        fields: &str,
        gate: Option<SocketAddr>,
        origin: SocketAddr,
        first: &[u8],
    ) -> io::Result<Self> {
        let stream = connect(gate.unwrap_or(origin))?;
        Self::over(stream, gate.map(|_| fields), origin, first)
    }

    /// The same over a connection that is there: to a gate where there are fields, else to the origin itself.
    pub(crate) fn over(
        mut stream: TcpStream,
        fields: Option<&str>,
        origin: SocketAddr,
        first: &[u8],
    ) -> io::Result<Self> {
        if let Some(fields) = fields {
            write!(stream, "CONNECT {origin} HTTP/1.1\r\nHost: {origin}\r\n{fields}\r\n")?;
            // The origin does not speak first, so nothing behind the head is lost with the reader.
            let (status, _) = read_head(&mut BufReader::with_capacity(1024, &stream))?;
            if status != 200 {
                return Err(io::Error::other(format!("the answer to CONNECT is {status}")));
            }
        }
        stream.write_all(first)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends `up` bytes, and waits for `down` bytes in return.
    pub(crate) fn carry(&mut self, up: usize, down: usize) -> io::Result<()> {
        let mut head = [0; 16];
        head[..8].copy_from_slice(&(up as u64).to_be_bytes());
        head[8..].copy_from_slice(&(down as u64).to_be_bytes());
        self.buffer.resize(16 + up.clamp(down.min(PIECE), PIECE), b'x');
        self.buffer[..16].copy_from_slice(&head);
        let first = up.min(PIECE);
        self.stream.write_all(&self.buffer[..16 + first])?;
        let mut left = up - first;
        while left > 0 {
            let piece = left.min(PIECE);
            self.stream.write_all(&self.buffer[16..16 + piece])?;
            left -= piece;
        }
        let mut left = down;
        while left > 0 {
            let room = left.min(self.buffer.len());
            match self.stream.read(&mut self.buffer[..room])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => left -= read,
            }
        }
        Ok(())
    }
}

const PIECE: usize = 256 << 10;

/// Status and Content-Length.
fn read_head(reader: &mut impl BufRead) -> io::Result<(u16, u64)> {
    let (mut status, mut length, mut line) = (0, 0, String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(": ") {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        } else if status == 0 {
            status = line.split(' ').nth(1).unwrap_or_default().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    if status == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok((status, length)) }
}
