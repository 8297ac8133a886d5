use std::collections::HashSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn compiled(text: &str) -> Compiled {
    NameSet::compile(text.as_bytes())
}

fn host(text: &str) -> Host {
    Host::parse(text.as_bytes()).unwrap()
}

/// Compiles a list without bad lines, and says which of the hosts it contains.
fn contained<'a>(text: &str, hosts: &[&'a str]) -> Vec<&'a str> {
    let compiled = compiled(text);
    assert_eq!(compiled.bad_lines.first, []);
    hosts.iter().copied().filter(|name| compiled.set.contains(&host(name))).collect()
}

fn counts(text: &str) -> [u64; 6] {
    let NameCounts { names, below, addresses, duplicates, shadowed, skipped } = compiled(text).counts;
    [names, below, addresses, duplicates, shadowed, skipped]
}

fn why(line: &str) -> String {
    let bad = compiled(line).bad_lines;
    assert_eq!((bad.count, bad.first.len(), bad.first[0].line), (1, 1, 1), "{line}");
    bad.first[0].why.clone()
}

const NEAR: &[&str] = &[
    "example.com",
    "www.example.com",
    "a.b.example.com",
    "badexample.com",
    "example.com.evil.example",
    "com",
    "xample.com",
    "example.org",
];

#[test]
fn a_plain_name_is_that_name_alone() {
    assert_eq!(contained("example.com", NEAR), ["example.com"]);
}

#[test]
fn a_star_is_everything_below_at_label_borders_and_not_the_name() {
    assert_eq!(contained("*.example.com", NEAR), ["www.example.com", "a.b.example.com"]);
}

#[test]
fn a_leading_dot_is_the_name_and_everything_below_as_in_dstdomain() {
    assert_eq!(contained(".example.com", NEAR), ["example.com", "www.example.com", "a.b.example.com"]);
}

#[test]
fn a_line_of_a_hosts_file_is_its_names_without_those_of_the_machine() {
    let text = "127.0.0.1 localhost localhost.localdomain\n::1\tip6-localhost LOCALHOST\nfe80::1%lo0 localhost\n\
                0.0.0.0 0.0.0.0\n0.0.0.0 a.example  b.example # two\n192.0.2.1 c.example\n";
    let hosts = ["a.example", "b.example", "c.example", "localhost", "0.0.0.0", "192.0.2.1", "x.a.example", "two"];
    assert_eq!(contained(text, &hosts), ["a.example", "b.example", "c.example"]);
    assert_eq!(counts(text), [3, 0, 0, 0, 0, 6]);
}

#[test]
fn addresses_are_held_exactly_and_name_no_neighbour() {
    let text = "192.0.2.1\n2001:db8::1\n[2001:DB8:0::2]\n192.0.2.1\n";
    let hosts = [
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.0",
        "[2001:db8::1]",
        "[2001:db8::2]",
        "[2001:db8::3]",
        "[::ffff:192.0.2.1]",
    ];
    assert_eq!(contained(text, &hosts), ["192.0.2.1", "[2001:db8::1]", "[2001:db8::2]"]);
    assert_eq!(counts(text), [0, 0, 3, 1, 0, 0]);
}

#[test]
fn case_a_trailing_dot_and_unicode_are_the_same_name() {
    assert_eq!(contained("WWW.Example.COM.", NEAR), ["www.example.com"]);
    assert_eq!(contained("日本.example\n*.é.example.", &["xn--wgv71a.example", "a.xn--9ca.example"]).len(), 2);
    assert_eq!(counts("日本.example\nxn--wgv71a.EXAMPLE\n"), [1, 0, 0, 1, 0, 0]);
}

#[test]
fn a_mark_comments_crlf_blanks_and_a_last_line_without_end_mean_nothing() {
    let text = "\u{feff}# list\r\na.example\r\n\r\n  \t\r\n  b.example # why\r\nc.example#why\r\n\td.example";
    let hosts = ["a.example", "b.example", "c.example", "d.example", "list", "why"];
    assert_eq!(contained(text, &hosts), hosts[..4]);
    assert_eq!(counts(text), [4, 0, 0, 0, 0, 0]);
}

#[test]
fn an_empty_list_holds_nothing() {
    for text in ["", "\n", "# nothing\n", "\u{feff}"] {
        assert_eq!(counts(text), [0; 6]);
        let compiled = compiled(text);
        assert!(compiled.set.is_empty() && compiled.bad_lines.count == 0);
        assert!(NEAR.iter().all(|name| !compiled.set.contains(&host(name))));
        assert!(NameSet::from_bytes(compiled.set.as_bytes().to_vec()).unwrap().set.is_empty());
    }
}

#[test]
fn entries_that_are_there_already_or_below_a_pattern_are_counted_and_not_held() {
    let text = "a.example\nA.example.\n*.a.example\n*.a.example\nx.a.example\n*.y.a.example\nba.example\n";
    assert_eq!(counts(text), [2, 1, 0, 2, 2, 0]);
    assert_eq!(contained(text, &["x.a.example", "z.y.a.example", "a.example", "b.example"]).len(), 3);
    assert_eq!(counts(".a.example\n.a.example\n.b.a.example"), [1, 1, 0, 2, 2, 0]);
}

#[test]
fn a_bad_line_says_why() {
    for (line, expected) in [
        ("a.example b.example", "`a.example b.example`: several words on a line begin with an address"),
        ("https://a.example/", "`https://a.example/`: it is an URL or a path"),
        ("10.0.0.0/8", "`10.0.0.0/8`: it is an URL or a path"),
        ("a..example", "`a..example`: the host has an empty label"),
        ("*", "*: a list cannot mean every host"),
        (".", "``: the host is empty"),
        ("*.", "``: the host is empty"),
        ("*.192.0.2.1", "`*.192.0.2.1`: a dot or `*.` stands before a name"),
        (".192.0.2.1", "`.192.0.2.1`: a dot or `*.` stands before a name"),
        ("a*.example", "`a*.example`: the host has a character that no DNS name has"),
        ("*.*.example", "`*.example`: the host has a character"),
        ("||a.example^", "`||a.example^`: the host has a character"),
        ("0x7f.1", "`0x7f.1`: the host looks like an IPv4 address in octal"),
        ("0.0.0.0 192.0.2.1", "`192.0.2.1`: a name is expected behind an address"),
        ("0.0.0.0 *.a.example", "`*.a.example`: the host has a character"),
        ("127.1 a.example", "`127.1 a.example`: several words"),
        ("xn--zzzzzzz99999.example", "`xn--zzzzzzz99999.example`: the host has a label that is not valid Punycode"),
        ("a.example\0", "`a.example\\0`: the host has a character"),
    ] {
        let why = why(line);
        assert!(why.starts_with(expected), "{line}: {why}");
    }
    let not_text = NameSet::compile(b"ok.example\n\xff.example\n").bad_lines;
    assert_eq!((not_text.count, not_text.first[0].line), (1, 2));
    assert!(not_text.first[0].why.ends_with("it is not UTF-8"));
}

#[test]
fn a_bad_line_is_in_the_set_in_no_part_and_the_lines_around_it_are() {
    let text = "a.example\n0.0.0.0 b.example localhost c..example\n0.0.0.0 d.example\n";
    let compiled = compiled(text);
    assert_eq!(compiled.bad_lines.first.iter().map(|bad| bad.line).collect::<Vec<_>>(), [2]);
    assert!(!compiled.set.contains(&host("b.example")));
    assert!(compiled.set.contains(&host("a.example")) && compiled.set.contains(&host("d.example")));
    assert_eq!(compiled.counts.skipped, 0);
}

#[test]
fn of_many_bad_lines_the_first_hundred_are_kept_and_all_are_counted() {
    let bad = compiled(&"a b\n".repeat(250)).bad_lines;
    let lines: Vec<u64> = bad.first.iter().map(|bad| bad.line).collect();
    assert_eq!((bad.count, lines), (250, (1..=100).collect()));
}

#[test]
fn a_line_of_4096_bytes_is_read_and_a_longer_one_is_bad() {
    let line = |bytes: usize| format!("a.example{}", " ".repeat(bytes - "a.example".len()));
    assert_eq!(contained(&line(LINE_BYTES_MAX), &["a.example"]), ["a.example"]);
    assert!(why(&line(LINE_BYTES_MAX + 1)).contains("longer than 4096 bytes"));
    assert!(why(&"a".repeat(1 << 20)).len() < 200, "what is shown of it is cut");
}

#[test]
fn what_is_kept_is_taken_back_with_counts_and_bad_lines() {
    let compiled = compiled("a.example\n.b.example\na b\n192.0.2.1\n2001:db8::1\na.example\n127.0.0.1 localhost\n");
    let again = NameSet::from_bytes(compiled.set.as_bytes().to_vec()).unwrap();
    assert_eq!((again.counts, &again.bad_lines, again.source), (compiled.counts, &compiled.bad_lines, compiled.source));
    assert_eq!((again.set.len(), again.set.as_bytes()), (5, compiled.set.as_bytes()));
    for name in ["a.example", "x.b.example", "192.0.2.1", "[2001:db8::1]"] {
        assert!(again.set.contains(&host(name)), "{name}");
    }
    assert!(!again.set.contains(&host("x.a.example")));
}

#[test]
fn a_set_that_is_damaged_anywhere_or_cut_is_refused() {
    let bytes = compiled(".a.example\nx y\n192.0.2.1\n").set.as_bytes().to_vec();
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let expected = if at < 16 { DamagedSet::Version } else { DamagedSet::Checksum };
        assert_eq!(NameSet::from_bytes(damaged).unwrap_err(), expected, "byte {at}");
        assert!(NameSet::from_bytes(bytes[..at].to_vec()).is_err(), "cut at {at}");
    }
    assert!(NameSet::from_bytes([bytes.as_slice(), &[0]].concat()).is_err());
}

/// What a list means, by sets of texts and a walk over labels.
fn oracle(patterns: &[String], name: &str) -> bool {
    let lines: HashSet<&str> = patterns.iter().map(String::as_str).collect();
    let labels: Vec<&str> = name.split('.').collect();
    let above = |from: usize| labels[from..].join(".");
    lines.contains(name)
        || lines.contains(format!(".{name}").as_str())
        || (1..labels.len()).any(|from| {
            lines.contains(format!("*.{}", above(from)).as_str())
                || lines.contains(format!(".{}", above(from)).as_str())
        })
}

proptest! {
    #[test]
    fn a_set_contains_what_its_patterns_mean(
        patterns in vec("(\\*\\.|\\.)?([ab]{1,2}\\.){0,3}(a|b|c|ab)b", 0..40),
        long in vec("(\\*\\.)?[a-z]{1,20}\\.[a-c]{1,9}example\\.(com|org)", 0..10),
        names in vec("([ab]{1,2}\\.){0,4}(a|b|c|ab)b", 20),
    ) {
        let patterns = [patterns, long].concat();
        let compiled = compiled(&patterns.join("\n"));
        prop_assert_eq!(compiled.bad_lines.count, 0);
        let NameCounts { names: held, below, addresses, duplicates, shadowed, .. } = compiled.counts;
        let dotted = patterns.iter().filter(|pattern| pattern.starts_with('.')).count();
        prop_assert_eq!(held + below + addresses + duplicates + shadowed, (patterns.len() + dotted) as u64);
        // Near misses of each pattern beside names of their own.
        let near = patterns.iter().flat_map(|pattern| {
            let base = pattern.trim_start_matches("*.").trim_start_matches('.');
            let parent = base.split_once('.').map_or(base, |(_, parent)| parent);
            [base.to_owned(), format!("x.{base}"), format!("x{base}"), format!("{base}.evil.example"), parent.to_owned()]
        });
        for name in names.into_iter().chain(near) {
            prop_assert_eq!(compiled.set.contains(&host(&name)), oracle(&patterns, &name), "{} in {:?}", name, &patterns);
        }
    }
}
