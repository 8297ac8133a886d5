//! Connections in a flood: they that say nothing, and they of a client that wants every place.

use std::net::{IpAddr, Ipv4Addr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::gate::{Gate, Start};
use crate::origin::Origin;
use crate::peer::{End, Peer};

/// A request that the gate answers itself, and keeps the connection.
pub(crate) const ASK: &str = "GET / HTTP/1.1\r\nHost: gate\r\n\r\n";

/// Another address of loopback.
pub(crate) fn other_client(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))
}

fn is_served(client: &mut Peer) -> bool {
    client.try_send(ASK).is_ok() && client.head().is_some_and(|head| client.body(head).status() == 200)
}

#[test]
fn a_connection_that_says_nothing_is_closed_and_counted_and_one_that_has_spoken_is_kept() {
    let mut gate = Gate::configured("", "[limits]\nfirst_request_seconds = 1\n");
    let mut spoken = gate.client();
    assert!(is_served(&mut spoken));
    let mut silent: Vec<_> = (0..60).map(|_| Peer::connect_from(other_client(3), gate.address)).collect();
    // A client that closes by itself was not ended by the gate.
    drop(gate.client());
    for client in &mut silent {
        assert_eq!(client.rest(), (Vec::new(), End::Closed), "no answer, for there was no question");
    }
    assert!(is_served(&mut spoken), "the time to the first byte is not the time between two requests");
    assert_eq!(gate.status()["connections"]["silent"], 60);
    drop((spoken, silent));

    let records = gate.records();
    let told: Vec<_> = records.iter().filter(|record| record["kind"] == "clients").collect();
    let sum = |key: &str| told.iter().map(|record| record[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("connections"), sum("client_connections")), (60, 60), "{told:#?}");
    assert!(told.iter().all(|record| record["what"] == "silent" && record["client"] == "127.0.0.3"), "{told:#?}");
    assert!(records.iter().all(|record| record["kind"] != "exchange" && record["kind"] != "gap"), "{records:#?}");
    assert!(told.len() <= 12, "counted, not one record each");
}

#[test]
fn a_client_that_fills_its_share_does_not_keep_another_out() {
    let config = "[limits]\nclient_connections_max = 50\nconnections_max = 60\n";
    let mut gate = Start { config, ..Start::default() }.gate();
    let mut held: Vec<_> = (0..50).map(|_| gate.client()).collect();
    assert!(held.iter_mut().all(is_served), "a client may have its share");
    for _ in 0..20 {
        assert!(!is_served(&mut gate.client()), "and no more");
    }
    let mut other = Peer::connect_from(other_client(2), gate.address);
    assert!(is_served(&mut other), "another client finds a place");
    let status = gate.status();
    let of = |key: &str| status["connections"][key].as_u64().unwrap();
    assert_eq!((of("open"), of("overflows"), of("overflows_of_clients")), (51, 0, 20), "{status}");
    // A place that was given back can be had again.
    drop(held.pop());
    while !is_served(&mut gate.client()) {}
    drop((held, other));

    let records = gate.records();
    let gaps: Vec<_> = records.iter().filter(|record| record["kind"] == "gap").collect();
    assert!(!gaps.is_empty());
    for gap in gaps {
        assert_eq!(gap["cause"], "client_connections_overflowed");
        let detail = gap["detail"].as_str().unwrap();
        assert!(detail.contains("too many open") && detail.ends_with("of 127.0.0.1"), "{gap}");
    }
}

/// What a silent or slow connection may cost the gate, in a debug build.
const MEMORY_EACH: u64 = 6 << 10;

#[test]
fn a_thousand_silent_and_slow_connections_cost_little_and_others_are_served() {
    let descriptors = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: descriptors, maximum: descriptors }).unwrap();
    let origin = Origin::start();
    let mut gate = Gate::configured(&origin.policy(), "[limits]\nclient_connections_max = 250\n");
    let mut other = gate.client();
    let mut is_served = || {
        other.send(format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address));
        assert_eq!(other.answer().status(), 200);
    };
    (0..100).for_each(|_| is_served());
    let before = gate.peak_memory();
    let open = |number: u8| Peer::connect_from(other_client(2 + number % 4), gate.address);
    let silent: Vec<_> = (0..500_u16).map(|number| open(number as u8)).collect();
    let mut slow: Vec<_> = (0..500_u16).map(|number| open(number as u8)).collect();
    for byte in b"GET http://a.example/ HTTP/1.1\r\nHost: a.exa" {
        slow.iter_mut().for_each(|client| client.send([*byte]));
        is_served();
    }
    let status = gate.status();
    let of = |key: &str| status["connections"][key].as_u64().unwrap();
    assert_eq!((of("open"), of("overflows"), of("overflows_of_clients")), (1001, 0, 0), "{status}");
    let grown = gate.peak_memory().saturating_sub(before);
    assert!(grown < 1000 * MEMORY_EACH, "{grown} bytes for a thousand");
    // Each of the slow ones can come to its end.
    slow.iter_mut().for_each(|client| client.send("mple\r\n\r\n"));
    assert!(slow.iter_mut().all(|client| client.answer().status() == 403));
    is_served();
    drop((silent, slow, other));
    assert_eq!(gate.events("refused").len(), 500, "a record for each that asked");
}
