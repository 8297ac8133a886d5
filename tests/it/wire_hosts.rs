//! Request heads that do not name one place, by the name of their fault.

use std::net::SocketAddr;

use crate::wire::{Class, gets, posts};

pub(crate) fn hosts(at: SocketAddr) -> Vec<Class> {
    let host = |value: &str| format!("GET http://{at}/ HTTP/1.1\r\nHost: {value}\r\n\r\n").into_bytes();
    let connect = |text: &str| format!("CONNECT {text} HTTP/1.1\r\nHost: {text}\r\n\r\n").into_bytes();
    let and = |mut payloads: Vec<Vec<u8>>, more: Vec<Vec<u8>>| {
        payloads.extend(more);
        payloads
    };
    let port = at.port();
    let long = format!("http://{}.example/", "a".repeat(64));
    vec![
        (
            "several_hosts",
            posts(at, &[&format!("Host: {at}"), "Host: front.example", "Host:", "X: a\r\nhOST: b.example"]),
        ),
        (
            "missing_host",
            vec![format!("GET http://{at}/ HTTP/1.1\r\n\r\n").into_bytes(), b"GET / HTTP/1.1\r\n\r\n".to_vec()],
        ),
        (
            "host_mismatch",
            and(
                vec![
                    host("front.example"),
                    host(&format!("127.0.0.1:{}", port ^ 1)),
                    host(&format!("{at}.example").replace(':', ".")),
                ],
                vec![
                    format!("CONNECT {at} HTTP/1.1\r\nHost: front.example:{port}\r\n\r\n").into_bytes(),
                    b"GET http://a.b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n".to_vec(),
                    b"GET http://b.example/ HTTP/1.1\r\nHost: b.example:8080\r\n\r\n".to_vec(),
                ],
            ),
        ),
        (
            "userinfo",
            and(
                gets(&[
                    "http://u@a.example/",
                    "http://u:p@a.example/",
                    "http://@a.example/",
                    "http://a.example@b.example:80/",
                    "http://a.example\\@b.example/",
                ]),
                vec![connect("u@a.example:443"), host("u@127.0.0.1")],
            ),
        ),
        (
            "fragment",
            gets(&["http://a.example/#f", "http://a.example/a#", "http://a.example#f", "http://a.example/?q#f"]),
        ),
        (
            "bad_target",
            gets(&[
                "https://a.example/",
                "ftp://a.example/",
                "http:/a.example/",
                "http:a.example",
                "a.example:80",
                "ws://a.example/",
                "http//a.example/",
            ]),
        ),
        (
            "bad_port",
            and(
                gets(&[
                    "http://a.example:007/",
                    "http://a.example:080/",
                    "http://a.example:/",
                    "http://a.example:0/",
                    "http://a.example:65536/",
                    "http://a.example:99999/",
                    "http://a.example:+80/",
                    "http://a.example:-1/",
                    "http://a.example:8o/",
                    "http://a.example:80:80/",
                    "http://a.example:0x50/",
                    "http://[::1]:0/",
                ]),
                vec![
                    connect("a.example"),
                    connect("a.example:0443"),
                    connect("a.example:"),
                    connect("a.example:443/"),
                    connect("a.example:65536"),
                    host("127.0.0.1:"),
                    host(&format!("127.0.0.1:0{port}")),
                ],
            ),
        ),
        (
            "bad_host",
            and(
                gets(&[
                    // Spellings that old resolvers read as 127.0.0.1.
                    "http://0177.0.0.1/",
                    "http://0x7f.0.0.1/",
                    "http://0x7f000001/",
                    "http://0X7F.1/",
                    "http://2130706433/",
                    "http://127.1/",
                    "http://127.0.1/",
                    "http://127.0.0.01/",
                    "http://017700000001/",
                    "http://127.0.0.0x1/",
                    "http://127.0.0.1.1/",
                    "http://256.0.0.1/",
                    "http:///a",
                    "http://:80/",
                    "http://?q",
                    "http://./",
                    "http://a..example/",
                    "http://.a.example/",
                    "http://a.example../",
                    "http://*.example/",
                    "http://a!b/",
                    "http://a;b/",
                    "http://a,b/",
                    "http://a\\b/",
                    "http://a|b/",
                    "http://xn--/",
                    "http://::1/",
                    &long,
                ]),
                vec![
                    connect("0x7f.1:443"),
                    connect("2130706433:443"),
                    host("a b"),
                    host(""),
                    host("a/b"),
                    host("127.0.0.1, b.example"),
                ],
            ),
        ),
        ("non_ascii_host", vec![host("b\u{fc}cher.example"), host("\u{ff11}27.0.0.1"), host("127\u{3002}0.0.1")]),
        (
            "percent_host",
            and(
                gets(&["http://a%2eb/", "http://%31%32%37.0.0.1/", "http://a%/", "http://a%00.example/"]),
                vec![host("127%2e0.0.1"), connect("a%2eb:443")],
            ),
        ),
        (
            "bad_bracket",
            and(
                gets(&[
                    "http://[a.example]/",
                    "http://[::1/",
                    "http://[::1]x/",
                    "http://[127.0.0.1]/",
                    "http://[::1%25lo]/",
                    "http://[]/",
                    "http://a]b/",
                    "http://[v1.a]/",
                    "http://[::1]]/",
                ]),
                vec![connect("[a.example]:443"), connect("[::1:443"), host("[127.0.0.1]")],
            ),
        ),
    ]
}
