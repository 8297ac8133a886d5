use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::facts::Timestamp;

use super::moment;
use super::text::Text;

/// A client had a name for a time. As a record it is of kind `device`; a later one of the same source, client, name,
/// hardware and beginning takes its place. One that ends when it begins is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// An address, or of a table a prefix too.
    #[serde(serialize_with = "write_client", deserialize_with = "read_client")]
    pub client: IpNet,
    /// The device: in a table the name that an administrator gave it, in a lease what the client calls itself, or its
    /// hardware address where it gave no name.
    pub name: Text,
    /// Its hardware address as its source has it, in lower case; of leases for IPv6 the DUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hardware: Option<Text>,
    pub source: DeviceSource,
    /// 1970 where it began before all records.
    #[serde(with = "moment")]
    pub since: Timestamp,
    /// Where absent it holds until another record says otherwise.
    #[serde(default, with = "moment::perhaps", skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// Who says which device a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceSource {
    /// A table of the administrator's: the name is assigned.
    Table,
    /// A lease, whose hardware address the table has a name for: assigned, as far as hardware addresses are not forged.
    TableByHardware,
    /// A lease of Kea, or of dnsmasq: the name is claimed by the client.
    Kea,
    Dnsmasq,
}

/// Which device a client is at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified<'d> {
    /// What names it has then, the one that counts first; empty where only its address is known.
    pub names: Vec<&'d Assignment>,
    pub certainty: Certainty,
}

/// How sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// A validity covers the time, and none contradicts it.
    Known,
    /// Only an address is known, or two names overlap.
    Uncertain,
}

/// A device had an address for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSpan {
    pub client: IpNet,
    pub from: Timestamp,
    /// Where the range that was asked for ends, or before.
    pub until: Timestamp,
    pub certainty: Certainty,
}

/// Which device was which client, and when: a fold over records of kind `device`.
#[derive(Debug, Default)]
pub struct Devices {
    addresses: BTreeMap<IpAddr, Vec<Assignment>>,
    prefixes: BTreeMap<IpNet, Vec<Assignment>>,
    count: usize,
    beyond: u64,
}

/// So many assignments are held in all, and of one client; what would be one more is counted and left out.
const ASSIGNMENTS_MAX: usize = 1_000_000;
const CLIENT_ASSIGNMENTS_MAX: usize = 4096;
/// So many spans of a device are told of: each is held against all others.
const SPANS_MAX: usize = 2000;

impl DeviceSource {
    /// As records have it.
    pub fn as_str(self) -> &'static str {
        match self {
            DeviceSource::Table => "table",
            DeviceSource::TableByHardware => "table_by_hardware",
            DeviceSource::Kea => "kea",
            DeviceSource::Dnsmasq => "dnsmasq",
        }
    }

    /// The one that [`DeviceSource::as_str`] names.
    pub fn named(text: &str) -> Option<Self> {
        [Self::Table, Self::TableByHardware, Self::Kea, Self::Dnsmasq].into_iter().find(|one| one.as_str() == text)
    }

    /// Whether an administrator gave the name; otherwise the client chose it.
    pub fn is_assigned(self) -> bool {
        match self {
            DeviceSource::Table | DeviceSource::TableByHardware => true,
            DeviceSource::Kea | DeviceSource::Dnsmasq => false,
        }
    }
}

impl Assignment {
    /// Whether it holds at a time: from its beginning up to, not including, its end.
    pub fn covers(&self, time: Timestamp) -> bool {
        self.since <= time && self.until.is_none_or(|until| time < until)
    }

    /// Whether one takes the place of the other.
    fn is_same(&self, other: &Self) -> bool {
        (self.source, self.client, self.since) == (other.source, other.client, other.since)
            && self.name == other.name
            && self.hardware == other.hardware
    }

    /// The address, where it is one.
    fn address(&self) -> Option<IpAddr> {
        (self.client.prefix_len() == self.client.max_prefix_len()).then(|| self.client.addr().to_canonical())
    }
}

impl Devices {
    /// Takes an assignment up, in the order of the records.
    pub fn note(&mut self, assignment: Assignment) {
        let known = match assignment.address() {
            Some(address) => self.addresses.entry(address).or_default(),
            None => self.prefixes.entry(assignment.client.trunc()).or_default(),
        };
        if let Some(same) = known.iter_mut().rev().find(|same| same.is_same(&assignment)) {
            same.until = assignment.until;
        } else if self.count >= ASSIGNMENTS_MAX || known.len() >= CLIENT_ASSIGNMENTS_MAX {
            self.beyond = self.beyond.saturating_add(1);
        } else {
            known.push(assignment);
            self.count += 1;
        }
    }

    /// How many were left out, as there were too many.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// All of them, by client.
    pub fn iter(&self) -> impl Iterator<Item = &Assignment> {
        self.addresses.values().chain(self.prefixes.values()).flatten()
    }

    /// Which device a client is at a time.
    ///
    /// A name that is assigned goes before one that is claimed, and an address before a prefix, the longest first. It is
    /// uncertain where none holds, where the best are two, and where a lease of the time shows another hardware address
    /// than an assigned name has. That a client claims another name than it was assigned makes nothing uncertain, or
    /// any client could do so.
    pub fn at(&self, client: IpAddr, time: Timestamp) -> Identified<'_> {
        let client = client.to_canonical();
        let holding = |all: &'_ Vec<Assignment>| all.iter().filter(|one| one.covers(time)).count() > 0;
        let exact = self.addresses.get(&client).into_iter().flatten();
        let around: Vec<&Vec<Assignment>> = self
            .prefixes
            .iter()
            .filter(|(prefix, all)| prefix.contains(&client) && holding(all))
            .map(|(_, all)| all)
            .collect();
        let longest = around.into_iter().max_by_key(|all| all.first().map(|one| one.client.prefix_len()));
        let (mut assigned, claimed): (Vec<&Assignment>, Vec<&Assignment>) =
            exact.filter(|one| one.covers(time)).partition(|one| one.source.is_assigned());
        if assigned.is_empty() {
            assigned.extend(longest.into_iter().flatten().filter(|one| one.covers(time)));
        }
        let is_certain = match (assigned.first(), claimed.first()) {
            (Some(first), _) => {
                let other_machine =
                    |one: &&Assignment| matches!((&one.hardware, &first.hardware), (Some(a), Some(b)) if a != b);
                assigned.iter().all(|one| one.name == first.name) && !claimed.iter().any(other_machine)
            }
            (None, Some(first)) => claimed.iter().all(|one| one.name == first.name),
            (None, None) => false,
        };
        let mut names: Vec<&Assignment> = Vec::new();
        for one in assigned.into_iter().chain(claimed) {
            if !names.iter().any(|known| known.name == one.name) {
                names.push(one);
            }
        }
        Identified { names, certainty: if is_certain { Certainty::Known } else { Certainty::Uncertain } }
    }

    /// Which clients a device was between two times, by client and time. Names are compared without the case of ASCII
    /// letters. A span is uncertain where its client is so at any time of it, or where another client has the name then
    /// with another hardware address: whoever claims another's name is not it. At most 2,000 assignments are looked at.
    pub fn spans(&self, name: &str, from: Timestamp, until: Timestamp) -> Vec<DeviceSpan> {
        let is_it = |one: &&Assignment| one.name.as_str().eq_ignore_ascii_case(name);
        let own: Vec<(&Assignment, Timestamp, Timestamp)> = self
            .iter()
            .filter(is_it)
            .map(|one| (one, one.since.max(from), one.until.unwrap_or(until).min(until)))
            .filter(|(_, begin, end)| begin < end)
            .take(SPANS_MAX)
            .collect();
        let mut spans: Vec<DeviceSpan> = Vec::new();
        for (one, begin, end) in &own {
            let is_doubled = own.iter().any(|(other, other_begin, other_end)| {
                other.client != one.client
                    && other.hardware != one.hardware
                    && (other.source.is_assigned() || !one.source.is_assigned())
                    && other_begin < end
                    && begin < other_end
            });
            let is_uncertain = is_doubled || self.is_doubted(one, *begin, *end);
            let certainty = if is_uncertain { Certainty::Uncertain } else { Certainty::Known };
            let next = DeviceSpan { client: one.client, from: *begin, until: *end, certainty };
            match spans.last_mut() {
                Some(last) if last.client == next.client && last.certainty == certainty && next.from <= last.until => {
                    last.from = last.from.min(next.from);
                    last.until = last.until.max(next.until);
                }
                Some(_) | None => spans.push(next),
            }
        }
        spans.sort_by_key(|span| (span.client, span.from));
        spans
    }

    /// Whether another name counts for its client at some time of a span, or the same is uncertain.
    fn is_doubted(&self, one: &Assignment, begin: Timestamp, end: Timestamp) -> bool {
        let Some(address) = one.address() else { return false };
        let others = self.addresses.get(&address).into_iter().flatten();
        let turns = others.map(|other| other.since).filter(|turn| begin < *turn && *turn < end);
        turns.chain([begin]).any(|time| {
            let found = self.at(address, time);
            found.certainty == Certainty::Uncertain || found.names.first().is_none_or(|first| first.name != one.name)
        })
    }
}

/// A client as records have it: an address, or a prefix.
pub fn client_text(client: &IpNet) -> String {
    if client.prefix_len() == client.max_prefix_len() { client.addr().to_string() } else { client.to_string() }
}

/// Reads what [`client_text`] wrote, or a person did; an address of IPv4 within IPv6 is that of IPv4.
pub fn client_of(text: &str) -> Option<IpNet> {
    match text.parse::<IpAddr>() {
        Ok(address) => Some(IpNet::from(address.to_canonical())),
        Err(_) => text.parse::<IpNet>().ok().map(|net| net.trunc()),
    }
}

fn write_client<S: Serializer>(client: &IpNet, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&client_text(client))
}

fn read_client<'de, D: Deserializer<'de>>(deserializer: D) -> Result<IpNet, D::Error> {
    client_of(&String::deserialize(deserializer)?).ok_or_else(|| D::Error::custom("it is no address or prefix"))
}

#[cfg(test)]
mod tests;
