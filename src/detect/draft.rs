use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::evidence::{Beat, Finding, FindingId, FindingKind, Ground, Rarity, Severity};
use crate::facts::Timestamp;

use super::names::{Name, Names};

/// What a detector has to tell.
#[derive(Debug)]
pub(super) struct Draft {
    pub kind: FindingKind,
    pub severity: Severity,
    /// In decades.
    pub score: f32,
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
    /// Findings that there was no room to remember; they are not told.
    pub beyond: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Told {
    /// In tenths.
    score: u32,
    severity: Severity,
    /// In microseconds.
    last: u64,
}

/// What a score must have gained for a finding to be told again, in tenths.
const GAIN: u32 = 10;
/// A finding of which so long nothing was heard makes room, and is news when it comes again, in microseconds.
const FORGOTTEN: u64 = 30 * 24 * 3_600_000_000;

impl Drafts {
    pub(super) fn new(told_max: usize) -> Self {
        Self { drafts: Vec::new(), told: HashMap::new(), told_max, beyond: 0 }
    }

    /// What detectors told of since it was taken.
    pub(super) fn waiting(&self) -> &[Draft] {
        &self.drafts
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
            if self.told.len() >= self.told_max {
                self.told.retain(|_, told| told.last.saturating_add(FORGOTTEN) > draft.last);
            }
            if self.told.len() >= self.told_max {
                self.beyond += 1;
                return;
            }
            self.told.insert(id, Told { score, severity: draft.severity, last: draft.last });
        }
        self.drafts.push(draft);
    }

    /// What there is to tell, whole. A name that had to go meanwhile is nobody's any more.
    pub(super) fn take(&mut self, clients: &Names) -> impl Iterator<Item = Finding> {
        self.drafts.drain(..).filter_map(|draft| {
            let client: Box<str> = (*clients.known(draft.client)?.text).into();
            let target: Box<str> = draft.target.as_deref().unwrap_or_default().into();
            Some(Finding {
                id: FindingId::new(draft.kind, &client, &target),
                kind: draft.kind,
                severity: draft.severity,
                score: f64::from(draft.score),
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
