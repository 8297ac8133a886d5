//! A challenged site whose page needs ten others.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use h2::RecvStream;
use h2::server::SendResponse;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use sha1::{Digest, Sha1};
use tempfile::{NamedTempFile, TempDir};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::gate::{Gate, Start};
use crate::http2_client::run;
use crate::name_server::NameServer;
use crate::origin::{listener_of_its_own, tls_of};

use super::Settings;
use super::driven::{Drive, Driven};

/// How long a browser may take, its start included.
const VISIT: Duration = Duration::from_secs(90);

/// The page: each of what it loads is from a host of its own, and at its end it tells what came.
pub(super) const PAGE: &str = r#"<!doctype html><title>site</title>
<link rel="stylesheet" href="http://css.test/s.css">
<script src="http://script.test/s.js"></script>
<body><iframe name="form"></iframe><script>
var came = { script: window.fromScript === true };
function within(promise) {
  return Promise.race([promise.then(function () { return true; }, function () { return false; }),
    new Promise(function (done) { setTimeout(function () { done(false); }, 20000); })]);
}
function loads(kind, url) {
  var element = document.createElement(kind);
  var loaded = new Promise(function (done, failed) { element.onload = done; element.onerror = failed; });
  element.src = url;
  document.body.appendChild(element);
  return within(loaded);
}
function opens(source) {
  return within(new Promise(function (done, failed) { source.onmessage = source.onopen = done; source.onerror = failed; }));
}
function text(promise) {
  return within(promise.then(function (answer) { if (!answer.ok) { throw 1; } return answer.text(); }));
}
var form = document.createElement("form");
form.method = "post"; form.action = "http://form.test/post"; form.target = "form";
document.body.appendChild(form);
function downloads() {
  var frame = document.createElement("iframe");
  frame.src = "http://download.test/d.bin";
  document.body.appendChild(frame);
  return within(new Promise(function (done) {
    (function ask() { fetch("/downloaded").then(function (a) { a.ok ? done() : setTimeout(ask, 50); }); })();
  }));
}
function works() {
  return within(navigator.serviceWorker.register("/worker.js").then(function () { return navigator.serviceWorker.ready; }));
}
window.onload = function () {
  Promise.all([
    loads("img", "http://img.test/i.svg").then(function (ok) { came.img = ok; }),
    loads("iframe", "http://frame.test/").then(function (ok) { came.frame = ok; }),
    text(fetch("http://fetch.test/f")).then(function (ok) { came.fetch = ok; }),
    text(fetch("http://preflight.test/f", { method: "PUT", headers: { "X-A": "1" }, body: "b" }))
      .then(function (ok) { came.preflight = ok; }),
    opens(new EventSource("http://events.test/e")).then(function (ok) { came.events = ok; }),
    opens(new WebSocket("ws://socket.test/w")).then(function (ok) { came.socket = ok; }),
    downloads().then(function (ok) { came.download = ok; }),
    isSecureContext ? works().then(function (ok) { came.worker = ok; }) : null,
    within(new FontFace("f", "url(http://font.test/f.woff2)").load().then(null, function () {})).then(function () {})
  ]).then(function () {
    came.css = getComputedStyle(document.body).color === "rgb(1, 2, 3)";
    var answered = new Promise(function (done) { document.querySelector("iframe[name=form]").onload = done; });
    form.submit();
    within(answered).then(function (ok) {
      came.form = ok;
      fetch("/done?" + JSON.stringify(came));
    });
  });
};
</script></body>"#;

/// A service worker that asks again for whatever a page asks for.
const WORKER: &str = "onfetch = function (e) { e.respondWith(fetch(e.request)); };
oninstall = function () { skipWaiting(); };
onactivate = function (e) { e.waitUntil(clients.claim()); };";

/// What serves every host of the page, and tells of what the page says at its end.
#[derive(Clone)]
struct Hosts {
    page: &'static str,
    scheme: &'static str,
    told: Sender<String>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Hosts {
    /// What a request with this head, whose body was read, is answered with.
    fn answer(&self, head: &str) -> Vec<u8> {
        let mut line = head.lines().next().unwrap_or_default().split(' ');
        let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        let host = field(head, "host").unwrap_or_default();
        self.asked.lock().unwrap().push(format!("{method} {host}{target}\n{head}"));
        if let Some(came) = target.strip_prefix("/done?") {
            let _ = self.told.send(came.to_owned());
        }
        let downloaded = self.asked.lock().unwrap().iter().any(|line| line.starts_with("GET download.test/d.bin"));
        match field(head, "sec-websocket-key") {
            Some(key) => {
                let accept = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
                let fields = format!("Connection: Upgrade\r\nSec-WebSocket-Accept: {}", BASE64.encode(&accept));
                format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n{fields}\r\n\r\n").into_bytes()
            }
            None if target == "/downloaded" && !downloaded => {
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()
            }
            // Whoever comes again is let in: a browser would ask its person for a password.
            None if target == "/ntlm" && field(head, "via") != Some("1.1 sekisho") => {
                b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n".to_vec()
            }
            None => answer(self.page, host, method, target, self.scheme),
        }
    }

    /// Serves a connection of HTTP/1.1.
    fn serve(&self, stream: &mut (impl Read + Write)) {
        let mut reader = BufReader::new(stream);
        while let Some(head) = read_head(&mut reader) {
            let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
            reader.read_exact(&mut vec![0; length]).unwrap();
            let answer = self.answer(&head);
            let stream = reader.get_mut();
            if stream.write_all(&answer).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    }

    /// Serves a connection of HTTP/2.
    async fn serve_http2(&self, secured: TlsStream<tokio::net::TcpStream>) -> Result<(), h2::Error> {
        let mut connection = h2::server::handshake(secured).await?;
        while let Some(arrived) = connection.accept().await {
            let ((request, respond), hosts) = (arrived?, self.clone());
            // That a stream is reset is for its asker to mind.
            tokio::spawn(async move { drop(hosts.serve_stream(request, respond).await) });
        }
        Ok(())
    }

    async fn serve_stream(
        &self,
        request: http::Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let (parts, mut body) = request.into_parts();
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data?.len())?;
        }
        let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
        let host = parts.uri.host().unwrap();
        let mut head = format!("{} {target} {:?}\r\nhost: {host}\r\n", parts.method, parts.version);
        for (name, value) in &parts.headers {
            head += &format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes()));
        }
        let answer = String::from_utf8(self.answer(&head)).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let mut response = http::Response::builder().status(&head["HTTP/1.1 ".len()..][..3]);
        for (name, value) in head.lines().skip(1).map(|line| line.split_once(": ").unwrap()) {
            response = response.header(name, value);
        }
        let mut down = respond.send_response(response.body(()).unwrap(), body.is_empty())?;
        if body.is_empty() { Ok(()) } else { down.send_data(Bytes::copy_from_slice(body.as_bytes()), true) }
    }

    /// Serves what comes to a listener in TLS, in the protocol that is agreed on.
    async fn serve_either(&self, listener: std::net::TcpListener, config: Arc<ServerConfig>) {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let acceptor = TlsAcceptor::from(config);
        loop {
            let ((tcp, _), acceptor, hosts) = (listener.accept().await.unwrap(), acceptor.clone(), self.clone());
            tokio::spawn(async move {
                let Ok(mut secured) = acceptor.accept(tcp).await else { return };
                if secured.get_ref().1.alpn_protocol() == Some(b"h2") {
                    let _ = hosts.serve_http2(secured).await;
                    return;
                }
                let (near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
                std::thread::spawn(move || hosts.serve(&mut far));
                near.set_nonblocking(true).unwrap();
                let mut near = tokio::net::UnixStream::from_std(near).unwrap();
                let _ = tokio::io::copy_bidirectional(&mut secured, &mut near).await;
            });
        }
    }
}

/// The next head, up to its empty line; `None` when the other side has gone, or speaks no text.
pub(crate) fn read_head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

pub(super) fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

fn answer(page: &str, host: &str, method: &str, target: &str, scheme: &str) -> Vec<u8> {
    let page = match scheme {
        "https" => page.replace("http://", "https://").replace("ws://", "wss://"),
        _ => page.to_owned(),
    };
    let (kind, body) = match (host, target.split('?').next().unwrap_or_default()) {
        ("site.test", "/worker.js") => ("text/javascript", WORKER),
        ("site.test", "/") => ("text/html", &*page),
        ("script.test", _) => ("text/javascript", "window.fromScript = true;"),
        ("css.test", _) => ("text/css", "body { color: rgb(1, 2, 3); }"),
        ("img.test", _) => ("image/svg+xml", "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1\" height=\"1\"/>"),
        ("events.test", _) => ("text/event-stream", "data: a\n\n"),
        ("frame.test" | "form.test", _) => ("text/html", "<!doctype html><title>frame</title>"),
        _ => ("text/plain", "ok"),
    };
    let disposition = if host == "download.test" { "Content-Disposition: attachment\r\n" } else { "" };
    let status = if method == "OPTIONS" { "204 No Content" } else { "200 OK" };
    let body = if method == "OPTIONS" { "" } else { body };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nAccess-Control-Allow-Origin: *\r\n\
         Access-Control-Allow-Methods: PUT\r\nAccess-Control-Allow-Headers: X-A\r\nCache-Control: no-store\r\n\
         {disposition}\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// What an origin needs to be believed over TLS.
struct Secured {
    config: Arc<ServerConfig>,
    /// The certificate of whoever vouches for it, as PEM.
    authority: NamedTempFile,
}

impl Secured {
    fn new() -> Self {
        let hosts = [
            "site",
            "script",
            "css",
            "img",
            "events",
            "frame",
            "form",
            "fetch",
            "preflight",
            "socket",
            "font",
            "download",
            "*.many",
        ];
        let names: Vec<_> = hosts.iter().map(|host| format!("{host}.test")).collect();
        let (config, authority) = tls_of(names);
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), authority).unwrap();
        Self { config, authority: file }
    }
}

pub(super) struct Site {
    pub(super) scheme: &'static str,
    secured: Option<Secured>,
    pub(super) gate: Gate,
    told: Receiver<String>,
    pub(super) asked: Arc<Mutex<Vec<String>>>,
    _names: NameServer,
    /// The gate's authority, which browsers trust where it looks inside, and its data directory.
    inside: Option<(NamedTempFile, TempDir)>,
    /// Whether the gate looks into every host.
    pub(super) is_inspected: bool,
    /// Whether its hosts speak HTTP/2.
    pub(super) is_http2: bool,
    /// Where the PAC file is that leads to the proxy within TLS.
    pac: Option<u16>,
}

/// How browsers reach a gate with an authority of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    Clear,
    /// By a PAC file that names the proxy within TLS.
    Tls,
}

impl Site {
    /// One over https whose tunnels the gate looks into.
    pub(super) fn inspected(page: &'static str, keys: &str) -> Self {
        let policy = rule("*.test", &format!("inspect = true\n{keys}"));
        Self::started(("https", false), page, &policy, "", Some((authority(), Reached::Clear)))
    }

    /// The same with hosts that speak HTTP/2, but for WebSockets.
    pub(super) fn inspected_over_http2(page: &'static str) -> Self {
        let policy = rule("*.test", "inspect = true");
        Self::started(("https", true), page, &policy, "", Some((authority(), Reached::Clear)))
    }

    /// One over https of which the gate looks into the page's own host alone, by a rule that asks for its paths: there a
    /// page is the first that it can show.
    pub(super) fn page_first() -> Self {
        let policy = rule("site.test", "paths = [\"/**\"]") + &rule("*.test", "");
        let site = Self::started(("https", false), PAGE, &policy, "", Some((authority(), Reached::Clear)));
        site.trust_origins_too();
        site
    }

    /// One over this scheme whose gate is reached by TLS.
    pub(super) fn within_tls(scheme: &'static str, keys: &str) -> Self {
        let more = "[secure_proxy]\nlisten = [\"127.0.0.1:0\"]\nnames = [\"127.0.0.1\"]\n";
        let site = Self::started((scheme, false), PAGE, &rule("*.test", keys), more, Some((authority(), Reached::Tls)));
        site.trust_origins_too();
        site
    }

    /// Has browsers reach sites that are not looked into by their own certificates.
    fn trust_origins_too(&self) {
        let gates = self.inside.as_ref().map(|(file, _)| file).unwrap();
        let mut trusted = std::fs::read_to_string(gates.path()).unwrap();
        if let Some(secured) = &self.secured {
            trusted.push_str(&std::fs::read_to_string(secured.authority.path()).unwrap());
        }
        std::fs::write(gates.path(), trusted).unwrap();
    }

    /// One that a policy challenges, over this scheme.
    pub(super) fn new(scheme: &'static str) -> Self {
        Self::with(scheme, PAGE, "")
    }

    /// The same with another page, and with more keys in the rule.
    pub(super) fn with(scheme: &'static str, page: &'static str, keys: &str) -> Self {
        Self::configured(scheme, page, keys, "")
    }

    /// Of which the gate itself serves the PAC file that names it.
    pub(super) fn with_own_pac(scheme: &'static str) -> Self {
        let mut site = Self::configured(scheme, PAGE, "", "[pac]\ndirect = [\"*.inside.example\"]\n");
        site.pac = Some(site.gate.address.port());
        site
    }

    /// The same with more of a config.
    pub(super) fn configured(scheme: &'static str, page: &'static str, keys: &str, more: &str) -> Self {
        Self::started((scheme, false), page, &rule("*.test", keys), more, None)
    }

    fn started(
        (scheme, is_http2): (&'static str, bool),
        page: &'static str,
        policy: &str,
        more: &str,
        inside: Option<((NamedTempFile, TempDir), Reached)>,
    ) -> Self {
        let (inside, reached) = inside.unzip();
        let is_inspected = policy.contains("inspect = true");
        let (tell, told) = channel();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (port, secured) = match scheme {
            "https" => (443, Some(Secured::new())),
            _ => (80, None),
        };
        let listener = listener_of_its_own(port);
        let address = listener.local_addr().unwrap();
        let config = secured.as_ref().map(|secured| secured.config.clone());
        let hosts = Hosts { page, scheme, told: tell, asked: asked.clone() };
        std::thread::spawn(move || {
            if let Some(config) = config.clone().filter(|_| is_http2) {
                let mut config = Arc::unwrap_or_clone(config);
                config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
                run(hosts.serve_either(listener, Arc::new(config)));
                return;
            }
            for stream in listener.incoming() {
                let (mut stream, hosts, config) = (stream.unwrap(), hosts.clone(), config.clone());
                std::thread::spawn(move || match config {
                    Some(config) => {
                        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                        hosts.serve(&mut stream);
                    }
                    None => hosts.serve(&mut stream),
                });
            }
        });
        let names = NameServer::pointing_to(address.ip());
        let trusts = secured.as_ref().filter(|_| inside.is_some()).map(|secured| secured.authority.path().display());
        let trusts = trusts.map(|path| format!("[inspection]\nca_files = [\"{path}\"]\n")).unwrap_or_default();
        let config = format!("{}{more}{trusts}", names.config());
        let data_dir = inside.as_ref().map(|(_, data_dir)| data_dir.path().to_path_buf());
        let gate = Start { policy, config: &config, data_dir, ..Start::default() }.gate();
        let pac = (reached == Some(Reached::Tls)).then(|| serve_pac(&inside.as_ref().unwrap().1));
        Self { scheme, gate, told, asked, secured, _names: names, inside, is_inspected, is_http2, pac }
    }

    /// Prepares the gate's next authority, which browsers trust too from here on if they are to.
    pub(super) fn rotate(&self, is_trusted: bool) {
        let (file, data_dir) = self.inside.as_ref().unwrap();
        ask(&["ca", "rotate"], data_dir);
        if is_trusted {
            let next = ask(&["ca", "export", "--which", "next"], data_dir);
            let both = [std::fs::read(file.path()).unwrap(), next].concat();
            std::fs::write(file.path(), both).unwrap();
        }
    }

    /// Where the gate keeps what it keeps.
    pub(super) fn data_dir(&self) -> std::path::PathBuf {
        match &self.inside {
            Some((_, data_dir)) => data_dir.path().to_path_buf(),
            None => self.gate.data_dir(),
        }
    }

    /// What is on record once the gate has ended.
    pub(super) fn records(&mut self) -> Vec<Value> {
        match &self.inside {
            Some((_, data_dir)) => {
                assert_eq!(self.gate.end("-TERM"), Some(0));
                crate::gate::records(data_dir.path())
            }
            None => self.gate.records(),
        }
    }

    /// What a visit has loaded.
    pub(super) fn visit(&self, drive: Drive) -> Value {
        let mut browser = self.drive(drive, Settings::AS_INSTALLED);
        browser.go(&self.url());
        self.told()
    }

    /// What the page says at its end.
    pub(super) fn told(&self) -> Value {
        let came = self.told.recv_timeout(VISIT);
        let came = came.unwrap_or_else(|_| panic!("the page did not end: {:#?}", self.asked.lock().unwrap()));
        serde_json::from_str(&percent_decoded(&came)).unwrap()
    }

    pub(super) fn url(&self) -> String {
        format!("{}://site.test/", self.scheme)
    }

    /// A browser at this site's gate that does as it is told.
    pub(super) fn drive(&self, drive: Drive, settings: Settings) -> Driven {
        let gates = self.inside.as_ref().map(|(authority, _)| authority.path());
        let trusted = gates.or_else(|| self.secured.as_ref().map(|secured| secured.authority.path()));
        drive(self.gate.address, trusted, Settings { pac: self.pac, ..settings })
    }
}

/// A rule that challenges these hosts, with more keys.
fn rule(hosts: &str, keys: &str) -> String {
    let named = format!("[[rule]]\nname = \"{hosts}\"\nhosts = [\"{hosts}\"]\nprivate = [\"127.0.0.0/8\"]\n");
    format!("{named}verdict = \"challenge\"\n{keys}\n")
}

/// The authority of a new gate, and that gate's data directory.
fn authority() -> (NamedTempFile, TempDir) {
    let data_dir = tempfile::tempdir().unwrap();
    let exported = NamedTempFile::new().unwrap();
    for arguments in [&["ca", "init"][..], &["ca", "export"]] {
        std::fs::write(exported.path(), ask(arguments, &data_dir)).unwrap();
    }
    (exported, data_dir)
}

/// What a command says of the gate with this data directory.
fn ask(arguments: &[&str], data_dir: &TempDir) -> Vec<u8> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let output = command.args(arguments).arg(data_dir.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// Serves a PAC file that leads all to the gate's proxy within TLS, and says at which port.
fn serve_pac(data_dir: &TempDir) -> u16 {
    let status: Value = serde_json::from_slice(&ask(&["status", "--format", "json"], data_dir)).unwrap();
    let proxy = status["listening_tls"][0].as_str().unwrap().to_owned();
    let script = format!("function FindProxyForURL(url, host) {{ return 'HTTPS {proxy}'; }}\n");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let Some(_) = read_head(&mut reader) else { continue };
            let fields = "Content-Type: application/x-ns-proxy-autoconfig\r\nConnection: close";
            let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\nContent-Length: {}\r\n\r\n{script}", script.len());
            let _ = reader.get_mut().write_all(answer.as_bytes());
        }
    });
    port
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).filter(|_| *first == b'%');
        let escaped = escaped.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8(bytes).unwrap()
}
