use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::app::{Note, note, this_person};
use crate::clock;
use crate::evidence::{Lookup, Text, client_of, client_text, format_time, shown};
use crate::facts::Timestamp;
use crate::formats::csv_row;
use crate::review::list_mark;
use crate::review::questions::{
    Answer, Cell, Evidence, FindingsOf, Indicators, Moment, QuestionError, Range, Table, around, blocked, client,
    errors, findings, host, like, like_value, newest_record, programs, sweep, unknown,
};
use crate::store::Index;

use super::arguments::notes;
use super::error::CliError;
use super::files::{default_data_dir, read_config};
use super::output::{Format, Rows, print, print_bytes, report};
use super::terminal::Look;
use super::verify::around as data_dir_around;

mod asked;
mod report;

use asked::{ByWord, Question};

#[derive(Debug, Args)]
#[command(after_help = notes!(
    "sekisho review blocked --since yesterday",
    "sekisho review client 10.20.1.5",
    "sekisho review host '*.example.com' --format json | jq '.tables.clients.rows[].client'",
    "sekisho review unknown --since 1d --tz Asia/Tokyo",
    "sekisho review sweep indicators.txt --format csv > hits.csv",
    "sekisho review around 01K8ZYA6M3Q 10m"
))]
pub(super) struct ReviewArguments {
    #[command(subcommand)]
    asked: Asked,
    #[command(flatten)]
    frame: Frame,
}

/// What all questions take.
#[derive(Debug, Args)]
struct Frame {
    /// From when on: a day (2026-11-01, today, yesterday: from midnight of the zone), a time (RFC 3339), or how long ago
    /// (7d, 12h, 30m) [default: 7d; for client, host, sweep and like all that is on record]
    #[arg(long, global = true, value_name = "TIME")]
    since: Option<Moment>,
    /// Up to when, which is not included any more [default: now]
    #[arg(long, global = true, value_name = "TIME")]
    until: Option<Moment>,
    /// The zone in which times are shown and days begin, such as Asia/Tokyo [default: the config's, else UTC]
    #[arg(long, global = true, value_name = "ZONE")]
    tz: Option<String>,
    /// How the answer is written
    #[arg(long, global = true, value_enum, default_value_t = AnswerFormat::Table)]
    format: AnswerFormat,
    /// Rows of each table [default: 50; JSON and CSV have up to 100,000]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: Option<u32>,
    /// Only this table of the answer, by its name
    #[arg(long, global = true, value_name = "NAME")]
    part: Option<String>,
    /// The config file, which says where the data directory is and in which zone the site is
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// The data directory [default: the config's, else where `run` keeps it when nothing else is said]
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum AnswerFormat {
    /// Tables for eyes
    Table,
    /// All of it, with times in UTC and sizes in bytes
    Json,
    /// One table (RFC 4180), the first or that of --part; cells that a spreadsheet would run as a formula get an apostrophe
    /// in front
    Csv,
}

#[derive(Debug, Subcommand)]
enum Asked {
    #[command(flatten)]
    Question(Question),
    /// Write a month's report for an auditor: whether the evidence is whole, what was stopped, found and done
    ///
    /// The whole journal is verified for it, which takes a while. It is one page of HTML in English and Japanese that needs no
    /// other file and prints well; with --format json the same as data.
    #[command(after_help = notes!(
        "sekisho review report --month 2026-11 --output november.html",
        "sekisho review report --format json | jq .missing"
    ))]
    Report(report::ReportArguments),
}

/// Rows of a table for eyes, and for machines.
const ROWS: usize = 50;
const ROWS_MAX: usize = 100_000;
/// What is taken of a list of indicators.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// An answer, and what was asked.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    answer: Answer,
    since: Option<String>,
    until: String,
    zone: String,
    indexed: IndexedSaid,
    #[serde(skip)]
    range: Range,
}

/// How far the index has come.
#[derive(Serialize)]
struct IndexedSaid {
    record: u64,
    time: String,
    /// Records of the journal that it does not have yet; absent where the journal cannot be read.
    behind: Option<u64>,
}

/// Asks the index, and shows the answer.
pub(super) fn review(arguments: &ReviewArguments) -> Result<(), CliError> {
    let frame = &arguments.frame;
    let question = match &arguments.asked {
        Asked::Question(question) => question,
        Asked::Report(asked) => return report::report(asked, &data_dir(frame)?, frame.format == AnswerFormat::Json),
    };
    let told = look(frame).and_then(|look| tell(question, frame, &look).map(|told| (told, look)));
    let (told, look) = match told {
        Ok(told) => told,
        Err(error) if frame.format == AnswerFormat::Json => {
            return report(Format::Json, Err::<(), _>(error), |()| Rows::new());
        }
        Err(error) => return Err(error),
    };
    match frame.format {
        AnswerFormat::Table => print(&in_tables(&told, &look))?,
        AnswerFormat::Json => print(&in_json(&told)?)?,
        AnswerFormat::Csv => {
            if let Some(table) = told.answer.tables.first() {
                print_bytes(&in_csv(table, &look))?;
            }
        }
    }
    if told.answer.unread.is_empty() { Ok(()) } else { Err(CliError::PartialAnswer(told.answer.unread)) }
}

fn look(frame: &Frame) -> Result<Look, CliError> {
    let config = frame.config.as_deref().map(read_config).transpose()?;
    let zone = match &frame.tz {
        Some(name) => TimeZone::get(name).map_err(|_| CliError::NoTimeZone(name.clone()))?,
        None => config.map_or(TimeZone::UTC, |config| config.detect.zone),
    };
    Ok(Look::of_output(zone))
}

fn data_dir(frame: &Frame) -> Result<PathBuf, CliError> {
    let config = frame.config.as_deref().map(read_config).transpose()?;
    let named = frame.data_dir.clone().or(config.and_then(|config| config.data_dir));
    Ok(data_dir_around(&named.unwrap_or_else(default_data_dir)).to_owned())
}

fn tell(question: &Question, frame: &Frame, look: &Look) -> Result<Told, CliError> {
    let data_dir = &*data_dir(frame)?;
    let now = clock::now();
    let range = range(question, frame, &look.zone, now);
    let limit = match (frame.limit, frame.format) {
        (Some(limit), _) => usize::try_from(limit).unwrap_or(ROWS_MAX),
        (None, AnswerFormat::Table) => ROWS,
        (None, AnswerFormat::Json | AnswerFormat::Csv) => ROWS_MAX,
    };
    let index = Index::open(data_dir).map_err(QuestionError::Index)?;
    let mut evidence = Evidence::new(&index)?;
    if let Some(name) = question.only_of() {
        evidence = evidence.only_of(name, range)?;
    }
    let mut answer = ask(question, &evidence, data_dir, range, limit)?;
    if let Some(part) = &frame.part {
        let known: Vec<&str> = answer.tables.iter().map(|table| table.name).collect();
        if !known.contains(&part.as_str()) {
            return Err(CliError::NoPart { name: part.clone(), known: known.join(", ") });
        }
        answer.tables.retain(|table| table.name == part);
    }
    let range = answer.range.unwrap_or(range);
    let indexed = evidence.indexed();
    let behind = match newest_record(data_dir) {
        Ok(newest) => newest.map(|(seq, _)| seq.saturating_sub(indexed.seq)),
        Err(error) => {
            answer.unread.push(format!("how far the journal has come: {error}"));
            None
        }
    };
    Ok(Told {
        answer,
        since: range.since.map(format_time),
        until: format_time(range.until.unwrap_or(now)),
        zone: look.zone.iana_name().unwrap_or("UTC").to_owned(),
        indexed: IndexedSaid { record: indexed.seq, time: format_time(indexed.time), behind },
        range: Range { since: range.since, until: Some(range.until.unwrap_or(now)) },
    })
}

fn range(question: &Question, frame: &Frame, zone: &TimeZone, now: Timestamp) -> Range {
    let moment = |moment: Moment| moment.in_zone(zone, now);
    let is_of_all = matches!(
        question,
        Question::Client { .. } | Question::Host { .. } | Question::Sweep { .. } | Question::Like { .. }
    );
    let usual = (!is_of_all).then_some(Moment::Ago(7 * 86_400_000_000));
    Range { since: frame.since.or(usual).map(moment), until: frame.until.map(moment) }
}

fn ask(
    question: &Question,
    evidence: &Evidence<'_>,
    data_dir: &Path,
    range: Range,
    limit: usize,
) -> Result<Answer, CliError> {
    if let Some((asked, name)) = question.looks_up() {
        looked_up(data_dir, &format!("review {asked}"), name, range)?;
    }
    Ok(match question {
        Question::Blocked { .. } => blocked(evidence, range, limit)?,
        Question::Client { client: name } => client(evidence, name, range, limit)?,
        Question::Host { host: name, .. } => host(evidence, name, range, limit)?,
        Question::Unknown { .. } => unknown(evidence, range, limit)?,
        Question::Errors { .. } => errors(evidence, range, limit)?,
        Question::Programs { .. } => programs(evidence, range, limit)?,
        Question::Beacons { .. } => findings(evidence, FindingsOf::Beacons, range, limit)?,
        Question::Tunnels { .. } => findings(evidence, FindingsOf::Tunnels, range, limit)?,
        Question::Findings { .. } => findings(evidence, FindingsOf::All, range, limit)?,
        Question::Sweep { file, of } => {
            let list = read_list(file)?;
            let asked = format!("review sweep {} ({})", file.display(), list_mark(&list));
            looked_up(data_dir, &asked, of.client.as_deref(), range)?;
            let indicators = Indicators::read(&list);
            sweep(evidence, data_dir, &file.display().to_string(), &indicators, range, limit)?
        }
        Question::Around { id, span } => {
            let answer = around(evidence, id, *span, limit)?;
            let range = answer.range.unwrap_or(range);
            looked_up(data_dir, "review around", Some(&client_of_answer(&answer, "client")), range)?;
            answer
        }
        Question::Like { id, value, by, .. } => {
            let answer = match (id, value) {
                (Some(id), _) => like(evidence, id, by.meant(), range, limit)?,
                (None, value) => like_value(evidence, value.as_deref().unwrap_or_default(), by.meant(), range, limit)?,
            };
            if *by == ByWord::Client {
                looked_up(data_dir, "review like", Some(&client_of_answer(&answer, "value")), range)?;
            }
            answer
        }
    })
}

/// Whose records an answer has, which only the index knew. Nothing was shown of it yet.
fn client_of_answer(answer: &Answer, key: &str) -> String {
    let found = answer.facts.iter().find(|(known, _)| *known == key);
    match found {
        Some((_, Cell::Text(client))) => client.clone(),
        Some(_) | None => String::new(),
    }
}

/// Puts on record that people's records are looked at, before they are shown; where that cannot be, they are not. `name` is
/// whose, where it is one client's or device's.
fn looked_up(data_dir: &Path, question: &str, name: Option<&str>, range: Range) -> Result<(), CliError> {
    let named = name.and_then(client_of).map(|client| Text::from(&*client_text(&client)));
    let device = if named.is_none() { name.map(Text::from) } else { None };
    let lookup = Lookup {
        who: this_person(),
        question: question.into(),
        client: named,
        user: None,
        device,
        since: range.since,
        until: range.until,
    };
    let data_dir = data_dir.to_owned();
    note(&data_dir, Note::Lookup(lookup)).map_err(|source| CliError::Note { data_dir, source })
}

fn read_list(file: &Path) -> Result<String, CliError> {
    let failed = |source| CliError::Log { path: file.to_owned(), source };
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().take(LIST_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    } else {
        let opened = std::fs::File::open(file).map_err(failed)?;
        opened.take(LIST_BYTES_MAX).read_to_end(&mut bytes).map_err(failed)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Facts, tables, and below them what was asked, what is missing and what to ask next.
fn in_tables(told: &Told, look: &Look) -> String {
    let answer = &told.answer;
    let mut text = String::new();
    let about = answer.about.as_ref().map_or(String::new(), |about| format!(" {}", shown(about)));
    let _ = writeln!(text, "{}{about}", answer.question);
    let facts = answer.facts.iter().filter(|(_, cell)| *cell != Cell::Nothing);
    let facts: Vec<String> =
        facts.map(|(key, cell)| format!("{}: {}", key.replace('_', " "), look.cell(cell))).collect();
    for line in facts.chunks(6) {
        let _ = writeln!(text, "  {}", line.join(", "));
    }
    for table in &answer.tables {
        let _ = writeln!(text, "\n{}", table.name.replace('_', " "));
        if table.rows.is_empty() {
            let _ = writeln!(text, "none");
            continue;
        }
        text.push_str(&look.table(table));
        if table.more > 0 {
            let _ = writeln!(text, "and {} more; --limit and --format json show them", table.more);
        }
    }
    let since = told.range.since.map_or_else(|| "the first record".to_owned(), |since| look.time(since));
    let until = told.range.until.map_or_else(String::new, |until| look.time(until));
    let _ = writeln!(text, "\nrange    {since} to {until}, zone {}", told.zone);
    let behind = match told.indexed.behind {
        Some(0) => "all of the journal".to_owned(),
        Some(behind) => format!("{behind} records behind the journal"),
        None => "the journal itself was not seen".to_owned(),
    };
    let _ = writeln!(text, "index    up to record {}, {behind}", told.indexed.record);
    for (name, lines) in [("note", &answer.notes), ("unread", &answer.unread), ("next", &answer.next)] {
        for line in lines {
            let _ = writeln!(text, "{name:<8} {}", shown(line));
        }
    }
    text
}

/// Pretty JSON in which nothing moves a cursor or reorders text.
fn in_json(told: &Told) -> Result<String, CliError> {
    #[derive(Serialize)]
    struct Whole<'a> {
        ok: bool,
        #[serde(flatten)]
        told: &'a Told,
        problems: [(); 0],
    }
    let whole = Whole { ok: true, told, problems: [] };
    let json = serde_json::to_string_pretty(&whole).map_err(|error| CliError::Output(error.into()))?;
    let mut text = String::with_capacity(json.len() + 1);
    let mut one = [0; 4];
    let mut units = [0; 2];
    for character in json.chars() {
        let same: &str = character.encode_utf8(&mut one);
        // Line ends are between values alone: in texts they are escaped already.
        if character.is_ascii() && character != '\u{7f}' || shown(same) == same {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text.push('\n');
    Ok(text)
}

/// One table, its keys as the head.
fn in_csv(table: &Table, look: &Look) -> Vec<u8> {
    let mut text = Vec::new();
    csv_row(table.columns.iter().map(|column| column.key), &mut text);
    for row in &table.rows {
        let cells: Vec<String> = row
            .iter()
            .map(|cell| match cell {
                Cell::Text(text) => shown(text).into_owned(),
                Cell::Count(number) | Cell::Bytes(number) => number.to_string(),
                Cell::Time(time) => look.exact_time(*time),
                Cell::Nothing => String::new(),
            })
            .collect();
        csv_row(cells.iter().map(String::as_str), &mut text);
    }
    text
}

#[cfg(test)]
mod tests;
