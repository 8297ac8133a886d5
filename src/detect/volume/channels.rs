use serde::{Deserialize, Serialize};

use crate::detect::draft::Draft;
use crate::detect::event::Event;
use crate::detect::grounds::Grounds;
use crate::detect::names::Name;
use crate::detect::network::Network;
use crate::detect::subnames::SubNames;
use crate::detect::table::Table;
use crate::evidence::FindingKind;

use super::detector::{draft, is_rare};
use super::meter::Span;

/// Finds names that are used as a channel, by client and registrable domain.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Channels {
    domains: Table<(Name, Name), Asked>,
}

/// What a client asked of a domain: about 200 bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Asked {
    names: SubNames,
    /// Since so long, in microseconds, and the line.
    first: u64,
    line: u64,
    asked: u32,
    denied: u32,
}

/// A domain is looked at from a name on that is longer by so many characters.
const LONG_MIN: usize = 16;
/// Once so many names it is asked whether they carry data.
const EACH: u32 = 16;
/// Names are counted of a day at most, in microseconds.
const DAY: u64 = 24 * 3_600_000_000;

impl Channels {
    pub(super) fn new(domains_max: usize) -> Self {
        Self { domains: Table::new(domains_max) }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.domains.evicted
    }

    /// A host was asked for. What is denied says as much: whoever asks does not know that nobody will look the name up.
    pub(super) fn take(&mut self, event: &Event, denied: bool, network: &mut Network) -> Option<Draft> {
        let domain = network.hosts.domain(event.host, event.time)?;
        let (host, registrable) = (&network.hosts.known(event.host)?.text, &network.hosts.known(domain)?.text);
        let key = (event.client, domain);
        let new =
            || Asked { names: SubNames::new(event.time), first: event.time, line: event.line, asked: 0, denied: 0 };
        let is_long = host.len() >= registrable.len() + LONG_MIN;
        let asked = if is_long { self.domains.entry(key, new) } else { self.domains.get_mut(key)? };
        if event.time.abs_diff(asked.first) >= DAY {
            (asked.first, asked.line, asked.asked, asked.denied) = (event.time, event.line, 0, 0);
        }
        asked.asked = asked.asked.saturating_add(1);
        asked.denied = asked.denied.saturating_add(u32::from(denied));
        asked.names.add(event.time, host, registrable);
        if !asked.asked.is_multiple_of(EACH) {
            return None;
        }
        let channel = asked.names.channel()?;
        // What watches for viruses, and what counts advertisements, speaks in this way too, for many.
        let rarity = network.rarity(domain, event.time);
        if !is_rare(rarity) {
            return None;
        }
        let mut grounds = Grounds::default();
        grounds.channel(channel);
        grounds.host(rarity, true, network.age_seconds(event.time));
        let span = Span { first: asked.first, line: asked.line, exchanges: asked.asked, denied: asked.denied };
        draft(FindingKind::NameChannel, event, Some(registrable.clone()), Some(rarity), span, grounds)
    }
}
