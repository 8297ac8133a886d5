//! Rules on trial: confirmed they stay, and otherwise what was there before comes back, whatever became of who asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::lab::{Lab, Machine, run};

struct Applying {
    child: Child,
    out: BufReader<ChildStdout>,
}

/// Starts `egress apply` and waits until the rules are in force.
fn apply(lab: &Lab, directory: &TempDir, arguments: &[&str]) -> Applying {
    let mut command = lab.egress(directory.path(), &[&["apply"], arguments].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert!(line.starts_with("The rules are in force"), "{line}");
    assert!(table(lab).is_some_and(|table| table.contains("chain no-way-out")));
    Applying { child, out }
}

impl Applying {
    fn answer(&mut self, line: &str) {
        self.child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    }

    /// The exit code, and what was said on both sides.
    fn end(mut self) -> (i32, String) {
        let mut said = String::new();
        self.out.read_to_string(&mut said).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap().code().unwrap(), said)
    }
}

fn table(lab: &Lab) -> Option<String> {
    let listed = lab.command(Machine::Gateway, "nft").args(["list", "table", "inet", "sekisho"]).output().unwrap();
    listed.status.success().then(|| String::from_utf8(listed.stdout).unwrap())
}

const TAKEN_BACK: &str = "sekisho: not confirmed: what was there before is in force again\n";
/// Another table of this name, with what a listing could lose.
const BEFORE: &str = "
table inet sekisho {
    set isolated { type ipv4_addr; elements = { 10.20.0.9 }; }
    counter seen { packets 7 bytes 700 }
    chain forward {
        type filter hook forward priority filter + 5; policy accept;
        ip saddr @isolated counter name seen drop
    }
}
";

#[test]
fn confirmed_rules_stay_and_a_check_finds_nothing() {
    let (lab, directory) = (Lab::make(), tempfile::tempdir().unwrap());
    let mut applying = apply(&lab, &directory, &[]);
    applying.answer("yes\n");
    let (code, said) = applying.end();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("\nKept, until this machine restarts"), "{said}");
    let checked = run(&mut lab.egress(directory.path(), &["check"]));
    assert_eq!(checked, "result   the table is as the config asks for\n");
}

#[test]
fn what_is_not_confirmed_is_taken_back_to_exactly_what_was_there() {
    let (lab, directory) = (Lab::make(), tempfile::tempdir().unwrap());
    lab.load(Machine::Gateway, "table ip other {\n chain c {\n type filter hook forward priority 0;\n }\n}\n");
    for before in [None, Some(BEFORE)] {
        before.into_iter().for_each(|before| lab.load(Machine::Gateway, before));
        let whole = lab.nft(Machine::Gateway, "list ruleset");
        for (arguments, answer) in [
            (["--confirm-within", "600"].as_slice(), Some("no\n")),
            (&["--confirm-within", "600"], Some("\n")),
            // The time is over.
            (&["--confirm-within", "1"], None),
        ] {
            let mut applying = apply(&lab, &directory, arguments);
            answer.into_iter().for_each(|answer| applying.answer(answer));
            let (code, said) = applying.end();
            assert_eq!(code, 1, "{said}");
            assert!(said.ends_with(TAKEN_BACK), "{said}");
            assert_eq!(lab.nft(Machine::Gateway, "list ruleset"), whole);
        }
        // The end of its input, which is what a terminal that has gone leaves.
        let mut applying = apply(&lab, &directory, &[]);
        drop(applying.child.stdin.take());
        assert_eq!(applying.end().0, 1);
        assert_eq!(lab.nft(Machine::Gateway, "list ruleset"), whole);
    }
}

#[test]
fn the_end_of_who_asked_takes_the_rules_back() {
    let (lab, directory) = (Lab::make(), tempfile::tempdir().unwrap());
    // Ctrl-C, the end of a login, and what nobody can catch.
    for signal in [Signal::INT, Signal::HUP, Signal::KILL] {
        let mut applying = apply(&lab, &directory, &["--confirm-within", "600"]);
        kill_process(Pid::from_child(&applying.child), signal).unwrap();
        applying.child.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while table(&lab).is_some() {
            assert!(Instant::now() < deadline, "the rules are still in force after {signal:?}");
            std::thread::yield_now();
        }
    }
}

#[test]
fn two_do_not_try_rules_at_the_same_time() {
    let (lab, directory) = (Lab::make(), tempfile::tempdir().unwrap());
    let mut first = apply(&lab, &directory, &["--confirm-within", "600"]);
    for arguments in [["apply", "--confirm-within", "600"].as_slice(), &["apply", "--yes"]] {
        let second = lab.egress(directory.path(), arguments).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(second.stderr).unwrap();
        assert_eq!(second.status.code(), Some(1), "{said}");
        assert!(said.contains("another `egress apply` is under way") && said.contains("hint:"), "{said}");
    }
    first.answer("yes\n");
    assert_eq!(first.end().0, 0);
    assert!(run(&mut lab.egress(directory.path(), &["apply", "--yes"])).starts_with("The rules are in force."));
}

#[test]
fn who_is_cut_off_stays_so_through_all_of_it() {
    let (lab, directory) = (Lab::make(), tempfile::tempdir().unwrap());
    lab.load(Machine::Gateway, BEFORE);
    let mut applying = apply(&lab, &directory, &[]);
    assert!(table(&lab).unwrap().contains("elements = { 10.20.0.9 }"));
    lab.nft(Machine::Gateway, "add element inet sekisho isolated { 10.20.0.10 }");
    applying.answer("no\n");
    assert_eq!(applying.end().0, 1);
    let back = table(&lab).unwrap();
    assert!(back.contains("elements = { 10.20.0.9, 10.20.0.10 }") && back.contains("packets 7 bytes 700"), "{back}");
}

#[test]
fn a_script_asks_nobody_and_is_told_so() {
    let (lab, directory) = (Lab::make(), tempfile::tempdir().unwrap());
    let said = run(&mut lab.egress(directory.path(), &["apply", "--yes"]));
    assert_eq!(said, "The rules are in force. Nobody was asked (--yes), and nothing takes them back.\n");
    assert!(table(&lab).is_some_and(|table| table.contains("chain no-way-out")));
}
