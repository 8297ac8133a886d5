//! Browsers that do as a test says: Chromium by its DevTools protocol over pipes, Firefox by Marionette.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Browser, Settings};

/// How long a page may take to get where a test waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser and the line to it.
pub(super) struct Driven {
    line: Line,
    /// Of the tab that is in front.
    tab: String,
    /// What its person answers where a proxy asks who they are.
    password: Option<(&'static str, &'static str)>,
    next: u64,
    _browser: Browser,
}

enum Line {
    Chromium { to: ChildStdin, from: BufReader<ChildStdout> },
    Firefox(BufReader<TcpStream>),
}

/// Starts a browser that uses the gate.
pub(super) type Drive = fn(SocketAddr, Option<&Path>, Settings) -> Driven;

impl Driven {
    pub(super) fn chromium(gate: SocketAddr, trusted: Option<&Path>, settings: Settings) -> Self {
        let (inner, home) = Browser::chromium_command(gate, trusted, settings);
        // It speaks on descriptors 3 and 4.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1"]).arg(inner.get_program()).args(inner.get_args());
        command.args(["--remote-debugging-pipe", "about:blank"]);
        let mut browser = Browser::start(command, home, Stdio::piped(), Stdio::piped());
        let (to, from) = (browser.child.stdin.take().unwrap(), browser.child.stdout.take().unwrap());
        let line = Line::Chromium { to, from: BufReader::new(from) };
        let mut driven = Self { line, tab: String::new(), password: None, next: 1, _browser: browser };
        driven.open_tab("about:blank");
        driven
    }

    pub(super) fn firefox(gate: SocketAddr, trusted: Option<&Path>, settings: Settings) -> Self {
        let (mut command, home) = Browser::firefox_command(gate, trusted, settings);
        command.args(["--marionette", "--remote-allow-system-access", "about:blank"]);
        let mut browser = Browser::start(command, home, Stdio::null(), Stdio::piped());
        let mut said = BufReader::new(browser.child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let port = said.find_map(|said| Some(said.split_once("Listening on port ")?.1.trim().parse().unwrap()));
        let port: u16 = port.expect("Firefox says where it listens");
        // What it says later is read as well, so that it never waits for a reader.
        std::thread::spawn(move || said.for_each(drop));
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut driven = Self {
            line: Line::Firefox(BufReader::new(stream)),
            tab: String::new(),
            password: None,
            next: 1,
            _browser: browser,
        };
        driven.hear();
        let wishes = json!({ "capabilities": { "alwaysMatch": { "pageLoadStrategy": "none" } } });
        driven.call("WebDriver:NewSession", &wishes).unwrap();
        driven
    }

    /// Answers the proxy, where it asks who the person is: Chromium when it asks, Firefox by what it has saved.
    pub(super) fn log_in(&mut self, gate: SocketAddr, realm: &str, (user, password): (&'static str, &'static str)) {
        match self.line {
            Line::Chromium { .. } => {
                self.password = Some((user, password));
                self.call("Fetch.enable", &json!({ "handleAuthRequests": true })).unwrap();
            }
            Line::Firefox(_) => {
                self.call("Marionette:SetContext", &json!({ "value": "chrome" })).unwrap();
                let saves = "const done = arguments[arguments.length - 1];
                    Services.prefs.setBoolPref('signon.autologin.proxy', true);
                    const login = Cc['@mozilla.org/login-manager/loginInfo;1'].createInstance(Ci.nsILoginInfo);
                    login.init(arguments[0], null, arguments[1], arguments[2], arguments[3], '', '');
                    Services.logins.addLoginAsync(login).then(() => done(true), why => done(String(why)));";
                let arguments = json!([format!("moz-proxy://{gate}"), realm, user, password]);
                let asked = json!({ "script": saves, "args": arguments });
                assert_eq!(self.call("WebDriver:ExecuteAsyncScript", &asked).unwrap()["value"], true);
                self.call("Marionette:SetContext", &json!({ "value": "content" })).unwrap();
            }
        }
    }

    /// Answers what Chromium asks in between.
    fn answer(&mut self, asked: &Value) {
        let Some((user, password)) = self.password else { return };
        let request = &asked["params"]["requestId"];
        let (method, parameters) = match asked["method"].as_str() {
            Some("Fetch.requestPaused") => ("Fetch.continueRequest", json!({ "requestId": request })),
            Some("Fetch.authRequired") => {
                let response = json!({ "response": "ProvideCredentials", "username": user, "password": password });
                ("Fetch.continueWithAuth", json!({ "requestId": request, "authChallengeResponse": response }))
            }
            _ => return,
        };
        self.say(method, &parameters);
    }

    /// Goes there in the tab in front, without waiting.
    pub(super) fn go(&mut self, url: &str) {
        match self.line {
            Line::Chromium { .. } => self.call("Page.navigate", &json!({ "url": url })),
            Line::Firefox(_) => self.call("WebDriver:Navigate", &json!({ "url": url })),
        }
        .unwrap();
    }

    /// Whether it is Firefox, of an older version than this.
    pub(super) fn is_firefox_before(&self, version: u16) -> bool {
        matches!(self.line, Line::Firefox(_)) && super::major_version("firefox-esr") < version
    }

    /// Opens a tab there, without waiting; it is in front then.
    pub(super) fn open_tab(&mut self, url: &str) {
        match self.line {
            Line::Chromium { .. } => {
                self.tab = String::new();
                let target = self.call("Target.createTarget", &json!({ "url": url })).unwrap()["targetId"].clone();
                let attach = json!({ "targetId": target, "flatten": true });
                let attached = self.call("Target.attachToTarget", &attach).unwrap();
                self.tab = attached["sessionId"].as_str().unwrap().to_owned();
            }
            Line::Firefox(_) => {
                let window = self.call("WebDriver:NewWindow", &json!({ "type": "tab" })).unwrap();
                self.call("WebDriver:SwitchToWindow", &json!({ "handle": window["handle"] })).unwrap();
                self.go(url);
            }
        }
    }

    /// The page as it stands, as HTML.
    fn source(&mut self) -> Result<String, Value> {
        match self.line {
            Line::Chromium { .. } => {
                let root = self.call("DOM.getDocument", &json!({}))?;
                let html = self.call("DOM.getOuterHTML", &json!({ "nodeId": root["root"]["nodeId"] }))?;
                Ok(html["outerHTML"].as_str().unwrap_or_default().to_owned())
            }
            Line::Firefox(_) => {
                let html = self.call("WebDriver:GetPageSource", &json!({}))?;
                Ok(html["value"].as_str().unwrap_or_default().to_owned())
            }
        }
    }

    /// Waits until the page has this in its HTML.
    pub(super) fn until_shown(&mut self, words: &str) -> String {
        let begun = Instant::now();
        loop {
            let source = self.source();
            if let Ok(source) = source.as_ref().map(String::as_str)
                && source.contains(words)
            {
                return source.to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "no `{words}` in {source:?}");
        }
    }

    /// Waits until this expression is true of the page; each look takes the page a moment.
    pub(super) fn until(&mut self, expression: &str) {
        let begun = Instant::now();
        let looks = format!("new Promise(function (d) {{ setTimeout(function () {{ d(!!({expression})); }}, 20); }})");
        // A page that is left meanwhile gives an error.
        while !matches!(self.evaluate(&looks), Ok(Value::Bool(true))) {
            assert!(begun.elapsed() < PATIENCE, "`{expression}` does not become true: {:?}", self.source());
        }
    }

    /// What an expression comes to in the page, or, where it is a promise, what that does.
    pub(super) fn evaluate(&mut self, expression: &str) -> Result<Value, Value> {
        match self.line {
            Line::Chromium { .. } => {
                let asked = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
                let answer = self.call("Runtime.evaluate", &asked)?;
                Ok(answer["result"]["value"].clone())
            }
            Line::Firefox(_) => {
                let answer = self.call(
                    "WebDriver:ExecuteScript",
                    &json!({ "script": format!("return {expression}"), "args": [] }),
                )?;
                Ok(answer["value"].clone())
            }
        }
    }

    /// What Chromium comes to by a method of its protocol.
    pub(super) fn devtools(&mut self, method: &str, parameters: &Value) -> Value {
        self.call(method, parameters).unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The window of Chromium is so wide, and its person prefers it dark or light.
    pub(super) fn screen(&mut self, width: u32, dark: bool) {
        let size = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.devtools("Emulation.setDeviceMetricsOverride", &size);
        self.devtools("Emulation.setScrollbarsHidden", &json!({ "hidden": true }));
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", &media);
    }

    /// Asks for something, and gives what it comes to, or the error.
    fn call(&mut self, method: &str, parameters: &Value) -> Result<Value, Value> {
        let id = self.say(method, parameters);
        loop {
            let heard = self.hear();
            if heard["id"] == id {
                let (error, result) = (&heard["error"], &heard["result"]);
                return if error.is_null() { Ok(result.clone()) } else { Err(error.clone()) };
            }
            if heard[0] == 1 && heard[1] == id {
                return if heard[2].is_null() { Ok(heard[3].clone()) } else { Err(heard[2].clone()) };
            }
            self.answer(&heard);
        }
    }

    /// Asks for something, and gives the number by which it will be answered.
    fn say(&mut self, method: &str, parameters: &Value) -> u64 {
        let id = self.next;
        self.next += 1;
        match &mut self.line {
            Line::Chromium { to, .. } => {
                let mut message = json!({ "id": id, "method": method, "params": parameters });
                if !self.tab.is_empty() && !method.starts_with("Target.") {
                    message["sessionId"] = self.tab.as_str().into();
                }
                to.write_all(message.to_string().as_bytes()).and_then(|()| to.write_all(b"\0")).unwrap();
            }
            Line::Firefox(stream) => {
                let message = json!([0, id, method, parameters]).to_string();
                write!(stream.get_mut(), "{}:{message}", message.len()).unwrap();
            }
        }
        id
    }

    /// The next message.
    fn hear(&mut self) -> Value {
        let mut message = Vec::new();
        match &mut self.line {
            Line::Chromium { from, .. } => {
                from.read_until(0, &mut message).unwrap();
                assert_eq!(message.pop(), Some(0), "Chromium has ended");
            }
            Line::Firefox(stream) => {
                let mut length = Vec::new();
                stream.read_until(b':', &mut length).unwrap();
                assert_eq!(length.pop(), Some(b':'), "Firefox has ended");
                message = vec![0; str::from_utf8(&length).unwrap().parse().unwrap()];
                stream.read_exact(&mut message).unwrap();
            }
        }
        serde_json::from_slice(&message).unwrap()
    }
}
