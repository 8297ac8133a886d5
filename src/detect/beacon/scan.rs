use std::f64::consts::{LN_10, SQRT_2};
use std::sync::LazyLock;

use super::ring::{GAPS, Ring};

/// What a scan found in the gaps of one level.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Scan {
    /// Decades of evidence: what is left of −log10 of the chance that a source without a period does this.
    pub evidence: f64,
    /// The middle of the window, in ln seconds.
    pub centre: f64,
    /// Its width, in ln seconds.
    pub width: f64,
    /// Gaps in the window, each beside another.
    pub hits: u32,
    /// Gaps that were looked at.
    pub gaps: u32,
    /// How many multiples of the period count as well, where beats were missed.
    pub multiples: u32,
}

/// The shares of the gaps for which the narrowest window is looked for.
const SHARES: [f64; 6] = [1.0, 0.93, 0.85, 0.75, 0.65, 0.5];
/// The spread of the lognormal source that the gaps are held against, in ln seconds.
const SIGMA: f64 = 1.1;
/// No window is narrower, in ln seconds.
const WIDTH_MIN: f64 = 0.02;
/// What looking at several shares and windows costs, in decades.
const SEARCHED: f64 = 0.8;
/// What each multiple costs, in decades.
const MULTIPLE: f64 = 0.3;
/// No scan looks at fewer gaps.
const HITS_MIN: u32 = 4;

/// Looks for the window that most of the gaps concentrate in, and says how much that tells.
///
/// For each share of the gaps the narrowest window in ln s holds them; the evidence is that of a binomial
/// tail (Chernoff's bound, by the Kullback–Leibler divergence) against the most that a lognormal source, or a
/// Poisson source of any rate whose gaps below `quiet` are not seen, can put into such a window.
pub(crate) fn scan(ring: &Ring, quiet: f64) -> Scan {
    let mut gaps = [0.0; GAPS];
    let seen = ring.gaps(&mut gaps);
    let mut sorted = [0.0; GAPS];
    let sorted = &mut sorted[..seen.count];
    sorted.copy_from_slice(&gaps[..seen.count]);
    sorted.sort_unstable_by(f64::total_cmp);
    let mut spans = [0.0; GAPS];
    for (span, gap) in spans.iter_mut().zip(&*sorted) {
        *span = gap.exp();
    }
    let mut best = Scan { gaps: seen.count as u32, ..Scan::default() };
    if best.gaps < HITS_MIN {
        return best;
    }
    let others = f64::from(best.gaps - 1);
    for share in SHARES {
        let held = (share * seen.count as f64).ceil() as usize;
        if held < HITS_MIN as usize {
            continue;
        }
        let (at, chance) = narrowest(sorted, &spans, held, quiet);
        let (low, high) = (sorted[at], sorted[at + held - 1]);
        let (centre, width) = (0.5 * (low + high), high - low);
        let multiples = if share == 1.0 { 0 } else { 3 };
        let mut hit = 0;
        for multiple in 0..=multiples {
            hit |= near(&gaps[..seen.count], centre, width, multiple);
            let hits = back_to_back(hit, seen.contiguous);
            if hits < HITS_MIN {
                continue;
            }
            let m = f64::from(multiple);
            let found = divergence((f64::from(hits - 1) / others).min(1.0), (chance * (1.0 + 0.7 * m)).min(0.98));
            let evidence = others * found / LN_10 - SEARCHED - MULTIPLE * m;
            if evidence > best.evidence {
                best = Scan { evidence, centre, width, hits, multiples: multiple, ..best };
            }
        }
    }
    best
}

/// Where the window of so many gaps begins that a source without a period fills least, and the most that it
/// does.
fn narrowest(sorted: &[f64], spans: &[f64; GAPS], held: usize, quiet: f64) -> (usize, f64) {
    let (mut at, mut least) = (0, 2.0);
    for begin in 0..=sorted.len() - held {
        let end = begin + held - 1;
        let width = (sorted[end] - sorted[begin]).max(WIDTH_MIN);
        let lognormal = error_function(width / (2.0 * SIGMA * SQRT_2)).min(0.98);
        if lognormal >= least {
            continue;
        }
        let (low, high) = if sorted[end] - sorted[begin] < WIDTH_MIN {
            let (centre, half) = (0.5 * (sorted[begin] + sorted[end]), 0.5 * WIDTH_MIN);
            ((centre - half).exp(), (centre + half).exp())
        } else {
            (spans[begin], spans[end])
        };
        let chance = lognormal.max(poisson(low - quiet, high - quiet)).min(0.98);
        if chance < least {
            (at, least) = (begin, chance);
        }
    }
    (at, least)
}

/// The most that a Poisson source of any rate puts between two gaps: r^(−1/(r−1)) − r^(−r/(r−1)), r = high/low.
fn poisson(low: f64, high: f64) -> f64 {
    if low <= 1e-9 {
        return 1.0;
    }
    let ratio = (high / low).max(1.0 + 1e-9);
    let log = ratio.ln() / (ratio - 1.0);
    (-log).exp() - (-ratio * log).exp()
}

/// Which gaps are in the window of this multiple of the period, as bits by age.
fn near(gaps: &[f64], centre: f64, width: f64, multiple: u32) -> u32 {
    let half = 0.5 * width.max(WIDTH_MIN);
    let times = f64::from(multiple + 1);
    let (centre, half) = match multiple {
        0 => (centre, half + 0.005),
        _ => (centre + times.ln(), (half + 0.005) / times.sqrt() + 0.01),
    };
    gaps.iter().enumerate().fold(0, |bits, (at, gap)| bits | u32::from((gap - centre).abs() <= half) << at)
}

/// How many hits have a hit beside them, with no gap unseen in between.
fn back_to_back(hits: u32, contiguous: u32) -> u32 {
    let later = hits & (hits << 1) & contiguous;
    (later | later >> 1).count_ones()
}

/// Kullback–Leibler divergence of two coins, in nats; 0 where less was found than expected.
fn divergence(found: f64, expected: f64) -> f64 {
    if found <= expected {
        return 0.0;
    }
    let rest = if found < 1.0 { (1.0 - found) * ((1.0 - found) / (1.0 - expected)).ln() } else { 0.0 };
    found * (found / expected).ln() + rest
}

/// erf for what is not negative, between two places of a table.
fn error_function(x: f64) -> f64 {
    static TABLE: LazyLock<Box<[f64]>> =
        LazyLock::new(|| (0..=PLACES + 1).map(|place| computed_error_function(place as f64 / STEPS)).collect());
    let at = (x * STEPS).min(PLACES as f64);
    let place = at as usize;
    let (low, high) = (TABLE[place], TABLE[place + 1]);
    low + (high - low) * (at - place as f64)
}

/// Places of the table in one unit, and in all: beyond them it is 1 to ten digits.
const STEPS: f64 = 1024.0;
const PLACES: usize = 4800;

/// erf for what is not negative, to 1.5e-7 (Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26).
fn computed_error_function(x: f64) -> f64 {
    const TERMS: [f64; 5] = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    1.0 - TERMS.iter().fold(0.0, |sum, term| (sum + term) * t) * (-x * x).exp()
}
