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
/// out of a critical segment. Once is enough, and it is high.
///
/// The benign twins: who scans for weaknesses is named as a scanner; a critical machine speaks within its segment, to
/// groups and to the gate. What the firewall let through, by an exception that somebody named, is no attempt, nor is
/// it one when such an address does not answer.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Traps {
    /// By client, what was touched, and whether that is a tripwire.
    touched: Table<(IpAddr, IpAddr, bool), Touched>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Touched {
    first: u64,
    first_line: u64,
    count: u32,
    ports: Estimate,
}

const TOUCHED_MAX: usize = 8_192;
const SEVERITIES: [(f32, Severity); 1] = [(0.0, Severity::High)];

impl Traps {
    pub(super) fn new(clients_max: usize) -> Self {
        Self { touched: Table::new(TOUCHED_MAX.min(clients_max)) }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.touched.evicted
    }

    pub(super) fn take(&mut self, event: &FlowEvent, client: IpAddr, to: IpAddr, around: &mut Around<'_>) {
        let inside = around.inside;
        if (event.is_trap || inside.is_tripwire(to, event.port)) && !inside.is_scanner(client) {
            let touched = self.touched(event, (client, to, true));
            let ports = touched.ports.count().max(1);
            let mut grounds = Grounds::default();
            grounds.add(
                growing(5.0, ports, 1, 0.5, 7.0),
                "tripwire",
                &[("ports", f64::from(ports)), ("port", f64::from(event.port))],
                format!("it touched {ports} ports of the gateway that nothing uses, {} last", event.port),
                format!("ゲートウェイの未使用ポート{ports}個に接触（最後は{}番）", event.port),
            );
            let told = touched.told(FindingKind::Tripwire, event, client, to, grounds);
            around.tell(told, &SEVERITIES);
        }
        let Whereabouts::Inside(Some(zone)) = inside.whereabouts(client) else { return };
        if zone.role == ZoneRole::Critical && is_attempt(event) && inside.whereabouts(to) == Whereabouts::Outside {
            let touched = self.touched(event, (client, to, false));
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
            let told = touched.told(FindingKind::CriticalAttempt, event, client, to, grounds);
            around.tell(told, &SEVERITIES);
        }
    }

    fn touched(&mut self, event: &FlowEvent, key: (IpAddr, IpAddr, bool)) -> &Touched {
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

/// Whether a firewall stopped it; or a sensor within the segment saw it begin, where no firewall has spoken.
fn is_attempt(event: &FlowEvent) -> bool {
    match event.state {
        Some(FlowState::Refused | FlowState::Dropped) => true,
        Some(FlowState::Unanswered | FlowState::Reset) => event.source == FlowSource::Zeek,
        Some(FlowState::Established | FlowState::Closed) | None => false,
    }
}
