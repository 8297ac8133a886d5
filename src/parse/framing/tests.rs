use bytes::BytesMut;

use super::*;
use crate::parse::head::{HeadLimits, take_request_head, take_response_head};

fn request_head(line: &str, fields: &str) -> RequestHead {
    let mut buffer = BytesMut::from(format!("{line}\r\n{fields}\r\n").as_bytes());
    take_request_head(&mut buffer, &HeadLimits::default(), &mut 0).unwrap().unwrap()
}

fn request(fields: &str) -> Result<Body, Fault> {
    request_body(&request_head("POST / HTTP/1.1", fields))
}

fn response(method: &str, line: &str, fields: &str) -> Result<Body, Fault> {
    let mut buffer = BytesMut::from(format!("{line}\r\n{fields}\r\n").as_bytes());
    let head = take_response_head(&mut buffer, &HeadLimits::default(), &mut 0);
    response_body(method, &head.unwrap().unwrap())
}

#[test]
fn a_request_without_framing_fields_has_no_body() {
    assert_eq!(request("Host: a\r\n"), Ok(Body::None));
}

#[test]
fn a_content_length_is_digits_below_2_to_the_63rd() {
    for (value, length) in [("0", 0), ("5", 5), ("  7\t", 7), ("007", 7), ("9223372036854775807", 9223372036854775807)]
    {
        assert_eq!(request(&format!("Content-Length: {value}\r\n")), Ok(Body::Length(length)));
    }
    for value in [
        "",
        "+5",
        "-5",
        "5, 5",
        "5,5",
        "0x5",
        "5_0",
        "1Z",
        "5 5",
        "5.0",
        "9223372036854775808",
        "9999999999999999999",
        "10000000000000000000",
        "00000000000000000005",
        "\u{665}",
    ] {
        let outcome = request(&format!("Content-Length: {value}\r\n"));
        assert_eq!(outcome, Err(Fault::BadContentLength), "{value:?}");
    }
}

#[test]
fn several_content_lengths_are_refused_even_when_equal() {
    let fields = "Content-Length: 5\r\ncontent-length: 5\r\n";
    assert_eq!(request(fields), Err(Fault::SeveralContentLengths));
    assert_eq!(request("Content-Length:\r\nContent-Length: 9\r\n"), Err(Fault::SeveralContentLengths));
    assert_eq!(response("GET", "HTTP/1.1 200 OK", fields), Err(Fault::SeveralLengths));
    assert_eq!(response("HEAD", "HTTP/1.1 200 OK", fields), Err(Fault::SeveralLengths));
    assert_eq!(request("Content-Length: 5\r\nX-Content-Length: 5\r\n"), Ok(Body::Length(5)));
}

#[test]
fn a_transfer_encoding_is_one_field_saying_chunked() {
    for value in ["chunked", "Chunked", " \tCHUNKED \t"] {
        assert_eq!(request(&format!("Transfer-Encoding:{value}\r\n")), Ok(Body::Chunked));
    }
    for value in [
        "",
        "identity",
        "gzip",
        "gzip, chunked",
        ",chunked",
        "chunked,",
        "chunked, chunked",
        "chunked;x",
        "chunke",
        "chunkedd",
        "\"chunked\"",
        "\u{a0}chunked",
    ] {
        let fields = format!("Transfer-Encoding: {value}\r\n");
        assert_eq!(request(&fields), Err(Fault::BadTransferEncoding), "{value:?}");
        let outcome = response("GET", "HTTP/1.1 200 OK", &fields);
        assert_eq!(outcome, Err(Fault::BadTransferEncoding), "{value:?}");
    }
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(request(twice), Err(Fault::BadTransferEncoding));
    let hidden = "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n";
    assert_eq!(request(hidden), Err(Fault::BadTransferEncoding));
}

#[test]
fn a_vertical_tab_never_reaches_the_framing_rules() {
    let mut buffer = BytesMut::from(&b"POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n"[..]);
    let outcome = take_request_head(&mut buffer, &HeadLimits::default(), &mut 0);
    assert_eq!(outcome.err(), Some(Fault::BadFieldValue));
}

#[test]
fn both_framing_fields_are_refused_whatever_they_say() {
    for coding in ["chunked", "identity", ",chunked", ""] {
        let fields = format!("Transfer-Encoding: {coding}\r\nContent-Length: 5\r\n");
        assert_eq!(request(&fields), Err(Fault::ContentLengthAndTransferEncoding));
        for method in ["GET", "HEAD"] {
            let outcome = response(method, "HTTP/1.1 200 OK", &fields);
            assert_eq!(outcome, Err(Fault::ContentLengthAndTransferEncoding));
        }
    }
}

#[test]
fn http10_knows_no_transfer_encoding() {
    let fields = "Transfer-Encoding: chunked\r\n";
    let head = request_head("POST / HTTP/1.0", fields);
    assert_eq!(request_body(&head), Err(Fault::TransferEncodingInHttp10));
    let outcome = response("GET", "HTTP/1.0 200 OK", fields);
    assert_eq!(outcome, Err(Fault::TransferEncodingInHttp10));
    assert_eq!(response("GET", "HTTP/1.1 200 OK", fields), Ok(Body::Chunked));
}

#[test]
fn connect_announces_no_body() {
    let body = |fields| request_body(&request_head("CONNECT a:443 HTTP/1.1", fields));
    assert_eq!(body(""), Ok(Body::None));
    assert_eq!(body("Content-Length: 0\r\n"), Ok(Body::None));
    assert_eq!(body("Content-Length: 1\r\n"), Err(Fault::BodyOnConnect));
    assert_eq!(body("Transfer-Encoding: chunked\r\n"), Err(Fault::BodyOnConnect));
    // Methods are case-sensitive: this one is not CONNECT.
    let head = request_head("connect a:443 HTTP/1.1", "Content-Length: 1\r\n");
    assert_eq!(request_body(&head), Ok(Body::Length(1)));
}

#[test]
fn a_response_body_depends_on_method_status_and_fields() {
    let length = "Content-Length: 5\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    assert_eq!(response("GET", "HTTP/1.1 200 OK", length), Ok(Body::Length(5)));
    assert_eq!(response("GET", "HTTP/1.1 200 OK", chunked), Ok(Body::Chunked));
    assert_eq!(response("GET", "HTTP/1.1 200 OK", ""), Ok(Body::UntilClose));
    assert_eq!(response("GET", "HTTP/1.0 200 OK", ""), Ok(Body::UntilClose));
    for fields in [length, chunked, ""] {
        assert_eq!(response("HEAD", "HTTP/1.1 200 OK", fields), Ok(Body::None));
        assert_eq!(response("GET", "HTTP/1.1 304 Not Modified", fields), Ok(Body::None));
    }
    assert_eq!(response("head", "HTTP/1.1 200 OK", length), Ok(Body::Length(5)));
    assert_eq!(response("GET", "HTTP/1.1 305 x", length), Ok(Body::Length(5)));
}

#[test]
fn a_response_that_cannot_have_a_body_may_not_announce_one() {
    for line in ["HTTP/1.1 100 Continue", "HTTP/1.1 199 x", "HTTP/1.1 204 No Content"] {
        assert_eq!(response("GET", line, ""), Ok(Body::None));
        assert_eq!(response("GET", line, "Content-Length: 0\r\n"), Ok(Body::None));
        let outcome = response("GET", line, "Content-Length: 5\r\n");
        assert_eq!(outcome, Err(Fault::BadContentLength));
        let outcome = response("GET", line, "Transfer-Encoding: chunked\r\n");
        assert_eq!(outcome, Err(Fault::BadTransferEncoding));
    }
}

#[test]
fn close_wins_then_the_version_decides() {
    let kept = |line, fields| {
        let head = request_head(line, fields);
        keep_alive(head.version, &head.fields)
    };
    let (old, new) = ("GET / HTTP/1.0", "GET / HTTP/1.1");
    assert!(kept(new, ""));
    assert!(!kept(old, ""));
    assert!(kept(old, "Connection: x, Keep-Alive\r\n"));
    assert!(!kept(new, "Connection: Close\r\n"));
    assert!(!kept(new, "Connection: keep-alive\r\nConnection: a,\tclose\r\n"));
    assert!(!kept(old, "Connection: keep-alive, close\r\n"));
    assert!(kept(new, "Connection: closed\r\n"));
    assert!(kept(new, "Proxy-Connection: close\r\n"));
}

#[test]
fn only_one_100_continue_can_be_expected() {
    let expects = |line, fields| expects_continue(&request_head(line, fields));
    let new = "POST / HTTP/1.1";
    assert_eq!(expects(new, ""), Ok(false));
    assert_eq!(expects(new, "Expect: 100-Continue\r\n"), Ok(true));
    assert_eq!(expects("POST / HTTP/1.0", "Expect: 100-continue\r\n"), Ok(false));
    for fields in [
        "Expect: 100-continue, x\r\n",
        "Expect:\r\n",
        "Expect: 200-ok\r\n",
        "Expect: 100-continue\r\nExpect: 100-continue\r\n",
    ] {
        assert_eq!(expects(new, fields), Err(Fault::BadExpect), "{fields:?}");
    }
}
