use rusqlite::{Row, ToSql};

use crate::facts::ExchangeId;

use super::answer::{Cell, Shape, Table};
use super::ask::{Evidence, Part};

/// An exchange in words, as lists have it.
#[derive(Debug, Clone, Default)]
pub(super) struct ExchangeRow {
    pub(super) seq: i64,
    /// When it began, in microseconds; its id says the same.
    pub(super) time: i64,
    pub(super) client: String,
    pub(super) user: String,
    pub(super) method: String,
    scheme: String,
    pub(super) host: String,
    port: i64,
    /// With what varies taken out; empty where there is none.
    pub(super) path: String,
    verdict: String,
    would: String,
    reason: String,
    rule: String,
    pub(super) dialled: String,
    status: Option<i64>,
    pub(super) up: Option<i64>,
    pub(super) down: Option<i64>,
    ended: String,
    user_agent: String,
    pub(super) ja4: String,
    open: bool,
}

const SELECT: &str = "SELECT x.seq, x.at, c.name, u.name, m.name, s.name, h.name, coalesce(n.port, 443), p.name, \
    j.verdict, j.would, j.reason, j.rule, a.name, nullif(n.status, 0), x.up, x.down, e.closed_how, g.user_agent, g.ja4, n.open \
    FROM {x} x LEFT JOIN manner n ON n.id = x.manner LEFT JOIN client c ON c.id = x.client LEFT JOIN user u ON u.id = x.user \
    LEFT JOIN word m ON m.id = n.method LEFT JOIN word s ON s.id = n.scheme LEFT JOIN host h ON h.id = x.host \
    LEFT JOIN path p ON p.id = x.path LEFT JOIN judgement j ON j.id = x.judgement \
    LEFT JOIN address a ON a.id = x.dialled LEFT JOIN ending e ON e.id = x.ending \
    LEFT JOIN program g ON g.id = x.program WHERE {within} AND ";

/// Exchanges of one day that fit a condition, at most so many.
pub(super) fn exchanges(
    evidence: &Evidence<'_>,
    part: &Part,
    condition: &str,
    given: &[&dyn ToSql],
    newest_first: bool,
    limit: usize,
    into: &mut Vec<ExchangeRow>,
) -> rusqlite::Result<()> {
    let order = if newest_first { "DESC" } else { "ASC" };
    let text = format!("{SELECT} {condition} ORDER BY x.seq {order} LIMIT {limit}");
    evidence.rows(part, &text, given, |row| {
        into.push(read(row, part)?);
        Ok(())
    })
}

fn read(row: &Row<'_>, part: &Part) -> rusqlite::Result<ExchangeRow> {
    let text = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, Option<String>>(at)?.unwrap_or_default());
    Ok(ExchangeRow {
        seq: row.get(0)?,
        time: part.begins().saturating_add(row.get(1)?),
        client: text(2)?,
        user: text(3)?,
        method: text(4)?,
        scheme: text(5)?,
        host: text(6)?,
        port: row.get(7)?,
        path: text(8)?,
        verdict: text(9)?,
        would: text(10)?,
        reason: text(11)?,
        rule: text(12)?,
        dialled: text(13)?,
        status: row.get(14)?,
        up: row.get(15)?,
        down: row.get(16)?,
        ended: text(17)?,
        user_agent: text(18)?,
        ja4: text(19)?,
        open: row.get::<_, Option<i64>>(20)? == Some(1),
    })
}

impl ExchangeRow {
    pub(super) fn id(&self) -> String {
        ExchangeId(self.time.max(0).unsigned_abs()).to_string()
    }

    /// Where it wanted to go; of its path what does not vary.
    pub(super) fn target(&self) -> String {
        let Self { scheme, host, port, path, .. } = self;
        match (scheme.as_str(), port) {
            _ if host.is_empty() => String::new(),
            ("https", 443) | ("http", 80) => format!("{scheme}://{host}{path}"),
            ("http" | "https", port) => format!("{scheme}://{host}:{port}{path}"),
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// What was done, and where the policy is only observed what would have been.
    fn verdict(&self) -> String {
        match (self.verdict.as_str(), self.would.as_str()) {
            (verdict, "") => verdict.to_owned(),
            (verdict, would) => format!("{verdict} (would {would})"),
        }
    }

    fn ended(&self) -> &str {
        if self.open && self.ended.is_empty() { "open" } else { &self.ended }
    }
}

/// A list of exchanges.
pub(super) fn list(name: &'static str, evidence: &Evidence<'_>, rows: &[ExchangeRow], limit: usize) -> Table {
    let columns = [
        ("id", Shape::Text),
        ("time", Shape::Time),
        ("client", Shape::Text),
        ("device", Shape::Text),
        ("user", Shape::Text),
        ("verdict", Shape::Text),
        ("reason", Shape::Text),
        ("rule", Shape::Text),
        ("method", Shape::Text),
        ("target", Shape::Text),
        ("status", Shape::Count),
        ("up", Shape::Bytes),
        ("down", Shape::Bytes),
        ("ended", Shape::Text),
        ("program", Shape::Text),
        ("ja4", Shape::Text),
        ("record", Shape::Count),
    ];
    Table::new(name, &columns).fill(rows, limit, |row| {
        vec![
            Cell::Text(row.id()),
            Cell::time(row.time),
            Cell::text(&*row.client),
            Cell::text(evidence.who.at(&row.client, row.time)),
            Cell::text(&*row.user),
            Cell::text(row.verdict()),
            Cell::text(&*row.reason),
            Cell::text(&*row.rule),
            Cell::text(&*row.method),
            Cell::text(row.target()),
            Cell::of(row.status, Cell::count),
            Cell::of(row.up, Cell::bytes),
            Cell::of(row.down, Cell::bytes),
            Cell::text(row.ended()),
            Cell::text(&*row.user_agent),
            Cell::text(&*row.ja4),
            Cell::count(row.seq),
        ]
    })
}
