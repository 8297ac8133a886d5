//! The questions about what is on record, asked beside a gate that has just written it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use sekisho::policy::Policy;

use crate::gate::Gate;
use crate::origin::Origin;

fn sekisho(gate: &Gate, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .args(arguments)
        .arg("--data-dir")
        .arg(gate.data_dir())
        .current_dir(gate.directory.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn json(gate: &Gate, arguments: &[&str]) -> Value {
    let output = sekisho(gate, &[arguments, &["--format", "json"]].concat());
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A request that the gate has answered, so that its record is in the journal.
fn ask(gate: &Gate, target: &str, host: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tester/1\r\nConnection: close\r\n\r\n");
    gate.send(request.as_bytes())
}

fn write(gate: &Gate, name: &str, text: &str) {
    std::fs::write(gate.directory.path().join(name), text).unwrap();
}

/// Times, ports and directories differ from run to run.
fn without_what_differs(text: &str, origin: &Origin, directory: &Path) -> String {
    let text = text.replace(&origin.address.to_string(), "ORIGIN").replace(&directory.display().to_string(), "DIR");
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("20") {
        let (before, time) = rest.split_at(at);
        out.push_str(before);
        let is_time = time.get(4..5) == Some("-") && time.get(26..27) == Some("Z");
        out.push_str(if is_time { "TIME" } else { &time[..2] });
        rest = &time[if is_time { 27 } else { 2 }..];
    }
    out + rest
}

#[test]
fn replay_shows_what_another_policy_would_have_changed_and_nothing_for_the_one_in_force() {
    let origin = Origin::start();
    let gate = Gate::start(&origin.policy());
    let host = origin.address.to_string();
    for path in ["/a", "/b"] {
        assert!(ask(&gate, &format!("http://{host}{path}"), &host).starts_with("HTTP/1.1 200 "));
    }
    assert!(ask(&gate, "http://b.example/", "b.example").starts_with("HTTP/1.1 403 "));
    assert!(gate.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").starts_with("HTTP/1.1 400 "));

    let same = json(&gate, &["replay", "policy.toml"]);
    assert_eq!((&same["judged"], &same["same"], &same["changed"]), (&json!(3), &json!(3), &json!(0)), "{same:#}");
    assert_eq!(same["not_judged_by"], json!([{ "reason": "several_hosts", "exchanges": 1 }]), "{same:#}");

    write(&gate, "new.toml", "[[rule]]\nname = \"b\"\nhosts = [\"b.example\"]\nverdict = \"allow\"\n");
    let output = sekisho(&gate, &["replay", "new.toml", "--examples", "1"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let shown = without_what_differs(&String::from_utf8(output.stdout).unwrap(), &origin, gate.directory.path());
    let (head, rest) = shown.split_once("exchanges    ").unwrap();
    assert!(
        head.starts_with("policy       new.toml (") && head.contains("), enforce\njournal      DIR/data/journal: "),
        "{shown}"
    );
    let expected = "\
4, from TIME to TIME
judged       3
same         0
changed      3
undecided    0
not judged   1
change       allow -> deny: 2 exchanges of 1 client
               rule origin (DIR/policy.toml:2) -> port_not_opened
               from TIME to TIME
                 TIME 127.0.0.1 GET http://ORIGIN/a
change       deny -> allow: 1 exchange of 1 client
               no_rule -> rule b (new.toml:2)
               from TIME to TIME
                 TIME 127.0.0.1 GET http://b.example/
client       127.0.0.1: allow -> deny: 2, deny -> allow: 1
not judged   several_hosts: 1 exchange
result       3 exchanges would change
";
    assert_eq!(rest, expected, "{shown}");

    let later = json(&gate, &["replay", "new.toml", "--since", "2999-01-01"]);
    assert_eq!(later["exchanges"], 0, "{later:#}");
}

#[test]
fn replay_says_what_is_wrong_with_what_it_is_given() {
    let gate = Gate::start("");
    write(&gate, "bad.toml", "[policy]\nmod = 1\n");
    for (arguments, code, words) in [
        (&["replay", "bad.toml"][..], 2, "bad.toml:2:1: unknown key `mod`"),
        (&["replay", "gone.toml"], 2, "cannot read the policy file gone.toml"),
        (&["replay", "policy.toml", "--since", "yesterday"], 2, "write a day (2026-11-01, from midnight UTC), a time"),
        (&["replay", "policy.toml", "--examples", "21"], 2, "write a number from 0 to 20"),
    ] {
        let output = sekisho(&gate, arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert!(error.contains(words) && output.stdout.is_empty(), "{error}");
    }
    let mut nowhere = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let nowhere = nowhere.args(["replay", "policy.toml", "--data-dir", "gone"]).current_dir(gate.directory.path());
    let output = nowhere.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("there are no records in gone/journal"));
}

#[test]
fn learn_proposes_what_was_used_as_a_policy_that_lets_it_pass_and_lists_what_it_leaves_out() {
    let origin = Origin::start();
    let mut gate = Gate::start(&format!("[clients]\nhere = {{ addresses = [\"127.0.0.0/8\"] }}\n{}", origin.policy()));
    let host = origin.address.to_string();
    for _ in 0..3 {
        assert!(ask(&gate, &format!("http://{host}/a"), &host).starts_with("HTTP/1.1 200 "));
    }
    assert!(ask(&gate, "http://b.example/", "b.example").starts_with("HTTP/1.1 403 "));

    // What an exchange led to is on record when it has ended.
    assert_eq!(gate.end("-TERM"), Some(0));
    let output = sekisho(&gate, &["learn", "--min-requests", "3"]);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let policy = Policy::compile("learnt.toml", &text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    assert_eq!((policy.rules(), policy.cases(), policy.observes()), (1, 1, true), "{text}");
    for part in [
        "[clients.here]\naddresses = [\"127.0.0.1/32\"]\n",
        "# 3 requests by 1 client on 1 day, ",
        "# mainly by tester/1 (at least 3 requests)\n",
        &format!("hosts   = [\"127.0.0.1\"]\nports   = [{}]\nprivate = [\"127.0.0.1/32\"]\n", origin.address.port()),
        "#   b.example, here: denied (no_rule); 1 request, ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    write(&gate, "learnt.toml", &text);
    let replayed = json(&gate, &["replay", "learnt.toml"]);
    assert_eq!((&replayed["same"], &replayed["changed"]), (&json!(4), &json!(0)), "{replayed:#}");

    let rare = json(&gate, &["learn", "--min-requests", "4"]);
    assert_eq!(rare["proposals"], json!([]));
    let reasons: Vec<_> = rare["left_out"].as_array().unwrap().iter().map(|left| left["reason"].clone()).collect();
    assert_eq!(reasons, [json!("rare"), json!("denied")], "{rare:#}");
}

/// A sealed-off copy of what a gate has on record, with its index.
fn index(gate: &Gate) {
    sekisho::store::reindex(&gate.data_dir(), |_, _| {}).unwrap();
}

#[test]
fn a_question_is_answered_beside_the_gate_and_says_what_to_do_where_there_is_no_index() {
    let origin = Origin::start();
    let gate = Gate::start(&origin.policy());
    let host = origin.address.to_string();
    assert!(ask(&gate, &format!("http://{host}/a"), &host).starts_with("HTTP/1.1 200 "));
    assert!(ask(&gate, "http://b.example/", "b.example").starts_with("HTTP/1.1 403 "));
    let missing = gate.directory.path().join("nowhere");
    let output = Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .args(["review", "blocked", "--data-dir"])
        .arg(&missing)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("there is no index at") && told.contains("sekisho reindex"), "{told}");

    index(&gate);
    let blocked = json(&gate, &["review", "blocked", "--since", "1h"]);
    assert_eq!(blocked["facts"]["blocked"], json!(1), "{blocked:#}");
    assert_eq!(blocked["tables"]["hosts"]["rows"][0]["host"], json!("b.example"), "{blocked:#}");
    let id = blocked["tables"]["list"]["rows"][0]["id"].as_str().unwrap().to_owned();
    let around = json(&gate, &["review", "around", &id, "±10m"]);
    assert_eq!(around["tables"]["exchanges"]["rows"].as_array().map(Vec::len), Some(2), "{around:#}");

    let table = sekisho(&gate, &["review", "host", "b.example", "--tz", "Asia/Tokyo"]);
    let shown = String::from_utf8(table.stdout).unwrap();
    assert!(table.status.success() && shown.contains("+09:00") && !shown.contains('\x1b'), "{shown}");
    let csv = sekisho(&gate, &["review", "blocked", "--part", "hosts", "--format", "csv"]);
    let shown = String::from_utf8(csv.stdout).unwrap();
    assert!(shown.starts_with("host,port,requests,") && shown.contains("\r\nb.example,80,1,"), "{shown}");
    let none = sekisho(&gate, &["review", "blocked", "--part", "host"]);
    assert_eq!(none.status.code(), Some(2));
}

#[test]
fn how_far_the_index_lags_is_said_also_where_all_segments_are_sealed() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let host = origin.address.to_string();
    assert!(ask(&gate, &format!("http://{host}/a"), &host).starts_with("HTTP/1.1 200 "));
    assert_eq!(gate.end("-TERM"), Some(0));
    index(&gate);
    // The look itself goes on record, and the index does not have it.
    let behind = |question: &str| {
        let told = json(&gate, &["review", question]);
        (told["indexed"]["behind"].as_u64().unwrap(), told["unread"].clone())
    };
    let (first, unread) = behind("blocked");
    assert!(first > 0 && unread == json!([]), "{first} {unread}");
    let (second, _) = behind("errors");
    assert!(second > first, "{first} {second}");
    let table = sekisho(&gate, &["review", "unknown"]);
    let shown = String::from_utf8(table.stdout).unwrap();
    assert!(shown.contains(" records behind the journal\n"), "{shown}");
    for segment in std::fs::read_dir(gate.data_dir().join("journal")).unwrap() {
        let segment = segment.unwrap().path();
        if segment.extension().is_some_and(|ending| ending == "jsonl") {
            let sealer = sekisho::store::Sealer::new(&gate.data_dir(), "gate").unwrap();
            let sealed = sealer.seal(&segment, sekisho::facts::Timestamp(1_795_568_400_000_000), || true);
            assert!(sealed.is_ok() && !segment.exists(), "{sealed:?}");
        }
    }
    let (sealed, _) = behind("programs");
    assert!(sealed > second, "{second} {sealed}");
}

#[test]
fn what_cannot_be_read_of_the_index_is_named_and_the_rest_is_answered_with_exit_code_4() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    assert!(ask(&gate, "http://b.example/", "b.example").starts_with("HTTP/1.1 403 "));
    assert_eq!(gate.end("-TERM"), Some(0));
    index(&gate);
    let broken = rusqlite::Connection::open(gate.data_dir().join("index.db")).unwrap();
    let day: i64 = broken.query_row("SELECT max(day) FROM day", [], |row| row.get(0)).unwrap();
    broken.execute_batch(&format!("DROP TABLE s_{day}; DROP TABLE p_{day}")).unwrap();
    drop(broken);
    write(&gate, "list.txt", "b.example\n");
    for question in [&["programs"][..], &["host", "b.example"], &["client", "127.0.0.1"], &["sweep", "list.txt"]] {
        let output = sekisho(&gate, &[&["review"], question, &["--format", "json"]].concat());
        assert_eq!(output.status.code(), Some(4), "{question:?} {output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let unread = told["unread"][0].as_str().unwrap();
        assert!(unread.starts_with("the index of 20") && unread.contains("no such table"), "{told:#}");
        let table = sekisho(&gate, &[&["review"], question].concat());
        assert_eq!(table.status.code(), Some(4), "{table:?}");
        assert!(String::from_utf8(table.stdout).unwrap().contains("\nunread   the index of 20"));
    }
    // What that day has elsewhere is answered.
    let blocked = json(&gate, &["review", "blocked"]);
    assert_eq!(blocked["facts"]["blocked"], json!(1), "{blocked:#}");
}

#[test]
fn a_persons_records_are_shown_only_when_that_is_on_record() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let host = origin.address.to_string();
    assert!(ask(&gate, &format!("http://{host}/a"), &host).starts_with("HTTP/1.1 200 "));
    index(&gate);
    let client = json(&gate, &["review", "client", "127.0.0.1", "--since", "1d"]);
    assert_eq!(client["facts"]["hosts"], json!(1), "{client:#}");
    let host = json(&gate, &["review", "host", "b.example"]);
    assert_eq!(host["facts"]["clients"], json!(0), "{host:#}");
    write(&gate, "list.txt", "b.example\n");
    for question in [
        &["blocked"][..],
        &["unknown"],
        &["errors"],
        &["programs", "--client", "127.0.0.1"],
        &["findings"],
        &["sweep", "list.txt"],
        &["like", "--by", "ja4", "--value", "t13"],
        &["like", "--by", "client", "--value", "127.0.0.1"],
    ] {
        json(&gate, &[&["review"], question].concat());
    }
    let exported = sekisho(&gate, &["export", "--format", "csv"]);
    assert!(exported.status.success(), "{exported:?}");
    let lookups: Vec<Value> = gate.records().into_iter().filter(|record| record["kind"] == "lookup").collect();
    // Of a sweep it is told which list it was, too.
    let asked = |lookup: &Value| lookup["question"].as_str().unwrap().to_owned();
    let without_mark = |asked: &str| asked.split(" (blake3 ").next().unwrap().to_owned();
    let marked: Vec<_> = lookups.iter().map(asked).filter(|asked| *asked != without_mark(asked)).collect();
    assert!(marked.len() == 1 && marked[0].starts_with("review sweep list.txt (blake3 "), "{marked:?}");
    let told: Vec<_> = lookups.iter().map(|lookup| (without_mark(&asked(lookup)), &lookup["client"])).collect();
    let (nobody, client) = (Value::Null, json!("127.0.0.1"));
    let expected = [
        ("review client", &client),
        ("review host b.example", &nobody),
        ("review blocked", &nobody),
        ("review unknown", &nobody),
        ("review errors", &nobody),
        ("review programs", &client),
        ("review findings", &nobody),
        ("review sweep list.txt", &nobody),
        ("review like t13 by ja4", &nobody),
        ("review like", &client),
        ("export", &nobody),
    ];
    assert_eq!(told, expected.map(|(asked, client)| (asked.to_owned(), client)));
    assert!(lookups[0]["since"].is_string(), "{lookups:#?}");
    assert!(lookups.iter().all(|lookup| lookup["uid"].is_number()), "{lookups:#?}");
    // The gate has ended by now; a journal that takes no record leaves the question unanswered.
    let journal = gate.data_dir().join("journal");
    std::fs::rename(&journal, gate.data_dir().join("elsewhere")).unwrap();
    let output = sekisho(&gate, &["review", "client", "127.0.0.1"]);
    assert_eq!((output.status.success(), output.stdout.len()), (false, 0), "{output:?}");
}
