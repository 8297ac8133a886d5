//! Bodies in motion: go-aheads, early answers, trailers, broken ends, and more bytes than the gate
//! may hold.

use std::sync::mpsc;
use std::time::Duration;

use crate::gate::Gate;
use crate::origin::Origin;
use crate::peer::{End, Peer};

fn request(origin: &Origin, method: &str, lines: &str) -> String {
    format!("{method} http://{0}/ HTTP/1.1\r\nHost: {0}\r\n{lines}\r\n", origin.address)
}

/// The only close record of the gate's life: who and how.
fn closed(gate: &mut Gate) -> (String, String) {
    let closes = gate.events("close");
    assert_eq!(closes.len(), 1, "{closes:#?}");
    let text = |key: &str| closes[0][key].as_str().unwrap().to_owned();
    (text("closed_by"), text("closed_how"))
}

fn by(party: &str, how: &str) -> (String, String) {
    (party.to_owned(), how.to_owned())
}

#[test]
fn a_client_that_waits_for_a_go_ahead_gets_the_origins() {
    let origin = Origin::serving(|mut peer, log| {
        let head = peer.head().unwrap();
        assert_eq!(head.field("expect"), Some("100-continue"));
        peer.send("HTTP/1.1 100 Continue\r\nX-From: origin\r\n\r\n");
        log.note(&peer.body(head));
        peer.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        peer.rest();
    });
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(request(&origin, "POST", "Expect: 100-continue\r\nContent-Length: 3\r\n"));
    let interim = client.answer();
    assert_eq!((interim.status(), interim.field("x-from")), (100, Some("origin")), "{}", interim.head);
    client.send("abc");
    let answer = client.answer();
    assert!(answer.status() == 201 && !answer.closes(), "{}", answer.head);
    drop(client);
    assert_eq!(origin.requests()[0].text(), "abc");
    assert_eq!(closed(&mut gate), by("origin", "complete"));
}

#[test]
fn a_client_that_does_not_wait_after_all_is_served_too() {
    let origin = Origin::start();
    let gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(format!("{}abc", request(&origin, "POST", "expect: 100-Continue\r\nContent-Length: 3\r\n")));
    let mut answer = client.answer();
    while answer.status() == 100 {
        answer = client.answer();
    }
    assert_eq!(answer.status(), 200);
    assert_eq!(origin.requests()[0].text(), "abc");
}

#[test]
fn a_final_answer_instead_of_a_go_ahead_ends_the_connection_and_no_body_is_sent() {
    let origin = Origin::serving(|mut peer, _| {
        peer.head();
        peer.send("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig");
        peer.rest();
    });
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(request(&origin, "POST", "Expect: 100-continue\r\nContent-Length: 3\r\n"));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (413, "big"));
    assert!(answer.closes(), "the body was announced and will not come: {}", answer.head);
    // A client that sends on regardless must not have its body read as a request.
    let _ = client.try_send(request(&origin, "GET", ""));
    assert!(client.rest().0.is_empty());
    let bytes = origin.bytes();
    assert!(bytes.len() == 1 && bytes[0].ends_with(b"\r\n\r\n"), "no byte of a body reached the origin: {bytes:?}");
    assert_eq!(gate.events("open").len(), 1);
}

#[test]
fn the_expectation_of_an_old_client_counts_for_nothing() {
    let origin = Origin::start();
    let gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(format!(
        "POST http://{}/ HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
        origin.address
    ));
    assert_eq!(client.answer().status(), 200);
    assert_eq!(origin.requests()[0].text(), "abc");
}

#[test]
fn interim_answers_come_through_in_order() {
    let origin = Origin::saying(
        "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    for _ in 0..2 {
        client.send(request(&origin, "GET", ""));
        assert_eq!([(); 3].map(|()| client.answer().status()), [102, 103, 200]);
    }
}

#[test]
fn an_early_answer_reaches_the_client_while_its_upload_goes_on() {
    let origin = Origin::serving(|mut peer, _| {
        peer.head();
        peer.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        peer.rest();
    });
    let gate = Gate::start(&origin.policy());
    for framing in ["Content-Length: 1000000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut client = gate.client();
        client.send(format!("{}3\r\nabc\r\n", request(&origin, "POST", framing)));
        let answer = client.answer();
        assert_eq!((answer.status(), answer.text().as_str()), (403, "no"), "{framing}");
        assert!(answer.closes(), "{framing}: half a request is left on the connection");
        assert!(client.rest().0.is_empty(), "{framing}");
    }
}

#[test]
fn trailers_pass_both_ways() {
    let origin = Origin::saying(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Down\r\n\r\n4\r\ndown\r\n0\r\nX-Down: 2\r\nx-more: a\r\n\r\n",
    );
    let gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    let body = "2\r\nup\r\n0\r\nX-Up: 1\r\n\r\n";
    client.send(format!("{}{body}", request(&origin, "POST", "Trailer: X-Up\r\nTransfer-Encoding: chunked\r\n")));
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.trailers.as_str()), ("down", "X-Down: 2\r\nx-more: a\r\n"));
    let seen = &origin.requests()[0];
    assert_eq!((seen.text().as_str(), seen.trailers.as_str()), ("up", "X-Up: 1\r\n"));
}

#[test]
fn an_origin_that_stops_in_mid_body_is_seen_and_named() {
    for head in [
        "Content-Length: 10\r\n\r\nabcd",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n",
        "Transfer-Encoding: chunked\r\n\r\na\r\nabcd",
    ] {
        let origin = Origin::serving(move |mut peer, _| {
            peer.request();
            peer.send(format!("HTTP/1.1 200 OK\r\n{head}"));
        });
        let mut gate = Gate::start(&origin.policy());
        let mut client = gate.client();
        client.send(request(&origin, "GET", ""));
        let answer = client.answer();
        assert!(!answer.whole, "{head:?}: the client must see that the body is cut: {answer:?}");
        drop(client);
        assert_eq!(closed(&mut gate), by("origin", "body_too_short"), "{head:?}");
    }
}

#[test]
fn an_origin_that_resets_in_mid_body_is_seen_and_named_also_without_a_length() {
    let origin = Origin::serving(|mut peer, _| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\n\r\nabcd");
        peer.reset();
    });
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(request(&origin, "GET", ""));
    // The reset may overtake the head: then nothing was passed on and the client is told.
    let answer = client.answer();
    assert!(!answer.whole || answer.status() == 502, "{answer:?}");
    drop(client);
    assert_eq!(closed(&mut gate).0, "origin");
}

#[test]
fn an_origin_that_closes_before_any_answer_becomes_502() {
    let origin = Origin::serving(|mut peer, _| drop(peer.request()));
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(request(&origin, "GET", ""));
    let answer = client.answer();
    assert!(answer.status() == 502 && answer.text().contains("origin_closed"), "{}", answer.text());
    drop(client);
    assert_eq!(closed(&mut gate), by("origin", "origin_closed"));
}

#[test]
fn a_client_that_vanishes_in_mid_upload_is_named_and_the_origin_let_go() {
    let (let_go, was_let_go) = mpsc::channel();
    let origin = Origin::serving(move |mut peer, _| {
        peer.head();
        assert_eq!(peer.take(3), b"abc");
        let _ = let_go.send(None);
        let _ = let_go.send(Some(peer.rest().0));
    });
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(format!("{}abc", request(&origin, "POST", "Content-Length: 10\r\n")));
    let wait = || was_let_go.recv_timeout(Duration::from_secs(20)).unwrap();
    assert_eq!(wait(), None, "the origin has the beginning");
    client.reset();
    assert_eq!(wait(), Some(Vec::new()), "the origin's connection ends with no byte more");
    assert_eq!(closed(&mut gate).0, "client");
}

#[test]
fn a_client_that_vanishes_in_mid_download_is_named_and_the_origin_let_go() {
    let (let_go, was_let_go) = mpsc::channel();
    let origin = Origin::serving(move |mut peer, _| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9000000000000\r\n\r\n");
        while peer.try_send([b'a'; 65_536]).is_ok() {}
        let _ = let_go.send(());
    });
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(request(&origin, "GET", ""));
    assert_eq!(client.head().unwrap().status(), 200);
    client.take(100_000);
    client.reset();
    was_let_go.recv_timeout(Duration::from_secs(20)).expect("the origin's connection ends");
    assert_eq!(closed(&mut gate).0, "client");
}

/// More than the kernel's buffers on the way can hold, and more than the gate may.
const MUCH: usize = 96 << 20;
/// A debug build at rest holds about 7 MiB.
const MEMORY_MAX: u64 = 16 << 20;

/// Sends `MUCH` bytes, telling how many after each piece.
fn pour(peer: &mut Peer, progress: &mpsc::Sender<usize>) {
    let piece: Vec<u8> = (0..=255).cycle().take(1 << 16).collect();
    for sent in (0..MUCH).step_by(piece.len()) {
        peer.send(&piece);
        let _ = progress.send(sent + piece.len());
    }
}

/// Waits until the sender has got no further for a second: what the way can hold, it holds.
fn until_it_stalls(progress: &mpsc::Receiver<usize>) -> usize {
    let mut sent = 0;
    while let Ok(more) = progress.recv_timeout(Duration::from_secs(1)) {
        sent = more;
    }
    sent
}

/// Reads `MUCH` bytes and checks each.
fn drink(peer: &mut Peer) {
    let piece: Vec<u8> = (0..=255).cycle().take(1 << 16).collect();
    for _ in 0..MUCH / piece.len() {
        assert!(peer.take(piece.len()) == piece, "the bytes that came are the bytes that were sent");
    }
}

#[test]
fn a_download_nobody_reads_waits_at_the_origin_and_not_in_the_gate() {
    let (sender, progress) = mpsc::channel();
    let origin = Origin::serving(move |mut peer, _| {
        peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {MUCH}\r\n\r\n"));
        pour(&mut peer, &sender);
        peer.rest();
    });
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(request(&origin, "GET", ""));
    assert_eq!(client.head().unwrap().status(), 200);
    assert!(until_it_stalls(&progress) < MUCH, "back-pressure reaches the origin");
    drink(&mut client);
    assert!(gate.peak_memory() < MEMORY_MAX, "{} bytes", gate.peak_memory());
    drop(client);
    let closes = gate.events("close");
    assert!(closes[0]["bytes_down"].as_u64() >= Some(MUCH as u64), "{closes:#?}");
}

#[test]
fn an_upload_nobody_reads_waits_at_the_client_and_not_in_the_gate() {
    let (start, started) = mpsc::channel::<()>();
    let started = std::sync::Mutex::new(started);
    let origin = Origin::serving(move |mut peer, _| {
        peer.head();
        let _ = started.lock().unwrap().recv_timeout(Duration::from_secs(60));
        drink(&mut peer);
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        peer.rest();
    });
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(request(&origin, "POST", &format!("Content-Length: {MUCH}\r\n")));
    let (sender, progress) = mpsc::channel();
    let pouring = std::thread::spawn(move || {
        pour(&mut client, &sender);
        drop(sender);
        client.answer()
    });
    assert!(until_it_stalls(&progress) < MUCH, "back-pressure reaches the client");
    start.send(()).unwrap();
    assert_eq!(pouring.join().unwrap().text(), "ok");
    assert!(gate.peak_memory() < MEMORY_MAX, "{} bytes", gate.peak_memory());
    let closes = gate.events("close");
    assert!(closes[0]["bytes_up"].as_u64() >= Some(MUCH as u64), "{closes:#?}");
}

#[test]
fn a_body_without_a_length_ends_where_the_origin_ends_it() {
    let origin = Origin::saying("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it");
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    for _ in 0..2 {
        client.send(request(&origin, "GET", ""));
        let answer = client.answer();
        assert!(answer.whole && answer.text() == "all of it", "{answer:?}");
        assert_eq!(answer.field("transfer-encoding"), Some("chunked"), "a new client's connection goes on");
    }
    client.finish();
    assert_eq!(client.rest(), (Vec::new(), End::Closed));
    let closes = gate.events("close");
    assert!(closes.len() == 2 && closes.iter().all(|close| close["closed_how"] == "complete"), "{closes:#?}");
}

#[test]
fn an_upload_may_take_longer_than_the_limit_while_its_bytes_move() {
    let origin = Origin::start();
    let gate = Gate::configured(&origin.policy(), "[limits]\nbody_seconds = 1\n");
    let mut client = gate.client();
    client.send(request(&origin, "POST", "Content-Length: 5\r\n"));
    for _ in 0..5 {
        // The wait of a read that nothing answers paces the client, half a second each time.
        client.stream().set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        assert!(client.stream().peek(&mut [0]).is_err(), "no answer comes before the body is whole");
        client.send("x");
    }
    client.stream().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(client.answer().status(), 200);
}
