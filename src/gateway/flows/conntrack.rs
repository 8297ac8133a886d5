//! Connections that this machine's kernel tracks: which stand, and how they ended (`linux/netfilter/nfnetlink_conntrack.h`).

mod event;
mod known;

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::clock;
use crate::evidence::Protocol;

use super::super::model::CAPTURE_MARK;
use super::netlink::{DATAGRAM_BYTES_MAX, DONE, ERROR, Messages, Received, Request, Socket, kind};
use super::nflog::RETRY;
use super::outbox::Outbox;
use super::privileged::{Asked, By, Opened};

pub(super) use event::Event;
use known::{Known, Told};

const SUBSYSTEM: u16 = 1;
const NEW: u16 = kind(SUBSYSTEM, 0);
const GET: u16 = kind(SUBSYSTEM, 1);
const DELETE: u16 = kind(SUBSYSTEM, 2);
/// Groups, as bits: what is new is told by its changes too.
pub(super) const GROUPS: u32 = 1 | 2 | 4;

const TURN: Duration = Duration::from_millis(200);
const QUIET: Duration = Duration::from_millis(50);
const END_LIMIT: Duration = Duration::from_secs(2);
/// Whether the kernel counts what connections carry.
const ACCOUNTING: &str = "/proc/sys/net/netfilter/nf_conntrack_acct";

/// Connections that are on record otherwise, or that nobody need know of.
#[derive(Debug, Clone, Default)]
pub struct Own {
    /// Where the gate listens: what clients ask there is on record as exchanges.
    pub listeners: Vec<SocketAddr>,
    /// The addresses of this machine: what the gate dials is on record with the exchange that it is for.
    pub interfaces: Vec<IpAddr>,
    /// Whether connections that rules have marked as captured come to the gate as they are: they too are on record as exchanges.
    pub takes_marked: bool,
}

impl Own {
    pub(super) fn has(&self, client: IpAddr, address: IpAddr, port: Option<u16>) -> bool {
        let is_listener = |listener: &SocketAddr| {
            Some(listener.port()) == port
                && (listener.ip() == address || (listener.ip().is_unspecified() && self.interfaces.contains(&address)))
        };
        client.is_loopback() || self.interfaces.contains(&client) || self.listeners.iter().any(is_listener)
    }

    /// A connection that was captured went to the gate, by the address that answers it or by its mark, and nowhere else.
    fn has_event(&self, event: &Event) -> bool {
        let is_captured = self.takes_marked && event.mark == CAPTURE_MARK && event.protocol == Protocol::TCP;
        is_captured || self.has(event.client, event.address, event.port)
    }
}

/// Reads events for as long as `stop` has a sender, trying again where that fails.
pub(super) async fn read((own, by): (Own, By), mut outbox: Outbox, mut stop: watch::Receiver<()>) {
    while let Err(error) = follow((&own, &by), &mut outbox, &mut stop).await {
        let why = match Errno::from_io_error(&error) {
            Some(Errno::PERM) => "the gate has no CAP_NET_ADMIN".to_owned(),
            _ => error.to_string(),
        };
        outbox.fail(&why);
        outbox.turn(clock::now());
        tokio::select! {
            _ = stop.changed() => break,
            () = sleep(RETRY) => {}
        }
    }
    outbox.end().await;
}

async fn follow((own, by): (&Own, &By), outbox: &mut Outbox, stop: &mut watch::Receiver<()>) -> io::Result<()> {
    let socket = Socket::of(by.open(Opened::Connections).await?)?;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let mut tracking = Tracking::new(own);
    let mut asking = Some(Box::pin(by.ask(tracking.dump(), &socket)));
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            _ = turns.tick() => {
                if asking.is_none() && tracking.needs_dump() {
                    asking = Some(Box::pin(by.ask(tracking.dump(), &socket)));
                }
                outbox.turn(clock::now());
            }
            asked = answer(&mut asking) => {
                asking = None;
                if let Err(error) = asked {
                    tracking.not_asked(error, outbox)?;
                }
            }
            received = socket.receive(&mut buffer) => {
                if tracking.take(received?, &buffer, outbox)? {
                    outbox.begin();
                    if std::fs::read(ACCOUNTING).is_ok_and(|text| text.trim_ascii() == b"0") {
                        outbox.warn("bytes are not counted: sysctl net.netfilter.nf_conntrack_acct=1");
                    }
                }
            }
        }
    }
    // What lies ready is read; what comes meanwhile is not waited for.
    let ending = async {
        while let Ok(received) = timeout(QUIET, socket.receive(&mut buffer)).await {
            tracking.take(received?, &buffer, outbox)?;
        }
        Ok(())
    };
    timeout(END_LIMIT, ending).await.unwrap_or(Ok(()))
}

/// What became of the question that is under way.
async fn answer<F: Future + Unpin>(asking: &mut Option<F>) -> F::Output {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// The request for all connections there are.
pub(super) fn request(number: u32) -> Vec<u8> {
    Request::dump(GET, number).bytes()
}

/// Which connections stand, and whether all events of them came.
struct Tracking<'o> {
    own: &'o Own,
    known: Known,
    /// What a dump has told so far, while one is under way, and its number.
    dumped: Option<HashSet<u32>>,
    number: u32,
    /// Events were lost since the last dump was asked for.
    overran: bool,
    /// The first dump tells which connections stood when reading began.
    is_first: bool,
    /// A dump could not be asked for, and is asked for again from then on.
    again: Option<Instant>,
}

const OVERRUN: &str = "more connections came and went than could be read";
const ENDED: &str = "connections ended while their events could not be read";

impl<'o> Tracking<'o> {
    fn new(own: &'o Own) -> Self {
        Self { own, known: Known::default(), dumped: None, number: 0, overran: false, is_first: true, again: None }
    }

    /// The question for all connections there are, which is to be asked now.
    fn dump(&mut self) -> Asked {
        self.number = self.number.wrapping_add(1);
        self.overran = false;
        self.dumped = Some(HashSet::new());
        Asked::Connections(self.number)
    }

    /// Whether events were lost, and the dump before is over.
    fn needs_dump(&self) -> bool {
        self.overran && self.dumped.is_none() && self.again.is_none_or(|again| again <= Instant::now())
    }

    /// Events go on to be read where only a later dump could not be asked for: that some were lost is on record.
    ///
    /// # Errors
    /// It was the first: then nothing has begun.
    fn not_asked(&mut self, error: io::Error, outbox: &mut Outbox) -> io::Result<()> {
        if self.is_first {
            return Err(error);
        }
        if self.again.is_none() {
            outbox.warn(&format!("it is not known which connections ended while events were lost: {error}"));
        }
        (self.dumped, self.overran, self.again) = (None, true, Some(Instant::now() + RETRY));
        Ok(())
    }

    fn overran(&mut self, outbox: &mut Outbox) {
        outbox.miss(0, OVERRUN);
        self.overran = true;
        // Messages of the dump may have been lost too, its last one included.
        self.dumped = None;
    }

    /// Whether the first dump is over by this: from now on all that happens is known.
    fn take(&mut self, received: Received, buffer: &[u8], outbox: &mut Outbox) -> io::Result<bool> {
        let Received::Datagram(length) = received else {
            self.overran(outbox);
            return Ok(false);
        };
        let now = clock::now();
        let mut has_begun = false;
        for message in Messages::of(buffer.get(..length).unwrap_or_default()) {
            let is_of_dump = message.sequence == self.number && self.dumped.is_some();
            match message.kind {
                NEW | DELETE => {
                    let Some(event) = Event::read(message.attributes(), message.kind == DELETE) else {
                        outbox.count_unread();
                        continue;
                    };
                    if is_of_dump && let Some(dumped) = &mut self.dumped {
                        known::remember(dumped, event.id);
                    }
                    if self.own.has_event(&event) {
                        continue;
                    }
                    // What stood before reading began did so unseen; how it ends will be told.
                    let is_old = is_of_dump && self.is_first;
                    match self.known.take(&event) {
                        Told::Nothing => {}
                        Told::Stands if is_old => {}
                        Told::Stands | Told::Ended => outbox.add(event.seen(), now),
                    }
                }
                DONE if is_of_dump => {
                    let dumped = self.dumped.take().unwrap_or_default();
                    // The next one that cannot be asked for is news.
                    self.again = None;
                    let gone = self.known.keep(&dumped);
                    if gone > 0 {
                        outbox.miss(gone, ENDED);
                    }
                    has_begun |= std::mem::take(&mut self.is_first);
                }
                // Another dump goes on.
                ERROR if message.error() == Errno::BUSY.raw_os_error() => (self.dumped, self.overran) = (None, true),
                ERROR if message.error() != 0 => return Err(io::Error::from_raw_os_error(message.error())),
                _ => {}
            }
        }
        Ok(has_begun)
    }
}
