//! One rule held against the facts.

use std::sync::Arc;

use crate::facts::{Facts, Scheme};

use super::calendar::Calendar;
use super::decide::{Condition, Considered, port_is_default};
use super::decision::{Need, VerdictKind};
use super::groups::{ClientGroup, Membership, Program};
use super::paths::PathMatch;
use super::rule::Rule;

/// What the facts say of this rule. What is cheap and tells most apart is looked at first.
pub(super) fn judge(rule: &Rule, calendar: Option<&Calendar>, facts: &Facts<'_>) -> Considered {
    if rule.hosts.as_ref().is_some_and(|hosts| !hosts.contains(&facts.target.host)) {
        return Considered::Lacks(Condition::Host);
    }
    if rule.until.as_ref().is_some_and(|until| !until.holds(facts.now)) {
        return Considered::Lacks(Condition::Until);
    }
    if let Some(hours) = &rule.hours
        && !calendar.is_some_and(|calendar| hours.hold(calendar, facts.now))
    {
        return Considered::Lacks(Condition::Hours);
    }
    let tunnel = facts.target.scheme == Scheme::Tunnel;
    let mut waits = None;
    if let Some(groups) = &rule.clients {
        match in_a_group(groups, facts) {
            Membership::In => {}
            Membership::Unknown => waits = Some(Need::User),
            Membership::Out => return Considered::Lacks(Condition::Client),
        }
    }
    // Who goes past the proxy gets there by no rule that was written for those who do not.
    if facts.client.captured.is_some() && !(rule.captured || rule.verdict == VerdictKind::Deny) {
        return Considered::Lacks(Condition::Captured);
    }
    if let Some(methods) = &rule.methods
        && !methods.iter().any(|method| **method == *facts.method)
    {
        if !tunnel {
            return Considered::Lacks(Condition::Method);
        }
        waits = waits.or(Some(Need::InnerRequest));
    }
    if let Some(programs) = &rule.programs {
        match is_a_program(programs, facts) {
            Membership::In => {}
            Membership::Unknown => waits = waits.or(Some(Need::Hello)),
            Membership::Out => return Considered::Lacks(Condition::Program),
        }
    }
    let mut ambiguous = false;
    if let Some(paths) = &rule.paths {
        match &facts.target.path {
            None => waits = waits.or(Some(Need::InnerRequest)),
            Some(path) => match paths.judge(path.path()) {
                PathMatch::Yes => {}
                PathMatch::No => return Considered::Lacks(Condition::Path),
                PathMatch::Ambiguous => ambiguous = true,
            },
        }
    }
    let port_matches = match &rule.ports {
        Some(ports) => ports.contains(&facts.target.port),
        None => rule.verdict == VerdictKind::Deny || port_is_default(facts),
    };
    match (port_matches, waits) {
        (false, _) => Considered::Lacks(Condition::Port),
        (true, Some(need)) => Considered::Waits(need),
        (true, None) if ambiguous => Considered::AmbiguousPath,
        (true, None) => Considered::Applies,
    }
}

fn in_a_group(groups: &[ClientGroup], facts: &Facts<'_>) -> Membership {
    any_of(groups.iter().map(|group| group.holds(facts.client)))
}

fn is_a_program(programs: &[Arc<Program>], facts: &Facts<'_>) -> Membership {
    any_of(programs.iter().map(|program| program.matches(facts.program.user_agent, facts.hello)))
}

fn any_of(memberships: impl Iterator<Item = Membership>) -> Membership {
    let mut unknown = false;
    for membership in memberships {
        match membership {
            Membership::In => return Membership::In,
            Membership::Unknown => unknown = true,
            Membership::Out => {}
        }
    }
    if unknown { Membership::Unknown } else { Membership::Out }
}
