//! Ambiguous requests over raw TCP: each is refused by the name of its fault, and the origin sees
//! nothing of it.

use crate::gate::{Gate, Origin, records};

#[test]
fn ambiguous_requests_are_refused_by_name_and_never_reach_the_origin() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let at = origin.address;
    let head = format!("POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\n");
    let cases: Vec<(String, &str)> = vec![
        (
            format!("{head}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            "content_length_and_transfer_encoding",
        ),
        (format!("{head}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"), "several_content_lengths"),
        (format!("{head}Content-Length: +3\r\n\r\nabc"), "bad_content_length"),
        (format!("{head}Transfer-Encoding: xchunked\r\n\r\n"), "bad_transfer_encoding"),
        (format!("{head}X: a\n\r\n\r\n"), "bare_lf"),
        (format!("{head}X: a\rb\r\n\r\n"), "bare_cr"),
        (format!("{head}X: a\0b\r\n\r\n"), "nul"),
        (format!("{head}X: a\r\n b\r\n\r\n"), "obs_fold"),
        (format!("{head}X : a\r\n\r\n"), "space_before_colon"),
        (format!("{head}Host: {at}\r\n\r\n"), "several_hosts"),
        (format!("GET http://{at}/ HTTP/1.1\r\nHost: front.example\r\n\r\n"), "host_mismatch"),
        (format!("GET http://u@{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n"), "userinfo"),
        (format!("GET http://{at}/#f HTTP/1.1\r\nHost: {at}\r\n\r\n"), "fragment"),
        ("GET http://127.0.0.1:007/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_owned(), "bad_port"),
        ("GET http://[a.example]/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "bad_bracket"),
        ("GET http://a%2eb/ HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "percent_host"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "http2_preface"),
        (format!("{head}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"), "h2c_upgrade"),
        (format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\nearly"), "bytes_behind_connect"),
    ];
    for (payload, name) in &cases {
        let answer = gate.send(payload.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(name), "{name}: {answer}");
    }
    assert_eq!(gate.end("-TERM"), Some(0));
    let reasons: Vec<String> = records(&gate.data_dir())
        .iter()
        .filter(|record| record["event"] == "refused")
        .map(|record| record["reason"].as_str().unwrap().to_owned())
        .collect();
    let names: Vec<&str> = cases.iter().map(|(_, name)| *name).collect();
    assert_eq!(reasons, names);
    assert!(origin.seen().is_empty(), "{:?}", origin.seen());
}
