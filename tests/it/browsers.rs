//! Real browsers at a challenged site whose page needs ten others: nothing of it may break.

mod log_in;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;
use sha1::{Digest, Sha1};
use tempfile::{NamedTempFile, TempDir};

use crate::gate::Gate;
use crate::name_server::NameServer;
use crate::origin::listener_of_its_own;

/// How long a browser may take, its start included.
const VISIT: Duration = Duration::from_secs(90);

/// A browser that runs until this is dropped.
struct Browser {
    child: Child,
    _home: TempDir,
}

impl Browser {
    fn chromium(gate: SocketAddr, url: &str, trusted: Option<&Path>) -> Self {
        let home = tempfile::tempdir().unwrap();
        trusted.inspect(|trusted| trust(&home.path().join(".pki/nssdb"), trusted));
        let mut command = Command::new("chromium");
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.args(["--disable-breakpad", "--remote-debugging-port=0"]);
        // As a browser of a person calls itself.
        command.arg(format!("--user-agent={CHROMIUM}"));
        command.arg(format!("--proxy-server=http://{gate}"));
        command.arg(format!("--user-data-dir={}", home.path().join("profile").display())).arg(url);
        Self::start(command, home)
    }

    fn firefox(gate: SocketAddr, url: &str, trusted: Option<&Path>) -> Self {
        let home = tempfile::tempdir().unwrap();
        let profile = home.path().join("profile");
        std::fs::create_dir_all(&profile).unwrap();
        trusted.inspect(|trusted| trust(&profile, trusted));
        let (address, port) = (gate.ip(), gate.port());
        let preferences = [
            "\"network.proxy.type\", 1".to_owned(),
            format!("\"network.proxy.http\", \"{address}\""),
            format!("\"network.proxy.http_port\", {port}"),
            format!("\"network.proxy.ssl\", \"{address}\""),
            format!("\"network.proxy.ssl_port\", {port}"),
            "\"browser.shell.checkDefaultBrowser\", false".to_owned(),
            "\"browser.aboutwelcome.enabled\", false".to_owned(),
            "\"datareporting.policy.dataSubmissionEnabled\", false".to_owned(),
            "\"toolkit.telemetry.enabled\", false".to_owned(),
            "\"app.update.enabled\", false".to_owned(),
            "\"dom.security.https_first\", false".to_owned(),
        ];
        let lines: Vec<_> = preferences.iter().map(|preference| format!("user_pref({preference});\n")).collect();
        std::fs::write(profile.join("user.js"), lines.concat()).unwrap();
        let mut command = Command::new("firefox-esr");
        command.args(["--headless", "--no-remote", "--profile"]).arg(&profile).arg(url);
        Self::start(command, home)
    }

    fn start(mut command: Command, home: TempDir) -> Self {
        for variable in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"] {
            command.env_remove(variable);
        }
        command.env("HOME", home.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: command.spawn().unwrap(), _home: home }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts an authority into a new database of those that a browser trusts.
fn trust(database: &Path, authority: &Path) {
    std::fs::create_dir_all(database).unwrap();
    let database = format!("sql:{}", database.display());
    let certutil = |arguments: &[&str]| {
        let output = Command::new("certutil").args(arguments).args(["-d", &database]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    certutil(&["-N", "--empty-password"]);
    certutil(&["-A", "-n", "test", "-t", "C,,", "-i", authority.to_str().unwrap()]);
}

type Start = fn(SocketAddr, &str, Option<&Path>) -> Browser;

const CHROMIUM: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";

/// The page: each of what it loads is from a host of its own, and at its end it tells what came.
const PAGE: &str = r#"<!doctype html><title>site</title>
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
window.onload = function () {
  Promise.all([
    loads("img", "http://img.test/i.svg").then(function (ok) { came.img = ok; }),
    loads("iframe", "http://frame.test/").then(function (ok) { came.frame = ok; }),
    text(fetch("http://fetch.test/f")).then(function (ok) { came.fetch = ok; }),
    text(fetch("http://preflight.test/f", { method: "PUT", headers: { "X-A": "1" }, body: "b" }))
      .then(function (ok) { came.preflight = ok; }),
    opens(new EventSource("http://events.test/e")).then(function (ok) { came.events = ok; }),
    opens(new WebSocket("ws://socket.test/w")).then(function (ok) { came.socket = ok; }),
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

/// Serves every host of the page, and tells of what the page says at its end.
fn serve(stream: &mut (impl Read + Write), scheme: &str, told: &Sender<String>, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    while let Some(head) = read_head(&mut reader) {
        let mut line = head.lines().next().unwrap_or_default().split(' ');
        let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        let host = field(&head, "host").unwrap_or_default();
        asked.lock().unwrap().push(format!("{method} {host}{target}\n{head}"));
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        reader.read_exact(&mut vec![0; length]).unwrap();
        if let Some(came) = target.strip_prefix("/done?") {
            let _ = told.send(came.to_owned());
        }
        let answer = match field(&head, "sec-websocket-key") {
            Some(key) => {
                let accept = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
                let fields = format!("Connection: Upgrade\r\nSec-WebSocket-Accept: {}", BASE64.encode(&accept));
                format!("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n{fields}\r\n\r\n").into_bytes()
            }
            None => answer(host, method, target, scheme),
        };
        let stream = reader.get_mut();
        if stream.write_all(&answer).and_then(|()| stream.flush()).is_err() {
            return;
        }
    }
}

/// The next head, up to its empty line; `None` when the other side has gone, or speaks no text.
fn read_head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    Some(head)
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

fn answer(host: &str, method: &str, target: &str, scheme: &str) -> Vec<u8> {
    let page = match scheme {
        "https" => PAGE.replace("http://", "https://").replace("ws://", "wss://"),
        _ => PAGE.to_owned(),
    };
    let (kind, body) = match (host, target) {
        ("site.test", "/") => ("text/html", &*page),
        ("script.test", _) => ("text/javascript", "window.fromScript = true;"),
        ("css.test", _) => ("text/css", "body { color: rgb(1, 2, 3); }"),
        ("img.test", _) => ("image/svg+xml", "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"1\" height=\"1\"/>"),
        ("events.test", _) => ("text/event-stream", "data: a\n\n"),
        ("frame.test" | "form.test", _) => ("text/html", "<!doctype html><title>frame</title>"),
        _ => ("text/plain", "ok"),
    };
    let status = if method == "OPTIONS" { "204 No Content" } else { "200 OK" };
    let body = if method == "OPTIONS" { "" } else { body };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nAccess-Control-Allow-Origin: *\r\n\
         Access-Control-Allow-Methods: PUT\r\nAccess-Control-Allow-Headers: X-A\r\nCache-Control: no-store\r\n\r\n{body}",
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
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), authority.pem()).unwrap();
        let key = KeyPair::generate().unwrap();
        let hosts = ["site", "script", "css", "img", "events", "frame", "form", "fetch", "preflight", "socket", "font"];
        let names: Vec<_> = hosts.iter().map(|host| format!("{host}.test")).collect();
        let leaf = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(rustls::crypto::aws_lc_rs::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![CertificateDer::from(leaf)], key)
            .unwrap();
        Self { config: Arc::new(config), authority: file }
    }
}

struct Site {
    scheme: &'static str,
    secured: Option<Secured>,
    gate: Gate,
    told: Receiver<String>,
    asked: Arc<Mutex<Vec<String>>>,
    _names: NameServer,
}

impl Site {
    /// One that a policy challenges, over this scheme.
    fn new(scheme: &'static str) -> Self {
        let (tell, told) = channel();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (port, secured) = match scheme {
            "https" => (443, Some(Secured::new())),
            _ => (80, None),
        };
        let listener = listener_of_its_own(port);
        let address = listener.local_addr().unwrap();
        let (seen, config) = (asked.clone(), secured.as_ref().map(|secured| secured.config.clone()));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, tell, seen, config) = (stream.unwrap(), tell.clone(), seen.clone(), config.clone());
                std::thread::spawn(move || match config {
                    Some(config) => {
                        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
                        serve(&mut stream, scheme, &tell, &seen);
                    }
                    None => serve(&mut stream, scheme, &tell, &seen),
                });
            }
        });
        let names = NameServer::pointing_to(address.ip());
        let rule = "[[rule]]\nname = \"site\"\nhosts = [\"*.test\"]\nprivate = [\"127.0.0.0/8\"]\n";
        let policy = format!("{rule}verdict = \"challenge\"\n");
        Self { scheme, gate: Gate::configured(&policy, &names.config()), told, asked, secured, _names: names }
    }

    /// What a visit has loaded.
    fn visit(&self, browser: Start) -> Value {
        let trusted = self.secured.as_ref().map(|secured| secured.authority.path());
        let _browser = browser(self.gate.address, &format!("{}://site.test/", self.scheme), trusted);
        let came = self.told.recv_timeout(VISIT);
        let came = came.unwrap_or_else(|_| panic!("the page did not end: {:#?}", self.asked.lock().unwrap()));
        serde_json::from_str(&percent_decoded(&came)).unwrap()
    }
}

/// Clients that speak HTTP and are no browsers, each with a browser's User-Agent: name and command line, in which
/// `PROXY` and `URL` stand for what they are to use.
const NAIVE: [(&str, &[&str]); 5] = [
    ("curl", &["curl", "-sk", "--max-time", "10", "-A", CHROMIUM, "-x", "http://PROXY", "URL"]),
    (
        "curl that tries again",
        &[
            "curl",
            "-sk",
            "--retry",
            "1",
            "--retry-all-errors",
            "--max-time",
            "10",
            "-A",
            CHROMIUM,
            "-x",
            "http://PROXY",
            "URL",
        ],
    ),
    (
        "wget",
        &[
            "wget",
            "-q",
            "-O",
            "-",
            "-t",
            "1",
            "-T",
            "10",
            "--no-check-certificate",
            "-U",
            CHROMIUM,
            "-e",
            "use_proxy=yes",
            "-e",
            "http_proxy=PROXY",
            "-e",
            "https_proxy=PROXY",
            "URL",
        ],
    ),
    ("urllib", &["python3", "-c", URLLIB, "PROXY", "URL", CHROMIUM]),
    ("a raw socket", &["python3", "-c", RAW, "PROXY", "URL", CHROMIUM]),
];

const URLLIB: &str = "
import ssl, sys, urllib.request
proxy, url, agent = sys.argv[1:]
handlers = [urllib.request.ProxyHandler({'http': proxy, 'https': proxy}),
            urllib.request.HTTPSHandler(context=ssl._create_unverified_context())]
opener = urllib.request.build_opener(*handlers)
print(opener.open(urllib.request.Request(url, headers={'User-Agent': agent}), timeout=10).read())
";

const RAW: &str = "
import socket, ssl, sys, urllib.parse
proxy, url, agent = sys.argv[1:]
url = urllib.parse.urlparse(url)
address, port = proxy.rsplit(':', 1)
stream = socket.create_connection((address, int(port)), 10)
target, line = url.geturl(), 'User-Agent: ' + agent
if url.scheme == 'https':
    name = url.hostname + ':443'
    stream.sendall(('CONNECT %s HTTP/1.1\\r\\nHost: %s\\r\\nProxy-Connection: keep-alive\\r\\n%s\\r\\n\\r\\n' % (name, name, line)).encode())
    stream.recv(4096)
    stream, target = ssl._create_unverified_context().wrap_socket(stream, server_hostname=url.hostname), url.path
stream.sendall(('GET %s HTTP/1.1\\r\\nHost: %s\\r\\n%s\\r\\n\\r\\n' % (target, url.hostname, line)).encode())
print(stream.recv(4096))
";

/// While a browser on the same machine is cleared, no other program with its User-Agent gets anything.
fn naive_clients_get_nothing(scheme: &'static str) {
    let mut site = Site::new(scheme);
    site.visit(Browser::chromium);
    site.asked.lock().unwrap().clear();
    for (name, command) in NAIVE {
        let replaced = |text: &&str| match *text {
            "URL" => format!("{scheme}://site.test/naive"),
            text => text.replace("PROXY", &site.gate.address.to_string()),
        };
        let arguments: Vec<_> = command.iter().map(replaced).collect();
        let output = Command::new(&arguments[0]).args(&arguments[1..]).env_clear().envs(path()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(!said.contains("\nok") && !said.ends_with("ok"), "{name}: {said}");
        assert!(site.asked.lock().unwrap().is_empty(), "{name} reached the site");
    }
    let records = site.gate.records();
    let naive: Vec<_> =
        records.iter().filter(|record| record["event"] == "refused" && record["grounds"].is_array()).collect();
    assert!(naive.len() >= 3, "{records:#?}");
    for record in naive {
        assert!(record["grounds"].as_array().unwrap().len() >= 2, "{record:#}");
    }
}

fn path() -> Option<(&'static str, std::ffi::OsString)> {
    std::env::var_os("PATH").map(|path| ("PATH", path))
}

#[test]
fn naive_clients_with_a_browsers_user_agent_get_nothing_over_http_while_the_browser_is_cleared() {
    naive_clients_get_nothing("http");
}

#[test]
fn naive_clients_with_a_browsers_user_agent_get_nothing_over_https_while_the_browser_is_cleared() {
    naive_clients_get_nothing("https");
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

/// Visits the site, of which nothing may be missing, and gives what is on record of it.
fn records_of_a_whole_visit(site: &mut Site, browser: Start) -> Vec<Value> {
    let came = site.visit(browser);
    for (part, ok) in came.as_object().unwrap() {
        assert_eq!(*ok, true, "{part}: {came}\n{:#?}", site.asked.lock().unwrap());
    }
    assert_eq!(came.as_object().unwrap().len(), 9, "{came}");
    // A form's answer is a page whether it is the site's or the gate's.
    let asked = |what: &str| site.asked.lock().unwrap().iter().any(|line| line.starts_with(what));
    assert!(asked("POST form.test/post") && asked("GET font.test/f.woff2"), "{:#?}", site.asked.lock().unwrap());
    let records = site.gate.records();
    let to_ours = |record: &&Value| record["host"].as_str().is_some_and(|host| host.ends_with(".test"));
    let contradicted: Vec<_> = records.iter().filter(to_ours).filter(|record| record["grounds"].is_array()).collect();
    assert!(contradicted.is_empty(), "{contradicted:#?}");
    records.into_iter().filter(|record| to_ours(&record)).collect()
}

fn loads_whole_behind_one_page(browser: Start) {
    let mut site = Site::new("http");
    let records = records_of_a_whole_visit(&mut site, browser);
    let asked = site.asked.lock().unwrap().clone();
    let has_ours = |head: &String| head.contains("well-known") || field(head, "cookie").is_some();
    assert!(!asked.iter().any(has_ours), "nothing of ours but Via reaches an origin: {asked:#?}");
    let pages = records.iter().filter(|record| record["reason"] == "challenge_page").count();
    assert_eq!(pages, 1, "{records:#?}");
    for record in records.iter().filter(|record| record["event"] == "refused") {
        let reason = record["reason"].as_str().unwrap();
        assert!(matches!(reason, "challenge_page" | "challenge_solved"), "{record:#}");
    }
}

fn loads_whole_behind_one_reset(browser: Start) {
    let mut site = Site::new("https");
    let records = records_of_a_whole_visit(&mut site, browser);
    let refused: Vec<_> = records.iter().filter(|record| record["event"] == "refused").collect();
    let (ended, others): (Vec<_>, Vec<_>) = refused.into_iter().partition(|record| record["reason"] == "tunnel_reset");
    assert_eq!(ended.len(), 1, "{ended:#?}");
    // A browser opens tunnels ahead, and closes those that it does not need.
    assert!(others.iter().all(|record| record["reason"] == "client_closed"), "{others:#?}");
    let challenges: Vec<_> = records.iter().filter(|record| record["kind"] == "challenge").collect();
    assert_eq!(challenges.len(), 1, "{challenges:#?}");
    assert_eq!(challenges[0]["outcome"], "returned", "{challenges:#?}");
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_chromium_over_https_and_nobody_sees_a_challenge() {
    loads_whole_behind_one_reset(Browser::chromium);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_firefox_over_https_and_nobody_sees_a_challenge() {
    loads_whole_behind_one_reset(Browser::firefox);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_chromium_behind_one_challenge() {
    loads_whole_behind_one_page(Browser::chromium);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_firefox_behind_one_challenge() {
    loads_whole_behind_one_page(Browser::firefox);
}
