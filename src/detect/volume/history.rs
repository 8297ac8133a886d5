use serde::{Deserialize, Serialize};

/// What bytes up are kept by: the windows of time, the slots of a week they fall into, and how many of each are kept.
#[derive(Debug)]
pub(in crate::detect) struct Scheme {
    /// In microseconds.
    pub window: u64,
    pub slots: usize,
    pub slots_of_day: usize,
    /// The newest so many values of a slot.
    pub kept: usize,
    /// Slots before and after that speak for a slot too.
    pub near: usize,
    /// With fewer values a slot and its neighbours say nothing, nor do those of all days,
    pub near_values_min: u32,
    /// and with fewer in all nothing is usual yet.
    pub values_min: u32,
    /// What is never too much, in bytes.
    pub bytes_min: u64,
    /// What is too much while nothing is usual, in bytes.
    pub cold_limit: u64,
}

/// Bytes up of windows past, one byte each: newest first, by slot. It holds no memory before the first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(in crate::detect) struct History {
    codes: Box<[u8]>,
}

/// What is usual.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::detect) struct Usual {
    /// The median, in bytes.
    pub typical: u64,
    /// More is not usual any more, in bytes.
    pub limit: u64,
    /// How many values that rests on.
    pub values: u32,
    pub when: When,
}

/// Of which time what is usual is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::detect) enum When {
    OfWeek,
    OfDay,
    Any,
}

/// Robust deviations from the median beyond which it is not usual any more.
const DEVIATIONS: f32 = 6.0;
/// What a deviation is at least, in octaves: even traffic is not held to its last percent.
const DEVIATION_MIN: f32 = 0.5;
/// What makes the median absolute deviation of a normal distribution its standard deviation.
const MAD_SCALE: f32 = 1.4826;
/// So often the largest that was seen at this time before is usual still.
const OVER_LARGEST: f32 = 2.0;

impl History {
    /// A window has ended.
    pub(in crate::detect) fn add(&mut self, scheme: &Scheme, slot: usize, bytes: u64) {
        if self.codes.len() != scheme.slots * scheme.kept {
            self.codes = vec![0; scheme.slots * scheme.kept].into();
        }
        if let Some(values) = self.codes.chunks_exact_mut(scheme.kept).nth(slot) {
            values.rotate_right(1);
            values[0] = code(bytes);
        }
    }

    /// What is usual in a slot; `None` where nothing is yet. The nearest says it of which enough is known: this time of the
    /// week, this time of any day, any time.
    pub(in crate::detect) fn usual(&self, scheme: &Scheme, slot: usize) -> Option<Usual> {
        let all = Spread::of(self.codes.iter());
        if all.values < scheme.values_min {
            return None;
        }
        let week = Spread::of(self.near(scheme, slot));
        let (spread, when) = if week.values >= scheme.near_values_min {
            (week, When::OfWeek)
        } else {
            let day = (0..scheme.slots / scheme.slots_of_day).map(|day| slot + day * scheme.slots_of_day);
            let day = Spread::of(day.flat_map(|slot| self.near(scheme, slot)));
            if day.values >= scheme.near_values_min { (day, When::OfDay) } else { (all, When::Any) }
        };
        let deviation = (MAD_SCALE * f32::from(spread.mad)).max(DEVIATION_MIN * STEPS);
        let by_spread = f32::from(spread.median) + DEVIATIONS * deviation;
        let by_largest = f32::from(spread.largest) + OVER_LARGEST.log2() * STEPS;
        Some(Usual {
            typical: bytes_of(f32::from(spread.median)),
            limit: bytes_of(by_spread.max(by_largest)).max(scheme.bytes_min),
            values: spread.values,
            when,
        })
    }

    /// What is kept of a slot and its neighbours; the week is a ring.
    fn near(&self, scheme: &Scheme, slot: usize) -> impl Iterator<Item = &u8> {
        let slots = scheme.slots;
        let near = (0..=2 * scheme.near).map(move |step| (slot + slots + step - scheme.near) % slots);
        let kept = scheme.kept;
        near.flat_map(move |slot| self.codes.get(slot * kept..(slot + 1) * kept).unwrap_or_default())
    }
}

/// Steps of an octave.
const STEPS: f32 = 8.0;
/// Of a step's beginning, where its middle is.
const MIDDLE: f32 = 0.5;
/// Less is all the same, in bytes.
const UNIT: f32 = 1024.0;

/// Bytes as a logarithm in steps of 9 %, from 1 on; up to terabytes.
fn code(bytes: u64) -> u8 {
    let steps = (bytes as f32 / UNIT).ln_1p() / std::f32::consts::LN_2 * STEPS;
    // The cast saturates.
    (steps as u8).saturating_add(1)
}

fn bytes_of(code: f32) -> u64 {
    let steps = (code - 1.0 + MIDDLE).max(0.0);
    (((steps / STEPS).exp2() - 1.0) * UNIT) as u64
}

/// How values lie.
#[derive(Debug, Clone, Copy)]
struct Spread {
    values: u32,
    median: u8,
    /// The median of how far they are from the median.
    mad: u8,
    largest: u8,
}

impl Spread {
    fn of<'a>(codes: impl Iterator<Item = &'a u8>) -> Self {
        let mut counts = [0_u32; 256];
        codes.for_each(|code| counts[usize::from(*code)] += 1);
        // Where there is no value there is a zero.
        counts[0] = 0;
        let values: u32 = counts.iter().sum();
        let median = middle(values, counts.into_iter());
        let at = |place: Option<usize>| place.and_then(|place| counts.get(place)).copied().unwrap_or(0);
        let both = |away| at(median.checked_sub(away)) + at(Some(median + away));
        let mad = middle(values, (0..counts.len()).map(|away| if away == 0 { at(Some(median)) } else { both(away) }));
        let largest = counts.iter().rposition(|count| *count > 0).unwrap_or(0);
        let [median, mad, largest] = [median, mad, largest].map(|place| place as u8);
        Self { values, median, mad, largest }
    }
}

/// The place at which half of the values are reached.
fn middle(values: u32, mut counts: impl Iterator<Item = u32>) -> usize {
    let mut reached = 0;
    let found = counts.position(|count| {
        reached += count;
        reached > 0 && 2 * reached >= values
    });
    found.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;
    const HOURS: Scheme = Scheme {
        window: 1,
        slots: 168,
        slots_of_day: 24,
        kept: 5,
        near: 1,
        near_values_min: 6,
        values_min: 24,
        bytes_min: 1,
        cold_limit: u64::MAX,
    };

    fn history(weeks: usize, slots: &[usize], bytes: u64) -> History {
        let mut history = History::default();
        for _ in 0..weeks {
            slots.iter().for_each(|slot| history.add(&HOURS, *slot, bytes));
        }
        history
    }

    #[test]
    fn bytes_are_kept_to_a_tenth_from_a_kibibyte_to_terabytes() {
        for bytes in [1024, 5_000, 300_000, MIB, 777 * MIB, 3 << 30, 1 << 40] {
            let kept = bytes_of(f32::from(code(bytes)));
            assert!(kept.abs_diff(bytes) * 10 <= bytes, "{bytes} as {kept}");
        }
        assert_eq!((code(0), code(u64::MAX)), (1, u8::MAX));
    }

    #[test]
    fn nothing_is_usual_until_enough_is_known() {
        assert_eq!(History::default().usual(&HOURS, 0), None);
        assert_eq!(history(1, &(0..23).collect::<Vec<_>>(), MIB).usual(&HOURS, 0), None);
        assert!(history(1, &(0..24).collect::<Vec<_>>(), MIB).usual(&HOURS, 0).is_some());
    }

    #[test]
    fn the_nearest_time_says_what_is_usual_of_which_enough_is_known() {
        let monday = [8, 9, 10];
        let mut history = history(5, &monday, 10 * MIB);
        (24..54).for_each(|slot| history.add(&HOURS, slot, 2048));
        let usual =
            |slot| history.usual(&HOURS, slot).map(|usual| (usual.when, usual.values, usual.typical.div_ceil(MIB)));
        assert_eq!(usual(9), Some((When::OfWeek, 15, 10)));
        assert_eq!(usual(7), Some((When::OfDay, 8, 10)), "Monday at eight, and Tuesday from six to eight");
        assert_eq!(usual(6 * 24 + 9), Some((When::OfDay, 18, 10)), "a Sunday is as other days");
        assert_eq!(usual(6 * 24 + 16), Some((When::Any, 45, 1)));
    }

    #[test]
    fn sunday_night_is_beside_monday() {
        let mut history = history(5, &[167, 0], MIB);
        (40..60).for_each(|slot| history.add(&HOURS, slot, 2048));
        assert_eq!(history.usual(&HOURS, 0).map(|usual| usual.values), Some(10));
        assert_eq!(history.usual(&HOURS, 167).map(|usual| usual.values), Some(10));
    }

    #[test]
    fn the_limit_is_by_how_far_values_lie_from_the_median_and_beyond_the_largest() {
        let even = history(5, &[8, 9, 10, 20, 30], MIB).usual(&HOURS, 9).unwrap();
        assert!((7 * MIB..9 * MIB).contains(&even.limit), "half an octave, six times: {even:?}");
        let mut history = history(4, &[8, 9, 10, 20, 30, 31], MIB);
        history.add(&HOURS, 9, 100 * MIB);
        let once = history.usual(&HOURS, 9).unwrap();
        assert!((190 * MIB..220 * MIB).contains(&once.limit), "twice the largest: {once:?}");
        (0..4).for_each(|_| history.add(&HOURS, 9, MIB));
        assert_eq!(history.usual(&HOURS, 9).unwrap().limit, once.limit, "for five weeks");
        history.add(&HOURS, 9, MIB);
        assert!(history.usual(&HOURS, 9).unwrap().limit < 10 * MIB);
    }

    #[test]
    fn a_slot_that_is_none_is_let_be() {
        let mut history = history(5, &[8, 9, 10, 20, 30], MIB);
        history.add(&HOURS, 168, MIB);
        assert_eq!(history.usual(&HOURS, 168), history.usual(&HOURS, 0));
    }
}
