use serde::{Deserialize, Serialize};

use crate::evidence::{self, format_time};
use crate::facts::Timestamp;
use crate::lists::ReadError;
use crate::parse::Problem;
use crate::policy::{FETCHED_LIST, Policy};
use crate::session::Edition;

use super::OwnParent;

/// So many problems are shown; they are counted all.
const PROBLEMS_SHOWN_MAX: usize = 100;
/// So much of each, of what is wrong and of the fix.
const SHOWN_BYTES_MAX: usize = 400;
/// So many problems are told of in a record.
const PROBLEMS_RECORDED_MAX: usize = 3;

/// What became of reading the policy again.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reloaded {
    pub outcome: Outcome,
    /// The policy's file.
    pub file: String,
    /// What is in force after it: with [`Outcome::InForce`] the policy that was read, else the one before.
    pub hash: String,
    pub rules: usize,
    /// `enforce` or `observe`.
    pub mode: String,
    /// What becomes of tunnels that were open: `keep` or `strict`.
    pub tunnels: String,
    /// What was in force before.
    pub hash_before: String,
    /// What the parents are shown is not what it was.
    pub credentials_changed: bool,
    /// How many problems there are. None but where it was refused.
    pub count: usize,
    /// The first hundred of them.
    pub problems: Vec<ReloadProblem>,
}

/// How it came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// What was read is in force.
    InForce,
    /// It is what was in force before.
    Unchanged,
    /// It is wrong, and what was in force before is.
    Refused,
}

impl ReloadStatus {
    /// Why what was read last is not in force; `None` where it is.
    pub(super) fn fault(&self) -> Option<String> {
        match self.outcome {
            Outcome::InForce | Outcome::Unchanged => None,
            Outcome::Refused => Some(self.first_problem.clone().unwrap_or_else(|| "refused".to_owned())),
        }
    }
}

/// One thing wrong with a policy that was read again; long texts are cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadProblem {
    pub file: String,
    /// Absent where it is the file itself that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    pub message: String,
    pub fix: String,
}

/// The last time the policy was read again, for `status`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReloadStatus {
    /// UTC.
    pub at: String,
    /// `a changed file`, `SIGHUP`, or the user who asked.
    pub by: String,
    pub outcome: Outcome,
    /// How many problems there were.
    pub count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_problem: Option<String>,
}

impl Outcome {
    /// The word used in records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::InForce => "in_force",
            Outcome::Unchanged => "unchanged",
            Outcome::Refused => "refused",
        }
    }
}

impl Reloaded {
    /// What is in force after it, with no problem.
    pub(super) fn new(outcome: Outcome, file: &str, policy: &Policy, before: &Edition) -> Self {
        Self {
            outcome,
            file: file.to_owned(),
            hash: policy.hash().to_owned(),
            rules: policy.rules(),
            mode: policy.mode().as_str().to_owned(),
            tunnels: policy.reload().as_str().to_owned(),
            hash_before: before.policy.hash().to_owned(),
            credentials_changed: false,
            count: 0,
            problems: Vec::new(),
        }
    }

    /// Nothing but that what was read is wrong.
    pub(super) fn refused(file: &str, before: &Edition, mut problems: Vec<ReloadProblem>) -> Self {
        let count = problems.len();
        problems.truncate(PROBLEMS_SHOWN_MAX);
        Self { count, problems, ..Self::new(Outcome::Refused, file, &before.policy, before) }
    }

    pub(super) fn status(&self, at: Timestamp, by: &str) -> ReloadStatus {
        ReloadStatus {
            at: format_time(at),
            by: by.to_owned(),
            outcome: self.outcome,
            count: self.count,
            first_problem: self.problems.first().map(ToString::to_string),
        }
    }

    /// The record of it. A policy may hold by mistake what is secret, such as a password where a file is to
    /// be named, and a problem shows what is wrong: a record says of the problems only where they are and of
    /// what kind, and of credentials only that they changed.
    pub(super) fn record(&self) -> evidence::Policy {
        let told: Vec<String> =
            self.problems.iter().take(PROBLEMS_RECORDED_MAX).map(ReloadProblem::without_values).collect();
        let detail = match self.outcome {
            Outcome::Refused => Some(told.join("; ")),
            Outcome::InForce | Outcome::Unchanged => self.credentials_changed.then(|| "credentials changed".to_owned()),
        };
        evidence::Policy {
            action: self.outcome.as_str(),
            file: self.file.as_str().into(),
            hash: self.hash.as_str().into(),
            rules: self.rules,
            mode: if self.mode == "observe" { "observe" } else { "enforce" },
            problems: (self.count > 0).then_some(self.count),
            detail: detail.as_deref().map(Into::into),
        }
    }
}

impl ReloadProblem {
    /// All that is wrong, as it came out of reading.
    pub(super) fn all_of(error: ReadError) -> Vec<Self> {
        match error {
            ReadError::Problems(problems) => problems.into_iter().map(Self::of).collect(),
            ReadError::Unfetched(names) => names.into_iter().map(Self::of_unfetched).collect(),
            ReadError::File { path, source } => vec![Self {
                file: path.display().to_string(),
                line: None,
                column: None,
                message: format!("cannot read the policy file: {source}"),
                fix: "put it there as UTF-8 text that the gate's user can read".to_owned(),
            }],
        }
    }

    fn of_unfetched(name: String) -> Self {
        Self {
            file: format!("{FETCHED_LIST}{name}"),
            line: None,
            column: None,
            message: "the list has not been fetched yet".to_owned(),
            fix: "`sekisho fetch` fetches it now, or says why it cannot be had".to_owned(),
        }
    }

    fn of(problem: Problem) -> Self {
        Self {
            file: problem.place.file.to_string(),
            line: Some(problem.place.line),
            column: Some(problem.place.column),
            message: cut(problem.what),
            fix: cut(problem.fix),
        }
    }

    pub(super) fn of_parent(found: &OwnParent<'_>) -> Self {
        Self::of(Problem {
            place: found.parent.place.clone(),
            what: format!("the parent `{}` cannot be used: {}", found.parent.value.name(), found.refused),
            fix: "a parent is another proxy: give it another address".to_owned(),
        })
    }

    fn place(&self) -> String {
        match (self.line, self.column) {
            (Some(line), Some(column)) => format!("{}:{line}:{column}", self.file),
            _ => self.file.clone(),
        }
    }

    /// The place and the kind. What stands in quotation marks of any sort is from the file.
    fn without_values(&self) -> String {
        let quotes = ['`', '"'];
        let message = match (self.message.find(quotes), self.message.rfind(quotes)) {
            (Some(first), Some(last)) => {
                let (before, after) = (self.message.get(..first), self.message.get(last + 1..));
                format!("{}`…`{}", before.unwrap_or_default(), after.unwrap_or_default())
            }
            _ => self.message.clone(),
        };
        format!("{}: {message}", self.place())
    }
}

impl std::fmt::Display for ReloadProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}\n    fix: {}", self.place(), self.message, self.fix)
    }
}

fn cut(mut text: String) -> String {
    if text.len() > SHOWN_BYTES_MAX {
        text.truncate(text.floor_char_boundary(SHOWN_BYTES_MAX));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(message: &str) -> ReloadProblem {
        let fix = "mend it".to_owned();
        ReloadProblem { file: "p.toml".to_owned(), line: Some(3), column: Some(7), message: message.to_owned(), fix }
    }

    #[test]
    fn a_record_has_the_place_and_the_kind_of_a_problem_and_no_value_of_the_file() {
        for (message, recorded) in [
            ("`u:hunter2@p:1` is no address with a port", "p.toml:3:7: `…` is no address with a port"),
            ("`mode` cannot be \"hun\\\"ter2\"", "p.toml:3:7: `…`"),
            ("`hun`ter2` is no host pattern: it is empty", "p.toml:3:7: `…` is no host pattern: it is empty"),
            ("a rule has no name", "p.toml:3:7: a rule has no name"),
            ("an odd ` one", "p.toml:3:7: an odd `…` one"),
        ] {
            assert_eq!(problem(message).without_values(), recorded);
        }
    }

    #[test]
    fn problems_are_counted_all_and_shown_within_bounds() {
        let policy = Policy::compile("p.toml", "").unwrap();
        let in_force = crate::session::InForce::new(policy, Default::default()).now();
        let many = (0..150).map(|_| problem("a rule has no name")).collect();
        let refused = Reloaded::refused("p.toml", &in_force, many);
        assert_eq!((refused.count, refused.problems.len()), (150, PROBLEMS_SHOWN_MAX));
        assert_eq!((&refused.hash, &refused.hash_before), (&in_force.policy.hash().to_owned(), &refused.hash));
        let record = refused.record();
        assert_eq!((record.action, record.problems), ("refused", Some(150)));
        let told = "p.toml:3:7: a rule has no name; ".repeat(PROBLEMS_RECORDED_MAX);
        assert_eq!(record.detail, Some(told.trim_end_matches("; ").into()));
        let long = "é".repeat(SHOWN_BYTES_MAX);
        assert_eq!(cut(long.clone()).chars().count(), SHOWN_BYTES_MAX / 2 + 1);
        assert_eq!(cut("short".to_owned()), "short");
    }
}
