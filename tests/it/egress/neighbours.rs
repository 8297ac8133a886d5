//! How IPv6 finds neighbours, for who is cut off: as ARP does, which no rule touches.

use std::fs;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, UdpSocket};
use std::os::unix::fs::PermissionsExt;

use super::between::Refusals;
use super::isolation::{done, gate_with, until};
use super::lab::{Lab, Machine, run};
use super::ways_out::{connect, ping, rules};

const GATE: [&str; 2] = ["10.20.0.1", "fd00:20::1"];
/// Neighbour advertisements, and what else comes by IPv6 that tells of no refusal.
const HEARS: &str = "
table inet hears {
    counter found {}
    counter heard {}
    chain input {
        type filter hook input priority filter;
        icmpv6 type nd-neighbor-advert counter name found accept
        icmpv6 type { 130-135, 143 } accept
        icmpv6 type destination-unreachable accept
        tcp flags & rst == rst accept
        meta nfproto ipv6 counter name heard
    }
}
";

#[test]
fn who_is_isolated_and_the_gateway_find_each_other_in_both_families_and_nothing_else_passes() {
    let (lab, data) = (Lab::make(), tempfile::tempdir().unwrap());
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).unwrap();
    lab.load(Machine::Gateway, &rules(&lab));
    let mut gate = gate_with(&lab, data.path(), "");
    until(data.path(), |status| {
        status["flows"].as_array().is_some_and(|all| all.iter().all(|one| one["reading"] == true))
    });
    for client in ["10.20.0.2", "fd00:20::/64"] {
        let said = done(&["isolate", client, "--reason", "calls home"], data.path());
        assert!(said.contains("kernel: cut off, open connections too\n"), "{said}");
    }
    lab.load(Machine::Office, HEARS);
    let neighbours = |machine, link: &str, what: &[&str]| {
        let of = |family: &str| run(lab.command(machine, "ip").args([family, "neigh"]).args(what).args(["dev", link]));
        ["-4", "-6"].map(of)
    };
    for (machine, link) in [(Machine::Office, "eth0"), (Machine::Gateway, "lan0")] {
        neighbours(machine, link, &["flush"]);
    }

    // Nobody knows where the other is, and each attempt is told of its refusal at once.
    let mut refusals = Refusals::default();
    for (client, to) in Machine::Office.addresses().into_iter().zip(GATE.map(|to| to.parse::<IpAddr>().unwrap())) {
        let tried = lab.inside(Machine::Office, || connect(to, 3128).map(drop).map_err(|error| error.kind()));
        assert_eq!(tried, Err(ErrorKind::ConnectionRefused), "{to}");
        refusals.add((client, to), Some(3128), "tcp", "isolated");
        // Destination unreachable: an echo is no search for a neighbour.
        assert_eq!(lab.inside(Machine::Office, || ping(to)), if to.is_ipv4() { 3 } else { 1 });
        refusals.add((client, to), None, if to.is_ipv4() { "icmp" } else { "icmpv6" }, "isolated");
    }
    for ((machine, link), other) in
        [(Machine::Office, "eth0"), (Machine::Gateway, "lan0")].into_iter().zip([GATE, ["10.20.0.2", "fd00:20::2"]])
    {
        for (shown, other) in neighbours(machine, link, &["show"]).into_iter().zip(other) {
            assert!(shown.lines().any(|line| line.starts_with(other) && line.contains("lladdr")), "{other}: {shown}");
        }
    }
    assert!(lab.counted(Machine::Office, "hears", "found") >= 1);
    // Nor does anything but that come to it from the gateway itself, which does not get it on its way.
    lab.inside(Machine::Gateway, || {
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        assert!(socket.send_to(b"hello", ("fd00:20::2", 5000)).is_err());
    });
    assert_eq!(lab.counted(Machine::Office, "hears", "heard"), 0);
    assert_eq!(lab.counted(Machine::Gateway, "sekisho", "isolated"), 5, "and no search is among them");
    assert_eq!(gate.end("-TERM"), Some(0));
    // What the gateway itself tried is on record too.
    refusals.add((GATE[1].parse().unwrap(), "fd00:20::2".parse().unwrap()), Some(5000), "udp", "isolated");
    refusals.are_on_record(data.path());
}
