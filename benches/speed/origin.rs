//! An origin for measurements: all its connections on one thread, each in whatever protocol it begins with.
//!
//! * `GET /N` is answered with N bytes.
//! * A TLS record is taken for a ClientHello and passed over.
//! * Anything else is two numbers of 64 bits in network order and so many bytes as the first says; the
//!   answer is so many bytes as the second says.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

static POURED: [u8; 256 << 10] = [b'x'; 256 << 10];
const TLS_HANDSHAKE: u8 = 0x16;

/// Serves until the process ends, on a thread of its own; the address is the one listened on.
pub(crate) fn start(address: SocketAddr) -> io::Result<SocketAddr> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let listener = runtime.block_on(TcpListener::bind(address))?;
    let address = listener.local_addr()?;
    std::thread::Builder::new().name("origin".to_owned()).spawn(move || {
        runtime.block_on(async {
            loop {
                if let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream));
                }
            }
        })
    })?;
    Ok(address)
}

async fn serve(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(64 << 10, stream);
    loop {
        match stream.fill_buf().await?.first() {
            None => return Ok(()),
            Some(b'G') => answer(&mut stream).await?,
            Some(&TLS_HANDSHAKE) => {
                stream.read_exact(&mut [0; 3]).await?;
                let length = stream.read_u16().await?;
                discard(&mut stream, length.into()).await?;
            }
            Some(_) => {
                let (up, down) = (stream.read_u64().await?, stream.read_u64().await?);
                discard(&mut stream, up).await?;
                pour(&mut stream, down).await?;
            }
        }
    }
}

async fn answer(stream: &mut BufReader<TcpStream>) -> io::Result<()> {
    let (mut first, mut line) = (Vec::new(), Vec::new());
    stream.read_until(b'\n', &mut first).await?;
    while stream.read_until(b'\n', &mut line).await? > 2 {
        line.clear();
    }
    let digits = first.iter().skip("GET /".len()).take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    let mut head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n")
            .into_bytes();
    // What is small leaves in one piece, as from any server.
    let with_head = usize::try_from(length).unwrap_or(usize::MAX).min(16 << 10);
    head.extend_from_slice(&POURED[..with_head]);
    stream.write_all(&head).await?;
    pour(stream, length - with_head as u64).await
}

async fn discard(stream: &mut BufReader<TcpStream>, mut left: u64) -> io::Result<()> {
    while left > 0 {
        let arrived = stream.fill_buf().await?.len() as u64;
        if arrived == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let taken = arrived.min(left);
        stream.consume(usize::try_from(taken).unwrap_or(usize::MAX));
        left -= taken;
    }
    Ok(())
}

async fn pour(stream: &mut BufReader<TcpStream>, mut left: u64) -> io::Result<()> {
    while left > 0 {
        let piece = usize::try_from(left).unwrap_or(usize::MAX).min(POURED.len());
        stream.write_all(&POURED[..piece]).await?;
        left -= piece as u64;
    }
    Ok(())
}
