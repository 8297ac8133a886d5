use serde::Serialize;

use crate::app::{ClearanceStatus, Clearances, Which, ask_clearances, ask_revoke};

use super::arguments::{ClearanceCommand, RevokeArguments};
use super::error::{CliError, count};
use super::files::default_data_dir;
use super::output::{Rows, report};

/// How many clearances were taken back.
#[derive(Serialize)]
struct Revoked {
    revoked: usize,
}

/// Shows what programs have shown to the running gate, or takes it back.
pub(super) fn clearance(command: ClearanceCommand) -> Result<(), CliError> {
    match command {
        ClearanceCommand::List { data_dir, format } => {
            let data_dir = data_dir.unwrap_or_else(default_data_dir);
            let asked = ask_clearances(&data_dir, None, None).map_err(|source| CliError::Ask { data_dir, source });
            report(format, asked, rows)
        }
        ClearanceCommand::Revoke(RevokeArguments { program, client, user, data_dir, format, .. }) => {
            let data_dir = data_dir.unwrap_or_else(default_data_dir);
            let client = client.map(|client| client.to_string());
            let which = Which { program, client, user };
            let asked = ask_revoke(&data_dir, which).map_err(|source| CliError::Ask { data_dir, source });
            report(format, asked.map(|revoked| Revoked { revoked }), |told| {
                vec![("revoked", count(told.revoked, "clearance"))]
            })
        }
    }
}

fn rows(told: &Clearances) -> Rows {
    let mut rows = vec![("clearances", told.count.to_string())];
    rows.extend(told.clearances.iter().map(|clearance| {
        let ClearanceStatus { program, client, user, user_agent, means, since, used, .. } = clearance;
        let user = user.as_deref().map(|user| format!(", {user}")).unwrap_or_default();
        ("program", format!("{program}   {client}{user}   by {means} since {since}, used {used}\n{user_agent}"))
    }));
    let hidden = told.count - told.clearances.len().min(told.count);
    if hidden > 0 {
        rows.push(("and", format!("{hidden} more")));
    }
    rows
}
