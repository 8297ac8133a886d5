use std::path::PathBuf;

use clap::{Subcommand, ValueHint};

use crate::store::{checkpoint_key, checkpoint_lines};

use super::error::CliError;
use super::files::default_data_dir;
use super::output::print;
use super::verify::around;

#[derive(Debug, Subcommand)]
pub(super) enum CheckpointCommand {
    /// Print the public key, as PEM
    Key {
        /// The data directory [default: where `run` keeps it when nothing else is said]
        #[arg(value_hint = ValueHint::DirPath)]
        data_dir: Option<PathBuf>,
    },
    /// Print the checkpoints, one a line, as they were signed
    List {
        /// The data directory [default: where `run` keeps it when nothing else is said]
        #[arg(value_hint = ValueHint::DirPath)]
        data_dir: Option<PathBuf>,
    },
}

/// Prints the key or the checkpoints.
pub(super) fn checkpoint(command: CheckpointCommand) -> Result<(), CliError> {
    match command {
        CheckpointCommand::Key { data_dir } => {
            let data_dir = data_dir.unwrap_or_else(default_data_dir);
            let data_dir = around(&data_dir);
            let key = checkpoint_key(data_dir)?.ok_or_else(|| CliError::NoCheckpoints(data_dir.to_owned()))?;
            print(&key.to_pem())
        }
        CheckpointCommand::List { data_dir } => {
            let data_dir = data_dir.unwrap_or_else(default_data_dir);
            let data_dir = around(&data_dir);
            let lines = checkpoint_lines(data_dir)?;
            if lines.is_empty() {
                return Err(CliError::NoCheckpoints(data_dir.to_owned()));
            }
            lines.iter().try_for_each(|line| print(&format!("{}\n", line.trim_end())))
        }
    }
}
