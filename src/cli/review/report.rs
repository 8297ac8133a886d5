use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use crate::clock;
use crate::review::{Month, Verification, month_report, report_page};
use crate::store::Index;

use super::super::error::CliError;
use super::super::output::print;
use super::super::page_file::PageFile;

#[derive(Debug, Args)]
pub(super) struct ReportArguments {
    /// The month, such as 2026-11, of UTC as segments are [default: the last one that is over]
    #[arg(long, value_name = "YYYY-MM")]
    month: Option<Month>,
    /// Where the page is written; its owner alone may read it [default: standard output]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

/// Verifies the journal, and writes the month's report: as a page, or as JSON.
pub(super) fn report(arguments: &ReportArguments, data_dir: &Path, as_json: bool) -> Result<(), CliError> {
    let page = arguments.output.as_deref().map(PageFile::at).transpose()?;
    let now = clock::now();
    let month = arguments.month.unwrap_or_else(|| Month::before(now));
    let verification = Verification::of_journal(data_dir)?;
    let is_whole = verification.is_whole;
    let report = month_report(&Index::open(data_dir)?, month, verification, now)?;
    let text = if as_json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| CliError::Output(error.into()))?;
        format!("{json}\n")
    } else {
        report_page(&report)
    };
    match page {
        Some(page) if !as_json => page.write(&text)?,
        Some(_) | None => print(&text)?,
    }
    // What it says of the journal is said by the exit code too.
    if is_whole { Ok(()) } else { Err(CliError::NotWhole(report.verification.words.join("; "))) }
}
