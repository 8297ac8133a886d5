use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::super::pairs::PairKey;

/// What is kept of pairs of client and host. Beyond the bound those go that were not used for a while (CLOCK).
#[derive(Debug)]
pub(super) struct Recent<V> {
    by_key: HashMap<PairKey, u32, RandomState>,
    kept: Vec<Kept<V>>,
    kept_max: usize,
    hand: usize,
    /// Pairs that had to go.
    pub(super) evicted: u64,
}

#[derive(Debug)]
struct Kept<V> {
    key: PairKey,
    touched: bool,
    value: V,
}

/// Pairs that the hand passes over before it takes whatever comes.
const PASSES_MAX: usize = 64;

impl<V: Default> Recent<V> {
    pub(super) fn new(kept_max: usize) -> Self {
        Self { by_key: HashMap::default(), kept: Vec::new(), kept_max: kept_max.max(1), hand: 0, evicted: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    pub(super) fn get_mut(&mut self, key: PairKey) -> Option<&mut V> {
        let kept = &mut self.kept[*self.by_key.get(&key)? as usize];
        kept.touched = true;
        Some(&mut kept.value)
    }

    /// What is kept of a pair, from now on where nothing was.
    pub(super) fn entry(&mut self, key: PairKey) -> &mut V {
        let place = match self.by_key.get(&key) {
            Some(place) => {
                self.kept[*place as usize].touched = true;
                *place as usize
            }
            None => self.add(key),
        };
        &mut self.kept[place].value
    }

    fn add(&mut self, key: PairKey) -> usize {
        // Untouched, so that a flood of new ones drives itself out.
        let new = Kept { key, touched: false, value: V::default() };
        let place = if self.kept.len() < self.kept_max {
            self.kept.push(new);
            self.kept.len() - 1
        } else {
            let place = self.make_room();
            self.by_key.remove(&self.kept[place].key);
            self.kept[place] = new;
            self.evicted += 1;
            place
        };
        self.by_key.insert(key, place as u32);
        place
    }

    fn make_room(&mut self) -> usize {
        for _ in 0..PASSES_MAX {
            let place = self.step();
            if !std::mem::take(&mut self.kept[place].touched) {
                return place;
            }
        }
        self.step()
    }

    fn step(&mut self) -> usize {
        let place = self.hand;
        self.hand = (self.hand + 1) % self.kept.len();
        place
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::names::Names;
    use super::*;

    #[test]
    fn a_flood_of_pairs_drives_out_what_is_not_used_and_is_counted() {
        let (mut names, mut recent) = (Names::new(2_000), Recent::<u64>::new(8));
        let client = names.of("10.0.0.1", 1);
        let used = (client, names.of("used.example", 1));
        *recent.entry(used) = 7;
        for flood in 0..1_000 {
            let host = names.of(&format!("{flood}.example"), 1);
            *recent.entry((client, host)) = flood;
            assert_eq!(recent.get_mut(used), Some(&mut 7));
            assert_eq!(recent.get_mut((client, host)), Some(&mut flood.clone()));
        }
        assert_eq!((recent.kept.len(), recent.by_key.len(), recent.evicted), (8, 8, 993));
    }
}
