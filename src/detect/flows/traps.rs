use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, FlowSource, FlowState, Severity};

use crate::detect::grounds::{Grounds, growing};
use crate::detect::inside::{Whereabouts, ZoneRole};
use crate::detect::names::Estimate;
use crate::detect::table::Table;

use super::event::{FlowEvent, hash};
use super::telling::{Around, Told};

/// Tells of what nobody does by mistake: a touch of a port of the gateway that nothing uses, and an attempt to get
/// out of a critical segment. Once is enough, and it is high where this machine's kernel or a sensor saw it.
///
/// What another firewall says by syslog is low, and says who is said to have said so: anybody who reaches the gate's
/// address can send such a line in anybody's name, and what answers a high finding could cut off whom it names.
///
/// The benign twins: who scans for weaknesses is named as a scanner; a critical machine speaks within its segment, to
/// groups and to the gate. What the firewall let through, by an exception that somebody named, is no attempt, nor is
/// it one when such an address does not answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Traps {
    /// By client, and what was touched.
    touched: Table<(IpAddr, IpAddr, What), Touched>,
}

/// What was touched, and whether that was seen. What was only said adds nothing to what was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct What {
    is_tripwire: bool,
    was_seen: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Touched {
    first: u64,
    first_line: u64,
    count: u32,
    ports: Estimate,
}

const TOUCHED_MAX: usize = 8_192;
const SEEN: [(f32, Severity); 1] = [(0.0, Severity::High)];
const SAID: [(f32, Severity); 1] = [(0.0, Severity::Low)];
/// What it weighs that it was only said.
const HEARSAY: f32 = -3.0;

impl Traps {
    pub(super) fn new(clients_max: usize) -> Self {
        Self { touched: Table::new(TOUCHED_MAX.min(clients_max)) }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.touched.evicted
    }

    pub(super) fn take(&mut self, event: &FlowEvent, client: IpAddr, to: IpAddr, around: &mut Around<'_>) {
        let inside = around.inside;
        let was_seen = match event.source {
            FlowSource::Nflog | FlowSource::Conntrack | FlowSource::Zeek => true,
            FlowSource::Syslog => false,
        };
        let severities = if was_seen { &SEEN } else { &SAID };
        if (event.is_trap || inside.is_tripwire(to, event.port)) && !inside.is_scanner(client) {
            let touched = self.touched(event, (client, to, What { is_tripwire: true, was_seen }));
            let ports = touched.ports.count().max(1);
            let mut grounds = Grounds::default();
            grounds.add(
                growing(5.0, ports, 1, 0.5, 7.0),
                "tripwire",
                &[("ports", f64::from(ports)), ("port", f64::from(event.port))],
                format!("it touched {ports} ports of the gateway that nothing uses, {} last", event.port),
                format!("ゲートウェイの未使用ポート{ports}個に接触（最後は{}番）", event.port),
            );
            add_teller(&mut grounds, event, was_seen);
            let told = touched.told(FindingKind::Tripwire, event, client, to, grounds);
            around.tell(told, severities);
        }
        let Whereabouts::Inside(Some(zone)) = inside.whereabouts(client) else { return };
        if zone.role == ZoneRole::Critical && is_attempt(event) && inside.whereabouts(to) == Whereabouts::Outside {
            let touched = self.touched(event, (client, to, What { is_tripwire: false, was_seen }));
            let ports = touched.ports.count().max(1);
            let mut grounds = Grounds::default();
            grounds.add(
                growing(5.0, ports, 1, 0.5, 7.0),
                "critical_segment",
                &[("ports", f64::from(ports)), ("port", f64::from(event.port))],
                format!(
                    "a machine of the critical segment {} tried to reach outside, which none of it does",
                    zone.name
                ),
                format!("外部と通信しないはずの重要区画{}の機器が外部への接続を試行", zone.name),
            );
            add_teller(&mut grounds, event, was_seen);
            let told = touched.told(FindingKind::CriticalAttempt, event, client, to, grounds);
            around.tell(told, severities);
        }
    }

    fn touched(&mut self, event: &FlowEvent, key: (IpAddr, IpAddr, What)) -> &Touched {
        let new = || Touched { first: event.time, first_line: event.line, count: 0, ports: Estimate::default() };
        let touched = self.touched.entry(key, new);
        touched.count = touched.count.saturating_add(event.count32());
        touched.ports.add(hash(key.1, event.port));
        touched
    }
}

impl Touched {
    fn told(&self, kind: FindingKind, event: &FlowEvent, client: IpAddr, to: IpAddr, grounds: Grounds) -> Told {
        Told {
            kind,
            client: Some(client),
            target: to.to_string(),
            port: event.port,
            first: self.first.min(event.time),
            last: event.last,
            attempts: self.count,
            refused: if event.failed() { self.count } else { 0 },
            records: [self.first_line, event.line],
            beat: None,
            rarity: None,
            grounds,
        }
    }
}

/// Who said so, where nobody saw it who can be relied on.
fn add_teller(grounds: &mut Grounds, event: &FlowEvent, was_seen: bool) {
    if was_seen {
        return;
    }
    let by = event.told_by.map_or_else(|| "an unknown sender".to_owned(), |by| by.to_string());
    let by_japanese = event.told_by.map_or_else(|| "不明な送信元".to_owned(), |by| by.to_string());
    grounds.add(
        HEARSAY,
        "hearsay",
        &[],
        format!("only syslog in the name of {by} says so, which anybody can send"),
        format!("根拠は{by_japanese}名義のsyslogのみ（送信元は詐称可能）"),
    );
}

/// Whether a firewall stopped it; or a sensor within the segment saw it begin, where no firewall has spoken.
fn is_attempt(event: &FlowEvent) -> bool {
    match event.state {
        Some(FlowState::Refused | FlowState::Dropped) => true,
        Some(FlowState::Unanswered | FlowState::Reset) => event.source == FlowSource::Zeek,
        Some(FlowState::Established | FlowState::Closed) | None => false,
    }
}
