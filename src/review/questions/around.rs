use rusqlite::OptionalExtension;

use crate::facts::{ExchangeId, Timestamp};
use crate::store::DAY_US;

use super::answer::{Answer, Cell, Shape, Table};
use super::ask::{Evidence, Part, QuestionError, Range};
use super::findings::{Wanted, found};
use super::rows::{ExchangeRow, exchanges, list};

/// All that the client of an exchange or record did within a span of it, by the order of the records: exchanges, events,
/// findings. `named` is an exchange's id or a record's number.
///
/// # Errors
/// It is not in the index, or the index cannot be asked.
pub fn around(evidence: &Evidence<'_>, named: &str, span: u64, limit: usize) -> Result<Answer, QuestionError> {
    let (client, time) = whose(evidence, named)?;
    let span = i64::try_from(span).unwrap_or(i64::MAX);
    let moment = |micros: i64| Timestamp(micros.max(0).unsigned_abs());
    let range = Range {
        since: Some(moment(time.saturating_sub(span))),
        until: Some(moment(time.saturating_add(span).saturating_add(1))),
    };
    let number = evidence.number("client", &client)?.unwrap_or_default();
    let mut rows = Vec::new();
    evidence.each(evidence.parts(range), |part| {
        exchanges(evidence, part, "x.client = ?1", &[&number], false, limit + 1, &mut rows)
    })?;
    // By the order of the records, also where the clock was set.
    rows.sort_by_key(|row: &ExchangeRow| row.seq);
    let mut answer = Answer::to("around", Some(named.to_owned()));
    answer.range = Some(range);
    answer.facts = vec![
        ("client", Cell::text(&*client)),
        ("device", Cell::text(evidence.who.at(&client, time))),
        ("time", Cell::time(time)),
    ];
    let wanted = Wanted { clients: Some(vec![client.clone()]), ..Wanted::default() };
    answer.tables = vec![
        list("exchanges", evidence, &rows, limit),
        events(evidence, &client, range, limit)?,
        found(evidence, &wanted, range, limit)?,
    ];
    answer.unread = evidence.unread();
    answer.next = vec![
        format!("sekisho review client {client}: every destination it ever had"),
        "sekisho review like ID --by host|domain|network|ja4|path|size|minute: what else is like one of these"
            .to_owned(),
    ];
    Ok(answer)
}

/// The client of an exchange or record, and its time.
fn whose(evidence: &Evidence<'_>, named: &str) -> Result<(String, i64), QuestionError> {
    if let Some(row) = row_named(evidence, named)? {
        return Ok((row.client, row.time));
    }
    let no_row = || QuestionError::NoRow(named.to_owned());
    let number: i64 = named.parse().map_err(|_| no_row())?;
    for text in [
        "SELECT client, time FROM event WHERE seq = ?1 AND client <> ''",
        "SELECT client, last FROM finding WHERE seq = ?1 AND client <> ''",
    ] {
        let mut statement = evidence.connection().prepare_cached(text)?;
        let found = statement.query_row([number], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        if let Some(found) = found {
            return Ok(found);
        }
    }
    Err(no_row())
}

/// The exchange of this id, or of this opening record.
pub(super) fn row_named(evidence: &Evidence<'_>, named: &str) -> Result<Option<ExchangeRow>, QuestionError> {
    let mut found = Vec::new();
    if let Ok(id) = named.parse::<ExchangeId>() {
        let time = i64::try_from(id.0).unwrap_or(i64::MAX);
        // An exchange is of the day of its first record, which may be the one after its id, or more where it waited.
        let day = time / DAY_US;
        let parts = evidence.parts_of_all(Range::default()).into_iter();
        let parts = parts.filter(|part| (day..=day + 1).contains(&part.day));
        evidence.each(parts, |part| {
            let at = time.saturating_sub(part.begins());
            exchanges(evidence, part, "x.at = ?1", &[&at], false, 1, &mut found)
        })?;
    } else if let Ok(seq) = named.parse::<i64>() {
        let parts = parts_with(evidence, seq)?;
        evidence.each(parts, |part| exchanges(evidence, part, "x.seq = ?1", &[&seq], false, 1, &mut found))?;
    }
    Ok(found.into_iter().next())
}

/// The days whose records go around this number.
fn parts_with(evidence: &Evidence<'_>, seq: i64) -> Result<Vec<Part>, QuestionError> {
    let text = "SELECT day FROM day WHERE first_seq <= ?1 AND last_seq >= ?1";
    let mut statement = evidence.connection().prepare_cached(text)?;
    let days = statement.query_map([seq], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    Ok(evidence.parts_of_all(Range::default()).into_iter().filter(|part| days.contains(&part.day)).collect())
}

/// Records of other kinds that are about the client.
fn events(evidence: &Evidence<'_>, client: &str, range: Range, limit: usize) -> Result<Table, QuestionError> {
    let columns = [
        ("time", Shape::Time),
        ("kind", Shape::Text),
        ("action", Shape::Text),
        ("target", Shape::Text),
        ("record", Shape::Count),
    ];
    let micros = |time: Option<Timestamp>| time.map_or(0, |time| i64::try_from(time.0).unwrap_or(i64::MAX));
    let text = "SELECT time, kind, action, target, seq FROM event WHERE client = ?1 AND client <> '' \
        AND time >= ?2 AND time < ?3 ORDER BY seq";
    let mut statement = evidence.connection().prepare_cached(text)?;
    let rows = statement
        .query_map((client, micros(range.since), micros(range.until)), |row| {
            Ok(vec![
                Cell::time(row.get(0)?),
                Cell::text(row.get::<_, String>(1)?),
                Cell::text(row.get::<_, String>(2)?),
                Cell::text(row.get::<_, String>(3)?),
                Cell::count(row.get(4)?),
            ])
        })?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Table::new("events", &columns).fill(&rows, limit, Clone::clone))
}
