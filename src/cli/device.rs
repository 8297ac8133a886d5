use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use serde::Serialize;

use crate::app::{Note, note, this_person};
use crate::clock;
use crate::evidence::{Assignment, Certainty, DeviceSpan, Lookup, Text, client_of, client_text, format_time, shown};
use crate::facts::Timestamp;
use crate::review::{Notes, Since, read_notes};

use super::arguments::notes;
use super::error::{CliError, count};
use super::files::default_data_dir;
use super::output::{Format, Rows, report};
use super::progress::ProgressLine;
use super::verify::around;

#[derive(Debug, Subcommand)]
pub(super) enum DeviceCommand {
    /// Show which device each client is at a time
    #[command(after_help = notes!(
        "sekisho device list",
        "sekisho device list --at 2026-11-25T10:00:00+09:00",
        "sekisho device list --format json | jq '.devices[] | select(.certainty == \"uncertain\")'"
    ))]
    List(ListArguments),
    /// Show which addresses a device has had, or which devices have had an address
    ///
    /// That somebody asked goes on record first, as a `lookup`: where that cannot be, nothing is shown.
    #[command(after_help = notes!(
        "sekisho device show PC-0123 --since 30d",
        "sekisho device show 10.20.1.5 --since 2026-11-01 --until 2026-11-08"
    ))]
    Show(ShowArguments),
}

#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// When, as for --since of other commands [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<Since>,
    #[command(flatten)]
    journal: JournalOf,
}

#[derive(Debug, Args)]
pub(super) struct ShowArguments {
    /// A device's name, or an address
    #[arg(value_name = "NAME|ADDRESS")]
    which: String,
    /// From when on: a day (2026-11-01, from midnight UTC), a time (RFC 3339), or how long ago (7d, 12h, 30m)
    /// [default: all that is on record]
    #[arg(long, value_name = "TIME")]
    since: Option<Since>,
    /// Up to when [default: now]
    #[arg(long, value_name = "TIME")]
    until: Option<Since>,
    #[command(flatten)]
    journal: JournalOf,
}

/// Whose records, and how they are shown.
#[derive(Debug, Args)]
pub(super) struct JournalOf {
    /// The data directory of the gate [default: where `run` keeps it when nothing else is said]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) data_dir: Option<PathBuf>,
    /// A table for eyes, or JSON for machines
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(super) format: Format,
}

impl JournalOf {
    pub(super) fn directory(&self) -> PathBuf {
        let data_dir = self.data_dir.clone().unwrap_or_else(default_data_dir);
        around(&data_dir).to_owned()
    }
}

/// A client, and which device it is.
#[derive(Serialize)]
struct ClientDevice {
    client: String,
    certainty: Certainty,
    /// The one that counts first; what a client claims is among them.
    names: Vec<Name>,
}

#[derive(Serialize)]
struct Name {
    name: String,
    /// Whether an administrator gave it; otherwise the client chose it.
    assigned: bool,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hardware: Option<String>,
    since: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<String>,
}

#[derive(Serialize)]
struct Listed {
    at: String,
    devices: Vec<ClientDevice>,
    #[serde(skip_serializing_if = "is_zero")]
    unreadable: u64,
    #[serde(skip_serializing_if = "is_zero")]
    beyond: u64,
}

#[derive(Serialize)]
struct Shown {
    asked: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    until: String,
    /// Of a name: which addresses it had.
    spans: Vec<Span>,
    /// Of an address: which names it had.
    names: Vec<Name>,
    #[serde(skip_serializing_if = "is_zero")]
    unreadable: u64,
}

#[derive(Serialize)]
struct Span {
    client: String,
    from: String,
    until: String,
    certainty: Certainty,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Shows which client is which device.
pub(super) fn device(command: DeviceCommand) -> Result<(), CliError> {
    match command {
        DeviceCommand::List(arguments) => report(arguments.journal.format, list(&arguments), list_rows),
        DeviceCommand::Show(arguments) => report(arguments.journal.format, show(&arguments), show_rows),
    }
}

/// What is on record of devices, findings and triage.
pub(super) fn notes_of(data_dir: &Path) -> Result<Notes, CliError> {
    let journal = data_dir.join("journal");
    if matches!(journal.try_exists(), Ok(false)) {
        return Err(CliError::NoRecords(journal));
    }
    let mut line = ProgressLine::new();
    read_notes(data_dir, |at| line.show(at)).map_err(CliError::Journal)
}

fn list(arguments: &ListArguments) -> Result<Listed, CliError> {
    let notes = notes_of(&arguments.journal.directory())?;
    let now = clock::now();
    let at = arguments.at.map_or(now, |at| at.before(now));
    let mut clients: Vec<_> = notes.devices.iter().filter(|one| one.covers(at)).map(|one| one.client).collect();
    clients.sort();
    clients.dedup();
    let devices = clients.into_iter().map(|client| {
        let found = notes.devices.at(client.addr(), at);
        let names = found.names.into_iter().map(Name::of).collect();
        ClientDevice { client: client_text(&client), certainty: found.certainty, names }
    });
    Ok(Listed {
        at: format_time(at),
        devices: devices.collect(),
        unreadable: notes.unreadable,
        beyond: notes.devices.beyond(),
    })
}

fn show(arguments: &ShowArguments) -> Result<Shown, CliError> {
    let data_dir = arguments.journal.directory();
    let now = clock::now();
    let since = arguments.since.map(|since| since.before(now));
    let until = arguments.until.map_or(now, |until| until.before(now));
    let address: Option<IpAddr> = arguments.which.parse().ok();
    let asked = Some(Text::from(&*arguments.which));
    let lookup = Lookup {
        who: this_person(),
        question: "device show".into(),
        client: asked.clone().filter(|_| address.is_some()),
        user: None,
        device: asked.filter(|_| address.is_none()),
        since,
        until: Some(until),
    };
    if matches!(data_dir.join("journal").try_exists(), Ok(false)) {
        return Err(CliError::NoRecords(data_dir.join("journal")));
    }
    note(&data_dir, Note::Lookup(lookup)).map_err(|source| CliError::Note { data_dir: data_dir.clone(), source })?;
    let notes = notes_of(&data_dir)?;
    let from = since.unwrap_or_default();
    let is_within = |one: &&Assignment| one.since < until && one.until.is_none_or(|end| from < end && one.since < end);
    let of_address = address.and_then(|address| client_of(&address.to_string()));
    let mut names: Vec<&Assignment> = notes
        .devices
        .iter()
        .filter(|one| of_address.is_some_and(|asked| one.client.contains(&asked)))
        .filter(is_within)
        .collect();
    names.sort_by_key(|one| one.since);
    let spans = match address {
        Some(_) => Vec::new(),
        None => notes.devices.spans(&arguments.which, from, until),
    };
    Ok(Shown {
        asked: arguments.which.clone(),
        since: since.map(format_time),
        until: format_time(until),
        spans: spans.iter().map(Span::of).collect(),
        names: names.into_iter().map(Name::of).collect(),
        unreadable: notes.unreadable,
    })
}

impl Name {
    fn of(one: &Assignment) -> Self {
        Self {
            name: one.name.as_str().to_owned(),
            assigned: one.source.is_assigned(),
            source: one.source.as_str(),
            hardware: one.hardware.as_ref().map(|hardware| hardware.as_str().to_owned()),
            since: format_time(one.since),
            until: one.until.map(format_time),
        }
    }

    fn in_words(&self) -> String {
        let hardware = self.hardware.as_deref().map_or(String::new(), |hardware| format!(", {}", shown(hardware)));
        let how = if self.assigned { "assigned" } else { "claimed" };
        let since = if self.since == format_time(Timestamp(0)) { "ever" } else { &*self.since };
        let until = self.until.as_deref().unwrap_or("further notice");
        format!("{}  ({how}: {}{hardware}; since {since}, until {until})", shown(&self.name), self.source)
    }
}

impl Span {
    fn of(span: &DeviceSpan) -> Self {
        Self {
            client: client_text(&span.client),
            from: format_time(span.from),
            until: format_time(span.until),
            certainty: span.certainty,
        }
    }
}

fn certainty_mark(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Known => "",
        Certainty::Uncertain => "  uncertain",
    }
}

fn list_rows(listed: &Listed) -> Rows {
    let mut rows = vec![("at", listed.at.clone()), ("devices", count(listed.devices.len(), "client"))];
    rows.extend(listed.devices.iter().map(|device| {
        let names: Vec<String> = device.names.iter().map(Name::in_words).collect();
        ("client", format!("{}{}\n{}", device.client, certainty_mark(device.certainty), names.join("\n")))
    }));
    warn(&mut rows, listed.unreadable, listed.beyond);
    rows
}

fn show_rows(told: &Shown) -> Rows {
    let range = format!("{} to {}", told.since.as_deref().unwrap_or("the first record"), told.until);
    let mut rows = vec![("asked", shown(&told.asked).into_owned()), ("range", range)];
    rows.extend(told.names.iter().map(|name| ("device", name.in_words())));
    rows.extend(told.spans.iter().map(|span| {
        ("client", format!("{}  {} to {}{}", span.client, span.from, span.until, certainty_mark(span.certainty)))
    }));
    if told.names.is_empty() && told.spans.is_empty() {
        rows.push(("result", "nothing is on record of it: see [devices] in the config".to_owned()));
    }
    warn(&mut rows, told.unreadable, 0);
    rows
}

fn warn(rows: &mut Rows, unreadable: u64, beyond: u64) {
    if unreadable > 0 {
        rows.push(("WARNING", format!("{unreadable} records cannot be read; see `sekisho verify`")));
    }
    if beyond > 0 {
        rows.push(("WARNING", format!("{beyond} assignments are left out, as there are too many")));
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::DeviceSource;

    use super::super::output::table;
    use super::*;

    fn name(name: &str, source: DeviceSource, until: Option<u64>) -> Name {
        Name::of(&Assignment {
            client: client_of("10.0.0.1").expect("it is an address"),
            name: name.into(),
            hardware: Some("aa:bb".into()),
            source,
            since: Timestamp(0),
            until: until.map(Timestamp),
        })
    }

    #[test]
    fn devices_are_shown_so_and_no_escape_reaches_the_terminal() {
        let device = ClientDevice {
            client: "10.0.0.1".to_owned(),
            certainty: Certainty::Uncertain,
            names: vec![
                name("press 4", DeviceSource::Table, None),
                name("x\u{1b}[2J", DeviceSource::Kea, Some(5_000_000)),
            ],
        };
        let listed = Listed { at: "now".to_owned(), devices: vec![device], unreadable: 2, beyond: 0 };
        let expected = "\
at        now
devices   1 client
client    10.0.0.1  uncertain
          press 4  (assigned: table, aa:bb; since ever, until further notice)
          x\\u{1b}[2J  (claimed: kea, aa:bb; since ever, until 1970-01-01T00:00:05.000000Z)
WARNING   2 records cannot be read; see `sekisho verify`
";
        assert_eq!(table(&list_rows(&listed)), expected);
        let span = DeviceSpan {
            client: client_of("10.0.0.1").expect("it is an address"),
            from: Timestamp(0),
            until: Timestamp(1_000_000),
            certainty: Certainty::Known,
        };
        let told = |spans: Vec<Span>| Shown {
            asked: "pc\u{202e}".to_owned(),
            since: None,
            until: "now".to_owned(),
            spans,
            names: Vec::new(),
            unreadable: 0,
        };
        let expected = "\
asked    pc\\u{202e}
range    the first record to now
client   10.0.0.1  1970-01-01T00:00:00.000000Z to 1970-01-01T00:00:01.000000Z
";
        assert_eq!(table(&show_rows(&told(vec![Span::of(&span)]))), expected);
        assert!(table(&show_rows(&told(Vec::new()))).contains("nothing is on record of it"));
    }
}
