use serde::{Deserialize, Serialize};

use crate::evidence::{Severity, shown};
use crate::facts::Timestamp;

use super::fold::HOUR;
use super::message::{Alert, NAME_BYTES_MAX, Origin, cut};

/// Alerts that were not sent one by one, on their way to be told of together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Bundle {
    /// When the first came, in microseconds.
    since: u64,
    /// How many, by severity.
    counts: [u64; 3],
    /// What the first of each severity were, a line each.
    lines: [Vec<Box<str>>; 3],
}

/// So many of each severity are named; the others are counted.
const LINES_MAX: usize = 10;

impl Bundle {
    pub(super) fn is_empty(&self) -> bool {
        self.counts == [0; 3]
    }

    pub(super) fn add(&mut self, alert: &Alert, now: Timestamp) {
        if self.is_empty() {
            self.since = now.0;
        }
        let severity = rank(alert.severity);
        let (Some(count), Some(lines)) = (self.counts.get_mut(severity), self.lines.get_mut(severity)) else { return };
        *count = count.saturating_add(1);
        if lines.len() < LINES_MAX {
            lines.push(line_of(alert).into());
        }
    }

    /// An hour after the first of them it is time to tell; at once where the clock was set back.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        !self.is_empty() && (now.0 < self.since || now.0 - self.since >= HOUR)
    }

    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The most pressing of them.
    pub(super) fn severity(&self) -> Severity {
        match self.counts {
            [_, 0, 0] => Severity::Low,
            [_, _, 0] => Severity::Medium,
            [_, _, _] => Severity::High,
        }
    }

    /// All of them in one, as what was held back or was too many; it is empty then.
    pub(super) fn take(&mut self, is_quiet: bool, now: Timestamp) -> Alert {
        let severity = self.severity();
        let Self { since, counts, lines } = std::mem::take(self);
        let [low, medium, high] = counts;
        let all = low + medium + high;
        let named: Vec<_> = lines.iter().rev().flatten().map(|line| &**line).collect();
        let beyond = all - named.len() as u64;
        let mut list = named.join("\n");
        if beyond > 0 {
            list.push_str(&format!("\n+{beyond}"));
        }
        let (origin, kind, english, japanese) = match is_quiet {
            true => (Origin::Quiet(since), "quiet_hours", "held back in quiet hours", "静穏時間中に保留した通知"),
            false => {
                (Origin::Surplus(since), "surplus", "not sent one by one, as they were too many", "上限を超えた通知")
            }
        };
        let english = format!("{all} alerts were {english}: {high} high, {medium} medium, {low} low\n{list}");
        let japanese = format!("{japanese}: {all}件（高{high}、中{medium}、低{low}）\n{list}");
        Alert::of_gate(origin, now, severity, kind, [&english, &japanese])
    }
}

pub(super) fn rank(severity: Severity) -> usize {
    match severity {
        Severity::Low => 0,
        Severity::Medium => 1,
        Severity::High => 2,
    }
}

/// An alert in a line.
fn line_of(alert: &Alert) -> String {
    let time = alert.time_text();
    let mut line = format!("{} {} {}", time.get(..19).unwrap_or(&time), alert.severity.as_str(), alert.kind);
    for part in [&alert.client, &alert.target, &alert.finding_id] {
        if !part.is_empty() {
            line.push(' ');
            line.push_str(&shown(part));
        }
    }
    if alert.finding_id.is_empty() {
        line.push_str(": ");
        line.push_str(&shown(alert.english.lines().next().unwrap_or_default()));
    }
    cut(&line, NAME_BYTES_MAX / 2)
}
