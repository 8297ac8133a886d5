use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde::Serialize;

use crate::evidence::CheckpointKey;
use crate::store::{self, VerifyBy, checkpoint_key, read_checkpoints};

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
    /// Segments that are sealed, and the last record that a checkpoint vouches for.
    sealed: usize,
    vouched_to: u64,
    /// The id of the key that signed them, and where that is from.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_from: Option<String>,
    /// Checkpoints from off the machine that fit.
    elsewhere: usize,
    /// Records of days that went as the config has it, by a record that a checkpoint vouches for.
    dropped: u64,
    torn_bytes: u64,
    /// Short records of a breakglass that the journal has not taken yet.
    reserve_records: u64,
}

#[derive(Debug, Args)]
pub(super) struct VerifyArguments {
    /// The data directory [default: where `run` keeps it when nothing else is said]
    #[arg(value_hint = ValueHint::DirPath)]
    pub(super) data_dir: Option<PathBuf>,
    /// The record with which the first segment begins that is still there [default: 1, or something is missing]
    #[arg(long, value_name = "RECORD", default_value_t = 1, hide_default_value = true,
          value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) from: u64,
    /// The public key by which checkpoints are to be signed, in a file: PEM or hexadecimal [default: the one beside the
    /// journal, which whoever holds the machine could have exchanged]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) key: Option<PathBuf>,
    /// Checkpoints that were sent off the machine: a file of lines, or a directory of files
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub(super) checkpoints: Option<PathBuf>,
    /// A table for eyes, or JSON for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

/// Checks the journal of a data directory.
pub(super) fn verify(arguments: &VerifyArguments) -> Result<(), CliError> {
    let data_dir = arguments.data_dir.clone().unwrap_or_else(default_data_dir);
    report(arguments.format, verify_journal(around(&data_dir), arguments), rows)
}

/// `run` prints the journal's own directory; taken for the data directory around it.
pub(super) fn around(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if path.ends_with("journal") && !path.join("journal").is_dir() => parent,
        _ => path,
    }
}

fn verify_journal(data_dir: &Path, arguments: &VerifyArguments) -> Result<Verified, CliError> {
    let journal = data_dir.join("journal");
    if !data_dir.exists() || (data_dir.is_dir() && matches!(journal.try_exists(), Ok(false))) {
        return Err(CliError::NoRecords(journal));
    }
    let from = arguments.from;
    let (key, key_from) = match &arguments.key {
        Some(path) => (Some(read_key(path)?), path.display().to_string()),
        None => (checkpoint_key(data_dir)?, "the key beside the journal".to_owned()),
    };
    let elsewhere = arguments
        .checkpoints
        .as_deref()
        .map(|path| read_checkpoints(path).map_err(|source| CliError::Log { path: path.to_owned(), source }));
    let by = VerifyBy { from, key: key.clone(), elsewhere: elsewhere.transpose()?.unwrap_or_default() };
    let report = store::verify(data_dir, &by).map_err(CliError::Verify)?;
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
        sealed: report.sealed,
        vouched_to: report.vouched_to,
        key: key.filter(|_| report.vouched_to > 0).map(|key| key.id()),
        key_from: (report.vouched_to > 0).then_some(key_from),
        elsewhere: report.elsewhere,
        dropped: report.dropped,
        torn_bytes: report.torn_bytes,
        reserve_records: report.reserve_records,
    })
}

fn rows(verified: &Verified) -> Rows {
    let mut rows = vec![
        ("journal", verified.journal.clone()),
        ("segments", format!("{}, {} of them sealed", verified.segments, verified.sealed)),
        ("records", verified.records.to_string()),
        ("chain", verified.chain.clone()),
    ];
    if verified.from > 1 {
        let elsewhere = format!("records 1 to {} are elsewhere, and were not checked", verified.from - 1);
        rows.push(("from", format!("record {}: {elsewhere}", verified.from)));
    }
    if verified.dropped > 0 {
        let why = "records of days that are kept no longer; a record says so, for which a checkpoint vouches";
        rows.push(("gone", format!("{} {why}", verified.dropped)));
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
    let vouched = match (&verified.key, &verified.key_from) {
        (Some(key), Some(from)) => format!(
            "records up to {} by checkpoints of key {key} ({from}), of which {} were sent off the machine and fit",
            verified.vouched_to, verified.elsewhere
        ),
        _ => "by no checkpoint yet: whoever holds the machine could have written all of it anew".to_owned(),
    };
    rows.push(("vouched for", vouched));
    rows.push(("result", "every record stands where and as it was written".to_owned()));
    rows
}

/// A public key from a file.
fn read_key(path: &Path) -> Result<CheckpointKey, CliError> {
    let text = std::fs::read_to_string(path).map_err(|source| CliError::Log { path: path.to_owned(), source })?;
    CheckpointKey::parse(&text).ok_or_else(|| CliError::NoPublicKey(path.to_owned()))
}
