use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::clock;
use crate::evidence::{Admin, Record};
use crate::facts::Timestamp;
use crate::listen::read_line;
use crate::lists::{Source, Watched};
use crate::session::Gate;
use crate::store::{Duty, Handed, JournalConfig, Load, NotAccepted, OpenError};

use super::super::control::{Question, socket_path};
use super::super::restraints;
use super::{Carrier, LINE_BYTES_MAX, OfDraining, OfWriter, PROTOCOL, PolicyInForce};

/// The next gate may take so long from the hand-over to its first welcome: it reads the end of the journal.
const FIRST_LIMIT: Duration = Duration::from_secs(60);
/// Where it is lost, another may take so long to come in its place, or [`FIRST_LIMIT`] where it has said that it hands over. Until
/// then nobody can cut off what is open here.
const AGAIN_LIMIT: Duration = Duration::from_secs(10);
/// So long it is tried to have what is left written, when all that was open is closed, without what another gate still has the
/// data directory.
const LAST_LIMIT: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(50);
/// For a load to be answered; the journal itself takes five seconds at most.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// What is open is told so often.
const HOLDS_EVERY: Duration = Duration::from_secs(1);
/// How long records are waited for before anything else is looked at.
const PATIENCE: Duration = Duration::from_millis(100);

/// A gate that has handed over and drains.
pub(in crate::app) struct Draining {
    pub(in crate::app) handed: Handed,
    pub(in crate::app) gate: Arc<Gate>,
    pub(in crate::app) source: Source,
    pub(in crate::app) data_dir: PathBuf,
    /// As the journal is opened where it must be taken back.
    pub(in crate::app) journal: JournalConfig,
    pub(in crate::app) since: Timestamp,
    /// As long as it may drain, it also waits for a data directory that another gate still has.
    pub(in crate::app) limit: Duration,
    /// Closes all that is open, at once.
    pub(in crate::app) cut: Arc<dyn Fn() + Send + Sync>,
}

/// The thread that carries records to the gate that has the journal, and does what it says.
pub(in crate::app) struct Carrying {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<()>>,
}

impl Carrying {
    /// Starts it; `next` is the stream of the gate that takes over, which ends with it; absent where it is gone.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(in crate::app) fn start(draining: Draining, next: Option<UnixStream>) -> io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let (policies, received) = channel();
        let follower = Follower { gate: draining.gate.clone(), policies, cut: draining.cut.clone() };
        let (gate, source, cut) = (draining.gate.clone(), draining.source.clone(), draining.cut.clone());
        let follow = move || follow_policies(&gate, &source, &*cut, &received);
        std::thread::Builder::new().name("policy".to_owned()).spawn(follow)?;
        let told = is_over.clone();
        let carry = move || Porter { draining, follower, is_over: told }.run(next);
        let thread = std::thread::Builder::new().name("carry".to_owned()).spawn(carry)?;
        Ok(Self { is_over, thread })
    }

    /// Nothing is open any more: what is left is carried, and the thread ends.
    ///
    /// # Errors
    /// Records are lost.
    pub(in crate::app) fn end(self) -> io::Result<()> {
        self.is_over.store(true, Ordering::Release);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that carries records died")))
    }
}

struct Porter {
    draining: Draining,
    follower: Follower,
    is_over: Arc<AtomicBool>,
}

/// How carrying over one link has ended.
enum Way {
    /// All is carried.
    Done,
    /// The link is lost, and with it the answer to this.
    Lost(Option<Load>),
}

impl Porter {
    fn run(self, next: Option<UnixStream>) -> io::Result<()> {
        let mut unanswered = None;
        let mut link = self.first_link(next);
        while let Some(open) = link {
            self.put_back(unanswered.take());
            match self.carry(&open) {
                Way::Done => return Ok(()),
                Way::Lost(load) => unanswered = load,
            }
            let limit = match open.end() {
                LastWord::HandsOver => {
                    eprintln!("sekisho: the gate that took over hands over itself; the next one is waited for");
                    FIRST_LIMIT
                }
                LastWord::None => {
                    eprintln!("sekisho: the gate that took over does not answer any more; another is waited for");
                    AGAIN_LIMIT
                }
            };
            link = self.link_until(Instant::now() + limit);
        }
        self.close_up(unanswered)
    }

    fn first_link(&self, mut next: Option<UnixStream>) -> Option<Link> {
        let mut until = Instant::now() + if next.is_some() { FIRST_LIMIT } else { AGAIN_LIMIT };
        while Instant::now() < until {
            if next.take_if(has_ended).is_some() {
                until = Instant::now() + AGAIN_LIMIT;
                eprintln!("sekisho: the gate that took over has ended before it served; another is waited for");
            }
            match self.link(until) {
                Ok(link) => return Some(link),
                Err(_) => std::thread::sleep(EVERY),
            }
        }
        None
    }

    fn link_until(&self, until: Instant) -> Option<Link> {
        while Instant::now() < until {
            match self.link(until) {
                Ok(link) => return Some(link),
                Err(_) => std::thread::sleep(EVERY),
            }
        }
        None
    }

    fn link(&self, until: Instant) -> io::Result<Link> {
        Link::open(&self.draining.data_dir, until.saturating_duration_since(Instant::now()), self.follower.clone())
    }

    fn put_back(&self, load: Option<Load>) {
        if let Some(load) = load {
            self.draining.handed.put_back(load, &self.draining.data_dir, self.draining.since);
        }
    }

    fn carry(&self, link: &Link) -> Way {
        let counters = &self.draining.gate.counters;
        let (mut number, mut told) = (0, None::<Instant>);
        loop {
            if link.has_ended() {
                return Way::Lost(None);
            }
            if told.is_none_or(|told| told.elapsed() >= HOLDS_EVERY) {
                told = Some(Instant::now());
                let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
                let (connections, tunnels) = (read(&counters.connections), read(&counters.tunnels));
                if link.say(&OfDraining::Holds { connections, tunnels }).is_err() {
                    return Way::Lost(None);
                }
            }
            // Asked before what waits is looked at: what comes behind that is nothing.
            let is_over = self.is_over.load(Ordering::Acquire);
            match self.draining.handed.take(if is_over { Duration::ZERO } else { PATIENCE }) {
                Some(load) => {
                    number += 1;
                    match link.carry(number, &load) {
                        Ok(answer) => self.draining.handed.answer(load, answer),
                        Err(_) => return Way::Lost(Some(load)),
                    }
                }
                None if is_over => {
                    let _ = link.say(&OfDraining::Ended);
                    return Way::Done;
                }
                None => {}
            }
        }
    }

    /// Nobody writes what is carried, and nobody says who is cut off: all that is open is closed. What that leaves to be told is
    /// written here, as soon as this gate can have the data directory again, or else by who has it: one that is told to end has it
    /// until all is closed there, and takes nothing.
    fn close_up(&self, unanswered: Option<Load>) -> io::Result<()> {
        eprintln!("sekisho: no gate has taken the place of the one that took over: all that is open here is closed");
        (self.draining.cut)();
        let last = Instant::now() + self.draining.limit.max(LAST_LIMIT);
        let mut until = Instant::now() + LAST_LIMIT;
        let mut unanswered = unanswered;
        loop {
            self.put_back(unanswered.take());
            let why = match self.draining.handed.take_back(self.draining.journal.clone()) {
                Ok(journal) => {
                    let detail = Some("the gate that took over is gone; all that was open here is closed".into());
                    let back = Record::Admin(Admin { action: "journal_taken_back", detail });
                    journal.handle().tell(&back, clock::now());
                    self.until_over();
                    return journal.close();
                }
                Err(why) => why,
            };
            if matches!(why, OpenError::Locked(_)) {
                if let Ok(link) = self.link(Instant::now() + Duration::from_secs(1)) {
                    match self.carry(&link) {
                        Way::Done => return Ok(()),
                        Way::Lost(load) => unanswered = load,
                    }
                }
                until = last.min(Instant::now() + LAST_LIMIT);
            }
            if Instant::now() >= until {
                self.until_over();
                self.put_back(unanswered.take());
                return match self.draining.handed.left() {
                    0 => Ok(()),
                    left => Err(io::Error::other(format!("{left} records of what has ended here are lost: {why}"))),
                };
            }
            std::thread::sleep(EVERY);
        }
    }

    fn until_over(&self) {
        while !self.is_over.load(Ordering::Acquire) {
            std::thread::sleep(EVERY);
        }
    }
}

/// Nothing comes by it but its end.
fn has_ended(stream: &mut UnixStream) -> bool {
    let _ = stream.set_nonblocking(true);
    match stream.read(&mut [0]) {
        Ok(0 | 1..) => true,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
    }
}

/// A connection to the gate that has the journal.
struct Link {
    stream: UnixStream,
    /// Numbers of loads, and whether all of one is written.
    answers: Receiver<(u64, Result<(), NotAccepted>)>,
    is_ended: Arc<OnceLock<()>>,
    reader: Option<JoinHandle<LastWord>>,
}

/// What the gate that has the journal has said of the end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastWord {
    None,
    HandsOver,
}

impl Link {
    fn open(data_dir: &Path, patience: Duration, follower: Follower) -> io::Result<Self> {
        let mut stream = UnixStream::connect(socket_path(data_dir))?;
        stream.set_read_timeout(Some(patience.max(EVERY)))?;
        stream.set_write_timeout(Some(SEND_LIMIT))?;
        let mut question =
            serde_json::to_vec(&Question::Carry(Carrier { protocol: PROTOCOL, pid: std::process::id() }))?;
        question.push(b'\n');
        stream.write_all(&question)?;
        match serde_json::from_slice(&read_line(&mut stream, LINE_BYTES_MAX)?)? {
            OfWriter::Welcome => {}
            OfWriter::Refused(why) => return Err(io::Error::other(why)),
            OfWriter::Taken(_)
            | OfWriter::NotTaken(_)
            | OfWriter::Imposed(_)
            | OfWriter::Policy(_)
            | OfWriter::HandsOver => {
                return Err(io::Error::other("it does not say that it takes loads"));
            }
        }
        stream.set_read_timeout(None)?;
        let (sender, answers) = sync_channel(1);
        let is_ended = Arc::new(OnceLock::new());
        let (reader, ended) = (stream.try_clone()?, is_ended.clone());
        let read = move || {
            // Whatever else ends it, the link is lost.
            let last = follower.read(reader, &sender).unwrap_or(LastWord::None);
            let _ = ended.set(());
            last
        };
        let reader = std::thread::Builder::new().name("told".to_owned()).spawn(read)?;
        Ok(Self { stream, answers, is_ended, reader: Some(reader) })
    }

    /// Ends it; what has come by it is read to the end.
    fn end(mut self) -> LastWord {
        let _ = self.stream.shutdown(Shutdown::Both);
        self.reader.take().and_then(|reader| reader.join().ok()).unwrap_or(LastWord::None)
    }

    fn has_ended(&self) -> bool {
        self.is_ended.get().is_some()
    }

    fn say(&self, what: &OfDraining) -> io::Result<()> {
        let mut line = serde_json::to_vec(what)?;
        line.push(b'\n');
        (&self.stream).write_all(&line)
    }

    /// Has a load written, and gives what came of it.
    fn carry(&self, number: u64, load: &Load) -> io::Result<Result<(), NotAccepted>> {
        let mut lines = Vec::new();
        let records = load.records().count();
        serde_json::to_writer(&mut lines, &OfDraining::Load { number, records, lost: load.lost })?;
        lines.push(b'\n');
        for (duty, members) in load.records() {
            lines.push(letter(duty));
            lines.extend_from_slice(members);
            lines.push(b'\n');
        }
        (&self.stream).write_all(&lines)?;
        match self.answers.recv_timeout(ANSWER_LIMIT) {
            Ok((answered, answer)) if answered == number => Ok(answer),
            Ok(_) => Err(io::Error::other("the answer is to another load")),
            Err(RecvTimeoutError::Timeout) => Err(io::ErrorKind::TimedOut.into()),
            Err(RecvTimeoutError::Disconnected) => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Its reader ends with it.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// By which a load says what a record is for.
pub(super) fn letter(duty: Duty) -> u8 {
    match duty {
        Duty::Before => b'b',
        Duty::After => b'a',
        Duty::Meanwhile => b'm',
    }
}

/// Does what the gate says that has the journal.
#[derive(Clone)]
struct Follower {
    gate: Arc<Gate>,
    policies: Sender<PolicyInForce>,
    cut: Arc<dyn Fn() + Send + Sync>,
}

impl Follower {
    fn read(&self, stream: UnixStream, answers: &SyncSender<(u64, Result<(), NotAccepted>)>) -> io::Result<LastWord> {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        loop {
            line.clear();
            reader.by_ref().take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
            if line.last() != Some(&b'\n') {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let answer = match serde_json::from_slice(&line)? {
                OfWriter::Taken(number) => Some((number, Ok(()))),
                OfWriter::NotTaken(number) => Some((number, Err(NotAccepted::Disk))),
                OfWriter::Imposed(standing) => {
                    if !restraints::adopt(&self.gate, standing) {
                        eprintln!(
                            "sekisho: something is imposed that this gate does not know: all that is open is closed"
                        );
                        (self.cut)();
                    }
                    None
                }
                OfWriter::Policy(policy) => {
                    let _ = self.policies.send(policy);
                    None
                }
                OfWriter::HandsOver => return Ok(LastWord::HandsOver),
                OfWriter::Welcome => None,
                OfWriter::Refused(why) => return Err(io::Error::other(why)),
            };
            // Nobody has asked for a second one.
            if answer.is_some_and(|answer| answers.try_send(answer).is_err()) {
                return Err(io::Error::other("more answers than loads"));
            }
        }
    }
}

/// Puts each policy in force that comes into force at the gate that has the journal, which has put that on record. Where this one
/// cannot read it as the same, and it says that standing tunnels are held to it, they are closed.
fn follow_policies(gate: &Gate, source: &Source, cut: &(dyn Fn() + Send + Sync), policies: &Receiver<PolicyInForce>) {
    while let Ok(first) = policies.recv() {
        let wanted = policies.try_iter().last().unwrap_or(first);
        if gate.policy.now().policy.hash() == wanted.hash {
            continue;
        }
        let read = source.read(&mut Watched::default()).ok().filter(|read| read.policy.hash() == wanted.hash);
        match read {
            Some(read) => {
                gate.policy.swap(read.policy, read.credentials);
                eprintln!("sekisho: the policy of version {} is in force for what is open here too", wanted.hash);
            }
            None if wanted.is_strict => {
                eprintln!(
                    "sekisho: the policy of version {} cannot be read here, and tunnels are held to it: all that is open \
                     is closed",
                    wanted.hash
                );
                cut();
            }
            None => eprintln!(
                "sekisho: warning: the policy of version {} cannot be read here: the last requests on open connections \
                 are judged by the one before",
                wanted.hash
            ),
        }
    }
}
