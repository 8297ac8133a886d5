//! Internal names: who is asked for which name, and where each may lead.

use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Output};

use crate::gate::{Gate, Start, exchanges};
use crate::name_server::{NameServer, Reply};
use crate::origin::{Origin, listener_of_its_own};
use crate::parent::{Answer, Parent};
use crate::tunnel_lab::connect;

/// A gate between an inside and an outside, each with a name server and an origin on the same port.
struct Lab {
    inside: Origin,
    outside: Origin,
    inner: NameServer,
    outer: NameServer,
    gate: Gate,
}

/// What the policy lets out: everything, with all of loopback opened.
const OPEN: &str = "private = [\"127.0.0.0/8\"]";

/// Names below `corp.example` are internal and live at the inside origin alone. Of the name servers'
/// names, `right` leads to the view's own origin and `wrong` to the other's.
fn lab(rule: &str) -> Lab {
    let (inside, outside) = two_origins();
    let (inner_ip, outer_ip) = (inside.address.ip(), outside.address.ip());
    let inner = NameServer::replying(move |name| match name {
        "right.corp.example" => Reply::Addresses(vec![inner_ip]),
        "wrong.corp.example" => Reply::Addresses(vec![outer_ip]),
        "both.corp.example" => Reply::Addresses(vec![outer_ip, inner_ip]),
        "alias.corp.example" => Reply::Alias("right.test"),
        "to-right.corp.example" => Reply::Alias("right.corp.example"),
        _ => Reply::Addresses(Vec::new()),
    });
    let outer = NameServer::replying(move |name| match name {
        "right.test" => Reply::Addresses(vec![outer_ip]),
        "wrong.test" => Reply::Addresses(vec![inner_ip]),
        "alias.test" => Reply::Alias("right.corp.example"),
        "to-right.test" => Reply::Alias("right.test"),
        _ => Reply::Addresses(Vec::new()),
    });
    let policy = format!(
        "[[rule]]\nname = \"all\"\nhosts = [\"*\"]\nports = [{}]\nverdict = \"allow\"\n{rule}\n",
        inside.address.port()
    );
    let gate = Gate::configured(&policy, &config(&inner, &outer, inner_ip));
    Lab { inside, outside, inner, outer, gate }
}

fn config(inner: &NameServer, outer: &NameServer, lives_at: IpAddr) -> String {
    format!(
        "{}[internal]\nnames = [\"*.corp.example\"]\nresolvers = [\"{}\"]\naddresses = [\"{lives_at}/32\"]\n",
        outer.config(),
        inner.address
    )
}

/// Two origins on one port of two addresses.
fn two_origins() -> (Origin, Origin) {
    loop {
        let inside = listener_of_its_own(0);
        let port = inside.local_addr().unwrap().port();
        let outside = listener_of_its_own(port);
        // Another allocation may have come in between on the same address; then the ports would clash.
        if outside.local_addr().unwrap().ip() != inside.local_addr().unwrap().ip() {
            return (Origin::start_on(inside), Origin::start_on(outside));
        }
    }
}

impl Lab {
    /// The status of a plain request, and the whole answer as text.
    fn get(&self, host: &str) -> (u16, String) {
        let at = format!("{host}:{}", self.inside.address.port());
        let mut client = self.gate.client();
        client.send(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n"));
        let answer = client.answer();
        (answer.status(), format!("{}{}", answer.head, answer.text()))
    }

    fn refused(&self, host: &str, reason: &str) -> String {
        let (status, text) = self.get(host);
        assert!(status >= 400 && text.contains(reason), "{host}: {text}");
        let (_, answer) = connect(&self.gate, &format!("{host}:{}", self.inside.address.port()));
        assert!(answer.head.contains(reason), "{host}: {}", answer.head);
        text
    }
}

#[test]
fn each_name_is_asked_of_its_own_name_servers_and_of_no_others() {
    let lab = lab(OPEN);
    assert_eq!(lab.get("right.corp.example").0, 200);
    assert_eq!(lab.get("RIGHT.Corp.Example.").0, 200);
    assert_eq!((lab.inside.requests().len(), lab.outside.connections()), (2, 0));
    assert_eq!(lab.get("right.test").0, 200);
    assert_eq!(lab.outside.requests().len(), 1);
    lab.refused("nobody.corp.example", "dns_failed");
    lab.refused("nobody.test", "dns_failed");
    // The name itself is not below itself.
    lab.refused("corp.example", "dns_failed");
    assert_eq!(lab.inner.asked(), ["nobody.corp.example", "right.corp.example"]);
    assert_eq!(lab.outer.asked(), ["corp.example", "nobody.test", "right.test"]);
}

#[test]
fn an_alias_carries_no_name_to_the_other_name_servers() {
    let lab = lab(OPEN);
    assert_eq!(
        (lab.get("to-right.corp.example").0, lab.get("to-right.test").0),
        (200, 200),
        "within its view it leads"
    );
    lab.refused("alias.corp.example", "dns_failed");
    let text = lab.refused("alias.test", "dns_failed");
    assert!(text.contains("an alias leads to a name that these servers are not asked for"), "{text}");
    let asked = |server: &NameServer, part: &str| server.asked().iter().filter(|name| name.contains(part)).count();
    assert_eq!((asked(&lab.inner, ".test"), asked(&lab.outer, ".corp.")), (0, 0));
}

#[test]
fn an_internal_name_leads_only_where_internal_names_live() {
    let mut lab = lab(OPEN);
    let text = lab.refused("wrong.corp.example", "guard_address");
    assert!(text.contains("is none of the [internal] addresses"), "{text}");
    assert_eq!(lab.get("both.corp.example").0, 200, "the one of its addresses that is right");
    assert_eq!((lab.inside.requests().len(), lab.outside.connections()), (1, 0));
    let exchanges = exchanges(&lab.gate.records());
    let denied = exchanges.iter().filter(|exchange| exchange["verdict"] == "deny").count();
    assert_eq!(denied, 2, "{exchanges:#?}");
}

#[test]
fn a_name_from_outside_never_leads_inside_though_the_rule_opens_the_range() {
    let lab = lab(OPEN);
    let text = lab.refused("wrong.test", "guard_address");
    assert!(text.contains("is one of the [internal] addresses"), "{text}");
    assert_eq!(lab.inside.connections(), 0);
    assert_eq!(
        lab.get(&lab.inside.address.ip().to_string()).0,
        200,
        "an address that a client writes is the rule's alone"
    );
    assert_eq!(lab.get("right.test").0, 200);
}

#[test]
fn what_is_internal_is_opened_by_a_rule_and_by_that_word_as_well() {
    let closed = lab("");
    closed.refused("right.corp.example", "guard_address");
    closed.refused(&closed.inside.address.ip().to_string(), "guard_address");
    let open = lab("private = [\"internal\"]");
    assert_eq!(open.get("right.corp.example").0, 200);
    assert_eq!(open.get(&open.inside.address.ip().to_string()).0, 200);
    open.refused("right.test", "guard_address");
    open.refused("wrong.test", "guard_address");
    open.refused(&open.outside.address.ip().to_string(), "guard_address");
    assert_eq!(open.outside.connections(), 0);
}

#[test]
fn a_parent_may_have_an_internal_name() {
    let parent = Parent::start();
    let origin = Origin::start_on(listener_of_its_own(0));
    let inner = NameServer::answering(|_| vec![[127, 0, 0, 1].into()]);
    let outer = NameServer::pointing_to(origin.address.ip());
    let rule = origin.rule_for("*.test", "parent = \"uplink\"");
    let named = parent.named().replace("127.0.0.1:", "proxy.corp.example:");
    let gate = Gate::configured(&format!("{named}{rule}"), &config(&inner, &outer, [127, 0, 0, 1].into()));
    assert_eq!(connect(&gate, &format!("a.test:{}", origin.address.port())).1.status(), 200);
    assert_eq!((inner.asked(), outer.asked()), (vec!["proxy.corp.example".to_owned()], vec!["a.test".to_owned()]));
}

#[test]
fn an_internal_name_is_never_left_to_a_parent_and_another_by_the_same_rule_is() {
    let (inner, outer) = (NameServer::answering(|_| Vec::new()), NameServer::answering(|_| Vec::new()));
    let origin = Origin::start();
    let there = origin.address;
    let parent = Parent::answering(move |_| Answer::Lead(there));
    let rule = origin.rule_for("*", "parent = \"uplink\"\nresolve = \"parent\"\nprotocol = \"any\"");
    let lives_at = there.ip();
    let mut gate = Gate::configured(&format!("{}{rule}", parent.named()), &config(&inner, &outer, lives_at));
    let mut client = gate.client();
    for host in ["secret.corp.example", "SECRET.Corp.Example.", "secret.corp.example"] {
        let at = format!("{host}:{}", there.port());
        client.send(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n"));
        let answer = client.answer();
        let text = answer.text();
        assert!(answer.status() == 403 && text.contains("guard_address: ") && text.contains("[internal]"), "{text}");
        let (_, answer) = connect(&gate, &at);
        assert!(answer.status() == 403 && answer.head.contains("guard_address"), "{host}: {}", answer.head);
    }
    assert_eq!(parent.lines(), Vec::<String>::new(), "the parent never hears of it");
    for host in ["a.test", "corp.example", "secret.corp.example.test"] {
        let at = format!("{host}:{}", there.port());
        client.send(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n"));
        assert_eq!(client.answer().status(), 200, "{host}");
        assert_eq!(connect(&gate, &at).1.status(), 200, "{host}");
    }
    drop(client);
    assert_eq!((parent.lines().len(), inner.asked().len(), outer.asked().len()), (6, 0, 0));
    let exchanges = gate.exchanges();
    let denied: Vec<_> = exchanges.iter().filter(|exchange| exchange["verdict"] == "deny").collect();
    assert_eq!(denied.len(), 6);
    for exchange in denied {
        assert_eq!((&exchange["host"], &exchange["closed_by"]), (&"secret.corp.example".into(), &"gate".into()));
    }
}

#[test]
fn questions_for_internal_names_are_own_connections_of_their_own_purpose() {
    let mut lab = lab(OPEN);
    assert_eq!((lab.get("right.corp.example").0, lab.get("right.test").0), (200, 200));
    let records = lab.gate.records();
    for (purpose, server) in [("dns", &lab.outer), ("dns_internal", &lab.inner)] {
        let mut of = records.iter().filter(|record| record["kind"] == "own" && record["purpose"] == purpose).peekable();
        assert!(of.peek().is_some(), "{purpose}: {records:#?}");
        assert!(of.all(|record| record["address"] == server.address.to_string().as_str()), "{purpose}: {records:#?}");
    }
}

fn check(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho")).arg("check").args(arguments).current_dir(directory).output().unwrap()
}

#[test]
fn a_policy_that_says_internal_needs_a_config_that_says_what_that_is() {
    let policy =
        "[[rule]]\nname = \"r\"\nhosts = [\"*.corp.example\"]\nprivate = [\"internal\"]\nverdict = \"allow\"\n";
    let internal =
        "[internal]\nnames = [\"*.corp.example\"]\nresolvers = [\"10.1.0.53:53\"]\naddresses = [\"10.1.0.0/16\"]\n";
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("policy.toml", policy);
    write("without.toml", "[gate]\npolicy = \"policy.toml\"\n");
    write("with.toml", &format!("[gate]\npolicy = \"policy.toml\"\n{internal}"));
    for (arguments, code) in
        [(vec!["policy.toml"], 0), (vec!["--config", "with.toml"], 0), (vec!["--config", "without.toml"], 2)]
    {
        let output = check(directory.path(), &arguments);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        let named =
            error.contains("policy.toml:4:12: `private` opens \"internal\"") && error.contains("fix: add [internal]");
        assert_eq!(named, code == 2, "{error}");
    }
    let output = Start { policy, ..Start::default() }.output();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && error.contains("the config has no [internal]"), "{error}");
    Start { policy, config: internal, ..Start::default() }.gate();
}

#[test]
fn an_internal_table_with_a_key_missing_or_empty_is_refused_whole() {
    let whole =
        [("names", "[\"*.corp.example\"]"), ("resolvers", "[\"10.1.0.53:53\"]"), ("addresses", "[\"10.1.0.0/16\"]")];
    let directory = tempfile::tempdir().unwrap();
    let problem = |lines: Vec<String>| {
        std::fs::write(directory.path().join("c.toml"), format!("[internal]\n{}\n", lines.join("\n"))).unwrap();
        let output = check(directory.path(), &["--config", "c.toml"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let line = |(key, value): &(&str, &str)| format!("{key} = {value}");
    assert_eq!(problem(whole.iter().map(line).collect()).0, Some(0));
    for (at, (key, _)) in whole.iter().enumerate() {
        let mut lines: Vec<_> = whole.iter().map(line).collect();
        lines[at] = format!("{key} = []");
        let (code, error) = problem(lines.clone());
        assert!(code == Some(2) && error.contains(&format!("c.toml:{}:", at + 2)), "{error}");
        assert!(error.starts_with("sekisho: 1 problem") && error.contains(&format!("`{key}` is empty")), "{error}");
        lines.remove(at);
        let (code, error) = problem(lines);
        assert!(code == Some(2) && error.contains(&format!("c.toml:1:1: `{key}` is missing")), "{error}");
    }
}
