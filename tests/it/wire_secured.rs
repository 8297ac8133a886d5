//! The tables of the `wire` modules through the secure proxy: every payload inside TLS with the gate, whole and in two
//! pieces, each in a record of TLS of its own. They are refused by the same names.
//!
//! A payload is split around CR, LF and colon; with `SEKISHO_LONG=1` wherever `fire_splits` splits it.

use std::net::SocketAddr;

use crate::fire_splits::{Split, counted, head_bytes, refuse_all, splits};
use crate::gate::{Gate, Start, rounds};
use crate::http2_client::trusting;
use crate::origin::{Origin, pair_of};
use crate::peer::Peer;
use crate::wire::{Class, post};
use crate::wire_heads::{framing, lines};
use crate::wire_hosts::hosts;
use crate::{wire_bodies, wire_neighbours};

struct Site {
    gate: Gate,
    origin: Origin,
    secure: SocketAddr,
    authority: String,
    _files: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        let pair = pair_of(vec!["proxy.test".to_owned()]);
        let [certificate, key] = [("proxy.pem", &pair.certificate), ("proxy.key", &pair.key)].map(|(name, text)| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        });
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let config = format!(
            "[gate]\nworkers = 1\n[secure_proxy]\nlisten = [\"127.0.0.1:0\"]\ncertificate = \"{}\"\nkey = \"{}\"\n",
            certificate.display(),
            key.display()
        );
        let origin = Origin::start();
        let gate = Start { policy: &origin.policy(), config: &config, ..Start::default() }.gate();
        let secure = gate.status()["listening_tls"][0].as_str().unwrap().parse().unwrap();
        Self { gate, origin, secure, authority: pair.authority, _files: files }
    }

    /// Opens connections of TLS with the proxy.
    fn door(&self) -> impl Fn() -> Peer + use<> {
        let (config, secure) = (trusting(&self.authority, &[]), self.secure);
        move || Peer::connect(secure).secure(config.clone(), "proxy.test").unwrap()
    }
}

/// Where payloads are split here: around line ends and colons, of a long one near its begin and end alone.
pub(crate) fn is_split_here(payload: &[u8], at: usize) -> bool {
    let near = &payload[at.saturating_sub(1)..payload.len().min(at + 1)];
    let is_telling = near.iter().any(|byte| matches!(byte, b'\r' | b'\n' | b':'));
    let is_at_an_end = payload.len() < 1024 || at < 64 || at + 64 > payload.len();
    rounds(0, 1) == 1 || is_telling && is_at_an_end || at + 1 == payload.len()
}

/// All of it in the first piece.
fn whole(classes: &[Class]) -> Vec<(&'static str, Split<'_>)> {
    let mut all = Vec::new();
    for (name, payloads) in classes {
        all.extend(payloads.iter().map(|payload| (*name, (payload.as_slice(), payload.len()))));
    }
    all
}

#[test]
fn every_class_of_head_is_refused_by_the_same_name_within_tls_whole_and_in_two_pieces() {
    let mut site = Site::new();
    let at = site.origin.address;
    let classes = [framing(at), lines(at), hosts(at)].concat();
    let mut all = whole(&classes);
    all.extend(splits(&classes, 1, |name, payload, at| {
        !is_split_here(payload, at) || name == "bytes_behind_connect" && at == head_bytes(payload)
    }));
    refuse_all(&site.gate, &site.door(), &all);
    let refused = site.gate.events("refused");
    assert_eq!(
        counted(refused.iter().map(|record| record["reason"].as_str().unwrap())),
        counted(all.iter().map(|(name, _)| *name)),
        "as many records as refusals"
    );
    assert_eq!(site.origin.connections(), 0, "nothing was dialled");
}

#[test]
fn every_class_of_body_is_refused_by_the_same_name_within_tls_and_never_whole_at_the_origin() {
    let mut site = Site::new();
    let head = post(site.origin.address, "Transfer-Encoding: chunked");
    let behind = |body: Vec<u8>| [head.as_slice(), &body].concat();
    let faults = wire_bodies::faults().into_iter();
    let classes: Vec<Class> = faults.map(|(name, bodies)| (name, bodies.into_iter().map(behind).collect())).collect();
    let mut all = whole(&classes);
    all.extend(splits(&classes, head.len(), |_, payload, at| !is_split_here(payload, at)));
    refuse_all(&site.gate, &site.door(), &all);
    assert_eq!(site.origin.seen(), Vec::<String>::new());
    let records = site.gate.records();
    let names = records.iter().filter_map(|record| match record["event"].as_str()? {
        "refused" => record["reason"].as_str(),
        "close" => record["closed_how"].as_str(),
        _ => None,
    });
    assert_eq!(counted(names), counted(all.iter().map(|(name, _)| *name)), "as many records as refusals");
}

#[test]
fn the_nearest_neighbours_pass_within_tls_and_the_origin_sees_them_as_it_does_outside() {
    let site = Site::new();
    let (at, port) = (site.origin.address.to_string(), site.origin.address.port().to_string());
    let door = site.door();
    let mut passed = 0;
    // Names under .test need a name server, and are the plain tests'.
    for request in wire_neighbours::requests().iter().filter(|request| !request.contains(".test")) {
        let payload = request.replace("AT", &at).replace("PORT", &port);
        let seen_by = |mut client: Peer| {
            client.send(&payload);
            let answer = client.answer();
            assert_eq!(answer.status(), 200, "{request:?}: {}", answer.text());
            site.origin.seen().pop().unwrap()
        };
        assert_eq!(seen_by(door()), seen_by(site.gate.client()), "{request:?}");
        passed += 1;
    }
    assert!(passed > 5, "{passed}");
}
