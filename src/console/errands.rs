use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::clock;
use crate::facts::Timestamp;
use crate::review::{Month, Verification, month_report, report_page};
use crate::store::Index;

/// What takes longer than a question, one errand at a time: it has a thread that gives way to all others. A sweep asks the
/// index of thousands of indicators; the month's report verifies the journal, which it reads as a whole.
pub(super) struct Errands {
    place: Arc<Semaphore>,
    reports: Arc<Mutex<Reports>>,
    /// The one that was begun last.
    last: Mutex<Option<(JoinHandle<()>, Stop)>>,
}

/// Tells an errand to end.
#[derive(Debug, Clone, Default)]
pub(super) struct Stop(Arc<AtomicBool>);

impl Stop {
    fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Ends an errand for which nobody waits any more.
struct Waiting(Stop);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// Why an errand has come to nothing yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotDone {
    /// Another one is run.
    Busy,
    /// It is not waited for any more.
    Slow,
    /// There is no thread for it.
    NoThread,
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
/// So long an errand has to end when the gate does. Nothing stops the verification of a journal, which reads and leaves nothing
/// behind: it ends with the process.
const LAST: Duration = Duration::from_secs(2);

impl Errands {
    pub(super) fn new() -> Self {
        Self { place: Arc::new(Semaphore::new(1)), reports: Arc::default(), last: Mutex::default() }
    }

    /// Does this on a thread of its own for so long, and for as long as this is polled: then it is told to end.
    pub(super) async fn run_while_waited_for<T: Send + 'static>(
        &self,
        wait: Duration,
        work: impl FnOnce(&Stop) -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let stop = Stop::default();
        let _waiting = Waiting(stop.clone());
        self.run(wait, stop, work).await
    }

    /// Does this on a thread of its own, and waits so long for it.
    async fn run<T: Send + 'static>(
        &self,
        wait: Duration,
        stop: Stop,
        work: impl FnOnce(&Stop) -> T + Send + 'static,
    ) -> Result<T, NotDone> {
        let Ok(permit) = self.place.clone().try_acquire_owned() else { return Err(NotDone::Busy) };
        let (tell, told) = oneshot::channel();
        let told_to = stop.clone();
        let errand = move || {
            // Threads that it starts inherit it. A system that does not allow that lets it run as any other.
            let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE);
            let done = work(&told_to);
            drop(permit);
            // Nobody may wait any more.
            let _ = tell.send(done);
        };
        let thread = std::thread::Builder::new().name("console-errand".to_owned()).spawn(errand);
        let thread = thread.map_err(|_| NotDone::NoThread)?;
        if let Some((before, _)) = self.last().replace((thread, stop)) {
            // It has left its place, and does nothing more.
            let _ = before.join();
        }
        match timeout(wait, told).await {
            Ok(told) => told.map_err(|_| NotDone::NoThread),
            Err(_) => Err(NotDone::Slow),
        }
    }

    /// Ends what is under way, and begins no other.
    pub(super) async fn end(&self) {
        if let Some((_, stop)) = &*self.last() {
            stop.set();
        }
        let Ok(Ok(permit)) = timeout(LAST, self.place.acquire()).await else { return };
        permit.forget();
        if let Some((thread, _)) = self.last().take() {
            let _ = thread.join();
        }
    }

    fn last(&self) -> MutexGuard<'_, Option<(JoinHandle<()>, Stop)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, Reports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reports(&self) -> Reports {
        self.state().clone()
    }

    /// Writes the report of a month, which is there for everybody afterwards; it is waited for so long, and goes on.
    pub(super) async fn write_report(
        &self,
        wait: Duration,
        month: Month,
        data_dir: std::path::PathBuf,
    ) -> Result<(), NotDone> {
        let reports = self.reports.clone();
        self.run(wait, Stop::default(), move |stop| {
            let state = || reports.lock().unwrap_or_else(PoisonError::into_inner);
            state().running = Some((month, clock::now()));
            let report = Index::open(&data_dir).and_then(|mut index| {
                let stop = stop.clone();
                index.answer_while(move || !stop.is_set())?;
                let verification = Verification::of_journal(&data_dir)
                    .unwrap_or_else(|error| Verification { is_whole: false, words: vec![error.to_string()] });
                let (is_whole, at) = (verification.is_whole, clock::now());
                let page = report_page(&month_report(&index, month, verification, at)?).into();
                Ok(Written { month, at, is_whole, page })
            });
            let mut state = state();
            state.running = None;
            match report {
                Ok(written) => (state.written, state.failed) = (Some(written), None),
                Err(error) => state.failed = Some((month, error.to_string())),
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Does it when the one before has seen that it is to end.
    async fn when_free<T: Send + 'static>(
        errands: &Errands,
        work: impl Fn(&Stop) -> T + Clone + Send + 'static,
    ) -> Result<T, NotDone> {
        loop {
            match errands.run_while_waited_for(LONG, work.clone()).await {
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
        let waits = errands.run_while_waited_for(Duration::from_millis(1), move |_| told.recv()).await;
        assert_eq!(waits, Err(NotDone::Slow));
        assert_eq!(errands.run_while_waited_for(LONG, |_| ()).await, Err(NotDone::Busy));
        tell.send(()).unwrap();
        let inherited = move |_: &Stop| (nice(), std::thread::spawn(nice).join().unwrap());
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
    async fn an_errand_ends_at_its_limit_when_nobody_waits_for_it_and_with_the_gate() {
        let errands = Errands::new();
        let goes_on = |stop: &Stop| {
            while !stop.is_set() {
                std::thread::yield_now();
            }
        };
        let short = Duration::from_millis(1);
        assert_eq!(errands.run_while_waited_for(short, goes_on).await, Err(NotDone::Slow));
        assert_eq!(when_free(&errands, |_| 7).await, Ok(7));
        // Who has asked leaves, as one who closes the page.
        assert!(timeout(short, errands.run_while_waited_for(LONG, goes_on)).await.is_err());
        assert_eq!(when_free(&errands, |_| 8).await, Ok(8));
        let (waiting, ()) = tokio::join!(errands.run_while_waited_for(LONG, goes_on), errands.end());
        assert_eq!(waiting, Ok(()));
        assert!(errands.last().is_none(), "its thread is joined");
        assert_eq!(errands.run_while_waited_for(LONG, |_| 9).await, Err(NotDone::Busy), "there is no other");
    }

    #[tokio::test]
    async fn what_the_index_is_asked_ends_with_the_errand() {
        const ENDLESS: &str = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT count(*) FROM n";
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("journal")).unwrap();
        drop(crate::store::LiveIndex::anew(data.path()).unwrap());
        let (errands, path) = (Errands::new(), data.path().to_owned());
        let asks = move |stop: &Stop| {
            let mut index = Index::open(&path).unwrap();
            let stop = stop.clone();
            index.answer_while(move || !stop.is_set()).unwrap();
            let ended = index.connection().query_row(ENDLESS, [], |row| row.get::<_, i64>(0)).unwrap_err();
            index.answer_always().unwrap();
            let after = index.connection().query_row("SELECT 7", [], |row| row.get::<_, i64>(0)).unwrap();
            (ended.to_string(), after)
        };
        let (waiting, ()) = tokio::join!(errands.run_while_waited_for(LONG, asks), errands.end());
        assert_eq!(waiting, Ok(("interrupted".to_owned(), 7)));
    }
}
