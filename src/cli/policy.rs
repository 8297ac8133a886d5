use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use crate::policy::{json_schema, lay_out};

use super::arguments::notes;
use super::error::{CliError, Role};
use super::output::{Format, Rows, print, report};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Lay policy files out evenly: order of keys, spaces, blank lines; comments and meaning are kept
    ///
    /// One blank line between tables, keys of a rule in one order, values below each other, lists on one line up to
    /// 100 columns. Comments move with the key or table they stand above or behind; rules and values stay as they
    /// are. A file is replaced whole and keeps its mode, owner and group; one that is laid out already is not touched. Where any of the
    /// files is no TOML, none is written.
    #[command(after_help = notes!(
        "sekisho policy fmt /etc/sekisho/policy.toml",
        "sekisho policy fmt --check *.toml",
        "sekisho policy fmt - < policy.toml | diff policy.toml -"
    ))]
    Fmt(FmtArguments),
    /// Print the JSON Schema (draft 2020-12) of a policy file
    ///
    /// Editors that know TOML complete keys by it, show what each is for, and mark what is wrong. Taplo and Even
    /// Better TOML take it from a first line like: #:schema policy.schema.json
    #[command(after_help = notes!("sekisho policy schema > policy.schema.json"))]
    Schema,
}

#[derive(Debug, Args)]
pub(super) struct FmtArguments {
    /// The policy files; `-` alone reads standard input and writes standard output
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// Write nothing; name the files that would change, and end with exit code 2 if there are any
    #[arg(long)]
    check: bool,
    /// A table for eyes, or JSON for machines; of no use with `-`
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// A longer file is no policy that a person lays out.
const BYTES_MAX: u64 = 16 << 20;

/// Does what concerns the text of policies alone.
pub(super) fn policy(command: &PolicyCommand) -> Result<(), CliError> {
    match command {
        PolicyCommand::Fmt(arguments) if arguments.files.iter().any(|file| is_standard(file)) => {
            lay_out_standard(arguments)
        }
        PolicyCommand::Fmt(arguments) => report(arguments.format, lay_out_files(arguments), rows),
        PolicyCommand::Schema => print(&json_schema()),
    }
}

/// What became of the files.
#[derive(Serialize)]
struct LaidOut {
    files: Vec<File>,
}

#[derive(Serialize)]
struct File {
    file: String,
    /// False where it was laid out already.
    changed: bool,
}

fn is_standard(file: &Path) -> bool {
    file == Path::new("-")
}

fn lay_out_standard(arguments: &FmtArguments) -> Result<(), CliError> {
    if arguments.files.len() > 1 {
        return Err(CliError::NotAlone);
    }
    let shown = PathBuf::from("-");
    let text = read_text(io::stdin().lock(), &shown)?;
    let laid = lay_out("-", &text).map_err(CliError::Problems)?;
    match (arguments.check, laid == text) {
        (false, _) => print(&laid),
        (true, true) => Ok(()),
        (true, false) => Err(CliError::NotLaidOut(vec![shown])),
    }
}

/// Reads all files before it writes any.
fn lay_out_files(arguments: &FmtArguments) -> Result<LaidOut, CliError> {
    let mut laid_out = Vec::new();
    let mut problems = Vec::new();
    for path in &arguments.files {
        let file = fs::File::open(path).map_err(|source| unread(path, source))?;
        let text = read_text(file, path)?;
        match lay_out(&path.display().to_string(), &text) {
            Ok(laid) => laid_out.push((path, (laid != text).then_some(laid))),
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        return Err(CliError::Problems(problems));
    }
    let changed = laid_out.iter().filter(|(_, laid)| laid.is_some());
    let changed: Vec<PathBuf> = changed.map(|(path, _)| path.to_path_buf()).collect();
    if arguments.check && !changed.is_empty() {
        return Err(CliError::NotLaidOut(changed));
    }
    for (path, laid) in &laid_out {
        let Some(laid) = laid else { continue };
        replace(path, laid).map_err(|source| CliError::Write { path: path.to_path_buf(), source })?;
    }
    let files = laid_out.iter().map(|(path, laid)| File { file: path.display().to_string(), changed: laid.is_some() });
    Ok(LaidOut { files: files.collect() })
}

fn rows(laid_out: &LaidOut) -> Rows {
    let word = |file: &File| if file.changed { "laid out" } else { "as it was" };
    laid_out.files.iter().map(|file| (word(file), file.file.clone())).collect()
}

fn read_text(from: impl Read, path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    let read = from.take(BYTES_MAX + 1).read_to_string(&mut text);
    let read = read.and_then(|_| match u64::try_from(text.len()) {
        Ok(length) if length <= BYTES_MAX => Ok(()),
        Ok(_) | Err(_) => Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 16 MiB")),
    });
    read.map_err(|source| unread(path, source))?;
    Ok(text)
}

fn unread(path: &Path, source: io::Error) -> CliError {
    CliError::Read { role: Role::Policy, path: path.into(), source }
}

/// Puts another text in the place of a file, or of the file that a link leads to: whoever reads it sees the one
/// or the other. It keeps its mode, owner and group, or it is left as it is.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let path = path.canonicalize()?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let replaced = write_beside(&path, &beside, text).and_then(|()| fs::rename(&beside, &path));
    if let Err(error) = replaced {
        // A file of that name that was there before is somebody else's.
        if error.kind() != io::ErrorKind::AlreadyExists {
            let _ = fs::remove_file(&beside);
        }
        return Err(error);
    }
    Ok(())
}

fn write_beside(path: &Path, beside: &Path, text: &str) -> io::Result<()> {
    let like = fs::metadata(path)?;
    let mut file = fs::File::create_new(beside)?;
    let made = file.metadata()?;
    if (made.uid(), made.gid()) != (like.uid(), like.gid()) {
        fchown(&file, Some(like.uid()), Some(like.gid()))?;
    }
    // After the owner, since a change of that may take bits of the mode away.
    file.set_permissions(like.permissions())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
