//! The challenge of tunnels: one is ended after its hello, and who comes back at once is a browser.

use serde_json::Value;

use crate::gate::Gate;
use crate::name_server::NameServer;
use crate::origin::{Origin, listener_of_its_own};
use crate::peer::{End, Peer};
use crate::tunnel_lab::hello;

const CHROMIUM: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

struct Lab {
    origin: Origin,
    names: NameServer,
    gate: Gate,
}

impl Lab {
    /// An origin that sends back what it gets, on the port of HTTPS; every name of `.test` is challenged.
    fn new() -> Self {
        let origin = Origin::echo_on(listener_of_its_own(443));
        let names = NameServer::pointing_to(origin.address.ip());
        let gate = Gate::configured(
            &origin.rule_for("*.test", "sni = \"any\"").replace("allow", "challenge"),
            &names.config(),
        );
        Self { origin, names, gate }
    }

    /// A tunnel to this host of a program with this User-Agent, as Chromium asks for one.
    fn ask(&self, host: &str, user_agent: &str) -> Peer {
        let mut client = self.gate.client();
        client.send(format!(
            "CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\nProxy-Connection: keep-alive\r\nUser-Agent: {user_agent}\r\n\r\n"
        ));
        let answer = client.head().unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.head);
        client
    }

    fn browser(&self, host: &str) -> Peer {
        self.ask(host, CHROMIUM)
    }
}

/// That the tunnel carries bytes to the origin and back.
fn carries(mut client: Peer, bytes: &[u8]) {
    client.send(bytes);
    assert!(client.take(bytes.len()) == bytes, "the origin sends back what it gets");
}

/// That the tunnel is ended without a byte.
fn is_reset(client: &mut Peer, bytes: &[u8]) {
    client.send(bytes);
    assert_eq!(client.rest(), (Vec::new(), End::Closed));
}

fn challenges(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|record| record["kind"] == "challenge").collect()
}

#[test]
fn a_browser_that_comes_back_is_cleared_and_all_its_tunnels_pass() {
    let mut lab = Lab::new();
    let bytes = hello("chromium");
    is_reset(&mut lab.browser("a.test"), &bytes);
    assert_eq!((lab.origin.connections(), lab.names.asked().len()), (0, 0), "nothing was dialled or looked up");
    carries(lab.browser("a.test"), &bytes);
    carries(lab.browser("b.test"), &bytes);
    assert_eq!(lab.origin.connections(), 2);
    let records = lab.gate.records();
    let challenge = challenges(&records)[0];
    assert_eq!((&challenge["outcome"], &challenge["means"]), (&"returned".into(), &"reset".into()), "{challenge}");
    assert_eq!((&challenge["host"], &challenge["failures"]), (&"a.test".into(), &0.into()), "{challenge}");
    assert!(challenge["after_us"].as_u64().unwrap() < 800_000, "{challenge}");
    let refused = records.iter().find(|record| record["event"] == "refused").unwrap();
    assert_eq!((&refused["verdict"], &refused["reason"]), (&"challenge".into(), &"tunnel_reset".into()), "{refused}");
    let opened: Vec<_> = records.iter().filter(|record| record["event"] == "open").collect();
    assert_eq!(opened.len(), 2);
    for open in opened {
        assert_eq!((&open["verdict"], &open["program"]), (&"allow".into(), &refused["program"]), "{open}");
    }
}

#[test]
fn who_does_not_come_back_gets_nothing_and_that_is_on_record() {
    let mut lab = Lab::new();
    let bytes = hello("chromium");
    is_reset(&mut lab.browser("a.test"), &bytes);
    // Another program, with the same User-Agent and another TLS library, is no return.
    is_reset(&mut lab.browser("a.test"), &hello("curl"));
    let records = lab.gate.records();
    let outcomes: Vec<_> = challenges(&records).iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["did_not_return", "did_not_return"], "{records:#?}");
    assert_eq!(lab.origin.connections(), 0);
}

#[test]
fn a_program_that_claims_no_browser_is_refused_and_not_puzzled() {
    let mut lab = Lab::new();
    for user_agent in ["curl/7.88.1", ""] {
        let mut client = lab.gate.client();
        client.send(format!("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\nUser-Agent: {user_agent}\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status(), 403);
        assert!(answer.text().contains("Reason: not_a_browser"), "{}", answer.text());
    }
    assert_eq!(lab.gate.events("refused").len(), 2);
}

#[test]
fn other_tunnels_of_the_program_wait_for_the_answer_and_pass_with_it() {
    let lab = Lab::new();
    let bytes = hello("chromium");
    is_reset(&mut lab.browser("a.test"), &bytes);
    let mut second = lab.browser("b.test");
    second.send(&bytes);
    carries(lab.browser("a.test"), &bytes);
    assert!(second.take(bytes.len()) == bytes, "it was held, and not reset");
}

#[test]
fn a_tunnel_in_which_no_hello_comes_is_not_challenged_but_refused() {
    let mut lab = Lab::new();
    let mut client = lab.browser("a.test");
    client.send("SSH-2.0-OpenSSH_9.2\r\n");
    assert_eq!(client.rest().0, Vec::<u8>::new());
    let refused = &lab.gate.events("refused")[0];
    assert_eq!(refused["reason"], "challenge_not_possible", "{refused}");
}
