//! One rule: what it asks for, and what it says of the exchanges it lets out.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::parse::{Place, Placed, Section, did_you_mean, is_token_byte};

use super::calendar::{Calendar, Hours, Until, need_calendar};
use super::compile::VERDICTS;
use super::decision::{Notes, PermitTerms, Rate, RatePer, RuleRef, TunnelLimits, VerdictKind};
use super::groups::{ClientGroup, Groups, Program, prefixes_of, refuse_empty};
use super::internal::Internal;
use super::parents::{ResolvedBy, Route};
use super::paths::Paths;
use super::pattern::HostSet;
use super::set_fields::read_set_fields;
use super::tenant::read_tenant;

/// One rule; everything that is `None` matches all.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) reference: Arc<RuleRef>,
    pub(super) clients: Option<Vec<ClientGroup>>,
    pub(super) hosts: Option<HostSet>,
    pub(super) ports: Option<Vec<u16>>,
    pub(super) methods: Option<Vec<Box<str>>>,
    pub(super) paths: Option<Paths>,
    pub(super) hours: Option<Hours>,
    pub(super) until: Option<Until>,
    pub(super) programs: Option<Vec<Arc<Program>>>,
    /// It lets out what was captured on its way past the proxy, too.
    pub(super) captured: bool,
    pub(super) verdict: VerdictKind,
    /// Where it says that it opens the internal addresses, which [`super::Policy::with_internal`] adds.
    pub(super) opens_internal: Option<Place>,
    /// Where it says who resolves names behind a parent.
    resolve_at: Option<Place>,
    pub(super) terms: Arc<PermitTerms>,
}

/// The longest limit of a tunnel, a week: beyond it a limit is no limit.
const MINUTES_MAX: u64 = 7 * 24 * 60;
/// The most that a tunnel may be limited to, a pebibyte.
const MIB_MAX: u64 = 1 << 30;
/// The longest time over which a rate is counted, a day.
const RATE_SECONDS_MAX: u64 = 86_400;
const RATE_REQUESTS_MAX: u64 = 1_000_000;

/// The word in a rule's `private` that stands for the `[internal]` addresses of the config.
const INTERNAL: &str = "internal";

impl Rule {
    /// The place of its `resolve`, where that leaves internal names to a parent and no other host.
    pub(super) fn leaves_internal_names(&self, internal: &Internal) -> Option<&Place> {
        let left = matches!(self.terms.route, Route::Parent { resolved_by: ResolvedBy::Parent, .. });
        let all = self.hosts.as_ref().is_some_and(|hosts| internal.includes_all(hosts));
        self.resolve_at.as_ref().filter(|_| left && all)
    }
}

/// Reads a rule; what is wrong with it is reported, and one without a name or a verdict is none.
pub(super) fn read_rule(section: &mut Section<'_, '_>, groups: &Groups, calendar: Option<&Calendar>) -> Option<Rule> {
    let place = section.place().clone();
    let name = section.string("name");
    let (verdict, has_verdict) = (section.word("verdict", &VERDICTS), section.has("verdict"));
    let clients = some_strings(section, "clients").map(|names| groups.client_groups(section, &names));
    let hosts = some_strings(section, "hosts").map(|names| groups.host_set(section, &names));
    let (ports, methods) = (ports(section), methods(section));
    let paths =
        some_strings(section, "paths").map(|paths| Paths::read(section, &paths, verdict == Some(VerdictKind::Allow)));
    let (hours, hours_written) = read_hours(section, "hours", calendar).unzip();
    let until = read_until(section, calendar);
    let programs = some_strings(section, "programs").map(|names| groups.program_groups(section, &names));
    let (opened, opens_internal) = private(section);
    let essential = section.boolean("essential").unwrap_or(false);
    let captured = section.boolean("captured").unwrap_or(false);
    let set_fields = read_set_fields(section);
    let tenant = read_tenant(section, hosts.as_ref(), &set_fields);
    let terms = PermitTerms {
        opened: opened.into(),
        any_protocol: section.word("protocol", &[("tls", false), ("any", true)]).unwrap_or(false),
        any_sni: section.word("sni", &[("match", false), ("any", true)]).unwrap_or(false),
        ech_denied: section.word("ech", &[("allow", false), ("deny", true)]).unwrap_or(false),
        inspect: section.boolean("inspect"),
        fresh: section.boolean("fresh").unwrap_or(false),
        confirm: section.boolean("confirm").unwrap_or(false),
        no_script: section.boolean("no_script").unwrap_or(false),
        limits: read_limits(section),
        rate: read_rate(section, name.as_ref().map_or(place.line, |name| name.place.line)),
        route: read_route(section, groups, verdict),
        set_fields,
        tenant,
        essential,
    };
    let notes = read_notes(section, hours_written, until.as_ref(), &terms);
    section.finish();
    let Some(name) = name else {
        section.problem(&place, "a rule has no name", "add name = \"…\": reasons and records show it");
        return None;
    };
    let Some(verdict) = verdict else {
        // A word that is none was named already.
        if !has_verdict {
            let what = format!("rule `{}` has no verdict", name.value);
            section.problem(&place, what, "add verdict = \"allow\", \"challenge\" or \"deny\"");
        }
        return None;
    };
    let reference =
        RuleRef { name: name.value.into(), file: place.file.clone(), line: name.place.line, essential, notes };
    let rule = Rule {
        reference: Arc::new(reference),
        clients,
        hosts,
        ports,
        methods,
        paths,
        hours,
        until,
        programs,
        captured,
        verdict,
        opens_internal,
        resolve_at: section.place_of_key("resolve"),
        terms: terms.into(),
    };
    refuse_contradictions(section, &rule);
    Some(rule)
}

/// What a rule says in one line and takes back in another.
fn refuse_contradictions(section: &Section<'_, '_>, rule: &Rule) {
    let contradicts = |key: &str, what: String, fix: &str| {
        let place = section.place_of_key(key).unwrap_or_else(|| section.place().clone());
        section.problem(&place, format!("rule `{}` {what}", rule.reference.name), fix);
    };
    let terms = &rule.terms;
    let denies = rule.verdict == VerdictKind::Deny;
    let lets_nothing_out = match rule.verdict {
        VerdictKind::Allow => None,
        VerdictKind::Challenge => Some("challenges, and who meets a challenge is on record"),
        VerdictKind::Deny => Some("denies"),
    };
    if let Some(why) = lets_nothing_out.filter(|_| terms.essential) {
        let fix = "take `essential` away, which marks what may pass under a breakglass, or allow";
        contradicts("essential", format!("{why}: it cannot be essential"), fix);
    }
    let not_for_captured = match rule.verdict {
        VerdictKind::Allow => None,
        VerdictKind::Challenge => Some("challenges, and whoever goes past the proxy is asked nothing"),
        VerdictKind::Deny => Some("denies, and what was captured is denied by every such rule"),
    };
    if let Some(why) = not_for_captured.filter(|_| rule.captured) {
        contradicts("captured", format!("{why}: `captured` is for what is let out"), "take `captured` away, or allow");
    }
    for (key, is_set) in [("fresh", terms.fresh), ("confirm", terms.confirm), ("no_script", terms.no_script)] {
        if is_set && rule.verdict != VerdictKind::Challenge {
            let what = format!("does not challenge, and `{key}` says how a challenge is met");
            contradicts(key, what, &format!("take `{key}` away, or write verdict = \"challenge\""));
        }
    }
    let sets = !terms.set_fields.is_empty();
    let only_plain = rule.ports.as_ref().is_some_and(|ports| *ports == [80]);
    if sets && !denies && terms.inspect != Some(true) && !only_plain {
        let fix = "add inspect = true, or ports = [80] where plain http alone is meant";
        contradicts("set_headers", "sets fields, and lets tunnels out in which it sets none".to_owned(), fix);
    }
    let restricts = !terms.tenant.is_empty();
    for (key, is_set) in [
        ("rate", terms.rate.is_some()),
        ("inspect", terms.inspect == Some(true)),
        ("set_headers", sets),
        ("tenant", restricts),
    ] {
        if is_set && denies {
            contradicts(
                key,
                format!("denies, and `{key}` is for what is let out"),
                &format!("take `{key}` away, or allow"),
            );
        }
    }
    if terms.inspect == Some(false) && rule.paths.is_some() {
        let fix = "take `paths` away, or `inspect = false`: without inspection no path of https is seen";
        contradicts("inspect", "asks for paths and forbids to look at them".to_owned(), fix);
    }
    if terms.inspect == Some(false) && restricts {
        let fix = "take `tenant` away, or `inspect = false`: a field can be set where the gate looks inside alone";
        contradicts("inspect", "restricts tenants and forbids to look where that is said".to_owned(), fix);
    }
    if terms.inspect == Some(true) && terms.any_protocol {
        let fix = "take one of them away: only TLS can be inspected";
        contradicts("inspect", "inspects, and opens tunnels to any protocol".to_owned(), fix);
    }
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

/// The hours under a key, and how they are written.
pub(super) fn read_hours(
    section: &mut Section<'_, '_>,
    key: &'static str,
    calendar: Option<&Calendar>,
) -> Option<(Hours, String)> {
    let texts = section.strings_or_one(key)?;
    refuse_empty(section, key, &texts, "always");
    if let (None, Some(place)) = (calendar, section.place_of_key(key)) {
        need_calendar(section, &place, key);
    }
    let written: Vec<&str> = texts.iter().map(|text| text.value.as_str()).collect();
    Some((Hours::read(section, &texts, calendar), written.join(", ")))
}

fn read_until(section: &mut Section<'_, '_>, calendar: Option<&Calendar>) -> Option<Until> {
    let text = section.string("until")?;
    let Some(calendar) = calendar else {
        need_calendar(section, &text.place, "until");
        return None;
    };
    let until = Until::read(&text.value, calendar);
    if until.is_none() {
        let what = format!("`{}` is no date", text.value);
        section.problem(&text.place, what, "write the last day on which the rule holds, like \"2027-03-31\"");
    }
    until
}

/// What a rule's `private` opens, and where it says `internal`.
fn private(section: &mut Section<'_, '_>) -> (Vec<IpNet>, Option<Place>) {
    let texts = section.strings("private").unwrap_or_default();
    let (internal, texts): (Vec<_>, Vec<_>) = texts.into_iter().partition(|text| text.value == INTERNAL);
    (prefixes_of(section, texts), internal.into_iter().next().map(|text| text.place))
}

fn read_limits(section: &mut Section<'_, '_>) -> TunnelLimits {
    section.table("tunnel").map_or_else(TunnelLimits::default, |mut table| {
        let minutes = |number: u64| Duration::from_secs(number * 60);
        let limits = TunnelLimits {
            idle: table.integer("idle_minutes", 1..=MINUTES_MAX).map(minutes),
            lifetime: table.integer("max_minutes", 1..=MINUTES_MAX).map(minutes),
            upload_bytes: table.integer("max_upload_mib", 1..=MIB_MAX).map(|mib| mib << 20),
            download_bytes: table.integer("max_download_mib", 1..=MIB_MAX).map(|mib| mib << 20),
        };
        table.finish();
        limits
    })
}

/// `line` is that by which reasons name the rule.
fn read_rate(section: &mut Section<'_, '_>, line: u32) -> Option<Arc<Rate>> {
    let mut table = section.table("rate")?;
    let requests = table.integer("requests", 1..=RATE_REQUESTS_MAX);
    let seconds = table.integer("seconds", 1..=RATE_SECONDS_MAX);
    let per = table.word("per", &[RatePer::Client, RatePer::ClientHost].map(|per| (per.as_str(), per)));
    for (key, example) in [("requests", "60"), ("seconds", "60"), ("per", "\"client\"")] {
        table.need_some(key, example);
    }
    table.finish();
    let rate = Rate {
        file: section.place().file.clone(),
        line,
        requests: u32::try_from(requests?).ok()?,
        over: Duration::from_secs(seconds?),
        per: per?,
    };
    Some(Arc::new(rate))
}

fn read_notes(
    section: &mut Section<'_, '_>,
    hours: Option<String>,
    until: Option<&Until>,
    terms: &PermitTerms,
) -> Notes {
    let mut text = |key| section.string(key).map(|text: Placed<String>| text.value.into());
    Notes {
        requested_by: text("requested_by"),
        ticket: text("ticket"),
        comment: text("comment"),
        until: until.map(|until| until.written.clone()),
        hours: hours.map(Into::into),
        needs_person: terms.fresh || terms.confirm,
        no_script: terms.no_script,
    }
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
