use std::cmp::Ordering;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::evidence::{Asked, Failure, Shown, Verdict};
use crate::parse::BodyType;

use super::names::Name;

/// One thing that happened, in the place that its time gives it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Event {
    /// In microseconds.
    pub time: u64,
    /// The number of the record or line.
    pub line: u64,
    pub client: Name,
    pub host: Name,
    pub port: u16,
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum What {
    /// A request or a tunnel began, or was refused. With what is known of it, where that is all that will be.
    Call {
        denied: bool,
        /// What kind of request it is, as [`Facts::shape`].
        shape: u32,
        facts: Option<Arc<Facts>>,
    },
    /// The client wrote into a tunnel after silence, and this moved until the next burst.
    Burst { tunnel: u64, up: u32, down: u32 },
    /// A tunnel has shown what goes through it.
    Shown(Arc<Facts>),
    /// A tunnel goes on: what it has carried so far.
    Going(Arc<Facts>),
    /// An exchange has ended.
    Done(Arc<Facts>),
    /// A program answered a challenge, or did not.
    Challenge(Arc<Facts>),
}

/// What is known of an exchange.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Facts {
    /// 0 for none.
    pub id: u64,
    /// When it began, in microseconds.
    pub begun: u64,
    pub what: Asked,
    pub verdict: Verdict,
    pub refusal: Refusal,
    pub failure: Failure,
    pub user: Option<Name>,
    /// By its TLS key.
    pub program: Option<Name>,
    /// By its User-Agent.
    pub agent: Option<Name>,
    /// That claims to be a browser.
    pub is_browser: bool,
    pub address: Option<Name>,
    pub sni: Sni,
    pub carries: Carries,
    pub standing: Shown,
    /// What does not fit the browser that it claims to be.
    pub contradictions: u8,
    /// The method and what the path is like, as a number; 0 where nobody knows.
    pub shape: u32,
    pub status: u16,
    /// So far; 0 where nobody knows.
    pub bytes_up: u64,
    pub bytes_down: u64,
    /// In microseconds; 0 where nobody knows.
    pub duration: u64,
    pub cut: Cut,
    pub content_type: Option<Box<str>>,
    /// What came, where that may bring in more than something to look at, or has a name that deceives.
    pub body: Option<Box<Body>>,
}

/// The body of an answer, as far as it was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Body {
    pub kind: BodyType,
    /// SHA-256 of all of it, where it is a carrier that came whole.
    pub hash: Option<[u8; 32]>,
    /// Hostile text of at most 255 bytes; empty where nobody knows.
    pub name: Box<str>,
}

/// Why it was not let out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum Refusal {
    #[default]
    None,
    /// A log-in was asked for.
    LogIn,
    /// It was wrong.
    WrongLogIn,
    /// By the policy, the guard, or a challenge.
    Other,
}

/// The name in a tunnel's ClientHello.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum Sni {
    /// There was no ClientHello to be seen.
    #[default]
    Unseen,
    Absent,
    /// That of the CONNECT.
    Same,
    Other(Box<str>),
}

/// What the first bytes of a tunnel were.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum Carries {
    #[default]
    Unseen,
    Tls,
    Other(Box<str>),
}

/// Whether the gate ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) enum Cut {
    #[default]
    No,
    /// At the lifetime that is set.
    Lifetime,
    Other,
}

impl What {
    /// Of things at one time from one line, which comes first.
    fn rank(&self) -> u8 {
        match self {
            Self::Call { .. } => 0,
            Self::Shown(_) => 1,
            Self::Challenge(_) => 2,
            Self::Burst { .. } => 3,
            Self::Going(_) => 4,
            Self::Done(_) => 5,
        }
    }

    /// What is known, where that is all that will be.
    pub(super) fn whole(&self) -> Option<&Facts> {
        match self {
            Self::Call { facts, .. } => facts.as_deref(),
            Self::Done(facts) => Some(facts),
            Self::Burst { .. } | Self::Shown(_) | Self::Going(_) | Self::Challenge(_) => None,
        }
    }
}

impl Event {
    fn place(&self) -> (u64, u64, u8, Name, Name) {
        (self.time, self.line, self.what.rank(), self.client, self.host)
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.place() == other.place()
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place())
    }
}
