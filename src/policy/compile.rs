use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::parse::{Document, Place, Placed, Problem, Section, did_you_mean, is_token_byte};

use super::cases::{read_cases, run_cases};
use super::decision::{PermitTerms, RuleRef, TunnelLimits, VerdictKind};
use super::internal::Internal;
use super::parents::{Parent, Parents, ResolvedBy, Route, read_parents};
use super::pattern::HostSet;

/// A policy, compiled whole. There is no other way to one than [`Policy::compile`], and no default:
///
/// ```compile_fail,E0277
/// let policy: sekisho::policy::Policy = Default::default();
/// ```
#[derive(Debug)]
pub struct Policy {
    pub(super) mode: Mode,
    pub(super) unknown: VerdictKind,
    reload: Reload,
    pub(super) rules: Vec<Rule>,
    /// Each once, in the order of the file, whether a rule names it or not.
    groups: Vec<ClientGroup>,
    parents: Parents,
    /// How many it is held to; all of them hold.
    cases: usize,
    hash: Box<str>,
}

/// Whether a policy is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Enforce,
    /// Verdicts are recorded, and let pass.
    Observe,
}

/// What becomes of open tunnels when this policy comes into force in place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// They go on by what they were let out by.
    Keep,
    /// They are judged again, and what is no longer allowed is cut.
    Strict,
}

/// One rule; every list that is `None` matches all.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) reference: Arc<RuleRef>,
    pub(super) clients: Option<Vec<ClientGroup>>,
    pub(super) hosts: Option<HostSet>,
    pub(super) ports: Option<Vec<u16>>,
    pub(super) methods: Option<Vec<Box<str>>>,
    pub(super) programs: Option<Vec<Arc<Program>>>,
    pub(super) verdict: VerdictKind,
    /// Where it says that it opens the internal addresses, which [`Policy::with_internal`] adds.
    opens_internal: Option<Place>,
    /// Where it says who resolves names behind a parent.
    resolve_at: Option<Place>,
    pub(super) terms: PermitTerms,
}

#[derive(Debug, Clone)]
pub(super) struct ClientGroup {
    pub(super) name: Arc<str>,
    pub(super) addresses: Arc<[IpNet]>,
    pub(super) users: Arc<[Box<str>]>,
}

#[derive(Debug)]
pub(super) struct Program {
    pub(super) user_agent: Option<Box<str>>,
    pub(super) ja4: Vec<Box<str>>,
}

pub(super) const VERDICTS: [(&str, VerdictKind); 3] =
    [("allow", VerdictKind::Allow), ("challenge", VerdictKind::Challenge), ("deny", VerdictKind::Deny)];

/// The longest limit of a tunnel, a week: beyond it a limit is no limit.
const MINUTES_MAX: u64 = 7 * 24 * 60;

impl Policy {
    /// Compiles the policy in `text` and holds it to its cases; `file` is the name that problems and reasons
    /// show.
    ///
    /// # Errors
    /// Every problem at once, each with its place and its fix; a case that fails is one.
    pub fn compile(file: &str, text: &str) -> Result<Self, Vec<Problem>> {
        let hash = blake3::hash(text.as_bytes()).to_hex();
        let hash: Box<str> = hash.as_str().get(..16).unwrap_or_default().into();
        Document::read(file, text, |root| {
            let (mode, unknown, reload) = read_head(root);
            let clients = read_clients(root);
            let hosts = read_hosts(root);
            let programs = read_programs(root);
            let parents = read_parents(root);
            let groups = Groups { clients, hosts, programs, parents };
            let rules = root.tables("rule").into_iter().filter_map(|mut s| read_rule(&mut s, &groups)).collect();
            let parents = groups.parents.clone();
            let cases = read_cases(root);
            let policy = Self {
                mode,
                unknown,
                reload,
                rules,
                groups: groups.clients_in_order(),
                parents,
                cases: cases.len(),
                hash,
            };
            // Where something is wrong with the rules, what a case comes to says nothing.
            if !root.has_problems() {
                run_cases(root, &policy, &cases);
            }
            Some(policy)
        })
    }

    /// The same policy in observe mode, for `run --observe`.
    #[must_use]
    pub fn observing(mut self) -> Self {
        self.mode = Mode::Observe;
        self
    }

    /// Gives the word `internal` in rules' `private` its meaning: the addresses of the config's
    /// `[internal]`. Until then it opens nothing.
    ///
    /// # Errors
    /// A problem for each rule that says the word where the config has no `[internal]`, and for each that
    /// leaves nothing but internal names to its parent, which could never pass.
    pub fn with_internal(mut self, internal: Option<&Internal>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        for rule in &mut self.rules {
            if let Some(place) = internal.and_then(|internal| rule.leaves_internal_names(internal)) {
                problems.push(Problem {
                    place: place.clone(),
                    what: "every host of the rule is one of the [internal] names of the config, and none of those is left to a parent"
                        .to_owned(),
                    fix: "write resolve = \"gate\", or take `parent` and `resolve` away".to_owned(),
                });
            }
            match (&rule.opens_internal, internal) {
                (None, _) => {}
                (Some(_), Some(internal)) => {
                    rule.terms.opened = rule.terms.opened.iter().chain(internal.addresses()).copied().collect();
                }
                (Some(place), None) => problems.push(Problem {
                    place: place.clone(),
                    what: "`private` opens \"internal\", and the config has no [internal]".to_owned(),
                    fix: "add [internal] with names, resolvers and addresses to the config, or write prefixes here"
                        .to_owned(),
                }),
            }
        }
        if problems.is_empty() { Ok(self) } else { Err(problems) }
    }

    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// True when nothing but the address guard, ambiguous framing and isolation is enforced.
    pub fn observes(&self) -> bool {
        self.mode == Mode::Observe
    }

    /// What becomes of a target that no rule names.
    pub fn unknown(&self) -> VerdictKind {
        self.unknown
    }

    /// What becomes of open tunnels when it comes into force in place of another.
    pub fn reload(&self) -> Reload {
        self.reload
    }

    /// The first 64 bits of the BLAKE3 hash of the text, in hexadecimal: the policy's version.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// How many rules are marked `essential`: what they let out may pass under a breakglass.
    pub fn essential_rules(&self) -> usize {
        self.rules.iter().filter(|rule| rule.terms.essential).count()
    }

    /// How many cases the policy is held to.
    pub fn cases(&self) -> usize {
        self.cases
    }

    /// How many rules there are.
    pub fn rules(&self) -> usize {
        self.rules.len()
    }

    /// The parents that rules may name, in the order of the file, each with the place of its
    /// `credentials`, or of itself where there are none.
    pub fn parents(&self) -> &[Placed<Arc<Parent>>] {
        &self.parents
    }

    /// The client group an address is in: the first of the file that holds it, whether a rule names
    /// the group or not. Groups of users alone hold no address.
    pub fn group_of(&self, address: IpAddr) -> Option<Arc<str>> {
        let address = address.to_canonical();
        let group = self.groups.iter().find(|group| group.addresses.iter().any(|net| net.contains(&address)));
        group.map(|group| group.name.clone())
    }
}

impl Rule {
    /// The place of its `resolve`, where that leaves internal names to a parent and no other host.
    fn leaves_internal_names(&self, internal: &Internal) -> Option<&Place> {
        let left = matches!(self.terms.route, Route::Parent { resolved_by: ResolvedBy::Parent, .. });
        let all = self.hosts.as_ref().is_some_and(|hosts| internal.includes_all(hosts));
        self.resolve_at.as_ref().filter(|_| left && all)
    }
}

impl Mode {
    /// The word used in policies, records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Enforce => "enforce",
            Mode::Observe => "observe",
        }
    }
}

impl Reload {
    /// The word used in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Reload::Keep => "keep",
            Reload::Strict => "strict",
        }
    }
}

struct Groups {
    clients: HashMap<String, Placed<ClientGroup>>,
    hosts: HashMap<String, HostSet>,
    programs: HashMap<String, Arc<Program>>,
    parents: Parents,
}

impl Groups {
    fn clients_in_order(self) -> Vec<ClientGroup> {
        let mut clients: Vec<_> = self.clients.into_values().collect();
        clients.sort_by(|a, b| a.place.cmp(&b.place));
        clients.into_iter().map(|group| group.value).collect()
    }
}

fn read_head(root: &mut Section<'_, '_>) -> (Mode, VerdictKind, Reload) {
    let Some(mut head) = root.table("policy") else {
        return (Mode::Enforce, VerdictKind::Deny, Reload::Keep);
    };
    let modes = [Mode::Enforce, Mode::Observe].map(|mode| (mode.as_str(), mode));
    let mode = head.word("mode", &modes).unwrap_or(Mode::Enforce);
    let unknown = head.word("unknown", &VERDICTS).unwrap_or(VerdictKind::Deny);
    let reloads = [Reload::Keep, Reload::Strict].map(|reload| (reload.as_str(), reload));
    let reload = head.word("reload", &reloads).unwrap_or(Reload::Keep);
    head.finish();
    (mode, unknown, reload)
}

fn read_clients(root: &mut Section<'_, '_>) -> HashMap<String, Placed<ClientGroup>> {
    let mut groups = HashMap::new();
    for (name, mut section) in root.named_tables("clients") {
        let addresses = prefixes(&mut section, "addresses");
        let users = section.strings("users");
        if let Some(addresses) = &addresses {
            refuse_empty(&section, "addresses", addresses, "everywhere");
        }
        if let Some(users) = &users {
            refuse_empty(&section, "users", users, "everybody");
        }
        let addresses = addresses.unwrap_or_default();
        let users: Vec<Box<str>> = users.unwrap_or_default().into_iter().map(|user| user.value.into()).collect();
        if addresses.is_empty() && users.is_empty() {
            let place = section.place().clone();
            section.problem(
                &place,
                format!("client group `{}` holds nobody", name.value),
                "give it `addresses` or `users`",
            );
        }
        section.finish();
        let group = ClientGroup { name: name.value.as_str().into(), addresses: addresses.into(), users: users.into() };
        groups.insert(name.value, Placed { value: group, place: name.place });
    }
    groups
}

fn read_hosts(root: &mut Section<'_, '_>) -> HashMap<String, HostSet> {
    let mut groups = HashMap::new();
    for (name, mut section) in root.named_tables("hosts") {
        let patterns = section.strings("names").unwrap_or_default();
        let set = host_patterns(&section, &patterns);
        if patterns.is_empty() {
            let place = section.place().clone();
            section.problem(
                &place,
                format!("host group `{}` holds no host: a rule with it never matches", name.value),
                "give it `names`",
            );
        }
        section.finish();
        groups.insert(name.value, set);
    }
    groups
}

/// The set of these patterns; each that is none is reported.
pub(super) fn host_patterns(section: &Section<'_, '_>, patterns: &[Placed<String>]) -> HostSet {
    let mut set = HostSet::default();
    for pattern in patterns {
        add_host(section, &mut set, pattern);
    }
    set
}

fn add_host(section: &Section<'_, '_>, set: &mut HostSet, pattern: &Placed<String>) {
    if let Err(why) = set.add(&pattern.value) {
        section.problem(
            &pattern.place,
            format!("`{}` is no host pattern: {why}", pattern.value),
            "write a name, `*.` and a name, or an address, without scheme, port or path",
        );
    }
}

fn read_programs(root: &mut Section<'_, '_>) -> HashMap<String, Arc<Program>> {
    let mut groups = HashMap::new();
    for (name, mut section) in root.named_tables("programs") {
        let user_agent = section.string("user_agent").map(|text| text.value.into());
        let ja4 = section.strings("ja4");
        if let Some(ja4) = &ja4 {
            refuse_empty(&section, "ja4", ja4, "any");
        }
        let ja4: Vec<Box<str>> = ja4.unwrap_or_default().into_iter().map(|text| text.value.into()).collect();
        if user_agent.is_none() && ja4.is_empty() {
            let place = section.place().clone();
            section.problem(
                &place,
                format!("program `{}` says nothing of itself", name.value),
                "give it `user_agent` or `ja4`",
            );
        }
        section.finish();
        groups.insert(name.value, Arc::new(Program { user_agent, ja4 }));
    }
    groups
}

/// A list of prefixes; absent and wrong are both `None`.
pub(super) fn prefixes(section: &mut Section<'_, '_>, key: &'static str) -> Option<Vec<IpNet>> {
    section.strings(key).map(|texts| prefixes_of(section, texts))
}

fn prefixes_of(section: &Section<'_, '_>, texts: Vec<Placed<String>>) -> Vec<IpNet> {
    let mut nets = Vec::with_capacity(texts.len());
    for text in texts {
        let net = text.value.parse::<IpNet>().or_else(|_| text.value.parse::<IpAddr>().map(IpNet::from));
        match net {
            Ok(net) if net.trunc() == net => nets.push(net),
            Ok(net) => section.problem(
                &text.place,
                format!("`{}` has bits set behind its prefix length", text.value),
                format!("write {}", net.trunc()),
            ),
            Err(_) => section.problem(
                &text.place,
                format!("`{}` is no address or prefix", text.value),
                "write it like \"10.20.0.0/16\" or \"2001:db8::/32\"",
            ),
        }
    }
    nets
}

/// The word in a rule's `private` that stands for the `[internal]` addresses of the config.
const INTERNAL: &str = "internal";

/// What a rule's `private` opens, and where it says `internal`.
fn private(section: &mut Section<'_, '_>) -> (Vec<IpNet>, Option<Place>) {
    let texts = section.strings("private").unwrap_or_default();
    let (internal, texts): (Vec<_>, Vec<_>) = texts.into_iter().partition(|text| text.value == INTERNAL);
    (prefixes_of(section, texts), internal.into_iter().next().map(|text| text.place))
}

/// A list of a rule. Absent, it matches all; empty, it would match nothing, which nobody means.
fn some_strings(section: &mut Section<'_, '_>, key: &'static str) -> Option<Vec<Placed<String>>> {
    let list = section.strings(key)?;
    refuse_empty(section, key, &list, "all");
    Some(list)
}

fn ports(section: &mut Section<'_, '_>) -> Option<Vec<u16>> {
    let list = section.integers("ports", 1..=65535)?;
    refuse_empty(section, "ports", &list, "the default ones");
    Some(list.into_iter().filter_map(|port| u16::try_from(port).ok()).collect())
}

fn refuse_empty<T>(section: &Section<'_, '_>, key: &str, list: &[T], absent: &str) {
    if list.is_empty() {
        section.problem(
            section.place(),
            format!("`{key}` holds nothing that could match: the rule never does"),
            format!("name one, or leave `{key}` out to match {absent}"),
        );
    }
}

/// Methods are case-sensitive (RFC 9110 §9.1), and none in use has a lower-case letter.
fn methods(section: &mut Section<'_, '_>) -> Option<Vec<Box<str>>> {
    let words = some_strings(section, "methods")?;
    for Placed { value, place } in &words {
        if value.is_empty() || !value.bytes().all(is_token_byte) {
            section.problem(place, format!("{value:?} is no method"), "write a method like \"GET\" or \"POST\"");
        } else if value.bytes().any(|byte| byte.is_ascii_lowercase()) {
            section.problem(
                place,
                format!("the method `{value}` has lower-case letters, and methods are case-sensitive"),
                format!("write \"{}\"", value.to_ascii_uppercase()),
            );
        }
    }
    Some(words.into_iter().map(|word| word.value.into()).collect())
}

fn read_rule(section: &mut Section<'_, '_>, groups: &Groups) -> Option<Rule> {
    let place = section.place().clone();
    let name = section.string("name");
    let clients = some_strings(section, "clients").map(|names| client_groups(section, names, groups));
    let hosts = some_strings(section, "hosts").map(|names| host_set(section, &names, groups));
    let (ports, methods) = (ports(section), methods(section));
    let programs = some_strings(section, "programs").map(|names| program_groups(section, &names, groups));
    let (verdict, has_verdict) = (section.word("verdict", &VERDICTS), section.has("verdict"));
    let any_protocol = section.word("protocol", &[("tls", false), ("any", true)]).unwrap_or(false);
    let any_sni = section.word("sni", &[("match", false), ("any", true)]).unwrap_or(false);
    let (opened, opens_internal) = private(section);
    let essential = section.boolean("essential").unwrap_or(false);
    let limits = section.table("tunnel").map_or_else(TunnelLimits::default, |mut table| {
        let minutes = |number: u64| Duration::from_secs(number * 60);
        let idle = table.integer("idle_minutes", 1..=MINUTES_MAX).map(minutes);
        let lifetime = table.integer("max_minutes", 1..=MINUTES_MAX).map(minutes);
        table.finish();
        TunnelLimits { idle, lifetime }
    });
    let route = read_route(section, groups, verdict);
    let _ = section.string("comment");
    section.finish();
    let Some(name) = name else {
        section.problem(&place, "a rule has no name", "add name = \"…\": reasons and records show it");
        return None;
    };
    let Some(verdict) = verdict else {
        if has_verdict {
            // A word that is none was named already.
            return None;
        }
        section.problem(
            &place,
            format!("rule `{}` has no verdict", name.value),
            "add verdict = \"allow\", \"challenge\" or \"deny\"",
        );
        return None;
    };
    let lets_nothing_out = match verdict {
        VerdictKind::Allow => None,
        VerdictKind::Challenge => Some("challenges, and no challenge is passed yet"),
        VerdictKind::Deny => Some("denies"),
    };
    if let Some(why) = lets_nothing_out.filter(|_| essential) {
        let place = section.place_of_key("essential").unwrap_or_else(|| place.clone());
        section.problem(
            &place,
            format!("rule `{}` {why}: it cannot be essential", name.value),
            "take `essential` away, which marks what may pass under a breakglass, or allow",
        );
    }
    Some(Rule {
        reference: Arc::new(RuleRef { name: name.value.into(), file: place.file, line: name.place.line, essential }),
        clients,
        hosts,
        ports,
        methods,
        programs,
        verdict,
        opens_internal,
        resolve_at: section.place_of_key("resolve"),
        terms: PermitTerms { route, opened: opened.into(), limits, any_protocol, any_sni, observed: false, essential },
    })
}

/// The way out that a rule names. Where it names a wrong one the policy is refused, so the direct one
/// that stands in for it is never taken.
fn read_route(section: &mut Section<'_, '_>, groups: &Groups, verdict: Option<VerdictKind>) -> Route {
    let parent = section.string("parent");
    let resolve = section.word("resolve", &[ResolvedBy::Gate, ResolvedBy::Parent].map(|who| (who.as_str(), who)));
    let Some(name) = parent else {
        if let Some(place) = section.place_of_key("resolve").filter(|_| !section.has("parent")) {
            section.problem(
                &place,
                "`resolve` says who resolves names behind a parent, and the rule names none",
                "add `parent`, or take `resolve` away: the gate resolves what it dials itself",
            );
        }
        return Route::Direct;
    };
    if verdict == Some(VerdictKind::Deny) {
        section.problem(
            &name.place,
            "the rule denies, and what is denied leaves by no parent",
            "take `parent` away, or allow",
        );
    }
    let Some(parent) = groups.parents.iter().find(|parent| parent.value.name() == name.value) else {
        let known = groups.parents.iter().map(|parent| parent.value.name());
        let fix = did_you_mean(&name.value, known)
            .unwrap_or_else(|| format!("define [parents.{}], or name one that is defined", name.value));
        section.problem(&name.place, format!("there is no parent `{}`", name.value), fix);
        return Route::Direct;
    };
    Route::Parent { parent: parent.value.clone(), resolved_by: resolve.unwrap_or(ResolvedBy::Gate) }
}

fn unknown_group(section: &Section<'_, '_>, kind: &str, name: &str, place: &Place) {
    section.problem(
        place,
        format!("there is no {kind} group `{name}`"),
        format!("define [{kind}.{name}], or name one that is defined"),
    );
}

fn client_groups(section: &Section<'_, '_>, names: Vec<Placed<String>>, groups: &Groups) -> Vec<ClientGroup> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        match groups.clients.get(&name.value) {
            Some(group) => found.push(group.value.clone()),
            None => unknown_group(section, "clients", &name.value, &name.place),
        }
    }
    found
}

/// A rule's `hosts` names groups; what has a dot, a colon or a star is a pattern of its own.
fn host_set(section: &Section<'_, '_>, names: &[Placed<String>], groups: &Groups) -> HostSet {
    let mut set = HostSet::default();
    for name in names {
        match groups.hosts.get(&name.value) {
            Some(group) => set.extend(group),
            None if name.value.contains(['.', ':', '*']) => add_host(section, &mut set, name),
            None => unknown_group(section, "hosts", &name.value, &name.place),
        }
    }
    set
}

fn program_groups(section: &Section<'_, '_>, names: &[Placed<String>], groups: &Groups) -> Vec<Arc<Program>> {
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        match groups.programs.get(&name.value) {
            Some(program) => found.push(program.clone()),
            None => unknown_group(section, "programs", &name.value, &name.place),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_tunnels_are_kept_unless_the_policy_says_strict() {
        let read = |text: &str| Policy::compile("p.toml", text).map(|policy| policy.reload());
        assert_eq!(read(""), Ok(Reload::Keep));
        assert_eq!(read("[policy]\nreload = \"keep\""), Ok(Reload::Keep));
        assert_eq!(read("[policy]\nreload = \"strict\""), Ok(Reload::Strict));
        let problems = read("[policy]\nreload = \"strikt\"").unwrap_err();
        assert_eq!(
            problems[0].to_string(),
            "p.toml:2:10: `reload` cannot be \"strikt\"\n    fix: did you mean `strict`?"
        );
    }
}
