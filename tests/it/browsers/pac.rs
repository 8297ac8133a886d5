//! A PAC file of several gates, as Chromium goes by it while they end one after the other.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::Settings;
use super::driven::Driven;
use crate::gate::{Gate, records};
use crate::name_server::NameServer;
use crate::origin::{Origin, listener_of_its_own};

/// Reached past the gates, as the file says.
const INSIDE: &str = "http://portal.inside.test/";
const OUTSIDE: &str = "http://outside.test/";

/// Goes there, and says how that failed, if it did.
fn failure(browser: &mut Driven, url: &str) -> Option<String> {
    let gone = browser.devtools("Page.navigate", &json!({ "url": url }));
    gone["errorText"].as_str().map(str::to_owned)
}

/// How often a gate let out what is outside.
fn let_out(gate: &Gate) -> usize {
    let is_outside = |record: &&Value| record["event"] == "open" && record["host"] == "outside.test";
    records(&gate.data_dir()).iter().filter(is_outside).count()
}

#[test]
fn chromium_takes_the_next_gate_where_one_is_dead_and_where_all_are_nothing_goes_past_them() {
    let listener = listener_of_its_own(80);
    let address = listener.local_addr().unwrap().ip();
    let secured = std::net::TcpListener::bind((address, 443)).unwrap();
    secured.set_nonblocking(true).unwrap();
    let origin = Origin::start_on(listener);
    let names = NameServer::pointing_to(address);
    let policy = origin.rule_for("outside.test", "");
    let mut gates = [(); 2].map(|()| Gate::configured(&policy, &names.config()));
    let listed = gates.iter().map(|gate| format!("\"PROXY {}\"", gate.address)).collect::<Vec<_>>().join(", ");
    let pac = format!("[pac]\ngates = [{listed}]\ndirect = [\"*.inside.test\"]\n");
    let serving = Gate::configured(&policy, &pac);
    // What is not taken to a gate finds the origin by itself, whatever it is called.
    let pac = Some(serving.address.port());
    let settings = Settings { pac, direct: Some(address), ..Settings::AS_INSTALLED };
    let mut browser = Driven::chromium(serving.address, None, settings);
    let asked = |host: &str| origin.seen().iter().filter(|seen| seen.contains(&format!("Host: {host}\r\n"))).count();

    assert_eq!(failure(&mut browser, INSIDE), None);
    browser.until_shown("Host: portal.inside.test");
    assert_eq!(failure(&mut browser, OUTSIDE), None);
    browser.until_shown("Host: outside.test");
    // Which one is first depends on this machine's address.
    let first = usize::from(let_out(&gates[0]) == 0);
    assert!(let_out(&gates[first]) > 0 && let_out(&gates[1 - first]) == 0, "all goes by one of them");
    assert_eq!(gates[first].end("-TERM"), Some(0));
    assert_eq!(failure(&mut browser, &format!("{OUTSIDE}second")), None);
    browser.until_shown("GET /second ");
    assert!(let_out(&gates[1 - first]) > 0);
    assert_eq!(gates[1 - first].end("-TERM"), Some(0));

    let (before, inside) = (asked("outside.test"), asked("portal.inside.test"));
    for url in ["http://outside.test/third", "https://outside.test/", "http://outside.test./", "http://never.test/"] {
        let failed = failure(&mut browser, url);
        assert_eq!(failed.as_deref(), Some("net::ERR_PROXY_CONNECTION_FAILED"), "{url}");
    }
    assert_eq!(failure(&mut browser, &format!("{INSIDE}again")), None);
    browser.until_shown("GET /again ");
    assert!(asked("portal.inside.test") > inside, "the way past the gates is there");
    assert_eq!((asked("outside.test"), asked("outside.test."), asked("never.test")), (before, 0, 0));
    assert!(secured.accept().is_err(), "nor by TLS");
    clients_begin_with_different_gates(&mut browser, &serving);
}

/// The file's own function for many clients and names, as Chromium runs it.
fn clients_begin_with_different_gates(browser: &mut Driven, serving: &Gate) {
    let answer = serving.send(b"GET /proxy.pac HTTP/1.1\r\nHost: gate.test\r\nConnection: close\r\n\r\n");
    let script = answer.split_once("\r\n\r\n").unwrap().1;
    let mut found = |client: IpAddr, host: &str| {
        let given = format!("function myIpAddress() {{ return {}; }}", json!(client));
        let asked = format!("FindProxyForURL('http://' + {0} + '/', {0})", json!(host));
        // An address that is written out is never inside: the file names no network.
        let wrapped = format!("(function () {{ {given}\n{script}\nreturn {asked}; }})()");
        browser.evaluate(&wrapped).unwrap().as_str().unwrap().to_owned()
    };
    let clients: Vec<IpAddr> = (1..=16).map(|last| IpAddr::from([10, 20, 0, last])).collect();
    let orders: BTreeSet<String> = clients.iter().map(|client| found(*client, "outside.test")).collect();
    assert_eq!(orders.len(), 2, "each gate is somebody's first: {orders:?}");
    for host in [
        "outside.test",
        "OUTSIDE.test.",
        "inside.test",
        "inside.test.evil.example",
        "xinside.test",
        "10.0.0.1.evil.example",
        "192.0.2.7",
        "[2001:db8::7]",
        "2001:db8::7",
        "sekisho",
    ] {
        for client in &clients[..4] {
            assert!(orders.contains(&found(*client, host)), "{host}");
        }
    }
    assert_eq!(found(clients[0], "PORTAL.inside.test."), "DIRECT");
}
