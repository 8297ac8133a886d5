//! Work at hours at which there never was any.

use crate::evidence::{Finding, FindingKind, Severity};

use super::traffic::{DAY, Entry, HOUR, MINUTE, Source, found, log};

const PC: &str = "10.0.0.5";
/// [`super::traffic::START`] is a Tuesday, 09:00; this is the Monday before it at midnight.
const MONDAY: f64 = -33.0 * HOUR;

/// An hour of work that begins then: hosts of its own, and one that all have.
fn work(source: &mut Source, from: f64, client: &str) -> Vec<Entry> {
    let mut entries = vec![Entry::request(from, client, "portal.example.net")];
    for _ in 0..30 {
        let host = format!("h{}.of-{client}.example", source.below(12));
        entries.push(Entry::request(from + source.even(0.0, HOUR - 1.0), client, &host));
    }
    entries
}

/// Weeks in which a client works from nine to five on working days.
fn weeks(source: &mut Source, weeks: usize, client: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for day in (1..7 * weeks).filter(|day| day % 7 < 5) {
        for hour in [9, 11, 13, 16] {
            entries.extend(work(source, MONDAY + day as f64 * DAY + f64::from(hour) * HOUR, client));
        }
    }
    entries
}

/// What a machine does by itself in this hour: the hosts of all, and one of its own each minute.
fn idle(from: f64, client: &str) -> Vec<Entry> {
    (0..60)
        .flat_map(|minute| {
            let at = from + MINUTE * f64::from(minute);
            [
                Entry::request(at, client, &format!("update{}.example.net", minute % 10)),
                Entry::request(at, client, "licence.example.org"),
            ]
        })
        .collect()
}

fn told(parts: impl IntoIterator<Item = Vec<Entry>>) -> Vec<Finding> {
    let mut findings = found(&log(parts));
    findings.retain(|finding| finding.kind == FindingKind::OutOfHours);
    findings
}

/// Twenty clients that have the same updates, and go on for long enough.
fn others(until: f64) -> Vec<Entry> {
    (0..20)
        .flat_map(|client| [idle(0.0, &format!("10.0.1.{client}")), idle(until, &format!("10.0.1.{client}"))].concat())
        .collect()
}

#[test]
fn work_at_night_is_told_of_where_there_never_was_any() {
    let mut source = Source(1);
    let night = MONDAY + 21.0 * DAY + 3.0 * HOUR;
    let history = weeks(&mut source, 3, PC);
    let findings = told([others(night + 2.0 * HOUR), history.clone(), work(&mut source, night, PC)]);
    let [finding] = &*findings else { panic!("{findings:#?}") };
    assert_eq!((&*finding.client, &*finding.target, finding.severity), (PC, "", Severity::Low));
    assert_eq!(
        finding.in_english(),
        "at work on Monday after 3:00 (20 requests to 10 hosts that few talk to), and on no working day in the last 2 \
         weeks within 2 hours of that."
    );
    assert_eq!(
        finding.in_japanese(),
        "月曜3時台に活動（利用端末の少ない10ホストへ20件）。過去2週間、平日の前後2時間に活動なし。"
    );
    let weekend = MONDAY + 19.0 * DAY + 10.0 * HOUR;
    assert_eq!(told([others(night), history, work(&mut source, weekend, PC)]).len(), 1, "a Saturday");
}

#[test]
fn a_machine_that_is_left_on_and_who_comes_early_are_let_be() {
    let mut source = Source(2);
    let night = MONDAY + 21.0 * DAY + 3.0 * HOUR;
    let early = work(&mut source, MONDAY + 21.0 * DAY + 7.0 * HOUR, PC);
    let history = weeks(&mut source, 3, PC);
    assert_eq!(told([others(night + 20.0 * HOUR), history.clone(), idle(night, PC), early]), []);
    let short = weeks(&mut source, 1, "10.0.0.6");
    let night = work(&mut source, MONDAY + 8.0 * DAY + 3.0 * HOUR, "10.0.0.6");
    assert_eq!(told([others(20.0 * DAY), short, night]), [], "known for a week alone");
}

#[test]
fn shifts_and_a_saturday_on_which_many_work_are_let_be() {
    let mut source = Source(3);
    let mut shifts = Vec::new();
    for day in 0..28 {
        let hour = if day / 7 % 2 == 0 { 10.0 } else { 2.0 };
        shifts.extend(work(&mut source, MONDAY + 2.0 * DAY + f64::from(day) * DAY + hour * HOUR, PC));
    }
    let saturday = MONDAY + 19.0 * DAY + 10.0 * HOUR;
    let findings = told([others(28.0 * DAY), shifts]);
    assert!(findings.len() <= 1, "the first night of all is told of: {findings:#?}");
    let mut all = vec![others(28.0 * DAY)];
    for client in 0..10 {
        let client = format!("10.0.2.{client}");
        all.push(weeks(&mut source, 3, &client));
        all.push(work(&mut source, saturday, &client));
    }
    assert_eq!(told(all), []);
}

#[test]
fn nights_are_found_and_days_are_not_whatever_the_seed() {
    let seed = Source::drawn();
    let mut source = Source(seed);
    for _ in 0..10 {
        let history = weeks(&mut source, 4, PC);
        let day = (21 + source.below(5)) as f64;
        let (night, noon) = (source.below(5) as f64, 9.0 + source.below(9) as f64);
        let at = |hour: f64| MONDAY + day * DAY + hour * HOUR;
        let findings = told([others(40.0 * DAY), history.clone(), work(&mut source, at(night), PC)]);
        assert_eq!(findings.len(), 1, "seed {seed}: at {night}");
        assert_eq!(told([others(40.0 * DAY), history, work(&mut source, at(noon), PC)]), [], "seed {seed}: at {noon}");
    }
}
