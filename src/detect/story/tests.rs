//! What is a story, and what is not.

use crate::evidence::Rarity;

use super::*;

const HOUR: u64 = 3_600_000_000;
const DAY: u64 = 24 * HOUR;
/// 2026-11-24T09:00:00Z, in microseconds.
const START: u64 = 1_795_510_800_000_000;
const PC: &str = "10.0.0.5";

fn finding(kind: FindingKind, severity: Severity, target: &str, after: u64) -> Finding {
    Finding {
        id: FindingId::new(kind, PC, target),
        kind,
        severity,
        score: 4.0,
        client: PC.into(),
        target: target.into(),
        port: 443,
        first: Timestamp(START + after),
        last: Timestamp(START + after + HOUR),
        requests: 0,
        denied: 0,
        beat: None,
        grounds: Vec::new(),
        rarity: Some(Rarity { clients: 1, of: 100, known_seconds: 3_600 }),
        records: [1, 2],
    }
}

fn attack() -> Vec<Finding> {
    vec![
        finding(FindingKind::SmallUploads, Severity::Medium, "drop.example", 2 * DAY),
        finding(FindingKind::Beacon, Severity::Medium, "c2.example", 6 * HOUR),
        finding(FindingKind::Carrier, Severity::Low, "stage.example", 0),
        finding(FindingKind::Beacon, Severity::Medium, "c3.example", 7 * HOUR),
    ]
}

fn only(findings: &[Finding]) -> Story {
    let mut stories = stories(findings);
    assert_eq!(stories.len(), 1, "{stories:?}");
    stories.remove(0)
}

#[test]
fn findings_of_a_client_are_told_in_order_of_time_with_the_stages_that_it_reached() {
    let story = only(&attack());
    let steps: Vec<_> = story.steps.iter().map(|step| (step.kind.as_str(), &*step.target)).collect();
    assert_eq!(
        steps,
        [
            ("carrier", "stage.example"),
            ("beacon", "c2.example"),
            ("beacon", "c3.example"),
            ("small_uploads", "drop.example")
        ]
    );
    assert_eq!(story.stages, [Stage::InitialIntrusion, Stage::Foothold, Stage::Objective]);
    assert_eq!((story.first, story.last), (Timestamp(START), Timestamp(START + 2 * DAY + HOUR)));
    assert_eq!(
        &*story.english,
        "10.0.0.5 within 2.0 d: carrier (stage.example), then beacon (c2.example and 1 more), then many small uploads \
         (drop.example); stages reached: initial intrusion, foothold, objective."
    );
    assert_eq!(
        &*story.japanese,
        "10.0.0.5で2.0日のうちに不審な取得ファイル（stage.example）、次いで定期通信（c2.exampleほか1件）、\
         次いで少量送信の積み重ね（drop.example）。到達段階：初期潜入・基盤構築・遂行。"
    );
}

#[test]
fn a_story_is_more_pressing_than_its_findings_where_it_goes_on_and_no_more_than_high() {
    assert_eq!(only(&attack()).severity, Severity::High, "medium ones of different nature");
    let mut high = attack();
    high.iter_mut().for_each(|finding| finding.severity = Severity::High);
    assert_eq!(only(&high).severity, Severity::High);
    let one_stage = [
        finding(FindingKind::UnknownTunnel, Severity::Medium, "c2.example", 0),
        finding(FindingKind::Beacon, Severity::Medium, "c2.example", HOUR),
    ];
    let story = only(&one_stage);
    assert_eq!((story.severity, &*story.stages), (Severity::Medium, &[Stage::Foothold][..]));
    // One that says something, beside one that does not hang together with it.
    let beside = [
        finding(FindingKind::Beacon, Severity::Medium, "c2.example", 0),
        finding(FindingKind::OutOfHours, Severity::Low, "", HOUR),
    ];
    assert_eq!(only(&beside).severity, Severity::Medium);
    let about_one = [
        finding(FindingKind::RotatingBeacon, Severity::Low, "*.c2.example", 0),
        finding(FindingKind::SmallUploads, Severity::Low, "a.c2.example", HOUR),
    ];
    assert_eq!(only(&about_one).severity, Severity::Medium, "low ones about one target");
}

#[test]
fn what_is_low_and_has_nothing_to_do_with_each_other_is_no_story() {
    let lows = [
        finding(FindingKind::OutOfHours, Severity::Low, "", 0),
        finding(FindingKind::UnusualVolume, Severity::Low, "", HOUR),
        finding(FindingKind::UnknownTunnel, Severity::Low, "new.example", 2 * HOUR),
    ];
    assert_eq!(stories(&lows), []);
    // An updater that everybody has says nothing either.
    let mut updater = finding(FindingKind::Beacon, Severity::Medium, "update.example", 0);
    updater.rarity = Some(Rarity { clients: 80, of: 100, known_seconds: 3_600 });
    assert_eq!(stories(&[updater.clone(), lows[0].clone()]), []);
    updater.kind = FindingKind::Spread;
    assert_eq!(stories(&[updater, lows[0].clone()]).len(), 1);
}

#[test]
fn findings_of_one_nature_of_other_clients_or_weeks_apart_are_no_story() {
    let beacon = || finding(FindingKind::Beacon, Severity::High, "c2.example", 0);
    let tunnel = |after| finding(FindingKind::UnknownTunnel, Severity::High, "c2.example", after);
    assert_eq!(stories(&[beacon(), tunnel(HOUR)]).len(), 1);
    assert_eq!(stories(&[beacon(), finding(FindingKind::AlwaysOn, Severity::High, "c2.example", HOUR)]), []);
    assert_eq!(stories(&[beacon(), Finding { client: "10.0.0.6".into(), ..tunnel(HOUR) }]), []);
    assert_eq!(stories(&[beacon(), tunnel(14 * DAY)]), []);
    let goes_on = Finding { last: Timestamp(START + 12 * DAY), ..beacon() };
    assert_eq!(stories(&[goes_on, tunnel(14 * DAY)]).len(), 1, "it never paused for long");
}

#[test]
fn the_most_pressing_story_is_first_and_each_lists_no_more_than_its_bound() {
    let mut findings: Vec<Finding> = (0..100)
        .map(|number| finding(FindingKind::UnknownTunnel, Severity::Low, &format!("h{number}.example"), number * 1_000))
        .collect();
    findings.push(finding(FindingKind::Mimic, Severity::Medium, "key", 0));
    findings.extend(attack().into_iter().map(|finding| Finding { client: "10.0.0.1\u{1b}[31m".into(), ..finding }));
    let stories = stories(&findings);
    let [first, second] = &*stories else { panic!("{stories:?}") };
    assert_eq!((first.severity, second.severity), (Severity::High, Severity::Medium));
    assert!(!first.english.contains('\u{1b}') && !first.japanese.contains('\u{1b}'), "{}", first.english);
    assert_eq!((second.steps.len(), second.more), (STEPS_MAX, 69));
    assert!(second.english.len() < 300, "{}", second.english);
}

#[test]
fn every_kind_is_called_by_a_name_of_its_own_in_both_languages() {
    let english = FindingKind::ALL.iter().map(|kind| kind.in_words().0).collect::<std::collections::BTreeSet<_>>();
    let japanese = FindingKind::ALL.iter().map(|kind| kind.in_words().1).collect::<std::collections::BTreeSet<_>>();
    assert_eq!((english.len(), japanese.len()), (FindingKind::ALL.len(), FindingKind::ALL.len()));
    let findings: Vec<_> =
        FindingKind::ALL.iter().map(|kind| finding(*kind, Severity::Medium, "a.example", 0)).collect();
    let story = only(&findings);
    assert_eq!(story.stages.len(), 4);
    assert!(story.english.contains(&format!(", and {} kinds more", FindingKind::ALL.len() - NAMED_MAX)));
}

#[test]
fn a_story_as_json_has_all_that_it_rests_on() {
    let json = serde_json::to_value(only(&attack())).unwrap();
    assert_eq!(json["stages"], serde_json::json!(["initial_intrusion", "foothold", "objective"]));
    assert_eq!((&json["client"], &json["severity"], &json["more"]), (&PC.into(), &"high".into(), &0.into()));
    let first = &json["findings"][0];
    assert_eq!((&first["finding"], &first["stage"]), (&"carrier".into(), &"initial_intrusion".into()));
    assert_eq!(first["first"], "2026-11-24T09:00:00.000000Z");
    assert_eq!(json["findings"].as_array().unwrap().len(), 4);
}
