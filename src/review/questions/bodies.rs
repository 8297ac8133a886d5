use std::collections::HashMap;
use std::path::Path;

use crate::evidence::{Event, RecordLine, query_hash};
use crate::facts::Timestamp;
use crate::review::scan::{Progress, scan};
use crate::store::{OpenError, QUERY_KEY_BYTES, Reader};

use super::ask::Range;
use super::indicators::{Indicators, Value};

/// An indicator of a URL, its port where it has one, and its query.
struct OfUrl<'i> {
    indicator: usize,
    port: Option<u16>,
    query: Option<Query<'i>>,
}

/// A query, and its hash where the gate's key is to be had.
struct Query<'i> {
    text: &'i str,
    hash: Option<String>,
}

/// What the index does not hold is read from the journal: paths as they were, and hashes of bodies.
pub(super) struct Sought<'i> {
    /// Indicators by host and path, and by hash.
    urls: HashMap<(&'i str, &'i str), Vec<OfUrl<'i>>>,
    bodies: HashMap<&'i str, usize>,
}

/// A record that shows an indicator.
pub(super) struct Shown {
    pub(super) indicator: usize,
    /// The exchange.
    pub(super) id: String,
    /// Empty where another record of the exchange has it.
    pub(super) client: String,
    pub(super) time: Timestamp,
    pub(super) stopped: bool,
    pub(super) by: By,
    pub(super) what: String,
}

/// By what it shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Path,
    PathAndQuery,
    Body,
}

/// Records that are told of, at most.
const SHOWN_MAX: usize = 1_000_000;

impl<'i> Sought<'i> {
    /// `is_hit` says of which hosts anything is on record; `key` is that by which the gate has hashed queries.
    pub(super) fn of(
        indicators: &'i Indicators,
        key: Option<&[u8; QUERY_KEY_BYTES]>,
        is_hit: impl Fn(usize) -> bool,
    ) -> Self {
        let mut sought = Self { urls: HashMap::new(), bodies: HashMap::new() };
        for (number, indicator) in indicators.all.iter().enumerate() {
            match &indicator.value {
                Value::Url { host, port, path, query } if is_hit(number) => {
                    let hash = |text: &str| key.map(|key| query_hash(key, text));
                    let query = query.as_deref().map(|text| Query { text, hash: hash(text) });
                    sought.urls.entry((host, path)).or_default().push(OfUrl { indicator: number, port: *port, query });
                }
                Value::Sha256(hash) => {
                    sought.bodies.insert(hash, number);
                }
                Value::Url { .. } | Value::Host(_) | Value::Address(_) | Value::Prefix(_) | Value::Ja4(_) => {}
            }
        }
        sought
    }

    pub(super) fn has_bodies(&self) -> bool {
        !self.bodies.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.urls.is_empty() && self.bodies.is_empty()
    }

    /// Reads the journal of a range. Says how many of its lines are no records.
    pub(super) fn find(
        &self,
        data_dir: &Path,
        range: Range,
        progress: impl FnMut(Progress),
    ) -> Result<(Vec<Shown>, u64), OpenError> {
        let mut reader = Reader::open(data_dir, range.since)?;
        let mut shown = Vec::new();
        let scanned = scan(&mut reader, progress, |record| {
            let is_in = range.since.is_none_or(|since| since <= record.time)
                && range.until.is_none_or(|until| record.time < until);
            if is_in && shown.len() < SHOWN_MAX {
                self.look(record, &mut shown);
            }
        })?;
        Ok((shown, scanned.unreadable))
    }

    fn look(&self, record: &RecordLine<'_>, shown: &mut Vec<Shown>) {
        let text = |said: Option<&str>| said.unwrap_or_default().to_owned();
        let mut show = |indicator: usize, by: By, what: String| {
            shown.push(Shown {
                indicator,
                id: text(record.id.as_deref()),
                client: text(record.client.as_deref()),
                time: record.time,
                stopped: record.verdict.as_deref().is_some_and(|verdict| verdict != "allow"),
                by,
                what,
            });
        };
        if record.event == Some(Event::Close) {
            if let Some(indicator) = record.body_sha256.as_deref().and_then(|hash| self.bodies.get(hash)) {
                show(*indicator, By::Body, text(record.file_name.as_deref()));
            }
            return;
        }
        let (Some(host), Some(path)) = (record.host.as_deref(), record.path.as_deref()) else { return };
        if !matches!(record.event, Some(Event::Open | Event::Refused | Event::Answered)) {
            return;
        }
        for OfUrl { indicator, port, query } in self.urls.get(&(host, path)).map_or(&[][..], Vec::as_slice) {
            if port.is_none_or(|port| record.port == Some(port)) {
                let is_same = query.as_ref().is_some_and(|query| query.is_that_of(record));
                show(*indicator, if is_same { By::PathAndQuery } else { By::Path }, format!("{host}{path}"));
            }
        }
    }
}

impl Query<'_> {
    /// A record has its hash, and the query itself only where the gate is told to keep it.
    fn is_that_of(&self, record: &RecordLine<'_>) -> bool {
        let by_hash = self.hash.is_some() && self.hash.as_deref() == record.query_hash.as_deref();
        by_hash || record.query.as_deref() == Some(self.text)
    }
}
