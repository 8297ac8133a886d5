//! What each command about the evidence prints, and how it ends, over small data directories that are always the same. After a
//! change that is meant, `UPDATE_EXPECTED=1` writes what is expected anew, to be read before it is kept.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use sekisho::evidence::{Assignment, Chain, DeviceSource, Record, Segment, Source, client_of};
use sekisho::facts::Timestamp;

use crate::sql;

/// 2026-11-25T22:00:00Z.
const BEGUN: u64 = 1_795_644_000_000_000;
const MINUTE: u64 = 60_000_000;

/// A command, and what it answers.
struct Case<'a> {
    name: &'a str,
    data_dir: &'a Path,
    arguments: &'a [&'a str],
    /// What it tells of now, or of whoever asks, differs from run to run.
    is_of_now: bool,
}

/// A directory in which two clients were devices.
fn devices() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("journal")).unwrap();
    let (mut chain, mut text) = (Chain::start(), Vec::new());
    let keeper = Source { gate: "gate".into(), site: None }.encode();
    let mut push = |minutes: u64, record: &Record| {
        let members = [keeper.clone(), record.encode(Timestamp(BEGUN + minutes * MINUTE))].concat();
        chain.append(&members, &mut text);
    };
    push(0, &Record::Segment(Segment { prev: "0".repeat(64) }));
    for (minutes, client, name, source, until) in [
        (1, "10.0.0.1", "PC-0001", DeviceSource::Table, None),
        (2, "10.0.0.2", "PC-0002", DeviceSource::Kea, Some(400)),
        (30, "10.0.0.2", "\u{1b}[2J-\u{202e}x", DeviceSource::Dnsmasq, Some(90)),
    ] {
        let at = |minutes: u64| Timestamp(BEGUN + minutes * MINUTE);
        push(
            minutes,
            &Record::Device(Assignment {
                client: client_of(client).unwrap(),
                name: name.into(),
                hardware: Some("02:00:00:00:00:01".into()),
                source,
                since: at(minutes),
                until: until.map(at),
            }),
        );
    }
    fs::write(directory.path().join("journal/00000000000001-20261125T220000Z.jsonl"), text).unwrap();
    directory
}

fn file(data_dir: &Path, ending: &str) -> PathBuf {
    let paths = fs::read_dir(data_dir.join("journal")).unwrap().map(|entry| entry.unwrap().path());
    paths.into_iter().find(|path| path.to_str().unwrap().ends_with(ending)).unwrap()
}

/// Standard output; then, where there is any, what was said beside it, and the exit code.
fn told(case: &Case<'_>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(case.arguments).stdin(Stdio::null()).env("NO_COLOR", "1");
    // An argument of its own in some commands, and an option of others.
    match case.arguments[0] {
        "verify" | "checkpoint" => command.arg(case.data_dir),
        "sql" if case.arguments.contains(&"--schema") => &mut command,
        _ => command.arg("--data-dir").arg(case.data_dir),
    };
    let output = command.output().unwrap();
    let mut text = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    if !said.is_empty() {
        let _ = write!(text, "--- beside it\n{said}");
    }
    let _ = writeln!(text, "--- exit code {}", output.status.code().unwrap());
    without_what_differs(&text, case)
}

fn without_what_differs(text: &str, case: &Case<'_>) -> String {
    let text = text.replace(&case.data_dir.display().to_string(), "DIR").replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        // How long the file is depends on SQLite.
        if line.starts_with("index ") || line.contains("\"index_bytes\"") {
            out.extend(line.chars().map(|character| if character.is_ascii_digit() { 'N' } else { character }));
        } else if case.is_of_now {
            out.push_str(&without_now(line));
        } else {
            out.push_str(line);
        }
    }
    out
}

/// Times as they are written, dates, who this is, and the hash of what has all of that in it.
fn without_now(line: &str) -> String {
    let user = Command::new("id").args(["-u"]).output().unwrap();
    let uid = String::from_utf8(user.stdout).unwrap().trim().to_owned();
    let login = Command::new("id").args(["-un"]).output().unwrap();
    let login = String::from_utf8(login.stdout).unwrap().trim().to_owned();
    let line = line
        .replace(&format!("by {login} (user {uid})"), "by WHO")
        .replace(&format!("\"{login} (user {uid})\""), "\"WHO\"")
        .replace(&format!("\"login\": \"{login}\""), "\"login\": \"WHO\"")
        .replace(&format!("\"uid\": {uid},"), "\"uid\": 0,");
    let mut out = String::new();
    let mut rest = line.as_str();
    while let Some(character) = rest.chars().next() {
        let (length, word) = now_at(rest).unwrap_or((character.len_utf8(), &rest[..character.len_utf8()]));
        out.push_str(word);
        rest = &rest[length..];
    }
    out
}

/// A time of day, or a day, that is written here.
fn now_at(text: &str) -> Option<(usize, &'static str)> {
    let is_like = |form: &str| {
        let bytes = text.as_bytes().get(..form.len())?;
        let fits = |(byte, form): (&u8, u8)| if form == b'9' { byte.is_ascii_digit() } else { *byte == form };
        bytes.iter().zip(form.bytes()).all(fits).then_some(form.len())
    };
    let forms = ["2099-99-99T99:99:99.999999Z", "2099-99-99T99:99:99Z", "2099-99-99 99:99:99", "2099-99-99 99:99"];
    let time = forms.iter().find_map(|form| is_like(form));
    time.map(|length| (length, "TIME")).or_else(|| is_like("2099-99-99").map(|length| (length, "DAY")))
}

/// Compares each answer with the file of its name; all differences are shown at once.
fn compare(cases: &[Case<'_>]) {
    let mut wrong = String::new();
    for case in cases {
        let told = told(case);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/commands").join(case.name);
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &told).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if told != expected {
            let _ = write!(wrong, "--- {}: expected\n{expected}--- {0}: told\n{told}", case.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn case<'a>(name: &'a str, data_dir: &'a TempDir, arguments: &'a [&'a str]) -> Case<'a> {
    Case { name, data_dir: data_dir.path(), arguments, is_of_now: false }
}

fn of_now<'a>(name: &'a str, data_dir: &'a TempDir, arguments: &'a [&'a str]) -> Case<'a> {
    Case { is_of_now: true, ..case(name, data_dir, arguments) }
}

#[test]
fn verify_and_checkpoint_answer_as_their_golden_files_say() {
    let whole = sql::data_dir();
    let key = whole.path().join("checkpoint.pub").display().to_string();
    let sent = whole.path().join("sent").display().to_string();
    fs::write(&sent, fs::read(file(whole.path(), ".checkpoint")).unwrap()).unwrap();
    let other = tempfile::tempdir().unwrap();
    sekisho::store::Sealer::new(other.path(), "other").unwrap();
    let other = other.path().join("checkpoint.pub").display().to_string();
    let (altered, cut, torn, removed, alone) =
        (sql::data_dir(), sql::data_dir(), sql::data_dir(), sql::data_dir(), devices());
    let plain = file(altered.path(), ".jsonl");
    fs::write(&plain, fs::read_to_string(&plain).unwrap().replacen("\"10.0.0.1\"", "\"10.0.0.9\"", 1)).unwrap();
    fs::remove_file(file(cut.path(), ".checkpoint")).unwrap();
    let plain = file(torn.path(), ".jsonl");
    fs::write(&plain, [fs::read(&plain).unwrap(), b"{\"v\":1,".to_vec()].concat()).unwrap();
    fs::remove_file(file(removed.path(), ".zst")).unwrap();
    let nothing = tempfile::tempdir().unwrap();
    compare(&[
        case("verify.txt", &whole, &["verify"]),
        case("verify.json", &whole, &["verify", "--format", "json"]),
        case("verify-elsewhere.txt", &whole, &["verify", "--key", &key, "--checkpoints", &sent]),
        Case {
            name: "verify-by-another-key.txt",
            data_dir: whole.path(),
            arguments: &["verify", "--key", &other],
            is_of_now: false,
        },
        case("verify-unsealed.txt", &alone, &["verify"]),
        case("verify-torn.txt", &torn, &["verify"]),
        case("verify-altered.txt", &altered, &["verify"]),
        case("verify-altered.json", &altered, &["verify", "--format", "json"]),
        case("verify-without-a-checkpoint.txt", &cut, &["verify"]),
        case("verify-without-a-segment.txt", &removed, &["verify"]),
        case("verify-nothing.txt", &nothing, &["verify"]),
        case("checkpoint-key.txt", &whole, &["checkpoint", "key"]),
        case("checkpoint-list.txt", &whole, &["checkpoint", "list"]),
        case("checkpoint-key-none.txt", &alone, &["checkpoint", "key"]),
        case("checkpoint-list-none.txt", &alone, &["checkpoint", "list"]),
    ]);
}

#[test]
fn reindex_answers_as_its_golden_files_say() {
    let (whole, damaged, bad, nothing) =
        (sql::data_dir(), sql::data_dir(), sql::data_dir(), tempfile::tempdir().unwrap());
    let sealed = file(damaged.path(), ".zst");
    let mut bytes = fs::read(&sealed).unwrap();
    bytes[100] ^= 0x55;
    fs::write(&sealed, bytes).unwrap();
    let plain = file(bad.path(), ".jsonl");
    fs::write(&plain, [fs::read(&plain).unwrap(), b"no record\n".to_vec()].concat()).unwrap();
    compare(&[
        case("reindex.txt", &whole, &["reindex"]),
        case("reindex.json", &whole, &["reindex", "--format", "json"]),
        case("reindex-damaged.txt", &damaged, &["reindex"]),
        case("reindex-damaged.json", &damaged, &["reindex", "--format", "json"]),
        case("reindex-a-bad-line.txt", &bad, &["reindex"]),
        case("reindex-nothing.txt", &nothing, &["reindex"]),
    ]);
}

#[test]
fn sql_and_export_answer_as_their_golden_files_say() {
    let data_dir = sql::data_dir();
    let statement =
        "SELECT time, client, host, verdict, reason, status, bytes_down FROM exchanges ORDER BY seq LIMIT 9";
    compare(&[
        case("sql.txt", &data_dir, &["sql", statement]),
        case("sql.csv", &data_dir, &["sql", statement, "--format", "csv"]),
        case("sql.json", &data_dir, &["sql", statement, "--format", "json"]),
        case("sql-schema.txt", &data_dir, &["sql", "--schema"]),
        case("sql-refused.txt", &data_dir, &["sql", "DELETE FROM exchanges"]),
        case("export.jsonl", &data_dir, &["export", "--until", "2026-11-25T22:20:00Z"]),
        case("export.csv", &data_dir, &["export", "--format", "csv", "--verdict", "deny"]),
        case("export.squid", &data_dir, &["export", "--format", "squid", "--until", "2026-11-26"]),
        case("export.zeek", &data_dir, &["export", "--format", "zeek", "--until", "2026-11-26"]),
        case("export.zeek-conn", &data_dir, &["export", "--format", "zeek-conn", "--until", "2026-11-26"]),
        case("export-none.txt", &data_dir, &["export", "--format", "csv", "--host", "nobody.example"]),
    ]);
}

#[test]
fn triage_hold_and_device_answer_as_their_golden_files_say() {
    let (marked, held, devices) = (devices(), devices(), devices());
    compare(&[
        of_now("triage-list-none.txt", &marked, &["triage", "list"]),
        of_now("triage-malicious.txt", &marked, &["triage", "malicious", "*.bad.example", "--why", "warned of"]),
        of_now(
            "triage-known-good.txt",
            &marked,
            &["triage", "known-good", "good.example:8443", "--why", "ticket 4711"],
        ),
        of_now(
            "triage-watching.json",
            &marked,
            &["triage", "watching", "w.example", "--why", "asked", "--format", "json"],
        ),
        of_now("triage-list.txt", &marked, &["triage", "list"]),
        of_now("triage-list.json", &marked, &["triage", "list", "--format", "json"]),
        of_now("triage-withdraw.txt", &marked, &["triage", "withdraw", "*.bad.example", "--why", "it was another"]),
        of_now("triage-withdraw-again.txt", &marked, &["triage", "withdraw", "*.bad.example", "--why", "x"]),
        of_now("triage-list-withdrawn.txt", &marked, &["triage", "list"]),
        of_now("triage-of-no-finding.txt", &marked, &["triage", "watching", "0123456789abcdef", "--why", "x"]),
        of_now("hold-add.txt", &held, &["hold", "add", "10.0.0.1", "--why", "case 2026-12"]),
        of_now("hold-list.txt", &held, &["hold", "list"]),
        of_now("hold-list.json", &held, &["hold", "list", "--format", "json"]),
        of_now("hold-release.txt", &held, &["hold", "release", "10.0.0.1", "--why", "closed"]),
        of_now("hold-list-none.txt", &held, &["hold", "list"]),
        of_now("hold-release-none.txt", &held, &["hold", "release", "10.0.0.1", "--why", "closed"]),
        case("device-list.txt", &devices, &["device", "list", "--at", "2026-11-25T22:40:00Z"]),
        case("device-list.json", &devices, &["device", "list", "--at", "2026-11-25T22:40:00Z", "--format", "json"]),
        of_now("device-show.txt", &devices, &["device", "show", "10.0.0.2"]),
        of_now("device-show-name.json", &devices, &["device", "show", "pc-0002", "--format", "json"]),
        of_now("device-show-none.txt", &devices, &["device", "show", "10.99.0.1"]),
    ]);
}

/// Of a month that is over, so that it is the same on any day; what a report says of records is for the tests of `review`.
#[test]
fn a_months_report_is_what_its_golden_files_say() {
    let data_dir = sql::data_dir();
    compare(&[
        of_now("report.html", &data_dir, &["review", "report", "--month", "2026-10"]),
        of_now("report.json", &data_dir, &["review", "report", "--month", "2026-10", "--format", "json"]),
    ]);
}
