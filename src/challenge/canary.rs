//! Whether browsers still come back: a new version may do otherwise, and then the reset must not break it for
//! everybody.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use crate::facts::{ClientKey, Timestamp};

/// A browser and its major version, as a User-Agent claims them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    pub browser: Box<str>,
    pub major: u16,
    /// Its hello is one that the browser is known by. Others are heard apart: what three clients show that only call
    /// themselves so says nothing of the browser.
    pub known: bool,
}

/// Such as `chromium 156`.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.browser, self.major)?;
        if self.known { Ok(()) } else { f.write_str(", with hellos that it is not known by,") }
    }
}

/// What has changed for a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It does not come back any more, and is not reset until that is tried again.
    Silent {
        /// Clients on which its latest answer was none.
        silent: usize,
        /// Clients on which it came back.
        returned: usize,
    },
    /// It comes back again.
    Heard,
}

/// Versions that are told apart. Of more the one goes of which least is known: that of the fewest clients, and of those
/// the one heard of longest ago. So one client that makes versions up takes no place of another's.
const VERSIONS_MAX: usize = 256;
/// Clients whose latest answer is kept of each version; of more the oldest goes.
const CLIENTS_MAX: usize = 64;
/// On so many clients it must have failed, and on more than it has come back: one machine alone could be one program
/// that lies about itself.
const SILENT_MIN: usize = 3;
/// An answer older than this says nothing of today.
const RECENT: Duration = Duration::from_secs(24 * 3600);
/// A version that does not come back is reset again after this, to see.
const TRIED_AGAIN: Duration = Duration::from_secs(24 * 3600);

/// The latest answers of every version. Only programs count that show nothing against what they claim: whoever
/// copies a User-Agent alone switches nothing off.
#[derive(Debug, Default)]
pub struct Canary {
    versions: HashMap<Version, Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    latest: Vec<(ClientKey, bool, Timestamp)>,
    silent_since: Option<Timestamp>,
}

impl Canary {
    /// Takes up what a program of this version made of a reset, and says whether that changes anything.
    pub fn heard(&mut self, version: &Version, client: ClientKey, returned: bool, now: Timestamp) -> Option<Change> {
        if self.versions.len() >= VERSIONS_MAX && !self.versions.contains_key(version) {
            let known = |answers: &Answers| (answers.latest.len(), answers.latest.last().map(|(_, _, at)| *at));
            let least = self.versions.iter().min_by_key(|(_, answers)| known(answers)).map(|(least, _)| least.clone());
            least.map(|least| self.versions.remove(&least));
        }
        let answers = self.versions.entry(version.clone()).or_default();
        answers.latest.retain(|(other, _, at)| *other != client && is_within(*at, RECENT, now));
        if answers.latest.len() >= CLIENTS_MAX {
            answers.latest.remove(0);
        }
        answers.latest.push((client, returned, now));
        let returns = answers.latest.iter().filter(|(_, returned, _)| *returned).count();
        let silent = answers.latest.len() - returns;
        let is_silent = silent >= SILENT_MIN && silent > returns;
        match answers.silent_since {
            None if is_silent => {
                answers.silent_since = Some(now);
                Some(Change::Silent { silent, returned: returns })
            }
            Some(_) if returned && !is_silent => {
                answers.silent_since = None;
                Some(Change::Heard)
            }
            // The try of a day failed: another day without.
            Some(_) if !returned => {
                answers.silent_since = Some(now);
                None
            }
            Some(_) | None => None,
        }
    }

    /// Whether programs of this version are reset: not while it does not come back, but for one try after a day.
    pub fn resets(&self, version: &Version, now: Timestamp) -> bool {
        let since = self.versions.get(version).and_then(|answers| answers.silent_since);
        since.is_none_or(|since| !is_within(since, TRIED_AGAIN, now))
    }

    /// Versions that do not come back.
    pub fn silent(&self, now: Timestamp) -> Vec<Version> {
        let mut silent: Vec<_> = self.versions.keys().filter(|version| !self.resets(version, now)).cloned().collect();
        silent.sort();
        silent
    }
}

fn is_within(at: Timestamp, span: Duration, now: Timestamp) -> bool {
    u128::from(now.0.abs_diff(at.0)) < span.as_micros()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600 * 1_000_000;

    fn client(number: u8) -> ClientKey {
        ClientKey::of([10, 0, 0, number].into())
    }

    fn version(major: u16) -> Version {
        Version { browser: "chromium".into(), major, known: true }
    }

    fn at(hours: u64) -> Timestamp {
        Timestamp((10_000 + hours) * HOUR)
    }

    #[test]
    fn a_version_that_stops_coming_back_on_several_clients_is_reset_no_more() {
        let mut canary = Canary::default();
        for number in 1..=2 {
            assert_eq!(canary.heard(&version(200), client(number), false, at(0)), None);
        }
        // However often one client fails, it is one.
        assert_eq!(canary.heard(&version(200), client(2), false, at(0)), None);
        assert!(canary.resets(&version(200), at(0)));
        let change = canary.heard(&version(200), client(3), false, at(0));
        assert_eq!(change, Some(Change::Silent { silent: 3, returned: 0 }));
        assert!(!canary.resets(&version(200), at(23)) && canary.resets(&version(201), at(0)));
        assert_eq!(canary.silent(at(0)), [version(200)]);
        assert!(canary.resets(&version(200), at(24)), "it is tried again");
        // It still does not: another day without.
        assert_eq!(canary.heard(&version(200), client(4), false, at(24)), None);
    }

    #[test]
    fn as_long_as_most_clients_come_back_those_that_do_not_are_no_browsers() {
        let mut canary = Canary::default();
        for number in 1..=5 {
            canary.heard(&version(156), client(number), true, at(0));
        }
        for number in 11..=15 {
            assert_eq!(canary.heard(&version(156), client(number), false, at(1)), None, "{number}");
        }
        assert!(canary.heard(&version(156), client(16), false, at(1)).is_some());
        assert_eq!(canary.heard(&version(156), client(16), true, at(2)), Some(Change::Heard));
        assert!(canary.resets(&version(156), at(2)));
    }

    #[test]
    fn what_was_yesterday_says_nothing_of_today_and_all_of_it_is_bounded() {
        let mut canary = Canary::default();
        for number in 1..=2 {
            canary.heard(&version(156), client(number), false, at(0));
        }
        assert_eq!(canary.heard(&version(156), client(3), false, at(24)), None);
        for number in 0..=255 {
            canary.heard(&version(1), client(number), true, at(0));
        }
        assert_eq!(canary.versions[&version(1)].latest.len(), CLIENTS_MAX);
        for major in 0..1000 {
            canary.heard(&version(major), client(1), true, at(0));
        }
        assert_eq!(canary.versions.len(), VERSIONS_MAX);
        assert!(canary.resets(&version(999), at(0)));
    }
}
