//! The only `now()`. Everything that judges takes time as an argument; everything that does asks here.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::facts::{ExchangeId, Moment, Timestamp};

/// The wall clock, UTC, in microseconds. Before 1970 it reads 0.
pub fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// The moment, on the clock of this process that is never set.
pub fn moment() -> Moment {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    Moment(u64::try_from(BEGUN.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// The moment on the clock since the machine was started, which is never set either, and goes on while it sleeps.
pub fn boot_moment() -> Moment {
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = since.tv_sec.max(0).unsigned_abs();
    Moment(seconds.saturating_mul(1_000_000).saturating_add(since.tv_nsec.max(0).unsigned_abs() / 1000))
}

/// The time that this thread has had of a processor.
pub fn thread_cpu() -> Duration {
    let had = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(had.tv_sec.max(0).unsigned_abs(), u32::try_from(had.tv_nsec).unwrap_or_default())
}

static LAST: AtomicU64 = AtomicU64::new(0);
/// No id of this process is of the present any more.
static LEFT: AtomicBool = AtomicBool::new(false);
/// So many ids a process that has handed over may still give out: more than the requests that its connections may still bring.
const IDS_LEFT: u64 = 500_000;

/// Leaves the ids from here on to another process, and gives the first that is that one's. What still begins here has the ids
/// just before it, whatever the clock says.
pub fn leave_exchange_ids() -> ExchangeId {
    LEFT.store(true, Ordering::SeqCst);
    let last = LAST.fetch_max(now().0, Ordering::SeqCst).max(now().0);
    ExchangeId(last.saturating_add(IDS_LEFT))
}

/// Gives out no id before this one.
pub fn take_exchange_ids(first: ExchangeId) {
    LAST.fetch_max(first.0.saturating_sub(1), Ordering::SeqCst);
}

/// A new exchange id: the present microsecond, or the one after the last id given out, so that ids
/// of one process are unique and ascending even when the clock steps back.
pub fn exchange_id() -> ExchangeId {
    let now = if LEFT.load(Ordering::SeqCst) { 0 } else { now().0 };
    let mut last = LAST.load(Ordering::Relaxed);
    loop {
        let next = now.max(last + 1);
        match LAST.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return ExchangeId(next),
            Err(seen) => last = seen,
        }
    }
}
