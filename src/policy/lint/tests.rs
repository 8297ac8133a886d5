use super::*;

const GROUPS: &str = "[calendar]\ntime_zone = \"UTC\"\n\
    [clients]\nall = { addresses = [\"10.20.0.0/16\"] }\nsome = { addresses = [\"10.20.7.0/24\"] }\n\
    boss = { users = [\"tanaka\"] }\n\
    [programs]\napt = { user_agent = \"APT/*\" }\ncurl = { user_agent = \"curl/*\" }\n\
    [[rule]]\nname = \"uses all groups\"\nclients = [\"all\", \"some\", \"boss\"]\nprograms = [\"apt\", \"curl\"]\n\
    hosts = [\"first.test.example\"]\nverdict = \"allow\"\n";
/// 2026-11-25, noon.
const NOW: Timestamp = Timestamp(1_795_608_000_000_000);

/// The codes of a policy, with the names of what they are about.
fn codes(text: &str) -> Vec<&'static str> {
    let policy = Policy::compile("p.toml", text).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    policy.lint(NOW).iter().map(|lint| lint.code.as_str()).collect()
}

/// The codes of one rule that stands behind the groups.
fn of_rule(keys: &str) -> Vec<&'static str> {
    codes(&format!("{GROUPS}[[rule]]\nname = \"r\"\n{keys}\n"))
}

/// The codes of two rules.
fn of_rules(earlier: &str, later: &str) -> Vec<&'static str> {
    codes(&format!("{GROUPS}[[rule]]\nname = \"a\"\n{earlier}\n[[rule]]\nname = \"b\"\n{later}\n"))
}

#[test]
fn a_policy_as_it_should_be_has_no_warning() {
    assert_eq!(codes(""), [""; 0]);
    assert_eq!(codes(GROUPS), [""; 0]);
    assert_eq!(of_rule("hosts = [\"a.example\"]\nverdict = \"allow\""), [""; 0]);
}

#[test]
fn a_rule_behind_one_that_matches_all_that_it_could_is_named_with_the_earlier() {
    let host = "hosts = [\"a.example\", \"*.b.example\"]";
    for (earlier, later) in [
        ("hosts = [\"*\"]\nverdict = \"deny\"", "hosts = [\"a.example\"]\nports = [8443]\nverdict = \"allow\""),
        ("verdict = \"deny\"", "hosts = [\"*\"]\nverdict = \"allow\""),
        (&format!("{host}\nverdict = \"allow\""), "hosts = [\"*.x.b.example\", \"a.example\"]\nverdict = \"allow\""),
        (&format!("{host}\nverdict = \"allow\""), "hosts = [\"a.example\"]\nports = [80]\nverdict = \"deny\""),
        (
            &format!("{host}\nports = [80, 443]\nverdict = \"allow\""),
            "hosts = [\"a.example\"]\nverdict = \"challenge\"",
        ),
        (
            &format!("{host}\nclients = [\"all\"]\nverdict = \"allow\""),
            "hosts = [\"a.example\"]\nclients = [\"some\"]\nverdict = \"allow\"",
        ),
        (
            &format!("{host}\nmethods = [\"GET\", \"HEAD\"]\nports = [80]\nverdict = \"allow\""),
            "hosts = [\"a.example\"]\nmethods = [\"GET\"]\nports = [80]\nverdict = \"deny\"",
        ),
        (
            &format!("{host}\nhours = \"Mon 08:00-09:00\"\nuntil = \"2028-01-01\"\nverdict = \"allow\""),
            "hosts = [\"a.example\"]\nhours = \"Mon 08:00-09:00\"\nuntil = \"2027-01-01\"\nverdict = \"allow\"",
        ),
    ] {
        assert_eq!(of_rules(earlier, later), ["shadowed"], "{earlier}\n---\n{later}");
    }
    let text = "[[rule]]\nname = \"a\"\nverdict = \"deny\"\n[[rule]]\nname = \"b\"\nverdict = \"deny\"\n";
    let lint = &Policy::compile("p.toml", text).unwrap().lint(NOW)[0];
    assert_eq!(lint.what, "rule `b` decides nothing: rule `a` at p.toml:2 matches all that it could");
    assert_eq!((&*lint.file, lint.line), ("p.toml", 5));
}

#[test]
fn a_rule_of_which_the_earlier_leaves_something_is_no_shadow() {
    for (earlier, later) in [
        ("hosts = [\"*.a.example\"]", "hosts = [\"a.example\"]"),
        ("hosts = [\"a.example\"]", "hosts = [\"a.example\", \"b.example\"]"),
        ("hosts = [\"a.example\"]", "hosts = [\"a.example\"]\nports = [443]"),
        ("hosts = [\"a.example\"]\nports = [443]", "hosts = [\"a.example\"]"),
        ("hosts = [\"a.example\"]\nclients = [\"some\"]", "hosts = [\"a.example\"]\nclients = [\"all\"]"),
        ("hosts = [\"a.example\"]\nclients = [\"boss\"]", "hosts = [\"a.example\"]\nclients = [\"some\"]"),
        ("hosts = [\"a.example\"]\nclients = [\"all\"]", "hosts = [\"a.example\"]\nclients = [\"boss\"]"),
        ("hosts = [\"a.example\"]\nprograms = [\"apt\"]", "hosts = [\"a.example\"]\nprograms = [\"apt\", \"curl\"]"),
        (
            "hosts = [\"a.example\"]\nhours = \"Mon 08:00-09:00\"",
            "hosts = [\"a.example\"]\nhours = \"Mon 08:00-09:30\"",
        ),
        ("hosts = [\"a.example\"]\nuntil = \"2027-01-01\"", "hosts = [\"a.example\"]"),
        (
            "hosts = [\"a.example\"]\npaths = [\"/a/**\"]\nports = [80]",
            "hosts = [\"a.example\"]\npaths = [\"/b/**\"]\nports = [80]",
        ),
    ] {
        let rule = |keys: &str| format!("{keys}\nverdict = \"allow\"");
        assert_eq!(of_rules(&rule(earlier), &rule(later)), [""; 0], "{earlier}\n---\n{later}");
    }
    let denied = "hosts = [\"a.example\"]\nverdict = \"deny\"";
    assert_eq!(of_rules("hosts = [\"a.example\"]\nverdict = \"allow\"", denied), [""; 0], "other ports are left");
}

#[test]
fn a_rule_is_found_behind_another_in_a_policy_of_many_rules_too() {
    let mut text = String::from("[[rule]]\nname = \"wide\"\nhosts = [\"*.b.example\"]\nverdict = \"allow\"\n");
    for number in 0..40 {
        text.push_str(&format!(
            "[[rule]]\nname = \"r{number}\"\nhosts = [\"h{number}.example\"]\nverdict = \"allow\"\n"
        ));
    }
    assert_eq!(codes(&text), [""; 0]);
    text.push_str("[[rule]]\nname = \"last\"\nhosts = [\"*.a.b.example\"]\nverdict = \"allow\"\n");
    assert_eq!(codes(&text), ["shadowed"]);
}

#[test]
fn a_rule_for_nothing_but_names_that_the_guard_refuses_never_matches() {
    for verdict in ["allow", "deny"] {
        let rule = |hosts: &str| of_rule(&format!("hosts = [{hosts}]\nverdict = \"{verdict}\""));
        assert_eq!(rule("\"*.localhost\", \"a.localhost\", \"a.onion\""), ["never_matches"]);
        assert_eq!(rule("\"*.localhost\", \"a.example\""), [""; 0]);
        assert_eq!(rule("\"localhost.example\""), [""; 0]);
    }
}

#[test]
fn everything_below_a_public_suffix_is_worth_a_warning_and_a_domain_is_not() {
    let rule = |pattern: &str, verdict: &str| of_rule(&format!("hosts = [\"{pattern}\"]\nverdict = \"{verdict}\""));
    for verdict in ["allow", "challenge"] {
        assert_eq!(rule("*.com", verdict), ["public_suffix"]);
        assert_eq!(rule("*.co.jp", verdict), ["public_suffix"]);
        assert_eq!(rule("*.github.io", verdict), ["shared_suffix"]);
        for one in ["*.example.co.jp", "co.jp", "*.me.github.io", "*.plant", "*.github.com"] {
            assert_eq!(rule(one, verdict), [""; 0], "{one}");
        }
    }
    assert_eq!(rule("*.co.jp", "deny"), [""; 0]);
}

#[test]
fn an_address_that_never_passes_the_guard_is_named() {
    let rule = |keys: &str| of_rule(&format!("{keys}\nverdict = \"allow\""));
    assert_eq!(rule("hosts = [\"10.1.7.5\"]"), ["guard_refuses"]);
    assert_eq!(rule("hosts = [\"10.1.7.5\"]\nprivate = [\"10.1.8.0/24\"]"), ["guard_refuses"]);
    assert_eq!(rule("hosts = [\"a.example\"]\nprivate = [\"224.0.0.1/32\"]"), ["guard_refuses"]);
    assert_eq!(rule("hosts = [\"10.1.7.5\"]\nprivate = [\"10.1.7.0/24\"]"), [""; 0]);
    assert_eq!(rule("hosts = [\"10.1.7.5\"]\nprivate = [\"internal\"]"), [""; 0], "the config says what that is");
    assert_eq!(rule("hosts = [\"93.184.216.34\"]"), [""; 0]);
    assert_eq!(of_rule("hosts = [\"10.1.7.5\"]\nverdict = \"deny\""), [""; 0]);
}

#[test]
fn an_exception_is_named_in_its_last_14_days_and_when_it_is_over() {
    let rule = |until: &str| of_rule(&format!("hosts = [\"a.example\"]\nuntil = \"{until}\"\nverdict = \"allow\""));
    assert_eq!(rule("2026-11-24"), ["ended"]);
    assert_eq!(rule("2026-11-25"), ["ends_soon"], "it holds to the end of its last day");
    assert_eq!(rule("2026-12-08"), ["ends_soon"]);
    assert_eq!(rule("2026-12-09"), [""; 0]);
}

#[test]
fn where_nobody_looks_inside_no_tenant_can_be_set() {
    let rule = |keys: &str| format!("hosts = [\"*.slack.com\"]\n{keys}\nverdict = \"allow\"");
    let tenant = "tenant = { slack = { requester = \"T1\", workspaces = [\"T1\"] } }";
    assert_eq!(of_rule(&rule(tenant)), ["needs_inspection"]);
    assert_eq!(of_rule(&rule(&format!("{tenant}\nports = [80]"))), ["needs_inspection"]);
    assert_eq!(of_rule(&rule(&format!("{tenant}\ninspect = true"))), [""; 0]);
    // Told once: by what is asked for beside it, for which the gate looks inside.
    assert_eq!(of_rule(&rule(&format!("{tenant}\npaths = [\"/a\"]"))), ["needs_inspection"]);
    let text = format!("[[rule]]\nname = \"r\"\n{}\n", rule(tenant));
    let lint = &Policy::compile("p.toml", &text).unwrap().lint(NOW)[0];
    assert!(lint.what.contains("its fields cannot be set") && lint.line == 2, "{lint:?}");
}

#[test]
fn paths_and_methods_on_https_wait_for_inspection() {
    let rule = |keys: &str| of_rule(&format!("hosts = [\"a.example\"]\n{keys}\nverdict = \"allow\""));
    for key in ["paths = [\"/a\"]", "methods = [\"GET\"]"] {
        assert_eq!(rule(key), ["needs_inspection"]);
        assert_eq!(rule(&format!("{key}\nports = [443, 80]")), ["needs_inspection"]);
        assert_eq!(rule(&format!("{key}\nports = [80]")), [""; 0]);
        assert_eq!(rule(&format!("{key}\ninspect = true")), [""; 0]);
    }
}

#[test]
fn groups_and_parents_that_no_rule_names_are_named() {
    let defined = "[clients]\nc = { addresses = [\"10.0.0.0/8\"] }\n[hosts]\nh = { names = [\"h.example\"] }\n\
        [programs]\np = { user_agent = \"P/*\" }\n[parents]\nup = { address = \"10.9.0.1:80\" }\n";
    assert_eq!(codes(defined), ["unused"; 4]);
    let rule = "[[rule]]\nname = \"r\"\nclients = [\"c\"]\nhosts = [\"h\"]\nprograms = [\"p\"]\nparent = \"up\"\nverdict = \"allow\"\n";
    assert_eq!(codes(&format!("{defined}{rule}")), [""; 0]);
    let observed = "[clients]\npilot = { addresses = [\"10.0.0.0/8\"], mode = \"observe\" }\n";
    assert_eq!(codes(observed), [""; 0], "its mode does something");
}

#[test]
fn two_rules_of_one_name_are_told_apart_by_nobody() {
    let rule =
        |name: &str, host: &str| format!("[[rule]]\nname = \"{name}\"\nhosts = [\"{host}\"]\nverdict = \"deny\"\n");
    assert_eq!(
        codes(&format!("{}{}{}", rule("a", "a.example"), rule("a", "b.example"), rule("a", "c.example"))),
        ["same_name", "same_name"]
    );
    assert_eq!(codes(&format!("{}{}", rule("a", "a.example"), rule("A", "b.example"))), [""; 0]);
}

#[test]
fn every_host_is_allowed_with_a_word_or_a_warning() {
    assert_eq!(of_rule("clients = [\"some\"]\nverdict = \"allow\""), ["every_host"]);
    assert_eq!(of_rule("clients = [\"some\"]\nhosts = [\"*\"]\nverdict = \"allow\""), [""; 0]);
    assert_eq!(of_rule("clients = [\"some\"]\nverdict = \"deny\""), [""; 0]);
}

#[test]
fn a_policy_that_allows_what_no_rule_names_is_told_so() {
    assert_eq!(codes("[policy]\nunknown = \"allow\"\n"), ["unknown_allowed"]);
    assert_eq!(codes("[policy]\nunknown = \"challenge\"\n"), [""; 0]);
    assert_eq!(codes("[policy]\nunknown = \"deny\"\n"), [""; 0]);
}

#[test]
fn what_was_captured_is_left_over_by_a_rule_that_does_not_say_that_it_is_about_it() {
    let (allow, host) = ("verdict = \"allow\"", "hosts = [\"a.example\"]");
    let captured = format!("{host}\ncaptured = true\n{allow}");
    let plain = format!("{host}\n{allow}");
    assert_eq!(of_rules(&plain, &captured), [""; 0], "what goes past the proxy comes to the second");
    assert_eq!(of_rules(&captured, &plain), ["shadowed"]);
    assert_eq!(of_rules(&captured, &captured), ["shadowed"]);
    let deny = format!("{host}\nports = [80]\nverdict = \"deny\"");
    assert_eq!(of_rules(&format!("{host}\nverdict = \"deny\""), &captured), ["shadowed"]);
    assert_eq!(of_rules(&plain, &deny), ["shadowed"]);
    let three = format!("{deny}\n[[rule]]\nname = \"c\"\n{captured}");
    assert_eq!(of_rules(&plain, &three), [""; 0], "the denial keeps something from the third");
}
