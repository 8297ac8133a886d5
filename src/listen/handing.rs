//! Listeners that go from one process of the gate to the next, over a unix socket: what the kernel has queued there waits for
//! whoever accepts next, and no client is turned away.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use socket2::SockRef;

/// So many go over at most: one for each worker at each address.
const HANDED_MAX: usize = 1_024;
/// So many go with one byte.
const AT_ONCE: usize = 32;
/// The byte that they go with.
const MARK: u8 = b'L';

/// Sends them, in their order. The stream must block.
///
/// # Errors
/// There are too many, or the other end does not take them.
pub fn send_listeners(stream: &mut UnixStream, listeners: &[TcpListener]) -> io::Result<()> {
    if listeners.len() > HANDED_MAX {
        return Err(io::Error::other(format!("more than {HANDED_MAX} listeners")));
    }
    for some in listeners.chunks(AT_ONCE) {
        let descriptors: Vec<_> = some.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("they do not fit"));
        }
        sendmsg(&*stream, &[IoSlice::new(&[MARK])], &mut control, SendFlags::NOSIGNAL)?;
    }
    stream.flush()
}

/// Receives so many. No program that this one starts has them. The stream must block.
///
/// # Errors
/// They do not come, or something else comes than listeners of TCP.
pub fn receive_listeners(stream: &mut UnixStream, count: usize) -> io::Result<Vec<TcpListener>> {
    if count > HANDED_MAX {
        return Err(io::Error::other(format!("more than {HANDED_MAX} listeners")));
    }
    let mut listeners = Vec::with_capacity(count);
    while listeners.len() < count {
        let mut byte = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(&*stream, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let before = listeners.len();
        for message in control.drain() {
            let RecvAncillaryMessage::ScmRights(descriptors) = message else { continue };
            for descriptor in descriptors {
                let listener = TcpListener::from(descriptor);
                if !SockRef::from(&listener).is_listener()? {
                    return Err(io::Error::other("one of them does not listen"));
                }
                listeners.push(listener);
            }
        }
        if received.bytes != 1 || byte != [MARK] || listeners.len() == before || listeners.len() > count {
            return Err(io::Error::other("they did not come as they were announced"));
        }
    }
    Ok(listeners)
}

/// Reads a line of at most so many bytes, and no byte behind it: what goes along with that one would be lost. The stream must
/// block.
///
/// # Errors
/// None comes, or it is longer.
pub fn read_line(stream: &mut UnixStream, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match stream.read(&mut byte)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if byte == *b"\n" => return Ok(line),
            _ if line.len() >= bytes_max => return Err(io::Error::other("a line is too long")),
            _ => line.extend_from_slice(&byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    fn pair() -> (UnixStream, UnixStream) {
        let (one, other) = UnixStream::pair().unwrap();
        other.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        (one, other)
    }

    #[test]
    fn listeners_come_in_their_order_with_whoever_waits_in_their_queues() {
        // As 64 workers at five addresses have, if not for the open files of a test.
        const COUNT: usize = 9 * AT_ONCE + 3;
        let (mut one, mut other) = pair();
        let bind = |_| TcpListener::bind("127.0.0.1:0").unwrap();
        let sent: Vec<_> = (0..COUNT).map(bind).collect();
        let addresses: Vec<_> = sent.iter().map(|listener| listener.local_addr().unwrap()).collect();
        one.write_all(b"291\n").unwrap();
        send_listeners(&mut one, &sent).unwrap();
        let mut waiting = TcpStream::connect(addresses[COUNT - 1]).unwrap();
        drop(sent);
        assert_eq!(read_line(&mut other, 10).unwrap(), b"291");
        let come = receive_listeners(&mut other, COUNT).unwrap();
        assert_eq!(come.iter().map(|listener| listener.local_addr().unwrap()).collect::<Vec<_>>(), addresses);
        let (mut accepted, _) = come[COUNT - 1].accept().unwrap();
        accepted.write_all(b"x").unwrap();
        let mut read = [0];
        waiting.read_exact(&mut read).unwrap();
        assert_eq!(read, *b"x");
    }

    #[test]
    fn what_is_no_listener_and_what_was_not_announced_is_refused() {
        let (mut one, mut other) = pair();
        one.write_all(b"LLL").unwrap();
        assert!(receive_listeners(&mut other, 1).is_err());
        let (mut one, mut other) = pair();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let no_listener = TcpListener::from(std::os::fd::OwnedFd::from(client));
        send_listeners(&mut one, &[no_listener]).unwrap();
        assert!(receive_listeners(&mut other, 1).is_err());
        let (mut one, mut other) = pair();
        send_listeners(&mut one, &[listener.try_clone().unwrap(), listener]).unwrap();
        drop(one);
        assert!(receive_listeners(&mut other, 1).is_err());
        assert!(receive_listeners(&mut other, HANDED_MAX + 1).is_err());
        assert!(read_line(&mut other, 1).is_err());
        let (mut one, mut other) = pair();
        one.write_all(b"abc\n").unwrap();
        assert!(read_line(&mut other, 2).is_err());
    }
}
