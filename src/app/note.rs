//! What a person does goes on record before it counts: through the running gate, or where none runs, straight into the journal.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::evidence::{Hold, Lookup, Person, Record, Text, Triage};
use crate::session::Gate;
use crate::store::{AloneError, NotAccepted, append_alone};

use super::control::{self, AskError};
use super::{NotDone, holds, system};

/// What a person does. Who it is, is filled in by whoever puts it on record: only what they claim is taken from here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Note {
    Lookup(Lookup),
    Triage(Box<Triage>),
    Hold(Box<Hold>),
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
    Person { uid: Some(uid), login: system::login_name(uid).map(|name| Text::from(&*name)), claims: claims() }
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
    let hold = note.hold();
    append_alone(data_dir, &note.by(this_person())).map_err(NoteError::Alone)?;
    hold.map_or(Ok(()), |hold| holds::take_up(data_dir, &hold, clock::now())).map_err(NoteError::NotKept)
}

/// There is no socket, or nobody listens on it: one that may not be used is another matter.
fn is_no_gate(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// The same at the gate, for the user whom the socket names.
///
/// # Errors
/// It is longer than fits a record, or the journal takes none.
pub(super) async fn put_on_record(gate: &Gate, data_dir: &Path, note: Note, uid: Option<u32>) -> Result<(), NotDone> {
    let login = match uid {
        Some(uid) => tokio::task::spawn_blocking(move || system::login_name(uid)).await.ok().flatten(),
        None => None,
    };
    let who = Person { uid, login: login.map(|name| Text::from(&*name)), claims: note.who().claims.clone() };
    let hold = note.hold().map(|hold| Hold { who: who.clone(), ..hold });
    gate.journal.append(&note.by(who), clock::now()).await.map_err(|error| match error {
        NotAccepted::Overloaded => NotDone::Overloaded,
        NotAccepted::Disk => NotDone::NoRecord,
    })?;
    let Some(hold) = hold else { return Ok(()) };
    let data_dir = data_dir.to_owned();
    let taken = tokio::task::spawn_blocking(move || holds::take_up(&data_dir, &hold, clock::now()));
    let taken = taken.await.unwrap_or_else(|_| Err(io::Error::other("the task that writes it died")));
    taken.map_err(|error| NotDone::NotKept(error.to_string()))
}

impl Note {
    fn who(&self) -> &Person {
        match self {
            Note::Lookup(lookup) => &lookup.who,
            Note::Triage(triage) => &triage.who,
            Note::Hold(hold) => &hold.who,
        }
    }

    fn hold(&self) -> Option<Hold> {
        match self {
            Note::Hold(hold) => Some((**hold).clone()),
            Note::Lookup(_) | Note::Triage(_) => None,
        }
    }

    fn by(self, who: Person) -> Record {
        match self {
            Note::Lookup(lookup) => Record::Lookup(Lookup { who, ..lookup }),
            Note::Triage(triage) => Record::Triage(Box::new(Triage { who, ..*triage })),
            Note::Hold(hold) => Record::Hold(Box::new(Hold { who, ..*hold })),
        }
    }
}
