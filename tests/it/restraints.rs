//! What findings are answered with, through a running gate.

use std::process::{Command, Output};

use serde_json::Value;

use crate::gate::{Gate, Start, records};
use crate::origin::Origin;
use crate::peer::Peer;
use crate::tunnel_lab::connect;

/// A gate that answers tunnels to strangers so.
fn config(response: &str) -> String {
    format!(
        "[detect]\ndelay_seconds = 1\n[response.strangers]\nfindings = [\"unknown_tunnel\"]\nseverity = \"low\"\n{response}\n"
    )
}

fn gate(origin: &Origin, response: &str, data_dir: &std::path::Path) -> Gate {
    let (policy, config) = (origin.rule("protocol = \"any\""), config(response));
    Start { policy: &policy, config: &config, data_dir: Some(data_dir.to_owned()), ..Start::default() }.gate()
}

/// A tunnel in which another protocol is spoken, to an address and a port that nobody knows.
fn open(gate: &Gate, origin: &Origin) -> Peer {
    let (mut client, answer) = connect(gate, &origin.address.to_string());
    assert_eq!(answer.status(), 200, "{}", answer.head);
    client.send("SSH-2.0-imitation\r\n");
    assert_eq!(client.take(19), b"SSH-2.0-imitation\r\n");
    client
}

fn sekisho(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sekisho")).args(arguments).output().unwrap()
}

fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|record| record["kind"] == kind).collect()
}

#[test]
fn what_a_finding_denies_is_cut_and_refused_and_stays_so_over_a_restart_until_it_is_lifted() {
    let (origin, data) = (Origin::echo(), tempfile::tempdir().unwrap());
    let path = data.path().to_str().unwrap().to_owned();
    let mut before = gate(&origin, "do = \"deny\"", data.path());
    let mut client = open(&before, &origin);
    // It ends by itself once the finding is on record.
    client.rest();
    let (_, answer) = connect(&before, &origin.address.to_string());
    assert_eq!((answer.status(), answer.head.contains("finding")), (403, true), "{}", answer.head);
    let listed = sekisho(&["restraint", "list", &path, "--format", "json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let restraint = &listed["restraints"][0];
    assert_eq!(
        (&restraint["do"], &restraint["client"], &restraint["target"], &restraint["response"]),
        (&"deny".into(), &"127.0.0.1".into(), &origin.address.ip().to_string().into(), &"strangers".into())
    );
    let status = String::from_utf8(sekisho(&["status", &path]).stdout).unwrap();
    assert!(status.contains("1 restraint in force"), "{status}");
    assert_eq!(before.end("-TERM"), Some(0));
    let records = records(data.path());
    let (finding, imposed) = (of_kind(&records, "finding")[0].clone(), of_kind(&records, "restraint")[0].clone());
    assert_eq!((&imposed["action"], &imposed["finding_id"]), (&"imposed".into(), &finding["finding_id"]));
    let closed = records.iter().find(|record| record["event"] == "close").unwrap();
    assert_eq!((&closed["closed_by"], &closed["reason"]), (&"gate".into(), &"finding".into()), "{closed:#}");
    assert_eq!(closed["closed_how"], "restrained", "{closed:#}");
    assert_eq!(before.end("-TERM"), Some(0));

    let after = gate(&origin, "do = \"deny\"", data.path());
    let (_, answer) = connect(&after, &origin.address.to_string());
    assert_eq!(answer.status(), 403, "{}", answer.head);
    let id = finding["finding_id"].as_str().unwrap();
    let lifted = sekisho(&["restraint", "lift", id, "--data-dir", &path]);
    assert!(lifted.status.success(), "{lifted:?}");
    open(&after, &origin);
    let again = sekisho(&["restraint", "lift", id, "--data-dir", &path]);
    assert!(String::from_utf8(again.stderr).unwrap().contains("nothing is imposed"), "it is lifted");
}

#[test]
fn an_isolated_client_gets_nothing_more_at_all() {
    let (origin, data) = (Origin::echo(), tempfile::tempdir().unwrap());
    let gate = gate(&origin, "do = \"isolate\"", data.path());
    let mut client = open(&gate, &origin);
    client.rest();
    let (_, answer) = connect(&gate, "elsewhere.test:443");
    assert!(answer.status() == 403 && answer.head.contains("isolated"), "{}", answer.head);
}

#[test]
fn what_is_no_browser_cannot_answer_a_challenge_afresh() {
    let (origin, data) = (Origin::echo(), tempfile::tempdir().unwrap());
    let gate = gate(&origin, "do = \"challenge_afresh\"", data.path());
    let mut client = open(&gate, &origin);
    client.rest();
    let (_, answer) = connect(&gate, &origin.address.to_string());
    assert_eq!((answer.status(), answer.head.contains("finding")), (403, true), "{}", answer.head);
}

#[test]
fn a_response_that_makes_no_sense_is_refused_with_what_to_write() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sekisho.toml");
    for (text, part) in [
        ("findings = [\"becon\"]\ndo = \"deny\"", "did you mean `beacon`?"),
        ("findings = [\"beacon\"]", "`do` is missing"),
        ("do = \"deny\"", "`findings` is missing"),
        ("findings = [\"beacon\"]\ndo = \"isolate\"\nof = \"target\"", "what is isolated is a client"),
        ("findings = [\"beacon\"]\ndo = \"deny\"\nof = \"program\"", "not about a program"),
        ("findings = [\"beacon\"]\ndo = \"deny\"\nhours = 721", "hours"),
    ] {
        std::fs::write(&file, format!("[response.a]\n{text}\n")).unwrap();
        let checked = sekisho(&["check", "--config", file.to_str().unwrap()]);
        assert_eq!(checked.status.code(), Some(2), "{text}");
        let said = String::from_utf8(checked.stderr).unwrap();
        assert!(said.contains(part), "{text}: {said}");
    }
}
