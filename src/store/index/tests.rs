use proptest::prelude::*;
use rusqlite::types::Value;

use crate::evidence::{
    Chain, Challenge, Event, Exchange, Finding, FindingId, FindingKind, Progress, Record, Retention, RetentionAction,
    Severity, Target, day_text,
};
use crate::facts::ExchangeId;

use super::*;

/// 2026-11-25T22:00:00Z: what goes on for some hours goes on into the next day.
const BEGUN: u64 = 1_795_644_000_000_000;
const SECOND: u64 = 1_000_000;

/// A journal of random traffic, from a seed: lines without their ends.
pub(super) fn journal(seed: u64, exchanges: usize) -> Vec<Vec<u8>> {
    journal_at(seed, exchanges, 120)
}

/// With at most so many seconds between two exchanges.
fn journal_at(seed: u64, exchanges: usize, step: u64) -> Vec<Vec<u8>> {
    let mut state = seed | 1;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below.max(1)
    };
    let mut chain = Chain::start();
    let mut lines = Vec::new();
    let mut time = BEGUN;
    let mut open: Vec<(u64, bool)> = Vec::new();
    let mut push = |record: Record, time: u64| {
        let mut line = Vec::new();
        chain.append(&record.encode(Timestamp(time)), &mut line);
        line.pop();
        lines.push(line);
    };
    for number in 0..exchanges as u64 {
        time = if random(50) == 0 { time - 3 * SECOND } else { time + random(step * SECOND) };
        let id = BEGUN + number * 60 * SECOND + random(SECOND);
        let event = [Event::Open, Event::Open, Event::Waiting, Event::Refused, Event::Answered][random(5) as usize];
        let mut record = Exchange::new(event, ExchangeId(id));
        let tunnel = random(2) == 0;
        record.client = Some(format!("10.0.0.{}", random(9)));
        record.user = (random(3) == 0).then(|| format!("u{}", random(4)).as_str().into());
        record.user_agent = (random(2) == 0).then(|| format!("agent/{}", random(5)).as_str().into());
        record.method = Some(if tunnel { "CONNECT" } else { "GET" }.into());
        record.target = Some(Target {
            scheme: if tunnel { "tunnel" } else { "http" },
            host: format!("h{}.example", random(20)).as_str().into(),
            port: if tunnel { 443 } else { 80 },
            path: (!tunnel).then(|| format!("/orders/{}", random(500)).as_str().into()),
            query_bytes: None,
            query_hash: None,
            query: None,
        });
        if event != Event::Waiting {
            record.verdict =
                Some(if event == Event::Refused { ["deny", "challenge"][random(2) as usize] } else { "allow" });
            record.would = (event == Event::Open && random(4) == 0).then_some("deny");
            record.reason = Some(if event == Event::Refused { "no_rule" } else { "rule" }.into());
        }
        push(Record::Exchange(Box::new(record)), time);
        if matches!(event, Event::Open | Event::Waiting) {
            open.push((id, event == Event::Waiting));
        }
        while !open.is_empty() && random(3) > 0 {
            let at = random(open.len() as u64) as usize;
            let (id, waits) = open[at];
            match random(4) {
                0 => {
                    let carried = random(5_000);
                    let progress = Progress {
                        id: ExchangeId(id).to_string(),
                        client: "10.0.0.1".to_owned(),
                        host: "h1.example".into(),
                        port: 443,
                        age_s: 60,
                        bytes_up: carried,
                        bytes_down: 2 * carried,
                        bursts: Vec::new(),
                    };
                    push(Record::Progress(progress), time);
                }
                1 => {
                    let mut record =
                        Exchange::new(if waits { Event::Open } else { Event::Established }, ExchangeId(id));
                    record.verdict = waits.then_some("allow");
                    record.ja4 = Some(format!("t13d{}", random(3)).as_str().into());
                    record.dialled = Some(format!("192.0.2.{}:443", random(5)));
                    push(Record::Exchange(Box::new(record)), time);
                    open[at].1 = false;
                }
                _ => {
                    let mut record = Exchange::new(Event::Close, ExchangeId(id));
                    (record.bytes_up, record.bytes_down) = (Some(5_000 + random(9)), Some(random(90_000)));
                    record.total_us = Some(random(9_000_000));
                    record.closed_by = Some(["client", "origin", "dns"][random(3) as usize]);
                    let how = ["end", "reset", "dns_failed", "connect_failed"][random(4) as usize];
                    record.closed_how = Some(how.into());
                    if how == "connect_failed" && random(2) == 0 {
                        (record.verdict, record.reason) = (Some("deny"), Some("guard_address".into()));
                    }
                    push(Record::Exchange(Box::new(record)), time);
                    open.swap_remove(at);
                }
            }
        }
        if random(20) == 0 {
            push(Record::Finding(Box::new(finding(random(6) as u16, time, random(9) as f64))), time);
        }
        if random(20) == 0 {
            let challenge = Challenge {
                client: "10.0.0.1".to_owned(),
                user: None,
                program: "p".to_owned(),
                user_agent: "agent/1".into(),
                face: "f".into(),
                means: "reset",
                outcome: "returned",
                host: "h1.example".into(),
                port: 443,
                after_us: None,
                failures: 0,
            };
            push(Record::Challenge(challenge), time);
        }
    }
    lines
}

fn finding(number: u16, time: u64, score: f64) -> Finding {
    let target = format!("h{number}.example");
    Finding {
        id: FindingId::new(FindingKind::Beacon, "10.0.0.1", &target),
        kind: FindingKind::Beacon,
        severity: Severity::High,
        score,
        weight: score,
        client: "10.0.0.1".into(),
        target: target.as_str().into(),
        port: 443,
        first: Timestamp(BEGUN),
        last: Timestamp(time),
        requests: 9,
        denied: 0,
        beat: None,
        grounds: Vec::new(),
        rarity: None,
        records: [1, 9],
    }
}

fn data_dir(lines: &[Vec<u8>]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("journal")).unwrap();
    let text: Vec<u8> = lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect();
    std::fs::write(directory.path().join("journal/00000000000001-20261125T220000Z.jsonl"), text).unwrap();
    directory
}

/// All that is in the tables, but how far the journal was read. Numbers of manners are as it came: an exchange may have had one
/// while it was open, or not.
fn dump(connection: &Connection) -> Vec<String> {
    let mut statement = connection
        .prepare(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('place', 'manner') ORDER BY name",
        )
        .unwrap();
    let tables: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut rows = Vec::new();
    for table in tables {
        let mut text = format!("SELECT * FROM {table}");
        if table.starts_with("x_") {
            text += " LEFT JOIN manner n ON n.id = manner";
        }
        let mut statement = connection.prepare(&text).unwrap();
        let of_manner =
            |at: &usize| !(matches!(statement.column_name(*at), Ok("manner")) || table.starts_with("x_") && *at == 17);
        let shown: Vec<usize> = (0..statement.column_count()).filter(of_manner).collect();
        let mut found = statement.query([]).unwrap();
        let mut of_table = Vec::new();
        while let Some(row) = found.next().unwrap() {
            let values: Vec<_> = shown.iter().map(|at| format!("{:?}", row.get::<_, Value>(*at).unwrap())).collect();
            of_table.push(format!("{table}: {}", values.join(" ")));
        }
        of_table.sort();
        rows.extend(of_table);
    }
    rows
}

pub(super) fn built(lines: &[Vec<u8>]) -> (tempfile::TempDir, Index) {
    let directory = data_dir(lines);
    reindex(directory.path(), |_, _| {}).unwrap();
    let index = Index::open(directory.path()).unwrap();
    (directory, index)
}

fn number(index: &Index, sql: &str) -> i64 {
    index.connection().query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The tables of the index of [`journal`] have one row for each exchange, and sums that agree with them.
#[test]
fn the_sums_of_a_day_are_those_of_its_exchanges() {
    let lines = journal(7, 2_000);
    let (_directory, index) = built(&lines);
    let days = index.days().unwrap();
    assert!(days.len() >= 2, "{days:?}");
    let opened = lines
        .iter()
        .filter_map(|line| read(line).filter(|record| record.kind == crate::evidence::Kind::Exchange).map(|r| r.event))
        .filter(|event| !matches!(event, Some(Event::Close | Event::Established)))
        .count() as i64;
    let mut exchanges = 0;
    for day in days {
        let (x, p) = (format!("x_{day}"), format!("p_{day}"));
        let of = |sql: &str| number(&index, &sql.replace("x_", &x).replace("p_", &p));
        exchanges += of("SELECT count(*) FROM x_");
        for (row, sum) in [
            ("count(*)", "sum(requests)"),
            ("coalesce(sum(stopped), 0)", "sum(challenged) + sum(denied)"),
            ("coalesce(sum(up), 0)", "sum(up)"),
            ("coalesce(sum(down), 0)", "sum(down)"),
        ] {
            assert_eq!(of(&format!("SELECT {row} FROM x_")), of(&format!("SELECT {sum} FROM p_")), "{row}");
        }
        let failed = of("SELECT count(*) FROM x_ JOIN ending e ON e.id = ending WHERE class <> '' AND stopped IS NULL");
        assert_eq!(failed, of("SELECT sum(failed) FROM p_"));
    }
    // A tunnel that waits has two records before it stands.
    let waited = number(&index, "SELECT count(*) FROM open");
    assert!(exchanges <= opened && exchanges >= 2_000 - 1, "{exchanges} of {opened}, {waited} open");
    let indexed = index.indexed().unwrap();
    assert_eq!((indexed.records, indexed.unreadable), (lines.len() as u64, 0));
    assert!(indexed.backward > 5, "{indexed:?}");
    assert_eq!(number(&index, "SELECT count(*) FROM finding"), 6);
    assert!(number(&index, "SELECT count(*) FROM event WHERE kind = 'challenge' AND action = 'returned'") > 20);
}

fn read(line: &[u8]) -> Option<crate::evidence::RecordLine<'_>> {
    crate::evidence::read_record(line).ok()
}

#[test]
fn a_line_that_is_no_record_is_counted_and_the_rest_is_there() {
    let mut lines = journal(3, 50);
    let whole = built(&lines).1.indexed().unwrap();
    lines.insert(20, b"{\"seq\":1}".to_vec());
    lines.push(vec![b'x'; 300_000]);
    let indexed = built(&lines).1.indexed().unwrap();
    assert_eq!((indexed.unreadable, indexed.records), (2, whole.records));
}

#[test]
fn an_index_of_another_form_is_refused_and_none_is_said_to_be_none() {
    let (directory, _) = built(&journal(1, 5));
    let path = directory.path().join(INDEX_FILE);
    Connection::open(&path).unwrap().execute("UPDATE place SET form = 0", []).unwrap();
    assert!(matches!(Index::open(directory.path()), Err(IndexError::Form(_))));
    std::fs::write(&path, "not a database, and long enough to look like one ".repeat(100)).unwrap();
    assert!(Index::open(directory.path()).is_err());
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(Index::open(directory.path()), Err(IndexError::None(_))));
}

#[test]
fn nothing_can_be_written_by_who_asks() {
    let (_directory, index) = built(&journal(1, 5));
    assert!(index.connection().execute("DELETE FROM day", []).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_the_batches_and_restarts_the_index_is_the_same(seed: u64, cuts in prop::collection::vec((1_usize..60, any::<bool>()), 1..40)) {
        let lines = journal(seed, 150);
        let (_directory, whole) = built(&lines);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("live.db");
        let mut filler = Filler::new(Connection::open(&path).unwrap(), false).unwrap();
        let mut rest = lines.as_slice();
        for (length, restarts) in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (batch, left) = rest.split_at((*length).min(rest.len()));
            rest = left;
            for line in batch {
                filler.line(line).unwrap();
            }
            filler.commit().unwrap();
            if *restarts {
                // What was not committed would be lost; here nothing is.
                drop(filler);
                filler = Filler::new(Connection::open(&path).unwrap(), false).unwrap();
            }
        }
        let live = filler.finish().unwrap();
        let (live, whole) = (dump(&live), dump(whole.connection()));
        let other = live.iter().zip(&whole).find(|(live, whole)| live != whole);
        prop_assert!(other.is_none() && live.len() == whole.len(), "{:?}, {} and {}", other, live.len(), whole.len());
    }
}

/// All that can be asked, with names in the place of their numbers.
fn told(data_dir: &Path) -> Vec<String> {
    let index = Index::open_with_views(data_dir).unwrap();
    let mut queries: Vec<String> = VIEWS.iter().map(|view| format!("SELECT '{0}', * FROM {0}", view.name)).collect();
    queries.extend(
        [
            "SELECT h.name, h.domain, h.first_time, h.first_seq, c.name FROM host h JOIN client c ON c.id = h.first_client",
            "SELECT 'client', name FROM client",
            "SELECT 'user', name FROM user",
            "SELECT 'path', name FROM path",
            "SELECT 'address', name FROM address",
            "SELECT 'program', user_agent, ja4, tls_key FROM program",
            "SELECT 'told', * FROM told",
            "SELECT 'day', * FROM day",
            "SELECT 'open', * FROM open",
        ]
        .map(str::to_owned),
    );
    let mut rows = Vec::new();
    for query in queries {
        let mut statement = index.connection().prepare(&query).unwrap();
        let columns = statement.column_count();
        let mut found = statement.query([]).unwrap();
        while let Some(row) = found.next().unwrap() {
            let values: Vec<_> = (0..columns).map(|at| format!("{:?}", row.get::<_, Value>(at).unwrap())).collect();
            rows.push(values.join(" "));
        }
    }
    rows.sort();
    rows
}

/// Puts a journal into two segments for each day, as the gate would: what comes late stands in the next day's.
fn put_by_day(data_dir: &Path, lines: &[Vec<u8>]) -> Vec<(i64, PathBuf)> {
    let record =
        |line: &[u8]| read(line).map(|record| (record.seq, record.time, record.time.0 as i64 / DAY_US)).unwrap();
    let mut segments: Vec<(i64, PathBuf)> = Vec::new();
    let mut begun = 0;
    for line in lines {
        let (seq, time, day) = record(line);
        let newest = segments.last().map_or(i64::MIN, |(day, _)| *day);
        let is_second = newest == day && begun == 1 && time.0 % (DAY_US as u64) > 6 * 3600 * SECOND;
        if day > newest || is_second {
            begun = if day > newest { 1 } else { 2 };
            let name = super::super::segment::name(seq, time);
            segments.push((day, data_dir.join("journal").join(name)));
        }
        let path = &segments.last().unwrap().1;
        let mut text = std::fs::read(path).unwrap_or_default();
        text.extend_from_slice(&[line.as_slice(), b"\n"].concat());
        std::fs::write(path, text).unwrap();
    }
    segments
}

/// All of `place` but its form.
fn indexed_of(data_dir: &Path) -> Indexed {
    Index::open(data_dir).unwrap().indexed().unwrap()
}

/// Fills the live index of a data directory up to the end of its journal.
fn follow(data_dir: &Path) -> Vec<String> {
    let mut told = Vec::new();
    let mut live = LiveIndex::open(data_dir, |why| told.push(why)).unwrap();
    while live.step().unwrap() {}
    told
}

fn put(data_dir: &Path, lines: &[Vec<u8>]) {
    let text: Vec<u8> = lines.iter().flat_map(|line| [line.as_slice(), b"\n"].concat()).collect();
    std::fs::write(data_dir.join("journal/00000000000001-20261125T220000Z.jsonl"), text).unwrap();
}

fn all_of(data_dir: &Path) -> Vec<String> {
    dump(Index::open(data_dir).unwrap().connection())
}

#[test]
fn an_index_of_a_journal_that_lost_its_end_is_built_anew() {
    let lines = journal(5, 200);
    let directory = data_dir(&lines);
    assert!(follow(directory.path()).is_empty());
    // Power took the end of the journal, and other records came to have its numbers; or it is another journal, or shorter.
    let (other, third) = (journal(6, 200), journal(8, 200));
    for now in [&[&lines[..150], &third[150..160]].concat()[..], &other[..], &lines[..40]] {
        put(directory.path(), now);
        let told = follow(directory.path());
        assert!(matches!(&told[..], [why] if why.contains("another journal")), "{told:?}");
        let live = all_of(directory.path());
        reindex(directory.path(), |_, _| {}).unwrap();
        assert!(live == all_of(directory.path()));
        assert!(follow(directory.path()).is_empty(), "what was built goes on");
    }
}

#[test]
fn a_bad_line_is_counted_once_however_often_the_gate_starts() {
    let mut lines = journal(5, 60);
    lines.insert(10, b"bad".to_vec());
    let directory = data_dir(&lines[..12]);
    for length in [12, 12, 40, lines.len()] {
        put(directory.path(), &lines[..length]);
        assert!(follow(directory.path()).is_empty());
    }
    // Behind the newest record, of which some were counted and some came later.
    for _ in 0..3 {
        lines.push(b"bad".to_vec());
        put(directory.path(), &lines);
        follow(directory.path());
        follow(directory.path());
    }
    let live = indexed_of(directory.path());
    assert_eq!((live.unreadable, live.bad_since), (4, 3));
    reindex(directory.path(), |_, _| {}).unwrap();
    assert_eq!(indexed_of(directory.path()), live);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, max_shrink_iters: 20, ..ProptestConfig::default() })]

    /// Whichever days go, the index that was filled while they were there is the one that is built without them.
    #[test]
    fn days_that_go_leave_what_a_journal_without_them_gives(seed: u64, goes in prop::collection::vec(any::<bool>(), 5)) {
        let lines = journal_at(seed, 200, 4_500);
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path();
        std::fs::create_dir(data_dir.join("journal")).unwrap();
        let (before, after) = lines.split_at(lines.len() * 3 / 4);
        let segments = put_by_day(data_dir, before);
        follow(data_dir);
        let newest = segments.last().unwrap().0;
        let days: Vec<i64> = (segments[0].0..newest).zip(goes).filter(|(_, goes)| *goes).map(|(day, _)| day).collect();
        let retention = |action| Retention {
            action,
            keep_days: Some(1),
            keep_gib: None,
            segments: 1,
            bytes: 1,
            held: 0,
            days: days.iter().map(|day| (day_text(*day), day_text(*day))).collect(),
            records: Vec::new(),
        };
        // What is announced is there still.
        let whole = told(data_dir);
        let last = read(before.last().unwrap()).unwrap();
        let mut chain = Chain { seq: last.seq, ..Chain::start() };
        let mut said = Vec::new();
        chain.append(&Record::Retention(retention(RetentionAction::Announced)).encode(last.time), &mut said);
        let path = &segments.last().unwrap().1;
        let mut text = std::fs::read(path).unwrap();
        text.extend_from_slice(&said);
        std::fs::write(path, &text).unwrap();
        follow(data_dir);
        prop_assert!(told(data_dir).len() == whole.len() + 1);
        // The numbers of the records behind it are two more: what is asked does not tell.
        said.clear();
        chain.append(&Record::Retention(retention(RetentionAction::Dropped)).encode(last.time), &mut said);
        for line in after {
            let (_, rest) = std::str::from_utf8(line).unwrap().split_once(',').unwrap();
            let (seq, rest) = rest.split_once(',').unwrap();
            let seq: u64 = seq.strip_prefix("\"seq\":").unwrap().parse().unwrap();
            said.extend_from_slice(format!("{{\"v\":1,\"seq\":{},{rest}\n", seq + 2).as_bytes());
        }
        text.extend_from_slice(&said);
        std::fs::write(path, &text).unwrap();
        follow(data_dir);
        let live = told(data_dir);
        let mut kept: Option<i64> = None;
        for (day, path) in &segments {
            if days.contains(day) && kept.is_none_or(|kept| kept == *day || days.contains(&kept)) {
                std::fs::remove_file(path).unwrap();
            }
            kept = Some(*day);
        }
        reindex(data_dir, |_, _| {}).unwrap();
        let built = told(data_dir);
        let other = live.iter().zip(&built).find(|(live, built)| live != built);
        prop_assert!(other.is_none() && live.len() == built.len(), "{:?}, {} and {}", other, live.len(), built.len());
        let text = live.join("\n");
        let is_gone = days.iter().all(|day| !text.contains(&format!("Text(\"{}\")", day_text(*day))));
        prop_assert!(is_gone);
        prop_assert!(follow(data_dir).is_empty());
    }
}
