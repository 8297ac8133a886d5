//! Programs that claim to be a browser and are none: on a machine whose browser is cleared they get nothing.

use std::process::Command;

use super::site::Site;
use super::{Browser, CHROMIUM};

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
