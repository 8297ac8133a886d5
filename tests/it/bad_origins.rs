//! Origins with something wrong in their TLS, each on a socket of its own, and what the gate says of each.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, ExtendedKeyUsagePurpose,
    IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};
use sekisho::facts::Host;
use sekisho::tls::{CertificateFault, NoRoots, Offered, OriginFault, OriginTls, Roots, Trust, origin_config};
use tempfile::TempDir;

/// The name that origins are asked for by.
pub(crate) const NAME: &str = "origin.test";

/// What is wrong with an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    Nothing,
    Expired,
    NotYetValid,
    OtherHost,
    /// No name of it is an alternative name: the subject alone has it.
    NameInSubjectAlone,
    UnknownRoot,
    SelfSigned,
    /// As `openssl req -x509` makes them.
    SelfSignedAuthority,
    Revoked,
    /// By an authority below the root, which was revoked.
    RevokedAuthority,
    /// The one who stands between is left out of the chain.
    MissingIntermediate,
    ForClients,
    Sha1,
    Rsa1024,
    Tls11,
    /// It refuses by an alert, as those do who know no version that is offered.
    NoVersion,
    AsksForCertificate,
    AsksForCertificateInTls12,
    /// It would go on without.
    WouldLikeCertificate,
}

impl Wrong {
    pub(crate) const ALL: [Self; 19] = [
        Self::Nothing,
        Self::Expired,
        Self::NotYetValid,
        Self::OtherHost,
        Self::NameInSubjectAlone,
        Self::UnknownRoot,
        Self::SelfSigned,
        Self::SelfSignedAuthority,
        Self::Revoked,
        Self::RevokedAuthority,
        Self::MissingIntermediate,
        Self::ForClients,
        Self::Sha1,
        Self::Rsa1024,
        Self::Tls11,
        Self::NoVersion,
        Self::AsksForCertificate,
        Self::AsksForCertificateInTls12,
        Self::WouldLikeCertificate,
    ];

    /// What is to be said of it.
    pub(crate) fn fault(self) -> Option<CertificateFault> {
        Some(match self {
            Self::Nothing => return None,
            Self::Expired => CertificateFault::Expired,
            Self::NotYetValid => CertificateFault::NotYetValid,
            Self::OtherHost | Self::NameInSubjectAlone => CertificateFault::WrongHost,
            Self::UnknownRoot | Self::MissingIntermediate => CertificateFault::UnknownIssuer,
            Self::SelfSigned | Self::SelfSignedAuthority => CertificateFault::SelfSigned,
            Self::Revoked | Self::RevokedAuthority => CertificateFault::Revoked,
            Self::ForClients => CertificateFault::WrongUse,
            Self::Sha1 => CertificateFault::WeakSignature,
            Self::Rsa1024 => CertificateFault::WeakKey,
            Self::Tls11 | Self::NoVersion => CertificateFault::OldVersion,
            Self::AsksForCertificate | Self::AsksForCertificateInTls12 | Self::WouldLikeCertificate => {
                CertificateFault::ClientCertificateRequired
            }
        })
    }
}

/// An authority for origins, which the gate is told to trust, and its revocation lists.
pub(crate) struct BadOrigins {
    directory: TempDir,
    root: CertifiedIssuer<'static, KeyPair>,
    between: CertifiedIssuer<'static, KeyPair>,
    revoked_between: CertifiedIssuer<'static, KeyPair>,
}

/// An origin. It serves until the test ends.
pub(crate) struct BadOrigin {
    pub(crate) address: SocketAddr,
    /// How many octets of the application came.
    received: Arc<AtomicUsize>,
    _process: Option<Ended>,
}

/// A process that ends with its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The serial numbers on the lists.
const REVOKED: u64 = 4711;
const REVOKED_BETWEEN: u64 = 4712;

impl BadOrigins {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
        let between = CertifiedIssuer::signed_by(authority("between"), KeyPair::generate().unwrap(), &root).unwrap();
        let mut params = authority("revoked between");
        params.serial_number = Some(SerialNumber::from(REVOKED_BETWEEN));
        let revoked_between = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
        let origins = Self { directory, root, between, revoked_between };
        std::fs::write(origins.root_file(), origins.root.pem()).unwrap();
        // Two of one file, and the time of one of them is over: what stands on it stays revoked.
        let lists = [(&origins.root, REVOKED_BETWEEN, 2030), (&origins.between, REVOKED, 2021)];
        let lists = lists.map(|(issuer, serial, until)| list(issuer, serial, until));
        std::fs::write(origins.list_file(), lists.concat()).unwrap();
        origins
    }

    /// The root that the gate is to trust.
    pub(crate) fn root_file(&self) -> PathBuf {
        self.directory.path().join("root.pem")
    }

    /// The revocation lists that the gate is to heed.
    pub(crate) fn list_file(&self) -> PathBuf {
        self.directory.path().join("lists.pem")
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust { roots: vec![Roots::File(self.root_file())], revocation_lists: vec![self.list_file()] }
    }

    /// Starts an origin with that wrong.
    pub(crate) fn start(&self, wrong: Wrong) -> BadOrigin {
        match wrong {
            Wrong::Sha1 => self.openssl("rsa:2048 -sha1", "-cipher ALL:@SECLEVEL=0"),
            Wrong::Rsa1024 => self.openssl("rsa:1024 -sha256", "-cipher ALL:@SECLEVEL=0"),
            Wrong::Tls11 => self.openssl("rsa:2048 -sha256", "-tls1_1 -cipher ALL:@SECLEVEL=0"),
            Wrong::NoVersion => refusing(),
            Wrong::AsksForCertificate => self.asking(&TLS13, false),
            Wrong::AsksForCertificateInTls12 => self.asking(&TLS12, false),
            Wrong::WouldLikeCertificate => self.asking(&TLS13, true),
            Wrong::Nothing
            | Wrong::Expired
            | Wrong::NotYetValid
            | Wrong::OtherHost
            | Wrong::NameInSubjectAlone
            | Wrong::UnknownRoot
            | Wrong::SelfSigned
            | Wrong::SelfSignedAuthority
            | Wrong::Revoked
            | Wrong::RevokedAuthority
            | Wrong::MissingIntermediate
            | Wrong::ForClients => {
                let (chain, key) = self.chain(wrong);
                serve(builder(&[&TLS12, &TLS13]).with_no_client_auth().with_single_cert(chain, key).unwrap())
            }
        }
    }

    fn chain(&self, wrong: Wrong) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let mut params = leaf();
        match wrong {
            Wrong::Expired => params.not_after = date_time_ymd(2024, 1, 1),
            Wrong::NotYetValid => params.not_before = date_time_ymd(2090, 1, 1),
            Wrong::OtherHost => params.subject_alt_names = named("other.test"),
            Wrong::NameInSubjectAlone => {
                params.subject_alt_names = Vec::new();
                params.distinguished_name.push(rcgen::DnType::CommonName, NAME);
            }
            Wrong::Revoked => params.serial_number = Some(SerialNumber::from(REVOKED)),
            Wrong::ForClients => params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
            Wrong::SelfSignedAuthority => params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained),
            _ => {}
        }
        let chain = match wrong {
            Wrong::SelfSigned | Wrong::SelfSignedAuthority => vec![params.self_signed(&key).unwrap().der().clone()],
            Wrong::UnknownRoot => {
                let unknown = CertifiedIssuer::self_signed(authority("unknown"), KeyPair::generate().unwrap()).unwrap();
                vec![params.signed_by(&key, &unknown).unwrap().der().clone(), unknown.der().clone()]
            }
            Wrong::RevokedAuthority => {
                let made = params.signed_by(&key, &self.revoked_between).unwrap();
                vec![made.der().clone(), self.revoked_between.der().clone()]
            }
            Wrong::MissingIntermediate => vec![params.signed_by(&key, &self.between).unwrap().der().clone()],
            _ => vec![params.signed_by(&key, &self.between).unwrap().der().clone(), self.between.der().clone()],
        };
        (chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn asking(&self, version: &'static SupportedProtocolVersion, goes_on_without: bool) -> BadOrigin {
        let mut clients = RootCertStore::empty();
        clients.add(self.root.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(clients), provider);
        let verifier = if goes_on_without { verifier.allow_unauthenticated() } else { verifier };
        let (chain, key) = self.chain(Wrong::Nothing);
        let config = builder(&[version]).with_client_cert_verifier(verifier.build().unwrap());
        serve(config.with_single_cert(chain, key).unwrap())
    }

    /// What the library of the gate would not even serve: made and served by another.
    fn openssl(&self, key: &str, server: &str) -> BadOrigin {
        let place = tempfile::tempdir_in(self.directory.path()).unwrap().keep();
        let run = |arguments: &str| {
            let mut command = Command::new("openssl");
            command.current_dir(&place).args(arguments.split(' ')).stderr(Stdio::piped());
            let output = command.output().unwrap();
            assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        };
        std::fs::write(place.join("names"), format!("subjectAltName=DNS:{NAME}\n")).unwrap();
        std::fs::write(place.join("ca.pem"), self.root.pem()).unwrap();
        std::fs::write(place.join("ca.key"), self.root.key().serialize_pem()).unwrap();
        let (length, hash) = key.split_once(' ').unwrap();
        run(&format!("req -newkey {length} -nodes -keyout key.pem -out request.pem -subj /CN={NAME}"));
        run(&format!("x509 -req -in request.pem {hash} -CA ca.pem -CAkey ca.key -days 9 -extfile names -out cert.pem"));
        let mut command = Command::new("openssl");
        let arguments = format!("s_server -accept 127.0.0.1:0 -cert cert.pem -key key.pem {server}");
        command.current_dir(&place).args(arguments.split(' '));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT ")?.parse().ok()).unwrap();
        // Its output is read to the end, or it would wait for a reader.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        BadOrigin { address, received: Arc::default(), _process: Some(Ended(process)) }
    }
}

fn named(name: &str) -> Vec<rcgen::SanType> {
    vec![rcgen::SanType::DnsName(name.try_into().unwrap())]
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "an origin");
    params.subject_alt_names = named(NAME);
    params
}

fn list(issuer: &CertifiedIssuer<'static, KeyPair>, serial: u64, until: i32) -> String {
    let revoked = RevokedCertParams {
        serial_number: SerialNumber::from(serial),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: Some(RevocationReason::KeyCompromise),
        invalidity_date: None,
    };
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 2),
        next_update: date_time_ymd(until, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![revoked],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(issuer).unwrap().pem().unwrap()
}

fn builder(
    versions: &[&'static SupportedProtocolVersion],
) -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap()
}

/// Answers every request alike, one after the other.
fn serve(config: ServerConfig) -> BadOrigin {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (config, received) = (Arc::new(config), Arc::new(AtomicUsize::new(0)));
    let counted = received.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream.unwrap());
            let mut some = [0; 4096];
            // Who does not like the certificate goes away.
            if let Ok(length) = stream.read(&mut some) {
                counted.fetch_add(length, Ordering::SeqCst);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    });
    BadOrigin { address, received, _process: None }
}

fn refusing() -> BadOrigin {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut hello = [0; 4096];
            let _ = stream.read(&mut hello);
            // The alert protocol_version, fatal, in a record of TLS 1.0 (RFC 5246 §7.2).
            let _ = stream.write_all(&[21, 3, 1, 0, 2, 2, 70]);
        }
    });
    BadOrigin { address, received: Arc::default(), _process: None }
}

/// Shakes hands and asks for a page.
fn ask(tls: &OriginTls, origin: &BadOrigin, host: &str) -> Result<String, OriginFault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stream = TcpStream::connect(origin.address).unwrap();
    stream.set_nonblocking(true).unwrap();
    runtime.block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let host = Host::parse(host.as_bytes()).unwrap();
        let mut stream = tls.handshake(&host, Offered::Http1, stream).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: origin.test\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 4096];
        let length = stream.read(&mut answer).await.unwrap();
        Ok(String::from_utf8(answer[..length].to_vec()).unwrap())
    })
}

#[test]
fn every_fault_of_an_origin_is_told_by_its_name_and_nothing_is_asked_of_it() {
    let origins = BadOrigins::new();
    let tls = origin_config(&origins.trust()).unwrap();
    for wrong in Wrong::ALL {
        let origin = origins.start(wrong);
        let answer = ask(&tls, &origin, NAME);
        match (wrong.fault(), answer) {
            (None, Ok(answer)) => assert!(answer.ends_with("ok"), "{wrong:?}: {answer}"),
            (Some(expected), Err(OriginFault::Certificate(found))) => assert_eq!(found, expected, "{wrong:?}"),
            (expected, found) => panic!("{wrong:?}: {expected:?}, but {found:?}"),
        }
        let received = origin.received.load(Ordering::SeqCst);
        assert_eq!(received > 0, wrong == Wrong::Nothing, "{wrong:?}: {received} octets");
    }
}

#[test]
fn an_origin_that_asks_for_a_certificate_is_known_by_it_every_time() {
    let origins = BadOrigins::new();
    let tls = origin_config(&origins.trust()).unwrap();
    for wrong in [Wrong::AsksForCertificateInTls12, Wrong::WouldLikeCertificate] {
        let origin = origins.start(wrong);
        for _ in 0..3 {
            // Were a session kept, the second handshake would resume it, and nothing would be asked.
            let found = ask(&tls, &origin, NAME);
            let asked = CertificateFault::ClientCertificateRequired;
            assert!(matches!(found, Err(OriginFault::Certificate(fault)) if fault == asked), "{wrong:?}: {found:?}");
        }
    }
}

#[test]
fn an_origin_beside_one_that_asks_for_a_certificate_is_not_taken_for_it() {
    let origins = BadOrigins::new();
    let tls = origin_config(&origins.trust()).unwrap();
    let (asking, plain) = (origins.start(Wrong::AsksForCertificate), origins.start(Wrong::Nothing));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Both handshakes are advanced by one thread, in turns.
    runtime.block_on(async {
        let host = Host::parse(NAME.as_bytes()).unwrap();
        let connect = async |origin: &BadOrigin| {
            let stream = tokio::net::TcpStream::connect(origin.address).await.unwrap();
            tls.handshake(&host, Offered::Http2, stream).await.map(drop)
        };
        for _ in 0..20 {
            let (asked, went_on) = tokio::join!(connect(&asking), connect(&plain));
            let expected = CertificateFault::ClientCertificateRequired;
            assert!(matches!(asked, Err(OriginFault::Certificate(fault)) if fault == expected), "{asked:?}");
            assert!(went_on.is_ok(), "{went_on:?}");
        }
    });
}

#[test]
fn a_session_with_an_origin_is_resumed_and_its_keys_withstand_quantum_computers() {
    use rustls::{HandshakeKind, NamedGroup};
    let origins = BadOrigins::new();
    let tls = origin_config(&origins.trust()).unwrap();
    let origin = origins.start(Wrong::Nothing);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let host = Host::parse(NAME.as_bytes()).unwrap();
        for expected in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let stream = tokio::net::TcpStream::connect(origin.address).await.unwrap();
            let mut stream = tls.handshake(&host, Offered::Http1, stream).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            // The tickets come before the answer.
            stream.read_u8().await.unwrap();
            let connection = stream.get_ref().1;
            assert_eq!(connection.handshake_kind(), Some(expected));
            let group = connection.negotiated_key_exchange_group().unwrap().name();
            assert_eq!(group, NamedGroup::X25519MLKEM768);
        }
    });
}

#[test]
fn what_is_on_no_list_that_is_configured_is_taken() {
    let origins = BadOrigins::new();
    let tls = origin_config(&Trust { revocation_lists: Vec::new(), ..origins.trust() }).unwrap();
    for wrong in [Wrong::Revoked, Wrong::RevokedAuthority] {
        assert!(ask(&tls, &origins.start(wrong), NAME).is_ok(), "{wrong:?}");
    }
}

#[test]
fn a_list_in_der_is_heeded_and_a_file_that_is_none_is_refused() {
    let origins = BadOrigins::new();
    let place = origins.directory.path();
    let pem = list(&origins.between, REVOKED, 2030);
    let der =
        data_encoding::BASE64.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>().as_bytes());
    std::fs::write(place.join("list.der"), der.unwrap()).unwrap();
    let with = |file: &str| origin_config(&Trust { revocation_lists: vec![place.join(file)], ..origins.trust() });
    let found = ask(&with("list.der").unwrap(), &origins.start(Wrong::Revoked), NAME);
    assert!(matches!(found, Err(OriginFault::Certificate(CertificateFault::Revoked))), "{found:?}");

    std::fs::write(place.join("empty"), "").unwrap();
    std::fs::write(place.join("cut"), &pem[..pem.len() / 2]).unwrap();
    for file in ["empty", "cut", "root.pem", "nowhere"] {
        let refused = with(file).unwrap_err();
        assert!(matches!(&refused, NoRoots::List { path, .. } if path.ends_with(file)), "{file}: {refused}");
    }
}

#[test]
fn a_configured_root_stands_beside_those_of_the_system() {
    let origins = BadOrigins::new();
    let both = Trust { roots: vec![Roots::System, Roots::File(origins.root_file())], ..origins.trust() };
    assert!(ask(&origin_config(&both).unwrap(), &origins.start(Wrong::Nothing), NAME).is_ok());
    let system = Trust { roots: vec![Roots::System], ..origins.trust() };
    let found = ask(&origin_config(&system).unwrap(), &origins.start(Wrong::Nothing), NAME);
    assert!(matches!(found, Err(OriginFault::Certificate(CertificateFault::UnknownIssuer))), "{found:?}");
}

#[test]
fn an_origin_that_closes_or_speaks_no_tls_is_not_said_to_have_a_bad_certificate() {
    let origins = BadOrigins::new();
    let tls = origin_config(&origins.trust()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            if number > 0 {
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        }
    });
    let origin = BadOrigin { address, received: Arc::default(), _process: None };
    let closed = ask(&tls, &origin, NAME);
    assert!(matches!(closed, Err(OriginFault::Io(_))), "{closed:?}");
    let plain = ask(&tls, &origin, NAME);
    assert!(matches!(plain, Err(OriginFault::Tls(_))), "{plain:?}");
}

/// An origin that is so near that a whole handshake goes by in one turn.
struct AtOnce(ServerConnection, std::collections::VecDeque<u8>);

impl tokio::io::AsyncRead for AtOnce {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        into: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        let AtOnce(server, waiting) = &mut *self;
        while server.wants_write() {
            server.write_tls(waiting)?;
        }
        let length = waiting.len().min(into.remaining());
        if length == 0 {
            // The client looks whether there is more before it answers; its answer goes out in the same turn.
            return std::task::Poll::Pending;
        }
        into.put_slice(&waiting.drain(..length).collect::<Vec<_>>());
        std::task::Poll::Ready(Ok(()))
    }
}

impl tokio::io::AsyncWrite for AtOnce {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        let mut rest = bytes;
        while !rest.is_empty() {
            self.0.read_tls(&mut rest)?;
            self.0.process_new_packets().unwrap();
        }
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        self.poll_flush(context)
    }
}

#[test]
fn a_handshake_that_ends_in_the_turn_in_which_a_certificate_was_asked_for_leaves_no_session() {
    let origins = BadOrigins::new();
    let tls = origin_config(&origins.trust()).unwrap();
    let mut clients = RootCertStore::empty();
    clients.add(origins.root.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(clients), provider);
    let verifier = verifier.allow_unauthenticated().build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for version in [&TLS12, &TLS13] {
        let (chain, key) = origins.chain(Wrong::Nothing);
        let config = builder(&[version]).with_client_cert_verifier(verifier.clone());
        let asking = Arc::new(config.with_single_cert(chain, key).unwrap());
        for _ in 0..2 {
            let origin = AtOnce(ServerConnection::new(asking.clone()).unwrap(), Default::default());
            let host = Host::parse(NAME.as_bytes()).unwrap();
            let found = runtime.block_on(tls.handshake(&host, Offered::Http1, origin)).map(drop);
            let asked = CertificateFault::ClientCertificateRequired;
            assert!(matches!(found, Err(OriginFault::Certificate(fault)) if fault == asked), "{version:?}: {found:?}");
        }
    }
}
