//! A client that is cut off by hand: in the gate and in the kernel, by a process that holds the right to that alone.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use sekisho::evidence::read_time;
use sekisho::facts::Timestamp;
use serde_json::Value;

use super::between::Refusals;
use super::lab::{CONFIG, Lab, Machine, run};
use super::ways_out::{connect, rules};
use crate::gate::{Gate, Start, event_of, records, status_of};

const GATE: [&str; 2] = ["10.20.0.1", "fd00:20::1"];
/// CAP_NET_ADMIN, as a bit.
const NET_ADMIN: u64 = 1 << 12;

/// A gate on the gateway, as root has it, for the office and sales.
fn gate(lab: &Lab, data_dir: &Path) -> Gate {
    gate_with(lab, data_dir, "")
}

/// The same with more of a config.
pub(super) fn gate_with(lab: &Lab, data_dir: &Path, more: &str) -> Gate {
    let before = format!("exec ip netns exec {} \"$0\" \"$@\"", lab.name(Machine::Gateway));
    let config = format!("[flows]\nnflog_group = 5\nconntrack = true\n{CONFIG}{more}");
    let policy = "[[rule]]\nname = \"the origin\"\nhosts = [\"11.77.0.80\"]\nports = [80, 443]\nprotocol = \"any\"\nverdict = \"allow\"\n";
    let listen = Some("10.20.0.1:3128".parse().unwrap());
    let data_dir = Some(data_dir.to_owned());
    Start { policy, config: &config, listen, data_dir, before: &before, ..Start::default() }.gate()
}

pub(super) fn done(arguments: &[&str], data_dir: &Path) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_sekisho")).args(arguments).arg("--data-dir").arg(data_dir).output().unwrap();
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {out}{errors}");
    out.into_owned()
}

/// Effective, permitted, inheritable and bounding capabilities of all threads of a process.
fn capabilities(pid: u32) -> Vec<[u64; 4]> {
    let of_thread = |status: String| {
        ["CapEff:", "CapPrm:", "CapInh:", "CapBnd:"].map(|name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        })
    };
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    threads.map(|thread| of_thread(fs::read_to_string(thread.unwrap().path().join("status")).unwrap())).collect()
}

/// The process that a gate has started.
fn warden_of(gate: &Gate) -> u32 {
    let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", gate.pid())).unwrap();
    children.trim().parse().unwrap()
}

/// An origin outside whose answers never end.
fn endless(lab: &Lab) {
    endless_at(lab, Machine::Internet.addresses()[0]);
}

fn endless_at(lab: &Lab, address: IpAddr) {
    let listener = lab.inside(Machine::Internet, || TcpListener::bind((address, 80)).unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
                if stream.write_all(head).is_ok() {
                    while stream.write_all(&[b'x'; 65536]).is_ok() {}
                }
            });
        }
    });
}

/// A download through the gate that has begun.
fn download(lab: &Lab, from: Machine) -> TcpStream {
    download_of(lab, from, GATE[0], "11.77.0.80")
}

fn download_of(lab: &Lab, from: Machine, gate: &str, host: &str) -> TcpStream {
    lab.inside(from, || {
        let mut stream = connect(gate.parse().unwrap(), 3128).unwrap();
        stream.write_all(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
        stream.read_exact(&mut vec![0; 1 << 20]).unwrap();
        stream
    })
}

fn elements(lab: &Lab, set: &str) -> String {
    let listed = lab.nft(Machine::Gateway, &format!("list set inet sekisho {set}"));
    let elements = listed.split_once("elements = {").map(|(_, rest)| rest.split_once('}').unwrap().0.trim().to_owned());
    elements.unwrap_or_default()
}

#[test]
fn a_client_is_cut_off_in_the_kernel_by_a_process_that_can_do_nothing_else() {
    let (lab, data) = (Lab::make(), tempfile::tempdir().unwrap());
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).unwrap();
    lab.load(Machine::Gateway, &rules(&lab));
    endless(&lab);
    let mut gate = gate(&lab, data.path());
    for sets in capabilities(gate.pid()) {
        assert!(sets.iter().all(|set| set & NET_ADMIN == 0), "the gate has given it up: {sets:x?}");
    }
    for sets in capabilities(warden_of(&gate)) {
        assert_eq!(sets, [NET_ADMIN; 4], "and one process holds that alone");
    }

    // In both families, a running download and a connection past the gate: to the management of the gateway's own.
    let [mut office, mut sales] = [Machine::Office, Machine::Sales].map(|machine| download(&lab, machine));
    let six: IpAddr = "fd00:20::1".parse().unwrap();
    let listener = lab.inside(Machine::Gateway, || TcpListener::bind((six, 3128)).unwrap());
    let mut open = lab.inside(Machine::Office, || connect(six, 3128).unwrap());
    let (mut server, _) = listener.accept().unwrap();
    open.write_all(b"before").unwrap();
    server.read_exact(&mut [0; 6]).unwrap();

    let said = done(&["isolate", "10.20.0.2", "--reason", "calls home"], data.path());
    assert!(said.contains("kernel: cut off, open connections too\n"), "{said}");
    done(&["isolate", "fd00:20::/64", "--reason", "the whole office"], data.path());
    assert_eq!((elements(&lab, "isolated"), elements(&lab, "isolated6")), ("10.20.0.2".into(), "fd00:20::/64".into()));
    let ended = std::iter::repeat_with(|| office.read(&mut [0; 65536])).find(|read| !matches!(read, Ok(1..)));
    assert!(ended.is_some());
    open.write_all(b"after").unwrap();
    assert_eq!(open.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    for to in ["10.20.0.1", "fd00:20::1"] {
        let anew = lab.inside(Machine::Office, || connect(to.parse().unwrap(), 3128).unwrap_err().kind());
        assert_eq!(anew, ErrorKind::ConnectionRefused, "{to}");
    }
    sales.read_exact(&mut vec![0; 1 << 20]).unwrap();

    // Rules that are put in force anew keep it, a gate that is killed does not end it, and the next one goes on.
    gate.end("-KILL");
    assert_eq!(elements(&lab, "isolated"), "10.20.0.2");
    lab.load(Machine::Gateway, &rules(&lab));
    assert_eq!(elements(&lab, "isolated"), "", "loaded past the gate, they know of nobody");
    let mut gate = self::gate(&lab, data.path());
    let status = until(data.path(), |status| {
        let places =
            status["isolated"].as_array().into_iter().flatten().map(|one| one["elsewhere"][0]["state"].clone());
        let reads = status["flows"].as_array().is_some_and(|all| all.iter().all(|one| one["reading"] == true));
        reads && places.clone().count() == 2 && places.clone().all(|state| state == "done")
    });
    assert_eq!(status["isolated"][0]["elsewhere"][0]["place"], "kernel");
    assert_eq!(elements(&lab, "isolated"), "10.20.0.2");
    for to in GATE {
        let anew = lab.inside(Machine::Office, || connect(to.parse().unwrap(), 3128).unwrap_err().kind());
        assert_eq!(anew, ErrorKind::ConnectionRefused, "{to}");
    }

    // Without rules of ours nobody is cut off there, and that is said.
    done(&["release", "fd00:20::/64"], data.path());
    lab.nft(Machine::Gateway, "delete table inet sekisho");
    let said = done(&["isolate", "10.21.0.2", "--reason", "spreads"], data.path());
    assert!(said.contains("kernel: NOT CUT OFF: the table `inet sekisho` is not in force in this kernel"), "{said}");
    lab.load(Machine::Gateway, &rules(&lab));
    let said = done(&["release", "10.21.0.2"], data.path());
    assert!(said.contains("released"), "{said}");
    until(data.path(), |status| status["isolated"][0]["elsewhere"][0]["state"] == "done");
    assert_eq!((elements(&lab, "isolated"), elements(&lab, "isolated6")), ("10.20.0.2".into(), String::new()));
    done(&["release", "10.20.0.2"], data.path());
    while !elements(&lab, "isolated").is_empty() {
        std::thread::yield_now();
    }
    drop(download(&lab, Machine::Office));
    assert_eq!(gate.end("-TERM"), Some(0));
    told(&records(data.path()));
}

/// In both directions and families: heard by nobody, counted, and found again.
#[test]
fn who_is_isolated_reaches_nobody_and_is_reached_by_nobody_and_each_attempt_is_counted_and_on_record() {
    let (lab, data) = (Lab::make(), tempfile::tempdir().unwrap());
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).unwrap();
    lab.load(Machine::Gateway, &rules(&lab));
    [Machine::Office, Machine::Admin].into_iter().for_each(|machine| lab.acquaint(machine));
    let before = format!("exec ip netns exec {} \"$0\" \"$@\"", lab.name(Machine::Gateway));
    let config = format!("[flows]\nnflog_group = 5\n{CONFIG}");
    let data_dir = Some(data.path().to_owned());
    let mut gate = Start { config: &config, data_dir, before: &before, ..Start::default() }.gate();
    until(data.path(), |status| status["flows"][0]["reading"] == true);
    let listen = |machine, port: u16| lab.inside(machine, || TcpListener::bind(("::", port)).unwrap());
    let (proxy, pc) = (listen(Machine::Gateway, 3128), listen(Machine::Office, 22));
    let gateway = GATE.map(|address| address.parse::<IpAddr>().unwrap());
    let (office, admin) = (Machine::Office.addresses(), Machine::Admin.addresses());
    let attempts = [
        (Machine::Office, gateway, 3128, proxy),
        (Machine::Admin, office, 22, pc),
        (Machine::Office, Machine::Internet.addresses(), 443, listen(Machine::Internet, 443)),
    ];
    let tries = |from, to, port| lab.inside(from, || connect(to, port).map(drop).map_err(|error| error.kind()));
    // Until then the first two are open, or their being shut would prove nothing.
    for (from, to, port, listener) in attempts.iter().take(2) {
        for to in to {
            assert_eq!(tries(*from, *to, *port), Ok(()), "{from:?} to {to} {port}");
            listener.accept().unwrap();
        }
    }
    for client in ["10.20.0.2", "fd00:20::/64"] {
        let said = done(&["isolate", client, "--reason", "calls home"], data.path());
        assert!(said.contains("kernel: cut off, open connections too\n"), "{said}");
    }
    let already = lab.counted(Machine::Gateway, "sekisho", "isolated");
    let mut refusals = Refusals::default();
    for (from, to, port, listener) in &attempts {
        let clients = if *from == Machine::Office { office } else { admin };
        for (client, to) in clients.into_iter().zip(*to) {
            assert_eq!(tries(*from, to, *port), Err(ErrorKind::ConnectionRefused), "{from:?} to {to} {port}");
            refusals.add((client, to), Some(*port), "tcp", "isolated");
        }
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "{from:?} {port}");
    }
    assert_eq!(already, 0, "nothing of what was open has ended late");
    refusals.are_counted(&lab);
    assert_eq!(gate.end("-TERM"), Some(0));
    refusals.are_on_record(data.path());
}

/// A finding about an IPv6 address reaches the kernel as one about an IPv4 address does: that address alone, and no neighbour's.
#[test]
fn whom_a_finding_isolates_is_cut_off_in_the_kernel_in_both_families() {
    let (lab, data) = (Lab::make(), tempfile::tempdir().unwrap());
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).unwrap();
    lab.load(Machine::Gateway, &rules(&lab));
    run(lab.command(Machine::Office, "ip").args(["address", "add", "fd00:20::3/64", "dev", "eth0", "nodad"]));
    let config =
        "[detect]\ndelay_seconds = 1\n[response.cut]\nfindings = [\"tripwire\"]\nof = \"client\"\ndo = \"isolate\"\n";
    let mut gate = gate_with(&lab, data.path(), config);
    until(data.path(), |status| status["flows"][0]["reading"] == true);
    for to in GATE {
        let touched = lab.inside(Machine::Office, || connect(to.parse().unwrap(), 23).unwrap_err().kind());
        assert_eq!(touched, ErrorKind::ConnectionRefused);
    }
    let status = until(data.path(), |status| {
        let all = status["isolated"].as_array().cloned().unwrap_or_default();
        all.len() == 2 && all.iter().all(|one| one["elsewhere"][0]["state"] == "done")
    });
    // Both touches were at once: whichever address the kernel chose for IPv6 is the one that is cut off.
    let six = elements(&lab, "isolated6");
    assert!(["fd00:20::2", "fd00:20::3"].contains(&&*six), "{six}");
    assert_eq!(elements(&lab, "isolated"), "10.20.0.2");
    let of_v6 = status["isolated"].as_array().unwrap().iter().find(|one| one["client"] == "fd00:20::/64").unwrap();
    let goes_on = of_v6["elsewhere"][0]["goes_on"].as_str().unwrap();
    assert!(goes_on.contains("the rest of the /64") && goes_on.ends_with(&format!("is about {six}")), "{goes_on}");

    let six: IpAddr = six.parse().unwrap();
    let neighbour: IpAddr = if six.to_string() == "fd00:20::2" { "fd00:20::3" } else { "fd00:20::2" }.parse().unwrap();
    let listener =
        lab.inside(Machine::Gateway, || TcpListener::bind((GATE[1].parse::<IpAddr>().unwrap(), 3128)).unwrap());
    let from = |client: IpAddr| {
        lab.inside(Machine::Office, || {
            let socket = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::new(client, 0).into()).unwrap();
            let to: SocketAddr = SocketAddr::new(GATE[1].parse().unwrap(), 3128);
            socket.connect(&to.into()).map_err(|error| error.kind())
        })
    };
    assert_eq!(from(six), Err(ErrorKind::ConnectionRefused));
    assert_eq!(from(neighbour), Ok(()), "a neighbour in the /64 is not cut off there");
    drop(listener);
    done(&["restraint", "lift", "--all"], data.path());
    while !elements(&lab, "isolated6").is_empty() || !elements(&lab, "isolated").is_empty() {
        std::thread::yield_now();
    }
    assert_eq!(gate.end("-TERM"), Some(0));
}

/// A gate whose warden has ended says at once what is cut off nowhere but in itself, and goes on to do that, and to count.
#[test]
fn the_end_of_the_warden_is_seen_at_once_and_loses_no_count() {
    let (lab, data) = (Lab::make(), tempfile::tempdir().unwrap());
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).unwrap();
    lab.load(Machine::Gateway, &rules(&lab));
    let mut gate = gate(&lab, data.path());
    let reads = |status: &Value| {
        status["flows"].as_array().is_some_and(|all| all.len() == 2 && all.iter().all(|one| one["reading"] == true))
    };
    until(data.path(), reads);
    done(&["isolate", "10.20.0.2", "--reason", "calls home"], data.path());
    let refused = |to: IpAddr| {
        let kind = lab.inside(Machine::Admin, || connect(to, 8080).unwrap_err().kind());
        assert_eq!(kind, ErrorKind::ConnectionRefused);
    };
    Machine::Internet.addresses().into_iter().for_each(refused);

    let signal = |pid: u32, signal: &str| {
        assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success())
    };
    signal(warden_of(&gate), "-KILL");
    let status = until(data.path(), |status| status["kernel_fault"].is_string());
    let why = status["kernel_fault"].as_str().unwrap();
    assert!(why.contains("has ended, and only a restart of the gate brings it back"), "{why}");
    assert_eq!(status["isolated"][0]["elsewhere"][0]["state"], "done", "who is cut off there stays so");
    let shown = Command::new(env!("CARGO_BIN_EXE_sekisho")).arg("status").arg(data.path()).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("WARNING") && shown.contains("a lockdown, are in the gate alone: the process"), "{shown}");
    let said = done(&["isolate", "10.21.0.2", "--reason", "spreads"], data.path());
    assert!(said.contains("kernel: NOT CUT OFF: the process that holds CAP_NET_ADMIN has ended"), "{said}");
    assert_eq!(elements(&lab, "isolated"), "10.20.0.2");
    // The gate itself has cut it off.
    let answer = lab.inside(Machine::Sales, || {
        let mut stream = connect("10.20.0.1".parse().unwrap(), 3128).unwrap();
        stream.write_all(b"GET http://11.77.0.80/ HTTP/1.1\r\nHost: 11.77.0.80\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer).unwrap()
    });
    assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("isolated"), "{answer}");
    for _ in 0..20 {
        Machine::Internet.addresses().into_iter().for_each(refused);
    }
    assert!(reads(&status_of(data.path())), "the kernel is read all the same");
    assert_eq!(gate.end("-TERM"), Some(0));
    let records = records(data.path());
    let of_rule = |one: &&Value| one["kind"] == "flow" && one["rule"] == "out-tcp";
    let counted: u64 = records.iter().filter(of_rule).map(|one| one["count"].as_u64().unwrap()).sum();
    assert_eq!((counted, lab.counted(Machine::Gateway, "sekisho", "out-tcp")), (42, 42));
    let told = records
        .iter()
        .filter(|one| one["kind"] == "health" && one["subject"] == "kernel" && one["level"] == "critical");
    assert_eq!(told.count(), 1);
    let not_done =
        |one: &&Value| one["kind"] == "contingency" && one["action"] == "not_done" && one["client"] == "10.21.0.2";
    assert_eq!(records.iter().filter(not_done).count(), 1);

    // The next gate has another, and it does what the last could not. One that stands still keeps no gate from ending.
    let mut gate = self::gate(&lab, data.path());
    let status = until(data.path(), |status| {
        let all = status["isolated"].as_array().cloned().unwrap_or_default();
        all.len() == 2 && all.iter().all(|one| one["elsewhere"][0]["state"] == "done") && reads(status)
    });
    assert_eq!(status["kernel_fault"], Value::Null);
    assert_eq!(elements(&lab, "isolated"), "10.20.0.2, 10.21.0.2");
    signal(warden_of(&gate), "-STOP");
    Machine::Internet.addresses().into_iter().for_each(refused);
    assert_eq!(gate.end("-TERM"), Some(0));
    let records = self::records(data.path());
    let counted: u64 = records.iter().filter(of_rule).map(|one| one["count"].as_u64().unwrap()).sum();
    assert_eq!((counted, lab.counted(Machine::Gateway, "sekisho", "out-tcp")), (44, 44));
}

/// Who connects, and what the other end accepted.
pub(super) fn open(lab: &Lab, to: IpAddr, port: u16, listener: &TcpListener) -> (TcpStream, TcpStream) {
    let mut client = lab.inside(Machine::Office, || connect(to, port).unwrap());
    let (mut server, _) = listener.accept().unwrap();
    client.write_all(b"before").unwrap();
    server.read_exact(&mut [0; 6]).unwrap();
    (client, server)
}

/// Two ways past the gate, by port 8883, and by 8884 in a lockdown too.
pub(super) fn two_exceptions() -> String {
    let exception = |port: u16, essential: &str| {
        format!(
            "[[network.exception]]\nfrom = \"office\"\nto = [\"11.77.0.80\", \"fd77::80\"]\nprotocol = \"tcp\"\n\
             ports = [{port}]\nreason = \"port {port}\"\nuntil = \"2999-12-31\"\n{essential}"
        )
    };
    exception(8883, "") + &exception(8884, "essential = true\n")
}

/// A connection, and its other end.
type Open = (TcpStream, TcpStream);

/// Of two that stood before a lockdown.
pub(super) fn first_is_closed_and_second_is_not(
    ((mut cut, mut cut_server), (mut kept, mut kept_server)): (Open, Open),
) {
    // What the other end sends comes to nobody, before who opened it sends anything.
    cut_server.write_all(b"still here").unwrap();
    cut.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert_eq!(cut.read(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
    cut.set_read_timeout(None).unwrap();
    cut.write_all(b"after").unwrap();
    assert_eq!(cut.read(&mut [0; 16]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    kept_server.write_all(b"answer").unwrap();
    kept.read_exact(&mut [0; 6]).unwrap();
    kept.write_all(b"after").unwrap();
    kept_server.read_exact(&mut [0; 5]).unwrap();
}

/// A lockdown closes the exceptions of the kernel's rules that are not essential, what is open by them in both directions too.
#[test]
fn a_lockdown_leaves_of_the_exceptions_the_essential_ones_alone() {
    let (lab, data) = (Lab::make(), tempfile::tempdir().unwrap());
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let exceptions = two_exceptions();
    fs::write(data.path().join("c.toml"), format!("{CONFIG}{exceptions}")).unwrap();
    let egress = |arguments: &[&str]| {
        let mut command = lab.command(Machine::Gateway, env!("CARGO_BIN_EXE_sekisho"));
        run(command.arg("egress").args(arguments).args(["--config", "c.toml"]).current_dir(data.path()))
    };
    let rules = egress(&["nft"]);
    lab.load(Machine::Gateway, &rules);
    let gate_dir = data.path().join("gate");
    let mut gate = gate_with(&lab, &gate_dir, &exceptions);
    until(&gate_dir, |status| status["flows"][0]["reading"] == true);
    let listen = |port: u16| lab.inside(Machine::Internet, || TcpListener::bind(("::", port)).unwrap());
    let [other, essential] = [8883, 8884].map(listen);
    let anew = |to: IpAddr, port: u16| {
        lab.inside(Machine::Office, || connect(to, port).map(drop).map_err(|error| error.kind()))
    };

    let mut standing = Vec::new();
    for to in Machine::Internet.addresses() {
        standing.push((open(&lab, to, 8883, &other), open(&lab, to, 8884, &essential)));
    }
    let said = done(&["lockdown", "--reason", "ransomware spreads"], &gate_dir);
    assert!(
        said.contains("kernel: cut off, open connections too; NOT: 1 exception marked `essential`, resolvers"),
        "{said}"
    );
    assert_eq!(locked(&lab), "ipv4, ipv6");
    standing.into_iter().for_each(first_is_closed_and_second_is_not);
    for to in Machine::Internet.addresses() {
        assert_eq!((anew(to, 8883), anew(to, 8884)), (Err(ErrorKind::ConnectionRefused), Ok(())), "{to}");
    }
    // What answers is counted, and not logged; of who had opened it each packet is refused, and on record: what was written
    // after, and what was tried anew.
    assert!(lab.counted(Machine::Gateway, "sekisho", "lockdown") >= 2, "what was sent to each at least");
    let mut refusals = Refusals::default();
    for ends in Machine::Office.addresses().into_iter().zip(Machine::Internet.addresses()) {
        (0..2).for_each(|_| refusals.add(ends, Some(8883), "tcp", "out-tcp"));
    }
    refusals.are_counted(&lab);
    refusals.come_on_record(&gate_dir);
    egress(&["check"]);
    // Rules that are put in force meanwhile keep it, and so does the next gate where they do not.
    egress(&["apply", "--yes"]);
    assert_eq!(locked(&lab), "ipv4, ipv6");
    gate.end("-KILL");
    assert_eq!(locked(&lab), "ipv4, ipv6");
    lab.load(Machine::Gateway, &rules);
    assert_eq!(locked(&lab), "", "loaded past the gate, they know of none");
    let mut gate = gate_with(&lab, &gate_dir, &exceptions);
    until(&gate_dir, |status| status["lockdown"]["elsewhere"][0]["state"] == "done");
    assert_eq!(locked(&lab), "ipv4, ipv6");

    done(&["lockdown", "--end"], &gate_dir);
    while !locked(&lab).is_empty() {
        std::thread::yield_now();
    }
    for to in Machine::Internet.addresses() {
        assert_eq!((anew(to, 8883), anew(to, 8884)), (Ok(()), Ok(())), "{to}");
    }
    egress(&["check"]);

    // Rules from before know of none; who is isolated is cut off by them all the same.
    lab.nft(Machine::Gateway, "delete table inet sekisho");
    let set = |name: &str, kind: &str| format!("set {name} {{ type {kind}; flags interval; }}\n");
    lab.load(
        Machine::Gateway,
        &format!("table inet sekisho {{\n{}{}}}\n", set("isolated", "ipv4_addr"), set("isolated6", "ipv6_addr")),
    );
    let said = done(&["lockdown", "--reason", "again"], &gate_dir);
    assert!(
        said.contains("kernel: NOT CUT OFF: the rules in force know of no lockdown: `sekisho egress apply`"),
        "{said}"
    );
    let said = done(&["isolate", "10.20.0.2", "--reason", "spreads"], &gate_dir);
    assert!(said.contains("kernel: cut off, open connections too\n"), "{said}");
    assert_eq!(elements(&lab, "isolated"), "10.20.0.2");
    assert_eq!(gate.end("-TERM"), Some(0));
    let of = |action: &str| -> Vec<Timestamp> {
        let is_it = |one: &&Value| one["kind"] == "contingency" && one["action"] == action && one["client"].is_null();
        let time = |one: &Value| read_time(one["time"].as_str().unwrap()).unwrap();
        records(&gate_dir).iter().filter(is_it).map(time).collect()
    };
    let (begun, done) = (of("lockdown"), of("done"));
    // Twice that it is so in the kernel, as two gates did it, and once that it no longer is.
    assert_eq!((begun.len(), done.len(), of("not_done").len()), (2, 3, 1));
    assert!(done[2] > of("lockdown_ended")[0], "{done:?}");
    // What tightens is done before it is noted who asked for it: the kernel's record may be the earlier one.
    assert!(done[0].0.saturating_sub(begun[0].0) < 1_000_000, "within a second: {begun:?} {done:?}");
}

/// How long each of the four takes, by a running download that is not essential, one that is, and a connection by an exception.
/// In one family to the gate and past it.
fn takes(lab: &Lab, data_dir: &Path, outside: &TcpListener, family: usize) -> [Duration; 4] {
    let (origin, gate) = (Machine::Internet.addresses()[family], GATE[family]);
    let client = ["10.20.0.2", "fd00:20::/64"][family];
    let through = |host: &str| download_of(lab, Machine::Office, gate, host);
    let is_cut = |mut download: TcpStream, mut by_exception: TcpStream| {
        while matches!(download.read(&mut [0; 65536]), Ok(1..)) {}
        by_exception.write_all(b"after").unwrap();
        assert_eq!(by_exception.read(&mut [0; 16]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    };
    let begin = || (through("11.77.0.80"), open(lab, origin, 8883, outside));
    let lets_out = || {
        while lab.inside(Machine::Office, || connect(origin, 8883)).is_err() {}
        outside.accept().unwrap();
        drop(through("11.77.0.80"));
    };
    let timed = |arguments: &[&str], until: &dyn Fn()| {
        let begun = Instant::now();
        done(arguments, data_dir);
        until();
        begun.elapsed()
    };
    let cut = |arguments: &[&str]| {
        let (download, (by_exception, _server)) = begin();
        let standing = std::cell::Cell::new(Some((download, by_exception)));
        timed(arguments, &|| standing.take().into_iter().for_each(|(one, other)| is_cut(one, other)))
    };
    let isolated = cut(&["isolate", client, "--reason", "calls home"]);
    let released = timed(&["release", client], &lets_out);
    let mut essential = through("11.77.0.81");
    let locked = cut(&["lockdown", "--reason", "ransomware spreads"]);
    // More than lay ready on its way.
    essential.read_exact(&mut vec![0; 64 << 20]).unwrap();
    [isolated, released, locked, timed(&["lockdown", "--end"], &lets_out)]
}

#[test]
fn isolation_a_lockdown_and_the_end_of_each_take_effect_within_a_second_in_the_gate_and_in_the_kernel() {
    let (lab, data) = (Lab::make(), tempfile::tempdir().unwrap());
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).unwrap();
    run(lab.command(Machine::Internet, "ip").args(["address", "add", "11.77.0.81/24", "dev", "eth0"]));
    let network = format!(
        "{CONFIG}[[network.exception]]\nfrom = \"office\"\nto = [\"11.77.0.80\", \"fd77::80\"]\nprotocol = \"tcp\"\nports = [8883]\n\
         reason = \"time clocks\"\nuntil = \"2999-12-31\"\n"
    );
    fs::write(data.path().join("c.toml"), &network).unwrap();
    let mut command = lab.command(Machine::Gateway, env!("CARGO_BIN_EXE_sekisho"));
    lab.load(Machine::Gateway, &run(command.args(["egress", "nft", "--config", "c.toml"]).current_dir(data.path())));
    endless(&lab);
    endless_at(&lab, "11.77.0.81".parse().unwrap());
    let outside = lab.inside(Machine::Internet, || TcpListener::bind(("::", 8883)).unwrap());
    let rule = |host: &str, more: &str| {
        format!("[[rule]]\nname = \"{host}\"\nhosts = [\"{host}\"]\nverdict = \"allow\"\n{more}")
    };
    let policy = rule("11.77.0.80", "") + &rule("11.77.0.81", "essential = true\n");
    let before = format!("exec ip netns exec {} \"$0\" \"$@\"", lab.name(Machine::Gateway));
    let (listen, data_dir) = (Some("[::]:3128".parse().unwrap()), Some(data.path().join("gate")));
    let start = Start { policy: &policy, config: &network, listen, data_dir, before: &before, ..Start::default() };
    let mut gate = start.gate();
    // Each of them must come to its end; of how fast, a busy machine may hold up one, and hardly three.
    let gate_dir = data.path().join("gate");
    for (family, by) in GATE.into_iter().enumerate() {
        let rounds = [(); 3].map(|()| takes(&lab, &gate_dir, &outside, family));
        println!("isolate, release, lockdown, its end by {by}: {rounds:?}");
        for what in 0..4 {
            assert!(rounds.iter().any(|took| took[what] < Duration::from_secs(1)), "{what}: {rounds:?}");
        }
    }
    assert_eq!(gate.end("-TERM"), Some(0));
    let records = records(&gate_dir);
    for reason in ["isolated", "lockdown"] {
        let mut cut: Vec<_> = records
            .iter()
            .filter(|one| one["event"] == "close" && one["reason"] == reason)
            .map(|one| event_of(&records, "open", &one["id"])["client"].as_str().unwrap())
            .collect();
        cut.sort_unstable();
        assert_eq!(cut, [["10.20.0.2"; 3], ["fd00:20::2"; 3]].concat(), "{reason}");
    }
}

fn locked(lab: &Lab) -> String {
    elements(lab, "lockdown")
}

pub(super) fn until(data_dir: &Path, is_so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let status = status_of(data_dir);
        if is_so(&status) {
            return status;
        }
    }
}

/// What the kernel did is on record, and so is what it did not.
fn told(records: &[Value]) {
    let of = |action: &str, client: &str| {
        let is_it = |one: &&Value| {
            one["kind"] == "contingency"
                && one["place"] == "kernel"
                && one["action"] == action
                && one["client"] == client
        };
        records.iter().filter(is_it).count()
    };
    // As often as it was cut off, by two gates, and by the second once more in rules that had not been there; and let go.
    assert_eq!((of("done", "10.20.0.2"), of("done", "fd00:20::/64")), (4, 3), "{records:#?}");
    for client in ["10.20.0.2", "fd00:20::/64"] {
        let place = |action: &str| {
            let is_it =
                |one: &Value| one["kind"] == "contingency" && one["client"] == client && one["action"] == action;
            records.iter().rposition(is_it)
        };
        assert!(place("released").is_some() && place("done") > place("released"), "{client}: {records:#?}");
    }
    assert_eq!((of("done", "10.21.0.2"), of("not_done", "10.21.0.2")), (0, 1));
    // What the kernel refused of the isolated is on record as flows too: reading goes on without the capability.
    for client in ["10.20.0.2", "fd00:20::2"] {
        let refused = records.iter().any(|one| {
            one["kind"] == "flow" && one["rule"] == "isolated" && one["client"] == client && one["state"] == "refused"
        });
        assert!(refused, "{client}: {records:#?}");
    }
}
