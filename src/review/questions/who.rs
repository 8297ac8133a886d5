use std::net::IpAddr;

use rusqlite::Connection;

use crate::evidence::{Assignment, Certainty, Devices, client_text};
use crate::facts::Timestamp;

use super::ask::Range;

/// Which device a client was, and when, by the records of kind `device`.
#[derive(Debug, Default)]
pub(super) struct Who {
    devices: Devices,
}

/// Records of devices that are looked at.
const ROWS_MAX: i64 = 1_000_000;

/// What is said where only an address is known.
const UNCERTAIN: &str = "uncertain";

impl Who {
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare("SELECT line FROM event WHERE kind = 'device' ORDER BY seq LIMIT ?1")?;
        let mut rows = statement.query([ROWS_MAX])?;
        let mut devices = Devices::default();
        while let Some(row) = rows.next()? {
            if let Ok(assignment) = serde_json::from_str::<Assignment>(&row.get::<_, String>(0)?) {
                devices.note(assignment);
            }
        }
        Ok(Self { devices })
    }

    /// The device, in words: `uncertain` where only the address is known, or two names hold.
    pub(super) fn at(&self, client: &str, time: i64) -> String {
        let Ok(address) = client.parse::<IpAddr>() else { return String::new() };
        let found = self.devices.at(address, Timestamp(time.max(0).unsigned_abs()));
        let names: Vec<&str> = found.names.iter().map(|name| name.name.as_str()).collect();
        match (found.certainty, names.as_slice()) {
            (_, []) => UNCERTAIN.to_owned(),
            (Certainty::Known, [name, ..]) => (*name).to_owned(),
            (Certainty::Uncertain, names) => format!("{} ({UNCERTAIN})", names.join(" or ")),
        }
    }

    /// Which machine that was: the device where that is certain, else the address.
    pub(super) fn machine(&self, client: &str, time: i64) -> String {
        let device = client.parse::<IpAddr>().ok().and_then(|address| {
            let found = self.devices.at(address, Timestamp(time.max(0).unsigned_abs()));
            let name = found.names.first().map(|name| name.name.as_str().to_owned());
            name.filter(|_| found.certainty == Certainty::Known)
        });
        device.unwrap_or_else(|| client.to_owned())
    }

    /// Which clients a device was in a range, when, and whether that is uncertain.
    pub(super) fn spans(&self, device: &str, range: Range) -> Vec<(String, Range, bool)> {
        let from = range.since.unwrap_or_default();
        let until = range.until.unwrap_or(Timestamp(i64::MAX.unsigned_abs()));
        let spans = self.devices.spans(device, from, until);
        spans
            .into_iter()
            .map(|span| {
                let until = (span.until < until).then_some(span.until).or(range.until);
                let range = Range { since: Some(span.from), until };
                (client_text(&span.client), range, span.certainty == Certainty::Uncertain)
            })
            .collect()
    }
}
