//! The web console of a running gate: who is let in, who may do what, what is on record of it, and what a browser makes of it.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::gate::{Gate, Start, records};
use crate::origin::Origin;
use crate::peer::{Message, Peer};

pub(crate) mod browser;

const PASSWORD: &str = "correct horse battery";
const CONSOLE: &str = "[console]\nlisten = [\"127.0.0.1:0\"]\n";

/// Gives somebody a role and a password.
pub(crate) fn add_user(data_dir: &Path, name: &str, role: &str, password: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(["console", "user", "add", name, "--role", role, "--data-dir"]).arg(data_dir);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A gate with a console, and a user of each role: `viewer`, `analyst` and `admin`.
pub(crate) fn gate(policy: &str, config: &str) -> Gate {
    let gate = Start { policy, config: &format!("{CONSOLE}{config}"), ..Start::default() }.gate();
    let first = add_user(&gate.data_dir(), "viewer", "viewer", PASSWORD);
    assert!(first.status.success(), "{first:?}");
    // All three have the same hash: it takes a while to make.
    let path = gate.data_dir().join("console.users");
    let line = std::fs::read_to_string(&path).unwrap();
    let of = |role: &str| line.replace("viewer:viewer:", &format!("{role}:{role}:"));
    std::fs::write(&path, [line.clone(), of("analyst"), of("admin")].concat()).unwrap();
    gate
}

pub(crate) fn address(gate: &Gate) -> SocketAddr {
    let told = gate.status()["console"][0].as_str().unwrap().to_owned();
    told.strip_prefix("http://").unwrap().trim_end_matches('/').parse().unwrap()
}

/// A browser without a window: it keeps cookies.
pub(crate) struct Visitor {
    address: SocketAddr,
    cookies: Vec<(String, String)>,
}

impl Visitor {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, cookies: Vec::new() }
    }

    fn ask(&mut self, line: &str, more: &str, body: &str) -> Message {
        let mut peer = Peer::connect(self.address);
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = if cookies.is_empty() { String::new() } else { format!("Cookie: {}\r\n", cookies.join("; ")) };
        let host = self.address;
        peer.send(format!("{line} HTTP/1.1\r\nHost: {host}\r\n{cookies}Connection: close\r\n{more}\r\n{body}"));
        let answer = peer.answer();
        for set in answer.all("set-cookie") {
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        answer
    }

    pub(crate) fn get(&mut self, way: &str) -> Message {
        self.ask(&format!("GET {way}"), "", "")
    }

    pub(crate) fn post(&mut self, way: &str, form: &[(&str, &str)], more: &str) -> Message {
        let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        let pairs: Vec<_> = form.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
        let body = pairs.join("&");
        let head =
            format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n{more}", body.len());
        self.ask(&format!("POST {way}"), &head, &body)
    }

    pub(crate) fn log_in(&mut self, name: &str, password: &str) -> Message {
        let token = token(&self.get("/login").text());
        self.post("/login", &[("token", &token), ("name", name), ("password", password), ("then", "/blocked")], "")
    }

    /// The token of the forms of a page.
    fn token_at(&mut self, way: &str) -> String {
        token(&self.get(way).text())
    }

    fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }
}

/// Somebody of this role who has logged in.
pub(crate) fn visitor(gate: &Gate, name: &str) -> Visitor {
    let mut visitor = Visitor::new(address(gate));
    let answer = visitor.log_in(name, PASSWORD);
    assert_eq!((answer.status(), answer.field("location")), (303, Some("/blocked")), "{}", answer.text());
    visitor
}

fn token(page: &str) -> String {
    let (_, rest) = page.split_once("name=\"token\" value=\"").unwrap_or_else(|| panic!("no token in {page}"));
    rest.split('"').next().unwrap().to_owned()
}

fn of_kind<'a>(all: &'a [Value], kind: &str) -> Vec<&'a Value> {
    all.iter().filter(|record| record["kind"] == kind).collect()
}

/// Has a request refused, and waits until the index has it.
pub(crate) fn refused(gate: &Gate, host: &str) {
    let answer =
        gate.send(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    indexed(gate);
}

/// Waits until the index has all that is on record by now.
pub(crate) fn indexed(gate: &Gate) {
    let begun = std::time::Instant::now();
    let newest = gate.status()["journal"]["records"].as_u64().unwrap();
    while gate.status()["index"]["record"].as_u64().is_none_or(|record| record < newest) {
        assert!(begun.elapsed().as_secs() < 60, "{:#}", gate.status()["index"]);
    }
}

#[test]
fn a_person_logs_in_sees_what_was_blocked_and_logs_out() {
    let mut gate = gate("", "");
    refused(&gate, "blocked.example");
    let mut anybody = Visitor::new(address(&gate));
    let answer = anybody.get("/blocked?days=3");
    assert_eq!((answer.status(), answer.field("location")), (303, Some("/login?then=%2Fblocked%3Fdays%3D3")));
    let mut viewer = visitor(&gate, "viewer");
    let page = viewer.get("/blocked").text();
    assert!(page.contains("blocked.example") && page.contains("no_rule"), "{page}");
    let overview = viewer.get("/").text();
    assert!(overview.contains("Blocked today") && overview.contains("lang=\"en\""), "{overview}");
    let japanese = viewer.get("/?lang=ja").text();
    assert!(japanese.contains("本日の遮断") && japanese.contains("<html lang=\"ja\">"), "{japanese}");
    assert!(viewer.get("/findings").text().contains("検出"), "the language is kept");
    let token = viewer.token_at("/");
    let session = viewer.cookie("sekisho").unwrap();
    assert_eq!(viewer.post("/logout", &[("token", &token)], "").status(), 303);
    viewer.cookies.push(("sekisho".into(), session));
    assert_eq!(viewer.get("/").status(), 303, "what was a session is none any more");
    assert_eq!(gate.end("-TERM"), Some(0));
    let all = records(&gate.data_dir());
    let actions: Vec<_> = of_kind(&all, "admin").iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert!(actions.contains(&"console_login") && actions.contains(&"console_logout"), "{actions:?}");
}
