//! Connections to origins that serve more than one request: each request is judged and recorded for
//! itself, and no answer reaches another's client.

use std::sync::mpsc;
use std::time::Duration;

use crate::gate::{Gate, event_of};
use crate::origin::Origin;

fn request(origin: &Origin, lines: &str) -> String {
    format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n{lines}\r\n", origin.address)
}

#[test]
fn a_connection_to_an_origin_serves_request_after_request_each_judged_and_recorded() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    for _ in 0..4 {
        client.send(request(&origin, ""));
        assert_eq!(client.answer().status(), 200);
    }
    drop(client);
    assert_eq!(origin.connections(), 1, "the connection was kept for the next request");
    let records = gate.records();
    let opened: Vec<_> = records.iter().filter(|record| record["event"] == "open").collect();
    assert_eq!(opened.len(), 4);
    let dialled = origin.address.to_string();
    for open in opened {
        assert_eq!(event_of(&records, "close", &open["id"])["dialled"], dialled.as_str());
    }
}

#[test]
fn a_kept_connection_that_the_origin_has_closed_costs_no_request() {
    let origin = Origin::serving(|mut peer, log| {
        if let Some(request) = peer.request() {
            log.note(&request);
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    for round in 0..20 {
        client.send(request(&origin, ""));
        assert_eq!(client.answer().text(), "ok", "{round}");
    }
    assert_eq!(origin.requests().len(), 20, "and none was sent twice");
}

#[test]
fn a_connection_is_not_kept_where_its_answer_says_close_or_leaves_bytes_behind() {
    for answer in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n",
    ] {
        let origin = Origin::serving(move |mut peer, log| {
            while let Some(request) = peer.request() {
                log.note(&request);
                peer.send(answer);
            }
        });
        let gate = Gate::start(&origin.policy());
        let mut client = gate.client();
        for _ in 0..3 {
            client.send(request(&origin, ""));
            assert_eq!(client.answer().text(), "ok", "{answer:?}");
        }
        assert_eq!(origin.connections(), 3, "{answer:?}");
    }
}

#[test]
fn bytes_that_come_on_an_idle_connection_are_nobodys_answer() {
    let (sender, sent) = mpsc::channel();
    let (read, was_read) = mpsc::channel::<()>();
    let was_read = std::sync::Mutex::new(was_read);
    let origin = Origin::serving(move |mut peer, log| {
        while let Some(request) = peer.request() {
            log.note(&request);
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            let _ = was_read.lock().unwrap().recv_timeout(Duration::from_secs(20));
            let _ = peer.try_send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled");
            let _ = sender.send(());
        }
    });
    let gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    for _ in 0..3 {
        client.send(request(&origin, ""));
        assert_eq!(client.answer().text(), "ok");
        read.send(()).unwrap();
        sent.recv_timeout(Duration::from_secs(20)).unwrap();
    }
    assert_eq!(origin.connections(), 3, "a connection that spoke unasked is not used again");
}

#[test]
fn a_kept_connection_carries_only_what_its_own_rule_would_let_dial() {
    let origin = Origin::start();
    let opened = origin.rule("methods = [\"GET\"]");
    let closed =
        opened.replace("GET", "POST").replace("private = [\"127.0.0.0/8\"]\n", "").replace("\"origin\"", "\"closed\"");
    let mut gate = Gate::start(&format!("{opened}{closed}"));
    let mut client = gate.client();
    for _ in 0..2 {
        client.send(request(&origin, ""));
        assert_eq!(client.answer().status(), 200);
        client.send(request(&origin, "Content-Length: 0\r\n").replacen("GET", "POST", 1));
        let answer = client.answer();
        assert!(answer.status() == 403 && answer.text().contains("guard_address"), "{}", answer.text());
    }
    drop(client);
    assert_eq!(origin.requests().len(), 2);
    let hows: Vec<_> = gate.exchanges().iter().map(|exchange| exchange["closed_how"].clone()).collect();
    assert_eq!(hows, ["complete", "guard_address", "complete", "guard_address"]);
}

#[test]
fn a_connection_that_was_authenticated_is_kept_for_its_own_client() {
    let origin = Origin::serving(|mut peer, log| {
        for number in 0.. {
            let Some(request) = peer.request() else { return };
            log.note(&request);
            let text = number.to_string();
            peer.send(format!(
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            ));
        }
    });
    let gate = Gate::start(&origin.policy());
    let (mut one, mut other) = (gate.client(), gate.client());
    for number in 0..3 {
        for client in [&mut one, &mut other] {
            client.send(request(&origin, "Authorization: NTLM TlRMTVNTUAAB\r\n"));
            assert_eq!(
                client.answer().text(),
                number.to_string(),
                "each client has a connection of its own, and keeps it"
            );
        }
    }
    assert_eq!(origin.connections(), 2);
}

#[test]
fn a_connection_that_has_authenticated_a_client_is_never_lent_to_another() {
    // Once it has vouched, a client sends no credentials any more, and the origin answers by connection.
    let connections = std::sync::atomic::AtomicUsize::new(0);
    let origin = Origin::serving(move |mut peer, log| {
        let number = connections.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut who = "nobody".to_owned();
        while let Some(request) = peer.request() {
            log.note(&request);
            if request.field("authorization").is_some() {
                who = format!("client {number}");
            }
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{who}", who.len()));
        }
    });
    let gate = Gate::start(&format!("{}\n", origin.policy()));
    let (mut one, mut other) = (gate.client(), gate.client());
    one.send(request(&origin, "Authorization: Negotiate YIIB\r\n"));
    assert_eq!(one.answer().text(), "client 0");
    for _ in 0..2 {
        one.send(request(&origin, ""));
        assert_eq!(one.answer().text(), "client 0", "the client keeps its own");
    }
    other.send(request(&origin, ""));
    assert_eq!(other.answer().text(), "nobody", "and another never gets it");
}
