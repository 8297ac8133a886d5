use std::fmt::Write;

use serde::Serialize;

use crate::clock;
use crate::formats::read_table;
use crate::lists::{ReadList, ReadPolicy, Watched, read_users};
use crate::policy::{BadLine, Lint, NameCounts};

use super::arguments::{CheckArguments, CheckedFiles};
use super::error::{CliError, count};
use super::files::{give_internal, read, read_config, read_policy, unfetched};
use super::output::{Format, Rows, print, report};

/// What was found right.
#[derive(Serialize)]
struct Checked {
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<String>,
    policy: String,
    version: String,
    mode: &'static str,
    unknown: &'static str,
    rules: usize,
    /// Cases that hold; a policy with one that does not is refused.
    cases: usize,
    /// Rules whose exchanges may pass under a breakglass.
    essential_rules: usize,
    /// The files of host groups.
    lists: Vec<List>,
    /// Lists that a gate fetches, and that were taken as empty.
    unfetched: Vec<String>,
    warnings: Vec<Warning>,
}

/// A list of hosts.
#[derive(Serialize)]
struct List {
    file: String,
    names: u64,
    /// Patterns, each for all below a name.
    below: u64,
    addresses: u64,
    duplicates: u64,
    /// Entries that a pattern of the list contains.
    shadowed: u64,
    /// Names of hosts files that mean the machine itself.
    skipped: u64,
    /// Lines that are no hosts, left out.
    bad_lines: u64,
    first_bad_lines: Vec<BadListLine>,
}

#[derive(Serialize)]
struct BadListLine {
    line: u64,
    why: String,
}

/// What is seldom meant.
#[derive(Serialize)]
struct Warning {
    file: String,
    line: u32,
    code: &'static str,
    message: String,
    fix: String,
}

/// Checks a policy, a config, or both, and shows all problems of both at once; of a policy that has none, what
/// is seldom meant.
pub(super) fn check(arguments: &CheckArguments) -> Result<(), CliError> {
    let checked = check_files(&arguments.files);
    let warnings = checked.as_ref().map(|checked| checked.warnings.len()).unwrap_or_default();
    let shown = checked.as_ref().map(|checked| told(&checked.warnings)).unwrap_or_default();
    report(arguments.format, checked, rows)?;
    if arguments.format == Format::Text && warnings > 0 {
        print(&shown)?;
    }
    if arguments.deny_warnings && warnings > 0 { Err(CliError::Warnings(warnings)) } else { Ok(()) }
}

fn check_files(files: &CheckedFiles) -> Result<Checked, CliError> {
    let config = files.config.as_deref().map(read_config).transpose();
    let named = match &config {
        Ok(Some(config)) => config.policy.clone(),
        Ok(None) | Err(_) => None,
    };
    let path = files.policy.clone().or(named);
    let config = match config {
        Ok(config) => config,
        // Which policy a broken config names is not known; one that was given beside it is checked too.
        Err(error) => return Err(together(error, path.map(|path| read_policy(Some(&path), None, None)))),
    };
    let ReadPolicy { mut policy, file, lists, unfetched, .. } = read_policy(path.as_deref(), config.as_ref(), None)?;
    if let Some(settings) = config.as_ref().and_then(|config| config.authentication.as_ref()) {
        read_users(settings, &mut Watched::default()).map_err(CliError::Problems)?;
    }
    if let Some(table) = config.as_ref().and_then(|config| config.devices.table.as_deref()) {
        read_table(&table.display().to_string(), &read(table)?).map_err(CliError::Problems)?;
    }
    // A policy that is checked alone may be meant for any config.
    if let Some(config) = &config {
        policy = give_internal(policy, config)?;
    }
    Ok(Checked {
        config: files.config.as_ref().map(|path| path.display().to_string()),
        policy: file,
        version: policy.hash().to_owned(),
        mode: policy.mode().as_str(),
        unknown: policy.unknown().as_str(),
        rules: policy.rules(),
        cases: policy.cases(),
        essential_rules: policy.essential_rules(),
        lists: lists.into_iter().map(List::from).collect(),
        unfetched,
        warnings: policy.lint(clock::now()).into_iter().map(Warning::from).collect(),
    })
}

/// All problems of two files, where both have some.
fn together(first: CliError, second: Option<Result<ReadPolicy, CliError>>) -> CliError {
    match (first, second) {
        (CliError::Problems(mut all), Some(Err(CliError::Problems(more)))) => {
            all.extend(more);
            CliError::Problems(all)
        }
        (first, _) => first,
    }
}

fn rows(checked: &Checked) -> Rows {
    let mut rows = Vec::new();
    if let Some(config) = &checked.config {
        rows.push(("config", config.clone()));
    }
    rows.extend([
        ("policy", checked.policy.clone()),
        ("version", checked.version.clone()),
        ("mode", checked.mode.to_owned()),
        ("unknown", checked.unknown.to_owned()),
        ("rules", checked.rules.to_string()),
        ("cases", format!("{} hold", checked.cases)),
        ("essential", checked.essential_rules.to_string()),
    ]);
    rows.extend(checked.lists.iter().map(|list| ("list", list.in_words())));
    rows.extend(checked.unfetched.iter().map(|name| ("list", unfetched(name))));
    rows.push(("result", result(checked.warnings.len())));
    rows
}

fn result(warnings: usize) -> String {
    match warnings {
        0 => "no problem found".to_owned(),
        warnings => format!("no problem found; {}", count(warnings, "warning")),
    }
}

/// The warnings for eyes, an empty line before them.
fn told(warnings: &[Warning]) -> String {
    warnings.iter().fold("\n".to_owned(), |told, Warning { file, line, code, message, fix }| {
        told + &format!("{file}:{line}: warning: {message} ({code})\n    fix: {fix}\n")
    })
}

/// Bad lines of a list that are shown to people.
const BAD_LINES_SHOWN_MAX: usize = 10;

impl List {
    fn in_words(&self) -> String {
        let Self { file, names, below, addresses, duplicates, shadowed, skipped, bad_lines, .. } = self;
        let mut text = format!("{file}: {names} names, {below} with all below them, {addresses} addresses");
        for (number, what) in [(duplicates, "twice"), (shadowed, "below others"), (skipped, "of the machine itself")] {
            if *number > 0 {
                let _ = write!(text, "; {number} {what}");
            }
        }
        if *bad_lines > 0 {
            let lines = count(usize::try_from(*bad_lines).unwrap_or(usize::MAX), "line");
            let _ = write!(text, "\n  left out, for no hosts: {lines}");
            for bad in self.first_bad_lines.iter().take(BAD_LINES_SHOWN_MAX) {
                let _ = write!(text, "\n    line {}: {}", bad.line, bad.why);
            }
        }
        text
    }
}

impl From<ReadList> for List {
    fn from(list: ReadList) -> Self {
        let NameCounts { names, below, addresses, duplicates, shadowed, skipped } = list.counts;
        let first = list.bad_lines.first.into_iter().map(|BadLine { line, why }| BadListLine { line, why });
        Self {
            file: list.file.display().to_string(),
            names,
            below,
            addresses,
            duplicates,
            shadowed,
            skipped,
            bad_lines: list.bad_lines.count,
            first_bad_lines: first.collect(),
        }
    }
}

impl From<Lint> for Warning {
    fn from(lint: Lint) -> Self {
        let Lint { file, line, code, what, fix } = lint;
        Self { file: file.to_string(), line, code: code.as_str(), message: what, fix }
    }
}
