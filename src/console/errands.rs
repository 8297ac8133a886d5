use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::clock;
use crate::facts::Timestamp;
use crate::review::{Month, Verification, month_report, report_page};
use crate::store::{Index, VerifyBy, checkpoint_key, verify};

/// What takes longer than a question, one errand at a time: it has a thread that gives way to all others. A sweep asks the
/// index of thousands of indicators; the month's report verifies the journal, which it reads as a whole.
pub(super) struct Errands {
    place: Arc<Semaphore>,
    reports: Arc<Mutex<Reports>>,
}

/// Why an errand has come to nothing yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotDone {
    /// Another one is run.
    Busy,
    /// It goes on, and is not waited for any more.
    Slow,
    /// The thread died, or there was none.
    Died,
}

/// The report that was written last, and the one that is being written.
#[derive(Debug, Clone, Default)]
pub(super) struct Reports {
    pub(super) running: Option<(Month, Timestamp)>,
    pub(super) written: Option<Written>,
    /// Of which month there is none, and why.
    pub(super) failed: Option<(Month, String)>,
}

#[derive(Debug, Clone)]
pub(super) struct Written {
    pub(super) month: Month,
    pub(super) at: Timestamp,
    /// Whether the journal verified.
    pub(super) is_whole: bool,
    pub(super) page: Bytes,
}

/// The least that a thread of Linux can be preferred.
const NICE: i32 = 19;

impl Errands {
    pub(super) fn new() -> Self {
        Self { place: Arc::new(Semaphore::new(1)), reports: Arc::default() }
    }

    /// Does this on a thread of its own, and waits so long for it.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        wait: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let Ok(permit) = self.place.clone().try_acquire_owned() else { return Err(NotDone::Busy) };
        let (tell, told) = oneshot::channel();
        let errand = move || {
            // Threads that it starts inherit it. A system that does not allow that lets it run as any other.
            let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
            let done = work();
            drop(permit);
            // Nobody may wait any more.
            let _ = tell.send(done);
        };
        std::thread::Builder::new().name("console-errand".to_owned()).spawn(errand).map_err(|_| NotDone::Died)?;
        match timeout(wait, told).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(NotDone::Died),
            Err(_) => Err(NotDone::Slow),
        }
    }

    fn state(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reports(&self) -> Reports {
        self.state().clone()
    }

    /// Writes the report of a month, which is there for everybody afterwards; it is waited for so long.
    pub(super) async fn write_report(
        &self,
        wait: Duration,
        month: Month,
        data_dir: std::path::PathBuf,
    ) -> Result<(), NotDone> {
        let reports = self.reports.clone();
        self.run(wait, move || {
            let state = || reports.lock().unwrap_or_else(PoisonError::into_inner);
            // It is not running any more, whatever becomes of it.
            let _ended = Ended(&reports);
            state().running = Some((month, clock::now()));
            let report = Index::open(&data_dir).and_then(|index| {
                let verification = verification(&data_dir);
                let (is_whole, at) = (verification.is_whole, clock::now());
                let page = report_page(&month_report(&index, month, verification, at)?).into();
                Ok(Written { month, at, is_whole, page })
            });
            match report {
                Ok(written) => (state().written, state().failed) = (Some(written), None),
                Err(error) => state().failed = Some((month, error.to_string())),
            }
        })
        .await
    }
}

/// That the errand of a report has ended.
struct Ended<'a>(&'a Mutex<Reports>);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).running = None;
    }
}

/// What the journal verifies as, in the words of the command line.
fn verification(data_dir: &std::path::Path) -> Verification {
    let fault = |words: String| Verification { is_whole: false, words: vec![words] };
    let key = match checkpoint_key(data_dir) {
        Ok(key) => key,
        Err(error) => return fault(error.to_string()),
    };
    let by = VerifyBy { key: key.clone(), ..VerifyBy::default() };
    match verify(data_dir, &by) {
        Err(error) => fault(error.to_string()),
        Ok(found) => {
            let vouched = match key.filter(|_| found.vouched_to > 0) {
                Some(key) => format!(
                    "records up to {} are vouched for by checkpoints of key {}, which lies beside the journal: compare it, \
                     and the checkpoints that were sent off the machine, with `sekisho verify --key --checkpoints`",
                    found.vouched_to,
                    key.id()
                ),
                None => "no checkpoint vouches for any of it yet".to_owned(),
            };
            let words = vec![
                format!("{} records in {} segments, {} of them sealed", found.records, found.segments, found.sealed),
                format!("hash of the last record: {}", found.hash),
                vouched,
            ];
            Verification { is_whole: true, words }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Does it when the one before has seen that it is to end.
    async fn when_free<T: Send + 'static>(
        errands: &Errands,
        work: impl Fn() -> T + Clone + Send + 'static,
    ) -> Result<T, NotDone> {
        loop {
            match errands.run(LONG, work.clone()).await {
                Err(NotDone::Busy) => tokio::task::yield_now().await,
                done => return done,
            }
        }
    }

    #[test]
    fn one_errand_runs_at_a_time_and_gives_way_to_all_others() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(gives_way());
    }

    async fn gives_way() {
        let errands = Errands::new();
        let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
        let before = nice();
        let (tell, told) = std::sync::mpsc::channel::<()>();
        let waits = errands.run(Duration::from_millis(1), move || told.recv()).await;
        assert_eq!(waits, Err(NotDone::Slow));
        assert_eq!(errands.run(LONG, || ()).await, Err(NotDone::Busy));
        tell.send(()).unwrap();
        let inherited = move || (nice(), std::thread::spawn(nice).join().unwrap());
        assert_eq!(when_free(&errands, inherited).await, Ok((NICE, NICE)));
        assert_eq!(nice(), before, "nobody else does");
    }

    #[tokio::test]
    async fn a_report_that_cannot_be_written_says_why_and_is_not_waited_for() {
        let errands = Errands::new();
        let data = tempfile::tempdir().unwrap();
        let month = "2026-11".parse().unwrap();
        errands.write_report(LONG, month, data.path().to_owned()).await.unwrap();
        let reports = errands.reports();
        assert!(reports.running.is_none() && reports.written.is_none());
        assert_eq!(reports.failed.unwrap().0, month);
    }

    #[tokio::test]
    async fn an_errand_that_dies_leaves_its_place() {
        let errands = Errands::new();
        assert_eq!(errands.run(LONG, || panic!("as it may")).await, Err::<(), _>(NotDone::Died));
        assert_eq!(when_free(&errands, || 7).await, Ok(7));
    }
}
