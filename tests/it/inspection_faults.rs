//! Clients that do not go on, and hellos as no browser sends them, at a gate that looks inside.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::http2_client::{connect, run, secure, trusting, tunnel};
use crate::inspection::Lab;

/// Takes no certificate, and says why.
#[derive(Debug)]
struct Refuses(CertificateError);

impl ServerCertVerifier for Refuses {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Err(self.0.clone().into())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("the certificate is not taken")
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        unreachable!("the certificate is not taken")
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

fn refusing(why: CertificateError) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Refuses(why)))
        .with_no_client_auth();
    Arc::new(config)
}

/// A tunnel to this host, on which nothing was said yet.
fn tunnel_to(lab: &Lab, host: &str) -> TcpStream {
    let mut tcp = TcpStream::connect(lab.gate.address).unwrap();
    tcp.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    tcp.write_all(format!("CONNECT {host}:443 HTTP/1.1\r\nHost: {host}:443\r\n\r\n").as_bytes()).unwrap();
    let mut established = [0; 39];
    tcp.read_exact(&mut established).unwrap();
    tcp
}

fn closed_how(records: &[Value]) -> Vec<&str> {
    records
        .iter()
        .filter(|record| record["event"] == "close")
        .filter_map(|record| record["closed_how"].as_str())
        .collect()
}

#[test]
fn each_alert_by_which_a_certificate_is_refused_is_told_from_a_client_that_only_leaves() {
    let mut lab = Lab::new("");
    // The alerts of RFC 8446 section 6.2 that speak of a certificate, by what makes the library send them.
    let reasons = [
        CertificateError::UnknownIssuer,
        CertificateError::Expired,
        CertificateError::Revoked,
        CertificateError::BadEncoding,
        CertificateError::BadSignature,
        CertificateError::NotValidForName,
        CertificateError::UnhandledCriticalExtension,
        CertificateError::ApplicationVerificationFailure,
        CertificateError::InvalidPurpose,
    ];
    for (number, why) in reasons.iter().enumerate() {
        let host = format!("r{number}.site.test");
        let connection = ClientConnection::new(refusing(why.clone()), host.clone().try_into().unwrap()).unwrap();
        let mut stream = StreamOwned::new(connection, tunnel_to(&lab, &host));
        assert!(stream.write_all(b"GET / HTTP/1.1\r\n\r\n").is_err(), "{why:?}");
        // What it says is flushed before it leaves; then the gate has read it.
        let _ = stream.conn.write_tls(&mut stream.sock);
        let _ = stream.sock.shutdown(std::net::Shutdown::Write);
        let _ = stream.sock.read_to_end(&mut Vec::new());
    }
    // These leave in the middle of a handshake: one without a word, one with a protocol that is none.
    for garbage in [&b""[..], b"\x15\x03\x03\x00\x02\x02\x28"] {
        let config = trusting(&lab.authority(), &["http/1.1"]);
        let mut connection = ClientConnection::new(config, "site.test".try_into().unwrap()).unwrap();
        let mut tcp = tunnel_to(&lab, "site.test");
        connection.write_tls(&mut tcp).unwrap();
        let mut one = [0];
        tcp.read_exact(&mut one).unwrap();
        tcp.write_all(garbage).unwrap();
        tcp.shutdown(std::net::Shutdown::Write).unwrap();
        let _ = tcp.read_to_end(&mut Vec::new());
    }
    assert!(lab.asked().is_empty());
    let records = lab.records();
    let how = closed_how(&records);
    assert_eq!(how.iter().filter(|how| **how == "tls_refused").count(), reasons.len(), "{how:?}");
    assert_eq!(how.iter().filter(|how| **how == "tls_failed").count(), 2, "{how:?}");
}

#[test]
fn a_hello_in_records_of_one_byte_each_is_looked_into_and_one_without_the_name_of_its_host_is_not() {
    let mut lab = Lab::new("");
    let config = trusting(&lab.authority(), &["http/1.1"]);
    let mut connection = ClientConnection::new(config.clone(), "site.test".try_into().unwrap()).unwrap();
    let mut tcp = tunnel_to(&lab, "site.test");
    let mut hello = Vec::new();
    connection.write_tls(&mut hello).unwrap();
    let (head, handshake) = hello.split_at(5);
    for byte in handshake {
        tcp.write_all(&[head[0], head[1], head[2], 0, 1, *byte]).unwrap();
    }
    let answer = |stream: &mut StreamOwned<ClientConnection, TcpStream>| {
        stream.write_all(b"GET /many HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    let answered = answer(&mut StreamOwned::new(connection, tcp));
    assert!(answered.starts_with("HTTP/1.1 200 OK"), "{answered}");
    // No name at all: the certificate is that of the CONNECT's host, and a page says why nothing goes on.
    let mut nameless = Arc::unwrap_or_clone(config.clone());
    nameless.enable_sni = false;
    let connection = ClientConnection::new(Arc::new(nameless), "site.test".try_into().unwrap()).unwrap();
    let answered = answer(&mut StreamOwned::new(connection, tunnel_to(&lab, "site.test")));
    assert!(answered.starts_with("HTTP/1.1 403 ") && answered.contains("Reason: sni_mismatch"), "{answered}");
    // The name of another host.
    let connection = ClientConnection::new(config, "other.site.test".try_into().unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, tunnel_to(&lab, "site.test"));
    assert!(stream.write_all(b"GET / HTTP/1.1\r\n\r\n").and_then(|()| stream.flush()).is_err());
    assert_eq!(lab.asked().len(), 1);
    assert!(lab.records().iter().any(|record| record["reason"] == "sni_mismatch"));
}

#[test]
fn a_thousand_new_hosts_at_once_are_all_answered() {
    const HOSTS: usize = 1000;
    crate::gate::raise_open_files();
    let mut lab = Lab::new("paths = [\"/open\"]");
    let config = trusting(&lab.authority(), &["http/1.1"]);
    run(async {
        let mut clients = tokio::task::JoinSet::new();
        for number in 0..HOSTS {
            let (config, address) = (config.clone(), lab.gate.address);
            clients.spawn(async move {
                let host = format!("h{number}.site.test");
                let tunnelled = tunnel(connect(address).await, &format!("{host}:443")).await;
                let mut secured = secure(&config, &host, tunnelled).await.unwrap();
                let request = format!("GET /closed HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
                secured.write_all(request.as_bytes()).await.unwrap();
                let mut answer = Vec::new();
                let _ = secured.read_to_end(&mut answer).await;
                assert!(answer.starts_with(b"HTTP/1.1 403 "), "{}", String::from_utf8_lossy(&answer));
            });
        }
        clients.join_all().await;
    });
    let memory = lab.gate.peak_memory();
    assert!(memory < 300 << 20, "{memory}");
    let refused = |record: &&Value| record["event"] == "refused" && record["scheme"] == "https";
    assert_eq!(lab.records().iter().filter(refused).count(), HOSTS);
}

/// Whether any file below a directory holds these bytes, the authority's own left out.
fn holds(directory: &std::path::Path, bytes: &str) -> bool {
    std::fs::read_dir(directory).unwrap().map(Result::unwrap).any(|entry| {
        let path = entry.path();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => entry.file_name() != "ca" && holds(&path, bytes),
            kind if kind.is_file() => {
                let content = std::fs::read(&path).unwrap();
                content.windows(bytes.len()).any(|window| window == bytes.as_bytes())
            }
            _ => false,
        }
    })
}

#[test]
fn no_credential_key_or_token_is_kept_or_shown_whatever_becomes_of_its_request() {
    let mut lab = Lab::new("paths = [\"/open\"]");
    let secrets = [
        "-u",
        "user:planted-password",
        "-b",
        "session=planted-cookie",
        "-H",
        "X-Api-Key: planted-key",
        "-d",
        "planted-body",
        "-A",
        "marker-agent",
        "--proxy-user",
        "proxy:planted-proxy-password",
    ];
    let mut shown = String::new();
    for (more, path) in [
        (&[][..], "https://site.test/open?token=planted-query"),
        (&[], "https://site.test/closed?token=planted-query"),
        (&["-H", "Host: other.test"], "https://site.test/open?token=planted-query"),
        (&[], "https://a.b.site.test/open?token=planted-query"),
        (&["--http2"], "https://site.test/closed?token=planted-query"),
    ] {
        let output = lab.curl(&[&secrets[..], more].concat(), path);
        // What the origin itself sends back is its own.
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        shown.push_str(if text.contains("stopped at the gate") { &text } else { "" });
    }
    assert!(lab.asked().concat().contains("planted-cookie"), "the origin got it");
    assert_eq!(shown.matches("stopped at the gate").count(), 4, "{shown}");
    shown.push_str(&crate::gate::status_of(&lab.data_dir()).to_string());
    let key = std::fs::read_to_string(lab.data_dir().join("ca/current/ca.key")).unwrap();
    let key = key.lines().nth(1).unwrap().to_owned();
    let journal = format!("{:?}", lab.records());
    assert!(
        journal.contains("marker-agent") && holds(&lab.data_dir(), "marker-agent"),
        "the search finds what is there"
    );
    // Base64 of what Basic sends, too.
    for secret in ["planted", "dXNlcjpwbGFudGVk", "cHJveHk6cGxhbnRlZC", "PRIVATE KEY", &key] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
        assert!(!holds(&lab.data_dir(), secret), "{secret} is kept");
    }
}
