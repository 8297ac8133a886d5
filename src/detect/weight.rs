//! How pressing a beacon is: its evidence, weighed with what else is known of who calls whom.
//!
//! Timing tells what is periodic, and not whether it is harmless: much software is periodic. What tells them apart is who
//! else does it, since when, and with which program.

use crate::evidence::{FindingKind, Severity, Shown};

/// What is known of a pair beside its rhythm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside {
    /// Clients that call the target with the same program; with any, where the program is not known.
    pub users: u32,
    /// Clients that have the program at all; 0 where it is not known.
    pub owners: u32,
    pub standing: Shown,
    /// Clients in all.
    pub of: u32,
    /// For how long the network is watched, the client known, and the pair, in seconds.
    pub network_seconds: u64,
    pub client_seconds: u64,
    pub pair_seconds: u64,
    /// The pace, in seconds.
    pub period: f64,
    pub requests: u32,
    pub denied: u32,
}

/// From these weights on a finding is high, and medium.
const HIGH: f32 = 7.5;
const MEDIUM: f32 = 5.0;
/// More evidence than so many decades says no more: it is periodic.
const EVIDENCE_MAX: f32 = 6.0;
/// What is always on has no evidence of a period.
const ALWAYS_ON: f32 = 2.0;
/// What a client did not do for so long after it was first seen, and for three periods, began later, in seconds.
const SILENT: f64 = 3_600.0;
/// In a network that is watched no longer, in seconds, much seems to begin.
const COLD: u64 = 24 * 3_600;

/// In decades: the evidence, and what speaks for malice or against it.
pub(super) fn weight(kind: FindingKind, score: f32, beside: &Beside) -> f32 {
    let evidence = if kind == FindingKind::AlwaysOn { ALWAYS_ON } else { score.min(EVIDENCE_MAX) };
    evidence + rarity(beside) + age(beside) + program(beside) + denied(beside)
}

pub(super) fn severity(weight: f32) -> Severity {
    match weight {
        HIGH.. => Severity::High,
        MEDIUM.. => Severity::Medium,
        _ => Severity::Low,
    }
}

/// Who else does the same with the same program.
fn rarity(beside: &Beside) -> f32 {
    match beside.users {
        0..=1 => 1.0,
        2..=3 => 0.3,
        few if few <= 3.max(beside.of / 100) => -0.5,
        some if some <= beside.of / 20 => -2.0,
        _ => -4.0,
    }
}

/// What began while its client was watched is news; of the rest nobody knows for how long it has been there.
fn age(beside: &Beside) -> f32 {
    let silent = beside.client_seconds.saturating_sub(beside.pair_seconds) as f64;
    match beside.network_seconds.saturating_sub(beside.pair_seconds) {
        _ if silent < SILENT.max(3.0 * beside.period) => -0.5,
        ..COLD => 0.5,
        COLD.. => 1.0,
    }
}

fn program(beside: &Beside) -> f32 {
    match beside.standing {
        Shown::Mimic | Shown::Failed => 1.5,
        Shown::Cleared => -2.0,
        Shown::Unasked | Shown::Uncleared if (1..=2).contains(&beside.owners) => 0.5,
        Shown::Unasked | Shown::Uncleared => 0.0,
    }
}

/// What was refused and comes again in rhythm is the best lead of all.
fn denied(beside: &Beside) -> f32 {
    if beside.denied > beside.requests / 2 { 1.5 } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEWS: Beside = Beside {
        users: 1,
        owners: 1,
        standing: Shown::Unasked,
        of: 500,
        network_seconds: 10 * 86_400,
        client_seconds: 9 * 86_400,
        pair_seconds: 7_200,
        period: 60.0,
        requests: 120,
        denied: 0,
    };

    #[test]
    fn what_one_client_began_to_do_with_a_program_of_its_own_is_pressing() {
        let weight_of = |beside: Beside| weight(FindingKind::Beacon, 20.0, &beside);
        assert_eq!((weight_of(NEWS), severity(weight_of(NEWS))), (8.5, Severity::High));
        for (what, beside, expected) in [
            ("what was there before", Beside { pair_seconds: 9 * 86_400, ..NEWS }, Severity::Medium),
            ("what many have", Beside { users: 400, owners: 400, ..NEWS }, Severity::Low),
            ("what a browser does", Beside { owners: 480, standing: Shown::Cleared, ..NEWS }, Severity::Medium),
            (
                "what only claims to be one",
                Beside { standing: Shown::Mimic, pair_seconds: 9 * 86_400, ..NEWS },
                Severity::High,
            ),
            ("what is denied", Beside { users: 3, pair_seconds: 9 * 86_400, denied: 61, ..NEWS }, Severity::High),
        ] {
            assert_eq!(severity(weight_of(beside)), expected, "{what}: {}", weight_of(beside));
        }
        let always = weight(FindingKind::AlwaysOn, 0.0, &NEWS);
        assert_eq!(severity(always), Severity::Low, "{always}: nothing in it is periodic");
    }
}
