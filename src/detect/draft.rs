use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::evidence::{Beat, Finding, FindingId, FindingKind, Ground, Rarity, Severity};
use crate::facts::Timestamp;

use super::event::Event;
use super::names::{Name, Names};
use super::table::Table;

/// What a detector has to tell.
#[derive(Debug)]
pub(super) struct Draft {
    pub kind: FindingKind,
    pub severity: Severity,
    /// In decades.
    pub score: f32,
    /// How pressing it is, where that is not the score.
    pub weight: Option<f32>,
    pub client: Name,
    /// A host, a domain, or the key of a program; `None` where it is all that the client does.
    pub target: Option<Arc<str>>,
    pub port: u16,
    /// In microseconds.
    pub first: u64,
    pub last: u64,
    pub requests: u32,
    pub denied: u32,
    pub beat: Option<Beat>,
    pub grounds: Vec<Ground>,
    pub rarity: Option<Rarity>,
    pub records: [u64; 2],
}

/// What detectors have to tell, and what each was told with before.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Drafts {
    /// Empty between events.
    #[serde(skip)]
    drafts: Vec<Draft>,
    told: HashMap<FindingId, Told>,
    told_max: usize,
    /// How much was told of each client today, by kind.
    today: Table<(Name, FindingKind), Today>,
    /// Findings that are not told, as too many of their kind were told of their client on that day.
    pub beyond: u64,
}

/// What was told of a client and a kind.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Today {
    /// Days since 1970, UTC.
    day: u64,
    count: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct Told {
    /// In tenths.
    score: u32,
    severity: Severity,
    /// In microseconds.
    last: u64,
}

/// What must speak against one exchange for it to be told of, with a severity each.
const SEVERITIES: [(f32, Severity); 3] = [(5.0, Severity::High), (3.0, Severity::Medium), (2.2, Severity::Low)];
/// What a score must have gained for a finding to be told again, in tenths.
const GAIN: u32 = 10;
/// Of one client and kind so much is told in a day: who makes findings by the thousand must not hide those of others, nor fill
/// the journal.
const A_DAY: u32 = 200;
/// In microseconds.
const DAY: u64 = 24 * 3_600_000_000;
/// Clients and kinds of which that is counted.
const TODAY_MAX: usize = 65_536;

impl Draft {
    /// Of one exchange with a host, by what speaks against it: as pressing as its grounds together, if they are enough.
    pub(super) fn of_exchange(
        kind: FindingKind,
        (event, begun): (&Event, u64),
        (host, rarity): (Arc<str>, Rarity),
        grounds: Vec<(f32, Ground)>,
    ) -> Option<Self> {
        let score: f32 = grounds.iter().map(|(weight, _)| weight).sum();
        let (_, severity) = SEVERITIES.into_iter().find(|(least, _)| score >= *least)?;
        Some(Self {
            kind,
            severity,
            score,
            weight: None,
            client: event.client,
            target: Some(host),
            port: event.port,
            first: begun.min(event.time),
            last: event.time,
            requests: 0,
            denied: 0,
            beat: None,
            grounds: grounds.into_iter().map(|(_, ground)| ground).collect(),
            rarity: Some(rarity),
            records: [event.line, event.line],
        })
    }
}

impl Drafts {
    pub(super) fn new(told_max: usize) -> Self {
        Self { drafts: Vec::new(), told: HashMap::new(), told_max, today: Table::new(TODAY_MAX), beyond: 0 }
    }

    /// What detectors told of since it was taken.
    pub(super) fn waiting(&self) -> &[Draft] {
        &self.drafts
    }

    /// What was told last is not told after all, and counts as beyond.
    pub(super) fn drop_last(&mut self) {
        self.beyond += u64::from(self.drafts.pop().is_some());
    }

    /// Tells what a detector knows is news.
    pub(super) fn add(&mut self, draft: Draft) {
        self.drafts.push(draft);
    }

    /// Tells what was not told yet, or with a lower severity, or with a score lower by one at least.
    pub(super) fn add_if_news(&mut self, draft: Draft, clients: &Names) {
        let Some(client) = clients.known(draft.client) else { return };
        let id = FindingId::new(draft.kind, &client.text, draft.target.as_deref().unwrap_or_default());
        let score = (draft.score.max(0.0) * 10.0) as u32;
        if let Some(told) = self.told.get_mut(&id) {
            told.last = told.last.max(draft.last);
            if score < told.score.saturating_add(GAIN) && draft.severity <= told.severity {
                return;
            }
            (told.score, told.severity) = (told.score.max(score), told.severity.max(draft.severity));
        } else {
            self.make_room();
            self.told.insert(id, Told { score, severity: draft.severity, last: draft.last });
        }
        self.drafts.push(draft);
    }

    /// Where there is none, the half goes of which longest nothing was heard; it is news when it comes again.
    fn make_room(&mut self) {
        if self.told.len() < self.told_max {
            return;
        }
        let mut heard: Vec<_> = self.told.iter().map(|(id, told)| (told.last, *id)).collect();
        let half = heard.len() / 2;
        let (_, newest_that_goes, _) = heard.select_nth_unstable(half);
        let newest_that_goes = *newest_that_goes;
        self.told.retain(|id, told| (told.last, *id) > newest_that_goes);
    }

    /// What there is to tell, whole. A name that had to go meanwhile is nobody's any more.
    pub(super) fn take(&mut self, clients: &Names) -> impl Iterator<Item = Finding> {
        let Self { drafts, today, beyond, .. } = self;
        drafts.drain(..).filter_map(|draft| {
            let told = today.entry((draft.client, draft.kind), Today::default);
            let day = draft.last / DAY;
            if told.day != day {
                *told = Today { day, count: 0 };
            }
            if told.count >= A_DAY {
                *beyond += 1;
                return None;
            }
            told.count += 1;
            let client: Box<str> = (*clients.known(draft.client)?.text).into();
            let target: Box<str> = draft.target.as_deref().unwrap_or_default().into();
            Some(Finding {
                id: FindingId::new(draft.kind, &client, &target),
                kind: draft.kind,
                severity: draft.severity,
                score: f64::from(draft.score),
                weight: f64::from(draft.weight.unwrap_or(draft.score)),
                client,
                target,
                port: draft.port,
                first: Timestamp(draft.first),
                last: Timestamp(draft.last),
                requests: draft.requests,
                denied: draft.denied,
                beat: draft.beat,
                grounds: draft.grounds,
                rarity: draft.rarity,
                records: draft.records,
            })
        })
    }
}
