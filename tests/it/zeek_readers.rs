//! What is written as Zeek's `http.log` and `conn.log`, read by readers of such logs that others wrote: types and values are those of the records.
//! `tests/run` makes the environment with them below `target/`.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::gate::{Gate, records};
use crate::origin::Origin;

/// The rows as each reader has them, with the types that it makes of Zeek's.
const READ: &str = r#"
import io, json, sys
from contextlib import redirect_stdout
from parsezeeklogs import ZeekLog
from zat.zeek_log_reader import ZeekLogReader

log = ZeekLog(sys.argv[1])
first = [dict(row) for row in log]
said = io.StringIO()
with redirect_stdout(said):
    plain = lambda value: value.timestamp() if hasattr(value, "timestamp") else (
        value.total_seconds() if hasattr(value, "total_seconds") else value)
    second = [{name: plain(value) for name, value in row.items()}
              for row in ZeekLogReader(sys.argv[1], strict=True).readrows()]
json.dump({"parsezeeklogs": first, "zat": second, "said": said.getvalue()}, sys.stdout)
"#;

/// What RITA's importer takes from an `http.log` of those columns that are there, and as which types of Zeek it declares them
/// (activecm/rita, `importer/zeektypes/http.go`): it reads a table by the names and types of its head.
const OF_RITA: [(&str, &str); 14] = [
    ("ts", "time"),
    ("uid", "string"),
    ("id.orig_h", "addr"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "port"),
    ("method", "string"),
    ("host", "string"),
    ("uri", "string"),
    ("user_agent", "string"),
    ("request_body_len", "count"),
    ("response_body_len", "count"),
    ("status_code", "count"),
    ("username", "string"),
    ("resp_mime_types", "vector[string]"),
];

/// The same of a `conn.log` (`importer/zeektypes/conn.go`).
const OF_RITA_CONN: [(&str, &str); 12] = [
    ("ts", "time"),
    ("uid", "string"),
    ("id.orig_h", "addr"),
    ("id.orig_p", "port"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "port"),
    ("proto", "enum"),
    ("service", "string"),
    ("duration", "interval"),
    ("orig_bytes", "count"),
    ("resp_bytes", "count"),
    ("conn_state", "string"),
];

/// A value that would end a column or a line, begin an escape, or be read as none.
const AGENTS: [&str; 4] = ["tester/1 (a, b) \\x41 \\", "-", "(empty)", "日本"];

fn read(log: &Path) -> Value {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/zeek-readers/bin/python3");
    let output = Command::new(python).args(["-Ic", READ]).arg(log).env("TZ", "UTC").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is exported in a form, whose head says these columns, as both readers have it.
fn read_as(gate: &Gate, form: &str, of_rita: &[(&str, &str)]) -> Value {
    let log = gate.directory.path().join(format!("{form}.log"));
    let mut export = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    export.args(["export", "--format", form, "--output"]).arg(&log).arg("--data-dir").arg(gate.data_dir());
    assert!(export.output().unwrap().status.success());
    let text = std::fs::read_to_string(&log).unwrap();
    let head = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split('\t').skip(1).collect::<Vec<_>>()
    };
    let columns: Vec<_> = head("#fields").into_iter().zip(head("#types")).collect();
    assert_eq!(columns, of_rita);
    // It takes a time that has a point alone, and of each line as many columns as there are.
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert_eq!(line.split('\t').count(), of_rita.len(), "{line}");
        assert!(line.split('\t').next().unwrap().contains('.'), "{line}");
    }
    read(&log)
}

/// Each request has its connection by the uid, and each connection is what is on record.
fn are_the_connections_of(read: &[Vec<Value>; 2], requests: &[Value], all: &[Value]) {
    for rows in read {
        assert_eq!(rows.len(), requests.len(), "{rows:#?}");
        for (row, request) in rows.iter().zip(requests) {
            for column in ["ts", "uid", "id.orig_h", "id.resp_p"] {
                assert_eq!(row[column], request[column], "{column}: {row:#} {request:#}");
            }
            let id = &row["uid"].as_str().unwrap()[1..];
            let of = |event: &str| all.iter().find(|one| one["id"] == id && one["event"] == event);
            assert_eq!(row["proto"], "tcp", "{row:#}");
            let Some(end) = of("close") else {
                let refused = of("refused").unwrap();
                assert_eq!(
                    (&row["conn_state"], &row["id.orig_p"]),
                    (&json!("REJ"), &refused["client_port"]),
                    "{row:#}"
                );
                continue;
            };
            let open = of("open").unwrap();
            for (column, value) in [
                ("id.orig_p", open["client_port"].clone()),
                ("id.resp_h", json!("127.0.0.1")),
                ("service", json!("http")),
                ("orig_bytes", end["bytes_up"].clone()),
                ("resp_bytes", end["bytes_down"].clone()),
                ("conn_state", json!("SF")),
            ] {
                assert_eq!(row[column], value, "{column}: {row:#}");
            }
            let took = row["duration"].as_f64().unwrap() * 1e6 - end["total_us"].as_f64().unwrap();
            assert!(took.abs() < 1.0, "{row:#} {end:#}");
        }
    }
}

#[test]
fn two_readers_of_zeeks_logs_read_every_type_and_value_as_it_is_on_record() {
    let origin = Origin::saying("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nfine");
    let mut gate = Gate::start(&origin.policy());
    let host = origin.address.to_string();
    for (number, agent) in AGENTS.iter().enumerate() {
        let asked = format!(
            "POST http://{host}/a%09b,{number}?q=1 HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nContent-Length: 3\r\n\
             Connection: close\r\n\r\nabc"
        );
        assert!(gate.send(asked.as_bytes()).starts_with("HTTP/1.1 200 "));
    }
    let refused = gate.send(b"CONNECT c.example:443 HTTP/1.1\r\nHost: c.example:443\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 403 "), "{refused}");
    assert_eq!(gate.end("-TERM"), Some(0));
    let told = read_as(&gate, "zeek", &OF_RITA);
    let connections = read_as(&gate, "zeek-conn", &OF_RITA_CONN);
    let all = records(&gate.data_dir());
    let began: Vec<_> = all
        .iter()
        .filter(|record| record["kind"] == "exchange" && (record["event"] == "open" || record["event"] == "refused"))
        .collect();
    // A line is written when its exchange ends.
    let by_reader = |told: &Value| {
        ["parsezeeklogs", "zat"].map(|reader| {
            let mut rows = told[reader].as_array().unwrap().clone();
            rows.sort_by(|a, b| a["ts"].as_f64().unwrap().total_cmp(&b["ts"].as_f64().unwrap()));
            rows
        })
    };
    let [ours, zat] = by_reader(&told);
    are_the_connections_of(&by_reader(&connections), &ours, &all);
    assert_eq!((began.len(), ours.len(), zat.len()), (5, 5, 5), "{told:#}");
    let port = origin.address.port();
    for (number, record) in began.iter().enumerate() {
        let rows = [&ours[number], &zat[number]];
        let time = record["time"].as_str().unwrap();
        for row in rows {
            let read = jiff::Timestamp::from_microsecond((row["ts"].as_f64().unwrap() * 1e6).round() as i64).unwrap();
            let expected: jiff::Timestamp = time.parse().unwrap();
            assert!((read.as_microsecond() - expected.as_microsecond()).abs() <= 1, "{row:#} {record:#}");
            assert_eq!(row["id.orig_h"], "127.0.0.1", "{row:#}");
        }
        let [row, other] = rows;
        if number == AGENTS.len() {
            for (column, value) in [
                ("method", json!("CONNECT")),
                ("host", json!("c.example")),
                ("uri", json!("c.example:443")),
                ("id.resp_p", json!(443)),
                ("status_code", json!(403)),
            ] {
                assert_eq!((&row[column], &other[column]), (&value, &value), "{column}: {row:#}");
            }
            // Nothing was dialled, and no body came.
            for column in ["id.resp_h", "user_agent", "username", "resp_mime_types"] {
                assert_eq!((&row[column], &other[column]), (&Value::Null, &json!("-")), "{column}: {row:#}");
            }
            continue;
        }
        let end = all.iter().find(|other| other["id"] == record["id"] && other["event"] == "close").unwrap();
        let of_end = |key: &str| end[key].clone();
        for (column, value) in [
            ("id.resp_h", json!("127.0.0.1")),
            ("id.resp_p", json!(port)),
            ("method", json!("POST")),
            ("host", json!("127.0.0.1")),
            ("request_body_len", of_end("bytes_up")),
            ("response_body_len", of_end("bytes_down")),
            ("status_code", json!(200)),
        ] {
            assert_eq!((&row[column], &other[column]), (&value, &value), "{column}: {row:#}");
        }
        // This one undoes what Zeek's writer escapes, and knows values that are vectors.
        assert_eq!(row["uri"], format!("/a%09b,{number}"), "{row:#}");
        assert_eq!(
            (&row["user_agent"], &row["resp_mime_types"]),
            (&json!(AGENTS[number]), &json!(["text/html"])),
            "{row:#}"
        );
        assert_eq!(row["username"], Value::Null, "{row:#}");
    }
    for told in [told, connections] {
        assert!(!told["said"].as_str().unwrap().contains("Conversion Issue"), "{told:#}");
    }
}
