use std::collections::{HashMap, HashSet};

use super::answer::{Answer, Cell, Shape, Table};
use super::ask::{Evidence, QuestionError, Range};
use super::blocked::Tally;

/// What software speaks, by what it shows of itself, and on how many clients: the rarest first.
///
/// # Errors
/// The index cannot be asked.
pub fn programs(evidence: &Evidence<'_>, range: Range, limit: usize) -> Result<Answer, QuestionError> {
    let mut sums: HashMap<i64, (Tally, HashSet<i64>)> = HashMap::new();
    evidence.each(evidence.parts(range), |part| {
        let text = "SELECT s.program, s.client, s.requests, s.first, s.last FROM {s} s";
        evidence.rows(part, text, &[], |row| {
            let (tally, clients) = sums.entry(row.get(0)?).or_default();
            tally.add(row.get(2)?, part.moment(row.get(3)?), part.moment(row.get(4)?));
            clients.insert(row.get(1)?);
            Ok(())
        })
    })?;
    let mut rows: Vec<(i64, (Tally, HashSet<i64>))> = sums.into_iter().collect();
    rows.sort_unstable_by_key(|(program, (tally, clients))| (clients.len(), tally.requests, *program));
    let alone = rows.iter().filter(|(_, (_, clients))| clients.len() == 1).count();
    let mut answer = Answer::to("programs", None);
    answer.facts = vec![
        ("programs", Cell::count(rows.len() as i64)),
        ("on_one_client", Cell::count(alone as i64)),
        ("clients_of_all", Cell::count(evidence.clients()?)),
    ];
    answer.tables = vec![table(evidence, &rows, limit)?];
    answer.unread = evidence.unread();
    answer.notes =
        vec!["a User-Agent is what software says of itself; JA4 and tls_key are what its TLS shows".to_owned()];
    answer.next = vec!["sekisho review like ID --by ja4: who else has it".to_owned()];
    Ok(answer)
}

fn table(evidence: &Evidence<'_>, rows: &[(i64, (Tally, HashSet<i64>))], limit: usize) -> Result<Table, QuestionError> {
    let text = "SELECT user_agent, ja4, tls_key FROM program WHERE id = ?1";
    let mut statement = evidence.connection().prepare_cached(text)?;
    let columns = [
        ("program", Shape::Text),
        ("ja4", Shape::Text),
        ("tls_key", Shape::Text),
        ("clients", Shape::Count),
        ("requests", Shape::Count),
        ("first", Shape::Time),
        ("last", Shape::Time),
        ("client", Shape::Text),
        ("device", Shape::Text),
    ];
    Ok(Table::new("programs", &columns).fill(rows, limit, |(program, (tally, clients))| {
        let words: [String; 3] =
            statement.query_row([program], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?])).unwrap_or_default();
        let mut row: Vec<Cell> = words.map(Cell::text).into();
        row.extend([
            Cell::count(clients.len() as i64),
            Cell::count(tally.requests),
            Cell::time(tally.first),
            Cell::time(tally.last),
        ]);
        // The first that is known of them, as one to look at.
        let name = clients.iter().min().map_or(String::new(), |client| evidence.name("client", *client));
        row.extend([Cell::text(&*name), Cell::text(evidence.who.at(&name, tally.last))]);
        row
    }))
}
