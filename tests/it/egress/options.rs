//! What a network may say beside its segments: exceptions, dropping without a word, a critical segment with the gate.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::lab::{CONFIG, Lab, Machine, run};

/// Rules of the lab's network with this at its end, the plant with the gate, and whoever is refused left without an answer.
fn rules(lab: &Lab, exceptions: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let config = CONFIG
        .replace("[network]\n", "[network]\nrefuse = \"drop\"\n")
        .replace("role = \"critical\"\n", "role = \"critical\"\nthrough_gate = true\n");
    std::fs::write(directory.path().join("options.toml"), format!("{config}\n{exceptions}")).unwrap();
    let mut command = lab.command(Machine::Gateway, env!("CARGO_BIN_EXE_sekisho"));
    run(command.args(["egress", "nft", "--config", "options.toml"]).current_dir(directory.path()))
}

/// How it ends to connect; what is dropped without a word is not waited for longer than a lab's wire takes.
fn connects(lab: &Lab, from: Machine, to: IpAddr, port: u16) -> Result<(), ErrorKind> {
    let to = SocketAddr::new(to, port);
    lab.inside(from, || {
        TcpStream::connect_timeout(&to, Duration::from_millis(400)).map(drop).map_err(|error| error.kind())
    })
}

#[test]
fn an_exception_is_a_way_for_whom_it_names_until_its_last_day_and_what_is_dropped_hears_nothing() {
    let lab = Lab::make();
    let exception = |until: &str| {
        format!(
            "[[network.exception]]\nfrom = \"office\"\nto = [\"11.77.0.80\", \"fd77::80\"]\nprotocol = \"tcp\"\n\
             ports = [8883]\nreason = \"time clocks\"\nuntil = \"{until}\"\n"
        )
    };
    lab.load(Machine::Gateway, &rules(&lab, &exception("2999-12-31")));
    let listen = |machine, port: u16| lab.inside(machine, || TcpListener::bind(("::", port)).unwrap());
    let _outside = [listen(Machine::Internet, 8883), listen(Machine::Internet, 8884)];
    let _gate = listen(Machine::Gateway, 3128);
    for outside in Machine::Internet.addresses() {
        assert_eq!(connects(&lab, Machine::Office, outside, 8883), Ok(()), "{outside}");
        for (from, port) in [(Machine::Office, 8884), (Machine::Sales, 8883), (Machine::Plant, 8883)] {
            assert_eq!(connects(&lab, from, outside, port), Err(ErrorKind::TimedOut), "{from:?} {outside} {port}");
        }
    }
    let counted = |counter| lab.counted(Machine::Gateway, "sekisho", counter);
    assert!(counted("out-tcp") >= 4 && counted("critical-tcp") >= 2, "each is counted, though nobody is told");
    for gate in ["10.20.0.1", "fd00:20::1"] {
        let gate = gate.parse().unwrap();
        assert_eq!(connects(&lab, Machine::Plant, gate, 3128), Ok(()), "the plant has the gate");
        assert_eq!(connects(&lab, Machine::Plant, gate, 22), Err(ErrorKind::TimedOut), "and nothing else of it");
    }

    // Past its last day it is no way any more.
    lab.load(Machine::Gateway, &rules(&lab, &exception("2026-01-31")));
    for outside in Machine::Internet.addresses() {
        assert_eq!(connects(&lab, Machine::Office, outside, 8883), Err(ErrorKind::TimedOut), "{outside}");
    }
}
