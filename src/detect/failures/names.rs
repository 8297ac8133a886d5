use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, Severity};

use super::super::draft::{Draft, Drafts};
use super::super::event::Event;
use super::super::grounds::{Grounds, growing};
use super::super::hour::{Hour, SLOTS, TEN_MINUTES};
use super::super::names::{Estimate, Name};
use super::super::network::Network;
use super::super::strangers::is_address;
use super::super::table::Table;
use super::{Outage, hash, is_of_known};

/// Finds clients that ask for many different names that do not resolve, as programs do that try generated ones until one is
/// registered.
///
/// Its benign twins: a name that is asked for again and again is one name. Where a resolver is down, hosts fail that were
/// reached before, or most clients do. A name without a dot is never counted: Chromium asks for three random ones when it
/// starts or the network changes, to learn whether a resolver lies, and nobody can register one.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UnresolvedNames {
    /// About 900 bytes each.
    clients: Table<Name, Unresolved>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Unresolved {
    first: u64,
    first_line: u64,
    hour: Hour<Asked>,
}

/// What does not resolve, of five minutes.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Asked {
    names: Estimate,
    /// Registrable ones.
    domains: Estimate,
    requests: u32,
    /// Hosts that were reached before.
    known: Estimate,
    /// Of names that are new in this slot: how many, the sum of their labels' lengths, and that of the squares.
    labels: u32,
    lengths: u32,
    squares: u32,
}

/// Different names in ten minutes, or in an hour, from which on they are told of.
const TEN_MINUTES_MIN: u32 = 20;
const HOUR_MIN: u32 = 40;
const SEVERITIES: [(f32, Severity); 3] = [(1.5, Severity::Low), (3.0, Severity::Medium), (4.5, Severity::High)];
/// Labels are alike whose lengths deviate by no more (standard deviation, in characters), and that are no shorter.
const DEVIATION_MAX: f32 = 2.5;
const LENGTH_MIN: f32 = 6.0;

impl UnresolvedNames {
    pub(super) fn new(clients_max: usize) -> Self {
        Self { clients: Table::new(clients_max) }
    }

    /// Takes a name that did not resolve.
    pub(super) fn take(&mut self, event: &Event, outage: &Outage, network: &mut Network, drafts: &mut Drafts) {
        let Some(known) = network.hosts.known(event.host) else { return };
        let (host, was_reached) = (known.text.clone(), known.was_reached);
        if !host.contains('.') || is_address(&host) {
            return;
        }
        let new = || Unresolved { first: event.time, first_line: event.line, hour: Hour::new(event.time) };
        let unresolved = self.clients.entry(event.client, new);
        let slot = unresolved.hour.at(event.time);
        if was_reached {
            slot.known.add(hash(&host, 0));
            return;
        }
        slot.requests = slot.requests.saturating_add(1);
        let domain = psl::domain_str(&host).unwrap_or(&host);
        slot.domains.add(hash(domain, 0));
        if !slot.names.add(hash(&host, 0)) {
            return;
        }
        let length = domain.find('.').unwrap_or(domain.len()).min(63) as u32;
        slot.labels += 1;
        slot.lengths += length;
        slot.squares += length * length;
        let hour = unresolved.hour.last(SLOTS).fold(Asked::default(), Asked::with);
        if hour.requests == 1 {
            (unresolved.first, unresolved.first_line) = (event.time, event.line);
        }
        let ten = unresolved.hour.last(TEN_MINUTES).fold(Asked::default(), Asked::with);
        let (asked, minutes) = if ten.count() >= TEN_MINUTES_MIN {
            (ten, 10)
        } else if hour.count() >= HOUR_MIN {
            (hour, 60)
        } else {
            return;
        };
        if is_of_known(hour.known.count(), asked.count()) || outage.is_now() {
            return;
        }
        let grounds = asked.grounds(minutes);
        let Some(severity) = grounds.severity(&SEVERITIES) else { return };
        let draft = Draft {
            kind: FindingKind::UnresolvedNames,
            severity,
            score: grounds.score(),
            client: event.client,
            target: None,
            port: 0,
            first: unresolved.first.min(event.time),
            last: event.time,
            requests: hour.requests,
            denied: 0,
            beat: None,
            grounds: grounds.sorted(),
            rarity: None,
            records: [unresolved.first_line, event.line],
        };
        drafts.add_if_news(draft, &network.clients);
    }
}

impl Asked {
    fn with(self, other: Self) -> Self {
        Self {
            names: self.names.with(other.names),
            domains: self.domains.with(other.domains),
            requests: self.requests.saturating_add(other.requests),
            known: self.known.with(other.known),
            labels: self.labels + other.labels,
            lengths: self.lengths + other.lengths,
            squares: self.squares + other.squares,
        }
    }

    /// Different names, about.
    fn count(self) -> u32 {
        self.names.count().min(self.requests)
    }

    fn grounds(self, minutes: u32) -> Grounds {
        let names = self.count();
        let domains = self.domains.count().min(names);
        let mut grounds = Grounds::default();
        let least = if minutes == 10 { TEN_MINUTES_MIN } else { HOUR_MIN };
        grounds.add(
            growing(1.5, names, least, 0.55, 3.0),
            "unresolved_names",
            &[("names", f64::from(names)), ("minutes", f64::from(minutes))],
            format!("{names} different names that do not resolve within {minutes} min"),
            format!("{minutes}分間に名前解決できない名前を{names}種類要求"),
        );
        if domains * 5 >= names * 4 {
            grounds.add(
                0.9,
                "no_common_domain",
                &[("domains", f64::from(domains))],
                format!("hardly two of them share a registrable domain ({domains} domains)"),
                format!("登録ドメインがほとんど共通しない（{domains}ドメイン）"),
            );
        }
        let (mean, deviation) = self.length();
        if mean >= LENGTH_MIN && deviation <= DEVIATION_MAX {
            grounds.add(
                0.8,
                "alike_lengths",
                &[("mean", f64::from(mean)), ("deviation", f64::from(deviation))],
                format!("all about {mean:.0} characters long (standard deviation {deviation:.1})"),
                format!("長さがそろっている（平均{mean:.0}文字、標準偏差{deviation:.1}）"),
            );
        }
        grounds
    }

    /// Of the labels in front of the public suffix: the mean and the standard deviation.
    fn length(self) -> (f32, f32) {
        let labels = self.labels.max(1) as f32;
        let mean = self.lengths as f32 / labels;
        (mean, (self.squares as f32 / labels - mean * mean).max(0.0).sqrt())
    }
}
