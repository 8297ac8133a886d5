use std::collections::BTreeMap;

use crate::facts::Timestamp;

use super::finding::FindingId;
use super::person::{Mark, Triage};

/// What people hold findings and targets to be, by the newest that each has on record: a fold over records of kind `triage`.
#[derive(Debug, Default)]
pub struct Triages {
    newest: BTreeMap<Subject, Triaged>,
    beyond: u64,
}

/// What a triage is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Finding(FindingId),
    /// A target, and of which client; the empty one is all.
    Target(Box<str>, Box<str>),
}

/// A triage, and when it was put on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triaged {
    pub time: Timestamp,
    pub seq: u64,
    pub triage: Triage,
}

/// So many subjects are told apart; what would be one more is counted and left out.
const SUBJECTS_MAX: usize = 100_000;

impl Subject {
    fn of(triage: &Triage) -> Option<Self> {
        let text = |text: &Option<super::Text>| text.as_ref().map_or("", |text| text.as_str()).to_ascii_lowercase();
        match (triage.finding_id, &triage.target) {
            (Some(id), _) => Some(Self::Finding(id)),
            (None, Some(_)) => Some(Self::Target(text(&triage.target).into(), text(&triage.client).into())),
            (None, None) => None,
        }
    }
}

impl Triages {
    /// Takes a record up; of two about the same the one with the higher number counts.
    pub fn note(&mut self, triaged: Triaged) {
        let Some(subject) = Subject::of(&triaged.triage) else { return };
        let is_full = self.newest.len() >= SUBJECTS_MAX;
        match self.newest.get_mut(&subject) {
            Some(newest) if newest.seq > triaged.seq => {}
            Some(newest) => *newest = triaged,
            None if is_full => self.beyond = self.beyond.saturating_add(1),
            None => _ = self.newest.insert(subject, triaged),
        }
    }

    /// What a finding is held to be, at a time: by its own triage, not by that of its target.
    pub fn of_finding(&self, id: FindingId, now: Timestamp) -> Option<&Triaged> {
        self.newest.get(&Subject::Finding(id)).filter(|triaged| triaged.triage.holds(now))
    }

    /// What a target is held to be for a client, at a time: the closest that was said of it. What was said for this
    /// client goes before what was said for all, the port before all ports, and the name before a domain above it.
    pub fn of_target(&self, host: &str, port: u16, client: &str, now: Timestamp) -> Option<&Triaged> {
        let host = host.to_ascii_lowercase();
        let above = host.match_indices('.').map(|(at, _)| format!("*{}", &host[at..]));
        let names: Vec<String> = std::iter::once(host.clone()).chain(above).collect();
        [client, ""].into_iter().find_map(|client| {
            names.iter().find_map(|name| {
                [format!("{name}:{port}"), name.clone()].into_iter().find_map(|target| {
                    let subject = Subject::Target(target.into(), client.to_ascii_lowercase().into());
                    self.newest.get(&subject).filter(|triaged| triaged.triage.holds(now))
                })
            })
        })
    }

    /// What was said of the same finding or target last, whether it still holds or not.
    pub fn before(&self, triage: &Triage) -> Option<&Triaged> {
        self.newest.get(&Subject::of(triage)?)
    }

    /// The newest of each finding and target, the newest of all first.
    pub fn list(&self) -> Vec<&Triaged> {
        let mut list: Vec<_> = self.newest.values().collect();
        list.sort_by_key(|triaged| std::cmp::Reverse(triaged.seq));
        list
    }

    /// How many were left out, as too many subjects had been told apart.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }
}

impl Triage {
    /// Whether it says anything and its last day is not over. A day that cannot be read is over: what it says may not be taken
    /// for ever.
    pub fn holds(&self, now: Timestamp) -> bool {
        if self.mark == Mark::Withdrawn {
            return false;
        }
        let Some(until) = &self.until else { return true };
        let end = super::read_time(&format!("{}T23:59:59.999999Z", until.as_str()));
        end.is_some_and(|end| now <= end)
    }
}

#[cfg(test)]
mod tests {
    use crate::evidence::{FindingKind, Mark, Person, Text};

    use super::*;

    const DAY: u64 = 86_400_000_000;

    fn said(seq: u64, mark: Mark, target: &str, client: Option<&str>, until: Option<&str>) -> Triaged {
        let who = Person { uid: Some(1000), login: None, console: None, claims: None };
        let triage = Triage {
            who,
            mark,
            target: Some(target.into()),
            finding_id: None,
            client: client.map(Text::from),
            why: "asked".into(),
            until: until.map(Text::from),
            before: None,
        };
        Triaged { time: Timestamp(seq), seq, triage }
    }

    fn mark(triages: &Triages, host: &str, port: u16, client: &str) -> Option<Mark> {
        triages.of_target(host, port, client, Timestamp(DAY)).map(|triaged| triaged.triage.mark)
    }

    #[test]
    fn the_closest_that_was_said_of_a_target_counts_and_its_neighbours_have_none() {
        let mut triages = Triages::default();
        triages.note(said(1, Mark::Watching, "*.a.example", None, None));
        triages.note(said(2, Mark::KnownGood, "x.a.example", None, None));
        triages.note(said(3, Mark::Malicious, "x.a.example:8443", None, None));
        triages.note(said(4, Mark::Watching, "x.a.example", Some("10.0.0.1"), None));
        assert_eq!(mark(&triages, "X.a.example", 443, "10.0.0.2"), Some(Mark::KnownGood));
        assert_eq!(mark(&triages, "x.a.example", 8443, "10.0.0.2"), Some(Mark::Malicious));
        assert_eq!(mark(&triages, "x.a.example", 443, "10.0.0.1"), Some(Mark::Watching));
        assert_eq!(mark(&triages, "y.x.a.example", 443, "10.0.0.2"), Some(Mark::Watching));
        assert_eq!(mark(&triages, "a.example", 443, "10.0.0.2"), None, "a domain itself is not below it");
        assert_eq!(mark(&triages, "xa.example", 443, "10.0.0.2"), None);
    }

    #[test]
    fn the_newest_counts_whatever_the_order_and_only_to_its_last_day() {
        let mut triages = Triages::default();
        triages.note(said(9, Mark::Malicious, "a.example", None, None));
        triages.note(said(2, Mark::KnownGood, "a.example", None, None));
        assert_eq!(mark(&triages, "a.example", 443, ""), Some(Mark::Malicious));
        for (until, holds) in [("1970-01-02", true), ("1970-01-01", false), ("soon", false)] {
            triages.note(said(10, Mark::KnownGood, "a.example", None, Some(until)));
            assert_eq!(mark(&triages, "a.example", 443, "").is_some(), holds, "{until}");
        }
        assert_eq!(triages.list().len(), 1);
    }

    #[test]
    fn what_is_withdrawn_is_as_if_it_was_never_said_and_what_was_said_of_more_counts_again() {
        let mut triages = Triages::default();
        triages.note(said(1, Mark::Watching, "*.a.example", None, None));
        triages.note(said(2, Mark::Malicious, "x.a.example", None, None));
        triages.note(said(3, Mark::Withdrawn, "x.a.example", None, Some("2999-01-01")));
        assert_eq!(mark(&triages, "x.a.example", 443, ""), Some(Mark::Watching));
        assert_eq!(triages.list().first().map(|triaged| triaged.triage.mark), Some(Mark::Withdrawn), "it is shown");
        triages.note(said(4, Mark::Malicious, "x.a.example", None, None));
        assert_eq!(mark(&triages, "x.a.example", 443, ""), Some(Mark::Malicious));
    }

    #[test]
    fn a_finding_has_its_own_and_one_about_nothing_is_none() {
        let id = FindingId::new(FindingKind::Beacon, "10.0.0.1", "a.example");
        let mut triages = Triages::default();
        let mut triaged = said(1, Mark::KnownGood, "a.example", Some("10.0.0.1"), None);
        triaged.triage.finding_id = Some(id);
        triages.note(triaged.clone());
        assert_eq!(mark(&triages, "a.example", 443, "10.0.0.1"), None, "it is about the finding alone");
        assert!(triages.of_finding(id, Timestamp(DAY)).is_some());
        triaged.triage.finding_id = None;
        triaged.triage.target = None;
        triages.note(triaged);
        assert_eq!(triages.list().len(), 1);
    }
}
