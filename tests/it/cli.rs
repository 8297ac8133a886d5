//! What a person types and what they read back: help, reports, errors with their fix, exit codes.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::gate::records;

/// What a command came back with.
struct Answer {
    code: i32,
    out: String,
    err: String,
}

fn sekisho(directory: &Path, arguments: &[&str]) -> Answer {
    sekisho_with(directory, arguments, &[])
}

fn sekisho_with(directory: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Answer {
    let output = Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("NO_COLOR")
        .env_remove("CLICOLOR_FORCE")
        .env_remove("STATE_DIRECTORY")
        .env("XDG_STATE_HOME", directory.join("state"))
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Answer { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// A directory with these files in it.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

/// Starts a gate, reads its start-up message, ends it by SIGTERM.
fn start_and_end<S: AsRef<OsStr>>(directory: &Path, arguments: &[S]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sekisho"))
        .arg("run")
        .args(arguments)
        .current_dir(directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut message = String::new();
    while !message.contains("\nstop ") {
        assert_ne!(out.read_line(&mut message).unwrap(), 0, "the gate ended early: {message}");
    }
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    out.read_to_string(&mut message).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    message
}

const GOOD: &str = "[[rule]]\nname = \"one\"\nhosts = [\"a.example\"]\nverdict = \"allow\"\n";
const BAD: &str =
    "[policy]\nmod = \"enforce\"\n\n[[rule]]\nname    = \"r\"\nverdict = \"allow\"\nhosts   = [\"nobody\"]\n";
const BAD_CONFIG: &str = "[gate]\nlisten = [\"here\"]\nvia = \"yes\"\n[limits]\nhead_kib_max = 0\nhead_second = 3\n";

fn commands() -> Vec<String> {
    let help = sekisho(Path::new("/"), &["--help"]).out;
    let list = help.split_once("Commands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    list.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help").collect()
}

#[test]
fn every_command_explains_itself_with_an_example_and_the_exit_codes() {
    let commands = commands();
    for command in [
        "run",
        "init",
        "check",
        "explain",
        "policy",
        "learn",
        "replay",
        "hunt",
        "review",
        "status",
        "reload",
        "breakglass",
        "restraint",
        "device",
        "egress",
        "clients",
        "triage",
        "hold",
        "alert",
        "console",
        "isolate",
        "release",
        "lockdown",
        "ca",
        "verify",
        "sql",
        "completions",
        "man",
    ] {
        assert!(commands.iter().any(|name| name == command), "{command} in {commands:?}");
    }
    for command in commands {
        let help = sekisho(Path::new("/"), &[&command, "--help"]);
        assert_eq!(help.code, 0);
        assert!(help.out.contains(&format!("Examples:\n  sekisho {command}")), "{}", help.out);
        assert!(help.out.contains("Exit codes:\n  0  done\n  1  "), "{}", help.out);
    }
}

#[test]
fn the_help_is_what_it_was() {
    let expected = "\
Sekisho (関所): the only way out of a network. Lets out what the policy allows, records every attempt

Usage: sekisho <COMMAND>

Commands:
";
    let notes = "
Examples:
  sekisho run                       start a gate that allows nothing yet
  sekisho init /etc/sekisho         write a config, a policy and a systemd unit
  sekisho check policy.toml         show every problem of a policy, failing cases too
  sekisho explain --help            what becomes of a request, and which rule says so
  sekisho policy --help             lay a policy out evenly; the schema for editors
  sekisho learn > policy.toml       propose a policy from what was used
  sekisho replay policy.toml        what another policy would have changed
  sekisho hunt access.log           what calls home like clockwork, in any proxy's log
  sekisho export --format squid     what is on record, in the form of other programs
  sekisho review blocked            what was stopped, and why; more questions with --help
  sekisho status                    ask the running gate how it is doing
  sekisho reload                    take up a changed policy now, or see what is wrong with it
  sekisho fetch                     fetch the host lists of the config now
  sekisho clearance list            which programs have shown to be browsers
  sekisho restraint list            what findings have imposed
  sekisho device list               which client is which device
  sekisho egress --help             firewall rules that leave no other way out
  sekisho clients --help            how machines come to take the gate as their proxy
  sekisho triage --help             say what a finding or a target is, and get a rule for it
  sekisho hold --help               keep a client's days, however old
  sekisho alert test                whether alerts come through
  sekisho isolate --help            cut a client off at once, also in the kernel
  sekisho lockdown --help           let nothing pass but what is essential
  sekisho console user --help       who may log in to the web console
  sekisho ca --help                 the certificate authority by which the gate looks inside
  sekisho breakglass --help         when the disk is full and something must go out
  sekisho sql --schema              what can be asked by SQL of your own
  sekisho verify                    prove that no record was altered

Exit codes:
  0  done
  1  could not go on; the message says why
  2  a file or the command line is wrong
  3  the journal does not verify
  4  some of it could not be read: what is shown is not all
";
    let help = sekisho(Path::new("/"), &["--help"]).out;
    assert!(help.starts_with(expected) && help.ends_with(notes), "{help}");
}

#[test]
fn a_mistyped_command_or_option_gets_exit_code_2_and_a_suggestion() {
    let answer = sekisho(Path::new("/"), &["verfy"]);
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains("a similar subcommand exists: 'verify'"), "{}", answer.err);
    let answer = sekisho(Path::new("/"), &["run", "--listen", "here"]);
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains("invalid value 'here' for '--listen <ADDRESS:PORT>'"), "{}", answer.err);
}

#[test]
fn no_color_is_respected_where_colours_would_be_used() {
    let coloured = sekisho_with(Path::new("/"), &["verfy"], &[("CLICOLOR_FORCE", "1")]);
    assert!(coloured.err.contains('\x1b'), "the test can tell: {}", coloured.err);
    let plain = sekisho_with(Path::new("/"), &["verfy"], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]);
    assert!(!plain.err.contains('\x1b'), "{}", plain.err);
    let piped = sekisho(Path::new("/"), &["verfy"]);
    assert!(!piped.err.contains('\x1b'), "{}", piped.err);
}

#[test]
fn there_is_a_manual_page_of_every_command() {
    let directory = directory(&[]);
    assert_eq!(sekisho(directory.path(), &["man", "made/man1"]).code, 0);
    let page = |name: &str| std::fs::read_to_string(directory.path().join("made/man1").join(name)).unwrap();
    let whole = page("sekisho.1");
    for command in commands() {
        assert!(whole.contains(&format!("sekisho\\-{command}(1)")), "{command}: {whole}");
        let own = page(&format!("sekisho-{command}.1"));
        assert!(own.contains(".SH SYNOPSIS") && own.contains("Examples:"), "{own}");
    }
    assert!(page("sekisho-policy-fmt.1").contains("policy"));
    assert_eq!(sekisho(directory.path(), &["man", "/proc/nowhere"]).code, 1);
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = sekisho(Path::new("/"), &["completions", shell]);
        assert_eq!(script.code, 0);
        for command in commands() {
            assert!(script.out.contains(&command), "{shell}: {command}");
        }
    }
}

#[test]
fn check_shows_a_good_policy_as_a_table_and_as_json() {
    let directory = directory(&[("good.toml", GOOD)]);
    let answer = sekisho(directory.path(), &["check", "good.toml"]);
    let expected = "\
policy      good.toml
version     VERSION
mode        enforce
unknown     deny
rules       1
cases       0 hold
essential   0
result      no problem found
";
    let version = &blake3::hash(GOOD.as_bytes()).to_hex()[..16];
    let expected = expected.replace("VERSION", version);
    assert_eq!((answer.code, answer.out.as_str(), answer.err.as_str()), (0, expected.as_str(), ""));

    let answer = sekisho(directory.path(), &["check", "--format", "json", "good.toml"]);
    let expected = json!({
        "ok": true, "policy": "good.toml", "version": version, "mode": "enforce", "unknown": "deny", "rules": 1,
        "cases": 0, "essential_rules": 0, "lists": [], "unfetched": [], "warnings": [],
        "problems": [],
    });
    assert_eq!((answer.code, serde_json::from_str::<Value>(&answer.out).unwrap()), (0, expected));
}

#[test]
fn check_warns_of_what_is_seldom_meant_and_refuses_it_where_that_is_asked() {
    let policy =
        "[hosts.spare]\nnames = [\"a.example\"]\n[[rule]]\nname = \"r\"\nhosts = [\"*.co.jp\"]\nverdict = \"allow\"\n";
    let directory = directory(&[("p.toml", policy)]);
    let warnings = "
p.toml:4: warning: rule `r` lets out to `*.co.jp`, a public suffix: anybody may register a name there (public_suffix)
    fix: name the domains that are meant
p.toml:1: warning: no rule names the hosts group `spare` (unused)
    fix: name it in a rule, or take it away
";
    let answer = sekisho(directory.path(), &["check", "p.toml"]);
    assert!(answer.out.ends_with(&format!("result      no problem found; 2 warnings\n{warnings}")), "{}", answer.out);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));

    let answer = sekisho(directory.path(), &["check", "--deny-warnings", "p.toml"]);
    assert!(answer.out.ends_with(warnings), "{}", answer.out);
    assert_eq!((answer.code, answer.err.as_str()), (2, "sekisho: 2 warnings, and --deny-warnings takes none\n"));

    let answer = sekisho(directory.path(), &["check", "--format", "json", "p.toml"]);
    let expected = json!({ "file": "p.toml", "line": 1, "code": "unused",
        "message": "no rule names the hosts group `spare`", "fix": "name it in a rule, or take it away" });
    assert_eq!(serde_json::from_str::<Value>(&answer.out).unwrap()["warnings"][1], expected);

    let good = self::directory(&[("good.toml", GOOD)]);
    assert_eq!(sekisho(good.path(), &["check", "--deny-warnings", "good.toml"]).code, 0);
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let directory = directory(&[("good.toml", GOOD)]);
    for arguments in [["check", "good.toml"], ["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_sekisho"))
            .args(arguments)
            .current_dir(directory.path())
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    }
}

#[test]
fn check_shows_all_problems_of_a_policy_at_once_with_place_and_fix() {
    let directory = directory(&[("bad.toml", BAD)]);
    let expected = "\
sekisho: 2 problems
bad.toml:2:1: unknown key `mod`
    fix: did you mean `mode`?
bad.toml:7:12: there is no hosts group `nobody`
    fix: define [hosts.nobody], or name one that is defined
";
    let answer = sekisho(directory.path(), &["check", "bad.toml"]);
    assert_eq!((answer.code, answer.out.as_str(), answer.err.as_str()), (2, "", expected));

    let answer = sekisho(directory.path(), &["check", "bad.toml", "--format", "json"]);
    let problems = json!({ "ok": false, "problems": [
        { "file": "bad.toml", "line": 2, "column": 1, "message": "unknown key `mod`", "fix": "did you mean `mode`?" },
        { "file": "bad.toml", "line": 7, "column": 12, "message": "there is no hosts group `nobody`",
          "fix": "define [hosts.nobody], or name one that is defined" },
    ]});
    assert_eq!((answer.code, serde_json::from_str::<Value>(&answer.out).unwrap()), (2, problems));
    assert_eq!(answer.err, expected);
}

#[test]
fn check_refuses_a_rule_that_can_never_match() {
    let checked = |line: &str| {
        let policy = format!("[[rule]]\nname = \"r\"\nverdict = \"deny\"\n{line}\n");
        let directory = directory(&[("p.toml", &policy)]);
        let answer = sekisho(directory.path(), &["check", "p.toml"]);
        (answer.code, answer.err)
    };
    for key in ["hosts", "ports", "clients", "methods", "programs"] {
        let (code, said) = checked(&format!("{key} = []"));
        let expected = format!(
            "p.toml:1:1: `{key}` is empty, and nothing could match it\n    fix: name one, or leave `{key}` out to match "
        );
        assert!(code == 2 && said.contains(&expected), "{code} {said}");
    }
    let (code, said) = checked("methods = [\"GET\", \"Post\"]");
    let expected = "p.toml:4:19: the method `Post` has lower-case letters, and methods are case-sensitive\n    fix: write \"POST\"";
    assert!(code == 2 && said.contains(expected) && !said.contains("`GET`"), "{code} {said}");
    for method in ["", "GET /", "GÄT"] {
        let (code, said) = checked(&format!("methods = [{method:?}]"));
        assert!(
            code == 2 && said.contains("p.toml:4:12: ") && said.contains(" is no method\n    fix: "),
            "{code} {said}"
        );
    }
    assert_eq!(checked("hosts = [\"*\"]\nports = [80]\nmethods = [\"GET\", \"M-SEARCH\"]").0, 0);
}

#[test]
fn check_shows_all_problems_of_a_config_and_of_a_policy_together() {
    let directory = directory(&[("c.toml", BAD_CONFIG), ("bad.toml", BAD)]);
    let answer = sekisho(directory.path(), &["check", "--config", "c.toml", "bad.toml"]);
    let expected = "\
sekisho: 6 problems
c.toml:2:11: `here` is no address with a port
    fix: write it like \"127.0.0.1:3128\" or \"[::1]:3128\"
c.toml:3:7: `via` is a string
    fix: write true or false, without quotes
c.toml:5:16: `head_kib_max` = 0 is out of range
    fix: write a number from 1 to 1024
c.toml:6:1: unknown key `head_second`
    fix: did you mean `head_seconds`?
bad.toml:2:1: unknown key `mod`
    fix: did you mean `mode`?
bad.toml:7:12: there is no hosts group `nobody`
    fix: define [hosts.nobody], or name one that is defined
";
    assert_eq!((answer.code, answer.err.as_str()), (2, expected));
}

#[test]
fn run_refuses_what_check_refuses() {
    let directory = directory(&[("c.toml", BAD_CONFIG), ("bad.toml", BAD)]);
    for (run, check) in [
        (["run", "--config", "c.toml"].as_slice(), ["check", "--config", "c.toml"].as_slice()),
        (&["run", "--policy", "bad.toml"], &["check", "bad.toml"]),
    ] {
        let (run, check) = (sekisho(directory.path(), run), sekisho(directory.path(), check));
        assert_eq!((run.code, run.out.as_str()), (2, ""));
        assert_eq!(run.err, check.err);
    }
    assert!(!directory.path().join("state").exists(), "nothing was made");
}

#[test]
fn a_file_that_is_not_there_is_named_by_its_role() {
    let directory = directory(&[("c.toml", "[gate]\npolicy = \"gone.toml\"\n")]);
    let hint = "hint: mind the spelling, or write files to start from with `sekisho init DIR`\n";
    for (arguments, role, name) in [
        (["run", "--config", "none.toml"].as_slice(), "config", "none.toml"),
        (&["run", "--policy", "none.toml"], "policy", "none.toml"),
        (&["run", "--config", "c.toml"], "policy", "gone.toml"),
        (&["check", "none.toml"], "policy", "none.toml"),
    ] {
        let answer = sekisho(directory.path(), arguments);
        let expected =
            format!("sekisho: cannot read the {role} file {name}: No such file or directory (os error 2)\n{hint}");
        assert_eq!((answer.code, answer.err), (2, expected));
    }
    let answer = sekisho(directory.path(), &["check", "--format", "json", "none.toml"]);
    let report: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((&report["ok"], &report["problems"][0]["file"]), (&json!(false), &json!("none.toml")));
}

#[test]
fn a_port_in_use_is_exit_code_1_with_a_hint() {
    let directory = directory(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let answer = sekisho(directory.path(), &["run", "--listen", &address]);
    let expected = format!(
        "sekisho: cannot listen on {address}: Address already in use (os error 98)\n\
         hint: another program listens there (`ss -ltnp` names it); stop it, or choose another address with --listen\n"
    );
    assert_eq!((answer.code, answer.out.as_str(), answer.err), (1, "", expected));
}

#[test]
fn the_start_up_message_tells_what_a_person_needs_next() {
    let directory = directory(&[("good.toml", GOOD), ("open.toml", "[policy]\nunknown = \"allow\"\n")]);
    let start = |arguments: &[&str]| {
        let all = [["--listen", "127.0.0.1:0", "--data-dir", "d"].as_slice(), arguments].concat();
        let message = start_and_end(directory.path(), &all);
        // Only where few files may be open.
        message.split_inclusive('\n').filter(|line| !line.starts_with("clients ")).collect::<String>()
    };
    let message = start(&[]);
    let address = message.split_whitespace().nth(1).unwrap();
    assert!(address.starts_with("127.0.0.1:") && !address.ends_with(":0"), "{message}");
    let version = &blake3::hash(include_bytes!("../../policy/default.toml")).to_hex()[..16];
    let expected = format!(
        "\
proxy     {address}   set this as the proxy for HTTP and for HTTPS
records   d/journal
policy    built in (0 rules, version {version})
mode      enforce: nothing is allowed yet. `sekisho init DIR` writes a policy to start from;
          `sekisho run --observe` lets everything through and records what would have been refused
stop      Ctrl-C or SIGTERM; what is open gets 10 s to finish
"
    );
    assert_eq!(message, expected);

    let mode =
        |message: &str| message.split_once("\nmode ").unwrap().1.split_once("\nstop").unwrap().0.trim().to_owned();
    let observing = mode(&start(&["--observe"]));
    assert!(observing.starts_with("observe: everything but special-purpose addresses passes,"), "{observing}");
    assert_eq!(mode(&start(&["--policy", "good.toml"])), "enforce: what no rule allows is refused");
    let open = mode(&start(&["--policy", "open.toml"]));
    assert!(open.starts_with("enforce, but the policy says unknown = \"allow\":"), "{open}");
}

#[test]
fn a_path_in_a_config_means_a_file_beside_it_and_one_in_an_argument_does_not() {
    let config = "[gate]\nlisten = [\"127.0.0.1:0\"]\npolicy = \"p.toml\"\ndata_dir = \"data\"\n";
    let directory = directory(&[("etc/c.toml", config), ("etc/p.toml", GOOD), ("here/p.toml", "")]);
    let here = directory.path().join("here");
    let message = start_and_end(&here, &["--config", "../etc/c.toml"]);
    assert!(message.contains("\npolicy    ../etc/p.toml (1 rule,"), "{message}");
    assert!(message.contains("\nrecords   ../etc/data/journal\n"), "{message}");
    assert!(directory.path().join("etc/data/journal").is_dir() && !here.join("data").exists());

    let message = start_and_end(&here, &["--config", "../etc/c.toml", "--policy", "p.toml", "--data-dir", "data"]);
    assert!(message.contains("\npolicy    p.toml (0 rules,"), "{message}");
    assert!(here.join("data/journal").is_dir());
}

#[test]
fn verify_reads_a_journal_that_is_whole() {
    let directory = directory(&[]);
    start_and_end(directory.path(), &["--listen", "127.0.0.1:0", "--data-dir", "d"]);
    let answer = sekisho(directory.path(), &["verify", "d"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    assert!(
        answer.out.starts_with("journal       d/journal\nsegments      1, 0 of them sealed\nrecords       "),
        "{}",
        answer.out
    );
    assert!(
        answer.out.ends_with("\nresult        every record stands where and as it was written\n"),
        "{}",
        answer.out
    );

    // The journal's own directory is what `run` prints.
    let answer = sekisho(directory.path(), &["verify", "--format", "json", "d/journal"]);
    let report: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((answer.code, &report["ok"], &report["torn_bytes"]), (0, &json!(true), &json!(0)));
    assert!(report["records"].as_u64() >= Some(3) && report["chain"].as_str().unwrap().len() == 64, "{report}");
}

#[test]
fn what_verify_printed_can_be_found_in_a_later_journal() {
    let directory = directory(&[]);
    start_and_end(directory.path(), &["--listen", "127.0.0.1:0", "--data-dir", "d"]);
    let answer = sekisho(directory.path(), &["verify", "--format", "json", "d"]);
    let report: Value = serde_json::from_str(&answer.out).unwrap();
    start_and_end(directory.path(), &["--listen", "127.0.0.1:0", "--data-dir", "d"]);
    let records = records(&directory.path().join("d"));
    let kept = records.iter().find(|record| record["seq"] == report["records"]).unwrap();
    assert_eq!(kept["h"].as_str(), report["chain"].as_str().unwrap().get(..16));
    assert!(records.last().unwrap()["seq"].as_u64() > report["records"].as_u64(), "the journal went on");
}

#[test]
fn verify_names_the_first_altered_record_with_exit_code_3() {
    let directory = directory(&[]);
    start_and_end(directory.path(), &["--listen", "127.0.0.1:0", "--data-dir", "d"]);
    let journal = directory.path().join("d/journal");
    let segment = std::fs::read_dir(&journal).unwrap().next().unwrap().unwrap().path();
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, text.replacen("in_force", "on_leave", 1)).unwrap();

    let answer = sekisho(directory.path(), &["verify", "d"]);
    let name = segment.file_name().unwrap().to_str().unwrap();
    let expected = format!(
        "sekisho: the journal in d/journal/{name} is broken: the record numbered 2 was altered: its hash does not \
         fit its text\nhint: leave the directory as it is, and compare it with copies kept elsewhere\n"
    );
    assert_eq!((answer.code, answer.out.as_str(), answer.err), (3, "", expected));
    let answer = sekisho(directory.path(), &["verify", "d", "--format", "json"]);
    let report: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(answer.code, 3);
    assert_eq!((&report["ok"], &report["problems"][0]["record"]), (&json!(false), &json!(2)));
}

#[test]
fn verify_without_a_journal_says_so_and_never_that_it_is_fine() {
    let directory = directory(&[("empty/journal/notes.txt", ""), ("other/notes.txt", "")]);
    for name in ["gone", "other", "empty", "empty/journal"] {
        let answer = sekisho(directory.path(), &["verify", name]);
        let journal = name.trim_end_matches("/journal");
        let expected = format!(
            "sekisho: there are no records in {journal}/journal\nhint: name the data directory that `sekisho run` \
             prints; if a gate has run there, its records were removed\n"
        );
        assert_eq!((answer.code, answer.out.as_str(), answer.err), (2, "", expected), "{name}");
    }
    let answer = sekisho(directory.path(), &["verify", "--format", "json", "gone"]);
    let report: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((answer.code, &report["ok"]), (2, &json!(false)));
}

#[test]
fn init_writes_files_that_check_and_run_accept_and_never_overwrites_one() {
    let directory = directory(&[]);
    let root = directory.path().canonicalize().unwrap();
    let answer = sekisho(&root, &["init", "new/etc"]);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""));
    let etc = root.join("new/etc");
    let at = etc.display();
    let expected = format!(
        "\
wrote   {at}/policy.toml: what may leave; as it stands, nothing
wrote   {at}/sekisho.toml: the gate's settings, each with its default
wrote   {at}/sekisho.service: a systemd unit that runs the gate with both

Next, after you have named in the policy what may leave:
  sekisho check --config {at}/sekisho.toml
  sekisho run --config {at}/sekisho.toml
  systemctl enable --now {at}/sekisho.service
"
    );
    assert!(answer.out.starts_with(&expected), "{}", answer.out);

    let config = etc.join("sekisho.toml");
    let config = config.to_str().unwrap();
    assert_eq!(sekisho(Path::new("/"), &["check", "--config", config]).code, 0);
    let message = start_and_end(&root, &["--config", config, "--listen", "127.0.0.1:0", "--data-dir", "d"]);
    assert!(message.contains("nothing is allowed yet"), "{message}");
    let unit = std::fs::read_to_string(etc.join("sekisho.service")).unwrap();
    assert!(unit.contains(&format!(" run --config {config}\n")), "{unit}");

    std::fs::remove_file(etc.join("policy.toml")).unwrap();
    std::fs::write(config, "mine").unwrap();
    let answer = sekisho(&root, &["init", "new/etc"]);
    let expected = format!(
        "sekisho: already there: {at}/sekisho.toml, {at}/sekisho.service; nothing was written\n\
         hint: give another directory, or move the files away; init overwrites nothing\n"
    );
    assert_eq!((answer.code, answer.out.as_str(), answer.err), (1, "", expected));
    assert_eq!(std::fs::read_to_string(config).unwrap(), "mine");
    assert!(!etc.join("policy.toml").exists(), "all or nothing");
}

const OFFICE: &str = r#"[clients]
office = { addresses = ["10.20.0.0/16"] }
[[rule]]
name = "no uploads"
hosts = ["upload.a.example"]
verdict = "deny"
[[rule]]
name = "updater"
hosts = ["*.a.example"]
ports = [8443]
verdict = "allow"
[[rule]]
name = "office"
clients = ["office"]
hosts = ["*.a.example"]
verdict = "allow"
[[case]]
client = "10.20.1.5"
request = "GET https://www.a.example/"
expect = { verdict = "allow", rule = "office" }
"#;

#[test]
fn explain_shows_every_rule_that_was_considered_and_what_it_comes_to() {
    let directory = directory(&[("office.toml", OFFICE)]);
    let explain = |arguments: &[&str]| {
        sekisho(directory.path(), &[&["explain", "--policy", "office.toml", "--client"], arguments].concat())
    };
    let answer = explain(&["10.20.1.5", "POST", "https://www.a.example/x"]);
    let expected = "\
policy       office.toml
client       10.20.1.5, in group office
request      CONNECT www.a.example:443
considered   no uploads   deny (office.toml:4): another host
considered   updater      allow (office.toml:8): a port that it does not name
considered   office       allow (office.toml:13): applies
result       allow: rule, rule office (office.toml:13)
handling     tunnel
";
    assert_eq!((answer.code, answer.out.as_str(), answer.err.as_str()), (0, expected, ""));

    let answer = explain(&["10.30.1.5", "--format", "json", "GET", "http://upload.a.example/"]);
    let told: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!((&told["verdict"], &told["reason"]), (&"deny".into(), &"rule".into()), "{told:#}");
    assert_eq!((&told["client"], told["considered"].as_array().unwrap().len()), (&"10.30.1.5, in no group".into(), 1));

    // What goes past the proxy is let out by no rule that does not say so.
    let answer = explain(&["10.20.1.5", "--captured", "GET", "https://www.a.example/x"]);
    let rows = "considered   office       allow (office.toml:13): not for what goes past the proxy\nresult       deny: bypassed_proxy\n";
    assert!(answer.code == 0 && answer.out.contains(rows), "{} {}", answer.out, answer.err);
    assert!(answer.out.contains("10.20.1.5, in group office, captured on its way past the proxy\n"), "{}", answer.out);

    // A name as a person writes it is judged in A-labels, and both are shown.
    let answer = explain(&["10.30.1.5", "GET", "https://bücher.example/"]);
    let rows = "request      CONNECT xn--bcher-kva.example:443\nin Unicode   bücher.example\n";
    assert!(answer.code == 0 && answer.out.contains(rows), "{} {}", answer.out, answer.err);

    let answer = explain(&["10.30.1.5", "GET", "www.a.example"]);
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains("`GET www.a.example` is no request") && answer.err.contains("hint:"), "{}", answer.err);
}

#[test]
fn a_policy_with_a_failing_case_is_refused_by_check_and_by_run() {
    let failing = OFFICE.replace("rule = \"office\"", "rule = \"updater\"");
    let directory = directory(&[("office.toml", &failing)]);
    for arguments in [&["check", "office.toml"][..], &["run", "--listen", "127.0.0.1:0", "--policy", "office.toml"]] {
        let answer = sekisho(directory.path(), arguments);
        assert_eq!(answer.code, 2, "{}", answer.err);
        let says = "office.toml:17:1: the case expects allow by rule `updater` and gets allow by rule `office`";
        assert!(answer.err.contains(says) && answer.err.contains("fix:"), "{}", answer.err);
    }
}

#[test]
fn check_counts_the_entries_of_lists_and_names_bad_lines_by_their_numbers() {
    let list = "a.example\na.example\n.b.example\nx.b.example\n127.0.0.1 localhost\na b c\n";
    let policy = |more: &str| {
        format!("[hosts.l]\nfiles = [\"l.txt\"]\n{more}\n[[rule]]\nname = \"r\"\nhosts = [\"l\"]\nverdict = \"deny\"\n")
    };
    let directory = directory(&[
        ("refuse.toml", &policy("")),
        ("skip.toml", &policy("on_bad_line = \"skip\"")),
        ("l.txt", list),
        ("many.toml", &policy("").replace("l.txt", "many.txt")),
        ("many.txt", &"a b\n".repeat(30)),
    ]);
    let check = |arguments: &[&str]| sekisho(directory.path(), &[&["check"], arguments].concat());
    let why = "`a b c`: several words on a line begin with an address, as in a hosts file; write one name a line";

    let answer = check(&["refuse.toml"]);
    let expected = format!("l.txt:6:1: {why}\n    fix: mend the list, or write on_bad_line = \"skip\"");
    assert!(answer.code == 2 && answer.err.contains(&expected), "{}", answer.err);

    let answer = check(&["skip.toml"]);
    let counted = "list        l.txt: 2 names, 1 with all below them, 0 addresses; 1 twice; 1 below others; \
                   1 of the machine itself\n";
    assert!(answer.code == 0 && answer.out.contains(counted), "{}", answer.out);
    assert!(
        answer.out.contains("left out, for no hosts: 1 line\n") && answer.out.contains(&format!("line 6: {why}\n"))
    );
    let told: Value = serde_json::from_str(&check(&["--format", "json", "skip.toml"]).out).unwrap();
    let list = json!({
        "file": "l.txt", "names": 2, "below": 1, "addresses": 0, "duplicates": 1, "shadowed": 1, "skipped": 1,
        "bad_lines": 1, "first_bad_lines": [{ "line": 6, "why": why }],
    });
    assert_eq!(told["lists"], json!([list]));

    let answer = check(&["many.toml"]);
    assert_eq!(answer.err.matches("many.txt:").count(), 10, "{}", answer.err);
    assert!(answer.err.contains("many.toml:2:10: many.txt has 30 lines that are no hosts; the first 10 are shown"));
}
