//! A rule's `rate`: what a client asks for beyond it is denied, or would be.

use crate::gate::{Gate, exchanges};
use crate::origin::Origin;
use crate::tunnel_lab::connect;

fn gate(origin: &Origin, mode: &str, per: &str) -> Gate {
    let rate = format!("rate = {{ requests = 2, seconds = 86400, per = \"{per}\" }}");
    Gate::start(&format!("[policy]\nmode = \"{mode}\"\n{}", origin.rule(&rate)))
}

#[test]
fn a_client_that_asks_more_often_than_the_rate_is_told_so_and_the_origin_hears_nothing() {
    let origin = Origin::start();
    let at = origin.address;
    let mut gate = gate(&origin, "enforce", "client");
    let asked = format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    let answers: Vec<_> = (0..3).map(|_| gate.send(asked.as_bytes())).collect();
    let [first, second, third] = &answers[..] else { panic!("{answers:?}") };
    assert!(first.starts_with("HTTP/1.1 200 ") && second.starts_with("HTTP/1.1 200 "), "{answers:?}");
    assert!(third.starts_with("HTTP/1.1 429 ") && third.contains("rate_limited"), "{third}");
    assert!(third.contains("\r\nRetry-After: 43200\r\n"), "half of a day brings one request back: {third}");
    assert!(third.contains(": more than 2 requests in 86400 s by one client"), "{third}");
    let (_, answer) = connect(&gate, &at.to_string());
    assert_eq!(answer.status(), 429, "a tunnel counts with the rest");
    assert_eq!(origin.requests().len(), 2);
    let refused: Vec<_> = gate.events("refused");
    assert_eq!(refused.len(), 2, "{refused:#?}");
    for record in refused {
        assert_eq!((&record["reason"], &record["verdict"]), (&"rate_limited".into(), &"deny".into()), "{record}");
        assert_eq!((&record["rule"], &record["status"]), (&"origin".into(), &429.into()), "{record}");
    }
}

#[test]
fn what_is_only_observed_passes_beyond_the_rate_and_the_record_says_what_would_have_been() {
    let origin = Origin::start();
    let at = origin.address;
    let mut gate = gate(&origin, "observe", "client_host");
    let asked = format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    for _ in 0..3 {
        assert!(gate.send(asked.as_bytes()).starts_with("HTTP/1.1 200 "));
    }
    let would: Vec<_> = exchanges(&gate.records()).iter().map(|exchange| exchange["would"].clone()).collect();
    assert_eq!(would, [serde_json::Value::Null, serde_json::Value::Null, "deny".into()]);
}

#[test]
fn a_policy_that_is_put_in_its_place_goes_on_counting() {
    let origin = Origin::start();
    let at = origin.address;
    let gate = gate(&origin, "enforce", "client");
    let get = || gate.send(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n").as_bytes());
    assert!(get().starts_with("HTTP/1.1 200 ") && get().starts_with("HTTP/1.1 200 "));
    let before = std::fs::read_to_string(gate.policy()).unwrap();
    let output = gate.put(&format!("{before}\n# another text, the same rules\n"));
    assert!(output.status.success(), "{output:?}");
    assert!(get().starts_with("HTTP/1.1 429 "));
}
