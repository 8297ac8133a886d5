//! The gate's own errands: a GET or POST over HTTPS, or bytes to a socket, held to bounds, where the config names it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use rustls::ClientConfig;
use rustls::pki_types::{IpAddr, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::facts::Host;
use crate::parse::parse_authority;
use crate::policy::{AddressRefused, Internal, OwnEndpoints, judge_target};

use super::own::{OwnConnections, Purpose};
use super::resolve::ResolveError;
use super::resolvers::Resolvers;

/// A URL of the scheme `https`, without user, password and fragment.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HttpsUrl {
    host: Host,
    port: u16,
    /// Whom the certificate of the other end must name.
    server: ServerName<'static>,
    /// The path, with what follows `?`.
    path: Uri,
}

/// The longest that is taken.
const URL_BYTES_MAX: usize = 2048;

impl HttpsUrl {
    /// # Errors
    /// What is wrong with it, to follow "it".
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix("https://").ok_or("does not begin with https://")?;
        if text.len() > URL_BYTES_MAX {
            return Err("is longer than 2048 bytes");
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err("has a space, or a character that must be percent-encoded");
        }
        if text.contains('#') {
            return Err("has a fragment (#), which is sent to nobody");
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("has a user or a password");
        }
        let (host, port) = parse_authority(authority.as_bytes()).map_err(|_| "names no host")?;
        let server = certified(&host).ok_or("names no host that a certificate can name")?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let path = path.parse().map_err(|_| "has a character that must be percent-encoded")?;
        Ok(Self { host, port: port.unwrap_or(443), server, path })
    }

    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The host with its port.
    pub fn server(&self) -> Server {
        Server { host: self.host.clone(), port: self.port }
    }

    /// The file beside it whose name has this behind it; `None` where that makes no URL.
    pub fn beside(&self, suffix: &str) -> Option<Self> {
        let query = self.path.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("{}{suffix}{query}", self.path.path()).parse().ok()?;
        Some(Self { path, ..self.clone() })
    }

    /// What no other URL has. A query, which may hold a secret, is in it as a hash.
    pub fn identity(&self) -> String {
        let hash = self.path.query().map(|query| format!(" {}", blake3::hash(query.as_bytes()).to_hex()));
        format!("{self}{}", hash.unwrap_or_default())
    }

    /// The last segment of its path.
    pub fn file_name(&self) -> &str {
        self.path.path().rsplit('/').next().unwrap_or_default()
    }

    fn authority(&self) -> String {
        match self.port {
            443 => self.host.to_string(),
            port => format!("{}:{port}", self.host),
        }
    }
}

/// Without its query, which may hold a secret, such as a subscriber's key.
impl fmt::Display for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = if self.path.query().is_some() { "?…" } else { "" };
        write!(f, "https://{}{}{query}", self.authority(), self.path.path())
    }
}

impl fmt::Debug for HttpsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpsUrl({})", self.identity())
    }
}

/// A server that the config names, by its host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub host: Host,
    pub port: u16,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::V6(address) => write!(f, "[{address}]:{}", self.port),
            host => write!(f, "{host}:{}", self.port),
        }
    }
}

/// What is to be got, and by which leave.
#[derive(Debug)]
pub struct Errand<'a> {
    pub purpose: Purpose,
    pub url: &'a HttpsUrl,
    pub tls: &'a Arc<ClientConfig>,
    /// Special-purpose addresses to which it may lead.
    pub opened: &'a [IpNet],
    /// An answer of more bytes is none.
    pub bytes_max: u64,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ErrandError {
    #[error("{0}")]
    Resolve(#[from] ResolveError),
    #[error("{0}")]
    Refused(AddressRefused),
    #[error("cannot connect to {address}: {source}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("no TLS with {host}: {source}")]
    Tls { host: Host, source: io::Error },
    #[error("the answer is no HTTP that can be used: {0}")]
    Http(#[from] hyper::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
    /// The config names where the gate goes: nobody else does.
    #[error("it answered {status} and points to {to}: name that URL, if it is right")]
    Moved { status: StatusCode, to: String },
    #[error("it answered with the encoding {0}, which was not asked for")]
    Encoded(String),
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    #[error("nothing came for {0:?}")]
    Stalled(Duration),
    #[error("it took longer than {0:?}")]
    TooSlow(Duration),
}

/// Runs the gate's own errands.
pub struct Errands {
    resolvers: Resolvers,
    own: OwnConnections,
    endpoints: Arc<OwnEndpoints>,
    limits: ErrandLimits,
}

/// How long an errand may take.
#[derive(Debug, Clone, Copy)]
pub struct ErrandLimits {
    /// For one attempt to connect to one address.
    pub connect: Duration,
    /// For the TLS handshake, and without a byte of the answer.
    pub silence: Duration,
    /// From its begin to its end.
    pub whole: Duration,
}

impl Default for ErrandLimits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(10), silence: seconds(30), whole: seconds(600) }
    }
}

/// Addresses of one host that are tried.
const ADDRESSES_MAX: usize = 4;
/// Of the answer's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Of a server's words that are passed on to a person.
const WORDS_SHOWN_MAX: usize = 200;

impl Errands {
    /// Connections are counted in `own`, as those to name servers are.
    pub fn new(resolvers: Resolvers, own: OwnConnections, endpoints: Arc<OwnEndpoints>, limits: ErrandLimits) -> Self {
        Self { resolvers, own, endpoints, limits }
    }

    /// What the URL holds: the body of an answer of status 200, whole. Nothing is followed elsewhere.
    ///
    /// # Errors
    /// By what went wrong first; of several addresses, of the last that was tried.
    pub async fn get(&self, errand: Errand<'_>) -> Result<Vec<u8>, ErrandError> {
        let limit = self.limits.whole;
        timeout(limit, self.run(errand)).await.map_err(|_| ErrandError::TooSlow(limit))?
    }

    /// Hands a body to the URL, with these fields beside it, and waits until it is said to be taken: an answer of 200 to 299,
    /// which is returned.
    ///
    /// # Errors
    /// By what went wrong first.
    pub async fn post(
        &self,
        errand: Errand<'_>,
        content_type: &'static str,
        fields: &[(&'static str, String)],
        body: Vec<u8>,
    ) -> Result<StatusCode, ErrandError> {
        let limit = self.limits.whole;
        let posted = async {
            let (_driving, answer) = self.ask(&errand, posting(errand.url, content_type, fields, body)).await?;
            // The path of where a body is posted to may be a secret, and that of where it points to.
            let answer = elsewhere(answer, of_origin)?;
            let status = answer.status();
            if !status.is_success() {
                return Err(ErrandError::Status(status));
            }
            self.body(answer.into_body(), errand.bytes_max).await.map(|_| status)
        };
        timeout(limit, posted).await.map_err(|_| ErrandError::TooSlow(limit))?
    }

    /// A connection of the gate's own to a server that the config names.
    ///
    /// # Errors
    /// Of several addresses, of the last that was tried.
    pub async fn reach(&self, to: &Server, purpose: Purpose, opened: &[IpNet]) -> Result<TcpStream, ErrandError> {
        self.connect(purpose, to, opened).await
    }

    /// The same, with TLS over it.
    ///
    /// # Errors
    /// There is no connection, or whom the roots vouch for is not there.
    pub async fn reach_secured(
        &self,
        to: &Server,
        purpose: Purpose,
        opened: &[IpNet],
        tls: &Arc<ClientConfig>,
    ) -> Result<TlsStream<TcpStream>, ErrandError> {
        let stream = self.connect(purpose, to, opened).await?;
        self.secure(stream, to, tls).await
    }

    /// TLS over a connection that [`reach`](Self::reach) has made.
    ///
    /// # Errors
    /// Whom the roots vouch for is not there.
    pub async fn secure(
        &self,
        stream: TcpStream,
        to: &Server,
        tls: &Arc<ClientConfig>,
    ) -> Result<TlsStream<TcpStream>, ErrandError> {
        let failed = |source| ErrandError::Tls { host: to.host.clone(), source };
        let name = certified(&to.host).ok_or_else(|| failed(io::Error::other("no certificate can name it")))?;
        self.silent(TlsConnector::from(tls.clone()).connect(name, stream)).await?.map_err(failed)
    }

    /// A datagram to a server that the config names: whether it comes there nobody says.
    ///
    /// # Errors
    /// There is no address to send it to, or the system does not send it.
    pub async fn datagram(
        &self,
        to: &Server,
        purpose: Purpose,
        opened: &[IpNet],
        bytes: &[u8],
    ) -> Result<(), ErrandError> {
        let address =
            self.addresses(to, opened).await?.next().ok_or(ErrandError::Resolve(ResolveError::NoAddress))??;
        let sent = self.own.send(purpose, address, bytes).await;
        sent.map_err(|source| ErrandError::Connect { address, source })
    }

    async fn run(&self, errand: Errand<'_>) -> Result<Vec<u8>, ErrandError> {
        let (_driving, answer) = self.ask(&errand, getting(errand.url)).await?;
        self.body(useful(answer)?, errand.bytes_max).await
    }

    /// The head of the answer, and what the connection goes on by.
    async fn ask(
        &self,
        errand: &Errand<'_>,
        request: Request<Full<Bytes>>,
    ) -> Result<(JoinSet<hyper::Result<()>>, Response<Incoming>), ErrandError> {
        let Errand { purpose, url, tls, opened, .. } = *errand;
        let stream = self.connect(purpose, &url.server(), opened).await?;
        let stream = self.silent(TlsConnector::from(tls.clone()).connect(url.server.clone(), stream)).await?;
        let stream = stream.map_err(|source| ErrandError::Tls { host: url.host.clone(), source })?;
        let mut builder = hyper::client::conn::http1::Builder::new();
        let (mut sender, connection) =
            builder.max_buf_size(HEAD_BYTES_MAX).handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await?;
        // Ends with this errand.
        let mut driving = JoinSet::new();
        driving.spawn(connection);
        let answer = self.silent(sender.send_request(request)).await??;
        Ok((driving, answer))
    }

    async fn connect(&self, purpose: Purpose, to: &Server, opened: &[IpNet]) -> Result<TcpStream, ErrandError> {
        let mut last = ErrandError::Resolve(ResolveError::NoAddress);
        for address in self.addresses(to, opened).await? {
            let checked = match address {
                Ok(checked) => checked,
                Err(refused) => {
                    last = refused;
                    continue;
                }
            };
            match self.own.connect(purpose, checked, self.limits.connect).await {
                Ok(stream) => return Ok(stream),
                Err(source) => last = ErrandError::Connect { address: checked, source },
            }
        }
        Err(last)
    }

    /// Where a server is, each address as the guard judges it.
    async fn addresses(
        &self,
        to: &Server,
        opened: &[IpNet],
    ) -> Result<impl Iterator<Item = Result<SocketAddr, ErrandError>>, ErrandError> {
        let addresses = match &to.host {
            Host::Name(name) => self.resolvers.resolve(name).await?,
            Host::V4(address) => [(*address).into()].into(),
            Host::V6(address) => [(*address).into()].into(),
        };
        let internal: Option<&Internal> = self.resolvers.internal();
        let judged: Vec<_> = addresses
            .iter()
            .take(ADDRESSES_MAX)
            .map(|address| judge_target(&to.host, (*address, to.port), opened, &self.endpoints, internal))
            .map(|judged| judged.map(|checked| checked.socket_address()).map_err(ErrandError::Refused))
            .collect();
        Ok(judged.into_iter())
    }

    async fn body(&self, mut body: Incoming, bytes_max: u64) -> Result<Vec<u8>, ErrandError> {
        let mut bytes = Vec::new();
        while let Some(frame) = self.silent(body.frame()).await? {
            let Ok(data) = frame?.into_data() else { continue };
            if (bytes.len() + data.len()) as u64 > bytes_max {
                return Err(ErrandError::TooLarge(bytes_max));
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    }

    async fn silent<T>(&self, doing: impl Future<Output = T>) -> Result<T, ErrandError> {
        let limit = self.limits.silence;
        timeout(limit, doing).await.map_err(|_| ErrandError::Stalled(limit))
    }
}

/// Whom a certificate must name.
fn certified(host: &Host) -> Option<ServerName<'static>> {
    match host {
        Host::Name(name) => ServerName::try_from(name.as_str().to_owned()).ok(),
        Host::V4(address) => Some(ServerName::IpAddress(IpAddr::from(std::net::IpAddr::from(*address)))),
        Host::V6(address) => Some(ServerName::IpAddress(IpAddr::from(std::net::IpAddr::from(*address)))),
    }
}

fn posting(
    url: &HttpsUrl,
    content_type: &'static str,
    fields: &[(&'static str, String)],
    body: Vec<u8>,
) -> Request<Full<Bytes>> {
    let mut request = request(url, body.into());
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    for (name, value) in fields {
        if let Ok(value) = value.parse() {
            request.headers_mut().insert(*name, value);
        }
    }
    request
}

fn getting(url: &HttpsUrl) -> Request<Full<Bytes>> {
    request(url, Bytes::new())
}

fn request(url: &HttpsUrl, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.uri_mut() = url.path.clone();
    let headers = request.headers_mut();
    let authority = url.authority();
    for (name, value) in [
        (HOST, authority.as_str()),
        (USER_AGENT, concat!("sekisho/", env!("CARGO_PKG_VERSION"))),
        (ACCEPT_ENCODING, "identity"),
        (CONNECTION, "close"),
    ] {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    request
}

fn words(value: &hyper::header::HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    text.chars().filter(|c| !c.is_control()).take(WORDS_SHOWN_MAX).collect()
}

/// An answer that points nowhere else.
fn elsewhere(answer: Response<Incoming>, shown: impl Fn(String) -> String) -> Result<Response<Incoming>, ErrandError> {
    let (status, headers) = (answer.status(), answer.headers());
    if let (true, Some(to)) = (status.is_redirection(), headers.get(LOCATION)) {
        return Err(ErrandError::Moved { status, to: shown(words(to)) });
    }
    Ok(answer)
}

/// Scheme, host and port of a URL; of a path alone nothing.
fn of_origin(url: String) -> String {
    let host = url.split_once("://").and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    let host = host.map(|host| host.rsplit('@').next().unwrap_or_default());
    host.map_or_else(|| "…".to_owned(), |host| format!("{}://{host}/…", url.split(':').next().unwrap_or_default()))
}

/// The body of an answer that is what was asked for.
fn useful(answer: Response<Incoming>) -> Result<Incoming, ErrandError> {
    // It may repeat the query that was asked for.
    let answer = elsewhere(answer, |to| to.split_once('?').map_or(to.clone(), |(before, _)| format!("{before}?…")))?;
    let (status, headers) = (answer.status(), answer.headers());
    if status != StatusCode::OK {
        return Err(ErrandError::Status(status));
    }
    match headers.get(CONTENT_ENCODING).filter(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        Some(encoding) => Err(ErrandError::Encoded(words(encoding))),
        None => Ok(answer.into_body()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_https_and_names_a_host_and_nothing_secret() {
        let shown = |text: &str| HttpsUrl::parse(text).map(|url| url.to_string());
        assert_eq!(shown("https://Lists.Example/a?b=c").unwrap(), "https://lists.example/a?…");
        assert_eq!(shown("https://lists.example").unwrap(), "https://lists.example/");
        assert_eq!(shown("https://lists.example?q").unwrap(), "https://lists.example/?…");
        assert_eq!(shown("https://[2001:db8::1]:8443/x").unwrap(), "https://[2001:db8::1]:8443/x");
        assert_eq!(shown("https://lists.example:443/").unwrap(), "https://lists.example/");
        let [one, other] =
            ["https://lists.example/a?key=hush", "https://lists.example/a?key=hash"].map(HttpsUrl::parse);
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(one.identity() != other.identity() && one.identity() == one.clone().identity());
        assert!(!format!("{one} {one:?} {}", one.identity()).contains("hush"), "{one:?}");
        let origin = |url: &str| of_origin(url.to_owned());
        assert_eq!(origin("https://u:hush@a.example:8443/hush?hush"), "https://a.example:8443/…");
        assert_eq!((origin("/hush"), origin("//a.example/hush")), ("…".to_owned(), "…".to_owned()));
        assert_eq!(getting(&one).uri(), "/a?key=hush");
        let beside = |text: &str| HttpsUrl::parse(text).unwrap().beside(".sig").unwrap().to_string();
        assert_eq!(beside("https://lists.example/a.txt"), "https://lists.example/a.txt.sig");
        assert_eq!(beside("https://lists.example/a.txt?b"), "https://lists.example/a.txt.sig?…");
        for (text, why) in [
            ("http://lists.example/", "does not begin with https://"),
            ("lists.example", "does not begin with https://"),
            ("https://", "names no host"),
            ("https:///x", "names no host"),
            ("https://lists.example:0/", "names no host"),
            ("https://user:word@lists.example/", "has a user or a password"),
            ("https://lists.example/#a", "has a fragment (#), which is sent to nobody"),
            ("https://lists.example/a b", "has a space, or a character that must be percent-encoded"),
            ("https://lists.example/\r\nX: y", "has a space, or a character that must be percent-encoded"),
        ] {
            assert_eq!(shown(text), Err(why), "{text:?}");
        }
        let long = format!("https://lists.example/{}", "a".repeat(URL_BYTES_MAX));
        assert_eq!(shown(&long), Err("is longer than 2048 bytes"));
    }
}
