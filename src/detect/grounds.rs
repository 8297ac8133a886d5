use crate::evidence::{Ground, Severity};

/// What speaks for a finding, each with its weight in decades.
#[derive(Debug, Default)]
pub(super) struct Grounds(Vec<(f32, Ground)>);

impl Grounds {
    /// Adds one, with what it weighs and the numbers that it rests on.
    pub(super) fn add(
        &mut self,
        weight: f32,
        code: &'static str,
        numbers: &[(&'static str, f64)],
        english: String,
        japanese: String,
    ) {
        let weight = (weight * 10.0).round() / 10.0;
        let numbers = [&[("weight", f64::from(weight))], numbers].concat();
        self.0.push((weight, Ground::new(code, &numbers, english, japanese)));
    }

    /// What they weigh together, to a tenth.
    pub(super) fn score(&self) -> f32 {
        (self.0.iter().map(|(weight, _)| weight).sum::<f32>() * 10.0).round() / 10.0
    }

    /// The highest of these that the score reaches.
    pub(super) fn severity(&self, least: &[(f32, Severity)]) -> Option<Severity> {
        let score = self.score();
        least.iter().filter(|(least, _)| score >= *least).map(|(_, severity)| *severity).max()
    }

    /// The heaviest first.
    pub(super) fn sorted(mut self) -> Vec<Ground> {
        self.0.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        self.0.into_iter().map(|(_, ground)| ground).collect()
    }
}

/// What weighs more by so much with each doubling beyond a least, up to a most.
pub(super) fn growing(base: f32, number: u32, least: u32, each: f32, most: f32) -> f32 {
    let doublings = (number.max(1) as f32 / least.max(1) as f32).log2().max(0.0);
    (base + each * doublings).min(most)
}
