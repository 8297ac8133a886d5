use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use ipnet::IpNet;
use serde::Serialize;

use crate::app::{
    AskError, ContingencyStatus, IsolatedStatus, LeftBehind, LockdownStatus, Note, PlaceState, PlaceStatus, Question,
    REASON_BYTES_MAX, Status, ask, note, standing_contingencies, this_person,
};
use crate::clock;
use crate::evidence::{Certainty, Contingency, ContingencyAction, Text, client_of, client_text, shown};
use crate::facts::Timestamp;

use super::device::{JournalOf, notes_of};
use super::error::{CliError, count};
use super::output::{Rows, report};

#[derive(Debug, Args)]
pub(super) struct IsolateArguments {
    /// An address or prefix, or a device's name: the addresses that it has now
    #[arg(value_name = "CLIENT")]
    client: String,
    /// Why; it goes on record
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    journal: JournalOf,
}

#[derive(Debug, Args)]
pub(super) struct ReleaseArguments {
    /// An address or prefix as it was cut off, or the name of the device
    #[arg(value_name = "CLIENT")]
    client: String,
    /// Why; it goes on record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    journal: JournalOf,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["reason", "end"]))]
pub(super) struct LockdownArguments {
    /// Why; it goes on record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// End it
    #[arg(long)]
    end: bool,
    #[command(flatten)]
    journal: JournalOf,
}

/// What was done, and what holds after that.
#[derive(Debug, Serialize)]
pub(super) struct Done {
    done: Vec<Contingency>,
    /// Absent where no gate runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<ContingencyStatus>,
}

/// A person waits so long to hear what the kernel and hooks have done.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(20);

/// Networks that are cut off have so many bits in common: more of them are a lockdown.
const PREFIX_MIN: [u8; 2] = [8, 32];

/// Cuts a client off, in the gate and wherever else it can be.
pub(super) fn isolate(arguments: &IsolateArguments) -> Result<(), CliError> {
    report(arguments.journal.format, isolated(arguments), rows)
}

/// Ends that.
pub(super) fn release(arguments: &ReleaseArguments) -> Result<(), CliError> {
    report(arguments.journal.format, released(arguments), rows)
}

/// Lets nothing pass but what is essential, or ends that.
pub(super) fn lockdown(arguments: &LockdownArguments) -> Result<(), CliError> {
    report(arguments.journal.format, locked_down(arguments), rows)
}

fn isolated(arguments: &IsolateArguments) -> Result<Done, CliError> {
    let (data_dir, why) = (arguments.journal.directory(), reason(Some(&arguments.reason))?);
    let (clients, device) = clients(&data_dir, &arguments.client)?;
    let all = clients.iter().map(|client| (ContingencyAction::Isolated, Some(Text::from(&*client_text(client)))));
    done(&data_dir, all, device.as_deref(), why.as_ref())
}

/// Cuts a client off that a person marked as doing harm.
pub(super) fn isolate_marked(data_dir: &Path, client: IpNet, why: &str) -> Result<Done, CliError> {
    let one = [(ContingencyAction::Isolated, Some(Text::from(&*client_text(&client))))];
    done(data_dir, one.into_iter(), None, Some(&why.into()))
}

/// Whether a client is cut off, as far as that can be read.
pub(super) fn is_isolated(data_dir: &Path, client: &str) -> bool {
    let of = |one: &Contingency| {
        one.action == ContingencyAction::Isolated && one.client.as_ref().is_some_and(|of| of.as_str() == client)
    };
    standing(data_dir).is_ok_and(|standing| standing.iter().any(of))
}

/// Whether it is few enough addresses to be cut off at once.
fn is_narrow(client: IpNet) -> bool {
    let [of_v4, of_v6] = PREFIX_MIN;
    client.prefix_len() >= if matches!(client, IpNet::V4(_)) { of_v4 } else { of_v6 }
}

fn released(arguments: &ReleaseArguments) -> Result<Done, CliError> {
    let (data_dir, why) = (arguments.journal.directory(), reason(arguments.reason.as_deref())?);
    let named = client_of(&arguments.client).map(|client| client_text(&client));
    let is_meant = |one: &Contingency| match &named {
        Some(client) => one.client.as_ref().is_some_and(|of| of.as_str() == client),
        None => one.device.as_ref().is_some_and(|of| of.as_str().eq_ignore_ascii_case(&arguments.client)),
    };
    let standing = standing(&data_dir)?;
    let meant: Vec<_> = standing.into_iter().filter(is_meant).collect();
    if meant.is_empty() {
        return Err(CliError::NotIsolated(arguments.client.clone()));
    }
    let device = meant.iter().find_map(|one| one.device.clone());
    let all = meant.into_iter().map(|one| (ContingencyAction::Released, one.client));
    done(&data_dir, all, device.as_ref().map(Text::as_str), why.as_ref())
}

fn locked_down(arguments: &LockdownArguments) -> Result<Done, CliError> {
    let (data_dir, why) = (arguments.journal.directory(), reason(arguments.reason.as_deref())?);
    if arguments.end && !standing(&data_dir)?.iter().any(|one| one.action == ContingencyAction::Lockdown) {
        return Err(CliError::NoLockdown);
    }
    let action = if arguments.end { ContingencyAction::LockdownEnded } else { ContingencyAction::Lockdown };
    done(&data_dir, [(action, None)].into_iter(), None, why.as_ref())
}

fn standing(data_dir: &Path) -> Result<Vec<Contingency>, CliError> {
    let standing = standing_contingencies(data_dir);
    let standing = standing.map_err(|source| CliError::Log { path: data_dir.to_owned(), source })?;
    Ok(standing.into_iter().map(|one| one.contingency).collect())
}

fn reason(given: Option<&str>) -> Result<Option<Text>, CliError> {
    let Some(reason) = given.map(str::trim) else { return Ok(None) };
    let is_fit = !reason.is_empty() && reason.len() <= REASON_BYTES_MAX && !reason.chars().any(char::is_control);
    if is_fit { Ok(Some(reason.into())) } else { Err(CliError::Why) }
}

/// Whom a person means, and the device that they named.
fn clients(data_dir: &Path, named: &str) -> Result<(Vec<IpNet>, Option<String>), CliError> {
    if let Some(client) = client_of(named) {
        return if is_narrow(client) { Ok((vec![client], None)) } else { Err(CliError::TooWide(client)) };
    }
    let now = clock::now();
    let notes = notes_of(data_dir)?;
    let spans = notes.devices.spans(named, now, Timestamp(now.0 + 1));
    // Who claims the name of another would have that one cut off.
    let known: Vec<_> =
        spans.iter().filter(|span| span.certainty == Certainty::Known).map(|span| span.client).collect();
    match known.is_empty() {
        true => Err(CliError::NoDeviceNow {
            name: named.to_owned(),
            uncertain: spans.iter().map(|span| client_text(&span.client)).collect(),
        }),
        false => Ok((known, Some(named.to_owned()))),
    }
}

fn done(
    data_dir: &Path,
    all: impl Iterator<Item = (ContingencyAction, Option<Text>)>,
    device: Option<&str>,
    why: Option<&Text>,
) -> Result<Done, CliError> {
    let mut done = Vec::new();
    for (action, client) in all {
        let device = device.map(Text::from);
        let one = Contingency { who: this_person(), action, client, device, place: None, why: why.cloned() };
        let noted = note(data_dir, Note::Contingency(Box::new(one.clone())));
        noted.map_err(|source| CliError::Note { data_dir: data_dir.to_owned(), source })?;
        done.push(one);
    }
    let now = now(data_dir, &done)?;
    Ok(Done { done, now })
}

/// How it stands: once the kernel and the hooks have done it or failed, or after some seconds.
fn now(data_dir: &Path, done: &[Contingency]) -> Result<Option<ContingencyStatus>, CliError> {
    let begun = Instant::now();
    loop {
        let status = match ask(data_dir, &Question::Status) {
            Ok(Status { contingencies, .. }) => contingencies,
            Err(AskError::NoGate(_)) => return Ok(None),
            Err(source) => return Err(CliError::Ask { data_dir: data_dir.to_owned(), source }),
        };
        let waits = elsewhere(&status, done).any(|place| place.state == PlaceState::Pending)
            || status.left_behind.iter().any(|left| left.error.is_none());
        if !waits || begun.elapsed() >= PATIENCE {
            return Ok(Some(status));
        }
        thread::sleep(LOOK);
    }
}

/// Whether it is about a client that something was done to.
fn is_meant(one: &IsolatedStatus, done: &[Contingency]) -> bool {
    done.iter().any(|done| done.client.as_ref().is_some_and(|client| client.as_str() == one.client))
}

fn elsewhere<'a>(status: &'a ContingencyStatus, done: &'a [Contingency]) -> impl Iterator<Item = &'a PlaceStatus> {
    let of_lockdown = status.lockdown.iter().flat_map(|lockdown| &lockdown.elsewhere);
    of_lockdown.chain(status.isolated.iter().filter(|one| is_meant(one, done)).flat_map(|one| &one.elsewhere))
}

pub(super) fn rows(done: &Done) -> Rows {
    let mut rows = Vec::new();
    for Contingency { who, action, client, device, why, .. } in &done.done {
        let what = match action {
            ContingencyAction::Isolated => "isolated",
            ContingencyAction::Released => "released",
            ContingencyAction::LockdownEnded => "lockdown ended",
            ContingencyAction::Lockdown | ContingencyAction::Done | ContingencyAction::NotDone => "lockdown",
        };
        let client = client.as_ref().map(|client| format!(", {}", shown(client.as_str()))).unwrap_or_default();
        let device = device.as_ref().map(|device| format!(" ({})", shown(device.as_str()))).unwrap_or_default();
        let why = why.as_ref().map(|why| format!(": {}", shown(why.as_str()))).unwrap_or_default();
        rows.push(("on record", format!("{what}{client}{device}, by {who}{why}")));
    }
    let Some(now) = &done.now else {
        rows.push((
            "NOTE",
            "no gate runs here: it holds in the gate from its next start on, and nowhere else before".into(),
        ));
        return rows;
    };
    for isolated in now.isolated.iter().filter(|one| is_meant(one, &done.done)) {
        rows.extend(isolated_rows(isolated));
    }
    rows.extend(now.left_behind.iter().flat_map(left_rows));
    rows.extend(now.kernel_fault.as_deref().map(kernel_row));
    if let Some(lockdown) = now.lockdown.as_ref().filter(|_| done.done.iter().any(|done| done.client.is_none())) {
        rows.extend(lockdown_rows(lockdown));
    }
    rows
}

/// One that is cut off, and where: what `status` shows too.
pub(super) fn isolated_rows(isolated: &IsolatedStatus) -> Rows {
    let IsolatedStatus { client, device, since, by, why, elsewhere } = isolated;
    let device = device.as_ref().map(|device| format!(" ({})", shown(device))).unwrap_or_default();
    let since = since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
    let why = why.as_ref().map(|why| format!(": {}", shown(why))).unwrap_or_default();
    let first = format!("{}{device}{since}, by {}{why}", shown(client), shown(by));
    let places = elsewhere.iter().map(place);
    let where_ = std::iter::once("proxy: cut off, tunnels and downloads too".to_owned()).chain(places);
    vec![("isolated", format!("{first}\n{}", where_.collect::<Vec<_>>().join("\n")))]
}

/// One that was released, and is not everywhere.
pub(super) fn left_rows(left: &LeftBehind) -> Rows {
    let LeftBehind { client, place, error } = left;
    let who = client.as_deref().unwrap_or("the lockdown");
    let why = error.as_ref().map(|why| format!(": {}", shown(why))).unwrap_or_default();
    vec![("WARNING", format!("{} was ended, and {place} does not have it so yet{why}", shown(who)))]
}

/// Why nothing reaches the kernel any more.
pub(super) fn kernel_row(why: &str) -> (&'static str, String) {
    ("WARNING", format!("who is isolated, and a lockdown, are in the gate alone: {}", shown(why)))
}

/// The lockdown.
pub(super) fn lockdown_rows(lockdown: &LockdownStatus) -> Rows {
    let LockdownStatus { since, by, why, essential_rules, elsewhere } = lockdown;
    let passes = match essential_rules {
        0 => "NOTHING passes: no rule of the policy in force is marked `essential`".to_owned(),
        rules => format!("nothing passes the gate but what {} let out", count(*rules, "essential rule")),
    };
    let why = if why.is_empty() { String::new() } else { format!(": {}", shown(why)) };
    let places: String = elsewhere.iter().map(|one| format!("\n{}", place(one))).collect();
    vec![("LOCKDOWN", format!("since {since}, by {}{why}\n{passes}{places}", shown(by)))]
}

fn place(place: &PlaceStatus) -> String {
    let PlaceStatus { place, state, error, goes_on } = place;
    let is_hook = place.starts_with("hook ");
    let told = match (state, is_hook) {
        (PlaceState::Done, true) => "told",
        (PlaceState::Done, false) => "cut off, open connections too",
        (PlaceState::Pending, _) => "not yet",
        (PlaceState::NotDone, true) => "NOT TOLD",
        (PlaceState::NotDone, false) => "NOT CUT OFF",
    };
    let why = error.as_ref().map(|why| format!(": {}", shown(why))).unwrap_or_default();
    let goes_on = goes_on.as_ref().map(|what| format!("; NOT: {}", shown(what))).unwrap_or_default();
    format!("{place}: {told}{why}{goes_on}")
}

#[cfg(test)]
mod tests {
    use crate::evidence::Person;

    use super::super::output::table;
    use super::*;

    #[test]
    fn what_is_not_cut_off_is_said_and_no_escape_reaches_the_terminal() {
        let who = Person { uid: Some(0), login: Some("root".into()), console: None, claims: None };
        let done = Contingency {
            who,
            action: ContingencyAction::Isolated,
            client: Some("10.0.0.5".into()),
            device: None,
            place: None,
            why: Some("beacon\u{1b}[2J".into()),
        };
        let place = |place: &str, state, error: Option<&str>| PlaceStatus {
            place: place.to_owned(),
            state,
            error: error.map(str::to_owned),
            goes_on: None,
        };
        let isolated = IsolatedStatus {
            client: "10.0.0.5".into(),
            device: Some("PC\u{202e}".into()),
            since: Some("2026-11-27T01:00:00.000000Z".into()),
            by: "root (user 0)".into(),
            why: Some("beacon".into()),
            elsewhere: vec![
                place("kernel", PlaceState::NotDone, Some("the gate has no CAP_NET_ADMIN")),
                place("hook switch", PlaceState::Done, None),
            ],
        };
        let now = Some(ContingencyStatus { isolated: vec![isolated], ..ContingencyStatus::default() });
        let expected = "on record   isolated, 10.0.0.5, by root (user 0): beacon\\u{1b}[2J\n\
             isolated    10.0.0.5 (PC\\u{202e}) since 2026-11-27T01:00:00.000000Z, by root (user 0): beacon\n            \
             proxy: cut off, tunnels and downloads too\n            \
             kernel: NOT CUT OFF: the gate has no CAP_NET_ADMIN\n            hook switch: told\n";
        assert_eq!(table(&rows(&Done { done: vec![done], now })), expected);
    }

    #[test]
    fn a_lockdown_without_essential_rules_is_shown_for_what_it_is() {
        let lockdown = LockdownStatus {
            since: "2026-11-27T01:00:00.000000Z".into(),
            by: "root (user 0)".into(),
            why: "ransomware".into(),
            essential_rules: 0,
            elsewhere: Vec::new(),
        };
        let text = table(&lockdown_rows(&lockdown));
        assert!(text.starts_with("LOCKDOWN   since 2026-11-27") && text.contains("NOTHING passes"), "{text}");
    }
}
