//! No passage without record: a full disk, a drained gate, a killed one.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::Duration;

use serde_json::Value;

use crate::gate::{Gate, Start, event_of, records};
use crate::origin::Origin;
use crate::tunnel_lab::connect;

fn get(origin: &Origin, path: &str, lines: &str) -> String {
    format!("GET http://{0}{path} HTTP/1.1\r\nHost: {0}\r\n{lines}\r\n", origin.address)
}

/// Every request in the origin's log has an opening record.
fn all_on_record(origin: &Origin, records: &[Value]) {
    let paths: std::collections::HashSet<_> = records
        .iter()
        .filter(|record| record["event"] == "open")
        .filter_map(|record| record["path"].as_str())
        .collect();
    for request in origin.requests() {
        let path = request.line().split(' ').nth(1).unwrap();
        assert!(paths.contains(path), "{path} was seen by the origin and has no record");
    }
}

/// A gate whose disk is full, and how many requests it let out before. A bound on file size that the
/// shell sets stands for the disk; [`make_room`] lifts it.
fn full_gate(origin: &Origin) -> (Gate, usize) {
    let before = "trap '' XFSZ; ulimit -S -f 40";
    let gate = Start { policy: &origin.policy(), before, ..Start::default() }.gate();
    for passed in 0..1000 {
        let mut client = gate.client();
        client.send(get(origin, &format!("/n{passed}"), "Connection: close\r\n"));
        let answer = client.answer();
        if answer.status() != 200 {
            assert_eq!(answer.status(), 503, "{}", answer.text());
            assert!(answer.text().contains("evidence_unavailable"), "{}", answer.text());
            return (gate, passed);
        }
    }
    panic!("the journal has a bound");
}

fn bound_files(gate: &Gate, current: Option<u64>) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(gate.pid()).unwrap());
    let limit = rustix::process::Rlimit { current, maximum: None };
    rustix::process::prlimit(pid, rustix::process::Resource::Fsize, limit).unwrap();
}

fn make_room(gate: &Gate) {
    bound_files(gate, None);
}

#[test]
fn a_gate_that_cannot_close_its_journal_does_not_end_as_if_it_had() {
    // No file can grow any more; what it says goes into a pipe.
    let mut gate = Start { before: "trap '' XFSZ; exec 2>&1", ..Start::default() }.gate();
    bound_files(&gate, Some(0));
    assert_eq!(gate.end("-TERM"), Some(1));
    let records = records(&gate.data_dir());
    assert!(records.iter().all(|record| record["action"] != "journal_closed"), "{records:#?}");
    sekisho::store::verify(&gate.data_dir(), &Default::default()).unwrap();
}

#[test]
fn when_the_disk_is_full_nothing_leaves_and_the_client_is_told_why() {
    let origin = Origin::start();
    let (gate, passed) = full_gate(&origin);
    // The shorter record of a tunnel may still fit once or twice.
    let mut answers = (0..100).map(|_| connect(&gate, &origin.address.to_string()).1);
    let answer = answers.find(|answer| answer.status() != 200).expect("tunnels end too");
    assert_eq!(answer.status(), 503, "{}", answer.head);
    assert!(answer.field("proxy-status").unwrap().contains("evidence_unavailable"), "{}", answer.head);
    assert_eq!(origin.requests().len(), passed, "what was refused did not reach the origin");
    all_on_record(&origin, &records(&gate.data_dir()));
    sekisho::store::verify(&gate.data_dir(), &Default::default()).unwrap();
}

#[test]
fn when_the_disk_has_room_again_the_gate_goes_on_and_its_chain_holds() {
    let origin = Origin::start();
    let (mut gate, _) = full_gate(&origin);
    make_room(&gate);
    let mut client = gate.client();
    client.send(get(&origin, "/room-again", "Connection: close\r\n"));
    assert_eq!(client.answer().status(), 200);
    drop(client);
    all_on_record(&origin, &gate.records());
    sekisho::store::verify(&gate.data_dir(), &Default::default()).unwrap();
}

#[test]
fn records_lost_to_a_full_disk_leave_a_record_that_says_so() {
    let origin = Origin::start();
    let (mut gate, _) = full_gate(&origin);
    // The room that was left may have been enough for the record of the refusal.
    bound_files(&gate, Some(0));
    let answer = gate.send(get(&origin, "/full", "Connection: close\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    make_room(&gate);
    gate.send(get(&origin, "/room-again", "Connection: close\r\n").as_bytes());
    let records = gate.records();
    assert!(records.iter().any(|record| record["kind"] == "gap"), "{records:#?}");
}

#[test]
fn a_gate_that_is_stopped_as_soon_as_it_has_spoken_ends_well() {
    for _ in 0..5 {
        let mut gate = Gate::start("");
        let records = gate.records();
        assert_eq!(records.last().unwrap()["action"], "journal_closed");
    }
}

#[test]
fn a_drained_gate_cuts_its_tunnels_at_the_deadline_and_closes_the_journal() {
    let origin = Origin::echo();
    let mut gate = Gate::configured(&origin.policy(), "[limits]\ndrain_seconds = 1\n");
    let (mut client, _) = connect(&gate, &origin.address.to_string());
    client.send("abc");
    assert_eq!(client.take(3), b"abc");
    gate.signal("-TERM");
    assert!(client.rest().0.is_empty(), "the tunnel is cut");
    assert_eq!(gate.wait(), Some(0));
    let records = records(&gate.data_dir());
    let last = records.last().unwrap();
    assert_eq!((&last["kind"], &last["action"]), (&"admin".into(), &"journal_closed".into()), "{last}");
    let open = records.iter().find(|record| record["event"] == "open").unwrap();
    let close = event_of(&records, "close", &open["id"]);
    assert_eq!((&close["closed_by"], &close["closed_how"]), (&"gate".into(), &"gate_stopped".into()), "{close}");
    assert_eq!((&close["bytes_up"], &close["bytes_down"]), (&3.into(), &3.into()), "{close}");
    sekisho::store::verify(&gate.data_dir(), &Default::default()).unwrap();
}

#[test]
fn a_drained_gate_lets_a_request_under_way_end() {
    let (arrived, arrives) = mpsc::channel();
    let (go, gone) = mpsc::channel::<()>();
    let gone = std::sync::Mutex::new(gone);
    let origin = Origin::serving(move |mut peer, log| {
        log.note(&peer.request().unwrap());
        let _ = arrived.send(());
        let _ = gone.lock().unwrap().recv_timeout(Duration::from_secs(20));
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(get(&origin, "/", ""));
    arrives.recv_timeout(Duration::from_secs(20)).unwrap();
    gate.signal("-TERM");
    go.send(()).unwrap();
    assert_eq!(client.answer().text(), "ok");
    drop(client);
    assert_eq!(gate.wait(), Some(0));
    let closes: Vec<_> = records(&gate.data_dir()).into_iter().filter(|record| record["event"] == "close").collect();
    assert!(closes.len() == 1 && closes[0]["closed_how"] == "complete", "{closes:#?}");
}

#[test]
fn a_connection_that_waits_for_a_request_does_not_hold_up_the_drain() {
    let origin = Origin::start();
    let mut gate = Gate::configured(&origin.policy(), "[limits]\ndrain_seconds = 3600\n");
    let mut idle = gate.client();
    idle.send(get(&origin, "/", ""));
    assert_eq!(idle.answer().status(), 200);
    gate.signal("-TERM");
    assert!(idle.rest().0.is_empty(), "it is closed at once");
    assert_eq!(gate.wait(), Some(0));
}

#[test]
fn an_origin_hears_nothing_before_the_opening_record_is_in_the_journal() {
    for durability in ["batch", "strict"] {
        let directory = Arc::new(OnceLock::<PathBuf>::new());
        let reads = directory.clone();
        let (sender, receiver) = mpsc::channel();
        let origin = Origin::serving(move |mut peer, _| {
            // Dialled: for a tunnel this is already a passage.
            let _ = sender.send(records(reads.get().unwrap()));
            peer.head();
            let _ = peer.try_send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        });
        let config = format!("[evidence]\ndurability = \"{durability}\"\n");
        let gate = Gate::configured(&origin.policy(), &config);
        directory.set(gate.data_dir()).unwrap();
        for n in 1..=20 {
            let mut client = gate.client();
            client.send(get(&origin, &format!("/n{n}"), "Connection: close\r\n"));
            assert_eq!(client.answer().text(), "ok");
            let (_client, answer) = connect(&gate, &origin.address.to_string());
            assert_eq!(answer.status(), 200);
            for opened in [2 * n - 1, 2 * n] {
                let seen = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
                assert_eq!(seen.iter().filter(|record| record["event"] == "open").count(), opened, "{durability}");
            }
        }
    }
}
