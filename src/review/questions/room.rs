use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// So much may be told apart in one question: of an attacker who makes up names, sums stay whole and what comes last has no row
/// of its own. Tables have rooms of their own, so that none takes another's.
const ROOM_MAX: usize = 16_000_000;
/// What a row takes, against a number in a set, which takes some 16 bytes.
const ROW: usize = 20;

/// What is said where that was so.
pub const FULL: &str = "there was more to tell apart than is held in memory: what came last has no row of its own, and counts \
    of clients and hosts are at least so many; ask for a shorter range";

/// How much a question may still hold in memory.
#[derive(Debug)]
pub(super) struct Room {
    left: usize,
    is_full: bool,
}

impl Room {
    /// The whole room.
    pub(super) fn new() -> Self {
        Self::of(ROOM_MAX)
    }

    /// One of so many rooms, of the same size.
    pub(super) fn one_of(rooms: usize) -> Self {
        Self::of(ROOM_MAX / rooms.max(1))
    }

    pub(super) fn of(left: usize) -> Self {
        Self { left, is_full: false }
    }

    fn take(&mut self, units: usize) -> bool {
        match self.left.checked_sub(units) {
            Some(left) => self.left = left,
            None => self.is_full = true,
        }
        !self.is_full
    }

    /// The sum of a key; `None` where it has none and there is no room for one.
    pub(super) fn row<'m, K: Eq + Hash, V: Default>(
        &mut self,
        rows: &'m mut HashMap<K, V>,
        key: K,
    ) -> Option<&'m mut V> {
        match rows.entry(key) {
            Entry::Occupied(known) => Some(known.into_mut()),
            Entry::Vacant(vacant) => self.take(ROW).then(|| vacant.insert(V::default())),
        }
    }

    /// Puts a number into a set, where there is room.
    pub(super) fn put<T: Eq + Hash>(&mut self, set: &mut HashSet<T>, number: T) {
        if !self.is_full && set.insert(number) {
            self.take(1);
        }
    }

    /// What a reader must know where there was more.
    pub(super) fn note(&self) -> Option<String> {
        self.is_full.then(|| FULL.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_has_no_row_and_that_is_said() {
        let mut room = Room::of(2 * ROW + 2);
        let mut rows: HashMap<u8, u64> = HashMap::new();
        let mut set = HashSet::new();
        for key in [1, 2, 1] {
            *room.row(&mut rows, key).unwrap() += 1;
            room.put(&mut set, key);
        }
        assert_eq!((rows.len(), set.len(), room.note()), (2, 2, None));
        assert_eq!(room.row(&mut rows, 3), None);
        room.put(&mut set, 3);
        assert_eq!((room.row(&mut rows, 1).copied(), set.len()), (Some(2), 2), "what has a row keeps it");
        assert!(room.note().is_some());
    }
}
