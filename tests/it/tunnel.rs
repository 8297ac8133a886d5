//! CONNECT judged by what is known before the tunnel, and tunnels judged by their first bytes.

use serde_json::Value;

use crate::gate::{Gate, exchanges};
use crate::name_server::NameServer;
use crate::origin::{Origin, listener_of_its_own};
use crate::peer::End;
use crate::tunnel_lab::{ALERT, CURL, Lab, connect, hello, in_records_of};

#[test]
fn a_hello_passes_however_it_is_cut_and_the_record_tells_it() {
    let hello = hello("curl");
    let mut lab = Lab::new("");
    let mut sent = Vec::new();
    for record in [1, 4, 100, 16_000] {
        let bytes = in_records_of(record, &hello);
        for segment in [1, 2, 3, 5, 7, 100, bytes.len()] {
            let mut client = lab.open("a.test");
            for part in bytes.chunks(segment.max(bytes.len() / 400)) {
                client.send(part);
            }
            assert_eq!(client.take(bytes.len()), bytes, "segments of {segment}, records of {record}");
            sent.push(bytes.clone());
        }
    }
    assert_eq!(lab.origin.bytes(), sent);
    let closes = lab.gate.exchanges();
    assert_eq!(closes.len(), sent.len());
    for close in closes {
        assert_eq!((&close["sni"], &close["ja4"], &close["ech"]), (&"a.test".into(), &CURL.into(), &false.into()));
        assert_eq!((&close["alpn"], &close["carries"]), (&serde_json::json!(["h2", "http/1.1"]), &"tls".into()));
    }
}

#[test]
fn every_recorded_client_gets_through_to_the_name_it_asks_for() {
    let mut lab = Lab::new("");
    for name in ["wget", "requests", "httpx", "aiohttp", "urllib", "node", "go", "reqwest", "openssl", "curl-cffi"] {
        let bytes = hello(name);
        let mut client = lab.open("A.Test.");
        client.send(&bytes);
        assert_eq!(client.take(bytes.len()), bytes, "{name}");
    }
    for (name, host) in
        [("chromium-websocket", "ws.test"), ("chromium-resumed", "site.test"), ("chromium-address", "127.0.0.1")]
    {
        let bytes = hello(name);
        let mut client = lab.open(host);
        client.send(&bytes);
        assert_eq!(client.take(bytes.len()), bytes, "{name}");
    }
    let closes = lab.gate.exchanges();
    assert!(closes.iter().all(|close| close["ja4"].is_string() && close["tls_key"].is_string()), "{closes:#?}");
}

#[test]
fn a_server_name_that_is_not_the_hosts_ends_the_tunnel_before_a_byte_is_sent() {
    let cases = [
        ("chromium", "a.test"),
        ("curl", "b.test"),
        ("curl", "a.test.test"),
        ("curl", "127.0.0.1"),
        ("chromium-address", "a.test"),
    ];
    let mut lab = Lab::new("");
    for (name, host) in cases {
        let mut client = lab.open(host);
        client.send(hello(name));
        assert_eq!(client.rest(), (ALERT.to_vec(), End::Closed), "{name} to {host}");
    }
    assert_eq!(lab.seen(), b"");
    let closes = lab.gate.exchanges();
    assert_eq!(closes.len(), cases.len());
    for close in closes {
        assert_eq!((&close["closed_by"], &close["closed_how"]), (&"gate".into(), &"sni_mismatch".into()), "{close}");
        assert!(close["ja4"].is_string(), "what was shown is on record: {close}");
    }
}

#[test]
fn a_rule_may_relax_the_server_name() {
    let mut lab = Lab::new("sni = \"any\"");
    for (name, host) in [("chromium", "a.test"), ("chromium-address", "a.test"), ("curl", "127.0.0.1")] {
        let bytes = hello(name);
        let mut client = lab.open(host);
        client.send(&bytes);
        assert_eq!(client.take(bytes.len()), bytes, "{name} to {host}");
    }
    let mut client = lab.open("a.test");
    client.send("SSH-2.0-OpenSSH_9.2\r\n");
    assert_eq!(client.rest().0, b"", "what is not TLS is still closed");
    let closes = lab.gate.exchanges();
    assert_eq!(closes[0]["sni"], "update.googleapis.com");
    assert_eq!(closes[3]["closed_how"], "not_tls");
}

/// First bytes that are not an acceptable hello, the reason, and what they are.
const NOT_TLS: [(&[u8], &str, Option<&str>); 9] = [
    (b"SSH-2.0-OpenSSH_9.2\r\n", "not_tls", Some("ssh")),
    (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "not_tls", Some("http")),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not_tls", Some("http")),
    (b"CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n", "nested_connect", Some("http")),
    (b"\r\nconnect b.test:443 HTTP/1.1\r\n\r\n", "nested_connect", Some("http")),
    (b"\0\x01\x02\x03 a protocol of its own", "not_tls", Some("other")),
    (b"\x05\x01\0", "not_tls", Some("other")),
    (b"\x16\x03\x01\x00\x04\x02\0\0\0", "not_client_hello", None),
    (b"\x16\x03\x01\x00\x00\x16\x03\x01\x00\x00", "malformed_hello", None),
];

#[test]
fn what_is_not_tls_is_closed_by_the_name_of_its_reason() {
    let mut lab = Lab::new("");
    for (bytes, _, _) in NOT_TLS {
        let mut client = lab.open("a.test");
        client.send(bytes);
        client.rest();
    }
    assert_eq!(lab.seen(), b"", "no byte reached the origin");
    let closes = lab.gate.exchanges();
    let reasons: Vec<_> = closes.iter().map(|close| close["closed_how"].as_str().unwrap()).collect();
    assert_eq!(reasons, NOT_TLS.map(|(_, reason, _)| reason));
    assert!(closes.iter().all(|close| close["closed_by"] == "gate"), "{closes:#?}");
}

#[test]
fn the_record_says_what_a_refused_tunnel_carried() {
    let mut lab = Lab::new("");
    let known: Vec<_> = NOT_TLS.iter().filter_map(|(bytes, _, carries)| Some((bytes, (*carries)?))).collect();
    for (bytes, _) in &known {
        let mut client = lab.open("a.test");
        client.send(bytes);
        client.rest();
    }
    let closes = lab.gate.exchanges();
    let carries: Vec<_> = closes.iter().map(|close| close["carries"].as_str().unwrap_or_default()).collect();
    assert_eq!(carries, known.iter().map(|(_, carries)| *carries).collect::<Vec<_>>());
}

#[test]
fn a_rule_may_open_its_tunnel_to_any_protocol_and_the_record_says_which() {
    let mut lab = Lab::new("protocol = \"any\"");
    let cases: [(&[u8], &str); 4] = [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "ssh"),
        (b"GET / HTTP/1.1\r\n\r\n", "http"),
        (b"\0\x01\x02\x03", "other"),
        (b"\x05", "other"),
    ];
    for (bytes, _) in cases {
        let mut client = lab.open("a.test");
        client.send(bytes);
        assert_eq!(client.take(bytes.len()), bytes);
    }
    let closes = lab.gate.exchanges();
    let carries: Vec<_> = closes.iter().map(|close| close["carries"].as_str().unwrap_or_default()).collect();
    assert_eq!(carries, cases.map(|(_, carries)| carries));
}

#[test]
fn a_server_may_speak_first_where_any_protocol_is_open() {
    let greeting = Origin::serving(|mut peer, _| {
        peer.send("220 mail.test ESMTP\r\n");
        peer.rest();
    });
    let lab = Lab::with(greeting, "protocol = \"any\"", "");
    assert_eq!(lab.open("a.test").take(21), b"220 mail.test ESMTP\r\n");
}

#[test]
fn a_second_proxy_behind_the_gate_is_denied_also_where_any_protocol_is_open() {
    let mut lab = Lab::new("protocol = \"any\"");
    let connect = "CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n";
    let ways = [
        connect.to_owned(),
        "connect b.test:443 HTTP/1.0\r\n\r\n".to_owned(),
        // Servers skip empty lines, some of them any number.
        format!("{}{connect}", "\r\n".repeat(5)),
        format!("{}{connect}", "\n".repeat(5000)),
    ];
    for bytes in ways {
        let mut client = lab.open("a.test");
        client.send(&bytes);
        assert_eq!(client.rest().0, b"", "{bytes:?}");
    }
    assert_eq!(lab.seen(), b"");
    let closes = lab.gate.exchanges();
    assert!(closes.iter().all(|close| close["closed_how"] == "nested_connect"), "{closes:#?}");
}

#[test]
fn empty_lines_without_end_are_neither_kept_nor_let_through() {
    let mut lab = Lab::new("protocol = \"any\"");
    let mut client = lab.open("a.test");
    let _ = client.try_send("\r\n".repeat(1 << 20));
    assert_eq!(client.rest().0, b"");
    assert_eq!(lab.seen(), b"");
    let close = &lab.gate.exchanges()[0];
    assert_eq!((&close["closed_how"], &close["verdict"]), (&"hello_timeout".into(), &"deny".into()), "{close}");
}

#[test]
fn observe_mode_lets_a_tunnel_go_on_and_records_what_would_have_ended_it() {
    let origin = Origin::echo();
    let names = NameServer::pointing_to(origin.address.ip());
    let policy = format!("[policy]\nmode = \"observe\"\n{}", origin.rule_for("*.test", ""));
    let mut lab = Lab { gate: Gate::configured(&policy, &names.config()), origin, names };
    let cases =
        [(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), "not_tls"), (hello("chromium"), "sni_mismatch"), (hello("curl"), "")];
    for (bytes, _) in &cases {
        let mut client = lab.open("a.test");
        client.send(bytes);
        assert_eq!(client.take(bytes.len()), *bytes);
    }
    let exchanges = lab.gate.exchanges();
    for (exchange, (_, reason)) in exchanges.iter().zip(&cases) {
        let (would, reason) = if reason.is_empty() { (Value::Null, "rule") } else { ("deny".into(), *reason) };
        assert_eq!((&exchange["would"], &exchange["reason"]), (&would, &reason.into()), "{exchange}");
        assert_eq!(exchange["closed_by"], "client", "{exchange}");
    }
}

#[test]
fn a_client_that_stays_silent_gets_nothing_from_the_origin() {
    let greeting = Origin::serving(|mut peer, _| {
        let _ = peer.try_send("220 mail.test ESMTP\r\n");
        peer.rest();
    });
    let mut lab = Lab::with(greeting, "", "[limits]\nhello_seconds = 1\n");
    let mut client = lab.open("a.test");
    assert_eq!(client.rest().0, b"", "no greeting comes through a tunnel that has not shown its hello");
    let mut half = lab.open("a.test");
    half.send(&hello("curl")[..100]);
    half.rest();
    let closes = lab.gate.events("close");
    assert!(closes.len() == 2 && closes.iter().all(|close| close["closed_how"] == "hello_timeout"), "{closes:#?}");
}

#[test]
fn a_port_that_no_rule_opens_is_refused_before_dns_and_443_is_open() {
    let listener = listener_of_its_own(443);
    let origin = Origin::on(listener, |mut peer, _| {
        let bytes = peer.some();
        let _ = peer.try_send(bytes);
    });
    let names = NameServer::pointing_to(origin.address.ip());
    let policy = "[[rule]]\nname = \"a\"\nhosts = [\"*.test\"]\nprivate = [\"127.0.0.0/8\"]\nverdict = \"allow\"\n";
    let mut gate = Gate::configured(policy, &names.config());
    for port in [22, 25, 444, 8443, 65535] {
        let (mut client, answer) = connect(&gate, &format!("a.test:{port}"));
        assert_eq!(answer.status(), 403, "{port}");
        assert!(answer.field("proxy-status").unwrap().contains("port_not_opened"), "{}", answer.head);
        client.rest();
    }
    assert_eq!(names.asked(), Vec::<String>::new());
    let (mut client, answer) = connect(&gate, "a.test:443");
    assert_eq!(answer.status(), 200);
    client.send(hello("curl"));
    assert_eq!(client.take(5), hello("curl")[..5]);
    drop(client);
    let records = gate.records();
    let refused: Vec<_> = records.iter().filter(|record| record["event"] == "refused").collect();
    assert!(refused.len() == 5 && refused.iter().all(|record| record["reason"] == "port_not_opened"), "{refused:#?}");
    assert!(refused.iter().all(|record| record["rule"] == "a"), "the rule that came nearest is named: {refused:#?}");
    assert_eq!(exchanges(&records)[0]["dialled"], origin.address.to_string().as_str());
}

#[test]
fn a_refused_connect_says_why_where_a_program_finds_it() {
    let lab = Lab::new("");
    let (mut client, answer) = connect(&lab.gate, "b.example:443");
    assert_eq!(answer.status(), 403);
    let status = answer.field("proxy-status").unwrap();
    assert!(status.contains("error=http_request_denied") && status.contains("no_rule"), "{status}");
    assert!(client.body(answer).text().contains("b.example"));
    assert_eq!((lab.origin.connections(), lab.names.asked().len()), (0, 0));
}

#[test]
fn a_tunnel_to_an_origin_that_is_not_there_is_refused_by_its_reason() {
    let listener = listener_of_its_own(0);
    let address = listener.local_addr().unwrap();
    drop(listener);
    let policy = format!(
        "[[rule]]\nname = \"a\"\nhosts = [\"{}\"]\nports = [{}]\nprivate = [\"127.0.0.0/8\"]\nverdict = \"allow\"\n",
        address.ip(),
        address.port()
    );
    let mut gate = Gate::start(&policy);
    let (client, answer) = connect(&gate, &address.to_string());
    assert!(answer.status() == 502 && answer.head.contains("connect_failed"), "{}", answer.head);
    drop(client);
    let close = &gate.events("close")[0];
    assert_eq!((&close["closed_by"], &close["closed_how"]), (&"origin".into(), &"connect_failed".into()), "{close}");
}

#[test]
fn an_origin_that_speaks_first_does_not_hide_what_the_client_sends() {
    let greeting = Origin::serving(|mut peer, _| {
        let _ = peer.try_send("220 hello\r\n");
        peer.rest();
    });
    let mut lab = Lab::with(greeting, "protocol = \"any\"", "");
    let mut client = lab.open("a.test");
    assert_eq!(client.take(11), b"220 hello\r\n");
    client.send("CONNECT b.test:443 HTTP/1.1\r\n\r\n");
    assert_eq!(client.rest().0, b"");
    let mut client = lab.open("a.test");
    assert_eq!(client.take(11), b"220 hello\r\n");
    client.send("SSH-2.0-OpenSSH_9.2\r\n");
    client.finish();
    client.rest();
    assert_eq!(lab.seen(), b"SSH-2.0-OpenSSH_9.2\r\n");
    let exchanges = lab.gate.exchanges();
    let of = |number: usize| (&exchanges[number]["carries"], &exchanges[number]["verdict"]);
    assert_eq!(of(0), (&"http".into(), &"deny".into()), "{exchanges:#?}");
    assert_eq!(of(1), (&"ssh".into(), &"allow".into()), "{exchanges:#?}");
}

#[test]
fn what_begins_like_something_that_is_held_and_stops_is_not_let_go_on_unseen() {
    let mut lab = Lab::with(Origin::echo(), "protocol = \"any\"", "[limits]\nhello_seconds = 1\n");
    let mut client = lab.open("a.test");
    client.send("CONN");
    assert_eq!(client.rest().0, b"");
    assert_eq!(lab.seen(), b"");
    let close = &lab.gate.exchanges()[0];
    assert_eq!((&close["closed_how"], &close["verdict"]), (&"hello_timeout".into(), &"deny".into()), "{close}");
}
