use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock;
use crate::evidence::{Admin, Record, format_time};
use crate::session::Gate;
use crate::store::NotAccepted;

use super::contingency::ISOLATED_BY_HAND_MAX;
use super::status::BreakglassStatus;

/// A breakglass holds so long at most: a day.
pub const BREAKGLASS_MINUTES_MAX: u64 = 1440;
/// A reason is so long at most.
pub const REASON_BYTES_MAX: usize = 500;

/// Why the running gate did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NotDone {
    #[error("a breakglass holds 1 to {BREAKGLASS_MINUTES_MAX} minutes")]
    Minutes,
    #[error("a reason has 1 to {REASON_BYTES_MAX} bytes")]
    Reason,
    /// It must be on record first.
    #[error("neither the journal nor the reserve takes a record of it, so it does not hold")]
    NoRecord,
    #[error("too many records wait for the disk at the moment; ask again")]
    Overloaded,
    #[error("too many ask for a reload at the moment, or the gate ends; ask again")]
    ReloadBusy,
    #[error("too many ask for lists at the moment, or the gate ends; ask again")]
    FetchBusy,
    #[error("its config has no list `{0}` to fetch")]
    NoSuchList(String),
    #[error("its config has no lists to fetch")]
    NoLists,
    #[error("its config has no receiver `{0}` of alerts")]
    NoSuchReceiver(String),
    #[error("its config has no receivers of alerts")]
    NoReceivers,
    #[error("too many try alerts at the moment, or the gate ends; ask again")]
    AlertsBusy,
    #[error("a program is named by the 32 hexadecimal digits that `sekisho clearance list` shows")]
    NoProgram,
    #[error("a client is named by its address")]
    NoClient,
    #[error("there is no such certificate authority in its data directory that it could read")]
    NoAuthority,
    #[error("the gate ends")]
    GateEnds,
    #[error("nothing is imposed by such a finding")]
    NoRestraint,
    #[error("it is on record, and is not in force: {0}")]
    NotKept(String),
    /// Of an emergency: it holds until the gate ends.
    #[error("it holds, and would not outlast a restart of the gate: {0}")]
    NotKeptOver(String),
    #[error("no breakglass is in force")]
    NotInForce,
    #[error("that is an address of the gate's own machine")]
    OwnAddress,
    #[error("{ISOLATED_BY_HAND_MAX} clients and networks at most are cut off by hand: release some")]
    TooManyIsolated,
    #[error("nobody has cut that client off by hand")]
    NotIsolated,
    #[error("no lockdown is in force")]
    NoLockdown,
    /// What tightens does not wait for the disk.
    #[error("it is in force, and is on record only once the journal takes records again")]
    Unrecorded,
    /// Of a hand-over.
    #[error("another gate takes over at the moment, or has")]
    HandOverBusy,
    /// Names them.
    #[error(
        "{0} drain still, and no more gates may: wait until one has ended (`sekisho status`), or end one (SIGTERM)"
    )]
    TooManyDrain(String),
    #[error("whoever asks is neither root nor the user whom the gate runs as")]
    NotOwn,
    #[error("it speaks another version of the hand-over")]
    OtherVersion,
    #[error("it does not know that question: is it of another version?")]
    UnknownQuestion,
}

/// Puts a breakglass in force, once that is on record.
///
/// # Errors
/// What is asked makes no sense, or not even the reserve takes the record.
pub(super) async fn break_glass(gate: &Gate, minutes: u64, reason: &str, asker: &str) -> Result<(), NotDone> {
    let reason = reason.trim();
    if !(1..=BREAKGLASS_MINUTES_MAX).contains(&minutes) {
        return Err(NotDone::Minutes);
    }
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(NotDone::Reason);
    }
    let detail = format!("for {minutes} minutes, by {asker}: {reason}");
    let (record, now) = (admin("breakglass", &detail), clock::now());
    match gate.journal.append(&record, now).await {
        Ok(()) => {}
        Err(NotAccepted::Overloaded) => return Err(NotDone::Overloaded),
        Err(NotAccepted::Disk) => gate.journal.tell_reserve(&record, now).await.map_err(|_| NotDone::NoRecord)?,
    }
    gate.glass.break_for(Duration::from_secs(60 * minutes), reason);
    Ok(())
}

/// Ends a breakglass before its time.
///
/// # Errors
/// None was in force.
pub(super) async fn mend_glass(gate: &Gate, asker: &str) -> Result<(), NotDone> {
    if !gate.glass.mend() {
        return Err(NotDone::NotInForce);
    }
    tell_end(gate, asker).await;
    Ok(())
}

/// Ends a breakglass whose time is over.
pub(super) async fn expire(gate: &Gate) {
    if gate.glass.expire() {
        tell_end(gate, "its time is over").await;
    }
}

/// Ends a breakglass with the gate.
pub(super) async fn end_with_gate(gate: &Gate) {
    if gate.glass.mend() {
        tell_end(gate, "the gate ends").await;
    }
}

/// In the reserve while the journal takes nothing; else in the journal, as soon as that can be.
async fn tell_end(gate: &Gate, why: &str) {
    let (record, now) = (admin("breakglass_ended", why), clock::now());
    let takes_none = gate.journal.health().last_error.is_some();
    if !takes_none || gate.journal.tell_reserve(&record, now).await.is_err() {
        gate.journal.tell(&record, now);
    }
}

fn admin(action: &'static str, detail: &str) -> Record {
    Record::Admin(Admin { action, detail: Some(detail.into()) })
}

/// What is in force, for `status`.
pub(super) fn report(gate: &Gate) -> Option<BreakglassStatus> {
    let (breakglass, now) = gate.glass.holding();
    let breakglass = breakglass?;
    Some(BreakglassStatus {
        until: format_time(breakglass.until),
        minutes_left: breakglass.until.0.saturating_sub(now.0).div_ceil(60_000_000),
        reason: breakglass.reason.to_string(),
        essential_rules: gate.policy.now().policy.essential_rules(),
    })
}
