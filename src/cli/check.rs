use serde::Serialize;

use crate::lists::ReadPolicy;

use super::arguments::{CheckArguments, CheckedFiles};
use super::error::CliError;
use super::files::{give_internal, read_config, read_policy};
use super::output::{Rows, report};

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
}

/// Checks a policy, a config, or both, and shows all problems of both at once.
pub(super) fn check(arguments: &CheckArguments) -> Result<(), CliError> {
    report(arguments.format, check_files(&arguments.files), rows)
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
        Err(error) => return Err(together(error, path.map(|path| read_policy(Some(&path))))),
    };
    let ReadPolicy { mut policy, file, .. } = read_policy(path.as_deref())?;
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
        ("result", "no problem found".to_owned()),
    ]);
    rows
}
