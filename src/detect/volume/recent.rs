use serde::{Deserialize, Serialize};

/// Uploads of the last day or half of it.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Recent {
    /// Counted from 1970.
    half_day: u64,
    /// Of the half day before, and of this one.
    halves: [Half; 2],
    /// In bytes; what was told of.
    told: u64,
}

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Half {
    bytes: u64,
    count: u32,
    /// The first of them, in microseconds, and its line.
    first: u64,
    line: u64,
}

/// Uploads that add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heap {
    pub bytes: u64,
    pub count: u32,
    pub first: u64,
    pub line: u64,
}

/// In microseconds.
const HALF_DAY: u64 = 12 * 3_600_000_000;
/// What is smaller is a request without a body, in bytes: its head, and in a tunnel the handshake before it.
pub(super) const PIECE_MIN: u64 = 4 * 1024;
/// What is larger is no small upload.
pub(super) const PIECE_MAX: u64 = 64 * 1024;
/// They add up to so much, in bytes.
pub(super) const HEAP_MIN: u64 = 10 * 1024 * 1024;

/// Whether an upload is a small one: more of it goes up than comes down, else it asks rather than tells.
pub(super) fn is_piece(up: u64, down: u64) -> bool {
    (PIECE_MIN..PIECE_MAX).contains(&up) && up > down
}

impl Recent {
    /// Takes an upload; says what they come to where that is `least` or more, and half as much again as when that was said
    /// last.
    pub(super) fn add(&mut self, time: u64, line: u64, bytes: u64, least: u64) -> Option<Heap> {
        let half_day = time / HALF_DAY;
        match half_day.checked_sub(self.half_day) {
            Some(0) => {}
            Some(1) => self.halves = [self.halves[1], Half::default()],
            // So long nothing, or the clock was set back.
            Some(_) | None => (self.halves, self.told) = ([Half::default(); 2], 0),
        }
        self.half_day = half_day;
        let half = &mut self.halves[1];
        if half.count == 0 {
            (half.first, half.line) = (time, line);
        }
        half.bytes = half.bytes.saturating_add(bytes);
        half.count = half.count.saturating_add(1);
        let [before, now] = self.halves;
        let first = if before.count > 0 { before } else { now };
        let heap = Heap {
            bytes: before.bytes.saturating_add(now.bytes),
            count: before.count.saturating_add(now.count),
            first: first.first.min(time),
            line: first.line,
        };
        if heap.bytes < least.max(self.told.saturating_add(self.told / 2)) {
            return None;
        }
        self.told = heap.bytes;
        Some(heap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000_000;

    #[test]
    fn pieces_of_one_day_add_up_and_those_of_two_do_not() {
        let heap_after = |hours: &[u64]| {
            let mut pieces = Recent::default();
            let heaps =
                hours.iter().map(|hour| pieces.add(480_000 * HOUR + hour * HOUR, *hour, HEAP_MIN / 3 + 1, HEAP_MIN));
            heaps.last().flatten().map(|heap| (heap.count, heap.line))
        };
        assert_eq!(heap_after(&[1, 2]), None);
        assert_eq!(heap_after(&[1, 2, 3]), Some((3, 1)));
        assert_eq!(heap_after(&[1, 2, 13]), Some((3, 1)));
        assert_eq!(heap_after(&[1, 2, 25]), None, "a day later");
        assert_eq!(heap_after(&[1, 2, 3, 4]), None, "a third more");
        assert_eq!(heap_after(&[1, 2, 3, 4, 5]), Some((5, 1)));
        assert_eq!(heap_after(&[100, 101, 3]), None, "the clock was set back");
    }

    #[test]
    fn a_piece_sends_more_than_it_fetches() {
        assert!(is_piece(20_000, 500) && is_piece(PIECE_MIN, 0));
        assert!(!is_piece(2_000, 0) && !is_piece(PIECE_MAX, 0) && !is_piece(20_000, 40_000));
    }
}
