//! What fails, and who is where nobody expects them.
//!
//! Each detector says what its benign twin is and how that is told apart. None of them is told `high` lightly: people mistype
//! names and passwords, and servers die.

use serde::{Deserialize, Serialize};

use crate::evidence::{Failure, Verdict};

use super::draft::Drafts;
use super::event::{Event, What};
use super::network::Network;

mod challenges;
mod connects;
mod hours;
mod names;
mod outage;
mod users;

use challenges::FailedChallenges;
use connects::FailedConnects;
use hours::OutOfHours;
use names::UnresolvedNames;
use outage::Outage;
use users::UserOnSeveralClients;

/// Finds what fails too often, and activity where and when there never was any.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Failures {
    outage: Outage,
    names: UnresolvedNames,
    connects: FailedConnects,
    challenges: FailedChallenges,
    users: UserOnSeveralClients,
    hours: OutOfHours,
}

/// Clients of which failures are kept: most have hardly any.
const FAILING_MAX: usize = 16_384;

impl Failures {
    pub(super) fn new(clients_max: usize) -> Self {
        let failing_max = clients_max.min(FAILING_MAX);
        Self {
            outage: Outage::default(),
            names: UnresolvedNames::new(failing_max),
            connects: FailedConnects::new(failing_max),
            challenges: FailedChallenges::new(failing_max),
            users: UserOnSeveralClients::new(clients_max),
            hours: OutOfHours::new(clients_max),
        }
    }

    pub(super) fn take(&mut self, event: &Event, network: &mut Network, drafts: &mut Drafts) {
        self.hours.take(event, network, drafts);
        match &event.what {
            What::Shown(facts) => {
                network.hosts.reach(event.host);
                self.challenges.succeed(event, facts);
            }
            What::Challenge(facts) => return self.challenges.take(event, facts, network, drafts),
            What::Call { .. } | What::Burst { .. } | What::Going(_) | What::Done(_) => {}
        }
        let Some(facts) = event.what.whole() else { return };
        self.users.take(event, facts, network, drafts);
        self.challenges.take(event, facts, network, drafts);
        let failed = facts.verdict == Verdict::Allowed && facts.failure != Failure::None;
        self.outage.take(event, failed, network);
        match (facts.verdict, facts.failure) {
            (Verdict::Allowed, Failure::None) => network.hosts.reach(event.host),
            (Verdict::Allowed, Failure::NoName) => self.names.take(event, &self.outage, network, drafts),
            (Verdict::Allowed, Failure::Refused | Failure::Unanswered) | (Verdict::Denied, _) => {
                self.connects.take(event, facts, &self.outage, network, drafts);
            }
            (Verdict::Allowed, Failure::Other) | (Verdict::Challenged, _) => {}
        }
    }
}

/// So large a share of a client's failures is of hosts that it, or others, had reached, that it is they that are down.
fn is_of_known(known: u32, strange: u32) -> bool {
    known.saturating_mul(4) >= strange
}

/// A text as a number (FNV-1a): the same whatever came before.
fn hash(text: &str, port: u16) -> u32 {
    let bytes = text.bytes().chain(port.to_le_bytes());
    bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
