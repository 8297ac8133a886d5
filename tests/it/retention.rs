//! Days of the journal that are kept no longer, and those that a legal hold keeps.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sekisho::clock;
use sekisho::evidence::{Chain, Event, Exchange, Record, Segment, Target, compact_time};
use sekisho::facts::{ExchangeId, Timestamp};
use serde_json::{Value, json};

use crate::gate::{Gate, Start, records, status_of};
use crate::sql::asked;

const DAY: u64 = 86_400_000_000;
const HOUR: u64 = 3_600_000_000;
const POLICY: &str = "[policy]\nunknown = \"deny\"\n";

fn sekisho(arguments: &[&str], data_dir: &Path) -> Output {
    let (first, rest) = arguments.split_at(if arguments[0] == "verify" { 1 } else { 0 });
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(first).args(rest);
    if first.is_empty() {
        command.arg("--data-dir");
    }
    command.arg(data_dir).output().unwrap()
}

fn json_of(arguments: &[&str], data_dir: &Path) -> Value {
    let output = sekisho(&[arguments, &["--format", "json"]].concat(), data_dir);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{arguments:?}: {output:?}"))
}

/// A data directory of a gate that ran for some days, so many days ago, with two segments on each, of which one client
/// each day has exchanges.
fn journal(days: &[(u64, &str)]) -> tempfile::TempDir {
    let data_dir = tempfile::tempdir().unwrap();
    journal_in(data_dir.path(), days, 20);
    data_dir
}

/// The same there, with so many records in each segment.
pub(crate) fn journal_in(data_dir: &Path, days: &[(u64, &str)], records: u64) {
    let directory = data_dir.join("journal");
    fs::create_dir_all(&directory).unwrap();
    for path in [data_dir, &directory] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let today = clock::now().0 / DAY * DAY;
    let mut chain = Chain::start();
    for (ago, client) in days {
        for hour in [9, 10] {
            let begun = Timestamp(today - ago * DAY + hour * HOUR);
            let name = format!("{:014}-{}.jsonl", chain.seq + 1, compact_time(begun));
            let (prev, mut text) = (hex(&chain), Vec::new());
            let source = br#""gate":"sekisho","#;
            let mut append = |record: Record, time: u64| {
                chain.append(&[source.as_slice(), &record.encode(Timestamp(time))].concat(), &mut text);
            };
            append(Record::Segment(Segment { prev }), begun.0);
            for number in 1..records {
                let time = begun.0 + number * 100_000;
                let mut exchange = Exchange::new(Event::Refused, ExchangeId(time));
                exchange.client = Some((*client).to_owned());
                (exchange.verdict, exchange.reason) = (Some("deny"), Some("no_rule".into()));
                exchange.target = Some(Target {
                    scheme: "http",
                    host: format!("{client}.example").as_str().into(),
                    port: 80,
                    path: Some("/".into()),
                    query_bytes: None,
                    query_hash: None,
                    query: None,
                });
                append(Record::Exchange(Box::new(exchange)), time);
            }
            fs::write(directory.join(&name), text).unwrap();
            fs::set_permissions(directory.join(name), fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

fn hex(chain: &Chain) -> String {
    chain.hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn gate(data_dir: &Path, config: &str) -> Gate {
    Start { policy: POLICY, config, data_dir: Some(data_dir.to_owned()), ..Start::default() }.gate()
}

/// Runs a gate until its status says so, and ends it.
fn run(data_dir: &Path, config: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let mut gate = gate(data_dir, config);
    let status = until(data_dir, is_so);
    assert_eq!(gate.end("-TERM"), Some(0));
    status
}

fn until(data_dir: &Path, is_so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let status = status_of(data_dir);
        if is_so(&status) {
            return status;
        }
        for part in ["sealing", "index", "retention"] {
            assert_eq!(status[part]["error"], Value::Null, "{status:#}");
        }
        std::thread::yield_now();
    }
}

fn is_sealed(status: &Value) -> bool {
    status["sealing"]["last"] != Value::Null && status["sealing"]["waiting"] == 0
}

fn clients(data_dir: &Path) -> BTreeSet<String> {
    let records = records(data_dir);
    records.iter().filter_map(|record| record["client"].as_str()).map(str::to_owned).collect()
}

fn segments(data_dir: &Path) -> usize {
    let paths = fs::read_dir(data_dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path: &PathBuf| path.extension().is_some_and(|ending| ending == "zst" || ending == "jsonl")).count()
}

#[test]
fn days_go_once_a_checkpoint_vouches_for_it_and_held_ones_stay() {
    let days = [(10, "10.1.0.10"), (9, "10.1.0.9"), (8, "10.1.0.8"), (7, "10.1.0.7"), (1, "10.1.0.1")];
    let data_dir = journal(&days);
    let data_dir = data_dir.path();
    run(data_dir, "", is_sealed);
    let before = segments(data_dir);
    let whole = clients(data_dir);
    assert_eq!(whole.len(), 5, "{whole:?}");

    // No gate runs: the hold is put straight into the journal.
    let placed = json_of(&["hold", "add", "10.1.0.9", "--why", "case 12"], data_dir);
    assert_eq!((&placed["action"], &placed["client"]), (&json!("placed"), &json!("10.1.0.9")), "{placed:#}");
    let unknown = sekisho(&["hold", "add", "PC-1", "--why", "case 12"], data_dir);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");

    let keep = "[evidence]\nkeep_days = 2\n";
    // The first turn may find what is not sealed yet: of that nothing goes.
    run(data_dir, "", is_sealed);
    let status = run(data_dir, keep, |status| status["retention"]["announced"] != 0);
    assert_eq!((&status["retention"]["announced"], &status["retention"]["held_days"]), (&json!(3), &json!(1)));
    assert_eq!(clients(data_dir), whole, "what is announced is there still");
    // It is announced, and a hold comes in between: that day stays, and the others go a checkpoint later.
    json_of(&["hold", "add", "10.1.0.7", "--why", "case 13"], data_dir);
    // And the gate died while it removed: one segment has gone, and nothing is said of that yet.
    let second = sekisho::store::kept_segments(data_dir).unwrap().remove(1).0;
    sekisho::store::remove_segments(data_dir, &[second]).unwrap();
    let status = run(data_dir, keep, |status| status["retention"]["announced"] == 2 && is_sealed(status));
    assert_eq!((&status["retention"]["holds"], &status["retention"]["held_days"]), (&json!(2), &json!(2)));
    assert_eq!(clients(data_dir), whole);

    let mut gate = gate(data_dir, keep);
    until(data_dir, |status| status["retention"]["last"] != Value::Null);
    let left: Vec<_> = clients(data_dir).into_iter().collect();
    assert_eq!(left, ["10.1.0.1", "10.1.0.7", "10.1.0.8", "10.1.0.9"], "behind a held day one segment stays");
    // The hour after a day that went is a sealed one less: ten and eight, of which one stays.
    let newest = records(data_dir).last().unwrap()["seq"].as_u64().unwrap();
    until(data_dir, |status| status["index"]["record"].as_u64() >= Some(newest));
    let rows = asked(data_dir, "SELECT DISTINCT client FROM exchanges ORDER BY 1");
    let indexed: Vec<_> = rows.iter().map(|row| row["client"].as_str().unwrap()).collect();
    assert_eq!(indexed, ["10.1.0.1", "10.1.0.7", "10.1.0.9"], "the index has whole days alone");
    let listed = json_of(&["hold", "list"], data_dir);
    let held: Vec<_> = listed["holds"].as_array().unwrap().iter().map(|hold| &hold["client"]).collect();
    assert_eq!(held, ["10.1.0.9", "10.1.0.7"]);

    // Through the running gate, which names who it is.
    let released = json_of(&["hold", "release", "10.1.0.9", "--why", "closed"], data_dir);
    assert_eq!(released["action"], "released");
    assert_eq!(json_of(&["hold", "list"], data_dir)["holds"].as_array().unwrap().len(), 1);
    let again = sekisho(&["hold", "release", "10.1.0.9", "--why", "closed"], data_dir);
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    assert_eq!(gate.end("-TERM"), Some(0));

    let verified = json_of(&["verify"], data_dir);
    assert_eq!((&verified["ok"], &verified["dropped"]), (&json!(true), &json!(60)), "{verified:#}");
    assert!(segments(data_dir) > before - 3, "three of the old segments went");
    let all = records(data_dir);
    let said: Vec<_> = all.iter().filter(|record| record["kind"] == "retention").collect();
    let actions: Vec<_> = said.iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["announced", "withdrawn", "announced", "dropped"], "{said:#?}");
    assert_eq!(said[1]["records"], json!([[21, 40]]), "{said:#?}");
    assert_eq!(said[3]["records"], json!([[1, 40], [101, 120]]), "{said:#?}");
    let held: Vec<_> = all.iter().filter(|record| record["kind"] == "hold").collect();
    assert_eq!(held.iter().map(|hold| &hold["action"]).collect::<Vec<_>>(), ["placed", "placed", "released"]);
    assert!(held.iter().all(|hold| hold["uid"].is_number()), "{held:#?}");

    // What was built behind the journal is what is built of it now.
    let questions = [
        "SELECT * FROM exchanges ORDER BY seq",
        "SELECT * FROM hosts ORDER BY host",
        "SELECT * FROM clients ORDER BY client",
        "SELECT seq, kind, action FROM events WHERE kind <> 'lookup' AND action <> 'journal_closed' ORDER BY seq",
    ];
    // That this is asked goes on record too.
    let live: Vec<_> = questions.map(|question| asked(data_dir, question)).to_vec();
    let rebuilt = sekisho(&["reindex"], data_dir);
    assert_eq!(rebuilt.status.code(), Some(0), "{rebuilt:?}");
    for (question, live) in questions.iter().zip(live) {
        assert_eq!(asked(data_dir, question), live, "{question}");
    }

    // Whoever removes one more is found.
    let paths = fs::read_dir(data_dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    let oldest = paths.filter(|path| path.extension().is_some_and(|ending| ending == "zst")).min().unwrap();
    fs::remove_file(oldest).unwrap();
    let broken = sekisho(&["verify"], data_dir);
    assert_eq!(broken.status.code(), Some(3), "{broken:?}");
    assert!(String::from_utf8_lossy(&broken.stderr).contains("records 41 to 60"), "{broken:?}");
}
