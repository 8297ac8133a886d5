use super::*;

fn written(format: SqlFormat, columns: &[&str], rows: &[Vec<SqlValue<'_>>]) -> String {
    let mut to = Rows::new(format, Vec::new());
    let columns: Vec<_> = columns.iter().map(|name| (*name).to_owned()).collect();
    to.head(&columns).unwrap();
    for row in rows {
        to.row(row).unwrap();
    }
    to.end().unwrap();
    String::from_utf8(to.out).unwrap()
}

fn text(text: &str) -> SqlValue<'_> {
    SqlValue::Text(text.into())
}

fn rows() -> Vec<Vec<SqlValue<'static>>> {
    vec![
        vec![text("関所.example"), SqlValue::Integer(-7), SqlValue::Null],
        vec![text("=cmd|\"a\",b"), SqlValue::Null, SqlValue::Real(2.0)],
        vec![text("a\u{1b}[2J\r\n\u{202e}"), SqlValue::Integer(1234), SqlValue::Bytes(&[0, 255])],
    ]
}

const COLUMNS: [&str; 3] = ["host", "bytes_up", "host"];

#[test]
fn a_table_is_aligned_and_safe() {
    let expected = "\
host                          bytes_up  host
関所.example                        -7
=cmd|\"a\",b                              2.0
a\\u{1b}[2J\\u{d}\\u{a}\\u{202e}      1234  00ff
";
    assert_eq!(written(SqlFormat::Table, &COLUMNS, &rows()), expected);
}

#[test]
fn csv_is_quoted_and_safe() {
    let expected = "host,bytes_up,host\r\n関所.example,-7,\r\n\"'=cmd|\"\"a\"\",b\",,2.0\r\n\
                    a\\u{1b}[2J\\u{d}\\u{a}\\u{202e},1234,00ff\r\n";
    assert_eq!(written(SqlFormat::Csv, &COLUMNS, &rows()), expected);
}

#[test]
fn json_has_each_name_once_and_is_safe() {
    let expected = "[
{\"host\":\"関所.example\",\"bytes_up\":-7,\"host:1\":null},
{\"host\":\"=cmd|\\\"a\\\",b\",\"bytes_up\":null,\"host:1\":2.0},
{\"host\":\"a\\u001b[2J\\r\\n\\u202e\",\"bytes_up\":1234,\"host:1\":\"00ff\"}
]
";
    assert_eq!(written(SqlFormat::Json, &COLUMNS, &rows()), expected);
    assert_eq!(written(SqlFormat::Json, &["a"], &[]), "[]\n");
    let infinite = written(SqlFormat::Json, &["a"], &[vec![SqlValue::Real(f64::INFINITY)]]);
    assert_eq!(infinite, "[\n{\"a\":null}\n]\n");
}

#[test]
fn a_long_table_is_not_held_back() {
    let mut to = Rows::new(SqlFormat::Table, Vec::new());
    to.head(&["n".to_owned()]).unwrap();
    for number in 0..FIRST_ROWS as i64 {
        assert!(to.out.is_empty());
        to.row(&[SqlValue::Integer(number)]).unwrap();
    }
    let before = to.out.len();
    to.row(&[SqlValue::Integer(1_000_000)]).unwrap();
    assert!(before > 0 && to.out.len() > before && to.first.is_empty());
    let long = "x".repeat(FIRST_BYTES_MAX);
    assert_eq!(written(SqlFormat::Table, &["n"], &[vec![text(&long)]]), format!("n\n{long}\n"));
    assert_eq!(written(SqlFormat::Table, &["n", "m"], &[]), "n  m\n");
}
