use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::evidence::read_record;
use crate::formats::Zone;
use crate::formats::properties;

use super::*;

const SQUID: &str =
    "1795510800.250 142 10.0.0.1 TCP_MISS/200 5120 GET http://a.example/ - HIER_DIRECT/192.0.2.7 text/html";
const COMBINED: &str =
    r#"10.0.0.1 - - [24/Nov/2026:18:00:00 +0900] "GET http://a.example/ HTTP/1.1" 200 5 "-" "-" TCP_MISS:HIER_DIRECT"#;
const JSON: &str =
    r#"{"ts":1795510800.1,"id.orig_h":"10.0.0.1","id.resp_h":"192.0.2.7","id.resp_p":443,"conn_state":"SF"}"#;
const JOURNAL: &str =
    r#"{"v":1,"seq":9,"gate":"g","time":"2026-11-24T09:00:00.000000Z","kind":"gap","cause":"x","h":"0"}"#;
const HEADER: [&str; 4] = [
    "#separator \\x09",
    "#path\tconn",
    "#fields\tts\tid.orig_h\tid.resp_h\tid.resp_p",
    "#types\ttime\taddr\taddr\tport",
];
const ROW: &str = "1795510800.1\t10.0.0.1\t192.0.2.7\t443";

/// What became of a line: a letter for each.
fn letter(line: &Line<'_>) -> char {
    match line {
        Line::Observed(_) => 'o',
        Line::Journal => 'j',
        Line::Passed => 'p',
        Line::Bad(_) => 'b',
    }
}

fn read_all(reader: &mut Reader, lines: &[&str]) -> String {
    lines.iter().map(|line| letter(&reader.read(line.as_bytes()))).collect()
}

#[test]
fn the_first_line_that_has_a_format_says_which() {
    for (line, format, what) in [
        (SQUID, Format::Squid, 'o'),
        (COMBINED, Format::Combined, 'o'),
        (JSON, Format::ZeekJson, 'o'),
        (JOURNAL, Format::Journal, 'j'),
        (HEADER[0], Format::ZeekTable, 'p'),
    ] {
        let mut reader = Reader::new();
        assert_eq!((read_all(&mut reader, &["", "# a comment", " \t "]).as_str(), reader.format()), ("ppp", None));
        assert_eq!((letter(&reader.read(line.as_bytes())), reader.format()), (what, Some(format)), "{line}");
        assert_eq!(reader.refusal(), None);
    }
}

#[test]
fn logs_of_several_formats_may_follow_each_other() {
    let mut reader = Reader::new();
    let lines = [&[SQUID, SQUID, "x"][..], &HEADER, &[ROW, ROW, COMBINED, JSON, JOURNAL, SQUID, ROW, "x"]].concat();
    assert_eq!(read_all(&mut reader, &lines), "oobppppooooj".to_owned() + "oob");
    assert_eq!(reader.tally(), Tally { lines: 15, observed: 8, journal: 1, passed: 4, bad: 2 });
    assert_eq!(reader.sample().iter().map(|bad| bad.line).collect::<Vec<_>>(), [3, 15]);
    assert_eq!(reader.zones().seen(), [Zone::UTC, Zone(540)]);
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_change_nothing() {
    let mut reader = Reader::new();
    for line in HEADER {
        assert!(matches!(reader.read(format!("\u{feff}{line}\r\n").as_bytes()), Line::Passed));
    }
    let line = format!("{ROW}\r\n");
    let Line::Observed(observed) = reader.read(line.as_bytes()) else { panic!("not read") };
    assert_eq!((observed.port, observed.line), (443, 5));
}

#[test]
fn utf16_is_named_once_and_nothing_after_it_is_read() {
    for big in [false, true] {
        for mark in ["\u{feff}", ""] {
            let units = format!("{mark}{SQUID}\r\n{SQUID}\r\n");
            let order = |unit: u16| if big { unit.to_be_bytes() } else { unit.to_le_bytes() };
            let bytes: Vec<u8> = units.encode_utf16().flat_map(order).collect();
            let mut reader = Reader::new();
            let read: String =
                bytes.split_inclusive(|byte| *byte == b'\n').map(|line| letter(&reader.read(line))).collect();
            assert!(read.len() > 1 && read.chars().all(|letter| letter == 'b'), "{read}");
            assert_eq!((reader.sample().len(), reader.refusal()), (1, Some(Fault::Utf16)));
            assert!(reader.sample()[0].reason.contains("UTF-16") && reader.sample()[0].reason.contains("iconv"));
        }
    }
}

#[test]
fn bytes_that_are_no_utf8_are_read_as_latin_1() {
    let mut reader = Reader::new();
    let line = b"1795510800.250 1 10.0.0.1 TCP_MISS/200 1 GET http://A.example/caf\xe9 - HIER_NONE/- -";
    let Line::Observed(observed) = reader.read(line) else { panic!("not read") };
    assert_eq!((observed.host, observed.path), ("a.example", "/café"));
}

#[test]
fn a_line_that_is_too_long_is_bad_and_harms_no_other() {
    let mut reader = Reader::new();
    let long = SQUID.replace("a.example/", &format!("a.example/{}", "x".repeat(LINE_BYTES_MAX)));
    assert!(matches!(reader.read(long.as_bytes()), Line::Bad(Fault::TooLong)));
    assert_eq!(read_all(&mut reader, &[SQUID]), "o");
    assert!(reader.sample()[0].begins.len() <= 120);
}

#[test]
fn the_first_bad_lines_are_kept_with_their_reason_and_safe_to_look_at() {
    let mut reader = Reader::new();
    let bad = "1795510800.250 1 10.0.0.1 \u{1b}[2J\u{202e}".to_owned() + &"x".repeat(500);
    read_all(&mut reader, &[SQUID, &bad]);
    let kept = &reader.sample()[0];
    assert_eq!((kept.line, kept.reason.as_str()), (2, "it ends before its status"));
    assert!(kept.begins.starts_with("1795510800.250 1 10.0.0.1 \\u{1b}[2J\\u{202e}xxx"), "{}", kept.begins);
    read_all(&mut reader, &["x"; 50]);
    assert_eq!((reader.sample().len(), reader.tally().bad), (SAMPLE_MAX, 51));
}

#[test]
fn a_bad_header_is_kept_once_for_all_lines_below_it() {
    let mut reader = Reader::new();
    let header = ["#separator \\x09", "#path\tconn", "#fields\tts\tid.resp_h"];
    assert_eq!(read_all(&mut reader, &[&header[..], &[ROW; 20]].concat()), "ppb".to_owned() + &"b".repeat(20));
    let missing = Fault::MissingColumn { log: "conn", column: "id.orig_h" };
    assert_eq!(reader.refusal(), Some(missing));
    assert_eq!(reader.sample().iter().map(|bad| bad.line).collect::<Vec<_>>(), [3]);
    assert!(reader.sample()[0].reason.contains("id.orig_h"));
    // The next header may be better.
    assert_eq!(read_all(&mut reader, &[&HEADER[..], &[ROW]].concat()), "ppppo");
    assert_eq!(reader.refusal(), None);
}

#[test]
fn a_file_of_no_known_format_is_given_up_after_a_hundred_lines() {
    for (line, fault) in [("just text", Fault::Unknown), (ROW, Fault::NoHeader)] {
        let mut reader = Reader::new();
        read_all(&mut reader, &[line; 99]);
        assert_eq!((reader.refusal(), reader.tally().bad), (None, 99), "{line}");
        read_all(&mut reader, &[line]);
        assert_eq!(reader.refusal(), Some(fault), "{line}");
    }
}

#[test]
fn another_log_of_zeek_is_passed_over_by_name() {
    let mut reader = Reader::new();
    let lines = ["#separator \\x09", "#path\tdns", "#fields\tts\tquery", "1795510800.1\ta.example", "1795510800.1\tb"];
    assert_eq!(read_all(&mut reader, &lines), "ppppp");
    assert_eq!((reader.passed_over(), reader.refusal()), (Some("dns"), None));
    read_all(&mut reader, &[SQUID]);
    assert_eq!(reader.passed_over(), None);
}

#[test]
fn a_record_that_proves_damaged_is_counted_among_the_bad() {
    let mut reader = Reader::new();
    let line = &JOURNAL.as_bytes()[..40];
    assert!(matches!(reader.read(line), Line::Journal));
    let why = read_record(line).unwrap_err();
    reader.refuse(line, &why);
    assert_eq!(reader.tally(), Tally { lines: 1, bad: 1, ..Tally::default() });
    assert_eq!(reader.sample().len(), 1);
}

#[test]
fn reading_a_line_allocates_nothing() {
    let mut reader = Reader::new();
    let escaped = SQUID.replace(" - ", r" SITE\\ada ").replace("a.example", "A.Example");
    let quoted = COMBINED.replace(r#""-" "-""#, r#""-" "a \"b\"""#);
    let json = JSON.replace("SF", "\\u0053F");
    let lines = [&HEADER[..], &[ROW, SQUID, &escaped, COMBINED, &quoted, JSON, &json]].concat();
    read_all(&mut reader, &lines);
    let used = allocation_counter::measure(|| {
        for line in &lines[4..] {
            assert!(matches!(reader.read(line.as_bytes()), Line::Observed(_)), "{line}");
        }
    });
    // What a column's name is compared with in JSON may be undone in serde_json's own room.
    assert!(used.count_total <= 2, "{}", used.count_total);
}

/// Pieces by which a line comes near to being one of a format.
const PIECES: &[&str] = &[
    SQUID,
    COMBINED,
    JSON,
    JOURNAL,
    ROW,
    "#separator \\x09",
    "#separator |",
    "#path\tconn",
    "#path\thttp",
    "#unset_field\tx",
    "#fields\tts\tid.orig_h\tid.resp_h\tid.resp_p",
    "#fields\tid.orig_h\tts\tmethod\thost\turi",
    "#fields|ts",
    "#close",
    "\n",
    "\n",
    "\r\n",
    "\t",
    " ",
    "-",
    "\"",
    "\\",
    "\\x",
    "{",
    "}",
    ":",
    ",",
    "[",
    "]",
    "1795510800.1",
    "CONNECT",
    "::1",
    "http://",
    "@",
    "/",
    "?",
    ".",
    "é",
    "\u{feff}",
    "{\"ts\":1,\"id.orig_h\":\"a\",\"host\":\"",
    "\"_path\":\"http\"",
];

proptest! {
    #[test]
    fn any_bytes_are_lines(bytes in vec(any::<u8>(), 0..300)) {
        properties::lines(&bytes);
    }

    #[test]
    fn lines_of_telling_pieces(pieces in vec(select(PIECES), 0..24)) {
        properties::lines(pieces.concat().as_bytes());
    }

    #[test]
    fn altered_lines(which in 0..5_usize, changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let mut bytes = HEADER.join("\n") + "\n" + [SQUID, COMBINED, JSON, JOURNAL, ROW][which] + "\n";
        bytes.push_str(SQUID);
        let mut bytes = bytes.into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        properties::lines(&bytes);
    }
}
