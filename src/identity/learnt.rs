use std::collections::BTreeMap;

use crate::facts::ClientKey;

use super::browsers::{Browser, Claim};

/// A stable key that so many clients have shown with a version is expected of it from then on.
pub const LEARNT_FROM: usize = 3;
/// Versions farther than this from the newest that was measured are not learnt, as no browser gets there by updates.
const MAJORS_AHEAD: u16 = 64;
/// Stable keys that are kept of one version; further ones are not learnt.
const KEYS_MAX: usize = 8;

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
}

/// What was learnt of one key, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lesson {
    pub browser: Box<str>,
    pub major: u16,
    pub key: Box<str>,
    pub clients: Vec<ClientKey>,
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
    pub fn learn(&mut self, claim: &Claim, key: &str, client: ClientKey) -> Learning {
        let Claim::Browser { browser, major } = claim else { return Learning::Nothing };
        if browser.learns(*major) { self.add(&browser.name, *major, key, client) } else { Learning::Nothing }
    }

    fn add(&mut self, browser: &str, major: u16, key: &str, client: ClientKey) -> Learning {
        let keys = self.0.entry((browser.into(), major)).or_default();
        if !keys.iter().any(|shown| *shown.key == *key) {
            if keys.len() >= KEYS_MAX {
                return Learning::Nothing;
            }
            keys.push(Shown { key: key.into(), clients: Vec::new() });
        }
        let Some(shown) = keys.iter_mut().find(|shown| *shown.key == *key) else { return Learning::Nothing };
        if shown.is_expected() || shown.clients.contains(&client) {
            return Learning::Nothing;
        }
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

    /// All that was learnt, to be kept.
    pub fn lessons(&self) -> impl Iterator<Item = Lesson> + '_ {
        self.0.iter().flat_map(|((browser, major), keys)| {
            keys.iter().map(|shown| Lesson {
                browser: browser.clone(),
                major: *major,
                key: shown.key.clone(),
                clients: shown.clients.clone(),
            })
        })
    }

    /// Takes up what was kept, unless the version was measured meanwhile.
    pub fn take_up(&mut self, browsers: &super::Browsers, lesson: &Lesson) {
        let browser = browsers.browsers.iter().find(|browser| browser.name == lesson.browser);
        if browser.is_some_and(|browser| browser.learns(lesson.major)) {
            for client in &lesson.clients {
                self.add(&lesson.browser, lesson.major, &lesson.key, *client);
            }
        }
    }
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
        assert_eq!(learnt.learn(&newer, "a", client(1)), Learning::Counted);
        assert_eq!(learnt.learn(&newer, "a", client(1)), Learning::Nothing, "one client is one");
        assert_eq!(learnt.learn(&newer, "a", client(2)), Learning::Counted);
        assert!(!learnt.contradicts("chromium", 160, "b"), "nothing is expected yet");
        assert_eq!(learnt.learn(&newer, "a", client(3)), Learning::Expected);
        assert!(learnt.contradicts("chromium", 160, "b") && !learnt.contradicts("chromium", 160, "a"));
        assert!(!learnt.contradicts("chromium", 161, "b") && !learnt.contradicts("firefox", 160, "b"));
        // As the second of two kinds of hellos of one browser.
        (1..=3).for_each(|number| assert_ne!(learnt.learn(&newer, "b", client(number)), Learning::Nothing));
        assert!(!learnt.contradicts("chromium", 160, "b") && !learnt.contradicts("chromium", 160, "a"));
        assert_eq!(learnt.learn(&newer, "b", client(4)), Learning::Nothing);
    }

    #[test]
    fn what_was_measured_or_is_no_update_away_is_not_learnt() {
        let (browsers, mut learnt) = (Browsers::built_in().unwrap(), Learnt::default());
        for user_agent in
            ["Chrome/156.0", "Chrome/150.0", "Chrome/100.0", "Chrome/221.0", "Chrome/", "MSIE 7", "curl/8"]
        {
            let claim = claim(&browsers, user_agent);
            assert!(!claim.is_learnt(), "{user_agent}");
            assert_eq!(learnt.learn(&claim, "a", client(1)), Learning::Nothing, "{user_agent}");
        }
        assert!(claim(&browsers, "Chrome/220.0").is_learnt() && claim(&browsers, "Firefox/154.0").is_learnt());
    }

    #[test]
    fn what_is_kept_is_taken_up_and_no_more_than_fits() {
        let (browsers, mut learnt) = (Browsers::built_in().unwrap(), Learnt::default());
        let newer = claim(&browsers, "Firefox/154.0");
        for number in 0..KEYS_MAX as u8 + 4 {
            learnt.learn(&newer, &format!("key {number}"), client(1));
        }
        for number in 1..=3 {
            learnt.learn(&newer, "key 0", client(number));
        }
        assert_eq!(learnt.lessons().count(), KEYS_MAX);
        let mut again = Learnt::default();
        learnt.lessons().for_each(|lesson| again.take_up(&browsers, &lesson));
        assert_eq!(again, learnt);
        let measured = Lesson { major: 153, ..learnt.lessons().next().unwrap() };
        again.take_up(&browsers, &measured);
        assert_eq!(again, learnt);
    }
}
