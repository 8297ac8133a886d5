use std::io::{self, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{self, error::SendError};

use crate::clock;
use crate::listen::{read_line, send_listeners};

use super::super::NotDone;
use super::writing::Drainers;
use super::{OfOld, PROTOCOL, TAKE, Wants};

/// From the offer to the next gate's word: it binds, and what it reads it has read.
const TAKE_LIMIT: Duration = Duration::from_secs(30);
/// For it to take what is sent.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// What can be taken over.
pub(super) struct Goods {
    listeners: Vec<TcpListener>,
    /// Where the next gate's word is heard.
    asked: mpsc::Sender<Asked>,
}

/// What a gate offers the next one, for as long as it accepts.
#[derive(Clone)]
pub(in crate::app) struct Offer {
    goods: Arc<Mutex<Option<Goods>>>,
    is_asked: Arc<AtomicBool>,
    /// Who drains already.
    drainers: Drainers,
}

/// The next gate has said that it takes over. Dropped unanswered it ends there.
pub(in crate::app) struct Asked {
    stream: UnixStream,
}

impl Offer {
    /// Of these listeners; what is asked comes out of the other.
    pub(in crate::app) fn new(listeners: Vec<TcpListener>, drainers: Drainers) -> (Self, mpsc::Receiver<Asked>) {
        let (asked, receiver) = mpsc::channel(1);
        let goods = Arc::new(Mutex::new(Some(Goods { listeners, asked })));
        (Self { goods, is_asked: Arc::default(), drainers }, receiver)
    }

    /// Takes it back, and closes what was kept for it.
    pub(in crate::app) fn end(&self) {
        drop(self.goods.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Answers who wants to take over, on a thread of its own.
    pub(in crate::app) fn make(&self, stream: tokio::net::UnixStream, wants: &Wants, uid: Option<u32>) {
        let (Ok(stream), offer, wants) = (stream.into_std(), self.clone(), wants.clone()) else { return };
        let answer = move || {
            if let Err(error) = offer.answer(stream, &wants, uid) {
                eprintln!("sekisho: the next gate has not taken over: {error}; this one goes on");
            }
        };
        // Without a thread it hears nothing, and the running gate goes on.
        let _ = std::thread::Builder::new().name("offer".to_owned()).spawn(answer);
    }

    fn answer(&self, mut stream: UnixStream, wants: &Wants, uid: Option<u32>) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(SEND_LIMIT))?;
        stream.set_read_timeout(Some(TAKE_LIMIT))?;
        let refused = match (is_own(uid), wants.protocol == PROTOCOL) {
            (false, _) => Some(NotDone::NotOwn),
            (true, false) => Some(NotDone::OtherVersion),
            (true, true) => None,
        };
        if let Some(why) = refused {
            return say(&mut stream, &OfOld::Refused(why));
        }
        if self.is_asked.swap(true, Ordering::AcqRel) {
            return say(&mut stream, &OfOld::Refused(NotDone::HandOverBusy));
        }
        let answered = self.offer(stream);
        self.is_asked.store(false, Ordering::Release);
        answered
    }

    fn offer(&self, mut stream: UnixStream) -> io::Result<()> {
        // The gate that takes over could not take what all of them carry.
        if let Some(why) = self.drainers.no_room() {
            return say(&mut stream, &OfOld::Refused(why));
        }
        let (listeners, asked) = {
            let goods = self.goods.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(goods) = &*goods else {
                drop(goods);
                return say(&mut stream, &OfOld::Refused(NotDone::HandOverBusy));
            };
            let listeners = goods.listeners.iter().map(TcpListener::try_clone).collect::<io::Result<Vec<_>>>()?;
            (listeners, goods.asked.clone())
        };
        let (pid, count) = (std::process::id(), listeners.len());
        say(&mut stream, &OfOld::Offered { protocol: PROTOCOL, pid, listeners: count })?;
        send_listeners(&mut stream, &listeners)?;
        drop(listeners);
        let word = read_line(&mut stream, TAKE.len())?;
        if TAKE.strip_suffix(b"\n") != Some(&word) {
            return Err(io::Error::other("it said something else"));
        }
        match asked.blocking_send(Asked { stream }) {
            Ok(()) => Ok(()),
            Err(SendError(asked)) => {
                asked.refuse();
                Err(io::Error::other("this gate ends"))
            }
        }
    }
}

impl Asked {
    /// Says that this gate ends by itself.
    pub(in crate::app) fn refuse(mut self) {
        // It may be gone already.
        let _ = say(&mut self.stream, &OfOld::Refused(NotDone::GateEnds));
    }

    /// Says that the data directory is free. The stream then says by its end that the next gate has ended.
    pub(in crate::app) fn left(mut self) -> io::Result<UnixStream> {
        say(&mut self.stream, &OfOld::Left { first_id: clock::leave_exchange_ids().0 })?;
        Ok(self.stream)
    }
}

/// Whether it is this process's user, or root.
pub(super) fn is_own(uid: Option<u32>) -> bool {
    uid.is_some_and(|uid| uid == 0 || uid == rustix::process::geteuid().as_raw())
}

fn say(stream: &mut UnixStream, what: &OfOld) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    stream.write_all(&line)
}
