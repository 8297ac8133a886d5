use std::sync::Arc;

use crate::facts::{Facts, Host, Restraint, Scheme, Stage};

use super::compile::{ClientGroup, Policy, Program, Rule};
use super::decision::{
    Code, Decision, Handling, Need, Outcome, Permit, PermitTerms, Reason, RuleRef, Verdict, VerdictKind,
};

/// Judges one exchange: the guard first, then the rules in order, the first match wins, and what no
/// rule names gets the policy's `unknown`. Pure and total; the same facts give the same outcome.
pub fn decide(policy: &Policy, facts: &Facts<'_>) -> Outcome {
    decide_traced(policy, facts, &mut ())
}

/// The same, telling of each rule that was considered, in order: who explains sees what who decides does.
pub fn decide_traced(policy: &Policy, facts: &Facts<'_>, trace: &mut impl Trace) -> Outcome {
    if facts.restraint == Restraint::Isolated {
        return Outcome::Decided(refused(facts, Code::Isolated, None));
    }
    if is_forbidden_name(&facts.target.host) {
        return Outcome::Decided(refused(facts, Code::GuardName, None));
    }
    let mut near = None;
    for rule in &policy.rules {
        let found = judge(rule, facts);
        trace.considered(&rule.reference, rule.verdict, found);
        match found {
            Considered::Lacks(Condition::Port) if rule.verdict != VerdictKind::Deny => near = near.or(Some(rule)),
            Considered::Lacks(_) => {}
            Considered::Waits(need) => return wait(policy, facts, need, rule),
            Considered::Applies => {
                let reason = Reason { code: Code::Rule, rule: Some(rule.reference.clone()) };
                return finish(policy, facts, rule.verdict, reason, Some(rule));
            }
        }
    }
    if let Some(rule) = near {
        let reason = Reason { code: Code::PortNotOpened, rule: Some(rule.reference.clone()) };
        return finish(policy, facts, VerdictKind::Deny, reason, None);
    }
    let opened = port_is_default(facts);
    let (code, kind) = if opened { (Code::NoRule, policy.unknown) } else { (Code::PortNotOpened, VerdictKind::Deny) };
    finish(policy, facts, kind, Reason { code, rule: None }, None)
}

/// Where what is found of each rule goes. `()` keeps nothing, and costs nothing.
pub trait Trace {
    fn considered(&mut self, rule: &Arc<RuleRef>, verdict: VerdictKind, found: Considered);
}

impl Trace for () {
    fn considered(&mut self, _: &Arc<RuleRef>, _: VerdictKind, _: Considered) {}
}

/// What was found of one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Considered {
    /// All of it holds: it decides.
    Applies,
    /// This of it does not hold, and all that is looked at before it does.
    Lacks(Condition),
    /// All that is known holds, and nothing is decided before this is.
    Waits(Need),
}

/// What a rule may ask for, in the order in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Host,
    Client,
    Method,
    Program,
    Port,
}

fn finish(policy: &Policy, facts: &Facts<'_>, kind: VerdictKind, reason: Reason, rule: Option<&Rule>) -> Outcome {
    let mut terms = rule.map_or_else(PermitTerms::of_no_rule, |rule| rule.terms.clone());
    terms.observed = policy.observes();
    let would = (policy.observes() && kind != VerdictKind::Allow).then_some(kind);
    let passes = kind == VerdictKind::Allow || would.is_some();
    if passes && needs_inner_request(facts, &terms) {
        return Outcome::Needs(Need::InnerRequest, Reason { code: Code::NeedsInnerRequest, ..reason });
    }
    if passes && repeats_request(facts.method) && terms.route.shows_credentials(facts.target.scheme) {
        return Outcome::Decided(refused(facts, Code::TraceShowsCredentials, rule));
    }
    let verdict = match kind {
        _ if passes => Verdict::Allow(Permit::new(facts.target, terms)),
        VerdictKind::Challenge => Verdict::Challenge,
        VerdictKind::Allow | VerdictKind::Deny => Verdict::Deny,
    };
    Outcome::Decided(Decision { verdict, would, handling: handling(facts), reason })
}

/// What is observed never stops at a fact that this gate cannot learn: it passes, without what the
/// rule opens, as one that would have been denied.
fn wait(policy: &Policy, facts: &Facts<'_>, need: Need, rule: &Rule) -> Outcome {
    let reason = Reason { code: need.code(), rule: Some(rule.reference.clone()) };
    if policy.observes() && !can_be_met(need, facts) {
        return finish(policy, facts, VerdictKind::Deny, reason, None);
    }
    Outcome::Needs(need, reason)
}

/// Users are not known yet. A request inside a tunnel is read on port 80 alone, and not once a hello
/// was looked for in its place.
fn can_be_met(need: Need, facts: &Facts<'_>) -> bool {
    match need {
        Need::Hello => true,
        Need::InnerRequest => facts.target.port == 80 && matches!(facts.hello, Stage::NotYet),
        Need::User => false,
    }
}

/// A tunnel to port 80 carries a WebSocket handshake, which is read and judged like a plain request;
/// where nothing but addresses is enforced, it passes as it is.
fn needs_inner_request(facts: &Facts<'_>, terms: &PermitTerms) -> bool {
    facts.target.scheme == Scheme::Tunnel
        && facts.target.port == 80
        && !terms.any_protocol
        && !terms.observed
        && matches!(facts.inner, Stage::NotYet)
}

/// Methods whose answer repeats the request as it arrived, credentials included (RFC 9110 §9.3.8): what
/// is TRACE to a parent that reads methods without regard to case, and the TRACK of old servers, too.
fn repeats_request(method: &str) -> bool {
    ["TRACE", "TRACK"].iter().any(|known| method.eq_ignore_ascii_case(known))
}

fn refused(facts: &Facts<'_>, code: Code, rule: Option<&Rule>) -> Decision {
    Decision {
        verdict: Verdict::Deny,
        would: None,
        handling: handling(facts),
        reason: Reason { code, rule: rule.map(|rule| rule.reference.clone()) },
    }
}

fn handling(facts: &Facts<'_>) -> Handling {
    match facts.target.scheme {
        Scheme::Http => Handling::Forward,
        Scheme::Tunnel => Handling::Tunnel,
    }
}

fn judge(rule: &Rule, facts: &Facts<'_>) -> Considered {
    if rule.hosts.as_ref().is_some_and(|hosts| !hosts.contains(&facts.target.host)) {
        return Considered::Lacks(Condition::Host);
    }
    let mut waits = None;
    if let Some(groups) = &rule.clients {
        match judge_clients(groups, facts) {
            Considered::Applies => {}
            Considered::Waits(need) => waits = Some(need),
            lacks @ Considered::Lacks(_) => return lacks,
        }
    }
    if let Some(methods) = &rule.methods
        && !methods.iter().any(|method| **method == *facts.method)
    {
        if facts.target.scheme != Scheme::Tunnel {
            return Considered::Lacks(Condition::Method);
        }
        waits = waits.or(Some(Need::InnerRequest));
    }
    if let Some(programs) = &rule.programs {
        match judge_programs(programs, facts) {
            Considered::Applies => {}
            Considered::Waits(need) => waits = waits.or(Some(need)),
            lacks @ Considered::Lacks(_) => return lacks,
        }
    }
    let port_matches = match &rule.ports {
        Some(ports) => ports.contains(&facts.target.port),
        None => rule.verdict == VerdictKind::Deny || port_is_default(facts),
    };
    match (port_matches, waits) {
        (false, _) => Considered::Lacks(Condition::Port),
        (true, Some(need)) => Considered::Waits(need),
        (true, None) => Considered::Applies,
    }
}

/// Plain HTTP leaves on 80; a tunnel on 443, or on 80 for a WebSocket. Rules open others by `ports`.
fn port_is_default(facts: &Facts<'_>) -> bool {
    let port = facts.target.port;
    match facts.target.scheme {
        Scheme::Http => port == 80,
        Scheme::Tunnel => port == 443 || port == 80,
    }
}

fn judge_clients(groups: &[ClientGroup], facts: &Facts<'_>) -> Considered {
    let address = facts.client.address.ip().to_canonical();
    let mut waits = false;
    for group in groups {
        let here = group.addresses.is_empty() || group.addresses.iter().any(|net| net.contains(&address));
        match (&facts.client.user, group.users.is_empty()) {
            (_, true) if here => return Considered::Applies,
            (Some(user), false) if here && group.users.contains(user) => return Considered::Applies,
            (None, false) if here => waits = true,
            _ => {}
        }
    }
    if waits { Considered::Waits(Need::User) } else { Considered::Lacks(Condition::Client) }
}

fn judge_programs(programs: &[Arc<Program>], facts: &Facts<'_>) -> Considered {
    let mut waits = false;
    for program in programs {
        if !program
            .user_agent
            .as_deref()
            .is_none_or(|glob| facts.program.user_agent.is_some_and(|agent| matches_glob(glob.as_bytes(), agent)))
        {
            continue;
        }
        if program.ja4.is_empty() {
            return Considered::Applies;
        }
        match facts.hello {
            Stage::Known(hello) if program.ja4.contains(&hello.ja4) => return Considered::Applies,
            Stage::NotYet => waits = true,
            Stage::Known(_) | Stage::Never => {}
        }
    }
    if waits { Considered::Waits(Need::Hello) } else { Considered::Lacks(Condition::Program) }
}

/// `*` stands for any run of bytes; everything else for itself. Linear in practice, and at worst the
/// product of two bounded lengths.
fn matches_glob(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if glob.get(g) == Some(&b'*') {
            star = Some((g, t));
            g += 1;
        } else if glob.get(g) == text.get(t) {
            g += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            g = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    glob.get(g..).is_some_and(|rest| rest.iter().all(|b| *b == b'*'))
}

/// Names that must never be a target: they mean this machine, nothing, or another network
/// (RFC 6761 §6.3 and §6.4, RFC 7686).
fn is_forbidden_name(host: &Host) -> bool {
    let Host::Name(name) = host else { return false };
    let last = name.as_str().rsplit('.').next().unwrap_or_default();
    matches!(last, "localhost" | "localdomain" | "invalid" | "onion")
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
