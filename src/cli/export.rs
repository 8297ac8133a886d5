use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, ValueHint};

use crate::app::{AskError, Note, Question, ask, note, this_person};
use crate::clock;
use crate::config::Config;
use crate::evidence::{Certainty, DeviceSpan, Lookup, Text, Verdict, client_of, client_text, format_time, shown};
use crate::facts::{Host, Timestamp};
use crate::review::questions::QuestionError;
use crate::review::{ExportError, Exported, Filter, Form, Since, export};
use crate::store::Reader;

use super::arguments::JournalArguments;
use super::device::notes_of;
use super::error::{CliError, count};
use super::files::read_config;
use super::progress::ProgressLine;
use super::replay::{data_dir, open};
use super::verify::around;

#[derive(Debug, Args)]
pub(super) struct ExportArguments {
    #[command(flatten)]
    pub(super) journal: JournalArguments,
    /// Until when: what began then or later is left out; written as --since is
    #[arg(long, value_name = "TIME")]
    until: Option<Since>,
    /// A client's address, a prefix such as 10.20.1.0/24, or a device's name: its addresses, each for the time in which it had
    /// it; may be given several times
    #[arg(long, value_name = "CLIENT")]
    client: Vec<String>,
    /// A user, as the proxy knows them; may be given several times
    #[arg(long, value_name = "NAME")]
    user: Vec<String>,
    /// A host, or *.NAME for everything below a name; may be given several times
    #[arg(long, value_name = "HOST", value_parser = host)]
    host: Vec<String>,
    /// What was done
    #[arg(long, value_enum)]
    verdict: Option<VerdictWord>,
    /// Why, by the code on record, such as no_rule; may be given several times
    #[arg(long, value_name = "CODE")]
    reason: Vec<String>,
    /// The form
    #[arg(long, value_enum, default_value_t = ExportFormat::Jsonl)]
    format: ExportFormat,
    /// A new file to write to, which its owner alone may read [default: standard output]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ExportFormat {
    /// The records as they lie in the journal
    Jsonl,
    /// A table, an exchange a row
    Csv,
    /// Squid's native access.log, as SARG and GoAccess read it
    Squid,
    /// Zeek's http.log, as a table
    Zeek,
    /// Zeek's conn.log, as a table: an exchange a connection, by the uid that it has in http.log
    ZeekConn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum VerdictWord {
    Allow,
    Challenge,
    Deny,
}

/// The times in which devices had addresses; which of that is uncertain is said.
fn spans(
    arguments: &ExportArguments,
    devices: &[&String],
    config: Option<&Config>,
    since: Option<Timestamp>,
) -> Result<Vec<DeviceSpan>, CliError> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    let now = clock::now();
    let until = arguments.until.map_or(now, |until| until.before(now));
    let notes = notes_of(around(&data_dir(&arguments.journal, config)))?;
    let mut all = Vec::new();
    for name in devices {
        let spans = notes.devices.spans(name, since.unwrap_or(Timestamp(0)), until);
        if spans.is_empty() {
            return Err(CliError::Asked(Box::new(QuestionError::NoDevice((*name).clone()))));
        }
        for span in spans.iter().filter(|span| span.certainty == Certainty::Uncertain) {
            let (from, until) = (format_time(span.from), format_time(span.until));
            eprintln!(
                "sekisho: uncertain: that {} was {} from {from} to {until}",
                client_text(&span.client),
                shown(name)
            );
        }
        all.extend(spans);
    }
    Ok(all)
}

/// As records have it: in lower case, by A-labels, without a dot at its end.
fn host(text: &str) -> Result<String, String> {
    let (below, name) = text.strip_prefix("*.").map_or(("", text), |name| ("*.", name));
    let name = Host::parse(name.as_bytes()).map_err(|error| error.to_string())?;
    Ok(format!("{below}{name}"))
}

/// Puts on record whose records leave, before they do; where that cannot be, nothing does.
fn looked_up(
    arguments: &ExportArguments,
    config: Option<&Config>,
    filter: &Filter,
    devices: &[&String],
) -> Result<(), CliError> {
    let clients = filter.clients.iter().map(|client| (Some(Text::from(&*client_text(client))), None));
    let clients = clients.map(|(client, user)| (client, user, None));
    let users = filter.users.iter().map(|user| (None, Some(Text::from(user.as_str())), None));
    let devices = devices.iter().map(|device| (None, None, Some(Text::from(device.as_str()))));
    let data_dir = data_dir(&arguments.journal, config);
    let named: Vec<_> = clients.chain(users).chain(devices).collect();
    let everybody = [(None, None, None)];
    for (client, user, device) in if named.is_empty() { everybody.to_vec() } else { named } {
        let (since, until) = (filter.since, filter.until);
        let question = Text::from(&*in_words(arguments));
        let lookup = Lookup { who: this_person(), question, client, user, device, since, until };
        let noted = note(&data_dir, Note::Lookup(lookup));
        noted.map_err(|source| CliError::Note { data_dir: data_dir.clone(), source })?;
    }
    Ok(())
}

/// What is exported, by what it is chosen.
fn in_words(arguments: &ExportArguments) -> String {
    let mut words = "export".to_owned();
    for host in &arguments.host {
        let _ = write!(words, " --host {host}");
    }
    for reason in &arguments.reason {
        let _ = write!(words, " --reason {reason}");
    }
    match arguments.verdict {
        Some(VerdictWord::Allow) => words.push_str(" --verdict allow"),
        Some(VerdictWord::Challenge) => words.push_str(" --verdict challenge"),
        Some(VerdictWord::Deny) => words.push_str(" --verdict deny"),
        None => {}
    }
    words
}

/// Writes what is on record in another form; says on standard error how much that was.
pub(super) fn export_journal(arguments: &ExportArguments) -> Result<(), CliError> {
    let config = arguments.journal.config.as_deref().map(read_config).transpose()?;
    let mut opened = open(&arguments.journal, config.as_ref())?;
    let devices: Vec<&String> = arguments.client.iter().filter(|client| client_of(client).is_none()).collect();
    let filter = Filter {
        since: opened.since,
        until: arguments.until.map(|until| until.before(clock::now())),
        clients: arguments.client.iter().filter_map(|client| client_of(client)).collect(),
        spans: spans(arguments, &devices, config.as_ref(), opened.since)?,
        users: arguments.user.clone(),
        hosts: arguments.host.clone(),
        verdict: arguments.verdict.map(|verdict| match verdict {
            VerdictWord::Allow => Verdict::Allowed,
            VerdictWord::Challenge => Verdict::Challenged,
            VerdictWord::Deny => Verdict::Denied,
        }),
        reasons: arguments.reason.clone(),
    };
    // Where no gate runs and the journal is damaged, to write to it puts aside what is behind the damage: then it is read first,
    // where nobody is named.
    let is_of_all = filter.clients.is_empty() && filter.users.is_empty() && devices.is_empty();
    if is_of_all && !gate_runs(&data_dir(&arguments.journal, config.as_ref())) {
        let written = write(arguments, &mut opened.reader, &filter);
        looked_up(arguments, config.as_ref(), &filter, &devices)?;
        return written;
    }
    looked_up(arguments, config.as_ref(), &filter, &devices)?;
    write(arguments, &mut opened.reader, &filter)
}

fn gate_runs(data_dir: &Path) -> bool {
    !matches!(ask(data_dir, &Question::Status), Err(AskError::NoGate(_)))
}

fn write(arguments: &ExportArguments, reader: &mut Reader, filter: &Filter) -> Result<(), CliError> {
    let form = match arguments.format {
        ExportFormat::Jsonl => Form::Lines,
        ExportFormat::Csv => Form::Csv,
        ExportFormat::Squid => Form::Squid,
        ExportFormat::Zeek => Form::Zeek,
        ExportFormat::ZeekConn => Form::ZeekConn,
    };
    let mut line = ProgressLine::new();
    let exported = {
        let mut progress = |at| line.show(at);
        match &arguments.output {
            Some(path) => {
                let failed = |source| CliError::Write { path: path.clone(), source };
                let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
                let mut file = BufWriter::new(file);
                let exported = export(reader, form, filter, &mut file, &mut progress);
                file.flush().and_then(|()| file.get_ref().sync_all()).map_err(failed)?;
                exported.map_err(|error| match error {
                    ExportError::Write(source) => failed(source),
                    ExportError::Journal(error) => CliError::Journal(error),
                })
            }
            None => {
                export(reader, form, filter, &mut io::stdout().lock(), &mut progress).or_else(|error| {
                    match error {
                        // A reader that has read enough is no error.
                        ExportError::Write(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                            Ok(Exported::default())
                        }
                        ExportError::Write(error) => Err(CliError::Output(error)),
                        ExportError::Journal(error) => Err(CliError::Journal(error)),
                    }
                })
            }
        }
    };
    drop(line);
    let exported = exported?;
    if arguments.output.is_some() {
        let what = if form == Form::Lines { "record" } else { "exchange" };
        let open = match exported.unfinished {
            0 => String::new(),
            open => format!(", {open} of them without an end on record"),
        };
        eprintln!("sekisho: {} written{open}", count(exported.written as usize, what));
    }
    match exported.unreadable {
        0 => Ok(()),
        lines => Err(CliError::Partial(lines)),
    }
}
