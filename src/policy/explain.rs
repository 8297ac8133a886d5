use std::sync::Arc;

use crate::facts::Timestamp;

use super::compile::Policy;
use super::decide::{Considered, Trace, decide_traced};
use super::decision::{Handling, Need, Outcome, Reason, RuleRef, TunnelLimits, Verdict, VerdictKind};
use super::guard::{AddressRefused, OwnEndpoints, judge_address};
use super::question::Question;

/// What becomes of a request, and why: by the very evaluation that decides.
#[derive(Debug)]
pub struct Explanation {
    /// Every rule that was considered, in order; the last may be the one that decides.
    pub considered: Vec<Line>,
    pub result: Explained,
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
    },
    /// The guard refuses the address that the request names, whatever the rule says.
    Guarded { refused: AddressRefused, reason: Reason },
    /// Nothing is decided before this is known.
    Needs(Need, Reason),
}

struct Lines(Vec<Line>);

impl Trace for Lines {
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
            let (limits, refused) = match &decision.verdict {
                Verdict::Allow(permit) => {
                    let none = OwnEndpoints { listeners: Vec::new(), interfaces: Vec::new() };
                    let literal = question.target().host.address();
                    let judged = literal.map(|address| judge_address(address, permit.port(), permit.opened(), &none));
                    (permit.limits(), judged.and_then(Result::err))
                }
                Verdict::Challenge | Verdict::Deny => (TunnelLimits::default(), None),
            };
            let reason = decision.reason;
            match refused {
                Some(refused) => Explained::Guarded { refused, reason },
                None => Explained::Decided {
                    verdict: decision.would.unwrap_or(decision.verdict.kind()),
                    observed: policy.observes(),
                    handling: decision.handling,
                    reason,
                    limits,
                },
            }
        }
    };
    Explanation { considered: lines.0, result }
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

    /// The rule that decided, that waits, or that came nearest.
    pub fn rule(&self) -> Option<&Arc<RuleRef>> {
        match self {
            Explained::Decided { reason, .. } | Explained::Needs(_, reason) | Explained::Guarded { reason, .. } => {
                reason.rule.as_ref()
            }
        }
    }
}
