use std::collections::HashMap;
use std::hash::Hash;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use super::names::Inconsistent;

/// What is kept by a key, of which there are no more than the bound: then those go that were not asked for since the hand
/// passed (CLOCK).
#[derive(Debug, Serialize, Deserialize)]
#[serde(
    try_from = "KeptTable<K, V>",
    bound(deserialize = "K: Deserialize<'de> + Copy + Eq + Hash, V: Deserialize<'de>")
)]
pub(super) struct Table<K, V> {
    #[serde(skip)]
    by_key: HashMap<K, u32, RandomState>,
    rows: Vec<Row<K, V>>,
    rows_max: usize,
    hand: usize,
    /// Keys that had to go.
    pub(super) evicted: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Row<K, V> {
    key: K,
    value: V,
    touched: bool,
}

/// [`Table`] as a snapshot has it: what is found by its keys is made of it.
#[derive(Deserialize)]
struct KeptTable<K, V> {
    rows: Vec<Row<K, V>>,
    rows_max: usize,
    hand: usize,
    evicted: u64,
}

/// Rows that the hand passes over before it takes whatever comes.
const PASSES_MAX: usize = 64;

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    pub(super) fn new(rows_max: usize) -> Self {
        Self { by_key: HashMap::default(), rows: Vec::new(), rows_max: rows_max.max(1), hand: 0, evicted: 0 }
    }

    /// What is kept of a key, made by `new` where there is nothing.
    pub(super) fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        let place = match self.by_key.get(&key) {
            Some(place) => *place as usize,
            None => self.insert(key, new()),
        };
        let row = &mut self.rows[place];
        row.touched = true;
        &mut row.value
    }

    fn insert(&mut self, key: K, value: V) -> usize {
        let row = Row { key, value, touched: true };
        let place = if self.rows.len() < self.rows_max {
            self.rows.push(row);
            self.rows.len() - 1
        } else {
            let place = self.make_room();
            self.by_key.remove(&self.rows[place].key);
            self.rows[place] = row;
            self.evicted += 1;
            place
        };
        self.by_key.insert(key, place as u32);
        place
    }

    fn make_room(&mut self) -> usize {
        for _ in 0..PASSES_MAX {
            let place = self.step();
            if !std::mem::take(&mut self.rows[place].touched) {
                return place;
            }
        }
        self.step()
    }

    fn step(&mut self) -> usize {
        let place = self.hand;
        self.hand = (self.hand + 1) % self.rows.len();
        place
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All that is kept.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.rows.iter_mut().map(|row| &mut row.value)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let place = *self.by_key.get(&key)? as usize;
        let row = &mut self.rows[place];
        row.touched = true;
        Some(&mut row.value)
    }
}

impl<K: Copy + Eq + Hash, V> TryFrom<KeptTable<K, V>> for Table<K, V> {
    type Error = Inconsistent;

    fn try_from(kept: KeptTable<K, V>) -> Result<Self, Inconsistent> {
        let KeptTable { rows, rows_max, hand, evicted } = kept;
        if rows.len() > rows_max || hand > rows.len().saturating_sub(1) {
            return Err(Inconsistent);
        }
        let by_key: HashMap<_, _, _> = rows.iter().enumerate().map(|(place, row)| (row.key, place as u32)).collect();
        if by_key.len() < rows.len() {
            return Err(Inconsistent);
        }
        Ok(Self { by_key, rows, rows_max, hand, evicted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_keys_drives_out_what_was_not_asked_for_since() {
        let mut table = Table::new(100);
        table.entry(1, || "kept");
        table.entry(2, || "lost");
        for flood in 10..1_000 {
            table.entry(flood, || "flood");
            assert_eq!(table.get_mut(1), Some(&mut "kept"));
            assert!(table.rows.len() <= 100 && table.by_key.len() == table.rows.len());
        }
        assert_eq!(table.get_mut(2), None);
        assert_eq!(*table.entry(2, || "anew"), "anew");
        assert_eq!(table.evicted, 893);
    }
}
