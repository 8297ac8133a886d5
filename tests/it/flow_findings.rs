//! What attempts past the proxy tell, as a person asks for it: a journal and the gate's config, through `sekisho hunt`.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Value, json};

const CONFIG: &str = r#"
[detect]
scanners = ["10.30.0.9"]

[network]
gate = ["10.20.0.1"]
tripwires = [23]
outside = ["wan0"]

[network.segments.office]
role = "clients"
addresses = ["10.20.0.0/16"]

[network.segments.servers]
role = "servers"
addresses = ["10.30.0.0/16"]

[network.segments.plant]
role = "critical"
addresses = ["10.50.0.0/16"]
"#;

/// Attempts of a day, by second: client, destination, port, what saw it and what came of it.
fn journal() -> String {
    let mut flows: Vec<(u32, String, String, u16, &str, &str)> = Vec::new();
    let mut add = |at: u32, client: &str, to: &str, port: u16, state: &'static str| {
        let source = if matches!(state, "refused" | "dropped") { "nflog" } else { "conntrack" };
        flows.push((at, client.to_owned(), to.to_owned(), port, source, state));
    };
    // Labelled: what must be found.
    (0..120).for_each(|beat| add(300 * beat + beat % 7, "10.20.0.5", "203.0.113.66", 4444, "refused"));
    (1..120).for_each(|port| add(1_000 + u32::from(port), "10.20.0.6", "10.30.0.2", port, "reset"));
    (1..120).for_each(|host| add(2_000 + host, "10.20.0.7", &format!("10.30.1.{host}"), 445, "unanswered"));
    add(3_000, "10.20.0.8", "10.20.0.1", 23, "refused");
    add(4_000, "10.50.0.7", "198.51.100.9", 443, "refused");
    // And their twins.
    (1..900).for_each(|port| add(5_000 + u32::from(port), "10.30.0.9", "10.30.0.2", port, "reset"));
    add(6_000, "10.30.0.9", "10.20.0.1", 23, "refused");
    (0..200).for_each(|port| add(7_000 + u32::from(port), "198.51.100.77", "10.20.0.1", port, "dropped"));
    add(8_000, "10.50.0.7", "10.50.0.8", 502, "established");
    flows.sort();
    flows.iter().zip(1..).fold(String::new(), |mut lines, ((at, client, to, port, source, state), seq)| {
        let (hour, minute, second) = (at / 3_600, at / 60 % 60, at % 60);
        let time = format!("2026-11-24T{hour:02}:{minute:02}:{second:02}.000000Z");
        let ends = format!(r#""protocol":"tcp","count":1,"first":"{time}","last":"{time}","h":"0000000000000000"}}"#);
        let whose = format!(r#""client":"{client}","address":"{to}","port":{port},{ends}"#);
        let head = format!(r#"{{"v":1,"seq":{seq},"gate":"g","time":"{time}","kind":"flow","source":"{source}""#);
        let _ = writeln!(lines, r#"{head},"state":"{state}",{whose}"#);
        lines
    })
}

#[test]
fn attempts_past_the_proxy_are_judged_by_what_the_config_says_of_the_network() {
    let directory = tempfile::tempdir().unwrap();
    let (log, config) = (directory.path().join("journal.jsonl"), directory.path().join("sekisho.toml"));
    std::fs::write(&log, journal()).unwrap();
    std::fs::write(&config, CONFIG).unwrap();
    let hunt = |format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        command.arg("hunt").arg(&log).arg("--config").arg(&config).args(["--format", format]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let report: Value = serde_json::from_str(&hunt("json")).unwrap();
    let said = |finding: &Value| {
        let text = |key: &str| finding[key].as_str().unwrap().to_owned();
        (text("finding"), text("client"), text("target"), text("severity"))
    };
    let mut found: Vec<_> = report["findings"].as_array().unwrap().iter().map(said).collect();
    found.sort();
    let expected = [
        ("critical_attempt", "10.50.0.7", "198.51.100.9", "high"),
        ("direct_call", "10.20.0.5", "203.0.113.66", "high"),
        ("port_scan", "10.20.0.6", "10.30.0.2", "medium"),
        ("sweep", "10.20.0.7", "tcp/445", "medium"),
        ("tripwire", "10.20.0.8", "10.20.0.1", "high"),
    ];
    let own = |(finding, client, target, severity): (&str, &str, &str, &str)| {
        (finding.to_owned(), client.to_owned(), target.to_owned(), severity.to_owned())
    };
    assert_eq!(found, expected.map(own));
    assert_eq!((&report["counts"]["flows"], &report["counts"]["flows_of_strangers"]), (&json!(1461), &json!(200)));
    let text = hunt("text");
    assert!(
        text.contains("1461 records of attempts past the proxy; 200 of them of strangers, who are let be"),
        "{text}"
    );
    assert!(text.contains("重要区画plantの機器が外部への接続を試行"), "{text}");
}
