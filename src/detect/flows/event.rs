use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{BACKGROUND_RULES, FlowSeen, FlowSource, FlowState, TRIPWIRE_RULE};

/// Attempts of one kind within a second, in the place that their time gives them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::detect) struct FlowEvent {
    /// When the first of them was seen, and the last, in microseconds.
    pub time: u64,
    pub last: u64,
    /// The number of the record.
    pub line: u64,
    pub source: FlowSource,
    /// The gate took it on its way and refused it: no source of flows told of it.
    pub is_captured: bool,
    pub told_by: Option<IpAddr>,
    /// The end of the path of the sensor's log; empty where it was none.
    pub sensor: Box<str>,
    pub client: Option<IpAddr>,
    pub address: Option<IpAddr>,
    /// 0 for none.
    pub port: u16,
    /// Its number; 255 where it is not known, which none has (RFC 5237).
    pub protocol: u8,
    pub state: Option<FlowState>,
    /// The firewall of this machine stopped it at a tripwire.
    pub is_trap: bool,
    /// It stopped it as what there always is: what strangers outside begin, and discovery that goes to all of a segment.
    pub is_background: bool,
    pub count: u64,
    pub packets: Option<u64>,
    pub up: Option<u64>,
    pub down: Option<u64>,
    /// Keys that are summed at least; 0 where it is one.
    pub keys: u64,
}

/// Of a sensor's name so much is kept, in bytes.
const SENSOR_BYTES_MAX: usize = 200;

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const UNKNOWN: u8 = 255;

impl FlowEvent {
    pub(in crate::detect) fn of(seen: &FlowSeen<'_>) -> Self {
        Self {
            time: seen.first.0,
            last: seen.last.0,
            line: seen.line,
            source: seen.source,
            is_captured: seen.is_captured,
            told_by: seen.told_by,
            sensor: end(seen.sensor, SENSOR_BYTES_MAX).into(),
            client: seen.client,
            address: seen.address,
            port: seen.port,
            protocol: seen.protocol.map_or(UNKNOWN, |protocol| protocol.0),
            state: seen.state,
            is_trap: seen.source == FlowSource::Nflog && seen.rule == TRIPWIRE_RULE,
            is_background: seen.source == FlowSource::Nflog && BACKGROUND_RULES.contains(&seen.rule),
            count: seen.count,
            packets: seen.packets,
            up: seen.bytes_up,
            down: seen.bytes_down,
            keys: seen.rolled_up,
        }
    }

    /// It came to nothing.
    pub(super) fn failed(&self) -> bool {
        match self.state {
            Some(FlowState::Refused | FlowState::Dropped | FlowState::Unanswered | FlowState::Reset) => true,
            Some(FlowState::Established | FlowState::Closed) | None => false,
        }
    }

    /// Both sides spoke.
    pub(super) fn answered(&self) -> bool {
        matches!(self.state, Some(FlowState::Established | FlowState::Closed))
    }

    pub(super) fn count32(&self) -> u32 {
        u32::try_from(self.count).unwrap_or(u32::MAX)
    }

    /// It was to a port, as far as that is known.
    pub(super) fn has_ports(&self) -> bool {
        self.port > 0 && matches!(self.protocol, TCP | UDP | UNKNOWN)
    }
}

/// The end of a text, in which paths differ.
fn end(text: &str, bytes_max: usize) -> &str {
    text.get(text.ceil_char_boundary(text.len().saturating_sub(bytes_max))..).unwrap_or_default()
}

/// An address, and a port or another number, as a number (FNV-1a): the same whatever came before.
pub(super) fn hash(address: IpAddr, number: u16) -> u32 {
    let mut hash = 0x811c_9dc5_u32;
    let mut add = |bytes: &[u8]| {
        bytes.iter().for_each(|byte| hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    };
    match address {
        IpAddr::V4(address) => add(&address.octets()),
        IpAddr::V6(address) => add(&address.octets()),
    }
    add(&number.to_le_bytes());
    hash
}
