use std::collections::BTreeSet;

use serde::Serialize;

use crate::evidence::format_time;
use crate::review::{LearnOptions, Learnt, learn};

use super::arguments::{LearnArguments, LearntFormat};
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
