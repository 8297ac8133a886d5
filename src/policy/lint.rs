//! What is no mistake of the language, and is seldom meant: rules that decide nothing, that open more than
//! they seem to, or that are over.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ipnet::IpNet;
use psl::Type;

use crate::facts::{Host, Timestamp};
use crate::parse::Place;

use super::compile::{Layer, Policy};
use super::decide::ends_in_forbidden_label;
use super::decision::VerdictKind;
use super::groups::ClientGroup;
use super::guard::{OwnEndpoints, judge_address};
use super::parents::Route;
use super::pattern::HostSet;
use super::rule::Rule;

/// One thing to look at, at a line of a policy. The policy is in force all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    pub file: Arc<str>,
    pub line: u32,
    pub code: LintCode,
    /// What is seldom meant, in words for the person who wrote it.
    pub what: String,
    pub fix: String,
}

/// What a [`Lint`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LintCode {
    /// An earlier rule matches all that this one could.
    Shadowed,
    /// The guard refuses all that this rule could match, before any rule is looked at.
    NeverMatches,
    /// Everything below a public suffix is let out.
    PublicSuffix,
    /// The same for a suffix below which a service's customers have their names.
    SharedSuffix,
    /// The guard refuses an address that this rule names.
    GuardRefuses,
    /// An exception is over.
    Ended,
    /// An exception is over within 14 days.
    EndsSoon,
    /// What the rule asks for is not seen within https.
    NeedsInspection,
    /// No rule names this group or parent.
    Unused,
    /// An earlier rule has this name.
    SameName,
    /// A rule that allows names no hosts, so it allows all.
    EveryHost,
    /// What no rule names is allowed.
    UnknownAllowed,
}

/// An exception that ends within this time is worth a word.
const SOON_MICROS: u64 = 14 * 24 * 60 * 60 * 1_000_000;
/// A rule is held against at most so many earlier ones that its hosts lead to: a policy in which that is
/// not enough would take minutes.
const COMPARED_MAX: usize = 2_000;

impl LintCode {
    /// The word used in reports; it stays the same from version to version.
    pub fn as_str(self) -> &'static str {
        match self {
            LintCode::Shadowed => "shadowed",
            LintCode::NeverMatches => "never_matches",
            LintCode::PublicSuffix => "public_suffix",
            LintCode::SharedSuffix => "shared_suffix",
            LintCode::GuardRefuses => "guard_refuses",
            LintCode::Ended => "ended",
            LintCode::EndsSoon => "ends_soon",
            LintCode::NeedsInspection => "needs_inspection",
            LintCode::Unused => "unused",
            LintCode::SameName => "same_name",
            LintCode::EveryHost => "every_host",
            LintCode::UnknownAllowed => "unknown_allowed",
        }
    }
}

impl Policy {
    /// What is seldom meant, layer by layer in the order of the rules. A rule that several earlier ones cover
    /// together, and none alone, is not found.
    pub fn lint(&self, now: Timestamp) -> Vec<Lint> {
        let mut lints = Vec::new();
        for layer in &self.layers {
            lint_layer(layer, now, &mut lints);
        }
        let used = |name: &str| {
            let rules = self.layers.iter().flat_map(|layer| &layer.rules);
            rules
                .into_iter()
                .any(|rule| matches!(&rule.terms.route, Route::Parent { parent, .. } if parent.name() == name))
        };
        for parent in self.parents().iter().filter(|parent| !used(parent.value.name())) {
            lints.push(unused(&parent.place, "parent", parent.value.name()));
        }
        lints
    }
}

fn lint_layer(layer: &Layer, now: Timestamp, lints: &mut Vec<Lint>) {
    if let Some(place) = layer.unknown_at.as_ref().filter(|_| layer.unknown() == VerdictKind::Allow) {
        lints.push(Lint {
            file: place.file.clone(),
            line: place.line,
            code: LintCode::UnknownAllowed,
            what: "what no rule names may leave: the policy is a list of what is forbidden".to_owned(),
            fix: "write unknown = \"deny\"; mode = \"observe\" shows what that would refuse".to_owned(),
        });
    }
    let mut names: HashMap<&str, &Rule> = HashMap::new();
    for (number, rule) in layer.rules.iter().enumerate() {
        let mut found = |code, what: String, fix: String| lints.push(lint(rule, code, what, fix));
        if let Some(first) = names.insert(&rule.reference.name, rule) {
            let what = format!("has the name of another, at {}", place_of(first));
            found(LintCode::SameName, what, "give it a name of its own: reasons and records show it".to_owned());
            names.insert(&first.reference.name, first);
        }
        if let Some(until) = rule.until.as_ref().filter(|until| until.end().0 <= now.0.saturating_add(SOON_MICROS)) {
            let (code, what, fix) = if until.holds(now) {
                (
                    LintCode::EndsSoon,
                    "ends soon",
                    "ask who requested it whether it is still needed, and write another day",
                )
            } else {
                (LintCode::Ended, "is over, and matches nothing", "take it away, or write another day")
            };
            found(code, format!("{what}: until = \"{}\"", until.written), fix.to_owned());
        }
        for (code, what, fix) in of_one(rule) {
            found(code, what, fix.to_owned());
        }
        if let Some(earlier) = shadow_of(layer, number, rule) {
            let what =
                format!("decides nothing: rule `{}` at {} matches all that it could", name(earlier), place_of(earlier));
            found(
                LintCode::Shadowed,
                what,
                "put it before that rule, narrow that rule, or take this one away".to_owned(),
            );
        }
    }
    lints.extend(layer.unused.iter().map(|group| unused(&group.place, &format!("{} group", group.kind), &group.name)));
}

type Found = (LintCode, String, &'static str);

/// What is seen of a rule by itself.
fn of_one(rule: &Rule) -> Vec<Found> {
    let mut found = Vec::new();
    let lets_out = rule.verdict != VerdictKind::Deny;
    if let Some(hosts) = &rule.hosts {
        if is_forbidden(hosts) {
            let what = "never matches: the guard refuses its names before any rule is looked at".to_owned();
            found.push((LintCode::NeverMatches, what, "take it away: names such as localhost mean no host out there"));
        }
        if lets_out {
            found.extend(open_suffix(hosts));
            found.extend(guarded(rule, hosts));
        }
    } else if rule.verdict == VerdictKind::Allow {
        let fix = "name `hosts`, or write hosts = [\"*\"] if every host is meant";
        found.push((LintCode::EveryHost, "allows every host: it names no `hosts`".to_owned(), fix));
    }
    let asks = match (&rule.paths, &rule.methods) {
        (Some(_), _) => Some("paths"),
        (None, Some(_)) => Some("methods"),
        (None, None) => None,
    };
    let https = rule.ports.as_ref().is_none_or(|ports| ports.contains(&443));
    if let Some(key) = asks.filter(|_| https && rule.terms.inspect != Some(true)) {
        let what = format!(
            "has `{key}`, which is seen within https only where the gate looks inside, with a certificate authority \
                     of its own: without one a CONNECT to its hosts that comes to it is refused"
        );
        let fix = "write `inspect = true` if that is meant, ports = [80] if plain http is, or let a rule without it stand before";
        found.push((LintCode::NeedsInspection, what, fix));
    }
    if !rule.terms.tenant.is_empty() && asks.is_none() && rule.terms.inspect != Some(true) {
        let what = "has `tenant`, and lets tunnels out without a look inside, where its fields cannot be set: any \
                    account may log in there"
            .to_owned();
        found.push((LintCode::NeedsInspection, what, "write `inspect = true`"));
    }
    found
}

/// Whether there is nothing but what the guard refuses by name.
fn is_forbidden(hosts: &HostSet) -> bool {
    let exact = |host: &Host| matches!(host, Host::Name(name) if ends_in_forbidden_label(name.as_str()));
    let names = hosts.exact().next().is_some() || hosts.below().next().is_some();
    names && hosts.is_by_name() && hosts.exact().all(exact) && hosts.below().all(|name| ends_in_forbidden_label(name))
}

/// The first public suffix below which all is let out. A top-level domain that the list does not know is a
/// network's own.
fn open_suffix(hosts: &HostSet) -> Option<Found> {
    let suffix = |name: &str| {
        let found = psl::suffix(name.as_bytes()).filter(|found| found.as_bytes() == name.as_bytes())?;
        found.typ()
    };
    let mut open: Vec<(&str, Type)> = hosts.below().filter_map(|name| Some((&**name, suffix(name)?))).collect();
    open.sort_unstable_by_key(|(name, _)| *name);
    open.first().map(|(name, kind)| match kind {
        Type::Icann => (
            LintCode::PublicSuffix,
            format!("lets out to `*.{name}`, a public suffix: anybody may register a name there"),
            "name the domains that are meant",
        ),
        Type::Private => (
            LintCode::SharedSuffix,
            format!("lets out to `*.{name}`, below which every customer of a service has a name"),
            "name the customers that are meant",
        ),
    })
}

/// The first address of the rule that never passes the guard. What `internal` opens is not known before the
/// config says so.
fn guarded(rule: &Rule, hosts: &HostSet) -> Option<Found> {
    let own = OwnEndpoints { listeners: Vec::new(), interfaces: Vec::new() };
    let refused = |address: IpAddr| judge_address(address, 443, &rule.terms.opened, &own).err();
    let single = |net: &&IpNet| net.prefix_len() == net.max_prefix_len();
    let sealed = rule.terms.opened.iter().filter(single).find_map(|net| refused(net.addr()));
    let mut literals: Vec<IpAddr> = hosts.exact().filter_map(Host::address).collect();
    literals.sort_unstable();
    let literal = || literals.into_iter().find_map(refused).filter(|_| rule.opens_internal.is_none());
    let (why, fix) = match sealed {
        Some(why) => (why, "take it away from `private`: no rule opens such an address"),
        None => (literal()?, "open the address by `private`, or take it away"),
    };
    Some((LintCode::GuardRefuses, format!("names an address that never passes: {why}"), fix))
}

/// The first earlier rule that matches all that this one could, whatever the facts.
fn shadow_of<'l>(layer: &'l Layer, number: usize, rule: &Rule) -> Option<&'l Rule> {
    let host = match &rule.hosts {
        Some(hosts) => {
            let below = || hosts.below().find_map(|name| Host::parse(format!("x.{name}").as_bytes()).ok());
            hosts.exact().next().cloned().or_else(below)
        }
        None => None,
    };
    // Without a name to go by only rules for every host can cover it, and any host leads to those.
    let host = host.unwrap_or(Host::V4(Ipv4Addr::UNSPECIFIED));
    let earlier = layer.index.candidates(&host).take_while(|earlier| *earlier < number).take(COMPARED_MAX);
    earlier
        .filter_map(|earlier| layer.rules.get(earlier))
        .find(|earlier| covers(earlier, rule) && covers_captured(earlier, rule, layer.rules.get(number..)))
}

/// Whether what was captured leaves nothing to `later`: a rule that lets out or challenges is about it only where it says so,
/// and a denial makes a difference to it only before a rule that does.
fn covers_captured(earlier: &Rule, later: &Rule, from_later: Option<&[Rule]>) -> bool {
    earlier.captured
        || earlier.verdict == VerdictKind::Deny
        || !match later.verdict {
            VerdictKind::Deny => from_later.unwrap_or_default().iter().any(|rule| rule.captured),
            VerdictKind::Allow | VerdictKind::Challenge => later.captured,
        }
}

/// Whether `earlier` matches whatever `later` matches. What costs most to compare comes last.
fn covers(earlier: &Rule, later: &Rule) -> bool {
    let lasts = match (&earlier.until, &later.until) {
        (None, _) => true,
        (Some(earlier), Some(later)) => earlier.end() >= later.end(),
        (Some(_), None) => false,
    };
    let in_time = lasts && (earlier.hours.is_none() || earlier.hours == later.hours);
    in_time
        && covers_ports(earlier, later)
        && within(&later.methods, &earlier.methods, |method, methods| methods.contains(method))
        && (earlier.paths.is_none() || earlier.paths == later.paths)
        && within(&later.programs, &earlier.programs, |program, programs| {
            programs.iter().any(|other| other.name == program.name)
        })
        && within(&later.clients, &earlier.clients, |group, groups| groups.iter().any(|other| holds_all(other, group)))
        && match (&earlier.hosts, &later.hosts) {
            (None, _) => true,
            (Some(earlier), None) => earlier.is_everything(),
            (Some(earlier), Some(later)) => later.is_within(earlier),
        }
}

/// Whether each member of a list is in another, where no list at all stands for everything.
fn within<T>(later: &Option<Vec<T>>, earlier: &Option<Vec<T>>, is_in: impl Fn(&T, &[T]) -> bool) -> bool {
    match (later, earlier) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(later), Some(earlier)) => later.iter().all(|member| is_in(member, earlier)),
    }
}

fn holds_all(group: &ClientGroup, other: &ClientGroup) -> bool {
    let addresses = |inner: &IpNet| group.addresses.iter().any(|outer| outer.contains(inner));
    group.name == other.name
        || (group.users.is_empty() && !other.addresses.is_empty() && other.addresses.iter().all(addresses))
}

/// Without `ports` a refusal matches on all, and other rules on 80, and 443 in a tunnel alone.
fn covers_ports(earlier: &Rule, later: &Rule) -> bool {
    let denies = |rule: &Rule| rule.verdict == VerdictKind::Deny;
    match (&earlier.ports, &later.ports) {
        (None, _) if denies(earlier) => true,
        (None, None) => !denies(later),
        (None, Some(later)) => later.iter().all(|port| *port == 80),
        (Some(earlier), None) => !denies(later) && [80, 443].iter().all(|port| earlier.contains(port)),
        (Some(earlier), Some(later)) => later.iter().all(|port| earlier.contains(port)),
    }
}

fn lint(rule: &Rule, code: LintCode, what: String, fix: String) -> Lint {
    let reference = &rule.reference;
    Lint {
        file: reference.file.clone(),
        line: reference.line,
        code,
        what: format!("rule `{}` {what}", reference.name),
        fix,
    }
}

fn unused(place: &Place, kind: &str, name: &str) -> Lint {
    Lint {
        file: place.file.clone(),
        line: place.line,
        code: LintCode::Unused,
        what: format!("no rule names the {kind} `{name}`"),
        fix: "name it in a rule, or take it away".to_owned(),
    }
}

fn name(rule: &Rule) -> &str {
    &rule.reference.name
}

fn place_of(rule: &Rule) -> String {
    format!("{}:{}", rule.reference.file, rule.reference.line)
}

#[cfg(test)]
mod tests;
