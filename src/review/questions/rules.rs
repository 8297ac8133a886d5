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
        let text = "SELECT x.judgement, count(*), sum(x.stopped IS 1), min(x.at) / 1000, max(x.at) / 1000 FROM {x} x \
            WHERE {within} GROUP BY x.judgement";
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
