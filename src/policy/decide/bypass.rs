//! The ways around an allowlist as a table: what is asked in bytes, what comes of it, and beside each the
//! nearest request that passes. From the head to the verdict, and where an address is named to the guard's.

use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;

use super::*;
use crate::facts::{Client, Program, Restraint, Standing, Timestamp};
use crate::parse::{Form, HeadLimits, take_request_head, understand};
use crate::policy::{OwnEndpoints, judge_address};

/// 1.1.1.1 and 2606:4700::1111 stand for public addresses that somebody let out by their literals.
const POLICY: &str = r#"
[hosts.portal]
names = ["portal"]

[[rule]]
name = "site"
hosts = ["a.example", "*.b.example", "bücher.example"]
verdict = "allow"

[[rule]]
name = "orders"
hosts = ["c.example"]
methods = ["GET"]
paths = ["/orders/*"]
verdict = "allow"

[[rule]]
name = "literals"
hosts = ["1.1.1.1", "[2606:4700::1111]", "127.0.0.1", "10.0.0.1", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::1]",
    "[::127.0.0.1]", "[::ffff:0:7f00:1]", "[2001:0:808:808::80ff:fffe]", "[2a00::5efe:7f00:1]", "[64:ff9b:1::7f00:1]", "[::1]", "[fe80::1]"]
verdict = "allow"

[[rule]]
name = "inner"
hosts = ["portal"]
verdict = "allow"
"#;

/// What comes of a head as it arrived: `passes`, or who refuses it and why.
fn judged(policy: &Policy, head: &str) -> String {
    let mut bytes = BytesMut::from(head.as_bytes());
    let head = match take_request_head(&mut bytes, &HeadLimits::default(), &mut 0) {
        Ok(head) => head.expect("the head is whole"),
        Err(fault) => return format!("fault {}", fault.name()),
    };
    let request = match understand(head) {
        Ok(request) => request,
        Err(fault) => return format!("fault {}", fault.name()),
    };
    let target = match &request.form {
        Form::Absolute(target) | Form::Connect(target) => target,
        Form::Origin(_) => return "the gate itself".to_owned(),
    };
    let client = Client::at(SocketAddr::from(([10, 20, 1, 5], 4000)));
    let outcome = decide(
        policy,
        &Facts {
            now: Timestamp(0),
            client: &client,
            method: request.head.method(),
            target,
            program: Program { user_agent: None },
            hello: Stage::NotYet,
            inner: if target.scheme == Scheme::Tunnel { Stage::NotYet } else { Stage::Never },
            standing: Standing::Uncleared,
            contradictions: crate::facts::Contradictions::NONE,
            restraint: Restraint::NONE,
        },
    );
    match outcome {
        Outcome::Needs(need, _) => format!("needs {need:?}"),
        Outcome::Decided(Decision { verdict: Verdict::Allow(permit), .. }) => {
            let own = OwnEndpoints { listeners: vec![], interfaces: vec![] };
            let address = match permit.host() {
                Host::Name(_) => return "passes".to_owned(),
                Host::V4(address) => IpAddr::V4(*address),
                Host::V6(address) => IpAddr::V6(*address),
            };
            match judge_address(address, permit.port(), &permit.opened(), &own) {
                Ok(_) => "passes".to_owned(),
                Err(_) => "guard_address".to_owned(),
            }
        }
        Outcome::Decided(decision) => decision.reason.code.as_str().to_owned(),
    }
}

/// A plain request whose Host is what the target says.
fn get(url: &str) -> String {
    let authority = url.trim_start_matches("http://").split(['/', '?']).next().unwrap();
    let host = authority.rsplit('@').next().unwrap();
    format!("GET {url} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

fn connect(authority: &str) -> String {
    format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n")
}

#[track_caller]
fn check(rows: &[(String, &str)]) {
    let policy = Policy::compile("p.toml", POLICY).unwrap();
    let got: Vec<_> = rows.iter().map(|(head, _)| (head.as_str(), judged(&policy, head))).collect();
    let expected: Vec<_> = rows.iter().map(|(head, expected)| (head.as_str(), (*expected).to_owned())).collect();
    assert_eq!(got, expected);
}

#[test]
fn a_name_is_the_same_however_it_is_written_and_what_only_looks_like_it_is_another() {
    check(&[
        (get("http://a.example/"), "passes"),
        (get("http://a.example./"), "passes"),
        (get("http://A.EXAMPLE/"), "passes"),
        (get("http://a.example../"), "fault bad_host"),
        (get("http://.a.example/"), "fault bad_host"),
        (get("http://a..example/"), "fault bad_host"),
        (get("http://xn--bcher-kva.example/"), "passes"),
        (get("http://XN--BCHER-KVA.example./"), "passes"),
        (get("http://bucher.example/"), "no_rule"),
        // Cyrillic а as an A-label, and as raw bytes.
        (get("http://xn--80a.example/"), "no_rule"),
        (get("http://а.example/"), "fault non_ascii_host"),
        (get("http://%61.example/"), "fault percent_host"),
        (get("http://a%2eexample/"), "fault percent_host"),
        (get("http://a.example%00.b.example/"), "fault percent_host"),
        (get("http://a_b.b.example/"), "passes"),
    ]);
}

#[test]
fn a_pattern_ends_at_the_border_of_a_label() {
    check(&[
        (get("http://x.b.example/"), "passes"),
        (get("http://y.x.b.example/"), "passes"),
        (get("http://b.example/"), "no_rule"),
        (get("http://xb.example/"), "no_rule"),
        (get("http://a.example.evil.example/"), "no_rule"),
        (get("http://x.a.example/"), "no_rule"),
        (get("http://b.example.evil.example/"), "no_rule"),
        (get("http://example/"), "no_rule"),
        (get("http://portal/"), "passes"),
        (get("http://portal.example/"), "no_rule"),
        (get("http://localhost/"), "guard_name"),
        (get("http://x.localhost./"), "guard_name"),
    ]);
}

#[test]
fn a_target_has_no_user_information_no_odd_brackets_and_only_ports_that_are_open() {
    check(&[
        (get("http://a.example@evil.example/"), "fault userinfo"),
        (get("http://evil.example@a.example/"), "fault userinfo"),
        (get("http://user:password@a.example/"), "fault userinfo"),
        (get("http://a.example\\@evil.example/"), "fault userinfo"),
        (get("http://[a.example]/"), "fault bad_bracket"),
        (get("http://[1.1.1.1]/"), "fault bad_bracket"),
        (get("http://[2606:4700::1111/"), "fault bad_bracket"),
        (get("http://2606:4700::1111/"), "fault bad_host"),
        (get("http://[2606:4700::1111]/"), "passes"),
        (get("http://[2606:4700:0::1111]/"), "passes"),
        (get("http://[2606:4700::1111%25eth0]/"), "fault bad_bracket"),
        (get("http://[fe80::1%25eth0]/"), "fault bad_bracket"),
        (get("http://[fe80::1]/"), "guard_address"),
        (get("http://a.example:80/"), "passes"),
        (get("http://a.example:080/"), "fault bad_port"),
        (get("http://a.example:/"), "fault bad_port"),
        (get("http://a.example:443/"), "port_not_opened"),
        (get("http://a.example:81/"), "port_not_opened"),
        (get("http://a.example:0/"), "fault bad_port"),
        (get("http://a.example:65616/"), "fault bad_port"),
        (get("http://a.example:+80/"), "fault bad_port"),
        (get("http://a.example:80:80/"), "fault bad_port"),
        (connect("a.example:443"), "passes"),
        (connect("a.example:22"), "port_not_opened"),
        (connect("a.example"), "fault bad_port"),
    ]);
}

#[test]
fn an_ipv4_address_has_one_form_and_no_other_number_is_one() {
    check(&[
        (get("http://1.1.1.1/"), "passes"),
        (get("http://1.1.1.1./"), "passes"),
        (get("http://127.0.0.1/"), "guard_address"),
        (get("http://10.0.0.1/"), "guard_address"),
        (get("http://0177.0.0.1/"), "fault bad_host"),
        (get("http://0x7f.0.0.1/"), "fault bad_host"),
        (get("http://0x7f000001/"), "fault bad_host"),
        (get("http://2130706433/"), "fault bad_host"),
        (get("http://127.1/"), "fault bad_host"),
        (get("http://127.0.1/"), "fault bad_host"),
        (get("http://017700000001/"), "fault bad_host"),
        (get("http://1.1.1.1.1/"), "fault bad_host"),
        (get("http://1.1.1.256/"), "fault bad_host"),
        (get("http://x.127/"), "fault bad_host"),
        (get("http://127.0.0.1.b.example/"), "passes"),
    ]);
}

#[test]
fn no_disguise_of_loopback_passes_though_a_rule_names_it() {
    let disguises = [
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:7f00:1",
        "0:0:0:0:0:ffff:127.0.0.1",
        "::127.0.0.1",
        "::ffff:0:7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b::127.0.0.1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::1",
        "2001:0:808:808::80ff:fffe",
        "2a00::5efe:7f00:1",
    ];
    for disguise in disguises {
        check(&[
            (get(&format!("http://[{disguise}]/")), "guard_address"),
            (connect(&format!("[{disguise}]:443")), "guard_address"),
        ]);
    }
    check(&[(connect("[2606:4700::1111]:443"), "passes")]);
}

#[test]
fn a_path_that_servers_read_in_two_ways_is_refused_and_never_guessed() {
    let path = |path: &str| get(&format!("http://c.example{path}"));
    check(&[
        (path("/orders/7"), "passes"),
        (path("/orders/7?next=/../admin"), "passes"),
        (path("/orders/%E6%97%A5"), "passes"),
        (path("/orders/7/x"), "no_rule"),
        (path("/Orders/7"), "no_rule"),
        (path("/orders"), "no_rule"),
        (path("/orders/../admin"), "path_ambiguous"),
        (path("/orders/.."), "path_ambiguous"),
        (path("/orders/./7"), "path_ambiguous"),
        (path("/orders/%2e%2e"), "path_ambiguous"),
        (path("/orders/..%2fadmin"), "path_ambiguous"),
        (path("/orders/%2F7"), "path_ambiguous"),
        (path("/orders/%5c7"), "path_ambiguous"),
        (path("/orders/%252e%252e"), "path_ambiguous"),
        (path("/orders/%37"), "path_ambiguous"),
        (path("/orders//7"), "path_ambiguous"),
        (path("/orders/..;/admin"), "path_ambiguous"),
        (path("/x/../orders/7"), "path_ambiguous"),
        (path("/orders\\7"), "path_ambiguous"),
        (path("/orders/7#x"), "fault fragment"),
    ]);
}

#[test]
fn the_method_is_that_of_the_request_line_whatever_fields_say() {
    let ask = |method: &str, field: &str| {
        format!("{method} http://c.example/orders/7 HTTP/1.1\r\nHost: c.example\r\n{field}Content-Length: 0\r\n\r\n")
    };
    check(&[
        (ask("GET", ""), "passes"),
        (ask("POST", ""), "no_rule"),
        (ask("POST", "X-HTTP-Method-Override: GET\r\n"), "no_rule"),
        (ask("POST", "X-HTTP-Method: GET\r\n"), "no_rule"),
        (ask("POST", "X-Method-Override: GET\r\n"), "no_rule"),
        (ask("GET", "X-HTTP-Method-Override: DELETE\r\n"), "passes"),
        (ask("get", ""), "no_rule"),
        (ask("GET ", ""), "fault bad_request_line"),
    ]);
}

#[test]
fn the_target_and_the_host_say_the_same_or_nothing_passes() {
    let ask = |url: &str, host: &str| format!("GET {url} HTTP/1.1\r\n{host}\r\n");
    let connect_to = |authority: &str, host: &str| format!("CONNECT {authority} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    check(&[
        (ask("http://a.example/", "Host: a.example\r\n"), "passes"),
        (ask("http://a.example/", "Host: A.example.:80\r\n"), "passes"),
        (ask("http://a.example/", "Host: evil.example\r\n"), "fault host_mismatch"),
        (ask("http://evil.example/", "Host: a.example\r\n"), "fault host_mismatch"),
        (ask("http://a.example/", "Host: a.example:81\r\n"), "fault host_mismatch"),
        (ask("http://a.example/", "Host: a.example\r\nHost: a.example\r\n"), "fault several_hosts"),
        (ask("http://a.example/", ""), "fault missing_host"),
        (ask("/", "Host: a.example\r\n"), "the gate itself"),
        (connect_to("a.example:443", "a.example:443"), "passes"),
        (connect_to("evil.example:443", "a.example:443"), "fault host_mismatch"),
        (connect_to("a.example:443", "evil.example:443"), "fault host_mismatch"),
    ]);
}

#[test]
fn a_tunnel_and_a_plain_request_to_the_same_host_are_judged_alike() {
    for (host, expected) in [
        ("a.example", "passes"),
        ("A.Example.", "passes"),
        ("x.b.example", "passes"),
        ("evil.example", "no_rule"),
        ("b.example", "no_rule"),
        ("localhost", "guard_name"),
        ("127.0.0.1", "guard_address"),
        ("[::1]", "guard_address"),
        ("127.1", "fault bad_host"),
        ("a.example..", "fault bad_host"),
        ("[fe80::1%25eth0]", "fault bad_bracket"),
    ] {
        check(&[(get(&format!("http://{host}/")), expected), (connect(&format!("{host}:443")), expected)]);
    }
    // Of a tunnel the path is not seen yet: nothing passes before it is.
    check(&[(connect("c.example:443"), "needs InnerRequest")]);
}
