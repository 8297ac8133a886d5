use proptest::prelude::*;

use crate::facts::Timestamp;
use crate::policy::{Asker, Policy, Question, VerdictKind, explain};

use super::*;

fn target(text: &str) -> MarkedTarget {
    MarkedTarget::read(text).unwrap()
}

fn rule<'a>(target: &'a MarkedTarget, allows: bool, client: Option<&str>) -> MarkedRule<'a> {
    MarkedRule {
        word: "known good",
        target,
        client: client.map(|client| client.parse().unwrap()),
        allows,
        until: Some("2027-03-31"),
        by: "tanaka (user 1000)",
        comment: "the scanner's \"patterns\" \\ ü",
        at: "2026-11-26 21:40",
    }
}

fn compile(text: &str) -> Policy {
    Policy::compile("t.toml", text).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"))
}

/// 2026-11-26 and 2027-04-01.
const NOW: Timestamp = Timestamp(1_795_651_200_000_000);
const LATER: Timestamp = Timestamp(1_806_537_600_000_000);

fn verdict(policy: &Policy, client: &str, request: &str, now: Timestamp) -> Option<VerdictKind> {
    let question = Question::read(client.parse().unwrap(), request).unwrap();
    let asker = Asker { user_agent: Some("x/1"), ..Asker::default() };
    explain(policy, &question.by(&asker), now).result.verdict()
}

const ALLOW: Option<VerdictKind> = Some(VerdictKind::Allow);
const DENY: Option<VerdictKind> = Some(VerdictKind::Deny);

#[test]
fn targets_are_read_as_they_are_shown_and_what_is_near_to_one_is_refused() {
    for (text, shown) in [
        ("A.Example", "a.example"),
        ("*.a.example", "*.a.example"),
        ("a.example:8443", "a.example:8443"),
        ("*.a.example:8443", "*.a.example:8443"),
        ("192.0.2.7:22", "192.0.2.7:22"),
        ("[2001:db8::7]:8443", "[2001:db8::7]:8443"),
        ("2001:db8::7", "[2001:db8::7]"),
    ] {
        assert_eq!(target(text).to_string(), shown);
    }
    for text in [
        "",
        "*",
        "*.",
        "*.192.0.2.7",
        "a.example:",
        "a.example:0",
        "a.example:65536",
        "a.example:+1",
        "a b",
        "http://a.example/",
        "*.*.a.example",
    ] {
        assert_eq!(MarkedTarget::read(text), Err(BadTarget), "{text}");
    }
}

#[test]
fn what_is_known_good_is_let_out_for_its_client_to_its_last_day_and_nothing_near_it_is() {
    let target = target("x.a.example");
    let policy = compile(&rule(&target, true, Some("10.0.0.1/32")).alone());
    assert_eq!(verdict(&policy, "10.0.0.1", "CONNECT x.a.example:443", NOW), ALLOW);
    assert_eq!(verdict(&policy, "10.0.0.1", "CONNECT x.a.example:443", LATER), DENY);
    assert_eq!(verdict(&policy, "10.0.0.2", "CONNECT x.a.example:443", NOW), DENY);
    assert_eq!(verdict(&policy, "10.0.0.1", "CONNECT y.a.example:443", NOW), DENY);
    assert_eq!(verdict(&policy, "10.0.0.1", "CONNECT x.a.example:8443", NOW), DENY);
}

#[test]
fn what_is_malicious_is_denied_whatever_the_rules_behind_say_and_the_rest_of_the_policy_holds() {
    let base = "# ours\n[policy]\nunknown = \"deny\"\n\n# the suppliers\n[[rule]]\nname = \"all\"\nhosts = [\"*\"]\nverdict = \"allow\"\n";
    let target = target("*.a.example");
    let text = MarkedRule { until: None, ..rule(&target, false, None) }.within(base);
    let policy = compile(&text);
    assert!(text.contains("\n# the suppliers\n[[rule]]\nname = \"all\""), "{text}");
    assert_eq!(verdict(&policy, "10.0.0.1", "CONNECT x.a.example:443", NOW), DENY);
    assert_eq!(verdict(&policy, "10.0.0.1", "CONNECT a.example:443", NOW), DENY, "the domain itself too");
    assert_eq!(verdict(&policy, "10.0.0.1", "CONNECT ba.example:443", NOW), ALLOW);
}

#[test]
fn what_is_known_good_loosens_no_rule_that_denies() {
    let base = "[[rule]]\nname = \"no\"\nhosts = [\"a.example\"]\nverdict = \"deny\"";
    let (a, b) = (target("a.example"), target("b.example"));
    let text = rule(&b, true, None).within(&rule(&a, true, None).within(base));
    let policy = compile(&text);
    assert_eq!(verdict(&policy, "10.0.0.1", "CONNECT a.example:443", NOW), DENY);
    assert_eq!(verdict(&policy, "10.0.0.1", "CONNECT b.example:443", NOW), ALLOW);
}

#[test]
fn tables_that_the_policy_has_are_not_written_again() {
    let (a, b) = (target("a.example:8443"), target("[2001:db8::7]"));
    let first = rule(&a, true, Some("10.0.0.1/32")).within("");
    let second = rule(&b, false, Some("10.0.0.1/32")).within(&first);
    let policy = compile(&second);
    assert_eq!((policy.rules(), second.matches("[calendar]").count(), second.matches("[clients.").count()), (2, 1, 1));
    assert_eq!(verdict(&policy, "10.0.0.1", "CONNECT a.example:8443", NOW), ALLOW);
}

#[test]
fn what_was_proposed_is_taken_out_again_and_nothing_else() {
    let base = "# ours\n[policy]\nunknown = \"deny\"\n\n# the suppliers\n[[rule]]\nname = \"all\"\nhosts = [\"*\"]\nverdict = \"allow\"\n";
    let (a, below, port) = (target("a.example"), target("*.a.example"), target("a.example:8443"));
    let mut text = base.to_owned();
    for (target, allows, client) in [
        (&a, true, None),
        (&below, false, None),
        (&port, true, None),
        (&a, true, Some("10.0.0.1/32")),
        (&a, false, None),
    ] {
        text = rule(target, allows, client).within(&text);
    }
    let of_finding = "a beacon (finding 00000000000a, beacon)";
    text = MarkedRule { comment: of_finding, ..rule(&a, true, Some("10.0.0.2/32")) }.within(&text);
    let of = |target, client: Option<&str>| Proposed {
        word: "known good",
        target,
        of: ProposedOf::Target(client.map(|client| client.parse().unwrap())),
    };
    let all = compile(&text).rules();
    let other = Proposed { word: "malicious", ..of(&a, None) };
    assert_eq!(without_marked(&text, &other), (text.clone(), Vec::new()), "of another mark");
    let (left, taken) = without_marked(&text, &of(&a, None));
    assert_eq!((compile(&left).rules(), taken.len()), (all - 2, 2), "{left}");
    let (left, taken) = without_marked(&left, &of(&a, Some("10.0.0.1/32")));
    assert_eq!((compile(&left).rules(), taken.len()), (all - 3, 1), "{left}");
    assert_eq!(without_marked(&left, &of(&a, Some("10.0.0.2/32"))).1.len(), 0, "it is the finding's");
    let by_finding = |id| Proposed { of: ProposedOf::Finding(id), ..of(&a, None) };
    assert_eq!(without_marked(&left, &by_finding("00000000000b")).1.len(), 0);
    let (left, taken) = without_marked(&left, &by_finding("00000000000a"));
    assert_eq!((compile(&left).rules(), taken.len()), (all - 4, 1), "{left}");
    for other in [&below, &port] {
        assert_eq!(without_marked(&left, &of(other, None)).1.len(), 1, "{other}");
    }
    assert!(left.contains("# the suppliers\n[[rule]]\nname = \"all\""), "{left}");
    assert_eq!(without_marked(&left, &of(&a, None)), (left.clone(), Vec::new()));
}

proptest! {
    /// Nothing that a person writes, and no target of a finding, breaks the policy that it becomes part of or adds to it.
    #[test]
    fn every_proposal_compiles_to_one_rule(
        why in "\\PC{0,60}|[\"\\\\\n\\]\\[=#]{0,12}", by in "\\PC{0,20}", host in "[a-z]{1,8}(\\.[a-z]{1,8}){0,3}",
        below: bool, port in prop::option::of(1_u16..), allows: bool, client: bool,
    ) {
        let text = format!("{}{host}{}", if below { "*." } else { "" }, port.map_or(String::new(), |port| format!(":{port}")));
        let target = target(&text);
        let rule = MarkedRule { comment: &why, by: &by, ..rule(&target, allows, client.then_some("10.0.0.0/8")) };
        for text in [rule.alone(), rule.within("")] {
            prop_assert_eq!(compile(&text).rules(), 1);
        }
    }

    #[test]
    fn no_text_of_a_target_makes_it_panic(text in "\\PC{0,40}|[*.:\\[\\]0-9a-f]{0,20}") {
        let _ = MarkedTarget::read(&text);
    }
}
