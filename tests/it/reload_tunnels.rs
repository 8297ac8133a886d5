//! Tunnels that stand when the policy changes: kept, or judged again.

use serde_json::{Value, json};

use crate::gate::{Gate, event_of};
use crate::name_server::NameServer;
use crate::origin::Origin;
use crate::parent::Parent;
use crate::peer::{End, Peer};
use crate::tunnel_lab::{CURL, hello};

struct Site {
    origin: Origin,
    parent: Parent,
    _names: NameServer,
    gate: Gate,
}

/// What every rule of these tests opens.
const PRIVATE: &str = "private = [\"127.0.0.0/8\"]";

impl Site {
    /// A gate of one worker that lets tunnels out to every `.test` name, and an origin that echoes behind
    /// each.
    fn new() -> Self {
        let (origin, parent) = (Origin::echo(), Parent::start());
        let names = NameServer::pointing_to(origin.address.ip());
        let policy = origin.rule_for("*.test", "protocol = \"any\"\nsni = \"any\"");
        let gate = Gate::configured(&policy, &format!("{}[gate]\nworkers = 1\n", names.config()));
        Self { origin, parent, _names: names, gate }
    }

    /// A tunnel over which these bytes have gone and come back.
    fn open(&self, host: &str, user_agent: &str, says: &[u8]) -> Peer {
        let at = format!("{host}:{}", self.origin.address.port());
        let mut client = self.gate.client();
        client.send(format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\nUser-Agent: {user_agent}\r\n\r\n"));
        assert_eq!(client.head().unwrap().status(), 200, "{host}");
        echo(&mut client, says);
        client
    }

    /// A policy that judges tunnels again, and allows none to `gone.test`.
    fn strict(&self, head: &str, rules: &str) -> String {
        let port = self.origin.address.port();
        format!(
            "[policy]\nreload = \"strict\"\n{head}\n[parents]\nuplink = {{ address = \"{}\" }}\n\
             [programs]\nupdater = {{ user_agent = \"Updater/*\" }}\ncurl = {{ ja4 = [\"{CURL}\"] }}\n\
             [[rule]]\nname = \"gone\"\nhosts = [\"gone.test\"]\nverdict = \"deny\"\n{}",
            self.parent.address,
            rules.replace("PORT", &port.to_string())
        )
    }

    /// Puts a policy in force and waits until it has judged the tunnels again: one of them it cuts.
    fn judge_by(&self, policy: &str) {
        let gone = self.open("gone.test", "Any/1", b"ping");
        self.judge_with(gone, policy);
    }

    fn judge_with(&self, mut gone: Peer, policy: &str) {
        let output = self.gate.put(policy);
        assert!(output.status.success(), "{output:?}");
        gone.rest();
    }

    /// Ends the gate and gives the record of the end of the tunnel to this host.
    fn close_of(&mut self, host: &str) -> Value {
        let records = self.gate.records();
        let open = records.iter().find(|record| record["event"] == "open" && record["host"] == host).unwrap();
        event_of(&records, "close", &open["id"]).clone()
    }
}

fn echo(client: &mut Peer, says: &[u8]) {
    client.send(says);
    assert_eq!(client.take(says.len()), says);
}

/// A rule for `*.test` with these keys.
fn rule(name: &str, verdict: &str, keys: &str) -> String {
    format!("[[rule]]\nname = \"{name}\"\nhosts = [\"*.test\"]\nports = [PORT]\nverdict = \"{verdict}\"\n{keys}\n")
}

fn allow(keys: &str) -> String {
    rule("again", "allow", &format!("{PRIVATE}\n{keys}"))
}

#[test]
fn a_tunnel_goes_on_when_the_policy_keeps_them_and_is_cut_when_a_strict_one_no_longer_allows_it() {
    let mut site = Site::new();
    let mut cut = site.open("cut.test", "Any/1", b"ping");
    let mut kept = site.open("kept.test", "Any/1", b"ping");
    let gone = site.open("gone.test", "Any/1", b"ping");
    for n in 0..3 {
        assert!(site.gate.put(&format!("# {n}\n[policy]\nreload = \"keep\"\n")).status.success());
        echo(&mut cut, b"still");
    }
    let hosts = "hosts = [\"*.test\"]";
    let rules = allow("protocol = \"any\"").replace(hosts, "hosts = [\"kept.test\"]");
    site.judge_with(gone, &site.strict("", &rules));
    let hash = site.gate.status()["policy"]["hash"].clone();
    assert_eq!(cut.rest().0, b"");
    echo(&mut kept, b"on and on");
    assert_eq!(site.gate.status()["connections"]["tunnels"], 1);
    kept.finish();
    assert_eq!(kept.rest(), (Vec::new(), End::Closed));

    let records = site.gate.records();
    let close = |host: &str| {
        let open = records.iter().find(|record| record["event"] == "open" && record["host"] == host).unwrap();
        event_of(&records, "close", &open["id"])
    };
    let (cut, kept, gone) = (close("cut.test"), close("kept.test"), close("gone.test"));
    assert_eq!((&cut["closed_by"], &cut["closed_how"]), (&json!("gate"), &json!("policy_changed")), "{cut}");
    assert_eq!(
        (&cut["verdict"], &cut["reason"], &cut["policy"]),
        (&json!("deny"), &json!("port_not_opened"), &hash),
        "{cut}"
    );
    assert_eq!((cut["bytes_up"].as_u64(), cut["bytes_down"].as_u64()), (Some(19), Some(19)), "{cut}");
    assert_eq!((&gone["reason"], &gone["rule"]), (&json!("rule"), &json!("gone")), "{gone}");
    assert!(gone["rule_at"].as_str().unwrap().contains("policy.toml:"), "{gone}");
    assert_eq!((&kept["closed_by"], kept.get("verdict"), kept.get("policy")), (&json!("client"), None, None), "{kept}");
}

/// What becomes of a tunnel to `a.test` that was opened with this User-Agent and has carried this, under a
/// strict policy: the record of its end.
fn judged(site: &mut Site, user_agent: &str, says: &[u8], policy: &str) -> Value {
    let mut client = site.open("a.test", user_agent, says);
    site.judge_by(policy);
    if client.try_send("more").is_ok() {
        client.finish();
    }
    client.rest();
    site.close_of("a.test")
}

fn goes_on(user_agent: &str, says: &[u8], rules: &str) {
    let mut site = Site::new();
    let policy = site.strict("", rules);
    let close = judged(&mut site, user_agent, says, &policy);
    assert_eq!((&close["closed_by"], &close["closed_how"]), (&json!("client"), &json!("closed")), "{rules}: {close}");
}

fn is_cut(reason: &str, user_agent: &str, says: &[u8], rules: &str) {
    let mut site = Site::new();
    let policy = site.strict("", rules);
    let close = judged(&mut site, user_agent, says, &policy);
    assert_eq!(
        (&close["closed_how"], &close["verdict"]),
        (&json!("policy_changed"), &json!("deny")),
        "{rules}: {close}"
    );
    assert_eq!(close["reason"], reason, "{rules}: {close}");
}

#[test]
fn a_strict_policy_judges_by_all_that_is_known_of_a_tunnel() {
    let any = "protocol = \"any\"\nsni = \"any\"";
    let curl = hello("curl");
    let keys = |keys: &str| allow(&format!("{any}\n{keys}"));
    let programs = |name: &str| keys(&format!("programs = [\"{name}\"]"));
    let (challenge, deny) = (rule("puzzle", "challenge", ""), rule("closed", "deny", ""));
    // What its head said, its hello, and what it has carried; each a gate of its own.
    let goes: &[(&str, &[u8], String)] = &[
        ("Updater/7", b"ping", programs("updater")),
        ("Any/1", &curl, programs("curl")),
        ("Any/1", &curl, allow("")),
        // A request that has gone by, or was never seen: the rule may allow it.
        ("Any/1", b"ping", keys("methods = [\"GET\"]")),
    ];
    // No rule names it on this port, and so on.
    let cut: &[(&str, &str, &[u8], String)] = &[
        ("port_not_opened", "Other/7", b"ping", programs("updater")),
        ("port_not_opened", "Any/1", &hello("firefox"), programs("curl")),
        ("port_not_opened", "Any/1", b"ping", programs("curl")),
        ("not_tls", "Any/1", b"ping", allow("")),
        ("not_a_browser", "Any/1", b"ping", challenge),
        ("rule", "Any/1", b"ping", deny),
    ];
    std::thread::scope(|scope| {
        for (user_agent, says, rules) in goes {
            scope.spawn(|| goes_on(user_agent, says, rules));
        }
        for (reason, user_agent, says, rules) in cut {
            scope.spawn(|| is_cut(reason, user_agent, says, rules));
        }
    });
}

#[test]
fn a_strict_policy_judges_where_a_tunnel_leads_and_by_which_way() {
    let any = "protocol = \"any\"";
    goes_on("Any/1", b"ping", &allow(any));
    // The address is opened no longer.
    is_cut("guard_address", "Any/1", b"ping", &rule("again", "allow", any));
    // It would leave through a parent today.
    is_cut("way_changed", "Any/1", b"ping", &allow(&format!("{any}\nparent = \"uplink\"")));
}

#[test]
fn a_tunnel_that_cannot_be_judged_again_is_cut() {
    let any = allow("protocol = \"any\"");
    goes_on(&"x".repeat(2048), b"ping", &any);
    is_cut("not_kept", &"x".repeat(2049), b"ping", &any);
}

#[test]
fn a_silent_tunnel_is_judged_once_it_has_spoken() {
    // The rule waits for a hello: who shows the right one goes on, and who does not is cut.
    let mut site = Site::new();
    let mut right = site.open("right.test", "Any/1", b"");
    let mut wrong = site.open("wrong.test", "Any/1", b"");
    site.judge_by(&site.strict("", &allow("programs = [\"curl\"]\nprotocol = \"any\"\nsni = \"any\"")));
    echo(&mut right, &hello("curl"));
    echo(&mut wrong, b"ping");
    wrong.rest();
    echo(&mut right, b"on and on");
    drop(right);
    let close = site.close_of("wrong.test");
    assert_eq!(
        (&close["closed_how"], &close["reason"]),
        (&json!("policy_changed"), &json!("port_not_opened")),
        "{close}"
    );

    // The rule lets it out, and TLS alone in it.
    let mut site = Site::new();
    let mut client = site.open("a.test", "Any/1", b"");
    site.judge_by(&site.strict("", &allow("")));
    client.send(b"ping");
    assert_eq!(client.rest().0, b"");
    let close = site.close_of("a.test");
    assert_eq!(close["closed_how"], "not_tls", "{close}");
}

#[test]
fn what_only_observes_cuts_nothing_but_the_guards_and_the_end_says_what_would_have_been() {
    let mut site = Site::new();
    let mut client = site.open("a.test", "Any/1", b"ping");
    // It cuts the tunnel to gone.test, whose address it no longer opens.
    site.judge_by(&site.strict("mode = \"observe\"", &rule("closed", "deny", PRIVATE)));
    let hash = site.gate.status()["policy"]["hash"].clone();
    echo(&mut client, b"pong");
    client.finish();
    client.rest();
    let close = site.close_of("a.test");
    assert_eq!((&close["closed_how"], close.get("verdict")), (&json!("closed"), None), "{close}");
    assert_eq!(
        (&close["would"], &close["rule"], &close["policy"]),
        (&json!("deny"), &json!("closed"), &hash),
        "{close}"
    );
}

#[test]
fn a_websocket_is_judged_again_as_the_request_it_was() {
    const ASK: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for (methods, allowed) in [("GET", true), ("POST", false)] {
        let origin = Origin::serving(|mut peer, _| {
            let _ = peer.head();
            let _ =
                peer.try_send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
            while let bytes @ [_, ..] = &peer.some()[..] {
                let _ = peer.try_send(bytes);
            }
        });
        let there = origin.address;
        let mut gate = Gate::configured(&origin.policy(), "[gate]\nworkers = 1\n");
        let open = || {
            let mut client = gate.client();
            client.send(format!("GET http://{there}/chat HTTP/1.1\r\nHost: {there}\r\n{ASK}"));
            assert_eq!(client.head().unwrap().status(), 101);
            echo(&mut client, b"ping");
            client
        };
        let (mut client, mut tunnel) = (open(), gate.client());
        tunnel.send(format!("CONNECT {there} HTTP/1.1\r\nHost: {there}\r\nUser-Agent: gone\r\n\r\n"));
        assert_eq!(tunnel.head().unwrap().status(), 200);
        let denied = format!(
            "[policy]\nreload = \"strict\"\n[programs]\ngone = {{ user_agent = \"gone\" }}\n{}{}",
            origin.rule("programs = [\"gone\"]").replace("\"origin\"", "\"gone\"").replace("\"allow\"", "\"deny\""),
            origin.rule(&format!("methods = [\"{methods}\"]"))
        );
        let output = gate.put(&denied);
        assert!(output.status.success(), "{output:?}");
        tunnel.rest();
        if allowed {
            echo(&mut client, b"on and on");
        }
        client.finish();
        client.rest();
        let closes = gate.events("close");
        let expected = if allowed { "closed" } else { "policy_changed" };
        assert_eq!(closes[0]["closed_how"], expected, "{closes:#?}");
    }
}
