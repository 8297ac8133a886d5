use std::collections::BTreeMap;

use rusqlite::OptionalExtension;
use serde::Deserialize;

use crate::evidence::{Beat, FindingId, Rarity, Severity, read_time};
use crate::facts::Timestamp;

use super::ask::{Evidence, QuestionError};
use super::findings::Marks;

/// A finding as its newest record tells it. Its texts are those of clients and origins.
#[derive(Debug, Clone, Deserialize)]
pub struct WholeFinding {
    /// Its kind and the stage of an attack, as records have them.
    #[serde(rename = "finding")]
    pub kind: String,
    #[serde(rename = "finding_id")]
    pub id: FindingId,
    pub severity: Severity,
    pub score: f64,
    pub stage: String,
    pub client: String,
    pub target: String,
    #[serde(default)]
    pub port: u16,
    first: String,
    last: String,
    pub requests: u32,
    pub denied: u32,
    #[serde(default)]
    pub beat: Option<Beat>,
    #[serde(default)]
    pub grounds: Vec<GroundSaid>,
    #[serde(default)]
    pub rarity: Option<Rarity>,
    pub records: [u64; 2],
    pub english: String,
    pub japanese: String,
    /// Which device the client was; empty where nobody knows.
    #[serde(skip)]
    pub device: String,
    /// What people hold it to be, in words; empty where nobody has said.
    #[serde(skip)]
    pub mark: String,
}

/// One thing that speaks for it.
#[derive(Debug, Clone, Deserialize)]
pub struct GroundSaid {
    pub ground: String,
    pub numbers: BTreeMap<String, f64>,
    pub english: String,
    pub japanese: String,
}

impl WholeFinding {
    pub fn first(&self) -> Timestamp {
        read_time(&self.first).unwrap_or_default()
    }

    pub fn last(&self) -> Timestamp {
        read_time(&self.last).unwrap_or_default()
    }
}

/// A finding by its id.
///
/// # Errors
/// None has that id, or the index cannot be asked.
pub fn finding(evidence: &Evidence<'_>, id: FindingId) -> Result<WholeFinding, QuestionError> {
    let text = "SELECT line FROM finding WHERE id = ?1";
    let mut statement = evidence.connection().prepare_cached(text)?;
    let line: Option<String> = statement.query_row([id.to_string()], |row| row.get(0)).optional()?;
    let read = line.and_then(|line| serde_json::from_str::<WholeFinding>(&line).ok());
    let mut found = read.ok_or_else(|| QuestionError::NoRow(id.to_string()))?;
    let last = i64::try_from(found.last().0).unwrap_or(i64::MAX);
    found.device = evidence.who.at(&found.client, last);
    found.mark = Marks::read(evidence)?.of(id, (&found.target, found.port), &found.client);
    Ok(found)
}
