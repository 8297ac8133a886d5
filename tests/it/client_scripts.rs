//! How machines come to take the gate as their proxy, and the scripts by which one of Linux is checked, run for real, and one of macOS,
//! with made-up answers of its system.
//!
//! Needs curl, wget and openssl; `tests/run` leaves it out where the lab cannot be had.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use crate::gate::Gate;

const POLICY: &str = "[policy]\nunknown = \"deny\"\n";

fn sekisho(arguments: &[&str]) -> Output {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/clients");
    Command::new(env!("CARGO_BIN_EXE_sekisho")).args(arguments).current_dir(data).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn what_is_printed_for_each_system_is_what_it_was() {
    let empty = tempfile::tempdir().unwrap();
    let data_dir = empty.path().to_str().unwrap();
    for config in ["pac", "plain"] {
        for system in ["windows", "macos", "linux"] {
            let file = format!("{config}.toml");
            let output = sekisho(&["clients", system, "--config", &file, "--data-dir", data_dir]);
            assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
            let text = String::from_utf8(output.stdout).unwrap();
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/clients/{config}.{system}"));
            if std::env::var_os("UPDATE_EXPECTED").is_some() {
                std::fs::write(&path, &text).unwrap();
            }
            let expected = std::fs::read_to_string(&path).unwrap_or_default();
            assert_eq!(text, expected, "{} (UPDATE_EXPECTED=1 writes it anew)", path.display());
        }
    }
    let nowhere = empty.path().join("c.toml");
    std::fs::write(&nowhere, "").unwrap();
    let output = sekisho(&["clients", "linux", "--config", nowhere.to_str().unwrap()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("does not say how clients reach the gate\nhint: name it with --gate"), "{said}");
}

/// A machine of Linux: its programs, its home, and a gate that it is to use.
struct Machine {
    gate: Gate,
    directory: TempDir,
    tool: &'static str,
}

/// What a check came back with.
struct Checked {
    code: Option<i32>,
    said: String,
}

impl Machine {
    fn new(config: &str, tool: &'static str) -> Self {
        let machine = Self { gate: Gate::configured(POLICY, config), directory: tempfile::tempdir().unwrap(), tool };
        std::fs::create_dir(machine.path("bin")).unwrap();
        for program in ["sh", "sed", "grep", "tr", "head", "cut", tool] {
            let path = std::env::var_os("PATH").unwrap();
            let real = std::env::split_paths(&path).map(|at| at.join(program)).find(|at| at.is_file()).unwrap();
            symlink(real, machine.path("bin").join(program)).unwrap();
        }
        machine.says("getent", "exit 2");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Puts a program in place that does as this shell script says.
    fn says(&self, program: &str, script: &str) {
        let path = self.path("bin").join(program);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn proxy(&self) -> String {
        format!("http://{}", self.gate.address)
    }

    /// Runs the script of `sekisho clients linux --script` with this environment.
    fn check(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Checked {
        self.check_as("linux", &["/bin/sh"], environment, arguments)
    }

    /// The same of the script for a system, by a shell.
    fn check_as(&self, system: &str, shell: &[&str], environment: &[(&str, &str)], arguments: &[&str]) -> Checked {
        let config = self.gate.directory.path().join("sekisho.toml");
        let (config, data_dir) = (config.to_str().unwrap(), self.gate.data_dir());
        let gate = self.gate.address.to_string();
        let data_dir = data_dir.to_str().unwrap();
        let script =
            sekisho(&["clients", system, "--config", config, "--gate", &gate, "--data-dir", data_dir, "--script"]);
        assert_eq!(script.status.code(), Some(0), "{}", String::from_utf8_lossy(&script.stderr));
        std::fs::write(self.path("check.sh"), script.stdout).unwrap();
        let output = Command::new(shell[0])
            .args(&shell[1..])
            .arg(self.path("check.sh"))
            .args(arguments)
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.directory.path())
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        Checked { code: output.status.code(), said }
    }

    /// The same where all is set as it should be.
    fn check_set(&self, more: &[(&str, &str)]) -> Checked {
        let proxy = self.proxy();
        let set = [("http_proxy", &*proxy), ("https_proxy", &*proxy)];
        self.check(&[&set, more].concat(), &[])
    }
}

impl Checked {
    fn wrong(&self) -> Vec<&str> {
        self.said.lines().filter_map(|line| line.strip_prefix("WRONG  ")).collect()
    }
}

#[test]
fn a_machine_that_is_set_to_the_gate_is_found_so_and_one_that_is_not_is_told_what_is_wrong() {
    for tool in ["curl", "wget"] {
        let machine = Machine::new("[gate]\ncontact = \"IT's $(desk) `x`\"\n[pac]\n", tool);
        let set = machine.check_set(&[]);
        assert_eq!((set.code, set.wrong()), (Some(0), vec![]), "{tool}: {}", set.said);
        assert!(set.said.ends_with("all is as it should be\n"), "{}", set.said);
        for good in [
            "http_proxy is the gate",
            "the gate answers at",
            "goes out by the gate",
            "/proxy.pac",
            "wpad leads nowhere",
        ] {
            assert!(
                set.said.lines().any(|line| line.starts_with("ok ") && line.contains(good)),
                "{good}: {}",
                set.said
            );
        }

        let unset = machine.check(&[], &[]);
        assert_eq!(unset.code, Some(1), "{}", unset.said);
        let expected = [
            "http_proxy is not set: programs that read the environment go out by themselves",
            "https_proxy is not set: programs that read the environment go out by themselves",
            &format!("{tool} does not go out by the gate"),
        ];
        assert_eq!(unset.wrong(), expected);
        assert!(unset.said.ends_with("3 wrong\nIT's $(desk) `x`\n"), "{}", unset.said);

        // The nearest neighbours: another port, one of the two alone, and everything left out.
        let other = machine.check_set(&[("https_proxy", "http://user:secret@127.0.0.1:9/")]);
        assert_eq!(other.wrong(), [format!("https_proxy is 127.0.0.1:9, and not the gate, {}", machine.gate.address)]);
        assert!(!other.said.contains("secret"), "{}", other.said);
        let all_left_out = machine.check_set(&[("no_proxy", "localhost,*")]);
        assert_eq!(all_left_out.code, Some(1));
        assert!(all_left_out.wrong().contains(&"no_proxy leaves everything out"), "{}", all_left_out.said);
    }
}

#[test]
fn the_settings_of_apt_and_git_and_the_name_wpad_are_looked_at_too() {
    let machine = Machine::new("", "curl");
    let gate = machine.gate.address.to_string();
    machine.says("apt-config", &format!("echo 'Acquire::http::Proxy \"http://{gate}/\";'"));
    machine.says("git", &format!("echo http://{gate}"));
    let set = machine.check_set(&[]);
    assert_eq!((set.code, set.wrong()), (Some(0), vec![]), "{}", set.said);
    assert!(set.said.contains("ok     apt goes out by the gate\n") && !set.said.contains("proxy.pac"), "{}", set.said);

    machine.says("apt-config", "echo 'Acquire::http::Proxy \"http://proxy.example:8080\";'");
    machine.says("git", "printf 'http://other.example:1\\033[2J'");
    machine.says("getent", "echo '192.0.2.9       wpad'");
    let wrong = machine.check_set(&[]);
    assert_eq!(wrong.code, Some(1));
    assert!(!wrong.said.contains('\x1b'), "{:?}", wrong.said);
    let expected = [
        "the name wpad leads to 192.0.2.9: ",
        "the proxy of apt is proxy.example:8080",
        "the proxy of git is other.example:1",
    ];
    for (said, expected) in wrong.wrong().into_iter().zip(expected) {
        assert!(said.starts_with(expected), "{said}");
    }
    assert_eq!(wrong.wrong().len(), 3);
}

#[test]
fn what_is_reached_past_the_gate_is_wrong_and_what_is_not_is_well() {
    for tool in ["curl", "wget"] {
        let machine = Machine::new("", tool);
        let proxy = machine.proxy();
        let set = [("http_proxy", &*proxy), ("https_proxy", &*proxy)];
        // An address of this machine on which nothing serves the web: refused, as past the rules of the gateway.
        let shut = machine.check(&set, &["127.77.0.1"]);
        assert_eq!((shut.code, shut.wrong()), (Some(0), vec![]), "{tool}: {}", shut.said);
        assert!(shut.said.contains("ok     http://127.77.0.1/ is not reached past the gate\n"), "{}", shut.said);

        // Whoever answers there, the gate itself here, is reached past it.
        let open = machine.check(&set, &[&machine.gate.address.to_string()]);
        let expected = format!("http://{}/ is reached past the gate", machine.gate.address);
        assert!(open.code == Some(1) && open.wrong().contains(&&*expected), "{tool}: {}", open.said);

        // A name that nobody has says nothing of the way to it; wget cannot tell that from a way that is shut.
        let nobody = machine.check(&set, &["nobody.sekisho.invalid"]);
        assert_eq!(nobody.wrong().len(), if tool == "curl" { 2 } else { 0 }, "{tool}: {}", nobody.said);
    }
}

#[test]
fn a_gate_that_is_gone_an_authority_that_is_missing_and_no_tool_at_all_are_told_apart() {
    let mut machine = Machine::new("", "curl");
    let made =
        Command::new(env!("CARGO_BIN_EXE_sekisho")).args(["ca", "init"]).arg(machine.gate.data_dir()).output().unwrap();
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    let lacking = machine.check_set(&[]);
    assert!(lacking.code == Some(1) && lacking.wrong().len() == 1, "{}", lacking.said);
    assert!(lacking.wrong()[0].starts_with("the authority of the gate (Sekisho "), "{}", lacking.said);
    let pem = machine.gate.data_dir().join("ca/current/ca.pem");
    let trusting = machine.check_set(&[("SSL_CERT_FILE", pem.to_str().unwrap())]);
    assert_eq!((trusting.code, trusting.wrong()), (Some(0), vec![]), "{}", trusting.said);

    machine.gate.end("-TERM");
    let gone = machine.check_set(&[("SSL_CERT_FILE", pem.to_str().unwrap())]);
    let expected = [
        format!("nothing that is a gate answers at {}", machine.gate.address),
        "curl does not go out by the gate".to_owned(),
    ];
    assert_eq!((gone.code, gone.wrong()), (Some(1), expected.iter().map(String::as_str).collect()));

    std::fs::remove_file(machine.path("bin").join(machine.tool)).unwrap();
    let blind = machine.check_set(&[]);
    assert_eq!((blind.code, &*blind.said), (Some(2), "sekisho check: it needs curl or wget\n"));
}

/// What `scutil --proxy` writes on a Mac that is set so.
fn scutil(settings: &[&str]) -> String {
    let lines: Vec<_> = settings.iter().map(|line| format!("'  {line}'")).collect();
    format!("[ \"$*\" = --proxy ] || exit 64\nprintf '%s\\n' '<dictionary> {{' {} '}}'", lines.join(" "))
}

/// The shell of a Mac is bash as a POSIX shell, before that it was others: the script runs by both kinds. What it asks the system
/// is made up here, the gate is real.
#[test]
fn the_script_for_a_mac_finds_one_that_is_set_so_and_says_what_is_wrong_with_another() {
    for shell in [&["/bin/sh"][..], &["/bin/bash", "--posix"]] {
        let machine = Machine::new("[pac]\n", "curl");
        let mac = |settings: &[&str], environment: &[(&str, &str)], arguments: &[&str]| {
            machine.says("scutil", &scutil(settings));
            machine.check_as("macos", shell, environment, arguments)
        };
        let (gate, port) = (machine.gate.address.to_string(), machine.gate.address.port());
        let pac = format!("ProxyAutoConfigURLString : http://{gate}/proxy.pac");
        let proxy = machine.proxy();
        let environment = [("http_proxy", &*proxy), ("https_proxy", &*proxy)];
        // Nobody listens there: it is not reached past the gate.
        let set = mac(&["ProxyAutoConfigEnable : 1", &pac], &environment, &["127.0.0.1:1"]);
        assert_eq!((set.code, set.wrong()), (Some(0), vec![]), "{shell:?}: {}", set.said);
        for good in [
            "the system asks http://",
            "does not look for a proxy",
            "http_proxy is the gate",
            "the gate answers at",
            "the gate serves",
            "http://127.0.0.1:1/ is not reached",
        ] {
            assert!(
                set.said.lines().any(|line| line.starts_with("ok ") && line.contains(good)),
                "{good}: {}",
                set.said
            );
        }
        let port = format!("HTTPSPort : {port}");
        let by_hand = mac(&["HTTPSEnable : 1", &port, "HTTPSProxy : 127.0.0.1"], &[], &[]);
        assert_eq!((by_hand.code, by_hand.wrong()), (Some(0), vec![]), "{shell:?}: {}", by_hand.said);
        assert!(by_hand.said.contains("note   http_proxy is not set"), "{}", by_hand.said);

        let other = [("http_proxy", "http://proxy.elsewhere.test:8080/")];
        let elsewhere = [
            "ProxyAutoConfigEnable : 1",
            "ProxyAutoConfigURLString : http://elsewhere.test/proxy.pac",
            "ProxyAutoDiscoveryEnable : 1",
        ];
        let unset = mac(&elsewhere, &other, &[&gate, "nowhere"]);
        let expected = [
            format!("the system neither asks http://{gate}/proxy.pac nor has the gate as its proxy"),
            "the system looks for a proxy by itself (WPAD): who has the name wpad could be its proxy".to_owned(),
            format!("http_proxy is proxy.elsewhere.test:8080, and not the gate, {gate}"),
            format!("http://{gate}/ is reached past the gate"),
            format!("https://{gate}/ is reached past the gate"),
        ];
        assert_eq!(
            (unset.code, unset.wrong()),
            (Some(1), expected.iter().map(|line| &**line).collect()),
            "{shell:?}: {}",
            unset.said
        );
    }
}
