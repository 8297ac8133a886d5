//! Checkpoints that a running gate sends off the machine.

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::gate::{Start, records, status_of};
use crate::list_server::ListServer;

const POLICY: &str = "[policy]\nunknown = \"deny\"\n";

/// A server of syslog over TCP: each connection brings messages with their lengths in front, written down as lines.
fn log_server(listener: TcpListener) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let written = log.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut text = String::new();
            stream.unwrap().read_to_string(&mut text).unwrap();
            while let Some((length, rest)) = text.split_once(' ') {
                let (line, rest) = rest.split_at(length.parse().unwrap());
                written.lock().unwrap().push_str(&format!("{line}\n"));
                text = rest.to_owned();
            }
        }
    });
    log
}

fn verify(arguments: &[&str], data_dir: &Path) -> (Option<i32>, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let output = command.args(["verify", "--format", "json"]).args(arguments).arg(data_dir).output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or_default())
}

fn receiver<'s>(status: &'s Value, name: &str) -> &'s Value {
    status["receivers"].as_array().unwrap().iter().find(|receiver| receiver["name"] == name).unwrap()
}

fn until(data_dir: &Path, is_so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let status = status_of(data_dir);
        if is_so(&status) {
            return status;
        }
        std::thread::yield_now();
    }
}

/// Runs a gate until its status says so, and ends it: its segment is sealed by the next one.
fn run(data_dir: &Path, config: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut gate = Start { policy: POLICY, config, data_dir: Some(data_dir.to_owned()), ..Start::default() }.gate();
    let status = until(data_dir, is_so);
    assert_eq!(gate.end("-TERM"), Some(0));
    status
}

fn checkpoints(data_dir: &Path) -> Vec<String> {
    sekisho::store::checkpoint_lines(data_dir).unwrap().iter().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn each_receiver_has_every_checkpoint_in_order_whatever_was_down_meanwhile() {
    let directory = tempfile::tempdir().unwrap();
    let (data_dir, vault) = (directory.path().join("data"), directory.path().join("vault"));
    // Bound, and nobody listens there yet.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap();
    let hook = ListServer::start();
    let config = format!(
        "[checkpoints.vault]\ndirectory = {vault:?}\n[checkpoints.log]\nsyslog = \"{port}\"\n\
         [checkpoints.hook]\nurl = \"{}?key=hush\"\nca_file = {:?}\n",
        hook.url("/services/hush"),
        hook.ca()
    );
    hook.put_answer(
        "/services/hush?key=hush",
        "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://b.example/services/hush\r\nContent-Length: 0\r\n\r\n",
    );
    let fails = |status: &Value, name: &str| receiver(status, name)["error"] != Value::Null;
    run(&data_dir, &config, |status| status["sealing"]["key"] != Value::Null);
    let status = run(&data_dir, &config, |status| ["vault", "log", "hook"].iter().all(|name| fails(status, name)));
    let error = |name: &str| receiver(&status, name)["error"].as_str().unwrap().to_owned();
    assert!(error("vault").contains("vault/00000000000001-"), "{}", error("vault"));
    assert!(error("log").contains(&format!("cannot connect to {port}")), "{}", error("log"));
    assert_eq!(
        error("hook"),
        "it answered 308 Permanent Redirect and points to https://b.example/…: name that URL, if it is right"
    );
    assert_eq!((&receiver(&status, "log")["waiting"], &receiver(&status, "log")["last"]), (&json!(1), &Value::Null));
    assert!(!status.to_string().contains("hush"), "{status:#}");

    // One after another is there, and has what it missed.
    fs::create_dir(&vault).unwrap();
    hook.put_answer("/services/hush?key=hush", "HTTP/1.1 204 No Content\r\n\r\n");
    let has = |status: &Value, name: &str, count: usize| {
        let files = sekisho::store::checkpoint_files(&data_dir).unwrap();
        let newest = files.last().map(|(segment, _)| json!(segment));
        files.len() == count && Some(&receiver(status, name)["last"]) == newest.as_ref()
    };
    run(&data_dir, &config, |status| has(status, "vault", 2) && has(status, "hook", 2) && fails(status, "log"));
    let mut gate =
        Start { policy: POLICY, config: &config, data_dir: Some(data_dir.clone()), ..Start::default() }.gate();
    until(&data_dir, |status| fails(status, "log"));
    socket.listen(16).unwrap();
    let log = log_server(socket.into());
    until(&data_dir, |status| ["vault", "log", "hook"].iter().all(|name| has(status, name, 3)));
    assert_eq!(gate.end("-TERM"), Some(0));
    let sent = checkpoints(&data_dir);
    assert_eq!(sent.len(), 3);
    // The first was posted in vain at first, once a start and more.
    let mut posted = hook.posted();
    posted.dedup();
    assert_eq!(posted, sent);
    let mut files: Vec<_> = fs::read_dir(&vault).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let in_vault: Vec<_> = files.iter().map(|file| fs::read_to_string(file).unwrap().trim_end().to_owned()).collect();
    assert_eq!(in_vault, sent);
    let log_file = directory.path().join("syslog.log");
    // A log has more than these lines.
    let others = b"<13>1 - host sshd - - - Accepted publickey\n\xff\xfe\n";
    fs::write(&log_file, [others, log.lock().unwrap().as_bytes()].concat()).unwrap();
    let lines = sekisho::store::read_checkpoints(&log_file).unwrap();
    assert_eq!(lines, sent, "{}", log.lock().unwrap());
    assert!(log.lock().unwrap().lines().all(|line| line.starts_with("<109>1 2")), "{}", log.lock().unwrap());

    // What is elsewhere is what verifies, and what was cut off here is found by it.
    for elsewhere in [&vault, &log_file] {
        let (code, verified) = verify(&["--checkpoints", elsewhere.to_str().unwrap()], &data_dir);
        assert_eq!((code, &verified["elsewhere"]), (Some(0), &json!(3)), "{verified:#}");
    }
    let records = records(&data_dir);
    let told: Vec<_> = records.iter().filter(|record| record["subject"] == "checkpoints").collect();
    assert!(
        told.iter().any(|record| record["level"] == "waiting") && told.iter().any(|record| record["level"] == "sent")
    );
    assert!(told.iter().all(|record| !record.to_string().contains("hush")), "{told:#?}");
    let own = records.iter().any(|record| record["purpose"] == "checkpoint" && record["address"] == port.to_string());
    assert!(own, "the gate's own connections are on record");
    for name in fs::read_dir(data_dir.join("journal")).unwrap().map(|entry| entry.unwrap().path()) {
        if name.to_str().unwrap().contains(files[2].file_stem().unwrap().to_str().unwrap())
            || name.extension().unwrap() == "jsonl"
        {
            fs::remove_file(name).unwrap();
        }
    }
    assert_eq!(verify(&[], &data_dir).0, Some(0), "nothing here tells");
    assert_eq!(verify(&["--checkpoints", vault.to_str().unwrap()], &data_dir).0, Some(3));
}
