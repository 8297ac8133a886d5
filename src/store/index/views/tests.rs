use rusqlite::types::Value;

use super::super::tests::{built, journal};
use super::super::{day, reindex};
use super::*;

/// An index of so many days with an exchange each, one after another.
fn days_on_end(first: i64, days: i64) -> (tempfile::TempDir, Index) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("journal")).unwrap();
    reindex(directory.path(), |_, _| {}).unwrap();
    let connection = Connection::open(directory.path().join(super::super::INDEX_FILE)).unwrap();
    connection.execute_batch("BEGIN; INSERT INTO client VALUES (1, '10.0.0.1'), (2, '10.0.0.2');").unwrap();
    connection.execute_batch("INSERT INTO manner VALUES (1, 0, 0, 0, 0, 443, 0, 0, 0, 0)").unwrap();
    connection.execute_batch("INSERT INTO host VALUES (1, 'a.example', 'a.example', 7, 1, 2)").unwrap();
    for number in first..first + days {
        day::create(&connection, number).unwrap();
        let rows = "INSERT INTO day VALUES (DAY, DAY, DAY, 0, 0, 1, 1);
            INSERT INTO x_DAY (seq, at, client, host, manner, judgement) VALUES (DAY, 5, 1, 1, 1, 1);
            INSERT INTO p_DAY VALUES (1, 1, 1, 2, 1, 0, 0, 0, 0, 0, 10, 20);";
        connection.execute_batch(&of_day(rows, number)).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    let index = Index::open_with_views(directory.path()).unwrap();
    (directory, index)
}

fn first(index: &Index, sql: &str) -> Vec<Value> {
    let columns = index.connection().prepare(sql).unwrap().column_count();
    index.connection().query_row(sql, [], |row| (0..columns).map(|at| row.get(at)).collect()).unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn plan(index: &Index, sql: &str) -> Vec<String> {
    let mut statement = index.connection().prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    statement.query_map([], |row| row.get(3)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn what_does_not_fit_into_memory_is_kept_where_it_is_said() {
    let (index, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    crate::store::keep_temporary_files_in(directory.path()).unwrap();
    let connection = Connection::open(index.path().join("x.sqlite")).unwrap();
    connection.execute_batch("PRAGMA temp_store = file; PRAGMA cache_size = 2; PRAGMA cache_spill = 1").unwrap();
    connection.execute_batch("CREATE TEMP TABLE t (x); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO t SELECT randomblob(100) FROM n").unwrap();
    let open = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok());
    let of_it: Vec<_> = open.filter(|path| path.starts_with(directory.path())).collect();
    assert!(!of_it.is_empty());
}

#[test]
fn the_views_have_the_columns_that_are_told_of_whatever_is_indexed() {
    let (_with, with) = built(&journal(7, 50));
    let (_without, without) = days_on_end(0, 0);
    let with_views = Index::open_with_views(_with.path()).unwrap();
    drop(with);
    for index in [&with_views, &without] {
        for view in VIEWS {
            let statement = index.connection().prepare(&format!("SELECT * FROM {}", view.name)).unwrap();
            let told: Vec<_> = view.columns.iter().map(|(name, _)| *name).collect();
            assert_eq!(statement.column_names().collect::<Vec<_>>(), told, "{}", view.name);
        }
    }
}

#[test]
fn an_exchange_reads_as_its_records_do() {
    let (directory, _) = built(&journal(7, 50));
    let index = Index::open_with_views(directory.path()).unwrap();
    let rows = first(&index, "SELECT count(*), count(DISTINCT id), min(length(time)), min(length(id)) FROM exchanges");
    assert_eq!(rows, [50, 50, 27, 11].map(Value::Integer));
    let same = "SELECT count(*) FROM exchanges WHERE day <> substr(time, 1, 10) AND open = 0 AND seq < 20";
    assert_eq!(first(&index, same), [Value::Integer(0)]);
    let sums = "SELECT (SELECT sum(requests) FROM clients) = 50, (SELECT sum(requests) FROM hosts) = 50,
        (SELECT total(bytes_down) FROM contacts) = (SELECT total(bytes_down) FROM exchanges)";
    assert_eq!(first(&index, sums), [1, 1, 1].map(Value::Integer));
}

#[test]
fn more_than_500_days_are_one_view() {
    let (_directory, index) = days_on_end(20_000, 1100);
    let all = "SELECT count(*), count(DISTINCT day), min(time), max(time), max(port), sum(stopped) FROM exchanges";
    let said = [
        Value::Integer(1100),
        Value::Integer(1100),
        text("2024-10-04T00:00:00.000005Z"),
        text("2027-10-08T00:00:00.000005Z"),
        Value::Integer(443),
        Value::Null,
    ];
    assert_eq!(first(&index, all), said);
    let listed = "SELECT client, host, e.time FROM exchanges e WHERE day = '2027-10-08' ORDER BY e.time LIMIT 1";
    assert_eq!(first(&index, listed), ["10.0.0.1", "a.example", "2027-10-08T00:00:00.000005Z"].map(text));
    let host = "SELECT first_client, clients, requests, first, last FROM hosts WHERE host = 'a.example'";
    let said = [
        text("10.0.0.2"),
        Value::Integer(1),
        Value::Integer(1100),
        text("2024-10-04T00:00:00.001000Z"),
        text("2027-10-08T00:00:00.002000Z"),
    ];
    assert_eq!(first(&index, host), said);
}

#[test]
fn what_an_index_can_find_is_not_looked_for_row_by_row() {
    let (_directory, index) = days_on_end(20_000, 40);
    for (sql, found_by) in [
        ("SELECT * FROM contacts WHERE client = '10.0.0.1'", "SEARCH p USING PRIMARY KEY (client=?)"),
        ("SELECT * FROM contacts WHERE host = 'a.example'", "SEARCH p USING INDEX p_20000_host (host=?)"),
        ("SELECT * FROM exchanges WHERE stopped = 1", "SEARCH x USING INDEX x_20000_stopped (stopped=?)"),
        ("SELECT * FROM exchanges WHERE seq = 5", "SEARCH x USING INTEGER PRIMARY KEY (rowid=?)"),
        // A client or a host is looked up once, and its number compared.
        ("SELECT time FROM exchanges WHERE client = '10.0.0.1'", "SEARCH c USING COVERING INDEX"),
        ("SELECT count(*) FROM exchanges WHERE host = 'a.example'", "SEARCH h USING COVERING INDEX"),
    ] {
        let plan = plan(&index, sql);
        assert!(plan.iter().any(|step| step.contains(found_by)), "{sql}: {plan:#?}");
    }
    // What is not asked for is not looked up.
    let plan = plan(&index, "SELECT verdict, count(*) FROM exchanges GROUP BY verdict");
    assert!(!plan.iter().any(|step| step.contains(" h ") || step.contains(" p ")), "{plan:#?}");
}

#[test]
fn who_asks_the_views_can_write_nothing() {
    let (_directory, index) = days_on_end(20_000, 1);
    for sql in ["DELETE FROM client", "CREATE TEMP TABLE t (a)", "DROP VIEW exchanges"] {
        assert!(index.connection().execute_batch(sql).is_err(), "{sql}");
    }
}

#[test]
fn the_readme_names_every_view_with_its_columns() {
    let readme = include_str!("../../../../README.md");
    for view in VIEWS {
        let columns: Vec<_> = view.columns.iter().map(|(name, _)| format!("`{name}`")).collect();
        let row = format!("| `{}` | {} | {} |\n", view.name, view.meaning, columns.join(", "));
        assert!(readme.contains(&row), "{row}");
    }
}
