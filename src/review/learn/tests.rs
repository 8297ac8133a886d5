use proptest::collection::vec;
use proptest::prelude::*;

use crate::evidence::Exchange;
use crate::policy::{Policy, lay_out};

use super::super::lines::{Lines, allowed_by, denied_for, policy, would_be_denied_for};
use super::super::replay::replay;
use super::*;

const DAY: u64 = 86_400;

fn options() -> LearnOptions {
    LearnOptions { since: None, requests_min: 2, clients_min: 2, days_min: 2, names_max: 3, doubted: BTreeSet::new() }
}

fn learnt(lines: &Lines, options: &LearnOptions) -> Learnt {
    let (_directory, mut reader) = lines.reader();
    learn(&mut reader, options, |_| {}).unwrap()
}

fn sites(learnt: &Learnt) -> Vec<&str> {
    learnt.proposals.iter().map(|proposal| proposal.site.as_str()).collect()
}

fn left_out(learnt: &Learnt) -> Vec<(&str, &str)> {
    learnt.left_out.iter().map(|left| (left.site.as_str(), left.reason)).collect()
}

/// Used by two clients on two days, well and often.
fn used(lines: &mut Lines, request: &str) {
    for (day, client) in [(0, 5), (1, 6)] {
        let seconds = day * DAY + lines.next_second();
        let id = lines.ask_at(seconds, Event::Open, client, request, |record| {
            would_be_denied_for("no_rule")(record);
            record.user_agent = Some("Browser/1 \"q\"".into());
        });
        lines.later(Event::Close, id, dialled("192.0.32.9"));
    }
}

fn dialled(address: &str) -> impl FnOnce(&mut Exchange) {
    let address = format!("{address}:443");
    move |record| record.dialled = Some(address)
}

#[test]
fn nothing_is_learnt_from_what_went_past_the_proxy() {
    let mut lines = Lines::new();
    for (day, client) in [(0, 5), (1, 6)] {
        let seconds = day * DAY + lines.next_second();
        let id = lines.ask_at(seconds, Event::Open, client, "GET http://portal.supplier.example/orders", |record| {
            would_be_denied_for("bypassed_proxy")(record);
            record.captured = Some("192.0.32.9:80".to_owned());
        });
        lines.later(Event::Close, id, dialled("192.0.32.9"));
    }
    let learnt = learnt(&lines, &options());
    assert_eq!(sites(&learnt), [""; 0]);
    let [left] = &learnt.left_out[..] else { panic!("{:?}", learnt.left_out) };
    assert_eq!((&*left.site, left.reason, left.requests), ("supplier.example", "denied", 2));
    assert_eq!(left.detail, "bypassed_proxy, such as portal.supplier.example");
}

#[test]
fn what_was_used_well_becomes_rules_that_compile_with_cases_and_comments() {
    let mut lines = Lines::new();
    lines.group = Some("office");
    used(&mut lines, "GET http://portal.supplier.example/orders");
    used(&mut lines, "CONNECT portal.supplier.example:443");
    used(&mut lines, "CONNECT cdn.supplier.example:443");
    used(&mut lines, "CONNECT intranet:8443");
    lines.ask(Event::Refused, 5, "CONNECT c2.evil.example:443", denied_for("no_rule"));
    let text = learnt(&lines, &options()).to_policy();
    let expected = r#"# Learnt from 9 exchanges, from 2026-11-25T01:00:01.000000Z to 2026-11-26T01:00:17.000000Z.
# Read each rule before you keep it: what was used is not always what is meant. Then see with
# `sekisho replay` what it would have refused, and set the mode to "enforce".

[policy]
mode    = "observe"
unknown = "deny"

# The addresses that were seen. Put in the prefixes that are meant.
[clients.office]
addresses = ["10.20.1.5/32", "10.20.1.6/32"]

# 2 requests by 2 clients on 2 days, 2026-11-25 to 2026-11-26
# mainly by Browser/1 "q" (at least 2 requests)
[hosts."office: intranet"]
names = ["intranet"]

[[rule]]
name    = "office: intranet"
clients = ["office"]
hosts   = ["office: intranet"]
ports   = [8443]
verdict = "allow"

[[case]]
client  = "10.20.1.5"
request = "CONNECT intranet:8443"
expect  = { verdict = "allow", rule = "office: intranet" }

# 6 requests by 2 clients on 2 days, 2026-11-25 to 2026-11-26
# mainly by Browser/1 "q" (at least 6 requests)
[[rule]]
name    = "office: supplier.example"
clients = ["office"]
hosts   = ["cdn.supplier.example", "portal.supplier.example"]
ports   = [80, 443]
verdict = "allow"

[[case]]
client  = "10.20.1.5"
request = "GET http://portal.supplier.example:80/"
expect  = { verdict = "allow", rule = "office: supplier.example" }

# Left out, most requests first:
#   evil.example, office: denied (no_rule, such as c2.evil.example); 1 request, 2026-11-26 to 2026-11-26
"#;
    assert_eq!(text, expected, "{text}");
    assert_eq!(lay_out("learnt", &text).as_ref(), Ok(&text), "it is laid out as `policy fmt` would");
    assert_eq!(policy(&text).cases(), 2);
    // What was learnt from lets through what was used, and nothing of what was denied.
    let (_directory, mut reader) = lines.reader();
    let replayed = replay(&mut reader, &policy(&text), None, 9, |_| {}).unwrap();
    assert_eq!((replayed.changed, replayed.same), (8, 1), "{replayed:#?}");
    assert!(replayed.changes.iter().all(|change| change.to.verdict == "allow"));
}

#[test]
fn what_is_rare_is_left_out_by_each_measure_and_what_meets_them_is_not() {
    let mut lines = Lines::new();
    used(&mut lines, "CONNECT well.example:443");
    for (host, asks) in [
        ("few.example", &[(0, 5)][..]),
        ("one-client.example", &[(0, 5), (1, 5), (1, 5)]),
        ("one-day.example", &[(1, 5), (1, 6)]),
    ] {
        for (day, client) in asks {
            let seconds = day * DAY + lines.next_second();
            lines.ask_at(seconds, Event::Open, *client, &format!("CONNECT {host}:443"), allowed_by("r"));
        }
    }
    let found = learnt(&lines, &options());
    assert_eq!(sites(&found), ["well.example"]);
    assert_eq!(
        left_out(&found),
        [("one-client.example", "rare"), ("one-day.example", "rare"), ("few.example", "rare")]
    );
    assert_eq!(found.left_out[0].detail, "3 requests by 1 client on 2 days");
    let lax = LearnOptions { requests_min: 1, clients_min: 1, days_min: 1, ..options() };
    assert_eq!(sites(&learnt(&lines, &lax)).len(), 4);
}

#[test]
fn of_a_group_of_one_and_a_record_of_one_day_no_more_is_asked_than_they_can_show() {
    let mut lines = Lines::new();
    for _ in 0..2 {
        lines.ask(Event::Open, 5, "CONNECT a.example:443", allowed_by("r"));
    }
    assert_eq!(sites(&learnt(&lines, &options())), ["a.example"]);
}

#[test]
fn a_domain_is_proposed_whole_only_where_many_of_its_names_were_used() {
    let mut lines = Lines::new();
    for n in 0..4 {
        used(&mut lines, &format!("CONNECT n{n}.many.example:443"));
        used(&mut lines, &format!("CONNECT n{n}.itself.example:443"));
        if n < 3 {
            used(&mut lines, &format!("CONNECT n{n}.few.example:443"));
        }
    }
    used(&mut lines, "CONNECT itself.example:443");
    let found = learnt(&lines, &options());
    let hosts: Vec<_> = found.proposals.iter().map(|proposal| proposal.hosts.join(" ")).collect();
    assert_eq!(
        hosts,
        ["n0.few.example n1.few.example n2.few.example", "itself.example *.itself.example", "*.many.example"]
    );
    policy(&found.to_policy());
}

#[test]
fn a_suffix_is_never_proposed_over_what_belongs_to_others_or_was_denied_or_is_an_address() {
    let mut lines = Lines::new();
    for n in 0..5 {
        for domain in ["amazonaws.com", "denied.example", "refused.example", "private.example", "github.io"] {
            used(&mut lines, &format!("CONNECT n{n}.{domain}:443"));
        }
        used(&mut lines, &format!("CONNECT 192.0.32.{n}:443"));
    }
    lines.ask(Event::Refused, 5, "CONNECT bad.denied.example:443", denied_for("no_rule"));
    let id = lines.ask(Event::Open, 5, "CONNECT bad.refused.example:443", allowed_by("r"));
    lines.later(Event::Close, id, denied_for("sni_mismatch"));
    let id = lines.ask(Event::Open, 5, "CONNECT n0.private.example:443", allowed_by("r"));
    lines.later(Event::Close, id, dialled("10.1.7.5"));
    used(&mut lines, "CONNECT github.io:443");
    let found = learnt(&lines, &options());
    assert!(found.proposals.iter().all(|proposal| proposal.hosts.iter().all(|host| !host.contains('*'))), "{found:#?}");
    assert!(!found.proposals.iter().any(|proposal| proposal.hosts.iter().any(|host| host.contains("bad"))));
    assert_eq!(
        left_out(&found),
        [("bad.refused.example", "refused"), ("denied.example", "denied")],
        "{:#?}",
        found.left_out
    );
    let private = found.proposals.iter().find(|proposal| proposal.site == "private.example").unwrap();
    assert_eq!(private.private, ["10.1.7.5/32"]);
    policy(&found.to_policy());
}

#[test]
fn each_thing_that_speaks_against_a_host_leaves_it_out_by_its_reason() {
    let mut lines = Lines::new();
    let twice = |lines: &mut Lines, request: &str, first: &dyn Fn(&mut Exchange), last: &dyn Fn(&mut Exchange)| {
        for (day, client) in [(0, 5), (1, 6)] {
            let seconds = day * DAY + lines.next_second();
            let id = lines.ask_at(seconds, Event::Open, client, request, first);
            lines.later(Event::Close, id, last);
        }
    };
    let allowed = |record: &mut Exchange| allowed_by("r")(record);
    let reached = |record: &mut Exchange| dialled("192.0.32.9")(record);
    let would = |reason: &'static str| {
        move |record: &mut Exchange| {
            would_be_denied_for(reason)(record);
            if reason == "rule" {
                record.rule = Some("no games".into());
            }
        }
    };
    twice(&mut lines, "CONNECT good.example:443", &allowed, &reached);
    twice(&mut lines, "CONNECT gone.example:443", &allowed, &|_| {});
    twice(&mut lines, "CONNECT guarded.example:443", &allowed, &|record| denied_for("guard_address")(record));
    twice(&mut lines, "CONNECT ssh.example:443", &would("no_rule"), &|record| {
        reached(record);
        would_be_denied_for("not_tls")(record);
    });
    twice(&mut lines, "CONNECT games.example:443", &would("rule"), &reached);
    let by_parent = |record: &mut Exchange| {
        allowed(record);
        record.parent = Some("uplink".into());
    };
    twice(&mut lines, "CONNECT far.example:443", &by_parent, &reached);
    twice(&mut lines, "CONNECT doubted.example:443", &allowed, &reached);
    twice(&mut lines, "CONNECT 10.1.1.1:443", &allowed, &reached);
    let doubted = BTreeSet::from([Host::parse(b"doubted.example").unwrap()]);
    let found = learnt(&lines, &LearnOptions { doubted, ..options() });
    assert_eq!(sites(&found), ["good.example"]);
    let mut left = left_out(&found);
    left.sort_unstable();
    assert_eq!(
        left,
        [
            ("10.1.1.1", "special_address"),
            ("doubted.example", "doubted"),
            ("far.example", "parent"),
            ("games.example", "denied"),
            ("gone.example", "unreached"),
            ("guarded.example", "refused"),
            ("ssh.example", "refused"),
        ]
    );
    let games = found.left_out.iter().find(|left| left.site == "games.example").unwrap();
    assert_eq!(games.detail, "rule no games");
}

#[test]
fn clients_that_were_in_two_groups_leave_the_rule_out_of_the_case() {
    let mut lines = Lines::new();
    for group in [Some("a"), Some("b"), None] {
        lines.group = group;
        used(&mut lines, "CONNECT same.example:443");
    }
    let found = learnt(&lines, &options());
    assert_eq!(found.clients.iter().map(|group| group.name.as_str()).collect::<Vec<_>>(), ["a", "b", "others"]);
    assert!(found.proposals.iter().all(|proposal| !proposal.case_is_of_one_group));
    policy(&found.to_policy());
}

#[test]
fn what_is_older_than_asked_for_teaches_nothing() {
    let mut lines = Lines::new();
    used(&mut lines, "CONNECT a.example:443");
    let since = Some(Timestamp(super::super::lines::BEGUN + 9 * DAY * 1_000_000));
    let found = learnt(&lines, &LearnOptions { since, ..options() });
    assert_eq!((found.exchanges, found.proposals.len()), (0, 0));
    policy(&found.to_policy());
}

proptest! {
    /// Whatever stands in records, what is proposed compiles, its cases hold, and no text of others breaks out.
    #[test]
    fn whatever_is_on_record_the_proposal_compiles(
        groups in vec("\\PC{0,12}|[\"\\\\\n\u{1b}\u{202e}#\\[\\]=]{0,6}|others|a\\.b", 1..4),
        asked in vec((0_usize..4, 5_u8..9, 0_usize..10, 0_usize..4, 0_u64..3), 1..40),
        agent in "\\PC{0,20}|[\"\n\r\u{1b}#]{0,6}",
    ) {
        let hosts = [
            "a.example", "b.example", "x.a.example", "y.a.example", "z.a.example", "192.0.32.1", "[2001:db8::1]", "10.0.0.1",
            "co.jp", "intranet",
        ];
        let mut lines = Lines::new();
        for (group, client, host, how, day) in asked {
            let request = match how {
                0 => format!("GET http://{}/", hosts[host]),
                1 => format!("PUT http://{}:8080/x", hosts[host]),
                2 => format!("CONNECT {}:443", hosts[host]),
                _ => format!("CONNECT {}:22", hosts[host]),
            };
            let seconds = day * DAY + lines.next_second();
            let id = lines.ask_at(seconds, Event::Open, client, &request, |record| {
                allowed_by("r")(record);
                record.client_group = groups.get(group).map(|name| name.as_str().into());
                record.user_agent = Some(agent.as_str().into());
            });
            let to = if hosts[host].starts_with("10.") { "10.0.0.1" } else { "192.0.32.9" };
            lines.later(Event::Close, id, dialled(to));
        }
        let lax = LearnOptions { requests_min: 1, clients_min: 1, days_min: 1, ..options() };
        let found = learnt(&lines, &lax);
        let text = found.to_policy();
        prop_assert_eq!(lay_out("learnt", &text), Ok(text.clone()));
        prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{}", text);
        let compiled = Policy::compile("learnt.toml", &text);
        prop_assert!(compiled.is_ok(), "{:#?}\n{}", compiled.err(), text);
        let compiled = compiled.unwrap();
        prop_assert_eq!((compiled.rules(), compiled.cases()), (found.proposals.len(), found.proposals.len()));
    }
}

#[test]
fn a_name_in_a_labels_is_told_in_unicode_too() {
    let mut lines = Lines::new();
    lines.group = Some("office");
    used(&mut lines, "CONNECT www.xn--bcher-kva.example:443");
    lines.ask(Event::Refused, 5, "CONNECT xn--bcher-kva.test:443", denied_for("no_rule"));
    let text = learnt(&lines, &options()).to_policy();
    assert!(text.contains("\n# www.xn--bcher-kva.example is www.bücher.example in Unicode\n"), "{text}");
    assert!(text.contains("\n#   xn--bcher-kva.test (bücher.test), office: "), "{text}");
    assert!(Policy::compile("learnt.toml", &text).is_ok(), "{text}");
}
