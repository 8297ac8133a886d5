use crate::evidence::CRITICAL_RULES;
use crate::gateway::nft;
use crate::parse::Document;

use super::*;

fn network(text: &str) -> Network {
    Document::read("c.toml", text, |root| {
        let mut section = root.table("network")?;
        let network = Network::read(&mut section);
        section.finish();
        network
    })
    .unwrap()
}

const NETWORK: &str = "
[network]
gate = [\"10.20.0.1\"]
outside = [\"wan0\"]
[network.segments.office]
role = \"clients\"
addresses = [\"10.20.0.0/16\"]
[[network.exception]]
from = \"office\"
to = \"198.51.100.7\"
protocol = \"tcp\"
ports = [25]
reason = \"mail, until it goes by the relay\"
until = \"2026-11-30\"
";

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

#[test]
fn an_exception_holds_through_its_last_day_and_drops_out_then() {
    let network = network(NETWORK);
    for (today, holds) in [("2026-11-30", true), ("2026-12-01", false)] {
        let plan = plan(&network, day(today));
        let text = nft(&plan.rules);
        let line = "ip saddr 10.20.0.0/16 ip daddr 198.51.100.7 tcp dport 25 ct mark set ct mark or 0x10000000 accept comment \"exception-1\"";
        assert_eq!(text.contains(line), holds, "{today}");
        assert_eq!(plan.ended.len(), usize::from(!holds), "{today}");
    }
}

/// Names that records and chains are called by are what other programs rely on.
#[test]
fn names_are_short_and_plain_and_what_a_rule_leads_to_stands_above_it() {
    let mut network = network(NETWORK);
    network.segments[0].name = "a".repeat(20);
    let Ruleset { chains, .. } = plan(&network, day("2026-11-01")).rules;
    let plain = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let mut above: Vec<&str> = Vec::new();
    for chain in &chains {
        assert!(plain(&chain.name) && chain.name.len() <= 28, "{}", chain.name);
        for rule in &chain.rules {
            assert!(plain(&rule.name) && rule.name.len() <= 40, "{}", rule.name);
            if let Verdict::Jump(to) | Verdict::Goto(to) = &rule.verdict {
                assert!(above.contains(&&**to), "{to}");
            }
        }
        above.push(&chain.name);
    }
}

#[test]
fn nothing_but_the_gate_is_let_outside() {
    let network = network(NETWORK);
    let Ruleset { chains, .. } = plan(&network, day("2026-12-01")).rules;
    let office = chains.iter().find(|chain| chain.name == "from-office").unwrap();
    let accepted: Vec<&str> =
        office.rules.iter().filter(|rule| rule.verdict == Verdict::Accept).map(|rule| &*rule.name).collect();
    assert_eq!(accepted, ["office-gate"], "there are no servers, resolvers or time servers");
    let last = office.rules.last().unwrap();
    assert_eq!((&last.when, &last.verdict), (&When::default(), &Verdict::Goto("no-way-out".to_owned())));
    let way_out = chains.iter().find(|chain| chain.name == "no-way-out").unwrap();
    assert!(way_out.rules.iter().all(|rule| rule.verdict == Verdict::Refuse));
    assert_eq!(way_out.rules.last().unwrap().when, When::default());
}

#[test]
fn who_is_refused_is_told_so_only_where_that_is_asked_for_and_a_stranger_never() {
    let mut network = network(NETWORK);
    let states = |network: &Network| {
        let rules = plan(network, day("2026-11-01")).rules;
        let of = |name: &str| {
            let rule = rules.chains.iter().flat_map(|chain| &chain.rules).find(|rule| rule.name == name).unwrap();
            rules.log_prefix(rule)
        };
        [of("out-tcp"), of("forged-source")]
    };
    let told = ["sekisho:refused:out-tcp ", "sekisho:dropped:forged-source "];
    assert_eq!(states(&network), told);
    network.refusal = Refusal::Drop;
    assert_eq!(states(&network)[0], "sekisho:dropped:out-tcp ");
    assert!(!nft(&plan(&network, day("2026-11-01")).rules).contains("reject"));
}

/// Of what strangers begin, and of discovery, so much is logged and no more; all of it is counted, and what is not logged once
/// more by itself.
#[test]
fn strangers_and_discovery_fill_no_records_and_lose_no_count() {
    let rules = plan(&network(NETWORK), day("2026-11-01")).rules;
    let text = nft(&rules);
    let of_rule = |name: &str| -> Vec<_> {
        let of = |line: &&str| line.ends_with(&format!(" drop comment \"{name}\""));
        text.lines().map(str::trim).filter(of).collect()
    };
    for (rule, times) in [(OUTSIDE_RULE, 2), (DISCOVERY_RULE, 1)] {
        let lines = of_rule(rule);
        let logged = format!(
            "limit rate 5/second burst 100 packets counter name \"{rule}\" log prefix \"sekisho:dropped:{rule} \" group "
        );
        let beyond = format!("counter name \"{rule}\" counter name \"{rule}-beyond\" drop");
        assert_eq!(lines.len(), 2 * times, "{lines:?}");
        for pair in lines.chunks(2) {
            assert!(pair[0].contains(&logged) && pair[1].contains(&beyond), "{pair:?}");
            let when = |line: &str, done: &str| line.split_once(done).unwrap().0.to_owned();
            assert_eq!(when(pair[0], &logged), when(pair[1], &beyond), "both match the same");
        }
        assert!(text.contains(&format!("\tcounter {rule}-beyond {{\n")));
    }
}

#[test]
fn what_a_critical_segment_tries_is_refused_by_rules_that_begin_so() {
    let network = network(NETWORK);
    let Ruleset { chains, .. } = plan(&network, day("2026-12-01")).rules;
    let closed = chains.iter().find(|chain| chain.name == "closed").unwrap();
    assert!(closed.rules.iter().all(|rule| rule.name.starts_with(CRITICAL_RULES)), "{:?}", closed.rules);
}
