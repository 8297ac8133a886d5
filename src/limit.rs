//! How often: what a client has asked for, counted against the `rate` of the rule that lets it out.
//!
//! A count is a generic cell rate algorithm: so many requests at once, and then as many as come back in the
//! rate's time, evenly. It counts; that more is denied, policy says.

use std::collections::HashMap;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use crate::facts::{Client, ClientKey, Host};
use crate::policy::{Rate, RatePer};

/// Clients, or pairs of client and host, that one rate tells apart. Of more, a pair counts as its client does
/// without a host; a client beyond as many again is over the rate.
const TOLD_APART_MAX: usize = 100_000;

/// Rates that are counted at once: those of the policy in force, and of earlier ones until their time is over.
/// At the bound all begin anew.
const RATES_MAX: usize = 16_384;

/// Between two sweeps, whoever asks for them.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What every client has asked for by rules with a rate. It outlives a policy: the same rate at the same place
/// in the next one goes on counting.
pub struct Rates<C: Clock = DefaultClock> {
    clock: C,
    counts: RwLock<HashMap<Arc<Rate>, Arc<Count<C>>>>,
    swept: Mutex<C::Instant>,
}

/// What one rate has counted.
struct Count<C: Clock> {
    /// By what the rate tells apart.
    fine: Limiter<(ClientKey, Option<Host>), C>,
    /// By client alone, once there is more to tell apart than is kept.
    coarse: Limiter<ClientKey, C>,
}

type Limiter<K, C> = RateLimiter<K, DefaultKeyedStateStore<K>, C, NoOpMiddleware<<C as Clock>::Instant>>;

impl Rates {
    #[expect(clippy::new_without_default, reason = "what limits has no default")]
    pub fn new() -> Self {
        Self::by(DefaultClock::default())
    }
}

impl<C: Clock + Clone> Rates<C> {
    fn by(clock: C) -> Self {
        let swept = Mutex::new(clock.now());
        Self { clock, counts: RwLock::default(), swept }
    }

    /// Counts one more request of this client to this host, unless that is more than the rate lets through.
    pub fn admits(&self, rate: &Arc<Rate>, client: &Client, host: &Host) -> bool {
        let client = ClientKey::of(client.address.ip());
        let host = match rate.per {
            RatePer::Client => None,
            RatePer::ClientHost => Some(host.clone()),
        };
        let count = self.count_of(rate);
        admits(&count.fine, &(client, host)).or_else(|| admits(&count.coarse, &client)).unwrap_or(false)
    }

    fn count_of(&self, rate: &Arc<Rate>) -> Arc<Count<C>> {
        if let Some(count) = self.counts.read().unwrap_or_else(PoisonError::into_inner).get(rate) {
            return count.clone();
        }
        let mut counts = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= RATES_MAX {
            counts.clear();
        }
        counts.entry(rate.clone()).or_insert_with(|| Arc::new(Count::new(rate, &self.clock))).clone()
    }

    /// Forgets whoever has long been within its rate. To be called about once a second, by any thread.
    pub fn sweep(&self) {
        {
            let Ok(mut swept) = self.swept.try_lock() else { return };
            let now = self.clock.now();
            if now.duration_since(*swept) < SWEEP_EVERY.into() {
                return;
            }
            *swept = now;
        }
        let counts: Vec<_> = {
            let counts = self.counts.read().unwrap_or_else(PoisonError::into_inner);
            counts.iter().map(|(rate, count)| (rate.clone(), count.clone())).collect()
        };
        let idle: Vec<_> = counts.into_iter().filter(|(_, count)| count.sweep() == 0).map(|(rate, _)| rate).collect();
        if idle.is_empty() {
            return;
        }
        let mut counts = self.counts.write().unwrap_or_else(PoisonError::into_inner);
        for rate in &idle {
            // Somebody may have asked meanwhile.
            if counts.get(rate).is_some_and(|count| Arc::strong_count(count) == 1 && count.sweep() == 0) {
                counts.remove(rate);
            }
        }
    }
}

impl<C: Clock + Clone> Count<C> {
    fn new(rate: &Rate, clock: &C) -> Self {
        let quota = quota(rate);
        Self {
            fine: RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone()),
            coarse: RateLimiter::new(quota, DefaultKeyedStateStore::default(), clock.clone()),
        }
    }

    /// How many keys are left.
    fn sweep(&self) -> usize {
        forget(&self.fine) + forget(&self.coarse)
    }
}

/// Absent where no further key is told apart.
fn admits<K, C>(limiter: &Limiter<K, C>, key: &K) -> Option<bool>
where
    K: Hash + Eq + Clone,
    C: Clock,
{
    (limiter.len() < TOLD_APART_MAX).then(|| limiter.check_key(key).is_ok())
}

/// Forgets the keys that count as new ones would, and says how many are left.
fn forget<K, C>(limiter: &Limiter<K, C>) -> usize
where
    K: Hash + Eq + Clone,
    C: Clock,
{
    limiter.retain_recent();
    limiter.shrink_to_fit();
    limiter.len()
}

/// All of the rate's requests at once, and each comes back after its share of the time.
fn quota(rate: &Rate) -> Quota {
    let requests = NonZeroU32::new(rate.requests).unwrap_or(NonZeroU32::MIN);
    let share = (rate.over / requests.get()).max(Duration::from_nanos(1));
    // A period is refused at zero only.
    Quota::with_period(share).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(requests)
}

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn rate(requests: u32, seconds: u64, per: RatePer) -> Arc<Rate> {
        Arc::new(Rate { file: "p.toml".into(), line: 7, requests, over: Duration::from_secs(seconds), per })
    }

    fn client(address: &str) -> Client {
        Client { address: address.parse().unwrap(), user: None }
    }

    fn host(name: &str) -> Host {
        Host::parse(name.as_bytes()).unwrap()
    }

    fn counted() -> (FakeRelativeClock, Rates<FakeRelativeClock>) {
        let clock = FakeRelativeClock::default();
        (clock.clone(), Rates::by(clock))
    }

    #[test]
    fn so_many_pass_at_once_and_as_many_again_in_its_time_and_no_more() {
        let (clock, rates) = counted();
        let (rate, one, a) = (rate(3, 60, RatePer::Client), client("10.0.0.1:1"), host("a.example"));
        let passed = |times: usize| (0..times).filter(|_| rates.admits(&rate, &one, &a)).count();
        assert_eq!(passed(10), 3);
        clock.advance(Duration::from_secs(19));
        assert_eq!(passed(10), 0);
        clock.advance(Duration::from_secs(1));
        assert_eq!(passed(10), 1, "a third of the minute brings one of three back");
        clock.advance(Duration::from_secs(60));
        assert_eq!(passed(10), 3);
    }

    #[test]
    fn clients_count_apart_and_hosts_only_where_the_rate_says_so() {
        let (_, rates) = counted();
        let (one, other) = (client("10.0.0.1:1"), client("10.0.0.2:1"));
        let by_client = rate(1, 60, RatePer::Client);
        assert!(rates.admits(&by_client, &one, &host("a.example")));
        assert!(!rates.admits(&by_client, &one, &host("b.example")));
        assert!(!rates.admits(&by_client, &client("10.0.0.1:2"), &host("a.example")), "whatever its port");
        assert!(rates.admits(&by_client, &other, &host("a.example")));
        let by_host = rate(1, 60, RatePer::ClientHost);
        assert!(rates.admits(&by_host, &one, &host("a.example")));
        assert!(rates.admits(&by_host, &one, &host("b.example")));
        assert!(!rates.admits(&by_host, &one, &host("A.example.")), "the same name");
    }

    #[test]
    fn another_rate_counts_for_itself_and_the_same_of_a_later_policy_goes_on() {
        let (_, rates) = counted();
        let (one, a) = (client("10.0.0.1:1"), host("a.example"));
        assert!(rates.admits(&rate(1, 60, RatePer::Client), &one, &a));
        assert!(!rates.admits(&rate(1, 60, RatePer::Client), &one, &a));
        let elsewhere = Rate { line: 8, ..Rate::clone(&rate(1, 60, RatePer::Client)) };
        assert!(rates.admits(&Arc::new(elsewhere), &one, &a));
    }

    #[test]
    fn whoever_is_within_the_rate_again_takes_no_room_and_whoever_is_not_stays() {
        let (clock, rates) = counted();
        let (rate, a) = (rate(2, 60, RatePer::Client), host("a.example"));
        let passed = |address: &str| (0..3).filter(|_| rates.admits(&rate, &client(address), &a)).count();
        assert_eq!(passed("10.0.0.1:1"), 2);
        clock.advance(Duration::from_secs(45));
        assert_eq!(passed("10.0.0.2:1"), 2);
        clock.advance(Duration::from_secs(46));
        rates.sweep();
        assert_eq!(rates.count_of(&rate).fine.len(), 1);
        assert_eq!(passed("10.0.0.2:1"), 1, "what is not forgotten still counts");
        clock.advance(Duration::from_secs(120));
        rates.sweep();
        assert!(rates.counts.read().unwrap().is_empty());
    }

    #[test]
    fn a_client_that_asks_for_every_host_is_counted_as_one_and_others_are_not_held_up() {
        let (_, rates) = counted();
        let (rate, one) = (rate(1, 3600, RatePer::ClientHost), client("10.0.0.1:1"));
        for n in 0..TOLD_APART_MAX {
            assert!(rates.admits(&rate, &one, &host(&format!("h{n}.example"))));
        }
        assert!(rates.admits(&rate, &one, &host("one-more.example")), "as its client, once");
        assert!(!rates.admits(&rate, &one, &host("and-another.example")));
        assert!(rates.admits(&rate, &client("10.0.0.2:1"), &host("a.example")));
        let count = rates.count_of(&rate);
        assert_eq!((count.fine.len(), count.coarse.len()), (TOLD_APART_MAX, 2));
    }
}
