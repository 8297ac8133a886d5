//! Tunnels of which a side is inside TLS, such as the WebSockets of inspected tunnels.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::facts::Party;
use crate::tls::Stream;

use super::relay::Ended;
use super::tunnels::Tunnel;

/// Bytes read at once; each way holds as many.
const READ_BYTES: usize = 16 * 1024;

/// Both sides, and what was read of them before.
pub(super) struct Secured {
    pub(super) client: Stream,
    pub(super) origin: Stream,
    pub(super) early_up: Vec<u8>,
    pub(super) early_down: Vec<u8>,
}

impl Secured {
    /// Carries bytes both ways until both sides have ended, one fails, or the tunnel is cut.
    pub(super) async fn carry(&mut self, tunnel: &Tunnel) -> Ended {
        let Self { client, origin, early_up, early_down } = self;
        let (early_up, early_down) = (std::mem::take(early_up), std::mem::take(early_down));
        let forsaken = client.forsaken();
        let (mut client_read, mut client_write) = client.split();
        let (mut origin_read, mut origin_write) = origin.split();
        let up = pump(&mut client_read, &mut origin_write, early_up, |step| match step {
            Step::Read => tunnel.hears(true),
            Step::Late => tunnel.hears(false),
            Step::Moved(count) => tunnel.moved_up(count),
        });
        let down = pump(&mut origin_read, &mut client_write, early_down, |step| match step {
            Step::Read | Step::Late => {}
            Step::Moved(count) => tunnel.moved_down(count),
        });
        let cut = poll_fn(|context| match tunnel.poll_cut(context) {
            Some(cut) => Poll::Ready(cut),
            None => Poll::Pending,
        });
        tokio::pin!(up, down, cut, forsaken);
        let (mut first, mut both) = (None, [false; 2]);
        loop {
            tokio::select! {
                biased;
                cut = &mut cut => return cut.into(),
                ended = &mut up, if !both[0] => match ended {
                    Ok(()) => (both[0], first) = (true, first.or(Some(Party::Client))),
                    Err(Failed::Read) => return reset(Party::Client),
                    Err(Failed::Write) => return reset(Party::Origin),
                },
                ended = &mut down, if !both[1] => match ended {
                    Ok(()) => (both[1], first) = (true, first.or(Some(Party::Origin))),
                    Err(Failed::Read) => return reset(Party::Origin),
                    Err(Failed::Write) => return reset(Party::Client),
                },
                // It is no end of one way, which the other would outlive.
                () = &mut forsaken => return reset(Party::Client),
            }
            if let ([true, true], Some(by)) = (both, first) {
                return Ended { by, how: "closed" };
            }
        }
    }
}

fn reset(by: Party) -> Ended {
    Ended { by, how: "reset" }
}

enum Failed {
    Read,
    Write,
}

/// What one way has done.
enum Step {
    Read,
    /// Nothing was read for a while, as what had been could not be written.
    Late,
    Moved(u64),
}

/// Carries one way to its end, and passes that on.
async fn pump(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    early: Vec<u8>,
    tell: impl Fn(Step),
) -> Result<(), Failed> {
    let mut bytes = early;
    loop {
        if !bytes.is_empty() {
            let mut write = pin!(async {
                to.write_all(&bytes).await?;
                to.flush().await
            });
            let mut at_once = true;
            let written = poll_fn(|context| {
                let polled = write.as_mut().poll(context);
                at_once &= polled.is_ready();
                polled
            });
            written.await.map_err(|_| Failed::Write)?;
            if !at_once {
                tell(Step::Late);
            }
            tell(Step::Moved(bytes.len() as u64));
        }
        bytes.clear();
        // Nothing is held while nothing flows.
        bytes.shrink_to(READ_BYTES);
        match from.take(READ_BYTES as u64).read_buf(&mut bytes).await {
            Ok(0) => return to.shutdown().await.map_err(|_| Failed::Write),
            Ok(_) => tell(Step::Read),
            Err(_) => return Err(Failed::Read),
        }
    }
}
