use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use tokio::sync::oneshot;

use crate::evidence::{Capacity, Gap, Outlook, Record, Usage};
use crate::facts::Timestamp;

use super::book::{BATCH_RECORDS_MAX, Book};
use super::disk::{Disk, SystemDisk};
use super::handed::Handed;
use super::segment::{self, Found, OpenError, io_error};
use super::writer::{BATCH_DELAY, Writer};

/// When a record counts as accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When `write()` has returned: survives the end of the process. The end of an exchange, which nobody waits for, is
    /// written with the next record that is waited for, 20 ms later at most. Syncing begins after 20 ms or
    /// 1,024 records, or when the sync before has ended: until then several batches may be closed
    /// that one sync is for. At most 8,192 records are written that no sync has ended for.
    Batch,
    /// When `fsync` has returned: survives the end of power.
    Strict,
}

/// How the journal is kept.
#[derive(Debug, Clone)]
pub struct JournalConfig {
    pub data_dir: PathBuf,
    pub durability: Durability,
    pub gate: String,
    pub site: Option<String>,
    /// A segment is closed at this size, or when the hour changes.
    pub segment_bytes_max: u64,
    /// Held on the disk for the time when it is full; 0 for none. See [`Room`].
    pub reserve_bytes: u64,
}

/// A record was not accepted: the exchange must be denied with reason `evidence_unavailable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAccepted {
    /// More records wait than may: they come faster than the disk takes them.
    #[error("too many records wait for the disk")]
    Overloaded,
    /// The disk is full, fails or does not answer, or the journal has ended.
    #[error("the disk takes no record")]
    Disk,
}

/// What the disk has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Room {
    #[default]
    Ample,
    /// It is full, and half of the reserve was given back to it: what was let out before still gets its
    /// records, and nothing new is let out.
    LastRecords,
    /// It is full: no record is taken.
    None,
}

/// How the journal is doing, for `status`.
#[derive(Debug, Clone, Default)]
pub struct JournalHealth {
    pub records: u64,
    /// What happened and is not on record: ends of exchanges, and requests refused without a record.
    pub lost: u64,
    /// Times that too many records waited.
    pub overloads: u64,
    /// Times that the disk failed to keep what had been written to it.
    pub sync_failures: u64,
    pub last_error: Option<String>,
    pub room: Room,
    pub reserve: Option<ReserveHealth>,
    /// Why there is no reserve, where there is to be one.
    pub reserve_error: Option<String>,
}

/// How the reserve is doing.
#[derive(Debug, Clone, Copy)]
pub struct ReserveHealth {
    /// Its room for short records.
    pub room_bytes: u64,
    pub used_bytes: u64,
    /// Records in it that the journal has not taken yet.
    pub passages: u64,
    /// Its other half is there, to be given up for the last records.
    pub has_ballast: bool,
}

/// Records waiting on one worker's desk, at most; beyond it records are refused. The journal's own
/// inbox holds twice as many.
pub(super) const QUEUE_RECORDS_MAX: usize = 8192;
/// With so many waiting in the inbox none is left there without waiting for it.
const LEFT_RECORDS_MAX: usize = BATCH_RECORDS_MAX;
/// Records on their way to the reserve, at most; beyond it they are refused.
const PASSAGES_MAX: usize = 1024;

/// What a record is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// It has to be written before something may pass.
    Before,
    /// It tells what came of an exchange that was let out.
    After,
    /// It tells of something that goes on: the first to be given up.
    Meanwhile,
}

/// For so long a record is waited for, and for so long the disk may stand still before nothing more is
/// asked of it: a disk that hangs is a disk that takes nothing.
pub(super) const ACCEPT_LIMIT: Duration = Duration::from_secs(5);
/// Records of the gate itself that wait to be told, at most; beyond it the oldest is dropped.
pub(super) const TELLS_MAX: usize = 16;

pub(super) struct Entry {
    pub(super) members: Vec<u8>,
    pub(super) duty: Duty,
}

/// Records that are written, or not, together; of a full disk's last room only those that tell.
pub(super) struct Group {
    pub(super) entries: Vec<Entry>,
    /// Whether all were; `None` where nobody waits for that.
    pub(super) accepted: Option<Accepted>,
}

impl Group {
    /// Whoever waits too long refuses its exchange: a record that lets it out would lie.
    pub(super) fn leave_out_what_is_too_late(&mut self) {
        if self.accepted.as_ref().is_some_and(Accepted::is_closed) {
            self.entries.retain(|entry| entry.duty != Duty::Before);
        }
    }

    /// Tells whoever waits for it.
    pub(super) fn answer(self, answer: Result<(), NotAccepted>) {
        if let Some(accepted) = self.accepted {
            let _ = accepted.send(answer);
        }
    }
}

pub(super) type Accepted = oneshot::Sender<Result<(), NotAccepted>>;

/// The short record of an exchange that passes under a breakglass.
pub(super) struct Passage {
    pub(super) members: Vec<u8>,
    pub(super) weight: Weight,
    pub(super) accepted: Accepted,
}

/// Whether the writer has to be woken for what is handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Sleep {
    /// It looks again by itself before it sleeps, or could write nothing now.
    #[default]
    None,
    /// It wakes within [`super::writer::BATCH_DELAY`].
    Short,
    Long,
}

impl Sleep {
    /// For so long at most, `None` for any time.
    pub(super) fn of(limit: Option<Duration>) -> Self {
        if limit.is_some_and(|limit| limit <= BATCH_DELAY) { Self::Short } else { Self::Long }
    }
}

/// For whom there is still room in a reserve that is nearly full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    Exchange,
    /// What the gate itself has to say, such as that a breakglass ended.
    Own,
}

#[derive(Default)]
pub(super) struct Inbox {
    pub(super) groups: VecDeque<Group>,
    pub(super) passages: VecDeque<Passage>,
    /// What the gate itself has to say, kept until it is written.
    pub(super) tells: VecDeque<Vec<u8>>,
    /// Records in `groups`.
    pub(super) waiting: usize,
    pub(super) sleep: Sleep,
    /// Groups and passages that are not answered yet.
    pub(super) outstanding: usize,
    /// When something was answered last, or first had to be.
    pub(super) progress: Option<Instant>,
    pub(super) ended: bool,
    /// The one that writes is to close the journal and leave what waits to another gate.
    pub(super) handing: bool,
    /// Another gate writes: what is handed in here is carried to it.
    pub(super) handed: bool,
    pub(super) health: JournalHealth,
    pub(super) usage: Usage,
    /// What was last said of the space that is left.
    pub(super) capacity: Capacity,
    /// When the segment that `usage` counts last was begun.
    pub(super) segment: Option<Timestamp>,
}

#[derive(Default)]
pub(super) struct Shared {
    pub(super) inbox: Mutex<Inbox>,
    pub(super) arrived: Condvar,
}

/// The writer of the journal; ending it syncs and closes the segment.
pub struct Journal {
    handle: JournalHandle,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// Where records are handed in. Cheap to clone.
#[derive(Clone)]
pub struct JournalHandle {
    pub(super) shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    data_dir: Arc<Path>,
}

impl Journal {
    /// Locks the data directory, mends a torn or damaged tail, and starts the writing thread. That the disk
    /// is full is no error: the journal then takes no record until it has room.
    ///
    /// # Errors
    /// The directory cannot be used, others can write to it, another gate writes to it, or the journal is
    /// broken before its end.
    pub fn open(config: JournalConfig) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(SystemDisk), config)
    }

    /// The same on another layer of files. The lock, the reserve and what was there before are the
    /// system's in any case.
    ///
    /// # Errors
    /// As [`Journal::open`].
    pub fn open_on(disk: Arc<dyn Disk>, config: JournalConfig) -> Result<Self, OpenError> {
        Self::open_for(disk, config, Arc::default())
    }

    /// The same, for what is handed in there.
    pub(super) fn open_for(disk: Arc<dyn Disk>, config: JournalConfig, shared: Arc<Shared>) -> Result<Self, OpenError> {
        let data_dir: Arc<Path> = config.data_dir.as_path().into();
        let directory = data_dir.join("journal");
        make_private(&data_dir)?;
        make_private(&directory)?;
        let lock = lock(&data_dir)?;
        let found = segment::recover(&directory)?;
        {
            let mut inbox = shared.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            inbox.usage = segment::usage(&directory);
            (inbox.handing, inbox.handed, inbox.progress) = (false, false, Some(Instant::now()));
        }
        let book = Book::new(disk.clone(), &config, directory, found.chain);
        let terms = (config.durability, config.reserve_bytes);
        let mut writer = Writer::new(shared.clone(), terms, config.data_dir, lock, book)
            .map_err(|source| OpenError::Io { path: "the journal's thread".into(), source })?;
        for gap in gaps(&found) {
            writer.tell(&Record::Gap(gap));
        }
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { path: "the journal's thread".into(), source })?;
        Ok(Self { handle: JournalHandle { shared, disk, data_dir }, thread: Some(thread) })
    }

    /// Where records are handed in.
    pub fn handle(&self) -> JournalHandle {
        self.handle.clone()
    }

    /// Writes what is queued and a closing record, syncs, and ends the thread.
    ///
    /// # Errors
    /// The closing record could not be written or synced: the journal ends without it, and records
    /// before it may be lost with power.
    pub fn close(mut self) -> io::Result<()> {
        self.end()
    }

    /// Writes what is under way and a closing record, syncs, and lets the data directory go. What is handed in from then on
    /// waits to be carried to the gate that takes it.
    ///
    /// The error is that of [`Journal::close`]; it is handed over all the same.
    pub fn hand_over(mut self) -> (Handed, io::Result<()>) {
        self.handle.inbox().handing = true;
        let closed = self.join();
        self.handle.inbox().handed = true;
        (Handed::new(self.handle.clone()), closed)
    }

    fn end(&mut self) -> io::Result<()> {
        self.handle.inbox().ended = true;
        self.join()
    }

    fn join(&mut self) -> io::Result<()> {
        self.handle.shared.arrived.notify_one();
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes it died"))),
            None => Ok(()),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Whoever wants to know closes it. Where it was handed over there is nothing to end.
        if self.thread.is_some() {
            let _ = self.end();
        }
    }
}

impl Inbox {
    /// Something has been handed in that waits for an answer.
    fn expect(&mut self) {
        if self.outstanding == 0 {
            self.progress = Some(Instant::now());
        }
        self.outstanding += 1;
    }

    /// So many groups and passages have been answered.
    pub(super) fn answered(&mut self, count: usize) {
        self.outstanding = self.outstanding.saturating_sub(count);
        self.progress = Some(Instant::now());
    }

    /// For how long nothing was answered, where that is too long.
    fn stuck(&self) -> Option<Duration> {
        // What is to be carried waits until it is, and whoever waits for it bounds that.
        let since = self.progress.filter(|_| self.outstanding > 0 && !self.handed)?;
        Some(since.elapsed()).filter(|stood| *stood >= ACCEPT_LIMIT)
    }

    /// The first groups, as many as hold no more records than this together; at least one.
    pub(super) fn take(&mut self, records_max: usize) -> Vec<Group> {
        let (mut count, mut records) = (0, 0);
        for group in &self.groups {
            if count > 0 && records + group.entries.len() > records_max {
                break;
            }
            count += 1;
            records += group.entries.len();
        }
        self.waiting -= records;
        self.groups.drain(..count).collect()
    }
}

impl JournalHandle {
    pub(super) fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a record in and waits until it is accepted, some seconds at most.
    ///
    /// # Errors
    /// It was not, and nothing may be forwarded.
    pub async fn append(&self, record: &Record, now: Timestamp) -> Result<(), NotAccepted> {
        self.append_group(vec![Entry { members: record.encode(now), duty: Duty::Before }]).await
    }

    /// The same for several, in their order.
    ///
    /// # Errors
    /// Not all of them were; gives how many were, from the first.
    pub async fn append_all(&self, records: &[Record], now: Timestamp) -> Result<(), (usize, NotAccepted)> {
        for (at, some) in records.chunks(BATCH_RECORDS_MAX).enumerate() {
            let entry = |record: &Record| Entry { members: record.encode(now), duty: Duty::Before };
            let accepted = self.append_group(some.iter().map(entry).collect()).await;
            accepted.map_err(|why| (at * BATCH_RECORDS_MAX, why))?;
        }
        Ok(())
    }

    /// The same for several, encoded already and no more than a batch holds: all are accepted, or at most
    /// those that tell of what has passed.
    pub(super) async fn append_group(&self, entries: Vec<Entry>) -> Result<(), NotAccepted> {
        let (accepted, receiver) = oneshot::channel();
        self.submit(Group { entries, accepted: Some(accepted) })?;
        is_accepted(receiver).await
    }

    /// Hands in what nobody waits for: it is written with what is waited for next, within
    /// [`super::writer::BATCH_DELAY`] in any case. What is refused is counted.
    ///
    /// # Errors
    /// So much waits already that this must be waited for; gives it back.
    pub(super) fn leave(&self, entries: Vec<Entry>) -> Result<(), Vec<Entry>> {
        if self.inbox().waiting >= LEFT_RECORDS_MAX {
            return Err(entries);
        }
        let _ = self.submit(Group { entries, accepted: None });
        Ok(())
    }

    /// Hands the short record of a passage in and waits until the reserve has it, synced to the disk.
    ///
    /// # Errors
    /// There is no reserve, or no room in it, and nothing may be forwarded.
    pub async fn append_to_reserve(&self, record: &Record, now: Timestamp) -> Result<(), NotAccepted> {
        self.to_reserve(record, now, Weight::Exchange).await
    }

    /// The same for what the gate itself has to say, for which some room is kept.
    ///
    /// # Errors
    /// There is no reserve, or no room in it.
    pub async fn tell_reserve(&self, record: &Record, now: Timestamp) -> Result<(), NotAccepted> {
        self.to_reserve(record, now, Weight::Own).await
    }

    async fn to_reserve(&self, record: &Record, now: Timestamp, weight: Weight) -> Result<(), NotAccepted> {
        let (accepted, receiver) = oneshot::channel();
        self.submit_passage(Passage { members: record.encode(now), weight, accepted })?;
        is_accepted(receiver).await
    }

    fn submit_passage(&self, passage: Passage) -> Result<(), NotAccepted> {
        let mut inbox = self.inbox();
        if inbox.ended || inbox.stuck().is_some() {
            return Err(NotAccepted::Disk);
        }
        if inbox.passages.len() >= PASSAGES_MAX {
            return Err(NotAccepted::Overloaded);
        }
        inbox.passages.push_back(passage);
        inbox.expect();
        drop(inbox);
        self.shared.arrived.notify_one();
        Ok(())
    }

    /// Has a record of the gate itself written as soon as it can be; nothing waits for it.
    pub fn tell(&self, record: &Record, now: Timestamp) {
        let mut inbox = self.inbox();
        if inbox.tells.len() >= TELLS_MAX {
            inbox.tells.pop_front();
        }
        inbox.tells.push_back(record.encode(now));
        drop(inbox);
        self.shared.arrived.notify_one();
    }

    fn submit(&self, group: Group) -> Result<(), NotAccepted> {
        let mut inbox = self.inbox();
        let count = group.entries.len();
        let refusal = if inbox.ended || inbox.stuck().is_some() {
            Some(NotAccepted::Disk)
        } else if inbox.waiting + count > 2 * QUEUE_RECORDS_MAX {
            inbox.health.overloads += 1;
            Some(NotAccepted::Overloaded)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            inbox.health.lost += group.entries.iter().filter(|entry| entry.duty != Duty::Before).count() as u64;
            return Err(refusal);
        }
        let wakes = match inbox.sleep {
            Sleep::None => false,
            Sleep::Short => group.accepted.is_some(),
            Sleep::Long => true,
        };
        if wakes {
            inbox.sleep = Sleep::None;
        }
        inbox.waiting += count;
        inbox.groups.push_back(group);
        inbox.expect();
        drop(inbox);
        if wakes {
            self.shared.arrived.notify_one();
        }
        Ok(())
    }

    /// Counts something that happened and that no record tells of: a gap record will.
    pub(super) fn lose(&self) {
        self.inbox().health.lost += 1;
    }

    /// Counts that too many records waited on a desk.
    pub(super) fn overload(&self) {
        self.inbox().health.overloads += 1;
    }

    /// How the journal is doing.
    pub fn health(&self) -> JournalHealth {
        let inbox = self.inbox();
        let mut health = inbox.health.clone();
        if let Some(stood) = inbox.stuck() {
            health.last_error = Some(format!("the disk has not answered for {} s", stood.as_secs()));
        }
        health
    }

    /// How long the disk lasts at the pace of the last days, and what that calls for: where it is full,
    /// nothing is said of days.
    ///
    /// # Errors
    /// The system does not say how much is free.
    pub fn outlook(&self, now: Timestamp) -> io::Result<(Outlook, Capacity)> {
        let free_bytes = self.disk.free_bytes(&self.data_dir)?;
        let mut inbox = self.inbox();
        let bytes_per_day = inbox.usage.bytes_per_day(now).filter(|_| inbox.health.room == Room::Ample);
        let outlook = Outlook { free_bytes, bytes_per_day };
        if inbox.health.room == Room::Ample {
            inbox.capacity = outlook.capacity(inbox.capacity);
        }
        Ok((outlook, inbox.capacity))
    }
}

async fn is_accepted(receiver: oneshot::Receiver<Result<(), NotAccepted>>) -> Result<(), NotAccepted> {
    match tokio::time::timeout(ACCEPT_LIMIT, receiver).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) | Err(_) => Err(NotAccepted::Disk),
    }
}

/// Keeps a second process out: it would fork the chain. The directory itself is locked, not a file in
/// it, which somebody could remove.
fn lock(data_dir: &Path) -> Result<File, OpenError> {
    let directory = File::open(data_dir).map_err(|source| io_error(data_dir, source))?;
    match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(directory),
        Err(Errno::WOULDBLOCK) => Err(OpenError::Locked(data_dir.into())),
        Err(error) => Err(io_error(data_dir, error.into())),
    }
}

/// What is to be said of the end at which the journal was found.
fn gaps(found: &Found) -> Vec<Gap> {
    let damaged = found.damaged.iter().map(|damaged| {
        let name = damaged.kept_in.file_name().unwrap_or_default().to_string_lossy();
        Gap {
            cause: "damaged_tail",
            detail: format!("the end of a segment did not verify, and was put into {name}").as_str().into(),
            bytes: Some(damaged.bytes),
            count: None,
        }
    });
    let torn = (found.torn_bytes > 0).then(|| Gap {
        cause: "torn_tail",
        detail: "an unfinished last line, left by a crash, was cut off".into(),
        bytes: Some(found.torn_bytes),
        count: None,
    });
    damaged.chain(torn).collect()
}

/// Makes the directory if there is none, and sees that nobody else can write in it: who can may
/// replace segments between two runs.
///
/// # Errors
/// It cannot be made, or it is another's.
pub fn make_private(path: &Path) -> Result<(), OpenError> {
    let failed = |source| io_error(path, source);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let found = fs::metadata(path).map_err(failed)?;
    let mode = found.mode() & 0o7777;
    if found.uid() != rustix::process::geteuid().as_raw() {
        return Err(OpenError::NotOurs { path: path.into(), owner: found.uid() });
    }
    if mode & 0o022 != 0 {
        return Err(OpenError::WritableByOthers { path: path.into(), mode });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::evidence::Admin;

    fn open(data_dir: &Path) -> Result<(), OpenError> {
        let journal = Journal::open(JournalConfig {
            data_dir: data_dir.into(),
            durability: Durability::Batch,
            gate: "g".to_owned(),
            site: None,
            segment_bytes_max: u64::MAX,
            reserve_bytes: 0,
        })?;
        journal.close().unwrap();
        Ok(())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn the_writer_is_woken_for_what_is_waited_for_and_for_what_would_lie_long() {
        let shared = Arc::new(Shared::default());
        let handle =
            JournalHandle { shared: shared.clone(), disk: Arc::new(SystemDisk), data_dir: Path::new("").into() };
        let entries = || vec![Entry { members: Vec::new(), duty: Duty::After }];
        let (accepted, _waits) = oneshot::channel();
        let mut waited = Some(Group { entries: entries(), accepted: Some(accepted) });
        let mut sleep_behind = |sleep: Sleep, is_waited_for: bool| {
            shared.inbox.lock().unwrap().sleep = sleep;
            match waited.take_if(|_| is_waited_for) {
                Some(group) => handle.submit(group).unwrap(),
                None => assert!(handle.leave(entries()).is_ok()),
            }
            shared.inbox.lock().unwrap().sleep
        };
        assert_eq!(sleep_behind(Sleep::Short, false), Sleep::Short, "it goes over with what comes next");
        assert_eq!(sleep_behind(Sleep::Long, false), Sleep::None);
        assert_eq!(sleep_behind(Sleep::Short, true), Sleep::None);
        for _ in 3..LEFT_RECORDS_MAX {
            assert!(handle.leave(entries()).is_ok());
        }
        assert_eq!(handle.leave(entries()).unwrap_err().len(), 1, "so many wait that the worker has to");
        let inbox = handle.inbox();
        assert_eq!((inbox.waiting, inbox.health.lost), (LEFT_RECORDS_MAX, 0));
    }

    #[test]
    fn what_is_left_to_a_writer_that_sleeps_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(JournalConfig {
            data_dir: directory.path().into(),
            durability: Durability::Batch,
            gate: "g".to_owned(),
            site: None,
            segment_bytes_max: u64::MAX,
            reserve_bytes: 0,
        })
        .unwrap();
        let handle = journal.handle();
        let wait_for = |is: &dyn Fn(&Inbox) -> bool| {
            while !is(&handle.inbox()) {
                std::thread::yield_now();
            }
        };
        for records in 1..=2 {
            wait_for(&|inbox| inbox.sleep == Sleep::Long);
            let members = Record::Admin(Admin { action: "test", detail: None }).encode(Timestamp(1));
            assert!(handle.leave(vec![Entry { members, duty: Duty::After }]).is_ok());
            // Nothing else wakes it.
            wait_for(&|inbox| inbox.health.records == records && inbox.outstanding == 0);
        }
        journal.close().unwrap();
    }

    #[test]
    fn what_the_journal_makes_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        open(&data_dir).unwrap();
        assert_eq!((mode(&data_dir), mode(&data_dir.join("journal"))), (0o700, 0o700));
        let segments = segment::list(&data_dir.join("journal")).unwrap();
        assert_eq!(segments.iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o600]);
    }

    #[test]
    fn a_directory_in_which_others_can_write_is_refused_and_one_they_can_read_is_not() {
        let directory = tempfile::tempdir().unwrap();
        for (mode, refused) in [(0o775, true), (0o702, true), (0o1777, true), (0o755, false), (0o700, false)] {
            fs::set_permissions(directory.path(), fs::Permissions::from_mode(mode)).unwrap();
            match open(directory.path()) {
                Err(OpenError::WritableByOthers { mode: said, .. }) => assert!(refused && said == mode, "{mode:o}"),
                Err(error) => panic!("{error}"),
                Ok(()) => assert!(!refused, "{mode:o}"),
            }
        }
        fs::set_permissions(directory.path().join("journal"), fs::Permissions::from_mode(0o720)).unwrap();
        assert!(matches!(open(directory.path()), Err(OpenError::WritableByOthers { .. })));
    }

    #[test]
    fn a_directory_of_another_user_is_refused() {
        // Another user's directory that is always there: root's, or for root one given away.
        let directory = tempfile::tempdir().unwrap();
        let path = if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(directory.path(), Some(12345), None).unwrap();
            directory.path()
        } else {
            Path::new("/")
        };
        assert!(matches!(make_private(path), Err(OpenError::NotOurs { .. })));
    }
}
