//! What several clients do alike, which what one client does cannot show: many begin to call one host, some fetch the same,
//! some change their pace together.

mod changes;
mod fetches;
mod rise;
mod sites;

use serde::{Deserialize, Serialize};

use super::draft::Drafts;
use super::event::{Event, Facts, What};
use super::network::Network;
use super::pairs::Pairs;
use super::settings::Target;

use changes::Changes;
use fetches::Fetches;
use sites::Sites;

/// Finds what spreads among clients, and who does the same at the same time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Spread {
    sites: Sites,
    fetches: Fetches,
    changes: Changes,
}

impl Spread {
    pub(super) fn new(hosts_max: usize, publishers: &[Target]) -> Self {
        Self { sites: Sites::new(hosts_max, publishers), fetches: Fetches::new(), changes: Changes::new() }
    }

    /// Goes by other publishers from now on.
    pub(super) fn set_publishers(&mut self, publishers: &[Target]) {
        self.sites.set_publishers(publishers);
    }

    /// Takes an event of which beacons know already.
    pub(super) fn take(&mut self, event: &Event, pairs: &Pairs, network: &mut Network, drafts: &mut Drafts) {
        self.changes.take(event, &mut self.sites, network, drafts);
        let (denied, facts) = match &event.what {
            What::Call { denied, facts, .. } => (Some(*denied), facts.as_deref()),
            What::Burst { .. } => (Some(false), None),
            What::Shown(facts) | What::Done(facts) => (None, Some(&**facts)),
            What::Going(_) | What::Challenge(_) => return,
        };
        let site = network.hosts.domain(event.host, event.time).unwrap_or(event.host);
        match denied {
            Some(denied) => self.sites.contact(site, event, denied, facts, pairs, network, drafts),
            None => facts.into_iter().for_each(|facts| self.sites.learn(site, facts)),
        }
        if let Some(facts) = event.what.whole() {
            self.fetches.take(event, facts, site, &mut self.sites, network, drafts);
        }
    }
}

/// What an exchange tells of the program that asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    /// The line tells nothing of it, or nothing that is certain.
    Unknown,
    /// It claims to be no browser.
    Other,
    /// It claims to be a browser, and nothing contradicts that.
    Browser,
    /// It has proven to be one.
    Cleared,
    /// It claims to be a browser that it is not.
    Mimic,
}

/// What does not fit the browser that it claims to be, from which on it is none.
const CONTRADICTIONS: u8 = 2;

impl Asker {
    fn of(facts: &Facts) -> Self {
        use crate::evidence::Shown;
        match facts.standing {
            Shown::Mimic | Shown::Failed => Self::Mimic,
            Shown::Cleared => Self::Cleared,
            Shown::Unasked | Shown::Uncleared if facts.contradictions >= CONTRADICTIONS => Self::Mimic,
            // What ends TLS on a PC does that to its browsers.
            Shown::Unasked | Shown::Uncleared if facts.contradictions > 0 => Self::Unknown,
            Shown::Unasked | Shown::Uncleared if facts.is_browser => Self::Browser,
            Shown::Unasked | Shown::Uncleared if facts.agent.is_some() || facts.program.is_some() => Self::Other,
            Shown::Unasked | Shown::Uncleared => Self::Unknown,
        }
    }
}
