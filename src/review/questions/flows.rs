//! Attempts past the proxy, as firewalls and connection tracking told of them.

use std::collections::{HashMap, HashSet};

use rusqlite::ToSql;

use crate::evidence::BACKGROUND_RULES;

use super::answer::{Cell, Shape, Table};
use super::ask::{Evidence, Part, QuestionError};
use super::blocked::Tally;
use super::room::Room;

/// What flows that are alike count and carried.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Passage {
    /// `requests` of it are packets, connections or lines.
    pub(super) tally: Tally,
    packets: i64,
    up: i64,
    down: i64,
}

impl Passage {
    pub(super) fn add(&mut self, flow: &Flow) {
        self.tally.add(flow.count, flow.first, flow.last);
        for (sum, more) in [(&mut self.packets, flow.packets), (&mut self.up, flow.up), (&mut self.down, flow.down)] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Sums by the numbers of client, address and course.
pub(super) type Passages = HashMap<(i64, i64, i64), Passage>;

/// Flows of one day that are alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flow {
    /// Numbers, both of the table `address`, and of `course`.
    pub(super) client: i64,
    pub(super) address: i64,
    pub(super) course: i64,
    pub(super) count: i64,
    packets: i64,
    up: i64,
    down: i64,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// Flows of one day that fit a condition on `w`.
pub(super) fn flows(
    evidence: &Evidence<'_>,
    part: &Part,
    condition: &str,
    given: &[&dyn ToSql],
    mut take: impl FnMut(&Flow),
) -> rusqlite::Result<()> {
    let text = format!(
        "SELECT w.client, w.address, w.course, w.count, w.packets, w.up, w.down, w.first, w.last FROM {{w}} w \
         WHERE {{of w}} AND {condition}"
    );
    evidence.rows(part, &text, given, |row| {
        take(&Flow {
            client: row.get(0)?,
            address: row.get(1)?,
            course: row.get(2)?,
            count: row.get(3)?,
            packets: row.get(4)?,
            up: row.get(5)?,
            down: row.get(6)?,
            first: part.moment(row.get(7)?),
            last: part.moment(row.get(8)?),
        });
        Ok(())
    })
}

/// Sums them, and where there is room each kind of them.
pub(super) fn sum_flows(
    evidence: &Evidence<'_>,
    part: &Part,
    condition: &str,
    given: &[&dyn ToSql],
    all: &mut i64,
    (into, room): (&mut Passages, &mut Room),
) -> rusqlite::Result<()> {
    flows(evidence, part, condition, given, |flow| {
        *all = all.saturating_add(flow.count);
        if let Some(sum) = room.row(into, (flow.client, flow.address, flow.course)) {
            sum.add(flow);
        }
    })
}

/// What flows of one number have in common.
#[derive(Debug, Default, Clone)]
pub(super) struct Course {
    pub(super) host: String,
    port: i64,
    protocol: String,
    pub(super) state: String,
    pub(super) rule: String,
    source: String,
}

pub(super) fn course(evidence: &Evidence<'_>, number: i64) -> Result<Course, QuestionError> {
    let text = "SELECT host, port, protocol, state, rule, source FROM course WHERE id = ?1";
    let mut statement = evidence.connection().prepare_cached(text)?;
    let mut rows = statement.query([number])?;
    let Some(row) = rows.next()? else { return Ok(Course::default()) };
    Ok(Course {
        host: row.get(0)?,
        port: row.get(1)?,
        protocol: row.get(2)?,
        state: row.get(3)?,
        rule: row.get(4)?,
        source: row.get(5)?,
    })
}

/// The courses of what this machine's firewall stops all day, whoever is there.
pub(super) fn background(evidence: &Evidence<'_>) -> Result<HashSet<i64>, QuestionError> {
    let text = "SELECT id FROM course WHERE source = 'nflog' AND rule IN (?1, ?2)";
    let mut statement = evidence.connection().prepare_cached(text)?;
    let numbers = statement.query_map(BACKGROUND_RULES, |row| row.get(0))?;
    Ok(numbers.collect::<Result<_, _>>()?)
}

/// The table of them, the newest first.
pub(super) fn past_proxy(evidence: &Evidence<'_>, sums: &Passages, limit: usize) -> Result<Table, QuestionError> {
    let columns = [
        ("client", Shape::Text),
        ("device", Shape::Text),
        ("address", Shape::Text),
        ("host", Shape::Text),
        ("port", Shape::Count),
        ("protocol", Shape::Text),
        ("state", Shape::Text),
        ("rule", Shape::Text),
        ("source", Shape::Text),
        ("count", Shape::Count),
        ("packets", Shape::Count),
        ("up", Shape::Bytes),
        ("down", Shape::Bytes),
        ("first", Shape::Time),
        ("last", Shape::Time),
    ];
    let mut rows: Vec<(&(i64, i64, i64), &Passage)> = sums.iter().collect();
    rows.sort_unstable_by_key(|(key, sum)| (std::cmp::Reverse(sum.tally.last), **key));
    let mut courses: HashMap<i64, Course> = HashMap::new();
    for ((_, _, number), _) in rows.iter().take(limit) {
        if !courses.contains_key(number) {
            courses.insert(*number, course(evidence, *number)?);
        }
    }
    let unknown = Course::default();
    let some = |number: i64| if number == 0 { Cell::Nothing } else { Cell::count(number) };
    let bytes = |number: i64| if number == 0 { Cell::Nothing } else { Cell::bytes(number) };
    Ok(Table::new("past_proxy", &columns).fill(&rows, limit, |((client, address, number), sum)| {
        let client = evidence.name("address", *client);
        let course = courses.get(number).unwrap_or(&unknown);
        let device = if client.is_empty() { String::new() } else { evidence.who.at(&client, sum.tally.last) };
        vec![
            Cell::text(client),
            Cell::text(device),
            Cell::text(evidence.name("address", *address)),
            Cell::text(&*course.host),
            some(course.port),
            Cell::text(&*course.protocol),
            Cell::text(&*course.state),
            Cell::text(&*course.rule),
            Cell::text(&*course.source),
            Cell::count(sum.tally.requests),
            some(sum.packets),
            bytes(sum.up),
            bytes(sum.down),
            Cell::time(sum.tally.first),
            Cell::time(sum.tally.last),
        ]
    }))
}
