//! What lists of many names cost: to compile, to take back from where they are kept, to hold, to ask.

use std::collections::HashSet;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};

use sekisho::facts::Host;
use sekisho::lists::{Origin, Shelf, Watched};
use sekisho::policy::NameSet;

use crate::harness::{Bencher, Scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("names::1_000_compile", |b| list(1_000).bench_compile(b)),
    ("names::1_000_load", |b| list(1_000).bench_load(b)),
    ("names::1_000_hit", |b| list(1_000).bench_hit(b)),
    ("names::1_000_miss", |b| list(1_000).bench_miss(b)),
    ("names::100_000_compile", |b| list(100_000).bench_compile(b)),
    ("names::100_000_load", |b| list(100_000).bench_load(b)),
    ("names::100_000_hit", |b| list(100_000).bench_hit(b)),
    ("names::100_000_miss", |b| list(100_000).bench_miss(b)),
    ("names::1_000_000_compile", |b| list(1_000_000).bench_compile(b)),
    ("names::1_000_000_load", |b| list(1_000_000).bench_load(b)),
    ("names::1_000_000_hit", |b| list(1_000_000).bench_hit(b)),
    ("names::1_000_000_miss", |b| list(1_000_000).bench_miss(b)),
    ("names::5_000_000_compile", |b| list(5_000_000).bench_compile(b)),
    ("names::5_000_000_load", |b| list(5_000_000).bench_load(b)),
    ("names::5_000_000_hit", |b| list(5_000_000).bench_hit(b)),
    ("names::5_000_000_miss", |b| list(5_000_000).bench_miss(b)),
];

/// More names than this only where a word on the command line asks for scenarios.
const UNASKED_MAX: usize = 1_000_000;
/// Where nothing is measured.
const SMALL: usize = 500;
/// Hosts that are asked for, in random order: enough that the processor's caches do not hold their paths.
const HOSTS: usize = 200_000;

fn list(lines: usize) -> List {
    List { lines }
}

/// A list of so many lines.
struct List {
    lines: usize,
}

impl List {
    /// The lines to work with; none where they are too many to measure unasked.
    fn wanted(&self, bencher: &Bencher) -> Option<usize> {
        if !bencher.is_measured() {
            return Some(self.lines.min(SMALL));
        }
        let asked = std::env::args().skip(1).any(|argument| !argument.starts_with('-'));
        (asked || self.lines <= UNASKED_MAX).then_some(self.lines)
    }

    /// The text in memory becomes a set; says what the set takes.
    fn bench_compile(&self, bencher: &mut Bencher) {
        let Some(lines) = self.wanted(bencher) else { return };
        let text = text(lines);
        let set = checked(&text);
        assert_eq!(set.len(), lines as u64);
        if bencher.is_measured() {
            let (bytes, held) = (set.resident_bytes() as f64, set.len() as f64);
            let mean = (text.len() - lines) as f64 / lines as f64;
            println!("{held} names of {mean:.1} bytes: {bytes} bytes resident, {:.2} for each", bytes / held);
        }
        drop(set);
        bencher.iter(|| NameSet::compile(text.as_bytes()).set.len());
    }

    /// The text and what was kept for it are read from files, and compared, as a start does.
    fn bench_load(&self, bencher: &mut Bencher) {
        let Some(lines) = self.wanted(bencher) else { return };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list.txt");
        std::fs::write(&path, text(lines)).unwrap();
        let shelf = Shelf::new(Some(directory.path()));
        let read = || shelf.read(&path, &mut Watched::default()).unwrap();
        assert_eq!(read().origin, Origin::Compiled);
        bencher.iter(|| {
            let read = read();
            assert_eq!(read.origin, Origin::Kept);
            read.set.len()
        });
    }

    /// Names of the list, all over it.
    fn bench_hit(&self, bencher: &mut Bencher) {
        let Some(lines) = self.wanted(bencher) else { return };
        let text = text(lines);
        let set = checked(&text);
        let names: Vec<&str> = text.lines().collect();
        let mut chance = Chance(7);
        let hosts: Vec<Host> = (0..HOSTS.min(lines * 4)).map(|_| host(names[chance.below(names.len())])).collect();
        bench_look_ups(bencher, &set, &hosts, true);
    }

    /// Names that are not in the list: half of them made as it is, half one of it with a letter or a label
    /// more.
    fn bench_miss(&self, bencher: &mut Bencher) {
        let Some(lines) = self.wanted(bencher) else { return };
        let text = text(lines);
        let set = checked(&text);
        let names: Vec<&str> = text.lines().collect();
        let (mut chance, mut makes) = (Chance(8), Makes::new(9));
        let mut hosts = Vec::new();
        while hosts.len() < HOSTS.min(lines * 4) {
            let near = names[chance.below(names.len())];
            let name = match chance.below(4) {
                0 => format!("x{near}"),
                1 => format!("x.{near}"),
                _ => makes.name(),
            };
            let host = host(&name);
            if !set.contains(&host) {
                hosts.push(host);
            }
        }
        bench_look_ups(bencher, &set, &hosts, false);
    }
}

fn bench_look_ups(bencher: &mut Bencher, set: &NameSet, hosts: &[Host], expected: bool) {
    let found = if expected { hosts.len() } else { 0 };
    bencher.units(hosts.len() as u64, "look-up").iter(|| {
        assert_eq!(hosts.iter().filter(|host| set.contains(host)).count(), found);
    });
}

fn host(name: &str) -> Host {
    Host::parse(name.as_bytes()).unwrap()
}

fn checked(text: &str) -> NameSet {
    let compiled = NameSet::compile(text.as_bytes());
    assert_eq!(compiled.bad_lines.count, 0);
    compiled.set
}

/// So many names, each once.
fn text(lines: usize) -> String {
    let (mut makes, mut text, mut made) = (Makes::new(1), String::new(), HashSet::new());
    while made.len() < lines {
        let name = makes.name();
        if made.insert(hash_of(&name)) {
            writeln!(text, "{name}").unwrap();
        }
    }
    text
}

fn hash_of(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// The same numbers in every run (SplitMix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Small numbers oftener than large ones, as with words and providers.
    fn skewed(&mut self, bound: usize) -> usize {
        self.below(bound) * self.below(bound) / bound
    }
}

/// Makes names as block lists have them; benches/README.md says how they are distributed.
struct Makes {
    chance: Chance,
    words: Vec<String>,
    providers: Vec<String>,
}

/// With how many of a hundred names.
const SUFFIXES: &[(&str, usize)] = &[
    ("com", 48),
    ("net", 8),
    ("org", 5),
    ("de", 4),
    ("ru", 4),
    ("jp", 3),
    ("co.jp", 3),
    ("co.uk", 3),
    ("info", 3),
    ("xyz", 3),
    ("top", 3),
    ("com.br", 2),
    ("fr", 2),
    ("io", 2),
    ("nl", 1),
    ("it", 1),
    ("pl", 1),
    ("online", 1),
    ("shop", 1),
    ("site", 1),
    ("club", 1),
];
const FIRST: &[&str] = &["www", "ads", "track", "cdn", "stats", "mail", "api", "img", "login", "m", "pixel", "static"];

impl Makes {
    fn new(seed: u64) -> Self {
        // Words and providers are the same for every seed.
        let mut makes = Self { chance: Chance(1_000), words: Vec::new(), providers: Vec::new() };
        for _ in 0..8_000 {
            let word = (0..1 + makes.chance.below(3)).map(|_| makes.syllable()).collect();
            makes.words.push(word);
        }
        for _ in 0..5_000 {
            let provider = makes.registrable();
            makes.providers.push(provider);
        }
        makes.chance = Chance(seed);
        makes
    }

    fn name(&mut self) -> String {
        match self.chance.below(100) {
            0..50 => self.registrable(),
            50..65 => format!("{}.{}", FIRST[self.chance.skewed(FIRST.len())], self.registrable()),
            65..75 => format!("{}.{}", self.word(), self.registrable()),
            75..90 => format!("{}-{}.{}", self.word(), self.word(), self.provider()),
            _ => format!("{:x}.{}", self.chance.next() >> (8 * self.chance.below(5)), self.provider()),
        }
    }

    /// One word, two or three; sometimes with a number, sometimes letters by chance.
    fn registrable(&mut self) -> String {
        let label = match self.chance.below(100) {
            0..15 => self.word() + &self.word() + &self.word(),
            15..60 => self.word() + &self.word(),
            60..75 => format!("{}-{}", self.word(), self.word()),
            75..90 => format!("{}{}{}", self.word(), self.word(), self.chance.below(1_000)),
            _ => (0..8 + self.chance.below(8)).map(|_| char::from(b'a' + self.chance.below(26) as u8)).collect(),
        };
        let mut at = self.chance.below(100);
        let suffix = SUFFIXES.iter().find(|(_, share)| {
            let here = at < *share;
            at = at.saturating_sub(*share);
            here
        });
        format!("{label}.{}", suffix.unwrap().0)
    }

    fn word(&mut self) -> String {
        self.words[self.chance.skewed(self.words.len())].clone()
    }

    fn provider(&mut self) -> &str {
        &self.providers[self.chance.skewed(self.providers.len())]
    }

    fn syllable(&mut self) -> String {
        let mut of = |letters: &[&'static str]| letters[self.chance.skewed(letters.len())];
        let begin = of(&[
            "s", "t", "m", "b", "c", "p", "r", "d", "l", "n", "f", "g", "h", "k", "w", "st", "tr", "sh", "ch", "v",
        ]);
        [begin, of(&["e", "a", "o", "i", "u", "ea", "oo"]), of(&["", "r", "n", "t", "l", "s", "x", "ck", "ng"])]
            .concat()
    }
}
