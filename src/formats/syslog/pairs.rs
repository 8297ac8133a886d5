use std::net::{IpAddr, SocketAddr};

use crate::evidence::{FlowKey, FlowSource, Protocol, Seen, Text};

use super::state_of;

/// What is known of a line of `key=value`, as the most common names of its keys have it. The first of each counts.
#[derive(Default)]
struct Told<'a> {
    from: Option<IpAddr>,
    to: Option<IpAddr>,
    host: Option<&'a str>,
    port: Option<u16>,
    /// What stood behind an address.
    port_beside: Option<u16>,
    protocol: Option<Protocol>,
    action: Option<&'a str>,
    rule: Option<&'a str>,
    rule_number: Option<&'a str>,
    up: Option<u64>,
    down: Option<u64>,
    packets_up: Option<u64>,
    packets_down: Option<u64>,
}

/// Reads a line of `key=value`, where values may stand in quotes, as FortiGate, SonicWall, CEF and many others write it.
/// `None` where it does not say who tried to reach what.
pub(super) fn read(message: &str) -> Option<Seen> {
    let mut told = Told::default();
    for (key, value) in (Pairs { rest: message }) {
        told.take(key, value);
    }
    if told.to.is_none() && told.host.is_none() {
        return None;
    }
    let key = FlowKey {
        state: told.action.and_then(state_of),
        client: Some(told.from?),
        address: told.to,
        host: told.host.map(Text::from),
        port: told.port.or(told.port_beside),
        protocol: told.protocol,
        rule: told.rule.or(told.rule_number).map(Text::from),
        ..FlowKey::of(FlowSource::Syslog)
    };
    let packets = told.packets_up.map(|up| up.saturating_add(told.packets_down.unwrap_or_default()));
    Some(Seen { packets, bytes_up: told.up, bytes_down: told.down, ..key.into() })
}

impl<'a> Told<'a> {
    fn take(&mut self, key: &str, value: &'a str) {
        let is = |names: &[&str]| names.iter().any(|name| name.eq_ignore_ascii_case(key));
        let some = Some(value).filter(|value| !value.is_empty() && *value != "-");
        match () {
            () if is(&["src", "srcip", "src_ip", "srcaddr", "source", "sourceip", "source_ip"]) => {
                self.from = self.from.or(place(value).map(|(address, _)| address));
            }
            () if is(&["dst", "dstip", "dst_ip", "dstaddr", "destination", "destip", "dest_ip", "destination_ip"]) => {
                match place(value) {
                    Some((address, port)) => {
                        self.port_beside = self.port_beside.or(port);
                        self.to = self.to.or(Some(address));
                    }
                    None => self.host = self.host.or(some.filter(|name| is_name(name))),
                }
            }
            () if is(&["hostname", "dhost", "dsthost", "dstname", "dst_host"]) => {
                self.host = self.host.or(some.filter(|name| is_name(name)));
            }
            () if is(&["dstport", "dst_port", "dpt", "dport", "dest_port", "destination_port"]) => {
                self.port = self.port.or(value.parse().ok());
            }
            () if is(&["proto", "protocol", "ip_proto"]) => {
                let name = value.split(['/', ' ']).next().unwrap_or_default();
                self.protocol = self.protocol.or(Protocol::parse(name));
            }
            () if is(&["action", "act", "disposition"]) => self.action = self.action.or(some),
            () if is(&["policyname", "rule", "rulename", "rule_name", "policy"]) => self.rule = self.rule.or(some),
            () if is(&["policyid", "rule_id"]) => self.rule_number = self.rule_number.or(some),
            () if is(&["sentbyte", "out", "bytes_sent", "sent"]) => self.up = self.up.or(value.parse().ok()),
            () if is(&["rcvdbyte", "in", "bytes_received", "rcvd"]) => self.down = self.down.or(value.parse().ok()),
            () if is(&["sentpkt"]) => self.packets_up = self.packets_up.or(value.parse().ok()),
            () if is(&["rcvdpkt"]) => self.packets_down = self.packets_down.or(value.parse().ok()),
            () => {}
        }
    }
}

/// An address, and the port where one stands behind it; SonicWall writes the interface behind that.
fn place(value: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = value.parse::<IpAddr>() {
        return Some((address.to_canonical(), None));
    }
    if let Ok(place) = value.parse::<SocketAddr>() {
        return Some((place.ip().to_canonical(), Some(place.port())));
    }
    let mut parts = value.split(':');
    let address = parts.next()?.parse::<IpAddr>().ok()?;
    Some((address, parts.next().and_then(|port| port.parse().ok())))
}

/// What a name can be made of: more is not looked at here.
fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}

/// The pairs of a line, in their order; words that are none are passed over.
struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let (before, behind) = self.rest.split_once('=')?;
        let is_border = |c: char| c.is_ascii_whitespace() || matches!(c, ',' | ';' | '|' | '[' | '"');
        let key = before.rsplit(is_border).next().unwrap_or_default();
        let (value, rest) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let end = end_of_quote(quoted);
                (quoted.get(..end).unwrap_or(quoted), quoted.get(end + 1..).unwrap_or_default())
            }
            None => {
                // An address of version 6 with a port stands in brackets itself.
                let is_bracketed = behind.starts_with('[');
                let ends = |c: char| matches!(c, ' ' | '\t' | ',' | ';' | '|' | '"') || (c == ']' && !is_bracketed);
                let end = behind.find(ends).unwrap_or(behind.len());
                behind.split_at_checked(end).unwrap_or((behind, ""))
            }
        };
        self.rest = rest;
        Some((key, value))
    }
}

/// Where the quote ends that does not stand behind a backslash; the end of the line where none does.
fn end_of_quote(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.unwrap_or(text.len())
}
