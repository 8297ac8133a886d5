//! The examples in `examples/engines`: DuckDB and Spark read the segments themselves, and their answers are those of `sekisho sql`.
//! `tests/run` makes the environment with both below `target/`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::sql::{asked, data_dir};

/// Questions with what they are about.
const QUESTIONS: [&[&str]; 7] = [
    &["blocked", "--since", "2026-11-25T22:30:00.000000Z"],
    &["client", "--client", "10.0.0.1"],
    &["client", "--client", "10.0.0.9"],
    &["unknown", "--since", "2026-11-25T22:10:00.000000Z"],
    &["host", "--host", "HOST"],
    &["host", "--host", "nobody.example"],
    &["sweep", "--list", "LIST"],
];

fn engines() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/engines")
}

/// Runs Python where both engines are.
fn python(arguments: &[&str]) -> String {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/engines/bin/python3");
    let scratch = tempfile::tempdir().unwrap();
    let output = Command::new(&python)
        .args(arguments)
        .env("PYTHONPATH", engines())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PYSPARK_PYTHON", &python)
        .env("SPARK_LOCAL_IP", "127.0.0.1")
        .current_dir(scratch.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A row as Python's `csv` writes it.
fn csv(cells: impl Iterator<Item = String>) -> String {
    let quoted = |cell: String| {
        let is_plain = !cell.contains([',', '"', '\r', '\n']);
        if is_plain { cell } else { format!("\"{}\"", cell.replace('"', "\"\"")) }
    };
    cells.map(quoted).collect::<Vec<_>>().join(",") + "\r\n"
}

/// The answer of `sekisho sql` to the text of a question, with columns in the order of a head.
fn ours(data_dir: &Path, question: &[&str], head: &str) -> String {
    let text = "from questions import parse_arguments, question; print(question(parse_arguments('')))";
    let (name, rest) = question.split_first().unwrap();
    let statement = python(&[&["-c", text, name, "journal"], rest].concat());
    let columns: Vec<_> = head.trim_end().split(',').collect();
    let mut answer = head.to_owned();
    for row in asked(data_dir, &statement) {
        assert_eq!(row.as_object().unwrap().len(), columns.len());
        answer += &csv(columns.iter().map(|column| match &row[*column] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }));
    }
    answer
}

fn agrees(program: &str, questions: &[&'static [&'static str]]) {
    let directory = data_dir();
    let hosts = asked(
        directory.path(),
        "SELECT host, count(DISTINCT client) AS clients FROM exchanges WHERE host NOT GLOB '*[^a-z0-9.-]*' GROUP BY host ORDER BY clients DESC, host LIMIT 3",
    );
    let hosts: Vec<&str> = hosts.iter().map(|row| row["host"].as_str().unwrap()).collect();
    let list = directory.path().join("list.txt");
    std::fs::write(&list, format!("{}\nnobody.example\n", hosts.join("\n"))).unwrap();
    let program = engines().join(program);
    let journal = directory.path().join("journal");
    let mut rows = 0;
    for question in questions {
        let named = |word: &&'static str| match *word {
            "HOST" => hosts[0].to_owned(),
            "LIST" => list.display().to_string(),
            word => word.to_owned(),
        };
        let question: Vec<String> = question.iter().map(named).collect();
        let question: &[&str] = &question.iter().map(String::as_str).collect::<Vec<_>>();
        let (name, rest) = question.split_first().unwrap();
        let arguments = [&[program.to_str().unwrap(), name, journal.to_str().unwrap()], rest].concat();
        let theirs = python(&arguments);
        let head = theirs.split_inclusive("\r\n").next().unwrap();
        assert_eq!(theirs, ours(directory.path(), question, head), "{question:?}");
        let found = theirs.matches("\r\n").count() - 1;
        assert!(found > 0 || rest.contains(&"10.0.0.9") || rest.contains(&"nobody.example"), "{question:?}");
        rows += found;
    }
    assert!(rows > 8, "there is something to agree on: {rows}");
}

#[test]
fn duckdb_answers_from_the_segments_as_the_index_does() {
    agrees("duckdb_review.py", &QUESTIONS);
}

#[test]
fn spark_answers_from_the_segments_as_the_index_does() {
    // It takes a Java machine and some ten seconds for each.
    agrees("spark_review.py", &[QUESTIONS[0], QUESTIONS[1], QUESTIONS[3], QUESTIONS[6]]);
}
