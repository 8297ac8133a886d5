use crate::evidence::{FindingKind, Ground, Rarity, Severity, Shown, Span};

use super::super::draft::{Draft, Drafts};
use super::super::event::{Event, Facts};
use super::super::network::Network;
use super::super::strangers::{self, NEW};

/// A tunnel or a pair that is to be told of.
pub(super) struct Case {
    pub kind: FindingKind,
    /// What it is told for, and what that weighs in decades.
    pub main: Vec<(f32, Ground)>,
    /// In microseconds.
    pub first: u64,
    pub records: [u64; 2],
    pub severity_max: Severity,
    pub rarity: Rarity,
}

/// What must speak for a severity, in decades. Less is low.
const HIGH: f32 = 5.0;
const MEDIUM: f32 = 3.0;
/// A network must be watched for so long for new hosts to be few, in seconds.
const WATCHED: u64 = 7 * 24 * 3_600;
/// Among fewer clients each is a large share, and few hosts are common.
const CLIENTS_MIN: u32 = 20;

/// How rare a host is, where it is: neither it nor what else is below its domain is talked to by more than a few.
pub(super) fn rare(event: &Event, network: &mut Network) -> Option<Rarity> {
    let rarity = network.rarity(event.host, event.time);
    if !rarity.is_rare() {
        return None;
    }
    let domain = network.hosts.domain(event.host, event.time).map(|domain| network.rarity(domain, event.time));
    domain.is_none_or(Rarity::is_rare).then_some(rarity)
}

/// What it weighs that few of many clients talk to a host.
pub(super) fn of_few(rarity: Rarity) -> f32 {
    if rarity.of >= CLIENTS_MIN && rarity.is_rare() { 0.8 } else { 0.0 }
}

/// A ground that weighs so much more, to a tenth.
pub(super) fn heavier((weight, mut ground): (f32, Ground), more: f32) -> (f32, Ground) {
    let weight = ((weight + more) * 10.0).round() / 10.0;
    let said = ground.numbers.iter_mut().filter(|(name, _)| *name == "weight");
    said.for_each(|(_, number)| *number = f64::from(weight));
    (weight, ground)
}

/// Whether the program is not what it says.
pub(super) fn is_doubtful(facts: &Facts) -> bool {
    matches!(facts.standing, Shown::Mimic | Shown::Failed) || facts.contradictions > 0
}

impl Case {
    /// Tells of it, if that is news, with what else speaks against it. It is pressing only where the host is new or the program
    /// is not what it says: whoever administers a machine elsewhere has a rare, long, typed-in tunnel without TLS as well.
    pub(super) fn tell(self, event: &Event, facts: &Facts, network: &Network, drafts: &mut Drafts) {
        let Some(host) = network.hosts.text(event.host) else { return };
        let age = network.age_seconds(event.time);
        let is_new = self.rarity.is_rare() && self.rarity.known_seconds < NEW;
        let mut others = strangers::name(&host);
        others.extend(strangers::port(event.port));
        others.extend(strangers::content(facts, strangers::is_address(&host)));
        others.extend(strangers::program(facts, network, event.time));
        others.extend(new_host(age).filter(|_| is_new));
        others.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let mut grounds = self.main;
        grounds.append(&mut others);
        let score = (grounds.iter().map(|(weight, _)| weight).sum::<f32>() * 10.0).round() / 10.0;
        let may_be_high = (is_new && age >= WATCHED) || is_doubtful(facts);
        let severity = match score {
            HIGH.. if may_be_high => Severity::High,
            MEDIUM.. => Severity::Medium,
            _ => Severity::Low,
        };
        let draft = Draft {
            kind: self.kind,
            severity: severity.min(self.severity_max),
            score,
            client: event.client,
            target: Some(host),
            port: event.port,
            first: self.first.min(event.time),
            last: event.time,
            requests: 0,
            denied: 0,
            beat: None,
            grounds: grounds.into_iter().map(|(_, ground)| ground).collect(),
            rarity: Some(self.rarity),
            records: self.records,
        };
        drafts.add_if_news(draft, &network.clients);
    }
}

/// The longer the network is known, the more it says that a host is new to it; on the first day it says nothing.
fn new_host(age_seconds: u64) -> Option<(f32, Ground)> {
    let weight = match age_seconds {
        WATCHED.. => 1.0,
        NEW.. => 0.5,
        _ => return None,
    };
    let age = Span(age_seconds as f64);
    let numbers = [("weight", f64::from(weight)), ("watched_seconds", age.0)];
    let english = format!("the host is known here for less than a day (this network is watched for {age})");
    let japanese = format!("この網で初めて見てから1日未満の相手（監視期間{}）", age.in_japanese());
    Some((weight, Ground::new("new_host", &numbers, english, japanese)))
}
