//! The product's main job on real input: three machines in network namespaces of their own, where
//! the gate is the only way from the client to the internet.
//!
//! ```text
//! client 10.20.0.2 ── 10.20.0.1 gateway 11.77.0.1 ── 11.77.0.53 internet: DNS, web, and 10.99.0.9
//!                     nftables + the gate
//! ```
//!
//! The internet's addresses look public because the gate's guard refuses every special-purpose range,
//! documentation's too; they exist within the namespaces only. What must be refused is resolvable and
//! reachable all the same, so that nothing but the gate or the wall can be what stopped it.
//!
//! Needs root and the programs in [`PROGRAMS`]; `tests/run` installs them where it may. Alone, with what
//! was reached, refused and recorded printed:
//!
//! ```text
//! cargo test --test it lab:: -- --nocapture --test-threads 1
//! ```

mod browser;
mod evidence;
mod internet;
mod network;
mod process;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Signal, geteuid};
use serde_json::Value;
use tempfile::TempDir;

use browser::{Browser, Visit};
use evidence::{Evidence, Exchange};
use internet::Internet;
use network::{CLIENT, Counters, DNS, GATE, GATE_OUTSIDE, Machine, Network, PRIVATE, WEB};
use process::Process;

/// What the lab and the tests with browsers run (programs, `python3:` with a module of Python, and `rsyslog:` with one of rsyslog),
/// and the Debian package of each; `tests/run` reads it too.
const PROGRAMS: &str = include_str!("programs");

/// Names that the lab's DNS knows. All lead to the web server or to where they must not lead.
const PORTAL: &str = "portal.supplier.example";
const INTRANET: &str = "intranet.supplier.example";
const MIRROR: &str = "gate.supplier.example";
const COMMAND_SERVER: &str = "update.c2.example";
const UNKNOWN: &str = "unknown.example";
/// Every page of the web server has a picture from here.
const TRACKER: &str = "tracker.example";
/// Asked for by the client itself, before the wall stands.
const CONTROL: &str = "control.example";

const CONTACT: &str = "Ask the network desk";
const POLICY: &str = r#"
[clients]
office = { addresses = ["10.20.0.0/24"] }

[hosts]
suppliers = { names = ["*.supplier.example"] }
command   = { names = ["*.c2.example"] }

[[rule]]
name    = "known command servers"
hosts   = ["command"]
verdict = "deny"

[[rule]]
name    = "suppliers"
clients = ["office"]
hosts   = ["suppliers"]
verdict = "allow"
"#;

/// A lab with everything running, and no wall yet. Fields end in this order: processes, then the
/// namespaces they live in, then the files.
struct Lab {
    gate: Process,
    internet: Internet,
    network: Network,
    directory: TempDir,
}

impl Lab {
    fn start() -> Self {
        require_programs();
        let directory = tempfile::tempdir().unwrap();
        let network = Network::make();
        let internet = Internet::start(
            &network,
            directory.path(),
            &[
                (PORTAL, WEB),
                (INTRANET, PRIVATE),
                (MIRROR, GATE_OUTSIDE),
                (COMMAND_SERVER, WEB),
                (UNKNOWN, WEB),
                (TRACKER, WEB),
                (CONTROL, WEB),
            ],
        );
        let gate = start_gate(&network, directory.path());
        Self { gate, internet, network, directory }
    }

    /// Ends gate and servers, so that every log is whole, and reads what they wrote.
    fn finish(mut self) -> Evidence {
        let counters = self.network.counters();
        assert_eq!(self.gate.end(Signal::TERM).code(), Some(0), "the gate drains and ends");
        let (queries, requests) = self.internet.end();
        let evidence = Evidence::read(&self.directory.path().join("data"), queries, requests, counters);
        evidence.print();
        evidence
    }
}

fn start_gate(network: &Network, directory: &Path) -> Process {
    std::fs::write(directory.join("policy.toml"), POLICY).unwrap();
    let config = format!(
        "[gate]\nlisten = [\"{GATE}\"]\ndata_dir = \"data\"\npolicy = \"policy.toml\"\n\
         contact = \"{CONTACT}\"\n[dns]\nservers = [\"{DNS}:53\"]\n"
    );
    std::fs::write(directory.join("sekisho.toml"), config).unwrap();
    let mut command = network.command(Machine::Gateway, env!("CARGO_BIN_EXE_sekisho"));
    command.args(["run", "--config", "sekisho.toml"]).current_dir(directory);
    // Bound before this line is printed.
    Process::start_on_stdout(command, "proxy ")
}

/// Fails with what to do. `tests/run` leaves the lab out, and says so, where it cannot be had.
fn require_programs() {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |program: &str| match program.split_once(':') {
        Some(("rsyslog", module)) => has_part_of_rsyslog(module),
        Some((_, module)) => has_module(module),
        None => std::env::split_paths(&path).any(|directory| directory.join(program).is_file()),
    };
    let programs = PROGRAMS.lines().filter_map(|line| line.split_once(' '));
    let missing: Vec<&str> = programs.filter(|(program, _)| !is_there(program)).map(|(_, package)| package).collect();
    assert!(
        missing.is_empty(),
        "the lab needs packages that are missing: apt-get install --no-install-recommends {}\n\
         (or leave the lab out: cargo test -- --skip lab::)",
        missing.join(" ")
    );
    assert!(
        geteuid().is_root(),
        "the lab makes network namespaces and needs root (or leave it out: cargo test -- --skip lab::)"
    );
}

/// Below `/usr/lib/*/rsyslog`.
fn has_part_of_rsyslog(module: &str) -> bool {
    let libraries = std::fs::read_dir("/usr/lib").into_iter().flatten().filter_map(Result::ok);
    libraries.map(|library| library.path().join(format!("rsyslog/{module}.so"))).any(|path| path.is_file())
}

/// Whether Debian's own Python has this module, whatever other Python is in `PATH`.
fn has_module(name: &str) -> bool {
    let import = format!("import {name}");
    let status = Command::new("/usr/bin/python3").args(["-Ic", &import]).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// A DNS question for the A record of [`CONTROL`], RFC 1035 §4.1.
fn control_query() -> Vec<u8> {
    let mut query = vec![0x5e, 0x15, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in CONTROL.split('.') {
        query.push(u8::try_from(label.len()).unwrap());
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    query
}

const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Connects without the gate.
fn connect(to: &str) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&to.parse().unwrap(), ANSWER_TIMEOUT)
}

/// Asks the internet's DNS without the gate; the length of the answer.
fn ask_dns() -> std::io::Result<usize> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(ANSWER_TIMEOUT))?;
    socket.connect((DNS, 53))?;
    socket.send(&control_query())?;
    socket.recv(&mut [0; 512])
}

/// One request over the gate, read to the end of the connection.
fn through_gate(request: &str) -> String {
    let mut stream = connect(GATE).unwrap();
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn the_gate_is_the_only_way_out_once_the_wall_stands() {
    let lab = Lab::start();
    let (http, https) = (format!("{WEB}:80"), format!("{WEB}:443"));
    let beside_the_gate =
        lab.network.inside(Machine::Gateway, || TcpListener::bind((GATE.split(':').next().unwrap(), 8080))).unwrap();
    let beside = beside_the_gate.local_addr().unwrap().to_string();

    // Without the wall every way is open, or its being shut later would prove nothing.
    lab.network.inside(Machine::Client, || {
        for address in [&http, &https, &beside] {
            connect(address).unwrap_or_else(|error| panic!("{address} without a wall: {error}"));
        }
        assert!(ask_dns().unwrap() > control_query().len());
    });

    lab.network.raise_wall();
    lab.network.inside(Machine::Client, || {
        for address in [&http, &https, &beside] {
            assert_eq!(connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused, "{address}");
        }
        assert_eq!(ask_dns().unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let answer =
            through_gate(&format!("GET http://{PORTAL}/raw HTTP/1.1\r\nHost: {PORTAL}\r\nConnection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains(&internet::text("http", PORTAL)), "{answer}");
    });

    let evidence = lab.finish();
    let Counters { web, dns, gateway } = evidence.counters;
    assert!(web >= 2 && dns >= 1 && gateway >= 1, "each attempt was refused by the wall: {:?}", evidence.counters);
    assert_eq!(evidence.asked_for(), [CONTROL, PORTAL]);
    evidence.assert_no_passage_without_record();
    assert_eq!(evidence.of_host(PORTAL).len(), 1);
}

#[test]
fn a_browser_reaches_what_is_allowed_and_nothing_else_and_all_of_it_is_on_record() {
    let lab = Lab::start();
    lab.network.raise_wall();
    let browser = Browser::new(&lab.network, lab.directory.path(), &lab.internet.authority);

    for scheme in ["http", "https"] {
        let visit = browser.visit(&format!("{scheme}://{PORTAL}/orders"));
        assert!(visit.page.contains(&internet::text(scheme, PORTAL)), "{visit:?}");
    }
    let denied = browser.visit(&format!("http://{COMMAND_SERVER}/beacon"));
    let denied_tunnel = browser.visit(&format!("https://{UNKNOWN}/"));
    // Chromium shows a page of its own for a refused CONNECT.
    assert_eq!(denied_tunnel.error.as_deref(), Some("ERR_TUNNEL_CONNECTION_FAILED"));
    let private = browser.visit_in("ja", &format!("http://{INTRANET}/"));
    let mirror = browser.visit_in("ja", &format!("http://{MIRROR}/"));
    let direct = browser.visit_without_gate(&format!("http://{PORTAL}/direct"), WEB);
    assert_eq!(direct.error.as_deref(), Some("ERR_CONNECTION_REFUSED"));

    // The private host is there to be reached: it is the guard that refuses it.
    lab.network.inside(Machine::Gateway, || connect(&format!("{PRIVATE}:80"))).unwrap();

    let evidence = lab.finish();
    assert_denied_by_rule(&evidence, &denied);
    assert_denied_unnamed(&evidence);
    assert_refused_by_guard(&evidence, INTRANET, &private, "10.0.0.0/8");
    assert_refused_by_guard(&evidence, MIRROR, &mirror, "the gate itself");
    assert_allowed(&evidence);
    assert_eq!(evidence.asked_for(), [MIRROR, INTRANET, PORTAL], "no name that is denied was asked for");
    assert!(evidence.requests().all(|[_, _, host, ..]| host == PORTAL));
    assert!(evidence.requests().any(|request| request[0] == "https" && request[4] == "/orders"));
    evidence.assert_no_passage_without_record();
    assert!(evidence.counters.web > 0, "the browser that went without the gate ran into the wall");
}

fn assert_denied_by_rule(evidence: &Evidence, page: &Visit) {
    let record = evidence.of_page(COMMAND_SERVER, "/beacon");
    assert_eq!(record.events, ["refused"]);
    assert_eq!(record["reason"], "rule");
    assert_eq!(record["rule"], "known command servers");
    assert_eq!(record["client"], CLIENT);
    assert_eq!(record["status"], 403);
    assert_page_says(page, record, &["known command servers", &policy_line("known command servers"), "lang=\"en\""]);
}

/// What an allowed page brings in, and tunnels.
fn assert_denied_unnamed(evidence: &Evidence) {
    let picture = evidence.of_page(TRACKER, "/dot.png");
    assert_eq!(picture.events, ["refused"], "an allowed page brings in nothing that is not");
    assert_eq!((&picture["reason"], &picture["referer_host"]), (&"no_rule".into(), &PORTAL.into()));

    // Several of each: a browser tries again by itself.
    for host in [UNKNOWN, TRACKER] {
        let is_tunnel = |record: &&Exchange| record["method"] == "CONNECT";
        let tunnels: Vec<_> = evidence.of_host(host).into_iter().filter(is_tunnel).collect();
        assert!(!tunnels.is_empty(), "{host}");
        for record in tunnels {
            assert_eq!(record.events, ["refused"], "{record:?}");
            assert_eq!((&record["reason"], &record["port"]), (&"no_rule".into(), &443.into()), "{record:?}");
            assert_eq!((&record["client"], &record["status"]), (&CLIENT.into(), &403.into()), "{record:?}");
        }
    }
}

fn assert_refused_by_guard(evidence: &Evidence, host: &str, page: &Visit, detail: &str) {
    let record = evidence.of_page(host, "/");
    assert!(record.is_refused_for("guard_address"), "{record:?}");
    assert!(record["detail"].as_str().unwrap().contains(detail), "{record:?}");
    assert_eq!((&record["dialled"], &record["status"]), (&Value::Null, &403.into()), "{record:?}");
    assert_page_says(page, record, &["guard_address", detail, "lang=\"ja\""]);
}

fn assert_allowed(evidence: &Evidence) {
    let visit = evidence.of_page(PORTAL, "/orders");
    assert_eq!(visit.events, ["open", "close"]);
    assert_eq!((&visit["rule"], &visit["status"]), (&"suppliers".into(), &200.into()), "{visit:?}");
    assert_eq!(visit["dialled"], format!("{WEB}:80"));
    // A browser opens tunnels that it then does not use; what is said of the one that carried the page:
    let tunnels = evidence.of_host(PORTAL).into_iter().filter(|record| record["method"] == "CONNECT");
    let tunnel = tunnels.max_by_key(|record| record["bytes_down"].as_u64()).unwrap();
    assert_eq!(tunnel.events, ["open", "established", "close"]);
    assert_eq!((&tunnel["sni"], &tunnel["alpn"]), (&PORTAL.into(), &["h2", "http/1.1"][..].into()), "{tunnel:?}");
    assert!(tunnel["ja4"].as_str().is_some_and(|ja4| ja4.starts_with("t13d")), "{tunnel:?}");
    assert_eq!(tunnel["dialled"], format!("{WEB}:443"));
}

/// The page of a refusal names its exchange, whom to ask, and what else a person needs.
fn assert_page_says(visit: &Visit, record: &Exchange, parts: &[&str]) {
    for part in [record.id(), record["host"].as_str().unwrap(), CONTACT].iter().chain(parts) {
        assert!(visit.page.contains(part), "the page says {part}: {visit:?}");
    }
}

/// Where a rule stands, as reasons show it.
fn policy_line(rule: &str) -> String {
    let line = POLICY.lines().position(|line| line.contains(rule)).unwrap() + 1;
    format!("policy.toml:{line}")
}
