//! Names of hosts: how a page shows them, and lists of them in a running gate, used, kept compiled in the data
//! directory, and swept when they change.

use std::fs;

use crate::gate::{Gate, Notices, Start};

fn kept(gate: &Gate) -> Vec<String> {
    let entries = fs::read_dir(gate.data_dir().join("lists")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn file_of(text: &str) -> String {
    format!("{}.names", blake3::hash(text.as_bytes()).to_hex())
}

/// Puts a policy in force that denies what a list of this text names.
fn deny(gate: &Gate, text: &str) {
    fs::write(gate.policy().with_file_name("names.txt"), text).unwrap();
    let group = "[hosts.listed]\nfiles = [\"names.txt\"]\n";
    let put = gate.put(&format!("{group}[[rule]]\nname = \"listed\"\nhosts = [\"listed\"]\nverdict = \"deny\"\n"));
    assert!(put.status.success(), "{put:?}");
}

fn page(gate: &Gate, host: &str) -> String {
    gate.send(format!("GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
}

#[test]
fn a_list_is_kept_compiled_for_as_long_as_the_policy_names_it_with_this_content() {
    let gate = Gate::start("");
    assert!(kept(&gate).is_empty());
    deny(&gate, "bad.example\n");
    assert_eq!(kept(&gate), [file_of("bad.example\n")]);
    assert!(page(&gate, "bad.example").contains("listed (") && !page(&gate, "worse.example").contains("listed ("));
    deny(&gate, "worse.example\n");
    assert_eq!(kept(&gate), [file_of("worse.example\n")]);
    assert!(page(&gate, "worse.example").contains("listed (") && !page(&gate, "bad.example").contains("listed ("));
    // What was compiled for a policy that is refused does not stay, however often that happens.
    fs::write(gate.policy().with_file_name("other.txt"), "another.example\n").unwrap();
    let refused =
        gate.put("[hosts.listed]\nfiles = [\"other.txt\"]\n[[rule]]\nname = \"no verdict\"\nhosts = [\"listed\"]\n");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert_eq!(kept(&gate), [file_of("worse.example\n")]);
    let put = gate.put("# no list any more\n");
    assert!(put.status.success(), "{put:?}");
    assert!(kept(&gate).is_empty());
}

#[test]
fn a_list_that_cannot_be_kept_is_used_all_the_same_and_the_gate_says_so() {
    let notices = Notices::new();
    let gate = Start { before: &notices.before(), ..Start::default() }.gate();
    fs::write(gate.data_dir().join("lists"), "a file where a directory would be").unwrap();
    deny(&gate, "bad.example\n");
    let said = notices.until("compiles it again");
    assert!(said.contains("warning: the list ") && said.contains("names.txt: cannot keep it compiled in"), "{said}");
    assert!(page(&gate, "bad.example").contains("listed ("));
}

#[test]
fn a_page_names_the_host_in_a_labels_and_in_unicode() {
    let page = page(&Gate::start(""), "xn--bcher-kva.example");
    assert!(page.contains("xn--bcher-kva.example (bücher.example)"), "{page}");
}
