//! A gate run as a process of its own, and an origin that remembers what it was sent.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

/// A running gate; it is ended when this is dropped.
pub(crate) struct Gate {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) directory: TempDir,
}

impl Gate {
    /// Starts a gate with this policy on a port of the kernel's choice.
    pub(crate) fn start(policy: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("policy.toml");
        std::fs::write(&file, policy).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_sekisho"))
            .args(["run", "--listen", "127.0.0.1:0", "--policy"])
            .arg(&file)
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let address = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Self { child, address, directory }
    }

    pub(crate) fn data_dir(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    /// Sends bytes on a connection of their own and reads until the gate closes it.
    pub(crate) fn send(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Ends the gate by a signal and waits for it.
    pub(crate) fn end(&mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        Command::new("kill").args([signal, &pid]).status().unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every record of a data directory's journal, parsed.
pub(crate) fn records(data_dir: &Path) -> Vec<serde_json::Value> {
    let mut paths: Vec<_> =
        std::fs::read_dir(data_dir.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let text: String = paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// An origin that answers every request with its own head, and remembers what it was sent.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let log = log.clone();
                std::thread::spawn(move || answer(stream, &log));
            }
        });
        Self { address, seen }
    }

    /// Heads and bodies, as they arrived.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    /// A policy that lets out to this origin alone.
    pub(crate) fn policy(&self) -> String {
        format!(
            "[[rule]]\nname = \"origin\"\nhosts = [\"127.0.0.1\"]\nports = [{}]\nprivate = [\"127.0.0.0/8\"]\n\
             protocol = \"any\"\nverdict = \"allow\"\n",
            self.address.port()
        )
    }
}

fn answer(stream: TcpStream, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while let Ok(1..) = reader.read_line(&mut head) {
        if head.ends_with("\r\n\r\n") {
            break;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    log.lock().unwrap().push(format!("{head}{}", String::from_utf8_lossy(&body)));
    let mut stream = stream;
    let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
}

#[test]
fn an_allowed_request_is_forwarded_and_recorded_and_another_is_refused() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let port = origin.address.port();
    let answer = gate.send(
        format!("GET http://127.0.0.1:{port}/a?secret=1 HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nProxy-Connection: keep-alive\r\nX-a: 1\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let seen = origin.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].starts_with("GET /a?secret=1 HTTP/1.1\r\nHost: 127.0.0.1"), "{seen:?}");
    assert!(seen[0].contains("X-a: 1\r\n") && seen[0].contains("Via: 1.1 sekisho\r\n"), "{seen:?}");
    assert!(!seen[0].to_ascii_lowercase().contains("proxy-connection"), "{seen:?}");
    let refused = gate.send(b"GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 403 ") && refused.contains("no_rule"), "{refused}");
    assert_eq!(gate.end("-TERM"), Some(0));

    let records = records(&gate.data_dir());
    let events: Vec<_> = records.iter().filter_map(|record| record["event"].as_str()).collect();
    assert_eq!(events, ["open", "close", "refused"]);
    assert_eq!(records.last().unwrap()["action"], "journal_closed");
    let all = serde_json::to_string(&records).unwrap();
    assert!(!all.contains("secret"), "queries are not kept: {all}");
    let report = sekisho::store::verify(&gate.data_dir()).unwrap();
    assert_eq!(report.records, records.len() as u64);
}

#[test]
fn a_tunnel_carries_bytes_both_ways_and_a_refused_one_dials_nothing() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let mut stream = TcpStream::connect(gate.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "CONNECT {} HTTP/1.1\r\nHost: {}\r\n\r\n", origin.address, origin.address).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 200 Connection established\r\n");
    reader.read_line(&mut line).unwrap();
    write!(stream, "GET /inside HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    reader.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("GET /inside"), "{answer}");
    drop((stream, reader));
    let refused = gate.send(b"CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert!(refused.contains("Proxy-Status: sekisho; error=http_request_denied"), "{refused}");
    assert_eq!(gate.end("-TERM"), Some(0));
    let records = records(&gate.data_dir());
    assert!(records.iter().any(|record| record["event"] == "close" && record["bytes_down"].as_u64() > Some(20)));
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn what_the_origin_saw_before_a_kill_is_on_record_after_it() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let port = origin.address.port();
    for n in 0..40 {
        let answer = gate.send(
            format!("GET http://127.0.0.1:{port}/n{n} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")
                .as_bytes(),
        );
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    gate.end("-KILL");
    let records = records(&gate.data_dir());
    for head in origin.seen() {
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let opened = records.iter().any(|record| record["event"] == "open" && record["path"] == path.as_str());
        assert!(opened, "{path} was seen by the origin and has no record");
    }
    sekisho::store::verify(&gate.data_dir()).unwrap();
}
