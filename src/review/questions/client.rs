use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;

use crate::evidence::{client_of, format_time};
use crate::facts::Timestamp;
use crate::store::DAY_US;

use super::answer::{Answer, Cell, Shape, Table};
use super::ask::{Evidence, QuestionError, Range};
use super::blocked::Tally;
use super::findings::{Wanted, found};
use super::flows::{Passages, past_proxy, sum_flows};
use super::room::Room;

/// What was done with a host, summed over days.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Dealings {
    pub(super) tally: Tally,
    pub(super) tunnels: i64,
    pub(super) challenged: i64,
    pub(super) denied: i64,
    pub(super) would: i64,
    pub(super) failed: i64,
    pub(super) up: i64,
    pub(super) down: i64,
}

/// The columns of `{p}` that [`Dealings::add`] reads, from the one of this number on.
pub(super) const DEALINGS: &str =
    "p.first, p.last, p.requests, p.tunnels, p.challenged, p.denied, p.would, p.failed, p.up, p.down";

impl Dealings {
    pub(super) fn add(
        &mut self,
        row: &rusqlite::Row<'_>,
        from: usize,
        part: &super::ask::Part,
    ) -> rusqlite::Result<()> {
        let number = |at: usize| row.get::<_, i64>(from + at);
        let (first, last) = (number(0)?, number(1)?);
        let requests = number(2)?;
        // A sum that has no beginning in it says nothing of times.
        if first <= last {
            self.tally.add(requests, part.moment(first), part.moment(last));
        } else {
            self.tally.requests = self.tally.requests.saturating_add(requests);
        }
        for (sum, at) in [
            (&mut self.tunnels, 3),
            (&mut self.challenged, 4),
            (&mut self.denied, 5),
            (&mut self.would, 6),
            (&mut self.failed, 7),
            (&mut self.up, 8),
            (&mut self.down, 9),
        ] {
            *sum = sum.saturating_add(number(at)?);
        }
        Ok(())
    }

    pub(super) fn let_out(&self) -> i64 {
        (self.tally.requests - self.challenged - self.denied).max(0)
    }

    pub(super) fn first(&self) -> Cell {
        if self.tally.first == i64::MAX { Cell::Nothing } else { Cell::time(self.tally.first) }
    }

    pub(super) fn last(&self) -> Cell {
        if self.tally.last == i64::MIN { Cell::Nothing } else { Cell::time(self.tally.last) }
    }
}

/// The heads of what [`cells`] gives.
pub(super) const DEALINGS_COLUMNS: [(&str, Shape); 10] = [
    ("first", Shape::Time),
    ("last", Shape::Time),
    ("let_out", Shape::Count),
    ("tunnels", Shape::Count),
    ("denied", Shape::Count),
    ("challenged", Shape::Count),
    ("would", Shape::Count),
    ("failed", Shape::Count),
    ("up", Shape::Bytes),
    ("down", Shape::Bytes),
];

pub(super) fn cells(dealings: &Dealings) -> [Cell; 10] {
    [
        dealings.first(),
        dealings.last(),
        Cell::count(dealings.let_out()),
        Cell::count(dealings.tunnels),
        Cell::count(dealings.denied),
        Cell::count(dealings.challenged),
        Cell::count(dealings.would),
        Cell::count(dealings.failed),
        Cell::bytes(dealings.up),
        Cell::bytes(dealings.down),
    ]
}

/// All that is summed of a client.
#[derive(Default)]
struct Life {
    all: Dealings,
    hosts: HashMap<i64, Dealings>,
    days: BTreeMap<i64, (Dealings, i64)>,
    /// By host and judgement; by host and ending; by program.
    refused: HashMap<(i64, i64), Tally>,
    failed: HashMap<(i64, i64), Tally>,
    programs: HashMap<i64, Tally>,
    passages: Passages,
    /// What all of these count.
    past: i64,
}

/// A client for a time.
pub(super) struct Span {
    pub(super) client: String,
    /// Its number, and that of its address.
    pub(super) number: i64,
    pub(super) address: i64,
    pub(super) range: Range,
    /// Of a device; an address is asked for as itself.
    is_uncertain: Option<bool>,
}

/// The number of none.
const NONE: i64 = -1;

/// Which clients are meant, and when: an address is itself, a device what it was by then.
pub(super) fn spans(evidence: &Evidence<'_>, name: &str, range: Range) -> Result<Vec<Span>, QuestionError> {
    let address = name.parse::<IpAddr>().map(|address| address.to_canonical().to_string());
    let meant = match address {
        Ok(address) => vec![(address, range, None)],
        Err(_) => {
            let spans = evidence.who.spans(name, range);
            spans.into_iter().map(|(client, range, is_uncertain)| (client, range, Some(is_uncertain))).collect()
        }
    };
    if meant.is_empty() {
        return Err(QuestionError::NoDevice(name.to_owned()));
    }
    let mut spans: Vec<Span> = Vec::new();
    for (client, range, is_uncertain) in meant {
        for client in within(evidence, client)? {
            // What two sources say of the same time counts once.
            let known = spans.iter_mut().find(|span| span.client == client && span.range.touches(range));
            if let Some(known) = known {
                known.range = known.range.or(range);
                known.is_uncertain = known.is_uncertain.max(is_uncertain);
                continue;
            }
            // A device may have had an address without doing anything.
            let number = evidence.number("client", &client)?.unwrap_or(NONE);
            let address = evidence.number("address", &client)?.unwrap_or(NONE);
            spans.push(Span { client, number, address, range, is_uncertain });
        }
    }
    Ok(spans)
}

/// Clients of a network that are asked for, at most.
const WITHIN_MAX: usize = 10_000;

/// A client itself; of a network, as a table of devices may name one, the clients in it that are on record.
fn within(evidence: &Evidence<'_>, client: String) -> Result<Vec<String>, QuestionError> {
    let Some(network) = client.parse::<IpNet>().ok().filter(|_| client.contains('/')) else { return Ok(vec![client]) };
    let mut statement = evidence.connection().prepare_cached("SELECT name FROM client ORDER BY id")?;
    let mut rows = statement.query([])?;
    let mut clients = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(0)?;
        if clients.len() < WITHIN_MAX && name.parse::<IpAddr>().is_ok_and(|address| network.contains(&address)) {
            clients.push(name);
        }
    }
    Ok(if clients.is_empty() { vec![client] } else { clients })
}

/// Every destination that a client or device ever had, refused and failed attempts apart, and its days.
///
/// # Errors
/// No device has that name, or the index cannot be asked.
pub fn client(evidence: &Evidence<'_>, name: &str, range: Range, limit: usize) -> Result<Answer, QuestionError> {
    let spans = spans(evidence, name, range)?;
    let mut life = Life::default();
    let mut rooms = [(); 5].map(|()| Room::one_of(5));
    let [of_hosts, of_refused, of_failed, of_programs, of_flows] = &mut rooms;
    for Span { number, address, range, .. } in &spans {
        evidence.each(evidence.parts_of_all(*range), |part| {
            evidence.rows(
                part,
                &format!("SELECT p.host, {DEALINGS} FROM {{p}} p WHERE p.client = ?1"),
                &[number],
                |row| {
                    life.all.add(row, 1, part)?;
                    if let Some(host) = of_hosts.row(&mut life.hosts, row.get(0)?) {
                        host.add(row, 1, part)?;
                    }
                    let (day, hosts) = life.days.entry(part.day).or_default();
                    *hosts += 1;
                    day.add(row, 1, part)
                },
            )?;
            let refused = "SELECT r.host, r.judgement, r.requests, r.first, r.last FROM {r} r \
                WHERE r.judgement IN (SELECT id FROM judgement) AND r.client = ?1";
            let failed = "SELECT f.host, f.ending, f.requests, f.first, f.last FROM {f} f WHERE f.client = ?1";
            for (text, into, room) in
                [(refused, &mut life.refused, &mut *of_refused), (failed, &mut life.failed, &mut *of_failed)]
            {
                evidence.rows(part, text, &[number], |row| {
                    if let Some(tally) = room.row(into, (row.get(0)?, row.get(1)?)) {
                        tally.add(row.get(2)?, part.moment(row.get(3)?), part.moment(row.get(4)?));
                    }
                    Ok(())
                })?;
            }
            let programs = "SELECT s.program, s.requests, s.first, s.last FROM {s} s \
                WHERE s.program IN (SELECT id FROM program) AND s.client = ?1";
            evidence.rows(part, programs, &[number], |row| {
                if let Some(tally) = of_programs.row(&mut life.programs, row.get(0)?) {
                    tally.add(row.get(1)?, part.moment(row.get(2)?), part.moment(row.get(3)?));
                }
                Ok(())
            })?;
            if *address == NONE {
                return Ok(());
            }
            sum_flows(evidence, part, "w.client = ?1", &[address], &mut life.past, (&mut life.passages, of_flows))
        })?;
    }
    let mut answer = Answer::to("client", Some(name.to_owned()));
    answer.facts =
        vec![("hosts", Cell::count(life.hosts.len() as i64)), ("requests", Cell::count(life.all.tally.requests))];
    answer.facts.extend(DEALINGS_COLUMNS.iter().zip(cells(&life.all)).map(|((key, _), cell)| (*key, cell)));
    answer.facts.push(("past_proxy", Cell::count(life.past)));
    let clients: Vec<String> = spans.iter().map(|span| span.client.clone()).collect();
    let wanted = Wanted { clients: Some(clients), ..Wanted::default() };
    answer.tables = vec![
        destinations(evidence, &life.hosts, limit),
        refused(evidence, &life.refused, limit)?,
        failed(evidence, &life.failed, limit)?,
        past_proxy(evidence, &life.passages, limit)?,
        programs(evidence, &life.programs, limit)?,
        timeline(&life.days, limit),
        addresses(evidence, &spans, range, limit),
        found(evidence, &wanted, range, limit)?,
    ];
    answer.notes.extend(rooms.iter().find_map(Room::note));
    if spans.iter().any(|span| span.is_uncertain == Some(true)) {
        answer.notes.push("for some of its time it is uncertain that the address was this device".to_owned());
    }
    answer.unread = evidence.unread();
    answer.next = vec![
        "sekisho review host HOST: who else talks to one of these".to_owned(),
        "sekisho review around ID: exchanges one by one".to_owned(),
    ];
    Ok(answer)
}

/// The addresses that are certain to be a client now: of an address itself, of a device those that it has.
pub fn current_clients(evidence: &Evidence<'_>, name: &str, now: Timestamp) -> Vec<IpNet> {
    if let Some(client) = client_of(name) {
        return vec![client];
    }
    let range = Range { since: Some(now), until: Some(Timestamp(now.0.saturating_add(1))) };
    let spans = evidence.who.spans(name, range);
    spans.iter().filter(|(.., is_uncertain)| !is_uncertain).filter_map(|(client, ..)| client_of(client)).collect()
}

/// What was let out somewhere, the one talked to last first.
fn destinations(evidence: &Evidence<'_>, hosts: &HashMap<i64, Dealings>, limit: usize) -> Table {
    let mut rows: Vec<(&i64, &Dealings)> = hosts.iter().collect();
    rows.sort_unstable_by_key(|(host, dealings)| (std::cmp::Reverse(dealings.tally.last), **host));
    let columns: Vec<_> = [("host", Shape::Text)].into_iter().chain(DEALINGS_COLUMNS).collect();
    Table::new("destinations", &columns).fill(&rows, limit, |(host, dealings)| {
        let mut row = vec![Cell::text(evidence.name("host", **host))];
        row.extend(cells(dealings));
        row
    })
}

/// Sums by host and something else, in an order that is one.
type ByHost<'a> = Vec<(&'a (i64, i64), &'a Tally)>;

fn sorted(sums: &HashMap<(i64, i64), Tally>) -> ByHost<'_> {
    let mut rows: ByHost<'_> = sums.iter().collect();
    rows.sort_unstable_by_key(|(key, tally)| (std::cmp::Reverse(tally.last), **key));
    rows
}

const TALLY: [(&str, Shape); 3] = [("requests", Shape::Count), ("first", Shape::Time), ("last", Shape::Time)];

fn tally_cells(tally: &Tally) -> [Cell; 3] {
    [Cell::count(tally.requests), Cell::time(tally.first), Cell::time(tally.last)]
}

fn refused(evidence: &Evidence<'_>, sums: &HashMap<(i64, i64), Tally>, limit: usize) -> Result<Table, QuestionError> {
    let text = "SELECT reason, iif(would = '', verdict, 'would ' || would), rule FROM judgement WHERE id = ?1";
    let mut statement = evidence.connection().prepare_cached(text)?;
    let columns: Vec<_> =
        [("host", Shape::Text), ("reason", Shape::Text), ("verdict", Shape::Text), ("rule", Shape::Text)]
            .into_iter()
            .chain(TALLY)
            .collect();
    Ok(Table::new("refused", &columns).fill(&sorted(sums), limit, |((host, judgement), tally)| {
        let words: [String; 3] =
            statement.query_row([judgement], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?])).unwrap_or_default();
        let mut row = vec![Cell::text(evidence.name("host", *host))];
        row.extend(words.map(Cell::text));
        row.extend(tally_cells(tally));
        row
    }))
}

fn failed(evidence: &Evidence<'_>, sums: &HashMap<(i64, i64), Tally>, limit: usize) -> Result<Table, QuestionError> {
    let mut statement = evidence.connection().prepare_cached("SELECT class, closed_how FROM ending WHERE id = ?1")?;
    let columns: Vec<_> =
        [("host", Shape::Text), ("failure", Shape::Text), ("ended", Shape::Text)].into_iter().chain(TALLY).collect();
    Ok(Table::new("failed", &columns).fill(&sorted(sums), limit, |((host, ending), tally)| {
        let words: [String; 2] =
            statement.query_row([ending], |row| Ok([row.get(0)?, row.get(1)?])).unwrap_or_default();
        let mut row = vec![Cell::text(evidence.name("host", *host))];
        row.extend(words.map(Cell::text));
        row.extend(tally_cells(tally));
        row
    }))
}

fn programs(evidence: &Evidence<'_>, sums: &HashMap<i64, Tally>, limit: usize) -> Result<Table, QuestionError> {
    let text = "SELECT user_agent, ja4, tls_key FROM program WHERE id = ?1";
    let mut statement = evidence.connection().prepare_cached(text)?;
    let columns: Vec<_> =
        [("program", Shape::Text), ("ja4", Shape::Text), ("tls_key", Shape::Text)].into_iter().chain(TALLY).collect();
    let mut rows: Vec<(&i64, &Tally)> = sums.iter().collect();
    rows.sort_unstable_by_key(|(program, tally)| (std::cmp::Reverse(tally.requests), **program));
    Ok(Table::new("programs", &columns).fill(&rows, limit, |(program, tally)| {
        let words: [String; 3] =
            statement.query_row([program], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?])).unwrap_or_default();
        let mut row: Vec<Cell> = words.map(Cell::text).into();
        row.extend(tally_cells(tally));
        row
    }))
}

/// A row a day of UTC, the newest first.
fn timeline(days: &BTreeMap<i64, (Dealings, i64)>, limit: usize) -> Table {
    let rows: Vec<(&i64, &(Dealings, i64))> = days.iter().rev().collect();
    let columns: Vec<_> = [("day", Shape::Text), ("hosts", Shape::Count)].into_iter().chain(DEALINGS_COLUMNS).collect();
    Table::new("days", &columns).fill(&rows, limit, |(day, (dealings, hosts))| {
        let begins = format_time(Timestamp(day.saturating_mul(DAY_US).max(0).unsigned_abs()));
        let mut row = vec![Cell::text(begins.get(..10).unwrap_or(&begins)), Cell::count(*hosts)];
        row.extend(cells(dealings));
        row
    })
}

/// Under which addresses it was looked for, and which device that was by the end of it.
fn addresses(evidence: &Evidence<'_>, spans: &[Span], range: Range, limit: usize) -> Table {
    let columns = [
        ("client", Shape::Text),
        ("device", Shape::Text),
        ("certainty", Shape::Text),
        ("since", Shape::Time),
        ("until", Shape::Time),
    ];
    let newest = i64::try_from(evidence.indexed().time.0).unwrap_or(i64::MAX);
    Table::new("addresses", &columns).fill(spans, limit, |Span { client, range: span, is_uncertain, .. }| {
        let until = span.until.or(range.until).map_or(newest, |until| i64::try_from(until.0).unwrap_or(i64::MAX) - 1);
        vec![
            Cell::text(&**client),
            Cell::text(evidence.who.at(client, until.min(newest))),
            Cell::of(*is_uncertain, |is_uncertain| Cell::text(if is_uncertain { "uncertain" } else { "known" })),
            Cell::of(span.since.filter(|since| since.0 > 0), Cell::Time),
            Cell::of(span.until, Cell::Time),
        ]
    })
}
