use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::store;

use super::error::CliError;
use super::files::default_data_dir;
use super::output::{Format, Rows, report};

/// A journal that was found whole.
#[derive(Serialize)]
struct Verified {
    journal: String,
    segments: usize,
    /// The first record that was checked.
    from: u64,
    records: u64,
    chain: String,
    torn_bytes: u64,
    /// Short records of a breakglass that the journal has not taken yet.
    reserve_records: u64,
}

/// Checks the journal of a data directory.
pub(super) fn verify(data_dir: Option<PathBuf>, from: u64, format: Format) -> Result<(), CliError> {
    let data_dir = data_dir.unwrap_or_else(default_data_dir);
    report(format, verify_journal(around(&data_dir), from), rows)
}

/// `run` prints the journal's own directory; taken for the data directory around it.
pub(super) fn around(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if path.ends_with("journal") && !path.join("journal").is_dir() => parent,
        _ => path,
    }
}

fn verify_journal(data_dir: &Path, from: u64) -> Result<Verified, CliError> {
    let journal = data_dir.join("journal");
    if !data_dir.exists() || (data_dir.is_dir() && matches!(journal.try_exists(), Ok(false))) {
        return Err(CliError::NoRecords(journal));
    }
    let report = store::verify(data_dir, from).map_err(CliError::Verify)?;
    // A gate writes a record as soon as it starts, so an empty journal is a removed one.
    if report.records == 0 {
        return Err(CliError::NoRecords(journal));
    }
    Ok(Verified {
        journal: journal.display().to_string(),
        segments: report.segments,
        from,
        records: report.records,
        chain: report.hash,
        torn_bytes: report.torn_bytes,
        reserve_records: report.reserve_records,
    })
}

fn rows(verified: &Verified) -> Rows {
    let mut rows = vec![
        ("journal", verified.journal.clone()),
        ("segments", verified.segments.to_string()),
        ("records", verified.records.to_string()),
        ("chain", verified.chain.clone()),
    ];
    if verified.from > 1 {
        let elsewhere = format!("records 1 to {} are elsewhere, and were not checked", verified.from - 1);
        rows.push(("from", format!("record {}: {elsewhere}", verified.from)));
    }
    if verified.torn_bytes > 0 {
        let torn = format!(
            "{} bytes after the last whole record: a gate is writing, or has crashed;\nthe next start cuts them off and records it",
            verified.torn_bytes
        );
        rows.push(("torn", torn));
    }
    if verified.reserve_records > 0 {
        let held = format!(
            "{} short records wait in it; a running gate takes them into the journal as soon as that can be written",
            verified.reserve_records
        );
        rows.push(("reserve", held));
    }
    rows.push(("result", "every record stands where and as it was written".to_owned()));
    rows
}
