//! A real browser on the client's machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::network::{GATE, Machine, Network};
use super::process::run;

/// A person's browser, with the gate as its proxy and the lab's authority among those it trusts.
pub(super) struct Browser<'lab> {
    network: &'lab Network,
    home: PathBuf,
    visits: AtomicU32,
}

/// Chromium's own, not the page's: a hanging browser ends the test with a reason.
const VISIT_SECONDS: &str = "120";

impl<'lab> Browser<'lab> {
    pub(super) fn new(network: &'lab Network, directory: &Path, authority: &Path) -> Self {
        let home = directory.join("home");
        let trusted = home.join(".pki/nssdb");
        std::fs::create_dir_all(&trusted).unwrap();
        let database = format!("sql:{}", trusted.display());
        run(Command::new("certutil").args(["-N", "--empty-password", "-d", &database]));
        run(Command::new("certutil").args(["-A", "-n", "lab", "-t", "C,,", "-d", &database, "-i"]).arg(authority));
        Self { network, home, visits: AtomicU32::new(0) }
    }

    /// Goes to a page in a new profile.
    pub(super) fn visit(&self, url: &str) -> Visit {
        self.visit_in("en", url)
    }

    /// The same, as a person who reads that language.
    pub(super) fn visit_in(&self, language: &str, url: &str) -> Visit {
        let proxy = format!("--proxy-server=http://{GATE}");
        self.open(&[&proxy, &format!("--accept-lang={language}")], url)
    }

    /// Goes to a page without the proxy; every name is taken for `address`.
    pub(super) fn visit_without_gate(&self, url: &str, address: &str) -> Visit {
        self.open(&["--no-proxy-server", &format!("--host-resolver-rules=MAP * {address}")], url)
    }

    fn open(&self, flags: &[&str], url: &str) -> Visit {
        let profile = self.home.join(format!("profile-{}", self.visits.fetch_add(1, Ordering::Relaxed)));
        let mut command = self.network.command(Machine::Client, "timeout");
        command.args(["--kill-after=5", VISIT_SECONDS, "chromium", "--headless", "--no-sandbox", "--disable-gpu"]);
        command.args(["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-sync"]);
        command.args(["--disable-component-update", "--disable-breakpad"]).args(flags);
        command.arg(format!("--user-data-dir={}", profile.display())).args(["--dump-dom", url]);
        for variable in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"] {
            command.env_remove(variable);
        }
        let output = command.env("HOME", &self.home).stdin(Stdio::null()).output().unwrap();
        let page = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{url}: {}: {errors}", output.status);
        let told = errors.split_once("Page load failed: net::").and_then(|(_, error)| error.lines().next());
        // Others show the error on a page of their own.
        let shown = page.split_once("\"errorCode\":\"").and_then(|(_, rest)| rest.split('"').next());
        let error = told.or(shown);
        println!("visited    {url}: {}", error.unwrap_or_else(|| title(&page)));
        let error = error.map(str::to_owned);
        Visit { page, error }
    }
}

/// What a page became.
#[derive(Debug)]
pub(super) struct Visit {
    /// Its document, once loaded; empty where the browser shows an error of its own.
    pub(super) page: String,
    /// The browser's own error.
    pub(super) error: Option<String>,
}

fn title(page: &str) -> &str {
    let begin = page.find("<title>").map_or(0, |at| at + "<title>".len());
    let rest = page.get(begin..).unwrap_or_default();
    rest.split("</title>").next().unwrap_or_default()
}
