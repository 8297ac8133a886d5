//! A site on a base: each is judged alone, and the stricter has the word.

use super::tests::{judge_with, say};
use super::*;
use crate::facts::Restraint;
use crate::policy::properties::decide::Base;
use crate::policy::{Source, TunnelLimits};

/// A site's policy on this base.
fn layered(base: &str, site: &str) -> Policy {
    let root = Source { file: "site.toml".to_owned(), text: format!("[policy]\nbase = \"base.toml\"\n{site}") };
    Policy::compile_from(root, &Base(base)).unwrap()
}

fn rule(name: &str, verdict: &str, more: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nhosts = [\"a.example\"]\nverdict = \"{verdict}\"\n{more}\n")
}

/// Verdict, reason and rule, and what stands beside them.
fn judge_under(policy: &Policy, target: &str, restraint: Restraint) -> String {
    let outcome = judge_with(policy, target, Stage::NotYet, restraint);
    let reason = match &outcome {
        Outcome::Decided(decision) => &decision.reason,
        Outcome::Needs(_, reason) => reason,
    };
    let beside = reason.beside.as_ref().map_or("nothing".to_owned(), ToString::to_string);
    format!("{} | {beside}", say(&outcome))
}

fn judge(policy: &Policy, target: &str) -> String {
    judge_under(policy, target, Restraint::NONE)
}

fn permit(policy: &Policy, target: &str) -> Permit {
    match judge_with(policy, target, Stage::NotYet, Restraint::NONE) {
        Outcome::Decided(Decision { verdict: Verdict::Allow(permit), .. }) => permit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_two_verdicts_the_stricter_wins_and_the_reason_names_both() {
    let words = ["allow", "challenge", "deny"];
    for (strict_base, base) in words.into_iter().enumerate() {
        for (strict_site, site) in words.into_iter().enumerate() {
            let policy = layered(&rule("below", base, ""), &rule("above", site, ""));
            // At the same strictness the site's word goes first.
            let expected = if strict_site >= strict_base {
                format!("{site} rule above | {base}: below (base.toml:2)")
            } else {
                format!("{base} rule below | {site}: above (site.toml:4)")
            };
            assert_eq!(judge(&policy, "http://a.example/"), expected, "{base} below {site}");
        }
    }
}

#[test]
fn what_one_layer_does_not_name_it_judges_by_its_own_unknown_and_ports() {
    let allow = rule("r", "allow", "");
    assert_eq!(judge(&layered("", &allow), "http://a.example/"), "deny no_rule - | allow: r (site.toml:4)");
    let open = "[policy]\nunknown = \"allow\"\n";
    assert_eq!(judge(&layered(open, &allow), "http://a.example/"), "allow rule r | allow: no_rule");
    assert_eq!(judge(&layered(open, ""), "http://a.example/"), "deny no_rule - | allow: no_rule");
    let ports = rule("r", "allow", "ports = [8080]");
    assert_eq!(
        judge(&layered(open, &ports), "http://a.example:8080/"),
        "deny port_not_opened - | allow: r (site.toml:4)"
    );
    assert_eq!(judge(&layered(&ports, &ports), "http://a.example:8080/"), "allow rule r | allow: r (base.toml:2)");
}

#[test]
fn what_a_rule_opens_is_open_only_where_both_layers_open_it() {
    let opens = |keys: &str| rule("r", "allow", keys);
    let of = |base: &str, site: &str| permit(&layered(&opens(base), &opens(site)), "a.example:443");
    let prefixes = |permit: &Permit| permit.opened().iter().map(ToString::to_string).collect::<Vec<_>>();
    let (wide, narrow) = ("private = [\"10.0.0.0/8\"]", "private = [\"10.1.0.0/16\", \"192.168.0.0/16\"]");
    assert_eq!(prefixes(&of(wide, narrow)), ["10.1.0.0/16"]);
    assert_eq!(prefixes(&of(narrow, wide)), ["10.1.0.0/16"]);
    assert!(prefixes(&of("", narrow)).is_empty() && prefixes(&of(wide, "")).is_empty());
    let (any, tls) = ("protocol = \"any\"\nsni = \"any\"", "");
    for (base, site, opened) in [(any, any, true), (any, tls, false), (tls, any, false)] {
        let permit = of(base, site);
        assert_eq!((permit.terms().any_protocol(), permit.terms().any_sni()), (opened, opened), "{base} {site}");
    }
    let denies = |base: &str, site: &str| of(base, site).terms().ech_denied();
    assert!(denies("ech = \"deny\"", "") && denies("", "ech = \"deny\"") && !denies("ech = \"allow\"", ""));
}

#[test]
fn of_limits_the_smaller_holds_and_of_rates_both() {
    let base =
        "tunnel = { idle_minutes = 5, max_upload_mib = 10 }\nrate = { requests = 5, seconds = 60, per = \"client\" }";
    let site = "tunnel = { idle_minutes = 9, max_minutes = 60, max_upload_mib = 2 }\n\
                rate = { requests = 9, seconds = 60, per = \"client_host\" }";
    let permit = permit(&layered(&rule("r", "allow", base), &rule("r", "allow", site)), "a.example:443");
    let minutes = |minutes: u64| Some(std::time::Duration::from_secs(minutes * 60));
    assert_eq!(
        permit.limits(),
        TunnelLimits { idle: minutes(5), lifetime: minutes(60), upload_bytes: Some(2 << 20), download_bytes: None }
    );
    assert_eq!(permit.rates().map(|rate| rate.requests).collect::<Vec<_>>(), [5, 9]);
}

#[test]
fn not_to_look_inside_is_a_promise_that_the_other_layer_does_not_break() {
    let handled = |base: &str, site: &str| {
        let policy = layered(&rule("r", "allow", base), &rule("r", "allow", site));
        judge(&policy, "a.example:443").split_once(" | ").map(|(said, _)| said.to_owned()).unwrap()
    };
    let (yes, no) = ("inspect = true", "inspect = false");
    assert_eq!(handled(yes, ""), "needs InnerRequest r");
    assert_eq!(handled("", yes), "needs InnerRequest r");
    assert_eq!(handled(yes, no), "allow rule r");
    assert_eq!(handled(no, yes), "allow rule r");
    assert_eq!(handled("", ""), "allow rule r");
}

#[test]
fn essential_is_what_every_layer_that_names_it_calls_so() {
    let lockdown = Restraint { lockdown: true, ..Restraint::NONE };
    let essential = rule("r", "allow", "essential = true");
    let plain = rule("r", "allow", "");
    let open = "[policy]\nunknown = \"allow\"\n";
    for (base, site, passes) in [
        (&*essential, &*essential, true),
        (&*essential, &*plain, false),
        (&*plain, &*essential, false),
        // A base that names nothing says nothing of it.
        (open, &*essential, true),
        (open, &*plain, false),
    ] {
        let said = judge_under(&layered(base, site), "http://a.example/", lockdown);
        assert_eq!(said.starts_with("allow "), passes, "{base} {site}: {said}");
        assert_eq!(said.starts_with("deny lockdown"), !passes, "{base} {site}: {said}");
    }
}

#[test]
fn a_layer_observes_for_itself_and_the_other_is_enforced() {
    let observe = "[policy]\nmode = \"observe\"\n";
    let deny = rule("no", "deny", "");
    let allow = rule("yes", "allow", "");
    let observed = layered(&format!("{observe}{deny}"), &allow);
    assert!(judge(&observed, "http://a.example/").starts_with("allow rule no (would not)"), "{observed:?}");
    let site = |site: &str| format!("mode = \"observe\"\n{site}");
    assert!(judge(&layered(&deny, &site(&allow)), "http://a.example/").starts_with("deny rule no | "));
    assert!(judge(&layered(&allow, &site(&deny)), "http://a.example/").starts_with("allow rule no (would not)"));
    assert!(judge(&layered(&allow, &deny), "http://a.example/").starts_with("deny rule no | "));
}
