//! Packets that rules of this machine's firewall log to a group (`linux/netfilter/nfnetlink_log.h`).

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::net::if_::if_indextoname;
use rustix::io::Errno;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, interval_at, sleep, timeout};

use crate::clock;
use crate::evidence::{FlowKey, FlowSource, FlowState, Seen, Text};
use crate::facts::Timestamp;

use super::beyond::Beyond;
use super::netlink::{
    Attributes, DATAGRAM_BYTES_MAX, DONE, ERROR, Message, Messages, Received, Request, Socket, be32, kind,
};
use super::outbox::Outbox;
use super::packet::Packet;
use super::privileged::{Asked, By, Opened};

const SUBSYSTEM: u16 = 4;
const PACKET: u16 = kind(SUBSYSTEM, 0);
const CONFIG: u16 = kind(SUBSYSTEM, 1);

/// Attributes of [`CONFIG`].
mod config {
    pub(super) const COMMAND: u16 = 1;
    pub(super) const MODE: u16 = 2;
    pub(super) const BUFFER_BYTES: u16 = 3;
    pub(super) const TIMEOUT: u16 = 4;
    pub(super) const QUEUE: u16 = 5;
    pub(super) const FLAGS: u16 = 6;
}

/// Attributes of [`PACKET`].
mod packet {
    pub(super) const CAME_BY: u16 = 4;
    pub(super) const PAYLOAD: u16 = 9;
    pub(super) const PREFIX: u16 = 10;
    pub(super) const SEQUENCE: u16 = 12;
}

pub(super) const BIND: u8 = 1;
pub(super) const UNBIND: u8 = 2;
/// Numbers of requests that are no command: what was counted and not logged, and the same for the last time.
const COUNT: u8 = 3;
const COUNT_LAST: u8 = 4;
/// The kernel still answers the one before.
const BUSY: u8 = 0;
/// The beginning of each packet is told, so much of it: headers of IPv6 and some extensions, and ports.
const COPY_BYTES: u32 = 128;
const COPY_PACKET: u8 = 2;
/// Each message has the number of its packet in the group, from 0: what is missing is known by that.
const NUMBERED: u16 = 1;
/// So many packets go over together, or those of a tenth of a second, as long as they fit.
const QUEUE_PACKETS: u32 = 100;
const QUEUE_CENTISECONDS: u32 = 10;
/// With what the kernel adds to it, four pages times two: a buffer of a round size is not half wasted.
const QUEUE_BYTES: u32 = (32 << 10) - 512;

const TURN: Duration = Duration::from_millis(200);
pub(super) const RETRY: Duration = Duration::from_secs(30);
const END_LIMIT: Duration = Duration::from_secs(2);
/// So often it is asked for what was counted and not logged.
const COUNTING: Duration = Duration::from_secs(5);
const UNCOUNTED: &str = "what is counted and not logged, for there is too much of it, is on record no more";
/// Three times as long as the kernel gathers.
const GATHERING: Duration = Duration::from_millis(300);

/// Reads the group for as long as `stop` has a sender, trying again where that fails.
pub(super) async fn read(by: By, mut outbox: Outbox, mut stop: watch::Receiver<()>) {
    while let Err(error) = follow(&by, &mut outbox, &mut stop).await {
        outbox.fail(&explain(&error));
        outbox.turn(clock::now());
        tokio::select! {
            _ = stop.changed() => break,
            () = sleep(RETRY) => {}
        }
    }
    outbox.end().await;
}

fn explain(error: &io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::PERM) => "the gate has no CAP_NET_ADMIN, or another program reads this group".to_owned(),
        _ => error.to_string(),
    }
}

async fn follow(by: &By, outbox: &mut Outbox, stop: &mut watch::Receiver<()>) -> io::Result<()> {
    let socket = Socket::of(by.open(Opened::Log).await?)?;
    // What was counted before is known before anything is logged.
    by.ask(Asked::Beyond(COUNT.into()), &socket).await?;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    let (mut log, mut is_asked_for) = (Log::new(clock::now()), false);
    // Reading goes on while it is waited for who may ask.
    let counting = async {
        let mut times = interval_at(tokio::time::Instant::now() + COUNTING, COUNTING);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            if by.ask(Asked::Beyond(COUNT.into()), &socket).await.is_err() {
                return;
            }
        }
    };
    let mut counting = std::pin::pin!(counting);
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            _ = stop.changed() => break,
            _ = turns.tick() => {
                log.tell_overrun(outbox);
                log.interfaces.forget();
                outbox.turn(clock::now());
            }
            () = &mut counting, if log.has_counters => {
                log.has_counters = false;
                outbox.warn(UNCOUNTED);
            }
            received = socket.receive(&mut buffer) => match log.take(received?, &buffer, outbox)? {
                Some(Done(COUNT)) if !is_asked_for => {
                    is_asked_for = true;
                    by.ask(Asked::BeginLog, &socket).await?;
                }
                Some(Done(BIND)) => outbox.begin(),
                Some(Done(_)) | None => {}
            }
        }
    }
    // What the kernel has gathered goes over before the group is let go.
    let asked = timeout(END_LIMIT, by.ask(Asked::EndLog, &socket)).await;
    let is_asked = matches!(asked, Ok(Ok(())));
    let ending = async {
        loop {
            let received = match is_asked {
                true => socket.receive(&mut buffer).await?,
                // Nobody lets the group go: the kernel hands over by its own clock what it has gathered.
                false => match timeout(GATHERING, socket.receive(&mut buffer)).await {
                    Ok(received) => received?,
                    Err(_) => return Ok(()),
                },
            };
            match log.take(received, &buffer, outbox)? {
                // Nothing is logged any more: what was not, up to here, is told too.
                Some(Done(UNBIND | BUSY)) if log.has_counters => {
                    if by.ask(Asked::Beyond(COUNT_LAST.into()), &socket).await.is_err() {
                        return Ok(());
                    }
                }
                Some(Done(UNBIND | COUNT_LAST)) => return Ok(()),
                Some(Done(_)) | None => {}
            }
        }
    };
    let ended = timeout(END_LIMIT, ending).await.unwrap_or(Ok(()));
    log.quiet = true;
    log.tell_overrun(outbox);
    ended
}

/// One request says all; its number is its command's.
pub(super) fn request(group: u16, command: u8) -> Vec<u8> {
    let request = Request::new(CONFIG, command.into(), group).attribute(config::COMMAND, &[command]);
    if command == UNBIND {
        return request.bytes();
    }
    let [c0, c1, c2, c3] = COPY_BYTES.to_be_bytes();
    request
        .attribute(config::MODE, &[c0, c1, c2, c3, COPY_PACKET, 0])
        .attribute(config::BUFFER_BYTES, &QUEUE_BYTES.to_be_bytes())
        .attribute(config::TIMEOUT, &QUEUE_CENTISECONDS.to_be_bytes())
        .attribute(config::QUEUE, &QUEUE_PACKETS.to_be_bytes())
        .attribute(config::FLAGS, &NUMBERED.to_be_bytes())
        .bytes()
}

/// The request of this number was done.
#[derive(Debug, PartialEq, Eq)]
struct Done(u8);

fn of_request(message: &Message<'_>) -> Option<Done> {
    u8::try_from(message.sequence).ok().map(Done)
}

/// Where the numbers of packets stand.
#[derive(Debug)]
struct Log {
    next: u32,
    /// Packets were dropped, and no number has told yet how many.
    overran: bool,
    /// Nothing has come since the last turn: what lay ready when they were dropped has been read.
    quiet: bool,
    interfaces: Interfaces,
    /// What was counted and not logged, and when it was last asked for.
    beyond: Beyond,
    counted: Timestamp,
    /// Whether the kernel tells that.
    has_counters: bool,
}

/// What interfaces are called. They come and go, and a number may be another's later: it is asked for some times a second.
#[derive(Debug, Default)]
struct Interfaces(HashMap<u32, Option<Arc<str>>>);

/// A kernel with more interfaces is asked again for some of them.
const INTERFACES_MAX: usize = 1024;

impl Interfaces {
    fn name(&mut self, index: u32) -> Option<Arc<str>> {
        let ask = || Some(Arc::from(if_indextoname(index).ok()?.to_str().ok()?));
        if self.0.len() >= INTERFACES_MAX {
            return ask();
        }
        self.0.entry(index).or_insert_with(ask).clone()
    }

    fn forget(&mut self) {
        self.0.clear();
    }
}

const MISSED: &str = "more packets were logged than could be read";
const MISSED_UNCOUNTED: &str = "more packets were logged than could be read; the next one that is read tells how many";

impl Log {
    fn new(now: Timestamp) -> Self {
        let (interfaces, beyond) = (Interfaces::default(), Beyond::default());
        Self { next: 0, overran: false, quiet: false, interfaces, beyond, counted: now, has_counters: true }
    }

    /// # Errors
    /// A request was refused.
    fn take(&mut self, received: Received, buffer: &[u8], outbox: &mut Outbox) -> io::Result<Option<Done>> {
        self.quiet = false;
        let Received::Datagram(length) = received else {
            self.overran = true;
            return Ok(None);
        };
        let now = clock::now();
        let mut done = None;
        for message in Messages::of(buffer.get(..length).unwrap_or_default()) {
            match message.kind {
                PACKET => {
                    let logged = Logged::read(message.attributes());
                    let missed = logged.number.map_or(0, |number| self.step(number));
                    if missed > 0 {
                        outbox.miss(missed, MISSED);
                    }
                    if logged.packet.is_none() {
                        outbox.count_unread();
                    }
                    let came_by = logged.came_by.and_then(|index| self.interfaces.name(index));
                    outbox.add(Seen { came_by, ..logged.seen() }, now);
                }
                DONE => {
                    if !message.is_interrupted && !self.overran {
                        self.beyond.all_told();
                    }
                    self.counted = now;
                    done = of_request(&message);
                }
                ERROR => match (message.error(), of_request(&message)) {
                    (0, of) => done = of,
                    (error, Some(Done(COUNT | COUNT_LAST))) if error == Errno::BUSY.raw_os_error() => {
                        done = Some(Done(BUSY));
                    }
                    // It has no rules of nftables.
                    (_, of @ Some(Done(COUNT | COUNT_LAST))) => (self.has_counters, done) = (false, of),
                    (error, _) => return Err(io::Error::from_raw_os_error(error)),
                },
                _ => {
                    if let Some((key, count)) = self.beyond.take(&message) {
                        outbox.add_counted(key, count, self.counted, now);
                    }
                }
            }
        }
        Ok(done)
    }

    /// How many are missing before this one.
    fn step(&mut self, number: u32) -> u64 {
        let missed = number.wrapping_sub(self.next);
        if missed > u32::MAX / 2 {
            return 0;
        }
        self.next = number.wrapping_add(1);
        self.overran &= missed == 0;
        missed.into()
    }

    /// Says that something is missing where no packet has come since that would tell how many.
    fn tell_overrun(&mut self, outbox: &mut Outbox) {
        if std::mem::replace(&mut self.quiet, true) && std::mem::take(&mut self.overran) {
            outbox.miss(0, MISSED_UNCOUNTED);
        }
    }
}

/// A packet as it was logged.
#[derive(Debug, Default)]
pub(super) struct Logged<'a> {
    number: Option<u32>,
    prefix: &'a [u8],
    packet: Option<Packet>,
    /// The interface by which it came in, by the kernel's number for it.
    came_by: Option<u32>,
}

impl<'a> Logged<'a> {
    pub(super) fn read(attributes: Attributes<'a>) -> Self {
        let mut logged = Self::default();
        for (kind, value) in attributes {
            match kind {
                packet::SEQUENCE => logged.number = be32(value),
                packet::CAME_BY => logged.came_by = be32(value),
                packet::PREFIX => logged.prefix = value.split(|byte| *byte == 0).next().unwrap_or_default(),
                packet::PAYLOAD => logged.packet = Packet::read(value),
                _ => {}
            }
        }
        logged
    }

    pub(super) fn seen(&self) -> Seen {
        let (state, rule) = rule(self.prefix);
        let key = FlowKey {
            state,
            client: self.packet.map(|packet| packet.from),
            address: self.packet.map(|packet| packet.to),
            port: self.packet.and_then(|packet| packet.port),
            protocol: self.packet.map(|packet| packet.protocol),
            rule: (!rule.is_empty()).then(|| Text::new(rule)),
            ..FlowKey::of(FlowSource::Nflog)
        };
        key.into()
    }
}

/// What the prefix of a rule says: ours are `sekisho:STATE:RULE `; of others nothing is known but what it is.
fn rule(prefix: &[u8]) -> (Option<FlowState>, &[u8]) {
    let trimmed = prefix.trim_ascii();
    let ours = trimmed.strip_prefix(b"sekisho:").and_then(|rest| {
        let refused = rest.strip_prefix(b"refused:").map(|rule| (FlowState::Refused, rule));
        refused.or_else(|| rest.strip_prefix(b"dropped:").map(|rule| (FlowState::Dropped, rule)))
    });
    ours.map_or((None, trimmed), |(state, rule)| (Some(state), rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_of_a_rule_says_its_name_and_what_it_does() {
        for (prefix, state, name) in [
            ("sekisho:refused:out-tcp ", Some(FlowState::Refused), "out-tcp"),
            ("sekisho:dropped:forged ", Some(FlowState::Dropped), "forged"),
            ("sekisho:let:forged ", None, "sekisho:let:forged"),
            ("Sekisho:refused:x ", None, "Sekisho:refused:x"),
            ("[UFW BLOCK] ", None, "[UFW BLOCK]"),
            ("", None, ""),
        ] {
            assert_eq!(rule(prefix.as_bytes()), (state, name.as_bytes()), "{prefix}");
        }
    }

    #[test]
    fn what_is_missing_is_known_by_number_also_where_numbers_begin_again() {
        let mut log = Log { overran: true, ..Log::new(Timestamp(0)) };
        assert_eq!([2, 3, 3, 5, 4, 6].map(|number| log.step(number)), [2, 0, 0, 1, 0, 0]);
        assert!(!log.overran);
        let mut log = Log { next: u32::MAX - 1, ..Log::new(Timestamp(0)) };
        assert_eq!([u32::MAX - 1, 1].map(|number| log.step(number)), [0, 2]);
    }
}
