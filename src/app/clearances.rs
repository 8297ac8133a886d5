//! Clearances outlive the gate: they are written down while it runs and at its end, and taken up at its start.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use tokio::time::{MissedTickBehavior, interval};

use crate::challenge::{Clearance, Listed, Means};
use crate::clock;
use crate::evidence::{Admin, Record, format_time};
use crate::facts::{ClientKey, ProgramKey, Timestamp};
use crate::identity::ProgramName;
use crate::session::Gate;

use super::{NotDone, kept, reach, restraints, versions};

/// How often they are written down, and what is over is forgotten.
const KEEP: Duration = Duration::from_secs(60);
/// Where none was given or has ended they are written so often, for the times of their last uses.
const UNCHANGED_MINUTES_MAX: u32 = 10;
/// So many are kept over a restart, those used last; the others are to be shown again.
const KEPT_MAX: usize = 100_000;
/// So many are listed; all are counted.
const LISTED_MAX: usize = 1000;

/// What `sekisho clearance list` shows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Clearances {
    /// How many hold.
    pub count: usize,
    /// The first thousand, the one used last first.
    pub clearances: Vec<ClearanceStatus>,
}

/// A program that has shown to be a browser.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ClearanceStatus {
    /// Its key, as records have it.
    pub program: String,
    pub client: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub user_agent: String,
    /// Its stable TLS key, or the shape of its heads.
    pub face: String,
    /// `reset`, `page`, `wait` or `identity`.
    pub means: String,
    /// UTC.
    pub since: String,
    /// When it was used last, UTC.
    pub used: String,
}

/// A clearance in the file.
#[derive(Serialize, Deserialize)]
struct Line {
    program: String,
    client: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<Box<str>>,
    user_agent: Box<str>,
    face: Box<str>,
    means: String,
    since: u64,
    used: u64,
}

/// Which clearances are taken back: those for which all that is named holds; all where nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Which {
    /// A key, as lists show it.
    pub program: Option<String>,
    /// An address.
    pub client: Option<String>,
    pub user: Option<String>,
}

/// The clearances of a client, of a user, or all.
///
/// # Errors
/// What is named is no client.
pub(super) async fn report(
    gate: &Arc<Gate>,
    client: Option<String>,
    user: Option<String>,
) -> Result<Clearances, NotDone> {
    let client = client.as_deref().map(read_client).transpose()?;
    let gate = gate.clone();
    // A walk over a million of them takes a quarter of a second.
    let listed = tokio::task::spawn_blocking(move || {
        gate.standings.list_of(LISTED_MAX, |of_client, of_user| {
            client.is_none_or(|client| client == of_client) && user.as_deref().is_none_or(|user| Some(user) == of_user)
        })
    });
    let Listed { count, clearances } = listed.await.map_err(|_| NotDone::GateEnds)?;
    let status = |clearance: &Clearance| ClearanceStatus {
        program: clearance.key.to_string(),
        client: clearance.name.client.to_string(),
        user: clearance.name.user.as_deref().map(str::to_owned),
        user_agent: clearance.name.user_agent.to_string(),
        face: clearance.name.face.to_string(),
        means: clearance.means.as_str().to_owned(),
        since: format_time(clearance.since),
        used: format_time(clearance.used),
    };
    Ok(Clearances { count, clearances: clearances.iter().map(status).collect() })
}

/// Takes clearances back, and writes that down before it is answered: no crash brings them back.
///
/// # Errors
/// What is named is no program or client, or the journal takes no record of it.
pub(super) async fn revoke(gate: &Arc<Gate>, data_dir: &Path, which: Which, asker: &str) -> Result<usize, NotDone> {
    let Which { program, client, user } = which;
    let key = program.as_deref().map(|text| read_key(text).ok_or(NotDone::NoProgram)).transpose()?;
    let client = client.as_deref().map(read_client).transpose()?;
    let of_program = key.map_or(String::new(), |key| format!(" of program {key}"));
    let of_client = client.map_or(String::new(), |client| format!(" of client {client}"));
    let of_user = user.as_ref().map_or(String::new(), |user| format!(" of user {user:?}"));
    let detail = format!("clearances{of_program}{of_client}{of_user}, by {asker}");
    let admin = Record::Admin(Admin { action: "clearances_revoked", detail: Some(detail.as_str().into()) });
    gate.journal.append(&admin, clock::now()).await.map_err(|_| NotDone::NoRecord)?;
    let (gate, data_dir) = (gate.clone(), data_dir.to_owned());
    let revoked = tokio::task::spawn_blocking(move || {
        let revoked = gate.standings.revoke(|found, of_client, of_user| {
            key.is_none_or(|key| key == *found)
                && client.is_none_or(|client| client == of_client)
                && user.as_deref().is_none_or(|user| Some(user) == of_user)
        });
        write(&gate, &data_dir);
        revoked
    });
    revoked.await.map_err(|_| NotDone::GateEnds)
}

fn read_client(text: &str) -> Result<ClientKey, NotDone> {
    ClientKey::parse(text).ok_or(NotDone::NoClient)
}

/// Takes up what is kept there. What cannot be read is no error: it is to be shown again.
pub(super) fn take_up(gate: &Gate, data_dir: &Path) {
    let lines = kept::read::<Line>(&path(data_dir), KEPT_MAX);
    gate.standings.restore(lines.into_iter().filter_map(Line::read).collect());
}

/// Forgets what is over each minute for as long as it is polled, restraints as well, and writes down what holds where that has changed, what was
/// learnt of browsers, and which clients trust the authority.
pub(super) async fn keep(gate: Arc<Gate>, data_dir: PathBuf) {
    let mut ticks = interval(KEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let (mut written, mut minutes) = (gate.standings.changes(), 0);
    loop {
        ticks.tick().await;
        minutes += 1;
        let (gate, data_dir) = (gate.clone(), data_dir.clone());
        let is_due = minutes >= UNCHANGED_MINUTES_MAX;
        // A disk that stands still must not keep the gate from answering who asks it.
        let kept = tokio::task::spawn_blocking(move || {
            gate.standings.sweep();
            versions::write(&gate, &data_dir);
            reach::write(&gate, &data_dir);
            restraints::expire(&gate, &data_dir, clock::now());
            // Asked before they are listed: what changes meanwhile is written the next time.
            let changes = gate.standings.changes();
            let is_asked = is_due || changes != written;
            (is_asked && write(&gate, &data_dir)).then_some(changes)
        });
        if let Ok(Some(changes)) = kept.await {
            (written, minutes) = (changes, 0);
        }
    }
}

/// Writes them down. Where that fails they are to be shown again after a restart, which is said, and it is false.
pub(super) fn write(gate: &Gate, data_dir: &Path) -> bool {
    // Who is asked to take some back writes as well as the clock does.
    static WRITING: Mutex<()> = Mutex::new(());
    let _alone = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let (path, clearances) = (path(data_dir), gate.standings.list(KEPT_MAX).clearances);
    if clearances.is_empty() && !path.exists() {
        return true;
    }
    let written = kept::replace(&path, clearances.iter().map(Line::of));
    if let Err(error) = &written {
        eprintln!("sekisho: warning: clearances cannot be written to the data directory: {error}");
    }
    written.is_ok()
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("clearances.jsonl")
}

impl Line {
    fn of(clearance: &Clearance) -> Self {
        Self {
            program: clearance.key.to_string(),
            client: clearance.name.client.to_string(),
            user: clearance.name.user.clone(),
            user_agent: clearance.name.user_agent.clone(),
            face: clearance.name.face.clone(),
            means: clearance.means.as_str().to_owned(),
            since: clearance.since.0,
            used: clearance.used.0,
        }
    }

    fn read(self) -> Option<Clearance> {
        Some(Clearance {
            key: read_key(&self.program)?,
            name: ProgramName {
                client: ClientKey::parse(&self.client)?,
                user: self.user,
                user_agent: self.user_agent,
                face: self.face,
            },
            means: Means::of(&self.means)?,
            since: Timestamp(self.since),
            used: Timestamp(self.used),
        })
    }
}

/// Reads the key of a program, as records and lists show it.
pub(super) fn read_key(text: &str) -> Option<ProgramKey> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(ProgramKey)
}
