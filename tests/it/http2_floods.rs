//! Clients and origins that misuse HTTP/2: none makes the gate hold or do more than others could, and others are served.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::{ClientConnection, ServerConnection, StreamOwned};

use crate::http2_client::trusting;
use crate::inspection::Lab;
use crate::name_server::NameServer;
use crate::origin::{listener_of_its_own, tls_of};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field as a literal without indexing, its name as well (RFC 7541 section 6.2.2).
fn literal(name: &str, value: &str) -> Vec<u8> {
    let string = |text: &str| {
        let mut bytes = Vec::new();
        if text.len() < 127 {
            bytes.push(u8::try_from(text.len()).unwrap());
        } else {
            bytes.push(127);
            let mut rest = text.len() - 127;
            while rest >= 128 {
                bytes.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            bytes.push(u8::try_from(rest).unwrap());
        }
        bytes.extend_from_slice(text.as_bytes());
        bytes
    };
    [vec![0], string(name), string(value)].concat()
}

/// The head of a GET for a path of `site.test`, with more fields.
fn head(path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let fields = [(":method", "GET"), (":scheme", "https"), (":authority", "site.test"), (":path", path)];
    fields.iter().chain(more).flat_map(|(name, value)| literal(name, value)).collect()
}

/// A connection of HTTP/2 within an inspected tunnel, of which each byte is the test's.
struct Raw(StreamOwned<ClientConnection, TcpStream>);

/// A frame that the gate sent.
#[derive(Debug)]
struct Sent {
    kind: u8,
    payload: Vec<u8>,
}

impl Sent {
    /// Of RST_STREAM its code, of GOAWAY as well.
    fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

impl Raw {
    fn new(lab: &Lab) -> Self {
        let mut tcp = TcpStream::connect(lab.gate.address).unwrap();
        tcp.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        tcp.write_all(b"CONNECT site.test:443 HTTP/1.1\r\nHost: site.test:443\r\n\r\n").unwrap();
        let mut established = [0; 39];
        tcp.read_exact(&mut established).unwrap();
        let config = trusting(&lab.authority(), &["h2"]);
        let connection = ClientConnection::new(config, "site.test".try_into().unwrap()).unwrap();
        let mut raw = Self(StreamOwned::new(connection, tcp));
        raw.0.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).unwrap();
        raw
    }

    /// Whether it could be sent: the gate may have ended the connection.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).and_then(|()| self.0.flush()).is_ok()
    }

    /// The next frame; `None` at the end of the connection.
    fn next(&mut self) -> Option<Sent> {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).ok()?;
        let [a, b, c, kind, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.0.read_exact(&mut payload).ok()?;
        Some(Sent { kind, payload })
    }

    /// The first frame of which this holds, of those up to the end.
    fn until(&mut self, is: impl Fn(&Sent) -> bool) -> Option<Sent> {
        std::iter::from_fn(|| self.next()).find(is)
    }
}

/// An origin over HTTP/1.1 that answers everything, and a gate that looks inside.
fn lab() -> Lab {
    Lab::new("")
}

fn is_served(lab: &Lab) -> bool {
    lab.curl(&["--http2"], "https://site.test/").status.success()
}

#[test]
fn who_resets_streams_rapidly_is_sent_away_and_others_are_served() {
    let mut lab = lab();
    let mut raw = Raw::new(&lab);
    let block = head("/", &[]);
    let mut sent = 0;
    // 100,000 of them, a thousand at a time, unless the gate ends it.
    let went_on = (0..100).all(|round: u32| {
        let burst: Vec<u8> = (0..1000)
            .flat_map(|number| {
                let stream = (round * 1000 + number) * 2 + 1;
                [
                    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block),
                    frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()),
                ]
                .concat()
            })
            .collect();
        sent += 1;
        raw.send(&burst)
    });
    assert!(!went_on, "the gate ends it");
    assert!(is_served(&lab));
    let memory = lab.gate.peak_memory();
    assert!(memory < 100 << 20, "{memory}");
    let records = lab.records();
    // As many exchanges as the connection could have had streams, and no more for what was reset unread.
    let inner = records.iter().filter(|record| record["scheme"] == "https" && record["event"] == "open").count();
    assert!(inner < 400, "{inner} of {sent} thousand");
}

#[test]
fn settings_and_pings_without_end_hold_nothing_and_end_with_their_client() {
    let lab = lab();
    for flood in [frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]), frame(PING, 0, 0, &[7; 8])] {
        let before = lab.gate.peak_memory();
        let mut raw = Raw::new(&lab);
        let burst = flood.repeat(2000);
        // Whoever reads no answers is not read any further: that ends in the kernel's buffers, on both sides.
        raw.0.sock.set_write_timeout(Some(std::time::Duration::from_secs(1))).unwrap();
        let rounds = (0..2000).take_while(|_| raw.send(&burst)).count();
        assert!(rounds < 2000, "it is not read for ever");
        assert!(is_served(&lab), "others are");
        let grown = lab.gate.peak_memory().saturating_sub(before);
        assert!(grown < 32 << 20, "{grown} bytes");
    }
}

#[test]
fn heads_that_never_end_or_are_too_large_are_refused() {
    let lab = lab();
    // CONTINUATION after CONTINUATION.
    let mut raw = Raw::new(&lab);
    raw.send(&frame(HEADERS, END_STREAM, 1, &head("/", &[])));
    let piece = frame(CONTINUATION, 0, 1, &literal("x", &"y".repeat(1000)));
    let went_on = (0..10_000).all(|_| raw.send(&piece));
    assert!(!went_on, "the gate ends it");
    // A bomb: a field of 4 KiB in the table, named ten thousand times by one byte each.
    let mut raw = Raw::new(&lab);
    let mut block = head("/", &[]);
    let mut indexed = literal("x-bomb", &"z".repeat(3900));
    // With incremental indexing (RFC 7541 section 6.2.1); its place is the first of the dynamic table.
    indexed[0] = 0x40;
    block.extend_from_slice(&indexed);
    block.extend(std::iter::repeat_n(0x80 | 62, 10_000));
    raw.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &block));
    let ended = raw.until(|sent| matches!(sent.kind, GOAWAY | RST_STREAM | HEADERS));
    // Either the stream is refused, or the connection: RFC 9113 section 10.5.1 has both.
    let is_refused = |sent: &Sent| sent.kind != HEADERS || sent.payload.starts_with(&[0x08, 0x03, b'4']);
    assert!(ended.as_ref().is_none_or(is_refused), "{ended:?}");
    let memory = lab.gate.peak_memory();
    assert!(memory < 100 << 20, "{memory}");
    assert!(is_served(&lab));
    assert!(lab.asked().is_empty() || lab.asked().iter().all(|head| !head.contains("bomb")));
}

/// What becomes of a stream on which this is sent: the reason by which it was reset, or 0 where it was answered.
fn reset_of(lab: &Lab, frames: &[u8]) -> (u32, String) {
    let mut raw = Raw::new(lab);
    raw.send(frames);
    let sent = raw.until(|sent| matches!(sent.kind, GOAWAY | RST_STREAM | HEADERS));
    match sent {
        Some(sent) if sent.kind == HEADERS => {
            let page = raw.until(|sent| sent.kind == DATA && !sent.payload.is_empty());
            (0, page.map(|sent| String::from_utf8_lossy(&sent.payload).into_owned()).unwrap_or_default())
        }
        Some(sent) => (sent.code(), String::new()),
        None => (u32::MAX, String::new()),
    }
}

/// A request of these fields, its pseudo-header fields first; a body where there is one.
fn request(fields: &[(&str, &str)], body: Option<&[u8]>) -> Vec<u8> {
    let block: Vec<u8> = fields.iter().flat_map(|(name, value)| literal(name, value)).collect();
    match body {
        None => frame(HEADERS, END_HEADERS | END_STREAM, 1, &block),
        Some(body) => [frame(HEADERS, END_HEADERS, 1, &block), frame(DATA, END_STREAM, 1, body)].concat(),
    }
}

#[test]
fn nothing_that_http2_could_smuggle_into_http11_reaches_an_origin() {
    let lab = lab();
    let plain = [(":method", "GET"), (":scheme", "https"), (":authority", "site.test"), (":path", "/")];
    let with = |more: &[(&'static str, &'static str)]| [&plain[..], more].concat();
    let but = |name: &str, value: &'static str| {
        plain.map(|(known, old)| if known == name { (known, value) } else { (known, old) }).to_vec()
    };
    let inner = b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: site.test\r\n\r\n".as_slice();
    for (what, fields, body) in [
        ("a transfer coding", with(&[("transfer-encoding", "chunked")]), Some(inner)),
        ("a connection option", with(&[("connection", "x-a"), ("x-a", "1")]), None),
        ("an upgrade", with(&[("upgrade", "websocket")]), None),
        ("a length below the body", with(&[("content-length", "1")]), Some(inner)),
        ("a length above the body", with(&[("content-length", "100000")]), Some(inner)),
        ("two lengths", with(&[("content-length", "47"), ("content-length", "0")]), Some(inner)),
        ("a line end in a value", with(&[("x", "1\r\nx-smuggled: 1")]), None),
        ("a line end in a name", with(&[("x: 1\r\nx-smuggled", "1")]), None),
        ("a colon in a name", with(&[("x:y", "1")]), None),
        ("a name in upper case", with(&[("X-Smuggled", "1")]), None),
        ("a zero octet", with(&[("x", "1\0")]), None),
        ("a line end in the path", but(":path", "/ HTTP/1.1\r\nx-smuggled: 1\r\ny: "), None),
        ("a space in the path", but(":path", "/a b"), None),
        ("an empty path", but(":path", ""), None),
        ("a path of another host", but(":path", "https://other.test/"), None),
        ("a line end in the method", but(":method", "GET / HTTP/1.1\r\nx-smuggled: 1\r\n\r\nGET"), None),
        ("another host", but(":authority", "other.test"), None),
        ("a user in the authority", but(":authority", "site.test@other.test"), None),
        ("a line end in the authority", but(":authority", "site.test\r\nx-smuggled: 1"), None),
        ("another scheme", but(":scheme", "http"), None),
        ("a host unlike the authority", with(&[("host", "other.test")]), None),
        ("a pseudo-header field twice", [&plain[..], &[(":path", "/b")]].concat(), None),
        ("one behind the others", with(&[("x", "1"), (":path", "/c")]), None),
        ("one that there is not", with(&[(":smuggled", "1")]), None),
        ("a status", [&[(":status", "200")][..], &plain].concat(), None),
        ("a tunnel", vec![(":method", "CONNECT"), (":authority", "site.test:443")], Some(inner)),
        ("an extended tunnel", [&but(":method", "CONNECT")[..], &[(":protocol", "websocket")]].concat(), Some(inner)),
        ("TE that is no trailers", with(&[("te", "gzip")]), None),
    ] {
        let (code, page) = reset_of(&lab, &request(&fields, body));
        assert!(code != 0 || page.contains("stopped at the gate"), "{what}: {page}");
    }
    // The neighbour: it is let out.
    assert_eq!(reset_of(&lab, &request(&plain, None)).0, 0);
    assert_eq!(reset_of(&lab, &request(&with(&[("host", "site.test"), ("te", "trailers")]), None)).0, 0);
    // Of a body that is not what its head says the head may be gone before that shows; what is behind it is of no request.
    let asked = lab.asked();
    let (with_bodies, others): (Vec<_>, Vec<_>) = asked.iter().partition(|head| head.contains("content-length: 1"));
    assert!(with_bodies.len() <= 2 && !asked.concat().contains("smuggled"), "{asked:#?}");
    assert_eq!(others.len(), 2, "{asked:#?}");
}

/// An origin on which HTTP/2 was agreed, whose every connection is served by `serve`; and a gate that looks inside.
fn hostile(serve: impl Fn(&mut StreamOwned<ServerConnection, TcpStream>) + Send + Sync + 'static) -> Lab {
    let files = tempfile::tempdir().unwrap();
    let (config, authority) = tls_of(vec!["site.test".to_owned(), "*.site.test".to_owned()]);
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (config, serve) = (Arc::new(config), Arc::new(serve));
    let roots = files.path().join("origins.pem");
    std::fs::write(&roots, authority).unwrap();
    let listener = listener_of_its_own(443);
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, config, serve) = (stream.unwrap(), config.clone(), serve.clone());
            std::thread::spawn(move || {
                let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                let mut preface = [0; 24];
                if stream.read_exact(&mut preface).is_ok() {
                    serve(&mut stream);
                }
            });
        }
    });
    let inspection = format!("ca_files = [\"{}\"]\n[limits]\nbody_seconds = 2\n", roots.display());
    Lab::of(files, NameServer::pointing_to(address.ip()), "hosts = [\"*.test\"]", &inspection, true)
}

/// Reads frames of the gate up to its request, whose stream it gives.
fn until_asked(stream: &mut impl Read) -> Option<u32> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).ok()?;
        let [a, b, c, kind, _, id @ ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload).ok()?;
        if kind == HEADERS {
            return Some(u32::from_be_bytes(id));
        }
    }
}

fn put(stream: &mut impl Write, bytes: &[u8]) -> bool {
    stream.write_all(bytes).and_then(|()| stream.flush()).is_ok()
}

/// `:status: 200` by its place in the static table.
const OK: u8 = 0x88;

#[test]
fn an_origin_that_misuses_http2_is_a_bad_gateway_and_gets_no_word_to_the_client() {
    type Serve = fn(&mut StreamOwned<ServerConnection, TcpStream>);
    let answers: [(&str, Serve); 12] = [
        ("a reset", |stream| {
            let Some(id) = until_asked(stream) else { return };
            put(stream, &[frame(SETTINGS, 0, 0, &[]), frame(RST_STREAM, 0, id, &[0, 0, 0, 2])].concat());
            until_asked(stream);
        }),
        ("a goodbye", |stream| {
            until_asked(stream);
            put(stream, &[frame(SETTINGS, 0, 0, &[]), frame(GOAWAY, 0, 0, &[0; 8])].concat());
        }),
        ("settings without end", |stream| {
            let burst = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(1000);
            while put(stream, &burst) {}
        }),
        ("pings without end", |stream| {
            put(stream, &frame(SETTINGS, 0, 0, &[]));
            let burst = frame(PING, 0, 0, &[0; 8]).repeat(1000);
            while put(stream, &burst) {}
        }),
        ("a head without end", |stream| {
            let Some(id) = until_asked(stream) else { return };
            put(stream, &[frame(SETTINGS, 0, 0, &[]), frame(HEADERS, 0, id, &[OK])].concat());
            let piece = frame(CONTINUATION, 0, id, &literal("x", &"y".repeat(1000)));
            while put(stream, &piece) {}
        }),
        ("a bomb", |stream| {
            let Some(id) = until_asked(stream) else { return };
            let mut bomb = literal("x-bomb", &"z".repeat(3900));
            bomb[0] = 0x40;
            let block = [&[OK][..], &bomb, &[0x80 | 62; 8000]].concat();
            put(stream, &[frame(SETTINGS, 0, 0, &[]), frame(HEADERS, END_HEADERS, id, &block)].concat());
            until_asked(stream);
        }),
        ("interim answers without end", |stream| {
            let Some(id) = until_asked(stream) else { return };
            put(stream, &frame(SETTINGS, 0, 0, &[]));
            let interim = frame(HEADERS, END_HEADERS, id, &literal(":status", "103"));
            while put(stream, &interim) {}
        }),
        ("a line end in a value", |stream| {
            let Some(id) = until_asked(stream) else { return };
            let block = [&[OK][..], &literal("x", "1\r\nset-cookie: smuggled")].concat();
            put(stream, &[frame(SETTINGS, 0, 0, &[]), frame(HEADERS, END_HEADERS | END_STREAM, id, &block)].concat());
            until_asked(stream);
        }),
        ("a transfer coding", |stream| {
            let Some(id) = until_asked(stream) else { return };
            let block = [&[OK][..], &literal("transfer-encoding", "chunked")].concat();
            put(stream, &[frame(SETTINGS, 0, 0, &[]), frame(HEADERS, END_HEADERS | END_STREAM, id, &block)].concat());
            until_asked(stream);
        }),
        ("a switch of protocols", |stream| {
            let Some(id) = until_asked(stream) else { return };
            let block = [literal(":status", "101"), literal("x", "smuggled")].concat();
            put(stream, &[frame(SETTINGS, 0, 0, &[]), frame(HEADERS, END_HEADERS, id, &block)].concat());
            until_asked(stream);
        }),
        ("no HTTP/2", |stream| {
            put(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled");
        }),
        ("nothing", |stream| while until_asked(stream).is_some() {}),
    ];
    for (what, serve) in answers {
        let lab = hostile(serve);
        let got = lab.curl(&["-i", "-w", "%{http_code}"], "https://site.test/");
        let text = String::from_utf8_lossy(&got.stdout).into_owned();
        let is_bad_gateway = text.ends_with("502") || text.ends_with("504");
        assert!(is_bad_gateway && !text.contains("smuggled"), "{what}: {text} {got:?}");
        let memory = lab.gate.peak_memory();
        assert!(memory < 100 << 20, "{what}: {memory}");
    }
}

#[test]
fn a_body_that_an_origin_cuts_short_over_http2_never_looks_whole() {
    for fields in [vec![], literal("content-length", "10")] {
        let lab = hostile(move |stream| {
            let Some(id) = until_asked(stream) else { return };
            let block = [&[OK][..], &fields].concat();
            let whole = [
                frame(SETTINGS, 0, 0, &[]),
                frame(HEADERS, END_HEADERS, id, &block),
                frame(DATA, 0, id, b"half"),
                frame(RST_STREAM, 0, id, &[0, 0, 0, 2]),
            ];
            put(stream, &whole.concat());
            until_asked(stream);
        });
        for asks in ["--http2", "--http1.1"] {
            let got = lab.curl(&[asks], "https://site.test/");
            assert!(!got.status.success(), "{asks}: {got:?}");
        }
    }
}

#[test]
fn an_origin_that_wants_http11_after_all_is_asked_again_in_that() {
    let files = tempfile::tempdir().unwrap();
    let (config, authority) = tls_of(vec!["site.test".to_owned(), "*.site.test".to_owned()]);
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let roots = files.path().join("origins.pem");
    std::fs::write(&roots, authority).unwrap();
    let listener = listener_of_its_own(443);
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream.unwrap());
            std::thread::spawn(move || {
                let mut first = [0; 24];
                stream.read_exact(&mut first).unwrap();
                if first != *PREFACE {
                    put(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nit");
                    return;
                }
                let Some(id) = until_asked(&mut stream) else { return };
                let reset = frame(RST_STREAM, 0, id, &13u32.to_be_bytes());
                put(&mut stream, &[frame(SETTINGS, 0, 0, &[]), reset].concat());
                until_asked(&mut stream);
            });
        }
    });
    let inspection = format!("ca_files = [\"{}\"]\n", roots.display());
    let lab = Lab::of(files, NameServer::pointing_to(address.ip()), "hosts = [\"*.test\"]", &inspection, true);
    let got = lab.curl(&[], "https://site.test/");
    assert_eq!(String::from_utf8_lossy(&got.stdout), "it", "{got:?}");
}
