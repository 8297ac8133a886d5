use proptest::collection::vec;
use proptest::prelude::*;

use crate::evidence::{Event, Exchange};
use crate::facts::{Client, Facts, Hello, Program, Restraint, Scheme, Standing, TlsVersion};
use crate::parse::{parse_absolute, parse_connect};
use crate::policy::{Decision, Verdict as Judged, decide};

use super::super::lines::{BEGUN, Lines, SECOND, allowed_by, denied_for, policy, would_be_denied_for};
use super::*;

const CURL: &str = "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6";

fn replayed(lines: &Lines, text: &str) -> Replayed {
    let (_directory, mut reader) = lines.reader();
    replay(&mut reader, &policy(text), None, 2, |_| {}).unwrap()
}

fn counts(replayed: &Replayed) -> [u64; 5] {
    let found = [replayed.exchanges, replayed.same, replayed.changed, replayed.undecided, replayed.not_judged];
    assert_eq!(found[0], found[1..].iter().sum::<u64>(), "each exchange is counted once: {replayed:#?}");
    assert_eq!(replayed.judged, replayed.same + replayed.changed);
    found
}

const ALLOW_A: &str = "[[rule]]\nname = \"a\"\nhosts = [\"a.example\"]\nverdict = \"allow\"\n";

#[test]
fn what_went_past_the_proxy_is_judged_as_such_again() {
    let mut lines = Lines::new();
    let captured = |record: &mut Exchange| {
        denied_for("bypassed_proxy")(record);
        record.captured = Some("203.0.113.7:443".to_owned());
    };
    lines.ask(Event::Refused, 5, "GET http://a.example/", captured);
    // TLS was judged as a CONNECT that nobody sent.
    lines.ask(Event::Refused, 5, "CONNECT a.example:443", |record| {
        captured(record);
        record.method = None;
    });
    lines.ask(Event::Refused, 5, "GET http://a.example/", denied_for("no_rule"));
    assert_eq!(counts(&replayed(&lines, ALLOW_A)), [3, 2, 1, 0, 0], "the rule lets out what asks the proxy alone");
    let says_so = format!("{ALLOW_A}captured = true\n");
    assert_eq!(counts(&replayed(&lines, &says_so)), [3, 0, 3, 0, 0]);
}

#[test]
fn a_verdict_that_changes_is_told_by_rule_and_client_and_one_that_does_not_is_not() {
    let mut lines = Lines::new();
    lines.group = Some("office");
    lines.ask(Event::Open, 5, "GET http://a.example/x", allowed_by("old"));
    lines.ask(Event::Open, 5, "GET http://b.example/y", allowed_by("old"));
    lines.ask(Event::Open, 6, "CONNECT b.example:443", allowed_by("old"));
    lines.ask(Event::Open, 6, "GET http://b.example/z", allowed_by("old"));
    lines.ask(Event::Refused, 6, "GET http://a.example/", denied_for("no_rule"));
    lines.ask(Event::Refused, 6, "GET http://c.example/", denied_for("no_rule"));
    let found = replayed(&lines, ALLOW_A);
    assert_eq!(counts(&found), [6, 2, 4, 0, 0]);
    assert_eq!(found.by_another_rule, 1, "a.example is let out by another rule than it was");
    let json = serde_json::to_value(&found.changes).unwrap();
    assert_eq!(
        json,
        serde_json::json!([
            {
                "from": { "verdict": "allow", "reason": "rule", "rule": "old", "rule_at": "old.toml:7" },
                "to": { "verdict": "deny", "reason": "no_rule" },
                "exchanges": 3, "clients": 2,
                "first": "2026-11-25T01:00:02.000000Z", "last": "2026-11-25T01:00:04.000000Z",
                "examples": [
                    "2026-11-25T01:00:02.000000Z 10.20.1.5 GET http://b.example/y",
                    "2026-11-25T01:00:03.000000Z 10.20.1.6 CONNECT b.example:443",
                ],
            },
            {
                "from": { "verdict": "deny", "reason": "no_rule" },
                "to": { "verdict": "allow", "reason": "rule", "rule": "a", "rule_at": "new.toml:2" },
                "exchanges": 1, "clients": 1,
                "first": "2026-11-25T01:00:05.000000Z", "last": "2026-11-25T01:00:05.000000Z",
                "examples": ["2026-11-25T01:00:05.000000Z 10.20.1.6 GET http://a.example/"],
            },
        ])
    );
    assert_eq!(
        serde_json::to_value(&found.clients).unwrap(),
        serde_json::json!([
            { "client": "10.20.1.6", "group": "office", "changed": 3, "turns": [
                { "from": "allow", "to": "deny", "exchanges": 2 }, { "from": "deny", "to": "allow", "exchanges": 1 },
            ] },
            { "client": "10.20.1.5", "group": "office", "changed": 1, "turns": [
                { "from": "allow", "to": "deny", "exchanges": 1 },
            ] },
        ])
    );
}

#[test]
fn what_was_observed_counts_as_what_would_have_happened() {
    let mut lines = Lines::new();
    lines.ask(Event::Open, 5, "GET http://b.example/", would_be_denied_for("no_rule"));
    assert_eq!(counts(&replayed(&lines, ALLOW_A)), [1, 1, 0, 0, 0]);
    let observing = format!("[policy]\nmode = \"observe\"\n{ALLOW_A}");
    assert_eq!(counts(&replayed(&lines, &observing)), [1, 1, 0, 0, 0]);
    let found = replayed(&lines, "[policy]\nunknown = \"allow\"\n");
    assert_eq!((found.changed, found.changes[0].from.verdict, found.changes[0].to.verdict), (1, "deny", "allow"));
}

#[test]
fn what_the_gate_refused_by_itself_is_not_judged_again() {
    let mut lines = Lines::new();
    for reason in ["bytes_behind_connect", "evidence_unavailable", "loop_detected", "hello_timeout", "loop_detected"] {
        lines.ask(Event::Refused, 5, "CONNECT a.example:443", denied_for(reason));
    }
    let id = lines.ask(Event::Open, 5, "CONNECT a.example:443", allowed_by("a"));
    // The guard, after DNS: the policy had let it out all the same.
    lines.later(Event::Close, id, denied_for("guard_address"));
    lines.ask(Event::Open, 5, "CONNECT a.example:443", |record| {
        allowed_by("a")(record);
        record.breakglass = Some(true);
    });
    let found = replayed(&lines, ALLOW_A);
    assert_eq!(counts(&found), [7, 1, 0, 0, 6]);
    let reasons: Vec<_> = found.not_judged_by.iter().map(|kind| (kind.reason.as_str(), kind.exchanges)).collect();
    assert_eq!(reasons[0], ("loop_detected", 2));
    assert!(reasons.contains(&("breakglass", 1)) && !reasons.iter().any(|(reason, _)| *reason == "guard_address"));
}

const CURL_ONLY: &str = "[programs]\ncurl = { ja4 = [\"t13d3112h2_e8f1e7e78f70_b26ce05bbdd6\"] }\n\
    [[rule]]\nname = \"curl\"\nhosts = [\"a.example\"]\nprograms = [\"curl\"]\nverdict = \"allow\"\n";

#[test]
fn a_program_rule_is_judged_by_the_hello_that_a_later_record_brings() {
    let mut lines = Lines::new();
    let by = |ja4: &'static str| move |record: &mut Exchange| record.ja4 = Some(ja4.into());
    for (event, ja4) in [(Event::Established, CURL), (Event::FirstBytes, CURL), (Event::FirstBytes, "t13d_x_y")] {
        let id = lines.ask(Event::Open, 5, "CONNECT a.example:443", allowed_by("old"));
        lines.later(Event::Established, id, |_| {});
        lines.later(event, id, by(ja4));
        lines.later(Event::Close, id, |_| {});
    }
    let found = replayed(&lines, CURL_ONLY);
    assert_eq!(counts(&found), [3, 2, 1, 0, 0]);
    assert_eq!(found.changes[0].to.reason, "no_rule");
}

#[test]
fn where_the_hello_never_came_it_is_undecided_and_where_something_else_came_it_is_not() {
    let mut lines = Lines::new();
    lines.ask(Event::Refused, 5, "CONNECT a.example:443", denied_for("no_rule"));
    let id = lines.ask(Event::Open, 5, "CONNECT a.example:443", allowed_by("old"));
    lines.later(Event::Close, id, |_| {});
    lines.ask(Event::Open, 5, "CONNECT a.example:443", allowed_by("old"));
    let id = lines.ask(Event::Open, 5, "CONNECT a.example:443", allowed_by("old"));
    lines.later(Event::FirstBytes, id, |record| record.carries = Some("ssh"));
    let found = replayed(&lines, CURL_ONLY);
    assert_eq!(counts(&found), [4, 0, 1, 3, 0]);
    let [kind] = &found.undecided_by[..] else { panic!("{found:#?}") };
    assert_eq!((kind.need, kind.rule.as_deref(), kind.exchanges), ("hello", Some("curl (new.toml:4)"), 3));
    assert_eq!(kind.examples.len(), 2);
}

#[test]
fn a_user_and_an_inner_request_that_are_not_on_record_leave_it_undecided() {
    let mut lines = Lines::new();
    lines.ask(Event::Open, 5, "CONNECT a.example:443", allowed_by("old"));
    lines.ask(Event::Open, 5, "CONNECT b.example:443", allowed_by("old"));
    let found = replayed(
        &lines,
        "[clients]\nu = { users = [\"tanaka\"] }\n[[rule]]\nname = \"u\"\nclients = [\"u\"]\nhosts = [\"a.example\"]\nverdict = \"allow\"\n\
         [[rule]]\nname = \"m\"\nmethods = [\"GET\"]\nports = [443]\nhosts = [\"b.example\"]\nverdict = \"allow\"\n",
    );
    assert_eq!(counts(&found), [2, 0, 0, 2, 0]);
    let needs: Vec<_> = found.undecided_by.iter().map(|kind| kind.need).collect();
    assert_eq!(needs, ["user", "inner_request"]);
}

#[test]
fn a_tunnel_whose_request_was_read_is_the_same_while_it_would_be_read_again() {
    let mut lines = Lines::new();
    let ask = |lines: &mut Lines| {
        lines.ask(Event::Open, 5, "CONNECT a.example:80", |record| record.reason = Some("needs_inner_request".into()));
    };
    ask(&mut lines);
    assert_eq!(counts(&replayed(&lines, ALLOW_A)), [1, 1, 0, 0, 0]);
    let found = replayed(&lines, "");
    assert_eq!(
        (found.changed, found.changes[0].from.verdict, found.changes[0].to.verdict),
        (1, "inner_request", "deny")
    );
}

#[test]
fn lines_that_are_no_records_and_records_that_lack_something_are_counted_and_passed_over() {
    let mut lines = Lines::new();
    lines.raw(b"no record\n\0\0\0\n");
    lines.ask(Event::Open, 5, "GET http://a.example/", |record| {
        allowed_by("old")(record);
        record.client = None;
    });
    lines.raw(
        b"{\"v\":1,\"seq\":9,\"time\":\"2026-11-25T01:00:00.000000Z\",\"kind\":\"gap\",\"cause\":\"x\",\"h\":\"0\"}\n",
    );
    lines.raw(b"{\"torn\":");
    let found = replayed(&lines, ALLOW_A);
    assert_eq!((found.records, found.unreadable), (4, 2));
    assert_eq!((counts(&found), found.not_judged_by[0].reason.as_str()), ([1, 0, 0, 0, 1], "incomplete_record"));
}

#[test]
fn what_is_older_than_asked_for_is_left_out() {
    let mut lines = Lines::new();
    for seconds in [10, 20, 30] {
        lines.ask_at(seconds, Event::Open, 5, "GET http://a.example/", allowed_by("a"));
    }
    let (_directory, mut reader) = lines.reader();
    let found = replay(&mut reader, &policy(ALLOW_A), Some(Timestamp(BEGUN + 20 * SECOND)), 2, |_| {}).unwrap();
    assert_eq!(found.exchanges, 2);
}

#[test]
fn text_of_others_is_safe_to_show() {
    let mut lines = Lines::new();
    lines.ask(Event::Open, 5, "GET http://a.example/", |record| {
        allowed_by("old\u{1b}[2J\u{202e}")(record);
        record.method = Some("G\u{1b}[2J".into());
    });
    let json = serde_json::to_string(&replayed(&lines, "")).unwrap();
    assert!(json.contains("G\\\\u{1b}[2J") && json.contains("old\\\\u{1b}[2J\\\\u{202e}"), "{json}");
    assert!(!json.contains('\u{202e}'));
}

#[test]
fn beyond_the_bounds_exchanges_are_counted_and_not_told_apart() {
    let text = policy("");
    let mut replay = Replay::new(&text, None, 1);
    let rules = APART_MAX + 5;
    for n in 0..rules {
        let line = format!(
            "{{\"seq\":1,\"time\":\"2026-11-25T01:00:00Z\",\"kind\":\"exchange\",\"event\":\"open\",\"id\":\"{n}\",\
             \"client\":\"10.{}.{}.{}\",\"method\":\"GET\",\"scheme\":\"http\",\"host\":\"a.example\",\"port\":80,\"path\":\"/\",\
             \"verdict\":\"allow\",\"reason\":\"rule\",\"rule\":\"r{n}\"}}",
            n >> 16 & 255,
            n >> 8 & 255,
            n & 255
        );
        replay.record(&crate::evidence::read_record(line.as_bytes()).unwrap());
    }
    let found = replay.finish(Scanned::default());
    assert_eq!(found.changed, rules as u64);
    assert_eq!((found.changes.len(), found.changes_beyond), (APART_MAX, 5));
    assert_eq!((found.clients.len(), found.clients_beyond), (APART_MAX, 5));
}

/// Policies that use all that is judged, and wait for all that can be waited for.
const POLICIES: [&str; 5] = [
    ALLOW_A,
    CURL_ONLY,
    "[policy]\nmode = \"observe\"\nunknown = \"challenge\"\n[programs]\np = { user_agent = \"a*\", ja4 = [\"x\"] }\n\
     [[rule]]\nname = \"p\"\nprograms = [\"p\"]\nverdict = \"allow\"\nports = [80, 443, 8443]\n\
     [[rule]]\nname = \"m\"\nmethods = [\"GET\"]\nhosts = [\"*.example\"]\nverdict = \"deny\"\n",
    "[policy]\nunknown = \"allow\"\n[clients]\nfive = { addresses = [\"10.20.1.5/32\"] }\n\
     [[rule]]\nname = \"5\"\nclients = [\"five\"]\nhosts = [\"b.example\"]\nverdict = \"challenge\"\n\
     [[rule]]\nname = \"m\"\nmethods = [\"POST\"]\nhosts = [\"a.example\"]\nverdict = \"allow\"\n",
    "[clients]\nu = { users = [\"tanaka\"] }\n[[rule]]\nname = \"u\"\nclients = [\"u\"]\nverdict = \"allow\"\n",
];

/// Records an exchange as a gate under this policy would.
fn record_as_judged(lines: &mut Lines, policy: &Policy, last: u8, request: &str, agent: &str, first_bytes: &str) {
    let (method, url) = request.split_once(' ').unwrap();
    let target = match method {
        "CONNECT" => parse_connect(url.as_bytes()).unwrap(),
        _ => parse_absolute(url.as_bytes()).unwrap(),
    };
    let client = Client::at(([10, 20, 1, last], 9).into());
    let hello = Hello {
        traits: crate::facts::HelloTraits::NONE,
        sni: None,
        alpn: Vec::new(),
        ja4: first_bytes.into(),
        stable_key: "".into(),
        ech: false,
        version: TlsVersion::Tls13,
    };
    let is_tls = first_bytes != "ssh";
    let mut facts = Facts {
        now: Timestamp(BEGUN),
        client: &client,
        method,
        target: &target,
        program: Program { user_agent: Some(agent.as_bytes()) },
        hello: if target.scheme == Scheme::Tunnel { Stage::NotYet } else { Stage::Never },
        inner: if target.scheme == Scheme::Tunnel { Stage::NotYet } else { Stage::Never },
        standing: Standing::Uncleared,
        contradictions: crate::facts::Contradictions::NONE,
        restraint: Restraint::NONE,
    };
    let show = |record: &mut Exchange| match is_tls {
        true => (record.ja4, record.carries) = (Some(first_bytes.into()), Some("tls")),
        false => record.carries = Some("ssh"),
    };
    let mut outcome = decide(policy, &facts);
    let waited = matches!(outcome, Outcome::Needs(Need::Hello, _));
    let agent = agent.to_owned();
    if waited {
        lines.ask(Event::Waiting, last, request, |record| record.reason = Some("needs_hello".into()));
        facts.hello = if is_tls { Stage::Known(&hello) } else { Stage::Never };
        outcome = decide(policy, &facts);
    }
    let reason = |record: &mut Exchange, reason: &Reason| {
        record.reason = Some(reason.code.as_str().into());
        record.rule = reason.rule.as_ref().map(|rule| rule.name.as_ref().into());
        record.user_agent = Some(agent.as_str().into());
    };
    match outcome {
        Outcome::Decided(Decision { verdict: Judged::Allow(_), would, reason: why, .. }) => {
            let id = lines.ask(Event::Open, last, request, |record| {
                record.verdict = Some("allow");
                record.would = would.map(VerdictKind::as_str);
                reason(record, &why);
                if waited && is_tls {
                    record.ja4 = Some(first_bytes.into());
                }
            });
            lines.later(Event::Established, id, |record| {
                if waited {
                    show(record)
                }
            });
            if !waited && target.scheme == Scheme::Tunnel {
                lines.later(Event::FirstBytes, id, show);
            }
            lines.later(Event::Close, id, |_| {});
        }
        Outcome::Decided(decision) => {
            lines.ask(Event::Refused, last, request, |record| {
                record.verdict = Some(decision.verdict.kind().as_str());
                reason(record, &decision.reason);
                if decision.verdict.kind() == VerdictKind::Challenge {
                    record.reason = Some("challenge_unavailable".into());
                }
                if waited {
                    show(record);
                }
            });
        }
        Outcome::Needs(Need::InnerRequest, _) if target.port == 80 => {
            lines.ask(Event::Open, last, request, |record| {
                record.reason = Some("needs_inner_request".into());
                record.user_agent = Some(agent.as_str().into());
                if waited && is_tls {
                    record.ja4 = Some(first_bytes.into());
                }
            });
        }
        Outcome::Needs(_, why) => {
            lines.ask(Event::Refused, last, request, |record| {
                record.verdict = Some("deny");
                reason(record, &why);
                if waited {
                    show(record);
                }
            });
        }
    }
}

proptest! {
    #[test]
    fn the_very_policy_that_was_in_force_changes_nothing(
        which in 0..POLICIES.len(),
        asked in vec((5_u8..8, 0_usize..9, 0_usize..2, 0_usize..3), 1..20),
    ) {
        let requests = [
            "GET http://a.example/", "POST http://a.example/x", "GET http://b.example/", "GET http://b.example:8080/",
            "CONNECT a.example:443", "CONNECT b.example:443", "CONNECT a.example:80", "CONNECT c.example:8443",
            "TRACE http://x.localhost/",
        ];
        let policy = policy(POLICIES[which]);
        let mut lines = Lines::new();
        for (last, request, agent, first) in &asked {
            let (agent, first) = (["abc", "b"][*agent], [CURL, "x", "ssh"][*first]);
            record_as_judged(&mut lines, &policy, *last, requests[*request], agent, first);
        }
        let (_directory, mut reader) = lines.reader();
        let found = replay(&mut reader, &policy, None, 2, |_| {}).unwrap();
        prop_assert_eq!(found.same, found.exchanges, "{:#?}", found);
        prop_assert_eq!((found.exchanges, found.by_another_rule), (asked.len() as u64, 0));
    }
}
