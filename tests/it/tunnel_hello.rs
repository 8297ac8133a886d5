//! Rules that wait for the hello: 200 first, then the hello, then the verdict, and only then a dial.

use serde_json::Value;

use crate::gate::Gate;
use crate::name_server::NameServer;
use crate::origin::{Origin, listener_of_its_own};
use crate::peer::End;
use crate::tunnel_lab::{ALERT, CURL, Lab, connect, hello};

/// An origin that sends back what it gets, on the port of HTTPS, under a rule for curl alone.
fn for_curl(more: &str) -> Lab {
    let origin = Origin::echo_on(listener_of_its_own(443));
    let names = NameServer::pointing_to(origin.address.ip());
    let program = format!("[programs]\ncurl = {{ ja4 = [\"{CURL}\"] }}\n");
    let policy = format!("{program}{}", origin.rule_for("*.test", &format!("programs = [\"curl\"]\n{more}")));
    let gate = Gate::configured(&policy, &names.config());
    Lab { origin, names, gate }
}

#[test]
fn nothing_is_dialled_nor_asked_of_dns_before_the_hello() {
    let mut lab = for_curl("");
    let mut client = lab.open("a.test");
    let bytes = hello("curl");
    client.send(&bytes[..bytes.len() - 1]);
    // Another exchange through the gate: by its end the gate has long read the half hello.
    let (_, refused) = connect(&lab.gate, "b.example:443");
    assert_eq!(refused.status(), 403);
    assert_eq!((lab.origin.connections(), lab.names.asked().len()), (0, 0));
    client.send(&bytes[bytes.len() - 1..]);
    assert_eq!(client.take(bytes.len()), bytes);
    drop(client);
    assert_eq!((lab.origin.connections(), lab.names.asked()), (1, vec!["a.test".to_owned()]));
    let open = &lab.gate.events("open")[0];
    assert_eq!(
        (&open["ja4"], &open["sni"], &open["rule"]),
        (&CURL.into(), &"a.test".into(), &"origin".into()),
        "{open}"
    );
}

#[test]
fn a_program_that_no_rule_names_gets_an_alert_and_the_origin_sees_nothing() {
    let mut lab = for_curl("");
    for name in ["wget", "go", "openssl", "curl-cffi"] {
        let mut client = lab.open("a.test");
        client.send(hello(name));
        assert_eq!(client.rest(), (ALERT.to_vec(), End::Closed), "{name}");
    }
    assert_eq!((lab.origin.connections(), lab.names.asked().len()), (0, 0));
    let refused = lab.gate.events("refused");
    assert_eq!(refused.len(), 4);
    for record in refused {
        assert_eq!((&record["reason"], &record["verdict"]), (&"no_rule".into(), &"deny".into()), "{record}");
        assert_ne!(record["ja4"], CURL, "{record}");
    }
}

#[test]
fn a_deny_rule_that_waits_for_the_hello_denies_with_an_alert() {
    let origin = Origin::echo();
    let names = NameServer::pointing_to(origin.address.ip());
    let policy = format!(
        "[programs]\ncurl = {{ ja4 = [\"{CURL}\"] }}\n[[rule]]\nname = \"no curl\"\nprograms = [\"curl\"]\nverdict = \"deny\"\n{}",
        origin.rule_for("*.test", "")
    );
    let mut lab = Lab { gate: Gate::configured(&policy, &names.config()), origin, names };
    let mut client = lab.open("a.test");
    client.send(hello("curl"));
    assert_eq!(client.rest(), (ALERT.to_vec(), End::Closed));
    assert_eq!(lab.origin.connections(), 0);
    let mut client = lab.open("a.test");
    client.send(hello("wget"));
    assert_eq!(client.take(5), hello("wget")[..5]);
    drop(client);
    let refused = lab.gate.events("refused");
    assert_eq!((refused[0]["reason"].as_str(), refused[0]["rule"].as_str()), (Some("rule"), Some("no curl")));
}

#[test]
fn a_wrong_server_name_gets_an_alert_and_no_dial() {
    let mut lab = for_curl("");
    let mut client = lab.open("b.test");
    client.send(hello("curl"));
    assert_eq!(client.rest(), (ALERT.to_vec(), End::Closed));
    assert_eq!(lab.origin.connections(), 0);
    let records = lab.gate.records();
    let named = |key: &str| records.iter().any(|record| record[key] == "sni_mismatch");
    assert!(named("closed_how") || named("reason"), "{records:#?}");
    drop(lab);

    let lab = for_curl("sni = \"any\"");
    let mut client = lab.open("b.test");
    client.send(hello("curl"));
    assert_eq!(client.take(5), hello("curl")[..5]);
}

#[test]
fn a_dial_that_fails_after_the_hello_ends_with_an_alert() {
    let listener = listener_of_its_own(0);
    let address = listener.local_addr().unwrap();
    drop(listener);
    let names = NameServer::pointing_to(address.ip());
    let policy = format!(
        "[programs]\ncurl = {{ ja4 = [\"{CURL}\"] }}\n[[rule]]\nname = \"a\"\nhosts = [\"*.test\"]\nports = [{}]\n\
         programs = [\"curl\"]\nprivate = [\"127.0.0.0/8\"]\nverdict = \"allow\"\n",
        address.port()
    );
    let mut gate = Gate::configured(&policy, &names.config());
    let (mut client, answer) = connect(&gate, &format!("a.test:{}", address.port()));
    assert_eq!(answer.status(), 200);
    client.send(hello("curl"));
    assert_eq!(client.rest(), (ALERT.to_vec(), End::Closed));
    let close = &gate.events("close")[0];
    assert_eq!((&close["closed_by"], &close["closed_how"]), (&"origin".into(), &"connect_failed".into()), "{close}");
}

/// First bytes that show no hello, what they are, and what the refusal is called.
const NO_HELLO: [(&[u8], &str, &str); 3] = [
    (b"SSH-2.0-OpenSSH_9.2\r\n", "ssh", "no_rule"),
    (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "http", "no_rule"),
    (b"\0\x01\x02\x03", "other", "no_rule"),
];

fn refused_without_hello(lab: &mut Lab, bytes: &[u8]) -> Value {
    let mut client = lab.open("a.test");
    client.send(bytes);
    assert_eq!(client.rest().0, b"", "an alert means nothing to what is not TLS");
    drop(client);
    let mut refused = lab.gate.events("refused");
    assert_eq!(refused.len(), 1, "{refused:#?}");
    assert_eq!((lab.origin.connections(), lab.names.asked().len()), (0, 0));
    refused.remove(0)
}

#[test]
fn what_shows_no_hello_matches_no_rule_that_asks_for_one_and_nothing_is_dialled() {
    for (bytes, _, reason) in NO_HELLO {
        let record = refused_without_hello(&mut for_curl(""), bytes);
        assert_eq!((&record["reason"], &record["verdict"]), (&reason.into(), &"deny".into()), "{record}");
    }
}

#[test]
fn the_refusal_of_what_shows_no_hello_says_what_it_was() {
    for (bytes, carries, _) in NO_HELLO {
        let record = refused_without_hello(&mut for_curl(""), bytes);
        assert_eq!(record["carries"], carries, "{record}");
    }
}

#[test]
fn a_second_proxy_is_named_also_where_a_rule_waited_for_the_hello() {
    let record = refused_without_hello(&mut for_curl(""), b"CONNECT b.test:443 HTTP/1.1\r\n\r\n");
    assert_eq!(record["reason"], "nested_connect", "{record}");
}
