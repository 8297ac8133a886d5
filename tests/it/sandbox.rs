//! What a gate has given up once it serves.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::gate::{Start, status_of};

const POLICY: &str = "[policy]\nunknown = \"deny\"\n";

/// The status, once both workers have tried to write elsewhere.
fn tried(data_dir: &Path) -> Value {
    let begun = std::time::Instant::now();
    loop {
        let status = status_of(data_dir);
        if status["sandbox"]["refused"] == 2 || status["sandbox"]["enforced"] == false {
            return status;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{status:#}");
    }
}

/// What the kernel says of each thread of a process, by a key of proc(5).
fn of_threads(pid: &Value, key: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    // A thread may end meanwhile.
    let texts = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok());
    let value = |text: String| {
        let line = text.lines().find_map(|line| Some(line.strip_prefix(key)?.strip_prefix(':')?.trim().to_owned()));
        line.unwrap_or_else(|| panic!("{key} in {text}"))
    };
    texts.map(value).collect()
}

#[test]
fn no_thread_of_a_gate_can_write_outside_its_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let config = "[gate]\nworkers = 2\n";
    let mut gate = Start { policy: POLICY, config, data_dir: Some(data_dir.clone()), ..Start::default() }.gate();
    let status = tried(&data_dir);
    let sandbox = &status["sandbox"];
    assert_eq!(sandbox["enforced"], true, "this kernel has no Landlock: {sandbox:#}");
    assert_eq!(sandbox["writable"], serde_json::json!([data_dir]));
    assert_eq!((&sandbox["refused"], &sandbox["starts_programs"]), (&2.into(), &false.into()));
    // The file would have been made in the directory of all temporary files, where this test makes its own.
    let left = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with(".sekisho-");
    assert!(!fs::read_dir(std::env::temp_dir()).unwrap().any(|entry| left(entry.unwrap())));

    let told = of_threads(&status["pid"], "NoNewPrivs");
    assert!(told.len() > 3 && told.iter().all(|value| value == "1"), "{told:?}");
    // CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER are the first four.
    for key in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        let held = of_threads(&status["pid"], key);
        let held: Vec<_> = held.iter().map(|value| u64::from_str_radix(value, 16).unwrap()).collect();
        let is_root = rustix::process::geteuid().is_root();
        assert!(held.iter().all(|held| held & !0b1111 == 0 || (key == "CapBnd" && !is_root)), "{key}: {held:x?}");
    }
    assert_eq!(gate.end("-TERM"), Some(0));
}

#[test]
fn what_the_config_opens_is_open_and_hooks_live_in_the_sandbox_too() {
    let directory = tempfile::tempdir().unwrap();
    let [data_dir, open, shut] = ["data", "open", "shut"].map(|name| directory.path().join(name));
    for made in [&open, &shut] {
        fs::create_dir(made).unwrap();
    }
    let script = directory.path().join("hook");
    let text =
        format!("#!/bin/sh\necho \"$*\" >>'{}/told' && : >/dev/null && : >'{}/told'\n", open.display(), shut.display());
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let config = format!(
        "[gate]\nworkers = 2\nwritable = [{open:?}, {:?}]\n[hooks.switch]\ncommand = [{script:?}, \"{{client}}\"]\n",
        directory.path().join("absent")
    );
    let mut gate =
        Start { policy: POLICY, config: &config, data_dir: Some(data_dir.clone()), ..Start::default() }.gate();
    let sandbox = tried(&data_dir)["sandbox"].clone();
    assert_eq!(sandbox["writable"], serde_json::json!([data_dir, open]));
    assert_eq!((&sandbox["enforced"], &sandbox["starts_programs"]), (&true.into(), &true.into()));
    assert!(sandbox["faults"][0].as_str().unwrap().contains("absent is not there"), "{sandbox:#}");
    let isolate = ["isolate", "192.0.2.9", "--reason", "a test", "--data-dir", data_dir.to_str().unwrap()];
    let isolated = Command::new(env!("CARGO_BIN_EXE_sekisho")).args(isolate).output().unwrap();
    let said = String::from_utf8(isolated.stdout).unwrap();
    assert!(
        said.contains("hook switch: NOT TOLD") && said.contains("/shut/told"),
        "{said} {}",
        String::from_utf8_lossy(&isolated.stderr)
    );
    assert_eq!(fs::read_to_string(open.join("told")).unwrap(), "192.0.2.9\n");
    assert!(!shut.join("told").exists());
    assert_eq!(gate.end("-TERM"), Some(0));
}

#[test]
fn a_gate_whose_whole_disk_is_opened_says_that_nothing_keeps_it_in() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    let config = "[gate]\nworkers = 2\nwritable = [\"/\"]\n";
    let _gate = Start { policy: POLICY, config, data_dir: Some(data_dir.clone()), ..Start::default() }.gate();
    let sandbox = tried(&data_dir)["sandbox"].clone();
    assert_eq!((&sandbox["enforced"], &sandbox["refused"]), (&false.into(), &0.into()), "{sandbox:#}");
}

#[test]
fn a_journal_that_a_link_takes_elsewhere_is_to_be_named() {
    let directory = tempfile::tempdir().unwrap();
    let [data_dir, disk] = ["data", "disk"].map(|name| directory.path().join(name));
    for made in [&data_dir, &disk] {
        fs::create_dir(made).unwrap();
        fs::set_permissions(made, fs::Permissions::from_mode(0o700)).unwrap();
    }
    std::os::unix::fs::symlink(&disk, data_dir.join("journal")).unwrap();
    let start = |config: &str| {
        let data_dir = Some(data_dir.clone());
        let output = Start { policy: POLICY, config, data_dir, ..Start::default() }.output();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = start("");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("data/journal leads to ") && said.contains("`writable` of [gate]"), "{said}");
    let config = format!("[gate]\nwritable = [{disk:?}]\n");
    let mut gate =
        Start { policy: POLICY, config: &config, data_dir: Some(data_dir.clone()), ..Start::default() }.gate();
    assert_eq!(gate.end("-TERM"), Some(0));
    assert!(fs::read_dir(&disk).unwrap().count() > 0);
}
