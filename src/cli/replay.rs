use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::clock;
use crate::config::Config;
use crate::evidence::format_time;
use crate::facts::Timestamp;
use crate::policy::Policy;
use crate::review::{Change, ChangesOfClient, PolicySaid, Replayed, Since, Undecided, replay};
use crate::store::Reader;

use super::arguments::{JournalArguments, ReplayArguments};
use super::error::CliError;
use super::files::{default_data_dir, give_internal, read_config, read_policy, warn_of_unfetched};
use super::output::{Rows, report};
use super::progress::ProgressLine;
use super::verify::around;

/// What would change, and what was asked.
#[derive(Serialize)]
struct Told {
    policy_file: String,
    mode: &'static str,
    journal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(flatten)]
    replayed: Replayed,
    /// Rows of text for each list, at most.
    #[serde(skip)]
    rows_max: usize,
}

/// Judges the journal by another policy, and shows what would change.
pub(super) fn replay_journal(arguments: &ReplayArguments) -> Result<(), CliError> {
    report(arguments.format, tell(arguments), rows)
}

fn tell(arguments: &ReplayArguments) -> Result<Told, CliError> {
    let config = arguments.journal.config.as_deref().map(read_config).transpose()?;
    let data_dir = arguments.journal.data_dir.as_deref();
    let (policy, policy_file) = compile(&arguments.policy, config.as_ref(), data_dir)?;
    let mut opened = open(&arguments.journal, config.as_ref())?;
    let mut line = ProgressLine::new();
    let replayed = replay(&mut opened.reader, &policy, opened.since, arguments.examples, |at| line.show(at));
    drop(line);
    Ok(Told {
        policy_file,
        mode: policy.mode().as_str(),
        journal: opened.journal,
        since: opened.since.map(format_time),
        replayed: replayed.map_err(CliError::Journal)?,
        rows_max: arguments.rows,
    })
}

/// The policy that is asked, compiled as the gate would; one that is asked about alone may be meant for any
/// config.
fn compile(path: &Path, config: Option<&Config>, data_dir: Option<&Path>) -> Result<(Policy, String), CliError> {
    let named = read_policy(Some(path), config, data_dir)?;
    warn_of_unfetched(&named.unfetched);
    let policy = match config {
        Some(config) => give_internal(named.policy, config)?,
        None => named.policy,
    };
    Ok((policy, named.file))
}

/// A journal opened for a question.
pub(super) struct Opened {
    pub(super) reader: Reader,
    pub(super) journal: String,
    pub(super) since: Option<Timestamp>,
}

/// The data directory that is named, by the arguments or the config, or the usual one.
pub(super) fn data_dir(arguments: &JournalArguments, config: Option<&Config>) -> PathBuf {
    let of_config = config.and_then(|config| config.data_dir.clone());
    let named = arguments.data_dir.clone().or(of_config).unwrap_or_else(default_data_dir);
    around(&named).to_owned()
}

/// Opens the journal of the data directory that is named, by the arguments or the config, or the usual one.
pub(super) fn open(arguments: &JournalArguments, config: Option<&Config>) -> Result<Opened, CliError> {
    let data_dir = &*data_dir(arguments, config);
    let journal = data_dir.join("journal");
    if matches!(journal.try_exists(), Ok(false)) {
        return Err(CliError::NoRecords(journal));
    }
    let since = arguments.since.map(|since: Since| since.before(clock::now()));
    let reader = Reader::open(data_dir, since).map_err(CliError::Journal)?;
    if reader.bytes() == 0 {
        return Err(CliError::NoRecords(journal));
    }
    Ok(Opened { reader, journal: journal.display().to_string(), since })
}

fn rows(told: &Told) -> Rows {
    let replayed = &told.replayed;
    let since = told.since.as_ref().map_or(String::new(), |since| format!(", since {since}"));
    let mut rows = vec![
        ("policy", format!("{} ({}), {}", told.policy_file, replayed.policy, told.mode)),
        ("journal", format!("{}{since}: {} records", told.journal, replayed.records)),
    ];
    let span = match (&replayed.first, &replayed.last) {
        (Some(first), Some(last)) => format!(", from {first} to {last}"),
        _ => String::new(),
    };
    rows.push(("exchanges", format!("{}{span}", replayed.exchanges)));
    rows.push(("judged", replayed.judged.to_string()));
    let other = match replayed.by_another_rule {
        0 => String::new(),
        count => format!(", {count} of them by another rule"),
    };
    rows.push(("same", format!("{}{other}", replayed.same)));
    rows.push(("changed", replayed.changed.to_string()));
    rows.push(("undecided", replayed.undecided.to_string()));
    rows.push(("not judged", replayed.not_judged.to_string()));
    if replayed.unreadable > 0 {
        rows.push((
            "unreadable",
            format!("{} lines that are no records; `sekisho verify` says more", replayed.unreadable),
        ));
    }
    let most = told.rows_max;
    rows.extend(replayed.changes.iter().take(most).map(|change| ("change", in_words(change))));
    let hidden: u64 = replayed.changes.iter().skip(most).map(|change| change.exchanges).sum();
    push_others(&mut rows, "change", hidden + replayed.changes_beyond);
    rows.extend(replayed.clients.iter().take(most).map(|client| ("client", client_in_words(client))));
    let hidden: u64 = replayed.clients.iter().skip(most).map(|client| client.changed).sum();
    push_others(&mut rows, "client", hidden + replayed.clients_beyond);
    rows.extend(replayed.undecided_by.iter().take(most).map(|kind| ("undecided", undecided_in_words(kind))));
    let hidden: u64 = replayed.undecided_by.iter().skip(most).map(|kind| kind.exchanges).sum();
    push_others(&mut rows, "undecided", hidden + replayed.undecided_beyond);
    for kind in replayed.not_judged_by.iter().take(most) {
        rows.push(("not judged", format!("{}: {}", kind.reason, exchanges(kind.exchanges))));
    }
    let hidden: u64 = replayed.not_judged_by.iter().skip(most).map(|kind| kind.exchanges).sum();
    push_others(&mut rows, "not judged", hidden);
    let result = match replayed.changed {
        0 => "no recorded verdict would change".to_owned(),
        _ => format!("{} would change", exchanges(replayed.changed)),
    };
    rows.push(("result", result));
    rows
}

/// What is not shown one by one.
fn push_others(rows: &mut Rows, name: &'static str, count: u64) {
    if count > 0 {
        rows.push((name, format!("others: {}; `--format json` and `--rows` show more", exchanges(count))));
    }
}

fn in_words(change: &Change) -> String {
    let more = if change.clients_more { " or more" } else { "" };
    let clients = if change.clients == 1 { "client" } else { "clients" };
    let mut text = format!(
        "{} -> {}: {} of {}{more} {clients}\n  {} -> {}\n  from {} to {}",
        change.from.verdict,
        change.to.verdict,
        exchanges(change.exchanges),
        change.clients,
        why(&change.from),
        why(&change.to),
        change.first,
        change.last,
    );
    push_examples(&mut text, &change.examples);
    text
}

fn push_examples(text: &mut String, examples: &[String]) {
    for example in examples {
        let _ = write!(text, "\n    {example}");
    }
}

/// The rule, and the reason where that says more.
fn why(said: &PolicySaid) -> String {
    let Some(rule) = &said.rule else { return said.reason.clone() };
    let at = said.rule_at.as_ref().map_or(String::new(), |at| format!(" ({at})"));
    let reason = if said.reason == "rule" { String::new() } else { format!(", {}", said.reason) };
    format!("rule {rule}{at}{reason}")
}

fn client_in_words(client: &ChangesOfClient) -> String {
    let group = client.group.as_ref().map_or(String::new(), |group| format!(", in group {group}"));
    let turns = client.turns.iter().map(|turn| format!("{} -> {}: {}", turn.from, turn.to, turn.exchanges));
    format!("{}{group}: {}", client.client, turns.collect::<Vec<_>>().join(", "))
}

fn undecided_in_words(kind: &Undecided) -> String {
    let what = match kind.need {
        "hello" => "a ClientHello that is not on record",
        "inner_request" => "the request inside the tunnel",
        "user" => "a user that is not on record",
        other => other,
    };
    let rule = kind.rule.as_ref().map_or(String::new(), |rule| format!("rule {rule} "));
    let mut text = format!("{rule}waits for {what}: {}", exchanges(kind.exchanges));
    push_examples(&mut text, &kind.examples);
    text
}

fn exchanges(count: u64) -> String {
    if count == 1 { "1 exchange".to_owned() } else { format!("{count} exchanges") }
}
