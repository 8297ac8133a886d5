use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use crate::app::{AlertTried, ask_alerts};
use crate::evidence::shown;

use super::arguments::notes;
use super::error::CliError;
use super::files::default_data_dir;
use super::output::{Format, Rows, report};

#[derive(Debug, Subcommand)]
pub(super) enum AlertCommand {
    /// Send a receiver a test, past all that waits and whatever its rules are, and show what it says to that
    #[command(after_help = notes!(
        "sekisho alert test",
        "sekisho alert test mail --data-dir /var/lib/sekisho",
        "sekisho alert test --format json | jq '.tried[] | select(.error)'"
    ))]
    Test(TestArguments),
}

#[derive(Debug, Args)]
pub(super) struct TestArguments {
    /// The name of one, as in [alerts.NAME] [default: all]
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// The data directory of the gate [default: where `run` keeps it when nothing else is said]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// How to write it
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// What each receiver said.
#[derive(Serialize)]
struct Tried {
    tried: Vec<AlertTried>,
}

/// Has the running gate send tests: as its user, from where it runs, by the config that it has read.
pub(super) fn alert(command: AlertCommand) -> Result<(), CliError> {
    let AlertCommand::Test(TestArguments { name, data_dir, format }) = command;
    let data_dir = data_dir.unwrap_or_else(default_data_dir);
    let tried = ask_alerts(&data_dir, name).map_err(|source| CliError::Ask { data_dir, source });
    let tried = tried.map(|tried| Tried { tried });
    let failed = tried.iter().flat_map(|tried| &tried.tried).filter(|one| one.error.is_some());
    let failed: Vec<_> = failed.map(|one| one.name.clone()).collect();
    report(format, tried, rows)?;
    if failed.is_empty() { Ok(()) } else { Err(CliError::NotTaken(failed)) }
}

fn rows(tried: &Tried) -> Rows {
    let row = |AlertTried { name, to, taken, error }: &AlertTried| {
        let (what, said) = match (taken, error) {
            (_, Some(error)) => ("NOT TAKEN", error.as_str()),
            (Some(said), None) => ("taken", said.as_str()),
            (None, None) => ("taken", ""),
        };
        (what, format!("{} ({}): {}", shown(name), shown(to), shown(said)))
    };
    tried.tried.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::output::table;
    use super::*;

    #[test]
    fn what_each_receiver_said_is_shown_and_no_escape_reaches_the_terminal() {
        let one = |name: &str, taken: Option<&str>, error: Option<&str>| AlertTried {
            name: name.into(),
            to: "syslog tls log.example:6514".into(),
            taken: taken.map(str::to_owned),
            error: error.map(str::to_owned),
        };
        let tried = vec![one("log", Some("250 ok\u{1b}[2J"), None), one("soc", None, Some("it answered 500"))];
        assert_eq!(
            table(&rows(&Tried { tried })),
            "taken       log (syslog tls log.example:6514): 250 ok\\u{1b}[2J\n\
             NOT TAKEN   soc (syslog tls log.example:6514): it answered 500\n"
        );
    }
}
