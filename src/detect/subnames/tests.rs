use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

const MINUTE: u64 = 60_000_000;
const START: u64 = 1_775_000_000_000_000;
static WORDS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let plain = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase()) && word.len() >= 4;
    let lines = include_str!("../words.txt").lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_ascii_whitespace).filter(plain).collect()
});

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

    fn drawn(&mut self, from: &str, length: usize) -> String {
        (0..length).map(|_| char::from(from.as_bytes()[self.below(from.len())])).collect()
    }

    fn words(&mut self, count: usize, between: &str) -> String {
        (0..count).map(|_| WORDS[self.below(WORDS.len())]).collect::<Vec<_>>().join(between)
    }
}

const HEXADECIMAL: &str = "0123456789abcdef";
const BASE32: &str = "abcdefghijklmnopqrstuvwxyz234567";
const ALPHANUMERIC: &str = "abcdefghijklmnopqrstuvwxyz0123456789";

/// What is counted of as many names of one domain, evenly over some minutes.
fn asked(count: u64, minutes: u64, mut name: impl FnMut(u64) -> String) -> SubNames {
    let mut names = SubNames::new(START);
    for number in 0..count {
        let host = format!("{}.example.co.jp", name(number));
        names.add(START + number * minutes * MINUTE / count, &host, "*.example.co.jp");
    }
    names
}

#[test]
fn data_in_names_are_told_with_their_numbers() {
    let chance = &mut Chance::new();
    let cases: [(&str, Within, SubNames); 8] = [
        (
            "three labels of hexadecimal, as dnscat",
            Within::Hour,
            asked(150, 50, |_| [60, 60, 60].map(|length| chance.drawn(HEXADECIMAL, length)).join(".")),
        ),
        (
            "Base32 in long labels, as iodine",
            Within::Hour,
            asked(600, 50, |_| [57, 57, 57, 20].map(|length| chance.drawn(BASE32, length)).join(".")),
        ),
        ("twenty characters of hexadecimal", Within::Hour, asked(150, 50, |_| chance.drawn(HEXADECIMAL, 20))),
        (
            "Base32 in labels of five",
            Within::Hour,
            asked(150, 50, |_| [5; 6].map(|length| chance.drawn(BASE32, length)).join(".")),
        ),
        (
            "Base32 in groups of four",
            Within::Hour,
            asked(150, 50, |_| [4; 6].map(|length| chance.drawn(BASE32, length)).join("-")),
        ),
        ("digits", Within::Hour, asked(150, 50, |_| chance.drawn("0123456789", 40))),
        (
            "between words",
            Within::Hour,
            asked(150, 50, |_| format!("cdn.static-{}.assets", chance.drawn(ALPHANUMERIC, 24))),
        ),
        ("seventeen an hour for a day", Within::Day, asked(400, 23 * 60, |_| chance.drawn(BASE32, 40))),
    ];
    for (what, within, names) in cases {
        let channel = names.channel().unwrap_or_else(|| panic!("{what}: {names:?}"));
        println!("{what}: {channel:?}");
        assert_eq!(channel.within, within, "{what}");
    }
}

#[test]
fn long_names_of_words_are_told_by_their_number() {
    let chance = &mut Chance::new();
    let channel = asked(1_000, 50, |_| chance.words(9, "-")).channel().unwrap();
    assert!(channel.bytes_mean >= 40.0 && channel.names >= 400, "{channel:?}");
    assert_eq!(asked(60, 50, |_| chance.words(9, "-")).channel(), None, "and few of them are not");
}

#[test]
fn names_of_ordinary_services_are_no_channel() {
    let chance = &mut Chance::new();
    let tenant = chance.drawn(HEXADECIMAL, 32);
    let cases: [(&str, SubNames); 11] = [
        (
            "hosts that deliver video",
            asked(400, 50, |_| format!("rr{}---sn-{}", 1 + chance.below(8), chance.drawn(ALPHANUMERIC, 8))),
        ),
        ("numbered shards", asked(400, 50, |number| format!("img{number:02}.static"))),
        ("customers", asked(400, 50, |_| chance.words(2, ""))),
        ("campaigns", asked(150, 50, |_| chance.words(4, "-"))),
        ("dates", asked(400, 50, |number| format!("20260401-{number:04}"))),
        (
            "addresses",
            asked(400, 50, |_| {
                let part = |chance: &mut Chance| chance.below(256).to_string();
                format!("ip-{}-{}-{}-{}", part(chance), part(chance), part(chance), part(chance))
            }),
        ),
        ("addresses backwards", asked(400, 50, |_| [(); 4].map(|()| chance.below(256).to_string()).join("."))),
        ("numbers of customers", asked(400, 50, |_| chance.drawn("0123456789", 12))),
        ("short marks", asked(400, 50, |_| chance.drawn(ALPHANUMERIC, 10))),
        ("one long name, often", asked(2_000, 50, |_| tenant.clone())),
        ("a browser that is given twenty-five marks in an hour", asked(25, 50, |_| chance.drawn(HEXADECIMAL, 32))),
    ];
    for (what, names) in cases {
        println!("{what}: {:?}", names.hour.told(Within::Hour));
        assert_eq!(names.channel(), None, "{what}");
    }
}

#[test]
fn a_service_that_asks_by_names_is_told_like_any_other_and_the_documentation_says_so() {
    let chance = &mut Chance::new();
    for (what, names) in [
        ("frames of advertisements", asked(150, 50, |_| format!("{}.safeframe", chance.drawn(HEXADECIMAL, 32)))),
        ("reputation of files", asked(150, 50, |_| format!("{}.3.avqs", chance.drawn(BASE32, 26)))),
    ] {
        assert!(names.channel().is_some(), "{what}");
    }
}

#[test]
fn a_hundred_an_hour_are_forgotten_when_the_hour_is_over() {
    let chance = &mut Chance(7);
    let mut names = asked(100, 50, |_| chance.drawn(BASE32, 40));
    assert_eq!(names.channel().map(|channel| channel.within), Some(Within::Hour));
    names.add(START + 61 * MINUTE, "www.example.co.jp", "example.co.jp");
    assert_eq!((names.channel(), names.hour.names.count()), (None, 1), "a hundred a day are too few");
    // Late by less than an hour: counted where it comes. A clock that is set back by more begins anew.
    names.add(START + 59 * MINUTE, "ftp.example.co.jp", "example.co.jp");
    assert_eq!(names.hour.names.count(), 2);
    names.add(START - 61 * MINUTE, "old.example.co.jp", "example.co.jp");
    assert_eq!(names.hour.names.count(), 1);
    assert!(names.day.names.count() > 60, "the day goes on: {names:?}");
}

#[test]
fn what_a_sub_name_carries_is_measured_without_its_dots() {
    let carried = |host| carried(host, "example.com");
    assert_eq!(carried("example.com"), None);
    assert_eq!(carried(".example.com"), None);
    assert_eq!(carried("notexample.com"), None);
    assert_eq!(carried("www.example.org"), None);
    let plain = carried("www.static.example.com.").unwrap();
    assert_eq!((plain.labels, plain.longest, plain.bytes, plain.encoded), (2, 6, 9, 0));
    let four = carried("abcd.example.com").unwrap();
    assert_eq!((four.entropy, four.encoded), (2.0, 0));
    assert_eq!(carried("aaaa.aaaa.example.com").unwrap().entropy, 0.0);
    let data = carried("9f86d081.884c7d65.9a2feaa0.c55ad015.example.com").unwrap();
    assert_eq!((data.labels, data.longest, data.bytes), (4, 8, 32));
    assert!(data.encoded >= 28 && data.entropy > 3.5, "{data:?}");
}

#[test]
fn how_many_are_estimated_within_a_third_and_a_pair_takes_a_hundred_bytes_at_most() {
    assert!(size_of::<SubNames>() <= 100, "{}", size_of::<SubNames>());
    for many in [1_u32, 5, 50, 150, 600, 5_000, 50_000] {
        let mut names = Distinct::default();
        for _ in 0..2 {
            (0..many).for_each(|name| {
                names.add(hash(&format!("host{name}")));
            });
        }
        let (count, many) = (f64::from(names.count()), f64::from(many));
        assert!((count - many).abs() <= (many / 3.0).floor(), "{count} of {many}");
    }
}

#[test]
fn a_million_names_fill_no_sum_over() {
    let chance = &mut Chance::new();
    let label = "m".repeat(63);
    let names =
        asked(100_000, 50, |number| format!("{number}x{}.{label}.{label}.{label}", chance.drawn(ALPHANUMERIC, 40)));
    let channel = names.channel().unwrap();
    assert!(channel.bytes_mean > 200.0 && channel.bytes > 10_000_000, "{channel:?}");
    assert_eq!(channel.longest, 63);
}

proptest! {
    #[test]
    fn nothing_panics_and_numbers_are_numbers(
        sub in "(?s).{0,300}",
        registrable in "(\\*\\.)?((?s).{0,20}|example\\.com)",
        times in prop::collection::vec(any::<u64>(), 1..8),
    ) {
        let host = format!("{sub}.{registrable}");
        if let Some(carried) = carried(&host, &registrable) {
            prop_assert!(carried.encoded <= carried.bytes && carried.longest <= carried.bytes);
            prop_assert!((0.0..=8.0).contains(&carried.entropy));
        }
        let mut names = SubNames::new(times[0]);
        for time in times {
            names.add(time, &host, &registrable);
            prop_assert!(names.channel().is_none() && names.hour.names.count() <= 1);
        }
    }
}
