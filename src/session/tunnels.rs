use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::evidence::{Progress, Text};
use crate::facts::ExchangeId;

/// The live tunnels of one worker: who, where to, how much, and a handle to cut each. Bounded by the
/// connections the gate accepts.
#[derive(Debug)]
pub(super) struct Tunnels {
    open: Mutex<HashMap<ExchangeId, Arc<Tunnel>>>,
    epoch: Instant,
    /// Seconds since `epoch`, moved on by [`Tunnels::sweep`]: a coarse clock for activity.
    second: Arc<AtomicU32>,
}

/// One live tunnel.
#[derive(Debug)]
pub(super) struct Tunnel {
    id: ExchangeId,
    client: SocketAddr,
    host: Box<str>,
    port: u16,
    begun: u32,
    idle: u32,
    lifetime: u32,
    active: AtomicU32,
    reported: AtomicU32,
    up: AtomicU64,
    down: AtomicU64,
    /// When the first byte came from the origin.
    first_byte: OnceLock<Instant>,
    cut: AtomicU8,
    waker: Mutex<Option<Waker>>,
    second: Arc<AtomicU32>,
}

/// Why the gate ends a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Idle = 1,
    Lifetime = 2,
    Drained = 3,
}

/// What a tunnel is, when it is entered.
pub(super) struct Entry {
    pub(super) id: ExchangeId,
    pub(super) client: SocketAddr,
    pub(super) host: Box<str>,
    pub(super) port: u16,
    pub(super) idle: Duration,
    pub(super) lifetime: Duration,
}

/// A tunnel this old leaves progress records, one each time this long.
const PROGRESS_SECONDS: u32 = 60;

/// Tunnels that are cut or told of at once: each is a record, and records have a bounded tray.
const AT_ONCE_MAX: usize = 1024;

impl Tunnels {
    pub(super) fn new() -> Self {
        Self { open: Mutex::default(), epoch: Instant::now(), second: Arc::default() }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<ExchangeId, Arc<Tunnel>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a tunnel; [`Tunnels::leave`] takes it out.
    pub(super) fn enter(&self, entry: Entry) -> Arc<Tunnel> {
        let now = self.second.load(Ordering::Relaxed);
        let seconds = |duration: Duration| u32::try_from(duration.as_secs()).unwrap_or(u32::MAX);
        let tunnel = Arc::new(Tunnel {
            id: entry.id,
            client: entry.client,
            host: entry.host,
            port: entry.port,
            begun: now,
            idle: seconds(entry.idle),
            lifetime: seconds(entry.lifetime),
            active: AtomicU32::new(now),
            reported: AtomicU32::new(now),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            first_byte: OnceLock::new(),
            cut: AtomicU8::new(0),
            waker: Mutex::new(None),
            second: self.second.clone(),
        });
        self.open().insert(entry.id, tunnel.clone());
        tunnel
    }

    pub(super) fn leave(&self, tunnel: &Tunnel) {
        let mut open = self.open();
        open.remove(&tunnel.id);
        // A burst of tunnels gives its room back.
        if open.len() < open.capacity() / 8 {
            let keep = open.len() * 2;
            open.shrink_to(keep);
        }
    }

    /// Moves the coarse clock on, cuts what is past a limit, and tells of what has grown old.
    pub(super) fn sweep(&self) -> Vec<Progress> {
        self.sweep_at(u32::try_from(self.epoch.elapsed().as_secs()).unwrap_or(u32::MAX))
    }

    fn sweep_at(&self, now: u32) -> Vec<Progress> {
        self.second.store(now, Ordering::Relaxed);
        let mut progress = Vec::new();
        let mut past = Vec::new();
        for tunnel in self.open().values() {
            // The rest has its turn with the next sweep.
            if past.len() + progress.len() >= AT_ONCE_MAX {
                break;
            }
            let age = now.saturating_sub(tunnel.begun);
            if age >= tunnel.lifetime {
                past.push((tunnel.clone(), Cut::Lifetime));
            } else if now.saturating_sub(tunnel.active.load(Ordering::Relaxed)) > tunnel.idle {
                past.push((tunnel.clone(), Cut::Idle));
            } else if now.saturating_sub(tunnel.reported.load(Ordering::Relaxed)) >= PROGRESS_SECONDS {
                tunnel.reported.store(now, Ordering::Relaxed);
                progress.push(tunnel.progress(age));
            }
        }
        for (tunnel, cut) in past {
            tunnel.cut(cut);
        }
        progress
    }

    /// Cuts some of the tunnels, and says how many there were: each leaves a record, for which there
    /// must be room.
    pub(super) fn cut_some(&self) -> usize {
        let (count, some) = {
            let open = self.open();
            (open.len(), open.values().take(AT_ONCE_MAX).cloned().collect::<Vec<_>>())
        };
        for tunnel in some {
            tunnel.cut(Cut::Drained);
        }
        count
    }
}

impl Tunnel {
    /// From `begun` to the origin's first byte.
    pub(super) fn first_byte(&self, begun: Instant) -> Option<Duration> {
        self.first_byte.get().map(|at| at.saturating_duration_since(begun))
    }

    /// Bytes so far, up and down.
    pub(super) fn bytes(&self) -> (u64, u64) {
        (self.up.load(Ordering::Relaxed), self.down.load(Ordering::Relaxed))
    }

    pub(super) fn moved_up(&self, count: u64) {
        if count > 0 {
            self.up.fetch_add(count, Ordering::Relaxed);
            self.touch();
        }
    }

    pub(super) fn moved_down(&self, count: u64) {
        if count > 0 {
            if self.down.fetch_add(count, Ordering::Relaxed) == 0 {
                let _ = self.first_byte.set(Instant::now());
            }
            self.touch();
        }
    }

    fn touch(&self) {
        self.active.store(self.second.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Ends the tunnel from outside of its task.
    pub(super) fn cut(&self, cut: Cut) {
        self.cut.store(cut as u8, Ordering::Release);
        let waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the tunnel was cut; if not, its task is woken when it is.
    pub(super) fn poll_cut(&self, context: &Context<'_>) -> Option<Cut> {
        if self.cut.load(Ordering::Acquire) == 0 {
            let mut waker = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                *waker = Some(context.waker().clone());
            }
        }
        match self.cut.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Cut::Idle),
            2 => Some(Cut::Lifetime),
            _ => Some(Cut::Drained),
        }
    }

    fn progress(&self, age: u32) -> Progress {
        let (up, down) = self.bytes();
        Progress {
            id: self.id.to_string(),
            client: self.client.ip().to_canonical().to_string(),
            host: Text::from(&*self.host),
            port: self.port,
            age_s: u64::from(age),
            bytes_up: up,
            bytes_down: down,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: u64, idle: u64, lifetime: u64) -> Entry {
        Entry {
            id: ExchangeId(id),
            client: ([10, 0, 0, 1], 4000).into(),
            host: "a.example".into(),
            port: 443,
            idle: Duration::from_secs(idle),
            lifetime: Duration::from_secs(lifetime),
        }
    }

    fn cut_of(tunnel: &Tunnel) -> Option<Cut> {
        tunnel.poll_cut(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_long_tunnel_is_told_of_each_minute_with_what_it_has_carried() {
        let tunnels = Tunnels::new();
        let tunnel = tunnels.enter(entry(1, 600, 6000));
        tunnel.moved_up(5);
        tunnel.moved_down(7);
        assert_eq!(tunnels.sweep_at(59).len(), 0);
        let progress = tunnels.sweep_at(60);
        let told = |progress: &Progress| (progress.age_s, progress.bytes_up, progress.bytes_down);
        assert_eq!(progress.iter().map(told).collect::<Vec<_>>(), [(60, 5, 7)]);
        assert_eq!(tunnels.sweep_at(119).len(), 0);
        assert_eq!(tunnels.sweep_at(120).len(), 1);
        tunnels.leave(&tunnel);
        assert_eq!(tunnels.sweep_at(180).len(), 0);
    }

    #[test]
    fn a_silent_tunnel_is_cut_for_that_and_a_busy_one_only_at_its_lifetime() {
        let tunnels = Tunnels::new();
        let (silent, busy) = (tunnels.enter(entry(1, 10, 100)), tunnels.enter(entry(2, 10, 100)));
        for second in 1..100 {
            busy.moved_up(1);
            tunnels.sweep_at(second);
            assert_eq!(cut_of(&silent), (second > 10).then_some(Cut::Idle), "{second}");
            assert_eq!(cut_of(&busy), None, "{second}");
        }
        tunnels.sweep_at(100);
        assert_eq!(cut_of(&busy), Some(Cut::Lifetime));
    }

    #[test]
    fn no_more_is_cut_or_told_of_at_once_than_there_is_room_for_records() {
        let tunnels = Tunnels::new();
        let all: Vec<_> = (0..AT_ONCE_MAX as u64 + 10).map(|id| tunnels.enter(entry(id, 600, 6000))).collect();
        assert_eq!(tunnels.sweep_at(60).len(), AT_ONCE_MAX);
        assert_eq!(tunnels.sweep_at(61).len(), 10, "the rest has its turn next");
        assert_eq!(tunnels.cut_some(), all.len());
        assert_eq!(all.iter().filter(|tunnel| cut_of(tunnel).is_some()).count(), AT_ONCE_MAX);
    }
}
