use std::collections::BTreeSet;

use clap::Args;
use serde::Serialize;

use crate::evidence::format_time;
use crate::review::{LearnOptions, Learnt, learn};

use super::arguments::JournalArguments;
use super::error::CliError;
use super::files::read_config;
use super::output::{Format, Rows, print, report};
use super::progress::ProgressLine;
use super::replay::open;

/// What was learnt, and of what.
#[derive(Serialize)]
struct Told {
    journal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(flatten)]
    learnt: Learnt,
}

#[derive(Debug, Args)]
pub(super) struct LearnArguments {
    #[command(flatten)]
    pub(super) journal: JournalArguments,
    /// A destination with fewer requests is rare, and left out
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(super) min_requests: u64,
    /// So is one with fewer clients, where its group has so many
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(super) min_clients: u64,
    /// So is one that was used on fewer days (UTC), where so many are on record; at most 31
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=31))]
    pub(super) min_days: u64,
    /// Where more names than this of one registrable domain were used, propose all below it; at most 64
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(super) max_names: u16,
    /// A policy in TOML, or all that was learnt in JSON
    #[arg(long, value_enum, default_value_t = LearntFormat::Toml)]
    pub(super) format: LearntFormat,
}

/// How a proposal is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LearntFormat {
    Toml,
    Json,
}

/// Proposes a policy from what is on record.
pub(super) fn learn_journal(arguments: &LearnArguments) -> Result<(), CliError> {
    let told = tell(arguments);
    match arguments.format {
        LearntFormat::Toml => print(&told?.learnt.to_policy()),
        LearntFormat::Json => report(Format::Json, told, |_| Rows::new()),
    }
}

fn tell(arguments: &LearnArguments) -> Result<Told, CliError> {
    let config = arguments.journal.config.as_deref().map(read_config).transpose()?;
    let mut opened = open(&arguments.journal, config.as_ref())?;
    let options = LearnOptions {
        since: opened.since,
        requests_min: arguments.min_requests,
        clients_min: arguments.min_clients,
        days_min: arguments.min_days,
        names_max: usize::from(arguments.max_names),
        doubted: BTreeSet::new(),
    };
    let mut line = ProgressLine::new();
    let learnt = learn(&mut opened.reader, &options, |at| line.show(at));
    drop(line);
    Ok(Told {
        journal: opened.journal,
        since: opened.since.map(format_time),
        learnt: learnt.map_err(CliError::Journal)?,
    })
}
