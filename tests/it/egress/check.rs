//! Each kind of difference between what is in force and what the config asks for is named.

use std::process::Stdio;

use serde_json::Value;

use super::lab::{Lab, Machine, run};

struct Checked {
    code: i32,
    out: String,
    err: String,
}

fn check(lab: &Lab, format: &str) -> Checked {
    let directory = tempfile::tempdir().unwrap();
    let mut command = lab.egress(directory.path(), &["check", "--format", format]);
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Checked { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

/// The handle of the first rule with this comment in a chain.
fn handle(lab: &Lab, chain: &str, name: &str) -> String {
    let listed = lab.nft(Machine::Gateway, &format!("-a list chain inet sekisho {chain}"));
    let line = listed.lines().find(|line| line.contains(&format!("comment \"{name}\""))).unwrap();
    line.rsplit_once("# handle ").unwrap().1.to_owned()
}

fn applied() -> Lab {
    let lab = Lab::make();
    let directory = tempfile::tempdir().unwrap();
    run(&mut lab.egress(directory.path(), &["apply", "--yes"]));
    lab
}

#[test]
fn a_table_that_is_not_there_is_missing() {
    let lab = Lab::make();
    let Checked { code, out, err } = check(&lab, "text");
    assert_eq!(out, "missing  table inet sekisho\nresult   1 difference from what the config asks for\n");
    assert_eq!(
        (code, err.lines().next()),
        (1, Some("sekisho: 1 difference between what is in force and what is asked for"))
    );
}

#[test]
fn each_change_by_hand_is_named() {
    let lab = applied();
    assert_eq!(check(&lab, "text").code, 0);
    // Traffic, counters and who is cut off are no difference.
    lab.nft(Machine::Gateway, "add element inet sekisho isolated { 10.20.0.2 }");
    assert_eq!(check(&lab, "text").code, 0);

    let udp = handle(&lab, "no-way-out", "out-udp");
    lab.nft(Machine::Gateway, &format!("delete rule inet sekisho no-way-out handle {udp}"));
    lab.nft(Machine::Gateway, "insert rule inet sekisho forward ip saddr 10.20.0.2 accept");
    let quic = handle(&lab, "no-way-out", "out-quic");
    lab.nft(
        Machine::Gateway,
        &format!("replace rule inet sekisho no-way-out handle {quic} udp dport 443 accept comment \"out-quic\""),
    );
    lab.nft(Machine::Gateway, "add chain inet sekisho mine");
    lab.nft(Machine::Gateway, "chain inet sekisho forward { policy accept ; }");
    let Checked { code, out, err } = check(&lab, "text");
    let expected = "\
changed  chain no-way-out
    asked: udp dport 443 counter name \"out-quic\" log prefix \"sekisho:refused:out-quic \" group 5 goto refuse comment \"out-quic\"
    found: udp dport 443 accept comment \"out-quic\"
missing  chain no-way-out
    asked: meta l4proto udp counter name \"out-udp\" log prefix \"sekisho:refused:out-udp \" group 5 goto refuse comment \"out-udp\"
changed  chain forward
    asked: type filter hook forward priority filter; policy drop;
    found: type filter hook forward priority filter; policy accept;
extra    chain forward
    found: ip saddr 10.20.0.2 accept
extra    chain mine
result   5 differences from what the config asks for
";
    assert_eq!((code, out.as_str()), (1, expected), "{err}");

    let json: Value = serde_json::from_str(&check(&lab, "json").out).unwrap();
    let kinds: Vec<&str> =
        json["differences"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!((&json["ok"], kinds), (&false.into(), vec!["changed", "missing", "changed", "extra", "extra"]));
}

#[test]
fn what_other_tables_do_to_packets_is_named_and_is_no_difference() {
    let lab = applied();
    lab.load(
        Machine::Gateway,
        "
table ip early {
    chain forward {
        type filter hook forward priority -10;
        ip saddr 10.20.0.2 accept
        ip saddr 10.20.0.3 drop
    }
    chain nat {
        type nat hook prerouting priority dstnat;
        tcp dport 80 redirect to :3128
    }
}
",
    );
    let Checked { code, out, .. } = check(&lab, "text");
    assert_eq!(code, 0, "{out}");
    for line in [
        "beside   ip early forward\n    accepts packets before they are judged: that decides nothing",
        "beside   ip early forward\n    drops packets before they are judged",
        "beside   ip early nat\n    changes where packets go before they are judged",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
}
