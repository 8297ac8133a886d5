//! Records that another process of the gate hands in, checked before they are chained.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::facts::Timestamp;

use super::reading::read_record;
use super::text::is_unsafe;

/// No record that is handed in is longer, encoded; every field of one is bounded, and there are few.
pub const HANDED_BYTES_MAX: usize = 240 << 10;
/// No record has so many members.
const MEMBERS_MAX: usize = 80;

/// What exchanges tell, and what those that serve them do. What the gate as a whole has to say, the one says that has the journal.
const KINDS: [&str; 9] = ["exchange", "progress", "gap", "own", "clients", "challenge", "log_in", "health", "admin"];
/// What the one sets that has the journal.
const RESERVED: [&str; 5] = ["v", "seq", "gate", "site", "h"];

/// Why a record is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotHanded {
    #[error("it is longer than {HANDED_BYTES_MAX} bytes")]
    TooLong,
    #[error("it is no text that is safe on a line")]
    NotSafe,
    #[error("it is no record: {0}")]
    NotARecord(String),
    #[error("it is of the time {0:?}, which is still to come")]
    ToCome(Timestamp),
}

/// How far the clock may have been set back since it was encoded, in microseconds.
const AHEAD_MAX: u64 = 24 * 3_600_000_000;

/// Sees that these are the members of a record as [`Record::encode`](super::Record::encode) gives them: one object, with its
/// time first, of a kind that may be handed in, no member twice, and none that whoever has the journal sets. Gives its time.
///
/// # Errors
/// What it is not.
pub fn handed_record(members: &[u8], now: Timestamp) -> Result<Timestamp, NotHanded> {
    if members.len() > HANDED_BYTES_MAX {
        return Err(NotHanded::TooLong);
    }
    let text = std::str::from_utf8(members).map_err(|_| NotHanded::NotSafe)?;
    if text.chars().any(is_unsafe) {
        return Err(NotHanded::NotSafe);
    }
    if !text.starts_with("\"time\":\"") {
        return Err(NotHanded::NotARecord("its time does not come first".to_owned()));
    }
    let not_a_record = |error: &dyn fmt::Display| NotHanded::NotARecord(error.to_string());
    serde_json::from_str::<Members>(&format!("{{{text}}}")).map_err(|error| not_a_record(&error))?;
    // As its readers will see it.
    let line = format!("{{\"seq\":0,{text}}}");
    let time = read_record(line.as_bytes()).map_err(|error| not_a_record(&error))?.time;
    match time.0 > now.0.saturating_add(AHEAD_MAX) {
        true => Err(NotHanded::ToCome(time)),
        false => Ok(time),
    }
}

/// Nothing is kept of them.
struct Members;

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject;

        impl<'de> Visitor<'de> for OfObject {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the members of a record")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Members, A::Error> {
                let mut names: Vec<String> = Vec::new();
                let mut kind = None;
                while let Some(name) = members.next_key::<String>()? {
                    if RESERVED.contains(&&*name) || names.contains(&name) || names.len() >= MEMBERS_MAX {
                        return Err(A::Error::custom(format_args!("it may not have {name:?} here")));
                    }
                    match &*name {
                        "kind" => kind = Some(members.next_value::<String>()?),
                        _ => drop(members.next_value::<IgnoredAny>()?),
                    }
                    names.push(name);
                }
                match kind.as_deref() {
                    Some(kind) if KINDS.contains(&kind) => Ok(Members),
                    Some(kind) => Err(A::Error::custom(format_args!("its kind {kind:?} is not handed in"))),
                    None => Err(A::Error::missing_field("kind")),
                }
            }
        }

        deserializer.deserialize_map(OfObject)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::evidence::{Admin, Chain, Event, Exchange, Kind, Record};
    use crate::facts::ExchangeId;

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_510_800_123_456);

    proptest! {
        #[test]
        fn whatever_is_taken_is_one_line_of_the_chain_as_a_record_of_exchanges(at in 0_usize..400, byte: u8, more in ".{0,40}") {
            let mut record = Box::new(Exchange::new(Event::Close, ExchangeId(7)));
            record.detail = Some(more.as_str().into());
            let mut members = Record::Exchange(record).encode(NOW);
            let length = members.len();
            members[at % length] = byte;
            if handed_record(&members, NOW).is_ok() {
                let mut line = Vec::new();
                Chain::start().append(&[&b"\"gate\":\"g\","[..], &members].concat(), &mut line);
                prop_assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
                let read = read_record(&line).unwrap();
                prop_assert_eq!(read.seq, 1);
                prop_assert_ne!(read.kind, Kind::Finding);
                let whole: serde_json::Value = serde_json::from_slice(&line).unwrap();
                prop_assert_eq!((&whole["gate"], &whole["seq"]), (&"g".into(), &1.into()));
                prop_assert!(KINDS.contains(&whole["kind"].as_str().unwrap()));
            }
        }
    }

    fn handed(text: &str) -> Result<Timestamp, NotHanded> {
        handed_record(text.as_bytes(), NOW)
    }

    #[test]
    fn what_exchanges_tell_is_taken_as_it_was_encoded() {
        let mut close = Box::new(Exchange::new(Event::Close, ExchangeId(7)));
        close.detail = Some("関所 \"\u{202e}\"\n".into());
        for record in [Record::Exchange(close), Record::Admin(Admin { action: "x", detail: None })] {
            assert_eq!(handed_record(&record.encode(NOW), NOW), Ok(NOW));
        }
    }

    #[test]
    fn what_would_forge_a_line_or_what_the_journal_itself_says_is_refused() {
        let good = "\"time\":\"2026-11-24T07:00:00.123456Z\",\"kind\":\"exchange\",\"id\":\"00000000007\"";
        assert!(handed(good).is_ok(), "{:?}", handed(good));
        let with = |more: &str| format!("{good},{more}");
        let long = with(&format!("\"detail\":\"{}\"", "a".repeat(HANDED_BYTES_MAX)));
        let many = with(&(0..90).map(|n| format!("\"m{n}\":0")).collect::<Vec<_>>().join(","));
        let deep = with(&format!("\"x\":{}", "[".repeat(50_000)));
        for bad in [
            String::new(),
            "}".to_owned(),
            good.replace("exchange", "segment"),
            good.replace("exchange", "batch"),
            good.replace("exchange", "checkpoint"),
            good.replace("exchange", "contingency"),
            good.replace("exchange", "nonsense"),
            good.replace("2026", "2036"),
            good.replace("2026-", "20-"),
            good.replace("\"time\":", "\"Time\":"),
            "\"time\":\"2026-11-24T07:00:00.123456Z\"".to_owned(),
            format!("\"x\":1,{good}"),
            with("\"kind\":\"exchange\""),
            with("\"id\":\"00000000008\""),
            with("\"\\u0068\":\"0123456789abcdef\""),
            with("\"h\":\"0123456789abcdef\""),
            with("\"v\":1"),
            with("\"seq\":1"),
            with("\"gate\":\"other\""),
            with("\"site\":\"other\""),
            with("\"port\":65536"),
            with("\"detail\":\"a\nb\""),
            with("\"detail\":\"\u{202e}\""),
            with("\"detail\":\"x\"},{\"a\":1"),
            format!("{good}}}"),
            format!("{good},"),
            long,
            many,
            deep,
        ] {
            assert!(handed(&bad).is_err(), "{}", bad.chars().take(200).collect::<String>());
        }
        assert!(handed_record(b"\"time\":\"\xff\"", NOW).is_err());
    }
}
