//! Each way out, tried from each segment in both families: refused, heard by nobody outside, and counted.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::gate::{Gate, Start, status_of};

use super::lab::{CONFIG, INSIDE, Lab, Machine, run};
use super::proof::{Responding, probe};

/// Whatever the internet hears from the inside, of any protocol; how IPv6 finds neighbours aside.
const HEARS: &str = "
table inet hears {
    counter heard-tcp {}
    counter heard-udp {}
    counter heard-other {}
    chain input {
        type filter hook input priority filter;
        icmpv6 type { 133-137, 143 } accept
        ip saddr 10.0.0.0/8 jump inside
        ip6 saddr fd00::/16 jump inside
    }
    chain inside {
        meta l4proto tcp counter name heard-tcp accept
        meta l4proto udp counter name heard-udp accept
        counter name heard-other
    }
}
";
/// What a PC hears of those who want its files.
const HEARS_SMB: &str = "
table inet hears {
    counter heard {}
    chain input {
        type filter hook input priority filter;
        tcp dport 445 counter name heard
    }
}
";

const SMB: u16 = 445;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) fn connect(to: IpAddr, port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::new(to, port), ANSWER_TIMEOUT)?;
    stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    Ok(stream)
}

/// The type of the ICMP message that answers an echo request.
pub(super) fn ping(to: IpAddr) -> u8 {
    let (domain, protocol, request) = match to {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128),
    };
    let mut socket = Socket::new(domain, Type::RAW, Some(protocol)).unwrap();
    socket.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
    // Type, code, checksum (of IPv6 the kernel's own), identifier, number.
    let mut packet = [request, 0, 0, 0, 0x5e, 0x15, 0, 1];
    let sum: u32 = packet.chunks(2).map(|pair| (u32::from(pair[0]) << 8) + u32::from(pair[1])).sum();
    let sum = !u16::try_from(sum & 0xffff).unwrap();
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    socket.send_to(&packet, &SocketAddr::new(to, 0).into()).unwrap();
    loop {
        let mut buffer = [0; 512];
        assert!(socket.read(&mut buffer).unwrap() > 0);
        // Of IPv4 the header comes too.
        let kind = if to.is_ipv4() { buffer[usize::from(buffer[0] & 15) * 4] } else { buffer[0] };
        if !matches!(kind, 130..=137 | 143) {
            return kind;
        }
    }
}

pub(super) fn rules(lab: &Lab) -> String {
    let directory = tempfile::tempdir().unwrap();
    run(&mut lab.egress(directory.path(), &["nft"]))
}

/// Waits for a counter that nobody answers for.
pub(super) fn wait_for(lab: &Lab, counter: &str, count: u64) {
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    while lab.counted(Machine::Gateway, "sekisho", counter) < count {
        assert!(Instant::now() < deadline, "{counter} never came to {count}");
        std::thread::yield_now();
    }
    assert_eq!(lab.counted(Machine::Gateway, "sekisho", counter), count, "{counter}");
}

/// Echo reply, of IPv4 and IPv6.
const PONG: [u8; 2] = [0, 129];

/// Who tries whose file sharing: each of the two is tried by somebody.
pub(super) fn peers_of(machine: Machine) -> &'static [Machine] {
    match machine {
        Machine::Office => &[Machine::Sales],
        Machine::Sales | Machine::Plant => &[Machine::Office],
        Machine::Admin | Machine::Gateway | Machine::Internet => &[],
    }
}

#[test]
fn every_way_out_is_refused_from_every_segment_heard_by_nobody_outside_counted_and_on_record() {
    let lab = Lab::make();
    lab.load(Machine::Internet, HEARS);
    lab.load(Machine::Office, HEARS_SMB);
    lab.load(Machine::Sales, HEARS_SMB);
    let outside =
        || ["heard-tcp", "heard-udp", "heard-other"].map(|kind| lab.counted(Machine::Internet, "hears", kind));
    let peers = || [Machine::Office, Machine::Sales].map(|machine| lab.counted(machine, "hears", "heard"));
    let responder = Responding::start(&lab, Machine::Internet, &[]);
    let file_servers = [Machine::Office, Machine::Sales]
        .map(|machine| Responding::start(&lab, machine, &["--tcp", "445", "--udp", "none", "--no-icmp"]));
    // That an address is asked for by its neighbours comes before any rule.
    let wired = (outside(), peers());

    lab.load(Machine::Gateway, &rules(&lab));
    let mut gate = recording_gate(&lab);
    for machine in INSIDE {
        let probed = probe(&lab, machine, peers_of(machine), &[]);
        assert_eq!(probed.code, 0, "{machine:?}: {}", probed.said);
        assert_eq!(probed.outcomes(), [("refused", probed.ways().len())].into(), "{machine:?}: {:#}", probed.json);
        assert_eq!(probed.ways().len(), 2 * (WAYS + peers_of(machine).len()));
    }
    assert_eq!((outside(), peers()), wired, "nothing came out, nor from one PC to another");

    let counted = |counter| lab.counted(Machine::Gateway, "sekisho", counter);
    // Office, sales and admin, in two families; each attempt is one packet.
    let expected = [
        ("out-tcp", 6 * OUT_TCP),
        ("out-dns", 6 * OUT_DNS),
        ("out-quic", 6 * OUT_QUIC),
        ("out-udp", 6 * OUT_UDP),
        ("out-icmp", 6),
        ("peer-smb", 2 * 2),
        ("critical-tcp", 2 * CRITICAL_TCP),
        ("critical-udp", 2 * CRITICAL_UDP),
        ("critical-icmp", 2),
        ("forged-source", 0),
        ("from-outside", 0),
    ];
    for (counter, count) in expected {
        assert_eq!(counted(counter), count, "{counter}");
    }
    assert!(counted("segment-office-out") >= 2 * WAYS as u64);
    assert_recorded(&gate.records());

    // Without rules every way is open, or its being shut would prove nothing.
    lab.nft(Machine::Gateway, "delete table inet sekisho");
    let mut runs = Vec::new();
    for machine in INSIDE {
        let probed = probe(&lab, machine, peers_of(machine), &[]);
        assert_eq!(probed.code, 1, "{machine:?}");
        assert_eq!(probed.outcomes(), [("through", probed.ways().len())].into(), "{machine:?}: {:#}", probed.json);
        assert!(probed.said.contains(&format!("{} ways got through", probed.ways().len())), "{}", probed.said);
        runs.push(probed);
    }
    // Outside each of them was heard, and nothing of the runs before.
    let heard = responder.heard();
    for probed in &runs {
        for way in probed.ways().iter().filter(|way| way["route"] == "direct") {
            let told = |line: &&Value| line["run"] == probed.json["run"] && line["way"] == way["way"];
            let line = heard.iter().find(told).unwrap_or_else(|| panic!("{way} was not heard"));
            assert_eq!((&line["layer"], &line["port"]), (&way["layer"], &way["port"]), "{way}");
        }
    }
    assert!(heard.iter().all(|line| runs.iter().any(|probed| line["run"] == probed.json["run"])), "{heard:#?}");
    for file_server in file_servers {
        assert!(!file_server.heard().is_empty());
    }
}

/// Of one family, from one machine: ways of the defaults in `sekisho egress probe`, and the rule that each meets.
const OUT_TCP: u64 = 10;
const OUT_DNS: u64 = 4 + 3;
const OUT_QUIC: u64 = 2;
const OUT_UDP: u64 = 4;
const WAYS: usize = (OUT_TCP + OUT_DNS + OUT_QUIC + OUT_UDP + 1) as usize;
/// From the plant, which tries the office's file sharing too.
const CRITICAL_TCP: u64 = OUT_TCP + 4 + 1;
const CRITICAL_UDP: u64 = OUT_QUIC + OUT_UDP + 3;

/// A gate on the gateway that records what the rules log.
pub(super) fn recording_gate(lab: &Lab) -> Gate {
    recording_gate_at(lab, None, "")
}

/// The same at an address that others reach, with a policy.
pub(super) fn recording_gate_at(lab: &Lab, listen: Option<SocketAddr>, policy: &str) -> Gate {
    let before = format!("exec ip netns exec {} \"$0\" \"$@\"", lab.name(Machine::Gateway));
    let gate =
        Start { policy, config: "[flows]\nnflog_group = 5\n", listen, before: &before, ..Start::default() }.gate();
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    while status_of(&gate.data_dir())["flows"][0]["reading"] != true {
        assert!(Instant::now() < deadline, "the gate reads no log");
        std::thread::yield_now();
    }
    gate
}

/// Each attempt is on record with its client, destination and rule.
fn assert_recorded(records: &[Value]) {
    let count = |client: IpAddr, to: IpAddr, rule: &str| {
        let flows = records.iter().filter(|record| {
            record["kind"] == "flow"
                && record["state"] == "refused"
                && record["client"] == client.to_string()
                && record["address"] == to.to_string()
                && record["rule"] == rule
        });
        flows.map(|flow| flow["count"].as_u64().unwrap()).sum::<u64>()
    };
    for machine in INSIDE {
        let expected: &[(&str, u64)] = match machine {
            // Without its attempt at the office.
            Machine::Plant => {
                &[("critical-tcp", CRITICAL_TCP - 1), ("critical-udp", CRITICAL_UDP), ("critical-icmp", 1)]
            }
            _ => &[
                ("out-tcp", OUT_TCP),
                ("out-dns", OUT_DNS),
                ("out-quic", OUT_QUIC),
                ("out-udp", OUT_UDP),
                ("out-icmp", 1),
            ],
        };
        for (client, to) in machine.addresses().into_iter().zip(Machine::Internet.addresses()) {
            for (rule, expected) in expected {
                assert_eq!(count(client, to, rule), *expected, "{client} {rule}");
            }
        }
    }
    for (client, to) in Machine::Office.addresses().into_iter().zip(Machine::Sales.addresses()) {
        assert_eq!((count(client, to, "peer-smb"), count(to, client, "peer-smb")), (1, 1), "{client} {to}");
    }
}

#[test]
fn what_is_for_a_segment_is_reached_and_the_next_thing_beside_it_is_not() {
    let lab = Lab::make();
    lab.load(Machine::Gateway, &rules(&lab));
    let listen = |machine, port: u16| lab.inside(machine, || TcpListener::bind(("::", port)).unwrap());
    let _listening = [listen(Machine::Gateway, 3128), listen(Machine::Gateway, 3129), listen(Machine::Gateway, 22)];
    let _others = [listen(Machine::Office, SMB), listen(Machine::Admin, 22), listen(Machine::Plant, 502)];
    let gate: [IpAddr; 2] = ["10.20.0.1".parse().unwrap(), "fd00:20::1".parse().unwrap()];
    let reaches = |from: Machine, to: [IpAddr; 2], port: u16, expected: bool| {
        lab.inside(from, || {
            for to in to {
                let reached = connect(to, port).map(drop).map_err(|error| error.kind());
                let expected = if expected { Ok(()) } else { Err(ErrorKind::ConnectionRefused) };
                assert_eq!(reached, expected, "{from:?} to {to} {port}");
            }
        });
    };
    for (from, expected) in
        [(Machine::Office, true), (Machine::Sales, true), (Machine::Admin, true), (Machine::Plant, false)]
    {
        reaches(from, gate, 3128, expected);
        reaches(from, gate, 3129, false);
        reaches(from, gate, 22, from == Machine::Admin);
    }
    for (to, port) in [(Machine::Office, SMB), (Machine::Plant, 502)] {
        reaches(Machine::Admin, to.addresses(), port, true);
    }
    reaches(Machine::Office, Machine::Admin.addresses(), 22, false);
    reaches(Machine::Office, Machine::Plant.addresses(), 502, false);
    reaches(Machine::Plant, Machine::Admin.addresses(), 22, false);
    let counted = |counter| lab.counted(Machine::Gateway, "sekisho", counter);
    assert_eq!((counted("to-management"), counted("to-critical")), (2, 2));
    lab.inside(Machine::Office, || assert_eq!(gate.map(ping), PONG));

    // Nobody outside reaches in, and is not told so.
    lab.inside(Machine::Internet, || {
        for to in Machine::Office.addresses() {
            let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
            UdpSocket::bind((any, 0)).unwrap().send_to(b"hello", (to, SMB)).unwrap();
        }
    });
    wait_for(&lab, "from-outside", 2);
}

/// The internet's machine may be asked, in the protocols of the web and at their ports.
pub(super) const THE_ORIGIN: &str = "[[rule]]\nname = \"the origin\"\nhosts = [\"11.77.0.80\"]\nverdict = \"allow\"\n";

/// A gate on the gateway for the office to use; it ends with this.
pub(super) struct UsedGate {
    process: Child,
    _out: BufReader<ChildStdout>,
}

impl UsedGate {
    pub(super) fn start(lab: &Lab, directory: &Path, policy: &str) -> Self {
        let listen = "[gate]\nlisten = [\"10.20.0.1:3128\", \"[fd00:20::1]:3128\"]\npolicy = \"policy.toml\"\ndata_dir = \"data\"\n";
        std::fs::write(directory.join("policy.toml"), policy).unwrap();
        std::fs::write(directory.join("gate.toml"), format!("{listen}{CONFIG}")).unwrap();
        let mut command = lab.command(Machine::Gateway, env!("CARGO_BIN_EXE_sekisho"));
        command.args(["run", "--config", "gate.toml"]).current_dir(directory);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(process.stdout.take().unwrap());
        let mut said = String::new();
        while !said.contains("\nstop ") {
            assert_ne!(out.read_line(&mut said).unwrap(), 0, "the gate ended early: {said}");
        }
        Self { process, _out: out }
    }
}

impl Drop for UsedGate {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_page_comes_through_the_gate_while_nothing_comes_past_it() {
    let (lab, directory) = (Lab::make(), tempfile::tempdir().unwrap());
    lab.load(Machine::Gateway, &rules(&lab));
    let _gate = UsedGate::start(&lab, directory.path(), THE_ORIGIN);
    let [origin, _] = Machine::Internet.addresses();
    let listener = lab.inside(Machine::Internet, || TcpListener::bind((origin, 80)).unwrap());
    let serving = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut stream, from) = listener.accept().unwrap();
            assert_eq!(from.ip().to_string(), "11.77.0.1", "it is the gate that asks");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage").unwrap();
        }
    });
    for gate in ["10.20.0.1", "fd00:20::1"] {
        lab.inside(Machine::Office, || {
            let mut stream = connect(gate.parse().unwrap(), 3128).unwrap();
            let request = format!("GET http://{origin}/ HTTP/1.1\r\nHost: {origin}\r\nConnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\npage"), "{answer}");
            assert_eq!(connect(origin, 80).unwrap_err().kind(), ErrorKind::ConnectionRefused, "past the gate");
        });
        let closed = lab.inside(Machine::Plant, || connect(gate.parse().unwrap(), 3128).unwrap_err().kind());
        assert_eq!(closed, ErrorKind::ConnectionRefused, "a critical segment does not even reach the gate");
    }
    serving.join().unwrap();
}

#[test]
fn a_connection_from_before_the_rules_cannot_go_on() {
    let lab = Lab::make();
    for to in Machine::Internet.addresses() {
        let listener = lab.inside(Machine::Internet, || TcpListener::bind((to, 443)).unwrap());
        let mut client = lab.inside(Machine::Office, || connect(to, 443).unwrap());
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"before").unwrap();
        server.read_exact(&mut [0; 6]).unwrap();
        lab.load(Machine::Gateway, &rules(&lab));
        client.write_all(b"after").unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        server.set_nonblocking(true).unwrap();
        assert_eq!(server.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock, "it heard nothing more");
        lab.nft(Machine::Gateway, "delete table inet sekisho");
    }
}

#[test]
fn who_is_in_the_set_of_the_isolated_is_cut_off_in_open_connections_too() {
    let lab = Lab::make();
    lab.load(Machine::Gateway, &rules(&lab));
    for (gate, element) in [("10.20.0.1", "isolated { 10.20.0.2 }"), ("fd00:20::1", "isolated6 { fd00:20::2 }")] {
        let gate: IpAddr = gate.parse().unwrap();
        let listener = lab.inside(Machine::Gateway, || TcpListener::bind((gate, 3128)).unwrap());
        let mut client = lab.inside(Machine::Office, || connect(gate, 3128).unwrap());
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"before").unwrap();
        server.read_exact(&mut [0; 6]).unwrap();
        lab.nft(Machine::Gateway, &format!("add element inet sekisho {element}"));
        client.write_all(b"after").unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        let anew = lab.inside(Machine::Office, || connect(gate, 3128).unwrap_err().kind());
        assert_eq!(anew, ErrorKind::ConnectionRefused);
        server.set_nonblocking(true).unwrap();
        assert_eq!(server.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock, "it heard nothing more");
        assert_eq!(
            lab.inside(Machine::Sales, || connect(gate, 3128).map(drop).map_err(|error| error.kind())),
            Ok(()),
            "others go on"
        );
    }
    // In each family what was written, and what was tried anew.
    assert!(lab.counted(Machine::Gateway, "sekisho", "isolated") >= 4);
}
