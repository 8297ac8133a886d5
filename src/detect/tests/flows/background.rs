//! What a firewall stops all day, whoever is there: the internet's own noise, and what PCs call out to their segment.

use crate::evidence::{FindingKind, Protocol};

use super::super::traffic::{DAY, HOUR, MINUTE, Source};
use super::*;

fn of_rule(rule: &'static str, lines: impl IntoIterator<Item = Seen>) -> Vec<Line> {
    flows(lines.into_iter().map(|seen| Seen { rule, ..seen }))
}

/// A botnet at one service, one that goes through all ports, and all that was not told apart.
fn noise(rule: &'static str) -> Vec<Line> {
    let bots = (0..4_000_u32).map(|bot| {
        let from = format!("203.{}.{}.9", bot / 250, bot % 250);
        seen(f64::from(bot) * 0.5, &from, "10.20.0.1", [22, 23, 445, 3389][bot as usize % 4], Dropped)
    });
    let scan = (1..2_000_u16).map(|port| seen(f64::from(port), STRANGER, "10.30.0.2", port, Dropped));
    let guesses =
        (0..600).map(|guess| Seen { count: 40, ..seen(f64::from(guess), STRANGER, "10.20.0.1", 22, Dropped) });
    let beyond = (0..60).map(|at| Seen { count: 500_000, keys: 1, ..seen(f64::from(at) * 5.0, "", "", 0, Dropped) });
    journal([of_rule(rule, bots.chain(scan).chain(guesses).chain(beyond))])
}

/// What an office calls out, for two days: also where the network is so cut that all of it is an address of no segment.
fn discovery(rule: &'static str) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, client) in (1..).zip([PC, "10.20.0.6", "10.20.0.7", PRESS]) {
        for (to, port) in
            [("10.20.255.255", 137), ("10.255.255.255", 138), ("239.255.255.250", 1900), ("224.0.0.251", 5353)]
        {
            let times = Source(number).beats(10.0 * MINUTE, 0.1, 2.0 * DAY);
            let datagrams =
                times.iter().map(|at| Seen { protocol: Protocol::UDP, ..seen(*at, client, to, port, Dropped) });
            lines.extend(of_rule(rule, datagrams));
        }
    }
    // More of a segment than anybody knew before, all at once.
    let burst = (0..400).map(|at| Seen { count: 200, ..seen(DAY + f64::from(at), PC, "10.20.255.255", 137, Dropped) });
    journal([lines, of_rule(rule, burst)])
}

#[test]
fn what_strangers_begin_is_found_by_nothing_however_much_there_is() {
    nothing([noise("from-outside")]);
    let found = run(&site(), &noise("to-gateway"));
    assert!(found.iter().any(|(finding, _)| finding.kind == FindingKind::Flood), "by another rule it is a flood");
}

#[test]
fn what_pcs_call_out_to_their_segment_is_found_by_nothing_and_the_same_by_another_rule_is() {
    nothing([discovery("discovery")]);
    let kinds: Vec<_> = run(&site(), &discovery("out-udp")).into_iter().map(|(finding, _)| finding.kind).collect();
    for kind in [FindingKind::DirectCall, FindingKind::CriticalAttempt, FindingKind::Flood] {
        assert!(kinds.contains(&kind), "{kind:?} is not in {kinds:?}");
    }
}

#[test]
fn another_firewall_that_calls_its_rules_so_is_heard_all_the_same() {
    let said = discovery("discovery").into_iter().map(|line| match line {
        Line::Flow(seen) => Line::Flow(Seen { source: FlowSource::Syslog, told_by: Some("10.20.0.254"), ..seen }),
        other => other,
    });
    let kinds: Vec<_> = run(&site(), &said.collect::<Vec<_>>()).into_iter().map(|(finding, _)| finding.kind).collect();
    assert!(kinds.contains(&FindingKind::DirectCall), "{kinds:?}");
}

/// What the internet never ceases to send keeps no source alive that tells of this network no more.
#[test]
fn the_log_of_the_firewall_falls_silent_though_strangers_are_heard() {
    let working = |at: f64| seen(at, PC, STRANGER, 443, Established);
    let told = |until: f64| {
        let count = (until / MINUTE) as u32;
        flows((0..count).map(|minute| {
            let at = f64::from(minute) * MINUTE;
            Seen { source: FlowSource::Nflog, state: Some(Refused), rule: "to-gateway", ..working(at) }
        }))
    };
    let strangers =
        (0..(22 * 1_440_u32)).map(|minute| seen(f64::from(minute) * MINUTE, STRANGER, "10.20.0.1", 22, Dropped));
    let strangers = of_rule("from-outside", strangers);
    let others = flows((0..(22 * 144_u32)).map(|ten| working(f64::from(ten) * 10.0 * MINUTE)));
    let until = 21.0 * DAY + 10.0 * HOUR;
    let found = of_kind(FindingKind::SilentSource, [told(until), strangers, others]);
    assert_eq!(found.iter().map(|finding| &*finding.target).collect::<Vec<_>>(), ["nflog"]);
}
