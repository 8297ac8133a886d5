use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::session::Gate;

/// How often the gate looks at itself.
const LOOK: Duration = Duration::from_secs(1);

/// Tells whoever reads the gate's standard error, for as long as it is polled, when it cannot do its
/// work and when it can again: one line at each change, never one for each request.
pub(super) async fn tell(gate: &Gate) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = State::default();
    loop {
        ticks.tick().await;
        let health = gate.journal.health();
        let now = State {
            error: health.last_error,
            full: gate.counters.overflows.load(Ordering::Relaxed) > last.overflows,
            overflows: gate.counters.overflows.load(Ordering::Relaxed),
            exhausted: gate.counters.accept_failures.load(Ordering::Relaxed) > last.accept_failures,
            accept_failures: gate.counters.accept_failures.load(Ordering::Relaxed),
        };
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
}

fn changes(last: &State, now: &State) -> Vec<String> {
    let mut lines = Vec::new();
    match (&last.error, &now.error) {
        (None, Some(error)) => lines.push(format!(
            "no record can be written ({error}): nothing passes until it can; see whether the disk is full"
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
    lines
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
}
