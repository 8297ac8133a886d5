use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use crate::app::{ClearanceStatus, Clearances, Which, ask_clearances, ask_revoke};

use super::arguments::notes;
use super::error::{CliError, count};
use super::files::default_data_dir;
use super::output::{Format, Rows, report};

#[derive(Debug, Subcommand)]
pub(super) enum ClearanceCommand {
    /// Show every clearance that holds, the one used last first
    #[command(after_help = notes!("sekisho clearance list", "sekisho clearance list /var/lib/sekisho"))]
    List {
        /// The data directory of the gate [default: where `run` keeps it when nothing else is said]
        #[arg(value_hint = ValueHint::DirPath)]
        data_dir: Option<PathBuf>,
        /// A table for eyes, or JSON for machines
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Take clearances back: their programs are challenged again; open tunnels go on
    #[command(after_help = notes!(
        "sekisho clearance revoke --client 10.20.1.5",
        "sekisho clearance revoke --program 0123456789abcdef0123456789abcdef /var/lib/sekisho"
    ))]
    Revoke(RevokeArguments),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(true).args(["program", "client", "user", "all"]))]
pub(super) struct RevokeArguments {
    /// That of one program, by its key in `list` and in records
    #[arg(long, value_name = "KEY", conflicts_with = "all")]
    pub(super) program: Option<String>,
    /// Those of all programs of one client
    #[arg(long, value_name = "ADDRESS", conflicts_with = "all")]
    pub(super) client: Option<IpAddr>,
    /// Those of all programs of one user, wherever they are
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub(super) user: Option<String>,
    /// All of them
    #[arg(long)]
    pub(super) all: bool,
    /// The data directory of the gate [default: where `run` keeps it when nothing else is said]
    #[arg(value_hint = ValueHint::DirPath)]
    pub(super) data_dir: Option<PathBuf>,
    /// A table for eyes, or JSON for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

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
