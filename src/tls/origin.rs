use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue,
    Tls13ClientSessionValue, WebPkiServerVerifier,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, IpAddr, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, NamedGroup, OtherError, RootCertStore,
    SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{Connect, TlsConnector};

use crate::facts::Host;

use super::client::{NoRoots, Roots, add};
use super::der::Outline;
use super::fault::{CertificateFault, OriginFault};
use super::server::Offered;

/// Whose word is taken for who an origin is.
#[derive(Debug, Clone)]
pub struct Trust {
    /// All of them together; at least one.
    pub roots: Vec<Roots>,
    /// Files of revocation lists, in DER, or in PEM with any number of them.
    pub revocation_lists: Vec<PathBuf>,
}

/// So many tickets of origins are kept, eight a name; beyond, the name that came first is let go.
const SESSIONS_MAX: usize = 8192;
/// Of a file of revocation lists that is longer nothing is read.
const LIST_BYTES_MAX: u64 = 64 << 20;

/// The gate's side of TLS to origins whose connections it looks into.
///
/// TLS 1.2 or 1.3. An origin is verified by the roots, for the host that was asked for, and by the revocation
/// lists: no certificate of the chain may stand on a list of its issuer. Where there is no list of an issuer, its
/// certificates are taken; a list whose time is over is still heeded, since what stands on it was revoked. Missing
/// intermediate certificates are not fetched. There is no way to have it look away.
#[derive(Clone)]
pub struct OriginTls {
    /// By [`Offered`].
    configs: [Arc<ClientConfig>; Offered::COUNT],
}

/// Makes the side of TLS that faces origins.
///
/// # Errors
/// There is no root to be had, or a file of revocation lists cannot be used.
pub fn origin_config(trust: &Trust) -> Result<OriginTls, NoRoots> {
    let mut provider = aws_lc_rs::default_provider();
    // First what no one can record today and read once there are quantum computers: the client's own connection
    // would have had it too. The sort is stable.
    provider.kx_groups.sort_by_key(|group| group.name() != NamedGroup::X25519MLKEM768);
    let provider = Arc::new(provider);
    let mut roots = RootCertStore::empty();
    for named in &trust.roots {
        add(&mut roots, named)?;
    }
    let lists = trust.revocation_lists.iter().map(|path| read_lists(path)).collect::<Result<Vec<_>, _>>()?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .with_crls(lists.into_iter().flatten())
        .allow_unknown_revocation_status()
        .build()
        .map_err(|why| NoRoots::Lists(why.to_string()))?;
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(NoRoots::Setup)?;
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Telling(verifier)))
        .with_client_cert_resolver(Arc::new(NotesAsking));
    config.resumption = Resumption::store(Arc::new(Sessions(ClientSessionMemoryCache::new(SESSIONS_MAX))));
    let of = |offered: Offered| {
        let mut config = config.clone();
        config.alpn_protocols = offered.protocols();
        Arc::new(config)
    };
    Ok(OriginTls { configs: [of(Offered::Http1), of(Offered::Http2)] })
}

fn read_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, NoRoots> {
    let failed = |why: &dyn fmt::Display| NoRoots::List { path: path.into(), why: why.to_string() };
    let length = std::fs::metadata(path).map_err(|error| failed(&error))?.len();
    if length > LIST_BYTES_MAX {
        return Err(failed(&"it is longer than 64 MiB"));
    }
    let content = std::fs::read(path).map_err(|error| failed(&error))?;
    if content.first() == Some(&super::der::tag::SEQUENCE) {
        return Ok(vec![content.into()]);
    }
    let lists = CertificateRevocationListDer::pem_slice_iter(&content).collect::<Result<Vec<_>, _>>();
    let lists = lists.map_err(|error| failed(&error))?;
    if lists.is_empty() { Err(failed(&"it holds no revocation list in DER or PEM")) } else { Ok(lists) }
}

impl OriginTls {
    /// Shakes hands with an origin over this connection, as with this host, by its name or address.
    ///
    /// It has no limit of time: the caller sets one. Dropped, it leaves nothing behind.
    ///
    /// # Errors
    /// See [`OriginFault`]. An origin that asks for a client certificate ends it with
    /// [`CertificateFault::ClientCertificateRequired`]: no octet of the application has passed, and no session is
    /// kept by which a later connection would not be asked.
    pub fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        host: &Host,
        offered: Offered,
        stream: S,
    ) -> Handshake<S> {
        let connector = TlsConnector::from(self.configs[offered as usize].clone());
        let connect = match host {
            Host::Name(name) => ServerName::try_from(name.as_str().to_owned()).ok(),
            Host::V4(address) => Some(ServerName::IpAddress(IpAddr::from(std::net::IpAddr::V4(*address)))),
            Host::V6(address) => Some(ServerName::IpAddress(IpAddr::from(std::net::IpAddr::V6(*address)))),
        };
        Handshake(connect.map(|name| connector.connect(name, stream)))
    }
}

impl fmt::Debug for OriginTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OriginTls")
    }
}

/// A handshake with an origin under way.
pub struct Handshake<S>(Option<Connect<S>>);

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Handshake<S> {
    type Output = Result<TlsStream<S>, OriginFault>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // A name that TLS cannot carry: no certificate could hold for it.
        let Some(connect) = self.0.as_mut() else { return Poll::Ready(Err(CertificateFault::WrongHost.into())) };
        ASKED.set(false);
        let polled = Pin::new(connect).poll(context);
        if ASKED.replace(false) {
            return Poll::Ready(Err(CertificateFault::ClientCertificateRequired.into()));
        }
        Poll::Ready(ready!(polled).map_err(OriginFault::of))
    }
}

thread_local! {
    /// Whether the origin asked for a client certificate in the handshake that this thread is advancing.
    ///
    /// The library asks its resolver for a certificate while it reads the handshake, on the thread that polls, and
    /// says to it nothing of the connection. A resolver for each connection would tell too, but sessions are
    /// resumed under the resolver alone that they began with.
    static ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Has no certificate, and notes that one was asked for.
#[derive(Debug)]
struct NotesAsking;

impl ResolvesClientCert for NotesAsking {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        ASKED.set(true);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Sessions by the name of the server, but none of an origin that asked for a certificate in the handshake, which
/// would be resumed without its asking again.
#[derive(Debug)]
struct Sessions(ClientSessionMemoryCache);

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(name, group);
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(name)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        if !ASKED.get() {
            self.0.set_tls12_session(name, value);
        }
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(name)
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.0.remove_tls12_session(name);
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        if !ASKED.get() {
            self.0.insert_tls13_ticket(name, value);
        }
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(name)
    }
}

/// Verifies as webpki does. What it refuses stays refused; some of that gets a name that says more.
#[derive(Debug)]
struct Telling(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Telling {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.verify_server_cert(leaf, intermediates, name, ocsp, now).map_err(|error| told(error, leaf))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, leaf, signed).map_err(|error| told(error, leaf))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, leaf, signed).map_err(|error| told(error, leaf))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// The same refusal, with what only the certificate itself tells.
fn told(error: Error, leaf: &CertificateDer<'_>) -> Error {
    let Error::InvalidCertificate(refused) = &error else { return error };
    let Some(outline) = Outline::read(leaf) else { return error };
    let fault = match refused {
        CertificateError::UnknownIssuer | CertificateError::Other(_) if outline.issuer == outline.subject => {
            CertificateFault::SelfSigned
        }
        CertificateError::BadSignature if outline.rsa_bits().is_some_and(|bits| bits < RSA_BITS_MIN) => {
            CertificateFault::WeakKey
        }
        _ => return error,
    };
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(fault))))
}

/// The cryptography takes no RSA key with fewer.
const RSA_BITS_MIN: usize = 2048;
