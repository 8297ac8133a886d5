use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize, Serializer};

use crate::facts::Timestamp;

use super::moment;
use super::text::Text;

/// Attempts of a client to connect that did not come through the proxy, summed: those of one [`FlowKey`] within a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Flow {
    #[serde(flatten)]
    pub key: FlowKey,
    /// What was summed: packets where the kernel's log told of them, else connections or lines.
    pub count: u64,
    /// What the connections carried, where that was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_up: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_down: Option<u64>,
    /// There were too many to tell them apart: at least so many keys are summed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_up: Option<u64>,
    /// When the first and the last of them was seen.
    #[serde(with = "moment")]
    pub first: Timestamp,
    #[serde(with = "moment")]
    pub last: Timestamp,
}

/// What is summed together. What is not known, or was given up in a roll-up, is absent.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct FlowKey {
    pub source: FlowSource,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<FlowState>,
    /// Where it came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<IpAddr>,
    /// Where it was to go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Where the client meant to go, where this machine has led it to `address` instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meant: Option<SocketAddr>,
    /// Its name, where who told of it knew one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Protocol>,
    /// The rule of the firewall that stopped it, or its prefix in the log where it is not one of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<Text>,
    /// Which firewall told of it, where it was not this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told_by: Option<IpAddr>,
    /// The log of the sensor that told of it, by its path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sensor: Option<Text>,
    /// The line that told of it, where it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw: Option<Text>,
    /// Whose clients are summed in a roll-up that names none of them: those of a segment, or strangers that came in there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<Text>,
}

impl FlowKey {
    /// One of which nothing is known but who told of it.
    pub fn of(source: FlowSource) -> Self {
        Self {
            source,
            state: None,
            client: None,
            address: None,
            meant: None,
            host: None,
            port: None,
            protocol: None,
            rule: None,
            told_by: None,
            sensor: None,
            raw: None,
            segment: None,
            interface: None,
        }
    }
}

/// The rule by which the gateway's firewall stops what touches a tripwire.
pub const TRIPWIRE_RULE: &str = "tripwire";
/// How the rules begin by which it stops what a critical segment tries.
pub const CRITICAL_RULES: &str = "critical-";

/// The rule by which it stops what strangers outside begin.
pub const OUTSIDE_RULE: &str = "from-outside";
/// The rule by which it stops name and service discovery that goes to all of a segment.
pub const DISCOVERY_RULE: &str = "discovery";
/// The rules of both. The internet tries every address all day, and every PC calls out to its segment: nobody who is ours has
/// done anything by it that another has not.
pub const BACKGROUND_RULES: [&str; 2] = [OUTSIDE_RULE, DISCOVERY_RULE];

/// Whether this machine's firewall stopped it at a rule of which one touch says enough. Other firewalls' lines can say
/// anything.
pub(super) fn is_pressing(key: &FlowKey) -> bool {
    let rule = key.rule.as_ref().map(Text::as_str).unwrap_or_default();
    key.source == FlowSource::Nflog && (rule == TRIPWIRE_RULE || rule.starts_with(CRITICAL_RULES))
}

/// Who saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowSource {
    /// The log of this machine's firewall.
    Nflog,
    /// This machine's tracking of connections.
    Conntrack,
    /// Another firewall.
    Syslog,
    Zeek,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowState {
    /// The firewall stopped it and said so to the client.
    Refused,
    /// The firewall stopped it without a word.
    Dropped,
    /// Nothing came back.
    Unanswered,
    /// One side broke it off, or the other did not take it.
    Reset,
    /// It stands, or the firewall let it pass.
    Established,
    /// It ended.
    Closed,
}

/// A protocol above IP, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    pub const ICMP: Self = Self(1);
    pub const TCP: Self = Self(6);
    pub const UDP: Self = Self(17);
    pub const ICMPV6: Self = Self(58);

    /// What [`fmt::Display`] writes, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let named = [Self::TCP, Self::UDP, Self::ICMP, Self::ICMPV6];
        let names = ["tcp", "udp", "icmp", "icmpv6"];
        let known = names.iter().zip(named).find(|(name, _)| name.eq_ignore_ascii_case(text));
        known.map(|(_, protocol)| protocol).or_else(|| text.parse().ok().map(Self))
    }

    /// Whether it has ports at all.
    pub fn has_ports(self) -> bool {
        // DCCP, SCTP and UDP-Lite have theirs where TCP and UDP do.
        matches!(self.0, 6 | 17 | 33 | 132 | 136)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::TCP => f.write_str("tcp"),
            Self::UDP => f.write_str("udp"),
            Self::ICMP => f.write_str("icmp"),
            Self::ICMPV6 => f.write_str("icmpv6"),
            Self(number) => number.fmt(f),
        }
    }
}

impl Serialize for Protocol {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::{Chain, Kind, Record, read_record};

    use super::*;

    #[test]
    fn a_protocol_is_read_by_its_name_and_by_its_number() {
        for number in 0..=255 {
            let protocol = Protocol(number);
            assert_eq!(Protocol::parse(&protocol.to_string()), Some(protocol));
        }
        assert_eq!(Protocol::parse("UDP"), Some(Protocol::UDP));
        assert_eq!(Protocol::parse("6"), Some(Protocol::TCP));
        for text in ["", "tcp ", "256", "-1", "gre"] {
            assert_eq!(Protocol::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_flow_is_one_line_and_what_is_not_known_is_not_on_it() {
        let flow = Flow {
            key: FlowKey {
                state: Some(FlowState::Refused),
                client: Some("10.20.0.2".parse().unwrap()),
                address: Some("2001:db8::7".parse().unwrap()),
                port: Some(4444),
                protocol: Some(Protocol::TCP),
                rule: Some("out-tcp".into()),
                ..FlowKey::of(FlowSource::Nflog)
            },
            count: 3,
            packets: None,
            bytes_up: None,
            bytes_down: None,
            rolled_up: None,
            first: Timestamp(1_795_510_800_000_000),
            last: Timestamp(1_795_510_800_900_000),
        };
        let members = Record::Flow(Box::new(flow)).encode(Timestamp(1_795_510_801_000_000));
        let text = String::from_utf8(members.clone()).unwrap();
        let expected = r#""kind":"flow","source":"nflog","state":"refused","client":"10.20.0.2","address":"2001:db8::7","port":4444,"protocol":"tcp","rule":"out-tcp","count":3,"first":"#;
        assert!(text.contains(expected), "{text}");
        let mut line = Vec::new();
        Chain::start().append(&members, &mut line);
        let read = read_record(&line).unwrap();
        assert_eq!((read.kind, read.client.as_deref(), read.port), (Kind::Flow, Some("10.20.0.2"), Some(4444)));
        assert_eq!((read.state.as_deref(), read.protocol.as_deref()), (Some("refused"), Some("tcp")));
        assert_eq!((read.address.as_deref(), read.rule.as_deref()), (Some("2001:db8::7"), Some("out-tcp")));
        assert_eq!((read.source.as_deref(), read.count), (Some("nflog"), Some(3)));
    }
}
