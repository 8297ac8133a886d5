use std::collections::HashMap;
use std::hash::Hash;

/// What is kept by a key, of which there are no more than the bound: then those go that were not asked for since the hand
/// passed (CLOCK).
#[derive(Debug)]
pub(super) struct Table<K, V> {
    by_key: HashMap<K, u32>,
    rows: Vec<Row<K, V>>,
    rows_max: usize,
    hand: usize,
    /// Rows that had to go.
    pub evicted: u64,
}

#[derive(Debug)]
struct Row<K, V> {
    key: K,
    value: V,
    touched: bool,
}

/// Rows that the hand passes over before it takes whatever comes.
const PASSES_MAX: usize = 64;

impl<K: Copy + Eq + Hash, V> Table<K, V> {
    pub(super) fn new(rows_max: usize) -> Self {
        Self { by_key: HashMap::new(), rows: Vec::new(), rows_max: rows_max.max(1), hand: 0, evicted: 0 }
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

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let place = *self.by_key.get(&key)? as usize;
        let row = &mut self.rows[place];
        row.touched = true;
        Some(&mut row.value)
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
    }
}
