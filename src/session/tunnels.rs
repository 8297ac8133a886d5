use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use crate::clock;
use crate::evidence::{Burst, Bursts, Progress, Text};
use crate::facts::{ExchangeId, Moment};

use super::standing::{Judged, Known, Ruling};

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
    begun: u32,
    idle: AtomicU32,
    lifetime: AtomicU32,
    active: AtomicU32,
    reported: AtomicU32,
    up: AtomicU64,
    down: AtomicU64,
    stood: Moment,
    /// The moment at which the client was last heard; before that, when the tunnel stood. Its task alone writes it.
    heard: AtomicU64,
    /// There are none before the first: most tunnels have none, and take no room for them.
    bursts: Mutex<Option<Box<Bursts>>>,
    /// The most bytes up and down.
    bytes_max: [AtomicU64; 2],
    /// When the first byte came from the origin.
    first_byte: OnceLock<Instant>,
    known: Box<Known>,
    /// The number of the policy that judged it last.
    edition: AtomicU32,
    /// The number of the restraints that it was held to.
    restraints: AtomicU32,
    /// What that one says of it, where it is not the one that let it out and there is something to say.
    ruling: Mutex<Option<Box<Ruling>>>,
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
    /// A policy that came into force after it was let out does not allow it.
    Policy = 4,
    /// It has carried as many bytes to the origin as its rule lets.
    Upload = 5,
    /// The same to the client.
    Download = 6,
    /// What a finding or a person imposed since it was let out does not allow it.
    Restrained = 7,
}

/// What a tunnel is, when it is entered.
pub(super) struct Entry {
    pub(super) id: ExchangeId,
    /// By the rule that let it out.
    pub(super) bounds: Bounds,
    /// Who, where to, and what else it can be judged by again.
    pub(super) known: Box<Known>,
    /// The number of the policy that let it out.
    pub(super) edition: u32,
}

/// What a tunnel is held to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) idle: Duration,
    pub(super) lifetime: Duration,
    /// Few rules bound bytes, so that what is carried about is small.
    pub(super) bytes: Option<Box<Bytes>>,
}

/// The most bytes to the origin and from it; absent means any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes {
    pub(super) up: Option<u64>,
    pub(super) down: Option<u64>,
}

impl Bytes {
    pub(super) fn boxed(self) -> Option<Box<Self>> {
        self.up.or(self.down).map(|_| Box::new(self))
    }
}

/// A tunnel this old leaves progress records, one each time this long.
const PROGRESS_SECONDS: u32 = 60;

/// Tunnels that are cut or told of at once: each is a record, and records have a bounded tray.
const AT_ONCE_MAX: usize = 1024;

/// Judging tunnels again takes a worker no longer at a time: others wait for it meanwhile.
const JUDGING_MAX: Duration = Duration::from_millis(50);

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

impl Tunnels {
    pub(super) fn new() -> Self {
        Self { open: Mutex::default(), epoch: Instant::now(), second: Arc::default() }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<ExchangeId, Arc<Tunnel>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a tunnel; [`Tunnels::leave`] takes it out.
    pub(super) fn enter(&self, entry: Entry) -> Arc<Tunnel> {
        self.enter_at(entry, clock::moment())
    }

    fn enter_at(&self, entry: Entry, stood: Moment) -> Arc<Tunnel> {
        let now = self.second.load(Ordering::Relaxed);
        let tunnel = Arc::new(Tunnel {
            id: entry.id,
            begun: now,
            idle: AtomicU32::default(),
            lifetime: AtomicU32::default(),
            known: entry.known,
            edition: AtomicU32::new(entry.edition),
            restraints: AtomicU32::new(0),
            ruling: Mutex::default(),
            active: AtomicU32::new(now),
            reported: AtomicU32::new(now),
            bytes_max: Default::default(),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
            stood,
            heard: AtomicU64::new(stood.0),
            bursts: Mutex::default(),
            first_byte: OnceLock::new(),
            cut: AtomicU8::new(0),
            waker: Mutex::new(None),
            second: self.second.clone(),
        });
        tunnel.hold_to(&entry.bounds);
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
            if age >= tunnel.lifetime.load(Ordering::Relaxed) {
                past.push((tunnel.clone(), Cut::Lifetime));
            } else if now.saturating_sub(tunnel.active.load(Ordering::Relaxed)) > tunnel.idle.load(Ordering::Relaxed) {
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

    /// Judges the tunnels that another policy judged last than the one of this number, and cuts those
    /// that it does not allow. What there is no time or no room for has its turn with the next call, and
    /// so has what waits for its client to speak.
    pub(super) fn judge_again(&self, edition: u32, judge: impl Fn(&Known) -> Judged) {
        let _ = self.judge_those(Cut::Policy, |tunnel| &tunnel.edition, edition, |known| Some(judge(known)));
    }

    /// Judges the tunnels that were not held to the restraints of this number yet, among them those that were let out while the
    /// last of them was imposed; `None` for what nothing is imposed on. Otherwise as [`Self::judge_again`]. False where some have
    /// their turn with the next call.
    pub(super) fn judge_restrained(&self, number: u32, judge: impl Fn(&Known) -> Option<Judged>) -> bool {
        self.judge_those(Cut::Restrained, |tunnel| &tunnel.restraints, number, judge)
    }

    fn judge_those(
        &self,
        by: Cut,
        judged_by: impl Fn(&Tunnel) -> &AtomicU32,
        number: u32,
        judge: impl Fn(&Known) -> Option<Judged>,
    ) -> bool {
        let is_judged = |tunnel: &Tunnel| judged_by(tunnel).load(Ordering::Relaxed) == number;
        let others: Vec<_> = self.open().values().filter(|tunnel| !is_judged(tunnel)).cloned().collect();
        let (begun, mut cut) = (Instant::now(), 0);
        for tunnel in others {
            if cut >= AT_ONCE_MAX || begun.elapsed() >= JUDGING_MAX {
                return false;
            }
            match judge(&tunnel.known) {
                None => {}
                Some(Judged::Waits) => continue,
                Some(Judged::GoesOn(bounds, ruling)) => {
                    tunnel.rule(ruling);
                    if let Some(bounds) = bounds {
                        tunnel.hold_to(&bounds);
                    }
                }
                Some(Judged::Cut(ruling)) => {
                    tunnel.rule(Some(ruling));
                    tunnel.cut(by);
                    cut += 1;
                }
            }
            judged_by(&tunnel).store(number, Ordering::Relaxed);
        }
        true
    }

    /// Judges one tunnel that has just come, as [`Self::judge_restrained`] does all.
    pub(super) fn judge_one(tunnel: &Tunnel, number: u32, judge: impl Fn(&Known) -> Option<Judged>) {
        if let Some(Judged::Cut(ruling)) = judge(&tunnel.known) {
            tunnel.rule(Some(ruling));
            tunnel.cut(Cut::Restrained);
            tunnel.restraints.store(number, Ordering::Relaxed);
        }
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
    fn hold_to(&self, bounds: &Bounds) {
        self.idle.store(seconds(bounds.idle), Ordering::Relaxed);
        self.lifetime.store(seconds(bounds.lifetime), Ordering::Relaxed);
        let bytes = bounds.bytes.as_deref().map_or([None, None], |bytes| [bytes.up, bytes.down]);
        for (bound, most) in self.bytes_max.iter().zip(bytes) {
            bound.store(most.unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

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
            let all = self.up.fetch_add(count, Ordering::Relaxed).saturating_add(count);
            self.touch();
            if all > self.bytes_max[0].load(Ordering::Relaxed) {
                self.cut(Cut::Upload);
            }
        }
    }

    pub(super) fn moved_down(&self, count: u64) {
        if count > 0 {
            let before = self.down.fetch_add(count, Ordering::Relaxed);
            if before == 0 {
                let _ = self.first_byte.set(Instant::now());
            }
            self.touch();
            if before.saturating_add(count) > self.bytes_max[1].load(Ordering::Relaxed) {
                self.cut(Cut::Download);
            }
        }
    }

    /// Bytes of the client were read that [`Tunnel::moved_up`] has not been told of, or some that were held have
    /// gone on. `listened`: the client was waited for before, so that no byte means silence; while the origin takes
    /// nothing, it does not.
    pub(super) fn hears(&self, listened: bool) {
        self.hears_at(clock::moment(), listened);
    }

    pub(super) fn hears_at(&self, now: Moment, listened: bool) {
        let heard = Moment(self.heard.load(Ordering::Relaxed));
        self.heard.store(now.0, Ordering::Relaxed);
        if listened && Bursts::begins(heard, now) {
            let carried = self.bytes();
            self.bursts().get_or_insert_with(|| Box::new(Bursts::since(self.stood))).begin(now, carried);
        }
    }

    fn bursts(&self) -> MutexGuard<'_, Option<Box<Bursts>>> {
        self.bursts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bursts that no progress record has told of, for the record of its end.
    pub(super) fn last_bursts(&self) -> Vec<Burst> {
        let left = self.bursts().take();
        left.map_or_else(Vec::new, |bursts| bursts.end(self.bytes()))
    }

    /// What it can be judged by again.
    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    fn rule(&self, ruling: Option<Ruling>) {
        *self.ruling.lock().unwrap_or_else(PoisonError::into_inner) = ruling.map(Box::new);
    }

    /// What a later policy has said of it.
    pub(super) fn take_ruling(&self) -> Option<Box<Ruling>> {
        self.ruling.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn touch(&self) {
        self.active.store(self.second.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Ends the tunnel from outside of its task. The first cause stands.
    pub(super) fn cut(&self, cut: Cut) {
        let _ = self.cut.compare_exchange(0, cut as u8, Ordering::AcqRel, Ordering::Acquire);
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
            4 => Some(Cut::Policy),
            5 => Some(Cut::Upload),
            6 => Some(Cut::Download),
            7 => Some(Cut::Restrained),
            _ => Some(Cut::Drained),
        }
    }

    fn progress(&self, age: u32) -> Progress {
        let (up, down) = self.bytes();
        Progress {
            id: self.id.to_string(),
            client: self.known.client.address.ip().to_canonical().to_string(),
            host: Text::from(self.known.target.host.to_string().as_str()),
            port: self.known.target.port,
            age_s: u64::from(age),
            bytes_up: up,
            bytes_down: down,
            bursts: self.bursts().as_deref_mut().map_or_else(Vec::new, Bursts::take),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::in_force::InForce;
    use super::*;
    use crate::parse::parse_connect;
    use crate::policy::Policy;
    use crate::upstream::KeyRing;

    fn entry(id: u64, idle: u64, lifetime: u64) -> Entry {
        Entry {
            id: ExchangeId(id),
            bounds: bounds(idle, lifetime, 200_000),
            known: Known::nothing_but(([10, 0, 0, 1], 4000).into(), parse_connect(b"a.example:443").unwrap()),
            edition: 0,
        }
    }

    fn bounds(idle: u64, lifetime: u64, down: u64) -> Bounds {
        let (idle, lifetime) = (Duration::from_secs(idle), Duration::from_secs(lifetime));
        Bounds { idle, lifetime, bytes: Bytes { up: Some(100_000), down: Some(down) }.boxed() }
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

    /// Seconds after the tunnel stood at which the client is heard, and bytes up and down from then on.
    fn burst(tunnel: &Tunnel, at: u64, up: u64, down: u64) {
        tunnel.hears_at(tunnel.stood + Duration::from_secs(at), true);
        tunnel.moved_up(up);
        tunnel.moved_down(down);
    }

    #[test]
    fn each_burst_is_in_one_record_whole_and_the_last_in_that_of_the_end() {
        let tunnels = Tunnels::new();
        let tunnel = tunnels.enter_at(entry(1, 600, 6000), Moment(1_234_567));
        let told = |second| {
            let progress = tunnels.sweep_at(second).pop().unwrap();
            progress.bursts.into_iter().map(Into::into).collect::<Vec<(u32, u32, u32)>>()
        };
        tunnel.moved_up(500);
        tunnel.moved_down(900);
        burst(&tunnel, 10, 1, 2);
        burst(&tunnel, 20, 3, 4);
        tunnel.moved_down(40);
        assert_eq!(told(60), [(1000, 1, 2)]);
        burst(&tunnel, 80, 5, 6);
        assert_eq!(told(120), [(1000, 3, 44)]);
        assert!(told(180).is_empty());
        assert_eq!(tunnel.last_bursts(), [Burst { after_cs: 6000, up: 5, down: 6 }]);
        assert!(tunnel.last_bursts().is_empty());
    }

    #[test]
    fn while_an_origin_takes_nothing_its_client_is_not_silent() {
        let tunnels = Tunnels::new();
        let tunnel = tunnels.enter_at(entry(1, 600, 6000), Moment(1_234_567));
        let hears = |at, listened| tunnel.hears_at(tunnel.stood + Duration::from_millis(at), listened);
        hears(400, true);
        hears(9000, false);
        hears(9100, true);
        assert!(tunnel.bursts().is_none(), "and takes no room for bursts");
        hears(9600, true);
        assert_eq!(tunnel.last_bursts(), [Burst { after_cs: 960, up: 0, down: 0 }]);
    }

    #[test]
    fn a_tunnel_is_cut_once_it_has_carried_more_than_its_rule_lets_and_not_before() {
        let tunnels = Tunnels::new();
        let (up, down) = (tunnels.enter(entry(1, 600, 6000)), tunnels.enter(entry(2, 600, 6000)));
        up.moved_up(100_000);
        up.moved_down(200_000);
        down.moved_down(150_000);
        assert_eq!((cut_of(&up), cut_of(&down)), (None, None));
        up.moved_up(1);
        down.moved_down(50_001);
        assert_eq!((cut_of(&up), cut_of(&down)), (Some(Cut::Upload), Some(Cut::Download)));
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

    #[test]
    fn another_policy_judges_each_tunnel_once_unless_it_waits_and_cuts_as_many_as_there_is_room_for() {
        let edition = InForce::new(Policy::compile("p.toml", "").unwrap(), KeyRing::default()).now();
        let tunnels = Tunnels::new();
        let all: Vec<_> = (0..AT_ONCE_MAX as u64 + 10).map(|id| tunnels.enter(entry(id, 600, 6000))).collect();
        let asked = Cell::new(0);
        let judged = |edition: u32, judge: &dyn Fn() -> Judged| {
            asked.set(0);
            // As often as there is time for: on a slow machine not all have their turn at once.
            while all.iter().any(|tunnel| tunnel.edition.load(Ordering::Relaxed) != edition) && asked.get() < all.len()
            {
                tunnels.judge_again(edition, |_| {
                    asked.set(asked.get() + 1);
                    judge()
                });
            }
            asked.get()
        };
        assert_eq!(judged(0, &|| unreachable!("they were let out by it")), 0);
        assert_eq!(judged(1, &|| Judged::Waits), all.len());
        let within = bounds(5, 50, 200_000);
        assert_eq!(judged(1, &|| Judged::GoesOn(Some(within.clone()), None)), all.len());
        assert_eq!(judged(1, &|| unreachable!("it has judged them")), 0);
        tunnels.sweep_at(5);
        assert!(all.iter().all(|tunnel| cut_of(tunnel).is_none()));
        let count = Cell::new(0);
        tunnels.judge_again(2, |_| {
            count.set(count.get() + 1);
            Judged::Cut(Ruling::not_kept(&edition))
        });
        assert!(count.get() <= AT_ONCE_MAX, "each is a record");
        let cut = all.iter().filter(|tunnel| cut_of(tunnel) == Some(Cut::Policy)).count();
        assert_eq!(cut, count.get());
        assert_eq!(all.iter().filter(|tunnel| tunnel.take_ruling().is_some()).count(), cut);
        let (gone, left): (Vec<_>, Vec<_>) = all.iter().partition(|tunnel| cut_of(tunnel).is_some());
        gone.into_iter().for_each(|tunnel| tunnels.leave(tunnel));
        tunnels.sweep_at(6);
        let idle = left.iter().filter(|tunnel| cut_of(tunnel) == Some(Cut::Idle)).count();
        assert_eq!(idle, left.len().min(AT_ONCE_MAX), "too long by the new limits");
    }

    #[test]
    fn a_tunnel_that_was_let_out_while_a_restraint_was_imposed_is_held_to_it_and_each_once() {
        let edition = InForce::new(Policy::compile("p.toml", "").unwrap(), KeyRing::default()).now();
        let (tunnels, asked) = (Tunnels::new(), Cell::new(0));
        let before = tunnels.enter(entry(1, 600, 6000));
        let judge = |judged: fn(&super::super::in_force::Edition) -> Option<Judged>| {
            asked.set(0);
            tunnels.judge_restrained(1, |_| {
                asked.set(asked.get() + 1);
                judged(&edition)
            });
            asked.get()
        };
        assert_eq!(judge(|_| Some(Judged::Waits)), 1);
        assert_eq!((judge(|_| None), judge(|_| None)), (1, 0), "nothing is imposed on it");
        // It was judged before, and stands only now.
        let late = tunnels.enter(entry(2, 600, 6000));
        assert_eq!(judge(|edition| Some(Judged::Cut(Ruling::not_kept(edition)))), 1);
        assert_eq!((cut_of(&before), cut_of(&late)), (None, Some(Cut::Restrained)));
    }

    #[test]
    fn a_later_policy_bounds_what_a_tunnel_may_still_carry() {
        let tunnels = Tunnels::new();
        let tunnel = tunnels.enter(entry(1, 600, 6000));
        tunnel.moved_down(150_000);
        assert_eq!(cut_of(&tunnel), None);
        tunnels.judge_again(1, |_| Judged::GoesOn(Some(bounds(600, 6000, 150_001)), None));
        tunnel.moved_down(1);
        assert_eq!(cut_of(&tunnel), None);
        tunnel.moved_down(1);
        assert_eq!(cut_of(&tunnel), Some(Cut::Download));
    }
}
