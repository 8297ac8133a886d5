//! The threads that work beside those that serve: what seals the journal, what sends checkpoints off, what removes its oldest
//! days, what fills the index, and what reads attempts past the proxy.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::evidence::Keep;
use crate::facts::Timestamp;
use crate::gateway::flows::{Flows, SourceStatus, Sources};
use crate::store::JournalHandle;

use super::AppError;
use super::alerting::{self, AlertStatus, Alerting, Asks, Statuses};
use super::contingency::Kernel;
use super::flows::{self, Reading};
use super::indexing::{self, Indexing, IndexingStatus};
use super::retention::{self, RetentionStatus, Retiring};
use super::sealing::{self, Sealing, SealingStatus};
use super::sending::{self, ReceiverStatus, Sending};
use super::streaming::{self, StreamStatus, StreamStatuses, Streaming};

/// The threads.
pub(super) struct Background {
    sealing: Sealing,
    sending: Sending,
    /// Where somebody is told.
    alerting: Option<Alerting>,
    /// Where the config has days go.
    retiring: Option<Retiring>,
    indexing: Option<Indexing>,
    /// Where the journal goes on in files.
    streaming: Option<Streaming>,
    flows: Option<Reading>,
}

/// What they say of themselves.
#[derive(Clone)]
pub(super) struct SeenBackground {
    sealing: Arc<Mutex<SealingStatus>>,
    receivers: Arc<Mutex<Vec<ReceiverStatus>>>,
    alerts: Option<(Statuses, Asks)>,
    retention: Arc<Mutex<RetentionStatus>>,
    index: Arc<Mutex<IndexingStatus>>,
    streams: StreamStatuses,
    flows: Sources,
}

/// Starts them. What began before `ended_before` and is open has no end on record.
///
/// # Errors
/// There are no threads to be had.
pub(super) fn start(
    data_dir: &Path,
    config: &Config,
    (journal, ended_before): (&JournalHandle, Timestamp),
    (flows, kernel): (Flows, &Kernel),
) -> Result<Background, AppError> {
    let sending = sending::start(data_dir, config, journal)?;
    let sealing = sealing::start(data_dir.to_owned(), config.name.clone(), journal.clone(), sending.wakes());
    let tells = !config.alerts.is_empty();
    let alerting = tells.then(|| alerting::start(data_dir, config, journal)).transpose()?;
    let goes = config.keep != Keep::default();
    let retiring =
        goes.then(|| retention::start(data_dir.to_owned(), (config.keep, config.indexes), journal.clone())).transpose();
    let streams = !config.streams.is_empty();
    let streaming = streams.then(|| streaming::start(data_dir, &config.streams, (journal, ended_before))).transpose();
    let indexing = config.indexes.then(|| indexing::start(data_dir.to_owned())).transpose();
    Ok(Background {
        sealing: sealing.map_err(AppError::Runtime)?,
        sending,
        alerting,
        retiring: retiring.map_err(AppError::Runtime)?,
        indexing: indexing.map_err(AppError::Runtime)?,
        streaming: streaming.map_err(AppError::Runtime)?,
        flows: flows::start(flows, kernel, journal.clone()).map_err(AppError::Runtime)?,
    })
}

impl Background {
    pub(super) fn seen(&self) -> SeenBackground {
        let index = self.indexing.as_ref().map(Indexing::status).unwrap_or_default();
        let flows = self.flows.as_ref().map(Reading::sources).unwrap_or_default();
        SeenBackground {
            sealing: self.sealing.status(),
            receivers: self.sending.statuses(),
            alerts: self.alerting.as_ref().map(|alerting| (alerting.statuses(), alerting.asks())),
            retention: self.retiring.as_ref().map(Retiring::status).unwrap_or_default(),
            index,
            streams: self.streaming.as_ref().map(Streaming::statuses).unwrap_or_default(),
            flows,
        }
    }

    /// Ends those that write records, before the journal is closed. What they have not come to they come to after the next
    /// start. What fills the index, and files that go on with the journal, go on until the last record.
    pub(super) fn end_writers(self) -> (Option<Indexing>, Option<Streaming>) {
        if let Some(flows) = self.flows {
            flows.end();
        }
        self.sealing.end();
        if let Some(retiring) = self.retiring {
            retiring.end();
        }
        self.sending.end();
        if let Some(alerting) = self.alerting {
            alerting.end();
        }
        (self.indexing, self.streaming)
    }
}

impl SeenBackground {
    pub(super) fn sealing(&self) -> SealingStatus {
        self.sealing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn receivers(&self) -> Vec<ReceiverStatus> {
        self.receivers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn alerts(&self) -> Vec<AlertStatus> {
        let alerts = self.alerts.as_ref();
        alerts.map(|(statuses, _)| alerting::lock(statuses).clone()).unwrap_or_default()
    }

    /// By which somebody may try them.
    pub(super) fn asks(&self) -> Option<&Asks> {
        self.alerts.as_ref().map(|(_, asks)| asks)
    }

    pub(super) fn streams(&self) -> Vec<StreamStatus> {
        streaming::lock(&self.streams).clone()
    }

    pub(super) fn retention(&self) -> RetentionStatus {
        self.retention.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn flows(&self) -> Vec<SourceStatus> {
        self.flows.status()
    }

    pub(super) fn index(&self) -> IndexingStatus {
        self.index.lock().unwrap_or_else(PoisonError::into_inner).now()
    }
}

/// Has a thread that works through much take half of a processor's time at most.
pub(super) struct Pace {
    begun: Instant,
}

/// For so long it works before it rests as long.
const WORKS: Duration = Duration::from_millis(20);

impl Pace {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now() }
    }

    /// Rests where it is time to. False once the thread is to end, which `ended` says by its other half's end.
    pub(super) fn goes_on(&mut self, ended: &Receiver<()>) -> bool {
        let worked = self.begun.elapsed();
        if worked < WORKS {
            return true;
        }
        let rests = ended.recv_timeout(worked) == Err(RecvTimeoutError::Timeout);
        self.begun = Instant::now();
        rests
    }
}
