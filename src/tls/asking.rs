use std::collections::HashMap;

use crate::facts::{ClientKey, Host, Timestamp};

use super::reach::{is_recent, is_same_day};

/// So many hosts are known; of more the one that asked longest ago goes.
const HOSTS_MAX: usize = 1000;
/// So many of its clients are known of a host; of further ones nothing is.
const CLIENTS_MAX: usize = 16;

/// Origins that asked for a certificate of the client, when the gate would have looked into what is said to them. They
/// are refused, and stay so: an origin could leave inspection by asking, if that were enough.
#[derive(Debug, Default)]
pub struct Asking {
    hosts: HashMap<(Host, u16), Asked>,
}

/// What is known of one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Whose requests it was that were refused, sixteen at most, the first first.
    pub clients: Vec<ClientKey>,
    /// How often.
    pub times: u64,
    pub first: Timestamp,
    pub last: Timestamp,
}

impl Asking {
    /// This origin has asked for a certificate of this client. Whether that is news worth keeping.
    pub fn asked(&mut self, client: ClientKey, host: &Host, port: u16, now: Timestamp) -> bool {
        let place = (host.clone(), port);
        if self.hosts.len() >= HOSTS_MAX && !self.hosts.contains_key(&place) {
            let oldest = self.hosts.iter().min_by_key(|(_, asked)| asked.last).map(|(place, _)| place.clone());
            oldest.map(|oldest| self.hosts.remove(&oldest));
        }
        let new = Asked { clients: Vec::new(), times: 0, first: now, last: now };
        let asked = self.hosts.entry(place).or_insert(new);
        let is_new_client = asked.clients.len() < CLIENTS_MAX && !asked.clients.contains(&client);
        let is_news = is_new_client || !is_same_day(asked.last, now);
        if is_new_client {
            asked.clients.push(client);
        }
        asked.times = asked.times.saturating_add(1);
        asked.last = now;
        is_news
    }

    /// Those that asked within 30 days: of most clients first, then by name and port.
    pub fn hosts(&self, now: Timestamp) -> Vec<(&Host, u16, &Asked)> {
        let recent = self.hosts.iter().filter(|(_, asked)| is_recent(asked.last, now));
        let mut hosts: Vec<_> = recent.map(|((host, port), asked)| (host, *port, asked)).collect();
        hosts.sort_by_cached_key(|(host, port, asked)| {
            (std::cmp::Reverse(asked.clients.len()), host.to_string(), *port)
        });
        hosts
    }

    /// Takes up what was kept of an origin.
    pub fn take_up(&mut self, host: Host, port: u16, mut asked: Asked) {
        asked.clients.truncate(CLIENTS_MAX);
        if self.hosts.len() < HOSTS_MAX {
            self.hosts.insert((host, port), asked);
        }
    }
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
    fn an_origin_is_counted_by_port_and_client_and_is_news_once_a_day_for_each() {
        let (mut asking, bank) = (Asking::default(), host("bank.test"));
        assert!(asking.asked(client(1), &bank, 443, NOW) && !asking.asked(client(1), &bank, 443, NOW));
        assert!(asking.asked(client(2), &bank, 443, NOW), "another client");
        assert!(asking.asked(client(1), &bank, 8443, NOW), "another port");
        assert!(asking.asked(client(1), &bank, 443, days(1)), "another day");
        let hosts = asking.hosts(days(1));
        let told: Vec<_> = hosts.iter().map(|(_, port, asked)| (*port, asked.clients.len(), asked.times)).collect();
        assert_eq!(told, [(443, 2, 4), (8443, 1, 1)]);
        assert_eq!((hosts[0].2.first, hosts[0].2.last), (NOW, days(1)));
    }

    #[test]
    fn who_did_not_ask_for_a_month_is_not_told_of() {
        let mut asking = Asking::default();
        asking.asked(client(1), &host("bank.test"), 443, NOW);
        assert_eq!((asking.hosts(days(29)).len(), asking.hosts(days(30)).len()), (1, 0));
    }

    #[test]
    fn hosts_and_their_clients_are_bounded_and_the_oldest_host_makes_room() {
        let mut asking = Asking::default();
        for number in 0..100 {
            asking.asked(client(number), &host("bank.test"), 443, NOW);
        }
        assert_eq!((asking.hosts(NOW)[0].2.clients.len(), asking.hosts(NOW)[0].2.times), (CLIENTS_MAX, 100));
        for number in 0..HOSTS_MAX {
            asking.asked(client(1), &host(&format!("{number}.test")), 443, days(1));
        }
        let hosts = asking.hosts(days(1));
        assert_eq!(hosts.len(), HOSTS_MAX);
        assert!(hosts.iter().all(|(found, _, _)| **found != host("bank.test")), "it asked longest ago");
    }
}
