use std::borrow::Cow;
use std::fmt;
use std::io::BufRead;
use std::iter;
use std::ops::Deref;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::facts::Timestamp;

use super::finding::Severity;
use super::observed::Burst;
use super::record::Event;
use super::text::read_time;

mod quick;

/// What a reader of the journal asks of a line; the rest of it is passed over. Fields that are not on the
/// line are `None`. Everything but numbers and times is text that others chose: show it through [`shown`].
///
/// [`shown`]: super::shown
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub struct RecordLine<'a> {
    pub seq: u64,
    #[serde(deserialize_with = "read_time_field")]
    pub time: Timestamp,
    pub kind: Kind,
    pub event: Option<Event>,
    #[serde(borrow)]
    pub id: Option<Said<'a>>,
    #[serde(borrow)]
    pub inside: Option<Said<'a>>,
    #[serde(borrow)]
    pub client: Option<Said<'a>>,
    pub client_port: Option<u16>,
    #[serde(borrow)]
    pub captured: Option<Said<'a>>,
    #[serde(borrow)]
    pub user: Option<Said<'a>>,
    #[serde(borrow)]
    pub client_group: Option<Said<'a>>,
    #[serde(borrow)]
    pub user_agent: Option<Said<'a>>,
    #[serde(borrow)]
    pub method: Option<Said<'a>>,
    #[serde(borrow)]
    pub scheme: Option<Said<'a>>,
    #[serde(borrow)]
    pub host: Option<Said<'a>>,
    pub port: Option<u16>,
    #[serde(borrow)]
    pub path: Option<Said<'a>>,
    #[serde(borrow)]
    pub query: Option<Said<'a>>,
    #[serde(borrow)]
    pub query_hash: Option<Said<'a>>,
    #[serde(borrow)]
    pub sni: Option<Said<'a>>,
    #[serde(borrow)]
    pub ja4: Option<Said<'a>>,
    #[serde(borrow)]
    pub tls_key: Option<Said<'a>>,
    pub ech: Option<bool>,
    #[serde(borrow)]
    pub standing: Option<Said<'a>>,
    /// Of an exchange; those of a finding are no words alone, and are left out.
    #[serde(borrow, default, deserialize_with = "read_words")]
    pub grounds: Vec<Said<'a>>,
    #[serde(borrow)]
    pub carries: Option<Said<'a>>,
    #[serde(borrow)]
    pub verdict: Option<Said<'a>>,
    #[serde(borrow)]
    pub would: Option<Said<'a>>,
    #[serde(borrow)]
    pub reason: Option<Said<'a>>,
    #[serde(borrow)]
    pub rule: Option<Said<'a>>,
    #[serde(borrow)]
    pub rule_at: Option<Said<'a>>,
    #[serde(borrow)]
    pub policy: Option<Said<'a>>,
    pub breakglass: Option<bool>,
    #[serde(borrow)]
    pub parent: Option<Said<'a>>,
    #[serde(borrow)]
    pub dialled: Option<Said<'a>>,
    pub status: Option<u16>,
    #[serde(borrow)]
    pub content_type: Option<Said<'a>>,
    #[serde(borrow)]
    pub body_type: Option<Said<'a>>,
    #[serde(borrow)]
    pub body_sha256: Option<Said<'a>>,
    #[serde(borrow)]
    pub file_name: Option<Said<'a>>,
    pub bytes_up: Option<u64>,
    pub bytes_down: Option<u64>,
    pub total_us: Option<u64>,
    #[serde(borrow)]
    pub closed_by: Option<Said<'a>>,
    #[serde(borrow)]
    pub closed_how: Option<Said<'a>>,
    #[serde(default)]
    pub bursts: Vec<Burst>,
    /// What came of a challenge.
    #[serde(borrow)]
    pub outcome: Option<Said<'a>>,
    /// Which finding it is, its evidence in decades, how pressing it is, and the time of the last event that it rests on.
    #[serde(borrow)]
    pub finding_id: Option<Said<'a>>,
    pub score: Option<f64>,
    pub severity: Option<Severity>,
    #[serde(borrow)]
    pub last: Option<Said<'a>>,
    /// Of a flow: who saw it, what came of it, and where it was to go.
    #[serde(borrow)]
    pub source: Option<Said<'a>>,
    #[serde(borrow)]
    pub state: Option<Said<'a>>,
    #[serde(borrow)]
    pub address: Option<Said<'a>>,
    #[serde(borrow)]
    pub protocol: Option<Said<'a>>,
    /// How many attempts a flow sums, and how many keys at least where they were too many to tell apart.
    pub count: Option<u64>,
    pub packets: Option<u64>,
    pub rolled_up: Option<u64>,
    /// When the first of what a flow sums was seen, or a finding's first event was; and the firewall that told of a flow.
    #[serde(borrow)]
    pub first: Option<Said<'a>>,
    #[serde(borrow)]
    pub told_by: Option<Said<'a>>,
    /// The log of the sensor that told of a flow.
    #[serde(borrow)]
    pub sensor: Option<Said<'a>>,
    /// What a record of health is about, and how that stands.
    #[serde(borrow)]
    pub subject: Option<Said<'a>>,
    #[serde(borrow)]
    pub level: Option<Said<'a>>,
}

/// What a line tells of, as far as readers care.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Exchange,
    Progress,
    Challenge,
    Finding,
    Flow,
    #[default]
    #[serde(other)]
    Other,
}

/// Text of a line; borrowed from it where nothing of it was escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said<'a>(Cow<'a, str>);

/// A line that is no record of schema version 1.
#[derive(Debug, thiserror::Error)]
pub enum NotARecord {
    #[error("it is not UTF-8")]
    NotText,
    #[error("{0}")]
    NotAsWritten(serde_json::Error),
}

/// The lines of a block of the journal that are not empty, without their ends.
pub fn lines_of(mut block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let next = move || {
        let rest = block;
        // Looks for the end of a line many bytes at a time, which splitting by a closure does not.
        let length = block.skip_until(b'\n').ok().filter(|length| *length > 0)?;
        let line = rest.get(..length)?;
        Some(line.strip_suffix(b"\n").unwrap_or(line))
    };
    iter::from_fn(next).filter(|line| !line.is_empty())
}

/// Reads one line of the journal, with or without its line end. Nothing is verified: that is the business
/// of [`Verifier`](super::Verifier).
///
/// # Errors
/// The line is no JSON, lacks `seq`, `time` or `kind`, or has a field of another type than records have.
pub fn read_record(line: &[u8]) -> Result<RecordLine<'_>, NotARecord> {
    let text = std::str::from_utf8(line).map_err(|_| NotARecord::NotText)?;
    match quick::read(text) {
        Some(record) => Ok(record),
        None => serde_json::from_str(text).map_err(NotARecord::NotAsWritten),
    }
}

fn read_time_field<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = Said::deserialize(deserializer)?;
    read_time(&text).ok_or_else(|| D::Error::custom("its time is none"))
}

/// The words of a list, without what of it is told in other ways.
fn read_words<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Said<'a>>, D::Error> {
    struct Word<'a>(Option<Said<'a>>);

    impl<'de: 'a, 'a> Deserialize<'de> for Word<'a> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct OfList;

            impl<'de> Visitor<'de> for OfList {
                type Value = Word<'de>;

                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("text, or a ground of a finding")
                }

                fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                    Ok(Word(Some(Said(Cow::Borrowed(text)))))
                }

                fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                    Ok(Word(Some(Said(Cow::Owned(text.to_owned())))))
                }

                fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                    while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                    Ok(Word(None))
                }
            }

            deserializer.deserialize_any(OfList)
        }
    }

    let words = Vec::<Word<'a>>::deserialize(deserializer)?;
    Ok(words.into_iter().filter_map(|word| word.0).collect())
}

impl Deref for Said<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Said<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl<'de> Visitor<'de> for Text {
            type Value = Said<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Said(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Said(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::evidence::{Chain, Exchange, Record, Target};
    use crate::facts::ExchangeId;

    use super::*;

    #[test]
    fn a_block_is_taken_apart_at_its_line_ends() {
        for (block, expected) in [
            ("", &[][..]),
            ("\n\n", &[]),
            ("a\nbb\n", &["a", "bb"]),
            ("a\n\n\nbb", &["a", "bb"]),
            ("\na\r\n", &["a\r"]),
        ] {
            let lines: Vec<_> = lines_of(block.as_bytes()).map(|line| str::from_utf8(line).unwrap()).collect();
            assert_eq!(lines, expected, "{block:?}");
        }
    }

    fn line(change: impl FnOnce(&mut Exchange)) -> Vec<u8> {
        let mut record = Box::new(Exchange::new(Event::Open, ExchangeId(7)));
        change(&mut record);
        let mut line = Vec::new();
        Chain::start().append(&Record::Exchange(record).encode(Timestamp(1_795_510_800_123_456)), &mut line);
        line
    }

    #[test]
    fn a_finding_with_its_grounds_is_read_and_they_are_no_words_of_an_exchange() {
        use crate::evidence::{Finding, FindingId, FindingKind, Ground, Severity};
        let kind = FindingKind::UnknownTunnel;
        let finding = Finding {
            id: FindingId::new(kind, "10.0.0.1", "a.example"),
            kind,
            severity: Severity::High,
            score: 3.0,
            weight: 3.0,
            client: "10.0.0.1".into(),
            target: "a.example".into(),
            port: 443,
            first: Timestamp(1),
            last: Timestamp(2),
            requests: 1,
            denied: 0,
            beat: None,
            grounds: vec![Ground::new("odd_port", &[("port", 443.0)], "english".into(), "日本語".into())],
            rarity: None,
            records: [1, 1],
        };
        let mut line = Vec::new();
        Chain::start().append(&Record::Finding(Box::new(finding)).encode(Timestamp(1_795_510_800_123_456)), &mut line);
        let read = read_record(&line).unwrap();
        assert_eq!((read.kind, read.client.as_deref(), read.grounds.len()), (Kind::Finding, Some("10.0.0.1"), 0));
        let line = line_of_grounds();
        assert_eq!(read_record(&line).unwrap().grounds.iter().map(|ground| &**ground).collect::<Vec<_>>(), ["a", "b"]);
    }

    fn line_of_grounds() -> Vec<u8> {
        line(|record| record.grounds = vec!["a", "b"])
    }

    #[test]
    fn what_was_written_is_read_back() {
        let line = line(|record| {
            record.client = Some("10.0.0.1".to_owned());
            record.user_agent = Some("a\u{1b}[2J\"関所".into());
            record.target = Some(Target {
                scheme: "http",
                host: "a.example".into(),
                port: 8080,
                path: Some("/x".into()),
                query_bytes: Some(3),
                query_hash: Some("00".to_owned()),
                query: None,
            });
            record.alpn = vec!["h2".into()];
            record.ech = Some(true);
            record.bytes_up = Some(u64::MAX);
            record.bursts = vec![Burst { after_cs: 100, up: 7, down: u32::MAX }];
        });
        let read = read_record(&line).unwrap();
        assert_eq!((read.seq, read.time, read.kind), (1, Timestamp(1_795_510_800_123_456), Kind::Exchange));
        assert_eq!((read.event, read.id.as_deref()), (Some(Event::Open), Some("00000000007")));
        assert_eq!(read.user_agent.as_deref(), Some("a\u{1b}[2J\"関所"), "escapes are undone");
        assert_eq!(
            (read.host.as_deref(), read.port, read.path.as_deref()),
            (Some("a.example"), Some(8080), Some("/x"))
        );
        assert_eq!((read.ech, read.bytes_up, read.verdict), (Some(true), Some(u64::MAX), None));
        assert_eq!(read.bursts, [Burst { after_cs: 100, up: 7, down: u32::MAX }]);
        assert!(matches!(read.host, Some(Said(Cow::Borrowed(_)))), "what needs no escape is not copied");
    }

    #[test]
    fn lines_of_other_kinds_are_read_as_such_and_damaged_ones_are_refused() {
        let gap =
            br#"{"v":1,"seq":9,"gate":"g","time":"2026-11-25T01:00:00.000000Z","kind":"gap","cause":"x","h":"0"}"#;
        assert_eq!(read_record(gap).unwrap().kind, Kind::Other);
        let deep = format!(r#"{{"seq":1,"x":{}"#, "[".repeat(100_000));
        for bad in [
            &b""[..],
            b"\0\0\0",
            b"\xff",
            br#"{"seq":1,"kind":"exchange"}"#,
            br#"{"seq":1,"time":"yesterday","kind":"exchange"}"#,
            br#"{"seq":1,"time":"1969-01-01T00:00:00Z","kind":"exchange"}"#,
            br#"{"seq":1,"time":"2026-11-25T01:00:00Z","kind":"exchange","port":65536}"#,
            br#"{"seq":1,"time":"2026-11-25T01:00:00Z","kind":"exchange","host":["a"]}"#,
            br#"{"seq":1,"time":"2026-11-25T01:00:00Z","kind":"exchange","event":"never"}"#,
            br#"{"seq":1,"seq":2,"time":"2026-11-25T01:00:00Z","kind":"exchange"}"#,
            deep.as_bytes(),
        ] {
            assert!(read_record(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    proptest! {
        #[test]
        fn no_altered_line_makes_a_reader_panic(at in 0_usize..400, byte: u8, cut in 0_usize..400) {
            let mut line = line(|record| record.client = Some("10.0.0.1".to_owned()));
            line.truncate(line.len() - cut % line.len());
            let length = line.len();
            if let Some(place) = line.get_mut(at % length.max(1)) {
                *place = byte;
            }
            let _ = read_record(&line);
        }
    }
}
