//! Faults in a chunked body come after forwarding began: the exchange is on record as opened, the
//! origin never sees a whole request, and the client is told unless an answer had begun.

use crate::gate::{Gate, event_of};
use crate::origin::Origin;
use crate::wire::Class;

/// Bodies behind a head that says `Transfer-Encoding: chunked`, by the name of their fault.
pub(crate) fn faults() -> Vec<Class> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>();
    let behind =
        |texts: &[&str]| texts.iter().map(|text| format!("3\r\nabc\r\n{text}").into_bytes()).collect::<Vec<_>>();
    let trailers = vec!["X: a\r\n"; 33].concat();
    let long = format!("X: {}\r\n", "a".repeat(9 << 10));
    vec![
        (
            "bad_chunk_size",
            texts(&[
                "0x3\r\nabc\r\n0\r\n\r\n",
                "+3\r\nabc\r\n0\r\n\r\n",
                "-3\r\nabc\r\n0\r\n\r\n",
                " 3\r\nabc\r\n0\r\n\r\n",
                "3 \r\nabc\r\n0\r\n\r\n",
                "0_3\r\nabc\r\n0\r\n\r\n",
                "g\r\n",
                "\r\n",
                "\t3\r\nabc\r\n0\r\n\r\n",
                "３\r\n",
                "8000000000000000\r\n",
                "ffffffffffffffff\r\n",
                "3,\r\nabc\r\n0\r\n\r\n",
            ]),
        ),
        (
            "bad_chunk_extension",
            texts(&["3;a=b\r\nabc\r\n0\r\n\r\n", "3;\r\nabc\r\n0\r\n\r\n", "3;\n\r\nabc\r\n0\r\n\r\n", "0;a\r\n\r\n"]),
        ),
        (
            "chunk_too_long",
            texts(&[
                "00000000000000003\r\nabc\r\n0\r\n\r\n",
                "10000000000000000\r\n",
                "00000000000000000000000000000000\r\n\r\n",
            ]),
        ),
        (
            "bad_chunk_end",
            texts(&[
                "3\r\nabcd\r\n0\r\n\r\n",
                "3\r\nabcXX0\r\n\r\n",
                "3\r\nabc\r0\r\n\r\n",
                "3\r\nabc\n0\r\n\r\n",
                "3\r\nabc0\r\n\r\n",
            ]),
        ),
        ("bare_lf", texts(&["3\nabc\r\n0\r\n\r\n", "\n"])),
        ("bare_cr", texts(&["3\rabc\r\n0\r\n\r\n", "3\r\r\nabc\r\n0\r\n\r\n"])),
        (
            "bad_trailer",
            behind(&[
                "0\r\nX : a\r\n\r\n",
                "0\r\nX: a\n\r\n",
                "0\r\n X: a\r\n\r\n",
                "0\r\nX\r\n\r\n",
                "0\r\nX: a\r\n b\r\n\r\n",
                "0\r\nX: \0\r\n\r\n",
                "0\r\n\n",
                &format!("0\r\n{trailers}\r\n"),
                &format!("0\r\n{long}\r\n"),
            ]),
        ),
        (
            "forbidden_trailer",
            behind(&[
                "0\r\nContent-Length: 3\r\n\r\n",
                "0\r\nTransfer-Encoding: chunked\r\n\r\n",
                "0\r\nHost: b.example\r\n\r\n",
                "0\r\nX: a\r\nauthorization: b\r\n\r\n",
                "0\r\nConnection: close\r\n\r\n",
                "0\r\nCookie: a=b\r\n\r\n",
            ]),
        ),
    ]
}

fn head(origin: &Origin, framing: &str) -> String {
    let at = origin.address;
    format!("POST http://{at}/upload HTTP/1.1\r\nHost: {at}\r\n{framing}\r\n\r\n")
}

#[test]
fn a_fault_in_a_chunked_body_is_answered_and_the_origin_never_sees_a_whole_request() {
    // It asks for the body, so each fault comes when the exchange is under way.
    let origin = Origin::serving(|mut peer, log| {
        peer.head();
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        if let Some(request) = peer.request() {
            log.note(&request);
        }
    });
    let mut gate = Gate::start(&origin.policy());
    let mut names = Vec::new();
    for (name, bodies) in faults() {
        for body in bodies {
            let shown = body[..body.len().min(100)].escape_ascii().to_string();
            let mut client = gate.client();
            client.send(head(&origin, "Transfer-Encoding: chunked\r\nExpect: 100-continue"));
            assert_eq!(client.head().unwrap().status(), 100);
            let _ = client.try_send(&body);
            let answer = client.head().unwrap_or_else(|| panic!("{name}: {shown} has no answer"));
            let answer = client.body(answer);
            assert_eq!(answer.status(), 400, "{name}: {shown}: {}", answer.text());
            assert!(answer.text().contains(name), "{name}: {shown}: {}", answer.text());
            assert!(answer.closes() && client.rest().0.is_empty(), "{name}: {shown} is the last of its connection");
            names.push(name);
        }
    }
    assert_eq!(origin.seen(), Vec::<String>::new());
    closed_as(&gate.records(), &names, "client");
}

#[test]
fn a_fault_that_came_with_the_head_is_refused_before_anything_is_dialled() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let mut names = Vec::new();
    for (name, bodies) in faults() {
        // Longer ones arrive in pieces.
        for body in bodies.into_iter().filter(|body| body.len() < 1000) {
            let mut client = gate.client();
            client.send([head(&origin, "Transfer-Encoding: chunked").as_bytes(), &body].concat());
            let answer = client.answer();
            assert_eq!(answer.status(), 400, "{name}: {}", answer.text());
            assert!(answer.text().contains(name), "{name}: {}", answer.text());
            names.push(name);
        }
    }
    assert_eq!(origin.connections(), 0);
    let reasons: Vec<_> = gate.events("refused").iter().map(|record| record["reason"].clone()).collect();
    assert_eq!(reasons, names);
}

/// Each exchange was opened, and closed with one of these names by this party.
fn closed_as(records: &[serde_json::Value], names: &[&str], by: &str) {
    let opened: Vec<_> = records.iter().filter(|record| record["event"] == "open").collect();
    assert_eq!(opened.len(), names.len(), "every exchange was opened");
    for (open, name) in opened.iter().zip(names) {
        let close = event_of(records, "close", &open["id"]);
        assert_eq!((&close["closed_how"], &close["closed_by"]), (&(*name).into(), &by.into()), "{close}");
    }
}

#[test]
fn a_body_that_ends_too_soon_is_the_clients_fault_and_never_whole_at_the_origin() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let short = [
        ("Content-Length: 10", "abc"),
        ("Transfer-Encoding: chunked", "3\r\nabc\r\n"),
        ("Transfer-Encoding: chunked", "0\r\n"),
    ];
    for (framing, body) in short {
        let mut client = gate.client();
        client.send(format!("{}{body}", head(&origin, framing)));
        client.finish();
        client.rest();
    }
    assert_eq!(origin.seen(), Vec::<String>::new());
    closed_as(&gate.records(), &["body_too_short"; 3], "client");
}

#[test]
fn good_chunks_pass_whatever_their_sizes_and_the_origin_sees_one_meaning() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let bodies = [
        ("3\r\nabc\r\n0\r\n\r\n", "abc", ""),
        ("0\r\n\r\n", "", ""),
        ("0000000000000003\r\nabc\r\n0000\r\n\r\n", "abc", ""),
        ("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789", ""),
        ("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n", ""),
        ("3\r\nabc\r\n0\r\nX-Sum: 7\r\nx-b:\r\n\r\n", "abc", "X-Sum: 7\r\nx-b: \r\n"),
    ];
    for framing in ["Transfer-Encoding: chunked", "transfer-encoding:ChUnKeD", "Transfer-Encoding: \t chunked \t "] {
        for (body, text, trailers) in bodies {
            let mut client = gate.client();
            client.send(format!("{}{body}", head(&origin, framing)));
            assert_eq!(client.answer().status(), 200, "{framing}: {body}");
            let seen = origin.requests().pop().unwrap();
            assert_eq!((seen.text().as_str(), seen.trailers.as_str()), (text, trailers), "{framing}: {body}");
            assert_eq!((seen.all("transfer-encoding"), seen.field("content-length")), (vec!["chunked"], None));
        }
    }
    assert_eq!(origin.requests().len(), 3 * bodies.len());
    let closes = gate.events("close");
    assert!(closes.iter().all(|close| close["closed_how"] == "complete"), "{closes:#?}");
}

#[test]
fn a_request_smuggled_in_a_body_stays_a_body() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let inner = format!("GET http://{0}/smuggled HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address);
    for body in [
        format!("{}{inner}", head(&origin, &format!("Content-Length: {}", inner.len()))),
        format!("{}{:x}\r\n{inner}\r\n0\r\n\r\n", head(&origin, "Transfer-Encoding: chunked"), inner.len()),
    ] {
        let mut client = gate.client();
        client.send(body);
        assert_eq!(client.answer().status(), 200);
    }
    let seen = origin.requests();
    assert!(seen.len() == 2 && seen.iter().all(|request| request.line() == "POST /upload HTTP/1.1"), "{seen:?}");
    assert_eq!(gate.events("open").len(), 2);
}
