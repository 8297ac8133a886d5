use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, Error, HandshakeKind, RootCertStore, ServerConnection,
    SupportedProtocolVersion, version,
};

use crate::facts::Timestamp;

use super::super::authority::{Authority, Terms};
use super::*;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

fn now() -> Timestamp {
    crate::clock::now()
}

fn authority() -> Authority {
    let terms = Terms { name: "gate1".to_owned(), days: 730, permit: Vec::new(), exclude: Vec::new() };
    Authority::make(&terms, now()).unwrap().0
}

fn host(text: &str) -> Host {
    Host::parse(text.as_bytes()).unwrap()
}

/// A client that trusts these authorities. All its tickets are in one place, whatever name they came by: as if it
/// meant to resume under another.
fn client(trusted: &[&Authority], version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for authority in trusted {
        roots.add(authority.certificate().der().clone()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::store(Arc::new(AnyName(rustls::client::ClientSessionMemoryCache::new(64))));
    config
}

#[derive(Debug)]
struct AnyName(rustls::client::ClientSessionMemoryCache);

fn one_name() -> ServerName<'static> {
    ServerName::try_from("one.test").unwrap()
}

impl rustls::client::ClientSessionStore for AnyName {
    fn set_kx_hint(&self, _: ServerName<'static>, group: rustls::NamedGroup) {
        self.0.set_kx_hint(one_name(), group);
    }
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<rustls::NamedGroup> {
        self.0.kx_hint(&one_name())
    }
    fn set_tls12_session(&self, _: ServerName<'static>, value: rustls::client::Tls12ClientSessionValue) {
        self.0.set_tls12_session(one_name(), value);
    }
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<rustls::client::Tls12ClientSessionValue> {
        self.0.tls12_session(&one_name())
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&one_name());
    }
    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: rustls::client::Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(one_name(), value);
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<rustls::client::Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&one_name())
    }
}

/// Shakes hands in memory, and reads the tickets that come behind.
fn shake(
    config: &Arc<ClientConfig>,
    name: &str,
    server: Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(config.clone(), name).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    while client.wants_write() || server.wants_write() {
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        let mut failed = Ok(());
        while !rest.is_empty() && failed.is_ok() {
            server.read_tls(&mut rest).unwrap();
            failed = server.process_new_packets().map(drop);
        }
        let mut bytes = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
        failed?;
    }
    Ok((client, server))
}

fn kind(config: &Arc<ClientConfig>, name: &str, server: Arc<ServerConfig>) -> HandshakeKind {
    shake(config, name, server).unwrap().0.handshake_kind().unwrap()
}

#[test]
fn a_session_is_resumed_under_its_own_name() {
    for version in VERSIONS {
        let minter = Minter::new(authority()).unwrap();
        let client = Arc::new(client(&[&minter.authority()], version));
        let server = || minter.server_config(&host("a.test"), Offered::Http2, now()).unwrap();
        assert_eq!(kind(&client, "a.test", server()), HandshakeKind::Full, "{version:?}");
        assert_eq!(kind(&client, "a.test", server()), HandshakeKind::Resumed, "{version:?}");
        // The protocols offered are no part of who the host is.
        let http1 = minter.server_config(&host("a.test"), Offered::Http1, now()).unwrap();
        assert_eq!(kind(&client, "a.test", http1), HandshakeKind::Resumed, "{version:?}");
    }
}

#[test]
fn a_ticket_of_one_host_is_worth_nothing_at_another() {
    for version in VERSIONS {
        for (first, second) in
            [("a.test", "b.test"), ("192.0.2.1", "192.0.2.2"), ("192.0.2.1", "a.test"), ("a.test", "192.0.2.1")]
        {
            let minter = Minter::new(authority()).unwrap();
            let client = Arc::new(client(&[&minter.authority()], version));
            let of = |name: &str| minter.server_config(&host(name), Offered::Http2, now()).unwrap();
            assert_eq!(kind(&client, first, of(first)), HandshakeKind::Full);
            assert_eq!(kind(&client, second, of(second)), HandshakeKind::Full, "{first}, {second}, {version:?}");
        }
    }
}

#[test]
fn a_client_without_names_cannot_carry_a_session_from_one_host_to_another() {
    for version in VERSIONS {
        let minter = Minter::new(authority()).unwrap();
        let mut client = client(&[&minter.authority()], version);
        client.enable_sni = false;
        let client = Arc::new(client);
        let of = |name: &str| minter.server_config(&host(name), Offered::Http2, now()).unwrap();
        assert_eq!(kind(&client, "a.test", of("a.test")), HandshakeKind::Full);
        assert_eq!(kind(&client, "b.test", of("b.test")), HandshakeKind::Full, "{version:?}");
        assert_eq!(kind(&client, "b.test", of("b.test")), HandshakeKind::Resumed, "{version:?}");
    }
}

#[test]
fn a_session_under_one_authority_is_not_resumed_under_the_next() {
    for version in VERSIONS {
        let (first, second) = (authority(), authority());
        let client = Arc::new(client(&[&first, &second], version));
        let minter = Minter::new(first).unwrap();
        let server = |minter: &Minter| minter.server_config(&host("a.test"), Offered::Http2, now()).unwrap();
        assert_eq!(kind(&client, "a.test", server(&minter)), HandshakeKind::Full);
        minter.exchange(second);
        assert_eq!(kind(&client, "a.test", server(&minter)), HandshakeKind::Full, "{version:?}");
    }
}

#[test]
fn a_hello_for_another_host_gets_no_certificate() {
    for version in VERSIONS {
        let minter = Minter::new(authority()).unwrap();
        let client = Arc::new(client(&[&minter.authority()], version));
        for (configured, asked) in [("a.test", "b.test"), ("a.test", "www.a.test"), ("192.0.2.1", "a.test")] {
            let server = minter.server_config(&host(configured), Offered::Http2, now()).unwrap();
            let error = shake(&client, asked, server).err().unwrap();
            assert_eq!(error, Error::AlertReceived(AlertDescription::AccessDenied), "{configured}, {asked}");
        }
    }
}

#[test]
fn the_protocol_is_the_best_that_is_offered_to_this_connection() {
    let minter = Minter::new(authority()).unwrap();
    let mut client = client(&[&minter.authority()], &version::TLS13);
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let client = Arc::new(client);
    for (offered, chosen) in [(Offered::Http2, &b"h2"[..]), (Offered::Http1, b"http/1.1")] {
        let server = minter.server_config(&host("a.test"), offered, now()).unwrap();
        assert_eq!(shake(&client, "a.test", server).unwrap().0.alpn_protocol(), Some(chosen));
    }
}

#[test]
fn the_configuration_of_a_host_is_made_once() {
    let minter = Minter::new(authority()).unwrap();
    let of = |offered| minter.server_config(&host("a.test"), offered, now()).unwrap();
    assert!(Arc::ptr_eq(&of(Offered::Http1), &of(Offered::Http1)));
    assert!(!Arc::ptr_eq(&of(Offered::Http1), &of(Offered::Http2)));
}
