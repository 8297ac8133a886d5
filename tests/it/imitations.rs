//! What calls home through a running gate in the ways that backdoors do, imitated by harmless clients, is found while it does.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::gate::{Start, records};
use crate::name_server::NameServer;
use crate::origin::Origin;
use crate::peer::Peer;
use crate::tunnel_lab::hello;

/// Beats of each imitation, and seconds between them on average.
const BEATS: usize = 14;
const PERIOD: f64 = 8.5;
/// No beat is further from the period, as a share of it.
const JITTER: f64 = 0.3;

/// Pauses, the same in each run: shortened and lengthened by up to the jitter.
fn pauses(mut state: u64) -> impl Iterator<Item = Duration> {
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let even = (state >> 33) as f64 / f64::from(1_u32 << 31);
        Duration::from_secs_f64(PERIOD * (1.0 - JITTER + 2.0 * JITTER * even))
    })
}

/// Calls home with these pauses, by a clock of its own.
fn beat(seed: u64, mut act: impl FnMut() + Send + 'static) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut next = Instant::now();
        for pause in pauses(seed).take(BEATS) {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            act();
            next += pause;
        }
    })
}

/// A request of a program that calls itself this; gives the status that answers it.
fn get(gate: SocketAddr, host: &str, port: u16, agent: &str) -> u16 {
    let mut client = Peer::connect(gate);
    client.send(format!(
        "GET http://{host}:{port}/status HTTP/1.1\r\nHost: {host}:{port}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n"
    ));
    client.answer().status()
}

const BROWSER: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Safari/537.36";

#[test]
fn imitations_that_jitter_by_30_percent_are_found_plain_in_one_tunnel_denied_and_challenged() {
    let origin = Origin::echo();
    let plain = Origin::start();
    let names = NameServer::pointing_to(origin.address.ip());
    let rules = [
        plain.rule_for("plain.test", ""),
        plain.rule_for("asked.test", "").replace("verdict = \"allow\"", "verdict = \"challenge\""),
        origin.rule_for("a.test", "protocol = \"any\""),
    ];
    let config = format!("{}[detect]\ndelay_seconds = 1\n", names.config());
    let data = tempfile::tempdir().unwrap();
    let policy = rules.concat();
    let start = Start { policy: &policy, config: &config, data_dir: Some(data.path().to_owned()), ..Start::default() };
    let mut gate = start.gate();
    let (address, port) = (gate.address, plain.address.port());
    let tunnel = format!("a.test:{}", origin.address.port());
    let mut client = gate.client();
    client.send(format!("CONNECT {tunnel} HTTP/1.1\r\nHost: {tunnel}\r\n\r\n"));
    assert_eq!(client.head().unwrap().status(), 200);
    let hello = hello("curl");
    client.send(&hello[..]);
    assert_eq!(client.take(hello.len()), hello);
    let beats = [
        beat(1, move || assert_eq!(get(address, "plain.test", port, "tester/1"), 200)),
        beat(2, move || assert_eq!(get(address, "denied.test", port, "tester/1"), 403)),
        // Who calls itself a browser is challenged, and this one does not answer.
        beat(3, move || assert_ne!(get(address, "asked.test", port, BROWSER), 200)),
        beat(4, move || {
            client.send("beat");
            assert_eq!(client.take(4), b"beat");
        }),
    ];
    for beats in beats {
        beats.join().unwrap();
    }
    // The end of the tunnel tells its last bursts.
    let found = || {
        let records = records(data.path()).into_iter().filter(|record| record["finding"] == "beacon");
        records
            .map(|record| (record["target"].as_str().unwrap().to_owned(), record))
            .collect::<BTreeMap<String, Value>>()
    };
    let ended = Instant::now();
    while found().len() < 4 && ended.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(gate.end("-TERM"), Some(0));
    let found = found();
    for target in ["plain.test", "denied.test", "asked.test", "a.test"] {
        let finding = found.get(target).unwrap_or_else(|| panic!("{target} in {:?}", found.keys()));
        let period = finding["beat"]["period_seconds"].as_f64().unwrap();
        assert!((period / PERIOD - 1.0).abs() < JITTER, "{target}: {period}");
        // All that a review asks for stands on the record itself.
        for field in ["severity", "score", "stage", "client", "first", "last", "records", "english", "japanese"] {
            assert!(!finding[field].is_null(), "{field}: {finding:#}");
        }
        let all_denied = finding["denied"] == finding["requests"];
        assert_eq!(all_denied, matches!(target, "denied.test" | "asked.test"), "{finding:#}");
    }
}
