use std::collections::{HashMap, HashSet};

use super::answer::{Answer, Cell, Shape, Table};
use super::ask::{Evidence, QuestionError, Range};
use super::blocked::Tally;
use super::room::Room;

/// A program's sum, the machines that have it, and of the clients the first that is known.
#[derive(Default)]
struct Spread {
    tally: Tally,
    machines: HashSet<i64>,
    client: Option<i64>,
}

/// Machines by numbers: a device that had several addresses is one of them.
#[derive(Default)]
struct Machines {
    /// By client and day.
    known: HashMap<(i64, i64), i64>,
    names: HashMap<String, i64>,
}

impl Machines {
    fn number(&mut self, evidence: &Evidence<'_>, client: i64, day: i64, time: i64, room: &mut Room) -> i64 {
        if let Some(number) = self.known.get(&(client, day)) {
            return *number;
        }
        let name = evidence.who.machine(&evidence.name("client", client), time);
        let next = self.names.len() as i64;
        let number = match room.row(&mut self.names, name) {
            Some(number) if *number == 0 => {
                *number = next + 1;
                next + 1
            }
            Some(number) => *number,
            None => return 0,
        };
        if let Some(known) = room.row(&mut self.known, (client, day)) {
            *known = number;
        }
        number
    }
}

/// What software speaks, by what it shows of itself, and on how many machines: the rarest first.
///
/// # Errors
/// The index cannot be asked.
pub fn programs(evidence: &Evidence<'_>, range: Range, limit: usize) -> Result<Answer, QuestionError> {
    let mut sums: HashMap<i64, Spread> = HashMap::new();
    let (mut machines, mut room) = (Machines::default(), Room::new());
    evidence.each(evidence.parts(range), |part| {
        let text = "SELECT s.program, s.client, s.requests, s.first, s.last FROM {s} s WHERE {of s}";
        evidence.rows(part, text, &[], |row| {
            let (client, last) = (row.get(1)?, part.moment(row.get(4)?));
            let machine = machines.number(evidence, client, part.day, last, &mut room);
            let Some(sum) = room.row(&mut sums, row.get(0)?) else { return Ok(()) };
            sum.tally.add(row.get(2)?, part.moment(row.get(3)?), last);
            room.put(&mut sum.machines, machine);
            sum.client = Some(sum.client.map_or(client, |known: i64| known.min(client)));
            Ok(())
        })
    })?;
    let mut rows: Vec<(i64, Spread)> = sums.into_iter().collect();
    rows.sort_unstable_by_key(|(program, sum)| (sum.machines.len(), sum.tally.requests, *program));
    let alone = rows.iter().filter(|(_, sum)| sum.machines.len() == 1).count();
    let mut answer = Answer::to("programs", None);
    answer.facts = vec![
        ("programs", Cell::count(rows.len() as i64)),
        ("on_one_client", Cell::count(alone as i64)),
        ("clients_of_all", Cell::count(evidence.clients()?)),
    ];
    answer.tables = vec![table(evidence, &rows, limit)?];
    answer.unread = evidence.unread();
    answer.notes = vec![
        "a User-Agent is what software says of itself; JA4 and tls_key are what its TLS shows".to_owned(),
        "`clients` are machines: a device counts once, whatever addresses it had".to_owned(),
    ];
    answer.notes.extend(room.note());
    answer.next = vec!["sekisho review like --by ja4 --value JA4: who else has it".to_owned()];
    Ok(answer)
}

fn table(evidence: &Evidence<'_>, rows: &[(i64, Spread)], limit: usize) -> Result<Table, QuestionError> {
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
    Ok(Table::new("programs", &columns).fill(rows, limit, |(program, Spread { tally, machines, client })| {
        let words: [String; 3] =
            statement.query_row([program], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?])).unwrap_or_default();
        let mut row: Vec<Cell> = words.map(Cell::text).into();
        row.extend([
            Cell::count(machines.len() as i64),
            Cell::count(tally.requests),
            Cell::time(tally.first),
            Cell::time(tally.last),
        ]);
        // The first that is known of them, as one to look at.
        let name = client.map_or(String::new(), |client| evidence.name("client", client));
        row.extend([Cell::text(&*name), Cell::text(evidence.who.at(&name, tally.last))]);
        row
    }))
}
