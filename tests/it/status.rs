//! What the running gate says of itself, and what it does at its bounds.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::gate::{Gate, Start};
use crate::origin::Origin;

fn status(data_dir: &Path, format: &str) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .args(["status", "--format", format])
        .arg(data_dir)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn the_running_gate_tells_its_policy_and_its_counts() {
    let origin = Origin::echo();
    let gate = Start { policy: &origin.policy(), config: "[gate]\nworkers = 3\n", ..Start::default() }.gate();
    let mut tunnel = gate.client();
    tunnel.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\nping", origin.address));
    let refused = tunnel.answer();
    assert_eq!(refused.status(), 400, "bytes behind a CONNECT");
    let mut tunnel = gate.client();
    tunnel.send(format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address));
    assert_eq!(tunnel.head().unwrap().status(), 200);
    tunnel.send("ping");
    assert_eq!(tunnel.take(4), b"ping");

    let (code, out, _) = status(&gate.data_dir(), "json");
    assert_eq!(code, Some(0));
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["ok"], true);
    assert_eq!(told["pid"], gate.pid());
    assert_eq!(told["workers"], 3);
    assert_eq!((&told["policy"]["rules"], &told["policy"]["mode"]), (&1.into(), &"enforce".into()));
    assert_eq!(told["connections"]["tunnels"], 1);
    assert_eq!((&told["exchanges"]["allowed"], &told["exchanges"]["refused"]), (&1.into(), &1.into()));
    assert_eq!((&told["journal"]["lost"], &told["journal"]["last_error"]), (&0.into(), &Value::Null));

    let (code, out, _) = status(&gate.data_dir(), "text");
    assert_eq!(code, Some(0));
    assert!(out.contains("\ntunnels     1 carried, 0 looked into\n") && out.contains("enforce\n"), "{out}");
    assert!(!out.contains("WARNING"), "{out}");
}

#[test]
fn only_the_gates_own_user_can_ask_and_a_dead_gate_does_not_answer() {
    let mut gate = Gate::start("");
    let socket = gate.data_dir().join("control.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    gate.end("-KILL");
    let (code, _, err) = status(&gate.data_dir(), "text");
    assert_eq!(code, Some(1));
    assert!(err.contains("no gate answers") && err.contains("hint: start one with `sekisho run`"), "{err}");
    // The socket it left behind is no hindrance to the next one.
    let next = Start { data_dir: Some(gate.data_dir()), ..Start::default() }.gate();
    assert_eq!(status(&next.data_dir(), "text").0, Some(1), "its records are in the directory of the first");
    assert_eq!(status(&gate.data_dir(), "text").0, Some(0));
}

#[test]
fn connections_beyond_the_bound_are_closed_and_a_gap_record_counts_them() {
    let mut gate = Start { config: "[gate]\nworkers = 1\n[limits]\nconnections_max = 2\n", ..Start::default() }.gate();
    let ask = "GET / HTTP/1.1\r\nHost: gate\r\n\r\n";
    let mut held = [gate.client(), gate.client()];
    for client in &mut held {
        client.send(ask);
        assert_eq!(client.answer().status(), 200);
    }
    let mut third = gate.client();
    let _ = third.try_send(ask);
    assert_eq!(third.head().map(|head| head.status()), None);
    for client in &mut held {
        client.send(ask);
        assert_eq!(client.answer().status(), 200, "those within the bound are served on");
    }
    drop(held);
    let records = gate.records();
    let gap = records.iter().find(|record| record["cause"] == "connections_overflowed").unwrap();
    assert_eq!(gap["detail"], "1 connections closed unread because too many were open");
}
