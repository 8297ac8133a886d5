//! What it costs to stand in for a host: its certificate, and a client's handshake by it.

use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, ServerConfig, ServerConnection};
use sekisho::clock;
use sekisho::facts::Host;
use sekisho::tls::{AuthorityFiles, Minter, Offered, Terms};

use crate::harness::{Bencher, Scenario};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("tls::mint_of_a_new_host", mint_new),
    ("tls::certificate_of_a_known_host", |b| known(b, 1)),
    ("tls::certificate_among_5000_hosts", |b| known(b, 5000)),
    ("tls::handshake_with_a_client", |b| handshake(b, HandshakeKind::Full)),
    ("tls::handshake_that_resumes", |b| handshake(b, HandshakeKind::Resumed)),
    ("tls::handshake_of_a_new_host", handshake_new_host),
];

fn minter() -> Minter {
    let directory = tempfile::tempdir().unwrap();
    let terms = Terms { name: "bench".to_owned(), days: 730, permit: Vec::new(), exclude: Vec::new() };
    let files = AuthorityFiles::new(directory.path());
    Minter::new(files.init(&terms, clock::now()).unwrap()).unwrap()
}

fn host(number: u64) -> Host {
    Host::parse(format!("h{number}.test").as_bytes()).unwrap()
}

fn mint_new(b: &mut Bencher) {
    let (minter, now) = (minter(), clock::now());
    let mut number = 0;
    b.iter(|| {
        number += 1;
        minter.certificate(&host(number), now).unwrap()
    });
}

fn known(b: &mut Bencher, hosts: u64) {
    let (minter, now) = (minter(), clock::now());
    let hosts: Vec<Host> = (0..hosts).map(host).collect();
    hosts.iter().for_each(|host| drop(minter.certificate(host, now).unwrap()));
    let mut asked = hosts.iter().cycle();
    b.iter(|| minter.certificate(asked.next().unwrap(), now).unwrap());
}

/// Both sides, in memory: what the client spends is in it.
fn handshake(b: &mut Bencher, kind: HandshakeKind) {
    let (minter, now) = (minter(), clock::now());
    let server = || minter.server_config(&host(0), Offered::Http2, now).unwrap();
    let mut client = client(&minter);
    if kind == HandshakeKind::Full {
        client.resumption = rustls::client::Resumption::disabled();
    }
    let client = Arc::new(client);
    shake(&client, &host(0), server());
    b.iter(|| assert_eq!(shake(&client, &host(0), server()), kind));
}

fn handshake_new_host(b: &mut Bencher) {
    let (minter, now) = (minter(), clock::now());
    let client = Arc::new(client(&minter));
    let mut number = 0;
    b.iter(|| {
        number += 1;
        let host = host(number);
        shake(&client, &host, minter.server_config(&host, Offered::Http2, now).unwrap())
    });
}

fn client(minter: &Minter) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(minter.authority().certificate().der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    builder.with_root_certificates(roots).with_no_client_auth()
}

fn shake(client: &Arc<ClientConfig>, host: &Host, server: Arc<ServerConfig>) -> HandshakeKind {
    let name = ServerName::try_from(host.to_string()).unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    let mut wire = Vec::new();
    while client.wants_write() || server.wants_write() {
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().unwrap();
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().unwrap();
        }
        wire.clear();
    }
    client.handshake_kind().unwrap()
}
