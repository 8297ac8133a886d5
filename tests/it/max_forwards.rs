//! Max-Forwards on TRACE and OPTIONS (RFC 9110 §7.6.2): what may go no further ends here, on record.

use crate::gate::Gate;
use crate::name_server::NameServer;
use crate::origin::Origin;

fn request(method: &str, at: &str, lines: &str) -> String {
    format!("{method} http://{at}/p HTTP/1.1\r\nHost: {at}\r\n{lines}\r\n")
}

#[test]
fn what_may_go_no_further_is_answered_by_the_gate_and_dials_nothing() {
    let origin = Origin::start();
    let names = NameServer::pointing_to(origin.address.ip());
    let mut gate = Gate::configured(&origin.rule_for("*.test", ""), &names.config());
    let at = format!("a.test:{}", origin.address.port());
    let mut client = gate.client();
    client.send(request("OPTIONS", &at, "Max-Forwards: 0\r\n"));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.field("content-length"), answer.field("allow")), (200, Some("0"), None));
    assert_eq!(answer.all("via"), ["1.1 sekisho"]);
    let lines =
        "X-One: 1\r\nMax-Forwards: 000\r\nCookie: secret=1\r\nAuthorization: Basic secret\r\nX-Token: secret\r\n";
    client.send(request("TRACE", &at, lines));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.field("content-type")), (200, Some("message/http")), "{}", answer.head);
    assert_eq!(answer.text(), request("TRACE", &at, "X-One: 1\r\nMax-Forwards: 000\r\n"), "on the same connection");
    drop(client);
    assert_eq!((origin.connections(), names.asked().len()), (0, 0));
    let records = gate.records();
    assert!(!records.iter().any(|record| record["event"] == "open"), "nothing left: {records:#?}");
    let answered: Vec<_> = records.iter().filter(|record| record["event"] == "answered").collect();
    assert_eq!(answered.len(), 2, "{records:#?}");
    for record in answered {
        assert_eq!((&record["verdict"], &record["reason"]), (&"allow".into(), &"max_forwards".into()), "{record}");
        assert_eq!((&record["rule"], &record["host"]), (&"origin".into(), &"a.test".into()), "{record}");
        assert_eq!(record["status"], 200);
    }
}

#[test]
fn a_denied_target_is_denied_also_where_nothing_would_have_been_forwarded() {
    let mut gate = Gate::start("");
    for method in ["OPTIONS", "TRACE"] {
        let mut client = gate.client();
        client.send(request(method, "a.example", "Max-Forwards: 0\r\n"));
        let answer = client.answer();
        assert!(answer.status() == 403 && answer.text().contains("no_rule"), "{}", answer.text());
    }
    let refused = gate.events("refused");
    assert!(refused.len() == 2 && refused.iter().all(|record| record["reason"] == "no_rule"), "{refused:#?}");
}

#[test]
fn what_may_go_further_is_passed_on_with_one_less_in_the_same_place() {
    let origin = Origin::start();
    let gate = Gate::start(&origin.policy());
    let at = origin.address.to_string();
    for (method, came, goes) in
        [("OPTIONS", "1", "0"), ("TRACE", "10", "9"), ("OPTIONS", "999999999", "999999998"), ("TRACE", "007", "6")]
    {
        let mut client = gate.client();
        client.send(request(method, &at, &format!("X-One: 1\r\nmax-FORWARDS: {came}\r\nX-Two: 2\r\n")));
        assert_eq!(client.answer().status(), 200);
        let seen = origin.requests().pop().unwrap();
        assert_eq!(seen.all("max-forwards"), [goes], "{}", seen.head);
        let names: Vec<_> = seen.names().into_iter().filter(|name| *name != "Host" && *name != "Via").collect();
        assert_eq!(names, ["X-One", "max-FORWARDS", "X-Two"], "{}", seen.head);
    }
}

#[test]
fn for_other_methods_the_field_means_nothing_and_passes_as_it_is() {
    let origin = Origin::start();
    let gate = Gate::start(&origin.policy());
    for method in ["GET", "DELETE", "options"] {
        for value in ["0", "7", "many", "-1"] {
            let mut client = gate.client();
            client.send(request(method, &origin.address.to_string(), &format!("Max-Forwards: {value}\r\n")));
            assert_eq!(client.answer().status(), 200);
            assert_eq!(origin.requests().pop().unwrap().all("max-forwards"), [value], "{method}");
        }
    }
}

#[test]
fn a_gate_without_via_does_not_name_itself_and_a_body_ends_the_connection() {
    let origin = Origin::start();
    let gate = Gate::configured(&origin.policy(), "[gate]\nvia = false\n");
    let mut client = gate.client();
    let lines = "Max-Forwards: 0\r\nContent-Length: 3\r\n";
    client.send(format!("{}abc", request("OPTIONS", &origin.address.to_string(), lines)));
    let answer = client.answer();
    assert_eq!((answer.status(), answer.field("via")), (200, None), "{}", answer.head);
    assert!(answer.closes() && client.rest().0.is_empty(), "{}", answer.head);
    assert_eq!(origin.connections(), 0);
}
