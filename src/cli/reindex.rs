use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde::Serialize;

use crate::evidence::Bytes;
use crate::review::Progress;
use crate::store::{IndexError, Rebuilt, reindex};

use super::error::{CliError, count};
use super::files::default_data_dir;
use super::output::{Format, Rows, report};
use super::progress::ProgressLine;
use super::verify::around;

#[derive(Debug, Args)]
pub(super) struct ReindexArguments {
    /// The data directory [default: where `run` keeps it when nothing else is said]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// A table for eyes, or JSON for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Serialize)]
struct Told {
    journal: String,
    records: u64,
    unreadable: u64,
    /// Sealed segments of which something could not be unpacked.
    damaged: Vec<String>,
    index_bytes: u64,
}

/// Builds the index anew.
pub(super) fn reindex_journal(arguments: &ReindexArguments) -> Result<(), CliError> {
    let data_dir = arguments.data_dir.clone().unwrap_or_else(default_data_dir);
    let data_dir = around(&data_dir);
    let journal = data_dir.join("journal");
    if matches!(journal.try_exists(), Ok(false)) {
        return Err(CliError::NoRecords(journal));
    }
    let mut line = ProgressLine::new();
    let rebuilt = reindex(data_dir, |read, all| line.show(Progress { read, all }));
    drop(line);
    let rebuilt = rebuilt.map_err(CliError::from);
    let lost = rebuilt.as_ref().map_or(0, |rebuilt| rebuilt.indexed.unreadable + rebuilt.damaged.len() as u64);
    let told = rebuilt.map(|Rebuilt { indexed, bytes, damaged }| Told {
        journal: journal.display().to_string(),
        records: indexed.records,
        unreadable: indexed.unreadable,
        damaged: damaged.into_iter().map(|(path, why)| format!("{}: {why}", path.display())).collect(),
        index_bytes: bytes,
    });
    report(arguments.format, told, rows)?;
    if lost > 0 { Err(CliError::Partial(lost)) } else { Ok(()) }
}

fn rows(told: &Told) -> Rows {
    let mut rows = vec![
        ("journal", told.journal.clone()),
        ("records", told.records.to_string()),
        ("index", Bytes(told.index_bytes as f64).to_string()),
    ];
    if told.unreadable > 0 {
        rows.push(("unreadable", count(told.unreadable as usize, "line")));
    }
    rows.extend(told.damaged.iter().map(|damaged| ("damaged", damaged.clone())));
    rows
}

impl From<IndexError> for CliError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Journal(error) => CliError::Journal(error),
            error => CliError::Index(Box::new(error)),
        }
    }
}
