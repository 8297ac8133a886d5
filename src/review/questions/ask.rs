use std::cell::RefCell;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, ToSql};

use crate::facts::Timestamp;
use crate::store::{DAY_US, Index, IndexError, Indexed, QUARTER_US, dialled_in};

use super::client::{Span, spans};
use super::rows::ExchangeRow;
use super::who::Who;

/// The index as questions see it: its days, and the names of devices.
pub struct Evidence<'i> {
    connection: &'i Connection,
    days: Vec<Day>,
    pub(super) who: Who,
    /// Of whom alone it is asked.
    only: Option<Vec<Span>>,
    indexed: Indexed,
    /// Days of the index that could not be read, and why.
    unread: RefCell<Vec<String>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error("the index: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("no device had the name `{0}` in that time, and it is no address")]
    NoDevice(String),
    #[error("`{0}` is no host: {1}")]
    BadHost(String, String),
    #[error("no exchange or record `{0}` is in the index")]
    NoRow(String),
    #[error("that exchange has no {0} to be like")]
    NothingToBeLike(&'static str),
    #[error("`{0}` is no {1}")]
    BadValue(String, &'static str),
}

/// From when on, and until when, which is not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Range {
    pub since: Option<Timestamp>,
    pub until: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Day {
    day: i64,
    last_seq: i64,
    first_time: i64,
    last_time: i64,
}

/// A day, or of it what lies in a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) day: i64,
    /// When what counts began, in microseconds of the day; `None` for all of the day.
    within: Option<(i64, i64)>,
    /// Of whom alone, by the numbers of a client and of its address.
    of: Option<(i64, i64)>,
}

impl Range {
    /// Whether something lies in both.
    pub(super) fn touches(self, other: Range) -> bool {
        let both = self.and(other);
        both.until.is_none_or(|until| both.since.unwrap_or_default() < until)
    }

    /// From where the one begins to where the other ends, of two that touch.
    pub(super) fn or(self, other: Range) -> Self {
        let since = self.since.and_then(|since| Some(since.min(other.since?)));
        let until = self.until.and_then(|until| Some(until.max(other.until?)));
        Self { since, until }
    }

    /// What lies in both.
    fn and(self, other: Range) -> Self {
        let until = match (self.until, other.until) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self { since: self.since.max(other.since), until }
    }

    fn micros(self) -> (i64, i64) {
        let micros = |time: Timestamp| i64::try_from(time.0).unwrap_or(i64::MAX);
        (self.since.map_or(i64::MIN, micros), self.until.map_or(i64::MAX, micros))
    }
}

impl Part {
    /// When the day begins.
    pub(super) fn begins(&self) -> i64 {
        self.day.saturating_mul(DAY_US)
    }

    /// Whether only a part of the day counts, so that there are no sums of it.
    pub(super) fn is_in_part(&self) -> bool {
        self.within.is_some()
    }

    /// A moment of the day that a summary has in milliseconds.
    pub(super) fn moment(&self, ms: i64) -> i64 {
        self.begins().saturating_add(ms.saturating_mul(1000))
    }

    /// A statement with the names of this day's tables: `{p}`, `{r}`, `{f}`, `{s}`, `{w}` and `{q}` are its summaries, or
    /// where it counts in part what they would be of that part; `{of p}` and the like the condition on whose they are;
    /// `{x}` its exchanges and `{within}` the condition on them.
    pub(super) fn sql(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (letter, part) in
            [("p", PAIRS), ("r", STOPPED), ("f", FAILED), ("s", PROGRAMS), ("w", FLOWS), ("q", JUDGED)]
        {
            let table = if self.within.is_some() { part.to_owned() } else { format!("{letter}_DAY") };
            let whose = match (self.of, letter) {
                (None, _) => "1".to_owned(),
                (Some((_, address)), "w") => format!("w.client = {address}"),
                (Some((client, _)), letter) => format!("{letter}.client = {client}"),
            };
            text = text.replace(&format!("{{{letter}}}"), &table).replace(&format!("{{of {letter}}}"), &whose);
        }
        let mut within = self.of.map_or("1".to_owned(), |(client, _)| format!("x.client = {client}"));
        let (from, until) = self.within.unwrap_or((i64::MIN, i64::MAX));
        if self.within.is_some() {
            within = format!("{within} AND x.at >= {from} AND x.at < {until}");
        }
        let text = text.replace("{x}", "x_DAY").replace("{within}", &within);
        let text = text.replace("{from}", &from.to_string()).replace("{until}", &until.to_string());
        text.replace("DAY", &self.day.to_string())
    }
}

const PAIRS: &str = "(SELECT x.client AS client, coalesce(x.host, 0) AS host, min(x.at) / 1000 AS first, \
    max(x.at) / 1000 AS last, count(*) AS requests, \
    sum(x.manner IN (SELECT id FROM manner WHERE scheme = (SELECT id FROM word WHERE name = 'tunnel'))) AS tunnels, \
    sum(x.stopped IS 1 AND j.verdict = 'challenge') AS challenged, sum(x.stopped IS 1 AND j.verdict = 'deny') AS denied, \
    sum(x.stopped IS NULL AND j.would NOT IN ('', 'allow')) AS would, \
    sum(x.stopped IS NULL AND coalesce(e.class, '') <> '') AS failed, \
    coalesce(sum(x.up), 0) AS up, coalesce(sum(x.down), 0) AS down \
    FROM x_DAY x JOIN judgement j ON j.id = x.judgement LEFT JOIN ending e ON e.id = x.ending WHERE {within} \
    GROUP BY x.client, coalesce(x.host, 0))";
const STOPPED: &str = "(SELECT x.judgement AS judgement, x.client AS client, coalesce(x.host, 0) AS host, \
    coalesce(n.port, 443) AS port, count(*) AS requests, min(x.at) / 1000 AS first, max(x.at) / 1000 AS last \
    FROM x_DAY x JOIN judgement j ON j.id = x.judgement LEFT JOIN manner n ON n.id = x.manner \
    WHERE {within} AND (x.stopped = 1 OR j.would NOT IN ('', 'allow')) \
    GROUP BY x.judgement, x.client, coalesce(x.host, 0), coalesce(n.port, 443))";
const FAILED: &str = "(SELECT x.client AS client, coalesce(x.host, 0) AS host, x.ending AS ending, count(*) AS requests, \
    min(x.at) / 1000 AS first, max(x.at) / 1000 AS last FROM x_DAY x JOIN ending e ON e.id = x.ending \
    WHERE {within} AND x.stopped IS NULL AND e.class <> '' GROUP BY x.client, coalesce(x.host, 0), x.ending)";
const PROGRAMS: &str = "(SELECT x.program AS program, x.client AS client, count(*) AS requests, \
    min(x.at) / 1000 AS first, max(x.at) / 1000 AS last FROM x_DAY x WHERE {within} AND x.program IS NOT NULL \
    GROUP BY x.program, x.client)";
const FLOWS: &str = "(SELECT v.client AS client, v.address AS address, v.course AS course, v.count AS count, \
    v.packets AS packets, v.up AS up, v.down AS down, v.first AS first, v.last AS last FROM v_DAY v \
    WHERE v.at >= {from} AND v.at < {until})";
const DIALLED: &str = "SELECT x.host, x.dialled, count(*) FROM {x} x \
    WHERE {within} AND x.dialled IS NOT NULL AND x.host IS NOT NULL";
const JUDGED: &str = "(SELECT x.at / 900000000 AS quarter, x.judgement AS judgement, count(*) AS requests, \
    sum(x.stopped IS 1) AS stopped, min(x.at) / 1000 AS first, max(x.at) / 1000 AS last FROM x_DAY x WHERE {within} \
    GROUP BY x.at / 900000000, x.judgement)";

impl<'i> Evidence<'i> {
    /// # Errors
    /// The index cannot be read.
    pub fn new(index: &'i Index) -> Result<Self, QuestionError> {
        let connection = index.connection();
        connection.set_prepared_statement_cache_capacity(64);
        let mut statement = connection.prepare("SELECT day, last_seq, first_time, last_time FROM day ORDER BY day")?;
        let days = statement
            .query_map([], |row| {
                Ok(Day { day: row.get(0)?, last_seq: row.get(1)?, first_time: row.get(2)?, last_time: row.get(3)? })
            })?
            .collect::<Result<Vec<_>, _>>()?;
        let indexed = index.indexed()?;
        let mut unread = Vec::new();
        if indexed.unreadable > 0 {
            unread.push(format!("{} lines of the journal are no records", indexed.unreadable));
        }
        let segments = index.unread_segments()?;
        unread.extend(segments.iter().map(|(segment, why)| format!("the segment {segment}: {why}")));
        let who = Who::read(connection)?;
        Ok(Self { connection, days, who, only: None, indexed, unread: RefCell::new(unread) })
    }

    /// The same of one client or device alone: what is asked of it tells of nobody else.
    ///
    /// # Errors
    /// No device has that name, or the index cannot be asked.
    pub fn only_of(mut self, name: &str, range: Range) -> Result<Self, QuestionError> {
        self.only = Some(spans(&self, name, range)?);
        Ok(self)
    }

    /// Whether an answer may name this client.
    pub(super) fn may_name(&self, client: &str) -> bool {
        self.only.as_ref().is_none_or(|spans| spans.iter().any(|span| span.client == client))
    }

    /// Whether something that a client did at this time, or from one moment to another, is asked for.
    pub(super) fn is_asked_for(&self, client: &str, first: i64, last: i64) -> bool {
        self.only.as_ref().is_none_or(|spans| {
            spans.iter().any(|span| {
                let (since, until) = span.range.micros();
                span.client == client && last >= since && first < until
            })
        })
    }

    /// How far the journal was read into the index.
    pub fn indexed(&self) -> &Indexed {
        &self.indexed
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }

    /// The days that a range touches, the oldest first; where one client or device is asked for, those days of it.
    pub(super) fn parts(&self, range: Range) -> Vec<Part> {
        let Some(only) = &self.only else { return self.parts_of_all(range) };
        let of_span = |span: &Span| {
            let of = Some((span.number, span.address));
            self.parts_of_all(range.and(span.range))
                .into_iter()
                .map(move |part| Part { of, ..part })
                .collect::<Vec<_>>()
        };
        let mut parts: Vec<Part> = only.iter().flat_map(of_span).collect();
        parts.sort_by_key(|part| part.day);
        parts
    }

    /// The same of everybody.
    pub(super) fn parts_of_all(&self, range: Range) -> Vec<Part> {
        let (since, until) = range.micros();
        let mut parts = Vec::new();
        for Day { day, first_time, last_time, .. } in &self.days {
            let (begins, ends) = (day.saturating_mul(DAY_US), day.saturating_add(1).saturating_mul(DAY_US));
            if ends <= since || begins >= until || since >= until {
                continue;
            }
            let is_whole = (since <= begins || since <= *first_time) && (until >= ends || until > *last_time);
            // What began before the day on which it came on record is of that day all the same.
            let from = if since <= begins { i64::MIN } else { since - begins };
            let to = if until >= ends { i64::MAX } else { until - begins };
            parts.push(Part { day: *day, within: (!is_whole).then_some((from, to)), of: None });
        }
        parts
    }

    /// The newest rows of a range, one more than `limit`, by the order of the records, whatever the clock did. `ask` gives the
    /// newest of one day, or of a part of it, at most so many.
    pub(super) fn newest(
        &self,
        range: Range,
        limit: usize,
        mut ask: impl FnMut(&Part, usize, &mut Vec<ExchangeRow>) -> rusqlite::Result<()>,
    ) -> Result<Vec<ExchangeRow>, QuestionError> {
        let most = limit.saturating_add(1);
        let last_seq = |part: &Part| self.days.iter().find(|day| day.day == part.day).map_or(0, |day| day.last_seq);
        let mut parts: Vec<(i64, Part)> = self.parts(range).into_iter().map(|part| (last_seq(&part), part)).collect();
        parts.sort_by_key(|(last_seq, _)| std::cmp::Reverse(*last_seq));
        let mut rows: Vec<ExchangeRow> = Vec::new();
        for (last_seq, part) in parts {
            if rows.get(limit).is_some_and(|row| row.seq > last_seq) {
                break;
            }
            self.each([part], |part| ask(part, most, &mut rows))?;
            rows.sort_by_key(|row| std::cmp::Reverse(row.seq));
            rows.truncate(most);
        }
        Ok(rows)
    }

    /// The days that a range touches, with the quarters of an hour of each in which it lies, of which the last is not included.
    pub(super) fn quarters(&self, range: Range) -> Vec<(Part, i64, i64)> {
        let (since, until) = range.micros();
        let quarter = |micros: i64, begins: i64| micros.saturating_sub(begins).div_euclid(QUARTER_US);
        let parts = self.parts_of_all(range).into_iter();
        parts
            .map(|part| {
                // As in `parts`: what began before the day on which it came on record is of that day.
                let (begins, ends) = (part.begins(), part.begins().saturating_add(DAY_US));
                let from = if since <= begins { i64::MIN } else { quarter(since, begins) };
                let to = if until >= ends { i64::MAX } else { quarter(until, begins) };
                (Part { within: None, ..part }, from, to)
            })
            .collect()
    }

    /// Asks each day of a range. One that cannot be read is named, and the others are asked all the same.
    pub(super) fn each(
        &self,
        parts: impl IntoIterator<Item = Part>,
        mut ask: impl FnMut(&Part) -> rusqlite::Result<()>,
    ) -> Result<(), QuestionError> {
        for part in parts {
            match ask(&part) {
                Ok(()) => {}
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                    return Err(error.into());
                }
                Err(error) => self.unreadable(&part, &error),
            }
        }
        Ok(())
    }

    fn unreadable(&self, part: &Part, error: &rusqlite::Error) {
        let begins = Timestamp(part.begins().max(0).unsigned_abs());
        let day = crate::evidence::format_time(begins);
        let text = format!("the index of {}: {error}", day.get(..10).unwrap_or(&day));
        let mut unread = self.unread.borrow_mut();
        if !unread.contains(&text) {
            unread.push(text);
        }
    }

    /// What could not be read so far.
    pub(super) fn unread(&self) -> Vec<String> {
        self.unread.borrow().clone()
    }

    /// Asks for rows of one day, each handed to `take`.
    pub(super) fn rows(
        &self,
        part: &Part,
        text: &str,
        given: &[&dyn ToSql],
        mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(&part.sql(text))?;
        let mut rows = statement.query(given)?;
        while let Some(row) = rows.next()? {
            take(row)?;
        }
        Ok(())
    }

    /// At which addresses hosts were dialled on one day, and on how many exchanges: `take` is given host, address and count, of
    /// one pair maybe more than once. `hosts` is a list in brackets of their numbers, or a statement; of all hosts where it is
    /// `None`.
    pub(super) fn dialled(
        &self,
        part: &Part,
        hosts: Option<&str>,
        given: &[&dyn ToSql],
        mut take: impl FnMut(i64, i64, i64),
    ) -> rusqlite::Result<()> {
        // Sums of days are those of all clients.
        if part.within.is_some() || part.of.is_some() {
            let of_hosts = hosts.map(|hosts| format!("AND x.host IN {hosts}")).unwrap_or_default();
            return self.rows(part, &format!("{DIALLED} {of_hosts} GROUP BY x.host, x.dialled"), given, |row| {
                take(row.get(0)?, row.get(1)?, row.get(2)?);
                Ok(())
            });
        }
        let of_hosts = hosts.map(|hosts| format!("WHERE d.host IN {hosts}")).unwrap_or_default();
        self.rows(part, &format!("SELECT d.host, d.addresses FROM d_DAY d {of_hosts}"), given, |row| {
            let host = row.get(0)?;
            let column = row.get_ref(1)?.as_blob_or_null()?.unwrap_or_default();
            dialled_in(column).for_each(|(address, count)| take(host, address, count));
            Ok(())
        })
    }

    /// The number of a name, where it is in the index. `table` is one of ours.
    pub(super) fn number(&self, table: &str, name: &str) -> Result<Option<i64>, QuestionError> {
        let mut statement = self.connection.prepare_cached(&format!("SELECT id FROM {table} WHERE name = ?1"))?;
        Ok(statement.query_row([name], |row| row.get(0)).optional()?)
    }

    /// The name of a number; empty where there is none.
    pub(super) fn name(&self, table: &str, number: i64) -> String {
        let named = self
            .connection
            .prepare_cached(&format!("SELECT name FROM {table} WHERE id = ?1"))
            .and_then(|mut statement| statement.query_row([number], |row| row.get(0)).optional());
        named.ok().flatten().unwrap_or_default()
    }

    /// How many clients have ever been on record.
    pub(super) fn clients(&self) -> Result<i64, QuestionError> {
        Ok(self.connection.query_row("SELECT count(*) FROM client WHERE name <> ''", [], |row| row.get(0))?)
    }
}
