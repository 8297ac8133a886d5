use std::time::Duration;

use crate::clock;
use crate::evidence::{Admin, Record, format_time};
use crate::session::Gate;

use super::status::BreakglassStatus;

/// A breakglass holds so long at most: a day.
pub const BREAKGLASS_MINUTES_MAX: u64 = 1440;
/// A reason is so long at most.
pub const REASON_BYTES_MAX: usize = 500;

/// Puts a breakglass in force, once that is on record.
///
/// # Errors
/// What is asked makes no sense, or not even the reserve takes the record.
pub(super) async fn break_glass(gate: &Gate, minutes: u64, reason: &str, asker: &str) -> Result<(), String> {
    let reason = reason.trim();
    if !(1..=BREAKGLASS_MINUTES_MAX).contains(&minutes) {
        return Err(format!("a breakglass holds 1 to {BREAKGLASS_MINUTES_MAX} minutes, not {minutes}"));
    }
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
        return Err(format!("a reason has 1 to {REASON_BYTES_MAX} bytes"));
    }
    let detail = format!("for {minutes} minutes, by {asker}: {reason}");
    if !put_on_record(gate, "breakglass", &detail).await {
        return Err("neither the journal nor the reserve takes a record of it, so it does not hold".to_owned());
    }
    gate.glass.break_for(Duration::from_secs(60 * minutes), reason);
    Ok(())
}

/// Ends a breakglass; whether one was in force.
pub(super) async fn mend_glass(gate: &Gate, asker: &str) -> bool {
    let was = gate.glass.mend();
    if was {
        put_on_record(gate, "breakglass_ended", &format!("by {asker}")).await;
    }
    was
}

/// Ends a breakglass whose time is over.
pub(super) async fn expire(gate: &Gate) -> bool {
    let over = gate.glass.expire();
    if over {
        put_on_record(gate, "breakglass_ended", "its time is over").await;
    }
    over
}

/// In the journal, or in the reserve while that takes nothing.
async fn put_on_record(gate: &Gate, action: &'static str, detail: &str) -> bool {
    let record = Record::Admin(Admin { action, detail: Some(detail.into()) });
    let now = clock::now();
    gate.journal.append(&record, now).await.is_ok() || gate.journal.append_to_reserve(&record, now).await.is_ok()
}

/// What is in force, for `status`.
pub(super) fn report(gate: &Gate) -> Option<BreakglassStatus> {
    let (breakglass, now) = gate.glass.now();
    let breakglass = breakglass.filter(|breakglass| breakglass.holds(now))?;
    Some(BreakglassStatus {
        until: format_time(breakglass.until),
        minutes_left: breakglass.until.0.saturating_sub(now.0).div_ceil(60_000_000),
        reason: breakglass.reason.to_string(),
        essential_rules: gate.policy.now().essential_rules(),
    })
}
