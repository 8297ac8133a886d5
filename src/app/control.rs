//! The unix socket on which the running gate answers the person who runs it: one line of JSON asked, one
//! answered. Only the gate's own user can open it.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::alerting::{self, AlertTried};
use super::authority::{self, AuthorityAct};
use super::clearances::{self, Clearances, Which};
use super::handover::{self, Carrier, Offer, Wants};
use super::note::{self, Note};
use super::reach::{self, ReachStatus};
use super::reloaded::Reloaded;
use super::status::{Reporter, Status};
use super::{AppError, NotDone, breakglass, restraints};

/// Where the socket is, below the data directory.
pub fn socket_path(data_dir: &Path) -> PathBuf {
    data_dir.join("control.sock")
}

/// What the running gate can be asked, as a line of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Question {
    Status,
    /// Let rules marked `essential` pass though no record can be written.
    Breakglass {
        minutes: u64,
        reason: String,
    },
    /// End that.
    MendGlass,
    /// Read the policy again: asked by [`ask_reload`].
    Reload,
    /// What programs have shown, all or those of a client or user: asked by [`ask_clearances`].
    Clearances {
        client: Option<String>,
        user: Option<String>,
    },
    /// Which clients trust the authority: asked by [`ask_reach`].
    Reach,
    /// Put on record what was done with the authority.
    Authority(AuthorityAct),
    /// Take clearances back: asked by [`ask_revoke`].
    Revoke(Which),
    /// End what a finding has imposed, or all of it where none is named: asked by [`ask_lift`].
    Lift {
        finding: Option<String>,
    },
    /// Put on record what a person does: asked by [`note`](super::note()).
    Note(Note),
    /// Fetch these host lists, or all where none is named: then [`Status::lists`] has them.
    Fetch {
        names: Vec<String>,
    },
    /// Send a receiver of alerts a test, or all where none is named: asked by [`ask_alerts`].
    TryAlerts {
        name: Option<String>,
    },
    /// Hand over to the next gate: asked by `sekisho run --take-over`.
    HandOver(Wants),
    /// Write what a gate tells that was taken over from: asked by that one.
    Carry(Carrier),
}

/// What it answers: how it stands after that, or why it did nothing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    Status(Box<Status>),
    Reloaded(Box<Reloaded>),
    Clearances(Clearances),
    Reach(ReachStatus),
    Revoked(usize),
    Noted,
    Tried(Vec<AlertTried>),
    Refused(NotDone),
}

/// What a person writes is at most a quarter of that before it is escaped.
const QUESTION_BYTES_MAX: usize = 16 << 10;
/// A thousand clients with sixteen long names of hosts each are four million bytes.
const ANSWER_BYTES_MAX: u64 = 8 << 20;
/// Whoever connects and does not ask is dropped.
const QUESTION_LIMIT: Duration = Duration::from_secs(5);
/// An answer may have to wait for a disk that stands still, several times over, and for those who asked
/// before.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(60);
/// Reading a policy may take so long: one with lists of millions of names.
const RELOAD_LIMIT: Duration = Duration::from_secs(300);
/// Fetching lists may: large ones, one after the other.
const FETCH_LIMIT: Duration = Duration::from_secs(3600);
/// Each receiver of alerts may take a minute; all are tried at once.
const TRY_LIMIT: Duration = Duration::from_secs(90);
/// So many are answered at the same time; more wait.
const ASKERS_MAX: usize = 8;

/// Binds the socket. The data directory is locked, so one that is already there is a dead gate's.
pub(super) fn bind(data_dir: &Path) -> Result<UnixListener, AppError> {
    let path = socket_path(data_dir);
    let failed = |source| AppError::File { path: path.clone(), source };
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Answers, several askers at a time, for as long as it is polled; and takes what gates carry here that drain.
pub(super) async fn serve(listener: UnixListener, reporter: Arc<Reporter>, offer: Offer) {
    let Ok(listener) = tokio::net::UnixListener::from_std(listener) else { return };
    let mut answering = JoinSet::new();
    let mut links = JoinSet::new();
    loop {
        tokio::select! {
            Some(answered) = answering.join_next(), if !answering.is_empty() => {
                if let Ok(Ok(Some((stream, carrier)))) = answered {
                    links.spawn(handover::serve(stream, carrier, reporter.gate.clone(), reporter.drainers.clone()));
                }
            }
            Some(_) = links.join_next(), if !links.is_empty() => {}
            accepted = listener.accept(), if answering.len() < ASKERS_MAX => match accepted {
                Ok((stream, _)) => {
                    let (reporter, offer) = (reporter.clone(), offer.clone());
                    answering.spawn(async move { answer(stream, &reporter, &offer).await });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
        }
    }
}

/// Answers one asker; gives back one that drains, who is answered for as long as it does.
async fn answer(
    mut stream: UnixStream,
    reporter: &Arc<Reporter>,
    offer: &Offer,
) -> io::Result<Option<(UnixStream, Carrier)>> {
    let question = timeout(QUESTION_LIMIT, read_question(&mut stream)).await??;
    let uid = stream.peer_cred().ok().map(|peer| peer.uid());
    let asker = uid.map_or_else(|| "an unknown user".to_owned(), |uid| format!("user {uid}"));
    let answer = match serde_json::from_slice(&question) {
        Ok(Question::Carry(carrier)) => return Ok(Some((stream, carrier))),
        Ok(Question::HandOver(wants)) => {
            offer.make(stream, &wants, uid);
            return Ok(None);
        }
        Ok(question) => timeout(limit_of(&question), done(question, reporter, &asker, uid)).await?,
        Err(_) => Answer::Refused(NotDone::UnknownQuestion),
    };
    stream.write_all(&serde_json::to_vec(&answer)?).await?;
    stream.write_all(b"\n").await?;
    Ok(None)
}

fn limit_of(question: &Question) -> Duration {
    match question {
        Question::Status
        | Question::Breakglass { .. }
        | Question::MendGlass
        | Question::Clearances { .. }
        | Question::Reach
        | Question::Authority(_)
        | Question::Revoke(_)
        | Question::Note(_)
        | Question::Lift { .. } => ANSWER_LIMIT,
        Question::Reload => RELOAD_LIMIT,
        Question::Fetch { .. } => FETCH_LIMIT,
        Question::TryAlerts { .. } => TRY_LIMIT,
        // They are conversations of their own.
        Question::HandOver(_) | Question::Carry(_) => ANSWER_LIMIT,
    }
}

/// Does what is asked, and says how it stands after that.
async fn done(question: Question, reporter: &Arc<Reporter>, asker: &str, uid: Option<u32>) -> Answer {
    let done = match question {
        Question::Status => Ok(()),
        Question::Breakglass { minutes, reason } => {
            breakglass::break_glass(&reporter.gate, minutes, &reason, asker).await
        }
        Question::MendGlass => breakglass::mend_glass(&reporter.gate, asker).await,
        Question::Reload => match reporter.reloads.ask(asker).await {
            Some(reloaded) => return Answer::Reloaded(Box::new(reloaded)),
            None => Err(NotDone::ReloadBusy),
        },
        Question::Clearances { client, user } => {
            return match clearances::report(&reporter.gate, client, user).await {
                Ok(clearances) => Answer::Clearances(clearances),
                Err(why) => Answer::Refused(why),
            };
        }
        Question::Authority(act) => authority::put_on_record(&reporter.gate, &reporter.data_dir, act, asker).await,
        Question::Reach => return Answer::Reach(reach::report(&reporter.gate)),
        Question::Revoke(which) => {
            return match clearances::revoke(&reporter.gate, &reporter.data_dir, which, asker).await {
                Ok(count) => Answer::Revoked(count),
                Err(why) => Answer::Refused(why),
            };
        }
        Question::Lift { finding } => {
            let lifted = restraints::lift(&reporter.gate, &reporter.data_dir, finding.as_deref(), asker);
            return match lifted.await {
                Ok(count) => Answer::Revoked(count),
                Err(why) => Answer::Refused(why),
            };
        }
        Question::Note(note) => {
            return match note::put_on_record(reporter, note, uid).await {
                Ok(()) => Answer::Noted,
                Err(why) => Answer::Refused(why),
            };
        }
        Question::TryAlerts { name } => {
            return match alerting::tried(reporter.background.asks(), name).await {
                Ok(tried) => Answer::Tried(tried),
                Err(why) => Answer::Refused(why),
            };
        }
        Question::Fetch { names } => match &reporter.fetches {
            Some(fetches) => fetches.ask(&names).await,
            None => Err(NotDone::NoLists),
        },
        Question::HandOver(_) | Question::Carry(_) => Err(NotDone::UnknownQuestion),
    };
    match done {
        Ok(()) => Answer::Status(Box::new(reporter.report())),
        Err(why) => Answer::Refused(why),
    }
}

async fn read_question(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut question = Vec::new();
    let mut byte = [0];
    while question.len() < QUESTION_BYTES_MAX && stream.read(&mut byte).await? == 1 && byte != *b"\n" {
        question.extend_from_slice(&byte);
    }
    Ok(question)
}

/// Why there is no answer from a gate.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// None runs there, or the socket is another user's.
    #[error("no gate answers: {0}")]
    NoGate(io::Error),
    /// One runs and was asked; whether it has done it is not known.
    #[error(
        "the gate runs, and did not answer in time or in words of this version ({0}); it may have done what was asked"
    )]
    NoAnswer(io::Error),
    #[error("the gate refuses: {0}")]
    NotDone(NotDone),
}

/// Asks the gate that runs on this data directory, and returns how it stands after that.
///
/// # Errors
/// No gate, no answer, or its reason for doing nothing.
pub fn ask(data_dir: &Path, question: &Question) -> Result<Status, AskError> {
    told(put(data_dir, question, limit_of(question).max(PATIENCE)), |answer| match answer {
        Answer::Status(status) => Some(*status),
        _ => None,
    })
}

/// Has the gate that runs on this data directory read its policy again, and returns what came of it: that
/// it was refused is no error here. Waits some minutes at most.
///
/// # Errors
/// As [`ask`].
pub fn ask_reload(data_dir: &Path) -> Result<Reloaded, AskError> {
    told(put(data_dir, &Question::Reload, RELOAD_LIMIT), |answer| match answer {
        Answer::Reloaded(reloaded) => Some(*reloaded),
        _ => None,
    })
}

/// What programs have shown to the gate that runs on this data directory: all, or those of a client, or of a user.
///
/// # Errors
/// As [`ask`].
pub fn ask_clearances(data_dir: &Path, client: Option<String>, user: Option<String>) -> Result<Clearances, AskError> {
    told(put(data_dir, &Question::Clearances { client, user }, PATIENCE), |answer| match answer {
        Answer::Clearances(clearances) => Some(clearances),
        _ => None,
    })
}

/// Which clients have taken certificates of the authority of the gate that runs on this data directory.
///
/// # Errors
/// As [`ask`].
pub fn ask_reach(data_dir: &Path) -> Result<ReachStatus, AskError> {
    told(put(data_dir, &Question::Reach, PATIENCE), |answer| match answer {
        Answer::Reach(reach) => Some(reach),
        _ => None,
    })
}

/// Takes clearances back, as [`Question::Revoke`] says, and returns how many.
///
/// # Errors
/// As [`ask`].
pub fn ask_revoke(data_dir: &Path, which: Which) -> Result<usize, AskError> {
    told(put(data_dir, &Question::Revoke(which), PATIENCE), |answer| match answer {
        Answer::Revoked(count) => Some(count),
        _ => None,
    })
}

/// Has the gate end what a finding has imposed, or all of it, and returns how many restraints that were.
///
/// # Errors
/// As [`ask`].
pub fn ask_lift(data_dir: &Path, finding: Option<String>) -> Result<usize, AskError> {
    told(put(data_dir, &Question::Lift { finding }, PATIENCE), |answer| match answer {
        Answer::Revoked(count) => Some(count),
        _ => None,
    })
}

/// Has the gate that runs on this data directory send a receiver of alerts a test, or all of them, and returns what each says.
///
/// # Errors
/// As [`ask`].
pub fn ask_alerts(data_dir: &Path, name: Option<String>) -> Result<Vec<AlertTried>, AskError> {
    told(put(data_dir, &Question::TryAlerts { name }, TRY_LIMIT), |answer| match answer {
        Answer::Tried(tried) => Some(tried),
        _ => None,
    })
}

/// Has the gate put on record what a person does.
///
/// # Errors
/// As [`ask`].
pub(super) fn ask_note(data_dir: &Path, note: Note) -> Result<(), AskError> {
    told(put(data_dir, &Question::Note(note), PATIENCE), |answer| match answer {
        Answer::Noted => Some(()),
        _ => None,
    })
}

/// What is wanted of an answer; `None` of `wanted` says that it is to another question.
fn told<T>(answer: Result<Answer, AskError>, wanted: impl FnOnce(Answer) -> Option<T>) -> Result<T, AskError> {
    match answer? {
        Answer::Refused(why) => Err(AskError::NotDone(why)),
        answer => {
            wanted(answer).ok_or_else(|| AskError::NoAnswer(io::Error::other("it is the answer to another question")))
        }
    }
}

fn put(data_dir: &Path, question: &Question, patience: Duration) -> Result<Answer, AskError> {
    let stream = std::os::unix::net::UnixStream::connect(socket_path(data_dir)).map_err(AskError::NoGate)?;
    converse(stream, question, patience).map_err(AskError::NoAnswer)
}

fn converse(mut stream: std::os::unix::net::UnixStream, question: &Question, patience: Duration) -> io::Result<Answer> {
    use std::io::{Read, Write};
    stream.set_read_timeout(Some(patience))?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}
