use std::fmt::Write as _;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::evidence::Break;
use crate::store::OpenError;
use crate::tls::AuthorityError;

use super::error::CliError;

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Text,
    Json,
}

/// Rows of a table: what, and its value.
pub(super) type Rows = Vec<(&'static str, String)>;

/// A report as JSON: one object, whatever came out.
#[derive(Serialize)]
struct Report<'a, T> {
    ok: bool,
    #[serde(flatten)]
    facts: Option<&'a T>,
    problems: Vec<Fault>,
}

/// One problem, for a machine. What does not apply is absent.
#[derive(Debug, Default, Serialize)]
struct Fault {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    /// The number of the first record at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<u64>,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

/// Writes what came out: a table of `rows`, or JSON that holds errors too. The error goes on to the
/// caller in both cases, so that it is printed for eyes and chooses the exit code.
pub(super) fn report<T: Serialize>(
    format: Format,
    result: Result<T, CliError>,
    rows: impl FnOnce(&T) -> Rows,
) -> Result<(), CliError> {
    match format {
        Format::Text => print(&table(&rows(&result?))),
        Format::Json => {
            let problems = result.as_ref().err().map(faults).unwrap_or_default();
            let report = Report { ok: result.is_ok(), facts: result.as_ref().ok(), problems };
            let json = serde_json::to_string_pretty(&report).map_err(|error| CliError::Output(error.into()))?;
            print(&format!("{json}\n"))?;
            result.map(drop)
        }
    }
}

/// Writes to standard output. A reader that has read enough is no error.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    print_bytes(text.as_bytes())
}

/// Writes octets to standard output, as they are.
pub(super) fn print_bytes(content: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(content).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Rows as aligned columns; a value of several lines stays in its column.
pub(super) fn table(rows: &Rows) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (name, value) in rows {
        for (line, part) in value.lines().enumerate() {
            let name = if line == 0 { name } else { "" };
            let _ = writeln!(text, "{name:width$}   {part}");
        }
    }
    text
}

fn faults(error: &CliError) -> Vec<Fault> {
    let other = || Fault { message: error.to_string(), fix: error.hint().map(str::to_owned), ..Fault::default() };
    match error {
        CliError::Problems(problems) => problems
            .iter()
            .map(|problem| Fault {
                file: Some(problem.place.file.to_string()),
                line: Some(problem.place.line),
                column: Some(problem.place.column),
                message: problem.what.clone(),
                fix: Some(problem.fix.clone()),
                ..Fault::default()
            })
            .collect(),
        CliError::Refused(reloaded) => reloaded
            .problems
            .iter()
            .map(|problem| Fault {
                file: Some(problem.file.clone()),
                line: problem.line,
                column: problem.column,
                message: problem.message.clone(),
                fix: Some(problem.fix.clone()),
                ..Fault::default()
            })
            .collect(),
        CliError::Read { path, .. } | CliError::Page { path, .. } => {
            vec![Fault { file: Some(path.display().to_string()), ..other() }]
        }
        CliError::Verify(OpenError::Broken { segment, source }) => vec![Fault {
            file: Some(segment.display().to_string()),
            record: Some(first_at_fault(source)),
            message: source.to_string(),
            ..other()
        }],
        CliError::Verify(OpenError::Checkpoint { path, source }) => {
            vec![Fault { file: Some(path.display().to_string()), message: source.to_string(), ..other() }]
        }
        CliError::NotLaidOut(paths) => {
            paths.iter().map(|path| Fault { file: Some(path.display().to_string()), ..other() }).collect()
        }
        CliError::Authority(AuthorityError::Io { path, .. } | AuthorityError::Exposed { path, .. }) => {
            vec![Fault { file: Some(path.display().to_string()), ..other() }]
        }
        CliError::Partial(_)
        | CliError::NotWhole(_)
        | CliError::Seal(_)
        | CliError::NoHold(_)
        | CliError::NotIsolated(_)
        | CliError::NoLockdown
        | CliError::ConsoleUser(_)
        | CliError::TooWide(_)
        | CliError::NoDeviceNow { .. }
        | CliError::Ward(_)
        | CliError::NoNetwork(_)
        | CliError::NoGateAddress(_)
        | CliError::Gateway(_)
        | CliError::TakenBack
        | CliError::NotAsAsked(_)
        | CliError::GotThrough(_)
        | CliError::NothingTried
        | CliError::NothingBound(_)
        | CliError::Index(_)
        | CliError::Sql(_)
        | CliError::Stopped
        | CliError::NoPublicKey(_)
        | CliError::NoCheckpoints(_)
        | CliError::PartialAnswer(_)
        | CliError::Asked(_)
        | CliError::NoPart { .. }
        | CliError::App(_)
        | CliError::Authority(_)
        | CliError::NoSuchAuthority(_)
        | CliError::NotAlone
        | CliError::NoFinding(_)
        | CliError::NoTimeZone(_)
        | CliError::Target { .. }
        | CliError::NotFound(_)
        | CliError::Why
        | CliError::Over(_)
        | CliError::NoRule
        | CliError::NotMarked(_)
        | CliError::NoSuchRule(_)
        | CliError::Log { .. }
        | CliError::Unfetched(_)
        | CliError::NotFetched(_)
        | CliError::NotTaken(_)
        | CliError::Warnings(_)
        | CliError::Question { .. }
        | CliError::NoProgram { .. }
        | CliError::NoRecords(_)
        | CliError::Verify(
            OpenError::Io { .. }
            | OpenError::Locked(_)
            | OpenError::NotOurs { .. }
            | OpenError::WritableByOthers { .. },
        )
        | CliError::Journal(_)
        | CliError::Ask { .. }
        | CliError::Note { .. }
        | CliError::Exists(_)
        | CliError::Write { .. }
        | CliError::Executable(_)
        | CliError::NotForUnit { .. }
        | CliError::Output(_) => vec![other()],
    }
}

fn first_at_fault(found: &Break) -> u64 {
    match found {
        Break::Altered { seq } => *seq,
        Break::Missing { first, .. } => *first,
        Break::Reordered { expected, .. } => *expected,
        Break::NotARecord { after } => after + 1,
    }
}
