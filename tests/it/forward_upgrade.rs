//! Upgrades of plain requests, and connections to origins that serve more than one.

use crate::gate::{Gate, event_of};
use crate::origin::Origin;

const ASK: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const ACCEPT: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn request(origin: &Origin, lines: &str) -> String {
    format!("GET http://{0}/chat HTTP/1.1\r\nHost: {0}\r\n{lines}\r\n", origin.address)
}

#[test]
fn a_websocket_becomes_a_recorded_tunnel() {
    let origin = Origin::serving(|mut peer, log| {
        log.note(&peer.head().unwrap());
        peer.send(format!("{ACCEPT}hello"));
        assert_eq!(peer.take(3), b"abc");
        peer.send("ABC");
        peer.rest();
    });
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(request(&origin, ASK));
    let answer = client.head().unwrap();
    assert_eq!(answer.status(), 101, "{}", answer.head);
    assert_eq!(answer.field("upgrade").map(str::to_ascii_lowercase).as_deref(), Some("websocket"));
    assert_eq!(answer.field("sec-websocket-accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(client.take(5), b"hello");
    client.send("abc");
    assert_eq!(client.take(3), b"ABC");
    client.finish();
    assert!(client.rest().0.is_empty());
    drop(client);
    let seen = &origin.requests()[0];
    assert_eq!(seen.field("upgrade").map(str::to_ascii_lowercase).as_deref(), Some("websocket"));
    assert_eq!(seen.all("connection").join(",").to_ascii_lowercase(), "upgrade");
    let close = &gate.exchanges()[0];
    assert_eq!((&close["status"], &close["carries"]), (&101.into(), &"websocket".into()), "{close}");
    assert_eq!(close["closed_by"], "client", "{close}");
    assert!(close["bytes_up"].as_u64() > Some(3) && close["bytes_down"].as_u64() > Some(8), "{close}");
}

#[test]
fn a_websocket_that_the_origin_declines_is_an_ordinary_answer() {
    let origin = Origin::saying("HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno");
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(request(&origin, ASK));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (400, "no"));
    drop(client);
    let close = &gate.events("close")[0];
    assert!(close["carries"].is_null() && close["closed_how"] == "complete", "{close}");
}

#[test]
fn other_upgrades_are_not_passed_on() {
    let origin = Origin::start();
    let gate = Gate::start(&origin.policy());
    for lines in [
        "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n",
        "Connection: Upgrade\r\nUpgrade: connect-udp\r\n",
        "Upgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket, foo\r\n",
    ] {
        let mut client = gate.client();
        client.send(request(&origin, lines));
        assert_eq!(client.answer().status(), 200, "{lines:?}");
        let seen = origin.requests().pop().unwrap();
        assert_eq!(seen.field("upgrade"), None, "{lines:?}: {}", seen.head);
    }
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
