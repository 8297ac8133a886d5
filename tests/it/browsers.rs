//! Real browsers at a challenged site whose page needs ten others: nothing of it may break.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::Value;
use sha1::{Digest, Sha1};
use tempfile::TempDir;

use crate::gate::Gate;
use crate::name_server::NameServer;
use crate::origin::{Origin, listener_of_its_own};
use crate::peer::Peer;

/// How long a browser may take, its start included.
const VISIT: Duration = Duration::from_secs(90);

/// A browser that runs until this is dropped.
struct Browser {
    child: Child,
    _home: TempDir,
}

impl Browser {
    fn chromium(gate: SocketAddr, url: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
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

    fn firefox(gate: SocketAddr, url: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let profile = home.path().join("profile");
        std::fs::create_dir_all(&profile).unwrap();
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
    form.submit();
    setTimeout(function () { fetch("/done?" + JSON.stringify(came)); }, 500);
  });
};
</script></body>"#;

/// Serves every host of the page, and tells of what the page says at its end.
fn serve(mut peer: Peer, told: &Sender<String>, asked: &Mutex<Vec<String>>) {
    while let Some(request) = peer.request() {
        let host = request.field("host").unwrap_or_default().to_owned();
        let (method, target) = {
            let mut line = request.line().split(' ');
            (line.next().unwrap_or_default().to_owned(), line.next().unwrap_or_default().to_owned())
        };
        asked.lock().unwrap().push(format!("{method} {host}{target} {}", request.text()));
        if let Some(came) = target.strip_prefix("/done?") {
            let _ = told.send(came.to_owned());
        }
        if let Some(key) = request.field("sec-websocket-key") {
            let accept = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
            peer.send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Accept: {}\r\n\r\n",
                BASE64.encode(&accept)
            ));
            let _ = peer.rest();
            return;
        }
        if peer.try_send(answer(&host, &method, &target)).is_err() {
            return;
        }
    }
}

fn answer(host: &str, method: &str, target: &str) -> Vec<u8> {
    let (kind, body) = match (host, target) {
        ("site.test", "/") => ("text/html", PAGE),
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

struct Site {
    gate: Gate,
    told: Receiver<String>,
    asked: Arc<Mutex<Vec<String>>>,
    _names: NameServer,
}

impl Site {
    fn new() -> Self {
        let (tell, told) = channel();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (tell, seen) = (Mutex::new(tell), asked.clone());
        let origin = Origin::on(listener_of_its_own(80), move |peer, _| {
            let tell = tell.lock().unwrap().clone();
            serve(peer, &tell, &seen);
        });
        let names = NameServer::pointing_to(origin.address.ip());
        let policy = origin.rule_for("*.test", "").replace("allow", "challenge");
        Self { gate: Gate::configured(&policy, &names.config()), told, asked, _names: names }
    }

    /// What a visit has loaded.
    fn visit(&self, browser: fn(SocketAddr, &str) -> Browser) -> Value {
        let _browser = browser(self.gate.address, "http://site.test/");
        let came = self.told.recv_timeout(VISIT);
        let came = came.unwrap_or_else(|_| panic!("the page did not end: {:#?}", self.asked.lock().unwrap()));
        serde_json::from_str(&percent_decoded(&came)).unwrap()
    }
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

fn loads_whole_behind_one_page(browser: fn(SocketAddr, &str) -> Browser) {
    let mut site = Site::new();
    let came = site.visit(browser);
    for (part, ok) in came.as_object().unwrap() {
        assert_eq!(*ok, true, "{part}: {came}\n{:#?}", site.asked.lock().unwrap());
    }
    assert_eq!(came.as_object().unwrap().len(), 8, "{came}");
    let asked = site.asked.lock().unwrap().clone();
    assert!(!asked.iter().any(|line| line.contains("sekisho")), "nothing of ours reaches an origin: {asked:#?}");
    let records = site.gate.records();
    let pages = records.iter().filter(|record| record["reason"] == "challenge_page").count();
    assert_eq!(pages, 1, "{records:#?}");
    let to_ours = |record: &&Value| record["host"].as_str().is_some_and(|host| host.ends_with(".test"));
    let contradicted: Vec<_> = records.iter().filter(to_ours).filter(|record| record["grounds"].is_array()).collect();
    assert!(contradicted.is_empty(), "{contradicted:#?}");
    let refused = records.iter().filter(to_ours).filter(|record| record["event"] == "refused");
    for record in refused {
        let reason = record["reason"].as_str().unwrap();
        assert!(matches!(reason, "challenge_page" | "challenge_solved"), "{record:#}");
    }
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_chromium_behind_one_challenge() {
    loads_whole_behind_one_page(Browser::chromium);
}

#[test]
fn a_page_of_ten_hosts_loads_whole_in_firefox_behind_one_challenge() {
    loads_whole_behind_one_page(Browser::firefox);
}
