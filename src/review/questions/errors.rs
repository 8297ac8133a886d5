use std::collections::{BTreeMap, HashMap, HashSet};

use super::answer::{Answer, Cell, Shape, Table};
use super::ask::{Evidence, QuestionError, Range};
use super::blocked::Tally;
use super::room::Room;

/// The classes of the table `ending`, in the order of their columns.
const CLASSES: [&str; 6] = ["dns", "refused", "unanswered", "reset", "tls", "other"];

#[derive(Default)]
struct Failures {
    tally: Tally,
    by_class: [i64; CLASSES.len()],
    clients: HashSet<i64>,
    hosts: HashSet<i64>,
}

impl Failures {
    fn add(
        &mut self,
        class: usize,
        (requests, first, last): (i64, i64, i64),
        (client, host): (i64, i64),
        room: &mut Room,
    ) {
        self.tally.add(requests, first, last);
        if let Some(sum) = self.by_class.get_mut(class) {
            *sum = sum.saturating_add(requests);
        }
        room.put(&mut self.clients, client);
        room.put(&mut self.hosts, host);
    }
}

/// What was let out and came to nothing: by how, by client, by host.
///
/// # Errors
/// The index cannot be asked.
pub fn errors(evidence: &Evidence<'_>, range: Range, limit: usize) -> Result<Answer, QuestionError> {
    let mut by_ending: BTreeMap<(String, String, String), Failures> = BTreeMap::new();
    let mut by_client: HashMap<i64, Failures> = HashMap::new();
    let mut by_host: HashMap<i64, Failures> = HashMap::new();
    let mut all = 0_i64;
    let mut room = Room::new();
    evidence.each(evidence.parts(range), |part| {
        let text = "SELECT f.client, f.host, f.requests, f.first, f.last, e.class, e.closed_by, e.closed_how \
            FROM {f} f JOIN ending e ON e.id = f.ending WHERE {of f}";
        evidence.rows(part, text, &[], |row| {
            let (client, host) = (row.get(0)?, row.get(1)?);
            let count = (row.get(2)?, part.moment(row.get(3)?), part.moment(row.get(4)?));
            let class: String = row.get(5)?;
            let number = CLASSES.iter().position(|known| *known == class).unwrap_or(CLASSES.len() - 1);
            all = all.saturating_add(count.0);
            // Endings are of a small vocabulary.
            let ending = by_ending.entry((class, row.get(6)?, row.get(7)?)).or_default();
            ending.add(number, count, (client, host), &mut room);
            for failures in [room.row(&mut by_client, client), room.row(&mut by_host, host)].into_iter().flatten() {
                failures.add(number, count, (client, host), &mut room);
            }
            Ok(())
        })
    })?;
    let mut answer = Answer::to("errors", None);
    answer.facts = vec![
        ("failed", Cell::count(all)),
        ("clients", Cell::count(by_client.len() as i64)),
        ("hosts", Cell::count(by_host.len() as i64)),
    ];
    answer.tables = vec![
        by(evidence, "clients", "client", &by_client, limit),
        by(evidence, "hosts", "host", &by_host, limit),
        endings(by_ending, limit),
    ];
    answer.unread = evidence.unread();
    answer.notes.extend(room.note());
    answer.next = vec![
        "sekisho review client CLIENT: where it failed, and how".to_owned(),
        "sekisho review host HOST: who reaches it, and who does not".to_owned(),
    ];
    Ok(answer)
}

/// By client or by host.
fn by(
    evidence: &Evidence<'_>,
    name: &'static str,
    key: &'static str,
    sums: &HashMap<i64, Failures>,
    limit: usize,
) -> Table {
    let is_client = key == "client";
    let mut rows: Vec<(&i64, &Failures)> = sums.iter().collect();
    rows.sort_unstable_by_key(|(number, failures)| (std::cmp::Reverse(failures.tally.requests), **number));
    let mut columns = vec![(key, Shape::Text)];
    columns.push(if is_client { ("device", Shape::Text) } else { ("clients", Shape::Count) });
    columns.push(("failed", Shape::Count));
    columns.extend(CLASSES.map(|class| (class, Shape::Count)));
    if is_client {
        columns.push(("hosts", Shape::Count));
    }
    columns.extend([("first", Shape::Time), ("last", Shape::Time)]);
    Table::new(name, &columns).fill(&rows, limit, |(number, failures)| {
        let name = evidence.name(key, **number);
        let beside = if is_client {
            Cell::text(evidence.who.at(&name, failures.tally.last))
        } else {
            Cell::count(failures.clients.len() as i64)
        };
        let mut row = vec![Cell::text(name), beside, Cell::count(failures.tally.requests)];
        row.extend(failures.by_class.map(Cell::count));
        if is_client {
            row.push(Cell::count(failures.hosts.len() as i64));
        }
        row.extend([Cell::time(failures.tally.first), Cell::time(failures.tally.last)]);
        row
    })
}

fn endings(sums: BTreeMap<(String, String, String), Failures>, limit: usize) -> Table {
    let columns = [
        ("failure", Shape::Text),
        ("at_fault", Shape::Text),
        ("ended", Shape::Text),
        ("failed", Shape::Count),
        ("clients", Shape::Count),
        ("hosts", Shape::Count),
    ];
    let mut rows: Vec<_> = sums.into_iter().collect();
    rows.sort_by_key(|(_, failures)| std::cmp::Reverse(failures.tally.requests));
    Table::new("endings", &columns).fill(&rows, limit, |((class, by, how), failures)| {
        vec![
            Cell::text(&**class),
            Cell::text(&**by),
            Cell::text(&**how),
            Cell::count(failures.tally.requests),
            Cell::count(failures.clients.len() as i64),
            Cell::count(failures.hosts.len() as i64),
        ]
    })
}
