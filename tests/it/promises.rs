//! The promises of `src/lib.rs` that hold over the whole gate and not in one room.

use crate::gate::{Gate, Start, journal_text, records};
use crate::name_server::NameServer;
use crate::origin::Origin;
use crate::peer::Message;

/// A denial: what is asked, its reason, and the rule that is named, if one is.
const DENIALS: [(&str, &str, Option<&str>); 12] = [
    ("GET http://nowhere.test/ HTTP/1.1\r\nHost: nowhere.test", "no_rule", None),
    ("GET http://denied.test/ HTTP/1.1\r\nHost: denied.test", "rule", Some("never")),
    ("GET http://puzzled.test/ HTTP/1.1\r\nHost: puzzled.test", "not_a_browser", Some("puzzle")),
    ("GET http://named.test:8081/ HTTP/1.1\r\nHost: named.test:8081", "port_not_opened", Some("named")),
    ("GET http://localhost/ HTTP/1.1\r\nHost: localhost", "guard_name", None),
    ("GET http://inside.test/ HTTP/1.1\r\nHost: inside.test", "guard_address", Some("inside")),
    ("GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254", "guard_address", Some("inside")),
    ("GET http://a.test/ HTTP/1.1\r\nHost: b.test", "host_mismatch", None),
    ("GET http://a.test/ HTTP/1.1\r\nHost: a.test\r\nX : a", "space_before_colon", None),
    ("CONNECT nowhere.test:443 HTTP/1.1\r\nHost: nowhere.test:443", "no_rule", None),
    ("CONNECT denied.test:443 HTTP/1.1\r\nHost: denied.test:443", "rule", Some("never")),
    ("CONNECT inside.test:443 HTTP/1.1\r\nHost: inside.test:443", "guard_address", Some("inside")),
];

const POLICY: &str = r#"
[[rule]]
name = "never"
hosts = ["denied.test"]
verdict = "deny"
[[rule]]
name = "puzzle"
hosts = ["puzzled.test"]
verdict = "challenge"
[[rule]]
name = "named"
hosts = ["named.test"]
verdict = "allow"
[[rule]]
name = "inside"
hosts = ["inside.test", "169.254.169.254"]
verdict = "allow"
"#;

#[test]
fn every_denial_says_why_on_the_page_and_on_record() {
    let names = NameServer::pointing_to("127.0.0.1".parse().unwrap());
    let mut gate = Gate::configured(POLICY, &names.config());
    let mut told = Vec::new();
    for (request, reason, _) in DENIALS {
        let mut client = gate.client();
        client.send(format!("{request}\r\nConnection: close\r\n\r\n"));
        let answer = client.answer();
        assert!(matches!(answer.status(), 400 | 403), "{request}: {}", answer.line());
        let status = answer.field("proxy-status").unwrap().to_owned();
        assert!(status.contains(reason) && answer.text().contains(&format!("Reason: {reason}")), "{request}: {status}");
        told.push(exchange_of(&answer));
    }
    let records = gate.records();
    for ((request, reason, rule), id) in DENIALS.iter().zip(told) {
        let mut found = records.iter().filter(|record| record["id"] == id.as_str());
        let denial = found.find(|record| record["verdict"] == "deny" || record["verdict"] == "challenge");
        let denial = denial.unwrap_or_else(|| panic!("{request}: no record of {id} denies"));
        assert_eq!(denial["reason"].as_str(), Some(*reason), "{request}: {denial}");
        // A rule is named by its place too, in the denial or in the record that let the exchange out.
        let of_rule = records.iter().find(|record| record["id"] == id.as_str() && record.get("rule").is_some());
        assert_eq!(of_rule.and_then(|record| record["rule"].as_str()), *rule, "{request}");
        if let Some(record) = of_rule {
            let place = record["rule_at"].as_str().unwrap();
            let line: usize = place.rsplit(':').next().unwrap().parse().unwrap();
            let written = POLICY.lines().nth(line - 1).unwrap();
            assert!(written.contains(rule.unwrap()), "{place} is {written}");
        }
    }
}

fn exchange_of(answer: &Message) -> String {
    let text = answer.text();
    text.lines().find_map(|line| line.strip_prefix("Exchange: ")).unwrap_or_else(|| panic!("{text}")).to_owned()
}

const SECRET: &str = "hunter2";

#[test]
fn no_secret_of_a_client_reaches_records_pages_or_errors() {
    let origin = Origin::saying("HTTP/1.1 200 OK\r\nSet-Cookie: sid=hunter2\r\nContent-Length: 2\r\n\r\nok");
    let errors = tempfile::NamedTempFile::new().unwrap();
    let before = format!("exec 2>'{}'", errors.path().display());
    let mut gate = Start { policy: &origin.policy(), before: &before, ..Start::default() }.gate();
    let at = origin.address;
    let fields = format!(
        "Authorization: Bearer {SECRET}\r\nProxy-Authorization: Basic {SECRET}\r\nCookie: sid={SECRET}\r\n\
         X-Api-Key: {SECRET}\r\nReferer: http://{at}/?{SECRET}\r\nConnection: close"
    );
    let requests = [
        format!("GET http://{at}/?token={SECRET} HTTP/1.1\r\nHost: {at}\r\n{fields}\r\n\r\n"),
        format!("POST http://{at}/ HTTP/1.1\r\nHost: {at}\r\n{fields}\r\nContent-Length: 7\r\n\r\n{SECRET}"),
        format!("GET http://no.test/?token={SECRET} HTTP/1.1\r\nHost: no.test\r\n{fields}\r\n\r\n"),
        format!("GET http://user:{SECRET}@no.test/ HTTP/1.1\r\nHost: no.test\r\n{fields}\r\n\r\n"),
        format!("GET http://no.test/ HTTP/1.1\r\nHost: user:{SECRET}@no.test\r\n{fields}\r\n\r\n"),
        format!("GET http://no.test/#{SECRET} HTTP/1.1\r\nHost: no.test\r\n{fields}\r\n\r\n"),
        format!("GET http://no.test/ HTTP/1.1\r\nHost: other.test\r\n{fields}\r\n\r\n"),
        format!("CONNECT no.test:443 HTTP/1.1\r\nHost: no.test:443\r\n{fields}\r\n\r\n"),
        format!("CONNECT user:{SECRET}@no.test:443 HTTP/1.1\r\nHost: no.test:443\r\n{fields}\r\n\r\n"),
        format!("GET http://no.test/ HTTP/1.1\r\nHost: no.test\r\n{fields}\r\nX : a\r\n\r\n"),
        format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n{fields}\r\nTransfer-Encoding: x\r\n\r\n{SECRET}"),
    ];
    for request in &requests {
        let answer = gate.send(request.as_bytes());
        let own = !answer.starts_with("HTTP/1.1 200");
        assert!(!own || !answer.contains(SECRET), "{request}: {answer}");
    }
    // Secrets that belong to the origin went there.
    let seen = origin.seen().concat();
    assert!(seen.contains("Bearer hunter2") && seen.contains("sid=hunter2") && !seen.contains("Basic"), "{seen}");
    assert_eq!(gate.end("-TERM"), Some(0));
    let all = records(&gate.data_dir());
    assert_eq!(all.iter().filter(|r| r["event"] == "open" || r["event"] == "refused").count(), requests.len());
    let told = std::fs::read_to_string(errors.path()).unwrap();
    for (what, text) in [("the journal", journal_text(&gate.data_dir())), ("standard error", told)] {
        let at = text.find(SECRET);
        assert_eq!(at, None, "{what}: {:?}", at.map(|at| &text[at.saturating_sub(200)..at]));
    }
}
