//! The detector behind a running gate's journal.
//!
//! In: the lines of the journal, in their order, from as far back as they tell anything. Out: records of what was found
//! that the journal does not have yet. A gate that starts reads what is there and knows again what it knew; what was told
//! before is told again only when its evidence has grown.
//!
//! Never: reads a file, or decides over an exchange.

use std::collections::HashMap;

use crate::detect::{Detector, Limits, Settings};
use crate::evidence::{Finding, Kind, Observed, SCORE_MAX, Severity, read_record, read_time};
use crate::facts::Timestamp;

/// What a running gate has seen of its own journal.
#[derive(Debug)]
pub struct Watch {
    detector: Detector,
    /// How each finding is on record.
    told: HashMap<Box<str>, Told>,
    /// What was found and is not on record.
    found: HashMap<Box<str>, Finding>,
}

/// How a finding is on record.
#[derive(Debug, Clone, Copy)]
struct Told {
    /// In tenths.
    score: u64,
    severity: Severity,
    /// The last event that it rests on.
    last: Timestamp,
}

/// Findings that are known. Beyond that, what is new is not told.
const FINDINGS_MAX: usize = 100_000;
/// A score must have grown by so many tenths to be told again.
const GAIN: u64 = 10;

impl Watch {
    pub fn new(limits: Limits, settings: &Settings) -> Self {
        Self { detector: Detector::new(limits, settings), told: HashMap::new(), found: HashMap::new() }
    }

    /// Takes a line of the journal. What is no record of ours is passed over: `sekisho verify` tells of it.
    pub fn read(&mut self, line: &[u8]) {
        let Ok(record) = read_record(line) else { return };
        if record.kind == Kind::Finding {
            if let (Some(id), Some(score)) = (record.finding_id.as_deref(), record.score)
                && (self.told.len() < FINDINGS_MAX || self.told.contains_key(id))
            {
                let severity = record.severity.unwrap_or(Severity::Low);
                let last = record.last.as_deref().and_then(read_time).unwrap_or_default();
                self.remember(id.into(), Told { score: tenths(score), severity, last });
            }
            return;
        }
        if let Some(observed) = Observed::of(&record) {
            self.detector.observe(&observed, &record.bursts);
            self.collect();
        }
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
        let told = self.told.entry(id).or_insert(now);
        *told = Told {
            score: told.score.max(now.score),
            severity: told.severity.max(now.severity),
            last: told.last.max(now.last),
        };
    }

    /// The whole journal was read, up to `now`: what is new in it, to be put on record and then [told](Self::told), the most
    /// pressing first.
    pub fn new_findings(&mut self, now: Timestamp) -> Vec<Finding> {
        self.detector.tick(now);
        self.collect();
        let mut new: Vec<_> = self.found.drain().filter(|(id, found)| is_news(&self.told, id, found)).collect();
        new.sort_by(|(_, a), (_, b)| {
            b.severity.cmp(&a.severity).then(b.score.total_cmp(&a.score)).then(a.id.cmp(&b.id))
        });
        new.into_iter().map(|(_, finding)| finding).collect()
    }

    /// A finding is on record.
    pub fn told(&mut self, finding: &Finding) {
        let Finding { score, severity, last, .. } = *finding;
        self.remember(finding.id.to_string().into(), Told { score: tenths(score), severity, last });
    }

    /// A finding could not be put on record: it is new still, unless there is a later one.
    pub fn keep(&mut self, finding: Finding) {
        self.found.entry(finding.id.to_string().into()).or_insert(finding);
    }
}

/// What was seen again since it was told, and is more, or other, than it was.
fn is_news(told: &HashMap<Box<str>, Told>, id: &str, found: &Finding) -> bool {
    let Some(before) = told.get(id) else { return told.len() < FINDINGS_MAX };
    let is_more = tenths(found.score) >= before.score.saturating_add(GAIN) || found.severity > before.severity;
    found.last > before.last && (is_more || found.is_change())
}

fn tenths(score: f64) -> u64 {
    (score.clamp(0.0, SCORE_MAX) * 10.0) as u64
}

#[cfg(test)]
mod tests;
