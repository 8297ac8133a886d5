use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use crate::facts::Timestamp;

use super::flow::{Flow, FlowKey, is_pressing};
use super::flow_inside::{Group, Inside};
use super::text::Text;

/// Keys that are told apart within a second; what comes beyond is summed for each client and state. Where they are too
/// many, those go whose segment has most, and of it those whose client has most: a client with few is told apart whoever
/// floods, and addresses that somebody makes up take no room of the segments in which nobody does.
pub const FLOW_KEYS_MAX: usize = 2000;
/// Beside them, keys of which one says enough: of a tripwire, or of a critical segment's rules. They take no room of
/// others, and others none of theirs.
pub const PRESSING_KEYS_MAX: usize = 256;
/// Clients with their states for which that is done within a second, the same number for each segment; what comes beyond is
/// summed for all of the segment. Addresses of no segment are nobody's: they are summed by where they came in.
pub const FLOW_CLIENTS_MAX: usize = 2000;
/// Keys that are counted within a roll-up, all of a second together. Beyond it they are summed, but no more are counted.
const DISTINCT_MAX: usize = 100_000;

/// Sums what was seen within a second, so that a burst is one record and no count is lost. Memory is bounded whatever is
/// seen.
#[derive(Debug)]
pub struct FlowSums {
    /// Counted from 1970.
    second: u64,
    inside: Inside,
    told_apart: Apart,
    pressing: Apart,
    /// The same without all but source, client, state and a rule that presses, in which order they came; and where
    /// there are too many of these, without the client.
    rolled_up: HashMap<FlowKey, (usize, Flow)>,
    /// How many of these have a client, of each group.
    clients: HashMap<Group, usize>,
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
    /// The interface by which it came in.
    pub came_by: Option<Arc<str>>,
}

impl From<FlowKey> for Seen {
    fn from(key: FlowKey) -> Self {
        Self { key, packets: None, bytes_up: None, bytes_down: None, came_by: None }
    }
}

impl Default for FlowSums {
    fn default() -> Self {
        Self::of(Inside::default())
    }
}

impl FlowSums {
    /// None yet, of a network of which so much is known.
    pub fn of(inside: Inside) -> Self {
        Self {
            second: 0,
            inside,
            told_apart: Apart::new(FLOW_KEYS_MAX),
            pressing: Apart::new(PRESSING_KEYS_MAX),
            rolled_up: HashMap::new(),
            clients: HashMap::new(),
            distinct: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// Adds what was seen once. Gives the sums of the second before, oldest first, where this is of another one.
    pub fn add(&mut self, seen: Seen, now: Timestamp) -> Vec<Flow> {
        let ended = self.turn(now);
        let Seen { key, packets, bytes_up, bytes_down, came_by } = seen;
        let group = self.inside.group(key.client, came_by.as_ref());
        self.sum(Flow { key, count: 1, packets, bytes_up, bytes_down, rolled_up: None, first: now, last: now }, group);
        ended
    }

    /// Adds so many that were counted together from one moment to now, and never seen one by one: nothing more is known of them
    /// than the key says, of which there are to be few. Gives what [`Self::add`] gives.
    pub fn add_counted(&mut self, key: FlowKey, count: u64, first: Timestamp, now: Timestamp) -> Vec<Flow> {
        let ended = self.turn(now);
        let (packets, bytes_up, bytes_down) = (None, None, None);
        self.join(Flow { key, count, packets, bytes_up, bytes_down, rolled_up: Some(1), first, last: now });
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

    /// All sums there are: those that press first, those of roll-ups last.
    pub fn end(&mut self) -> Vec<Flow> {
        self.distinct.clear();
        self.clients.clear();
        let mut ended = self.pressing.end();
        ended.append(&mut self.told_apart.end());
        let mut rolled: Vec<_> = self.rolled_up.drain().map(|(_, sum)| sum).collect();
        rolled.sort_unstable_by_key(|(order, _)| *order);
        ended.extend(rolled.into_iter().map(|(_, flow)| flow));
        ended
    }

    fn sum(&mut self, flow: Flow, group: Group) {
        let apart = if is_pressing(&flow.key) { &mut self.pressing } else { &mut self.told_apart };
        if let Some((beyond, group)) = apart.add(flow, group) {
            self.roll_up(beyond, &group);
        }
    }

    fn roll_up(&mut self, flow: Flow, group: &Group) {
        let hash = self.hasher.hash_one(&flow.key);
        let is_new = self.distinct.len() < DISTINCT_MAX && self.distinct.insert(hash);
        // Rules that press are few, as are sources and states.
        let rule = flow.key.rule.clone().filter(|_| is_pressing(&flow.key));
        // Each log of a sensor has sums of its own, so that there is but one here.
        let sensor = flow.key.sensor.clone();
        let FlowKey { source, state, client, .. } = flow.key;
        let of_client = FlowKey { state, client, rule, sensor, ..FlowKey::of(source) };
        let has_room = match group {
            Group::Strangers(_) => false,
            Group::All | Group::Segment(_) if self.rolled_up.contains_key(&of_client) => true,
            Group::All | Group::Segment(_) => {
                let clients = self.clients.entry(group.clone()).or_default();
                let has_room = *clients < FLOW_CLIENTS_MAX / self.inside.groups();
                *clients += usize::from(has_room);
                has_room
            }
        };
        let key = match group {
            _ if has_room => of_client,
            Group::Strangers(by) => FlowKey { client: None, interface: by.as_deref().map(Text::from), ..of_client },
            Group::All | Group::Segment(_) => FlowKey { client: None, segment: self.inside.name(group), ..of_client },
        };
        self.join(Flow { key, rolled_up: Some(u64::from(is_new)), ..flow });
    }

    fn join(&mut self, flow: Flow) {
        let order = self.rolled_up.len();
        match self.rolled_up.entry(flow.key.clone()) {
            Entry::Occupied(entry) => entry.into_mut().1.join(&flow),
            Entry::Vacant(entry) => {
                entry.insert((order, flow));
            }
        }
    }
}

/// Sums by key, of which there are no more than the bound.
#[derive(Debug)]
struct Apart {
    keys_max: usize,
    by_key: HashMap<FlowKey, usize>,
    /// In which order they came, and the sums.
    rows: Vec<(u64, Flow)>,
    groups: HashMap<Group, GroupRows>,
    came: u64,
}

/// Rows of one group.
#[derive(Debug, Default)]
struct GroupRows {
    count: usize,
    /// The rows of each client, oldest first.
    of_client: HashMap<Option<IpAddr>, Vec<usize>>,
    /// No client has more rows than that.
    most: usize,
}

impl Apart {
    fn new(keys_max: usize) -> Self {
        Self { keys_max, by_key: HashMap::new(), rows: Vec::new(), groups: HashMap::new(), came: 0 }
    }

    /// Sums it. Gives back what there is no room for, with its group: this, or the newest of the client that has most in the
    /// group that has most, which goes where this one's has fewer.
    fn add(&mut self, flow: Flow, group: Group) -> Option<(Flow, Group)> {
        if let Some(row) = self.by_key.get(&flow.key).and_then(|place| self.rows.get_mut(*place)) {
            row.1.join(&flow);
            return None;
        }
        let (place, beyond) = if self.rows.len() < self.keys_max {
            (self.rows.len(), None)
        } else {
            let Some((place, other)) = self.make_room(flow.key.client, &group) else { return Some((flow, group)) };
            (place, Some((place, other)))
        };
        self.came += 1;
        self.by_key.insert(flow.key.clone(), place);
        self.groups.entry(group).or_default().add(flow.key.client, place);
        match beyond.and_then(|(place, group)| Some((self.rows.get_mut(place)?, group))) {
            Some((row, group)) => {
                let (_, beyond) = std::mem::replace(row, (self.came, flow));
                self.by_key.remove(&beyond.key);
                Some((beyond, group))
            }
            None => {
                self.rows.push((self.came, flow));
                None
            }
        }
    }

    /// A row of the group that has most, where that stays no smaller than this one becomes, or else of this one; with whose it
    /// was.
    fn make_room(&mut self, client: Option<IpAddr>, group: &Group) -> Option<(usize, Group)> {
        let own = self.groups.get(group).map_or(0, |rows| rows.count);
        let largest = self.groups.iter().max_by_key(|(group, rows)| (rows.count, *group));
        let (largest, count) = largest.map(|(group, rows)| (group, rows.count))?;
        let (from, own) = match count > own + 1 && largest != group {
            true => (largest.clone(), 0),
            false => (group.clone(), self.groups.get(group)?.of_client.get(&client).map_or(0, Vec::len) + 1),
        };
        let place = self.groups.get_mut(&from)?.take(own)?;
        Some((place, from))
    }

    fn end(&mut self) -> Vec<Flow> {
        self.by_key.clear();
        self.groups.clear();
        let mut ended = std::mem::take(&mut self.rows);
        ended.sort_unstable_by_key(|(order, _)| *order);
        ended.into_iter().map(|(_, flow)| flow).collect()
    }
}

impl GroupRows {
    fn add(&mut self, client: Option<IpAddr>, place: usize) {
        let rows = self.of_client.entry(client).or_default();
        rows.push(place);
        self.most = self.most.max(rows.len());
        self.count += 1;
    }

    /// The newest row of the client that has most, where that is more than so many.
    fn take(&mut self, than: usize) -> Option<usize> {
        // A flood does not look for it with each packet.
        if self.most <= than {
            return None;
        }
        let (client, rows) = self.of_client.iter_mut().max_by_key(|(client, rows)| (rows.len(), **client))?;
        self.most = rows.len();
        let place = if self.most > than { rows.pop() } else { None };
        if rows.is_empty() {
            let client = *client;
            self.of_client.remove(&client);
        }
        self.count -= usize::from(place.is_some());
        place
    }
}

impl Flow {
    /// Adds what another sum says to this one.
    fn join(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        for (sum, more) in [
            (&mut self.packets, other.packets),
            (&mut self.bytes_up, other.bytes_up),
            (&mut self.bytes_down, other.bytes_down),
            (&mut self.rolled_up, other.rolled_up),
        ] {
            *sum = match (*sum, more) {
                (Some(sum), Some(more)) => Some(sum.saturating_add(more)),
                (sum, more) => sum.or(more),
            };
        }
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use crate::evidence::{FlowSource, FlowState, InsideSegment, Protocol};

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
    fn what_was_counted_together_is_one_record_from_the_moment_on_at_which_the_counting_began() {
        let mut sums = FlowSums::default();
        let known = FlowKey { rule: Some("from-outside".into()), ..FlowKey::of(FlowSource::Nflog) };
        sums.add(key(1, 80).into(), Timestamp(5 * SECOND));
        assert_eq!(sums.add_counted(known.clone(), 700, Timestamp(SECOND), Timestamp(5 * SECOND + 1)), []);
        assert_eq!(sums.add_counted(known.clone(), 30, Timestamp(5 * SECOND + 1), Timestamp(5 * SECOND + 2)), []);
        // It takes no room of what is told apart.
        (0..FLOW_KEYS_MAX as u16).for_each(|port| drop(sums.add(key(1, port).into(), Timestamp(5 * SECOND + 3))));
        let ended = sums.add_counted(known.clone(), 4, Timestamp(5 * SECOND + 2), Timestamp(6 * SECOND));
        assert_eq!((ended.len(), total(&ended)), (FLOW_KEYS_MAX + 1, 731 + FLOW_KEYS_MAX as u64));
        let counted = ended.last().unwrap();
        assert_eq!((&counted.key, counted.count, counted.rolled_up), (&known, 730, Some(2)));
        assert_eq!((counted.first, counted.last), (Timestamp(SECOND), Timestamp(5 * SECOND + 2)));
        assert_eq!(total(&sums.end()), 4);
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
        let ended = sums.end();
        assert_eq!(ended.len(), FLOW_KEYS_MAX + 1);
        assert_eq!(total(&ended), 10_001);
        assert_eq!(ended[0].count, 3);
        let rolled = &ended[FLOW_KEYS_MAX];
        assert_eq!((rolled.count, rolled.rolled_up), (6000, Some(3000)));
        assert_eq!((rolled.key.client, rolled.key.port, &rolled.key.rule), (key(7, 0).client, None, &None));
    }

    #[test]
    fn a_client_with_few_keys_is_told_apart_while_another_floods_and_the_counts_add_up() {
        let mut sums = FlowSums::default();
        let now = Timestamp(SECOND);
        let flood = |sums: &mut FlowSums| (0..5000).for_each(|port| drop(sums.add(key(7, port).into(), now)));
        flood(&mut sums);
        (0..100).for_each(|port| drop(sums.add(key(8, port).into(), now)));
        flood(&mut sums);
        sums.add(key(8, 3).into(), now);
        let ended = sums.end();
        assert_eq!((ended.len(), total(&ended)), (FLOW_KEYS_MAX + 1, 10_101));
        let of = |client| ended.iter().filter(move |flow| flow.key.client == key(client, 0).client);
        assert_eq!(of(8).count(), 100);
        assert!(of(8).all(|flow| flow.key.port.is_some() && flow.key.rule.is_some() && flow.rolled_up.is_none()));
        assert_eq!(of(8).map(|flow| flow.count).sum::<u64>(), 101);
        let rolled = ended.last().unwrap();
        // What had to go for others is among them, and is counted once.
        assert_eq!((rolled.key.client, rolled.rolled_up), (key(7, 0).client, Some(3100)));
        assert_eq!((rolled.count, of(7).map(|flow| flow.count).sum::<u64>()), (6200, 10_000));
    }

    #[test]
    fn those_that_flood_have_the_same_share() {
        let mut sums = FlowSums::default();
        for port in 0..3000 {
            (1..=4).for_each(|client| drop(sums.add(key(client, port).into(), Timestamp(SECOND))));
        }
        // One that comes to it late.
        (0..3000).for_each(|port| drop(sums.add(key(5, port).into(), Timestamp(SECOND))));
        let ended = sums.end();
        assert_eq!(total(&ended), 15_000);
        let apart = |client| {
            ended.iter().filter(|flow| flow.key.client == key(client, 0).client && flow.rolled_up.is_none()).count()
        };
        assert!(
            (1..=5).all(|client| (399..=401).contains(&apart(client))),
            "{:?}",
            (1..=5).map(apart).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_touch_of_a_tripwire_and_an_attempt_of_a_critical_segment_are_told_apart_in_any_flood() {
        let of_rule = |client, port, rule: &str| FlowKey { rule: Some(rule.into()), ..key(client, port) };
        let mut sums = FlowSums::default();
        let now = Timestamp(SECOND);
        // So many clients that each has one key, and more.
        (100..6000).for_each(|client| drop(sums.add(key(client, 80).into(), now)));
        sums.add(of_rule(1, 23, "tripwire").into(), now);
        sums.add(of_rule(2, 443, "critical-tcp").into(), now);
        sums.add(key(3, 443).into(), now);
        // Another firewall's line can say anything.
        sums.add(FlowKey { source: FlowSource::Syslog, ..of_rule(4, 23, "tripwire") }.into(), now);
        // Who touches one again and again hides no other's touch.
        (0..5000).for_each(|port| drop(sums.add(of_rule(5, port, "tripwire").into(), now)));
        sums.add(of_rule(6, 23, "tripwire").into(), now);
        let ended = sums.end();
        assert_eq!(total(&ended), 5900 + 4 + 5001);
        let ports = |client| -> Vec<_> {
            let of = ended.iter().filter(|flow| flow.key.client == key(client, 0).client);
            of.map(|flow| (flow.key.port, flow.key.rule.as_ref().map_or("", |rule| rule.as_str()))).collect()
        };
        assert_eq!(ports(1), [(Some(23), "tripwire")]);
        assert_eq!(ports(2), [(Some(443), "critical-tcp")]);
        assert_eq!(ports(3), [], "there are more clients than can be told apart at all");
        assert_eq!(ports(4), []);
        assert_eq!(ports(6), [(Some(23), "tripwire")]);
        let pressing = ended.iter().filter(|flow| is_pressing(&flow.key));
        assert_eq!(pressing.clone().filter(|flow| flow.key.port.is_some()).count(), PRESSING_KEYS_MAX);
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

    /// Two segments, of which one may use every address of a /8.
    fn inside() -> Inside {
        let segment = |name: &str, net: &str, interface: &str| InsideSegment {
            name: name.into(),
            addresses: vec![net.parse().unwrap()],
            interface: Some(interface.into()),
        };
        Inside::new(vec![segment("office", "10.0.0.0/8", "lan0"), segment("sales", "172.16.0.0/16", "lan1")])
    }

    fn came(key: FlowKey, by: &str) -> Seen {
        Seen { came_by: Some(by.into()), ..key.into() }
    }

    /// How many keys of a network are told apart, and how many clients of it are summed for themselves.
    fn of_network(ended: &[Flow], net: &str) -> (usize, usize) {
        let net: ipnet::IpNet = net.parse().unwrap();
        let own = || ended.iter().filter(|flow| flow.key.client.is_some_and(|client| net.contains(&client)));
        let apart = own().filter(|flow| flow.rolled_up.is_none()).count();
        (apart, own().count() - apart)
    }

    #[test]
    fn made_up_clients_take_no_room_of_those_who_are_there() {
        let mut sums = FlowSums::of(inside());
        let now = Timestamp(SECOND);
        let strangers = |sums: &mut FlowSums| {
            (0..20_000).for_each(|client| drop(sums.add(came(key(0xc000_0000 + client, 80), "lan1"), now)));
        };
        strangers(&mut sums);
        // Each of so many that are there has two keys, in the midst of it.
        (0..400).for_each(|client| {
            (80..82).for_each(|port| drop(sums.add(came(key(0x0a00_0000 + client, port), "lan0"), now)));
        });
        strangers(&mut sums);
        (0..100).for_each(|client| drop(sums.add(came(key(0xac10_0000 + client, 443), "lan1"), now)));
        let ended = sums.end();
        assert_eq!(total(&ended), 40_900);
        assert_eq!(of_network(&ended, "10.0.0.0/8"), (800, 0), "each of them is told apart");
        assert_eq!(of_network(&ended, "172.16.0.0/16"), (100, 0));
        assert_eq!(of_network(&ended, "192.0.0.0/8"), (FLOW_KEYS_MAX - 900, 0), "and strangers have the rest");
        // Strangers beyond that are one record, with where they came in.
        let [rest] = &ended[FLOW_KEYS_MAX..] else { panic!("{:?}", &ended[FLOW_KEYS_MAX..]) };
        assert_eq!((rest.key.client, rest.key.interface.as_ref().map(Text::as_str)), (None, Some("lan1")));
        let apart: u64 = ended.iter().filter(|flow| flow.rolled_up.is_none()).map(|flow| flow.count).sum();
        assert_eq!(rest.count, 40_900 - apart);
    }

    #[test]
    fn who_makes_up_addresses_of_a_segment_hides_nobody_of_another() {
        let mut sums = FlowSums::of(inside());
        let now = Timestamp(SECOND);
        (0..20_000).for_each(|client| drop(sums.add(came(key(0x0a00_0000 + client, 80), "lan0"), now)));
        (0..500).for_each(|client| drop(sums.add(came(key(0xac10_0000 + client, 80), "lan1"), now)));
        // Its addresses by another's interface are made up, and are that one's strangers.
        (0..9).for_each(|client| drop(sums.add(came(key(0xac10_4000 + client, 80), "lan0"), now)));
        let ended = sums.end();
        assert_eq!(total(&ended), 20_509);
        assert_eq!(of_network(&ended, "172.16.0.0/18"), (500, 0));
        assert_eq!(of_network(&ended, "172.16.64.0/18"), (9, 0));
        // Of the segment itself, half of the clients that can be summed for themselves are, and the rest is its own record.
        assert_eq!(of_network(&ended, "10.0.0.0/8"), (FLOW_KEYS_MAX - 509, FLOW_CLIENTS_MAX / 2));
        let rest = ended.last().unwrap();
        assert_eq!((rest.key.client, rest.key.segment.as_ref().map(Text::as_str)), (None, Some("office")));
        assert_eq!(rest.count, 20_000 - (FLOW_KEYS_MAX - 509 + FLOW_CLIENTS_MAX / 2) as u64);
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
