//! How pressing a finding is: what its evidence is, weighed with what else is known of who calls whom.
//!
//! Timing tells what is periodic, and not whether it is harmless: much software is periodic. What tells them apart is who
//! else does it, since when, and with which program.

use sekisho::evidence::{Finding, FindingKind};

/// What is known beside a finding: of its pair, and of the network at the time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Beside {
    /// Clients that talk to the target with the program that does so here; of several programs, with the rarest.
    pub with_program: u32,
    /// Clients that have that program at all.
    pub program_clients: u32,
    pub program: Shown,
    /// Clients in all.
    pub of: u32,
    /// For how long the network is watched, and the client, in seconds.
    pub network_seconds: u64,
    pub client_seconds: u64,
}

/// What the program has shown of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// It claims to be no browser.
    NoBrowser,
    /// It claims to be one, and has shown that it is.
    Browser,
    /// It claims to be one and is none, or failed to show it.
    Mimic,
}

/// From this weight on a finding is high.
pub(crate) const HIGH: f64 = 7.5;
/// More evidence than so many decades says no more: it is periodic.
const EVIDENCE_MAX: f64 = 6.0;
/// What a client did not do for so long after it was first seen, and for three periods, began later, in seconds.
const SILENT: f64 = 3_600.0;
/// In a network that is watched no longer, in seconds, much seems to begin.
const COLD: u64 = 24 * 3_600;

/// How pressing a finding is, in decades: its evidence, and what speaks for malice or against it.
pub(crate) fn weight(finding: &Finding, beside: &Beside) -> f64 {
    let evidence = match finding.kind {
        // Nothing in it is periodic.
        FindingKind::AlwaysOn => 2.0,
        _ => finding.score.min(EVIDENCE_MAX),
    };
    evidence + rarity(beside) + age(finding, beside) + program(beside) + denied(finding)
}

/// Who else does the same with the same program.
fn rarity(beside: &Beside) -> f64 {
    match beside.with_program {
        0..=1 => 1.0,
        2..=3 => 0.3,
        few if few <= 3.max(beside.of / 100) => -0.5,
        some if some <= beside.of / 20 => -2.0,
        _ => -4.0,
    }
}

/// What began while its client was watched is news; of the rest nobody knows for how long it has been there.
fn age(finding: &Finding, beside: &Beside) -> f64 {
    let known = finding.last.0.saturating_sub(finding.first.0) / 1_000_000;
    let silent = beside.client_seconds.saturating_sub(known) as f64;
    let period = finding.beat.as_ref().map_or(0.0, |beat| beat.period_seconds);
    match beside.network_seconds.saturating_sub(known) {
        _ if silent < SILENT.max(3.0 * period) => -0.5,
        ..COLD => 0.5,
        COLD.. => 1.0,
    }
}

fn program(beside: &Beside) -> f64 {
    match beside.program {
        Shown::Mimic => 1.5,
        Shown::Browser => -2.0,
        Shown::NoBrowser if beside.program_clients <= 2 => 0.5,
        Shown::NoBrowser => 0.0,
    }
}

/// What was refused and comes again in rhythm is the best lead of all.
fn denied(finding: &Finding) -> f64 {
    if finding.denied * 2 > finding.requests { 1.5 } else { 0.0 }
}
