use std::collections::BTreeMap;

use super::row::Row;

/// Exchanges whose end is not on record yet, by their ids.
///
/// Most end soon. What stands for long, as tunnels do, is kept small once the file has it: about 100 bytes instead of 380.
#[derive(Debug, Default)]
pub(super) struct Open {
    /// Of which something was heard since they were put into the file.
    news: BTreeMap<u64, Box<Row>>,
    /// In the wire format of postcard.
    still: BTreeMap<u64, Box<[u8]>>,
}

/// No row takes more in that format: 27 numbers of at most 11 bytes.
const PACKED_BYTES_MAX: usize = 27 * 11;

impl Open {
    pub(super) fn len(&self) -> usize {
        self.news.len() + self.still.len()
    }

    pub(super) fn insert(&mut self, id: u64, row: Box<Row>) {
        self.still.remove(&id);
        self.news.insert(id, row);
    }

    /// Of which nothing new is to be written.
    pub(super) fn insert_still(&mut self, id: u64, row: Box<Row>) {
        let mut buffer = [0; PACKED_BYTES_MAX];
        match postcard::to_slice(&row, &mut buffer) {
            Ok(packed) => drop(self.still.insert(id, (&*packed).into())),
            Err(_) => drop(self.news.insert(id, row)),
        }
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Box<Row>> {
        self.news.remove(&id).or_else(|| unpacked(&self.still.remove(&id)?))
    }

    /// The one that began first.
    pub(super) fn pop_first(&mut self) -> Option<Box<Row>> {
        let first = [self.news.keys().next(), self.still.keys().next()].into_iter().flatten().min();
        self.remove(*first?)
    }

    /// Those of which there is news; they are to be given back by [`Open::insert_still`].
    pub(super) fn take_news(&mut self) -> BTreeMap<u64, Box<Row>> {
        std::mem::take(&mut self.news)
    }

    pub(super) fn retain(&mut self, keeps: impl Fn(&Row) -> bool) {
        self.news.retain(|_, row| keeps(row));
        self.still.retain(|_, packed| unpacked(packed).is_some_and(|row| keeps(&row)));
    }
}

fn unpacked(packed: &[u8]) -> Option<Box<Row>> {
    postcard::from_bytes(packed).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the largest numbers that there are.
    fn large(number: i64) -> Row {
        let some = Some(number);
        Row {
            day: number,
            stored: true,
            seq: number,
            at: number,
            inside: some,
            event: number,
            client: number,
            user: some,
            method: some,
            scheme: some,
            host: some,
            port: some,
            path: some,
            program: some,
            standing: some,
            judgement: some,
            stopped: true,
            dialled: some,
            status: some,
            content_type: some,
            body_type: some,
            up: some,
            down: some,
            total_ms: some,
            ending: some,
            captured: some,
        }
    }

    #[test]
    fn what_stands_still_is_the_same_when_it_moves_again() {
        let mut open = Open::default();
        for (id, number) in [(3, i64::MIN), (1, i64::MAX), (2, 0)] {
            open.insert_still(id, Box::new(large(number)));
            assert!(open.news.is_empty(), "{number} fits");
        }
        assert_eq!(open.remove(1).as_deref(), Some(&large(i64::MAX)));
        assert_eq!((open.remove(1), open.len()), (None, 2));
        open.insert(7, Box::new(large(1)));
        open.insert(2, Box::new(large(5)));
        assert_eq!(open.len(), 3, "what stood still moves, and is there once");
        assert_eq!(open.take_news().keys().copied().collect::<Vec<_>>(), [2, 7]);
        assert_eq!(open.remove(3).as_deref(), Some(&large(i64::MIN)));
    }

    #[test]
    fn the_oldest_goes_first_whether_it_moves_or_not() {
        let mut open = Open::default();
        open.insert(2, Box::new(large(2)));
        open.insert_still(1, Box::new(large(1)));
        open.insert_still(3, Box::new(large(3)));
        open.retain(|row| row.seq != 3);
        let mut first = || open.pop_first().map(|row| row.seq);
        assert_eq!([first(), first(), first()], [Some(1), Some(2), None]);
    }
}
