use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, FlowSource, FlowState, Severity};

use crate::detect::grounds::{Grounds, growing};
use crate::detect::hour::{Hour, SLOTS, TEN_MINUTES};
use crate::detect::inside::Whereabouts;
use crate::detect::table::Table;

use super::event::FlowEvent;
use super::telling::{Around, Told};
use super::usual::{Budget, Most};

/// Finds many short or refused connections of one client to one service, inside or outside: somebody guesses passwords.
///
/// At a service to which people log in thirty in ten minutes or ninety in an hour are told: a program that holds an
/// old password tries once a minute, and a person mistypes three times. Those that were refused weigh a tenth: nobody
/// guesses at a service that is not there, and what keeps knocking at a dead one is mostly its client. At other
/// services it takes ten times as many, and never those of the web, of names and of time, to which short connections
/// are what they are for. What a client did in an hour of an earlier day too is no news: so a web server is with its
/// database, and monitoring with what it looks at.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Guesses {
    /// About 350 bytes each.
    services: Table<(IpAddr, IpAddr, u16), Tries>,
    pub(super) budget: Budget,
}

#[derive(Debug, Serialize, Deserialize)]
struct Tries {
    first: u64,
    first_line: u64,
    /// By this machine's own sources, and by others: both may tell of the same.
    hour: Hour<[Counted; 2]>,
    /// In an hour, by days.
    most: Most,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Counted {
    /// Connections that stood and carried next to nothing, or were broken off.
    short: u32,
    refused: u32,
}

const SERVICES_MAX: usize = 16_384;
const SERVICES_AN_HOUR: u32 = 512;
/// Tries in ten minutes, and in an hour, from which on it is told.
const TRIES_MIN: [u32; 2] = [30, 90];
/// At services that are not for people so many times as many.
const OTHER_TIMES: u32 = 10;
/// So many that were refused weigh as one that was short.
const REFUSED_PART: u32 = 10;
/// A log-in that fails carries less in either direction: SSH with its keys and three tries about 6 KiB, RDP and SMB
/// less.
const SHORT_BYTES_MAX: u64 = 16 * 1024;
/// FTP, SSH, Telnet, Kerberos, POP, IMAP, LDAP, SMB, submission, rlogin, PPTP, RDP, VNC, WinRM, and mail and
/// directories in TLS.
const LOG_IN: [u16; 24] = [
    21, 22, 23, 88, 110, 139, 143, 389, 445, 465, 513, 587, 636, 993, 995, 1723, 3389, 5800, 5900, 5901, 5902, 5985,
    5986, 10000,
];
/// The web, names, time, the proxy, and printers.
const SHORT_BY_NATURE: [u16; 14] = [53, 80, 123, 443, 515, 631, 853, 3128, 8000, 8080, 8443, 9100, 67, 161];
/// In microseconds.
const DAY: u64 = 24 * 3_600_000_000;
const SEVERITIES: [(f32, Severity); 3] = [(1.5, Severity::Low), (3.0, Severity::Medium), (4.5, Severity::High)];

impl Guesses {
    pub(super) fn new(clients_max: usize) -> Self {
        Self { services: Table::new(SERVICES_MAX.min(clients_max)), budget: Budget::new(SERVICES_AN_HOUR) }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.services.evicted
    }

    pub(super) fn take(&mut self, event: &FlowEvent, client: IpAddr, to: IpAddr, around: &mut Around<'_>) {
        let Some(tries) = Counted::of(event) else { return };
        let is_for_people = LOG_IN.contains(&event.port);
        if !event.has_ports() || SHORT_BY_NATURE.contains(&event.port) || (!is_for_people && event.protocol == 17) {
            return;
        }
        if around.inside.whereabouts(to) == Whereabouts::Nowhere || around.inside.is_scanner(client) {
            return;
        }
        let key = (client, to, event.port);
        if self.services.get_mut(key).is_none() && !self.budget.takes(client, event.time) {
            return;
        }
        let new =
            || Tries { first: event.time, first_line: event.line, hour: Hour::new(event.time), most: Most::default() };
        let service = self.services.entry(key, new);
        let side = usize::from(matches!(event.source, FlowSource::Syslog | FlowSource::Zeek));
        let slot = &mut service.hour.at(event.time)[side];
        *slot = slot.with(tries);
        let [ten, hour] = [TEN_MINUTES, SLOTS].map(|slots| {
            let sum = service
                .hour
                .last(slots)
                .fold([Counted::default(); 2], |sum, slot| [sum[0].with(slot[0]), sum[1].with(slot[1])]);
            if sum[0].weighed() >= sum[1].weighed() { sum[0] } else { sum[1] }
        });
        if hour.all() == tries.all() {
            (service.first, service.first_line) = (event.time, event.line);
        }
        service.most.add(event.time / DAY, hour.weighed());
        let times = if is_for_people { 1 } else { OTHER_TIMES };
        let (tried, minutes, least) = match (ten.weighed(), hour.weighed()) {
            (many, _) if many >= TRIES_MIN[0] * times => (ten, 10, TRIES_MIN[0] * times),
            (_, many) if many >= TRIES_MIN[1] * times => (hour, 60, TRIES_MIN[1] * times),
            _ => return,
        };
        let usual = service.most.before();
        let is_news = usual.is_none_or(|usual| hour.weighed() > usual.saturating_mul(2));
        // On the first day all that web servers ask of databases is new.
        if !is_news || (!is_for_people && around.age(event.time) < DAY) {
            return;
        }
        let told = Told {
            kind: FindingKind::BruteForce,
            client: Some(client),
            target: to.to_string(),
            port: event.port,
            first: service.first.min(event.time),
            last: event.last,
            attempts: hour.all(),
            refused: hour.refused,
            records: [service.first_line, event.line],
            beat: None,
            rarity: None,
            grounds: tried.grounds(event.port, minutes, least, usual, is_for_people),
        };
        around.tell(told, &SEVERITIES);
    }
}

impl Counted {
    /// `None` where it is neither short nor refused, or nobody knows.
    fn of(event: &FlowEvent) -> Option<Self> {
        let many = event.count32();
        let is_short = |bytes: u64| bytes / event.count.max(1) <= SHORT_BYTES_MAX;
        match event.state? {
            FlowState::Reset => Some(Self { short: many, refused: 0 }),
            FlowState::Closed => {
                let (up, down) = (event.up?, event.down?);
                (is_short(up) && is_short(down)).then_some(Self { short: many, refused: 0 })
            }
            FlowState::Refused | FlowState::Dropped | FlowState::Unanswered => Some(Self { short: 0, refused: many }),
            FlowState::Established => None,
        }
    }

    fn with(self, other: Self) -> Self {
        Self { short: self.short.saturating_add(other.short), refused: self.refused.saturating_add(other.refused) }
    }

    fn all(self) -> u32 {
        self.short.saturating_add(self.refused)
    }

    fn weighed(self) -> u32 {
        self.short.saturating_add(self.refused / REFUSED_PART)
    }

    fn grounds(self, port: u16, minutes: u32, least: u32, usual: Option<u32>, is_for_people: bool) -> Grounds {
        let Self { short, refused } = self;
        let mut grounds = Grounds::default();
        grounds.add(
            growing(2.0, self.weighed(), least, 0.5, 4.0),
            "many_tries",
            &[("short", f64::from(short)), ("refused", f64::from(refused)), ("minutes", f64::from(minutes))],
            format!(
                "{short} connections that carried next to nothing and {refused} that were refused, to port {port} \
                 within {minutes} min"
            ),
            format!("{minutes}分間にポート{port}へ、ほとんど通信のない接続が{short}件、拒否された接続が{refused}件"),
        );
        if is_for_people && short > refused {
            let (english, japanese) = ("a service to which people log in", "利用者がログインするサービス");
            grounds.add(0.8, "log_in_service", &[], english.to_owned(), japanese.to_owned());
        }
        if let Some(usual) = usual {
            grounds.add(
                0.5,
                "more_than_usual",
                &[("usual", f64::from(usual))],
                format!("on earlier days there were at most {usual} within an hour"),
                format!("これまでは1時間に最大{usual}件"),
            );
        }
        grounds
    }
}
