//! Real browsers at the gate.

mod accessibility;
pub(crate) mod console;
mod driven;
mod hostile_pages;
mod hour;
mod log_in;
mod naive;
mod office;
mod pac;
mod page;
pub(crate) mod site;
mod whole;

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

/// A browser that runs until this is dropped.
struct Browser {
    child: Child,
    _home: TempDir,
}

/// What a person has set.
#[derive(Debug, Clone, Copy)]
struct Settings {
    scripts: bool,
    cookies: bool,
    /// HTTP/2, where a server offers it.
    http2: bool,
    /// At which port of this machine a PAC file is that says which proxy to take; absent where the gate is set itself.
    pac: Option<u16>,
    /// Where Chromium finds all names of `test` that it looks up itself.
    direct: Option<IpAddr>,
}

impl Settings {
    const AS_INSTALLED: Self = Self { scripts: true, cookies: true, http2: true, pac: None, direct: None };
}

impl Browser {
    fn chromium_command(gate: SocketAddr, trusted: Option<&Path>, settings: Settings) -> (Command, TempDir) {
        let home = tempfile::tempdir().unwrap();
        trusted.inspect(|trusted| trust(&home.path().join(".pki/nssdb"), trusted));
        let profile = home.path().join("profile");
        std::fs::create_dir_all(profile.join("Default")).unwrap();
        let set = |allowed: bool| if allowed { 1 } else { 2 };
        let (scripts, cookies) = (set(settings.scripts), set(settings.cookies));
        let preferences = json!({ "profile": { "default_content_setting_values":
            { "javascript": scripts, "cookies": cookies } } });
        std::fs::write(profile.join("Default/Preferences"), preferences.to_string()).unwrap();
        let mut command = Command::new("chromium");
        command.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        command.args(["--disable-breakpad", "--lang=en"]);
        // As a browser of a person calls itself.
        let own = format!("Chrome/{}", major_version("chromium"));
        command.arg(format!("--user-agent={}", CHROMIUM.replace("Chrome/156", &own)));
        command.arg(match settings.pac {
            Some(port) => format!("--proxy-pac-url=http://127.0.0.1:{port}/proxy.pac"),
            None => format!("--proxy-server=http://{gate}"),
        });
        if let Some(address) = settings.direct {
            command.arg(format!("--host-resolver-rules=MAP *.test {address}"));
        }
        if !settings.http2 {
            command.arg("--disable-http2");
        }
        command.arg(format!("--user-data-dir={}", profile.display()));
        (command, home)
    }

    fn firefox_command(gate: SocketAddr, trusted: Option<&Path>, settings: Settings) -> (Command, TempDir) {
        let home = tempfile::tempdir().unwrap();
        let profile = home.path().join("profile");
        std::fs::create_dir_all(&profile).unwrap();
        trusted.inspect(|trusted| trust(&profile, trusted));
        let (address, port) = (gate.ip(), gate.port());
        let preferences = [
            format!("\"network.proxy.type\", {}", if settings.pac.is_some() { 2 } else { 1 }),
            format!("\"network.proxy.autoconfig_url\", \"http://127.0.0.1:{}/proxy.pac\"", settings.pac.unwrap_or(0)),
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
            "\"marionette.port\", 0".to_owned(),
            "\"dom.serviceWorkers.testing.enabled\", true".to_owned(),
            format!("\"network.http.http2.enabled\", {}", settings.http2),
            format!("\"javascript.enabled\", {}", settings.scripts),
            format!("\"network.cookie.cookieBehavior\", {}", if settings.cookies { 5 } else { 2 }),
        ];
        // Firefox 140 opens no tunnel over HTTP/2 with a proxy while what it fetches for itself has a connection there.
        let quiet = match settings.pac {
            Some(_) if major_version("firefox-esr") < 153 => &[
                "\"services.settings.server\", \"data:,#\"",
                "\"network.captive-portal-service.enabled\", false",
                "\"network.connectivity-service.enabled\", false",
            ][..],
            Some(_) | None => &[],
        };
        let preferences = preferences.into_iter().chain(quiet.iter().map(|quiet| (*quiet).to_owned()));
        let lines: Vec<_> = preferences.map(|preference| format!("user_pref({preference});\n")).collect();
        std::fs::write(profile.join("user.js"), lines.concat()).unwrap();
        let mut command = Command::new("firefox-esr");
        command.args(["--headless", "--no-remote", "--profile"]).arg(&profile);
        (command, home)
    }

    fn start(mut command: Command, home: TempDir, input: Stdio, output: Stdio) -> Self {
        for variable in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"] {
            command.env_remove(variable);
        }
        command.env("HOME", home.path()).stdin(input).stdout(output).stderr(Stdio::null());
        Self { child: command.spawn().unwrap(), _home: home }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The major version of a browser that is installed.
fn major_version(browser: &str) -> u16 {
    let output = Command::new(browser).arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let major = |word: &str| word.split_once('.').and_then(|(major, _)| major.parse().ok());
    text.split_whitespace().find_map(major).unwrap_or_else(|| panic!("{text}"))
}

/// Puts the authorities of a file into a new database of those that a browser trusts.
fn trust(database: &Path, authority: &Path) {
    std::fs::create_dir_all(database).unwrap();
    let database = format!("sql:{}", database.display());
    let certutil = |arguments: &[&str]| {
        let output = Command::new("certutil").args(arguments).args(["-d", &database]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    certutil(&["-N", "--empty-password"]);
    let text = std::fs::read_to_string(authority).unwrap();
    for (number, certificate) in text.split_inclusive("-----END CERTIFICATE-----\n").enumerate() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), certificate).unwrap();
        certutil(&["-A", "-n", &format!("test {number}"), "-t", "C,,", "-i", file.path().to_str().unwrap()]);
    }
}

/// What a person's Chromium calls itself, in the version whose hellos are in `tests/data`.
const CHROMIUM: &str =
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
