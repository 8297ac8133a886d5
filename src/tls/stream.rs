use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Interest, ReadBuf, duplex, split};
use tokio::net::{TcpStream, tcp};
use tokio::sync::mpsc;
use tokio_rustls::TlsStream;

/// A connection, as it is, inside TLS, or one of many streams within another.
#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Secured(Box<TlsStream<Rewound>>),
    Piped(Box<Piped>),
}

/// A connection of which something was read that belongs to its beginning.
#[derive(Debug)]
pub struct Rewound {
    ahead: BytesMut,
    stream: Stream,
}

/// The near end of a pipe in memory, at whose far end something else is spoken.
#[derive(Debug)]
pub struct Piped {
    pipe: DuplexStream,
    /// Closed once the far end is given up.
    far: mpsc::Sender<Infallible>,
}

/// The far end of a pipe. What its owner does not carry on is as if the other side had gone.
#[derive(Debug)]
pub struct FarEnd {
    pipe: DuplexStream,
    /// Nothing comes on it: that either side is gone says that this end of the pipe is.
    here: mpsc::Receiver<Infallible>,
}

impl FarEnd {
    /// The pipe, and what waits until the near end is given up.
    pub fn split(self) -> (DuplexStream, impl Future<Output = ()>) {
        let Self { pipe, mut here } = self;
        (pipe, async move {
            let _ = here.recv().await;
        })
    }
}

/// A pipe holds as many bytes each way.
const PIPE_BYTES: usize = 16 * 1024;

/// What is read of a connection, while something else is written.
#[derive(Debug)]
pub enum ReadHalf<'s> {
    Plain(tcp::ReadHalf<'s>),
    Secured(tokio::io::ReadHalf<&'s mut TlsStream<Rewound>>),
    Piped(tokio::io::ReadHalf<&'s mut DuplexStream>),
}

/// What is written to a connection, while something else is read.
#[derive(Debug)]
pub enum WriteHalf<'s> {
    Plain(tcp::WriteHalf<'s>),
    Secured(tokio::io::WriteHalf<&'s mut TlsStream<Rewound>>),
    Piped(tokio::io::WriteHalf<&'s mut DuplexStream>, &'s mpsc::Sender<Infallible>),
}

impl Rewound {
    /// `ahead` is read first.
    pub fn new(ahead: BytesMut, stream: Stream) -> Self {
        Self { ahead, stream }
    }
}

impl Stream {
    /// A pipe of 16 KiB each way.
    pub fn pipe() -> (Self, FarEnd) {
        let (near, pipe) = duplex(PIPE_BYTES);
        let (far, here) = mpsc::channel(1);
        (Self::Piped(Box::new(Piped { pipe: near, far })), FarEnd { pipe, here })
    }

    /// Both ways at once.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        match self {
            Self::Plain(tcp) => {
                let (read, write) = tcp.split();
                (ReadHalf::Plain(read), WriteHalf::Plain(write))
            }
            Self::Secured(secured) => {
                let (read, write) = split(&mut **secured);
                (ReadHalf::Secured(read), WriteHalf::Secured(write))
            }
            Self::Piped(piped) => {
                let Piped { pipe, far } = &mut **piped;
                let (read, write) = split(pipe);
                (ReadHalf::Piped(read), WriteHalf::Piped(write, far))
            }
        }
    }

    /// Waits until the other side is gone both ways, where that shows without writing: of one stream of many it does.
    pub fn forsaken(&self) -> impl Future<Output = ()> + Send + use<> {
        let far = match self {
            Self::Plain(_) | Self::Secured(_) => None,
            Self::Piped(piped) => Some(piped.far.clone()),
        };
        async move {
            match far {
                Some(far) => far.closed().await,
                None => pending().await,
            }
        }
    }

    /// The socket that it has to itself, whatever is spoken over it.
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(tcp) => Some(tcp),
            Self::Secured(secured) => secured.get_ref().0.stream.tcp(),
            Self::Piped(_) => None,
        }
    }

    /// The socket, where bytes go over it as they are.
    pub fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(tcp) => Some(tcp),
            Self::Secured(_) | Self::Piped(_) => None,
        }
    }
}

impl ReadHalf<'_> {
    /// That of the socket, where bytes go over it as they are.
    pub fn plain(&self) -> Option<&tcp::ReadHalf<'_>> {
        match self {
            Self::Plain(half) => Some(half),
            Self::Secured(_) | Self::Piped(_) => None,
        }
    }

    /// Whether nothing but reading tells that the other side has ended its way here: see [`WriteHalf::ended`].
    pub fn tells_by_reading(&self) -> bool {
        match self {
            Self::Secured(_) => true,
            Self::Plain(_) | Self::Piped(_) => false,
        }
    }
}

impl WriteHalf<'_> {
    /// That of the socket, where bytes go over it as they are.
    pub fn plain(&self) -> Option<&tcp::WriteHalf<'_>> {
        match self {
            Self::Plain(half) => Some(half),
            Self::Secured(_) | Self::Piped(..) => None,
        }
    }

    /// Waits until the other side has ended its way here, where that shows without reading: inside TLS it does not.
    pub async fn ended(&self) {
        match self {
            // Of priority data the kernel is not asked to tell: what is left of this interest is the end.
            Self::Plain(half) => {
                let _ = half.ready(Interest::PRIORITY).await;
            }
            Self::Secured(_) => pending().await,
            Self::Piped(_, far) => far.closed().await,
        }
    }
}

/// Writes to a connection that only reads are done beside of.
macro_rules! write_through {
    ($of:ty, $field:ident) => {
        impl tokio::io::AsyncWrite for $of {
            fn poll_write(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                bytes: &[u8],
            ) -> std::task::Poll<std::io::Result<usize>> {
                std::pin::Pin::new(&mut self.get_mut().$field).poll_write(context, bytes)
            }

            fn poll_flush(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::pin::Pin::new(&mut self.get_mut().$field).poll_flush(context)
            }

            fn poll_shutdown(
                self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
            ) -> std::task::Poll<std::io::Result<()>> {
                std::pin::Pin::new(&mut self.get_mut().$field).poll_shutdown(context)
            }
        }
    };
}

pub(crate) use write_through;

/// Calls whichever it is.
macro_rules! either {
    ($half:ident, $this:ident => $call:expr) => {
        match $this.get_mut() {
            Self::Plain($half) => $call,
            Self::Secured($half) => $call,
            Self::Piped($half, ..) => $call,
        }
    };
}

macro_rules! read_either {
    ($of:ty) => {
        impl AsyncRead for $of {
            fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                either!(half, self => Pin::new(half).poll_read(cx, into))
            }
        }
    };
}

macro_rules! write_either {
    ($of:ty) => {
        impl AsyncWrite for $of {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                either!(half, self => Pin::new(half).poll_write(cx, bytes))
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                either!(half, self => Pin::new(half).poll_flush(cx))
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                either!(half, self => Pin::new(half).poll_shutdown(cx))
            }
        }
    };
}

read_either!(Stream);
read_either!(ReadHalf<'_>);
write_either!(Stream);
write_either!(WriteHalf<'_>);

impl AsyncRead for Piped {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().pipe).poll_read(context, into)
    }
}

write_through!(Piped, pipe);

impl AsyncRead for Rewound {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, into);
        }
        let count = this.ahead.len().min(into.remaining());
        into.put_slice(&this.ahead[..count]);
        this.ahead.advance(count);
        if this.ahead.is_empty() {
            // Its room is given back: a connection may stand for hours.
            this.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

write_through!(Rewound, stream);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_was_read_ahead_comes_first_and_then_the_rest() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (tcp, _) = listener.accept().await.unwrap();
        let mut rewound = Rewound::new(BytesMut::from("abc"), Stream::Plain(tcp));
        client.write_all(b"def").await.unwrap();
        client.shutdown().await.unwrap();
        let mut two = [0; 2];
        rewound.read_exact(&mut two).await.unwrap();
        let mut rest = String::new();
        rewound.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&two, &*rest), (b"ab", "cdef"));
    }
}
