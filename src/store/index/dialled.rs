//! At which addresses a host was dialled, and how often, in a column: pairs of numbers, each pair the step from the address
//! before it and the count, seven bits a byte, the lowest first (LEB128).

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::IndexError;
use super::day::of_day;

/// A row that is longer is left as it is, and another is begun: so much is written anew for one address more.
const ROW_BYTES: usize = 512;

/// The addresses of such a column, with counts. What is none ends it.
pub fn dialled_in(column: &[u8]) -> impl Iterator<Item = (i64, i64)> {
    let (mut rest, mut address) = (column, 0_u64);
    std::iter::from_fn(move || {
        let step = take(&mut rest)?;
        let count = take(&mut rest)?;
        address = address.checked_add(step)?;
        Some((i64::try_from(address).ok()?, i64::try_from(count).ok()?))
    })
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn put(mut number: u64, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

/// Adds what was dialled of a host to a day's table.
pub(super) fn add(
    connection: &Connection,
    day: i64,
    host: i64,
    new: impl Iterator<Item = (i64, i64)>,
) -> Result<(), IndexError> {
    let mut statement = connection.prepare_cached(&of_day(LAST, day))?;
    let last = statement.query_row([host], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?))).optional()?;
    let (mut part, held) = match last {
        Some((part, held)) if held.len() < ROW_BYTES => (part, held),
        Some((part, _)) => (part + 1, Vec::new()),
        None => (0, Vec::new()),
    };
    let mut counts: BTreeMap<i64, i64> = dialled_in(&held).collect();
    for (address, count) in new {
        let sum = counts.entry(address).or_default();
        *sum = sum.saturating_add(count);
    }
    let write = |part: i64, column: &[u8]| -> Result<(), IndexError> {
        connection.prepare_cached(&of_day(PUT, day))?.execute(params![host, part, column])?;
        Ok(())
    };
    let (mut column, mut before) = (Vec::new(), 0);
    for (address, count) in counts {
        put(address.unsigned_abs() - before, &mut column);
        put(count.unsigned_abs(), &mut column);
        before = address.unsigned_abs();
        if column.len() >= ROW_BYTES {
            write(part, &column)?;
            (part, before) = (part + 1, 0);
            column.clear();
        }
    }
    if column.is_empty() { Ok(()) } else { write(part, &column) }
}

const LAST: &str = "SELECT part, addresses FROM d_DAY WHERE host = ?1 ORDER BY part DESC LIMIT 1";
const PUT: &str = "INSERT OR REPLACE INTO d_DAY VALUES (?1, ?2, ?3)";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::day::create;
    use super::*;

    fn all(connection: &Connection) -> (BTreeMap<i64, i64>, usize) {
        let mut statement = connection.prepare("SELECT addresses FROM d_7 WHERE host = 3").unwrap();
        let columns: Vec<Vec<u8>> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let mut sums = BTreeMap::new();
        for (address, count) in columns.iter().flat_map(|column| dialled_in(column)) {
            *sums.entry(address).or_default() += count;
        }
        assert!(columns.iter().all(|column| column.len() <= ROW_BYTES + 20));
        (sums, columns.len())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
        #[test]
        fn what_was_added_is_there_and_nothing_else(added in prop::collection::vec(
            prop::collection::btree_map(0_i64..1 << 40, 1_i64..1 << 30, 0..120), 0..8)) {
            let connection = Connection::open_in_memory().unwrap();
            create(&connection, 7).unwrap();
            let mut expected: BTreeMap<i64, i64> = BTreeMap::new();
            for counts in added {
                for (address, count) in &counts {
                    *expected.entry(*address).or_default() += count;
                }
                add(&connection, 7, 3, counts.into_iter()).unwrap();
                add(&connection, 7, 4, [(1, 1)].into_iter()).unwrap();
            }
            prop_assert_eq!(all(&connection).0, expected);
        }

        #[test]
        fn any_bytes_are_an_end(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(dialled_in(&bytes).count() <= bytes.len() / 2);
        }
    }

    #[test]
    fn a_row_that_is_full_is_not_written_again() {
        let connection = Connection::open_in_memory().unwrap();
        create(&connection, 7).unwrap();
        add(&connection, 7, 3, (0..1_000).map(|address| (address, 1))).unwrap();
        let (_, rows) = all(&connection);
        assert_eq!(rows, 4);
        let before = connection.total_changes();
        add(&connection, 7, 3, [(5, 1)].into_iter()).unwrap();
        assert!(connection.total_changes() - before <= 2);
        assert_eq!(all(&connection).0.get(&5), Some(&2));
    }
}
