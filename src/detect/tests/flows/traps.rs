use crate::evidence::{FindingKind, FlowSource, Severity, read_record};

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
    for (state, source) in [(Refused, FlowSource::Nflog), (Unanswered, FlowSource::Zeek)] {
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

#[test]
fn what_only_syslog_says_is_low_and_says_who_said_so_and_what_the_kernel_sees_is_high_after_it() {
    let said = |at, client: &str, to: &str, port| Seen {
        source: FlowSource::Syslog,
        told_by: Some("10.30.0.254"),
        ..seen(at, client, to, port, Dropped)
    };
    for (kind, client, to, port) in
        [(FindingKind::CriticalAttempt, PRESS, STRANGER, 443), (FindingKind::Tripwire, PC, "10.20.0.1", 23)]
    {
        let finding = only(kind, [flows([said(0.0, client, to, port)])]);
        assert_eq!((&*finding.client, finding.severity), (client, Severity::Low));
        assert!(codes(&finding).contains(&"hearsay"));
        let (english, japanese) = (finding.in_english(), finding.in_japanese());
        assert!(english.contains("only syslog in the name of 10.30.0.254 says so"), "{english}");
        assert!(japanese.contains("根拠は10.30.0.254名義のsyslogのみ"), "{japanese}");
        let seen_too = [said(0.0, client, to, port), seen(1.0, client, to, port, Refused), said(2.0, client, to, port)];
        let finding = only(kind, [flows(seen_too)]);
        assert_eq!((finding.severity, finding.requests), (Severity::High, 1), "what was said is not counted with it");
        assert!(!codes(&finding).contains(&"hearsay"));
    }
}

#[test]
fn lines_that_anybody_can_send_use_up_no_room_of_what_was_seen() {
    // In the name of the victim itself, and of all others.
    let forged = (0..2_000_u32).map(|number| Seen {
        source: FlowSource::Syslog,
        told_by: Some("10.30.0.254"),
        ..seen(f64::from(number) * 0.1, PRESS, &format!("198.51.{}.{}", number / 250, number % 250), 443, Dropped)
    });
    let others = (0..4_000_u32).map(|number| Seen {
        source: FlowSource::Syslog,
        ..seen(f64::from(number) * 0.1, &format!("10.50.{}.{}", 1 + number / 250, number % 250), STRANGER, 443, Dropped)
    });
    let lines = [flows(forged), flows(others), flows([seen(3_600.0, PRESS, STRANGER, 443, Refused)])];
    let found = of_kind(FindingKind::CriticalAttempt, lines);
    let high: Vec<_> = found.iter().filter(|finding| finding.severity == Severity::High).collect();
    assert_eq!(
        high.iter().map(|finding| (&*finding.client, &*finding.target)).collect::<Vec<_>>(),
        [(PRESS, STRANGER)]
    );
    assert!(found.len() <= 1_001, "{}", found.len());
}

/// What is found of records of exchanges that were captured past the proxy, on their way to a stranger's port 443.
fn captured(at: &[f64], client: &str, how: &str) -> Vec<Finding> {
    let mut detector = Detector::new(Limits::LIVE, &site());
    for (number, at) in (1..).zip(at) {
        let time = crate::evidence::format_time(Timestamp(START + (at * 1e6) as u64));
        let id = crate::facts::ExchangeId(number);
        let line = format!(
            r#"{{"seq":{number},"time":"{time}","kind":"exchange",{how},"id":"{id}","client":"{client}",
                "captured":"{STRANGER}:443","scheme":"tunnel","host":"c2.example.net","port":443}}"#
        );
        detector.read(&read_record(line.as_bytes()).unwrap());
    }
    detector.finish();
    detector.findings()
}

const STOPPED: &str = r#""event":"refused","verdict":"deny","reason":"bypassed_proxy""#;

#[test]
fn what_a_critical_machine_tries_outward_and_the_gate_captures_is_high() {
    let found = captured(&[0.0], PRESS, STOPPED);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((finding.kind, finding.severity), (FindingKind::CriticalAttempt, Severity::High));
    assert_eq!((&*finding.client, &*finding.target, finding.port), (PRESS, STRANGER, 443));
    assert_eq!(captured(&[0.0], PC, STOPPED), []);
    assert_eq!(captured(&[0.0], PRESS, r#""event":"open","verdict":"allow""#), [], "a rule lets it pass");
}

#[test]
fn who_is_captured_again_and_again_on_the_way_to_one_address_calls_home() {
    let times: Vec<f64> = (0..40).map(|number| f64::from(number) * 300.0).collect();
    let found = captured(&times, PC, STOPPED);
    let call = found.iter().rfind(|finding| finding.kind == FindingKind::DirectCall).unwrap();
    assert_eq!((&*call.client, &*call.target, call.port), (PC, STRANGER, 443));
    let passed = captured(&times, PC, r#""event":"open","verdict":"allow""#);
    assert!(passed.iter().all(|finding| finding.kind != FindingKind::DirectCall), "{passed:#?}");
}
