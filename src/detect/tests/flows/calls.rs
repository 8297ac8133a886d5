use crate::evidence::{FindingKind, Protocol, Severity};

use super::super::traffic::{DAY, HOUR, MINUTE, Source};
use super::*;

fn calls(times: &[f64], client: &str, to: &str, port: u16, state: FlowState) -> Vec<Line> {
    flows(times.iter().map(|at| seen(*at, client, to, port, state)))
}

/// Thirty PCs, each with an address that it alone tried once.
fn office() -> Vec<Line> {
    flows((0..30).map(|pc| {
        let (client, to) = (format!("10.20.1.{pc}"), format!("198.51.100.{pc}"));
        seen(f64::from(pc), &client, &to, 443, Refused)
    }))
}

#[test]
fn what_is_refused_and_comes_again_like_clockwork_is_a_direct_call_home() {
    let beats = Source(1).beats(5.0 * MINUTE, 0.1, 6.0 * HOUR);
    let finding = only(FindingKind::DirectCall, [office(), calls(&beats, PC, STRANGER, 4444, Refused)]);
    assert_eq!((&*finding.client, &*finding.target, finding.port), (PC, STRANGER, 4444));
    assert_eq!(
        (codes(&finding), finding.severity),
        (vec!["steady", "refused_again", "rare_address", "other_port"], Severity::High)
    );
    let period = finding.beat.as_ref().unwrap().period_seconds;
    assert!((period / (5.0 * MINUTE) - 1.0).abs() < 0.1, "{period}");
    assert_eq!(finding.denied, finding.requests);
    let english = finding.in_english();
    assert!(english.contains("past the proxy and in vain, in "), "{english}");
    assert!(finding.in_japanese().contains("プロキシを通らない接続の試みが"), "{}", finding.in_japanese());
}

#[test]
fn what_comes_again_without_an_interval_is_one_too() {
    for state in [Refused, Dropped, Unanswered] {
        let times = Source(2).times(8.0 * HOUR, |source| source.lognormal(15.0 * MINUTE, 1.6));
        let finding = only(FindingKind::DirectCall, [office(), calls(&times, PC, STRANGER, 443, state)]);
        assert_eq!(finding.beat, None, "{state:?}");
        assert_eq!(codes(&finding)[..2], ["refused_again", "rare_address"], "{state:?}");
        assert!(finding.severity >= Severity::Low);
    }
}

#[test]
fn a_finding_that_goes_on_keeps_its_id_and_is_told_as_it_grows() {
    let beats = Source(3).beats(2.0 * MINUTE, 0.2, 2.0 * DAY);
    let lines = journal([office(), calls(&beats, PC, STRANGER, 4444, Dropped)]);
    let found = run(&site(), &lines);
    let [(finding, times)] = &found[..] else { panic!("{found:#?}") };
    assert!(*times > 1 && *times < 8, "{times}");
    assert_eq!(finding.id.to_string(), "550a66518ab5f498", "others keep it by its id: the same in every version");
}

#[test]
fn a_person_who_tries_by_hand_and_what_came_through_are_let_be() {
    let by_hand = [0.0, 2.0, 30.0, 33.0, 90.0, 600.0, 604.0];
    nothing([office(), calls(&by_hand, PC, STRANGER, 443, Refused)]);
    let beats = Source(4).beats(5.0 * MINUTE, 0.1, 6.0 * HOUR);
    nothing([office(), calls(&beats, PC, STRANGER, 8883, Established)]);
    nothing([office(), calls(&beats, PC, SERVER, 8883, Refused)]);
}

#[test]
fn software_of_many_clients_that_knows_no_proxy_is_let_be() {
    let updates = (0..20_u32).map(|pc| {
        let times = Source(u64::from(pc)).times(8.0 * HOUR, |source| source.lognormal(20.0 * MINUTE, 1.4));
        calls(&times, &format!("10.20.1.{pc}"), "198.51.100.200", 443, Refused)
    });
    // The first who are seen may be few.
    let first = flows((0..20).map(|pc| seen(0.5, &format!("10.20.1.{pc}"), "198.51.100.200", 443, Refused)));
    nothing([office(), first].into_iter().chain(updates));
}

#[test]
fn a_clock_that_asks_a_public_time_server_weighs_less_than_a_call_to_a_strange_port() {
    let times = Source(5).times(12.0 * HOUR, |source| source.lognormal(20.0 * MINUTE, 1.4));
    let of = |port: u16| {
        let lines = times.iter().map(|at| Seen { protocol: Protocol::UDP, ..seen(*at, PC, STRANGER, port, Refused) });
        of_kind(FindingKind::DirectCall, [office(), flows(lines)]).first().map(|finding| finding.score)
    };
    assert!(of(123).unwrap_or(0.0) + 1.4 < of(4444).unwrap(), "{:?} {:?}", of(123), of(4444));
}
