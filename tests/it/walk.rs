//! The shortest walks through the whole gate: one request, one tunnel, one crash.

use crate::gate::{Gate, records};
use crate::origin::Origin;

#[test]
fn an_allowed_request_is_forwarded_and_recorded_and_another_is_refused() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let port = origin.address.port();
    let answer = gate.send(
        format!("GET http://127.0.0.1:{port}/a?secret=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nProxy-Connection: keep-alive\r\nX-a: 1\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let seen = origin.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].starts_with("GET /a?secret=1 HTTP/1.1\r\nHost: 127.0.0.1"), "{seen:?}");
    assert!(seen[0].contains("X-a: 1\r\n") && seen[0].contains("Via: 1.1 sekisho\r\n"), "{seen:?}");
    assert!(!seen[0].to_ascii_lowercase().contains("proxy-connection"), "{seen:?}");
    let refused = gate.send(b"GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 403 ") && refused.contains("no_rule"), "{refused}");
    assert_eq!(gate.end("-TERM"), Some(0));

    let records = records(&gate.data_dir());
    let mut events: Vec<_> = records.iter().filter_map(|record| record["event"].as_str()).collect();
    events.sort_unstable();
    assert_eq!(events, ["close", "open", "refused"]);
    assert_eq!(records.last().unwrap()["action"], "journal_closed");
    let all = serde_json::to_string(&records).unwrap();
    assert!(!all.contains("secret"), "queries are not kept: {all}");
    let report = sekisho::store::verify(&gate.data_dir(), &Default::default()).unwrap();
    assert_eq!(report.records, records.len() as u64);
}

#[test]
fn a_tunnel_carries_bytes_both_ways_and_a_refused_one_dials_nothing() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(format!("CONNECT {} HTTP/1.1\r\nHost: {}\r\n\r\n", origin.address, origin.address));
    assert_eq!(client.head().unwrap().line(), "HTTP/1.1 200 Connection established");
    client.send("GET /inside HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let (answer, _) = client.rest();
    assert!(String::from_utf8_lossy(&answer).contains("GET /inside"), "{answer:?}");
    drop(client);
    let refused = gate.send(b"CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert!(refused.contains("Proxy-Status: sekisho; error=http_request_denied"), "{refused}");
    assert_eq!(gate.end("-TERM"), Some(0));
    let records = records(&gate.data_dir());
    assert!(records.iter().any(|record| record["event"] == "close" && record["bytes_down"].as_u64() > Some(20)));
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn what_the_origin_saw_before_a_kill_is_on_record_after_it() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let port = origin.address.port();
    for n in 0..40 {
        let answer = gate.send(
            format!("GET http://127.0.0.1:{port}/n{n} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        );
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    gate.end("-KILL");
    let records = records(&gate.data_dir());
    for head in origin.seen() {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let opened = records.iter().any(|record| record["event"] == "open" && record["path"] == path.as_str());
        assert!(opened, "{path} was seen by the origin and has no record");
    }
    sekisho::store::verify(&gate.data_dir(), &Default::default()).unwrap();
}
