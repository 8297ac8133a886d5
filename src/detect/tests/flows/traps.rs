use crate::evidence::{FindingKind, FlowSource, Severity};

use super::*;

#[test]
fn one_touch_of_a_tripwire_is_high() {
    let finding = only(FindingKind::Tripwire, [flows([seen(0.0, PC, "10.20.0.1", 23, Refused)])]);
    assert_eq!((&*finding.client, &*finding.target, finding.severity), (PC, "10.20.0.1", Severity::High));
    assert_eq!((finding.requests, finding.port, codes(&finding)), (1, 23, vec!["tripwire"]));
    assert_eq!(
        finding.in_english(),
        "it touched 1 ports of the gateway that nothing uses, 23 last; 1 attempts over 0.0 s, 1 of them denied."
    );
    assert!(finding.in_japanese().starts_with("ゲートウェイの未使用ポート1個に接触（最後は23番）。"));
}

#[test]
fn the_rule_of_the_firewall_names_a_tripwire_at_whichever_address_of_the_gateway() {
    let by_rule = |source| Seen { rule: "tripwire", source, ..seen(0.0, PC, "10.50.0.1", 7, Dropped) };
    only(FindingKind::Tripwire, [flows([by_rule(FlowSource::Nflog)])]);
    // Who sends lines by syslog could claim as much.
    nothing([flows([by_rule(FlowSource::Syslog)])]);
}

#[test]
fn ports_beside_a_tripwire_and_scanners_and_strangers_touch_none() {
    nothing([flows([
        seen(0.0, PC, "10.20.0.1", 22, Refused),
        seen(1.0, PC, "10.20.0.9", 23, Refused),
        seen(2.0, SCANNER, "10.20.0.1", 23, Refused),
        seen(3.0, STRANGER, "10.20.0.1", 23, Dropped),
    ])]);
}

#[test]
fn touches_of_more_ports_are_one_finding_that_grows() {
    let touches = [23, 3389, 3390].map(|port| seen(f64::from(port), PC, "10.20.0.1", port, Refused));
    let found = run(&site(), &journal([flows(touches)]));
    let [(finding, _)] = &found[..] else { panic!("{found:#?}") };
    assert!(finding.requests >= 1 && finding.severity == Severity::High);
}

#[test]
fn one_attempt_outward_from_a_critical_segment_is_high() {
    for (state, source) in [(Refused, FlowSource::Nflog), (Dropped, FlowSource::Syslog), (Unanswered, FlowSource::Zeek)]
    {
        let attempt = Seen { source, ..seen(0.0, PRESS, STRANGER, 443, state) };
        let finding = only(FindingKind::CriticalAttempt, [flows([attempt])]);
        assert_eq!((&*finding.client, &*finding.target, finding.severity), (PRESS, STRANGER, Severity::High));
        assert_eq!(
            finding.in_english(),
            "a machine of the critical segment plant tried to reach outside, which none of it does; 1 attempts over \
             0.0 s, 1 of them denied."
        );
        assert!(finding.in_japanese().starts_with("外部と通信しないはずの重要区画plantの機器が外部への接続を試行。"));
    }
}

#[test]
fn within_its_segment_and_to_groups_and_by_an_exception_a_critical_machine_may_speak() {
    nothing([flows([
        ended(0.0, PRESS, "10.50.0.8", 502, (900, 900)),
        seen(1.0, PRESS, "239.255.255.250", 1900, Dropped),
        seen(2.0, PRESS, "255.255.255.255", 67, Dropped),
        seen(3.0, PRESS, "10.20.0.1", 3128, Established),
        ended(4.0, PRESS, STRANGER, 8883, (900, 900)),
        // The one that an exception names does not answer.
        seen(5.0, PRESS, STRANGER, 8883, Unanswered),
        seen(6.0, PC, STRANGER, 443, Refused),
    ])]);
}
