//! What a running gate does with segments that have ended, and with the index.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::gate::{Gate, Start, records, status_of};
use crate::origin::Origin;

fn sekisho(arguments: &[&str], data_dir: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho")).args(arguments).arg(data_dir).output().unwrap()
}

fn verify(arguments: &[&str], data_dir: &Path) -> Value {
    let output = sekisho(&[&["verify", "--format", "json"], arguments].concat(), data_dir);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn ask(gate: &Gate, at: &str, path: &str) {
    let request = format!("GET http://{at}{path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
    assert!(gate.send(request.as_bytes()).starts_with("HTTP/1.1 200 "));
}

/// Asks the gate until it says so.
fn until(data_dir: &Path, is_so: impl Fn(&Value) -> bool) -> Value {
    loop {
        let status = status_of(data_dir);
        if is_so(&status) {
            return status;
        }
        assert_eq!(status["sealing"]["error"], Value::Null, "{status:#}");
        assert_eq!(status["index"]["error"], Value::Null, "{status:#}");
        std::thread::yield_now();
    }
}

/// A gate in whose data directory another has run, which comes first: its segment has ended.
fn again(origin: &Origin) -> (Gate, Gate) {
    let mut first = Gate::start(&origin.policy());
    let at = origin.address.to_string();
    for number in 0..5 {
        ask(&first, &at, &format!("/{number}"));
    }
    assert_eq!(first.end("-TERM"), Some(0));
    let gate = Start { policy: &origin.policy(), data_dir: Some(first.data_dir()), ..Start::default() }.gate();
    ask(&gate, &at, "/again");
    (first, gate)
}

fn files(data_dir: &Path, ending: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(data_dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_str().unwrap().ends_with(ending)).collect()
}

#[test]
fn a_segment_that_has_ended_is_sealed_and_verifies_by_the_gates_key() {
    let origin = Origin::start();
    let (first, mut gate) = again(&origin);
    let data_dir = first.data_dir();
    let status =
        until(&data_dir, |status| status["sealing"]["last"] != Value::Null && status["sealing"]["waiting"] == 0);
    assert_eq!((files(&data_dir, ".zst").len(), files(&data_dir, ".checkpoint").len()), (1, 1));
    assert_eq!(gate.end("-TERM"), Some(0));

    let key = sekisho(&["checkpoint", "key"], &data_dir);
    let key_file = data_dir.join("gate.pub");
    fs::write(&key_file, &key.stdout).unwrap();
    let openssl = Command::new("openssl").args(["pkey", "-pubin", "-noout", "-text", "-in"]).arg(&key_file).output();
    assert!(String::from_utf8_lossy(&openssl.unwrap().stdout).contains("ED25519"), "{key:?}");
    let sent = sekisho(&["checkpoint", "list"], &data_dir);
    let sent_file = data_dir.join("sent.jsonl");
    fs::write(&sent_file, &sent.stdout).unwrap();
    let whole = verify(&["--key", key_file.to_str().unwrap(), "--checkpoints", sent_file.to_str().unwrap()], &data_dir);
    assert_eq!(
        (&whole["ok"], &whole["sealed"], &whole["elsewhere"]),
        (&json!(true), &json!(1), &json!(1)),
        "{whole:#}"
    );
    assert_eq!(whole["key"], status["sealing"]["key"]);
    let records = records(&data_dir);
    let checkpoint = records.iter().find(|record| record["kind"] == "checkpoint").expect("it is on record");
    assert_eq!((&checkpoint["action"], &checkpoint["last_seq"]), (&json!("sealed"), &whole["vouched_to"]));
    let zstdcat = Command::new("zstd").args(["-dc"]).args(files(&data_dir, ".zst")).output().unwrap();
    assert_eq!(
        zstdcat.stdout.iter().filter(|byte| **byte == b'\n').count() as u64,
        whole["vouched_to"].as_u64().unwrap()
    );

    fs::remove_file(&files(&data_dir, ".checkpoint")[0]).unwrap();
    let broken = sekisho(&["verify"], &data_dir);
    assert_eq!(broken.status.code(), Some(3), "{broken:?}");
    let said = String::from_utf8_lossy(&broken.stderr).into_owned();
    assert!(said.contains("its checkpoint is missing"), "{said}");
}

/// What each question is answered with, as it is written. Each asks a copy of its own, as every question goes on record.
fn answers(data_dir: &Path) -> Vec<(String, String)> {
    let list = data_dir.join("list.txt");
    fs::write(&list, "127.0.0.1\n127.0.0.0/8\nhttp://127.0.0.1/1\n").unwrap();
    let always = "--since 2020-01-01 --until 2999-01-01";
    let sweep = format!("sweep {}", list.display());
    let reviews =
        ["blocked", "client 127.0.0.1", "host 127.0.0.1", "unknown", "errors", "programs", "findings", "around 3"];
    let like = ["host", "network", "minute", "client"].map(|by| format!("like 3 --by {by}"));
    let reviews = reviews.into_iter().map(str::to_owned).chain([sweep]).chain(like);
    let reviews = reviews.flat_map(|review| {
        ["table", "json", "csv"].map(|format| format!("review {review} {always} --format {format}"))
    });
    let sql = ["exchanges", "contacts", "clients", "hosts", "events", "flows", "findings", "devices"];
    let sql = sql.into_iter().flat_map(|view| {
        ["table", "csv", "json"].map(|format| format!("sql SELECT\u{a0}*\u{a0}FROM\u{a0}{view} --format {format}"))
    });
    reviews.chain(sql).map(|question| (question.clone(), answer(data_dir, &question))).collect()
}

fn answer(data_dir: &Path, question: &str) -> String {
    let copy = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-a").arg(data_dir.join(".")).arg(copy.path()).output().unwrap();
    assert!(copied.status.success(), "{copied:?}");
    let words = question.split(' ').map(|word| word.replace('\u{a0}', " "));
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let output = command.args(words).arg("--data-dir").arg(copy.path()).output().unwrap();
    assert!(output.status.success() && output.stdout.len() > 2, "{question} {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_index_follows_the_journal_and_is_the_same_when_built_anew() {
    let origin = Origin::start();
    let (first, mut gate) = again(&origin);
    let data_dir = first.data_dir();
    until(&data_dir, |status| status["sealing"]["last"] != Value::Null && status["sealing"]["waiting"] == 0);
    assert_eq!(gate.end("-TERM"), Some(0));
    let counted = |data_dir: &Path| {
        let index = sekisho::store::Index::open(data_dir).unwrap();
        let days = index.days().unwrap();
        let mut rows = Vec::new();
        for day in days {
            let sql = format!(
                "SELECT seq, at, host, n.status, up, down, ending, n.open = 0 FROM x_{day} \
                JOIN manner n ON n.id = manner ORDER BY seq"
            );
            let mut statement = index.connection().prepare(&sql).unwrap();
            let mut found = statement.query([]).unwrap();
            while let Some(row) = found.next().unwrap() {
                rows.push((0..8).map(|at| format!("{:?}", row.get_ref(at).unwrap())).collect::<Vec<_>>());
            }
        }
        (index.indexed().unwrap(), rows)
    };
    let (indexed, live) = counted(&data_dir);
    let before = answers(&data_dir);
    assert_eq!(live.len(), 6);
    assert_eq!(indexed.records, records(&data_dir).len() as u64, "to the last record: {indexed:?}");
    fs::remove_file(data_dir.join("index.db")).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_sekisho")).args(["reindex", "--data-dir"]).arg(&data_dir).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(counted(&data_dir), (indexed, live));
    for ((question, after), (_, before)) in answers(&data_dir).into_iter().zip(before) {
        assert_eq!(after, before, "{question}: byte by byte");
    }

    // A sealed segment that is damaged: the rest is there, and the exit code says so.
    let sealed = &files(&data_dir, ".zst")[0];
    let mut content = fs::read(sealed).unwrap();
    content[30] ^= 0x55;
    fs::write(sealed, content).unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_sekisho")).args(["reindex", "--data-dir"]).arg(&data_dir).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("is damaged"), "{output:?}");
    assert_eq!(counted(&data_dir).1.len(), 1);
    // Whoever asks is told which segment is missing, each time.
    let segment = sealed.file_stem().unwrap().to_string_lossy().into_owned();
    for question in [&["review", "blocked", "--format", "json"][..], &["sql", "SELECT count(*) AS n FROM exchanges"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        let output = command.args(question).arg("--data-dir").arg(&data_dir).output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{output:?}");
        assert!(output.stdout.len() > 2, "the rest is answered: {output:?}");
        let told = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&told).contains(&segment), "{segment}: {}", String::from_utf8_lossy(&told));
    }
    // So it is where a gate builds the index by itself, which goes on behind the damage.
    fs::remove_file(data_dir.join("index.db")).unwrap();
    let mut gate = Start { policy: &origin.policy(), data_dir: Some(data_dir.clone()), ..Start::default() }.gate();
    ask(&gate, &origin.address.to_string(), "/behind");
    assert_eq!(gate.end("-TERM"), Some(0));
    let (indexed, exchanges) = counted(&data_dir);
    assert_eq!(exchanges.len(), 2, "{indexed:?}");
    let unread = sekisho::store::Index::open(&data_dir).unwrap().unread_segments().unwrap();
    assert_eq!(unread.iter().map(|(name, _)| name).collect::<Vec<_>>(), [&segment]);
}

#[test]
fn an_index_that_is_damaged_is_built_anew_by_the_running_gate() {
    let origin = Origin::start();
    let mut gate = Gate::start(&origin.policy());
    let (data_dir, at) = (gate.data_dir(), origin.address.to_string());
    ask(&gate, &at, "/1");
    assert_eq!(gate.end("-TERM"), Some(0));
    fs::write(data_dir.join("index.db"), "this is no database, and it is long enough".repeat(300)).unwrap();
    let _ = fs::remove_file(data_dir.join("index.db-wal"));
    let mut again = Start { policy: &origin.policy(), data_dir: Some(data_dir.clone()), ..Start::default() }.gate();
    ask(&again, &at, "/2");
    assert_eq!(again.end("-TERM"), Some(0));
    let index = sekisho::store::Index::open(&data_dir).unwrap();
    assert_eq!(index.indexed().unwrap().records, records(&data_dir).len() as u64);
}

#[test]
fn who_wants_no_index_has_none() {
    let origin = Origin::start();
    let mut gate = Gate::configured(&origin.policy(), "[evidence]\nindex = false\n");
    ask(&gate, &origin.address.to_string(), "/1");
    assert_eq!(gate.status()["index"]["live"], false);
    assert_eq!(gate.end("-TERM"), Some(0));
    assert!(!gate.data_dir().join("index.db").exists());
}

#[test]
fn a_months_report_tells_whether_the_evidence_is_whole_and_its_exit_code_does_too() {
    let origin = Origin::start();
    let (first, mut gate) = again(&origin);
    let data_dir = first.data_dir();
    until(&data_dir, |status| status["sealing"]["last"] != Value::Null && status["sealing"]["waiting"] == 0);
    assert_eq!(gate.end("-TERM"), Some(0));
    let month = records(&data_dir)[0]["time"].as_str().unwrap()[..7].to_owned();
    let page = data_dir.join("report.html");
    let report = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        command
            .args(["review", "report", "--month", &month, "--data-dir"])
            .arg(&data_dir)
            .args(arguments)
            .output()
            .unwrap()
    };
    let written = report(&["--output", page.to_str().unwrap()]);
    assert_eq!((written.status.code(), written.stdout.len()), (Some(0), 0), "{written:?}");
    let text = fs::read_to_string(&page).unwrap();
    assert!(text.contains("The whole journal verifies:") && text.contains("are there without a gap"), "{text}");
    let data: Value = serde_json::from_slice(&report(&["--format", "json"]).stdout).unwrap();
    assert_eq!((&data["missing"], &data["verification"]["is_whole"]), (&json!(0), &json!(true)), "{data:#}");
    assert_eq!(data["days"].as_array().unwrap().iter().map(|day| day["exchanges"].as_u64().unwrap()).sum::<u64>(), 6);

    fs::remove_file(&files(&data_dir, ".checkpoint")[0]).unwrap();
    let broken = report(&[]);
    assert_eq!(broken.status.code(), Some(3), "{broken:?}");
    assert!(
        String::from_utf8_lossy(&broken.stdout).contains("The journal does not verify:"),
        "the page is there all the same"
    );
}
