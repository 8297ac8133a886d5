use std::fmt::Display;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::clock;
use crate::evidence::{Admin, Gap, HANDED_BYTES_MAX, Record, format_time, handed_record};
use crate::policy::Reload;
use crate::session::Gate;
use crate::store::{CARRIED_RECORDS_MAX, Duty};

use super::super::{NotDone, restraints};
use super::offer::is_own;
use super::{Carrier, OfDraining, OfWriter, PROTOCOL, PolicyInForce};

/// So many gates may drain at the same time.
const DRAINERS_MAX: usize = 4;
/// A line that is no record.
const SAYING_BYTES_MAX: usize = 4096;
/// So many bytes of records are held at a time.
const HELD_BYTES_MAX: usize = 4 << 20;
/// No load tells of more that is lost.
const LOST_MAX: u64 = 1 << 40;
/// Which policy is in force is looked at so often.
const LOOK: Duration = Duration::from_millis(200);
const SEND_LIMIT: Duration = Duration::from_secs(10);
/// What waits to be told.
const TOLD_MAX: usize = 16;
/// A gate that drains says each second what it holds.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// A gate that was taken over from and still serves what it has, as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainingStatus {
    pub pid: u32,
    /// Since when its records come here, UTC.
    pub since: String,
    pub connections: u64,
    pub tunnels: u64,
    /// How many of its records were taken.
    pub records: u64,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(in crate::app) struct Drainers(Arc<Mutex<All>>);

#[derive(Debug, Default)]
struct All {
    /// Each with the number of its link: in containers all have one pid.
    linked: Vec<(u64, DrainingStatus)>,
    links: u64,
    /// This gate hands over, and they are the next one's.
    hands_over: bool,
}

impl Drainers {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::app) fn report(&self) -> Vec<DrainingStatus> {
        self.lock().linked.iter().map(|(_, one)| one.clone()).collect()
    }

    /// Links that end from now on, end since another gate takes over.
    pub(in crate::app) fn hand_over(&self) {
        self.lock().hands_over = true;
    }

    /// Why this gate may not drain beside them.
    pub(super) fn no_room(&self) -> Option<NotDone> {
        let all = self.lock();
        (all.linked.len() + 1 > DRAINERS_MAX).then(|| {
            let processes: Vec<_> = all.linked.iter().map(|(_, one)| format!("process {}", one.pid)).collect();
            NotDone::TooManyDrain(processes.join(", "))
        })
    }

    fn enter(&self, pid: u32) -> Option<Drainer> {
        let mut all = self.lock();
        if all.linked.len() >= DRAINERS_MAX {
            return None;
        }
        all.links += 1;
        let number = all.links;
        let status = DrainingStatus { pid, since: format_time(clock::now()), connections: 0, tunnels: 0, records: 0 };
        all.linked.push((number, status));
        Some(Drainer { all: self.clone(), number })
    }
}

/// One, for as long as it is linked.
struct Drainer {
    all: Drainers,
    number: u64,
}

impl Drainer {
    fn change<T>(&self, change: impl FnOnce(&mut DrainingStatus) -> T) -> Option<T> {
        let mut all = self.all.lock();
        let found = all.linked.iter_mut().find(|(number, _)| *number == self.number);
        found.map(|(_, one)| change(one))
    }
}

impl Drop for Drainer {
    fn drop(&mut self) {
        self.all.lock().linked.retain(|(number, _)| *number != self.number);
    }
}

/// Says what becomes of one that is let go while it drains, as this gate ends or hands over.
struct LetGo<'d> {
    gate: &'d Gate,
    drainer: &'d Drainer,
    pid: u32,
    /// To it.
    stream: io::Result<std::os::unix::net::UnixStream>,
    is_ended: bool,
}

impl Drop for LetGo<'_> {
    fn drop(&mut self) {
        if self.is_ended {
            return;
        }
        let last = if self.drainer.all.lock().hands_over {
            let mut word = serde_json::to_vec(&OfWriter::HandsOver).unwrap_or_default();
            word.push(b'\n');
            // Where it does not get that, it waits for less long.
            let _ = self.stream.as_mut().map(|stream| stream.write(&word));
            admin("draining_gate_left", &format!("process {} goes on with the gate that takes over", self.pid))
        } else {
            lost(self.pid, &"this gate ends")
        };
        self.gate.journal.tell(&last, clock::now());
    }
}

fn admin(action: &'static str, detail: &str) -> Record {
    Record::Admin(Admin { action, detail: Some(detail.into()) })
}

fn lost(pid: u32, why: &dyn Display) -> Record {
    let detail = format!("process {pid}, which drained: {why}; what it held may have no end on record");
    Record::Gap(Gap { cause: "draining_gate_lost", detail: detail.as_str().into(), bytes: None, count: None })
}

/// Takes what a gate that drains carries here, and tells it what is imposed and which policy is in force, until it ends.
pub(in crate::app) async fn serve(stream: UnixStream, carrier: Carrier, gate: Arc<Gate>, drainers: Drainers) {
    let uid = stream.peer_cred().ok().map(|peer| peer.uid());
    let beside = stream.as_fd().try_clone_to_owned().map(Into::into);
    let (reader, mut writer) = stream.into_split();
    let drainer = match (is_own(uid), carrier.protocol == PROTOCOL) {
        (false, _) => Err(NotDone::NotOwn),
        (true, false) => Err(NotDone::OtherVersion),
        (true, true) => drainers.enter(carrier.pid).ok_or(NotDone::HandOverBusy),
    };
    let drainer = match drainer {
        Ok(drainer) => drainer,
        Err(why) => return drop(write(&mut writer, &OfWriter::Refused(why)).await),
    };
    let (told, to_tell) = channel(TOLD_MAX);
    if write(&mut writer, &OfWriter::Welcome).await.is_err() {
        return;
    }
    let pid = carrier.pid;
    gate.journal.tell(&admin("draining_gate_joined", &format!("process {pid} goes on with what it has")), clock::now());
    // Behind the writer, which closes the stream as it goes.
    let mut let_go = LetGo { gate: &gate, drainer: &drainer, pid, stream: beside, is_ended: false };
    let ended = tokio::select! {
        ended = take_loads(reader, &gate, &drainer, &told) => ended,
        ended = tell_changes(&gate, &told) => ended,
        ended = write_all(&mut writer, to_tell) => ended,
    };
    let_go.is_ended = true;
    let records = drainer.change(|one| one.records).unwrap_or_default();
    let last = match ended {
        Ok(()) => admin("draining_gate_ended", &format!("process {pid}; {records} records of it were taken")),
        Err(error) => {
            eprintln!("sekisho: warning: the gate that drains (process {pid}) does not answer any more: {error}");
            lost(pid, &error)
        }
    };
    gate.journal.tell(&last, clock::now());
}

/// Takes loads until there are none any more.
async fn take_loads(reader: OwnedReadHalf, gate: &Gate, drainer: &Drainer, told: &Sender<OfWriter>) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    loop {
        let line = timeout(SILENCE_MAX, read_line(&mut reader, SAYING_BYTES_MAX)).await??;
        match serde_json::from_slice(&line)? {
            OfDraining::Load { number, records, lost } => {
                if records > CARRIED_RECORDS_MAX {
                    return Err(io::Error::other("a load has too many records"));
                }
                let taken = timeout(SILENCE_MAX, take_load(&mut reader, gate, records, lost.min(LOST_MAX))).await??;
                drainer.change(|one| one.records += records as u64);
                let answer = if taken == Taken::All { OfWriter::Taken(number) } else { OfWriter::NotTaken(number) };
                told.send(answer).await.map_err(io::Error::other)?;
            }
            OfDraining::Holds { connections, tunnels } => {
                drainer.change(|one| (one.connections, one.tunnels) = (connections, tunnels));
            }
            OfDraining::Ended => return Ok(()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    All,
    NotAll,
}

/// Reads the records of a load, and has those written that are some.
async fn take_load(
    reader: &mut BufReader<OwnedReadHalf>,
    gate: &Gate,
    records: usize,
    mut lost: u64,
) -> io::Result<Taken> {
    let (mut held, mut bytes, mut taken) = (Vec::new(), 0, Taken::All);
    for left in (0..records).rev() {
        let mut line = read_line(reader, HANDED_BYTES_MAX + 1).await?;
        let duty = duty(line.first().copied())?;
        line.remove(0);
        match handed_record(&line, clock::now()) {
            Ok(_) => {
                bytes += line.len();
                held.push((duty, line));
            }
            Err(why) => {
                eprintln!("sekisho: warning: a record of the gate that drains is not taken: {why}");
                (lost, taken) = (lost + u64::from(duty != Duty::Before), Taken::NotAll);
            }
        }
        if (bytes >= HELD_BYTES_MAX || left == 0)
            && gate.journal.append_carried(std::mem::take(&mut held)).await.is_err()
        {
            taken = Taken::NotAll;
        }
        bytes = if held.is_empty() { 0 } else { bytes };
    }
    gate.journal.lose_carried(lost);
    Ok(taken)
}

fn duty(letter: Option<u8>) -> io::Result<Duty> {
    let all = [Duty::Before, Duty::After, Duty::Meanwhile];
    let found = all.into_iter().find(|duty| Some(super::carrying::letter(*duty)) == letter);
    found.ok_or_else(|| io::Error::other("a record does not say what it is for"))
}

/// Tells what is imposed, and which policy is in force, as soon as it is.
async fn tell_changes(gate: &Gate, told: &Sender<OfWriter>) -> io::Result<()> {
    let mut changes = gate.restraints.changes();
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut in_force = None;
    told.send(OfWriter::Imposed(restraints::standing(gate))).await.map_err(io::Error::other)?;
    loop {
        tokio::select! {
            changed = changes.changed() => {
                changed.map_err(io::Error::other)?;
                told.send(OfWriter::Imposed(restraints::standing(gate))).await.map_err(io::Error::other)?;
            }
            _ = ticks.tick() => {
                let now = policy_in_force(gate);
                if in_force.as_ref() != Some(&now) {
                    told.send(OfWriter::Policy(now.clone())).await.map_err(io::Error::other)?;
                    in_force = Some(now);
                }
            }
        }
    }
}

fn policy_in_force(gate: &Gate) -> PolicyInForce {
    let edition = gate.policy.now();
    PolicyInForce { hash: edition.policy.hash().to_owned(), is_strict: edition.policy.reload() == Reload::Strict }
}

async fn write_all(writer: &mut OwnedWriteHalf, mut told: Receiver<OfWriter>) -> io::Result<()> {
    while let Some(what) = told.recv().await {
        write(writer, &what).await?;
    }
    Err(io::ErrorKind::BrokenPipe.into())
}

async fn write(writer: &mut OwnedWriteHalf, what: &OfWriter) -> io::Result<()> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    timeout(SEND_LIMIT, writer.write_all(&line)).await?
}

/// A line without its end.
async fn read_line(reader: &mut BufReader<OwnedReadHalf>, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.take(bytes_max as u64 + 1).read_until(b'\n', &mut line).await?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        Some(_) if line.len() >= bytes_max => Err(io::Error::other("a line is too long")),
        Some(_) | None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
