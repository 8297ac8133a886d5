use crate::app::{FeedStatus, Question};

use super::arguments::FetchArguments;
use super::error::CliError;
use super::files::default_data_dir;
use super::output::{Rows, report};
use super::status::{ask_gate, describe_list};

/// Has the running gate fetch lists, and shows how they stand after that.
pub(super) fn fetch(arguments: FetchArguments) -> Result<(), CliError> {
    let FetchArguments { names, data_dir, format } = arguments;
    let data_dir = data_dir.unwrap_or_else(default_data_dir);
    let asked = ask_gate(&data_dir, &Question::Fetch { names: names.clone() });
    let lists = asked.map(|status| {
        let wanted = |list: &FeedStatus| names.is_empty() || names.contains(&list.name);
        status.lists.into_iter().filter(wanted).collect::<Vec<_>>()
    });
    let failed: Vec<_> =
        lists.iter().flatten().filter(|list| list.failure.is_some()).map(|list| list.name.clone()).collect();
    report(format, lists, |lists| rows(lists))?;
    if failed.is_empty() { Ok(()) } else { Err(CliError::NotFetched(failed)) }
}

fn rows(lists: &[FeedStatus]) -> Rows {
    lists.iter().map(|list| ("list", describe_list(list))).collect()
}
