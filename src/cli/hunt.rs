use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use jiff::tz::TimeZone;

use crate::clock;
use crate::detect::{Limits, Settings, Step, Story};
use crate::evidence::{Beat, Finding, Severity, format_time, shown};
use crate::review::{Hunted, LogRead, hunt, hunt_page, hunt_stream};
use crate::store::{LogFile, log_files};

use super::error::CliError;
use super::files::read_config;
use super::output::{Format, Rows, report};
use super::page_file::PageFile;
use super::progress::ProgressLine;

#[derive(Debug, Args)]
pub(super) struct HuntArguments {
    /// Data directories, logs, or directories of logs; `-` alone is standard input
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub(super) paths: Vec<PathBuf>,
    /// Show one finding whole, with the picture of its gaps
    #[arg(long, value_name = "ID")]
    pub(super) explain: Option<String>,
    /// Write what was found to a page of its own as well, which needs no other file and no script
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) html: Option<PathBuf>,
    /// A gate's config, of which `[detect]` counts: what is allowed, what is explained, the time zone
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
    /// By which nights and hours of the week are told, such as Asia/Tokyo; UTC unless the config has one
    #[arg(long, value_name = "ZONE")]
    pub(super) time_zone: Option<String>,
    /// Findings shown; JSON has all
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub(super) rows: usize,
    /// Tables for eyes, or JSON for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

/// Looks through logs for what calls home, and shows it.
pub(super) fn hunt_logs(arguments: &HuntArguments) -> Result<(), CliError> {
    let hunted = find_and_write(arguments);
    let is_explained = arguments.explain.is_some();
    report(arguments.format, hunted, |hunted| rows(hunted, arguments.rows, is_explained))
}

/// Writes the page too, where one is asked for.
fn find_and_write(arguments: &HuntArguments) -> Result<Hunted, CliError> {
    let page = arguments.html.as_deref().map(PageFile::at).transpose()?;
    let hunted = one(find(arguments)?, arguments.explain.as_deref())?;
    if let Some(page) = page {
        page.write(&hunt_page(&hunted, clock::now()))?;
    }
    Ok(hunted)
}

/// Leaves the finding that is to be explained, if any is.
fn one(mut hunted: Hunted, id: Option<&str>) -> Result<Hunted, CliError> {
    let Some(id) = id else { return Ok(hunted) };
    hunted.findings.retain(|finding| finding.id.to_string() == id);
    if hunted.findings.is_empty() {
        return Err(CliError::NoFinding(id.to_owned()));
    }
    hunted.stories.retain(|story| story.steps.iter().any(|step| step.finding.to_string() == id));
    Ok(hunted)
}

fn find(arguments: &HuntArguments) -> Result<Hunted, CliError> {
    let settings = settings(arguments)?;
    let paths = &arguments.paths;
    let failed = |path: &Path, source: io::Error| CliError::Log { path: path.to_owned(), source };
    if paths.iter().any(|path| path == Path::new("-")) {
        let [path] = &**paths else { return Err(CliError::NotAlone) };
        let log = LogFile::stream(io::stdin()).map_err(|error| failed(path, error))?;
        return Ok(hunt_stream("standard input", log, Limits::LOGS, &settings));
    }
    let mut files = Vec::new();
    for path in paths {
        files.extend(log_files(path).map_err(|error| failed(path, error))?);
    }
    let mut line = ProgressLine::new();
    hunt(&files, Limits::LOGS, &settings, |at| line.show(at)).map_err(|(path, error)| failed(&path, error))
}

/// What the gate's config says of its network, if one is named.
fn settings(arguments: &HuntArguments) -> Result<Settings, CliError> {
    let config = arguments.config.as_deref().map(read_config).transpose()?;
    let mut settings = config.map(|config| config.detect).unwrap_or_default();
    if let Some(name) = &arguments.time_zone {
        settings.zone = TimeZone::get(name).map_err(|_| CliError::NoTimeZone(name.clone()))?;
    }
    Ok(settings)
}

fn rows(hunted: &Hunted, most: usize, is_explained: bool) -> Rows {
    let mut rows: Rows = hunted.logs.iter().map(|log| ("log", log_in_words(log))).collect();
    let counts = hunted.counts;
    let mut took =
        format!("{} events, {} clients, {} hosts, {} pairs", counts.events, counts.clients, counts.hosts, counts.pairs);
    for (count, what) in [
        (counts.late, "events came late"),
        (counts.pairs_evicted, "pairs had to go for others"),
        (counts.names_evicted, "clients and hosts had to go for others"),
        (counts.volumes_evicted, "clients, pairs and programs had to go for others, with what they usually send"),
        (counts.flows, "records of attempts past the proxy"),
        (counts.flows_of_strangers, "of them of strangers, who are let be"),
        (counts.flows_evicted, "clients, pairs and sources of such attempts had to go for others"),
        (counts.exchanges_beyond, "exchanges had no room"),
        (counts.findings_beyond, "findings are not told, as too many of their kind were of their client that day"),
        (counts.allowed, "findings are allowed"),
        (counts.explained, "findings are as explained"),
    ] {
        if count > 0 {
            let _ = write!(took, "; {count} {what}");
        }
    }
    rows.push(("looked at", took));
    for finding in hunted.findings.iter().take(most) {
        let text = if is_explained { explained(finding) } else { finding_in_words(finding) };
        rows.push((severity(finding.severity), text));
    }
    if let Some(others @ 1..) = hunted.findings.len().checked_sub(most) {
        rows.push(("others", format!("{others} findings; `--format json` and `--rows` show more")));
    }
    rows.extend(hunted.stories.iter().take(most).map(|story| ("story", story_in_words(story))));
    if let Some(others @ 1..) = hunted.stories.len().checked_sub(most) {
        rows.push(("others", format!("{others} stories; `--format json` and `--rows` show more")));
    }
    let high = hunted.findings.iter().filter(|finding| finding.severity == Severity::High).count();
    rows.push(("result", format!("{} findings, {high} of them high", hunted.findings.len())));
    rows
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "HIGH",
        Severity::Medium => "medium",
        Severity::Low => "low",
    }
}

fn log_in_words(log: &LogRead) -> String {
    let format = log.format.unwrap_or("no known format");
    let mut text = format!("{}: {format}, {} lines", shown(&log.log), log.lines);
    if !log.zones.is_empty() {
        let _ = write!(text, ", times in {}", log.zones.join(", "));
    }
    if log.bad > 0 {
        let _ = write!(text, ", {} cannot be read", log.bad);
    }
    if let Some(why) = &log.stopped {
        let _ = write!(text, "\nstopped: {why}");
    }
    for bad in &log.sample {
        let _ = write!(text, "\nline {}: {}: {}", bad.line, bad.reason, bad.begins);
    }
    text
}

/// What is called by whom, why it stands here, and how to see more.
fn finding_in_words(finding: &Finding) -> String {
    format!(
        "{} → {}:{}  score {:.1}  {}\n{}\n{}\n",
        shown(&finding.client),
        shown(&finding.target),
        finding.port,
        finding.score,
        finding.id,
        shown(&finding.in_english()),
        shown(&finding.in_japanese()),
    )
}

/// How an attack on a client may have gone on: in one sentence of each language, then what was found, in order of time.
fn story_in_words(story: &Story) -> String {
    let mut text = format!("{}: {}\n{}\n", severity(story.severity), story.english, story.japanese);
    for step in &story.steps {
        let Step { finding, kind, severity: how, target, first } = step;
        let (kind, stage) = (kind.as_str(), kind.stage());
        let first = format_time(*first);
        let _ = writeln!(
            text,
            "  {first}  {}  {kind} → {}  {} ({})  {finding}",
            severity(*how),
            shown(target),
            stage.as_str(),
            stage.in_japanese(),
        );
    }
    if story.more > 0 {
        let _ = writeln!(text, "  and {} findings more", story.more);
    }
    text
}

fn explained(finding: &Finding) -> String {
    let mut text = finding_in_words(finding);
    let [first, newest] = finding.records;
    let _ = writeln!(
        text,
        "from {} to {}, records {first} to {newest}",
        format_time(finding.first),
        format_time(finding.last)
    );
    let _ = writeln!(text, "stage: {:?} ({})", finding.kind.stage(), finding.kind.stage().in_japanese());
    if let Some(beat) = finding.beat.as_ref().filter(|beat| beat.gaps > 0) {
        text.push_str(&picture(beat));
    }
    text
}

/// Columns of the picture.
const WIDTH: usize = 60;

/// The last gaps, the oldest first, each as a mark on a scale of ln seconds; `|` bounds the window.
fn picture(beat: &Beat) -> String {
    let ends = beat.strip.iter().copied().chain([beat.low_seconds, beat.high_seconds]);
    let (low, high) = ends.fold((f64::INFINITY, 0.0_f64), |(low, high), gap| (low.min(gap), high.max(gap)));
    let (low, span) = ((low * 0.8).ln(), (high * 1.25).ln() - (low * 0.8).ln());
    let column = |gap: f64| (((gap.ln() - low) / span * (WIDTH - 1) as f64) as usize).min(WIDTH - 1);
    let mut text = String::new();
    for gap in &beat.strip {
        let mut line = [b' '; WIDTH];
        line[column(beat.low_seconds)] = b'|';
        line[column(beat.high_seconds)] = b'|';
        line[column(*gap)] = b'*';
        let _ = writeln!(text, "{}  {gap:.1} s", String::from_utf8_lossy(&line));
    }
    text
}
