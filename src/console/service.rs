use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::access::Act;
use super::asked::{Answered, Indexes};
use super::budget::Purse;
use super::doorkeeper::Doorkeeper;
use super::errands::{Errands, NotDone, Stop};
use super::gatehouse::{Deed, Gatehouse, Standing};
use super::html::Words;
use super::live::Tails;
use super::sessions::{SessionId, Sessions};
use super::users::{USERS_BYTES_MAX, User, Users};
use crate::challenge::auth::{Allowance, PASSWORD_BYTES_MAX, Password, Throttle};
use crate::clock;
use crate::evidence::{Person, Text};
use crate::facts::ClientKey;
use crate::review::questions::{Evidence, QuestionError};

/// What a console is made with.
pub struct Plan {
    pub gatehouse: Arc<dyn Gatehouse>,
    pub data_dir: PathBuf,
    /// The file of its users.
    pub users: PathBuf,
    /// The zone in which times are shown and days begin.
    pub zone: TimeZone,
    /// Names by which browsers may call it, beside addresses and `localhost`.
    pub names: Vec<Box<str>>,
    /// Who may read `/metrics`.
    pub metrics: Vec<IpNet>,
    /// What of the processor it may take, in hundredths of one core.
    pub cpu_percent: u32,
    /// It is spoken to by TLS.
    pub is_secured: bool,
    /// Of the system's randomness.
    pub secret: [u8; 32],
}

/// The console, shared by all its connections.
pub struct Service {
    pub(super) plan: Plan,
    sessions: Mutex<Sessions>,
    doorkeeper: Mutex<Doorkeeper>,
    /// How often it is told that a client was refused something.
    telling: Mutex<Throttle<ClientKey>>,
    users: Mutex<KnownUsers>,
    pub(super) tails: Arc<Tails>,
    pub(super) purse: Arc<Purse>,
    answered: Arc<Answered>,
    indexes: Arc<Indexes>,
    /// Questions that are asked at the same time.
    asking: Arc<Semaphore>,
    /// Passwords that are tried at the same time.
    trying: Arc<Semaphore>,
    /// Machines that read figures at the same time.
    figures: Arc<Semaphore>,
    /// People who are shown how the gate stands at the same time.
    glances: Arc<Semaphore>,
    pub(super) errands: Errands,
}

/// The file of users as it was read last.
#[derive(Default)]
struct KnownUsers {
    seen: Option<(i64, i64, u64, u64)>,
    users: Users,
}

/// Who asks.
pub(super) struct Visitor {
    pub(super) user: Arc<User>,
    pub(super) session: SessionId,
}

/// Until when a request waits for others and for the processor, however often it has to: its page comes by then, or is
/// refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience(Instant);

impl Patience {
    /// Of a request that comes now.
    pub(super) fn begin() -> Self {
        Self(Instant::now() + PATIENCE)
    }
}

/// Why there is no answer.
pub(super) enum NoAnswer {
    /// Too many ask.
    Busy,
    /// The console has had its share of the processor; there is more after this time.
    Spent(Duration),
    Question(QuestionError),
    /// There was no thread that asks, or it ended without an answer.
    Died,
    /// It takes longer than a page is waited for.
    Slow,
}

impl From<NotDone> for NoAnswer {
    fn from(why: NotDone) -> Self {
        match why {
            NotDone::Busy => Self::Busy,
            NotDone::Slow => Self::Slow,
            NotDone::NoThread => Self::Died,
        }
    }
}

const QUESTIONS_MAX: usize = 2;
const TRIES_MAX: usize = 1;
const FIGURES_MAX: usize = 1;
/// Of refusals, so many are told at once of a client; then one more after each pause.
const TOLD_OF_CLIENT: Allowance = Allowance { at_once: 10, pause: Duration::from_secs(30) };
const TOLD_CLIENTS_MAX: usize = 10_000;
/// Of what was asked for.
const WHAT_BYTES_MAX: usize = 200;
/// So long a request waits in all for others, and for the processor.
const PATIENCE: Duration = Duration::from_secs(20);
/// So long a password waits.
const DOOR_PATIENCE: Duration = Duration::from_secs(5);

impl Service {
    pub fn new(plan: Plan) -> Self {
        let (purse, zone) = (Arc::new(Purse::new(plan.cpu_percent)), plan.zone.clone());
        Self {
            plan,
            sessions: Mutex::default(),
            doorkeeper: Mutex::new(Doorkeeper::new()),
            telling: Mutex::new(Throttle::new(TOLD_OF_CLIENT, TOLD_CLIENTS_MAX)),
            users: Mutex::default(),
            tails: Arc::new(Tails::new(zone)),
            purse,
            answered: Arc::default(),
            indexes: Arc::default(),
            asking: Arc::new(Semaphore::new(QUESTIONS_MAX)),
            trying: Arc::new(Semaphore::new(TRIES_MAX)),
            figures: Arc::new(Semaphore::new(FIGURES_MAX)),
            glances: Arc::new(Semaphore::new(FIGURES_MAX)),
            errands: Errands::new(),
        }
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn doorkeeper(&self) -> MutexGuard<'_, Doorkeeper> {
        self.doorkeeper.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who shows this cookie, while they are still a user by the same line.
    pub(super) fn visitor(&self, cookie: Option<&str>) -> Option<Visitor> {
        let session = SessionId::read(cookie?)?;
        let (name, mark) = self.sessions().of(&session, clock::moment())?;
        let user = self.users().find(&name).filter(|user| user.mark() == mark).cloned();
        if user.is_none() {
            self.sessions().end(&session);
        }
        Some(Visitor { user: user?, session })
    }

    /// Whether a live tail of this session may go on.
    pub(super) fn holds(&self, session: &SessionId) -> bool {
        let Some((name, mark)) = self.sessions().look(session, clock::moment()) else { return false };
        self.users().find(&name).is_some_and(|user| user.mark() == mark && user.role.may(Act::LookUp))
    }

    pub(super) fn end(&self, session: &SessionId) {
        self.sessions().end(session);
    }

    /// The users as their file has them now; nobody where it cannot be read.
    fn users(&self) -> Users {
        let path = &self.plan.users;
        let seen = std::fs::metadata(path).ok();
        let seen = seen.map(|told| (told.mtime(), told.mtime_nsec(), told.ino(), told.size()));
        let mut known = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_none() || known.seen != seen {
            let users = read_users(path).unwrap_or_else(|why| {
                eprintln!("sekisho: warning: nobody can log in to the console: {}: {why}", path.display());
                Users::default()
            });
            *known = KnownUsers { seen, users };
        }
        known.users.clone()
    }

    /// Lets somebody in who has the password of a name; the session is a new one. What came of it is on record before.
    ///
    /// # Errors
    /// Why not, in words for the person. Whether there is such a name is not told, and takes as long.
    pub(super) async fn log_in(&self, address: IpAddr, name: &str, password: &str) -> Result<SessionId, Words> {
        let wrong = ("The name or the password is wrong.", "名前またはパスワードが違います。");
        let busy = ("Too many log in at the moment. Try again.", "混み合っています。もう一度お試しください。");
        let often = ("Too many wrong attempts. Wait a minute.", "失敗が多すぎます。1分待ってください。");
        self.doorkeeper().admit(address, name, clock::moment()).map_err(|_| often)?;
        let users = self.users();
        let known = users.find(name).cloned();
        let number = blake3::keyed_hash(&self.plan.secret, name.as_bytes());
        let number = number.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let Some(tried) = known.clone().or_else(|| users.decoy(number).cloned()) else { return Err(wrong) };
        let permit = timeout(DOOR_PATIENCE, self.trying.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(busy) };
        let is_too_long = password.len() > PASSWORD_BYTES_MAX;
        let password = Password::new(if is_too_long { "" } else { password });
        let right = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            tried.has(&password)
        });
        let right = right.await.unwrap_or(false) && !is_too_long;
        match known.filter(|_| right) {
            Some(user) => {
                self.doorkeeper().was_right(address, name);
                let told =
                    Deed::Access("console_login", format!("{} ({}), from {address}", user.name, user.role.as_str()));
                self.plan.gatehouse.act(told).await.map_err(|_| unrecorded())?;
                let random = random().map_err(|_| busy)?;
                let session = SessionId::new(random);
                self.sessions().open(&session, &user.name, user.mark(), clock::moment());
                Ok(session)
            }
            None => {
                // A password that was typed in place of the name goes nowhere.
                let who = users.find(name).map_or("an unknown name", |user| &user.name).to_owned();
                let told = Deed::Access("console_login_failed", format!("{who}, from {address}"));
                let _ = self.plan.gatehouse.act(told).await;
                Err(wrong)
            }
        }
    }

    /// Puts on record that somebody was refused what is not theirs: a form of another site, or what another role may. Of one
    /// client that goes on some are told.
    pub(super) async fn tell_refused(
        &self,
        action: &'static str,
        (cookie, address): (Option<&str>, IpAddr),
        what: &str,
    ) {
        let telling = || self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        if telling().take(&ClientKey::of(address), clock::moment()).is_err() {
            return;
        }
        let who = self.visitor(cookie).map_or_else(|| "nobody".to_owned(), |visitor| visitor.user.name.to_string());
        let what = what.get(..what.floor_char_boundary(WHAT_BYTES_MAX)).unwrap_or_default();
        // It is refused in any case.
        let _ = self.plan.gatehouse.act(Deed::Access(action, format!("{who}, from {address}: {what}"))).await;
    }

    /// Asks the index, with others waiting for their turn. Whoever asks the same within two seconds has the same answer: a
    /// question is named with all that its answer depends on.
    pub(super) async fn ask<T: Send + Sync + 'static>(
        &self,
        patience: Patience,
        named: String,
        question: impl FnOnce(&Evidence<'_>, &Path) -> Result<T, QuestionError> + Send + 'static,
    ) -> Result<Arc<T>, NoAnswer> {
        // What is drawn of an answer that is known costs as well.
        self.afford(patience).await?;
        if let Some(known) = self.answered.find(&named, clock::moment()) {
            return Ok(known);
        }
        let (answered, indexes) = (self.answered.clone(), self.indexes.clone());
        let data_dir = self.plan.data_dir.clone();
        let asking = move || {
            let begun = clock::moment();
            // One in front of this one may have asked it.
            if let Some(known) = answered.find(&named, begun) {
                return Ok(known);
            }
            let lent = indexes.take(&data_dir)?;
            let answer = Arc::new(question(&Evidence::new(&lent.index)?, &data_dir)?);
            lent.give_back();
            answered.keep(&named, begun, &answer);
            Ok(answer)
        };
        self.in_turn(patience, asking).await?.map_err(NoAnswer::Question)
    }

    /// Asks the index what is many questions in one, on a thread that gives way to all others, so that no share of the processor
    /// is taken for it. It ends after so long, and when nobody waits for it any more.
    pub(super) async fn ask_at_length<T: Send + 'static>(
        &self,
        patience: Patience,
        wait: Duration,
        question: impl FnOnce(&Evidence<'_>, &Path) -> Result<T, QuestionError> + Send + 'static,
    ) -> Result<T, NoAnswer> {
        self.afford(patience).await?;
        let (indexes, data_dir) = (self.indexes.clone(), self.plan.data_dir.clone());
        let asking = move |stop: &Stop| {
            let mut lent = indexes.take(&data_dir)?;
            let stop = stop.clone();
            lent.index.answer_while(move || !stop.is_set())?;
            let answer = question(&Evidence::new(&lent.index)?, &data_dir)?;
            lent.index.answer_always()?;
            lent.give_back();
            Ok(answer)
        };
        self.errands.run_while_waited_for(wait, asking).await?.map_err(NoAnswer::Question)
    }

    /// Who looks next sees what has been done now.
    pub(super) fn forget_answers(&self) {
        self.answered.forget(clock::moment());
    }

    /// Does what may take long, with others waiting for their turn, and for the console's share of the processor.
    pub(super) async fn in_turn<T: Send + 'static>(
        &self,
        patience: Patience,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        let permit = timeout_at(patience.0, self.asking.clone().acquire_owned()).await;
        let Ok(Ok(permit)) = permit else { return Err(NoAnswer::Busy) };
        self.afford(patience).await?;
        let purse = self.purse.clone();
        let worked = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            purse.pay(work)
        });
        worked.await.map_err(|_| NoAnswer::Died)
    }

    /// Waits until the console has not had its share of the processor.
    pub(super) async fn afford(&self, patience: Patience) -> Result<(), NoAnswer> {
        loop {
            let wait = self.purse.until_question();
            if wait.is_zero() {
                return Ok(());
            }
            if Instant::now() + wait > patience.0 {
                return Err(NoAnswer::Spent(wait));
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Reads the figures of the gate, which are asked for by a machine and wait for no person.
    pub(super) async fn read_figures<T: Send + 'static>(
        &self,
        patience: Patience,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoAnswer> {
        among(&self.figures, patience, work).await
    }

    /// How the gate stands, with which a page comes that has the buttons of isolation and lockdown: it waits for nobody's
    /// questions, and whatever the console has had of the processor.
    pub(super) async fn standing(&self, patience: Patience) -> Result<Standing, NoAnswer> {
        let (house, purse) = (self.plan.gatehouse.clone(), self.purse.clone());
        among(&self.glances, patience, move || purse.pay(|| house.standing())).await
    }

    /// Tells live tails what is written, for as long as it is polled.
    pub(super) async fn follow(&self) {
        self.tails.clone().follow(self.plan.data_dir.clone(), self.purse.clone()).await;
    }
}

impl Visitor {
    /// As records name them.
    pub(super) fn person(&self) -> Person {
        Person { uid: None, login: None, console: Some(Text::from(&*self.user.name)), claims: None }
    }
}

/// Does what may take long, among so many at a time.
async fn among<T: Send + 'static>(
    places: &Arc<Semaphore>,
    patience: Patience,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NoAnswer> {
    let permit = timeout_at(patience.0, places.clone().acquire_owned()).await;
    let Ok(Ok(permit)) = permit else { return Err(NoAnswer::Busy) };
    let worked = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        work()
    });
    worked.await.map_err(|_| NoAnswer::Died)
}

/// Nothing is shown or done that is not on record.
pub(super) fn unrecorded() -> Words {
    ("It cannot be put on record, so it is not done.", "記録できないため、実行しません。")
}

pub(super) fn random() -> std::io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_users(path: &Path) -> Result<Users, String> {
    let file = match File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Users::default()),
        file => file.map_err(|error| error.to_string())?,
    };
    let mode = file.metadata().map_err(|error| error.to_string())?.permissions().mode();
    if mode & 0o007 != 0 {
        return Err("everybody may read it, and hashes of passwords can be guessed at: chmod o= it".to_owned());
    }
    let mut text = String::new();
    file.take(USERS_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > USERS_BYTES_MAX {
        return Err("it is larger than 1 MiB".to_owned());
    }
    Users::read(&path.display().to_string(), &text).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        problems.join("; ")
    })
}

#[cfg(test)]
mod tests;
