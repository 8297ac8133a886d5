use serde::{Deserialize, Serialize};

use crate::evidence::{Bytes, FindingKind, Rarity, Severity, Span, Verdict, shown};

use super::super::draft::{Draft, Drafts};
use super::super::event::{Event, Facts};
use super::super::grounds::{Grounds, growing};
use super::super::names::Name;
use super::super::network::Network;
use super::super::strangers::is_address;
use super::super::table::Table;
use super::Asker;
use super::sites::{Newcomer, Sites};

/// Rare hosts of which fetches are kept, at up to 1.5 KB each.
const HOSTS_MAX: usize = 4_096;
/// Of a host, sizes that are kept, and clients of each.
const SIZES_MAX: usize = 4;
const CLIENTS_MAX: usize = 16;
/// What is smaller, in bytes, is alike everywhere.
const BYTES_MIN: u64 = 10_000;
/// How far sizes may be apart, in bytes: heads vary.
const HEADS: u64 = 128;
/// Fetches so long apart, in microseconds, are not of one time.
const TOGETHER: u64 = 3_600_000_000;
/// A host is new for so long, in microseconds.
const NEW: u64 = 3 * 24 * 3_600_000_000;
/// Clients that must fetch the same, and of how many.
const SAME_MIN: usize = 3;
const OF_MIN: u32 = 20;
/// What must speak against it, with a severity each.
const SEVERITIES: [(f32, Severity); 3] = [(5.0, Severity::High), (3.4, Severity::Medium), (2.6, Severity::Low)];
/// Clients that are named in a sentence.
const NAMED_MAX: usize = 5;

/// Finds what several clients fetch alike from a host that is rare and new, within an hour.
///
/// People who follow one link fetch the same too, so what seems to be a browser does not count.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Fetches {
    hosts: Table<Name, Sizes>,
}

/// What was fetched from a host of late, by size.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Sizes(Vec<Fetched>);

#[derive(Debug, Serialize, Deserialize)]
struct Fetched {
    /// Of the first, in bytes.
    size: u64,
    /// Who fetched it, when and by which record, the newest last.
    by: Vec<(Name, u64, u64)>,
    /// By programs that are no browsers, and by those that claim to be.
    others: u32,
    mimics: u32,
    /// The client with which it is one finding, and by how many it was told.
    told: Option<(Name, usize)>,
}

impl Fetches {
    pub(super) fn new() -> Self {
        Self { hosts: Table::new(HOSTS_MAX) }
    }

    /// Takes an exchange that is over, with a host of this site.
    pub(super) fn take(
        &mut self,
        event: &Event,
        facts: &Facts,
        site: Name,
        sites: &mut Sites,
        network: &Network,
        drafts: &mut Drafts,
    ) {
        let &Event { time, .. } = event;
        let asker = Asker::of(facts);
        // What refuses is of one size for all.
        if facts.bytes_down < BYTES_MIN
            || facts.verdict != Verdict::Allowed
            || facts.status >= 400
            || matches!(asker, Asker::Browser | Asker::Cleared)
        {
            return;
        }
        let Some(site) = sites.newcomer(site) else { return };
        let first = network.hosts.known(event.host).map_or(time, |host| host.first).min(site.first);
        if first.saturating_add(NEW) < time {
            return;
        }
        let sizes = self.hosts.entry(event.host, Sizes::default);
        let is_alone = sizes.0.iter().all(|fetched| fetched.is(facts.bytes_down) || fetched.is_over(time));
        let fetched = sizes.add(event, facts.bytes_down, asker);
        if fetched.by.len() >= SAME_MIN && network.clients.met() >= OF_MIN {
            fetched.judge(event, site, is_alone, network, drafts);
        }
    }
}

impl Sizes {
    fn add(&mut self, event: &Event, size: u64, asker: Asker) -> &mut Fetched {
        let place = self.0.iter().position(|fetched| fetched.is(size)).unwrap_or_else(|| {
            let new = Fetched { size, by: Vec::new(), others: 0, mimics: 0, told: None };
            if self.0.len() < SIZES_MAX {
                self.0.push(new);
                return self.0.len() - 1;
            }
            let oldest = (0..SIZES_MAX).min_by_key(|place| self.0[*place].last()).unwrap_or_default();
            self.0[oldest] = new;
            oldest
        });
        let fetched = &mut self.0[place];
        fetched.by.retain(|(client, at, _)| *client != event.client && at.saturating_add(TOGETHER) >= event.time);
        if fetched.by.is_empty() {
            (fetched.size, fetched.others, fetched.mimics) = (size, 0, 0);
        }
        if fetched.by.len() >= CLIENTS_MAX {
            fetched.by.remove(0);
        }
        fetched.by.push((event.client, event.time, event.line));
        match asker {
            Asker::Other => fetched.others = fetched.others.saturating_add(1),
            Asker::Mimic => fetched.mimics = fetched.mimics.saturating_add(1),
            Asker::Unknown | Asker::Browser | Asker::Cleared => {}
        }
        fetched
    }
}

impl Fetched {
    fn is(&self, size: u64) -> bool {
        self.size.abs_diff(size) <= HEADS
    }

    fn last(&self) -> u64 {
        self.by.last().map_or(0, |(_, at, _)| *at)
    }

    fn is_over(&self, now: u64) -> bool {
        self.last().saturating_add(TOGETHER) < now
    }

    fn judge(&mut self, event: &Event, site: Newcomer, is_alone: bool, network: &Network, drafts: &mut Drafts) {
        let &Event { time, .. } = event;
        let (Some(host), Some((_, first, first_line))) = (network.hosts.text(event.host), self.by.first().copied())
        else {
            return;
        };
        let mut grounds = Grounds::default();
        self.same(&mut grounds, Span(time.saturating_sub(first) as f64 / 1e6), network);
        let age = network.age_seconds(time);
        let weight = match age / 86_400 {
            0 => 0.3,
            1..7 => 0.6,
            7.. => 1.0,
        };
        let age = Span(age as f64);
        let english = format!("the host was new here (this network is watched for {age})");
        let japanese = format!("この網で初めて見る相手（監視期間{}）", age.in_japanese());
        grounds.add(weight, "stranger", &[("watched_seconds", age.0)], english, japanese);
        if is_alone {
            let english = "nobody fetches anything else from it".to_owned();
            grounds.add(0.8, "nothing_else", &[], english, "ほかのものは誰も取得していない".to_owned());
        }
        if self.mimics > 0 {
            let english = "by a program that claims to be a browser and is not".to_owned();
            grounds.add(1.5, "mimic", &[], english, "ブラウザを装ったプログラムによる取得".to_owned());
        } else if self.others > 0 {
            let english = "by a program that is no browser".to_owned();
            grounds.add(0.6, "no_browser", &[], english, "ブラウザ以外のプログラムによる取得".to_owned());
        }
        if is_address(&host) {
            let english = "asked for by address, not by name".to_owned();
            grounds.add(1.0, "address_literal", &[], english, "名前ではなくIPアドレスを直接指定".to_owned());
        }
        let Some(severity) = grounds.severity(&SEVERITIES) else { return };
        let told = self.told.filter(|(client, _)| network.clients.known(*client).is_some());
        if told.is_some_and(|(_, clients)| clients >= self.by.len()) {
            return;
        }
        let client = told.map_or(event.client, |(client, _)| client);
        self.told = Some((client, self.by.len()));
        let of = network.clients.met();
        let known_seconds = time.saturating_sub(site.first) / 1_000_000;
        let draft = Draft {
            kind: FindingKind::SameFetch,
            severity,
            score: grounds.score(),
            client,
            target: Some(host),
            port: event.port,
            first: first.min(time),
            last: time,
            requests: 0,
            denied: 0,
            beat: None,
            grounds: grounds.sorted(),
            rarity: Some(Rarity { clients: site.clients.clamp(1, of), of, known_seconds }),
            records: [first_line, event.line],
        };
        drafts.add(draft);
    }

    /// Who fetched it, and how soon one after the other.
    fn same(&self, grounds: &mut Grounds, took: Span, network: &Network) {
        let clients = self.by.len();
        let mut named: Vec<String> = Vec::new();
        for (client, _, _) in self.by.iter().take(NAMED_MAX) {
            named.extend(network.clients.text(*client).map(|text| shown(&text).into_owned()));
        }
        let (english_more, japanese_more) = match clients.saturating_sub(NAMED_MAX) {
            0 => (String::new(), String::new()),
            more => (format!(" and {more} more"), format!("ほか{more}台")),
        };
        let size = Bytes(self.size as f64);
        let english =
            format!("{clients} clients fetched the same {size} within {took}: {}{english_more}", named.join(", "));
        let japanese = format!(
            "{}のうちに{clients}台が同じ{size}を取得（{}{japanese_more}）",
            took.in_japanese(),
            named.join("、")
        );
        let weight = growing(1.2, clients as u32, SAME_MIN as u32, 0.4, 2.0);
        let numbers = [("clients", clients as f64), ("bytes_down", self.size as f64), ("took_seconds", took.0)];
        grounds.add(weight, "same_fetch", &numbers, english, japanese);
    }
}
