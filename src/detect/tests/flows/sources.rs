use crate::evidence::{FindingKind, Severity, read_record};

use super::super::traffic::{DAY, Entry, HOUR, MINUTE};
use super::*;

const WALL: &str = "10.30.0.254";
/// [`START`] is a Tuesday at nine.
const MONDAY: f64 = 6.0 * DAY - 9.0 * HOUR;

/// Whether people are at work, on the clock of [`START`].
fn is_working(at: f64) -> bool {
    let since_monday = (at - MONDAY).rem_euclid(7.0 * DAY);
    let (day, hour) = ((since_monday / DAY) as u32, since_monday % DAY / HOUR);
    day < 5 && (8.0..19.0).contains(&hour)
}

/// A firewall that tells of something each minute while people work, and not at night nor at weekends.
fn wall(until: f64) -> Vec<Line> {
    let minutes = (0..(until / MINUTE) as u32).map(|minute| f64::from(minute) * MINUTE);
    flows(minutes.filter(|at| is_working(*at)).map(|at| Seen {
        source: FlowSource::Syslog,
        told_by: Some(WALL),
        ..seen(at, PC, STRANGER, 443, Established)
    }))
}

/// A sensor that is never silent for more than ten minutes.
fn sensor(until: f64) -> Vec<Line> {
    let times = (0..(until / 600.0) as u32).map(|number| f64::from(number) * 600.0 + 5.0);
    flows(times.map(|at| ended(at, PC, SERVER, 443, (900, 900))))
}

fn exchanges(until: f64) -> Vec<Line> {
    let times = (0..(until / 300.0) as u32).map(|number| f64::from(number) * 300.0 + 7.0);
    let of = |at| Line::Exchange(Box::new(Entry::request(at, PC, "portal.example.net")));
    times.filter(|at| is_working(*at)).map(of).collect()
}

#[test]
fn a_firewall_that_falls_silent_on_a_working_morning_is_told_within_the_hour() {
    // Wednesday at ten in the fourth week.
    let dies = 22.0 * DAY + HOUR;
    let lines = [wall(dies), sensor(24.0 * DAY), exchanges(24.0 * DAY)];
    let found = of_kind(FindingKind::SilentSource, lines);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((&*finding.client, &*finding.target), ("", "syslog 10.30.0.254"));
    assert_eq!((codes(finding), finding.severity), (vec!["silent", "others_heard"], Severity::Medium));
    let silent = finding.number("silent", "silent_seconds").unwrap();
    assert!((900.0..3_600.0).contains(&silent), "{silent}");
    let english = finding.in_english();
    assert!(english.starts_with("syslog 10.30.0.254 has told of nothing for 15.0 min; at this time of the week"));
    assert!(finding.in_japanese().starts_with("syslog 10.30.0.254からの記録が15.0分途絶"), "{}", finding.in_japanese());
}

#[test]
fn quiet_nights_and_weekends_are_no_silence() {
    assert_eq!(of_kind(FindingKind::SilentSource, [wall(40.0 * DAY), sensor(40.0 * DAY), exchanges(40.0 * DAY)]), []);
    assert_eq!(of_kind(FindingKind::SilentSource, [wall(40.0 * DAY)]), [], "nor where nothing else is heard");
}

#[test]
fn on_a_holiday_on_which_nobody_works_it_is_low() {
    let holiday = 29.0 * DAY..30.0 * DAY;
    let at_work = |lines: Vec<Line>| -> Vec<Line> {
        let within = |line: &Line| holiday.contains(&((line.time() - START) as f64 / 1e6));
        lines.into_iter().filter(|line| !within(line)).collect()
    };
    let found = of_kind(FindingKind::SilentSource, [at_work(wall(31.0 * DAY)), at_work(exchanges(31.0 * DAY))]);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert_eq!((codes(finding), finding.severity), (vec!["silent", "all_silent"], Severity::Low));
}

#[test]
fn before_anything_is_known_nothing_is_told_and_after_eight_days_twice_the_longest_silence_is() {
    let young = [wall(5.0 * DAY), sensor(14.0 * DAY)];
    let found = of_kind(FindingKind::SilentSource, young);
    let [finding] = &found[..] else { panic!("{found:#?}") };
    assert!(finding.in_english().contains("by what was seen of it so far"), "{}", finding.in_english());
    assert!(finding.number("silent", "silent_seconds").unwrap() > 3.0 * DAY);
    assert_eq!(of_kind(FindingKind::SilentSource, [wall(5.0 * DAY), sensor(8.0 * DAY)]), []);
}

/// A detector, and what it finds when its clock says this.
fn at(detector: &mut Detector, seconds: f64) -> Vec<String> {
    detector.tick(Timestamp(START + (seconds * 1e6) as u64));
    let silent = |finding: &Finding| finding.kind == FindingKind::SilentSource;
    detector.findings().iter().filter(|finding| silent(finding)).map(|finding| finding.target.to_string()).collect()
}

fn given(lines: &[Line]) -> Detector {
    let mut detector = Detector::new(Limits::LIVE, &site());
    for (number, line) in (1..).zip(lines) {
        line.give(number, &mut detector);
    }
    detector
}

#[test]
fn where_nothing_at_all_is_on_record_the_clock_tells_and_tells_once() {
    let dies = 22.0 * DAY + HOUR;
    let mut detector = given(&journal([wall(dies)]));
    let mut told = Vec::new();
    for minute in 0..180 {
        let found = at(&mut detector, dies + f64::from(minute) * MINUTE);
        told.extend(found.into_iter().map(|target| (minute, target)));
    }
    let [(minute, target)] = &told[..] else { panic!("{told:?}") };
    assert_eq!(&**target, "syslog 10.30.0.254");
    assert!((15..=20).contains(minute), "{minute}");
}

#[test]
fn a_run_with_its_ticks_and_one_without_find_the_same_where_there_are_records() {
    let dies = 22.0 * DAY + HOUR;
    let lines = journal([wall(dies), sensor(24.0 * DAY)]);
    let (mut with, mut without) = (Detector::new(Limits::LIVE, &site()), Detector::new(Limits::LIVE, &site()));
    for (number, line) in (1..).zip(&lines) {
        line.give(number, &mut with);
        line.give(number, &mut without);
        with.tick(Timestamp(line.time()));
    }
    with.finish();
    without.finish();
    let (with, without) = (with.findings(), without.findings());
    assert_eq!(with, without);
    assert_eq!(with.iter().filter(|finding| finding.kind == FindingKind::SilentSource).count(), 1);
}

/// A record that says that a source is read, which a gate writes when it starts.
fn begins(at: f64) -> String {
    let time = crate::evidence::format_time(Timestamp(START + (at * 1e6) as u64));
    format!(r#"{{"seq":9,"time":"{time}","kind":"health","subject":"flows","level":"read","detail":"nflog"}}"#)
}

/// A record of nothing in particular.
fn note(at: f64) -> String {
    let time = crate::evidence::format_time(Timestamp(START + (at * 1e6) as u64));
    format!(r#"{{"seq":8,"time":"{time}","kind":"policy"}}"#)
}

#[test]
fn a_gate_that_was_off_has_heard_nothing_because_of_that() {
    let (off, on) = (22.0 * DAY + HOUR, 22.0 * DAY + 5.0 * HOUR);
    let before: Vec<Line> = wall(off);
    let after: Vec<Line> =
        wall(24.0 * DAY).into_iter().filter(|line| line.time() > START + (on * 1e6) as u64).collect();
    for is_recorded in [true, false] {
        let mut detector = given(&before);
        detector.read(&read_record(note(off).as_bytes()).unwrap());
        assert_eq!(at(&mut detector, off), [""; 0]);
        // The first that comes after it is a tick, or a record.
        if is_recorded {
            detector.read(&read_record(note(on).as_bytes()).unwrap());
            detector.read(&read_record(begins(on + 1.0).as_bytes()).unwrap());
        } else {
            assert_eq!(at(&mut detector, on), [""; 0]);
        }
        for (number, line) in (100_000..).zip(&after) {
            line.give(number, &mut detector);
        }
        assert_eq!(at(&mut detector, 23.0 * DAY), [""; 0], "{is_recorded}");
    }
    // The same silence while the gate was on.
    let mut detector = given(&journal([before, after]));
    assert_eq!(at(&mut detector, 23.0 * DAY), ["syslog 10.30.0.254"]);
}

#[test]
fn a_source_that_falls_silent_again_is_told_again() {
    let (first, second) = (22.0 * DAY + HOUR, 23.0 * DAY + HOUR);
    let gap = |line: &Line| {
        let at = (line.time() - START) as f64 / 1e6;
        !(first..first + 2.0 * HOUR).contains(&at) && !(second..second + 2.0 * HOUR).contains(&at)
    };
    let lines: Vec<Line> = wall(24.0 * DAY).into_iter().filter(gap).collect();
    let found = run(&site(), &journal([lines, sensor(24.0 * DAY)]));
    let silent: Vec<_> = found.iter().filter(|(finding, _)| finding.kind == FindingKind::SilentSource).collect();
    let [(finding, times)] = &silent[..] else { panic!("{silent:#?}") };
    assert_eq!((*times, finding.is_change()), (2, true), "{}", finding.in_english());
}
