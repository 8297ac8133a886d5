//! The console's figures as Prometheus itself reads them.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::console::{Visitor, address, gate, refused};
use crate::peer::Peer;

const PATIENCE: Duration = Duration::from_secs(60);

struct Prometheus {
    child: Child,
    address: SocketAddr,
    _home: tempfile::TempDir,
}

impl Prometheus {
    /// One that asks this console, several times a second.
    fn of(console: SocketAddr) -> Self {
        let home = tempfile::tempdir().unwrap();
        let config = home.path().join("prometheus.yml");
        let text = format!(
            "global:\n  scrape_interval: 250ms\n  scrape_timeout: 250ms\nscrape_configs:\n  - job_name: sekisho\n    \
             static_configs:\n      - targets: [\"{console}\"]\n"
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", home.path().join("data").display()));
        command.arg("--web.listen-address=127.0.0.1:0").stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let listens = lines.find(|line| line.contains("msg=\"Listening on\"")).expect("it says where it listens");
        let address = listens.split("address=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        // What it says later is read as well, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address, _home: home }
    }

    /// What it knows of this, once that is so.
    fn until(&self, query: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        loop {
            let mut peer = Peer::connect(self.address);
            peer.send(format!(
                "GET /api/v1/query?query={encoded} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                self.address
            ));
            let answer = peer.answer();
            let said: Option<Value> = serde_json::from_str(&answer.text()).ok();
            if let Some(value) = said.as_ref().map(|said| said["data"]["result"].clone()).filter(&is_so) {
                return value;
            }
            assert!(begun.elapsed() < PATIENCE, "{query}: {} {said:#?}", answer.head);
            std::thread::yield_now();
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_prometheus_reads_the_figures_and_knows_them() {
    let gate = gate("", "[alerts.soc]\ndirectory = \"/nowhere\"\n");
    for host in ["one.example", "two.example", "three.example"] {
        refused(&gate, host);
    }
    let prometheus = Prometheus::of(address(&gate));
    prometheus.until("up", |found| found[0]["value"][1] == "1");
    let refusals = "sekisho_refusals_total{reason=\"no_rule\"}";
    let found = prometheus.until(refusals, |found| found[0]["value"][1] == "3");
    assert_eq!(found[0]["metric"]["job"], "sekisho");
    refused(&gate, "four.example");
    prometheus.until(refusals, |found| found[0]["value"][1] == "4");
    prometheus.until("sum(sekisho_disk_level)", |found| found[0]["value"][1] == "1");
    prometheus.until("sekisho_alerts_waiting{receiver=\"soc\"}", |found| found[0]["value"][1] == "0");
    prometheus.until("scrape_samples_scraped", |found| {
        found[0]["value"][1].as_str().and_then(|count| count.parse().ok()).is_some_and(|count: u32| count > 30)
    });
}

#[test]
fn promtool_has_nothing_to_say_against_the_page() {
    let gate = gate("", "[alerts.soc]\ndirectory = \"/nowhere\"\n");
    refused(&gate, "one.example");
    let page = Visitor::new(address(&gate)).get("/metrics").text();
    let mut command = Command::new("promtool");
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}\n{page}");
}
