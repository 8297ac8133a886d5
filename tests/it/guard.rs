//! Names are judged before DNS, addresses after it, and the gate is never its own target.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::gate::{Gate, Start, event_of};
use crate::name_server::NameServer;
use crate::origin::{Origin, listener_of_its_own};
use crate::tunnel_lab::connect;

fn rule(host: &str, port: u16, more: &str) -> String {
    format!("[[rule]]\nname = \"{host}\"\nhosts = [\"{host}\"]\nports = [{port}]\nverdict = \"allow\"\n{more}\n")
}

/// The status of a plain request for this authority, and the whole answer as text.
fn get(gate: &Gate, authority: &str) -> (u16, String) {
    let mut client = gate.client();
    client.send(format!("GET http://{authority}/ HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n"));
    let answer = client.answer();
    (answer.status(), format!("{}{}", answer.head, answer.text()))
}

/// Every exchange was let out by its rule and stopped by the guard before a dial.
fn all_stopped_by_the_guard(records: &[Value], exchanges: usize) {
    let stopped = |record: &&Value| record["closed_how"] == "guard_address" || record["reason"] == "guard_address";
    let stopped: Vec<_> = records.iter().filter(stopped).collect();
    assert_eq!(stopped.len(), exchanges, "{records:#?}");
    assert!(stopped.iter().all(|record| record["dialled"].is_null() && record["detail"].is_string()), "{stopped:#?}");
}

#[test]
fn a_name_that_points_inside_is_refused_and_nothing_is_dialled() {
    let inside = [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "::7f00:1",
    ];
    let names = NameServer::answering(move |name| {
        let number =
            name.strip_suffix(".test").and_then(|label| label.strip_prefix('n')).and_then(|n| n.parse::<usize>().ok());
        number.and_then(|n| inside.get(n)).map(|text| text.parse().unwrap()).into_iter().collect()
    });
    let origin = Origin::start();
    let port = origin.address.port();
    let mut gate = Gate::configured(&rule("*.test", port, ""), &names.config());
    for (n, address) in inside.iter().enumerate() {
        let (status, text) = get(&gate, &format!("n{n}.test:{port}"));
        assert!(status == 403 && text.contains("guard_address"), "{address}: {text}");
        let (_, answer) = connect(&gate, &format!("n{n}.test:{port}"));
        assert_eq!(answer.status(), 403, "{address}");
        assert!(answer.field("proxy-status").unwrap().contains("guard_address"), "{address}: {}", answer.head);
    }
    assert_eq!(origin.connections(), 0);
    all_stopped_by_the_guard(&gate.records(), 2 * inside.len());
}

#[test]
fn an_address_that_a_client_writes_is_judged_like_one_that_dns_gave() {
    let origin = Origin::start();
    let port = origin.address.port();
    let hosts = ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "[64:ff9b::a00:1]"];
    let policy: String = hosts.iter().map(|host| rule(host, port, "")).collect();
    let mut gate = Gate::start(&policy);
    for host in hosts {
        let (status, text) = get(&gate, &format!("{host}:{port}"));
        assert!(status == 403 && text.contains("guard_address"), "{host}: {text}");
    }
    assert_eq!(origin.connections(), 0);
    all_stopped_by_the_guard(&gate.records(), hosts.len());
}

#[test]
fn observe_mode_lets_everything_pass_but_the_guards_addresses() {
    let origin = Origin::start_on(listener_of_its_own(80));
    let names = NameServer::pointing_to(origin.address.ip());
    let mut gate = Gate::configured("[policy]\nmode = \"observe\"\n", &names.config());
    let (status, text) = get(&gate, "a.test");
    assert!(status == 403 && text.contains("guard_address"), "{text}");
    assert_eq!(origin.connections(), 0);
    let records = gate.records();
    all_stopped_by_the_guard(&records, 1);
    let open = records.iter().find(|record| record["event"] == "open").unwrap();
    assert_eq!((&open["verdict"], &open["would"]), (&"allow".into(), &"deny".into()), "{open}");
}

#[test]
fn observe_mode_passes_what_waits_for_a_fact_it_cannot_learn_and_names_the_rule() {
    let names = NameServer::pointing_to(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let waits = "[[rule]]\nname = \"read only\"\nhosts = [\"a.test\"]\nmethods = [\"GET\"]\nverdict = \"allow\"\n";
    for (mode, said, asked) in [("observe", "guard_address", 1), ("enforce", "inspection_unavailable", 0)] {
        let before = names.asked().len();
        let mut gate = Gate::configured(&format!("[policy]\nmode = \"{mode}\"\n{waits}"), &names.config());
        let (_, answer) = connect(&gate, "a.test:443");
        let status = answer.field("proxy-status").unwrap();
        assert!(answer.status() == 403 && status.contains(said), "{mode}: {status}");
        assert_eq!(names.asked().len() - before, asked, "{mode}");
        let records = gate.records();
        let record = records.iter().find(|record| record["host"] == "a.test").unwrap();
        if mode == "observe" {
            assert_eq!((&record["verdict"], &record["would"]), (&"allow".into(), &"deny".into()), "{record}");
            assert_eq!((&record["reason"], &record["rule"]), (&"inspection_unavailable".into(), &"read only".into()));
        } else {
            assert_eq!((&record["verdict"], &record["reason"]), (&"deny".into(), &said.into()), "{record}");
            assert!(record["detail"].as_str().unwrap().contains("read only ("), "{record}");
        }
    }
}

#[test]
fn a_denied_name_is_never_asked_of_dns_and_an_allowed_one_is_asked_as_it_stands() {
    let origin = Origin::start();
    let port = origin.address.port();
    let names = NameServer::pointing_to(origin.address.ip());
    let deny = "[[rule]]\nname = \"no\"\nhosts = [\"denied.test\"]\nverdict = \"deny\"\n";
    let policy = format!("{deny}{}", rule("*.test", port, "private = [\"127.0.0.0/8\"]"));
    let gate = Gate::configured(&policy, &names.config());
    for host in ["unknown.example", "denied.test", "localhost", "a.invalid", "a.onion"] {
        assert_eq!(get(&gate, &format!("{host}:{port}")).0, 403, "{host}");
        assert_eq!(connect(&gate, &format!("{host}:{port}")).1.status(), 403, "{host}");
    }
    assert_eq!(get(&gate, "a.test:81").0, 403);
    assert_eq!(names.asked(), Vec::<String>::new());
    assert_eq!(get(&gate, &format!("A.test.:{port}")).0, 200);
    assert_eq!(names.asked(), ["a.test"], "no search list, no other spelling");
}

#[test]
fn a_name_that_does_not_exist_is_said_to_be_so() {
    let names = NameServer::answering(|_| Vec::new());
    let mut gate = Gate::configured(&rule("*.test", 80, ""), &names.config());
    let (status, text) = get(&gate, "a.test");
    assert!(status == 502 && text.contains("dns_failed"), "{text}");
    let close = &gate.events("close")[0];
    assert_eq!((&close["closed_how"], &close["closed_by"]), (&"dns_failed".into(), &"dns".into()), "{close}");
}

/// An origin and, one address further, a listener on the same port that must see nobody.
fn neighbours() -> (Origin, Origin) {
    loop {
        let listener = listener_of_its_own(0);
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { unreachable!() };
        let next = Ipv4Addr::from_bits(address.ip().to_bits() ^ 1);
        // The allocation goes on where the neighbour's port is taken.
        if let Ok(neighbour) = TcpListener::bind((next, address.port())) {
            return (Origin::start_on(listener), Origin::start_on(neighbour));
        }
    }
}

#[test]
fn a_rule_opens_exactly_the_prefix_it_names() {
    let (origin, neighbour) = neighbours();
    let (open, closed) = (origin.address.ip(), neighbour.address.ip());
    let names = NameServer::answering(move |name| match name {
        "open.test" => vec![open],
        "closed.test" => vec![closed],
        "mixed.test" => vec![closed, open],
        _ => Vec::new(),
    });
    let port = origin.address.port();
    let mut gate = Gate::configured(&rule("*.test", port, &format!("private = [\"{open}/32\"]")), &names.config());
    assert_eq!(get(&gate, &format!("open.test:{port}")).0, 200);
    let (status, text) = get(&gate, &format!("closed.test:{port}"));
    assert!(status == 403 && text.contains("guard_address") && text.contains(&closed.to_string()), "{text}");
    assert_eq!(get(&gate, &format!("mixed.test:{port}")).0, 200, "the open one of its addresses");
    assert_eq!((origin.requests().len(), neighbour.connections()), (2, 0));
    let records = gate.records();
    all_stopped_by_the_guard(&records, 1);
    let mixed = records.iter().find(|record| record["event"] == "open" && record["host"] == "mixed.test").unwrap();
    let close = event_of(&records, "close", &mixed["id"]);
    assert_eq!(close["dialled"], origin.address.to_string().as_str());
    let mut answers: Vec<_> =
        close["answers"].as_array().unwrap().iter().map(|answer| answer.as_str().unwrap()).collect();
    answers.sort_unstable();
    let mut expected = [open.to_string(), closed.to_string()];
    expected.sort_unstable();
    assert_eq!(answers, expected, "every answer is on record");
}

#[test]
fn a_name_that_is_rebound_between_two_requests_gains_nothing() {
    let (origin, neighbour) = neighbours();
    let (open, closed) = (origin.address.ip(), neighbour.address.ip());
    let asked = AtomicUsize::new(0);
    // A and AAAA are asked together: the first two queries are the first request's.
    let names =
        NameServer::answering(move |_| vec![if asked.fetch_add(1, Ordering::Relaxed) < 2 { open } else { closed }]);
    let port = origin.address.port();
    let gate = Gate::configured(
        &rule("a.test", port, &format!("private = [\"{open}/32\"]\nprotocol = \"any\"")),
        &names.config(),
    );
    let (mut client, answer) = connect(&gate, &format!("a.test:{port}"));
    assert_eq!(answer.status(), 200);
    // Its end comes from the origin, which has taken the connection then.
    client.finish();
    client.rest();
    let (_, answer) = connect(&gate, &format!("a.test:{port}"));
    assert_eq!(answer.status(), 403);
    assert!(answer.field("proxy-status").unwrap().contains("guard_address"), "{}", answer.head);
    assert_eq!((origin.connections(), neighbour.connections()), (1, 0));
}

#[test]
fn the_gates_own_listener_is_no_target_even_where_a_rule_opens_it() {
    // An address that nobody else uses, so that its free port is still free when the gate binds it.
    let listener = listener_of_its_own(0);
    let own = listener.local_addr().unwrap();
    drop(listener);
    let beside = Origin::start_on(TcpListener::bind((own.ip(), 0)).unwrap());
    let names = NameServer::pointing_to(own.ip());
    let opened = "private = [\"127.0.0.0/8\", \"::/0\"]\nprotocol = \"any\"";
    let mapped = format!("[::ffff:{}]", own.ip());
    let hosts = [own.ip().to_string(), "own.test".to_owned(), mapped];
    let policy: String = hosts.iter().map(|host| rule(host, own.port(), opened)).collect();
    let policy = format!("{policy}{}", rule("beside.test", beside.address.port(), opened));
    let mut gate = Start { policy: &policy, config: &names.config(), listen: Some(own), ..Start::default() }.gate();
    assert_eq!(gate.address, own);
    for host in &hosts {
        let (status, text) = get(&gate, &format!("{host}:{}", own.port()));
        assert!(status == 403 && text.contains("guard_address"), "{host}: {text}");
        let (_, answer) = connect(&gate, &format!("{host}:{}", own.port()));
        assert_eq!(answer.status(), 403, "{host}");
    }
    assert_eq!(
        get(&gate, &format!("beside.test:{}", beside.address.port())).0,
        200,
        "another port beside it is no part of the gate"
    );
    let records = gate.records();
    all_stopped_by_the_guard(&records, 6);
    let itself = |record: &&Value| record["detail"].as_str().is_some_and(|detail| detail.contains("the gate itself"));
    assert_eq!(records.iter().filter(itself).count(), 6, "{records:#?}");
}

#[test]
fn a_gate_that_listens_everywhere_is_itself_at_every_loopback_address() {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let opened = "private = [\"127.0.0.0/8\"]\nprotocol = \"any\"";
    let hosts = ["127.0.0.1", "127.7.7.7"];
    let policy: String = hosts.iter().map(|host| rule(host, port, opened)).collect();
    let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let mut gate = Start { policy: &policy, listen: Some(listen), ..Start::default() }.gate();
    gate.address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    for host in hosts {
        let (status, text) = get(&gate, &format!("{host}:{port}"));
        assert!(status == 403 && text.contains("guard_address"), "{host}: {text}");
    }
    all_stopped_by_the_guard(&gate.records(), hosts.len());
}

#[test]
fn the_gates_own_connections_are_on_record_by_purpose_and_address() {
    let names = NameServer::pointing_to(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let mut gate =
        Gate::configured("[[rule]]\nname = \"a\"\nhosts = [\"a.test\"]\nverdict = \"allow\"\n", &names.config());
    assert_eq!(connect(&gate, "a.test:443").1.status(), 403, "loopback is not opened");
    let records = gate.records();
    let own: Vec<_> = records.iter().filter(|record| record["kind"] == "own").collect();
    assert!(!own.is_empty(), "{records:#?}");
    for record in own {
        assert_eq!(record["purpose"], "dns");
        assert!(names.config().contains(record["address"].as_str().unwrap()), "{record}");
        assert!(record["connections"].as_u64().unwrap() > 0);
    }
}
