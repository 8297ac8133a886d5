use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::parse::{HeadLimits, take_response_head};

use super::*;

/// `bytes`, and as many zeros behind them as are looked at.
fn padded(bytes: &[u8]) -> Vec<u8> {
    [bytes, &[0; BODY_TYPE_BYTES]].concat()
}

/// A PE whose second header is at `at`.
fn pe(at: u32) -> Vec<u8> {
    let mut bytes = padded(b"MZ\x90\0\x03");
    bytes[0x3c..0x40].copy_from_slice(&at.to_le_bytes());
    let at = at as usize;
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(b"PE\0\0");
    }
    bytes
}

/// What stands in front of the first entry of a ZIP with this name.
fn zip(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).unwrap();
    [b"PK\x03\x04\x14\0\x08\x08\x08\0\x5d\xba\x7a\x5b\0\0\0\0\0\0\0\0\0\0\0\0", &[length, 0, 0, 0][..], name.as_bytes()]
        .concat()
}

fn tar() -> Vec<u8> {
    let mut bytes = padded(b"notes.txt");
    bytes[257..263].copy_from_slice(b"ustar\0");
    bytes
}

/// Beginnings of each type, as programs that write it make them.
fn examples() -> Vec<(BodyType, Vec<u8>)> {
    let mut all = vec![
        (Pe, pe(0x80)),
        (Pe, pe(0xf8)),
        (Pe, pe(4)),
        (Pe, pe(0x400)),
        (Zip, zip("[Content_Types].xml")),
        (Zip, zip("META-INF")),
        (Jar, zip("META-INF/MANIFEST.MF")),
        (Tar, tar()),
    ];
    let given: &[(BodyType, &[u8])] = &[
        (Elf, b"\x7fELF\x02\x01\x01\0"),
        (MachO, b"\xcf\xfa\xed\xfe\x07\0\0\x01"),
        (MachO, b"\xfe\xed\xfa\xce\0\0\0\x12"),
        (MachO, b"\xca\xfe\xba\xbe\0\0\0\x02\x01\0\0\x07"),
        (JavaClass, b"\xca\xfe\xba\xbe\0\0\0\x41\0\x1f"),
        (JavaClass, b"\xca\xfe\xba\xbe\xff\xff\0\x41\0\x1f"),
        (Lnk, b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F\x9b\0\x08\0"),
        (Script, b"#!/bin/sh\necho\n"),
        (Script, b"#! /usr/bin/env python3\n"),
        (Script, b"<?php echo 1;"),
        (Script, b"\xef\xbb\xbf@ECHO OFF\r\nstart x"),
        (Script, b"#@~^RQAAAA=="),
        (Script, b"<html><head><HTA:APPLICATION ID=\"x\"></head>"),
        (Zip, b"PK\x05\x06\0\0\0\0"),
        (Gzip, b"\x1f\x8b\x08\0\0\0\0\0\0\x03"),
        (Bzip2, b"BZh91AY&SY\x01"),
        (Xz, b"\xfd7zXZ\0\0\x04"),
        (Zstd, b"\x28\xb5\x2f\xfd\x04\x58"),
        (Lz4, b"\x04\x22\x4d\x18\x64\x40"),
        (SevenZip, b"7z\xbc\xaf\x27\x1c\0\x04"),
        (Rar, b"Rar!\x1a\x07\0\xcf"),
        (Rar, b"Rar!\x1a\x07\x01\0"),
        (Cab, b"MSCF\0\0\0\0\x10\x02"),
        (Ole, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0"),
        (Deb, b"!<arch>\ndebian-binary   1700000000  0     0     100644  4         `\n2.0\n"),
        (Rpm, b"\xed\xab\xee\xdb\x03\0"),
        (Crx, b"Cr24\x03\0\0\0\x45\x02"),
        (VirtualDisk, b"vhdxfileM\0i\0"),
        (Pdf, b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"),
        (Rtf, b"{\\rtf1\\ansi"),
        (Png, b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR"),
        (Jpeg, b"\xff\xd8\xff\xe0\0\x10JFIF\0"),
        (Gif, b"GIF89a\x01\0\x01\0"),
        (Webp, b"RIFF\x24\0\0\0WEBPVP8 "),
        (Icon, b"\0\0\x01\0\x01\0\x10\x10"),
        (Media, b"RIFF\x24\0\0\0WAVEfmt "),
        (Media, b"\0\0\0\x1cftypavif\0\0\0\0"),
        (Media, b"\x1a\x45\xdf\xa3\x01\0"),
        (Media, b"ID3\x04\0\0"),
        (Font, b"wOF2\0\x01\0\0"),
        (Wasm, b"\0asm\x01\0\0\0"),
        (Html, b"\r\n <!DOCTYPE html>\n"),
        (Html, b"<HTML lang=ja>"),
        (Html, b"<!-- a page -->"),
        (Xml, b"<?xml version=\"1.0\"?><rss/>"),
        (Xml, b"<svg xmlns=\"http://www.w3.org/2000/svg\">"),
        (Json, b"{ \"a\": 1 }"),
        (Json, b"[\n  {}\n]"),
        (Json, b"[]"),
        (Text, b"body { color: red }"),
        (Text, b"(function(){})()"),
        (Text, b"$client = New-Object Net.WebClient"),
        (Text, b"\xff\xfeS\0e\0t\0"),
        (Text, "\u{feff}Set x = CreateObject(\"a\")".as_bytes()),
        (Text, b"\x8a\xd6\x8f\x8a"),
        (Binary, b"\0\0\0\0"),
        (Binary, b"\x93\x12\x07\xee\x01"),
    ];
    all.extend(given.iter().map(|(kind, bytes)| (*kind, bytes.to_vec())));
    all
}

#[test]
fn each_type_is_told_by_what_it_begins_with() {
    for (kind, bytes) in examples() {
        assert_eq!(BodyType::of(&bytes), Some(kind), "{}", bytes[..32.min(bytes.len())].escape_ascii());
    }
    assert_eq!(BodyType::of(b""), None);
}

#[test]
fn what_is_near_to_a_type_is_not_taken_for_it() {
    let mut no_header = pe(0x80);
    no_header[0x80] = b'N';
    let mut far = pe(0x7fff_ffff);
    for (bytes, kind) in [
        (no_header.clone(), Binary),
        (std::mem::take(&mut far), Binary),
        // It ends before the place at which its second header is said to be.
        (pe(0x400)[..256].to_vec(), Binary),
        (b"MZ is what a PE begins with".to_vec(), Text),
        (b"\x7fELG".to_vec(), Text),
        (b"PKZIP made archives".to_vec(), Text),
        (b"BZh9 and then text".to_vec(), Text),
        (b"ID3 tags are described here".to_vec(), Text),
        (b"Cr24 is text".to_vec(), Text),
        (b"RIFF\x24\0\0\0ACON".to_vec(), Binary),
        (b"see ftyp".to_vec(), Text),
        (b"# ! /bin/sh".to_vec(), Text),
        (b"#!not a path".to_vec(), Text),
        (b" #!/bin/sh".to_vec(), Text),
        (b"the <hta:application> tag".to_vec(), Text),
        (b"<abbr>".to_vec(), Text),
        (b"<htmlx>".to_vec(), Text),
        (b"[section]\nkey=1".to_vec(), Text),
        (b"{ color: red }".to_vec(), Text),
        (b"\xca\xfe\xba\xbe".to_vec(), Text),
        (b"plain\x1b[2J".to_vec(), Text),
        (b"not plain\0".to_vec(), Binary),
    ] {
        assert_eq!(BodyType::of(&bytes), Some(kind), "{}", bytes[..32.min(bytes.len())].escape_ascii());
    }
}

#[test]
fn under_a_coding_it_is_encoded_unless_it_does_not_begin_so() {
    let (gzip, zstd, brotli) = (b"\x1f\x8b\x08\0".to_vec(), b"\x28\xb5\x2f\xfd".to_vec(), b"\x1b\x03\x02\0".to_vec());
    for (bytes, coding, kind) in [
        (&gzip, Coding::Gzip, Encoded),
        (&zstd, Coding::Zstd, Encoded),
        (&brotli, Coding::Other, Encoded),
        (&b"text that is coded as text".to_vec(), Coding::Other, Encoded),
        (&pe(0x80), Coding::Gzip, Pe),
        (&pe(0x80), Coding::Other, Pe),
        (&gzip, Coding::Zstd, Gzip),
        (&gzip, Coding::Other, Gzip),
        (&b"<html>".to_vec(), Coding::Gzip, Html),
    ] {
        assert_eq!(BodyType::of_coded(bytes, coding), Some(kind), "{coding:?}");
    }
    assert_eq!(BodyType::of_coded(b"", Coding::Gzip), None);
}

#[test]
fn of_several_codings_the_last_counts_and_what_is_none_does_not() {
    for (value, coding) in [
        ("gzip", Some(Coding::Gzip)),
        ("X-Gzip", Some(Coding::Gzip)),
        ("zstd", Some(Coding::Zstd)),
        ("BR", Some(Coding::Other)),
        ("gzip, br", Some(Coding::Other)),
        ("br,gzip", Some(Coding::Gzip)),
        ("gzip, identity", Some(Coding::Gzip)),
        ("identity", None),
        ("utf-8", None),
        ("gzip, of-its-own", None),
        ("", None),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {value}\r\n\r\n");
        let head = take_response_head(&mut BytesMut::from(head.as_bytes()), &HeadLimits::default(), &mut 0);
        assert_eq!(Coding::of(&head.unwrap().unwrap().fields), coding, "{value}");
    }
}

#[test]
fn executables_scripts_and_archives_are_carriers_and_nothing_else_is() {
    use Carrier::{Archive, Executable};
    for (kind, carrier) in [
        (Pe, Some(Executable)),
        (Lnk, Some(Executable)),
        (Script, Some(Carrier::Script)),
        (Zip, Some(Archive)),
        (Ole, Some(Archive)),
        (VirtualDisk, Some(Archive)),
        (Pdf, None),
        (Html, None),
        (Text, None),
        (Encoded, None),
        (Binary, None),
    ] {
        assert_eq!(kind.carrier(), carrier, "{kind:?}");
    }
}

#[test]
fn every_type_has_one_word_and_is_found_by_it() {
    for (kind, _) in examples().into_iter().chain([(Encoded, Vec::new())]) {
        assert!(WORDS.iter().any(|(known, _)| *known == kind), "{kind:?} has a word");
    }
    for (kind, word) in WORDS {
        assert_eq!((kind.as_str(), BodyType::named(word)), (*word, Some(*kind)));
    }
    assert_eq!(BodyType::named("exe"), None);
}

#[test]
fn a_type_fits_what_is_said_of_it_or_it_does_not() {
    for (kind, stated, fits) in [
        (Pe, "", true),
        (Pe, "application/octet-stream", true),
        (Pe, "Application/Octet-Stream; charset=binary", true),
        (Pe, "application/x-msdownload", true),
        (Pe, "application/vnd.a-maker.update", true),
        (Pe, "image/png", false),
        (Pe, "image/x-of-nobody", false),
        (Pe, "video/mp4", false),
        (Pe, "text/html; charset=utf-8", false),
        (Pe, "text/plain", false),
        (Pe, "application/json", false),
        (Pe, "application/ld+json", false),
        (Pe, "application/pdf", false),
        (Pe, "application/zip", false),
        (Pe, "application/x-elf", false),
        (Script, "text/plain", true),
        (Script, "application/x-sh", true),
        (Script, "image/jpeg", false),
        (Script, "font/woff2", false),
        (Zip, "application/zip", true),
        (Zip, "application/vnd.openxmlformats-officedocument.wordprocessingml.document", true),
        (Zip, "application/vnd.ms-excel.sheet.macroEnabled.12", true),
        (Zip, "application/epub+zip", true),
        (Zip, "application/pdf", false),
        (Jar, "application/java-archive", true),
        (Gzip, "application/x-gzip", true),
        (Gzip, "application/x-tar", true),
        (Gzip, "text/css", false),
        (Ole, "application/msword", true),
        (Ole, "application/x-msi", true),
        (Ole, "image/gif", false),
        (Png, "image/png", true),
        (Png, "image/jpeg", true),
        (Png, "image/svg+xml", false),
        (Media, "image/avif", true),
        (Media, "audio/mpeg", true),
        (Html, "text/plain", true),
        (Html, "application/vnd.ms-excel", true),
        (Html, "application/pdf", false),
        (Html, "image/png", false),
        (Json, "text/javascript", true),
        (Text, "application/javascript", true),
        (Text, "audio/x-mpegurl", true),
        (Binary, "image/png", false),
        (Binary, "text/html", false),
        (Binary, "video/mp2t", true),
        (Binary, "application/pkix-crl", true),
        (Encoded, "image/png", true),
        (Pe, "nonsense", true),
    ] {
        assert_eq!(kind.fits(stated), fits, "{kind:?} as {stated:?}");
    }
}

proptest! {
    #[test]
    fn only_the_first_512_bytes_count(
        start in select(examples().into_iter().map(|(_, bytes)| bytes).collect::<Vec<_>>()),
        more in vec(any::<u8>(), 0..700),
        behind in vec(any::<u8>(), 0..50),
    ) {
        let body = [start, more].concat();
        let first = &body[..body.len().min(BODY_TYPE_BYTES)];
        prop_assert_eq!(BodyType::of(&body), BodyType::of(first));
        if first.len() == BODY_TYPE_BYTES {
            prop_assert_eq!(BodyType::of(&[first, &behind].concat()), BodyType::of(first));
        }
    }

    #[test]
    fn any_bytes_under_any_name_have_a_type_and_do_no_harm(
        bytes in vec(any::<u8>(), 1..600),
        coding in select(vec![Coding::Gzip, Coding::Zstd, Coding::Other]),
        stated in "\\PC{0,40}",
    ) {
        let kind = BodyType::of(&bytes).unwrap();
        prop_assert!(kind != Encoded);
        let coded = BodyType::of_coded(&bytes, coding).unwrap();
        prop_assert!(coded == Encoded || coded == kind);
        kind.fits(&stated);
        prop_assert!(kind.fits("application/octet-stream"));
    }
}
