//! What log-ins tell beside their outcome: grounds for findings, never decisions.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::facts::{ClientKey, Moment};

/// A ground, said once when it appears and again whenever it has doubled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ground {
    /// A client's credentials were wrong so often within [`SERIES_SPAN`].
    FailedSeries { client: ClientKey, count: u32 },
    /// A client was asked to log in so often within [`SERIES_SPAN`], and did not answer. A browser that starts does
    /// so a few times; what does it on and on does not know how to.
    UnansweredSeries { client: ClientKey, count: u32 },
    /// A user has logged in from so many clients within [`TOGETHER_SPAN`]. Said whenever there is one more.
    SeveralClients { user: Box<str>, clients: u32 },
    /// A user has logged in when the policy says that nobody works. Said once in half a day of each client.
    OutOfHours { user: Box<str>, client: ClientKey },
}

/// A series that has not grown for this long is over.
pub const SERIES_SPAN: Duration = Duration::from_secs(10 * 60);
/// Log-ins of a user no further apart are at the same time.
pub const TOGETHER_SPAN: Duration = Duration::from_secs(10 * 60);
/// So many wrong credentials are a series. Somebody who has forgotten a password tries less often.
const FAILED_MIN: u32 = 8;
/// So many requests without an answer are a series. A browser with several tabs starts with fewer.
const UNANSWERED_MIN: u32 = 32;
/// Clients with a series under way; one more has none counted until others are over.
const CLIENTS_MAX: usize = 50_000;
/// Clients of one user that are told apart; of more the one that was used longest ago is forgotten.
pub(super) const CLIENTS_OF_USER_MAX: usize = 16;
/// A client by which a user has logged in is known as the user's for this long.
const KNOWN_SPAN: Duration = Duration::from_secs(12 * 3600);

impl Ground {
    /// The stable `snake_case` name that is written into evidence.
    pub fn name(&self) -> &'static str {
        match self {
            Ground::FailedSeries { .. } => "failed_log_ins",
            Ground::UnansweredSeries { .. } => "unanswered_log_ins",
            Ground::SeveralClients { .. } => "user_on_several_clients",
            Ground::OutOfHours { .. } => "log_in_out_of_hours",
        }
    }
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ground::FailedSeries { client, count } => write!(f, "{client} gave wrong credentials {count} times"),
            Ground::UnansweredSeries { client, count } => {
                write!(f, "{client} was asked to log in {count} times and did not")
            }
            Ground::OutOfHours { user, client } => {
                write!(f, "{user:?} has logged in from {client} out of office hours")
            }
            Ground::SeveralClients { user, clients } => {
                write!(f, "{:?} is logged in from {clients} clients at the same time", user)
            }
        }
    }
}

/// Counts what happened.
pub(super) struct Signs {
    failed: Series,
    unanswered: Series,
    /// By user, all of whom are in the files: the clients, each with its last log-in.
    clients: HashMap<Box<str>, Vec<(ClientKey, Moment)>>,
    /// Users and clients of which it was said lately that they log in out of hours.
    out_of_hours: HashMap<(Box<str>, ClientKey), Moment>,
}

impl Signs {
    pub(super) fn new() -> Self {
        Self {
            failed: Series::new(FAILED_MIN),
            unanswered: Series::new(UNANSWERED_MIN),
            clients: HashMap::new(),
            out_of_hours: HashMap::new(),
        }
    }

    /// A known user asks for something when nobody works.
    pub(super) fn out_of_hours(&mut self, name: &str, client: ClientKey, now: Moment) -> Option<Ground> {
        let key = (Box::from(name), client);
        if self.out_of_hours.get(&key).is_some_and(|said| now - *said <= KNOWN_SPAN) {
            return None;
        }
        if self.out_of_hours.len() >= CLIENTS_MAX {
            self.out_of_hours.retain(|_, said| now - *said <= KNOWN_SPAN);
        }
        // Beyond the bound it is said each time, which is better than never.
        if self.out_of_hours.len() < CLIENTS_MAX {
            self.out_of_hours.insert(key, now);
        }
        Some(Ground::OutOfHours { user: name.into(), client })
    }

    pub(super) fn failed(&mut self, client: ClientKey, now: Moment) -> Vec<Ground> {
        let count = self.failed.add(client, now);
        count.map(|count| Ground::FailedSeries { client, count }).into_iter().collect()
    }

    pub(super) fn unanswered(&mut self, client: ClientKey, now: Moment) -> Vec<Ground> {
        let count = self.unanswered.add(client, now);
        count.map(|count| Ground::UnansweredSeries { client, count }).into_iter().collect()
    }

    pub(super) fn logged_in(&mut self, name: &str, client: ClientKey, now: Moment) -> Vec<Ground> {
        let clients = match self.clients.get_mut(name) {
            Some(clients) => clients,
            None => self.clients.entry(name.into()).or_default(),
        };
        if let Some((_, last)) =
            clients.iter_mut().find(|(known, last)| *known == client && now - *last <= TOGETHER_SPAN)
        {
            *last = now;
            return Vec::new();
        }
        clients.retain(|(known, last)| *known != client && now - *last <= KNOWN_SPAN);
        if clients.len() == CLIENTS_OF_USER_MAX {
            let oldest = clients.iter().enumerate().min_by_key(|(_, (_, last))| *last).map(|(index, _)| index);
            oldest.map(|index| clients.swap_remove(index));
        }
        clients.push((client, now));
        let together = clients.iter().filter(|(_, last)| now - *last <= TOGETHER_SPAN).count();
        let ground = (together > 1).then(|| Ground::SeveralClients {
            user: name.into(),
            clients: u32::try_from(together).unwrap_or(u32::MAX),
        });
        ground.into_iter().collect()
    }

    /// Whether the user has logged in by this client lately.
    pub(super) fn knows(&self, name: &str, client: ClientKey, now: Moment) -> bool {
        let clients = self.clients.get(name).into_iter().flatten();
        clients.clone().any(|(known, last)| *known == client && now - *last <= KNOWN_SPAN)
    }

    /// Forgets every user who is not one any more.
    pub(super) fn keep(&mut self, is_user: impl Fn(&str) -> bool) {
        self.clients.retain(|name, _| is_user(name));
    }

    #[cfg(test)]
    fn series(&self) -> usize {
        self.failed.running.len().max(self.unanswered.running.len())
    }
}

/// Things of one kind that clients did one after the other.
struct Series {
    count_min: u32,
    running: HashMap<ClientKey, Run>,
    swept: Option<Moment>,
}

struct Run {
    count: u32,
    /// The count at which it is to be said.
    due: u32,
    last: Moment,
}

/// Between two sweeps of a map that is full.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

impl Series {
    fn new(count_min: u32) -> Self {
        Self { count_min, running: HashMap::new(), swept: None }
    }

    /// Counts one more; the count, where it is to be said.
    fn add(&mut self, client: ClientKey, now: Moment) -> Option<u32> {
        let begun = Run { count: 0, due: self.count_min, last: now };
        if !self.running.contains_key(&client) && self.running.len() >= CLIENTS_MAX {
            self.sweep(now);
            if self.running.len() >= CLIENTS_MAX {
                return None;
            }
        }
        let run = self.running.entry(client).or_insert(begun);
        if now - run.last > SERIES_SPAN {
            *run = Run { count: 0, due: self.count_min, last: now };
        }
        run.last = now;
        run.count = run.count.saturating_add(1);
        if run.count < run.due {
            return None;
        }
        run.due = run.due.saturating_mul(2);
        Some(run.count)
    }

    fn sweep(&mut self, now: Moment) {
        if self.swept.is_some_and(|swept| now - swept < SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now);
        self.running.retain(|_, run| now - run.last <= SERIES_SPAN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000;

    fn client(n: u32) -> ClientKey {
        ClientKey::of(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into())
    }

    #[test]
    fn a_series_is_said_when_it_is_one_and_whenever_it_has_doubled() {
        let mut signs = Signs::new();
        let one = client(1);
        let said: Vec<_> = (0..40).flat_map(|n| signs.failed(one, Moment(n * MINUTE))).collect();
        let expected = [8, 16, 32].map(|count| Ground::FailedSeries { client: one, count });
        assert_eq!(said, expected);
        let said: Vec<_> = (0..40).flat_map(|n| signs.unanswered(one, Moment(n * MINUTE))).collect();
        assert_eq!(said, [Ground::UnansweredSeries { client: one, count: 32 }]);
        assert_eq!(said[0].to_string(), "10.0.0.1 was asked to log in 32 times and did not");
        assert_eq!(said[0].name(), "unanswered_log_ins");
    }

    #[test]
    fn what_is_further_apart_than_the_span_is_no_series_and_clients_count_apart() {
        let mut signs = Signs::new();
        assert!((0..40).all(|n| signs.failed(client(1), Moment(n * 11 * MINUTE)).is_empty()));
        assert!((0..40).all(|n| signs.failed(client(n), Moment(500 * MINUTE)).is_empty()));
    }

    #[test]
    fn series_are_bounded_and_those_that_are_over_make_room() {
        let mut signs = Signs::new();
        for n in 0..50_500 {
            signs.failed(client(n), Moment(0));
        }
        assert_eq!(signs.series(), CLIENTS_MAX);
        assert!((0..20).all(|_| signs.failed(client(60_000), Moment(1)).is_empty()), "not counted, and nothing lost");
        let said: Vec<_> = (0..8).flat_map(|n| signs.failed(client(60_000), Moment(11 * MINUTE + n))).collect();
        assert_eq!(said.len(), 1);
        assert_eq!(signs.series(), 1);
    }

    #[test]
    fn a_user_on_a_further_client_at_the_same_time_is_said_once_and_a_move_is_not() {
        let mut signs = Signs::new();
        let at = |minutes: u64| Moment(minutes * MINUTE);
        assert_eq!(signs.logged_in("tanaka", client(1), at(0)), []);
        assert_eq!(signs.logged_in("tanaka", client(1), at(9)), []);
        assert_eq!(signs.logged_in("sato", client(2), at(9)), [], "another user");
        let said = signs.logged_in("tanaka", client(2), at(10));
        assert_eq!(said, [Ground::SeveralClients { user: "tanaka".into(), clients: 2 }]);
        assert_eq!(said[0].to_string(), "\"tanaka\" is logged in from 2 clients at the same time");
        assert_eq!(signs.logged_in("tanaka", client(1), at(11)), [], "said already");
        assert_eq!(signs.logged_in("tanaka", client(2), at(12)), []);
        assert_eq!(signs.logged_in("tanaka", client(3), at(40)), [], "a move to another place");
    }

    #[test]
    fn a_log_in_out_of_hours_is_said_once_of_each_client_in_half_a_day() {
        let mut signs = Signs::new();
        let mut said = |name, n, hours: u64| signs.out_of_hours(name, client(n), Moment(hours * 60 * MINUTE));
        let first = said("tanaka", 1, 0).unwrap();
        assert_eq!(first.to_string(), "\"tanaka\" has logged in from 10.0.0.1 out of office hours");
        assert_eq!(first.name(), "log_in_out_of_hours");
        assert_eq!(said("tanaka", 1, 12), None);
        assert!(said("tanaka", 2, 12).is_some() && said("sato", 1, 12).is_some() && said("tanaka", 1, 13).is_some());
    }

    #[test]
    fn the_clients_of_a_user_are_bounded_and_known_for_half_a_day() {
        let mut signs = Signs::new();
        for n in 0..40 {
            signs.logged_in("tanaka", client(n), Moment(u64::from(n)));
        }
        assert_eq!(signs.clients["tanaka"].len(), CLIENTS_OF_USER_MAX);
        for n in 0..40 {
            signs.logged_in("sato", client(1), Moment(n * 11 * MINUTE));
        }
        assert_eq!(signs.clients["sato"].len(), 1, "a client that comes and goes is one");
        let knows = |signs: &Signs, n, hours: u64| signs.knows("tanaka", client(n), Moment(hours * 60 * MINUTE));
        assert!(knows(&signs, 39, 11) && knows(&signs, 24, 11));
        assert!(!knows(&signs, 23, 11), "forgotten for newer ones");
        assert!(!knows(&signs, 39, 13));
        assert!(!signs.knows("sato", client(39), Moment(0)), "another user's");
        signs.keep(|name| name != "tanaka");
        assert!(!knows(&signs, 39, 11));
    }
}
