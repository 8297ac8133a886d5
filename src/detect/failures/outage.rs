use serde::{Deserialize, Serialize};

use super::super::event::Event;
use super::super::hour::{Hour, TEN_MINUTES};
use super::super::names::Estimate;
use super::super::network::Network;

/// Whether the gate itself reaches nothing, because its resolver or its line is down. Then all clients fail, and none of
/// them is worth telling of.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Outage(Option<Hour<Tried>>);

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Tried {
    /// Clients, and those of them that failed.
    clients: Estimate,
    failing: Estimate,
    exchanges: u32,
    failed: u32,
}

/// Fewer clients that fail are no outage.
const OUTAGE_CLIENTS: u32 = 3;

impl Outage {
    pub(super) fn take(&mut self, event: &Event, failed: bool, network: &mut Network) {
        let place = network.clients.meet(event.client);
        let tried = self.0.get_or_insert_with(|| Hour::new(event.time)).at(event.time);
        tried.clients.add(place);
        tried.exchanges = tried.exchanges.saturating_add(1);
        if failed {
            tried.failing.add(place);
            tried.failed = tried.failed.saturating_add(1);
        }
    }

    /// In the last ten minutes most that was tried has failed, at most clients.
    pub(super) fn is_now(&self) -> bool {
        let Some(hour) = &self.0 else { return false };
        let all = hour.last(TEN_MINUTES).fold(Tried::default(), |all, tried| Tried {
            clients: all.clients.with(tried.clients),
            failing: all.failing.with(tried.failing),
            exchanges: all.exchanges.saturating_add(tried.exchanges),
            failed: all.failed.saturating_add(tried.failed),
        });
        let (clients, failing) = (all.clients.count(), all.failing.count());
        failing >= OUTAGE_CLIENTS && failing >= clients / 2 && all.failed >= all.exchanges / 2
    }
}
