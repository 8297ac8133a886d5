//! The thread that tells a hook who is cut off and who no longer is: what it does with that, a switch or another program.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::clock;
use crate::config::Config;
use crate::evidence::{ContingencyAction, client_of, client_text};
use crate::session::Gate;
use crate::sinks::{Hook, Occasion, Sink};
use crate::store::JournalHandle;
use crate::upstream::ErrandLimits;

use super::super::errands::Means;
use super::super::{AppError, kept};
use super::{Sight, StandingContingency, lock, told};

/// After a failure it is tried again after so long, then twice as long, up to the last.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(600);
/// Of lines that the file has, so many are read.
const LINES_MAX: usize = 100_000;

/// Clients and networks; nobody where all are meant.
type Subjects = BTreeSet<Option<IpNet>>;

/// What the thread works with.
pub(super) struct Plan {
    pub(super) gate: Arc<Gate>,
    pub(super) data_dir: PathBuf,
    pub(super) hook: Hook,
    pub(super) standing: Arc<Mutex<Vec<StandingContingency>>>,
    pub(super) sight: Sight,
    pub(super) journal: JournalHandle,
}

/// The thread.
pub(super) struct Telling {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

/// Whom a hook was told is cut off; nobody where it was told of the lockdown.
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<String>,
}

/// Starts it.
///
/// # Errors
/// There is no thread, no runtime or no resolver to be had.
pub(super) fn start(plan: Plan, config: &Config) -> Result<Telling, AppError> {
    let limits = ErrandLimits { whole: Duration::from_secs(10), ..ErrandLimits::default() };
    let means = Means::new(config, limits)?;
    let (end, ended) = oneshot::channel();
    let gate_name = config.name.clone();
    let thread = std::thread::Builder::new().name("hook".to_owned());
    let thread = thread.spawn(move || plan.run(means, &gate_name, ended)).map_err(AppError::Runtime)?;
    Ok(Telling { end, thread })
}

impl Telling {
    /// Ends it; what is being told is left to the end of the process, and told again.
    pub(super) fn end(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}

impl Plan {
    fn path(&self) -> PathBuf {
        self.data_dir.join(format!("hook-{}.jsonl", self.hook.name))
    }

    fn run(self, means: Means, gate_name: &str, mut ended: oneshot::Receiver<()>) {
        let Means { runtime, own, errands } = means;
        let sink = Sink::new(errands);
        let known = kept::read::<Line>(&self.path(), LINES_MAX).into_iter();
        let client =
            |line: Line| line.client.map(|client| client_of(&client)).map_or(Some(None), |client| client.map(Some));
        lock(&self.sight).done = known.filter_map(client).collect();
        let mut changes = self.gate.restraints.changes();
        let mut again = AGAIN;
        let mut refused = Subjects::new();
        loop {
            // What changes from here on is looked at again.
            changes.mark_unchanged();
            let turn = runtime.block_on(async {
                tokio::select! {
                    _ = &mut ended => None,
                    all_told = self.turn(&sink, gate_name, &changes, &mut refused) => Some(all_told),
                }
            });
            for record in own.take() {
                self.journal.tell(&record, clock::now());
            }
            let Some(all_told) = turn else { return };
            let patience = again;
            let wait = async {
                match all_told {
                    true => drop(changes.changed().await),
                    false => drop(timeout(patience, changes.changed()).await),
                }
            };
            again = if all_told { AGAIN } else { (2 * again).min(AGAIN_MAX) };
            let is_over = runtime.block_on(async {
                tokio::select! {
                    _ = &mut ended => true,
                    () = wait => false,
                }
            });
            if is_over {
                return;
            }
        }
    }

    /// Tells it of what it was not told; what it did not take last time comes last. False where it did not take something now.
    /// Where something changes meanwhile the rest is left to the next turn.
    async fn turn(&self, sink: &Sink, gate_name: &str, changes: &watch::Receiver<u32>, refused: &mut Subjects) -> bool {
        let wanted = self.wanted();
        let done = lock(&self.sight).done.clone();
        let mut news: Vec<_> = wanted.symmetric_difference(&done).copied().collect();
        news.sort_by_key(|subject| refused.contains(subject));
        refused.retain(|subject| news.contains(subject));
        let mut failed = None;
        for subject in news {
            if changes.has_changed().unwrap_or(false) {
                break;
            }
            let holds = wanted.contains(&subject);
            let standing = self.of(subject);
            let why = standing.as_ref().and_then(|one| one.contingency.why.clone());
            let device = standing.as_ref().and_then(|one| one.contingency.device.clone());
            let action = match (subject, holds) {
                (Some(_), true) => "isolate",
                (Some(_), false) => "release",
                (None, true) => "lockdown",
                (None, false) => "lockdown_ended",
            };
            let occasion = Occasion {
                action,
                client: subject.map(|client| client_text(&client)),
                device: device.map(|device| device.as_str().to_owned()),
                reason: why.map(|why| why.as_str().to_owned()),
                gate: gate_name,
                now: clock::now(),
            };
            match self.hook.tell(sink, &occasion).await {
                Ok(()) => {
                    refused.remove(&subject);
                    self.told(subject, holds);
                }
                Err(error) => {
                    refused.insert(subject);
                    failed = Some((subject, error.to_string()));
                }
            }
        }
        let why = failed.as_ref().map(|(_, why)| why.clone());
        let is_new = {
            let mut seen = lock(&self.sight);
            let is_new = seen.error.is_none();
            seen.error = why;
            is_new
        };
        if let Some((subject, why)) = failed.as_ref().filter(|_| is_new) {
            let name = &self.hook.name;
            eprintln!("sekisho: warning: the hook {name} was not told who is cut off: {why}; it is tried again");
            self.journal.tell(&told(&format!("hook {name}"), *subject, Some(why)), clock::now());
        }
        failed.is_none()
    }

    fn wanted(&self) -> BTreeSet<Option<IpNet>> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let locks = standing.iter().any(|one| one.contingency.action == ContingencyAction::Lockdown);
        let isolated = self.gate.restraints.isolated(clock::now());
        isolated.elsewhere().map(Some).chain(locks.then_some(None)).collect()
    }

    fn of(&self, subject: Option<IpNet>) -> Option<StandingContingency> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let client =
            |one: &StandingContingency| one.contingency.client.as_ref().map(|client| client_of(client.as_str()));
        standing.iter().find(|one| client(one).map_or(subject.is_none(), |client| client == subject)).cloned()
    }

    /// Notes it before anybody hears of it: what is not noted is told again.
    fn told(&self, subject: Option<IpNet>, holds: bool) {
        let lines: Vec<_> = {
            let mut seen = lock(&self.sight);
            if holds {
                seen.done.insert(subject);
            } else {
                seen.done.remove(&subject);
            }
            seen.done.iter().map(|one| Line { client: one.map(|client| client_text(&client)) }).collect()
        };
        if let Err(error) = kept::replace(&self.path(), lines) {
            eprintln!("sekisho: warning: what a hook was told cannot be noted: {error}");
        }
        self.journal.tell(&told(&format!("hook {}", self.hook.name), subject, None), clock::now());
    }
}
