//! How often: what a client has asked for, counted against the `rate` of the rule that lets it out.
//!
//! A count is a generic cell rate algorithm: so many requests at once, and then as many as come back in the
//! rate's time, evenly. It counts; that more is denied, policy says.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
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

/// Between two sweeps, whoever asks for them.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What every client has asked for by the rules of one policy that have a rate: a count for each of these, and
/// no other.
pub struct Rates<C: Clock = DefaultClock> {
    clock: C,
    counts: HashMap<Arc<Rate>, Arc<Count<C>>>,
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
    /// Counts for these. One that was counted `before`, at the same place of the policy, goes on.
    pub fn of<'r>(rates: impl Iterator<Item = &'r Arc<Rate>>, before: Option<&Self>) -> Self {
        Self::by(DefaultClock::default(), rates, before)
    }
}

impl<C: Clock + Clone> Rates<C> {
    fn by<'r>(clock: C, rates: impl Iterator<Item = &'r Arc<Rate>>, before: Option<&Self>) -> Self {
        let kept = |rate: &Arc<Rate>| before.and_then(|before| before.counts.get(rate)).cloned();
        let count = |rate: &Arc<Rate>| kept(rate).unwrap_or_else(|| Arc::new(Count::new(rate, &clock)));
        let counts = rates.map(|rate| (rate.clone(), count(rate))).collect();
        let swept = Mutex::new(clock.now());
        Self { clock, counts, swept }
    }

    /// Counts one more request of this client to this host, unless that is more than the rate lets through. By a
    /// rate that is not counted here nothing passes.
    pub fn admits(&self, rate: &Rate, client: &Client, host: &Host) -> bool {
        let Some(count) = self.counts.get(rate) else { return false };
        let client = ClientKey::of(client.address.ip());
        let host = match rate.per {
            RatePer::Client => None,
            RatePer::ClientHost => Some(host.clone()),
        };
        admits(&count.fine, &(client, host)).or_else(|| admits(&count.coarse, &client)).unwrap_or(false)
    }

    /// Forgets whoever has long been within its rate. To be called about once a second, by any thread.
    pub fn sweep(&self) {
        let Ok(mut swept) = self.swept.try_lock() else { return };
        let now = self.clock.now();
        if now.duration_since(*swept) < SWEEP_EVERY.into() {
            return;
        }
        *swept = now;
        for count in self.counts.values() {
            forget(&count.fine);
            forget(&count.coarse);
        }
    }
}

impl<C: Clock> fmt::Debug for Rates<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rates").field("rates", &self.counts.keys()).finish_non_exhaustive()
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
}

/// Absent where no further key is told apart.
fn admits<K, C>(limiter: &Limiter<K, C>, key: &K) -> Option<bool>
where
    K: Hash + Eq + Clone,
    C: Clock,
{
    (limiter.len() < TOLD_APART_MAX).then(|| limiter.check_key(key).is_ok())
}

/// Forgets the keys that count as new ones would.
fn forget<K, C>(limiter: &Limiter<K, C>)
where
    K: Hash + Eq + Clone,
    C: Clock,
{
    limiter.retain_recent();
    limiter.shrink_to_fit();
}

/// All of the rate's requests at once, and each comes back after its share of the time.
fn quota(rate: &Rate) -> Quota {
    let requests = NonZeroU32::new(rate.requests).unwrap_or(NonZeroU32::MIN);
    let share = rate.pause().max(Duration::from_nanos(1));
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
        Client::at(address.parse().unwrap())
    }

    fn host(name: &str) -> Host {
        Host::parse(name.as_bytes()).unwrap()
    }

    fn counted<const N: usize>(of: [&Arc<Rate>; N]) -> (FakeRelativeClock, Rates<FakeRelativeClock>) {
        let clock = FakeRelativeClock::default();
        (clock.clone(), Rates::by(clock, of.into_iter(), None))
    }

    #[test]
    fn so_many_pass_at_once_and_as_many_again_in_its_time_and_no_more() {
        let (rate, one, a) = (rate(3, 60, RatePer::Client), client("10.0.0.1:1"), host("a.example"));
        let (clock, rates) = counted([&rate]);
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
        let (by_client, by_host) = (rate(1, 60, RatePer::Client), rate(1, 60, RatePer::ClientHost));
        let (_, rates) = counted([&by_client, &by_host]);
        let (one, other) = (client("10.0.0.1:1"), client("10.0.0.2:1"));
        assert!(rates.admits(&by_client, &one, &host("a.example")));
        assert!(!rates.admits(&by_client, &one, &host("b.example")));
        assert!(!rates.admits(&by_client, &client("10.0.0.1:2"), &host("a.example")), "whatever its port");
        assert!(rates.admits(&by_client, &other, &host("a.example")));
        assert!(rates.admits(&by_host, &one, &host("a.example")));
        assert!(rates.admits(&by_host, &one, &host("b.example")));
        assert!(!rates.admits(&by_host, &one, &host("A.example.")), "the same name");
    }

    #[test]
    fn the_same_rate_of_a_later_policy_goes_on_and_one_that_no_rule_has_lets_nothing_through() {
        let (one, a) = (client("10.0.0.1:1"), host("a.example"));
        let same = || rate(1, 60, RatePer::Client);
        let elsewhere = Arc::new(Rate { line: 8, ..Rate::clone(&same()) });
        let (clock, rates) = counted([&same()]);
        assert!(rates.admits(&same(), &one, &a));
        assert!(!rates.admits(&elsewhere, &one, &a));
        let later = Rates::by(clock, [&same(), &elsewhere].into_iter(), Some(&rates));
        assert!(!later.admits(&same(), &one, &a));
        assert!(later.admits(&elsewhere, &one, &a), "it counts for itself");
        assert_eq!(later.counts.len(), 2);
    }

    #[test]
    fn whoever_is_within_the_rate_again_takes_no_room_and_whoever_is_not_stays() {
        let (rate, a) = (rate(2, 60, RatePer::Client), host("a.example"));
        let (clock, rates) = counted([&rate]);
        let passed = |address: &str| (0..3).filter(|_| rates.admits(&rate, &client(address), &a)).count();
        assert_eq!(passed("10.0.0.1:1"), 2);
        clock.advance(Duration::from_secs(45));
        assert_eq!(passed("10.0.0.2:1"), 2);
        clock.advance(Duration::from_secs(46));
        rates.sweep();
        let kept = || rates.counts.values().map(|count| count.fine.len()).sum::<usize>();
        assert_eq!(kept(), 1);
        assert_eq!(passed("10.0.0.2:1"), 1, "what is not forgotten still counts");
        clock.advance(Duration::from_secs(120));
        rates.sweep();
        assert_eq!(kept(), 0);
    }

    #[test]
    fn a_client_that_asks_for_every_host_is_counted_as_one_and_others_are_not_held_up() {
        let (rate, one) = (rate(1, 3600, RatePer::ClientHost), client("10.0.0.1:1"));
        let (_, rates) = counted([&rate]);
        for n in 0..TOLD_APART_MAX {
            assert!(rates.admits(&rate, &one, &host(&format!("h{n}.example"))));
        }
        assert!(rates.admits(&rate, &one, &host("one-more.example")), "as its client, once");
        assert!(!rates.admits(&rate, &one, &host("and-another.example")));
        assert!(rates.admits(&rate, &client("10.0.0.2:1"), &host("a.example")));
        let count = rates.counts.values().next().unwrap();
        assert_eq!((count.fine.len(), count.coarse.len()), (TOLD_APART_MAX, 2));
    }

    #[test]
    fn clients_beyond_all_that_are_told_apart_are_over_the_rate() {
        let rate = rate(1, 3600, RatePer::Client);
        let (_, rates) = counted([&rate]);
        let client = |n: usize| Client::at(([10, (n >> 16) as u8, (n >> 8) as u8, n as u8], 1).into());
        let a = host("a.example");
        assert!((0..2 * TOLD_APART_MAX).all(|n| rates.admits(&rate, &client(n), &a)));
        assert!(!rates.admits(&rate, &client(2 * TOLD_APART_MAX), &a));
    }
}
