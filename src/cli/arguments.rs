use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};

use crate::review::Since;

use super::alert::AlertCommand;
use super::breakglass::BreakglassArguments;
use super::ca::CaCommand;
use super::checkpoint::CheckpointCommand;
use super::clearance::ClearanceCommand;
use super::clients::ClientsArguments;
use super::console::ConsoleCommand;
use super::contingency::{IsolateArguments, LockdownArguments, ReleaseArguments};
use super::device::DeviceCommand;
use super::egress::EgressCommand;
use super::export::ExportArguments;
use super::fetch::FetchArguments;
use super::hold::HoldCommand;
use super::hunt::HuntArguments;
use super::learn::LearnArguments;
use super::output::Format;
use super::policy::PolicyCommand;
use super::reindex::ReindexArguments;
use super::restraint::RestraintCommand;
use super::review::ReviewArguments;
use super::sql::SqlArguments;
use super::triage::TriageCommand;
use super::verify::VerifyArguments;

/// Exit codes stand at the end of every help page, examples before them.
macro_rules! notes {
    ($($example:literal),+) => {
        concat!(
            "Examples:\n", $("  ", $example, "\n",)+
            "\nExit codes:\n  0  done\n  1  could not go on; the message says why\n  \
             2  a file or the command line is wrong\n  3  the journal does not verify\n  \
             4  some of it could not be read: what is shown is not all"
        )
    };
}

pub(super) use notes;

/// Sekisho (関所): the only way out of a network. Lets out what the policy allows, records every attempt.
#[derive(Debug, Parser)]
#[command(
    name = "sekisho",
    version,
    after_help = notes!(
        "sekisho run                       start a gate that allows nothing yet",
        "sekisho init /etc/sekisho         write a config, a policy and a systemd unit",
        "sekisho check policy.toml         show every problem of a policy, failing cases too",
        "sekisho explain --help            what becomes of a request, and which rule says so",
        "sekisho policy --help             lay a policy out evenly; the schema for editors",
        "sekisho learn > policy.toml       propose a policy from what was used",
        "sekisho replay policy.toml        what another policy would have changed",
        "sekisho hunt access.log           what calls home like clockwork, in any proxy's log",
        "sekisho export --format squid     what is on record, in the form of other programs",
        "sekisho review blocked            what was stopped, and why; more questions with --help",
        "sekisho status                    ask the running gate how it is doing",
        "sekisho reload                    take up a changed policy now, or see what is wrong with it",
        "sekisho fetch                     fetch the host lists of the config now",
        "sekisho clearance list            which programs have shown to be browsers",
        "sekisho restraint list            what findings have imposed",
        "sekisho device list               which client is which device",
        "sekisho egress --help             firewall rules that leave no other way out",
        "sekisho clients --help            how machines come to take the gate as their proxy",
        "sekisho triage --help             say what a finding or a target is, and get a rule for it",
        "sekisho hold --help               keep a client's days, however old",
        "sekisho alert test                whether alerts come through",
        "sekisho isolate --help            cut a client off at once, also in the kernel",
        "sekisho lockdown --help           let nothing pass but what is essential",
        "sekisho console user --help       who may log in to the web console",
        "sekisho ca --help                 the certificate authority by which the gate looks inside",
        "sekisho breakglass --help         when the disk is full and something must go out",
        "sekisho sql --schema              what can be asked by SQL of your own",
        "sekisho verify                    prove that no record was altered"
    )
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the gate
    #[command(after_help = notes!(
        "sekisho run",
        "sekisho run --observe",
        "sekisho run --config /etc/sekisho/sekisho.toml",
        "sekisho run --policy office.toml --listen 10.0.0.1:3128",
        "sekisho run --config /etc/sekisho/sekisho.toml --take-over   (an upgrade, while the gate before it runs)"
    ))]
    Run(RunArguments),
    /// Write a config, a policy and a systemd unit to start from; existing files are never overwritten
    #[command(after_help = notes!("sekisho init /etc/sekisho", "sekisho init demo"))]
    Init {
        /// Where to write them; made if it is missing
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
    /// Compile a policy, or a config and the policy it names, and show every problem
    ///
    /// A policy without problems may have warnings: rules that decide nothing, that open more than they seem to, or
    /// that are over. They change no exit code unless --deny-warnings is given.
    #[command(after_help = notes!(
        "sekisho check policy.toml",
        "sekisho check --config /etc/sekisho/sekisho.toml",
        "sekisho check --deny-warnings policy.toml && sekisho reload",
        "sekisho check --format json policy.toml | jq '.problems[], .warnings[]?'"
    ))]
    Check(CheckArguments),
    /// Show what becomes of a request, and which rule says so: every rule considered, in order
    #[command(after_help = notes!(
        "sekisho explain --policy policy.toml --client 10.20.1.5 GET http://portal.example/",
        "sekisho explain --config /etc/sekisho/sekisho.toml --client 10.20.1.5 POST https://portal.example/orders",
        "sekisho explain --policy policy.toml --client 10.20.1.5 --user tanaka --group line-leaders GET http://portal.example/",
        "sekisho explain --policy policy.toml --client 10.20.1.5 --program updater CONNECT portal.example:443",
        "sekisho explain --policy policy.toml --client 10.20.1.5 --at 2026-11-25T22:00:00+09:00 GET http://portal.example/"
    ))]
    Explain(ExplainArguments),
    /// Lay policy files out evenly, or print the schema by which editors complete and check them
    #[command(after_help = notes!(
        "sekisho policy fmt policy.toml",
        "sekisho policy schema > policy.schema.json"
    ))]
    Policy {
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Propose a policy from what was used, by client group and registrable domain
    ///
    /// What counts is what was let out, in observe mode also what would have been refused because no rule names it.
    /// Each rule says in comments how often, by how many clients and when it was used, and by which program mainly;
    /// a case holds the policy to it. Names are exact unless many of one domain were used. What is rare, denied, refused
    /// after all or never reached is left out, and listed with the reason. Nothing is put in force, and the
    /// gate may be running.
    #[command(after_help = notes!(
        "sekisho learn > policy.toml",
        "sekisho learn --since 14d --data-dir /var/lib/sekisho",
        "sekisho learn --min-requests 50 --min-clients 3 --min-days 5",
        "sekisho learn --format json | jq '.left_out[] | select(.reason == \"rare\")'"
    ))]
    Learn(LearnArguments),
    /// Judge what is on record by another policy, and show what would change, by rule and by client
    ///
    /// Each recorded exchange is judged at its own time by the facts that the journal holds; what was recorded in
    /// observe mode counts as what would have happened. A fact that the journal does not hold, such as a
    /// ClientHello of a request that was refused before it came, leaves an exchange undecided. What the gate refused by itself,
    /// whatever a policy says, is counted apart. Nothing is written, and the gate may be running.
    #[command(after_help = notes!(
        "sekisho replay policy.toml",
        "sekisho replay policy.toml --since 7d --data-dir /var/lib/sekisho",
        "sekisho replay new.toml --config /etc/sekisho/sekisho.toml --since 2026-11-01",
        "sekisho replay policy.toml --format json | jq '.changes[] | select(.to.verdict == \"deny\")'"
    ))]
    Replay(ReplayArguments),
    /// Find in logs what calls home like clockwork, and to whom nobody else talks
    ///
    /// Reads this gate's journal, Squid's access.log (native, combined) and Zeek's conn, http and ssl logs (tables and
    /// JSON), as they are or packed with gzip or Zstandard; which of them a file is, it finds out by itself. Lines may be
    /// out of order by up to an hour. Lines that cannot be read are counted and sampled.
    ///
    /// A finding is high where its timing has a chance below 1e-5 without a period and at most three clients, or one in a
    /// hundred, talk to the host. Timing cannot tell an implant from an updater: who else talks to the host can.
    #[command(after_help = notes!(
        "sekisho hunt /var/lib/sekisho",
        "sekisho hunt /var/log/squid/access.log*",
        "sekisho hunt conn.log.gz --explain 4f1c09a2b3d4e5f6",
        "sekisho hunt /var/lib/sekisho --html report.html",
        "zcat access.log.*.gz | sekisho hunt - --format json"
    ))]
    Hunt(HuntArguments),
    /// Write what is on record in the form of other programs
    ///
    /// Exchanges come in the order in which they ended. As JSON Lines it is the records themselves, of every kind. The
    /// gate may be running. That somebody exported goes on record; with --client or --user before anything is written.
    #[command(after_help = notes!(
        "sekisho export --format squid --since 1d --output access.log",
        "sekisho export --format csv --client 10.20.1.5 --output exchanges.csv",
        "sekisho export --format zeek --host '*.example.com' > http.log",
        "sekisho export --format zeek-conn --host '*.example.com' > conn.log",
        "sekisho export --verdict deny --since 2026-11-01 --until 2026-12-01 | jq ."
    ))]
    Export(ExportArguments),
    /// Ask what is on record: what was blocked, all of a client, all of a host
    ///
    /// That somebody asked, for what and of which time, goes on record first.
    Review(ReviewArguments),
    /// Ask the running gate how it is doing
    #[command(after_help = notes!(
        "sekisho status",
        "sekisho status /var/lib/sekisho",
        "sekisho status --format json | jq .connections"
    ))]
    Status {
        /// The data directory of the gate [default: where `run` keeps it when nothing else is said]
        #[arg(value_hint = ValueHint::DirPath)]
        data_dir: Option<PathBuf>,
        /// A table for eyes, or JSON for machines
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Have the running gate read its policy again, and show what came of it
    ///
    /// The gate does so by itself within two seconds of a change of its policy file, of a file that the policy
    /// names, and on SIGHUP. The policy is compiled whole and held to its cases; then it is in force for every
    /// new request, at once. A wrong one changes nothing: what was in force stays so, and all problems are shown
    /// here, on the gate's standard error and, the first of them, by `sekisho status`. Open tunnels go on, unless
    /// the policy says reload = "strict": then they are judged by it too. The config is read at the start alone.
    #[command(after_help = notes!(
        "sekisho reload",
        "sekisho reload /var/lib/sekisho",
        "sekisho check policy.toml && sekisho reload",
        "sekisho reload --format json | jq .hash"
    ))]
    Reload {
        /// The data directory of the gate [default: where `run` keeps it when nothing else is said]
        #[arg(value_hint = ValueHint::DirPath)]
        data_dir: Option<PathBuf>,
        /// A table for eyes, or JSON for machines
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Have the running gate fetch its host lists now, and show how each stands
    ///
    /// The gate does so by itself, as often as [lists] in the config says, and sooner after a failure. A content is
    /// taken only with its checksum or signature, and only if the policy compiles and its cases hold with it; else
    /// what was fetched before stays in use. `sekisho status` shows how old each list is, and what went wrong.
    #[command(after_help = notes!(
        "sekisho fetch",
        "sekisho fetch bad-hosts",
        "sekisho fetch --data-dir /var/lib/sekisho bad-hosts ads",
        "sekisho fetch --format json | jq '.lists[] | select(.failure)'"
    ))]
    Fetch(FetchArguments),
    /// Show which programs have shown to be browsers, or have them show it again
    #[command(after_help = notes!(
        "sekisho clearance list",
        "sekisho clearance list --format json | jq '.clearances[] | select(.means == \"page\")'",
        "sekisho clearance revoke --client 10.20.1.5",
        "sekisho clearance revoke --all"
    ))]
    Clearance {
        #[command(subcommand)]
        command: ClearanceCommand,
    },
    /// Show what findings have imposed on clients, targets and programs, or lift it
    ///
    /// The config says what findings are answered with (`[response.NAME]`), and for how long. What is lifted is imposed again
    /// when its finding gains evidence: where it was wrong, say so in the config (`allow`, `[explained.NAME]`).
    #[command(after_help = notes!(
        "sekisho restraint list",
        "sekisho restraint lift 0123456789abcdef",
        "sekisho restraint lift --all --data-dir /var/lib/sekisho"
    ))]
    Restraint {
        #[command(subcommand)]
        command: RestraintCommand,
    },
    /// Show which client is which device: a name over time, from a table or from leases
    #[command(after_help = notes!("sekisho device list", "sekisho device show PC-0123 --since 30d"))]
    Device {
        #[command(subcommand)]
        command: DeviceCommand,
    },
    /// Print, apply or check the firewall rules that leave the gate as the only way out, or try whether it is
    ///
    /// What the network is stands in [network] of the config: its segments, what each is for, and what is let through for a
    /// time. The same config gives the same rules.
    #[command(after_help = notes!(
        "sekisho egress nft --config /etc/sekisho/sekisho.toml",
        "sekisho egress apply --config /etc/sekisho/sekisho.toml",
        "sekisho egress check --config /etc/sekisho/sekisho.toml",
        "sekisho egress probe --responder 203.0.113.7"
    ))]
    Egress {
        #[command(subcommand)]
        command: EgressCommand,
    },
    /// Print how machines are set to take the gate as their proxy, and a script that checks one
    ///
    /// Group policy and registry, services, environment, packages, git, containers, DHCP and the name wpad, with the addresses,
    /// the PAC file and the authority of this gate.
    #[command(after_help = notes!(
        "sekisho clients windows --config /etc/sekisho/sekisho.toml",
        "sekisho clients linux --config sekisho.toml --gate gate.office.example:3128",
        "sekisho clients linux --config /etc/sekisho/sekisho.toml --script > check.sh"
    ))]
    Clients(ClientsArguments),
    /// Put on record what a finding or a target is, and get the rule that follows from it
    #[command(after_help = notes!(
        "sekisho triage known-good 0123456789abcdef --why \"the virus scanner\"",
        "sekisho triage malicious bad.example --why \"warned of by the CERT\"",
        "sekisho triage list"
    ))]
    Triage {
        #[command(subcommand)]
        command: TriageCommand,
    },
    /// Keep every day of the journal on which a client appears, however old; end that, or show whose are kept
    #[command(after_help = notes!(
        "sekisho hold add 10.20.1.5 --why \"case 2026-12, the legal department\"",
        "sekisho hold release 10.20.1.5 --why \"case 2026-12 is closed\"",
        "sekisho hold list"
    ))]
    Hold {
        #[command(subcommand)]
        command: HoldCommand,
    },
    /// Try whether alerts come through: what each receiver of the config ([alerts.NAME]) says to a test
    ///
    /// The running gate sends it, marked as a test, past all that waits; `sekisho status` shows what waits.
    #[command(after_help = notes!(
        "sekisho alert test",
        "sekisho alert test mail"
    ))]
    Alert {
        #[command(subcommand)]
        command: AlertCommand,
    },
    /// Say who may log in to the web console, which the config puts somewhere ([console])
    #[command(after_help = notes!(
        "sekisho console user add tanaka --role analyst",
        "sekisho console user list"
    ))]
    Console {
        #[command(subcommand)]
        command: ConsoleCommand,
    },
    /// Cut a client off at once: in the proxy with its tunnels and downloads, in the kernel, and wherever hooks do
    ///
    /// It holds until `sekisho release`, over restarts too. In the kernel that is where the rules of `sekisho egress` are in
    /// force in this machine's; the hooks of the config ([hooks.NAME]) may tell a switch. What is shown, and `sekisho status`,
    /// say where the client is NOT cut off. A device is cut off at the addresses that it has now: name its prefix where it may
    /// take another.
    #[command(after_help = notes!(
        "sekisho isolate 10.20.1.5 --reason \"calls home to c2.example\"",
        "sekisho isolate PC-0123 --reason \"ransom note on the screen\"",
        "sekisho isolate 2001:db8:20:1::/64 --reason \"all of meeting room 3\""
    ))]
    Isolate(IsolateArguments),
    /// Let a client that `isolate` has cut off pass again, as far as the policy lets it
    #[command(after_help = notes!(
        "sekisho release 10.20.1.5 --reason \"installed anew\"",
        "sekisho release PC-0123"
    ))]
    Release(ReleaseArguments),
    /// Let nothing pass but what rules marked `essential` let out, or end that
    ///
    /// It holds for all clients at once, tunnels and downloads included, until it is ended, over restarts too.
    /// `sekisho check POLICY` counts the essential rules.
    #[command(after_help = notes!(
        "sekisho lockdown --reason \"ransomware spreads\"",
        "sekisho lockdown --end --reason \"all are clean\""
    ))]
    Lockdown(LockdownArguments),
    /// Make, show, export or rotate the certificate authority by which the gate looks inside connections
    ///
    /// Rules that inspect need one, and clients that trust it. What that means, and how to bring the certificate to
    /// Windows, macOS, Linux, browsers, phones and programs, stands in certs/README.md. A gate takes a new one
    /// into use at its next start.
    #[command(after_help = notes!(
        "sekisho ca init",
        "sekisho ca export > sekisho-ca.pem",
        "sekisho ca show --format json | jq .warnings"
    ))]
    Ca {
        #[command(subcommand)]
        command: CaCommand,
    },
    /// Let rules marked `essential` pass for a time though the gate can write no record, or end that
    ///
    /// When the disk is full the gate lets nothing new out. A breakglass lets exchanges of rules marked
    /// `essential = true` pass all the same, each on a short record in the reserve (reserve_mib in the config);
    /// when that is full, nothing does, nor on a disk that stands still. While records can be written it changes nothing. It ends by itself, and
    /// with the gate; tunnels that it let out live on to their own limits. `sekisho check POLICY` counts the
    /// essential rules, and `sekisho status` shows what holds and how much room the reserve has.
    #[command(after_help = notes!(
        "sekisho breakglass --minutes 30 --reason \"disk full, alarms of plant 2 must go out\"",
        "sekisho breakglass --minutes 30 --reason \"...\" /var/lib/sekisho",
        "sekisho breakglass --end"
    ))]
    Breakglass(BreakglassArguments),
    /// Check the hash chain of a journal and its checkpoints, and name the first record that was altered, removed or moved
    ///
    /// Each segment that has ended is sealed with a checkpoint, which the gate signs. Who holds the machine holds the key too,
    /// and could write all of it anew: proof against them begins with the last checkpoint that was sent off it, which
    /// --checkpoints compares. Of what is not sealed yet only the chain is checked.
    #[command(after_help = notes!(
        "sekisho verify",
        "sekisho verify /var/lib/sekisho",
        "sekisho verify --key gate.pub --checkpoints /mnt/audit/checkpoints.jsonl",
        "sekisho verify --format json /var/lib/sekisho | jq .ok",
        "sekisho verify --from 1959       after you moved the segments before away"
    ))]
    Verify(VerifyArguments),
    /// Show the checkpoints of a journal, or the public key that they are signed by
    #[command(after_help = notes!(
        "sekisho checkpoint key > gate.pub",
        "sekisho checkpoint list",
        "sekisho checkpoint list > checkpoints.jsonl"
    ))]
    Checkpoint {
        #[command(subcommand)]
        command: CheckpointCommand,
    },
    /// Build the index anew from the journal, which questions are asked of
    ///
    /// The index is derived from the journal alone. The gate may be running. The old index answers until the new one is whole.
    #[command(after_help = notes!("sekisho reindex", "sekisho reindex --data-dir /var/lib/sekisho --format json"))]
    Reindex(ReindexArguments),
    /// Ask the index by SQL of your own, which reads and does nothing else
    ///
    /// --schema shows the views that can be asked. The gate may be running; the statement goes on record. Ctrl-C ends it, with
    /// exit code 130.
    #[command(after_help = notes!(
        "sekisho sql --schema",
        "sekisho sql \"SELECT host, requests FROM contacts WHERE client = '10.20.1.5'\"",
        "sekisho sql --format csv \"SELECT * FROM exchanges WHERE day = '2026-11-26' AND stopped = 1\" > stopped.csv",
        "sekisho sql --format json - < question.sql"
    ))]
    Sql(SqlArguments),
    /// Print a completion script for a shell
    #[command(after_help = notes!(
        "sekisho completions bash > /etc/bash_completion.d/sekisho",
        "sekisho completions zsh > ~/.zfunc/_sekisho"
    ))]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each command; those of the same name are overwritten
    #[command(after_help = notes!("sekisho man /usr/local/share/man/man1 && man sekisho-run"))]
    Man {
        /// Where to write them; made if it is missing
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        directory: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct RunArguments {
    /// The config file [default: none is needed]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
    /// The policy file [default: the config's, else the built-in one, which allows nothing]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) policy: Option<PathBuf>,
    /// Where to listen; may be given several times [default: the config's, else 127.0.0.1:3128]
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(super) listen: Vec<SocketAddr>,
    /// Where evidence is kept [default: the config's, else /var/lib/sekisho for root, else below your home]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) data_dir: Option<PathBuf>,
    /// Let everything but special-purpose addresses pass, and record what would have been refused
    #[arg(long)]
    pub(super) observe: bool,
    /// Take over from the gate that runs on the data directory, if one does
    ///
    /// That one hands over its listeners and the journal, serves what it has open to its end, for hand_over_seconds at
    /// most, and ends by itself. Until then `sekisho status` shows it. Should this one not be able to start, that one
    /// goes on as before.
    #[arg(long)]
    pub(super) take_over: bool,
}

/// Which records a question is about, and how the answer is written.
#[derive(Debug, Args)]
pub(super) struct JournalArguments {
    /// The data directory [default: the config's, else where `run` keeps it when nothing else is said]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) data_dir: Option<PathBuf>,
    /// The config file, which says what is internal and where the data directory is
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
    /// From when on: a day (2026-11-01, from midnight UTC), a time (RFC 3339), or how long ago (7d, 12h, 30m)
    #[arg(long, value_name = "TIME")]
    pub(super) since: Option<Since>,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArguments {
    /// The policy to judge by
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) policy: PathBuf,
    #[command(flatten)]
    pub(super) journal: JournalArguments,
    /// Examples kept of each change, at most 20
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = at_most_20)]
    pub(super) examples: usize,
    /// Changes, clients and other rows shown of each kind; JSON has all that are told apart
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) rows: usize,
    /// A table for eyes, or JSON for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

fn at_most_20(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count <= 20).ok_or_else(|| "write a number from 0 to 20".to_owned())
}

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(flatten)]
    pub(super) files: CheckedFiles,
    /// End with exit code 2 if there is any warning
    #[arg(long)]
    pub(super) deny_warnings: bool,
    /// A table for eyes, or JSON for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
pub(super) struct ExplainArguments {
    /// The policy file [default: the config's, else the built-in one, which allows nothing]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) policy: Option<PathBuf>,
    /// The config file, which says what is internal and names the policy
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
    /// The data directory of a running gate, which says what programs of the client hold, and whether it looks into
    /// tunnels [default: none is asked]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) data_dir: Option<PathBuf>,
    /// The address of the client that asks
    #[arg(long, value_name = "ADDRESS")]
    pub(super) client: IpAddr,
    /// The user who asks, as the proxy knows them
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// A group that the user is in; may be given several times
    #[arg(long, value_name = "NAME", requires = "user")]
    pub(super) group: Vec<String>,
    /// The program that asks, by a name under [programs]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["user_agent", "ja4", "tls_key"])]
    pub(super) program: Option<String>,
    /// What the program says it is
    #[arg(long, value_name = "TEXT")]
    pub(super) user_agent: Option<String>,
    /// What its TLS shows
    #[arg(long, value_name = "JA4")]
    pub(super) ja4: Option<String>,
    /// What of its TLS stays the same from connection to connection; records call it tls_key
    #[arg(long, value_name = "KEY")]
    pub(super) tls_key: Option<String>,
    /// It goes past the proxy, and is captured on its way
    #[arg(long)]
    pub(super) captured: bool,
    /// When it asks, like 2026-11-25T10:00:00+09:00 [default: now]
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<jiff::Timestamp>,
    /// The method, as sent
    pub(super) method: String,
    /// What is asked for: http://…, https://…, or for CONNECT a host and a port
    pub(super) url: String,
    /// A table for eyes, or JSON for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct CheckedFiles {
    /// The policy file [default: the one the config names]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(super) policy: Option<PathBuf>,
    /// A config file to check too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(super) config: Option<PathBuf>,
}
