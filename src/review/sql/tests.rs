use super::*;

/// Keeps what comes.
#[derive(Default)]
struct Kept(Vec<String>);

impl SqlRows for Kept {
    fn head(&mut self, columns: &[String]) -> io::Result<()> {
        self.0.push(columns.join("|"));
        Ok(())
    }

    fn row(&mut self, cells: &[SqlValue<'_>]) -> io::Result<()> {
        let cells: Vec<_> = cells.iter().map(|cell| format!("{cell:?}")).collect();
        self.0.push(cells.join("|"));
        Ok(())
    }
}

fn empty() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("journal")).unwrap();
    crate::store::reindex(directory.path(), |_, _| {}).unwrap();
    directory
}

fn ask(text: &str) -> Result<Vec<String>, SqlError> {
    let mut kept = Kept::default();
    sql(empty().path(), text, &mut kept).map(|()| kept.0)
}

#[test]
fn what_reads_is_answered() {
    assert_eq!(ask("SELECT 1 AS a, 'x' b, NULL, 1.5, x'00ff'").unwrap()[1], {
        let text = SqlValue::Text("x".into());
        format!("Integer(1)|{text:?}|Null|Real(1.5)|Bytes([0, 255])")
    });
    for reads in [
        "SELECT count(*), max(time) FROM exchanges",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT sum(i) FROM n;",
        "VALUES (1), (2)",
        "EXPLAIN QUERY PLAN SELECT * FROM exchanges",
        "SELECT host, row_number() OVER (ORDER BY bytes_up DESC) FROM hosts -- the end",
        "SELECT record ->> '$.kind', json_extract(record, '$.kind') FROM events",
        "SELECT value FROM json_each('[1,2]')",
    ] {
        let answer = ask(reads);
        assert!(answer.is_ok(), "{reads}: {answer:?}");
    }
}

#[test]
fn what_does_other_than_read_is_refused() {
    for text in [
        "ATTACH '/etc/passwd' AS p",
        "ATTACH ':memory:' AS p",
        "DETACH temp",
        "PRAGMA query_only = 0",
        "PRAGMA table_info(client)",
        "SELECT * FROM pragma_database_list",
        "INSERT INTO client (name) VALUES ('x')",
        "DELETE FROM event",
        "UPDATE place SET seq = 0",
        "DROP TABLE client",
        "CREATE TABLE t (a)",
        "CREATE TEMP TABLE t (a)",
        "CREATE TEMP VIEW v AS SELECT 1",
        "CREATE VIRTUAL TABLE temp.f USING fts5(a)",
        "ALTER TABLE client RENAME TO c",
        "VACUUM",
        "VACUUM INTO '/tmp/copy.db'",
        "REINDEX",
        "ANALYZE",
        "BEGIN",
        "COMMIT",
        "SAVEPOINT a",
        "SELECT load_extension('/tmp/x.so')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT hex(randomblob(9))",
        "SELECT zeroblob(1000000000)",
        "SELECT sqlite_version()",
    ] {
        let refused = ask(text);
        assert!(matches!(refused, Err(SqlError::Refused(_))), "{text}: {refused:?}");
    }
    // What SQLite as it is built here does not even have.
    for text in ["SELECT readfile('/etc/passwd')", "SELECT writefile('/tmp/x', 'y')", "SELECT edit('x')"] {
        let refused = ask(text);
        assert!(
            matches!(&refused, Err(SqlError::Wrong { what, .. } | SqlError::Failed(what)) if what.contains("no such function")),
            "{text}: {refused:?}"
        );
    }
}

#[test]
fn one_statement_is_run_and_no_less() {
    for text in ["SELECT 1; SELECT 2", "SELECT 1; DROP TABLE client"] {
        let several = ask(text);
        assert!(matches!(several, Err(SqlError::Several | SqlError::Refused(_))), "{text}: {several:?}");
    }
    for text in ["", "  ", "-- nothing", ";"] {
        let none = ask(text);
        assert!(matches!(none, Err(SqlError::Empty)), "{text}: {none:?}");
    }
}

#[test]
fn a_mistake_is_shown_with_its_place() {
    let error = ask("SELECT client,\n  hots FROM exchanges").unwrap_err();
    assert_eq!(error.to_string(), "no such column: hots, at line 2, column 3:\n    hots FROM exchanges\n    ^");
    let error = ask(&format!("SELECT {} FORM exchanges", "'日本', ".repeat(40))).unwrap_err().to_string();
    assert!(error.contains("line 1") && error.lines().count() == 3, "{error}");
    let mark = error.lines().last().unwrap().chars().count();
    assert!(mark < 110 && error.lines().nth(1).unwrap().chars().nth(mark - 1).is_some(), "{error}");
}

#[test]
fn a_statement_that_needs_too_much_memory_ends_as_one() {
    let text = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
        SELECT group_concat(format('%09000000d', i)) FROM n";
    let error = ask(text).unwrap_err();
    assert!(matches!(&error, SqlError::Memory) || error.to_string().contains("too big"), "{error}");
}

#[test]
fn a_statement_that_would_never_end_is_ended_when_its_time_is_over() {
    let text = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let mut looks = 0;
    let goes_on = move || {
        looks += 1;
        looks < 3
    };
    let error = sql_while(empty().path(), text, &mut Kept::default(), goes_on).unwrap_err();
    assert!(matches!(error, SqlError::TooLong), "{error}");
}

#[test]
fn beside_the_gate_a_statement_is_kept_small() {
    let data = empty();
    let among = |text: &str| sql_while(data.path(), text, &mut Kept::default(), || true);
    let many = format!("SELECT 1 WHERE {}", vec!["1 = 1"; 90].join(" AND "));
    for text in ["SELECT host, count(*) FROM exchanges GROUP BY host", "SELECT avg(seq) FROM exchanges", &many] {
        among(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    let rows = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000)";
    for (text, part) in [
        ("SELECT length(printf('%.*c', 200000, 'x'))".to_owned(), "too big"),
        (format!("{rows} SELECT length(group_concat(printf('%.*c', 1000, 'x'))) FROM n"), "too big"),
        (format!("SELECT {}", vec!["1"; 201].join(",")), "too many columns"),
        (format!("SELECT concat({})", vec!["'x'"; 33].join(",")), "too many arguments"),
    ] {
        let error = among(&text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    assert!(ask("SELECT length(printf('%.*c', 200000, 'x'))").is_ok(), "a process of its own has room");
}

/// A statement of many rows.
const ROWS: &str = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 1000000)";

#[test]
fn beside_the_gate_a_statement_ends_that_takes_the_journals_disk() {
    let (data, text) = (empty(), format!("{ROWS} SELECT x FROM n ORDER BY -x LIMIT 1"));
    for (taken, is_ended) in [(SPILL_BYTES_MAX, false), (SPILL_BYTES_MAX + 1, true)] {
        let mut before = Some(1 << 40);
        let free = move || before.take().unwrap_or((1 << 40) - taken);
        let answer = sql_among_others(data.path(), &text, &mut Kept::default(), || true, free);
        assert_eq!(matches!(answer, Err(SqlError::Disk)), is_ended, "{answer:?}");
        assert_eq!(answer.is_ok(), !is_ended, "{answer:?}");
    }
    let answer = sql_while(data.path(), &text, &mut Kept::default(), || false);
    assert!(matches!(answer, Err(SqlError::TooLong)), "{answer:?}");
}

#[test]
fn beside_the_gate_no_statement_has_more_memory_than_all_of_them_may_have() {
    crate::store::bound_memory().unwrap();
    let data = empty();
    let among = |text: &str| sql_while(data.path(), text, &mut Kept::default(), || true);
    // Constants are held until the end, each with its text.
    let cases: Vec<_> = (0..600).map(|at| format!("WHEN hex(zeroblob({}))", 65_000 - at)).collect();
    let text = format!("SELECT CASE 'x' {} END", cases.iter().map(|case| format!("{case}THEN 1")).collect::<String>());
    let answer = among(&text);
    assert!(matches!(answer, Err(SqlError::Failed(_))), "longer than a statement may be: {answer:?}");
    let most: i64 =
        Connection::open_in_memory().unwrap().query_row("PRAGMA hard_heap_limit", [], |row| row.get(0)).unwrap();
    assert_eq!(most, 512 << 20);
    assert!(among("SELECT count(*) FROM exchanges").is_ok(), "and others go on");
    let long = format!("SELECT 1 {}", " ".repeat(SQL_BYTES_AMONG_OTHERS));
    assert!(among(&long).unwrap_err().to_string().contains("longer than 16 KiB"));
}
