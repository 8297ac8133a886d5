//! Sockets to the kernel's netfilter, and the messages and attributes on them (`linux/netlink.h`).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram as StdDatagram;

use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_recv_buffer_size_force};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recvfrom, socket_with};
use tokio::io::Interest;
use tokio::net::UnixDatagram;

/// Messages that lie ready in the kernel, at most; it takes twice as much memory for them.
const QUEUE_BYTES_MAX: usize = 16 << 20;
/// A datagram of the kernel is not longer than it was asked for, or 32 KiB.
pub(super) const DATAGRAM_BYTES_MAX: usize = 64 << 10;

/// A socket to the kernel. Its runtime needs the descriptor alone, and knows safely how to hold one of a datagram socket.
pub(super) struct Socket(UnixDatagram);

/// Opens a socket that hears of these groups, as bits.
///
/// # Errors
/// It may not, for want of CAP_NET_ADMIN, or the kernel has no netfilter.
pub(super) fn open(groups: u32) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(NETFILTER))?;
    if set_socket_recv_buffer_size_force(&socket, QUEUE_BYTES_MAX).is_err() {
        set_socket_recv_buffer_size(&socket, QUEUE_BYTES_MAX)?;
    }
    bind(&socket, &SocketAddrNetlink::new(0, groups))?;
    Ok(socket)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// So many bytes of messages.
    Datagram(usize),
    /// The kernel had more than this socket holds, and dropped some of it.
    Overrun,
}

impl Socket {
    /// Takes one that [`open`] has given.
    ///
    /// # Errors
    /// No runtime looks after it. Within a runtime only.
    pub(super) fn of(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self(UnixDatagram::from_std(StdDatagram::from(socket))?))
    }

    /// Waits for the next datagram. Nothing is lost where it is not waited for to the end.
    pub(super) async fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            let receive = || Ok(recvfrom(&self.0, &mut *buffer, flags)?);
            let (_, length, from) = match self.0.async_io(Interest::READABLE, receive).await {
                Ok(received) => received,
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::NOBUFS) => return Ok(Received::Overrun),
                    Some(Errno::INTR) => continue,
                    _ => return Err(error),
                },
            };
            // Another process could send here as well.
            let kernel = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
            if kernel.is_none_or(|from| from.pid() != 0) {
                continue;
            }
            return Ok(if length > buffer.len() { Received::Overrun } else { Received::Datagram(length) });
        }
    }
}

/// Subsystem and message of netfilter, as in [`Message::kind`].
pub(super) const fn kind(subsystem: u16, message: u16) -> u16 {
    subsystem << 8 | message
}

const HEADER: usize = 16;
/// Family, version and number of a resource, behind the header of every message of netfilter.
const NETFILTER_HEADER: usize = 4;
/// That a request failed, or was done.
pub(super) const ERROR: u16 = 2;
/// The last message of a dump.
pub(super) const DONE: u16 = 3;
/// `NLM_F_DUMP_INTR`.
const INTERRUPTED: u16 = 0x10;

/// A message of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    /// That of the request which it answers.
    pub(super) sequence: u32,
    /// What is told changed while it was told: some of it may be missing.
    pub(super) is_interrupted: bool,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    /// What it is about, where it is one of netfilter.
    pub(super) fn attributes(&self) -> Attributes<'a> {
        Attributes(self.body.get(NETFILTER_HEADER..).unwrap_or_default())
    }

    /// What came of a request, where it is an [`ERROR`]: the number of the error, 0 for none.
    pub(super) fn error(&self) -> i32 {
        self.body.first_chunk().map_or(0, |number| i32::from_ne_bytes(*number).saturating_neg())
    }
}

/// The messages of a datagram, up to the first that is cut off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    pub(super) fn of(datagram: &'a [u8]) -> Self {
        Self(datagram)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Message<'a>> {
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = *self.0 else { return None };
        let length = usize::try_from(u32::from_ne_bytes([l0, l1, l2, l3])).ok()?;
        let body = self.0.get(HEADER..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        let is_interrupted = u16::from_ne_bytes([f0, f1]) & INTERRUPTED != 0;
        let (kind, sequence) = (u16::from_ne_bytes([k0, k1]), u32::from_ne_bytes([s0, s1, s2, s3]));
        Some(Message { kind, sequence, is_interrupted, body })
    }
}

/// Attributes one after the other, up to the first that is cut off: their kinds and what they hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    /// What is within an attribute.
    pub(super) fn of(value: &'a [u8]) -> Self {
        Self(value)
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        let [l0, l1, k0, k1, ..] = *self.0 else { return None };
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        // The highest two bits say how it is written.
        Some((u16::from_ne_bytes([k0, k1]) & 0x3fff, value))
    }
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const DUMP: u16 = 0x300;

/// A request to netfilter.
pub(super) struct Request(Vec<u8>);

impl Request {
    /// One that is answered by an [`ERROR`], of number 0 when it is done.
    pub(super) fn new(kind: u16, sequence: u32, resource: u16) -> Self {
        Self::with(kind, REQUEST | ACKNOWLEDGE, sequence, resource)
    }

    /// One that is answered by all there is, and [`DONE`].
    pub(super) fn dump(kind: u16, sequence: u32) -> Self {
        Self::with(kind, REQUEST | DUMP, sequence, 0)
    }

    fn with(kind: u16, flags: u16, sequence: u32, resource: u16) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        // Any family, version 0.
        bytes.extend([0, 0]);
        bytes.extend(resource.to_be_bytes());
        Self(bytes)
    }

    /// The same of one family alone.
    pub(super) fn of_family(mut self, family: u8) -> Self {
        self.0.get_mut(HEADER).into_iter().for_each(|byte| *byte = family);
        self
    }

    pub(super) fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(u16::try_from(4 + value.len()).unwrap_or(u16::MAX).to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(aligned(self.0.len()), 0);
        self
    }

    pub(super) fn bytes(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.splice(..4, length.to_ne_bytes());
        self.0
    }
}

/// The number in an attribute, in the byte order of the network.
pub(super) fn be16(value: &[u8]) -> Option<u16> {
    value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes))
}

/// The same.
pub(super) fn be32(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The same.
pub(super) fn be64(value: &[u8]) -> Option<u64> {
    value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_back_as_it_was_written() {
        let first = Request::new(kind(4, 1), 7, 5).attribute(1, &[1]).attribute(5, &100_u32.to_be_bytes()).bytes();
        let second = Request::dump(kind(1, 1), 8).bytes();
        assert_eq!((first.len(), second.len()), (36, 20));
        let both = [first, second].concat();
        let read: Vec<_> = Messages::of(&both).collect();
        assert_eq!(read.iter().map(|one| (one.kind, one.sequence)).collect::<Vec<_>>(), [(0x401, 7), (0x101, 8)]);
        let attributes: Vec<_> = read[0].attributes().collect();
        assert_eq!(attributes, [(1, &[1][..]), (5, &[0, 0, 0, 100][..])]);
        assert_eq!(read[1].attributes().count(), 0);
    }

    #[test]
    fn an_error_has_a_number_and_success_has_none() {
        let mut message = Request::new(ERROR, 1, 0).bytes();
        message.splice(16..20, (-1_i32).to_ne_bytes());
        assert_eq!(Messages::of(&message).next().map(|message| message.error()), Some(1));
        message.splice(16..20, 0_i32.to_ne_bytes());
        assert_eq!(Messages::of(&message).next().map(|message| message.error()), Some(0));
    }

    #[test]
    fn what_is_cut_off_or_lies_about_its_length_ends_the_reading() {
        let whole = Request::new(kind(4, 1), 7, 5).attribute(1, &[1, 2, 3, 4, 5]).bytes();
        for length in 0..whole.len() {
            assert_eq!(Messages::of(&whole[..length]).count(), 0, "{length}");
        }
        for lie in [0_u32, 1, 15, u32::MAX] {
            let mut bytes = whole.clone();
            bytes.splice(..4, lie.to_ne_bytes());
            assert_eq!(Messages::of(&bytes).count(), 0, "{lie}");
        }
        for lie in [0_u16, 3, 10, u16::MAX] {
            let mut bytes = whole.clone();
            bytes.splice(20..22, lie.to_ne_bytes());
            let attributes = Messages::of(&bytes).flat_map(|message| message.attributes()).count();
            assert_eq!(attributes, usize::from(lie == 10), "{lie}");
        }
    }
}
