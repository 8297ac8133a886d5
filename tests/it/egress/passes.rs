//! What the rules let through, by real packets in both families, and what stands next to it and is refused.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, Protocol, Socket, Type};

use super::between::Refusals;
use super::lab::{CONFIG, Lab, Machine, run};
use super::ways_out::{connect, recording_gate, wait_for};
use crate::gate::Start;
use crate::origin::Origin;
use crate::sql::asked;

const WAITS: Duration = Duration::from_secs(20);
/// Beside the internet's own address.
const SECOND: [&str; 2] = ["11.77.0.81", "fd77::81"];
const GATE: [&str; 2] = ["10.20.0.1", "fd00:20::1"];

fn exception(to: &str, protocol: &str, port: u16) -> String {
    format!(
        "[[network.exception]]\nfrom = \"office\"\nto = [{to}]\nprotocol = \"{protocol}\"\nports = [{port}]\n\
         reason = \"a test\"\nuntil = \"2999-12-31\"\n"
    )
}

fn load(lab: &Lab, config: &str) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("c.toml"), config).unwrap();
    let mut command = lab.command(Machine::Gateway, env!("CARGO_BIN_EXE_sekisho"));
    lab.load(
        Machine::Gateway,
        &run(command.args(["egress", "nft", "--config", "c.toml"]).current_dir(directory.path())),
    );
}

fn ip(lab: &Lab, machine: Machine, arguments: &str) -> String {
    run(lab.command(machine, "ip").args(arguments.split(' ')))
}

fn add(lab: &Lab, machine: Machine, addresses: [&str; 2]) {
    ip(lab, machine, &format!("address add {}/24 dev eth0", addresses[0]));
    ip(lab, machine, &format!("address add {}/64 dev eth0 nodad", addresses[1]));
}

fn parsed(addresses: [&str; 2]) -> [IpAddr; 2] {
    addresses.map(|address| address.parse().unwrap())
}

/// Has an address answer datagrams at a port, by so many bytes.
fn answers(lab: &Lab, machine: Machine, (address, port): (IpAddr, u16), bytes: usize) {
    let socket = lab.inside(machine, || UdpSocket::bind((address, port)).unwrap());
    std::thread::spawn(move || {
        while let Ok((_, from)) = socket.recv_from(&mut [0; 2048]) {
            let _ = socket.send_to(&vec![0; bytes], from);
        }
    });
}

/// By which protocol, and what of it.
#[derive(Debug, Clone, Copy)]
enum Asks {
    Tcp(u16),
    Udp(u16),
}

/// How it ends to ask from an address of a machine.
fn asks(lab: &Lab, machine: Machine, (from, to): (IpAddr, IpAddr), asks: Asks) -> Result<(), ErrorKind> {
    let (kind, port) = match asks {
        Asks::Tcp(port) => (Type::STREAM, port),
        Asks::Udp(port) => (Type::DGRAM, port),
    };
    lab.inside(machine, || {
        let socket = Socket::new(Domain::for_address(SocketAddr::new(from, 0)), kind, None).unwrap();
        socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        socket.set_read_timeout(Some(WAITS)).unwrap();
        let asked = socket.connect(&SocketAddr::new(to, port).into()).and_then(|()| match asks {
            Asks::Tcp(_) => Ok(()),
            Asks::Udp(_) => {
                socket.send(b"question")?;
                (&socket).read(&mut [0; 2048]).map(drop)
            }
        });
        asked.map_err(|error| error.kind())
    })
}

/// How a refusal is told: by a reset, or by ICMP.
fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::PermissionDenied)
}

/// Who begins what with a machine.
const HEARS: &str = "
table inet hears {
    set heard {
        type ipv4_addr . ipv4_addr . inet_proto . inet_service
        flags dynamic
        size 1000
    }
    set heard6 {
        type ipv6_addr . ipv6_addr . inet_proto . inet_service
        flags dynamic
        size 1000
    }
    chain input {
        type filter hook input priority filter;
        ct state new meta l4proto { tcp, udp } update @heard { ip saddr . ip daddr . meta l4proto . th dport }
        ct state new meta l4proto { tcp, udp } update @heard6 { ip6 saddr . ip6 daddr . meta l4proto . th dport }
    }
}
";
const LISTENERS: [Machine; 5] = [Machine::Office, Machine::Sales, Machine::Plant, Machine::Admin, Machine::Internet];

/// What was refused, and what was let through.
#[derive(Default)]
struct Tried {
    refusals: Refusals,
    reached: BTreeSet<String>,
}

impl Tried {
    /// That each heard what was let through, and nothing else.
    fn alone_are_heard(&self, lab: &Lab) {
        let mut heard = BTreeSet::new();
        for (machine, set) in LISTENERS.into_iter().flat_map(|machine| [(machine, "heard"), (machine, "heard6")]) {
            let listed = run(lab.command(machine, "nft").args(["-j", "list", "set", "inet", "hears", set]));
            let listed: Value = serde_json::from_str(&listed).unwrap();
            let set = listed["nftables"].as_array().unwrap().iter().find(|entry| entry["set"].is_object()).unwrap();
            for element in set["set"]["elem"].as_array().into_iter().flatten() {
                let [from, to, protocol, port] = [0, 1, 2, 3].map(|at| &element["concat"][at]);
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                heard.insert(format!("{} {} {} {port}", text(from), text(to), text(protocol)));
            }
        }
        assert_eq!(heard, self.reached);
    }
}

/// Each reaches, where no rule is named, and is refused by the rule that is.
fn holds(lab: &Lab, tried: &mut Tried, machine: Machine, ends: [[IpAddr; 2]; 2], each: &[(Asks, Option<&str>)]) {
    let [from, to] = ends;
    for (from, to) in from.into_iter().zip(to) {
        for (what, rule) in each {
            let ended = asks(lab, machine, (from, to), *what);
            let (port, protocol) = match what {
                Asks::Tcp(port) => (*port, "tcp"),
                Asks::Udp(port) => (*port, "udp"),
            };
            let Some(rule) = rule else {
                assert_eq!(ended, Ok(()), "{from} to {to} {what:?}");
                tried.reached.insert(format!("{from} {to} {protocol} {port}"));
                continue;
            };
            assert!(ended.is_err_and(is_refusal), "{from} to {to} {what:?}: {ended:?}");
            tried.refusals.add((from, to), Some(port), protocol, rule);
        }
    }
}

#[test]
fn resolvers_time_servers_and_what_an_exception_names_are_reached_and_nothing_beside_them() {
    use Asks::{Tcp, Udp};
    let lab = Lab::make();
    add(&lab, Machine::Internet, SECOND);
    let named =
        "[network]\nresolvers = [\"11.77.0.80\", \"fd77::80\"]\ntime_servers = [\"11.77.0.81\", \"fd77::81\"]\n";
    let printer = exception("\"sales\"", "tcp", 9100);
    load(&lab, &(CONFIG.replace("[network]\n", named) + &printer));
    let mut gate = recording_gate(&lab);
    let (resolvers, clocks) = (Machine::Internet.addresses(), parsed(SECOND));
    let listen = |machine, port: u16| lab.inside(machine, || TcpListener::bind(("::", port)).unwrap());
    let outside = [53, 123, 443, 853].map(|port| listen(Machine::Internet, port));
    for address in resolvers.into_iter().chain(clocks) {
        [53, 123, 853].into_iter().for_each(|port| answers(&lab, Machine::Internet, (address, port), 8));
    }
    let printers = [Machine::Office, Machine::Sales].map(|machine| {
        machine.addresses().into_iter().for_each(|address| answers(&lab, machine, (address, 9100), 8));
        [9100, 9101].map(|port| listen(machine, port))
    });

    LISTENERS.into_iter().for_each(|machine| lab.load(machine, HEARS));
    let mut tried = Tried::default();
    for machine in [Machine::Office, Machine::Sales, Machine::Admin] {
        let own = machine.addresses();
        holds(
            &lab,
            &mut tried,
            machine,
            [own, resolvers],
            &[
                (Udp(53), None),
                (Tcp(53), None),
                (Tcp(853), None),
                (Udp(853), Some("out-dns")),
                (Udp(123), Some("out-udp")),
                (Tcp(443), Some("out-tcp")),
            ],
        );
        holds(
            &lab,
            &mut tried,
            machine,
            [own, clocks],
            &[
                (Udp(123), None),
                (Tcp(123), Some("out-tcp")),
                (Udp(53), Some("out-dns")),
                (Tcp(53), Some("out-dns")),
                (Tcp(853), Some("out-dns")),
            ],
        );
    }
    let plant = Machine::Plant.addresses();
    let closed = [(Udp(53), Some("critical-udp")), (Tcp(53), Some("critical-tcp"))];
    holds(&lab, &mut tried, Machine::Plant, [plant, resolvers], &closed);
    holds(&lab, &mut tried, Machine::Plant, [plant, clocks], &[(Udp(123), Some("critical-udp"))]);

    let (office, sales) = (Machine::Office.addresses(), Machine::Sales.addresses());
    let other = Some("peer-other");
    let by_office = [(Tcp(9100), None), (Tcp(9101), other), (Udp(9100), other), (Tcp(445), Some("peer-smb"))];
    holds(&lab, &mut tried, Machine::Office, [office, sales], &by_office);
    holds(&lab, &mut tried, Machine::Sales, [sales, office], &[(Tcp(9100), other)]);
    holds(&lab, &mut tried, Machine::Plant, [plant, sales], &[(Tcp(9100), Some("critical-tcp"))]);

    tried.refusals.are_counted(&lab);
    tried.alone_are_heard(&lab);
    gate.records();
    tried.refusals.are_on_record(&gate.data_dir());
    drop((outside, printers));
}

/// The lab with the gate as a machine of its own, in a network of its own, and servers where sales were.
fn with_servers() -> String {
    let mut config = CONFIG.to_owned();
    for (old, new) in [
        ("gate = [\"10.20.0.1\", \"fd00:20::1\"]", "gate = [\"10.40.0.2\", \"fd00:40::2\"]"),
        ("role = \"clients\"\naddresses = [\"10.21", "role = \"servers\"\naddresses = [\"10.21"),
        ("role = \"management\"", "role = \"gateway\""),
        ("role = \"critical\"", "role = \"critical\"\nthrough_gate = true"),
    ] {
        assert!(config.contains(old), "{old}");
        config = config.replace(old, new);
    }
    config
}

#[test]
fn servers_and_the_gates_own_network_reach_and_are_reached_as_their_roles_say() {
    use Asks::{Tcp, Udp};
    let lab = Lab::make();
    let neighbour = ["10.40.0.3", "fd00:40::3"];
    add(&lab, Machine::Admin, neighbour);
    load(&lab, &with_servers());
    let mut recording = recording_gate(&lab);
    let listen = |machine, port: u16| lab.inside(machine, || TcpListener::bind(("::", port)).unwrap());
    let listening: Vec<_> = [Machine::Office, Machine::Sales, Machine::Plant, Machine::Admin, Machine::Internet]
        .into_iter()
        .flat_map(|machine| [22, 443, 3128].map(|port| listen(machine, port)))
        .collect();
    let outside = Machine::Internet.addresses();
    for address in outside {
        [53, 123, 443].into_iter().for_each(|port| answers(&lab, Machine::Internet, (address, port), 8));
    }
    let [office, servers, plant, gate] =
        [Machine::Office, Machine::Sales, Machine::Plant, Machine::Admin].map(Machine::addresses);
    let neighbour = parsed(neighbour);
    LISTENERS.into_iter().for_each(|machine| lab.load(machine, HEARS));
    let mut tried = Tried::default();
    let mut holds = |machine, from, to, each: &[(Asks, Option<&str>)]| {
        holds(&lab, &mut tried, machine, [from, to], each);
    };

    // Clients reach servers, and of the gate's network the gate at its port alone.
    holds(Machine::Office, office, servers, &[(Tcp(22), None), (Tcp(443), None)]);
    let gate_alone = [(Tcp(3128), None), (Tcp(22), Some("to-gateway"))];
    holds(Machine::Office, office, gate, &gate_alone);
    holds(Machine::Office, office, neighbour, &[(Tcp(3128), Some("to-gateway"))]);
    // Servers reach the gate, and begin nothing with clients, with what is critical, or outside.
    holds(Machine::Sales, servers, gate, &gate_alone);
    holds(Machine::Sales, servers, neighbour, &[(Tcp(3128), Some("to-gateway"))]);
    holds(Machine::Sales, servers, office, &[(Tcp(443), Some("to-clients"))]);
    holds(Machine::Sales, servers, plant, &[(Tcp(22), Some("to-critical"))]);
    let no_way = [(Tcp(443), Some("out-tcp")), (Udp(443), Some("out-quic")), (Udp(53), Some("out-dns"))];
    holds(Machine::Sales, servers, outside, &no_way);
    // The gate reaches outside and servers.
    let dials = [(Tcp(443), None), (Tcp(22), None), (Udp(53), None), (Udp(123), None), (Udp(443), Some("gate-other"))];
    holds(Machine::Admin, gate, outside, &dials);
    holds(Machine::Admin, gate, servers, &[(Tcp(443), None)]);
    for (to, inside) in [(office, "gate-inside"), (plant, "gate-inside")] {
        holds(Machine::Admin, gate, to, &[(Tcp(443), Some(inside))]);
    }
    // Who stands beside it does not.
    holds(Machine::Admin, neighbour, outside, &no_way);
    holds(Machine::Admin, neighbour, servers, &[(Tcp(443), Some("to-servers"))]);
    holds(Machine::Admin, neighbour, office, &[(Tcp(443), Some("to-clients"))]);
    // What is critical reaches the gate at its port, where its segment says so, and nothing else.
    holds(Machine::Plant, plant, gate, &[(Tcp(3128), None), (Tcp(22), Some("critical-tcp"))]);
    for to in [neighbour, servers, outside] {
        holds(Machine::Plant, plant, to, &[(Tcp(443), Some("critical-tcp"))]);
    }

    tried.refusals.are_counted(&lab);
    tried.alone_are_heard(&lab);
    recording.records();
    tried.refusals.are_on_record(&recording.data_dir());
    drop(listening);
}

/// Waits until a machine knows that its way to an address is as narrow as that.
fn learns(lab: &Lab, machine: Machine, to: IpAddr, mtu: &str) {
    let deadline = Instant::now() + WAITS;
    loop {
        let route = ip(lab, machine, &format!("route get {to}"));
        if route.contains(mtu) {
            return;
        }
        assert!(Instant::now() < deadline, "{machine:?} never learnt {mtu} to {to}: {route}");
        std::thread::yield_now();
    }
}

/// Fragmentation needed, to 600 bytes, about a datagram that the machine had never sent (RFC 1191).
fn unasked(from: IpAddr, to: IpAddr) -> Vec<u8> {
    let (IpAddr::V4(from), IpAddr::V4(to)) = (from, to) else { panic!("of IPv4") };
    let mut packet = vec![3, 4, 0, 0, 0, 0, 2, 88, 0x45, 0, 5, 220, 0, 1, 0x40, 0, 64, 17, 0, 0];
    packet.extend([to.octets(), from.octets()].concat());
    packet.extend([0x9c, 0x40, 0x11, 0x5c, 5, 200, 0, 0]);
    let sum: u32 = packet.chunks(2).map(|pair| (u32::from(pair[0]) << 8) + u32::from(pair[1])).sum();
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

#[test]
fn how_narrow_a_way_is_comes_back_to_who_sent_and_no_other_icmp_comes_in() {
    let lab = Lab::make();
    // A router outside, and a narrow link behind it.
    for line in [
        "link add narrow mtu 1280 type veth peer name far",
        "link set narrow up",
        "link set far up",
        "address add 11.78.0.1/24 dev narrow",
        "address add fd78::1/64 dev narrow nodad",
    ] {
        ip(&lab, Machine::Internet, line);
    }
    lab.inside(Machine::Internet, || {
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            std::fs::write(format!("/proc/sys/net/{key}"), "1").unwrap();
        }
    });
    ip(&lab, Machine::Gateway, "route add 11.78.0.0/24 via 11.77.0.80");
    ip(&lab, Machine::Gateway, "route add fd78::/64 via fd77::80");
    let behind = parsed(["11.78.0.9", "fd78::9"]);
    let to = "\"11.78.0.9\", \"fd78::9\", \"11.77.0.80\", \"fd77::80\"";
    load(&lab, &format!("{CONFIG}{}", exception(to, "udp", 4444)));
    let send = |machine, to: IpAddr| {
        lab.inside(machine, || {
            let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
            let socket = UdpSocket::bind((any, 0)).unwrap();
            socket.connect((to, 4444)).unwrap();
            socket.send(&[0; 1400]).unwrap();
        });
    };
    for to in behind {
        for machine in [Machine::Office, Machine::Gateway] {
            assert!(!ip(&lab, machine, &format!("route get {to}")).contains("mtu"));
            send(machine, to);
            learns(&lab, machine, to, "mtu 1280");
        }
    }
    // The gateway's own link is the narrow one.
    ip(&lab, Machine::Gateway, "link set wan0 mtu 1300");
    for to in Machine::Internet.addresses() {
        send(Machine::Office, to);
        learns(&lab, Machine::Office, to, "mtu 1300");
    }

    // Of a datagram that was never sent nobody is told, nor does a stranger ping.
    let [office, _] = Machine::Office.addresses();
    let [internet, _] = Machine::Internet.addresses();
    lab.inside(Machine::Internet, || {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
        socket.send_to(&unasked(internet, office), &SocketAddr::new(office, 0).into()).unwrap();
        socket.send_to(&[8, 0, 0xf7, 0xff, 0, 0, 0, 0], &SocketAddr::new(office, 0).into()).unwrap();
    });
    wait_for(&lab, "from-outside", 2);
    assert!(ip(&lab, Machine::Office, &format!("route get {internet}")).contains("mtu 1300"));
}

/// Packets and bytes of a counter.
fn counted(lab: &Lab, counter: &str) -> [u64; 2] {
    let listed = lab.nft(Machine::Gateway, &format!("list counter inet sekisho {counter}"));
    ["packets ", "bytes "].map(|name| {
        let number = listed.split_once(name).unwrap().1;
        number.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    })
}

#[test]
fn each_segment_is_counted_in_both_directions_by_packets_and_bytes() {
    let lab = Lab::make();
    load(&lab, &format!("{CONFIG}{}", exception("\"11.77.0.80\", \"fd77::80\"", "udp", 4444)));
    // The gateway's answers to who asks for its cable would count as sent to the office.
    lab.acquaint(Machine::Office);
    for (own, length) in Machine::Office.addresses().into_iter().zip([28, 48]) {
        let to = Machine::Internet.addresses()[usize::from(own.is_ipv6())];
        answers(&lab, Machine::Internet, (to, 4444), 500);
        let before = ["segment-office-out", "segment-office-in"].map(|counter| counted(&lab, counter));
        lab.inside(Machine::Office, || {
            let socket = UdpSocket::bind((own, 0)).unwrap();
            socket.set_read_timeout(Some(WAITS)).unwrap();
            for _ in 0..10 {
                socket.send_to(&[0; 1000], (to, 4444)).unwrap();
                assert_eq!(socket.recv(&mut [0; 2048]).unwrap(), 500);
            }
        });
        let after = ["segment-office-out", "segment-office-in"].map(|counter| counted(&lab, counter));
        let more = |at: usize| [after[at][0] - before[at][0], after[at][1] - before[at][1]];
        assert_eq!((more(0), more(1)), ([10, 10 * (1000 + length)], [10, 10 * (500 + length)]), "{own}");

        // What is refused was sent all the same.
        let before = counted(&lab, "segment-sales-out");
        lab.inside(Machine::Sales, || {
            let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
            let socket = UdpSocket::bind((any, 0)).unwrap();
            (0..5).for_each(|_| assert_eq!(socket.send_to(&[0; 100], (to, 4444)).unwrap(), 100));
        });
        wait_for(&lab, "out-udp", if to.is_ipv4() { 5 } else { 10 });
        let after = counted(&lab, "segment-sales-out");
        assert_eq!([after[0] - before[0], after[1] - before[1]], [5, 5 * (100 + length)], "{own}");
    }
}

/// What each may be asked for, at the internet's addresses.
const OF_EACH: &str = r#"
[clients]
plant = { addresses = ["10.50.0.0/24", "fd00:50::/64"] }
office = { addresses = ["10.20.0.0/24", "fd00:20::/64"] }
[[rule]]
name = "the maker of the machines"
clients = ["plant"]
hosts = ["11.77.0.80"]
verdict = "allow"
[[rule]]
name = "the web"
clients = ["office"]
hosts = ["11.77.0.81"]
verdict = "allow"
"#;

#[test]
fn a_critical_segment_goes_by_the_gate_where_it_may_under_a_policy_of_its_own() {
    let lab = Lab::make();
    add(&lab, Machine::Internet, SECOND);
    let network = CONFIG.replace("role = \"critical\"\n", "role = \"critical\"\nthrough_gate = true\n");
    load(&lab, &network);
    let origin = Origin::start_on(lab.inside(Machine::Internet, || TcpListener::bind(("::", 80)).unwrap()));
    let before = format!("exec ip netns exec {} \"$0\" \"$@\"", lab.name(Machine::Gateway));
    let listen = Some("[::]:3128".parse().unwrap());
    let mut gate = Start { policy: OF_EACH, config: &network, listen, before: &before, ..Start::default() }.gate();
    let mut expected = Vec::new();
    for (family, by) in parsed(GATE).into_iter().enumerate() {
        for (machine, own) in [(Machine::Plant, "11.77.0.80"), (Machine::Office, "11.77.0.81")] {
            for host in ["11.77.0.80", "11.77.0.81"] {
                let answer = lab.inside(machine, || {
                    let mut stream = connect(by, 3128).unwrap();
                    let head = format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
                    stream.write_all(head.as_bytes()).unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).map(|_| answer).unwrap()
                });
                let is_own = host == own;
                assert!(answer.starts_with(if is_own { "HTTP/1.1 200 " } else { "HTTP/1.1 403 " }), "{answer}");
                let rule = if machine == Machine::Plant { "the maker of the machines" } else { "the web" };
                let verdict = if is_own { ("allow", json!(rule)) } else { ("deny", json!(null)) };
                let client = machine.addresses()[family];
                expected.push(json!({ "client": client, "host": host, "verdict": verdict.0, "rule": verdict.1 }));
            }
        }
        // And past it there is no way, to either.
        for to in ["11.77.0.80", "11.77.0.81"] {
            let past = lab.inside(Machine::Plant, || connect(to.parse().unwrap(), 80).unwrap_err().kind());
            assert_eq!(past, ErrorKind::ConnectionRefused, "{to}");
        }
    }
    assert_eq!(origin.seen().len(), 4);
    assert_eq!(lab.counted(Machine::Gateway, "sekisho", "critical-tcp"), 4);
    gate.records();
    let statement = "SELECT client, host, verdict, rule FROM exchanges ORDER BY seq";
    assert_eq!(asked(&gate.data_dir(), statement), expected);
}
