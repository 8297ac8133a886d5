use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, Mark, Severity};
use crate::facts::Timestamp;

use super::bundle::{Bundle, rank};
use super::event::{Event, Standing, What, gap_severity, standing, subject_in_japanese};
use super::message::{Alert, NAME_BYTES_MAX, Origin, TEXT_BYTES_MAX, cut};
use super::rules::Rules;

/// What one receiver is told: its rules, and what it was told so far.
#[derive(Debug, Clone)]
pub struct Fold {
    /// What the receiver is called.
    name: Box<str>,
    rules: Rules,
    kept: Kept,
}

/// What is known of a finding beside its record.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'k> {
    /// What the client is called.
    pub device: &'k str,
    /// What people hold the finding to be, or where nobody has said, its target.
    pub mark: Option<Mark>,
}

impl<'k> From<&'k str> for Known<'k> {
    fn from(device: &'k str) -> Self {
        Self { device, mark: None }
    }
}

/// What is remembered of what was told; it outlasts a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// By a finding's id, or what else makes two alerts the same.
    told: BTreeMap<Box<str>, Told>,
    /// Findings that a person has explained, or watches, and up to when that holds: in microseconds.
    #[serde(default)]
    settled: BTreeMap<Box<str>, u64>,
    /// Of what the gate does less well, by subject: how often that was told and not its end, and how pressing it was.
    worse: BTreeMap<Box<str>, (u32, Severity)>,
    hour: Hour,
    held: Bundle,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    severity: Severity,
    /// In microseconds.
    at: u64,
}

/// What was sent of an hour's share.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Hour {
    /// In microseconds.
    begun: u64,
    /// By severity.
    sent: [u32; 3],
    surplus: Bundle,
}

/// Of so many it is known that they were told; of more the one that was told longest ago may be told again.
const TOLD_MAX: usize = 10_000;
/// Subjects of the gate's health are few.
const SUBJECTS_MAX: usize = 64;
pub(super) const HOUR: u64 = 3_600_000_000;

impl Fold {
    /// Goes on with what was kept.
    pub fn new(name: &str, rules: Rules, kept: Kept) -> Self {
        Self { name: name.into(), rules, kept }
    }

    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// How many alerts wait for the end of quiet hours or of an hour.
    pub fn held(&self) -> u64 {
        self.kept.held.count() + self.kept.hour.surplus.count()
    }

    /// What is to be sent now of a record.
    pub fn take<'k>(&mut self, event: &Event, known: impl Into<Known<'k>>, now: Timestamp) -> Option<Alert> {
        let alert = self.news(event, known.into())?;
        self.let_out(alert, now)
    }

    /// What is to be sent now of what stands in no record.
    pub fn tell(&mut self, alert: Alert, now: Timestamp) -> Option<Alert> {
        let is_wanted = self.rules.wants("health") && alert.severity >= self.rules.severity;
        is_wanted.then(|| self.let_out(alert, now)).flatten()
    }

    /// What is to be sent now of what was held back.
    pub fn tick(&mut self, now: Timestamp) -> Vec<Alert> {
        let mut due = Vec::new();
        let Kept { hour, held, .. } = &mut self.kept;
        // What is held is told at the end of the quiet hours alone, whatever is among it.
        if !held.is_empty() && !self.rules.is_quiet(now) {
            due.push(held.take(true, now));
        }
        if hour.surplus.is_due(now) && !self.rules.holds(hour.surplus.severity(), now) {
            due.push(hour.surplus.take(false, now));
        }
        due
    }

    /// The alert of a record, where it is wanted and news.
    fn news(&mut self, event: &Event, Known { device, mark }: Known<'_>) -> Option<Alert> {
        let Event { seq, time, what } = event;
        let (origin, time) = (Origin::Record(*seq), *time);
        match what {
            What::Finding { id, kind, severity, client, target, port, english, japanese } => {
                // Who has said what it is knows of it: they are told when it becomes more pressing, and no more.
                let is_good = mark == Some(Mark::KnownGood);
                let is_settled = is_good
                    || mark == Some(Mark::Watching)
                    || self.kept.settled.get(id).is_some_and(|until| time.0 <= *until);
                match self.kept.told.get(id).filter(|_| is_settled) {
                    Some(before) if *severity <= before.severity => return None,
                    // What was known to be good before anybody was told of it is nobody's alert.
                    None if is_good => return None,
                    Some(_) | None => {}
                }
                self.is_news(kind.as_str(), id, *severity, time).then(|| Alert {
                    client: cut(client, NAME_BYTES_MAX).into(),
                    device: cut(device, NAME_BYTES_MAX).into(),
                    target: cut(target, NAME_BYTES_MAX).into(),
                    port: *port,
                    finding_id: cut(id, NAME_BYTES_MAX).into(),
                    ..Alert::of_gate(origin, time, *severity, kind.as_str(), [english, japanese])
                })
            }
            What::Health { subject, level, detail } => {
                // A receiver that takes nothing is no news to itself.
                let is_own = subject.as_ref() == "alerts" && detail.split(':').next() == Some(&self.name);
                if is_own {
                    return None;
                }
                let severity = match standing(level) {
                    Standing::Well => self.well_again(subject)?,
                    Standing::Worse(severity) => {
                        let key = format!("{subject} {level} {}", cut(detail, TEXT_BYTES_MAX));
                        if !self.is_news("health", &hashed(&key), severity, time) {
                            return None;
                        }
                        self.worse(subject, severity);
                        severity
                    }
                };
                let english = format!("{subject}: {level}: {detail}");
                let japanese = format!("{}: {level}: {detail}", subject_in_japanese(subject));
                Some(Alert::of_gate(origin, time, severity, "health", [&english, &japanese]))
            }
            What::Triage { id, mark, until } => {
                self.settle(id, *mark, *until);
                None
            }
            What::Gap { cause, detail, count } => {
                let severity = gap_severity(cause);
                if !self.is_news("health", &hashed(&format!("gap {cause} {detail}")), severity, time) {
                    return None;
                }
                let count = count.map_or(String::new(), |count| format!(" ({count})"));
                let english = format!("evidence is missing: {cause}: {detail}{count}");
                let japanese = format!("記録の一部が欠けています: {cause}: {detail}{count}");
                Some(Alert::of_gate(origin, time, severity, "gap", [&english, &japanese]))
            }
        }
    }

    /// Keeps that a person knows what a finding is; what harms, or nobody knows any more, is told of as before.
    fn settle(&mut self, id: &str, mark: Mark, until: Option<Timestamp>) {
        let settled = &mut self.kept.settled;
        match mark {
            Mark::KnownGood | Mark::Watching => {
                if settled.len() >= TOLD_MAX && !settled.contains_key(id) {
                    let first = settled.iter().min_by_key(|(_, until)| **until).map(|(id, _)| id.clone());
                    first.map(|id| settled.remove(&id));
                }
                settled.insert(id.into(), until.map_or(u64::MAX, |until| until.0));
            }
            Mark::Malicious | Mark::Withdrawn => _ = settled.remove(id),
        }
    }

    /// Whether it is wanted, and was not told already: a second time only as more pressing, or hours later.
    fn is_news(&mut self, kind: &str, key: &str, severity: Severity, time: Timestamp) -> bool {
        if !self.rules.wants(kind) || severity < self.rules.severity {
            return false;
        }
        let told = &mut self.kept.told;
        let is_news = told.get(key).is_none_or(|before| {
            severity > before.severity || time.0.saturating_sub(before.at) >= self.rules.repeat_hours * HOUR
        });
        if is_news {
            if told.len() >= TOLD_MAX && !told.contains_key(key) {
                let oldest = told.iter().min_by_key(|(_, told)| told.at).map(|(key, _)| key.clone());
                oldest.map(|key| told.remove(&key));
            }
            told.insert(key.into(), Told { severity, at: time.0 });
        }
        is_news
    }

    fn worse(&mut self, subject: &str, severity: Severity) {
        let worse = &mut self.kept.worse;
        if worse.len() < SUBJECTS_MAX || worse.contains_key(subject) {
            let (count, most) = worse.entry(cut(subject, NAME_BYTES_MAX).into()).or_insert((0, severity));
            (*count, *most) = (count.saturating_add(1), severity.max(*most));
        }
    }

    /// How pressing it was that is over; `None` where nobody was told of it.
    fn well_again(&mut self, subject: &str) -> Option<Severity> {
        let (count, severity) = self.kept.worse.get_mut(subject)?;
        let severity = *severity;
        *count -= 1;
        if *count == 0 {
            self.kept.worse.remove(subject);
        }
        Some(severity)
    }

    /// Sends it, or keeps it for later.
    fn let_out(&mut self, alert: Alert, now: Timestamp) -> Option<Alert> {
        let Kept { hour, held, .. } = &mut self.kept;
        if self.rules.holds(alert.severity, now) {
            held.add(&alert, now);
            return None;
        }
        if !hour.is_of(now) {
            let surplus = std::mem::take(&mut hour.surplus);
            *hour = Hour { begun: now.0, sent: [0; 3], surplus };
        }
        let severity = rank(alert.severity);
        let sent: u32 = hour.sent.iter().skip(severity).sum();
        // What is less pressing takes no place of what is more.
        if sent >= self.rules.per_hour {
            hour.surplus.add(&alert, now);
            return None;
        }
        if let Some(sent) = hour.sent.get_mut(severity) {
            *sent += 1;
        }
        Some(alert)
    }
}

impl Hour {
    /// A clock that was set back begins another one.
    fn is_of(&self, now: Timestamp) -> bool {
        now.0 >= self.begun && now.0 - self.begun < HOUR
    }
}

/// Of a text of any length.
fn hashed(text: &str) -> String {
    let hash = blake3::hash(text.as_bytes()).to_hex();
    hash.as_str().get(..32).unwrap_or_default().to_owned()
}

/// Kinds of alerts that rules may name: those of findings, and `health`.
pub(super) fn kinds() -> impl Iterator<Item = &'static str> {
    FindingKind::ALL.iter().map(|kind| kind.as_str()).chain(["health"])
}
