use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until, timeout};

/// How long a tunnel may live, and how long it may be silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) idle: Duration,
    pub(super) lifetime: Duration,
}

/// What a tunnel carried and how it ended.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) up: u64,
    pub(super) down: u64,
    pub(super) by: &'static str,
    pub(super) how: &'static str,
}

/// Carries bytes both ways until both sides have ended, one fails, or a limit is reached. `early_up`
/// and `early_down` were read before and go first.
pub(super) async fn run(
    client: &mut TcpStream,
    origin: &mut TcpStream,
    early_up: &[u8],
    early_down: &[u8],
    limits: Limits,
) -> Carried {
    let deadline = Instant::now() + limits.lifetime;
    let (mut client_read, mut client_write) = client.split();
    let (mut origin_read, mut origin_write) = origin.split();
    let (mut up, mut down) = (0, 0);
    let ended = {
        let upward = pump(&mut client_read, &mut origin_write, early_up, &mut up, limits.idle);
        let downward = pump(&mut origin_read, &mut client_write, early_down, &mut down, limits.idle);
        tokio::pin!(upward, downward);
        let mut first = None;
        loop {
            tokio::select! {
                end = &mut upward, if first != Some("client") => match (end, first) {
                    (Ok(()), None) => first = Some("client"),
                    (Ok(()), Some(by)) => break (by, "closed"),
                    (Err(how), _) => break (blame("client", "origin", how), how),
                },
                end = &mut downward, if first != Some("origin") => match (end, first) {
                    (Ok(()), None) => first = Some("origin"),
                    (Ok(()), Some(by)) => break (by, "closed"),
                    (Err(how), _) => break (blame("origin", "client", how), how),
                },
                () = sleep_until(deadline) => break ("gate", "lifetime_limit"),
            }
        }
    };
    Carried { up, down, by: ended.0, how: ended.1 }
}

fn blame(reader: &'static str, writer: &'static str, how: &'static str) -> &'static str {
    match how {
        "read_failed" => reader,
        "write_failed" => writer,
        _ => "gate",
    }
}

async fn pump(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    early: &[u8],
    count: &mut u64,
    idle: Duration,
) -> Result<(), &'static str> {
    if !early.is_empty() {
        to.write_all(early).await.map_err(|_| "write_failed")?;
        *count += early.len() as u64;
    }
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = timeout(idle, from.read(&mut buffer)).await.map_err(|_| "idle_limit")?;
        let length = read.map_err(|_| "read_failed")?;
        if length == 0 {
            let _ = to.shutdown().await;
            return Ok(());
        }
        let part = buffer.get(..length).unwrap_or_default();
        let written = timeout(idle, to.write_all(part)).await.map_err(|_| "idle_limit")?;
        written.map_err(|_| "write_failed")?;
        *count += length as u64;
    }
}
