//! Requests inside inspected tunnels: the same reading, the same judgement and the same records as for plain ones.

use std::net::SocketAddr;

use serde_json::Value;

use crate::inspection_lab::{Lab, Terms, get, inner};
use crate::origin::{each, head_of, listener_of_its_own};
use crate::peer::End;
use crate::wire::Class;
use crate::wire_bodies;
use crate::wire_heads::{framing, lines};

#[test]
fn requests_that_come_at_once_are_answered_in_order_and_each_is_on_record() {
    let mut lab = Lab::new("");
    let mut client = lab.open("site.test");
    let paths: Vec<_> = (0..8).map(|number| format!("/{number}")).collect();
    client.send(paths.iter().map(|path| get(path, "site.test")).collect::<String>());
    for path in &paths {
        let answer = client.answer();
        assert!(answer.status() == 200 && answer.text().starts_with(&format!("GET {path} ")), "{}", answer.text());
    }
    drop(client);
    let records = lab.records();
    assert_eq!(inner(&records, "open").len(), paths.len());
}

#[test]
fn two_hundred_requests_on_one_connection_are_two_hundred_on_record() {
    let mut lab = Lab::new("");
    let mut client = lab.open("site.test");
    for number in 0..200 {
        client.send(get(&format!("/{number}"), "site.test"));
        let answer = client.answer();
        assert!(answer.status() == 200 && !answer.closes(), "{number}: {}", answer.head);
    }
    drop(client);
    let records = lab.records();
    let (opened, closed) = (inner(&records, "open"), inner(&records, "close"));
    assert_eq!((opened.len(), closed.len(), lab.origin.requests().len()), (200, 200, 200));
    assert!(closed.iter().all(|close| close["closed_how"] == "complete"), "{closed:#?}");
    let is_tunnel = |record: &&Value| record["method"] == "CONNECT" && record["event"] == "open";
    let tunnels: Vec<_> = records.iter().filter(is_tunnel).collect();
    assert!(tunnels.len() == 1 && opened.iter().all(|open| open["inside"] == tunnels[0]["id"]), "{tunnels:#?}");
}

/// What is written for a plain request to this place, as one to the same place inside a tunnel.
pub(crate) fn inside(payload: &[u8], at: SocketAddr) -> Vec<u8> {
    let mut bytes = payload.to_vec();
    for (from, to) in [(format!("http://{at}"), ""), (at.to_string(), "site.test")] {
        while let Some(place) = bytes.windows(from.len()).position(|window| window == from.as_bytes()) {
            bytes.splice(place..place + from.len(), to.bytes());
        }
    }
    bytes
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_inside_by_the_names_it_is_refused_by_outside() {
    let mut lab = Lab::new("");
    let at = SocketAddr::from(([127, 0, 0, 9], 8009));
    // Those about a CONNECT are of the next test.
    let classes: Vec<Class> = [framing(at), lines(at)].concat();
    let mut names = Vec::new();
    for (name, payloads) in classes.iter().filter(|(name, _)| !name.ends_with("_connect")) {
        let status = if matches!(*name, "head_too_long" | "too_many_fields") { 431 } else { 400 };
        for payload in payloads {
            let payload = inside(payload, at);
            let shown = payload[..payload.len().min(300)].escape_ascii().to_string();
            let mut client = lab.open("site.test");
            let _ = client.try_send(&payload);
            let answer = client.answer();
            assert_eq!(answer.status(), status, "{name}: {shown}: {}", answer.text());
            assert!(answer.text().contains(&format!("Reason: {name}")), "{name}: {shown}: {}", answer.text());
            assert!(answer.closes(), "{name}: {shown} is the last of its connection");
            assert!(client.rest().0.is_empty(), "{name}: {shown}: nothing behind it is read as a request");
            names.push(*name);
        }
    }
    let records = lab.records();
    let refused: Vec<_> = inner(&records, "refused").iter().map(|record| record["reason"].clone()).collect();
    assert_eq!(refused, names);
    assert_eq!(lab.origin.connections(), 0, "nothing was dialled");
}

#[test]
fn a_fault_in_a_body_inside_is_named_as_outside_and_never_whole_at_the_origin() {
    let mut lab = Lab::serving(
        |mut peer, log| {
            peer.head();
            peer.send("HTTP/1.1 100 Continue\r\n\r\n");
            if let Some(request) = peer.request() {
                log.note(&request);
            }
        },
        "",
    );
    let mut names = Vec::new();
    for (name, bodies) in wire_bodies::faults() {
        for body in bodies {
            let shown = body[..body.len().min(300)].escape_ascii().to_string();
            let mut client = lab.open("site.test");
            client.send(
                "POST / HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
            );
            assert_eq!(client.head().unwrap().status(), 100);
            let _ = client.try_send(body);
            let answer = client.answer();
            assert!(answer.status() == 400 && answer.text().contains(name), "{name}: {shown}: {}", answer.text());
            names.push(name);
        }
    }
    let records = lab.records();
    let closed: Vec<_> = inner(&records, "close").iter().map(|record| record["closed_how"].clone()).collect();
    assert_eq!(closed, names);
    assert!(lab.origin.seen().is_empty());
}

/// What is asked inside a tunnel to `site.test` for another place, and what it is refused for.
const ELSEWHERE: [(&str, u16, &str); 10] = [
    ("GET / HTTP/1.1\r\nHost: other.site.test\r\n\r\n", 400, "host_mismatch"),
    ("GET / HTTP/1.1\r\nHost: site.test:444\r\n\r\n", 400, "host_mismatch"),
    ("GET / HTTP/1.1\r\nHost: site.test\r\nHost: other.site.test\r\n\r\n", 400, "several_hosts"),
    ("GET / HTTP/1.1\r\n\r\n", 400, "missing_host"),
    ("GET https://other.site.test/ HTTP/1.1\r\nHost: other.site.test\r\n\r\n", 400, "bad_target"),
    ("GET http://site.test/ HTTP/1.1\r\nHost: site.test\r\n\r\n", 400, "bad_target"),
    ("GET https://site.test/ HTTP/1.1\r\nHost: site.test\r\n\r\n", 400, "bad_target"),
    ("GET //other.site.test/ HTTP/1.1\r\nHost: other.site.test\r\n\r\n", 400, "host_mismatch"),
    ("CONNECT other.site.test:443 HTTP/1.1\r\nHost: other.site.test:443\r\n\r\n", 403, "nested_connect"),
    ("CONNECT site.test:443 HTTP/1.1\r\nHost: site.test:443\r\nContent-Length: 5\r\n\r\nearly", 403, "nested_connect"),
];

#[test]
fn a_tunnel_leads_to_the_host_it_was_asked_for_and_nowhere_else() {
    let mut lab = Lab::new("");
    for (request, status, reason) in ELSEWHERE {
        let mut client = lab.open("site.test");
        client.send(request);
        let answer = client.answer();
        assert_eq!(answer.status(), status, "{request}: {}", answer.text());
        assert!(answer.text().contains(&format!("Reason: {reason}")), "{request}: {}", answer.text());
        assert!(answer.closes() && client.rest().0.is_empty(), "{request}");
    }
    // In clear, where a hello is waited for.
    let mut client = lab.tunnel("site.test");
    client.send("CONNECT other.site.test:443 HTTP/1.1\r\nHost: other.site.test:443\r\n\r\n");
    assert_eq!(client.rest(), (Vec::new(), End::Closed));
    // The nearest that may pass: a port that is the scheme's own, and letters of any case.
    let mut client = lab.open("site.test");
    for host in ["site.test", "SITE.test", "site.test:443", "site.test."] {
        client.send(get("/", host));
        let answer = client.answer();
        assert_eq!(answer.status(), 200, "{host}: {}", answer.text());
        assert!(answer.text().contains("\r\nHost: site.test\r\n"), "{host}: {}", answer.text());
    }
    drop(client);
    let records = lab.records();
    let refused: Vec<_> = inner(&records, "refused").iter().map(|record| record["reason"].clone()).collect();
    assert_eq!(refused, ELSEWHERE.map(|(_, _, reason)| reason));
    let nested = records.iter().filter(|record| record["reason"] == "nested_connect" && record.get("inside").is_none());
    assert_eq!(nested.count(), 1);
    assert_eq!((lab.origin.requests().len(), lab.names.asked()), (4, vec!["site.test".to_owned()]));
}

/// Requests of a mixed run, with more fields than most, and what each is refused for, if it is.
fn mixed() -> Vec<(String, Option<&'static str>)> {
    let whole = |method: &str, path: &str, more: &str, body: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: site.test\r\nUser-Agent: tests/1\r\nX-Odd:   spaced\r\n\
             aCCept: */*\r\nCookie: a=b\r\nCookie: c=d\r\nAuthorization: Bearer x\r\nSec-Fetch-Mode: cors\r\n{more}\r\n{body}"
        )
    };
    vec![
        (whole("GET", "/open/a?x=1&y=%20", "", ""), None),
        (whole("GET", "/closed", "", ""), Some("no_rule")),
        (whole("POST", "/open/b", "Content-Length: 3\r\n", "abc"), None),
        (
            whole(
                "POST",
                "/open/c",
                "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n",
                "3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n",
            ),
            None,
        ),
        (whole("POST", "/closed/b", "Content-Length: 3\r\n", "abc"), Some("no_rule")),
        (whole("HEAD", "/open/d", "", ""), None),
        (whole("DELETE", "/open/e", "If-Match: \"x\"\r\n", ""), None),
        (whole("OPTIONS", "/open/f", "Origin: https://a.test\r\n", ""), None),
        (whole("GET", "/open/../closed", "", ""), Some("path_ambiguous")),
        (whole("GET", "/open/g", "X : a\r\n", ""), Some("space_before_colon")),
        (
            whole("POST", "/open/h", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            Some("content_length_and_transfer_encoding"),
        ),
        (whole("GET", "/open/i", "Connection: X-Hop\r\nX-Hop: 1\r\nProxy-Authorization: Basic eDp5\r\n", ""), None),
        (whole("CONNECT", "/open/j", "", ""), Some("nested_connect")),
        (whole("GET", "/open/k", "", "").replace("Host: site.test", "Host: other.site.test"), Some("host_mismatch")),
    ]
}

#[test]
fn as_many_decisions_let_out_as_the_origin_saw_and_it_saw_nothing_of_ours_but_via_and_what_a_rule_sets() {
    let terms = Terms { keys: "paths = [\"/open/**\"]\nset_headers = [\"X-Tenant: example\"]", ..Terms::default() };
    let mut lab = Lab::with(listener_of_its_own(443), each(head_of), &terms);
    let requests = mixed();
    for round in 0..3 {
        // On connections of their own, and all that leave it standing on one.
        let mut shared = lab.open("site.test");
        for (request, reason) in &requests {
            let keeps = reason.is_none() || request.starts_with("GET /closed ");
            let mut own = (round == 0 || !keeps).then(|| lab.open("site.test"));
            let client = own.as_mut().unwrap_or(&mut shared);
            client.send(request);
            let method = request.split(' ').next().unwrap();
            let answer = client.answer_to(method);
            assert_eq!(answer.status() == 200, reason.is_none(), "{request}: {}{}", answer.head, answer.text());
        }
    }
    let records = lab.records();
    let (opened, refused) = (inner(&records, "open"), inner(&records, "refused"));
    let passing: Vec<_> = requests.iter().filter(|(_, reason)| reason.is_none()).collect();
    let seen = lab.origin.requests();
    assert_eq!((opened.len(), seen.len()), (passing.len() * 3, passing.len() * 3));
    assert_eq!(opened.len() + refused.len(), requests.len() * 3, "one decision a request");
    let ids: std::collections::HashSet<_> = opened.iter().chain(&refused).map(|record| record["id"].as_str()).collect();
    assert_eq!(ids.len(), requests.len() * 3);
    let reasons: Vec<_> = refused.iter().map(|record| record["reason"].as_str()).collect();
    let expected: Vec<_> = requests.iter().map(|(_, reason)| *reason).filter(Option::is_some).collect();
    assert_eq!(reasons, expected.repeat(3));
    // In the order of the decisions, each with the place that was decided on.
    for (record, request) in opened.iter().zip(&seen) {
        let place = format!("{} {}", record["method"].as_str().unwrap(), record["path"].as_str().unwrap());
        assert!(request.line().starts_with(&place), "{place}: {}", request.line());
    }
    let hops = ["connection", "x-hop", "proxy-authorization"];
    for ((sent, _), got) in passing.iter().cycle().zip(&seen) {
        let head = sent.split("\r\n\r\n").next().unwrap();
        let is_hop = |line: &&str| {
            let name = line.split(':').next().unwrap_or_default();
            hops.iter().any(|hop| name.eq_ignore_ascii_case(hop))
        };
        let kept = head.lines().filter(|line| !is_hop(line)).map(|line| line.replace(":   ", ": "));
        let expected: Vec<_> = kept.chain(["Via: 1.1 sekisho".to_owned(), "X-Tenant: example".to_owned()]).collect();
        let mut got: Vec<_> = got.head.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        let via = got.iter().position(|line| line.starts_with("Via: 1.1 ")).unwrap();
        got[via] = "Via: 1.1 sekisho".to_owned();
        assert_eq!(got, expected);
    }
    let tunnels: Vec<&Value> =
        records.iter().filter(|record| record["method"] == "CONNECT" && record["event"] == "open").collect();
    assert!(opened.iter().chain(&refused).all(|of| tunnels.iter().any(|tunnel| tunnel["id"] == of["inside"])));
}
