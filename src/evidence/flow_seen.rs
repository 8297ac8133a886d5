use std::net::IpAddr;

use crate::facts::Timestamp;

use super::flow::{FlowSource, FlowState, Protocol};
use super::reading::{Kind, RecordLine};
use super::text::read_time;

/// What a `flow` record tells of attempts past the proxy, as detectors take it. Others chose its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowSeen<'a> {
    /// When the first and the last of them was seen.
    pub first: Timestamp,
    pub last: Timestamp,
    /// The number of the record.
    pub line: u64,
    pub source: FlowSource,
    /// The firewall that told of it, where it was not this machine.
    pub told_by: Option<IpAddr>,
    pub state: Option<FlowState>,
    pub client: Option<IpAddr>,
    pub address: Option<IpAddr>,
    /// 0 for none.
    pub port: u16,
    pub protocol: Option<Protocol>,
    /// Empty where none is known.
    pub rule: &'a str,
    pub count: u64,
    pub bytes_up: Option<u64>,
    pub bytes_down: Option<u64>,
    /// At least so many keys are summed; 0 where it is one.
    pub rolled_up: u64,
}

impl<'a> FlowSeen<'a> {
    /// What a line of the journal tells; `None` where it is of another kind, or does not say who saw it. An address
    /// that is none counts as not known, and a mapped one as what it stands for.
    pub fn of(line: &'a RecordLine<'a>) -> Option<Self> {
        if line.kind != Kind::Flow {
            return None;
        }
        let address = |text: Option<&str>| text?.parse::<IpAddr>().ok().map(|address| address.to_canonical());
        let time = |text: Option<&str>| text.and_then(read_time).unwrap_or(line.time);
        let first = time(line.first.as_deref());
        Some(Self {
            first,
            last: time(line.last.as_deref()).max(first),
            line: line.seq,
            source: match line.source.as_deref()? {
                "nflog" => FlowSource::Nflog,
                "conntrack" => FlowSource::Conntrack,
                "syslog" => FlowSource::Syslog,
                "zeek" => FlowSource::Zeek,
                _ => return None,
            },
            told_by: address(line.told_by.as_deref()),
            state: match line.state.as_deref() {
                Some("refused") => Some(FlowState::Refused),
                Some("dropped") => Some(FlowState::Dropped),
                Some("unanswered") => Some(FlowState::Unanswered),
                Some("reset") => Some(FlowState::Reset),
                Some("established") => Some(FlowState::Established),
                Some("closed") => Some(FlowState::Closed),
                Some(_) | None => None,
            },
            client: address(line.client.as_deref()),
            address: address(line.address.as_deref()),
            port: line.port.unwrap_or_default(),
            protocol: line.protocol.as_deref().and_then(Protocol::parse),
            rule: line.rule.as_deref().unwrap_or_default(),
            count: line.count.unwrap_or(1),
            bytes_up: line.bytes_up,
            bytes_down: line.bytes_down,
            rolled_up: line.rolled_up.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::{Chain, Flow, FlowKey, Record, read_record};

    use super::*;

    fn line(key: FlowKey) -> Vec<u8> {
        let (first, last) = (Timestamp(1_795_510_800_000_000), Timestamp(1_795_510_800_900_000));
        let flow =
            Flow { key, count: 3, packets: None, bytes_up: Some(7), bytes_down: None, rolled_up: None, first, last };
        let mut line = Vec::new();
        Chain::start().append(&Record::Flow(Box::new(flow)).encode(Timestamp(1_795_510_801_000_000)), &mut line);
        line
    }

    #[test]
    fn what_a_flow_record_says_is_read_back_in_every_state() {
        for state in [
            FlowState::Refused,
            FlowState::Dropped,
            FlowState::Unanswered,
            FlowState::Reset,
            FlowState::Established,
            FlowState::Closed,
        ] {
            for source in [FlowSource::Nflog, FlowSource::Conntrack, FlowSource::Syslog, FlowSource::Zeek] {
                let key = FlowKey {
                    state: Some(state),
                    client: Some("::ffff:10.20.0.2".parse().unwrap()),
                    address: Some("2001:db8::7".parse().unwrap()),
                    port: Some(4444),
                    protocol: Some(Protocol::UDP),
                    rule: Some("out-udp".into()),
                    told_by: Some("10.20.0.1".parse().unwrap()),
                    ..FlowKey::of(source)
                };
                let line = line(key);
                let record = read_record(&line).unwrap();
                let seen = FlowSeen::of(&record).unwrap();
                assert_eq!((seen.source, seen.state, seen.port, seen.count), (source, Some(state), 4444, 3));
                assert_eq!((seen.client, seen.rule), ("10.20.0.2".parse().ok(), "out-udp"), "without the mapping");
                assert_eq!((seen.first.0, seen.last.0), (1_795_510_800_000_000, 1_795_510_800_900_000));
                assert_eq!((seen.bytes_up, seen.bytes_down, seen.rolled_up), (Some(7), None, 0));
                assert_eq!(seen.told_by, "10.20.0.1".parse().ok());
            }
        }
    }

    #[test]
    fn what_is_not_known_is_not_made_up_and_other_records_are_none() {
        let line = line(FlowKey::of(FlowSource::Nflog));
        let record = read_record(&line).unwrap();
        let seen = FlowSeen::of(&record).unwrap();
        assert_eq!((seen.client, seen.address, seen.state, seen.port), (None, None, None, 0));
        let other = br#"{"seq":1,"time":"2026-11-24T09:00:00Z","kind":"exchange","source":"nflog"}"#;
        assert_eq!(FlowSeen::of(&read_record(other).unwrap()), None);
        let unknown = br#"{"seq":1,"time":"2026-11-24T09:00:00Z","kind":"flow","source":"tea leaves"}"#;
        assert_eq!(FlowSeen::of(&read_record(unknown).unwrap()), None);
        let hostile = br#"{"seq":1,"time":"2026-11-24T09:00:00Z","kind":"flow","source":"syslog","client":"10.0.0.300",
            "first":"later","state":"gone"}"#;
        let record = read_record(hostile).unwrap();
        let seen = FlowSeen::of(&record).unwrap();
        assert_eq!((seen.client, seen.state, seen.first, seen.last), (None, None, record.time, record.time));
    }
}
