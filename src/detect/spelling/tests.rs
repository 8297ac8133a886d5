use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};

use proptest::prelude::*;

use super::*;

static ORDINARY: &str = include_str!("ordinary.txt");
static ASIDE: &str = include_str!("aside.txt");

/// The registrable labels of a list of names, each once.
fn registrable(list: &'static str) -> BTreeSet<&'static str> {
    let names = list.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_ascii_whitespace);
    names.map(|name| labels(name).unwrap_or_else(|| panic!("{name}")).1).collect()
}

/// Those of them that count as generated, with their evidence.
fn generated(names: &BTreeSet<&'static str>) -> Vec<String> {
    let spelt = names.iter().filter_map(|name| of_label(name));
    spelt.filter(Spelling::is_generated).map(|found| format!("{} {:.1}", found.label, found.decades)).collect()
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Chance(u64);

impl Chance {
    /// With a seed that is another one in every run.
    fn new() -> Self {
        let seed = RandomState::new().hash_one(1);
        println!("seed {seed:#x}");
        Self(seed)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut spread = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        spread = (spread ^ spread >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((spread ^ spread >> 31) % end as u64) as usize
    }

    fn drawn(&mut self, from: &str, lengths: std::ops::RangeInclusive<usize>) -> String {
        let length = lengths.start() + self.below(lengths.end() - lengths.start() + 1);
        let from: Vec<char> = from.chars().collect();
        (0..length).map(|_| from[self.below(from.len())]).collect()
    }
}

const LETTERS: &str = "abcdefghijklmnopqrstuvwxyz";
const ALPHANUMERIC: &str = "abcdefghijklmnopqrstuvwxyz0123456789";
const HEXADECIMAL: &str = "0123456789abcdef";

/// As small generators in malware do: a linear congruence whose upper bits pick, from a table in which consonants stand twice.
fn congruential(chance: &mut Chance) -> String {
    let table = b"bcdfghjklmnpqrstvwxyzbcdfghjklmnpqrstvwxyzaeiouy";
    let length = 8 + chance.below(9);
    let mut state = chance.below(1 << 32) as u32;
    let letters = (0..length).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(table[(state >> 16) as usize % table.len()])
    });
    letters.collect()
}

/// Two or three words in a row.
fn of_words(chance: &mut Chance, words: &[&str]) -> String {
    (0..2 + chance.below(2)).map(|_| words[chance.below(words.len())]).collect()
}

/// Consonants and vowels in turn.
fn of_syllables(chance: &mut Chance) -> String {
    let pairs = 4 + chance.below(5);
    (0..pairs).map(|_| chance.drawn("bcdfghjklmnpqrstvwxyz", 1..=1) + &chance.drawn("aeiouy", 1..=1)).collect()
}

fn words() -> Vec<&'static str> {
    WORDS.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_ascii_whitespace).collect()
}

const DRAWN: usize = 2_000;

/// How many of a hundred are found: of those of twelve characters and more, and of shorter ones.
fn found(chance: &mut Chance, draw: impl Fn(&mut Chance) -> String) -> (f64, f64) {
    let (mut long, mut short) = ((0, 0), (0, 0));
    for _ in 0..DRAWN {
        let name = draw(chance);
        let counted = if name.len() >= 12 { &mut long } else { &mut short };
        counted.1 += 1;
        counted.0 += u32::from(spelling(&format!("{name}.com")).registrable.is_some_and(|found| found.is_generated()));
    }
    let share = |(hits, all): (u32, u32)| 100.0 * f64::from(hits) / f64::from(all.max(1));
    (share(long), share(short))
}

#[test]
fn of_ordinary_names_one_in_a_hundred_counts_as_generated_at_most() {
    for (what, list, least) in [("ordinary", ORDINARY, 600), ("kept aside", ASIDE, 300)] {
        let names = registrable(list);
        let hits = generated(&names);
        println!("{what}: {} of {}: {hits:?}", hits.len(), names.len());
        assert!(names.len() >= least, "{}", names.len());
        assert!(hits.len() * 100 <= names.len(), "{what}: {hits:?}");
    }
    let words: BTreeSet<&str> = words().into_iter().collect();
    let all: BTreeSet<&str> = registrable(ORDINARY).union(&registrable(ASIDE)).copied().collect();
    let learnt = all.iter().filter(|name| words.contains(**name)).count();
    println!("{learnt} of {} names are words that the model has learnt", all.len());
    assert!(learnt * 5 <= all.len(), "names that the model has learnt measure nothing");
}

#[test]
fn of_drawn_names_of_twelve_characters_nine_in_ten_are_found_at_least() {
    let mut chance = Chance::new();
    let letters = found(&mut chance, |chance| chance.drawn(LETTERS, 8..=16));
    let alphanumeric = found(&mut chance, |chance| chance.drawn(ALPHANUMERIC, 12..=20));
    let hexadecimal = found(&mut chance, |chance| chance.drawn(HEXADECIMAL, 16..=32));
    let congruential = found(&mut chance, congruential);
    println!("letters {letters:.1?}, letters and digits {alphanumeric:.1?}, hexadecimal {hexadecimal:.1?}");
    println!("congruential {congruential:.1?}");
    for (what, (long, _)) in [
        ("letters", letters),
        ("alphanumeric", alphanumeric),
        ("hexadecimal", hexadecimal),
        ("congruential", congruential),
    ] {
        assert!(long >= 90.0, "{what}: {long:.1} of 100");
    }
    // Below that there is less to see; a promise of half would be broken by no seed.
    assert!(letters.1 >= 70.0 && congruential.1 >= 80.0, "{:.1} and {:.1}", letters.1, congruential.1);
}

#[test]
fn names_put_together_of_words_are_not_found_and_the_documentation_says_so() {
    let mut chance = Chance::new();
    let words: Vec<&str> = words().into_iter().filter(|word| word.len() >= 4).collect();
    let (long, short) = found(&mut chance, |chance| of_words(chance, &words));
    let syllables = found(&mut chance, of_syllables);
    println!("of words {long:.1} and {short:.1}, of syllables {syllables:.1?}");
    assert!(long <= 1.0 && short <= 1.0, "{long:.1} and {short:.1} of 100");
}

#[test]
fn the_odd_groups_are_those_that_no_word_has() {
    let spelt = of_label("tokyoxqzkjwvbooks").unwrap();
    assert!(spelt.is_generated(), "{spelt:?}");
    assert_eq!((spelt.run, spelt.odd.len()), (8, 3), "{spelt:?}");
    assert!(spelt.odd.iter().all(|group| "oxqzkjwvb".contains(group)), "{spelt:?}");
    let plain = of_label("tokyobooks").unwrap();
    assert!(plain.decades < 1.5, "{plain:?}");
}

#[test]
fn words_around_a_drawn_run_do_not_hide_it() {
    for label in
        ["xk3qj7zpw9vt", "update-xk3qj7zpw9vt", "xk3qj7zpw9vt-service", "microsoft-update-xk3qj7zpw9vt-windows"]
    {
        assert!(of_label(label).unwrap().decades >= 12.0, "{:?}", of_label(label));
    }
}

#[test]
fn names_of_machines_at_work_are_not_generated() {
    for host in [
        "web01.example.com",
        "s3-ap-northeast-1.amazonaws.com",
        "ip-10-20-30-40.example.co.jp",
        "ec2-13-112-1-2.ap-northeast-1.compute.amazonaws.com",
        "203-0-113-7.example.ne.jp",
        "prod-eu-west-1b-api.example.net",
        "20260401-123456789012.example.jp",
        "0123456789.example.jp",
        "tokyo2020.example.jp",
        "nagoyashi-kosodate.example.jp",
        "_dmarc-reports.example.jp",
        "static-assets-production.example.com",
        "kyotosanyodenki.co.jp",
        "www.e-typing.ne.jp",
        "lh3.googleusercontent.com",
    ] {
        let spelt = spelling(host);
        for found in [spelt.registrable, spelt.sub].into_iter().flatten() {
            assert!(!found.is_generated(), "{host}: {found:?}");
        }
    }
}

#[test]
fn the_registered_label_and_the_longest_one_left_of_it_are_told_apart() {
    let label =
        |found: &Option<Spelling<'_>>| found.as_ref().map(|found| (found.label.to_owned(), found.is_generated()));
    for (host, registrable, sub) in [
        ("d111111abcdef8.cloudfront.net", Some(("cloudfront", false)), Some(("d111111abcdef8", true))),
        ("qk3jx8zvw4pt.duckdns.org", Some(("duckdns", false)), Some(("qk3jx8zvw4pt", true))),
        ("www.qkjxzvwptrm.co.jp", Some(("qkjxzvwptrm", true)), None),
        (
            "bucket-of-photos.s3.ap-northeast-1.amazonaws.com",
            Some(("amazonaws", false)),
            Some(("bucket-of-photos", false)),
        ),
        ("qkjxzvwptrm.com.", Some(("qkjxzvwptrm", true)), None),
        ("QKJXZVWPTRM.com", Some(("QKJXZVWPTRM", true)), None),
        ("printer.office.lan", Some(("office", false)), Some(("printer", false))),
        ("jcb.co.jp", None, None),
        // Browsers ask for three such names when they start, to see whether the network lies about names that do not exist.
        ("qkjxzvwptrm", None, None),
        ("cloudfront.net", Some(("cloudfront", false)), None),
        ("xn--wgv71a119e.jp", None, None),
        ("192.0.2.1", None, None),
        ("0x7f.1", None, None),
        ("[2001:db8::1]", None, None),
        ("2001:db8::1", None, None),
        ("co.jp", None, None),
        ("", None, None),
        (".", None, None),
        ("...", None, None),
    ] {
        let spelt = spelling(host);
        let expected = |part: Option<(&str, bool)>| part.map(|(label, generated)| (label.to_owned(), generated));
        assert_eq!(label(&spelt.registrable), expected(registrable), "{host}");
        assert_eq!(label(&spelt.sub), expected(sub), "{host}");
    }
}

#[test]
fn chances_after_every_context_add_up_to_one() {
    for context in MODEL.0.chunks(SIGNS) {
        let sum: f32 = context.iter().map(|decades| 10_f32.powf(*decades)).sum();
        assert!((sum - 1.0).abs() < 1e-3 && context.iter().all(|decades| decades.is_finite()), "{sum}");
    }
}

#[test]
fn the_list_of_words_holds_words_alone_and_each_once() {
    let words = words();
    assert!((3_000..=10_000).contains(&words.len()), "{}", words.len());
    assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
    let odd: Vec<_> = words
        .iter()
        .filter(|word| word.bytes().any(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')))
        .collect();
    assert!(odd.is_empty(), "{odd:?}");
}

proptest! {
    #[test]
    fn nothing_panics_and_what_is_said_is_of_the_host(host in "(?s).{0,80}") {
        let spelt = spelling(&host);
        for found in [spelt.registrable, spelt.sub].into_iter().flatten() {
            prop_assert!(host.contains(found.label));
            prop_assert!(found.decades >= 0.0 && found.decades.is_finite());
            prop_assert!(found.odd.len() <= 3 && found.odd.iter().all(|group| found.label.contains(group)));
            prop_assert!(found.run <= found.label.len());
        }
    }

    #[test]
    fn any_host_of_its_characters_is_judged_the_same_in_either_case(host in "[a-zA-Z0-9_-]{1,70}\\.[a-z0-9-]{1,70}\\.(com|co\\.jp|net|lan)") {
        let (as_is, lower) = (spelling(&host), host.to_ascii_lowercase());
        let lower = spelling(&lower);
        prop_assert_eq!(as_is.registrable.map(|found| found.decades), lower.registrable.map(|found| found.decades));
        prop_assert_eq!(as_is.sub.map(|found| found.decades), lower.sub.map(|found| found.decades));
    }
}
