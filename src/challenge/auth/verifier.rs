//! Says who a client's user is, or what the client must do to say so.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use crate::facts::{ClientKey, Moment, User};
use crate::parse::RequestHead;

use super::basic::{self, Password};
use super::digest::{Algorithm, Credentials, Ha1};
use super::fault::AuthFault;
use super::hash::PasswordHash;
use super::nonce::{Nonces, StaleNonce, Use};
use super::remembered::{Question, Remembered};
use super::scheme::{Scheme, scheme_of};
use super::secret::{Key, Secret};
use super::signs::{Ground, Signs};
use super::throttle::{Allowance, Throttle};
use super::users::Users;

/// A right password is not hashed again for this long.
pub const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// Passwords of which it is remembered that they are right, and as many of which it is remembered that they are
/// wrong. Of more the oldest costs a hash again.
pub const REMEMBERED_MAX: usize = 10_000;
/// Guesses that are hashed at the same time. One more is told to come back.
pub const JOBS_MAX: usize = 256;
/// Requests that wait for the same guess. One more is told to come back.
pub const WAITING_MAX: usize = 64;
/// Clients whose guesses are counted, and names. With so many under way, one more is told to come back.
const COUNTED_MAX: usize = 50_000;
/// What one client may be wrong: more than a user, since several may share it.
const PER_CLIENT: Allowance = Allowance { at_once: 20, pause: Duration::from_secs(5) };
/// What anybody may be wrong about one name.
const PER_NAME: Allowance = Allowance { at_once: 5, pause: Duration::from_secs(5) };
/// What a client may be refused untried before what is remembered of it does not help it either.
const REFUSED: Allowance = Allowance { at_once: 30, pause: Duration::from_secs(1) };
/// When to come back where nothing but room is wanting.
const ROOM_AFTER: Duration = Duration::from_secs(1);

/// A request, as far as it concerns its user.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub client: ClientKey,
    pub method: &'a str,
    /// As it was sent: an absolute URL, or the authority of a CONNECT.
    pub target: &'a [u8],
    /// The value of `Proxy-Authorization`.
    pub credentials: Result<Option<&'a [u8]>, AuthFault>,
}

impl<'a> Asked<'a> {
    /// What a head asks.
    pub fn of(client: ClientKey, head: &'a RequestHead) -> Self {
        let mut values = head.fields.get_all("proxy-authorization");
        let first = values.next();
        let credentials = if values.next().is_some() { Err(AuthFault::SeveralFields) } else { Ok(first) };
        Self { client, method: head.method(), target: head.target(), credentials }
    }
}

/// Who it is, or why that is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Known(User),
    /// There are no credentials.
    Missing,
    /// Nobody has this name, or it is not the password. Which of both is not told.
    Wrong,
    /// The credentials are not such as were asked for. Nobody looked whether they are right.
    Refused(AuthFault),
    /// The response is right and its nonce is not good any more: the client answers a new one without asking its
    /// user.
    Stale(StaleNonce),
    /// It was wrong too often, or there is no room; nobody looked whether it is right now.
    TooOften {
        retry_after: Duration,
    },
}

/// A verdict, and what is worth telling beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub verdict: Verdict,
    pub grounds: Vec<Ground>,
}

/// What comes next.
pub enum Step {
    Done(Judged),
    /// A password is to be hashed: [`Job::run`], then [`Verifier::finish`].
    Hash(Job),
}

/// Work of up to about a second and 256 MiB, by what the user's line says.
pub struct Job {
    guess: Arc<Guess>,
    password: Password,
}

/// A job that was run.
pub struct JobDone {
    guess: Arc<Guess>,
    is_right: bool,
}

/// A name with a password, from one client; requests that bring the same at the same time share it.
struct Guess {
    question: Question,
    client: ClientKey,
    name: Box<str>,
    /// The hash of the name's password; of a name that nobody has, anybody's, so that it takes as long.
    against: Arc<PasswordHash>,
    taken: Taken,
    answer: OnceLock<bool>,
}

/// What a guess has taken from those that may be wrong.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// The hash of the name, where that is counted.
    name: Option<Question>,
}

impl Job {
    /// Hashes the password, or waits until another thread has hashed the same one. To be run where blocking is
    /// allowed, by as many threads at a time as the machine has memory for.
    pub fn run(self) -> JobDone {
        let Job { guess, password } = self;
        let is_right = *guess.answer.get_or_init(|| guess.against.is_of(&password));
        JobDone { guess, is_right }
    }
}

/// Knows the users, what they have shown, and how often somebody was wrong.
///
/// No call hashes a password or takes time that grows with what is kept, but for sweeps of full maps once a
/// second. Whoever shares it between threads locks it.
pub struct Verifier {
    users: Users,
    questions: Key,
    names: Key,
    nonces: Nonces,
    right: Remembered,
    wrong: Remembered,
    in_flight: HashMap<Question, Weak<Guess>>,
    by_client: Throttle<ClientKey>,
    by_name: Throttle<Question>,
    refused: Throttle<ClientKey>,
    signs: Signs,
}

impl Verifier {
    /// Begins with nothing known of anybody.
    pub fn new(users: Users, secret: &Secret) -> Self {
        Self {
            users,
            questions: secret.key("sekisho 2026 passwords remembered"),
            names: secret.key("sekisho 2026 names of users"),
            nonces: Nonces::new(secret),
            right: Remembered::new(REMEMBERED_MAX, REMEMBERED),
            wrong: Remembered::new(REMEMBERED_MAX, REMEMBERED),
            in_flight: HashMap::new(),
            by_client: Throttle::new(PER_CLIENT, COUNTED_MAX),
            by_name: Throttle::new(PER_NAME, COUNTED_MAX),
            refused: Throttle::new(REFUSED, COUNTED_MAX),
            signs: Signs::new(),
        }
    }

    /// Puts other users in the place of these. No password of before is believed without being hashed again; who
    /// was wrong too often still was.
    pub fn replace_users(&mut self, users: Users) {
        self.users = users;
        self.right.clear();
        self.wrong.clear();
        self.in_flight.clear();
        let users = &self.users;
        self.signs.keep(|name| users.has(name));
    }

    /// The values of `Proxy-Authenticate`, one field each, the strongest first (RFC 9110 §11.7.1).
    pub fn challenges(&mut self, client: ClientKey, verdict: &Verdict, now: Moment) -> Vec<String> {
        let realm = self.users.realm.as_str();
        let mut values = Vec::with_capacity(3);
        if self.users.offers(Scheme::Digest) {
            let nonce = self.nonces.make(client, now);
            let stale = if matches!(verdict, Verdict::Stale(_)) { ", stale=true" } else { "" };
            values.extend(self.users.algorithms().iter().map(|algorithm| {
                let algorithm = algorithm.as_str();
                format!("Digest realm=\"{realm}\", qop=\"auth\", algorithm={algorithm}, nonce=\"{nonce}\", charset=UTF-8{stale}")
            }));
        }
        if self.users.offers(Scheme::Basic) {
            values.push(format!("Basic realm=\"{realm}\", charset=\"UTF-8\""));
        }
        values
    }

    /// Judges a request, as far as that costs no hash of a password.
    pub fn begin(&mut self, asked: &Asked<'_>, now: Moment) -> Step {
        let outcome = match asked.credentials {
            Err(fault) => Err(fault),
            Ok(None) => {
                let grounds = self.signs.unanswered(asked.client, now);
                return Step::Done(Judged { verdict: Verdict::Missing, grounds });
            }
            Ok(Some(field)) => self.read(asked, field, now),
        };
        outcome.unwrap_or_else(|fault| self.failed(Verdict::Refused(fault), asked.client, now))
    }

    /// Judges what came of a job. A password that was changed while it was hashed is wrong.
    pub fn finish(&mut self, done: JobDone, now: Moment) -> Judged {
        let JobDone { guess, is_right } = done;
        let is_first = self.in_flight.get(&guess.question).is_some_and(|known| known.as_ptr() == Arc::as_ptr(&guess));
        // A name that nobody has was checked against another's hash, which is not its own.
        let is_own = self.users.password(&guess.name).is_some_and(|hash| **hash == *guess.against);
        let is_known = is_right && is_own;
        if is_first {
            self.in_flight.remove(&guess.question);
            if is_known {
                self.give_back(guess.client, guess.taken);
                self.right.add(guess.question, now);
            } else {
                self.wrong.add(guess.question, now);
            }
        }
        if is_known {
            return self.known(&guess.name, guess.client, now);
        }
        let grounds = if is_first { self.signs.failed(guess.client, now) } else { Vec::new() };
        Judged { verdict: Verdict::Wrong, grounds }
    }

    fn read(&mut self, asked: &Asked<'_>, field: &[u8], now: Moment) -> Result<Step, AuthFault> {
        let (scheme, rest) = scheme_of(field)?;
        match scheme {
            Scheme::Negotiate => Err(AuthFault::NegotiateUnsupported),
            scheme if !self.users.offers(scheme) => Err(AuthFault::SchemeNotOffered),
            Scheme::Basic => {
                let (name, password) = basic::read(rest)?;
                Ok(self.basic(asked.client, name, password, now))
            }
            Scheme::Digest => {
                let credentials = Credentials::parse(rest)?;
                if *credentials.realm != *self.users.realm.as_str().as_bytes() {
                    return Err(AuthFault::WrongRealm);
                }
                if !self.users.algorithms().contains(&credentials.algorithm) {
                    return Err(AuthFault::AlgorithmNotOffered);
                }
                if !credentials.is_for(asked.target) {
                    return Err(AuthFault::WrongUri);
                }
                Ok(self.digest(asked, &credentials, now))
            }
        }
    }

    /// A known user asks for something when nobody works: what is to be said of that, if it was not said lately.
    pub fn out_of_hours(&mut self, name: &str, client: ClientKey, now: Moment) -> Option<Ground> {
        self.signs.out_of_hours(name, client, now)
    }

    fn basic(&mut self, client: ClientKey, name: Box<str>, password: Password, now: Moment) -> Step {
        let from = client.to_string();
        let question = *self.questions.hash(&[from.as_bytes(), name.as_bytes(), password.as_bytes()]).as_bytes();
        if self.right.holds(&question, now) {
            // Whoever floods the gate with guesses must not learn here which of them is right.
            if !self.refused.has_one(&client, now) {
                return too_often(REFUSED.pause);
            }
            return Step::Done(self.known(&name, client, now));
        }
        if self.wrong.holds(&question, now) {
            return self.failed(Verdict::Wrong, client, now);
        }
        if let Some(guess) = self.in_flight.get(&question).and_then(Weak::upgrade) {
            let has_room = Arc::strong_count(&guess) <= WAITING_MAX;
            return if has_room { Step::Hash(Job { guess, password }) } else { too_often(ROOM_AFTER) };
        }
        if self.in_flight.len() >= JOBS_MAX {
            // Jobs that were dropped unrun are no work any more.
            self.in_flight.retain(|_, guess| guess.strong_count() > 0);
            if self.in_flight.len() >= JOBS_MAX {
                return too_often(ROOM_AFTER);
            }
        }
        let taken = match self.take(client, &name, now) {
            Ok(taken) => taken,
            Err(wait) => return self.refused_untried(client, wait, now),
        };
        let own = self.users.password(&name);
        let Some(against) = own.or_else(|| self.users.decoy(self.number_of(&name))).cloned() else {
            return self.failed(Verdict::Wrong, client, now);
        };
        let guess = Arc::new(Guess { question, client, name, against, taken, answer: OnceLock::new() });
        self.in_flight.insert(question, Arc::downgrade(&guess));
        Step::Hash(Job { guess, password })
    }

    fn digest(&mut self, asked: &Asked<'_>, credentials: &Credentials<'_>, now: Moment) -> Step {
        let (client, name) = (asked.client, &credentials.name);
        let taken = match self.take(client, name, now) {
            Ok(taken) => Some(taken),
            Err(wait) => {
                // Others on the same client may be wrong: one that has shown itself by this nonce goes on.
                let goes_on = self.nonces.is_in_use(credentials.nonce, client, name, now);
                if !goes_on || self.refused.take(&client, now).is_err() {
                    return self.refused_untried(client, wait, now);
                }
                None
            }
        };
        let own = self.users.ha1(name, credentials.algorithm);
        // The same work for a name that nobody has.
        let nobodys = self.nobodys(name, credentials.algorithm);
        let is_right = credentials.is_right(own.unwrap_or(&nobodys), asked.method) && own.is_some();
        if !is_right {
            return self.failed(Verdict::Wrong, client, now);
        }
        match taken {
            Some(taken) => self.give_back(client, taken),
            None => self.refused.give_back(&client),
        }
        // Only a tunnel is asked for again by itself; what asks for a tunnel twice has done nothing twice.
        let again = (asked.method == "CONNECT").then_some(credentials.response);
        let used = Use { count: credentials.count, again };
        match self.nonces.take(credentials.nonce, used, client, name, now) {
            Ok(()) => Step::Done(self.known(name, client, now)),
            Err(stale) => Step::Done(Judged { verdict: Verdict::Stale(stale), grounds: Vec::new() }),
        }
    }

    /// Takes what a guess may cost if it is wrong. A client by which the user has logged in lately is not held up
    /// by what others are wrong about the name.
    fn take(&mut self, client: ClientKey, name: &str, now: Moment) -> Result<Taken, Duration> {
        self.by_client.take(&client, now)?;
        if self.signs.knows(name, client, now) {
            return Ok(Taken { name: None });
        }
        let key = self.key_of(name);
        match self.by_name.take(&key, now) {
            Ok(()) => Ok(Taken { name: Some(key) }),
            Err(wait) => {
                self.by_client.give_back(&client);
                Err(wait)
            }
        }
    }

    fn give_back(&mut self, client: ClientKey, taken: Taken) {
        self.by_client.give_back(&client);
        if let Some(name) = taken.name {
            self.by_name.give_back(&name);
        }
    }

    fn refused_untried(&mut self, client: ClientKey, wait: Duration, now: Moment) -> Step {
        // Whether there is one to take is asked of what is remembered.
        let _ = self.refused.take(&client, now);
        self.failed(Verdict::TooOften { retry_after: wait }, client, now)
    }

    fn known(&mut self, name: &str, client: ClientKey, now: Moment) -> Judged {
        let grounds = self.signs.logged_in(name, client, now);
        Judged { verdict: Verdict::Known(self.users.user(name)), grounds }
    }

    fn failed(&mut self, verdict: Verdict, client: ClientKey, now: Moment) -> Step {
        Step::Done(Judged { verdict, grounds: self.signs.failed(client, now) })
    }

    fn key_of(&self, name: &str) -> Question {
        *self.names.hash(&[b"name", name.as_bytes()]).as_bytes()
    }

    fn number_of(&self, name: &str) -> u64 {
        let hash = self.names.hash(&[b"decoy", name.as_bytes()]);
        hash.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    fn nobodys(&self, name: &str, algorithm: Algorithm) -> Ha1 {
        Ha1::nobodys(algorithm, self.names.hash(&[b"nobody", name.as_bytes()]).as_bytes())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("users", &self.users).finish_non_exhaustive()
    }
}

fn too_often(retry_after: Duration) -> Step {
    Step::Done(Judged { verdict: Verdict::TooOften { retry_after }, grounds: Vec::new() })
}

#[cfg(test)]
mod tests;
