//! Attempts past the proxy, from the kernel and from other firewalls to the journal: real rules, real packets, in network
//! namespaces of their own.
//!
//! ```text
//! client 10.20.0.2, fd20::2 ── 10.20.0.1 gateway 11.77.0.1 ── 11.77.0.80, fd77::80 server
//!                              nftables + the gate
//! ```
//!
//! Needs root, `ip`, `nft` and `setpriv`.

mod network;

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::net::netlink::NETFILTER;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, socket_with};
use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::gate::{Gate, Notices, Start, rounds, status_of};
use network::{Counter, Machine, Network};

const LIMIT: Duration = Duration::from_secs(30);

const WALL: &str = r#"
table inet wall {
    counter refused {}
    counter dropped {}
    chain forward {
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname inside tcp dport 8080 accept
        iifname inside tcp dport 8082 accept
        iifname inside udp dport 10000-60000 accept
        iifname inside meta l4proto tcp counter name refused log prefix "sekisho:refused:out-tcp " group 5 reject with tcp reset
        iifname inside meta l4proto udp counter name dropped log prefix "sekisho:dropped:out-udp " group 5 drop
        iifname inside log prefix "other firewall: " group 5 drop
    }
}
"#;

/// The same machines as `[network]` has them.
const OURS: &str = r#"
[network]
gate = ["10.20.0.1", "fd20::1"]
outside = ["outside"]
[network.segments.office]
role = "clients"
addresses = ["10.20.0.0/24", "fd20::/64"]
interface = "inside"
"#;

/// What `sekisho egress nft` prints of them.
fn our_rules() -> String {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("c.toml"), OURS).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let output = command.args(["egress", "nft", "--config", "c.toml"]).current_dir(directory.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A gate on the gateway, once it reads all that it is to read.
fn gate(network: &Network, config: &str) -> Gate {
    let before = format!("exec ip netns exec {} \"$0\" \"$@\"", network.name(Machine::Gateway));
    let gate = Start { config, before: &before, ..Start::default() }.gate();
    wait_for(&gate.data_dir(), |sources| !sources.is_empty() && sources.iter().all(|source| source["reading"] == true));
    gate
}

/// How the sources stand, as `status` says.
fn sources(data_dir: &Path) -> Vec<Value> {
    status_of(data_dir)["flows"].as_array().cloned().unwrap_or_default()
}

fn wait_for(data_dir: &Path, are_there: impl Fn(&[Value]) -> bool) {
    let begun = Instant::now();
    loop {
        let sources = sources(data_dir);
        if are_there(&sources) {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{sources:#?}");
        std::thread::yield_now();
    }
}

fn flows(records: &[Value]) -> Vec<&Value> {
    records.iter().filter(|record| record["kind"] == "flow").collect()
}

fn is_refused(to: &str) {
    let to: SocketAddr = to.parse().unwrap();
    let error = TcpStream::connect_timeout(&to, LIMIT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{to}");
}

fn send(to: &str, times: usize) {
    let to: SocketAddr = to.parse().unwrap();
    let socket = UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).unwrap();
    for _ in 0..times {
        assert_eq!(socket.send_to(b"x", to).unwrap(), 1);
    }
}

/// Sends an echo request of this type, RFC 792 and RFC 4443; nobody looks at its checksum before the firewall.
fn ping(to: &str, protocol: Protocol, kind: u8) {
    let to: SocketAddr = to.parse().unwrap();
    let socket = Socket::new(Domain::for_address(to), Type::RAW, Some(protocol)).unwrap();
    assert_eq!(socket.send_to(&[kind, 0, 0, 0, 0, 1, 0, 1], &to.into()).unwrap(), 8);
}

/// Those of a rule: client, address, port, protocol and state, and how many they sum to.
fn sums(records: &[Value], rule: &str) -> Vec<(String, u64)> {
    let mut sums: Vec<(String, u64)> = Vec::new();
    for flow in flows(records).into_iter().filter(|flow| flow["rule"] == rule) {
        let text = |key: &str| flow[key].as_str().unwrap_or("-").to_owned();
        let [client, address, protocol, state] = ["client", "address", "protocol", "state"].map(text);
        let what = format!("{client} {address} {} {protocol} {state}", flow["port"]);
        assert!(flow["first"].as_str() <= flow["last"].as_str(), "{flow:#}");
        let count = flow["count"].as_u64().unwrap();
        match sums.iter_mut().find(|(sum, _)| *sum == what) {
            Some((_, sum)) => *sum += count,
            None => sums.push((what, count)),
        }
    }
    sums.sort();
    sums
}

fn sum(what: &str, count: u64) -> (String, u64) {
    (what.to_owned(), count)
}

#[test]
fn what_the_firewall_stops_is_on_record_with_client_destination_port_state_and_rule() {
    let network = Network::make(WALL);
    let mut gate = gate(&network, "[flows]\nnflog_group = 5\n");
    network.inside(Machine::Client, || {
        for to in ["11.77.0.80:4444", "11.77.0.80:4444", "11.77.0.80:443", "[fd77::80]:4444"] {
            is_refused(to);
        }
        send("11.77.0.80:53", 3);
        send("[fd77::80]:443", 2);
        ping("11.77.0.80:0", Protocol::ICMPV4, 8);
        ping("[fd77::80]:0", Protocol::ICMPV6, 128);
    });
    let (tcp, udp) = (network.counter("refused"), network.counter("dropped"));
    let records = gate.records();
    assert_eq!(
        sums(&records, "out-tcp"),
        [
            sum("10.20.0.2 11.77.0.80 443 tcp refused", 1),
            sum("10.20.0.2 11.77.0.80 4444 tcp refused", 2),
            sum("fd20::2 fd77::80 4444 tcp refused", 1),
        ]
    );
    assert_eq!(
        sums(&records, "out-udp"),
        [sum("10.20.0.2 11.77.0.80 53 udp dropped", 3), sum("fd20::2 fd77::80 443 udp dropped", 2)]
    );
    assert_eq!((tcp, udp), (4, 5));
    // Of what another firewall logs it is not said what became of it.
    assert_eq!(
        sums(&records, "other firewall:"),
        [sum("10.20.0.2 11.77.0.80 null icmp -", 1), sum("fd20::2 fd77::80 null icmpv6 -", 1)]
    );
    assert!(flows(&records).iter().all(|flow| flow["source"] == "nflog" && flow["rolled_up"].is_null()));
    assert!(!records.iter().any(|record| record["kind"] == "gap"), "{records:#?}");
    let told = records.iter().find(|record| record["kind"] == "health" && record["subject"] == "flows").unwrap();
    assert_eq!((&told["level"], &told["detail"]), (&"read".into(), &"nflog group 5".into()));
}

#[test]
fn a_burst_is_few_records_whose_counts_are_what_the_firewall_counted() {
    let network = Network::make(WALL);
    let mut gate = gate(&network, "[flows]\nnflog_group = 5\n");
    network.inside(Machine::Client, || {
        send("11.77.0.80:53", 5000);
        send("[fd77::80]:53", 5000);
    });
    let counted = network.counter("dropped");
    let records = gate.records();
    let of_rule = sums(&records, "out-udp");
    let total: u64 = of_rule.iter().map(|(_, count)| count).sum();
    assert_eq!((total, missed(&records)), (counted, 0));
    assert_eq!(of_rule.len(), 2, "{of_rule:?}");
    assert!(flows(&records).len() < 60, "{}", flows(&records).len());
}

/// Sends to so many ports, one packet each and one after the other, as fast as it goes; so many times, and for so long.
fn flood(ports: std::ops::Range<u16>, times: usize, at_least: Duration) {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let (begun, mut rounds) = (Instant::now(), 0);
    while rounds < times || begun.elapsed() < at_least {
        for port in ports.clone() {
            // The cable holds only so much.
            while socket.send_to(b"x", ("11.77.0.80", port)).is_err() {}
        }
        rounds += 1;
    }
}

/// Sends packets until the gate has told of all that the firewall has counted: what was dropped last is known with the next.
fn settle(network: &Network, gate: &Gate, counter: Counter) {
    let begun = Instant::now();
    loop {
        network.inside(Machine::Client, || send("11.77.0.80:999", 1));
        let (sources, counted) = (sources(&gate.data_dir()), network.counter_of(counter));
        let told = sources[0]["seen"].as_u64().unwrap() + sources[0]["lost"].as_u64().unwrap();
        assert!(told <= counted, "{sources:#?}");
        if told == counted {
            return;
        }
        assert!(begun.elapsed() < LIMIT, "{counted}: {sources:#?}");
    }
}

/// More than it holds by itself.
const MEMORY_MAX: u64 = 64 << 20;
const DROPPED: Counter = Counter { table: "wall", name: "dropped" };
/// By our own rules, which tell who is refused.
const REFUSED: Counter = Counter { table: "sekisho", name: "out-udp" };

/// With `SEKISHO_LONG=1` for ten seconds.
#[test]
fn a_flood_loses_no_count_and_takes_no_memory() {
    let network = Network::make(&our_rules());
    let mut gate = gate(&network, "[flows]\nnflog_group = 5\n");
    let seconds = rounds(0, 10);
    let begun = Instant::now();
    network.inside(Machine::Client, || flood(1000..9000, 25, Duration::from_secs(seconds)));
    let (took, in_time) = (begun.elapsed(), network.counter_of(REFUSED));
    settle(&network, &gate, REFUSED);
    let (counted, memory) = (network.counter_of(REFUSED), gate.peak_memory());
    let records = gate.records();
    let flows = flows(&records);
    let told: u64 = flows.iter().map(|flow| flow["count"].as_u64().unwrap()).sum();
    let rolled: Vec<_> = flows.iter().filter(|flow| flow["rolled_up"].is_u64()).collect();
    println!(
        "{in_time} packets refused in {} ms, {counted} in all: {} records, {} of them rolled up; {} missed; {} MiB",
        took.as_millis(),
        flows.len(),
        rolled.len(),
        missed(&records),
        memory >> 20
    );
    assert!(in_time >= 200_000);
    let a_second = u128::from(in_time) * 1000 / took.as_millis();
    assert!(seconds == 0 || a_second >= 50_000, "{a_second} a second are no flood");
    assert_eq!(told + missed(&records), counted);
    assert!(memory < MEMORY_MAX, "{memory}");
    let mut seconds = BTreeMap::<_, usize>::new();
    for flow in &flows {
        assert_eq!(flow["state"], "refused", "{flow:#}");
        assert!(flow["rule"] == "out-udp" || flow["rolled_up"].is_u64(), "{flow:#}");
        *seconds.entry(&flow["first"].as_str().unwrap()[..19]).or_default() += 1;
    }
    // Those told apart, and one for the rest: there is one client, whose packets are all refused.
    assert!(!rolled.is_empty() && seconds.values().all(|records| *records <= 2001), "{seconds:?}");
    assert!(rolled.iter().all(|flow| flow["client"] == "10.20.0.2" && flow["port"].is_null()), "{rolled:#?}");
}

#[test]
fn what_the_kernel_could_not_hand_over_is_a_gap_that_counts_it() {
    let network = Network::make(WALL);
    let mut gate = gate(&network, "[flows]\nnflog_group = 5\n");
    gate.signal("-STOP");
    network.inside(Machine::Client, || flood(1000..9000, 25, Duration::ZERO));
    gate.signal("-CONT");
    settle(&network, &gate, DROPPED);
    let (counted, memory) = (network.counter("dropped"), gate.peak_memory());
    let records = gate.records();
    let told: u64 = flows(&records).iter().map(|flow| flow["count"].as_u64().unwrap()).sum();
    let missed = missed(&records);
    println!("{counted} packets: {told} told, {missed} missed; {} MiB", memory >> 20);
    assert!(missed > 0, "what lies ready in the kernel is bounded");
    assert_eq!(told + missed, counted);
    assert!(memory < MEMORY_MAX, "{memory}");
    let gap = records.iter().find(|record| record["cause"] == "flows_lost").unwrap();
    assert!(gap["detail"].as_str().unwrap().starts_with("nflog group 5: "), "{gap:#}");
}

#[test]
fn without_the_right_to_read_it_the_gate_says_so_and_goes_on() {
    let network = Network::make(WALL);
    let notices = Notices::new();
    let before = format!(
        "{}\nexec ip netns exec {} setpriv --bounding-set -net_admin \"$0\" \"$@\"",
        notices.before(),
        network.name(Machine::Gateway)
    );
    let config = "[flows]\nnflog_group = 5\nconntrack = true\n";
    let mut gate = Start { config, before: &before, ..Start::default() }.gate();
    notices.until("attempts past the proxy are not on record: nflog group 5: the gate has no CAP_NET_ADMIN");
    wait_for(&gate.data_dir(), |sources| sources.iter().all(|source| source["error"].is_string()));
    let sources = sources(&gate.data_dir());
    assert!(sources.iter().all(|source| source["reading"] == false), "{sources:#?}");
    let records = gate.records();
    let told: Vec<_> = records.iter().filter(|record| record["subject"] == "flows").collect();
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told.iter().all(|record| record["level"] == "unread"), "{told:#?}");
}

/// Has the gateway forget all connections that it tracks, as `conntrack -F` does.
fn forget_connections(network: &Network) {
    network.inside(Machine::Gateway, || {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(NETFILTER)).unwrap();
        // IPCTNL_MSG_CT_DELETE, to be acknowledged.
        let mut request = vec![20, 0, 0, 0, 2, 1, 5, 0];
        request.resize(20, 0);
        assert_eq!(rustix::net::send(&socket, &request, SendFlags::empty()).unwrap(), request.len());
        let mut answer = [0; 64];
        let (_, length) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty()).unwrap();
        assert_eq!(answer[16..20], [0; 4], "{:?}", &answer[..length]);
    });
}

/// Takes connections at an address of the server: reads up to the end, and answers with so many bytes.
fn serve(network: &Network, address: &str, answer: usize) -> std::thread::JoinHandle<()> {
    let listener = network.inside(Machine::Server, || TcpListener::bind(address).unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_to_end(&mut Vec::new()).unwrap();
        stream.write_all(&vec![7; answer]).unwrap();
    })
}

#[test]
fn connections_that_stand_end_or_go_unanswered_are_on_record_with_what_they_carried() {
    let network = Network::make(WALL);
    let mut gate = gate(&network, "[flows]\nnflog_group = 5\nconntrack = true\n");
    for (address, bind) in [("11.77.0.80:8080", "0.0.0.0:8080"), ("[fd77::80]:8080", "[fd77::80]:8080")] {
        let served = serve(&network, bind, 5000);
        network.inside(Machine::Client, || {
            let mut stream = TcpStream::connect_timeout(&address.parse().unwrap(), LIMIT).unwrap();
            stream.write_all(&[1; 700]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).unwrap();
            assert_eq!(answer.len(), 5000);
        });
        served.join().unwrap();
    }
    network.inside(Machine::Client, || {
        is_refused("11.77.0.80:8082");
        is_refused("11.77.0.80:4444");
        send("11.77.0.80:20000", 3);
    });
    forget_connections(&network);
    let records = gate.records();
    let tracked: Vec<_> = flows(&records).into_iter().filter(|flow| flow["source"] == "conntrack").cloned().collect();
    let told = |state: &str| -> Vec<_> {
        let of_state = tracked.iter().filter(|flow| flow["state"] == state);
        of_state
            .map(|flow| format!("{} {} {} {}", flow["client"], flow["address"], flow["port"], flow["protocol"]))
            .collect()
    };
    let both = ["\"10.20.0.2\" \"11.77.0.80\" 8080 \"tcp\"", "\"fd20::2\" \"fd77::80\" 8080 \"tcp\""];
    assert_eq!(told("established"), both, "{tracked:#?}");
    assert_eq!(told("closed").len(), 2, "{tracked:#?}");
    assert_eq!(told("reset"), ["\"10.20.0.2\" \"11.77.0.80\" 8082 \"tcp\""]);
    assert_eq!(told("unanswered"), ["\"10.20.0.2\" \"11.77.0.80\" 20000 \"udp\""]);
    for flow in tracked.iter().filter(|flow| flow["state"] == "closed") {
        let (up, down) = (flow["bytes_up"].as_u64().unwrap(), flow["bytes_down"].as_u64().unwrap());
        assert!((700..2000).contains(&up) && (5000..8000).contains(&down), "{flow:#}");
    }
    let unanswered = tracked.iter().find(|flow| flow["state"] == "unanswered").unwrap();
    assert_eq!((&unanswered["packets"], &unanswered["bytes_down"]), (&3.into(), &0.into()));
    // What the firewall refused is told by its log, and once.
    assert_eq!(sums(&records, "out-tcp"), [sum("10.20.0.2 11.77.0.80 4444 tcp refused", 1)]);
}

/// A connection of the client that stands, and what serves it.
fn stands(network: &Network, to: &str, bind: &str) -> (TcpStream, std::thread::JoinHandle<()>) {
    let served = serve(network, bind, 1);
    let connect = || TcpStream::connect_timeout(&to.parse().unwrap(), LIMIT).unwrap();
    (network.inside(Machine::Client, connect), served)
}

fn ends((mut stream, served): (TcpStream, std::thread::JoinHandle<()>)) {
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_to_end(&mut Vec::new()).unwrap();
    served.join().unwrap();
}

#[test]
fn events_of_connections_that_are_lost_leave_gaps_and_a_dump_tells_which_there_are() {
    let network = Network::make(WALL);
    let mut gate = gate(&network, "[flows]\nconntrack = true\n");
    let before = stands(&network, "[fd77::80]:8080", "[fd77::80]:8080");
    wait_for(&gate.data_dir(), |sources| sources[0]["seen"] == 1);
    // More than lies ready in the kernel: of what follows no event is left, of the end of one nor of the beginning of another.
    gate.signal("-STOP");
    network.inside(Machine::Client, || (0..2).for_each(|_| flood(10_000..60_000, 1, Duration::ZERO)));
    ends(before);
    forget_connections(&network);
    let meanwhile = stands(&network, "11.77.0.80:8080", "0.0.0.0:8080");
    gate.signal("-CONT");
    wait_for(&gate.data_dir(), |sources| sources[0]["seen"] == 2 && sources[0]["lost"] == 1);
    assert!(sources(&gate.data_dir())[0]["overruns"].as_u64() > Some(0));
    ends(meanwhile);
    forget_connections(&network);
    let records = gate.records();
    let gaps: Vec<_> = records
        .iter()
        .filter(|record| record["cause"] == "flows_lost")
        .map(|gap| (gap["detail"].as_str().unwrap(), gap["count"].clone()))
        .collect();
    let (ended, overruns): (Vec<_>, Vec<_>) = gaps.into_iter().partition(|(_, count)| count.is_u64());
    let overran = "conntrack: more connections came and went than could be read";
    assert!(!overruns.is_empty() && overruns.iter().all(|gap| *gap == (overran, Value::Null)), "{overruns:?}");
    assert_eq!(ended, [("conntrack: connections ended while their events could not be read", 1.into())]);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut told: Vec<_> = flows(&records).iter().map(|flow| (text(&flow["state"]), text(&flow["address"]))).collect();
    told.sort();
    let expected = [("closed", "11.77.0.80"), ("established", "11.77.0.80"), ("established", "fd77::80")];
    assert_eq!(told, expected.map(|(state, address)| (state.to_owned(), address.to_owned())));
}

/// What gap records say is missing of flows.
fn missed(records: &[Value]) -> u64 {
    let gaps = records.iter().filter(|record| record["kind"] == "gap");
    let gaps = gaps.filter(|gap| gap["cause"].as_str().unwrap().starts_with("flows_"));
    gaps.filter_map(|gap| gap["count"].as_u64()).sum()
}
