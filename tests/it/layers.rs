//! A policy of two layers, and one that is enforced for some clients only, in records and in `status`.

use crate::gate::Gate;
use crate::origin::Origin;

/// A gate whose policy stands on this base.
fn on_base(base: &str, site: &str) -> Gate {
    let gate = Gate::start("");
    std::fs::write(gate.policy().with_file_name("base.toml"), base).unwrap();
    let put = gate.put(&format!("[policy]\nbase = \"base.toml\"\n{site}"));
    assert!(put.status.success(), "{put:?}");
    gate
}

fn get(gate: &Gate, at: impl std::fmt::Display) -> String {
    gate.send(format!("GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n").as_bytes())
}

#[test]
fn the_record_and_the_page_name_what_the_other_layer_says() {
    let origin = Origin::start();
    let deny = "[[rule]]\nname = \"head office\"\nverdict = \"deny\"\n";
    let mut gate = on_base(deny, &origin.rule(""));
    let page = get(&gate, origin.address);
    assert!(page.starts_with("HTTP/1.1 403 "), "{page}");
    assert!(page.contains("head office (") && page.contains("the other layer says allow: origin ("), "{page}");
    assert_eq!(origin.connections(), 0);
    let refused = &gate.events("refused")[0];
    assert_eq!((&refused["rule"], &refused["verdict"]), (&"head office".into(), &"deny".into()), "{refused}");
    let beside = refused["beside"].as_str().unwrap();
    assert!(beside.starts_with("allow: origin (") && beside.ends_with(":4)"), "{beside}");
}

#[test]
fn what_both_layers_let_out_passes_and_a_single_layer_has_none_beside_it() {
    let origin = Origin::start();
    let rule = origin.rule("");
    let mut gate = on_base(&rule.replace("\"origin\"", "\"head office\""), &rule);
    assert!(get(&gate, origin.address).starts_with("HTTP/1.1 200 "));
    let open = &gate.events("open")[0];
    assert!(open["beside"].as_str().unwrap().starts_with("allow: head office ("), "{open}");
    let mut gate = Gate::start(&rule);
    assert!(get(&gate, origin.address).starts_with("HTTP/1.1 200 "));
    assert_eq!(gate.events("open")[0]["beside"], serde_json::Value::Null);
}

#[test]
fn status_tells_for_whom_the_policy_is_enforced_and_for_what_share_of_exchanges() {
    let origin = Origin::start();
    let group = "[policy]\nmode = \"observe\"\n[clients.here]\naddresses = [\"127.0.0.0/8\"]\nmode = \"enforce\"\n";
    let gate = Gate::start(&format!("{group}{}", origin.rule("")));
    assert!(get(&gate, origin.address).starts_with("HTTP/1.1 200 "));
    assert!(get(&gate, "other.test:81").starts_with("HTTP/1.1 403 "));
    let status = gate.status();
    assert_eq!(status["policy"]["groups"], serde_json::json!([{ "group": "here", "mode": "enforce" }]));
    assert_eq!((&status["exchanges"]["decided"], &status["exchanges"]["observed"]), (&2.into(), &0.into()));
    let put = gate.put(&format!("{}{}", group.replace("enforce", "observe"), origin.rule("")));
    assert!(put.status.success(), "{put:?}");
    assert!(get(&gate, origin.address).starts_with("HTTP/1.1 200 "));
    let status = gate.status();
    assert_eq!((&status["exchanges"]["decided"], &status["exchanges"]["observed"]), (&3.into(), &1.into()));
}

#[test]
fn status_tells_whom_the_base_is_enforced_for_apart() {
    let gate =
        on_base("[policy]\nmode = \"observe\"\n[clients.here]\naddresses = [\"127.0.0.1\"]\nmode = \"enforce\"\n", "");
    let policy = &gate.status()["policy"];
    assert_eq!((&policy["mode"], &policy["groups"]), (&"enforce".into(), &serde_json::json!([])));
    let base = serde_json::json!({ "mode": "observe", "groups": [{ "group": "here", "mode": "enforce" }] });
    assert_eq!(policy["base"], base);
    assert_eq!(Gate::start("").status()["policy"]["base"], serde_json::Value::Null);
}
