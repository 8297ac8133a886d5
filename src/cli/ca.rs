use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use crate::app::{AskError, AuthorityAct, NextReach, Question, ask, ask_reach};
use crate::clock;
use crate::evidence::format_time;
use crate::facts::{Host, Timestamp};
use crate::tls::{Authorities, AuthorityCertificate, AuthorityError, AuthorityFiles, Terms, fingerprint, pem_of};

use super::arguments::notes;
use super::error::{CliError, count};
use super::files::default_data_dir;
use super::output::{Format, Rows, print_bytes, report};
use super::reach::reach;

#[derive(Debug, Subcommand)]
pub(super) enum CaCommand {
    /// Make the authority, with a key of its own; one that is there is never overwritten
    ///
    /// The key is a file in the data directory, readable to the gate's user alone. Whoever has it can read what
    /// every client sends that trusts the authority: it belongs on this machine and nowhere else.
    #[command(after_help = notes!(
        "sekisho ca init",
        "sekisho ca init --name gate1 --days 365 /var/lib/sekisho",
        "sekisho ca init --permit corp.example --permit example.net",
        "sekisho ca init --exclude bank.example"
    ))]
    Init(MadeArguments),
    /// Show the authority: its name, fingerprints, validity, and the names it is confined to; never its key
    #[command(after_help = notes!(
        "sekisho ca show",
        "sekisho ca show /var/lib/sekisho",
        "sekisho ca show --format json | jq -r .current.sha256"
    ))]
    Show(ShownArguments),
    /// Write the certificate that clients are to trust, in PEM or DER; never the key
    #[command(after_help = notes!(
        "sekisho ca export > sekisho-ca.pem",
        "sekisho ca export --encoding der --out sekisho-ca.crt",
        "sekisho ca export --which next --out sekisho-ca-next.pem"
    ))]
    Export(ExportArguments),
    /// Make the next authority beside the one in use, or take it into use with --finish
    ///
    /// The one in use goes on vouching, so that there is time to bring the next one to all clients. When they
    /// trust both, --finish has the next one vouch; the key of the one before is removed then, and clients may
    /// let its certificate go. The next one is confined to the same names unless others are given.
    #[command(after_help = notes!(
        "sekisho ca rotate",
        "sekisho ca export --which next --out sekisho-ca-next.pem",
        "sekisho ca rotate --finish"
    ))]
    Rotate(RotateArguments),
    /// Show which clients take certificates of the authority, by the tunnels that the running gate has looked into
    ///
    /// A client that refuses all lacks the authority. Hosts that are refused by clients which take those of others
    /// belong to programs that pin certificates, and some origins ask for a certificate of the client, which the gate
    /// does not have: rules with `inspect = false` may be wanted there, and are proposed here. Nothing is exempted by
    /// itself. What was seen longer than 30 days ago says nothing.
    #[command(after_help = notes!(
        "sekisho ca reach",
        "sekisho ca reach --format json | jq -r .proposal > proposal.toml",
        "sekisho ca reach --format json | jq -r '.clients[] | select(.authority == \"lacks\").client'"
    ))]
    Reach(ShownArguments),
}

#[derive(Debug, Args)]
pub(super) struct MadeArguments {
    #[command(flatten)]
    made: Made,
    #[command(flatten)]
    shown: ShownArguments,
}

/// What an authority is made for.
#[derive(Debug, Args)]
struct Made {
    /// The gate's name, which clients see in the authority's [default: the name of this machine]
    #[arg(long, value_name = "NAME", value_parser = plain_name)]
    name: Option<String>,
    /// How long it holds, in days, at most 3650
    #[arg(long, value_name = "N", default_value_t = 730, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// It vouches for this name and those below it, and for no other and no address; may be given several times
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    permit: Vec<Host>,
    /// It vouches neither for this name nor for those below it; may be given several times
    #[arg(long, value_name = "NAME", value_parser = host_name)]
    exclude: Vec<Host>,
}

#[derive(Debug, Args)]
pub(super) struct ShownArguments {
    /// The data directory of the gate [default: where `run` keeps it when nothing else is said]
    #[arg(value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
    /// A table for eyes, or JSON for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    /// Which one: during a rotation there is a next one, after it a previous one
    #[arg(long, value_enum, default_value_t = Which::Current)]
    which: Which,
    /// PEM is text; DER is what Windows and phones call .crt or .cer
    #[arg(long, value_enum, default_value_t = Encoding::Pem)]
    encoding: Encoding,
    /// Where to write it [default: standard output]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
    /// The data directory of the gate [default: where `run` keeps it when nothing else is said]
    #[arg(value_hint = ValueHint::DirPath)]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct RotateArguments {
    /// Take the next authority into use
    #[arg(long, conflicts_with_all = ["name", "days", "permit", "exclude", "all_names"])]
    finish: bool,
    /// The next one is confined to no names, whatever the one in use is
    #[arg(long, conflicts_with_all = ["permit", "exclude"])]
    all_names: bool,
    #[command(flatten)]
    made: Made,
    #[command(flatten)]
    shown: ShownArguments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Which {
    Current,
    Next,
    Previous,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Encoding {
    Pem,
    Der,
}

/// What the authorities of a gate are.
#[derive(Debug, Serialize)]
struct Shown {
    current: ShownCertificate,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<ShownCertificate>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<ShownCertificate>,
    /// Where the certificate in use is.
    file: String,
    /// What clients made of the next one, by the gate that runs there.
    #[serde(skip_serializing_if = "Option::is_none")]
    reach: Option<NextReach>,
    /// What became of the record of what was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ShownCertificate {
    subject: String,
    sha256: String,
    sha1: String,
    not_before: String,
    not_after: String,
    days_left: u64,
    permitted: Vec<String>,
    excluded: Vec<String>,
}

/// A warning is given when there are fewer days left: time enough to bring another to every client.
const WARNED_DAYS: u64 = 90;
const DAY_MICROS: u64 = 86_400_000_000;

/// Makes, shows, exports or rotates the authority of inspection.
pub(super) fn ca(command: CaCommand) -> Result<(), CliError> {
    let now = clock::now();
    match command {
        CaCommand::Init(MadeArguments { made, shown }) => {
            let data_dir = shown.data_dir.unwrap_or_else(default_data_dir);
            let files = AuthorityFiles::new(&data_dir);
            let made = made.terms().and_then(|terms| Ok(files.init(&terms, now)?));
            let result = made.and_then(|_| show_done(&files, &data_dir, AuthorityAct::Made, now));
            report(shown.format, result, |told| {
                let mut rows = vec![("made", "a certificate authority; nothing trusts it yet".to_owned())];
                rows.extend(rows_of(told));
                rows.push(("next", "export it, and bring it to the clients as certs/README.md tells".to_owned()));
                rows.push(("then", "restart the gate: rules that inspect are looked into from then on".to_owned()));
                rows
            })
        }
        CaCommand::Show(shown) => report(shown.format, show(&files(shown.data_dir), now), rows_of),
        CaCommand::Export(arguments) => export(arguments),
        CaCommand::Rotate(arguments) => rotate(arguments, now),
        CaCommand::Reach(shown) => reach(shown.data_dir.unwrap_or_else(default_data_dir), shown.format),
    }
}

fn rotate(arguments: RotateArguments, now: Timestamp) -> Result<(), CliError> {
    let RotateArguments { finish, all_names, made, shown } = arguments;
    let data_dir = shown.data_dir.unwrap_or_else(default_data_dir);
    let files = AuthorityFiles::new(&data_dir);
    // Of what it is before it is taken into use, the gate knows nothing any more afterwards.
    let tried = || ask_reach(&data_dir).ok().and_then(|reach| reach.next);
    if finish {
        let reach = tried();
        let finished = files.finish(now).map_err(CliError::from);
        let result = finished.and_then(|_| show_done(&files, &data_dir, AuthorityAct::Finished, now));
        let result = result.map(|told| warn_of_lacking(Shown { reach, ..told }));
        return report(shown.format, result, |told| {
            let mut rows =
                vec![("in use", "the next authority, from the gate's next reload on (sekisho reload)".to_owned())];
            rows.extend(rows_of(told));
            rows
        });
    }
    let prepare = || {
        let mut terms = made.terms()?;
        if terms.permit.is_empty() && terms.exclude.is_empty() && !all_names {
            let current = files.load()?.current;
            terms.permit = hosts(current.certificate().permitted());
            terms.exclude = hosts(current.certificate().excluded());
        }
        files.prepare(&terms, now)?;
        let told = show_done(&files, &data_dir, AuthorityAct::Prepared, now)?;
        Ok(Shown { reach: tried(), ..told })
    };
    report(shown.format, prepare(), |told| {
        let mut rows = vec![("made", "the next authority; the one in use goes on vouching".to_owned())];
        rows.extend(rows_of(told));
        rows.push(("next", "bring it to all clients (sekisho ca export --which next)".to_owned()));
        rows.push(("watch", "who takes it by then, and who does not: sekisho ca reach".to_owned()));
        rows.push(("then", "take it into use (sekisho ca rotate --finish)".to_owned()));
        rows
    })
}

fn export(arguments: ExportArguments) -> Result<(), CliError> {
    let files = files(arguments.data_dir);
    let Authorities { current, next, previous } = files.load()?;
    let is_there_next = next.is_some();
    let next = next.as_ref().map(|next| next.certificate());
    let certificate = match arguments.which {
        Which::Current => Some(current.certificate()),
        Which::Next => next,
        Which::Previous => previous.as_ref(),
    };
    let certificate = certificate.ok_or(CliError::NoSuchAuthority(match arguments.which {
        Which::Current | Which::Next => "next",
        Which::Previous => "previous",
    }))?;
    let content = match arguments.encoding {
        Encoding::Pem => pem_of(certificate).into_bytes(),
        Encoding::Der => certificate.der().to_vec(),
    };
    match &arguments.out {
        Some(path) => fs::write(path, content).map_err(|source| CliError::Write { path: path.clone(), source })?,
        None => print_bytes(&content)?,
    }
    if is_there_next && arguments.which == Which::Current {
        eprintln!("sekisho: a next authority is prepared: clients are to trust it too (--which next)");
    }
    Ok(())
}

fn show(files: &AuthorityFiles, now: Timestamp) -> Result<Shown, CliError> {
    let Authorities { current, next, previous } = files.load()?;
    let warnings = warnings(current.certificate(), next.as_ref().map(|next| next.certificate()), now);
    Ok(Shown {
        current: ShownCertificate::of(current.certificate(), now),
        next: next.map(|next| ShownCertificate::of(next.certificate(), now)),
        previous: previous.map(|previous| ShownCertificate::of(&previous, now)),
        file: files.certificate_path().display().to_string(),
        reach: None,
        record: None,
        warnings,
    })
}

/// The same after something was done, which the running gate puts on record.
fn show_done(files: &AuthorityFiles, data_dir: &Path, act: AuthorityAct, now: Timestamp) -> Result<Shown, CliError> {
    let record = match ask(data_dir, &Question::Authority(act)) {
        Ok(_) => "written by the running gate".to_owned(),
        Err(AskError::NoGate(_)) => "no gate answers here; its next start writes which authority it finds".to_owned(),
        Err(why) => format!("{why}; the next start of the gate writes which authority it finds"),
    };
    Ok(Shown { record: Some(record), ..show(files, now)? })
}

/// It is in use now: who had not taken it by then sees errors, or may.
fn warn_of_lacking(mut told: Shown) -> Shown {
    if let Some(NextReach { lacking, unknown, .. }) = told.reach.take().filter(|next| next.lacking + next.unknown > 0) {
        let (lacking, unknown) = (count(lacking, "client"), count(unknown, "client"));
        told.warnings.push(format!(
            "{lacking} had refused it and {unknown} had not tried it: sekisho ca reach, after the reload"
        ));
    }
    told
}

fn warnings(current: &AuthorityCertificate, next: Option<&AuthorityCertificate>, now: Timestamp) -> Vec<String> {
    let left = days_left(current, now);
    let what_to_do = match next {
        Some(_) => "take the next one into use (sekisho ca rotate --finish)",
        None => "make the next one now (sekisho ca rotate), and bring it to all clients",
    };
    if now > current.not_after() {
        return vec![format!("the authority is over, and nothing is inspected: {what_to_do}")];
    }
    if now < current.not_before() {
        return vec!["the authority does not hold yet: see whether the clock of this machine is right".to_owned()];
    }
    if left < WARNED_DAYS {
        let days = count(usize::try_from(left).unwrap_or(usize::MAX), "day");
        return vec![format!("the authority holds for {days} more: {what_to_do}")];
    }
    Vec::new()
}

fn rows_of(told: &Shown) -> Rows {
    let mut rows = told.current.rows("authority");
    rows.push(("file", told.file.clone()));
    if let Some(next) = &told.next {
        rows.extend(next.rows("next one"));
    }
    if let Some(previous) = &told.previous {
        rows.extend(previous.rows("one before"));
    }
    rows.extend(told.reach.iter().flat_map(NextReach::rows));
    rows.extend(told.record.iter().map(|record| ("record", record.clone())));
    rows.extend(told.warnings.iter().map(|warning| ("warning", warning.clone())));
    rows
}

impl ShownCertificate {
    fn of(certificate: &AuthorityCertificate, now: Timestamp) -> Self {
        Self {
            subject: certificate.subject().to_owned(),
            sha256: fingerprint(&certificate.sha256()),
            sha1: fingerprint(&certificate.sha1()),
            not_before: format_time(certificate.not_before()),
            not_after: format_time(certificate.not_after()),
            days_left: days_left(certificate, now),
            permitted: certificate.permitted().to_vec(),
            excluded: certificate.excluded().to_vec(),
        }
    }

    fn rows(&self, heading: &'static str) -> Rows {
        let date = |time: &str| time.chars().take(10).collect::<String>();
        let left = count(usize::try_from(self.days_left).unwrap_or(usize::MAX), "day");
        let mut rows = vec![
            (heading, self.subject.clone()),
            ("holds", format!("{} to {} (UTC), {left} left", date(&self.not_before), date(&self.not_after))),
            ("sha-256", self.sha256.clone()),
            ("sha-1", self.sha1.clone()),
        ];
        if self.permitted.is_empty() && self.excluded.is_empty() {
            rows.push(("vouches for", "every name and address".to_owned()));
        }
        if !self.permitted.is_empty() {
            rows.push(("vouches for", format!("{} and what is below; no address", self.permitted.join(", "))));
        }
        if !self.excluded.is_empty() {
            rows.push(("never for", format!("{} and what is below", self.excluded.join(", "))));
        }
        rows
    }
}

impl Made {
    fn terms(self) -> Result<Terms, CliError> {
        let machine = || rustix::system::uname().nodename().to_string_lossy().into_owned();
        let name = self.name.unwrap_or_else(|| plain_name(&machine()).unwrap_or_else(|_| "gate".to_owned()));
        Ok(Terms { name, days: self.days, permit: self.permit, exclude: self.exclude })
    }
}

fn files(data_dir: Option<PathBuf>) -> AuthorityFiles {
    AuthorityFiles::new(&data_dir.unwrap_or_else(default_data_dir))
}

fn days_left(certificate: &AuthorityCertificate, now: Timestamp) -> u64 {
    certificate.not_after().0.saturating_sub(now.0) / DAY_MICROS
}

fn hosts(names: &[String]) -> Vec<Host> {
    names.iter().filter_map(|name| Host::parse(name.as_bytes()).ok()).collect()
}

fn plain_name(text: &str) -> Result<String, String> {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if text.is_empty() || text.len() > 40 || !text.bytes().all(is_plain) {
        return Err("write 1 to 40 letters, digits, `.`, `-` or `_`".to_owned());
    }
    Ok(text.to_owned())
}

fn host_name(text: &str) -> Result<Host, String> {
    match Host::parse(text.trim_start_matches("*.").as_bytes()) {
        Ok(host @ Host::Name(_)) => Ok(host),
        Ok(Host::V4(_) | Host::V6(_)) => Err("write a name: addresses cannot be given".to_owned()),
        Err(why) => Err(why.to_string()),
    }
}

/// What to do about it, where that is not in the message.
pub(super) fn hint(error: &AuthorityError) -> Option<&'static str> {
    Some(match error {
        AuthorityError::Missing(_) => "make one with `sekisho ca init`, or name the gate's data directory",
        AuthorityError::Io { .. } => {
            "run it as the gate's user or as root; a missing file comes back from a backup alone"
        }
        AuthorityError::Exposed { .. } => {
            "if nobody has read it, take the rights away with `chmod 600`; else make another authority, and have clients \
             let this one go"
        }
        AuthorityError::NoCertificate(_) | AuthorityError::NoKey(_) | AuthorityError::OtherKey(_) => {
            "bring both files back from a backup, or move the directory `ca` away and make another with `sekisho ca init`"
        }
        AuthorityError::Expired(_) => "make the next one with `sekisho ca rotate`, and bring it to all clients",
        AuthorityError::NotYetValid(_) => "see whether the clock of this machine is right",
        AuthorityError::NotPermitted(_) => "its names were given to `sekisho ca init`; others need another authority",
        AuthorityError::Exists(_) => {
            "`sekisho ca show` shows it; `sekisho ca rotate` makes another beside it, and --finish takes that into use"
        }
        AuthorityError::NotPrepared(_) => "prepare one with `sekisho ca rotate`, and bring it to all clients first",
        AuthorityError::CannotSign(_) | AuthorityError::Making(_) | AuthorityError::NoRandomness => return None,
    })
}
