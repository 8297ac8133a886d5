//! A gate that the system gives no more file descriptors.

use std::time::Instant;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

use crate::fire_flood::ASK;
use crate::gate::{Gate, Notices, Start};
use crate::name_server::NameServer;
use crate::origin::Origin;
use crate::peer::Peer;

fn bound_descriptors(gate: &Gate, current: u64) {
    let pid = Pid::from_raw(i32::try_from(gate.pid()).unwrap());
    let limit = Rlimit { current: Some(current), maximum: getrlimit(Resource::Nofile).maximum };
    prlimit(pid, Resource::Nofile, limit).unwrap();
}

/// The lowest descriptor that the gate has not open: what the kernel would give next.
fn next_descriptor(gate: &Gate) -> u64 {
    let open: Vec<u64> = std::fs::read_dir(format!("/proc/{}/fd", gate.pid()))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    (0..).find(|number| !open.contains(number)).unwrap()
}

fn ask(client: &mut Peer, request: &str) -> u16 {
    client.send(request);
    client.answer().status()
}

#[test]
fn without_descriptors_clients_that_are_in_are_served_and_others_wait_until_there_are_some() {
    let origin = Origin::start();
    let names = NameServer::pointing_to(origin.address.ip());
    let said = Notices::new();
    let config = format!("{}[gate]\nworkers = 1\n[evidence]\nsegment_mib = 1\nindex = false\n", names.config());
    let policy = format!("{}{}", origin.policy(), origin.rule_for("*.test", ""));
    let before = &said.before();
    let mut gate = Start { policy: &policy, config: &config, before, ..Start::default() }.gate();
    let to = |host: &str| {
        let at = format!("{host}:{}", origin.address.port());
        format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n")
    };
    let kept = to(&origin.address.ip().to_string());
    let mut inside: Vec<_> = (0..5).map(|_| gate.client()).collect();
    assert!(inside.iter_mut().all(|client| ask(client, ASK) == 200));
    assert_eq!(ask(&mut inside[0], &kept), 200);

    let since = Instant::now();
    bound_descriptors(&gate, next_descriptor(&gate));
    let mut outside: Vec<_> = (0..3).map(|_| gate.client()).collect();
    outside.iter_mut().for_each(|client| client.send(ASK));
    said.until("descriptors or memory ran out");

    for client in &mut inside {
        assert_eq!(ask(client, ASK), 200);
    }
    assert_eq!(ask(&mut inside[0], &kept), 200, "over the connection to the origin that was kept");
    assert!(ask(&mut inside[1], &to("a.test")) >= 500, "a name cannot be asked of DNS");
    // The journal wants another segment, and gets none.
    let long = format!("GET http://b.example/{} HTTP/1.1\r\nHost: b.example\r\n\r\n", "p".repeat(900));
    let refused = (0..5000).find(|_| match ask(&mut inside[2], &long) {
        403 => false,
        status => {
            assert_eq!(status, 503, "no record, no judgement");
            true
        }
    });
    refused.expect("a segment has a bound");

    bound_descriptors(&gate, getrlimit(Resource::Nofile).maximum.unwrap_or(1 << 20));
    for client in &mut outside {
        assert_eq!(client.answer().status(), 200, "they that waited are served");
    }
    let waited = since.elapsed();
    said.until("there are descriptors again");
    assert_eq!(ask(&mut inside[2], &long), 403);
    assert_eq!(ask(&mut inside[1], &to("b.test")), 200, "a name that was never asked for");
    assert_eq!(ask(&mut inside[1], &to("a.test")), 200, "one that could not be asked for");
    assert_eq!(ask(&mut outside[0], &kept), 200);
    let failures = gate.status()["connections"]["accept_failures"].as_u64().unwrap();
    // 20 ms, doubled five times, then 500 ms each.
    let most = 6 + 2 * waited.as_secs() + 2;
    assert!((1..=most).contains(&failures), "{failures} in {waited:?}: the gate waits in between");

    drop((inside, outside));
    let records = gate.records();
    let lost: Vec<_> = records.iter().filter(|record| record["cause"] == "records_lost").collect();
    assert!(!lost.is_empty(), "what was refused for want of a record is told");
    assert!(records.iter().filter(|record| record["kind"] == "segment").count() > 1);
    sekisho::store::verify(&gate.data_dir(), &Default::default()).unwrap();
}
