//! The questions of the command line at the console: the same answers, within bounds, and on record.

use std::process::Command;

use serde_json::Value;

use crate::console::{Visitor, address, gate, indexed, visitor};
use crate::gate::{Gate, records};
use crate::origin::Origin;

/// As the command line answers.
fn asked(gate: &Gate, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sekisho"));
    let output = command.arg("review").args(arguments).arg("--data-dir").arg(gate.data_dir()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn answer(gate: &Gate, arguments: &[&str]) -> Value {
    serde_json::from_str(&asked(gate, &[arguments, &["--format", "json"]].concat())).unwrap()
}

/// The texts of a column of a table of an answer.
fn column<'a>(answer: &'a Value, table: &str, key: &str) -> Vec<&'a str> {
    let rows = answer["tables"][table]["rows"].as_array().unwrap_or_else(|| panic!("no {table} in {answer:#}"));
    rows.iter().map(|row| row[key].as_str().unwrap()).collect()
}

/// A table of a page, by the name that it is called by.
fn table<'a>(page: &'a str, name: &str) -> &'a str {
    let (_, rest) = page.split_once(&format!("<h2>{name}</h2>")).unwrap_or_else(|| panic!("no {name} in {page}"));
    rest.split_once("</section>").unwrap().0
}

fn rows(table: &str) -> usize {
    table.split_once("<tbody>").map_or(0, |(_, rows)| rows.matches("<tr>").count())
}

/// A gate that let out two requests, refused one, and tried a port at which nobody is.
fn used(origin: &Origin) -> Gate {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let policy = format!(
        "{}[[rule]]\nname = \"closed\"\nhosts = [\"127.0.0.1\"]\nports = [{}]\nprivate = [\"127.0.0.0/8\"]\nverdict = \"allow\"\n",
        origin.policy(),
        closed.port()
    );
    let gate = gate(&policy, "[detect]\ntime_zone = \"Asia/Tokyo\"\n");
    let get = |target: &str, host: &str| {
        gate.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
    };
    let host = origin.address.to_string();
    for path in ["/orders/17", "/orders/18"] {
        assert!(get(&format!("http://{host}{path}"), &host).starts_with("HTTP/1.1 200 "));
    }
    assert!(get("http://b.example/", "b.example").starts_with("HTTP/1.1 403 "));
    let failed = get(&format!("http://{closed}/"), &closed.to_string());
    assert!(failed.starts_with("HTTP/1.1 502 "), "{failed}");
    indexed(&gate);
    gate
}

/// The form's token, and what is sent with it.
fn post(visitor: &mut Visitor, way: &str, form: &[(&str, &str)]) -> crate::peer::Message {
    let token = visitor.token_at(way);
    visitor.post(way, &[&[("token", token.as_str())], form].concat(), "")
}

#[test]
fn from_any_row_the_console_leads_to_what_is_like_it_and_around_it_as_the_command_line_does() {
    let origin = Origin::start();
    let mut gate = used(&origin);
    let mut analyst = visitor(&gate, "analyst");
    let errors = analyst.get("/errors").text();
    let told = answer(&gate, &["errors"]);
    // A time is one of the site's zone, with its offset.
    let last = table(&errors, "Clients").rsplit_once("<time datetime=\"").unwrap().1;
    let (utc, rest) = last.split_once("\">").unwrap();
    let local: jiff::Timestamp = rest.split_once("</time>").unwrap().0.parse().unwrap();
    assert_eq!(local.as_second(), utc.parse::<jiff::Timestamp>().unwrap().as_second(), "{last}");
    assert!(rest.split_once("</time>").unwrap().0.ends_with("+09:00"), "{rest}");
    assert_eq!(column(&told, "clients", "client"), ["127.0.0.1"]);
    for name in ["Clients", "Hosts", "How they ended"] {
        assert_eq!(rows(table(&errors, name)), 1, "{name}: {errors}");
    }
    assert!(table(&errors, "How they ended").contains("refused"), "{errors}");

    let id = first_id(&gate);
    // Each row of a list leads there.
    let blocked = analyst.get("/blocked").text();
    let refused = column(&answer(&gate, &["blocked"]), "list", "id")[0].to_owned();
    assert!(blocked.contains(&format!("href=\"/around?id={refused}\"")), "{blocked}");
    let viewers = visitor(&gate, "viewer").get("/blocked").text();
    assert!(viewers.contains(&refused) && !viewers.contains("/around?"), "{viewers}");

    let around = analyst.get(&format!("/around?id={id}&minutes=5")).text();
    let told = answer(&gate, &["around", &id, "5m"]);
    let ids = column(&told, "exchanges", "id");
    assert_eq!((ids.len(), rows(table(&around, "Exchanges"))), (4, 4), "{around}");
    for id in &ids {
        assert!(table(&around, "Exchanges").contains(id), "{id}: {around}");
    }
    for by in ["host", "domain", "network", "path", "size", "minute", "client"] {
        assert!(around.contains(&format!("href=\"/like?id={id}&amp;by={by}\"")), "{by}: {around}");
        assert!(blocked.contains(&format!("href=\"/like?id={refused}&amp;by={by}\"")), "{by}: {blocked}");
        let told = answer(&gate, &["like", &id, "--by", by]);
        let page = analyst.get(&format!("/like?id={id}&by={by}")).text();
        let ids = column(&told, "exchanges", "id");
        assert!(!ids.is_empty(), "{by}: {told:#}");
        assert_eq!(rows(table(&page, "Exchanges")), ids.len(), "{by}: {page}");
        assert!(ids.iter().all(|id| table(&page, "Exchanges").contains(id)), "{by}: {page}");
    }
    // It has no JA4, and says so; nor is there anything of what is not named.
    for (way, status, words) in [
        (format!("/like?id={id}&by=ja4"), 404, "no ja4 to be like"),
        (format!("/like?id={id}&by=colour"), 404, "Nothing is named"),
        ("/like?by=host".to_owned(), 404, "Nothing is named"),
        ("/around?id=01K8ZYA6M3Q".to_owned(), 404, "is in the index"),
        ("/around".to_owned(), 200, "number of a record"),
        (format!("/like?id={id}&by=ja4&lang=ja"), 404, "この交換には、比べる値がありません。"),
        ("/around?id=01K8ZYA6M3Q&lang=ja".to_owned(), 404, "その識別子は索引にありません。"),
        ("/client?name=nobody&lang=en".to_owned(), 404, "There is no such client or device."),
        ("/host?name=a%20b".to_owned(), 404, "That is no host."),
    ] {
        let answer = analyst.get(&way);
        assert_eq!(answer.status(), status, "{way}: {}", answer.text());
        assert!(answer.text().contains(words), "{way}: {}", answer.text());
    }

    assert_eq!(gate.end("-TERM"), Some(0));
    let all = records(&gate.data_dir());
    let asked = |question: &str| {
        let of = all
            .iter()
            .find(|one| one["kind"] == "lookup" && one["question"] == question && one["console"] == "analyst");
        of.unwrap_or_else(|| panic!("{question} is not on record")).clone()
    };
    assert_eq!(asked("console around")["client"], "127.0.0.1");
    assert_eq!(asked(&format!("console like {id} by client"))["client"], "127.0.0.1");
    assert!(asked(&format!("console like {id} by host"))["client"].is_null());
    assert!(asked("console errors")["client"].is_null());
}

/// The exchange that came first.
fn first_id(gate: &Gate) -> String {
    let all = records(&gate.data_dir());
    let first = all.iter().find(|record| record["kind"] == "exchange" && record["event"] == "open").unwrap();
    first["id"].as_str().unwrap().to_owned()
}

#[test]
fn a_sweep_at_the_console_finds_what_the_command_line_finds_and_takes_no_longer_list_than_it_says() {
    let origin = Origin::start();
    let mut gate = used(&origin);
    let mut analyst = visitor(&gate, "analyst");
    let list = format!(
        "# of a feed\nb[.]example\nhxxp://{}/orders/17\n198.51.100.7\n<b>no indicator</b>\n{}\n",
        origin.address,
        "ab".repeat(32)
    );
    let file = gate.directory.path().join("list.txt");
    std::fs::write(&file, &list).unwrap();
    let told = answer(&gate, &["sweep", file.to_str().unwrap()]);
    let found = column(&told, "hits", "indicator");
    assert!(found.len() == 2 && found.iter().any(|one| one.ends_with("/orders/17")), "{told:#}");
    let answered = post(&mut analyst, "/sweep", &[("list", &list)]);
    assert_eq!(answered.status(), 200, "{}", answered.text());
    let page = answered.text();
    let hits = table(&page, "Hits");
    assert_eq!(rows(hits), found.len(), "{page}");
    assert!(found.iter().all(|one| hits.contains(one)), "{page}");
    assert!(table(&page, "Not understood").contains("&lt;b&gt;no indicator&lt;/b&gt;"), "{page}");
    assert!(page.contains("b[.]example"), "the list stands there still: {page}");
    // As long as it may be, and longer; a value is three bytes a letter in a form of this test.
    let long = |bytes: usize| "x\n".repeat(bytes / 6);
    assert_eq!(post(&mut analyst, "/sweep", &[("list", &long(1_000_000))]).status(), 200);
    assert_eq!(post(&mut analyst, "/sweep", &[("list", &long(1_060_000))]).status(), 413);
    assert_eq!(post(&mut analyst, "/sweep", &[("list", "")]).status(), 404);
    assert_eq!(analyst.post("/sweep", &[("list", &list)], "").status(), 403, "a form of nobody's session");
    assert_eq!(gate.end("-TERM"), Some(0));
    let all = records(&gate.data_dir());
    let swept =
        all.iter().filter(|one| one["question"].as_str().is_some_and(|asked| asked.starts_with("console sweep")));
    let asked: Vec<_> = swept.map(|one| one["question"].as_str().unwrap()).collect();
    assert_eq!(asked, ["console sweep of 4 indicators", "console sweep of 0 indicators"]);
}

/// Without numbers, hashes and ids, in which two reports differ that are written one after the other.
fn without_numbers(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_ascii_hexdigit()).collect()
}

#[test]
fn the_months_report_is_had_at_the_console_as_the_command_line_writes_it() {
    let origin = Origin::start();
    let mut gate = used(&origin);
    let mut analyst = visitor(&gate, "analyst");
    let now = records(&gate.data_dir()).last().unwrap()["time"].as_str().unwrap().to_owned();
    let month = &now[..7];
    assert_eq!(analyst.get(&format!("/report/page?month={month}")).status(), 404, "nobody has asked for one yet");
    for bad in ["2026-13", "november", ""] {
        assert_eq!(post(&mut analyst, "/report", &[("month", bad)]).status(), 400, "{bad}");
    }
    indexed(&gate);
    let asked_for = post(&mut analyst, "/report", &[("month", month)]);
    assert_eq!((asked_for.status(), asked_for.field("location")), (303, Some("/report")), "{}", asked_for.text());
    let shown = loop {
        let shown = analyst.get("/report").text();
        if !shown.contains("Being written") {
            break shown;
        }
    };
    let way = format!("/report/page?month={month}");
    assert!(shown.contains(&format!("href=\"{way}\" download")) && shown.contains("The journal verifies."), "{shown}");
    let report = analyst.get(&way);
    let named = format!("attachment; filename=\"sekisho-{month}.html\"");
    assert_eq!((report.status(), report.field("content-disposition")), (200, Some(&*named)));
    let report = report.text();
    indexed(&gate);
    let expected = asked(&gate, &["report", "--month", month]);
    assert_eq!(without_numbers(&report), without_numbers(&expected));
    assert!(report.contains(&format!("Evidence of {month}")) && report.contains("b.example"), "{report}");
    assert_eq!(analyst.get("/report/page?month=1999-01").status(), 404, "that is another one");
    assert_eq!(analyst.post("/report", &[("month", month)], "").status(), 403, "a form of nobody's session");
    assert_eq!(gate.end("-TERM"), Some(0));
    let all = records(&gate.data_dir());
    for question in [format!("console report {month}"), format!("console report {month} taken")] {
        let is_it = |one: &&Value| one["question"] == *question && one["console"] == "analyst";
        assert!(all.iter().any(|one| is_it(&one)), "{question}");
    }
}

#[test]
fn who_may_not_look_people_up_sees_findings_and_failures_alone_of_these_pages() {
    let origin = Origin::start();
    let gate = used(&origin);
    let id = first_id(&gate);
    let ways = [
        "/beacons".to_owned(),
        "/tunnels".to_owned(),
        "/errors".to_owned(),
        format!("/around?id={id}"),
        format!("/like?id={id}&by=host"),
        "/sweep".to_owned(),
        "/report".to_owned(),
        "/report/page?month=2026-11".to_owned(),
    ];
    for (name, statuses) in [
        ("viewer", [200, 200, 200, 403, 403, 403, 403, 403]),
        ("analyst", [200, 200, 200, 200, 200, 200, 200, 404]),
        ("admin", [200, 200, 200, 200, 200, 200, 200, 404]),
    ] {
        let mut one = visitor(&gate, name);
        assert_eq!(ways.each_ref().map(|way| one.get(way).status()), statuses, "{name}");
        let menu = one.get("/").text();
        let is_there = |way: &str| menu.contains(&format!("<li><a href=\"{way}\""));
        assert!(is_there("/errors"), "{menu}");
        for way in ["/around", "/sweep", "/report"] {
            assert_eq!(is_there(way), name != "viewer", "{way}: {menu}");
        }
    }
    let mut viewer = visitor(&gate, "viewer");
    let token = viewer.token_at("/");
    for (way, field, value) in [("/sweep", "list", "b.example"), ("/report", "month", "2026-11")] {
        assert_eq!(viewer.post(way, &[("token", &token), (field, value)], "").status(), 403, "{way}");
    }
    assert_eq!(Visitor::new(address(&gate)).get("/sweep").status(), 303);
}
