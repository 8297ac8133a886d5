use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::geteuid;

use crate::clock;
use crate::evidence::{Admin, Record};
use crate::facts::ExchangeId;
use crate::listen::{Passed, read_line, receive_listeners};

use super::super::NotDone;
use super::super::control::{Question, socket_path};
use super::{OfOld, PROTOCOL, TAKE, Wants};

/// For its offer.
const OFFER_LIMIT: Duration = Duration::from_secs(10);
/// Until it has let the data directory go: what reads the journal comes to a stop, and the disk has all of it.
const LEAVE_LIMIT: Duration = Duration::from_secs(60);
/// No answer is longer.
const ANSWER_BYTES_MAX: usize = 4096;

/// Why nothing was taken over.
#[derive(Debug, thiserror::Error)]
pub enum TakeOverError {
    #[error("the running gate does not hand over: {0}")]
    Refused(NotDone),
    #[error("the running gate speaks another version of the hand-over")]
    OtherVersion,
    #[error("the running gate is of another user (number {0})")]
    OtherUser(u32),
    #[error("the running gate did not hand over: {0}")]
    Io(#[from] io::Error),
}

/// A gate that can be taken over from.
pub(in crate::app) struct Taking {
    stream: UnixStream,
    pid: u32,
}

/// That it was done; while it is kept the gate that drains knows that this one is on its way.
pub(in crate::app) struct TakenOver {
    _stream: UnixStream,
    pid: u32,
}

impl TakenOver {
    /// That it was, for the journal.
    pub(in crate::app) fn record(&self) -> Record {
        let detail = format!("from process {}, which goes on with what it has", self.pid);
        Record::Admin(Admin { action: "journal_taken_over", detail: Some(detail.as_str().into()) })
    }
}

impl Taking {
    /// Asks the gate that runs on this data directory, and has its listeners; `None` where none runs.
    ///
    /// # Errors
    /// It refuses, or is of a version that does not know how.
    pub(in crate::app) fn ask(data_dir: &Path, passed: &mut Passed) -> Result<Option<Self>, TakeOverError> {
        let mut stream = match UnixStream::connect(socket_path(data_dir)) {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        // What another user's gate has written this one could not go on with.
        let uid = socket_peercred(&stream).map_err(io::Error::from)?.uid;
        if uid != geteuid() {
            return Err(TakeOverError::OtherUser(uid.as_raw()));
        }
        stream.set_read_timeout(Some(OFFER_LIMIT))?;
        stream.set_write_timeout(Some(OFFER_LIMIT))?;
        let mut question =
            serde_json::to_vec(&Question::HandOver(Wants { protocol: PROTOCOL })).map_err(io::Error::from)?;
        question.push(b'\n');
        stream.write_all(&question)?;
        match answer(&mut stream)? {
            OfOld::Offered { protocol: PROTOCOL, pid, listeners } => {
                passed.take_over(receive_listeners(&mut stream, listeners)?)?;
                Ok(Some(Self { stream, pid }))
            }
            OfOld::Offered { .. }
            | OfOld::Left { .. }
            | OfOld::Refused(NotDone::OtherVersion | NotDone::UnknownQuestion) => Err(TakeOverError::OtherVersion),
            OfOld::Refused(why) => Err(TakeOverError::Refused(why)),
        }
    }

    /// Takes over: when it comes back, the data directory is free.
    ///
    /// # Errors
    /// It is not, as far as is known.
    pub(in crate::app) fn take(mut self) -> Result<TakenOver, TakeOverError> {
        self.stream.set_read_timeout(Some(LEAVE_LIMIT))?;
        self.stream.write_all(TAKE)?;
        match answer(&mut self.stream)? {
            OfOld::Left { first_id } => {
                clock::take_exchange_ids(ExchangeId(first_id.min(clock::now().0.saturating_add(IDS_AHEAD_MAX))));
                Ok(TakenOver { _stream: self.stream, pid: self.pid })
            }
            OfOld::Refused(why) => Err(TakeOverError::Refused(why)),
            OfOld::Offered { .. } => Err(TakeOverError::OtherVersion),
        }
    }
}

/// Its ids may be so far ahead of the clock, in microseconds: it was set back meanwhile.
const IDS_AHEAD_MAX: u64 = 24 * 3_600_000_000;

fn answer(stream: &mut UnixStream) -> io::Result<OfOld> {
    let line = read_line(stream, ANSWER_BYTES_MAX)?;
    serde_json::from_slice(&line).map_err(io::Error::from)
}
