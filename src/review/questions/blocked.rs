use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::Hash;

use crate::evidence::OUTSIDE_RULE;

use super::answer::{Answer, Cell, Shape, Table};
use super::ask::{Evidence, QuestionError, Range};
use super::findings::Marks;
use super::flows::{Course, background, course, flows};
use super::room::Room;
use super::rows::{exchanges, list};

/// What was counted, and between which moments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    pub(super) requests: i64,
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { requests: 0, first: i64::MAX, last: i64::MIN }
    }
}

impl Tally {
    pub(super) fn add(&mut self, requests: i64, first: i64, last: i64) {
        self.requests = self.requests.saturating_add(requests);
        (self.first, self.last) = (self.first.min(first), self.last.max(last));
    }
}

/// The same beside the different clients and hosts that had to do with it.
#[derive(Debug, Default)]
struct Stopped {
    tally: Tally,
    would: i64,
    clients: HashSet<i64>,
    hosts: HashSet<i64>,
}

/// What was stopped, and where the policy is only observed what would have been: by reason, by client, by host, then the
/// newest of them one by one. What strangers outside begin, and discovery that goes to all of a segment, a firewall stops all
/// day: it is told by its rule alone, behind the others, and strangers are nobody's clients.
///
/// # Errors
/// The index cannot be asked.
pub fn blocked(evidence: &Evidence<'_>, range: Range, limit: usize) -> Result<Answer, QuestionError> {
    let mut by_judgement: HashMap<i64, Stopped> = HashMap::new();
    let mut by_client: HashMap<i64, Stopped> = HashMap::new();
    let mut by_host: HashMap<(i64, i64), Stopped> = HashMap::new();
    let mut observed: BTreeSet<i64> = BTreeSet::new();
    let (mut all, mut would) = (0_i64, 0_i64);
    let (mut firewall, mut by_firewall) = (Firewall::new(), 0_i64);
    let (mut room, mut of_firewall) = (Room::one_of(2), Room::one_of(2));
    let any_flows = evidence.connection().prepare_cached("SELECT 1 FROM course LIMIT 1")?.exists([])?;
    let background = background(evidence)?;
    evidence.each(evidence.parts(range), |part| {
        let text = "SELECT r.judgement, r.client, r.host, r.port, r.requests, r.first, r.last, j.stopped \
            FROM {r} r JOIN judgement j ON j.id = r.judgement WHERE {of r}";
        evidence.rows(part, text, &[], |row| {
            let (judgement, client, host, port) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            let (first, last) = (part.moment(row.get(5)?), part.moment(row.get(6)?));
            let (requests, stopped): (i64, i64) = (row.get(4)?, row.get(7)?);
            if stopped == 0 {
                observed.insert(part.day);
            }
            let only_would = if stopped == 0 { requests } else { 0 };
            (all, would) = (all.saturating_add(requests), would.saturating_add(only_would));
            for sum in [
                room.row(&mut by_judgement, judgement),
                room.row(&mut by_client, client),
                room.row(&mut by_host, (host, port)),
            ]
            .into_iter()
            .flatten()
            {
                sum.tally.add(requests, first, last);
                sum.would += only_would;
                room.put(&mut sum.clients, client);
                room.put(&mut sum.hosts, host);
            }
            Ok(())
        })?;
        if !any_flows {
            return Ok(());
        }
        flows(evidence, part, STOPPED_FLOWS, &[], |flow| {
            by_firewall = by_firewall.saturating_add(if background.contains(&flow.course) { 0 } else { flow.count });
            let Some(sum) = of_firewall.row(&mut firewall, flow.course) else { return };
            sum.tally.add(flow.count, flow.first, flow.last);
            of_firewall.put(&mut sum.clients, flow.client);
            of_firewall.put(&mut sum.hosts, flow.address);
        })
    })?;
    let mut answer = Answer::to("blocked", None);
    answer.facts = vec![
        ("blocked", Cell::count(all - would)),
        ("would_be_blocked", Cell::count(would)),
        ("clients", Cell::count(by_client.len() as i64)),
        ("hosts", Cell::count(by_host.keys().map(|(host, _)| host).collect::<HashSet<_>>().len() as i64)),
        ("by_firewall", Cell::count(by_firewall)),
    ];
    answer.tables = vec![
        reasons(evidence, by_judgement, limit)?,
        clients(evidence, by_client, limit),
        hosts(evidence, by_host, limit)?,
        by_rule(evidence, firewall, &background, limit)?,
        newest(evidence, range, &observed, limit)?,
    ];
    answer.unread = evidence.unread();
    answer.notes.extend(room.note().or(of_firewall.note()));
    answer.next = vec![
        "sekisho review around ID: all that its client did around it".to_owned(),
        "sekisho review host HOST: who else asked for it".to_owned(),
        "sekisho explain: which rule says so, and why".to_owned(),
    ];
    Ok(answer)
}

/// What is counted most comes first; what is counted alike, by the number of its name, so that the order is one.
fn sorted<K: Ord + Copy + Hash, V>(sums: HashMap<K, V>, count: impl Fn(&V) -> i64) -> Vec<(K, V)> {
    let mut sums: Vec<(K, V)> = sums.into_iter().collect();
    sums.sort_unstable_by_key(|(key, sum)| (std::cmp::Reverse(count(sum)), *key));
    sums
}

fn reasons(evidence: &Evidence<'_>, sums: HashMap<i64, Stopped>, limit: usize) -> Result<Table, QuestionError> {
    let columns = [
        ("reason", Shape::Text),
        ("verdict", Shape::Text),
        ("rule", Shape::Text),
        ("at", Shape::Text),
        ("requests", Shape::Count),
        ("clients", Shape::Count),
        ("hosts", Shape::Count),
        ("first", Shape::Time),
        ("last", Shape::Time),
    ];
    let mut statement = evidence
        .connection()
        .prepare_cached("SELECT reason, verdict, would, rule, rule_at FROM judgement WHERE id = ?1")?;
    let rows = sorted(sums, |sum| sum.tally.requests);
    Ok(Table::new("reasons", &columns).fill(&rows, limit, |(judgement, sum)| {
        let words = statement.query_row([judgement], |row| {
            Ok([row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
        });
        let [reason, verdict, would, rule, at] = words.unwrap_or_default();
        let verdict = if would.is_empty() { verdict } else { format!("would {would}") };
        vec![
            Cell::text(reason),
            Cell::text(verdict),
            Cell::text(rule),
            Cell::text(at),
            Cell::count(sum.tally.requests),
            Cell::count(sum.clients.len() as i64),
            Cell::count(sum.hosts.len() as i64),
            Cell::time(sum.tally.first),
            Cell::time(sum.tally.last),
        ]
    }))
}

fn clients(evidence: &Evidence<'_>, sums: HashMap<i64, Stopped>, limit: usize) -> Table {
    let columns = [
        ("client", Shape::Text),
        ("device", Shape::Text),
        ("requests", Shape::Count),
        ("would", Shape::Count),
        ("hosts", Shape::Count),
        ("first", Shape::Time),
        ("last", Shape::Time),
    ];
    let rows = sorted(sums, |sum| sum.tally.requests);
    Table::new("clients", &columns).fill(&rows, limit, |(client, sum)| {
        let name = evidence.name("client", *client);
        vec![
            Cell::text(&*name),
            Cell::text(evidence.who.at(&name, sum.tally.last)),
            Cell::count(sum.tally.requests),
            Cell::count(sum.would),
            Cell::count(sum.hosts.len() as i64),
            Cell::time(sum.tally.first),
            Cell::time(sum.tally.last),
        ]
    })
}

fn hosts(evidence: &Evidence<'_>, sums: HashMap<(i64, i64), Stopped>, limit: usize) -> Result<Table, QuestionError> {
    let columns = [
        ("host", Shape::Text),
        ("port", Shape::Count),
        ("requests", Shape::Count),
        ("would", Shape::Count),
        ("clients", Shape::Count),
        ("first", Shape::Time),
        ("last", Shape::Time),
        ("mark", Shape::Text),
    ];
    let marks = Marks::read(evidence)?;
    let rows = sorted(sums, |sum| sum.tally.requests);
    Ok(Table::new("hosts", &columns).fill(&rows, limit, |((host, port), sum)| {
        let name = evidence.name("host", *host);
        vec![
            Cell::text(&*name),
            Cell::count(*port),
            Cell::count(sum.tally.requests),
            Cell::count(sum.would),
            Cell::count(sum.clients.len() as i64),
            Cell::time(sum.tally.first),
            Cell::time(sum.tally.last),
            Cell::text(marks.of_target(&name, *port, "")),
        ]
    }))
}

/// What firewalls stopped, by the number of its course.
type Firewall = HashMap<i64, Stopped>;

/// Which flows were stopped by a firewall.
const STOPPED_FLOWS: &str = "w.course IN (SELECT id FROM course WHERE state IN ('refused', 'dropped'))";

/// What firewalls stopped of what went past the proxy, by their rules; `hosts` of it are addresses.
fn by_rule(
    evidence: &Evidence<'_>,
    sums: Firewall,
    background: &HashSet<i64>,
    limit: usize,
) -> Result<Table, QuestionError> {
    let columns = [
        ("rule", Shape::Text),
        ("state", Shape::Text),
        ("count", Shape::Count),
        ("clients", Shape::Count),
        ("addresses", Shape::Count),
        ("first", Shape::Time),
        ("last", Shape::Time),
    ];
    let mut by_rule: BTreeMap<(bool, String, String), Stopped> = BTreeMap::new();
    for (number, stopped) in sums {
        let Course { rule, state, .. } = course(evidence, number)?;
        let sum = by_rule.entry((background.contains(&number), rule, state)).or_default();
        sum.tally.add(stopped.tally.requests, stopped.tally.first, stopped.tally.last);
        sum.clients.extend(stopped.clients);
        sum.hosts.extend(stopped.hosts);
    }
    let mut rows: Vec<_> = by_rule.into_iter().collect();
    rows.sort_by_key(|((is_background, ..), sum)| (*is_background, std::cmp::Reverse(sum.tally.requests)));
    Ok(Table::new("firewall", &columns).fill(&rows, limit, |((is_background, rule, state), sum)| {
        let is_of_strangers = *is_background && rule == OUTSIDE_RULE;
        vec![
            Cell::text(&**rule),
            Cell::text(&**state),
            Cell::count(sum.tally.requests),
            if is_of_strangers { Cell::Nothing } else { Cell::count(sum.clients.len() as i64) },
            Cell::count(sum.hosts.len() as i64),
            Cell::time(sum.tally.first),
            Cell::time(sum.tally.last),
        ]
    }))
}

/// The newest, one by one. What was stopped has an index of its own; what would have been is looked for on the days alone
/// that have some.
fn newest(
    evidence: &Evidence<'_>,
    range: Range,
    observed: &BTreeSet<i64>,
    limit: usize,
) -> Result<Table, QuestionError> {
    let found = evidence.newest(range, limit, |part, most, rows| {
        exchanges(evidence, part, "x.stopped = 1", &[], true, most, rows)?;
        if observed.contains(&part.day) {
            let would = "x.stopped IS NULL AND x.judgement IN \
                (SELECT id FROM judgement WHERE stopped = 0 AND would NOT IN ('', 'allow'))";
            exchanges(evidence, part, would, &[], true, most, rows)?;
        }
        Ok(())
    })?;
    Ok(list("list", evidence, &found, limit))
}
