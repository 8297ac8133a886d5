//! Origins that break off, stand still, never come or never stop, and clients that do not wait for them.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::gate::Gate;
use crate::origin::Origin;
use crate::peer::{End, Message, Peer};
use crate::tunnel_lab::connect;

const PATIENCE: Duration = Duration::from_secs(20);

fn get(at: SocketAddr) -> String {
    format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n")
}

/// An origin that reads a request, says this, and then does what `then` does with the connection.
fn saying(first: &'static str, then: impl Fn(Peer) + Send + Sync + 'static) -> Origin {
    Origin::serving(move |mut peer, log| {
        if let Some(request) = peer.request() {
            log.note(&request);
            peer.send(first);
            then(peer);
        }
    })
}

/// Stays until the other side ends the connection.
fn stand_still(mut peer: Peer) {
    peer.rest();
}

/// One answer through a gate that waits a second for each byte, and the close record of it.
fn answer_and_record(origin: &Origin) -> (Message, Value) {
    let mut gate = Gate::configured(&origin.policy(), "[limits]\nbody_seconds = 1\n");
    let mut client = gate.client();
    client.send(get(origin.address));
    let answer = client.answer();
    drop(client);
    let mut closes = gate.events("close");
    assert_eq!(closes.len(), 1, "{closes:#?}");
    (answer, closes.remove(0))
}

#[test]
fn an_origin_that_fails_before_its_head_is_whole_becomes_a_page_that_says_how() {
    const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-";
    for (origin, status, how) in [
        (saying("", Peer::reset), 502, "origin_reset"),
        (saying(HALF, Peer::reset), 502, "origin_reset"),
        (saying(HALF, drop), 502, "origin_closed"),
        (saying("", stand_still), 504, "origin_timeout"),
        (saying(HALF, stand_still), 504, "origin_timeout"),
        (saying("HTTP/1.1 103 Early Hints\r\n\r\n", stand_still), 504, "origin_timeout"),
    ] {
        let mut gate = Gate::configured(&origin.policy(), "[limits]\nbody_seconds = 1\n");
        let mut client = gate.client();
        client.send(get(origin.address));
        let mut answer = client.answer();
        if answer.status() == 103 {
            answer = client.answer();
        }
        assert_eq!(answer.status(), status, "{how}: {}", answer.text());
        assert!(answer.text().contains(how) && answer.whole && answer.closes(), "{how}: {}", answer.text());
        assert!(
            answer.text().contains("the site could not be reached or did not answer"),
            "the request is not blamed: {}",
            answer.text()
        );
        assert_eq!(client.rest(), (Vec::new(), End::Closed), "{how}");
        drop(client);
        let close = &gate.events("close")[0];
        assert_eq!((&close["closed_by"], &close["closed_how"]), (&"origin".into(), &how.into()), "{close}");
        assert_eq!(close["status"], status, "{close}");
    }
}

#[test]
fn an_origin_that_stands_still_in_mid_body_is_cut_off_so_that_it_shows() {
    for body in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nabcd",
        "HTTP/1.1 200 OK\r\n\r\nabcd",
    ] {
        let (answer, close) = answer_and_record(&saying(body, stand_still));
        assert_eq!((answer.status(), answer.text().as_str(), answer.whole), (200, "abcd", false), "{body:?}");
        assert_eq!((&close["closed_by"], &close["closed_how"]), (&"origin".into(), &"body_timeout".into()), "{close}");
        assert_eq!(close["status"], 200, "what the client was told: {close}");
    }
}

#[test]
fn more_bytes_than_were_announced_are_never_taken_for_the_next_answer() {
    const LENGTH: usize = 300 << 10;
    let (sent, was_sent) = mpsc::channel();
    let origin = Origin::serving(move |mut peer, log| {
        while let Some(request) = peer.request() {
            log.note(&request);
            let smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
            let body = "a".repeat(LENGTH);
            let _ = peer.try_send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n{body}{smuggled}"));
            let _ = sent.send(());
        }
    });
    let gate = Gate::configured(&origin.policy(), "[gate]\nworkers = 1\n");
    let mut client = gate.client();
    for _ in 0..3 {
        client.send(get(origin.address));
        let answer = client.answer();
        assert!(answer.whole && answer.body == [b'a'; LENGTH]);
        was_sent.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!((origin.requests().len(), origin.connections()), (3, 3), "no connection is used again");
}

#[test]
fn an_origin_whose_head_or_interim_answers_never_end_is_cut_off_in_bounded_memory() {
    for (piece, how, passed) in
        [("X: aaaaaaaaaaaaaaaa\r\n", "head_too_long", 0), ("HTTP/1.1 103 A\r\n\r\n", "too_many_interims", 16)]
    {
        let origin = Origin::serving(move |mut peer, log| {
            if let Some(request) = peer.request() {
                log.note(&request);
                let first = if passed == 0 { "HTTP/1.1 200 OK\r\n" } else { "" };
                let many = piece.repeat(10_000);
                if peer.try_send(first).is_ok() {
                    while peer.try_send(&many).is_ok() {}
                }
            }
        });
        let mut gate = Gate::start(&origin.policy());
        let mut client = gate.client();
        client.send(get(origin.address));
        let mut answers: Vec<_> = (0..=passed).map(|_| client.answer()).collect();
        let last = answers.pop().unwrap();
        assert!(answers.iter().all(|answer| answer.status() == 103), "{answers:#?}");
        assert!(last.status() == 502 && last.text().contains(how), "{}", last.text());
        assert!(gate.peak_memory() < 16 << 20, "{} bytes", gate.peak_memory());
        drop(client);
        let close = &gate.events("close")[0];
        assert_eq!((&close["closed_by"], &close["closed_how"]), (&"origin".into(), &how.into()), "{close}");
    }
}

/// A listener that takes no connection, its queue full: whoever connects gets no answer at all.
fn black_hole() -> (Socket, Vec<TcpStream>, SocketAddr) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let at = listener.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_millis(500)) {
        queued.push(stream);
        assert!(queued.len() < 100, "a queue of no length takes one or two");
    }
    (listener, queued, at)
}

#[test]
fn an_origin_that_answers_no_connection_becomes_504_in_the_time_that_connecting_has() {
    let (_listener, _queued, at) = black_hole();
    let policy = format!(
        "[[rule]]\nname = \"hole\"\nhosts = [\"127.0.0.1\"]\nports = [{}]\nprivate = [\"127.0.0.0/8\"]\nverdict = \"allow\"\n",
        at.port()
    );
    let mut gate = Gate::configured(&policy, "[limits]\nconnect_seconds = 1\n");
    let mut client = gate.client();
    client.send(get(at));
    let answer = client.answer();
    assert!(answer.status() == 504 && answer.text().contains("connect_timeout"), "{}", answer.text());
    let (tunnel, refused) = connect(&gate, &at.to_string());
    assert_eq!(refused.status(), 504, "{}", refused.head);
    drop((client, tunnel));
    let closes = gate.events("close");
    assert_eq!(closes.len(), 2);
    for close in closes {
        assert_eq!(
            (&close["closed_by"], &close["closed_how"]),
            (&"origin".into(), &"connect_timeout".into()),
            "{close}"
        );
        assert!(close["dialled"].is_null(), "{close}");
    }
}

/// An origin that never answers, and tells when it has a request whole and when the gate let it go.
fn never_answering(first: &'static str) -> (Origin, Receiver<&'static str>) {
    let (tell, told) = mpsc::channel();
    let origin = saying(first, move |mut peer| {
        let _ = tell.send("asked");
        peer.rest();
        let _ = tell.send("let go");
    });
    (origin, told)
}

/// The one exchange of this gate was closed by the client, which did not wait.
fn ended_by_the_client(gate: &mut Gate) {
    let closes = gate.events("close");
    assert_eq!(closes.len(), 1, "{closes:#?}");
    let close = &closes[0];
    assert_eq!((&close["closed_by"], &close["closed_how"]), (&"client".into(), &"client_closed".into()), "{close}");
}

#[test]
fn a_client_that_goes_while_it_waits_is_named_and_the_origin_let_go() {
    let post = |framing: &str| format!("POST http://AT/ HTTP/1.1\r\nHost: AT\r\n{framing}");
    let requests = [
        "GET http://AT/ HTTP/1.1\r\nHost: AT\r\n\r\n".to_owned(),
        post("Content-Length: 3\r\n\r\nabc"),
        post("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        // What it asks behind it does not hide that it has gone.
        "GET http://AT/ HTTP/1.1\r\nHost: AT\r\n\r\n".repeat(2),
    ];
    let ends: [fn(Peer); 2] = [drop, Peer::reset];
    for request in requests {
        for end in ends {
            // Before anything of the answer has come, and in the middle of its head.
            for first in ["", "HTTP/1.1 200 OK\r\nX-"] {
                let (origin, told) = never_answering(first);
                let mut gate = Gate::start(&origin.policy());
                let mut client = gate.client();
                client.send(request.replace("AT", &origin.address.to_string()));
                assert_eq!(told.recv_timeout(PATIENCE), Ok("asked"));
                end(client);
                assert_eq!(told.recv_timeout(PATIENCE), Ok("let go"), "{request:?}");
                ended_by_the_client(&mut gate);
                assert_eq!(origin.requests().len(), 1, "{request:?}");
            }
        }
    }
}

#[test]
fn a_client_that_closes_its_side_and_waits_on_is_told_that_it_did_not_wait() {
    let (origin, told) = never_answering("");
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(get(origin.address));
    assert_eq!(told.recv_timeout(PATIENCE), Ok("asked"));
    client.finish();
    let answer = client.answer();
    assert!(answer.status() == 400 && answer.text().contains("client_closed: the client closed"), "{}", answer.text());
    assert_eq!(client.rest(), (Vec::new(), End::Closed));
    assert_eq!(told.recv_timeout(PATIENCE), Ok("let go"));
    ended_by_the_client(&mut gate);
}

#[test]
fn a_client_that_closes_its_side_once_the_answer_has_begun_gets_all_of_it() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let origin = saying("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc", move |mut peer| {
        let _ = gone.lock().unwrap().recv_timeout(PATIENCE);
        peer.send("def");
        peer.rest();
    });
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(get(origin.address));
    let head = client.head().unwrap();
    client.finish();
    go.send(()).unwrap();
    let answer = client.body(head);
    assert!(answer.whole && answer.text() == "abcdef", "{answer:?}");
    drop(client);
    assert_eq!(gate.events("close")[0]["closed_how"], "complete");
}
