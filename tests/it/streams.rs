//! Files that go on with the journal in the form of other programs' logs: the same lines as `sekisho export` writes later.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::gate::{Gate, Start, status_of};
use crate::origin::Origin;
use crate::tunnel_lab::connect;

fn exported(data_dir: &Path, form: &str) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let output = command.args(["export", "--format", form, "--data-dir"]).arg(data_dir).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn lines(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect()
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

fn get(gate: &Gate, origin: &Origin, path: &str) {
    let host = origin.address;
    let answer =
        gate.send(format!("GET http://{host}{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes());
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

fn until(is_so: impl Fn() -> bool) {
    while !is_so() {
        std::thread::yield_now();
    }
}

#[test]
fn what_is_written_as_it_happens_is_what_export_writes_over_restarts_and_crashes() {
    let (origin, directory) = (Origin::start(), tempfile::tempdir().unwrap());
    let [data_dir, squid, zeek, conn] =
        ["data", "access.log", "http.log", "conn.log"].map(|name| directory.path().join(name));
    let config = format!(
        "[streams.squid]\nfile = {squid:?}\nformat = \"squid\"\n[streams.zeek]\nfile = {zeek:?}\nformat = \"zeek\"\n\
         [streams.conn]\nfile = {conn:?}\nformat = \"zeek-conn\"\n"
    );
    let policy = origin.rule("protocol = \"any\"");
    let start =
        || Start { policy: &policy, config: &config, data_dir: Some(data_dir.clone()), ..Start::default() }.gate();
    let mut gate = start();
    get(&gate, &origin, "/one");
    assert!(gate.send(b"GET http://b.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n").starts_with("HTTP/1.1 403 "));
    // While the gate runs it is there.
    until(|| fs::read_to_string(&squid).is_ok_and(|text| text.contains("/one") && text.contains("b.example")));
    let (tunnel, answer) = connect(&gate, &origin.address.to_string());
    assert_eq!(answer.status(), 200);
    drop(tunnel);
    assert_eq!(gate.end("-TERM"), Some(0));
    assert_eq!(lines(&squid), exported(&data_dir, "squid"));
    assert_eq!(lines(&zeek), exported(&data_dir, "zeek"));
    assert_eq!(lines(&conn), exported(&data_dir, "zeek-conn"));
    assert_eq!(lines(&squid).len(), 3);

    // Behind what was noted stand lines that were written before a crash: they are written again, once.
    let whole = fs::read_to_string(&squid).unwrap();
    fs::write(&squid, format!("{whole}1.000 1 - TCP_MISS/200 0 GET http://half")).unwrap();
    let mut gate = start();
    get(&gate, &origin, "/two");
    let (open, _) = connect(&gate, &origin.address.to_string());
    until(|| fs::read_to_string(&squid).is_ok_and(|text| text.contains("/two")));
    gate.signal("-KILL");
    assert_eq!(gate.wait(), None);
    drop(open);
    let mut gate = start();
    get(&gate, &origin, "/three");
    assert_eq!(gate.end("-TERM"), Some(0));
    assert_eq!(sorted(lines(&squid)), sorted(exported(&data_dir, "squid")));
    assert_eq!(sorted(lines(&zeek)), sorted(exported(&data_dir, "zeek")));
    assert_eq!(sorted(lines(&conn)), sorted(exported(&data_dir, "zeek-conn")));
    assert_eq!(lines(&squid).len(), 6, "the tunnel of the gate that was killed too");

    // A file that is moved away is begun anew.
    fs::rename(&zeek, directory.path().join("http.log.1")).unwrap();
    let mut gate = start();
    get(&gate, &origin, "/four");
    assert_eq!(gate.end("-TERM"), Some(0));
    let anew = lines(&zeek);
    assert!(anew[0].starts_with("#separator") && anew.last().unwrap().contains("/four"), "{anew:#?}");
    assert_eq!(anew.iter().filter(|line| !line.starts_with('#')).count(), 1);
    assert_eq!(sorted(lines(&squid)), sorted(exported(&data_dir, "squid")));
}

#[test]
fn a_file_that_cannot_be_written_is_said_and_has_all_once_it_can() {
    let (origin, directory) = (Origin::start(), tempfile::tempdir().unwrap());
    let (data_dir, logs) = (directory.path().join("data"), directory.path().join("logs"));
    let config = format!("[streams.squid]\nfile = {:?}\nformat = \"squid\"\n", logs.join("access.log"));
    let policy = origin.policy();
    let start =
        || Start { policy: &policy, config: &config, data_dir: Some(data_dir.clone()), ..Start::default() }.gate();
    let mut gate = start();
    get(&gate, &origin, "/one");
    until(|| status_of(&data_dir)["streams"][0]["error"].as_str().is_some_and(|why| why.contains("logs/access.log")));
    fs::create_dir(&logs).unwrap();
    get(&gate, &origin, "/two");
    assert_eq!(gate.end("-TERM"), Some(0));
    assert_eq!(lines(&logs.join("access.log")), exported(&data_dir, "squid"));
}

#[test]
fn a_stream_that_makes_no_sense_is_refused_with_what_to_write() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sekisho.toml");
    for (text, part) in [
        ("file = \"/a\"", "is not said"),
        ("format = \"squid\"", "is not said"),
        ("file = \"/a\"\nformat = \"csv\"", "write one of \"squid\", \"zeek\", \"zeek-conn\""),
        ("file = \"/a\"\nformat = \"squid\"\nsize = 1", "unknown key `size`"),
    ] {
        fs::write(&file, format!("[streams.a]\n{text}\n")).unwrap();
        let mut check = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        let checked = check.args(["check", "--config"]).arg(&file).output().unwrap();
        let said = String::from_utf8(checked.stderr).unwrap();
        assert!(checked.status.code() == Some(2) && said.contains(part), "{text}: {said}");
    }
}
