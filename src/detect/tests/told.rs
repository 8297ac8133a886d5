//! What a person reads.

use crate::detect::Limits;
use crate::evidence::FindingKind;

use super::traffic::{Entry, HOUR, MINUTE, Source, found, log, requests, the_one, told_of};

fn of_three() -> Vec<Entry> {
    let beats: Vec<f64> = (0..20).map(|beat| 100.0 + 60.0 * f64::from(beat)).collect();
    let others = requests(&[0.0, 1.0], "10.0.0.2", "portal.example.net");
    let third = requests(&[2.0], "10.0.0.3", "c2.example.net");
    log([requests(&beats, "10.0.0.1", "c2.example.net"), others, third])
}

#[test]
fn a_beacon_is_said_in_english_and_in_japanese() {
    let finding = the_one(&of_three(), FindingKind::Beacon);
    assert_eq!(
        finding.in_english(),
        "16 of the last 16 gaps lie between 60.0 s and 60.0 s (centre 60.0 s), back to back; a source without a \
         period does this with a chance below 1e-30; 17 requests over 16.0 min; 2 of 3 clients talk to it, known here \
         for 17.6 min."
    );
    assert_eq!(
        finding.in_japanese(),
        "直近16回の間隔のうち16回が連続して60.0秒から60.0秒の間（中心60.0秒）にあります。周期のない通信でこうなる確率は1e-30未満です。\
         16.0分で17件、3台中2台が通信、この網では17.6分前から。"
    );
}

#[test]
fn what_was_denied_is_said_and_a_beat_that_was_missed() {
    let mut finding = the_one(&of_three(), FindingKind::Beacon);
    finding.denied = 7;
    finding.beat.as_mut().unwrap().multiples = 2;
    assert_eq!(
        finding.in_english(),
        "16 of the last 16 gaps lie between 60.0 s and 60.0 s or at up to 3 times that (centre 60.0 s), back to back; a \
         source without a period does this with a chance below 1e-30; 17 requests over 16.0 min, 7 of them denied; 2 \
         of 3 clients talk to it, known here for 17.6 min."
    );
    assert_eq!(
        finding.in_japanese(),
        "直近16回の間隔のうち16回が連続して60.0秒から60.0秒の間（またはその3倍まで）（中心60.0秒）にあります。\
         周期のない通信でこうなる確率は1e-30未満です。16.0分で17件（うち拒否7件）、3台中2台が通信、この網では17.6分前から。"
    );
}

#[test]
fn what_is_always_on_is_said_in_english_and_in_japanese() {
    let times: Vec<f64> =
        (0..30).map(|hour| HOUR * f64::from(hour) + f64::from(hour * hour * 7 % 50) * MINUTE).collect();
    let findings = found(&log([requests(&times, "10.0.0.1", "rare.example.net")]));
    let finding = findings.iter().find(|finding| finding.kind == FindingKind::AlwaysOn).unwrap();
    assert_eq!(
        finding.in_english(),
        "Seen in 20 of the last 24 hours, and hardly anybody else talks to it; 20 requests over 19.4 h; 1 of 1 clients \
         talk to it, known here for 19.4 h."
    );
    assert_eq!(
        finding.in_japanese(),
        "直近24時間のうち20時間で通信があり、ほかの端末はほとんど通信していません。19.4時間で20件、1台中1台が通信、\
         この網では19.4時間前から。"
    );
}

#[test]
fn a_finding_keeps_its_id_when_it_is_told_again_and_on_another_day() {
    let beats = |seed: u64| requests(&Source(seed).beats(MINUTE, 0.2, 6.0 * HOUR), "10.0.0.1", "c2.example.net");
    let told = told_of(&log([beats(1)]), Limits::LIVE);
    assert!(told.len() > 1, "it gains evidence");
    assert!(told.windows(2).all(|pair| pair[0].id == pair[1].id && pair[0].score < pair[1].score));
    assert_eq!(the_one(&log([beats(2)]), FindingKind::Beacon).id, told[0].id);
    // Others keep it by its id, so it is the same in every version.
    assert_eq!(told[0].id.to_string(), "b1f4102953c1d61a");
    let elsewhere = requests(&Source(1).beats(MINUTE, 0.2, 6.0 * HOUR), "10.0.0.1", "c3.example.net");
    assert_ne!(the_one(&log([elsewhere]), FindingKind::Beacon).id, told[0].id);
}
