//! A policy that changes while the gate runs: taken up whole, or not at all.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::gate::{Gate, Notices, Start, put_over};
use crate::origin::Origin;
use crate::parent::{Answer, Parent};

const BROKEN: &str = "[policy]\nmod = \"hunter2\"\n[[rule]]\nname = \"half a ru";

struct Site {
    origin: Origin,
    notices: Notices,
    gate: Gate,
}

impl Site {
    /// A gate whose policy lets out to the origin.
    fn new() -> Self {
        let (origin, notices) = (Origin::start(), Notices::new());
        let gate = Start { policy: &origin.policy(), before: &notices.before(), ..Start::default() }.gate();
        Self { origin, notices, gate }
    }

    /// The same policy with another text, that lets out or denies.
    fn policy(&self, verdict: &str) -> String {
        let denied = self.origin.rule("").replace("private = [\"127.0.0.0/8\"]\n", "");
        match verdict {
            "allow" => format!("# again\n{}", self.origin.policy()),
            _ => denied.replace("\"allow\"", "\"deny\""),
        }
    }

    /// The status of the answer to a request for the origin.
    fn ask(&self) -> u16 {
        let there = self.origin.address;
        let mut client = self.gate.client();
        client.send(format!("GET http://{there}/ HTTP/1.1\r\nHost: {there}\r\nConnection: close\r\n\r\n"));
        client.answer().status()
    }

    fn policy_status(&self) -> Value {
        self.gate.status()["policy"].clone()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shown(output: &Output) -> (Option<i32>, String, String) {
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// The records of policies: what was done, and of how many problems.
fn policies(records: &[Value]) -> Vec<(String, Option<u64>)> {
    let told = records.iter().filter(|record| record["kind"] == "policy");
    told.map(|record| (record["action"].as_str().unwrap().to_owned(), record["problems"].as_u64())).collect()
}

#[test]
fn a_changed_file_is_taken_up_by_itself_however_it_was_written() {
    let mut site = Site::new();
    let path = site.gate.policy();
    let data = |name: &str| site.gate.directory.path().join(name);
    let links = |to: &str, from: &str| {
        symlink(to, data("link")).unwrap();
        std::fs::rename(data("link"), data(from)).unwrap();
    };
    for name in ["..data_1", "..data_2"] {
        std::fs::create_dir(data(name)).unwrap();
    }
    std::fs::write(data("..data_1/policy.toml"), site.policy("allow")).unwrap();
    std::fs::write(data("..data_2/policy.toml"), site.policy("deny")).unwrap();
    links("..data_1", "..data");
    let changes: [(u16, &str, &dyn Fn()); 5] = [
        (403, "put over", &|| put_over(&path, &site.policy("deny"))),
        (200, "in place", &|| std::fs::write(&path, site.policy("allow")).unwrap()),
        (403, "removed and written again", &|| {
            std::fs::remove_file(&path).unwrap();
            std::fs::write(&path, site.policy("deny")).unwrap();
        }),
        (200, "a link put in its place", &|| links("..data/policy.toml", "policy.toml")),
        (403, "a link on the way turned", &|| links("..data_2", "..data")),
    ];
    assert_eq!(site.ask(), 200);
    for (status, how, change) in changes {
        change();
        let line = site.notices.until("is in force as version");
        assert!(line.contains("1 rules, enforce (a changed file)"), "{line}");
        assert_eq!(site.ask(), status, "{how}");
        let policy = site.policy_status();
        assert!(line.contains(&format!("version {}", policy["hash"].as_str().unwrap())), "{line} {policy}");
        assert_eq!(
            (&policy["last_reload"]["outcome"], &policy["last_reload"]["by"]),
            (&json!("in_force"), &json!("a changed file"))
        );
        assert!(policy["since"].as_str() <= policy["last_reload"]["at"].as_str(), "{policy}");
    }
    let records = site.gate.records();
    assert_eq!(policies(&records), vec![("in_force".to_owned(), None); 6]);
}

#[test]
fn a_wrong_policy_changes_nothing_and_is_shown_to_everybody_who_looks() {
    let mut site = Site::new();
    let before = site.policy_status();
    assert_eq!(before.get("last_reload"), None);
    let hash = before["hash"].as_str().unwrap().to_owned();

    let (code, out, err) = shown(&site.gate.put(BROKEN));
    assert_eq!((code, out.as_str()), (Some(2), ""), "{err}");
    assert!(err.contains(&format!("and version {hash} stays in force; ")), "{err}");
    for problem in ["policy.toml:2:1: unknown key `mod`\n    fix: did you mean `mode`?", "policy.toml:4:"] {
        assert!(err.contains(problem), "{err}");
    }
    let line = site.notices.until(&format!("is refused (user {})", rustix::process::getuid().as_raw()));
    assert!(
        line.contains(&format!(
            "(user {}), and version {hash} stays in force; problems: ",
            rustix::process::getuid().as_raw()
        )),
        "{line}"
    );
    site.notices.until("unknown key `mod`");
    assert_eq!(site.ask(), 200, "what was in force still is");

    let policy = site.policy_status();
    assert_eq!((&policy["hash"], &policy["since"]), (&before["hash"], &before["since"]));
    assert_eq!(policy["last_reload"]["outcome"], "refused");
    assert!(policy["last_reload"]["first_problem"].as_str().unwrap().contains("unknown key `mod`"), "{policy}");
    let (_, status, _) = status_text(&site.gate);
    assert!(status.contains("WARNING") && status.contains("the policy on the disk is wrong"), "{status}");

    // With a case that fails nothing is wrong but that.
    let case =
        "\n[[case]]\nclient = \"10.0.0.1\"\nrequest = \"GET http://a.example/\"\nexpect = { verdict = \"allow\" }\n";
    let (code, _, err) = shown(&site.gate.put(&format!("{}{case}", site.origin.policy())));
    assert!(code == Some(2) && err.contains("1 problem\n") && err.contains("case"), "{err}");

    // A file that has gone is as wrong as a wrong one.
    std::fs::remove_file(site.gate.policy()).unwrap();
    let (code, _, err) = shown(&site.gate.reload());
    assert!(code == Some(2) && err.contains("cannot read the policy file: No such file"), "{err}");

    // What was in force is written again: it is no other.
    let (code, out, err) = shown(&site.gate.put(&site.origin.policy()));
    assert!(code == Some(0) && out.contains("unchanged: it was in force already"), "{out}{err}");
    assert!(!status_text(&site.gate).1.contains("WARNING"));
    assert_eq!(site.ask(), 200);

    let records = site.gate.records();
    let mut refused: Vec<_> = records.iter().filter(|record| record["action"] == "refused").collect();
    // Where this machine is slow the gate may look at a file before the command asks.
    refused.dedup_by(|a, b| a["detail"] == b["detail"]);
    assert_eq!(refused.len(), 3, "{refused:#?}");
    assert!(refused[0]["problems"].as_u64() > Some(1) && refused[1]["problems"] == 1, "{refused:#?}");
    assert!(refused[0]["detail"].as_str().unwrap().contains("policy.toml:2:1: unknown key `…`"), "{}", refused[0]);
    assert!(refused.iter().all(|record| record["hash"] == hash.as_str()), "{refused:#?}");
    assert!(!serde_json::to_string(&refused).unwrap().contains("hunter2"), "{refused:#?}");
    assert_eq!(policies(&records).iter().filter(|(action, _)| action == "in_force").count(), 1, "unchanged is no news");
}

fn status_text(gate: &Gate) -> (Option<i32>, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sekisho"));
    shown(&command.arg("status").arg(gate.data_dir()).output().unwrap())
}

#[test]
fn a_hangup_reads_the_policy_again_and_is_answered_even_where_nothing_has_changed() {
    let mut site = Site::new();
    site.gate.signal("-HUP");
    let line = site.notices.until("unchanged");
    assert!(line.ends_with("stays in force (SIGHUP)"), "{line}");
    std::fs::write(site.gate.policy(), BROKEN).unwrap();
    site.gate.signal("-HUP");
    site.notices.until("is refused (");
    assert_eq!(site.ask(), 200);
    std::fs::write(site.gate.policy(), site.policy("deny")).unwrap();
    site.gate.signal("-HUP");
    site.notices.until("is in force as version");
    assert_eq!(site.ask(), 403);
    assert_eq!(site.gate.end("-TERM"), Some(0));
}

#[test]
fn a_gate_without_a_policy_file_says_that_its_own_is_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let answer = |gate: &Gate| shown(&gate.reload());
    let site = Site::new();
    let (code, out, _) = answer(&site.gate);
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("result   unchanged"), "{out}");
    let mut none = std::process::Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let (code, _, err) = shown(&none.arg("reload").arg(directory.path()).output().unwrap());
    assert!(code == Some(1) && err.contains("no gate answers") && err.contains("hint: start one"), "{err}");
}

#[test]
fn an_answer_for_machines_has_the_version_or_every_problem() {
    let site = Site::new();
    let ask = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_sekisho"));
        let output = command.args(["reload", "--format", "json"]).arg(site.gate.data_dir()).output().unwrap();
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    put_over(&site.gate.policy(), &site.policy("deny"));
    let (code, told) = ask();
    assert_eq!((code, &told["ok"]), (Some(0), &json!(true)), "{told}");
    assert!(
        ["in_force", "unchanged"].contains(&told["outcome"].as_str().unwrap()),
        "unless it has seen it itself: {told}"
    );
    assert_eq!((&told["hash"], &told["tunnels"]), (&site.policy_status()["hash"], &json!("keep")), "{told}");
    put_over(&site.gate.policy(), BROKEN);
    let (code, told) = ask();
    assert_eq!((code, &told["ok"]), (Some(2), &json!(false)), "{told}");
    let problem = &told["problems"][0];
    assert_eq!((&problem["line"], &problem["message"]), (&json!(2), &json!("unknown key `mod`")), "{told}");
}

#[test]
fn what_was_said_at_the_start_holds_for_every_policy_after() {
    // `run --observe`, and the config's [internal].
    let notices = Notices::new();
    let config =
        "[internal]\nnames = [\"*.corp.test\"]\nresolvers = [\"127.0.0.1:9\"]\naddresses = [\"10.1.0.0/16\"]\n";
    let gate = Start { policy: "", config, before: &notices.before(), observe: true, ..Start::default() }.gate();
    let rule = |keys: &str| format!("[[rule]]\nname = \"r\"\nhosts = [\"*.corp.test\"]\nverdict = \"allow\"\n{keys}\n");
    let (code, out, err) = shown(&gate.put(&rule("private = [\"internal\"]")));
    assert!(code == Some(0) && out.contains(", observe\n"), "{out}{err}");
    let left =
        format!("[parents]\nup = {{ address = \"10.9.0.1:1\" }}\n{}", rule("parent = \"up\"\nresolve = \"parent\""));
    let (code, _, err) = shown(&gate.put(&left));
    assert!(code == Some(2) && err.contains("every host of the rule is one of the [internal] names"), "{err}");
    // The gate itself is no parent.
    let own = format!("[parents]\nme = {{ address = \"{}\" }}\n", gate.address);
    let (code, _, err) = shown(&gate.put(&own));
    assert!(code == Some(2) && err.contains("policy.toml:2:1: the parent `me` cannot be used: "), "{err}");
    assert_eq!(gate.status()["policy"]["mode"], "observe");
}

fn write_secret(path: &Path, pair: &str) {
    std::fs::write(path, pair).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn credentials_change_with_their_file_and_old_ones_are_shown_to_nobody_after() {
    let (origin, notices) = (Origin::start(), Notices::new());
    let there = origin.address;
    let parent = Parent::answering(move |_| Answer::Lead(there));
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("up.credentials");
    write_secret(&secret, "gate:hunter1");
    let named = parent.named().replace(" }", &format!(", credentials = \"{}\" }}", secret.display()));
    let rule = |host: &str, who: &str| origin.rule_for(host, &format!("parent = \"uplink\"\nresolve = \"{who}\""));
    let policy = format!("{named}{}{}", rule("127.0.0.1", "gate"), rule("b.test", "parent"));
    let mut gate = Start { policy: &policy, before: &notices.before(), ..Start::default() }.gate();
    let mut client = gate.client();
    let mut ask = || {
        // By a CONNECT whose connection is kept for the next, and by a request that shows them itself.
        for host in ["127.0.0.1", "b.test"] {
            let at = format!("{host}:{}", there.port());
            client.send(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n\r\n"));
            assert_eq!(client.answer().status(), 200);
        }
    };
    let shown_since = |from: usize| -> Vec<String> {
        let asked = parent.asked();
        let values = asked[from..].iter().map(|request| request.all("proxy-authorization").join(","));
        values.collect()
    };
    ask();
    ask();
    let one = "Basic Z2F0ZTpodW50ZXIx";
    assert_eq!(shown_since(0), [one; 3], "the CONNECT was asked for once");
    let before = gate.status()["policy"]["hash"].clone();
    write_secret(&secret, "gate:hunter2");
    let line = notices.until("credentials");
    assert!(line.contains("have changed and are in force (a changed file)"), "{line}");
    let from = parent.asked().len();
    ask();
    let two = "Basic Z2F0ZTpodW50ZXIy";
    assert_eq!(shown_since(from), [two; 2], "a connection that was opened with the old ones is no longer used");
    // A file that others may read is refused like at the start, and the ones in force stay.
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    notices.until("are open to others");
    ask();
    assert_eq!(shown_since(from + 2), [two], "the kept connection is used again");
    assert_eq!(gate.status()["policy"]["hash"], before);
    let records = gate.records();
    let told: Vec<_> = records.iter().filter(|record| record["kind"] == "policy").collect();
    assert_eq!(
        (told.len(), &told[1]["action"], &told[1]["detail"]),
        (3, &json!("in_force"), &json!("credentials changed"))
    );
    assert!(!serde_json::to_string(&records).unwrap().contains("hunter"));
}
