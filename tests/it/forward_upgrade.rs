//! Upgrades of plain requests.

use crate::gate::Gate;
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
