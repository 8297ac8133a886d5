use std::net::SocketAddr;
use std::time::Duration;

use crate::app::{self, Feeds, Parts, StartAs};
use crate::config::Config;
use crate::lists::{ReadError, ReadPolicy, Shelf, Source, Watched, read_users};
use crate::policy::{Policy, VerdictKind};

use super::arguments::RunArguments;
use super::error::CliError;
use super::files::{data_dir_of, feed_files, read_config};
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
    let data_dir = data_dir_of(&config, arguments.data_dir.as_deref());
    let (shelf, feeds) = (Shelf::new(Some(&data_dir)), feed_files(&config, &data_dir));
    let source = Source { path, internal, observe: arguments.observe, shelf, feeds };
    let mut feeds = match config.lists.is_empty() {
        true => None,
        false => Some(Feeds::new(&config, &data_dir)?),
    };
    let mut watched = Watched::default();
    let read = read(&source, &mut watched, feeds.as_mut())?;
    let users = config.authentication.as_ref().map(|settings| read_users(settings, &mut watched));
    let users = users.transpose().map_err(CliError::Problems)?;
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
    let start = if arguments.take_over { StartAs::Next } else { StartAs::Alone };
    let ready = app::prepare(Parts { config, data_dir, source, read, watched, feeds, users, start })?;
    rows.splice(0..0, ready.addresses().iter().map(|address| ("proxy", describe_address(*address))));
    let tls = ready.secured_addresses();
    let at = ready.addresses().len();
    let captures = ready.captured_addresses();
    let captures = captures.iter().map(|address| ("captures", format!("{address}   what goes past the proxy")));
    rows.splice(at..at, tls.iter().map(|address| ("TLS proxy", describe_secured(*address))).chain(captures));
    rows.extend(ready.console_addresses().into_iter().map(|address| ("console", address)));
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

/// After a list could not be fetched that the policy cannot do without, it is tried again so much later, and
/// twice as much each time up to the other.
const AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// Reads the policy. Lists that it names and that never came are fetched first, however often that must be tried:
/// without them nothing may leave, and with them the gate starts by itself.
fn read(source: &Source, watched: &mut Watched, mut feeds: Option<&mut Feeds>) -> Result<ReadPolicy, CliError> {
    let (mut pause, most) = AGAIN;
    loop {
        *watched = Watched::default();
        match (source.read(watched), &mut feeds) {
            (Err(ReadError::Unfetched(names)), Some(feeds)) => {
                while !feeds.fetch_missing(&names) {
                    eprintln!(
                        "sekisho: the policy names lists that are not here, so the gate does not start yet; \
                         trying again in {} s (Ctrl-C ends it)",
                        pause.as_secs()
                    );
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(most);
                }
            }
            (read, _) => return Ok(read?),
        }
    }
}

/// A gate whose standard output is closed still serves.
fn welcome(rows: &Rows) {
    let _ = print(&table(rows));
}

/// Scripts read the address: it is the second word of the line.
fn describe_address(address: SocketAddr) -> String {
    format!("{address}   set this as the proxy for HTTP and for HTTPS")
}

fn describe_secured(address: SocketAddr) -> String {
    format!("{address}   in a PAC file: HTTPS name:{}", address.port())
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
