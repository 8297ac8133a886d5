use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::evidence::{FindingKind, Severity, Span};
use crate::facts::Timestamp;

use super::super::draft::{Draft, Drafts};
use super::super::event::{Event, Facts};
use super::super::grounds::{Grounds, growing};
use super::super::hour::{Hour, SLOTS};
use super::super::names::{Estimate, Name};
use super::super::network::Network;
use super::super::table::Table;

/// Finds users at more clients within an hour than they ever were at.
///
/// Its benign twins: accounts that many share, and services that go from client to client. Of each user the most clients
/// within an hour of a week are kept, and halved with each week that had fewer: who is at no more than half as many again
/// stays silent. So in the first week that a network is watched nothing is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UserOnSeveralClients {
    /// About 270 bytes each.
    users: Table<Name, AtWork>,
}

#[derive(Debug, Serialize, Deserialize)]
struct AtWork {
    first: u64,
    first_line: u64,
    hour: Hour<Estimate>,
    /// Counted from when the user was first seen, the week that `most` is of, and the most clients within an hour in it.
    week: u64,
    most: u32,
    /// The same of the week before in which the user was seen, or half of what it was then, if that is more.
    most_before: u32,
    /// The client that the user was told of with first.
    told_at: Option<Name>,
}

/// Clients within an hour from which on a user is told of.
const CLIENTS_MIN: u32 = 3;
/// In microseconds.
const WEEK: u64 = 7 * 24 * 3_600_000_000;
const HOUR: u64 = 3_600_000_000;
const SEVERITIES: [(f32, Severity); 2] = [(1.0, Severity::Low), (3.0, Severity::Medium)];

impl UserOnSeveralClients {
    pub(super) fn new(users_max: usize) -> Self {
        Self { users: Table::new(users_max) }
    }

    pub(super) fn take(&mut self, event: &Event, facts: &Facts, network: &mut Network, drafts: &mut Drafts) {
        let Some(user) = facts.user else { return };
        let place = network.clients.meet(event.client);
        let at_work = self.users.entry(user, || AtWork {
            first: event.time,
            first_line: event.line,
            hour: Hour::new(event.time),
            week: 0,
            most: 0,
            most_before: 0,
            told_at: None,
        });
        at_work.first = at_work.first.min(event.time);
        at_work.go_to(event.time.saturating_sub(at_work.first) / WEEK);
        if !at_work.hour.at(event.time).add(place) {
            return;
        }
        let clients = at_work.hour.last(SLOTS).fold(Estimate::default(), Estimate::with).count();
        let usual = at_work.most_before;
        at_work.most = at_work.most.max(clients);
        let is_known = at_work.week > 0;
        if clients < CLIENTS_MIN || (!is_known && network.age_seconds(event.time) < WEEK / 1_000_000) {
            return;
        }
        if is_known && clients <= usual.saturating_add(usual / 2) {
            return;
        }
        let Some(name) = network.users.text(user) else { return };
        let known = Span::between(Timestamp(at_work.first), Timestamp(event.time));
        let grounds = grounds(&name, clients, is_known.then_some(usual), known);
        let Some(severity) = grounds.severity(&SEVERITIES) else { return };
        // The finding of a user is one, whichever client comes next.
        let told_at = at_work.told_at.filter(|client| network.clients.known(*client).is_some()).unwrap_or(event.client);
        at_work.told_at = Some(told_at);
        let draft = Draft {
            kind: FindingKind::UserOnSeveralClients,
            severity,
            score: grounds.score(),
            client: told_at,
            target: Some(name),
            port: 0,
            first: event.time.saturating_sub(HOUR),
            last: event.time,
            requests: 0,
            denied: 0,
            beat: None,
            grounds: grounds.sorted(),
            rarity: None,
            records: [at_work.first_line, event.line],
        };
        drafts.add_if_news(draft, &network.clients);
    }
}

impl AtWork {
    /// A week is over in which the user was seen.
    fn go_to(&mut self, week: u64) {
        if week > self.week {
            self.most_before = self.most.max(self.most_before / 2);
            (self.week, self.most) = (week, 0);
        }
    }
}

fn grounds(user: &Arc<str>, clients: u32, usual: Option<u32>, known: Span) -> Grounds {
    let mut grounds = Grounds::default();
    grounds.add(
        growing(1.0, clients, CLIENTS_MIN, 0.7, 3.5),
        "user_on_several_clients",
        &[("clients", f64::from(clients))],
        format!("{user} was at {clients} clients within an hour"),
        format!("{user}が1時間に{clients}台の端末で通信"),
    );
    if let Some(usual) = usual {
        grounds.add(
            0.8,
            "more_than_usual",
            &[("usual", f64::from(usual)), ("known_seconds", known.0)],
            format!("at most {usual} were usual (known here for {known})"),
            format!("これまでは最大{usual}台（{}前から）", known.in_japanese()),
        );
    }
    grounds
}
