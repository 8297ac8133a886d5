//! Real traffic: pairs of client and host with the times of their calls, each looked at alone.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use sekisho::detect::{Detector, Limits, Settings};
use sekisho::evidence::{FindingKind, Observed};
use sekisho::facts::Timestamp;
use sekisho::store::LogFile;
use serde::Deserialize;

/// No line is longer, in bytes.
const LINE_BYTES_MAX: usize = 64 << 20;
/// From this score on a pair is told of, and is pressing.
const TOLD: f32 = 3.5;
const HIGH: f32 = 5.0;
/// Of so many found hosts of a set each is shown.
const HOSTS_SHOWN: usize = 12;

/// One line of the file.
#[derive(Debug, Deserialize)]
struct Pair {
    /// Where it was recorded.
    set: String,
    dest: String,
    malicious: bool,
    /// By RITA.
    rita_v5: Option<f64>,
    /// Seconds since 1970, bytes up, bytes down.
    events: Vec<(f64, f64, f64)>,
}

/// What became of a pair.
struct Scored {
    host: String,
    score: f32,
    /// Of the last finding of it, in seconds.
    period: Option<f64>,
    rita: f64,
}

/// Prints what is found among the pairs of a file, by where they are from and whether they are known to be beacons.
pub(crate) fn run(path: &Path) -> io::Result<()> {
    let mut sets: BTreeMap<(String, bool), Vec<Scored>> = BTreeMap::new();
    let mut log = LogFile::open(path)?;
    let mut line = Vec::new();
    while log.next(&mut line, LINE_BYTES_MAX)? {
        let pair: Pair = serde_json::from_slice(&line).map_err(io::Error::other)?;
        sets.entry((pair.set.clone(), pair.malicious)).or_default().push(scored(pair));
    }
    println!("| set | beacons | pairs | at 3.5 | at 5.0 | score p50 / p90 / p99 / most | RITA at 0.7 | at 0.9 |");
    println!("|---|---|---:|---:|---:|---:|---:|---:|");
    for ((set, malicious), pairs) in &mut sets {
        pairs.sort_by(|one, other| one.score.total_cmp(&other.score));
        let known = if *malicious { "yes" } else { "" };
        let count = |is_counted: &dyn Fn(&Scored) -> bool| pairs.iter().filter(|pair| is_counted(pair)).count();
        let at = |share: f64| pairs[((pairs.len() - 1) as f64 * share) as usize].score;
        println!(
            "| {set} | {known} | {} | {} | {} | {:.1} / {:.1} / {:.1} / {:.1} | {} | {} |",
            pairs.len(),
            count(&|pair| pair.score >= TOLD),
            count(&|pair| pair.score >= HIGH),
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0),
            count(&|pair| pair.rita >= 0.7),
            count(&|pair| pair.rita >= 0.9),
        );
    }
    for ((set, malicious), pairs) in &sets {
        let found: Vec<_> = pairs.iter().filter(|pair| pair.score >= TOLD || *malicious).collect();
        let mut hosts: BTreeMap<&str, Vec<&Scored>> = BTreeMap::new();
        found.iter().for_each(|pair| hosts.entry(&pair.host).or_default().push(pair));
        println!(
            "\n{set}{}: {} found, of {} hosts",
            if *malicious { ", beacons" } else { "" },
            found.len(),
            hosts.len()
        );
        let mut hosts: Vec<_> = hosts.into_iter().collect();
        hosts.sort_by_key(|(_, pairs)| std::cmp::Reverse(pairs.len()));
        for (host, pairs) in hosts.into_iter().take(HOSTS_SHOWN) {
            let mut scores: Vec<String> = pairs.iter().rev().map(|pair| format!("{:.1}", pair.score)).collect();
            scores.truncate(10);
            let periods: Vec<f64> = pairs.iter().filter_map(|pair| pair.period).collect();
            let period = periods.get(periods.len() / 2).map_or(String::new(), |period| format!("about {period:.0} s"));
            println!("  {host}: {} pairs, {period}, scores {}", pairs.len(), scores.join(" "));
        }
    }
    Ok(())
}

/// Looks at a pair with a detector of its own; each event is one request.
fn scored(mut pair: Pair) -> Scored {
    const CLIENT: &str = "10.0.0.1";
    pair.events.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut detector = Detector::new(Limits::LOGS, &Settings::default());
    for (line, (at, up, down)) in (1..).zip(&pair.events) {
        let seen = Observed {
            time: Timestamp((at * 1e6) as u64),
            line,
            client: CLIENT,
            host: &pair.dest,
            port: 80,
            bytes_up: Some(*up as u64),
            bytes_down: Some(*down as u64),
            ..Observed::default()
        };
        detector.observe(&seen, &[]);
    }
    detector.finish();
    let found = detector.findings();
    let beat = found.iter().rev().find(|finding| finding.kind == FindingKind::Beacon).and_then(|f| f.beat.as_ref());
    Scored {
        score: detector.score_of(CLIENT, &pair.dest),
        period: beat.map(|beat| beat.period_seconds),
        rita: pair.rita_v5.unwrap_or_default(),
        host: pair.dest,
    }
}
