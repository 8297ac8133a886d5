use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evidence::{Beat, FindingKind, Rarity, Severity};

use crate::detect::draft::{Draft, Drafts};
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

/// Of how many clients findings of a kind were told today. Addresses can be made up: who does must not fill the
/// journal.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ToldOf(Table<FindingKind, Today>);

#[derive(Debug, Default, Serialize, Deserialize)]
struct Today {
    /// Days since 1970, UTC.
    day: u64,
    count: u32,
}

/// Findings of one kind that are told in a day, of all clients together: far more than anybody can look at.
const A_DAY: u32 = 1_000;
/// In microseconds.
const DAY: u64 = 24 * 3_600_000_000;

impl ToldOf {
    pub(super) fn new() -> Self {
        Self(Table::new(FindingKind::ALL.len()))
    }

    fn has_room(&mut self, kind: FindingKind, time: u64) -> bool {
        let today = self.0.entry(kind, Today::default);
        if today.day != time / DAY {
            *today = Today { day: time / DAY, count: 0 };
        }
        today.count = today.count.saturating_add(1);
        today.count <= A_DAY
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
        let before = self.drafts.waiting().len();
        let draft = self.draft(told, severity);
        let (kind, time) = (draft.kind, draft.last);
        self.drafts.add_if_news(draft, &self.network.clients);
        if self.drafts.waiting().len() > before && !self.told.has_room(kind, time) {
            self.drafts.drop_last();
        }
        true
    }

    /// Tells what is news whatever was told before.
    pub(super) fn tell_again(&mut self, told: Told, severities: &[(f32, Severity)]) {
        let Some(severity) = told.grounds.severity(severities) else { return };
        let draft = self.draft(told, severity);
        if self.told.has_room(draft.kind, draft.last) {
            self.drafts.add(draft);
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
