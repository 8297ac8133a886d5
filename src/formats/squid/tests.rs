use super::*;

/// What a line tells, to `check`.
fn told(text: &str, check: impl FnOnce(&Observed<'_>)) {
    match read(text, 7, &mut Scratch::of(&mut Vec::new(), text.len())) {
        Ok(Told::Of(observed, zone)) => {
            assert!(looks_like(text), "{text}");
            assert_eq!((zone, observed.line), (Zone::UTC, 7));
            check(&observed);
        }
        Ok(Told::Nothing | Told::Journal) => panic!("nothing told: {text}"),
        Err(fault) => panic!("{fault}: {text}"),
    }
}

fn nothing(text: &str) {
    assert!(looks_like(text), "{text}");
    assert!(matches!(read(text, 1, &mut Scratch::of(&mut Vec::new(), text.len())), Ok(Told::Nothing)), "{text}");
}

fn fault(text: &str) -> Fault {
    match read(text, 1, &mut Scratch::of(&mut Vec::new(), text.len())) {
        Err(fault) => fault,
        Ok(_) => panic!("read: {text}"),
    }
}

#[test]
fn a_request_began_when_it_was_logged_less_what_it_took() {
    let line = "1795510800.250    142 10.20.1.5 TCP_MISS/200 5120 GET http://News.Example:8080/a/b?q=secret ada \
                HIER_DIRECT/192.0.2.7 text/html";
    told(line, |observed| {
        assert_eq!(
            *observed,
            Observed {
                time: Timestamp(1_795_510_800_108_000),
                line: 7,
                client: "10.20.1.5",
                user: "ada",
                host: "news.example",
                port: 8080,
                address: "192.0.2.7",
                method: "GET",
                path: "/a/b",
                reason: "TCP_MISS",
                status: 200,
                content_type: "text/html",
                bytes_down: Some(5120),
                duration_us: Some(142_000),
                ..Observed::default()
            }
        );
    });
}

#[test]
fn connect_is_a_tunnel_to_a_host_and_port() {
    let line = "1795514400.001 3600001 2001:db8::17 TCP_TUNNEL/200 88123 CONNECT [2001:DB8::1]:8443 - \
                HIER_DIRECT/2001:db8::1 -";
    told(line, |observed| {
        assert_eq!((observed.what, observed.host, observed.port), (Asked::Tunnel, "[2001:db8::1]", 8443));
        assert_eq!((observed.client, observed.address), ("2001:db8::17", "2001:db8::1"));
        assert_eq!((observed.time, observed.duration_us), (Timestamp(1_795_510_800_000_000), Some(3_600_001_000)));
        assert_eq!((observed.user, observed.content_type, observed.path), ("", "", ""));
    });
}

#[test]
fn what_was_denied_is_told_apart_from_what_failed() {
    let of = |result: &str, asked: &str, way: &str| {
        let line = format!("1795510800.250 1 10.0.0.1 {result} 4000 {asked} - {way} text/html");
        let mut found = None;
        told(&line, |observed| found = Some((observed.verdict, observed.failure)));
        found.unwrap()
    };
    let (get, connect) = ("GET http://a.example/", "CONNECT a.example:443");
    for (result, asked, way, verdict, failure) in [
        ("TCP_DENIED/403", get, "HIER_NONE/-", Verdict::Denied, Failure::None),
        ("TCP_DENIED/407", connect, "HIER_NONE/-", Verdict::Denied, Failure::None),
        ("TCP_DENIED_REPLY/403", get, "HIER_DIRECT/192.0.2.7", Verdict::Denied, Failure::None),
        ("TCP_MISS/403", get, "HIER_DIRECT/192.0.2.7", Verdict::Allowed, Failure::None),
        ("TCP_MISS/503", get, "HIER_NONE/-", Verdict::Allowed, Failure::NoName),
        ("TCP_MISS/503", get, "DIRECT/a.example", Verdict::Allowed, Failure::NoName),
        ("NONE_NONE/503", connect, "HIER_NONE/-", Verdict::Allowed, Failure::NoName),
        ("TCP_TUNNEL/503", connect, "HIER_DIRECT/192.0.2.7", Verdict::Allowed, Failure::Refused),
        ("TCP_TUNNEL/504", connect, "HIER_DIRECT/192.0.2.7", Verdict::Allowed, Failure::Unanswered),
        ("TCP_TUNNEL/502", connect, "HIER_DIRECT/192.0.2.7", Verdict::Allowed, Failure::Other),
        ("TCP_MISS/503", get, "HIER_DIRECT/192.0.2.7", Verdict::Allowed, Failure::None),
        ("TCP_MISS_ABORTED/000", get, "HIER_DIRECT/192.0.2.7", Verdict::Allowed, Failure::None),
    ] {
        assert_eq!(of(result, asked, way), (verdict, failure), "{result} {asked} {way}");
    }
}

#[test]
fn only_the_address_of_an_origin_is_where_it_went() {
    for (way, address) in [
        ("HIER_DIRECT/192.0.2.7", "192.0.2.7"),
        ("TIMEOUT_DIRECT/192.0.2.7", "192.0.2.7"),
        ("ORIGINAL_DST/2001:db8::1", "2001:db8::1"),
        ("PINNED/192.0.2.7", "192.0.2.7"),
        ("FIRSTUP_PARENT/10.0.0.9", ""),
        ("HIER_NONE/-", ""),
    ] {
        let line = format!("1795510800.250 1 10.0.0.1 TCP_MISS/200 1 GET http://a.example/ - {way} -");
        told(&line, |observed| assert_eq!(observed.address, address, "{way}"));
    }
}

#[test]
fn users_have_spaces_and_escapes_and_heads_may_follow() {
    let line = r"1795510800.250 1 10.0.0.1 TCP_MISS/200 1 GET http://a.example/ SITE\\ada l%c3%b6f HIER_DIRECT/192.0.2.7 text/html [Accept: x/y] [Server: z]";
    told(line, |observed| {
        assert_eq!(
            (observed.user, observed.address, observed.content_type),
            (r"SITE\ada löf", "192.0.2.7", "text/html")
        );
    });
}

#[test]
fn a_clock_that_was_set_back_leaves_the_time_of_the_log() {
    let of = |elapsed: &str| {
        format!("1795510800.250 {elapsed} 10.0.0.1 TCP_MISS/200 1 GET http://a.example/ - HIER_NONE/- -")
    };
    told(&of("-59000"), |observed| {
        assert_eq!((observed.time, observed.duration_us), (Timestamp(1_795_510_800_250_000), None));
    });
    told(&of("1795510800250"), |observed| assert_eq!(observed.time, Timestamp(0)));
    assert_eq!(fault(&of("1795510800251")), Fault::Elapsed);
    assert_eq!(fault(&of("18446744073709551615")), Fault::Elapsed);
    assert_eq!(fault(&of("18446744073709551616")), Fault::Number("elapsed time"));
}

#[test]
fn who_asked_nothing_is_passed_over_and_who_sent_no_request_was_denied() {
    nothing("1795510800.250 0 10.0.0.1 NONE_NONE/000 0 - error:transaction-end-before-headers - HIER_NONE/- -");
    nothing("1795510800.250 0 10.0.0.9 UDP_MISS/000 64 ICP_QUERY http://a.example/ - HIER_NONE/- -");
    for method in ["NONE", "-"] {
        let line =
            format!("1795510800.250 0 10.0.0.1 NONE/400 3500 {method} error:invalid-request - HIER_NONE/- text/html");
        told(&line, |observed| {
            assert_eq!((observed.host, observed.method, observed.status), ("", "", 400));
            assert_eq!((observed.verdict, observed.reason), (Verdict::Denied, "error:invalid-request"));
        });
    }
}

#[test]
fn each_damage_has_its_fault() {
    for (line, expected) in [
        ("1795510800.250", Fault::Short("elapsed time")),
        ("1795510800.250 1 10.0.0.1 TCP_MISS/200 1 GET", Fault::Short("URL")),
        ("1795510800.250 1 10.0.0.1 TCP_MISS 1 GET http://a/ - HIER_NONE/- -", Fault::Short("status")),
        ("1795510800.250 1 10.0.0.1 TCP_MISS/200 1 GET http://a/ -", Fault::Short("hierarchy code")),
        ("1795510800.250 1 10.0.0.1 TCP_MISS/200 1 GET http://a/ ada HIER_NONE", Fault::Short("hierarchy code")),
        ("1795510800,250 1 10.0.0.1 TCP_MISS/200 1 GET http://a/ - HIER_NONE/- -", Fault::Time("time")),
        ("1795510800.250 1 10.0.0.1 TCP_MISS/2000 1 GET http://a/ - HIER_NONE/- -", Fault::Number("status")),
        ("1795510800.250 1 10.0.0.1 TCP_MISS/200 x GET http://a/ - HIER_NONE/- -", Fault::Number("bytes")),
        ("1795510800.250 1 - TCP_MISS/200 1 GET http://a/ - HIER_NONE/- -", Fault::Empty("client")),
        ("1795510800.250 1 10.0.0.1 TCP_MISS/200 1 GET a.example - HIER_NONE/- -", Fault::Target),
        ("1795510800.250 1 10.0.0.1 TCP_MISS/200 1 CONNECT :443 - HIER_NONE/- -", Fault::Target),
    ] {
        assert_eq!(fault(line), expected, "{line}");
    }
}
