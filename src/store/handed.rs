//! A journal that this process has handed over to another: what its exchanges still tell waits here, a bounded number, to be
//! carried there by whoever can reach it. And the other side, where what was carried is taken.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crate::evidence::{line_members, lines_of};
use crate::facts::Timestamp;

use super::book::BATCH_RECORDS_MAX;
use super::disk::SystemDisk;
use super::journal::{Duty, Entry, Group, Journal, JournalConfig, JournalHandle, NotAccepted, Sleep, TELLS_MAX};
use super::reader::Reader;
use super::segment::OpenError;

/// So many records are carried at once at most.
pub const CARRIED_RECORDS_MAX: usize = BATCH_RECORDS_MAX + TELLS_MAX;

/// What waits to be carried.
pub struct Handed {
    handle: JournalHandle,
}

/// Records on their way. One that is dropped unanswered is taken for refused by whoever waits for it.
pub struct Load {
    groups: Vec<Group>,
    tells: Vec<Vec<u8>>,
    /// What happened, and no record tells of.
    pub lost: u64,
}

impl Handed {
    pub(super) fn new(handle: JournalHandle) -> Self {
        Self { handle }
    }

    /// The next records, waited for as long; at least as often nothing comes.
    pub fn take(&self, patience: Duration) -> Option<Load> {
        let until = Instant::now() + patience;
        let mut inbox = self.handle.inbox();
        loop {
            // The reserve is the other gate's: under a breakglass nothing passes here.
            let passages: Vec<_> = inbox.passages.drain(..).collect();
            inbox.answered(passages.len());
            for passage in passages {
                let _ = passage.accepted.send(Err(NotAccepted::Disk));
            }
            let lost = std::mem::take(&mut inbox.health.lost);
            if !inbox.groups.is_empty() || !inbox.tells.is_empty() || lost > 0 {
                let groups = if inbox.groups.is_empty() { Vec::new() } else { inbox.take(BATCH_RECORDS_MAX) };
                let tells = std::mem::take(&mut inbox.tells).into();
                drop(inbox);
                let mut carried = Load { groups, tells, lost };
                carried.groups.iter_mut().for_each(Group::leave_out_what_is_too_late);
                return Some(carried);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            let arrived = &self.handle.shared.arrived;
            inbox.sleep = Sleep::of(Some(left));
            inbox = arrived.wait_timeout(inbox, left).unwrap_or_else(PoisonError::into_inner).0;
            inbox.sleep = Sleep::None;
        }
    }

    /// Tells who waits for these what came of them. What was refused is counted by the gate that refused it.
    pub fn answer(&self, carried: Load, answer: Result<(), NotAccepted>) {
        self.handle.inbox().answered(carried.groups.len());
        carried.groups.into_iter().for_each(|group| group.answer(answer));
    }

    /// Puts back what was not answered, but for what stands in the journal already.
    pub fn put_back(&self, mut carried: Load, data_dir: &Path, since: Timestamp) {
        carried.leave_out_what_is_written(data_dir, since);
        let mut inbox = self.handle.inbox();
        inbox.health.lost += carried.lost;
        for members in carried.tells.into_iter().rev() {
            inbox.tells.push_front(members);
        }
        for group in carried.groups.into_iter().rev() {
            inbox.waiting += group.entries.len();
            inbox.groups.push_front(group);
        }
    }

    /// How many records wait, and of how many there will be none.
    pub fn left(&self) -> u64 {
        let inbox = self.handle.inbox();
        let before = |group: &Group| group.entries.iter().filter(|entry| entry.duty == Duty::Before).count();
        let before: usize = inbox.groups.iter().map(before).sum();
        (inbox.waiting - before.min(inbox.waiting) + inbox.tells.len()) as u64 + inbox.health.lost
    }

    /// Takes the data directory back, and writes what waits.
    ///
    /// # Errors
    /// As [`Journal::open`]; then everything still waits.
    pub fn take_back(&self, config: JournalConfig) -> Result<Journal, OpenError> {
        Journal::open_for(Arc::new(SystemDisk), config, self.handle.shared.clone())
    }
}

impl Load {
    /// The records, each with what it is for, in their order: no more than [`CARRIED_RECORDS_MAX`].
    pub fn records(&self) -> impl Iterator<Item = (Duty, &[u8])> {
        let entries = self.groups.iter().flat_map(|group| &group.entries);
        let entries = entries.map(|entry| (entry.duty, entry.members.as_slice()));
        entries.chain(self.tells.iter().map(|members| (Duty::Meanwhile, members.as_slice())))
    }

    /// The gate that took them may have written them, and have died before it said so.
    fn leave_out_what_is_written(&mut self, data_dir: &Path, since: Timestamp) {
        let sought: Vec<Vec<u8>> = self.records().map(|(_, members)| members.to_vec()).collect();
        // Where the journal cannot be read they may stand there twice: that is told by their equal times and ids.
        let Ok(written) = written(data_dir, since, &sought) else { return };
        let is_written = |members: &Vec<u8>| written.get(members.as_slice()).is_some_and(|is| *is);
        for group in &mut self.groups {
            group.entries.retain(|entry| !is_written(&entry.members));
        }
        self.tells.retain(|members| !is_written(members));
    }
}

/// Which of these stand in the journal, in what was written from then on.
fn written<'s>(data_dir: &Path, since: Timestamp, sought: &'s [Vec<u8>]) -> io::Result<HashMap<&'s [u8], bool>> {
    let mut found: HashMap<&[u8], bool> = sought.iter().map(|members| (members.as_slice(), false)).collect();
    if found.is_empty() {
        return Ok(found);
    }
    let mut reader = Reader::open(data_dir, Some(since)).map_err(io::Error::other)?;
    let mut block = Vec::new();
    while reader.next(&mut block).map_err(io::Error::other)? {
        for line in lines_of(&block) {
            let members = line_members(line).and_then(behind_source);
            if let Some(is_written) = members.and_then(|members| found.get_mut(members)) {
                *is_written = true;
            }
        }
    }
    Ok(found)
}

/// The members of a record without those that say who keeps the journal. No text has a quote that is not escaped.
fn behind_source(members: &[u8]) -> Option<&[u8]> {
    const TIME: &[u8] = b",\"time\":\"";
    let at = members.windows(TIME.len()).position(|window| window == TIME)?;
    members.get(at + 1..)
}

impl JournalHandle {
    /// Takes records that another gate has carried here, encoded as [`Record::encode`](crate::evidence::Record::encode) does and
    /// checked by [`handed_record`](crate::evidence::handed_record), and waits until they are accepted.
    ///
    /// # Errors
    /// Not all were. What of them tells of exchanges that have passed is written or counted.
    pub async fn append_carried(&self, records: Vec<(Duty, Vec<u8>)>) -> Result<(), NotAccepted> {
        let mut records = records.into_iter().map(|(duty, members)| Entry { members, duty });
        let mut all = Ok(());
        loop {
            let some: Vec<_> = records.by_ref().take(BATCH_RECORDS_MAX).collect();
            if some.is_empty() {
                return all;
            }
            // What comes behind one that is refused is still to be written or counted.
            all = all.and(self.append_group(some).await);
        }
    }

    /// Counts what another gate has no record of: a gap record will tell of it.
    pub fn lose_carried(&self, count: u64) {
        self.inbox().health.lost += count;
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::{Admin, Record};
    use crate::store::{Durability, verify};

    use super::*;

    fn config(data_dir: &Path) -> JournalConfig {
        JournalConfig {
            data_dir: data_dir.to_owned(),
            durability: Durability::Batch,
            gate: "north".to_owned(),
            site: Some("a \",\"time\":\"b".to_owned()),
            segment_bytes_max: 1 << 20,
            reserve_bytes: 0,
        }
    }

    fn record(number: usize) -> Record {
        Record::Admin(Admin { action: "test", detail: Some(number.to_string().as_str().into()) })
    }

    fn text(data_dir: &Path) -> String {
        let (mut reader, mut block, mut text) = (Reader::open(data_dir, None).unwrap(), Vec::new(), String::new());
        while reader.next(&mut block).unwrap() {
            text.push_str(std::str::from_utf8(&block).unwrap());
        }
        text
    }

    fn count(data_dir: &Path, number: usize) -> usize {
        text(data_dir).matches(&format!("\"action\":\"test\",\"detail\":\"{number}\"")).count()
    }

    fn entry(number: usize) -> Entry {
        Entry { members: record(number).encode(Timestamp(1_795_510_800_000_000)), duty: Duty::After }
    }

    #[tokio::test]
    async fn what_comes_after_a_hand_over_waits_is_carried_and_is_written_by_who_took_the_directory() {
        let directory = tempfile::tempdir().unwrap();
        let old = Journal::open(config(directory.path())).unwrap();
        let handle = old.handle();
        handle.append_group(vec![entry(1)]).await.unwrap();
        let (handed, closed) = old.hand_over();
        closed.unwrap();
        let waits = tokio::spawn({
            let handle = handle.clone();
            async move { handle.append_group(vec![entry(2)]).await }
        });
        let new = Journal::open(config(directory.path())).unwrap();
        let carried = loop {
            if let Some(carried) = handed.take(Duration::from_millis(1)) {
                break carried;
            }
            tokio::task::yield_now().await;
        };
        assert!(!waits.is_finished());
        let records = carried.records().map(|(duty, members)| (duty, members.to_vec())).collect();
        new.handle().append_carried(records).await.unwrap();
        handed.answer(carried, Ok(()));
        assert_eq!(waits.await.unwrap(), Ok(()));
        handle.lose();
        assert_eq!(handed.left(), 1);
        assert!(handed.take_back(config(directory.path())).is_err(), "the other one has the lock");
        new.close().unwrap();
        verify(directory.path(), &Default::default()).unwrap();
        assert_eq!((count(directory.path(), 1), count(directory.path(), 2)), (1, 1));
        assert!(text(directory.path()).contains("journal_handed_over"));
    }

    #[tokio::test]
    async fn what_was_written_and_not_answered_is_not_written_twice_and_what_was_not_is_by_who_takes_it_back() {
        let directory = tempfile::tempdir().unwrap();
        let old = Journal::open(config(directory.path())).unwrap();
        let handle = old.handle();
        let (handed, closed) = old.hand_over();
        closed.unwrap();
        let since = crate::clock::now();
        let waits: Vec<_> = (1..=2)
            .map(|number| {
                let handle = handle.clone();
                tokio::spawn(async move { handle.append_group(vec![entry(number)]).await })
            })
            .collect();
        tokio::task::yield_now().await;
        let carried = handed.take(Duration::from_secs(20)).unwrap();
        assert_eq!(carried.records().count(), 2);
        let new = Journal::open(config(directory.path())).unwrap();
        let first = carried.records().next().map(|(duty, members)| (duty, members.to_vec()));
        new.handle().append_carried(first.into_iter().collect()).await.unwrap();
        // It dies before it has said so.
        new.close().unwrap();
        handed.put_back(carried, directory.path(), since);
        assert_eq!(handed.left(), 1);
        let back = handed.take_back(config(directory.path())).unwrap();
        for wait in waits {
            assert_eq!(wait.await.unwrap(), Ok(()));
        }
        back.close().unwrap();
        verify(directory.path(), &Default::default()).unwrap();
        assert_eq!((count(directory.path(), 1), count(directory.path(), 2)), (1, 1));
    }

    #[tokio::test]
    async fn of_carried_records_those_behind_a_refused_one_are_counted_too() {
        let directory = tempfile::tempdir().unwrap();
        let journal = Journal::open(config(directory.path())).unwrap();
        let handle = journal.handle();
        journal.close().unwrap();
        let records = (0..2 * BATCH_RECORDS_MAX + 1).map(|number| (Duty::After, entry(number).members)).collect();
        assert!(handle.append_carried(records).await.is_err());
        assert_eq!(handle.inbox().health.lost, 2 * BATCH_RECORDS_MAX as u64 + 1);
    }
}
