use std::collections::HashMap;

use super::answer::{Answer, Cell, Shape, Table};
use super::ask::{Evidence, QuestionError, Range};
use super::blocked::Tally;

/// How often each rule decided, and when last: the most used first. A rule is named as records have it, with its file and line.
///
/// # Errors
/// The index cannot be asked.
pub fn rules(evidence: &Evidence<'_>, range: Range, limit: usize) -> Result<Answer, QuestionError> {
    let mut sums: HashMap<i64, (Tally, i64)> = HashMap::new();
    evidence.each(evidence.parts(range), |part| {
        let text = "SELECT q.judgement, sum(q.requests), sum(q.stopped), min(q.first), max(q.last) FROM {q} q \
            WHERE q.requests > 0 GROUP BY q.judgement";
        evidence.rows(part, text, &[], |row| {
            let (tally, stopped) = sums.entry(row.get(0)?).or_default();
            tally.add(row.get(1)?, part.moment(row.get(3)?), part.moment(row.get(4)?));
            *stopped += row.get::<_, Option<i64>>(2)?.unwrap_or_default();
            Ok(())
        })
    })?;
    let mut by_rule: HashMap<(String, String), (Tally, i64)> = HashMap::new();
    let mut statement = evidence.connection().prepare_cached("SELECT rule, rule_at FROM judgement WHERE id = ?1")?;
    for (judgement, (tally, stopped)) in sums {
        let named = statement.query_row([judgement], |row| Ok((row.get(0)?, row.get(1)?)));
        let (sum, all_stopped) = by_rule.entry(named.unwrap_or_default()).or_default();
        sum.add(tally.requests, tally.first, tally.last);
        *all_stopped += stopped;
    }
    by_rule.remove(&(String::new(), String::new()));
    let mut rows: Vec<_> = by_rule.into_iter().collect();
    rows.sort_unstable_by(|(one, (a, _)), (other, (b, _))| b.requests.cmp(&a.requests).then_with(|| one.cmp(other)));
    let columns = [
        ("rule", Shape::Text),
        ("at", Shape::Text),
        ("requests", Shape::Count),
        ("stopped", Shape::Count),
        ("first", Shape::Time),
        ("last", Shape::Time),
    ];
    let mut answer = Answer::to("rules", None);
    answer.tables = vec![Table::new("rules", &columns).fill(&rows, limit, |((rule, at), (tally, stopped))| {
        vec![
            Cell::text(&**rule),
            Cell::text(&**at),
            Cell::count(tally.requests),
            Cell::count(*stopped),
            Cell::time(tally.first),
            Cell::time(tally.last),
        ]
    })];
    answer.unread = evidence.unread();
    Ok(answer)
}

/// How many exchanges were stopped that began in a range, to the quarter of an hour in which it begins and ends: asked of the
/// summaries of days alone, however many there were.
///
/// # Errors
/// The index cannot be asked.
pub fn stopped(evidence: &Evidence<'_>, range: Range) -> Result<u64, QuestionError> {
    let mut sum = 0_i64;
    for (part, from, until) in evidence.quarters(range) {
        evidence.each([part], |part| {
            let text = "SELECT coalesce(sum(q.stopped), 0) FROM {q} q WHERE q.quarter >= ?1 AND q.quarter < ?2";
            evidence.rows(part, text, &[&from, &until], |row| {
                sum = sum.saturating_add(row.get(0)?);
                Ok(())
            })
        })?;
    }
    Ok(sum.max(0).unsigned_abs())
}
