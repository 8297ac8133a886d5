//! CONNECT to port 80 carries one thing: the handshake of a WebSocket, judged like a plain request.

use serde_json::Value;

use crate::gate::{Gate, exchanges};
use crate::name_server::NameServer;
use crate::origin::{Origin, listener_of_its_own};
use crate::peer::Peer;
use crate::tunnel_lab::{connect, hello};

const ASK: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

struct Lab {
    origin: Origin,
    names: NameServer,
    gate: Gate,
}

/// An origin of WebSockets on port 80, under a rule without ports.
fn lab(rule: &str) -> Lab {
    let origin = Origin::on(listener_of_its_own(80), |mut peer, log| {
        let Some(request) = peer.head() else { return };
        log.note(&request);
        let _ =
            peer.try_send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello");
        let bytes = peer.some();
        let _ = peer.try_send(bytes.to_ascii_uppercase());
        peer.rest();
    });
    let names = NameServer::pointing_to(origin.address.ip());
    let policy = format!(
        "[[rule]]\nname = \"sockets\"\nhosts = [\"*.test\"]\nprivate = [\"127.0.0.0/8\"]\nverdict = \"allow\"\n{rule}\n"
    );
    let gate = Gate::configured(&policy, &names.config());
    Lab { origin, names, gate }
}

impl Lab {
    fn open(&self, target: &str) -> Peer {
        let (client, answer) = connect(&self.gate, target);
        assert_eq!(answer.status(), 200, "{}", answer.head);
        client
    }
}

fn handshake(host: &str) -> String {
    format!("GET /chat?token=1 HTTP/1.1\r\nHost: {host}\r\nOrigin: http://site.test\r\n{ASK}\r\n")
}

#[test]
fn a_websocket_handshake_passes_and_is_an_exchange_inside_the_connects() {
    let mut lab = lab("");
    let mut client = lab.open("ws.test:80");
    client.send(handshake("ws.test"));
    assert_eq!(client.head().unwrap().status(), 101);
    assert_eq!(client.take(5), b"hello");
    client.send("abc");
    assert_eq!(client.take(3), b"ABC");
    client.finish();
    client.rest();
    drop(client);
    let seen = &lab.origin.requests()[0];
    assert_eq!((seen.line(), seen.all("host")), ("GET /chat?token=1 HTTP/1.1", vec!["ws.test"]));
    let records = lab.gate.records();
    let inner = |record: &&Value| record["event"] == "open" && record["path"] == "/chat";
    let inner = records.iter().find(inner).unwrap_or_else(|| panic!("{records:#?}"));
    assert_eq!(
        (&inner["scheme"], &inner["method"], &inner["host"]),
        (&"http".into(), &"GET".into(), &"ws.test".into())
    );
    assert_eq!((&inner["rule"], &inner["port"]), (&"sockets".into(), &80.into()));
    let outer = &inner["inside"];
    assert!(outer.is_string() && *outer != inner["id"], "{inner}");
    assert!(records.iter().any(|record| record["id"] == *outer && record["method"] == "CONNECT"), "{records:#?}");
    let whole = exchanges(&records);
    let close = whole.iter().find(|exchange| exchange["id"] == inner["id"]).unwrap();
    assert_eq!((&close["carries"], &close["status"]), (&"websocket".into(), &101.into()), "{close}");
    assert!(close["bytes_up"].as_u64() > Some(3) && close["bytes_down"].as_u64() > Some(8), "{close}");
    assert!(!serde_json::to_string(&records).unwrap().contains("token"), "the query is not kept");
}

#[test]
fn everything_else_inside_is_refused_and_the_origin_sees_nothing() {
    let get = "GET / HTTP/1.1\r\nHost: ws.test\r\n";
    let cases: Vec<Vec<u8>> = vec![
        format!("{get}\r\n").into(),
        format!("{get}Upgrade: websocket\r\n\r\n").into(),
        format!("{get}Connection: Upgrade\r\nUpgrade: foo\r\n\r\n").into(),
        format!("{get}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n").into(),
        format!("POST / HTTP/1.1\r\nHost: ws.test\r\nContent-Length: 3\r\n{ASK}\r\nabc").into(),
        format!("GET http://ws.test/ HTTP/1.1\r\nHost: ws.test\r\n{ASK}\r\n").into(),
        format!("GET / HTTP/1.0\r\nHost: ws.test\r\n{ASK}\r\n").into(),
        handshake("front.test").into(),
        handshake("ws.test:8080").into(),
        "CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n".into(),
        "SSH-2.0-OpenSSH_9.2\r\n".into(),
        hello("curl"),
    ];
    let mut lab = lab("");
    for bytes in &cases {
        let mut client = lab.open("ws.test:80");
        client.send(bytes);
        let (answer, _) = client.rest();
        assert!(
            !answer.starts_with(b"HTTP/1.1 101") && !answer.starts_with(b"HTTP/1.1 200"),
            "{}",
            bytes.escape_ascii()
        );
    }
    assert_eq!(lab.origin.bytes().concat(), b"", "no byte reached the origin");
    let records = lab.gate.records();
    let refused = |record: &&Value| record["event"] == "refused" || record["closed_by"] == "gate";
    assert!(records.iter().filter(refused).count() >= cases.len(), "each is on record: {records:#?}");
    for reason in ["host_mismatch", "h2c_upgrade", "not_websocket"] {
        assert!(records.iter().any(|record| record["reason"] == reason), "{reason}: {records:#?}");
    }
}

#[test]
fn a_second_proxy_inside_is_refused_by_that_name() {
    let mut lab = lab("");
    let mut client = lab.open("ws.test:80");
    client.send("CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n");
    assert!(!client.rest().0.starts_with(b"HTTP/1.1 200"));
    drop(client);
    let records = lab.gate.records();
    let named = |record: &Value| record["reason"] == "nested_connect" || record["closed_how"] == "nested_connect";
    assert!(records.iter().any(named), "{records:#?}");
}

#[test]
fn the_request_inside_is_judged_by_its_own_method() {
    let mut allowing = lab("methods = [\"GET\"]");
    let mut client = allowing.open("ws.test:80");
    client.send(handshake("ws.test"));
    assert_eq!(client.head().unwrap().status(), 101);
    drop(client);
    assert!(allowing.gate.events("open").iter().any(|open| open["method"] == "GET"));

    let mut denying = lab("methods = [\"POST\"]");
    let (mut client, answer) = connect(&denying.gate, "ws.test:80");
    if answer.status() == 200 {
        client.send(handshake("ws.test"));
        let answer = client.answer();
        assert!(answer.status() == 403 && answer.text().contains("no_rule"), "{}", answer.text());
    }
    drop(client);
    assert_eq!((denying.origin.connections(), denying.names.asked().len()), (0, 0));
    let refused = denying.gate.events("refused");
    assert!(refused.iter().any(|record| record["reason"] == "no_rule"), "{refused:#?}");
}

#[test]
fn a_name_that_no_rule_allows_is_refused_at_the_connect() {
    let lab = lab("");
    let (_, answer) = connect(&lab.gate, "b.example:80");
    assert!(answer.status() == 403 && answer.field("proxy-status").unwrap().contains("no_rule"), "{}", answer.head);
    assert_eq!((lab.origin.connections(), lab.names.asked().len()), (0, 0));
}

#[test]
fn nothing_is_dialled_before_the_handshake_is_whole() {
    let lab = lab("");
    let mut client = lab.open("ws.test:80");
    let bytes = handshake("ws.test");
    client.send(&bytes[..bytes.len() - 1]);
    // Another exchange through the gate: by its end the gate has long read the half head.
    let (_, refused) = connect(&lab.gate, "b.example:443");
    assert_eq!(refused.status(), 403);
    assert_eq!((lab.origin.connections(), lab.names.asked().len()), (0, 0));
    client.send(&bytes[bytes.len() - 1..]);
    assert_eq!(client.head().unwrap().status(), 101);
}

#[test]
fn a_websocket_passes_also_where_a_rule_on_fingerprints_stands_before() {
    let Lab { origin, names, gate } = lab("");
    drop(gate);
    let policy = "[programs]\nknown = { ja4 = [\"t13d1516h2_8daaf6152771_02713d6af862\"] }\n\
                  [[rule]]\nname = \"known\"\nprograms = [\"known\"]\nverdict = \"deny\"\n\
                  [[rule]]\nname = \"sockets\"\nhosts = [\"*.test\"]\nprivate = [\"127.0.0.0/8\"]\nverdict = \"allow\"\n";
    let mut lab = Lab { gate: Gate::configured(policy, &names.config()), origin, names };
    let mut client = lab.open("ws.test:80");
    client.send(handshake("ws.test"));
    assert_eq!(client.head().unwrap().status(), 101);
    drop(client);
    let waiting = lab.gate.events("waiting");
    assert_eq!(waiting[0]["reason"], "needs_hello", "the first rule waited for it: {waiting:?}");
}
