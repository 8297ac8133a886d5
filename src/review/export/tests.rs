use crate::evidence::{Certainty, Event};
use crate::facts::Timestamp;

use super::super::lines::{BEGUN, Lines, SECOND, allowed_by, denied_for};
use super::*;

/// Five exchanges of three clients: a request, a refusal, a tunnel within which another begins and ends, one that stays open.
fn journal() -> Lines {
    let mut lines = Lines::new();
    let first = lines.ask(Event::Open, 5, "GET http://a.example/x", |record| {
        allowed_by("portal")(record);
        record.user = Some("kei".into());
        record.user_agent = Some("=cmd\u{202e}\t1".into());
    });
    lines.later(Event::Close, first, |record| {
        (record.status, record.bytes_up, record.bytes_down) = (Some(200), Some(120), Some(4000));
        (record.total_us, record.content_type) = (Some(1_500_000), Some("text/html".into()));
    });
    lines.ask(Event::Refused, 6, "CONNECT b.example:443", |record| {
        denied_for("no_rule")(record);
        record.status = Some(403);
    });
    let tunnel = lines.ask(Event::Open, 7, "CONNECT c.example:443", allowed_by("c"));
    let left = lines.ask(Event::Open, 7, "CONNECT d.example:8443", allowed_by("d"));
    lines.later(Event::Established, tunnel, |record| {
        record.sni = Some("c.example".into());
        record.dialled = Some("192.0.2.7:443".to_owned());
    });
    lines.later(Event::Close, tunnel, |record| {
        (record.bytes_up, record.bytes_down, record.total_us) = (Some(9), Some(10), Some(2_000_000));
    });
    let _ = left;
    lines.raw(b"{\"no\":\"record\"}\n");
    lines
}

fn exported(form: Form, filter: &Filter) -> (String, Exported) {
    let (_directory, mut reader) = journal().reader();
    let mut out = Vec::new();
    let exported = export(&mut reader, form, filter, &mut out, |_| {}).unwrap();
    (String::from_utf8(out).unwrap(), exported)
}

#[test]
fn exchanges_are_written_whole_when_they_have_ended() {
    let (text, exported) = exported(Form::Csv, &Filter::default());
    assert_eq!(exported, Exported { written: 4, unfinished: 1, records: 8, unreadable: 1 });
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], COLUMNS);
    let column = |name| COLUMNS.iter().position(|column| *column == name).unwrap();
    let cells = |name| rows[1..].iter().map(|row| row[column(name)]).collect::<Vec<_>>();
    assert_eq!(cells("host"), ["a.example", "b.example", "c.example", "d.example"]);
    assert_eq!(cells("seq"), ["1", "3", "4", "5"]);
    assert_eq!(cells("bytes_down"), ["4000", "", "10", ""]);
    assert_eq!(cells("sni"), ["", "", "c.example", ""]);
    assert_eq!(cells("reason"), ["rule", "no_rule", "rule", "rule"]);
    assert_eq!(cells("ended").iter().filter(|cell| cell.is_empty()).count(), 1);
    assert_eq!(cells("user_agent")[0], "\"'=cmd\\u{202e}\\u{9}1\"", "neither a formula nor what turns text around");
}

#[test]
fn squid_tells_of_the_end_and_of_what_was_refused() {
    let (text, _) = exported(Form::Squid, &Filter::default());
    let ended = |seconds: u64| (BEGUN + seconds * SECOND) / SECOND;
    let expected = format!(
        "{}.500   1500 10.20.1.5 TCP_MISS/200 4000 GET http://a.example/x kei HIER_NONE/- text/html\n\
         {}.000      0 10.20.1.6 TCP_DENIED/403 0 CONNECT b.example:443 - HIER_NONE/- -\n\
         {}.000   2000 10.20.1.7 TCP_TUNNEL/200 10 CONNECT c.example:443 - HIER_DIRECT/192.0.2.7 -\n\
         {}.000      0 10.20.1.7 TCP_TUNNEL/200 0 CONNECT d.example:8443 - HIER_NONE/- -\n",
        ended(2),
        ended(3),
        ended(6),
        ended(5),
    );
    assert_eq!(text, expected);
}

#[test]
fn what_leaves_can_be_chosen() {
    let hosts = |filter: &Filter| {
        let (text, exported) = exported(Form::Csv, filter);
        let at = COLUMNS.iter().position(|column| *column == "host").unwrap();
        let hosts: Vec<_> = text.lines().skip(1).map(|line| line.split(',').nth(at).unwrap()[..1].to_owned()).collect();
        assert_eq!(exported.written, hosts.len() as u64);
        hosts.concat()
    };
    let base = Filter::default;
    assert_eq!(hosts(&base()), "abcd");
    assert_eq!(hosts(&Filter { clients: vec!["10.20.1.6/31".parse().unwrap()], ..base() }), "bcd");
    assert_eq!(hosts(&Filter { users: vec!["kei".to_owned()], ..base() }), "a");
    assert_eq!(hosts(&Filter { hosts: vec!["c.example".to_owned()], ..base() }), "c");
    assert_eq!(hosts(&Filter { hosts: vec!["*.example".to_owned()], ..base() }), "abcd");
    assert_eq!(hosts(&Filter { hosts: vec!["*.a.example".to_owned()], ..base() }), "", "what is below, not the name");
    assert_eq!(hosts(&Filter { verdict: Some(Verdict::Denied), ..base() }), "b");
    assert_eq!(hosts(&Filter { reasons: vec!["no_rule".to_owned()], ..base() }), "b");
    let at = |seconds| Some(Timestamp(BEGUN + seconds * SECOND));
    assert_eq!(hosts(&Filter { since: at(3), until: at(5), ..base() }), "bc");
    let span = |from, until| DeviceSpan {
        client: "10.20.1.6/31".parse().unwrap(),
        from: Timestamp(BEGUN + from * SECOND),
        until: Timestamp(BEGUN + until * SECOND),
        certainty: Certainty::Known,
    };
    assert_eq!(hosts(&Filter { spans: vec![span(0, 3600)], ..base() }), "bcd");
    assert_eq!(hosts(&Filter { spans: vec![span(3, 5)], ..base() }), "bc", "while it had the address");
}

#[test]
fn records_leave_as_they_lie_with_all_that_belongs_to_an_exchange() {
    let (all, exported_all) = exported(Form::Lines, &Filter::default());
    assert_eq!((exported_all.written, all.lines().count()), (7, 7));
    let (text, _) = exported(Form::Lines, &Filter { hosts: vec!["c.example".to_owned()], ..Filter::default() });
    let events: Vec<_> =
        ["open", "established", "close"].iter().map(|event| format!("\"event\":\"{event}\"")).collect();
    assert_eq!(text.lines().count(), 3, "{text}");
    assert!(text.lines().zip(&events).all(|(line, event)| line.contains(event) && all.contains(line)), "{text}");
}

#[test]
fn zeek_reads_what_was_written_for_it() {
    let (text, _) = exported(Form::Zeek, &Filter::default());
    let mut reader = crate::formats::Reader::new();
    let mut seen = Vec::new();
    for line in text.lines() {
        if let crate::formats::Line::Observed(observed) = reader.read(line.as_bytes()) {
            seen.push((observed.client.to_owned(), observed.host.to_owned(), observed.port, observed.status));
        }
    }
    let tunnel = |client: &str, host: &str, port, status| (client.to_owned(), host.to_owned(), port, status);
    assert_eq!(
        seen,
        [
            tunnel("10.20.1.5", "a.example", 80, 200),
            tunnel("10.20.1.6", "b.example", 443, 403),
            tunnel("10.20.1.7", "c.example", 443, 200),
            tunnel("10.20.1.7", "d.example", 8443, 200),
        ]
    );
}

#[test]
fn a_log_of_connections_says_how_each_came_out() {
    let (http, _) = exported(Form::Zeek, &Filter::default());
    let (text, exported) = exported(Form::ZeekConn, &Filter::default());
    assert_eq!((exported.written, exported.unfinished), (4, 1));
    let rows: Vec<Vec<&str>> =
        text.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect()).collect();
    let columns = |of: [usize; 6]| rows.iter().map(|row| of.map(|at| row[at])).collect::<Vec<_>>();
    // Who, where it was dialled, what, how long and how it came out.
    assert_eq!(
        columns([2, 4, 5, 7, 8, 11]),
        [
            ["10.20.1.5", "-", "80", "http", "1.500000", "OTH"],
            ["10.20.1.6", "-", "443", "-", "-", "REJ"],
            ["10.20.1.7", "192.0.2.7", "443", "-", "2.000000", "SF"],
            ["10.20.1.7", "-", "8443", "-", "-", "S1"],
        ]
    );
    let uids = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.split('\t').nth(1).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(uids(&text), uids(&http));
    assert!(uids(&text).iter().all(|uid| uid.len() == 12 && uid.starts_with('C')), "{text}");
}

#[test]
fn each_way_to_end_has_its_state_of_zeek() {
    for (by, how, dialled, expected) in [
        ("client", "closed", true, "SF"),
        ("origin", "complete", true, "SF"),
        ("client", "reset", true, "RSTO"),
        ("gate", "idle_limit", true, "RSTO"),
        ("origin", "reset", true, "RSTR"),
        ("parent", "reset", true, "RSTR"),
        ("origin", "connect_failed", true, "REJ"),
        ("origin", "connect_timeout", true, "S0"),
        ("dns", "dns_failed", false, "OTH"),
    ] {
        let mut lines = Lines::new();
        let one = lines.ask(Event::Open, 5, "GET http://a.example/x", |record| {
            allowed_by("portal")(record);
            record.client_port = Some(50_123);
            record.dialled = dialled.then(|| "[2001:db8::7]:80".to_owned());
        });
        lines.later(Event::Close, one, |record| {
            (record.closed_by, record.closed_how) = (Some(by), Some(how.into()));
        });
        let (_directory, mut reader) = lines.reader();
        let mut out = Vec::new();
        export(&mut reader, Form::ZeekConn, &Filter::default(), &mut out, |_| {}).unwrap();
        let text = String::from_utf8(out).unwrap();
        let row: Vec<_> = text.lines().last().unwrap().split('\t').collect();
        let address = if dialled { "2001:db8::7" } else { "-" };
        assert_eq!((row[3], row[4], row[11]), ("50123", address, expected), "{by} {how}");
    }
}
