use proptest::collection::vec;
use proptest::prelude::*;

use super::PseudoField::*;
use super::*;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn settings(entries: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> =
        entries.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
    frame(4, 0, 0, &payload)
}

fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(8, 0, stream, &increment.to_be_bytes())
}

fn headers(block: &[u8]) -> Vec<u8> {
    frame(1, flag::END_HEADERS, 1, block)
}

/// :method GET, :authority a.test, :scheme https, :path /, and a User-Agent.
const BLOCK: &[u8] = b"\x82\x41\x06a.test\x87\x84\x7a\x03abc";

/// Behind the preface and an empty SETTINGS.
fn read_after(frames: &[Vec<u8>]) -> Option<Http2Read> {
    read_http2_opening(&[PREFACE, &settings(&[]), &frames.concat()].concat())
}

fn pseudo_fields(read: Option<Http2Read>) -> Vec<PseudoField> {
    let Some(Http2Read::Opening(opening)) = read else { panic!("{read:?}") };
    opening.pseudo_fields.into()
}

#[test]
fn an_opening_is_told_by_its_settings_window_and_pseudo_fields() {
    let bytes = [
        PREFACE,
        &settings(&[(1, 65_536), (0x1a1a, 7), (2, 0), (4, 6_291_456), (6, 262_144)]),
        &window_update(0, 15_663_105),
        &frame(2, 0, 3, &[0; 5]),
        &frame(0x0b, 0, 0, b"of a kind that nobody knows"),
        &window_update(3, 5),
        &headers(BLOCK),
        b"and whatever follows",
    ]
    .concat();
    let expected = Http2Opening {
        settings: [(1, 65_536), (2, 0), (4, 6_291_456), (6, 262_144)].into(),
        window_update: Some(15_663_105),
        pseudo_fields: [Method, Authority, Scheme, Path].into(),
    };
    assert_eq!(read_http2_opening(&bytes), Some(Http2Read::Opening(expected)));
}

#[test]
fn windows_add_up_and_may_be_left_alone() {
    let window = |frames: &[Vec<u8>]| {
        let Some(Http2Read::Opening(opening)) = read_after(frames) else { panic!() };
        opening.window_update
    };
    assert_eq!(window(&[headers(BLOCK)]), None);
    assert_eq!(window(&[window_update(0, 3), window_update(0, 4), headers(BLOCK)]), Some(7));
    assert_eq!(window(&[headers(BLOCK), window_update(0, 3)]), None, "behind the request");
}

#[test]
fn names_are_read_in_every_form_that_hpack_has() {
    for (block, expected) in [
        (&b"\x83\x85\x86\x81"[..], vec![Method, Path, Scheme, Authority]),
        (b"\x3f\xe1\x1f\x20\x82\x41\x01a\x87\x84", vec![Method, Authority, Scheme, Path]),
        // Literals with an indexed name: with indexing, without, and never.
        (b"\x42\x03PUT\x04\x02/a\x11\x01a\x87\x0f\x2b\x01a", vec![Method, Path, Authority, Scheme]),
        // Literal names, plain and in Huffman code.
        (b"\x40\x07:method\x01A\x00\x05:path\x01/\x10\x07:scheme\x01a", vec![Method, Path, Scheme]),
        (b"\x40\x88\xb8\x3b\x53\x39\xec\x32\x7d\x7f\x01a\x82", vec![Authority, Method]),
        (b"\x00\x85\xb9\x49\x53\x39\xe4\x01A\x00\x84\xb9\x58\xd3\x3f\x01/", vec![Method, Path]),
        (b"\x00\x85\xb8\x82\x4e\x5a\x4b\x01a\x00\x87\xb9\x5d\x87\x49\xc8\x7a\x3f\x01a", vec![Scheme, Protocol]),
        (b"\x82\x00\x09:protocol\x09websocket", vec![Method, Protocol]),
        // Another name ends them: by index, as it is, and in Huffman code.
        (b"\x82\x84\x90\x87", vec![Method, Path]),
        (b"\x82\x00\x01x\x01a\x84", vec![Method]),
        (b"\x82\x00\x82\xf3\xff\x01a\x84", vec![Method]),
    ] {
        assert_eq!(pseudo_fields(read_after(&[headers(block)])), expected, "{}", block.escape_ascii());
    }
}

#[test]
fn a_request_in_several_frames_with_padding_and_priority_is_one() {
    let padded = [&[2][..], &[0, 0, 0, 0, 109], BLOCK, &[0, 0]].concat();
    let flags = flag::END_HEADERS | flag::PADDED | flag::PRIORITY;
    let expected = [Method, Authority, Scheme, Path];
    assert_eq!(pseudo_fields(read_after(&[frame(1, flags, 3, &padded)])), expected);
    for at in 0..BLOCK.len() {
        let (start, end) = BLOCK.split_at(at);
        let frames = [frame(1, 0, 3, start), frame(9, 0, 3, b""), frame(9, flag::END_HEADERS, 3, end)];
        assert_eq!(pseudo_fields(read_after(&frames)), expected, "{at}");
    }
    // A long block is told by its beginning.
    let long = [BLOCK, &[0; 16_000]].concat();
    let whole = [PREFACE, &settings(&[]), &window_update(0, 9), &headers(&long)].concat();
    assert_eq!(pseudo_fields(read_http2_opening(&whole[..200])), expected);
}

#[test]
fn what_no_client_begins_with_is_not_http2() {
    let frames: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("DATA first", vec![frame(0, 0, 1, b"a")]),
        ("RST_STREAM first", vec![frame(3, 0, 1, &[0; 4])]),
        ("PUSH_PROMISE", vec![frame(5, 4, 1, &[0; 4])]),
        ("CONTINUATION first", vec![frame(9, 4, 1, BLOCK)]),
        ("a window of nothing", vec![window_update(0, 0)]),
        ("a short window", vec![frame(8, 0, 0, &[0; 3])]),
        ("HEADERS on no stream", vec![frame(1, 4, 0, BLOCK)]),
        ("HEADERS on a server's stream", vec![frame(1, 4, 2, BLOCK)]),
        ("a frame that is too long", vec![frame(0x20, 0, 0, &[0; 16_385])]),
        ("padding longer than all", vec![frame(1, 4 | 8, 1, b"\x09\x82")]),
        ("no padding where some is told", vec![frame(1, 4 | 8, 1, b"")]),
        ("another frame inside a block", vec![frame(1, 0, 1, b"\x82"), window_update(0, 5)]),
        ("another stream inside a block", vec![frame(1, 0, 1, b"\x82"), frame(9, 4, 3, BLOCK)]),
        ("an empty block", vec![headers(b"")]),
        ("no pseudo fields", vec![headers(b"\x90")]),
        ("the same twice", vec![headers(b"\x82\x83")]),
        ("index 0", vec![headers(b"\x80")]),
        ("of a response", vec![headers(b"\x82\x88")]),
        ("of the dynamic table", vec![headers(b"\x42\x01A\xbe")]),
        ("an unknown one", vec![headers(b"\x82\x00\x02:a\x01b")]),
        ("an unknown one in Huffman code", vec![headers(b"\x82\x00\x82\xb8\x3f\x01b")]),
        ("an empty name", vec![headers(b"\x82\x00\x00\x01b")]),
        ("a size update in the middle", vec![headers(b"\x82\x20")]),
        ("three size updates", vec![headers(b"\x20\x20\x20\x82")]),
        ("a number without end", vec![headers(b"\x82\x41\x7f\xff\xff\xff\xff\xff\x01")]),
        ("a value beyond the block", vec![headers(b"\x82\x41\x05a")]),
    ];
    for (what, frames) in frames {
        assert_eq!(read_after(&frames), Some(Http2Read::NotHttp2), "{what}");
    }
    let first = |frame: Vec<u8>| read_http2_opening(&[PREFACE, &frame].concat());
    assert_eq!(first(headers(BLOCK)), Some(Http2Read::NotHttp2), "SETTINGS come first");
    assert_eq!(first(frame(4, flag::ACK, 0, b"")), Some(Http2Read::NotHttp2));
    assert_eq!(first(frame(4, 0, 1, b"")), Some(Http2Read::NotHttp2));
    assert_eq!(first(frame(4, 0, 0, &[0; 7])), Some(Http2Read::NotHttp2));
    assert_eq!(first(settings(&[])), None);
    for text in ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSMa", "\x16\x03\x01"] {
        assert_eq!(read_http2_opening(text.as_bytes()), Some(Http2Read::NotHttp2), "{text}");
    }
    assert_eq!(read_http2_opening(b"PRI * HT"), None);
}

#[test]
fn no_more_is_looked_at_than_the_bounds_allow() {
    assert_eq!(read_after(&vec![frame(6, 0, 0, &[0; 8]); 62]), None);
    assert_eq!(read_after(&vec![frame(6, 0, 0, &[0; 8]); 63]), Some(Http2Read::Unfinished), "too many frames");
    let mut fragments = vec![frame(1, 0, 1, b"")];
    fragments.resize(FRAMES_MAX, frame(9, 0, 1, b""));
    assert_eq!(read_after(&fragments), None);
    fragments.push(frame(9, 0, 1, b""));
    assert_eq!(read_after(&fragments), Some(Http2Read::Unfinished), "too many parts of a block");
    let large = [PREFACE, &settings(&[]), &frame(0x20, 0, 0, &[0; 16_384])].concat();
    assert_eq!(read_http2_opening(&large[..OPENING_BYTES_MAX - 1]), None);
    assert_eq!(read_http2_opening(&large[..OPENING_BYTES_MAX]), Some(Http2Read::Unfinished));
    let many: Vec<_> = (0..40).map(|number| (number, 0)).collect();
    let Some(Http2Read::Opening(opening)) = read_http2_opening(&[PREFACE, &settings(&many), &headers(BLOCK)].concat())
    else {
        panic!()
    };
    assert_eq!(opening.settings.len(), SETTINGS_MAX);
    let mut tap = Http2Tap::new();
    for chunk in large.chunks(1000) {
        tap.feed(chunk);
        assert!(tap.buffer.len() < OPENING_BYTES_MAX);
    }
    assert_eq!((tap.read(), tap.buffer.capacity()), (Some(&Http2Read::Unfinished), 0));
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        increment in 1u32..0x7fff_ffff,
        entries in vec((0u16..8, any::<u32>()), 0..6),
        cuts in vec(1usize..40, 1..40),
        at in 0..BLOCK.len(),
    ) {
        let (start, end) = BLOCK.split_at(at);
        let bytes = [
            PREFACE,
            &settings(&entries),
            &window_update(0, increment),
            &frame(1, 0, 1, start),
            &frame(9, flag::END_HEADERS, 1, end),
        ]
        .concat();
        let mut tap = Http2Tap::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            tap.feed(piece);
            rest = after;
        }
        prop_assert_eq!(tap.opening(), Some(&Http2Opening {
            settings: entries.into(),
            window_update: Some(increment),
            pseudo_fields: [Method, Authority, Scheme, Path].into(),
        }));
    }
}
