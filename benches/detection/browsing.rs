//! People at work: pages of sites they come back to, each with third parties, and pauses between them.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::random::{Random, Weighted};
use crate::trace::{HOUR, Hit, Trace};

const SITES: usize = 2_500;
const THIRD_PARTIES: usize = 300;

/// The sites that all clients share.
pub(crate) struct Web {
    sites: Vec<Site>,
}

struct Site {
    third_parties: Vec<usize>,
    hosts: u8,
    /// Asks on while a person looks at it.
    is_app: bool,
    /// Seconds between its heartbeats while its page is open.
    beats: Option<f64>,
    bytes_up: f64,
}

/// What one person is like.
pub(crate) struct Habits {
    favourites: Vec<usize>,
    ranks: Weighted,
    /// Minutes between sittings.
    pause: f64,
    pages: f64,
    /// Seconds on a page: median and spread.
    think: f64,
    spread: f64,
}

/// What a browser asked of one site or third party.
pub(crate) struct Browsed {
    pub trace: Trace,
    /// Its pages ask at fixed intervals: neither beacon nor proof against one.
    pub has_beats: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Site(usize),
    ThirdParty(usize),
}

/// When a person is at work: before and after lunch, some evenings, seldom on a weekend.
pub(crate) fn hours_at_work(random: &mut Random, days: u32) -> Vec<(f64, f64)> {
    let mut hours = Vec::new();
    for day in 0..days {
        if day % 7 >= 5 && random.happens(0.85) {
            continue;
        }
        let midnight = f64::from(day) * 24.0;
        let begin = random.normal(9.0, 0.8).clamp(6.5, 11.5);
        let lunch = random.normal(12.2, 0.4).clamp(11.0, 13.5).max(begin);
        let end = random.normal(17.7, 1.2).clamp(15.0, 21.0);
        hours.push((midnight + begin, midnight + lunch));
        hours.push((midnight + lunch + random.between(0.4, 1.0), midnight + end));
        if random.happens(0.3) {
            let evening = midnight + random.between(19.0, 21.0).max(end);
            hours.push((evening, evening + random.between(0.3, 2.3)));
        }
    }
    hours.iter().map(|(begin, end)| (begin * HOUR, end * HOUR)).collect()
}

impl Site {
    fn new(random: &mut Random, ranks: &Weighted) -> Self {
        let mut third_parties: Vec<usize> = (0..2 + random.below(11)).map(|_| ranks.draw(random)).collect();
        third_parties.sort_unstable();
        third_parties.dedup();
        Self {
            third_parties,
            hosts: if random.happens(0.6) { 1 } else { 2 + random.below(3) as u8 },
            is_app: random.happens(0.25),
            beats: random.happens(0.05).then(|| random.of(&[10.0, 15.0, 20.0, 30.0, 60.0])),
            bytes_up: random.lognormal(900.0, 0.4),
        }
    }
}

impl Habits {
    /// Makes sites their own favourites, each at a place by chance.
    pub(crate) fn prefer(&mut self, random: &mut Random, sites: Range<usize>) {
        for site in sites {
            let place = random.below(self.favourites.len());
            self.favourites[place] = site;
        }
    }
}

impl Web {
    pub(crate) fn new(random: &mut Random) -> Self {
        let ranks = Weighted::zipf(THIRD_PARTIES, 1.0);
        Self { sites: (0..SITES).map(|_| Site::new(random, &ranks)).collect() }
    }

    /// All that one person asks for.
    pub(crate) fn person(&self, random: &mut Random, days: u32) -> Vec<Browsed> {
        let habits = Self::habits(random);
        let hours = hours_at_work(random, days);
        self.browse(random, &habits, &hours)
    }

    /// A person whom nothing is known of but the sites that all share.
    pub(crate) fn habits(random: &mut Random) -> Habits {
        let favourites: Vec<usize> = (0..20 + random.below(70)).map(|_| random.below(SITES)).collect();
        Habits {
            ranks: Weighted::zipf(favourites.len(), random.between(0.8, 1.4)),
            favourites,
            pause: random.lognormal(12.0, 0.5),
            pages: random.lognormal(6.0, 0.4),
            think: random.lognormal(18.0, 0.4),
            spread: random.between(0.9, 1.4),
        }
    }

    /// Adds so many sites that nobody goes to yet; says which.
    pub(crate) fn add_sites(&mut self, random: &mut Random, count: usize) -> Range<usize> {
        let (first, ranks) = (self.sites.len(), Weighted::zipf(THIRD_PARTIES, 1.0));
        self.sites.extend((0..count).map(|_| Site::new(random, &ranks)));
        first..self.sites.len()
    }

    /// What a person asks for in these hours.
    pub(crate) fn browse(&self, random: &mut Random, habits: &Habits, hours: &[(f64, f64)]) -> Vec<Browsed> {
        let mut asked = BTreeMap::new();
        for (begin, end) in hours {
            let mut at = begin + random.exponential(habits.pause * 30.0);
            while at < *end {
                for _ in 0..random.tries(habits.pages) {
                    at += self.page(random, habits, at, &mut asked);
                    if at > *end {
                        break;
                    }
                }
                at += random.exponential(habits.pause * 60.0);
            }
        }
        asked
            .into_iter()
            .map(|(asked, hits)| {
                let (domain, has_beats) = match asked {
                    Asked::Site(site) => (format!("site{site}.example"), self.sites[site].beats.is_some()),
                    Asked::ThirdParty(party) => (format!("party{party}.example"), false),
                };
                Browsed { trace: Trace { domain, hits }.sorted(), has_beats }
            })
            .collect()
    }

    /// A page that is opened and looked at; says for how long.
    fn page(&self, random: &mut Random, habits: &Habits, at: f64, asked: &mut BTreeMap<Asked, Vec<Hit>>) -> f64 {
        let number =
            if random.happens(0.85) { habits.favourites[habits.ranks.draw(random)] } else { random.below(SITES) };
        let site = &self.sites[number];
        let looked = (habits.think * random.normal(0.0, habits.spread).exp()).min(900.0);
        let hits = asked.entry(Asked::Site(number)).or_default();
        load(random, hits, at, random_count(5.0, 40), 0.6, site.hosts, site.bytes_up);
        if site.is_app {
            let mut next = at + random.exponential(15.0);
            while next < at + looked {
                hits.push(Hit {
                    at: next,
                    host: site.hosts - 1,
                    path: 3,
                    bytes_up: random.lognormal(site.bytes_up, 0.1) as u32,
                });
                next += random.exponential(15.0);
            }
        }
        if let Some(seconds) = site.beats {
            let beats = (1..).map(|beat| at + f64::from(beat) * seconds).take_while(|next| *next < at + looked);
            hits.extend(beats.map(|next| Hit {
                at: next + random.normal(0.0, 0.05),
                host: 0,
                path: 7,
                bytes_up: site.bytes_up as u32,
            }));
        }
        for party in &site.third_parties {
            if random.happens(0.75) {
                let begin = at + random.exponential(0.8);
                let hits = asked.entry(Asked::ThirdParty(*party)).or_default();
                load(random, hits, begin, random_count(2.5, 15), 0.5, 1, 700.0);
            }
        }
        looked
    }
}

/// The mean of how many things a page loads, and the most.
fn random_count(mean: f64, most: usize) -> impl Fn(&mut Random) -> usize {
    move |random| random.tries(mean).min(most)
}

fn load(
    random: &mut Random,
    hits: &mut Vec<Hit>,
    at: f64,
    count: impl Fn(&mut Random) -> usize,
    scale: f64,
    hosts: u8,
    bytes: f64,
) {
    for number in 0..count(random) {
        let later = if number == 0 { 0.0 } else { random.exponential(scale) };
        let host = if number == 0 { 0 } else { random.below(usize::from(hosts)) as u8 };
        let cookies = if random.happens(0.15) { random.exponential(300.0) } else { 0.0 };
        let bytes_up = (random.lognormal(bytes, 0.15) + cookies) as u32;
        hits.push(Hit {
            at: at + later,
            host,
            path: if number == 0 { 0 } else { 1 + random.below(6) as u16 },
            bytes_up,
        });
    }
}
