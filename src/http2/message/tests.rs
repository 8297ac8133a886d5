use proptest::prelude::*;

use super::*;
use crate::parse::{HeadLimits, take_request_head, take_response_head};

fn request(method: &str, uri: &str, fields: &[(&str, &[u8])]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn text(request: &Request<()>, ended: bool, door: Door) -> String {
    String::from_utf8_lossy(&request_text(request, ended, door).0).into_owned()
}

#[test]
fn a_request_asks_an_origin_by_its_path_and_a_proxy_by_its_url() {
    let page = request("GET", "https://a.test:8443/p?q", &[("accept", b"*/*")]);
    let rest = " HTTP/1.1\r\nhost: a.test:8443\r\naccept: */*\r\n\r\n";
    assert_eq!(text(&page, true, Door::Inside), format!("GET /p?q{rest}"));
    assert_eq!(text(&page, true, Door::Proxy), format!("GET https://a.test:8443/p?q{rest}"));
    let server = request("OPTIONS", "http://a.test", &[]);
    assert!(text(&server, true, Door::Proxy).starts_with("OPTIONS http://a.test/ HTTP/1.1\r\n"));
    let tunnel = request("CONNECT", "a.test:443", &[]);
    assert_eq!(text(&tunnel, false, Door::Proxy), "CONNECT a.test:443 HTTP/1.1\r\nhost: a.test:443\r\n\r\n");
    // Inside a tunnel another scheme is no path of its host.
    let other = request("GET", "http://a.test/p", &[]);
    assert!(text(&other, true, Door::Inside).starts_with("GET http://a.test/p HTTP/1.1\r\n"));
}

#[test]
fn a_body_is_as_long_as_it_says_or_chunked_and_a_head_alone_says_neither() {
    let with_length = request("POST", "https://a.test/", &[("content-length", b"3")]);
    let without = request("POST", "https://a.test/", &[]);
    let framing = |request, ended| request_text(request, ended, Door::Inside).1;
    assert_eq!(framing(&with_length, false), Framing::Length);
    assert_eq!(framing(&without, false), Framing::Chunked);
    assert_eq!(framing(&without, true), Framing::None);
    assert!(text(&without, false, Door::Inside).ends_with("\r\ntransfer-encoding: chunked\r\n\r\n"));
    assert!(!text(&with_length, false, Door::Inside).contains("transfer-encoding"));
    assert!(!text(&without, true, Door::Inside).contains("transfer-encoding"));
}

#[test]
fn a_host_that_says_the_same_is_left_out_and_one_that_does_not_is_left_to_be_refused() {
    let same = request("GET", "https://a.test/", &[("host", b"a.test")]);
    assert_eq!(text(&same, true, Door::Inside).matches("host: ").count(), 1);
    let unlike = request("GET", "https://a.test/", &[("host", b"b.test")]);
    assert_eq!(text(&unlike, true, Door::Inside).matches("host: ").count(), 2);
}

#[test]
fn crumbs_of_cookies_become_one_field() {
    let crumbs = request("GET", "https://a.test/", &[("cookie", b"a=1"), ("x", b"y"), ("cookie", b"b=2")]);
    let text = text(&crumbs, true, Door::Inside);
    assert!(text.contains("\r\nx: y\r\ncookie: a=1; b=2\r\n") && text.matches("cookie").count() == 1, "{text}");
}

fn answer(status: u16, fields: &[(&str, &str)], method: &str, ended: bool) -> (String, Framing) {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    let (text, framing) = response_text(&response.body(()).unwrap(), method, ended);
    (String::from_utf8_lossy(&text).into_owned(), framing)
}

#[test]
fn an_answer_is_framed_by_what_it_is_to() {
    let end = |status, fields: &[(&str, &str)], method, ended| {
        let (text, framing) = answer(status, fields, method, ended);
        (text.split_once("\r\n").unwrap().1.to_owned(), framing)
    };
    let chunked = "transfer-encoding: chunked\r\n\r\n".to_owned();
    assert_eq!(end(200, &[], "GET", false), (chunked, Framing::Chunked));
    assert_eq!(end(200, &[], "GET", true), ("content-length: 0\r\n\r\n".to_owned(), Framing::None));
    let five = "content-length: 5\r\n\r\n".to_owned();
    assert_eq!(end(200, &[("content-length", "5")], "GET", false), (five.clone(), Framing::Length));
    assert_eq!(end(200, &[("content-length", "5")], "HEAD", true), (five, Framing::None));
    for (status, method) in [(204, "GET"), (304, "GET"), (103, "GET"), (200, "HEAD")] {
        assert_eq!(end(status, &[], method, false), ("\r\n".to_owned(), Framing::None), "{status} {method}");
    }
}

#[test]
fn what_is_of_one_connection_stays_behind_but_for_te() {
    let head = |text: &str| {
        let mut bytes = BytesMut::from(text);
        take_request_head(&mut bytes, &HeadLimits::default(), &mut 0).unwrap().unwrap()
    };
    let sent = "GET /p?q HTTP/1.1\r\nHost: a.test\r\nX-A: 1\r\nConnection: X-B, TE\r\nX-B: 2\r\nTE: trailers\r\n\
                Keep-Alive: 5\r\n\r\n";
    let message = request_message(&head(sent)).unwrap();
    assert_eq!(message.uri(), "https://a.test/p?q");
    let fields: Vec<_> = message.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(fields, [("x-a", &b"1"[..]), ("te", b"trailers")]);
    assert!(request_message(&head("GET / HTTP/1.0\r\n\r\n")).is_err(), "it has no authority");
    let mut bytes =
        BytesMut::from("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\nX: y\r\n\r\n");
    let answer = take_response_head(&mut bytes, &HeadLimits::default(), &mut 0).unwrap().unwrap();
    let message = response_message(&answer).unwrap();
    assert_eq!(message.headers().iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["x"]);
}

proptest! {
    /// Whatever a client's HTTP/2 carries, the head that is read of it has the fields it had and no others.
    #[test]
    fn a_head_that_is_read_has_the_fields_that_came_and_no_others(
        path in "/[ -~]{0,20}",
        fields in prop::collection::vec(("[a-z][a-z0-9-]{0,8}", prop::collection::vec(any::<u8>(), 0..12)), 0..8),
        ended in any::<bool>(),
    ) {
        let mut builder = Request::builder().method("POST").uri(format!("https://a.test{path}"));
        let mut came = Vec::new();
        for (name, value) in &fields {
            let (Ok(known), Ok(_)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value)) else { continue };
            // Those are put in other words.
            if !["host", "cookie"].contains(&known.as_str()) {
                builder = builder.header(known, value.as_slice());
                came.push((name.clone(), value.trim_ascii().to_vec()));
            }
        }
        let Ok(request) = builder.body(()) else { return Ok(()) };
        let (mut text, framing) = request_text(&request, ended, Door::Inside);
        let Ok(Some(head)) = take_request_head(&mut text, &HeadLimits::default(), &mut 0) else { return Ok(()) };
        prop_assert!(text.is_empty(), "nothing stands behind it");
        let mut read: Vec<_> = head.fields.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        read.retain(|(name, _)| name != "host");
        if framing == Framing::Chunked {
            prop_assert_eq!(read.pop().unwrap().0, "transfer-encoding");
        }
        came.sort();
        read.sort();
        prop_assert_eq!(read, came);
        prop_assert_eq!(head.fields.count("host"), 1);
    }
}
