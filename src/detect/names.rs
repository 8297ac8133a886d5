use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

/// A client or a host: its place, and which of those that had the place it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) struct Name {
    place: u32,
    turn: u32,
}

/// What this network knows of one client or host.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Known {
    pub text: Arc<str>,
    /// In microseconds.
    pub first: u64,
    /// With how many others it was seen, estimated.
    pub others: Estimate,
    /// Of a domain or an address: how many of its hosts were seen, estimated.
    parts: Estimate,
    /// Its place among those of which an event was taken: unlike its name, it does not hang on the order in which lines came.
    met: Option<u32>,
    /// Of a host: its registrable domain, where that was looked for and is another name.
    domain: Domain,
    /// Of a host: the address that it was last seen at, among addresses.
    pub address: Option<Name>,
    turn: u32,
    touched: bool,
    /// Of a host: it was reached once.
    pub was_reached: bool,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Domain {
    Unknown,
    None,
    Is(Name),
}

/// Names that were seen, each once. Beyond the bound those go that were not seen for a while (CLOCK).
#[derive(Debug, Serialize, Deserialize)]
#[serde(try_from = "KeptNames")]
pub(super) struct Names {
    #[serde(skip)]
    by_text: HashMap<Arc<str>, Name, RandomState>,
    known: Vec<Known>,
    names_max: usize,
    hand: usize,
    /// Names that had to go.
    pub(super) evicted: u64,
    /// Of how many an event was taken.
    met: u32,
}

/// [`Names`] as a snapshot has them: what is found by their texts is made of them.
#[derive(Deserialize)]
struct KeptNames {
    known: Vec<Known>,
    names_max: usize,
    hand: usize,
    evicted: u64,
    met: u32,
}

/// Names that the hand passes over before it takes whatever comes.
const PASSES_MAX: usize = 64;
/// No name is kept longer, in bytes.
const NAME_BYTES_MAX: usize = 255;

impl Names {
    pub(super) fn new(names_max: usize) -> Self {
        let names_max = names_max.max(1);
        Self { by_text: HashMap::default(), known: Vec::new(), names_max, hand: 0, evicted: 0, met: 0 }
    }

    /// The name of a text.
    pub(super) fn of(&mut self, text: &str, time: u64) -> Name {
        let text = kept(text);
        if let Some(name) = self.by_text.get(text) {
            // Lines may come late.
            let known = &mut self.known[name.place as usize];
            known.first = known.first.min(time);
            known.touched = true;
            return *name;
        }
        let text: Arc<str> = text.into();
        let new = |turn| Known {
            text: text.clone(),
            first: time,
            others: Estimate::default(),
            parts: Estimate::default(),
            met: None,
            domain: Domain::Unknown,
            address: None,
            turn,
            touched: true,
            was_reached: false,
        };
        let (place, turn) = if self.known.len() < self.names_max {
            self.known.push(new(0));
            (self.known.len() - 1, 0)
        } else {
            let place = self.make_room();
            let old = &mut self.known[place];
            let turn = old.turn.wrapping_add(1);
            self.by_text.remove(&old.text);
            *old = new(turn);
            self.evicted += 1;
            (place, turn)
        };
        let name = Name { place: place as u32, turn };
        self.by_text.insert(text, name);
        name
    }

    fn make_room(&mut self) -> usize {
        for _ in 0..PASSES_MAX {
            let place = self.step();
            if !std::mem::take(&mut self.known[place].touched) {
                return place;
            }
        }
        self.step()
    }

    fn step(&mut self) -> usize {
        let place = self.hand;
        self.hand = (self.hand + 1) % self.known.len();
        place
    }

    fn get_mut(&mut self, name: Name) -> Option<&mut Known> {
        self.known.get_mut(name.place as usize).filter(|known| known.turn == name.turn)
    }

    /// The name of a text that was seen.
    pub(super) fn find(&self, text: &str) -> Option<Name> {
        self.by_text.get(kept(text)).copied()
    }

    /// What is known of a name; `None` where it had to go.
    pub(super) fn known(&self, name: Name) -> Option<&Known> {
        self.known.get(name.place as usize).filter(|known| known.turn == name.turn)
    }

    /// The text of a name; `None` where it had to go.
    pub(super) fn text(&self, name: Name) -> Option<Arc<str>> {
        self.known(name).map(|known| known.text.clone())
    }

    /// The registrable domain of a host (Public Suffix List), as a name `*.example.com`; `None` for address literals and for
    /// a host that is the domain itself.
    pub(super) fn domain(&mut self, host: Name, time: u64) -> Option<Name> {
        let known = self.known(host)?;
        match known.domain {
            Domain::None => None,
            Domain::Is(domain) if self.known(domain).is_some() => Some(domain),
            Domain::Is(_) | Domain::Unknown => {
                let text = known.text.clone();
                let domain = registrable(&text).map(|domain| self.of(&format!("*.{domain}"), time));
                if let Some(known) = self.get_mut(host) {
                    known.domain = domain.map_or(Domain::None, Domain::Is);
                }
                domain
            }
        }
    }

    pub(super) fn set_address(&mut self, host: Name, address: Option<Name>) {
        self.get_mut(host).into_iter().for_each(|known| known.address = address);
    }

    /// A host of a domain or at an address was seen, which has this place among hosts.
    pub(super) fn add_part(&mut self, name: Name, place: u32) {
        if let Some(known) = self.get_mut(name) {
            known.parts.add(place);
        }
    }

    pub(super) fn parts(&self, domain: Name) -> u32 {
        self.known(domain).map_or(0, |known| known.parts.count())
    }

    /// An event of it is taken: says its place among those that were met.
    pub(super) fn meet(&mut self, name: Name) -> u32 {
        let next = self.met;
        let Some(known) = self.get_mut(name) else { return next };
        let place = *known.met.get_or_insert(next);
        self.met = next.saturating_add(u32::from(place == next));
        place
    }

    /// Of how many an event was taken.
    pub(super) fn met(&self) -> u32 {
        self.met
    }

    /// A host was reached.
    pub(super) fn reach(&mut self, host: Name) {
        if let Some(known) = self.get_mut(host) {
            known.was_reached = true;
        }
    }

    /// It was seen with another, which has this place among its own.
    pub(super) fn add_other(&mut self, name: Name, place: u32) {
        if let Some(known) = self.get_mut(name) {
            known.others.add(place);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

impl TryFrom<KeptNames> for Names {
    type Error = Inconsistent;

    fn try_from(kept: KeptNames) -> Result<Self, Inconsistent> {
        let KeptNames { known, names_max, hand, evicted, met } = kept;
        if known.len() > names_max || hand > known.len().saturating_sub(1) {
            return Err(Inconsistent);
        }
        let name =
            |(place, known): (usize, &Known)| (known.text.clone(), Name { place: place as u32, turn: known.turn });
        let by_text: HashMap<_, _, _> = known.iter().enumerate().map(name).collect();
        if by_text.len() < known.len() {
            return Err(Inconsistent);
        }
        Ok(Self { by_text, known, names_max, hand, evicted, met })
    }
}

/// What was kept of a detector does not fit together.
#[derive(Debug, thiserror::Error)]
#[error("what was kept does not fit together")]
pub(super) struct Inconsistent;

/// What is kept of a text.
fn kept(text: &str) -> &str {
    text.get(..text.floor_char_boundary(NAME_BYTES_MAX)).unwrap_or_default()
}

fn registrable(host: &str) -> Option<&str> {
    let is_name = !host.starts_with(['[', '*']) && host.parse::<std::net::Ipv4Addr>().is_err();
    let domain = if is_name { psl::domain_str(host) } else { None };
    domain.filter(|domain| domain.len() < host.len())
}

/// How many different names were added, in 16 bytes: linear counting (Whang, Vander-Zanden and Taylor, 1990), exact for one,
/// good to some percent up to a few hundred, and no more than [`Self::MAX`].
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Estimate(u128);

impl Estimate {
    /// What a full sketch tells.
    const MAX: u32 = 620;

    /// Adds one; says whether the estimate knew of none like it.
    pub(super) fn add(&mut self, place: u32) -> bool {
        // SplitMix64 (Steele, Lea and Flood, 2014): neighbours must fall as if by chance, or the estimate is too high.
        let mut spread = u64::from(place).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        spread = (spread ^ spread >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        spread = (spread ^ spread >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let before = self.0;
        self.0 |= 1 << ((spread ^ spread >> 31) >> 57);
        self.0 != before
    }

    /// Those of both.
    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn count(self) -> u32 {
        let free = f64::from(self.0.count_zeros());
        if free == 0.0 {
            return Self::MAX;
        }
        (128.0 * (128.0 / free).ln()).round() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_names_drives_out_what_was_not_seen_since_and_no_old_name_stands_for_a_new_one() {
        let mut names = Names::new(100);
        let (kept, lost) = (names.of("kept.example", 1), names.of("lost.example", 1));
        for flood in 0..1000 {
            names.of(&format!("{flood}.example"), 2);
            assert_eq!(names.of("kept.example", 3), kept);
            assert!(names.len() <= 100);
        }
        assert_eq!(names.known(kept).unwrap().first, 1);
        assert!(names.known(lost).is_none() && names.find("lost.example").is_none());
        assert_eq!(names.evicted, 902);
        let again = names.of("lost.example", 4);
        assert_eq!((again == lost, names.known(again).unwrap().first), (false, 4));
    }

    #[test]
    fn a_host_has_the_domain_that_can_be_registered_and_an_address_has_none() {
        let mut names = Names::new(100);
        for (host, domain) in [
            ("a.b.example.co.jp", Some("*.example.co.jp")),
            ("example.co.jp", None),
            ("192.0.2.1", None),
            ("[2001:db8::1]", None),
            ("localhost", None),
        ] {
            let name = names.of(host, 1);
            let found = names.domain(name, 1);
            assert_eq!(found.map(|domain| &*names.known(domain).unwrap().text), domain, "{host}");
        }
    }

    #[test]
    fn how_many_are_estimated_within_a_tenth() {
        for many in [1, 2, 3, 10, 50, 200] {
            let mut names = Names::new(1000);
            let host = names.of("host.example", 1);
            (0..many).for_each(|client| {
                let client = names.of(&client.to_string(), 1);
                for _ in 0..2 {
                    let place = names.meet(client);
                    names.add_other(host, place);
                }
            });
            let count = f64::from(names.known(host).unwrap().others.count());
            assert!((count - f64::from(many)).abs() <= (0.15 * f64::from(many)).floor().max(0.0), "{count} of {many}");
        }
    }
}
