use serde::Deserialize;

use crate::facts::Timestamp;

use super::answer::{Answer, Cell, Shape, Table};
use super::ask::{Evidence, Part, QuestionError, Range};

/// What a record of kind `gap` says.
#[derive(Deserialize)]
struct Gap {
    cause: String,
    #[serde(default)]
    detail: String,
    bytes: Option<i64>,
    count: Option<i64>,
}

/// Where the end of a segment, or more, is missing: that is known from the records around it.
const BETWEEN_RECORDS: [&str; 4] = ["torn_tail", "damaged_tail", "records_lost", "reserve"];

/// What is missing in the evidence, the newest first: when that was noted, of what and how much, and why. Where records
/// themselves are missing, the last one in front of it says since when.
///
/// # Errors
/// The index cannot be asked.
pub fn gaps(evidence: &Evidence<'_>, range: Range, limit: usize) -> Result<Answer, QuestionError> {
    let micros = |time: Timestamp| i64::try_from(time.0).unwrap_or(i64::MAX);
    let (since, until) = (range.since.map_or(i64::MIN, micros), range.until.map_or(i64::MAX, micros));
    let connection = evidence.connection();
    let counted = "SELECT count(*) FROM event WHERE kind = 'gap' AND time >= ?1 AND time < ?2";
    let all: i64 = connection.prepare_cached(counted)?.query_row([since, until], |row| row.get(0))?;
    let text = "SELECT seq, time, line FROM event WHERE kind = 'gap' AND time >= ?1 AND time < ?2 \
        ORDER BY time DESC, seq DESC LIMIT ?3";
    let mut statement = connection.prepare_cached(text)?;
    let mut found = statement.query((since, until, i64::try_from(limit).unwrap_or(i64::MAX)))?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let (seq, time, line): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let Ok(gap) = serde_json::from_str::<Gap>(&line) else { continue };
        let before = if BETWEEN_RECORDS.contains(&&*gap.cause) { before(evidence, seq, time)? } else { None };
        rows.push((seq, time, before, gap));
    }
    let columns = [
        ("time", Shape::Time),
        ("since", Shape::Time),
        ("cause", Shape::Text),
        ("missing", Shape::Count),
        ("bytes", Shape::Bytes),
        ("detail", Shape::Sentence),
        ("record", Shape::Count),
    ];
    let mut table = Table::new("gaps", &columns).fill(&rows, limit, |(seq, time, before, gap)| {
        vec![
            Cell::time(*time),
            Cell::of(*before, Cell::time),
            Cell::text(&*gap.cause),
            Cell::of(gap.count, Cell::count),
            Cell::of(gap.bytes, Cell::bytes),
            Cell::text(&*gap.detail),
            Cell::count(*seq),
        ]
    });
    table.more = all.max(0).unsigned_abs().saturating_sub(table.rows.len() as u64);
    let mut answer = Answer::to("gaps", None);
    answer.facts = vec![("gaps", Cell::count(all))];
    answer.tables = vec![table];
    answer.unread = evidence.unread();
    Ok(answer)
}

/// When the last record was written in front of another, as far as the index has it.
fn before(evidence: &Evidence<'_>, seq: i64, time: i64) -> Result<Option<i64>, QuestionError> {
    let text = "SELECT time FROM event WHERE seq < ?1 ORDER BY seq DESC LIMIT 1";
    let mut newest = None;
    let mut statement = evidence.connection().prepare_cached(text)?;
    let mut rows = statement.query([seq])?;
    while let Some(row) = rows.next()? {
        newest = Some(row.get::<_, i64>(0)?);
    }
    let until = Some(Timestamp(time.max(0).unsigned_abs().saturating_add(1)));
    let days = evidence.parts(Range { since: None, until });
    evidence.each(days.last().copied(), |part: &Part| {
        evidence.rows(part, "SELECT x.at FROM {x} x WHERE x.seq < ?1 ORDER BY x.seq DESC LIMIT 1", &[&seq], |row| {
            newest = newest.max(Some(part.begins().saturating_add(row.get(0)?)));
            Ok(())
        })
    })?;
    Ok(newest)
}
