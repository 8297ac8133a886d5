use std::collections::HashMap;
use std::time::Duration;

use crate::facts::{ClientKey, Host, Moment};

/// A person needs longer than this to type; a program that has the password does not.
const TYPED: Duration = Duration::from_secs(1);
/// Who has not answered by then is asked anew.
const ANSWERED: Duration = Duration::from_secs(180);
/// Users at targets that are known at the same time. Beyond, no further one is taken up, and none of them can show
/// anything until others are over.
const KEPT: usize = 20_000;

/// Who was asked to log in anew for one target, and who has.
///
/// A browser that is asked though it has shown a password asks its person for another one; a program that has a
/// password sends it again at once.
#[derive(Debug)]
pub struct Afresh {
    known: HashMap<(Who, Host, u16), State>,
    holds: Duration,
}

/// A client, and its user where that is known.
type Who = (ClientKey, Option<Box<str>>);

#[derive(Debug, Clone, Copy)]
enum State {
    Asked(Moment),
    Shown(Moment),
}

impl Afresh {
    /// What was shown holds so long.
    pub fn new(holds: Duration) -> Self {
        Self { known: HashMap::new(), holds }
    }

    /// Somebody asks for a target for which they must log in anew; `user` is the one that they have shown to be.
    /// Whether they have done so by now; if not they are to be asked.
    pub fn has_logged_in(&mut self, client: ClientKey, user: Option<&str>, target: (&Host, u16), now: Moment) -> bool {
        let key = |user: Option<&str>| ((client, user.map(Into::into)), target.0.clone(), target.1);
        let Some(user) = user else {
            self.ask(key(None), now);
            return false;
        };
        let own = key(Some(user));
        // Whoever was asked before it was known who they are need not be asked a second time.
        let state = self.known.get(&own).copied().or_else(|| self.known.remove(&key(None)));
        match state.filter(|state| self.counts(*state, now)) {
            Some(State::Shown(_)) => true,
            Some(State::Asked(at)) if TYPED <= now - at => {
                self.put(own, State::Shown(now), now);
                true
            }
            Some(State::Asked(_)) | None => {
                self.put(own, State::Asked(now), now);
                false
            }
        }
    }

    fn ask(&mut self, key: (Who, Host, u16), now: Moment) {
        if !self.known.get(&key).is_some_and(|state| self.counts(*state, now)) {
            self.put(key, State::Asked(now), now);
        }
    }

    fn put(&mut self, key: (Who, Host, u16), state: State, now: Moment) {
        if self.known.len() >= KEPT && !self.known.contains_key(&key) {
            let holds = self.holds;
            self.known.retain(|_, state| counts(*state, holds, now));
            if self.known.len() >= KEPT {
                return;
            }
        }
        self.known.insert(key, state);
    }

    fn counts(&self, state: State, now: Moment) -> bool {
        counts(state, self.holds, now)
    }
}

fn counts(state: State, holds: Duration, now: Moment) -> bool {
    match state {
        State::Asked(at) => now - at < ANSWERED,
        State::Shown(at) => now - at < holds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> ClientKey {
        ClientKey::of([10, 0, 0, number].into())
    }

    fn at(millis: u64) -> Moment {
        Moment(millis * 1000)
    }

    fn host(name: &str) -> Host {
        Host::parse(name.as_bytes()).unwrap()
    }

    #[test]
    fn who_answers_as_a_person_does_has_logged_in_for_this_target_alone() {
        let (mut afresh, site, other) = (Afresh::new(Duration::from_secs(900)), host("a.test"), host("b.test"));
        let mut asks = |user, site, millis| afresh.has_logged_in(client(1), user, (site, 443), at(millis));
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
        let mut asks = |user, millis| afresh.has_logged_in(client(1), user, (&site, 443), at(millis));
        assert!(!asks(None, 0) && !asks(None, 1500));
        assert!(asks(Some("tanaka"), 2000));
        assert!(!asks(None, 2000) && !asks(Some("suzuki"), 182_000), "after three minutes");
        assert!(asks(Some("suzuki"), 183_000));
    }

    #[test]
    fn at_the_bound_nobody_further_can_show_anything_and_what_is_over_makes_room() {
        let mut afresh = Afresh::new(Duration::from_secs(900));
        let site = host("a.test");
        for number in 0..KEPT {
            afresh.has_logged_in(client(1), Some(&number.to_string()), (&site, 443), at(0));
        }
        for millis in [1000, 3000, 179_000] {
            assert!(!afresh.has_logged_in(client(2), Some("tanaka"), (&site, 443), at(millis)));
        }
        assert!(!afresh.has_logged_in(client(2), Some("tanaka"), (&site, 443), at(180_000)));
        assert!(afresh.has_logged_in(client(2), Some("tanaka"), (&site, 443), at(181_000)));
        assert_eq!(afresh.known.len(), 1);
    }
}
