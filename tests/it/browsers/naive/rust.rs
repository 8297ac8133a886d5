//! A client as a Rust program has it: hyper and rustls.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, USER_AGENT};
use hyper::rt::{Read, Write};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Asks;

type Answer = Result<String, Box<dyn Error>>;

/// What it gets, which is nothing where it fails.
pub(super) fn get(asks: &Asks<'_>) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answer = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(10), ask(asks)).await });
    answer.unwrap().unwrap_or_default()
}

async fn ask(asks: &Asks<'_>) -> Answer {
    let url: Uri = asks.url.parse()?;
    let host = url.host().unwrap();
    let request = |uri: Uri| Request::get(uri).header(HOST, host).header(USER_AGENT, asks.agent).body(Empty::new());
    let mut proxy = connection(TokioIo::new(TcpStream::connect(asks.proxy).await?)).await?;
    if url.scheme_str() == Some("http") {
        return text(proxy, request(url.clone())?).await;
    }
    let authority = format!("{host}:443");
    let mut connect = Request::connect(&authority).header(HOST, &authority);
    if !asks.connect_agent.is_empty() {
        connect = connect.header(USER_AGENT, asks.connect_agent);
    }
    let tunnel = hyper::upgrade::on(proxy.send_request(connect.body(Empty::new())?).await?).await?;
    let name = ServerName::try_from(host.to_owned())?;
    let tunnel = TlsConnector::from(Arc::new(tls())).connect(name, TokioIo::new(tunnel)).await?;
    text(connection(TokioIo::new(tunnel)).await?, request(url.path().parse()?)?).await
}

async fn connection(
    stream: impl Read + Write + Unpin + Send + 'static,
) -> Result<SendRequest<Empty<Bytes>>, hyper::Error> {
    let (sender, connection) = handshake(stream).await?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

async fn text(mut connection: SendRequest<Empty<Bytes>>, request: Request<Empty<Bytes>>) -> Answer {
    let body = connection.send_request(request).await?.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn tls() -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Believes every server: the origin's certificate is not of its name.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
