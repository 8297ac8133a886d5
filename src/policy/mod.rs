//! Decides whether an exchange may leave.
//!
//! In: policy text, compiled whole or refused whole; then the facts of an exchange. Out: a decision
//! with its reason, or the fact it still needs. A [`Permit`] is made here alone, and nothing is
//! dialled without one. Pure: never reads a clock, a file or a socket, and never logs.

mod calendar;
mod cases;
mod compile;
mod content;
mod decide;
mod decision;
mod draft;
mod explain;
mod faces;
mod glob;
mod groups;
mod guard;
mod index;
mod internal;
mod judge;
mod layout;
mod names;
mod lint;
mod parents;
mod paths;
mod pattern;
mod question;
mod rule;
mod schema;
mod set_fields;
mod sources;
mod tenant;
mod triaged;
#[doc(hidden)]
pub mod properties;

pub use compile::{Mode, Policy, Reload};
pub use content::{Broken, Content, ContentTerms};
pub use decide::{CONTRADICTIONS_MAX, Condition, Considered, Trace, decide, decide_traced};
pub use decision::{
    Beside, Code, Decision, Handling, Need, Notes, Outcome, Permit, Rate, RatePer, Reason, RuleRef, TunnelLimits,
    Verdict, VerdictKind,
};
pub use draft::{draft_rule, draft_uninspected};
pub use explain::{ChallengeKind, Explained, Explanation, Line, explain};
pub use groups::prefixes;
pub use guard::{AddressRefused, CheckedAddress, OwnEndpoints, is_global, judge_address};
pub use internal::{Internal, judge_left_to_parent, judge_parent, judge_target};
pub use layout::lay_out;
pub use lint::{Lint, LintCode};
pub use names::{
    BAD_LINES_KEPT_MAX, BadLine, BadLines, Compiled, DamagedSet, LINE_BYTES_MAX, LIST_BYTES_MAX, LIST_ENTRIES_MAX,
    NameCounts, NameSet,
};
pub use parents::{Parent, ResolvedBy, Route};
pub use question::{Asker, BadQuestion, Question};
pub use schema::json_schema;
pub use set_fields::SetField;
pub use sources::{Alone, FETCHED_LIST, Listed, Source, Sources};
pub use triaged::{BadTarget, MarkedRule, MarkedTarget, Proposed, ProposedOf, without_marked};
