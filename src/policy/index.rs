//! Which rules may match a host, so that a decision costs the same in a policy of ten rules and of ten
//! thousand.

use std::collections::HashMap;
use std::ops::Range;

use crate::facts::Host;

use super::rule::Rule;

/// Rules by the hosts they name. Numbers are places in the order of the rules.
#[derive(Debug)]
pub(super) struct HostIndex {
    rules: usize,
    /// Absent where the rules are so few that looking at each is quicker.
    by_host: Option<ByHost>,
}

#[derive(Debug, Default)]
struct ByHost {
    exact: HashMap<Host, Vec<u32>>,
    below: HashMap<Box<str>, Vec<u32>>,
    /// Those that no name leads to: of every host, or by a list.
    rest: Vec<u32>,
}

/// Looking at this many rules takes about as long as one look-up in the index.
const FEW_MAX: usize = 12;
/// Lists that are merged; a host in more of them is looked for in every rule.
const LISTS_MAX: usize = 12;

/// The rules that may match a host, in their order; each at most once.
pub(super) enum Candidates<'i> {
    All(Range<usize>),
    Merged { lists: [&'i [u32]; LISTS_MAX], used: usize },
}

impl HostIndex {
    pub(super) fn new(rules: &[Rule]) -> Self {
        if rules.len() <= FEW_MAX {
            return Self { rules: rules.len(), by_host: None };
        }
        let mut by_host = ByHost::default();
        for (number, rule) in (0u32..).zip(rules) {
            match rule.hosts.as_ref().filter(|hosts| hosts.is_by_name()) {
                None => by_host.rest.push(number),
                Some(hosts) => {
                    for host in hosts.exact() {
                        by_host.exact.entry(host.clone()).or_default().push(number);
                    }
                    for parent in hosts.below() {
                        by_host.below.entry(parent.clone()).or_default().push(number);
                    }
                }
            }
        }
        Self { rules: rules.len(), by_host: Some(by_host) }
    }

    /// The rules that may match this host. Takes no memory.
    pub(super) fn candidates(&self, host: &Host) -> Candidates<'_> {
        let Some(by_host) = &self.by_host else { return Candidates::All(0..self.rules) };
        let mut lists: [&[u32]; LISTS_MAX] = [&[]; LISTS_MAX];
        let mut used = 0;
        let found = [Some(&by_host.rest), by_host.exact.get(host)].into_iter().flatten();
        let parents = match host {
            Host::Name(name) => Some(name.as_str()),
            Host::V4(_) | Host::V6(_) => None,
        };
        let below = parents
            .into_iter()
            .flat_map(|name| name.match_indices('.').filter_map(move |(at, _)| by_host.below.get(name.get(at + 1..)?)));
        for list in found.chain(below).filter(|list| !list.is_empty()) {
            match lists.get_mut(used) {
                Some(place) => *place = list,
                None => return Candidates::All(0..self.rules),
            }
            used += 1;
        }
        Candidates::Merged { lists, used }
    }
}

impl Iterator for Candidates<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        match self {
            Candidates::All(range) => range.next(),
            Candidates::Merged { lists, used } => {
                let lists = lists.get_mut(..*used).unwrap_or_default();
                let least = lists.iter().filter_map(|list| list.first().copied()).min()?;
                for list in lists {
                    if let [first, rest @ ..] = list
                        && *first == least
                    {
                        *list = rest;
                    }
                }
                usize::try_from(least).ok()
            }
        }
    }
}
