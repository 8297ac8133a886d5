//! Ends a running exchange that is no longer let out.

use std::future::pending;

use tokio::sync::watch;

use crate::facts::{Party, Restraint};
use crate::policy::{Need, Outcome, Policy, Verdict};

use super::account::Asked;
use super::body::Failure;
use super::gate::Gate;
use super::why::Why;

/// What may end an exchange while it runs: that a finding or a person imposes something on it.
pub(super) struct Cuts<'a> {
    pub(super) gate: &'a Gate,
    /// What it was let out by.
    pub(super) policy: &'a Policy,
    pub(super) asked: &'a Asked<'a>,
    /// Changes since before it was judged.
    pub(super) changes: watch::Receiver<u32>,
}

impl Cuts<'_> {
    /// Waits until it is not let out any more, and says why.
    pub(super) async fn cut(&mut self) -> Failure {
        loop {
            if self.changes.changed().await.is_err() {
                // Nobody can impose anything any more.
                return pending().await;
            }
            if let Some(why) = self.denied() {
                return Failure { denied: true, ..Failure::new(Party::Gate, why) };
            }
        }
    }

    /// Why it is not let out any more, by what was imposed since it was judged.
    pub(super) fn now(&mut self) -> Option<Failure> {
        if !self.changes.has_changed().unwrap_or(false) {
            return None;
        }
        self.changes.mark_unchanged();
        self.denied().map(|why| Failure { denied: true, ..Failure::new(Party::Gate, why) })
    }

    fn denied(&self) -> Option<Why> {
        if self.asked.restraint(self.gate) == Restraint::NONE {
            return None;
        }
        match self.asked.judge(self.gate, self.policy) {
            Outcome::Decided(decision) => match decision.verdict {
                Verdict::Allow(_) => None,
                Verdict::Challenge | Verdict::Deny => Some(Why::of_decision(&decision)),
            },
            Outcome::Needs(Need::User, reason) => Some(Why::of_need(&reason)),
            // What a rule waits for was there when it was let out.
            Outcome::Needs(Need::Hello | Need::InnerRequest, _) => None,
        }
    }
}
