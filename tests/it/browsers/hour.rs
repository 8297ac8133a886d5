//! An hour of a person's browsing is no finding that anybody must see today.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Settings;
use super::driven::{Drive, Driven};
use super::site::Site;
use crate::gate::journal_text;

/// For how long each page is read, in seconds: an hour in all, mostly brief and sometimes long.
const READ: [u64; 36] = [
    14, 212, 9, 61, 33, 480, 21, 7, 95, 130, 18, 44, 12, 305, 88, 26, 5, 171, 39, 64, 11, 250, 16, 73, 190, 8, 29, 412,
    52, 23, 110, 37, 13, 146, 240, 156,
];

/// Maps a time of the visits, which followed each other at once, to the hour in which each page was read.
struct Stretch {
    /// When each visit began, and so much later it did in the hour, in microseconds.
    visits: Vec<(i64, i64)>,
}

impl Stretch {
    fn of(begun: &[SystemTime]) -> Self {
        let micros = |time: &SystemTime| Timestamp::try_from(*time).unwrap().as_microsecond();
        let first = micros(&begun[0]);
        let mut at = first;
        let visits = begun.iter().zip(READ).map(|(begun, read)| {
            let visit = (micros(begun), at - micros(begun));
            at += read as i64 * 1_000_000;
            visit
        });
        Self { visits: visits.collect() }
    }

    fn map(&self, time: i64) -> i64 {
        let place = self.visits.partition_point(|(begun, _)| *begun <= time).saturating_sub(1);
        time + self.visits[place].1
    }

    /// A line of the journal, at the times that it has in the hour. `stood` knows since when each tunnel stands, then when
    /// its last burst was.
    fn line(&self, line: &str, last: &mut std::collections::HashMap<String, i64>) -> String {
        let record: Value = serde_json::from_str(line).unwrap();
        let text = record["time"].as_str().unwrap();
        let time = text.parse::<Timestamp>().unwrap().as_microsecond();
        let mapped = Timestamp::from_microsecond(self.map(time)).unwrap();
        let mut line = line.replacen(text, &format!("{mapped:.6}"), 1);
        let id = record["id"].as_str().unwrap_or_default();
        if record["event"] == "established" {
            last.insert(id.to_owned(), time);
        }
        if let (Some(bursts), Some(last)) = (record["bursts"].as_array(), last.get_mut(id)) {
            let mapped: Vec<Value> = bursts
                .iter()
                .map(|burst| {
                    let before = *last;
                    *last += burst[0].as_i64().unwrap() * 10_000;
                    json!([(self.map(*last) - self.map(before)) / 10_000, burst[1], burst[2]])
                })
                .collect();
            let (old, new) = (json!(bursts).to_string(), json!(mapped).to_string());
            assert!(line.contains(&old), "{line}");
            line = line.replacen(&old, &new, 1);
        }
        line
    }
}

fn hunted(lines: &str) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(["hunt", "-", "--format", "json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn an_hour_of_pages_fires_nothing_high(scheme: &'static str, drive: Drive) {
    let mut site = Site::new(scheme);
    let mut begun = Vec::new();
    let mut browser = site.drive(drive, Settings::AS_INSTALLED);
    for _ in READ {
        begun.push(SystemTime::now());
        browser.go(&site.url());
        site.told();
    }
    drop(browser);
    let data_dir = site.data_dir();
    assert!(!site.records().is_empty());
    let stretch = Stretch::of(&begun);
    let mut last = std::collections::HashMap::new();
    let text = journal_text(&data_dir);
    let lines: String = text.lines().map(|line| stretch.line(line, &mut last) + "\n").collect();
    let report = hunted(&lines);
    assert_eq!((&report["logs"][0]["format"], &report["logs"][0]["bad"]), (&"journal".into(), &0.into()), "{report:#}");
    let events = report["counts"]["events"].as_u64().unwrap();
    assert!(events > READ.len() as u64, "{events} events of {} visits", READ.len());
    let times: Vec<i64> = lines
        .lines()
        .map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            record["time"].as_str().unwrap().parse::<Timestamp>().unwrap().as_second()
        })
        .collect();
    let span = Duration::from_secs((times.iter().max().unwrap() - times.iter().min().unwrap()) as u64);
    assert!(span > Duration::from_secs(3_300), "{span:?}");
    let high: Vec<_> = report["findings"].as_array().unwrap().iter().filter(|f| f["severity"] == "high").collect();
    assert!(high.is_empty(), "{high:#?}");
}

#[test]
fn an_hour_of_browsing_in_chromium_through_tunnels_fires_nothing_high() {
    an_hour_of_pages_fires_nothing_high("https", Driven::chromium);
}

#[test]
fn an_hour_of_browsing_in_chromium_over_plain_http_fires_nothing_high() {
    an_hour_of_pages_fires_nothing_high("http", Driven::chromium);
}
