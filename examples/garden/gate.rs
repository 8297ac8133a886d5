//! The gate as a process of its own, and what it has on record.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::strict::find;

/// The first argument by which this program becomes the gate.
pub(crate) const COMMAND: &str = "run";

/// Runs the command line of sekisho in this process.
pub(crate) fn be() -> ExitCode {
    match sekisho::cli::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sekisho: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A running gate; it is killed when this is dropped.
pub(crate) struct Gate {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

/// What came back on one connection.
pub(crate) struct Answer {
    pub(crate) client_port: u16,
    bytes: Vec<u8>,
}

impl Gate {
    /// Starts a gate that lets out to these ports of the loopback address and nowhere else.
    pub(crate) fn start(binary: Option<&Path>, ports: impl Iterator<Item = u16>) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start the gate: {error}");
        let directory = tempfile::tempdir().map_err(failed)?;
        let policy = directory.path().join("policy.toml");
        let ports: Vec<String> = ports.map(|port| port.to_string()).collect();
        let ports = ports.join(", ");
        let rule = format!(
            "[[rule]]\nname = \"origins\"\nhosts = [\"127.0.0.1\"]\nports = [{ports}]\nprivate = [\"127.0.0.0/8\"]\n\
             protocol = \"any\"\nverdict = \"allow\"\n"
        );
        fs::write(&policy, rule).map_err(failed)?;
        let binary = match binary {
            Some(binary) => binary.to_path_buf(),
            None => std::env::current_exe().map_err(failed)?,
        };
        let mut child = Command::new(binary)
            .args([COMMAND, "--listen", "127.0.0.1:0", "--policy"])
            .arg(&policy)
            .arg("--data-dir")
            .arg(directory.path().join("data"))
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let mut out = BufReader::new(child.stdout.take().ok_or("the gate has no output")?);
        let mut address = None;
        let mut line = String::new();
        while address.is_none() && out.read_line(&mut line).map_err(failed)? > 0 {
            address = line.split_whitespace().find_map(|word| word.parse().ok());
            line.clear();
        }
        let Some(address) = address else {
            let _ = child.wait();
            return Err("the gate ended before it told its address".to_owned());
        };
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Ok(Self { child, address, directory })
    }

    /// Sends bytes on a connection of their own; waits for what comes back, says that no more will
    /// be sent, and reads to the end.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<Answer, String> {
        let failed = |error: std::io::Error| format!("cannot reach the gate: {error}");
        let mut stream = TcpStream::connect(self.address).map_err(failed)?;
        let client_port = stream.local_addr().map_err(failed)?.port();
        // The gate may refuse before all is sent, or reset: what it answered is read all the same.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        stream.set_read_timeout(Some(Duration::from_millis(300))).map_err(failed)?;
        if stream.read_to_end(&mut answer).is_err() {
            let _ = stream.shutdown(Shutdown::Write);
            stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(failed)?;
            let _ = stream.read_to_end(&mut answer);
        }
        Ok(Answer { client_port, bytes: answer })
    }

    /// Asks the gate to end, waits for it, and reads its journal.
    pub(crate) fn end(mut self) -> Result<Records, String> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).ok_or("the gate has no process")?;
        kill_process(pid, Signal::TERM).map_err(|error| format!("cannot end the gate: {error}"))?;
        self.child.wait().map_err(|error| format!("cannot end the gate: {error}"))?;
        Records::read(&self.directory.path().join("data/journal"))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    /// The status of each answer on the connection.
    pub(crate) fn codes(&self) -> Vec<u16> {
        let mut codes = Vec::new();
        let mut rest = &self.bytes[..];
        while let Some(end) = find(rest, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
            let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default();
            codes.push(code);
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|digits| digits.parse().ok()).unwrap_or(0);
            rest = rest.get(end + 4 + length..).unwrap_or_default();
        }
        codes
    }

    /// The same, to be read.
    pub(crate) fn statuses(&self) -> String {
        let codes: Vec<String> = self.codes().iter().map(u16::to_string).collect();
        if codes.is_empty() { "closed".to_owned() } else { codes.join(" ") }
    }
}

/// The records of exchanges, in order.
pub(crate) struct Records(Vec<Value>);

impl Records {
    fn read(directory: &Path) -> Result<Self, String> {
        let failed = |error| format!("{}: {error}", directory.display());
        let mut segments: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(directory).map_err(failed)? {
            segments.push(entry.map_err(failed)?.path());
        }
        segments.sort();
        let mut records = Vec::new();
        for segment in segments {
            let text = fs::read_to_string(&segment).map_err(failed)?;
            records.extend(text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()));
        }
        records.retain(|record| record["kind"] == "exchange");
        Ok(Self(records))
    }

    fn of(&self, client_port: u16) -> impl Iterator<Item = &Value> {
        self.0.iter().filter(move |record| record["client_port"] == client_port)
    }

    /// Method and path of each request that was recorded before it was forwarded.
    pub(crate) fn opened_by(&self, client_port: u16) -> Vec<(String, String)> {
        let text = |record: &Value, key: &str| record[key].as_str().unwrap_or_default().to_owned();
        let opened = self.of(client_port).filter(|record| record["event"] == "open");
        opened.map(|record| (text(record, "method"), text(record, "path"))).collect()
    }

    /// Why requests were refused or broken off.
    pub(crate) fn reasons(&self, client_port: u16) -> Vec<String> {
        let mut reasons = Vec::new();
        for record in self.of(client_port) {
            let ended = self.0.iter().find(|other| other["event"] == "close" && other["id"] == record["id"]);
            let reason = match (record["event"].as_str(), ended) {
                (Some("refused"), _) => &record["reason"],
                (Some("open"), Some(ended)) => &ended["closed_how"],
                _ => continue,
            };
            reasons.push(reason.as_str().unwrap_or_default().to_owned());
        }
        reasons
    }
}
