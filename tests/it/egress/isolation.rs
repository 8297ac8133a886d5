//! A client that is cut off by hand: in the gate and in the kernel, by a process that holds the right to that alone.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::lab::{CONFIG, Lab, Machine};
use super::ways_out::{connect, rules};
use crate::gate::{Gate, Start, records, status_of};

/// CAP_NET_ADMIN, as a bit.
const NET_ADMIN: u64 = 1 << 12;

/// A gate on the gateway, as root has it, for the office and sales.
fn gate(lab: &Lab, data_dir: &Path) -> Gate {
    let before = format!("exec ip netns exec {} \"$0\" \"$@\"", lab.name(Machine::Gateway));
    let config = format!("[flows]\nnflog_group = 5\nconntrack = true\n{CONFIG}");
    let policy = "[[rule]]\nname = \"the origin\"\nhosts = [\"11.77.0.80\"]\nports = [80, 443]\nprotocol = \"any\"\nverdict = \"allow\"\n";
    let listen = Some("10.20.0.1:3128".parse().unwrap());
    let data_dir = Some(data_dir.to_owned());
    Start { policy, config: &config, listen, data_dir, before: &before, ..Start::default() }.gate()
}

fn done(arguments: &[&str], data_dir: &Path) -> String {
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
    let [address, _] = Machine::Internet.addresses();
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
    lab.inside(from, || {
        let mut stream = connect("10.20.0.1".parse().unwrap(), 3128).unwrap();
        stream.write_all(b"GET http://11.77.0.80/ HTTP/1.1\r\nHost: 11.77.0.80\r\n\r\n").unwrap();
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
        places.clone().count() == 2 && places.clone().all(|state| state == "done")
    });
    assert_eq!(status["isolated"][0]["elsewhere"][0]["place"], "kernel");
    assert_eq!(elements(&lab, "isolated"), "10.20.0.2");
    let anew = lab.inside(Machine::Office, || connect("10.20.0.1".parse().unwrap(), 3128).unwrap_err().kind());
    assert_eq!(anew, ErrorKind::ConnectionRefused);

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

fn until(data_dir: &Path, is_so: impl Fn(&Value) -> bool) -> Value {
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
    assert!(of("done", "10.20.0.2") >= 2, "{records:#?}");
    assert_eq!((of("done", "10.21.0.2"), of("not_done", "10.21.0.2")), (0, 1));
    // What the kernel refused of the isolated is on record as flows too: reading goes on without the capability.
    let refused = records.iter().any(|one| {
        one["kind"] == "flow" && one["rule"] == "isolated" && one["client"] == "10.20.0.2" && one["state"] == "refused"
    });
    assert!(refused, "{records:#?}");
}
