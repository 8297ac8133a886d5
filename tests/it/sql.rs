//! `sekisho sql`, asked of a data directory with a sealed segment, a plain one, and names that others chose with ill will.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use sekisho::evidence::{Chain, Event, Exchange, Record, Segment, Source, Target, compact_time};
use sekisho::facts::{ExchangeId, Timestamp};
use sekisho::store::Sealer;

/// 2026-11-25T22:00:00Z, in microseconds.
const BEGUN: u64 = 1_795_644_000_000_000;
const MINUTE: u64 = 60_000_000;

/// Hosts that clients asked for, as records may have them.
const HOSTS: [&str; 5] =
    ["portal.example", "\u{1b}[2J\u{202e}evil.example", "a,\"b\".example", "=cmd|'x'!A0.example", "関所.example"];

/// What stands before the 32 bytes of an Ed25519 key (RFC 8410, section 7). Those of the tests' are all the same, so that
/// signatures are, too.
const KEY_OF_PKCS8: &[u8] = &[0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// A data directory of two days: 60 exchanges, most of them ended, of which a segment is sealed; and its index.
pub(crate) fn data_dir() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("journal")).unwrap();
    let mut chain = Chain::start();
    let keeper = Source { gate: "gate".into(), site: None }.encode();
    let members = |record: &Record, time: u64| [keeper.clone(), record.encode(Timestamp(time))].concat();
    for segment in 0..2 {
        let begun = BEGUN + segment * 150 * MINUTE;
        let mut text = Vec::new();
        let path =
            directory.path().join(format!("journal/{:014}-{}.jsonl", chain.seq + 1, compact_time(Timestamp(begun))));
        let opening = Record::Segment(Segment { prev: chain.hash_hex() });
        chain.append(&members(&opening, begun), &mut text);
        for number in 0..30 {
            let time = begun + number * 5 * MINUTE;
            for record in exchange(segment * 30 + number, time) {
                chain.append(&members(&Record::Exchange(Box::new(record)), time), &mut text);
            }
        }
        fs::write(path, text).unwrap();
    }
    fs::write(directory.path().join("checkpoint.key"), [KEY_OF_PKCS8, &[7; 32]].concat()).unwrap();
    let sealer = Sealer::new(directory.path(), "gate").unwrap();
    for segment in sealer.due().unwrap() {
        sealer.seal(&segment, Timestamp(BEGUN + 1000 * MINUTE), || true).unwrap();
    }
    let kinds: Vec<_> =
        fs::read_dir(directory.path().join("journal")).unwrap().map(|file| file.unwrap().path()).collect();
    for kind in ["zst", "jsonl"] {
        assert!(kinds.iter().any(|path| path.extension().is_some_and(|ending| ending == kind)), "{kinds:?}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .args(["reindex", "--data-dir"])
        .arg(directory.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    directory
}

/// The records of an exchange: its first, and for most its end.
fn exchange(number: u64, time: u64) -> Vec<Exchange> {
    let id = ExchangeId(time);
    let refused = number % 4 == 3;
    let mut first = Exchange::new(if refused { Event::Refused } else { Event::Open }, id);
    first.client = Some(format!("10.0.0.{}", number % 3));
    first.user_agent = Some("agent/1 \u{1b}]0;x\u{7}".into());
    first.method = Some("GET".into());
    first.target = Some(Target {
        scheme: "http",
        host: HOSTS[number as usize % HOSTS.len()].into(),
        port: 80,
        path: Some(format!("/orders/{number}").as_str().into()),
        query_bytes: None,
        query_hash: None,
        query: None,
    });
    first.verdict = Some(if refused { "deny" } else { "allow" });
    first.reason = Some(if refused { ["no_rule", "guard_address"][number as usize / 5 % 2] } else { "rule" }.into());
    let mut records = vec![first];
    if !refused && !number.is_multiple_of(7) {
        let mut end = Exchange::new(Event::Close, id);
        (end.bytes_up, end.bytes_down) = (Some(100 + number), Some(number * 1000));
        end.total_us = Some(12_345);
        (end.closed_by, end.closed_how) = (Some("origin"), Some("end".into()));
        records.push(end);
    }
    records
}

fn command(data_dir: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.arg("sql").args(arguments).arg("--data-dir").arg(data_dir).stdin(Stdio::null());
    command
}

/// What is answered, as objects.
pub(crate) fn asked(data_dir: &Path, statement: &str) -> Vec<Value> {
    let output = command(data_dir, &["--format", "json", statement]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).unwrap()
}

#[test]
fn every_format_has_the_answer_and_no_name_reaches_the_terminal_raw() {
    let directory = data_dir();
    let statement = "SELECT host, count(*) AS requests, sum(bytes_down) AS bytes_down, max(time) AS last
        FROM exchanges WHERE client = '10.0.0.1' AND day = '2026-11-25' GROUP BY host ORDER BY host";
    let table = "\
host                           requests  bytes_down  last
\\u{1b}[2J\\u{202e}evil.example         2       17000  2026-11-25T23:20:00.000000Z
=cmd|'x'!A0.example                   1       13000  2026-11-25T23:05:00.000000Z
a,\"b\".example                         2       22000  2026-11-25T23:50:00.000000Z
portal.example                        1       10000  2026-11-25T22:50:00.000000Z
関所.example                          2        4000  2026-11-25T23:35:00.000000Z
";
    let csv = "host,requests,bytes_down,last\r\n";
    let output = command(directory.path(), &[statement]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(text(&output.stdout), table, "{}", text(&output.stdout));
    let output = command(directory.path(), &["--format", "csv", statement]).output().unwrap();
    let answer = text(&output.stdout);
    assert!(answer.starts_with(csv) && answer.contains("\"'=cmd|'x'!A0.example\",1,13000,"), "{answer}");
    assert!(answer.contains("\"a,\"\"b\"\".example\",2,22000,"), "{answer}");
    assert!(answer.chars().all(|c| c == '\r' || c == '\n' || !c.is_control() && c != '\u{202e}'), "{answer}");
    let output = command(directory.path(), &["--format", "json", statement]).output().unwrap();
    assert!(text(&output.stdout).lines().all(|line| !line.contains(char::is_control)), "{output:?}");
    let rows = asked(directory.path(), statement);
    assert_eq!(rows[0]["host"], HOSTS[1], "{rows:?}");
    assert_eq!(
        rows[1],
        json!({ "host": HOSTS[3], "requests": 1, "bytes_down": 13000, "last": "2026-11-25T23:05:00.000000Z" })
    );
}

#[test]
fn a_statement_may_come_from_standard_input_and_goes_on_record() {
    let directory = data_dir();
    let mut child = command(directory.path(), &["-", "--format", "csv"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"SELECT count(*) AS n,\n sum(open) AS open FROM exchanges").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "n,open\r\n60,7\r\n"));
    let mut journal = String::new();
    for file in fs::read_dir(directory.path().join("journal")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "jsonl") {
            journal += &fs::read_to_string(path).unwrap();
        }
    }
    let lookup = journal.lines().find(|line| line.contains("\"kind\":\"lookup\"")).expect("the look-up is on record");
    let lookup: Value = serde_json::from_str(lookup).unwrap();
    assert_eq!(lookup["question"], "sql: SELECT count(*) AS n,\n sum(open) AS open FROM exchanges");
}

#[test]
fn what_does_other_than_read_is_refused_and_mistakes_are_shown_with_their_place() {
    let directory = data_dir();
    let before = fs::read(directory.path().join("index.db")).unwrap();
    for (statement, code, words) in [
        ("ATTACH '/etc/passwd' AS p", 2, "refused: ATTACH opens another file"),
        ("PRAGMA query_only = 0", 2, "refused: PRAGMA query_only"),
        ("DELETE FROM event", 2, "refused: a statement that would write"),
        ("VACUUM INTO 'copy.db'", 2, "refused: "),
        ("SELECT load_extension('x.so')", 2, "refused: the function load_extension"),
        ("SELECT readfile('/etc/passwd')", 2, "no such function: readfile, at line 1, column 8:\n  SELECT readfile("),
        ("SELECT 1; SELECT 2", 2, "more than one statement"),
        ("", 2, "there is no statement to run"),
        (
            "SELECT hots FROM exchanges",
            2,
            "no such column: hots, at line 1, column 8:\n  SELECT hots FROM exchanges\n         ^\n",
        ),
        ("SELECT \u{1b}[2J", 2, "\\u{1b}"),
    ] {
        let output = command(directory.path(), &[statement]).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{statement}: {error}");
        assert!(error.contains(words) && error.contains("\nhint: "), "{statement}: {error}");
        assert!(output.stdout.is_empty() && !error.contains('\u{1b}'), "{statement}: {output:?}");
    }
    assert!(fs::read(directory.path().join("index.db")).unwrap() == before, "the index is as it was");
    assert!(!directory.path().join("copy.db").exists());
    let nowhere = tempfile::tempdir().unwrap();
    let output = command(nowhere.path(), &["SELECT 1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("there is no index at ") && text(&output.stderr).contains("sekisho reindex"));
    assert_eq!(fs::read_dir(nowhere.path()).unwrap().count(), 0, "nothing was made there");
}

/// Begins a statement that never ends, and interrupts it once it has written its head.
fn interrupted(statement: &str) -> Output {
    let directory = data_dir();
    let statement = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) {statement}");
    let mut child = command(directory.path(), &["--format", "csv", &statement])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut head = String::new();
    let mut out = BufReader::with_capacity(16, child.stdout.take().unwrap());
    out.read_line(&mut head).unwrap();
    assert!(head.ends_with("\r\n"), "{head}");
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    // Its output is held open, and read no further.
    let output = child.wait_with_output().unwrap();
    drop(out);
    output
}

#[test]
fn ctrl_c_ends_a_statement_at_once_whatever_it_waits_for() {
    for statement in ["SELECT count(*) FROM n", "SELECT i FROM n"] {
        let output = interrupted(statement);
        assert_eq!(output.status.code(), Some(130), "{statement}: {output:?}");
        assert_eq!(text(&output.stderr), "sekisho: stopped\n", "{statement}");
    }
}

#[test]
fn the_schema_that_is_told_is_the_one_that_answers() {
    let output = Command::new(env!("CARGO_BIN_EXE_sekisho")).args(["sql", "--schema"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let schema = text(&output.stdout);
    let directory = data_dir();
    let mut views = 0;
    for view in schema.split("\n\n").skip(1) {
        let (name, _) = view.split_once(": ").unwrap();
        let columns: Vec<_> = view.lines().skip(1).map(|line| line.split_whitespace().next().unwrap()).collect();
        let statement = format!("SELECT \"{}\" FROM {name} LIMIT 1", columns.join("\", \""));
        let output = command(directory.path(), &["--format", "csv", &statement]).output().unwrap();
        assert_eq!(text(&output.stdout).lines().next().unwrap(), columns.join(","), "{name}");
        views += 1;
    }
    for name in ["exchanges", "flows", "findings", "clients", "hosts", "events", "devices", "contacts"] {
        assert!(schema.contains(&format!("\n{name}: ")), "{name}");
    }
    assert_eq!(views, 8, "{schema}");
}
