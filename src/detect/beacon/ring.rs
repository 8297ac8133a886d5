use serde::{Deserialize, Serialize};

/// Gaps that are kept of one level.
pub(crate) const GAPS: usize = 32;
/// Consecutive gaps of one group, where a fast pair is thinned.
const GROUP: u8 = 4;
/// A fast pair gives one group in so long, in seconds.
const GROUP_SECONDS: f64 = 40.0;

/// The last gaps between the bursts of one pair, by one measure of quiet.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Ring {
    /// ln(gap), newest over oldest.
    gaps: [u16; GAPS],
    /// At each place of the ring: no gap went unseen between this one and the one before.
    contiguous: u32,
    /// Gaps so far; saturates.
    count: u32,
    /// When the group that is being taken began, in seconds since the pair began.
    group_began: f32,
    /// When the last burst began.
    last: f32,
    /// Gaps of it that are still to come.
    group_left: u8,
    began: bool,
    /// The next gap follows the last one that was kept.
    follows: bool,
}

/// Which gaps a ring holds.
pub(crate) struct Seen {
    pub count: usize,
    /// As bits by age, the oldest first.
    pub contiguous: u32,
}

impl Ring {
    /// A burst begins at `at` seconds, after `quiet` seconds of silence; says whether a gap was kept.
    ///
    /// Which gaps of a fast pair are kept is decided as they begin: to decide at their end favours long ones, and makes
    /// what is random look regular.
    pub(crate) fn burst(&mut self, at: f64, quiet: f64) -> bool {
        if !self.began {
            self.began = true;
            self.group_began = f32::NEG_INFINITY;
            self.last = at as f32;
            return false;
        }
        let began = f64::from(std::mem::replace(&mut self.last, at as f32));
        if self.group_left == 0 {
            if began - f64::from(self.group_began) < GROUP_SECONDS {
                self.follows = false;
                return false;
            }
            self.begin_group(began);
        }
        if quiet > LONGEST {
            self.group_left = 0;
            self.follows = false;
            return false;
        }
        self.group_left -= 1;
        let place = self.count as usize % GAPS;
        self.gaps[place] = packed(quiet);
        self.contiguous = self.contiguous & !(1 << place) | u32::from(self.follows) << place;
        self.follows = true;
        self.count = self.count.saturating_add(1);
        if self.group_left == 0 && at - f64::from(self.group_began) >= GROUP_SECONDS {
            self.begin_group(at);
        }
        true
    }

    fn begin_group(&mut self, at: f64) {
        self.group_left = GROUP;
        self.group_began = at as f32;
    }

    /// Time went backwards, or was not watched: the next gap follows nothing.
    pub(crate) fn breaks(&mut self) {
        self.follows = false;
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// Writes the gaps in ln seconds, the oldest first.
    pub(crate) fn gaps(&self, into: &mut [f64; GAPS]) -> Seen {
        let count = (self.count as usize).min(GAPS);
        let oldest = if self.count as usize > GAPS { self.count as usize % GAPS } else { 0 };
        let mut contiguous = 0;
        for (at, gap) in into.iter_mut().take(count).enumerate() {
            let place = (oldest + at) % GAPS;
            *gap = unpacked(self.gaps[place]);
            contiguous |= u32::from(at > 0 && self.contiguous >> place & 1 == 1) << at;
        }
        Seen { count, contiguous }
    }
}

/// ln(0.05 s); nothing shorter is told apart.
const LOWEST: f64 = -2.995_732_273_553_991;
/// Longer ones, in seconds, are not told apart: about what 16 bits hold.
const LONGEST: f64 = 17.0 * 86_400.0;
/// Steps in one unit of ln seconds.
const STEPS: f64 = 3_800.0;

fn packed(seconds: f64) -> u16 {
    // Saturates at both ends; NaN, which no difference of two times is, would be 0.
    ((seconds.max(0.05).ln() - LOWEST) * STEPS).round() as u16
}

fn unpacked(gap: u16) -> f64 {
    f64::from(gap) / STEPS + LOWEST
}
