use std::collections::BTreeSet;

use crate::evidence::{Event, RecordLine};
use crate::facts::{Host, Timestamp};
use crate::store::{OpenError, Reader};

use super::exchange::{Asked, Came, Standpoint, standpoint};
use super::scan::{Progress, scan};

mod answer;
mod domain;
mod propose;
mod seen;
mod text;

pub use answer::{Access, ClientsOfGroup, Learnt, LeftOut, Proposal};

use seen::{Opened, Seen};

/// What counts as worth a rule, and how wide a rule may be.
#[derive(Debug, Clone)]
pub struct LearnOptions {
    /// Older exchanges are left out.
    pub since: Option<Timestamp>,
    /// A destination with fewer requests is rare.
    pub requests_min: u64,
    /// So is one with fewer clients, where its group has so many.
    pub clients_min: u64,
    /// So is one that was used on fewer days (UTC), where so many are on record; at most 31.
    pub days_min: u64,
    /// When more names than this of one registrable domain were used, all below it is proposed; at most 64.
    pub names_max: usize,
    /// Hosts that are never proposed, and below whose domain no suffix is.
    pub doubted: BTreeSet<Host>,
}

/// Proposes rules from what was used, for each client group and registrable domain.
///
/// What counts is what was let out, and in observe mode also what would have been refused because no rule
/// names it. Left out, and listed with the reason, is what is rare, what a rule denies, what the gate refused
/// or found in doubt after all, what was never reached, and what leaves through a parent. A name that is
/// itself a public suffix, and an address, is never proposed by suffix.
///
/// # Errors
/// What of the journal could not be read. Lines that are no records are counted.
pub fn learn(reader: &mut Reader, options: &LearnOptions, progress: impl FnMut(Progress)) -> Result<Learnt, OpenError> {
    let mut seen = Seen::new();
    let since = options.since.unwrap_or(Timestamp(0));
    let scanned = scan(reader, progress, |record| note(&mut seen, since, record))?;
    Ok(propose::propose(seen, options, scanned))
}

fn note(seen: &mut Seen, since: Timestamp, record: &RecordLine<'_>) {
    let came = match standpoint(record) {
        Standpoint::Later => return seen.later(record),
        Standpoint::NotByPolicy => return,
        Standpoint::Judged(_) if record.time < since => return,
        Standpoint::Judged(came) => came,
    };
    let Some(asked) = Asked::read(record) else { return };
    let reason = record.reason.as_deref().unwrap_or_default();
    if record.captured.is_some() && reason == "bypassed_proxy" {
        // No rule is learnt from it: what would let it out would let it go on past the proxy.
        return seen.denied(&asked, record, reason.to_owned());
    }
    let named = record.rule.as_deref().filter(|_| reason == "rule");
    match (record.event, came, named) {
        // The request inside has a record of its own.
        (_, Came::InnerRequest, _) => {}
        // What is only observed, and no rule names, is what there is to learn.
        (Some(Event::Open), Came::Allow, _) | (Some(Event::Open), Came::Challenge | Came::Deny, None) => {
            seen.used(&asked, record);
        }
        (_, Came::Challenge | Came::Deny, _) => {
            seen.denied(&asked, record, named.map_or(reason.to_owned(), |rule| format!("rule {rule}")));
        }
        // Answered by the gate: nothing left.
        (_, Came::Allow, _) => {}
    }
}

/// What an exchange that is still open belongs to.
impl Opened {
    fn of(place: usize, host: &Host) -> Self {
        Self { place, host: host.clone(), reached: false }
    }
}

#[cfg(test)]
mod tests;
