//! What one touch, and one attempt from a critical segment, come to in a gate that runs: a finding each, on record.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use crate::gate::{Gate, Start, status_of};

use super::between::Refusals;
use super::lab::{CONFIG, Lab, Machine, run};
use super::ways_out::wait_for;

const WAITS: Duration = Duration::from_secs(30);
const GATE: [&str; 2] = ["10.20.0.1", "fd00:20::1"];
/// The gateway's address in the plant.
const ELSEWHERE: [&str; 2] = ["10.50.0.1", "fd00:50::1"];

fn refused(to: [IpAddr; 2], port: u16) {
    for to in to {
        let refused = TcpStream::connect_timeout(&SocketAddr::new(to, port), WAITS).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{to} {port}");
    }
}

/// A gate on the gateway that knows its network and looks at what the rules log.
pub(super) fn watching_gate(lab: &Lab) -> Gate {
    let before = format!("exec ip netns exec {} \"$0\" \"$@\"", lab.name(Machine::Gateway));
    let config = format!("[flows]\nnflog_group = 5\n[detect]\ndelay_seconds = 1\n{CONFIG}");
    let gate = Start { config: &config, before: &before, ..Start::default() }.gate();
    let deadline = Instant::now() + WAITS;
    while status_of(&gate.data_dir())["flows"][0]["reading"] != true {
        assert!(Instant::now() < deadline, "the gate reads no log");
        std::thread::yield_now();
    }
    gate
}

#[test]
fn a_touch_of_a_tripwire_and_an_attempt_from_a_critical_segment_are_found_while_the_gate_runs() {
    let (lab, directory) = (Lab::make(), tempfile::tempdir().unwrap());
    lab.load(Machine::Gateway, &run(&mut lab.egress(directory.path(), &["nft"])));
    let mut gate = watching_gate(&lab);
    let parse = |text: &str| text.parse::<IpAddr>().unwrap();
    lab.inside(Machine::Office, || {
        refused(GATE.map(parse), 23);
        // Beside it, and past the proxy: neither is one.
        refused(GATE.map(parse), 24);
        refused(Machine::Internet.addresses(), 23);
    });
    lab.inside(Machine::Plant, || {
        refused(Machine::Internet.addresses(), 443);
        refused(ELSEWHERE.map(parse), 3389);
    });
    // A datagram touches it too, and is no less of one where nothing would have answered.
    lab.inside(Machine::Sales, || {
        for to in GATE.map(parse) {
            let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
            UdpSocket::bind((any, 0)).unwrap().send_to(b"hello", (to, 3389)).unwrap();
        }
    });
    wait_for(&lab, "tripwire", 6);

    let mut refusals = Refusals::default();
    let mut expected = Vec::new();
    let mut expect = |finding: &str, client: IpAddr, target: IpAddr| {
        expected.push((finding.to_owned(), client.to_string(), target.to_string(), "high".to_owned()));
    };
    for family in 0..2 {
        let [office, sales, plant, internet] = [Machine::Office, Machine::Sales, Machine::Plant, Machine::Internet]
            .map(|machine| machine.addresses()[family]);
        let [gate, elsewhere] = [GATE, ELSEWHERE].map(|addresses| parse(addresses[family]));
        expect("tripwire", office, gate);
        expect("tripwire", sales, gate);
        expect("tripwire", plant, elsewhere);
        expect("critical_attempt", plant, internet);
        for (client, to, port, protocol, rule) in [
            (office, gate, 23, "tcp", "tripwire"),
            (office, gate, 24, "tcp", "to-gateway"),
            (office, internet, 23, "tcp", "out-tcp"),
            (sales, gate, 3389, "udp", "tripwire"),
            (plant, elsewhere, 3389, "tcp", "tripwire"),
            (plant, internet, 443, "tcp", "critical-tcp"),
        ] {
            refusals.add((client, to), Some(port), protocol, rule);
        }
    }
    expected.sort();
    let deadline = Instant::now() + WAITS;
    while status_of(&gate.data_dir())["detection"]["findings"] != expected.len() {
        assert!(Instant::now() < deadline, "{}", status_of(&gate.data_dir())["detection"]);
        std::thread::yield_now();
    }
    let findings = gate.records().into_iter().filter(|record| record["kind"] == "finding");
    let said = |record: serde_json::Value| {
        let text = |key: &str| record[key].as_str().unwrap().to_owned();
        (text("finding"), text("client"), text("target"), text("severity"))
    };
    let mut found: Vec<_> = findings.map(said).collect();
    found.sort();
    assert_eq!(found, expected);
    refusals.are_counted(&lab);
    refusals.are_on_record(&gate.data_dir());
}
