use bytes::BytesMut;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::parse::{HeadLimits, take_response_head};

use super::*;

/// The fields of an answer with this Content-Disposition; none of an empty one.
fn answer(disposition: &[u8]) -> Fields {
    let field =
        if disposition.is_empty() { Vec::new() } else { [b"Content-Disposition: ", disposition, b"\r\n"].concat() };
    let mut head = BytesMut::from(&[b"HTTP/1.1 200 OK\r\n".as_slice(), &field, b"\r\n"].concat()[..]);
    take_response_head(&mut head, &HeadLimits::default(), &mut 0).unwrap().unwrap().fields
}

fn given(disposition: &[u8]) -> Option<String> {
    let name = FileName::of(&answer(disposition), None)?;
    assert!(name.is_given);
    Some(name.as_str().to_owned())
}

#[test]
fn the_name_that_an_origin_gives_is_read_in_every_form() {
    for (disposition, name) in [
        ("attachment; filename=a.exe", "a.exe"),
        ("attachment; filename=\"a b.exe\"", "a b.exe"),
        ("inline;FileName = \"a.exe\" ;x=y", "a.exe"),
        ("attachment; filename=a b.exe; x", "a b.exe"),
        (r#"attachment; filename="a\"b\\c.exe""#, "c.exe"),
        (r#"attachment; filename="a;b.exe""#, "a;b.exe"),
        (r#"attachment; x="filename=b"; filename="a.exe""#, "a.exe"),
        ("attachment; flag; filename=a.exe", "a.exe"),
        ("attachment; filename=\"unended.exe", "unended.exe"),
        ("filename=a.exe", "a.exe"),
        // The extended form counts, wherever it stands.
        ("attachment; filename=a.txt; filename*=UTF-8''%e8%a6%8b%e7%a9%8d.exe", "見積.exe"),
        ("attachment; filename*=utf-8'ja'b.exe; filename=a.txt", "b.exe"),
        ("attachment; filename*=ISO-8859-1'en'%a3.exe", "£.exe"),
        // What cannot be read does not count.
        ("attachment; filename*=UTF-7''b.exe; filename=a.exe", "a.exe"),
        ("attachment; filename*=b.exe; filename=a.exe", "a.exe"),
        ("attachment; filename*=UTF-8''x%zz%2.exe", "x%zz%2.exe"),
        // Only the last part of a path.
        (r#"attachment; filename="../../etc/a.exe""#, "a.exe"),
        (r"attachment; filename*=UTF-8''..%5c..%5ca.exe", "a.exe"),
        ("attachment; filename*=UTF-8''a%2fb.exe", "b.exe"),
        ("attachment; filename=\"見積.exe\"", "見積.exe"),
        ("attachment; filename*=UTF-8''%E2%80%AEgnp.exe", "\u{202e}gnp.exe"),
    ] {
        assert_eq!(given(disposition.as_bytes()).as_deref(), Some(name), "{disposition}");
    }
    assert_eq!(given(b"attachment; filename=\"caf\xe9.exe\"").as_deref(), Some("café.exe"));
    for none in
        ["", "attachment", "attachment;", "attachment; filename=", "attachment; filename=\"..\"", "a; filename=\"x/\""]
    {
        assert_eq!(given(none.as_bytes()), None, "{none}");
    }
}

#[test]
fn without_such_a_name_the_last_segment_of_the_path_is_one() {
    for (path, name) in [
        ("/a/setup.exe", Some("setup.exe")),
        ("/a/%E9%96%A2.exe", Some("関.exe")),
        ("/download", Some("download")),
        ("/a%2Fb.exe", Some("b.exe")),
        ("/a/", None),
        ("/", None),
        ("*", Some("*")),
        ("/..", None),
    ] {
        let found = FileName::of(&answer(b"attachment; filename="), Some(path));
        assert_eq!(found.as_ref().map(FileName::as_str), name, "{path}");
        assert!(found.is_none_or(|name| !name.is_given));
    }
    assert!(FileName::of(&answer(b"attachment; filename=b"), Some("/a")).is_some_and(|name| name.is_given));
}

#[test]
fn of_a_long_name_the_end_is_kept() {
    let long = format!("attachment; filename={}.pdf.exe", "見".repeat(200));
    let name = given(long.as_bytes()).unwrap();
    assert!(name.len() <= NAME_BYTES_MAX && name.len() > NAME_BYTES_MAX - 3 && name.ends_with("見.pdf.exe"), "{name}");
    assert_eq!(double_extension(&name), Some(("pdf", "exe")));
}

#[test]
fn characters_that_turn_direction_are_seen_and_marks_of_languages_are_let_be() {
    for name in ["a\u{202e}gnp.exe", "\u{202a}a", "a\u{202d}", "a\u{2066}b\u{2069}"] {
        assert!(turns_direction(name), "{name:?}");
    }
    for name in ["", "setup.exe", "見積書.docx", "\u{5d0}\u{200f}.pdf", "\u{627}\u{61c}.pdf", "a\u{200b}b"] {
        assert!(!turns_direction(name), "{name:?}");
    }
}

#[test]
fn a_document_that_runs_is_seen_and_its_neighbours_are_let_be() {
    for (name, extensions) in [
        ("report.pdf.exe", ("pdf", "exe")),
        ("見積書.docx.js", ("docx", "js")),
        ("REPORT.PDF.EXE", ("PDF", "EXE")),
        ("report.pdf          .exe", ("pdf", "exe")),
        ("report.pdf. exe", ("pdf", "exe")),
        ("report.pdf.exe. .", ("pdf", "exe")),
        ("a.b.xlsx.lnk", ("xlsx", "lnk")),
        ("photo.jpg\u{3000}.scr", ("jpg", "scr")),
        ("invoice.zip.hta", ("zip", "hta")),
    ] {
        assert_eq!(double_extension(name), Some(extensions), "{name}");
    }
    for name in [
        "",
        "exe",
        "a.exe",
        ".pdf.exe",
        "pdf.exe",
        "a.tar.gz",
        "a.pdf.zip",
        "jquery.min.js",
        "app.1.2.exe",
        "a.exe.pdf",
        "a.pdfx.exe",
        "index.html.js",
        "a.pdf.exe.txt",
        "report.pdf",
    ] {
        assert_eq!(double_extension(name), None, "{name}");
    }
}

proptest! {
    #[test]
    fn whatever_an_origin_gives_is_a_bounded_name_without_a_path(
        disposition in vec((0_u8..=255).prop_filter("a byte of a value", |b| *b >= 0x20 && *b != 0x7f), 0..400),
        path in "/[!-~]{0,300}",
    ) {
        let start = [b"attachment; filename=".as_slice(), b"attachment; filename*=UTF-8''", b"", b"x;filename=\""];
        for start in start {
            let Some(name) = FileName::of(&answer(&[start, &disposition].concat()), Some(&path)) else { continue };
            let name = name.as_str();
            prop_assert!(!name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(['/', '\\']), "{name:?}");
            let _ = (turns_direction(name), double_extension(name));
        }
    }

    #[test]
    fn a_name_that_was_put_into_words_is_read_back(name in "[a-zA-Z0-9 ._;=%'\"\u{202e}関]{1,60}") {
        let escaped: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let quoted = name.replace('"', "\\\"");
        let trimmed = name.trim();
        let expected = (!matches!(trimmed, "" | "." | "..")).then(|| trimmed.to_owned());
        prop_assert_eq!(given(format!("attachment; filename*=UTF-8''{escaped}").as_bytes()), expected.clone());
        prop_assert_eq!(given(format!("attachment; filename=\"{quoted}\"").as_bytes()), expected);
    }
}
