//! A gate that has no descriptor left says so, and does not blame the origin.

use std::net::{Ipv4Addr, TcpListener};

use crate::gate::{Start, exchanges};
use crate::origin::Origin;

#[test]
fn a_gate_without_a_descriptor_left_blames_itself_and_not_the_origin() {
    let origin = Origin::start_on(TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    let port = origin.address.port();
    let policy = format!(
        "[[rule]]\nname = \"all\"\nhosts = [\"*\"]\nports = [{port}]\nprivate = [\"127.0.0.0/8\"]\nverdict = \"allow\"\n"
    );
    let config = "[gate]\nworkers = 1\n";
    let mut gate = Start { policy: &policy, config, before: "ulimit -n 48", ..Start::default() }.gate();
    let mut client = gate.client();
    // Each host leaves an idle connection behind.
    let refused = (1..=48).find_map(|host| {
        client.send(format!("GET http://127.0.0.{host}:{port}/ HTTP/1.1\r\nHost: 127.0.0.{host}:{port}\r\n\r\n"));
        let answer = client.answer();
        (answer.status() != 200).then_some(answer)
    });
    let refused = refused.expect("the gate runs out of descriptors");
    assert_eq!(refused.status(), 503, "{}", refused.text());
    assert!(refused.text().contains("gate_exhausted") && refused.text().contains("not at fault"), "{}", refused.text());
    assert!(refused.field("proxy-status").unwrap().contains("error=proxy_internal_error"), "{}", refused.head);
    client.send(format!("GET http://127.0.0.100:{port}/ HTTP/1.1\r\nHost: 127.0.0.100:{port}\r\n\r\n"));
    assert_eq!(client.answer().status(), 200, "idle connections have made room");
    drop(client);
    let exchanges = exchanges(&gate.records());
    let last = exchanges.iter().find(|exchange| exchange["status"] == 503).unwrap();
    assert_eq!((&last["closed_by"], &last["closed_how"]), (&"gate".into(), &"gate_exhausted".into()), "{last}");
    assert_eq!(last["verdict"], "allow", "it was no refusal: {last}");
}
