//! The threads that send checkpoints off the machine, one for each receiver: in their order, none left out, and from where it
//! stood before a restart. What waits is what lies in the journal's directory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver as Inlet, RecvTimeoutError, Sender, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;

use crate::clock;
use crate::config::Config;
use crate::evidence::{Health, Record, format_time};
use crate::sinks::{Message, NOTICE, Receiver, Sink};
use crate::store::{JournalHandle, checkpoint_files, read_checkpoints};
use crate::upstream::{ErrandLimits, OwnConnections, Purpose};

use super::errands::Means;
use super::{AppError, kept};

/// How a receiver of checkpoints stands, as `status` shows it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ReceiverStatus {
    pub name: String,
    /// Where it is; of a URL the host alone.
    pub to: String,
    /// Checkpoints that it does not have.
    pub waiting: usize,
    /// The newest that it has, by its segment, and when it was sent since the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<String>,
    /// Why it does not take the next one, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// The threads.
pub(super) struct Sending {
    /// Each thread ends when nobody can wake it any more.
    wakes: Vec<SyncSender<()>>,
    ended: Inlet<()>,
    statuses: Statuses,
}

type Statuses = Arc<Mutex<Vec<ReceiverStatus>>>;
type Sent = Arc<Mutex<BTreeMap<String, String>>>;

/// Which checkpoint each receiver has last, by where it is: another one in its place has none.
#[derive(Serialize, Deserialize)]
struct Line {
    to: String,
    last: String,
}

const SENT_FILE: &str = "checkpoints-sent.jsonl";
/// Of receivers that the config named once, so many are remembered.
const LINES_MAX: usize = 1000;
/// How often it is looked for new ones though nobody said that there are.
const LOOK: Duration = Duration::from_secs(30);
/// After a failure it is tried again after so long, then twice as long, up to the last.
const AGAIN: Duration = Duration::from_secs(5);
const AGAIN_MAX: Duration = Duration::from_secs(600);
/// How long the end of the gate waits for what is being sent.
const LAST: Duration = Duration::from_millis(500);

/// Starts a thread for each receiver of the config.
///
/// # Errors
/// No resolver, runtime or thread, or this machine's addresses cannot be read.
pub(super) fn start(data_dir: &Path, config: &Config, journal: &JournalHandle) -> Result<Sending, AppError> {
    let receivers = &config.checkpoint_receivers;
    let kept: BTreeMap<String, String> =
        kept::read::<Line>(&data_dir.join(SENT_FILE), LINES_MAX).into_iter().map(|line| (line.to, line.last)).collect();
    let status = |receiver: &Receiver| ReceiverStatus {
        name: receiver.name.clone(),
        to: receiver.to_string(),
        last: kept.get(&receiver.identity()).cloned(),
        ..ReceiverStatus::default()
    };
    let statuses: Statuses = Arc::new(Mutex::new(receivers.iter().map(status).collect()));
    let sent: Sent = Arc::new(Mutex::new(kept.clone()));
    let (done, ended) = channel();
    let mut wakes = Vec::new();
    for (place, receiver) in receivers.iter().enumerate() {
        let limits = ErrandLimits { whole: Duration::from_secs(60), ..ErrandLimits::default() };
        let Means { runtime, own, errands } = Means::new(config, limits)?;
        let (wake, woken) = sync_channel(1);
        let thread = Thread {
            data_dir: data_dir.to_owned(),
            gate: config.name.clone(),
            receiver: receiver.clone(),
            place,
            sink: Sink::new(errands),
            own,
            runtime,
            journal: journal.clone(),
            statuses: statuses.clone(),
            sent: sent.clone(),
        };
        let done = done.clone();
        let named = std::thread::Builder::new().name("checkpoints".to_owned());
        named.spawn(move || thread.run(&woken, done)).map_err(AppError::Runtime)?;
        wakes.push(wake);
    }
    Ok(Sending { wakes, ended, statuses })
}

impl Sending {
    /// By which the threads are told that there is another checkpoint.
    pub(super) fn wakes(&self) -> Vec<SyncSender<()>> {
        self.wakes.clone()
    }

    pub(super) fn statuses(&self) -> Arc<Mutex<Vec<ReceiverStatus>>> {
        self.statuses.clone()
    }

    /// Ends the threads. One that is sending is left to the end of the process: what is not said to have come is sent again.
    pub(super) fn end(self) {
        drop(self.wakes);
        let begun = Instant::now();
        // The last of them takes the other half of this with it.
        while self.ended.recv_timeout(LAST.saturating_sub(begun.elapsed())).is_ok() {}
    }
}

fn lock(statuses: &Statuses) -> MutexGuard<'_, Vec<ReceiverStatus>> {
    statuses.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Thread {
    data_dir: PathBuf,
    gate: String,
    receiver: Receiver,
    /// Of its status.
    place: usize,
    sink: Sink,
    own: OwnConnections,
    runtime: Runtime,
    journal: JournalHandle,
    statuses: Statuses,
    sent: Sent,
}

impl Thread {
    fn run(self, woken: &Inlet<()>, done: Sender<()>) {
        let mut again = AGAIN;
        let mut due = Instant::now();
        loop {
            let wait = match Instant::now() < due {
                true => due - Instant::now(),
                false => match self.turn(woken) {
                    Ok(is_more) => {
                        again = AGAIN;
                        if is_more { Duration::ZERO } else { LOOK }
                    }
                    Err(why) => {
                        self.failed(&why);
                        due = Instant::now() + again;
                        again = (2 * again).min(AGAIN_MAX);
                        continue;
                    }
                },
            };
            match woken.recv_timeout(wait) {
                Ok(()) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        drop(done);
    }

    fn say(&self, change: impl FnOnce(&mut ReceiverStatus)) {
        if let Some(status) = lock(&self.statuses).get_mut(self.place) {
            change(status);
        }
    }

    /// Sends what waits; true where it was told of more meanwhile.
    fn turn(&self, woken: &Inlet<()>) -> Result<bool, String> {
        let mut is_more = false;
        let last = lock(&self.statuses).get(self.place).and_then(|status| status.last.clone()).unwrap_or_default();
        let files = checkpoint_files(&self.data_dir).map_err(|error| error.to_string())?;
        // A journal that was begun anew has older names than what was sent of the one before.
        let is_of_another = files.last().is_some_and(|(newest, _)| *newest < last);
        if is_of_another {
            eprintln!(
                "sekisho: warning: {} has checkpoints of another journal: it is sent all of this one",
                self.receiver.name
            );
        }
        let waiting: Vec<_> = files.into_iter().filter(|(segment, _)| is_of_another || *segment > last).collect();
        let mut left = waiting.len();
        self.say(|status| status.waiting = left);
        for (segment, path) in waiting {
            let line = read_checkpoints(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let Some(body) = line.first() else { return Err(format!("{} is empty", path.display())) };
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let message = Message {
                purpose: Purpose::Checkpoint,
                name: &name,
                kind: "checkpoint",
                body,
                content_type: "application/json",
                level: NOTICE,
                fields: &[],
                gate: &self.gate,
                now: clock::now(),
            };
            let sent = self.runtime.block_on(self.sink.send(&self.receiver, message));
            for record in self.own.take() {
                self.journal.tell(&record, clock::now());
            }
            sent.map_err(|error| error.to_string())?;
            left -= 1;
            self.sent(&segment, left).map_err(|error| format!("what was sent cannot be noted: {error}"))?;
            match woken.try_recv() {
                Ok(()) => is_more = true,
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => break,
            }
        }
        Ok(is_more)
    }

    /// Notes that the receiver has one, before anybody hears of it: what is not noted is sent again.
    fn sent(&self, segment: &str, left: usize) -> io::Result<()> {
        {
            // Another thread may write the same file.
            let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
            sent.insert(self.receiver.identity(), segment.to_owned());
            let lines = sent.iter().map(|(to, last)| Line { to: to.clone(), last: last.clone() });
            kept::replace(&self.data_dir.join(SENT_FILE), lines)?;
        }
        let mut failed_since = None;
        self.say(|status| {
            (status.waiting, status.last) = (left, Some(segment.to_owned()));
            status.sent = Some(format_time(clock::now()));
            failed_since = status.since.take();
            status.error = None;
        });
        if let Some(since) = failed_since {
            self.tell(
                "sent",
                &format!("checkpoints are sent to {} again, as they were not since {since}", self.receiver.name),
            );
        }
        Ok(())
    }

    fn failed(&self, why: &str) {
        let mut is_new = false;
        self.say(|status| {
            is_new = status.since.is_none();
            status.since.get_or_insert_with(|| format_time(clock::now()));
            status.error = Some(why.to_owned());
        });
        if is_new {
            let told = format!("checkpoints are not sent to {}: {why}", self.receiver.name);
            eprintln!("sekisho: warning: {told}; it is tried again");
            self.tell("waiting", &told);
        }
    }

    fn tell(&self, level: &'static str, detail: &str) {
        let health = Health { subject: "checkpoints", level, detail: detail.into() };
        self.journal.tell(&Record::Health(health), clock::now());
    }
}
