use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Every seed of a fuzz target, so that what a fuzzer once found is tried without one.
fn seeds(target: &str, property: fn(&[u8])) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        property(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 0, "{target} has seeds");
}

#[test]
fn the_properties_hold_for_every_seed() {
    seeds("head", head);
    seeds("head", read_alike);
    seeds("read_alike", read_alike);
    seeds("response", response);
    seeds("chunked", chunked);
    seeds("first_bytes", first_bytes);
    seeds("client_hello", client_hello);
    seeds("http2_opening", http2_opening);
    seeds("target", target);
}

/// A seed with some bytes overwritten, for there are more ways to be wrong than to be right.
fn damaged(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (select(seeds), vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)).prop_map(|(mut bytes, changes)| {
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

fn hello() -> Vec<u8> {
    let digits = include_str!("../../../tests/data/hellos/chromium.hex").trim().as_bytes();
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn openings() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/http2_opening");
    fs::read_dir(directory).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect()
}

proptest! {
    #[test]
    fn heads_of_telling_pieces(pieces in vec(select(vec![
        "GET ", "POST ", "CONNECT ", "http://a.example/", "/", "*", "a.example:443", " HTTP/1.1\r\n", " HTTP/1.0\r\n",
        "HTTP/1.1 200 OK\r\n", "HTTP/1.1 204\r\n", "Host: a.example\r\n", "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n", "Connection: close, x-a\r\n", "X-A: \tb \r\n", "\r\n", "\r\n", "0\r\n\r\n",
        "3\r\nabc\r\n", "ETag: x\r\n", "\r", "\n", "\0", " ", ":",
    ]), 0..12)) {
        head(pieces.concat().as_bytes());
    }

    #[test]
    fn requests_in_a_row_are_read_by_others_as_by_us(pieces in vec(select(vec![
        "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n", "POST http://[::1]:81/x?y HTTP/1.1\r\nHost: [::1]:81\r\n",
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n", "POST /x HTTP/1.0\r\n", "Content-Length: 3\r\n",
        "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n", "Content-Length : 3\r\n", "X:\r\n Content-Length: 3\r\n",
        "X: a\nContent-Length: 3\r\n", "\r\n", "\r\n", "abc", "3\r\nabc\r\n", "3;a\r\nabc\r\n", "0\r\n\r\n", "0\r\nX: a\r\n\r\n", "\n",
    ]), 0..14)) {
        read_alike(pieces.concat().as_bytes());
    }

    #[test]
    fn responses_of_telling_pieces(pieces in vec(select(vec![
        "HTTP/1.1 200 OK\r\n", "HTTP/1.0 200 OK\r\n", "HTTP/1.1 204\r\n", "HTTP/1.1 103 A\r\n", "HTTP/1.1 304 A\r\n",
        "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close\r\n",
        "X-A: b\r\n", "\r\n", "\r\n", "3\r\nabc\r\n", "0\r\n\r\n", "hello", "\n", "Content-Type: image/png\r\n",
        "Content-Disposition: attachment; filename=\"a\\\"/b.pdf.exe\r\n", "Content-Disposition: filename*=UTF-8''%e2%80%ae\r\n",
        "MZ", "#!/bin/sh", "PK\x03\x04",
    ]), 0..9)) {
        response(pieces.concat().as_bytes());
    }

    #[test]
    fn chunks_of_telling_pieces(pieces in vec(select(vec![
        "3\r\nabc\r\n", "0\r\n", "\r\n", "a\r\n0123456789\r\n", "00", "F", "g", ";a=b", "X: a\r\n", "Host: a\r\n", "\r",
        "\n", " ", "7fffffffffffffff", "-",
    ]), 0..9)) {
        chunked(pieces.concat().as_bytes());
    }

    #[test]
    fn first_bytes_of_telling_pieces(pieces in vec(select(vec![
        b"\x16\x03".as_slice(), b"\x01", b"\x16", b"\0", b"CONNECT ", b"connect", b" ", b"\r\n", b"\n", b"GET / HTTP/1.1\r\n",
        b"SSH-", b"PRI * ", b"220 ", b"\xff",
    ]), 0..6)) {
        first_bytes(&pieces.concat());
    }

    #[test]
    fn first_bytes_of_a_damaged_hello(bytes in damaged(vec![hello()])) {
        first_bytes(&bytes);
    }

    #[test]
    fn hellos_with_bytes_damaged(bytes in damaged(vec![hello()])) {
        client_hello(&bytes);
    }

    #[test]
    fn openings_with_bytes_damaged(bytes in damaged(openings())) {
        http2_opening(&bytes);
    }

    #[test]
    fn targets_of_telling_pieces(pieces in vec(select(vec![
        "http://", "HTTP://", "a", "B", "xn--", "wgv71a", ".", ".", "-", "_", ":", "80", "443", "0", "0x7f", "017", "1",
        "[", "]", "::1", "::ffff:1.2.3.4", "/", "?", "#", "@", "%", "é", "1.2.3.4", "\0",
    ]), 0..9)) {
        target(pieces.concat().as_bytes());
    }
}
