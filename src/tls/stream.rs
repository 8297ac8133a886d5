use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, split};
use tokio::net::{TcpStream, tcp};
use tokio_rustls::TlsStream;

/// A connection, as it is or inside TLS.
#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Secured(Box<TlsStream<Rewound>>),
}

/// A connection of which something was read that belongs to its beginning.
#[derive(Debug)]
pub struct Rewound {
    ahead: BytesMut,
    tcp: TcpStream,
}

/// What is read of a connection, while something else is written.
#[derive(Debug)]
pub enum ReadHalf<'s> {
    Plain(tcp::ReadHalf<'s>),
    Secured(tokio::io::ReadHalf<&'s mut TlsStream<Rewound>>),
}

/// What is written to a connection, while something else is read.
#[derive(Debug)]
pub enum WriteHalf<'s> {
    Plain(tcp::WriteHalf<'s>),
    Secured(tokio::io::WriteHalf<&'s mut TlsStream<Rewound>>),
}

impl Rewound {
    /// `ahead` is read first.
    pub fn new(ahead: BytesMut, tcp: TcpStream) -> Self {
        Self { ahead, tcp }
    }
}

impl Stream {
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
        }
    }

    /// The socket, whatever is spoken over it.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Secured(secured) => &secured.get_ref().0.tcp,
        }
    }

    /// The socket, where bytes go over it as they are.
    pub fn plain(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(tcp) => Some(tcp),
            Self::Secured(_) => None,
        }
    }
}

impl ReadHalf<'_> {
    /// That of the socket, where bytes go over it as they are.
    pub fn plain(&self) -> Option<&tcp::ReadHalf<'_>> {
        match self {
            Self::Plain(half) => Some(half),
            Self::Secured(_) => None,
        }
    }
}

impl WriteHalf<'_> {
    /// That of the socket, where bytes go over it as they are.
    pub fn plain(&self) -> Option<&tcp::WriteHalf<'_>> {
        match self {
            Self::Plain(half) => Some(half),
            Self::Secured(_) => None,
        }
    }
}

/// Calls whichever it is.
macro_rules! either {
    ($half:ident, $this:ident => $call:expr) => {
        match $this.get_mut() {
            Self::Plain($half) => $call,
            Self::Secured($half) => $call,
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

impl AsyncRead for Rewound {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.is_empty() {
            return Pin::new(&mut this.tcp).poll_read(context, into);
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

impl AsyncWrite for Rewound {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(context)
    }
}

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
        let mut rewound = Rewound::new(BytesMut::from("abc"), tcp);
        client.write_all(b"def").await.unwrap();
        client.shutdown().await.unwrap();
        let mut two = [0; 2];
        rewound.read_exact(&mut two).await.unwrap();
        let mut rest = String::new();
        rewound.read_to_string(&mut rest).await.unwrap();
        assert_eq!((&two, &*rest), (b"ab", "cdef"));
    }
}
