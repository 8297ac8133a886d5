//! What a parent is shown is read from a file that nobody else can read, and goes nowhere else.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::gate::{Gate, Start, journal_text};
use crate::name_server::NameServer;
use crate::origin::Origin;
use crate::parent::{Answer, Parent};
use crate::peer::Message;
use crate::tunnel_lab::connect;

const USER: &str = "gate-seven";
const PASSWORD: &str = "hunter:2";
/// `USER:PASSWORD` in Base64.
const PAIR: &str = "Z2F0ZS1zZXZlbjpodW50ZXI6Mg==";

fn write(path: &Path, content: &[u8], mode: u32) {
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn check(policy: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho")).arg("check").arg(policy).current_dir("/").output().unwrap()
}

#[test]
fn credentials_go_to_the_parent_and_to_no_record_log_or_page() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("uplink.credentials");
    write(&secret, format!("{USER}:{PASSWORD}\n").as_bytes(), 0o600);
    let errors = directory.path().join("stderr");
    let origin = Origin::start();
    let there = origin.address;
    let parent = Parent::answering(move |request| match request.line().split_once("b.test") {
        Some(_) => Answer::refused("407 Proxy Authentication Required"),
        None => Answer::Lead(there),
    });
    let names = NameServer::pointing_to(there.ip());
    let named = parent.named().replace(" }", &format!(", credentials = \"{}\" }}", secret.display()));
    let by_gate = origin.rule_for("a.test", "parent = \"uplink\"\nprotocol = \"any\"");
    let by_parent = origin.rule_for("*.test", "parent = \"uplink\"\nresolve = \"parent\"");
    let policy = format!("{named}{by_gate}{by_parent}");
    let before = format!("exec 2>{}", errors.display());
    let mut gate = Start { policy: &policy, config: &names.config(), before: &before, ..Start::default() }.gate();

    let mut pages = String::new();
    for host in ["a.test", "b.test", "c.test", "c.test"] {
        let at = format!("{host}:{}", there.port());
        let mut client = gate.client();
        client.send(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status(), if host == "b.test" { 502 } else { 200 }, "{host}: {}", answer.text());
        pages += &answer.head;
        // A page of the origin's repeats what it was sent.
        if answer.status() != 200 {
            pages += &answer.text();
        }
        let (mut client, answer) = connect(&gate, &at);
        if answer.status() != 200 {
            pages += &client.body(answer).text();
        }
    }
    let asked = parent.asked();
    assert!(asked.len() >= 6, "{asked:#?}");
    for request in &asked {
        assert_eq!(request.all("proxy-authorization"), [format!("Basic {PAIR}")], "{}", request.head);
    }
    assert!(asked.iter().any(|request| request.line().starts_with("GET http://c.test")), "{asked:#?}");
    assert!(origin.requests().iter().any(|request| request.line() == "GET / HTTP/1.1"), "one came in a tunnel");
    let status = Command::new(env!("CARGO_BIN_EXE_sekisho")).arg("status").arg(gate.data_dir()).output().unwrap();
    assert_eq!(gate.end("-TERM"), Some(0));
    let records = journal_text(&gate.data_dir());
    assert!(records.contains("parent_auth_failed") && pages.contains("parent_auth_failed"), "{records}");
    let told = std::fs::read_to_string(&errors).unwrap();
    // What goes by absolute-form shows the field, for the parent to take out; this one does not.
    let in_tunnel = |request: &&Message| request.line() == "GET / HTTP/1.1";
    let seen: String = origin.requests().iter().filter(in_tunnel).map(|request| request.head.clone()).collect();
    for (what, text) in [
        ("records", &records),
        ("standard error", &told),
        ("status", &String::from_utf8_lossy(&status.stdout).into_owned()),
        ("what the origin saw in a tunnel", &seen),
        ("pages", &pages),
    ] {
        for secret in [USER, PASSWORD, PAIR, "hunter"] {
            assert!(!text.contains(secret), "{secret} in {what}: {text}");
        }
    }
}

/// A gate whose parent leads everywhere: `shown.test` and `tunnel.test` by one that is shown credentials,
/// `bare.test` by the same without; all but `tunnel.test` are the parent's to resolve.
fn gate_to(parent: &Parent, origin: &Origin, secret: &Path, mode: &str) -> Gate {
    let named = parent.named().replace(" }", &format!(", credentials = \"{}\" }}", secret.display()));
    let bare = parent.named().replace("[parents]\nuplink", "bare");
    let rule = |host: &str, keys: &str| origin.rule_for(host, keys);
    let shown = rule("shown.test", "parent = \"uplink\"\nresolve = \"parent\"");
    let unshown = rule("bare.test", "parent = \"bare\"\nresolve = \"parent\"");
    let tunnel = rule("tunnel.test", "parent = \"uplink\"");
    let names = NameServer::pointing_to(origin.address.ip());
    Gate::configured(&format!("[policy]\nmode = \"{mode}\"\n{named}{bare}{shown}{unshown}{tunnel}"), &names.config())
}

#[test]
fn no_method_that_repeats_a_request_shows_a_client_what_the_parent_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("uplink.credentials");
    write(&secret, format!("{USER}:{PASSWORD}\n").as_bytes(), 0o600);
    // It answers with the request's own head, as TRACE does.
    let origin = Origin::start();
    let there = origin.address;
    let request = |method: &str, host: &str, lines: &str| {
        let at = format!("{host}:{}", there.port());
        format!("{method} http://{at}/ HTTP/1.1\r\nHost: {at}\r\n{lines}Connection: close\r\n\r\n")
    };
    let forwards = ["", "Max-Forwards: 0\r\n", "Max-Forwards: 1\r\n", "Max-Forwards: 2\r\n"];
    for mode in ["enforce", "observe"] {
        let parent = Parent::answering(move |_| Answer::Lead(there));
        let mut gate = gate_to(&parent, &origin, &secret, mode);
        let ask = |method: &str, host: &str, lines: &str| {
            let mut client = gate.client();
            client.send(request(method, host, lines));
            let answer = client.answer();
            (answer.status(), format!("{}{}", answer.head, answer.text()))
        };
        for method in ["TRACE", "trace", "TRACK"] {
            for lines in forwards {
                let (status, text) = ask(method, "shown.test", lines);
                assert!(
                    status == 403 && text.contains("trace_shows_credentials: origin ("),
                    "{method} {lines}: {text}"
                );
                assert!(!text.contains(PAIR), "{text}");
            }
        }
        assert_eq!(parent.lines(), Vec::<String>::new(), "refused before anything is dialled");
        for lines in &forwards[2..] {
            let (status, text) = ask("TRACE", "bare.test", lines);
            assert!(status == 200 && text.contains("TRACE http://bare.test") && !text.contains(PAIR), "{text}");
            let (status, text) = ask("TRACE", "tunnel.test", lines);
            assert!(status == 200 && text.contains("\r\n\r\nTRACE / ") && !text.contains(PAIR), "{text}");
            assert_eq!(ask("OPTIONS", "shown.test", lines).0, 200, "another method passes");
        }
        for asked in parent.asked() {
            let bare = asked.line().starts_with("TRACE http://bare.test");
            assert_eq!(asked.head.contains(PAIR), !bare, "the parent itself is shown them: {}", asked.head);
        }
        let refused = gate.events("refused");
        assert_eq!(refused.len(), 12);
        for record in refused {
            assert_eq!((&record["reason"], &record["rule"]), (&"trace_shows_credentials".into(), &"origin".into()));
            assert_eq!((&record["verdict"], record["status"].as_u64()), (&"deny".into(), Some(403)), "{record}");
        }
    }
}

#[test]
fn a_file_of_credentials_that_is_missing_open_to_others_or_no_pair_is_a_problem_with_its_fix() {
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.toml");
    std::fs::write(&policy, "[parents]\nuplink = { address = \"10.9.0.1:8080\", credentials = \"up.key\" }\n").unwrap();
    let file = directory.path().join("up.key");
    let shown = file.display().to_string();
    let problem = |says: &str, fix: &str| {
        let output = check(&policy);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains("policy.toml:2:") && error.contains(says) && error.contains(fix), "{says}: {error}");
        assert!(!error.contains("hunter"), "{error}");
        let config = format!("[gate]\npolicy = \"{}\"\nlisten = [\"127.0.0.1:0\"]\n", policy.display());
        let path = directory.path().join("sekisho.toml");
        std::fs::write(&path, config).unwrap();
        let mut run = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        let output = run.args(["run", "--config"]).arg(&path).arg("--data-dir").arg(directory.path().join("data"));
        let output = output.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "the gate does not start: {says}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(says), "{output:?}");
    };
    problem("cannot read the credentials of parent `uplink`", "chmod 600");
    for mode in [0o640, 0o604, 0o620, 0o601] {
        write(&file, b"u:hunter2\n", mode);
        problem("are open to others", &format!("fix: chmod 600 {shown}"));
    }
    for (content, says) in [
        ("hunter2", "it holds no `user:password`"),
        ("u:hunter2\nX: y\n", "more than one line, or a control character"),
        ("", "it holds no `user:password`"),
        (&"u:hunter2".repeat(500), "longer than 4096 bytes"),
    ] {
        write(&file, content.as_bytes(), 0o600);
        problem(says, "write one line, `user:password`");
    }
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    problem("cannot read the credentials", "must be able to read");
    std::fs::remove_dir(&file).unwrap();
    assert!(Command::new("mkfifo").args(["-m", "600", &shown]).status().unwrap().success());
    problem("cannot read the credentials", "must be able to read");
    std::fs::remove_file(&file).unwrap();
    write(&file, b"u:hunter2\n", 0o600);
    assert_eq!(check(&policy).status.code(), Some(0), "a file beside the policy, for its owner alone, is right");
}
