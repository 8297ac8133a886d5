use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, Rarity, Severity};

use super::super::draft::{Draft, Drafts};
use super::super::event::{Event, Facts};
use super::super::names::{Estimate, Name};
use super::super::network::Network;
use super::super::pairs::Pairs;
use super::super::settings::Target;
use super::super::table::Table;
use super::Asker;
use super::rise::{Rise, Spreading, Told};

/// Sites that are kept, at about 150 bytes each. One that had to go, because it was not called for long, is new when it
/// comes again.
const SITES_MAX: usize = 200_000;
/// A site that became common so long ago is one that is known, in microseconds.
pub(super) const RISE: u64 = 5 * 24 * 3_600_000_000;
/// A client that was here for so long before it came is no client that is new itself, in microseconds.
const SETTLED: u64 = 24 * 3_600_000_000;
/// Of all clients so many must talk to a site for it to be common: at least, one in, and never more than.
const COMMON: (u32, u32, u32) = (10, 20, 400);
/// Of those who came, so large a share must have been here for a day before.
const SETTLED_SHARE: f32 = 0.75;
/// What must speak against a site for it to be told of, with a severity each.
const SEVERITIES: [(f32, Severity); 3] = [(5.0, Severity::High), (4.0, Severity::Medium), (3.2, Severity::Low)];
/// What each client weighs that calls at steady intervals: the least for which such a pair is told of, in decades.
const STEADY: f32 = 3.5;

/// Finds sites that became common within days, and that are called as people do not.
///
/// A site is a registrable domain, or a host that has none. That many begin to go to one says little: a new web site is
/// popular at once. So programs must call it on their own, at steady intervals or around the clock; who reads, sleeps.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sites {
    sites: Table<Name, Site>,
    #[serde(skip)]
    publishers: Box<[Target]>,
}

/// What is kept of a site.
#[derive(Debug, Serialize, Deserialize)]
struct Site {
    clients: Estimate,
    /// Those who were here for a day before they came.
    settled: Estimate,
    first_client: Name,
    /// When the first of them came, in microseconds, and the record of that.
    first: u64,
    first_line: u64,
    /// The host that was called last, and whether there were others.
    host: Name,
    has_others: bool,
    /// When it was rare no more, in microseconds.
    common: Option<u64>,
    rise: Option<Box<Rise>>,
}

/// A site that is rare.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Newcomer {
    /// When its first client came, in microseconds.
    pub first: u64,
    pub clients: u32,
}

impl Sites {
    /// Goes by other publishers from now on.
    pub(super) fn set_publishers(&mut self, publishers: &[Target]) {
        self.publishers = publishers.into();
    }

    pub(super) fn new(hosts_max: usize, publishers: &[Target]) -> Self {
        Self { sites: Table::new(hosts_max.min(SITES_MAX)), publishers: publishers.into() }
    }

    /// What an exchange tells of who talks to a site that became common.
    pub(super) fn learn(&mut self, site: Name, facts: &Facts) {
        if let Some(rise) = self.sites.get_mut(site).and_then(|site| site.rise.as_deref_mut()) {
            rise.learn(Asker::of(facts), facts.bytes_down);
        }
    }

    /// A client calls a site, with what is known of the exchange by now.
    #[expect(clippy::too_many_arguments, reason = "each is another part of what is known")]
    pub(super) fn contact(
        &mut self,
        name: Name,
        event: &Event,
        denied: bool,
        facts: Option<&Facts>,
        pairs: &Pairs,
        network: &mut Network,
        drafts: &mut Drafts,
    ) {
        let &Event { time, client, .. } = event;
        let place = network.clients.meet(client);
        let site = self.sites.entry(name, || Site::new(event));
        site.has_others |= site.host != event.host;
        site.host = event.host;
        let is_new = site.clients.add(place);
        if is_new {
            let came = network.clients.known(client).map_or(time, |known| known.first);
            if came.saturating_add(SETTLED) <= time {
                site.settled.add(place);
            }
            site.grow(time, network.clients.met());
        }
        let Some(common) = site.common else { return };
        if time.saturating_sub(common) > RISE {
            site.rise = None;
            return;
        }
        let Some(rise) = site.rise.as_deref_mut() else { return };
        rise.called(denied);
        if let Some(facts) = facts {
            rise.learn(Asker::of(facts), facts.bytes_down);
        }
        let of_host = pairs.get((client, event.host));
        let of_domain = Some(name).filter(|name| *name != event.host).and_then(|name| pairs.get((client, name)));
        let is_more =
            [of_host, of_domain].into_iter().flatten().fold(false, |more, pair| more | rise.look(pair, place));
        if is_new || is_more {
            self.judge(name, event, network, drafts);
        }
    }

    /// Tells of a site that spreads, where enough speaks against it.
    fn judge(&mut self, name: Name, event: &Event, network: &Network, drafts: &mut Drafts) {
        let &Event { time, .. } = event;
        let of = network.clients.met();
        let text = |name: Name| network.hosts.text(name);
        let Some(site_text) = text(name) else { return };
        if !self.is_spreading(name, of) || self.is_of_known(&site_text, time, network) {
            return;
        }
        let Some(site) = self.sites.get_mut(name) else { return };
        let clients = site.clients.count().min(of);
        let (is_several, host, first, first_line) = (site.has_others, site.host, site.first, site.first_line);
        let first_client = network.clients.text(site.first_client);
        let (Some(common), Some(rise)) = (site.common, site.rise.as_deref_mut()) else { return };
        let took_seconds = time.saturating_sub(common) / 1_000_000;
        let spreading = Spreading { clients, of, took_seconds, first_client };
        let Some((grounds, steady)) = rise.grounds(&spreading, &site_text) else { return };
        let Some(severity) = grounds.severity(&SEVERITIES) else { return };
        let told = rise.told.filter(|told| network.clients.known(told.client).is_some());
        if told.is_some_and(|told| severity <= told.severity && clients < told.clients + (told.clients / 8).max(1)) {
            return;
        }
        // It is one finding, whoever comes next.
        let target = told.map_or(if is_several { name } else { host }, |told| told.target);
        let client = told.map_or(event.client, |told| told.client);
        rise.told = Some(Told { clients, severity, client, target });
        let draft = Draft {
            kind: FindingKind::Spread,
            severity,
            score: grounds.score() + STEADY * steady as f32,
            weight: None,
            client,
            target: text(target),
            port: event.port,
            first: first.min(time),
            last: time,
            requests: rise.requests,
            denied: rise.denied,
            beat: None,
            grounds: grounds.sorted(),
            rarity: Some(Rarity { clients, of, known_seconds: time.saturating_sub(first) / 1_000_000 }),
            records: [first_line, event.line],
        };
        drafts.add_if_news(draft, &network.clients);
    }

    /// Whether so many talk to it, most of whom were here before.
    fn is_spreading(&mut self, name: Name, of: u32) -> bool {
        let (least, share, most) = COMMON;
        self.sites.get_mut(name).is_some_and(|site| {
            let clients = site.clients.count().min(of);
            let settled = site.settled.count() as f32;
            clients >= least.max(of / share).min(most) && settled >= SETTLED_SHARE * clients as f32
        })
    }

    /// Whether it is a publisher's, or the domain of a host that is common for days, or such a host of a domain.
    fn is_of_known(&mut self, site: &str, time: u64, network: &Network) -> bool {
        let other = match site.strip_prefix("*.") {
            Some(bare) => network.hosts.find(bare),
            None => network.hosts.find(&format!("*.{site}")),
        };
        self.publishers.iter().any(|publisher| publisher.covers(site))
            || other.and_then(|other| self.sites.get_mut(other)).is_some_and(|other| other.is_known(time))
    }

    /// A site that few clients talk to, where it is one.
    pub(super) fn newcomer(&mut self, site: Name) -> Option<Newcomer> {
        let site = self.sites.get_mut(site).filter(|site| site.common.is_none())?;
        Some(Newcomer { first: site.first, clients: site.clients.count() })
    }

    /// Whether a site is common for days, or a publisher's.
    pub(super) fn is_known(&mut self, site: Name, text: &str, time: u64) -> bool {
        self.publishers.iter().any(|publisher| publisher.covers(text))
            || self.sites.get_mut(site).is_some_and(|site| site.is_known(time))
    }
}

impl Site {
    fn new(event: &Event) -> Self {
        Self {
            clients: Estimate::default(),
            settled: Estimate::default(),
            first_client: event.client,
            first: event.time,
            first_line: event.line,
            host: event.host,
            has_others: false,
            common: None,
            rise: None,
        }
    }

    /// It has a client more.
    fn grow(&mut self, time: u64, of: u32) {
        let rarity = Rarity { clients: self.clients.count(), of, known_seconds: 0 };
        if rarity.is_rare() {
            // There are so many more clients by now.
            (self.common, self.rise) = (None, None);
        } else if self.common.is_none() {
            self.common = Some(time);
            self.rise = Some(Box::default());
        }
    }

    fn is_known(&self, time: u64) -> bool {
        self.common.is_some_and(|common| time.saturating_sub(common) > RISE)
    }
}
