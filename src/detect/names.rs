use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// A client or a host, by the order in which they were first seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(u32);

/// What this network knows of one client or host.
#[derive(Debug)]
pub(super) struct Known {
    pub text: Arc<str>,
    /// In microseconds.
    pub first: u64,
    /// With how many others it was seen, estimated.
    pub others: Estimate,
    /// Of a domain: how many of its hosts were seen, estimated.
    parts: Estimate,
    /// Its place among those of which an event was taken: unlike its name, it does not hang on the order in which lines came.
    met: Option<u32>,
    /// Of a host: its registrable domain, where that was looked for and is another name.
    domain: Domain,
}

#[derive(Debug, Clone, Copy)]
enum Domain {
    Unknown,
    None,
    Is(Name),
}

/// Names that were seen, each once. Those beyond the bound share one entry, and are counted.
#[derive(Debug)]
pub(super) struct Names {
    by_text: HashMap<Arc<str>, Name>,
    known: Vec<Known>,
    names_max: usize,
    /// Of how many an event was taken.
    met: u32,
    /// Names for which there was no room.
    pub(super) beyond: u64,
}

/// No name is kept longer, in bytes.
const NAME_BYTES_MAX: usize = 255;

impl Names {
    pub(super) fn new(names_max: usize) -> Self {
        Self { by_text: HashMap::new(), known: Vec::new(), names_max, met: 0, beyond: 0 }
    }

    /// The name of a text; `None` where there is no room for another.
    pub(super) fn of(&mut self, text: &str, time: u64) -> Option<Name> {
        let text = text.get(..text.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default();
        if let Some(name) = self.by_text.get(text) {
            // Lines may come late.
            let known = &mut self.known[name.0 as usize];
            known.first = known.first.min(time);
            return Some(*name);
        }
        if self.known.len() >= self.names_max {
            self.beyond += 1;
            return None;
        }
        let text: Arc<str> = text.into();
        let Entry::Vacant(place) = self.by_text.entry(text.clone()) else { return None };
        let name = *place.insert(Name(u32::try_from(self.known.len()).ok()?));
        self.known.push(Known {
            text,
            first: time,
            others: Estimate::default(),
            parts: Estimate::default(),
            met: None,
            domain: Domain::Unknown,
        });
        Some(name)
    }

    pub(super) fn known(&self, name: Name) -> &Known {
        &self.known[name.0 as usize]
    }

    /// The registrable domain of a host (Public Suffix List), as a name `*.example.com`; `None` for address literals and for
    /// a host that is the domain itself.
    pub(super) fn domain(&mut self, host: Name, time: u64) -> Option<Name> {
        match self.known[host.0 as usize].domain {
            Domain::None => None,
            Domain::Is(domain) => Some(domain),
            Domain::Unknown => {
                let text = self.known[host.0 as usize].text.clone();
                let domain = registrable(&text).and_then(|domain| self.of(&format!("*.{domain}"), time));
                self.known[host.0 as usize].domain = domain.map_or(Domain::None, Domain::Is);
                domain
            }
        }
    }

    pub(super) fn add_part(&mut self, domain: Name, host: Name) {
        let place = self.meet(host);
        self.known[domain.0 as usize].parts.add(place);
    }

    pub(super) fn parts(&self, domain: Name) -> u32 {
        self.known[domain.0 as usize].parts.count()
    }

    /// An event of it is taken: says its place among those that were met.
    pub(super) fn meet(&mut self, name: Name) -> u32 {
        let next = self.met;
        let place = *self.known[name.0 as usize].met.get_or_insert(next);
        self.met += u32::from(place == next);
        place
    }

    /// Of how many an event was taken.
    pub(super) fn met(&self) -> u32 {
        self.met
    }

    /// It was seen with another, which has this place among its own.
    pub(super) fn add_other(&mut self, name: Name, place: u32) {
        self.known[name.0 as usize].others.add(place);
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

fn registrable(host: &str) -> Option<&str> {
    let is_name = !host.starts_with(['[', '*']) && host.parse::<std::net::Ipv4Addr>().is_err();
    let domain = if is_name { psl::domain_str(host) } else { None };
    domain.filter(|domain| domain.len() < host.len())
}

/// How many different names were added, in 16 bytes: linear counting (Whang, Vander-Zanden and Taylor, 1990), exact for one,
/// good to some percent up to a few hundred, and no more than [`Self::MAX`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Estimate(u128);

impl Estimate {
    /// What a full sketch tells.
    const MAX: u32 = 620;

    fn add(&mut self, place: u32) {
        // Any odd number spreads neighbours (Knuth, multiplicative hashing).
        let spread = u64::from(place).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 |= 1 << (spread >> 57);
    }

    pub(super) fn count(self) -> u32 {
        let free = f64::from(self.0.count_zeros());
        if free == 0.0 {
            return Self::MAX;
        }
        (128.0 * (128.0 / free).ln()).round() as u32
    }
}
