use std::collections::{BTreeMap, HashMap};

use ipnet::IpNet;

use crate::evidence::{Assignment, DeviceSource, Text};
use crate::facts::Timestamp;

use super::{Lease, TableEntry};

/// Who is who by a table and the leases of its time, where `now` is when they were read: what the table says of addresses,
/// and each lease under the name that the table has for its hardware address, else its own, else its hardware address. A
/// lease that shows neither name nor hardware address names nothing.
pub fn assignments<'l>(
    table: &[TableEntry],
    leases: impl IntoIterator<Item = (DeviceSource, &'l Lease)>,
    now: Timestamp,
) -> Vec<Assignment> {
    let mut all: Vec<Assignment> = Vec::new();
    let mut by_hardware: HashMap<&str, Vec<&TableEntry>> = HashMap::new();
    for entry in table {
        match (entry.client, &entry.hardware) {
            (Some(client), hardware) => all.push(Assignment {
                client,
                name: entry.name.clone(),
                hardware: hardware.clone(),
                source: DeviceSource::Table,
                since: entry.since,
                until: entry.until,
            }),
            (None, Some(hardware)) => by_hardware.entry(hardware.as_str()).or_default().push(entry),
            (None, None) => {}
        }
    }
    for (source, lease) in leases {
        let since = lease.since.unwrap_or(now);
        let known = lease.hardware.as_ref().and_then(|hardware| by_hardware.get(hardware.as_str()));
        let named =
            known.into_iter().flatten().find(|entry| entry.since <= now && entry.until.is_none_or(|until| now < until));
        let (name, source): (Option<&Text>, _) = match named {
            Some(entry) => (Some(&entry.name), DeviceSource::TableByHardware),
            None => (lease.name.as_ref().or(lease.hardware.as_ref()), source),
        };
        let Some(name) = name else { continue };
        all.push(Assignment {
            client: IpNet::from(lease.address),
            name: name.clone(),
            hardware: lease.hardware.clone(),
            source,
            since,
            until: lease.until,
        });
    }
    all
}

/// What tells assignments apart that are read again and again.
type Key = (DeviceSource, IpNet, String, String);

fn key(one: &Assignment) -> Key {
    let hardware = one.hardware.as_ref().map(|hardware| hardware.as_str().to_owned());
    (one.source, one.client, one.name.as_str().to_owned(), hardware.unwrap_or_default())
}

/// What is to be put on record when `read` is read where `known` is on record, in order, and what is on record then.
///
/// A lease that is renewed before it has ended goes on: its beginning stays. What is not there any more ends now, or when
/// the same source gave its address away; what the table says of another beginning is taken back.
pub fn changes(known: &[Assignment], read: Vec<Assignment>, now: Timestamp) -> (Vec<Assignment>, Vec<Assignment>) {
    let mut before: BTreeMap<Key, &Assignment> = known.iter().map(|one| (key(one), one)).collect();
    let given: HashMap<(DeviceSource, IpNet), Timestamp> =
        read.iter().map(|one| ((one.source, one.client), one.since)).collect();
    let (mut ended, mut told) = (Vec::new(), Vec::new());
    let mut after: BTreeMap<Key, Assignment> = BTreeMap::new();
    for mut one in read {
        let key = key(&one);
        if after.contains_key(&key) {
            // A source that says the same twice says it once.
            continue;
        }
        match before.remove(&key) {
            Some(old) if old.since == one.since && old.until == one.until => {}
            Some(old) if old.source == DeviceSource::Table => {
                if old.since != one.since {
                    ended.push(Assignment { until: Some(old.since), ..old.clone() });
                }
                told.push(one.clone());
            }
            Some(old) if old.until.is_none_or(|until| one.since <= until) => {
                one.since = old.since;
                if one.until != old.until {
                    told.push(one.clone());
                }
            }
            Some(_) | None => told.push(one.clone()),
        }
        after.insert(key, one);
    }
    for old in before.into_values().filter(|old| old.until.is_none_or(|until| now < until)) {
        let taken = given.get(&(old.source, old.client)).copied().filter(|taken| old.since < *taken);
        ended.push(Assignment { until: Some(taken.unwrap_or(now).min(now).max(old.since)), ..old.clone() });
    }
    ended.append(&mut told);
    (ended, after.into_values().collect())
}
