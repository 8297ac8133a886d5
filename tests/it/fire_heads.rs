//! Heads and hellos that come slowly, by half, without end or without measure, while others are served.

use std::time::Duration;

use serde_json::Value;

use crate::fire_flood::ASK;
use crate::gate::{Gate, Start, raise_open_files};
use crate::peer::Peer;
use crate::tunnel_lab::{CURL, Lab, hello};

/// How long a slow client lets pass between two bytes.
const NOW_AND_THEN: Duration = Duration::from_millis(100);

/// Sends these bytes one at a time on each connection, and lets `other` be served in between, until the
/// gate has said something to the first of them.
fn trickle(slow: &mut [Peer], bytes: &[u8], mut other: impl FnMut()) {
    for byte in bytes {
        for client in slow.iter_mut() {
            let _ = client.try_send([*byte]);
        }
        other();
        // The wait for an answer is the pace.
        slow[0].stream().set_read_timeout(Some(NOW_AND_THEN)).unwrap();
        if slow[0].stream().peek(&mut [0]).is_ok() {
            break;
        }
    }
    slow[0].stream().set_read_timeout(Some(Duration::from_secs(20))).unwrap();
}

fn is_served(client: &mut Peer) {
    client.send(ASK);
    assert_eq!(client.answer().status(), 200, "another client is served meanwhile");
}

fn reasons(gate: &mut Gate) -> Vec<Value> {
    gate.events("refused").iter().map(|record| record["reason"].clone()).collect()
}

#[test]
fn a_head_that_comes_byte_by_byte_or_by_half_has_its_time_and_others_are_served() {
    let mut gate = Gate::configured("", "[limits]\nhead_seconds = 1\n");
    let mut other = gate.client();
    is_served(&mut other);
    let mut halves = Vec::new();
    for half in ["G", "CONNECT a.example:4", "GET http://a.example/ HTTP/1.1\r\nHost: a.exa", "\r\n", "\r"] {
        halves.push(gate.client());
        halves.last_mut().unwrap().send(half);
    }
    let mut slow: Vec<_> = (0..20).map(|_| gate.client()).collect();
    let head = format!("GET http://a.example/ HTTP/1.1\r\nX: {}", "a".repeat(10_000));
    trickle(&mut slow, head.as_bytes(), || is_served(&mut other));
    let ended = slow.len() + halves.len();
    for client in slow.iter_mut().chain(&mut halves) {
        let answer = client.answer();
        assert_eq!(answer.status(), 408, "{}", answer.text());
        assert!(answer.text().contains("head_timeout") && answer.closes(), "{}", answer.text());
    }
    drop((slow, halves, other));
    assert_eq!(reasons(&mut gate), vec!["head_timeout"; ended]);
}

/// A debug build at rest holds about 7 MiB.
const MEMORY_MAX: u64 = 20 << 20;
/// What one unfinished head of 64 KiB may take: its buffer grows by doubling.
const MEMORY_EACH: u64 = 136 << 10;

#[test]
fn heads_without_measure_are_cut_at_their_bound_and_memory_holds() {
    let mut gate = Gate::start("");
    let mut other = gate.client();
    let begin = "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n";
    let many = format!("{begin}{}\r\n", "X: a\r\n".repeat(1000));
    let endless_line = format!("{begin}X: {}", "a".repeat(4 << 20));
    let endless_fields = format!("{begin}{}", "X: a\r\n".repeat(1 << 20));
    let endless_target = format!("CONNECT {}", "a".repeat(4 << 20));
    let cases = [
        (&many, "too_many_fields"),
        (&endless_line, "head_too_long"),
        (&endless_fields, "head_too_long"),
        (&endless_target, "head_too_long"),
    ];
    let mut names = Vec::new();
    for _ in 0..5 {
        for (flood, name) in cases {
            let mut client = gate.client();
            let _ = client.try_send(flood);
            let answer = client.answer();
            assert!(answer.status() == 431 && answer.text().contains(name), "{name}: {}", answer.text());
            names.push(name);
            is_served(&mut other);
        }
    }
    let memory = gate.peak_memory();
    assert!(memory < MEMORY_MAX, "{memory} bytes");

    // As much of a head as may be held, on many connections at the same time, none of which goes on.
    let most = format!("{begin}X: {}", "a".repeat(63 << 10));
    let mut held: Vec<_> = (0..200).map(|_| gate.client()).collect();
    held.iter_mut().for_each(|client| client.send(&most));
    is_served(&mut other);
    held.iter_mut().for_each(|client| client.send("\r\n\r\n"));
    for client in &mut held {
        assert_eq!(client.answer().status(), 403, "it was a head after all");
    }
    let memory = gate.peak_memory();
    assert!(memory < MEMORY_MAX + MEMORY_EACH * held.len() as u64, "{memory} bytes");
    names.extend(vec!["no_rule"; held.len()]);
    drop((held, other));
    assert_eq!(reasons(&mut gate), names);
}

#[test]
fn a_hello_that_comes_byte_by_byte_or_by_half_has_its_time_and_the_origin_sees_nothing() {
    let hello = hello("curl");
    // Let out at the CONNECT, and let out by the fingerprint.
    for programs in [String::new(), format!("programs = [\"known\"]\n[programs]\nknown = {{ ja4 = [\"{CURL}\"] }}\n")] {
        let mut lab = Lab::with(crate::origin::Origin::echo(), "", "[limits]\nhello_seconds = 1\n");
        if !programs.is_empty() {
            let policy = format!("{}{programs}", lab.origin.rule_for("*.test", ""));
            lab.gate = Gate::configured(&policy, &format!("{}[limits]\nhello_seconds = 1\n", lab.names.config()));
        }
        let mut other = lab.gate.client();
        let mut half = [lab.open("a.test"), lab.open("a.test")];
        half[0].send(&hello[..hello.len() / 2]);
        half[1].send(&hello[..1]);
        let mut slow: Vec<_> = (0..10).map(|_| lab.open("a.test")).collect();
        trickle(&mut slow, &hello[..hello.len() - 1], || is_served(&mut other));
        let ended = slow.len() + half.len();
        for client in slow.iter_mut().chain(&mut half) {
            assert_eq!(client.rest().0, b"", "no alert, for there was no whole hello");
        }
        drop((slow, half, other));
        assert_eq!(lab.seen(), b"");
        let told = if programs.is_empty() { "closed_how" } else { "reason" };
        let events = lab.gate.events(if programs.is_empty() { "close" } else { "refused" });
        let names: Vec<_> = events.iter().map(|record| record[told].clone()).collect();
        assert_eq!(names, vec!["hello_timeout"; ended], "{events:#?}");
    }
}

#[test]
fn many_large_heads_share_a_bound_and_small_ones_are_served_meanwhile() {
    let mut gate = Gate::configured("", "[gate]\nworkers = 1\n[limits]\nheads_mib_max = 1\n");
    let mut other = gate.client();
    let large =
        format!("GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nX: {}", "a".repeat(60_000));
    let mut flood: Vec<_> = (0..200).map(|_| gate.client()).collect();
    for client in &mut flood {
        let _ = client.try_send(&large);
    }
    is_served(&mut other);
    let mut answers = std::collections::BTreeMap::<u16, usize>::new();
    for client in &mut flood {
        let _ = client.try_send("\r\n\r\n");
        let answer = client.answer();
        assert!(answer.status() == 403 || answer.text().contains("gate_exhausted"), "{}", answer.text());
        *answers.entry(answer.status()).or_default() += 1;
    }
    assert!(answers[&403] >= 5 && answers[&503] >= 150, "{answers:?}");
    let memory = gate.peak_memory();
    assert!(memory < MEMORY_MAX, "{memory} bytes");
    drop(flood);
    is_served(&mut other);
    let mut again = gate.client();
    again.send(format!("{large}\r\n\r\n"));
    assert_eq!(again.answer().status(), 403, "there is room again");
    drop((again, other));
    let reasons = reasons(&mut gate);
    assert_eq!(reasons.iter().filter(|reason| *reason == "gate_exhausted").count(), answers[&503]);
}

/// What the kernel holds of what was sent to the gate.
fn unread_bytes(gate: &Gate) -> u64 {
    let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let gates = format!(":{:04X}", gate.address.port());
    let of_gate = sockets.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let established = of_gate.filter(|socket| socket[1].ends_with(&gates) && socket[3] == "01");
    established.map(|socket| u64::from_str_radix(socket[4].split_once(':').unwrap().1, 16).unwrap()).sum()
}

#[test]
fn a_gate_with_little_memory_outlives_a_flood_of_large_heads() {
    // So much address space that what threads and allocators reserve (64 MiB for each thread and more) leaves
    // room for the heads that may be held. Without a bound they would take 250 MiB.
    let before = "ulimit -v 819200";
    let config = "[gate]\nworkers = 1\n[limits]\nheads_mib_max = 32\n";
    let mut gate = Start { config, before, ..Start::default() }.gate();
    let mut other = gate.client();
    is_served(&mut other);
    let large = format!("GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nX: {}", "a".repeat(63_000));
    raise_open_files();
    let mut flood = Vec::new();
    for _ in 0..4000 {
        let mut client = gate.client();
        let _ = client.try_send(&large);
        flood.push(client);
    }
    while unread_bytes(&gate) > 0 {
        is_served(&mut other);
    }
    drop(flood);
    is_served(&mut other);
    drop(other);
    assert_eq!(gate.end("-TERM"), Some(0));
}
