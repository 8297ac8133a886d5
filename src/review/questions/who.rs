use std::collections::HashMap;

use rusqlite::Connection;

use crate::facts::Timestamp;

use super::ask::Range;

/// Which device a client was, and when, by the records of kind `device`.
#[derive(Debug, Default)]
pub(super) struct Who {
    by_client: HashMap<String, Vec<Name>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    name: String,
    since: i64,
    until: Option<i64>,
}

/// Records of devices that are looked at.
const ROWS_MAX: i64 = 1_000_000;

/// What is said where only an address is known.
const UNCERTAIN: &str = "uncertain";

impl Who {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement =
            connection.prepare("SELECT client, name, since, until FROM device ORDER BY seq LIMIT ?1")?;
        let mut rows = statement.query([ROWS_MAX])?;
        let mut by_client: HashMap<String, Vec<Name>> = HashMap::new();
        while let Some(row) = rows.next()? {
            let name = Name { name: row.get(1)?, since: row.get(2)?, until: row.get(3)? };
            let known = by_client.entry(row.get(0)?).or_default();
            // A later record of the same takes its place.
            known.retain(|other| (&other.name, other.since) != (&name.name, name.since));
            known.push(name);
        }
        Ok(Self { by_client })
    }

    /// The device, in words: `uncertain` where only the address is known, or two names hold.
    pub(super) fn at(&self, client: &str, time: i64) -> String {
        let known = self.by_client.get(client).map_or(&[][..], Vec::as_slice);
        let mut names: Vec<&str> = known
            .iter()
            .filter(|name| name.since <= time && name.until.is_none_or(|until| time < until))
            .map(|name| name.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        match names.as_slice() {
            [] => UNCERTAIN.to_owned(),
            [name] => (*name).to_owned(),
            names => format!("{} ({UNCERTAIN})", names.join(" or ")),
        }
    }

    /// Which clients a device was in a range, and when.
    pub(super) fn spans(&self, device: &str, range: Range) -> Vec<(String, Range)> {
        let mut spans = Vec::new();
        for (client, names) in &self.by_client {
            for name in names.iter().filter(|name| name.name.eq_ignore_ascii_case(device)) {
                let time = |micros: i64| Timestamp(micros.max(0).unsigned_abs());
                let span = Range { since: Some(time(name.since)), until: name.until.map(time) }.and(range);
                if span.since < span.until || span.until.is_none() {
                    spans.push((client.clone(), span));
                }
            }
        }
        spans.sort_by(|(a, one), (b, other)| (a, one.since).cmp(&(b, other.since)));
        spans
    }
}
