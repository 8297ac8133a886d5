use serde::{Deserialize, Serialize};

/// The sizes of the last uploads to a host.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Growth {
    /// As logarithms, in a ring.
    sizes: [u16; SIZES],
    count: u8,
    /// Where the next goes; once the ring is full, the oldest is there.
    next: u8,
    /// When the ring began anew the time before the last and the last time, in microseconds, and the lines of that.
    rounds: [(u64, u64); 2],
}

/// Uploads that grow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Grown {
    /// Kendall's S: of all pairs, those in which the later is larger, less those in which it is smaller.
    pub rises: i32,
    pub pairs: i32,
    /// The median of the first quarter and of the last, in bytes.
    pub from: u64,
    pub to: u64,
    /// Not after the first of them, and up to 15 uploads before it: in microseconds, and the line.
    pub first: u64,
    pub line: u64,
}

/// So many are looked at.
pub(super) const SIZES: usize = 16;
/// Of the 120 pairs so many more must rise than fall. Sizes that are drawn at random come to it once in a million (Mann,
/// Nonparametric tests against trend, 1945); two sizes, of which the larger comes later, to 64.
const RISES_MIN: i32 = 100;
/// By what they must grow from the first quarter to the last.
const FACTOR_MIN: f32 = 2.0;
/// One step may make up so much of it, as a share of the logarithm.
const STEP_SHARE_MAX: f32 = 0.6;
/// Steps of a doubling.
const STEPS: f32 = 256.0;
const QUARTER: usize = SIZES / 4;

impl Growth {
    /// Takes the size of an upload; says whether the last ones grew, and begins anew where they did.
    pub(super) fn add(&mut self, time: u64, line: u64, bytes: u64) -> Option<Grown> {
        if self.next == 0 {
            self.rounds = [self.rounds[1], (time, line)];
        }
        let newest = code(bytes);
        if let Some(size) = self.sizes.get_mut(usize::from(self.next)) {
            *size = newest;
        }
        self.next = self.next.wrapping_add(1) % SIZES as u8;
        self.count = self.count.saturating_add(1);
        let oldest = self.sizes.get(usize::from(self.next)).copied().unwrap_or_default();
        // Most never come so far.
        if usize::from(self.count) < SIZES || f32::from(newest.saturating_sub(oldest)) < STEPS * FACTOR_MIN.log2() {
            return None;
        }
        let grown = self.grown()?;
        *self = Self::default();
        Some(grown)
    }

    fn grown(&self) -> Option<Grown> {
        let mut sizes = self.sizes;
        sizes.rotate_left(usize::from(self.next) % SIZES);
        let later = |place: usize| sizes.iter().skip(place + 1);
        let rises: i32 = sizes
            .iter()
            .enumerate()
            .flat_map(|(place, size)| later(place).map(move |later| later.cmp(size) as i32))
            .sum();
        let (first, line) = self.rounds[usize::from(self.next == 0)];
        if rises < RISES_MIN {
            return None;
        }
        let [from, to] = [&sizes[..QUARTER], &sizes[SIZES - QUARTER..]].map(median);
        let step = sizes.windows(2).map(|two| two[1].saturating_sub(two[0])).max().unwrap_or(0);
        let grew = to.saturating_sub(from);
        let is_grown =
            f32::from(grew) >= STEPS * FACTOR_MIN.log2() && f32::from(step) <= STEP_SHARE_MAX * f32::from(grew);
        let pairs = (SIZES * (SIZES - 1) / 2) as i32;
        let [from, to] = [from, to].map(bytes_of);
        is_grown.then_some(Grown { rises, pairs, from, to, first, line })
    }
}

fn code(bytes: u64) -> u16 {
    ((bytes.max(1) as f32).log2() * STEPS) as u16
}

fn bytes_of(code: u16) -> u64 {
    (f32::from(code) / STEPS).exp2() as u64
}

/// The upper one.
fn median(sizes: &[u16]) -> u16 {
    let mut sorted = [0; QUARTER];
    sorted.copy_from_slice(sizes);
    sorted.sort_unstable();
    sorted[QUARTER / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grown(sizes: impl IntoIterator<Item = u64>) -> Option<Grown> {
        let mut growth = Growth::default();
        let mut found = (0_u64..).zip(sizes).filter_map(|(number, size)| growth.add(number * 10, number, size));
        found.next()
    }

    #[test]
    fn sizes_that_rise_each_time_are_told_with_the_sixteenth() {
        let found = grown((1..=40).map(|step| 10_000 * step)).unwrap();
        assert_eq!((found.rises, found.pairs, found.first, found.line), (120, 120, 0, 0));
        assert!(found.from.abs_diff(30_000) < 300 && found.to.abs_diff(150_000) < 1_500, "{found:?}");
    }

    #[test]
    fn what_rises_after_long_evenness_rests_on_the_last_uploads() {
        let sizes = (0..100).map(|_| 10_000).chain((1..=16).map(|step| 10_000 + 3_000 * step));
        let found = grown(sizes).unwrap();
        assert!(found.rises >= RISES_MIN && (80..=100).contains(&found.line), "{found:?}");
    }

    #[test]
    fn what_does_not_grow_is_let_be() {
        assert_eq!(grown([10_000; 60]), None);
        assert_eq!(grown((1..=60).rev().map(|step| 10_000 * step)), None);
        assert_eq!(grown((0..60).map(|step| if step < 30 { 10_000 } else { 900_000 })), None, "one jump");
        assert_eq!(grown((0..60).map(|step| 10_000 + step % 7 * 50_000)), None, "a saw");
        assert_eq!(grown((0..16).map(|step| 10_000 + step * 100)), None, "by a seventh");
        assert_eq!(grown([0, u64::MAX, 1].into_iter().cycle().take(60)), None);
    }
}
