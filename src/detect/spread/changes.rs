use serde::{Deserialize, Serialize};

use crate::evidence::{Beat, FindingKind, Rarity, Severity, Span, shown};

use super::super::draft::{Draft, Drafts};
use super::super::event::Event;
use super::super::grounds::{Grounds, growing};
use super::super::names::Name;
use super::super::network::Network;
use super::super::table::Table;
use super::sites::Sites;

/// Hosts of which changes are kept, at up to 1 KB each, and the last of each.
const HOSTS_MAX: usize = 4_096;
const CHANGES_MAX: usize = 16;
/// Changes within so long are of one time, in microseconds; or within the pace before, since a client hears of it when it
/// calls next.
const TOGETHER: u64 = 600_000_000;
const TOGETHER_MAX: u64 = 3_600_000_000;
/// Paces are the same within this factor.
const SAME: f64 = 1.5;
/// A gap is of the new pace within this factor of its window.
const WINDOW: f64 = 1.2;
const CLIENTS_MIN: u32 = 3;
const SEVERITIES: [(f32, Severity); 2] = [(3.0, Severity::Medium), (2.2, Severity::Low)];
/// Clients that are named in a sentence.
const NAMED_MAX: usize = 5;

/// Finds clients that change the pace of their calls to one host at the same time, as if they were told to.
///
/// It goes by what beacons tell: a pace must have been told, and be another one by half. It is known some calls later, and by
/// the gaps that are kept, when it began.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Changes {
    hosts: Table<Name, Host>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Host {
    changes: Vec<Change>,
    /// The client with which it is one finding, and by how many it was told.
    told: Option<(Name, usize)>,
}

/// A client began to call at another pace.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Change {
    client: Name,
    /// In microseconds.
    began: u64,
    /// Periods in seconds.
    before: f64,
    now: f64,
    line: u64,
}

impl Changes {
    pub(super) fn new() -> Self {
        Self { hosts: Table::new(HOSTS_MAX) }
    }

    /// Takes what beacons told of an event.
    pub(super) fn take(&mut self, event: &Event, sites: &mut Sites, network: &mut Network, drafts: &mut Drafts) {
        if drafts.waiting().is_empty() {
            return;
        }
        let changed = drafts.waiting().iter().filter_map(|draft| Some((Change::of(draft)?, draft.target.clone()?)));
        let changed: Vec<_> = changed.collect();
        for (change, target) in changed {
            let Some(host) = network.hosts.find(&target) else { continue };
            let site = network.hosts.domain(host, event.time).unwrap_or(host);
            if sites.is_known(site, &target, event.time) {
                continue;
            }
            let kept = self.hosts.entry(host, Host::default);
            kept.add(change);
            let together = together(&kept.changes, change);
            let is_rare = sites.newcomer(site).is_some();
            let Some(draft) = draft(&together, host, event, is_rare, network) else { continue };
            let told = kept.told.filter(|(client, _)| network.clients.known(*client).is_some());
            if told.is_some_and(|(_, clients)| clients >= together.len()) {
                continue;
            }
            // It is one finding, whoever follows.
            let client = told.map_or(draft.client, |(client, _)| client);
            kept.told = Some((client, together.len()));
            drafts.add(Draft { client, ..draft });
        }
    }
}

impl Host {
    fn add(&mut self, change: Change) {
        self.changes.retain(|other| other.client != change.client);
        if self.changes.len() >= CHANGES_MAX {
            self.changes.remove(0);
        }
        self.changes.push(change);
    }
}

impl Change {
    fn of(draft: &Draft) -> Option<Self> {
        let ground = draft.grounds.iter().find(|ground| ground.ground == "changed")?;
        let (_, before) = ground.numbers.iter().find(|(name, _)| *name == "period_before_seconds")?;
        let beat = draft.beat.as_ref()?;
        let began = draft.last.saturating_sub((since(beat)? * 1e6) as u64);
        let [_, line] = draft.records;
        Some(Self { client: draft.client, began, before: *before, now: beat.period_seconds, line })
    }

    /// Whether it may be the same change as another, at another client.
    fn is_like(&self, other: &Self) -> bool {
        let is_near = |one: f64, other: f64| one <= other * SAME && other <= one * SAME;
        is_near(self.now, other.now) && is_near(self.before, other.before)
    }
}

/// For how long the gaps are those of the new pace, in seconds; `None` where no other is left.
fn since(beat: &Beat) -> Option<f64> {
    let is_new = |gap: &f64| (beat.low_seconds / WINDOW..=beat.high_seconds * WINDOW).contains(gap);
    let new = beat.strip.iter().rev().take_while(|gap| is_new(gap)).count();
    (new > 0 && new < beat.strip.len()).then(|| beat.strip.iter().rev().take(new).sum())
}

/// The changes like the newest that began within the same minutes, by when they did.
fn together(changes: &[Change], newest: Change) -> Vec<Change> {
    let within = ((newest.before * 1e6) as u64).clamp(TOGETHER, TOGETHER_MAX);
    let mut like: Vec<Change> = changes.iter().copied().filter(|other| other.is_like(&newest)).collect();
    like.sort_by_key(|change| (change.began, change.line));
    let from = |first: &Change| {
        let last = first.began.saturating_add(within);
        like.iter().filter(|other| (first.began..=last).contains(&other.began)).copied().collect::<Vec<_>>()
    };
    let groups = like.iter().map(from).filter(|group| group.iter().any(|change| change.client == newest.client));
    // Of groups of one size the first, so that it does not hang on what comes later.
    groups.fold(Vec::new(), |best, group| if group.len() > best.len() { group } else { best })
}

fn draft(together: &[Change], host: Name, event: &Event, is_rare: bool, network: &Network) -> Option<Draft> {
    let clients = u32::try_from(together.len()).ok().filter(|clients| *clients >= CLIENTS_MIN)?;
    let ([first, ..], [.., last]) = (together, together) else { return None };
    let took = Span(last.began.saturating_sub(first.began) as f64 / 1e6);
    let (before, now) = (Span(first.before), Span(first.now));
    let named: Vec<String> = together
        .iter()
        .take(NAMED_MAX)
        .filter_map(|change| network.clients.text(change.client).map(|text| shown(&text).into_owned()))
        .collect();
    let (english_more, japanese_more) = match together.len().saturating_sub(NAMED_MAX) {
        0 => (String::new(), String::new()),
        more => (format!(" and {more} more"), format!("ほか{more}台")),
    };
    let english = format!(
        "{clients} clients changed their period from about {before} to about {now} within {took}: {}{english_more}",
        named.join(", ")
    );
    let japanese = format!(
        "{}のうちに{clients}台の通信周期が約{}から約{}に変化（{}{japanese_more}）",
        took.in_japanese(),
        before.in_japanese(),
        now.in_japanese(),
        named.join("、")
    );
    let mut grounds = Grounds::default();
    let numbers = [
        ("clients", f64::from(clients)),
        ("period_before_seconds", before.0),
        ("period_seconds", now.0),
        ("took_seconds", took.0),
    ];
    grounds.add(growing(2.2, clients, CLIENTS_MIN, 0.6, 3.4), "common_change", &numbers, english, japanese);
    if is_rare {
        let english = "hardly anybody else talks to it".to_owned();
        grounds.add(0.8, "rare", &[], english, "ほかの端末はほとんど通信していない".to_owned());
    }
    let severity = grounds.severity(&SEVERITIES)?;
    let rarity: Rarity = network.rarity(host, event.time);
    Some(Draft {
        kind: FindingKind::CommonChange,
        severity,
        score: grounds.score(),
        client: first.client,
        target: network.hosts.text(host),
        port: event.port,
        first: first.began.min(event.time),
        last: event.time,
        requests: 0,
        denied: 0,
        beat: None,
        grounds: grounds.sorted(),
        rarity: Some(rarity),
        records: [together.iter().map(|change| change.line).min().unwrap_or_default(), event.line],
    })
}
