use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::evidence::{Capacity, Health, Outlook, Record};
use crate::facts::Timestamp;
use crate::session::Gate;

use super::breakglass;

/// How often the gate looks at itself.
const LOOK: Duration = Duration::from_secs(1);

/// Tells whoever reads the gate's standard error, for as long as it is polled, when it cannot do its
/// work and when it can again: one line at each change, never one for each request. How the disk stands
/// goes on record too, and so does `untold`, which the journal did not take at the start.
pub(super) async fn tell(gate: &Gate, mut untold: Option<(Record, Timestamp)>) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = State::default();
    loop {
        ticks.tick().await;
        if let Some((record, time)) = &untold
            && gate.journal.append(record, *time).await.is_ok()
        {
            untold = None;
        }
        breakglass::expire(gate).await;
        let now = State::of(gate, &last);
        if now.capacity != last.capacity
            && let Some(detail) = now.outlook.map(|outlook| describe(&outlook))
        {
            let level = now.capacity.as_str();
            let record = Record::Health(Health { subject: "disk", level, detail: detail.as_str().into() });
            let _ = gate.journal.append(&record, clock::now()).await;
        }
        for line in changes(&last, &now) {
            eprintln!("sekisho: {line}");
        }
        last = now;
    }
}

#[derive(Default)]
struct State {
    /// The journal's last failure, while it lasts.
    error: Option<String>,
    /// Connections were closed unread since the last look.
    full: bool,
    overflows: u64,
    /// No client could be accepted since the last look.
    exhausted: bool,
    accept_failures: u64,
    outlook: Option<Outlook>,
    capacity: Capacity,
    /// Why there is no reserve.
    reserve_error: Option<String>,
    /// Until when a breakglass holds.
    broken_until: Option<String>,
}

impl State {
    fn of(gate: &Gate, last: &State) -> Self {
        let health = gate.journal.health();
        let outlook = gate.journal.outlook(clock::now()).ok();
        let overflows = gate.counters.overflows.load(Ordering::Relaxed);
        let accept_failures = gate.counters.accept_failures.load(Ordering::Relaxed);
        Self {
            error: health.last_error,
            full: overflows > last.overflows,
            overflows,
            exhausted: accept_failures > last.accept_failures,
            accept_failures,
            outlook,
            capacity: outlook.map_or(last.capacity, |outlook| outlook.capacity(last.capacity)),
            reserve_error: health.reserve_error,
            broken_until: breakglass::report(gate).map(|report| report.until),
        }
    }
}

fn changes(last: &State, now: &State) -> Vec<String> {
    let mut lines = Vec::new();
    match (&last.error, &now.error) {
        (None, Some(error)) => lines.push(format!(
            "no record can be written ({error}): nothing new passes until it can; see whether the disk is full \
             (`sekisho breakglass --help` tells how rules marked essential pass meanwhile)"
        )),
        (Some(_), None) => lines.push("records are written again; a gap record counts what was lost".to_owned()),
        (Some(_), Some(_)) | (None, None) => {}
    }
    match (last.full, now.full) {
        (false, true) => lines.push(
            "too many clients are connected, and more are closed unread: see connections_max and `sekisho status`"
                .to_owned(),
        ),
        (true, false) => lines.push("new clients are taken again".to_owned()),
        (true, true) | (false, false) => {}
    }
    match (last.exhausted, now.exhausted) {
        (false, true) => lines.push(
            "descriptors or memory ran out, and new clients wait until there are some: see LimitNOFILE and connections_max"
                .to_owned(),
        ),
        (true, false) => lines.push("there are descriptors again, and new clients are accepted".to_owned()),
        (true, true) | (false, false) => {}
    }
    lines.extend(changes_of_evidence(last, now));
    lines
}

/// What changed of the space that records need, and of what may pass without.
fn changes_of_evidence(last: &State, now: &State) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(outlook) = now.outlook.filter(|_| now.capacity != last.capacity) {
        let more = if now.capacity > last.capacity {
            ": once it is full nothing passes; make room, or move old segments away"
        } else {
            ", which is more than before"
        };
        lines.push(format!("{}{more}", describe(&outlook)));
    }
    match (&last.reserve_error, &now.reserve_error) {
        (None, Some(error)) => lines.push(format!(
            "no space can be held for the time when the disk is full ({error}): records of what is under way would be \
             lost then, and no breakglass can hold; make room, or set reserve_mib"
        )),
        (Some(_), None) => lines.push("space is held again for the time when the disk is full".to_owned()),
        (Some(_), Some(_)) | (None, None) => {}
    }
    match (&last.broken_until, &now.broken_until) {
        (last, Some(until)) if last.as_ref() != Some(until) => lines.push(format!(
            "a breakglass holds until {until}: what essential rules let out passes though no record can be written"
        )),
        (Some(_), None) => lines.push("the breakglass is over".to_owned()),
        (Some(_) | None, Some(_)) | (None, None) => {}
    }
    lines
}

/// How long the disk lasts, in a sentence.
fn describe(outlook: &Outlook) -> String {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    match (outlook.days_left(), outlook.bytes_per_day) {
        (Some(days), Some(per_day)) => format!(
            "the disk of the journal lasts about {days:.1} days ({} MiB free, {} MiB a day)",
            mib(outlook.free_bytes),
            mib(per_day)
        ),
        _ => format!("the disk of the journal has {} MiB free", mib(outlook.free_bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(error: Option<&str>, full: bool) -> State {
        State { error: error.map(str::to_owned), full, exhausted: full, ..State::default() }
    }

    #[test]
    fn a_change_is_told_once_and_its_end_too() {
        let (well, ill) = (state(None, false), state(Some("no space left"), true));
        assert_eq!(changes(&well, &well), Vec::<String>::new());
        let told = changes(&well, &ill);
        assert!(told[0].contains("no space left") && told[1].contains("connections_max"), "{told:?}");
        assert!(told[2].contains("descriptors"), "{told:?}");
        assert_eq!(changes(&ill, &ill), Vec::<String>::new());
        assert_eq!(changes(&ill, &well).len(), 3);
    }

    #[test]
    fn the_days_that_are_left_are_told_when_they_become_few_and_fewer() {
        let lasting = |days: u64, last: Capacity| {
            let outlook = Outlook { free_bytes: days << 30, bytes_per_day: Some(1 << 30) };
            State { outlook: Some(outlook), capacity: outlook.capacity(last), ..State::default() }
        };
        let (month, week, day) = (lasting(30, Capacity::Ample), lasting(6, Capacity::Ample), lasting(1, Capacity::Low));
        assert_eq!(changes(&State::default(), &month), Vec::<String>::new());
        let told = changes(&month, &week);
        assert!(told[0].contains("about 6.0 days (6144 MiB free, 1024 MiB a day)"), "{told:?}");
        assert_eq!(changes(&week, &lasting(5, Capacity::Low)), Vec::<String>::new());
        assert!(changes(&week, &day)[0].contains("about 1.0 days"));
        assert!(changes(&day, &month)[0].ends_with("which is more than before"));
    }

    #[test]
    fn a_breakglass_and_a_missing_reserve_are_told() {
        let broken = State { broken_until: Some("12:00".to_owned()), ..State::default() };
        assert!(changes(&State::default(), &broken)[0].contains("until 12:00"));
        assert_eq!(changes(&broken, &broken), Vec::<String>::new());
        assert_eq!(changes(&broken, &State::default()), ["the breakglass is over"]);
        let bare = State { reserve_error: Some("no space".to_owned()), ..State::default() };
        assert!(changes(&State::default(), &bare)[0].contains("reserve_mib"));
        assert_eq!(changes(&bare, &State::default()).len(), 1);
    }
}
