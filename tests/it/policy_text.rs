//! `policy fmt` and `policy schema`: what concerns the text of policies alone.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

struct Answer {
    code: i32,
    out: String,
    err: String,
}

fn policy(directory: &Path, arguments: &[&str], input: &str) -> Answer {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .arg("policy")
        .args(arguments)
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // What reads nothing may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

const UNEVEN: &str = "[[rule]]\nverdict='allow' # why\nname = \"one\"\n";
const EVEN: &str = "[[rule]]\nname    = \"one\"\nverdict = 'allow' # why\n";
const BAD: &str = "[[rule]]\nname = \"one\"\nverdict = allow\n";

fn directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in [("uneven.toml", UNEVEN), ("even.toml", EVEN), ("bad.toml", BAD)] {
        fs::write(directory.path().join(name), text).unwrap();
    }
    directory
}

#[test]
fn a_file_is_laid_out_in_place_and_keeps_its_mode_and_the_link_to_it() {
    let directory = directory();
    let file = |name: &str| directory.path().join(name);
    fs::set_permissions(file("uneven.toml"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("uneven.toml", file("link.toml")).unwrap();
    let even = fs::metadata(file("even.toml")).unwrap();

    let answer = policy(directory.path(), &["fmt", "link.toml", "even.toml"], "");
    assert_eq!((answer.code, &*answer.err), (0, ""));
    assert_eq!(answer.out, "laid out    link.toml\nas it was   even.toml\n");
    assert_eq!(fs::read_to_string(file("uneven.toml")).unwrap(), EVEN);
    assert_eq!(fs::metadata(file("uneven.toml")).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_link(file("link.toml")).unwrap(), Path::new("uneven.toml"));
    // A file is written by putting another in its place: this one is the same.
    assert_eq!(fs::metadata(file("even.toml")).unwrap().ino(), even.ino());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 4, "nothing is left beside them");

    let again = policy(directory.path(), &["fmt", "--format", "json", "uneven.toml"], "");
    let report: Value = serde_json::from_str(&again.out).unwrap();
    let expected = json!({ "ok": true, "files": [{ "file": "uneven.toml", "changed": false }], "problems": [] });
    assert_eq!(report, expected);
}

#[test]
fn check_names_the_files_that_would_change_and_writes_none() {
    let directory = directory();
    let answer = policy(directory.path(), &["fmt", "--check", "uneven.toml", "even.toml"], "");
    assert_eq!((answer.code, &*answer.out), (2, ""));
    let expected = "sekisho: not laid out as `sekisho policy fmt` would: uneven.toml\n";
    assert!(answer.err.starts_with(expected), "{}", answer.err);
    assert_eq!(fs::read_to_string(directory.path().join("uneven.toml")).unwrap(), UNEVEN);

    let answer = policy(directory.path(), &["fmt", "--check", "--format", "json", "uneven.toml"], "");
    let report: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((answer.code, &report["ok"], &report["problems"][0]["file"]), (2, &json!(false), &json!("uneven.toml")));

    let answer = policy(directory.path(), &["fmt", "--check", "even.toml"], "");
    assert_eq!((answer.code, &*answer.out, &*answer.err), (0, "as it was   even.toml\n", ""));
}

#[test]
fn a_dash_reads_standard_input_and_writes_standard_output() {
    let directory = directory();
    let answer = policy(directory.path(), &["fmt", "-"], UNEVEN);
    assert_eq!((answer.code, &*answer.out, &*answer.err), (0, EVEN, ""));
    let answer = policy(directory.path(), &["fmt", "--check", "-"], UNEVEN);
    assert_eq!((answer.code, &*answer.out), (2, ""));
    let answer = policy(directory.path(), &["fmt", "--check", "-"], EVEN);
    assert_eq!((answer.code, &*answer.out, &*answer.err), (0, "", ""));
    let answer = policy(directory.path(), &["fmt", "-", "uneven.toml"], UNEVEN);
    assert_eq!((answer.code, &*answer.out), (2, ""));
    assert!(answer.err.contains("`-`, standard input, stands alone"), "{}", answer.err);
}

#[test]
fn where_a_file_is_no_toml_its_place_is_shown_and_none_is_written() {
    let directory = directory();
    let answer = policy(directory.path(), &["fmt", "uneven.toml", "bad.toml"], "");
    assert_eq!((answer.code, &*answer.out), (2, ""));
    assert!(answer.err.starts_with("sekisho: 1 problem\nbad.toml:3:11: not TOML: "), "{}", answer.err);
    assert_eq!(fs::read_to_string(directory.path().join("uneven.toml")).unwrap(), UNEVEN);

    let answer = policy(directory.path(), &["fmt", "uneven.toml", "missing.toml"], "");
    assert_eq!(answer.code, 2);
    assert!(answer.err.starts_with("sekisho: cannot read the policy file missing.toml: "), "{}", answer.err);
    assert_eq!(fs::read_to_string(directory.path().join("uneven.toml")).unwrap(), UNEVEN);
}

#[test]
fn the_schema_is_printed_as_it_lies_beside_the_shipped_policies() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policy/policy.schema.json");
    let answer = policy(Path::new("/"), &["schema"], "");
    assert_eq!((answer.code, answer.out, &*answer.err), (0, fs::read_to_string(shipped).unwrap(), ""));
}

#[test]
fn each_command_on_policies_explains_itself_with_an_example() {
    for command in ["fmt", "schema"] {
        let answer = policy(Path::new("/"), &[command, "--help"], "");
        assert_eq!(answer.code, 0);
        assert!(answer.out.contains(&format!("Examples:\n  sekisho policy {command}")), "{}", answer.out);
        assert!(answer.out.contains("Exit codes:\n  0  done\n"), "{}", answer.out);
    }
}
