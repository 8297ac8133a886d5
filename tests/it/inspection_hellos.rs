//! What clients say to the gate in the place of a host: hellos of all kinds, and alerts at the sight of its certificate.

use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, EchGreaseConfig, EchMode, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, NamedGroup,
    SignatureScheme, SupportedProtocolVersion,
};
use serde_json::Value;

use crate::inspection_lab::{Lab, get, inner, sekisho};
use crate::peer::{End, Peer};
use crate::tunnel_lab::{ALERT, in_records_of};

/// Alerts by which a client says that it does not take a certificate, and others (RFC 8446 section 6).
const REFUSALS: [u8; 8] = [42, 43, 44, 45, 46, 48, 49, 51];
const OTHERS: [u8; 6] = [10, 40, 47, 70, 80, 86];
const USER_CANCELED: u8 = 90;
const CLOSE_NOTIFY: u8 = 0;
const WARNING: u8 = 1;
const FATAL: u8 = 2;

/// What a client does once it has seen the certificate.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Alert(u8, u8),
    Close,
    Reset,
}

/// The record of the tunnel of this client.
fn closed(records: &[Value], client: Ipv4Addr) -> &Value {
    let from = |record: &&Value| record["client"].as_str().is_some_and(|at| at.starts_with(&client.to_string()));
    let open = records.iter().filter(|record| record["event"] == "open").find(from).unwrap();
    crate::gate::event_of(records, "close", &open["id"])
}

/// Waits until the gate serves nobody any more.
fn until_quiet(lab: &Lab) {
    let open = || crate::gate::status_of(&lab.data_dir())["connections"]["open"].as_u64().unwrap();
    while open() > 0 {}
}

/// A config that takes the gate's certificate, in this version of TLS alone.
fn of_version(lab: &Lab, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let roots = crate::http2_client::roots(&lab.authority);
    let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into());
    let builder = builder.with_protocol_versions(&[version]).unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// What of a handshake leaves first.
fn hello(connection: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

fn connection(config: Arc<ClientConfig>, name: &str) -> ClientConnection {
    ClientConnection::new(config, name.to_owned().try_into().unwrap()).unwrap()
}

#[test]
fn alerts_that_refuse_a_certificate_are_counted_as_such_and_all_other_ends_are_not() {
    let mut lab = Lab::new("");
    let refusals = REFUSALS.map(|alert| Answer::Alert(FATAL, alert));
    let others = OTHERS.map(|alert| Answer::Alert(FATAL, alert));
    let leaves =
        [Answer::Alert(WARNING, USER_CANCELED), Answer::Alert(WARNING, CLOSE_NOTIFY), Answer::Close, Answer::Reset];
    let mut expected = Vec::new();
    for (high, version) in [(1, &TLS12), (2, &TLS13)] {
        for (low, answer) in refusals.iter().chain(&others).chain(&leaves).enumerate() {
            let client = Ipv4Addr::new(127, 0, 40 + high, 1 + u8::try_from(low).unwrap());
            let mut peer = lab.tunnel_of(client, "site.test");
            peer.send(hello(&mut connection(of_version(&lab, version), "site.test")));
            // What comes of the gate is there; its handshake waits for the client.
            assert_eq!(peer.take(6)[5], 2, "{answer:?}: a ServerHello");
            match answer {
                Answer::Alert(level, alert) => {
                    peer.send([21, 3, 3, 0, 2, *level, *alert]);
                    peer.finish();
                    peer.rest();
                }
                Answer::Close => {
                    peer.finish();
                    peer.rest();
                }
                Answer::Reset => peer.reset(),
            }
            expected.push((
                client,
                version.version,
                *answer,
                if low < REFUSALS.len() { "tls_refused" } else { "tls_failed" },
            ));
        }
    }
    until_quiet(&lab);
    let told = reach(&lab);
    assert_eq!((&told["trusting"], &told["lacking"], &told["unknown"]), (&0.into(), &16.into(), &0.into()), "{told:#}");
    let records = lab.records();
    for (client, version, answer, how) in expected {
        let close = closed(&records, client);
        let told = (&close["closed_how"], &close["closed_by"]);
        assert_eq!(told, (&how.into(), &"client".into()), "{answer:?} in {version:?}: {close}");
    }
    assert_eq!(lab.origin.connections(), 0);
}

fn reach(lab: &Lab) -> Value {
    let output = sekisho(&["ca", "reach", "--format", "json"], &lab.data_dir());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Finds the same fault with every certificate.
#[derive(Debug)]
struct Refuses(Error);

impl ServerCertVerifier for Refuses {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Err(self.0.clone())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(self.0.clone())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(self.0.clone())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn a_library_that_refuses_a_certificate_is_understood_whatever_it_has_against_it() {
    use CertificateError as Fault;
    let mut lab = Lab::new("");
    let faults = [
        (Error::InvalidCertificate(Fault::BadEncoding), "tls_refused"),
        (Error::InvalidCertificate(Fault::NotValidForName), "tls_refused"),
        (Error::InvalidCertificate(Fault::InvalidPurpose), "tls_refused"),
        (Error::InvalidCertificate(Fault::Revoked), "tls_refused"),
        (Error::InvalidCertificate(Fault::Expired), "tls_refused"),
        (Error::InvalidCertificate(Fault::UnknownIssuer), "tls_refused"),
        (Error::InvalidCertificate(Fault::ApplicationVerificationFailure), "tls_refused"),
        (Error::InvalidCertificate(Fault::BadSignature), "tls_refused"),
        (Error::General("no reason".to_owned()), "tls_failed"),
    ];
    for version in [&TLS12, &TLS13] {
        for (number, (fault, _)) in faults.iter().enumerate() {
            let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into());
            let builder = builder.with_protocol_versions(&[version]).unwrap().dangerous();
            let config =
                builder.with_custom_certificate_verifier(Arc::new(Refuses(fault.clone()))).with_no_client_auth();
            let client =
                Ipv4Addr::new(127, 0, if version.version == TLS12.version { 43 } else { 44 }, 1 + number as u8);
            let found = lab.tunnel_of(client, "site.test").secure(config.into(), "site.test");
            assert!(found.is_err(), "{fault:?}");
        }
    }
    until_quiet(&lab);
    assert_eq!(reach(&lab)["lacking"], 16);
    let records = lab.records();
    for third in [43, 44] {
        for (number, (fault, how)) in faults.iter().enumerate() {
            let close = closed(&records, Ipv4Addr::new(127, 0, third, 1 + number as u8));
            assert_eq!(close["closed_how"], *how, "{fault:?}: {close}");
        }
    }
}

/// The hello of a client that asks for `from`, with `to` in its place, of as many octets.
fn asking_for(from: &str, to: &str, lab: &Lab) -> Vec<u8> {
    let mut bytes = hello(&mut connection(lab.tls(), from));
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
    bytes.splice(at..at + from.len(), to.bytes());
    bytes
}

#[test]
fn a_name_in_a_hello_that_is_not_the_hosts_is_refused_by_an_alert_and_nothing_is_minted_or_dialled() {
    let mut lab = Lab::new("");
    let cases = ["other.test", "127.0.0.1", "a..b.test", "site.test:", "site,test", "xn--a.test", "1.2.3.0x4"];
    for asked in cases {
        let mut client = lab.tunnel("site.test");
        let stands_in = format!("{}.test", "a".repeat(asked.len() - 5));
        client.send(asking_for(&stands_in, asked, &lab));
        assert_eq!(client.rest(), (ALERT.to_vec(), End::Closed), "{asked}");
    }
    let records = lab.records();
    let refused: Vec<_> = records.iter().filter(|record| record["event"] == "refused").collect();
    assert_eq!(refused.len(), cases.len());
    for (record, asked) in refused.iter().zip(cases) {
        assert_eq!((&record["reason"], &record["sni"]), (&"sni_mismatch".into(), &asked.into()), "{record}");
    }
    assert!(lab.origin.connections() == 0 && lab.names.asked().is_empty());
}

#[test]
fn a_name_is_the_same_in_any_letter_case_and_with_a_dot_behind_it() {
    let mut lab = Lab::new("");
    for (from, asked) in [("site.test", "SITE.tesT"), ("sitea.test", "site.test.")] {
        let mut client = lab.tunnel("site.test");
        client.send(asking_for(from, asked, &lab));
        assert_eq!(client.take(6)[5], 2, "{asked}: a ServerHello");
    }
    until_quiet(&lab);
    let records = lab.records();
    let opened: Vec<_> = records.iter().filter(|record| record["event"] == "open").collect();
    assert!(opened.len() == 2 && records.iter().all(|record| record["event"] != "refused"), "{records:#?}");
}

#[test]
fn without_a_name_the_tunnels_host_is_shown_and_what_is_asked_inside_is_refused() {
    let mut lab = Lab::new("");
    let mut nameless = ClientConfig::clone(&lab.tls());
    nameless.enable_sni = false;
    let mut client = lab.tunnel("site.test").secure(nameless.into(), "site.test").unwrap();
    client.send(get("/", "site.test"));
    let answer = client.answer();
    assert!(answer.status() == 403 && answer.text().contains("Reason: sni_mismatch"), "{}", answer.text());
    drop(client);
    let records = lab.records();
    let refused = inner(&records, "refused")[0];
    assert_eq!((&refused["reason"], &refused["rule"]), (&"sni_mismatch".into(), &"inside".into()), "{refused}");
    assert_eq!(lab.origin.connections(), 0);
}

#[test]
fn a_rule_that_takes_any_name_takes_none_as_well() {
    let mut lab = Lab::new("sni = \"any\"");
    let mut nameless = ClientConfig::clone(&lab.tls());
    nameless.enable_sni = false;
    let mut client = lab.tunnel("site.test").secure(nameless.into(), "site.test").unwrap();
    client.send(get("/", "site.test"));
    assert_eq!(client.answer().status(), 200);
    drop(client);
    assert_eq!(inner(&lab.records(), "open").len(), 1);
}

/// Has a hello sent in this way, and goes on as usual.
fn answered_to(lab: &Lab, send: impl Fn(&mut Peer, Vec<u8>)) -> u16 {
    let mut peer = lab.tunnel("site.test");
    let mut connection = connection(lab.tls(), "site.test");
    send(&mut peer, hello(&mut connection));
    let mut client = peer.secured(connection).unwrap();
    client.send(get("/", "site.test"));
    client.answer().status()
}

#[test]
fn a_hello_in_records_of_one_octet_or_sent_octet_by_octet_is_read_as_one() {
    let mut lab = Lab::new("");
    for octets in [1, 2, 100] {
        assert_eq!(answered_to(&lab, |peer, hello| peer.send(in_records_of(octets, &hello))), 200, "{octets}");
    }
    let one_by_one = |peer: &mut Peer, hello: Vec<u8>| hello.chunks(1).for_each(|octet| peer.send(octet));
    assert_eq!(answered_to(&lab, one_by_one), 200);
    assert_eq!(answered_to(&lab, |peer, hello| one_by_one(peer, in_records_of(3, &hello))), 200);
    let records = lab.records();
    assert_eq!(inner(&records, "open").len(), 5);
    let names: Vec<_> = records.iter().filter_map(|record| record.get("sni")).collect();
    assert!(names.len() >= 5 && names.iter().all(|name| *name == "site.test"), "{names:?}");
}

#[test]
fn what_is_no_hello_is_refused_for_what_it_is() {
    let mut lab = Lab::new("");
    let long = [&[1, 0, 0xa0, 0, 3, 3][..], &vec![7; 0xa000 - 2]].concat();
    let record = |part: &[u8]| [&[22, 3, 1][..], &u16::try_from(part.len()).unwrap().to_be_bytes(), part].concat();
    let long: Vec<u8> = long.chunks(16_384).flat_map(record).collect();
    let cases: [(&[u8], &str, bool); 6] = [
        (&long, "hello_too_long", true),
        (&record(&[2, 0, 0, 1, 0]), "not_client_hello", true),
        (&record(&[1, 0, 0, 2, 3, 3]), "malformed_hello", true),
        (b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n", "not_tls", false),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not_tls", false),
        (b"\0\x01\x02\x03", "not_tls", false),
    ];
    for (bytes, name, is_tls) in cases {
        let mut client = lab.tunnel("site.test");
        let _ = client.try_send(bytes);
        let said = client.rest().0;
        assert_eq!(said, if is_tls { ALERT.to_vec() } else { Vec::new() }, "{name}");
    }
    let records = lab.records();
    let refused: Vec<_> = records.iter().filter(|record| record["event"] == "refused").collect();
    let reasons: Vec<_> = refused.iter().map(|record| record["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, cases.map(|(_, name, _)| name));
    assert_eq!(lab.origin.connections(), 0);
}

/// TLS as of browsers, whose hellos have a meaningless `encrypted_client_hello`.
pub(crate) fn with_ech(authority: &str) -> Arc<ClientConfig> {
    let suite = aws_lc_rs::hpke::ALL_SUPPORTED_SUITES[0];
    let (key, _) = suite.generate_key_pair().unwrap();
    let builder = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into());
    let builder = builder.with_ech(EchMode::Grease(EchGreaseConfig::new(suite, key))).unwrap();
    Arc::new(builder.with_root_certificates(crate::http2_client::roots(authority)).with_no_client_auth())
}

#[test]
fn an_encrypted_hello_is_noted_and_refused_where_the_rule_says_so() {
    for (keys, status) in [("", 200), ("ech = \"deny\"", 403), ("ech = \"allow\"", 200)] {
        let mut lab = Lab::new(keys);
        let mut client = lab.tunnel("site.test").secure(with_ech(&lab.authority), "site.test").unwrap();
        client.send(get("/", "site.test"));
        let answer = client.answer();
        assert_eq!(answer.status(), status, "{keys}: {}", answer.text());
        assert_eq!(answer.text().contains("Reason: ech_denied"), status == 403, "{keys}: {}", answer.text());
        // The same rule without one.
        let mut client = lab.open("site.test");
        client.send(get("/", "site.test"));
        assert_eq!(client.answer().status(), 200, "{keys}");
        drop(client);
        let records = lab.records();
        let refused: Vec<_> = inner(&records, "refused").iter().map(|record| record["reason"].clone()).collect();
        assert_eq!(refused, if status == 403 { vec![Value::from("ech_denied")] } else { Vec::new() }, "{keys}");
        assert!(records.iter().any(|record| record["ech"] == true), "{keys}: {records:#?}");
        assert_eq!(lab.origin.requests().len(), if status == 200 { 2 } else { 1 }, "{keys}");
    }
}

#[test]
fn what_a_rule_refuses_of_a_hello_is_on_record_once_the_policy_only_observes() {
    let mut lab = Lab::new("ech = \"deny\"");
    let mut client = lab.tunnel("site.test").secure(with_ech(&lab.authority), "site.test").unwrap();
    let policy = std::fs::read_to_string(lab.gate.policy()).unwrap();
    crate::gate::put_over(&lab.gate.policy(), &format!("[policy]\nmode = \"observe\"\n{policy}"));
    let reloaded = sekisho(&["reload"], &lab.data_dir());
    assert!(reloaded.status.success(), "{reloaded:?}");
    client.send(get("/", "site.test"));
    assert_eq!(client.answer().status(), 200);
    drop(client);
    let records = lab.records();
    let would: Vec<_> = records.iter().filter(|record| record["would"] == "deny").collect();
    assert!(would.len() == 1 && would[0]["reason"] == "ech_denied", "{records:#?}");
}

/// Keeps all sessions in one place, whatever name they came by: as if it meant to resume them under another.
#[derive(Debug)]
struct AnyName(ClientSessionMemoryCache);

fn one_name() -> ServerName<'static> {
    ServerName::try_from("any.test").unwrap()
}

impl ClientSessionStore for AnyName {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(one_name(), group);
    }

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&one_name())
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(one_name(), value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&one_name())
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&one_name());
    }

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(one_name(), value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&one_name())
    }
}

/// How a handshake in a tunnel to this host went, with one request in it.
fn shaken(lab: &Lab, config: &Arc<ClientConfig>, host: &str) -> Result<HandshakeKind, Error> {
    let mut peer = lab.tunnel(host);
    let mut tls = connection(config.clone(), host);
    let mut answer = Vec::new();
    tls.writer().write_all(get("/", host).as_bytes()).unwrap();
    // The answer is the head that the origin was sent, at whose end is what the gate adds.
    while !answer.windows(4).any(|window| window == b"Via:") {
        while tls.wants_write() {
            let mut bytes = Vec::new();
            tls.write_tls(&mut bytes).unwrap();
            peer.send(bytes);
        }
        let bytes = peer.some();
        assert!(!bytes.is_empty(), "{host}: the gate closed");
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            tls.read_tls(&mut rest).unwrap();
            tls.process_new_packets()?;
        }
        match tls.reader().read_to_end(&mut answer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            read => panic!("{read:?}"),
        }
    }
    Ok(tls.handshake_kind().unwrap())
}

#[test]
fn a_session_begun_with_one_host_is_resumed_there_and_never_at_another() {
    for version in [&TLS12, &TLS13] {
        let lab = Lab::new("sni = \"any\"");
        for sni in [true, false] {
            let mut config = ClientConfig::clone(&of_version(&lab, version));
            config.resumption = Resumption::store(Arc::new(AnyName(ClientSessionMemoryCache::new(32))));
            config.enable_sni = sni;
            let config = Arc::new(config);
            let full = |kind| matches!(kind, HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest);
            assert!(full(shaken(&lab, &config, "a.site.test").unwrap()));
            assert_eq!(shaken(&lab, &config, "a.site.test").unwrap(), HandshakeKind::Resumed, "{version:?} {sni}");
            assert!(full(shaken(&lab, &config, "b.site.test").unwrap()), "{version:?} {sni}");
            assert!(full(shaken(&lab, &config, "a.site.test").unwrap()), "what is b's is worth nothing at a");
        }
        // Each request went to the host whose tunnel it was made in.
        let hosts: Vec<_> =
            lab.origin.requests().iter().map(|request| request.field("host").unwrap().to_owned()).collect();
        let ab = ["a.site.test", "a.site.test", "b.site.test", "a.site.test"];
        assert_eq!(hosts, [ab, ab].concat());
    }
}
