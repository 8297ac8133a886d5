use std::collections::VecDeque;
use std::fs::{self, OpenOptions};

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::fs::FlockOperation;
use tokio::sync::oneshot;

use crate::evidence::{Gap, Record};
use crate::facts::Timestamp;

use super::segment::{self, Found, OpenError, io_error};
use super::writer::Writer;

/// When a record counts as accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When `write()` has returned: survives the end of the process. Syncing begins after 20 ms or
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
}

/// A record was not accepted: the queue is full, the disk is full, or the journal has ended. The
/// exchange must be denied with reason `evidence_unavailable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record was not accepted")]
pub struct JournalFull;

/// How the journal is doing, for `status`.
#[derive(Debug, Clone, Default)]
pub struct JournalHealth {
    pub records: u64,
    /// Records that were not accepted.
    pub lost: u64,
    pub last_error: Option<String>,
}

/// Records waiting on one worker's desk, at most; beyond it records are refused. The journal's own
/// inbox holds twice as many.
pub(super) const QUEUE_RECORDS_MAX: usize = 8192;

/// Records that are written, or not, together.
pub(super) struct Group {
    pub(super) records: Vec<Vec<u8>>,
    pub(super) accepted: oneshot::Sender<bool>,
}

#[derive(Default)]
pub(super) struct Inbox {
    pub(super) groups: VecDeque<Group>,
    /// Records in `groups`.
    pub(super) waiting: usize,
    pub(super) ended: bool,
    pub(super) health: JournalHealth,
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
    shared: Arc<Shared>,
}

impl Journal {
    /// Locks the data directory, mends a torn or damaged tail, and starts the writing thread.
    ///
    /// # Errors
    /// The directory cannot be used, others can write to it, another gate writes to it, or the journal is
    /// broken before its end.
    pub fn open(config: JournalConfig) -> Result<Self, OpenError> {
        let directory = config.data_dir.join("journal");
        make_private(&config.data_dir)?;
        make_private(&directory)?;
        let lock_path = config.data_dir.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|source| io_error(&lock_path, source))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| OpenError::Locked(config.data_dir.clone()))?;
        let found = segment::recover(&directory)?;
        let shared = Arc::<Shared>::default();
        let mut writer = Writer::new(shared.clone(), config, directory.clone(), lock, found.chain)
            .map_err(|source| OpenError::Io { path: "the journal's thread".into(), source })?;
        for gap in gaps(&found) {
            writer.write_own(&Record::Gap(gap)).map_err(|source| io_error(&directory, source))?;
        }
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer.run())
            .map_err(|source| OpenError::Io { path: "the journal's thread".into(), source })?;
        Ok(Self { handle: JournalHandle { shared }, thread: Some(thread) })
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

    fn end(&mut self) -> io::Result<()> {
        self.handle.inbox().ended = true;
        self.handle.shared.arrived.notify_one();
        match self.thread.take() {
            Some(thread) => thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes it died"))),
            None => Ok(()),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Whoever wants to know closes it.
        let _ = self.end();
    }
}

impl Inbox {
    /// The first groups, as many as hold no more records than this together; at least one.
    pub(super) fn take(&mut self, records_max: usize) -> Vec<Group> {
        let (mut count, mut records) = (0, 0);
        for group in &self.groups {
            if count > 0 && records + group.records.len() > records_max {
                break;
            }
            count += 1;
            records += group.records.len();
        }
        self.waiting -= records;
        self.groups.drain(..count).collect()
    }
}

impl JournalHandle {
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.shared.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a record in and waits until it is accepted.
    ///
    /// # Errors
    /// [`JournalFull`]: it was not, and nothing may be forwarded.
    pub async fn append(&self, record: &Record, now: Timestamp) -> Result<(), JournalFull> {
        self.append_group(vec![record.encode(now)]).await
    }

    /// The same for several, encoded already and no more than a batch holds: all are accepted, or none.
    pub(super) async fn append_group(&self, records: Vec<Vec<u8>>) -> Result<(), JournalFull> {
        let (accepted, receiver) = oneshot::channel();
        self.submit(Group { records, accepted })?;
        match receiver.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(JournalFull),
        }
    }

    fn submit(&self, group: Group) -> Result<(), JournalFull> {
        let mut inbox = self.inbox();
        if inbox.ended || inbox.waiting + group.records.len() > 2 * QUEUE_RECORDS_MAX {
            inbox.health.lost += group.records.len() as u64;
            return Err(JournalFull);
        }
        inbox.waiting += group.records.len();
        inbox.groups.push_back(group);
        let first = inbox.groups.len() == 1;
        drop(inbox);
        if first {
            self.shared.arrived.notify_one();
        }
        Ok(())
    }

    /// Counts records that found no room before they came here.
    pub(super) fn lose(&self, records: u64) {
        self.inbox().health.lost += records;
    }

    /// How the journal is doing.
    pub fn health(&self) -> JournalHealth {
        self.inbox().health.clone()
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
        }
    });
    let torn = (found.torn_bytes > 0).then(|| Gap {
        cause: "torn_tail",
        detail: "an unfinished last line, left by a crash, was cut off".into(),
        bytes: Some(found.torn_bytes),
    });
    damaged.chain(torn).collect()
}

/// Makes the directory if there is none, and sees that nobody else can write in it: who can may
/// replace segments between two runs.
fn make_private(path: &Path) -> Result<(), OpenError> {
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

    fn open(data_dir: &Path) -> Result<(), OpenError> {
        let journal = Journal::open(JournalConfig {
            data_dir: data_dir.into(),
            durability: Durability::Batch,
            gate: "g".to_owned(),
            site: None,
            segment_bytes_max: u64::MAX,
        })?;
        journal.close().unwrap();
        Ok(())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn what_the_journal_makes_is_its_owners_alone() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        open(&data_dir).unwrap();
        assert_eq!((mode(&data_dir), mode(&data_dir.join("journal"))), (0o700, 0o700));
        assert_eq!(mode(&data_dir.join("lock")), 0o600);
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
