//! An origin that remembers every byte it was sent, and answers as the test wants.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::peer::{Message, Peer};

/// A listening origin; it lives as long as the test process.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    log: Log,
}

/// The bytes of one connection.
type Bytes = Arc<Mutex<Vec<u8>>>;

/// What an origin was sent.
#[derive(Clone, Default)]
pub(crate) struct Log {
    requests: Arc<Mutex<Vec<Message>>>,
    connections: Arc<Mutex<Vec<Bytes>>>,
}

impl Log {
    /// Remembers a request that was read whole.
    pub(crate) fn note(&self, request: &Message) {
        if request.whole {
            self.requests.lock().unwrap().push(request.clone());
        }
    }
}

impl Origin {
    /// An origin that answers every request with the request's own head.
    pub(crate) fn start() -> Self {
        Self::answering(head_of)
    }

    /// An origin that answers every request with these bytes.
    pub(crate) fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::answering(move |_| answer.clone())
    }

    /// An origin that answers with what `answer` makes of each request, keeps the connection as long
    /// as the other side does, and closes where its own answer says `Connection: close`.
    pub(crate) fn answering<A: Into<Vec<u8>>>(answer: impl Fn(&Message) -> A + Send + Sync + 'static) -> Self {
        Self::serving(each(answer))
    }

    /// An origin each of whose connections is served by `serve`, on a loopback port of the kernel's
    /// choice.
    pub(crate) fn serving(serve: impl Fn(Peer, &Log) + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(), serve)
    }

    /// The same on a listener of the caller's.
    pub(crate) fn on(listener: TcpListener, serve: impl Fn(Peer, &Log) + Send + Sync + 'static) -> Self {
        Self::accepting(listener, Some, serve)
    }

    /// The same inside TLS.
    pub(crate) fn within(
        tls: Arc<ServerConfig>,
        listener: TcpListener,
        serve: impl Fn(Peer, &Log) + Send + Sync + 'static,
    ) -> Self {
        Self::accepting(listener, move |peer| peer.serve_secured(tls.clone()).ok(), serve)
    }

    fn accepting(
        listener: TcpListener,
        open: impl Fn(Peer) -> Option<Peer> + Send + Sync + 'static,
        serve: impl Fn(Peer, &Log) + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let log = Log::default();
        let kept = log.clone();
        let (open, serve) = (Arc::new(open), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bytes = Bytes::default();
                log.connections.lock().unwrap().push(bytes.clone());
                let (log, open, serve) = (log.clone(), open.clone(), serve.clone());
                std::thread::spawn(move || {
                    if let Some(peer) = open(Peer::new(stream, Some(bytes))) {
                        serve(peer, &log);
                    }
                });
            }
        });
        Self { address, log: kept }
    }

    /// An origin that sends back every byte, and ends when the other side does.
    pub(crate) fn echo() -> Self {
        Self::echo_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
    }

    /// The same on a listener of the caller's.
    pub(crate) fn echo_on(listener: TcpListener) -> Self {
        Self::on(listener, |mut peer, _| {
            loop {
                let bytes = peer.some();
                if bytes.is_empty() || peer.try_send(&bytes).is_err() {
                    return;
                }
            }
        })
    }

    /// The origin of [`Origin::start`] on `listener`.
    pub(crate) fn start_on(listener: TcpListener) -> Self {
        Self::on(listener, each(head_of))
    }

    /// Whole requests, in the order in which they were complete: heads and decoded bodies.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.requests().iter().map(|request| format!("{}{}", request.head, request.text())).collect()
    }

    /// Whole requests, in the order in which they were complete.
    pub(crate) fn requests(&self) -> Vec<Message> {
        self.log.requests.lock().unwrap().clone()
    }

    /// How many connections were made.
    pub(crate) fn connections(&self) -> usize {
        self.log.connections.lock().unwrap().len()
    }

    /// Every byte received, by connection.
    pub(crate) fn bytes(&self) -> Vec<Vec<u8>> {
        self.log.connections.lock().unwrap().iter().map(|bytes| bytes.lock().unwrap().clone()).collect()
    }

    /// A policy that lets out to this origin alone, whatever the protocol.
    pub(crate) fn policy(&self) -> String {
        self.rule("protocol = \"any\"")
    }

    /// A rule that lets out to this origin's address, with more keys.
    pub(crate) fn rule(&self, more: &str) -> String {
        self.rule_for(&self.address.ip().to_string(), more)
    }

    /// A rule that lets out to `host` on this origin's port, with more keys.
    pub(crate) fn rule_for(&self, host: &str, more: &str) -> String {
        let port = self.address.port();
        format!(
            "[[rule]]\nname = \"origin\"\nhosts = [\"{host}\"]\nports = [{port}]\nprivate = [\"127.0.0.0/8\"]\n\
             verdict = \"allow\"\n{more}\n"
        )
    }
}

/// Serves a connection by answering each request with what `answer` makes of it.
pub(crate) fn each<A: Into<Vec<u8>>>(
    answer: impl Fn(&Message) -> A + Send + Sync + 'static,
) -> impl Fn(Peer, &Log) + Send + Sync + 'static {
    move |peer, log| serve(peer, log, &answer)
}

/// Answers a request with its own head.
pub(crate) fn head_of(request: &Message) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", request.head.len(), request.head)
}

fn serve<A: Into<Vec<u8>>>(mut peer: Peer, log: &Log, answer: &impl Fn(&Message) -> A) {
    while let Some(request) = peer.request() {
        log.note(&request);
        if !request.whole {
            return;
        }
        let bytes: Vec<u8> = answer(&request).into();
        let said = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        if peer.try_send(&bytes).is_err() || request.closes() || said.contains("connection: close\r\n") {
            return;
        }
    }
}

/// A listener on a loopback address that no other test uses, so that a port which the rules name can
/// be had. Ports below 1024 need root, or `net.ipv4.ip_unprivileged_port_start` below them.
pub(crate) fn listener_of_its_own(port: u16) -> TcpListener {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let process = std::process::id();
        let [_, high, middle, low] = (process.wrapping_mul(64) + NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
        // Not made to fit: two numbers would have one address, and with port 0 both could be had.
        if !(2..=254).contains(&low) {
            continue;
        }
        let address = Ipv4Addr::new(127, 64 | high & 63, middle, low);
        match TcpListener::bind((address, port)) {
            Ok(listener) => return listener,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {}
            Err(error) => {
                panic!("port {port} cannot be bound ({error}): run as root, or lower ip_unprivileged_port_start")
            }
        }
    }
}

/// TLS for an origin of these names, and the certificate of who vouches for it, as PEM.
pub(crate) fn tls_of(names: Vec<String>) -> (Arc<ServerConfig>, String) {
    let Pair { key, certificate, authority } = pair_of(names);
    let config = ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
        )
        .unwrap();
    (Arc::new(config), authority)
}

/// In PEM: a key, its certificate, and the authority that vouches for it.
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) certificate: String,
    pub(crate) authority: String,
}

/// A certificate for these names.
pub(crate) fn pair_of(names: Vec<String>) -> Pair {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    // Named unlike what it vouches for, or that would look like its own issuer.
    authority.distinguished_name = DistinguishedName::new();
    authority.distinguished_name.push(DnType::CommonName, "who vouches for origins");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    Pair { key: key.serialize_pem(), certificate: leaf.pem(), authority: authority.pem() }
}
