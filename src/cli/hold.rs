use clap::{Args, Subcommand};
use serde::Serialize;

use crate::app::{Note, REASON_BYTES_MAX, StandingHold, note, standing_holds, this_person};
use crate::clock;
use crate::evidence::{Hold, HoldAction, Text, client_of, client_text, shown};
use crate::facts::Timestamp;
use crate::review::questions::QuestionError;

use super::arguments::notes;
use super::device::{JournalOf, notes_of};
use super::error::{CliError, count};
use super::output::{Rows, report};

#[derive(Debug, Subcommand)]
pub(super) enum HoldCommand {
    /// Keep every day of the journal on which a client appears, however old, until it is released
    #[command(after_help = notes!(
        "sekisho hold add 10.20.1.5 --why \"case 2026-12, the legal department\"",
        "sekisho hold add PC-0123 --why \"case 2026-12\"",
        "sekisho hold add 10.20.0.0/16 --why \"case 2026-13\" --data-dir /var/lib/sekisho"
    ))]
    Add(HoldArguments),
    /// End that: what is older than the config keeps is removed within some hours
    #[command(after_help = notes!("sekisho hold release 10.20.1.5 --why \"case 2026-12 is closed\""))]
    Release(HoldArguments),
    /// Show the holds that stand
    #[command(after_help = notes!("sekisho hold list", "sekisho hold list --format json | jq .holds"))]
    List(JournalOf),
}

#[derive(Debug, Args)]
pub(super) struct HoldArguments {
    /// An address or prefix, or a device's name
    #[arg(value_name = "CLIENT")]
    client: String,
    /// Why; it goes on record
    #[arg(long, value_name = "TEXT")]
    why: String,
    #[command(flatten)]
    journal: JournalOf,
}

#[derive(Serialize)]
struct Held {
    #[serde(flatten)]
    hold: Hold,
}

#[derive(Serialize)]
struct Listed {
    holds: Vec<StandingHold>,
}

/// Places a legal hold, releases it, or shows those that stand.
pub(super) fn hold(command: HoldCommand) -> Result<(), CliError> {
    match command {
        HoldCommand::Add(arguments) => report(arguments.journal.format, set(HoldAction::Placed, &arguments), held_rows),
        HoldCommand::Release(arguments) => {
            report(arguments.journal.format, set(HoldAction::Released, &arguments), held_rows)
        }
        HoldCommand::List(journal) => report(journal.format, list(&journal), list_rows),
    }
}

fn set(action: HoldAction, arguments: &HoldArguments) -> Result<Held, CliError> {
    let why = arguments.why.trim();
    if why.is_empty() || why.len() > REASON_BYTES_MAX || why.chars().any(char::is_control) {
        return Err(CliError::Why);
    }
    let data_dir = arguments.journal.directory();
    let client = client_of(&arguments.client).map(|client| Text::from(&*client_text(&client)));
    let device = client.is_none().then(|| Text::from(&*arguments.client));
    let hold = Hold { who: this_person(), action, client, device, why: why.into() };
    match action {
        HoldAction::Placed => {
            // A name that nobody had would keep nothing, and be taken for a hold.
            if let Some(device) = &hold.device
                && notes_of(&data_dir)?.devices.spans(device.as_str(), Timestamp(0), Timestamp(u64::MAX)).is_empty()
            {
                return Err(CliError::Asked(Box::new(QuestionError::NoDevice(arguments.client.clone()))));
            }
        }
        HoldAction::Released => {
            let standing = standing(&data_dir)?;
            if !standing.iter().any(|standing| standing.hold.is_of_same(&hold)) {
                return Err(CliError::NoHold(arguments.client.clone()));
            }
        }
    }
    note(&data_dir, Note::Hold(Box::new(hold.clone()))).map_err(|source| CliError::Note { data_dir, source })?;
    Ok(Held { hold })
}

fn standing(data_dir: &std::path::Path) -> Result<Vec<StandingHold>, CliError> {
    standing_holds(data_dir).map_err(|source| CliError::Log { path: data_dir.to_owned(), source })
}

fn list(journal: &JournalOf) -> Result<Listed, CliError> {
    let data_dir = journal.directory();
    let directory = data_dir.join("journal");
    if matches!(directory.try_exists(), Ok(false)) {
        return Err(CliError::NoRecords(directory));
    }
    let mut holds = standing(&data_dir)?;
    holds.sort_by_key(|standing| standing.placed().unwrap_or(clock::now()));
    Ok(Listed { holds })
}

fn held_rows(held: &Held) -> Rows {
    let Hold { who, action, why, .. } = &held.hold;
    let kept = match action {
        HoldAction::Placed => "every day on which it appears is kept, until `sekisho hold release`",
        HoldAction::Released => "its days go as the config has it, within some hours",
    };
    vec![
        ("on record", format!("legal hold {}, {}, by {who}", action.as_str(), shown(held.hold.subject()))),
        ("why", shown(why.as_str()).into_owned()),
        ("now", kept.to_owned()),
    ]
}

fn list_rows(listed: &Listed) -> Rows {
    let mut rows = vec![("holds", count(listed.holds.len(), "legal hold"))];
    rows.extend(listed.holds.iter().map(|StandingHold { since, hold }| {
        let Hold { who, why, .. } = hold;
        ("held", format!("{since}  {}, by {who}\n{}", shown(hold.subject()), shown(why.as_str())))
    }));
    rows
}

#[cfg(test)]
mod tests {
    use crate::evidence::Person;

    use super::super::output::table;
    use super::*;

    #[test]
    fn holds_are_shown_so_and_no_escape_reaches_the_terminal() {
        let who = Person { uid: Some(0), login: Some("root".into()), console: None, claims: None };
        let (device, why) = (Some("PC\u{1b}[2J".into()), "case\u{202e} 12".into());
        let hold = Hold { who, action: HoldAction::Placed, client: None, device, why };
        let told = "legal hold placed, PC\\u{1b}[2J, by root (user 0)";
        let expected = format!(
            "on record   {told}\nwhy         case\\u{{202e}} 12\nnow         every day on which it appears is kept, until `sekisho hold release`\n"
        );
        assert_eq!(table(&held_rows(&Held { hold: hold.clone() })), expected);
        let since = "2026-11-27T01:00:00.000000Z".to_owned();
        let listed = Listed { holds: vec![StandingHold { since, hold }] };
        assert_eq!(
            table(&list_rows(&listed)),
            "holds   1 legal hold\nheld    2026-11-27T01:00:00.000000Z  PC\\u{1b}[2J, by root (user 0)\n        case\\u{202e} 12\n"
        );
    }
}
