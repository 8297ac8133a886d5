//! A gate run as a process of its own.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::peer::Peer;

/// How long a gate may take to say where it listens.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Another program than the one that was built along with the tests.
pub(crate) static OTHER_PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// The gate's program.
pub(crate) fn program() -> &'static Path {
    let built = || option_env!("CARGO_BIN_EXE_sekisho").map(Path::new).expect("a program was named or built");
    OTHER_PROGRAM.get().map_or_else(built, PathBuf::as_path)
}

/// How often a test that draws lots is repeated: a few times, or with `SEKISHO_LONG=1` many times.
pub(crate) fn rounds(few: u64, many: u64) -> u64 {
    if std::env::var_os("SEKISHO_LONG").is_some_and(|value| value == "1") { many } else { few }
}

/// What a gate says on standard error, line by line.
pub(crate) struct Notices {
    lines: Receiver<String>,
    fifo: TempDir,
}

impl Notices {
    pub(crate) fn new() -> Self {
        let fifo = tempfile::tempdir().unwrap();
        let path = fifo.path().join("stderr");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            // Opens when the gate has opened its end.
            for line in BufReader::new(std::fs::File::open(path).unwrap()).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { lines, fifo }
    }

    /// What a shell does before it becomes the gate.
    pub(crate) fn before(&self) -> String {
        format!("exec 2>'{}'", self.fifo.path().join("stderr").display())
    }

    /// Reads up to a line with these words in it.
    pub(crate) fn until(&self, words: &str) -> String {
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(START_TIMEOUT) {
                Ok(line) if line.contains(words) => return line,
                Ok(line) => said.push(line),
                Err(_) => panic!("nothing said {words:?}: {said:#?}"),
            }
        }
    }
}

/// Lets this process open as many files as the system allows it.
pub(crate) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
}

/// Before a gate that has much to say.
pub(crate) const QUIET: &str = "exec 2>/dev/null";

/// A running gate; it is ended when this is dropped.
pub(crate) struct Gate {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) directory: TempDir,
}

/// What a gate is started with.
#[derive(Default)]
pub(crate) struct Start<'a> {
    pub(crate) policy: &'a str,
    /// The text of a config file.
    pub(crate) config: &'a str,
    /// Where to listen, if not on a loopback port of the kernel's choice.
    pub(crate) listen: Option<SocketAddr>,
    /// A data directory of another gate.
    pub(crate) data_dir: Option<PathBuf>,
    /// What a shell does before it becomes the gate.
    pub(crate) before: &'a str,
    /// `--observe`
    pub(crate) observe: bool,
    /// A listener that the gate is given as one that is its own.
    pub(crate) passed: Option<&'a TcpListener>,
    /// `--take-over`
    pub(crate) takes_over: bool,
}

impl Start<'_> {
    fn command(&self, directory: &Path) -> Command {
        let policy = directory.join("policy.toml");
        std::fs::write(&policy, self.policy).unwrap();
        let config = directory.join("sekisho.toml");
        std::fs::write(&config, self.config).unwrap();
        let listen = self.listen.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string());
        let socket = self.passed.map(|socket| OwnedFd::from(socket.try_clone().unwrap()));
        // The shell's number is the gate's.
        let takes = socket.as_ref().map_or("", |_| "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$");
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                &format!(
                    "{takes}
{}
exec \"$0\" \"$@\"",
                    self.before
                ),
            ])
            .arg(program())
            .args(["run", "--listen", &listen, "--policy"])
            .arg(&policy)
            .arg("--config")
            .arg(&config)
            .arg("--data-dir")
            .arg(self.data_dir.clone().unwrap_or_else(|| directory.join("data")))
            .args(self.observe.then_some("--observe"))
            .args(self.takes_over.then_some("--take-over"))
            .stdin(socket.map_or_else(Stdio::null, Stdio::from));
        command
    }

    /// Starts a gate that must come up.
    pub(crate) fn gate(&self) -> Gate {
        let directory = tempfile::tempdir().unwrap();
        let mut child = self.command(directory.path()).stdout(Stdio::piped()).spawn().unwrap();
        let address = proxy_address(child.stdout.take().unwrap());
        Gate { child, address, directory }
    }

    /// Runs a gate that must not come up, to its end.
    pub(crate) fn output(&self) -> Output {
        let directory = tempfile::tempdir().unwrap();
        self.command(directory.path()).output().unwrap()
    }
}

/// The address in the line that begins with `proxy`; what follows it is read and thrown away.
fn proxy_address(out: ChildStdout) -> SocketAddr {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if let Some(rest) = line.strip_prefix("proxy ") {
                let _ = sender.send(rest.split_whitespace().next().unwrap().parse().unwrap());
            }
        }
    });
    receiver.recv_timeout(START_TIMEOUT).expect("the gate says where it listens")
}

impl Gate {
    /// Starts a gate with this policy on a port of the kernel's choice.
    pub(crate) fn start(policy: &str) -> Self {
        Start { policy, ..Start::default() }.gate()
    }

    /// Starts a gate with this policy and this config file.
    pub(crate) fn configured(policy: &str, config: &str) -> Self {
        Start { policy, config, ..Start::default() }.gate()
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A connection to the gate.
    pub(crate) fn client(&self) -> Peer {
        Peer::connect(self.address)
    }

    /// Sends bytes on a connection of their own, waits for what comes back, says that no more will be
    /// sent, and reads until the gate closes.
    pub(crate) fn send(&self, bytes: &[u8]) -> String {
        let mut client = self.client();
        let _ = client.try_send(bytes);
        let mut answer = client.some();
        client.finish();
        answer.extend(client.rest().0);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Ends the gate by a signal and waits for it.
    pub(crate) fn end(&mut self, signal: &str) -> Option<i32> {
        self.signal(signal);
        self.wait()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        Command::new("kill").args([signal, &pid]).status().unwrap();
    }

    /// The exit code; `None` when a signal ended it.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Drains the gate, which must end well, and reads its journal.
    pub(crate) fn records(&mut self) -> Vec<Value> {
        assert_eq!(self.end("-TERM"), Some(0), "a drained gate ends with 0");
        records(&self.data_dir())
    }

    /// Drains the gate and gives the records of exchanges that have this event, in the order in which
    /// the exchanges began: workers hand their records over one after the other.
    pub(crate) fn events(&mut self, event: &str) -> Vec<Value> {
        let mut events: Vec<_> = self.records().into_iter().filter(|record| record["event"] == event).collect();
        events.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
        events
    }

    /// Drains the gate and gives every exchange that was let out, in order of opening.
    pub(crate) fn exchanges(&mut self) -> Vec<Value> {
        exchanges(&self.records())
    }

    /// What `sekisho status` tells of the running gate, as JSON.
    pub(crate) fn status(&self) -> Value {
        status_of(&self.data_dir())
    }

    /// Where its policy is.
    pub(crate) fn policy(&self) -> PathBuf {
        self.directory.path().join("policy.toml")
    }

    /// Puts another policy over its own, as an editor does, and has it read: what `sekisho reload` said.
    pub(crate) fn put(&self, policy: &str) -> Output {
        put_over(&self.policy(), policy);
        self.reload()
    }

    /// What `sekisho reload` said.
    pub(crate) fn reload(&self) -> Output {
        Command::new(program()).arg("reload").arg(self.data_dir()).output().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that the gate has ever held, in bytes, but for what of its program's file lies in memory now: that grows
    /// with the program, and is nobody's to take.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        (kib("VmHWM:") - kib("RssFile:")) * 1024
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts a file with this text over another in one step.
pub(crate) fn put_over(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

/// What `sekisho status` tells of the gate with this data directory.
pub(crate) fn status_of(data_dir: &Path) -> Value {
    let mut command = Command::new(program());
    let output = command.args(["status", "--format", "json"]).arg(data_dir).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The segments of a data directory's journal that are not sealed, oldest first.
pub(crate) fn segments(data_dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        std::fs::read_dir(data_dir.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    paths.sort();
    paths
}

/// The text of a data directory's journal, sealed segments and the one that is written to.
pub(crate) fn journal_text(data_dir: &Path) -> String {
    let mut reader = sekisho::store::Reader::open(data_dir, None).unwrap();
    let (mut block, mut text) = (Vec::new(), Vec::new());
    while reader.next(&mut block).unwrap() {
        text.extend_from_slice(&block);
    }
    assert_eq!(reader.damaged(), []);
    String::from_utf8(text).unwrap()
}

/// Every record of a data directory's journal, parsed.
pub(crate) fn records(data_dir: &Path) -> Vec<Value> {
    journal_text(data_dir).lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// All that is on record of each exchange that was let out, in order of opening: the fields of its
/// records, of which each tells what those before it could not know.
pub(crate) fn exchanges(records: &[Value]) -> Vec<Value> {
    let mut whole = Vec::new();
    for open in records.iter().filter(|record| record["event"] == "open") {
        let mut fields = serde_json::Map::new();
        for record in records.iter().filter(|record| record["id"] == open["id"]) {
            fields.extend(record.as_object().unwrap().clone());
        }
        assert_eq!(fields["event"], "close", "the last record of an exchange closes it: {fields:#?}");
        whole.push(Value::Object(fields));
    }
    whole
}

/// The one record of this event with this exchange id.
pub(crate) fn event_of<'r>(records: &'r [Value], event: &str, id: &Value) -> &'r Value {
    let mut found = records.iter().filter(|record| record["event"] == event && record["id"] == *id);
    let record = found.next().unwrap_or_else(|| panic!("no {event} of {id} in {records:#?}"));
    assert!(found.next().is_none(), "several {event} of {id}");
    record
}
