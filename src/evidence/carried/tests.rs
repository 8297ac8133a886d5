use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::evidence::Event;
use crate::facts::ExchangeId;
use crate::parse::{HeadLimits, take_response_head};

use super::*;

fn fields(lines: &str) -> Fields {
    let mut head = BytesMut::from(format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes());
    take_response_head(&mut head, &HeadLimits::default(), &mut 0).unwrap().unwrap().fields
}

fn carried(status: u16, lines: &str) -> Option<Carried> {
    Carried::of(status, &fields(lines), Some("/a/setup.exe"))
}

/// Type, hash, whether it was cut, and name.
type Told = (Option<&'static str>, Option<String>, Option<bool>, Option<String>);

fn told(carried: &Carried) -> Told {
    let mut record = Exchange::new(Event::Close, ExchangeId(1));
    carried.describe(&mut record);
    let name = record.file_name.map(|name| serde_json::to_value(name).unwrap().as_str().unwrap().to_owned());
    (record.body_type, record.body_sha256, record.body_cut, name)
}

fn after(mut carried: Carried, body: &[u8], piece: usize) -> Told {
    body.chunks(piece).for_each(|piece| carried.pass(piece));
    carried.end();
    told(&carried)
}

fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

fn elf() -> Vec<u8> {
    [b"\x7fELF\x02\x01\x01".as_slice(), &[7; 3000]].concat()
}

#[test]
fn a_carrier_has_its_hash_and_its_name_and_what_is_none_has_only_its_type() {
    let elf = elf();
    let name = Some("setup.exe".to_owned());
    assert_eq!(after(carried(200, "").unwrap(), &elf, 700), (Some("elf"), Some(sha256(&elf)), None, name));
    assert_eq!(after(carried(200, "").unwrap(), b"<html>", 700), (Some("html"), None, None, None));
    assert_eq!(after(carried(200, "").unwrap(), b"", 1), (None, None, None, None));
    let given = "Content-Disposition: attachment; filename=a.csv\r\n";
    assert_eq!(after(carried(200, given).unwrap(), b"a,b", 1).3.as_deref(), Some("a.csv"));
    let odd = Carried::of(200, &fields(""), Some("/a.pdf.js")).unwrap();
    assert_eq!(after(odd, b"alert(1)", 9).3.as_deref(), Some("a.pdf.js"));
    // By sha256sum(1).
    let known = "c4e7139bd31ca16a1f860625e8be1f560a2e0b0459f3610975a73a61ce60ade1";
    assert_eq!(after(carried(200, "").unwrap(), b"#!/bin/sh\necho\n", 3).1.as_deref(), Some(known));
}

#[test]
fn what_does_not_come_to_its_end_has_no_hash_and_says_so() {
    for length in [7, 600, 3000] {
        let mut cut = carried(200, "").unwrap();
        cut.pass(&elf()[..length]);
        assert_eq!(told(&cut), (Some("elf"), None, Some(true), Some("setup.exe".to_owned())), "{length}");
    }
    let mut cut = carried(200, "").unwrap();
    cut.pass(b"<html>");
    assert_eq!(told(&cut), (Some("html"), None, None, None));
}

#[test]
fn it_looks_on_only_as_long_as_there_is_something_to_see() {
    let (mut text, mut elf_seen) = (carried(200, "").unwrap(), carried(200, "").unwrap());
    text.pass(&[b'a'; BODY_TYPE_BYTES - 1]);
    assert!(text.looks_on());
    text.pass(b"a");
    elf_seen.pass(&elf());
    assert!(!text.looks_on() && elf_seen.looks_on());
    elf_seen.end();
    assert!(!elf_seen.looks_on());
}

#[test]
fn a_coded_body_is_said_to_be_so_and_a_part_is_no_whole() {
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03";
    let types = |status, lines: &str, body: &[u8]| {
        carried(status, lines).map(|carried| after(carried, body, 100)).map(|told| (told.0, told.1.is_some(), told.2))
    };
    assert_eq!(types(200, "Content-Encoding: gzip\r\n", gzip), Some((Some("encoded"), false, None)));
    assert_eq!(types(200, "Content-Encoding: br, gzip\r\n", gzip), Some((Some("encoded"), false, None)));
    assert_eq!(types(200, "Content-Encoding: identity\r\n", gzip), Some((Some("gzip"), true, None)));
    assert_eq!(types(200, "Content-Encoding: gzip\r\n", &elf()), Some((Some("elf"), true, None)), "no gzip is in it");
    for (lines, seen) in [
        ("Content-Range: bytes 0-3006/3007\r\n", Some((Some("elf"), true, None))),
        ("Content-Range: bytes 0-3006/9000\r\n", Some((Some("elf"), false, Some(true)))),
        ("Content-Range: bytes 0-3006/*\r\n", Some((Some("elf"), false, Some(true)))),
        ("Content-Range: bytes 1-3007/9000\r\n", None),
        ("Content-Range: nonsense\r\n", None),
        ("Content-Type: multipart/byteranges; boundary=a\r\n", None),
    ] {
        assert_eq!(types(206, lines, &elf()), seen, "{lines}");
    }
}

proptest! {
    #[test]
    fn in_whatever_pieces_it_comes_the_same_is_seen(
        start in select(vec![&b"\x7fELF\x02"[..], b"PK\x03\x04", b"#!/bin/sh\n", b"MZ", b"<html>", b"text", b"\0", b""]),
        more in vec(any::<u8>(), 0..1500),
        pieces in vec(1_usize..900, 1..12),
        coding in select(vec!["", "Content-Encoding: gzip\r\n", "Content-Encoding: br\r\n"]),
    ) {
        let body = [start, &more].concat();
        let whole = after(carried(200, coding).unwrap(), &body, body.len().max(1));
        let mut seen = carried(200, coding).unwrap();
        let mut rest = &body[..];
        for piece in pieces.into_iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (here, behind) = rest.split_at(piece.min(rest.len()));
            seen.pass(here);
            rest = behind;
        }
        seen.end();
        prop_assert_eq!(&told(&seen), &whole);
        if let (_, Some(hash), _, _) = whole {
            prop_assert_eq!(hash, sha256(&body));
        }
    }
}
