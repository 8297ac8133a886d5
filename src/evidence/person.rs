use std::fmt;

use serde::{Deserialize, Serialize};

use crate::facts::Timestamp;

use super::finding::FindingId;
use super::moment;
use super::text::{Text, shown};

/// Who did something: as the system says it, and as they say it themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The number of the system's user; absent where the system does not tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The name that the system has for this number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<Text>,
    /// The name by which they logged in to the gate's console, which checked that; then there is no user of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console: Option<Text>,
    /// Who they say they are (`SUDO_USER`): whoever may act as the user above can write anything there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Text>,
}

/// A person has looked at the records of a person, before they were shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lookup {
    #[serde(flatten)]
    pub who: Person,
    /// What was asked, such as `review client`.
    pub question: Text,
    /// Whose records: an address or prefix, a user, a device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Text>,
    /// Of which time; open where absent.
    #[serde(default, with = "moment::perhaps", skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    #[serde(default, with = "moment::perhaps", skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What a person holds a finding or a target to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    KnownGood,
    Malicious,
    Watching,
    /// What was said before does not hold any more.
    Withdrawn,
}

/// A person has said what a finding or a target is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Triage {
    #[serde(flatten)]
    pub who: Person,
    #[serde(rename = "action")]
    pub mark: Mark,
    /// A host, an address, or `*.` and a domain; with the port where it is about one port. Of a finding: its target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding_id: Option<FindingId>,
    /// Of which client; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Text>,
    pub why: Text,
    /// The last day on which it holds, `YYYY-MM-DD` in UTC; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Text>,
    /// What it was held to be until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Mark>,
}

/// What becomes of a legal hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldAction {
    Placed,
    Released,
}

/// A person has placed a legal hold, or released it: every day of the journal on which its client appears is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    #[serde(flatten)]
    pub who: Person,
    pub action: HoldAction,
    /// An address or prefix, or a device's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Text>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Text>,
    pub why: Text,
}

impl HoldAction {
    /// As records have it.
    pub fn as_str(self) -> &'static str {
        match self {
            HoldAction::Placed => "placed",
            HoldAction::Released => "released",
        }
    }
}

impl Hold {
    /// Whether both are about the same client.
    pub fn is_of_same(&self, other: &Self) -> bool {
        self.client == other.client && self.device == other.device
    }

    /// The client as a person wrote it.
    pub fn subject(&self) -> &str {
        self.client.as_ref().or(self.device.as_ref()).map_or("", Text::as_str)
    }
}

impl Mark {
    /// As records have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mark::KnownGood => "known_good",
            Mark::Malicious => "malicious",
            Mark::Watching => "watching",
            Mark::Withdrawn => "withdrawn",
        }
    }

    /// For people, in English and in Japanese.
    pub fn in_words(self) -> (&'static str, &'static str) {
        match self {
            Mark::KnownGood => ("known good", "問題なし"),
            Mark::Malicious => ("malicious", "悪性"),
            Mark::Watching => ("watching", "監視中"),
            Mark::Withdrawn => ("withdrawn", "取り消し"),
        }
    }
}

/// Safe on a terminal.
impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(console) = &self.console {
            return write!(f, "{} (console)", shown(console.as_str()));
        }
        match (&self.login, self.uid) {
            (Some(login), Some(uid)) => write!(f, "{} (user {uid})", shown(login.as_str()))?,
            (Some(login), None) => write!(f, "{}", shown(login.as_str()))?,
            (None, Some(uid)) => write!(f, "user {uid}")?,
            (None, None) => f.write_str("an unknown user")?,
        }
        match &self.claims {
            Some(claims) => write!(f, ", who claims to be {}", shown(claims.as_str())),
            None => Ok(()),
        }
    }
}
