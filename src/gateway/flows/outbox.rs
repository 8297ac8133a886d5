//! From what a source tells to records in the journal.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::mpsc;

use crate::clock;
use crate::evidence::{Flow, FlowKey, FlowSums, Gap, Health, Inside, Record, Seen};
use crate::facts::Timestamp;
use crate::store::JournalHandle;

use super::status::Cell;

/// Seconds of one source that wait for the journal together; of those that come meanwhile only the counts are kept.
pub(super) const BATCHES_MAX: usize = 8;

/// What one source told in a second.
pub(super) struct Batch {
    source: Arc<Cell>,
    flows: Vec<Flow>,
    missed: Missed,
    /// What of the seconds before did not go over.
    unsent: u64,
}

/// What a source could not hand over.
#[derive(Default)]
struct Missed {
    /// As far as it is known how many.
    count: u64,
    why: Option<&'static str>,
}

/// Takes what one source tells, sums it, and hands it over each second.
pub(super) struct Outbox {
    source: Arc<Cell>,
    sums: FlowSums,
    missed: Missed,
    unsent: u64,
    sender: mpsc::Sender<Batch>,
    journal: JournalHandle,
}

impl Outbox {
    pub(super) fn new(source: Arc<Cell>, inside: Inside, sender: mpsc::Sender<Batch>, journal: JournalHandle) -> Self {
        Self { source, sums: FlowSums::of(inside), missed: Missed::default(), unsent: 0, sender, journal }
    }

    /// Something was seen.
    pub(super) fn add(&mut self, seen: Seen, now: Timestamp) {
        self.source.seen.fetch_add(1, Ordering::Relaxed);
        let ended = self.sums.add(seen, now);
        if !ended.is_empty() {
            self.send(ended);
        }
    }

    /// So many were counted since some moment, and not handed over one by one.
    pub(super) fn add_counted(&mut self, key: FlowKey, count: u64, since: Timestamp, now: Timestamp) {
        let ended = self.sums.add_counted(key, count, since, now);
        if !ended.is_empty() {
            self.send(ended);
        }
    }

    /// What was seen could not be read, and is recorded as it came.
    pub(super) fn count_unread(&self) {
        self.source.unread.fetch_add(1, Ordering::Relaxed);
    }

    /// So many were missed, 0 where it is not known how many.
    pub(super) fn miss(&mut self, count: u64, why: &'static str) {
        self.source.lost.fetch_add(count, Ordering::Relaxed);
        self.source.overruns.fetch_add(u64::from(count == 0), Ordering::Relaxed);
        self.missed.count = self.missed.count.saturating_add(count);
        self.missed.why = Some(why);
    }

    /// To be called some times a second.
    pub(super) fn turn(&mut self, now: Timestamp) {
        let ended = self.sums.turn(now);
        if !ended.is_empty() || self.missed.why.is_some() || self.unsent > 0 {
            self.send(ended);
        }
    }

    /// Hands all over that there is.
    pub(super) async fn end(mut self) {
        let flows = self.sums.end();
        let batch = self.batch(flows);
        // It is waited for room: there is no later second that could tell of this one.
        let _ = self.sender.send(batch).await;
    }

    fn batch(&mut self, flows: Vec<Flow>) -> Batch {
        let source = self.source.clone();
        Batch { source, flows, missed: std::mem::take(&mut self.missed), unsent: std::mem::take(&mut self.unsent) }
    }

    fn send(&mut self, flows: Vec<Flow>) {
        let batch = self.batch(flows);
        let batch = match self.sender.try_send(batch) {
            Ok(()) => return,
            Err(mpsc::error::TrySendError::Full(batch) | mpsc::error::TrySendError::Closed(batch)) => batch,
        };
        self.unsent = batch.unsent + batch.flows.iter().map(|flow| flow.count).sum::<u64>();
        self.missed = batch.missed;
    }

    /// The source is read from now on.
    pub(super) fn begin(&self) {
        let mut state = self.source.state();
        (state.reading, state.error) = (true, None);
        drop(state);
        self.tell("read", &self.source.name);
    }

    /// The same, said once until it fails.
    pub(super) fn begin_once(&self) {
        let is_read = self.source.state().reading;
        if !is_read {
            self.begin();
        }
    }

    /// It cannot be read, or not any more. The same is told once.
    pub(super) fn fail(&self, why: &str) {
        let mut state = self.source.state();
        let is_new = state.reading || state.error.as_deref() != Some(why);
        (state.reading, state.error) = (false, Some(why.to_owned()));
        drop(state);
        if is_new {
            let detail = format!("{}: {why}", self.source.name);
            eprintln!("sekisho: warning: attempts past the proxy are not on record: {detail}");
            self.tell("unread", &detail);
        }
    }

    /// It is read, and does not tell all that it could.
    pub(super) fn warn(&self, what: &str) {
        self.source.state().error = Some(what.to_owned());
        eprintln!("sekisho: warning: {}: {what}", self.source.name);
    }

    fn tell(&self, level: &'static str, detail: &str) {
        let health = Health { subject: "flows", level, detail: detail.into() };
        self.journal.tell(&Record::Health(health), clock::now());
    }
}

/// Puts batches on record until no source is left. What the journal does not take is counted, and told with what it takes.
pub(super) async fn write(mut batches: mpsc::Receiver<Batch>, journal: JournalHandle) {
    let mut unrecorded = None;
    while let Some(batch) = batches.recv().await {
        unrecorded = put(&journal, unrecorded, batch.records()).await;
    }
    if unrecorded.is_some()
        && let Some(count) = put(&journal, unrecorded, Vec::new()).await
    {
        eprintln!("sekisho: warning: {count} attempts past the proxy are on no record: the journal took none");
    }
}

/// How many are not on record after that; `None` where all is, 0 where it is not known how many.
async fn put(journal: &JournalHandle, unrecorded: Option<u64>, mut records: Vec<(Record, u64)>) -> Option<u64> {
    if let Some(unrecorded) = unrecorded {
        let detail = "the journal took no records";
        records.insert(0, (gap("flows_unrecorded", detail, unrecorded), unrecorded));
    }
    let (records, counts): (Vec<_>, Vec<_>) = records.into_iter().unzip();
    match journal.append_all(&records, clock::now()).await {
        Ok(()) => None,
        Err((written, _)) => Some(counts.iter().skip(written).sum()),
    }
}

impl Batch {
    /// With how much each of them tells of.
    fn records(self) -> Vec<(Record, u64)> {
        let mut records = Vec::with_capacity(self.flows.len() + 2);
        if let Some(why) = self.missed.why {
            let detail = format!("{}: {why}", self.source.name);
            records.push((gap("flows_lost", &detail, self.missed.count), self.missed.count));
        }
        if self.unsent > 0 {
            let detail = format!("{}: more came than the journal takes", self.source.name);
            records.push((gap("flows_unrecorded", &detail, self.unsent), self.unsent));
        }
        let flows = self.flows.into_iter().map(|flow| (flow.count, flow));
        records.extend(flows.map(|(count, flow)| (Record::Flow(Box::new(flow)), count)));
        records
    }
}

fn gap(cause: &'static str, detail: &str, count: u64) -> Record {
    Record::Gap(Gap { cause, detail: detail.into(), bytes: None, count: (count > 0).then_some(count) })
}
