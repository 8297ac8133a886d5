use std::collections::HashMap;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension, params};
use serde::Serialize;

use crate::evidence::{format_time, joined, read_retention, shown};
use crate::facts::Timestamp;
use crate::store::{DAY_US, Index, IndexError, SealError, VerifyBy, checkpoint_key, verify};

/// A month of evidence, for an auditor: whether it is whole, what was stopped, what was found and what was done about it. Days
/// and the month are those of UTC, as segments are.
#[derive(Debug, Serialize)]
pub struct MonthReport {
    /// Such as `2026-11`.
    pub month: String,
    pub written: String,
    /// Each day of the month that has begun.
    pub days: Vec<ReportDay>,
    pub first_seq: u64,
    pub last_seq: u64,
    /// Numbers between them of which there is no record in the index: 0 where the evidence is whole.
    pub missing: u64,
    /// Those that went with days that are kept no longer; they count as missing nowhere.
    pub dropped: u64,
    /// Times that the clock stepped back, ever.
    pub clock_steps: u64,
    /// Records that tell of evidence that is missing, or of the gate doing its work less well.
    pub gaps: Events,
    pub stopped: Vec<Stopped>,
    pub clients: Vec<Named>,
    pub hosts: Vec<Named>,
    pub findings: Vec<Found>,
    /// Findings beyond those listed.
    pub findings_beyond: u64,
    /// What came into force, and what people did.
    pub policies: Events,
    pub admin: Events,
    /// Look-ups of people's records.
    pub lookups: u64,
    pub verification: Verification,
}

/// One day.
#[derive(Debug, Default, Serialize)]
pub struct ReportDay {
    /// Such as `2026-11-25`.
    pub day: String,
    pub records: u64,
    pub exchanges: u64,
    pub clients: u64,
    /// Denied or challenged.
    pub stopped: u64,
    /// Let out only because the policy is observed.
    pub would: u64,
}

/// What was stopped for one reason.
#[derive(Debug, Serialize)]
pub struct Stopped {
    pub verdict: String,
    pub reason: String,
    pub rule: String,
    pub requests: u64,
    pub clients: u64,
    pub hosts: u64,
}

/// A client or host with what was stopped of it.
#[derive(Debug, Serialize)]
pub struct Named {
    pub name: String,
    pub requests: u64,
}

/// Records of one kind: the first of them, and how many there are.
#[derive(Debug, Default, Serialize)]
pub struct Events {
    pub count: u64,
    pub first: Vec<ReportEvent>,
}

#[derive(Debug, Serialize)]
pub struct ReportEvent {
    pub seq: u64,
    pub time: String,
    pub kind: String,
    pub action: String,
    pub detail: String,
}

/// A finding that was told in the month, with what was done about it.
#[derive(Debug, Serialize)]
pub struct Found {
    pub id: String,
    pub severity: String,
    pub kind: String,
    pub client: String,
    pub target: String,
    pub first: String,
    pub last: String,
    pub english: String,
    pub japanese: String,
    /// What was imposed, lifted, or said of it, in order.
    pub done: Vec<ReportEvent>,
}

/// What `verify` said of the whole journal when the report was written.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Verification {
    pub is_whole: bool,
    /// In words, for a person.
    pub words: Vec<String>,
}

impl Verification {
    /// Verifies the journal of a data directory, which takes a while.
    ///
    /// # Errors
    /// The gate's key cannot be read. What does not verify is no error.
    pub fn of_journal(data_dir: &Path) -> Result<Self, SealError> {
        let key = checkpoint_key(data_dir)?;
        let found = match verify(data_dir, &VerifyBy { key: key.clone(), ..VerifyBy::default() }) {
            Ok(found) => found,
            Err(error) => return Ok(Self { is_whole: false, words: vec![error.to_string()] }),
        };
        let vouched = match key.filter(|_| found.vouched_to > 0) {
            Some(key) => format!(
                "records up to {} are vouched for by checkpoints of key {}, which lies beside the journal: compare it, \
                 and the checkpoints that were sent off the machine, with `sekisho verify --key --checkpoints`",
                found.vouched_to,
                key.id()
            ),
            None => "no checkpoint vouches for any of it yet".to_owned(),
        };
        let words = vec![
            format!("{} records in {} segments, {} of them sealed", found.records, found.segments, found.sealed),
            format!("hash of the last record: {}", found.hash),
            vouched,
        ];
        Ok(Self { is_whole: true, words })
    }
}

/// A month of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Month {
    year: i16,
    month: i8,
}

/// It is no month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write a month as in 2026-11")]
pub struct BadMonth;

impl std::str::FromStr for Month {
    type Err = BadMonth;

    fn from_str(text: &str) -> Result<Self, BadMonth> {
        let (year, month) = text.split_once('-').ok_or(BadMonth)?;
        let is_written_so = text.len() == 7 && year.len() == 4;
        let (year, month) = (year.parse().map_err(|_| BadMonth)?, month.parse().map_err(|_| BadMonth)?);
        let is_one = is_written_so && (1970..=9998).contains(&year) && (1..=12).contains(&month);
        is_one.then_some(Self { year, month }).ok_or(BadMonth)
    }
}

impl std::fmt::Display for Month {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl Month {
    /// The month before the one of this time.
    pub fn before(now: Timestamp) -> Self {
        let text = format_time(now);
        let this: Self = text.get(..7).and_then(|text| text.parse().ok()).unwrap_or(Self { year: 1970, month: 2 });
        match this.month {
            1 => Self { year: this.year - 1, month: 12 },
            month => Self { year: this.year, month: month - 1 },
        }
    }

    /// Its first day and the first one behind it, counted from 1970-01-01.
    fn days(self) -> (i64, i64) {
        let first = |year, month| {
            let date = jiff::civil::Date::new(year, month, 1).unwrap_or(jiff::civil::Date::constant(1970, 1, 1));
            date.to_zoned(jiff::tz::TimeZone::UTC).map_or(0, |date| date.timestamp().as_microsecond() / DAY_US)
        };
        let (year, month) = if self.month == 12 { (self.year + 1, 1) } else { (self.year, self.month + 1) };
        (first(self.year, self.month), first(year, month))
    }
}

/// Rows of each list at most.
const ROWS_MAX: i64 = 100;
const NAMES_MAX: i64 = 20;
const FINDINGS_MAX: i64 = 1_000;
/// Records of what was done about findings.
const DONE_MAX: i64 = 20_000;

/// The month's report from the index, as of `now`.
///
/// # Errors
/// The index cannot be read.
pub fn month_report(
    index: &Index,
    month: Month,
    verification: Verification,
    now: Timestamp,
) -> Result<MonthReport, IndexError> {
    let (begin, end) = month.days();
    let indexed: Vec<i64> = index.days()?.into_iter().filter(|day| (begin..end).contains(day)).collect();
    let connection = index.connection();
    let today = i64::try_from(now.0).unwrap_or(i64::MAX) / DAY_US;
    let mut days = Vec::new();
    for day in begin..end.min(today.saturating_add(1)) {
        days.push(of_day(connection, day, indexed.contains(&day))?);
    }
    let (first_seq, last_seq, records): (i64, i64, i64) = connection.query_row(
        "SELECT coalesce(min(first_seq), 0), coalesce(max(last_seq), 0), coalesce(sum(records), 0) FROM day
         WHERE day >= ?1 AND day < ?2",
        params![begin, end],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let span = if records > 0 { last_seq - first_seq + 1 } else { 0 };
    let dropped = dropped(connection, (first_seq.unsigned_abs(), last_seq.unsigned_abs()))?;
    let events = |kinds: &str| events(connection, kinds, (begin, end));
    let (findings, findings_beyond) = findings(connection, (begin, end))?;
    Ok(MonthReport {
        month: month.to_string(),
        written: format_time(now),
        days,
        first_seq: first_seq.unsigned_abs(),
        last_seq: last_seq.unsigned_abs(),
        missing: u64::try_from(span - records).unwrap_or(0).saturating_sub(dropped),
        dropped,
        clock_steps: index.indexed()?.backward,
        gaps: events("'gap', 'health', 'retention'")?,
        stopped: stopped(connection, &indexed)?,
        clients: named(connection, &indexed, "client")?,
        hosts: named(connection, &indexed, "host")?,
        findings,
        findings_beyond,
        policies: events("'policy'")?,
        admin: events("'admin', 'triage', 'checkpoint', 'hold', 'contingency'")?,
        lookups: events("'lookup'")?.count,
        verification,
    })
}

/// How many records between two have gone with days that are kept no longer, by the newest record that says so.
fn dropped(connection: &Connection, (first, last): (u64, u64)) -> Result<u64, IndexError> {
    let newest = "SELECT line FROM event WHERE kind = 'retention' AND action = 'dropped' ORDER BY seq DESC LIMIT 1";
    let line = connection.query_row(newest, [], |row| row.get::<_, String>(0)).optional()?;
    let gone = line.and_then(|line| read_retention(line.as_bytes())).map_or_else(Vec::new, |gone| joined(gone.records));
    let within = gone.into_iter().filter_map(|(begin, end)| (end.min(last) + 1).checked_sub(begin.max(first)));
    Ok(within.sum())
}

fn of_day(connection: &Connection, day: i64, is_indexed: bool) -> Result<ReportDay, IndexError> {
    let name = format_time(Timestamp(day.saturating_mul(DAY_US).unsigned_abs()));
    let mut found = ReportDay { day: name.get(..10).unwrap_or_default().to_owned(), ..ReportDay::default() };
    if !is_indexed {
        return Ok(found);
    }
    let of_day = "SELECT records, exchanges FROM day WHERE day = ?1";
    let number = |row: &rusqlite::Row<'_>, at| row.get::<_, i64>(at).map(i64::unsigned_abs);
    (found.records, found.exchanges) =
        connection.query_row(of_day, [day], |row| Ok((number(row, 0)?, number(row, 1)?)))?;
    let sums = format!(
        "SELECT count(DISTINCT client), coalesce(sum(challenged + denied), 0), coalesce(sum(would), 0) FROM p_{day}"
    );
    (found.clients, found.stopped, found.would) =
        connection.query_row(&sums, [], |row| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?)))?;
    Ok(found)
}

/// All days' tables of this letter as one.
fn all(letter: char, days: &[i64]) -> String {
    let tables: Vec<_> = days.iter().map(|day| format!("SELECT * FROM {letter}_{day}")).collect();
    format!("({})", tables.join(" UNION ALL "))
}

fn stopped(connection: &Connection, days: &[i64]) -> Result<Vec<Stopped>, IndexError> {
    if days.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT CASE WHEN j.stopped = 1 THEN j.verdict ELSE 'would ' || j.would END AS said, j.reason, j.rule,
            sum(r.requests) AS requests, count(DISTINCT r.client), count(DISTINCT r.host)
         FROM {} r JOIN judgement j ON j.id = r.judgement
         GROUP BY said, j.reason, j.rule ORDER BY requests DESC, said, j.reason, j.rule LIMIT ?1",
        all('r', days)
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map([ROWS_MAX], |row| {
        let text = |at| row.get::<_, String>(at).map(|text| shown(&text).into_owned());
        let number = |at| row.get::<_, i64>(at).map(i64::unsigned_abs);
        Ok(Stopped {
            verdict: text(0)?,
            reason: text(1)?,
            rule: text(2)?,
            requests: number(3)?,
            clients: number(4)?,
            hosts: number(5)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The clients or hosts of which most was stopped.
fn named(connection: &Connection, days: &[i64], what: &str) -> Result<Vec<Named>, IndexError> {
    if days.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT n.name, sum(r.requests) AS requests FROM {} r JOIN judgement j ON j.id = r.judgement AND j.stopped = 1
         JOIN {what} n ON n.id = r.{what} GROUP BY n.id ORDER BY requests DESC, n.name LIMIT ?1",
        all('r', days)
    );
    let mut statement = connection.prepare(&sql)?;
    let rows = statement.query_map([NAMES_MAX], |row| {
        let name = shown(&row.get::<_, String>(0)?).into_owned();
        Ok(Named { name, requests: row.get::<_, i64>(1)?.unsigned_abs() })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn events(connection: &Connection, kinds: &str, (begin, end): (i64, i64)) -> Result<Events, IndexError> {
    let (from, to) = (begin.saturating_mul(DAY_US), end.saturating_mul(DAY_US));
    let range = format!("FROM event WHERE kind IN ({kinds}) AND time >= ?1 AND time < ?2");
    let count: i64 = connection.query_row(&format!("SELECT count(*) {range}"), params![from, to], |row| row.get(0))?;
    let mut statement =
        connection.prepare(&format!("SELECT seq, time, kind, action, line {range} ORDER BY seq LIMIT ?3"))?;
    let rows = statement.query_map(params![from, to, ROWS_MAX], event)?;
    Ok(Events { count: count.unsigned_abs(), first: rows.collect::<Result<_, _>>()? })
}

fn event(row: &rusqlite::Row<'_>) -> rusqlite::Result<ReportEvent> {
    let text = |at| row.get::<_, String>(at).map(|text| shown(&text).into_owned());
    Ok(ReportEvent {
        seq: row.get::<_, i64>(0)?.unsigned_abs(),
        time: format_time(Timestamp(row.get::<_, i64>(1)?.unsigned_abs())),
        kind: text(2)?,
        action: text(3)?,
        detail: detail(&row.get::<_, String>(4)?),
    })
}

/// What a record says beside its kind and action, in a line.
fn detail(line: &str) -> String {
    const SAID: [&str; 18] = [
        "detail", "file", "hash", "mode", "subject", "do", "client", "device", "target", "place", "until", "response",
        "login", "why", "mark", "segment", "days", "question",
    ];
    let Ok(record) = serde_json::from_str::<serde_json::Value>(line) else { return String::new() };
    let said = SAID.iter().filter_map(|name| {
        let value = record.get(name)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some(if *name == "detail" { text } else { format!("{name} {text}") })
    });
    let text = said.collect::<Vec<_>>().join(", ");
    let end = text.floor_char_boundary(DETAIL_BYTES_MAX);
    shown(text.get(..end).unwrap_or_default()).into_owned()
}

const DETAIL_BYTES_MAX: usize = 400;

/// Findings that were told or told again in these days, and how many there are beside them.
fn findings(connection: &Connection, (begin, end): (i64, i64)) -> Result<(Vec<Found>, u64), IndexError> {
    let (from, to) = (begin.saturating_mul(DAY_US), end.saturating_mul(DAY_US));
    let range = "FROM finding WHERE first_told < ?2 AND told >= ?1";
    let count: i64 = connection.query_row(&format!("SELECT count(*) {range}"), params![from, to], |row| row.get(0))?;
    let mut done = done(connection, to)?;
    let mut statement = connection.prepare(&format!(
        "SELECT id, severity, kind, client, target, first, last, english, japanese {range}
         ORDER BY CASE severity WHEN 'high' THEN 0 WHEN 'medium' THEN 1 ELSE 2 END, weight DESC, id LIMIT ?3"
    ))?;
    let rows = statement.query_map(params![from, to, FINDINGS_MAX], |row| {
        let text = |at| row.get::<_, String>(at).map(|text| shown(&text).into_owned());
        let time = |at| row.get::<_, i64>(at).map(|time| format_time(Timestamp(time.unsigned_abs())));
        let id = text(0)?;
        Ok(Found {
            done: done.remove(&id).unwrap_or_default(),
            id,
            severity: text(1)?,
            kind: text(2)?,
            client: text(3)?,
            target: text(4)?,
            first: time(5)?,
            last: time(6)?,
            english: text(7)?,
            japanese: text(8)?,
        })
    })?;
    let found = rows.collect::<Result<Vec<_>, _>>()?;
    let beyond = count.unsigned_abs().saturating_sub(found.len() as u64);
    Ok((found, beyond))
}

/// What was done about findings before a time, by their ids.
fn done(connection: &Connection, to: i64) -> Result<HashMap<String, Vec<ReportEvent>>, IndexError> {
    let mut statement = connection.prepare(
        "SELECT seq, time, kind, action, line FROM event WHERE kind IN ('restraint', 'triage') AND time < ?1
         ORDER BY seq DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![to, DONE_MAX])?;
    let mut done: HashMap<String, Vec<ReportEvent>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let line: String = row.get(4)?;
        let record: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
        if let Some(id) = record.get("finding_id").and_then(|id| id.as_str()) {
            done.entry(id.to_owned()).or_default().insert(0, event(row)?);
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests;
