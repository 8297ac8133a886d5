use std::collections::HashMap;
use std::net::Ipv6Addr;

use rusqlite::{OptionalExtension, ToSql};

use crate::facts::Host;

use super::answer::{Answer, Cell, Shape, Table};
use super::ask::{Evidence, QuestionError, Range};
use super::client::{DEALINGS, DEALINGS_COLUMNS, Dealings, cells};
use super::findings::{Wanted, found};
use super::flows::{Passages, past_proxy, sum_flows};
use super::room::Room;

/// Which hosts are meant: one, or all below a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hosts {
    /// Of the table `host`; the parameters are ?1 and ?2.
    condition: &'static str,
    domain: String,
    name: String,
}

impl Hosts {
    /// What a person writes: `a.example`, `*.example` or an address.
    pub(super) fn named(text: &str) -> Result<Self, QuestionError> {
        let (below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
        let bad = |error: &dyn std::fmt::Display| QuestionError::BadHost(text.to_owned(), error.to_string());
        // People write names in their own script; records have A-labels.
        // An IPv6 address is written without brackets, too.
        let literal = name.parse::<Ipv6Addr>().map(|address| format!("[{address}]"));
        let name = literal.as_deref().unwrap_or(name);
        let name =
            if name.is_ascii() { name.to_owned() } else { idna::domain_to_ascii(name).map_err(|error| bad(&error))? };
        let name = Host::parse(name.as_bytes()).map_err(|error| bad(&error))?.to_string();
        Ok(if below { Self::below(&name) } else { Self::exactly(&name) })
    }

    pub(super) fn exactly(name: &str) -> Self {
        Self { condition: "name = ?1 AND ?2 = ?1", domain: name.to_owned(), name: name.to_owned() }
    }

    /// Those below a name. Where that is in a registrable domain, the index knows which they are; where it is a public
    /// suffix, all hosts are looked through.
    pub(super) fn below(name: &str) -> Self {
        let domain = psl::domain_str(name).unwrap_or_default().to_owned();
        let condition = if domain.is_empty() {
            "?1 = '' AND substr(name, -length(?2)) = ?2"
        } else {
            "domain = ?1 AND substr(name, -length(?2)) = ?2"
        };
        Self { condition, domain, name: format!(".{name}") }
    }

    /// `IN` this are their numbers.
    pub(super) fn numbers(&self) -> String {
        format!("(SELECT id FROM host WHERE {})", self.condition)
    }

    /// Which flows were on their way there: to that address, or where who told of them knew the name. `None` where no flow can
    /// have been, so that no day need be asked.
    fn of_flows(&self, evidence: &Evidence<'_>) -> Result<Option<String>, QuestionError> {
        let is_below = self.name.starts_with('.');
        let courses = if is_below {
            "SELECT id FROM course WHERE ?1 IS NOT NULL AND host <> '' AND substr(host, -length(?2)) = ?2"
        } else {
            "SELECT id FROM course WHERE host = ?1 AND ?2 = ?1"
        };
        let addresses = "SELECT id FROM address WHERE name = trim(?1, '[]') AND ?2 IS NOT NULL";
        let asked =
            if is_below { vec![("course", courses)] } else { vec![("course", courses), ("address", addresses)] };
        let mut conditions = Vec::new();
        for (column, text) in asked {
            let mut statement = evidence.connection().prepare_cached(text)?;
            if statement.exists(&self.given()[..])? {
                conditions.push(format!("w.{column} IN ({text})"));
            }
        }
        Ok((!conditions.is_empty()).then(|| format!("({})", conditions.join(" OR "))))
    }

    /// Whether a finding's target is one of them; it may be `*.` and a domain.
    pub(super) fn has(&self, target: &str) -> bool {
        let target = target.strip_prefix("*.").unwrap_or(target);
        match self.name.strip_prefix('.') {
            Some(below) => target == below || target.ends_with(&self.name),
            None => target == self.name,
        }
    }

    pub(super) fn given(&self) -> [&dyn ToSql; 2] {
        [&self.domain, &self.name]
    }
}

/// Every client that spoke to a host or tried to, and whose the first was.
///
/// # Errors
/// It is no host, or the index cannot be asked.
pub fn host(evidence: &Evidence<'_>, name: &str, range: Range, limit: usize) -> Result<Answer, QuestionError> {
    let hosts = Hosts::named(name)?;
    let first = evidence
        .connection()
        .prepare_cached(&format!(
            "SELECT h.name, h.first_time, c.name FROM host h LEFT JOIN client c ON c.id = h.first_client \
             WHERE h.id IN {} ORDER BY h.first_time, h.id LIMIT 1",
            hosts.numbers()
        ))?
        .query_row(&hosts.given()[..], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get::<_, Option<String>>(2)?.unwrap_or_default()))
        })
        .optional()?;
    let mut by_client: HashMap<i64, Dealings> = HashMap::new();
    let mut by_host: HashMap<i64, Dealings> = HashMap::new();
    let mut by_address: HashMap<(i64, i64), i64> = HashMap::new();
    let (mut passages, mut past_all) = (Passages::new(), 0);
    let mut rooms = [(); 4].map(|()| Room::one_of(4));
    let [of_clients, of_hosts, of_addresses, of_flows] = &mut rooms;
    let mut all = Dealings::default();
    let past = hosts.of_flows(evidence)?;
    evidence.each(evidence.parts(range), |part| {
        let text = format!(
            "SELECT p.client, p.host, {DEALINGS} FROM {{p}} p WHERE {{of p}} AND p.host IN {}",
            hosts.numbers()
        );
        evidence.rows(part, &text, &hosts.given(), |row| {
            all.add(row, 2, part)?;
            if let Some(client) = of_clients.row(&mut by_client, row.get(0)?) {
                client.add(row, 2, part)?;
            }
            match of_hosts.row(&mut by_host, row.get(1)?) {
                Some(host) => host.add(row, 2, part),
                None => Ok(()),
            }
        })?;
        evidence.dialled(part, Some(&hosts.numbers()), &hosts.given(), |host, address, requests| {
            if let Some(sum) = of_addresses.row(&mut by_address, (address, host)) {
                *sum = sum.saturating_add(requests);
            }
        })?;
        match &past {
            Some(past) => sum_flows(evidence, part, past, &hosts.given(), &mut past_all, (&mut passages, of_flows)),
            None => Ok(()),
        }
    })?;
    let mut answer = Answer::to("host", Some(name.to_owned()));
    let is_unknown = first.is_none();
    if let Some((host, time, client)) = first.filter(|(_, _, client)| evidence.may_name(client)) {
        answer.facts = vec![
            ("first_seen", Cell::time(time)),
            ("first_seen_by", Cell::text(&*client)),
            ("first_seen_device", Cell::text(evidence.who.at(&client, time))),
            ("first_host", Cell::text(host)),
        ];
    }
    if is_unknown {
        answer.notes.push("no exchange on record is of this host".to_owned());
    }
    answer.facts.extend([
        ("clients", Cell::count(by_client.len() as i64)),
        ("clients_of_all", Cell::count(evidence.clients()?)),
        ("requests", Cell::count(all.tally.requests)),
    ]);
    answer.facts.extend(DEALINGS_COLUMNS.iter().zip(cells(&all)).map(|((key, _), cell)| (*key, cell)));
    answer.facts.push(("past_proxy", Cell::count(past_all)));
    answer.notes.extend(rooms.iter().find_map(Room::note));
    let wanted = Wanted { hosts: Some(hosts), ..Wanted::default() };
    answer.tables = vec![
        clients(evidence, &by_client, limit),
        names(evidence, &by_host, limit),
        addresses(evidence, &by_address, limit),
        past_proxy(evidence, &passages, limit)?,
        found(evidence, &wanted, range, limit)?,
    ];
    answer.unread = evidence.unread();
    answer.next = vec![
        "sekisho review client CLIENT: all that one of these did".to_owned(),
        "sekisho triage malicious|known-good HOST: what you hold it to be".to_owned(),
    ];
    Ok(answer)
}

fn clients(evidence: &Evidence<'_>, sums: &HashMap<i64, Dealings>, limit: usize) -> Table {
    let mut rows: Vec<(&i64, &Dealings)> = sums.iter().collect();
    rows.sort_unstable_by_key(|(client, dealings)| (dealings.tally.first, **client));
    let columns: Vec<_> =
        [("client", Shape::Text), ("device", Shape::Text)].into_iter().chain(DEALINGS_COLUMNS).collect();
    Table::new("clients", &columns).fill(&rows, limit, |(client, dealings)| {
        let name = evidence.name("client", **client);
        let mut row = vec![Cell::text(&*name), Cell::text(evidence.who.at(&name, dealings.tally.last))];
        row.extend(cells(dealings));
        row
    })
}

fn names(evidence: &Evidence<'_>, sums: &HashMap<i64, Dealings>, limit: usize) -> Table {
    let mut rows: Vec<(&i64, &Dealings)> = sums.iter().collect();
    rows.sort_unstable_by_key(|(host, dealings)| (std::cmp::Reverse(dealings.tally.requests), **host));
    let columns: Vec<_> = [("host", Shape::Text)].into_iter().chain(DEALINGS_COLUMNS).collect();
    Table::new("names", &columns).fill(&rows, limit, |(host, dealings)| {
        let mut row = vec![Cell::text(evidence.name("host", **host))];
        row.extend(cells(dealings));
        row
    })
}

fn addresses(evidence: &Evidence<'_>, sums: &HashMap<(i64, i64), i64>, limit: usize) -> Table {
    let mut rows: Vec<(&(i64, i64), &i64)> = sums.iter().collect();
    rows.sort_unstable_by_key(|(key, requests)| (std::cmp::Reverse(**requests), **key));
    let columns = [("address", Shape::Text), ("host", Shape::Text), ("requests", Shape::Count)];
    Table::new("addresses", &columns).fill(&rows, limit, |((address, host), requests)| {
        vec![
            Cell::text(evidence.name("address", *address)),
            Cell::text(evidence.name("host", *host)),
            Cell::count(**requests),
        ]
    })
}
