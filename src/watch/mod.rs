//! The detector behind a running gate's journal.
//!
//! In: the lines of the journal, in their order, from as far back as they tell anything. Out: records of what was found
//! that the journal does not have yet. A gate that starts reads what is there and knows again what it knew; what was told
//! before is told again only when its evidence has grown.
//!
//! What it has seen can be written down, with the place in the journal up to which it was, so that a gate that starts need
//! not read all of it again; `encoding` has the form.
//!
//! Never: opens a file, or decides over an exchange.

mod encoding;
mod snapshot;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::detect::{Counts, Detector, Limits, Settings};
use crate::evidence::{Finding, Kind, SCORE_MAX, Severity, read_record, read_time};
use crate::facts::Timestamp;

pub use snapshot::Refused;

/// What a running gate has seen of its own journal.
#[derive(Debug)]
pub struct Watch {
    detector: Detector,
    /// How each finding is on record.
    told: HashMap<Box<str>, Told>,
    /// What was found and is not on record.
    found: HashMap<Box<str>, Finding>,
    /// The time of the newest record.
    read_up_to: Timestamp,
}

/// How a finding is on record.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Told {
    /// In tenths.
    score: u64,
    severity: Severity,
    /// The last event that it rests on, in microseconds.
    last: u64,
}

/// Findings that are known, and findings that wait to be put on record; of those more are not kept.
const FINDINGS_MAX: usize = 100_000;
/// A score must have grown by so many tenths to be told again.
const GAIN: u64 = 10;

impl Watch {
    pub fn new(limits: Limits, settings: &Settings) -> Self {
        let detector = Detector::new(limits, settings);
        Self { detector, told: HashMap::new(), found: HashMap::new(), read_up_to: Timestamp::default() }
    }

    /// Takes a line of the journal. What is no record of ours is passed over: `sekisho verify` tells of it.
    pub fn read(&mut self, line: &[u8]) {
        let Ok(record) = read_record(line) else { return };
        self.read_up_to = self.read_up_to.max(record.time);
        if record.kind == Kind::Finding {
            if let (Some(id), Some(score)) = (record.finding_id.as_deref(), record.score) {
                let severity = record.severity.unwrap_or(Severity::Low);
                let last = record.last.as_deref().and_then(read_time).unwrap_or_default().0;
                self.remember(id.into(), Told { score: tenths(score), severity, last });
            }
            return;
        }
        self.detector.read(&record);
        self.collect();
    }

    fn collect(&mut self) {
        for finding in self.detector.findings() {
            let id: Box<str> = finding.id.to_string().into();
            if self.found.len() < FINDINGS_MAX || self.found.contains_key(&id) {
                self.found.insert(id, finding);
            }
        }
    }

    fn remember(&mut self, id: Box<str>, now: Told) {
        if self.told.len() >= FINDINGS_MAX && !self.told.contains_key(&id) {
            self.forget();
        }
        let told = self.told.entry(id).or_insert(now);
        *told = Told {
            score: told.score.max(now.score),
            severity: told.severity.max(now.severity),
            last: told.last.max(now.last),
        };
    }

    /// The half goes of which longest nothing was seen: it is told again when it comes again.
    fn forget(&mut self) {
        let mut seen: Vec<_> = self.told.values().map(|told| told.last).collect();
        let half = seen.len() / 2;
        let (_, newest_that_goes, _) = seen.select_nth_unstable(half);
        let newest_that_goes = *newest_that_goes;
        self.told.retain(|_, told| told.last > newest_that_goes);
    }

    /// The whole journal was read, up to `now`: what is new in it, to be put on record and then [told](Self::told), the most
    /// pressing first.
    pub fn new_findings(&mut self, now: Timestamp) -> Vec<Finding> {
        self.detector.tick(now);
        self.collect();
        let mut new: Vec<_> = self.found.drain().filter(|(id, found)| is_news(&self.told, id, found)).collect();
        new.sort_by(|(_, a), (_, b)| a.by_rank(b));
        new.into_iter().map(|(_, finding)| finding).collect()
    }

    /// A finding is on record.
    pub fn told(&mut self, finding: &Finding) {
        let Finding { score, severity, last, .. } = *finding;
        self.remember(finding.id.to_string().into(), Told { score: tenths(score), severity, last: last.0 });
    }

    /// The time of the newest record that was read.
    pub fn read_up_to(&self) -> Timestamp {
        self.read_up_to
    }

    /// When the first thing happened that it knows of.
    pub fn began(&self) -> Option<Timestamp> {
        self.detector.began()
    }

    pub fn counts(&self) -> Counts {
        self.detector.counts()
    }

    /// Findings that are on record, of those that it knows.
    pub fn told_of(&self) -> usize {
        self.told.len()
    }

    /// A finding could not be put on record: it is new still, unless there is a later one.
    pub fn keep(&mut self, finding: Finding) {
        self.found.entry(finding.id.to_string().into()).or_insert(finding);
    }
}

/// What was seen again since it was told, and is more, or other, than it was.
fn is_news(told: &HashMap<Box<str>, Told>, id: &str, found: &Finding) -> bool {
    let Some(before) = told.get(id) else { return true };
    let is_more = tenths(found.score) >= before.score.saturating_add(GAIN) || found.severity > before.severity;
    found.last.0 > before.last && (is_more || found.is_change())
}

fn tenths(score: f64) -> u64 {
    (score.clamp(0.0, SCORE_MAX) * 10.0) as u64
}

#[cfg(test)]
mod tests;
