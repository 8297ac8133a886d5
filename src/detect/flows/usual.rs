use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::detect::table::Table;

/// The most that there was of something in a period, and in those before; what is long ago counts half with each.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Most {
    /// Counted from 1970.
    period: u64,
    now: u32,
    before: u32,
    /// Some period before is known.
    is_known: bool,
}

impl Most {
    /// Something is counted in a period. A clock that is set back changes nothing.
    pub(super) fn add(&mut self, period: u64, count: u32) {
        if period > self.period {
            if self.period > 0 {
                (self.before, self.is_known) = (self.now.max(self.before / 2), true);
            }
            (self.period, self.now) = (period, 0);
        }
        self.now = self.now.max(count);
    }

    /// The most of earlier periods; `None` where there was none.
    pub(super) fn before(&self) -> Option<u32> {
        self.is_known.then_some(self.before)
    }
}

/// How many new keys each client has brought within an hour. What one client floods a table with must not drive out
/// what is known of the others.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Budget {
    clients: Table<IpAddr, (u64, u32)>,
    most: u32,
    /// Keys that were not taken.
    pub beyond: u64,
}

/// Clients of which that is counted.
const CLIENTS_MAX: usize = 16_384;
/// In microseconds.
const HOUR: u64 = 3_600_000_000;

impl Budget {
    pub(super) fn new(most: u32) -> Self {
        Self { clients: Table::new(CLIENTS_MAX), most, beyond: 0 }
    }

    /// Whether the client may bring one more.
    pub(super) fn takes(&mut self, client: IpAddr, time: u64) -> bool {
        let (hour, count) = self.clients.entry(client, Default::default);
        if *hour != time / HOUR {
            (*hour, *count) = (time / HOUR, 0);
        }
        let takes = *count < self.most;
        *count = count.saturating_add(1);
        self.beyond = self.beyond.saturating_add(u64::from(!takes));
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_of_earlier_periods_is_known_from_the_second_on_and_fades() {
        let mut most = Most::default();
        most.add(10, 40);
        assert_eq!(most.before(), None);
        most.add(11, 3);
        assert_eq!(most.before(), Some(40));
        most.add(12, 3);
        most.add(9, 99);
        assert_eq!(most.before(), Some(20), "of a clock that was set back nothing is learnt for the past");
    }

    #[test]
    fn a_client_has_its_budget_each_hour_and_takes_nothing_of_another() {
        let mut budget = Budget::new(2);
        let (one, other) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        assert_eq!([1, 2, 3].map(|time| budget.takes(one, time)), [true, true, false]);
        assert!(budget.takes(other, 4) && budget.takes(one, HOUR));
        assert_eq!(budget.beyond, 1);
    }
}
