//! The nearest neighbours of what is refused: each passes, and the origin sees the one meaning.

use crate::gate::Gate;
use crate::name_server::NameServer;
use crate::origin::{Origin, listener_of_its_own};
use crate::peer::Message;

struct Lab {
    origin: Origin,
    names: NameServer,
    gate: Gate,
}

fn lab() -> Lab {
    let origin = Origin::start();
    let names = NameServer::pointing_to(origin.address.ip());
    let policy = format!("{}{}", origin.policy(), origin.rule_for("*.test", ""));
    let gate = Gate::configured(&policy, &names.config());
    Lab { origin, names, gate }
}

impl Lab {
    /// Sends a request in which `AT` stands for the origin's address and `PORT` for its port; what
    /// the origin saw of it.
    fn pass(&self, request: &str) -> Message {
        let before = self.origin.requests().len();
        let mut client = self.gate.client();
        client.send(self.fill(request));
        let answer = client.answer();
        assert_eq!(answer.status(), 200, "{request:?}: {}", answer.text());
        let mut seen = self.origin.requests().split_off(before);
        assert_eq!(seen.len(), 1, "{request:?}: {seen:?}");
        seen.remove(0)
    }

    fn fill(&self, text: &str) -> String {
        text.replace("AT", &self.origin.address.to_string()).replace("PORT", &self.origin.address.port().to_string())
    }
}

/// Field lines that frame a body, and the body.
const LENGTHS: [(&str, &str); 7] = [
    ("Content-Length: 3", "abc"),
    ("content-length:3", "abc"),
    ("Content-Length: \t 3 \t", "abc"),
    ("Content-Length: 003", "abc"),
    ("Content-Length: 0", ""),
    ("Content-Lengths: 9\r\nContent-Length: 3", "abc"),
    ("TE: chunked\r\nContent-Length: 3", "abc"),
];

/// Field lines, and what the origin sees of one of them.
const LINES: [(&str, &str, Option<&str>); 9] = [
    ("X:a", "X", Some("a")),
    ("X:", "X", Some("")),
    ("X: \t a \t ", "X", Some("a")),
    ("X: a\tb: c", "X", Some("a\tb: c")),
    ("X: caf\u{e9} 関所", "X", Some("caf\u{e9} 関所")),
    ("x_Y.z~!: a", "x_Y.z~!", Some("a")),
    ("Connection: , close,,", "Connection-Free", None),
    ("Connection: keep-alive\r\nUpgrade: h2cx", "Upgrade", None),
    ("Connection: Upgrade\r\nUpgrade: TLS/1.0", "Upgrade", None),
];

/// Large sites serve from such names: hyphens in the third and fourth place, at a label's end, underscores.
const NAMES: [&str; 6] = ["r3---sn-4g5e6n7k.test", "a-.test", "a--b.test", "_a.test", "a_b.test", "-a.test"];

fn with_length(lines: &str, body: &str) -> String {
    format!("POST http://AT/ HTTP/1.1\r\nHost: AT\r\n{lines}\r\n\r\n{body}")
}

fn with_line(line: &str) -> String {
    format!("GET http://AT/ HTTP/1.1\r\nHost: AT\r\n{line}\r\n\r\n")
}

fn of(target: &str, host: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// Whole heads, and the line that the origin sees.
fn heads() -> Vec<(String, String)> {
    let method = "M".repeat(32);
    [
        ("\r\nGET http://AT/ HTTP/1.1\r\nHost: AT\r\n\r\n", "GET / HTTP/1.1"),
        ("GET http://AT/ HTTP/1.0\r\n\r\n", "GET / HTTP/1.1"),
        ("M-SEARCH http://AT/ HTTP/1.1\r\nHost: AT\r\n\r\n", "M-SEARCH / HTTP/1.1"),
        ("!#$%&'*+-.^_`|~ http://AT/ HTTP/1.1\r\nHost: AT\r\n\r\n", "!#$%&'*+-.^_`|~ / HTTP/1.1"),
        (&format!("{method} http://AT/ HTTP/1.1\r\nHost: AT\r\n\r\n"), &format!("{method} / HTTP/1.1")),
    ]
    .map(|(head, line)| (head.to_owned(), line.to_owned()))
    .to_vec()
}

/// Targets and Hosts, and the line and the Host that the origin sees.
fn targets() -> Vec<[String; 4]> {
    let label = "a".repeat(63);
    [
        ["http://AT/", "AT", "GET / HTTP/1.1", "AT"],
        ["HTTP://AT", "127.0.0.1", "GET / HTTP/1.1", "AT"],
        ["http://AT?q=1", "AT", "GET /?q=1 HTTP/1.1", "AT"],
        ["http://AT//b.example/", "AT", "GET //b.example/ HTTP/1.1", "AT"],
        ["http://AT/@b.example", "AT", "GET /@b.example HTTP/1.1", "AT"],
        [
            "http://AT/%00%0d%0a%2e%2e/..;/'\"<>{}|\\^`[]",
            "AT",
            "GET /%00%0d%0a%2e%2e/..;/'\"<>{}|\\^`[] HTTP/1.1",
            "AT",
        ],
        ["http://A.Test:PORT/", "a.test:PORT", "GET / HTTP/1.1", "a.test:PORT"],
        ["http://a.test.:PORT/", "A.TEST", "GET / HTTP/1.1", "a.test:PORT"],
        ["http://0x7f.test:PORT/", "0x7f.test:PORT", "GET / HTTP/1.1", "0x7f.test:PORT"],
        ["http://127.0.0.1.test:PORT/", "127.0.0.1.test:PORT", "GET / HTTP/1.1", "127.0.0.1.test:PORT"],
        ["http://2130706433.test:PORT/", "2130706433.test:PORT", "GET / HTTP/1.1", "2130706433.test:PORT"],
        ["http://xn--bcher-kva.test:PORT/", "xn--bcher-kva.test:PORT", "GET / HTTP/1.1", "xn--bcher-kva.test:PORT"],
        [
            &format!("http://{label}.test:PORT/"),
            &format!("{label}.test:PORT"),
            "GET / HTTP/1.1",
            &format!("{label}.test:PORT"),
        ],
    ]
    .map(|row| row.map(str::to_owned))
    .to_vec()
}

/// Heads as large as may be: in fields, in bytes, in connection options.
fn bounds() -> [String; 3] {
    let options = (0..32).map(|n| format!("x{n}")).collect::<Vec<_>>().join(", ");
    [
        format!("GET http://AT/ HTTP/1.1\r\nHost: AT\r\n{}\r\n", "X: a\r\n".repeat(127)),
        with_line(&format!("X: {}", "a".repeat(63 << 10))),
        with_line(&format!("X31: a\r\nX32: b\r\nConnection: {options}")),
    ]
}

/// Every request of the tables here, in which `AT` stands for the origin's address and `PORT` for its port.
pub(crate) fn requests() -> Vec<String> {
    let mut requests: Vec<_> = LENGTHS.iter().map(|(lines, body)| with_length(lines, body)).collect();
    requests.extend(LINES.iter().map(|(line, ..)| with_line(line)));
    requests.extend(NAMES.iter().map(|name| of(&format!("http://{name}:PORT/"), name)));
    requests.extend(heads().into_iter().map(|(head, _)| head));
    requests.extend(targets().iter().map(|[target, host, ..]| of(target, host)));
    requests.extend(bounds());
    requests
}

#[test]
fn lengths_near_the_refused_ones_pass_as_one_length() {
    let lab = lab();
    for (lines, body) in LENGTHS {
        let seen = lab.pass(&with_length(lines, body));
        assert_eq!(seen.all("content-length"), [body.len().to_string()], "{lines}");
        assert_eq!((seen.text().as_str(), seen.field("transfer-encoding")), (body, None), "{lines}");
    }
    let seen = lab.pass("GET http://AT/ HTTP/1.1\r\nHost: AT\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!((seen.line(), seen.text().as_str()), ("GET / HTTP/1.1", "abc"), "a GET may have a body");
}

#[test]
fn heads_near_the_refused_ones_pass() {
    let lab = lab();
    for (request, line) in heads() {
        assert_eq!(lab.pass(&request).line(), line, "{request:?}");
    }
    for (line, name, value) in LINES {
        let seen = lab.pass(&with_line(line));
        assert_eq!(seen.field(name), value, "{line:?}: {}", seen.head);
    }
}

#[test]
fn heads_at_their_bounds_pass() {
    let lab = lab();
    let [fields, bytes, options] = bounds();
    assert_eq!(lab.pass(&fields).all("x").len(), 127);
    assert_eq!(lab.pass(&bytes).field("x"), Some("a".repeat(63 << 10).as_str()));
    let seen = lab.pass(&options);
    assert_eq!((seen.field("x31"), seen.field("x32")), (None, Some("b")));
}

#[test]
fn targets_near_the_refused_ones_pass_and_the_host_sent_is_the_one_judged() {
    let lab = lab();
    for [target, host, line, seen_host] in &targets() {
        let seen = lab.pass(&of(target, host));
        assert_eq!(seen.line(), line, "{target}");
        assert_eq!(seen.all("host"), [lab.fill(seen_host)], "{target}");
    }
    assert!(lab.names.asked().contains(&"a.test".to_owned()), "{:?}", lab.names.asked());
}

#[test]
fn the_default_port_is_the_same_place_written_or_not() {
    let origin = Origin::start_on(listener_of_its_own(80));
    let names = NameServer::pointing_to(origin.address.ip());
    let policy = "[[rule]]\nname = \"a\"\nhosts = [\"a.test\"]\nprivate = [\"127.0.0.0/8\"]\nverdict = \"allow\"\n";
    let gate = Gate::configured(policy, &names.config());
    for (target, host) in
        [("a.test", "a.test"), ("a.test:80", "a.test"), ("a.test", "a.test:80"), ("a.test:80", "A.test.:80")]
    {
        let mut client = gate.client();
        client.send(format!("GET http://{target}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(client.answer().status(), 200, "{target} {host}");
        assert_eq!(origin.requests().pop().unwrap().all("host"), ["a.test"], "{target} {host}");
    }
    for (target, host) in [("a.test", "a.test:8080"), ("a.test:8080", "a.test:80"), ("a.test", "b.test")] {
        let mut client = gate.client();
        client.send(format!("GET http://{target}/ HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let answer = client.answer();
        assert!(
            answer.status() == 400 && answer.text().contains("host_mismatch"),
            "{target} {host}: {}",
            answer.text()
        );
    }
    assert_eq!(origin.requests().len(), 4);
}

#[test]
fn places_that_are_well_written_are_judged_and_not_called_malformed() {
    let mut gate = Gate::start("");
    let cases = [
        ("http://[::1]/", "no_rule"),
        ("http://[2001:db8::1]:80/", "no_rule"),
        ("http://[::ffff:127.0.0.1]/", "no_rule"),
        ("http://a.example:65535/", "port_not_opened"),
        ("http://a.example:1/", "port_not_opened"),
        ("http://8.8.8.8/", "no_rule"),
        ("http://localhost/", "guard_name"),
        ("http://a.invalid/", "guard_name"),
    ];
    for (target, reason) in cases {
        let mut client = gate.client();
        let host = target.trim_start_matches("http://").trim_end_matches('/');
        client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let answer = client.answer();
        assert!(answer.status() == 403 && answer.text().contains(reason), "{target}: {}", answer.text());
    }
    let refused = gate.events("refused");
    let reasons: Vec<_> = refused.iter().map(|record| record["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, cases.map(|(_, reason)| reason));
}

#[test]
fn names_that_no_registrar_sells_and_yet_exist_are_resolved() {
    let lab = lab();
    for name in NAMES {
        let seen = lab.pass(&of(&format!("http://{name}:PORT/"), name));
        assert_eq!(seen.all("host"), [lab.fill(&format!("{name}:PORT"))]);
    }
}
