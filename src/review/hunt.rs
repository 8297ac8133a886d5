use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::detect::{Counts, Detector, Limits, Settings, Story, stories};
use crate::evidence::{Finding, FindingId, Observed, RecordLine, read_record};
use crate::facts::Timestamp;
use crate::formats::{BadLine, Format, LINE_BYTES_MAX, Line, Reader, Tally};
use crate::store::LogFile;

use super::scan::Progress;

/// What was found in logs.
#[derive(Debug, Default, Serialize)]
pub struct Hunted {
    /// The most pressing first.
    pub findings: Vec<Finding>,
    /// What was found of one client, stitched together; the most pressing first.
    pub stories: Vec<Story>,
    pub counts: Counts,
    pub logs: Vec<LogRead>,
}

/// How one log was read.
#[derive(Debug, Serialize)]
pub struct LogRead {
    pub log: String,
    /// Its format by name; absent where no line had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<&'static str>,
    /// The zones that its times are in.
    pub zones: Vec<String>,
    pub lines: u64,
    /// Lines that told of a client and what it asked for.
    pub told: u64,
    pub bad: u64,
    /// The first of them.
    pub sample: Vec<BadSaid>,
    /// Why no more of it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// A line that could not be read.
#[derive(Debug, Serialize)]
pub struct BadSaid {
    pub line: u64,
    pub reason: String,
    pub begins: String,
}

/// Lines that are read of one log before another may be behind it.
const TURN_LINES: u32 = 256;
/// Findings that are kept; of more, those that came first.
const FINDINGS_MAX: usize = 100_000;

/// One log that is being read.
struct Log {
    name: String,
    file: LogFile,
    reader: Reader,
    line: Vec<u8>,
    /// The newest time in it.
    at: Timestamp,
    stopped: Option<String>,
}

/// What a line gives.
#[derive(Clone, Copy)]
enum Given<'a> {
    /// Another program's.
    Observed(&'a Observed<'a>),
    /// One of our own journal.
    Record(&'a RecordLine<'a>),
}

impl Given<'_> {
    fn time(self) -> Timestamp {
        match self {
            Self::Observed(observed) => observed.time,
            Self::Record(record) => record.time,
        }
    }
}

impl Log {
    fn new(name: String, file: LogFile) -> Self {
        let (reader, line) = (Reader::new(), Vec::new());
        Self { name, file, reader, line, at: Timestamp(0), stopped: None }
    }

    /// Reads until a line tells something, and gives it to `take`; false at the end.
    fn next(&mut self, mut take: impl FnMut(Given<'_>)) -> bool {
        loop {
            match self.file.next(&mut self.line, LINE_BYTES_MAX) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    self.stopped = Some(error.to_string());
                    return false;
                }
            }
            match self.reader.read(&self.line) {
                Line::Observed(observed) => {
                    self.at = self.at.max(observed.time);
                    take(Given::Observed(&observed));
                    return true;
                }
                Line::Journal => match read_record(&self.line) {
                    Ok(record) => {
                        self.at = self.at.max(record.time);
                        take(Given::Record(&record));
                        return true;
                    }
                    Err(error) => self.reader.refuse(&self.line, &error),
                },
                Line::Passed => {}
                Line::Bad(_) => {
                    if let Some(refusal) = self.reader.refusal() {
                        self.stopped = Some(refusal.to_string());
                        return false;
                    }
                }
            }
        }
    }

    fn told(self) -> LogRead {
        let Tally { lines, observed, journal, bad, .. } = self.reader.tally();
        let said = |bad: &BadLine| BadSaid { line: bad.line, reason: bad.reason.clone(), begins: bad.begins.clone() };
        LogRead {
            log: self.name,
            format: self.reader.format().map(Format::as_str),
            zones: self.reader.zones().seen().iter().map(ToString::to_string).collect(),
            lines,
            told: observed + journal,
            bad,
            sample: self.reader.sample().iter().map(said).collect(),
            stopped: self.stopped,
        }
    }
}

/// Looks through logs for what calls home. They are read side by side, by their times; a log is opened once the others have
/// come to its first line.
///
/// # Errors
/// A log that cannot be opened, with its path.
pub fn hunt(
    files: &[PathBuf],
    limits: Limits,
    settings: &Settings,
    mut progress: impl FnMut(Progress),
) -> Result<Hunted, (PathBuf, io::Error)> {
    let mut hunting = Hunting::new(limits, settings);
    let mut waiting = Vec::new();
    let mut all = 0;
    for path in files {
        let failed = |error| (path.clone(), error);
        all += std::fs::metadata(path).map_err(failed)?.len();
        waiting.push((first_time(path).map_err(failed)?, path));
    }
    // The earliest is taken from the end.
    waiting.sort_by(|a, b| b.cmp(a));
    let (mut open, mut read): (Vec<Log>, u64) = (Vec::new(), 0);
    loop {
        let behind = (0..open.len()).min_by_key(|at| open[*at].at);
        let at = match (behind, waiting.last()) {
            (behind, Some((first, _))) if behind.is_none_or(|at| open[at].at >= *first) => {
                let Some((_, path)) = waiting.pop() else { break };
                let file = LogFile::open(path).map_err(|error| (path.clone(), error))?;
                open.push(Log::new(path.display().to_string(), file));
                open.len() - 1
            }
            (Some(at), _) => at,
            (None, _) => break,
        };
        if !hunting.turn(&mut open[at]) {
            let log = open.swap_remove(at);
            read += log.file.bytes_read();
            hunting.hunted.logs.push(log.told());
        }
        progress(Progress { read: read + open.iter().map(|log| log.file.bytes_read()).sum::<u64>(), all });
    }
    Ok(hunting.end())
}

/// The same with one log that comes on a stream.
pub fn hunt_stream(name: &str, file: LogFile, limits: Limits, settings: &Settings) -> Hunted {
    let mut hunting = Hunting::new(limits, settings);
    let mut log = Log::new(name.to_owned(), file);
    while hunting.turn(&mut log) {}
    hunting.hunted.logs.push(log.told());
    hunting.end()
}

/// The time of the first line that has one; the end of time where none has.
fn first_time(path: &Path) -> io::Result<Timestamp> {
    let mut log = Log::new(String::new(), LogFile::open(path)?);
    let mut first = Timestamp(u64::MAX);
    log.next(|given| first = given.time());
    Ok(first)
}

struct Hunting {
    detector: Detector,
    found: BTreeMap<FindingId, Finding>,
    hunted: Hunted,
}

impl Hunting {
    fn new(limits: Limits, settings: &Settings) -> Self {
        Self { detector: Detector::new(limits, settings), found: BTreeMap::new(), hunted: Hunted::default() }
    }

    /// Takes some lines of a log; false at its end.
    fn turn(&mut self, log: &mut Log) -> bool {
        for _ in 0..TURN_LINES {
            if !log.next(|given| self.take(given)) {
                return false;
            }
        }
        self.collect();
        true
    }

    fn take(&mut self, given: Given<'_>) {
        match given {
            Given::Observed(observed) => self.detector.observe(observed, &[]),
            Given::Record(record) => self.detector.read(record),
        }
    }

    fn collect(&mut self) {
        for finding in self.detector.findings() {
            if self.found.len() < FINDINGS_MAX || self.found.contains_key(&finding.id) {
                self.found.insert(finding.id, finding);
            }
        }
    }

    fn end(mut self) -> Hunted {
        self.detector.finish();
        self.collect();
        let mut findings: Vec<_> = self.found.into_values().collect();
        findings.sort_by(Finding::by_rank);
        let stories = stories(&findings);
        Hunted { findings, stories, counts: self.detector.counts(), ..self.hunted }
    }
}
