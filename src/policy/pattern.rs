use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use crate::facts::{Host, Name};

use super::names::NameSet;

/// A set of host patterns: exact names and addresses, and everything below a name.
#[derive(Debug, Default)]
pub(super) struct HostSet {
    exact: Members<Host>,
    below: Members<Box<str>>,
    /// Whole lists beside them.
    lists: Vec<Arc<NameSet>>,
    any: bool,
}

/// A set that compares its members one by one while they are few: most rules name a host or two, and
/// each of them would hash the target anew.
#[derive(Debug)]
enum Members<T> {
    Few(Vec<T>),
    Many(HashSet<T>),
}

/// Comparing this many takes about as long as one hash.
const FEW_MAX: usize = 8;

impl HostSet {
    /// Adds `example.com` (that name alone), `*.example.com` (everything below it, at label
    /// borders), an address literal, or `*` (every host). Unicode becomes A-labels here, once.
    pub(super) fn add(&mut self, pattern: &str) -> Result<(), String> {
        if pattern == "*" {
            self.any = true;
            return Ok(());
        }
        let (name, wild) = match pattern.strip_prefix("*.") {
            Some(rest) => (rest, true),
            None => (pattern, false),
        };
        let ascii = if name.is_ascii() {
            name.to_owned()
        } else {
            idna::domain_to_ascii(name).map_err(|_| "it is not a valid internationalised name".to_owned())?
        };
        let host = Host::parse(ascii.as_bytes()).map_err(|bad| bad.to_string())?;
        match (host, wild) {
            (Host::Name(name), true) => {
                self.below.insert(name.as_str().into());
            }
            (_, true) => return Err("`*.` stands before a name, not an address".to_owned()),
            (host, false) => {
                self.exact.insert(host);
            }
        }
        Ok(())
    }

    pub(super) fn contains(&self, host: &Host) -> bool {
        self.any
            || self.exact.contains(host)
            || matches!(host, Host::Name(name) if self.is_below(name))
            || self.lists.iter().any(|list| list.contains(host))
    }

    fn is_below(&self, name: &Name) -> bool {
        let name = name.as_str();
        match &self.below {
            Members::Few(parents) => parents
                .iter()
                .any(|parent| name.strip_suffix(&**parent).is_some_and(|below| below.strip_suffix('.').is_some())),
            Members::Many(parents) => {
                name.match_indices('.').any(|(at, _)| name.get(at + 1..).is_some_and(|parent| parents.contains(parent)))
            }
        }
    }

    /// Whether names and addresses are all that it holds, so that it can be found by them.
    pub(super) fn is_by_name(&self) -> bool {
        !self.any && self.lists.is_empty()
    }

    /// Whether every host is in it.
    pub(super) fn is_everything(&self) -> bool {
        self.any
    }

    pub(super) fn exact(&self) -> impl Iterator<Item = &Host> {
        self.exact.iter()
    }

    /// The names below which everything is in it.
    pub(super) fn below(&self) -> impl Iterator<Item = &Box<str>> {
        self.below.iter()
    }

    /// Whether every host of this set is in the other.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        let below = |name: &str| {
            other
                .below
                .iter()
                .any(|parent| name.strip_suffix(&**parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
        };
        other.any
            || (!self.any
                && self.lists.is_empty()
                && self.exact.iter().all(|host| other.contains(host))
                && self.below.iter().all(|name| below(name)))
    }

    /// Whether some host is in both, as far as patterns tell; what is below a name may be in any list.
    pub(super) fn meets(&self, other: &Self) -> bool {
        let is_below = |name: &str, parent: &str| {
            name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let overlaps = |name: &str| other.below.iter().any(|parent| is_below(name, parent) || is_below(parent, name));
        self.any
            || other.any
            || self.exact.iter().any(|host| other.contains(host))
            || other.exact.iter().any(|host| self.contains(host))
            || self.below.iter().any(|name| overlaps(name))
            || (!self.lists.is_empty() && other.below.iter().next().is_some())
            || (!other.lists.is_empty() && self.below.iter().next().is_some())
    }

    /// Takes a whole list.
    pub(super) fn add_list(&mut self, list: Arc<NameSet>) {
        self.lists.push(list);
    }

    pub(super) fn extend(&mut self, other: &Self) {
        other.exact.iter().for_each(|host| self.exact.insert(host.clone()));
        other.below.iter().for_each(|parent| self.below.insert(parent.clone()));
        self.lists.extend(other.lists.iter().cloned());
        self.any |= other.any;
    }
}

impl<T: Eq + Hash> Members<T> {
    fn insert(&mut self, member: T) {
        match self {
            Self::Few(members) if members.contains(&member) => {}
            Self::Few(members) if members.len() < FEW_MAX => members.push(member),
            Self::Few(members) => {
                *self = Self::Many(members.drain(..).chain([member]).collect());
            }
            Self::Many(members) => {
                members.insert(member);
            }
        }
    }

    fn contains(&self, member: &T) -> bool {
        match self {
            Self::Few(members) => members.contains(member),
            Self::Many(members) => members.contains(member),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        let (few, many) = match self {
            Self::Few(members) => (Some(members), None),
            Self::Many(members) => (None, Some(members)),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }
}

impl<T> Default for Members<T> {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn set(patterns: &[&str]) -> HostSet {
        let mut set = HostSet::default();
        for pattern in patterns {
            set.add(pattern).unwrap();
        }
        set
    }

    fn host(text: &str) -> Host {
        Host::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_plain_name_is_that_name_alone() {
        let set = set(&["example.com"]);
        assert!(set.contains(&host("EXAMPLE.com.")));
        assert!(!set.contains(&host("www.example.com")));
    }

    #[test]
    fn a_wildcard_matches_below_at_label_borders_and_not_the_name_itself() {
        let set = set(&["*.example.com"]);
        assert!(set.contains(&host("a.b.example.com")));
        assert!(!set.contains(&host("example.com")));
        assert!(!set.contains(&host("badexample.com")));
        assert!(!set.contains(&host("example.com.evil.example")));
    }

    #[test]
    fn sets_meet_where_a_host_is_in_both() {
        let meets = |one: &[&str], other: &[&str]| {
            let both = (set(one).meets(&set(other)), set(other).meets(&set(one)));
            assert_eq!(both.0, both.1, "{one:?} {other:?}");
            both.0
        };
        assert!(meets(&["a.example"], &["*.example"]) && meets(&["*.a.example"], &["*.example"]));
        assert!(meets(&["*"], &["a.example"]) && meets(&["b.example", "a.example"], &["a.example"]));
        assert!(!meets(&["a.example"], &["*.a.example"]) && !meets(&["*.ba.example"], &["*.a.example"]));
        assert!(!meets(&["a.example"], &["b.example"]) && !meets(&[], &["a.example"]));
    }

    #[test]
    fn unicode_and_punycode_are_the_same_name() {
        let set = set(&["日本.example"]);
        assert!(set.contains(&host("xn--wgv71a.example")));
    }

    #[test]
    fn a_pattern_that_is_no_host_is_refused() {
        assert!(HostSet::default().add("*.10.0.0.1").is_err());
        assert!(HostSet::default().add("a*.example").is_err());
        assert!(HostSet::default().add("http://a.example").is_err());
    }

    /// What a pattern means, label by label from the end.
    fn means(pattern: &str, name: &str) -> bool {
        let (mut wanted, mut found) = (pattern.rsplit('.'), name.rsplit('.'));
        loop {
            match (wanted.next(), found.next()) {
                (Some("*"), found) => return found.is_some(),
                (None, None) => return true,
                (wanted, found) if wanted == found => {}
                _ => return false,
            }
        }
    }

    proptest! {
        #[test]
        fn few_patterns_and_many_match_what_each_of_them_means(
            patterns in vec("(\\*\\.)?([ab]{1,2}\\.){0,2}(a|b|c)b", 0..24),
            name in "([ab]{1,2}\\.){0,4}(a|b|c)b",
        ) {
            let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
            let expected = patterns.iter().any(|pattern| means(pattern, &name));
            prop_assert_eq!(set(&patterns).contains(&host(&name)), expected);
            let mut joined = set(&["other.example"]);
            joined.extend(&set(&patterns));
            prop_assert_eq!(joined.contains(&host(&name)), expected);
        }
    }
}
