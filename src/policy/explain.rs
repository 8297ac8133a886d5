use std::sync::Arc;

use crate::facts::{Scheme, Timestamp};

use super::compile::Policy;
use super::decide::{Condition, Considered, Trace, decide_traced};
use super::decision::{
    Handling, Need, Outcome, Rate, Reason, RuleRef, TunnelLimits, Verdict, VerdictKind, fields_set_at,
};
use super::guard::{AddressRefused, OwnEndpoints, judge_address};
use super::question::Question;
use super::set_fields::SetField;

/// What becomes of a request, and why: by the very evaluation that decides.
#[derive(Debug)]
pub struct Explanation {
    /// Every rule that was considered, in order; the last may be the one that decides.
    pub considered: Vec<Line>,
    pub result: Explained,
    /// The fields that its rules set in the request; for a tunnel, in those inside, where it is looked into.
    pub set_fields: Vec<SetField>,
    /// A rule with hours was considered, and nothing but the moment may have decided about it.
    pub rests_on_hours: bool,
}

/// One rule that was considered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub rule: Arc<RuleRef>,
    pub verdict: VerdictKind,
    pub found: Considered,
}

/// What it comes to.
#[derive(Debug)]
pub enum Explained {
    Decided {
        /// What the policy says, though it may only observe.
        verdict: VerdictKind,
        /// It only observes: the request passes all the same.
        observed: bool,
        handling: Handling,
        reason: Reason,
        limits: TunnelLimits,
        rates: Vec<Rate>,
        /// For what is challenged, how.
        challenge: Option<ChallengeKind>,
    },
    /// The guard refuses the address that the request names, whatever the rule says.
    Guarded { refused: AddressRefused, reason: Reason },
    /// Nothing is decided before this is known.
    Needs(Need, Reason),
}

/// How a challenge could be met, by what is visible of the exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChallengeKind {
    /// The tunnel is closed once its ClientHello was read: a browser comes back by itself.
    TunnelReset,
    /// A page that a browser passes.
    Page,
    /// The same inside the tunnel, which is looked into: by a gate that has an authority. One that has none denies what
    /// the rule asks for, whoever logs in.
    PageInside,
    /// The user logs in anew, where the config says how; else none.
    LogIn,
    /// None: what is asked for shows no page, and an uncleared program is denied.
    NotPossible,
}

struct Lines(Vec<Line>);

impl Trace for Lines {
    const WANTS_ALL: bool = true;

    fn considered(&mut self, rule: &Arc<RuleRef>, verdict: VerdictKind, found: Considered) {
        self.0.push(Line { rule: rule.clone(), verdict, found });
    }
}

/// Explains what becomes of a request. A name is not resolved: what the guard says of its addresses is
/// known only when it is.
pub fn explain(policy: &Policy, question: &Question, now: Timestamp) -> Explanation {
    let mut lines = Lines(Vec::new());
    let outcome = decide_traced(policy, &question.facts(now), &mut lines);
    let result = match outcome {
        Outcome::Needs(need, reason) => Explained::Needs(need, reason),
        Outcome::Decided(decision) => {
            let rates = match &decision.verdict {
                Verdict::Allow(permit) => permit.rates().map(|rate| Rate::clone(rate)).collect(),
                Verdict::Challenge | Verdict::Deny => Vec::new(),
            };
            let (limits, refused) = match &decision.verdict {
                Verdict::Allow(permit) => {
                    let none = OwnEndpoints { listeners: Vec::new(), interfaces: Vec::new() };
                    let literal = question.target().host.address();
                    let judged = literal.map(|address| judge_address(address, permit.port(), &permit.opened(), &none));
                    (permit.limits(), judged.and_then(Result::err))
                }
                Verdict::Challenge | Verdict::Deny => (TunnelLimits::default(), None),
            };
            let observed = policy.observes_client(question.client()) && matches!(decision.verdict, Verdict::Allow(_));
            let kind = decision.would.unwrap_or(decision.verdict.kind());
            let reason = decision.reason;
            match refused {
                Some(refused) => Explained::Guarded { refused, reason },
                None => Explained::Decided {
                    challenge: challenge_of(question, kind, decision.handling, &reason),
                    rates,
                    verdict: kind,
                    observed,
                    handling: decision.handling,
                    reason,
                    limits,
                },
            }
        }
    };
    let rests_on_hours = lines.0.iter().any(|line| {
        line.rule.notes.hours.is_some()
            && !matches!(
                line.found,
                Considered::Lacks(Condition::Host | Condition::Until | Condition::Client | Condition::Captured)
            )
    });
    let set_fields = match result.verdict() {
        Some(VerdictKind::Deny) => Vec::new(),
        Some(VerdictKind::Allow | VerdictKind::Challenge) | None => set_fields(policy, question, &lines.0),
    };
    Explanation { considered: lines.0, result, set_fields, rests_on_hours }
}

/// What the rules set that apply, or that wait for the request alone.
fn set_fields(policy: &Policy, question: &Question, lines: &[Line]) -> Vec<SetField> {
    let applies = |reference: &Arc<RuleRef>| {
        let found = lines.iter().find(|line| Arc::ptr_eq(&line.rule, reference)).map(|line| line.found);
        matches!(found, Some(Considered::Applies | Considered::Waits(Need::InnerRequest)))
    };
    let rules = policy.all_rules().filter(|rule| applies(&rule.reference));
    fields_set_at(&question.target().host, rules.map(|rule| &*rule.terms))
}

/// Which challenge would be used: a page where one can be shown, and in a tunnel the reset, but where a
/// person must be there.
fn challenge_of(question: &Question, kind: VerdictKind, handling: Handling, reason: &Reason) -> Option<ChallengeKind> {
    if kind != VerdictKind::Challenge {
        return None;
    }
    Some(match (question.target().scheme, question.method()) {
        (Scheme::Tunnel, _) if reason.needs_person() && handling == Handling::Inspect => ChallengeKind::PageInside,
        (Scheme::Tunnel, _) if reason.needs_person() => ChallengeKind::LogIn,
        (Scheme::Tunnel, _) => ChallengeKind::TunnelReset,
        (Scheme::Http | Scheme::Https, "GET") => ChallengeKind::Page,
        (Scheme::Http | Scheme::Https, _) => ChallengeKind::NotPossible,
    })
}

impl ChallengeKind {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            ChallengeKind::TunnelReset => "tunnel_reset",
            ChallengeKind::Page => "page",
            ChallengeKind::PageInside => "page_inside",
            ChallengeKind::LogIn => "log_in",
            ChallengeKind::NotPossible => "not_possible",
        }
    }
}

impl Explained {
    /// What the policy says in the end; `None` where a fact is missing.
    pub fn verdict(&self) -> Option<VerdictKind> {
        match self {
            Explained::Decided { verdict, .. } => Some(*verdict),
            Explained::Guarded { .. } => Some(VerdictKind::Deny),
            Explained::Needs(..) => None,
        }
    }

    /// Why, as records say it.
    pub fn code(&self) -> &'static str {
        match self {
            Explained::Decided { reason, .. } | Explained::Needs(_, reason) => reason.code.as_str(),
            Explained::Guarded { .. } => "guard_address",
        }
    }

    pub fn reason(&self) -> &Reason {
        match self {
            Explained::Decided { reason, .. } | Explained::Needs(_, reason) | Explained::Guarded { reason, .. } => {
                reason
            }
        }
    }

    /// The rule that decided, that waits, or that came nearest.
    pub fn rule(&self) -> Option<&Arc<RuleRef>> {
        self.reason().rule.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_asked_by_a_page_where_one_can_be_shown_and_else_to_log_in() {
        let rule = |name: &str, keys: &str| {
            format!("[[rule]]\nname = \"{name}\"\nhosts = [\"{name}.example\"]\nverdict = \"challenge\"\n{keys}\n")
        };
        let text = [rule("a", "fresh = true"), rule("b", "fresh = true\ninspect = true"), rule("c", "inspect = true")];
        let policy = Policy::compile("policy.toml", &text.concat()).unwrap_or_else(|problems| panic!("{problems:?}"));
        for (request, expected) in [
            ("GET http://a.example/", ChallengeKind::Page),
            ("POST http://a.example/", ChallengeKind::NotPossible),
            ("GET https://a.example/", ChallengeKind::LogIn),
            ("GET https://b.example/", ChallengeKind::PageInside),
            ("GET http://b.example/", ChallengeKind::Page),
            ("GET https://c.example/", ChallengeKind::TunnelReset),
        ] {
            let question = Question::read([10, 0, 0, 1].into(), request).unwrap();
            match explain(&policy, &question, Timestamp(0)).result {
                Explained::Decided { challenge, .. } => assert_eq!(challenge, Some(expected), "{request}"),
                result => panic!("{request}: {result:?}"),
            }
        }
    }
}
