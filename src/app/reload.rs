//! The thread on which the policy is read again: compiling a large one takes seconds, and no worker may
//! stand still for that.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::challenge::auth::Settings;
use crate::clock;
use crate::config::SecureProxySettings;
use crate::evidence::Record;
use crate::facts::Timestamp;
use crate::lists::{ReadList, ReadPolicy, Source, Watched, read_users};
use crate::policy::OwnEndpoints;
use crate::session::Gate;
use crate::tls::AuthorityFiles;

use super::authority;
use super::own_parent;
use super::reloaded::{Outcome, ReloadProblem, ReloadStatus, Reloaded};
use super::secure_proxy;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A change is taken once two looks this far apart found the same: whoever writes a file may do so in
/// pieces.
const QUIET: Duration = Duration::from_millis(300);
/// Looks until a file that has gone counts as gone: whoever replaces it may remove it first.
const LOOKS_FOR_LOST: u32 = 10;
/// A file that never rests is taken as it is after so many looks.
const LOOKS_MAX: u32 = 30;
/// So many may have asked at the same time.
const ASKED_MAX: usize = 16;
/// How long the end of the gate waits for the thread.
const LAST: Duration = Duration::from_millis(500);

/// Where it is asked for.
#[derive(Clone)]
pub(super) struct Reloads {
    asked: SyncSender<Ask>,
    history: Arc<Mutex<History>>,
}

/// The thread, for the end of the gate.
pub(super) struct Reloading {
    reloads: Reloads,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    done: Receiver<()>,
}

/// Since when the policy in force is, and what was tried last.
#[derive(Debug)]
struct History {
    since: Timestamp,
    last: Option<ReloadStatus>,
}

struct Ask {
    by: String,
    answer: Option<oneshot::Sender<Reloaded>>,
}

/// What reading the policy again takes.
pub(super) struct Means {
    pub(super) gate: Arc<Gate>,
    pub(super) source: Source,
    pub(super) own: Arc<OwnEndpoints>,
    /// What the policy in force rests on, as it stood when it was read.
    pub(super) watched: Watched,
    /// Where the certificate authority is, which is read again with the policy.
    pub(super) data_dir: PathBuf,
    /// Where users are, who are read again with the policy.
    pub(super) users: Option<Settings>,
    /// Where the certificate of the proxy within TLS is, which is read again with the policy.
    pub(super) secure_proxy: Option<SecureProxySettings>,
    /// The host lists that it names.
    pub(super) lists: Vec<ReadList>,
    /// Since when that is.
    pub(super) since: Timestamp,
}

/// Starts the thread.
///
/// # Errors
/// There is no thread to be had, or no runtime for it.
pub(super) fn start(means: Means) -> io::Result<Reloading> {
    let (asked, asks) = sync_channel(ASKED_MAX);
    let (finished, done) = channel();
    let history = Arc::new(Mutex::new(History { since: means.since, last: None }));
    let ended = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let mut reloader = Reloader { means, history: history.clone(), runtime };
    reloader.tell_of_lists();
    reloader.sweep_lists();
    let told = ended.clone();
    let thread = std::thread::Builder::new().name("policy".to_owned()).spawn(move || {
        reloader.run(&asks, &told);
        let _ = finished.send(());
    })?;
    Ok(Reloading { reloads: Reloads { asked, history }, ended, thread, done })
}

impl Reloads {
    /// Has the policy read again for SIGHUP. Where so many have asked that there is no place, an attempt
    /// that begins later than now is sure all the same.
    pub(super) fn signal(&self) {
        let _ = self.asked.try_send(Ask { by: "SIGHUP".to_owned(), answer: None });
    }

    /// Has the policy read again, and says what came of it; `None` where too many ask, or the gate ends.
    pub(super) async fn ask(&self, by: &str) -> Option<Reloaded> {
        let (answer, answered) = oneshot::channel();
        match self.asked.try_send(Ask { by: by.to_owned(), answer: Some(answer) }) {
            Ok(()) => answered.await.ok(),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }

    /// Since when the policy in force is, and what was tried last.
    pub(super) fn history(&self) -> (Timestamp, Option<ReloadStatus>) {
        let history = lock(&self.history);
        (history.since, history.last.clone())
    }
}

impl Reloading {
    pub(super) fn reloads(&self) -> Reloads {
        self.reloads.clone()
    }

    /// Ends the thread. One that is compiling, or stands in a file system that does not answer, is left to
    /// the end of the process: it holds nothing that must be kept.
    pub(super) fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        self.reloads.signal();
        if self.done.recv_timeout(LAST).is_ok() {
            let _ = self.thread.join();
        }
    }
}

struct Reloader {
    means: Means,
    history: Arc<Mutex<History>>,
    /// Waits for records to be accepted.
    runtime: Runtime,
}

/// Files that are not as they were, as they were found last.
struct Restless {
    seen: Watched,
    /// Looks since the first that found a change, and since the last that found another.
    looks: u32,
    same: u32,
}

impl Reloader {
    fn run(&mut self, asks: &Receiver<Ask>, ended: &AtomicBool) {
        let mut restless: Option<Restless> = None;
        loop {
            let asked = asks.recv_timeout(if restless.is_some() { QUIET } else { LOOK });
            if ended.load(Ordering::Relaxed) {
                return;
            }
            match asked {
                Ok(first) => {
                    // One attempt answers all who asked before it began.
                    let all: Vec<Ask> = std::iter::once(first).chain(asks.try_iter()).collect();
                    let reloaded = self.attempt(all.first().map_or("", |ask| &ask.by));
                    for answer in all.into_iter().filter_map(|ask| ask.answer) {
                        let _ = answer.send(reloaded.clone());
                    }
                    restless = None;
                }
                Err(RecvTimeoutError::Timeout) => {
                    restless = Restless::go_on(restless, &self.means.watched);
                    if restless.as_ref().is_some_and(|restless| restless.is_over(&self.means.watched)) {
                        self.attempt("a changed file");
                        restless = None;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Reads the policy whole, runs its cases, and puts it in force or refuses it.
    fn attempt(&mut self, by: &str) -> Reloaded {
        let mut watched = Watched::default();
        let read = self.means.source.read(&mut watched).map_err(ReloadProblem::all_of);
        let read = read.and_then(|read| match own_parent(&read.policy, &self.means.own) {
            Some(found) => Err(vec![ReloadProblem::of_parent(&found)]),
            None => Ok(read),
        });
        self.read_users(&mut watched);
        self.read_authority();
        self.read_proxy_certificate();
        // Whatever came of it rests on these files, and comes out the same until one of them changes.
        self.means.watched = watched;
        let before = self.means.gate.policy.now();
        let reloaded = match read {
            Ok(read) => {
                let same = read.policy.hash() == before.policy.hash();
                let credentials_changed = read.credentials != before.credentials;
                let outcome = if same && !credentials_changed { Outcome::Unchanged } else { Outcome::InForce };
                let reloaded =
                    Reloaded { credentials_changed, ..Reloaded::new(outcome, &read.file, &read.policy, &before) };
                self.take(&reloaded, read);
                reloaded
            }
            Err(problems) => {
                let reloaded = Reloaded::refused(&self.means.source.file(), &before, problems);
                self.put_on_record(&reloaded);
                reloaded
            }
        };
        // Also of what was compiled for a policy that was refused: it could be another each time.
        self.sweep_lists();
        let was_refused = {
            let (mut history, now) = (lock(&self.history), clock::now());
            if reloaded.outcome == Outcome::InForce {
                history.since = now;
            }
            let last = history.last.replace(reloaded.status(now, by));
            last.is_some_and(|last| last.outcome == Outcome::Refused)
        };
        // A file that was only touched is no news.
        if reloaded.outcome != Outcome::Unchanged || was_refused || by != "a changed file" {
            eprintln!("sekisho: {}", describe(&reloaded, by));
        }
        reloaded
    }

    /// On record first: no exchange is judged by a policy before the journal has heard of it.
    fn take(&mut self, reloaded: &Reloaded, read: ReadPolicy) {
        match reloaded.outcome {
            Outcome::InForce => {
                self.put_on_record(reloaded);
                self.means.gate.policy.swap(read.policy, read.credentials);
                self.means.lists = read.lists;
                self.tell_of_lists();
            }
            Outcome::Unchanged | Outcome::Refused => {}
        }
    }

    /// Reads the users again. Where something is wrong with their files, those who were known still are.
    fn read_users(&self, watched: &mut Watched) {
        let (Some(settings), Some(log_ins)) = (&self.means.users, &self.means.gate.log_ins) else { return };
        match read_users(settings, watched) {
            Ok(users) => log_ins.replace_users(users),
            Err(problems) => {
                eprintln!(
                    "sekisho: warning: the users are not read again, and those known before still are; problems:"
                );
                problems.iter().take(10).for_each(|problem| eprintln!("{problem}"));
            }
        }
    }

    /// Has the proxy within TLS show what its files hold by now.
    fn read_proxy_certificate(&self) {
        let Means { secure_proxy: settings, gate, .. } = &self.means;
        secure_proxy::read_again(settings.as_ref(), gate.secure_proxy.as_ref());
    }

    /// Has that authority vouch which is in use on disk by now, as after `sekisho ca rotate --finish`. Where it cannot be
    /// read the one before goes on.
    fn read_authority(&self) {
        let found = AuthorityFiles::new(&self.means.data_dir).load();
        let Some(minter) = &self.means.gate.minter else {
            if found.is_ok() {
                eprintln!(
                    "sekisho: there is a certificate authority now: restart the gate, and rules that inspect use it"
                );
            }
            return;
        };
        match found {
            Ok(found) if found.current.certificate().sha256() != minter.authority().certificate().sha256() => {
                minter.exchange(found.current);
                authority::note(&self.means.gate, &self.runtime, &self.means.data_dir, None);
                eprintln!("sekisho: another certificate authority vouches from now on");
            }
            Ok(found) => authority::prepare(&self.means.gate, found.next),
            Err(why) => {
                eprintln!("sekisho: warning: the certificate authority before goes on vouching; the files: {why}");
            }
        }
    }

    /// Says which lists the next start has to compile again.
    fn tell_of_lists(&self) {
        for ReadList { file, not_kept, .. } in &self.means.lists {
            if let Some(why) = not_kept {
                eprintln!("sekisho: warning: the list {}: {why}; each start compiles it again", file.display());
            }
        }
    }

    /// Makes room where a compiled list is none of the policy in force.
    fn sweep_lists(&self) {
        if let Err(error) = self.means.source.sweep(&self.means.lists) {
            eprintln!("sekisho: warning: compiled lists that no policy names are left in the data directory: {error}");
        }
    }

    /// A full disk does not keep a policy out, as it does not keep the gate from starting: the record
    /// follows once one can be written.
    fn put_on_record(&self, reloaded: &Reloaded) {
        let (record, now) = (Record::Policy(reloaded.record()), clock::now());
        let journal = &self.means.gate.journal;
        if self.runtime.block_on(journal.append(&record, now)).is_err() {
            journal.tell(&record, now);
        }
    }
}

impl Restless {
    /// Looks at the files again; `None` when they are as they were read.
    fn go_on(before: Option<Self>, read: &Watched) -> Option<Self> {
        let seen = read.now();
        if seen == *read {
            return None;
        }
        Some(match before {
            Some(before) if before.seen == seen => Self { seen, looks: before.looks + 1, same: before.same + 1 },
            Some(before) => Self { seen, looks: before.looks + 1, same: 0 },
            None => Self { seen, looks: 0, same: 0 },
        })
    }

    fn is_over(&self, read: &Watched) -> bool {
        let needed = if self.seen.has_lost(read) { LOOKS_FOR_LOST } else { 1 };
        self.same >= needed || self.looks >= LOOKS_MAX
    }
}

fn lock(history: &Mutex<History>) -> MutexGuard<'_, History> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of it, for whoever reads the gate's standard error.
fn describe(reloaded: &Reloaded, by: &str) -> String {
    let Reloaded { file, hash, hash_before, rules, mode, count, problems, .. } = reloaded;
    match reloaded.outcome {
        Outcome::InForce if hash == hash_before => {
            format!(
                "the policy's credentials have changed and are in force ({by}); it is {file}, version {hash}, as before"
            )
        }
        Outcome::InForce => format!(
            "the policy {file} is in force as version {hash}, {rules} rules, {mode} ({by}); version {hash_before} was \
             before it"
        ),
        Outcome::Unchanged => format!("the policy {file} is unchanged: version {hash} stays in force ({by})"),
        Outcome::Refused => {
            let mut text =
                format!("the policy {file} is refused ({by}), and version {hash} stays in force; problems: {count}");
            for problem in problems {
                text.push('\n');
                text.push_str(&problem.to_string());
            }
            if *count > problems.len() {
                text.push_str(&format!("\nand {} more", count - problems.len()));
            }
            text
        }
    }
}
/// Has the policy read again with each SIGHUP, for as long as it is polled.
pub(super) async fn reload_on(mut hangup: tokio::signal::unix::Signal, reloads: Reloads) {
    while hangup.recv().await.is_some() {
        reloads.signal();
    }
}
