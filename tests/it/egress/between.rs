//! What is refused between segments, and forged sources: heard by nobody, counted by nft, and found again by `sekisho sql`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use super::lab::{INSIDE, Lab, Machine, run};
use super::proof::{meets, probe};
use super::ways_out::{connect, peers_of, ping, recording_gate, rules, wait_for};
use crate::sql::asked;

/// Whatever a machine hears, but for neighbours and for how it is told of a refusal.
pub(super) const HEARS: &str = "
table inet hears {
    counter heard {}
    chain input {
        type filter hook input priority filter;
        icmpv6 type { 133-137, 143 } accept
        tcp flags & rst == rst accept
        icmp type destination-unreachable accept
        icmpv6 type destination-unreachable accept
        counter name heard
    }
}
";
const GATE: [&str; 2] = ["10.20.0.1", "fd00:20::1"];
const LISTENERS: [Machine; 5] = [Machine::Office, Machine::Sales, Machine::Plant, Machine::Admin, Machine::Internet];

/// One packet of a kind.
#[derive(Debug, Clone, Copy)]
enum Packet {
    Tcp(u16),
    Udp(u16),
    Icmp,
    /// Of GRE, for one.
    Other,
}

/// What is refused, as the evidence has it, and how often.
#[derive(Default)]
pub(super) struct Refusals(BTreeMap<String, u64>);

impl Refusals {
    pub(super) fn add(&mut self, (client, to): (IpAddr, IpAddr), port: Option<u16>, protocol: &str, rule: &str) {
        let is_dropped = matches!(rule, "forged-source" | "from-outside" | "discovery");
        let state = if is_dropped { "dropped" } else { "refused" };
        let port = port.map_or_else(|| "null".to_owned(), |port| port.to_string());
        *self.0.entry(format!("{client} {to} {port} {protocol} {state} {rule}")).or_default() += 1;
    }

    /// By rule.
    fn of_rules(&self) -> BTreeMap<&str, u64> {
        let mut of_rules = BTreeMap::new();
        for (what, count) in &self.0 {
            *of_rules.entry(what.rsplit(' ').next().unwrap()).or_default() += count;
        }
        of_rules
    }

    /// That nft has counted those, and that they are all that is on record of what was stopped.
    pub(super) fn are_counted(&self, lab: &Lab) {
        for (rule, count) in self.of_rules() {
            wait_for(lab, rule, count);
        }
    }

    pub(super) fn are_on_record(&self, data_dir: &Path) {
        assert_eq!(on_record(data_dir), self.0);
    }

    /// Waits until they are, while a gate runs.
    pub(super) fn come_on_record(&self, data_dir: &Path) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while on_record(data_dir) != self.0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        self.are_on_record(data_dir);
    }

    /// And that this is what `sekisho review client` says of each of them.
    pub(super) fn are_told_of_clients(&self, data_dir: &Path) {
        let client_of = |what: &str| what.split_once(' ').unwrap().0.to_owned();
        let clients: BTreeSet<String> = self.0.keys().map(|what| client_of(what)).collect();
        for client in clients {
            let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
            command.args(["review", "client", &client, "--format", "json", "--limit", "1000", "--data-dir"]);
            let answer: Value = serde_json::from_str(&run(command.arg(data_dir))).unwrap();
            let rows = answer["tables"]["past_proxy"]["rows"].as_array().unwrap().iter();
            let told: BTreeMap<String, u64> = rows
                .map(|row| {
                    let [address, protocol, state, rule] =
                        ["address", "protocol", "state", "rule"].map(|key| row[key].as_str().unwrap());
                    let what = format!("{client} {address} {} {protocol} {state} {rule}", row["port"]);
                    (what, row["count"].as_u64().unwrap())
                })
                .collect();
            let of_client = self.0.iter().filter(|(what, _)| client_of(what) == client);
            assert_eq!(told, of_client.map(|(what, count)| (what.clone(), *count)).collect());
        }
    }
}

/// What was stopped, as the evidence has it.
fn on_record(data_dir: &Path) -> BTreeMap<String, u64> {
    let statement = "SELECT client, address, port, protocol, state, reason, sum(count) AS count FROM flows \
                     WHERE verdict = 'deny' GROUP BY client, address, port, protocol, state, reason";
    asked(data_dir, statement)
        .iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            let [client, address, protocol, state, rule] =
                ["client", "address", "protocol", "state", "reason"].map(text);
            let what = format!("{client} {address} {} {protocol} {state} {rule}", row["port"]);
            (what, row["count"].as_u64().unwrap())
        })
        .collect()
}

/// Sends a packet from a machine, which must be refused.
fn send(lab: &Lab, from: Machine, to: IpAddr, packet: Packet) {
    lab.inside(from, || match packet {
        Packet::Tcp(port) => assert_eq!(connect(to, port).unwrap_err().kind(), ErrorKind::ConnectionRefused),
        Packet::Udp(port) => {
            let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
            UdpSocket::bind((any, 0)).unwrap().send_to(b"hello", (to, port)).unwrap();
        }
        // Destination unreachable.
        Packet::Icmp => assert_eq!(ping(to), if to.is_ipv4() { 3 } else { 1 }),
        Packet::Other => {
            let domain = Domain::for_address(SocketAddr::new(to, 0));
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(47))).unwrap();
            socket.send_to(&[0; 8], &SocketAddr::new(to, 0).into()).unwrap();
        }
    });
}

/// What of the inside each tries of whom, and the rule that it meets.
fn attempts() -> Vec<(Machine, Machine, Packet, &'static str)> {
    use Packet::{Icmp, Other, Tcp, Udp};
    let mut attempts = Vec::new();
    let mut all = |from, to, packets: &[Packet], rule| {
        attempts.extend(packets.iter().map(|packet| (from, to, *packet, rule)));
    };
    for (from, other) in [(Machine::Office, Machine::Sales), (Machine::Sales, Machine::Office)] {
        all(from, Machine::Admin, &[Tcp(22), Tcp(443), Udp(161), Icmp, Other], "to-management");
        all(from, Machine::Plant, &[Tcp(502), Udp(47808), Icmp, Other], "to-critical");
        all(from, other, &[Tcp(139), Tcp(445), Udp(445)], "peer-smb");
        all(from, other, &[Tcp(135), Tcp(593), Udp(135)], "peer-rpc");
        let remote = [22, 23, 3389, 5800, 5803, 5900, 5903, 5985, 5986].map(Tcp);
        all(from, other, &remote, "peer-remote");
        all(from, other, &[Udp(3389)], "peer-remote");
        all(from, other, &[137, 138, 1900, 3702, 5353, 5355].map(Udp), "peer-discovery");
        all(from, other, &[5353, 5355, 5357, 5358].map(Tcp), "peer-discovery");
        all(from, other, &[Tcp(8080), Tcp(5904), Udp(50_000), Icmp, Other], "peer-other");
        all(from, Machine::Internet, &[Other], "out-other");
    }
    for to in [Machine::Admin, Machine::Office] {
        all(Machine::Plant, to, &[Tcp(22), Tcp(445)], "critical-tcp");
        all(Machine::Plant, to, &[Udp(53), Udp(137)], "critical-udp");
        all(Machine::Plant, to, &[Icmp], "critical-icmp");
        all(Machine::Plant, to, &[Other], "critical-other");
    }
    all(Machine::Plant, Machine::Internet, &[Other], "critical-other");
    all(Machine::Admin, Machine::Internet, &[Other], "out-other");
    attempts
}

/// Sends a datagram by a source that is not the machine's own.
fn forge(lab: &Lab, from: Machine, source: IpAddr, to: IpAddr) {
    lab.inside(from, || {
        let socket = Socket::new(Domain::for_address(SocketAddr::new(source, 0)), Type::DGRAM, None).unwrap();
        match source.is_ipv4() {
            true => socket.set_ip_transparent_v4(true).unwrap(),
            false => socket.set_ip_transparent_v6(true).unwrap(),
        }
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        UdpSocket::from(socket).send_to(b"who am I", (to, 5000)).unwrap();
    });
}

/// What each wants of the others, and of the gateway itself: discovery asked of it by its own address is on record.
fn want(lab: &Lab, refusals: &mut Refusals) {
    for (from, to, packet, rule) in attempts() {
        for (client, to) in from.addresses().into_iter().zip(to.addresses()) {
            send(lab, from, to, packet);
            let (port, protocol) = match packet {
                Packet::Tcp(port) => (Some(port), "tcp"),
                Packet::Udp(port) => (Some(port), "udp"),
                Packet::Icmp => (None, if to.is_ipv6() { "icmpv6" } else { "icmp" }),
                Packet::Other => (None, "47"),
            };
            refusals.add((client, to), port, protocol, rule);
        }
    }
    let mut of_gateway = |from: Machine, gate: [&str; 2], port: u16, rule: &str| {
        for (gate, client) in gate.map(|gate| gate.parse().unwrap()).into_iter().zip(from.addresses()) {
            send(lab, from, gate, Packet::Udp(port));
            refusals.add((client, gate), Some(port), "udp", rule);
        }
    };
    of_gateway(Machine::Office, GATE, 5353, "to-gateway");
    of_gateway(Machine::Office, GATE, 8080, "to-gateway");
    of_gateway(Machine::Plant, ["10.50.0.1", "fd00:50::1"], 137, "critical-udp");
}

/// Sources of no segment, of another than the one behind the interface, of outside, of the inside from outside, and of the
/// gateway itself, to others and to it. All of it twice: of IPv4 the kernel drops by itself what bears an address of its own, and
/// with `rp_filter` most of the rest, and tells nobody.
fn forge_all(lab: &Lab, refusals: &mut Refusals) {
    let of = |addresses: [&str; 2]| addresses.map(|address| address.parse::<IpAddr>().unwrap());
    let [office, sales, admin, internet] =
        [Machine::Office, Machine::Sales, Machine::Admin, Machine::Internet].map(Machine::addresses);
    let forged = [
        (Machine::Office, internet, ["10.99.0.9", "fd00:99::9"]),
        (Machine::Office, admin, ["10.40.0.9", "fd00:40::9"]),
        (Machine::Plant, internet, ["10.20.0.9", "fd00:20::9"]),
        (Machine::Sales, office, ["11.77.0.80", "fd77::80"]),
        (Machine::Internet, sales, ["10.20.0.2", "fd00:20::2"]),
        (Machine::Office, internet, GATE),
        (Machine::Sales, office, ["11.77.0.1", "fd77::1"]),
        (Machine::Office, of(GATE), ["10.21.0.1", "fd00:21::1"]),
        (Machine::Sales, of(GATE), GATE),
    ];
    for rp_filter in ["0", "1"] {
        lab.inside(Machine::Gateway, || {
            for entry in std::fs::read_dir("/proc/sys/net/ipv4/conf").unwrap() {
                std::fs::write(entry.unwrap().path().join("rp_filter"), rp_filter).unwrap();
            }
        });
        for (from, to, sources) in forged {
            for (source, to) in of(sources).into_iter().zip(to) {
                forge(lab, from, source, to);
                refusals.add((source, to), Some(5000), "udp", "forged-source");
            }
        }
    }
}

/// To all of a segment, and to groups that every machine is in.
fn call_out(lab: &Lab, refusals: &mut Refusals) {
    let [v4, v6] = Machine::Office.addresses();
    for (from, to) in [(v4, "10.20.0.255:137"), (v4, "224.0.0.1:5353"), (v6, "[ff02::1]:5353")] {
        let ends = to.parse::<SocketAddr>().unwrap();
        refusals.add((from, ends.ip()), Some(ends.port()), "udp", "discovery");
        lab.inside(Machine::Office, || {
            let socket = Socket::new(Domain::for_address(SocketAddr::new(from, 0)), Type::DGRAM, None).unwrap();
            socket.set_broadcast(true).unwrap();
            socket.bind_device(Some(b"eth0")).unwrap();
            socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
            socket.send_to(b"who is there", &ends.into()).unwrap();
        });
    }
}

/// The gateway calls out too, as a server of addresses does, and hears itself: that is nobody's forgery.
fn hears_itself(lab: &Lab) {
    let shown = run(lab.command(Machine::Gateway, "ip").args(["-o", "link", "show", "dev", "lan0"]));
    let link = shown.split(':').next().unwrap().parse().unwrap();
    lab.inside(Machine::Gateway, || {
        let socket = |any: &str| {
            let socket = UdpSocket::bind(any).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            socket
        };
        let [v4, v6] = ["0.0.0.0:6000", "[::]:6001"].map(socket);
        let own = GATE[0].parse().unwrap();
        v4.join_multicast_v4(&"224.0.0.251".parse().unwrap(), &own).unwrap();
        v4.set_broadcast(true).unwrap();
        let from = socket2::SockRef::from(&v4);
        from.set_multicast_if_v4(&own).unwrap();
        for to in ["224.0.0.251:6000", "10.20.0.255:6000"] {
            v4.send_to(b"who is there", to).unwrap();
            assert_eq!(v4.recv_from(&mut [0; 64]).unwrap().1, SocketAddr::new(GATE[0].parse().unwrap(), 6000), "{to}");
        }
        v6.join_multicast_v6(&"ff02::fb".parse().unwrap(), link).unwrap();
        let group = std::net::SocketAddrV6::new("ff02::fb".parse().unwrap(), 6001, 0, link);
        v6.send_to(b"who is there", group).unwrap();
        v6.recv_from(&mut [0; 64]).unwrap();
    });
}

fn nobody_heard(lab: &Lab) {
    for machine in LISTENERS {
        assert_eq!(lab.counted(machine, "hears", "heard"), 0, "{machine:?}");
    }
}

#[test]
fn what_segments_want_of_one_another_is_heard_by_nobody_counted_and_found_again_in_both_families() {
    let lab = Lab::make();
    lab.load(Machine::Gateway, &rules(&lab));
    let mut gate = recording_gate(&lab);
    LISTENERS.into_iter().for_each(|machine| lab.load(machine, HEARS));
    let mut refusals = Refusals::default();
    want(&lab, &mut refusals);
    let of_office = lab.counted(Machine::Gateway, "sekisho", "segment-office-out");
    forge_all(&lab, &mut refusals);
    refusals.are_counted(&lab);
    let still = lab.counted(Machine::Gateway, "sekisho", "segment-office-out");
    assert_eq!(still, of_office, "what bears the office's addresses elsewhere does not count as the office's");
    nobody_heard(&lab);
    call_out(&lab, &mut refusals);
    hears_itself(&lab);
    refusals.are_counted(&lab);
    gate.records();
    refusals.are_on_record(&gate.data_dir());
}

/// Where switches part the ports of a segment, its machines reach one another by the gateway alone, at an address for each.
#[test]
fn clients_of_one_segment_do_not_reach_each_other_where_the_gateway_is_between() {
    let lab = Lab::make();
    let parted = ["10.20.0.9", "fd00:20::9"].map(|address| address.parse::<IpAddr>().unwrap());
    let ip = |machine, arguments: &str| run(lab.command(machine, "ip").args(arguments.split(' ')));
    for (to, gate) in parted.into_iter().zip(GATE) {
        let alone = format!("{to}/{}", if to.is_ipv4() { 32 } else { 128 });
        ip(Machine::Sales, &format!("address add {alone} dev eth0{}", if to.is_ipv4() { "" } else { " nodad" }));
        ip(Machine::Gateway, &format!("route add {alone} dev lan1"));
        ip(Machine::Office, &format!("route add {alone} via {gate}"));
    }
    let listening = lab.inside(Machine::Sales, || std::net::TcpListener::bind(("::", 445)).unwrap());
    lab.load(Machine::Gateway, &rules(&lab));
    let mut gate = recording_gate(&lab);
    lab.load(Machine::Sales, HEARS);
    let mut refusals = Refusals::default();
    for (client, to) in Machine::Office.addresses().into_iter().zip(parted) {
        for (port, rule) in [(445, "peer-smb"), (135, "peer-rpc"), (3389, "peer-remote"), (8080, "peer-other")] {
            send(&lab, Machine::Office, to, Packet::Tcp(port));
            refusals.add((client, to), Some(port), "tcp", rule);
        }
        send(&lab, Machine::Office, to, Packet::Udp(5353));
        refusals.add((client, to), Some(5353), "udp", "peer-discovery");
        send(&lab, Machine::Office, to, Packet::Icmp);
        let protocol = if to.is_ipv6() { "icmpv6" } else { "icmp" };
        refusals.add((client, to), None, protocol, "peer-other");
    }
    refusals.are_counted(&lab);
    assert_eq!(lab.counted(Machine::Sales, "hears", "heard"), 0);
    gate.records();
    refusals.are_on_record(&gate.data_dir());
    lab.nft(Machine::Gateway, "delete table inet sekisho");
    for to in parted {
        assert!(lab.inside(Machine::Office, || connect(to, 445)).is_ok(), "without rules {to} is reached");
    }
    drop(listening);
}

/// The same by what `egress iptables` prints, and each way out with it. Nothing there has a name but what is logged.
#[test]
fn what_iptables_refuses_is_heard_by_nobody_and_found_again_in_both_families() {
    let lab = Lab::make();
    for (program, flag) in [("iptables", None), ("ip6tables", Some("--ipv6"))] {
        let directory = tempfile::tempdir().unwrap();
        let rules = run(&mut lab.egress(directory.path(), &["iptables"].into_iter().chain(flag).collect::<Vec<_>>()));
        let mut command = lab.command(Machine::Gateway, &format!("{program}-legacy-restore"));
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{rules}");
    }
    let mut gate = recording_gate(&lab);
    LISTENERS.into_iter().for_each(|machine| lab.load(machine, HEARS));
    let mut refusals = Refusals::default();
    for from in INSIDE {
        let probed = probe(&lab, from, peers_of(from), &[]);
        assert_eq!(probed.outcomes(), [("refused", probed.ways().len())].into(), "{from:?}: {:#}", probed.json);
        probed.ways().iter().for_each(|way| meets(&mut refusals, from, way));
    }
    want(&lab, &mut refusals);
    forge_all(&lab, &mut refusals);
    let all: u64 = refusals.0.values().sum();
    let deadline = Instant::now() + Duration::from_secs(20);
    while gate.status()["flows"][0]["seen"].as_u64().unwrap() < all {
        assert!(Instant::now() < deadline, "not all of {all}: {:#}", gate.status()["flows"][0]);
    }
    nobody_heard(&lab);
    call_out(&lab, &mut refusals);
    hears_itself(&lab);
    let (office, gateway) = (Machine::Office.addresses()[0], GATE[0].parse().unwrap());
    send(&lab, Machine::Office, gateway, Packet::Tcp(9));
    refusals.add((office, gateway), Some(9), "tcp", "to-gateway");
    gate.records();
    refusals.are_on_record(&gate.data_dir());
}
