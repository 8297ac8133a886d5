use std::net::SocketAddr;

use super::*;
use crate::facts::{Breakglass, Client, Hello, Program as Seen, Restraint, Standing, Target, Timestamp, TlsVersion};
use crate::parse::{parse_absolute, parse_connect};
use crate::policy::properties::decide::Base;
use crate::policy::{ResolvedBy, Route, Source};

fn breakglass(until: u64) -> Breakglass {
    Breakglass { until: Timestamp(until), reason: "fire".into() }
}

#[test]
fn a_breakglass_lets_what_is_essential_pass_on_the_reserve_while_it_holds_and_nothing_else() {
    let text = "[[rule]]\nname = \"a\"\nhosts = [\"a.example\"]\nverdict = \"allow\"\nessential = true\n\
                [[rule]]\nname = \"b\"\nhosts = [\"b.example\"]\nverdict = \"allow\"\n";
    let policy = policy(text);
    assert_eq!(policy.essential_rules(), 1);
    let passes = |policy: &Policy, host: &str, breakglass: Option<&Breakglass>, now: u64| {
        let outcome = judge_with(policy, &format!("http://{host}/"), Stage::Never, Restraint::NONE);
        match outcome {
            Outcome::Decided(Decision { verdict: Verdict::Allow(permit), .. }) => {
                permit.passes_on_reserve(breakglass, Timestamp(now))
            }
            other => panic!("{other:?}"),
        }
    };
    let broken = breakglass(100);
    assert!(passes(&policy, "a.example", Some(&broken), 99));
    assert!(!passes(&policy, "a.example", Some(&broken), 100), "it is over");
    assert!(!passes(&policy, "a.example", None, 99), "nobody has broken the glass");
    assert!(!passes(&policy, "b.example", Some(&broken), 99), "its rule is not essential");
    // What is only observed is let out by no rule.
    let observing = policy.observing();
    assert!(!passes(&observing, "c.example", Some(&broken), 99));
}

#[test]
fn only_a_rule_that_lets_out_can_be_essential() {
    let text = "[[rule]]\nname = \"a\"\nhosts = [\"a.example\"]\nverdict = \"allow\"\nessential = true\n";
    assert!(Policy::compile("p.toml", text).is_ok());
    for (verdict, what) in [("deny", "denies"), ("challenge", "challenges, and who meets a challenge is on record")] {
        let problems = Policy::compile("p.toml", &text.replace("allow", verdict)).unwrap_err();
        let shown = problems[0].to_string();
        assert!(problems.len() == 1 && shown.contains(&format!("rule `a` {what}")), "{problems:?}");
        assert!(shown.starts_with("p.toml:5:13: ") && shown.contains("fix: take `essential` away"), "{shown}");
    }
}

fn policy(text: &str) -> Policy {
    Policy::compile("test.toml", text).unwrap()
}

fn target(text: &str) -> Target {
    if text.starts_with("http") { parse_absolute(text.as_bytes()) } else { parse_connect(text.as_bytes()) }.unwrap()
}

pub(super) fn judge_with(policy: &Policy, text: &str, hello: Stage<&Hello>, restraint: Restraint) -> Outcome {
    let method = if text.starts_with("http") { "GET" } else { "CONNECT" };
    judge_method(policy, method, text, hello, restraint)
}

fn judge_method(policy: &Policy, method: &str, text: &str, hello: Stage<&Hello>, restraint: Restraint) -> Outcome {
    let client = Client::at(SocketAddr::from(([10, 20, 1, 5], 4000)));
    let target = target(text);
    let tunnel = target.scheme == Scheme::Tunnel;
    decide(
        policy,
        &Facts {
            now: Timestamp(0),
            client: &client,
            method,
            target: &target,
            program: Seen { user_agent: Some(b"Updater/2.1") },
            hello,
            inner: if tunnel { Stage::NotYet } else { Stage::Never },
            standing: Standing::Uncleared,
            contradictions: crate::facts::Contradictions::NONE,
            restraint,
        },
    )
}

/// Verdict, reason and rule in one line.
fn judge(policy: &Policy, text: &str) -> String {
    say(&judge_with(policy, text, Stage::NotYet, Restraint::NONE))
}

pub(super) fn say(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Needs(need, reason) => format!("needs {need:?} {}", name_of_rule(reason)),
        Outcome::Decided(decision) => {
            let rule = name_of_rule(&decision.reason);
            let would = decision.would.map_or("", |_| " (would not)");
            format!("{} {} {rule}{would}", decision.verdict.kind().as_str(), decision.reason.code.as_str())
        }
    }
}

fn name_of_rule(reason: &Reason) -> &str {
    reason.rule.as_ref().map_or("-", |rule| &rule.name)
}

#[test]
fn an_empty_policy_denies() {
    let policy = policy("");
    assert_eq!(judge(&policy, "http://a.example/"), "deny no_rule -");
    assert_eq!(judge(&policy, "a.example:443"), "deny no_rule -");
}

#[test]
fn the_first_rule_that_matches_decides() {
    let policy = policy(
        r#"
        [hosts]
        all = { names = ["*.example"] }
        [[rule]]
        name = "no"
        hosts = ["bad.example"]
        verdict = "deny"
        [[rule]]
        name = "yes"
        hosts = ["all"]
        verdict = "allow"
        "#,
    );
    assert_eq!(judge(&policy, "http://bad.example/"), "deny rule no");
    assert_eq!(judge(&policy, "http://good.example/"), "allow rule yes");
    assert_eq!(judge(&policy, "http://good.example.org/"), "deny no_rule -");
}

#[test]
fn a_rule_opens_only_the_default_ports_unless_it_names_others() {
    let policy = policy("[[rule]]\nname=\"r\"\nhosts=[\"a.example\"]\nverdict=\"allow\"\n");
    assert_eq!(judge(&policy, "a.example:443"), "allow rule r");
    assert_eq!(judge(&policy, "a.example:22"), "deny port_not_opened r");
    assert_eq!(judge(&policy, "http://a.example:8080/"), "deny port_not_opened r");
}

#[test]
fn a_tunnel_to_port_80_waits_for_its_first_request() {
    let policy = policy("[[rule]]\nname=\"r\"\nhosts=[\"a.example\"]\nverdict=\"allow\"\n");
    assert_eq!(judge(&policy, "a.example:80"), "needs InnerRequest r");
    assert_eq!(judge(&policy, "b.example:80"), "deny no_rule -");
}

#[test]
fn a_need_that_cannot_be_met_names_the_rule_and_its_place() {
    let policy = policy(
        "[clients]\nu = { users = [\"ann\"] }\n\
         [[rule]]\nname=\"user\"\nhosts=[\"u.example\"]\nclients=[\"u\"]\nverdict=\"allow\"\n\
         [[rule]]\nname=\"method\"\nhosts=[\"m.example\"]\nmethods=[\"GET\"]\nverdict=\"allow\"\n",
    );
    let said = |text: &str| match judge_with(&policy, text, Stage::NotYet, Restraint::NONE) {
        Outcome::Needs(_, reason) => format!("{} {}", reason.code.as_str(), reason.rule.unwrap()),
        Outcome::Decided(decision) => panic!("{decision:?}"),
    };
    assert_eq!(said("u.example:443"), "authentication_unavailable user (test.toml:4)");
    assert_eq!(said("http://u.example/"), "authentication_unavailable user (test.toml:4)");
    assert_eq!(said("m.example:443"), "inspection_unavailable method (test.toml:9)");
    assert_eq!(judge(&policy, "http://m.example/"), "allow rule method", "a plain request shows its method");
}

#[test]
fn a_tunnel_to_port_80_that_no_rule_names_waits_without_one() {
    let policy = policy("[policy]\nunknown = \"allow\"\n");
    assert_eq!(judge(&policy, "a.example:80"), "needs InnerRequest -");
}

#[test]
fn a_rule_on_a_fingerprint_waits_for_the_hello_and_is_judged_again() {
    let policy = policy(
        "[programs]\nu = { user_agent = \"Updater/*\", ja4 = [\"t13d_a_b\"] }\n\
         [[rule]]\nname=\"r\"\nhosts=[\"a.example\"]\nprograms=[\"u\"]\nverdict=\"allow\"\n",
    );
    assert_eq!(judge(&policy, "a.example:443"), "needs Hello r");
    assert_eq!(judge(&policy, "b.example:443"), "deny no_rule -");
    let mut hello = Hello {
        traits: crate::facts::HelloTraits::NONE,
        sni: None,
        alpn: Vec::new(),
        ja4: "t13d_a_b".into(),
        stable_key: "".into(),
        ech: false,
        version: TlsVersion::Tls13,
    };
    let outcome = judge_with(&policy, "a.example:443", Stage::Known(&hello), Restraint::NONE);
    assert_eq!(say(&outcome), "allow rule r");
    hello.ja4 = "t13d_a_c".into();
    let outcome = judge_with(&policy, "a.example:443", Stage::Known(&hello), Restraint::NONE);
    assert_eq!(say(&outcome), "deny no_rule -");
}

#[test]
fn observe_lets_pass_and_says_what_would_have_been_but_isolation_holds() {
    let policy = policy("[policy]\nmode = \"observe\"\n");
    assert_eq!(judge(&policy, "http://a.example/"), "allow no_rule - (would not)");
    let outcome = judge_with(&policy, "http://a.example/", Stage::Never, Restraint::ISOLATED);
    assert_eq!(say(&outcome), "deny isolated -");
}

#[test]
fn observe_does_not_stop_at_a_fact_that_cannot_be_learnt() {
    let policy = policy(
        "[policy]\nmode = \"observe\"\n\
         [clients]\nu = { users = [\"ann\"] }\n\
         [programs]\np = { ja4 = [\"t13d_a_b\"] }\n\
         [[rule]]\nname=\"user\"\nhosts=[\"u.example\"]\nclients=[\"u\"]\nprivate=[\"10.0.0.0/8\"]\nverdict=\"allow\"\n\
         [[rule]]\nname=\"method\"\nhosts=[\"m.example\"]\nmethods=[\"GET\"]\nverdict=\"allow\"\n\
         [[rule]]\nname=\"program\"\nhosts=[\"p.example\"]\nprograms=[\"p\"]\nverdict=\"allow\"\n",
    );
    let passes_for_want_of = |what: &str| format!("allow {what}_unavailable");
    let (user, inner) = (passes_for_want_of("authentication"), passes_for_want_of("inspection"));
    assert_eq!(judge(&policy, "u.example:443"), format!("{user} user (would not)"));
    assert_eq!(judge(&policy, "http://u.example/"), format!("{user} user (would not)"));
    assert_eq!(judge(&policy, "m.example:443"), format!("{inner} method (would not)"));
    assert_eq!(judge(&policy, "m.example:80"), "needs InnerRequest method", "which the gate reads");
    let outcome = judge_with(&policy, "m.example:80", Stage::Never, Restraint::NONE);
    assert_eq!(say(&outcome), format!("{inner} method (would not)"), "no hello came, and no request is read");
    assert_eq!(judge(&policy, "p.example:443"), "needs Hello program", "which the gate reads");
    let outcome = judge_with(&policy, "u.example:443", Stage::NotYet, Restraint::ISOLATED);
    assert_eq!(say(&outcome), "deny isolated -");
    let Outcome::Decided(decision) = judge_with(&policy, "u.example:443", Stage::NotYet, Restraint::NONE) else {
        panic!("decided above")
    };
    assert_eq!(decision.would, Some(VerdictKind::Deny));
    let Verdict::Allow(permit) = decision.verdict else { panic!("allowed above") };
    assert!(permit.opened().is_empty(), "what the rule opens is for users that it knows");
}

#[test]
fn names_that_mean_this_machine_are_never_a_target() {
    let policy = policy("[[rule]]\nname=\"r\"\nhosts=[\"*\"]\nverdict=\"allow\"\n");
    assert_eq!(judge(&policy, "http://localhost/"), "deny guard_name -");
    assert_eq!(judge(&policy, "http://a.localhost./"), "deny guard_name -");
    assert_eq!(judge(&policy, "http://localhost.example/"), "allow rule r");
}

#[test]
fn a_client_outside_the_group_does_not_match() {
    let text = |net: &str| {
        format!(
            "[clients]\nc = {{ addresses = [\"{net}\"] }}\n[[rule]]\nname=\"r\"\nclients=[\"c\"]\nverdict=\"allow\"\n"
        )
    };
    assert_eq!(judge(&policy(&text("10.20.0.0/16")), "a.example:443"), "allow rule r");
    assert_eq!(judge(&policy(&text("10.21.0.0/16")), "a.example:443"), "deny no_rule -");
}

#[test]
fn an_address_is_in_the_first_group_of_the_file_that_holds_it() {
    let policy = policy(
        "[clients]\n\
         users = { users = [\"ann\"] }\n\
         office = { addresses = [\"10.20.0.0/16\"] }\n\
         all = { addresses = [\"10.0.0.0/8\"] }\n\
         [[rule]]\nname=\"r\"\nclients=[\"all\", \"users\"]\nverdict=\"allow\"\n",
    );
    let group = |address: &str| policy.group_of(&Client::at(SocketAddr::new(address.parse().unwrap(), 1)));
    assert_eq!(group("10.20.1.5").as_deref(), Some("office"), "which stands before `all`, and no rule names");
    assert_eq!(group("::ffff:10.20.1.5").as_deref(), Some("office"));
    assert_eq!(group("10.21.1.5").as_deref(), Some("all"));
    assert_eq!(group("192.0.2.1"), None);
}

#[test]
fn every_problem_is_reported_at_once_with_its_place_and_fix() {
    let text = "[policy]\nmod = \"enforce\"\n[[rule]]\nname = \"r\"\nverdict = \"alow\"\nhosts = [\"nobody\"]\n";
    let problems = Policy::compile("p.toml", text).unwrap_err();
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let all = shown.join("\n");
    assert!(all.contains("p.toml:2:1: unknown key `mod`\n    fix: did you mean `mode`?"), "{all}");
    assert!(all.contains("p.toml:5:11: `verdict` cannot be \"alow\"\n    fix: did you mean `allow`?"), "{all}");
    assert!(all.contains("p.toml:6:10: there is no hosts group `nobody`"), "{all}");
}

#[test]
fn an_empty_list_of_a_group_is_refused_and_not_taken_for_everybody() {
    for group in [
        "[clients]\ng = { addresses = [\"10.0.0.0/8\"], users = [] }\n",
        "[clients]\ng = { addresses = [], users = [\"a\"] }\n",
        "[programs]\np = { user_agent = \"x\", ja4 = [] }\n",
        "[hosts]\nh = {}\n",
    ] {
        let problems = Policy::compile("p.toml", group).unwrap_err();
        assert_eq!(problems.len(), 1, "{group}: {problems:?}");
    }
}

#[test]
fn a_permit_leads_by_the_way_its_rule_names_and_directly_where_it_names_none() {
    let policy = policy(
        "[parents]\nuplink = { address = \"10.9.0.1:8080\" }\n\
         [[rule]]\nname=\"up\"\nhosts=[\"up.example\"]\nparent=\"uplink\"\nverdict=\"allow\"\n\
         [[rule]]\nname=\"far\"\nhosts=[\"far.example\"]\nparent=\"uplink\"\nresolve=\"parent\"\nverdict=\"allow\"\n\
         [[rule]]\nname=\"direct\"\nhosts=[\"direct.example\"]\nverdict=\"allow\"\n",
    );
    let route = |host: &str| match judge_with(&policy, &format!("{host}:443"), Stage::NotYet, Restraint::NONE) {
        Outcome::Decided(Decision { verdict: Verdict::Allow(permit), .. }) => permit.route().clone(),
        other => panic!("{other:?}"),
    };
    for (host, who) in [("up.example", ResolvedBy::Gate), ("far.example", ResolvedBy::Parent)] {
        let Route::Parent { parent, resolved_by } = route(host) else { panic!("{host} goes directly") };
        assert_eq!((parent.name(), resolved_by), ("uplink", who));
    }
    assert_eq!(route("direct.example"), Route::Direct);
}

#[test]
fn a_method_that_repeats_the_request_never_leaves_where_it_would_show_a_parents_credentials() {
    let parents =
        "[parents]\nknown = { address = \"10.9.0.1:80\", credentials = \"k\" }\nbare = { address = \"10.9.0.1:80\" }\n";
    let rule = |host: &str, keys: &str| {
        format!("[[rule]]\nname=\"{host}\"\nhosts=[\"{host}.test\"]\nverdict=\"allow\"\n{keys}\n")
    };
    let rules = [
        rule("shown", "parent=\"known\"\nresolve=\"parent\""),
        rule("asked", "parent=\"known\"\nresolve=\"gate\""),
        rule("bare", "parent=\"bare\"\nresolve=\"parent\""),
        rule("direct", ""),
        rule("denied", "").replace("allow", "deny"),
    ];
    let text = format!("{parents}{}", rules.concat());
    let judge = |policy: &Policy, method: &str, host: &str| {
        say(&judge_method(policy, method, &format!("http://{host}.test/"), Stage::Never, Restraint::NONE))
    };
    for policy in [policy(&text), policy(&text).observing()] {
        for method in ["TRACE", "trace", "Trace", "TRACK"] {
            assert_eq!(judge(&policy, method, "shown"), "deny trace_shows_credentials shown", "{method}");
            for host in ["asked", "bare", "direct"] {
                assert_eq!(judge(&policy, method, host), format!("allow rule {host}"), "{method}");
            }
        }
        for method in ["GET", "OPTIONS", "HEAD", "TRACES"] {
            assert_eq!(judge(&policy, method, "shown"), "allow rule shown", "{method}");
        }
        let tunnel = judge_method(&policy, "CONNECT", "shown.test:443", Stage::NotYet, Restraint::NONE);
        assert_eq!(say(&tunnel), "allow rule shown", "the parent alone sees the CONNECT");
    }
    assert_eq!(judge(&policy(&text), "TRACE", "denied"), "deny rule denied", "what its rule denies is that rule's");
}

#[test]
fn what_is_over_a_rate_is_denied_or_would_be_and_the_reason_names_the_rule_whose_rate_it_is() {
    let rule = |rate: &str| format!("[[rule]]\nname = \"r\"\nhosts = [\"a.example\"]\nverdict = \"allow\"\n{rate}\n");
    let rated = rule("rate = { requests = 3, seconds = 60, per = \"client\" }");
    let over = |policy: &Policy| {
        let Outcome::Decided(decision) = judge_with(policy, "http://a.example/", Stage::Never, Restraint::NONE) else {
            panic!("nothing is waited for")
        };
        let rate = decision.rates().next().cloned();
        rate.map(|rate| decision.over(&rate))
    };
    assert!(over(&policy(&rule(""))).is_none(), "no rate, nothing to be over");
    let denied = over(&policy(&rated)).unwrap();
    assert_eq!((denied.verdict.kind(), denied.would, denied.reason.code), (VerdictKind::Deny, None, Code::RateLimited));
    assert_eq!(denied.reason.rule.unwrap().line, 2);
    let passed = over(&policy(&format!("[policy]\nmode = \"observe\"\n{rated}"))).unwrap();
    let would = Some(VerdictKind::Deny);
    assert_eq!(
        (passed.verdict.kind(), passed.would, passed.reason.code),
        (VerdictKind::Allow, would, Code::RateLimited)
    );
    // Of two layers that let it out, the one whose rate it is has the word.
    let site = format!("[policy]\nbase = \"base.toml\"\n{}", rule(""));
    let root = Source { file: "site.toml".to_owned(), text: site };
    let layered = Policy::compile_from(root, &Base(&rated)).unwrap();
    let denied = over(&layered).unwrap();
    let beside = denied.reason.beside.unwrap();
    assert_eq!((&*denied.reason.rule.unwrap().file, denied.reason.code), ("base.toml", Code::RateLimited));
    assert_eq!((beside.verdict, &*beside.rule.unwrap().file), (VerdictKind::Allow, "site.toml"));
}

#[test]
fn a_host_below_more_names_than_the_index_merges_is_judged_by_every_rule_in_order() {
    for depth in [11, 12, 13, 20] {
        // The rule of each further label stands before that of the longer name, and matches no port.
        let parent = |labels: usize| (0..labels).map(|label| format!("l{label}.")).rev().collect::<String>();
        let rule = |name: &str, host: &str, port: u16| {
            format!("[[rule]]\nname = \"{name}\"\nhosts = [\"{host}\"]\nports = [{port}]\nverdict = \"allow\"\n")
        };
        let mut text = String::new();
        for labels in 0..depth {
            text += &rule(&labels.to_string(), &format!("*.{}example", parent(labels)), 81);
        }
        text += &rule("other", "other.example", 80);
        text += &rule("it", &format!("x.{}example", parent(depth)), 80);
        let policy = policy(&text);
        let judged = |host: &str| judge(&policy, &format!("http://{host}/"));
        assert_eq!(judged(&format!("x.{}example", parent(depth))), "allow rule it", "{depth}");
        assert_eq!(judged(&format!("y.{}example", parent(depth))), "deny port_not_opened 0", "{depth}");
        assert_eq!(judged("other.example"), "allow rule other", "{depth}");
    }
}

/// What becomes of an exchange of a client that was captured on its way past the proxy.
fn judge_captured(policy: &Policy, text: &str, restraint: Restraint) -> String {
    let captured = Some(SocketAddr::from(([203, 0, 113, 7], 443)));
    let client = Client { captured, ..Client::at(SocketAddr::from(([10, 20, 1, 5], 4000))) };
    let target = target(text);
    let is_tunnel = target.scheme == Scheme::Tunnel;
    say(&decide(
        policy,
        &Facts {
            now: Timestamp(0),
            client: &client,
            method: if is_tunnel { "CONNECT" } else { "GET" },
            target: &target,
            program: Seen { user_agent: Some(b"Updater/2.1") },
            hello: Stage::Never,
            inner: if is_tunnel { Stage::NotYet } else { Stage::Never },
            standing: Standing::Cleared { afresh: false, confirmed: false },
            contradictions: crate::facts::Contradictions::NONE,
            restraint,
        },
    ))
}

const CAPTURES: &str = "
[policy]
unknown = \"allow\"
[[rule]]
name = \"never\"
hosts = [\"bad.clock.example\"]
verdict = \"deny\"
[[rule]]
name = \"for the proxy\"
hosts = [\"a.example\"]
verdict = \"allow\"
[[rule]]
name = \"asks\"
hosts = [\"b.example\"]
verdict = \"challenge\"
[[rule]]
name = \"clocks\"
hosts = [\"*.clock.example\"]
captured = true
verdict = \"allow\"
";

#[test]
fn what_goes_past_the_proxy_passes_by_a_rule_that_says_so_and_by_no_other() {
    let policy = policy(CAPTURES);
    let captured = |text| judge_captured(&policy, text, Restraint::NONE);
    for denied in ["http://a.example/", "a.example:443", "http://b.example/", "http://other.example/", "c.example:8443"]
    {
        assert_eq!(captured(denied), "deny bypassed_proxy -", "{denied}");
    }
    assert_eq!(captured("http://x.clock.example/"), "allow rule clocks");
    assert_eq!(captured("x.clock.example:443"), "allow rule clocks");
    assert_eq!(captured("x.clock.example:8443"), "deny port_not_opened clocks");
    assert_eq!(captured("http://bad.clock.example/"), "deny rule never", "a denial is for all");
    // Who asks the proxy is judged as ever, by the same rule too.
    assert_eq!(judge(&policy, "http://a.example/"), "allow rule for the proxy");
    assert_eq!(judge(&policy, "http://x.clock.example/"), "allow rule clocks");
    assert_eq!(judge(&policy, "http://other.example/"), "allow no_rule -");
}

#[test]
fn what_goes_past_the_proxy_is_challenged_by_no_finding_and_passes_where_all_is_observed() {
    let enforced = policy(CAPTURES);
    let afresh = Restraint { finding: Some(Response::ChallengeAfresh), ..Restraint::NONE };
    assert_eq!(judge_captured(&enforced, "http://x.clock.example/", afresh), "deny finding clocks");
    let observed = policy(&CAPTURES.replace("unknown =", "mode = \"observe\"\nunknown ="));
    assert_eq!(judge_captured(&observed, "http://a.example/", Restraint::NONE), "allow bypassed_proxy - (would not)");
    assert_eq!(judge_captured(&observed, "a.example:443", Restraint::ISOLATED), "deny isolated -");
}

#[test]
fn only_a_rule_that_allows_can_be_for_what_goes_past_the_proxy() {
    for (verdict, why) in
        [("deny", "denies, and what was captured is denied"), ("challenge", "challenges, and whoever")]
    {
        let text =
            format!("[[rule]]\nname = \"r\"\nhosts = [\"a.example\"]\ncaptured = true\nverdict = \"{verdict}\"\n");
        let problems = Policy::compile("p.toml", &text).unwrap_err();
        let shown = problems[0].to_string();
        assert!(problems.len() == 1 && shown.contains(&format!("rule `r` {why}")), "{shown}");
        assert!(shown.starts_with("p.toml:4:12: ") && shown.contains("take `captured` away"), "{shown}");
    }
}
