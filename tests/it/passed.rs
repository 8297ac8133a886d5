//! A gate whose listener is bound by whoever starts it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::gate::{Start, records};

const POLICY: &str = "[policy]\nunknown = \"deny\"\n";
const ASKS: &[u8] = b"GET http://stopped.example/ HTTP/1.1\r\nHost: stopped.example\r\nConnection: close\r\n\r\n";

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A client that has asked, whether or not anybody is there.
fn asks(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(ASKS).unwrap();
    client
}

fn is_answered(mut client: TcpStream) {
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[test]
fn over_a_restart_no_client_is_turned_away_where_the_listener_is_passed() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = Some(directory.path().join("data"));
    let (socket, address) = listener();
    let config = "[gate]\nworkers = 2\n";
    let listen = Some(address);
    let start = || Start {
        policy: POLICY,
        config,
        listen,
        passed: Some(&socket),
        data_dir: data_dir.clone(),
        ..Start::default()
    };
    // Before the first gate, with each of three, and between them.
    let mut waiting = vec![asks(address)];
    for _ in 0..3 {
        let mut gate = start().gate();
        assert_eq!(gate.address, address);
        waiting.extend((0..4).map(|_| asks(address)));
        waiting.drain(..).for_each(is_answered);
        assert_eq!(gate.end("-TERM"), Some(0));
        waiting.extend((0..4).map(|_| asks(address)));
    }
    let mut gate = start().gate();
    waiting.drain(..).for_each(is_answered);
    assert_eq!(gate.end("-TERM"), Some(0));
    let all = records(data_dir.as_ref().unwrap());
    let refused = all.iter().filter(|record| record["kind"] == "exchange" && record["host"] == "stopped.example");
    assert_eq!(refused.count(), 1 + 3 * 8, "each is on record");
}

#[test]
fn a_socket_that_the_config_does_not_name_or_that_is_another_process_s_is_not_taken() {
    let (socket, address) = listener();
    let (_other, free) = listener();
    drop(_other);
    let other = Start { policy: POLICY, listen: Some(free), passed: Some(&socket), ..Start::default() }.output();
    let said = String::from_utf8(other.stderr).unwrap();
    assert_eq!(other.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("does not name: {address}")) && said.contains("ListenStream="), "{said}");

    // Meant for the shell that started it, as it were.
    let before = "export LISTEN_PID=1";
    let start = Start { policy: POLICY, listen: Some(address), passed: Some(&socket), before, ..Start::default() };
    let said = String::from_utf8(start.output().stderr).unwrap();
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");

    let before = "exec 3</dev/null";
    let start = Start { policy: POLICY, listen: Some(address), passed: Some(&socket), before, ..Start::default() };
    let said = String::from_utf8(start.output().stderr).unwrap();
    assert!(said.contains("the socket 0 that this process was given listens for no TCP"), "{said}");
}

#[test]
fn what_a_gate_starts_does_not_get_its_listeners() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let (socket, address) = listener();
    let script = directory.path().join("hook");
    std::fs::write(&script, "#!/bin/sh\necho \"3: $(readlink /proc/$$/fd/3) $LISTEN_FDS\" >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let config = format!("[hooks.switch]\ncommand = [{script:?}]\n");
    let start = Start {
        policy: POLICY,
        config: &config,
        listen: Some(address),
        passed: Some(&socket),
        data_dir: Some(data_dir.clone()),
        ..Start::default()
    };
    let mut gate = start.gate();
    let isolate = ["isolate", "192.0.2.9", "--reason", "a test", "--data-dir", data_dir.to_str().unwrap()];
    let told = std::process::Command::new(env!("CARGO_BIN_EXE_sekisho")).args(isolate).output().unwrap();
    let said = String::from_utf8(told.stdout).unwrap();
    assert!(said.contains("NOT TOLD") && said.contains("3:"), "{said}");
    assert!(!said.contains("socket:") && !said.contains("3:  1"), "{said}");
    drop(socket);
    assert_eq!(gate.end("-TERM"), Some(0));
    assert!(TcpStream::connect(address).is_err(), "nobody holds it open");
}
