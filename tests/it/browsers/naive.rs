//! Programs that claim to be a browser and are none: on a machine whose browser is cleared they get nothing.

mod flood;
mod returns;
mod rust;

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::challenge_reset::clearance;

use super::CHROMIUM;
use super::driven::Driven;
use super::site::Site;

/// Clients that speak HTTP and are no browsers: a name, and how each is run. In a command line `PROXY`, `URL`, `AGENT`
/// and `CONNECT_AGENT` stand for what [`Asks`] says, `HERE` for where their sources are and `GO` for what Go's has
/// become. Each writes what it got.
const NAIVE: [(&str, How); 11] = [
    ("curl", How::Command("curl -sk --max-time 10 -A AGENT -x http://PROXY URL")),
    (
        "curl-that-tries-again",
        How::Command("curl -sk --retry 1 --retry-all-errors --max-time 10 -A AGENT -x http://PROXY URL"),
    ),
    (
        "wget",
        How::Command(
            "wget -q -O - -t 1 -T 10 --no-check-certificate -U AGENT \
             -e use_proxy=yes -e http_proxy=PROXY -e https_proxy=PROXY URL",
        ),
    ),
    // Isolated: these have the names of what they import.
    ("requests", How::Command("/usr/bin/python3 -I HERE/requests.py PROXY URL AGENT CONNECT_AGENT")),
    ("httpx", How::Command("/usr/bin/python3 -I HERE/httpx.py PROXY URL AGENT CONNECT_AGENT")),
    ("aiohttp", How::Command("/usr/bin/python3 -I HERE/aiohttp.py PROXY URL AGENT CONNECT_AGENT")),
    ("urllib", How::Command("/usr/bin/python3 -I HERE/urllib.py PROXY URL AGENT CONNECT_AGENT")),
    ("node", How::Command("node HERE/client.js PROXY URL AGENT CONNECT_AGENT")),
    ("go", How::Command("GO PROXY URL AGENT CONNECT_AGENT")),
    ("rust", How::Here(rust::get)),
    ("raw-socket", How::Command("/usr/bin/python3 -I HERE/raw.py PROXY URL AGENT CONNECT_AGENT")),
];

enum How {
    Command(&'static str),
    Here(fn(&Asks<'_>) -> String),
}

/// What a client is to ask for.
struct Asks<'a> {
    proxy: SocketAddr,
    url: &'a str,
    agent: &'a str,
    /// The User-Agent of its CONNECT; empty for what the client sends by itself.
    connect_agent: &'a str,
}

/// The clients, ready to run.
struct Clients {
    built: TempDir,
}

impl Clients {
    fn new() -> Self {
        let built = tempfile::tempdir().unwrap();
        let mut go = Command::new("go");
        go.args(["build", "-o"]).arg(built.path().join("go")).arg(format!("{HERE}/client.go")).env_clear().envs(path());
        go.env("HOME", built.path()).env("GOCACHE", built.path().join("cache"));
        // What is installed, and nothing from elsewhere.
        go.envs([("GO111MODULE", "off"), ("GOTOOLCHAIN", "local"), ("CGO_ENABLED", "0")]);
        let output = go.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Self { built }
    }

    /// What a client gets.
    fn get(&self, how: &How, asks: &Asks<'_>) -> String {
        let line = match how {
            How::Command(line) => line,
            How::Here(get) => return get(asks),
        };
        let mut words = line.split_whitespace().map(|word| match word {
            "AGENT" => asks.agent.to_owned(),
            "CONNECT_AGENT" => asks.connect_agent.to_owned(),
            "URL" => asks.url.to_owned(),
            "GO" => self.built.path().join("go").display().to_string(),
            word => word.replace("PROXY", &asks.proxy.to_string()).replace("HERE", HERE),
        });
        let mut command = Command::new(words.next().unwrap());
        let output = command.args(words).env_clear().envs(path()).stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/browsers/naive");

fn path() -> Option<(&'static str, std::ffi::OsString)> {
    std::env::var_os("PATH").map(|path| ("PATH", path))
}

/// The clients that put a User-Agent of the caller's into their CONNECT only where they are told how.
fn silent() -> impl Iterator<Item = &'static (&'static str, How)> {
    NAIVE.iter().filter(|(_, how)| match how {
        How::Command(line) => line.contains("CONNECT_AGENT"),
        How::Here(_) => true,
    })
}

/// The host that a client asks for: its records are those of this host.
fn host_of(name: &str) -> String {
    format!("{name}.test")
}

/// While a browser on the same machine is cleared, no other program with its User-Agent gets anything, and why is on
/// record with what speaks against it.
fn naive_clients_get_nothing(scheme: &'static str, reason: &str) {
    let clients = Clients::new();
    let mut site = Site::new(scheme);
    site.visit(Driven::chromium);
    site.asked.lock().unwrap().clear();
    let programs = |site: &Site| {
        let listed = clearance(&["list"], &site.gate);
        listed["clearances"].as_array().unwrap().iter().map(|of| of["program"].clone()).collect::<Vec<_>>()
    };
    let cleared = programs(&site);
    assert_eq!(cleared.len(), 1, "the browser alone: {cleared:?}");
    let get = |site: &Site, name: &str, how: &How| {
        let url = format!("{scheme}://{}/naive", host_of(name));
        let asks = Asks { proxy: site.gate.address, url: &url, agent: CHROMIUM, connect_agent: CHROMIUM };
        clients.get(how, &asks)
    };
    for (name, how) in &NAIVE {
        let got = get(&site, name, how);
        assert!(!is_the_sites(&got), "{name} got {got}");
        assert!(site.asked.lock().unwrap().is_empty(), "{name} reached the site");
    }
    assert_eq!(programs(&site), cleared, "nobody else has been cleared");
    // Nothing else holds them back: where the policy allows, each gets what it asks for.
    let policy = std::fs::read_to_string(site.gate.policy()).unwrap();
    assert!(site.gate.put(&policy.replace("\"challenge\"", "\"allow\"")).status.success());
    for (name, how) in &NAIVE {
        let got = get(&site, name, how);
        assert!(is_the_sites(&got), "{name} got {got:?} where it is allowed");
    }
    let records = site.gate.records();
    for (name, _) in &NAIVE {
        let of_it: Vec<_> = records.iter().filter(|record| record["host"] == host_of(name)).collect();
        let refused: Vec<_> = of_it.iter().filter(|record| record["event"] == "refused").collect();
        assert!(!refused.is_empty(), "{name} is not on record: {of_it:#?}");
        for record in refused {
            assert_eq!(record["reason"], reason, "{name}: {record:#}");
            assert!(grounds(record).len() >= 2, "{name}: {record:#}");
        }
        assert!(of_it.iter().all(|record| record["kind"] != "challenge"), "{name} was challenged: {of_it:#?}");
    }
}

/// Whether this is what the site answers.
fn is_the_sites(got: &str) -> bool {
    got.trim_end().ends_with("ok")
}

fn grounds(record: &Value) -> Vec<&str> {
    record["grounds"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

#[test]
fn naive_clients_with_a_browsers_user_agent_get_nothing_over_http_while_the_browser_is_cleared() {
    naive_clients_get_nothing("http", "clearance_needed");
}

#[test]
fn naive_clients_with_a_browsers_user_agent_get_nothing_over_https_while_the_browser_is_cleared() {
    naive_clients_get_nothing("https", "mimic");
}

#[test]
fn naive_clients_whose_connect_names_no_browser_are_refused_for_that_whatever_their_request_would_claim() {
    let clients = Clients::new();
    let mut site = Site::new("https");
    for (name, how) in silent() {
        let url = format!("https://{}/naive", host_of(name));
        let asks = Asks { proxy: site.gate.address, url: &url, agent: CHROMIUM, connect_agent: "" };
        let got = clients.get(how, &asks);
        assert!(!is_the_sites(&got), "{name} got {got}");
        assert!(site.asked.lock().unwrap().is_empty(), "{name} reached the site");
    }
    let records = site.gate.records();
    for (name, _) in silent() {
        let refused = |record: &&Value| record["host"] == host_of(name) && record["event"] == "refused";
        let refused = records.iter().find(refused).unwrap_or_else(|| panic!("{name} is not on record: {records:#?}"));
        assert_eq!(refused["reason"], "not_a_browser", "{name}: {refused:#}");
    }
}
