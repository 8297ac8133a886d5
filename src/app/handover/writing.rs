use std::io;
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
pub(in crate::app) struct Drainers(Arc<Mutex<Vec<DrainingStatus>>>);

impl Drainers {
    fn lock(&self) -> MutexGuard<'_, Vec<DrainingStatus>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::app) fn report(&self) -> Vec<DrainingStatus> {
        self.lock().clone()
    }

    fn enter(&self, pid: u32) -> Option<Drainer> {
        let mut all = self.lock();
        if all.len() >= DRAINERS_MAX || all.iter().any(|one| one.pid == pid) {
            return None;
        }
        all.push(DrainingStatus { pid, since: format_time(clock::now()), connections: 0, tunnels: 0, records: 0 });
        Some(Drainer { all: self.clone(), pid })
    }
}

/// One, for as long as it is linked.
struct Drainer {
    all: Drainers,
    pid: u32,
}

impl Drainer {
    fn change<T>(&self, change: impl FnOnce(&mut DrainingStatus) -> T) -> Option<T> {
        self.all.lock().iter_mut().find(|one| one.pid == self.pid).map(change)
    }
}

impl Drop for Drainer {
    fn drop(&mut self) {
        self.all.lock().retain(|one| one.pid != self.pid);
    }
}

/// Takes what a gate that drains carries here, and tells it what is imposed and which policy is in force, until it ends.
pub(in crate::app) async fn serve(stream: UnixStream, carrier: Carrier, gate: Arc<Gate>, drainers: Drainers) {
    let uid = stream.peer_cred().ok().map(|peer| peer.uid());
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
    let pid = drainer.pid;
    let admin = |action, detail: String| Record::Admin(Admin { action, detail: Some(detail.as_str().into()) });
    gate.journal.tell(&admin("draining_gate_joined", format!("process {pid} goes on with what it has")), clock::now());
    let ended = tokio::select! {
        ended = take_loads(reader, &gate, &drainer, &told) => ended,
        ended = tell_changes(&gate, &told) => ended,
        ended = write_all(writer, to_tell) => ended,
    };
    let records = drainer.change(|one| one.records).unwrap_or_default();
    let last = match ended {
        Ok(()) => admin("draining_gate_ended", format!("process {pid}; {records} records of it were taken")),
        Err(error) => {
            eprintln!("sekisho: warning: the gate that drains (process {pid}) does not answer any more: {error}");
            let detail = format!("process {pid}, which drained: {error}; what it held may have no end on record");
            Record::Gap(Gap { cause: "draining_gate_lost", detail: detail.as_str().into(), bytes: None, count: None })
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

async fn write_all(mut writer: OwnedWriteHalf, mut told: Receiver<OfWriter>) -> io::Result<()> {
    while let Some(what) = told.recv().await {
        write(&mut writer, &what).await?;
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
