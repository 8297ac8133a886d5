//! Numbers by chance, the same for the same seed on every machine.

use std::f64::consts::TAU;
use std::hash::{BuildHasher, RandomState};

/// xoshiro256++ (Blackman and Vigna, 2019).
#[derive(Debug, Clone)]
pub(crate) struct Random([u64; 4]);

/// A seed that nobody chose.
pub(crate) fn drawn_seed() -> u64 {
    RandomState::new().hash_one(0) >> 32
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        // SplitMix64, as its authors advise for filling the state.
        Self([(); 4].map(|()| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ mixed >> 31
        }))
    }

    fn bits(&mut self) -> u64 {
        let [a, b, c, d] = &mut self.0;
        let drawn = a.wrapping_add(*d).rotate_left(23).wrapping_add(*a);
        let shifted = *b << 17;
        *c ^= *a;
        *d ^= *b;
        *b ^= *c;
        *a ^= *d;
        *c ^= shifted;
        *d = d.rotate_left(45);
        drawn
    }

    /// From 0 up to, not including, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub(crate) fn happens(&mut self, chance: f64) -> bool {
        self.unit() < chance
    }

    pub(crate) fn below(&mut self, count: usize) -> usize {
        (self.unit() * count as f64) as usize
    }

    pub(crate) fn of<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.below(some.len())]
    }

    pub(crate) fn normal(&mut self, mean: f64, deviation: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        mean + deviation * radius * (TAU * self.unit()).cos()
    }

    pub(crate) fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * self.normal(0.0, sigma).exp()
    }

    pub(crate) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// Long and short ones oftener than an exponential has where `shape` is below 1.
    pub(crate) fn weibull(&mut self, scale: f64, shape: f64) -> f64 {
        scale * self.exponential(1.0).powf(1.0 / shape)
    }

    /// How many tries until one succeeds, from 1; `mean` in the mean.
    pub(crate) fn tries(&mut self, mean: f64) -> usize {
        if mean <= 1.0 {
            return 1;
        }
        (1.0 + (1.0 - self.unit()).ln() / (1.0 - 1.0 / mean).ln()) as usize
    }
}

/// Places drawn in proportion to their weights.
#[derive(Debug)]
pub(crate) struct Weighted(Vec<f64>);

impl Weighted {
    /// The first of `count` is drawn most, by Zipf's law.
    pub(crate) fn zipf(count: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        Self(
            (1..=count)
                .map(|rank| {
                    sum += (rank as f64).powf(-exponent);
                    sum
                })
                .collect(),
        )
    }

    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let all = self.0.last().copied().unwrap_or_default();
        let at = random.between(0.0, all);
        self.0.partition_point(|sum| *sum <= at).min(self.0.len() - 1)
    }
}
