//! What a person does goes on record before it counts: through the running gate, or where none runs, straight into the journal.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::clock;
use crate::evidence::{Admin, Contingency, Hold, Lookup, Person, Record, Text, Triage};
use crate::store::{AloneError, NotAccepted, append_alone};

use super::control::{self, AskError};
use super::status::Reporter;
use super::{NotDone, contingency, holds, system};

/// What a person does. Who it is, is filled in by whoever puts it on record: only what they claim is taken from here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    Lookup(Lookup),
    Triage(Box<Triage>),
    Hold(Box<Hold>),
    Contingency(Box<Contingency>),
    User(Box<UserChange>),
}

/// Who may log in to the console becomes another.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserChange {
    #[serde(flatten)]
    pub who: Person,
    /// Whom it is about.
    pub user: Text,
    /// As what they may log in from now on, by a new password; absent where they may not any more.
    pub role: Option<Text>,
}

/// Why it is not on record, and may not be done.
#[derive(Debug, thiserror::Error)]
pub enum NoteError {
    /// A gate runs and does not take it.
    #[error("the gate does not put it on record, so nothing is done: {0}")]
    Ask(AskError),
    /// No gate runs, and the journal cannot be written to.
    #[error("it cannot be put on record, so nothing is done: {0}")]
    Alone(AloneError),
    #[error("it is on record, and is not in force: {0}")]
    NotKept(io::Error),
}

/// The person who runs this program.
pub fn this_person() -> Person {
    let uid = rustix::process::getuid().as_raw();
    Person {
        uid: Some(uid),
        login: system::login_name(uid).map(|name| Text::from(&*name)),
        console: None,
        claims: claims(),
    }
}

/// Whom `sudo` says it acts for; anybody can set that.
fn claims() -> Option<Text> {
    let name = std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX)?;
    Some(Text::from(&*name))
}

/// A name that is longer is none.
const NAME_BYTES_MAX: usize = 256;

/// Puts what a person does on record, and comes back when it is.
///
/// # Errors
/// It is not on record, and may not be done.
pub fn note(data_dir: &Path, note: Note) -> Result<(), NoteError> {
    match control::ask_note(data_dir, note.clone()) {
        Ok(()) => return Ok(()),
        Err(AskError::NoGate(error)) if is_no_gate(&error) => {}
        Err(error) => return Err(NoteError::Ask(error)),
    }
    let (hold, contingency) = (note.hold(), note.contingency());
    // What tightens holds first: a gate may start in between.
    let (tightens, loosens) = match contingency {
        Some(contingency) if contingency.action.tightens() => (Some(contingency), None),
        other => (None, other),
    };
    if let Some(contingency) = tightens {
        contingency::take_up_alone(data_dir, &contingency, clock::now()).map_err(NoteError::NotKept)?;
    }
    let take_up = || {
        hold.map_or(Ok(()), |hold| holds::take_up(data_dir, &hold, clock::now()))?;
        loosens.map_or(Ok(()), |contingency| contingency::take_up_alone(data_dir, &contingency, clock::now()))
    };
    let taken_up = append_alone(data_dir, &note.by(this_person()), take_up).map_err(NoteError::Alone)?;
    taken_up.map_err(NoteError::NotKept)
}

/// So long a name is waited for; the number is on record in any case.
const NAMING: Duration = Duration::from_millis(250);

/// There is no socket, or nobody listens on it: one that may not be used is another matter.
fn is_no_gate(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// The same at the gate, for the user whom the socket names. What tightens holds before it is on record, all else after that.
///
/// # Errors
/// It is longer than fits a record, makes no sense, or the journal takes none.
pub(super) async fn put_on_record(reporter: &Arc<Reporter>, note: Note, uid: Option<u32>) -> Result<(), NotDone> {
    let login = match uid {
        // Names may lie in a directory far away, and no emergency waits for that.
        Some(uid) => {
            let name = tokio::task::spawn_blocking(move || system::login_name(uid));
            timeout(NAMING, name).await.ok().and_then(Result::ok).flatten()
        }
        None => None,
    };
    let who =
        Person { uid, login: login.map(|name| Text::from(&*name)), console: None, claims: note.who().claims.clone() };
    put_on_record_of(reporter, note, who).await
}

/// The same for a person whom somebody else has made sure of.
///
/// # Errors
/// As [`put_on_record`].
pub(super) async fn put_on_record_of(reporter: &Arc<Reporter>, note: Note, who: Person) -> Result<(), NotDone> {
    let hold = note.hold().map(|hold| Hold { who: who.clone(), ..hold });
    let contingency = note.contingency().map(|contingency| Contingency { who: who.clone(), ..contingency });
    if let Some(contingency) = &contingency {
        reporter.contingencies.check(contingency)?;
    }
    let (record, journal) = (note.by(who), &reporter.gate.journal);
    if let Some(contingency) = contingency.as_ref().filter(|one| one.action.tightens()) {
        let kept = change(reporter, contingency).await;
        return match journal.append(&record, clock::now()).await {
            Ok(()) => kept,
            Err(_) => {
                journal.tell(&record, clock::now());
                kept.and(Err(NotDone::Unrecorded))
            }
        };
    }
    journal.append(&record, clock::now()).await.map_err(|error| match error {
        NotAccepted::Overloaded => NotDone::Overloaded,
        NotAccepted::Disk => NotDone::NoRecord,
    })?;
    if let Some(contingency) = &contingency {
        return change(reporter, contingency).await;
    }
    let Some(hold) = hold else { return Ok(()) };
    let data_dir = reporter.data_dir.clone();
    let taken = tokio::task::spawn_blocking(move || holds::take_up(&data_dir, &hold, clock::now()));
    let taken = taken.await.unwrap_or_else(|_| Err(io::Error::other("the task that writes it died")));
    taken.map_err(|error| NotDone::NotKept(error.to_string()))
}

async fn change(reporter: &Arc<Reporter>, contingency: &Contingency) -> Result<(), NotDone> {
    let (reporter, contingency) = (reporter.clone(), contingency.clone());
    let change = move || reporter.contingencies.change(&reporter.gate, &contingency, clock::now());
    let changed = tokio::task::spawn_blocking(change).await;
    let changed = changed.unwrap_or_else(|_| Err(io::Error::other("the task that writes it died")));
    changed.map_err(|error| NotDone::NotKeptOver(error.to_string()))
}

impl Note {
    pub(super) fn who(&self) -> &Person {
        match self {
            Note::Lookup(lookup) => &lookup.who,
            Note::Triage(triage) => &triage.who,
            Note::Hold(hold) => &hold.who,
            Note::Contingency(contingency) => &contingency.who,
            Note::User(change) => &change.who,
        }
    }

    fn hold(&self) -> Option<Hold> {
        match self {
            Note::Hold(hold) => Some((**hold).clone()),
            Note::Lookup(_) | Note::Triage(_) | Note::Contingency(_) | Note::User(_) => None,
        }
    }

    fn contingency(&self) -> Option<Contingency> {
        match self {
            Note::Contingency(contingency) => Some((**contingency).clone()),
            Note::Lookup(_) | Note::Triage(_) | Note::Hold(_) | Note::User(_) => None,
        }
    }

    fn by(self, who: Person) -> Record {
        match self {
            Note::Lookup(lookup) => Record::Lookup(Lookup { who, ..lookup }),
            Note::Triage(triage) => Record::Triage(Box::new(Triage { who, ..*triage })),
            Note::Hold(hold) => Record::Hold(Box::new(Hold { who, ..*hold })),
            Note::Contingency(contingency) => Record::Contingency(Box::new(Contingency { who, ..*contingency })),
            Note::User(change) => {
                let (action, role) = match &change.role {
                    Some(role) => ("console_user_set", format!(" ({})", role.as_str())),
                    None => ("console_user_removed", String::new()),
                };
                let detail = format!("{}{role}, by {who}", change.user.as_str());
                Record::Admin(Admin { action, detail: Some(detail.as_str().into()) })
            }
        }
    }
}
