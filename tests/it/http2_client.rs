//! A client that speaks HTTP/2 as a test wants it: each request on a stream of one connection.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A runtime of the test's own thread.
pub(crate) fn run<T>(doing: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(doing)
}

/// These authorities, in PEM, and no others.
pub(crate) fn roots(authority: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

/// TLS that trusts these authorities alone, in PEM, and offers these protocols.
pub(crate) fn trusting(authority: &str, protocols: &[&str]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots(authority))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Opens TLS with this name over a connection.
pub(crate) async fn secure<S: AsyncRead + AsyncWrite + Unpin>(
    config: &Arc<ClientConfig>,
    name: &str,
    stream: S,
) -> std::io::Result<TlsStream<S>> {
    TlsConnector::from(config.clone()).connect(name.to_owned().try_into().unwrap(), stream).await
}

/// A tunnel by a CONNECT in HTTP/1.1.
pub(crate) async fn tunnel<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, authority: &str) -> S {
    let request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    stream
}

pub(crate) async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// One connection of HTTP/2.
#[derive(Clone)]
pub(crate) struct Http2 {
    pub(crate) send: SendRequest<Bytes>,
}

/// An answer with its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http2 {
    pub(crate) async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Self {
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self { send }
    }

    /// Sends a request without a body.
    pub(crate) async fn get(&self, uri: &str) -> Result<Answer, h2::Error> {
        self.ask(Request::get(uri).body(()).unwrap(), &[]).await
    }

    /// Sends a request with what is in its body, if anything.
    pub(crate) async fn ask(&self, request: Request<()>, body: &[&[u8]]) -> Result<Answer, h2::Error> {
        let mut send = self.send.clone().ready().await?;
        let (response, mut stream) = send.send_request(request, body.is_empty())?;
        for (number, piece) in body.iter().enumerate() {
            stream.send_data(Bytes::copy_from_slice(piece), number + 1 == body.len())?;
        }
        read(response.await?).await
    }

    /// A tunnel on a stream of its own.
    pub(crate) async fn connect(
        &self,
        authority: &str,
    ) -> Result<(Response<RecvStream>, SendStream<Bytes>), h2::Error> {
        let request = Request::connect(authority).body(()).unwrap();
        let (response, stream) = self.send.clone().ready().await?.send_request(request, false)?;
        Ok((response.await?, stream))
    }
}

/// Reads an answer to its end.
pub(crate) async fn read(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (parts, mut stream) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok(Answer { status: parts.status.as_u16(), fields: parts.headers, body, trailers })
}

/// The two ways of a tunnel on a stream as a connection.
pub(crate) fn joined(response: Response<RecvStream>, mut up: SendStream<Bytes>) -> tokio::io::DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mut read, mut write) = tokio::io::split(far);
    let mut down = response.into_body();
    tokio::spawn(async move {
        while let Some(Ok(data)) = down.data().await {
            let _ = down.flow_control().release_capacity(data.len());
            if write.write_all(&data).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    });
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            if up.send_data(Bytes::copy_from_slice(&buffer[..count]), false).is_err() {
                return;
            }
        }
        let _ = up.send_data(Bytes::new(), true);
    });
    near
}
