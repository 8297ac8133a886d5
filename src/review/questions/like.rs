use std::collections::HashSet;
use std::net::IpAddr;

use rusqlite::ToSql;

use crate::evidence::{client_of, client_text, format_time, read_time};
use crate::facts::{Host, Timestamp};
use crate::store::domain_of;

use super::answer::{Answer, Cell};
use super::around::row_named;
use super::ask::{Evidence, QuestionError, Range};
use super::rows::{ExchangeRow, exchanges, list};

/// In what an exchange is to be like another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Host,
    /// The registrable domain.
    Domain,
    /// The /24 or, of IPv6, the /48 that was dialled.
    Network,
    Ja4,
    /// The path, with what varies taken out.
    Path,
    /// As many bytes came down.
    Size,
    /// It began in the same minute, of any client.
    Minute,
    Client,
}

impl By {
    fn as_str(self) -> &'static str {
        match self {
            By::Host => "host",
            By::Domain => "domain",
            By::Network => "network",
            By::Ja4 => "ja4",
            By::Path => "path",
            By::Size => "size",
            By::Minute => "minute",
            By::Client => "client",
        }
    }
}

/// Exchanges that are like one, the newest first.
///
/// # Errors
/// That one is not in the index, it has nothing to be like, or the index cannot be asked.
pub fn like(evidence: &Evidence<'_>, named: &str, by: By, range: Range, limit: usize) -> Result<Answer, QuestionError> {
    let row = row_named(evidence, named)?.ok_or_else(|| QuestionError::NoRow(named.to_owned()))?;
    like_row(evidence, named, &row, by, range, limit)
}

/// Exchanges of which this is the host, JA4 or whatever is asked for, the newest first; for what a table shows without an
/// exchange. A registrable domain may be given by any name in it, a network by any address, a minute by any time in it.
///
/// # Errors
/// It is nothing of that kind, or the index cannot be asked.
pub fn like_value(
    evidence: &Evidence<'_>,
    value: &str,
    by: By,
    range: Range,
    limit: usize,
) -> Result<Answer, QuestionError> {
    let bad = || QuestionError::BadValue(value.to_owned(), by.as_str());
    let mut row = ExchangeRow::default();
    match by {
        By::Host | By::Domain => {
            row.host = Host::parse(value.as_bytes()).map_err(|_| bad())?.to_string();
        }
        By::Network => {
            let address = value.split_once('/').map_or(value, |(address, _)| address);
            row.dialled = address.parse::<IpAddr>().map_err(|_| bad())?.to_string();
        }
        By::Ja4 => row.ja4 = value.to_owned(),
        By::Path => row.path = value.to_owned(),
        By::Size => row.down = Some(value.parse().map_err(|_| bad())?),
        By::Minute => row.time = read_time(value).and_then(|time| i64::try_from(time.0).ok()).ok_or_else(bad)?,
        By::Client => row.client = client_of(value).map(|client| client_text(&client)).ok_or_else(bad)?,
    }
    like_row(evidence, value, &row, by, range, limit)
}

fn like_row(
    evidence: &Evidence<'_>,
    named: &str,
    row: &ExchangeRow,
    by: By,
    range: Range,
    limit: usize,
) -> Result<Answer, QuestionError> {
    let Alike { condition, days, value, range } = alike(evidence, row, by, range)?;
    let given = |text: &str| -> Vec<&dyn ToSql> { if text.contains("?1") { vec![&value] } else { Vec::new() } };
    let rows = evidence.newest(range, limit, |part, most, rows| {
        let mut has_any = false;
        match &days {
            Days::All => has_any = true,
            Days::WithRow(text) => evidence.rows(part, text, &given(text), |_| {
                has_any = true;
                Ok(())
            })?,
            Days::Dialled(addresses) => {
                evidence.dialled(part, None, &[], |_, address, _| has_any |= addresses.contains(&address))?;
            }
        }
        if !has_any {
            return Ok(());
        }
        exchanges(evidence, part, &condition, &given(&condition), true, most, rows)
    })?;
    let mut answer = Answer::to("like", Some(named.to_owned()));
    answer.range = Some(range);
    answer.facts = vec![("by", Cell::text(by.as_str())), ("value", Cell::text(value))];
    let is_cut = rows.len() > limit;
    answer.tables = vec![list("exchanges", evidence, &rows, limit)];
    if is_cut {
        answer
            .notes
            .push("there are more: `more` says only that, as counting them all would read all exchanges".to_owned());
    }
    answer.unread = evidence.unread();
    answer.next = vec!["sekisho review around ID: all that its client did around it".to_owned()];
    Ok(answer)
}

/// What makes an exchange like the one.
struct Alike {
    /// On exchanges; its parameter is the value.
    condition: String,
    days: Days,
    /// As it is shown.
    value: String,
    range: Range,
}

/// Which days have any such exchange, by their summaries: of other days no exchange is read.
enum Days {
    All,
    /// Those in which this statement finds a row.
    WithRow(String),
    /// Those in which one of these was dialled.
    Dialled(HashSet<i64>),
}

fn alike(evidence: &Evidence<'_>, row: &ExchangeRow, by: By, range: Range) -> Result<Alike, QuestionError> {
    let nothing = || QuestionError::NothingToBeLike(by.as_str());
    let all = |condition: String, days: Days, value: &str| match value {
        "" => Err(nothing()),
        value => Ok(Alike { condition, days, value: value.to_owned(), range }),
    };
    // Of a column of exchanges, and of the summary that has it too.
    let of = |column: &str, summary: &str, summed: &str, numbers: &str, value: &str| {
        let days = format!("SELECT 1 FROM {summary}_DAY WHERE {summed} IN ({numbers}) LIMIT 1");
        all(format!("x.{column} IN ({numbers})"), Days::WithRow(days), value)
    };
    match by {
        By::Host => of("host", "p", "host", "SELECT id FROM host WHERE name = ?1", &row.host),
        By::Client => of("client", "p", "client", "SELECT id FROM client WHERE name = ?1", &row.client),
        By::Ja4 => of("program", "s", "program", "SELECT id FROM program WHERE ja4 = ?1", &row.ja4),
        By::Domain => {
            let domain = domain_of(&row.host);
            of("host", "p", "host", "SELECT id FROM host WHERE domain = ?1", domain)
        }
        By::Network => {
            let address: IpAddr = row.dialled.parse().map_err(|_| nothing())?;
            let network = network_of(address).ok_or_else(nothing)?;
            let addresses = addresses_in(evidence, &network)?;
            let numbers: Vec<_> = addresses.iter().map(i64::to_string).collect();
            let condition = format!("x.dialled IN ({})", numbers.join(", "));
            all(condition, Days::Dialled(addresses.into_iter().collect()), &network.to_string())
        }
        By::Path => all("x.path = (SELECT id FROM path WHERE name = ?1)".to_owned(), Days::All, &row.path),
        By::Size => {
            let down = row.down.ok_or_else(nothing)?;
            all(format!("x.down = {down}"), Days::All, &format!("{down} bytes down"))
        }
        By::Minute => {
            const MINUTE: i64 = 60_000_000;
            let begins = row.time - row.time.rem_euclid(MINUTE);
            let time = |micros: i64| Some(Timestamp(micros.max(0).unsigned_abs()));
            let minute = Range { since: time(begins), until: time(begins + MINUTE) };
            let value = minute.since.map(format_time).unwrap_or_default();
            Ok(Alike { range: minute, ..all("1".to_owned(), Days::All, &value)? })
        }
    }
}

fn network_of(address: IpAddr) -> Option<ipnet::IpNet> {
    let bits = if address.is_ipv4() { 24 } else { 48 };
    ipnet::IpNet::new(address, bits).ok().map(|network| network.trunc())
}

/// Addresses of a network that are listed in a statement, at most.
const ADDRESSES_MAX: usize = 65_536;

fn addresses_in(evidence: &Evidence<'_>, network: &ipnet::IpNet) -> Result<Vec<i64>, QuestionError> {
    let mut statement = evidence.connection().prepare_cached("SELECT id, name FROM address")?;
    let mut rows = statement.query([])?;
    let mut numbers: Vec<i64> = Vec::new();
    while let Some(row) = rows.next()? {
        let is_in = row.get::<_, String>(1)?.parse::<IpAddr>().is_ok_and(|address| network.contains(&address));
        if is_in && numbers.len() < ADDRESSES_MAX {
            numbers.push(row.get(0)?);
        }
    }
    Ok(numbers)
}
