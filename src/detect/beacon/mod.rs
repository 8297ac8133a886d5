//! What calls home like clockwork: the interval-concentration scan.
//!
//! Events of one pair of client and host are bursts at three measures of quiet. Of each measure the last 32 gaps between
//! bursts are kept, and the scan asks how many of them a source without a period could bring into one narrow window.
//! No training, no bins, no grid of periods.

mod ring;
mod scan;

use serde::{Deserialize, Serialize};

use ring::Ring;
use scan::scan;

pub(crate) use scan::Scan;

/// Quiet times in seconds: an event after more silence begins a burst of that level.
pub(crate) const QUIETS: [f64; 3] = [0.5, 8.0, 120.0];
/// What the evidence of 32 gaps must exceed to count towards that of the pair's life, in decades.
const DRIFT: f64 = 2.5;
/// From so many gaps on the scan runs at every [`EVERY`]th gap only.
const DENSE: u32 = 8;
const EVERY: u32 = 4;
/// Where a whole ring showed less than this, in decades, it runs at every [`EVERY_WEAK`]th.
const WEAK: f64 = 0.5;
const EVERY_WEAK: u32 = 8;
/// Gaps after which evidence is added up.
const SPAN: u32 = 32;

/// The gaps of one pair.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Gaps {
    levels: [Level; QUIETS.len()],
    /// The strongest that any level shows.
    best: Best,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Level {
    ring: Ring,
    /// Evidence of the spans that are over.
    sum: f32,
    /// The last scan of a whole ring found next to nothing.
    is_weak: bool,
}

/// The strongest evidence so far.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Best {
    /// In decades.
    pub score: f32,
    /// Of [`QUIETS`].
    pub level: u8,
    /// The middle of the window, in ln seconds.
    pub centre: f32,
}

impl Gaps {
    /// An event at `at` seconds since the pair began, after `quiet` seconds of silence; says the strongest that
    /// the scan found, where it ran.
    pub(crate) fn event(&mut self, at: f64, quiet: f64) -> Option<Best> {
        let mut changed = None;
        for (number, (level, least)) in self.levels.iter_mut().zip(QUIETS).enumerate() {
            if quiet <= least {
                break;
            }
            if !level.ring.burst(at, quiet) {
                continue;
            }
            let count = level.ring.count();
            let every = if level.is_weak { EVERY_WEAK } else { EVERY };
            if count > DENSE && !count.is_multiple_of(every) {
                continue;
            }
            let Scan { evidence: found, centre, .. } = scan(&level.ring, least);
            level.is_weak = count >= SPAN && found < WEAK;
            if count.is_multiple_of(SPAN) {
                level.sum = (f64::from(level.sum) + found - DRIFT).max(0.0) as f32;
            }
            let score = (found - looks(count)).max(f64::from(level.sum)) as f32;
            let best = Best { score, level: number as u8, centre: centre as f32 };
            if score > self.best.score {
                self.best = best;
            }
            if changed.is_none_or(|strongest: Best| score > strongest.score) {
                changed = Some(best);
            }
        }
        changed
    }

    /// Time was not watched, or went backwards.
    pub(crate) fn breaks(&mut self) {
        self.levels.iter_mut().for_each(|level| level.ring.breaks());
    }

    pub(crate) fn best(&self) -> Best {
        self.best
    }

    /// Gaps that the level has seen.
    pub(crate) fn count(&self, level: u8) -> u32 {
        self.levels[usize::from(level).min(QUIETS.len() - 1)].ring.count()
    }

    /// What the level shows now.
    pub(crate) fn scan(&self, level: u8) -> Scan {
        let number = usize::from(level).min(QUIETS.len() - 1);
        scan(&self.levels[number].ring, QUIETS[number])
    }

    /// The gaps of a level, in seconds, the oldest first.
    pub(crate) fn strip(&self, level: u8) -> Vec<f64> {
        let mut gaps = [0.0; ring::GAPS];
        let seen = self.levels[usize::from(level).min(QUIETS.len() - 1)].ring.gaps(&mut gaps);
        gaps[..seen.count].iter().map(|gap| gap.exp()).collect()
    }
}

/// What it costs to have looked so often, in decades.
fn looks(gaps: u32) -> f64 {
    (1.0 + f64::from(gaps) / f64::from(SPAN)).log10()
}

#[cfg(test)]
mod tests;
