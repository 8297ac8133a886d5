//! What `sekisho export` writes, read by the programs that it is written for.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::gate::Gate;
use crate::origin::Origin;

/// GoAccess's form of Squid's log: its own `SQUID` expects each line behind a syslog header.
const SQUID: &str = "%x.%^ %~%L %h %^/%s %b %m %U %^";

fn export(data_dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .args(["export", "--data-dir"])
        .arg(data_dir)
        .args(arguments)
        .output()
        .unwrap()
}

/// A gate that let out a request and a tunnel and refused one of each; its journal is whole.
fn used(origin: &Origin) -> Gate {
    let mut gate = Gate::start(&origin.policy());
    let host = origin.address.to_string();
    let get = |target: &str, host: &str| {
        gate.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
    };
    assert!(get(&format!("http://{host}/ab?q=1"), &host).starts_with("HTTP/1.1 200 "));
    assert!(get("http://b.example/", "b.example").starts_with("HTTP/1.1 403 "));
    let mut client = gate.client();
    client.send(format!("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(client.head().unwrap().status(), 200);
    client.send("GET /inside HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert!(!client.rest().0.is_empty());
    drop(client);
    let refused = gate.send(b"CONNECT c.example:443 HTTP/1.1\r\nHost: c.example:443\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert_eq!(gate.end("-TERM"), Some(0));
    gate
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
}

#[test]
fn goaccess_and_sarg_read_what_is_written_as_squid_does() {
    let origin = Origin::start();
    let gate = used(&origin);
    let log = gate.directory.path().join("access.log");
    let exported = export(&gate.data_dir(), &["--format", "squid", "--output", log.to_str().unwrap()]);
    assert_eq!(exported.status.code(), Some(0), "{exported:?}");
    assert_eq!(String::from_utf8_lossy(&exported.stderr), "sekisho: 4 exchanges written\n");
    let host = origin.address.to_string();
    let log_text = fs::read_to_string(&log).unwrap();

    let page = gate.directory.path().join("goaccess.json");
    let formats = ["--datetime-format=%s", "--date-format=%s", "--time-format=%s", "--no-global-config"];
    let form = format!("--log-format={SQUID}");
    run("goaccess", &[&[log.to_str().unwrap(), &form, "-o", page.to_str().unwrap()], &formats[..]].concat());
    let read: Value = serde_json::from_slice(&fs::read(page).unwrap()).unwrap();
    let general = &read["general"];
    assert_eq!((&general["valid_requests"], &general["failed_requests"]), (&json!(4), &json!(0)), "{log_text}");
    let names = |panel: &str| {
        let mut names: Vec<_> = read[panel]["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["data"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let mut expected =
        vec![format!("http://{host}/ab"), "http://b.example/".to_owned(), host.clone(), "c.example:443".to_owned()];
    expected.sort();
    let mut requests = names("requests");
    requests.extend(names("not_found"));
    assert_eq!(requests, expected, "{log_text}");
    assert_eq!(names("hosts"), ["127.0.0.1"]);

    let reports = gate.directory.path().join("sarg");
    fs::create_dir(&reports).unwrap();
    run("sarg", &["-f", "/dev/null", "-n", "-l", log.to_str().unwrap(), "-o", reports.to_str().unwrap()]);
    let day = fs::read_dir(&reports)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.is_dir() && path.file_name().is_some_and(|name| name != "images"));
    let day = day.unwrap();
    let denied = fs::read_to_string(day.join("denied.html")).unwrap();
    assert!(denied.contains("b.example") && denied.contains("c.example") && !denied.contains("/ab"), "{denied}");
    let sites = fs::read_to_string(day.join("siteuser.html")).unwrap();
    assert!(sites.contains(&host), "{sites}");
}

#[test]
fn a_damaged_line_is_passed_over_and_said_by_the_exit_code() {
    let origin = Origin::start();
    let gate = used(&origin);
    let journal = gate.data_dir().join("journal");
    let segment = fs::read_dir(journal).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&segment).unwrap();
    let damaged: String = text
        .lines()
        .map(|line| if line.contains("b.example") { "{}\n".to_owned() } else { format!("{line}\n") })
        .collect();
    fs::write(&segment, damaged).unwrap();
    let exported = export(&gate.data_dir(), &["--format", "csv"]);
    assert_eq!(exported.status.code(), Some(4), "{exported:?}");
    assert_eq!(String::from_utf8_lossy(&exported.stdout).lines().count(), 1 + 3);
    let said = String::from_utf8_lossy(&exported.stderr).into_owned();
    assert!(said.contains("1 line of the journal could not be read"), "{said}");
}

#[test]
fn an_export_of_all_is_on_record_also_where_it_comes_to_nothing() {
    let origin = Origin::start();
    let gate = used(&origin);
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let exported = command.args(["export", "--data-dir"]).arg(gate.data_dir()).stdout(full).output().unwrap();
    assert_eq!(exported.status.code(), Some(1), "{exported:?}");
    let records = crate::gate::records(&gate.data_dir());
    assert_eq!(records.iter().filter(|record| record["kind"] == "lookup" && record["question"] == "export").count(), 1);
}

#[test]
fn a_file_that_is_there_is_not_written_over() {
    let origin = Origin::start();
    let gate = used(&origin);
    let log = gate.directory.path().join("kept");
    fs::write(&log, "mine").unwrap();
    let exported = export(&gate.data_dir(), &["--output", log.to_str().unwrap()]);
    assert_eq!((exported.status.code(), fs::read_to_string(&log).unwrap().as_str()), (Some(1), "mine"));
}

#[test]
fn whose_records_leave_is_on_record_and_that_those_of_all_do() {
    let origin = Origin::start();
    let gate = used(&origin);
    let lookups = || {
        let records = crate::gate::records(&gate.data_dir());
        let lookups = records.into_iter().filter(|record| record["kind"] == "lookup");
        lookups
            .map(|record| (record["question"].clone(), record["client"].clone(), record["user"].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(export(&gate.data_dir(), &["--verdict", "deny"]).status.code(), Some(0));
    let export_of = |client: Value, user: Value| (json!("export"), client, user);
    assert_eq!(lookups(), [(json!("export --verdict deny"), Value::Null, Value::Null)]);
    let exported = export(&gate.data_dir(), &["--client", "127.0.0.1", "--user", "kei"]);
    assert_eq!(exported.status.code(), Some(0), "{exported:?}");
    let of_two = [export_of(json!("127.0.0.1"), Value::Null), export_of(Value::Null, json!("kei"))];
    assert_eq!(lookups()[1..], of_two);
}
