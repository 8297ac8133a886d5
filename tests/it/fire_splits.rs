//! The tables of the `wire` modules once more, each payload in two pieces at every boundary: how bytes
//! arrive changes nothing.
//!
//! That the first piece is read before the second is sent needs no waiting. The gate has one worker,
//! which accepts connections and runs their tasks in the order of their coming; so when a complete
//! exchange on a connection that came later is answered, every first piece has been read.
//!
//! A payload of up to 2 KiB is split at every byte. A longer one is split around each CR, LF and colon,
//! and at every 64th byte: between those it is a run of one letter.

use std::collections::BTreeMap;

use crate::fire_flood::ASK;
use crate::gate::{Gate, Start};
use crate::name_server::NameServer;
use crate::origin::Origin;
use crate::peer::{Message, Peer};
use crate::wire::Class;
use crate::wire_heads::{framing, lines};
use crate::wire_hosts::hosts;
use crate::{wire_bodies, wire_neighbours};

const EVERY_BYTE_MAX: usize = 2 << 10;
/// Connections at a time.
const WAVE: usize = 300;

/// Where a payload is split: behind so many of its bytes.
fn boundaries(payload: &[u8], from: usize) -> Vec<usize> {
    let telling = |at: usize| {
        let near = &payload[at.saturating_sub(2)..payload.len().min(at + 2)];
        at.is_multiple_of(64) || near.iter().any(|byte| matches!(byte, b'\r' | b'\n' | b':'))
    };
    (from.max(1)..payload.len()).filter(|at| payload.len() <= EVERY_BYTE_MAX || telling(*at)).collect()
}

/// What is sent in two pieces, and where it is split.
pub(crate) type Split<'a> = (&'a [u8], usize);

/// Sends each payload in two pieces by a connection of its own, the second when all first ones have been read.
fn send_in_two(gate: &Gate, door: &dyn Fn() -> Peer, wave: &[Split<'_>]) -> Vec<Peer> {
    let first = |(payload, at): &Split<'_>| {
        let mut client = door();
        let _ = client.try_send(&payload[..*at]);
        client
    };
    let clients: Vec<_> = wave.iter().map(first).collect();
    let mut behind_them = gate.client();
    behind_them.send(ASK);
    assert_eq!(behind_them.answer().status(), 200);
    let second = |((payload, at), mut client): (&Split<'_>, Peer)| {
        let _ = client.try_send(&payload[*at..]);
        client
    };
    wave.iter().zip(clients).map(second).collect()
}

/// The same, and what is answered.
fn answers(gate: &Gate, door: &dyn Fn() -> Peer, wave: &[Split<'_>]) -> Vec<Message> {
    let answer = |((payload, at), mut client): (&Split<'_>, Peer)| {
        let shown = payload[..payload.len().min(300)].escape_ascii();
        let answer = client.head().unwrap_or_else(|| panic!("no answer to {shown}, split at {at}"));
        client.body(answer)
    };
    wave.iter().zip(send_in_two(gate, door, wave)).map(answer).collect()
}

/// Every split of these classes from a byte of the payload on, and the name of its fault.
pub(crate) fn splits<'a>(
    classes: &'a [Class],
    from: usize,
    leave_out: impl Fn(&str, &[u8], usize) -> bool,
) -> Vec<(&'static str, Split<'a>)> {
    let mut splits = Vec::new();
    for (name, payloads) in classes {
        for payload in payloads {
            let at = boundaries(payload, from).into_iter();
            splits.extend(at.filter(|at| !leave_out(name, payload, *at)).map(|at| (*name, (payload.as_slice(), at))));
        }
    }
    splits
}

/// Each split is refused by the name of its fault, on whatever connections `door` opens to the gate's one worker.
pub(crate) fn refuse_all(gate: &Gate, door: &dyn Fn() -> Peer, splits: &[(&'static str, Split<'_>)]) {
    for wave in splits.chunks(WAVE) {
        let pieces: Vec<_> = wave.iter().map(|(_, split)| *split).collect();
        for ((name, (payload, at)), answer) in wave.iter().zip(answers(gate, door, &pieces)) {
            let status = if matches!(*name, "head_too_long" | "too_many_fields") { 431 } else { 400 };
            let shown = payload[..payload.len().min(300)].escape_ascii();
            assert_eq!(answer.status(), status, "{name}: {shown}, split at {at}: {}", answer.text());
            assert!(answer.text().contains(name), "{name}: {shown}, split at {at}: {}", answer.text());
            assert!(answer.closes(), "{name}: {shown}, split at {at}: the last of its connection");
        }
    }
}

/// How often each name is among these.
pub(crate) fn counted<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<&'a str, usize> {
    let mut counts = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_default() += 1);
    counts
}

fn one_worker(policy: &str, config: &str) -> Gate {
    Start { policy, config: &format!("[gate]\nworkers = 1\n{config}"), ..Start::default() }.gate()
}

pub(crate) fn head_bytes(payload: &[u8]) -> usize {
    payload.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4
}

#[test]
fn a_first_piece_is_read_before_the_second_is_sent() {
    let origin = Origin::start();
    let mut gate = one_worker(&origin.policy(), "");
    let head = crate::wire::post(origin.address, "Transfer-Encoding: chunked");
    let payload = [head.as_slice(), b"not a size\r\n"].concat();
    for answer in answers(&gate, &|| gate.client(), &vec![(payload.as_slice(), head.len()); WAVE]) {
        assert_eq!(answer.status(), 400);
    }
    // Read together with its body, each head would have been refused unopened.
    let records = gate.records();
    let count = |event: &str| records.iter().filter(|record| record["event"] == event).count();
    assert_eq!((count("open"), count("refused")), (WAVE, 0));
}

#[test]
fn heads_in_two_pieces_are_refused_by_the_same_names_and_each_is_on_record() {
    let origin = Origin::start();
    let mut gate = one_worker(&origin.policy(), "");
    let classes = [framing(origin.address), lines(origin.address), hosts(origin.address)].concat();
    // A CONNECT that has come whole, and alone, is no fault yet: it is answered.
    let whole_connect =
        |name: &str, payload: &[u8], at: usize| name == "bytes_behind_connect" && at == head_bytes(payload);
    let splits = splits(&classes, 1, whole_connect);
    refuse_all(&gate, &|| gate.client(), &splits);
    let refused = gate.events("refused");
    assert_eq!(
        counted(refused.iter().map(|record| record["reason"].as_str().unwrap())),
        counted(splits.iter().map(|(name, _)| *name)),
        "as many records as refusals"
    );
    assert_eq!(origin.connections(), 0, "nothing was dialled");
}

#[test]
fn bodies_in_two_pieces_are_refused_by_the_same_names_and_never_whole_at_the_origin() {
    let origin = Origin::start();
    let mut gate = one_worker(&origin.policy(), "");
    let head = crate::wire::post(origin.address, "Transfer-Encoding: chunked");
    let classes: Vec<Class> = wire_bodies::faults()
        .into_iter()
        .map(|(name, bodies)| (name, bodies.into_iter().map(|body| [head.as_slice(), &body].concat()).collect()))
        .collect();
    let splits = splits(&classes, head.len(), |_, _, _| false);
    refuse_all(&gate, &|| gate.client(), &splits);
    assert_eq!(origin.seen(), Vec::<String>::new());
    // A fault in the first piece is refused, one in the second ends an exchange that was opened.
    let records = gate.records();
    let names = records.iter().filter_map(|record| match record["event"].as_str()? {
        "refused" => record["reason"].as_str(),
        "close" => record["closed_how"].as_str(),
        _ => None,
    });
    assert_eq!(counted(names), counted(splits.iter().map(|(name, _)| *name)), "as many records as refusals");
}

#[test]
fn what_passes_whole_passes_in_two_pieces_and_the_origin_sees_the_same() {
    let origin = Origin::start();
    let names = NameServer::pointing_to(origin.address.ip());
    let policy = format!("{}{}", origin.policy(), origin.rule_for("*.test", ""));
    let gate = one_worker(&policy, &names.config());
    let (at, port) = (origin.address.to_string(), origin.address.port().to_string());
    for request in wire_neighbours::requests() {
        let payload = request.replace("AT", &at).replace("PORT", &port).into_bytes();
        let mut client = gate.client();
        client.send(&payload);
        assert_eq!(client.answer().status(), 200, "{request:?}");
        let whole = origin.seen().pop().unwrap();
        // Fewer at a time: each asks DNS, and a datagram too many would be lost.
        for wave in boundaries(&payload, 1).chunks(60) {
            let before = origin.requests().len();
            let pieces: Vec<_> = wave.iter().map(|at| (payload.as_slice(), *at)).collect();
            for (at, answer) in wave.iter().zip(answers(&gate, &|| gate.client(), &pieces)) {
                assert_eq!(answer.status(), 200, "{request:?}, split at {at}: {}", answer.text());
            }
            let seen = origin.seen().split_off(before);
            assert_eq!(seen.len(), wave.len(), "{request:?}");
            assert!(seen.iter().all(|seen| *seen == whole), "{request:?} is seen as {whole:?}, in pieces {seen:#?}");
        }
    }
}
