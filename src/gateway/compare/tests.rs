use serde_json::json;

use super::*;

const WANTED: &str = "\
table inet sekisho {
	set isolated {
		type ipv4_addr
	}

	counter out-tcp {
	}

	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state established accept comment \"replies\"
		ip saddr { 10.1.0.0/16, 10.2.0.0/16,
			   10.3.0.0/16 } goto from-office comment \"from-office\"
		counter name \"out-tcp\" drop comment \"out-tcp\"
	}
}
";

fn told(found: &str) -> Vec<(Change, String, Option<String>, Option<String>)> {
    let told = differences(WANTED, found).into_iter();
    told.map(|Difference { kind, within, wanted, found }| (kind, within, wanted, found)).collect()
}

fn forward() -> String {
    "chain forward".to_owned()
}

#[test]
fn a_table_is_as_it_is_whoever_is_cut_off() {
    assert_eq!(told(WANTED), []);
    let cut_off = WANTED.replace("type ipv4_addr\n", "type ipv4_addr\n\t\telements = { 10.1.0.5,\n\t\t\t 10.1.0.6 }\n");
    assert_ne!(cut_off, WANTED);
    assert_eq!(told(&cut_off), []);
    assert_eq!(elements(&cut_off, "isolated").as_deref(), Some("10.1.0.5, 10.1.0.6"));
    assert_eq!((elements(WANTED, "isolated"), has_set(WANTED, "isolated")), (None, true));
    assert!(!has_set(WANTED, "isolated6"));
}

#[test]
fn each_kind_of_difference_is_told_with_its_place() {
    let replies = "ct state established accept comment \"replies\"".to_owned();
    let gone = WANTED.replace(&format!("\t\t{replies}\n"), "");
    assert_eq!(told(&gone), [(Change::Missing, forward(), Some(replies.clone()), None)]);

    let hole = "ip saddr 10.1.0.9 accept".to_owned();
    let more = WANTED.replace(&replies, &format!("{replies}\n\t\t{hole}"));
    assert_eq!(told(&more), [(Change::Extra, forward(), None, Some(hole))]);

    let other = "ct state new,established accept comment \"replies\"".to_owned();
    let changed = WANTED.replace(&replies, &other);
    assert_eq!(told(&changed), [(Change::Changed, forward(), Some(replies.clone()), Some(other))]);

    let moved = gone.replace("comment \"out-tcp\"\n", &format!("comment \"out-tcp\"\n\t\t{replies}\n"));
    assert_eq!(told(&moved), [(Change::Moved, forward(), Some(replies), None)]);

    let accepts = WANTED.replace("policy drop", "policy accept");
    let header = |policy| Some(format!("type filter hook forward priority filter; policy {policy};"));
    assert_eq!(told(&accepts), [(Change::Changed, forward(), header("drop"), header("accept"))]);

    let blocks = WANTED.replace("counter out-tcp {\n\t}", "counter out-udp {\n\t}");
    let expected = [
        (Change::Missing, "counter out-tcp".to_owned(), None, None),
        (Change::Extra, "counter out-udp".to_owned(), None, None),
    ];
    assert_eq!(told(&blocks), expected);
}

#[test]
fn what_stands_in_other_tables_is_told_where_it_matters() {
    let chain = |table: &str, hook: &str, prio: i64| json!({"chain": {"family": "inet", "table": table, "name": "c", "type": "filter", "hook": hook, "prio": prio, "policy": "accept"}});
    let rule = |table: &str, what: &str| json!({"rule": {"family": "inet", "table": table, "chain": "c", "expr": [{"counter": null}, {(what): null}]}});
    let of = |entries: Vec<Value>| -> Vec<bool> {
        beside(&json!({ "nftables": entries })).into_iter().map(|beside| beside.bypasses).collect()
    };
    assert_eq!(of(vec![chain("sekisho", "forward", -10), rule("sekisho", "drop")]), [] as [bool; 0]);
    assert_eq!(of(vec![chain("other", "forward", 0), rule("other", "drop")]), [] as [bool; 0], "it comes with ours");
    assert_eq!(of(vec![chain("other", "forward", -10), rule("other", "drop")]), [false]);
    assert_eq!(of(vec![chain("other", "forward", -10), rule("other", "accept")]), [false]);
    assert_eq!(of(vec![chain("other", "forward", 0), rule("other", "flow")]), [true]);
    assert_eq!(of(vec![chain("other", "ingress", 0), rule("other", "fwd")]), [true]);
    assert_eq!(of(vec![chain("other", "prerouting", 0), rule("other", "redirect")]), [false]);
}
