use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{Bytes, FindingKind, Severity, Span};

use crate::detect::grounds::Grounds;
use crate::detect::inside::Whereabouts;
use crate::detect::names::Estimate;
use crate::detect::network::Network;
use crate::detect::table::Table;
use crate::detect::volume::{Meter, Place, Scheme, Sent, Window};

use super::event::{FlowEvent, hash};
use super::telling::{Around, Told};

/// Finds a machine that gathers from many others inside, far more than it usually gets, and then sends outside,
/// itself or through a machine to which it handed on, within 72 hours: one finding with both halves. Either alone is
/// not told here.
///
/// It takes five machines that each gave 64 KiB or more within a day, and together more than the day usually brings:
/// by the same day of five weeks as in [`volume`](crate::detect::volume), or, of a machine that hardly ever gets
/// anything, 256 MiB. Then it takes 16 MiB and a tenth of what was gathered that went out, where that is more than
/// the day usually sends. Its benign twins are a backup server, which gathers each night and sends as much as ever,
/// and a file server that is filled once and sends nothing.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Staging {
    /// What machines get from others, about 250 bytes each.
    hosts: Table<IpAddr, Receiving>,
    /// What they send outside, about 150 bytes each.
    senders: Table<IpAddr, Sending>,
    /// What was gathered within 72 hours, by when; at most [`GATHERED_MAX`].
    gathered: Vec<Gathered>,
    /// Gatherings that had to go for others.
    beyond: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Receiving {
    meter: Meter,
    day: i64,
    peers: Estimate,
    /// It is more than usual on this day: so much was usual at most, in bytes.
    over: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Sending {
    meter: Meter,
    day: i64,
    is_over: bool,
}

/// The first half.
#[derive(Debug, Serialize, Deserialize)]
struct Gathered {
    host: IpAddr,
    first: u64,
    first_line: u64,
    /// When it was seen to be one.
    since: u64,
    bytes: u64,
    peers: u32,
    usual: u64,
    /// Machines to which a tenth of it was handed on, or more, and how much.
    movers: Vec<(IpAddr, u64)>,
    sent: u64,
    uploads: u32,
    /// The machine that sent last, where most of it may have gone (Boyer and Moore, 1991), and how much surely.
    by: Option<IpAddr>,
    whither: Option<(Box<str>, u64)>,
}

/// What goes outside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Upload<'a> {
    pub machine: IpAddr,
    pub to: &'a str,
    pub port: u16,
    pub bytes: u64,
    pub time: u64,
    pub line: u64,
}

const HOSTS_MAX: usize = 16_384;
const GATHERED_MAX: usize = 256;
const MOVERS_MAX: usize = 8;
/// Machines that must have given.
const PEERS_MIN: u32 = 5;
const MIB: u64 = 1024 * 1024;
/// Less from one machine is a page of a web server, or a name that was looked up.
const GIVEN_MIN: u64 = 64 * 1024;
const GOT_COLD_MAX: u64 = 256 * MIB;
const SENT_MIN: u64 = 16 * MIB;
/// So large a part of what was gathered must go on, or out.
const PART: u64 = 10;
/// In microseconds.
const DAY: u64 = 24 * 3_600_000_000;
const LASTS: u64 = 3 * DAY;
const WEEK: u64 = 7 * DAY;
const GOT: Scheme = Scheme {
    window: DAY,
    slots: 7,
    slots_of_day: 1,
    kept: 5,
    near: 0,
    near_values_min: 4,
    values_min: 5,
    bytes_min: 64 * MIB,
    cold_limit: GOT_COLD_MAX,
};
const SENT: Scheme = Scheme { bytes_min: SENT_MIN, cold_limit: SENT_MIN, ..GOT };
const SEVERITIES: [(f32, Severity); 3] = [(2.0, Severity::Low), (3.0, Severity::Medium), (4.5, Severity::High)];

impl Staging {
    pub(super) fn new(clients_max: usize) -> Self {
        let most = HOSTS_MAX.min(clients_max);
        Self { hosts: Table::new(most), senders: Table::new(most), gathered: Vec::new(), beyond: 0 }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.hosts.evicted + self.senders.evicted + self.beyond
    }

    /// Takes a flow that carried something.
    pub(super) fn take(&mut self, event: &FlowEvent, client: IpAddr, to: IpAddr, around: &mut Around<'_>) {
        let (up, down) = (event.up.unwrap_or(0), event.down.unwrap_or(0));
        match around.inside.whereabouts(to) {
            Whereabouts::Inside(_) if client != to => {
                self.hand(event, (client, to), up, around);
                self.hand(event, (to, client), down, around);
            }
            Whereabouts::Outside if up > 0 => {
                let target = to.to_string();
                let (time, line, port) = (event.time, event.line, event.port);
                self.upload(Upload { machine: client, to: &target, port, bytes: up, time, line }, around);
            }
            Whereabouts::Inside(_) | Whereabouts::Outside | Whereabouts::Nowhere => {}
        }
    }

    /// One machine hands bytes to another.
    fn hand(&mut self, event: &FlowEvent, (from, to): (IpAddr, IpAddr), bytes: u64, around: &mut Around<'_>) {
        if bytes < GIVEN_MIN {
            return;
        }
        for gathered in self.gathered.iter_mut().filter(|gathered| gathered.host == from) {
            gathered.hand_on(to, bytes);
        }
        let at = day(event.time, event.line, around.network);
        let new =
            || Receiving { meter: Meter::new(&GOT, at), day: at.0.number, peers: Estimate::default(), over: None };
        let host = self.hosts.entry(to, new);
        if at.0.number > host.day {
            (host.day, host.peers, host.over) = (at.0.number, Estimate::default(), None);
        }
        host.peers.add(hash(from, 0));
        if host.meter.add(&GOT, at, Sent { bytes, is_end: true, is_told: false }) && host.over.is_none() {
            let usual = host.meter.usual(&GOT);
            // While nobody knows what is usual of anybody, all is new.
            host.over = usual.map(|usual| usual.limit).or((around.age(event.time) >= WEEK).then_some(GOT_COLD_MAX));
        }
        let Some(usual) = host.over.filter(|_| host.peers.count() >= PEERS_MIN) else { return };
        let (bytes, peers, span) = (host.meter.unexplained(), host.peers.count(), host.meter.span());
        if let Some(gathered) = self.gathered.iter_mut().find(|gathered| gathered.host == to) {
            (gathered.bytes, gathered.peers) = (gathered.bytes.max(bytes), gathered.peers.max(peers));
            return;
        }
        self.gathered.retain(|gathered| gathered.since.saturating_add(LASTS) > event.time);
        if self.gathered.len() >= GATHERED_MAX {
            self.gathered.remove(0);
            self.beyond += 1;
        }
        self.gathered.push(Gathered {
            host: to,
            first: span.first.min(event.time),
            first_line: span.line,
            since: event.time,
            bytes,
            peers,
            usual,
            movers: Vec::new(),
            sent: 0,
            uploads: 0,
            by: None,
            whither: None,
        });
    }

    /// A machine sends outside, through the gate or past it.
    pub(super) fn upload(&mut self, upload: Upload<'_>, around: &mut Around<'_>) {
        let at = day(upload.time, upload.line, around.network);
        let new = || Sending { meter: Meter::new(&SENT, at), day: at.0.number, is_over: false };
        let sender = self.senders.entry(upload.machine, new);
        if at.0.number > sender.day {
            (sender.day, sender.is_over) = (at.0.number, false);
        }
        sender.is_over |= sender.meter.add(&SENT, at, Sent { bytes: upload.bytes, is_end: true, is_told: false });
        let is_over = sender.is_over;
        for gathered in &mut self.gathered {
            let is_near = upload.time >= gathered.since && upload.time < gathered.since.saturating_add(LASTS);
            if !is_near || !gathered.is_by(upload.machine) {
                continue;
            }
            gathered.send(upload);
            if is_over && gathered.sent >= SENT_MIN.max(gathered.bytes / PART) {
                let told = gathered.told(upload);
                around.tell(told, &SEVERITIES);
            }
        }
    }
}

impl Gathered {
    fn hand_on(&mut self, to: IpAddr, bytes: u64) {
        if let Some((_, handed)) = self.movers.iter_mut().find(|(mover, _)| *mover == to) {
            *handed = handed.saturating_add(bytes);
        } else if self.movers.len() < MOVERS_MAX {
            self.movers.push((to, bytes));
        } else if let Some(least) = self.movers.iter_mut().min_by_key(|(_, handed)| *handed)
            && least.1 < bytes
        {
            // Who got least makes room.
            *least = (to, bytes);
        }
    }

    /// The machine has it, or a part of it that counts.
    fn is_by(&self, machine: IpAddr) -> bool {
        machine == self.host
            || self.movers.iter().any(|(mover, handed)| *mover == machine && *handed >= self.bytes / PART)
    }

    fn send(&mut self, upload: Upload<'_>) {
        self.sent = self.sent.saturating_add(upload.bytes);
        self.uploads = self.uploads.saturating_add(1);
        self.by = Some(upload.machine);
        match &mut self.whither {
            Some((leader, votes)) if **leader == *upload.to => *votes = votes.saturating_add(upload.bytes),
            Some((_, votes)) if *votes >= upload.bytes => *votes -= upload.bytes,
            whither => {
                let votes = whither.as_ref().map_or(0, |(_, votes)| *votes);
                *whither = Some((upload.to.chars().take(HOST_CHARS_MAX).collect(), upload.bytes - votes));
            }
        }
    }

    fn told(&self, upload: Upload<'_>) -> Told {
        let target = self.whither.as_ref().map(|(whither, _)| whither.to_string()).unwrap_or_default();
        Told {
            kind: FindingKind::Staging,
            client: Some(self.host),
            // Which host comes first may change while it goes on; the finding is one of the machine that gathered.
            target: String::new(),
            port: upload.port,
            first: self.first,
            last: upload.time.max(self.first),
            attempts: self.uploads,
            refused: 0,
            records: [self.first_line, upload.line],
            beat: None,
            rarity: None,
            grounds: self.grounds(upload.time, &target),
        }
    }

    fn grounds(&self, now: u64, target: &str) -> Grounds {
        let ratio = |bytes: u64, of: u64| (bytes as f32 / of.max(1) as f32).log10().clamp(0.0, 1.0);
        let [all, usual, sent] = [self.bytes, self.usual, self.sent].map(|bytes| Bytes(bytes as f64));
        let peers = self.peers;
        let mut grounds = Grounds::default();
        grounds.add(
            2.0 + ratio(self.bytes, self.usual),
            "gathered",
            &[("bytes", self.bytes as f64), ("peers", f64::from(peers)), ("limit_bytes", self.usual as f64)],
            format!("it gathered {all} from about {peers} machines inside within a day; up to {usual} would be usual"),
            format!("内部の約{peers}台から1日で{all}を集積（しきい値{usual}）"),
        );
        let after = Span(now.saturating_sub(self.since) as f64 / 1e6);
        let by = self.by.filter(|by| *by != self.host);
        let (through, through_japanese) = by.map_or_else(Default::default, |by| {
            (format!(" through {by}, to which it was handed on"), format!("、受け渡し先の{by}から"))
        });
        let whither = crate::evidence::shown(target);
        grounds.add(
            1.5 + ratio(self.sent.saturating_mul(PART), self.bytes),
            "sent_outside",
            &[
                ("bytes", self.sent as f64),
                ("after_seconds", after.0),
                ("handed_on", f64::from(u8::from(by.is_some()))),
            ],
            format!("then {sent} went outside within {after}{through}, most of it to {whither}"),
            format!("その後{}以内に{sent}が外部へ送信{through_japanese}（主な宛先は{whither}）", after.in_japanese()),
        );
        grounds
    }
}

/// Of a host's name so much is kept.
const HOST_CHARS_MAX: usize = 255;

fn day(time: u64, line: u64, network: &mut Network) -> Place {
    let local = network.local(time);
    (Window { number: local.day, slot: local.weekday }, time, line)
}
