use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde::Serialize;

use crate::app::{FeedStatus, Question};

use super::error::CliError;
use super::files::default_data_dir;
use super::output::{Format, Rows, report};
use super::status::{ask_gate, describe_list};

#[derive(Debug, Args)]
pub(super) struct FetchArguments {
    /// The lists, by their names in the config [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The data directory of the gate [default: where `run` keeps it when nothing else is said]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// A table for eyes, or JSON for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// How lists stand after they were asked for.
#[derive(Serialize)]
struct Asked {
    lists: Vec<FeedStatus>,
}

/// Has the running gate fetch lists, and shows how they stand after that.
pub(super) fn fetch(arguments: FetchArguments) -> Result<(), CliError> {
    let FetchArguments { names, data_dir, format } = arguments;
    let data_dir = data_dir.unwrap_or_else(default_data_dir);
    let asked = ask_gate(&data_dir, &Question::Fetch { names: names.clone() }).map(|status| {
        let wanted = |list: &FeedStatus| names.is_empty() || names.contains(&list.name);
        Asked { lists: status.lists.into_iter().filter(wanted).collect() }
    });
    let lists = asked.iter().flat_map(|asked| &asked.lists);
    let failed: Vec<_> = lists.filter(|list| list.failure.is_some()).map(|list| list.name.clone()).collect();
    report(format, asked, rows)?;
    if failed.is_empty() { Ok(()) } else { Err(CliError::NotFetched(failed)) }
}

fn rows(asked: &Asked) -> Rows {
    asked.lists.iter().map(|list| ("list", describe_list(list))).collect()
}
