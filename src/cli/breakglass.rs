use crate::app::{Question, Status};

use super::arguments::BreakglassArguments;
use super::error::CliError;
use super::files::default_data_dir;
use super::output::{Rows, report};
use super::status::{ask_gate, describe_breakglass};

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
