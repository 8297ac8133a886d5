//! Which client is which device, and what people hold of findings and targets: through a running gate, and without one.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::gate::{Gate, Start, put_over, records, status_of};

fn sekisho(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    command.args(arguments).env("SUDO_USER", "tanaka\u{1b}[2J").output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&text(&sekisho(&[arguments, &["--format", "json"]].concat()))).unwrap()
}

fn of_kind(data_dir: &Path, kind: &str) -> Vec<Value> {
    let mut found: Vec<Value> = records(data_dir).into_iter().filter(|record| record["kind"] == kind).collect();
    // With each new day devices are told of again: what is told twice counts once.
    let mut told = Vec::new();
    found.retain(|record| {
        let facts = ["client", "name", "source", "since", "until"].map(|key| record[key].clone());
        let is_new = kind != "device" || !told.contains(&facts);
        told.push(facts);
        is_new
    });
    found
}

/// The records of a kind, once there are so many.
fn wait_for(data_dir: &Path, kind: &str, count: usize) -> Vec<Value> {
    let begun = Instant::now();
    loop {
        let found = of_kind(data_dir, kind);
        if found.len() >= count {
            return found;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{kind}: {found:#?}");
        std::thread::yield_now();
    }
}

const TABLE: &str = "name,address,hardware\npress 4,10.20.1.5,aa:bb:cc:00:00:01\ntablet 9,,aa:bb:cc:00:00:09\n";
const LEASES: &str = "0 aa:bb:cc:00:00:01 10.20.1.5 liar *\n0 aa:bb:cc:00:00:09 10.20.1.9 android *\n0 aa:bb:cc:00:00:07 10.20.1.7 pc-7\u{202e} *\n";
const KEA: &str = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context,pool_id\n\
                   10.30.0.1,aa:bb:cc:00:00:0a,,4294967295,6090535695,1,0,0,pc-30,0,,0\n";

fn gate(files: &Path, data_dir: &Path) -> Gate {
    let config = format!(
        "[devices]\ntable = \"{0}/devices.csv\"\ndnsmasq = [\"{0}/dnsmasq.leases\"]\nkea = [\"{0}/kea-leases4.csv\"]\nevery_seconds = 1\n",
        files.display()
    );
    Start { config: &config, data_dir: Some(data_dir.to_owned()), ..Start::default() }.gate()
}

#[test]
fn leases_and_a_table_go_on_record_as_they_change_and_a_restart_tells_nothing_twice() {
    let (files, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, content) in [("devices.csv", TABLE), ("dnsmasq.leases", LEASES), ("kea-leases4.csv", KEA)] {
        std::fs::write(files.path().join(name), content).unwrap();
    }
    let path = data.path().to_str().unwrap();
    let mut first = gate(files.path(), data.path());
    let told = wait_for(data.path(), "device", 5);
    let said: Vec<_> = told
        .iter()
        .map(|one| (one["client"].as_str().unwrap(), one["name"].as_str().unwrap(), one["source"].as_str().unwrap()))
        .collect();
    assert_eq!(
        said,
        [
            ("10.20.1.5", "press 4", "table"),
            ("10.20.1.9", "tablet 9", "table_by_hardware"),
            ("10.30.0.1", "pc-30", "kea"),
            ("10.20.1.5", "liar", "dnsmasq"),
            ("10.20.1.7", "pc-7\u{202e}", "dnsmasq"),
        ]
    );
    let listed = json(&["device", "list", "--data-dir", path]);
    let press = listed["devices"].as_array().unwrap().iter().find(|one| one["client"] == "10.20.1.5").unwrap();
    assert_eq!(
        (&press["certainty"], &press["names"][0]["name"], &press["names"][1]["assigned"]),
        (&"known".into(), &"press 4".into(), &false.into())
    );
    let shown = text(&sekisho(&["device", "list", "--data-dir", path]));
    assert!(shown.contains("pc-7\\u{202e}") && !shown.contains('\u{202e}'), "{shown}");

    // The address is another machine's now: that is not the one of the table.
    put_over(&files.path().join("dnsmasq.leases"), "0 bb:bb:cc:00:00:01 10.20.1.5 laptop *\n");
    let told = wait_for(data.path(), "device", 9);
    let laptop = told.iter().find(|one| one["name"] == "laptop").unwrap();
    assert_eq!(laptop["client"], "10.20.1.5");
    assert!(told.iter().any(|one| one["name"] == "liar" && one["until"].is_string()), "{told:#?}");
    let press = json(&["device", "show", "press 4", "--data-dir", path]);
    assert_eq!(press["spans"].as_array().unwrap().len(), 1, "{press:#}");
    assert_eq!(press["spans"][0]["certainty"], "uncertain");
    let address = json(&["device", "show", "10.20.1.5", "--data-dir", path]);
    assert_eq!(address["names"].as_array().unwrap().len(), 3, "{address:#}");
    let lookups = of_kind(data.path(), "lookup");
    assert_eq!(
        lookups.iter().map(|one| (&one["device"], &one["client"])).collect::<Vec<_>>(),
        [(&"press 4".into(), &Value::Null), (&Value::Null, &"10.20.1.5".into()),]
    );
    let uid = rustix::process::getuid().as_raw();
    assert_eq!((&lookups[0]["uid"], &lookups[0]["claims"]), (&uid.into(), &"tanaka\u{1b}[2J".into()));
    assert_eq!(first.end("-TERM"), Some(0));

    // A table with a mistake changes nothing, and is told of; `check` shows it before.
    put_over(&files.path().join("devices.csv"), "name,address\npress 4,here\n");
    let config = files.path().join("check.toml");
    std::fs::write(&config, "[devices]\ntable = \"devices.csv\"\n").unwrap();
    let checked = sekisho(&["check", "--config", config.to_str().unwrap()]);
    let said = String::from_utf8(checked.stderr).unwrap();
    assert!(checked.status.code() == Some(2) && said.contains("devices.csv:2:1: `here` is no address"), "{said}");
    let mut second = gate(files.path(), data.path());
    let unread = wait_for(data.path(), "health", 1);
    assert_eq!((&unread[0]["subject"], &unread[0]["level"]), (&"devices".into(), &"unread".into()));
    put_over(&files.path().join("devices.csv"), &format!("{TABLE}press 5,10.20.1.6,\n"));
    let told = wait_for(data.path(), "device", 10);
    assert_eq!((told.len(), &told[9]["name"]), (10, &"press 5".into()), "{told:#?}");
    assert_eq!(second.end("-TERM"), Some(0));
    assert_eq!(of_kind(data.path(), "device").len(), 10);
}

#[test]
fn who_is_marked_as_doing_harm_is_cut_off_by_it_unless_that_is_not_wanted() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let mut gate = Start { data_dir: Some(data.path().to_owned()), ..Start::default() }.gate();
    let mark = |more: &[&str]| {
        let always = ["triage", "malicious", "x.bad.example", "--why", "the implant", "--data-dir", path];
        json(&[&always[..], more].concat())
    };
    let cut_off = |marked: &Value| -> Vec<String> {
        let isolated = marked["isolated"]["now"]["isolated"].as_array();
        isolated.into_iter().flatten().map(|one| one["client"].as_str().unwrap().to_owned()).collect()
    };
    // One that is marked for all has no client, and a network is not cut off by a mark.
    for more in [&[][..], &["--client", "10.0.0.9", "--no-isolate"], &["--client", "10.0.0.8/29"]] {
        let marked = mark(more);
        assert_eq!(marked["isolated"], Value::Null, "{more:?} {marked:#}");
        assert!(marked["note"].as_str().is_some_and(|note| note.contains("sekisho isolate")), "{marked:#}");
    }
    let marked = mark(&["--client", "10.0.0.9"]);
    assert_eq!((cut_off(&marked), &marked["note"]), (vec!["10.0.0.9".to_owned()], &Value::Null), "{marked:#}");
    assert_eq!(status_of(data.path())["isolated"][0]["client"], "10.0.0.9");
    let shown = text(&sekisho(&[
        "triage",
        "withdraw",
        "x.bad.example",
        "--client",
        "10.0.0.9",
        "--why",
        "it was another",
        "--data-dir",
        path,
    ]));
    assert!(shown.contains("stays in force") && shown.contains("10.0.0.9 stays cut off: `sekisho release"), "{shown}");
    assert_eq!(gate.end("-TERM"), Some(0));
    let told = of_kind(data.path(), "contingency");
    let told: Vec<_> = told.iter().map(|one| (&one["action"], &one["client"], &one["why"])).collect();
    assert_eq!(told, [(&"isolated".into(), &"10.0.0.9".into(), &"the implant".into())]);
}

#[test]
fn a_mark_goes_on_record_by_the_gate_and_without_one_and_the_rule_that_follows_holds() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let mut gate = Start { data_dir: Some(data.path().to_owned()), ..Start::default() }.gate();
    let policy = data.path().join("new.toml");
    let policy = policy.to_str().unwrap();
    let watching = sekisho(&["triage", "watching", "x.bad.example", "--why", "asked the owner", "--data-dir", path]);
    assert!(text(&watching).contains("watching, x.bad.example, by "), "{watching:?}");
    let marked = json(&[
        "triage",
        "malicious",
        "x.bad.example",
        "--why",
        "the CERT says so",
        "--to",
        policy,
        "--data-dir",
        path,
    ]);
    assert_eq!(
        (&marked["action"], &marked["before"], &marked["added_to"]),
        (&"malicious".into(), &"watching".into(), &policy.into())
    );
    let good = json(&[
        "triage",
        "known-good",
        "*.vendor.example:8443",
        "--client",
        "10.0.0.1",
        "--why",
        "ticket \"7\"",
        "--to",
        policy,
        "--data-dir",
        path,
    ]);
    assert!(good["rule"].as_str().unwrap().contains("until        = \"20"), "an end: {good:#}");
    assert_eq!(gate.end("-TERM"), Some(0));
    assert!(sekisho(&["check", policy]).status.success());
    for (request, says) in [
        ("CONNECT x.bad.example:443", "deny"),
        ("CONNECT a.vendor.example:8443", "allow"),
        ("CONNECT vendor.example:8443", "deny"),
    ] {
        let (method, url) = request.split_once(' ').unwrap();
        let explained = json(&["explain", "--policy", policy, "--client", "10.0.0.1", method, url]);
        assert!(explained.to_string().contains(&format!("\"verdict\":\"{says}\"")), "{request}: {explained:#}");
    }
    // No gate runs now.
    let again = json(&["triage", "watching", "x.bad.example", "--why", "it was a mistake", "--data-dir", path]);
    assert_eq!(again["before"], "malicious");
    let listed = json(&["triage", "list", "--data-dir", path]);
    let marks: Vec<_> =
        listed["triage"].as_array().unwrap().iter().map(|one| (&one["action"], &one["target"])).collect();
    assert_eq!(
        marks,
        [(&"watching".into(), &"x.bad.example".into()), (&"known_good".into(), &"*.vendor.example:8443".into())]
    );
    let told = of_kind(data.path(), "triage");
    assert_eq!(
        told.iter().map(|one| one["why"].as_str().unwrap()).collect::<Vec<_>>(),
        ["asked the owner", "the CERT says so", "ticket \"7\"", "it was a mistake"]
    );
    assert!(told.iter().all(|one| one["uid"] == rustix::process::getuid().as_raw() && one["gate"] == "sekisho"));
    assert!(sekisho(&["verify", path]).status.success(), "the chain holds");
}

#[test]
fn a_finding_is_marked_by_its_id_with_what_it_is_about() {
    let (origin, data) = (crate::origin::Origin::echo(), tempfile::tempdir().unwrap());
    let path = data.path().to_str().unwrap();
    let (policy, config) = (origin.rule("protocol = \"any\""), "[detect]\ndelay_seconds = 1\n");
    let gate = Start { policy: &policy, config, data_dir: Some(data.path().to_owned()), ..Start::default() }.gate();
    let (mut client, _) = crate::tunnel_lab::connect(&gate, &origin.address.to_string());
    client.send("SSH-2.0-imitation\r\n");
    let finding = wait_for(data.path(), "finding", 1).remove(0);
    let id = finding["finding_id"].as_str().unwrap();
    let marked = json(&["triage", "known-good", id, "--why", "our own", "--data-dir", path]);
    assert_eq!((&marked["finding_id"], &marked["client"]), (&id.into(), &"127.0.0.1".into()));
    let target = format!("{}:{}", origin.address.ip(), origin.address.port());
    assert_eq!(marked["target"], target.as_str());
    assert!(marked["rule"].as_str().unwrap().contains("clients      = [\"triage 127.0.0.1\"]"), "{marked:#}");
    let unknown = sekisho(&["triage", "known-good", "0123456789abcdef", "--why", "x", "--data-dir", path]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
}

#[test]
fn what_cannot_be_put_on_record_is_not_done_and_mistakes_are_named() {
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    let policy = empty.path().join("policy.toml");
    let to = policy.to_str().unwrap();
    for (arguments, part, code) in [
        (&["triage", "malicious", "a.example", "--why", "x", "--to", to][..], "there are no records", 2),
        (&["device", "show", "pc-1"], "there are no records", 2),
        (&["device", "list"], "there are no records", 2),
        (&["triage", "list"], "there are no records", 2),
        (&["triage", "watching", "a.example", "--why", " "], "a reason has 1 to", 2),
        (&["triage", "watching", "a.example", "--why", "x", "--until", "2001-01-01"], "is over", 2),
    ] {
        let answer = sekisho(&[arguments, &["--data-dir", path]].concat());
        let said = String::from_utf8(answer.stderr).unwrap();
        assert!(
            answer.status.code() == Some(code) && said.contains(part) && said.contains("hint: "),
            "{arguments:?}: {said}"
        );
    }
    assert_eq!(std::fs::read_dir(empty.path()).unwrap().count(), 0, "nothing was made");

    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let mut gate = Start { data_dir: Some(data.path().to_owned()), ..Start::default() }.gate();
    assert_eq!(gate.end("-TERM"), Some(0));
    let bad = sekisho(&["triage", "watching", "http://a.example/", "--why", "x", "--data-dir", path]);
    assert!(bad.status.code() == Some(2) && String::from_utf8_lossy(&bad.stderr).contains("is no target"), "{bad:?}");
    // A policy that is wrong stays as it is, and nothing is on record.
    std::fs::write(&policy, "[policy]\nmod = 1\n").unwrap();
    let wrong = sekisho(&["triage", "malicious", "a.example", "--why", "x", "--to", to, "--data-dir", path]);
    let said = String::from_utf8(wrong.stderr).unwrap();
    assert!(wrong.status.code() == Some(2) && said.contains(&format!("{to}:2:")), "{said}");
    assert_eq!(std::fs::read_to_string(&policy).unwrap(), "[policy]\nmod = 1\n");
    // A directory in which others can write holds no evidence, so nothing is done.
    std::fs::set_permissions(data.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::remove_file(&policy).unwrap();
    let refused = sekisho(&["triage", "malicious", "a.example", "--why", "x", "--to", to, "--data-dir", path]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("so nothing is done"), "{said}");
    assert!(!policy.exists(), "no rule was written");
    assert!(of_kind(data.path(), "triage").is_empty());
}
