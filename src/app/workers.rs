//! The threads that serve clients, and when they stop.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::{Mutex, mpsc, watch};

use crate::session::Gate;

use super::listeners::Speaks;
use super::worker::{self, Stop};
use super::{AppError, End, Plan};

/// The threads of a gate that has been told to end.
pub(super) struct Workers<'r> {
    runtime: &'r Runtime,
    stop: Arc<watch::Sender<Stop>>,
    /// Ends when all have.
    any_ended: mpsc::Receiver<()>,
}

impl Workers<'_> {
    /// Runs them, each on a thread, until `end` resolves or one of them could not go on; then as `then` says, until all have ended.
    /// What that made of it comes back with what came of them.
    pub(super) fn serve<E, L>(
        plan: &Plan,
        gate: &Arc<Gate>,
        shares: Vec<Vec<(TcpListener, Speaks)>>,
        runtime: &Runtime,
        end: impl Future<Output = Option<E>>,
        then: impl FnOnce(&mut Workers<'_>, Option<E>) -> L,
    ) -> (Result<(), AppError>, Option<L>) {
        let (stop, stopped) = watch::channel(Stop::Not);
        let stop = Arc::new(stop);
        let (ended, any_ended) = mpsc::channel::<()>(1);
        std::thread::scope(|scope| {
            let mut threads = Vec::with_capacity(shares.len());
            for (index, listeners) in shares.into_iter().enumerate() {
                let (gate, stopped, ended) = (gate.clone(), stopped.clone(), ended.clone());
                let work = move || {
                    let result = worker::run(plan, gate, listeners, stopped);
                    let _ = ended.try_send(());
                    result
                };
                let thread = std::thread::Builder::new().name(format!("worker-{index}"));
                match thread.spawn_scoped(scope, work) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => {
                        stop.send_replace(Stop::Drain);
                        return (Err(AppError::Runtime(error)), None);
                    }
                }
            }
            drop(ended);
            let mut workers = Workers { runtime, stop, any_ended };
            let told = runtime.block_on(async {
                tokio::select! {
                    told = end => told,
                    // The gate does not run on with fewer.
                    _ = workers.any_ended.recv() => None,
                }
            });
            let left = then(&mut workers, told);
            let results = threads.into_iter().map(|thread| thread.join().unwrap_or(Err(AppError::WorkerDied)));
            (results.fold(Ok(()), Result::and), Some(left))
        })
    }

    /// Has them bring what is open to an end.
    pub(super) fn drain(&self) {
        self.stop.send_replace(Stop::Drain);
    }

    /// Has them leave new connections to another gate, and go on with what is open.
    pub(super) fn hand_over(&self) {
        self.stop.send_replace(Stop::HandedOver);
    }

    /// By which all that is open is cut at once.
    pub(super) fn cutter(&self) -> Arc<dyn Fn() + Send + Sync> {
        let stop = self.stop.clone();
        Arc::new(move || {
            stop.send_replace(Stop::Now);
        })
    }

    /// Waits until all have ended; told to end meanwhile, they bring what is open to an end.
    pub(super) fn until_ended(&mut self, signals: &Mutex<End>) {
        let Self { runtime, stop, any_ended } = self;
        runtime.block_on(async {
            let mut signals = signals.lock().await;
            loop {
                tokio::select! {
                    ended = any_ended.recv() => match ended {
                        Some(()) => {}
                        None => return,
                    },
                    () = signals.told() => {
                        stop.send_if_modified(|stop| match stop {
                            Stop::Not | Stop::HandedOver => {
                                *stop = Stop::Drain;
                                true
                            }
                            Stop::Drain | Stop::Now => false,
                        });
                    }
                }
            }
        });
    }
}
