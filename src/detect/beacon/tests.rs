use proptest::collection::vec;
use proptest::prelude::*;

use super::ring::{GAPS, Ring};
use super::*;

/// The formulas again, slowly: windows by trying all, and what a source without a period does at most by search.
mod slow {
    /// erf, by its series.
    fn erf(x: f64) -> f64 {
        let x = x.min(3.0);
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            let n = f64::from(n);
            term *= -x * x / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    /// The most over all rates of what falls between two gaps, where those under `quiet` go unseen.
    fn poisson(low: f64, high: f64, quiet: f64) -> f64 {
        let (low, high) = (low - quiet, high - quiet);
        if low <= 1e-9 {
            return 1.0;
        }
        let share = |ln_rate: f64| (-ln_rate.exp() * low).exp() - (-ln_rate.exp() * high).exp();
        let (mut from, mut to) = (-20.0, 20.0);
        // Far from its top it is flat, so the top is looked for where it must be: between the two rates.
        let (fast, slow) = (-low.ln(), -high.ln());
        (from, to) = (f64::max(from, slow - 1.0), f64::min(to, fast + 1.0));
        for _ in 0..200 {
            let (one, two) = (from + (to - from) / 3.0, to - (to - from) / 3.0);
            if share(one) < share(two) { from = one } else { to = two }
        }
        share(from)
    }

    fn chance(low: f64, high: f64, quiet: f64) -> f64 {
        let (centre, width) = (0.5 * (low + high), (high - low).max(0.02));
        let lognormal = erf(width / (2.0 * 1.1 * 2f64.sqrt()));
        let (low, high) = ((centre - 0.5 * width).exp(), (centre + 0.5 * width).exp());
        lognormal.max(poisson(low, high, quiet)).min(0.98)
    }

    fn hits(gaps: &[f64], follows: &[bool], centre: f64, width: f64, multiples: u32) -> usize {
        let half = 0.5 * width.max(0.02) + 0.005;
        let hit = |at: usize| {
            (gaps[at] - centre).abs() <= half
                || (2..multiples + 2).any(|times| {
                    let times = f64::from(times);
                    (gaps[at] - centre - times.ln()).abs() <= half / times.sqrt() + 0.01
                })
        };
        let beside = |at: usize| {
            let before = at > 0 && follows[at] && hit(at - 1);
            before || (at + 1 < gaps.len() && follows[at + 1] && hit(at + 1))
        };
        (0..gaps.len()).filter(|at| hit(*at) && beside(*at)).count()
    }

    /// The evidence in decades, at least and at most: windows that are as good as each other may be taken either way.
    pub(super) fn evidence(gaps: &[f64], follows: &[bool], quiet: f64) -> (f64, f64) {
        let mut sorted = gaps.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (mut least, mut most) = (0f64, 0f64);
        for percent in [100, 93, 85, 75, 65, 50] {
            let held = (gaps.len() * percent).div_ceil(100);
            if held < 4 {
                continue;
            }
            let windows: Vec<(f64, f64, f64)> =
                sorted.windows(held).map(|w| (w[0], w[held - 1], chance(w[0], w[held - 1], quiet))).collect();
            let lowest = windows.iter().map(|window| window.2).fold(2.0, f64::min);
            let best = |(low, high, chance): &(f64, f64, f64)| {
                (0..if percent == 100 { 1 } else { 4 }).fold(0f64, |best, multiples| {
                    let hits = hits(gaps, follows, 0.5 * (low + high), high - low, multiples);
                    if hits < 4 {
                        return best;
                    }
                    let (n, m) = (gaps.len() as f64, f64::from(multiples));
                    let (q, p) = ((hits as f64 - 1.0) / (n - 1.0), (chance * (1.0 + 0.7 * m)).min(0.98));
                    let mut divergence = q * (q / p).ln();
                    if q < 1.0 {
                        divergence += (1.0 - q) * ((1.0 - q) / (1.0 - p)).ln();
                    }
                    let divergence = if q > p { divergence } else { 0.0 };
                    best.max((n - 1.0) * divergence / 10f64.ln() - 0.8 - 0.3 * m)
                })
            };
            let ties = windows.iter().filter(|window| window.2 <= lowest * (1.0 + 1e-4)).map(best);
            let (low, high) = ties.fold((f64::INFINITY, 0f64), |(low, high), e| (low.min(e), high.max(e)));
            (least, most) = (least.max(low), most.max(high));
        }
        (least, most)
    }
}

/// Gaps in ln seconds and whether each follows the one before, as a ring has them.
fn held(ring: &Ring) -> (Vec<f64>, Vec<bool>) {
    let mut gaps = [0.0; GAPS];
    let seen = ring.gaps(&mut gaps);
    (gaps[..seen.count].to_vec(), (0..seen.count).map(|at| seen.contiguous >> at & 1 == 1).collect())
}

/// Gaps in seconds about a period, some of them beats missed, some of them others; and whether time breaks before.
fn gap_sets() -> impl Strategy<Value = Vec<(f64, bool)>> {
    (0.8f64..4_000.0, 0.0f64..0.6, 0u32..100).prop_flat_map(|(period, jitter, steady)| {
        let gap = (0u32..100, -1.0f64..1.0, 1u32..5, -1.0f64..9.0, 0u32..20).prop_map(
            move |(kind, off, times, other, breaks)| {
                let beat = period * (1.0 + jitter * off);
                let times = if kind % 5 == 0 { f64::from(times) } else { 1.0 };
                let gap = if kind < steady { beat * times } else { other.exp() };
                (gap.max(0.51), breaks == 0)
            },
        );
        vec(gap, 4..80)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_scan_finds_the_evidence_that_its_formulas_give(gaps in gap_sets(), level in 0usize..3) {
        let (mut ring, mut at) = (Ring::default(), 0.0);
        ring.burst(at, f64::INFINITY);
        for (gap, breaks) in gaps {
            if breaks {
                ring.breaks();
            }
            let gap = gap.max(QUIETS[level] * 1.01);
            at += gap;
            ring.burst(at, gap);
        }
        let (gaps, follows) = held(&ring);
        let (least, most) = slow::evidence(&gaps, &follows, QUIETS[level]);
        let found = scan(&ring, QUIETS[level]);
        prop_assert!(
            found.evidence >= least - 0.005 && found.evidence <= most + 0.005,
            "{} is not in {least} to {most}", found.evidence
        );
        prop_assert!(found.hits <= found.gaps && found.gaps as usize == gaps.len());
    }

    #[test]
    fn a_ring_holds_the_last_gaps_and_thins_those_of_a_fast_pair(gaps in vec(33u32..3_840, 1..200)) {
        // Times that the ring's own precision holds, so that both sides of a bound agree.
        let gaps = gaps.into_iter().map(|gap| f64::from(gap) / 64.0);
        let (mut ring, mut at) = (Ring::default(), 0.0);
        ring.burst(at, f64::INFINITY);
        // Groups of four, each begun at the first start of a gap that is 40 s after that of the group before.
        let (mut expected, mut left, mut group, mut follows) = (Vec::new(), 0, f64::NEG_INFINITY, false);
        for gap in gaps {
            if left == 0 && at - group >= 40.0 {
                (left, group) = (4, at);
            }
            if left > 0 {
                expected.push((gap.ln(), follows));
                left -= 1;
                follows = true;
            } else {
                follows = false;
            }
            at += gap;
            ring.burst(at, gap);
        }
        let newest = &expected[expected.len().saturating_sub(GAPS)..];
        let (gaps, follows) = held(&ring);
        prop_assert_eq!(gaps.len(), newest.len());
        for (place, (gap, follow)) in newest.iter().enumerate() {
            prop_assert!((gaps[place] - gap).abs() < 2e-4, "{} for {gap}", gaps[place]);
            prop_assert_eq!(follows[place], *follow && place > 0);
        }
    }

    #[test]
    fn what_is_told_is_the_strongest_of_the_levels_that_were_scanned(gaps in gap_sets()) {
        let (mut all, mut at) = (Gaps::default(), 0.0);
        let mut levels: Vec<(Ring, f64, u32)> = QUIETS.iter().map(|_| (Ring::default(), 0.0, 4)).collect();
        for (number, (gap, _)) in [(f64::INFINITY, false)].into_iter().chain(gaps).enumerate() {
            at += if number == 0 { 0.0 } else { gap };
            let mut strongest = None::<f64>;
            for ((ring, sum, every), quiet) in levels.iter_mut().zip(QUIETS).filter(|(_, quiet)| gap > *quiet) {
                let count = if ring.burst(at, gap) { ring.count() } else { continue };
                if count > 8 && count % *every != 0 {
                    continue;
                }
                let evidence = scan(ring, quiet).evidence;
                // A whole ring that shows nothing is looked at half as often.
                *every = if count >= 32 && evidence < 0.5 { 8 } else { 4 };
                if count % 32 == 0 {
                    *sum = (*sum + evidence - 2.5).max(0.0);
                }
                let score = (evidence - (1.0 + f64::from(count) / 32.0).log10()).max(*sum);
                strongest = Some(strongest.map_or(score, |other| other.max(score)));
            }
            let told = all.event(at, gap);
            prop_assert_eq!(told.is_some(), strongest.is_some());
            if let (Some(told), Some(strongest)) = (told, strongest) {
                prop_assert!((f64::from(told.score) - strongest).abs() < 1e-3, "{} for {strongest}", told.score);
                prop_assert!(all.best().score >= told.score);
            }
        }
    }
}

#[test]
fn a_beat_is_told_of_though_the_pauses_between_its_runs_are_not_steady() {
    let (mut gaps, mut at, mut pause, mut told) = (Gaps::default(), 0.0, 60.0, 0f32);
    gaps.event(at, f64::INFINITY);
    for number in 1..=64 {
        // Three calls 5 s apart, then silence that never lasts as long again.
        let gap = if number % 4 == 0 { pause } else { 5.0 };
        if number % 4 == 0 {
            pause *= 1.6;
        }
        at += gap;
        told = told.max(gaps.event(at, gap).map_or(0.0, |best| best.score));
    }
    assert_eq!(told, gaps.best().score);
    assert!(told >= 3.5, "{told}");
}

#[test]
fn silences_too_long_to_be_told_apart_are_no_rhythm() {
    let (mut gaps, mut at) = (Gaps::default(), 0.0);
    gaps.event(at, f64::INFINITY);
    let mut strongest = 0f32;
    for days in [40.0, 90.0, 25.0, 300.0, 61.0, 150.0, 33.0, 77.0, 210.0] {
        let gap = days * 86_400.0;
        at += gap;
        strongest = strongest.max(gaps.event(at, gap).map_or(0.0, |best| best.score));
    }
    assert_eq!(strongest, 0.0);
}
