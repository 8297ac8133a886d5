//! A process of its own that holds CAP_NET_ADMIN for a gate which does not: it cuts clients off in the kernel, and opens what
//! only who has that capability may open. It does nothing else, whatever it is asked.
//!
//! Both speak over a pair of sockets, which are nobody else's. It ends with the gate.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_domain};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use serde::{Deserialize, Serialize};

use super::capability::{has_net_admin, keep_net_admin_alone};
use super::flows::{Asked, Opened};
use super::kernel::{Cut, KernelError, cut_off};

/// So many clients and networks are cut off at most: what is asked is one message.
pub const ISOLATED_MAX: usize = 2000;
/// Two thousand of the longest networks are a hundred thousand bytes.
const MESSAGE_BYTES_MAX: usize = 128 << 10;
/// Of what went wrong, so much is told.
const FAILED_BYTES_MAX: usize = 2000;
/// The kernel may have a large ruleset to change, and others that change it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Once the gate is done with it, it has so long to go.
const GOING: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(5);

/// Why what was asked is not done.
#[derive(Debug, thiserror::Error)]
pub enum WardenError {
    #[error("the gate has no CAP_NET_ADMIN")]
    NoCapability,
    #[error("cannot start the process that holds CAP_NET_ADMIN: {0}")]
    Start(io::Error),
    #[error("the process that holds CAP_NET_ADMIN has ended, and only a restart of the gate brings it back: {0}")]
    Gone(io::Error),
    /// Whether it has done what was asked is not known.
    #[error("the process that holds CAP_NET_ADMIN did not answer within {PATIENCE:?}")]
    Late,
    #[error("{}", KernelError::NoTable)]
    NoTable,
    /// Who is isolated is cut off all the same.
    #[error("the rules in force know of no lockdown: `sekisho egress apply`")]
    NoLockdown,
    /// What the kernel said.
    #[error("{0}")]
    Failed(String),
}

/// A message with its number: an answer has that of its question, so that one that came too late is not taken for the next.
#[derive(Debug, Serialize, Deserialize)]
struct Numbered<T> {
    number: u64,
    message: T,
}

/// What it can be asked.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Order {
    /// Say that it is what it is to be.
    Stand,
    /// Cut off these and nobody else, and what a lockdown closes or not.
    CutOff { isolated: Vec<IpNet>, lockdown: bool },
    /// Open such a socket, and pass it over.
    Open(Opened),
    /// Ask the kernel this on the socket that is passed.
    Ask(Asked),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Done,
    NoTable,
    NoLockdown,
    Failed(String),
}

/// The process, as the gate sees it.
#[derive(Debug)]
pub struct Warden {
    process: Child,
    /// Absent once the gate is done with it.
    socket: Option<Mutex<Asking>>,
}

#[derive(Debug)]
struct Asking {
    socket: OwnedFd,
    /// Of the last question.
    number: u64,
}

impl Warden {
    /// Starts it. `command` starts a process that calls [`ward`].
    ///
    /// # Errors
    /// This process has not what that one is to hold, or cannot start it.
    pub fn start(mut command: Command) -> Result<Self, WardenError> {
        if !has_net_admin() {
            return Err(WardenError::NoCapability);
        }
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (ours, its) = pair.map_err(|error| WardenError::Start(error.into()))?;
        for way in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&ours, way, Some(PATIENCE)).map_err(|error| WardenError::Start(error.into()))?;
        }
        let process = command
            .stdin(Stdio::from(its))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(WardenError::Start)?;
        let warden = Self { process, socket: Some(Mutex::new(Asking { socket: ours, number: 0 })) };
        warden.order(&Order::Stand, None)?;
        Ok(warden)
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The end of a pipe into which nothing is written: it ends with the process.
    ///
    /// # Errors
    /// There is no descriptor left for it.
    pub fn ending(&self) -> io::Result<OwnedFd> {
        let pipe = self.process.stdout.as_ref().ok_or(io::ErrorKind::NotFound)?;
        pipe.as_fd().try_clone_to_owned()
    }

    /// Has the kernel cut off these and nobody else, open connections included, and in a lockdown what only exceptions let
    /// through that are not essential.
    ///
    /// # Errors
    /// The kernel has no such rules in force, or does not take it.
    pub fn cut_off(&self, isolated: &[IpNet], lockdown: bool) -> Result<(), WardenError> {
        self.order(&Order::CutOff { isolated: isolated.to_vec(), lockdown }, None).map(drop)
    }

    pub(super) fn open(&self, what: Opened) -> Result<OwnedFd, WardenError> {
        let passed = self.order(&Order::Open(what), None)?;
        passed.ok_or_else(|| WardenError::Failed("it passed no socket".to_owned()))
    }

    pub(super) fn ask(&self, what: Asked, on: BorrowedFd<'_>) -> Result<(), WardenError> {
        self.order(&Order::Ask(what), Some(on)).map(drop)
    }

    fn order(&self, order: &Order, passed: Option<BorrowedFd<'_>>) -> Result<Option<OwnedFd>, WardenError> {
        let ended = || WardenError::Gone(io::ErrorKind::BrokenPipe.into());
        let mut asking = self.socket.as_ref().ok_or_else(ended)?.lock().unwrap_or_else(PoisonError::into_inner);
        asking.number += 1;
        let number = asking.number;
        send(&asking.socket, &Numbered { number, message: order }, passed).map_err(WardenError::of)?;
        loop {
            let Some((answer, passed)) = receive::<Numbered<Answer>>(&asking.socket).map_err(WardenError::of)? else {
                return Err(ended());
            };
            // Of a question that was given up.
            if answer.number != number {
                continue;
            }
            return match answer.message {
                Answer::Done => Ok(passed),
                Answer::NoTable => Err(WardenError::NoTable),
                Answer::NoLockdown => Err(WardenError::NoLockdown),
                Answer::Failed(why) => Err(WardenError::Failed(why)),
            };
        }
    }
}

impl WardenError {
    fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Late,
            _ => Self::Gone(error),
        }
    }
}

impl Drop for Warden {
    fn drop(&mut self) {
        // By that it ends.
        self.socket = None;
        let begun = Instant::now();
        while matches!(self.process.try_wait(), Ok(None)) {
            if begun.elapsed() >= GOING {
                // One that stands still keeps no gate from ending.
                let _ = self.process.kill();
                return;
            }
            thread::sleep(LOOK);
        }
    }
}

/// The process's own life: does what is asked on standard input until the gate has ended. `group` is where the firewall logs
/// to, where the gate reads that.
///
/// # Errors
/// It cannot be what it is to be.
pub fn ward(group: Option<u16>) -> Result<(), WardenError> {
    // What ends the gate by its terminal ends this by the gate.
    let _ = rustix::process::setsid();
    keep_net_admin_alone().map_err(WardenError::Start)?;
    let socket = io::stdin();
    while let Some((order, passed)) = receive::<Numbered<Order>>(socket.as_fd()).map_err(WardenError::Gone)? {
        let (message, passes) = match done(order.message, passed.as_ref(), group) {
            Ok(passes) => (Answer::Done, passes),
            Err(answer) => (answer, None),
        };
        let answer = Numbered { number: order.number, message };
        send(socket.as_fd(), &answer, passes.as_ref().map(AsFd::as_fd)).map_err(WardenError::Gone)?;
    }
    Ok(())
}

fn done(order: Order, passed: Option<&OwnedFd>, group: Option<u16>) -> Result<Option<OwnedFd>, Answer> {
    let failed = |why: &dyn std::fmt::Display| Answer::Failed(why.to_string().chars().take(FAILED_BYTES_MAX).collect());
    match order {
        Order::Stand => Ok(None),
        Order::CutOff { isolated, lockdown } => {
            if isolated.len() > ISOLATED_MAX {
                return Err(failed(&format_args!("{ISOLATED_MAX} clients and networks at most are cut off")));
            }
            match cut_off(&isolated, lockdown) {
                Ok(Cut::Whole) => Ok(None),
                Ok(Cut::NoLockdown) => Err(Answer::NoLockdown),
                Err(KernelError::NoTable) => Err(Answer::NoTable),
                Err(error) => Err(failed(&error)),
            }
        }
        Order::Open(what) => what.open().map(Some).map_err(|error| failed(&error)),
        Order::Ask(what) => {
            let socket = passed.ok_or_else(|| failed(&"no socket was passed"))?;
            if socket_domain(socket) != Ok(AddressFamily::NETLINK) {
                return Err(failed(&"what was passed is no socket to the kernel"));
            }
            what.ask(socket.as_fd(), group).map(|()| None).map_err(|error| failed(&error))
        }
    }
}

fn send(socket: impl AsFd, message: &impl Serialize, passed: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let passed: Vec<_> = passed.into_iter().collect();
    if !passed.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(&passed)) {
        return Err(io::Error::other("there is no room for a descriptor"));
    }
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut beside, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The next message with the descriptor beside it; `None` once the other end is gone.
fn receive<T: for<'a> Deserialize<'a>>(socket: impl AsFd) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    let mut bytes = vec![0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
    let passed = beside.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut passed) => passed.next(),
        _ => None,
    });
    match bytes.get(..received.bytes) {
        None | Some([]) => Ok(None),
        Some(bytes) => Ok(Some((serde_json::from_slice(bytes)?, passed))),
    }
}
