use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use crate::app::{Question, RestraintStatus, Status, ask_lift};

use super::arguments::notes;
use super::error::{CliError, count};
use super::files::default_data_dir;
use super::output::{Format, Rows, report};
use super::status::ask_gate;

#[derive(Debug, Subcommand)]
pub(super) enum RestraintCommand {
    /// Show every restraint that is in force, the one that ends first first
    #[command(after_help = notes!("sekisho restraint list", "sekisho restraint list /var/lib/sekisho"))]
    List {
        /// The data directory of the gate [default: where `run` keeps it when nothing else is said]
        #[arg(value_hint = ValueHint::DirPath)]
        data_dir: Option<PathBuf>,
        /// A table for eyes, or JSON for machines
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// End what a finding has imposed, or all of it
    #[command(after_help = notes!(
        "sekisho restraint lift 0123456789abcdef",
        "sekisho restraint lift --all --data-dir /var/lib/sekisho"
    ))]
    Lift(LiftArguments),
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["finding", "all"]))]
pub(super) struct LiftArguments {
    /// The finding, by its id in `list` and in records
    #[arg(value_name = "FINDING")]
    pub(super) finding: Option<String>,
    /// All restraints
    #[arg(long)]
    pub(super) all: bool,
    /// The data directory of the gate [default: where `run` keeps it when nothing else is said]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) data_dir: Option<PathBuf>,
    /// A table for eyes, or JSON for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

/// What is in force.
#[derive(Serialize)]
struct InForce {
    restraints: Vec<RestraintStatus>,
}

/// How many were lifted.
#[derive(Serialize)]
struct Lifted {
    lifted: usize,
}

/// Shows what findings have imposed in the running gate, or lifts it.
pub(super) fn restraint(command: RestraintCommand) -> Result<(), CliError> {
    match command {
        RestraintCommand::List { data_dir, format } => {
            let asked = ask_gate(&data_dir.unwrap_or_else(default_data_dir), &Question::Status);
            report(format, asked.map(|Status { restraints, .. }| InForce { restraints }), rows)
        }
        RestraintCommand::Lift(LiftArguments { finding, data_dir, format, .. }) => {
            let data_dir: PathBuf = data_dir.unwrap_or_else(default_data_dir);
            let asked = ask_lift(&data_dir, finding).map_err(|source| CliError::Ask { data_dir, source });
            report(format, asked.map(|lifted| Lifted { lifted }), |told| {
                vec![("lifted", count(told.lifted, "restraint"))]
            })
        }
    }
}

fn rows(in_force: &InForce) -> Rows {
    let mut rows = vec![("restraints", in_force.restraints.len().to_string())];
    rows.extend(in_force.restraints.iter().map(|restraint| {
        let RestraintStatus { act, client, target, program, until, finding_id, response } = restraint;
        let about = [("client", client), ("target", target), ("program", program)];
        let about: Vec<_> = about
            .into_iter()
            .filter_map(|(what, which)| which.as_ref().map(|which| format!("{what} {which}")))
            .collect();
        (
            "imposed",
            format!("{act}: {}\nuntil {until}, by finding {finding_id} and response {response}", about.join(", ")),
        )
    }));
    rows
}
