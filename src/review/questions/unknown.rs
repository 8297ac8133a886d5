use std::collections::{HashMap, HashSet};

use super::answer::{Answer, Cell, Shape, Table};
use super::ask::{Evidence, QuestionError, Range};
use super::client::{DEALINGS, DEALINGS_COLUMNS, Dealings, cells};
use super::findings::Marks;
use super::room::Room;

/// Hosts whose first record lies in the range, with all that was asked of them in it: what fewest clients talk to first,
/// tunnels before requests.
///
/// # Errors
/// The index cannot be asked.
pub fn unknown(evidence: &Evidence<'_>, range: Range, limit: usize) -> Result<Answer, QuestionError> {
    let micros = |time: crate::facts::Timestamp| i64::try_from(time.0).unwrap_or(i64::MAX);
    let (since, until) = (range.since.map_or(i64::MIN, micros), range.until.map_or(i64::MAX, micros));
    let mut new: HashMap<i64, (Dealings, HashSet<i64>)> = HashMap::new();
    let mut room = Room::new();
    evidence.each(evidence.parts(range), |part| {
        let text = format!(
            "SELECT p.host, p.client, {DEALINGS} FROM host h JOIN {{p}} p ON p.host = h.id \
             WHERE {{of p}} AND h.first_time >= ?1 AND h.first_time < ?2"
        );
        evidence.rows(part, &text, &[&since, &until], |row| {
            let Some((dealings, clients)) = room.row(&mut new, row.get(0)?) else { return Ok(()) };
            room.put(clients, row.get(1)?);
            dealings.add(row, 2, part)
        })
    })?;
    let all = evidence.clients()?;
    let tunnels = new.values().filter(|(dealings, _)| dealings.tunnels > 0).count();
    let mut rows: Vec<(i64, (Dealings, HashSet<i64>))> = new.into_iter().collect();
    rows.sort_unstable_by_key(|(host, (dealings, clients))| {
        (clients.len(), dealings.tunnels == 0, std::cmp::Reverse(dealings.tally.requests), *host)
    });
    let mut answer = Answer::to("unknown", None);
    answer.facts = vec![
        ("new_hosts", Cell::count(rows.len() as i64)),
        ("with_tunnels", Cell::count(tunnels as i64)),
        ("clients_of_all", Cell::count(all)),
    ];
    answer.tables = vec![table(evidence, &rows, limit)?];
    answer.unread = evidence.unread();
    answer.notes = vec![format!("`clients` are those that talked to the host or tried to, of {all} ever on record")];
    answer.notes.extend(room.note());
    answer.next = vec!["sekisho review host HOST: who else talks to it, and since when".to_owned()];
    Ok(answer)
}

fn table(
    evidence: &Evidence<'_>,
    rows: &[(i64, (Dealings, HashSet<i64>))],
    limit: usize,
) -> Result<Table, QuestionError> {
    let text = "SELECT h.name, h.domain, coalesce(c.name, ''), h.first_time FROM host h \
        LEFT JOIN client c ON c.id = h.first_client WHERE h.id = ?1";
    let mut statement = evidence.connection().prepare_cached(text)?;
    let marks = Marks::read(evidence)?;
    let columns: Vec<_> = [
        ("host", Shape::Text),
        ("domain", Shape::Text),
        ("clients", Shape::Count),
        ("first_client", Shape::Text),
        ("device", Shape::Text),
        ("mark", Shape::Text),
    ]
    .into_iter()
    .chain(DEALINGS_COLUMNS)
    .collect();
    Ok(Table::new("hosts", &columns).fill(rows, limit, |(host, (dealings, clients))| {
        let known = statement.query_row([host], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?, row.get(3)?))
        });
        let (name, domain, client, first) = known.unwrap_or_default();
        let client = if evidence.may_name(&client) { client } else { String::new() };
        let device = if client.is_empty() { String::new() } else { evidence.who.at(&client, first) };
        let mut row = vec![
            Cell::text(&*name),
            Cell::text(domain),
            Cell::count(clients.len() as i64),
            Cell::text(&*client),
            Cell::text(device),
            Cell::text(marks.of_target(&name, 443, "")),
        ];
        row.extend(cells(dealings));
        row
    }))
}
