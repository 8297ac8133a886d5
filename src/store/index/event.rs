//! Records that tell of no exchange: each as a row, and of attempts past the proxy their sums.

use std::net::SocketAddr;

use rusqlite::params;
use serde::Deserialize;

use crate::evidence::{FlowSeen, RecordLine, Said, read_time};

use super::day::Carried;
use super::fill::{Filler, ms_of_day, signed};
use super::names::bounded;
use super::{DAY_US, IndexError};

/// What is asked of a record that tells of no exchange.
#[derive(Debug, Deserialize)]
struct Other<'a> {
    #[serde(borrow)]
    kind: Said<'a>,
    #[serde(borrow)]
    action: Option<Said<'a>>,
    #[serde(borrow)]
    cause: Option<Said<'a>>,
    #[serde(borrow)]
    level: Option<Said<'a>>,
    #[serde(borrow)]
    outcome: Option<Said<'a>>,
    #[serde(borrow)]
    ground: Option<Said<'a>>,
    #[serde(borrow)]
    what: Option<Said<'a>>,
    #[serde(borrow)]
    purpose: Option<Said<'a>>,
    #[serde(borrow)]
    question: Option<Said<'a>>,
    #[serde(borrow)]
    client: Option<Said<'a>>,
    #[serde(borrow)]
    subject: Option<Said<'a>>,
    #[serde(borrow)]
    target: Option<Said<'a>>,
    #[serde(borrow)]
    host: Option<Said<'a>>,
    #[serde(borrow)]
    name: Option<Said<'a>>,
    #[serde(borrow)]
    hardware: Option<Said<'a>>,
    #[serde(borrow)]
    source: Option<Said<'a>>,
    #[serde(borrow)]
    since: Option<Said<'a>>,
    #[serde(borrow)]
    until: Option<Said<'a>>,
    #[serde(borrow)]
    state: Option<Said<'a>>,
    /// Where a flow was on its way to, where this machine has led it elsewhere.
    #[serde(borrow)]
    meant: Option<Said<'a>>,
}

impl Filler {
    pub(super) fn event(&mut self, line: &[u8], record: &RecordLine<'_>, day: i64) -> Result<(), IndexError> {
        let Ok(other) = serde_json::from_slice::<Other<'_>>(line) else { return Ok(()) };
        let said = |said: &Option<Said<'_>>| bounded(said.as_deref().unwrap_or_default()).to_owned();
        let first = |all: &[&Option<Said<'_>>]| {
            all.iter().map(|one| said(one)).find(|text| !text.is_empty()).unwrap_or_default()
        };
        if matches!(&*other.kind, "segment" | "batch") {
            return Ok(());
        }
        if &*other.kind == "device" {
            let time = |said: &Option<Said<'_>>| said.as_deref().and_then(read_time).map(|time| signed(time.0));
            self.connection.prepare_cached("INSERT INTO device VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(
                params![
                    signed(record.seq),
                    day,
                    said(&other.client),
                    said(&other.name),
                    said(&other.hardware),
                    said(&other.source),
                    time(&other.since).unwrap_or_else(|| signed(record.time.0)),
                    time(&other.until),
                ],
            )?;
        }
        let mut target = first(&[&other.target, &other.host, &other.subject]);
        if let Some(flow) = FlowSeen::of(record) {
            let to = self.flow(&flow, other.meant.as_deref(), record, day)?;
            if target.is_empty() {
                target = to;
            }
        }
        let action = first(&[
            &other.action,
            &other.cause,
            &other.level,
            &other.outcome,
            &other.ground,
            &other.what,
            &other.purpose,
            &other.question,
            &other.state,
        ]);
        self.connection.prepare_cached("INSERT INTO event VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?.execute(
            params![
                signed(record.seq),
                day,
                signed(record.time.0),
                bounded(&other.kind),
                action,
                said(&other.client),
                target,
                String::from_utf8_lossy(line),
            ],
        )?;
        Ok(())
    }

    /// Sums attempts past the proxy; tells where they were to go.
    fn flow(
        &mut self,
        flow: &FlowSeen<'_>,
        meant: Option<&str>,
        record: &RecordLine<'_>,
        day: i64,
    ) -> Result<String, IndexError> {
        let meant = meant.and_then(|meant| meant.parse::<SocketAddr>().ok());
        let (to, port) = match meant {
            Some(meant) => (Some(meant.ip().to_canonical()), meant.port()),
            None => (flow.address, flow.port),
        };
        let to = to.map_or(String::new(), |to| to.to_string());
        let client = flow.client.map_or(String::new(), |client| client.to_string());
        let connection = &self.connection;
        let key = (
            self.names.address.number(connection, &client)?,
            self.names.address.number(connection, &to)?,
            self.names.course(connection, port, record)?,
        );
        let sum = |said: Option<u64>| said.map_or(0, signed);
        let more = Carried {
            count: signed(flow.count),
            packets: sum(flow.packets),
            up: sum(flow.bytes_up),
            down: sum(flow.bytes_down),
            first: ms_of_day(flow.first, day),
            last: ms_of_day(flow.last, day),
        };
        let at = signed(record.time.0).saturating_sub(day.saturating_mul(DAY_US));
        self.days.entry(day).or_default().flow((signed(record.seq), at), key, more);
        Ok(match (to.as_str(), port) {
            ("", _) | (_, 0) => to,
            (address, port) if address.contains(':') => format!("[{address}]:{port}"),
            (address, port) => format!("{address}:{port}"),
        })
    }
}
