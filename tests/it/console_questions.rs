//! The questions of the command line at the console: the same answers, within bounds, and on record.

use std::process::Command;

use serde_json::Value;

use sekisho::evidence::{Event, Exchange, Flow, FlowKey, FlowSource, FlowState, Record, Target};
use sekisho::facts::{ExchangeId, Timestamp};

use crate::browsers::console::write_journal;
use crate::console::{Visitor, address, gate, gate_on, indexed, visitor};
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
    assert_eq!(post(&mut analyst, "/sweep", &[("list", &list.replace('\n', "\r\n"))]).status(), 200);
    // As long as it may be, and longer; a value is three bytes a letter in a form of this test.
    let long = |bytes: usize| "x\n".repeat(bytes / 6);
    assert_eq!(post(&mut analyst, "/sweep", &[("list", &long(1_000_000))]).status(), 200);
    assert_eq!(post(&mut analyst, "/sweep", &[("list", &long(1_060_000))]).status(), 413);
    assert_eq!(post(&mut analyst, "/sweep", &[("list", "")]).status(), 404);
    assert_eq!(analyst.post("/sweep", &[("list", &list)], "").status(), 403, "a form of nobody's session");
    assert_eq!(gate.end("-TERM"), Some(0));
    let all = records(&gate.data_dir());
    let asked = |begins: &str| {
        let asked = all.iter().filter_map(|one| one["question"].as_str()).filter(|asked| asked.starts_with(begins));
        asked.map(str::to_owned).collect::<Vec<_>>()
    };
    // By its hash one sees that it was the same list, though a browser ends lines in another way.
    let mark = |asked: &str| asked.rsplit_once(" (blake3 ").unwrap().1.to_owned();
    let [by_command] = asked("review sweep").try_into().unwrap();
    let [first, again, empty] = asked("console sweep").try_into().unwrap();
    assert_eq!([&*first, &*again], [&*format!("console sweep of 4 indicators (blake3 {}", mark(&by_command)); 2]);
    assert!(empty.starts_with("console sweep of 0 indicators (blake3 ") && mark(&empty) != mark(&first), "{empty}");
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

const DAY_US: u64 = 86_400_000_000;

/// Something that was refused then.
fn refusal(at: u64, client: &str, host: &str) -> (u64, Record) {
    let mut record = Exchange::new(Event::Refused, ExchangeId(at));
    (record.client, record.verdict) = (Some(client.into()), Some("deny"));
    (record.method, record.reason) = (Some("GET".into()), Some("no_rule".into()));
    record.target = Some(Target {
        scheme: "http",
        host: host.into(),
        port: 80,
        path: Some("/".into()),
        query_bytes: None,
        query_hash: None,
        query: None,
    });
    (at, Record::Exchange(Box::new(record)))
}

#[test]
fn a_range_ends_where_the_command_lines_does_and_what_a_page_leads_to_is_of_that_time() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let today = u64::try_from(now.as_micros()).unwrap() / DAY_US * DAY_US;
    // The last microsecond of a day, and the first of the next one.
    let of = |days: u64, host: &str| refusal(today - days * DAY_US, "10.20.1.5", host);
    let last = refusal(today - 9 * DAY_US - 1, "10.20.1.5", "last.example");
    let all = [of(200, "old.example"), of(12, "before.example"), of(11, "first.example"), last, of(9, "after.example")];
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("data");
    write_journal(&path, &all);
    let mut gate = gate_on(&path, "", "[detect]\nlive = false\n");
    indexed(&gate);
    let date = |days: u64| {
        let at = jiff::Timestamp::from_microsecond(i64::try_from(today - days * DAY_US).unwrap()).unwrap();
        at.to_string()[..10].to_owned()
    };
    let mut analyst = visitor(&gate, "analyst");
    let hosts = |page: &str| {
        let hosts = table(page, "Hosts");
        let all = ["old", "before", "first", "last", "after"];
        all.into_iter().filter(|host| hosts.contains(&format!(">{host}.example<"))).collect::<Vec<_>>()
    };
    // Two days, of which the tenth day before today is the last: at once after the same days up to now.
    assert!(analyst.get("/blocked?days=2").text().contains("None."));
    let page = analyst.get(&format!("/blocked?days=2&until={}", date(10))).text();
    assert_eq!(hosts(&page), ["first", "last"], "{page}");
    let told = answer(&gate, &["blocked", "--since", &date(11), "--until", &date(9), "--tz", "UTC"]);
    let mut expected = column(&told, "hosts", "host");
    expected.sort_unstable();
    assert_eq!(expected, ["first.example", "last.example"], "{told:#}");
    assert_eq!(hosts(&analyst.get(&format!("/blocked?days=3&until={}", date(10))).text()), ["before", "first", "last"]);
    assert_eq!(hosts(&analyst.get("/blocked?days=400&until=").text()).len(), 5, "no last day is none");
    // A day that has not come yet is today; one before all evidence has nothing.
    let tomorrow = jiff::Timestamp::from_microsecond(i64::try_from(today + DAY_US).unwrap()).unwrap().to_string();
    let page = analyst.get(&format!("/blocked?days=10&until={}", &tomorrow[..10])).text();
    assert_eq!(hosts(&page), ["after"], "{page}");
    assert!(page.contains(&format!("value=\"{}\"", date(0))), "{page}");
    assert!(analyst.get("/blocked?days=400&until=1970-01-01").text().contains("None."));
    for (bad, language, words) in [
        ("2026-13-01", "en", "That is no day"),
        ("2026-11-1", "en", "That is no day"),
        ("1969-12-31", "en", "That is no day"),
        ("today", "en", "That is no day"),
        ("2026-11-01T08:00:00Z", "en", "That is no day"),
        ("%3Cb%3E", "ja", "日付を読めません。"),
        (
            "%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5%E6%97%A5",
            "en",
            "That is no day",
        ),
    ] {
        for way in ["/blocked", "/policy", "/sweep", "/client"] {
            let answer = analyst.get(&format!("{way}?name=10.20.1.5&until={bad}&lang={language}"));
            assert_eq!(answer.status(), 400, "{way} {bad}");
            assert!(answer.text().contains(words) && !answer.text().contains("<b>"), "{bad}: {}", answer.text());
        }
    }
    // From there to the host, and to the client, of whom the last quarter of a year says nothing of then.
    let until = date(190);
    let page = analyst.get(&format!("/blocked?days=30&until={until}&lang=en")).text();
    assert_eq!(hosts(&page), ["old"], "{page}");
    for way in
        [format!("/host?name=old.example&amp;until={until}"), format!("/client?name=10.20.1.5&amp;until={until}")]
    {
        assert!(page.contains(&format!("href=\"{way}\"")), "{way}: {page}");
        let led = analyst.get(&way.replace("&amp;", "&")).text();
        assert!(led.contains("no_rule") || led.contains("old.example"), "{way}: {led}");
        assert!(led.contains(&date(200)) && !led.contains(&date(12)), "{way}: {led}");
    }
    assert!(page.contains(&format!("href=\"/blocked?days=30&amp;until={until}&amp;lang=ja\"")), "{page}");
    let findings = analyst.get(&format!("/findings?days=30&until={until}")).text();
    assert!(findings.contains(&format!("href=\"/beacons?days=30&amp;until={until}\"")), "{findings}");
    // So is a sweep.
    let form = [("list", "old.example\nfirst.example"), ("days", "30"), ("until", until.as_str())];
    let swept = post(&mut analyst, "/sweep", &form).text();
    assert_eq!(rows(table(&swept, "Hits")), 1, "{swept}");
    assert!(swept.contains(&format!("href=\"/client?name=10.20.1.5&amp;until={until}\"")), "{swept}");
    assert_eq!(gate.end("-TERM"), Some(0));
    // What was looked up is of that time.
    let all = records(&gate.data_dir());
    let asked = all.iter().rfind(|one| one["question"] == "console client").unwrap();
    let (since, end) = (asked["since"].as_str().unwrap(), asked["until"].as_str().unwrap());
    assert_eq!((&since[..10], &end[..10]), (&*date(190 + 91), &*date(189)), "{asked:#}");
}

#[test]
fn an_address_that_was_tried_past_the_proxy_leads_to_all_who_tried_it() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = u64::try_from(now.as_micros()).unwrap();
    let tried = |client: &str, address: &str| {
        let mut key = FlowKey::of(FlowSource::Nflog);
        (key.client, key.address) = (Some(client.parse().unwrap()), Some(address.parse().unwrap()));
        (key.port, key.state) = (Some(443), Some(FlowState::Refused));
        let (first, last) = (Timestamp(now), Timestamp(now));
        let flow =
            Flow { key, count: 1, packets: None, bytes_up: None, bytes_down: None, rolled_up: None, first, last };
        (now, Record::Flow(Box::new(flow)))
    };
    let addresses = ["203.0.113.9", "2001:db8::9"];
    let all = addresses.map(|address| ["10.20.1.5", "10.20.1.6"].map(|client| tried(client, address)));
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join("data");
    write_journal(&path, &all.into_iter().flatten().collect::<Vec<_>>());
    let gate = gate_on(&path, "", "[detect]\nlive = false\n");
    indexed(&gate);
    let mut analyst = visitor(&gate, "analyst");
    let page = analyst.get("/client?name=10.20.1.5").text();
    let tries = table(&page, "Past the proxy");
    for (address, way) in addresses.into_iter().zip(["203.0.113.9", "%5B2001%3Adb8%3A%3A9%5D"]) {
        assert!(tries.contains(&format!("<a href=\"/host?name={way}\"><bdi>{address}</bdi></a>")), "{tries}");
        let led = analyst.get(&format!("/host?name={way}"));
        assert_eq!(led.status(), 200, "{}", led.text());
        let led = led.text();
        let who = table(&led, "Past the proxy");
        assert!(who.contains(">10.20.1.5<") && who.contains(">10.20.1.6<"), "{led}");
    }
}
