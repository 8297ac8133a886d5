use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::facts::{ClientKey, Host, Timestamp};

/// Clients of which something is known. Of further ones nothing is, until others were not heard of for a month.
const CLIENTS_MAX: usize = 50_000;
/// Hosts that one client has refused; of more the oldest goes.
const HOSTS_MAX: usize = 16;
/// What was seen longer ago says nothing of today.
const RECENT: Duration = Duration::from_secs(30 * 86_400);

/// Which clients have taken certificates of the gate's authority, and which have not: by the handshakes of tunnels that
/// were looked into.
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
    /// The hosts whose certificates it has refused since it took one for them, if ever; the oldest first.
    pub refused: Vec<(Host, Timestamp)>,
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
        let before = seen.refused.len();
        seen.refused.retain(|(other, at)| other != host && is_recent(*at, now));
        if accepted {
            let is_news = seen.refused.len() != before || !seen.accepted.is_some_and(|at| is_same_day(at, now));
            seen.accepted = Some(now);
            return is_news;
        }
        if seen.refused.len() >= HOSTS_MAX {
            seen.refused.remove(0);
        }
        seen.refused.push((host.clone(), now));
        true
    }

    /// Every client, by its address.
    pub fn clients(&self) -> BTreeMap<ClientKey, &Seen> {
        self.clients.iter().map(|(client, seen)| (*client, seen)).collect()
    }

    /// Hosts for which a rule without inspection may be wanted, with how many clients refuse them that take the
    /// certificates of others: their programs pin certificates there. Nothing is exempted by this.
    pub fn pinned(&self, now: Timestamp) -> BTreeMap<String, usize> {
        let mut pinned = BTreeMap::new();
        for seen in self.clients.values().filter(|seen| seen.reached(now) == Reached::Trusts) {
            for (host, _) in seen.refused.iter().filter(|(_, at)| is_recent(*at, now)) {
                *pinned.entry(host.to_string()).or_default() += 1;
            }
        }
        pinned
    }

    /// Takes up what was kept of a client.
    pub fn take_up(&mut self, client: ClientKey, mut seen: Seen) {
        seen.refused.truncate(HOSTS_MAX);
        if self.clients.len() < CLIENTS_MAX {
            self.clients.insert(client, seen);
        }
    }
}

impl Seen {
    /// What it says of its client now.
    pub fn reached(&self, now: Timestamp) -> Reached {
        if self.accepted.is_some_and(|at| is_recent(at, now)) {
            Reached::Trusts
        } else if self.refused.iter().any(|(_, at)| is_recent(*at, now)) {
            Reached::Lacks
        } else {
            Reached::Unknown
        }
    }
}

fn is_recent(at: Timestamp, now: Timestamp) -> bool {
    Duration::from_micros(now.0.abs_diff(at.0)) < RECENT
}

fn is_same_day(at: Timestamp, now: Timestamp) -> bool {
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

    fn days(count: u64) -> Timestamp {
        Timestamp(NOW.0 + count * 86_400 * 1_000_000)
    }

    #[test]
    fn who_refuses_all_lacks_it_and_who_refuses_one_host_pins_there() {
        let (mut reach, shop, bank) = (Reach::default(), host("shop.test"), host("bank.test"));
        assert!(reach.shook(client(1), &shop, true, NOW) && reach.shook(client(1), &bank, false, NOW));
        assert!(reach.shook(client(2), &shop, false, NOW) && reach.shook(client(2), &bank, false, NOW));
        let reached: Vec<_> = reach.clients().values().map(|seen| seen.reached(NOW)).collect();
        assert_eq!(reached, [Reached::Trusts, Reached::Lacks]);
        assert_eq!(reach.pinned(NOW), BTreeMap::from([("bank.test".to_owned(), 1)]), "who lacks it pins nothing");
        assert!(!reach.shook(client(1), &shop, true, NOW), "nothing new");
        assert!(reach.shook(client(1), &bank, true, NOW), "it takes it after all");
        assert!(reach.pinned(NOW).is_empty());
    }

    #[test]
    fn what_was_seen_a_month_ago_says_nothing() {
        let (mut reach, shop) = (Reach::default(), host("shop.test"));
        reach.shook(client(1), &shop, true, NOW);
        reach.shook(client(2), &shop, false, NOW);
        let reached = |at| reach.clients().values().map(|seen| seen.reached(at)).collect::<Vec<_>>();
        assert_eq!(reached(days(29)), [Reached::Trusts, Reached::Lacks]);
        assert_eq!(reached(days(30)), [Reached::Unknown, Reached::Unknown]);
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
        assert_eq!(reach.clients()[&client(0)].refused.len(), HOSTS_MAX);
        let last = client(CLIENTS_MAX as u32);
        assert!(!reach.shook(last, &shop, true, NOW) && reach.shook(last, &shop, true, days(31)));
        assert_eq!(reach.clients().len(), 1);
    }
}
