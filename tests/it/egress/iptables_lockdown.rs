//! A lockdown where the kernel's rules are those of iptables: the gate cannot change them, and says what to load.

use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use super::isolation::{done, first_is_closed_and_second_is_not, gate_with, open, two_exceptions, until};
use super::lab::{CONFIG, Lab, Machine, run};
use super::ways_out::connect;

#[test]
fn what_iptables_has_of_a_lockdown_leaves_of_the_exceptions_the_essential_ones_alone_open_ones_included() {
    let (lab, data) = (Lab::make(), tempfile::tempdir().unwrap());
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let exceptions = two_exceptions();
    fs::write(data.path().join("c.toml"), format!("{CONFIG}{exceptions}")).unwrap();
    let load = |lockdown: &[&str]| {
        for (program, family) in [("iptables", &[][..]), ("ip6tables", &["--ipv6"])] {
            let mut command = lab.command(Machine::Gateway, env!("CARGO_BIN_EXE_sekisho"));
            command.args(["egress", "iptables", "--config", "c.toml"]).args(family).args(lockdown);
            let rules = run(command.current_dir(data.path()));
            let mut restore = lab.command(Machine::Gateway, &format!("{program}-legacy-restore"));
            let mut child = restore.stdin(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(rules.as_bytes()).unwrap();
            assert!(child.wait().unwrap().success(), "{rules}");
        }
    };
    load(&[]);
    let gate_dir = data.path().join("gate");
    let mut gate = gate_with(&lab, &gate_dir, &exceptions);
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
    let advice = "with iptables load what `sekisho egress iptables --lockdown` prints";
    assert!(
        said.contains("kernel: NOT CUT OFF: the table `inet sekisho` is not in force") && said.contains(advice),
        "{said}"
    );
    let status = until(&gate_dir, |status| status["lockdown"].is_object());
    assert!(status["lockdown"]["elsewhere"][0]["error"].as_str().unwrap().contains(advice), "{status:#}");
    for to in Machine::Internet.addresses() {
        assert_eq!(anew(to, 8883), Ok(()), "nobody has loaded it yet");
    }

    load(&["--lockdown"]);
    standing.into_iter().for_each(first_is_closed_and_second_is_not);
    for to in Machine::Internet.addresses() {
        assert_eq!((anew(to, 8883), anew(to, 8884)), (Err(ErrorKind::ConnectionRefused), Ok(())), "{to}");
    }
    done(&["lockdown", "--end"], &gate_dir);
    load(&[]);
    for to in Machine::Internet.addresses() {
        assert_eq!((anew(to, 8883), anew(to, 8884)), (Ok(()), Ok(())), "{to}");
    }
    assert_eq!(gate.end("-TERM"), Some(0));
}
