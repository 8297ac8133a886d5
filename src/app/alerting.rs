//! The thread that tells people of what is found and of how the gate is: it follows the journal behind its writer, never in its
//! way, queues what each receiver is to hear, and hands that over, to each by itself.
//!
//! The place in the journal is noted behind what was queued up to there: after a crash some of it is read again, and what was
//! queued before is known by the record that it is of.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::alert::{Alert, Event, Fold, Kept, Known, What, read_event};
use crate::clock;
use crate::config::Config;
use crate::evidence::{
    Devices, FindingId, Health, Mark, Noted, Record, Triaged, Triages, format_time, lines_of, read_noted,
};
use crate::facts::Timestamp;
use crate::notify::{AlertReceiver, Change, Lane, NotDelivered, Notifier, Queue, WAITING_MAX};
use crate::review::take_up_marks;
use crate::store::{Follower, Index, JournalHandle, Place};
use crate::upstream::{ErrandLimits, OwnConnections};

use super::errands::Means;
use super::{AppError, NotDone, devices, kept};

/// How a receiver of alerts stands, as `status` shows it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AlertStatus {
    pub name: String,
    /// Where it is; of a URL the host alone.
    pub to: String,
    /// Alerts that it does not have.
    pub waiting: usize,
    /// What is held back in its quiet hours, or as more than it takes in an hour: it is told together.
    pub held: u64,
    /// Alerts that were dropped, as too many waited.
    pub dropped: u64,
    /// How many it has taken since the start, and when the last.
    pub taken: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// Why it does not take the next one, and since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// What came of a test.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AlertTried {
    pub name: String,
    /// Where it is; of a URL the host alone.
    pub to: String,
    /// What the receiver says where it has taken it, or why it has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The thread.
pub(super) struct Alerting {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
    statuses: Statuses,
    asks: Asks,
}

pub(super) type Statuses = Arc<Mutex<Vec<AlertStatus>>>;
pub(super) type Asks = mpsc::Sender<Ask>;

/// Somebody tries a receiver, or all.
pub(super) struct Ask {
    name: Option<String>,
    answer: oneshot::Sender<Vec<AlertTried>>,
}

/// Up to where the journal was read, and what each receiver was told by then.
#[derive(Serialize, Deserialize)]
struct State {
    place: Place,
    told: BTreeMap<String, Kept>,
}

const FILE: &str = "alerts.jsonl";
/// How often the journal is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// So many blocks of it are read before it is seen to what waits.
const BLOCKS_MAX: usize = 8;
/// Where nothing was told, the place is noted so often.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// So long a finding waits for an index that cannot be read or is being filled; then it is told as if nobody had marked anything.
const MARKS_WAIT: Duration = Duration::from_secs(60);
/// With so many that wait nothing more is read.
const FINDINGS_WAIT_MAX: usize = 1_000;
/// How long the end of the gate waits for what is being sent.
const LAST: Duration = Duration::from_millis(500);
const ASKED_MAX: usize = 4;

/// Starts it.
///
/// # Errors
/// No resolver, runtime or thread, a queue that cannot be read, or this machine's addresses cannot be.
pub(super) fn start(data_dir: &Path, config: &Config, journal: &JournalHandle) -> Result<Alerting, AppError> {
    let limits = ErrandLimits { whole: Duration::from_secs(60), ..ErrandLimits::default() };
    let Means { runtime, own, errands } = Means::new(config, limits)?;
    let receivers: Arc<[AlertReceiver]> = config.alerts.clone().into();
    let open = |receiver: &AlertReceiver| {
        let path = data_dir.join(format!("alerts-{}.queue", receiver.name));
        Queue::open(&path, WAITING_MAX).map(Lane::new).map_err(|source| AppError::File { path, source })
    };
    let mut lanes = receivers.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let status = |receiver: &AlertReceiver| AlertStatus {
        name: receiver.name.clone(),
        to: receiver.to_string(),
        ..AlertStatus::default()
    };
    let statuses: Statuses = Arc::new(Mutex::new(receivers.iter().map(status).collect()));
    let (end, ended) = oneshot::channel();
    let (asks, asked) = mpsc::channel(ASKED_MAX);
    let TakenUp { follower, since, mut told } = take_up(data_dir, clock::now());
    if since > Timestamp(0) {
        lanes.iter_mut().for_each(|lane| lane.queue.forget_records());
    }
    let fold = |receiver: &AlertReceiver| {
        let kept = told.remove(&receiver.name).unwrap_or_default();
        Fold::new(&receiver.name, receiver.rules.clone(), kept)
    };
    let thread = Thread {
        data_dir: data_dir.to_owned(),
        folds: receivers.iter().map(fold).collect(),
        receivers,
        lanes,
        follower,
        since,
        waiting: VecDeque::new(),
        marks: Triages::default(),
        begins: None,
        unmarked: None,
        notifier: Arc::new(Notifier::new(errands, config.name.clone())),
        gate: config.name.clone(),
        own,
        journal: journal.clone(),
        statuses: statuses.clone(),
        noted: None,
        is_unread_told: false,
        is_unmarked_told: false,
        is_unwritten_told: false,
        is_broken: false,
    };
    let named = std::thread::Builder::new().name("alerts".to_owned());
    let thread = named.spawn(move || thread.run(&runtime, ended, asked)).map_err(AppError::Runtime)?;
    Ok(Alerting { end, thread, statuses, asks })
}

/// Where the journal is gone on with, and what was told.
struct TakenUp {
    follower: Follower,
    /// From when on records count: 1970 where it is gone on.
    since: Timestamp,
    told: BTreeMap<String, Kept>,
}

/// Goes on where the gate stood. Where nothing is known of that, or another journal lies there, nothing of the past is told.
fn take_up(data_dir: &Path, now: Timestamp) -> TakenUp {
    let Some(State { place, told }) = kept::read(&data_dir.join(FILE), 1).pop() else {
        return TakenUp { follower: Follower::new(data_dir, now), since: now, told: BTreeMap::new() };
    };
    match Follower::resume(data_dir, place) {
        Ok(Some(follower)) => TakenUp { follower, since: Timestamp(0), told },
        Ok(None) | Err(_) => {
            eprintln!("sekisho: warning: alerts begin anew: what was read last of the journal is not there any more");
            TakenUp { follower: Follower::new(data_dir, now), since: now, told }
        }
    }
}

impl Alerting {
    pub(super) fn statuses(&self) -> Statuses {
        self.statuses.clone()
    }

    pub(super) fn asks(&self) -> Asks {
        self.asks.clone()
    }

    /// Ends it. What is not said to have come is sent again after the next start.
    pub(super) fn end(self) {
        drop(self.end);
        let _ = self.thread.join();
    }
}

/// Has the thread try a receiver, or all, and waits for what they say.
pub(super) async fn tried(asks: Option<&Asks>, name: Option<String>) -> Result<Vec<AlertTried>, NotDone> {
    let asks = asks.ok_or(NotDone::NoReceivers)?;
    let (answer, answered) = oneshot::channel();
    asks.try_send(Ask { name: name.clone(), answer }).map_err(|_| NotDone::AlertsBusy)?;
    let tried = answered.await.map_err(|_| NotDone::AlertsBusy)?;
    match name {
        Some(name) if tried.is_empty() => Err(NotDone::NoSuchReceiver(name)),
        Some(_) | None => Ok(tried),
    }
}

pub(super) fn lock(statuses: &Statuses) -> MutexGuard<'_, Vec<AlertStatus>> {
    statuses.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which receiver, and what came of it.
type Sent = (usize, Result<String, NotDelivered>);

/// What a line says that counts here.
enum News {
    Event(Event),
    /// What somebody holds a finding or target to be.
    Mark(Box<Triaged>),
}

struct Thread {
    data_dir: PathBuf,
    receivers: Arc<[AlertReceiver]>,
    /// One each, in the order of the receivers.
    folds: Vec<Fold>,
    lanes: Vec<Lane>,
    follower: Follower,
    /// Records of before are nobody's alert.
    since: Timestamp,
    /// What was read and is nobody's news yet: a finding waits until it is known what people hold it to be.
    waiting: VecDeque<News>,
    /// What people hold findings and targets to be.
    marks: Triages,
    /// The record with which reading began: what is marked before it is in the index alone.
    begins: Option<u64>,
    /// Since when the index does not have that.
    unmarked: Option<Instant>,
    notifier: Arc<Notifier>,
    gate: String,
    own: OwnConnections,
    journal: JournalHandle,
    statuses: Statuses,
    /// When the place was; at first as soon as there is one.
    noted: Option<Instant>,
    /// That the journal cannot be read was said; that the index cannot; and that what was told cannot be noted.
    is_unread_told: bool,
    is_unmarked_told: bool,
    is_unwritten_told: bool,
    /// The journal takes no records, and that was told.
    is_broken: bool,
}

impl Thread {
    fn run(mut self, runtime: &Runtime, ended: oneshot::Receiver<()>, asked: mpsc::Receiver<Ask>) {
        runtime.block_on(self.work(ended, asked));
        self.note();
    }

    async fn work(&mut self, mut ended: oneshot::Receiver<()>, mut asked: mpsc::Receiver<Ask>) {
        let mut sending: JoinSet<Sent> = JoinSet::new();
        let mut trying = JoinSet::new();
        let mut look_at = Instant::now();
        loop {
            if Instant::now() >= look_at {
                let begun = Instant::now();
                let is_all = self.look();
                // Of a long journal half of a processor's time is taken at most.
                look_at = Instant::now() + if is_all { EVERY } else { begun.elapsed() };
            }
            self.send(&mut sending);
            self.tell_own();
            self.publish();
            tokio::select! {
                biased;
                _ = &mut ended => break,
                Some(sent) = sending.join_next() => self.sent(sent),
                Some(ask) = asked.recv(), if trying.len() < ASKED_MAX => self.start_trying(ask, &mut trying),
                Some(_) = trying.join_next() => {}
                () = sleep(look_at.saturating_duration_since(Instant::now())) => {}
            }
        }
        let last = async {
            while let Some(sent) = sending.join_next().await {
                self.sent(sent);
            }
        };
        let _ = timeout(LAST, last).await;
        self.tell_own();
    }

    /// Reads on in the journal, and queues what is news in it. True where there is no more.
    fn look(&mut self) -> bool {
        let (mut block, mut is_all, mut is_news) = (Vec::new(), false, false);
        // Read again only where a client is to be named.
        let mut known = None;
        for _ in 0..BLOCKS_MAX {
            is_news |= self.take_waiting(&mut known);
            if self.waiting.len() >= FINDINGS_WAIT_MAX {
                is_all = true;
                break;
            }
            match self.follower.next(&mut block) {
                Ok(true) => {
                    self.is_unread_told = false;
                    for line in lines_of(&block) {
                        if let Ok(Some(Noted::Triage(triaged))) = read_noted(line) {
                            self.waiting.push_back(News::Mark(triaged));
                        }
                        if let Some(event) = read_event(line).filter(|event| event.time >= self.since) {
                            self.begins.get_or_insert(event.seq);
                            self.waiting.push_back(News::Event(event));
                        }
                    }
                }
                Ok(false) => is_all = true,
                Err(error) => {
                    is_all = true;
                    if !std::mem::replace(&mut self.is_unread_told, true) {
                        eprintln!(
                            "sekisho: warning: nobody is told of what the journal holds, which cannot be read: {error}"
                        );
                    }
                }
            }
            if is_all {
                break;
            }
        }
        is_news |= self.take_waiting(&mut known);
        is_news |= self.look_at_journal();
        let now = clock::now();
        for place in 0..self.folds.len() {
            let due = self.folds.get_mut(place).map(|fold| fold.tick(now)).unwrap_or_default();
            is_news |= !due.is_empty();
            due.into_iter().for_each(|alert| self.put(place, alert));
        }
        if is_news || self.noted.is_none_or(|noted| noted.elapsed() >= NOTE_EVERY) {
            self.note();
        }
        is_all
    }

    /// Tells what was read, in its order, but for findings of which it is not known yet what people hold them to be: those
    /// wait, and what is behind them is told. True where anything was.
    fn take_waiting(&mut self, known: &mut Option<Devices>) -> bool {
        let (mut is_news, mut is_known) = (false, known.is_some().then_some(true));
        for news in std::mem::take(&mut self.waiting) {
            match news {
                News::Mark(triaged) => self.marks.note(*triaged),
                News::Event(event) => {
                    let is_finding = matches!(event.what, What::Finding { .. });
                    if is_finding && !*is_known.get_or_insert_with(|| self.takes_up_marks()) {
                        self.waiting.push_back(News::Event(event));
                    } else {
                        is_news |= self.take(&event, known);
                    }
                }
            }
        }
        is_news
    }

    /// Takes up the marks from before there was a receiver, which are in the index. False where they are to be waited for: it
    /// cannot be read, or is not filled up to where reading began. That is said once.
    fn takes_up_marks(&mut self) -> bool {
        let begins = self.begins.unwrap_or_default();
        let taken = Index::open(&self.data_dir).and_then(|index| {
            let indexed = index.indexed()?.seq;
            take_up_marks(&self.data_dir, &mut self.marks)?;
            Ok(indexed)
        });
        let why = match taken {
            Ok(indexed) if indexed.saturating_add(1) >= begins => {
                (self.unmarked, self.is_unmarked_told) = (None, false);
                return true;
            }
            Ok(indexed) => format!("the index has the records up to {indexed} alone"),
            Err(error) => error.to_string(),
        };
        let since = self.unmarked.map(|since| since.elapsed());
        // It is filled within moments, as a rule.
        if since.is_some_and(|since| since >= Duration::from_secs(5))
            && !std::mem::replace(&mut self.is_unmarked_told, true)
        {
            eprintln!(
                "sekisho: warning: alerts wait a minute for what is known to be good, which cannot be read, and are sent all \
                 the same then: {why}; it is tried again"
            );
        }
        let begun = *self.unmarked.get_or_insert_with(Instant::now);
        begun.elapsed() >= MARKS_WAIT
    }

    /// True where somebody is told, or will be.
    fn take(&mut self, event: &Event, known: &mut Option<Devices>) -> bool {
        let (device, mark) = match &event.what {
            What::Finding { id, client, target, port, .. } => {
                let known = known.get_or_insert_with(|| devices::known(&self.data_dir));
                (name_of(known, client, event.time), self.mark(id, (target, *port, client), event.time))
            }
            What::Health { .. } | What::Gap { .. } | What::Triage { .. } => (String::new(), None),
        };
        let (now, known) = (clock::now(), Known { device: &device, mark });
        for place in 0..self.folds.len() {
            let alert = self.folds.get_mut(place).and_then(|fold| fold.take(event, known, now));
            if let Some(alert) = alert {
                self.put(place, alert);
            }
        }
        true
    }

    /// What a finding is held to be: by itself, or else by its target.
    fn mark(&self, finding: &str, (target, port, client): (&str, u16, &str), time: Timestamp) -> Option<Mark> {
        let own = FindingId::parse(finding).and_then(|id| self.marks.of_finding(id, time));
        own.or_else(|| self.marks.of_target(target, port, client, time)).map(|triaged| triaged.triage.mark)
    }

    /// That no record can be written stands in none.
    fn look_at_journal(&mut self) -> bool {
        let error = self.journal.health().last_error;
        if error.is_some() == self.is_broken {
            return false;
        }
        self.is_broken = error.is_some();
        let now = clock::now();
        for place in 0..self.folds.len() {
            let alert = Alert::of_journal(now, error.as_deref());
            let alert = self.folds.get_mut(place).and_then(|fold| fold.tell(alert, now));
            if let Some(alert) = alert {
                self.put(place, alert);
            }
        }
        true
    }

    fn put(&mut self, place: usize, alert: Alert) {
        let put = self.lanes.get_mut(place).map_or(Ok(()), |lane| lane.queue.put(alert));
        self.written(put);
    }

    /// Says once that something could not be written: what waits is sent all the same, as long as the gate runs.
    fn written(&mut self, written: std::io::Result<()>) {
        let Err(error) = written else {
            self.is_unwritten_told = false;
            return;
        };
        if !std::mem::replace(&mut self.is_unwritten_told, true) {
            eprintln!(
                "sekisho: warning: what alerts wait cannot be written down, and would not outlast a crash: {error}"
            );
        }
    }

    /// Notes up to where the journal was read.
    fn note(&mut self) {
        // What waits is read again after a crash.
        let Some(place) = self.follower.place().filter(|_| self.waiting.is_empty()) else { return };
        self.noted = Some(Instant::now());
        let kept = self.receivers.iter().zip(&self.folds);
        let told = kept.map(|(receiver, fold)| (receiver.name.clone(), fold.kept().clone())).collect();
        let written = kept::replace(&self.data_dir.join(FILE), [State { place, told }]);
        self.written(written);
    }

    /// Has each receiver sent what is its turn.
    fn send(&mut self, sending: &mut JoinSet<Sent>) {
        let now = clock::now();
        for (place, lane) in self.lanes.iter_mut().enumerate() {
            let Some(alert) = lane.next(now) else { continue };
            let (receivers, notifier) = (self.receivers.clone(), self.notifier.clone());
            sending.spawn(async move {
                let receiver = receivers.get(place);
                let sent = match receiver {
                    Some(receiver) => notifier.send(receiver, &alert, clock::now()).await,
                    None => Ok(String::new()),
                };
                (place, sent)
            });
        }
    }

    fn sent(&mut self, sent: Result<Sent, tokio::task::JoinError>) {
        let Ok((place, sent)) = sent else { return };
        let now = clock::now();
        let is_taken = sent.is_ok();
        let why = sent.as_ref().err().map(ToString::to_string);
        let outcome = sent.map(drop).map_err(|error| error.to_string());
        let Some((change, written)) = self.lanes.get_mut(place).map(|lane| lane.done(outcome, now)) else { return };
        self.written(written);
        if is_taken && let Some(status) = lock(&self.statuses).get_mut(place) {
            status.taken += 1;
            status.last = Some(format_time(now));
        }
        let name = self.receivers.get(place).map(|receiver| receiver.name.clone()).unwrap_or_default();
        match change {
            Change::No => {}
            Change::Fails => {
                let why = why.unwrap_or_default();
                eprintln!("sekisho: warning: alerts are not sent to {name}: {why}; it is tried again");
                self.tell("waiting", &format!("{name}: alerts are not sent: {why}"));
            }
            Change::Takes { since } => {
                self.tell(
                    "sent",
                    &format!("{name}: alerts are sent again, as they were not since {}", format_time(since)),
                );
            }
        }
    }

    fn tell(&self, level: &'static str, detail: &str) {
        let health = Health { subject: "alerts", level, detail: detail.into() };
        self.journal.tell(&Record::Health(health), clock::now());
    }

    /// Puts on record what was connected to.
    fn tell_own(&self) {
        for record in self.own.take() {
            self.journal.tell(&record, clock::now());
        }
    }

    /// Sends a test past all that waits.
    fn start_trying(&self, ask: Ask, trying: &mut JoinSet<()>) {
        let Ask { name, answer } = ask;
        let (receivers, notifier, gate) = (self.receivers.clone(), self.notifier.clone(), self.gate.clone());
        trying.spawn(async move {
            let mut all = JoinSet::new();
            let now = clock::now();
            for receiver in receivers.iter().filter(|one| name.as_ref().is_none_or(|name| *name == one.name)) {
                let (receiver, notifier, alert) = (receiver.clone(), notifier.clone(), Alert::test(now, &gate));
                all.spawn(async move {
                    let sent = notifier.send(&receiver, &alert, now).await;
                    let (taken, error) = match sent {
                        Ok(said) => (Some(said), None),
                        Err(why) => (None, Some(why.to_string())),
                    };
                    AlertTried { to: receiver.to_string(), name: receiver.name, taken, error }
                });
            }
            let mut tried = all.join_all().await;
            tried.sort_by(|a, b| a.name.cmp(&b.name));
            let _ = answer.send(tried);
        });
    }

    fn publish(&self) {
        let mut statuses = lock(&self.statuses);
        for ((status, lane), fold) in statuses.iter_mut().zip(&self.lanes).zip(&self.folds) {
            (status.waiting, status.dropped, status.held) = (lane.queue.waiting(), lane.queue.dropped(), fold.held());
            let failure = lane.failure();
            status.error = failure.map(|failure| failure.why.clone());
            status.since = failure.map(|failure| format_time(failure.since));
        }
    }
}

/// What a client is called at a time; empty where that is not known.
fn name_of(known: &Devices, client: &str, time: Timestamp) -> String {
    let Ok(address) = client.parse::<IpAddr>() else { return String::new() };
    known.at(address, time).names.first().map(|one| one.name.as_str().to_owned()).unwrap_or_default()
}
