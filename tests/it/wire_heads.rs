//! Request heads that are not strict HTTP/1, by the name of their fault.

use std::net::SocketAddr;

use crate::wire::{Class, post, posts};

pub(crate) fn framing(at: SocketAddr) -> Vec<Class> {
    let length = |value: &&str| post(at, &format!("Content-Length: {value}"));
    let lengths = [
        "",
        "+3",
        "-3",
        "-0",
        "3,3",
        "3, 3",
        "3 3",
        "0x3",
        "3;",
        "3.0",
        "1e1",
        "3_0",
        "\"3\"",
        "３",
        "three",
        "00000000000000000003",
        "99999999999999999999",
        "18446744073709551619",
    ];
    let coding = |value: &&str| post(at, &format!("Transfer-Encoding: {value}"));
    let codings = [
        "",
        "xchunked",
        "chunkedx",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, gzip",
        "chunked, chunked",
        "chunked,",
        ", chunked",
        "chunked;q=1",
        "\"chunked\"",
        "'chunked'",
        "chu nked",
        "cow",
        "chunKed\u{17f}",
    ];
    let mut bad_codings: Vec<_> = codings.iter().map(coding).collect();
    bad_codings.extend(posts(
        at,
        &[
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-encoding: identity",
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        ],
    ));
    vec![
        (
            "content_length_and_transfer_encoding",
            posts(
                at,
                &[
                    "Content-Length: 3\r\nTransfer-Encoding: chunked",
                    "Transfer-Encoding: chunked\r\nContent-Length: 3",
                    "content-length: 0\r\ntransfer-ENCODING: identity",
                    "Content-Length: x\r\nTransfer-Encoding: chunked",
                ],
            ),
        ),
        (
            "several_content_lengths",
            posts(
                at,
                &[
                    "Content-Length: 3\r\nContent-Length: 3",
                    "Content-Length: 3\r\ncontent-length: 4",
                    "Content-Length: 0\r\nX: y\r\nContent-Length: 3",
                ],
            ),
        ),
        ("bad_content_length", lengths.iter().map(length).collect()),
        ("bad_transfer_encoding", bad_codings),
        (
            "transfer_encoding_in_http10",
            vec![format!("POST http://{at}/ HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").into_bytes()],
        ),
        (
            "body_on_connect",
            ["Content-Length: 5", "Transfer-Encoding: chunked"]
                .iter()
                .map(|line| format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n{line}\r\n\r\n").into_bytes())
                .collect(),
        ),
        (
            "bytes_behind_connect",
            ["early", "\x16\x03\x01", "\r\n", "GET / HTTP/1.1\r\n\r\n"]
                .iter()
                .map(|bytes| format!("CONNECT {at} HTTP/1.1\r\nHost: {at}\r\n\r\n{bytes}").into_bytes())
                .collect(),
        ),
    ]
}

pub(crate) fn lines(at: SocketAddr) -> Vec<Class> {
    let line = |line: &[u8]| [line, format!("\r\nHost: {at}\r\n\r\n").as_bytes()].concat();
    let target = |text: &str| text.replace('@', &format!("http://{at}/"));
    let first = |lines: &[&str]| lines.iter().map(|text| line(target(text).as_bytes())).collect::<Vec<_>>();
    let mut bare_lf = posts(at, &["X: a\n", "X: a\nY: b", "X: a\r\nY\n: b", "X: a\n\r\n"]);
    bare_lf.extend(first(&["GET @ HTTP/1.1\nX: a"]));
    bare_lf.push(format!("GET http://{at}/ HTTP/1.1\nHost: {at}\n\n").into_bytes());
    let mut bare_cr = posts(at, &["X: a\rb", "X\r: a", "X: a\r", "\rX: a", "X: a\r\r\nY: b"]);
    bare_cr.extend(first(&["GET @\r HTTP/1.1", "GET\r@ HTTP/1.1", "GET @ HTTP/1.1\r"]));
    let mut nul = posts(at, &["X: a\0b", "X\0: a", "\0X: a", "X: \0"]);
    nul.extend(first(&["GET @\0 HTTP/1.1"]));
    let options = (0..33).map(|n| format!("x{n}")).collect::<Vec<_>>().join(", ");
    vec![
        ("bare_lf", bare_lf),
        ("bare_cr", bare_cr),
        ("nul", nul),
        (
            "obs_fold",
            posts(at, &["X: a\r\n b", "X: a\r\n\tb", "X: a\r\n \r\nY: b", " X: a", "\tTransfer-Encoding: chunked"]),
        ),
        ("space_before_colon", posts(at, &["X : a", "X\t: a", "Content-Length : 3", "Transfer-Encoding : chunked"])),
        (
            "bad_field_name",
            posts(at, &[": a", "X@: a", "X", "X(y): a", "X Y: a", "\u{e9}: a", "X\"y: a", "X;: a", "X\x01: a"]),
        ),
        (
            "bad_field_value",
            posts(
                at,
                &["X: \x01", "X: a\x1b[2J", "X: a\x7f", "X: \x0bchunked", "X: a\x08", "Transfer-Encoding: chunked\x0c"],
            ),
        ),
        (
            "bad_method",
            first(&[
                "G@T / HTTP/1.1".replace('@', "(").as_str(),
                "GET\"X @ HTTP/1.1",
                &format!("{} @ HTTP/1.1", "M".repeat(33)),
            ]),
        ),
        (
            "bad_version",
            first(&[
                "GET @ HTTP/1.2",
                "GET @ HTTP/0.9",
                "GET @ HTTP/2.0",
                "GET @ http/1.1",
                "GET @ HTTP/1.10",
                "GET @ HTTP/01.1",
                "GET @ HTTP/1.1x",
                "GET @ HTTP/1,1",
                "GET @ ICAP/1.0",
                "GET @ HTTP/11",
            ]),
        ),
        (
            "bad_request_line",
            first(&[
                "GET  @ HTTP/1.1",
                "GET @  HTTP/1.1",
                " GET @ HTTP/1.1",
                "GET @ HTTP/1.1 ",
                "GET\t@ HTTP/1.1",
                "GET @\tHTTP/1.1",
                "GET @",
                "GET",
                "GET @a b HTTP/1.1",
                "GET @\x01 HTTP/1.1",
            ]),
        ),
        ("leading_empty_line", vec![[b"\r\n\r\n".as_slice(), &post(at, "X: a")].concat(), b"\r\n\r\n\r\n".to_vec()]),
        ("head_too_long", vec![post(at, &format!("X: {}", "a".repeat(64 << 10))), vec![b'G'; 65 << 10]]),
        ("too_many_fields", vec![post(at, &vec!["X: a"; 128].join("\r\n"))]),
        (
            "bad_connection_option",
            posts(
                at,
                &[
                    "Connection: host",
                    "Connection: close, Content-Length",
                    "Connection: transfer-encoding",
                    "Connection: Authorization",
                    "Connection: Cookie",
                    "Connection: a b",
                    "Connection: (x)",
                    &format!("Connection: {options}"),
                ],
            ),
        ),
        (
            "bad_max_forwards",
            [
                "",
                "-1",
                "+1",
                "1, 1",
                "0x1",
                "1.0",
                "one",
                "\u{ff11}",
                "0000000000",
                "1000000000",
                "1\r\nMax-Forwards: 1",
            ]
            .iter()
            .zip(["TRACE", "OPTIONS"].iter().cycle())
            .map(|(value, method)| {
                format!("{method} http://{at}/ HTTP/1.1\r\nHost: {at}\r\nMax-Forwards: {value}\r\n\r\n").into_bytes()
            })
            .collect(),
        ),
        ("http2_preface", vec![b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()]),
        (
            "h2c_upgrade",
            posts(
                at,
                &[
                    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
                    "Upgrade: H2C",
                    "Connection: Upgrade\r\nUpgrade: websocket, h2c",
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c",
                ],
            ),
        ),
    ]
}
