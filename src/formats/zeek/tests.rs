use crate::evidence::{Asked, Failure, Observed, Verdict};
use crate::facts::Timestamp;
use crate::formats::text::Scratch;
use crate::formats::{Fault, Told, Zone};

use super::*;

const TIME: Timestamp = Timestamp(1_795_510_800_123_456);

/// A table by its header lines, each with spaces for tabs.
fn table(header: &[&str]) -> Table {
    let mut table = Table::default();
    for line in header {
        let line = if line.starts_with("#separator") { (*line).to_owned() } else { line.replace(' ', "\t") };
        table.header(&line).unwrap();
    }
    table
}

/// What a line tells, with spaces for tabs.
fn told(table: &Table, line: &str, check: impl FnOnce(&Observed<'_>)) {
    let line = line.replace(' ', "\t");
    match table.read(&line, 7, &mut Scratch::of(&mut Vec::new(), line.len())) {
        Ok(Told::Of(observed, Zone::UTC)) => check(&observed),
        Ok(_) => panic!("nothing told: {line}"),
        Err(fault) => panic!("{fault}: {line}"),
    }
}

fn fault(table: &Table, line: &str) -> Fault {
    let line = line.replace(' ', "\t");
    match table.read(&line, 7, &mut Scratch::of(&mut Vec::new(), line.len())) {
        Err(fault) => fault,
        Ok(_) => panic!("read: {line}"),
    }
}

fn json(line: &str, check: impl FnOnce(&Observed<'_>, Zone)) {
    match read_json(line, 7, &mut Scratch::of(&mut Vec::new(), line.len())) {
        Ok(Told::Of(observed, zone)) => check(&observed, zone),
        Ok(_) => panic!("nothing told: {line}"),
        Err(fault) => panic!("{fault}: {line}"),
    }
}

const CONN: &[&str] = &[
    r"#separator \x09",
    "#set_separator ,",
    "#empty_field (empty)",
    "#unset_field -",
    "#path conn",
    "#open 2026-11-25-01-00-00",
    "#fields ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration orig_bytes resp_bytes conn_state local_orig history tunnel_parents",
    "#types time string addr port addr port enum string interval count count string bool string set[string]",
];

#[test]
fn a_connection_has_its_start_length_and_bytes_both_ways() {
    let table = table(CONN);
    let line = "1795510800.123456 CUM0KZ3MLUfNB0cl11 10.20.1.5 52110 192.0.2.7 443 tcp ssl 61.250001 1200 88000 SF T ShADadFf (empty)";
    told(&table, line, |observed| {
        assert_eq!(
            *observed,
            Observed {
                time: TIME,
                id: observed.id,
                line: 7,
                what: Asked::Tunnel,
                client: "10.20.1.5",
                host: "192.0.2.7",
                protocol: "tcp",
                port: 443,
                address: "192.0.2.7",
                carries: "tls",
                reason: "SF",
                bytes_up: Some(1200),
                bytes_down: Some(88000),
                duration_us: Some(61_250_001),
                ..Observed::default()
            }
        );
        assert_ne!(observed.id, 0);
    });
}

#[test]
fn what_is_unset_is_not_known_and_what_was_not_answered_failed() {
    let table = table(CONN);
    for (state, failure) in
        [("S0", Failure::Unanswered), ("REJ", Failure::Refused), ("RSTO", Failure::None), ("OTH", Failure::None)]
    {
        let line = format!("1795510800.123456 - fe80::1 5 2001:db8::7 123 udp - - - - {state} - - -");
        told(&table, &line, |observed| {
            assert_eq!((observed.id, observed.client, observed.host), (0, "fe80::1", "[2001:db8::7]"));
            assert_eq!((observed.bytes_up, observed.duration_us, observed.carries), (None, None, ""));
            assert_eq!(observed.failure, failure, "{state}");
        });
    }
    let ping = "1795510800.1 C1 10.0.0.1 8 192.0.2.7 0 icmp - - - - OTH - - -".replace(' ', "\t");
    assert!(matches!(table.read(&ping, 1, &mut Scratch::of(&mut Vec::new(), ping.len())), Ok(Told::Nothing)));
}

const HTTP: &[&str] = &[
    r"#separator \x09",
    "#path http",
    // Another order than Zeek's own, and columns that nobody knows.
    "#fields host uri extra method ts uid id.orig_h id.orig_p id.resp_h id.resp_p user_agent request_body_len response_body_len status_code username resp_mime_types",
];

#[test]
fn a_request_names_its_host_and_its_connection() {
    let table = table(HTTP);
    let line = r"A.example /x/y?q ! POST 1795510800.123456 CUM0KZ3MLUfNB0cl11 10.20.1.5 52110 192.0.2.7 8080 Mozilla/5.0\x20(x) 50 812 200 ada text/html,image/png";
    told(&table, line, |observed| {
        assert_ne!(observed.inside, 0);
        assert_eq!(
            *observed,
            Observed {
                time: TIME,
                inside: observed.inside,
                line: 7,
                client: "10.20.1.5",
                user: "ada",
                host: "a.example",
                port: 8080,
                address: "192.0.2.7",
                method: "POST",
                path: "/x/y",
                user_agent: "Mozilla/5.0 (x)",
                status: 200,
                content_type: "text/html",
                bytes_up: Some(50),
                bytes_down: Some(812),
                ..Observed::default()
            }
        );
    });
}

#[test]
fn requests_to_a_proxy_name_their_target_and_not_the_proxys_address() {
    let table = table(HTTP);
    let of = |host: &str, uri: &str, method: &str, status: &str| {
        format!("{host} {uri} - {method} 1795510800.123456 C1 10.0.0.1 5 10.0.0.9 3128 - 0 0 {status} - -")
    };
    told(&table, &of("a.example", "a.example:443", "CONNECT", "200"), |observed| {
        assert_eq!((observed.what, observed.host, observed.port), (Asked::Tunnel, "a.example", 443));
        assert_eq!((observed.address, observed.bytes_up, observed.path), ("", None, ""));
    });
    told(&table, &of("a.example:8443", "-", "CONNECT", "407"), |observed| {
        assert_eq!((observed.host, observed.port, observed.verdict), ("a.example", 8443, Verdict::Denied));
    });
    told(&table, &of("a.example", "a.example:443", "CONNECT", "504"), |observed| {
        assert_eq!((observed.verdict, observed.failure), (Verdict::Allowed, Failure::Unanswered));
    });
    told(&table, &of("10.0.0.9", "http://a.example/x?y", "GET", "200"), |observed| {
        assert_eq!((observed.host, observed.port, observed.path, observed.address), ("a.example", 80, "/x", ""));
    });
    // No Host field, and one with a port.
    told(&table, &of("-", "/x", "GET", "200"), |observed| {
        assert_eq!((observed.host, observed.port, observed.address), ("10.0.0.9", 3128, "10.0.0.9"));
    });
    told(&table, &of("a.example:81", "/?u=http://b.example/", "GET", "-"), |observed| {
        assert_eq!((observed.host, observed.port, observed.path, observed.status), ("a.example", 81, "/", 0));
    });
}

#[test]
fn tls_has_its_name_and_key() {
    let fields =
        "#fields ts uid id.orig_h id.orig_p id.resp_h id.resp_p version server_name last_alert established ja3";
    let mut table = table(&[r"#separator \x09", "#path ssl", fields]);
    let line = "1795510800.123456 C1 10.0.0.1 5 192.0.2.7 443 TLSv13 A.example - T 0123456789abcdef0123456789abcdef";
    told(&table, line, |observed| {
        assert_eq!((observed.host, observed.sni, observed.address), ("a.example", "a.example", "192.0.2.7"));
        assert_eq!((observed.tls_key, observed.carries), ("0123456789abcdef0123456789abcdef", "tls"));
        assert_eq!((observed.what, observed.port, observed.failure), (Asked::Tunnel, 443, Failure::None));
    });
    table.header(&format!("{fields} ja4").replace(' ', "\t")).unwrap();
    let line = "1795510800.123456 C1 10.0.0.1 5 192.0.2.7 443 - - unknown_ca F 01 t13d1516h2_8daaf6152771_02713d6af862";
    told(&table, line, |observed| {
        assert_eq!((observed.host, observed.sni, observed.failure), ("192.0.2.7", "", Failure::Other));
        assert_eq!((observed.tls_key, observed.reason), ("t13d1516h2_8daaf6152771_02713d6af862", "unknown_ca"));
    });
}

#[test]
fn a_header_is_honoured_whatever_it_says() {
    let mut table = Table::default();
    for line in ["#separator |", "#empty_field|EMPTY", "#unset_field|?", "#path|conn", "#open|now"] {
        table.header(line).unwrap();
    }
    table.header("#fields|id.resp_p|id.resp_h|service|id.orig_h|ts|conn_state").unwrap();
    let line = "443|192.0.2.7|EMPTY|10.0.0.1|1795510800.123456|?";
    let mut room = Vec::new();
    let Ok(Told::Of(observed, _)) = table.read(line, 1, &mut Scratch::of(&mut room, line.len())) else {
        panic!("not read")
    };
    assert_eq!((observed.time, observed.port, observed.carries, observed.reason), (TIME, 443, "", ""));

    // Another log follows in the same file.
    for line in [r"#separator \x09", "#path\tdns", "#fields\tts\tuid\tquery", "#types\ttime\tstring\tstring"] {
        table.header(line).unwrap();
    }
    assert_eq!((table.fault(), table.passed_over()), (None, Some("dns")));
    assert!(matches!(table.read("1\tC1\ta.example", 1, &mut Scratch::of(&mut room, 9)), Ok(Told::Nothing)));
}

#[test]
fn a_log_with_a_name_of_its_own_is_known_by_its_columns() {
    let separator = r"#separator \x09";
    for (fields, passed_over) in [
        ("#fields ts id.orig_h id.resp_h id.resp_p conn_state", false),
        ("#fields ts id.orig_h method host uri", false),
        ("#fields ts id.orig_h id.resp_h id.resp_p server_name established", false),
        ("#fields ts id.orig_h method uri request_body_len call_id", true),
        ("#fields ts id.orig_h id.resp_h id.resp_p proto query", true),
    ] {
        let table = table(&[separator, "#path eth0", fields]);
        assert_eq!((table.passed_over().is_some(), table.fault()), (passed_over, None), "{fields}");
    }
}

#[test]
fn a_column_that_is_needed_is_named_where_it_is_missing() {
    for (path, fields, log, column) in [
        ("#path conn", "#fields id.orig_h id.resp_h id.resp_p", "conn", "ts"),
        ("#path conn", "#fields ts id.orig_h id.resp_h", "conn", "id.resp_p"),
        ("#path http", "#fields ts id.orig_h uri host", "http", "method"),
        ("#path ssl", "#fields ts id.orig_h id.resp_h id.resp_p", "ssl", "server_name"),
    ] {
        let mut table = table(&[r"#separator \x09", path]);
        let missing = Fault::MissingColumn { log, column };
        assert_eq!(table.header(&fields.replace(' ', "\t")), Err(missing));
        assert_eq!(fault(&table, "1 2 3"), missing, "and so are all lines below");
        assert!(missing.to_string().contains(column));
    }
}

#[test]
fn a_header_that_cannot_be_followed_is_refused() {
    assert_eq!(fault(&Table::default(), "1795510800.1 C1"), Fault::NoHeader);
    for separator in ["#separator ", "#separator ::", r"#separator \xff", "#separator 関"] {
        assert_eq!(Table::default().header(separator), Err(Fault::Separator), "{separator}");
    }
    let long = "x".repeat(65);
    assert_eq!(Table::default().header(&format!("#unset_field\t{long}")), Err(Fault::Header));
    assert_eq!(Table::default().header(&format!("#fields{}", "\tx".repeat(1001))), Err(Fault::Header));
}

#[test]
fn each_damage_has_its_fault() {
    let table = table(&[r"#separator \x09", "#path conn", "#fields ts id.orig_h id.resp_h id.resp_p duration"]);
    for (line, expected) in [
        ("1795510800.1 10.0.0.1 192.0.2.7 443", Fault::Columns),
        ("1795510800.1 10.0.0.1 192.0.2.7 443 - -", Fault::Columns),
        ("- 10.0.0.1 192.0.2.7 443 -", Fault::Time("ts")),
        ("yesterday 10.0.0.1 192.0.2.7 443 -", Fault::Time("ts")),
        ("1795510800.1 - 192.0.2.7 443 -", Fault::Empty("id.orig_h")),
        ("1795510800.1 10.0.0.1 - 443 -", Fault::Empty("id.resp_h")),
        ("1795510800.1 10.0.0.1 192.0.2.7 65536 -", Fault::Number("id.resp_p")),
        ("1795510800.1 10.0.0.1 192.0.2.7 443 -1", Fault::Number("duration")),
    ] {
        assert_eq!(fault(&table, line), expected, "{line}");
    }
}

#[test]
fn json_tells_what_the_table_of_the_same_log_does() {
    let line = "1795510800.123456 CUM0KZ3MLUfNB0cl11 10.20.1.5 52110 192.0.2.7 443 tcp ssl 61.250001 1200 88000 SF T ShADadFf (empty)";
    let same = r#"{"ts":1795510800.123456,"uid":"CUM0KZ3MLUfNB0cl11","id.orig_h":"10.20.1.5","id.orig_p":52110,"id.resp_h":"192.0.2.7","id.resp_p":443,"proto":"tcp","service":"ssl","duration":61.250001,"orig_bytes":1200,"resp_bytes":88000,"conn_state":"SF","local_orig":true,"missed_bytes":0,"history":"ShADadFf","tunnel_parents":[]}"#;
    told(&table(CONN), line, |table| {
        json(same, |json, zone| assert_eq!((json, zone), (table, Zone::UTC)));
    });
    let line = "a.example /x/y?q ! POST 1795510800.123456 CUM0KZ3MLUfNB0cl11 10.20.1.5 52110 192.0.2.7 8080 a\\x20\"b\" 50 812 200 - text/html";
    let same = r#"{"_path":"http","ts":"2026-11-24T09:00:00.123456Z","uid":"CUM0KZ3MLUfNB0cl11","id.orig_h":"10.20.1.5","id.resp_h":"192.0.2.7","id.resp_p":8080,"method":"POST","host":"a.example","uri":"\/x\/y?q","user_agent":"a \"b\"","request_body_len":50,"response_body_len":812,"status_code":200,"tags":[],"resp_mime_types":["text/html","x/y"],"extra":{"a":[{}]}}"#;
    told(&table(HTTP), line, |table| json(same, |json, _| assert_eq!(json, table)));
}

#[test]
fn json_is_known_by_its_keys_and_its_times_by_their_form() {
    let of = |ts: &str| {
        format!(
            r#"{{"ts":{ts},"id.orig_h":"10.0.0.1","id.resp_h":"192.0.2.7","id.resp_p":443,"server_name":"a.example","established":true}}"#
        )
    };
    for (ts, zone) in [
        ("1795510800.123456", Zone::UTC),
        (r#""1795510800.123456""#, Zone::UTC),
        (r#""2026-11-24T18:00:00.123456+09:00""#, Zone(540)),
    ] {
        json(&of(ts), |observed, found| {
            assert_eq!((observed.time, found, observed.sni), (TIME, zone, "a.example"), "{ts}");
        });
    }
    json(&of("1795510800123"), |observed, _| assert_eq!(observed.time, Timestamp(1_795_510_800_123_000)));
    let fault = |line: &str| match read_json(line, 1, &mut Scratch::of(&mut Vec::new(), line.len())) {
        Err(fault) => fault,
        Ok(_) => panic!("read: {line}"),
    };
    for ts in ["-5", "true", "1e300", "\"\"", r#""2026-11-24T09:00:00""#] {
        assert_eq!(fault(&of(ts)), Fault::Time("ts"), "{ts}");
    }
    for ts in ["null", "[]", "{}"] {
        assert_eq!(fault(&of(ts)), Fault::Unknown, "{ts}");
    }
    assert_eq!(fault(r#"{"ts":1,"conn_state":"SF"}"#), Fault::MissingColumn { log: "conn", column: "id.orig_h" });
    assert_eq!(fault(r#"{"timestamp":"2026-11-24T09:00:00Z","event_type":"http"}"#), Fault::Unknown);
    for damaged in ["{", "{}x", r#"{"ts":1"#, r#"{"ts":"\ud800x"}"#, "[]", r#"{"ts":[[[["#, r#"{1:2}"#, "5"] {
        assert_eq!(fault(damaged), Fault::Json, "{damaged}");
    }
    let deep = format!(r#"{{"ts":{}"#, "[".repeat(60_000));
    assert_eq!(fault(&deep), Fault::Json);
    let other = r#"{"_path":"dns","ts":1795510800.1,"id.orig_h":"10.0.0.1","proto":"udp","query":"a.example"}"#;
    assert!(matches!(read_json(other, 1, &mut Scratch::of(&mut Vec::new(), other.len())), Ok(Told::Nothing)));
}

#[test]
fn lines_of_one_connection_share_its_number() {
    let conn =
        r#"{"ts":1,"uid":"Cx","id.orig_h":"10.0.0.1","id.resp_h":"192.0.2.7","id.resp_p":443,"conn_state":"SF"}"#;
    let http = r#"{"ts":1,"uid":"Cx","id.orig_h":"10.0.0.1","host":"a.example","method":"GET","uri":"/","request_body_len":0}"#;
    json(conn, |conn, _| json(http, |http, _| assert_eq!((http.id, http.inside), (0, conn.id))));
    json(&conn.replace("Cx", "Cy"), |other, _| json(conn, |conn, _| assert_ne!(other.id, conn.id)));
}
