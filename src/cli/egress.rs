use std::fmt::Write as _;
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use crate::clock;
use crate::config::Config;
use crate::gateway::{
    Alone, Beside, CaptureBy, Change, Difference, Ending, Family, KeepError, Lockdown, Network, Plan, Trial, advice,
    compare, iptables, keep, nft, plan, put_in_force, table_in_force, try_rules, ward,
};

use super::arguments::notes;
use super::error::{CliError, count};
use super::files::read_config;
use super::output::{Format, print};
use super::probe::{ProbeArguments, RespondArguments, run_probe, run_respond};

#[derive(Debug, Subcommand)]
pub(super) enum EgressCommand {
    /// Print the rules for nftables: one table, replaced in one transaction
    #[command(after_help = notes!(
        "sekisho egress nft --config /etc/sekisho/sekisho.toml",
        "sekisho egress nft --config /etc/sekisho/sekisho.toml > /etc/nftables.d/sekisho.nft"
    ))]
    Nft(ConfigArgument),
    /// Print the rules for iptables-restore, or for ip6tables-restore: the whole tables `raw` and `filter`
    ///
    /// The gate cannot change them: in a lockdown load those of `--lockdown` in their place, and these again when it has ended.
    /// Both are best printed and stored before there is need of them.
    #[command(after_help = notes!(
        "sekisho egress iptables --lockdown --config sekisho.toml | iptables-restore",
        "sekisho egress iptables --config sekisho.toml | iptables-restore --test",
        "sekisho egress iptables --ipv6 --config sekisho.toml > /etc/iptables/rules.v6"
    ))]
    Iptables(IptablesArguments),
    /// Print what switches and access points must do where the gateway cannot see
    #[command(after_help = notes!("sekisho egress advice --config /etc/sekisho/sekisho.toml"))]
    Advice(ConfigArgument),
    /// Put the rules in force in this kernel, and take them back unless you confirm them in time
    ///
    /// A process of its own keeps what was there before. It brings that back when the time is over, when you answer anything
    /// but `yes`, and when this command ends in any other way: by Ctrl-C, or with the login that it was typed in. Who is cut off
    /// stays so. Rules do not outlive a restart of the machine: print them to where it loads them from.
    #[command(after_help = notes!(
        "sekisho egress apply --config /etc/sekisho/sekisho.toml",
        "sekisho egress apply --config /etc/sekisho/sekisho.toml --confirm-within 300"
    ))]
    Apply(ApplyArguments),
    /// Compare what is in force in this kernel with what the config asks for, and name each difference
    ///
    /// Exit code 1 if there is any. What other tables do that has to do with what passes is named too.
    #[command(after_help = notes!(
        "sekisho egress check --config /etc/sekisho/sekisho.toml",
        "sekisho egress check --config /etc/sekisho/sekisho.toml --format json | jq .differences"
    ))]
    Check(CheckArguments),
    /// What a gate starts to hold CAP_NET_ADMIN for it
    #[command(hide = true)]
    Ward {
        #[arg(long)]
        group: Option<u16>,
    },
    /// Try on this PC every way out but the gate, and show which of them lead there
    ///
    /// Directly over TCP, UDP, DNS, DNS over TLS and HTTPS by address, QUIC and ICMP, in IPv4 and IPv6; over the gate by tunnels to
    /// odd ports and to raw addresses; to the file sharing of another segment. A way got through where `sekisho egress
    /// respond`, running outside, has proven that it heard the question. Exit code 1 if any did, or if none could be tried.
    /// That nothing got through says something only while the responder runs: try it from where a way is open first.
    #[command(after_help = notes!(
        "sekisho egress probe --responder 203.0.113.7",
        "sekisho egress probe --responder 203.0.113.7 --responder 2001:db8::7 --proxy gate.office.example:3128",
        "sekisho egress probe --responder 203.0.113.7 --peer 10.21.0.5 --format json | jq '.ways[] | select(.outcome == \"through\")'"
    ))]
    Probe(ProbeArguments),
    /// Answer, on a machine outside, what `probe` tries, and say what was heard
    ///
    /// It answers nobody but `probe` with the same word, never by more over UDP than was asked, so many a second, and for a
    /// time. Ports below 1024 and ICMP need root. What it cannot bind it says.
    #[command(after_help = notes!(
        "sekisho egress respond",
        "sekisho egress respond --listen 203.0.113.7 --word \"a word of ours\" --minutes 15",
        "sekisho egress respond --tcp 445 --udp none      on a PC, to be tried by `probe --peer`"
    ))]
    Respond(RespondArguments),
    /// What `apply` starts to take rules back
    #[command(hide = true)]
    Keep {
        #[arg(long)]
        within: u64,
    },
}

#[derive(Debug, Args)]
pub(super) struct ConfigArgument {
    /// The config file, whose [network] says what the network is
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct IptablesArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// Those of IPv6; the two are loaded by two programs
    #[arg(long)]
    ipv6: bool,
    /// Those of a lockdown: of the exceptions only what is `essential`, also of what is open
    #[arg(long)]
    lockdown: bool,
}

#[derive(Debug, Args)]
pub(super) struct ApplyArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// How long to wait for `yes`. Seconds, 1 to 3600
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    confirm_within: u64,
    /// Ask nobody, and take nothing back: if the rules lock you out, you stay locked out
    #[arg(long, conflicts_with = "confirm_within")]
    yes: bool,
}

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    config: ConfigArgument,
    /// A text for eyes, or JSON for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// Prints, applies or checks the rules that leave the gate as the only way out, or tries whether it is.
pub(super) fn egress(command: EgressCommand) -> Result<(), CliError> {
    match command {
        EgressCommand::Nft(argument) => print(&nft(&planned(&argument.config)?.rules)),
        EgressCommand::Iptables(IptablesArguments { config, ipv6, lockdown }) => {
            let family = if ipv6 { Family::V6 } else { Family::V4 };
            let lockdown = if lockdown { Lockdown::In } else { Lockdown::Outside };
            print(&iptables(&planned(&config.config)?.rules, family, lockdown))
        }
        EgressCommand::Advice(argument) => print(&advice(&network(&argument.config)?.0)),
        EgressCommand::Apply(arguments) => apply(&arguments),
        EgressCommand::Check(arguments) => check(&arguments),
        EgressCommand::Ward { group } => Ok(ward(group)?),
        EgressCommand::Probe(arguments) => run_probe(arguments),
        EgressCommand::Respond(arguments) => run_respond(arguments),
        EgressCommand::Keep { within } => Ok(keep(Duration::from_secs(within))?),
    }
}

fn network(path: &Path) -> Result<(Network, Config), CliError> {
    let mut config = read_config(path)?;
    let network = config.network.take().ok_or_else(|| CliError::NoNetwork(path.to_path_buf()))?;
    Ok((network, config))
}

/// The rules of today. Exceptions that have ended are told of.
fn planned(path: &Path) -> Result<Plan, CliError> {
    let (network, config) = network(path)?;
    let now = jiff::Timestamp::from_microsecond(i64::try_from(clock::now().0).unwrap_or(i64::MAX)).unwrap_or_default();
    let plan = plan(&network, now.to_zoned(config.detect.zone).date());
    for ended in &plan.ended {
        let (file, line, until, reason) = (path.display(), ended.line, ended.until, &ended.reason);
        eprintln!("sekisho: {file}:{line}: an exception ended with {until} and has dropped out: {reason}");
    }
    if let Some(read) = config.flows.nflog_group
        && read != network.nflog_group
    {
        let group = network.nflog_group;
        eprintln!(
            "sekisho: the rules log to group {group} of NFLOG, and [flows] reads group {read}: nothing of it is recorded"
        );
    }
    if let Some(capture) = &network.capture {
        let listening = match capture.by {
            CaptureBy::Redirect => ("redirect", &config.capture.redirect),
            CaptureBy::Tproxy => ("tproxy", &config.capture.tproxy),
        };
        if !listening.1.iter().any(|address| address.port() == capture.port) {
            let (key, port) = (listening.0, capture.port);
            eprintln!(
                "sekisho: the rules capture to port {port}, and `{key}` of [capture] names no address with it: what goes past \
                 the gate is refused by nobody who could say why"
            );
        }
    }
    Ok(plan)
}

fn apply(arguments: &ApplyArguments) -> Result<(), CliError> {
    let rules = nft(&planned(&arguments.config.config)?.rules);
    try_rules(&rules).map_err(KeepError::Kernel)?;
    if arguments.yes {
        let _alone = Alone::take()?;
        let before = table_in_force().map_err(KeepError::Kernel)?;
        put_in_force(&rules, before.as_deref()).map_err(KeepError::Kernel)?;
        return print("The rules are in force. Nobody was asked (--yes), and nothing takes them back.\n");
    }
    let seconds = arguments.confirm_within;
    let mut keeper = Command::new(std::env::current_exe().map_err(CliError::Executable)?);
    keeper.args(["egress", "keep", "--within", &seconds.to_string()]);
    let trial = Trial::begin(keeper, &rules)?;
    print(&format!(
        "The rules are in force, on trial. Open a new connection to this machine and see whether all works.\n\
         Type `yes` within {seconds} s to keep them. Anything else, or nothing, brings back what was there before.\n"
    ))?;
    match trial.end(says_yes)? {
        Ending::Kept => {
            print("Kept, until this machine restarts: what it is to load then, `sekisho egress nft` prints.\n")
        }
        Ending::TakenBack => Err(CliError::TakenBack),
    }
}

/// A line of standard input; its end is no yes.
fn says_yes() -> bool {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).is_ok() && line.trim().eq_ignore_ascii_case("yes")
}

#[derive(Serialize)]
struct Checked<'c> {
    ok: bool,
    differences: &'c [Difference],
    /// What of other tables has to do with what passes.
    beside: &'c [Beside],
}

fn check(arguments: &CheckArguments) -> Result<(), CliError> {
    let (differences, beside) = compare(&planned(&arguments.config.config)?.rules).map_err(KeepError::Kernel)?;
    let wrong = differences.len() + beside.iter().filter(|beside| beside.bypasses).count();
    match arguments.format {
        Format::Text => print(&checked_text(&differences, &beside))?,
        Format::Json => {
            let checked = Checked { ok: wrong == 0, differences: &differences, beside: &beside };
            let json = serde_json::to_string_pretty(&checked).map_err(|error| CliError::Output(error.into()))?;
            print(&format!("{json}\n"))?;
        }
    }
    match wrong {
        0 => Ok(()),
        wrong => Err(CliError::NotAsAsked(wrong)),
    }
}

fn checked_text(differences: &[Difference], beside: &[Beside]) -> String {
    let mut text = String::new();
    for Difference { kind, within, wanted, found } in differences {
        let kind = match kind {
            Change::Missing => "missing",
            Change::Extra => "extra",
            Change::Changed => "changed",
            Change::Moved => "moved",
        };
        let _ = writeln!(text, "{kind:8} {within}");
        for (who, line) in [("asked", wanted), ("found", found)] {
            if let Some(line) = line {
                let _ = writeln!(text, "    {who}: {line}");
            }
        }
    }
    for Beside { place, what, bypasses } in beside {
        let kind = if *bypasses { "bypass" } else { "beside" };
        let _ = writeln!(text, "{kind:8} {place}\n    {what}");
    }
    let result = match differences.len() {
        0 => "the table is as the config asks for".to_owned(),
        many => format!("{} from what the config asks for", count(many, "difference")),
    };
    let _ = writeln!(text, "result   {result}");
    text
}
