use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, Severity};

use crate::detect::grounds::{Grounds, growing};
use crate::detect::hour::{Hour, SLOTS, TEN_MINUTES};
use crate::detect::inside::Whereabouts;
use crate::detect::names::Estimate;
use crate::detect::table::Table;

use super::event::{FlowEvent, hash};
use super::telling::{Around, Told};
use super::usual::Budget;

/// Finds who tries many ports of one host, and who tries one port of many hosts.
///
/// Ports: fifteen different ones in ten minutes, or thirty in an hour, that gave nothing. What looks for a printer or
/// a share tries a handful; the quickest list of a scanner has a hundred. Ports from 32,768 on do not count: clients
/// have them themselves (RFC 6335 and Linux), so that a server's late answers, which a firewall stops, would look
/// like a scan.
///
/// Hosts: twenty in ten minutes, or forty in an hour, of which most give nothing. The benign twin is what brings
/// software to all PCs, of which some are off: most answer it. A PC without its proxy setting tries many hosts of the
/// web outside: there the ports of the web, of names and of time do not count.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Scans {
    /// About 460 bytes each.
    hosts: Table<(IpAddr, IpAddr), Tried>,
    /// By port and protocol; about 660 bytes each.
    ports: Table<(IpAddr, u16, u8), Swept>,
    pub(super) budget: Budget,
}

/// What a client tried of a host in vain.
#[derive(Debug, Serialize, Deserialize)]
struct Tried {
    first: u64,
    first_line: u64,
    hour: Hour<Ports>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Ports {
    ports: Estimate,
    attempts: u32,
}

/// Of which hosts a client tried a port.
#[derive(Debug, Serialize, Deserialize)]
struct Swept {
    first: u64,
    first_line: u64,
    hour: Hour<Hosts>,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Hosts {
    failed: Estimate,
    answered: Estimate,
    attempts: u32,
    outside: u32,
}

const HOSTS_MAX: usize = 16_384;
const PORTS_MAX: usize = 8_192;
/// New pairs that a client brings in an hour: an address space of 4,096 is swept in it, and all else is found by then.
const PAIRS_AN_HOUR: u32 = 1_024;
/// Different ports in ten minutes, and in an hour, from which on it is told.
const PORTS_MIN: [u32; 2] = [15, 30];
/// Different hosts.
const HOSTS_MIN: [u32; 2] = [20, 40];
/// What clients have themselves.
const EPHEMERAL: u16 = 32_768;
/// Of the hosts that were tried so large a share must give nothing, in percent.
const FAILED_PERCENT_MIN: u32 = 60;
/// What a PC without its proxy setting tries outside.
const USUAL_OUTSIDE: [u16; 6] = [53, 80, 123, 443, 853, 8080];
/// What asks a whole segment by its nature: NetBIOS, SSDP, WSD, mDNS, LLMNR.
const DISCOVERY: [u16; 6] = [137, 138, 1900, 3702, 5353, 5355];
const SEVERITIES: [(f32, Severity); 3] = [(1.5, Severity::Low), (3.0, Severity::Medium), (4.5, Severity::High)];

impl Scans {
    pub(super) fn new(clients_max: usize) -> Self {
        Self {
            hosts: Table::new(HOSTS_MAX.min(clients_max)),
            ports: Table::new(PORTS_MAX.min(clients_max)),
            budget: Budget::new(PAIRS_AN_HOUR),
        }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.hosts.evicted + self.ports.evicted
    }

    pub(super) fn take(&mut self, event: &FlowEvent, client: IpAddr, to: IpAddr, around: &mut Around<'_>) {
        let whereabouts = around.inside.whereabouts(to);
        if whereabouts == Whereabouts::Nowhere || around.inside.is_scanner(client) {
            return;
        }
        let is_outside = whereabouts == Whereabouts::Outside;
        if event.failed() && event.has_ports() && event.port < EPHEMERAL {
            self.port(event, client, to, is_outside, around);
        }
        let is_usual = (is_outside && USUAL_OUTSIDE.contains(&event.port)) || DISCOVERY.contains(&event.port);
        if !is_usual && event.port < EPHEMERAL {
            self.host(event, client, to, is_outside, around);
        }
    }

    fn port(&mut self, event: &FlowEvent, client: IpAddr, to: IpAddr, is_outside: bool, around: &mut Around<'_>) {
        let key = (client, to);
        if self.hosts.get_mut(key).is_none() && !self.budget.takes(client, event.time) {
            return;
        }
        let new = || Tried { first: event.time, first_line: event.line, hour: Hour::new(event.time) };
        let tried = self.hosts.entry(key, new);
        let slot = tried.hour.at(event.time);
        slot.attempts = slot.attempts.saturating_add(event.count32());
        if !slot.ports.add(hash(to, event.port)) {
            return;
        }
        let [ten, hour] = [TEN_MINUTES, SLOTS].map(|slots| tried.hour.last(slots).fold(Ports::default(), Ports::with));
        if hour.attempts == event.count32() {
            (tried.first, tried.first_line) = (event.time, event.line);
        }
        let Some((tries, minutes, least)) = enough([ten, hour], PORTS_MIN, |tried| tried.ports.count()) else { return };
        let ports = tries.ports.count();
        let mut grounds = Grounds::default();
        grounds.add(
            growing(2.0, ports, least, 0.5, 4.0),
            "ports_tried",
            &[("ports", f64::from(ports)), ("minutes", f64::from(minutes))],
            format!("about {ports} different ports of this host were tried in vain within {minutes} min"),
            format!("{minutes}分間にこの相手の約{ports}種類のポートへの接続が失敗"),
        );
        whither(&mut grounds, is_outside);
        let told = Told {
            kind: FindingKind::PortScan,
            client: Some(client),
            target: to.to_string(),
            port: 0,
            first: tried.first.min(event.time),
            last: event.last,
            attempts: hour.attempts,
            refused: hour.attempts,
            records: [tried.first_line, event.line],
            beat: None,
            rarity: None,
            grounds,
        };
        around.tell(told, &SEVERITIES);
    }

    fn host(&mut self, event: &FlowEvent, client: IpAddr, to: IpAddr, is_outside: bool, around: &mut Around<'_>) {
        let key = (client, event.port, event.protocol);
        if self.ports.get_mut(key).is_none() && (!event.failed() || !self.budget.takes(client, event.time)) {
            return;
        }
        let new = || Swept { first: event.time, first_line: event.line, hour: Hour::new(event.time) };
        let swept = self.ports.entry(key, new);
        let slot = swept.hour.at(event.time);
        if event.answered() {
            slot.answered.add(hash(to, 0));
        }
        if !event.failed() {
            return;
        }
        slot.attempts = slot.attempts.saturating_add(event.count32());
        slot.outside = slot.outside.saturating_add(u32::from(is_outside));
        if !slot.failed.add(hash(to, 0)) {
            return;
        }
        let [ten, hour] = [TEN_MINUTES, SLOTS].map(|slots| swept.hour.last(slots).fold(Hosts::default(), Hosts::with));
        if hour.attempts == event.count32() {
            (swept.first, swept.first_line) = (event.time, event.line);
        }
        let Some((tried, minutes, least)) = enough([ten, hour], HOSTS_MIN, |tried| tried.failed.count()) else {
            return;
        };
        let (failed, answered) = (tried.failed.count(), tried.answered.count());
        if failed * 100 < (failed + answered) * FAILED_PERCENT_MIN {
            return;
        }
        let (what, what_japanese) = match event.port {
            0 => ("hosts were tried".to_owned(), "へのポートを伴わない接続".to_owned()),
            port => (format!("hosts were tried at port {port}"), format!("のポート{port}への接続")),
        };
        let mut grounds = Grounds::default();
        grounds.add(
            growing(2.0, failed, least, 0.5, 4.0),
            "hosts_tried",
            &[("hosts", f64::from(failed)), ("answered", f64::from(answered)), ("minutes", f64::from(minutes))],
            format!("about {failed} different {what} in vain within {minutes} min, and about {answered} answered"),
            format!("{minutes}分間に約{failed}台{what_japanese}が失敗、応答があったのは約{answered}台"),
        );
        whither(&mut grounds, tried.outside > 0);
        let told = Told {
            kind: FindingKind::Sweep,
            client: Some(client),
            target: service(event),
            port: event.port,
            first: swept.first.min(event.time),
            last: event.last,
            attempts: hour.attempts,
            refused: hour.attempts,
            records: [swept.first_line, event.line],
            beat: None,
            rarity: None,
            grounds,
        };
        around.tell(told, &SEVERITIES);
    }
}

/// What was swept for, as a target: `tcp/445`.
fn service(event: &FlowEvent) -> String {
    let protocol = crate::evidence::Protocol(event.protocol);
    match (event.protocol, event.port) {
        (super::event::UNKNOWN, port) => format!("port/{port}"),
        (_, 0) => protocol.to_string(),
        (_, port) => format!("{protocol}/{port}"),
    }
}

fn whither(grounds: &mut Grounds, is_outside: bool) {
    let (code, english, japanese) = if is_outside {
        ("outside", "outside this network", "網の外側に対して")
    } else {
        ("inside", "inside this network", "網の内側に対して")
    };
    grounds.add(0.5, code, &[], english.to_owned(), japanese.to_owned());
}

/// What was tried in ten minutes, or in an hour, where that is enough; with the minutes, and what is enough.
fn enough<T>(tried: [T; 2], least: [u32; 2], count: impl Fn(&T) -> u32) -> Option<(T, u32, u32)> {
    let [ten, hour] = tried;
    if count(&ten) >= least[0] {
        return Some((ten, 10, least[0]));
    }
    (count(&hour) >= least[1]).then_some((hour, 60, least[1]))
}

impl Ports {
    fn with(self, other: Self) -> Self {
        Self { ports: self.ports.with(other.ports), attempts: self.attempts.saturating_add(other.attempts) }
    }
}

impl Hosts {
    fn with(self, other: Self) -> Self {
        Self {
            failed: self.failed.with(other.failed),
            answered: self.answered.with(other.answered),
            attempts: self.attempts.saturating_add(other.attempts),
            outside: self.outside.saturating_add(other.outside),
        }
    }
}
