//! Attempts past the proxy, labelled: what must be told of, and its benign twin that must not.

use crate::detect::{Detector, Inside, Limits, Settings, Zone, ZoneRole};
use crate::evidence::{Finding, FindingKind, FlowSeen, FlowSource, FlowState, Protocol};
use crate::facts::Timestamp;

use super::traffic::{Entry, START};

mod abuse;
mod background;
mod bounds;
mod calls;
mod guesses;
mod peers;
mod scans;
mod sources;
mod staging;
mod traps;
mod volumes;

pub(super) use FlowState::{Closed, Dropped, Established, Refused, Reset, Unanswered};

/// A PC, a server, the machine that scans, a machine of the plant, and one outside.
const PC: &str = "10.20.0.5";
const SERVER: &str = "10.30.0.2";
const SCANNER: &str = "10.30.0.9";
const PRESS: &str = "10.50.0.7";
const STRANGER: &str = "203.0.113.66";

/// A record of attempts, so many seconds after [`START`].
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub at: f64,
    pub client: String,
    pub to: String,
    pub port: u16,
    pub protocol: Protocol,
    pub state: Option<FlowState>,
    pub source: FlowSource,
    pub told_by: Option<&'static str>,
    pub sensor: &'static str,
    pub rule: &'static str,
    pub count: u64,
    pub packets: Option<u64>,
    pub up: Option<u64>,
    pub down: Option<u64>,
    pub keys: u64,
}

pub(super) fn seen(at: f64, client: &str, to: &str, port: u16, state: FlowState) -> Seen {
    let is_of_wall = matches!(state, Refused | Dropped);
    Seen {
        at,
        client: client.to_owned(),
        to: to.to_owned(),
        port,
        protocol: Protocol::TCP,
        state: Some(state),
        source: if is_of_wall { FlowSource::Nflog } else { FlowSource::Conntrack },
        told_by: None,
        sensor: "",
        rule: "",
        count: 1,
        packets: None,
        up: None,
        down: None,
        keys: 0,
    }
}

/// One that ended, and what it carried.
pub(super) fn ended(at: f64, client: &str, to: &str, port: u16, (up, down): (u64, u64)) -> Seen {
    Seen { up: Some(up), down: Some(down), ..seen(at, client, to, port, Closed) }
}

/// A line of a journal.
#[derive(Debug, Clone)]
pub(super) enum Line {
    Flow(Seen),
    Exchange(Box<Entry>),
}

impl Line {
    fn time(&self) -> u64 {
        match self {
            Self::Flow(seen) => START + (seen.at * 1e6) as u64,
            Self::Exchange(entry) => entry.time,
        }
    }

    pub(super) fn give(&self, number: u64, detector: &mut Detector) {
        match self {
            Self::Flow(seen) => {
                let time = Timestamp(self.time());
                let parse = |text: &str| text.parse().ok();
                detector.observe_flow(&FlowSeen {
                    first: time,
                    last: time,
                    line: number,
                    source: seen.source,
                    is_captured: false,
                    told_by: seen.told_by.and_then(parse),
                    sensor: seen.sensor,
                    state: seen.state,
                    client: parse(&seen.client),
                    address: parse(&seen.to),
                    port: seen.port,
                    protocol: Some(seen.protocol),
                    rule: seen.rule,
                    count: seen.count,
                    packets: seen.packets,
                    bytes_up: seen.up,
                    bytes_down: seen.down,
                    rolled_up: seen.keys,
                });
            }
            Self::Exchange(entry) => Entry { line: number, ..(**entry).clone() }.give(detector),
        }
    }
}

/// Four segments, tripwires at the gate, and a machine that is to scan.
pub(super) fn site() -> Settings {
    let zone = |name: &str, role, net: &str| Zone { name: name.into(), role, addresses: vec![net.parse().unwrap()] };
    let inside = Inside {
        segments: vec![
            zone("office", ZoneRole::Ordinary, "10.20.0.0/16"),
            zone("servers", ZoneRole::Ordinary, "10.30.0.0/16"),
            zone("admin", ZoneRole::Management, "10.40.0.0/24"),
            zone("plant", ZoneRole::Critical, "10.50.0.0/16"),
        ],
        gate: vec!["10.20.0.1".parse().unwrap()],
        tripwires: vec![23..=23, 3389..=3390],
        scanners: vec![SCANNER.parse::<std::net::IpAddr>().unwrap().into()],
    };
    Settings { inside, ..Settings::default() }
}

/// In the order of their times.
pub(super) fn journal(parts: impl IntoIterator<Item = Vec<Line>>) -> Vec<Line> {
    let mut lines: Vec<Line> = parts.into_iter().flatten().collect();
    lines.sort_by_key(Line::time);
    lines
}

pub(super) fn flows(seen: impl IntoIterator<Item = Seen>) -> Vec<Line> {
    seen.into_iter().map(Line::Flow).collect()
}

/// What is found, each finding as it was told last, and how often each was.
pub(super) fn run(settings: &Settings, lines: &[Line]) -> Vec<(Finding, u32)> {
    let mut detector = Detector::new(Limits::LIVE, settings);
    for (number, line) in (1..).zip(lines) {
        line.give(number, &mut detector);
    }
    detector.finish();
    let mut last: Vec<(Finding, u32)> = Vec::new();
    for finding in detector.findings() {
        match last.iter_mut().find(|(other, _)| other.id == finding.id) {
            Some((other, times)) => (*other, *times) = (finding, *times + 1),
            None => last.push((finding, 1)),
        }
    }
    last
}

/// What is found of a kind.
pub(super) fn of_kind(kind: FindingKind, parts: impl IntoIterator<Item = Vec<Line>>) -> Vec<Finding> {
    let found = run(&site(), &journal(parts)).into_iter().map(|(finding, _)| finding);
    found.filter(|finding| finding.kind == kind).collect()
}

/// The one finding of a kind, and nothing else.
#[track_caller]
pub(super) fn only(kind: FindingKind, parts: impl IntoIterator<Item = Vec<Line>>) -> Finding {
    let found = run(&site(), &journal(parts));
    let said: Vec<String> = found.iter().map(|(finding, _)| finding.in_english()).collect();
    let [(finding, _)] = found.try_into().unwrap_or_else(|_| panic!("{said:#?}"));
    assert_eq!(finding.kind, kind, "{}", finding.in_english());
    finding
}

/// Nothing at all is found.
#[track_caller]
pub(super) fn nothing(parts: impl IntoIterator<Item = Vec<Line>>) {
    let found = run(&site(), &journal(parts));
    let said: Vec<String> =
        found.iter().map(|(finding, _)| format!("{}: {}", finding.kind.as_str(), finding.in_english())).collect();
    assert!(said.is_empty(), "{said:#?}");
}

pub(super) fn codes(finding: &Finding) -> Vec<&'static str> {
    finding.grounds.iter().map(|ground| ground.ground).collect()
}
