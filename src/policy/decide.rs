use std::sync::Arc;

use crate::facts::{Facts, Host, Response, Scheme, Stage, Standing};

use super::compile::{Layer, Mimic, Policy};
use super::decision::{
    Beside, Code, Decision, Handling, Need, Outcome, Permit, PermitTerms, Reason, RuleRef, Terms, Verdict, VerdictKind,
};
use super::judge::judge;
use super::rule::Rule;

/// Judges one exchange: the guard first, then the rules of each layer in order, the first match wins, and
/// what no rule names gets the layer's `unknown`; of two layers the stricter decides. Pure and total; the same
/// facts give the same outcome.
pub fn decide(policy: &Policy, facts: &Facts<'_>) -> Outcome {
    decide_traced(policy, facts, &mut ())
}

/// The same, telling of each rule that was considered, in order: who explains sees what who decides does.
pub fn decide_traced<T: Trace>(policy: &Policy, facts: &Facts<'_>, trace: &mut T) -> Outcome {
    if facts.restraint.isolated {
        return Outcome::Decided(refused(facts, Code::Isolated, None));
    }
    if is_forbidden_name(&facts.target.host) {
        return Outcome::Decided(refused(facts, Code::GuardName, None));
    }
    let mut whole = None;
    for layer in &policy.layers {
        let found = judge_layer(layer, facts, trace);
        whole = Some(match whole {
            None => Whole::of(found),
            Some(base) => Whole::both(base, found),
        });
    }
    match whole {
        Some(whole) => finish(policy, facts, whole.under_finding(facts)),
        // A policy has a layer always; one that had none would let nothing out.
        None => Outcome::Decided(refused(facts, Code::NoRule, None)),
    }
}

/// A program that contradicts its claim in so many groups is none of that kind: one alone may be an odd setting.
pub const CONTRADICTIONS_MAX: u32 = 2;

/// Where what is found of each rule goes. `()` keeps nothing, and costs nothing.
pub trait Trace {
    /// Whether it wants to hear of rules that the index has left out, since none of their hosts match.
    const WANTS_ALL: bool;

    fn considered(&mut self, rule: &Arc<RuleRef>, verdict: VerdictKind, found: Considered);
}

impl Trace for () {
    const WANTS_ALL: bool = false;

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
    /// All of it holds but its paths, and which path is asked for is not clear: the request is denied.
    AmbiguousPath,
}

/// What a rule may ask for, in the order in which it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    Host,
    /// Its last day is over.
    Until,
    Hours,
    Client,
    /// It does not say that it is about what was captured.
    Captured,
    Method,
    Program,
    Path,
    Port,
}

/// What one layer says.
struct Found<'p> {
    kind: VerdictKind,
    code: Code,
    /// The rule that decides, that waits, or that came nearest.
    named: Option<&'p Rule>,
    /// The rule whose terms hold.
    rule: Option<&'p Rule>,
    /// Nothing is decided before this is known.
    wait: Option<Need>,
    observes: bool,
}

/// What all layers together say.
struct Whole<'p> {
    found: Found<'p>,
    beside: Option<Beside>,
    terms: Terms,
    /// What an observing layer would have had.
    would: Option<VerdictKind>,
}

fn judge_layer<'p, T: Trace>(layer: &'p Layer, facts: &Facts<'_>, trace: &mut T) -> Found<'p> {
    let observes = layer.observes(facts.client);
    let mut near = None;
    let mut next = 0;
    for number in layer.index.candidates(&facts.target.host) {
        if T::WANTS_ALL {
            for rule in layer.rules.get(next..number).unwrap_or_default() {
                trace.considered(&rule.reference, rule.verdict, Considered::Lacks(Condition::Host));
            }
            next = number + 1;
        }
        let Some(rule) = layer.rules.get(number) else { continue };
        let considered = judge(rule, layer.calendar.as_ref(), facts);
        trace.considered(&rule.reference, rule.verdict, considered);
        match considered {
            Considered::Lacks(Condition::Port) if rule.verdict != VerdictKind::Deny => near = near.or(Some(rule)),
            Considered::Lacks(_) => {}
            Considered::Waits(need) => return Found::waiting(rule, need, observes, facts),
            Considered::AmbiguousPath => return Found::denied(Code::PathAmbiguous, Some(rule), observes),
            Considered::Applies => return Found::by(rule, observes, layer.mimic(), facts),
        }
    }
    if T::WANTS_ALL {
        for rule in layer.rules.get(next..).unwrap_or_default() {
            trace.considered(&rule.reference, rule.verdict, Considered::Lacks(Condition::Host));
        }
    }
    let captured = facts.client.captured.is_some();
    if near.is_some() || !(captured || port_is_default(facts)) {
        return Found::denied(Code::PortNotOpened, near, observes);
    }
    if captured {
        // `unknown` is said of those who ask the gate.
        return Found::denied(Code::BypassedProxy, None, observes);
    }
    let unknown = Found { kind: layer.unknown(), code: Code::NoRule, named: None, rule: None, wait: None, observes };
    unknown.by_standing(layer.mimic(), facts)
}

impl<'p> Found<'p> {
    fn by(rule: &'p Rule, observes: bool, mimic: Mimic, facts: &Facts<'_>) -> Self {
        let found =
            Self { kind: rule.verdict, code: Code::Rule, named: Some(rule), rule: Some(rule), wait: None, observes };
        found.by_standing(mimic, facts)
    }

    fn denied(code: Code, named: Option<&'p Rule>, observes: bool) -> Self {
        Self { kind: VerdictKind::Deny, code, named, rule: None, wait: None, observes }
    }

    /// What is observed never stops at a fact that this gate cannot learn: it passes, without what the
    /// rule opens, as one that would have been denied.
    fn waiting(rule: &'p Rule, need: Need, observes: bool, facts: &Facts<'_>) -> Self {
        let denied = Self::denied(need.code(), Some(rule), observes);
        if observes && !can_be_met(need, facts) {
            return denied;
        }
        Self { wait: Some(need), ..denied }
    }

    /// A challenge is met by a program that has shown to be a browser, and is for none that does not claim to
    /// be one.
    fn by_standing(self, mimic: Mimic, facts: &Facts<'_>) -> Self {
        if self.kind != VerdictKind::Challenge {
            return self;
        }
        let asks = |asks: fn(&PermitTerms) -> bool| self.rule.is_some_and(|rule| asks(&rule.terms));
        let lies = facts.contradictions.count() >= CONTRADICTIONS_MAX && facts.standing != Standing::NoBrowser;
        if lies && mimic == Mimic::Deny {
            return Self { kind: VerdictKind::Deny, code: Code::Mimic, rule: None, ..self };
        }
        match facts.standing {
            Standing::Uncleared => self,
            // Another program has shown it, which this one imitates in part.
            Standing::Cleared { .. } if lies && mimic == Mimic::Challenge => self,
            Standing::NoBrowser => Self { kind: VerdictKind::Deny, code: Code::NotABrowser, rule: None, ..self },
            Standing::Cleared { afresh, confirmed } => {
                let met = (afresh || !asks(|terms| terms.fresh)) && (confirmed || !asks(|terms| terms.confirm));
                if met { Self { kind: VerdictKind::Allow, ..self } } else { self }
            }
        }
    }

    /// What it comes to, and what it would have come to if it were not observed only.
    fn effective(&self) -> (VerdictKind, Option<VerdictKind>) {
        let observed = self.observes && self.wait.is_none() && self.kind != VerdictKind::Allow;
        if observed { (VerdictKind::Allow, Some(self.kind)) } else { (self.kind, None) }
    }

    fn terms(&self) -> Option<Arc<PermitTerms>> {
        self.rule.map(|rule| rule.terms.clone())
    }

    fn reference(&self) -> Option<Arc<RuleRef>> {
        self.named.map(|rule| rule.reference.clone())
    }
}

impl<'p> Whole<'p> {
    fn of(found: Found<'p>) -> Self {
        let terms = Terms { base: None, site: found.terms(), layered: false, observed: found.observes };
        Self { terms, would: found.effective().1, beside: None, found }
    }

    /// The stricter of a base and its site; at the same strictness the site's word goes first.
    fn both(base: Self, site: Found<'p>) -> Self {
        let terms = Terms { base: base.terms.site, site: site.terms(), layered: true, observed: site.observes };
        let (site_kind, site_would) = site.effective();
        let (base_kind, base_would) = base.found.effective();
        // A denial stands whatever is still to be learnt, and what waits stands before what passes.
        let rank = |kind: VerdictKind, found: &Found<'_>, would: Option<VerdictKind>| {
            let rank = match (found.wait, kind) {
                (None, VerdictKind::Deny) => 3,
                (Some(_), _) => 2,
                (None, VerdictKind::Challenge) => 1,
                (None, VerdictKind::Allow) => 0,
            };
            (rank, would)
        };
        let site_first = rank(site_kind, &site, site_would) >= rank(base_kind, &base.found, base_would);
        let would = site_would.max(base_would);
        let (found, other) = if site_first { (site, base.found) } else { (base.found, site) };
        let beside = Beside { verdict: other.kind, code: other.code, rule: other.reference() };
        Self { found, beside: Some(beside), terms, would }
    }

    /// A finding about the exchange may tighten what the policy says, and never loosens it.
    fn under_finding(mut self, facts: &Facts<'_>) -> Self {
        let shown = matches!(facts.standing, Standing::Cleared { afresh: true, .. });
        let kind = match facts.restraint.finding {
            None => return self,
            Some(Response::ChallengeAfresh) if shown => return self,
            // Nobody who meant to speak to an origin is asked to show anything to the gate.
            Some(Response::ChallengeAfresh) if facts.client.captured.is_some() => VerdictKind::Deny,
            Some(Response::ChallengeAfresh) if facts.standing != Standing::NoBrowser => VerdictKind::Challenge,
            Some(Response::ChallengeAfresh | Response::Deny) => VerdictKind::Deny,
        };
        let (effective, _) = self.found.effective();
        if self.found.wait.is_some() && kind != VerdictKind::Deny || effective >= kind {
            return self;
        }
        if self.terms.observed {
            self.would = self.would.max(Some(kind));
        } else {
            (self.found.kind, self.found.observes, self.found.wait) = (kind, false, None);
        }
        self.found.code = Code::Finding;
        self
    }
}

fn finish(policy: &Policy, facts: &Facts<'_>, whole: Whole<'_>) -> Outcome {
    let Whole { found, beside, terms, would } = whole;
    let beside = beside.filter(|_| policy.layers.len() > 1);
    let reason = Reason { code: found.code, rule: found.reference(), beside };
    let (kind, _) = found.effective();
    let refuse = |code: Code, reason: Reason| {
        Outcome::Decided(Decision {
            verdict: Verdict::Deny,
            would: None,
            handling: handling(facts, &terms),
            reason: Reason { code, ..reason },
            over: None,
        })
    };
    if facts.restraint.lockdown && found.wait.is_none() && !(terms.is_essential() && kind == VerdictKind::Allow) {
        return refuse(Code::Lockdown, reason);
    }
    if let Some(need) = found.wait {
        return Outcome::Needs(need, reason);
    }
    let passes = kind == VerdictKind::Allow;
    if passes && needs_inner_request(facts, &terms) {
        return Outcome::Needs(Need::InnerRequest, Reason { code: Code::NeedsInnerRequest, ..reason });
    }
    if passes && repeats_request(facts.method) && terms.route().shows_credentials(facts.target.scheme) {
        return refuse(Code::TraceShowsCredentials, reason);
    }
    let handling = handling(facts, &terms);
    let verdict = match kind {
        VerdictKind::Allow => Verdict::Allow(Permit::new(facts.target, terms)),
        VerdictKind::Challenge => Verdict::Challenge,
        VerdictKind::Deny => Verdict::Deny,
    };
    Outcome::Decided(Decision { verdict, would: would.filter(|_| passes), handling, reason, over: None })
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

/// A tunnel to port 80 carries a WebSocket handshake, which is read and judged like a plain request, and
/// a rule may ask to look into others; where nothing but addresses is enforced, it passes as it is.
fn needs_inner_request(facts: &Facts<'_>, terms: &Terms) -> bool {
    facts.target.scheme == Scheme::Tunnel
        && (terms.inspects() || (facts.target.port == 80 && !terms.any_protocol()))
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
        handling: handling(facts, &Terms::of_no_rule()),
        reason: Reason { code, rule: rule.map(|rule| rule.reference.clone()), beside: None },
        over: None,
    }
}

fn handling(facts: &Facts<'_>, terms: &Terms) -> Handling {
    match facts.target.scheme {
        Scheme::Http | Scheme::Https => Handling::Forward,
        Scheme::Tunnel if terms.inspects() && !terms.observed => Handling::Inspect,
        Scheme::Tunnel => Handling::Tunnel,
    }
}

/// Plain HTTP leaves on 80, what is read inside TLS on 443; a tunnel on 443, or on 80 for a WebSocket. Rules open others by `ports`.
pub(super) fn port_is_default(facts: &Facts<'_>) -> bool {
    let port = facts.target.port;
    match facts.target.scheme {
        Scheme::Http => port == 80,
        Scheme::Https => port == 443,
        Scheme::Tunnel => port == 443 || port == 80,
    }
}

/// Names that must never be a target: they mean this machine, nothing, or another network
/// (RFC 6761 §6.3 and §6.4, RFC 7686).
fn is_forbidden_name(host: &Host) -> bool {
    matches!(host, Host::Name(name) if ends_in_forbidden_label(name.as_str()))
}

/// Whether the guard refuses a name, and all below it, whatever rules say.
pub(super) fn ends_in_forbidden_label(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or_default();
    matches!(last, "localhost" | "localdomain" | "invalid" | "onion")
}

#[cfg(test)]
mod bypass;
#[cfg(test)]
mod layers;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
