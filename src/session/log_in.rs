//! Who the user of a request is: what the proxy is shown (407; RFC 9110 §11.7), and what is asked for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::challenge::auth::{self, Ground, Judged, Step, Users, Verdict, Verifier};
use crate::challenge::{Afresh, Asker};
use crate::clock;
use crate::evidence::{LogIn, Record};
use crate::facts::{Client, ClientKey};
use crate::parse::RequestHead;
use crate::policy::Decision;

use super::account::Asked;
use super::gate::Worker;
use super::why::Why;

/// Passwords that are hashed at the same time. Each may take 256 MiB, and as much time as it has cores.
const HASHING_MAX: usize = 2;

/// Logs users in, for all workers.
pub struct LogIns {
    verifier: Mutex<Verifier>,
    hashing: Semaphore,
    afresh: Mutex<Afresh>,
}

/// The user of an exchange has logged in anew for its target.
#[derive(Debug)]
pub(super) struct LoggedIn;

impl LogIns {
    /// What is shown anew for one target holds for the span.
    pub fn new(verifier: Verifier, afresh: Duration) -> Self {
        let (verifier, afresh) = (Mutex::new(verifier), Mutex::new(Afresh::new(afresh)));
        Self { verifier, hashing: Semaphore::new(HASHING_MAX), afresh }
    }

    /// Puts other users in the place of those that are known.
    pub fn replace_users(&self, users: Users) {
        self.verifier().replace_users(users);
    }

    fn verifier(&self) -> MutexGuard<'_, Verifier> {
        self.verifier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn judge(&self, client: ClientKey, head: &RequestHead) -> Judged {
        let step = self.verifier().begin(&auth::Asked::of(client, head), clock::moment());
        let job = match step {
            Step::Done(judged) => return judged,
            Step::Hash(job) => job,
        };
        let _turn = self.hashing.acquire().await;
        match tokio::task::spawn_blocking(move || job.run()).await {
            Ok(done) => self.verifier().finish(done, clock::moment()),
            // The runtime ends: nobody is known by half a look.
            Err(_) => Judged { verdict: Verdict::Missing, grounds: Vec::new() },
        }
    }
}

/// The client of a request, with its user where it shows one. Without credentials nobody is asked for any yet: it may
/// be that no rule wants to know.
///
/// # Errors
/// What it shows is not right: it is asked again, or told when to come back.
pub(super) async fn client_of(worker: &Worker, client: Client, head: &RequestHead) -> Result<Client, Why> {
    let Some(log_ins) = &worker.gate.log_ins else { return Ok(client) };
    if head.fields.get("proxy-authorization").is_none() {
        return Ok(client);
    }
    let judged = log_ins.judge(ClientKey::of(client.address.ip()), head).await;
    tell(worker, &client, &judged.grounds);
    match judged.verdict {
        Verdict::Known(user) => {
            let policy = &worker.gate.policy.now().policy;
            let ground = policy.is_out_of_hours(clock::now()).then(|| {
                let key = ClientKey::of(client.address.ip());
                log_ins.verifier().out_of_hours(&user.name, key, clock::moment())
            });
            tell(worker, &client, &ground.flatten());
            Ok(Client { user: Some(user), ..client })
        }
        // A policy that only observes asks nobody.
        _ if worker.gate.policy.now().policy.observes_client(&client) => Ok(client),
        verdict => Err(refusal(log_ins, &client, &verdict)),
    }
}

/// Asks who the user is, where a rule waits for that and the config says how it can be shown.
pub(super) async fn ask(worker: &Worker, client: &Client, head: &RequestHead) -> Option<Why> {
    let log_ins = worker.gate.log_ins.as_ref()?;
    let judged = log_ins.judge(ClientKey::of(client.address.ip()), head).await;
    tell(worker, client, &judged.grounds);
    Some(refusal(log_ins, client, &judged.verdict))
}

/// How a challenged request is refused whose user must be known first, as others share its address: it is asked who
/// that is, where the config says how that can be shown.
pub(super) async fn ask_first(worker: &Worker, client: &Client, head: &RequestHead) -> Why {
    let asks = ask(worker, client, head).await;
    asks.unwrap_or_else(|| {
        let detail = "several people share this address, and users cannot log in: see [authentication] in the config";
        Why { detail: Some(detail.to_owned()), ..Why::new(403, "challenge_not_possible") }
    })
}

/// The same where it is too late to ask: within a tunnel.
pub(super) fn cannot_ask() -> Why {
    let detail = "several people share this address, and within a tunnel nobody can be asked who they are";
    Why { detail: Some(detail.to_owned()), ..Why::new(403, "challenge_not_possible") }
}

/// Has the user of a challenged tunnel log in anew, where its challenge is met by a person alone: such a tunnel can
/// show no page. Nothing is asked where users cannot log in.
///
/// # Errors
/// They have not, and are asked.
pub(super) async fn log_in_for(
    worker: &Worker,
    asked: &Asked<'_>,
    decision: &Decision,
) -> Result<Option<LoggedIn>, Why> {
    let Some(log_ins) = worker.gate.log_ins.as_ref().filter(|_| decision.reason.needs_person()) else {
        return Ok(None);
    };
    let (client, target) = (asked.client, asked.target);
    let (key, user) = (ClientKey::of(client.address.ip()), client.user.as_ref());
    let has_logged_in = {
        let asker = Asker {
            client: key,
            shared: worker.gate.policy.now().policy.is_shared(client),
            user: user.map(|user| &*user.name),
            host: &target.host,
            port: target.port,
        };
        let mut afresh = log_ins.afresh.lock().unwrap_or_else(PoisonError::into_inner);
        afresh.has_logged_in(&asker, clock::moment())
    };
    match user {
        Some(_) if has_logged_in => Ok(Some(LoggedIn)),
        Some(_) => {
            let detail = "log in again to say that this site is meant".to_owned();
            let authenticate = log_ins.verifier().challenges(key, &Verdict::Missing, clock::moment());
            Err(Why { detail: Some(detail), authenticate, ..Why::new(407, "log_in_afresh") })
        }
        None => Err(ask_first(worker, client, asked.head).await),
    }
}

fn refusal(log_ins: &LogIns, client: &Client, verdict: &Verdict) -> Why {
    let (status, code, detail) = match verdict {
        Verdict::Missing | Verdict::Known(_) => (407, "log_in_needed", None),
        Verdict::Wrong => (407, "log_in_wrong", None),
        Verdict::Stale(_) => (407, "log_in_stale", None),
        Verdict::Refused(fault) => (407, "log_in_refused", Some(fault.to_string())),
        Verdict::TooOften { retry_after } => {
            let seconds = u64::try_from(retry_after.as_millis().div_ceil(1000)).unwrap_or(u64::MAX);
            return Why { retry_after: Some(seconds), ..Why::new(429, "log_in_too_often") };
        }
    };
    let key = ClientKey::of(client.address.ip());
    let authenticate = log_ins.verifier().challenges(key, verdict, clock::moment());
    Why { detail, authenticate, ..Why::new(status, code) }
}

/// Puts on record what is worth looking at.
fn tell<'g>(worker: &Worker, client: &Client, grounds: impl IntoIterator<Item = &'g Ground>) {
    for ground in grounds {
        let log_in = LogIn {
            client: client.address.ip().to_canonical().to_string(),
            ground: ground.name(),
            detail: ground.to_string().as_str().into(),
        };
        worker.journal.note(&Record::LogIn(log_in), clock::now());
    }
}
