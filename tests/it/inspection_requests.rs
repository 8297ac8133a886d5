//! Requests inside inspected tunnels: the same reading, the same judgement and the same records as for plain ones.

use crate::inspection_lab::{Lab, get, inner};

#[test]
fn requests_that_come_at_once_are_answered_in_order_and_each_is_on_record() {
    let mut lab = Lab::new("");
    let mut client = lab.open("site.test");
    let paths: Vec<_> = (0..8).map(|number| format!("/{number}")).collect();
    client.send(paths.iter().map(|path| get(path, "site.test")).collect::<String>());
    for path in &paths {
        let answer = client.answer();
        assert!(answer.status() == 200 && answer.text().starts_with(&format!("GET {path} ")), "{}", answer.text());
    }
    drop(client);
    let records = lab.records();
    assert_eq!(inner(&records, "open").len(), paths.len());
}
