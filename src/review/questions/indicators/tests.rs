use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Vec<String> {
    Indicators::read(text).all.iter().map(|one| format!("{} {}", one.value.kind(), one.value.in_words())).collect()
}

#[test]
fn plain_and_defanged_indicators_are_what_they_were() {
    for (text, expected) in [
        ("evil.example", "host evil.example"),
        ("EVIL.Example.", "host evil.example"),
        ("evil[.]example", "host evil.example"),
        ("evil(.)example", "host evil.example"),
        ("evil{.}example", "host evil.example"),
        ("evil[dot]example", "host evil.example"),
        ("evil (DOT) example", "host evil.example"),
        ("evil[.example", "host evil.example"),
        ("evil\\.example", "host evil.example"),
        ("*.evil.example", "host evil.example"),
        ("関所.example", "host xn--8ous75i.example"),
        ("hxxp://evil[.]example/", "host evil.example"),
        ("hxxps[:]//evil[.]example/a/b.exe", "url evil.example/a/b.exe"),
        ("hXXp[://]evil[.]example:8080/a?id=1#x", "url evil.example:8080/a?…"),
        ("http://user[at]evil[.]example/x", "url evil.example/x"),
        ("evil.example/path", "url evil.example/path"),
        ("evil.example:8443", "host evil.example"),
        ("192.0.2[.]7", "address 192.0.2.7"),
        ("192[.]0[.]2[.]7:443", "address 192.0.2.7"),
        ("hxxp://192.0.2.7/x", "url 192.0.2.7/x"),
        ("2001:db8::7", "address 2001:db8::7"),
        ("[2001:db8::7]", "address 2001:db8::7"),
        ("2001[:]db8[:][:]7", "address 2001:db8::7"),
        ("::ffff:192.0.2.7", "address 192.0.2.7"),
        ("192.0.2.77/24", "prefix 192.0.2.0/24"),
        ("2001:db8::/32", "prefix 2001:db8::/32"),
        ("t13d1516h2_8daaf6152771_02713d6af862", "ja4 t13d1516h2_8daaf6152771_02713d6af862"),
        ("  \"evil.example\"  # seen in March", "host evil.example"),
    ] {
        assert_eq!(read(text), [expected], "{text}");
    }
    let hash = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
    assert_eq!(read(hash), [format!("sha256 {}", hash.to_lowercase())]);
}

#[test]
fn what_is_near_to_an_indicator_and_is_none_is_told_of_by_its_line() {
    for text in [
        "evil",
        "see the report",
        "someone@evil.example",
        "e3b0c44298fc1c149afbf4c8996fb924",
        "1.2.3",
        "999.0.2.7",
        "192.0.2.0/33",
        "file:///etc/passwd",
        "t13d1516h2_8daaf6152771",
        "a..example",
        "evil.example:99999",
    ] {
        let read = Indicators::read(&format!("# list\n{text}\n"));
        assert_eq!(read.all, [], "{text}");
        assert_eq!(read.not_understood, [NotUnderstood { line: 2, text: text.to_owned() }]);
    }
}

#[test]
fn of_csv_the_cells_that_are_indicators_count_each_once() {
    let list = "\u{feff}type,indicator,comment\r\ndomain,evil[.]example,\"first, seen \"\"here\"\"\"\r\n\
        ip,192.0.2.7,\r\ndomain,evil.example,again\r\nnote,nothing here,\r\n\r\nurl;hxxps://b.example/x;c\n\
        https://c.example/a,b\n";
    assert_eq!(read(list), ["host evil.example", "address 192.0.2.7", "url b.example/x", "url c.example/a,b"]);
    let not: Vec<usize> = Indicators::read(list).not_understood.iter().map(|line| line.line).collect();
    assert_eq!(not, [5]);
}

/// As people defang, at one random way for each part.
fn defang(text: &str, ways: &[u8]) -> String {
    let mut ways = ways.iter().cycle();
    let mut out = String::new();
    for character in text.replace("http", "hxxp").chars() {
        match (character, ways.next()) {
            ('.', Some(1)) => out.push_str("[.]"),
            ('.', Some(2)) => out.push_str("(dot)"),
            ('.', Some(3)) => out.push_str("[DOT]"),
            ('.', Some(4)) => out.push_str("{.}"),
            ('.', Some(5)) => out.push_str("[.]"),
            (':', Some(1 | 2)) => out.push_str("[:]"),
            (other, _) => out.push(other),
        }
    }
    out
}

proptest! {
    #[test]
    fn however_it_is_defanged_it_is_the_same(
        host in "[a-z]{1,9}(-[a-z]{1,5})?\\.[a-z]{1,9}\\.(example|test|co\\.jp)",
        path in "(/[a-zA-Z0-9_-]{1,9}){0,3}",
        ways in prop::collection::vec(0u8..6, 1..40),
        with_scheme in any::<bool>(),
    ) {
        let scheme = if with_scheme { "https://" } else { "" };
        let plain = format!("{scheme}{host}{path}");
        let kind = if path.is_empty() { "host" } else { "url" };
        prop_assert_eq!(read(&plain), [format!("{kind} {host}{path}")]);
        prop_assert_eq!(read(&defang(&plain, &ways)), read(&plain));
    }

    #[test]
    fn no_text_breaks_the_reader_and_each_line_counts_once_at_most(text in "(\\PC|[\n\t,;\"\\[\\]().:/]){0,300}") {
        let read = Indicators::read(&text);
        let lines = text.lines().count();
        prop_assert!(read.not_understood.len() <= lines);
        prop_assert!(read.all.iter().all(|one| one.line >= 1 && one.line <= lines));
        // A path may hold what separates cells, or ends a line of a list: alone on a line it is another.
        let is_plain = |one: &&Indicator| !one.value.in_words().contains([',', ';', '"', '\'', '`', '<', '>', '[', '(', '{', '\\']);
        for one in read.all.iter().filter(is_plain) {
            let again = Indicators::read(&one.value.in_words().replace("?…", "?q"));
            let mut shown = one.value.clone();
            // What is asked for stands in no words.
            if let Value::Url { query: Some(query), .. } = &mut shown {
                *query = "q".to_owned();
            }
            prop_assert_eq!(again.all.first().map(|again| &again.value), Some(&shown), "{:?}", one);
        }
    }
}
