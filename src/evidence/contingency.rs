use serde::{Deserialize, Serialize};

use super::person::Person;
use super::text::Text;

/// What is done in an emergency, or what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContingencyAction {
    /// A client is cut off, until it is released.
    Isolated,
    Released,
    /// Nothing passes but what essential rules let out, until that is ended.
    Lockdown,
    LockdownEnded,
    /// It is so at `place` too: the client is cut off there, or after it was released no longer is.
    Done,
    /// It is not so at `place`.
    NotDone,
}

/// A person has cut a client off, or all that is not essential; or has taken that back. Or the gate tells whether that is so
/// elsewhere. As a record it is of kind `contingency`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contingency {
    /// Nobody, where the gate tells.
    #[serde(flatten)]
    pub who: Person,
    pub action: ContingencyAction,
    /// An address or prefix; absent where it is about all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Text>,
    /// The device that had the address then, where a person named that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<Text>,
    /// Where else than in the gate: `kernel`, or `hook` and the name of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Text>,
    /// What a person says of it, or what went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<Text>,
}

impl ContingencyAction {
    /// Whether less passes than before.
    pub fn tightens(self) -> bool {
        matches!(self, Self::Isolated | Self::Lockdown)
    }

    /// As records have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::Released => "released",
            Self::Lockdown => "lockdown",
            Self::LockdownEnded => "lockdown_ended",
            Self::Done => "done",
            Self::NotDone => "not_done",
        }
    }
}
