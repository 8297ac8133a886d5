use std::net::{IpAddr, SocketAddr};

use tempfile::TempDir;

use crate::evidence::{Event, Flow, FlowKey, FlowSource, FlowState, Gap, Protocol, Record};
use crate::facts::Timestamp;
use crate::review::lines::{BEGUN, Lines, SECOND, allowed_by, denied_for, would_be_denied_for};
use crate::store::{INDEX_FILE, Index, reindex};

use super::ask::Part;
use super::*;

const DAY: u64 = 86_400;

fn flow(step: u64, at: u64) -> Record {
    let address = |last: u64| IpAddr::from([192, 0, 2, last as u8]);
    let time = Timestamp(BEGUN + at * SECOND);
    let key = FlowKey {
        client: Some(IpAddr::from([10, 20, 1, (step % 3) as u8 + 1])),
        address: Some(address(step % 4)),
        meant: (step % 4 == 3).then(|| SocketAddr::from((address(99), 8000 + (step % 2) as u16))),
        host: (step.is_multiple_of(5)).then(|| "h1.example".into()),
        port: Some(25),
        protocol: Some(Protocol::TCP),
        state: Some(if step.is_multiple_of(2) { FlowState::Refused } else { FlowState::Closed }),
        rule: (step.is_multiple_of(2)).then(|| "out-office".into()),
        ..FlowKey::of(if step.is_multiple_of(2) { FlowSource::Nflog } else { FlowSource::Conntrack })
    };
    let bytes_up = (step % 2 == 1).then_some(100 + step);
    let flow = Flow {
        key,
        count: 1 + step % 3,
        packets: None,
        bytes_up,
        bytes_down: bytes_up,
        rolled_up: None,
        first: time,
        last: time,
    };
    Record::Flow(Box::new(flow))
}

/// Four days of three clients: what is let out, what is refused, what fails, and what would be refused; and what they tried past
/// the proxy.
fn lines() -> Lines {
    let mut lines = Lines::new();
    for step in 0..80_u64 {
        let at = step * 4_000;
        lines.tell_at(at, &flow(step, at));
        let last = (step % 3) as u8 + 1;
        let host = format!("h{}.example", step % 7);
        match step % 5 {
            0 => _ = lines.ask_at(at, Event::Refused, last, &format!("CONNECT {host}:443"), denied_for("no_rule")),
            1 => {
                let url = format!("GET http://{host}/");
                _ = lines.ask_at(at, Event::Answered, last, &url, would_be_denied_for("no_rule"));
            }
            kind => {
                let id = lines.ask_at(at, Event::Open, last, &format!("GET http://{host}/a/{step}"), |record| {
                    allowed_by("office")(record);
                    record.user_agent = Some(format!("agent/{}", step % 4).as_str().into());
                    record.dialled = Some(format!("192.0.2.{}:80", step % 5));
                });
                lines.later(Event::Close, id, |record| {
                    (record.bytes_up, record.bytes_down) = (Some(10 + step), Some(100 * step));
                    record.closed_by = Some(if kind == 2 { "origin" } else { "client" });
                    record.closed_how = Some(if kind == 2 { "connect_timeout" } else { "end" }.into());
                });
            }
        }
    }
    lines
}

fn indexed(lines: &Lines) -> (TempDir, Index) {
    let (directory, _) = lines.reader();
    reindex(directory.path(), |_, _| {}).unwrap();
    let index = Index::open(directory.path()).unwrap();
    (directory, index)
}

fn range(from: u64, until: u64) -> Range {
    let time = |seconds: u64| Some(Timestamp(BEGUN + seconds * SECOND));
    Range { since: time(from), until: time(until) }
}

/// What was asked of each host, by name: requests in all, failed, denied, would, bytes up.
fn of_client(evidence: &Evidence<'_>, range: Range) -> Vec<Vec<Cell>> {
    let answer = client(evidence, "10.20.1.1", range, 1000).unwrap();
    let table = answer.table("destinations").unwrap();
    let mut rows: Vec<Vec<Cell>> = table.rows.clone();
    rows.sort_by_key(|row| format!("{:?}", row[0]));
    // Moments of a summary are those of records, of a part those of the exchanges: they are the same here.
    rows
}

#[test]
fn a_part_of_a_day_is_counted_as_its_summary_would_be() {
    let (_directory, index) = indexed(&lines());
    let evidence = Evidence::new(&index).unwrap();
    let whole = of_client(&evidence, Range::default());
    // A second before the first, and the end within the last day and behind all that counts.
    let last = 79 * 4_000 + 1;
    let mut parts: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    let sum = |rows: &[Vec<Cell>], into: &mut std::collections::BTreeMap<String, u64>| {
        for row in rows {
            for (column, cell) in row.iter().enumerate().skip(3) {
                if let Cell::Count(number) | Cell::Bytes(number) = cell {
                    *into.entry(format!("{:?} {column}", row[0])).or_default() += number;
                }
            }
        }
    };
    for border in [0, 4_000, 90_000, DAY, 2 * DAY + 1, 200_000] {
        parts.clear();
        sum(&of_client(&evidence, range(0, border)), &mut parts);
        sum(&of_client(&evidence, range(border, last)), &mut parts);
        let mut all = std::collections::BTreeMap::new();
        sum(&whole, &mut all);
        parts.retain(|_, number| *number > 0);
        all.retain(|_, number| *number > 0);
        assert_eq!(parts, all, "{border}");
    }
}

#[test]
fn what_was_stopped_is_summed_by_quarters_of_an_hour_and_rules_are_counted_by_them_as_one_by_one() {
    const QUARTER: u64 = 900;
    // On the first day from one o'clock on, so that quarters begin at multiples of 900 s.
    let mut lines = Lines::new();
    for (at, why) in [
        (0, "no_rule"),
        (QUARTER - 1, "no_rule"),
        (QUARTER, "no_rule"),
        (2 * QUARTER, ""),
        (2 * QUARTER + 1, "guard"),
        (DAY, "no_rule"),
    ] {
        match why {
            "" => lines.ask_at(at, Event::Open, 1, "GET http://a.example/", allowed_by("office")),
            why => lines.ask_at(at, Event::Refused, 1, "GET http://a.example/", denied_for(why)),
        };
    }
    let (_directory, index) = indexed(&lines);
    let evidence = Evidence::new(&index).unwrap();
    for (from, until, expected) in [
        (0, QUARTER, 2),
        (1, QUARTER, 2),
        (QUARTER, 2 * QUARTER, 1),
        (QUARTER - 1, QUARTER + 1, 2),
        (2 * QUARTER, DAY, 1),
        (0, DAY, 4),
        (0, DAY + QUARTER, 5),
        (DAY, 2 * DAY, 1),
        (2 * DAY, 3 * DAY, 0),
    ] {
        assert_eq!(stopped(&evidence, range(from, until)).unwrap(), expected, "{from} to {until}");
    }
    assert_eq!(stopped(&evidence, Range::default()).unwrap(), 5);
    let whole = rules(&evidence, Range::default(), 100).unwrap();
    let (first, last) = (BEGUN, BEGUN + (DAY + 1) * SECOND);
    let part = Range { since: Some(Timestamp(first)), until: Some(Timestamp(last)) };
    assert_eq!(whole.tables, rules(&evidence, part, 100).unwrap().tables);
    let [office] = &whole.tables[0].rows[..] else { panic!("{whole:#?}") };
    assert_eq!((&office[0], &office[2], &office[3]), (&Cell::text("office"), &Cell::Count(1), &Cell::Count(0)));
}

#[test]
fn what_is_missing_is_told_with_why_and_since_when_the_newest_first() {
    let mut lines = Lines::new();
    lines.ask_at(100, Event::Refused, 1, "GET http://a.example/", denied_for("no_rule"));
    for (at, cause, bytes, count) in [(500, "torn_tail", Some(17), None), (600, "flows_lost", None, Some(9))] {
        lines.tell_at(at, &Record::Gap(Gap { cause, detail: "<b>why</b>".into(), bytes, count }));
    }
    let (_directory, index) = indexed(&lines);
    let evidence = Evidence::new(&index).unwrap();
    let answer = gaps(&evidence, Range::default(), 10).unwrap();
    assert_eq!(answer.facts, [("gaps", Cell::Count(2))]);
    let time = |at: u64| Cell::Time(Timestamp(BEGUN + at * SECOND));
    let rows = &answer.tables[0].rows;
    let expected = [
        (time(600), Cell::Nothing, "flows_lost", Cell::Count(9), Cell::Nothing),
        (time(500), time(100), "torn_tail", Cell::Nothing, Cell::Bytes(17)),
    ];
    for (row, (time, since, cause, count, bytes)) in rows.iter().zip(expected) {
        assert_eq!(row[..6], [time, since, Cell::text(cause), count, bytes, Cell::text("<b>why</b>")]);
    }
    let one = gaps(&evidence, Range::default(), 1).unwrap();
    assert_eq!((one.tables[0].rows.len(), one.tables[0].more), (1, 1));
    assert_eq!(gaps(&evidence, range(501, 600), 10).unwrap().facts, [("gaps", Cell::Count(0))]);
}

#[test]
fn what_is_out_of_the_range_by_a_moment_does_not_count() {
    let mut lines = Lines::new();
    for at in [100, 101, 102] {
        lines.ask_at(at, Event::Refused, 1, "GET http://a.example/", denied_for("no_rule"));
    }
    let (_directory, index) = indexed(&lines);
    let evidence = Evidence::new(&index).unwrap();
    for (from, until, expected) in [(100, 103, 3), (101, 103, 2), (101, 102, 1), (102, 102, 0), (103, 200, 0)] {
        let answer = blocked(&evidence, range(from, until), 10).unwrap();
        assert_eq!(answer.facts[0], ("blocked", Cell::Count(expected)), "{from} to {until}");
        assert_eq!(answer.table("list").unwrap().rows.len() as u64, expected);
    }
}

#[test]
fn a_day_that_cannot_be_read_is_named_and_the_others_are_answered() {
    let (directory, index) = indexed(&lines());
    let before = blocked(&Evidence::new(&index).unwrap(), Range::default(), 1000).unwrap();
    assert!(before.unread.is_empty());
    drop(index);
    let broken = rusqlite::Connection::open(directory.path().join(INDEX_FILE)).unwrap();
    let day = BEGUN / (DAY * SECOND) + 1;
    broken.execute_batch(&format!("DROP TABLE r_{day}")).unwrap();
    drop(broken);
    let index = Index::open(directory.path()).unwrap();
    let after = blocked(&Evidence::new(&index).unwrap(), Range::default(), 1000).unwrap();
    assert_eq!(after.unread.len(), 1, "{:?}", after.unread);
    assert!(after.unread[0].starts_with("the index of 2026-11-26: "), "{:?}", after.unread);
    let Cell::Count(blocked) = after.facts[0].1 else { panic!() };
    let Cell::Count(all) = before.facts[0].1 else { panic!() };
    assert!(0 < blocked && blocked < all);
}

#[test]
fn summaries_are_looked_up_by_their_keys() {
    let (_directory, index) = indexed(&lines());
    let day = BEGUN / (DAY * SECOND);
    for (text, key) in [
        (format!("SELECT requests FROM p_{day} WHERE client = 1"), "PRIMARY KEY"),
        (format!("SELECT requests FROM p_{day} WHERE host IN (SELECT id FROM host WHERE name = 'a')"), "_host"),
        (
            format!("SELECT requests FROM r_{day} WHERE judgement IN (SELECT id FROM judgement) AND client = 1"),
            "PRIMARY KEY",
        ),
        (format!("SELECT seq FROM x_{day} x WHERE stopped = 1 ORDER BY seq DESC LIMIT 9"), "_stopped"),
        (format!("SELECT addresses FROM d_{day} WHERE host = 1"), "PRIMARY KEY"),
    ] {
        let mut statement = index.connection().prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
        let plan: Vec<String> = statement.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(plan[0].starts_with("SEARCH") && plan[0].contains(key), "{text}: {plan:?}");
    }
}

#[test]
fn the_newest_record_is_the_last_whole_line() {
    let (directory, _) = lines().reader();
    let path = directory.path().join("journal/00000000000002-20261129T010000Z.jsonl");
    let newest = newest_record(directory.path()).unwrap().unwrap();
    assert!(newest.0 > 80, "{newest:?}");
    std::fs::write(&path, "").unwrap();
    assert_eq!(newest_record(directory.path()).unwrap(), Some(newest), "a new segment has no record yet");
    std::fs::remove_file(&path).unwrap();
    let first = directory.path().join("journal/00000000000001-20261125T010000Z.jsonl");
    let mut text = std::fs::read(&first).unwrap();
    text.extend_from_slice(b"{\"v\":1,\"seq\":9999,\"torn");
    std::fs::write(&first, text).unwrap();
    assert_eq!(newest_record(directory.path()).unwrap(), Some(newest));
}

#[test]
fn exchanges_alike_are_found_on_all_days_and_no_other_is() {
    let (_directory, index) = indexed(&lines());
    let evidence = Evidence::new(&index).unwrap();
    let all = blocked(&evidence, Range::default(), 1000).unwrap();
    let Cell::Text(id) = &all.table("list").unwrap().rows[0][0] else { panic!() };
    // Of 80 steps each client has a third, and each host a seventh.
    for (by, expected) in [(By::Host, 11..=12), (By::Client, 26..=27)] {
        let answer = like(&evidence, id, by, Range::default(), 1000).unwrap();
        let rows = &answer.tables[0].rows;
        let column = if by == By::Client { 2 } else { 9 };
        let text = |row: &Vec<Cell>| match &row[column] {
            Cell::Text(text) => text.replace(":443", "").replace("http://", "").split('/').next().unwrap().to_owned(),
            other => panic!("{other:?}"),
        };
        let first = text(&rows[0]);
        assert!(rows.iter().all(|row| text(row) == first), "{by:?} {rows:?}");
        assert!(expected.contains(&rows.len()), "{by:?} {}", rows.len());
        let cut = like(&evidence, id, by, Range::default(), 3).unwrap();
        assert_eq!((cut.tables[0].rows.len(), cut.tables[0].more, cut.notes.len()), (3, 1, 1));
    }
    for by in [By::Network, By::Ja4, By::Size] {
        assert!(matches!(like(&evidence, id, by, Range::default(), 9), Err(QuestionError::NothingToBeLike(_))));
    }
}

/// The rows of a table with the moments taken out, each as one text, in order.
fn without_times(table: &Table) -> Vec<String> {
    let row = |row: &Vec<Cell>| {
        let cells = row.iter().filter(|cell| !matches!(cell, Cell::Time(_)));
        cells.map(|cell| format!("{cell:?}")).collect::<Vec<_>>().join(" ")
    };
    let mut rows: Vec<String> = table.rows.iter().map(row).collect();
    rows.sort();
    rows
}

#[test]
fn attempts_past_the_proxy_are_told_of_client_host_and_rule_and_a_part_of_a_day_is_counted_as_its_summary_would_be() {
    let (_directory, index) = indexed(&lines());
    let evidence = Evidence::new(&index).unwrap();
    let count = |answer: &Answer, key: &str| match answer.facts.iter().find(|(name, _)| *name == key) {
        Some((_, Cell::Count(count))) => *count,
        other => panic!("{key}: {other:?}"),
    };
    let steps =
        |fits: &dyn Fn(u64) -> bool| (0..80_u64).filter(|step| fits(*step)).map(|step| 1 + step % 3).sum::<u64>();
    let whole = client(&evidence, "10.20.1.1", Range::default(), 1000).unwrap();
    assert_eq!(count(&whole, "past_proxy"), steps(&|step| step % 3 == 0));
    for (name, expected) in [
        ("192.0.2.1", steps(&|step| step % 4 == 1)),
        ("192.0.2.3", 0),
        ("192.0.2.99", steps(&|step| step % 4 == 3)),
        ("h1.example", steps(&|step| step % 5 == 0)),
        ("*.example", steps(&|step| step % 5 == 0)),
        ("*.h1.example", 0),
    ] {
        assert_eq!(count(&host(&evidence, name, Range::default(), 1000).unwrap(), "past_proxy"), expected, "{name}");
    }
    let refused = blocked(&evidence, Range::default(), 1000).unwrap();
    assert_eq!(count(&refused, "by_firewall"), steps(&|step| step % 2 == 0));
    let [row] = &refused.table("firewall").unwrap().rows[..] else { panic!("{refused:#?}") };
    assert_eq!(row[..2], [Cell::text("out-office"), Cell::text("refused")]);
    assert_eq!(row[3..5], [Cell::Count(3), Cell::Count(2)], "clients and addresses");
    // A part of a day is counted from its records. The first flow is at the beginning of the first day's records.
    let last = 79 * 4_000 + 1;
    for border in [4_000, 90_000, DAY, 2 * DAY + 1, 200_000] {
        let [before, after] = [range(0, border), range(border, last)]
            .map(|range| count(&client(&evidence, "10.20.1.1", range, 1000).unwrap(), "past_proxy"));
        assert_eq!(before + after, count(&whole, "past_proxy"), "{border}");
    }
    let (from, until) = (3_999, DAY - 3600 + 1);
    let is_within = |step: u64| (from..until).contains(&(step * 4_000));
    for (name, fits) in [("192.0.2.99", 3), ("192.0.2.2", 2)] {
        let answer = host(&evidence, name, range(from, until), 1000).unwrap();
        assert_eq!(count(&answer, "past_proxy"), steps(&|step| step % 4 == fits && is_within(step)), "{name}");
    }
    let answer = blocked(&evidence, range(from, until), 1000).unwrap();
    assert_eq!(count(&answer, "by_firewall"), steps(&|step| step % 2 == 0 && is_within(step)));
    // The rows are the same to the cell, where the first day counts from a second behind its first record on.
    let rows = |range| without_times(host(&evidence, "192.0.2.99", range, 1000).unwrap().table("past_proxy").unwrap());
    assert!(evidence.parts(range(1, last))[0].is_in_part());
    assert_eq!(rows(Range::default()), rows(range(1, last)));
}

#[test]
fn what_strangers_begin_and_what_every_pc_calls_out_stand_behind_what_clients_tried_and_strangers_are_no_clients() {
    let mut lines = Lines::new();
    let tries = [
        (FlowSource::Nflog, "from-outside", "203.0.113.7", 900),
        (FlowSource::Nflog, "from-outside", "203.0.113.8", 50),
        (FlowSource::Nflog, "discovery", "10.20.1.1", 800),
        (FlowSource::Nflog, "out-tcp", "10.20.1.1", 3),
        // Another firewall may call its rules what it likes.
        (FlowSource::Syslog, "discovery", "10.20.1.2", 4),
    ];
    for (number, (source, rule, client, count)) in (0..).zip(tries) {
        let time = Timestamp(BEGUN + (10 + number) * SECOND);
        let key = FlowKey {
            state: Some(FlowState::Dropped),
            client: client.parse().ok(),
            address: "192.0.2.1".parse().ok(),
            rule: Some(rule.into()),
            ..FlowKey::of(source)
        };
        let (packets, bytes_up, bytes_down, rolled_up) = (None, None, None, None);
        let flow = Flow { key, count, packets, bytes_up, bytes_down, rolled_up, first: time, last: time };
        lines.tell_at(10 + number, &Record::Flow(Box::new(flow)));
    }
    let (_directory, index) = indexed(&lines);
    let answer = blocked(&Evidence::new(&index).unwrap(), Range::default(), 100).unwrap();
    assert!(answer.facts.contains(&("by_firewall", Cell::Count(7))), "{:?}", answer.facts);
    let rows = &answer.table("firewall").unwrap().rows;
    let rows: Vec<_> = rows.iter().map(|row| [row[0].clone(), row[2].clone(), row[3].clone()]).collect();
    let row = |rule: &str, count, clients| [Cell::text(rule), Cell::Count(count), clients];
    let expected = [
        row("discovery", 4, Cell::Count(1)),
        row("out-tcp", 3, Cell::Count(1)),
        row("from-outside", 950, Cell::Nothing),
        row("discovery", 800, Cell::Count(1)),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn odd_flows_are_counted_in_a_part_of_a_day_as_in_all_of_it() {
    let mut lines = Lines::new();
    let key = |change: fn(&mut FlowKey)| {
        let mut key = FlowKey { state: Some(FlowState::Refused), ..FlowKey::of(FlowSource::Syslog) };
        change(&mut key);
        key
    };
    let keys = [
        key(|key| key.segment = Some("office".into())),
        key(|key| key.raw = Some("a line that nobody understands".into())),
        key(|key| (key.client, key.address) = ("10.20.1.1".parse().ok(), "192.0.2.1".parse().ok())),
        key(|key| (key.client, key.meant) = ("10.20.1.1".parse().ok(), "[2001:db8::]:443".parse().ok())),
        key(|key| (key.client, key.meant) = ("10.20.1.1".parse().ok(), "[::ffff:192.0.2.9]:80".parse().ok())),
        key(|key| (key.client, key.host) = ("10.20.1.1".parse().ok(), Some("x".repeat(9000).as_str().into()))),
    ];
    for (number, key) in (0..).zip(keys) {
        let time = Timestamp(BEGUN + (10 + number) * SECOND);
        let most = Some(u64::MAX);
        let flow = Flow {
            key,
            count: u64::MAX >> (number * 9),
            packets: most,
            bytes_up: most,
            bytes_down: most,
            rolled_up: most,
            first: time,
            last: time,
        };
        lines.tell_at(10 + number, &Record::Flow(Box::new(flow)));
    }
    lines.ask_at(900, Event::Refused, 1, "GET http://a.example/", denied_for("no_rule"));
    let (_directory, index) = indexed(&lines);
    let evidence = Evidence::new(&index).unwrap();
    let [whole, part] = [Range::default(), range(10, 800)];
    assert!(evidence.parts(part).iter().all(Part::is_in_part) && !evidence.parts(whole).iter().any(Part::is_in_part));
    let asked = |range: Range| {
        let of_client = client(&evidence, "10.20.1.1", range, 100).unwrap();
        let of_all = blocked(&evidence, range, 100).unwrap();
        let of_hosts = ["192.0.2.1", "2001:db8::", "192.0.2.9"].map(|name| host(&evidence, name, range, 9).unwrap());
        assert!(of_client.unread.is_empty() && of_all.unread.is_empty(), "{:?} {:?}", of_client.unread, of_all.unread);
        let mut tables = vec![without_times(of_client.table("past_proxy").unwrap())];
        tables.push(without_times(of_all.table("firewall").unwrap()));
        tables.extend(of_hosts.iter().map(|answer| without_times(answer.table("past_proxy").unwrap())));
        tables
    };
    let tables = asked(part);
    assert_eq!(tables.iter().map(Vec::len).collect::<Vec<_>>(), [4, 1, 1, 1, 1], "{tables:#?}");
    assert_eq!(tables, asked(whole));
}

#[test]
fn of_one_client_alone_each_question_tells_what_it_tells_of_it_among_all() {
    let (_directory, index) = indexed(&lines());
    let all = Evidence::new(&index).unwrap();
    let fact = |answer: &Answer, key: &str| match answer.facts.iter().find(|(name, _)| *name == key) {
        Some((_, Cell::Count(count))) => *count,
        other => panic!("{key}: {other:?}"),
    };
    let of_row = |answer: &Answer, table: &str, client: &str, column: usize| {
        let rows = &answer.table(table).unwrap().rows;
        match rows.iter().find(|row| row[0] == Cell::text(client)).map(|row| row[column].clone()) {
            Some(Cell::Count(count)) => count,
            other => panic!("{table} {client}: {other:?}"),
        }
    };
    for range in [Range::default(), range(4_000, 200_000)] {
        let (everybody_blocked, everybody_failed) =
            (blocked(&all, range, 1000).unwrap(), errors(&all, range, 1000).unwrap());
        let (mut sums, mut dialled) = ([0; 3], 0);
        let dialled_at = |answer: &Answer| {
            let rows = &answer.table("addresses").unwrap().rows;
            rows.iter().map(|row| if let Cell::Count(n) = row[2] { n } else { 0 }).sum::<u64>()
        };
        for name in ["10.20.1.1", "10.20.1.2", "10.20.1.3"] {
            let one = Evidence::new(&index).unwrap().only_of(name, range).unwrap();
            let of_one = blocked(&one, range, 1000).unwrap();
            let stopped = fact(&of_one, "blocked") + fact(&of_one, "would_be_blocked");
            assert_eq!(stopped, of_row(&everybody_blocked, "clients", name, 2), "{name}");
            assert_eq!(of_one.table("list").unwrap().rows.len() as u64, stopped);
            assert!(of_one.table("list").unwrap().rows.iter().all(|row| row[2] == Cell::text(name)));
            let failed = errors(&one, range, 1000).unwrap();
            assert_eq!(fact(&failed, "failed"), of_row(&everybody_failed, "clients", name, 2), "{name}");
            sums[0] += fact(&of_one, "by_firewall");
            let of_host = host(&one, "h3.example", range, 1000).unwrap();
            sums[1] += fact(&of_host, "requests");
            // Nothing of it is of another: neither whom it was seen by first, nor where it was dialled for others.
            let others = ["10.20.1.1", "10.20.1.2", "10.20.1.3"].into_iter().filter(|other| *other != name);
            for answer in [&of_host, &unknown(&one, range, 1000).unwrap(), &of_one, &failed] {
                let told = format!("{answer:?}");
                assert!(others.clone().all(|other| !told.contains(other)), "{name}: {told}");
            }
            dialled += dialled_at(&of_host);
            let programs = programs(&one, range, 1000).unwrap();
            assert!(programs.tables[0].rows.iter().all(|row| row[7] == Cell::text(name)), "{programs:#?}");
            sums[2] +=
                programs.tables[0].rows.iter().map(|row| if let Cell::Count(n) = row[4] { n } else { 0 }).sum::<u64>();
        }
        let programs = programs(&all, range, 1000).unwrap();
        let requests = programs.tables[0].rows.iter().map(|row| if let Cell::Count(n) = row[4] { n } else { 0 });
        let expected = [
            fact(&everybody_blocked, "by_firewall"),
            fact(&host(&all, "h3.example", range, 1000).unwrap(), "requests"),
            requests.sum(),
        ];
        assert_eq!(sums, expected);
        assert_eq!(dialled, dialled_at(&host(&all, "h3.example", range, 1000).unwrap()));
    }
    let nobody = Evidence::new(&index).unwrap().only_of("10.99.0.1", Range::default()).unwrap();
    let none = blocked(&nobody, Range::default(), 10).unwrap();
    assert!(none.tables.iter().all(|table| table.rows.is_empty()), "{none:#?}");
    assert!(matches!(
        Evidence::new(&index).unwrap().only_of("PC-9", Range::default()),
        Err(QuestionError::NoDevice(_))
    ));
}

#[test]
fn what_a_table_shows_without_an_exchange_is_looked_for_by_its_value() {
    let (_directory, index) = indexed(&lines());
    let evidence = Evidence::new(&index).unwrap();
    let rows = |by: By, value: &str| {
        like_value(&evidence, value, by, Range::default(), 1000).map(|answer| answer.tables[0].rows.len())
    };
    let all = rows(By::Host, "h3.example").unwrap();
    assert!(all > 9);
    assert_eq!(rows(By::Domain, "www.h3.example").unwrap(), all);
    assert_eq!(rows(By::Client, "10.20.1.1").unwrap(), 27);
    assert_eq!(rows(By::Network, "192.0.2.77").unwrap(), rows(By::Network, "192.0.2.0/24").unwrap());
    assert!(rows(By::Network, "192.0.2.77").unwrap() > 9);
    assert_eq!(rows(By::Network, "192.0.3.77").unwrap(), 0);
    assert_eq!(rows(By::Path, "/a/*").unwrap(), 48);
    assert_eq!(rows(By::Size, "300").unwrap(), 1);
    assert_eq!(rows(By::Minute, "2026-11-25T01:00:30Z").unwrap(), 1);
    assert_eq!(rows(By::Ja4, "t13d1516h2_8daaf6152771_02713d6af862").unwrap(), 0);
    for (by, value) in
        [(By::Host, "a b"), (By::Network, "x"), (By::Size, "many"), (By::Minute, "noon"), (By::Client, "PC-9")]
    {
        assert!(matches!(rows(by, value), Err(QuestionError::BadValue(..))), "{value}");
    }
}
