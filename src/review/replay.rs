use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use crate::evidence::{Event, RecordLine};
use crate::facts::{Stage, Timestamp};
use crate::policy::{Need, Outcome, Policy, Reason, VerdictKind};
use crate::store::{OpenError, Reader};

use super::exchange::{Asked, Came, Shown, Standpoint, standpoint};
use super::scan::{Progress, Scanned, scan};

mod answer;

pub use answer::{Change, ChangesOfClient, NotJudged, PolicySaid, Replayed, Turn, Undecided};

/// Judges what is on record by another policy, and tells what would have come otherwise. In observe mode,
/// recorded or asked about, what counts is what would happen if it were enforced.
///
/// Each exchange counts once, at its recorded time, by the first record that tells what the policy said.
/// Where the other policy waits for a ClientHello, a later record of the same exchange brings it. Exchanges
/// older than `since` are left out. Of each change and each missing fact at most `examples` are kept.
///
/// # Errors
/// What of the journal could not be read. Lines that are no records are counted.
pub fn replay(
    reader: &mut Reader,
    policy: &Policy,
    since: Option<Timestamp>,
    examples: usize,
    progress: impl FnMut(Progress),
) -> Result<Replayed, OpenError> {
    let mut replay = Replay::new(policy, since, examples);
    let scanned = scan(reader, progress, |record| replay.record(record))?;
    Ok(replay.finish(scanned))
}

/// Exchanges that wait for a ClientHello at the same time; beyond it the oldest counts as undecided.
const WAITING_MAX: usize = 100_000;
/// Changes told apart by rules and verdicts, clients told apart, and needs told apart by rule; what is beyond
/// is only counted.
const APART_MAX: usize = 10_000;
/// Pairs of a change and a client of it; beyond it the number of clients is a lower bound.
const PAIRS_MAX: usize = 200_000;

/// What a policy said of an exchange: recorded, or now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Verdict {
    came: Came,
    reason: Box<str>,
    rule: Option<Box<str>>,
}

/// An exchange that waits for its ClientHello.
struct Waiting {
    asked: Asked,
    group: Option<Box<str>>,
    was: Verdict,
    was_at: Option<Box<str>>,
}

struct Replay<'p> {
    policy: &'p Policy,
    since: Timestamp,
    examples_max: usize,
    /// By the names of exchanges, which sort by time.
    waiting: BTreeMap<Box<str>, Waiting>,
    changes: HashMap<(Verdict, Verdict), Group>,
    /// Which clients had which change, by its number.
    pairs: HashSet<(usize, IpAddr)>,
    clients: HashMap<IpAddr, OfClient>,
    undecided: HashMap<(&'static str, Option<Box<str>>), Group>,
    not_judged: BTreeMap<Box<str>, u64>,
    totals: Totals,
}

#[derive(Default)]
struct Totals {
    exchanges: u64,
    same: u64,
    by_another_rule: u64,
    changed: u64,
    changed_beyond: u64,
    clients_beyond: u64,
    undecided: u64,
    undecided_beyond: u64,
    not_judged: u64,
    span: Span,
}

/// First and last of some moments.
#[derive(Debug, Clone, Copy, Default)]
struct Span(Option<(Timestamp, Timestamp)>);

impl Span {
    fn stretch(&mut self, time: Timestamp) {
        let (first, last) = self.0.unwrap_or((time, time));
        self.0 = Some((first.min(time), last.max(time)));
    }
}

/// Exchanges that have something in common.
struct Group {
    number: usize,
    exchanges: u64,
    clients: u64,
    /// There may be more clients than were counted.
    clients_more: bool,
    span: Span,
    examples: Vec<String>,
    /// Where the rules stand, as the first of them says.
    from_at: Option<Box<str>>,
    to_at: Option<Box<str>>,
}

struct OfClient {
    group: Option<Box<str>>,
    changed: u64,
    turns: BTreeMap<(Came, Came), u64>,
}

impl<'p> Replay<'p> {
    fn new(policy: &'p Policy, since: Option<Timestamp>, examples_max: usize) -> Self {
        Self {
            policy,
            since: since.unwrap_or(Timestamp(0)),
            examples_max,
            waiting: BTreeMap::new(),
            changes: HashMap::new(),
            pairs: HashSet::new(),
            clients: HashMap::new(),
            undecided: HashMap::new(),
            not_judged: BTreeMap::new(),
            totals: Totals::default(),
        }
    }

    fn record(&mut self, record: &RecordLine<'_>) {
        let standpoint = standpoint(record);
        match standpoint {
            Standpoint::Later => self.later(record),
            Standpoint::Judged(_) | Standpoint::NotByPolicy if record.time < self.since => {}
            Standpoint::Judged(came) => self.judged(record, came),
            Standpoint::NotByPolicy => {
                let breakglass = record.breakglass == Some(true);
                let reason = record.reason.as_deref().filter(|_| !breakglass).unwrap_or("breakglass");
                self.pass_over(record.time, reason);
            }
        }
    }

    fn judged(&mut self, record: &RecordLine<'_>, came: Came) {
        let Some(asked) = Asked::read(record) else {
            return self.pass_over(record.time, "incomplete_record");
        };
        self.totals.exchanges += 1;
        self.totals.span.stretch(record.time);
        let was = Verdict {
            came,
            reason: record.reason.as_deref().unwrap_or_default().into(),
            rule: record.rule.as_deref().map(Into::into),
        };
        let was_at = record.rule_at.as_deref().map(Into::into);
        let found = Waiting { asked, group: record.client_group.as_deref().map(Into::into), was, was_at };
        let first = found.asked.judge(self.policy, Stage::NotYet);
        if !matches!(first, Outcome::Needs(Need::Hello, _)) {
            return self.conclude(&found, first);
        }
        let shown = Shown::read(record);
        match (&shown, record.event, record.id.as_deref()) {
            // It may still show its first bytes.
            (Shown::Nothing, Some(Event::Open), Some(id)) => self.wait(id, found),
            _ => self.conclude(&found, found.asked.judge(self.policy, shown.stage())),
        }
    }

    fn wait(&mut self, id: &str, found: Waiting) {
        self.waiting.insert(id.into(), found);
        if self.waiting.len() > WAITING_MAX
            && let Some((_, oldest)) = self.waiting.pop_first()
        {
            self.conclude(&oldest, oldest.asked.judge(self.policy, Stage::NotYet));
        }
    }

    /// A later record of an exchange may show the hello that it waits for; its last one ends the wait.
    fn later(&mut self, record: &RecordLine<'_>) {
        let Some(id) = record.id.as_deref().filter(|_| !self.waiting.is_empty()) else { return };
        let shown = Shown::read(record);
        if matches!(shown, Shown::Nothing) && record.event != Some(Event::Close) {
            return;
        }
        if let Some(found) = self.waiting.remove(id) {
            self.conclude(&found, found.asked.judge(self.policy, shown.stage()));
        }
    }

    fn conclude(&mut self, found: &Waiting, outcome: Outcome) {
        let (came, reason) = match outcome {
            Outcome::Decided(decision) => {
                let kind = decision.would.unwrap_or(decision.verdict.kind());
                (came_of(kind), decision.reason)
            }
            Outcome::Needs(need, reason) => {
                let reads = need == Need::InnerRequest && found.was.came == Came::InnerRequest;
                let refused = found.was.came == Came::Deny && *found.was.reason == *reason.code.as_str();
                if !reads && !refused {
                    return self.leave_undecided(found, need_word(need), &reason);
                }
                (found.was.came, reason)
            }
        };
        if came == found.was.came {
            self.totals.same += 1;
            let other = matches!((&reason.rule, &found.was.rule), (Some(now), Some(was)) if now.name != *was);
            self.totals.by_another_rule += u64::from(other);
        } else {
            self.change(found, came, &reason);
        }
    }

    fn change(&mut self, found: &Waiting, came: Came, reason: &Reason) {
        self.totals.changed += 1;
        self.change_of_client(found, came);
        let now = Verdict {
            came,
            reason: reason.code.as_str().into(),
            rule: reason.rule.as_ref().map(|rule| rule.name.clone()),
        };
        let next = self.changes.len();
        let key = (found.was.clone(), now);
        if next >= APART_MAX && !self.changes.contains_key(&key) {
            self.totals.changed_beyond += 1;
            return;
        }
        let group = self.changes.entry(key).or_insert_with(|| Group {
            from_at: found.was_at.clone(),
            to_at: reason.rule.as_ref().map(|rule| format!("{}:{}", rule.file, rule.line).into()),
            ..Group::new(next)
        });
        group.count(&found.asked, self.examples_max);
        let pair = (group.number, found.asked.address());
        if self.pairs.len() < PAIRS_MAX {
            group.clients += u64::from(self.pairs.insert(pair));
        } else if !self.pairs.contains(&pair) {
            group.clients_more = true;
        }
    }

    fn change_of_client(&mut self, found: &Waiting, came: Came) {
        let address = found.asked.address();
        if self.clients.len() >= APART_MAX && !self.clients.contains_key(&address) {
            self.totals.clients_beyond += 1;
            return;
        }
        let new = || OfClient { group: found.group.clone(), changed: 0, turns: BTreeMap::new() };
        let client = self.clients.entry(address).or_insert_with(new);
        client.changed += 1;
        *client.turns.entry((found.was.came, came)).or_default() += 1;
    }

    fn leave_undecided(&mut self, found: &Waiting, need: &'static str, reason: &Reason) {
        self.totals.undecided += 1;
        let key = (need, reason.rule.as_ref().map(|rule| rule.to_string().into()));
        let next = self.undecided.len();
        if next >= APART_MAX && !self.undecided.contains_key(&key) {
            self.totals.undecided_beyond += 1;
            return;
        }
        self.undecided.entry(key).or_insert_with(|| Group::new(next)).count(&found.asked, self.examples_max);
    }

    fn pass_over(&mut self, time: Timestamp, reason: &str) {
        self.totals.exchanges += 1;
        self.totals.span.stretch(time);
        self.totals.not_judged += 1;
        // Reasons are a closed list, but who could write to the journal could have made up more.
        let reason = if self.not_judged.len() < APART_MAX { reason } else { "others" };
        *self.not_judged.entry(reason.into()).or_default() += 1;
    }

    fn finish(mut self, scanned: Scanned) -> Replayed {
        while let Some((_, found)) = self.waiting.pop_first() {
            self.conclude(&found, found.asked.judge(self.policy, Stage::NotYet));
        }
        self.answer(scanned)
    }
}

impl Group {
    fn new(number: usize) -> Self {
        Self {
            number,
            exchanges: 0,
            clients: 0,
            clients_more: false,
            span: Span::default(),
            examples: Vec::new(),
            from_at: None,
            to_at: None,
        }
    }

    fn count(&mut self, asked: &Asked, examples_max: usize) {
        self.exchanges += 1;
        self.span.stretch(asked.time);
        if self.examples.len() < examples_max {
            self.examples.push(asked.in_words());
        }
    }
}

fn came_of(kind: VerdictKind) -> Came {
    match kind {
        VerdictKind::Allow => Came::Allow,
        VerdictKind::Challenge => Came::Challenge,
        VerdictKind::Deny => Came::Deny,
    }
}

/// The fact by the name that reports have for it.
fn need_word(need: Need) -> &'static str {
    match need {
        Need::Hello => "hello",
        Need::InnerRequest => "inner_request",
        Need::User => "user",
    }
}

#[cfg(test)]
mod tests;
