use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use crate::facts::Timestamp;

use super::flow::{Flow, FlowKey};

/// Keys that are told apart within a second; what comes beyond is summed for each client and state.
pub const FLOW_KEYS_MAX: usize = 2000;
/// Clients with their states for which that is done within a second; what comes beyond is summed for all of them.
pub const FLOW_CLIENTS_MAX: usize = 2000;
/// Keys that are counted within a roll-up, all of a second together. Beyond it they are summed, but no more are counted.
const DISTINCT_MAX: usize = 100_000;

/// Sums what was seen within a second, so that a burst is one record and no count is lost. Memory is bounded whatever is
/// seen.
#[derive(Debug, Default)]
pub struct FlowSums {
    /// Counted from 1970.
    second: u64,
    /// By key, and in which order they came.
    told_apart: HashMap<FlowKey, (usize, Flow)>,
    /// The same without all but source, client and state; and where there are too many of these, without the client.
    rolled_up: HashMap<FlowKey, (usize, Flow)>,
    /// Hashes of keys that were rolled up.
    distinct: HashSet<u64>,
    hasher: RandomState,
}

/// What one packet, event or line told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    pub key: FlowKey,
    pub packets: Option<u64>,
    pub bytes_up: Option<u64>,
    pub bytes_down: Option<u64>,
}

impl From<FlowKey> for Seen {
    fn from(key: FlowKey) -> Self {
        Self { key, packets: None, bytes_up: None, bytes_down: None }
    }
}

impl FlowSums {
    /// Adds what was seen once. Gives the sums of the second before, oldest first, where this is of another one.
    pub fn add(&mut self, seen: Seen, now: Timestamp) -> Vec<Flow> {
        let ended = self.turn(now);
        self.sum(seen, now);
        ended
    }

    /// The sums of the second before, where it has ended by now.
    pub fn turn(&mut self, now: Timestamp) -> Vec<Flow> {
        let second = now.0 / 1_000_000;
        // A clock that was set back ends a second as well.
        if second == self.second {
            return Vec::new();
        }
        self.second = second;
        self.end()
    }

    /// All sums there are.
    pub fn end(&mut self) -> Vec<Flow> {
        self.distinct.clear();
        let mut ended: Vec<_> = self.told_apart.drain().map(|(_, sum)| sum).collect();
        ended.sort_unstable_by_key(|(order, _)| *order);
        let mut rolled: Vec<_> = self.rolled_up.drain().map(|(_, sum)| sum).collect();
        rolled.sort_unstable_by_key(|(order, _)| *order);
        ended.into_iter().chain(rolled).map(|(_, flow)| flow).collect()
    }

    fn sum(&mut self, seen: Seen, now: Timestamp) {
        let apart = self.told_apart.len();
        if apart < FLOW_KEYS_MAX || self.told_apart.contains_key(&seen.key) {
            return put(&mut self.told_apart, seen, now, None);
        }
        let hash = self.hasher.hash_one(&seen.key);
        let is_new = self.distinct.len() < DISTINCT_MAX && self.distinct.insert(hash);
        let FlowKey { source, state, client, .. } = seen.key;
        let of_client = FlowKey { state, client, ..FlowKey::of(source) };
        let has_room = self.rolled_up.len() < FLOW_CLIENTS_MAX || self.rolled_up.contains_key(&of_client);
        // Sources and states are few.
        let key = if has_room { of_client } else { FlowKey { client: None, ..of_client } };
        put(&mut self.rolled_up, Seen { key, ..seen }, now, Some(u64::from(is_new)));
    }
}

fn put(sums: &mut HashMap<FlowKey, (usize, Flow)>, seen: Seen, now: Timestamp, distinct: Option<u64>) {
    let order = sums.len();
    let Seen { key, packets, bytes_up, bytes_down } = seen;
    match sums.entry(key) {
        Entry::Occupied(entry) => {
            let (_, flow) = entry.into_mut();
            flow.count = flow.count.saturating_add(1);
            for (sum, more) in [
                (&mut flow.packets, packets),
                (&mut flow.bytes_up, bytes_up),
                (&mut flow.bytes_down, bytes_down),
                (&mut flow.rolled_up, distinct),
            ] {
                *sum = match (*sum, more) {
                    (Some(sum), Some(more)) => Some(sum.saturating_add(more)),
                    (sum, more) => sum.or(more),
                };
            }
            flow.first = flow.first.min(now);
            flow.last = flow.last.max(now);
        }
        Entry::Vacant(entry) => {
            let key = entry.key().clone();
            let flow =
                Flow { key, count: 1, packets, bytes_up, bytes_down, rolled_up: distinct, first: now, last: now };
            entry.insert((order, flow));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use crate::evidence::{FlowSource, FlowState, Protocol};

    use super::*;

    const SECOND: u64 = 1_000_000;

    fn key(client: u32, port: u16) -> FlowKey {
        FlowKey {
            state: Some(FlowState::Refused),
            client: Some(IpAddr::from(Ipv4Addr::from(client))),
            address: Some(IpAddr::from(Ipv4Addr::new(11, 0, 0, 1))),
            port: Some(port),
            protocol: Some(Protocol::TCP),
            rule: Some("out-tcp".into()),
            ..FlowKey::of(FlowSource::Nflog)
        }
    }

    fn total(flows: &[Flow]) -> u64 {
        flows.iter().map(|flow| flow.count).sum()
    }

    #[test]
    fn a_burst_is_one_record_and_its_neighbour_in_time_or_port_is_another() {
        let mut sums = FlowSums::default();
        assert_eq!(sums.add(key(1, 80).into(), Timestamp(SECOND)), []);
        let counted = Seen { packets: Some(3), bytes_up: Some(70), bytes_down: None, ..key(1, 80).into() };
        assert_eq!(sums.add(counted, Timestamp(SECOND + 999_999)), []);
        assert_eq!(sums.add(key(1, 81).into(), Timestamp(SECOND + 5)), []);
        let ended = sums.add(key(1, 80).into(), Timestamp(2 * SECOND));
        let of = |flow: &Flow| (flow.key.port, flow.count, flow.first.0, flow.last.0);
        let expected = [(Some(80), 2, SECOND, SECOND + 999_999), (Some(81), 1, SECOND + 5, SECOND + 5)];
        assert_eq!(ended.iter().map(of).collect::<Vec<_>>(), expected);
        assert_eq!((ended[0].packets, ended[0].bytes_up, ended[0].bytes_down), (Some(3), Some(70), None));
        assert_eq!(sums.turn(Timestamp(2 * SECOND + 1)), []);
        assert_eq!(total(&sums.turn(Timestamp(3 * SECOND))), 1);
        assert_eq!(sums.end(), []);
    }

    #[test]
    fn beyond_two_thousand_keys_each_client_is_summed_and_what_was_told_apart_stays_so() {
        let mut sums = FlowSums::default();
        let now = Timestamp(SECOND);
        for port in 0..5000 {
            assert_eq!(sums.add(key(7, port).into(), now), []);
            sums.add(key(7, port).into(), now);
        }
        sums.add(key(7, 0).into(), now);
        sums.add(key(8, 9999).into(), now);
        let ended = sums.end();
        assert_eq!(ended.len(), FLOW_KEYS_MAX + 2);
        assert_eq!(total(&ended), 10_002);
        assert_eq!(ended[0].count, 3);
        let rolled = &ended[FLOW_KEYS_MAX];
        assert_eq!((rolled.count, rolled.rolled_up), (6000, Some(3000)));
        assert_eq!((rolled.key.client, rolled.key.port), (key(7, 0).client, None));
        assert_eq!((ended[FLOW_KEYS_MAX + 1].count, ended[FLOW_KEYS_MAX + 1].key.client), (1, key(8, 0).client));
    }

    #[test]
    fn beyond_as_many_clients_the_rest_is_one_record() {
        let mut sums = FlowSums::default();
        for client in 0..50_000 {
            sums.add(key(client, 80).into(), Timestamp(SECOND));
        }
        let ended = sums.end();
        assert_eq!(ended.len(), FLOW_KEYS_MAX + FLOW_CLIENTS_MAX + 1);
        let rest = ended.last().unwrap();
        let beyond = 50_000 - (FLOW_KEYS_MAX + FLOW_CLIENTS_MAX) as u64;
        assert_eq!((rest.key.client, rest.key.state), (None, Some(FlowState::Refused)));
        assert_eq!((rest.count, rest.rolled_up), (beyond, Some(beyond)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]
        #[test]
        fn whatever_comes_in_goes_out(
            seen in prop::collection::vec((0_u32..6000, 0_u16..3, 0_u64..3_000_000, 0_u64..1000), 0..9000),
        ) {
            let mut sums = FlowSums::default();
            let mut out = Vec::new();
            let mut bytes = 0_u64;
            for (client, port, time, up) in &seen {
                let one = Seen { bytes_up: Some(*up), ..key(*client, *port).into() };
                bytes += up;
                out.extend(sums.add(one, Timestamp(*time)));
            }
            out.extend(sums.end());
            prop_assert_eq!(total(&out), seen.len() as u64);
            prop_assert_eq!(out.iter().filter_map(|flow| flow.bytes_up).sum::<u64>(), bytes);
            let most = out.iter().all(|flow| flow.first <= flow.last && flow.first.0 / SECOND == flow.last.0 / SECOND);
            prop_assert!(most);
        }
    }
}
