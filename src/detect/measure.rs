use std::time::Duration;

use crate::evidence::{Finding, FindingId, FindingKind, Severity};
use crate::facts::Timestamp;
use crate::parse::{Placed, Section, did_you_mean};

use super::settings::Target;

/// What findings of some kinds are answered with, for a time. It tightens what the policy says, and never loosens it.
#[derive(Debug, Clone)]
pub struct Measure {
    pub name: Box<str>,
    pub kinds: Vec<FindingKind>,
    /// Findings that are less pressing, or have less evidence, are not answered.
    pub severity: Severity,
    pub score: f64,
    pub act: Act,
    pub scope: Scope,
    pub lasts: Duration,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// The program must show afresh that a person with a browser is at it.
    ChallengeAfresh,
    Deny,
    /// Nothing of the client passes.
    Isolate,
}

/// To what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// What this client asks of this target.
    ClientAndTarget,
    Client,
    Target,
    /// The program, at whichever client.
    Program,
}

/// What a finding has imposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imposed {
    pub finding: FindingId,
    /// The measure's name.
    pub measure: Box<str>,
    pub act: Act,
    /// Whom it is about; `None` for all.
    pub client: Option<Box<str>>,
    pub target: Option<Target>,
    /// By its TLS key or User-Agent.
    pub program: Option<Box<str>>,
    pub until: Timestamp,
}

impl Act {
    pub const ALL: [Self; 3] = [Self::ChallengeAfresh, Self::Deny, Self::Isolate];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ChallengeAfresh => "challenge_afresh",
            Self::Deny => "deny",
            Self::Isolate => "isolate",
        }
    }

    pub fn named(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.as_str() == text)
    }
}

const SCOPES: [(&str, Scope); 4] = [
    ("client_and_target", Scope::ClientAndTarget),
    ("client", Scope::Client),
    ("target", Scope::Target),
    ("program", Scope::Program),
];
const SEVERITIES: [(&str, Severity); 3] =
    [("low", Severity::Low), ("medium", Severity::Medium), ("high", Severity::High)];
const HOURS: u64 = 8;
const HOURS_MAX: u64 = 720;
const SCORE_MAX: u64 = 300;

impl Measure {
    /// Reads `[response.NAME]` of a config; what is wrong is reported.
    pub(super) fn read(name: &str, section: &mut Section<'_, '_>) -> Option<Self> {
        section.need_some("findings", "[\"beacon\"]");
        let kinds = section.strings("findings").unwrap_or_default();
        let scope = section.word("of", &SCOPES).unwrap_or(Scope::ClientAndTarget);
        let kinds: Vec<_> = kinds.iter().filter_map(|kind| read_kind(section, kind, scope)).collect();
        section.need_some("do", "\"deny\"");
        let act = section.word("do", &Act::ALL.map(|act| (act.as_str(), act)));
        if act == Some(Act::Isolate) && scope != Scope::Client && section.has("of") {
            let place = section.place_of_key("of").unwrap_or_else(|| section.place().clone());
            section.problem(&place, "what is isolated is a client, whole", "write of = \"client\", or leave it out");
        }
        let severity = section.word("severity", &SEVERITIES).unwrap_or(Severity::High);
        let score = section.integer("score", 0..=SCORE_MAX).unwrap_or(0) as f64;
        let hours = section.integer("hours", 1..=HOURS_MAX).unwrap_or(HOURS);
        let (name, lasts) = (name.into(), Duration::from_secs(hours * 3600));
        Some(Self { name, kinds, severity, score, act: act?, scope, lasts })
    }

    /// What it imposes for a finding; it lasts from the last event that the finding rests on, and is nothing where that time is over
    /// now.
    pub(super) fn imposes(&self, finding: &Finding, now: Timestamp) -> Option<Imposed> {
        let is_meant =
            self.kinds.contains(&finding.kind) && finding.severity >= self.severity && finding.score >= self.score;
        // What is about no one client would be about all of them.
        if !is_meant || finding.client.is_empty() {
            return None;
        }
        let (client, whole) = (Some(finding.client.clone()), finding.kind.is_of_program());
        let target = || (!whole).then(|| Target::new(&finding.target)).flatten();
        let (client, target, program) = match (self.act, self.scope) {
            (Act::Isolate, _) | (_, Scope::Client) => (client, None, None),
            // Without a target it would be about all that the client does.
            (_, Scope::ClientAndTarget) => (client, Some(target()?), None),
            (_, Scope::Target) => (None, Some(target()?), None),
            (_, Scope::Program) => (None, None, Some(finding.target.clone()).filter(|key| whole && !key.is_empty())),
        };
        if client.is_none() && target.is_none() && program.is_none() {
            return None;
        }
        let lasts = u64::try_from(self.lasts.as_micros()).unwrap_or(u64::MAX);
        let until = Timestamp(finding.last.min(now).0.saturating_add(lasts));
        if until <= now {
            return None;
        }
        Some(Imposed { finding: finding.id, measure: self.name.clone(), act: self.act, client, target, program, until })
    }
}

fn read_kind(section: &Section<'_, '_>, text: &Placed<String>, scope: Scope) -> Option<FindingKind> {
    let known = || FindingKind::ALL.iter().map(|kind| kind.as_str());
    let Some(kind) = FindingKind::named(&text.value) else {
        let like = did_you_mean(&text.value, known());
        let all = || format!("these are there: {}", known().collect::<Vec<_>>().join(", "));
        let fix = like.map_or_else(all, |like| format!("did you mean `{like}`?"));
        section.problem(&text.place, format!("there are no findings `{}`", text.value), fix);
        return None;
    };
    if scope == Scope::Program && !kind.is_of_program() {
        let what = format!("findings `{}` are not about a program", kind.as_str());
        section.problem(&text.place, what, "leave them out, or `of = \"program\"`");
    }
    Some(kind)
}
