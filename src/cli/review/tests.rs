//! Each question as a person and as programs see it, over one small journal. After a change that is meant,
//! `UPDATE_EXPECTED=1` writes what is expected anew, to be read before it is kept.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::evidence::{
    Assignment, Chain, DeviceSource, Event, Exchange, Finding, FindingId, FindingKind, Flow, FlowKey, FlowSource,
    FlowState, Mark, Person, Protocol, Record, Severity, Target, Triage, query_hash,
};
use crate::facts::ExchangeId;
use crate::review::questions::{By, Cell};
use crate::store::reindex;

use super::asked::span;
use super::*;

/// 2026-11-25T01:00:00Z.
const BEGUN: u64 = 1_795_568_400_000_000;
const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400;
const JA4: &str = "t13d1516h2_8daaf6152771_02713d6af862";
const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const HOSTILE: &str = "a\u{1b}[2J\r\n\u{202e}b\u{9b}.example";

struct Journal {
    chain: Chain,
    text: Vec<u8>,
}

impl Journal {
    fn push(&mut self, seconds: u64, record: &Record) {
        self.chain.append(&record.encode(Timestamp(BEGUN + seconds * SECOND)), &mut self.text);
    }

    /// A request of `10.20.1.LAST` at so many seconds, such as `GET http a.example 80 /x`.
    fn ask(&mut self, seconds: u64, event: Event, last: u8, words: &str, change: impl FnOnce(&mut Exchange)) {
        let mut record = Exchange::new(event, ExchangeId(BEGUN + seconds * SECOND));
        let words: Vec<&str> = words.split(' ').collect();
        record.client = Some(format!("10.20.1.{last}"));
        record.method = Some(words[0].into());
        record.target = Some(Target {
            scheme: if words[1] == "http" { "http" } else { "tunnel" },
            host: if words[2] == "HOSTILE" { HOSTILE } else { words[2] }.into(),
            port: words[3].parse().unwrap(),
            path: words.get(4).map(|path| (*path).into()),
            query_bytes: None,
            query_hash: None,
            query: None,
        });
        change(&mut record);
        self.push(seconds, &Record::Exchange(Box::new(record)));
    }

    fn later(&mut self, begun: u64, seconds: u64, event: Event, change: impl FnOnce(&mut Exchange)) {
        let mut record = Exchange::new(event, ExchangeId(BEGUN + begun * SECOND));
        change(&mut record);
        self.push(seconds, &Record::Exchange(Box::new(record)));
    }
}

fn allowed(record: &mut Exchange) {
    (record.verdict, record.reason, record.rule) = (Some("allow"), Some("rule".into()), Some("office".into()));
    record.rule_at = Some("office.toml:7".into());
}

fn denied(record: &mut Exchange) {
    (record.verdict, record.reason) = (Some("deny"), Some("no_rule".into()));
}

fn ended(up: u64, down: u64, how: &'static str) -> impl FnOnce(&mut Exchange) {
    move |record| {
        (record.bytes_up, record.bytes_down, record.total_us) = (Some(up), Some(down), Some(1_500_000));
        (record.closed_by, record.closed_how) =
            (Some(if how == "dns_failed" { "dns" } else { "origin" }), Some(how.into()));
    }
}

fn journal() -> Journal {
    let mut journal = Journal { chain: Chain::start(), text: Vec::new() };
    let device = Assignment {
        client: client_of("10.20.1.5").unwrap(),
        name: "PC-0123".into(),
        hardware: None,
        source: DeviceSource::Table,
        since: Timestamp(0),
        until: None,
    };
    journal.push(0, &Record::Device(device));
    journal.ask(1, Event::Open, 5, "CONNECT tunnel www.example.com 443", allowed);
    journal.later(1, 2, Event::Established, |record| {
        record.dialled = Some("192.0.2.10:443".to_owned());
        (record.ja4, record.tls_key) = (Some(JA4.into()), Some("0123456789abcdef".into()));
    });
    journal.ask(3, Event::Open, 5, "GET http files.example 80 /a/setup.exe", |record| {
        allowed(record);
        record.user_agent = Some("Updater/1".into());
    });
    journal.later(3, 4, Event::Established, |record| record.dialled = Some("192.0.2.11:80".to_owned()));
    journal.later(3, 5, Event::Close, |record| {
        ended(300, 5 << 20, "end")(record);
        (record.status, record.body_type) = (Some(200), Some("pe"));
        (record.body_sha256, record.file_name) = (Some(HASH.to_owned()), Some("setup.exe".into()));
    });
    for second in 10..13 {
        journal.ask(second, Event::Refused, 6, "CONNECT tunnel evil.example 443", denied);
    }
    journal.ask(20, Event::Open, 6, "GET http dead.example 80 /", allowed);
    journal.later(20, 21, Event::Close, ended(0, 0, "dns_failed"));
    journal.ask(30, Event::Refused, 7, "GET http HOSTILE 80 /", |record| {
        denied(record);
        record.user_agent = Some("=cmd|' /C calc'!A0".into());
    });
    journal.ask(31, Event::Refused, 7, "GET http long.example 80 /", |record| {
        denied(record);
        record.user_agent = Some("x".repeat(65_536).as_str().into());
    });
    journal.later(1, 60, Event::Close, ended(1234, 56_789, "end"));
    journal.ask(DAY, Event::Open, 5, "GET http files.example 80 /orders/1042", |record| {
        allowed(record);
        (record.would, record.reason, record.rule) = (Some("deny"), Some("no_rule".into()), None);
    });
    journal.later(DAY, DAY + 1, Event::Close, ended(99, 2048, "end"));
    journal.ask(DAY + 2, Event::Open, 8, "GET http sub.evil.example 80 /gate", allowed);
    journal.later(DAY + 2, DAY + 3, Event::Close, ended(5, 0, "connect_failed"));
    let finding = Finding {
        id: FindingId::new(FindingKind::Beacon, "10.20.1.5", "files.example"),
        kind: FindingKind::Beacon,
        severity: Severity::High,
        score: 7.0,
        weight: 6.5,
        client: "10.20.1.5".into(),
        target: "files.example".into(),
        port: 80,
        first: Timestamp(BEGUN),
        last: Timestamp(BEGUN + DAY * SECOND),
        requests: 40,
        denied: 0,
        beat: None,
        grounds: Vec::new(),
        rarity: None,
        records: [2, 9],
    };
    journal.push(DAY + 4, &Record::Finding(Box::new(finding)));
    let triage = Triage {
        who: Person { uid: Some(0), login: None, console: None, claims: None },
        mark: Mark::Malicious,
        target: Some("evil.example".into()),
        finding_id: None,
        client: None,
        why: "asked".into(),
        until: None,
        before: None,
    };
    journal.push(DAY + 5, &Record::Triage(Box::new(triage)));
    for (second, key) in flows() {
        let time = Timestamp(BEGUN + second * SECOND);
        let bytes_up = key.rule.is_none().then_some(4096);
        let flow = Flow {
            key,
            count: second - DAY,
            packets: bytes_up.map(|_| 9),
            bytes_up,
            bytes_down: bytes_up,
            rolled_up: None,
            first: time,
            last: time,
        };
        journal.push(second, &Record::Flow(Box::new(flow)));
    }
    journal
}

/// What was tried past the proxy, and when.
fn flows() -> [(u64, FlowKey); 4] {
    let of = |source, state, client: &str, address: &str, port| FlowKey {
        client: client.parse().ok(),
        address: address.parse().ok(),
        port: Some(port),
        protocol: Some(Protocol::TCP),
        state: Some(state),
        ..FlowKey::of(source)
    };
    let refused = of(FlowSource::Nflog, FlowState::Refused, "10.20.1.5", "203.0.113.9", 8443);
    let captured = of(FlowSource::Conntrack, FlowState::Closed, "10.20.1.6", "10.20.0.1", 3130);
    let told = of(FlowSource::Syslog, FlowState::Dropped, "10.20.1.7", "2001:db8::9", 443);
    [
        (DAY + 6, FlowKey { rule: Some("out-office".into()), ..refused.clone() }),
        (DAY + 7, FlowKey { rule: Some("out-office".into()), ..refused }),
        (DAY + 8, FlowKey { meant: "203.0.113.10:80".parse().ok(), ..captured }),
        (DAY + 9, FlowKey { host: Some("c2.evil.example".into()), rule: Some(HOSTILE.into()), ..told }),
    ]
}

fn indexed(journal: &Journal) -> (TempDir, Index) {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("journal")).unwrap();
    fs::write(directory.path().join("journal/00000000000001-20261125T010000Z.jsonl"), &journal.text).unwrap();
    reindex(directory.path(), |_, _| {}).unwrap();
    let index = Index::open(directory.path()).unwrap();
    (directory, index)
}

fn told(answer: Answer, evidence: &Evidence<'_>, range: Range) -> Told {
    let range = answer.range.unwrap_or(range);
    let until = Timestamp(BEGUN + 2 * DAY * SECOND);
    let indexed = evidence.indexed();
    Told {
        answer,
        since: range.since.map(format_time),
        until: format_time(range.until.unwrap_or(until)),
        zone: "Asia/Tokyo".to_owned(),
        indexed: IndexedSaid { record: indexed.seq, time: format_time(indexed.time), behind: Some(0) },
        range: Range { since: range.since, until: Some(range.until.unwrap_or(until)) },
    }
}

/// Compares what is told with the file of this name; all differences are shown at once.
fn compare(name: &str, told: &str, wrong: &mut String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/review").join(name);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, told).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if told != expected {
        *wrong += &format!("--- {name}: expected\n{expected}--- {name}: told\n{told}");
    }
}

const LIST: &str = "# of a partner\nevil[.]example\n192.0.2[.]11\nhxxp://files[.]example/a/setup.exe\n\
    hxxps://www[.]example[.]com/never\n203.0.113.0/24\nt13d1516h2_8daaf6152771_02713d6af862\n\
    e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\nwhat is this\nnobody.example\n";

#[test]
fn a_query_is_found_by_its_keyed_hash_and_by_nothing_else() {
    let key = [7; 32];
    let mut journal = Journal { chain: Chain::start(), text: Vec::new() };
    for (second, query) in [(1, Some("id=1&k=v")), (2, Some("id=2")), (3, None)] {
        journal.ask(second, Event::Open, 5, "GET http files.example 80 /get", |record| {
            allowed(record);
            let target = record.target.as_mut().unwrap();
            target.query_hash = query.map(|query| query_hash(&key, query));
        });
    }
    let (directory, index) = indexed(&journal);
    let evidence = Evidence::new(&index).unwrap();
    let asked = |list: &str| {
        let indicators = Indicators::read(list);
        let answer = sweep(&evidence, directory.path(), "list", &indicators, Range::default(), 50).unwrap();
        let cell = |row: &[Cell], at: usize| match &row[at] {
            Cell::Text(text) => text.clone(),
            Cell::Count(count) => count.to_string(),
            other => panic!("{other:?}"),
        };
        let rows: Vec<_> = answer.tables[0].rows.iter().map(|row| (cell(row, 2), cell(row, 6))).collect();
        (rows, answer.notes.join("; "))
    };
    let row = |fit: &str, requests: &str| (fit.to_owned(), requests.to_owned());
    let list = "hxxp://files[.]example/get?id=1&k=v";
    let (rows, notes) = asked(list);
    assert_eq!(rows, [row("url", "3")]);
    assert!(notes.contains("query.key cannot be read"), "{notes}");
    fs::write(directory.path().join("query.key"), key).unwrap();
    let (rows, notes) = asked(list);
    assert_eq!(rows, [row("url", "2"), row("url and query", "1")]);
    assert!(!notes.contains("cannot be read"), "{notes}");
    assert_eq!(asked("http://files.example/get?id=3").0, [row("url", "3")]);
    assert_eq!(asked("http://files.example/other?id=1&k=v").0, [row("host of url", "3")]);
    fs::write(directory.path().join("query.key"), [8; 32]).unwrap();
    assert_eq!(asked(list).0, [row("url", "3")], "the key of another gate");
}

#[test]
fn each_question_is_answered_as_its_golden_files_say() {
    let (directory, index) = indexed(&journal());
    let evidence = Evidence::new(&index).unwrap();
    let look = Look { zone: TimeZone::get("Asia/Tokyo").unwrap(), colour: false, width: 180 };
    let all = Range::default();
    let id = ExchangeId(BEGUN + 3 * SECOND).to_string();
    let indicators = Indicators::read(LIST);
    let like_by = |by| like(&evidence, &id, by, all, 50);
    let of_device = Evidence::new(&index).unwrap().only_of("PC-0123", all).unwrap();
    let answers = [
        ("blocked", blocked(&evidence, all, 50)),
        ("blocked-limit", blocked(&evidence, all, 1)),
        ("blocked-of-device", blocked(&of_device, all, 50)),
        ("programs-of-device", programs(&of_device, all, 50)),
        ("host-past-proxy", host(&evidence, "203.0.113.9", all, 50)),
        ("like-value", like_value(&evidence, "sub.evil.example", By::Domain, all, 50)),
        ("client", client(&evidence, "10.20.1.5", all, 50)),
        ("client-device", client(&evidence, "pc-0123", all, 50)),
        ("client-none", client(&evidence, "10.99.0.1", all, 50)),
        ("host", host(&evidence, "files.example", all, 50)),
        ("host-below", host(&evidence, "*.example", all, 50)),
        ("host-none", host(&evidence, "nobody.example", all, 50)),
        ("unknown", unknown(&evidence, all, 50)),
        ("errors", errors(&evidence, all, 50)),
        ("programs", programs(&evidence, all, 50)),
        ("beacons", findings(&evidence, FindingsOf::Beacons, all, 50)),
        ("tunnels", findings(&evidence, FindingsOf::Tunnels, all, 50)),
        ("findings", findings(&evidence, FindingsOf::All, all, 50)),
        ("sweep", sweep(&evidence, directory.path(), "list.txt", &indicators, all, 50)),
        ("around", around(&evidence, &id, 600 * SECOND, 50)),
        ("like-host", like_by(By::Host)),
        ("like-domain", like_by(By::Domain)),
        ("like-network", like_by(By::Network)),
        ("like-path", like_by(By::Path)),
        ("like-size", like_by(By::Size)),
        ("like-minute", like_by(By::Minute)),
        ("like-client", like_by(By::Client)),
        ("like-ja4", like(&evidence, "2", By::Ja4, all, 50)),
    ];
    let mut wrong = String::new();
    for (name, answer) in answers {
        let told = told(answer.unwrap_or_else(|error| panic!("{name}: {error}")), &evidence, all);
        let table = in_tables(&told, &look);
        let json = in_json(&told).unwrap();
        let csv = String::from_utf8(in_csv(&told.answer.tables[0], &look)).unwrap();
        for text in [&table, &json, &csv] {
            let is_safe = |c: char| matches!(c, '\n' | '\r') || shown(&c.to_string()) == c.to_string();
            assert!(text.chars().all(is_safe), "{name}: {text:?}");
        }
        serde_json::from_str::<serde_json::Value>(&json).unwrap();
        compare(&format!("{name}.txt"), &table, &mut wrong);
        compare(&format!("{name}.json"), &json, &mut wrong);
        compare(&format!("{name}.csv"), &csv, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn each_question_is_answered_where_nothing_is_on_record() {
    let mut journal = Journal { chain: Chain::start(), text: Vec::new() };
    journal.push(0, &Record::Segment(crate::evidence::Segment { prev: "0".repeat(64) }));
    let (directory, index) = indexed(&journal);
    let evidence = Evidence::new(&index).unwrap();
    let all = Range::default();
    let none = Indicators::read("");
    for answer in [
        blocked(&evidence, all, 50),
        client(&evidence, "10.20.1.5", all, 50),
        host(&evidence, "a.example", all, 50),
        unknown(&evidence, all, 50),
        errors(&evidence, all, 50),
        programs(&evidence, all, 50),
        findings(&evidence, FindingsOf::All, all, 50),
        sweep(&evidence, directory.path(), "list", &none, all, 50),
    ] {
        let answer = answer.unwrap();
        let empty = answer.tables.iter().filter(|table| table.name != "addresses").all(|table| table.rows.is_empty());
        assert!(empty && answer.unread.is_empty(), "{answer:?}");
    }
    assert!(matches!(around(&evidence, "7", SECOND, 50), Err(QuestionError::NoRow(_))));
    assert!(matches!(like(&evidence, "00000000000", By::Host, all, 50), Err(QuestionError::NoRow(_))));
    assert!(matches!(client(&evidence, "PC-9", all, 50), Err(QuestionError::NoDevice(_))));
    assert!(matches!(host(&evidence, "a b", all, 50), Err(QuestionError::BadHost(..))));
}

#[test]
fn a_span_may_have_a_sign_and_has_an_end() {
    for text in ["10m", "±10m", "+-10m"] {
        assert_eq!(span(text), Ok(600 * SECOND), "{text}");
    }
    for text in ["", "10", "8d", "m"] {
        assert!(span(text).is_err(), "{text}");
    }
}
