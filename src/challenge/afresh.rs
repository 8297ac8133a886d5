use std::collections::HashMap;
use std::time::Duration;

use crate::facts::{ClientKey, Host, Moment};

/// A person needs longer than this to type; a program that has the password does not.
const TYPED: Duration = Duration::from_secs(1);
/// Who has not answered by then is asked anew.
const ANSWERED: Duration = Duration::from_secs(180);
/// Clients of which something is known at the same time. Beyond, no further one can show anything until others are over.
const CLIENTS_MAX: usize = 20_000;
/// Users at targets of one client; of more the oldest goes.
const OF_CLIENT_MAX: usize = 32;
/// How often what is over is looked for at the bound.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Who was asked to log in anew for one target, and who has.
///
/// A browser that is asked though it has shown a password asks its person for another one; a program that has a
/// password sends it again at once. One that stores it and waits cannot be told from a person.
#[derive(Debug)]
pub struct Afresh {
    known: HashMap<ClientKey, Vec<Entry>>,
    holds: Duration,
    swept: Option<Moment>,
}

#[derive(Debug)]
struct Entry {
    user: Option<Box<str>>,
    host: Host,
    port: u16,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Asked(Moment),
    Shown(Moment),
}

/// Who asks for a target for which they must log in anew.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    pub client: ClientKey,
    /// Several people may be at the client: what was asked before it was known who they are is for nobody.
    pub shared: bool,
    /// The user that they have shown to be.
    pub user: Option<&'a str>,
    pub host: &'a Host,
    pub port: u16,
}

impl Afresh {
    /// What was shown holds so long.
    pub fn new(holds: Duration) -> Self {
        Self { known: HashMap::new(), holds, swept: None }
    }

    /// Whether they have logged in anew by now; if not they are to be asked.
    pub fn has_logged_in(&mut self, asker: &Asker<'_>, now: Moment) -> bool {
        let holds = self.holds;
        let Some(known) = self.of_client(asker.client, now) else { return false };
        known.retain(|entry| entry.state.counts(holds, now));
        let find = |known: &[Entry], user: Option<&str>| {
            let is =
                |entry: &Entry| entry.user.as_deref() == user && entry.port == asker.port && entry.host == *asker.host;
            known.iter().position(is)
        };
        let own = find(known, asker.user);
        // Whoever was asked before it was known who they are need not be asked a second time.
        let nameless = asker.user.filter(|_| !asker.shared).and_then(|_| find(known, None));
        let state = own.or(nameless).and_then(|at| known.get(at)).map(|entry| entry.state);
        let next = match (asker.user, state) {
            (Some(_), Some(shown @ State::Shown(_))) => shown,
            (Some(_), Some(State::Asked(at))) if TYPED <= now - at => State::Shown(now),
            // A question without a user is moved on by no other: nothing was sent again.
            (None, Some(asked)) => asked,
            (Some(_), Some(State::Asked(_))) | (_, None) => State::Asked(now),
        };
        if own.is_none() && nameless.is_some() {
            nameless.map(|at| known.remove(at));
        }
        match own.and_then(|at| known.get_mut(at)) {
            Some(entry) => entry.state = next,
            None => {
                if known.len() >= OF_CLIENT_MAX {
                    known.remove(0);
                }
                let (user, host) = (asker.user.map(Into::into), asker.host.clone());
                known.push(Entry { user, host, port: asker.port, state: next });
            }
        }
        matches!(next, State::Shown(_))
    }

    fn of_client(&mut self, client: ClientKey, now: Moment) -> Option<&mut Vec<Entry>> {
        if self.known.len() >= CLIENTS_MAX && !self.known.contains_key(&client) {
            if self.swept.is_none_or(|swept| SWEEP_EVERY <= now - swept) {
                self.swept = Some(now);
                let holds = self.holds;
                self.known.retain(|_, known| known.iter().any(|entry| entry.state.counts(holds, now)));
            }
            if self.known.len() >= CLIENTS_MAX {
                return None;
            }
        }
        Some(self.known.entry(client).or_default())
    }
}

impl State {
    fn counts(self, holds: Duration, now: Moment) -> bool {
        match self {
            State::Asked(at) => now - at < ANSWERED,
            State::Shown(at) => now - at < holds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> ClientKey {
        ClientKey::of(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into())
    }

    fn at(millis: u64) -> Moment {
        Moment(millis * 1000)
    }

    fn host(name: &str) -> Host {
        Host::parse(name.as_bytes()).unwrap()
    }

    fn asker<'a>(user: Option<&'a str>, host: &'a Host) -> Asker<'a> {
        Asker { client: client(1), shared: false, user, host, port: 443 }
    }

    #[test]
    fn who_answers_as_a_person_does_has_logged_in_for_this_target_alone() {
        let (mut afresh, site, other) = (Afresh::new(Duration::from_secs(900)), host("a.test"), host("b.test"));
        let mut asks = |user, site, millis| afresh.has_logged_in(&asker(user, site), at(millis));
        assert!(!asks(Some("tanaka"), &site, 0), "a password that was shown before says nothing");
        for again in [1, 999, 1998] {
            assert!(!asks(Some("tanaka"), &site, again), "at once, as a program does");
        }
        assert!(asks(Some("tanaka"), &site, 3000));
        assert!(asks(Some("tanaka"), &site, 3001) && asks(Some("tanaka"), &site, 902_999));
        assert!(!asks(Some("tanaka"), &other, 4000) && !asks(Some("suzuki"), &site, 4000));
        assert!(!asks(Some("tanaka"), &site, 903_000), "it holds for a while");
    }

    #[test]
    fn who_was_asked_while_unknown_is_not_asked_twice_and_an_old_question_is_none() {
        let (mut afresh, site) = (Afresh::new(Duration::from_secs(900)), host("a.test"));
        let mut asks = |user, millis| afresh.has_logged_in(&asker(user, &site), at(millis));
        assert!(!asks(None, 0) && !asks(None, 1500));
        assert!(asks(Some("tanaka"), 2000));
        assert!(!asks(None, 2000) && !asks(Some("suzuki"), 182_000), "after three minutes");
        assert!(asks(Some("suzuki"), 183_000));
    }

    #[test]
    fn where_several_share_a_client_the_question_to_one_is_not_answered_by_another() {
        let (mut afresh, site) = (Afresh::new(Duration::from_secs(900)), host("a.test"));
        let mut asks = |user, millis| {
            let asker = Asker { shared: true, ..asker(user, &site) };
            afresh.has_logged_in(&asker, at(millis))
        };
        assert!(!asks(None, 0) && !asks(Some("tanaka"), 2000), "another may have been asked");
        assert!(asks(Some("tanaka"), 4000));
    }

    #[test]
    fn no_client_takes_the_room_of_others_and_at_the_bound_what_is_over_makes_room() {
        let (mut afresh, site) = (Afresh::new(Duration::from_secs(900)), host("a.test"));
        for number in 0..100_000 {
            let name = host(&format!("{number}.test"));
            afresh.has_logged_in(&asker(None, &name), at(0));
        }
        assert_eq!((afresh.known.len(), afresh.known[&client(1)].len()), (1, OF_CLIENT_MAX));
        for number in 0..CLIENTS_MAX as u32 {
            afresh.has_logged_in(&Asker { client: client(number), ..asker(Some("a"), &site) }, at(0));
        }
        let last = Asker { client: client(CLIENTS_MAX as u32), ..asker(Some("tanaka"), &site) };
        for millis in [1000, 3000, 179_000] {
            assert!(!afresh.has_logged_in(&last, at(millis)));
        }
        assert!(!afresh.has_logged_in(&last, at(180_001)) && afresh.has_logged_in(&last, at(182_000)));
        assert_eq!(afresh.known.len(), 1);
    }
}
