use std::net::IpAddr;

use crate::evidence::{FlowKey, FlowSource, FlowState, Observed, Protocol, Seen};

/// What a line of `conn.log` tells of an attempt to connect; `None` for lines of other logs, and without an address.
///
/// `REJ` and what begins with `RST` was reset, `S0` and `SH` went unanswered, `S1` and `OTH` stand as far as Zeek could tell, and
/// all else has ended (Zeek's documentation of `conn_state`).
pub fn zeek_flow(observed: &Observed<'_>) -> Option<Seen> {
    let protocol = Protocol::parse(observed.protocol)?;
    let address = |text: &str| text.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let state = match observed.reason {
        "S0" | "SH" => FlowState::Unanswered,
        "REJ" => FlowState::Reset,
        state if state.starts_with("RST") => FlowState::Reset,
        "S1" | "OTH" => FlowState::Established,
        _ => FlowState::Closed,
    };
    let key = FlowKey {
        client: Some(address(observed.client)?),
        address: Some(address(observed.address)?),
        port: Some(observed.port),
        protocol: Some(protocol),
        state: Some(state),
        ..FlowKey::of(FlowSource::Zeek)
    };
    Some(Seen { bytes_up: observed.bytes_up, bytes_down: observed.bytes_down, ..key.into() })
}
