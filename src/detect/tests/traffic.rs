//! Traffic from a seed, on a clock of its own.

use std::hash::{BuildHasher, RandomState};

use crate::detect::{Detector, Limits, Settings};
use crate::evidence::{Asked, Burst, Failure, Observed, Part, Shown, Verdict};
use crate::evidence::{Finding, FindingKind};
use crate::facts::Timestamp;

/// When all traffic begins, in microseconds: 2026-11-24T09:00:00Z.
pub(super) const START: u64 = 1_795_510_800_000_000;
pub(super) const MINUTE: f64 = 60.0;
pub(super) const HOUR: f64 = 3_600.0;
pub(super) const DAY: f64 = 86_400.0;

/// Numbers from a seed (Steele, Lea and Flood, Fast splittable pseudorandom number generators, 2014: SplitMix64).
#[derive(Debug)]
pub(super) struct Source(pub u64);

impl Source {
    /// A seed that no run had before; to be told where a test fails.
    pub(super) fn drawn() -> u64 {
        RandomState::new().hash_one(0)
    }

    pub(super) fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        (self.word() % bound as u64) as usize
    }

    /// Between the two, evenly.
    pub(super) fn even(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * ((self.word() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * self.even(0.0, 1.0).ln()
    }

    pub(super) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        let (radius, angle) = ((-2.0 * self.even(0.0, 1.0).ln()).sqrt(), self.even(0.0, std::f64::consts::TAU));
        median * (sigma * radius * angle.cos()).exp()
    }

    /// Times in seconds, each a gap after the one before, for so long.
    pub(super) fn times(&mut self, span: f64, mut gap: impl FnMut(&mut Self) -> f64) -> Vec<f64> {
        let mut times = Vec::new();
        let mut at = gap(self);
        while at < span {
            times.push(at);
            at += gap(self);
        }
        times
    }

    /// Steady but for so large a share of the period.
    pub(super) fn beats(&mut self, period: f64, jitter: f64, span: f64) -> Vec<f64> {
        self.times(span, |source| period * source.even(1.0 - jitter, 1.0 + jitter))
    }

    /// A person who reads pages of some requests each, in working hours.
    pub(super) fn browsing(&mut self, days: usize) -> Vec<f64> {
        let (median, sigma) = (self.lognormal(25.0, 0.5), self.even(1.3, 2.0));
        let mut times = Vec::new();
        for day in 0..days {
            for page in self.times(8.0 * HOUR, |source| source.lognormal(median, sigma)) {
                let mut at = day as f64 * DAY + page;
                for _ in 0..1 + self.below(12) {
                    times.push(at);
                    at += self.exponential(0.25);
                }
            }
        }
        times.sort_by(f64::total_cmp);
        times
    }
}

/// A line of a log, as its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub time: u64,
    pub line: u64,
    pub part: Part,
    pub id: u64,
    pub what: Asked,
    pub verdict: Verdict,
    pub client: String,
    pub host: String,
    pub port: u16,
    pub bursts: Vec<Burst>,
    pub more: More,
}

/// What few lines tell of.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct More {
    pub user: &'static str,
    pub user_agent: &'static str,
    pub tls_key: &'static str,
    pub contradictions: u8,
    pub standing: Shown,
    pub sni: String,
    pub carries: &'static str,
    pub address: String,
    pub method: &'static str,
    pub path: String,
    pub reason: &'static str,
    pub failure: Failure,
    pub status: u16,
    pub content_type: &'static str,
    pub body_type: &'static str,
    pub body_sha256: String,
    pub file_name: String,
    pub bytes_up: Option<u64>,
    pub bytes_down: Option<u64>,
    pub duration_us: Option<u64>,
    pub cut: bool,
    pub closed_how: &'static str,
}

impl Entry {
    /// A request, so many seconds after [`START`].
    pub(super) fn request(at: f64, client: &str, host: &str) -> Self {
        Self {
            time: START + (at * 1e6) as u64,
            line: 0,
            part: Part::Whole,
            id: 0,
            what: Asked::Request,
            verdict: Verdict::Allowed,
            client: client.to_owned(),
            host: host.to_owned(),
            port: 443,
            bursts: Vec::new(),
            more: More::default(),
        }
    }

    pub(super) fn give(&self, detector: &mut Detector) {
        let seen = Observed {
            time: Timestamp(self.time),
            part: self.part,
            id: self.id,
            line: self.line,
            what: self.what,
            client: &self.client,
            host: &self.host,
            port: self.port,
            verdict: self.verdict,
            user: self.more.user,
            user_agent: self.more.user_agent,
            tls_key: self.more.tls_key,
            contradictions: self.more.contradictions,
            standing: self.more.standing,
            sni: &self.more.sni,
            carries: self.more.carries,
            address: &self.more.address,
            method: self.more.method,
            path: &self.more.path,
            reason: self.more.reason,
            failure: self.more.failure,
            status: self.more.status,
            content_type: self.more.content_type,
            body_type: self.more.body_type,
            body_sha256: &self.more.body_sha256,
            file_name: &self.more.file_name,
            bytes_up: self.more.bytes_up,
            bytes_down: self.more.bytes_down,
            duration_us: self.more.duration_us,
            cut: self.more.cut,
            closed_how: self.more.closed_how,
            ..Observed::default()
        };
        detector.observe(&seen, &self.bursts);
    }
}

pub(super) fn requests(times: &[f64], client: &str, host: &str) -> Vec<Entry> {
    times.iter().map(|at| Entry::request(*at, client, host)).collect()
}

/// One tunnel that stands from the start on, with bursts at these times: a record each minute, and its end.
pub(super) fn tunnel(bursts: &[f64], client: &str, host: &str) -> Vec<Entry> {
    let part = |at: f64, part: Part, bursts: Vec<Burst>| Entry {
        part,
        id: 77,
        what: Asked::Tunnel,
        bursts,
        ..Entry::request(at, client, host)
    };
    let hundredths: Vec<u64> = bursts.iter().map(|at| (at * 100.0) as u64).collect();
    let mut entries = vec![part(0.0, Part::Begun, Vec::new())];
    let (mut told, mut minute) = (0, 0);
    while told < hundredths.len() {
        minute += 1;
        // The newest may still grow, so it is told of later.
        let begun = hundredths.iter().filter(|at| **at <= minute * 6_000).count();
        let ready = if begun == hundredths.len() { begun } else { begun.saturating_sub(1).max(told) };
        let after = |place: usize| hundredths[place] - place.checked_sub(1).map_or(0, |before| hundredths[before]);
        let new = (told..ready).map(|place| Burst { after_cs: after(place) as u32, up: 300, down: 900 }).collect();
        entries.push(part(minute as f64 * MINUTE, Part::Going, new));
        told = ready;
    }
    entries.push(part((minute + 1) as f64 * MINUTE, Part::Ended, Vec::new()));
    entries
}

/// In the order of their times, numbered from 1.
pub(super) fn log(parts: impl IntoIterator<Item = Vec<Entry>>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = parts.into_iter().flatten().collect();
    entries.sort_by_key(|entry| entry.time);
    for (number, entry) in entries.iter_mut().enumerate() {
        entry.line = number as u64 + 1;
    }
    entries
}

/// What a detector tells of a whole log, in the order in which it does.
pub(super) fn told_of(entries: &[Entry], limits: Limits) -> Vec<Finding> {
    let mut detector = Detector::new(limits, &Settings::default());
    for entry in entries {
        entry.give(&mut detector);
    }
    detector.finish();
    detector.findings()
}

/// What is found in a log: each finding as it was told last.
pub(super) fn found(entries: &[Entry]) -> Vec<Finding> {
    let mut last: Vec<Finding> = Vec::new();
    for finding in told_of(entries, Limits::LIVE) {
        match last.iter_mut().find(|other| other.id == finding.id) {
            Some(other) => *other = finding,
            None => last.push(finding),
        }
    }
    last
}

/// What tells of steady intervals.
pub(super) const BEATS: [FindingKind; 3] =
    [FindingKind::Beacon, FindingKind::RotatingBeacon, FindingKind::AddressBeacon];

/// The one finding of a log that tells of steady intervals, or of what is asked for.
#[track_caller]
pub(super) fn the_one(entries: &[Entry], kind: FindingKind) -> Finding {
    let mut findings = found(entries);
    findings.retain(|finding| finding.kind == kind || BEATS.contains(&finding.kind));
    let said: Vec<String> = findings.iter().map(Finding::in_english).collect();
    assert_eq!(findings.iter().map(|finding| finding.kind).collect::<Vec<_>>(), [kind], "{said:#?}");
    findings.remove(0)
}
