//! The command line: what a person types, and what they read back.
//!
//! In: arguments and the files they name, read whole or refused whole. Out: text for eyes or JSON for
//! machines on standard output; an error with its hint and exit code for `main` to print. Each command
//! is a file of this room; what it does is done by the rooms above.

mod alert;
mod arguments;
mod breakglass;
mod ca;
mod check;
mod checkpoint;
mod clearance;
mod console;
mod contingency;
mod clients;
mod device;
mod egress;
mod error;
mod explain;
mod export;
mod fetch;
mod files;
mod hold;
mod hunt;
mod init;
mod learn;
mod output;
mod page_file;
mod policy;
mod probe;
mod progress;
mod reach;
mod reindex;
mod replay;
mod restraint;
mod reload;
mod review;
mod run;
mod sql;
mod status;
mod terminal;
mod triage;
mod verify;

use std::path::Path;

use clap::{CommandFactory, Parser};

use arguments::{Arguments, Command};

pub use error::{CliError, Role};

/// Runs what the command line asks for.
///
/// # Errors
/// What went wrong; [`CliError::exit_code`] and [`CliError::hint`] belong to it.
pub fn main() -> Result<(), CliError> {
    match Arguments::parse().command {
        Command::Run(arguments) => run::run(arguments),
        Command::Init { directory } => init::init(&directory),
        Command::Check(arguments) => check::check(&arguments),
        Command::Explain(arguments) => explain::explain_request(&arguments),
        Command::Checkpoint { command } => checkpoint::checkpoint(command),
        Command::Sql(arguments) => sql::ask_sql(arguments),
        Command::Reindex(arguments) => reindex::reindex_journal(&arguments),
        Command::Verify(arguments) => verify::verify(&arguments),
        Command::Breakglass(arguments) => breakglass::breakglass(arguments),
        Command::Learn(arguments) => learn::learn_journal(&arguments),
        Command::Policy { command } => policy::policy(&command),
        Command::Hunt(arguments) => hunt::hunt_logs(&arguments),
        Command::Export(arguments) => export::export_journal(&arguments),
        Command::Review(arguments) => review::review(&arguments),
        Command::Replay(arguments) => replay::replay_journal(&arguments),
        Command::Clearance { command } => clearance::clearance(command),
        Command::Restraint { command } => restraint::restraint(command),
        Command::Device { command } => device::device(command),
        Command::Egress { command } => egress::egress(command),
        Command::Clients(arguments) => clients::clients(arguments),
        Command::Triage { command } => triage::triage(command),
        Command::Hold { command } => hold::hold(command),
        Command::Console { command } => console::console(command),
        Command::Isolate(arguments) => contingency::isolate(&arguments),
        Command::Release(arguments) => contingency::release(&arguments),
        Command::Lockdown(arguments) => contingency::lockdown(&arguments),
        Command::Ca { command } => ca::ca(command),
        Command::Fetch(arguments) => fetch::fetch(arguments),
        Command::Alert { command } => alert::alert(command),
        Command::Reload { data_dir, format } => reload::reload(data_dir, format),
        Command::Status { data_dir, format } => status::status(data_dir, format),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "sekisho", &mut script);
            output::print(&String::from_utf8_lossy(&script))
        }
        Command::Man { directory } => write_pages(&directory),
    }
}

fn write_pages(directory: &Path) -> Result<(), CliError> {
    let pages = || {
        std::fs::create_dir_all(directory)?;
        clap_mangen::generate_to(Arguments::command(), directory)
    };
    pages().map_err(|source| CliError::Write { path: directory.into(), source })
}
