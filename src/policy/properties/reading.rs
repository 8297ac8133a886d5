//! A policy read as a person reads it, from what was written and no further: no index, no compiled sets.

use super::decide::{Asked, BASE, Layer, PRINTS, SITE, Written};

/// What one layer says.
struct Said<'w> {
    verdict: &'static str,
    reason: &'static str,
    /// The rule that the reason names: the initial of its layer, and its number there.
    named: Option<(&'static str, usize)>,
    /// The rule by whose terms it is let out.
    terms: Option<&'w Written>,
    waits: Option<&'static str>,
    observes: bool,
}

/// What becomes of it, in one line: verdict, what would have been, reason, rule, and the other layer's word.
pub(super) fn meant(base: Option<&Layer>, site: &Layer, asked: &Asked) -> String {
    if asked.isolated {
        return "deny isolated".to_owned();
    }
    if asked.name == "localhost" {
        return "deny guard_name".to_owned();
    }
    let base = base.map(|base| layer_says(base, BASE, asked));
    let layers: Vec<Said<'_>> = base.into_iter().chain([layer_says(site, SITE, asked)]).collect();
    let all_terms: Vec<&Written> = layers.iter().filter_map(|said| said.terms).collect();
    let observed = layers.last().is_some_and(|site| site.observes);
    let mut would = layers.iter().filter_map(|said| said.comes_to().1).max_by_key(|verdict| strictness(verdict));
    let first = match &layers[..] {
        [base, site] if base.weight() > site.weight() => 0,
        layers => layers.len() - 1,
    };
    let said = &layers[first];
    let beside = match &layers[..] {
        [base, site] => {
            let other = if first == 0 { site } else { base };
            format!(" | {} {}{}", other.verdict, other.reason, other.rule())
        }
        _ => String::new(),
    };
    let (mut verdict, mut reason, mut waits) = (said.comes_to().0, said.reason, said.waits);
    // A finding tightens.
    let found = match (asked.finding, asked.standing) {
        (Some("challenge"), "afresh" | "afresh, confirmed") => None,
        // Who goes past the proxy is asked nothing.
        (Some("challenge"), _) if asked.captured => Some("deny"),
        (Some("challenge"), "no browser") => Some("deny"),
        (finding, _) => finding,
    };
    if let Some(found) = found
        && (waits.is_none() || found == "deny")
        && strictness(verdict) < strictness(found)
    {
        reason = "finding";
        if observed {
            would = would.into_iter().chain([found]).max_by_key(|verdict| strictness(verdict));
        } else {
            (verdict, waits) = (found, None);
        }
    }
    let rule = said.rule();
    let essential = !all_terms.is_empty() && all_terms.iter().all(|terms| terms.essential);
    if asked.lockdown && waits.is_none() && !(verdict == "allow" && essential) {
        return format!("deny lockdown{rule}{beside}");
    }
    if let Some(fact) = waits {
        return format!("needs {fact}{rule}{beside}");
    }
    let inspects = all_terms.iter().any(|terms| terms.inspect == Some(true))
        && all_terms.iter().all(|terms| terms.inspect != Some(false));
    let looks_inside = asked.method.is_none() && (inspects || asked.port == 80) && !observed;
    match (verdict, would) {
        ("allow", _) if looks_inside => format!("needs inner{rule}{beside}"),
        ("allow", Some(would)) => format!("allow would {would} {reason}{rule}{beside}"),
        (verdict, _) => format!("{verdict} {reason}{rule}{beside}"),
    }
}

fn strictness(verdict: &str) -> u8 {
    match verdict {
        "allow" => 0,
        "challenge" => 1,
        "deny" => 2,
        other => panic!("{other} is no verdict"),
    }
}

impl Said<'_> {
    /// The rule that the reason names, behind a space.
    fn rule(&self) -> String {
        self.named.map_or(String::new(), |(layer, number)| format!(" {layer}{number}"))
    }

    /// What it comes to, and what it would have come to.
    fn comes_to(&self) -> (&'static str, Option<&'static str>) {
        match self.verdict {
            "allow" => ("allow", None),
            verdict if self.observes && self.waits.is_none() => ("allow", Some(verdict)),
            verdict => (verdict, None),
        }
    }

    /// The heavier of two has the word: a denial, then what waits, a challenge, what passes; and of what
    /// passes that which would not have.
    fn weight(&self) -> (u8, u8) {
        let (verdict, would) = self.comes_to();
        let weight = match (verdict, self.waits) {
            ("deny", None) => 3,
            (_, Some(_)) => 2,
            ("challenge", None) => 1,
            (_, None) => 0,
        };
        (weight, would.map_or(0, |would| strictness(would) + 1))
    }
}

fn layer_says<'w>(layer: &'w Layer, initial: &'static str, asked: &Asked) -> Said<'w> {
    let with_mode = layer.modes.iter().find(|(group, _)| belongs(group, asked) == Some(true));
    let observes = with_mode.map_or(layer.mode, |(_, mode)| mode) == "observe";
    let tunnel = asked.method.is_none();
    let default_port = asked.port == 80 || (tunnel && asked.port == 443);
    let denied = |reason: &'static str, rule: Option<usize>| Said {
        verdict: "deny",
        reason,
        named: rule.map(|number| (initial, number)),
        terms: None,
        waits: None,
        observes,
    };
    let mut near = None;
    for (number, rule) in layer.rules.iter().enumerate() {
        let Some(waits) = concerns(rule, asked) else { continue };
        let port = match &rule.ports {
            Some(ports) => ports.contains(&asked.port),
            None => rule.verdict == "deny" || default_port,
        };
        if !port {
            if rule.verdict != "deny" {
                near = near.or(Some(number));
            }
            continue;
        }
        let (fact, reason, can_be_learnt) = match waits {
            Some("user") => ("user", "authentication_unavailable", false),
            // The inside is learnt on port 80, and only while nothing has been read in its place.
            Some("inner") => ("inner", "inspection_unavailable", asked.port == 80 && asked.print.is_none()),
            Some(_) => ("hello", "hello_unavailable", true),
            None if rule.paths.is_some() && asked.path_is_unclear() => return denied("path_ambiguous", Some(number)),
            None => return challenged(rule.verdict, "rule", Some(((initial, number), rule)), (observes, layer), asked),
        };
        let waits = Some(fact).filter(|_| can_be_learnt || !observes);
        return Said { waits, ..denied(reason, Some(number)) };
    }
    match (near, default_port) {
        (None, _) if asked.captured => denied("bypassed_proxy", None),
        (None, true) => challenged(layer.unknown, "no_rule", None, (observes, layer), asked),
        (near, _) => denied("port_not_opened", near),
    }
}

/// A challenge by what the program has shown.
fn challenged<'w>(
    verdict: &'static str,
    reason: &'static str,
    rule: Option<((&'static str, usize), &'w Written)>,
    (observes, layer): (bool, &Layer),
    asked: &Asked,
) -> Said<'w> {
    let (named, terms) = rule.unzip();
    let said = Said { verdict, reason, named, terms, waits: None, observes };
    if verdict != "challenge" {
        return said;
    }
    let fresh = terms.is_some_and(|rule| rule.fresh);
    let confirm = terms.is_some_and(|rule| rule.confirm);
    let lies = asked.contradictions >= 2 && asked.standing != "no browser";
    if lies && layer.mimic == "deny" {
        return Said { verdict: "deny", reason: "mimic", terms: None, ..said };
    }
    let met = match asked.standing {
        _ if lies && layer.mimic == "challenge" => false,
        "no browser" => return Said { verdict: "deny", reason: "not_a_browser", terms: None, ..said },
        "cleared" => !fresh && !confirm,
        "afresh" => !confirm,
        "confirmed" => !fresh,
        "afresh, confirmed" => true,
        _ => false,
    };
    if met { Said { verdict: "allow", ..said } } else { said }
}

/// Whether the rule is about this, its ports apart; and for which fact it waits, if it may be.
fn concerns(rule: &Written, asked: &Asked) -> Option<Option<&'static str>> {
    let host = |pattern: &&str| match pattern.strip_prefix('*') {
        Some("") => true,
        Some(dotted) => asked.name.ends_with(dotted) && asked.name.len() > dotted.len(),
        None => *pattern == asked.name,
    };
    if !rule.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(host)) {
        return None;
    }
    if rule.until && asked.at.is_after_june || rule.hours && !asked.at.is_in_hours {
        return None;
    }
    if asked.captured && rule.verdict != "deny" && !rule.captured {
        return None;
    }
    let mut waits = None;
    if let Some(groups) = &rule.clients {
        let of: Vec<_> = groups.iter().map(|group| belongs(group, asked)).collect();
        if !of.contains(&Some(true)) {
            if !of.contains(&None) {
                return None;
            }
            waits = Some("user");
        }
    }
    if let Some(methods) = &rule.methods {
        match asked.method {
            Some(method) if methods.contains(&method) => {}
            Some(_) => return None,
            None => waits = waits.or(Some("inner")),
        }
    }
    if let Some(programs) = &rule.programs {
        let by_name =
            programs.contains(&"any") || (programs.contains(&"updater") && asked.said.starts_with("Updater/"));
        let wants_print = programs.iter().any(|program| PRINTS.contains(program));
        let by_print = asked.method.is_none() && asked.print.is_some_and(|print| programs.contains(&print));
        if !by_name && !by_print {
            if !(asked.method.is_none() && asked.print.is_none() && wants_print) {
                return None;
            }
            waits = waits.or(Some("hello"));
        }
    }
    if let Some(paths) = &rule.paths {
        if asked.method.is_none() {
            waits = waits.or(Some("inner"));
        } else if !asked.path_is_unclear() {
            let one_of = |pattern: &&str| match *pattern {
                "/orders/*" => asked.path == "/orders/7",
                pattern => pattern == asked.path,
            };
            if !paths.iter().any(one_of) {
                return None;
            }
        }
    }
    Some(waits)
}

/// Whether the client is of the group; absent where only its user's name would tell.
fn belongs(group: &str, asked: &Asked) -> Option<bool> {
    let office = asked.client.starts_with("10.20.");
    let staff = asked.user.map(|user| user == "tanaka" || user == "sato");
    match group {
        "office" => Some(office),
        "lab" => Some(asked.client == "10.20.7.9"),
        "plant" => Some(asked.client == "10.30.0.1"),
        "staff" => staff,
        "desk" if !office => Some(false),
        "desk" => asked.user.map(|user| user == "tanaka"),
        other => panic!("{other} is no group"),
    }
}
