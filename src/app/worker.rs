use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

use crate::listen::{self, Queued};
use crate::session::{self, Gate, Worker};
use crate::upstream::{DialLimits, Dialler, OwnConnections};

use super::listeners::Speaks;
use super::{AppError, Plan};

/// How often what falls due with time is looked at; limits of tunnels are this exact.
const SWEEP: Duration = Duration::from_secs(1);
/// How long cut tunnels may take to write their records.
const LAST_RECORDS: Duration = Duration::from_secs(2);

/// Whether workers go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Not,
    /// Another gate accepts: what is open goes on for long.
    HandedOver,
    /// What is open comes to an end.
    Drain,
    /// What is open is cut.
    Now,
}

/// Runs one worker on this thread: a runtime of its own, its own listeners, its own connections to
/// origins. Returns when it has drained.
pub(super) fn run(
    plan: &Plan,
    gate: Arc<Gate>,
    listeners: Vec<(TcpListener, Speaks)>,
    stop: watch::Receiver<Stop>,
) -> Result<(), AppError> {
    if let Some(sandbox) = &plan.sandbox {
        sandbox.try_outside();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(AppError::Runtime)?;
    let worker = runtime.block_on(serve(plan, gate, listeners, stop))?;
    // What has not ended by now is dropped, and each exchange among it records that.
    drop(runtime);
    let last = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(AppError::Runtime)?;
    last.block_on(async {
        let _ = timeout_at(Instant::now() + LAST_RECORDS, worker.carry_last_records()).await;
    });
    Ok(())
}

async fn serve(
    plan: &Plan,
    gate: Arc<Gate>,
    listeners: Vec<(TcpListener, Speaks)>,
    mut stop: watch::Receiver<Stop>,
) -> Result<Arc<Worker>, AppError> {
    let own = OwnConnections::default();
    let resolvers = super::resolvers(&plan.dns_servers, plan.internal.as_ref(), plan.dns_timeout, &own)?;
    let limits =
        DialLimits { connect_timeout: plan.connect_timeout, head: gate.limits.head, stall: gate.limits.body_timeout };
    let dialler = Dialler::new(resolvers, plan.own.clone(), limits, plan.origins.clone());
    let worker = Arc::new(Worker::new(gate, dialler, own));
    let mut tasks = JoinSet::new();
    for (listener, speaks) in listeners {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(AppError::Runtime)?;
        tasks.spawn(accept(worker.clone(), (listener, speaks), stop.clone()));
    }
    let sweeping = tokio::spawn(sweep(worker.clone()));
    let follower = worker.clone();
    let following = tokio::spawn(async move { follower.follow_restraints().await });
    let carrier = worker.clone();
    let carrying = tokio::spawn(async move { carrier.carry_records().await });
    let _ = stop.wait_for(|stop| *stop != Stop::Not).await;
    worker.gate.draining.store(true, Ordering::Relaxed);
    while tasks.join_next().await.is_some() {}
    drain(&worker, plan, stop).await;
    sweeping.abort();
    following.abort();
    carrying.abort();
    worker.sweep();
    Ok(worker)
}

async fn accept(
    worker: Arc<Worker>,
    (listener, speaks): (tokio::net::TcpListener, Speaks),
    mut stop: watch::Receiver<Stop>,
) {
    let stopped = async move {
        match stop.wait_for(|stop| *stop != Stop::Not).await.as_deref() {
            Ok(Stop::HandedOver) => Queued::Left,
            Ok(Stop::Not | Stop::Drain | Stop::Now) | Err(_) => Queued::Taken,
        }
    };
    listen::accept(listener, stopped, &worker.gate.counters.accept_failures, |stream, address| {
        if let Some(admitted) = worker.admit(address) {
            match speaks {
                Speaks::Clear => drop(tokio::spawn(session::serve(admitted, stream))),
                Speaks::Tls => drop(tokio::spawn(session::serve_secured(admitted, stream))),
                Speaks::Captured(capture) => drop(tokio::spawn(session::serve_captured(admitted, stream, capture))),
            }
        }
    })
    .await;
}

async fn sweep(worker: Arc<Worker>) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        worker.sweep();
    }
}

/// Lets what has begun come to its end; what has not by the deadline, or once it is told to stop at once, is cut, and records that.
async fn drain(worker: &Worker, plan: &Plan, mut stop: watch::Receiver<Stop>) {
    loop {
        let stage = *stop.borrow_and_update();
        let limit = match stage {
            Stop::HandedOver => plan.hand_over_timeout,
            Stop::Drain => plan.drain_timeout,
            Stop::Not | Stop::Now => Duration::ZERO,
        };
        tokio::select! {
            () = until_quiet(worker, stage) => return,
            () = sleep(limit) => break,
            changed = stop.changed() => if changed.is_err() { break },
        }
    }
    let cutting = async {
        while worker.cut_tunnels() > 0 {
            sleep(Duration::from_millis(2)).await;
            worker.carry_last_records().await;
        }
    };
    let _ = timeout_at(Instant::now() + LAST_RECORDS, cutting).await;
}

/// Waits until nothing is under way. Where another gate serves those who come, connections on which nothing is asked at the moment
/// are waited for too: what comes on one is answered, and the last on it.
async fn until_quiet(worker: &Worker, stage: Stop) {
    let counters = &worker.gate.counters;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let under_way = || match stage {
        Stop::HandedOver => read(&counters.connections),
        Stop::Not | Stop::Drain | Stop::Now => read(&counters.tunnels) + read(&counters.exchanges),
    };
    while under_way() > 0 {
        sleep(Duration::from_millis(10)).await;
    }
}
