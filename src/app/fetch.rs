//! The thread that fetches host lists: each as often as the config says, sooner after a failure, and at once
//! for a person who asks. What comes is kept as a file, which the policy rests on: that one is read again then
//! by itself.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::clock;
use crate::config::Config;
use crate::evidence::{Health, Record, format_time};
use crate::facts::Timestamp;
use crate::lists::{Failure, Feed, FeedState, Fetched, Fetcher, Kept, Source};
use crate::store::JournalHandle;
use crate::upstream::{ErrandLimits, OwnConnections};

use super::errands::Means;
use super::{AppError, NotDone};

/// How long the thread waits at most before it looks at the clock again, which may have been set.
const LOOK: Duration = Duration::from_secs(60);
/// So many may have asked at the same time.
const ASKED_MAX: usize = 16;
/// How long the end of the gate waits for the thread.
const LAST: Duration = Duration::from_millis(500);

/// A host list that is fetched, and how that stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FeedStatus {
    pub name: String,
    pub url: String,
    pub every_hours: u64,
    /// Since when this content is kept, UTC; absent where none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<String>,
    /// When its source last said that this is the content, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checked: Option<String>,
    /// Since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<u64>,
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The content that is kept came from a URL, or by a proof, that the config does not name any more.
    pub of_another_source: bool,
    /// When its source is asked next, UTC.
    pub next: String,
    /// What went wrong since it was last checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FeedFailure>,
}

/// Attempts that came to nothing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FeedFailure {
    /// When the first was, UTC.
    pub since: String,
    /// When the last was, UTC.
    pub last: String,
    pub count: u64,
    pub why: String,
}

impl FeedStatus {
    fn of(feed: &Feed, state: &FeedState, now: Timestamp) -> Self {
        let known = !state.source.is_empty();
        let time = |micros: u64| format_time(Timestamp(micros));
        Self {
            name: feed.name.clone(),
            url: feed.url.to_string(),
            every_hours: feed.every.as_secs() / 3600,
            changed: known.then(|| time(state.changed_at)),
            checked: known.then(|| time(state.checked_at)),
            age_seconds: known.then(|| now.0.saturating_sub(state.checked_at) / 1_000_000),
            bytes: state.bytes,
            sha256: known.then(|| state.sha256.clone()),
            of_another_source: known && state.source != feed.source(),
            next: format_time(state.due(feed, now)),
            failure: state.failure.as_ref().map(|Failure { since, at, count, why, .. }| FeedFailure {
                since: time(*since),
                last: time(*at),
                count: *count,
                why: why.clone(),
            }),
        }
    }
}

/// Fetches the lists of a config, and knows how each stands.
pub struct Feeds {
    feeds: Arc<[Feed]>,
    fetcher: Fetcher,
    states: States,
    own: OwnConnections,
    /// What the journal has not heard of yet.
    news: Vec<Record>,
    runtime: Runtime,
}

/// How each list stands, in the order of the feeds.
type States = Arc<Mutex<Vec<FeedState>>>;

impl Feeds {
    /// For the gate that keeps its data there.
    ///
    /// # Errors
    /// No resolver, no runtime, or this machine's addresses cannot be read.
    pub fn new(config: &Config, data_dir: &Path) -> Result<Self, AppError> {
        let Means { runtime, own, errands } = Means::new(config, ErrandLimits::default())?;
        let kept = Kept::new(data_dir);
        let states = config.lists.iter().map(|feed| kept.state(&feed.name)).collect();
        Ok(Self {
            feeds: config.lists.clone().into(),
            fetcher: Fetcher::new(errands, kept),
            states: Arc::new(Mutex::new(states)),
            own,
            news: Vec::new(),
            runtime,
        })
    }

    /// Fetches these lists, without which there is no policy, and says on standard error what came of it.
    /// True when all of them are here.
    pub fn fetch_missing(&mut self, names: &[String]) -> bool {
        let indices: Vec<_> = (0..self.feeds.len()).filter(|index| names.contains(&self.feeds[*index].name)).collect();
        let mut all = true;
        for index in indices {
            eprintln!("sekisho: fetching the list `{}` from {}", self.feeds[index].name, self.feeds[index].url);
            all &= self.fetch(index, None);
        }
        all
    }

    /// Fetches one list, and says so where that is news. A content that the policy does not take, where there is
    /// one to ask, is not kept. True unless it failed.
    fn fetch(&mut self, index: usize, policy: Option<&Source>) -> bool {
        let feed = &self.feeds[index];
        let before = lock(&self.states)[index].clone();
        let fetched = self.runtime.block_on(self.fetcher.fetch(feed, before.clone(), clock::now()));
        let taken = fetched.map_err(|error| error.to_string()).and_then(|fetched| self.take(feed, fetched, policy));
        let (state, news) = match taken {
            Ok((state, is_new)) => {
                let is_news = is_new || before.failure.is_some();
                let news = is_news.then(|| ("fetched", describe_fetched(&state, is_new)));
                (state, news)
            }
            Err(why) => {
                let state = before.failed(feed, why, clock::now());
                if !state.source.is_empty() {
                    // Where that fails it is asked again sooner, after the next start.
                    let _ = self.fetcher.kept().note(&feed.name, &state);
                }
                let first = state.failure.as_ref().filter(|failure| failure.count == 1);
                let news =
                    first.map(|failure| ("kept", describe_failed(&state, failure, state.due(feed, clock::now()))));
                (state, news)
            }
        };
        if let Some((level, told)) = news {
            eprintln!("sekisho: the list `{}` {told}", feed.name);
            let detail = format!("{}: {told}", feed.name);
            self.news.push(Record::Health(Health { subject: "list", level, detail: detail.as_str().into() }));
        }
        let failed = state.failure.is_some();
        lock(&self.states)[index] = state;
        !failed
    }

    fn take(&self, feed: &Feed, fetched: Fetched, policy: Option<&Source>) -> Result<(FeedState, bool), String> {
        let kept = self.fetcher.kept();
        let cannot = |error: io::Error| format!("it cannot be kept in the data directory: {error}");
        match fetched {
            Fetched::Unchanged(state) => {
                kept.note(&feed.name, &state).map_err(cannot)?;
                Ok((state, false))
            }
            Fetched::New(state) => {
                if let Some(policy) = policy {
                    policy.takes(&feed.name, kept.candidate(&feed.name)).map_err(|problem| {
                        kept.drop_candidate(&feed.name);
                        format!("the policy does not hold with what is there now: {problem}")
                    })?;
                }
                kept.take(&feed.name, &state).map_err(cannot)?;
                Ok((state, true))
            }
        }
    }
}

fn describe_fetched(state: &FeedState, is_new: bool) -> String {
    match is_new {
        true => format!("is fetched: {} bytes, SHA-256 {}", state.bytes, state.sha256),
        false => "can be fetched again, and is as it was".to_owned(),
    }
}

fn describe_failed(state: &FeedState, failure: &Failure, next: Timestamp) -> String {
    let stays = match state.source.is_empty() {
        true => String::new(),
        false => format!("; what was there at {} stays in use", format_time(Timestamp(state.checked_at))),
    };
    format!("cannot be fetched: {}{stays}; asked again at {}", failure.why, format_time(next))
}

fn lock(states: &States) -> MutexGuard<'_, Vec<FeedState>> {
    states.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where it is asked for.
#[derive(Clone)]
pub(super) struct Fetches {
    asked: SyncSender<Ask>,
    feeds: Arc<[Feed]>,
    states: States,
}

struct Ask {
    indices: Vec<usize>,
    answer: oneshot::Sender<()>,
}

/// The thread, for the end of the gate.
pub(super) struct Fetching {
    fetches: Fetches,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    done: Receiver<()>,
}

/// Starts the thread. `policy` is where the gate has its policy from.
///
/// # Errors
/// There is no thread to be had.
pub(super) fn start(feeds: Feeds, policy: Source, journal: JournalHandle) -> io::Result<Fetching> {
    let (asked, asks) = sync_channel(ASKED_MAX);
    let (finished, done) = channel();
    let ended = Arc::new(AtomicBool::new(false));
    let fetches = Fetches { asked, feeds: feeds.feeds.clone(), states: feeds.states.clone() };
    let told = ended.clone();
    let mut turns = Turns { feeds, policy, journal };
    let thread = std::thread::Builder::new().name("lists".to_owned()).spawn(move || {
        turns.run(&asks, &told);
        let _ = finished.send(());
    })?;
    Ok(Fetching { fetches, ended, thread, done })
}

impl Fetches {
    /// How each list stands.
    pub(super) fn status(&self) -> Vec<FeedStatus> {
        let now = clock::now();
        self.feeds.iter().zip(lock(&self.states).iter()).map(|(feed, state)| FeedStatus::of(feed, state, now)).collect()
    }

    /// Has these lists fetched now, all of them where none is named, and waits for it.
    ///
    /// # Errors
    /// There is none of that name, or too many ask.
    pub(super) async fn ask(&self, names: &[String]) -> Result<(), NotDone> {
        let index = |name: &String| {
            let found = self.feeds.iter().position(|feed| feed.name == *name);
            found.ok_or_else(|| NotDone::NoSuchList(name.clone()))
        };
        let indices = match names.is_empty() {
            true => (0..self.feeds.len()).collect(),
            false => names.iter().map(index).collect::<Result<_, _>>()?,
        };
        let (answer, answered) = oneshot::channel();
        match self.asked.try_send(Ask { indices, answer }) {
            Ok(()) => answered.await.map_err(|_| NotDone::FetchBusy),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(NotDone::FetchBusy),
        }
    }
}

impl Fetching {
    pub(super) fn fetches(&self) -> Fetches {
        self.fetches.clone()
    }

    /// Ends the thread. One that is fetching is left to the end of the process: what it has not kept by then is
    /// fetched after the next start.
    pub(super) fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        let (answer, _) = oneshot::channel();
        let _ = self.fetches.asked.try_send(Ask { indices: Vec::new(), answer });
        if self.done.recv_timeout(LAST).is_ok() {
            let _ = self.thread.join();
        }
    }
}

struct Turns {
    feeds: Feeds,
    policy: Source,
    journal: JournalHandle,
}

impl Turns {
    fn run(&mut self, asks: &Receiver<Ask>, ended: &AtomicBool) {
        loop {
            self.put_on_record();
            let asked = asks.recv_timeout(self.pause());
            if ended.load(Ordering::Relaxed) {
                return;
            }
            match asked {
                Ok(first) => {
                    // One attempt answers all who asked before it began.
                    let all: Vec<Ask> = std::iter::once(first).chain(asks.try_iter()).collect();
                    let wanted = |index: &usize| all.iter().any(|ask| ask.indices.contains(index));
                    self.fetch((0..self.feeds.feeds.len()).filter(wanted), ended);
                    for ask in all {
                        let _ = ask.answer.send(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let now = clock::now();
                    let due = |index: &usize| self.due(*index, now) <= now;
                    let due: Vec<_> = (0..self.feeds.feeds.len()).filter(due).collect();
                    self.fetch(due.into_iter(), ended);
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn fetch(&mut self, indices: impl Iterator<Item = usize>, ended: &AtomicBool) {
        for index in indices {
            if !ended.load(Ordering::Relaxed) {
                self.feeds.fetch(index, Some(&self.policy));
                self.put_on_record();
            }
        }
    }

    fn due(&self, index: usize, now: Timestamp) -> Timestamp {
        lock(&self.feeds.states)[index].due(&self.feeds.feeds[index], now)
    }

    /// Until the next list is due.
    fn pause(&self) -> Duration {
        let now = clock::now();
        let next = (0..self.feeds.feeds.len()).map(|index| self.due(index, now)).min();
        next.map_or(LOOK, |next| Duration::from_micros(next.0.saturating_sub(now.0)).min(LOOK))
    }

    fn put_on_record(&mut self) {
        let own = self.feeds.own.take();
        for record in own.into_iter().chain(self.feeds.news.drain(..)) {
            self.journal.tell(&record, clock::now());
        }
    }
}
