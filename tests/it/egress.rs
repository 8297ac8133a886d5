//! The firewall rules that leave the gate as the only way out: their text, and what a kernel makes of them.
//!
//! Needs root, network namespaces, nft and iptables; `tests/run` leaves it out where they cannot be had.

mod apply;
mod background;
mod between;
mod capture;
mod check;
mod iptables_lockdown;
mod isolation;
#[path = "../lab/segments.rs"]
mod lab;
mod options;
mod neighbours;
mod passes;
mod proof;
mod tripwires;
mod ways_out;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const CONFIGS: [&str; 4] = ["site", "small", "redirect", "tproxy"];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/egress")
}

fn sekisho(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .args(arguments)
        .current_dir(data())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What a command prints, which must succeed, and what it says beside.
fn printed(arguments: &[&str]) -> (String, String) {
    let output = sekisho(arguments);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {err}");
    (out, err)
}

/// A golden file: what was printed when somebody last looked at it. UPDATE_EXPECTED=1 writes it anew.
fn assert_golden(name: &str, text: &str) {
    let path = data().join(name);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name} (UPDATE_EXPECTED=1 writes it anew)");
}

/// Gives a program a text, in a network namespace of its own.
fn fed(program: &[&str], text: &str) -> Output {
    let mut child = Command::new("unshare")
        .arg("--net")
        .args(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn the_rules_are_what_they_were_and_the_kernel_takes_them() {
    for config in CONFIGS {
        let file = format!("{config}.toml");
        let (rules, said) = printed(&["egress", "nft", "--config", &file]);
        assert_golden(&format!("{config}.nft"), &rules);
        // Twice: once where there is no such table, once where there is.
        let loaded = fed(
            &[
                "sh",
                "-c",
                "cat > /dev/null; for i in 1 2; do nft -f \"$0\" || exit; done; nft list tables",
                data().join(format!("{config}.nft")).to_str().unwrap(),
            ],
            "",
        );
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        assert_eq!(String::from_utf8_lossy(&loaded.stdout), "table inet sekisho\n");
        assert_eq!(printed(&["egress", "nft", "--config", &file]).0, rules, "the same config gives the same text");
        let over = "sekisho: site.toml:69: an exception ended with 2020-01-31 and has dropped out: the provider measured the line\n";
        assert_eq!(said, if config == "site" { over } else { "" });
        assert!(!rules.contains("the provider measured"));
    }
}

#[test]
fn iptables_takes_the_same_rules_in_both_families() {
    for config in CONFIGS {
        let file = format!("{config}.toml");
        for (program, flag) in [("iptables", None), ("ip6tables", Some("--ipv6"))] {
            for (lockdown, name) in [(None, ""), (Some("--lockdown"), "lockdown.")] {
                let arguments = ["egress", "iptables", "--config", &file].into_iter().chain(flag).chain(lockdown);
                let (rules, _) = printed(&arguments.collect::<Vec<_>>());
                // Where nothing is excepted a lockdown closes nothing more.
                if lockdown.is_none() || config == "site" {
                    assert_golden(&format!("{config}.{name}{program}"), &rules);
                }
                for kind in ["nft", "legacy"] {
                    let restore = format!("{program}-{kind}-restore");
                    let loaded = fed(&[&restore, "--test"], &rules);
                    let said = String::from_utf8_lossy(&loaded.stderr);
                    assert!(loaded.status.success(), "{restore} {config}: {said}");
                }
            }
        }
    }
}

/// What of a text decides: its lines that are no comment.
fn deciding(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with('#')).collect()
}

#[test]
fn a_lockdown_by_iptables_drops_the_exceptions_that_are_not_essential_and_what_answers_them_and_changes_nothing_else() {
    for flag in [None, Some("--ipv6")] {
        let of = |more: Option<&'static str>| {
            let arguments = ["egress", "iptables", "--config", "site.toml"].into_iter().chain(flag).chain(more);
            printed(&arguments.collect::<Vec<_>>()).0
        };
        let (usual, locked) = (of(None), of(Some("--lockdown")));
        let (usual, locked) = (deciding(&usual), deciding(&locked));
        let only = |these: &[&str], those: &[&str]| -> Vec<String> {
            these.iter().filter(|line| !those.contains(line)).map(|line| (*line).to_owned()).collect()
        };
        let (gone, new) = (only(&usual, &locked), only(&locked, &usual));
        assert!(gone.iter().any(|line| line.ends_with("-j CONNMARK --set-xmark 0x10000000/0x10000000")), "{gone:#?}");
        assert!(
            gone.iter().all(|line| line.contains("\"exception-2\"") || line.contains("\"exception-3\"")),
            "{gone:#?}"
        );
        assert!(
            new.iter().all(|line| line.contains("--mark 0x10000000/0x10000000 -m conntrack --ctdir REPLY")),
            "{new:#?}"
        );
        assert!(new.iter().any(|line| line.starts_with("-A FORWARD") && line.ends_with("-j DROP")), "{new:#?}");
        let essential = |lines: &[&str]| lines.iter().filter(|line| line.contains("\"exception-1\"")).count();
        assert_eq!(essential(&usual), essential(&locked));
        assert_eq!(essential(&locked) > 0, flag.is_none(), "it names an address of IPv4");
    }
}

#[test]
fn rules_that_capture_to_where_the_gate_does_not_listen_are_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("c.toml");
    let text = std::fs::read_to_string(data().join("redirect.toml")).unwrap();
    // The port is another's: of tproxy, not of redirect.
    std::fs::write(&config, text.replace("[capture]\nredirect", "[capture]\ntproxy")).unwrap();
    let (_, said) = printed(&["egress", "nft", "--config", config.to_str().unwrap()]);
    assert!(said.contains("capture to port 3130, and `redirect` of [capture] names no address with it"), "{said}");
}

#[test]
fn advice_says_of_each_segment_what_its_switches_must_do() {
    for config in CONFIGS {
        let (advice, _) = printed(&["egress", "advice", "--config", &format!("{config}.toml")]);
        assert_golden(&format!("{config}.advice"), &advice);
    }
}

#[test]
fn a_config_without_a_network_has_no_rules() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("empty.toml");
    std::fs::write(&config, "").unwrap();
    for command in ["nft", "iptables", "advice", "apply", "check"] {
        let output = sekisho(&["egress", command, "--config", config.to_str().unwrap()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true), "{said}");
        assert!(said.contains("has no [network]\nhint: describe the network in [network]"), "{said}");
    }
}
