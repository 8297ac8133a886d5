//! Bodies in motion inside inspected tunnels: large ones, none where there can be none, and broken ends.

use serde_json::Value;

use crate::gate::event_of;
use crate::inspection_lab::{Lab, Terms, get, inner};
use crate::origin::{each, head_of, listener_of_its_own};
use crate::peer::{End, Message, Peer};

const UPLOAD_BYTES: usize = 20 << 20;
const DOWNLOAD_BYTES: usize = 50 << 20;
/// What the gate may hold at the most, whatever goes through it. Without a load a debug build holds a tenth.
const MEMORY_BYTES_MAX: u64 = 200 << 20;

/// Octets of which no part looks like another that is near.
fn octets(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8).collect()
}

fn request(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: site.test\r\n{fields}\r\n")
}

/// How the only request inside ended.
fn closed(lab: &mut Lab) -> (String, String) {
    let records = lab.records();
    let closes = inner(&records, "close");
    assert_eq!(closes.len(), 1, "{closes:#?}");
    let text = |key: &str| closes[0][key].as_str().unwrap().to_owned();
    (text("closed_by"), text("closed_how"))
}

/// The record by which the only tunnel was closed.
fn tunnel_closed(records: &[Value]) -> &Value {
    let is_tunnel = |record: &&Value| record["event"] == "open" && record["method"] == "CONNECT";
    event_of(records, "close", &records.iter().find(is_tunnel).unwrap()["id"])
}

fn by(party: &str, how: &str) -> (String, String) {
    (party.to_owned(), how.to_owned())
}

#[test]
fn a_connection_inside_that_lies_idle_is_closed_by_the_gate_in_tls_as_well() {
    let terms = Terms { config: "[limits]\nkeep_alive_seconds = 1\n", ..Terms::default() };
    let mut lab = Lab::with(listener_of_its_own(443), each(head_of), &terms);
    let mut client = lab.open("site.test");
    client.send(get("/", "site.test"));
    assert_eq!(client.answer().status(), 200);
    assert_eq!(client.rest(), (Vec::new(), End::Closed));
    drop(client);
    let records = lab.records();
    let close = tunnel_closed(&records);
    assert_eq!((&close["closed_by"], &close["closed_how"]), (&"gate".into(), &"closed".into()), "{close}");
}

#[test]
fn large_uploads_arrive_whole_by_length_and_in_chunks_and_the_record_counts_them() {
    let mut lab = Lab::new("");
    let body = octets(UPLOAD_BYTES);
    let mut client = lab.open("site.test");
    client.send(request("POST", "/length", &format!("Content-Length: {UPLOAD_BYTES}\r\n")));
    client.send(&body);
    assert_eq!(client.answer().status(), 200);
    client.send(request("POST", "/chunks", "Transfer-Encoding: chunked\r\n"));
    for chunk in body.chunks(99_991) {
        client.send([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    }
    client.send("0\r\n\r\n");
    let answer = client.answer();
    assert!(answer.status() == 200 && !answer.closes(), "{}", answer.head);
    drop(client);
    for request in lab.origin.requests() {
        assert!(request.whole && request.body == body, "{}: {}", request.line(), request.body.len());
    }
    assert!(lab.gate.peak_memory() < MEMORY_BYTES_MAX, "{}", lab.gate.peak_memory());
    let records = lab.records();
    let closes = inner(&records, "close");
    assert_eq!(closes.len(), 2);
    for close in closes {
        let up = close["bytes_up"].as_u64().unwrap() as usize;
        assert!((UPLOAD_BYTES..UPLOAD_BYTES + (64 << 10)).contains(&up), "{close}");
    }
}

#[test]
fn a_client_that_stops_halfway_or_is_cut_off_is_named_and_its_request_never_whole_at_the_origin() {
    for (framing, sent) in [("Content-Length: 1000000\r\n", "abc"), ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n")]
    {
        for is_cut in [false, true] {
            let mut lab = Lab::new("");
            let mut client = lab.open("site.test");
            client.send(format!("{}{sent}", request("PUT", "/", framing)));
            while !lab.origin.bytes().concat().ends_with(sent.as_bytes()) {}
            if is_cut {
                client.reset();
            } else {
                client.finish();
                client.rest();
            }
            let records = lab.records();
            let close = inner(&records, "close")[0];
            assert_eq!(close["closed_by"], "client", "{framing} {is_cut}: {close}");
            let tunnel = tunnel_closed(&records);
            let told = (tunnel["closed_by"].as_str(), tunnel["closed_how"].as_str());
            let how = if is_cut { "reset" } else { "closed" };
            assert_eq!(told, (Some("gate"), Some(how)), "{framing} {is_cut}: {tunnel}");
            assert!(lab.origin.seen().is_empty(), "{framing} {is_cut}");
        }
    }
}

#[test]
fn a_large_download_comes_whole_and_is_not_held() {
    let mut lab = Lab::serving(
        |mut peer, log| {
            while let Some(request) = peer.request() {
                log.note(&request);
                peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {DOWNLOAD_BYTES}\r\n\r\n"));
                if request.line().starts_with("GET") {
                    peer.send(octets(DOWNLOAD_BYTES));
                }
            }
        },
        "",
    );
    let mut client = lab.open("site.test");
    client.send(get("/", "site.test"));
    let answer = client.answer();
    assert!(answer.whole && answer.body == octets(DOWNLOAD_BYTES), "{}", answer.body.len());
    client.send(request("HEAD", "/", ""));
    assert_eq!(client.answer_to("HEAD").field("content-length"), Some(&*DOWNLOAD_BYTES.to_string()));
    assert!(lab.gate.peak_memory() < MEMORY_BYTES_MAX, "{}", lab.gate.peak_memory());
    drop(client);
    let records = lab.records();
    assert!(inner(&records, "close")[0]["bytes_down"].as_u64().unwrap() > DOWNLOAD_BYTES as u64);
}

#[test]
fn answers_that_have_no_body_are_followed_by_the_next_on_the_same_connection() {
    let lab = Lab::serving(
        |mut peer, log| {
            while let Some(request) = peer.request() {
                log.note(&request);
                let status = request.line().split(['/', ' ']).nth(2).unwrap().to_owned();
                let fields = match &*status {
                    "204" => "",
                    "304" => "ETag: \"x\"\r\nContent-Length: 7\r\n",
                    _ => "Content-Length: 4\r\n",
                };
                let body =
                    if request.line().starts_with("HEAD") || matches!(&*status, "204" | "304") { "" } else { "body" };
                peer.send(format!("HTTP/1.1 {status} X\r\n{fields}\r\n{body}"));
            }
        },
        "",
    );
    let mut client = lab.open("site.test");
    for (method, status) in [("GET", 204), ("GET", 200), ("GET", 304), ("HEAD", 200), ("GET", 200), ("HEAD", 404)] {
        client.send(request(method, &format!("/{status}"), ""));
        let answer = client.answer_to(method);
        assert!(answer.status() == status && !answer.closes(), "{method}: {}", answer.head);
        assert_eq!(answer.text(), if method == "GET" && status == 200 { "body" } else { "" });
    }
    assert_eq!((lab.origin.requests().len(), lab.origin.connections()), (6, 1));
}

#[test]
fn a_go_ahead_and_other_interim_answers_come_from_the_origin_and_before_the_body() {
    let mut lab = Lab::serving(
        |mut peer, log| {
            let head = peer.head().unwrap();
            assert_eq!(head.field("expect"), Some("100-continue"));
            peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
            log.note(&peer.body(head));
            peer.send("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
            peer.rest();
        },
        "",
    );
    let mut client = lab.open("site.test");
    client.send(request("POST", "/", "Expect: 100-continue\r\nContent-Length: 3\r\n"));
    assert_eq!([(); 2].map(|()| client.answer().status()), [103, 100]);
    client.send("abc");
    assert_eq!(client.answer().status(), 201);
    drop(client);
    assert_eq!(lab.origin.requests()[0].text(), "abc");
    assert_eq!(closed(&mut lab), by("origin", "complete"));
}

#[test]
fn trailers_pass_both_ways_inside() {
    let lab = Lab::serving(
        |mut peer, log| {
            log.note(&peer.request().unwrap());
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndown\r\n0\r\nX-Down: 2\r\n\r\n");
            peer.rest();
        },
        "",
    );
    let mut client = lab.open("site.test");
    client.send(format!("{}2\r\nup\r\n0\r\nX-Up: 1\r\n\r\n", request("POST", "/", "Transfer-Encoding: chunked\r\n")));
    let answer = client.answer();
    assert_eq!((answer.text().as_str(), answer.trailers.as_str()), ("down", "X-Down: 2\r\n"));
    assert_eq!(lab.origin.requests()[0].trailers, "X-Up: 1\r\n");
}

/// How an origin ends its answer.
type Ends = fn(Peer);

#[test]
fn an_answer_without_a_length_is_whole_only_where_tls_says_that_it_ends() {
    let ends: [(Ends, bool); 3] = [
        (|mut peer| peer.finish(), true),
        // As if whoever stands between had cut the connection: TLS was not closed.
        (|peer| peer.stream().shutdown(std::net::Shutdown::Write).unwrap(), false),
        (|peer| peer.reset(), false),
    ];
    for (end, is_whole) in ends {
        let mut lab = Lab::serving(
            move |mut peer, _| {
                peer.request();
                peer.send("HTTP/1.1 200 OK\r\n\r\nabcd");
                end(peer);
            },
            "",
        );
        let mut client = lab.open("site.test");
        client.send(get("/", "site.test"));
        let answer: Message = client.answer();
        let got = answer.status() == 200 && answer.whole && answer.text() == "abcd";
        assert_eq!(got, is_whole, "{answer:?}");
        drop(client);
        let (party, how) = closed(&mut lab);
        assert_eq!((party.as_str(), how == "complete"), ("origin", is_whole), "{how}");
    }
}

#[test]
fn an_origin_that_stops_in_mid_body_is_seen_by_the_client_inside() {
    for head in ["Content-Length: 10\r\n\r\nabcd", "Transfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n"] {
        let mut lab = Lab::serving(
            move |mut peer, _| {
                peer.request();
                peer.send(format!("HTTP/1.1 200 OK\r\n{head}"));
                peer.finish();
            },
            "",
        );
        let mut client = lab.open("site.test");
        client.send(get("/", "site.test"));
        let answer = client.answer();
        assert!(!answer.whole, "{head:?}: {answer:?}");
        assert_eq!(client.rest().1, End::Reset, "{head:?}: no close of TLS makes it look whole");
        drop(client);
        assert_eq!(closed(&mut lab), by("origin", "body_too_short"), "{head:?}");
    }
}
