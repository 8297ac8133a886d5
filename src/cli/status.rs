use std::path::{Path, PathBuf};

use crate::app::{Status, ask_status};

use super::error::CliError;
use super::files::default_data_dir;
use super::output::{Format, Rows, report};

/// Asks the running gate how it is doing.
pub(super) fn status(data_dir: Option<PathBuf>, format: Format) -> Result<(), CliError> {
    let data_dir = data_dir.unwrap_or_else(default_data_dir);
    report(format, ask(&data_dir), rows)
}

fn ask(data_dir: &Path) -> Result<Status, CliError> {
    let failed = |source| CliError::NotAnswering { data_dir: data_dir.into(), source };
    let answer = ask_status(data_dir).map_err(failed)?;
    serde_json::from_str(&answer).map_err(|error| failed(error.into()))
}

fn rows(status: &Status) -> Rows {
    let Status { policy, connections, exchanges, journal, .. } = status;
    let mut rows = vec![
        ("gate", format!("{}, version {}, process {}", status.gate, status.version, status.pid)),
        ("up", format!("{} since {}", duration(status.up_seconds), status.since)),
        ("proxy", status.listening.join("\n")),
        ("policy", format!("{}, {} rules, version {}, {}", policy.file, policy.rules, policy.hash, policy.mode)),
        ("clients", format!("{} connected, at most {}", connections.open, connections.most)),
        ("tunnels", connections.tunnels.to_string()),
        ("silent", format!("{} connections closed on which nothing came", connections.silent)),
        ("exchanges", format!("{} let out, {} refused", exchanges.allowed, exchanges.refused)),
        ("records", format!("{} in {}", journal.records, journal.directory)),
    ];
    if connections.overflows > 0 {
        rows.push(("WARNING", format!("{} connections closed because too many were open", connections.overflows)));
    }
    if connections.overflows_of_clients > 0 {
        let count = connections.overflows_of_clients;
        rows.push(("WARNING", format!("{count} connections closed because their client had too many open")));
    }
    if connections.accept_failures > 0 {
        let count = connections.accept_failures;
        rows.push(("WARNING", format!("{count} times no client could be accepted: descriptors or memory ran out")));
    }
    if journal.lost > 0 {
        rows.push(("WARNING", format!("{} records were not accepted", journal.lost)));
    }
    if let Some(error) = &journal.last_error {
        rows.push(("WARNING", format!("nothing passes while no record can be written: {error}")));
    }
    rows
}

fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}
