use std::collections::HashMap;
use std::hash::Hash;

use serde::Serialize;

use crate::evidence::{format_time, shown};

use super::super::scan::Scanned;
use super::{Group, Replay, Span, Verdict};

/// What another policy would have changed. All text from records is safe to show. Lists stand with the most
/// exchanges first.
#[derive(Debug, Serialize)]
pub struct Replayed {
    /// The version of the policy that was asked.
    pub policy: String,
    /// Lines of the journal that were read, of all kinds.
    pub records: u64,
    /// Lines that are no records, and were passed over.
    pub unreadable: u64,
    /// Exchanges that were found: the sum of `same`, `changed`, `undecided` and `not_judged`.
    pub exchanges: u64,
    /// When the first and the last of them were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Those of which the recorded verdict could be compared: `same` and `changed`.
    pub judged: u64,
    pub same: u64,
    /// Of the same: those that another rule, by its name, would have decided.
    pub by_another_rule: u64,
    pub changed: u64,
    /// Those that need a fact which is not on record.
    pub undecided: u64,
    /// Those that the gate refused by itself, whatever a policy says.
    pub not_judged: u64,
    pub changes: Vec<Change>,
    /// Changed exchanges of more kinds than are told apart.
    pub changes_beyond: u64,
    pub clients: Vec<ChangesOfClient>,
    /// Changed exchanges of more clients than are told apart.
    pub clients_beyond: u64,
    pub undecided_by: Vec<Undecided>,
    /// Undecided exchanges of more kinds than are told apart.
    pub undecided_beyond: u64,
    pub not_judged_by: Vec<NotJudged>,
}

/// Exchanges whose verdict would change in the same way by the same rules.
#[derive(Debug, Serialize)]
pub struct Change {
    pub from: PolicySaid,
    pub to: PolicySaid,
    pub exchanges: u64,
    pub clients: u64,
    /// There may be more clients than were counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub clients_more: bool,
    pub first: String,
    pub last: String,
    pub examples: Vec<String>,
}

/// What a policy said, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct PolicySaid {
    /// `allow`, `challenge`, `deny`, or `inner_request` for a tunnel of which the first request is judged.
    pub verdict: &'static str,
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// File and line of the rule; of the first, where it has moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_at: Option<String>,
}

/// What would change for one client.
#[derive(Debug, Serialize)]
pub struct ChangesOfClient {
    pub client: String,
    /// The group it was in, as its records say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    pub changed: u64,
    pub turns: Vec<Turn>,
}

/// From one verdict to another, whatever the rules.
#[derive(Debug, Serialize)]
pub struct Turn {
    pub from: &'static str,
    pub to: &'static str,
    pub exchanges: u64,
}

/// Exchanges that wait for the same fact by the same rule.
#[derive(Debug, Serialize)]
pub struct Undecided {
    /// `hello`, `inner_request` or `user`.
    pub need: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    pub exchanges: u64,
    pub examples: Vec<String>,
}

/// Exchanges that no policy could change, by what ended them.
#[derive(Debug, Serialize)]
pub struct NotJudged {
    pub reason: String,
    pub exchanges: u64,
}

impl Replay<'_> {
    pub(super) fn answer(self, scanned: Scanned) -> Replayed {
        let totals = self.totals;
        let mut clients: Vec<_> = self.clients.into_iter().collect();
        clients.sort_by_key(|(address, client)| (std::cmp::Reverse(client.changed), *address));
        Replayed {
            policy: self.policy.hash().to_owned(),
            records: scanned.records,
            unreadable: scanned.unreadable,
            exchanges: totals.exchanges,
            first: begin(totals.span),
            last: end(totals.span),
            judged: totals.same + totals.changed,
            same: totals.same,
            by_another_rule: totals.by_another_rule,
            changed: totals.changed,
            undecided: totals.undecided,
            not_judged: totals.not_judged,
            changes: most_first(self.changes).into_iter().map(change).collect(),
            changes_beyond: totals.changed_beyond,
            clients: clients
                .into_iter()
                .map(|(address, client)| ChangesOfClient {
                    client: address.to_string(),
                    group: client.group.as_deref().map(safe),
                    changed: client.changed,
                    turns: client
                        .turns
                        .into_iter()
                        .map(|((from, to), exchanges)| Turn { from: from.as_str(), to: to.as_str(), exchanges })
                        .collect(),
                })
                .collect(),
            clients_beyond: totals.clients_beyond,
            undecided_by: most_first(self.undecided)
                .into_iter()
                .map(|((need, rule), group)| Undecided {
                    need,
                    rule: rule.as_deref().map(safe),
                    exchanges: group.exchanges,
                    examples: group.examples,
                })
                .collect(),
            undecided_beyond: totals.undecided_beyond,
            not_judged_by: not_judged(self.not_judged),
        }
    }
}

fn not_judged(counts: impl IntoIterator<Item = (Box<str>, u64)>) -> Vec<NotJudged> {
    let counts = counts.into_iter().map(|(reason, exchanges)| NotJudged { reason: safe(&reason), exchanges });
    let mut sorted: Vec<_> = counts.collect();
    sorted.sort_by_key(|counted| std::cmp::Reverse(counted.exchanges));
    sorted
}

/// Groups in the order in which they are shown: by size, and among equals in that of the journal.
fn most_first<K: Hash + Eq>(groups: HashMap<K, Group>) -> Vec<(K, Group)> {
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| (std::cmp::Reverse(group.exchanges), group.number));
    groups
}

fn change(((from, to), group): ((Verdict, Verdict), Group)) -> Change {
    Change {
        from: said(from, group.from_at.as_deref()),
        to: said(to, group.to_at.as_deref()),
        exchanges: group.exchanges,
        clients: group.clients,
        clients_more: group.clients_more,
        first: begin(group.span).unwrap_or_default(),
        last: end(group.span).unwrap_or_default(),
        examples: group.examples,
    }
}

fn said(verdict: Verdict, at: Option<&str>) -> PolicySaid {
    PolicySaid {
        verdict: verdict.came.as_str(),
        reason: safe(&verdict.reason),
        rule: verdict.rule.as_deref().map(safe),
        rule_at: at.map(safe),
    }
}

fn begin(span: Span) -> Option<String> {
    span.0.map(|(first, _)| format_time(first))
}

fn end(span: Span) -> Option<String> {
    span.0.map(|(_, last)| format_time(last))
}

fn safe(text: &str) -> String {
    shown(text).into_owned()
}
