//! What the bodies of answers are by their bytes, with the hashes and names of those that bring something in.

use std::sync::{Mutex, mpsc};

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::gate::Gate;
use crate::inspection_lab::{Lab, get, inner};
use crate::origin::Origin;

/// What begins like a program of Windows, this long.
pub(crate) fn program(length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..length).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect();
    bytes[..64].fill(0);
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c..0x40].copy_from_slice(&0x80_u32.to_le_bytes());
    bytes[0x80..0x84].copy_from_slice(b"PE\0\0");
    bytes
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

/// An answer with these lines of its head, and this body by its length.
fn by_length(lines: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// The same in chunks of this many bytes.
fn in_chunks(lines: &str, body: &[u8], chunk: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\n{lines}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for part in body.chunks(chunk) {
        answer.extend([format!("{:x}\r\n", part.len()).as_bytes(), part, b"\r\n"].concat());
    }
    [&answer[..], b"0\r\n\r\n"].concat()
}

/// The closing record after a GET of `path`, for which the origin says `answer`; and the body that the client got.
fn fetched(path: &str, answer: Vec<u8>) -> (Value, Vec<u8>) {
    let origin = Origin::serving(move |mut peer, _| {
        peer.request();
        peer.send(&answer);
        peer.finish();
        peer.rest();
    });
    let mut gate = Gate::start(&origin.policy());
    let (mut client, at) = (gate.client(), origin.address);
    client.send(format!("GET http://{at}{path} HTTP/1.1\r\nHost: {at}\r\n\r\n"));
    let body = client.answer().body;
    drop(client);
    (gate.events("close").remove(0), body)
}

const PICTURE: &str = "Content-Type: image/png\r\n";

#[test]
fn a_program_that_is_said_to_be_a_picture_is_on_record_as_what_it_is_however_it_is_framed() {
    let lines = format!("{PICTURE}Content-Disposition: inline; filename*=UTF-8''a%E2%80%AEgnp.exe\r\n");
    // Short enough to come in one piece, and so long that what is no carrier goes by splice(2).
    for length in [600, 1 << 20] {
        let program = program(length);
        let until_close = [format!("HTTP/1.1 200 OK\r\n{lines}\r\n").as_bytes(), &program].concat();
        let answers = [
            by_length(&lines, &program),
            in_chunks(&lines, &program, 4096),
            in_chunks(&lines, &program, 100),
            until_close,
        ];
        for answer in answers {
            let (close, body) = fetched("/logo.png", answer);
            assert!(body == program);
            assert_eq!(close["content_type"], "image/png");
            assert_eq!(close["body_type"], "pe", "{close}");
            assert_eq!(close["body_sha256"], sha256(&program), "{close}");
            assert_eq!(close["file_name"], "a\u{202e}gnp.exe", "{close}");
            assert_eq!(close.get("body_cut"), None, "{close}");
        }
    }
}

#[test]
fn what_brings_nothing_in_has_its_type_alone_and_comes_whole() {
    let noise: Vec<u8> = program(2 << 20).split_off(64);
    for (path, lines, body, kind, name) in [
        ("/a.bin", PICTURE, &noise[..], "binary", None),
        ("/a.png", PICTURE, b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR", "png", None),
        ("/", "", b"<!doctype html>", "html", None),
        ("/a", "Content-Encoding: gzip\r\n", b"\x1f\x8b\x08\0\0\0\0\0\0\x03", "encoded", None),
        // Names that tell something are kept of these as well.
        ("/%E8%A6%8B%E7%A9%8D.docx.js", "", b"alert(1)", "text", Some("見積.docx.js")),
        ("/get", "Content-Disposition: attachment; filename=\"a.csv\"\r\n", b"a,b", "text", Some("a.csv")),
    ] {
        let (close, got) = fetched(path, by_length(lines, body));
        assert!(got == body, "{path}");
        assert_eq!(close["body_type"], kind, "{path}: {close}");
        assert_eq!(close["file_name"].as_str(), name, "{path}: {close}");
        assert_eq!((close.get("body_sha256"), close.get("body_cut")), (None, None), "{path}: {close}");
    }
}

#[test]
fn where_there_is_no_body_nothing_is_said_of_one() {
    let origin = Origin::answering(|request| {
        let path = request.line().split(' ').nth(1).unwrap();
        let lines = "Content-Disposition: attachment; filename=a.exe\r\n";
        match path {
            "/304" => format!("HTTP/1.1 304 Not Modified\r\n{lines}\r\n"),
            "/204" => format!("HTTP/1.1 204 No Content\r\n{lines}\r\n"),
            "/empty" => format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n"),
            "/no-chunks" => format!("HTTP/1.1 200 OK\r\n{lines}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            _ => format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 700\r\n\r\n"),
        }
    });
    let mut gate = Gate::start(&origin.policy());
    let (mut client, at) = (gate.client(), origin.address);
    for (method, path) in [("GET", "304"), ("GET", "204"), ("GET", "empty"), ("GET", "no-chunks"), ("HEAD", "head")] {
        client.send(format!("{method} http://{at}/{path} HTTP/1.1\r\nHost: {at}\r\n\r\n"));
        assert!(client.answer_to(method).body.is_empty(), "{path}");
    }
    drop(client);
    let closes = gate.events("close");
    assert_eq!(closes.len(), 5);
    for close in closes {
        for field in ["body_type", "body_sha256", "body_cut", "file_name"] {
            assert_eq!(close.get(field), None, "{close}");
        }
    }
}

#[test]
fn a_body_that_is_cut_off_has_no_hash_and_says_so() {
    let program = program(2000);
    let whole = by_length(PICTURE, &program);
    for cut in [400, 1500] {
        let (close, _) = fetched("/setup.exe", whole[..whole.len() - 2000 + cut].to_vec());
        assert_eq!(close["closed_how"], "body_too_short", "{close}");
        let kind = close["body_type"].as_str();
        assert_eq!(
            (kind, close["body_cut"].as_bool(), close.get("body_sha256")),
            (Some("pe"), Some(true), None),
            "{close}"
        );
        assert_eq!(close["file_name"], "setup.exe", "{close}");
    }
    let part = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1999/4000\r\nContent-Length: 2000\r\n\r\n";
    let (close, _) = fetched("/setup.exe", [part.as_bytes(), &program].concat());
    assert_eq!((&close["closed_how"], &close["body_cut"]), (&"complete".into(), &true.into()), "{close}");
}

#[test]
fn what_comes_first_of_a_body_passes_before_its_type_is_known() {
    let (sender, receiver) = mpsc::channel::<()>();
    let receiver = Mutex::new(receiver);
    let origin = Origin::serving(move |mut peer, _| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1002\r\n\r\nMZ");
        // The rest is sent when the client has what came before it.
        let told = receiver.lock().unwrap().recv();
        told.unwrap();
        peer.send(&program(1002)[2..]);
        peer.rest();
    });
    let mut gate = Gate::start(&origin.policy());
    let (mut client, at) = (gate.client(), origin.address);
    client.send(format!("GET http://{at}/x HTTP/1.1\r\nHost: {at}\r\n\r\n"));
    client.head().unwrap();
    assert_eq!(client.take(2), b"MZ");
    sender.send(()).unwrap();
    assert_eq!(client.take(1000), program(1002)[2..]);
    drop(client);
    let close = gate.events("close").remove(0);
    assert_eq!(
        (close["body_type"].as_str(), close["body_sha256"].as_str()),
        (Some("pe"), Some(&*sha256(&program(1002))))
    );
}

#[test]
fn the_same_is_seen_inside_an_inspected_tunnel() {
    let program = program(300_000);
    let body = program.clone();
    let mut lab = Lab::serving(
        move |mut peer, log| {
            while let Some(request) = peer.request() {
                log.note(&request);
                peer.send(by_length(PICTURE, &body));
            }
        },
        "",
    );
    let mut client = lab.open("site.test");
    client.send(get("/report.pdf.exe", "site.test"));
    assert!(client.answer().body == program);
    drop(client);
    let records = lab.records();
    let close = inner(&records, "close")[0];
    assert_eq!(
        (close["content_type"].as_str(), close["body_type"].as_str()),
        (Some("image/png"), Some("pe")),
        "{close}"
    );
    assert_eq!(close["body_sha256"], sha256(&program), "{close}");
    assert_eq!(close["file_name"], "report.pdf.exe", "{close}");
}
