//! Real browsers at the gate.

mod log_in;
mod naive;
mod site;
mod whole;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

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
