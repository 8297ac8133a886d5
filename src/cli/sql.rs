use std::fmt::Write as _;
use std::io::{self, BufWriter, Read as _};
use std::path::{Path, PathBuf};
use std::thread;

use clap::{Args, ValueEnum, ValueHint};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::app::{Note, note, this_person};
use crate::evidence::{Lookup, Text};
use crate::review::{SQL_BYTES_MAX, SqlError, sql};
use crate::store::{INDEX_FILE, Index, IndexError, VIEWS};

use super::error::CliError;
use super::files::default_data_dir;
use super::output::print;
use super::verify::around;

mod rows;

use rows::Rows;

#[derive(Debug, Args)]
pub(super) struct SqlArguments {
    /// One statement that reads, as SQLite has it; `-` reads it from standard input
    #[arg(value_name = "SQL", required_unless_present = "schema", conflicts_with = "schema")]
    statement: Option<String>,
    /// How the answer is written
    #[arg(long, value_enum, default_value_t = SqlFormat::Table)]
    format: SqlFormat,
    /// Show what can be asked: the views, with the meaning of each column
    #[arg(long)]
    schema: bool,
    /// The data directory [default: where `run` keeps it when nothing else is said]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SqlFormat {
    /// Columns for eyes, as wide as the first rows need
    Table,
    /// A table (RFC 4180) with a head; cells that a spreadsheet would run as a formula get an apostrophe
    Csv,
    /// An array with an object a row
    Json,
}

/// Answers by SQL. Ctrl-C ends it at once.
pub(super) fn ask_sql(arguments: SqlArguments) -> Result<(), CliError> {
    let Some(statement) = arguments.statement else { return print(&schema()) };
    let statement = if statement == "-" { read_statement()? } else { statement };
    let data_dir = arguments.data_dir.unwrap_or_else(default_data_dir);
    let data_dir = around(&data_dir).to_owned();
    let format = arguments.format;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(CliError::Output)?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Output)?;
        let (tell, mut told) = oneshot::channel();
        // Whatever it waits for, the disk or a reader of the answer, this does not wait for it.
        thread::spawn(move || tell.send(answer(&data_dir, &statement, format)));
        tokio::select! {
            _ = interrupt.recv() => Err(CliError::Stopped),
            answered = &mut told => answered.unwrap_or(Err(CliError::Stopped)),
        }
    })
}

fn answer(data_dir: &Path, statement: &str, format: SqlFormat) -> Result<(), CliError> {
    let index = data_dir.join(INDEX_FILE);
    if matches!(index.try_exists(), Ok(false)) {
        return Err(CliError::from(IndexError::None(index)));
    }
    looked_up(data_dir, statement)?;
    let mut rows = Rows::new(format, BufWriter::with_capacity(1 << 16, io::stdout()));
    let answered = sql(data_dir, statement, &mut rows);
    let answered = answered.and_then(|()| rows.end().map_err(SqlError::Write));
    match answered {
        // A reader that has read enough is no error.
        Err(SqlError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(SqlError::Write(error)) => Err(CliError::Output(error)),
        Err(SqlError::Index(error)) => Err(error.into()),
        Err(error) => {
            // What was found before it failed is shown.
            let _ = rows.flush();
            Err(CliError::Sql(Box::new(error)))
        }
        Ok(()) => {
            let unread = unread(data_dir)?;
            if unread.is_empty() { Ok(()) } else { Err(CliError::PartialAnswer(unread)) }
        }
    }
}

/// What of the journal the index does not have.
fn unread(data_dir: &Path) -> Result<Vec<String>, CliError> {
    let index = Index::open(data_dir)?;
    let mut unread: Vec<_> = index.unread_segments()?.into_iter().map(|(name, why)| format!("{name}: {why}")).collect();
    let lines = index.indexed()?.unreadable;
    if lines > 0 {
        unread.push(format!("{lines} lines of the journal are no records"));
    }
    Ok(unread)
}

/// Of a statement nobody can say whose records it looks at: it goes on record itself, before anything is shown.
fn looked_up(data_dir: &Path, statement: &str) -> Result<(), CliError> {
    let lookup = Lookup {
        who: this_person(),
        question: Text::from(&*format!("sql: {statement}")),
        client: None,
        user: None,
        device: None,
        since: None,
        until: None,
    };
    note(data_dir, Note::Lookup(lookup)).map_err(|source| CliError::Note { data_dir: data_dir.to_owned(), source })
}

fn read_statement() -> Result<String, CliError> {
    let failed = |source| CliError::Log { path: "-".into(), source };
    let mut statement = String::new();
    // One byte more than may be is refused for its length.
    io::stdin().take(SQL_BYTES_MAX as u64 + 1).read_to_string(&mut statement).map_err(failed)?;
    Ok(statement)
}

/// What can be asked.
fn schema() -> String {
    let mut text = String::from(
        "Times are text in UTC, as 2026-11-26T09:15:00.000000Z: they sort and compare as they are. What is not known is NULL.\n\
         Names are as others sent them. Tables of other names belong to the index, and change with its versions.\n",
    );
    for view in VIEWS {
        let _ = writeln!(text, "\n{}: {}", view.name, view.meaning);
        for (column, meaning) in view.columns {
            let _ = writeln!(text, "  {column:<14}{meaning}");
        }
    }
    text
}
