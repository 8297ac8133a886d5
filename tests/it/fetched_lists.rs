//! Host lists that the gate fetches by itself: from a real server over TLS, with a proof, kept when it fails.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::Value;

use crate::gate::{Gate, Notices, Start, put_over, records};
use crate::list_server::ListServer;

const POLICY: &str = "[hosts.bad]\nfiles = [\"list:bad\"]\n\
    [[rule]]\nname = \"known bad\"\nhosts = [\"bad\"]\nverdict = \"deny\"\n\
    [[case]]\nclient = \"10.0.0.1\"\nrequest = \"GET http://updates.example/\"\n\
    expect = { verdict = \"deny\", rule = \"the rest\" }\n\
    [[rule]]\nname = \"the rest\"\nhosts = [\"*.example\"]\nverdict = \"deny\"\n";

fn fetch(gate: &Gate, names: &[&str]) -> (Output, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(["fetch", "--format", "json", "--data-dir"]).arg(gate.data_dir()).args(names);
    let output = command.output().unwrap();
    let lists = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output, lists)
}

/// The rule that a page names for a host.
fn is_bad(gate: &Gate, host: &str) -> bool {
    let page =
        gate.send(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes());
    assert!(page.contains("the rest (") || page.contains("known bad ("), "{page}");
    page.contains("known bad (")
}

fn status_text(gate: &Gate) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_sekisho")).arg("status").arg(gate.data_dir()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// What became of the list of this name.
fn why(lists: &Value, name: &str) -> String {
    let list = lists["lists"].as_array().unwrap().iter().find(|list| list["name"] == name).unwrap();
    list["failure"]["why"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_list_that_is_missing_is_fetched_before_the_gate_starts_and_is_told_of() {
    let server = ListServer::start();
    server.put_with_sum("/bad.txt", "bad.example\n");
    let mut gate = Gate::configured(POLICY, &server.list_with_sum("bad", "/bad.txt"));
    assert!(is_bad(&gate, "bad.example") && !is_bad(&gate, "worse.example"));
    let list = &gate.status()["lists"][0];
    assert_eq!((&list["name"], &list["url"]), (&"bad".into(), &server.url("/bad.txt").into()));
    assert_eq!((&list["bytes"], &list["every_hours"], &list["failure"]), (&12.into(), &24.into(), &Value::Null));
    assert!(list["age_seconds"].as_u64().unwrap() < 3600 && list["changed"] == list["checked"], "{list}");
    let text = status_text(&gate);
    assert!(text.contains("list") && text.contains("bad: ") && text.contains("old, unchanged since"), "{text}");
    assert!(!text.contains("WARNING"), "{text}");
    let kept = gate.data_dir().join("fetched/bad.list");
    assert_eq!(fs::read_to_string(&kept).unwrap(), "bad.example\n");
    assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let records = gate.records();
    let own: Vec<_> = records.iter().filter(|record| record["kind"] == "own" && record["purpose"] == "list").collect();
    assert_eq!(own.len(), 1, "{records:#?}");
    assert_eq!((&own[0]["address"], &own[0]["connections"]), (&server.address.to_string().into(), &2.into()));
    let told = records.iter().find(|record| record["kind"] == "health" && record["subject"] == "list").unwrap();
    assert_eq!(told["level"], "fetched");
    assert!(told["detail"].as_str().unwrap().starts_with("bad: is fetched: 12 bytes, SHA-256 "), "{told}");
}

#[test]
fn what_is_new_at_the_source_comes_into_force_and_what_is_not_is_not_fetched_again() {
    let server = ListServer::start();
    server.put_with_sum("/bad.txt", "bad.example\n");
    let gate = Gate::configured(POLICY, &server.list_with_sum("bad", "/bad.txt"));
    assert_eq!(server.connections(), 2, "the checksum, and the list");
    let (output, lists) = fetch(&gate, &["bad"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((why(&lists, "bad").as_str(), server.connections()), ("", 3), "the checksum alone");
    server.put_with_sum("/bad.txt", "worse.example\n");
    assert!(fetch(&gate, &[]).0.status.success());
    assert!(gate.reload().status.success());
    assert!(is_bad(&gate, "worse.example") && !is_bad(&gate, "bad.example"));
    let (output, _) = fetch(&gate, &["bed"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("no list `bed`"), "{output:?}");
}

#[test]
fn a_new_content_is_taken_up_without_a_word_from_anyone() {
    let server = ListServer::start();
    server.put_with_sum("/bad.txt", "bad.example\n");
    let notices = Notices::new();
    let config = server.list_with_sum("bad", "/bad.txt");
    let gate = Start { policy: POLICY, config: &config, before: &notices.before(), ..Start::default() }.gate();
    notices.until("the list `bad` is fetched");
    server.put_with_sum("/bad.txt", "worse.example\n");
    assert!(fetch(&gate, &[]).0.status.success());
    notices.until("is in force as version");
    assert!(is_bad(&gate, "worse.example"));
}

#[test]
fn what_was_fetched_stays_when_the_source_fails_in_any_way_and_after_a_restart() {
    let server = ListServer::start();
    server.put_with_sum("/bad.txt", "bad.example\n");
    let config = server.list_with_sum("bad", "/bad.txt");
    let mut gate = Gate::configured(POLICY, &config);
    let spoil: [(&dyn Fn(), &str); 4] = [
        (&|| server.put("/bad.txt.sha256", "0".repeat(64)), "altered, cut short, or changed meanwhile"),
        (&|| server.put("/bad.txt.sha256", "<html>"), "holds no SHA-256 of it"),
        (&|| server.put_answer("/bad.txt.sha256", "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), "it answered 503"),
        // A case of the policy says that updates are not bad.
        (&|| server.put_with_sum("/bad.txt", "updates.example\n"), "the policy does not hold with what is there now"),
    ];
    for (number, (spoil, expected)) in spoil.iter().enumerate() {
        spoil();
        let (output, lists) = fetch(&gate, &[]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(why(&lists, "bad").contains(expected), "{lists}");
        assert_eq!(gate.status()["lists"][0]["failure"]["count"], number + 1);
        assert!(gate.reload().status.success());
        assert!(is_bad(&gate, "bad.example"), "{expected}");
    }
    let text = status_text(&gate);
    assert!(
        text.contains("WARNING") && text.contains("could not be fetched since") && text.contains("4 times"),
        "{text}"
    );
    let data = gate.data_dir();
    let candidate = data.join("fetched/bad.candidate");
    assert!(!candidate.exists());
    assert_eq!(gate.end("-TERM"), Some(0));
    let records = records(&data);
    let levels: Vec<_> =
        records.iter().filter(|record| record["subject"] == "list").map(|record| &record["level"]).collect();
    assert_eq!(levels, ["fetched", "kept"], "one record for each change");

    let again = Start { policy: POLICY, config: &config, data_dir: Some(data), ..Start::default() }.gate();
    assert!(is_bad(&again, "bad.example"));
}

#[test]
fn a_gate_whose_list_never_came_does_not_start_and_says_so() {
    let server = ListServer::start();
    let notices = Notices::new();
    let directory = tempfile::tempdir().unwrap();
    let (policy, config) = (directory.path().join("policy.toml"), directory.path().join("sekisho.toml"));
    fs::write(&policy, POLICY).unwrap();
    fs::write(&config, server.list_with_sum("bad", "/bad.txt")).unwrap();
    let mut gate = Command::new("sh")
        .args(["-c", &format!("{}\nexec \"$0\" \"$@\"", notices.before()), env!("CARGO_BIN_EXE_sekisho")])
        .args(["run", "--listen", "127.0.0.1:0", "--policy"])
        .arg(&policy)
        .arg("--config")
        .arg(&config)
        .arg("--data-dir")
        .arg(directory.path().join("data"))
        .spawn()
        .unwrap();
    notices.until("fetching the list `bad` from https://127.0.0.1:");
    notices.until("it answered 404 Not Found");
    notices.until("the gate does not start yet; trying again in 5 s");
    gate.kill().unwrap();
    gate.wait().unwrap();
}

#[test]
fn nothing_is_taken_from_a_server_that_is_not_who_it_should_be_or_answers_otherwise() {
    let (server, other) = (ListServer::start(), ListServer::named("lists.example"));
    server.put_with_sum("/good.txt", "good.example\n");
    server.put("/large", vec![b'a'; 2 << 20]);
    server.put_answer("/moved", "HTTP/1.1 302 Found\r\nLocation: http://10.1.1.1/\r\nContent-Length: 0\r\n\r\n");
    server.put_answer("/packed", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\na");
    server.put_answer("/cut", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na");
    server.put_answer("/no", "SSH-2.0-OpenSSH_9.2\r\n");
    let sum_at = |path: &str| format!("sha256_url = \"{}\"", server.url(path));
    let closed = ListServer::start();
    let config = [
        server.list_with_sum("good", "/good.txt"),
        server.list("large", "/good.txt", &sum_at("/large")),
        server.list("moved", "/good.txt", &sum_at("/moved")),
        server.list("packed", "/good.txt", &sum_at("/packed")),
        server.list("cut", "/good.txt", &sum_at("/cut")),
        server.list("no_http", "/good.txt", &sum_at("/no")),
        other.list_with_sum("misnamed", "/good.txt"),
        // Its authority is not the one that this file names.
        server
            .list_with_sum("stranger", "/good.txt")
            .replace(&*server.ca().to_string_lossy(), &other.ca().to_string_lossy()),
        server.list_with_sum("gone", "/good.txt").replace(&*server.ca().to_string_lossy(), "/nowhere/ca.pem"),
        closed.list_with_sum("closed", "/good.txt").replace("private = [\"127.0.0.0/8\"]\n", ""),
    ];
    let gate = Gate::configured("", &config.concat());
    let (output, lists) = fetch(&gate, &[]);
    assert_eq!(output.status.code(), Some(1));
    for (name, expected) in [
        ("good", ""),
        ("large", "larger than 1048576 bytes"),
        ("moved", "302 Found and points to http://10.1.1.1/: name that URL, if it is right"),
        ("packed", "the encoding gzip, which was not asked for"),
        ("cut", "no HTTP that can be used"),
        ("no_http", "no HTTP that can be used"),
        ("misnamed", "no TLS with 127.0.0.1: invalid peer certificate"),
        ("stranger", "no TLS with 127.0.0.1: invalid peer certificate"),
        ("gone", "cannot read the CA certificates of /nowhere/ca.pem"),
        ("closed", "127.0.0.1 is in 127.0.0.0/8"),
    ] {
        assert!(why(&lists, name).contains(expected), "{name}: {}", why(&lists, name));
        assert_eq!(why(&lists, name).is_empty(), expected.is_empty(), "{name}");
    }
    assert_eq!(closed.connections(), 0, "what the guard refuses is not dialled");
    assert!(!gate.data_dir().join("fetched/large.list").exists());
}

#[test]
fn a_signed_list_is_taken_from_its_signer_alone() {
    // The key, the content and the signature of the example in the documentation of minisign-verify 0.3.
    let signature = "untrusted comment: signature from minisign secret key\n\
        RUQf6LRCGA9i559r3g7V1qNyJDApGip8MfqcadIgT9CuhV3EMhHoN1mGTkUidF/z7SrlQgXdy8ofjb7bNJJylDOocrCo8KLzZwo=\n\
        trusted comment: timestamp:1633700835\tfile:test\tprehashed\n\
        wLMDjy9FLAuxZ3q4NlEvkgtyhrr0gtTu6KC4KBJdITbbOeAi1zBIYo0v4iTgt8jJpIidRJnp94ABQkJAgAooBQ==\n";
    let key = "minisign_key = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"";
    let server = ListServer::start();
    server.put("/bad.txt", "test");
    server.put("/bad.txt.minisig", signature);
    let config = server.list("bad", "/bad.txt", key);
    let policy = POLICY.replace("[\"*.example\"]", "[\"rest\"]");
    let policy = format!("[hosts.rest]\nnames = [\"*.example\", \"test\", \"tesu\"]\n{policy}");
    let gate = Gate::configured(&policy, &config);
    assert!(is_bad(&gate, "test") && !is_bad(&gate, "tesu"));
    let connections = server.connections();
    assert!(fetch(&gate, &[]).0.status.success());
    assert_eq!(server.connections(), connections + 1, "the signature alone");
    server.put("/bad.txt", "tesu");
    server.put("/bad.txt.minisig", signature.replace("from minisign", "from a minisign"));
    let (output, lists) = fetch(&gate, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(why(&lists, "bad").contains("the signature is not right for it"), "{lists}");
    assert!(gate.reload().status.success());
    assert!(is_bad(&gate, "test") && !is_bad(&gate, "tesu"));
}

#[test]
fn check_knows_the_lists_of_a_config_and_does_without_those_that_are_not_here() {
    let server = ListServer::start();
    let directory = tempfile::tempdir().unwrap();
    let check = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
        let output = command.current_dir(directory.path()).arg("check").args(arguments).output().unwrap();
        (output.status.code(), [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat())
    };
    fs::write(directory.path().join("policy.toml"), POLICY).unwrap();
    let config = format!("[gate]\ndata_dir = \"data\"\n{}", server.list_with_sum("bad", "/bad.txt"));
    fs::write(directory.path().join("sekisho.toml"), &config).unwrap();
    let empty = "`list:bad` has not been fetched here: it is taken as empty";
    for arguments in [&["policy.toml"][..], &["policy.toml", "--config", "sekisho.toml"]] {
        let (code, told) = check(arguments);
        assert!(code == Some(0) && told.contains(empty), "{arguments:?}: {told}");
    }
    let kept = directory.path().join("data/fetched");
    fs::create_dir_all(&kept).unwrap();
    fs::write(kept.join("bad.list"), "a.example\nno host\n").unwrap();
    let (code, told) = check(&["policy.toml", "--config", "sekisho.toml"]);
    assert!(code == Some(2) && told.contains("list:bad:2:1"), "{told}");
    fs::write(kept.join("bad.list"), "updates.example\n").unwrap();
    let (code, told) = check(&["policy.toml", "--config", "sekisho.toml"]);
    assert!(code == Some(2) && told.contains("gets deny by rule `known bad`"), "{told}");
    put_over(&directory.path().join("policy.toml"), &POLICY.replace("list:bad", "list:bat"));
    let (code, told) = check(&["policy.toml", "--config", "sekisho.toml"]);
    assert!(code == Some(2) && told.contains("no list of that name") && told.contains("`bad`"), "{told}");
    assert_eq!(server.connections(), 0, "nobody asked the server");
}
