//! The command line: what a person types, and what they read back.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{CommandFactory, Parser, Subcommand};

use crate::app::{self, AppError};
use crate::config::Config;
use crate::parse::Problem;
use crate::policy::Policy;
use crate::store;

/// Sekisho (関所): the only way out of a network. Lets out what the policy allows, records every attempt.
#[derive(Debug, Parser)]
#[command(name = "sekisho", version, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done · 1 could not go on (the message says why) · 2 a file or the command \
                          line is wrong · 3 the journal does not verify";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gate
    #[command(
        after_help = "Examples:\n  sekisho run\n  sekisho run --observe\n  sekisho run --config /etc/sekisho/sekisho.toml\n  sekisho run --policy office.toml --listen 10.0.0.1:3128"
    )]
    Run(RunArguments),
    /// Compile a policy and show every problem in it
    #[command(after_help = "Example:\n  sekisho check office.toml")]
    Check {
        /// The policy file
        policy: PathBuf,
    },
    /// Check the hash chain of a journal and name the first record that was altered, removed or moved
    #[command(after_help = "Example:\n  sekisho verify /var/lib/sekisho")]
    Verify {
        /// The data directory [default: where `run` keeps it]
        data_dir: Option<PathBuf>,
    },
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  sekisho completions bash > /etc/bash_completion.d/sekisho")]
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// The config file [default: none is needed]
    #[arg(long)]
    config: Option<PathBuf>,
    /// The policy file [default: the built-in one, which allows nothing]
    #[arg(long)]
    policy: Option<PathBuf>,
    /// Where to listen; may be given several times [default: 127.0.0.1:3128]
    #[arg(long)]
    listen: Vec<SocketAddr>,
    /// Where evidence is kept
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Let everything but special-purpose addresses pass, and record what would have been refused
    #[arg(long)]
    observe: bool,
}

/// What went wrong, for whom, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: io::Error },
    #[error("{}", list(.0))]
    Problems(Vec<Problem>),
    #[error(transparent)]
    App(#[from] AppError),
    #[error("{0}")]
    Unverified(store::OpenError),
}

impl CliError {
    /// The exit code, as `--help` documents it.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Read { .. } | CliError::Problems(_) => 2,
            CliError::App(_) => 1,
            CliError::Unverified(_) => 3,
        }
    }

    /// What to do about it, where that is not in the message.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CliError::App(AppError::Bind(_)) => {
                Some("another program may listen there; choose another address with --listen")
            }
            CliError::App(AppError::Journal(store::OpenError::Locked(_))) => {
                Some("stop the other gate, or give this one its own --data-dir")
            }
            CliError::Unverified(_) => Some("keep the directory as it is, and compare with copies kept elsewhere"),
            _ => None,
        }
    }
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The policy compiled in: it allows nothing.
const DEFAULT_POLICY: &str = include_str!("../policy/default.toml");

/// Runs what the command line asks for.
///
/// # Errors
/// What went wrong; [`CliError::exit_code`] and [`CliError::hint`] belong to it.
pub fn main() -> Result<(), CliError> {
    match Cli::parse().command {
        Command::Run(arguments) => run(arguments),
        Command::Check { policy } => {
            let name = policy.display().to_string();
            let compiled = Policy::compile(&name, &read(&policy)?).map_err(CliError::Problems)?;
            println!("{name}: {} rules, version {}", compiled.rules(), compiled.hash());
            Ok(())
        }
        Command::Verify { data_dir } => verify(&data_dir.unwrap_or_else(default_data_dir)),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "sekisho", &mut io::stdout());
            Ok(())
        }
    }
}

fn read(path: &Path) -> Result<String, CliError> {
    fs::read_to_string(path).map_err(|source| CliError::Read { path: path.into(), source })
}

fn run(arguments: RunArguments) -> Result<(), CliError> {
    let mut config = match &arguments.config {
        Some(path) => Config::read(&path.display().to_string(), &read(path)?).map_err(CliError::Problems)?,
        None => Config::default(),
    };
    if !arguments.listen.is_empty() {
        config.listen = arguments.listen;
    }
    let policy_path = arguments.policy.or_else(|| config.policy.clone());
    let (name, text) = match &policy_path {
        Some(path) => (path.display().to_string(), read(path)?),
        None => ("policy/default.toml".to_owned(), DEFAULT_POLICY.to_owned()),
    };
    let mut policy = Policy::compile(&name, &text).map_err(CliError::Problems)?;
    if arguments.observe {
        policy = policy.observing();
    }
    let data_dir = arguments.data_dir.or_else(|| config.data_dir.clone()).unwrap_or_else(default_data_dir);
    let observes = policy.observes();
    let rules = policy.rules();
    let ready = app::prepare(config, data_dir.clone(), policy, name.clone())?;
    for address in ready.addresses() {
        println!("proxy      {address}   (set this as the HTTP and HTTPS proxy)");
    }
    println!("records    {}", data_dir.join("journal").display());
    println!("policy     {name}, {rules} rules");
    match (observes, rules) {
        (true, _) => println!("mode       observe: everything passes; what would have been refused is on record"),
        (false, 0) => println!(
            "mode       enforce: nothing is allowed yet. `sekisho run --observe` lets everything\n           through and records what would have been refused"
        ),
        (false, _) => println!("mode       enforce"),
    }
    ready.run()?;
    Ok(())
}

fn verify(data_dir: &Path) -> Result<(), CliError> {
    let report = store::verify(data_dir).map_err(CliError::Unverified)?;
    println!("{} records in {} segments verify; the chain ends in {}", report.records, report.segments, report.hash);
    if report.torn_bytes > 0 {
        println!("{} bytes behind the last whole record: a crash, mended at the next start", report.torn_bytes);
    }
    Ok(())
}

/// systemd's state directory, else `/var/lib/sekisho` for root, else below the user's state home.
fn default_data_dir() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(directory) = variable("STATE_DIRECTORY") {
        return directory;
    }
    if rustix::process::geteuid().is_root() {
        return "/var/lib/sekisho".into();
    }
    variable("XDG_STATE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(std::env::temp_dir)
        .join("sekisho")
}
