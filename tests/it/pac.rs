//! The file by which browsers learn which proxy to take.

use crate::gate::Gate;

const POLICY: &str = "[policy]\nunknown = \"deny\"\n";

/// `htpasswd -nbB -C 5 tanaka "Circle of Life"`
const USERS: &str = "tanaka:$2y$05$ufc/KLlbsqjXFButKllicuv5WcmrNB/xxhaHz3uaGCydL8JmKydJa\n";

fn ask(gate: &Gate, line: &str) -> String {
    gate.send(format!("{line} HTTP/1.1\r\nHost: gate.office.example:3128\r\nConnection: close\r\n\r\n").as_bytes())
}

#[test]
fn the_gate_serves_it_where_the_config_says_so_and_asks_nobody_who_they_are() {
    // Who must log in at the proxy cannot have done so before they know of it.
    let users = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(users.path(), USERS).unwrap();
    let config = format!(
        "[pac]\ndirect = [\"*.office.example\", \"10.0.0.0/8\"]\n[authentication]\nrealm = \"a\"\nschemes = [\"basic\"]\nusers = {:?}\n",
        users.path()
    );
    let mut gate = Gate::configured(POLICY, &config);
    for line in ["GET /proxy.pac", "GET /wpad.dat", "GET /proxy.pac?2026"] {
        let answer = ask(&gate, line);
        assert!(
            answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: application/x-ns-proxy-autoconfig\r\n"),
            "{answer}"
        );
        assert!(
            answer.contains("[\"PROXY gate.office.example:3128\"]") && answer.contains("\".office.example\""),
            "{answer}"
        );
    }
    let head = ask(&gate, "HEAD /proxy.pac");
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    for line in ["GET /proxy.pac/", "POST /proxy.pac", "GET /"] {
        assert!(!ask(&gate, line).contains("FindProxyForURL"), "{line}");
    }
    assert!(gate.exchanges().is_empty(), "it leads nowhere, and is no exchange");
    let without = Gate::start(POLICY);
    assert!(!ask(&without, "GET /proxy.pac").contains("FindProxyForURL"));
}
