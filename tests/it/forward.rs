//! Plain HTTP through the gate: what is kept, what is left out, and how connections go on.

use crate::gate::{Gate, event_of};
use crate::origin::Origin;
use crate::peer::Message;

/// A request to `origin`: method, path, and field lines behind its Host.
fn request(origin: &Origin, method: &str, path: &str, lines: &str) -> String {
    format!("{method} http://{0}{path} HTTP/1.1\r\nHost: {0}\r\n{lines}\r\n", origin.address)
}

fn seen_by(origin: &Origin) -> Message {
    origin.requests().pop().expect("the origin saw a request")
}

#[test]
fn a_connection_takes_request_after_request_whatever_their_bodies() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    let requests = [
        ("GET", "", "", ""),
        ("POST", "Content-Length: 3\r\n", "abc", "abc"),
        ("PUT", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n", "abc"),
        ("POST", "Content-Length: 0\r\n", "", ""),
        ("GET", "", "", ""),
    ];
    for (method, lines, body, text) in requests {
        client.send(format!("{}{body}", request(&origin, method, "/", lines)));
        let answer = client.answer();
        assert!(answer.status() == 200 && !answer.closes(), "{method} {lines:?}: {}", answer.head);
        assert_eq!(seen_by(&origin).text(), text, "{method} {lines:?}");
    }
    client.send(request(&origin, "GET", "/", "Connection: close\r\n"));
    assert!(client.answer().closes());
    assert!(client.rest().0.is_empty(), "the gate closes where the client asked for it");
    drop(client);
    let records = gate.records();
    let opened: Vec<_> = records.iter().filter(|record| record["event"] == "open").collect();
    assert_eq!(opened.len(), 6);
    assert!(opened.iter().all(|open| event_of(&records, "close", &open["id"])["closed_how"] == "complete"));
}

#[test]
fn a_refusal_does_not_cost_the_connection() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    for round in 0..2 {
        client.send("GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n");
        let refused = client.answer();
        assert!(refused.status() == 403 && refused.text().contains("no_rule"), "{round}: {}", refused.text());
        client.send(request(&origin, "GET", "/", ""));
        assert_eq!(client.answer().status(), 200, "{round}");
    }
    client.send("POST http://b.example/ HTTP/1.1\r\nHost: b.example\r\nContent-Length: 50\r\n\r\n");
    assert_eq!(client.answer().status(), 403);
    // What follows is the body of the refused request, never a request of its own.
    let _ = client.try_send(request(&origin, "GET", "/smuggled", ""));
    client.finish();
    client.rest();
    drop(client);
    assert_eq!(origin.requests().len(), 2);
    assert_eq!(gate.events("refused").len(), 3);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let origin = Origin::answering(|request| {
        let path = request.line().split(' ').nth(1).unwrap().to_owned();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len())
    });
    let gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    let paths: Vec<_> = (0..20).map(|n| format!("/{n}")).collect();
    let post = format!("{}abc", request(&origin, "POST", "/post", "Content-Length: 3\r\n"));
    client.send(paths.iter().map(|path| request(&origin, "GET", path, "")).collect::<String>() + &post);
    for path in paths.iter().chain(["/post".to_owned()].iter()) {
        assert_eq!(client.answer().text(), *path);
    }
}

#[test]
fn a_refused_request_in_a_pipeline_is_refused_in_its_place() {
    let origin = Origin::start();
    let gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    let denied = "GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n";
    let malformed = "GET http://u@b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n";
    let good = request(&origin, "GET", "/", "");
    client.send(format!("{good}{denied}{good}{malformed}{good}"));
    let statuses = [200, 403, 200, 400].map(|_| client.answer().status());
    assert_eq!(statuses, [200, 403, 200, 400]);
    assert!(client.rest().0.is_empty(), "nothing behind a malformed request is read");
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn every_method_passes_as_it_was_sent() {
    let origin = Origin::start();
    let gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH", "get", "X"] {
        client.send(request(&origin, method, "/m", ""));
        assert_eq!(client.answer().status(), 200, "{method}");
        assert_eq!(seen_by(&origin).line(), format!("{method} /m HTTP/1.1"));
    }
}

#[test]
fn options_of_a_whole_server_is_sent_in_asterisk_form() {
    let origin = Origin::start();
    let gate = Gate::start(&origin.policy());
    // RFC 9112 section 3.2.4: an absolute target with neither path nor query.
    for (path, line) in [("", "OPTIONS * HTTP/1.1"), ("/", "OPTIONS / HTTP/1.1"), ("?q", "OPTIONS /?q HTTP/1.1")] {
        let mut client = gate.client();
        client.send(request(&origin, "OPTIONS", path, ""));
        assert_eq!(client.answer().status(), 200);
        assert_eq!(seen_by(&origin).line(), line, "{path:?}");
    }
}

#[test]
fn an_answer_without_a_body_ends_with_its_head() {
    let origin = Origin::answering(|request| match request.line().split(' ').nth(1) {
        Some("/204") => "HTTP/1.1 204 No Content\r\nX: a\r\n\r\n",
        Some("/304") => "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
    });
    let gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    for (method, path, length) in
        [("GET", "/204", None), ("GET", "/304", Some("7")), ("HEAD", "/", Some("7")), ("HEAD", "/204", None)]
    {
        client.send(request(&origin, method, path, ""));
        let answer = client.answer_to(method);
        assert_eq!(
            (answer.field("content-length"), answer.field("transfer-encoding")),
            (length, None),
            "{method} {path}"
        );
        assert!(!answer.closes(), "{method} {path}: {}", answer.head);
    }
    assert_eq!(origin.requests().len(), 4);
}

#[test]
fn fields_keep_their_order_and_their_letter_case() {
    let origin =
        Origin::saying("HTTP/1.1 200 OK\r\nx-one: 1\r\nX-TWO: 2\r\nX-one: 3\r\ncontent-length: 0\r\nx-Last: 4\r\n\r\n");
    let gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    let at = origin.address;
    client.send(format!(
        "GET http://{at}/ HTTP/1.1\r\nuser-agent: a\r\nhOST: {at}\r\nACCEPT: b\r\nX-b: 1\r\nAccept-Language: c\r\nx-B: 2\r\n\r\n"
    ));
    let answer = client.answer();
    let ours = |name: &&str| !["via", "connection", "keep-alive", "date"].contains(&name.to_ascii_lowercase().as_str());
    let seen = seen_by(&origin);
    let names: Vec<_> = seen.names().into_iter().filter(ours).collect();
    assert_eq!(names, ["user-agent", "hOST", "ACCEPT", "X-b", "Accept-Language", "x-B"]);
    assert_eq!(seen.all("x-b"), ["1", "2"]);
    let names: Vec<_> = answer.names().into_iter().filter(ours).collect();
    assert_eq!(names, ["x-one", "X-TWO", "X-one", "content-length", "x-Last"]);
    assert_eq!(answer.all("x-one"), ["1", "3"]);
}

#[test]
fn the_fields_that_frame_a_body_stay_where_they_stood() {
    let origin = Origin::start();
    let gate = Gate::start(&origin.policy());
    for (line, body) in [("content-length: 3", "abc"), ("transfer-encoding: chunked", "3\r\nabc\r\n0\r\n\r\n")] {
        let mut client = gate.client();
        client.send(format!("{}{body}", request(&origin, "POST", "/", &format!("{line}\r\nX-Last: a\r\n"))));
        client.answer();
        let seen = seen_by(&origin);
        let name = line.split(':').next().unwrap();
        let names: Vec<_> = seen.names().into_iter().filter(|named| [name, "X-Last"].contains(named)).collect();
        assert_eq!(names, [name, "X-Last"], "{}", seen.head);
    }
}

#[test]
fn what_belongs_to_one_connection_is_left_out_both_ways() {
    let private = "Connection: X-Own, close-not\r\nX-Own: a\r\nclose-not: b\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
                   TE: trailers\r\nProxy-Authorization: Basic YTpi\r\nProxy-Authenticate: Basic\r\nUpgrade: foo/2\r\n";
    let kept = "X-Kept: c\r\nAuthorization: Basic YTpi\r\nCookie: d=e\r\n";
    let origin = Origin::saying(format!("HTTP/1.1 200 OK\r\n{private}{kept}Content-Length: 2\r\n\r\nok"));
    let gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    client.send(request(&origin, "GET", "/", &format!("{private}{kept}")));
    let answer = client.answer();
    for message in [&answer, &seen_by(&origin)] {
        for name in
            ["x-own", "close-not", "proxy-connection", "te", "proxy-authorization", "proxy-authenticate", "upgrade"]
        {
            assert_eq!(message.field(name), None, "{}", message.head);
        }
        assert!(!message.head.contains("timeout=5") && !message.head.contains("X-Own"), "{}", message.head);
        for (name, value) in [("x-kept", "c"), ("authorization", "Basic YTpi"), ("cookie", "d=e")] {
            assert_eq!(message.field(name), Some(value), "{}", message.head);
        }
    }
    assert_eq!(answer.text(), "ok");
}

#[test]
fn via_names_the_gate_both_ways_unless_it_is_turned_off() {
    let origin = Origin::saying("HTTP/1.1 200 OK\r\nVia: 1.0 inner\r\nContent-Length: 0\r\n\r\n");
    for (config, added) in [
        ("", Some("1.1 sekisho")),
        ("[gate]\nname = \"gate-7\"\n", Some("1.1 gate-7")),
        ("[gate]\nvia = false\n", None),
    ] {
        let gate = Gate::configured(&origin.policy(), config);
        let mut client = gate.client();
        client.send(request(&origin, "GET", "/", "Via: 1.0 outer\r\n"));
        let answer = client.answer();
        let seen = seen_by(&origin);
        let expected = |first: &'static str| [first].into_iter().chain(added).collect::<Vec<_>>().join(", ");
        assert_eq!(seen.all("via").join(", "), expected("1.0 outer"), "{config}");
        assert_eq!(answer.all("via").join(", "), expected("1.0 inner"), "{config}");
    }
}

#[test]
fn a_request_to_the_gate_itself_gets_a_page_and_is_never_relayed() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let mut client = gate.client();
    for head in [
        format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", origin.address),
        format!("GET /http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", origin.address),
        format!("GET //{0}/ HTTP/1.1\r\nHost: {0}\r\nX-Forwarded-Host: {0}\r\n\r\n", origin.address),
        format!("OPTIONS * HTTP/1.1\r\nHost: {}\r\n\r\n", origin.address),
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_owned(),
    ] {
        client.send(&head);
        let answer = client.answer();
        assert!(answer.status() == 200 && answer.text().contains("Sekisho"), "{head}: {}", answer.text());
    }
    client.send(request(&origin, "POST", "/", "Content-Length: 0\r\n"));
    assert_eq!(client.answer().status(), 200, "the same connection still forwards");
    drop(client);
    assert_eq!(origin.requests().len(), 1);
    assert_eq!(gate.events("open").len(), 1);
}

#[test]
fn an_old_client_gets_what_it_can_read() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\nX-Sum: 6\r\n\r\n";
    let origin = Origin::answering(move |request| match request.line().split(' ').nth(1) {
        Some("/chunked") => chunked.to_owned(),
        Some("/interim") => {
            "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned()
        }
        _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
    });
    let gate = Gate::start(&origin.policy());
    let ask = |path: &str, lines: &str| format!("GET http://{}{path} HTTP/1.0\r\n{lines}\r\n", origin.address);

    let mut client = gate.client();
    client.send(ask("/chunked", "Connection: keep-alive\r\n"));
    let answer = client.answer();
    assert_eq!((answer.field("transfer-encoding"), answer.text().as_str()), (None, "abcdef"), "{}", answer.head);
    assert!(answer.whole, "without a length the end of the connection is the end of the body");

    let mut client = gate.client();
    client.send(ask("/interim", ""));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "ok"), "no interim answer: {}", answer.head);
    assert!(client.rest().0.is_empty(), "without keep-alive the connection ends");

    let mut client = gate.client();
    for _ in 0..2 {
        client.send(ask("/", "Connection: keep-alive\r\n"));
        let answer = client.answer();
        assert_eq!(answer.field("connection").map(str::to_ascii_lowercase).as_deref(), Some("keep-alive"));
    }
    assert_eq!(seen_by(&origin).field("via"), Some("1.0 sekisho"));
}

#[test]
fn a_head_request_to_the_gate_itself_is_answered_without_a_body() {
    let gate = Gate::start("");
    let mut client = gate.client();
    client.send("HEAD / HTTP/1.1\r\nHost: gate\r\n\r\n");
    assert_eq!(client.answer_to("HEAD").status(), 200);
    client.send("GET / HTTP/1.1\r\nHost: gate\r\n\r\n");
    assert_eq!(client.answer().status(), 200, "nothing stands between the two answers");
}
