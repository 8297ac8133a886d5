use std::path::PathBuf;

use crate::app::{Outcome, Reloaded, ask_reload};

use super::error::CliError;
use super::files::default_data_dir;
use super::output::{Format, Rows, report};

/// Has the running gate read its policy again, and shows what came of it.
pub(super) fn reload(data_dir: Option<PathBuf>, format: Format) -> Result<(), CliError> {
    let data_dir = data_dir.unwrap_or_else(default_data_dir);
    let asked = ask_reload(&data_dir).map_err(|source| CliError::Ask { data_dir, source });
    let taken = asked.and_then(|reloaded| match reloaded.outcome {
        Outcome::InForce | Outcome::Unchanged => Ok(reloaded),
        Outcome::Refused => Err(CliError::Refused(Box::new(reloaded))),
    });
    report(format, taken, rows)
}

fn rows(reloaded: &Reloaded) -> Rows {
    let Reloaded { file, hash, rules, mode, hash_before, .. } = reloaded;
    let mut rows = vec![("policy", format!("{file}, {rules} rules, version {hash}, {mode}"))];
    if hash != hash_before {
        rows.push(("before", format!("version {hash_before}")));
    }
    if reloaded.credentials_changed {
        rows.push(("credentials", "changed: parents are shown the new ones from now on".to_owned()));
    }
    rows.push((
        "result",
        match reloaded.outcome {
            Outcome::Unchanged => "unchanged: it was in force already".to_owned(),
            Outcome::InForce | Outcome::Refused => format!("in force for every new request; {}", tunnels(reloaded)),
        },
    ));
    rows
}

fn tunnels(reloaded: &Reloaded) -> &'static str {
    match reloaded.tunnels.as_str() {
        "strict" => "open tunnels are judged by it now, and cut where it does not allow them",
        _ => "open tunnels go on (reload = \"strict\" in [policy] would judge them again)",
    }
}
