use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{Beat, FindingKind, Rarity, Severity};

use crate::detect::draft::{Draft, Drafts, OF_CLIENT_A_DAY};
use crate::detect::grounds::Grounds;
use crate::detect::inside::Inside;
use crate::detect::network::Network;
use crate::detect::table::Table;

/// What detectors of flows go by and tell to.
pub(super) struct Around<'a> {
    pub inside: &'a Inside,
    pub network: &'a mut Network,
    pub drafts: &'a mut Drafts,
    pub told: &'a mut ToldOf,
    /// When the first flow was seen, in microseconds.
    pub began: u64,
    /// Clients inside of which flows were seen, about.
    pub clients: u32,
}

/// What is told of flows.
pub(super) struct Told {
    pub kind: FindingKind,
    /// `None` where it is about no one client.
    pub client: Option<IpAddr>,
    pub target: String,
    /// 0 where it is about more than one.
    pub port: u16,
    /// In microseconds.
    pub first: u64,
    pub last: u64,
    pub attempts: u32,
    pub refused: u32,
    /// The first record, and the newest.
    pub records: [u64; 2],
    pub beat: Option<Beat>,
    pub rarity: Option<Rarity>,
    pub grounds: Grounds,
}

/// How much was told of each kind today. Addresses can be made up, and who does must not fill the journal; nor may one
/// client use up the room of the others, nor what is low that of the rest.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ToldOf {
    kinds: Table<(FindingKind, IsLow), Today>,
    clients: Table<(IpAddr, FindingKind, IsLow), Today>,
}

/// Whether it is of the lowest severity.
type IsLow = bool;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Today {
    /// Days since 1970, UTC.
    day: u64,
    count: u32,
}

/// Findings of one kind that are told in a day, of all clients together: far more than anybody can look at. Those that
/// are low have as many of their own.
const A_DAY: u32 = 1_000;
/// Once so many were told, no more than a few of a client are: the rest is for those of whom nothing was told.
const SHARED: u32 = A_DAY / 2;
const FEW: u32 = 10;
/// Clients of which that is counted, by kinds.
const CLIENTS_MAX: usize = 65_536;
/// In microseconds.
const DAY: u64 = 24 * 3_600_000_000;

impl ToldOf {
    pub(super) fn new() -> Self {
        Self { kinds: Table::new(2 * FindingKind::ALL.len()), clients: Table::new(CLIENTS_MAX) }
    }

    /// Whether one more may be told, which then counts. What may not takes no room.
    fn has_room(&mut self, kind: FindingKind, client: Option<IpAddr>, severity: Severity, time: u64) -> bool {
        let is_low = severity == Severity::Low;
        let all = self.kinds.entry((kind, is_low), Today::default).on(time / DAY);
        let Some(client) = client else { return all.takes(A_DAY) };
        let own = self.clients.entry((client, kind, is_low), Today::default).on(time / DAY);
        let own_max = if all.count < SHARED { OF_CLIENT_A_DAY } else { FEW };
        own.count < own_max && all.takes(A_DAY) && own.takes(own_max)
    }
}

impl Today {
    fn on(&mut self, day: u64) -> &mut Self {
        if self.day != day {
            *self = Self { day, count: 0 };
        }
        self
    }

    fn takes(&mut self, most: u32) -> bool {
        let takes = self.count < most;
        self.count += u32::from(takes);
        takes
    }
}

impl Around<'_> {
    /// For how long flows are watched, in microseconds.
    pub(super) fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.began)
    }

    /// Tells what reaches the least of the severities, if it is news; says whether it does.
    pub(super) fn tell(&mut self, told: Told, severities: &[(f32, Severity)]) -> bool {
        let Some(severity) = told.grounds.severity(severities) else { return false };
        let client = told.client;
        let draft = self.draft(told, severity);
        let Some(news) = self.drafts.news(&draft, &self.network.clients) else { return true };
        if self.told.has_room(draft.kind, client, severity, draft.last) {
            self.drafts.tell(draft, news);
        } else {
            self.drafts.beyond += 1;
        }
        true
    }

    /// Tells what is news whatever was told before.
    pub(super) fn tell_again(&mut self, told: Told, severities: &[(f32, Severity)]) {
        let Some(severity) = told.grounds.severity(severities) else { return };
        let client = told.client;
        let draft = self.draft(told, severity);
        if self.told.has_room(draft.kind, client, severity, draft.last) {
            self.drafts.add(draft);
        } else {
            self.drafts.beyond += 1;
        }
    }

    fn draft(&mut self, told: Told, severity: Severity) -> Draft {
        let client = told.client.map(|client| client.to_string()).unwrap_or_default();
        let last = told.last.max(told.first);
        Draft {
            kind: told.kind,
            severity,
            score: told.grounds.score(),
            weight: None,
            client: self.network.clients.of(&client, told.first),
            target: (!told.target.is_empty()).then(|| told.target.into()),
            port: told.port,
            first: told.first,
            last,
            requests: told.attempts,
            denied: told.refused,
            beat: told.beat,
            grounds: told.grounds.sorted(),
            rarity: told.rarity,
            records: told.records,
        }
    }
}
