use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::facts::{ClientKey, Host, Timestamp};

/// Clients of which something is known. Of further ones nothing is, until others were not heard of for a month.
const CLIENTS_MAX: usize = 50_000;
/// Hosts that one client has refused; of more the oldest goes.
const HOSTS_MAX: usize = 16;
/// What was seen longer ago says nothing of today.
pub(super) const RECENT: Duration = Duration::from_secs(30 * 86_400);

/// Which clients have taken certificates of the gate's authority, and which have not: by the handshakes of tunnels that
/// were looked into.
///
/// It judges on two axes. A client that refuses whatever it is shown lacks the authority, and says nothing of hosts. One
/// that takes the certificates of some hosts, before it refuses another's and after it, has a program that pins
/// certificates there. A client is a machine: where a browser on it takes what another program refuses, the host counts
/// as taken for as long as the browser was the last.
#[derive(Debug, Default)]
pub struct Reach {
    clients: HashMap<ClientKey, Seen>,
    /// When it was looked for what is over, at the bound.
    swept: Option<Timestamp>,
}

/// What one client made of certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// When it took one last.
    pub accepted: Option<Timestamp>,
    /// The hosts whose certificates it has refused since it took one for them, if ever; the one refused last is last.
    /// What it refused before it took its first certificate is not among them: it lacked the authority then.
    pub refused: Vec<Refusal>,
}

/// A host whose certificate a client does not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub host: Host,
    pub first: Timestamp,
    pub last: Timestamp,
}

/// A host at which programs pin certificates, as it seems.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    pub host: Host,
    /// The clients that refuse it and take others, by address.
    pub clients: Vec<ClientKey>,
    /// When one of them refused it first, and last.
    pub first: Timestamp,
    pub last: Timestamp,
}

/// What that says of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reached {
    /// It has taken certificates.
    Trusts,
    /// It has refused all.
    Lacks,
    /// Nothing was seen of it lately.
    Unknown,
}

impl Reached {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trusts => "trusts",
            Self::Lacks => "lacks",
            Self::Unknown => "unknown",
        }
    }
}

impl Reach {
    /// A client has taken the certificate for this host, or refused it by an alert. Whether that is news worth keeping.
    pub fn shook(&mut self, client: ClientKey, host: &Host, accepted: bool, now: Timestamp) -> bool {
        if self.clients.len() >= CLIENTS_MAX && !self.clients.contains_key(&client) {
            // A walk over all of them once a second at most: handshakes wait for its end.
            if self.swept.is_none_or(|swept| now.0.abs_diff(swept.0) >= 1_000_000) {
                self.swept = Some(now);
                self.clients.retain(|_, seen| seen.reached(now) != Reached::Unknown);
            }
            if self.clients.len() >= CLIENTS_MAX {
                return false;
            }
        }
        let seen = self.clients.entry(client).or_default();
        if accepted { seen.accept(host, now) } else { seen.refuse(host, now) }
    }

    /// Every client, by its address.
    pub fn clients(&self) -> BTreeMap<ClientKey, &Seen> {
        self.clients.iter().map(|(client, seen)| (*client, seen)).collect()
    }

    /// Hosts for which a rule without inspection may be wanted: those that most clients refuse first, then by name.
    /// Nothing is exempted by this.
    pub fn pinned(&self, now: Timestamp) -> Vec<Pinned> {
        let mut found = BTreeMap::<String, Pinned>::new();
        for (client, seen) in self.clients() {
            for Refusal { host, first, last } in seen.pins(now) {
                let new = || Pinned { host: host.clone(), clients: Vec::new(), first: *first, last: *last };
                let pinned = found.entry(host.to_string()).or_insert_with(new);
                pinned.clients.push(client);
                pinned.first = pinned.first.min(*first);
                pinned.last = pinned.last.max(*last);
            }
        }
        let mut pinned: Vec<_> = found.into_values().collect();
        // Stable: by name where they are equal.
        pinned.sort_by_key(|pinned| std::cmp::Reverse(pinned.clients.len()));
        pinned
    }

    /// Takes up what was kept of a client.
    pub fn take_up(&mut self, client: ClientKey, mut seen: Seen) {
        seen.refused.truncate(HOSTS_MAX);
        if self.clients.len() < CLIENTS_MAX {
            self.clients.insert(client, seen);
        }
    }

    /// Another authority vouches: what clients made of the one before says nothing of it. They stay known, as clients of
    /// which nothing was seen but what they made of the new one when they tried it.
    pub fn follow(&mut self, tried: Self) {
        self.clients.values_mut().for_each(|seen| *seen = Seen::default());
        for (client, seen) in tried.clients {
            // What it refused before others were vouched for is no pin.
            let refused = if seen.accepted.is_some() { Vec::new() } else { seen.refused };
            self.take_up(client, Seen { accepted: seen.accepted, refused });
        }
    }
}

impl Seen {
    /// What it says of its client now.
    pub fn reached(&self, now: Timestamp) -> Reached {
        if self.accepted.is_some_and(|at| is_recent(at, now)) {
            Reached::Trusts
        } else if self.refused.iter().any(|refusal| is_recent(refusal.last, now)) {
            Reached::Lacks
        } else {
            Reached::Unknown
        }
    }

    fn accept(&mut self, host: &Host, now: Timestamp) -> bool {
        let (reached, before) = (self.reached(now), self.refused.len());
        if reached == Reached::Trusts {
            self.refused.retain(|refusal| refusal.host != *host && is_recent(refusal.last, now));
        } else {
            self.refused.clear();
        }
        // The first one that it takes after a refusal makes that a pin.
        let makes_pin = self.refused.iter().any(|refusal| self.accepted.is_none_or(|at| at < refusal.first));
        let is_new_day = !self.accepted.is_some_and(|at| is_same_day(at, now));
        self.accepted = Some(now);
        is_new_day || makes_pin || self.refused.len() != before
    }

    fn refuse(&mut self, host: &Host, now: Timestamp) -> bool {
        self.refused.retain(|refusal| is_recent(refusal.last, now));
        let known = self.refused.iter().position(|refusal| refusal.host == *host);
        let first = match known {
            Some(known) => self.refused.remove(known).first,
            None => now,
        };
        if self.refused.len() >= HOSTS_MAX {
            self.refused.remove(0);
        }
        self.refused.push(Refusal { host: host.clone(), first, last: now });
        true
    }

    /// Where its client pins certificates: it has taken another's after it had refused this one. Who takes none any more
    /// has lost the authority.
    fn pins(&self, now: Timestamp) -> impl Iterator<Item = &Refusal> {
        let accepted = self.accepted.filter(|at| is_recent(*at, now));
        self.refused.iter().filter(move |refusal| {
            is_recent(refusal.last, now) && accepted.is_some_and(|accepted| accepted >= refusal.first)
        })
    }
}

pub(super) fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    Duration::from_micros(now.0.abs_diff(at.0)) < RECENT
}

pub(super) fn is_same_day(at: Timestamp, now: Timestamp) -> bool {
    const DAY_US: u64 = 86_400 * 1_000_000;
    at.0 / DAY_US == now.0 / DAY_US
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn client(number: u32) -> ClientKey {
        ClientKey::of(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into())
    }

    fn host(name: &str) -> Host {
        Host::parse(name.as_bytes()).unwrap()
    }

    fn seconds(count: u64) -> Timestamp {
        Timestamp(NOW.0 + count * 1_000_000)
    }

    fn days(count: u64) -> Timestamp {
        seconds(count * 86_400)
    }

    fn reached(reach: &Reach, now: Timestamp) -> Vec<Reached> {
        reach.clients().values().map(|seen| seen.reached(now)).collect()
    }

    /// Each pinned host with how many clients refuse it.
    fn pinned(reach: &Reach, now: Timestamp) -> Vec<(String, usize)> {
        reach.pinned(now).iter().map(|pinned| (pinned.host.to_string(), pinned.clients.len())).collect()
    }

    /// What clients did, one a second: `+` for a certificate that was taken.
    fn after(acts: &[(u32, &str)]) -> Reach {
        let mut reach = Reach::default();
        for (at, (number, act)) in acts.iter().enumerate() {
            let (accepted, name) = act.split_at(1);
            reach.shook(client(*number), &host(name), accepted == "+", seconds(at as u64));
        }
        reach
    }

    #[test]
    fn who_refuses_all_lacks_it_and_who_refuses_one_host_between_others_pins_there() {
        let acts = [(1, "+shop.test"), (1, "-bank.test"), (2, "-shop.test"), (2, "-bank.test")];
        let reach = after(&acts);
        assert_eq!(reached(&reach, days(1)), [Reached::Trusts, Reached::Lacks]);
        assert!(pinned(&reach, days(1)).is_empty(), "the one may have lost the authority, the other lacks it");
        let reach = after(&[&acts[..], &[(1, "+shop.test")]].concat());
        assert_eq!(pinned(&reach, days(1)), [("bank.test".to_owned(), 1)], "who lacks it pins nothing");
        let reach = after(&[&acts[..], &[(1, "+shop.test"), (1, "+bank.test")]].concat());
        assert!(pinned(&reach, days(1)).is_empty(), "it takes it after all");
    }

    #[test]
    fn a_client_that_refuses_two_of_many_pins_at_both() {
        let reach =
            after(&[(1, "+a.test"), (1, "-x.test"), (1, "+b.test"), (1, "-y.test"), (1, "-x.test"), (1, "+c.test")]);
        assert_eq!(pinned(&reach, NOW), [("x.test".to_owned(), 1), ("y.test".to_owned(), 1)]);
        let told = reach.pinned(NOW);
        assert_eq!((told[0].first, told[0].last), (seconds(1), seconds(4)));
    }

    #[test]
    fn a_host_that_everybody_refuses_for_want_of_the_authority_is_not_pinned_also_when_they_get_it() {
        let refusals: Vec<_> = (1..=5).flat_map(|number| [(number, "-shop.test"), (number, "-bank.test")]).collect();
        assert!(pinned(&after(&refusals), NOW).is_empty());
        let got: Vec<_> = (1..=5).map(|number| (number, "+news.test")).collect();
        let reach = after(&[refusals, got].concat());
        assert_eq!(reached(&reach, days(1)), [Reached::Trusts; 5]);
        assert!(pinned(&reach, days(1)).is_empty(), "what it refused before it trusted is no pin");
    }

    #[test]
    fn the_host_that_most_clients_refuse_comes_first_and_one_client_is_enough_to_be_named() {
        let acts = [
            (1, "+shop.test"),
            (1, "-a.test"),
            (1, "-z.test"),
            (1, "+shop.test"),
            (2, "+a.test"),
            (2, "-z.test"),
            (2, "+a.test"),
        ];
        let reach = after(&acts);
        assert_eq!(pinned(&reach, NOW), [("z.test".to_owned(), 2), ("a.test".to_owned(), 1)]);
        assert_eq!(reach.pinned(NOW)[1].clients, [client(1)], "who takes it is not named");
    }

    #[test]
    fn what_was_seen_a_month_ago_says_nothing() {
        let mut reach = after(&[(1, "+shop.test"), (1, "-bank.test"), (1, "+shop.test"), (2, "-shop.test")]);
        assert_eq!(reached(&reach, days(29)), [Reached::Trusts, Reached::Lacks]);
        assert_eq!(reached(&reach, days(31)), [Reached::Unknown, Reached::Unknown]);
        assert_eq!(pinned(&reach, days(29)).len(), 1);
        reach.shook(client(1), &host("shop.test"), true, days(29));
        assert!(pinned(&reach, days(31)).is_empty());
    }

    #[test]
    fn only_what_changes_the_picture_is_news() {
        let (mut reach, shop, bank) = (Reach::default(), host("shop.test"), host("bank.test"));
        assert!(reach.shook(client(1), &shop, true, NOW) && reach.shook(client(1), &bank, false, seconds(1)));
        assert!(reach.shook(client(1), &shop, true, seconds(2)), "now the other is pinned");
        assert!(!reach.shook(client(1), &shop, true, seconds(3)), "nothing new");
        assert!(reach.shook(client(1), &bank, true, seconds(4)) && reach.shook(client(1), &bank, true, days(1)));
    }

    #[test]
    fn of_another_authority_nothing_is_known_but_who_its_clients_are() {
        let mut reach = after(&[(1, "+shop.test"), (1, "-bank.test"), (1, "+shop.test"), (2, "-shop.test")]);
        reach.follow(Reach::default());
        assert_eq!(reached(&reach, NOW), [Reached::Unknown, Reached::Unknown]);
        assert!(pinned(&reach, NOW).is_empty());
        // But for what they made of it when they tried it.
        reach.follow(after(&[(2, "-trial.test"), (2, "+trial.test"), (3, "-trial.test")]));
        assert_eq!(reached(&reach, NOW), [Reached::Unknown, Reached::Trusts, Reached::Lacks]);
        assert!(pinned(&reach, NOW).is_empty());
    }

    #[test]
    fn clients_and_their_hosts_are_bounded_and_what_is_over_makes_room() {
        let (mut reach, shop) = (Reach::default(), host("shop.test"));
        for number in 0..CLIENTS_MAX as u32 {
            reach.shook(client(number), &shop, true, NOW);
        }
        for number in 0..100 {
            reach.shook(client(0), &host(&format!("{number}.test")), false, NOW);
        }
        let refused = &reach.clients()[&client(0)].refused;
        assert_eq!((refused.len(), refused[0].host.to_string()), (HOSTS_MAX, "84.test".to_owned()));
        let last = client(CLIENTS_MAX as u32);
        assert!(!reach.shook(last, &shop, true, NOW) && reach.shook(last, &shop, true, days(31)));
        assert_eq!(reach.clients().len(), 1);
    }
}
