//! Gates in a chain, and requests that come back to the gate they went through.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::gate::{Gate, Start, event_of};
use crate::name_server::NameServer;
use crate::origin::{Origin, listener_of_its_own};
use crate::parent::Parent;
use crate::peer::Message;
use crate::tunnel_lab::connect;

/// An address that no other test uses, and that is free when its gate binds it.
fn free_address() -> SocketAddr {
    listener_of_its_own(0).local_addr().unwrap()
}

/// A port that is free on every address, and that no connection or other test is given meanwhile: it is
/// below those that the kernel hands out, and each test process begins its search at another.
fn port_free_everywhere() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
    let handed_out: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
    let first = 10_000;
    let count = u32::from(handed_out.saturating_sub(first).max(1));
    (0..count)
        .map(|step| first + u16::try_from((std::process::id() + step) % count).unwrap())
        .find(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_ok())
        .unwrap()
}

/// A rule for every host on this port by way of the proxy at `uplink`.
fn policy(uplink: SocketAddr, port: u16) -> String {
    format!(
        "[parents]\nuplink = {{ address = \"{uplink}\" }}\n[[rule]]\nname = \"all\"\nhosts = [\"*\"]\n\
         ports = [80, {port}]\nprivate = [\"127.0.0.0/8\"]\nprotocol = \"any\"\nparent = \"uplink\"\nverdict = \"allow\"\n"
    )
}

fn says_loop(answer: &Message) {
    assert_eq!(answer.status(), 502, "{}", answer.head);
    let status = answer.field("proxy-status").unwrap();
    assert!(status.contains("error=proxy_loop_detected") && status.contains("loop_detected"), "{status}");
}

#[test]
fn a_request_that_has_passed_the_gate_before_is_refused_whatever_its_method() {
    let (origin, parent) = (Origin::start(), Parent::start());
    let names = NameServer::pointing_to(origin.address.ip());
    let at = format!("a.test:{}", origin.address.port());
    let config = format!("[gate]\nname = \"gate-7\"\n{}", names.config());
    let mut gate = Gate::configured(&policy(parent.address, origin.address.port()), &config);
    let via = "Via: 1.1 other, 1.1 GATE-7 (a, b)\r\n";
    for method in ["GET", "POST", "OPTIONS", "TRACE"] {
        let mut client = gate.client();
        client.send(format!("{method} http://{at}/ HTTP/1.1\r\nHost: {at}\r\n{via}\r\n"));
        let answer = client.answer();
        says_loop(&answer);
        assert!(answer.text().contains("[gate] name"), "{}", answer.text());
    }
    let mut client = gate.client();
    client.send(format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n{via}\r\n"));
    says_loop(&client.answer());
    assert_eq!((parent.lines().len(), names.asked().len()), (0, 0));
    let refused = gate.events("refused");
    assert_eq!(refused.len(), 5);
    for record in refused {
        assert_eq!((&record["reason"], &record["status"]), (&"loop_detected".into(), &502.into()), "{record}");
        assert!(record["host"] == "a.test" && record["method"].is_string(), "{record}");
    }
}

#[test]
fn a_request_inside_a_tunnel_to_port_80_that_has_passed_before_is_refused() {
    let names = NameServer::pointing_to([127, 0, 0, 1].into());
    let policy = policy(free_address(), 80).replace("protocol = \"any\"\n", "");
    let mut gate = Gate::configured(&policy, &names.config());
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    for lines in [upgrade, ""] {
        let (mut client, answer) = connect(&gate, "a.test:80");
        assert_eq!(answer.status(), 200);
        client.send(format!("GET / HTTP/1.1\r\nHost: a.test\r\nVia: 1.1 sekisho\r\n{lines}\r\n"));
        says_loop(&client.answer());
    }
    assert_eq!(names.asked(), Vec::<String>::new());
    let refused = gate.events("refused");
    assert!(refused.len() == 2 && refused.iter().all(|record| record["reason"] == "loop_detected"), "{refused:#?}");
}

#[test]
fn another_name_in_via_is_no_loop_and_without_via_there_is_no_check() {
    let origin = Origin::start();
    for (config, via) in [("", "1.1 sekisho-2, 1.1 a (sekisho)"), ("[gate]\nvia = false\n", "1.1 sekisho")] {
        let parent = Parent::start();
        let names = NameServer::pointing_to(origin.address.ip());
        let policy = policy(parent.address, origin.address.port());
        let gate = Gate::configured(&policy, &format!("{config}{}", names.config()));
        let at = format!("a.test:{}", origin.address.port());
        let mut client = gate.client();
        client.send(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\nVia: {via}\r\n\r\n"));
        assert_eq!(client.answer().status(), 200, "{config}");
        let added = if config.is_empty() { vec![via, "1.1 sekisho"] } else { vec![via] };
        assert_eq!(parent.asked()[0].all("via"), added, "a CONNECT tells what the request tells: {config}");
        assert_eq!(origin.requests().last().unwrap().all("via"), added);
    }
}

#[test]
fn gates_of_different_names_make_a_chain() {
    let origin = Origin::start();
    let names = NameServer::pointing_to(origin.address.ip());
    let mut far = Gate::configured(&origin.policy(), "[gate]\nname = \"far\"\n");
    let config = format!("[gate]\nname = \"near\"\n{}", names.config());
    let mut near = Gate::configured(&policy(far.address, origin.address.port()), &config);
    let at = format!("a.test:{}", origin.address.port());
    let mut client = near.client();
    for _ in 0..2 {
        client.send(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n"));
        assert_eq!(client.answer().status(), 200);
    }
    drop(client);
    assert_eq!(origin.requests()[0].all("host"), [at]);
    let records = near.exchanges();
    assert!(records.len() == 2 && records.iter().all(|record| record["parent"] == "uplink"), "{records:#?}");
    let records = far.exchanges();
    assert_eq!((records.len(), &records[0]["method"]), (1, &"CONNECT".into()), "{records:#?}");
    assert_eq!(records[0]["host"], origin.address.ip().to_string().as_str());
}

#[test]
fn gates_that_are_each_others_parents_end_the_circle_where_it_closes() {
    let names = NameServer::pointing_to([127, 0, 0, 9].into());
    let (one, two) = (free_address(), free_address());
    let start = |name: &str, own: SocketAddr, other: SocketAddr| {
        let config = format!("[gate]\nname = \"{name}\"\n{}", names.config());
        Start { policy: &policy(other, 8443), config: &config, listen: Some(own), ..Start::default() }.gate()
    };
    let (mut first, mut second) = (start("one", one, two), start("two", two, one));
    let (client, answer) = connect(&first, "a.test:8443");
    assert!(answer.status() == 502 && answer.head.contains("parent_cannot_reach"), "{}", answer.head);
    drop(client);
    let records = first.records();
    let looped: Vec<_> = records.iter().filter(|record| record["reason"] == "loop_detected").collect();
    assert_eq!(looped.len(), 1, "{records:#?}");
    assert_eq!(looped[0]["host"], "127.0.0.9", "what comes back is the address that was asked for");
    let close = records.iter().find(|record| record["event"] == "close").unwrap();
    assert_eq!(
        (&close["closed_by"], &close["closed_how"]),
        (&"parent".into(), &"parent_cannot_reach".into()),
        "{close}"
    );
    let records = second.records();
    let opened = records.iter().find(|record| record["event"] == "open").unwrap();
    assert_eq!(event_of(&records, "close", &opened["id"])["closed_how"], "parent_cannot_reach");
}

#[test]
fn a_parent_that_is_the_gate_itself_is_refused_at_the_start() {
    let own = free_address();
    let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port_free_everywhere()));
    let within = SocketAddr::from(([127, 7, 7, 7], everywhere.port()));
    for (listen, uplink) in [(own, own), (everywhere, within)] {
        let output = Start { policy: &policy(uplink, 80), listen: Some(listen), ..Start::default() }.output();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(&format!("the parent `uplink` cannot be used: {uplink} is the gate itself")), "{error}");
        assert!(error.contains("hint:"), "{error}");
    }
    let beside = SocketAddr::new(own.ip(), own.port() ^ 1);
    let policy = policy(beside, 80);
    let mut gate = Start { policy: &policy, listen: Some(own), ..Start::default() }.gate();
    assert_eq!(gate.end("-TERM"), Some(0), "another port beside it may be a parent's");
}

#[test]
fn a_parent_whose_name_comes_to_mean_the_gate_is_refused_when_it_is_dialled() {
    let own = free_address();
    let names = NameServer::answering(move |name| match name {
        "proxy.corp" => vec![own.ip()],
        _ => vec![[127, 0, 0, 9].into()],
    });
    let policy = policy(own, 8443).replace(&format!("\"{own}\""), &format!("\"proxy.corp:{}\"", own.port()));
    let mut gate = Start { policy: &policy, config: &names.config(), listen: Some(own), ..Start::default() }.gate();
    let (mut client, answer) = connect(&gate, "a.test:8443");
    let answer = client.body(answer);
    assert!(answer.status() == 403 && answer.text().contains("guard_address"), "{}", answer.text());
    drop(client);
    let records = gate.records();
    let close = records.iter().find(|record| record["event"] == "close").unwrap();
    assert_eq!((&close["closed_by"], &close["verdict"]), (&"gate".into(), &"deny".into()), "{close}");
    assert!(close["detail"].as_str().unwrap().contains("is the gate itself"), "{close}");
    assert_eq!(records.iter().filter(|record| record["event"] == "open").count(), 1, "it never came back");
}
