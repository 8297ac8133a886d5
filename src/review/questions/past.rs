use std::cmp::Reverse;
use std::collections::HashMap;

use serde::Deserialize;

use crate::evidence::read_time;

use super::answer::{Cell, Shape, Table};
use super::ask::{Evidence, QuestionError, Range};

/// Records that are read, the newest first: a client that floods has one for each second and destination.
const RECORDS_MAX: i64 = 50_000;
const CUT: &str = "of what was tried past the proxy the newest 50,000 records are summed, and there are older ones";

/// What a record of kind `flow` says.
#[derive(Deserialize)]
struct Flow {
    address: Option<String>,
    port: Option<i64>,
    protocol: Option<String>,
    state: Option<String>,
    rule: Option<String>,
    count: i64,
    bytes_up: Option<i64>,
    bytes_down: Option<i64>,
    first: String,
    last: String,
}

/// Where it was to go, and what became of it.
#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
struct What {
    address: Option<String>,
    port: Option<i64>,
    protocol: Option<String>,
    state: Option<String>,
    rule: Option<String>,
}

struct Sum {
    attempts: i64,
    first: i64,
    last: i64,
    up: Option<i64>,
    down: Option<i64>,
}

/// What clients tried past the proxy, each with the time in which it is asked for, the newest first; and a note where older
/// ones were left out.
pub(super) fn past(
    evidence: &Evidence<'_>,
    clients: &[(&str, Range)],
    limit: usize,
) -> Result<(Table, Option<&'static str>), QuestionError> {
    newest(evidence, clients, limit, RECORDS_MAX)
}

pub(super) fn newest(
    evidence: &Evidence<'_>,
    clients: &[(&str, Range)],
    limit: usize,
    records_max: i64,
) -> Result<(Table, Option<&'static str>), QuestionError> {
    let mut sums: HashMap<What, Sum> = HashMap::new();
    let mut left = records_max;
    let mut is_cut = false;
    // The index of clients leaves out records that name none.
    let text = "SELECT line FROM event WHERE client = ?1 AND client <> '' AND kind = 'flow' AND time >= ?2 AND time < ?3 \
        ORDER BY seq DESC LIMIT ?4";
    let mut statement = evidence.connection().prepare_cached(text)?;
    for (client, range) in clients {
        let (since, until) = range.micros();
        let mut rows = statement.query((client, since, until, left.saturating_add(1)))?;
        while let Some(row) = rows.next()? {
            if left == 0 {
                is_cut = true;
                break;
            }
            left -= 1;
            let Ok(flow) = serde_json::from_str::<Flow>(row.get_ref(0)?.as_str().unwrap_or_default()) else { continue };
            add(&mut sums, flow);
        }
    }
    let mut rows: Vec<(&What, &Sum)> = sums.iter().collect();
    rows.sort_unstable_by_key(|(what, sum)| (Reverse(sum.last), *what));
    Ok((table(&rows, limit), is_cut.then_some(CUT)))
}

fn add(sums: &mut HashMap<What, Sum>, flow: Flow) {
    let Flow { address, port, protocol, state, rule, count, bytes_up, bytes_down, first, last } = flow;
    let micros = |text: &str| read_time(text).map_or(0, |time| i64::try_from(time.0).unwrap_or(i64::MAX));
    let (first, last) = (micros(&first), micros(&last));
    let new = Sum { attempts: 0, first, last, up: None, down: None };
    let sum = sums.entry(What { address, port, protocol, state, rule }).or_insert(new);
    sum.attempts = sum.attempts.saturating_add(count);
    (sum.first, sum.last) = (sum.first.min(first), sum.last.max(last));
    for (sum, more) in [(&mut sum.up, bytes_up), (&mut sum.down, bytes_down)] {
        *sum = more.map_or(*sum, |more| Some(sum.unwrap_or(0).saturating_add(more)));
    }
}

fn table(rows: &[(&What, &Sum)], limit: usize) -> Table {
    let columns = [
        ("address", Shape::Text),
        ("port", Shape::Count),
        ("protocol", Shape::Text),
        ("state", Shape::Text),
        ("rule", Shape::Text),
        ("attempts", Shape::Count),
        ("first", Shape::Time),
        ("last", Shape::Time),
        ("up", Shape::Bytes),
        ("down", Shape::Bytes),
    ];
    Table::new("past_the_proxy", &columns).fill(rows, limit, |(what, sum)| {
        let text = |text: &Option<String>| Cell::of(text.as_deref(), Cell::text);
        vec![
            text(&what.address),
            Cell::of(what.port, Cell::count),
            text(&what.protocol),
            text(&what.state),
            text(&what.rule),
            Cell::count(sum.attempts),
            Cell::time(sum.first),
            Cell::time(sum.last),
            Cell::of(sum.up, Cell::bytes),
            Cell::of(sum.down, Cell::bytes),
        ]
    })
}
