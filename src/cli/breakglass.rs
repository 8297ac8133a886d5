use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::app::{BREAKGLASS_MINUTES_MAX, Question, Status};

use super::error::CliError;
use super::files::default_data_dir;
use super::output::{Format, Rows, report};
use super::status::{ask_gate, describe_breakglass};

#[derive(Debug, Args)]
#[command(override_usage = "sekisho breakglass --minutes <N> --reason <TEXT> [DATA_DIR]\n       sekisho breakglass --end [DATA_DIR]",
    group = clap::ArgGroup::new("what").required(true).args(["minutes", "end"]))]
pub(super) struct BreakglassArguments {
    /// For how long, 1 to 1440
    #[arg(long, value_name = "N", requires = "reason",
          value_parser = clap::value_parser!(u64).range(1..=BREAKGLASS_MINUTES_MAX))]
    pub(super) minutes: Option<u64>,
    /// Why; it goes on record
    #[arg(long, value_name = "TEXT", requires = "minutes")]
    pub(super) reason: Option<String>,
    /// End it now
    #[arg(long, conflicts_with_all = ["minutes", "reason"])]
    pub(super) end: bool,
    /// The data directory of the gate [default: where `run` keeps it when nothing else is said]
    #[arg(value_hint = ValueHint::DirPath)]
    pub(super) data_dir: Option<PathBuf>,
    /// A table for eyes, or JSON for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

/// Has the running gate let essential rules pass while it can write no record, or ends that.
pub(super) fn breakglass(arguments: BreakglassArguments) -> Result<(), CliError> {
    let data_dir = arguments.data_dir.unwrap_or_else(default_data_dir);
    let question = match (arguments.minutes, arguments.reason) {
        (Some(minutes), Some(reason)) => Question::Breakglass { minutes, reason },
        // The command line has one or the other.
        _ => Question::MendGlass,
    };
    report(arguments.format, ask_gate(&data_dir, &question), rows)
}

fn rows(status: &Status) -> Rows {
    let Some(breakglass) = &status.breakglass else {
        return vec![("breakglass", "ended: without a record nothing passes".to_owned())];
    };
    let mut rows = vec![("breakglass", describe_breakglass(breakglass, status.exchanges.on_reserve))];
    if breakglass.essential_rules == 0 {
        rows.push((
            "WARNING",
            "no rule of the policy in force is marked `essential`, so nothing passes: mark one (essential = true),\n\
             which the gate takes up within two seconds, on a full disk too"
                .to_owned(),
        ));
    }
    if status.disk.level != "full" && status.journal.last_error.is_none() {
        rows.push(("note", "records can be written at the moment, so it changes nothing yet".to_owned()));
    }
    match &status.disk.reserve {
        Some(reserve) => rows.push((
            "reserve",
            format!(
                "{} of {} KiB used; when it is full nothing passes",
                reserve.used_bytes.div_ceil(1024),
                reserve.room_bytes / 1024
            ),
        )),
        None => rows.push((
            "WARNING",
            "there is no reserve to record in, so nothing passes: see reserve_mib in the config".to_owned(),
        )),
    }
    rows
}
