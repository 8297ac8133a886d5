use bytes::BytesMut;

use super::*;

fn request(input: &[u8]) -> Result<Option<RequestHead>, Fault> {
    take_request_head(&mut BytesMut::from(input), &HeadLimits::default(), &mut 0)
}

fn response(input: &[u8]) -> Result<Option<ResponseHead>, Fault> {
    take_response_head(&mut BytesMut::from(input), &HeadLimits::default(), &mut 0)
}

/// All that can be told of an outcome, for comparison.
fn shown_request(outcome: Result<Option<RequestHead>, Fault>) -> Result<Option<String>, Fault> {
    outcome.map(|head| {
        head.map(|head| {
            let fields: Vec<_> = head.fields.iter().collect();
            format!("{} {:?} {:?} {fields:?}", head.method(), head.target(), head.version)
        })
    })
}

fn shown_response(outcome: Result<Option<ResponseHead>, Fault>) -> Result<Option<String>, Fault> {
    outcome.map(|head| {
        head.map(|head| {
            let fields: Vec<_> = head.fields.iter().collect();
            format!("{} {:?} {:?} {fields:?}", head.status, head.reason(), head.version)
        })
    })
}

#[track_caller]
fn refused(input: &[u8], fault: Fault) {
    assert_eq!(request(input).err(), Some(fault), "{}", input.escape_ascii());
}

#[track_caller]
fn accepted(input: &[u8]) -> RequestHead {
    match request(input) {
        Ok(Some(head)) => head,
        other => panic!("{}: {other:?}", input.escape_ascii()),
    }
}

#[track_caller]
fn response_refused(input: &[u8], fault: Fault) {
    assert_eq!(response(input).err(), Some(fault), "{}", input.escape_ascii());
}

#[test]
fn a_request_keeps_order_and_letter_case_and_leaves_the_body() {
    let mut buffer =
        BytesMut::from(&b"POST http://a/x?y HTTP/1.1\r\nhOsT: a\r\nX-B:\t 1 \t\r\nx-a:\r\nX-b: 2\r\n\r\nbody"[..]);
    let mut scanned = 0;
    let head = take_request_head(&mut buffer, &HeadLimits::default(), &mut scanned);
    let head = head.unwrap().unwrap();
    assert_eq!(head.method(), "POST");
    assert_eq!(head.target(), b"http://a/x?y");
    assert_eq!(head.version, Version::Http11);
    let fields: Vec<_> = head.fields.iter().collect();
    let expected: [(&str, &[u8]); 4] = [("hOsT", b"a"), ("X-B", b"1"), ("x-a", b""), ("X-b", b"2")];
    assert_eq!(fields, expected);
    assert_eq!(&buffer[..], b"body");
    assert_eq!(scanned, 0);
}

#[test]
fn a_response_is_read_with_its_reason() {
    let mut buffer = BytesMut::from(&b"HTTP/1.0 404 Not \xe9 Found\r\nA: b\r\n\r\nrest"[..]);
    let head = take_response_head(&mut buffer, &HeadLimits::default(), &mut 0).unwrap().unwrap();
    assert_eq!((head.status, head.version), (404, Version::Http10));
    assert_eq!(head.reason(), b"Not \xe9 Found");
    assert_eq!(head.fields.get("a"), Some(&b"b"[..]));
    assert_eq!(&buffer[..], b"rest");
}

#[test]
fn heads_that_follow_one_another_are_taken_one_by_one() {
    let mut buffer = BytesMut::from(&b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"[..]);
    let mut scanned = 0;
    for target in [b"/1", b"/2"] {
        let head = take_request_head(&mut buffer, &HeadLimits::default(), &mut scanned);
        assert_eq!(head.unwrap().unwrap().target(), target);
    }
    let head = take_request_head(&mut buffer, &HeadLimits::default(), &mut scanned);
    assert!(head.unwrap().is_none());
}

#[test]
fn a_fault_in_the_second_head_shows_however_far_the_first_was_scanned() {
    let (mut buffer, mut scanned) = (BytesMut::from(&b"GET /long HTTP/1.1\r\nA: b\r\n"[..]), 0);
    let limits = HeadLimits::default();
    assert!(take_request_head(&mut buffer, &limits, &mut scanned).unwrap().is_none());
    assert!(scanned > 0);
    buffer.extend_from_slice(b"\r\nGET / HTTP/1.1\nA: b\r\n\r\n");
    assert!(take_request_head(&mut buffer, &limits, &mut scanned).unwrap().is_some());
    assert_eq!(scanned, 0);
    let outcome = take_request_head(&mut buffer, &limits, &mut scanned);
    assert_eq!(outcome.err(), Some(Fault::BareLf));
}

#[test]
fn lines_end_with_cr_lf_and_nothing_else() {
    accepted(b"GET / HTTP/1.1\r\nA: b\r\n\r\n");
    refused(b"GET / HTTP/1.1\nA: b\r\n\r\n", Fault::BareLf);
    refused(b"GET / HTTP/1.1\r\nA: b\n\r\n", Fault::BareLf);
    refused(b"GET / HTTP/1.1\r\nA: b\r\n\n", Fault::BareLf);
    refused(b"GET /\nHTTP/1.1\r\n\r\n", Fault::BareLf);
    refused(b"GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n", Fault::BareCr);
    refused(b"GET / HTTP/1.1\r\r\n\r\n", Fault::BareCr);
    refused(b"GET / HTTP/1.1\r\nA: b\r\r\n\r\n", Fault::BareCr);
    refused(b"GET / HTTP/\r\r1.1\r\n\r\n", Fault::BareCr);
}

#[test]
fn a_fault_shows_before_the_head_is_complete() {
    refused(b"GET / HTTP/1.1\n", Fault::BareLf);
    refused(b"GET / HTTP/1.1\r\nA: b\n", Fault::BareLf);
    refused(b"GET / HTTP/1.1\r\nA: b\rx", Fault::BareCr);
    refused(b"GET / HTTP/1.1\r\nA: b\0", Fault::Nul);
    refused(b"GET / HTTP/1.1\r\nA: b\x0b", Fault::BadFieldValue);
    refused(b"GET / HTTP/1.1\r\nA: b\r\n ", Fault::ObsFold);
    refused(b"GET / HTTP/2.0\r\n", Fault::BadVersion);
    refused(b"\x16\x03\x01\x02", Fault::BadRequestLine);
    assert!(request(b"GET / HTTP/1.1\r\nA: b\r").unwrap().is_none());
}

#[test]
fn nul_is_refused_anywhere() {
    refused(b"G\0T / HTTP/1.1\r\n\r\n", Fault::Nul);
    refused(b"GET / HTTP/1.1\r\nA\0: b\r\n\r\n", Fault::Nul);
    refused(b"GET / HTTP/1.1\r\nA: b\0\r\n\r\n", Fault::Nul);
    accepted(b"GET / HTTP/1.1\r\nA: b0\r\n\r\n");
}

#[test]
fn a_folded_line_is_refused_and_white_space_inside_a_value_is_not() {
    refused(b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", Fault::ObsFold);
    refused(b"GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n", Fault::ObsFold);
    refused(b"GET / HTTP/1.1\r\nA: b\r\n \r\n\r\n", Fault::ObsFold);
    refused(b"GET / HTTP/1.1\r\n A: b\r\n\r\n", Fault::ObsFold);
    let head = accepted(b"GET / HTTP/1.1\r\nA: b \t c\r\n\r\n body");
    assert_eq!(head.fields.get("A"), Some(&b"b \t c"[..]));
}

#[test]
fn a_field_name_is_a_token_right_before_its_colon() {
    accepted(b"GET / HTTP/1.1\r\nA:b\r\n\r\n");
    refused(b"GET / HTTP/1.1\r\nA : b\r\n\r\n", Fault::SpaceBeforeColon);
    refused(b"GET / HTTP/1.1\r\nA\t: b\r\n\r\n", Fault::SpaceBeforeColon);
    refused(b"GET / HTTP/1.1\r\nA b: c\r\n\r\n", Fault::BadFieldName);
    refused(b"GET / HTTP/1.1\r\nA b : c\r\n\r\n", Fault::BadFieldName);
    refused(b"GET / HTTP/1.1\r\nA b\r\n\r\n", Fault::BadFieldName);
    refused(b"GET / HTTP/1.1\r\n: b\r\n\r\n", Fault::BadFieldName);
    refused(b"GET / HTTP/1.1\r\nA\r\n\r\n", Fault::BadFieldName);
    refused(b"GET / HTTP/1.1\r\nOk: 1\r\nTransfer-\r\nEncoding: b\r\n\r\n", Fault::BadFieldName);
    refused(b"GET / HTTP/1.1\r\nA\x85: b\r\n\r\n", Fault::BadFieldName);
    refused(b"GET / HTTP/1.1\r\nA\x01: b\r\n\r\n", Fault::BadFieldName);
}

#[test]
fn every_byte_of_a_name_and_of_a_value_is_judged_by_the_grammar() {
    for byte in 0..=255u8 {
        if matches!(byte, b'\r' | b'\n' | b':') {
            continue;
        }
        let name = [b"GET / HTTP/1.1\r\nA", &[byte][..], b"b: c\r\n\r\n"].concat();
        assert_eq!(request(&name).is_ok(), is_token(&[byte]), "name {byte:#04x}");
        let value = [b"GET / HTTP/1.1\r\nA: b", &[byte][..], b"c\r\n\r\n"].concat();
        let expected = match byte {
            0 => Some(Fault::Nul),
            1..=8 | 0x0a..=0x1f | 0x7f => Some(Fault::BadFieldValue),
            b'\t' | 0x20..=0x7e | 0x80..=0xff => None,
        };
        assert_eq!(request(&value).err(), expected, "value {byte:#04x}");
        let target = [b"GET /", &[byte][..], b"c HTTP/1.1\r\n\r\n"].concat();
        let expected = match byte {
            0 => Some(Fault::Nul),
            1..=0x20 | 0x7f => Some(Fault::BadRequestLine),
            0x21..=0x7e => None,
            0x80..=0xff => Some(Fault::BadTarget),
        };
        assert_eq!(request(&target).err(), expected, "target {byte:#04x}");
    }
}

#[test]
fn only_space_and_tab_are_trimmed_from_a_value() {
    let head = accepted(b"GET / HTTP/1.1\r\nA: \x85b\xa0 \t\r\nB:  \t \r\n\r\n");
    assert_eq!(head.fields.get("a"), Some(&b"\x85b\xa0"[..]));
    assert_eq!(head.fields.get("b"), Some(&b""[..]));
}

#[test]
fn a_request_line_has_three_parts_and_two_spaces() {
    accepted(b"GET / HTTP/1.1\r\n\r\n");
    for line in [
        "GET /  HTTP/1.1",
        "GET  / HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET /\tHTTP/1.1",
        "GET /\t HTTP/1.1",
        "GET / x HTTP/1.1",
        "GET /",
        "GET  HTTP/1.1",
        "GET",
    ] {
        refused(format!("{line}\r\n\r\n").as_bytes(), Fault::BadRequestLine);
    }
}

#[test]
fn a_method_is_a_token_of_at_most_32_bytes() {
    accepted(format!("{} / HTTP/1.1\r\n\r\n", "A".repeat(32)).as_bytes());
    refused(format!("{} / HTTP/1.1\r\n\r\n", "A".repeat(33)).as_bytes(), Fault::BadMethod);
    accepted(b"M-SEARCH * HTTP/1.1\r\n\r\n");
    refused(b"G(T / HTTP/1.1\r\n\r\n", Fault::BadMethod);
    refused(b"G\xc3T / HTTP/1.1\r\n\r\n", Fault::BadMethod);
}

#[test]
fn a_version_is_exactly_one_of_two() {
    assert_eq!(accepted(b"GET / HTTP/1.1\r\n\r\n").version, Version::Http11);
    assert_eq!(accepted(b"GET / HTTP/1.0\r\n\r\n").version, Version::Http10);
    for version in ["HTTP/1.32", "HTTP/1.2", "HTTP/1", "HTTP/2.0", "http/1.1", "HTTP/01.1", "HTTP/1.10", "x"] {
        refused(format!("GET / {version}\r\n\r\n").as_bytes(), Fault::BadVersion);
    }
}

#[test]
fn an_http2_preface_is_named_and_its_neighbours_are_not() {
    refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Fault::Http2Preface);
    refused(b"PRI * HTTP/2.1\r\n\r\n", Fault::BadVersion);
    accepted(b"PRI * HTTP/1.1\r\n\r\n");
}

#[test]
fn one_empty_line_before_a_request_is_passed_over_and_two_are_not() {
    assert_eq!(accepted(b"\r\nGET / HTTP/1.1\r\nA: b\r\n\r\n").target(), b"/");
    refused(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", Fault::LeadingEmptyLine);
    refused(b"\nGET / HTTP/1.1\r\n\r\n", Fault::BareLf);
    refused(b"\r\n\nGET / HTTP/1.1\r\n\r\n", Fault::BareLf);
    refused(b"\rGET / HTTP/1.1\r\n\r\n", Fault::BareCr);
    response_refused(b"\r\nHTTP/1.1 200 OK\r\n\r\n", Fault::BadStatusLine);
}

#[test]
fn a_status_line_is_version_and_three_digits() {
    for line in ["HTTP/1.1 200 OK", "HTTP/1.1 200 ", "HTTP/1.1 200", "HTTP/1.0 999 a\tb"] {
        assert!(response(format!("{line}\r\n\r\n").as_bytes()).unwrap().is_some(), "{line}");
    }
    for line in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1 200\tOK",
        "HTTP/1.1",
        "ICY 200 OK",
        " HTTP/1.1 200 OK",
    ] {
        response_refused(format!("{line}\r\n\r\n").as_bytes(), Fault::BadStatusLine);
    }
    response_refused(b"HTTP/1.1 200 O\x01K\r\n\r\n", Fault::BadStatusLine);
    response_refused(b"HTTP/2.0 200 OK\r\n\r\n", Fault::BadVersion);
}

#[test]
fn a_head_of_exactly_the_limit_passes_and_one_byte_more_does_not() {
    let head = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
    let limits = |bytes_max| HeadLimits { bytes_max, fields_max: 128 };
    let take = |limits| take_request_head(&mut BytesMut::from(&head[..]), &limits, &mut 0);
    assert!(take(limits(head.len())).unwrap().is_some());
    for bytes_max in 0..head.len() {
        assert_eq!(take(limits(bytes_max)).err(), Some(Fault::HeadTooLong), "{bytes_max}");
    }
}

#[test]
fn an_endless_head_is_refused_when_it_reaches_the_limit() {
    let limits = HeadLimits { bytes_max: 100, fields_max: 128 };
    let mut buffer = BytesMut::from(&b"GET /"[..]);
    let mut scanned = 0;
    while buffer.len() < 99 {
        buffer.extend_from_slice(b"a");
        assert!(take_request_head(&mut buffer, &limits, &mut scanned).unwrap().is_none());
    }
    buffer.extend_from_slice(b"a");
    let outcome = take_request_head(&mut buffer, &limits, &mut scanned);
    assert_eq!(outcome.err(), Some(Fault::HeadTooLong));
}

#[test]
fn as_many_fields_as_the_limit_pass_and_one_more_does_not() {
    for fields_max in [0, 1, 31, 32, 33, 128, 256, 1000] {
        let most = fields_max.min(crate::parse::fields::FIELDS_CEILING);
        let limits = HeadLimits { bytes_max: 64 * 1024, fields_max };
        let take = |count: usize| {
            let head = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
            take_request_head(&mut BytesMut::from(head.as_bytes()), &limits, &mut 0)
        };
        assert_eq!(take(most).unwrap().unwrap().fields.len(), most);
        assert_eq!(take(most + 1).err(), Some(Fault::TooManyFields), "{fields_max}");
    }
}

const SAMPLES: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\nX: y z\r\n\r\nGET /",
    b"\r\nPOST http://a/ HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
    b"GET / HTTP/1.1\r\nA : b\r\nB\0: c\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: b\rC: d\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
    b"GET / HTTP/1.1\r\nA\x02: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: b\x02\r\n\r\n",
    b"GET /  HTTP/1.1\r\n c\r\n\r\n",
    b"\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\nbody",
    b"HTTP/1.1 204\r\n\r\n",
    b"HTTP/1.1 200 O\x01K\r\n\r\n",
    b"\r\nHTTP/1.1 200 OK\r\n\r\n",
];

#[test]
fn arrival_in_any_two_pieces_or_byte_by_byte_gives_the_same_result() {
    for sample in SAMPLES {
        let shown = sample.escape_ascii().to_string();
        let whole_request = shown_request(request(sample));
        let whole_response = shown_response(response(sample));
        let splits = (0..=sample.len()).map(|at| vec![&sample[..at], &sample[at..]]);
        for pieces in splits.chain([sample.chunks(1).collect()]) {
            assert_eq!(shown_request(request_in(&pieces)), whole_request, "{shown}");
            assert_eq!(shown_response(response_in(&pieces)), whole_response, "{shown}");
        }
    }
}

fn request_in(pieces: &[&[u8]]) -> Result<Option<RequestHead>, Fault> {
    let (mut buffer, mut scanned) = (BytesMut::new(), 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        let before = buffer.clone();
        match take_request_head(&mut buffer, &HeadLimits::default(), &mut scanned) {
            Ok(None) => assert_eq!(buffer, before),
            outcome => return outcome,
        }
    }
    Ok(None)
}

fn response_in(pieces: &[&[u8]]) -> Result<Option<ResponseHead>, Fault> {
    let (mut buffer, mut scanned) = (BytesMut::new(), 0);
    for piece in pieces {
        buffer.extend_from_slice(piece);
        match take_response_head(&mut buffer, &HeadLimits::default(), &mut scanned) {
            Ok(None) => {}
            outcome => return outcome,
        }
    }
    Ok(None)
}

#[test]
fn a_head_cut_short_asks_for_more() {
    let whole = b"\r\nGET / HTTP/1.1\r\nHost: a\r\nB: c\r\n\r\n";
    for len in 0..whole.len() {
        assert!(request(&whole[..len]).unwrap().is_none(), "{len}");
    }
}

proptest::proptest! {
    /// An oracle by other means: lines split on CR LF, names and values by the grammar.
    #[test]
    fn any_mixture_of_telling_bytes_is_judged_as_a_plain_reader_judges_it(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "A", "b:", ":", " ", "\t", "\r\n", "\r\n", "\r", "\n", "\0", "\x0b", "\x7f", "\u{e9}", "Host: a",
            ]),
            0..24,
        ),
        at in 0..60usize,
    ) {
        let bytes = format!("GET / HTTP/1.1\r\n{}\r\n\r\n", pieces.concat()).into_bytes();
        let outcome = request(&bytes);
        proptest::prop_assert_eq!(
            outcome.as_ref().ok().map(|head| {
                let head = head.as_ref().expect("the sample ends with an empty line");
                head.fields.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect::<Vec<_>>()
            }),
            plainly_read(&bytes)
        );
        let (front, back) = bytes.split_at(at.min(bytes.len()));
        proptest::prop_assert_eq!(shown_request(request_in(&[front, back])), shown_request(outcome));
    }

    #[test]
    fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..200)) {
        let _ = request(&bytes);
        let _ = response(&bytes);
        let _ = request(&[b"GET / HTTP/1.1\r\n", &bytes[..]].concat());
    }
}

fn plainly_read(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    let end = text.find("\r\n\r\n")?;
    let mut lines = text[..end].split("\r\n");
    lines.next()?;
    lines
        .map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_clean = |c: char| c == '\t' || !c.is_ascii_control();
            if !is_token(name.as_bytes()) || !value.chars().all(is_clean) {
                return None;
            }
            let value = value.trim_matches([' ', '\t']);
            Some((name.to_owned(), value.chars().map(|c| c as u8).collect()))
        })
        .collect()
}
