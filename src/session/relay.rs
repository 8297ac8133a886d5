use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use crate::facts::Party;

use super::io::reset_on_close;
use super::pipe::Pipe;
use super::tunnels::{Cut, Tunnel};

/// How a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) by: Party,
    pub(super) how: &'static str,
}

const SCRATCH_BYTES: usize = 64 * 1024;
/// What comes in at once in a bulk transfer; with less the pipe is not worth its two calls.
const LARGE_BYTES: usize = 16 * 1024;
/// After this many turns of one direction another task gets its turn.
const TURNS_MAX: usize = 16;

thread_local! {
    /// One buffer for all tunnels of a thread: a tunnel holds none while nothing flows.
    static SCRATCH: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH_BYTES]);
}

/// Both sockets of a tunnel, and what is under way between them.
pub(super) struct Relay {
    pub(super) client: TcpStream,
    pub(super) origin: TcpStream,
    up: Way,
    down: Way,
    /// Who ended its stream first.
    first: Option<Party>,
}

impl Relay {
    /// What was read before, towards the origin and towards the client, goes first.
    pub(super) fn new(client: TcpStream, origin: TcpStream, early_up: Vec<u8>, early_down: Vec<u8>) -> Self {
        Self { client, origin, up: Way::new(early_up), down: Way::new(early_down), first: None }
    }

    /// Bytes of the client that were read elsewhere, before [`Relay::poll`] was first called.
    pub(super) fn send_up(&mut self, bytes: Vec<u8>) {
        self.up = Way::new(bytes);
    }

    /// Carries the origin's bytes until the client has something to say, which nobody has looked at yet;
    /// `Some` when the tunnel ended before that.
    pub(super) fn poll_until_client_speaks(
        &mut self,
        context: &mut Context<'_>,
        tunnel: &Tunnel,
    ) -> Poll<Option<Ended>> {
        if let Some(cut) = tunnel.poll_cut(context) {
            return Poll::Ready(Some(cut.into()));
        }
        if self.client.poll_read_ready(context).is_ready() {
            return Poll::Ready(None);
        }
        let (_, mut client_write) = self.client.split();
        let (mut origin_read, _) = self.origin.split();
        let mut moved = 0;
        let polled = self.down.poll(context, &mut origin_read, &mut client_write, false, &mut moved);
        tunnel.moved_down(moved);
        match polled {
            Polled::Failed(Failed::Read) => Poll::Ready(Some(self.reset(Party::Origin))),
            Polled::Failed(Failed::Write) => Poll::Ready(Some(self.reset(Party::Client))),
            Polled::Done => {
                self.first = Some(Party::Origin);
                Poll::Pending
            }
            Polled::Pending => Poll::Pending,
        }
    }

    /// One side failed: the other must not take it for an end.
    fn reset(&self, by: Party) -> Ended {
        reset_on_close(&self.client);
        reset_on_close(&self.origin);
        Ended { by, how: "reset" }
    }

    /// Carries bytes both ways; ready when both sides have ended, one fails, or the tunnel is cut.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, tunnel: &Tunnel) -> Poll<Ended> {
        if let Some(cut) = tunnel.poll_cut(context) {
            return Poll::Ready(cut.into());
        }
        let (mut client_read, mut client_write) = self.client.split();
        let (mut origin_read, mut origin_write) = self.origin.split();
        let mut moved = 0;
        let (last, listened) = (self.down.done(), self.up.reads());
        let up_polled = self.up.poll(context, &mut client_read, &mut origin_write, last, &mut moved);
        // No byte stays between two polls unseen: what was read has moved, or is held now.
        if moved > 0 || (listened && self.up.holds()) {
            tunnel.hears(listened);
        }
        tunnel.moved_up(moved);
        moved = 0;
        let last = self.up.done();
        let down_polled = self.down.poll(context, &mut origin_read, &mut client_write, last, &mut moved);
        tunnel.moved_down(moved);
        let (client, origin) = (Party::Client, Party::Origin);
        for (polled, reader, writer) in [(up_polled, client, origin), (down_polled, origin, client)] {
            match polled {
                Polled::Failed(Failed::Read) => return Poll::Ready(self.reset(reader)),
                Polled::Failed(Failed::Write) => return Poll::Ready(self.reset(writer)),
                Polled::Done => self.first = self.first.or(Some(reader)),
                Polled::Pending => {}
            }
        }
        match (self.up.done(), self.down.done(), self.first) {
            (true, true, Some(by)) => Poll::Ready(Ended { by, how: "closed" }),
            _ => Poll::Pending,
        }
    }
}

impl From<Cut> for Ended {
    fn from(cut: Cut) -> Self {
        let how = match cut {
            Cut::Idle => "idle_limit",
            Cut::Lifetime => "lifetime_limit",
            Cut::Drained => "gate_stopped",
            Cut::Policy => "policy_changed",
            Cut::Upload => "upload_limit",
            Cut::Download => "download_limit",
            Cut::Restrained => "restrained",
        };
        Self { by: Party::Gate, how }
    }
}

/// One direction of a tunnel.
#[derive(Debug)]
enum Way {
    /// Nothing is held. `bulk`: the last read filled the buffer, so the next goes by splice(2).
    Open {
        bulk: bool,
    },
    /// Bytes that the writer could not take yet.
    Held {
        bytes: Box<[u8]>,
        sent: usize,
    },
    /// Bytes in a pipe between the sockets; `filled` came in at once.
    Piped {
        pipe: Pipe,
        filled: usize,
    },
    Done,
}

enum Polled {
    Pending,
    Done,
    Failed(Failed),
}

#[derive(Debug, Clone, Copy)]
enum Failed {
    Read,
    Write,
}

impl Way {
    fn new(early: Vec<u8>) -> Self {
        if early.is_empty() {
            Self::Open { bulk: false }
        } else {
            Self::Held { bytes: early.into_boxed_slice(), sent: 0 }
        }
    }

    fn done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Whether the next thing is to read.
    fn reads(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    fn holds(&self) -> bool {
        matches!(self, Self::Held { .. } | Self::Piped { .. })
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
        last: bool,
        moved: &mut u64,
    ) -> Polled {
        for _ in 0..TURNS_MAX {
            let turned = match self {
                Self::Done => return Polled::Done,
                Self::Held { .. } | Self::Piped { .. } => self.write(context, to, moved),
                Self::Open { bulk: true } => self.splice(context, from),
                Self::Open { bulk: false } => self.copy(context, from, to, last, moved),
            };
            match turned {
                Poll::Pending => return Polled::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(failed)) => return Polled::Failed(failed),
            }
        }
        context.waker().wake_by_ref();
        Polled::Pending
    }

    /// Reads into the thread's buffer and writes from it at once; keeps only what the writer left.
    fn copy(
        &mut self,
        context: &mut Context<'_>,
        from: &mut ReadHalf<'_>,
        to: &mut WriteHalf<'_>,
        last: bool,
        moved: &mut u64,
    ) -> Poll<Result<(), Failed>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            match Pin::new(from).poll_read(context, &mut buffer) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Failed::Read)),
                Poll::Ready(Ok(())) => {}
            }
            let read = buffer.filled();
            if read.is_empty() {
                // The other way has ended: both sockets are closed next, which says as much.
                let ended = if last { Ok(()) } else { end(to) };
                *self = Self::Done;
                return Poll::Ready(ended);
            }
            let sent = match to.try_write(read) {
                Ok(sent) => sent,
                Err(error) if would_block(&error) => 0,
                Err(_) => return Poll::Ready(Err(Failed::Write)),
            };
            *moved += sent as u64;
            *self = match read.get(sent..) {
                Some(rest) if !rest.is_empty() => Self::Held { bytes: rest.into(), sent: 0 },
                _ => Self::Open { bulk: read.len() == SCRATCH_BYTES },
            };
            Poll::Ready(Ok(()))
        })
    }

    /// Moves bytes from the socket into a pipe, without copying them.
    fn splice(&mut self, context: &mut Context<'_>, from: &ReadHalf<'_>) -> Poll<Result<(), Failed>> {
        if from.as_ref().poll_read_ready(context).is_pending() {
            return Poll::Pending;
        }
        let Ok(mut pipe) = Pipe::take() else {
            *self = Self::Open { bulk: false };
            return Poll::Ready(Ok(()));
        };
        match pipe.fill(from.as_ref(), usize::MAX) {
            // The end of the stream is read, and passed on, by `copy`.
            Ok(0) => {
                pipe.give_back();
                *self = Self::Open { bulk: false };
            }
            Ok(filled) => *self = Self::Piped { pipe, filled },
            Err(error) => {
                pipe.give_back();
                return retry(&error, Failed::Read);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, context: &mut Context<'_>, to: &WriteHalf<'_>, moved: &mut u64) -> Poll<Result<(), Failed>> {
        if to.as_ref().poll_write_ready(context).is_pending() {
            return Poll::Pending;
        }
        match self {
            Self::Held { bytes, sent } => match to.try_write(bytes.get(*sent..).unwrap_or_default()) {
                Ok(count) => {
                    *moved += count as u64;
                    *sent += count;
                    if *sent == bytes.len() {
                        let bulk = bytes.len() >= SCRATCH_BYTES / 2;
                        *self = Self::Open { bulk };
                    }
                }
                Err(error) => return retry(&error, Failed::Write),
            },
            Self::Piped { pipe, filled } => match pipe.drain(to.as_ref()) {
                Ok(count) => {
                    *moved += count;
                    if pipe.is_empty() {
                        let bulk = *filled >= LARGE_BYTES;
                        if let Self::Piped { pipe, .. } = std::mem::replace(self, Self::Open { bulk }) {
                            pipe.give_back();
                        }
                    }
                }
                Err(error) => return retry(&error, Failed::Write),
            },
            Self::Open { .. } | Self::Done => {}
        }
        Poll::Ready(Ok(()))
    }
}

/// Passes the end of a stream on: the other side may still have something to say.
fn end(to: &WriteHalf<'_>) -> Result<(), Failed> {
    match socket2::SockRef::from(to.as_ref()).shutdown(Shutdown::Write) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
        Err(_) => Err(Failed::Write),
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn retry(error: &io::Error, failed: Failed) -> Poll<Result<(), Failed>> {
    Poll::Ready(if would_block(error) { Ok(()) } else { Err(failed) })
}
