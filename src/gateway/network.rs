use std::net::IpAddr;

use ipnet::IpNet;
use jiff::civil::Date;

use crate::evidence::{Inside, InsideSegment};
use crate::parse::{Placed, Section};
use crate::policy::prefixes;

use super::model::Ports;

/// Segments, at most.
const SEGMENTS_MAX: usize = 64;
/// Exceptions, at most.
const EXCEPTIONS_MAX: usize = 256;
/// Entries of one list, at most: each is a line of the rules, or several.
const ENTRIES_MAX: usize = 64;
/// A name stands in chains and counters; iptables takes 28 bytes.
const NAME_BYTES_MAX: usize = 20;
/// What the kernel takes as the name of an interface.
const INTERFACE_BYTES_MAX: usize = 15;
const REASON_BYTES_MAX: usize = 200;

/// The network as its gateway sees it; `[network]`.
#[derive(Debug, Clone)]
pub struct Network {
    /// By name.
    pub segments: Vec<Segment>,
    /// The addresses at which clients reach the gate.
    pub gate: Vec<IpAddr>,
    /// Its TCP ports.
    pub gate_ports: Vec<Ports>,
    /// Ports of this machine, TCP and UDP, that nothing uses: who touches one is told of.
    pub tripwires: Vec<Ports>,
    /// Interfaces that lead outside, at least one.
    pub outside: Vec<String>,
    /// Name servers that machines inside may ask.
    pub resolvers: Vec<IpAddr>,
    /// Time servers that they may ask.
    pub time_servers: Vec<IpAddr>,
    /// In the order in which they stand in the file.
    pub exceptions: Vec<Exception>,
    pub refusal: Refusal,
    /// The group of NFLOG to which refused packets go.
    pub nflog_group: u16,
    /// What of that which goes past the gate is brought to it.
    pub capture: Option<Captured>,
}

/// Connections on their way outside that are brought to the gate, which runs on this machine.
#[derive(Debug, Clone)]
pub struct Captured {
    pub by: CaptureBy,
    /// Where the gate takes them.
    pub port: u16,
    /// The TCP ports to which they were going, at least one.
    pub ports: Vec<Ports>,
}

/// How they come there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureBy {
    /// Their destination is changed to this machine.
    Redirect,
    /// It stays as it is, and routing lets them stay here.
    Tproxy,
}

/// Machines that are treated alike.
#[derive(Debug, Clone)]
pub struct Segment {
    /// 1 to 20 small letters, digits and `-`, a letter first.
    pub name: String,
    pub role: Role,
    /// Of either family; they overlap with no other segment's.
    pub addresses: Vec<IpNet>,
    /// The gateway's interface to it, if it is one alone.
    pub interface: Option<String>,
    /// Of a critical segment: whether it may reach the gate.
    pub through_gate: bool,
}

/// What a segment is for, which says whom it reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// PCs. They reach servers and the gate, and never one another.
    Clients,
    /// What clients are to reach. They reach servers and the gate.
    Servers,
    /// From where machines are administered. It reaches every segment, and no other segment reaches it.
    Management,
    /// Plants, machines, what must not be touched. It reaches nothing; the gate where it says so.
    Critical,
    /// The network in which the gate stands, where it has one of its own. Nothing is reached there but the gate.
    Gateway,
}

/// How it is told to who is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// At once: programs fail fast.
    Reject,
    /// Not at all.
    Drop,
}

/// Something let through for a time.
#[derive(Debug, Clone)]
pub struct Exception {
    pub from: Vec<Place>,
    pub to: Vec<Place>,
    pub protocol: Protocol,
    /// Of TCP and UDP alone; empty for all.
    pub ports: Vec<Ports>,
    pub reason: String,
    /// The last day on which it holds.
    pub until: Date,
    /// Whether it holds in a lockdown too.
    pub essential: bool,
    /// The line of the config.
    pub line: u32,
}

/// An end of an exception.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A segment, by its name.
    Segment(String),
    Prefix(IpNet),
    /// Whatever no segment holds, over the outside interfaces.
    Outside,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
    Icmp,
    Any,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Clients => "clients",
            Role::Servers => "servers",
            Role::Management => "management",
            Role::Critical => "critical",
            Role::Gateway => "gateway",
        }
    }
}

impl Network {
    /// Reads `[network]`, its segments and its exceptions. What is wrong is reported to the section.
    pub fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let gate = addresses(section, "gate");
        section.need_some("gate", "[\"10.20.0.1\"]");
        let gate_ports = ports(section, "gate_ports");
        let tripwires = ports(section, "tripwires").unwrap_or_default();
        let outside = interfaces(section, "outside");
        section.need_some("outside", "[\"wan0\"]");
        let resolvers = addresses(section, "resolvers").unwrap_or_default();
        let time_servers = addresses(section, "time_servers").unwrap_or_default();
        let words = [("reject", Refusal::Reject), ("drop", Refusal::Drop)];
        let refusal = section.word("refuse", &words).unwrap_or(Refusal::Reject);
        let group = section.integer("nflog_group", 0..=u64::from(u16::MAX)).unwrap_or(5);
        let capture = Captured::read(section);
        let segments = read_segments(section);
        for segment in &segments {
            let Some(interface) = &segment.interface else { continue };
            if outside.iter().flatten().any(|named| named == interface) {
                let place = section.place_of_key("outside").unwrap_or_else(|| section.place().clone());
                let what = format!("`{interface}` leads outside and to the segment `{}`", segment.name);
                section.problem(&place, what, "name it in one of both");
            }
        }
        let exceptions = read_exceptions(section, &segments);
        let gate_ports = gate_ports.unwrap_or_else(|| vec![Ports::one(3128)]);
        refuse_used(section, &tripwires, &gate_ports);
        Some(Self {
            segments,
            gate: gate?,
            gate_ports,
            tripwires,
            outside: outside?,
            resolvers,
            time_servers,
            exceptions,
            refusal,
            nflog_group: u16::try_from(group).unwrap_or(5),
            capture,
        })
    }

    /// The prefixes of the segments of these roles.
    pub fn prefixes_of(&self, roles: &[Role]) -> Vec<IpNet> {
        let segments = self.segments.iter().filter(|segment| roles.contains(&segment.role));
        segments.flat_map(|segment| segment.addresses.iter().copied()).collect()
    }

    /// Who may be inside, and where.
    pub fn inside(&self) -> Inside {
        let segment = |segment: &Segment| InsideSegment {
            name: segment.name.as_str().into(),
            addresses: segment.addresses.clone(),
            interface: segment.interface.as_deref().map(Into::into),
        };
        Inside::new(self.segments.iter().map(segment).collect())
    }

    /// The segment that holds the address.
    pub fn segment_of(&self, address: IpAddr) -> Option<&Segment> {
        self.segments.iter().find(|segment| segment.addresses.iter().any(|net| net.contains(&address)))
    }
}

/// A port that is used is no tripwire.
fn refuse_used(section: &mut Section<'_, '_>, tripwires: &[Ports], gate_ports: &[Ports]) {
    for trap in tripwires {
        if let Some(used) = gate_ports.iter().find(|used| used.first <= trap.last && trap.first <= used.last) {
            let place = section.place_of_key("tripwires").unwrap_or_else(|| section.place().clone());
            section.problem(&place, format!("{trap} is used by the gate ({used})"), "name ports that nothing uses");
        }
    }
}

impl Captured {
    fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let by = section.word("capture", &[("redirect", CaptureBy::Redirect), ("tproxy", CaptureBy::Tproxy)]);
        let port = section.integer("capture_port", 1..=u64::from(u16::MAX)).unwrap_or(3130);
        let ports = ports(section, "capture_ports").unwrap_or_else(|| [80, 443].map(Ports::one).to_vec());
        if !section.has("capture") {
            for place in ["capture_port", "capture_ports"].into_iter().filter_map(|key| section.place_of_key(key)) {
                let fix = "add capture = \"redirect\" or \"tproxy\", or take the line away";
                section.problem(&place, "nothing is captured: `capture` does not say how", fix);
            }
        }
        Some(Self { by: by?, port: u16::try_from(port).unwrap_or_default(), ports })
    }
}

fn read_segments(section: &mut Section<'_, '_>) -> Vec<Segment> {
    let tables = section.named_tables("segments");
    if tables.is_empty() && !section.has("segments") {
        let place = section.place().clone();
        section.problem(&place, "there are no segments", "write a [network.segments.NAME] for each network inside");
    }
    let mut segments: Vec<Segment> = Vec::new();
    for (name, mut table) in tables {
        let segment = Segment::read(&name, &mut table);
        table.finish();
        if segments.len() == SEGMENTS_MAX {
            table.problem(&name.place, format!("there are more than {SEGMENTS_MAX} segments"), "join some of them");
            break;
        }
        let Some(segment) = segment else { continue };
        if let Some((ours, other, theirs)) = overlap(&segment, &segments) {
            let place = table.place_of_key("addresses").unwrap_or_else(|| table.place().clone());
            let what = if other == segment.name {
                format!("{ours} and {theirs} of `{other}` overlap")
            } else {
                format!("{ours} of `{}` overlaps with {theirs} of `{other}`", segment.name)
            };
            table.problem(&place, what, "an address belongs to one segment: divide the prefixes");
        }
        segments.push(segment);
    }
    segments
}

/// A prefix of the segment, and another's prefix that shares addresses with it.
fn overlap<'s>(segment: &'s Segment, others: &'s [Segment]) -> Option<(IpNet, &'s str, IpNet)> {
    let share = |a: &IpNet, b: &IpNet| a.contains(b) || b.contains(a);
    for (at, ours) in segment.addresses.iter().enumerate() {
        let own = segment.addresses.iter().skip(at + 1).map(|net| (&*segment.name, net));
        let theirs = others.iter().flat_map(|other| other.addresses.iter().map(|net| (&*other.name, net)));
        for (name, net) in own.chain(theirs) {
            if share(ours, net) {
                return Some((*ours, name, *net));
            }
        }
    }
    None
}

impl Segment {
    fn read(name: &Placed<String>, table: &mut Section<'_, '_>) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let good = name.value.len() <= NAME_BYTES_MAX
            && name.value.starts_with(|first: char| first.is_ascii_lowercase())
            && name.value.bytes().all(plain)
            && name.value != "outside";
        if !good {
            let what = format!("a segment cannot be called {:?}", name.value);
            let fix = "write 1 to 20 small letters, digits or `-`, a letter first; `outside` is taken";
            table.problem(&name.place, what, fix);
        }
        let words = [Role::Clients, Role::Servers, Role::Management, Role::Critical, Role::Gateway];
        let role = table.word("role", &words.map(|role| (role.as_str(), role)));
        if !table.has("role") {
            let fix = "write role = \"clients\", \"servers\", \"management\", \"critical\" or \"gateway\"";
            table.problem(&table.place().clone(), "`role` is missing", fix);
        }
        let addresses = prefixes(table, "addresses");
        table.need_some("addresses", "[\"10.20.0.0/16\", \"fd00:20::/32\"]");
        refuse_many(table, "addresses", addresses.as_ref().map_or(0, Vec::len));
        let interface = table.string("interface").and_then(|name| interface_name(table, name));
        let through_gate = table.boolean("through_gate");
        if through_gate.is_some() && role.is_some_and(|role| role != Role::Critical) {
            let place = table.place_of_key("through_gate").unwrap_or_else(|| table.place().clone());
            let what = "`through_gate` is for critical segments: every other reaches the gate";
            table.problem(&place, what, "take the line away");
        }
        Some(Self {
            name: name.value.clone(),
            role: role?,
            addresses: addresses?,
            interface,
            through_gate: through_gate.unwrap_or(false),
        })
    }
}

fn read_exceptions(section: &mut Section<'_, '_>, segments: &[Segment]) -> Vec<Exception> {
    let mut exceptions = Vec::new();
    if !section.has("exception") {
        section.ignore("exception");
        return exceptions;
    }
    for mut table in section.tables("exception") {
        let exception = Exception::read(&mut table, segments);
        table.finish();
        if exceptions.len() == EXCEPTIONS_MAX {
            let what = format!("there are more than {EXCEPTIONS_MAX} exceptions");
            table.problem(&table.place().clone(), what, "join some of them");
            break;
        }
        exceptions.extend(exception);
    }
    exceptions
}

impl Exception {
    fn read(table: &mut Section<'_, '_>, segments: &[Segment]) -> Option<Self> {
        let line = table.place().line;
        let from = places(table, "from", segments);
        table.need_some("from", "[\"office\"]");
        let to = places(table, "to", segments);
        table.need_some("to", "[\"198.51.100.7\"]");
        let words = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp), ("icmp", Protocol::Icmp), ("any", Protocol::Any)];
        let protocol = table.word("protocol", &words);
        if !table.has("protocol") {
            let fix = "write protocol = \"tcp\", \"udp\", \"icmp\" or \"any\"";
            table.problem(&table.place().clone(), "`protocol` is missing", fix);
        }
        let has_ports = table.has("ports");
        let ports = ports(table, "ports");
        if has_ports && matches!(protocol, Some(Protocol::Icmp | Protocol::Any)) {
            let place = table.place_of_key("ports").unwrap_or_else(|| table.place().clone());
            table.problem(&place, "`ports` are of tcp and udp alone", "name one of these, or take `ports` away");
        }
        let reason = table.string("reason");
        match &reason {
            None if table.has("reason") => {}
            None => table.problem(&table.place().clone(), "`reason` is missing", "say in one sentence what it is for"),
            Some(reason) => {
                let text = reason.value.trim();
                if text.is_empty() || text.len() > REASON_BYTES_MAX || text.chars().any(char::is_control) {
                    let what = format!("`reason` has 1 to {REASON_BYTES_MAX} bytes, on one line");
                    table.problem(&reason.place, what, "say in one sentence what it is for");
                }
            }
        }
        let until = table.string("until");
        if until.is_none() && !table.has("until") {
            let fix = "write its last day, as in until = \"2026-12-31\"";
            table.problem(&table.place().clone(), "`until` is missing: an exception ends", fix);
        }
        let essential = table.boolean("essential").unwrap_or(false);
        let until = until.and_then(|text| match text.value.parse::<Date>() {
            Ok(date) => Some(date),
            Err(_) => {
                let what = format!("`{}` is no date", text.value);
                table.problem(&text.place, what, "write the last day, as in \"2026-12-31\"");
                None
            }
        });
        if let (Some(from), Some(to)) = (&from, &to)
            && from.contains(&Place::Outside)
            && to.contains(&Place::Outside)
        {
            table.problem(&table.place().clone(), "both ends are outside", "name a segment or addresses on one side");
        }
        let reason = reason?.value.trim().to_owned();
        Some(Self {
            from: from?,
            to: to?,
            protocol: protocol?,
            ports: ports.unwrap_or_default(),
            reason,
            until: until?,
            essential,
            line,
        })
    }
}

fn places(table: &mut Section<'_, '_>, key: &'static str, segments: &[Segment]) -> Option<Vec<Place>> {
    let texts = table.strings_or_one(key)?;
    refuse_many(table, key, texts.len());
    let mut places = Vec::with_capacity(texts.len());
    for text in texts {
        let prefix = text.value.parse::<IpNet>().or_else(|_| text.value.parse::<IpAddr>().map(IpNet::from));
        match prefix {
            Ok(net) if net.trunc() == net => places.push(Place::Prefix(net)),
            Ok(net) => {
                let what = format!("`{}` has bits set behind its prefix length", text.value);
                table.problem(&text.place, what, format!("write {}", net.trunc()));
            }
            Err(_) if text.value == "outside" => places.push(Place::Outside),
            Err(_) if segments.iter().any(|segment| segment.name == text.value) => {
                places.push(Place::Segment(text.value));
            }
            Err(_) => {
                let names = segments.iter().map(|segment| &*segment.name);
                let fix = crate::parse::did_you_mean(&text.value, names)
                    .unwrap_or_else(|| "name a segment, an address, a prefix, or \"outside\"".to_owned());
                table.problem(&text.place, format!("there is no segment `{}`", text.value), fix);
            }
        }
    }
    Some(places)
}

fn addresses(section: &mut Section<'_, '_>, key: &'static str) -> Option<Vec<IpAddr>> {
    let texts = section.strings(key)?;
    refuse_many(section, key, texts.len());
    let mut addresses = Vec::with_capacity(texts.len());
    for text in texts {
        match text.value.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => {
                let what = format!("`{}` is no address", text.value);
                section.problem(&text.place, what, "write it like \"10.20.0.1\" or \"fd00:20::1\"");
            }
        }
    }
    Some(addresses)
}

/// Ports and ranges of them: `443` and `"8000-8010"`, as strings or numbers.
fn ports(section: &mut Section<'_, '_>, key: &'static str) -> Option<Vec<Ports>> {
    let texts = section.numbers_or_strings(key)?;
    refuse_many(section, key, texts.len());
    let place = section.place_of_key(key).unwrap_or_else(|| section.place().clone());
    if texts.is_empty() {
        section.problem(&place, format!("`{key}` is empty"), "write ports, as in [443, \"8000-8010\"]");
    }
    let mut ports = Vec::with_capacity(texts.len());
    for text in texts {
        match Ports::parse(&text.value) {
            Some(range) => ports.push(range),
            None => {
                let what = format!("`{}` is no port and no range of ports", text.value);
                section.problem(&text.place, what, "write a number from 1 to 65535, or a range as \"8000-8010\"");
            }
        }
    }
    ports.sort_unstable();
    if let Some([a, b]) = ports.windows(2).find_map(|pair| match pair {
        [a, b] if b.first <= a.last => Some([*a, *b]),
        _ => None,
    }) {
        section.problem(&place, format!("{a} and {b} overlap"), "write each port once");
    }
    Some(ports)
}

fn interfaces(section: &mut Section<'_, '_>, key: &'static str) -> Option<Vec<String>> {
    let texts = section.strings(key)?;
    refuse_many(section, key, texts.len());
    Some(texts.into_iter().filter_map(|text| interface_name(section, text)).collect())
}

/// A whole name: patterns (`eth+`, `eth*`) would match more than one means.
fn interface_name(section: &Section<'_, '_>, name: Placed<String>) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@');
    if name.value.is_empty() || name.value.len() > INTERFACE_BYTES_MAX || !name.value.bytes().all(plain) {
        let what = format!("`{}` is no name of an interface", name.value);
        section.problem(&name.place, what, "write one as `ip link` shows it, of 1 to 15 characters");
        return None;
    }
    Some(name.value)
}

fn refuse_many(section: &Section<'_, '_>, key: &str, count: usize) {
    if count > ENTRIES_MAX {
        let place = section.place_of_key(key).unwrap_or_else(|| section.place().clone());
        section.problem(
            &place,
            format!("`{key}` has more than {ENTRIES_MAX} entries"),
            "write prefixes that hold several",
        );
    }
}

#[cfg(test)]
mod tests;
