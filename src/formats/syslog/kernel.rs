use std::net::IpAddr;

use crate::evidence::{FlowKey, FlowSource, FlowState, Protocol, Seen};

use super::state_of;

/// Reads a line that Linux wrote for a rule of nftables or iptables that logs: a prefix, and `IN=… OUT=… SRC=… DST=…
/// PROTO=… SPT=… DPT=…`. `None` where it is none.
pub(super) fn read(message: &str) -> Option<Seen> {
    let (before, fields) = message.split_at_checked(message.find("IN=")?)?;
    if !(before.is_empty() || before.ends_with(' ')) {
        return None;
    }
    let (mut from, mut to, mut port, mut protocol) = (None, None, None, None);
    // In brackets stands the packet that an ICMP message is about.
    for field in fields.split_ascii_whitespace().take_while(|field| !field.starts_with('[')) {
        let Some((key, value)) = field.split_once('=') else { continue };
        match key {
            "SRC" => from = from.or(address(value)),
            "DST" => to = to.or(address(value)),
            "DPT" => port = port.or(value.parse().ok()),
            "PROTO" => protocol = protocol.or(read_protocol(value)),
            _ => {}
        }
    }
    let (state, rule) = said(prefix(before));
    let key = FlowKey {
        state,
        client: Some(from?),
        address: Some(to?),
        port,
        protocol,
        rule: (!rule.is_empty()).then(|| rule.into()),
        ..FlowKey::of(FlowSource::Syslog)
    };
    Some(key.into())
}

fn address(value: &str) -> Option<IpAddr> {
    value.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

fn read_protocol(value: &str) -> Option<Protocol> {
    let by_name = [("ESP", 50), ("AH", 51), ("SCTP", 132), ("UDPLITE", 136), ("DCCP", 33)];
    let known = by_name.iter().find(|(name, _)| *name == value).map(|(_, number)| Protocol(*number));
    known.or_else(|| Protocol::parse(value))
}

/// What the rule wrote: what stands behind `kernel:` and the time since the machine started.
fn prefix(before: &str) -> &str {
    let behind = before.rsplit_once("kernel:").map_or(before, |(_, behind)| behind).trim();
    let behind_time = behind.strip_prefix('[').and_then(|rest| rest.split_once(']')).and_then(|(time, rest)| {
        let is_time = !time.is_empty() && time.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b' '));
        is_time.then_some(rest)
    });
    behind_time.unwrap_or(behind).trim()
}

/// Prefixes of ours say it exactly; others mostly have a word of it.
fn said(prefix: &str) -> (Option<FlowState>, &str) {
    if let Some((state, rule)) = prefix.strip_prefix("sekisho:").and_then(|rest| rest.split_once(':')) {
        return (state_of(state), rule);
    }
    let mut words = prefix.split(|c: char| !c.is_ascii_alphanumeric());
    (words.find_map(state_of), prefix)
}
