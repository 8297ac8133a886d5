//! Answers of origins that could be read in two ways: the client gets 502, and the record says that
//! the origin is at fault.

use std::sync::{Arc, Mutex};

use crate::gate::{Gate, event_of};
use crate::origin::Origin;
use crate::wire::Class;

/// Answers to a GET, by the name of their fault.
pub(crate) fn faults() -> Vec<Class> {
    let ok =
        |texts: &[&str]| texts.iter().map(|text| format!("HTTP/1.1 200 OK\r\n{text}").into_bytes()).collect::<Vec<_>>();
    let lines = |texts: &[&str]| {
        texts.iter().map(|text| format!("{text}\r\nContent-Length: 3\r\n\r\nabc").into_bytes()).collect::<Vec<_>>()
    };
    vec![
        (
            "several_lengths",
            ok(&[
                "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
                "Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
                "content-length: 3\r\nX: a\r\nCONTENT-LENGTH: 0\r\n\r\nabc",
            ]),
        ),
        (
            "content_length_and_transfer_encoding",
            ok(&[
                "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            ]),
        ),
        (
            "bad_content_length",
            [
                ok(&[
                    "Content-Length: 3, 3\r\n\r\nabc",
                    "Content-Length: +3\r\n\r\nabc",
                    "Content-Length:\r\n\r\n",
                    "Content-Length: -1\r\n\r\n",
                    "Content-Length: 0x3\r\n\r\nabc",
                ]),
                lines(&["HTTP/1.1 204 No Content"]),
            ]
            .concat(),
        ),
        (
            "bad_transfer_encoding",
            [
                ok(&[
                    "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
                    "Transfer-Encoding: xchunked\r\n\r\n",
                    "Transfer-Encoding: identity\r\n\r\n",
                    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                ]),
                vec![b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec()],
            ]
            .concat(),
        ),
        (
            "transfer_encoding_in_http10",
            vec![b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_vec()],
        ),
        (
            "bad_status_line",
            lines(&[
                "HTTP/1.1 20 OK",
                "HTTP/1.1 2000 OK",
                "HTTP/1.1 099 OK",
                "HTTP/1.1 2x0 OK",
                "HTTP/1.1  200 OK",
                "HTTP/1.1",
                "ICY 200 OK",
                "HTTP 200 OK",
                "SSH-2.0-x",
                "200 OK",
                "HTTP/1.1 200\tOK",
            ]),
        ),
        ("bad_version", lines(&["HTTP/1.2 200 OK", "HTTP/2.0 200 OK", "HTTP/0.9 200 OK"])),
        (
            "bare_lf",
            vec![
                b"HTTP/1.1 200 OK\nContent-Length: 3\n\nabc".to_vec(),
                b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 3\r\n\r\nabc".to_vec(),
            ],
        ),
        ("bare_cr", ok(&["X: a\rContent-Length: 5\r\nContent-Length: 3\r\n\r\nabc"])),
        ("nul", ok(&["X: a\0b\r\nContent-Length: 3\r\n\r\nabc"])),
        ("obs_fold", ok(&["X: a\r\n b\r\nContent-Length: 3\r\n\r\nabc"])),
        ("space_before_colon", ok(&["Content-Length : 3\r\n\r\nabc"])),
        ("bad_field_name", ok(&["X@y: a\r\nContent-Length: 3\r\n\r\nabc"])),
        ("bad_field_value", ok(&["X: \x1b[2J\r\nContent-Length: 3\r\n\r\nabc"])),
        ("head_too_long", ok(&[&format!("X: {}\r\n\r\n", "a".repeat(64 << 10))])),
        ("too_many_fields", ok(&[&format!("{}\r\n", "X: a\r\n".repeat(129))])),
        ("bad_connection_option", ok(&["Connection: content-length\r\nContent-Length: 3\r\n\r\nabc"])),
    ]
}

/// An origin that says what stands in the cell.
fn told_what_to_say() -> (Origin, Arc<Mutex<Vec<u8>>>) {
    let cell = Arc::new(Mutex::new(Vec::new()));
    let said = cell.clone();
    let origin = Origin::serving(move |mut peer, log| {
        if let Some(request) = peer.request() {
            log.note(&request);
            let _ = peer.try_send(&*said.lock().unwrap());
            peer.finish();
            peer.rest();
        }
    });
    (origin, cell)
}

fn ask(gate: &Gate, origin: &Origin, method: &str) -> (crate::peer::Message, crate::peer::Peer) {
    let mut client = gate.client();
    client.send(format!("{method} http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address));
    let answer = client.answer_to(method);
    (answer, client)
}

#[test]
fn an_ambiguous_answer_becomes_502_and_is_the_origins_fault_on_record() {
    let (origin, said) = told_what_to_say();
    let mut gate = Gate::start(&origin.policy());
    let mut names = Vec::new();
    for (name, answers) in faults() {
        for bytes in answers {
            let shown = bytes[..bytes.len().min(100)].escape_ascii().to_string();
            *said.lock().unwrap() = bytes;
            let (answer, _) = ask(&gate, &origin, "GET");
            assert_eq!(answer.status(), 502, "{name}: {shown}: {}", answer.text());
            assert!(answer.text().contains(name), "{name}: {shown}: {}", answer.text());
            names.push(name);
        }
    }
    let records = gate.records();
    let closes: Vec<_> = records
        .iter()
        .filter(|record| record["event"] == "open")
        .map(|open| event_of(&records, "close", &open["id"]))
        .collect();
    assert_eq!(closes.iter().map(|close| close["closed_how"].as_str().unwrap()).collect::<Vec<_>>(), names);
    assert!(closes.iter().all(|close| close["closed_by"] == "origin"), "{closes:#?}");
}

#[test]
fn an_upgrade_that_nobody_asked_for_becomes_502() {
    let (origin, said) = told_what_to_say();
    let mut gate = Gate::start(&origin.policy());
    *said.lock().unwrap() =
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec();
    let (answer, _) = ask(&gate, &origin, "GET");
    assert_eq!(answer.status(), 502, "{}", answer.text());
    let close = &gate.events("close")[0];
    assert_eq!((&close["closed_by"], &close["closed_how"]), (&"origin".into(), &"unasked_upgrade".into()), "{close}");
}

#[test]
fn a_fault_in_the_chunks_of_an_answer_cuts_it_off_and_is_the_origins_on_record() {
    let (origin, said) = told_what_to_say();
    let mut gate = Gate::start(&origin.policy());
    let mut names = Vec::new();
    for (name, bodies) in crate::wire_bodies::faults() {
        for body in bodies {
            let shown = body[..body.len().min(100)].escape_ascii().to_string();
            *said.lock().unwrap() =
                [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n".as_slice(), &body].concat();
            let mut client = gate.client();
            client.send(format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address));
            let answer = client.head().unwrap();
            // Where the fault comes with the head, nothing of the answer may have been passed on yet.
            if answer.status() != 502 {
                let answer = client.body(answer);
                assert!(!answer.whole, "{name}: {shown}: the client must not take it for whole: {answer:?}");
            }
            names.push(name);
        }
    }
    let closes = gate.events("close");
    assert_eq!(closes.iter().map(|close| close["closed_how"].as_str().unwrap()).collect::<Vec<_>>(), names);
    assert!(closes.iter().all(|close| close["closed_by"] == "origin"), "{closes:#?}");
}

#[test]
fn plain_answers_near_the_faults_pass_with_one_meaning() {
    let (origin, said) = told_what_to_say();
    let mut gate = Gate::start(&origin.policy());
    let cases: [(&str, &str, u16, &str); 12] = [
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", 200, "abc"),
        ("GET", "HTTP/1.1 200\r\nContent-Length: \t3 \r\n\r\nabc", 200, "abc"),
        ("GET", "HTTP/1.1 200 \r\nContent-Length: 003\r\n\r\nabc", 200, "abc"),
        ("GET", "HTTP/1.1 299 Sch\u{f6}n, a (b)\r\nContent-Length: 0\r\n\r\n", 299, ""),
        ("GET", "HTTP/1.0 200 OK\r\n\r\nabc", 200, "abc"),
        ("GET", "HTTP/1.1 200 OK\r\n\r\nabc", 200, "abc"),
        ("GET", "HTTP/1.1 200 OK\r\ntransfer-encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 200, "abc"),
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, ""),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", 304, ""),
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 200, ""),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, ""),
        ("GET", "HTTP/1.1 404 Not Found\r\nX-Empty:\r\nContent-Length: 3\r\n\r\nabc", 404, "abc"),
    ];
    for (method, bytes, status, body) in cases {
        *said.lock().unwrap() = bytes.as_bytes().to_vec();
        let (answer, mut client) = ask(&gate, &origin, method);
        assert_eq!(
            (answer.status(), answer.text().as_str(), answer.whole),
            (status, body, true),
            "{bytes:?}: {answer:?}"
        );
        assert!(answer.all("content-length").len() + answer.all("transfer-encoding").len() <= 1, "{answer:?}");
        client.finish();
        assert_eq!(client.rest().0, b"", "{bytes:?}: nothing follows the answer");
    }
    let closes = gate.events("close");
    assert!(closes.iter().all(|close| close["closed_how"] == "complete"), "{closes:#?}");
}

#[test]
fn bytes_behind_an_answer_are_never_taken_for_the_next_one() {
    let origin = Origin::serving(|mut peer, log| {
        while let Some(request) = peer.request() {
            log.note(&request);
            let smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{smuggled}"));
        }
    });
    let gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    for _ in 0..3 {
        client.send(format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address));
        assert_eq!(client.answer().text(), "ok");
    }
    assert_eq!(origin.requests().len(), 3);
}

#[test]
fn an_interim_answer_that_announces_a_body_becomes_502_and_is_not_passed_on() {
    let (origin, said) = told_what_to_say();
    let mut gate = Gate::start(&origin.policy());
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for interim in
        ["Content-Length: 5\r\n", "Content-Length: 5\r\nContent-Length: 7\r\n", "Transfer-Encoding: chunked\r\n"]
    {
        *said.lock().unwrap() = format!("HTTP/1.1 103 Early Hints\r\n{interim}\r\n{ok}").into_bytes();
        let (answer, _) = ask(&gate, &origin, "GET");
        assert_eq!(answer.status(), 502, "{interim}: {}", answer.text());
    }
    *said.lock().unwrap() = format!("{}{ok}", "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17)).into_bytes();
    let mut client = gate.client();
    client.send(format!("GET http://{0}/ HTTP/1.0\r\nHost: {0}\r\n\r\n", origin.address));
    assert_eq!(client.answer().status(), 502);
    assert!(gate.events("close").iter().all(|close| close["closed_by"] == "origin"));
}

#[test]
fn an_answer_cut_short_does_not_look_whole_to_a_client_that_reads_to_the_end() {
    let origin = Origin::serving(|mut peer, log| {
        if let Some(request) = peer.request() {
            log.note(&request);
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
        }
    });
    let gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(format!("GET http://{0}/ HTTP/1.0\r\nHost: {0}\r\n\r\n", origin.address));
    let (_, end) = client.rest();
    assert!(matches!(end, crate::peer::End::Reset));
}
