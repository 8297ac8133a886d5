//! Ambiguous request heads over raw TCP: each is refused by the name of its fault, and the origin
//! sees nothing of it.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use sekisho::parse::Fault;

use crate::gate::Gate;
use crate::origin::Origin;
use crate::wire_heads::{framing, lines};
use crate::wire_hosts::hosts;
use crate::{wire_answers, wire_bodies};

/// A fault by name, and payloads each of which has it.
pub(crate) type Class = (&'static str, Vec<Vec<u8>>);

/// A POST to `at` with these field lines behind its Host.
pub(crate) fn post(at: SocketAddr, lines: &str) -> Vec<u8> {
    format!("POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\n{lines}\r\n\r\n").into_bytes()
}

pub(crate) fn posts(at: SocketAddr, lines: &[&str]) -> Vec<Vec<u8>> {
    lines.iter().map(|line| post(at, line)).collect()
}

/// GETs of these targets, with the Host of a client that does not look.
pub(crate) fn gets<T: AsRef<[u8]>>(targets: &[T]) -> Vec<Vec<u8>> {
    let get = |target: &T| [b"GET ", target.as_ref(), b" HTTP/1.1\r\nHost: a.example\r\n\r\n"].concat();
    targets.iter().map(get).collect()
}

fn refuse_all(classes: &[Class], origin: &Origin) {
    let mut gate = Gate::start(&origin.policy());
    let mut names = Vec::new();
    for (name, payloads) in classes {
        let status = if matches!(*name, "head_too_long" | "too_many_fields") { 431 } else { 400 };
        for payload in payloads {
            let shown = payload[..payload.len().min(300)].escape_ascii();
            let mut client = gate.client();
            let _ = client.try_send(payload);
            let answer = client.answer();
            assert_eq!(answer.status(), status, "{name}: {shown}: {}", answer.text());
            assert!(answer.text().contains(name), "{name}: {shown}: {}", answer.text());
            assert!(answer.closes() && client.rest().0.is_empty(), "{name}: {shown} is the last of its connection");
            names.push((*name, u64::from(status)));
        }
    }
    let events = gate.records();
    let refused: Vec<_> = events
        .iter()
        .filter(|record| record["kind"] == "exchange")
        .map(|record| {
            assert_eq!((&record["event"], &record["verdict"]), (&"refused".into(), &"deny".into()), "{record}");
            (record["reason"].as_str().unwrap(), record["status"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(refused, names);
    assert_eq!(origin.connections(), 0, "nothing was dialled");
}

#[test]
fn a_body_whose_end_could_be_found_in_two_ways_is_refused_by_name() {
    let origin = Origin::start();
    refuse_all(&framing(origin.address), &origin);
}

#[test]
fn a_head_that_is_not_strict_http_is_refused_by_name() {
    let origin = Origin::start();
    refuse_all(&lines(origin.address), &origin);
}

#[test]
fn a_place_that_could_be_read_in_two_ways_is_refused_by_name() {
    let origin = Origin::start();
    refuse_all(&hosts(origin.address), &origin);
}

#[test]
fn a_host_outside_ascii_in_the_target_is_refused_by_that_name() {
    let origin = Origin::start();
    let payloads = gets(&["http://b\u{fc}cher.example/", "http://\u{ff11}27.0.0.1/"]);
    refuse_all(&[("non_ascii_host", payloads)], &origin);
}

#[test]
fn bytes_outside_ascii_in_a_path_are_refused() {
    let origin = Origin::start();
    refuse_all(&[("bad_target", gets(&["http://a.example/\u{e9}".as_bytes(), b"http://a.example/\xff"]))], &origin);
}

#[test]
fn the_asterisk_form_is_for_options_alone() {
    let origin = Origin::start();
    refuse_all(&[("bad_target", gets(&["*"]))], &origin);
}

#[test]
fn an_expectation_that_cannot_be_met_is_refused_with_417() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let at = origin.address;
    let bad = ["200-ok", "100-continue, 200-ok", "100-continue\r\nExpect: 100-continue", "\"100-continue\""];
    for value in bad {
        let mut client = gate.client();
        client.send(post(at, &format!("Content-Length: 3\r\nExpect: {value}")));
        let answer = client.answer();
        assert_eq!(answer.status(), 417, "{value}: {}", answer.text());
        assert!(answer.text().contains("bad_expect"), "{value}: {}", answer.text());
    }
    let refused = gate.events("refused");
    assert!(refused.len() == bad.len() && refused.iter().all(|record| record["reason"] == "bad_expect"), "{refused:?}");
    assert_eq!(origin.connections(), 0);
}

/// Faults whose tests do not fit the tables: 417 instead of 400, and a connection that ends.
const OF_THEIR_OWN: [&str; 2] = ["bad_expect", "body_too_short"];

#[test]
fn every_fault_has_a_case_over_a_socket() {
    let at = SocketAddr::from(([127, 0, 0, 1], 8000));
    let classes = [framing(at), lines(at), hosts(at), wire_bodies::faults(), wire_answers::faults()].concat();
    let covered: BTreeSet<_> = classes.iter().map(|(name, _)| *name).chain(OF_THEIR_OWN).collect();
    let all: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    assert_eq!(covered.difference(&all).collect::<Vec<_>>(), Vec::<&&str>::new(), "names of no fault");
    assert_eq!(all.difference(&covered).collect::<Vec<_>>(), Vec::<&&str>::new(), "faults without a case");
}
