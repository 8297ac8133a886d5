//! What records of kind `finding` say, the newest of each.

use rusqlite::params;
use serde::Deserialize;

use crate::evidence::{RecordLine, Said, read_time};

use super::fill::signed;
use super::names::bounded;
use super::{Filler, IndexError};

/// What is asked of a finding.
#[derive(Debug, Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    finding_id: Said<'a>,
    #[serde(borrow)]
    finding: Said<'a>,
    #[serde(borrow)]
    severity: Said<'a>,
    score: f64,
    weight: f64,
    #[serde(borrow)]
    client: Said<'a>,
    #[serde(borrow)]
    target: Said<'a>,
    #[serde(borrow)]
    first: Said<'a>,
    #[serde(borrow)]
    last: Said<'a>,
    #[serde(borrow)]
    english: Said<'a>,
    #[serde(borrow)]
    japanese: Said<'a>,
}

impl Filler {
    pub(super) fn finding(&mut self, line: &[u8], record: &RecordLine<'_>, day: i64) -> Result<(), IndexError> {
        let (seq, time) = (signed(record.seq), signed(record.time.0));
        let id = bounded(record.finding_id.as_deref().unwrap_or_default());
        let mut told = self.connection.prepare_cached("INSERT INTO told VALUES (?1, ?2, ?3, ?4)")?;
        told.execute(params![seq, day, id, String::from_utf8_lossy(line)])?;
        drop(told);
        self.put_finding(line, seq, time, day)
    }

    /// What one record says of a finding takes the place of what was known of it.
    pub(super) fn put_finding(&mut self, line: &[u8], seq: i64, told: i64, day: i64) -> Result<(), IndexError> {
        let Ok(found) = serde_json::from_slice::<Found<'_>>(line) else { return Ok(()) };
        let text = |said: &Said<'_>| bounded(said).to_owned();
        let time = |said: &Said<'_>| read_time(said).map_or(0, |time| signed(time.0));
        self.connection.prepare_cached(FINDING)?.execute(params![
            text(&found.finding_id),
            day,
            seq,
            told,
            text(&found.finding),
            text(&found.severity),
            found.score,
            found.weight,
            text(&found.client),
            text(&found.target),
            time(&found.first),
            time(&found.last),
            text(&found.english),
            text(&found.japanese),
            String::from_utf8_lossy(line),
        ])?;
        Ok(())
    }
}

const FINDING: &str = "INSERT INTO finding VALUES
    (?1, ?2, ?3, ?4, ?4, ?5, ?6, ?7, ?8, ?9, ?10, '', ?11, ?12, ?13, ?14, ?15)
    ON CONFLICT (id) DO UPDATE SET day = excluded.day, seq = excluded.seq, told = excluded.told,
    severity = excluded.severity, score = excluded.score, weight = excluded.weight, client = excluded.client,
    target = excluded.target, first = min(first, excluded.first), last = excluded.last,
    english = excluded.english, japanese = excluded.japanese, line = excluded.line";
