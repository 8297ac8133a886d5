use std::net::{IpAddr, SocketAddr};

use crate::facts::Timestamp;

use super::flow::{FlowSource, FlowState, Protocol};
use super::reading::{Kind, RecordLine};
use super::record::Event;
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
    /// The gate itself took it on its way, and refused it: it is on no record of a flow.
    pub is_captured: bool,
    /// The firewall that told of it, where it was not this machine.
    pub told_by: Option<IpAddr>,
    /// The log of the sensor that told of it; empty where it was none.
    pub sensor: &'a str,
    pub state: Option<FlowState>,
    pub client: Option<IpAddr>,
    pub address: Option<IpAddr>,
    /// 0 for none.
    pub port: u16,
    pub protocol: Option<Protocol>,
    /// Empty where none is known.
    pub rule: &'a str,
    pub count: u64,
    pub packets: Option<u64>,
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
            is_captured: false,
            told_by: address(line.told_by.as_deref()),
            sensor: line.sensor.as_deref().unwrap_or_default(),
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
            packets: line.packets,
            bytes_up: line.bytes_up,
            bytes_down: line.bytes_down,
            rolled_up: line.rolled_up.unwrap_or_default(),
        })
    }

    /// The attempt that an exchange was which went past the proxy and was captured, where the policy let it not pass, or
    /// would not have: then it is what the firewall would have refused. `None` for all others, and for what a rule
    /// lets pass.
    pub fn of_captured(line: &'a RecordLine<'a>) -> Option<Self> {
        let begins = matches!(line.event, Some(Event::Open | Event::Refused | Event::Answered));
        // What was read inside of a tunnel is the tunnel's attempt.
        if line.kind != Kind::Exchange || !begins || line.inside.is_some() {
            return None;
        }
        let meant: SocketAddr = line.captured.as_deref()?.parse().ok()?;
        let verdict = line.would.as_deref().or(line.verdict.as_deref());
        if line.event != Some(Event::Refused) && !matches!(verdict, Some("deny" | "challenge")) {
            return None;
        }
        Some(Self {
            first: line.time,
            last: line.time,
            line: line.seq,
            source: FlowSource::Nflog,
            is_captured: true,
            told_by: None,
            sensor: "",
            state: Some(FlowState::Refused),
            client: line.client.as_deref()?.parse::<IpAddr>().ok().map(|client| client.to_canonical()),
            address: Some(meant.ip().to_canonical()),
            port: meant.port(),
            protocol: Some(Protocol::TCP),
            rule: "",
            count: 1,
            packets: None,
            bytes_up: None,
            bytes_down: None,
            rolled_up: 0,
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
                    sensor: Some("/var/log/zeek/conn.log".into()),
                    ..FlowKey::of(source)
                };
                let line = line(key);
                let record = read_record(&line).unwrap();
                let seen = FlowSeen::of(&record).unwrap();
                assert_eq!((seen.source, seen.state, seen.port, seen.count), (source, Some(state), 4444, 3));
                assert_eq!((seen.client, seen.rule), ("10.20.0.2".parse().ok(), "out-udp"), "without the mapping");
                assert_eq!((seen.first.0, seen.last.0), (1_795_510_800_000_000, 1_795_510_800_900_000));
                assert_eq!((seen.bytes_up, seen.bytes_down, seen.rolled_up), (Some(7), None, 0));
                assert_eq!((seen.told_by, seen.sensor), ("10.20.0.1".parse().ok(), "/var/log/zeek/conn.log"));
                assert!(!seen.is_captured && FlowSeen::of_captured(&record).is_none());
            }
        }
    }

    #[test]
    fn an_exchange_that_was_captured_and_not_let_pass_is_an_attempt_at_where_it_was_going() {
        let seen = |more: &str| {
            let line = format!(
                r#"{{"seq":7,"time":"2026-11-24T09:00:00Z","kind":"exchange","client":"10.50.0.7","host":"c2.example",
                    "port":443,{more}}}"#
            );
            let record = read_record(line.as_bytes()).unwrap();
            assert_eq!(FlowSeen::of(&record), None, "it is no flow");
            FlowSeen::of_captured(&record).map(|seen| (seen.client, seen.address, seen.port, seen.state, seen.count))
        };
        let expected = Some(("10.50.0.7".parse().ok(), "203.0.113.66".parse().ok(), 4443, Some(FlowState::Refused), 1));
        let captured = r#""captured":"203.0.113.66:4443""#;
        for attempt in [
            r#""event":"refused","verdict":"deny","reason":"bypassed_proxy""#,
            r#""event":"answered","verdict":"challenge""#,
            r#""event":"open","verdict":"allow","would":"deny""#,
            r#""event":"refused","reason":"missing_host""#,
        ] {
            assert_eq!(seen(&format!("{attempt},{captured}")), expected, "{attempt}");
            assert_eq!(seen(attempt), None, "it asked the proxy: {attempt}");
        }
        for other in [
            r#""event":"open","verdict":"allow""#,
            r#""event":"close","verdict":"deny""#,
            r#""event":"refused","verdict":"deny","inside":"1K11CSPQZEC""#,
        ] {
            assert_eq!(seen(&format!("{other},{captured}")), None, "{other}");
        }
        assert_eq!(seen(r#""event":"refused","captured":"nowhere""#), None);
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
