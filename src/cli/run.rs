use std::net::SocketAddr;

use crate::app::{self, Parts};
use crate::config::Config;
use crate::lists::{Shelf, Source, Watched};
use crate::policy::{Policy, VerdictKind};

use super::arguments::RunArguments;
use super::error::CliError;
use super::files::{default_data_dir, read_config};
use super::output::{Rows, print, table};

/// Runs the gate until it is told to end.
pub(super) fn run(arguments: RunArguments) -> Result<(), CliError> {
    let mut config = match &arguments.config {
        Some(path) => read_config(path)?,
        None => Config::default(),
    };
    if !arguments.listen.is_empty() {
        config.listen = arguments.listen;
    }
    let path = arguments.policy.or_else(|| config.policy.clone());
    let internal = config.internal.as_ref().map(|internal| internal.places.clone());
    let data_dir = arguments.data_dir.or_else(|| config.data_dir.clone()).unwrap_or_else(default_data_dir);
    let shelf = Shelf::new(Some(&data_dir));
    let source = Source { path, internal, observe: arguments.observe, shelf };
    let mut watched = Watched::default();
    let read = source.read(&mut watched)?;
    let policy = &read.policy;
    let journal = data_dir.join("journal");
    let shown = if read.built_in { "built in".to_owned() } else { read.file.clone() };
    let mut rows = vec![
        ("records", journal.display().to_string()),
        ("policy", format!("{shown} ({}, version {})", count_of_rules(policy), policy.hash())),
        ("mode", describe_mode(policy).to_owned()),
    ];
    let stop = format!("Ctrl-C or SIGTERM; what is open gets {} s to finish", config.drain_timeout.as_secs());
    let wanted = config.connections_max;
    let ready = app::prepare(Parts { config, data_dir, source, read, watched })?;
    rows.splice(0..0, ready.addresses().iter().map(|address| ("proxy", describe_address(*address))));
    let most = ready.connections_max();
    if most < wanted {
        let text = format!(
            "at most {most} connections, not {wanted}: raise the number of open files (LimitNOFILE, ulimit -n)"
        );
        rows.push(("clients", text));
    }
    rows.push(("stop", stop));
    welcome(&rows);
    ready.run()?;
    Ok(())
}

/// A gate whose standard output is closed still serves.
fn welcome(rows: &Rows) {
    let _ = print(&table(rows));
}

/// Scripts read the address: it is the second word of the line.
fn describe_address(address: SocketAddr) -> String {
    format!("{address}   set this as the proxy for HTTP and for HTTPS")
}

fn count_of_rules(policy: &Policy) -> String {
    match policy.rules() {
        1 => "1 rule".to_owned(),
        count => format!("{count} rules"),
    }
}

fn describe_mode(policy: &Policy) -> &'static str {
    match (policy.observes(), policy.unknown(), policy.rules()) {
        (true, _, _) => {
            "observe: everything but special-purpose addresses passes,\n\
             and what would have been refused is on record"
        }
        (false, VerdictKind::Allow, _) => {
            "enforce, but the policy says unknown = \"allow\":\n\
             what no rule names passes"
        }
        (false, VerdictKind::Deny | VerdictKind::Challenge, 0) => {
            "enforce: nothing is allowed yet. `sekisho init DIR` writes a policy to start from;\n\
             `sekisho run --observe` lets everything through and records what would have been refused"
        }
        (false, VerdictKind::Deny | VerdictKind::Challenge, _) => "enforce: what no rule allows is refused",
    }
}
