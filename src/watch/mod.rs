//! The detector behind a running gate's journal.
//!
//! In: the lines of the journal, in their order, from as far back as they tell anything. Out: records of what was found
//! that the journal does not have yet. A gate that starts reads what is there and knows again what it knew; what was told
//! before is told again only when its evidence has grown.
//!
//! Never: reads a file, or decides over an exchange.

use std::collections::HashMap;

use crate::detect::{Detector, Limits, Settings};
use crate::evidence::{Finding, Kind, Observed, Record, SCORE_MAX, read_record};
use crate::facts::Timestamp;

/// What a running gate has seen of its own journal.
#[derive(Debug)]
pub struct Watch {
    detector: Detector,
    /// The score with which each finding is on record, in tenths.
    told: HashMap<Box<str>, u64>,
    /// What was found and is not on record.
    found: HashMap<Box<str>, Finding>,
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
                let told = self.told.entry(id.into()).or_default();
                *told = (*told).max(tenths(score));
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

    /// The whole journal was read, up to `now`: what is new in it, to be put on record. The strongest comes last.
    pub fn new_findings(&mut self, now: Timestamp) -> Vec<Record> {
        self.detector.tick(now);
        self.collect();
        let mut new: Vec<_> = self.found.drain().filter(|(id, found)| is_news(&self.told, id, found)).collect();
        new.sort_by(|(_, a), (_, b)| {
            a.severity.cmp(&b.severity).then(a.score.total_cmp(&b.score)).then(a.id.cmp(&b.id))
        });
        for (id, finding) in &new {
            self.told.insert(id.clone(), tenths(finding.score));
        }
        new.into_iter().map(|(_, finding)| Record::Finding(Box::new(finding))).collect()
    }
}

fn is_news(told: &HashMap<Box<str>, u64>, id: &str, found: &Finding) -> bool {
    match told.get(id) {
        Some(told) => tenths(found.score) >= told.saturating_add(GAIN),
        None => told.len() < FINDINGS_MAX,
    }
}

fn tenths(score: f64) -> u64 {
    (score.clamp(0.0, SCORE_MAX) * 10.0) as u64
}

#[cfg(test)]
mod tests;
