use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use crate::evidence::Record;
use crate::facts::Timestamp;

use super::book::BATCH_RECORDS_MAX;
use super::journal::{Accepted, Duty, Entry, JournalHandle, NotAccepted, QUEUE_RECORDS_MAX};

/// One worker's way to the journal. What its tasks hand in during one turn of their loop goes over
/// together, and they are told together: a record costs no switch of threads of its own.
pub struct Desk {
    journal: JournalHandle,
    tray: Mutex<Tray>,
    /// Something was put on the empty tray.
    bell: Notify,
}

/// Records, and for each whoever waits for it.
#[derive(Default)]
struct Tray(VecDeque<(Entry, Option<Accepted>)>);

impl Desk {
    pub fn new(journal: JournalHandle) -> Self {
        Self { journal, tray: Mutex::default(), bell: Notify::new() }
    }

    fn tray(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, entry: Entry, waiting: Option<Accepted>) -> Result<(), NotAccepted> {
        let mut tray = self.tray();
        if tray.0.len() >= QUEUE_RECORDS_MAX {
            drop(tray);
            self.journal.overload();
            if entry.duty != Duty::Before {
                self.journal.lose();
            }
            return Err(NotAccepted::Overloaded);
        }
        tray.0.push_back((entry, waiting));
        let is_first = tray.0.len() == 1;
        drop(tray);
        if is_first {
            self.bell.notify_one();
        }
        Ok(())
    }

    /// Hands a record in and waits until it is accepted, some seconds at most. [`Desk::run`] must be
    /// running.
    ///
    /// # Errors
    /// It was not, and nothing may be forwarded.
    pub async fn append(&self, record: &Record, now: Timestamp) -> Result<(), NotAccepted> {
        let (sender, receiver) = oneshot::channel();
        self.put(Entry { members: record.encode(now), duty: Duty::Before }, Some(sender))?;
        // Whoever carries it bounds the wait.
        receiver.await.unwrap_or(Err(NotAccepted::Disk))
    }

    /// Hands in the short record of an exchange that passes under a breakglass, as the journal took none of
    /// it; waits until the reserve has it.
    ///
    /// # Errors
    /// There is no reserve, or no room in it, and nothing may be forwarded.
    pub async fn append_to_reserve(&self, record: &Record, now: Timestamp) -> Result<(), NotAccepted> {
        self.journal.append_to_reserve(record, now).await
    }

    /// Hands in a record that nothing waits for: what came of an exchange that was let out. One that is not
    /// accepted is counted, and a gap record tells of it as soon as one can be written.
    pub fn note(&self, record: &Record, now: Timestamp) {
        let duty = match record {
            Record::Exchange(_) => Duty::After,
            Record::Segment(_)
            | Record::Batch(_)
            | Record::Progress(_)
            | Record::Gap(_)
            | Record::Policy(_)
            | Record::Admin(_)
            | Record::Own(_)
            | Record::Health(_)
            | Record::Clients(_)
            | Record::Challenge(_)
            | Record::LogIn(_)
            | Record::Finding(_)
            | Record::Restraint(_)
            | Record::Checkpoint(_)
            | Record::Device(_)
            | Record::Lookup(_)
            | Record::Triage(_)
            | Record::Retention(_)
            | Record::Hold(_)
            | Record::Contingency(_)
            | Record::Flow(_) => Duty::Meanwhile,
        };
        let _ = self.put(Entry { members: record.encode(now), duty }, None);
    }

    /// Counts a request that was refused without a record: a gap record will tell of it.
    pub fn lose(&self) {
        self.journal.lose();
    }

    /// Carries what is handed in to the journal, for as long as it is polled.
    pub async fn run(&self) {
        loop {
            self.bell.notified().await;
            self.carry().await;
        }
    }

    /// Carries what has been handed in, and returns when the journal has taken or refused all that somebody waits for.
    pub async fn carry(&self) {
        loop {
            let (entries, waiting) = self.tray().take();
            if entries.is_empty() {
                return;
            }
            let is_waited_for = waiting.iter().any(Option::is_some);
            let entries = if is_waited_for { Err(entries) } else { self.journal.leave(entries) };
            let Err(entries) = entries else { continue };
            let accepted = self.journal.append_group(entries).await;
            for sender in waiting.into_iter().flatten() {
                let _ = sender.send(accepted);
            }
        }
    }
}

impl Tray {
    /// The first records, as many as a batch holds, and who waits for them.
    fn take(&mut self) -> (Vec<Entry>, Vec<Option<Accepted>>) {
        let count = self.0.len().min(BATCH_RECORDS_MAX);
        self.0.drain(..count).unzip()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_handed_over_at_once_than_a_batch_holds() {
        let (first, last) = (oneshot::channel().0, oneshot::channel().0);
        let entry = |text: &str, duty| Entry { members: text.as_bytes().to_vec(), duty };
        let mut tray = Tray::default();
        tray.0.push_back((entry("first", Duty::Before), Some(first)));
        tray.0.extend((1..BATCH_RECORDS_MAX).map(|_| (entry("", Duty::After), None)));
        tray.0.push_back((entry("last", Duty::Before), Some(last)));
        let (records, waiting) = tray.take();
        assert_eq!((records.len(), waiting.iter().flatten().count()), (BATCH_RECORDS_MAX, 1));
        assert_eq!(tray.0.len(), 1, "whoever waits for the rest is not told yet");
        let (records, waiting) = tray.take();
        assert_eq!((records[0].members.as_slice(), waiting.iter().flatten().count()), (&b"last"[..], 1));
        assert!(tray.0.is_empty());
    }
}
