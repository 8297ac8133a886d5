use crate::evidence::{Asked, Failure};
use crate::facts::Timestamp;
use crate::formats::Zone;

use super::*;

const NINE: Timestamp = Timestamp(1_795_568_462_000_000);

fn told(text: &str, check: impl FnOnce(&Observed<'_>, Zone)) {
    match read(text, 7, &mut Scratch::of(&mut Vec::new(), text.len())) {
        Ok(Told::Of(observed, zone)) => {
            assert!(looks_like(text), "{text}");
            check(&observed, zone);
        }
        Ok(Told::Nothing | Told::Journal) => panic!("nothing told: {text}"),
        Err(fault) => panic!("{fault}: {text}"),
    }
}

fn fault(text: &str) -> Fault {
    match read(text, 1, &mut Scratch::of(&mut Vec::new(), text.len())) {
        Err(fault) => fault,
        Ok(_) => panic!("read: {text}"),
    }
}

#[test]
fn squids_combined_line_is_read_in_the_zone_it_names() {
    let line = r#"10.20.1.5 - ada [25/Nov/2026:10:01:02 +0900] "GET http://A.example/x?y HTTP/1.1" 200 812 "http://b.example/" "Mozilla/5.0 (X11; \"odd\")" TCP_MISS:HIER_DIRECT"#;
    told(line, |observed, zone| {
        assert_eq!(zone, Zone(540));
        assert_eq!(
            *observed,
            Observed {
                time: NINE,
                line: 7,
                client: "10.20.1.5",
                user: "ada",
                host: "a.example",
                port: 80,
                method: "GET",
                path: "/x",
                user_agent: r#"Mozilla/5.0 (X11; "odd")"#,
                reason: "TCP_MISS",
                status: 200,
                bytes_down: Some(812),
                ..Observed::default()
            }
        );
    });
}

#[test]
fn a_tunnel_and_an_ipv6_client_are_read() {
    let line = r#"2001:db8::5 - - [25/Nov/2026:01:01:02 +0000] "CONNECT a.example:8443 HTTP/1.1" 200 39 "-" "-" TCP_TUNNEL:HIER_DIRECT"#;
    told(line, |observed, zone| {
        assert_eq!((zone, observed.time, observed.client), (Zone::UTC, NINE, "2001:db8::5"));
        assert_eq!((observed.what, observed.host, observed.port), (Asked::Tunnel, "a.example", 8443));
        assert_eq!((observed.user_agent, observed.user, observed.duration_us), ("", "", None));
    });
}

#[test]
fn common_and_apache_lines_have_less_to_say() {
    for (behind, agent, reason) in [
        ("", "", ""),
        (" TCP_HIT:HIER_NONE", "", "TCP_HIT"),
        (r#" "-" "curl/8""#, "curl/8", ""),
        (r#" "-""#, "", ""),
        (r#" "-" "an "unescaped"one""#, r#"an "unescaped"one"#, ""),
    ] {
        let line = format!(
            r#"pc7.site.example - ada smith [25/Nov/2026:10:01:02 +0900] "GET http://a.example/ HTTP/1.0" 304 -{behind}"#
        );
        told(&line, |observed, _| {
            assert_eq!((observed.client, observed.user), ("pc7.site.example", "ada smith"));
            assert_eq!(
                (observed.user_agent, observed.reason, observed.bytes_down),
                (agent, reason, Some(0)),
                "{behind}"
            );
        });
    }
}

#[test]
fn without_squids_result_the_status_says_who_refused() {
    let of = |request: &str, status: u16| {
        let line = format!(r#"10.0.0.1 - - [25/Nov/2026:10:01:02 +0900] "{request} HTTP/1.1" {status} 5 "-" "-""#);
        let mut found = None;
        told(&line, |observed, _| found = Some((observed.verdict, observed.failure)));
        found.unwrap()
    };
    assert_eq!(of("GET http://a.example/", 407), (Verdict::Denied, Failure::None));
    assert_eq!(of("GET http://a.example/", 403), (Verdict::Allowed, Failure::None), "the origin's, as far as one sees");
    assert_eq!(of("CONNECT a.example:443", 403), (Verdict::Denied, Failure::None));
    assert_eq!(of("CONNECT a.example:443", 502), (Verdict::Allowed, Failure::Other));
    assert_eq!(of("CONNECT a.example:443", 504), (Verdict::Allowed, Failure::Unanswered));
}

#[test]
fn what_was_no_request_was_denied_and_none_at_all_is_passed_over() {
    let of = |request: &str| format!(r#"10.0.0.1 - - [25/Nov/2026:10:01:02 +0900] "{request}" 400 5 "-" "-""#);
    for request in [r"\x16\x03\x01\x02", "GET", "NONE error:invalid-request HTTP/0.0", ""] {
        told(&of(request), |observed, _| {
            assert_eq!((observed.verdict, observed.host, observed.status), (Verdict::Denied, "", 400), "{request}");
        });
    }
    let line = of("-");
    assert!(matches!(read(&line, 1, &mut Scratch::of(&mut Vec::new(), line.len())), Ok(Told::Nothing)));
}

#[test]
fn a_web_servers_log_is_named_as_what_it_is() {
    let line = r#"10.0.0.1 - - [25/Nov/2026:10:01:02 +0900] "GET /index.html HTTP/1.1" 200 5 "-" "-""#;
    assert_eq!(fault(line), Fault::WebServer);
}

#[test]
fn each_damage_has_its_fault() {
    let of = |rest: &str| format!("10.0.0.1 - - [25/Nov/2026:10:01:02 +0900] {rest}");
    for (line, expected) in [
        (of(""), Fault::Quote),
        (of("\"GET http://a/ HTTP/1.1"), Fault::Quote),
        (of(r#""GET http://a/ HTTP/1.1\" 200 5"#), Fault::Quote),
        (of(r#""GET http://a/ HTTP/1.1""#), Fault::Short("status")),
        (of(r#""GET http://a/ HTTP/1.1" 200"#), Fault::Short("bytes")),
        (of(r#""GET http://a/ HTTP/1.1" 200 x"#), Fault::Number("bytes")),
        (of(r#""GET http://a/ HTTP/1.1" 200 1 "-" "cut"#), Fault::Quote),
        ("10.0.0.1 - - [25/Nov/2026:10:01:02]".to_owned(), Fault::Short("time")),
        ("10.0.0.1 - - [25/Nov/2026:10:01:02] \"\"".to_owned(), Fault::Time("date")),
        ("10.0.0.1 [25/Nov/2026:10:01:02 +0900] \"\"".to_owned(), Fault::Short("user")),
        (" [25/Nov/2026:10:01:02 +0900] \"\"".to_owned(), Fault::Empty("client")),
    ] {
        assert_eq!(fault(&line), expected, "{line}");
    }
}
