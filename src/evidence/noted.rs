use serde::Deserialize;

use crate::facts::Timestamp;

use super::devices::Assignment;
use super::finding::{FindingId, Severity};
use super::moment;
use super::person::Triage;
use super::reading::NotARecord;
use super::text::Text;
use super::triages::Triaged;

/// A record that says who a client is, what was found, or what a person holds of that.
#[derive(Debug, Clone)]
pub enum Noted {
    Device(Assignment),
    Triage(Box<Triaged>),
    Finding(Box<Found>),
}

/// What triage needs of a finding on record.
#[derive(Debug, Clone, Deserialize)]
pub struct Found {
    #[serde(rename = "finding_id")]
    pub id: FindingId,
    /// Its kind, as records have it.
    pub finding: Text,
    pub severity: Severity,
    pub client: Text,
    /// A host, `*.` and a domain, the key of a program, or empty.
    pub target: Text,
    #[serde(default)]
    pub port: u16,
    pub english: Text,
}

#[derive(Deserialize)]
struct Line<T> {
    seq: u64,
    #[serde(with = "moment")]
    time: Timestamp,
    #[serde(flatten)]
    record: T,
}

/// Reads a line of the journal where it is of one of these kinds, and passes over all others without a look at more of
/// them than their kind.
///
/// # Errors
/// It is of one of these kinds, and not as such a record is written.
pub fn read_noted(line: &[u8]) -> Result<Option<Noted>, NotARecord> {
    let Some(kind) = kind(line) else { return Ok(None) };
    if !matches!(kind, b"device" | b"triage" | b"finding") {
        return Ok(None);
    }
    let text = std::str::from_utf8(line).map_err(|_| NotARecord::NotText)?;
    let read = match kind {
        b"device" => serde_json::from_str::<Line<Assignment>>(text).map(|line| Noted::Device(line.record)),
        b"triage" => serde_json::from_str::<Line<Triage>>(text)
            .map(|Line { seq, time, record }| Noted::Triage(Box::new(Triaged { seq, time, triage: record }))),
        _ => serde_json::from_str::<Line<Found>>(text).map(|line| Noted::Finding(Box::new(line.record))),
    };
    read.map(Some).map_err(NotARecord::NotAsWritten)
}

/// The kind as the line has it. It stands in front of all that a client could have written; a quote within the name of a
/// gate or site is escaped.
pub(super) fn kind(line: &[u8]) -> Option<&[u8]> {
    const KEY: &[u8] = b",\"kind\":\"";
    let at = line.windows(KEY.len()).position(|window| window == KEY)?;
    line.get(at + KEY.len()..)?.split(|byte| *byte == b'"').next()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::evidence::{Chain, DeviceSource, Event, Exchange, Mark, Person, Record, client_of};
    use crate::facts::ExchangeId;

    use super::*;

    fn line(record: &Record) -> Vec<u8> {
        let mut line = Vec::new();
        Chain::start().append(&record.encode(Timestamp(1_795_510_800_123_456)), &mut line);
        line
    }

    fn device() -> Assignment {
        Assignment {
            client: client_of("10.0.0.1").unwrap(),
            name: "pc,\"kind\":\"triage\"".into(),
            hardware: None,
            source: DeviceSource::Kea,
            since: Timestamp(5),
            until: None,
        }
    }

    fn triage() -> Triage {
        Triage {
            who: Person {
                uid: Some(0),
                login: Some("root".into()),
                console: None,
                claims: Some("tanaka\u{202e}".into()),
            },
            mark: Mark::KnownGood,
            target: Some("a.example:8443".into()),
            finding_id: None,
            client: None,
            why: "\u{1b}[2J".into(),
            until: Some("2027-01-01".into()),
            before: Some(Mark::Watching),
        }
    }

    #[test]
    fn devices_and_triage_are_read_back_as_they_were_written() {
        match read_noted(&line(&Record::Device(device()))).unwrap() {
            Some(Noted::Device(read)) => assert_eq!(read, device()),
            other => panic!("{other:?}"),
        }
        let written = line(&Record::Triage(Box::new(triage())));
        assert!(!written.contains(&0x1b), "no escape reaches the line");
        match read_noted(&written).unwrap() {
            Some(Noted::Triage(read)) => {
                assert_eq!((read.seq, read.time), (1, Timestamp(1_795_510_800_123_456)));
                assert_eq!(read.triage, triage());
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn other_kinds_are_passed_over_whatever_their_texts_say() {
        let mut exchange = Exchange::new(Event::Open, ExchangeId(1));
        exchange.user_agent = Some(",\"kind\":\"device\"".into());
        assert!(read_noted(&line(&Record::Exchange(Box::new(exchange)))).unwrap().is_none());
        for other in [&b""[..], b"\xff\xff", b"{\"kind\":\"device\"}"] {
            assert!(read_noted(other).unwrap().is_none());
        }
        assert!(read_noted(b"{\"seq\":1,\"kind\":\"device\"}").is_err());
    }

    proptest! {
        #[test]
        fn no_altered_line_makes_a_reader_panic(at in 0_usize..600, byte: u8, cut in 0_usize..600) {
            for record in [Record::Device(device()), Record::Triage(Box::new(triage()))] {
                let mut line = line(&record);
                line.truncate(line.len() - cut % line.len());
                let length = line.len();
                if let Some(place) = line.get_mut(at % length.max(1)) {
                    *place = byte;
                }
                let _ = read_noted(&line);
            }
        }
    }
}
