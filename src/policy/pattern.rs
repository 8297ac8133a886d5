use std::collections::HashSet;

use crate::facts::{Host, Name};

/// A set of host patterns: exact names and addresses, and everything below a name.
#[derive(Debug, Default)]
pub(super) struct HostSet {
    exact: HashSet<Host>,
    below: HashSet<Box<str>>,
    any: bool,
}

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
        self.any || self.exact.contains(host) || matches!(host, Host::Name(name) if self.is_below(name))
    }

    fn is_below(&self, name: &Name) -> bool {
        if self.below.is_empty() {
            return false;
        }
        let mut rest = name.as_str();
        while let Some((_, parent)) = rest.split_once('.') {
            if self.below.contains(parent) {
                return true;
            }
            rest = parent;
        }
        false
    }

    pub(super) fn extend(&mut self, other: &Self) {
        self.exact.extend(other.exact.iter().cloned());
        self.below.extend(other.below.iter().cloned());
        self.any |= other.any;
    }
}

#[cfg(test)]
mod tests {
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
}
