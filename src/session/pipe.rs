use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// A kernel buffer between two sockets: bulk bytes pass through it without coming to us. Dropped, it
/// is closed, and what is still in it is lost; empty, it is better given back.
#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    held: usize,
}

/// Asked of the kernel; it may give less, and a read takes what is there.
const PIPE_BYTES: usize = 512 * 1024;
/// Empty pipes kept by a thread; more are closed.
const SPARE_MAX: usize = 32;
/// Pipes of a thread, each of two descriptors; beyond them bytes are copied.
const PIPES_MAX: usize = 128;
/// Descriptors that the pipes of one worker may take.
pub const DESCRIPTORS_MAX: usize = 2 * PIPES_MAX;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // At the end of the thread the count has gone before the pipes; then nobody asks for it.
        let _ = LIVE.try_with(|live| live.set(live.get().saturating_sub(1)));
    }
}

impl Pipe {
    /// A spare pipe, or a new one; empty either way.
    pub(super) fn take() -> io::Result<Self> {
        if let Some(pipe) = SPARE.with_borrow_mut(Vec::pop) {
            return Ok(pipe);
        }
        if LIVE.get() >= PIPES_MAX {
            return Err(io::Error::other("so many pipes are in use"));
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Refused once the user's pipes hold too many pages: then it stays small.
        let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
        LIVE.set(LIVE.get() + 1);
        Ok(Self { read, write, held: 0 })
    }

    /// Takes at most `most` of what the socket has into the empty pipe; 0 at the end of its stream.
    pub(super) fn fill(&mut self, from: &TcpStream, most: usize) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let most = most.min(PIPE_BYTES);
        let count = from.try_io(Interest::READABLE, || Ok(splice(from, None, &self.write, None, most, flags)?))?;
        self.held += count;
        Ok(count)
    }

    /// Moves what the socket takes, and says how much that was.
    pub(super) fn drain(&mut self, to: &TcpStream) -> io::Result<u64> {
        let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
        let sent = to.try_io(Interest::WRITABLE, || Ok(splice(&self.read, None, to, None, self.held, flags)?))?;
        self.held = self.held.saturating_sub(sent);
        Ok(sent as u64)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Keeps an empty pipe for another transfer of this thread.
    pub(super) fn give_back(self) {
        SPARE.with_borrow_mut(|spare| {
            if self.is_empty() && spare.len() < SPARE_MAX {
                spare.push(self);
            }
        });
    }
}
