//! Rules that lead through a parent proxy: what the parent is asked, and what it never hears of.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;

use crate::gate::{Gate, exchanges};
use crate::name_server::NameServer;
use crate::origin::{Origin, listener_of_its_own};
use crate::parent::{Answer, Parent};
use crate::peer::Message;
use crate::tunnel_lab::{ALERT, connect, hello};

/// A rule for `*.test` on the origin's port by way of `uplink`, and what names that.
fn policy(parent: &Parent, origin: &Origin, more: &str) -> String {
    format!("{}{}", parent.named(), origin.rule_for("*.test", &format!("parent = \"uplink\"\n{more}")))
}

struct Lab {
    origin: Origin,
    parent: Parent,
    names: NameServer,
    gate: Gate,
}

/// An origin behind a parent, under a rule with these keys.
fn lab(origin: Origin, parent: Parent, rule: &str, config: &str) -> Lab {
    let names = NameServer::pointing_to(origin.address.ip());
    let gate = Gate::configured(&policy(&parent, &origin, rule), &format!("{}{config}", names.config()));
    Lab { origin, parent, names, gate }
}

impl Lab {
    fn at(&self, host: &str) -> String {
        format!("{host}:{}", self.origin.address.port())
    }

    fn get(&self, host: &str, lines: &str) -> String {
        format!("GET http://{0}/p?q HTTP/1.1\r\nHost: {0}\r\n{lines}\r\n", self.at(host))
    }

    /// Asks for a tunnel and for a page; both must be refused with this status and reason. Gives the
    /// records of both.
    fn refused(mut self, status: u16, reason: &str) -> (Vec<Value>, Parent) {
        let (mut client, answer) = connect(&self.gate, &self.at("a.test"));
        let answer = client.body(answer);
        assert!(answer.status() == status && answer.text().contains(reason), "{reason}: {}", answer.text());
        let mut client = self.gate.client();
        client.send(self.get("a.test", "Connection: close\r\n"));
        let answer = client.answer();
        assert!(answer.status() == status && answer.text().contains(reason), "{reason}: {}", answer.text());
        let mut exchanges = exchanges(&self.gate.records());
        exchanges.retain(|exchange| exchange["host"] == "a.test");
        assert_eq!(exchanges.len(), 2);
        for exchange in &exchanges {
            assert_eq!(exchange["closed_how"], reason, "{exchange}");
            assert_eq!((&exchange["parent"], exchange["status"].as_u64()), (&"uplink".into(), Some(status.into())));
        }
        assert_eq!(self.origin.connections(), 0);
        (exchanges, self.parent)
    }
}

/// The address in the line of a CONNECT.
fn connect_address(request: &Message) -> Option<SocketAddr> {
    request.line().strip_prefix("CONNECT ")?.split(' ').next()?.parse().ok()
}

#[test]
fn a_tunnel_goes_through_the_parent_to_an_address_that_the_gate_has_checked() {
    let mut lab = lab(Origin::echo(), Parent::start(), "", "");
    let (mut client, answer) = connect(&lab.gate, &lab.at("a.test"));
    assert_eq!(answer.status(), 200, "{}", answer.head);
    assert!(!answer.head.contains("X-Parent"), "nothing of the parent's answer is passed on: {}", answer.head);
    client.send(hello("curl"));
    assert_eq!(client.take(5), hello("curl")[..5]);
    drop(client);
    let asked = &lab.parent.asked()[0];
    assert_eq!(asked.line(), format!("CONNECT {} HTTP/1.1", lab.origin.address));
    assert_eq!(asked.all("host"), [lab.origin.address.to_string()]);
    assert_eq!((asked.all("via"), asked.names()), (vec!["1.1 sekisho"], vec!["Host", "Via"]));
    let exchange = &lab.gate.exchanges()[0];
    assert_eq!((&exchange["parent"], &exchange["resolved_by"]), (&"uplink".into(), &"gate".into()), "{exchange}");
    assert_eq!(exchange["dialled"], lab.origin.address.to_string().as_str());
    assert_eq!(exchange["answers"], serde_json::json!([lab.origin.address.ip().to_string()]));
    assert_eq!((&exchange["sni"], &exchange["closed_by"]), (&"a.test".into(), &"client".into()), "{exchange}");
}

#[test]
fn plain_requests_go_through_one_tunnel_in_origin_form_with_their_own_host() {
    let mut lab = lab(Origin::start(), Parent::start(), "", "");
    let mut client = lab.gate.client();
    for _ in 0..3 {
        client.send(lab.get("a.test", ""));
        assert_eq!(client.answer().status(), 200);
    }
    drop(client);
    assert_eq!(lab.parent.lines(), [format!("CONNECT {} HTTP/1.1", lab.origin.address)], "asked once for all three");
    for request in lab.origin.requests() {
        assert_eq!((request.line(), request.all("host")), ("GET /p?q HTTP/1.1", vec![lab.at("a.test").as_str()]));
        assert_eq!(request.all("via"), ["1.1 sekisho"]);
    }
    let exchanges = lab.gate.exchanges();
    let reused: Vec<_> = exchanges.iter().map(|exchange| exchange["reused"] == true).collect();
    assert_eq!(reused, [false, true, true]);
    for exchange in exchanges {
        assert_eq!((&exchange["parent"], &exchange["resolved_by"]), (&"uplink".into(), &"gate".into()), "{exchange}");
        assert_eq!(exchange["dialled"], lab.origin.address.to_string().as_str());
    }
}

/// A parent that leads to the origin by name, and refuses addresses.
fn by_name_alone(origin: &Origin) -> Parent {
    let address = origin.address;
    Parent::answering(move |request| {
        let place = request.line().split(' ').nth(1).unwrap().trim_start_matches("http://");
        if place.starts_with("a.test:") { Answer::Lead(address) } else { Answer::refused("403 Forbidden") }
    })
}

#[test]
fn a_parent_that_refuses_addresses_leads_only_where_the_rule_says_that_it_resolves() {
    let origin = Origin::start();
    let parent = by_name_alone(&origin);
    lab(origin, parent, "", "").refused(502, "parent_refused");

    let origin = Origin::start();
    let parent = by_name_alone(&origin);
    let mut lab = lab(origin, parent, "resolve = \"parent\"\nprotocol = \"any\"", "");
    let (mut client, answer) = connect(&lab.gate, &lab.at("a.test"));
    assert_eq!(answer.status(), 200, "{}", answer.head);
    client.send("GET /in HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(client.answer().status(), 200);
    drop(client);
    let mut client = lab.gate.client();
    for _ in 0..2 {
        client.send(lab.get("a.test", "Proxy-Authorization: Basic Y2xpZW50OnB3\r\n"));
        assert_eq!(client.answer().status(), 200);
    }
    drop(client);
    let place = lab.at("a.test");
    let get = format!("GET http://{place}/p?q HTTP/1.1");
    assert_eq!(lab.parent.lines(), [format!("CONNECT {place} HTTP/1.1"), get.clone(), get]);
    for asked in &lab.parent.asked() {
        assert_eq!((asked.all("host"), asked.all("via")), (vec![place.as_str()], vec!["1.1 sekisho"]));
        assert_eq!(asked.field("proxy-authorization"), None, "a client's own goes no further: {}", asked.head);
    }
    assert_eq!(lab.names.asked(), Vec::<String>::new(), "the gate looks nothing up");
    for exchange in lab.gate.exchanges() {
        assert_eq!((&exchange["parent"], &exchange["resolved_by"]), (&"uplink".into(), &"parent".into()), "{exchange}");
        assert_eq!(exchange["dialled"], lab.parent.address.to_string().as_str());
        assert!(exchange["answers"].is_null(), "{exchange}");
    }
}

#[test]
fn options_for_a_whole_server_goes_to_a_parent_that_resolves_without_an_asterisk() {
    let origin = Origin::start();
    let parent = by_name_alone(&origin);
    let lab = lab(origin, parent, "resolve = \"parent\"", "");
    let mut client = lab.gate.client();
    client.send(format!("OPTIONS http://{0} HTTP/1.1\r\nHost: {0}\r\n\r\n", lab.at("a.test")));
    assert_eq!(client.answer().status(), 200);
    assert_eq!(lab.parent.lines(), [format!("OPTIONS http://{} HTTP/1.1", lab.at("a.test"))]);
}

#[test]
fn the_next_address_is_asked_for_only_where_the_parent_says_that_it_cannot_reach_this_one() {
    for (status, leads) in
        [("502 Bad Gateway", true), ("503 Busy", true), ("504 Late", true), ("403 No", false), ("500 Oh", false)]
    {
        let origin = Origin::start();
        let (there, port) = (origin.address, origin.address.port());
        let parent = Parent::answering(move |request| match connect_address(request) {
            Some(address) if address == there => Answer::Lead(there),
            _ => Answer::refused(status),
        });
        let names = NameServer::answering(move |_| vec![Ipv4Addr::new(127, 0, 0, 9).into(), there.ip()]);
        let mut gate = Gate::configured(&policy(&parent, &origin, "protocol = \"any\""), &names.config());
        let (client, answer) = connect(&gate, &format!("a.test:{port}"));
        drop(client);
        let asked: Vec<_> = parent.asked().iter().filter_map(connect_address).collect();
        let first = SocketAddr::from(([127, 0, 0, 9], port));
        let exchange = &gate.exchanges()[0];
        if leads {
            assert_eq!((answer.status(), asked), (200, vec![first, there]), "{status}");
            assert_eq!(exchange["dialled"], there.to_string().as_str());
        } else {
            assert_eq!((answer.status(), asked), (502, vec![first]), "{status}");
            let detail = exchange["detail"].as_str().unwrap();
            assert!(detail.contains("uplink") && detail.contains(&status[..3]), "{detail}");
            assert_eq!(exchange["closed_by"], "parent", "{exchange}");
            assert_eq!(exchange["closed_how"], "parent_refused", "{exchange}");
        }
    }
}

#[test]
fn a_parent_that_cannot_reach_the_target_is_told_apart_from_one_that_refuses() {
    for (said, status) in [("502 Bad Gateway", 502), ("503 Busy", 502), ("504 Late", 504)] {
        for rule in ["", "resolve = \"parent\""] {
            let parent = Parent::answering(move |_| Answer::refused(said));
            let mut lab = lab(Origin::start(), parent, rule, "");
            let (mut client, answer) = connect(&lab.gate, &lab.at("a.test"));
            let page = client.body(answer);
            assert!(page.status() == status && page.text().contains("parent_cannot_reach"), "{}", page.text());
            let told = format!("parent uplink answered {}: it cannot reach the target", &said[..3]);
            assert!(page.text().contains(&told), "{}", page.text());
            drop(client);
            let exchange = &lab.gate.exchanges()[0];
            assert_eq!(exchange["closed_by"], "parent", "{exchange}");
            assert_eq!(
                (&exchange["closed_how"], exchange["status"].as_u64()),
                (&"parent_cannot_reach".into(), Some(status.into()))
            );
            assert_eq!(lab.origin.connections(), 0);
        }
    }
}

#[test]
fn where_a_parent_refuses_the_detail_says_what_to_do_there_or_in_the_rule() {
    for (rule, tunnel, says) in [("", false, true), ("", true, true), ("resolve = \"parent\"", true, false)] {
        let mut lab = lab(Origin::start(), Parent::answering(|_| Answer::refused("403 Forbidden")), rule, "");
        let mut client = lab.gate.client();
        if tunnel {
            client.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\nConnection: close\r\n\r\n", lab.at("a.test")));
        } else {
            client.send(lab.get("a.test", "Connection: close\r\n"));
        }
        let page = client.answer().text();
        drop(client);
        let detail = lab.gate.exchanges()[0]["detail"].as_str().unwrap().to_owned();
        let place = if says { lab.origin.address.to_string() } else { lab.at("a.test") };
        let begins = format!("parent uplink answered 403 to CONNECT {place}: allow that there");
        assert!(detail.starts_with(&begins) && page.contains(&begins), "{detail}\n{page}");
        assert_eq!(detail.contains("SSL_ports") && detail.contains("resolve = \"parent\""), says, "{detail}");
    }
}

#[test]
fn what_a_parent_writes_when_it_refuses_stays_where_it_is() {
    let answer = "HTTP/1.1 403 secret-reason\r\nX-Secret: secret-field\r\nContent-Length: 11\r\n\r\nsecret-body";
    let mut lab = lab(Origin::start(), Parent::saying(answer), "", "");
    let mut client = lab.gate.client();
    client.send(lab.get("a.test", "Connection: close\r\n"));
    let page = client.answer();
    assert!(page.text().contains("parent uplink answered 403"), "{}", page.text());
    assert!(page.field("proxy-status").unwrap().contains("error=destination_unavailable"), "{}", page.head);
    assert!(!format!("{}{}", page.head, page.text()).contains("secret"), "{}{}", page.head, page.text());
    let exchange = &lab.gate.exchanges()[0];
    assert!(!exchange.to_string().contains("secret") && exchange["closed_by"] == "parent", "{exchange}");
}

#[test]
fn a_parent_that_wants_credentials_has_the_gate_at_fault_and_asks_no_client() {
    let answer = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n";
    for rule in ["", "resolve = \"parent\""] {
        let lab = lab(Origin::start(), Parent::saying(answer), rule, "");
        let mut client = lab.gate.client();
        client.send(format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", lab.at("first.test")));
        let page = client.answer();
        assert_eq!((page.status(), page.field("proxy-authenticate")), (502, None), "{}", page.head);
        assert!(page.field("proxy-status").unwrap().contains("error=proxy_configuration_error"), "{}", page.head);
        drop(client);
        let (exchanges, _) = lab.refused(502, "parent_auth_failed");
        assert!(exchanges.iter().all(|exchange| exchange["closed_by"] == "parent"), "{exchanges:#?}");
    }
}

#[test]
fn an_answer_that_is_no_strict_http_is_the_parents_bad_answer() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "a".repeat(64 << 10));
    for answer in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/2 200\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\n",
        "",
        long.as_str(),
    ] {
        let lab = lab(Origin::start(), Parent::saying(answer), "", "");
        let (exchanges, parent) = lab.refused(502, "parent_bad_answer");
        assert!(exchanges.iter().all(|exchange| exchange["closed_by"] == "parent"), "{answer:.40}: {exchanges:#?}");
        assert_eq!(parent.asked().len(), 2, "{answer:.40}");
    }
    let answer = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n";
    lab(Origin::start(), Parent::saying(answer), "", "").refused(502, "parent_refused");
}

#[test]
fn a_parents_answer_to_connect_is_short_whatever_a_head_may_take() {
    let answer = |bytes: usize| {
        let empty = "HTTP/1.1 200 OK\r\nX: \r\n\r\n".len();
        format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\nhello", "a".repeat(bytes - empty))
    };
    let fits = lab(Origin::start(), Parent::saying(answer(8 << 10)), "protocol = \"any\"", "");
    let (mut client, told) = connect(&fits.gate, &fits.at("a.test"));
    assert_eq!((told.status(), client.take(5)), (200, b"hello".to_vec()));
    for config in ["", "[limits]\nhead_kib_max = 1024\n"] {
        let lab = lab(Origin::start(), Parent::saying(answer((8 << 10) + 1)), "", config);
        let (exchanges, _) = lab.refused(502, "parent_bad_answer");
        assert!(exchanges[0]["detail"].as_str().unwrap().contains("long"), "{exchanges:#?}");
    }
    let little = lab(Origin::start(), Parent::saying(answer(1025)), "", "[limits]\nhead_kib_max = 1\n");
    little.refused(502, "parent_bad_answer");
}

#[test]
fn bad_bytes_behind_an_absolute_request_are_the_parents_too() {
    for answer in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\n\n", ""] {
        let mut lab = lab(Origin::start(), Parent::saying(answer), "resolve = \"parent\"", "");
        let mut client = lab.gate.client();
        client.send(lab.get("a.test", ""));
        let page = client.answer();
        assert!(page.status() == 502 && page.text().contains("parent_bad_answer: parent uplink"), "{}", page.text());
        drop(client);
        assert_eq!(lab.gate.exchanges()[0]["closed_by"], "parent", "{answer:?}");
    }
}

#[test]
fn a_parent_that_stalls_is_waited_for_no_longer_than_a_connection_may_take() {
    let parent = Parent::answering(|_| Answer::Stall);
    let lab = lab(Origin::start(), parent, "", "[limits]\nconnect_seconds = 1\n");
    let (exchanges, _) = lab.refused(504, "parent_timeout");
    assert!(exchanges.iter().all(|exchange| exchange["closed_by"] == "parent"), "{exchanges:#?}");
}

#[test]
fn a_parent_that_is_not_there_is_unreachable_and_nothing_goes_around_it() {
    let listener = listener_of_its_own(0);
    let gone = Parent::at(listener.local_addr().unwrap());
    drop(listener);
    let (exchanges, _) = lab(Origin::start(), gone, "", "").refused(502, "parent_unreachable");
    assert!(exchanges.iter().all(|exchange| exchange["closed_by"] == "parent"), "{exchanges:#?}");
}

#[test]
fn a_name_that_resolves_inside_is_refused_before_the_parent_hears_anything() {
    let (origin, parent) = (Origin::start(), Parent::start());
    let port = origin.address.port();
    let names = NameServer::answering(|name| match name {
        "a.test" => vec!["10.0.0.1".parse().unwrap()],
        "b.test" => vec!["::ffff:127.0.0.1".parse().unwrap()],
        _ => Vec::new(),
    });
    let rules = policy(&parent, &origin, "").replace("private = [\"127.0.0.0/8\"]\n", "");
    let literal = "[[rule]]\nname = \"literal\"\nhosts = [\"10.0.0.1\", \"127.0.0.1\"]\nparent = \"uplink\"\n\
                   resolve = \"parent\"\nverdict = \"allow\"\n";
    let mut gate = Gate::configured(&format!("{rules}{literal}ports = [{port}]\n"), &names.config());
    for host in ["a.test", "b.test", "10.0.0.1", "127.0.0.1"] {
        let (_, answer) = connect(&gate, &format!("{host}:{port}"));
        assert!(answer.status() == 403 && answer.head.contains("guard_address"), "{host}: {}", answer.head);
        let mut client = gate.client();
        client.send(format!("GET http://{host}:{port}/ HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"));
        assert_eq!(client.answer().status(), 403, "{host}");
    }
    assert_eq!(parent.lines(), Vec::<String>::new());
    let exchanges = gate.exchanges();
    assert_eq!(exchanges.len(), 8);
    for exchange in exchanges {
        assert_eq!((&exchange["verdict"], &exchange["closed_by"]), (&"deny".into(), &"gate".into()), "{exchange}");
    }
}

#[test]
fn a_direct_rule_and_a_parents_never_share_a_connection() {
    let (origin, parent) = (Origin::start(), Parent::start());
    let names = NameServer::pointing_to(origin.address.ip());
    let through = policy(&parent, &origin, "methods = [\"GET\"]");
    let by_name = origin.rule_for("*.test", "parent = \"uplink\"\nresolve = \"parent\"\nmethods = [\"PUT\"]");
    let direct = origin.rule_for("*.test", "methods = [\"POST\"]");
    let gate = Gate::configured(&format!("{through}{by_name}{direct}"), &names.config());
    let mut client = gate.client();
    let place = format!("a.test:{}", origin.address.port());
    for round in 0..3 {
        for (method, status) in [("GET", 200), ("POST", 200), ("PUT", 502)] {
            client.send(format!("{method} http://{place}/ HTTP/1.1\r\nHost: {place}\r\nContent-Length: 0\r\n\r\n"));
            assert_eq!(client.answer().status(), status, "{method} {round}");
        }
    }
    let connects = parent.lines().iter().filter(|line| line.starts_with("CONNECT ")).count();
    let puts = parent.lines().iter().filter(|line| line.starts_with("PUT http://a.test:")).count();
    assert_eq!((connects, puts, origin.connections()), (1, 3, 2), "one through the parent, one direct");
    let of = |method: &str| origin.requests().iter().filter(|request| request.line().starts_with(method)).count();
    assert_eq!((of("GET"), of("POST"), of("PUT")), (3, 3, 0));
}

#[test]
fn a_websocket_becomes_a_tunnel_through_the_parent() {
    let origin = Origin::serving(|mut peer, log| {
        log.note(&peer.head().unwrap());
        peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello");
        assert_eq!(peer.take(3), b"abc");
        peer.send("ABC");
        peer.rest();
    });
    let mut lab = lab(origin, Parent::start(), "", "");
    let mut client = lab.gate.client();
    client.send(lab.get("a.test", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"));
    assert_eq!(client.head().unwrap().status(), 101);
    assert_eq!(client.take(5), b"hello");
    client.send("abc");
    assert_eq!(client.take(3), b"ABC");
    drop(client);
    assert_eq!(lab.origin.requests()[0].line(), "GET /p?q HTTP/1.1");
    let exchange = &lab.gate.exchanges()[0];
    assert_eq!((&exchange["carries"], &exchange["parent"]), (&"websocket".into(), &"uplink".into()), "{exchange}");
}

#[test]
fn what_the_origin_says_first_comes_with_the_parents_answer_and_is_not_lost() {
    let origin = Origin::echo();
    let address = origin.address;
    let parent = Parent::answering(move |_| Answer::LeadSaying(address, "220 hello\r\n"));
    let lab = lab(origin, parent, "protocol = \"any\"", "");
    let (mut client, _) = connect(&lab.gate, &lab.at("a.test"));
    assert_eq!(client.take(11), b"220 hello\r\n");
    client.send("SSH-2.0-x\r\n");
    assert_eq!(client.take(11), b"SSH-2.0-x\r\n");
}

#[test]
fn the_hello_in_a_tunnel_through_a_parent_is_judged_as_in_any_other() {
    let mut lab = lab(Origin::echo(), Parent::start(), "", "");
    let (mut client, _) = connect(&lab.gate, &lab.at("b.test"));
    client.send(hello("curl"));
    assert_eq!(client.rest().0, ALERT);
    assert_eq!(lab.origin.bytes().concat(), b"");
    let exchange = &lab.gate.exchanges()[0];
    assert_eq!((&exchange["verdict"], &exchange["closed_how"]), (&"deny".into(), &"sni_mismatch".into()), "{exchange}");

    let (origin, parent) = (Origin::echo(), Parent::start());
    let names = NameServer::pointing_to(origin.address.ip());
    let known = format!("[programs]\nknown = {{ ja4 = [\"{}\"] }}\n", crate::tunnel_lab::CURL);
    let rule = policy(&parent, &origin, "programs = [\"known\"]");
    let gate = Gate::configured(&format!("{known}{rule}"), &names.config());
    let (mut client, _) = connect(&gate, &format!("a.test:{}", origin.address.port()));
    assert_eq!((parent.lines().len(), names.asked().len()), (0, 0), "nothing is asked before the hello");
    client.send(hello("curl"));
    assert_eq!(client.take(5), hello("curl")[..5]);
    assert_eq!(parent.lines(), [format!("CONNECT {} HTTP/1.1", origin.address)]);
}

#[test]
fn a_parent_may_be_named_and_the_gate_looks_it_up_each_time() {
    let (origin, parent) = (Origin::start(), Parent::start());
    let there = origin.address.ip();
    let names = NameServer::answering(move |name| match name {
        "a.test" | "proxy.corp" => vec![there],
        _ => Vec::new(),
    });
    let named = policy(&parent, &origin, "")
        .replace(&format!("\"{}\"", parent.address), &format!("\"proxy.corp:{}\"", parent.address.port()));
    let gate = Gate::configured(&named, &names.config());
    let place = format!("a.test:{}", origin.address.port());
    assert_eq!(connect(&gate, &place).1.status(), 200);
    assert_eq!(names.asked(), ["a.test", "proxy.corp"]);
    let unknown = Gate::configured(&named.replace("proxy.corp", "nobody.corp"), &names.config());
    let (mut client, answer) = connect(&unknown, &place);
    assert!(client.body(answer).text().contains("parent_unreachable: parent uplink has no address"));
}
