use std::collections::BTreeMap;
use std::time::Duration;

use crate::facts::{ClientKey, Timestamp};

use super::browsers::{Browser, Claim};

/// A stable key that so many clients have shown with a version is expected of it from then on.
pub const LEARNT_FROM: usize = 3;
/// Versions farther than this from the newest that was measured are not learnt, as no browser gets there by updates.
const MAJORS_AHEAD: u16 = 64;
/// Stable keys that are kept of one version. Of more the one goes that fewest clients have shown, and of those the one
/// shown longest ago.
const KEYS_MAX: usize = 8;
/// Keys that are not expected yet to which one client counts: a browser has two kinds of hellos.
const OF_CLIENT_MAX: usize = 2;
/// What nobody has shown for so long is forgotten: it was of a browser that has gone, or of none.
const FORGOTTEN: Duration = Duration::from_secs(30 * 86_400);

/// The hellos of versions that are newer than all that were measured, as clients have shown them: so a new browser is
/// neither refused for being new nor taken at its word for ever.
///
/// Bounded: 64 versions of each browser of the file, 8 keys of each, 3 clients of each key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learnt(BTreeMap<(Box<str>, u16), Vec<Shown>>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    key: Box<str>,
    clients: Vec<ClientKey>,
    /// When it was shown last, to the day.
    last: Timestamp,
}

/// What was learnt of one key, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson {
    pub browser: Box<str>,
    pub major: u16,
    pub key: Box<str>,
    pub clients: Vec<ClientKey>,
    pub last: Timestamp,
}

/// What one more client has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learning {
    Nothing,
    /// It counts towards what is expected.
    Counted,
    /// The key is expected from now on.
    Expected,
}

impl Browser {
    /// Whether its hellos of this version are learnt from clients: it is newer than what was measured, and not by far.
    pub(super) fn learns(&self, major: u16) -> bool {
        let newest = self.tls.iter().filter(|tls| !tls.keys.is_empty()).map(|tls| tls.until).max();
        newest.is_some_and(|newest| newest < major && major - newest <= MAJORS_AHEAD)
    }
}

impl Claim {
    /// Whether it claims a version whose hellos are learnt from clients.
    pub fn is_learnt(&self) -> bool {
        matches!(self, Self::Browser { browser, major } if browser.learns(*major))
    }
}

impl Learnt {
    /// Takes note of the stable key of a program that has shown to be a browser, and against which nothing speaks
    /// but that it is not as the others. Who has neither shown that could teach a lie.
    pub fn learn(&mut self, claim: &Claim, key: &str, client: ClientKey, now: Timestamp) -> Learning {
        let Claim::Browser { browser, major } = claim else { return Learning::Nothing };
        if browser.learns(*major) { self.add(&browser.name, *major, (key, client), now) } else { Learning::Nothing }
    }

    fn add(&mut self, browser: &str, major: u16, (key, client): (&str, ClientKey), now: Timestamp) -> Learning {
        let keys = self.0.entry((browser.into(), major)).or_default();
        keys.retain(|shown| span_between(shown.last, now) < FORGOTTEN);
        if let Some(shown) = keys.iter_mut().find(|shown| *shown.key == *key) {
            let is_another_day = span_between(shown.last, now) >= DAY;
            if is_another_day {
                shown.last = now;
            }
            if shown.is_expected() || shown.clients.contains(&client) {
                return if is_another_day { Learning::Counted } else { Learning::Nothing };
            }
        }
        let is_of_client = |shown: &&Shown| !shown.is_expected() && shown.clients.contains(&client);
        if keys.iter().filter(is_of_client).count() >= OF_CLIENT_MAX {
            return Learning::Nothing;
        }
        let at = match keys.iter().position(|shown| *shown.key == *key) {
            Some(at) => at,
            None => {
                if keys.len() >= KEYS_MAX {
                    let least = keys.iter().enumerate().min_by_key(|(_, shown)| (shown.clients.len(), shown.last));
                    least.map(|(at, _)| at).map(|at| keys.remove(at));
                }
                keys.push(Shown { key: key.into(), clients: Vec::new(), last: now });
                keys.len() - 1
            }
        };
        let Some(shown) = keys.get_mut(at) else { return Learning::Nothing };
        shown.clients.push(client);
        if shown.is_expected() { Learning::Expected } else { Learning::Counted }
    }

    /// Whether this version is known to show other keys, and this one on too few clients.
    pub(super) fn contradicts(&self, browser: &str, major: u16, key: &str) -> bool {
        // Found without a key of its own, which would have to be allocated: few versions are ever learnt.
        let of_version = self.0.iter().find(|((name, version), _)| **name == *browser && *version == major);
        let Some((_, keys)) = of_version else { return false };
        keys.iter().any(Shown::is_expected) && !keys.iter().any(|shown| *shown.key == *key && shown.is_expected())
    }

    /// Whether this version is known to show this key.
    pub(super) fn expects(&self, browser: &str, major: u16, key: &str) -> bool {
        let keys = self.0.get(&(browser.into(), major));
        keys.is_some_and(|keys| keys.iter().any(|shown| *shown.key == *key && shown.is_expected()))
    }

    /// All that was learnt, to be kept.
    pub fn lessons(&self) -> impl Iterator<Item = Lesson> + '_ {
        self.0.iter().flat_map(|((browser, major), keys)| {
            keys.iter().map(|shown| Lesson {
                browser: browser.clone(),
                major: *major,
                key: shown.key.clone(),
                clients: shown.clients.clone(),
                last: shown.last,
            })
        })
    }

    /// Takes up what was kept, unless the version was measured meanwhile.
    pub fn take_up(&mut self, browsers: &super::Browsers, lesson: &Lesson) {
        let browser = browsers.browsers.iter().find(|browser| browser.name == lesson.browser);
        if browser.is_some_and(|browser| browser.learns(lesson.major)) {
            for client in &lesson.clients {
                self.add(&lesson.browser, lesson.major, (&lesson.key, *client), lesson.last);
            }
        }
    }
}

const DAY: Duration = Duration::from_secs(86_400);

fn span_between(one: Timestamp, other: Timestamp) -> Duration {
    Duration::from_micros(one.0.abs_diff(other.0))
}

impl Shown {
    fn is_expected(&self) -> bool {
        self.clients.len() >= LEARNT_FROM
    }
}

#[cfg(test)]
mod tests {
    use super::super::Browsers;
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

    fn client(number: u8) -> ClientKey {
        ClientKey::of([10, 0, 0, number].into())
    }

    fn claim(browsers: &Browsers, user_agent: &str) -> Claim {
        browsers.claim(Some(user_agent.as_bytes()))
    }

    #[test]
    fn three_clients_make_a_key_expected_and_another_key_contradicts_then() {
        let (browsers, mut learnt) = (Browsers::built_in().unwrap(), Learnt::default());
        let newer = claim(&browsers, "Chrome/160.0.0.0");
        assert!(newer.is_learnt());
        assert_eq!(learnt.learn(&newer, "a", client(1), NOW), Learning::Counted);
        assert_eq!(learnt.learn(&newer, "a", client(1), NOW), Learning::Nothing, "one client is one");
        assert_eq!(learnt.learn(&newer, "a", client(2), NOW), Learning::Counted);
        assert!(!learnt.contradicts("chromium", 160, "b"), "nothing is expected yet");
        assert_eq!(learnt.learn(&newer, "a", client(3), NOW), Learning::Expected);
        assert!(learnt.contradicts("chromium", 160, "b") && !learnt.contradicts("chromium", 160, "a"));
        assert!(!learnt.contradicts("chromium", 161, "b") && !learnt.contradicts("firefox", 160, "b"));
        // As the second of two kinds of hellos of one browser.
        (1..=3).for_each(|number| assert_ne!(learnt.learn(&newer, "b", client(number), NOW), Learning::Nothing));
        assert!(!learnt.contradicts("chromium", 160, "b") && !learnt.contradicts("chromium", 160, "a"));
        assert_eq!(learnt.learn(&newer, "b", client(4), NOW), Learning::Nothing);
    }

    #[test]
    fn what_was_measured_or_is_no_update_away_is_not_learnt() {
        let (browsers, mut learnt) = (Browsers::built_in().unwrap(), Learnt::default());
        for user_agent in
            ["Chrome/156.0", "Chrome/150.0", "Chrome/100.0", "Chrome/221.0", "Chrome/", "MSIE 7", "curl/8"]
        {
            let claim = claim(&browsers, user_agent);
            assert!(!claim.is_learnt(), "{user_agent}");
            assert_eq!(learnt.learn(&claim, "a", client(1), NOW), Learning::Nothing, "{user_agent}");
        }
        assert!(claim(&browsers, "Chrome/220.0").is_learnt() && claim(&browsers, "Firefox/154.0").is_learnt());
    }

    #[test]
    fn what_is_kept_is_taken_up_and_no_more_than_fits() {
        let (browsers, mut learnt) = (Browsers::built_in().unwrap(), Learnt::default());
        let newer = claim(&browsers, "Firefox/154.0");
        for number in 1..=3 {
            learnt.learn(&newer, "real", client(number), NOW);
        }
        for number in 10..40 {
            learnt.learn(&newer, &format!("key {number}"), client(number), NOW);
        }
        assert_eq!(learnt.lessons().count(), KEYS_MAX);
        assert!(learnt.expects("firefox", 154, "real"), "what more clients have shown stays");
        let mut again = Learnt::default();
        learnt.lessons().for_each(|lesson| again.take_up(&browsers, &lesson));
        assert_eq!(again, learnt);
        let measured = Lesson { major: 153, ..learnt.lessons().next().unwrap() };
        again.take_up(&browsers, &measured);
        assert_eq!(again, learnt);
    }

    #[test]
    fn one_client_counts_to_few_keys_and_what_nobody_shows_is_forgotten() {
        let (browsers, mut learnt) = (Browsers::built_in().unwrap(), Learnt::default());
        let newer = claim(&browsers, "Firefox/154.0");
        for number in 0..8 {
            learnt.learn(&newer, &format!("key {number}"), client(1), NOW);
        }
        assert_eq!(learnt.lessons().count(), OF_CLIENT_MAX);
        for number in 1..=3 {
            learnt.learn(&newer, "lie", client(number + 10), NOW);
        }
        let later = |days: u64| Timestamp(NOW.0 + days * 86_400 * 1_000_000);
        assert_eq!(learnt.learn(&newer, "lie", client(11), later(29)), Learning::Counted, "it is still shown");
        learnt.learn(&newer, "real", client(1), later(58));
        assert!(learnt.contradicts("firefox", 154, "real"));
        learnt.learn(&newer, "real", client(1), later(59));
        assert!(!learnt.contradicts("firefox", 154, "real"), "a month after it was shown last");
    }
}
